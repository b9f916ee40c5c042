//! Online without a connection, between the binaries (PROTOCOL.md §7.12).

use std::num::NonZeroU64;

use p2pchat_core::proto::{Dialect, Message, SessionTicket, ToRegistryDatagram, Username};

use crate::{
    DIGEST,
    client::{Client, Home},
    daemon::Daemon,
    wire::{Datagrams, Wire},
};

/// Alice has a room and parks, in a client of her own.
fn alice(home: &Home) -> Client {
    home.register("alice");
    home.run(&["--user", "alice", "create", "den"]).expect_code(0);
    let mut alice = home.start(&["--user", "alice", "--park", "1", "listen", "--json"]);
    alice.expect_event("ready");
    alice.expect_event("parked");
    alice
}

#[test]
fn who_parks_is_woken_by_another_client_that_joins_the_room_and_sees_it() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = alice(&home);
    let bobs = Home::new(&daemon);
    bobs.register("bob");
    let peers = bobs.run(&["--user", "bob", "peers", "--json"]).json();
    assert_eq!(peers, serde_json::json!(["alice"]), "she is online for everybody");
    let mut bob = bobs.start(&["--user", "bob", "listen", "--json", "--room", "den"]);
    bob.expect_event("ready");
    alice.expect_event("unparked");
    let seen = alice.expect_event("member_online");
    assert_eq!((&seen["room"], &seen["username"]), (&"den".into(), &"bob".into()));
    alice.expect_event("parked");
    alice.signal("TERM");
    bob.expect_event("member_offline");
    assert_eq!(alice.outcome().code(), Some(0));
}

#[test]
fn who_is_parked_comes_back_after_kill_9_of_the_registry_without_the_password() {
    let mut daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = alice(&home);
    daemon.kill();
    let daemon = daemon.restart();
    let lost = alice.expect_event("disconnected");
    assert_eq!(lost["reason"], "the registry fell silent");
    alice.expect_event("reconnected");
    daemon.log.expect_anywhere("resumes=true");
    alice.expect_event("parked");
}

#[test]
fn who_is_parked_and_stops_is_timed_out() {
    let daemon = Daemon::start();
    let mut bob = Wire::online_with(&daemon, "bob", "roster");
    bob.create("den", 5);
    let mut alice = Wire::extended(&daemon, "roster,resume,ticket,park");
    alice.sign_up("alice");
    assert!(alice.ask(&format!("LOGIN <alice> <{DIGEST}> <4000>")).starts_with("AUTH <SUCCESS> <200> <"));
    let ticket = alice.hear();
    let ticket = ticket.strip_prefix("TICKET <").and_then(|rest| rest.strip_suffix('>')).unwrap();
    let ticket = SessionTicket::new(ticket).unwrap();
    alice.join("den");
    assert_eq!(bob.hear(), "USER_JOINED <den> <alice>");
    assert_eq!(alice.ask("PARK <alice>"), "PARKED <SUCCESS> <200>");
    alice.expect_end();

    let datagrams = Datagrams::open(&daemon);
    let keep_alive = |seconds, number| {
        let number = NonZeroU64::new(number).unwrap();
        let username = Username::new("alice").unwrap();
        datagrams.send(
            &ToRegistryDatagram::prove(&ticket, username, seconds, number).to_bytes(Dialect::Canonical),
        );
        datagrams.receive()
    };
    assert!(keep_alive(3, 1).starts_with("PARKED <"));
    bob.expect_nothing_unasked();
    assert_eq!(bob.hear(), "USER_LOGOUT <alice>");
    assert!(datagrams.receive().starts_with("WAKE <"));
}
