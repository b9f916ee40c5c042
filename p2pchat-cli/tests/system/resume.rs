//! Sessions that outlast their streams and the registry's process (PROTOCOL.md §7.5).

use std::{thread, time::Duration};

use crate::{
    DIGEST,
    client::{Home, PASSWORD_DIGEST},
    daemon::Daemon,
    wire::Wire,
};

const WRONG_TOKEN: &str = "AUTH <FAILURE> <404>";

/// The token in an answer to LOGIN or RESUME.
fn token(answer: &str) -> String {
    let token = answer.strip_prefix("AUTH <SUCCESS> <200> <").and_then(|rest| rest.strip_suffix('>'));
    token.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn login(user: &str) -> String {
    format!("LOGIN <{user}> <{DIGEST}> <4000>")
}

#[test]
fn a_token_outlasts_kill_9_and_brings_the_session_back() {
    let mut daemon = Daemon::start();
    let mut alice = Wire::extended(&daemon, "roster,resume");
    alice.sign_up("alice");
    let first = token(&alice.ask(&login("alice")));
    alice.create("den", 5);
    let mut bob = Wire::extended(&daemon, "resume");
    bob.sign_up("bob");
    let bobs = token(&bob.ask(&login("bob")));
    bob.say("LOGOUT");
    bob.expect_end();
    daemon.kill();

    let mut daemon = daemon.restart();
    let mut alice = Wire::extended(&daemon, "roster,resume");
    let second = token(&alice.ask(&format!("RESUME <alice> <{first}> <4000>")));
    assert_eq!(alice.hear(), "USER_JOINED <den> <alice>");
    let mut bob = Wire::extended(&daemon, "resume");
    assert_eq!(bob.ask(&format!("RESUME <bob> <{bobs}>")), WRONG_TOKEN, "its logout was acknowledged");
    daemon.kill();

    let daemon = daemon.restart();
    let mut alice = Wire::extended(&daemon, "resume");
    let third = token(&alice.ask(&format!("RESUME <alice> <{second}> <4000>")));
    let mut thief = Wire::extended(&daemon, "resume");
    assert_eq!(thief.ask(&format!("RESUME <alice> <{first}>")), WRONG_TOKEN, "it was replaced");
    assert_ne!(second, third);
}

#[test]
fn a_client_comes_back_after_kill_9_without_its_password() {
    let mut daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = home.prompt("alice");
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    daemon.kill();
    alice.out.expect("trying again in");
    let daemon = daemon.restart();
    alice.out.expect("back again");
    daemon.log.expect_anywhere("resumes=true");
    assert!(!daemon.log.has("resumes=false"), "{}", daemon.log);
}

#[test]
fn a_client_that_was_replaced_says_so_and_does_not_come_back() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = home.listener("alice", &[]);
    let mut elsewhere = Wire::extended(&daemon, "resume");
    // A client that stops keeps nothing alive.
    alice.signal("STOP");
    while elsewhere.ask(&format!("LOGIN <alice> <{PASSWORD_DIGEST}> <4000>")) == "AUTH <ONLINE> <300>" {
        thread::sleep(Duration::from_millis(100));
    }
    alice.signal("CONT");
    let over = alice.expect_event("logged_out");
    assert_eq!(over["replaced"], true);
    assert_eq!(over["reason"], "you are logged in elsewhere, and the session goes on there");
    alice.outcome().expect_code(4);
    elsewhere.expect_nothing_unasked();
}

#[test]
fn with_resume_days_0_no_token_is_given_out_and_sessions_end_with_their_streams() {
    let daemon = Daemon::with(&["--resume-days", "0"]);
    let mut alice = Wire::open(&daemon);
    let hello = alice.ask("HELLO_P2P <1> <reason,resume>");
    assert_eq!(hello, "HELLO_BACK <SUCCESS> <200> <1> <reason>");
    alice.sign_up("alice");
    alice.log_in("alice");
    let mut bob = Wire::online(&daemon, "bob");
    alice.close();
    let mut answer = bob.ask("SEARCH_USER <alice>");
    while answer.contains("<SUCCESS>") {
        answer = bob.ask("SEARCH_USER <alice>");
    }
    assert_eq!(answer, "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
}
