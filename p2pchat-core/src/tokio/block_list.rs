//! The block list: which users of each registry are blocked (PROTOCOL.md §9).

use std::{collections::BTreeSet, path::PathBuf};

use p2pchat_proto::Username;

use super::{
    error::Error,
    notes::{Notes, Wrong, find},
};

/// The word of those who are.
const BLOCKED: &str = "blocked";

/// The block list's file, as far as it is about one registry: which of its users are blocked (PROTOCOL.md §9).
///
/// A client that has been given the file ([`ClientConfig::block_list`](super::ClientConfig::block_list)) reads and writes it by
/// itself, and goes by what another program adds meanwhile.
#[derive(Debug, Clone)]
pub struct BlockList(Notes);

impl BlockList {
    /// What is in `file` about the registry at this host (IPv6 with or without square brackets) and port.
    pub fn new(file: PathBuf, host: &str, port: u16) -> Self {
        Self(Notes::new(file, host, port))
    }

    /// Who is blocked. A file that isn't there blocks nobody.
    pub fn look_up(&self) -> Result<BTreeSet<Username>, Error> {
        let blocked = |word: &str| match word {
            BLOCKED => Ok(()),
            other => Err(format!("{other:?} is neither `{BLOCKED}` nor `-`")),
        };
        let noted = self.0.text().and_then(|text| find(&text, self.0.registry(), BLOCKED, blocked));
        noted.map(|noted| noted.into_keys().collect()).map_err(|wrong| self.failed(wrong))
    }

    /// Notes that a user is blocked from now on, or isn't any more.
    pub fn remember(&self, user: &Username, blocked: bool) -> Result<(), Error> {
        self.0
            .remember(user, blocked.then_some(BLOCKED))
            .map_err(|error| self.failed(Wrong { line: None, reason: error.to_string() }))
    }

    pub(super) fn size(&self) -> u64 {
        self.0.size()
    }

    fn failed(&self, Wrong { line, reason }: Wrong) -> Error {
        Error::BlockList { file: self.0.file().into(), line, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_was_blocked_last_is_and_each_registry_has_users_of_its_own() {
        let name = |name: &str| Username::new(name).unwrap();
        let folder = std::env::temp_dir().join(format!("p2pchat-block-list-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let file = folder.join("blocked");
        let (at_a, at_b) = (BlockList::new(file.clone(), "A", 1), BlockList::new(file.clone(), "::1", 1));
        assert_eq!(at_a.look_up(), Ok(BTreeSet::new()));
        for (registry, user, blocked) in
            [(&at_a, "bob", true), (&at_b, "carol", true), (&at_a, "dave", true), (&at_a, "BOB", false)]
        {
            registry.remember(&name(user), blocked).unwrap();
        }
        assert_eq!(at_a.look_up(), Ok([name("dave")].into()));
        assert_eq!(at_b.look_up(), Ok([name("carol")].into()));
        at_a.remember(&name("bob"), true).unwrap();
        assert_eq!(at_a.look_up(), Ok([name("bob"), name("dave")].into()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        // Whoever wrote that may have meant somebody to be blocked.
        fs::write(&file, "a:1 bob blocked\na:1 carol Blocked\n").unwrap();
        let refused = at_a.look_up().unwrap_err().to_string();
        assert!(refused.contains("blocked:2: \"Blocked\" is neither"), "{refused}");
        fs::remove_dir_all(folder).unwrap();
    }
}
