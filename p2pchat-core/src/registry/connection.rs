//! A peer's registry stream, as far as the machine is concerned.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use p2pchat_proto::{
    Capabilities, Capability, Dialect, LinkKey, Malformed, PeerPort, RoomName, ToRegistry, Username,
};

use super::{effect::OpId, keep_alive::Ticket, leases::End, store::TokenDigest};
use crate::time::Time;

#[derive(Debug)]
pub(super) struct Connection {
    /// The address that the TLS connection comes from.
    pub(super) remote: SocketAddr,
    pub(super) dialect: Dialect,
    /// What both ends know beyond the base protocol.
    pub(super) capabilities: Capabilities,
    pub(super) phase: Phase,
    /// What is done for the stream, as long as there is one.
    pub(super) work: Option<Box<Work>>,
    last_heard: Time,
    pub(super) line: Line,
}

/// What a stream's peer wants.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The question that the request being answered waits for.
    pub(super) op: Option<OpId>,
    /// The requests after that one.
    pub(super) inbox: VecDeque<Incoming>,
    /// How often something was wrong with what came.
    pub(super) faults: u32,
    /// The link key of sessions that begin on the stream (§7.13).
    pub(super) key: Option<Box<LinkKey>>,
}

/// What there is of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Open,
    /// It has ended, and the session waits for its user to come back on another (§7.5).
    Broken,
    /// It was closed at its user's wish, and the session goes on by its keep-alives (§7.12).
    Parked {
        /// Something waits for its user.
        wanted: bool,
    },
}

#[derive(Debug)]
pub(super) enum Incoming {
    Message(ToRegistry),
    Malformed(Malformed),
}

#[derive(Debug)]
pub(super) enum Phase {
    /// No hello yet.
    Greeting,
    /// No login yet.
    Anonymous,
    LoggedIn(Box<Session>),
}

/// A user online.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) username: Username,
    pub(super) port: Option<PeerPort>,
    /// The rooms that the user is a member of, as their creators spelled them.
    pub(super) rooms: Vec<RoomName>,
    /// The place of its claim in the order of all.
    pub(super) epoch: u64,
    /// When it began.
    pub(super) since: Time,
    /// How long the session lives after a keep-alive.
    pub(super) lease: Duration,
    /// Until when it lives.
    pub(super) end: End,
    /// Where the first keep-alive came from, or the last that proved a ticket. Without one, those from elsewhere may be
    /// forged: they can't make the session shorter.
    pub(super) datagrams: Option<SocketAddr>,
    /// Until when further keep-alives are not answered.
    pub(super) quiet_until: Time,
    /// What its keep-alives have to prove, once it was given to the peer.
    pub(super) ticket: Option<Ticket>,
    /// Its user was given a token, which continues it on another stream.
    pub(super) has_token: bool,
    /// Which of the account's tokens was given out last when it began, to its user or, where the store couldn't write, before:
    /// revoking that one revokes them all, unless somebody has come by them since.
    pub(super) current: Option<Box<TokenDigest>>,
    /// By which its user's peer streams are known (§7.13).
    pub(super) key: Option<Box<LinkKey>>,
}

impl Connection {
    pub(super) fn new(now: Time, remote: SocketAddr) -> Self {
        Self {
            remote,
            dialect: Dialect::Canonical,
            capabilities: Capabilities::NONE,
            phase: Phase::Greeting,
            work: Some(Box::default()),
            last_heard: now,
            line: Line::Open,
        }
    }

    /// The place of a session that has no stream any more.
    pub(super) fn without_stream(&self, session: Box<Session>, line: Line) -> Self {
        Self {
            remote: self.remote,
            dialect: self.dialect,
            capabilities: self.capabilities,
            phase: Phase::LoggedIn(session),
            work: None,
            last_heard: self.last_heard,
            line,
        }
    }

    /// The question that the stream's requests wait for.
    pub(super) fn op(&self) -> Option<OpId> {
        self.work.as_ref()?.op
    }

    /// From now on they wait for that one, or for none.
    pub(super) fn set_op(&mut self, op: Option<OpId>) {
        if let Some(work) = &mut self.work {
            work.op = op;
        }
    }

    pub(super) fn has_stream(&self) -> bool {
        self.line == Line::Open
    }

    /// True if the stream has ended and the session waits for another.
    pub(super) fn waits(&self) -> bool {
        self.line == Line::Broken
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.line, Line::Parked { .. })
    }

    pub(super) fn heard(&mut self, now: Time) {
        self.last_heard = now;
    }

    /// For how long nothing has come.
    pub(super) fn silence(&self, now: Time) -> Duration {
        now.since(self.last_heard)
    }

    /// True if nothing has come for one keep-alive interval, a third of the lease, or there is no stream: the session is a
    /// ghost, or parked, and a fresh login may replace it (§5.1).
    pub(super) fn is_silent(&self, now: Time) -> bool {
        match &self.phase {
            Phase::LoggedIn(session) => !self.has_stream() || self.silence(now) >= session.lease / 3,
            Phase::Greeting | Phase::Anonymous => true,
        }
    }

    /// True if messages under `capability` may be sent here.
    pub(super) fn has(&self, capability: Capability) -> bool {
        self.dialect == Dialect::Canonical && self.capabilities.has(capability)
    }

    pub(super) fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::LoggedIn(session) => Some(session),
            Phase::Greeting | Phase::Anonymous => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::LoggedIn(session) => Some(session),
            Phase::Greeting | Phase::Anonymous => None,
        }
    }
}
