//! Who may register (PROTOCOL.md §7.9).

use std::time::Duration;

use p2pchat_core::registry::{
    Config, ConnId, Invite, InviteDigest, PrefixLimits, Rate, Registration,
    store::{Read, StoreAnswer, StoreRequest, Write},
};
use p2pchat_proto::{Dialect, InviteCode, Reason};

use crate::{
    NO, OK, SECOND,
    world::{Question, World, digest},
};

/// 2033.
const UNIX: u64 = 2_000_000_000;
const WANTED: &str = "an invitation is needed to register here";
const NOT_GOOD: &str = "that invitation is not good, or not any more";

fn world(registration: Registration) -> World {
    let mut config = Config::default();
    config.registration = registration;
    let mut w = World::with(config);
    assert_eq!(w.registry.registration(), registration);
    w.registry.handle_calendar(w.now, UNIX);
    w
}

fn code(n: u8) -> InviteCode {
    InviteCode::from_random([n; 26])
}

fn invite(w: &mut World, n: u8, uses: u32, until: Option<u64>) -> Invite {
    let digest = InviteDigest::of(&code(n));
    let invite = Invite {
        digest,
        note: Some(Reason::new("for a friend").unwrap()),
        since: UNIX,
        until,
        uses,
        left: uses,
    };
    let request = StoreRequest::Write(Write::CreateInvite { invite: invite.clone(), limit: 3 });
    assert!(matches!(w.store.answer(&request), StoreAnswer::InviteCreated));
    invite
}

fn invites(w: &mut World) -> Vec<Invite> {
    match w.store.answer(&StoreRequest::Read(Read::Invites { after: None, count: 9 })) {
        StoreAnswer::Invites(invites) => invites,
        other => panic!("{other:?}"),
    }
}

/// A stream that has agreed on whatever the registry offers.
fn greet(w: &mut World, ip: &str, agreed: &str) -> ConnId {
    let conn = w.connect(ip);
    let reply = w.say(conn, "HELLO_P2P <1> <reason,invite>");
    assert_eq!(reply, [format!("HELLO_BACK {OK} <1> <{agreed}>")]);
    conn
}

fn register(user: &str, n: u8) -> String {
    format!("REGISTER <{user}> <{}> <{}>", digest(user), code(n).expose())
}

#[test]
fn an_open_registry_wants_no_invitation_and_passes_over_one() {
    let mut w = world(Registration::Open);
    invite(&mut w, 1, 1, None);
    let conn = greet(&mut w, "192.0.2.1", "reason");
    assert_eq!(w.say(conn, &register("alice", 9)), [format!("REGISTER {OK}")]);
    assert_eq!(w.say(conn, &register("bob", 1)), [format!("REGISTER {OK}")]);
    assert_eq!(invites(&mut w).len(), 1);
}

#[test]
fn a_closed_registry_takes_nobody_and_hashes_nothing() {
    let mut w = world(Registration::Closed);
    invite(&mut w, 1, 1, None);
    let conn = greet(&mut w, "192.0.2.1", "reason");
    w.hold = true;
    for line in [register("alice", 1), format!("REGISTER <alice> <{}>", digest("alice"))] {
        let why = "<this registry takes no registrations>";
        assert_eq!(w.say(conn, &line), [format!("REGISTER {NO} {why}")]);
    }
    assert!(w.held.is_empty());
}

#[test]
fn an_invitation_is_good_for_as_many_as_it_was_made_for_and_no_more() {
    let mut w = world(Registration::Invite);
    let made = invite(&mut w, 1, 2, None);
    let conn = greet(&mut w, "192.0.2.1", "reason,invite");
    let without = format!("REGISTER <alice> <{}>", digest("alice"));
    assert_eq!(w.say(conn, &without), [format!("REGISTER {NO} <{WANTED}>")]);
    assert_eq!(w.say(conn, &register("alice", 9)), [format!("REGISTER {NO} <{NOT_GOOD}>")]);
    assert_eq!(w.say(conn, &register("alice", 1)), [format!("REGISTER {OK}")]);
    assert_eq!(invites(&mut w), [Invite { left: 1, ..made.clone() }]);
    // A name that is taken, or looks taken, uses nothing up.
    for name in ["Alice", "аlice"] {
        assert!(w.say(conn, &register(name, 1))[0].starts_with("REGISTER <EXIST> <300>"), "{name}");
    }
    assert_eq!(invites(&mut w), [Invite { left: 1, ..made }]);
    let mut w = w.restarted();
    let conn = greet(&mut w, "192.0.2.1", "reason,invite");
    assert_eq!(w.say(conn, &register("bob", 1)), [format!("REGISTER {OK}")]);
    assert_eq!(w.say(conn, &register("carol", 1)), [format!("REGISTER {NO} <{NOT_GOOD}>")]);
    assert_eq!(invites(&mut w), []);
    assert_eq!(w.registry.stats().refused_invites, 1);
}

#[test]
fn of_two_who_register_with_one_invitation_at_once_exactly_one_gets_an_account() {
    for last_first in [false, true] {
        let mut w = world(Registration::Invite);
        invite(&mut w, 1, 1, None);
        let (a, b) =
            (greet(&mut w, "192.0.2.1", "reason,invite"), greet(&mut w, "192.0.2.2", "reason,invite"));
        w.hold = true;
        w.say(a, &register("alice", 1));
        w.say(b, &register("bob", 1));
        // Both have been found good before either is used.
        w.release(0);
        w.release(0);
        assert!(w.held.iter().all(|(_, question)| matches!(question, Question::Hash(_))));
        while !w.held.is_empty() {
            w.release(if last_first { w.held.len() - 1 } else { 0 });
        }
        let mut replies = [w.heard(a), w.heard(b)].concat();
        replies.sort();
        assert_eq!(replies, [format!("REGISTER {NO} <{NOT_GOOD}>"), format!("REGISTER {OK}")]);
    }
}

