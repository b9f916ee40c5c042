//! Parking, and coming back (PROTOCOL.md §7.12).

use std::{num::NonZeroU64, time::Duration};

use p2pchat_core::{
    Time,
    peer::Config,
    registry::{self, Addresses},
};
use p2pchat_proto::{
    Capacity, Description, Dialect, FromRegistryDatagram, Message, SessionTicket, ToRegistryDatagram,
};

use crate::{
    solo::{SECOND, Solo, digest, room, text, user},
    world::World,
};

const AGREED: &str = " <1> <reason,roster,sender,resume,moderate,ticket,park>";
const IDLE: Duration = SECOND.saturating_mul(20);
const PARK: &str = "> PARK <alice>";

fn parking() -> Config {
    let mut config = Config::default();
    config.park_after = Some(IDLE);
    config
}

fn ticket(n: u8) -> SessionTicket {
    SessionTicket::from_random([n; 32])
}

fn number(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).unwrap()
}

fn keep_alive(lease: u32, n: u64) -> String {
    let datagram = ToRegistryDatagram::prove(&ticket(1), user("alice"), lease, number(n));
    format!("udp {}", str::from_utf8(&datagram.to_bytes(Dialect::Canonical)).unwrap())
}

fn answer(s: &mut Solo, answer: FromRegistryDatagram) {
    s.peer.handle_datagram(s.now, answer);
}

/// alice, logged in with token and ticket. Her keep-alives are answered before she parks.
fn alice(agreed: &str) -> Solo {
    alice_with(parking(), agreed)
}

fn alice_with(config: Config, agreed: &str) -> Solo {
    let mut s = Solo::with(config);
    s.log_in();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{agreed}"));
    s.registry(&format!("AUTH <SUCCESS> <200> <{:064x}>", 1));
    if agreed.contains("ticket") {
        s.registry(&format!("TICKET <{}>", ticket(1).expose()));
    }
    s.did();
    s
}

/// The same, parked by now; and the number of her last keep-alive.
fn parked() -> (Solo, u64) {
    let mut s = alice(AGREED);
    for _ in 0..7 {
        s.wait(SECOND * 5 / 2);
        s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    }
    assert_eq!(s.wait(SECOND * 5 / 2), [keep_alive(10, 9), PARK.to_owned()]);
    assert!(!s.peer.is_parked());
    s.registry("PARKED <SUCCESS> <200>");
    assert_eq!(s.did(), ["park".to_owned(), "parked".to_owned(), keep_alive(120, 10)]);
    assert!(s.peer.is_parked() && s.peer.is_logged_in() && !s.peer.is_connected());
    // The registry closes the stream, which is no loss.
    s.peer.handle_registry_closed(s.now, "closed".to_owned());
    assert_eq!(s.did(), [""; 0]);
    (s, 10)
}

/// What a peer that is on its way back says on its new stream.
fn back(s: &mut Solo) -> Vec<String> {
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{AGREED}"));
    s.did()[1..].to_vec()
}

/// What a session does that comes back after keep-alive `last`: should that fail, it is over as soon as any that is lost.
fn leaving_its_place(last: u64) -> [String; 3] {
    [keep_alive(10, last + 1), "disconnect".to_owned(), "connect".to_owned()]
}

const RESUME: &str =
    "> RESUME <alice> <0000000000000000000000000000000000000000000000000000000000000001> <4000>";

#[test]
fn who_parks_keeps_alive_seldom_as_long_as_that_is_answered() {
    let (mut s, mut last) = parked();
    for _ in 0..50 {
        answer(&mut s, FromRegistryDatagram::parked(&ticket(1), number(last)));
        assert_eq!(s.wait(SECOND * 30 - SECOND / 1_000), [""; 0]);
        last += 1;
        assert_eq!(s.wait(SECOND / 1_000), [keep_alive(120, last)]);
    }
}

