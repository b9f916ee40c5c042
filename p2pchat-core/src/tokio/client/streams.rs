//! Peer streams: a task for each, dialled or accepted.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{Malformed, PeerMessage, codec::PeerCodec};
use tokio::{
    io::BufReader,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::codec::Decoder;

use super::{ClientConfig, actor::Fact};
use crate::{
    peer::StreamId,
    tokio::{
        clock::Clock,
        network::BoxStream,
        outbox::{Fate, Outbox},
        pump::{self, Progress},
    },
};

/// What happens on a peer stream.
pub(super) enum StreamFact {
    Connected,
    /// Nothing more is read from the stream until the permit is dropped.
    Received(Result<PeerMessage, Malformed>, OwnedSemaphorePermit),
    /// The last fact, unless the machine closed the stream itself.
    Closed(String),
}

/// One peer stream's task.
pub(super) struct StreamTask {
    pub(super) id: StreamId,
    pub(super) config: Arc<ClientConfig>,
    pub(super) clock: Clock,
    pub(super) outbox: Arc<Outbox>,
    pub(super) facts: mpsc::Sender<Fact>,
}

impl StreamTask {
    /// Dials, then carries messages.
    pub(super) async fn dial(self, addr: SocketAddr) {
        let dialled = tokio::select! {
            biased;
            dialled = timeout(self.config.connect_timeout, self.config.network.dial(addr)) => dialled,
            () = closed(&self.outbox) => return,
        };
        match dialled {
            Ok(Ok(stream)) => {
                self.tell(StreamFact::Connected).await;
                self.carry(stream).await;
            }
            Ok(Err(error)) => self.tell(StreamFact::Closed(error.to_string())).await,
            Err(_) => self.tell(StreamFact::Closed("connecting took too long".into())).await,
        }
    }

    /// Carries messages until either end has enough.
    pub(super) async fn carry(self, stream: BoxStream) {
        if let Some(reason) = self.exchange(stream).await {
            self.tell(StreamFact::Closed(reason)).await;
        }
    }

    async fn tell(&self, fact: StreamFact) {
        // Nobody listens any more once the client has ended.
        let _ = self.facts.send(Fact::Stream(self.id, fact)).await;
    }

    /// Says why the stream ended if it wasn't closed from here.
    async fn exchange(&self, stream: BoxStream) -> Option<String> {
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
                    return Some("the other side closed the connection".into());
                }
                let partial = received.is_none() && !inbox.is_empty();
                frame_since = if partial { frame_since.or(Some(self.clock.instant_now())) } else { None };
            }
            if chunk.is_none() {
                chunk = self.outbox.take();
                chunk_size = chunk.as_ref().map_or(0, Bytes::len);
            }
            match self.outbox.fate() {
                Fate::Open => {}
                Fate::Overflowed => return Some("the other side reads too slowly".into()),
                Fate::Closing if chunk.is_none() => {
                    pump::close(&mut stream).await;
                    return None;
                }
                Fate::Closing => {
                    let flushed = timeout(
                        self.config.frame_timeout,
                        pump::step(&mut stream, &mut chunk, &mut inbox, false),
                    );
                    match flushed.await {
                        Ok(Ok(_)) => continue,
                        _ => return None,
                    }
                }
            }
            let may_read = received.is_none() && !ended;
            let deadline = frame_since.map(|since| since + self.config.frame_timeout);
            let overdue = async {
                if let Some(deadline) = deadline {
                    sleep_until(deadline).await;
                }
            };
            tokio::select! {
                biased;
                () = overdue, if deadline.is_some() => return Some("a message took too long".into()),
                permit = turn.clone().acquire_owned(), if received.is_some() => {
                    if let (Some(item), Ok(permit)) = (received.take(), permit) {
                        self.tell(StreamFact::Received(item, permit)).await;
                    }
                }
                progress = pump::step(&mut stream, &mut chunk, &mut inbox, may_read) => match progress {
                    Ok(Progress::Read) => {}
                    Ok(Progress::Written) => self.outbox.written(chunk_size),
                    Ok(Progress::End) => ended = true,
                    Err(error) => return Some(error.to_string()),
                },
                () = self.outbox.changed() => {}
            }
        }
    }
}

async fn closed(outbox: &Outbox) {
    while outbox.fate() == Fate::Open {
        outbox.changed().await;
    }
}
