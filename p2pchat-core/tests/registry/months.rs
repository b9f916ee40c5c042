//! Half a year on the virtual clock: leases, tokens and bans by the same clock, and nothing left over.

use std::time::Duration;

use p2pchat_core::{
    Time,
    registry::{BanTarget, Config, PrefixLimits},
};
use p2pchat_proto::Username;

use crate::{
    NO, OK, SECOND,
    world::{World, login, token_in},
};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const DAYS: u32 = 183;

/// Sends keep-alives every minute with a lease of 2 minutes for so long.
fn live(w: &mut World, from: &str, users: &[&str], duration: Duration) {
    let end = w.now + duration;
    while w.now < end {
        for user in users {
            let answer = w.datagram(from, &format!("KEEP_ALIVE <{user}> <120>"));
            let renewed = answer.iter().any(|(_, line)| line.starts_with("KEEP_ALIVE_RESPONSE <SUCCESS>"));
            assert!(renewed, "{user} at {}: {answer:?}", w.now);
        }
        w.wait(Duration::from_secs(60));
    }
}

#[test]
fn half_a_year_passes_with_keep_alives_resumes_expiring_tokens_and_bans() {
    let mut config = Config::default();
    config.prefixes = PrefixLimits::NONE;
    let mut w = World::with(config);
    // A clock that has run for long already.
    w.now = Time::ZERO + 10_000 * DAY;
    let began = w.now;
    let (mut alice, mut token) = w.online_resume("alice");
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <9> <>");
    let bob = w.online_extended("bob");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    let (away, forgotten) = w.online_resume("carol");
    w.say(away, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.say(away, "ROOM_EXIT <carol> <den>");
    w.cut(away);
    w.register("mallory");
    let mallory: Username = "mallory".parse().unwrap();
    let ban = w.now + 100 * DAY;
    w.registry.ban(w.now, BanTarget::User(mallory.clone()), None, Some(ban));
    w.heard(bob);
    w.heard(alice);

    for day in 0..DAYS {
        live(&mut w, "192.0.2.1:700", &["alice", "bob"], DAY - SECOND * 60);
        // Each day she moves, and nobody notices; each week she stays for too long to come back by the token.
        if day % 8 == 7 {
            w.disconnect(alice);
            live(&mut w, "192.0.2.1:700", &["bob"], SECOND * 60);
            assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"], "day {day}");
            live(&mut w, "192.0.2.1:700", &["bob"], 7 * DAY);
            let conn = w.greet_resume("192.0.2.1");
            let told = w.say(conn, &format!("RESUME <alice> <{token}> <4000>"));
            assert_eq!(told, [format!("AUTH {NO} <that token is not good any more>")], "day {day}");
            token = token_in(&w.say(conn, &login("alice")));
            alice = conn;
            assert_eq!(w.heard(bob), ["USER_JOINED <den> <alice>"]);
        } else {
            let conn = w.greet_resume("192.0.2.1");
            let told = w.say(conn, &format!("RESUME <alice> <{token}> <4000>"));
            token = token_in(&told);
            assert_eq!(w.heard(alice), ["REPLACED <alice>"], "day {day}");
            alice = conn;
            live(&mut w, "192.0.2.1:700", &["alice", "bob"], SECOND * 60);
            assert_eq!(w.heard(bob), [""; 0], "day {day}");
        }
        let banned = w.registry.is_banned(w.now, &mallory);
        assert_eq!(banned, w.now < ban, "day {day}");
        let stats = w.registry.stats();
        assert_eq!((stats.connections, stats.sessions, stats.waiting, stats.operations), (2, 2, 0, 0));
    }
    assert!(w.now - began > DAYS * DAY);
    let (_, told) = w.resume("carol", &forgotten);
    assert_eq!(told, [format!("AUTH {NO} <that token is not good any more>")]);
    let conn = w.greet("192.0.2.9");
    assert_eq!(w.say(conn, &login("mallory")), [format!("AUTH {OK}")], "the ban is over");
    live(&mut w, "192.0.2.1:700", &["alice", "bob"], SECOND * 60);
    w.say(alice, "LOGOUT");
    w.wait(SECOND * 300);
    let stats = w.registry.stats();
    assert_eq!((stats.sessions, stats.waiting, w.registry.poll_timeout()), (0, 0, None));
}

#[test]
fn at_the_end_of_time_nothing_wraps() {
    let mut w = World::new();
    w.now = Time::from_micros(u64::MAX - 25_000_000);
    let (alice, token) = w.online_resume("alice");
    w.cut(alice);
    w.wait(SECOND * 5);
    let (alice, _) = w.resume("alice", &token);
    w.datagram("192.0.2.2:700", "KEEP_ALIVE <alice> <120>");
    w.wait(SECOND * 15);
    assert!(!w.is_closed(alice));
    assert!(w.registry.has_session(alice));
}
