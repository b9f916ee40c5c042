//! What waits to be written to a stream, bounded in bytes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{Dialect, Message};

use super::{locked::locked, pump::SLICES};

/// What is written at once of what is queued, at most, where chunks have no meaning of their own.
const PIECE: usize = 64 * 1024;

/// Room for a short message and its number, which are written at once.
const FIRST: usize = 256;

/// The queue between a machine's owner, who never waits, and the task that writes a stream.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    dialect: Dialect,
    /// Complete ones, in their order.
    chunks: VecDeque<Bytes>,
    /// What comes after them, and is still added to.
    open: BytesMut,
    bytes: usize,
    fate: Fate,
    /// Something was queued, or the stream is to be closed, since the writer last knew.
    changed: bool,
    writer: Option<Waker>,
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

/// An outbox that is held while several messages are queued. Its writer isn't woken: it is who holds it, or is woken by
/// [`Outbox`]'s own methods.
pub(super) struct Filling<'a> {
    state: MutexGuard<'a, State>,
    limit: usize,
}

impl Filling<'_> {
    /// There will be about so many messages.
    pub(super) fn reserve(&mut self, messages: usize) {
        const USUAL: usize = 80;
        // One more: an encoder makes sure of more room than most need.
        self.state.open.reserve((messages + 1) * USUAL);
    }

    /// Queues a message. In the prototype's dialect it becomes a chunk of its own, hence a TLS record of its own.
    pub(super) fn push(&mut self, message: &impl Message) {
        let state = &mut *self.state;
        if state.fate != Fate::Open {
            return;
        }
        if state.open.capacity() == 0 {
            state.open.reserve(FIRST);
        }
        let before = state.open.len();
        message.encode(&mut state.open, state.dialect);
        let size = state.open.len() - before;
        if state.dialect == Dialect::Prototype {
            state.seal();
        }
        self.count(size);
    }

    /// Queues a message that is encoded already, each piece a chunk.
    pub(super) fn push_pieces(&mut self, pieces: Vec<Bytes>) {
        if self.state.fate == Fate::Open {
            self.state.seal();
            let size = pieces.iter().map(Bytes::len).sum();
            self.state.chunks.extend(pieces);
            self.count(size);
        }
    }

    /// Has the stream closed once everything queued is written.
    pub(super) fn close(&mut self) {
        if self.state.fate == Fate::Open {
            self.state.fate = Fate::Closing;
        }
    }

    /// How many bytes wait.
    pub(super) fn queued(&self) -> usize {
        self.state.bytes
    }

    pub(super) fn fate(&self) -> Fate {
        self.state.fate
    }

    fn count(&mut self, size: usize) {
        self.state.bytes += size;
        if self.state.bytes > self.limit {
            self.state.fate = Fate::Overflowed;
            self.state.chunks.clear();
            self.state.open = BytesMut::new();
        }
    }

    /// Ends the holding, and wakes the writer.
    fn wake(mut self) {
        self.state.changed = true;
        let writer = self.state.writer.take();
        drop(self);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl State {
    /// Nothing is added to what is open any more.
    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.open).freeze());
        }
    }

    fn next(&mut self, piece: usize) -> Option<Bytes> {
        if let Some(chunk) = self.chunks.pop_front() {
            if self.chunks.is_empty() {
                self.chunks = VecDeque::new();
            }
            return Some(chunk);
        }
        match self.open.len() {
            0 => None,
            size if size <= piece => Some(std::mem::take(&mut self.open).freeze()),
            _ => Some(self.open.split_to(piece).freeze()),
        }
    }

    fn has_writer(&mut self, cx: &Context<'_>) {
        match &mut self.writer {
            Some(writer) => writer.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl Outbox {
    /// An outbox that holds `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), limit }
    }

    pub(super) fn set_dialect(&self, dialect: Dialect) {
        let mut state = self.lock();
        // What was said in another stays a chunk of its own.
        state.seal();
        state.dialect = dialect;
    }

    /// Holds the outbox. Whoever holds it must not call its methods.
    pub(super) fn fill(&self) -> Filling<'_> {
        Filling { state: self.lock(), limit: self.limit }
    }

    /// Adds what is to be written or said of the stream, and wakes the writer.
    pub(super) fn add(&self, fill: impl FnOnce(&mut Filling<'_>)) {
        let mut filling = self.fill();
        fill(&mut filling);
        filling.wake();
    }

    /// Has the stream closed once everything queued is written.
    pub(super) fn close(&self) {
        self.add(|filling| filling.close());
    }

    /// The next chunk to be written. It counts as queued until [`written`](Self::written).
    pub(super) fn take(&self) -> Option<Bytes> {
        self.lock().next(PIECE)
    }

    /// Takes as many chunks as can be written at once, until there are `enough` bytes of them, and says how many that are. In
    /// the prototype's dialect that is one.
    pub(super) fn take_some(&self, some: &mut VecDeque<Bytes>, enough: usize) -> usize {
        let mut state = self.lock();
        let mut size = 0;
        while let Some(chunk) = state.next(enough.clamp(1, PIECE)) {
            size += chunk.len();
            some.push_back(chunk);
            if size >= enough || some.len() >= SLICES || state.dialect == Dialect::Prototype {
                break;
            }
        }
        size
    }

    /// A chunk of so many bytes has been written.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// The same, and the next one is taken.
    pub(super) fn written_one(&self, bytes: usize) -> Option<Bytes> {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.next(PIECE)
    }

    pub(super) fn fate(&self) -> Fate {
        self.lock().fate
    }

    /// How many bytes wait, and what becomes of the stream.
    pub(super) fn state(&self) -> (usize, Fate) {
        let state = self.lock();
        (state.bytes, state.fate)
    }

    /// The writer is about to look at everything, and is woken by what is queued from now on. Tells what [`state`](Self::state) does.
    pub(super) fn listen(&self, cx: &Context<'_>) -> (usize, Fate) {
        let mut state = self.lock();
        state.changed = false;
        state.has_writer(cx);
        (state.bytes, state.fate)
    }

    /// True if the writer was woken and is yet to look at everything.
    pub(super) fn is_woken(&self) -> bool {
        self.lock().changed
    }

    /// Wakes the writer, to look at everything.
    pub(super) fn wake(&self) {
        self.fill().wake();
    }

    /// Waits until something was queued or the stream is to be closed. May return early.
    pub(super) async fn changed(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if std::mem::take(&mut state.changed) {
                return Poll::Ready(());
            }
            state.has_writer(cx);
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use p2pchat_proto::{FromRegistry, HelloReply};

    use super::*;

    const HELLO: FromRegistry = FromRegistry::Hello(HelloReply::Success { extensions: None });

    fn say(outbox: &Outbox) {
        outbox.add(|filling| filling.push(&HELLO));
    }

    #[test]
    fn canonical_messages_share_a_write_and_the_prototypes_do_not() {
        let outbox = Outbox::new(1000);
        say(&outbox);
        say(&outbox);
        assert_eq!(outbox.take().unwrap().iter().filter(|&&b| b == b'\n').count(), 2);
        assert_eq!(outbox.take(), None);
        outbox.set_dialect(Dialect::Prototype);
        say(&outbox);
        say(&outbox);
        assert_eq!(outbox.take().unwrap(), "HELLO_BACK SUCCESS 200 ");
        assert_eq!(outbox.take().unwrap(), "HELLO_BACK SUCCESS 200 ");
    }

    #[test]
    fn what_is_encoded_already_keeps_its_place_and_counts() {
        let outbox = Outbox::new(200_000);
        say(&outbox);
        outbox.add(|filling| {
            filling.push_pieces(vec![Bytes::from_static(b"some"), Bytes::from_static(b"more")]);
        });
        say(&outbox);
        let size = outbox.state().0;
        let taken: Vec<_> = std::iter::from_fn(|| outbox.take()).collect();
        assert_eq!(taken.len(), 4);
        assert_eq!((taken[0].len(), &taken[1][..], &taken[2][..]), (27, &b"some"[..], &b"more"[..]));
        assert_eq!((taken[3].len(), size), (27, 27 + 8 + 27));
        // Too much for one write comes in several.
        for _ in 0..4_000 {
            say(&outbox);
        }
        assert_eq!(outbox.take().map(|chunk| chunk.len()), Some(PIECE));
        outbox.add(|filling| filling.push_pieces(vec![Bytes::from_static(b"list"); 9]));
        let mut some = VecDeque::new();
        assert_eq!((outbox.take_some(&mut some, 1_000_000), some.len()), (4_000 * 27 - PIECE + 28, 8));
        some.clear();
        assert_eq!((outbox.take_some(&mut some, 1_000_000), some.len()), (8, 2));
        // What is enough is not gone beyond by more than a chunk.
        some.clear();
        outbox.add(|filling| filling.push_pieces(vec![Bytes::from_static(b"list"); 3]));
        assert_eq!((outbox.take_some(&mut some, 5), outbox.take_some(&mut some, 5)), (8, 4));
        // Nor is what hasn't become a chunk yet.
        some.clear();
        say(&outbox);
        assert_eq!((outbox.take_some(&mut some, 20), outbox.take_some(&mut some, 20)), (20, 7));
        outbox.add(|filling| filling.push_pieces(vec![vec![0; 200_000].into()]));
        assert_eq!((outbox.fate(), outbox.take()), (Fate::Overflowed, None));
    }

    #[test]
    fn what_is_not_written_counts_and_too_much_of_it_ends_the_stream() {
        let outbox = Outbox::new(100);
        say(&outbox);
        let chunk = outbox.take().unwrap();
        assert_eq!(outbox.state(), (chunk.len(), Fate::Open));
        outbox.written(chunk.len());
        assert_eq!(outbox.state(), (0, Fate::Open));
        for _ in 0..5 {
            say(&outbox);
        }
        assert_eq!((outbox.fate(), outbox.take()), (Fate::Overflowed, None));
    }
}
