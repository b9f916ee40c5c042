//! Whom the registry can't serve now, and when it has them come back (PROTOCOL.md §7.8).

use p2pchat_core::registry::{Config, ConnId, HashAnswer, PrefixLimits, Rate};

use crate::{
    NO, OK, SECOND,
    world::{Question, World, digest},
};

/// A registry where so many may wait for the hash, and in which hashes take as long as the test likes.
fn slow(hashes: usize) -> World {
    let mut config = Config::default();
    config.hashes = hashes;
    config.prefixes = PrefixLimits::NONE;
    let mut w = World::with(config);
    for n in 0..20 {
        w.register(&format!("u{n}"));
    }
    w
}

fn greet(w: &mut World, capabilities: &str) -> ConnId {
    let conn = w.connect("192.0.2.1");
    let welcome = w.say(conn, &format!("HELLO_P2P <1> <{capabilities}>"));
    assert_eq!(welcome, [format!("HELLO_BACK {OK} <1> <{capabilities}>")]);
    conn
}

/// A login that waits for its hash, or has been refused.
fn try_to_log_in(w: &mut World, n: usize, capabilities: &str) -> (ConnId, Vec<String>) {
    let conn = greet(w, capabilities);
    w.hold = true;
    let said = w.say(conn, &format!("LOGIN <u{n}> <{}>", digest(&format!("u{n}"))));
    assert_eq!(said, [""; 0]);
    // The account is read at once.
    w.release(w.held.len() - 1);
    w.hold = false;
    (conn, w.heard(conn))
}

#[test]
fn over_the_bound_a_login_is_sent_away_with_a_time_and_within_it_is_not() {
    let mut w = slow(2);
    let mut waiting = Vec::new();
    for n in 0..2 {
        let (conn, said) = try_to_log_in(&mut w, n, "reason,retry");
        assert_eq!(said, [""; 0]);
        waiting.push(conn);
    }
    let (late, said) = try_to_log_in(&mut w, 2, "reason,retry");
    let why = "the registry is busy; try again in 2 s";
    assert_eq!(said, ["RETRY_AFTER <2>".to_owned(), format!("HELLO_BACK {NO} <{why}>")]);
    assert!(w.is_closed(late));
    let stats = w.registry.stats();
    assert_eq!((stats.hashes, stats.most_hashes, stats.refused_hashes), (2, 2, 1));
    assert_eq!(stats.named_retries, 1);

    while !w.held.is_empty() {
        w.release(0);
    }
    for conn in waiting {
        assert_eq!(w.heard(conn), [format!("AUTH {OK}")]);
    }
    assert_eq!(w.registry.stats().hashes, 0);
    w.wait(2 * SECOND);
    let (_, said) = try_to_log_in(&mut w, 2, "reason,retry");
    assert_eq!(said, [""; 0]);
    w.release(0);
    assert_eq!(w.registry.stats().most_hashes, 2);
}

#[test]
fn only_who_knows_of_it_is_told_the_time() {
    for (capabilities, refusal) in [
        ("reason", format!("HELLO_BACK {NO} <the registry is busy; try again in 2 s>")),
        ("roster", format!("HELLO_BACK {NO}")),
    ] {
        let mut w = slow(1);
        try_to_log_in(&mut w, 0, "retry");
        let (conn, said) = try_to_log_in(&mut w, 1, capabilities);
        assert_eq!(said, [refusal]);
        assert!(w.is_closed(conn));
    }
    let mut w = slow(1);
    try_to_log_in(&mut w, 0, "retry");
    let conn = greet(&mut w, "retry");
    w.is_prototype(conn);
    assert_eq!(w.say(conn, &format!("REGISTER <x> <{}>", digest("x"))), [format!("REGISTER {NO}")]);
}

#[test]
fn whatever_needs_a_hash_is_sent_away_and_keeps_its_stream_but_for_a_login() {
    let mut w = slow(8);
    let alice = greet(&mut w, "retry");
    w.say(alice, &format!("LOGIN <u0> <{}>", digest("u0")));
    w.say(alice, &format!("CREATE_CHAT_ROOM <den> <{}> <5> <>", digest("den")));
    let bob = greet(&mut w, "retry");
    w.say(bob, &format!("LOGIN <u1> <{}>", digest("u1")));
    for n in 2..10 {
        try_to_log_in(&mut w, n, "retry");
    }
    assert_eq!(w.registry.stats().hashes, 8);
    let waits = "RETRY_AFTER <2>".to_owned();
    for (request, verb) in [
        (format!("REGISTER <new> <{}>", digest("new")), "REGISTER"),
        (format!("CREATE_CHAT_ROOM <attic> <{}> <5> <>", digest("attic")), "CREATION"),
        (format!("JOIN_CHAT_ROOM <den> <{}> <increment>", digest("den")), "JOIN"),
    ] {
        assert_eq!(w.say(bob, &request), [waits.clone(), format!("{verb} {NO}")]);
    }
    assert_eq!(w.say(bob, "CREATE_CHAT_ROOM <attic> <> <5> <>"), [format!("CREATION {OK}")], "no hash");
    assert!(!w.is_closed(bob));
    assert_eq!(w.registry.stats().refused_hashes, 3);
}

