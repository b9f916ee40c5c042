//! The known-registries and the known-peers file, which people edit.

use std::path::Path;

use p2pchat_proto::{LinkKey, Username};

use crate::tokio::{
    Error, Fingerprint,
    known::{Entry, find},
    known_peers,
};

/// Anything in the file: a registry is found in a line that says so, or the line that makes no sense is named; and what is
/// added is found.
pub fn known_registries(data: &[u8]) {
    const REGISTRY: &str = "chat.example:15600";
    let Ok(text) = str::from_utf8(data) else { return };
    let file = Path::new("known_registries");
    let line_of = |n: usize| text.lines().nth(n.checked_sub(1)?);
    match find(file, text, REGISTRY) {
        Ok(Some(Entry { fingerprint, line })) => {
            let line = line_of(line).expect("an entry's line is in the file");
            let (name, rest) = line.trim().split_once(char::is_whitespace).expect("two words");
            assert!(name.eq_ignore_ascii_case(REGISTRY));
            assert_eq!(rest.parse(), Ok(fingerprint));
        }
        Ok(None) => {
            let fingerprint = Fingerprint::of_certificate(data);
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let line = text.lines().count() + 1;
            let added = format!("{text}{end}{REGISTRY} {fingerprint}\n");
            assert_eq!(find(file, &added, REGISTRY), Ok(Some(Entry { fingerprint, line })));
        }
        Err(Error::KnownRegistries { line, .. }) => {
            let line = line.and_then(line_of).expect("the line is named");
            assert!(!line.trim().is_empty() && !line.trim().starts_with('#'));
        }
        Err(other) => panic!("{other}"),
    }
    match known_peers::find(file, text, REGISTRY) {
        Ok(known) => {
            let (user, key) = (Username::new("bob").expect("a name"), LinkKey::from_bytes([7; 32]));
            let added = format!("{text}\n{REGISTRY} {user} {key}\n");
            let after = known_peers::find(file, &added, REGISTRY).expect("a good line was added");
            assert_eq!(after.get(&user), Some(&key));
            assert_eq!(after.len(), known.len() + usize::from(!known.contains_key(&user)));
        }
        Err(Error::KnownPeers { line, .. }) => {
            let line = line.and_then(line_of).expect("the line is named");
            assert!(!line.trim().is_empty() && !line.trim().starts_with('#'));
        }
        Err(other) => panic!("{other}"),
    }
}
