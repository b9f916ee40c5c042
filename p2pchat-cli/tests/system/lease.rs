//! Keep-alives and what happens without them, on the wire (PROTOCOL.md §4.13, §4.14, §5.2).

use std::time::{Duration, Instant};

use crate::{
    DIGEST, PATIENCE,
    daemon::Daemon,
    wire::{Datagrams, Wire},
};

#[test]
fn a_lost_lease_is_told_on_both_links_and_to_the_room() {
    let daemon = Daemon::start();
    let mut bob = Wire::online(&daemon, "bob");
    bob.create("den", 5);
    let mut alice = Wire::online(&daemon, "alice");
    alice.join("den");
    let shortened = Instant::now();
    alice.datagrams.send(b"KEEP_ALIVE <alice> <3>");
    assert_eq!(alice.hear(), "TIMEOUT <alice>");
    assert!(shortened.elapsed() >= Duration::from_millis(2_900), "{:?}", shortened.elapsed());
    alice.expect_end();
    assert_eq!(last(&alice.datagrams), "TIMEOUT <alice>");
    assert_eq!(bob.hear(), "USER_LOGOUT <alice>");
    assert_eq!(bob.ask("SEARCH_USER <alice>"), "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
}

/// The datagram that isn't the answer to the keep-alive, which comes at most once a second.
fn last(datagrams: &Datagrams) -> String {
    match datagrams.receive() {
        answer if answer.starts_with("KEEP_ALIVE_RESPONSE") => datagrams.receive(),
        other => other,
    }
}

#[test]
fn keep_alives_renew_the_lease_and_are_answered() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    // A session that would end after 8 s, and then some.
    let started = Instant::now();
    let mut answered = 0;
    while started.elapsed() < Duration::from_secs(12) {
        alice.datagrams.send(b"KEEP_ALIVE <alice> <8>");
        if let Some(answer) = alice.datagrams.receive_within(Duration::from_millis(700)) {
            assert_eq!(answer, "KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
            answered += 1;
        }
    }
    let limit = started.elapsed().as_secs() + 2;
    assert!((1..=limit).contains(&answered), "{answered} answers in {:?}", started.elapsed());
    alice.expect_nothing_unasked();
}

#[test]
fn a_timeout_is_clamped_to_two_minutes_and_to_three_seconds() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    let mut bob = Wire::online(&daemon, "bob");
    bob.datagrams.send(b"KEEP_ALIVE <bob> <4294967295>");
    let started = Instant::now();
    alice.datagrams.send(b"KEEP_ALIVE <alice> <0>");
    assert_eq!(alice.hear(), "TIMEOUT <alice>");
    assert!(started.elapsed() >= Duration::from_millis(2_900), "{:?}", started.elapsed());
    bob.expect_nothing_unasked();
}

#[test]
fn a_keep_alive_of_nobody_is_not_answered() {
    let daemon = Daemon::start();
    let _alice = Wire::online(&daemon, "alice");
    Wire::greeted(&daemon).sign_up("bob");
    let stranger = Datagrams::open(&daemon);
    let unproven: [&[u8]; 6] = [
        b"KEEP_ALIVE <nobody> <10>",
        b"KEEP_ALIVE <bob> <10>",
        b"KEEP_ALIVE",
        b"TIMEOUT <alice>",
        b"",
        &[0xff; 60_000],
    ];
    for datagram in unproven {
        stranger.send(datagram);
    }
    // Datagrams are taken in order: had one of them been answered, that answer would stand before this one's.
    let mut carol = Wire::greeted(&daemon);
    carol.sign_up("carol");
    assert_eq!(carol.ask(&format!("LOGIN <carol> <{DIGEST}>")), "AUTH <SUCCESS> <200>");
    assert_eq!(stranger.keep_alive("carol", 120), "KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    assert_eq!(stranger.receive_within(Duration::from_millis(200)), None);
}

#[test]
#[cfg(target_os = "linux")]
fn a_keep_alive_from_another_address_neither_counts_nor_is_answered() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    alice.datagrams.send(b"KEEP_ALIVE <alice> <3>");
    let forger = Datagrams::open_at(&daemon, "127.0.0.2:0");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        forger.send(b"KEEP_ALIVE <alice> <120>");
        assert_eq!(forger.receive_within(Duration::from_millis(100)), None);
    }
    assert_eq!(alice.hear(), "TIMEOUT <alice>");
}

#[test]
fn a_keep_alive_from_another_port_renews_a_lease_and_never_shortens_it() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    let neighbour = Datagrams::open(&daemon);
    neighbour.send(b"KEEP_ALIVE <alice> <0>");
    let mut bob = Wire::online(&daemon, "bob");
    bob.datagrams.send(b"KEEP_ALIVE <bob> <3>");
    assert_eq!(bob.hear(), "TIMEOUT <bob>");
    // Alice's would have run out before.
    alice.expect_nothing_unasked();
}

#[test]
fn a_flood_of_keep_alives_is_answered_once_a_second() {
    let daemon = Daemon::start();
    let _alice = Wire::online(&daemon, "alice");
    let datagrams = Datagrams::open(&daemon);
    let started = Instant::now();
    let mut answers = 0;
    for _ in 0..200 {
        datagrams.send(b"KEEP_ALIVE <alice> <120>");
        answers += u64::from(datagrams.receive_within(Duration::from_millis(5)).is_some());
    }
    let limit = started.elapsed().as_secs() + 2;
    assert!(answers <= limit, "{answers} answers in {:?}", started.elapsed());
}

#[test]
fn who_comes_back_takes_over_a_session_that_fell_silent() {
    let daemon = Daemon::start();
    let mut bob = Wire::online(&daemon, "bob");
    bob.create("den", 5);
    let mut ghost = Wire::online(&daemon, "alice");
    ghost.join("den");
    let login = format!("LOGIN <alice> <{DIGEST}> <4001>");
    let mut back = Wire::greeted(&daemon);
    assert_eq!(back.ask(&login), "AUTH <ONLINE> <300>");

    ghost.datagrams.send(b"KEEP_ALIVE <alice> <24>");
    // Silent for a third of its lease, and not yet timed out.
    let deadline = Instant::now() + PATIENCE;
    while back.ask(&login) == "AUTH <ONLINE> <300>" {
        assert!(Instant::now() < deadline, "the session was never taken over");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ghost.hear(), "TIMEOUT <alice>");
    ghost.expect_end();
    assert_eq!(
        bob.ask("SEARCH_USER <alice>"),
        "SEARCH_USER_RESPONSE <SUCCESS> <200> <alice> <4001> <127.0.0.1>",
        "and nobody is told that alice went, as she did not"
    );
}
