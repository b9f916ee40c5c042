//! What the system is for.

use std::{pin::pin, time::Duration};

use p2pchat_core::{
    peer::{self, Event, RequestError},
    proto::{Capabilities, PasswordDigest},
    tokio::{Error, Events, Peer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, split},
    time::timeout,
};

use crate::support::{PATIENCE, Registry, chat, quick, until};

#[tokio::test]
async fn two_people_find_each_other_and_chat() {
    let registry = Registry::start().await;
    let (alice, mut alice_events) = registry.newcomer("alice").await;
    let (bob, mut bob_events) = registry.newcomer("Bob").await;
    assert_eq!(alice.username().unwrap().as_str(), "alice");

    let found = alice.search("bob").await.unwrap();
    assert_eq!((found.port, found.ip.to_string().as_str()), (bob.port(), "127.0.0.1"));
    assert_eq!(alice.search("carol").await, Err(Error::Request(RequestError::NotFound)));
    assert_eq!(alice.names().await.unwrap(), ["bob".parse().unwrap()]);
    assert_eq!(alice.peers().await.unwrap()[0].port, bob.port());

    chat(&alice, "bob", &bob, &mut bob_events).await;
    for text in ["hello", "two\nlines", "<b> \\ 👋 שלום", ""] {
        let heard = until(&mut bob_events, |event| match event {
            Event::Message { from, text, .. } => Some((from, text)),
            _ => None,
        });
        let (sent, (from, heard)) = tokio::join!(alice.send("bob", text), heard);
        sent.unwrap();
        assert_eq!((from.as_str(), heard.as_str()), ("alice", text));
    }
    let heard = until(&mut alice_events, |event| match event {
        Event::Message { text, .. } => Some(text),
        _ => None,
    });
    let (sent, heard) = tokio::join!(bob.send("alice", "and you?"), heard);
    sent.unwrap();
    assert_eq!(heard.as_str(), "and you?");

    alice.hang_up("bob").await.unwrap();
    until(&mut bob_events, |event| matches!(event, Event::ChatClosed { .. }).then_some(())).await;
    assert_eq!(alice.send("bob", "x").await, Err(Error::Request(RequestError::NoChat)));

    alice.logout().await.unwrap();
    assert_eq!(alice.username(), None);
    assert_eq!(bob.search("alice").await, Err(Error::Request(RequestError::NotOnline)));
    alice.login("alice", "secret").await.unwrap();
    assert!(bob.search("alice").await.is_ok());
}

#[tokio::test]
async fn what_is_held_has_not_arrived_until_it_is_confirmed() {
    let registry = Registry::start().await;
    let (alice, mut alice_events) = registry.newcomer("alice").await;
    let (bob, mut bob_events) = registry.newcomer("bob").await;
    chat(&alice, "bob", &bob, &mut bob_events).await;
    let held = async |events: &mut Events| loop {
        let held = timeout(PATIENCE, events.next_held()).await.expect("nothing came").expect("it has ended");
        if matches!(held.event(), Event::Message { .. } | Event::Broadcast { .. }) {
            return held;
        }
    };

    let mut sending = pin!(alice.send("bob", "keep this"));
    let message = tokio::select! {
        sent = &mut sending => panic!("{sent:?} while nobody has it"),
        held = held(&mut bob_events) => held,
    };
    // What is asked and said meanwhile goes its way, there and back; the message stays where it is.
    let meanwhile = async {
        let heard = until(&mut alice_events, |event| matches!(event, Event::Message { .. }).then_some(()));
        let (sent, ()) = tokio::join!(bob.send("alice", "one moment"), heard);
        sent.unwrap();
        alice.names().await.unwrap();
    };
    tokio::select! {
        sent = &mut sending => panic!("{sent:?} while nobody has it"),
        () = meanwhile => {}
    }
    let Event::Message { text, .. } = message.confirm() else { panic!("it is another one now") };
    assert_eq!(text.as_str(), "keep this");
    timeout(PATIENCE, sending).await.expect("it wasn't confirmed").unwrap();

    // Whoever gives up waiting for an event loses none.
    assert!(timeout(Duration::from_millis(1), held(&mut bob_events)).await.is_err());
    let (sent, ()) = tokio::join!(alice.send("bob", "and this"), async {
        let _event = held(&mut bob_events).await.confirm();
    });
    sent.unwrap();
}

