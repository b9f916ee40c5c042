//! The peer stream: TCP from one peer to the port that another announced at login. The same messages go both ways.

use std::num::NonZeroU64;

use bytes::{Bytes, BytesMut};

use super::Message;
use crate::{
    dialect::Dialect,
    encode::Writer,
    error::ParseError,
    file::{FileChunk, FileDigest, FileName},
    limits::Limits,
    name::{RoomName, Username},
    parse,
    value::{Capabilities, Reason, RegistryName, Text},
    verb::Verb,
};

/// What peers say to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum PeerMessage {
    /// `CHAT_REQUEST <recipient> [<sender>]` (§4.9, §7.4).
    ChatRequest {
        /// Who is asked.
        recipient: Username,
        /// Who asks (capability `sender`).
        sender: Option<Username>,
    },
    /// `CHAT_REQUEST_RESPONSE …` (§4.9).
    ChatReply(ChatReply),
    /// `DIRECT_MESSAGE <sender> <recipient> text` (§4.11).
    DirectMessage {
        /// Who says it.
        sender: Username,
        /// To whom.
        recipient: Username,
        /// What.
        text: Text,
    },
    /// `DIRECT_UNICAST_NOTIFICATION …`: whether a direct message arrived (§4.11).
    UnicastNotification(Notification),
    /// `DIRECT_BROADCAST <sender> [<room>] text`, sent to each member of the room (§4.16, §7.4).
    DirectBroadcast {
        /// Who says it.
        sender: Username,
        /// In which room (capability `sender`).
        room: Option<RoomName>,
        /// What.
        text: Text,
    },
    /// `DIRECT_BROADCAST_NOTIFICATION …`: whether a broadcast arrived (§4.16).
    BroadcastNotification(Notification),
    /// `INTRODUCED_BY <registry> <sender> <recipient> [<follows>]`: what the dialler says first (capability `origin`, §7.11).
    IntroducedBy {
        /// The registry that gave the address.
        registry: RegistryName,
        /// Who dials.
        sender: Username,
        /// Who is expected at that address.
        recipient: Username,
        /// What comes next on this stream.
        follows: Option<Follows>,
    },
    /// `NUMBERING <run> <next> <OPEN> [<capabilities>]`, or `<CLOSED>`: how the messages on this stream are numbered, whether the
    /// chat goes on, and what else its sender knows (capability `ids`, §7.14).
    Numbering {
        /// Where this count began: another number each time that a program does.
        run: u64,
        /// The first number that may come.
        next: NonZeroU64,
        /// Whether the sender holds the chat open.
        chat: bool,
        /// What the sender knows of what is said between peers alone: `files` (§7.15).
        capabilities: Capabilities,
    },
    /// `NUMBERED <id> <sequence> <time>`: directly before a message (capability `ids`, §7.14).
    Numbered(Number),
    /// `MISSING <first> <last>`: these numbers never came (capability `ids`, §7.14).
    Missing {
        /// The first of them.
        first: NonZeroU64,
        /// The last one; none, if it is less than the first.
        last: NonZeroU64,
    },
    /// `HANG_UP`: the chat, or the wish for it, is over; the stream isn't (capability `ids`, §7.14).
    HangUp,
    /// `PING <number>`: to be answered at once (capability `ids`, §7.14).
    Ping(u64),
    /// `PONG <number>`: the answer, with the same number (capability `ids`, §7.14).
    Pong(u64),
    /// About a file (capability `files`, §7.15).
    File(FileMessage),
}

/// What peers say about files (capability `files`, §7.15).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum FileMessage {
    /// `FILE_OFFER <file> <size> <digest> <name>`: something to have.
    Offer(FileOffer),
    /// `FILE_ACCEPT <file> <offset>`: send it, from there on.
    Accept {
        /// Which file.
        file: u64,
        /// How much of it the sender of this has, in bytes.
        offset: u64,
    },
    /// `FILE_REJECT <file> [<reason>]`: it isn't wanted, or not any more.
    Reject {
        /// Which file.
        file: u64,
        /// Why.
        reason: Option<Reason>,
    },
    /// `FILE_DATA <file> <offset> <length>`, and behind its LF that many bytes: a piece of a file.
    Data(FileChunk),
    /// `FILE_ACK <file> <offset>`: what is before that has come, and there is room for more.
    Ack {
        /// Which file.
        file: u64,
        /// How much has come, in bytes.
        offset: u64,
    },
    /// `FILE_DONE <file>`: all of it is there, and has the digest that was announced.
    Done {
        /// Which file.
        file: u64,
    },
    /// `FILE_WITHDRAW <file> [<reason>]`: its sender doesn't offer it any more.
    Withdraw {
        /// Which file.
        file: u64,
        /// Why.
        reason: Option<Reason>,
    },
}

