//! Guessed passwords are stopped, on one account and across accounts, and no owner is locked out (PROTOCOL.md §9).

use p2pchat_core::registry::{HashAnswer, HashRequest, Rate};

use crate::{
    NO, OK, SECOND,
    limits::limited,
    world::{Question, World, digest},
};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Five wrong passwords an hour for each account.
fn world() -> World {
    let mut w = limited(|limits| limits.account_failures = Rate::new(5, HOUR));
    w.register("alice");
    w
}

/// The answer to one login on a stream of its own.
fn log_in(w: &mut World, from: &str, name: &str, password: &str) -> String {
    let conn = w.greet_extended(from);
    let reply = w.say(conn, &format!("LOGIN <{name}> <{}>", digest(password))).concat();
    w.disconnect(conn);
    reply
}

/// How many guesses from as many places are tried.
fn guess_from_everywhere(w: &mut World, name: &str, places: u32) -> u32 {
    let mut tried = 0;
    for n in 0..places {
        let from = format!("203.0.{}.{}", n / 256, n % 256);
        tried += u32::from(log_in(w, &from, name, "guess").starts_with("AUTH <FAILURE>"));
    }
    tried
}

#[test]
fn one_place_in_a_guess_from_everywhere_is_tried_a_few_times_and_then_not() {
    let mut w = world();
    assert_eq!(guess_from_everywhere(&mut w, "alice", 5), 5);
    let guesses: Vec<String> = (0..5).map(|_| log_in(&mut w, "198.51.100.1", "alice", "guess")).collect();
    let (wrong, refused) = guesses.split_at(3);
    assert!(
        wrong.iter().all(|reply| *reply == format!("AUTH {NO} <wrong username or password>")),
        "{wrong:?}"
    );
    let why = "<too many logins to that account have failed; try again in 1201 s>";
    assert_eq!(refused, [format!("HELLO_BACK {NO} {why}"), format!("HELLO_BACK {NO} {why}")]);
    assert_eq!(w.registry.stats().refused_account_logins, 2);
}

#[test]
fn an_owner_gets_in_while_the_whole_world_guesses_from_where_they_were_and_from_where_they_never_were() {
    let mut w = world();
    assert_eq!(log_in(&mut w, "192.0.2.1", "alice", "alice"), format!("AUTH {OK}"));
    for round in 0..20 {
        guess_from_everywhere(&mut w, "alice", 1_000);
        assert_eq!(
            log_in(&mut w, "192.0.2.1", "alice", "typo"),
            format!("AUTH {NO} <wrong username or password>")
        );
        assert_eq!(log_in(&mut w, "192.0.2.1", "alice", "alice"), format!("AUTH {OK}"), "at home");
        let elsewhere = format!("192.0.2.{}", 10 + round);
        assert_eq!(log_in(&mut w, &elsewhere, "alice", "alice"), format!("AUTH {OK}"), "on the road");
        w.wait(HOUR / 5);
    }
}

#[test]
fn an_owner_is_not_locked_out_by_who_guesses_at_other_accounts_beside_them() {
    let mut w = limited(|limits| limits.failed_logins = Rate::new(3, HOUR));
    w.register("alice");
    assert_eq!(log_in(&mut w, "192.0.2.1", "alice", "alice"), format!("AUTH {OK}"));
    for name in ["bob", "carol", "dave"] {
        assert_eq!(
            log_in(&mut w, "192.0.2.1", name, "guess"),
            format!("AUTH {NO} <wrong username or password>")
        );
    }
    let why = "<too many logins have failed where you are; try again in 1201 s>";
    assert_eq!(log_in(&mut w, "192.0.2.1", "erin", "guess"), format!("HELLO_BACK {NO} {why}"));
    assert_eq!(log_in(&mut w, "192.0.2.1", "alice", "alice"), format!("AUTH {OK}"));
}

#[test]
fn an_account_that_does_not_exist_is_throttled_like_one_that_does() {
    let (mut there, mut absent) = (world(), world());
    for n in 0..12 {
        let from = format!("198.51.100.{}", n / 6);
        assert_eq!(
            log_in(&mut there, &from, "alice", "guess"),
            log_in(&mut absent, &from, "nobody", "guess")
        );
    }
    assert_eq!(there.registry.stats(), absent.registry.stats());
    assert_eq!(there.registry.stats().refused_account_logins, 3);
}

#[test]
fn many_guesses_at_once_are_not_tried_before_the_first_has_failed() {
    let mut w = world();
    w.hold = true;
    for n in 0..50 {
        let conn = w.greet(&format!("2001:db8::{n}"));
        w.say(conn, &format!("LOGIN <alice> <{}>", digest("guess")));
    }
    assert_eq!(w.held.len(), 5 + 3, "an IPv6 network of /48 is one place");
}

