//! What the client writes with `--json`, for programs: a [`Line`] for each thing that happens, and what commands answer.
//!
//! `p2pchat listen --json` and `p2pchat pipe --json ROOM` write a JSON object a line. The first is [`Line::Ready`], with the
//! [`VERSION`] of these forms; each names its kind in `event`.
//!
//! ```
//! use p2pchat_cli::json::Line;
//!
//! let line: Line = r#"{"event":"message","from":"alice","text":"one\ntwo"}"#.parse()?;
//! if let Line::Message { from, text, .. } = line {
//!     assert_eq!((from.as_str(), text.as_str()), ("alice", "one\ntwo"));
//! }
//! // Of a version to come: to be passed over.
//! let line: Line = r#"{"event":"earthquake","magnitude":7}"#.parse()?;
//! assert_eq!(line, Line::Unknown);
//! # Ok::<(), p2pchat_cli::json::NotALine>(())
//! ```
//!
//! Text is exactly what was sent, whatever it is: nothing is removed or replaced. So that a line can be looked at all the same,
//! what could fool a terminal is written as `\u` escapes, which mean the same.
//!
//! **Stability.** Within a [`VERSION`], events and fields are added, and none is renamed, removed or given another meaning. A
//! program passes over fields and events that it doesn't know, as these types do.

mod answer;
mod from;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub(crate) use self::answer::names;
pub use self::answer::{Ban, Check, Fate, Found, Kept, Peer, Receiver, Room};
use crate::sanitize;

/// The version of these forms, which the line `ready` tells.
pub const VERSION: u32 = 1;

