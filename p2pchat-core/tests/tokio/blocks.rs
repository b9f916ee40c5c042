//! Who is blocked, from one run of the program to the next (§9).

use p2pchat_core::{
    peer::{Event, RequestError},
    tokio::{BlockList, Error, LinkIdentity, Peer},
};

use crate::{
    fair::Stream,
    support::{Registry, chat, until},
};

fn identity() -> LinkIdentity {
    LinkIdentity::from_pkcs8(&LinkIdentity::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn blocked_a_user_is_neither_heard_nor_told_also_by_the_program_s_next_run() {
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deeper").join("blocked");
    let own = identity();
    let run = async || {
        let (peer, events) = Peer::connect(registry.client().block_list(file.clone())).await.unwrap();
        peer.set_identity(Some(own.clone())).await.unwrap();
        drop(peer.register("alice", "secret").await);
        peer.login("alice", "secret").await.unwrap();
        (peer, events)
    };
    let (bob, mut bob_events) = Peer::connect(registry.client()).await.unwrap();
    bob.set_identity(Some(identity())).await.unwrap();
    bob.register("bob", "secret").await.unwrap();
    bob.login("bob", "secret").await.unwrap();

    let (alice, mut events) = run().await;
    chat(&alice, "bob", &bob, &mut bob_events).await;
    alice.block("Bob").await.unwrap();
    until(&mut events, |event| matches!(event, Event::ChatClosed { .. }).then_some(())).await;
    let told = until(&mut bob_events, |event| match event {
        Event::ChatClosed { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(told.await, "hung up");
    assert_eq!(alice.chat("bob").await, Err(Error::Request(RequestError::Blocked)));
    assert_eq!(bob.send("alice", "why?").await, Err(Error::Request(RequestError::NoChat)));
    let refused = |outcome| match outcome {
        Err(Error::Request(RequestError::Unreachable(why))) => assert!(!why.contains("block"), "{why}"),
        other => panic!("{other:?}"),
    };
    refused(bob.chat("alice").await);
    alice.close().await;

    let (alice, mut events) = run().await;
    assert_eq!(alice.blocked().await.unwrap(), ["bob".parse().unwrap()]);
    refused(bob.chat("alice").await);
    // Another program of hers decides otherwise, of which this one hears when he comes.
    let list = BlockList::new(file.clone(), "127.0.0.1", registry.tcp.port());
    list.remember(&"bob".parse().unwrap(), false).unwrap();
    // For a moment nobody dials an address that closed without a word.
    let asked = async { while bob.chat("alice").await.is_err() {} };
    let accept = async {
        let request = until(&mut events, |event| match event {
            Event::ChatRequested { request, .. } => Some(request),
            _ => None,
        });
        alice.accept(request.await).await.unwrap();
    };
    tokio::join!(asked, accept);
    assert!(alice.blocked().await.unwrap().is_empty());
    alice.close().await;

    std::fs::write(&file, "nonsense\n").unwrap();
    let error = Peer::connect(registry.client().block_list(file.clone())).await.unwrap_err();
    assert!(error.to_string().contains("blocked:1: wanted is"), "{error}");
}

#[tokio::test]
async fn blocked_what_waits_for_the_application_is_not_shown_either() {
    let registry = Registry::start().await;
    let (alice, mut events) = registry.newcomer("alice").await;
    let mut bob = Stream::open(&registry, "bob", [127, 0, 0, 1], (&alice, &mut events)).await;
    let lines = bob.message("too late") + &bob.ask();
    bob.say(&lines).await;
    // Then what was said before has been read, too.
    bob.accepted().await;
    alice.block("bob").await.unwrap();
    until(&mut events, |event| match event {
        Event::Message { text, .. } => panic!("{text}"),
        Event::ChatClosed { .. } => Some(()),
        _ => None,
    })
    .await;
}
