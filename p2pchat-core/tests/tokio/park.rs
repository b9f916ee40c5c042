//! Online without a connection, over sockets (PROTOCOL.md §7.12).

use std::time::Duration;

use p2pchat_core::{
    peer::Event,
    tokio::{ClientConfig, Events, Peer},
};

use crate::support::{Registry, chat, quick, until};

/// A client that parks as soon as it may.
fn parking(registry: &Registry) -> ClientConfig {
    let mut machine = quick();
    machine.park_after = Some(Duration::from_secs(1));
    machine.silence_timeout = Duration::from_secs(2);
    (machine.keep_alive_interval, machine.parked_interval) =
        (Duration::from_millis(300), Duration::from_millis(300));
    registry.client().machine(machine)
}

async fn newcomer(registry: &Registry, name: &str) -> (Peer, Events) {
    let (peer, events) = Peer::connect(parking(registry)).await.unwrap();
    peer.register(name, "secret").await.unwrap();
    peer.login(name, "secret").await.unwrap();
    (peer, events)
}

async fn parked(events: &mut Events) {
    until(events, |event| matches!(event, Event::Parked).then_some(())).await;
}

#[tokio::test]
async fn who_parks_has_no_connection_and_is_woken_by_what_happens_in_their_room() {
    let registry = Registry::start().await;
    let (alice, mut events) = newcomer(&registry, "alice").await;
    alice.create("tea", None, 5, "").await.unwrap();
    parked(&mut events).await;
    registry.until(|stats| stats.registry.connections == 0 && stats.registry.parked == 1).await;
    // By its own keep-alives.
    let so_far = registry.handle.stats().registry.keep_alives;
    registry.until(|stats| stats.registry.keep_alives > so_far || stats.registry.sessions == 0).await;
    assert_eq!(registry.handle.stats().registry.sessions, 1);

    let (bob, mut bob_events) = registry.newcomer("bob").await;
    bob.join("tea", None).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Unparked).then_some(())).await;
    let seen = until(&mut events, |event| match event {
        Event::MemberOnline { username, .. } => Some(username),
        _ => None,
    });
    assert_eq!(seen.await.as_str(), "bob");
    assert!(registry.handle.stats().registry.wakes >= 1);

    // Whatever is asked for brings it back, and what goes from peer to peer doesn't.
    parked(&mut events).await;
    chat(&bob, "alice", &alice, &mut events).await;
    let said = until(&mut bob_events, |event| match event {
        Event::Message { text, .. } => Some(text.as_str().to_owned()),
        _ => None,
    });
    let (sent, said) = tokio::join!(alice.send("bob", "I was never away"), said);
    sent.unwrap();
    assert_eq!(said, "I was never away");
    assert_eq!(registry.handle.stats().registry.parked, 1);
    alice.search("bob").await.unwrap();
    until(&mut events, |event| matches!(event, Event::Unparked).then_some(())).await;
}

#[tokio::test]
async fn who_is_parked_comes_back_to_a_registry_that_was_killed_and_leaves_one_at_once() {
    let registry = Registry::start().await;
    let (alice, mut events) = newcomer(&registry, "alice").await;
    parked(&mut events).await;
    let (tcp, udp, identity, store) = registry.stop().await;
    let registry = Registry::start_on(tcp, udp, identity, store, |_| {}).await;
    until(&mut events, |event| matches!(event, Event::Reconnected).then_some(())).await;
    assert_eq!(registry.handle.stats().registry.resumed, 1);
    parked(&mut events).await;
    alice.logout().await.unwrap();
    // The shortest lease, which is three seconds.
    registry.until(|stats| stats.registry.sessions == 0).await;
}
