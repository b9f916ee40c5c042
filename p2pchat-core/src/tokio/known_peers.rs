//! The known-peers file: by which link key each user of each registry is known (PROTOCOL.md §7.13).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use p2pchat_proto::{LinkKey, Username};

use super::{
    error::Error,
    notes::{self, Notes, Wrong},
};

/// The known-peers file, as far as it is about one registry: by which link key each of its users is known (PROTOCOL.md §7.13).
///
/// A client that has been given the file ([`ClientConfig::known_peers`](super::ClientConfig::known_peers)) reads and writes it by
/// itself, and goes by what another program adds meanwhile.
#[derive(Debug, Clone)]
pub struct KnownPeers(Notes);

impl KnownPeers {
    /// What is in `file` about the registry at this host (IPv6 with or without square brackets) and port.
    pub fn new(file: PathBuf, host: &str, port: u16) -> Self {
        Self(Notes::new(file, host, port))
    }

    /// By which keys users are known. A file that isn't there knows nobody.
    pub fn look_up(&self) -> Result<BTreeMap<Username, LinkKey>, Error> {
        let text = self.0.text().map_err(|wrong| failed(self.0.file(), wrong))?;
        find(self.0.file(), &text, self.0.registry())
    }

    /// Notes by which key a user is known from now on, or that they are known by none.
    pub fn remember(&self, user: &Username, key: Option<LinkKey>) -> Result<(), Error> {
        let key = key.map(|key| key.to_string());
        self.0
            .remember(user, key.as_deref())
            .map_err(|error| failed(self.0.file(), Wrong { line: None, reason: error.to_string() }))
    }

    pub(super) fn size(&self) -> u64 {
        self.0.size()
    }
}

/// What `text`, which is `file`'s, says of `registry`'s users.
pub(crate) fn find(file: &Path, text: &str, registry: &str) -> Result<BTreeMap<Username, LinkKey>, Error> {
    notes::find(text, registry, A_KEY, key).map_err(|wrong| failed(file, wrong))
}

const A_KEY: &str = "a key";

fn key(word: &str) -> Result<LinkKey, String> {
    LinkKey::new(word).map_err(|problem| format!("the key {problem}"))
}

fn failed(file: &Path, Wrong { line, reason }: Wrong) -> Error {
    Error::KnownPeers { file: file.into(), line, reason }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
