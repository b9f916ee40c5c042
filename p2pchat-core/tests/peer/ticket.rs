//! Keep-alives under `ticket` (PROTOCOL.md §7.6).

use p2pchat_core::peer::Config;
use p2pchat_proto::Dialect;

use crate::solo::{SECOND, Solo, keep_alive, ticket};

const AGREED: &str = " <1> <reason,roster,sender,ticket,retry>";

fn proven(n: u8, sequence: u64) -> String {
    format!("udp {}", keep_alive("alice", n, sequence))
}

fn give(s: &mut Solo, n: u8) {
    s.registry(&format!("TICKET <{}>", ticket(n).expose()));
}

#[test]
fn the_first_keep_alive_waits_for_the_ticket_and_each_has_a_number_of_its_own() {
    let mut s = Solo::new();
    s.log_in();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{AGREED}"));
    s.did();
    s.registry("AUTH <SUCCESS> <200>");
    assert_eq!(s.did(), ["ok Done"]);
    give(&mut s, 1);
    assert_eq!(s.did(), [proven(1, 1)]);
    let interval = Config::default().keep_alive_interval;
    assert_eq!(s.wait(interval * 3), [proven(1, 2), proven(1, 3), proven(1, 4)]);
}

#[test]
fn a_ticket_that_does_not_come_is_not_waited_for_long() {
    let mut s = Solo::alice_with(Config::default(), AGREED);
    let interval = Config::default().keep_alive_interval;
    assert_eq!(s.wait(interval), ["udp KEEP_ALIVE <alice> <10>"]);
    give(&mut s, 1);
    assert_eq!(s.did(), [proven(1, 1)]);
}

#[test]
fn another_session_has_another_ticket_and_counts_anew() {
    let mut s = Solo::alice_with(Config::default(), AGREED);
    give(&mut s, 1);
    s.wait(SECOND * 3);
    s.peer.handle_registry_closed(s.now, "reset".to_owned());
    s.wait(SECOND);
    s.welcome(AGREED);
    assert_eq!(s.wait(SECOND), [""; 0], "the old ticket is worth nothing");
    give(&mut s, 2);
    assert_eq!(s.did(), [proven(2, 1)]);
    give(&mut s, 3);
    assert_eq!(s.did(), [proven(3, 1)], "the last one counts");

    // With a registry that has none.
    s.peer.handle_registry_closed(s.now, "reset".to_owned());
    s.wait(SECOND);
    s.welcome(" <1> <reason>");
    assert_eq!(s.wait(SECOND * 5 / 2), ["udp KEEP_ALIVE <alice> <10>"]);
}

#[test]
fn a_ticket_without_a_session_is_passed_over() {
    let mut s = Solo::new();
    s.peer.connect(s.now);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{AGREED}"));
    s.did();
    give(&mut s, 1);
    assert_eq!(s.did(), [""; 0]);
    assert!(s.peer.is_connected());
}