#[tokio::test]
async fn what_is_dropped_unconfirmed_is_undelivered() {
    let registry = Registry::start().await;
    let mut hasty = quick();
    hasty.delivery_timeout = Duration::from_secs(1);
    hasty.resend_timeout = Duration::from_secs(1);
    let (alice, _alice_events) = Peer::connect(registry.client().machine(hasty)).await.unwrap();
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    let (bob, mut bob_events) = registry.newcomer("bob").await;
    chat(&alice, "bob", &bob, &mut bob_events).await;
    let drop_one =
        async { while !matches!(bob_events.next_held().await.unwrap().event(), Event::Message { .. }) {} };
    let (sent, ()) = tokio::join!(alice.send("bob", "into the void"), drop_one);
    let Err(Error::Request(RequestError::Doubtful { why, .. })) = sent else { panic!("{sent:?}") };
    assert_eq!(*why, RequestError::TimedOut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_of_a_login_knows_who_they_are() {
    let registry = Registry::start().await;
    let (alice, _events) = registry.newcomer("alice").await;
    for _ in 0..20 {
        {
            let mut logout = std::pin::pin!(alice.logout());
            // Whether it has ended or not: it has begun.
            let ended = timeout(Duration::ZERO, &mut logout).await;
            assert_eq!(alice.username(), None);
            match ended {
                Ok(ended) => ended.unwrap(),
                Err(_) => logout.await.unwrap(),
            }
        }
        alice.login("alice", "secret").await.unwrap();
        assert!(alice.username().is_some());
    }
}

#[tokio::test]
async fn a_room_talks() {
    let registry = Registry::start().await;
    let (alice, mut alice_events) = registry.newcomer("alice").await;
    let (bob, mut bob_events) = registry.newcomer("bob").await;
    let (carol, mut carol_events) = registry.newcomer("carol").await;

    alice.create("tea", Some("open sesame"), 2, "hot water").await.unwrap();
    assert!(matches!(bob.join("tea", Some("wrong")).await, Err(Error::Request(RequestError::Refused(_)))));
    bob.join("tea", Some("open sesame")).await.unwrap();
    let full = carol.join("tea", Some("open sesame")).await;
    assert!(
        matches!(&full, Err(Error::Request(RequestError::Refused(Some(why)))) if why.contains("full")),
        "{full:?}"
    );
    let rooms = carol.rooms().await.unwrap();
    assert_eq!((rooms[0].name.as_str(), rooms[0].members, rooms[0].capacity.get()), ("tea", 2, 2));
    assert_eq!(alice.members("tea").await.unwrap().len(), 2);
    assert!(carol.members("tea").await.is_err());

    until(&mut alice_events, |event| matches!(event, Event::MemberOnline { .. }).then_some(())).await;
    let heard = until(&mut bob_events, |event| match event {
        Event::Broadcast { room, from, text, .. } => Some((room.unwrap(), from, text)),
        _ => None,
    });
    let (report, (room, from, text)) = tokio::join!(alice.broadcast("tea", "it is ready"), heard);
    let report = report.unwrap();
    assert_eq!((report.delivered, report.failed), (vec!["bob".parse().unwrap()], vec![]));
    assert_eq!((room.as_str(), from.as_str(), text.as_str()), ("tea", "alice", "it is ready"));

    bob.leave("tea").await.unwrap();
    until(&mut alice_events, |event| matches!(event, Event::MemberLeft { .. }).then_some(())).await;
    carol.join("tea", Some("open sesame")).await.unwrap();
    until(&mut carol_events, |event| matches!(event, Event::RoomEntered { .. }).then_some(())).await;
    alice.logout().await.unwrap();
    let rooms = until(&mut carol_events, |event| match event {
        Event::MemberOffline { username, rooms } if username.as_str() == "alice" => Some(rooms),
        _ => None,
    });
    assert_eq!(rooms.await, ["tea".parse().unwrap()]);
}

#[tokio::test]
async fn what_cannot_exist_is_refused_here_and_what_may_not_be_there() {
    let registry = Registry::start().await;
    let (alice, _events) = registry.newcomer("alice").await;
    assert!(matches!(alice.search("a b").await, Err(Error::Invalid { field: "username", .. })));
    assert!(matches!(
        alice.create("PARTIAL", None, 2, "").await,
        Err(Error::Invalid { field: "room name", .. })
    ));
    assert!(matches!(alice.create("r", None, 0, "").await, Err(Error::Invalid { field: "capacity", .. })));
    assert!(matches!(
        alice.send("bob", &"x".repeat(16_385)).await,
        Err(Error::Invalid { field: "text", .. })
    ));
    assert_eq!(
        alice.register("alice", "x").await,
        Err(Error::Request(RequestError::NameTaken(Some("that username is taken".to_owned()))))
    );
    assert_eq!(alice.login("alice", "secret").await, Err(Error::Request(RequestError::AlreadyLoggedIn)));

    let (other, _events) = Peer::connect(registry.client()).await.unwrap();
    assert!(matches!(other.login("alice", "wrong").await, Err(Error::Request(RequestError::LoginFailed(_)))));
    assert!(matches!(other.login("nobody", "x").await, Err(Error::Request(RequestError::LoginFailed(_)))));
    assert_eq!(other.login("alice", "secret").await, Err(Error::Request(RequestError::AlreadyOnline)));
}

#[tokio::test]
async fn a_member_speaks_in_a_room_that_nobody_has_told_them_of_yet() {
    let registry = Registry::start().await;
    let (alice, _events) = registry.newcomer("alice").await;
    alice.create("tea", None, 5, "").await.unwrap();
    let (_bob, mut bob_events) = {
        let (bob, events) = registry.newcomer("bob").await;
        bob.join("tea", None).await.unwrap();
        (bob, events)
    };
    alice.close().await;

    // Without `roster` no push ever tells them.
    let mut machine = peer::Config::default();
    machine.capabilities = Capabilities::NONE;
    let (alice, _events) = Peer::connect(registry.client().machine(machine)).await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    let heard = until(&mut bob_events, |event| matches!(event, Event::Broadcast { .. }).then_some(()));
    let (report, ()) = tokio::join!(alice.broadcast("tea", "back again"), heard);
    assert_eq!(report.unwrap().delivered, ["bob".parse().unwrap()]);
    assert_eq!(
        alice.broadcast("elsewhere", "hello?").await,
        Err(Error::Request(RequestError::NotAMember)),
        "not a member all the same"
    );
}

#[tokio::test]
async fn a_session_is_kept_alive_by_datagrams_and_ends_without_them() {
    const LEASE: Duration = Duration::from_secs(6);
    let registry = Registry::start_with(|config| config.machine.default_lease = LEASE).await;
    let mut machine = peer::Config::default();
    machine.lease = LEASE;
    machine.keep_alive_interval = Duration::from_millis(200);
    let (kept, mut events) = Peer::connect(registry.client().machine(machine)).await.unwrap();
    kept.register("kept", "x").await.unwrap();
    kept.login("kept", "x").await.unwrap();

    let mut silent = registry.raw().await;
    silent.say("HELLO_P2P\n").await;
    assert_eq!(silent.hear().await, "HELLO_BACK <SUCCESS> <200>\n");
    let digest = PasswordDigest::of_password("x");
    silent.say(format!("REGISTER <silent> <{0}>\nLOGIN <silent> <{0}>\n", digest.expose())).await;
    let said = silent.hear_out().await;
    assert_eq!(said, "REGISTER <SUCCESS> <200>\nAUTH <SUCCESS> <200>\nTIMEOUT <silent>\n");

    // Both began at about the same time, and one of them has a lease of its own more.
    tokio::time::sleep(LEASE / 2).await;
    assert_eq!(registry.handle.stats().registry.sessions, 1, "the one that is kept alive");
    assert_eq!(kept.names().await, Ok(vec![]), "nobody else is online");
    kept.close().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Disconnected { .. }), "{event:?}");
    }
}

