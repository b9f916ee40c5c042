//! One peer's registry stream: TLS handshake, reading, writing, time limits, closing.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{Dialect, Malformed, Message, ToRegistry, codec::RegistryCodec};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::codec::Decoder;

use super::{ServerConfig, shared::Shared, stats::Counter};
use crate::{
    Time,
    registry::{ConnId, Registry},
    tokio::{
        outbox::{Fate, Outbox},
        pump::{self, Progress},
        tls,
    },
};

/// While more than this waits to be written, requests wait too: their answers would only add to it.
const ENOUGH_QUEUED: usize = 64 * 1024;
/// How many messages the machine is handed at once, at most: others wait for it meanwhile.
const BATCH: usize = 32;
/// About as short as a request is.
const SHORT_REQUEST: usize = 20;
/// How often a stream is read from, and how much is written to it, before others have their turn: a record of TLS, so that
/// many who ask for long lists at once hold nobody else up for long.
const TURNS: usize = 8;
const SHARE: usize = 16 * 1024;

/// Serves a stream from its TLS handshake to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    shared: Arc<Shared>,
    stream: S,
    remote: SocketAddr,
) {
    // A socket for both kinds of addresses shows IPv4's in a form that nobody could dial.
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    let config = shared.config();
    let outbox = Arc::new(Outbox::new(config.send_queue_bytes));
    let conn = match shared.connect(remote, outbox.clone()) {
        Ok(conn) => conn,
        Err(refused) => {
            let so_far = shared.counters.refused_connections.one();
            // Whoever holds all connections and asks for more must not fill the log as well.
            if so_far.is_power_of_two() {
                tracing::warn!(%remote, %refused, so_far, "refused a connection");
            }
            return;
        }
    };
    // From here on the machine is told of the end, however this future ends.
    let registered = Registered { shared, conn };
    let shared = &registered.shared;

    // In memory of its own, which the stream doesn't keep.
    let Some(stream) = Box::pin(shake_hands(shared, &config, conn, remote, stream)).await else { return };
    let mut connection = Connection::new(shared, config, conn, remote, outbox, stream);
    let end = poll_fn(|cx| connection.poll(cx)).await;
    if matches!(end, End::Closed) {
        Box::pin(pump::close(&mut connection.stream)).await;
    }
    tracing::debug!(?conn, %remote, ?end, "disconnected");
}

async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    config: &ServerConfig,
    conn: ConnId,
    remote: SocketAddr,
    stream: S,
) -> Option<TlsStream<S>> {
    let Some(_open) = shared.handshakes.take() else {
        let so_far = shared.counters.refused_handshakes.one();
        if so_far.is_power_of_two() {
            let limit = shared.handshakes.limit();
            tracing::warn!(%remote, limit, so_far, "refused a connection: too many TLS handshakes are going on");
        }
        return None;
    };
    let handshake = TlsAcceptor::from(config.tls.config.clone()).accept(stream);
    match timeout(config.times.handshake, handshake).await {
        Ok(Ok(stream)) => {
            shared.counters.finished_handshakes.one();
            tracing::debug!(?conn, %remote, "connected");
            Some(stream)
        }
        failed => {
            let so_far = shared.counters.failed_handshakes.one();
            let error = failed.map_or_else(|late| late.to_string(), |result| format!("{:?}", result.err()));
            // Ever more seldom: every scanner of the net comes by.
            if so_far.is_power_of_two() {
                tracing::info!(?conn, %remote, error, so_far, "a TLS handshake failed");
            } else {
                tracing::debug!(?conn, %remote, error, so_far, "a TLS handshake failed");
            }
            None
        }
    }
}

struct Registered {
    shared: Arc<Shared>,
    conn: ConnId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.disconnect(self.conn);
    }
}

struct Connection<'a, S> {
    shared: &'a Shared,
    config: Arc<ServerConfig>,
    conn: ConnId,
    remote: SocketAddr,
    outbox: Arc<Outbox>,
    stream: TlsStream<S>,
    codec: RegistryCodec,
    inbox: BytesMut,
    /// What has come and has to wait, in its order.
    batch: VecDeque<Result<ToRegistry, Malformed>>,
    /// What is being written.
    chunks: VecDeque<Bytes>,
    /// The size of `chunks` when they were taken; 0 if nothing is being written.
    taken: usize,
    dialect: Option<Dialect>,
    waits: Waits,
    /// Sleeps until the next limit, if there is one.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What there is to be handed to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// There was no more: bytes are needed.
    All,
    /// There may be more.
    Some,
    /// What comes next has to wait.
    Waits,
}

