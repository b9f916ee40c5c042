//! The registry datagram: UDP between a peer and the registry. One datagram is one frame, its LF optional.

use std::num::NonZeroU64;

use bytes::{Bytes, BytesMut};

use super::Message;
use crate::{
    dialect::Dialect,
    encode::Writer,
    error::ParseError,
    limits::Limits,
    name::Username,
    parse::{self, Origin},
    secret::{KeepAliveProof, ParkProof, SessionTicket},
    value::Reason,
    verb::Verb,
};

/// What a peer sends by UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum ToRegistryDatagram {
    /// `KEEP_ALIVE <username> [<timeout>]` (§4.13).
    KeepAlive {
        /// Whose session.
        username: Username,
        /// Seconds until the peer counts as gone; the registry clamps it to 3–120, and takes 10 if it is missing, as
        /// in the prototype's dialect.
        timeout: Option<u32>,
    },
    /// `KEEP_ALIVE <username> <timeout> <sequence> <proof>`: the same, proving the session's ticket (capability `ticket`,
    /// §7.6). [`prove`](Self::prove) makes one.
    ProvenKeepAlive {
        /// Whose session.
        username: Username,
        /// Seconds until the peer counts as gone; the registry clamps it to 3–120.
        timeout: u32,
        /// Larger than in every keep-alive of the session before, so that a copy of an older one proves nothing.
        sequence: NonZeroU64,
        /// Under the session's ticket, of everything before it.
        proof: KeepAliveProof,
    },
}

impl ToRegistryDatagram {
    /// A keep-alive that proves `ticket`.
    pub fn prove(ticket: &SessionTicket, username: Username, timeout: u32, sequence: NonZeroU64) -> Self {
        let proof = ticket.proof_of(&proven(&username, timeout, sequence));
        Self::ProvenKeepAlive { username, timeout, sequence, proof }
    }

    /// True if this is a keep-alive that proves `ticket`. Takes the same time wherever a wrong proof differs.
    pub fn proves(&self, ticket: &SessionTicket) -> bool {
        match self {
            Self::ProvenKeepAlive { username, timeout, sequence, proof } => {
                ticket.proof_of(&proven(username, *timeout, *sequence)) == *proof
            }
            Self::KeepAlive { .. } => false,
        }
    }
}

/// What a keep-alive proves: its canonical spelling up to the blank before the proof.
fn proven(username: &Username, timeout: u32, sequence: NonZeroU64) -> String {
    format!("{} <{username}> <{timeout}> <{sequence}>", Verb::KeepAlive)
}

/// What the registry sends by UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum FromRegistryDatagram {
    /// `KEEP_ALIVE_RESPONSE <SUCCESS> <200>` (§4.13).
    KeepAliveSuccess,
    /// `KEEP_ALIVE_RESPONSE <FAILURE> <404> [<reason>]` (§4.13); a registry of this project is silent instead.
    KeepAliveFailure {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
    /// `TIMEOUT <username>`: no keep-alive came in time, the session is over (§4.14).
    Timeout {
        /// Whose session.
        username: Username,
    },
    /// `PARKED <proof>`: the answer to a keep-alive of a parked session for which nothing waits (capability `park`, §7.12).
    /// [`parked`](Self::parked) makes one.
    Parked {
        /// Under the session's ticket, of which keep-alive is answered.
        proof: ParkProof,
    },
    /// `WAKE <proof>`: the session is parked no longer, or something waits for it (capability `park`, §7.12).
    /// [`wake`](Self::wake) makes one.
    Wake {
        /// Under the session's ticket, of which keep-alive is answered.
        proof: ParkProof,
    },
}

impl FromRegistryDatagram {
    /// The answer to the keep-alive of that number, proving `ticket`: nothing waits.
    pub fn parked(ticket: &SessionTicket, sequence: NonZeroU64) -> Self {
        Self::Parked { proof: ticket.park_proof_of(&answered(Verb::Parked, sequence)) }
    }

    /// The answer to the keep-alive of that number, proving `ticket`: come back.
    pub fn wake(ticket: &SessionTicket, sequence: NonZeroU64) -> Self {
        Self::Wake { proof: ticket.park_proof_of(&answered(Verb::Wake, sequence)) }
    }

    /// True if this is an answer to the keep-alive of that number that proves `ticket`. Takes the same time wherever a wrong
    /// proof differs.
    pub fn answers(&self, ticket: &SessionTicket, sequence: NonZeroU64) -> bool {
        match self {
            Self::Parked { proof } | Self::Wake { proof } => {
                ticket.park_proof_of(&answered(self.verb(), sequence)) == *proof
            }
            _ => false,
        }
    }
}

/// What an answer to a parked session proves. The number isn't sent: the peer knows which of its keep-alives are open.
fn answered(verb: Verb, sequence: NonZeroU64) -> String {
    format!("{verb} <{sequence}>")
}

impl Message for ToRegistryDatagram {
    fn parse(frame: &Bytes, dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        parse::message(parse::without_line_ending(frame), Origin::Elsewhere, dialect, limits, |_| Self::read)
    }

    fn encode(&self, out: &mut BytesMut, dialect: Dialect) {
        let mut writer = Writer::new(out, dialect, self.verb());
        self.write(&mut writer);
        writer.end();
    }

    fn verb(&self) -> Verb {
        match self {
            Self::KeepAlive { .. } | Self::ProvenKeepAlive { .. } => Verb::KeepAlive,
        }
    }
}

impl Message for FromRegistryDatagram {
    fn parse(frame: &Bytes, dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        parse::message(parse::without_line_ending(frame), Origin::Elsewhere, dialect, limits, |_| Self::read)
    }

    fn encode(&self, out: &mut BytesMut, dialect: Dialect) {
        let mut writer = Writer::new(out, dialect, self.verb());
        self.write(&mut writer);
        writer.end();
    }

    fn verb(&self) -> Verb {
        match self {
            Self::KeepAliveSuccess | Self::KeepAliveFailure { .. } => Verb::KeepAliveResponse,
            Self::Timeout { .. } => Verb::Timeout,
            Self::Parked { .. } => Verb::Parked,
            Self::Wake { .. } => Verb::Wake,
        }
    }
}
