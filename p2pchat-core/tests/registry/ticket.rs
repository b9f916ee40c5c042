//! Sessions with a ticket: only keep-alives that prove it count, each once (PROTOCOL.md §7.6).

use std::net::SocketAddr;

use p2pchat_core::registry::{Config, ConnId, TokenAnswer};
use p2pchat_proto::SessionTicket;

use crate::{
    OK, SECOND,
    world::{Question, World, login, proven, token_in},
};

const HELLO: &str = "<1> <reason,roster,sender,resume,ticket,retry>";
const ACCEPTED: &str = "KEEP_ALIVE_RESPONSE <SUCCESS> <200>";

fn greet(w: &mut World, ip: &str) -> ConnId {
    let conn = w.connect(ip);
    assert_eq!(w.say(conn, &format!("HELLO_P2P {HELLO}")), [format!("HELLO_BACK {OK} {HELLO}")]);
    conn
}

pub(crate) fn ticket_in(told: &[String]) -> SessionTicket {
    let mut tickets = told.iter().filter_map(|line| line.strip_prefix("TICKET <")?.strip_suffix('>'));
    let ticket = tickets.next().unwrap_or_else(|| panic!("no ticket in {told:?}"));
    assert_eq!(tickets.next(), None);
    SessionTicket::new(ticket).unwrap()
}

/// A session from 192.0.2.1 with its token and its ticket.
fn online(w: &mut World, user: &str) -> (ConnId, String, SessionTicket) {
    w.register(user);
    let conn = greet(w, "192.0.2.1");
    let told = w.say(conn, &login(user));
    (conn, token_in(&told), ticket_in(&told))
}

pub(crate) fn to(address: &str, said: &str) -> (SocketAddr, String) {
    (address.parse().unwrap(), said.to_owned())
}

#[test]
fn a_session_gets_a_ticket_after_auth_where_that_was_agreed_on() {
    let mut w = World::new();
    w.register("alice");
    let alice = greet(&mut w, "192.0.2.1");
    let told = w.say(alice, &login("alice"));
    assert!(told[0].starts_with("AUTH <SUCCESS> <200> <"), "{told:?}");
    assert_eq!(told.len(), 2);
    let ticket = ticket_in(&told);
    assert_ne!(ticket.expose(), token_in(&told));
    assert_eq!(w.registry.stats().operations, 0);

    let (_, _, other) = online(&mut w, "bob");
    assert_ne!(ticket, other, "each has its own");
    let carol = w.online_extended("carol");
    assert_eq!(w.heard(carol), [""; 0]);
}

#[test]
fn cannon_rule_2_with_a_ticket_only_what_proves_it_counts() {
    let mut w = World::new();
    let (alice, _, ticket) = online(&mut w, "alice");
    let (_, _, other) = online(&mut w, "bob");
    let right = proven(&ticket, "alice", 10, 1);
    // Its last digit is another.
    let forged = match right.strip_suffix("0>") {
        Some(rest) => format!("{rest}1>"),
        None => format!("{}0>", &right[..right.len() - 2]),
    };
    for line in [
        "KEEP_ALIVE <alice>",
        "KEEP_ALIVE <alice> <10>",
        &forged,
        &proven(&other, "alice", 10, 1),
        &proven(&ticket, "bob", 10, 1),
        &right.replace("<10> <1>", "<120> <1>"),
        &right.replace("<10> <1>", "<10> <2>"),
    ] {
        assert_eq!(w.datagram("192.0.2.1:700", line), [], "{line}");
    }
    assert_eq!(w.registry.stats().refused_datagrams, 7);
    w.wait(9 * SECOND);
    assert_eq!(w.datagram("192.0.2.1:700", &forged), []);
    w.wait(SECOND);
    assert!(w.is_closed(alice), "the lease was over on time");
    assert_eq!(w.datagrams(), [], "nobody has proven where to send a farewell");
}

