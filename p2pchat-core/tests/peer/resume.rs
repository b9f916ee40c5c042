//! Coming back by a token, and staying away when somebody else did (PROTOCOL.md §7.5).

use p2pchat_proto::{Capabilities, Dialect};

use crate::{
    solo::{ALL, SECOND, Solo, text, user},
    world::World,
};

fn token(n: u64) -> String {
    format!("{n:064x}")
}

fn success(n: u64) -> String {
    format!("AUTH <SUCCESS> <200> <{}>", token(n))
}

fn resume(n: u64) -> String {
    format!("> RESUME <alice> <{}> <4000>", token(n))
}

const LOGIN: &str = "> LOGIN <alice> <…> <4000>";

/// alice, logged in, with the first token.
fn alice() -> Solo {
    let mut s = Solo::new();
    s.log_in();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{ALL}"));
    s.registry(&success(1));
    s.did();
    s
}

/// Brings a lost link up to where the machine asks for its session; what it says.
fn back(s: &mut Solo, agreed: &str) -> String {
    assert!((0..301).any(|_| s.wait(SECOND / 10).contains(&"connect".to_owned())), "nothing is tried");
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{agreed}"));
    s.did().pop().unwrap()
}

fn cut(s: &mut Solo) {
    s.peer.handle_registry_closed(s.now, "cut".to_owned());
    assert_eq!(s.did(), ["lost: cut"]);
}

#[test]
fn a_token_brings_the_session_back_and_each_answer_brings_the_next() {
    let mut s = alice();
    for n in 1..9 {
        cut(&mut s);
        assert_eq!(back(&mut s, ALL), resume(n));
        s.registry(&success(n + 1));
        assert_eq!(s.did(), ["udp KEEP_ALIVE <alice> <10>", "reconnected"]);
    }
}

#[test]
fn a_refused_token_is_forgotten_and_the_password_is_tried_on_the_same_stream() {
    let mut s = alice();
    cut(&mut s);
    assert_eq!(back(&mut s, ALL), resume(1));
    s.registry("AUTH <FAILURE> <404> <that token is not good any more>");
    assert_eq!(s.did(), [LOGIN]);
    cut(&mut s);
    assert_eq!(back(&mut s, ALL), LOGIN, "it is not tried again");
    s.registry(&success(2));
    assert!(s.did().contains(&"reconnected".to_owned()));
    cut(&mut s);
    assert_eq!(back(&mut s, ALL), resume(2));
    s.registry("AUTH <FAILURE> <404>");
    s.did();
    s.registry("AUTH <FAILURE> <404> <wrong username or password>");
    assert_eq!(s.did(), ["logged out: wrong username or password"]);
}

#[test]
fn a_token_that_was_not_checked_or_not_answered_is_used_again() {
    let mut s = alice();
    cut(&mut s);
    assert_eq!(back(&mut s, ALL), resume(1));
    s.registry("HELLO_BACK <FAILURE> <404> <the registry is busy>");
    assert_eq!(s.did(), ["disconnect", "lost: the registry is busy"]);
    assert_eq!(back(&mut s, ALL), resume(1));
    cut(&mut s);
    assert_eq!(back(&mut s, ALL), resume(1));
    assert_eq!(s.wait(SECOND * 15)[..1], ["disconnect"], "no answer comes");
    s.did();
    assert_eq!(back(&mut s, ALL), resume(1));
}

#[test]
fn a_session_that_timed_out_comes_back_by_its_token_too() {
    let mut s = alice();
    s.registry("TIMEOUT <alice>");
    assert_eq!(s.did()[..1], ["disconnect"]);
    assert_eq!(back(&mut s, ALL), resume(1));
}

#[test]
fn where_resume_is_not_agreed_on_the_password_is_used() {
    let mut s = alice();
    cut(&mut s);
    assert_eq!(back(&mut s, " <1> <reason,roster,sender>"), LOGIN);
    s.registry("AUTH <SUCCESS> <200>");
    s.did();
    cut(&mut s);
    assert_eq!(back(&mut s, ALL), LOGIN, "that login had the token revoked");
}

