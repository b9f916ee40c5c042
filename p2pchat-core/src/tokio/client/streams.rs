//! Peer streams: a task for each, dialled or accepted.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use p2pchat_proto::{Dialect, Follows, LinkKey, Malformed, Message, PeerMessage, codec::PeerCodec};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::codec::Decoder;

use super::{
    ClientConfig,
    core::Client,
    wire::{Io, Wire},
};
use crate::{
    peer::StreamId,
    tokio::{
        LinkIdentity,
        clock::Clock,
        network::BoxStream,
        outbox::{Fate, Outbox},
        pump::{self, Progress},
    },
};

/// What happens on a peer stream, other than that something is said.
pub(super) enum StreamFact {
    Connected,
    /// The handshake is over, and the other end holds this key.
    Secured(LinkKey),
    /// What was dialled makes no handshake. The last fact.
    Unsecured(String),
    /// The last fact, unless the machine closed the stream itself.
    Closed(String),
}

/// One peer stream's task.
pub(super) struct StreamTask {
    pub(super) id: StreamId,
    pub(super) config: Arc<ClientConfig>,
    pub(super) identity: Option<LinkIdentity>,
    pub(super) clock: Clock,
    pub(super) wire: Arc<Wire>,
    pub(super) client: Arc<Client>,
}

impl StreamTask {
    /// Dials, makes the handshake that `secure` announces, then carries messages.
    pub(super) async fn dial(self, addr: SocketAddr, secure: Option<PeerMessage>) {
        let connect = async {
            let mut stream = self.config.network.dial(addr).await?;
            let (Some(first), Some(identity)) = (secure, &self.identity) else {
                return Ok((stream, StreamFact::Connected));
            };
            stream.write_all(&first.to_bytes(Dialect::Canonical)).await?;
            let (stream, key) = identity.dial(stream).await?;
            Ok((stream, StreamFact::Secured(key)))
        };
        if let Some((stream, fact)) = self.in_time(connect, "connecting").await {
            self.tell(fact);
            self.carry(stream).await;
        }
    }

    /// Carries messages until either end has enough.
    pub(super) async fn carry(self, mut stream: BoxStream) {
        loop {
            match self.exchange(stream).await {
                Exchanged::Closed(reason) => {
                    // Nobody writes any more.
                    drop(self.wire.take());
                    return self.tell(StreamFact::Closed(reason));
                }
                Exchanged::Unwanted => return self.finish().await,
                Exchanged::Announced(begun) => {
                    // The machine refuses those for whom there is no key.
                    let Some(identity) = &self.identity else { return closed(&self.wire.outbox).await };
                    let handshake = identity.accept(Box::new(begun));
                    let Some((secured, key)) = self.in_time(handshake, "the handshake").await else { return };
                    self.tell(StreamFact::Secured(key));
                    stream = secured;
                }
            }
        }
    }

    /// What comes of an attempt, within its time limit and as long as the stream is wanted.
    async fn in_time<T>(&self, attempt: impl Future<Output = io::Result<T>>, what: &str) -> Option<T> {
        let attempted = tokio::select! {
            biased;
            attempted = timeout(self.config.connect_timeout, attempt) => attempted,
            () = closed(&self.wire.outbox) => return None,
        };
        let reason = match attempted {
            Ok(Ok(done)) => return Some(done),
            // TLS's own words for what is none.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.tell(StreamFact::Unsecured(error.to_string()));
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{what} took too long"),
        };
        self.tell(StreamFact::Closed(reason));
        None
    }

    fn tell(&self, fact: StreamFact) {
        self.client.with(|core| core.stream_fact(self.id, fact));
    }