#[test]
fn cannon_rule_2_a_copy_of_a_keep_alive_proves_nothing() {
    let mut w = World::new();
    let (alice, _, ticket) = online(&mut w, "alice");
    let lines: Vec<_> = (1..=3).map(|n| proven(&ticket, "alice", 10, n)).collect();
    assert_eq!(w.datagram("192.0.2.1:700", &lines[1]), [to("192.0.2.1:700", ACCEPTED)]);
    for _ in 0..20 {
        w.wait(SECOND * 9 / 20);
        for line in &lines[..2] {
            assert_eq!(w.datagram("192.0.2.1:700", line), [], "a copy, and one that is late");
            assert_eq!(w.datagram("203.0.113.7:9", line), []);
        }
    }
    assert!(!w.is_closed(alice));
    assert_eq!(w.datagram("192.0.2.1:700", &lines[2]), [to("192.0.2.1:700", ACCEPTED)]);
    w.wait(10 * SECOND);
    assert!(w.is_closed(alice));
}

#[test]
fn cannon_rule_3_a_keep_alive_from_a_new_source_moves_nothing_that_is_published() {
    let mut w = World::new();
    let (alice, _, mut ticket) = online(&mut w, "alice");
    let bob = w.online("bob");
    let where_alice_is = format!("SEARCH_USER_RESPONSE {OK} <alice> <4000> <192.0.2.1>");
    for from in ["203.0.113.7:9", "[2001:db8::5]:443", "192.0.2.1:1"] {
        w.wait(SECOND);
        let line = proven(&ticket, "alice", 10, 1);
        assert_eq!(w.datagram(from, &line), [to(from, ACCEPTED)], "from anywhere");
        ticket = ticket_in(&w.heard(alice));
        assert_eq!(w.say(bob, "SEARCH_USER <alice>"), std::slice::from_ref(&where_alice_is));
        assert_eq!(
            w.say(bob, "DISCOVER_PEERS <DETAILED>"),
            [format!("PEER_LIST {OK} <alice> <> <4000> <192.0.2.1>")]
        );
    }
    w.wait(11 * SECOND);
    assert_eq!(w.datagrams(), [to("192.0.2.1:1", "TIMEOUT <alice>")], "to the last that proved it");
}

#[test]
fn who_has_moved_away_from_a_dead_stream_is_not_answered_any_more_and_who_has_not_gets_another_ticket() {
    let mut w = World::new();
    let (alice, _, old) = online(&mut w, "alice");
    assert_eq!(w.datagram("192.0.2.1:700", &proven(&old, "alice", 10, 1)), [to("192.0.2.1:700", ACCEPTED)]);
    assert_eq!(
        w.datagram("192.0.2.1:701", &proven(&old, "alice", 10, 2)),
        [],
        "another port, within a second"
    );
    assert_eq!(w.heard(alice), [""; 0], "is nothing new");
    w.wait(SECOND);
    let new = "203.0.113.7:700";
    assert_eq!(w.datagram(new, &proven(&old, "alice", 10, 3)), [to(new, ACCEPTED)]);
    let ticket = ticket_in(&w.heard(alice));
    for n in 4..8 {
        w.wait(SECOND);
        assert_eq!(
            w.datagram(new, &proven(&old, "alice", 10, n)),
            [],
            "on the dead stream it was never read"
        );
    }
    assert_eq!(w.datagram(new, &proven(&ticket, "alice", 10, 1)), [to(new, ACCEPTED)]);
    assert_eq!(w.heard(alice), [""; 0], "where it comes from is known by now");
}