/// How much of what is queued is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    All,
    /// What the peer takes now.
    Some,
    /// As much as is written before others have their turn.
    Share,
}

/// What is being waited for, and since when.
struct Waits {
    /// A first message has come.
    greeted: bool,
    /// Somebody is logged in.
    session: bool,
    /// The machine takes the next message. Only a message makes that false, only an answer true again.
    ready: bool,
    /// Until when nothing more is read, as too much is asked from where the peer is.
    held: Option<Time>,
    /// The last message, or the handshake.
    heard: Instant,
    /// The first byte of a frame that isn't whole.
    frame: Option<Instant>,
    /// A hello without a line ending.
    hello: Option<Instant>,
    /// The peer has read nothing, and so much of what is being written has been left.
    unread: Option<(Instant, usize)>,
    /// The stream is to be closed.
    closing: Option<Instant>,
}

impl Waits {
    fn ask(&mut self, registry: &Registry, now: Time, conn: ConnId) {
        self.ready = registry.is_ready(conn);
        self.held = registry.held_until(now, conn);
        self.session = registry.has_session(conn);
    }

    /// True if the next message can be handed to the machine while so much is queued.
    fn may_take(&self, queued: usize, fate: Fate) -> bool {
        self.ready && self.held.is_none() && queued <= ENOUGH_QUEUED && fate == Fate::Open
    }
}

/// Whose turn it is when a time limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Hello,
    FirstMessage,
    Frame,
    Idle,
    Unread,
    Held,
    Flush,
}

/// Why a connection ended.
#[derive(Debug)]
#[expect(dead_code, reason = "read by the log, through Debug")]
enum End {
    /// Everything that the machine wanted to say is said.
    Closed,
    /// The stream broke, or the peer closed it.
    Broken(std::io::ErrorKind),
    /// The peer doesn't read what it is sent.
    SlowReader,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    fn new(
        shared: &'a Shared,
        config: Arc<ServerConfig>,
        conn: ConnId,
        remote: SocketAddr,
        outbox: Arc<Outbox>,
        stream: TlsStream<S>,
    ) -> Self {
        let mut codec = RegistryCodec::new(config.machine.limits);
        if tls::is_ours(stream.get_ref().1.alpn_protocol()) {
            codec.set_dialect(Dialect::Canonical);
        }
        let heard = shared.clock.instant_now();
        let waits = Waits {
            greeted: false,
            session: false,
            ready: true,
            held: None,
            heard,
            frame: None,
            hello: None,
            unread: None,
            closing: None,
        };
        Self {
            shared,
            config,
            conn,
            remote,
            outbox,
            stream,
            codec,
            inbox: BytesMut::new(),
            batch: VecDeque::new(),
            chunks: VecDeque::new(),
            taken: 0,
            dialect: None,
            waits,
            timer: None,
        }
    }

