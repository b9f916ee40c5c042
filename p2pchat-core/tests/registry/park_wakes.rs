//! What wakes a parked session, and that no datagram can be made a weapon of it (PROTOCOL.md §7.12, §9).

use std::{num::NonZeroU64, time::Duration};

use p2pchat_core::registry::{Addresses, Config};
use p2pchat_proto::{Dialect, FromRegistryDatagram, Message, SessionTicket, ToRegistryDatagram};

use crate::{
    OK, SECOND,
    park::{HELLO, HOME, Someone, greet, name, pair},
    ticket::to,
    world::World,
};

const HIDES: &str = "<1> <reason,roster,resume,ticket,contact,park>";

#[test]
fn whatever_would_have_been_pushed_wakes_at_once_and_once_for_each_keep_alive() {
    let pushes =
        ["ROOM_SET <den> <CAPACITY> <9>", "ROOM_EXIT <bob> <den>", "ROOM_KICK <den> <alice>", "LOGOUT"];
    for what in pushes {
        let (mut w, mut alice, bob) = pair(Config::default());
        // Bob becomes the owner, to whom everything is allowed.
        w.say(alice.conn, "ROOM_SET <den> <OWNER> <bob>");
        alice.keep_alive(&mut w, 120);
        alice.park(&mut w);
        w.say(bob, what);
        assert_eq!(w.datagrams(), [to(HOME, &alice.wake())], "{what}");
        w.registry.kick(&name("bob"), "and off");
        w.run();
        assert_eq!(w.datagrams(), [], "{what}: that keep-alive has had its WAKE");
        w.wait(SECOND);
        for _ in 0..3 {
            assert_eq!(
                alice.keep_alive(&mut w, 120),
                [alice.wake()],
                "{what}: a lost one heals with the next"
            );
            w.wait(SECOND);
        }
        alice.resume_at("192.0.2.1", &mut w, HELLO);
        assert_eq!(w.datagrams(), []);
        w.say(alice.conn, "SEARCH_USER <nobody>");
        alice.keep_alive(&mut w, 120);
        alice.park(&mut w);
        w.wait(SECOND);
        assert_eq!(alice.keep_alive(&mut w, 120), [alice.parked()], "{what}: they have been back");
    }
}

#[test]
fn without_a_keep_alive_that_could_be_answered_the_next_one_is() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.park(&mut w);
    w.say(bob, "ROOM_EXIT <bob> <den>");
    assert_eq!(w.datagrams(), []);
    assert_eq!(alice.keep_alive(&mut w, 120), [alice.wake()]);
}

#[test]
fn an_answered_keep_alive_may_have_a_wake_as_well() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.park(&mut w);
    assert_eq!(alice.keep_alive(&mut w, 120), [alice.parked()]);
    w.say(bob, "ROOM_EXIT <bob> <den>");
    assert_eq!(w.datagrams(), [to(HOME, &alice.wake())]);
}

/// Alice and Bob, who hide where they are.
fn hidden() -> (World, Someone, Someone) {
    let mut config = Config::default();
    config.addresses = Addresses::Contacts;
    let mut w = World::with(config);
    let alice = Someone::online(&mut w, "alice", HIDES);
    let mut bob = Someone::online(&mut w, "bob", HIDES);
    bob.keep_alive(&mut w, 120);
    (w, alice, bob)
}

#[test]
fn a_request_for_contact_wakes_and_is_there_for_who_comes() {
    let (mut w, mut alice, bob) = hidden();
    alice.keep_alive(&mut w, 120);
    alice.park(&mut w);
    assert!(w.say(bob.conn, "SEARCH_USER <alice>")[0].ends_with("<contact>"));
    assert_eq!(w.say(bob.conn, "CONTACT_REQUEST <alice>"), [format!("CONTACT {OK}")]);
    assert_eq!(w.datagrams(), [to(HOME, &alice.wake())]);
    assert_eq!(alice.resume(&mut w, HIDES), ["CONTACT_REQUEST <bob>"]);
    assert_eq!(w.heard(bob.conn), [""; 0], "it still holds");
    assert_eq!(w.say(alice.conn, "CONTACT_RESPONSE <ACCEPT> <200> <bob>"), [format!("CONTACT {OK}")]);
    assert_eq!(w.heard(bob.conn), ["CONTACT_RESPONSE <ACCEPT> <200> <alice>"]);
    alice.park(&mut w);
    assert_eq!(alice.resume(&mut w, HIDES), [""; 0], "nothing is told twice");
}

#[test]
fn an_answer_to_ones_own_request_is_told_as_well_and_what_was_withdrawn_is_not() {
    let (mut w, mut alice, bob) = hidden();
    w.say(alice.conn, "CONTACT_REQUEST <bob>");
    alice.park(&mut w);
    assert_eq!(w.heard(bob.conn), ["CONTACT_REQUEST <alice>"], "it goes on");
    w.say(bob.conn, "CONTACT_RESPONSE <ACCEPT> <200> <alice>");
    assert_eq!(alice.resume(&mut w, HIDES), ["CONTACT_RESPONSE <ACCEPT> <200> <bob>"]);

    alice.park(&mut w);
    w.say(bob.conn, "CONTACT_RESPONSE <REJECT> <404> <alice>");
    w.say(bob.conn, "CONTACT_REQUEST <alice>");
    w.say(bob.conn, "CONTACT_RESPONSE <REJECT> <404> <alice>");
    assert_eq!(alice.resume(&mut w, HIDES), [""; 0]);
}

