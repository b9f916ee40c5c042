//! Sessions that wait for their users (PROTOCOL.md §7.5).

use std::time::Duration;

use p2pchat_core::registry::{BanTarget, Config};
use p2pchat_proto::Username;

use crate::{
    OK, SECOND,
    world::{World, login, token_in},
};

const MILLI: Duration = Duration::from_millis(1);

fn name(name: &str) -> Username {
    Username::new(name).unwrap()
}

/// Alice, who has a token, and Bob, in one room.
fn pair(config: Config) -> (World, (p2pchat_core::registry::ConnId, String), p2pchat_core::registry::ConnId) {
    let mut w = World::with(config);
    let (alice, token) = w.online_resume("alice");
    let bob = w.online_extended("bob");
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.heard(alice);
    (w, (alice, token), bob)
}

fn keep_alive(w: &mut World, user: &str, seconds: u32) {
    w.datagram("192.0.2.1:700", &format!("KEEP_ALIVE <{user}> <{seconds}>"));
}

#[test]
fn who_comes_back_in_time_was_never_away_for_others() {
    let (mut w, (alice, token), bob) = pair(Config::default());
    w.wait(SECOND);
    w.cut(alice);
    w.wait(5 * SECOND);
    assert_eq!((w.registry.stats().connections, w.registry.stats().waiting), (1, 1));
    assert_eq!(w.say(bob, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <den> <alice> <bob>")]);
    assert_eq!(w.say(bob, "DISCOVER_PEERS <PARTIAL>"), [format!("PEER_LIST {OK} <alice>")]);
    let found = format!("SEARCH_USER_RESPONSE {OK} <alice> <4000> <192.0.2.1> <sender>");
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), [found]);
    let waiting = w.registry.session_of(w.now, &name("alice")).unwrap();
    assert!(waiting.waits);

    let (_, told) = w.resume("alice", &token);
    assert_eq!(told[1..], ["USER_JOINED <den> <alice>"]);
    let session = w.registry.session_of(w.now, &name("alice")).unwrap();
    assert_eq!((session.waits, session.online_for), (false, 6 * SECOND), "it is the same session");
    assert_eq!((w.registry.stats().connections, w.registry.stats().waiting), (2, 0));
    keep_alive(&mut w, "bob", 120);
    w.wait(9 * SECOND);
    assert_eq!(w.heard(bob), [""; 0], "nobody was told anything");
    w.wait(SECOND);
    assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"], "a lease that nobody renewed ends as any other");
}

#[test]
fn a_session_waits_for_what_is_left_of_its_lease_and_no_longer_than_the_limit() {
    for (lease, gone_after, waits) in [(10, 4, 6), (30, 1, 10), (30, 25, 5), (3, 1, 2)] {
        let (mut w, (alice, token), bob) = pair(Config::default());
        keep_alive(&mut w, "alice", lease);
        keep_alive(&mut w, "bob", 120);
        w.wait(gone_after * SECOND);
        w.cut(alice);
        w.wait(waits * SECOND - MILLI);
        assert_eq!(w.heard(bob), [""; 0], "{lease} {gone_after}");
        w.wait(MILLI);
        assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"], "{lease} {gone_after}");
        assert_eq!((w.registry.stats().sessions, w.registry.stats().waiting), (1, 0));
        // From now on it begins one as a login does.
        token_in(&w.resume("alice", &token).1);
        assert_eq!(w.heard(bob), ["USER_JOINED <den> <alice>"]);
    }
}

#[test]
fn the_limit_is_configured_and_zero_is_no_wait_at_all() {
    for (grace, waits) in [(Duration::from_secs(3), true), (Duration::ZERO, false)] {
        let mut config = Config::default();
        config.resume_grace = grace;
        let (mut w, (alice, _), bob) = pair(config);
        w.cut(alice);
        assert_eq!(w.heard(bob).is_empty(), waits);
        keep_alive(&mut w, "bob", 120);
        w.wait(3 * SECOND);
        assert_eq!(w.registry.stats().sessions, 1);
    }
}

