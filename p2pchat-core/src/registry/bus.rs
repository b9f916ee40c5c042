//! The event bus between registry nodes: the third seam (§5.4).
//!
//! Whatever other people's streams have to be told goes through one [`BusEvent`]. On one node, publishing an event is
//! delivering it here. With several nodes the machine also hands it out as [`Effect::Publish`](super::Effect::Publish),
//! and each other node takes it in by [`Registry::handle_event`](super::Registry::handle_event). A bus must keep the
//! order of one user's events; it may deliver one twice, since each says what holds, not what changed.

use p2pchat_proto::{Reason, RoomChange, RoomName, Username};

/// Something that other people's streams are told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusEvent {
    /// A user is a member of a room and online.
    Joined {
        /// Which room.
        room: RoomName,
        /// Who.
        username: Username,
    },
    /// A user is no longer a member of a room.
    Left {
        /// Which room.
        room: RoomName,
        /// Who.
        username: Username,
    },
    /// A room's owner has ended a user's membership. It is one of that user's events.
    PutOut {
        /// Which room.
        room: RoomName,
        /// Who.
        username: Username,
        /// The owner.
        by: Username,
        /// The owner's words.
        reason: Option<Reason>,
        /// True if they are banned from the room as well.
        banned: bool,
    },
    /// A room has changed.
    Changed {
        /// Which room.
        room: RoomName,
        /// Who changed it.
        by: Username,
        /// What holds now.
        change: RoomChange,
    },
    /// A user has gone offline.
    Offline {
        /// Who.
        username: Username,
        /// The rooms whose members are told.
        rooms: Vec<RoomName>,
    },
}