#[test]
fn those_sent_away_are_spread_by_what_a_hash_takes_and_not_past_the_limit() {
    let mut w = slow(10);
    // They take half a second each, as the registry learns while it lets them in.
    for n in 0..10 {
        try_to_log_in(&mut w, n, "retry");
    }
    for n in 0..10 {
        w.wait(SECOND / 2);
        w.release(0);
        try_to_log_in(&mut w, 10 + n, "retry");
    }
    let named: Vec<u64> = (0..400)
        .map(|_| {
            let (_, said) = try_to_log_in(&mut w, 0, "retry");
            let seconds = said[0].strip_prefix("RETRY_AFTER <").and_then(|rest| rest.strip_suffix('>'));
            seconds.unwrap().parse().unwrap()
        })
        .collect();
    assert!(named.is_sorted(), "one after the other: {named:?}");
    // What a hash takes is learnt from sixteen or so, of which half were of nothing.
    assert!((2..=6).contains(&named[0]), "{named:?}");
    assert!((10..=60).contains(&(named[100] - named[0])), "{named:?}");
    assert_eq!(named[399], Config::default().longest_retry.as_secs() + 1);
    assert_eq!(w.registry.stats().most_hashes, 10);
}

#[test]
fn other_limits_hold_at_once_for_those_who_come_from_then_on() {
    let limits = |hashes, seconds: u32| {
        let mut config = Config::default();
        (config.hashes, config.longest_retry) = (hashes, SECOND * seconds);
        config.prefixes = PrefixLimits::NONE;
        config
    };
    let mut w = slow(1);
    assert_eq!(try_to_log_in(&mut w, 0, "retry").1, [""; 0]);
    assert_eq!(try_to_log_in(&mut w, 1, "retry").1.len(), 2);

    w.registry.reconfigure(limits(3, 60));
    for n in 1..3 {
        assert_eq!(try_to_log_in(&mut w, n, "retry").1, [""; 0]);
    }
    assert_eq!(try_to_log_in(&mut w, 3, "retry").1.len(), 2);

    // Fewer than wait: nobody is sent away for that, and nobody comes until there is place.
    w.registry.reconfigure(limits(2, 60));
    assert_eq!(w.registry.stats().hashes, 3);
    w.release(0);
    assert_eq!(try_to_log_in(&mut w, 3, "retry").1.len(), 2);
    w.release(0);
    assert_eq!(try_to_log_in(&mut w, 3, "retry").1, [""; 0]);

    // Each who is sent away comes later than the one before, up to the longest that is asked of anybody.
    let last = |w: &mut World| (0..4_000).map(|_| try_to_log_in(w, 4, "retry").1.remove(0)).last();
    w.registry.reconfigure(limits(2, 9));
    assert_eq!(last(&mut w).as_deref(), Some("RETRY_AFTER <10>"));
    w.registry.reconfigure(limits(2, 20));
    assert_eq!(last(&mut w).as_deref(), Some("RETRY_AFTER <21>"));
    w.registry.reconfigure(limits(2, 5));
    assert_eq!(try_to_log_in(&mut w, 4, "retry").1[0], "RETRY_AFTER <6>");
}

#[test]
fn a_stream_that_goes_away_keeps_its_place_until_its_hash_is_done() {
    let mut w = slow(1);
    let (conn, _) = try_to_log_in(&mut w, 0, "retry");
    w.disconnect(conn);
    assert_eq!(try_to_log_in(&mut w, 1, "retry").1.len(), 2, "it is being computed all the same");
    let (op, question) = w.held.remove(0);
    assert!(matches!(question, Question::Hash(_)));
    w.registry.handle_hashed(w.now, op, HashAnswer::Mismatch);
    w.registry.handle_hashed(w.now, op, HashAnswer::Mismatch);
    assert_eq!(w.registry.stats().hashes, 0);
    assert_eq!(try_to_log_in(&mut w, 1, "retry").1, [""; 0]);
}

#[test]
fn a_throttle_names_the_time_that_it_takes() {
    let mut config = Config::default();
    config.prefixes.registrations = Rate::new(1, 60 * SECOND);
    config.prefixes.failed_logins = Rate::new(1, 120 * SECOND);
    let mut w = World::with(config);
    let conn = greet(&mut w, "retry");
    w.say(conn, &format!("REGISTER <alice> <{}>", digest("alice")));
    let again = w.say(conn, &format!("REGISTER <bob> <{}>", digest("bob")));
    assert_eq!(again, ["RETRY_AFTER <61>".to_owned(), format!("REGISTER {NO}")]);
    assert_eq!(w.say(conn, &format!("LOGIN <alice> <{}>", digest("no"))), [format!("AUTH {NO}")]);
    let again = w.say(conn, &format!("LOGIN <alice> <{}>", digest("alice")));
    assert_eq!(again, ["RETRY_AFTER <121>".to_owned(), format!("HELLO_BACK {NO}")]);
    assert!(w.is_closed(conn));
}
