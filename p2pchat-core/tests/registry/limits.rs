//! What a remote side can make the registry hold, do or log is bounded.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use p2pchat_core::registry::{
    Config, HashAnswer, PrefixLimits, Rate, Refused, TokenAnswer,
    store::{StoreAnswer, StoreError},
};

use crate::{
    NO, OK, SECOND,
    world::{Question, World, digest},
};

#[test]
fn an_account_is_in_at_most_as_many_rooms_as_allowed() {
    let mut w = World::new();
    let alice = w.online_extended("alice");
    for i in 0..32 {
        assert_eq!(w.say(alice, &format!("CREATE_CHAT_ROOM <r{i}> <> <5> <>")), [format!("CREATION {OK}")]);
    }
    let why = "<you are in 32 rooms, which is the limit>";
    w.hold = true;
    assert_eq!(w.say(alice, "CREATE_CHAT_ROOM <more> <> <5> <>"), [format!("CREATION {NO} {why}")]);
    w.hold = false;
    assert!(w.held.is_empty(), "the store isn't even asked");
    assert_eq!(w.registry.stats().refused_rooms, 1);
    w.say(alice, "ROOM_EXIT <alice> <r0>");
    assert_eq!(w.say(alice, "CREATE_CHAT_ROOM <more> <> <5> <>"), [format!("CREATION {OK}")]);
}

#[test]
fn what_a_remote_side_can_grow_is_bounded() {
    let mut config = Config::default();
    (config.connections, config.pipeline, config.operations) = (3, 2, 1);
    let mut w = World::with(config);
    let (alice, bob) = (w.online("alice"), w.online_extended("bob"));
    w.connect("192.0.2.9");
    let refused = w.registry.handle_connected(w.now, "192.0.2.9:1".parse().unwrap());
    assert_eq!(refused, Err(Refused::TooManyConnections { limit: 3 }));

    w.hold = true;
    w.say(alice, "SEARCH_USER <x>");
    let busy = "<the registry is busy; try again in 2 s>";
    assert_eq!(w.say(bob, "SEARCH_USER <x>"), [format!("SEARCH_USER_RESPONSE <NOT_FOUND> <404> {busy}")]);
    w.say(alice, "SEARCH_USER <x>");
    w.say(alice, "SEARCH_USER <x>");
    assert!(!w.is_closed(alice));
    assert_eq!(w.say(alice, "SEARCH_USER <x>"), [format!("HELLO_BACK {NO}")]);
    assert!(w.is_closed(alice));
    w.release(0);
    let stats = w.registry.stats();
    assert_eq!((stats.operations, stats.refused_full), (0, 1));
    assert_eq!((stats.refused_operations, stats.refused_pipelines), (1, 1));
}

#[test]
fn a_registry_that_can_not_check_a_password_does_not_call_it_wrong() {
    let mut config = Config::default();
    config.operations = 1;
    let mut w = World::with(config);
    w.register("alice");
    let (bob, alice) = (w.online("bob"), w.greet_extended("192.0.2.1"));
    w.hold = true;
    w.say(bob, "SEARCH_USER <x>");
    let busy = "<the registry is busy; try again in 2 s>";
    let login = format!("LOGIN <alice> <{}>", digest("alice"));
    assert_eq!(w.say(alice, &login), [format!("HELLO_BACK {NO} {busy}")]);
    assert!(w.is_closed(alice));
}

