//! What a peer knows of its way to the registry, for people who look for what is wrong.

use std::{net::SocketAddr, time::Duration};

use p2pchat_proto::{Capabilities, Dialect, Username};

use super::{Peer, link::Link};
use crate::time::Time;

/// The state of the registry link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// There is none, and none is looked for.
    Down,
    /// It was lost, and is tried again after a pause.
    Waiting,
    /// It is being dialled, or hasn't been greeted.
    Connecting,
    /// It is up and greeted.
    Up,
    /// There is no stream, and the session goes on by keep-alives alone (§7.12).
    Parked,
}

/// What is known of the registry link, of keep-alives, and of who has got through to this peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The state of the link.
    pub link: LinkState,
    /// Which dialect it speaks; `None` as long as it isn't greeted.
    pub dialect: Option<Dialect>,
    /// What was agreed on (§7.1).
    pub capabilities: Capabilities,
    /// How long ago the registry last answered a keep-alive of this session; `None` if it hasn't.
    pub heard: Option<Duration>,
    /// How long that answer took.
    pub round_trip: Option<Duration>,
    /// How many keep-alives have been sent since.
    pub unanswered: u32,
    /// With whom a chat is open, also where its stream is lost and looked for.
    pub chats: Vec<Username>,
    /// How many streams others have dialled that are open now.
    pub accepted: usize,
    /// Who has last dialled this peer in this session and been recognised, where from, and how long ago.
    pub dialled_by: Option<(Username, SocketAddr, Duration)>,
}

impl Peer {
    /// What is known at this moment.
    pub fn status(&self, now: Time) -> Status {
        let (link, dialect, capabilities) = match self.link {
            Link::Down | Link::Leaving { .. } => (LinkState::Down, None, Capabilities::NONE),
            Link::Paused => (LinkState::Waiting, None, Capabilities::NONE),
            Link::Connecting | Link::Greeting { .. } => (LinkState::Connecting, None, Capabilities::NONE),
            Link::Ready { dialect, capabilities } => (LinkState::Up, Some(dialect), capabilities),
            Link::Parked { capabilities } => (LinkState::Parked, Some(Dialect::Canonical), capabilities),
        };
        let pulse = self.session.as_ref().map(|session| &session.pulse);
        Status {
            link,
            dialect,
            capabilities,
            heard: pulse.and_then(|pulse| pulse.heard).map(|heard| now.since(heard)),
            round_trip: pulse.and_then(|pulse| pulse.round_trip),
            unanswered: pulse.map_or(0, |pulse| pulse.unanswered),
            chats: self.open_chats(),
            accepted: self.accepted,
            dialled_by: self
                .caller
                .as_ref()
                .map(|caller| (caller.user.clone(), caller.addr, now.since(caller.at))),
        }
    }

    fn open_chats(&self) -> Vec<Username> {
        let lost = self.lines.iter().filter(|(user, line)| line.chat && !self.chats.contains_key(*user));
        self.chats.keys().chain(lost.map(|(user, _)| user)).cloned().collect()
    }
}

/// A session's keep-alives, and the answers to them.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// When the last one went out that isn't answered.
    sent: Option<Time>,
    pub(super) heard: Option<Time>,
    round_trip: Option<Duration>,
    unanswered: u32,
}

impl Pulse {
    pub(super) fn sent(&mut self, now: Time) {
        self.sent = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
    }

    pub(super) fn answered(&mut self, now: Time) {
        self.heard = Some(now);
        self.round_trip = self.sent.take().map(|sent| now.since(sent)).or(self.round_trip);
        self.unanswered = 0;
    }
}
