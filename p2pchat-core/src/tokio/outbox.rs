//! What waits to be written to a stream, bounded in bytes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{Dialect, Message};
use tokio::sync::Notify;

/// The queue between a machine's owner, who never waits, and the task that writes a stream.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    dialect: Dialect,
    chunks: VecDeque<BytesMut>,
    bytes: usize,
    fate: Fate,
}

/// What becomes of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Fate {
    #[default]
    Open,
    /// To be closed once everything is written.
    Closing,
    /// To be closed at once: the other end reads too slowly.
    Overflowed,
}

impl Outbox {
    /// An outbox that holds `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), limit }
    }

    pub(super) fn set_dialect(&self, dialect: Dialect) {
        self.lock().dialect = dialect;
    }

    /// Queues a message. In the prototype's dialect it becomes a chunk of its own, hence a TLS record of its own.
    pub(super) fn push(&self, message: &impl Message) {
        let mut state = self.lock();
        if state.fate != Fate::Open {
            return;
        }
        let dialect = state.dialect;
        let mut chunk = match dialect {
            Dialect::Canonical => state.chunks.pop_back().unwrap_or_default(),
            _ => BytesMut::new(),
        };
        let before = chunk.len();
        message.encode(&mut chunk, dialect);
        state.bytes += chunk.len() - before;
        state.chunks.push_back(chunk);
        if state.bytes > self.limit {
            state.fate = Fate::Overflowed;
            state.chunks.clear();
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Has the stream closed once everything queued is written.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if state.fate == Fate::Open {
            state.fate = Fate::Closing;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next chunk to be written. It counts as queued until [`written`](Self::written).
    pub(super) fn take(&self) -> Option<Bytes> {
        self.lock().chunks.pop_front().map(BytesMut::freeze)
    }

    /// A chunk of so many bytes has been written.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    pub(super) fn fate(&self) -> Fate {
        self.lock().fate
    }

    /// How many bytes wait.
    pub(super) fn queued(&self) -> usize {
        self.lock().bytes
    }

    /// Waits until something was queued or the stream is to be closed. May return early.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use p2pchat_proto::{FromRegistry, HelloReply};

    use super::*;

    const HELLO: FromRegistry = FromRegistry::Hello(HelloReply::Success { extensions: None });

    #[test]
    fn canonical_messages_share_a_write_and_the_prototypes_do_not() {
        let outbox = Outbox::new(1000);
        outbox.push(&HELLO);
        outbox.push(&HELLO);
        assert_eq!(outbox.take().unwrap().iter().filter(|&&b| b == b'\n').count(), 2);
        assert_eq!(outbox.take(), None);
        outbox.set_dialect(Dialect::Prototype);
        outbox.push(&HELLO);
        outbox.push(&HELLO);
        assert_eq!(outbox.take().unwrap(), "HELLO_BACK SUCCESS 200 ");
        assert_eq!(outbox.take().unwrap(), "HELLO_BACK SUCCESS 200 ");
    }

    #[test]
    fn what_is_not_written_counts_and_too_much_of_it_ends_the_stream() {
        let outbox = Outbox::new(100);
        outbox.push(&HELLO);
        let chunk = outbox.take().unwrap();
        assert_eq!(outbox.queued(), chunk.len());
        outbox.written(chunk.len());
        assert_eq!((outbox.queued(), outbox.fate()), (0, Fate::Open));
        for _ in 0..5 {
            outbox.push(&HELLO);
        }
        assert_eq!((outbox.fate(), outbox.take()), (Fate::Overflowed, None));
    }
}
