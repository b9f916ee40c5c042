//! The registry dies, or is told to end: nothing that it acknowledged is lost, and everybody comes back.

use crate::{DIGEST, client::Home, daemon::Daemon, wire::Wire};

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let mut daemon = Daemon::start();
    let mut wire = Wire::greeted(&daemon);
    for round in 0..20 {
        wire.sign_up(&format!("user{round}"));
    }
    wire.log_in("user0");
    let create = format!("CREATE_CHAT_ROOM <den> <{DIGEST}> <3> <bears>");
    assert_eq!(wire.ask(&create), "CREATION <SUCCESS> <200>");
    let mut other = Wire::greeted(&daemon);
    other.log_in("user1");
    let join = format!("JOIN_CHAT_ROOM <den> <{DIGEST}> <increment>");
    assert_eq!(other.ask(&join), "JOIN <SUCCESS> <200>");
    wire.sign_up("last");
    daemon.kill();
    wire.expect_end();

    let daemon = daemon.restart();
    let mut wire = Wire::greeted(&daemon);
    for round in 0..20 {
        assert_eq!(wire.ask(&format!("REGISTER <user{round}> <{DIGEST}>")), "REGISTER <EXIST> <300>");
    }
    wire.log_in("last");
    assert_eq!(wire.ask("SHOW_ROOMS_LIST <DETAILED>"), "ROOMS_LIST <FOUND> <200> <den> <bears> <2> <3>");
    assert_eq!(wire.ask("JOIN_CHAT_ROOM <den> <> <increment>"), "JOIN <FAILURE> <404>");
    let mut other = Wire::greeted(&daemon);
    other.log_in("user1");
    assert_eq!(other.ask("DISCOVER_PEERS <den>"), "PEER_LIST <SUCCESS> <200> <den> <user1>");
}

#[test]
fn after_kill_9_everybody_comes_back_and_goes_on_talking() {
    let mut daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let mut alice = at_alice.prompt("alice");
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    let mut bob = at_bob.listener("bob", &["--accept", "all", "--room", "den"]);
    alice.type_line("/chat bob");
    alice.out.expect("what you type now goes to bob");
    alice.type_line("before");
    assert_eq!(bob.expect_event("message")["text"], "before");
    alice.type_line("/msg #den to all, before");
    assert_eq!(bob.expect_event("broadcast")["text"], "to all, before");

    daemon.kill();
    alice.out.expect("trying again in");
    bob.expect_event("disconnected");
    // No registry is needed for those who are talking already.
    alice.type_line("/msg bob meanwhile");
    assert_eq!(bob.expect_event("message")["text"], "meanwhile");

    let daemon = daemon.restart();
    alice.out.expect("back again");
    bob.expect_event("reconnected");
    alice.type_line("/msg bob after");
    assert_eq!(bob.expect_event("message")["text"], "after");
    alice.type_line("/msg #den to all, after");
    assert_eq!(bob.expect_event("broadcast")["text"], "to all, after");
    // And for those who come now.
    let mut carol = Home::new(&daemon).prompt("carol");
    carol.type_line("/join den");
    carol.out.expect("joined #den");
    alice.out.expect("carol is in #den");
    carol.type_line("hello");
    assert_eq!(bob.expect_event("broadcast")["text"], "hello");
    alice.out.expect("#den carol: hello");
}

#[test]
fn told_to_end_it_says_goodbye_and_ends_well() {
    let mut daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut wire = Wire::online(&daemon, "wire");
    let silent = std::net::TcpStream::connect(daemon.tcp).unwrap();
    let mut bob = home.listener("bob", &[]);
    // Somebody who lingers doesn't keep it.
    let status = daemon.terminate();
    assert_eq!(status.code(), Some(0), "{}", daemon.log);
    wire.expect_end();
    bob.expect_event("disconnected");
    drop(silent);
    let daemon = daemon.restart();
    bob.expect_event("reconnected");
    drop(daemon);
}

#[test]
fn two_daemons_never_share_a_folder() {
    let daemon = Daemon::start();
    let second = Daemon::start_in(daemon.data());
    assert_eq!(second.0.code(), Some(1), "{}", second.1);
    assert!(second.1.lines().count() < 4 && !second.1.contains("panicked"), "{}", second.1);
    let mut wire = Wire::online(&daemon, "unharmed");
    wire.expect_nothing_unasked();
}