#[test]
fn cannon_rule_2_the_answers_to_a_parked_sessions_keep_alive_are_together_smaller_than_it() {
    let ticket = SessionTicket::from_random([1; 32]);
    let bytes = |message: FromRegistryDatagram| message.to_bytes(Dialect::Canonical).len();
    for sequence in [NonZeroU64::MIN, NonZeroU64::MAX] {
        let (parked, wake) =
            (FromRegistryDatagram::parked(&ticket, sequence), FromRegistryDatagram::wake(&ticket, sequence));
        assert_eq!((bytes(parked), bytes(wake)), (41, 39));
    }
    let shortest = ToRegistryDatagram::prove(&ticket, name("a"), 0, NonZeroU64::MIN);
    let shortest = shortest.to_bytes(Dialect::Canonical).len();
    assert_eq!(shortest, 89);
    assert!(41 + 39 <= shortest);

    // Whatever happens, no keep-alive gets more back than it has: the farewell included.
    let mut w = World::new();
    let mut a = Someone::online(&mut w, "a", HELLO);
    let bob = w.online_with("bob", "reason,roster");
    w.datagram("192.0.2.1:800", "KEEP_ALIVE <bob> <120>");
    w.say(a.conn, "CREATE_CHAT_ROOM <den> <> <5> <>");
    a.park(&mut w);
    for round in 0..20 {
        let (question, mut answers) = (a.next(3), 0);
        let mut count = |said: Vec<(std::net::SocketAddr, String)>| {
            answers += said.iter().map(|(_, said)| said.len()).sum::<usize>();
        };
        count(w.datagram(HOME, &question));
        for _ in 0..4 {
            count(w.datagram(HOME, &question));
            w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
            w.say(bob, "ROOM_EXIT <bob> <den>");
            count(w.datagrams());
            w.wait(Duration::from_millis(300));
        }
        if round == 19 {
            w.wait(3 * SECOND);
            assert!(w.registry.session_of(w.now, &name("a")).is_none());
        }
        count(w.datagrams());
        assert!(answers > 0 && answers <= question.len(), "{answers} for {}", question.len());
    }
}

#[test]
fn cannon_rule_2_what_proves_nothing_changes_nothing_and_gets_no_answer_from_a_parked_session() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.park(&mut w);
    let copy = alice.next(120);
    assert_eq!(w.datagram(HOME, &copy).len(), 1);
    w.say(bob, "ROOM_EXIT <bob> <den>");
    w.datagrams();
    let due = w.registry.poll_timeout();
    w.wait(SECOND);
    let other = SessionTicket::from_random([7; 32]);
    let forged =
        ToRegistryDatagram::prove(&other, name("alice"), 3, NonZeroU64::MAX).to_bytes(Dialect::Canonical);
    for datagram in
        [copy.as_str(), "KEEP_ALIVE <alice>", "KEEP_ALIVE <alice> <3>", str::from_utf8(&forged).unwrap()]
    {
        for from in [HOME, "198.51.100.7:700"] {
            assert_eq!(w.datagram(from, datagram), [], "{datagram}");
        }
    }
    assert_eq!(w.registry.poll_timeout(), due);
}

#[test]
fn cannon_rule_3_a_parked_session_that_is_heard_from_elsewhere_is_woken_and_nothing_published_changes() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.keep_alive(&mut w, 120);
    alice.park(&mut w);
    let found = format!("SEARCH_USER_RESPONSE {OK} <alice> <4000> <192.0.2.1>");
    w.wait(SECOND);
    let elsewhere = "198.51.100.7:700";
    let datagram = alice.next(120);
    assert_eq!(
        w.datagram(elsewhere, &datagram),
        [to(elsewhere, &alice.wake())],
        "only to where it came from"
    );
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), std::slice::from_ref(&found));
    // At most once a second, from wherever.
    for from in ["198.51.100.8:700", "203.0.113.1:1", HOME] {
        let datagram = alice.next(120);
        assert_eq!(w.datagram(from, &datagram), [], "{from}");
    }
    w.wait(SECOND);
    assert_eq!(alice.keep_alive(&mut w, 120), [alice.wake()], "until they come back");
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), [found]);
    let old = alice.ticket.clone();
    alice.resume(&mut w, HELLO);
    assert_ne!(old, alice.ticket, "with a new ticket");
    assert_eq!(w.registry.stats().operations, 0);
}

#[test]
fn who_comes_back_on_a_stream_that_agreed_on_less_is_not_parked_and_gets_what_that_has() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.park(&mut w);
    let conn = greet(&mut w, "192.0.2.1", "<1> <resume>");
    let told = w.say(conn, &format!("RESUME <alice> <{}> <4000>", alice.token));
    assert_eq!(told.len(), 1);
    assert_eq!(alice.keep_alive(&mut w, 120), [""; 0], "the ticket was the parked session's");
    assert_eq!(w.datagram(HOME, "KEEP_ALIVE <alice> <120>").len(), 1);
    assert_eq!(w.heard(bob), [""; 0]);
    assert_eq!(w.say(conn, "PARK <alice>"), ["PARKED <FAILURE> <404>"]);
}

#[test]
fn a_keep_alive_that_is_answered_by_a_wake_counts_as_one() {
    let mut w = World::new();
    let mut alice = Someone::online(&mut w, "alice", HELLO);
    alice.park(&mut w);
    assert_eq!(alice.keep_alive(&mut w, 120), [alice.parked()]);
    assert_eq!(w.registry.stats().wakes, 0);
    w.wait(2 * SECOND);
    // There is no stream on which she could get a ticket for where she is now.
    let moved = alice.next(120);
    assert_eq!(w.datagram("198.51.100.7:700", &moved), [to("198.51.100.7:700", alice.wake().trim_end())]);
    assert_eq!(w.registry.stats().wakes, 1);
}
