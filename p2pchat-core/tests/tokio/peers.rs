//! Peer streams: strangers, rubbish, and an application that doesn't keep up.

use std::{net::SocketAddr, time::Duration};

use p2pchat_core::peer::{self, Event};
use p2pchat_core::tokio::Peer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{PATIENCE, Registry, chat, until};

async fn stranger(peer: &Peer) -> TcpStream {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], peer.port()))).await.unwrap()
}

async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset ends it as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("was not closed");
}

#[tokio::test]
async fn rubbish_from_a_peer_ends_its_stream_and_no_other() {
    let registry = Registry::start().await;
    let (alice, _alice_events) = registry.newcomer("alice").await;
    let (bob, mut bob_events) = registry.newcomer("bob").await;
    chat(&alice, "bob", &bob, &mut bob_events).await;

    for rubbish in [&b"\xff\xff\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"DIRECT_MESSAGE <\n", &[b'x'; 70_000]] {
        let mut stream = stranger(&bob).await;
        // It may be cut off before all of it is written.
        drop(stream.write_all(rubbish).await);
        until(&mut bob_events, |event| matches!(event, Event::Fault { .. }).then_some(())).await;
        is_closed(&mut stream).await;
    }
    let heard = until(&mut bob_events, |event| matches!(event, Event::Message { .. }).then_some(()));
    let (sent, ()) = tokio::join!(alice.send("bob", "still here"), heard);
    sent.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_ends_its_frame_is_given_up() {
    let registry = Registry::start().await;
    let (bob, _events) =
        Peer::connect(registry.client().frame_timeout(Duration::from_millis(300))).await.unwrap();
    bob.register("bob", "x").await.unwrap();
    bob.login("bob", "x").await.unwrap();
    let mut stream = stranger(&bob).await;
    stream.write_all(b"CHAT_REQUEST <bo").await.unwrap();
    is_closed(&mut stream).await;
}

#[tokio::test]
async fn a_peer_that_is_always_within_a_frame_is_not_given_up_as_long_as_frames_end() {
    const PIECES: usize = 25;
    let registry = Registry::start().await;
    let config = registry.client().frame_timeout(Duration::from_secs(1));
    let (bob, mut events) = Peer::connect(config).await.unwrap();
    bob.register("bob", "x").await.unwrap();
    bob.login("bob", "x").await.unwrap();
    let mut stream = stranger(&bob).await;
    stream.write_all(b"CHAT_REQUEST <bob>\n").await.unwrap();
    let request = until(&mut events, |event| match event {
        Event::ChatRequested { request, .. } => Some(request),
        _ => None,
    });
    bob.accept(request.await).await.unwrap();
    // Each read brings the end of a frame and the beginning of another, for longer than one may take.
    stream.write_all(b"DIRECT_MESSAGE <old> <bob> ").await.unwrap();
    for _ in 0..PIECES {
        stream.write_all(b"hello\nDIRECT_MESSAGE <old> <bob> ").await.unwrap();
        let heard = until(&mut events, |event| matches!(event, Event::Message { .. }).then_some(()));
        tokio::join!(heard, sleep(Duration::from_millis(60)));
    }
    stream.write_all(b"goodbye\n").await.unwrap();
    until(&mut events, |event| match event {
        Event::Message { text, .. } => (text.as_str() == "goodbye").then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_stranger_who_speaks_only_the_base_protocol_is_served() {
    let registry = Registry::start().await;
    let (bob, mut events) = registry.newcomer("bob").await;
    let mut stream = stranger(&bob).await;
    stream.write_all(b"CHAT_REQUEST <bob>\n").await.unwrap();
    let request = until(&mut events, |event| match event {
        Event::ChatRequested { request, from: None, .. } => Some(request),
        _ => None,
    });
    bob.accept(request.await).await.unwrap();
    stream.write_all(b"DIRECT_MESSAGE <old> <bob> hello there\n").await.unwrap();
    let from = until(&mut events, |event| match event {
        Event::Message { from, text, .. } if text.as_str() == "hello there" => Some(from),
        _ => None,
    });
    assert_eq!(from.await.as_str(), "old");
    let wanted = "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>\nDIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <old> hello there\n";
    let mut heard = vec![0; wanted.len()];
    timeout(PATIENCE, stream.read_exact(&mut heard)).await.unwrap().unwrap();
    let heard = String::from_utf8(heard).unwrap();
    let brackets = wanted.replace("hello there", "<hello there>");
    assert!(heard == wanted || brackets.starts_with(&heard), "{heard}");
}

#[tokio::test]
async fn messages_wait_for_an_application_that_does_not_keep_up() {
    const MESSAGES: usize = 300;
    let registry = Registry::start().await;
    let mut machine = peer::Config::default();
    machine.messages_in_flight = MESSAGES;
    let sender = registry.client().machine(machine.clone());
    let receiver = registry.client().machine(machine).events(64);

    let (alice, _alice_events) = Peer::connect(sender).await.unwrap();
    alice.register("alice", "x").await.unwrap();
    alice.login("alice", "x").await.unwrap();
    let (bob, mut bob_events) = Peer::connect(receiver).await.unwrap();
    bob.register("bob", "x").await.unwrap();
    bob.login("bob", "x").await.unwrap();
    chat(&alice, "bob", &bob, &mut bob_events).await;

    let sending = tokio::spawn(async move {
        let mut sends = tokio::task::JoinSet::new();
        for number in 0..MESSAGES {
            let alice = alice.clone();
            sends.spawn(async move { alice.send("bob", &number.to_string()).await });
        }
        let outcomes = sends.join_all().await;
        (alice, outcomes)
    });
    sleep(Duration::from_millis(300)).await;
    let mut numbers = Vec::new();
    while numbers.len() < MESSAGES {
        let text = until(&mut bob_events, |event| match event {
            Event::Message { text, .. } => Some(text),
            _ => None,
        });
        numbers.push(text.await.as_str().parse::<usize>().unwrap());
    }
    let (_alice, outcomes) = timeout(PATIENCE, sending).await.unwrap().unwrap();
    assert_eq!(outcomes, vec![Ok(()); MESSAGES]);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "each once");
}
