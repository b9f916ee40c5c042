//! The registry datagram: UDP between a peer and the registry. One datagram is one frame, its LF optional.

use bytes::{Bytes, BytesMut};

use super::Message;
use crate::{
    dialect::Dialect, encode::Writer, error::ParseError, limits::Limits, name::Username, parse,
    value::Reason, verb::Verb,
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
}

impl Message for ToRegistryDatagram {
    fn parse(frame: &Bytes, dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        parse::message(&parse::without_line_ending(frame), dialect, limits, Self::read)
    }

    fn encode(&self, out: &mut BytesMut, dialect: Dialect) {
        self.write(&mut Writer::new(out, dialect, self.verb()));
    }

    fn verb(&self) -> Verb {
        match self {
            Self::KeepAlive { .. } => Verb::KeepAlive,
        }
    }
}

impl Message for FromRegistryDatagram {
    fn parse(frame: &Bytes, dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        parse::message(&parse::without_line_ending(frame), dialect, limits, Self::read)
    }

    fn encode(&self, out: &mut BytesMut, dialect: Dialect) {
        self.write(&mut Writer::new(out, dialect, self.verb()));
    }

    fn verb(&self) -> Verb {
        match self {
            Self::KeepAliveSuccess | Self::KeepAliveFailure { .. } => Verb::KeepAliveResponse,
            Self::Timeout { .. } => Verb::Timeout,
        }
    }
}
