//! What a room's owner can do, in whichever mode it was asked for.

use p2pchat_core::tokio::{Error, Peer};

use crate::sanitize;

/// Something that only a room's owner can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Put a member out.
    Kick { user: String, reason: Option<String> },
    /// Put a user out and keep them out.
    Ban { user: String, reason: Option<String> },
    /// Let a user in again.
    Unban { user: String },
    /// Have this password, or none.
    Password(Option<String>),
    /// Take so many members.
    Capacity(u32),
    /// Be about this.
    Description(String),
    /// Belong to this member.
    Owner(String),
}

impl Deed {
    /// Asks the registry.
    pub(crate) async fn run(&self, peer: &Peer, room: &str) -> Result<(), Error> {
        match self {
            Self::Kick { user, reason } => peer.kick(room, user, reason.as_deref()).await,
            Self::Ban { user, reason } => peer.ban(room, user, reason.as_deref()).await,
            Self::Unban { user } => peer.unban(room, user).await,
            Self::Password(password) => peer.set_password(room, password.as_deref()).await,
            Self::Capacity(capacity) => peer.set_capacity(room, *capacity).await,
            Self::Description(description) => peer.set_description(room, description).await,
            Self::Owner(user) => peer.set_owner(room, user).await,
        }
    }

    /// What to say once it is done.
    pub(crate) fn done(&self, room: &str) -> String {
        let room = format!("#{}", sanitize::line(room));
        let name = |user: &String| sanitize::line(user);
        match self {
            Self::Kick { user, .. } => format!("{} is out of {room}", name(user)),
            Self::Ban { user, .. } => format!("{} is banned from {room}", name(user)),
            Self::Unban { user } => format!("{} may join {room} again", name(user)),
            Self::Password(Some(password)) if !password.is_empty() => format!("{room} has a new password"),
            Self::Password(_) => format!("{room} is open to all"),
            Self::Capacity(capacity) => format!("{room} takes {capacity} members"),
            Self::Description(_) => format!("{room} has a new description"),
            Self::Owner(user) => format!("{room} belongs to {} now", name(user)),
        }
    }
}
