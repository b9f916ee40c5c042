//! A peer that does what the prototype's does, byte for byte, against the daemon (PROTOCOL.md §6): it ends its messages
//! with nothing, reads at most 1,024 bytes once for each reply, and compares the reply's third word.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    DIGEST, WRONG_DIGEST,
    client::Home,
    daemon::Daemon,
    wire::{Datagrams, Wire},
};

/// The prototype's peer.
struct Prototype(Wire);

impl Prototype {
    fn greeted(daemon: &Daemon) -> Self {
        Self::greet(Wire::open(daemon))
    }

    fn greet(wire: Wire) -> Self {
        let mut peer = Self(wire);
        assert_eq!(peer.ask("HELLO_P2P"), "HELLO_BACK SUCCESS 200 ");
        peer
    }

    /// One message out, one reply back.
    fn ask(&mut self, message: &str) -> String {
        self.0.write(message.as_bytes()).unwrap();
        self.0.receive()
    }

    fn log_in(&mut self, user: &str, port: u16) {
        assert_eq!(self.ask(&format!("REGISTER {user} {DIGEST}")), "REGISTER <SUCCESS> <200>");
        assert_eq!(self.ask(&format!("LOGIN {user} {DIGEST} {port}")), "AUTH <SUCCESS> <200>");
    }
}

#[test]
fn the_prototypes_peer_is_served_byte_for_byte() {
    let daemon = Daemon::start();
    let mut alice = Prototype::greeted(&daemon);
    assert_eq!(alice.ask(&format!("LOGIN alice {DIGEST} 4278")), "AUTH <FAILURE> <404>");
    assert_eq!(alice.ask(&format!("REGISTER alice {DIGEST}")), "REGISTER <SUCCESS> <200>");
    assert_eq!(alice.ask(&format!("REGISTER alice {DIGEST}")), "REGISTER <EXIST> <300>");
    assert_eq!(alice.ask(&format!("LOGIN alice {WRONG_DIGEST} 4278")), "AUTH <FAILURE> <404>");
    assert_eq!(alice.ask(&format!("LOGIN alice {DIGEST} 4278")), "AUTH <SUCCESS> <200>");
    let mut again = Prototype::greeted(&daemon);
    assert_eq!(again.ask(&format!("LOGIN alice {DIGEST} 4278")), "AUTH <ONLINE> <300>");

    assert_eq!(alice.ask("DISCOVER_PEERS DETAILED alice"), "PEER_LIST <FAILURE> <404>");
    assert_eq!(alice.ask("DISCOVER_PEERS SIMPLE alice"), "PEER_LIST <FAILURE> <404>");
    Prototype::greeted(&daemon).ask(&format!("REGISTER carol {DIGEST}"));
    let mut bob = Prototype::greeted(&daemon);
    bob.log_in("bob", 63_142);
    let found = "SEARCH_USER_RESPONSE <SUCCESS> <200> 127.0.0.1:63142";
    assert_eq!(alice.ask("SEARCH_USER bob"), found);
    assert_eq!(alice.ask("SEARCH_USER carol"), "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    assert_eq!(alice.ask("SEARCH_USER dave"), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>");

    // A peer of today's is seen by the prototype's like any other, and sees it.
    let mut today = Wire::online_with(&daemon, "zoe", "reason,roster,sender");
    let list = alice.ask("DISCOVER_PEERS DETAILED alice");
    let list = list.strip_prefix("PEER_LIST <SUCCESS> <200> ").unwrap_or_else(|| panic!("{list}"));
    let mut pairs: Vec<_> = list.split(' ').collect();
    pairs.sort_unstable();
    assert_eq!(pairs, ["(127.0.0.1:4000)", "(127.0.0.1:63142)", "bob", "zoe"]);
    let either = ["bob (127.0.0.1:63142) zoe (127.0.0.1:4000)", "zoe (127.0.0.1:4000) bob (127.0.0.1:63142)"];
    assert!(either.contains(&list), "{list}");
    let list = alice.ask("DISCOVER_PEERS SIMPLE alice");
    assert!(
        ["PEER_LIST <SUCCESS> <200> bob zoe", "PEER_LIST <SUCCESS> <200> zoe bob"].contains(&list.as_str())
    );
    let found = "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <63142> <127.0.0.1>";
    assert_eq!(today.ask("SEARCH_USER <bob>"), found);

    alice.0.write(b"LOGOUT alice").unwrap();
    alice.0.expect_end();
    bob.0.write(b"LOGOUT").unwrap();
    bob.0.expect_end();
}

