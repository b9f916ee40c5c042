//! No more open files.

use std::net::{SocketAddr, TcpStream};

use crate::{
    DIGEST,
    client::Home,
    daemon::Setup,
    need::{self, Need},
    place::Place,
    until,
    wire::Wire,
};

#[test]
fn a_registry_without_descriptors_serves_whom_it_has_and_takes_others_when_somebody_leaves() {
    if !need::met(&[Need::Program("prlimit")]) {
        return;
    }
    let place = Place::behind(&["prlimit", "--nofile=64:64"]);
    let daemon = Setup { place, ..Setup::new(&[]) }.start();
    daemon.log.expect_anywhere("the limit on open files is below --max-connections");
    let mut alice = Wire::online(&daemon, "alice");
    alice.create("den", 5);
    let home = Home::new(&daemon);
    let mut bob = home.listener("bob", &["--room", "den"]);

    // The system shakes hands for the registry, which can't take them up; those whom it could, it waits 10 s for.
    let mut crowd: Vec<_> = (0..150).map(|_| TcpStream::connect(daemon.tcp).unwrap()).collect();
    daemon.log.expect_anywhere("can't accept a connection");
    home.run(&["--user", "bob", "register"]).expect_code(3).expect_error("too long");
    // Those who are in notice nothing, and what they do is kept.
    assert_eq!(alice.ask("DISCOVER_PEERS <den>"), "PEER_LIST <SUCCESS> <200> <den> <alice> <bob>");
    alice.create("attic", 5);

    crowd.clear();
    until("newcomers are served", || home.run(&["--user", "carol", "register"]).code() == Some(0));
    home.run(&["--user", "carol", "send", "bob", "there is room again"]).expect_code(0);
    assert_eq!(bob.expect_event("message")["text"], "there is room again");
    assert!(!bob.out.has("disconnected"), "{}", bob.out);
    // However long it lasts, it doesn't fill the log: it was tried every tenth of a second.
    let lines = daemon.log.count("can't accept a connection");
    assert!(lines < 20, "{lines} lines");
    let daemon = daemon.restart();
    let mut again = Wire::greeted(&daemon);
    assert_eq!(again.ask(&format!("REGISTER <carol> <{DIGEST}>")), "REGISTER <EXIST> <300>");
}

#[test]
fn a_client_without_descriptors_stays_online_and_takes_others_when_somebody_leaves() {
    if !need::met(&[Need::Program("prlimit")]) {
        return;
    }
    let daemon = Setup::new(&[]).start();
    let home = Home::new(&daemon);
    home.register("alice");
    let at_bob = Home::new(&daemon).moved(Place::behind(&["prlimit", "--nofile=32:32"]));
    at_bob.register("bob");
    let log = at_bob.folder().join("log");
    let mut bob = at_bob.start(&["--user", "bob", "--log", log.to_str().unwrap(), "listen", "--json"]);
    let port = u16::try_from(bob.expect_event("ready")["port"].as_u64().unwrap()).unwrap();
    home.run(&["--user", "alice", "send", "bob", "before"]).expect_code(0);

    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let crowd: Vec<_> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    until("bob says so in his log", || {
        std::fs::read_to_string(&log).unwrap().contains("can't accept a peer stream")
    });
    home.run(&["--user", "alice", "search", "bob"]).expect_code(0);
    drop(crowd);
    until("alice gets through", || home.run(&["--user", "alice", "send", "bob", "after"]).code() == Some(0));
    for text in ["before", "after"] {
        assert_eq!(bob.expect_event("message")["text"], text);
    }
    assert!(!bob.out.has("disconnected"), "{}", bob.out);
}