    /// Does what can be done at once. Ready once the stream is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..TURNS {
            // Before anything is looked at, so that nothing is missed.
            self.outbox.listen(cx);
            let taken = self.take_messages();
            let written = match self.write(cx) {
                Ok(written) => written,
                Err(error) => return Poll::Ready(End::Broken(error.kind())),
            };
            match self.outbox.state() {
                (_, Fate::Open) => {}
                (_, Fate::Overflowed) => return Poll::Ready(self.slow_reader()),
                // Something may have been queued after the last look, by whoever closes.
                (0, Fate::Closing) if written == Written::All => return Poll::Ready(End::Closed),
                (_, Fate::Closing) => {
                    self.waits.closing.get_or_insert_with(|| self.shared.clock.instant_now());
                }
            }
            let goes_on = match taken {
                _ if written == Written::Share => break,
                Taken::Some => true,
                Taken::Waits => written == Written::All && self.may_take(),
                Taken::All if self.waits.closing.is_some() => false,
                Taken::All => match self.read(cx) {
                    Ok(has_read) => has_read,
                    Err(error) => return Poll::Ready(End::Broken(error.kind())),
                },
            };
            if !goes_on {
                match self.poll_limit(cx) {
                    Poll::Ready(None) => {}
                    Poll::Ready(Some(end)) => return Poll::Ready(end),
                    Poll::Pending => {
                        self.keep_no_room();
                        return Poll::Pending;
                    }
                }
            }
        }
        if let Poll::Ready(Some(end)) = self.poll_limit(cx) {
            return Poll::Ready(end);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// No room for messages is kept for a stream that may be idle from now on.
    fn keep_no_room(&mut self) {
        self.batch.shrink_to_fit();
        self.chunks.shrink_to_fit();
        if self.inbox.is_empty() && self.dialect != Some(Dialect::Prototype) {
            self.inbox = BytesMut::new();
        }
    }

    /// Writes what is queued, as far as the peer takes it.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<Written> {
        let mut share = SHARE;
        loop {
            if self.taken == 0 {
                self.taken = self.outbox.take_some(&mut self.chunks, share);
            }
            if self.taken == 0 {
                return Ok(Written::All);
            }
            match pump::poll_write_chunks(&mut self.stream, &mut self.chunks, cx)? {
                Poll::Pending => return Ok(Written::Some),
                Poll::Ready(()) => {}
            }
            let written = std::mem::take(&mut self.taken);
            self.shared.counters.bytes_sent.add(written);
            self.waits.unread = None;
            self.outbox.written(written);
            if written >= share {
                return Ok(Written::Share);
            }
            share -= written;
        }
    }

    /// True if something came.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let before = self.inbox.len();
        match pump::poll_read(&mut self.stream, &mut self.inbox, cx)? {
            Poll::Pending => return Ok(false),
            Poll::Ready(Progress::End) => self.end_of_input(),
            Poll::Ready(Progress::Read | Progress::Written) => {
                self.shared.counters.bytes_received.add(self.inbox.len() - before);
            }
        }
        Ok(true)
    }

    /// Ready once a time limit was reached, and with the stream's end if that is what it means.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        self.note_unread();
        let Some((at, limit)) = self.next_limit() else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        match limit {
            Limit::Hello => {
                self.waits.hello = None;
                self.codec.grace_expired();
            }
            Limit::Flush => return Poll::Ready(Some(self.slow_reader())),
            Limit::Unread if self.reads_nothing() => return Poll::Ready(Some(self.slow_reader())),
            Limit::Unread | Limit::Held => {}
            limit => self.give_up(limit),
        }
        Poll::Ready(None)
    }

    /// True if the next message can be handed to the machine.
    fn may_take(&self) -> bool {
        let (queued, fate) = self.outbox.state();
        self.waits.may_take(queued, fate)
    }

    /// Hands the machine some of the messages that have come.
    fn take_messages(&mut self) -> Taken {
        if !self.waits.ready || self.waits.held.is_some() {
            let (conn, waits) = (self.conn, &mut self.waits);
            self.shared.act(|registry, now| waits.ask(registry, now, conn));
        }
        let mut is_all = false;
        if self.may_take() {
            is_all = !self.decode();
            if !self.batch.is_empty() {
                self.hand_over();
            }
        }
        if !self.batch.is_empty() || !self.may_take() {
            // The peer isn't waited for while it is not read from.
            (self.waits.frame, self.waits.hello) = (None, None);
            return Taken::Waits;
        }
        if !is_all {
            return Taken::Some;
        }
        let hello = self.codec.awaits_grace(&self.inbox);
        let frame = !hello && !self.inbox.is_empty();
        let clock = self.shared.clock;
        let awaits = |since: &mut Option<Instant>, awaited: bool| {
            *since = if awaited { since.or_else(|| Some(clock.instant_now())) } else { None };
        };
        awaits(&mut self.waits.hello, hello);
        awaits(&mut self.waits.frame, frame);
        Taken::All
    }

    /// Makes messages of what has come. False if there are no more in it.
    fn decode(&mut self) -> bool {
        while self.batch.len() < BATCH {
            // The decoder's error type is what its trait asks for; it has none of its own.
            let Ok(Some(item)) = self.codec.decode(&mut self.inbox) else { return false };
            if self.batch.capacity() == 0 {
                self.batch.reserve((1 + self.inbox.len() / SHORT_REQUEST).min(BATCH));
            }
            self.batch.push_back(item);
            // The first shows in which dialect it is to be answered.
            if self.dialect.is_none() {
                return true;
            }
        }
        true
    }

    /// Hands the machine the messages of the batch, up to the first that has to wait.
    fn hand_over(&mut self) {
        let now = self.shared.clock.instant_now();
        let (conn, waits, batch) = (self.conn, &mut self.waits, &mut self.batch);
        waits.greeted = true;
        waits.frame = None;
        waits.heard = now;
        let mut found = self.codec.dialect().filter(|&dialect| self.dialect != Some(dialect));
        if let Some(dialect) = found {
            self.dialect = Some(dialect);
            self.outbox.set_dialect(dialect);
        }
        let mut is_first = true;
        self.shared.converse(now, (conn, &self.outbox, batch.len()), |registry, now, filling| {
            if !std::mem::take(&mut is_first) {
                waits.ask(registry, now, conn);
            }
            if !waits.may_take(filling.queued(), filling.fate()) {
                return false;
            }
            let Some(item) = batch.pop_front() else { return false };
            if let Some(dialect) = found.take() {
                registry.handle_dialect(conn, dialect);
            }
            match item {
                Ok(message) => {
                    tracing::debug!(?conn, verb = %message.verb(), "received");
                    registry.handle_message(now, conn, message);
                }
                Err(malformed) => registry.handle_malformed(now, conn, malformed),
            }
            true
        });
    }

    /// The peer will say nothing more: what is cut off is answered, and that is the end.
    fn end_of_input(&mut self) {
        if let Ok(Some(item)) = self.codec.decode_eof(&mut self.inbox) {
            self.batch.push_back(item);
            self.hand_over();
            self.batch.clear();
        }
        self.shared.disconnect(self.conn);
        self.outbox.close();
    }

    fn note_unread(&mut self) {
        if !self.reads_nothing() {
            let is_writing = self.taken > 0;
            self.waits.unread = is_writing.then(|| (self.shared.clock.instant_now(), self.left()));
        }
    }

    /// How much of what is being written is left.
    fn left(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// True if there is as much of it left as when that was last noted.
    fn reads_nothing(&self) -> bool {
        self.taken > 0 && self.waits.unread.is_some_and(|(_, before)| self.left() == before)
    }

    fn next_limit(&self) -> Option<(Instant, Limit)> {
        let times = &self.config.times;
        let waits = &self.waits;
        if let Some(since) = waits.closing {
            return Some((since + times.flush, Limit::Flush));
        }
        let first_message =
            (!waits.greeted).then_some((waits.heard + times.first_message, Limit::FirstMessage));
        let idle = (!waits.session).then_some((waits.heard + times.anonymous_idle, Limit::Idle));
        let frame = waits.frame.map(|since| (since + times.frame, Limit::Frame));
        let hello = waits.hello.map(|since| (since + times.hello_grace, Limit::Hello));
        let unread = waits.unread.map(|(since, _)| (since + times.write_stall, Limit::Unread));
        let held = waits.held.map(|until| (self.shared.clock.instant(until), Limit::Held));
        [first_message, idle, frame, hello, unread, held].into_iter().flatten().min_by_key(|&(at, _)| at)
    }

    fn give_up(&mut self, limit: Limit) {
        let times = &self.config.times;
        let why = match limit {
            Limit::FirstMessage => format!("no message came within {:?}", times.first_message),
            Limit::Frame => format!("a message took more than {:?}", times.frame),
            Limit::Idle | Limit::Hello | Limit::Unread | Limit::Held | Limit::Flush => {
                format!("nobody logged in within {:?} of the last message", times.anonymous_idle)
            }
        };
        let counters = &self.shared.counters;
        self.report(if limit == Limit::Idle { &counters.idle } else { &counters.slow_writers }, &why);
        self.shared.act(|registry, _| registry.give_up(self.conn, &why));
    }

    fn slow_reader(&self) -> End {
        self.report(&self.shared.counters.slow_readers, "the peer reads too slowly");
        End::SlowReader
    }

    /// Counts a connection that is closed, and tells the log, ever more seldom: who opens many must not fill it as well.
    fn report(&self, counter: &Counter, why: &str) {
        let so_far = counter.one();
        let (conn, remote) = (self.conn, self.remote);
        if so_far.is_power_of_two() {
            tracing::warn!(?conn, %remote, why, so_far, "gave a connection up");
        } else {
            tracing::debug!(?conn, %remote, why, so_far, "gave a connection up");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    /// There may be many thousands of them that do nothing.
    #[test]
    fn a_stream_takes_little_more_memory_than_its_encryption() {
        fn size<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let (own, encryption) = (size(serve::<TcpStream>), size_of::<TlsStream<TcpStream>>());
        assert!(own <= encryption + 768, "{own} bytes, {encryption} of them for its encryption");
    }
}
