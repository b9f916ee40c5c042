//! The p2pchat wire protocol: the words that a registry and its peers exchange, and nothing else.
//!
//! A message's way through this crate: [`frame`] finds where a line ends, [`Message::parse`] turns it into a typed
//! message, [`Message::encode`] turns a message into bytes. There is one enum for each link and direction, so that a
//! registry can't be handed a reply:
//!
//! | link | to the registry | from the registry |
//! | --- | --- | --- |
//! | registry stream (TCP with TLS) | [`ToRegistry`] | [`FromRegistry`] |
//! | registry datagram (UDP) | [`ToRegistryDatagram`] | [`FromRegistryDatagram`] |
//! | peer stream (TCP) | [`PeerMessage`] both ways | |
//!
//! No I/O, no clock, no allocation by a claimed length, no panic on any input. The normative specification is
//! `PROTOCOL.md` beside this crate; section numbers in these docs are its.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use p2pchat_proto::{Dialect, Limits, Message, ToRegistry, Username};
//!
//! let wire = Bytes::from_static(b"SEARCH_USER <bob>");
//! let message = ToRegistry::parse(&wire, Dialect::Canonical, &Limits::DEFAULT)?;
//! assert_eq!(message, ToRegistry::SearchUser { username: Username::new("bob")? });
//!
//! let mut out = BytesMut::new();
//! message.encode(&mut out, Dialect::Canonical);
//! assert_eq!(&out[..], b"SEARCH_USER <bob>\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "arbitrary")]
mod arbitrary;
#[cfg(feature = "codec")]
pub mod codec;
pub mod dialect;
mod encode;
mod error;
mod file;
pub mod frame;
#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod invite;
pub mod limits;
mod list;
mod message;
mod name;
mod parse;
mod secret;
mod status;
mod value;
mod verb;

pub use dialect::Dialect;
pub use encode::{EncodedPeers, PeerRecords, PeerRecordsWriter};
pub use error::{FrameError, Malformed, ParseError, Problem};
pub use file::{FileChunk, FileDigest, FileName};
pub use invite::InviteCode;
pub use limits::Limits;
pub use list::{List, Record};
pub use message::{
    AuthReply, BanList, BanRecord, ChatReply, Delivery, Detail, Extensions, FileMessage, FileOffer, Follows,
    Found, FromRegistry, FromRegistryDatagram, HelloReply, Message, Notification, Number, Outcome, PeerList,
    PeerListShape, PeerMessage, PeerRecord, RawList, RegisterReply, RoomChange, RoomRecord, RoomSetting,
    RoomsList, SearchReply, ToRegistry, ToRegistryDatagram,
};
pub use name::{RoomName, Username};
pub use secret::{KeepAliveProof, ParkProof, PasswordDigest, SessionTicket, SessionToken};
pub use value::{
    Capabilities, Capability, Capacity, Description, LinkKey, PROTOCOL_VERSION, PeerPort, Reason,
    RegistryName, Text,
};
pub use verb::Verb;

/// The README's code runs as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