#[test]
fn a_login_that_could_not_be_checked_does_not_count_as_failed() {
    let mut w = limited(|limits| {
        (limits.failed_logins, limits.account_failures) = (Rate::new(1, HOUR), Rate::new(1, HOUR));
    });
    w.register("alice");
    for answer in [HashAnswer::Busy, HashAnswer::Failed] {
        let conn = w.greet("192.0.2.1");
        w.hold = true;
        w.say(conn, &format!("LOGIN <alice> <{}>", digest("alice")));
        w.release(0);
        let (op, question) = w.held.remove(0);
        assert!(matches!(question, Question::Hash(_)));
        w.registry.handle_hashed(w.now, op, answer);
        w.run();
        w.hold = false;
        assert!(w.is_closed(conn));
    }
    let conn = w.greet("192.0.2.1");
    w.hold = true;
    w.say(conn, &format!("LOGIN <alice> <{}>", digest("alice")));
    w.disconnect(conn);
    w.release(0);
    assert!(w.held.is_empty(), "nobody waits for the answer, so nothing is compared");
    w.hold = false;
    assert_eq!(log_in(&mut w, "192.0.2.1", "alice", "alice"), format!("AUTH {OK}"));
}

#[test]
fn a_room_password_can_not_be_guessed_by_asking_often() {
    let mut w = world();
    let (owner, eve) = (w.online("owner"), w.online_extended("eve"));
    w.say(owner, &format!("CREATE_CHAT_ROOM <den> <{}> <5> <>", digest("secret")));
    let join = |password: &str| format!("JOIN_CHAT_ROOM <den> <{}> <increment>", digest(password));
    for n in 0..5 {
        assert_eq!(w.say(eve, &join(&n.to_string())), [format!("JOIN {NO} <wrong room password>")]);
    }
    let why = "<you gave too many wrong passwords; try again in 721 s>";
    assert_eq!(w.say(eve, &join("secret")), [format!("JOIN {NO} {why}")]);
    assert_eq!(w.registry.stats().refused_joins, 1);
    w.disconnect(eve);
    let eve = w.online_extended("eve");
    assert_eq!(w.say(eve, &join("secret")), [format!("JOIN {NO} {why}")], "another stream doesn't help");
    let bob = w.online("bob");
    assert_eq!(w.say(bob, &join("secret")), [format!("JOIN {OK}")], "the room isn't locked");
}

#[test]
fn a_prefix_that_asks_too_much_is_held_and_no_other_is() {
    let mut w = limited(|limits| limits.requests = Rate::new(20, 2 * SECOND));
    let (flood, beside, other) = (w.online("flood"), w.online("beside"), w.connect("192.0.2.7"));
    assert!(w.registry.held_until(w.now, flood).is_some(), "logins cost more");
    w.wait(3 * SECOND);
    assert_eq!(w.registry.held_until(w.now, flood), None);
    for _ in 0..20 {
        assert_eq!(w.say(flood, "DISCOVER_PEERS <PARTIAL>").len(), 1, "what was read is answered");
    }
    let until = w.now + SECOND / 10;
    assert_eq!(w.registry.held_until(w.now, flood), Some(until));
    assert_eq!(w.registry.held_until(w.now, beside), Some(until), "they are one prefix");
    assert_eq!(w.registry.held_until(w.now, other), None);
    assert_eq!(w.registry.held_until(until, flood), None);
    w.disconnect(flood);
    assert_eq!(w.registry.held_until(w.now, flood), None);
    assert!(w.registry.stats().held_requests >= 2);
}

#[test]
fn a_machine_that_is_written_out_while_a_room_password_is_compared_does_not_tell_its_hash() {
    let mut w = World::new();
    let (alice, bob) = (w.online("alice"), w.online("bob"));
    w.say(alice, &format!("CREATE_CHAT_ROOM <den> <{}> <5> <>", digest("door")));
    w.hold = true;
    w.say(bob, &format!("JOIN_CHAT_ROOM <den> <{}> <increment>", digest("door")));
    w.release(0);
    let [(_, Question::Hash(HashRequest::Verify { stored: Some(hash), .. }))] = w.held.as_slice() else {
        panic!("{:?}", w.held);
    };
    let written = format!("{:?}", w.registry);
    assert!(written.contains("JoinVerify"), "it waits for the verdict");
    assert!(!written.contains(&**hash) && !written.contains(&digest("door")));
}

#[test]
fn a_list_counts_as_more_requests_the_longer_it_is() {
    let mut w = limited(|limits| limits.requests = Rate::new(20, 2 * SECOND));
    let asker = w.online("asker");
    for n in 0..2_000 {
        let conn = w.online(&format!("user{n}"));
        if n < 1_000 {
            w.say(conn, &format!("CREATE_CHAT_ROOM <r{n}> <> <5> <>"));
        }
    }
    w.wait(5 * SECOND);
    assert_eq!(w.registry.held_until(w.now, asker), None);
    for _ in 0..6 {
        assert!(w.say(asker, "DISCOVER_PEERS <DETAILED>")[0].len() > 2_000);
    }
    w.say(asker, "SEARCH_USER <user7>");
    assert_eq!(w.registry.held_until(w.now, asker), None, "six of three, and one");
    assert!(w.say(asker, "DISCOVER_PEERS <PARTIAL>")[0].len() > 2_000);
    let until = w.now + SECOND * 3 / 10;
    assert_eq!(w.registry.held_until(w.now, asker), Some(until), "two too many, and one more to be");
    assert!(w.say(asker, "SHOW_ROOMS_LIST <PARTIAL>")[0].len() > 1_000);
    assert_eq!(w.registry.held_until(w.now, asker), Some(until + SECOND / 5), "rooms count alike");
}
