//! Session tokens: who gets one, what it is good for, and when no longer (PROTOCOL.md §7.5).

use std::time::Duration;

use p2pchat_core::registry::{
    Ban, BanTarget, Config, Rate, TokenAnswer,
    store::{ReadTransaction, StoreAnswer, StoreError, StoreRequest, Table, Write},
};
use p2pchat_proto::{SessionToken, Username};

use crate::{
    NO, OK, SECOND,
    world::{Question, World, digest, login, token_in},
};

const NOT_GOOD: &str = "AUTH <FAILURE> <404> <that token is not good any more>";
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Has the token refused on a new stream.
fn is_refused(w: &mut World, user: &str, token: &str) {
    let (conn, told) = w.resume(user, token);
    assert_eq!(told, [NOT_GOOD]);
    assert!(!w.is_closed(conn));
    w.cut(conn);
}

#[test]
fn a_token_is_given_out_where_resume_was_agreed_on_and_nowhere_else() {
    let mut w = World::new();
    let (_, token) = w.online_resume("alice");
    assert_eq!(token.len(), 64);
    w.register("bob");
    let bob = w.greet_extended("192.0.2.1");
    assert_eq!(w.say(bob, &login("bob")), [format!("AUTH {OK}")]);
    let (_, other) = w.online_resume("carol");
    assert_ne!(token, other);
}

#[test]
fn a_session_goes_on_by_its_token_without_a_password_hash_and_at_the_new_place() {
    let mut w = World::new();
    let (first, token) = w.online_resume("Alice");
    w.say(first, "CREATE_CHAT_ROOM <den> <> <5> <>");
    let hashed = w.hashed;
    w.cut(first);
    let conn = w.greet_resume("2001:db8::7");
    let told = w.say(conn, &format!("RESUME <ALICE> <{token}> <5000>"));
    assert_ne!(token_in(&told), token);
    assert_eq!(told[1..], ["USER_JOINED <den> <Alice>"], "its rooms, as after a login");
    assert_eq!(w.hashed, hashed);
    let bob = w.online("bob");
    let found = w.say(bob, "SEARCH_USER <alice>");
    assert_eq!(found, [format!("SEARCH_USER_RESPONSE {OK} <Alice> <5000> <2001:db8::7>")]);
    assert_eq!(w.registry.stats().resumed, 1);
}

#[test]
fn each_use_replaces_the_token_and_the_used_one_stays_good_until_the_new_one_is_used() {
    let mut w = World::new();
    let (_, first) = w.online_resume("alice");
    let second = token_in(&w.resume("alice", &first).1);
    // The answer may have been lost.
    let third = token_in(&w.resume("alice", &first).1);
    is_refused(&mut w, "alice", &second);
    let fourth = token_in(&w.resume("alice", &third).1);
    is_refused(&mut w, "alice", &first);
    // As long as nobody used the fourth, the third is good.
    let fifth = token_in(&w.resume("alice", &third).1);
    is_refused(&mut w, "alice", &fourth);
    let sixth = token_in(&w.resume("alice", &fifth).1);
    let (_, told) = w.resume("alice", &sixth);
    assert_ne!(token_in(&told), sixth);
    for old in [first, second, third, fourth, fifth] {
        is_refused(&mut w, "alice", &old);
    }
}

#[test]
fn whatever_is_wrong_with_a_token_gets_one_answer_and_the_stream_goes_on_to_a_login() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    let (_, bobs) = w.online_resume("bob");
    w.cut(alice);
    w.wait(20 * SECOND);
    let wrong = "0".repeat(64);
    let conn = w.greet_resume("192.0.2.2");
    for (user, token) in [("alice", &wrong), ("alice", &bobs), ("nobody", &token), ("nobody", &wrong)] {
        assert_eq!(w.say(conn, &format!("RESUME <{user}> <{token}>")), [NOT_GOOD], "{user}");
    }
    assert_eq!(w.registry.stats().refused_tokens, 4);
    token_in(&w.say(conn, &login("alice")));
}