#[test]
fn who_has_said_another_hello_meanwhile_without_the_capability_gets_no_ticket() {
    let mut w = World::new();
    let (alice, _, ticket) = online(&mut w, "alice");
    w.hold = true;
    let new = "203.0.113.7:700";
    assert_eq!(w.datagram(new, &proven(&ticket, "alice", 10, 1)), [to(new, ACCEPTED)]);
    assert_eq!(w.say(alice, "HELLO_P2P <1> <reason>"), ["HELLO_BACK <SUCCESS> <200> <1> <reason>"]);
    w.release(0);
    assert_eq!(w.heard(alice), [""; 0]);
    w.wait(SECOND);
    assert_eq!(
        w.datagram(new, &proven(&ticket, "alice", 10, 2)),
        [to(new, ACCEPTED)],
        "the one before still counts"
    );
}

#[test]
fn datagrams_from_ever_other_addresses_bring_a_ticket_a_second_at_most() {
    let mut w = World::new();
    let (alice, _, mut ticket) = online(&mut w, "alice");
    let mut tickets = 0;
    for n in 0..100_u8 {
        w.wait(SECOND / 20);
        w.datagram(&format!("203.0.113.{n}:9"), &proven(&ticket, "alice", 10, u64::from(n) + 1));
        let told = w.heard(alice);
        if !told.is_empty() {
            ticket = ticket_in(&told);
            tickets += 1;
        }
    }
    assert_eq!(tickets, 5);
}

#[test]
fn its_own_peer_may_shorten_the_lease_from_another_port_and_is_answered_once_a_second() {
    let mut w = World::new();
    let (alice, _, ticket) = online(&mut w, "alice");
    assert_eq!(w.datagram("192.0.2.1:700", &proven(&ticket, "alice", 120, 1)).len(), 1);
    assert_eq!(w.datagram("192.0.2.1:701", &proven(&ticket, "alice", 3, 2)), [], "within a second");
    w.wait(3 * SECOND);
    assert!(w.is_closed(alice));
}

#[test]
fn cannon_rule_2_what_a_session_with_a_ticket_is_sent_is_never_more_than_what_proved_it() {
    for user in ["a".to_owned(), "\u{20000}".repeat(32)] {
        let mut w = World::new();
        let (_, _, ticket) = online(&mut w, &user);
        let line = proven(&ticket, &user, 0, 1);
        let answer: usize = w.datagram("203.0.113.7:9", &line).iter().map(|(_, said)| said.len()).sum();
        w.wait(3 * SECOND);
        let farewell: usize = w.datagrams().iter().map(|(_, said)| said.len()).sum();
        assert!(
            answer == 35 && farewell > 0 && answer + farewell <= line.len(),
            "{answer} {farewell} {line}"
        );
    }
}

#[test]
fn cannon_rule_2_with_a_ticket_no_single_datagram_is_answered_by_more_than_it_is() {
    for user in ["a".to_owned(), "\u{20000}".repeat(32)] {
        let mut w = World::new();
        let (_, _, ticket) = online(&mut w, &user);
        let (_, _, other) = online(&mut w, "other");
        let mut answers = 0;
        for n in 1..=400 {
            let timeout = [3, 120, u32::MAX][n as usize % 3];
            let right = proven(&ticket, &user, timeout, n);
            for line in [
                format!("KEEP_ALIVE <{user}>"),
                format!("KEEP_ALIVE <{user}> <{timeout}>"),
                proven(&other, &user, timeout, n),
                proven(&ticket, "other", timeout, n),
                right.clone(),
                // A copy, one that is late, and one that is early.
                right,
                proven(&ticket, &user, timeout, 1),
                proven(&ticket, &user, timeout, u64::MAX - 400 + n),
            ]
            .iter()
            // The last would make all others late.
            .take(if n == 400 { 8 } else { 7 })
            {
                let from = format!("192.0.2.1:{}", 700 + n);
                let told = w.datagram(&from, line);
                let size: usize = told.iter().map(|(_, said)| said.len()).sum();
                assert!(size <= line.len(), "{size} bytes answer {}: {line}", line.len());
                assert!(told.iter().all(|(to, _)| to.to_string() == from), "{told:?}");
                answers += told.len();
            }
            w.wait(SECOND / 4);
        }
        assert_eq!(answers, 100, "one in a second");
    }
}