/// Replies are encoded when others have the machine already: they come before what it says next all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_registry_tells_is_in_the_order_in_which_it_happened() {
    // Nobody sends keep-alives here.
    let registry = Registry::start_with(|config| config.machine.default_lease = 10 * PATIENCE).await;
    let digest = PasswordDigest::of_password("secret");
    let comes = async |name: &str, verbs: &[&str], asks: &str, wanted: &str| {
        let mut stream = registry.raw().await;
        let words = |verb: &&str| format!("{verb} <{name}> <{}>\n", digest.expose());
        let lines = format!("HELLO_P2P\n{}{asks}", verbs.iter().map(words).collect::<String>());
        stream.say(lines).await;
        while !stream.hear().await.contains(wanted) {}
        stream
    };
    let new = ["REGISTER", "LOGIN"];
    let alice = comes("alice", &new, "CREATE_CHAT_ROOM <tea> <> <9> <>\n", "CREATION <SUCCESS>").await;
    let mut bob = comes("bob", &new, "JOIN_CHAT_ROOM <tea> <> <increment>\n", "JOIN <SUCCESS>").await;

    // Alice asks where bob is, again and again, whatever she is told.
    let (heard, mut out) = split(alice.0);
    let asks = tokio::spawn(async move {
        let asks = "SEARCH_USER <bob>\n".repeat(32);
        while out.write_all(asks.as_bytes()).await.is_ok() && out.flush().await.is_ok() {}
    });
    let mut heard = BufReader::new(heard).lines();
    let mut next =
        async || timeout(PATIENCE, heard.next_line()).await.expect("heard nothing").unwrap().unwrap();
    for round in 0..100 {
        while !next().await.starts_with("SEARCH_USER_RESPONSE <SUCCESS>") {}
        bob.say("LOGOUT\n").await;
        while !next().await.starts_with("USER_LOGOUT <bob>") {}
        for _ in 0..100 {
            let line = next().await;
            assert!(!line.starts_with("SEARCH_USER_RESPONSE <SUCCESS>"), "{line:?} in round {round}");
        }
        bob = comes("bob", &["LOGIN"], "", "AUTH <SUCCESS>").await;
    }
    asks.abort();
}