#[test]
fn without_the_capability_a_token_is_refused_and_not_used() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    w.cut(alice);
    let plain = w.greet("192.0.2.2");
    assert_eq!(w.say(plain, &format!("RESUME <alice> <{token}>")), [format!("AUTH {NO}")]);
    let fresh = w.connect("192.0.2.2");
    assert_eq!(w.say(fresh, &format!("RESUME <alice> <{token}>")), [format!("AUTH {NO}")], "no hello yet");
    token_in(&w.resume("alice", &token).1);
}

#[test]
fn in_a_live_session_resume_is_answered_as_a_login_is() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    let own = w.say(alice, &format!("RESUME <ALICE> <{token}>"));
    assert_eq!(own, ["AUTH <ONLINE> <300> <you are logged in already>"]);
    let other = w.say(alice, &format!("RESUME <bob> <{token}>"));
    assert_eq!(other, [format!("AUTH {NO} <this connection is logged in as alice; log out first>")]);
    assert!(!w.is_closed(alice));
}

#[test]
fn a_token_that_cannot_be_checked_now_ends_the_stream_and_is_good_later() {
    for fails in ["busy", "corrupt", "no randomness", "too much to do"] {
        let mut config = Config::default();
        config.operations = 2;
        let mut w = World::with(config);
        let (alice, token) = w.online_resume("alice");
        w.cut(alice);
        let conn = w.greet_resume("192.0.2.2");
        w.hold = true;
        if fails == "too much to do" {
            for _ in 0..2 {
                let other = w.greet("192.0.2.9");
                w.say(other, &login("alice"));
            }
        }
        let mut told = w.say(conn, &format!("RESUME <alice> <{token}>"));
        match fails {
            "too much to do" => assert_eq!(w.held.len(), 2, "nothing more was asked"),
            "no randomness" => {
                let (op, _) = w.held.pop().unwrap();
                w.registry.handle_token(w.now, op, TokenAnswer::Failed);
            }
            _ => {
                w.release(0);
                let (op, _) = w.held.pop().unwrap();
                let error = if fails == "busy" { StoreError::Busy } else { StoreError::Corrupt("account") };
                w.registry.handle_stored(w.now, op, StoreAnswer::Failed(error));
            }
        }
        w.run();
        told.extend(w.heard(conn));
        w.hold = false;
        assert!(told.len() == 1 && told[0].starts_with("HELLO_BACK <FAILURE> <404>"), "{fails}: {told:?}");
        assert!(w.is_closed(conn), "{fails}");
        while !w.held.is_empty() {
            w.release(0);
        }
        if fails != "too much to do" {
            token_in(&w.resume("alice", &token).1);
        }
    }
}

#[test]
fn wrong_tokens_are_no_password_guesses_and_are_held_up_as_requests_are() {
    let mut config = Config::default();
    (config.prefixes.failed_logins, config.prefixes.account_failures) =
        (Rate::new(1, DAY), Rate::new(1, DAY));
    let mut w = World::with(config);
    w.register("alice");
    let conn = w.greet_resume("192.0.2.2");
    let resume = format!("RESUME <alice> <{}>", "0".repeat(64));
    let mut tried = 0;
    while w.registry.held_until(w.now, conn).is_none() {
        assert_eq!(w.say(conn, &resume), [NOT_GOOD]);
        tried += 1;
    }
    assert_eq!(tried, 200 - 1, "hello was one more");
    assert_eq!(w.hashed, 1, "the registration's");
    w.wait(10 * SECOND);
    token_in(&w.say(conn, &login("alice")));
}

#[test]
fn logout_revokes_the_token_durably_before_the_stream_is_closed() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    w.hold = true;
    assert_eq!(w.say(alice, "LOGOUT"), [""; 0]);
    assert!(!w.is_closed(alice));
    let [(_, Question::Store(StoreRequest::Write(Write::RevokeTokens { .. })))] = w.held.as_slice() else {
        panic!("{:?}", w.held);
    };
    w.hold = false;
    w.release(0);
    assert!(w.is_closed(alice));
    is_refused(&mut w, "alice", &token);
}

