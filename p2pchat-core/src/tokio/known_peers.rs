//! The known-peers file: by which link key each user of each registry is known (PROTOCOL.md §7.13).
//!
//! What is decided later is added at the end, and holds: nothing is written over, so that nothing is lost on the way.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use p2pchat_proto::{LinkKey, Username};

use super::{
    error::Error,
    known::{append, read},
};

/// Stands for a key where a user is known by none any more.
const FORGOTTEN: &str = "-";

/// The known-peers file, as far as it is about one registry: by which link key each of its users is known (PROTOCOL.md §7.13).
///
/// A client that has been given the file ([`ClientConfig::known_peers`](super::ClientConfig::known_peers)) reads and writes it by
/// itself, and goes by what another program adds meanwhile.
#[derive(Debug, Clone)]
pub struct KnownPeers {
    file: PathBuf,
    registry: String,
}

impl KnownPeers {
    /// What is in `file` about the registry at this host (IPv6 with or without square brackets) and port.
    pub fn new(file: PathBuf, host: &str, port: u16) -> Self {
        Self { file, registry: super::client::registry_name(host, port) }
    }

    /// By which keys users are known. A file that isn't there knows nobody.
    pub fn look_up(&self) -> Result<BTreeMap<Username, LinkKey>, Error> {
        let text = read(&self.file).map_err(|reason| failed(&self.file, None, reason))?;
        find(&self.file, &text, &self.registry)
    }

    /// Notes by which key a user is known from now on, or that they are known by none.
    pub fn remember(&self, user: &Username, key: Option<LinkKey>) -> Result<(), Error> {
        let key = key.map_or(FORGOTTEN.to_owned(), |key| key.to_string());
        append(&self.file, &format!("{} {user} {key}\n", self.registry))
            .map_err(|error| failed(&self.file, None, error.to_string()))
    }

    /// How long the file is, which it only becomes more of.
    pub(super) fn size(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }
}

/// What `text`, which is `file`'s, says of `registry`'s users.
pub(crate) fn find(file: &Path, text: &str, registry: &str) -> Result<BTreeMap<Username, LinkKey>, Error> {
    let mut known = BTreeMap::new();
    for (line, entry) in (1..).zip(text.lines()) {
        let entry = entry.trim();
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        let wrong = |why: String| failed(file, Some(line), why);
        let mut words = entry.split_whitespace();
        let (Some(name), Some(user), Some(key), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong("wanted is host:port, a username, and a key or -".into()));
        };
        let user = Username::new(user).map_err(|problem| wrong(format!("the username {problem}")))?;
        let key = match key {
            FORGOTTEN => None,
            key => Some(LinkKey::new(key).map_err(|problem| wrong(format!("the key {problem}")))?),
        };
        match key {
            _ if !name.eq_ignore_ascii_case(registry) => {}
            Some(key) => drop(known.insert(user, key)),
            None => drop(known.remove(&user)),
        }
    }
    Ok(known)
}

fn failed(file: &Path, line: Option<usize>, reason: String) -> Error {
    Error::KnownPeers { file: file.into(), line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Username {
        Username::new(name).unwrap()
    }

    #[test]
    fn what_was_said_last_holds_and_each_registry_has_users_of_its_own() {
        let folder = std::env::temp_dir().join(format!("p2pchat-known-peers-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let file = folder.join("known_peers");
        let key = |n| LinkKey::from_bytes([n; 32]);
        let (at_a, at_b) = (KnownPeers::new(file.clone(), "A", 1), KnownPeers::new(file, "::1", 1));
        assert_eq!(at_a.look_up(), Ok(BTreeMap::new()));
        for (registry, user, n) in [(&at_a, "bob", 1), (&at_b, "Bob", 2), (&at_a, "carol", 3)] {
            registry.remember(&name(user), Some(key(n))).unwrap();
        }
        assert_eq!(at_a.look_up().unwrap(), [(name("bob"), key(1)), (name("carol"), key(3))].into());
        at_a.remember(&name("BOB"), Some(key(4))).unwrap();
        at_a.remember(&name("carol"), None).unwrap();
        assert_eq!(at_a.look_up().unwrap(), [(name("bob"), key(4))].into());
        assert_eq!(at_b.look_up().unwrap(), [(name("bob"), key(2))].into());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        let key = "ab".repeat(32);
        for wrong in [
            "a:1 bob".to_owned(),
            format!("a:1 bob {key} more"),
            format!("a:1 bo<b {key}"),
            "a:1 bob AB".to_owned(),
            // Another registry's line too: the file is not what it should be.
            "b:1 bob x".to_owned(),
        ] {
            let text = format!("# known\n\na:1 carol {key}\n{wrong}\n");
            let error = find(Path::new("known_peers"), &text, "a:1").unwrap_err();
            assert!(error.to_string().starts_with("known_peers:4: "), "{error}");
        }
    }
}
