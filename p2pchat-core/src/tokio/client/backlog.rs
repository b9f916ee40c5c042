//! What was read from peer streams and isn't for the machine yet: at most one message a stream.

use std::collections::{BTreeMap, VecDeque};

use p2pchat_proto::PeerMessage;

use super::wire::Pause;
use crate::{Time, peer::StreamId};

/// A message, and, where it waits, what keeps its stream from being read further.
pub(super) struct Read {
    pub(super) stream: StreamId,
    pub(super) message: PeerMessage,
    pub(super) pause: Option<Pause>,
}

#[derive(Default)]
pub(super) struct Backlog {
    /// What is beyond its sender's budget, by when its turn comes, and in the order of coming.
    early: BTreeMap<(Time, u64), Read>,
    last: u64,
    /// What others said while the application had enough waiting, in the order of coming: between two of one stream stands
    /// whatever all others have.
    held: VecDeque<Read>,
}

impl Backlog {
    pub(super) fn wait(&mut self, turn: Time, read: Read) {
        self.last += 1;
        self.early.insert((turn, self.last), read);
    }

    /// When the next one's turn comes.
    pub(super) fn next_turn(&self) -> Option<Time> {
        self.early.first_key_value().map(|(&(turn, _), _)| turn)
    }

    /// One whose turn has come.
    pub(super) fn take_due(&mut self, now: Time) -> Option<Read> {
        let due = self.next_turn().is_some_and(|turn| turn <= now);
        due.then(|| self.early.pop_first()).flatten().map(|(_, read)| read)
    }

    pub(super) fn hold(&mut self, read: Read) {
        self.held.push_back(read);
    }

    /// True if something is held for the application's sake.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The one that has been held for longest.
    pub(super) fn release(&mut self) -> Option<Read> {
        self.held.pop_front()
    }

    /// A stream is gone.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.early.retain(|_, read| read.stream != stream);
        self.held.retain(|read| read.stream != stream);
    }
}
