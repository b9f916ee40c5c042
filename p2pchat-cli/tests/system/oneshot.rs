//! One-shot commands, as scripts use them: what they print, and how they end.

use std::io::{BufRead as _, BufReader};

use serde_json::json;

use crate::{
    client::{Home, PASSWORD, PASSWORD_DIGEST},
    daemon::{Daemon, wait},
    wire::Wire,
};

#[test]
fn an_account_is_made_once_and_entered_with_its_password() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    home.run(&["--user", "alice", "register"]).expect_code(1).expect_error("taken");
    home.run(&["--user", "Alice", "register"]).expect_code(1).expect_error("taken");
    home.run(&["--user", "nobody", "peers"]).expect_code(4).expect_error("wrong username or password");
    let file = home.folder().join("wrong");
    std::fs::write(&file, format!("not {PASSWORD}\n")).unwrap();
    let wrong = ["--user", "alice", "--password-file", file.to_str().unwrap(), "peers"];
    home.run(&wrong).expect_code(4).expect_error("wrong username or password");
    home.run(&["--user", "a b", "register"]).expect_code(2).expect_error("username");

    // With a long lease: a client's may be taken over once it is late with its keep-alives.
    home.register("bob");
    let mut online = Wire::greeted(&daemon);
    assert_eq!(online.ask(&format!("LOGIN <bob> <{PASSWORD_DIGEST}>")), "AUTH <SUCCESS> <200>");
    assert_eq!(online.datagrams.keep_alive("bob", 120), "KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    home.run(&["--user", "bob", "peers"]).expect_code(4).expect_error("already logged in elsewhere");
}

#[test]
fn a_search_tells_where_somebody_is() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    home.register("sleeper");
    let mut bob = home.start(&["--user", "alice", "listen", "--json"]);
    let port = bob.expect_event("ready")["port"].clone();
    home.register("carol");
    let found = home.run(&["--user", "carol", "search", "ALICE", "--json"]).expect_code(0).json();
    let key = &found["key"];
    assert_eq!(found, json!({ "username": "alice", "ip": "127.0.0.1", "port": port, "key": key }));
    assert_eq!(key.as_str().map(str::len), Some(64));
    let shown = home.run(&["--user", "carol", "search", "alice"]).expect_code(0).out;
    assert_eq!(shown, format!("alice  127.0.0.1:{port}\n"));
    home.run(&["--user", "carol", "search", "sleeper"]).expect_code(5).expect_error("not online");
    home.run(&["--user", "carol", "search", "nobody"]).expect_code(5).expect_error("no such user");
}

#[test]
fn the_lists_are_for_people_and_for_programs() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let alice = |arguments: &[&str]| {
        let all: Vec<_> = ["--user", "alice"].iter().chain(arguments).copied().collect();
        home.run(&all).expect_code(0)
    };
    assert_eq!(alice(&["peers"]).out, "");
    assert_eq!(alice(&["peers", "--detailed", "--json"]).json(), json!([]));
    assert_eq!(alice(&["rooms", "--json"]).json(), json!([]));
    alice(&["create", "den", "a <cave>", "--capacity", "7"]);
    let _bob = home.listener("bob", &["--room", "den"]);

    assert_eq!(alice(&["peers"]).out, "bob\n");
    assert_eq!(alice(&["peers", "--json"]).json(), json!(["bob"]));
    let peers = alice(&["peers", "--detailed", "--json"]).json();
    assert_eq!((&peers[0]["username"], &peers[0]["room"]), (&json!("bob"), &json!("den")));
    assert_eq!(alice(&["rooms"]).out, "#den  2/7  a <cave>\n");
    assert_eq!(alice(&["rooms", "--names"]).out, "den\n");
    assert_eq!(alice(&["members", "den", "--json"]).json().as_array().map(Vec::len), Some(2));
    alice(&["leave", "den"]);
    home.run(&["--user", "alice", "members", "den"]).expect_code(1);
}

#[test]
fn a_message_is_sent_or_it_is_told_why_not() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    home.register("offline");
    let send = |to: &str| home.run(&["--user", "alice", "send", to, "are", "you", "<there>?"]);
    send("offline").expect_code(5).expect_error("not online");
    send("nobody").expect_code(5).expect_error("no such user");

    let mut open = home.listener("open", &[]);
    send("open").expect_code(0);
    let message = open.expect_event("message");
    assert_eq!((&message["from"], &message["text"]), (&json!("alice"), &json!("are you <there>?")));

    let _closed = home.listener("closed", &["--accept", "none"]);
    send("closed").expect_code(6).expect_error("declined");
    let _away = home.prompt("away");
    let late = home.run(&["--user", "alice", "send", "--timeout", "2", "away", "are you there?"]);
    late.expect_code(7).expect_error("in time");
}

#[test]
fn a_broadcast_needs_a_membership() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    home.register("bob");
    home.run(&["--user", "alice", "create", "den"]).expect_code(0);
    home.run(&["--user", "bob", "say", "den", "hello"]).expect_code(1).expect_error("not a member");
    home.run(&["--user", "alice", "say", "den", "hello"]).expect_code(0);
    home.run(&["--user", "bob", "join", "nowhere"]).expect_code(1).expect_error("no such room");
}

#[test]
fn a_registry_that_is_not_there_is_said_to_be() {
    let mut daemon = Daemon::start();
    let home = Home::new(&daemon);
    daemon.kill();
    home.run(&["--user", "alice", "register"])
        .expect_code(3)
        .expect_error(&format!("can't reach the registry {}", daemon.tcp));
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.run(&["peers"]).expect_code(2).expect_error("--user");
    home.run(&["--user", "alice", "dance"]).expect_code(2).expect_error("dance");
    home.start_unprepared(&["--user", "alice", "peers"])
        .finish()
        .expect_code(2)
        .expect_error("--password-file");
    home.run(&["--user", "alice", "--peer-port", "80", "peers"]).expect_code(2).expect_error("1024");
}

#[test]
fn a_reader_that_has_enough_ends_a_listener_and_nothing_has_failed() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    home.register("bob");
    let mut alice = home.start_unread(&["--user", "alice", "listen", "--json"]);
    let mut lines = BufReader::new(alice.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.contains("\"ready\""), "{line}");
    drop(lines);
    // Whether she has it is not the question.
    drop(home.run(&["--user", "bob", "send", "--timeout", "5", "alice", "hello"]));
    assert_eq!(wait(&mut alice).unwrap().code(), Some(0));
}
