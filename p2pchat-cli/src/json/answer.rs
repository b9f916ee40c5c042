//! What commands answer with `--json`.

use p2pchat_core::proto::{self, BanRecord, PeerRecord, RoomRecord, Username};
use serde::{Deserialize, Serialize};

use crate::{
    archive::{Entry, EntryId, State},
    target::Target,
};

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

/// What `history --json` and `/export -j` write a line of for each message.
///
/// `{"id":7,"at":1795964640000,"with":"bob","room":null,"from":"bob","own":false,"text":"hi","encrypted":true,"late":false,"state":"received","reason":null,"receivers":[]}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Kept {
    /// A number that grows.
    pub id: u64,
    /// When, in milliseconds since 1970, by this machine's clock.
    pub at: u64,
    /// With whom; null if it was in a room.
    pub with: Option<String>,
    /// In which room; null if it was in a chat.
    pub room: Option<String>,
    /// Who said it; null of a note of the client's.
    pub from: Option<String>,
    /// The user has said it.
    pub own: bool,
    /// What.
    pub text: String,
    /// It was, or is to be, encrypted on its way.
    pub encrypted: bool,
    /// Later ones came before it.
    pub late: bool,
    /// What has become of it.
    pub state: Fate,
    /// Why it failed.
    pub reason: Option<String>,
    /// The same for each member of a room, of what the user said there.
    pub receivers: Vec<Receiver>,
}

/// A member of a room, and whether they have something.
///
/// `{"username":"bob","state":"delivered","reason":null}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receiver {
    /// Who.
    pub username: String,
    /// Whether they have it.
    pub state: Fate,
    /// Why it failed.
    pub reason: Option<String>,
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fate {
    /// It is somebody else's.
    Received,
    /// It goes out once whom it is for can be reached.
    Waiting,
    /// It is on its way.
    Sending,
    /// It has arrived.
    Delivered,
    /// It has not been sent, or not taken.
    Failed,
    /// It may have arrived, or not.
    Unsure,
    /// Something that this version doesn't know.
    #[serde(other)]
    Other,
}

/// What `doctor --json` writes a line of for each thing that it has looked at.
///
/// `{"check":"data","level":"ok","found":"a folder","advice":null}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at, in one word.
    pub check: String,
    /// `ok`, `warning`, `failed`, `unknown` or `skipped`.
    pub level: String,
    /// What was found.
    pub found: String,
    /// Why it matters, and what to change.
    pub advice: Option<String>,
}

impl Kept {
    pub(crate) fn new(id: EntryId, chat: &Target, entry: &Entry) -> Self {
        let (with, room) = match chat {
            Target::User(user) => (Some(user.as_str().to_owned()), None),
            Target::Room(room) => (None, Some(room.as_str().to_owned())),
        };
        let (state, reason) = fate(&entry.state);
        let receivers = entry.receivers.iter().map(|(user, state)| {
            let (state, reason) = fate(state);
            Receiver { username: user.as_str().to_owned(), state, reason }
        });
        Self {
            id,
            at: entry.at,
            with,
            room,
            from: entry.from.as_ref().map(|from| from.as_str().to_owned()),
            own: entry.own,
            text: entry.text.clone(),
            encrypted: entry.secured,
            late: entry.late,
            state,
            reason,
            receivers: receivers.collect(),
        }
    }
}

fn fate(state: &State) -> (Fate, Option<String>) {
    let fate = match state {
        State::Received => Fate::Received,
        State::Waiting => Fate::Waiting,
        State::Sending => Fate::Sending,
        State::Delivered => Fate::Delivered,
        State::Failed(why) => return (Fate::Failed, Some(why.clone())),
        State::Unsure => Fate::Unsure,
    };
    (fate, None)
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
