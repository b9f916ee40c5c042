//! Sessions that are taken over by a token or a password (PROTOCOL.md §7.5).

use p2pchat_core::registry::store::{StoreAnswer, StoreRequest, Write};

use crate::{
    NO, OK, SECOND,
    world::{Question, World, digest, login, token_in},
};

#[test]
fn a_good_token_takes_over_even_from_a_stream_that_lives_which_is_told_so_last() {
    let mut w = World::new();
    let (first, token) = w.online_resume("alice");
    let bob = w.online_extended("bob");
    w.say(first, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.heard(first);
    w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>");
    let (second, told) = w.resume("alice", &token);
    assert_eq!(w.heard(first), ["REPLACED <alice>"]);
    assert!(w.is_closed(first));
    assert_eq!(w.datagrams(), [], "REPLACED stands in place of TIMEOUT");
    assert_eq!(w.heard(bob), [""; 0]);
    // Keep-alives from where the older one was count no longer, and the new one's do.
    assert_eq!(w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>"), []);
    assert_eq!(w.datagram("192.0.2.2:700", "KEEP_ALIVE <alice> <10>").len(), 1);
    w.resume("alice", &token_in(&told));
    assert_eq!(w.heard(second), ["REPLACED <alice>"]);
}

#[test]
fn who_did_not_agree_on_resume_is_told_timeout_and_a_silent_one_who_did_replaced() {
    let mut w = World::new();
    let plain = w.online("alice");
    w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>");
    w.wait(4 * SECOND);
    let conn = w.greet_resume("192.0.2.2");
    token_in(&w.say(conn, &login("alice")));
    assert_eq!(w.heard(plain), ["TIMEOUT <alice>"]);
    assert_eq!(w.datagrams().len(), 1);
    w.wait(4 * SECOND);
    let plain = w.greet("192.0.2.3");
    assert_eq!(w.say(plain, &login("alice")), [format!("AUTH {OK}")]);
    assert_eq!(w.heard(conn), ["REPLACED <alice>"]);
}

#[test]
fn from_the_take_over_on_the_older_stream_changes_nothing_any_more() {
    let mut w = World::new();
    w.online_extended("host");
    let host = w.registry.session_of(w.now, &"host".parse().unwrap()).unwrap().conn;
    w.say(host, &format!("CREATE_CHAT_ROOM <den> <{}> <5> <>", digest("door")));
    w.say(host, "CREATE_CHAT_ROOM <attic> <> <5> <>");
    let (first, token) = w.online_resume("alice");
    w.hold = true;
    // One waits for a hash, and one behind it for its turn.
    w.say(first, &format!("JOIN_CHAT_ROOM <den> <{}> <increment>", digest("door")));
    w.release(0);
    w.say(first, "JOIN_CHAT_ROOM <attic> <> <increment>");
    let joining = w.held.pop().unwrap();
    w.hold = false;
    let (second, _) = w.resume("alice", &token);
    assert_eq!(w.heard(first), ["REPLACED <alice>"]);
    w.held.push(joining);
    w.release(0);
    w.say(first, "JOIN_CHAT_ROOM <attic> <> <increment>");
    w.say(first, "LOGOUT");
    w.disconnect(first);
    w.run();
    assert_eq!(w.heard(first), [""; 0]);
    assert_eq!(w.heard(second), [""; 0]);
    for room in ["den", "attic"] {
        let told = w.say(host, &format!("DISCOVER_PEERS <{room}>"));
        assert_eq!(told, [format!("PEER_LIST {OK} <{room}> <host>")]);
    }
    assert!(w.registry.has_session(second));
}

#[test]
fn a_logout_on_the_older_stream_does_not_revoke_what_the_take_over_was_given() {
    let mut w = World::new();
    let (first, token) = w.online_resume("alice");
    let second = w.greet_resume("192.0.2.2");
    w.hold = true;
    w.say(second, &format!("RESUME <alice> <{token}>"));
    w.release(0);
    w.say(first, "LOGOUT");
    assert!(matches!(
        w.held.as_slice(),
        [
            (_, Question::Store(StoreRequest::Write(Write::ResumeSession { .. }))),
            (_, Question::Store(StoreRequest::Write(Write::RevokeTokens { .. }))),
        ]
    ));
    w.hold = false;
    w.release(0);
    assert_eq!(w.heard(first), ["REPLACED <alice>"]);
    let next = token_in(&w.heard(second));
    w.release(0);
    assert!(w.registry.has_session(second));
    token_in(&w.resume("alice", &next).1);
}

#[test]
fn of_two_that_come_back_at_once_the_one_whose_token_is_good_stays_whichever_is_answered_first() {
    for last_first in [false, true] {
        let mut w = World::new();
        let (first, token) = w.online_resume("alice");
        w.cut(first);
        let streams = [w.greet_resume("192.0.2.2"), w.greet_resume("192.0.2.3")];
        w.hold = true;
        for conn in streams {
            w.say(conn, &format!("RESUME <alice> <{token}>"));
            w.release(w.held.len() - 1);
        }
        // The store does them in their order.
        let answers: Vec<_> = w
            .held
            .drain(..)
            .map(|(op, question)| match question {
                Question::Store(request) => (op, w.store.answer(&request)),
                other => panic!("{other:?}"),
            })
            .collect();
        w.hold = false;
        let in_order: Vec<_> = if last_first { answers.into_iter().rev().collect() } else { answers };
        for (op, answer) in in_order {
            w.registry.handle_stored(w.now, op, answer);
            w.run();
        }
        let (one, other) = (w.heard(streams[0]), w.heard(streams[1]));
        match last_first {
            false => assert_eq!(one[1..], ["REPLACED <alice>"]),
            true => assert_eq!(one, [format!("AUTH {NO} <that token is not good any more>")]),
        }
        assert!(w.registry.has_session(streams[1]));
        token_in(&w.resume("alice", &token_in(&other)).1);
    }
}

#[test]
fn a_token_that_was_not_looked_at_yet_keeps_no_login_out() {
    let mut w = World::new();
    w.register("alice");
    let (stranger, alice) = (w.greet_resume("192.0.2.66"), w.greet_resume("192.0.2.1"));
    w.hold = true;
    w.say(stranger, &format!("RESUME <alice> <{}>", "0".repeat(64)));
    w.release(0);
    assert!(matches!(
        w.held.as_slice(),
        [(_, Question::Store(StoreRequest::Write(Write::ResumeSession { .. })))]
    ));
    let resuming = w.held.pop().unwrap();
    w.hold = false;
    let token = token_in(&w.say(alice, &login("alice")));
    w.held.push(resuming);
    w.release(0);
    assert_eq!(w.heard(stranger), [format!("AUTH {NO} <that token is not good any more>")]);
    assert_eq!(w.heard(alice), [""; 0]);
    assert!(w.registry.has_session(alice));
    token_in(&w.resume("alice", &token).1);
}

#[test]
fn of_a_good_token_and_a_login_at_once_the_later_login_stays_whichever_is_answered_first() {
    for last_first in [false, true] {
        let mut w = World::new();
        let (first, token) = w.online_resume("alice");
        w.cut(first);
        let (back, other) = (w.greet_resume("192.0.2.2"), w.greet_resume("192.0.2.3"));
        w.hold = true;
        w.say(back, &format!("RESUME <alice> <{token}>"));
        w.release(0);
        let resuming = w.held.pop().unwrap();
        w.say(other, &login("alice"));
        // The account, the hash and the token.
        (0..3).for_each(|_| w.release(0));
        w.held.insert(0, resuming);
        // The store does them in their order.
        let mut answers: Vec<_> = w
            .held
            .drain(..)
            .map(|(op, question)| match question {
                Question::Store(request) => (op, w.store.answer(&request)),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(answers.len(), 2);
        w.hold = false;
        if last_first {
            answers.reverse();
        }
        for (op, answer) in answers {
            w.registry.handle_stored(w.now, op, answer);
            w.run();
        }
        let (resumed, logged_in) = (w.heard(back), w.heard(other));
        match last_first {
            false => assert_eq!(resumed[1..], ["REPLACED <alice>"]),
            true => assert_eq!(resumed, [format!("AUTH {NO} <that token is not good any more>")]),
        }
        assert!(w.registry.has_session(other));
        token_in(&w.resume("alice", &token_in(&logged_in)).1);
    }
}

#[test]
fn a_login_that_the_store_can_not_write_leaves_a_session_that_a_token_brought_back_meanwhile() {
    let mut w = World::new();
    let (first, token) = w.online_resume("alice");
    w.cut(first);
    let (back, other) = (w.greet_resume("192.0.2.2"), w.greet_resume("192.0.2.3"));
    w.hold = true;
    w.say(back, &format!("RESUME <alice> <{token}>"));
    w.release(0);
    let resuming = w.held.pop().unwrap();
    w.say(other, &login("alice"));
    (0..3).for_each(|_| w.release(0));
    w.held.insert(0, resuming);
    w.release(0);
    let next = token_in(&w.heard(back));
    w.disk_full = true;
    w.release(0);
    assert_eq!(w.heard(other), ["AUTH <ONLINE> <300> <you are logged in elsewhere>"]);
    (w.hold, w.disk_full) = (false, false);
    assert!(w.registry.has_session(back));
    token_in(&w.resume("alice", &next).1);
}

#[test]
fn a_logout_of_a_session_without_a_token_of_its_own_does_not_revoke_what_the_take_over_was_given() {
    let mut w = World::new();
    let (first, used) = w.online_resume("alice");
    let (again, told) = w.resume("alice", &used);
    let current = token_in(&told);
    w.cut(first);
    w.cut(again);
    w.disk_full = true;
    let (older, told) = w.resume("alice", &used);
    assert_eq!(token_in(&told), used);
    w.disk_full = false;
    let newer = w.greet_resume("192.0.2.3");
    w.hold = true;
    w.say(newer, &format!("RESUME <alice> <{current}>"));
    w.release(0);
    w.say(older, "LOGOUT");
    assert_eq!(w.held.len(), 2);
    w.hold = false;
    w.release(0);
    assert_eq!(w.heard(older), ["REPLACED <alice>"]);
    let next = token_in(&w.heard(newer));
    w.release(0);
    assert!(w.registry.has_session(newer));
    token_in(&w.resume("alice", &next).1);
}

#[test]
fn what_the_store_opened_before_a_kick_does_not_begin_after_it() {
    for by_token in [true, false] {
        let mut w = World::new();
        let (first, token) = w.online_resume("alice");
        w.cut(first);
        let (back, stranger) = (w.greet_resume("192.0.2.2"), w.greet_resume("192.0.2.66"));
        w.hold = true;
        match by_token {
            true => {
                w.say(back, &format!("RESUME <alice> <{token}>"));
                w.release(0);
            }
            false => {
                w.say(back, &login("alice"));
                (0..3).for_each(|_| w.release(0));
            }
        }
        let (opening, question) = w.held.pop().unwrap();
        w.say(stranger, &format!("RESUME <alice> <{}>", "0".repeat(64)));
        w.release(0);
        // The store has let them in and then revoked their tokens; the news of the kick comes first.
        let Question::Store(request) = question else { panic!("{question:?}") };
        let opened = w.store.answer(&request);
        assert!(matches!(opened, StoreAnswer::Session(Some(_))));
        let alice = "alice".parse().unwrap();
        w.store.answer(&StoreRequest::Write(Write::RevokeTokens { username: alice, only: None }));
        assert!(w.registry.kick(&"ALICE".parse().unwrap(), "go to bed"));
        w.registry.handle_stored(w.now, opening, opened);
        w.run();
        assert_eq!(w.heard(back), [format!("HELLO_BACK {NO} <go to bed>")]);
        assert!(w.is_closed(back));
        assert_eq!((w.registry.stats().sessions, w.registry.stats().waiting), (0, 0));
        w.hold = false;
        w.release(0);
        assert_eq!(w.heard(stranger), [format!("AUTH {NO} <that token is not good any more>")]);
        assert_eq!(w.resume("alice", &token).1, [format!("AUTH {NO} <that token is not good any more>")]);
        // They may come back.
        token_in(&w.say(stranger, &login("alice")));
    }
}
