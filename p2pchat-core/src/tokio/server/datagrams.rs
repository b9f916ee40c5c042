//! The server's datagrams: as many as have come are handed to the machine at once, and what it answers is sent after that.

use std::{io, net::SocketAddr, ops::Range, sync::Arc};

use bytes::BytesMut;
use p2pchat_proto::{Dialect, FromRegistryDatagram, Message, ToRegistryDatagram};
use tokio::task::yield_now;

use super::{shared::Shared, stats::Counters};
use crate::tokio::network::Datagrams;
#[cfg(target_os = "linux")]
use crate::tokio::{batches, network::on_socket};

/// The longest datagram that UDP can carry, so that none is cut and taken for a shorter one. Where several are received at
/// once, each has 2 KiB, which is more than any message has.
const BUFFER: usize = 65_536;

/// Takes datagrams for as long as it is polled.
pub(super) async fn receive(shared: Arc<Shared>) {
    let mut buffer = vec![0; BUFFER];
    let (mut came, mut messages) = (Vec::new(), Vec::new());
    // Whatever is made of them was let go before the next: it is used again and again.
    let (mut frame, mut outgoing) = (BytesMut::new(), Outgoing::default());
    loop {
        came.clear();
        let may_be_more = match shared.datagrams.receive(&mut buffer, &mut came).await {
            Ok(may_be_more) => may_be_more,
            Err(error) => {
                // Such as a report that an earlier answer didn't arrive.
                tracing::debug!(%error, "can't receive a datagram");
                yield_now().await;
                continue;
            }
        };
        let config = shared.config();
        for (from, range) in came.drain(..) {
            let datagram = buffer.get(range).unwrap_or_default();
            shared.counters.datagrams_received.one();
            shared.counters.datagram_bytes_received.add(datagram.len());
            frame.extend_from_slice(datagram);
            let bytes = frame.split().freeze();
            match ToRegistryDatagram::parse(&bytes, Dialect::Canonical, &config.machine.limits) {
                Ok(message) => messages.push((from, message)),
                Err(error) => {
                    shared.counters.malformed_datagrams.one();
                    tracing::debug!(%from, %error, "malformed datagram");
                }
            }
        }
        // What makes no sense costs nobody the machine.
        if !messages.is_empty() {
            shared.act_and_send(&mut outgoing, |registry, now| {
                registry.handle_datagrams(now, &messages);
            });
        }
        messages.clear();
        // A flood of them doesn't keep streams from their turn.
        if may_be_more {
            yield_now().await;
        }
    }
}

/// Where datagrams come and go.
pub(super) struct DatagramSocket {
    datagrams: Box<dyn Datagrams>,
    local: SocketAddr,
}

impl DatagramSocket {
    pub(super) fn new(datagrams: Box<dyn Datagrams>) -> io::Result<Self> {
        let local = datagrams.local_addr()?;
        Ok(Self { datagrams, local })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives at least one datagram: adds where each came from, and where it is in `buffer`. Tells whether there may be more
    /// by now.
    async fn receive(
        &self,
        buffer: &mut [u8],
        came: &mut Vec<(SocketAddr, Range<usize>)>,
    ) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        if let Some(socket) = self.datagrams.socket() {
            return batches::receive(socket, self.local, buffer, came).await;
        }
        let (size, from) = self.datagrams.receive(buffer).await?;
        came.push((from, 0..size));
        Ok(false)
    }

    /// Sends them now or never, and leaves none.
    pub(super) fn send(&self, outgoing: &mut Outgoing, counters: &Counters) {
        let mut rest = outgoing.iter();
        while rest.len() > 0 {
            let sent = self.send_some(rest.clone());
            for (datagram, to) in rest.by_ref().take(*sent.as_ref().unwrap_or(&1)) {
                match &sent {
                    Ok(_) => {
                        counters.datagrams_sent.one();
                        counters.datagram_bytes_sent.add(datagram.len());
                    }
                    Err(error) => tracing::debug!(%to, %error, "can't send a datagram"),
                }
            }
        }
        drop(rest);
        outgoing.clear();
    }

    /// How many went, of the first of them; an error is the first one's.
    fn send_some<'a>(
        &self,
        mut datagrams: impl ExactSizeIterator<Item = (&'a [u8], SocketAddr)>,
    ) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        if let Some(socket) = self.datagrams.socket() {
            return batches::try_send(
                socket,
                datagrams.map(|(bytes, to)| (bytes, on_socket(self.local, to))),
            );
        }
        let Some((datagram, to)) = datagrams.next() else { return Ok(0) };
        self.datagrams.try_send(datagram, to).map(|()| 1)
    }
}

/// Datagrams that are to go, each with where to.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: BytesMut,
    datagrams: Vec<(SocketAddr, Range<usize>)>,
}

impl Outgoing {
    pub(super) fn push(&mut self, to: SocketAddr, message: &FromRegistryDatagram) {
        let start = self.bytes.len();
        message.encode(&mut self.bytes, Dialect::Canonical);
        self.datagrams.push((to, start..self.bytes.len()));
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], SocketAddr)> + Clone {
        self.datagrams.iter().map(|(to, range)| (self.bytes.get(range.clone()).unwrap_or_default(), *to))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}
