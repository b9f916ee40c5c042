//! What the operator is told by number: each thing that happens is counted once, under its own name.

use p2pchat_core::registry::{BanTarget, Rate, Refused};
use p2pchat_proto::Username;

use crate::{
    NO, OK, SECOND,
    limits::limited,
    world::{World, digest},
};

fn login(user: &str, password: &str) -> String {
    format!("LOGIN <{user}> <{}>", digest(password))
}

#[test]
fn each_answer_to_a_login_or_a_registration_is_counted() {
    let mut w = World::new();
    let (first, second) = (w.greet("192.0.2.1"), w.greet("192.0.2.2"));
    let register = format!("REGISTER <alice> <{}>", digest("alice"));
    assert_eq!(w.say(first, &register), [format!("REGISTER {OK}")]);
    assert_eq!(w.say(first, &register), ["REGISTER <EXIST> <300>"]);
    assert_eq!(w.say(first, "REGISTER <a b> <x>"), [format!("REGISTER {NO}")]);
    assert_eq!(w.say(first, &login("alice", "wrong")), [format!("AUTH {NO}")]);
    assert_eq!(w.say(first, &login("alice", "alice")), [format!("AUTH {OK}")]);
    assert_eq!(w.say(second, &login("alice", "alice")), ["AUTH <ONLINE> <300>"]);
    let stats = w.registry.stats();
    assert_eq!((stats.registrations, stats.refused_names, stats.failed_registrations), (1, 1, 1));
    assert_eq!((stats.failed_logins, stats.logins, stats.refused_online), (1, 1, 1));
    assert_eq!((stats.requests, stats.malformed), (8, 1));
}

#[test]
fn each_refused_stream_is_counted_under_why() {
    let mut w = limited(|limits| {
        (limits.connections, limits.connects) = (2, Rate::new(3, 10 * SECOND));
    });
    let from = "192.0.2.1:50000".parse().unwrap();
    let [first, second] = ["192.0.2.1"; 2].map(|ip| w.connect(ip));
    let refused = w.registry.handle_connected(w.now, from);
    assert!(matches!(refused, Err(Refused::TooManyFromPrefix { .. })), "{refused:?}");
    w.disconnect(first);
    let third = w.connect("192.0.2.1");
    w.disconnect(third);
    let refused = w.registry.handle_connected(w.now, from);
    assert!(matches!(refused, Err(Refused::TooFast { .. })), "{refused:?}");
    w.registry.drain();
    assert_eq!(w.registry.handle_connected(w.now, from), Err(Refused::Draining));
    let stats = w.registry.stats();
    assert_eq!((stats.refused_crowds, stats.refused_rushes, stats.refused_draining), (1, 1, 1));
    assert!(w.registry.is_draining());
    w.disconnect(second);
    assert_eq!(w.registry.stats().connections, 0);
}

#[test]
fn keep_alives_lost_leases_open_questions_and_bans_are_counted() {
    let mut w = World::new();
    let alice = w.online("alice");
    w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>");
    assert_eq!((w.registry.stats().keep_alives, w.registry.stats().refused_datagrams), (1, 0));
    w.hold = true;
    w.say(alice, "SEARCH_USER <bob>");
    assert_eq!(w.registry.stats().operations, 1);
    w.hold = false;
    w.release(0);
    assert_eq!((w.registry.stats().operations, w.registry.stats().timed_out), (0, 0));
    w.wait(10 * SECOND);
    assert!(w.is_closed(alice));
    assert_eq!((w.registry.stats().timed_out, w.registry.stats().sessions), (1, 0));

    assert!(!w.registry.is_draining());
    for (user, bans) in [("bob", 1), ("carol", 2)] {
        w.registry.ban(w.now, BanTarget::User(Username::new(user).unwrap()), None, None);
        assert_eq!(w.registry.stats().bans, bans);
    }
    let conn = w.greet("192.0.2.3");
    assert_eq!(w.say(conn, &format!("REGISTER <bob> <{}>", digest("bob"))), [format!("REGISTER {NO}")]);
    assert_eq!(w.registry.stats().refused_banned, 1);
}
