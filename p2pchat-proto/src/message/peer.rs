//! The peer stream: TCP from one peer to the port that another announced at login. The same messages go both ways.

use bytes::{Bytes, BytesMut};

use super::Message;
use crate::{
    dialect::Dialect,
    encode::Writer,
    error::ParseError,
    limits::Limits,
    name::{RoomName, Username},
    parse::{self, Origin},
    value::{Reason, RegistryName, Text},
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
    /// `INTRODUCED_BY <registry> <sender> <recipient> [<tls>]`: what the dialler says first (capability `origin`, §7.11).
    IntroducedBy {
        /// The registry that gave the address.
        registry: RegistryName,
        /// Who dials.
        sender: Username,
        /// Who is expected at that address.
        recipient: Username,
        /// A TLS handshake follows, and nothing else in the clear (capability `keys`, §7.13).
        secure: bool,
    },
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
        parse::message(frame.clone(), Origin::Elsewhere, Dialect::Canonical, limits, |_| Self::read)
    }

    fn encode(&self, out: &mut BytesMut, _: Dialect) {
        let mut writer = Writer::new(out, Dialect::Canonical, self.verb());
        self.write(&mut writer);
        writer.end_line();
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
        }
    }
}