#[test]
fn who_logs_out_and_hangs_up_at_once_is_offline_and_the_token_is_gone() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    w.hold = true;
    w.say(alice, "LOGOUT");
    w.cut(alice);
    assert_eq!((w.registry.stats().sessions, w.registry.stats().waiting), (0, 0));
    w.hold = false;
    w.release(0);
    is_refused(&mut w, "alice", &token);
}

#[test]
fn a_logout_that_can_not_be_made_durable_says_so_and_ends_the_session_all_the_same() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    w.disk_full = true;
    let why = "<the registry can't do that now; its operator knows why>";
    assert_eq!(w.say(alice, "LOGOUT"), [format!("HELLO_BACK {NO} {why}")]);
    assert!(w.is_closed(alice));
    assert_eq!(w.registry.stats().sessions, 0);
    w.disk_full = false;
    token_in(&w.resume("alice", &token).1);
}

#[test]
fn a_login_replaces_the_token_or_revokes_it_and_one_that_is_refused_leaves_it() {
    let mut w = World::new();
    let (alice, first) = w.online_resume("alice");
    let other = w.greet_resume("192.0.2.3");
    assert_eq!(w.say(other, &login("alice")), ["AUTH <ONLINE> <300> <you are logged in elsewhere>"]);
    let wrong = format!("LOGIN <alice> <{}>", digest("wrong"));
    assert_eq!(w.say(other, &wrong), [format!("AUTH {NO} <wrong username or password>")]);
    w.cut(alice);
    let (alice, told) = w.resume("alice", &first);
    let second = token_in(&told);
    w.cut(alice);
    let third = token_in(&w.say(other, &login("alice")));
    for old in [&first, &second] {
        is_refused(&mut w, "alice", old);
    }
    w.cut(other);
    let plain = w.greet("192.0.2.3");
    assert_eq!(w.say(plain, &login("alice")), [format!("AUTH {OK}")]);
    is_refused(&mut w, "alice", &third);
}

#[test]
fn of_two_logins_at_once_one_gets_in_and_its_token_is_the_good_one() {
    for last_first in [false, true] {
        let mut w = World::new();
        w.register("alice");
        let streams = [w.greet_resume("192.0.2.1"), w.greet_resume("192.0.2.2")];
        w.hold = true;
        for conn in streams {
            w.say(conn, &login("alice"));
        }
        while !w.held.is_empty() {
            w.release(if last_first { w.held.len() - 1 } else { 0 });
        }
        w.hold = false;
        let told: Vec<_> = streams.iter().flat_map(|&conn| w.heard(conn)).collect();
        let in_it = told.iter().position(|line| line.starts_with("AUTH <SUCCESS>")).unwrap();
        assert_eq!(told[1 - in_it], "AUTH <ONLINE> <300> <you are logged in elsewhere>");
        token_in(&w.resume("alice", &token_in(&told[in_it..])).1);
    }
}

#[test]
fn a_token_expires_seven_days_after_it_was_given_out_or_as_configured() {
    for (days, lifetime) in [(7, None), (1, Some(DAY)), (30, Some(30 * DAY))] {
        let mut config = Config::default();
        if let Some(lifetime) = lifetime {
            config.token_lifetime = lifetime;
        }
        let mut w = World::with(config);
        let (alice, first) = w.online_resume("alice");
        w.cut(alice);
        w.wait(days * DAY - SECOND);
        let (alice, told) = w.resume("alice", &first);
        let second = token_in(&told);
        w.cut(alice);
        w.wait(SECOND);
        is_refused(&mut w, "alice", &first);
        w.wait(days * DAY - 2 * SECOND);
        let third = token_in(&w.resume("alice", &second).1);
        w.wait(days * DAY);
        is_refused(&mut w, "alice", &third);
    }
}

