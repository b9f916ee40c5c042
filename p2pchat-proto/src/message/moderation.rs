//! What a room's owner says, and what is told of it (PROTOCOL.md §7.7).

use crate::{
    list::List,
    name::Username,
    secret::PasswordDigest,
    value::{Capacity, Description, Reason},
};

/// The last two fields of `ROOM_SET`: what is set, to what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum RoomSetting {
    /// `<PASSWORD> <password>`: the SHA-256 of the new one; `None`, `<>` on the wire, for a room open to all.
    Password(Option<PasswordDigest>),
    /// `<CAPACITY> <capacity>`: how many members the room takes.
    Capacity(Capacity),
    /// `<DESCRIPTION> <description>`: what it is about.
    Description(Description),
    /// `<OWNER> <username>`: the member who owns it from now on.
    Owner(Username),
}

/// The last two fields of `ROOM_CHANGED`: what was set, to what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum RoomChange {
    /// `<PASSWORD> <PROTECTED>` or `<OPEN>`: the password itself is told to nobody.
    Password {
        /// True if it takes a password to join.
        protected: bool,
    },
    /// `<CAPACITY> <capacity>`: how many members the room takes.
    Capacity(Capacity),
    /// `<DESCRIPTION> <description>`: what it is about.
    Description(Description),
    /// `<OWNER> <username>`: who owns it.
    Owner(Username),
}

/// `BAN_LIST …`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum BanList {
    /// `<FOUND> <200> <username> <reason> , …`
    Found(List<BanRecord>),
    /// `<NOT_FOUND> <404> [<reason>]`: nobody is banned from the room.
    NotFound {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
    /// `<FAILURE> <404> [<reason>]`: no such room, not its owner, or a bad request.
    Failure {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// Somebody who is banned from a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct BanRecord {
    /// Who.
    pub username: Username,
    /// Why, in the owner's words; empty if none were given.
    pub reason: Reason,
}