#[test]
fn who_comes_back_gets_a_new_ticket_and_the_old_one_is_worth_nothing() {
    let mut w = World::new();
    let (alice, token, old) = online(&mut w, "alice");
    w.datagram("192.0.2.1:700", &proven(&old, "alice", 10, 5));
    w.cut(alice);
    assert_eq!(w.datagram("192.0.2.1:700", &proven(&old, "alice", 120, 6)), [], "nobody is there");
    let again = greet(&mut w, "192.0.2.2");
    let told = w.say(again, &format!("RESUME <alice> <{token}> <4000>"));
    let ticket = ticket_in(&told);
    assert_ne!(ticket, old);
    w.wait(SECOND);
    assert_eq!(w.datagram("192.0.2.2:700", &proven(&old, "alice", 10, 7)), []);
    assert_eq!(w.datagram("192.0.2.2:700", &proven(&ticket, "alice", 10, 1)).len(), 1, "from 1 again");
}

#[test]
fn a_session_whose_ticket_is_not_there_yet_is_as_one_without_and_nothing_waits_for_it() {
    let mut w = World::new();
    w.register("alice");
    let alice = greet(&mut w, "192.0.2.1");
    w.say(alice, "LOGOUT");
    w.hold = true;
    w.say(alice, &login("alice"));
    while !w.held.is_empty() && !w.heard(alice).iter().any(|line| line.starts_with("AUTH")) {
        w.release(0);
    }
    w.hold = false;
    assert!(matches!(w.held[..], [(_, Question::Token)]), "{:?}", w.held);
    assert_eq!(w.say(alice, "DISCOVER_PEERS <PARTIAL>").len(), 1);
    assert_eq!(w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>").len(), 1);
    w.wait(SECOND);
    w.release(0);
    let ticket = ticket_in(&w.heard(alice));
    assert_eq!(w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>"), []);
    assert_eq!(w.datagram("192.0.2.1:700", &proven(&ticket, "alice", 10, 1)).len(), 1);
}

#[test]
fn without_randomness_or_room_for_the_question_there_is_no_ticket_and_the_session_goes_on() {
    let mut config = Config::default();
    config.operations = 1;
    for fails in [true, false] {
        let mut w = World::with(config.clone());
        w.register("alice");
        let alice = greet(&mut w, "192.0.2.1");
        w.hold = true;
        w.say(alice, &login("alice"));
        while !w.held.is_empty() && !w.heard(alice).iter().any(|line| line.starts_with("AUTH")) {
            w.release(0);
        }
        let (op, _) = w.held.remove(0);
        w.hold = false;
        if fails {
            w.registry.handle_token(w.now, op, TokenAnswer::Failed);
            w.run();
            assert_eq!(w.heard(alice), [""; 0]);
        } else {
            // The stream is gone before there is an answer.
            w.disconnect(alice);
            w.registry.handle_token(w.now, op, TokenAnswer::Failed);
        }
        assert_eq!(w.registry.stats().operations, 0);
        let expected = usize::from(fails);
        assert_eq!(w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>").len(), expected);
    }
}

#[test]
fn no_ticket_is_asked_for_where_as_much_is_asked_as_may_be() {
    let mut config = Config::default();
    config.operations = 1;
    let mut w = World::with(config);
    let (alice, _, ticket) = online(&mut w, "alice");
    let bob = w.online("bob");
    w.hold = true;
    w.say(bob, "SEARCH_USER <nobody>");
    w.datagram("198.51.100.7:700", &proven(&ticket, "alice", 10, 1));
    assert_eq!(w.held.len(), 1, "the search alone");
    w.hold = false;
    w.release(0);
    assert_eq!(w.heard(alice), [""; 0]);
    // The ticket before is still good.
    assert_eq!(w.datagram("198.51.100.7:700", &proven(&ticket, "alice", 10, 2)), []);
    w.wait(9 * SECOND);
    assert!(!w.is_closed(alice));
}
