//! The world's clock and its dice: what happens when, and what is left to chance, all of it from one seed.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use p2pchat_core::{
    Time,
    peer::{ChatRequestId, FileDeed, FileId, Receipt},
    registry::{
        HashAnswer, OpId,
        store::{StoreAnswer, StoreRequest},
    },
};
use p2pchat_proto::{InviteCode, Username};

use crate::network::{LineId, Side};

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// What a line carries next reaches one of its ends.
    Arrive { line: LineId, to: Side },
    /// A datagram reaches the registry.
    ToRegistry { from: SocketAddr, bytes: Bytes },
    /// A datagram reaches a peer.
    ToPeer { node: usize, bytes: Bytes },
    /// The store makes everything durable that it was asked to.
    Commit { epoch: u32 },
    /// The store's answer is ready.
    Stored { epoch: u32, op: OpId, request: Box<StoreRequest>, answer: Box<StoreAnswer> },
    /// The password hash's answer is ready.
    Hashed { epoch: u32, op: OpId, answer: HashAnswer },
    /// No line ending has followed a bare hello.
    Grace { line: LineId },
    /// The registry looks whether a stream that nobody logged in on is still used.
    Patience { line: LineId },
    /// The store's answer to the operator is ready.
    ToldOperator { epoch: u32, code: Option<InviteCode>, answer: Box<StoreAnswer> },
    /// The registry's operator does something.
    Operate,
    /// A user does something.
    Act { node: usize },
    /// Something is due at a user's program, if that is still the same.
    Errand { node: usize, incarnation: u32, errand: Errand },
    /// Something breaks.
    Fault,
    /// The weather is fine again.
    Clear,
    /// A crashed client's program is started again.
    StartNode { node: usize },
    /// The crashed registry is started again.
    StartRegistry,
}

/// What was put off at a program, and is forgotten with it.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Its user answers somebody's wish to chat.
    AnswerChat { request: ChatRequestId, accept: bool },
    /// Its user has read a message.
    Confirm { receipt: Receipt },
    /// Its user takes a file that they were offered, or declines it.
    AnswerFile { file: FileId, accept: bool },
    /// Its disk does something with a file.
    Disk { file: FileId, deed: FileDeed },
    /// Its user wants to hear another again.
    Unblock { user: Username },
}

/// What is to come, in order, and the world's only source of time and chance.
pub(crate) struct Schedule {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    queue: BTreeMap<(Time, u64), Happening>,
    last: u64,
}

impl Schedule {
    pub(crate) fn new(seed: u64) -> Self {
        Self { now: Time::ZERO, rng: Rng::with_seed(seed), queue: BTreeMap::new(), last: 0 }
    }

    pub(crate) fn at(&mut self, time: Time, what: Happening) {
        self.last += 1;
        self.queue.insert((time.max(self.now), self.last), what);
    }

    pub(crate) fn after(&mut self, delay: Duration, what: Happening) {
        self.at(self.now + delay, what);
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<Happening> {
        self.queue.pop_first().map(|(_, what)| what)
    }

    /// A duration of so many milliseconds.
    pub(crate) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_micros(self.rng.u64(range.start() * 1_000..=range.end() * 1_000))
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, times: u32) -> bool {
        self.rng.u32(0..100) < times
    }

    /// One of several.
    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.rng.usize(0..from.len())].clone())
    }
}
