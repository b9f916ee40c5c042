//! The registry goes, and comes back.

use std::time::Duration;

use p2pchat_core::{
    peer::{Event, RequestError},
    tokio::{Error, Peer},
};
use tokio::time::timeout;

use crate::support::{PATIENCE, Registry, chat, until};

#[tokio::test]
async fn shutting_down_drains_and_tells_everybody() {
    // More than anybody who listens is waited for.
    let registry = Registry::start_with(|config| config.times.drain = PATIENCE * 2).await;
    let handle = registry.handle.clone();
    // On the one thread here it hasn't run yet.
    assert!(handle.stats().accepting, "who is told that it is bound may connect");
    let (alice, mut events) = registry.newcomer("alice").await;
    let mut raw = registry.raw().await;
    raw.say("HELLO_P2P\n").await;
    raw.hear().await;
    registry.stop().await;
    assert!(!handle.stats().accepting);
    assert_eq!(raw.hear_out().await, "");
    until(&mut events, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
    assert_eq!(alice.search("alice").await, Err(Error::Request(RequestError::NotConnected)));
}

#[tokio::test]
async fn peers_come_back_by_themselves_and_go_on_chatting() {
    let registry = Registry::start().await;
    let (alice, mut alice_events) = registry.newcomer("alice").await;
    let (bob, mut bob_events) = registry.newcomer("bob").await;
    alice.create("tea", None, 5, "").await.unwrap();
    bob.join("tea", None).await.unwrap();
    chat(&alice, "bob", &bob, &mut bob_events).await;

    let (tcp, udp, identity, store) = registry.stop().await;
    // A chat needs no registry.
    let heard = until(&mut bob_events, |event| matches!(event, Event::Message { .. }).then_some(()));
    let (sent, ()) = tokio::join!(alice.send("bob", "is it gone?"), heard);
    sent.unwrap();

    let registry = Registry::start_on(tcp, udp, identity, store, |_| {}).await;
    for events in [&mut alice_events, &mut bob_events] {
        until(events, |event| matches!(event, Event::Reconnected).then_some(())).await;
    }
    assert_eq!(registry.handle.stats().registry.sessions, 2);
    let heard = until(&mut alice_events, |event| match event {
        Event::Message { text, .. } => Some(text),
        _ => None,
    });
    let (sent, text) = tokio::join!(bob.send("alice", "it is back"), heard);
    sent.unwrap();
    assert_eq!(text.as_str(), "it is back");

    let heard = until(&mut bob_events, |event| matches!(event, Event::Broadcast { .. }).then_some(()));
    let (report, ()) = tokio::join!(alice.broadcast("tea", "all here?"), heard);
    assert_eq!(report.unwrap().delivered, ["bob".parse().unwrap()]);
}

#[tokio::test]
async fn closing_ends_calls_events_and_tasks() {
    let registry = Registry::start().await;
    let (alice, mut events) = registry.newcomer("alice").await;
    let (bob, mut bob_events) = registry.newcomer("bob").await;
    let asking = {
        let alice = alice.clone();
        tokio::spawn(async move { alice.chat("bob").await })
    };
    until(&mut bob_events, |event| matches!(event, Event::ChatRequested { .. }).then_some(())).await;
    timeout(PATIENCE, alice.close()).await.expect("did not close");
    assert_eq!(asking.await.unwrap(), Err(Error::Request(RequestError::Closed)));
    assert_eq!(alice.search("bob").await, Err(Error::Request(RequestError::Closed)));
    while timeout(PATIENCE, events.next()).await.expect("the events go on").is_some() {}
    assert_eq!(bob.search("alice").await, Err(Error::Request(RequestError::NotOnline)));

    // A client of which nothing is left ends as well.
    drop((bob, bob_events));
    let gone = async {
        while registry.handle.stats().registry.connections > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("a client without owners stays");
    assert!(Peer::connect(registry.client()).await.is_ok());
}