#[test]
fn a_store_or_hash_that_is_too_busy_or_fails_is_told_as_such() {
    let busy = "<the registry is busy; try again in 2 s>";
    let fault = "<the registry can't do that now; its operator knows why>";
    let corrupt = StoreError::Corrupt("account");
    for (stored, hashed, why) in
        [(StoreError::Busy, HashAnswer::Busy, busy), (corrupt, HashAnswer::Failed, fault)]
    {
        let mut w = World::new();
        w.register("alice");
        let (bob, alice) = (w.online_extended("bob"), w.greet_extended("192.0.2.1"));
        w.hold = true;
        let fail = |w: &mut World| {
            let (op, question) = w.held.pop().unwrap();
            match question {
                Question::Store(_) => {
                    w.registry.handle_stored(w.now, op, StoreAnswer::Failed(stored.clone()));
                }
                Question::Hash(_) => w.registry.handle_hashed(w.now, op, hashed.clone()),
                Question::Token => w.registry.handle_token(w.now, op, TokenAnswer::Failed),
            }
            w.run();
        };
        for (request, reply) in [
            ("SEARCH_USER <x>".to_owned(), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>"),
            ("SHOW_ROOMS_LIST <PARTIAL>".to_owned(), "ROOMS_LIST <NOT_FOUND> <404>"),
            (format!("CREATE_CHAT_ROOM <den> <{}> <5> <>", digest("secret")), "CREATION <FAILURE> <404>"),
        ] {
            assert_eq!(w.say(bob, &request), [""; 0]);
            fail(&mut w);
            assert_eq!(w.heard(bob), [format!("{reply} {why}")]);
        }
        // A login that fails would say that the password is wrong.
        w.say(alice, &format!("LOGIN <alice> <{}>", digest("alice")));
        w.release(0);
        fail(&mut w);
        assert_eq!(w.heard(alice), [format!("HELLO_BACK {NO} {why}")]);
        assert!(w.is_closed(alice) && !w.is_closed(bob));
        assert_eq!(w.registry.stats().operations, 0);
    }
}

#[test]
fn a_request_on_an_earlier_stream_counts_towards_the_limit_of_rooms() {
    let mut config = Config::default();
    config.rooms_per_user = 2;
    let mut w = World::with(config);
    let earlier = w.online_extended("alice");
    w.say(earlier, "CREATE_CHAT_ROOM <first> <> <5> <>");
    w.hold = true;
    w.say(earlier, "CREATE_CHAT_ROOM <second> <> <5> <>");
    w.disconnect(earlier);
    w.hold = false;
    let alice = w.online_extended("alice");
    w.hold = true;
    assert_eq!(w.say(alice, "CREATE_CHAT_ROOM <third> <> <5> <>"), [""; 0]);
    w.release(0);
    w.heard(alice);
    w.release(0);
    let why = "<you are in 2 rooms, which is the limit>";
    assert_eq!(w.heard(alice), [format!("CREATION {NO} {why}")]);
    assert_eq!(w.registry.stats().refused_rooms, 1);
}

#[test]
fn no_password_is_compared_in_vain() {
    let mut w = World::new();
    let (owner, alice) = (w.online("owner"), w.online_extended("alice"));
    let password = digest("secret");
    w.say(owner, &format!("CREATE_CHAT_ROOM <full> <{password}> <1> <>"));
    w.say(owner, &format!("CREATE_CHAT_ROOM <den> <{password}> <2> <>"));
    w.hold = true;
    w.say(alice, &format!("JOIN_CHAT_ROOM <full> <{}> <increment>", digest("wrong")));
    w.release(0);
    assert_eq!(w.heard(alice), [format!("JOIN {NO} <the room is full>")]);
    w.say(alice, &format!("JOIN_CHAT_ROOM <den> <{password}> <increment>"));
    w.disconnect(alice);
    w.release(0);
    assert!(w.held.is_empty(), "who asked has gone");
}

/// Counts what an operator's log shows by default.
struct Log(Arc<AtomicUsize>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        if *event.metadata().level() <= tracing::Level::INFO {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_stream_that_is_wrong_again_and_again_fills_no_log() {
    let lines = Arc::default();
    tracing::subscriber::with_default(Log(Arc::clone(&lines)), || {
        let mut w = limited(|_| {});
        let conn = w.connect("192.0.2.1");
        for _ in 0..100 {
            assert_eq!(w.say(conn, "SEARCH_USER <bob>").len(), 1, "refused");
            assert_eq!(w.say(conn, "SEARCH_USER <>").len(), 1, "malformed");
        }
    });
    assert_eq!(lines.load(Ordering::Relaxed), 16);
}

#[test]
fn a_prefix_that_a_limit_holds_up_again_and_again_fills_no_log() {
    let lines = Arc::default();
    tracing::subscriber::with_default(Log(Arc::clone(&lines)), || {
        let mut w = limited(|limits| limits.requests = Rate::new(1, SECOND));
        let conn = w.greet("192.0.2.1");
        lines.store(0, Ordering::Relaxed);
        for _ in 0..1023 {
            w.say(conn, "HELLO_P2P");
        }
        assert_eq!(w.registry.stats().held_requests, 1 + 1023);
    });
    assert_eq!(lines.load(Ordering::Relaxed), 10, "at the 2nd, the 4th, and so on to the 1024th");
}

#[test]
fn a_password_hash_costs_as_much_as_five_requests() {
    for (requests, held) in [(6, true), (7, false)] {
        let mut w = limited(|limits| limits.requests = Rate::new(requests, SECOND));
        w.register("alice");
        let conn = w.greet("192.0.2.1");
        assert_eq!(w.say(conn, &format!("LOGIN <alice> <{}>", digest("alice"))), [format!("AUTH {OK}")]);
        assert_eq!(w.registry.held_until(w.now, conn).is_some(), held, "of {requests}");
    }
}

#[test]
fn nothing_stays_in_memory_of_those_who_left() {
    let mut w = World::new();
    for round in 0..50 {
        let conn = w.online_extended(&format!("user{}", round % 5));
        w.say(conn, &format!("CREATE_CHAT_ROOM <room{round}> <> <5> <>"));
        w.say(conn, &format!("ROOM_EXIT <user{}> <room{round}>", round % 5));
        w.disconnect(conn);
        w.heard(conn);
    }
    let stats = w.registry.stats();
    assert_eq!((stats.connections, stats.sessions, stats.operations), (0, 0, 0));
    assert_eq!(w.registry.poll_timeout(), None);
}

#[test]
fn a_stream_that_is_given_up_is_told_why_and_closed() {
    let mut w = World::new();
    let (alice, bob) = (w.online_extended("alice"), w.online("bob"));
    w.registry.give_up(alice, "too slow");
    w.registry.give_up(alice, "too slow");
    w.run();
    assert_eq!(w.heard(alice), [format!("HELLO_BACK {NO} <too slow>")]);
    assert!(w.registry.has_session(bob) && !w.registry.has_session(alice));
    assert!(w.is_closed(alice) && !w.is_closed(bob));
    assert_eq!(w.registry.stats().sessions, 1);
}

#[test]
fn a_registry_that_shuts_down_closes_every_stream_and_pushes_nothing() {
    let mut w = World::new();
    let (alice, bob, fresh) = (w.online("alice"), w.online("bob"), w.connect("192.0.2.3"));
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.registry.disconnect_all();
    w.run();
    for conn in [alice, bob, fresh] {
        assert!(w.is_closed(conn));
        assert_eq!(w.heard(conn), [""; 0]);
    }
    let stats = w.registry.stats();
    assert_eq!((stats.connections, stats.sessions), (0, 0));
    assert_eq!(w.registry.poll_timeout(), None);
}

/// Names that nobody else has, in the order of their numbers.
fn account(n: u32) -> String {
    format!("REGISTER <user{n}> <{}>", digest("x"))
}

pub(crate) fn limited(change: impl FnOnce(&mut PrefixLimits)) -> World {
    let mut config = Config::default();
    config.prefixes = PrefixLimits::NONE;
    change(&mut config.prefixes);
    World::with(config)
}

#[test]
fn connections_from_one_prefix_are_bounded_and_from_others_are_not() {
    let mut w = limited(|limits| limits.connections = 2);
    let first = w.connect("2001:db8:0:1::1");
    w.connect("2001:db8:0:1::2");
    let refused = w.registry.handle_connected(w.now, "[2001:db8:0:1:ffff::3]:1".parse().unwrap());
    let prefix = "2001:db8:0:1::/64".to_owned();
    assert_eq!(refused, Err(Refused::TooManyFromPrefix { prefix, limit: 2 }));
    w.connect("2001:db8:0:2::1");
    w.connect("192.0.2.1");
    w.disconnect(first);
    w.connect("2001:db8:0:1::4");
    for _ in 0..9 {
        w.connect("127.0.0.1");
    }
}

#[test]
fn after_a_reload_the_streams_that_are_open_count_and_sessions_that_wait_for_one_do_not() {
    let mut config = Config::default();
    config.prefixes = PrefixLimits::NONE;
    config.prefixes.connections = 2;
    let mut w = World::with(config.clone());
    let (waiting, _) = w.online_resume("alice");
    w.disconnect(waiting);
    let first = w.connect("192.0.2.1");
    w.connect("192.0.2.1");
    assert_eq!((w.registry.stats().connections, w.registry.stats().waiting), (2, 1));
    w.registry.reconfigure(config);
    let refused = w.registry.handle_connected(w.now, "192.0.2.1:1".parse().unwrap());
    assert_eq!(refused, Err(Refused::TooManyFromPrefix { prefix: "192.0.2.1/32".into(), limit: 2 }));
    w.disconnect(first);
    w.connect("192.0.2.1");
}

#[test]
fn connections_that_come_too_fast_are_refused_for_a_while() {
    let mut w = limited(|limits| limits.connects = Rate::new(2, 10 * SECOND));
    for _ in 0..2 {
        let conn = w.connect("192.0.2.1");
        w.disconnect(conn);
    }
    let refused = w.registry.handle_connected(w.now, "192.0.2.1:1".parse().unwrap());
    assert_eq!(refused, Err(Refused::TooFast { prefix: "192.0.2.1/32".into(), wait: 5 * SECOND }));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "connections from 192.0.2.1/32 come too fast: the next is taken on in 6 s"
    );
    w.connect("192.0.2.2");
    w.wait(5 * SECOND);
    w.connect("192.0.2.1");
}

#[test]
fn accounts_by_the_dozen_are_refused_before_they_cost_anything() {
    let mut w = limited(|limits| limits.registrations = Rate::new(2, 3_600 * SECOND));
    let (conn, elsewhere) = (w.greet_extended("192.0.2.1"), w.greet("192.0.2.2"));
    for n in 0..2 {
        assert_eq!(w.say(conn, &account(n)), [format!("REGISTER {OK}")]);
    }
    w.hold = true;
    let why = "<too many accounts are asked for where you are; try again in 1801 s>";
    assert_eq!(w.say(conn, &account(2)), [format!("REGISTER {NO} {why}")]);
    assert!(w.held.is_empty(), "neither the hash nor the store is asked");
    assert_eq!(w.registry.stats().refused_registrations, 1);
    w.hold = false;
    assert_eq!(w.say(elsewhere, &account(3)), [format!("REGISTER {OK}")]);
    w.wait(1_800 * SECOND);
    assert_eq!(w.say(conn, &account(2)), [format!("REGISTER {OK}")]);
}

#[test]
fn guessing_passwords_is_stopped_where_it_comes_from_and_locks_nobody_else_out() {
    let mut w = limited(|limits| limits.failed_logins = Rate::new(3, 60 * SECOND));
    w.register("alice");
    let login = |password: &str| format!("LOGIN <alice> <{}>", digest(password));
    // On one account, on another and on none: it is all the same guesser, and any answer is the same.
    for (n, name) in ["alice", "alice", "nobody"].into_iter().enumerate() {
        let conn = w.greet("192.0.2.9");
        let guess = format!("LOGIN <{name}> <{}>", digest(&n.to_string()));
        assert_eq!(w.say(conn, &guess), [format!("AUTH {NO}")]);
        w.disconnect(conn);
    }
    let conn = w.greet_extended("192.0.2.9");
    w.hold = true;
    let why = "<too many logins have failed where you are; try again in 21 s>";
    assert_eq!(w.say(conn, &login("alice")), [format!("HELLO_BACK {NO} {why}")]);
    assert!(w.is_closed(conn) && w.held.is_empty(), "not even tried");
    assert_eq!(w.registry.stats().refused_logins, 1);
    w.hold = false;
    let home = w.greet("192.0.2.1");
    assert_eq!(w.say(home, &login("alice")), [format!("AUTH {OK}")], "the account isn't locked");
    w.disconnect(home);
    w.wait(20 * SECOND);
    let conn = w.greet("192.0.2.9");
    assert_eq!(w.say(conn, &login("alice")), [format!("AUTH {OK}")]);
}

#[test]
fn a_guess_counts_also_if_nobody_waits_for_the_answer() {
    let mut w = limited(|limits| limits.failed_logins = Rate::new(1, 60 * SECOND));
    w.register("alice");
    let conn = w.greet("192.0.2.9");
    w.hold = true;
    w.say(conn, &format!("LOGIN <alice> <{}>", digest("guess")));
    w.release(0);
    w.disconnect(conn);
    while !w.held.is_empty() {
        w.release(0);
    }
    w.hold = false;
    let conn = w.greet("192.0.2.9");
    assert_eq!(w.say(conn, &format!("LOGIN <alice> <{}>", digest("alice"))), [format!("HELLO_BACK {NO}")]);
}
