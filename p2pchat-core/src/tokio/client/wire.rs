//! A peer stream as both its task and whoever has something to say on it see it.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::BufReader;

use crate::tokio::{
    network::BoxStream,
    outbox::{Fate, Outbox},
    pump::{self, Progress},
};

/// What waits to be written, and what it is written to.
///
/// A stream's task reads, and writes what has to wait. What doesn't is written at once by whoever says it: waking the task for
/// that would be most of what a short message costs.
pub(super) struct Wire {
    pub(super) outbox: Outbox,
    /// Nothing more is read; see [`Pause`].
    paused: AtomicBool,
    /// There is none before it is open, and while a handshake is made on it.
    io: Mutex<Option<Io>>,
}

pub(super) struct Io {
    pub(super) stream: BufReader<BoxStream>,
    /// What is being written, and how much of the outbox that is.
    chunk: Option<Bytes>,
    chunk_size: usize,
    /// Writing has failed, which the stream's task is yet to learn.
    failure: Option<io::Error>,
    /// The stream's task. It is who a stream wakes, whoever writes: one may keep a single waker for both directions.
    reader: Waker,
}

/// Nothing more is read from a stream until this is dropped.
pub(super) struct Pause(Arc<Wire>);

impl Wire {
    pub(super) fn new(limit: usize) -> Self {
        Self { outbox: Outbox::new(limit), paused: AtomicBool::new(false), io: Mutex::default() }
    }

    pub(super) fn open(&self, stream: BoxStream) {
        let stream = BufReader::new(stream);
        *self.io() =
            Some(Io { stream, chunk: None, chunk_size: 0, failure: None, reader: Waker::noop().clone() });
    }

    /// The stream is for its task alone from now on.
    pub(super) fn take(&self) -> Option<Io> {
        self.io().take()
    }

    pub(super) fn pause(self: Arc<Self>) -> Pause {
        self.paused.store(true, Ordering::Release);
        Pause(self)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Writes what is queued, as far as that can be done at once. The rest is left to the stream's task, and all of it if that is
    /// about to write something anyway.
    pub(super) fn write_now(&self) {
        if self.outbox.is_woken() {
            return;
        }
        // Where the task is at it, it goes on.
        let is_written = self.io.try_lock().is_ok_and(|mut io| {
            let Some(io) = io.as_mut().filter(|io| io.failure.is_none()) else { return false };
            let reader = io.reader.clone();
            match io.poll_write(&self.outbox, &mut Context::from_waker(&reader)) {
                Poll::Ready(Err(error)) => {
                    io.failure = Some(error);
                    false
                }
                written => written.is_ready(),
            }
        });
        if !is_written || self.outbox.fate() != Fate::Open {
            self.outbox.wake();
        }
    }

    /// Writes what is queued and, if `may_read`, reads into `inbox`, until there is something to look at: what was read, or
    /// what has become of the stream.
    pub(super) fn poll(
        &self,
        inbox: &mut BytesMut,
        may_read: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Progress>>> {
        let (queued, fate) = self.outbox.listen(cx);
        if fate != Fate::Open || may_read == self.is_paused() {
            return Poll::Ready(Ok(None));
        }
        let mut io = self.io();
        let Some(io) = io.as_mut() else { return Poll::Pending };
        io.reader.clone_from(cx.waker());
        if let Some(error) = io.failure.take() {
            return Poll::Ready(Err(error));
        }
        // What isn't written and flushed counts as queued.
        if queued > 0
            && let Poll::Ready(Err(error)) = io.poll_write(&self.outbox, cx)
        {
            return Poll::Ready(Err(error));
        }
        if !may_read {
            return Poll::Pending;
        }
        pump::poll_read(&mut io.stream, inbox, cx).map_ok(Some)
    }

    fn io(&self) -> MutexGuard<'_, Option<Io>> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Io {
    /// Ready once everything that is queued is written and flushed.
    fn poll_write(&mut self, outbox: &Outbox, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_chunk(outbox) {
            while ready!(self.poll_write_chunk(outbox, cx))? {}
        }
        Poll::Ready(Ok(()))
    }

    /// Whether there is something left to write.
    pub(super) fn has_chunk(&mut self, outbox: &Outbox) -> bool {
        if self.chunk.is_none() {
            let next = outbox.take();
            self.begin(next);
        }
        self.chunk.is_some()
    }

    /// Ready once a chunk is written. Tells whether there is another.
    pub(super) fn poll_write_chunk(
        &mut self,
        outbox: &Outbox,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        ready!(pump::poll_write_all(&mut self.stream, &mut self.chunk, cx))?;
        self.begin(outbox.written_one(self.chunk_size));
        Poll::Ready(Ok(self.chunk.is_some()))
    }

    fn begin(&mut self, chunk: Option<Bytes>) {
        self.chunk_size = chunk.as_ref().map_or(0, Bytes::len);
        self.chunk = chunk;
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.paused.store(false, Ordering::Release);
        self.0.outbox.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, sync::atomic::AtomicUsize, task::Wake};

    use p2pchat_proto::PeerMessage;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    /// A stream that wakes whoever asked last, whether they wanted to read or to write.
    #[derive(Clone, Default)]
    struct OneWaker(Arc<Mutex<(Vec<u8>, Option<Waker>)>>);

    impl AsyncRead for OneWaker {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0.lock().unwrap().1 = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    impl AsyncWrite for OneWaker {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let mut state = self.0.lock().unwrap();
            state.0.extend_from_slice(bytes);
            state.1 = Some(cx.waker().clone());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_writes_beside_a_streams_task_doesnt_take_its_waking_away() {
        let (stream, task) = (OneWaker::default(), Arc::new(Task::default()));
        let (wire, mut inbox) = (Wire::new(1_000), BytesMut::new());
        wire.open(Box::new(stream.clone()));
        let waker = task.clone().into();
        let cx = &mut Context::from_waker(&waker);
        assert!(wire.poll(&mut inbox, true, cx).is_pending());
        wire.outbox.fill().push(&PeerMessage::Ping(7));
        wire.write_now();
        let (written, asked) = std::mem::take(&mut *stream.0.lock().unwrap());
        assert_eq!((written.as_slice(), task.0.load(Ordering::Relaxed)), (&b"PING <7>\n"[..], 0));
        asked.unwrap().wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 1, "something has come, and the task is told");
    }
}
