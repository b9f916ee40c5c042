//! Cables that are cut, ways that go in one direction only, and a computer that moves.

use std::{thread, time::Duration};

use crate::{LEASE, client::Client, daemon::Daemon, insist_on_start, long_or, net::Net, until};

/// A registry and two users in a room, the first at her prompt, the second listening.
struct Room {
    alice: Client,
    bob: Client,
    daemon: Daemon,
}

impl Room {
    fn on(net: &Net) -> Self {
        let [registry, at_alice, at_bob, ..] = net.hosts::<4>();
        let daemon = registry.registry();
        let mut alice = at_alice.home(&daemon).prompt("alice");
        alice.type_line("/create den");
        alice.out.expect("opened #den");
        let bob = at_bob.home(&daemon).listener("bob", &["--room", "den"]);
        alice.out.expect("bob is in #den");
        Self { alice, bob, daemon }
    }

    /// A chat is open.
    fn chatting(mut self) -> Self {
        self.alice.type_line("/chat bob");
        self.alice.out.expect("what you type now goes to bob");
        self
    }

    /// Everything works between the two.
    fn converse(&mut self, text: &str) {
        self.alice.type_line(&format!("/msg #den {text}, all"));
        assert_eq!(self.bob.expect_event("broadcast")["text"], format!("{text}, all"));
        self.alice.type_line("/search bob");
        self.alice.out.expect("bob  10.77.2.");
    }

    /// Alice's room knows that bob is there again.
    fn expect_bob_in_the_room(&mut self) {
        let Self { alice, .. } = self;
        until("alice's room knows bob", || {
            alice.type_line("/members den");
            alice.out.expect("online in #den: ");
            alice.out.expect("\n").contains("bob")
        });
    }
}

#[test]
fn a_cable_that_is_cut_for_less_than_a_lease_costs_nothing() {
    let Some(net) = Net::of(4) else { return };
    let [_, at_alice, ..] = net.hosts::<4>();
    let mut room = Room::on(&net).chatting();
    for round in 0..long_or(1, 10) {
        net.cut(at_alice);
        let text = format!("said in the dark, {round}");
        room.alice.type_line(&text);
        // So that more than half of it is left for a machine that is slow.
        thread::sleep(LEASE / 5);
        net.mend(at_alice);
        assert_eq!(room.bob.expect_event("message")["text"], *text);
        room.converse("after");
        // Until a keep-alive has got through: it is of single outages that this is promised.
        thread::sleep(LEASE / 3);
    }
    assert!(
        !room.daemon.log.has("timed out") && !room.alice.out.has("is gone"),
        "{}\n{}",
        room.daemon.log,
        room.alice.out
    );
}

#[test]
fn a_cable_that_is_cut_for_longer_than_a_lease_ends_the_session_and_the_client_comes_back_by_itself() {
    let Some(net) = Net::of(4) else { return };
    let [_, _, at_bob, at_carol] = net.hosts();
    let mut room = Room::on(&net);
    let carol = at_carol.home(&room.daemon);
    carol.register("carol");
    for outage in long_or(&[0][..], &[0, 15, 60]) {
        net.cut(at_bob);
        room.alice.out.expect("bob went offline");
        room.daemon.log.expect("timed out");
        carol.run(&["--user", "carol", "search", "bob"]).expect_code(5);
        thread::sleep(Duration::from_secs(*outage));
        net.mend(at_bob);
        room.bob.expect_event("reconnected");
        room.alice.out.expect("bob is in #den");
        room.converse("back again");
    }
}

#[test]
fn who_is_cut_off_comes_in_from_elsewhere_and_the_old_client_gives_way() {
    let Some(net) = Net::of(4) else { return };
    let [_, _, at_bob, elsewhere] = net.hosts();
    let mut room = Room::on(&net);
    let elsewhere = elsewhere.home(&room.daemon);
    net.cut(at_bob);
    // Once the old session has been silent for a third of its lease.
    let mut bob = insist_on_start(&elsewhere, &["--user", "bob", "listen", "--json"], "\"ready\"");
    net.mend(at_bob);
    let reason = room.bob.expect_event("logged_out")["reason"].clone();
    // By the registry on the old stream, or when it asked for its session again.
    assert!(reason.as_str().is_some_and(|reason| reason.contains("logged in elsewhere")), "{reason}");
    room.bob.outcome().expect_code(4);
    room.alice.type_line("/msg #den welcome");
    assert_eq!(bob.expect_event("broadcast")["text"], "welcome");
    assert!(!bob.out.has("disconnected"), "the two push each other out: {}", bob.out);
}

