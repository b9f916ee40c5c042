//! Keep-alives that somebody hears on their way, and says again (PROTOCOL.md §7.6).

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use p2pchat_core::{
    peer::{self, Event},
    tokio::{BoxFuture, BoxStream, Datagrams, Listener, Network, Peer, TcpNetwork},
};
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

use crate::support::{PATIENCE, Registry, until};

/// Whoever hears the datagrams, and says them again from the same address, can't keep a session alive that has ended there.
#[tokio::test]
async fn keep_alives_that_were_overheard_keep_nobody_alive() {
    let registry = Registry::start().await;
    let wiretap = Arc::new(Wiretap::default());
    let mut machine = peer::Config::default();
    machine.lease = Duration::from_secs(3);
    machine.keep_alive_interval = Duration::from_millis(100);
    let config = registry.client().machine(machine).network(wiretap.clone());
    let (alice, mut events) = Peer::connect(config).await.unwrap();
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    let heard = async {
        while wiretap.heard().len() < 5 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, heard).await.expect("no keep-alive was sent");
    wiretap.cut.store(true, Ordering::Relaxed);

    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let replay = async {
        loop {
            for line in wiretap.heard() {
                assert!(line.starts_with(b"KEEP_ALIVE <alice> <3> <"), "{line:?}");
                stranger.send_to(&line, registry.udp).await.unwrap();
            }
            stranger.send_to(b"KEEP_ALIVE <alice> <120>", registry.udp).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }
    };
    let lost = until(&mut events, |event| matches!(event, Event::Disconnected { .. }).then_some(()));
    tokio::select! {
        never = replay => never,
        () = lost => {}
    }
    let mut buffer = [0; 64];
    assert_eq!(stranger.try_recv(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(registry.handle.stats().registry.refused_datagrams > 0);
}

/// Hears every datagram of a client, and lets them pass until the line is cut.
#[derive(Debug, Default, Clone)]
struct Wiretap {
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    cut: Arc<AtomicBool>,
}

struct Tapped(Box<dyn Datagrams>, Wiretap);

impl Wiretap {
    fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }
}

impl Network for Wiretap {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TcpNetwork.resolve(host, port)
    }

    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        TcpNetwork.dial(addr)
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        TcpNetwork.listen(addr)
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = TcpNetwork.bind(addr).await?;
            Ok(Box::new(Tapped(socket, self.clone())) as Box<dyn Datagrams>)
        })
    }
}

impl Datagrams for Tapped {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        self.0.receive(buffer)
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        if self.1.cut.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.1.heard.lock().unwrap().push(datagram.to_vec());
        self.0.try_send(datagram, to)
    }
}