#[test]
fn one_that_is_not_answered_is_repeated_soon_and_then_the_session_is_brought_back() {
    let (mut s, last) = parked();
    let repeated: Vec<_> = (1..=8).map(|n| keep_alive(120, last + n)).collect();
    assert_eq!(s.wait(SECOND * 20), repeated);
    // What anybody could have sent, or said before.
    s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    s.datagram("TIMEOUT <alice>");
    for forged in [
        FromRegistryDatagram::parked(&ticket(2), number(last + 8)),
        FromRegistryDatagram::wake(&ticket(2), number(last)),
    ] {
        answer(&mut s, forged);
    }
    assert_eq!(s.wait(SECOND * 5 / 2), ["disconnect", "lost: the registry fell silent"]);
    assert!(!s.peer.is_logged_in() && !s.peer.is_parked());
    assert_eq!(s.wait(SECOND), ["connect"]);
    assert_eq!(back(&mut s), [RESUME]);
    s.registry(&format!("AUTH <SUCCESS> <200> <{:064x}>", 2));
    assert_eq!(s.did(), ["reconnected"]);
}

#[test]
fn an_answer_counts_once_and_only_to_one_of_the_last_keep_alives() {
    let (mut s, last) = parked();
    s.wait(SECOND * 10);
    let last = last + 4;
    answer(&mut s, FromRegistryDatagram::parked(&ticket(1), number(last)));
    s.wait(SECOND * 30);
    for copy in (1..=last).chain([last + 2]) {
        answer(&mut s, FromRegistryDatagram::parked(&ticket(1), number(copy)));
    }
    assert_eq!(s.wait(SECOND * 5 / 2), [keep_alive(120, last + 2)], "copies are no answer");
    assert!(s.peer.is_parked());
    // A WAKE of long ago.
    answer(&mut s, FromRegistryDatagram::wake(&ticket(1), number(last - 1)));
    assert!(s.peer.is_parked());
    answer(&mut s, FromRegistryDatagram::wake(&ticket(1), number(last)));
    s.wait(SECOND);
    assert!(!s.peer.is_parked(), "one that was answered may have a WAKE all the same");
}

#[test]
fn a_wake_brings_the_session_back_and_a_further_one_changes_nothing() {
    let (mut s, last) = parked();
    answer(&mut s, FromRegistryDatagram::wake(&ticket(1), number(last)));
    answer(&mut s, FromRegistryDatagram::parked(&ticket(1), number(last)));
    answer(&mut s, FromRegistryDatagram::wake(&ticket(1), number(last)));
    assert_eq!(s.did(), [""; 0], "others may have been woken by the same");
    assert_eq!(s.wait(SECOND), leaving_its_place(last));
    answer(&mut s, FromRegistryDatagram::wake(&ticket(1), number(last)));
    assert_eq!(s.did(), [""; 0]);
    assert!(s.peer.is_logged_in(), "for its user it was never away");
    assert_eq!(back(&mut s), [RESUME]);
    s.registry(&format!("AUTH <SUCCESS> <200> <{:064x}>", 2));
    assert_eq!(s.did(), ["unparked"]);
    s.registry(&format!("TICKET <{}>", ticket(1).expose()));
    assert_eq!(s.did(), [keep_alive(10, 1)]);
    // And parks again when it is idle again.
    for _ in 0..7 {
        s.wait(SECOND * 5 / 2);
        s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    }
    assert_eq!(s.wait(SECOND * 5 / 2).pop().unwrap(), PARK);
}

