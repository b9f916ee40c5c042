//! Why a command failed.

use std::time::Duration;

use p2pchat_proto::{LinkKey, Reason};

/// Why a command failed: who is at fault, and what the registry or the other peer said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no link to the registry.
    #[error("not connected to the registry")]
    NotConnected,
    /// The registry could not be reached, or went away before it had greeted.
    #[error("the registry can't be reached: {0}")]
    NoRegistry(String),
    /// The command wants a session.
    #[error("not logged in")]
    NotLoggedIn,
    /// There is a session already.
    #[error("logged in already")]
    AlreadyLoggedIn,
    /// The link went away before the answer came. Whether the registry did it is not known.
    #[error("the registry went away before it answered")]
    Interrupted,
    /// No answer came in time.
    #[error("no answer came in time")]
    TimedOut,
    /// The registry refused.
    #[error("{}", .0.as_deref().unwrap_or("the registry refused"))]
    Refused(Option<String>),
    /// The registry refused for now, as it has too much to do or was asked too much (§7.8).
    #[error("{}", .reason.clone().unwrap_or_else(|| format!("the registry refused; try again in {} s", .retry_after.as_secs())))]
    Busy {
        /// When it may be tried again.
        retry_after: Duration,
        /// Why, if the registry says so.
        reason: Option<String>,
    },
    /// The username is taken, or looks like one that is. With the registry's own reason if it has one.
    #[error("{}", .0.as_deref().unwrap_or("that username is taken"))]
    NameTaken(Option<String>),
    /// The registry takes registrations by invitation, and no code was given: see
    /// [`Peer::register_invited`](super::Peer::register_invited). Nothing was asked of it.
    #[error("this registry takes registrations by invitation: a code is needed, which its operator gives")]
    InviteWanted,
    /// Wrong password or no such account; the registry doesn't tell which. With the registry's own reason if it has one.
    #[error("{}", .0.as_deref().unwrap_or("wrong username or password"))]
    LoginFailed(Option<String>),
    /// The account has a live session elsewhere.
    #[error("already logged in elsewhere")]
    AlreadyOnline,
    /// The account exists, but is offline.
    #[error("that user is not online")]
    NotOnline,
    /// There is no such account.
    #[error("there is no such user")]
    NotFound,
    /// The user announced no port, or one that is not to be dialled.
    #[error("that user can't be reached: no port announced")]
    NoPort,
    /// The registry hides the user's address, and they can't be asked for it.
    #[error("that user can't be reached: their address is hidden, and their program can't be asked")]
    AddressHidden,
    /// The user could not be reached, or the stream to them broke.
    #[error("that user can't be reached: {0}")]
    Unreachable(String),
    /// The user has another key than the one they are known by, or shows none any more (§7.13).
    #[error(
        "that user's key has changed from {known} to {}: nothing is sent to them before you decide whether it is them",
        .shown.map_or_else(|| "none".to_owned(), |key| key.to_string())
    )]
    KeyChanged {
        /// The key that they had.
        known: LinkKey,
        /// The key that the registry shows now.
        shown: Option<LinkKey>,
    },
    /// The user's program doesn't encrypt, and [`Config::plain`](super::Config::plain) says that this one has to.
    #[error("that user's program doesn't encrypt, and streams in the clear are refused")]
    Plain,
    /// One has blocked the user oneself.
    #[error("you have blocked that user")]
    Blocked,
    /// The user said no.
    #[error("{}", .0.as_deref().map_or_else(|| "the request was declined".to_owned(), |reason| format!("declined: {reason}")))]
    Rejected(Option<String>),
    /// There is no open chat with the user.
    #[error("no chat is open with that user")]
    NoChat,
    /// One is no member of the room.
    #[error("not a member of that room")]
    NotAMember,
    /// There is no such request (any more).
    #[error("there is no such chat request")]
    NoSuchRequest,
    /// The message was not taken in on the other side.
    #[error("{}", .0.as_deref().unwrap_or("the message was not accepted"))]
    NotDelivered(Option<String>),
    /// A message may have arrived, and may not have: it went out, and this ended the wait for its answer. Whatever else ends
    /// [`Peer::send`](super::Peer::send), or keeps a [`Peer::broadcast`](super::Peer::broadcast) from somebody, says that it
    /// hasn't arrived and never will.
    #[error("{why}; it may have arrived all the same")]
    Doubtful {
        /// The message's id, by which [`Event::Arrived`](super::Event::Arrived) names it if it is confirmed after all; `None` if
        /// it had no number (§7.14), and that is never told.
        id: Option<u64>,
        /// Why nobody waits for the answer any more.
        why: Box<Self>,
    },
    /// The user's program takes no files (§7.15).
    #[error("that user's program takes no files")]
    NoFiles,
    /// There is no such file to be had, or it was answered for already.
    #[error("there is no such file")]
    NoSuchFile,
    /// A file can't be read or stored here.
    #[error("{0}")]
    File(String),
    /// Who had offered a file doesn't any more.
    #[error("{}", .0.as_deref().unwrap_or("they have withdrawn it"))]
    Withdrawn(Option<String>),
    /// It was ended from here.
    #[error("cancelled")]
    Cancelled,
    /// Too much is waiting already.
    #[error("too much is waiting: at most {limit} {what}")]
    TooMany {
        /// What is limited.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The registry has no such request: the prototype's knows no rooms, and one without the capability `moderate` no
    /// owners.
    #[error("this registry does not support that")]
    Unsupported,
    /// The answer made no sense.
    #[error("the registry answered something unexpected: {0}")]
    Unexpected(String),
    /// The machine was shut down.
    #[error("closed")]
    Closed,
}

impl RequestError {
    /// What it is about, whether or not a message may have arrived.
    pub const fn cause(&self) -> &Self {
        match self {
            Self::Doubtful { why, .. } => why,
            error => error,
        }
    }

    /// The same of a message that went out.
    pub(super) fn in_doubt(self, id: Option<u64>) -> Self {
        Self::Doubtful { id, why: Box::new(self) }
    }

    /// A refusal, for ever or until some time has passed.
    pub(super) fn refused(reason: Option<Reason>, retry_after: Option<Duration>) -> Self {
        let reason = reason.map(|reason| reason.as_str().to_owned());
        match retry_after {
            Some(retry_after) => Self::Busy { retry_after, reason },
            None => Self::Refused(reason),
        }
    }
}
