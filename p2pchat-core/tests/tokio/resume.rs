//! Sessions that outlast their streams, over sockets (PROTOCOL.md §7.5).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use p2pchat_core::{
    peer::{Event, RequestError},
    tokio::{Error, Peer, Trust},
};
use p2pchat_proto::PasswordDigest;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::sleep,
};

use crate::support::{Raw, Registry, chat, until};

/// A way to the registry that can be cut.
struct Cable {
    port: u16,
    cut: Arc<Notify>,
}

impl Cable {
    async fn to(registry: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, cut) = (listener.local_addr().unwrap().port(), Arc::new(Notify::new()));
        let is_cut = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let is_cut = is_cut.clone();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(registry).await.unwrap();
                    tokio::select! {
                        () = is_cut.notified() => {}
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { port, cut }
    }
}

fn login(user: &str) -> String {
    format!("LOGIN <{user}> <{}> <4000>\n", PasswordDigest::of_password("secret").expose())
}

/// A stream that has agreed on `resume`.
async fn greeted(registry: &Registry) -> Raw {
    let mut raw = registry.raw().await;
    raw.say("HELLO_P2P <1> <resume>\n").await;
    assert_eq!(raw.hear().await, "HELLO_BACK <SUCCESS> <200> <1> <resume>\n");
    raw
}

/// The token in the answer to what is said.
async fn token(raw: &mut Raw, line: &str) -> String {
    raw.say(line).await;
    let answer = raw.hear().await;
    let token = answer.strip_prefix("AUTH <SUCCESS> <200> <").and_then(|rest| rest.strip_suffix(">\n"));
    token.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn who_is_cut_off_comes_back_by_the_token_and_nobody_else_notices() {
    let registry = Registry::start().await;
    let cable = Cable::to(registry.tcp).await;
    let config = registry.client_by(cable.port, Trust::Pinned(registry.identity.tls.fingerprint()));
    let (alice, mut alice_events) = Peer::connect(config).await.unwrap();
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    let (bob, mut bob_events) = registry.newcomer("bob").await;
    alice.create("tea", None, 5, "").await.unwrap();
    bob.join("tea", None).await.unwrap();
    chat(&alice, "bob", &bob, &mut bob_events).await;

    for round in 1..=3 {
        cable.cut.notify_waiters();
        until(&mut alice_events, |event| matches!(event, Event::Reconnected).then_some(())).await;
        assert_eq!(registry.handle.stats().registry.resumed, round);
        let mut seen = Vec::new();
        let heard = until(&mut bob_events, |event| match event {
            Event::Message { .. } => Some(()),
            event => {
                seen.push(event);
                None
            }
        });
        let (sent, ()) = tokio::join!(alice.send("bob", "was I away?"), heard);
        sent.unwrap();
        let noticed = seen.iter().any(|event| {
            matches!(
                event,
                Event::MemberOffline { .. } | Event::MemberOnline { .. } | Event::ChatClosed { .. }
            )
        });
        assert!(!noticed, "{seen:?}");
    }
    assert_eq!(registry.handle.stats().registry.sessions, 2);
}

#[tokio::test]
async fn a_replaced_client_is_told_so_and_does_not_come_back() {
    let registry = Registry::start().await;
    // The first one's keep-alives go where nobody is, so that it may be taken over.
    let nowhere = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = registry
        .client_trusting(Trust::Pinned(registry.identity.tls.fingerprint()))
        .registry_udp("127.0.0.1", nowhere.local_addr().unwrap().port());
    let (first, mut events) = Peer::connect(config).await.unwrap();
    first.register("alice", "secret").await.unwrap();
    first.login("alice", "secret").await.unwrap();
    let (second, _second_events) = Peer::connect(registry.client()).await.unwrap();
    while let Err(error) = second.login("alice", "secret").await {
        assert_eq!(error, Error::Request(RequestError::AlreadyOnline));
        sleep(Duration::from_millis(50)).await;
    }
    let replaced = until(&mut events, |event| match event {
        Event::LoggedOut { replaced, .. } => Some(replaced),
        Event::Disconnected { reason, .. } => panic!("{reason}"),
        _ => None,
    });
    assert!(replaced.await, "it is told why");
    registry.until(|stats| stats.registry.connections == 1).await;
    assert_eq!(first.username(), None);
    for _ in 0..20 {
        assert_eq!(second.names().await, Ok(Vec::new()));
    }
    let stats = registry.handle.stats().registry;
    assert_eq!((stats.connections, stats.sessions, stats.resumed), (1, 1, 0));
}

#[tokio::test]
async fn a_token_takes_over_a_live_stream_which_reads_replaced_and_its_end() {
    let registry = Registry::start().await;
    registry.newcomer("alice").await.0.close().await;
    let mut first = greeted(&registry).await;
    let old = token(&mut first, &login("alice")).await;
    let mut second = greeted(&registry).await;
    let new = token(&mut second, &format!("RESUME <alice> <{old}> <4000>\n")).await;
    assert_ne!(old, new);
    assert_eq!(first.hear_out().await, "REPLACED <alice>\n");
    let mut third = greeted(&registry).await;
    token(&mut third, &format!("RESUME <alice> <{new}>\n")).await;
    let mut fourth = greeted(&registry).await;
    fourth.say(format!("RESUME <alice> <{old}>\n")).await;
    assert_eq!(fourth.hear().await, "AUTH <FAILURE> <404>\n");
}

#[tokio::test]
async fn a_kicked_users_token_is_gone() {
    let registry = Registry::start().await;
    registry.newcomer("alice").await.0.close().await;
    let mut raw = greeted(&registry).await;
    let token = token(&mut raw, &login("alice")).await;
    let alice = "alice".parse().unwrap();
    assert_eq!(registry.handle.kick(&alice, "go to bed").await, Ok(true));
    assert_eq!(raw.hear_out().await, "HELLO_BACK <FAILURE> <404>\n");
    assert_eq!(registry.handle.kick(&alice, "go to bed").await, Ok(false));
    let mut again = greeted(&registry).await;
    again.say(format!("RESUME <alice> <{token}>\n")).await;
    assert_eq!(again.hear().await, "AUTH <FAILURE> <404>\n");
}

#[tokio::test]
async fn nothing_is_left_of_sessions_that_waited_in_vain() {
    let registry = Registry::start_with(|config| config.machine.resume_grace = Duration::from_secs(2)).await;
    let mut streams = Vec::new();
    for n in 0..20 {
        registry.newcomer(&format!("user{n}")).await.0.close().await;
        let mut raw = greeted(&registry).await;
        token(&mut raw, &login(&format!("user{n}"))).await;
        streams.push(raw);
    }
    drop(streams);
    registry.until(|stats| stats.registry.connections == 0 && stats.registry.waiting > 0).await;
    registry
        .until(|stats| {
            let left = stats.registry;
            [left.connections, left.sessions, left.waiting, left.operations] == [0; 4]
        })
        .await;
}