    /// Carries messages until something ends that, a handshake among others.
    async fn exchange(&self, stream: BoxStream) -> Exchanged {
        self.wire.open(stream);
        let mut reading = Reading::new(&self.config);
        let mut frame_since: Option<Instant> = None;
        loop {
            if !self.wire.is_paused() && !reading.is_announced && self.hand_over(&mut reading) {
                // What is there of a frame now is another one's.
                frame_since = None;
            }
            let is_paused = self.wire.is_paused();
            if !is_paused && (reading.is_announced || reading.has_ended) {
                if let Some(closed) = self.what_became() {
                    return closed;
                }
                if reading.is_announced {
                    let Some(Io { stream, .. }) = reading.announced.take() else {
                        return Exchanged::Unwanted;
                    };
                    return Exchanged::Announced(Begun { read: reading.inbox, stream });
                }
                return Exchanged::Closed("the other side closed the connection".into());
            }
            let is_partial = !is_paused && reading.is_within_frame();
            frame_since = if is_partial { frame_since.or(Some(self.clock.instant_now())) } else { None };
            let deadline = frame_since.map(|since| since + self.config.frame_timeout);
            let overdue = async {
                if let Some(deadline) = deadline {
                    sleep_until(deadline).await;
                }
            };
            let progress = tokio::select! {
                biased;
                () = overdue, if deadline.is_some() => return Exchanged::Closed("a message took too long".into()),
                progress = poll_fn(|cx| self.wire.poll(&mut reading.inbox, !is_paused, cx)) => progress,
            };
            match progress {
                Ok(Some(progress)) => reading.has_ended |= progress == Progress::End,
                Ok(None) => {
                    if let Some(closed) = self.what_became() {
                        return closed;
                    }
                }
                Err(error) => return Exchanged::Closed(error.to_string()),
            }
        }
    }

    /// What the stream ends with, if it isn't to go on.
    fn what_became(&self) -> Option<Exchanged> {
        match self.wire.outbox.fate() {
            Fate::Open => None,
            Fate::Overflowed => Some(Exchanged::Closed("the other side reads too slowly".into())),
            Fate::Closing => Some(Exchanged::Unwanted),
        }
    }

    /// Gives the machine all that has come, until it wants the stream left alone for a while. False if there was nothing.
    fn hand_over(&self, reading: &mut Reading) -> bool {
        let Some(first) = reading.next() else { return false };
        self.client.with(|core| {
            let mut next = Some(first);
            while let Some(item) = next {
                reading.is_announced =
                    matches!(item, Ok(PeerMessage::IntroducedBy { follows: Some(Follows::Tls), .. }));
                let is_there = core.received(self.id, item);
                let goes_on = is_there && !reading.is_announced && !self.wire.is_paused();
                next = if goes_on { reading.next() } else { None };
            }
            core.is_at(&self.wire);
            if reading.is_announced {
                // Before anybody else can say something: it is to be encrypted.
                reading.announced = self.wire.take();
            }
        });
        true
    }

    /// Writes what is left, and closes the stream.
    async fn finish(&self) {
        let Some(mut io) = self.wire.take() else { return };
        while io.has_chunk(&self.wire.outbox) {
            let written = poll_fn(|cx| io.poll_write_chunk(&self.wire.outbox, cx));
            match timeout(self.config.frame_timeout, written).await {
                Ok(Ok(_)) => {}
                _ => return,
            }
        }
        pump::close(&mut io.stream).await;
    }
}

/// What has come and wasn't handed over.
struct Reading {
    codec: PeerCodec,
    inbox: BytesMut,
    /// Nothing more will come.
    has_ended: bool,
    /// What was handed over last announces a handshake.
    is_announced: bool,
    /// What that is made on.
    announced: Option<Io>,
}

impl Reading {
    fn new(config: &ClientConfig) -> Self {
        let codec = PeerCodec::new(config.machine.limits);
        Self { codec, inbox: BytesMut::new(), has_ended: false, is_announced: false, announced: None }
    }

    fn next(&mut self) -> Option<Result<PeerMessage, Malformed>> {
        let (codec, inbox) = (&mut self.codec, &mut self.inbox);
        // The decoder's error type is what its trait asks for; it has none of its own.
        let item = if self.has_ended { codec.decode_eof(inbox) } else { codec.decode(inbox) };
        if self.codec.is_within_chunk() {
            self.inbox.reserve(pump::ROOMY);
        }
        item.ok().flatten()
    }

    fn is_within_frame(&self) -> bool {
        !self.inbox.is_empty() || self.codec.is_within_chunk()
    }
}

/// How carrying messages ended.
enum Exchanged {
    /// Not from here, for this reason.
    Closed(String),
    /// The machine has closed it.
    Unwanted,
    /// The other end has announced a handshake.
    Announced(Begun),
}

/// A stream of which more was read than belonged to what was read.
struct Begun {
    read: BytesMut,
    stream: BufReader<BoxStream>,
}

impl AsyncRead for Begun {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, into);
        }
        into.put_slice(&this.read.split_to(into.remaining().min(this.read.len())));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn closed(outbox: &Outbox) {
    while outbox.fate() == Fate::Open {
        outbox.changed().await;
    }
}
