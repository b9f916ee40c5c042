//! Where text goes.

use p2pchat_core::proto::{RoomName, Username};

use crate::show;

/// Where text goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    User(Username),
    Room(RoomName),
}

impl Target {
    /// The same for all spellings of one name. It stands in histories: it stays as it is.
    pub(crate) fn key(&self) -> String {
        match self {
            // No username begins like a room.
            Self::User(username) => username.folded().to_string(),
            Self::Room(room) => format!("#{}", room.folded()),
        }
    }

    pub(crate) fn shown(&self) -> String {
        match self {
            Self::User(username) => show::name(username),
            Self::Room(room) => show::room(room),
        }
    }

    /// `USER`, or a room behind a `#`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('#') {
            Some(room) => {
                RoomName::new(room).map(Self::Room).map_err(|problem| format!("a room's name {problem}"))
            }
            None => Username::new(text).map(Self::User).map_err(|problem| format!("a username {problem}")),
        }
    }
}
