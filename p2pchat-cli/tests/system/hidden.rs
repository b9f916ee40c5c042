//! A registry that keeps addresses to itself: what its users do is the same.

use serde_json::{Value, json};

use crate::{client::Home, daemon::Daemon, wire::Wire};

fn hiding() -> Daemon {
    Daemon::with(&["--addresses", "contacts"])
}

#[test]
fn where_somebody_is_is_told_to_members_of_a_shared_room_alone() {
    let daemon = hiding();
    let home = Home::new(&daemon);
    home.register("alice");
    let _bob = home.listener("bob", &[]);
    let found = home.run(&["--user", "alice", "search", "bob", "--json"]).expect_code(0).json();
    assert_eq!(found, json!({ "username": "bob", "ip": null, "port": null, "key": null }));
    assert_eq!(home.run(&["--user", "alice", "search", "bob"]).expect_code(0).out, "bob  (address hidden)\n");
    let peers = home.run(&["--user", "alice", "peers", "--detailed"]).expect_code(0).out;
    assert_eq!(peers, "bob  (address hidden)\n");

    home.run(&["--user", "alice", "create", "den"]).expect_code(0);
    let _carol = home.listener("carol", &["--room", "den"]);
    let found = home.run(&["--user", "alice", "search", "carol", "--json"]).expect_code(0).json();
    assert_eq!((&found["ip"], found["port"].is_u64()), (&json!("127.0.0.1"), true));
    // What is said there arrives as ever.
    home.run(&["--user", "alice", "say", "den", "hello"]).expect_code(0);
}

#[test]
fn a_message_to_somebody_hidden_arrives_once_they_accept_and_not_if_they_decline() {
    let daemon = hiding();
    let home = Home::new(&daemon);
    home.register("alice");
    let mut bob = home.listener("bob", &[]);
    home.run(&["--user", "alice", "send", "bob", "are you there?"]).expect_code(0);
    let asked = bob.expect_event("chat_requested");
    assert_eq!((&asked["from"], &asked["address"]), (&json!("alice"), &Value::Null));
    let message = bob.expect_event("message");
    assert_eq!((&message["from"], &message["text"]), (&json!("alice"), &json!("are you there?")));

    let _closed = home.listener("closed", &["--accept", "none"]);
    home.run(&["--user", "alice", "send", "closed", "hello"]).expect_code(6).expect_error("declined");
    let _away = home.prompt("away");
    let late = home.run(&["--user", "alice", "send", "--timeout", "2", "away", "hello"]);
    late.expect_code(7).expect_error("in time");
    // A peer of the base protocol shows no address and can't be asked.
    let _old = Wire::online(&daemon, "old");
    home.run(&["--user", "alice", "send", "old", "hello"]).expect_code(6).expect_error("address is hidden");
}

#[test]
fn two_at_the_prompt_chat_as_ever() {
    let daemon = hiding();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let (mut alice, mut bob) = (at_alice.prompt("alice"), at_bob.prompt("bob"));
    alice.type_line("/search bob");
    alice.out.expect("bob  (address hidden)");
    alice.type_line("/chat bob");
    bob.out.expect("alice wants to chat");
    bob.type_line("/accept");
    bob.out.expect("what you type now goes to alice");
    alice.out.expect("what you type now goes to bob");
    alice.type_line("hello bob");
    bob.out.expect("hello bob");
    bob.type_line("hello alice");
    alice.out.expect("hello alice");
    alice.type_line("/search bob");
    alice.out.expect("bob  127.0.0.1:");
}