#[test]
fn with_a_lifetime_of_zero_resume_is_not_offered() {
    let mut config = Config::default();
    config.token_lifetime = Duration::ZERO;
    let mut w = World::with(config);
    w.register("alice");
    let conn = w.connect("192.0.2.1");
    let reply = w.say(conn, "HELLO_P2P <1> <reason,roster,sender,resume>");
    assert_eq!(reply, [format!("HELLO_BACK {OK} <1> <reason,roster,sender>")]);
    assert_eq!(w.say(conn, &login("alice")), [format!("AUTH {OK}")]);
}

#[test]
fn a_token_outlasts_a_lost_lease_and_a_restart() {
    let mut w = World::new();
    let (alice, first) = w.online_resume("alice");
    w.wait(10 * SECOND);
    assert_eq!(w.heard(alice), ["TIMEOUT <alice>"]);
    let second = token_in(&w.resume("alice", &first).1);
    let mut w = w.restarted();
    let hashed = w.hashed;
    let third = token_in(&w.resume("alice", &second).1);
    let mut w = w.restarted();
    is_refused(&mut w, "alice", &first);
    token_in(&w.resume("alice", &third).1);
    assert_eq!(w.hashed, hashed);
}

#[test]
fn what_is_kept_of_a_token_does_not_tell_it() {
    let mut w = World::new();
    let (_, first) = w.online_resume("alice");
    let second = token_in(&w.resume("alice", &first).1);
    let mut records = 0;
    for &table in Table::ALL {
        let mut visit = |key: &[u8], value: &[u8]| {
            records += usize::from(table == Table::Tokens);
            for token in [&first, &second] {
                let bits: Vec<u8> =
                    (0..32).map(|n| u8::from_str_radix(&token[2 * n..][..2], 16).unwrap()).collect();
                for secret in [&bits[..], token.as_bytes()] {
                    let tells = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
                    assert!(!tells(key) && !tells(value), "{table:?}");
                }
            }
            true
        };
        w.store.scan(table, &[], &mut visit).unwrap();
    }
    assert_eq!(records, 1, "one record an account");
    let token = SessionToken::new(&first).unwrap();
    let answer = TokenAnswer::Fresh { token, unix_now: 0 };
    assert!(!format!("{answer:?}").contains(&first));
    let told = w.say(w.registry.session_of(w.now, &Username::new("alice").unwrap()).unwrap().conn, "LOGOUT");
    assert_eq!(told, [""; 0]);
    w.store.scan(Table::Tokens, &[], &mut |_, _| panic!("it is still there")).unwrap();
}

#[test]
fn a_ban_of_the_account_revokes_its_token_in_the_same_breath() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    let (_, bobs) = w.online_resume("bob");
    let target = BanTarget::User(Username::new("ALICE").unwrap());
    let ban = Ban { target: target.clone(), reason: None, since: 0, until: None };
    let answer = w.store.answer(&StoreRequest::Write(Write::Ban { ban, limit: 9 }));
    assert!(matches!(answer, StoreAnswer::Banned));
    w.registry.ban(w.now, target.clone(), None, None);
    w.run();
    assert!(w.is_closed(alice));
    assert_eq!((w.registry.stats().sessions, w.registry.stats().waiting), (1, 0));
    w.registry.unban(w.now, &target);
    is_refused(&mut w, "alice", &token);
    token_in(&w.resume("bob", &bobs).1);
}

#[test]
fn a_deleted_account_has_no_token_and_its_session_does_not_wait() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    let username = Username::new("alice").unwrap();
    w.cut(alice);
    let delete = StoreRequest::Write(Write::DeleteAccount { username: username.clone() });
    let StoreAnswer::Deleted { rooms, .. } = w.store.answer(&delete) else { panic!("it isn't deleted") };
    w.store.scan(Table::Tokens, &[], &mut |_, _| panic!("there is one")).unwrap();
    assert!(w.registry.handle_deleted(&username, rooms), "she was online");
    w.run();
    assert_eq!((w.registry.stats().sessions, w.registry.stats().waiting), (0, 0));
    is_refused(&mut w, "alice", &token);
}

