//! SIGSTOP and SIGCONT: a process that does nothing for a while, as on a machine that sleeps or swaps.

use std::{thread, time::Duration};

use crate::{LEASE, client::Home, daemon::Daemon, long_or, until};

#[test]
fn a_registry_that_stops_for_less_than_a_lease_is_not_missed() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = home.prompt("alice");
    let mut bob = home.listener("bob", &[]);
    alice.type_line("/chat bob");
    alice.out.expect("what you type now goes to bob");
    for _ in 0..long_or(1, 10) {
        daemon.signal("STOP");
        alice.type_line("the registry is not needed for this");
        bob.expect_event("message");
        thread::sleep(LEASE / 4);
        daemon.signal("CONT");
        alice.type_line("/search bob");
        alice.out.expect("bob  127.0.0.1:");
    }
    assert!(!daemon.log.has("timed out") && !bob.out.has("disconnected"), "{}\n{}", daemon.log, bob.out);
}

#[test]
fn a_registry_that_stops_for_longer_than_a_lease_has_everybody_back_by_themselves() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = home.prompt("alice");
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    let mut bob = home.listener("bob", &["--room", "den"]);
    home.register("carol");
    // Once there is a stream between two, they need no registry.
    alice.type_line("/msg #den hello");
    bob.expect_event("broadcast");
    // Longer than a lease; longer than clients wait for an answer to their keep-alives, and then dial anew.
    for (round, stopped) in long_or(&[13][..], &[13, 35, 70]).iter().enumerate() {
        daemon.signal("STOP");
        alice.type_line("/msg #den still here");
        until("the room goes on", || bob.out.count("still here") > round);
        thread::sleep(Duration::from_secs(*stopped));
        daemon.signal("CONT");
        until("both are in the room", || {
            let online = home.run(&["--user", "carol", "peers"]).out;
            online.contains("alice") && online.contains("bob")
        });
        // A session that the stop has ended may be seen for a moment after it.
        let text = format!("back after {stopped} s");
        until("a broadcast gets through", || {
            alice.type_line(&format!("/msg #den {text}"));
            alice.type_line("/switch nobody");
            alice.out.expect("no chat with nobody");
            bob.out.has(&text)
        });
    }
    assert!(!alice.out.has("logged out") && !bob.out.has("logged_out"), "{}\n{}", alice.out, bob.out);
}

#[test]
fn a_client_that_stops_is_timed_out_and_comes_back_by_itself() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    home.run(&["--user", "alice", "create", "den"]).expect_code(0);
    let mut alice = home.start(&["--user", "alice", "listen", "--json"]);
    alice.expect_event("room_entered");
    let mut bob = home.listener("bob", &["--room", "den"]);
    home.register("carol");
    for _ in 0..long_or(1, 5) {
        alice.signal("STOP");
        assert_eq!(bob.expect_event("member_offline")["username"], "alice");
        daemon.log.expect_anywhere("timed out");
        home.run(&["--user", "carol", "search", "alice"]).expect_code(5).expect_error("not online");

        alice.signal("CONT");
        alice.expect_event("disconnected");
        alice.expect_event("reconnected");
        assert_eq!(bob.expect_event("member_online")["username"], "alice");
        home.run(&["--user", "carol", "send", "alice", "welcome back"]).expect_code(0);
        assert_eq!(alice.expect_event("message")["text"], "welcome back");
    }
}

#[test]
fn a_peer_that_stops_delays_nobody_else() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = home.prompt("alice");
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    let bob = home.listener("bob", &["--room", "den"]);
    let mut carol = home.listener("carol", &["--room", "den"]);
    alice.out.expect("carol is in #den");
    alice.type_line("/msg #den all are well");
    carol.expect_event("broadcast");
    // What comes from a pipe is done in its turn: bob has it as well.
    alice.type_line("/search nobody");
    alice.out.expect("no such user");

    bob.signal("STOP");
    alice.type_line("/msg #den one of us sleeps");
    assert_eq!(carol.expect_event("broadcast")["text"], "one of us sleeps");
    // Bob is waited for still, as long as the registry shows him.
    assert!(!alice.out.has("not delivered to bob"), "{}", alice.out);
    alice.out.expect("not delivered to bob: that user is not online");
    bob.signal("CONT");
}
