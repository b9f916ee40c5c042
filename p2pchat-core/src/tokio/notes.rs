//! Files in which a user notes something of other users, registry by registry: a line each, `host:port username word`.
//!
//! What is decided later is added at the end, and holds: nothing is written over, so that nothing is lost on the way.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use p2pchat_proto::Username;

use super::known::{append, read};

/// Stands where nothing is noted of a user any more.
const FORGOTTEN: &str = "-";

/// Such a file, as far as it is about one registry.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    file: PathBuf,
    registry: String,
}

/// What is wrong with a line, or with the whole file.
#[derive(Debug)]
pub(super) struct Wrong {
    /// From 1.
    pub(super) line: Option<usize>,
    pub(super) reason: String,
}

impl Notes {
    pub(super) fn new(file: PathBuf, host: &str, port: u16) -> Self {
        Self { file, registry: super::client::registry_name(host, port) }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    /// All of it; a file that isn't there is empty.
    pub(super) fn text(&self) -> Result<String, Wrong> {
        read(&self.file).map_err(|reason| Wrong { line: None, reason })
    }

    /// Notes a word of a user from now on, or none any more.
    pub(super) fn remember(&self, user: &Username, word: Option<&str>) -> io::Result<()> {
        append(&self.file, &format!("{} {user} {}\n", self.registry, word.unwrap_or(FORGOTTEN)))
    }

    /// How long the file is, which it only becomes more of.
    pub(super) fn size(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }
}

/// What `text` says of `registry`'s users; `what` the third word is, and how it is read.
pub(super) fn find<T>(
    text: &str,
    registry: &str,
    what: &str,
    value: impl Fn(&str) -> Result<T, String>,
) -> Result<BTreeMap<Username, T>, Wrong> {
    let mut noted = BTreeMap::new();
    for (line, entry) in (1..).zip(text.lines()) {
        let entry = entry.trim();
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        let wrong = |reason: String| Wrong { line: Some(line), reason };
        let mut words = entry.split_whitespace();
        let (Some(name), Some(user), Some(word), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong(format!("wanted is host:port, a username, and {what} or -")));
        };
        let user = Username::new(user).map_err(|problem| wrong(format!("the username {problem}")))?;
        let value = match word {
            FORGOTTEN => None,
            word => Some(value(word).map_err(wrong)?),
        };
        match value {
            _ if !name.eq_ignore_ascii_case(registry) => {}
            Some(value) => drop(noted.insert(user, value)),
            None => drop(noted.remove(&user)),
        }
    }
    Ok(noted)
}
