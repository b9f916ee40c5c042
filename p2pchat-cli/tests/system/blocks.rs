//! Blocking, as the people at the keyboard see it.

use crate::{
    client::{Home, open_chat},
    daemon::Daemon,
};

#[test]
fn blocked_who_is_in_a_chat_hears_no_more_and_is_not_told() {
    let daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let (mut alice, mut bob) = (at_alice.prompt("alice"), at_bob.prompt("bob"));
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    bob.type_line("/join den");
    bob.out.expect("joined #den");
    alice.out.expect("bob");
    open_chat(&mut alice, "alice", &mut bob, "bob");
    alice.type_line("/blocked");
    alice.out.expect("nobody is blocked");
    alice.type_line("/block Bob");
    alice.out.expect("Bob is blocked: you hear nothing of them, and they aren't told");
    bob.out.expect("the chat with alice has ended: hung up");
    alice.type_line("/blocked");
    alice.out.expect("blocked: Bob");
    alice.type_line("/chat bob");
    alice.out.expect("bob: you have blocked that user");

    bob.type_line("/chat alice");
    bob.out.expect("alice: that user can't be reached");
    bob.type_line("/msg #den is anybody there?");
    bob.out.expect("not delivered to alice: that user can't be reached");
    // What isn't said to him is no news to her.
    alice.type_line("/msg #den nobody but me");
    alice.type_line("/unblock bob");
    alice.out.expect("bob is not blocked");
    alice.type_line("/blocked");
    alice.out.expect("nobody is blocked");
    assert!(!alice.out.so_far().contains("is anybody there?"), "{}", alice.out.so_far());
    assert!(!alice.out.so_far().contains("not delivered"), "{}", alice.out.so_far());
    assert!(!bob.out.so_far().contains("block"), "{}", bob.out.so_far());
    alice.finish().expect_code(0);
    bob.finish().expect_code(0);
}

#[test]
fn blocked_by_a_script_somebody_is_not_heard_by_the_program_that_runs() {
    let daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let mut alice = at_alice.listener("alice", &[]);
    at_bob.register("bob");
    let send = ["--user", "bob", "send", "alice", "psst"];
    at_bob.run(&send).expect_code(0);
    assert_eq!(alice.expect_event("message")["text"], "psst");
    // No account is asked for, since no registry is.
    at_alice.run(&["block", "bob"]).expect_code(0);
    assert_eq!(at_alice.run(&["blocked"]).expect_code(0).out, "bob\n");
    assert_eq!(at_alice.run(&["blocked", "--json"]).expect_code(0).out, "[\"bob\"]\n");
    at_bob.run(&send).expect_code(6).expect_error("can't be reached");
    at_alice.run(&["unblock", "BOB"]).expect_code(0);
    assert_eq!(at_alice.run(&["blocked"]).expect_code(0).out, "");
    at_bob.run(&["--user", "bob", "send", "alice", "and again"]).expect_code(0);
    assert_eq!(alice.expect_event("message")["text"], "and again", "that is the next one");
    at_alice.run(&["block", "b<b"]).expect_code(2).expect_error("username");
}