#[test]
fn who_is_banned_gets_in_by_no_token_either() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    w.cut(alice);
    let conn = w.greet_resume("192.0.2.2");
    w.hold = true;
    w.say(conn, &format!("RESUME <alice> <{token}>"));
    w.release(0);
    // Both the store's answer and the ban are on their way.
    w.registry.ban(w.now, BanTarget::User(Username::new("alice").unwrap()), None, None);
    w.run();
    w.release(0);
    assert_eq!(w.heard(conn), [format!("AUTH {NO} <you are banned from this registry>")]);
    assert_eq!(w.registry.stats().sessions, 0);
}

#[test]
fn revoking_is_for_the_account_or_for_the_token_given_out_last() {
    let mut w = World::new();
    let (_, first) = w.online_resume("alice");
    let second = token_in(&w.resume("alice", &first).1);
    let digest =
        |token: &str| p2pchat_core::registry::store::TokenDigest::of(&SessionToken::new(token).unwrap());
    let mut revoke = |only| {
        let username = Username::new("Alice").unwrap();
        let answer = w.store.answer(&StoreRequest::Write(Write::RevokeTokens { username, only }));
        assert!(matches!(answer, StoreAnswer::TokenRevoked));
        let mut kept = false;
        w.store
            .scan(Table::Tokens, &[], &mut |_, _| {
                kept = true;
                true
            })
            .unwrap();
        kept
    };
    assert!(revoke(Some(digest(&first))));
    assert!(!revoke(Some(digest(&second))));
    assert!(!revoke(None), "there is nothing any more");
}

#[test]
fn a_store_that_can_not_write_lets_who_has_the_right_in_all_the_same() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    w.register("bob");
    w.cut(alice);
    w.disk_full = true;
    let (alice, told) = w.resume("alice", &token);
    assert_eq!(token_in(&told), token, "there can't be another, so it stays good");
    w.cut(alice);
    token_in(&w.resume("alice", &token).1);
    is_refused(&mut w, "alice", &"0".repeat(64));
    let bob = w.greet_resume("192.0.2.2");
    assert_eq!(w.say(bob, &login("bob")), [format!("AUTH {OK}")], "without a token");
    let plain = w.greet("192.0.2.2");
    w.say(bob, "LOGOUT");
    assert!(w.is_closed(bob), "without one there is nothing to be written");
    assert_eq!(w.say(plain, &login("bob")), [format!("AUTH {OK}")]);
    w.disk_full = false;
    assert_ne!(token_in(&w.resume("alice", &token).1), token);
}

#[test]
fn a_logout_of_a_session_that_began_while_the_store_could_not_write_leaves_no_token_good() {
    // By the token before the last, and by the password.
    for by_token in [true, false] {
        let mut w = World::new();
        let (alice, first) = w.online_resume("alice");
        let (again, told) = w.resume("alice", &first);
        let second = token_in(&told);
        w.cut(alice);
        w.cut(again);
        w.disk_full = true;
        let conn = match by_token {
            true => {
                let (conn, told) = w.resume("alice", &first);
                assert_eq!(token_in(&told), first);
                conn
            }
            false => {
                let conn = w.greet_resume("192.0.2.3");
                assert_eq!(w.say(conn, &login("alice")), [format!("AUTH {OK}")]);
                conn
            }
        };
        w.disk_full = false;
        assert_eq!(w.say(conn, "LOGOUT"), [""; 0]);
        assert!(w.is_closed(conn));
        for old in [&first, &second] {
            is_refused(&mut w, "alice", old);
        }
    }
}

#[test]
fn a_logout_while_the_store_can_not_write_says_so_also_to_who_was_given_no_token() {
    let mut w = World::new();
    let (alice, token) = w.online_resume("alice");
    w.cut(alice);
    w.disk_full = true;
    let conn = w.greet_resume("192.0.2.3");
    assert_eq!(w.say(conn, &login("alice")), [format!("AUTH {OK}")]);
    let why = "<the registry can't do that now; its operator knows why>";
    assert_eq!(w.say(conn, "LOGOUT"), [format!("HELLO_BACK {NO} {why}")]);
    assert!(w.is_closed(conn));
    w.disk_full = false;
    token_in(&w.resume("alice", &token).1);
}