#[test]
fn a_wrong_code_costs_no_hash_and_counts_as_a_registration() {
    let mut config = Config::default();
    config.registration = Registration::Invite;
    config.prefixes = PrefixLimits::NONE;
    config.prefixes.registrations = Rate::new(3, 3_600 * SECOND);
    let mut w = World::with(config);
    invite(&mut w, 1, 9, None);
    let conn = greet(&mut w, "192.0.2.1", "reason,invite");
    w.hold = true;
    for _ in 0..3 {
        w.say(conn, &register("alice", 9));
        assert!(matches!(w.held[..], [(_, Question::Store(StoreRequest::Read(Read::Invite { .. })))]));
        w.release(0);
        assert!(w.held.is_empty());
        assert_eq!(w.heard(conn), [format!("REGISTER {NO} <{NOT_GOOD}>")]);
    }
    let refused = w.say(conn, &register("alice", 1));
    assert!(refused[0].contains("too many accounts are asked for where you are"), "{refused:?}");
    assert!(w.held.is_empty());
}

#[test]
fn an_invitation_ends_at_its_time_by_the_calendar_whatever_the_machine_was_doing() {
    let mut w = world(Registration::Invite);
    invite(&mut w, 1, 9, Some(UNIX + 60));
    let conn = greet(&mut w, "192.0.2.1", "reason,invite");
    w.wait(59 * SECOND);
    assert_eq!(w.say(conn, &register("alice", 1)), [format!("REGISTER {OK}")]);
    // It is good when the password is about to be hashed, and not when the account is written.
    w.hold = true;
    w.say(conn, &register("bob", 1));
    w.release(0);
    w.wait(Duration::from_secs(1));
    w.hold = false;
    w.release(0);
    assert_eq!(w.heard(conn), [format!("REGISTER {OK}")], "it was good when it was given");
    assert_eq!(w.say(conn, &register("carol", 1)), [format!("REGISTER {NO} <{NOT_GOOD}>")]);
    // The calendar was wrong.
    w.registry.handle_calendar(w.now, UNIX);
    assert_eq!(w.say(conn, &register("carol", 1)), [format!("REGISTER {OK}")]);
    w.registry.handle_calendar(w.now, UNIX + 31_536_000);
    assert_eq!(w.say(conn, &register("dave", 1)), [format!("REGISTER {NO} <{NOT_GOOD}>")]);
}

#[test]
fn who_knows_of_no_invitations_is_told_that_one_is_needed() {
    let mut w = world(Registration::Invite);
    invite(&mut w, 1, 9, None);
    let base = w.greet("192.0.2.1");
    assert_eq!(w.say(base, &register("alice", 1)), [format!("REGISTER {NO}")]);
    let prototype = w.connect("192.0.2.2");
    w.is_prototype(prototype);
    w.registry.handle_dialect(prototype, Dialect::Prototype);
    w.say(prototype, "HELLO_P2P");
    assert_eq!(w.say(prototype, &register("alice", 1)), [format!("REGISTER {NO}")]);
    assert_eq!(invites(&mut w).len(), 1);
}

#[test]
fn a_revoked_invitation_is_good_no_longer_and_there_are_no_more_than_allowed() {
    let mut w = world(Registration::Invite);
    let first = invite(&mut w, 1, 9, None);
    invite(&mut w, 2, 9, Some(UNIX + 1));
    invite(&mut w, 3, 9, None);
    let conn = greet(&mut w, "192.0.2.1", "reason,invite");
    let mut revoke = |digest| w.store.answer(&StoreRequest::Write(Write::RevokeInvite { digest }));
    assert!(matches!(revoke(first.digest), StoreAnswer::InviteRevoked));
    assert!(matches!(revoke(first.digest), StoreAnswer::NoSuchInvite));
    assert_eq!(w.say(conn, &register("alice", 1)), [format!("REGISTER {NO} <{NOT_GOOD}>")]);
    invite(&mut w, 4, 9, None);
    let create = |w: &mut World, since| {
        let invite =
            Invite { digest: InviteDigest::of(&code(5)), note: None, since, until: None, uses: 1, left: 1 };
        w.store.answer(&StoreRequest::Write(Write::CreateInvite { invite, limit: 3 }))
    };
    assert!(matches!(create(&mut w, UNIX), StoreAnswer::TooManyInvites));
    // The second has expired by then, and is forgotten.
    assert!(matches!(create(&mut w, UNIX + 1), StoreAnswer::InviteCreated));
    assert_eq!(invites(&mut w).len(), 3);
}

#[test]
fn codes_are_not_in_what_is_stored_or_logged() {
    let mut w = world(Registration::Invite);
    let made = invite(&mut w, 1, 1, None);
    let message = p2pchat_proto::ToRegistry::Register {
        username: p2pchat_proto::Username::new("alice").unwrap(),
        password: p2pchat_proto::PasswordDigest::of_password("x"),
        invite: Some(code(1)),
    };
    let id = made.digest.id();
    assert_eq!(id.len(), 10);
    let shown = format!("{made:?} {message:?} {:?}", Write::RevokeInvite { digest: made.digest });
    assert!(shown.contains(&id) && !shown.contains(code(1).expose()), "{shown}");
    assert!(!format!("{:?}", w.store).contains(code(1).expose()));
}
