//! Networks other than the operating system's: one without sockets, where streams are pipes in memory and datagrams are
//! lost, one whose listener fails at times, and one on whose streams something else is done while they are written to.

use std::{
    fmt,
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use p2pchat_core::tokio::{
    BoxFuture, BoxStream, Datagrams, Listener, Network, Peer, ServerHandle, TcpNetwork,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::Registry;

struct Pipes(ServerHandle);

struct Nothing;

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipes")
    }
}

impl Network for Pipes {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        assert_eq!(host, "127.0.0.1");
        Box::pin(async move { Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]) })
    }

    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        let (near, far) = tokio::io::duplex(64);
        let server = self.0.clone();
        tokio::spawn(async move { server.serve_stream(far, SocketAddr::from(([192, 0, 2, 7], 1))).await });
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }

    fn listen(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Ok(Box::new(Nothing) as Box<dyn Listener>) })
    }

    fn bind(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async { Ok(Box::new(Nothing) as Box<dyn Datagrams>) })
    }
}

impl Listener for Nothing {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 4000)))
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(pending())
    }
}

impl Datagrams for Nothing {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 4000)))
    }

    fn receive<'a>(&'a self, _: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(pending())
    }

    fn try_send(&self, _: &[u8], _: SocketAddr) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn another_transport_plugs_in_at_both_ends() {
    let registry = Registry::start().await;
    let config = registry.client().network(Arc::new(Pipes(registry.handle.clone())));
    let (alice, _events) = Peer::connect(config).await.unwrap();
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    let (bob, _events) = registry.newcomer("bob").await;
    let found = bob.search("alice").await.unwrap();
    assert_eq!((found.ip.to_string().as_str(), found.port), ("192.0.2.7", 4000));
}

/// Fails to accept the first few times, as without a free file descriptor.
#[derive(Debug)]
struct Exhausted;

struct FailsAtFirst {
    inner: Box<dyn Listener>,
    failures: AtomicUsize,
}

impl Network for Exhausted {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TcpNetwork.resolve(host, port)
    }

    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        TcpNetwork.dial(addr)
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = TcpNetwork.listen(addr).await?;
            Ok(Box::new(FailsAtFirst { inner, failures: AtomicUsize::new(0) }) as Box<dyn Listener>)
        })
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        TcpNetwork.bind(addr)
    }
}

impl Listener for FailsAtFirst {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        if self.failures.fetch_add(1, Ordering::Relaxed) < 3 {
            return Box::pin(async { Err(io::Error::other("too many open files")) });
        }
        self.inner.accept()
    }
}

#[tokio::test]
async fn a_listener_that_fails_is_tried_again() {
    let registry = Registry::start_with(|config| config.network = Arc::new(Exhausted)).await;
    assert!(Peer::connect(registry.client()).await.is_ok());
}

/// The system's, but that whoever writes to a peer is interrupted by somebody else with a question for the same client.
#[derive(Debug)]
struct Interrupted {
    registry: SocketAddr,
    state: Arc<Interruptions>,
}

#[derive(Debug, Default)]
struct Interruptions {
    by: OnceLock<Peer>,
    writes: AtomicUsize,
}

struct Interruptible(BoxStream, Arc<Interruptions>);

impl Network for Interrupted {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TcpNetwork.resolve(host, port)
    }

    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let stream = TcpNetwork.dial(addr).await?;
            let is_peers = addr != self.registry;
            Ok(if is_peers { Box::new(Interruptible(stream, self.state.clone())) } else { stream })
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        TcpNetwork.listen(addr)
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        TcpNetwork.bind(addr)
    }
}

impl AsyncRead for Interruptible {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Interruptible {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(peer) = self.1.by.get() {
            self.1.writes.fetch_add(1, Ordering::Relaxed);
            assert!(pin!(peer.blocked()).poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn who_tells_many_tells_all_of_them_whoever_else_has_the_client_meanwhile() {
    const MEMBERS: usize = 30;
    let registry = Registry::start().await;
    let state = Arc::<Interruptions>::default();
    let network = Interrupted { registry: registry.tcp, state: state.clone() };
    let (talker, _events) = Peer::connect(registry.client().network(Arc::new(network))).await.unwrap();
    talker.register("talker", "secret").await.unwrap();
    talker.login("talker", "secret").await.unwrap();
    talker.create("square", None, MEMBERS as u32 + 1, "").await.unwrap();
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let (peer, mut events) = registry.newcomer(&format!("member{number}")).await;
        peer.join("square", None).await.unwrap();
        // Who takes events confirms what is said.
        tokio::spawn(async move { while events.next().await.is_some() {} });
        members.push(peer);
    }
    assert_eq!(talker.members("square").await.unwrap().len(), MEMBERS + 1);
    assert_eq!(talker.broadcast("square", "who is there?").await.unwrap().delivered.len(), MEMBERS);

    state.by.set(talker.clone()).unwrap();
    let mut said = pin!(talker.broadcast("square", "all at once"));
    assert!(said.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(state.writes.load(Ordering::Relaxed), MEMBERS, "none was left to its task");
    assert_eq!(said.await.unwrap().delivered.len(), MEMBERS);
}