#[test]
fn a_cut_between_two_peers_is_told_and_is_nobody_elses() {
    let Some(net) = Net::of(4) else { return };
    let [_, at_alice, at_bob, at_carol] = net.hosts();
    let mut room = Room::on(&net).chatting();
    let mut carol = at_carol.home(&room.daemon).listener("carol", &["--room", "den"]);
    room.alice.out.expect("carol is in #den");
    net.block(at_alice, at_bob);
    net.block(at_bob, at_alice);
    room.alice.type_line("into the void");
    room.alice.out.expect("no way to bob for now (it doesn't answer any more)");
    room.alice.out.expect("not delivered to bob: that user can't be reached");
    room.alice.out.expect("the chat with bob has ended");
    room.alice.type_line("/msg #den who hears me?");
    assert_eq!(carol.expect_event("broadcast")["text"], "who hears me?");
    room.alice.out.expect("not delivered to bob");
    assert!(!room.alice.out.has("not delivered to carol"), "{}", room.alice.out);
    room.alice.type_line("/search bob");
    room.alice.out.expect("bob  10.77.2.2:");

    net.heal();
    // It was said not to have been confirmed, and may arrive all the same: once.
    // Where somebody couldn't be dialled just now, nobody is dialled at once.
    until("they may chat again", || {
        room.alice.type_line("/chat bob");
        thread::sleep(Duration::from_secs(1));
        room.alice.out.count("what you type now goes to bob") == 2
    });
    room.alice.type_line("after");
    until("they chat again", || room.bob.out.has("\"after\""));
    assert!(room.bob.out.count("into the void") <= 1, "{}", room.bob.out);
    room.alice.type_line("/msg #den after, all");
    until("the room goes on", || room.bob.out.has("after, all"));
    assert!(!room.daemon.log.has("timed out"), "{}", room.daemon.log);
}

#[test]
fn a_client_whose_address_changes_logs_in_from_the_new_one_and_is_found_there() {
    let Some(net) = Net::of(4) else { return };
    let [_, _, at_bob, at_carol] = net.hosts();
    let mut room = Room::on(&net);
    let carol = at_carol.home(&room.daemon);
    carol.register("carol");
    carol.run(&["--user", "carol", "search", "bob"]).expect_code(0);
    let new = net.move_away(at_bob);
    assert_ne!(new, at_bob.address());
    room.bob.expect_event("disconnected");
    room.bob.expect_event("reconnected");
    let found = carol.run(&["--user", "carol", "search", "bob", "--json"]).expect_code(0).json();
    assert_eq!(found["ip"], new.to_string());
    carol.run(&["--user", "carol", "send", "bob", "nice place"]).expect_code(0);
    assert_eq!(room.bob.expect_event("message")["text"], "nice place");
    room.expect_bob_in_the_room();
    room.converse("moved");
}

#[test]
fn a_client_that_is_not_heard_is_timed_out_and_comes_back_when_it_is() {
    let Some(net) = Net::of(4) else { return };
    let [registry, _, at_bob, _] = net.hosts();
    let mut room = Room::on(&net);
    net.block(at_bob, registry);
    room.alice.out.expect("bob went offline");
    room.daemon.log.expect_anywhere("timed out");
    // The way to bob is open, so he is told at once.
    room.bob.expect_event("disconnected");
    net.heal();
    room.bob.expect_event("reconnected");
    room.expect_bob_in_the_room();
    room.converse("heard again");
}

#[test]
fn a_client_that_hears_nothing_gives_the_registry_up_and_comes_back_when_it_does() {
    let Some(net) = Net::of(4) else { return };
    let [registry, _, at_bob, _] = net.hosts();
    let mut room = Room::on(&net);
    net.block(registry, at_bob);
    // Nothing is wrong for the registry, which gets every keep-alive.
    let reason = room.bob.expect_event("disconnected")["reason"].clone();
    assert_eq!(reason, "the registry fell silent");
    assert!(!room.daemon.log.has("timed out"), "{}", room.daemon.log);
    room.alice.out.expect("bob went offline");
    net.heal();
    room.bob.expect_event("reconnected");
    room.expect_bob_in_the_room();
    room.converse("hearing again");
}
