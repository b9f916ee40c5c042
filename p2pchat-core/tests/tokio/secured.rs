//! Peer streams that are encrypted, and those who stand in between (PROTOCOL.md §7.13).

use std::time::Duration;

use p2pchat_core::{
    peer::{Event, RequestError},
    tokio::{Error, Events, Peer},
};
use tokio::time::timeout;

use crate::{
    between::{Between, identity, with_key},
    support::{Registry, chat, until},
};

async fn hears(events: &mut Events, words: &str) {
    until(events, |event| {
        matches!(event, Event::Message { text, .. } if text.as_str() == words).then_some(())
    })
    .await;
}

async fn says(from: &Peer, to: &str, events: &mut Events, words: &str) {
    let (sent, ()) = tokio::join!(from.send(to, words), hears(events, words));
    sent.unwrap();
}

#[tokio::test]
async fn links_who_hears_the_wire_reads_who_was_introduced_to_whom_and_nothing_that_is_said() {
    let registry = Registry::start().await;
    let wire = Between::default();
    let (alice_key, bob_key) = (identity(), identity());
    let (alice, mut alice_events) = with_key(&registry, "alice", alice_key.clone(), &wire).await;
    let (bob, mut bob_events) = with_key(&registry, "bob", bob_key.clone(), &wire).await;
    wire.heard.lock().unwrap().clear();
    chat(&alice, "bob", &bob, &mut bob_events).await;
    says(&alice, "bob", &mut bob_events, "the treasure is under the oak").await;
    says(&bob, "alice", &mut alice_events, "which oak would that be").await;
    // Whatever is as long as that: more than a word is not seen by chance.
    says(&alice, "bob", &mut bob_events, &"x".repeat(16_000)).await;

    for (peer, other, key) in [(&alice, "bob", &bob_key), (&bob, "alice", &alice_key)] {
        let known = peer.key_of(other).await.unwrap();
        assert_eq!((known.key, known.secured), (Some(key.key()), true));
    }
    let heard = wire.heard();
    let introduction = format!("INTRODUCED_BY <127.0.0.1:{}> <alice> <bob> <tls>\n", registry.tcp.port());
    assert_eq!(heard.matches(&introduction).count(), 1, "one stream, and it says first who is dialled why");
    for secret in ["oak", "CHAT_REQUEST", "DIRECT_MESSAGE", "NOTIFICATION", "xxxx"] {
        assert!(!heard.contains(secret), "{secret} was heard");
    }
}

/// Who stands between two peers and ends the encryption on both sides has to show each of them a key.
#[tokio::test]
async fn links_a_man_in_the_middle_is_found_out_from_either_side() {
    let (registry, elsewhere) = (Registry::start().await, Registry::start().await);
    let (wire, tapped) = (Between::default(), Between::default());
    let (alice, mut alice_events) = with_key(&registry, "alice", identity(), &wire).await;
    let (bob, mut bob_events) = with_key(&registry, "bob", identity(), &Between::default()).await;
    // Mallory says to be bob where alice dials him, and to be alice where bob listens.
    let (as_bob, mut as_bob_events) = with_key(&elsewhere, "bob", identity(), &Between::default()).await;
    let (as_alice, _as_alice_events) = with_key(&elsewhere, "alice", identity(), &tapped).await;

    wire.lead(bob.port(), as_bob.port());
    let refused = alice.chat("bob").await.unwrap_err();
    assert_eq!(refused.to_string(), "that user can't be reached: somebody else answers there");
    let fault = until(&mut alice_events, |event| match event {
        Event::Fault { culprit, what } => Some(format!("{culprit} {what}")),
        _ => None,
    });
    assert!(fault.await.contains("answers at the address of bob without their key"));
    assert_eq!(alice.key_of("bob").await.unwrap().key, None);

    tapped.lead(as_bob.port(), bob.port());
    let refused = as_alice.chat("bob").await.unwrap_err();
    assert!(matches!(refused, Error::Request(RequestError::Unreachable(_))), "{refused}");
    assert_eq!(bob.key_of("alice").await.unwrap().key, None);
    // Neither of them has been spoken to.
    as_bob.close().await;
    bob.close().await;
    let none_came = |event: &Event| !matches!(event, Event::ChatRequested { .. } | Event::Message { .. });
    while let Some(event) = as_bob_events.next().await {
        assert!(none_came(&event), "{event:?}");
    }
    while let Some(event) = bob_events.next().await {
        assert!(none_came(&event), "{event:?}");
    }
}

#[tokio::test]
async fn links_who_comes_back_with_another_key_is_not_talked_to_before_somebody_has_decided() {
    let registry = Registry::start().await;
    let wire = Between::default();
    let (alice, mut events) = with_key(&registry, "alice", identity(), &wire).await;
    let (first, second) = (identity(), identity());
    let (bob, mut bob_events) = with_key(&registry, "bob", first.clone(), &wire).await;
    chat(&alice, "bob", &bob, &mut bob_events).await;
    let learned = until(&mut events, |event| match event {
        Event::KeyLearned { user, key } => Some((user, key)),
        _ => None,
    });
    assert_eq!(learned.await, (p2pchat_proto::Username::new("bob").unwrap(), first.key()));
    bob.logout().await.unwrap();
    bob.close().await;

    let (bob, mut bob_events) = with_key(&registry, "bob", second.clone(), &wire).await;
    let refused = alice.chat("bob").await.unwrap_err();
    let changed = RequestError::KeyChanged { known: first.key(), shown: Some(second.key()) };
    assert_eq!(refused, Error::Request(changed));
    let told = until(&mut events, |event| matches!(event, Event::KeyChanged { .. }).then_some(()));
    told.await;
    alice.set_key("bob", Some(second.key())).await.unwrap();
    chat(&alice, "bob", &bob, &mut bob_events).await;
    says(&alice, "bob", &mut bob_events, "it is you").await;
}

