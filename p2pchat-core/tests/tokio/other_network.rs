//! Networks other than the operating system's: one without sockets, where streams are pipes in memory and datagrams are
//! lost, and one whose listener fails at times.

use std::{
    fmt,
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use p2pchat_core::tokio::{
    BoxFuture, BoxStream, Datagrams, Listener, Network, Peer, ServerHandle, TcpNetwork,
};

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
