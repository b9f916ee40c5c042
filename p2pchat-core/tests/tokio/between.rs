//! A network on which a test stands between two peers, with their keys.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use p2pchat_core::tokio::{
    BoxFuture, BoxStream, Datagrams, Events, LinkIdentity, Listener, Network, Peer, TcpNetwork,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::Registry;

/// A key that nobody has had.
pub(crate) fn identity() -> LinkIdentity {
    LinkIdentity::from_pkcs8(&LinkIdentity::generate().unwrap()).unwrap()
}

/// The system's network, but that what is dialled is heard, and that whoever dials `from` gets to `to`. And what is dialled can be
/// cut, after so many bytes of the dialler's.
#[derive(Debug, Default, Clone)]
pub(crate) struct Between {
    pub(crate) heard: Arc<Mutex<Vec<u8>>>,
    pub(crate) cut_after: Arc<Mutex<Option<usize>>>,
    detour: Arc<Mutex<Option<(u16, u16)>>>,
}

impl Between {
    pub(crate) fn lead(&self, from: u16, to: u16) {
        *self.detour.lock().unwrap() = Some((from, to));
    }

    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

impl Network for Between {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TcpNetwork.resolve(host, port)
    }

    fn dial(&self, mut addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        if let Some((from, to)) = *self.detour.lock().unwrap()
            && addr.port() == from
        {
            addr.set_port(to);
        }
        let (heard, cut_after) = (self.heard.clone(), self.cut_after.clone());
        Box::pin(async move {
            let stream = TcpNetwork.dial(addr).await?;
            Ok(Box::new(Heard(stream, heard, cut_after)) as BoxStream)
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        TcpNetwork.listen(addr)
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        TcpNetwork.bind(addr)
    }
}

struct Heard(BoxStream, Arc<Mutex<Vec<u8>>>, Arc<Mutex<Option<usize>>>);

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        self.1.lock().unwrap().extend_from_slice(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = *self.2.lock().unwrap();
        match left {
            Some(0) => {
                *self.2.lock().unwrap() = None;
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Some(left) => {
                bytes = &bytes[..left.min(bytes.len())];
                *self.2.lock().unwrap() = Some(left - bytes.len());
            }
            None => {}
        }
        self.1.lock().unwrap().extend_from_slice(bytes);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Logs somebody in who has a key.
pub(crate) async fn with_key(
    registry: &Registry,
    name: &str,
    identity: LinkIdentity,
    network: &Between,
) -> (Peer, Events) {
    let config = registry.client().network(Arc::new(network.clone()));
    let (peer, events) = Peer::connect(config).await.unwrap();
    peer.set_identity(Some(identity)).await.unwrap();
    drop(peer.register(name, "secret").await);
    peer.login(name, "secret").await.unwrap();
    (peer, events)
}