#[tokio::test]
async fn who_has_no_key_is_talked_to_in_the_clear_and_it_is_said() {
    let registry = Registry::start().await;
    let wire = Between::default();
    let (alice, mut alice_events) = with_key(&registry, "alice", identity(), &wire).await;
    let (bob, mut bob_events) = registry.newcomer("bob").await;
    chat(&alice, "bob", &bob, &mut bob_events).await;
    let opened = until(&mut alice_events, |event| match event {
        Event::ChatOpened { secured, .. } => Some(secured),
        _ => None,
    });
    assert!(!opened.await);
    says(&alice, "bob", &mut bob_events, "anybody can read this").await;
    assert!(wire.heard().contains("anybody can read this"));
    alice.hang_up("bob").await.unwrap();
    until(&mut bob_events, |event| matches!(event, Event::ChatClosed { .. }).then_some(())).await;
    chat(&bob, "alice", &alice, &mut alice_events).await;
    says(&bob, "alice", &mut alice_events, "and this").await;
}

#[tokio::test]
async fn a_room_is_spoken_to_in_private() {
    let registry = Registry::start().await;
    let wire = Between::default();
    let (alice, _alice_events) = with_key(&registry, "alice", identity(), &wire).await;
    let (bob, mut bob_events) = with_key(&registry, "bob", identity(), &wire).await;
    alice.create("den", None, 5, "").await.unwrap();
    bob.join("den", None).await.unwrap();
    let heard = until(&mut bob_events, |event| match event {
        Event::Broadcast { text, .. } => Some(text),
        _ => None,
    });
    let (report, text) = tokio::join!(alice.broadcast("den", "good morning"), heard);
    assert_eq!((report.unwrap().delivered.len(), text.as_str()), (1, "good morning"));
    assert!(!wire.heard().contains("morning"));
}

#[tokio::test]
async fn who_was_met_is_known_again_by_another_run_of_the_program() {
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deeper").join("known_peers");
    let (own, first, second) = (identity(), identity(), identity());
    let alice = async |name: &str| {
        let (peer, events) = Peer::connect(registry.client().known_peers(file.clone())).await.unwrap();
        peer.set_identity(Some(own.clone())).await.unwrap();
        drop(peer.register(name, "secret").await);
        peer.login(name, "secret").await.unwrap();
        (peer, events)
    };
    let (bob, mut bob_events) = with_key(&registry, "bob", first.clone(), &Between::default()).await;
    let (peer, _events) = alice("alice").await;
    chat(&peer, "bob", &bob, &mut bob_events).await;
    peer.close().await;
    bob.close().await;

    let (_bob, _bob_events) = with_key(&registry, "bob", second.clone(), &Between::default()).await;
    let (peer, _events) = alice("alice").await;
    assert_eq!(peer.key_of("bob").await.unwrap().key, Some(first.key()));
    assert!(matches!(peer.chat("bob").await, Err(Error::Request(RequestError::KeyChanged { .. }))));
    peer.set_key("bob", Some(second.key())).await.unwrap();
    peer.close().await;
    let (peer, _events) = alice("alice").await;
    assert_eq!(peer.key_of("bob").await.unwrap().key, Some(second.key()));
    peer.close().await;
    std::fs::write(&file, "nonsense\n").unwrap();
    let error = Peer::connect(registry.client().known_peers(file.clone())).await.unwrap_err();
    assert!(error.to_string().contains("known_peers:1: wanted is"), "{error}");
}

#[tokio::test]
async fn links_what_a_cut_connection_has_not_brought_comes_on_the_next_one_and_once() {
    let registry = Registry::start().await;
    let network = Between::default();
    let (alice, mut alice_events) = with_key(&registry, "alice", identity(), &network).await;
    let (bob, mut bob_events) = with_key(&registry, "bob", identity(), &network).await;
    chat(&alice, "bob", &bob, &mut bob_events).await;
    let mut resumed = 0;
    for cut in (0..1_000).step_by(50) {
        // Some 250 bytes are a message of hers.
        *network.cut_after.lock().unwrap() = Some(cut);
        let texts = ["one", "two", "three"].map(|word| format!("{word} after {cut}"));
        let says = async {
            for text in &texts {
                alice.send("bob", text).await.unwrap();
            }
        };
        let hears = async {
            for text in &texts {
                let heard = until(&mut bob_events, |event| match event {
                    Event::Message { text, .. } => Some(text),
                    Event::ChatClosed { reason, .. } => panic!("{reason}"),
                    _ => None,
                });
                assert_eq!(heard.await.as_str(), text, "once, and in order");
            }
        };
        tokio::join!(says, hears);
        *network.cut_after.lock().unwrap() = None;
        while let Ok(Some(event)) = timeout(Duration::ZERO, alice_events.next()).await {
            resumed += usize::from(matches!(event, Event::ChatResumed { .. }));
        }
    }
    assert!(resumed >= 8, "it was cut, and went on, {resumed} times");
}