#[test]
fn the_prototypes_peer_is_told_nothing_that_it_did_not_ask_for() {
    let daemon = Daemon::start();
    let mut alice = Prototype::greeted(&daemon);
    alice.log_in("alice", 4278);
    let mut today = Wire::online_with(&daemon, "zoe", "reason,roster,sender");
    assert_eq!(alice.ask("CREATE_CHAT_ROOM <den> <> <5> <>"), "CREATION <SUCCESS> <200>");
    today.join("den");
    today.say("LOGOUT");
    today.expect_end();
    assert_eq!(alice.ask("SEARCH_USER zoe"), "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    // Nor does a refusal have a reason.
    assert_eq!(alice.ask("CREATE_CHAT_ROOM <den> <> <5> <>"), "CREATION <FAILURE> <404>");
    assert_eq!(alice.ask("LOGOUT zoe"), "HELLO_BACK FAILURE 404 ");
}

#[test]
fn the_prototypes_keep_alives_count_and_their_end_is_a_timeout() {
    let daemon = Daemon::start();
    let mut alice = Prototype::greeted(&daemon);
    alice.log_in("alice", 4278);
    let mut watcher = Wire::online(&daemon, "watcher");
    let found = "SEARCH_USER_RESPONSE <SUCCESS> <200> <alice> <4278> <127.0.0.1>";
    let datagrams = Datagrams::open(&daemon);
    let started = Instant::now();
    // Beyond the 10 s that a login grants.
    while started.elapsed() < Duration::from_secs(12) {
        datagrams.send(b"KEEP_ALIVE alice");
        assert_eq!(datagrams.receive_within(Duration::from_secs(1)), None, "it expects no answer");
    }
    assert_eq!(watcher.ask("SEARCH_USER <alice>"), found);
    assert_eq!(alice.0.receive(), "TIMEOUT alice");
    alice.0.expect_end();
    assert_eq!(watcher.ask("SEARCH_USER <alice>"), "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
}

#[test]
fn tls_1_2_is_for_old_peers_and_only_if_told_to() {
    let daemon = Daemon::start();
    assert!(Wire::open_by_tls12(&daemon).is_err());
    daemon.log.expect_anywhere("a TLS handshake failed");
    let daemon = Daemon::with(&["--tls12"]);
    let mut alice = Prototype::greet(Wire::open_by_tls12(&daemon).unwrap());
    alice.log_in("alice", 4278);
    assert_eq!(alice.ask("SEARCH_USER bob"), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
    // Who can do better still does.
    let mut today = Wire::online(&daemon, "zoe");
    today.expect_nothing_unasked();
}

#[test]
fn a_hello_of_today_is_not_taken_for_the_prototypes() {
    let daemon = Daemon::start();
    // The line ending comes within the grace, although in a record of its own.
    let mut wire = Wire::open(&daemon);
    wire.write(b"HELLO_P2P").unwrap();
    wire.write(b"\n").unwrap();
    assert_eq!(wire.hear(), "HELLO_BACK <SUCCESS> <200>");
    assert_eq!(wire.ask(&format!("REGISTER <alice> <{DIGEST}>")), "REGISTER <SUCCESS> <200>");
    // Half a frame is not a message then.
    wire.write(b"SEARCH_USER").unwrap();
    wire.write(b" <nobody>\n").unwrap();
    assert_eq!(wire.hear(), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
}

#[test]
fn a_client_of_today_finds_the_prototypes_peer() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = Prototype::greeted(&daemon);
    alice.log_in("alice", 4278);
    home.register("bob");
    let found = home.run(&["--user", "bob", "search", "alice"]).expect_code(0);
    assert_eq!(found.out, "alice  127.0.0.1:4278\n");
}

#[test]
fn a_peer_in_python_is_served_too() {
    let daemon = Daemon::start();
    if Command::new("python3").args(["-c", "import ssl"]).output().is_ok_and(|run| run.status.success()) {
        let watched = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(&daemon, "pythonista", &watched));
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/prototype_peer.py");
            let run = Command::new("python3")
                .args([script, &daemon.tcp.to_string(), &daemon.udp.to_string()])
                .output()
                .unwrap();
            watched.store(true, Ordering::Relaxed);
            assert!(run.status.success(), "{run:#?}\n{}", daemon.log);
            assert!(watcher.join().unwrap(), "nobody ever saw it online");
        });
    } else {
        eprintln!("skipped: there is no python3 with its ssl module");
    }
}

/// True if `user` was online at some time until it is over.
fn watch(daemon: &Daemon, user: &str, over: &AtomicBool) -> bool {
    let mut watcher = Wire::online(daemon, "watcher");
    let mut seen = false;
    while !seen && !over.load(Ordering::Relaxed) {
        seen = watcher.ask(&format!("SEARCH_USER <{user}>")).contains("<SUCCESS>");
        thread::sleep(Duration::from_millis(20));
    }
    seen
}