/// A line of `listen --json` or `pipe --json`.
///
/// As text, and parsed from it, it is one JSON object without the line's end; `serde` does the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Line {
    /// The first line: logged in, and in the rooms that were asked for.
    ///
    /// `{"event":"ready","v":1,"username":"bob","port":40123}`
    #[non_exhaustive]
    Ready {
        /// The [`VERSION`] of these lines; 0 from a program that was older than it.
        #[serde(default)]
        v: u32,
        /// The user's name.
        username: Option<String>,
        /// The port on which other peers reach this one.
        port: u16,
    },
    /// The registry is connected, and nobody is logged in.
    ///
    /// `{"event":"connected"}`
    Connected,
    /// The registry can't be reached any more, or still. It is tried again by itself.
    ///
    /// `{"event":"disconnected","reason":"connection reset","retry_in":1.5}`
    #[non_exhaustive]
    Disconnected {
        /// Why, for a person to read.
        reason: String,
        /// In how many seconds it is tried again.
        retry_in: f64,
    },
    /// Back again, and back in every room.
    ///
    /// `{"event":"reconnected"}`
    Reconnected,
    /// Online without a connection to the registry, by `--park`.
    ///
    /// `{"event":"parked"}`
    Parked,
    /// Connected to the registry again.
    ///
    /// `{"event":"unparked"}`
    Unparked,
    /// The session is over, and the program ends.
    ///
    /// `{"event":"logged_out","reason":"logged in elsewhere","replaced":true}`
    #[non_exhaustive]
    LoggedOut {
        /// Why, for a person to read.
        reason: String,
        /// It goes on elsewhere.
        replaced: bool,
    },
    /// Somebody wants to chat. Whether they may is what `--accept` says.
    ///
    /// `{"event":"chat_requested","from":"alice","address":"192.0.2.7:40123","encrypted":true}`
    #[non_exhaustive]
    ChatRequested {
        /// Who; null if their program doesn't say.
        from: Option<String>,
        /// Where from, as `IP:PORT`; null if the registry hides it.
        address: Option<String>,
        /// Their key has proven who they are.
        encrypted: bool,
    },
    /// A chat is open.
    ///
    /// `{"event":"chat_opened","with":"alice","encrypted":true}`
    #[non_exhaustive]
    ChatOpened {
        /// With whom; null until they say something, if they asked without a name.
        with: Option<String>,
        /// It is encrypted, and their key has proven who they are.
        encrypted: bool,
    },
    /// A chat has ended, or the wish for it was withdrawn.
    ///
    /// `{"event":"chat_closed","with":"alice","reason":"alice hung up"}`
    #[non_exhaustive]
    ChatClosed {
        /// With whom.
        with: Option<String>,
        /// Why, for a person to read.
        reason: String,
    },
    /// The connection of a chat is lost, and looked for again. What is said meanwhile waits.
    ///
    /// `{"event":"chat_interrupted","with":"alice","reason":"connection reset"}`
    #[non_exhaustive]
    ChatInterrupted {
        /// With whom.
        with: String,
        /// Why, for a person to read.
        reason: String,
    },
    /// A chat goes on.
    ///
    /// `{"event":"chat_resumed","with":"alice"}`
    #[non_exhaustive]
    ChatResumed {
        /// With whom.
        with: String,
    },
    /// Messages of somebody's didn't come through. They are asked for once more, and come late or never.
    ///
    /// `{"event":"missed","from":"alice","count":2}`
    #[non_exhaustive]
    Missed {
        /// Who said them.
        from: String,
        /// How many.
        count: u64,
    },
    /// What was reported as not delivered has arrived after all.
    ///
    /// `{"event":"arrived","with":"alice","room":null,"id":"7250195810582313411","text":"are you there?"}`
    #[non_exhaustive]
    Arrived {
        /// Who has it.
        with: String,
        /// The room that it was said in; null for a chat.
        room: Option<String>,
        /// The message's id.
        id: String,
        /// What was said.
        text: String,
    },
    /// A user's key was seen for the first time, and is theirs from now on.
    ///
    /// `{"event":"key_learned","username":"alice","key":"c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a"}`
    #[non_exhaustive]
    KeyLearned {
        /// Whose.
        username: String,
        /// Which, in hex.
        key: String,
    },
    /// A user's key is another one, or none: nothing is sent to them and nothing taken until `p2pchat trust` says which holds.
    ///
    /// `{"event":"key_changed","username":"alice","known":"c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a","shown":null}`
    #[non_exhaustive]
    KeyChanged {
        /// Whose.
        username: String,
        /// The one that they had.
        known: String,
        /// The one that the registry shows now.
        shown: Option<String>,
    },
    /// Somebody in a chat said something.
    ///
    /// `{"event":"message","from":"alice","text":"hello","id":"7250195810582313411","sequence":1,"sent":1767225600000,"late":false}`
    #[non_exhaustive]
    Message {
        /// Who.
        from: String,
        /// What.
        text: String,
        /// Where it belongs: the last four fields, which are there together or not at all.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
    /// Somebody said something in a room.
    ///
    /// `{"event":"broadcast","room":"den","from":"alice","text":"hello","encrypted":true,"id":"7250195810582313411","sequence":1,"sent":1767225600000,"late":false}`
    #[non_exhaustive]
    Broadcast {
        /// Which; null if their program can't say, and it isn't clear.
        room: Option<String>,
        /// Who.
        from: String,
        /// What.
        text: String,
        /// It came encrypted, from whom their key has proven them to be.
        encrypted: bool,
        /// Where it belongs: the last four fields, which are there together or not at all.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
    /// Somebody in a chat offers a file, which `--files` has taken.
    ///
    /// `{"event":"file_offered","file":1,"from":"alice","name":"backup.tar","size":1048576}`
    #[non_exhaustive]
    FileOffered {
        /// Its number for this program.
        file: u64,
        /// Who.
        from: String,
        /// What they call it.
        name: String,
        /// Its bytes.
        size: u64,
    },
    /// How far a file is, now and then.
    ///
    /// `{"event":"file_progress","file":1,"with":"alice","name":"backup.tar","outgoing":false,"bytes":65536,"size":1048576}`
    #[non_exhaustive]
    FileProgress {
        /// Its number.
        file: u64,
        /// Who sends or gets it.
        with: String,
        /// What it is called.
        name: String,
        /// It is the user's own.
        outgoing: bool,
        /// The bytes that have arrived.
        bytes: u64,
        /// All of them.
        size: u64,
    },
    /// A file that wasn't taken yet can't be had any more.
    ///
    /// `{"event":"file_withdrawn","file":1,"from":"alice","reason":"alice has stopped it"}`
    #[non_exhaustive]
    FileWithdrawn {
        /// Its number.
        file: u64,
        /// Who had offered it.
        from: String,
        /// Why, for a person to read.
        reason: String,
    },
    /// Nothing more comes of a file.
    ///
    /// `{"event":"file_ended","file":1}`
    #[non_exhaustive]
    FileEnded {
        /// Its number.
        file: u64,
    },
    /// All of a file is there, by `--files`.
    ///
    /// `{"event":"file_stored","file":1,"path":"incoming/backup.tar"}`
    #[non_exhaustive]
    FileStored {
        /// Its number.
        file: u64,
        /// Where.
        path: String,
    },
    /// A file that `--files` has taken can't be had.
    ///
    /// `{"event":"file_failed","file":1,"reason":"no space left on device"}`
    #[non_exhaustive]
    FileFailed {
        /// Its number.
        file: u64,
        /// Why, for a person to read.
        reason: String,
    },
    /// The user is a member of a room.
    ///
    /// `{"event":"room_entered","room":"den","members":["alice","bob"]}`
    #[non_exhaustive]
    RoomEntered {
        /// Which.
        room: String,
        /// Who of it is online, the user too.
        members: Vec<String>,
    },
    /// A member of a room came online, or joined.
    ///
    /// `{"event":"member_online","room":"den","username":"alice"}`
    #[non_exhaustive]
    MemberOnline {
        /// Which room.
        room: String,
        /// Who.
        username: String,
    },
    /// Somebody is no member of a room any more.
    ///
    /// `{"event":"member_left","room":"den","username":"alice"}`
    #[non_exhaustive]
    MemberLeft {
        /// Which room.
        room: String,
        /// Who.
        username: String,
    },
    /// A member of the user's rooms went offline.
    ///
    /// `{"event":"member_offline","username":"alice","rooms":["den"]}`
    #[non_exhaustive]
    MemberOffline {
        /// Who.
        username: String,
        /// The rooms that they share with the user.
        rooms: Vec<String>,
    },
    /// Somebody was put out of a room by its owner.
    ///
    /// `{"event":"put_out","room":"den","username":"bob","by":"alice","reason":"spam","banned":true}`
    #[non_exhaustive]
    PutOut {
        /// Which room.
        room: String,
        /// Who.
        username: String,
        /// The owner.
        by: String,
        /// The owner's words, if there were any.
        reason: Option<String>,
        /// They can't join again.
        banned: bool,
    },
    /// A room of the user's was changed.
    ///
    /// `{"event":"room_changed","room":"den","by":"alice","setting":"capacity","value":20}`
    #[non_exhaustive]
    RoomChanged {
        /// Which.
        room: String,
        /// Who did it.
        by: String,
        /// `password`, `capacity`, `description` or `owner`; null for what this program doesn't know.
        setting: Option<String>,
        /// What holds now: `protected` or `open`, a number, the text, the new owner's name.
        value: Option<Value>,
    },
    /// What was received from somebody makes no sense, or breaks a rule.
    ///
    /// `{"event":"fault","culprit":"alice","what":"a frame of 70000 bytes"}`
    #[non_exhaustive]
    Fault {
        /// Who, as far as known.
        culprit: String,
        /// What they did, for a person to read.
        what: String,
    },
    /// What these types don't know, being older than the program that wrote it. It is never written.
    #[serde(other)]
    Unknown,
}

/// Where a message of a program that numbers what it says belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Place {
    /// Its id, the same for everybody who gets it: a number of 64 bits, as a text since not every reader of JSON keeps all of
    /// its digits.
    pub id: String,
    /// Its place among those from this sender to this user: 1, 2, 3 …
    pub sequence: u64,
    /// When it was said by the sender's clock, in milliseconds since 1970-01-01 00:00 UTC.
    pub sent: u64,
    /// It was asked for again: later ones came before it.
    pub late: bool,
}

/// What a room's setting is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Value {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

/// A text that is no [`Line`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotALine(String);

impl fmt::Display for NotALine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a line of p2pchat's: {}", self.0)
    }
}

impl std::error::Error for NotALine {}

impl FromStr for Line {
    type Err = NotALine;

    fn from_str(text: &str) -> Result<Self, NotALine> {
        // What is quoted from the text goes to who asked.
        serde_json::from_str(text).map_err(|error| NotALine(sanitize::line(&error.to_string())))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(self).map_err(|_| fmt::Error)?)
    }
}

/// A value on one line, without its end.
pub(crate) fn line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // A value's own text has no bare control character, so whatever is unsafe stands inside a string.
        if sanitize::is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Ok(out)
}
