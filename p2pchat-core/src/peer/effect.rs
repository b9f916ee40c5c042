//! What the peer machine wants done.

use std::net::SocketAddr;

use bytes::Bytes;
use p2pchat_proto::{FileDigest, FileName, PeerMessage, ToRegistry, ToRegistryDatagram, Username};

use super::{Event, FileId};

/// A peer stream, from the machine's [`Effect::Dial`] or the driver's
/// [`Peer::accept_stream`](super::Peer::accept_stream) until one of them closes it. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

/// Something for the machine's owner to do. Effects are carried out in the order in which they are polled.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Open the registry stream; answer with `handle_registry_connected` or `handle_registry_closed`.
    ConnectRegistry,
    /// Write a message to the registry stream, as one write of its own.
    SendRegistry(ToRegistry),
    /// Flush what was sent, then close the registry stream, or give up opening it. No fact about it is wanted any more.
    CloseRegistry,
    /// Close the registry stream, but go on with its datagrams, from the same port, until the next
    /// [`CloseRegistry`](Self::CloseRegistry): the session is parked (§7.12).
    ParkRegistry,
    /// Send a datagram to the registry.
    SendDatagram(ToRegistryDatagram),
    /// Open a peer stream; answer with `handle_stream_connected` or `handle_stream_closed`.
    Dial {
        /// To be named in every fact about the stream.
        stream: StreamId,
        /// Where to: the address that the registry published.
        addr: SocketAddr,
        /// For a stream that is encrypted (§7.13): write this one frame, then make a TLS handshake with raw public keys, and
        /// answer with `handle_stream_secured`, whoever the other end has shown to be.
        secure: Option<PeerMessage>,
    },
    /// Write a message to a peer stream.
    SendPeer {
        /// Which stream.
        stream: StreamId,
        /// What.
        message: PeerMessage,
    },
    /// Flush what was sent, then close the stream, or give up dialling it. The machine has forgotten it already.
    ClosePeer {
        /// Which stream.
        stream: StreamId,
    },
    /// Do something with a file (§7.15).
    File {
        /// Which.
        file: FileId,
        /// What.
        deed: FileDeed,
    },
    /// Tell the application.
    Event(Event),
}

/// What is to be done with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileDeed {
    /// Read a piece of one that was offered by [`Peer::offer_file`](super::Peer::offer_file); answer with `handle_file_read`, in the
    /// order of these.
    Read {
        /// From where on, in bytes.
        offset: u64,
        /// How many bytes.
        length: usize,
    },
    /// Make a place for one that was accepted, or find what an earlier attempt has left; answer with `handle_file_opened`.
    Open {
        /// Whose it is: what one user has left unfinished is of no use to another.
        from: Username,
        /// What to call it.
        name: FileName,
        /// How many bytes it will have.
        size: u64,
        /// What it will hold.
        digest: FileDigest,
    },
    /// Store what comes next; answer with `handle_file_written`.
    Write {
        /// Where it belongs: at the end of what was written before.
        offset: u64,
        /// What.
        data: Bytes,
    },
    /// All of it is stored: check that it has its digest, and put it where it belongs; answer with `handle_file_finished`.
    Finish,
    /// What has come of it is worth nothing: who sent it broke the rules. [`Close`](Self::Close) follows.
    Discard,
    /// Nothing more is done with it. What has come of it may be of use later.
    Close,
}