#[test]
fn who_is_replaced_is_told_so_and_never_comes_back_by_itself() {
    let mut s = alice();
    s.peer.search(s.now, user("bob"));
    s.did();
    s.registry("REPLACED <alice>");
    assert_eq!(
        s.did(),
        [
            "logged out: you are logged in elsewhere, and the session goes on there",
            "disconnect",
            "failed: the registry went away before it answered",
        ]
    );
    s.peer.handle_registry_closed(s.now, "closed".to_owned());
    assert_eq!(s.wait(SECOND * 3_600), [""; 0]);
    assert_eq!((s.peer.username(), s.peer.poll_timeout()), (None, None));
    // The user may.
    s.log_in();
    assert_eq!(s.did(), ["connect"]);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{ALL}"));
    assert_eq!(s.did().pop().unwrap(), LOGIN, "with the password");
}

#[test]
fn who_is_replaced_on_the_way_back_stays_away_too() {
    let mut s = alice();
    cut(&mut s);
    assert_eq!(back(&mut s, ALL), resume(1));
    s.registry("REPLACED <bob>");
    assert_eq!(s.did(), [""; 0], "somebody else");
    s.registry("REPLACED <alice>");
    assert_eq!(s.did()[1..], ["disconnect"]);
    assert_eq!(s.wait(SECOND * 600), [""; 0]);
}

/// A request that was given up comes to the registry after the one that followed it.
#[test]
fn who_may_have_been_replaced_by_an_own_late_request_comes_back_once_and_no_more() {
    for password in [false, true] {
        let mut s = alice();
        cut(&mut s);
        assert_eq!(back(&mut s, ALL), resume(1));
        cut(&mut s);
        assert_eq!(back(&mut s, ALL), resume(1));
        s.registry(&success(2));
        s.did();
        s.registry("REPLACED <alice>");
        assert_eq!(s.did(), ["disconnect", "lost: the session has moved to another stream"]);
        assert_eq!(back(&mut s, ALL), resume(2));
        s.registry("AUTH <FAILURE> <404>");
        assert_eq!(s.did(), [LOGIN]);
        if password {
            s.registry(&success(3));
            s.did();
            s.registry("REPLACED <alice>");
        } else {
            s.registry("AUTH <ONLINE> <300>");
        }
        assert!(s.did()[0].starts_with("logged out: "), "it was somebody else");
        assert_eq!(s.wait(SECOND * 600), [""; 0]);
    }
}

#[test]
fn once_the_token_after_it_was_used_an_own_late_request_can_do_nothing() {
    let mut s = alice();
    cut(&mut s);
    back(&mut s, ALL);
    for n in 1..3 {
        cut(&mut s);
        assert_eq!(back(&mut s, ALL), resume(n));
        s.registry(&success(n + 1));
        s.did();
    }
    s.registry("REPLACED <alice>");
    assert!(s.did()[0].starts_with("logged out: "));
}

#[test]
fn a_token_ends_with_the_session_and_is_never_shown() {
    let mut s = alice();
    assert!(!format!("{:?}", s.peer).contains(&token(1)));
    s.peer.logout(s.now);
    s.did();
    s.peer.handle_registry_closed(s.now, "closed".to_owned());
    s.log_in();
    s.did();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{ALL}"));
    assert_eq!(s.did().pop().unwrap(), LOGIN);
}

#[test]
fn a_cut_link_is_noticed_by_nobody_else_and_chats_go_on_meanwhile() {
    let mut w = World::settled(Capabilities::all());
    w.cut_link(0);
    w.nodes[0].solo.peer.send(w.now, user("bob"), text("can you hear me?"));
    assert_eq!(w.told(1), ["alice: can you hear me?"]);
    w.wait(SECOND);
    assert_eq!(w.told(0), ["lost: cut", "ok Done", "reconnected"]);
    w.send(1, "alice", "you were never away");
    assert_eq!(w.told(0), ["bob: you were never away"]);
    assert_eq!(w.told(1), ["ok Done"]);
    assert_eq!(w.told(2), [""; 0]);
}

#[test]
fn everybody_comes_back_by_token_after_a_restart_of_the_registry() {
    let mut w = World::settled(Capabilities::all());
    let hashed = w.hashed;
    w.kill_registry();
    w.wait(SECOND * 60);
    w.restart_registry();
    w.wait(SECOND * 61);
    assert!(w.nodes.iter().all(|node| node.solo.peer.is_logged_in()));
    assert_eq!(w.hashed, hashed, "no password was needed");
}
