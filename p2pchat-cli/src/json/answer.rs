//! What commands answer with `--json`.

use p2pchat_core::proto::{self, BanRecord, PeerRecord, RoomRecord, Username};
use serde::{Deserialize, Serialize};

/// What `search --json` prints: where a user is.
///
/// `{"username":"bob","ip":"192.0.2.7","port":40123,"key":null}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Found {
    /// Who, as they spell it themselves.
    pub username: String,
    /// The address that the registry sees; null if it hides it.
    pub ip: Option<String>,
    /// The port on which they are reached, 0 if they can't be; null if the registry hides it.
    pub port: Option<u16>,
    /// Their link key in hex, if they have one.
    pub key: Option<String>,
}

/// What `peers --detailed --json` prints an array of. Without `--detailed` it is one of names.
///
/// `{"username":"bob","room":"den","ip":"192.0.2.7","port":40123}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Peer {
    /// Who.
    pub username: String,
    /// A room of theirs that the user may see.
    pub room: Option<String>,
    /// The address that the registry sees; null if it hides it.
    pub ip: Option<String>,
    /// The port on which they are reached, 0 if they can't be; null if the registry hides it.
    pub port: Option<u16>,
}

/// What `rooms --json` prints an array of. With `--names` it is one of names.
///
/// `{"name":"den","description":"a cave","members":2,"capacity":7}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Room {
    /// What it is called.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// How many members it has.
    pub members: u32,
    /// How many it takes.
    pub capacity: u32,
}

/// What `bans --json` prints an array of.
///
/// `{"username":"bob","reason":"spam"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ban {
    /// Who.
    pub username: String,
    /// Why, in the owner's words.
    pub reason: Option<String>,
}

impl Found {
    /// `asked`: whom the user had looked for.
    pub(crate) fn new(asked: &str, found: &proto::Found) -> Self {
        let shown = !found.is_hidden();
        Self {
            username: found.username.as_ref().map_or(asked, Username::as_str).to_owned(),
            ip: shown.then(|| found.ip.to_string()),
            port: shown.then_some(found.port),
            key: found.key.map(|key| key.to_string()),
        }
    }
}

impl From<&PeerRecord> for Peer {
    fn from(peer: &PeerRecord) -> Self {
        let shown = !peer.is_hidden();
        Self {
            username: peer.username.as_str().to_owned(),
            room: peer.room.as_ref().map(|room| room.as_str().to_owned()),
            ip: shown.then(|| peer.ip.to_string()),
            port: shown.then_some(peer.port),
        }
    }
}

impl From<&RoomRecord> for Room {
    fn from(room: &RoomRecord) -> Self {
        Self {
            name: room.name.as_str().to_owned(),
            description: room.description.as_str().to_owned(),
            members: room.members,
            capacity: room.capacity.get(),
        }
    }
}

impl From<&BanRecord> for Ban {
    fn from(ban: &BanRecord) -> Self {
        let reason = Some(ban.reason.as_str()).filter(|reason| !reason.is_empty());
        Self { username: ban.username.as_str().to_owned(), reason: reason.map(str::to_owned) }
    }
}

/// Names alone.
pub(crate) fn names<'a, T: AsRef<str> + 'a>(names: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect()
}
