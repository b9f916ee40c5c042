//! Peer streams: a task for each, dialled or accepted.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{Dialect, Follows, LinkKey, Malformed, Message, PeerMessage, codec::PeerCodec};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::codec::Decoder;

use super::{ClientConfig, actor::Fact};
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

/// What happens on a peer stream.
pub(super) enum StreamFact {
    Connected,
    /// The handshake is over, and the other end holds this key.
    Secured(LinkKey),
    /// Nothing more is read from the stream until the permit is dropped.
    Received(Result<PeerMessage, Malformed>, OwnedSemaphorePermit),
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
    pub(super) outbox: Arc<Outbox>,
    pub(super) facts: mpsc::Sender<Fact>,
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
            self.tell(fact).await;
            self.carry(stream).await;
        }
    }

    /// Carries messages until either end has enough.
    pub(super) async fn carry(self, mut stream: BoxStream) {
        loop {
            match self.exchange(stream).await {
                Exchanged::Closed(None) => return,
                Exchanged::Closed(Some(reason)) => return self.tell(StreamFact::Closed(reason)).await,
                Exchanged::Announced(begun) => {
                    // The machine refuses those for whom there is no key.
                    let Some(identity) = &self.identity else { return closed(&self.outbox).await };
                    let handshake = identity.accept(Box::new(begun));
                    let Some((secured, key)) = self.in_time(handshake, "the handshake").await else { return };
                    self.tell(StreamFact::Secured(key)).await;
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
            () = closed(&self.outbox) => return None,
        };
        let reason = match attempted {
            Ok(Ok(done)) => return Some(done),
            // TLS's own words for what is none.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.tell(StreamFact::Unsecured(error.to_string())).await;
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{what} took too long"),
        };
        self.tell(StreamFact::Closed(reason)).await;
        None
    }

    async fn tell(&self, fact: StreamFact) {
        // Nobody listens any more once the client has ended.
        let _ = self.facts.send(Fact::Stream(self.id, fact)).await;
    }

    /// Carries messages until something ends that, a handshake among others.
    async fn exchange(&self, stream: BoxStream) -> Exchanged {
        let mut stream = BufReader::new(stream);
        let mut codec = PeerCodec::new(self.config.machine.limits);
        let mut inbox = BytesMut::new();
        let mut chunk: Option<Bytes> = None;
        let mut chunk_size = 0;
        let mut received = None;
        let mut frame_since: Option<Instant> = None;
        let mut ended = false;
        let turn = Arc::new(Semaphore::new(1));
        loop {
            if received.is_none() {
                // The decoder's error type is what its trait asks for; it has none of its own.
                let item = if ended { codec.decode_eof(&mut inbox) } else { codec.decode(&mut inbox) };
                received = item.ok().flatten();
                if received.is_none() && ended {
                    return Exchanged::Closed(Some("the other side closed the connection".into()));
                }
                let partial = received.is_none() && (!inbox.is_empty() || codec.is_within_chunk());
                frame_since = if partial { frame_since.or(Some(self.clock.instant_now())) } else { None };
            }
            if chunk.is_none() {
                chunk = self.outbox.take();
                chunk_size = chunk.as_ref().map_or(0, Bytes::len);
            }
            match self.outbox.fate() {
                Fate::Open => {}
                Fate::Overflowed => return Exchanged::Closed(Some("the other side reads too slowly".into())),
                Fate::Closing if chunk.is_none() => {
                    pump::close(&mut stream).await;
                    return Exchanged::Closed(None);
                }
                Fate::Closing => {
                    let flushed = timeout(
                        self.config.frame_timeout,
                        pump::step(&mut stream, &mut chunk, &mut inbox, false),
                    );
                    match flushed.await {
                        Ok(Ok(_)) => continue,
                        _ => return Exchanged::Closed(None),
                    }
                }
            }
            let may_read = received.is_none() && !ended;
            if codec.is_within_chunk() {
                inbox.reserve(pump::ROOMY);
            }
            let deadline = frame_since.map(|since| since + self.config.frame_timeout);
            let overdue = async {
                if let Some(deadline) = deadline {
                    sleep_until(deadline).await;
                }
            };
            tokio::select! {
                biased;
                () = overdue, if deadline.is_some() => return Exchanged::Closed(Some("a message took too long".into())),
                permit = turn.clone().acquire_owned(), if received.is_some() => {
                    if let (Some(item), Ok(permit)) = (received.take(), permit) {
                        let announced = matches!(item, Ok(PeerMessage::IntroducedBy { follows: Some(Follows::Tls), .. }));
                        self.tell(StreamFact::Received(item, permit)).await;
                        if announced {
                            // Until the machine has heard it: it may not go on.
                            drop(turn.acquire().await);
                            return Exchanged::Announced(Begun { read: inbox, stream });
                        }
                    }
                }
                progress = pump::step(&mut stream, &mut chunk, &mut inbox, may_read) => match progress {
                    Ok(Progress::Read) => {}
                    Ok(Progress::Written) => self.outbox.written(chunk_size),
                    Ok(Progress::End) => ended = true,
                    Err(error) => return Exchanged::Closed(Some(error.to_string())),
                },
                () = self.outbox.changed() => {}
            }
        }
    }
}

/// How carrying messages ended.
enum Exchanged {
    /// Why, if the stream wasn't closed from here.
    Closed(Option<String>),
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
