//! Datagrams that come many at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use p2pchat_proto::PasswordDigest;
use tokio::{net::UdpSocket, time::timeout};

use crate::support::{PATIENCE, Raw, Registry};

async fn newcomer(registry: &Registry, name: &str) -> Raw {
    let digest = PasswordDigest::of_password("x");
    let mut raw = registry.raw().await;
    for (request, reply) in [
        ("HELLO_P2P\n".to_owned(), "HELLO_BACK <SUCCESS> <200>\n"),
        (format!("REGISTER <{name}> <{}>\n", digest.expose()), "REGISTER <SUCCESS> <200>\n"),
        (format!("LOGIN <{name}> <{}> <4000>\n", digest.expose()), "AUTH <SUCCESS> <200>\n"),
    ] {
        raw.say(request).await;
        assert_eq!(raw.hear().await, reply);
    }
    raw
}

#[tokio::test]
async fn keep_alives_that_come_together_are_each_answered_where_they_came_from() {
    const PEERS: usize = 70;
    let registry = Registry::start().await;
    let (mut peers, mut wrong) = (Vec::new(), 0);
    for n in 0..PEERS {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        peers.push((newcomer(&registry, &format!("peer{n}")).await, socket));
    }
    // All of them at once, with what proves nothing or is nothing between them.
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    for (n, (_, socket)) in peers.iter().enumerate() {
        let keep_alive = format!("KEEP_ALIVE <peer{n}> <60>");
        if n % 3 == 0 {
            stranger.send_to(keep_alive.as_bytes(), registry.udp).await.unwrap();
            socket.send_to(b"rubbish", registry.udp).await.unwrap();
            wrong += 1;
        }
        socket.send_to(keep_alive.as_bytes(), registry.udp).await.unwrap();
    }
    let mut buffer = [0; 64];
    for (_, socket) in &peers {
        let (size, from) =
            timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("no answer").unwrap();
        assert_eq!((&buffer[..size], from), (&b"KEEP_ALIVE_RESPONSE <SUCCESS> <200>"[..], registry.udp));
    }
    let stats = registry.handle.stats();
    let counted = [stats.registry.keep_alives, stats.datagrams_sent, stats.datagram_bytes_sent];
    assert_eq!(counted, [70, 70, 70 * 35]);
    assert_eq!([stats.registry.refused_datagrams, stats.malformed_datagrams], [wrong; 2]);
    assert_eq!(stats.datagrams_received, 70 + 2 * wrong);
    assert_eq!(stranger.try_recv(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_flood_of_datagrams_keeps_no_stream_from_its_turn() {
    // All of the registry, and the peer, on one thread; the flood has another.
    let registry = Registry::start().await;
    let mut alice = newcomer(&registry, "alice").await;
    let over = Arc::new(AtomicBool::new(false));
    let (udp, is_over) = (registry.udp, over.clone());
    let flood = thread::spawn(move || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        while !is_over.load(Ordering::Relaxed) {
            // What doesn't fit any more is lost.
            _ = socket.send_to(b"KEEP_ALIVE <nobody> <60>", udp);
        }
    });
    for _ in 0..50 {
        let before = registry.handle.stats().registry.refused_datagrams;
        alice.say("SEARCH_USER <nobody>\n").await;
        assert_eq!(alice.hear().await, "SEARCH_USER_RESPONSE <NOT_FOUND> <404>\n");
        registry.until(|stats| stats.registry.refused_datagrams > before).await;
    }
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
}