#[test]
fn what_the_application_wants_brings_the_session_back_and_is_asked_then_in_order() {
    let (mut s, last) = parked();
    s.peer.search(s.now, user("bob"));
    s.peer.join(s.now, room("den"), None);
    assert_eq!(s.did(), leaving_its_place(last));
    s.peer.leave(s.now, room("attic"));
    assert_eq!(back(&mut s), [RESUME]);
    s.peer.search(s.now, user("carol"));
    assert_eq!(s.did(), [""; 0], "not before the session is back");
    s.registry(&format!("AUTH <SUCCESS> <200> <{:064x}>", 2));
    assert_eq!(
        s.did(),
        [
            "unparked",
            "> SEARCH_USER <bob>",
            "> JOIN_CHAT_ROOM <den> <> <increment>",
            "> ROOM_EXIT <alice> <attic>",
            "> SEARCH_USER <carol>"
        ]
    );
    s.registry("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    assert_eq!(s.did(), ["failed: that user is not online"]);
}

#[test]
fn no_more_waits_for_the_session_to_come_back_than_for_any_other_answer() {
    let (mut s, last) = parked();
    let limit = Config::default().requests;
    for _ in 0..limit {
        s.peer.search(s.now, user("bob"));
    }
    assert_eq!(s.did(), leaving_its_place(last));
    s.peer.search(s.now, user("bob"));
    assert_eq!(s.did(), [format!("failed: too much is waiting: at most {limit} requests")]);
}

#[test]
fn what_is_wanted_while_the_registry_is_asked_to_park_waits_for_the_answer() {
    for success in [true, false] {
        let mut s = alice(AGREED);
        s.wait(IDLE - SECOND / 1_000);
        assert_eq!(s.wait(SECOND / 1_000).pop().unwrap(), PARK);
        s.peer.search(s.now, user("bob"));
        assert_eq!(s.did(), [""; 0]);
        if success {
            s.registry("PARKED <SUCCESS> <200>");
            assert_eq!(s.did().split_off(4), ["disconnect", "connect"]);
            assert_eq!(back(&mut s), [RESUME]);
            s.registry(&format!("AUTH <SUCCESS> <200> <{:064x}>", 2));
            assert_eq!(s.did(), ["unparked", "> SEARCH_USER <bob>"]);
        } else {
            s.registry("PARKED <FAILURE> <404> <full>");
            assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
            s.registry("SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
            s.did();
            let later = s.wait_quietly(IDLE);
            assert_eq!(later, [PARK], "it is asked again after as long a time");
            s.registry("HELLO_BACK <FAILURE> <404>");
            assert!(!s.peer.is_parked());
            s.peer.search(s.now, user("bob"));
            assert_eq!(s.did(), ["> SEARCH_USER <bob>"], "a registry that doesn't know it after all");
        }
    }
}

#[test]
fn nobody_parks_who_can_not_come_back_or_has_something_to_wait_for() {
    for agreed in [
        " <1> <reason,roster,sender,resume,ticket>",
        " <1> <sender,resume,ticket,park>",
        " <1> <roster,resume,park>",
    ] {
        let mut s = alice(agreed);
        let did = s.wait(IDLE * 4);
        assert!(!did.iter().any(|line| line == PARK), "{agreed}: {did:?}");
    }
    let mut s = Solo::alice_with(Config::default(), AGREED);
    assert!(!s.wait(IDLE * 40).contains(&PARK.to_owned()), "never, unless told");

    // An answer, or whoever wants a chat, is waited for on the stream.
    let mut soon = parking();
    soon.park_after = Some(SECOND * 5);
    for (waits, agreed) in [
        ("an answer", AGREED.to_owned()),
        ("a wish", AGREED.replace(",park", ",park,contact")),
        ("", AGREED.to_owned()),
    ] {
        let mut s = alice_with(soon.clone(), &agreed);
        match waits {
            "an answer" => drop(s.peer.search(s.now, user("bob"))),
            "a wish" => s.registry("CONTACT_REQUEST <bob>"),
            _ => {}
        }
        let did = s.wait(SECOND * 6);
        assert_eq!(did.contains(&PARK.to_owned()), waits.is_empty(), "{waits}: {did:?}");
    }

    let mut s = alice(AGREED);
    for _ in 0..4 {
        s.wait(IDLE / 2);
        s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
        s.registry("USER_LOGOUT <bob>");
        assert!(!s.did().contains(&PARK.to_owned()), "pushes are use");
    }
    assert!(s.wait(IDLE).contains(&PARK.to_owned()));
}

#[test]
fn who_was_replaced_while_parked_does_not_push_the_other_out() {
    let (mut s, last) = parked();
    answer(&mut s, FromRegistryDatagram::wake(&ticket(1), number(last)));
    assert_eq!(s.wait(SECOND), leaving_its_place(last));
    // Not even after an attempt that failed.
    s.peer.handle_registry_closed(s.now, "refused".to_owned());
    assert_eq!(s.did(), ["lost: refused"]);
    s.wait(SECOND);
    assert_eq!(back(&mut s), [RESUME]);
    s.registry("AUTH <FAILURE> <404> <that token is not good any more>");
    assert_eq!(
        s.did(),
        [
            "logged out: while you were parked, somebody logged in as you, or the operator ended your session \
             (the registry: that token is not good any more)",
            "disconnect"
        ]
    );
    assert_eq!(s.wait(SECOND * 3_600), [""; 0]);
    assert_eq!(s.peer.poll_timeout(), None);
}

#[test]
fn who_was_not_answered_or_slept_long_comes_back_as_anybody_does() {
    for sleeps in [false, true] {
        let (mut s, _) = parked();
        let mut did = match sleeps {
            true => {
                s.now = s.now + SECOND * 8 * 86_400;
                s.peer.handle_timeout(s.now);
                s.did()
            }
            false => s.wait(SECOND * 23),
        };
        did.extend(s.wait(SECOND));
        for step in ["lost: the registry fell silent", "connect"] {
            assert!(did.contains(&step.to_owned()), "{did:?}");
        }
        assert_eq!(back(&mut s), [RESUME]);
        // Much may have happened meanwhile that is no take-over.
        s.registry("AUTH <FAILURE> <404>");
        let did = s.did();
        assert!(did[0].starts_with("> LOGIN <alice>"), "{did:?}");
    }
}

#[test]
fn what_is_wanted_while_park_is_on_its_way_is_asked_for_on_the_next_stream() {
    let mut s = alice(AGREED);
    while !s.wait(SECOND).contains(&PARK.to_owned()) {
        s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    }
    // It needs no session, and is not answered on this stream all the same.
    s.peer.register(s.now, user("carol"), digest("secret"));
    assert_eq!(s.did(), [""; 0]);
    s.registry("PARKED <SUCCESS> <200>");
    assert_eq!(s.did().split_off(4), ["disconnect", "connect"]);
    assert_eq!(back(&mut s), [RESUME]);
    s.registry(&format!("AUTH <SUCCESS> <200> <{:064x}>", 2));
    assert_eq!(s.did(), ["unparked", "> REGISTER <carol> <…>"]);
    s.registry("REGISTER <SUCCESS> <200>");
    assert_eq!(s.did(), ["ok Done"]);
}

#[test]
fn broadcasts_keep_their_order_while_one_comes_back() {
    let mut s = alice(AGREED);
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice", "bob"]);
    while !s.wait(SECOND).contains(&PARK.to_owned()) {
        s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    }
    s.registry("PARKED <SUCCESS> <200>");
    s.peer.search(s.now, user("carol"));
    s.peer.broadcast(s.now, room("den"), text("one"));
    s.did();
    assert_eq!(back(&mut s), [RESUME]);
    s.peer.broadcast(s.now, room("den"), text("two"));
    assert_eq!(s.did(), [""; 0], "who is in the room is to be asked first");
    s.registry(&format!("AUTH <SUCCESS> <200> <{:064x}>", 2));
    s.registry("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    s.members("den", &["alice", "bob"]);
    let did = s.did();
    assert_eq!(did.last().unwrap(), "> SEARCH_USER <bob>", "{did:?}");
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender>");
    s.did();
    s.connected(0);
    assert_eq!(s.did(), ["s0 DIRECT_BROADCAST <alice> <den> one", "s0 DIRECT_BROADCAST <alice> <den> two"]);
}

#[test]
fn who_leaves_while_parked_asks_for_the_shortest_lease() {
    for shuts_down in [true, false] {
        let (mut s, last) = parked();
        match shuts_down {
            true => s.peer.shutdown(s.now),
            false => s.peer.logout(s.now),
        };
        assert_eq!(s.did(), [keep_alive(0, last + 1), "disconnect".to_owned(), "ok Done".to_owned()]);
        assert_eq!((s.peer.poll_timeout(), s.peer.is_parked()), (None, false));
    }
}

#[test]
fn a_parked_session_comes_back_for_a_new_token_before_the_old_one_is_a_day_old() {
    // What counts is when the token came, which was at the login.
    let (mut s, mut last) = parked();
    while s.peer.is_parked() {
        assert!(s.now.since(Time::ZERO) <= SECOND * 12 * 3_600);
        answer(&mut s, FromRegistryDatagram::parked(&ticket(1), number(last)));
        s.pass(SECOND * 30);
        last += 1;
    }
    assert!(s.now.since(Time::ZERO) >= SECOND * 12 * 3_600 - SECOND * 30);
    let did = s.did();
    assert_eq!(did[did.len() - 3..], leaving_its_place(last - 1));
}

/// Two with an eye on the other, of whom the first is parked.
fn two(settings: registry::Config) -> World {
    let mut w = World::of(&["alice", "bob"], &Config::default(), settings);
    w.nodes[0].solo = Solo::seeded(parking(), 7);
    w.cut_link(0);
    w.login(0, "alice");
    w.forget();
    w
}

fn wait_until_parked(w: &mut World) {
    w.wait(IDLE * 2);
    assert!(w.nodes[0].solo.peer.is_parked());
    assert_eq!(w.told(0), ["parked"]);
}

#[test]
fn a_parked_user_is_woken_by_who_joins_their_room_and_sees_them() {
    let mut w = two(registry::Config::default());
    w.nodes[0].solo.peer.create(w.now, room("den"), None, Capacity::new(9).unwrap(), Description::default());
    w.forget();
    wait_until_parked(&mut w);
    w.wait(SECOND * 600);
    assert_eq!((w.told(0), w.told(1)), (vec![], vec![]));
    w.nodes[1].solo.peer.join(w.now, room("den"), None);
    w.run();
    assert_eq!(w.told(1), ["ok Done", "in den with [\"alice\", \"bob\"]"]);
    w.wait(SECOND);
    assert_eq!(w.told(0), ["unparked", "bob is in den"]);
    assert!(!w.nodes[0].solo.peer.is_parked() && w.nodes[0].solo.peer.is_connected());
}

#[test]
fn a_parked_user_chats_over_peer_streams_and_is_found_by_others() {
    let mut w = two(registry::Config::default());
    wait_until_parked(&mut w);
    w.nodes[1].solo.peer.chat(w.now, user("alice"));
    assert_eq!(w.told(0), ["bob wants to chat"]);
    let request = *w.nodes[0].solo.requests.last().unwrap();
    w.nodes[0].solo.peer.accept(w.now, request);
    assert_eq!(w.told(0), ["chat with bob", "ok Done"]);
    w.forget();
    w.nodes[0].solo.peer.send(w.now, user("bob"), text("I am here"));
    assert_eq!(w.told(1), ["alice: I am here"]);
    assert!(w.nodes[0].solo.peer.is_parked(), "the registry has no part in it");
}

#[test]
fn a_request_through_the_registry_reaches_who_is_parked() {
    let mut settings = registry::Config::default();
    settings.addresses = Addresses::Contacts;
    let mut w = two(settings);
    wait_until_parked(&mut w);
    w.nodes[1].solo.peer.chat(w.now, user("alice"));
    w.wait(SECOND);
    assert_eq!(w.told(0), ["unparked", "bob wants to chat"]);
    let request = *w.nodes[0].solo.requests.last().unwrap();
    w.nodes[0].solo.peer.accept(w.now, request);
    assert_eq!(w.told(1), ["chat with alice", "ok Done"]);
}

#[test]
fn who_was_parked_when_the_registry_was_killed_comes_back_by_token_and_who_is_cut_off_is_timed_out() {
    let mut w = two(registry::Config::default());
    wait_until_parked(&mut w);
    let hashed = w.hashed;
    w.restart_registry();
    w.wait(SECOND * 60);
    assert_eq!(w.told(0)[..2], ["lost: the registry fell silent", "reconnected"]);
    assert!(w.nodes[0].solo.peer.is_logged_in());
    assert_eq!(w.hashed, hashed, "without the password");

    let mut w = two(registry::Config::default());
    w.nodes[0].solo.peer.create(w.now, room("den"), None, Capacity::new(9).unwrap(), Description::default());
    w.nodes[1].solo.peer.join(w.now, room("den"), None);
    w.forget();
    wait_until_parked(&mut w);
    // The program stops from one moment to the next.
    w.nodes[0].solo = Solo::new();
    w.wait(SECOND * 85);
    assert_eq!(w.told(1), [""; 0]);
    w.wait(SECOND * 40);
    assert_eq!(w.told(1), ["alice is offline in [\"den\"]"]);
}
