//! What the registry machine wants done, and the answers it takes.

use std::{fmt, net::SocketAddr, sync::Arc};

use p2pchat_proto::{EncodedPeers, FromRegistry, FromRegistryDatagram, PasswordDigest, SessionToken};

use super::{bus::BusEvent, store::StoreRequest};

slotmap::new_key_type! {
    /// A peer's registry stream, from [`Registry::handle_connected`](super::Registry::handle_connected) until the
    /// machine or the driver closes it. Never reused: facts about a stream that is gone are passed over.
    pub struct ConnId;

    /// A question to the store, to the password hash or for a token, to be answered once.
    pub struct OpId;
}

/// Something for the machine's owner to do. Effects are carried out in the order in which they are polled.
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Write a message to a stream.
    Send {
        /// Which stream.
        conn: ConnId,
        /// What.
        message: FromRegistry,
    },
    /// Write a list of everybody online to a stream, in its turn among the messages: its bytes, most of which are shared with
    /// other lists. Only to streams in the canonical dialect.
    SendPeers {
        /// Which stream.
        conn: ConnId,
        /// What.
        peers: EncodedPeers,
    },
    /// Flush what was sent to a stream, then close it. The machine has forgotten it already.
    Close {
        /// Which stream.
        conn: ConnId,
    },
    /// Send a datagram.
    SendDatagram {
        /// Where to.
        to: SocketAddr,
        /// What.
        message: FromRegistryDatagram,
    },
    /// Ask the store; answer with [`Registry::handle_stored`](super::Registry::handle_stored).
    Store {
        /// To be named in the answer.
        op: OpId,
        /// The question.
        request: StoreRequest,
    },
    /// Ask the slow password hash; answer with [`Registry::handle_hashed`](super::Registry::handle_hashed).
    Hash {
        /// To be named in the answer.
        op: OpId,
        /// The question.
        request: HashRequest,
    },
    /// Make a session token (§7.5), or the bits of a ticket (§7.6), of cryptographic randomness, which a machine has none of, and look at the calendar's
    /// clock; answer with [`Registry::handle_token`](super::Registry::handle_token).
    Token {
        /// To be named in the answer.
        op: OpId,
    },
    /// Tell the other registry nodes. Only with [`Config::publish_events`](super::Config::publish_events).
    Publish(BusEvent),
}

/// A job for the slow, salted password hash (Argon2id), off the event loop.
#[derive(Clone)]
#[non_exhaustive]
pub enum HashRequest {
    /// Hash under a fresh salt: [`HashAnswer::Created`].
    Create {
        /// What the client sent.
        digest: PasswordDigest,
    },
    /// Compare in constant time: [`HashAnswer::Match`] or [`HashAnswer::Mismatch`].
    Verify {
        /// What the client sent.
        digest: PasswordDigest,
        /// The stored hash; `None` if there is no such account, which must take the same time.
        stored: Option<Arc<str>>,
    },
}

impl fmt::Debug for HashRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create { .. } => "Create(…)",
            Self::Verify { .. } => "Verify(…)",
        })
    }
}

/// What the password hash says.
#[derive(Clone)]
#[non_exhaustive]
pub enum HashAnswer {
    /// The hash in PHC form.
    Created(Arc<str>),
    /// The password is right.
    Match {
        /// A new hash to be stored if the parameters have changed since.
        upgraded: Option<Arc<str>>,
    },
    /// The password is wrong, or there was nothing to compare with.
    Mismatch,
    /// Too many jobs are waiting.
    Busy,
    /// The stored hash can't be read, or hashing failed.
    Failed,
}

impl fmt::Debug for HashAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created(_) => "Created(…)",
            Self::Match { .. } => "Match",
            Self::Mismatch => "Mismatch",
            Self::Busy => "Busy",
            Self::Failed => "Failed",
        })
    }
}

/// A token of which nobody knows anything yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TokenAnswer {
    /// Here it is.
    Fresh {
        /// Made of 256 bits that nobody can guess.
        token: SessionToken,
        /// The time now, in seconds since 1970: tokens outlast the machine's clock.
        unix_now: u64,
    },
    /// There is no randomness.
    Failed,
}
