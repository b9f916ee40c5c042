//! The known-peers file: by which link key each user of each registry is known (PROTOCOL.md §7.13).
//!
//! What is decided later is added at the end, and holds: nothing is written over, so that nothing is lost on the way.

use std::{collections::BTreeMap, fs, io, path::Path};

use p2pchat_proto::{LinkKey, Username};

use super::{
    error::Error,
    known::{append, others_can_write},
};

/// Stands for a key where a user is known by none any more.
const FORGOTTEN: &str = "-";

/// By which keys `registry`'s users are known. A file that isn't there knows nobody.
pub(super) fn look_up(file: &Path, registry: &str) -> Result<BTreeMap<Username, LinkKey>, Error> {
    if let Some(reason) = others_can_write(file) {
        return Err(failed(file, None, reason));
    }
    match fs::read_to_string(file) {
        Ok(text) => find(file, &text, registry),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(failed(file, None, error.to_string())),
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

/// Notes by which key a user is known from now on, or that they are known by none.
pub(super) fn remember(
    file: &Path,
    registry: &str,
    user: &Username,
    key: Option<LinkKey>,
) -> Result<(), Error> {
    let key = key.map_or(FORGOTTEN.to_owned(), |key| key.to_string());
    append(file, &format!("{registry} {user} {key}\n")).map_err(|error| failed(file, None, error.to_string()))
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
        assert_eq!(look_up(&file, "a:1"), Ok(BTreeMap::new()));
        for (registry, user, key) in
            [("a:1", "bob", Some(key(1))), ("b:1", "Bob", Some(key(2))), ("a:1", "carol", Some(key(3)))]
        {
            remember(&file, registry, &name(user), key).unwrap();
        }
        assert_eq!(look_up(&file, "A:1").unwrap(), [(name("bob"), key(1)), (name("carol"), key(3))].into());
        remember(&file, "a:1", &name("BOB"), Some(key(4))).unwrap();
        remember(&file, "a:1", &name("carol"), None).unwrap();
        assert_eq!(look_up(&file, "a:1").unwrap(), [(name("bob"), key(4))].into());
        assert_eq!(look_up(&file, "b:1").unwrap(), [(name("bob"), key(2))].into());
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