/// A file that somebody can have (capability `files`, §7.15).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct FileOffer {
    /// What its sender calls it from now on: another number for each file.
    pub file: u64,
    /// How many bytes it has.
    pub size: u64,
    /// The SHA-256 of what it holds.
    pub digest: FileDigest,
    /// What to call it.
    pub name: FileName,
}

/// What an introduction announces: the word in its fourth field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Follows {
    /// `tls`: a TLS handshake follows, and nothing else in the clear (capability `keys`, §7.13).
    Tls,
    /// `numbering`: [`PeerMessage::Numbering`] follows (capability `ids`, §7.14).
    Numbering,
}

/// A message's number (capability `ids`, §7.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Number {
    /// The message's own, the same for everybody who gets it.
    pub id: u64,
    /// Its place among those from this sender to this receiver, in the sender's run: 1, 2, 3 …
    pub sequence: NonZeroU64,
    /// When it was said by the sender's clock, in milliseconds since 1970-01-01 00:00 UTC.
    pub time: u64,
}

/// `CHAT_REQUEST_RESPONSE <ACCEPT> <200> <username>` or `<REJECT> <404> <username> [<reason>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum ChatReply {
    /// The chat is open.
    Accept {
        /// Who answers.
        username: Username,
    },
    /// It is not.
    Reject {
        /// Who answers.
        username: Username,
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// `<SUCCESS> <200> <sender> <content>` or `<FAILURE> <404> <sender> <content> [<reason>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Notification {
    /// Whether it arrived.
    pub delivery: Delivery,
    /// Who had sent the message.
    pub sender: Username,
    /// The message's text.
    pub content: Text,
}

/// Whether a message arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Delivery {
    /// The receiving program has it.
    Success,
    /// It was refused.
    Failure {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// Peer streams have no other dialect: whatever is asked for, they are canonical.
impl Message for PeerMessage {
    fn parse(frame: &Bytes, _: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        parse::peer_message(frame, limits)
    }

    fn encode(&self, out: &mut BytesMut, _: Dialect) {
        let mut writer = Writer::new(out, Dialect::Canonical, self.verb());
        self.write(&mut writer);
        writer.end_line();
        if let Self::File(FileMessage::Data(chunk)) = self {
            out.extend_from_slice(chunk.data());
        }
    }

    fn verb(&self) -> Verb {
        match self {
            Self::ChatRequest { .. } => Verb::ChatRequest,
            Self::ChatReply(_) => Verb::ChatRequestResponse,
            Self::DirectMessage { .. } => Verb::DirectMessage,
            Self::UnicastNotification(_) => Verb::DirectUnicastNotification,
            Self::DirectBroadcast { .. } => Verb::DirectBroadcast,
            Self::BroadcastNotification(_) => Verb::DirectBroadcastNotification,
            Self::IntroducedBy { .. } => Verb::IntroducedBy,
            Self::Numbering { .. } => Verb::Numbering,
            Self::Numbered(_) => Verb::Numbered,
            Self::Missing { .. } => Verb::Missing,
            Self::HangUp => Verb::HangUp,
            Self::Ping(_) => Verb::Ping,
            Self::Pong(_) => Verb::Pong,
            Self::File(message) => match message {
                FileMessage::Offer(_) => Verb::FileOffer,
                FileMessage::Accept { .. } => Verb::FileAccept,
                FileMessage::Reject { .. } => Verb::FileReject,
                FileMessage::Data(_) => Verb::FileData,
                FileMessage::Ack { .. } => Verb::FileAck,
                FileMessage::Done { .. } => Verb::FileDone,
                FileMessage::Withdraw { .. } => Verb::FileWithdraw,
            },
        }
    }
}
