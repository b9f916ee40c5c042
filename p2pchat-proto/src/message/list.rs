//! The lists of rooms and of peers (PROTOCOL.md §4.7, §4.10, §4.15).

use std::net::IpAddr;

use super::FromRegistry;
use crate::{
    list::List,
    name::{RoomName, Username},
    value::{Capacity, Description, Reason},
};

/// `ROOMS_LIST …`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum RoomsList {
    /// `<FOUND> <200> <name> <description> <members> <capacity> , …`
    Detailed(List<RoomRecord>),
    /// `<FOUND> <200> <name> , <name> …`
    Partial(List<RoomName>),
    /// `<NOT_FOUND> <404> [<reason>]`: there is no room, or the request was bad.
    NotFound {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// A room in a detailed list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct RoomRecord {
    /// Its name.
    pub name: RoomName,
    /// What it is about.
    pub description: Description,
    /// How many members it has.
    pub members: u32,
    /// How many it takes.
    pub capacity: Capacity,
}

/// `PEER_LIST …`. Its three payloads can look alike: only who asked knows which it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum PeerList {
    /// `<SUCCESS> <200> <username> <room> <port> <ip> , …`
    Detailed(List<PeerRecord>),
    /// `<SUCCESS> <200> <username> , <username> …`
    Partial(List<Username>),
    /// `<SUCCESS> <200> <room> <peer> <peer> …`
    Room {
        /// The room that was asked for.
        room: RoomName,
        /// Its members online.
        members: List<Username>,
    },
    /// A success whose shape the parser wasn't told.
    Raw(RawList),
    /// `<FAILURE> <404> [<reason>]`: nobody is online, no such room, not a member, or a bad request.
    Failure {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// Which payload a `PEER_LIST` is expected to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum PeerListShape {
    /// Asked with `<DETAILED>`.
    Detailed,
    /// Asked with `<PARTIAL>`.
    Partial,
    /// Asked with a room's name.
    Room,
}

impl PeerListShape {
    /// The shape in which a list reply's asker expects it; `None` for a refusal, a raw list and every other reply.
    pub fn of(reply: &FromRegistry) -> Option<Self> {
        match reply {
            FromRegistry::Peers(PeerList::Detailed(_)) | FromRegistry::Rooms(RoomsList::Detailed(_)) => {
                Some(Self::Detailed)
            }
            FromRegistry::Peers(PeerList::Partial(_)) | FromRegistry::Rooms(RoomsList::Partial(_)) => {
                Some(Self::Partial)
            }
            FromRegistry::Peers(PeerList::Room { .. }) => Some(Self::Room),
            _ => None,
        }
    }
}

/// A peer in a detailed list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct PeerRecord {
    /// Who.
    pub username: Username,
    /// A room that the asker may see; `<>` on the wire if there is none.
    pub room: Option<RoomName>,
    /// The announced port; 0 if the user can't be dialled.
    pub port: u16,
    /// The address that the registry sees.
    pub ip: IpAddr,
}

impl PeerRecord {
    /// True if the registry doesn't tell where the peer is (§7.10).
    pub fn is_hidden(&self) -> bool {
        super::registry::is_hidden(self.port, self.ip)
    }
}

/// The records of a list as unescaped strings.
///
/// Each record has at least one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct RawList {
    pub(crate) records: Vec<Vec<Box<str>>>,
}

impl RawList {
    /// The records, each with its fields.
    pub fn records(&self) -> &[Vec<Box<str>>] {
        &self.records
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for RawList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let records = Vec::<Vec<Box<str>>>::deserialize(deserializer)?;
        match records.iter().any(Vec::is_empty) {
            true => Err(serde::de::Error::custom("a record without fields")),
            false => Ok(Self { records }),
        }
    }
}
