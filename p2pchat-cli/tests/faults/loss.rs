//! Packets that are lost, and packets that take long.

use std::{thread, time::Duration};

use serde_json::Value;

use crate::{
    LEASE,
    client::{Client, Home, Outcome},
    insist_on_start, long_or,
    net::Net,
    proxy::Proxy,
    until,
};

/// Tries a command until it ends with one of these codes: those of honest failure are 3 and 7.
fn insist(home: &Home, arguments: &[&str], codes: &[i32]) -> Outcome {
    let mut last = None;
    until(&arguments.join(" "), || {
        let outcome = home.run(arguments);
        let done = outcome.code().is_some_and(|code| codes.contains(&code));
        last = Some(outcome);
        done
    });
    last.unwrap()
}

/// Says so much in a chat and in a room; which were reported as not delivered.
fn say(alice: &mut Client, kind: &str, to: &str, count: usize) -> Vec<bool> {
    let reported = |number| {
        alice.type_line(&format!("/msg {to} {kind} {number}"));
        // The next line waits for the answer to the last, and this one is answered on the spot.
        alice.type_line(&format!("/switch nobody-{kind}-{number}"));
        alice.out.expect(&format!("no chat with nobody-{kind}-{number}")).contains("not ")
    };
    (0..count).map(reported).collect()
}

/// What bob has read is what alice said, once each and in order, but for some that she was told had not arrived.
fn expect_all(bob: &Client, kind: &str, event: &str, reported: &[bool]) {
    let read = || -> Vec<usize> {
        let events = bob.out.so_far();
        let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let texts = events.filter(|read| read["event"] == event);
        texts.filter_map(|read| read["text"].as_str()?.strip_prefix(kind)?.trim().parse().ok()).collect()
    };
    let confirmed = |read: &[usize]| {
        let confirmed = reported.iter().enumerate().filter(|(_, reported)| !**reported);
        confirmed.map(|(number, _)| number).all(|number| read.contains(&number))
    };
    until(&format!("each {kind} that was confirmed is read"), || confirmed(&read()));
    let read = read();
    assert!(read.is_sorted_by(|one, next| one < next), "{kind}: twice, or out of order: {read:?}");
}

#[test]
fn on_a_line_that_loses_packets_everything_works_and_nothing_is_said_twice() {
    let Some(net) = Net::of(3) else { return };
    let [registry, at_alice, at_bob] = net.hosts();
    let daemon = registry.registry();
    let (at_alice, at_bob) = (at_alice.home(&daemon), at_bob.home(&daemon));
    let percent = long_or(10, 30);
    net.lose(&format!("numgen random mod 100 < {percent}"));
    // An answer may be lost: then the name is taken, by who asks again.
    insist(&at_alice, &["--user", "alice", "register"], &[0, 1]);
    insist(&at_bob, &["--user", "bob", "register"], &[0, 1]);
    insist(&at_alice, &["--user", "alice", "create", "den"], &[0, 1]);
    let bob = insist_on_start(&at_bob, &["--user", "bob", "listen", "--json", "--room", "den"], "\"ready\"");
    let mut alice = insist_on_start(&at_alice, &["--user", "alice"], "logged in as alice");
    until("a chat is open", || {
        alice.type_line("/chat bob");
        alice.type_line("/switch nobody");
        alice.out.expect("no chat with nobody");
        bob.out.has("chat_opened")
    });

    let count = long_or(10, 200);
    let direct = say(&mut alice, "direct", "bob", count);
    let broadcast = say(&mut alice, "broadcast", "#den", count);
    assert!(net.lost() > 0);
    net.heal();
    expect_all(&bob, "direct", "message", &direct);
    expect_all(&bob, "broadcast", "broadcast", &broadcast);
    let delivered = |reported: &[bool]| reported.iter().filter(|reported| !**reported).count();
    assert!(delivered(&direct) > 0 && delivered(&broadcast) > 0, "{direct:?} {broadcast:?}");
    // Whoever was lost on the way has come back.
    at_bob.register("carol");
    until("both are online", || {
        let online = at_bob.run(&["--user", "carol", "peers"]).out;
        online.contains("alice") && online.contains("bob")
    });
    println!("of {count} each, {} and {} were confirmed", delivered(&direct), delivered(&broadcast));
}

#[test]
fn every_second_keep_alive_may_be_lost() {
    let Some(net) = Net::of(2) else { return };
    let [registry, at_alice] = net.hosts();
    let daemon = registry.registry();
    let mut alice = at_alice.home(&daemon).listener("alice", &[]);
    net.lose(&format!("ip saddr {} ip protocol udp numgen inc mod 2 == 0", at_alice.address()));
    thread::sleep(LEASE * long_or(2, 10));
    assert!(net.lost() >= 3, "{} lost", net.lost());
    assert!(!daemon.log.has("timed out") && !alice.out.has("disconnected"), "{}\n{}", daemon.log, alice.out);
    // Without any it ends.
    net.lose(&format!("ip saddr {} ip protocol udp", at_alice.address()));
    alice.expect_event("disconnected");
    daemon.log.expect_anywhere("timed out");
}

#[test]
fn over_a_slow_line_everything_works_and_what_is_on_the_way_when_it_breaks_is_read_or_reported() {
    const BOBS_PORT: u16 = 4_444;
    let Some(net) = Net::of(3) else { return };
    let [at_registry, at_alice, at_bob] = net.hosts();
    let daemon = at_registry.registry();
    // Who comes by the router comes from its address, so that is where the registry says that bob is.
    let delay = Duration::from_millis(300);
    let registry = Proxy::start(&net.router(), daemon.tcp, daemon.udp, delay);
    let to_bob = (at_bob.address(), BOBS_PORT).into();
    let peers = Proxy::start_at(&net.router(), BOBS_PORT, to_bob, to_bob, delay);
    let through = |host: &crate::net::Host| {
        let router = net.gateway(host);
        Home::at((router, registry.tcp).into(), (router, registry.udp).into()).moved(host.place())
    };
    let (at_alice, at_bob) = (through(at_alice), through(at_bob));
    let mut alice = at_alice.prompt("alice");
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    let port = BOBS_PORT.to_string();
    let mut bob = at_bob.listener("bob", &["--peer-port", &port, "--room", "den"]);
    alice.type_line("/chat bob");
    bob.expect_event("chat_opened");
    // It outlasts what follows.
    for round in 0..long_or(2, 20) {
        let (before, after) = (format!("before-{round}"), format!("after-{round}"));
        let reported = say(&mut alice, &before, "bob", 2);
        assert!(!reported.contains(&true), "{}", alice.out);
        let said = say(&mut alice, &format!("all-{round}"), "#den", 2);
        assert!(!said.contains(&true), "{}", alice.out);
        expect_all(&bob, &format!("all-{round}"), "broadcast", &said);

        // Said, and cut while it is on its way there, or its confirmation on its way back.
        let carried = peers.carried();
        alice.type_line(&format!("/msg bob {after} 0"));
        if round % 2 == 0 {
            until("it is on its way", || peers.carried() > carried);
        } else {
            until("bob has it", || bob.out.has(&format!("{after} 0")));
        }
        peers.cut();
        alice.type_line("/switch nobody-after");
        let reported_after = alice.out.expect("no chat with nobody-after").contains("not delivered to bob");
        expect_all(&bob, &before, "message", &reported);
        expect_all(&bob, &after, "message", &[reported_after]);

        // The registry's streams break too, and everybody comes back.
        registry.cut();
        bob.expect_event("reconnected");
        alice.out.expect("back again");
    }
}