#[test]
fn keep_alives_do_not_prolong_the_wait_and_get_no_answer() {
    let (mut w, (alice, _), bob) = pair(Config::default());
    keep_alive(&mut w, "bob", 120);
    w.cut(alice);
    for _ in 0..9 {
        w.wait(SECOND);
        assert_eq!(w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <120>"), []);
    }
    w.wait(SECOND);
    assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"]);
}

#[test]
fn a_session_without_a_token_ends_with_its_stream() {
    let (mut w, (alice, _), bob) = pair(Config::default());
    w.cut(bob);
    assert_eq!(w.heard(alice), ["USER_LOGOUT <bob>"]);
    assert_eq!(w.registry.stats().waiting, 0);
}

#[test]
fn a_session_that_the_registry_or_its_user_ends_does_not_wait() {
    for how in ["kick", "foreign", "logout", "patience", "network", "lease"] {
        let (mut w, (alice, _), bob) = pair(Config::default());
        keep_alive(&mut w, "bob", 120);
        match how {
            "kick" => assert!(w.registry.kick(&name("alice"), "go to bed")),
            "foreign" => {
                w.say(alice, "GET / HTTP/1.1");
            }
            "logout" => {
                w.say(alice, "LOGOUT");
            }
            "patience" => w.registry.give_up(alice, "too slow"),
            "network" => {
                let from_there = BanTarget::Subnet("192.0.2.0/24".parse().unwrap());
                assert_eq!(w.registry.ban(w.now, from_there, None, Some(w.now + SECOND)), 2);
            }
            _ => w.wait(10 * SECOND),
        }
        w.run();
        assert!(w.is_closed(alice), "{how}");
        w.disconnect(alice);
        assert_eq!(w.registry.stats().waiting, 0, "{how}");
        if how != "network" {
            assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"], "{how}");
        }
    }
}

#[test]
fn who_waits_is_kicked_and_banned_as_anybody() {
    for how in ["kick", "ban", "network"] {
        let (mut w, (alice, _), bob) = pair(Config::default());
        w.cut(alice);
        match how {
            "kick" => assert!(w.registry.kick(&name("alice"), "go to bed")),
            "ban" => assert_eq!(w.registry.ban(w.now, BanTarget::User(name("alice")), None, None), 1),
            _ => {
                let there = BanTarget::Subnet("192.0.2.1/32".parse().unwrap());
                assert_eq!(w.registry.ban(w.now, there, None, None), 2, "with Bob's");
            }
        }
        w.run();
        assert!(w.registry.session_of(w.now, &name("alice")).is_none(), "{how}");
        assert_eq!(w.registry.stats().waiting, 0, "{how}");
        assert_eq!(w.heard(bob).contains(&"USER_LOGOUT <alice>".to_owned()), how != "network", "{how}");
    }
}

#[test]
fn a_login_takes_a_session_that_waits_over_at_once() {
    let (mut w, (alice, old), bob) = pair(Config::default());
    w.cut(alice);
    let conn = w.greet_resume("192.0.2.9");
    let token = token_in(&w.say(conn, &login("alice")));
    assert_eq!(w.datagrams(), []);
    assert_eq!(w.heard(bob), ["USER_JOINED <den> <alice>"], "as after any take-over by a login");
    assert_eq!((w.registry.stats().sessions, w.registry.stats().waiting), (2, 0));
    assert_eq!(w.resume("alice", &old).1, ["AUTH <FAILURE> <404> <that token is not good any more>"]);
    token_in(&w.resume("alice", &token).1);
}

#[test]
fn what_was_asked_for_before_the_cut_and_changed_since_is_there_for_who_comes_back() {
    let (mut w, (alice, token), bob) = pair(Config::default());
    w.hold = true;
    w.say(alice, "CREATE_CHAT_ROOM <attic> <> <5> <>");
    w.cut(alice);
    w.hold = false;
    w.release(0);
    w.say(bob, "JOIN_CHAT_ROOM <attic> <> <increment>");
    assert_eq!(w.say(bob, "DISCOVER_PEERS <attic>"), [format!("PEER_LIST {OK} <attic> <alice> <bob>")]);
    let (_, told) = w.resume("alice", &token);
    assert_eq!(told[1..], ["USER_JOINED <den> <alice>", "USER_JOINED <attic> <alice>"]);
    assert_eq!(w.heard(bob), [""; 0]);
}

#[test]
fn no_more_wait_than_may_be_connected_and_they_keep_nobody_out() {
    let mut config = Config::default();
    config.connections = 2;
    let mut w = World::with(config);
    for user in ["alice", "bob", "carol"] {
        let (conn, _) = w.online_resume(user);
        w.cut(conn);
    }
    let stats = w.registry.stats();
    assert_eq!((stats.connections, stats.waiting, stats.sessions), (0, 2, 2));
    let streams = [w.greet("192.0.2.1"), w.greet("192.0.2.1")];
    assert!(w.registry.handle_connected(w.now, "192.0.2.1:1".parse().unwrap()).is_err());
    streams.into_iter().for_each(|conn| w.cut(conn));
    w.wait(10 * SECOND);
    let stats = w.registry.stats();
    assert_eq!((stats.connections, stats.waiting, stats.sessions, stats.operations), (0, 0, 0, 0));
    assert_eq!(w.registry.poll_timeout(), None, "nothing of them is left");
}

#[test]
fn a_registry_that_ends_has_nobody_wait() {
    let (mut w, (alice, _), bob) = pair(Config::default());
    w.registry.drain();
    w.cut(alice);
    assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"]);
    let (mut w, (alice, token), bob) = pair(Config::default());
    w.cut(alice);
    w.registry.disconnect_all();
    w.run();
    assert!(w.is_closed(bob));
    assert_eq!((w.registry.stats().sessions, w.registry.stats().waiting), (0, 0));
    assert_eq!(w.registry.poll_timeout(), None);
    token_in(&w.restarted().resume("alice", &token).1);
}
