//! One peer's registry stream: TLS handshake, reading, writing, time limits, closing.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{Dialect, Malformed, Message, ToRegistry, codec::RegistryCodec};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout},
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

    let Some(open) = shared.handshakes.take() else {
        let so_far = shared.counters.refused_handshakes.one();
        if so_far.is_power_of_two() {
            let limit = shared.handshakes.limit();
            tracing::warn!(%remote, limit, so_far, "refused a connection: too many TLS handshakes are going on");
        }
        return;
    };
    let handshake = TlsAcceptor::from(config.tls.config.clone()).accept(stream);
    let handshake = timeout(config.times.handshake, handshake).await;
    drop(open);
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        failed => {
            let so_far = shared.counters.failed_handshakes.one();
            let error = failed.map_or_else(|late| late.to_string(), |result| format!("{:?}", result.err()));
            // Ever more seldom: every scanner of the net comes by.
            if so_far.is_power_of_two() {
                tracing::info!(?conn, %remote, error, so_far, "a TLS handshake failed");
            } else {
                tracing::debug!(?conn, %remote, error, so_far, "a TLS handshake failed");
            }
            return;
        }
    };
    shared.counters.finished_handshakes.one();
    tracing::debug!(?conn, %remote, "connected");
    let connection = Connection::new(shared, config, conn, remote, outbox, stream);
    let end = connection.run().await;
    tracing::debug!(?conn, %remote, ?end, "disconnected");
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
    chunk: Option<Bytes>,
    /// The size of `chunk` when it was taken.
    chunk_size: usize,
    dialect: Option<Dialect>,
    waits: Waits,
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
    /// The peer has read nothing, and so much of the chunk has been left.
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
            chunk: None,
            chunk_size: 0,
            dialect: None,
            waits,
        }
    }

    async fn run(mut self) -> End {
        loop {
            let starved = self.take_messages();
            if self.chunk.is_none() {
                self.chunk = self.outbox.take();
                self.chunk_size = self.chunk.as_ref().map_or(0, Bytes::len);
            }
            match self.outbox.fate() {
                Fate::Open => {}
                Fate::Overflowed => return self.slow_reader(),
                Fate::Closing if self.chunk.is_none() => {
                    pump::close(&mut self.stream).await;
                    return End::Closed;
                }
                Fate::Closing => {
                    self.waits.closing.get_or_insert_with(|| self.shared.clock.instant_now());
                }
            }
            self.note_unread();
            let may_read = starved && self.waits.closing.is_none();
            let before = self.inbox.len();
            let next = self.next_limit();
            let (deadline, limit) = next.unzip();
            let sleep = async {
                if let Some(deadline) = deadline {
                    sleep_until(deadline).await;
                }
            };
            tokio::select! {
                biased;
                () = sleep, if deadline.is_some() => match limit {
                    Some(Limit::Hello) => {
                        self.waits.hello = None;
                        self.codec.grace_expired();
                    }
                    Some(Limit::Flush) => return self.slow_reader(),
                    Some(Limit::Unread) if self.reads_nothing() => return self.slow_reader(),
                    Some(Limit::Unread | Limit::Held) => {}
                    Some(limit) => self.give_up(limit),
                    None => {}
                },
                progress = pump::step(&mut self.stream, &mut self.chunk, &mut self.inbox, may_read) => match progress {
                    Ok(Progress::Read) => self.shared.counters.bytes_received.add(self.inbox.len() - before),
                    Ok(Progress::Written) => {
                        self.shared.counters.bytes_sent.add(self.chunk_size);
                        self.waits.unread = None;
                        self.outbox.written(self.chunk_size);
                    }
                    Ok(Progress::End) => self.end_of_input(),
                    Err(error) => return End::Broken(error.kind()),
                },
                () = self.outbox.changed() => {}
            }
        }
    }

    /// Hands the machine every message that has come, up to the first that has to wait. True if more bytes are needed.
    fn take_messages(&mut self) -> bool {
        if !self.waits.ready || self.waits.held.is_some() {
            let (conn, waits) = (self.conn, &mut self.waits);
            self.shared.act(|registry, now| waits.ask(registry, now, conn));
        }
        loop {
            if !self.waits.ready
                || self.waits.held.is_some()
                || self.outbox.queued() > ENOUGH_QUEUED
                || self.outbox.fate() != Fate::Open
            {
                // The peer isn't waited for while it is not read from.
                (self.waits.frame, self.waits.hello) = (None, None);
                return false;
            }
            // The decoder's error type is what its trait asks for; it has none of its own.
            let Ok(Some(item)) = self.codec.decode(&mut self.inbox) else { break };
            self.take(item);
        }
        let now = self.shared.clock.instant_now();
        let awaits = |since: &mut Option<Instant>, awaited: bool| {
            *since = if awaited { since.or(Some(now)) } else { None };
        };
        let hello = self.codec.awaits_grace(&self.inbox);
        awaits(&mut self.waits.hello, hello);
        awaits(&mut self.waits.frame, !hello && !self.inbox.is_empty());
        true
    }

    fn take(&mut self, item: Result<ToRegistry, Malformed>) {
        let (conn, waits) = (self.conn, &mut self.waits);
        waits.greeted = true;
        waits.frame = None;
        waits.heard = self.shared.clock.instant_now();
        let found = self.codec.dialect().filter(|&dialect| self.dialect != Some(dialect));
        if let Some(dialect) = found {
            self.dialect = Some(dialect);
            self.outbox.set_dialect(dialect);
        }
        self.shared.act(|registry, now| {
            if let Some(dialect) = found {
                registry.handle_dialect(conn, dialect);
            }
            match item {
                Ok(message) => {
                    tracing::debug!(?conn, verb = %message.verb(), "received");
                    registry.handle_message(now, conn, message);
                }
                Err(malformed) => registry.handle_malformed(now, conn, malformed),
            }
            waits.ask(registry, now, conn);
        });
    }

    /// The peer will say nothing more: what is cut off is answered, and that is the end.
    fn end_of_input(&mut self) {
        if let Ok(Some(item)) = self.codec.decode_eof(&mut self.inbox) {
            self.take(item);
        }
        self.shared.disconnect(self.conn);
        self.outbox.close();
    }

    fn note_unread(&mut self) {
        if !self.reads_nothing() {
            let now = self.shared.clock.instant_now();
            self.waits.unread = self.chunk.as_ref().map(|chunk| (now, chunk.len()));
        }
    }

    /// True if there is as much of the chunk left as when that was last noted.
    fn reads_nothing(&self) -> bool {
        self.chunk.as_ref().zip(self.waits.unread).is_some_and(|(chunk, (_, before))| chunk.len() == before)
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
