//! Who sees where others are (PROTOCOL.md §7.10).

use p2pchat_core::registry::{Addresses, Config, ConnId, PrefixLimits};
use p2pchat_proto::Dialect;

use crate::{
    NO, OK, SECOND,
    world::{World, digest},
};

const HIDDEN: &str = "<0> <0.0.0.0>";
const SEEN: &str = "<4000> <192.0.2.1>";

fn world() -> World {
    let mut config = Config::default();
    config.addresses = Addresses::Contacts;
    config.prefixes = PrefixLimits::NONE;
    World::with(config)
}

/// Logged in with whatever this registry offers.
fn online(w: &mut World, user: &str) -> ConnId {
    w.online_with(user, "reason,roster,sender,contact")
}

fn search(w: &mut World, conn: ConnId, user: &str) -> String {
    w.say(conn, &format!("SEARCH_USER <{user}>")).remove(0)
}

fn found(user: &str, address: &str, capabilities: &str) -> String {
    format!("SEARCH_USER_RESPONSE {OK} <{user}> {address}{capabilities}")
}

#[test]
fn a_registry_that_hides_nothing_offers_no_contact_and_refuses_to_pass_on() {
    let mut w = World::new();
    let conn = w.connect("192.0.2.1");
    let reply = w.say(conn, "HELLO_P2P <1> <reason,contact>");
    assert_eq!(reply, [format!("HELLO_BACK {OK} <1> <reason>")]);
    let alice = w.online_extended("alice");
    w.online("bob");
    assert!(w.say(alice, "CONTACT_REQUEST <bob>")[0].starts_with(&format!("CONTACT {NO} <")));
    assert!(search(&mut w, alice, "bob").contains(SEEN));
}

#[test]
fn an_address_is_shown_to_members_of_a_shared_room_and_to_nobody_else() {
    let mut w = world();
    let (alice, bob, carol) = (online(&mut w, "alice"), online(&mut w, "bob"), w.online("carol"));
    assert_eq!(search(&mut w, alice, "bob"), found("bob", HIDDEN, " <sender,contact>"));
    assert_eq!(search(&mut w, alice, "carol"), found("carol", HIDDEN, ""), "she can't be asked");
    assert_eq!(search(&mut w, carol, "bob"), found("bob", HIDDEN, ""), "she knows nothing of it");
    assert_eq!(search(&mut w, alice, "alice"), found("alice", SEEN, " <sender>"), "that is herself");
    let list = w.say(carol, "DISCOVER_PEERS <DETAILED>");
    assert_eq!(list, [format!("PEER_LIST {OK} <alice> <> {HIDDEN} , <bob> <> {HIDDEN}")]);
    // Who is online is told as ever.
    assert_eq!(w.say(carol, "DISCOVER_PEERS <PARTIAL>"), [format!("PEER_LIST {OK} <alice> , <bob>")]);

    w.say(carol, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    assert_eq!(search(&mut w, carol, "bob"), found("bob", SEEN, ""));
    assert_eq!(search(&mut w, bob, "carol"), found("carol", SEEN, ""));
    assert_eq!(search(&mut w, alice, "bob"), found("bob", HIDDEN, " <sender,contact>"));
    let list = w.say(carol, "DISCOVER_PEERS <DETAILED>");
    assert_eq!(list, [format!("PEER_LIST {OK} <alice> <> {HIDDEN} , <bob> <den> {SEEN}")]);
    w.say(bob, "ROOM_EXIT <bob> <den>");
    assert_eq!(search(&mut w, carol, "bob"), found("bob", HIDDEN, ""));
}

#[test]
fn the_prototypes_answers_stay_well_formed() {
    let mut w = world();
    online(&mut w, "bob");
    let conn = w.connect("192.0.2.9");
    w.is_prototype(conn);
    w.registry.handle_dialect(conn, Dialect::Prototype);
    w.say(conn, "HELLO_P2P");
    w.say(conn, &format!("REGISTER zoe {}", digest("zoe")));
    w.say(conn, &format!("LOGIN zoe {} 4278", digest("zoe")));
    assert_eq!(w.say(conn, "SEARCH_USER bob"), [format!("SEARCH_USER_RESPONSE {OK} 0.0.0.0:0")]);
    let list = w.say(conn, "DISCOVER_PEERS DETAILED zoe");
    assert_eq!(list, [format!("PEER_LIST {OK} bob (0.0.0.0:0)")]);
}

#[test]
fn who_is_asked_and_accepts_is_seen_and_sees_until_either_is_gone() {
    let mut w = world();
    let (alice, bob, carol) = (online(&mut w, "Alice"), online(&mut w, "bob"), online(&mut w, "carol"));
    assert_eq!(w.say(alice, "CONTACT_REQUEST <BOB>"), [format!("CONTACT {OK}")]);
    assert_eq!(w.heard(bob), ["CONTACT_REQUEST <Alice>"]);
    // Said again, it is nothing new.
    assert_eq!(w.say(alice, "CONTACT_REQUEST <bob>"), [format!("CONTACT {OK}")]);
    assert!(w.heard(bob).is_empty());
    assert!(search(&mut w, alice, "bob").contains(HIDDEN) && search(&mut w, bob, "alice").contains(HIDDEN));

    assert_eq!(w.say(bob, "CONTACT_RESPONSE <ACCEPT> <200> <alice>"), [format!("CONTACT {OK}")]);
    assert_eq!(w.heard(alice), ["CONTACT_RESPONSE <ACCEPT> <200> <bob>"]);
    assert_eq!(search(&mut w, alice, "bob"), found("bob", SEEN, " <sender>"));
    assert_eq!(search(&mut w, bob, "alice"), found("Alice", SEEN, " <sender>"));
    assert!(search(&mut w, carol, "bob").contains(HIDDEN), "that is between the two");
    // Who sees is told so at once.
    let told = w.say(alice, "CONTACT_REQUEST <bob>");
    assert_eq!(told, [format!("CONTACT {OK}"), "CONTACT_RESPONSE <ACCEPT> <200> <bob>".to_owned()]);
    assert!(w.heard(bob).is_empty());

    w.disconnect(bob);
    let bob = online(&mut w, "bob");
    assert!(search(&mut w, alice, "bob").contains(HIDDEN));
    let none = w.say(bob, "CONTACT_RESPONSE <ACCEPT> <200> <alice>");
    assert_eq!(none, [format!("CONTACT {NO} <that user has not asked you, or is gone>")]);
}

#[test]
fn nobody_makes_a_contact_of_somebody_who_has_not_agreed() {
    let mut w = world();
    let (alice, bob) = (online(&mut w, "alice"), online(&mut w, "bob"));
    let not_asked = format!("CONTACT {NO} <that user has not asked you, or is gone>");
    let accept = "CONTACT_RESPONSE <ACCEPT> <200> <bob>";
    assert_eq!(w.say(alice, accept), std::slice::from_ref(&not_asked));
    w.say(alice, "CONTACT_REQUEST <bob>");
    assert_eq!(w.say(alice, accept), std::slice::from_ref(&not_asked), "the answer is not the asker's");
    w.heard(bob);
    assert_eq!(w.say(bob, "CONTACT_RESPONSE <REJECT> <404> <alice>"), [format!("CONTACT {OK}")]);
    assert_eq!(w.heard(alice), ["CONTACT_RESPONSE <REJECT> <404> <bob>"]);
    assert_eq!(w.say(bob, "CONTACT_RESPONSE <ACCEPT> <200> <alice>"), [not_asked]);
    assert!(search(&mut w, alice, "bob").contains(HIDDEN));
    for (line, why) in [
        ("CONTACT_REQUEST <alice>", "that is you"),
        ("CONTACT_REQUEST <nobody>", "that user is not online, or can't be asked"),
    ] {
        assert_eq!(w.say(alice, line), [format!("CONTACT {NO} <{why}>")]);
    }
    let base = w.online("base");
    assert_eq!(w.say(base, "CONTACT_REQUEST <bob>"), [format!("CONTACT {NO}")]);
    let cannot = w.say(alice, "CONTACT_REQUEST <base>");
    assert_eq!(cannot, [format!("CONTACT {NO} <that user is not online, or can't be asked>")]);
    let fresh = w.greet("192.0.2.1");
    assert_eq!(w.say(fresh, "CONTACT_REQUEST <bob>"), [format!("CONTACT {NO}")]);
}

#[test]
fn two_who_ask_each_other_are_in_contact_and_either_ends_it() {
    let mut w = world();
    let (alice, bob) = (online(&mut w, "alice"), online(&mut w, "bob"));
    w.say(alice, "CONTACT_REQUEST <bob>");
    w.heard(bob);
    let told = w.say(bob, "CONTACT_REQUEST <alice>");
    assert_eq!(told, [format!("CONTACT {OK}"), "CONTACT_RESPONSE <ACCEPT> <200> <alice>".to_owned()]);
    assert_eq!(w.heard(alice), ["CONTACT_RESPONSE <ACCEPT> <200> <bob>"]);
    assert!(search(&mut w, alice, "bob").contains(SEEN));
    assert_eq!(w.say(alice, "CONTACT_RESPONSE <REJECT> <404> <bob>"), [format!("CONTACT {OK}")]);
    assert_eq!(w.heard(bob), ["CONTACT_RESPONSE <REJECT> <404> <alice>"]);
    assert!(search(&mut w, alice, "bob").contains(HIDDEN) && search(&mut w, bob, "alice").contains(HIDDEN));
    // A request that is withdrawn can't be accepted any more.
    w.say(alice, "CONTACT_REQUEST <bob>");
    w.say(alice, "CONTACT_RESPONSE <REJECT> <404> <bob>");
    assert_eq!(w.heard(bob), ["CONTACT_REQUEST <alice>", "CONTACT_RESPONSE <REJECT> <404> <alice>"]);
    assert!(w.say(bob, "CONTACT_RESPONSE <ACCEPT> <200> <alice>")[0].starts_with(&format!("CONTACT {NO}")));
}

#[test]
fn who_asks_too_many_or_too_often_is_held_up() {
    let mut w = world();
    let alice = online(&mut w, "alice");
    for n in 0..33 {
        online(&mut w, &format!("user{n}"));
    }
    for n in 0..32 {
        assert_eq!(w.say(alice, &format!("CONTACT_REQUEST <user{n}>")), [format!("CONTACT {OK}")]);
    }
    let why = "32 of your requests are waiting, which is the limit";
    assert_eq!(w.say(alice, "CONTACT_REQUEST <user32>"), [format!("CONTACT {NO} <{why}>")]);
    for n in 0..28 {
        w.say(alice, "CONTACT_RESPONSE <REJECT> <404> <user0>");
        assert_eq!(w.say(alice, "CONTACT_REQUEST <user0>"), [format!("CONTACT {OK}")], "{n}");
    }
    w.say(alice, "CONTACT_RESPONSE <REJECT> <404> <user0>");
    let refused = w.say(alice, "CONTACT_REQUEST <user0>").remove(0);
    assert!(refused.contains("you have asked too many people; try again in 6"), "{refused}");
    assert_eq!(w.registry.stats().refused_contacts, 1);
    // Leases are over by then, but of those who keep alive.
    for n in 0..7 {
        for user in ["alice", "user0"] {
            w.datagram("192.0.2.1:700", &format!("KEEP_ALIVE <{user}> <120>"));
        }
        w.wait(10 * SECOND);
        assert!(!w.is_closed(alice), "{n}");
    }
    assert_eq!(w.say(alice, "CONTACT_REQUEST <user0>"), [format!("CONTACT {OK}")]);
}

#[test]
fn who_has_asked_too_often_is_not_let_off_by_another_login() {
    let mut w = world();
    online(&mut w, "bob");
    let mut alice = online(&mut w, "alice");
    for n in 0..60 {
        if n % 20 == 19 {
            w.say(alice, "LOGOUT");
            alice = online(&mut w, "alice");
        }
        assert_eq!(w.say(alice, "CONTACT_REQUEST <bob>"), [format!("CONTACT {OK}")], "{n}");
        w.say(alice, "CONTACT_RESPONSE <REJECT> <404> <bob>");
    }
    w.say(alice, "LOGOUT");
    let again = online(&mut w, "alice");
    let refused = w.say(again, "CONTACT_REQUEST <bob>").remove(0);
    assert!(refused.contains("you have asked too many people; try again in 6"), "{refused}");
    assert_eq!(w.registry.stats().refused_contacts, 1);
    let carol = online(&mut w, "carol");
    assert_eq!(w.say(carol, "CONTACT_REQUEST <bob>"), [format!("CONTACT {OK}")], "it is hers alone");
}

#[test]
fn no_more_than_sixty_four_wait_for_one_user() {
    let mut w = world();
    let bob = online(&mut w, "bob");
    for n in 0..64 {
        let asker = online(&mut w, &format!("user{n}"));
        assert_eq!(w.say(asker, "CONTACT_REQUEST <bob>"), [format!("CONTACT {OK}")]);
    }
    let one_more = online(&mut w, "one_more");
    let why = "too many have asked that user already";
    assert_eq!(w.say(one_more, "CONTACT_REQUEST <bob>"), [format!("CONTACT {NO} <{why}>")]);
    assert_eq!(w.heard(bob).len(), 64);
}

#[test]
fn a_session_that_is_resumed_keeps_its_contacts_and_loses_what_was_on_its_way() {
    let mut w = world();
    let (bob, carol) = (online(&mut w, "bob"), online(&mut w, "carol"));
    let alice = w.connect("192.0.2.1");
    w.say(alice, "HELLO_P2P <1> <resume,contact>");
    w.say(alice, &format!("REGISTER <alice> <{}>", digest("alice")));
    let auth = w.say(alice, &format!("LOGIN <alice> <{}> <4000>", digest("alice"))).remove(0);
    let token = auth.rsplit('<').next().unwrap().trim_end_matches('>').to_owned();
    for user in ["bob", "carol"] {
        w.say(alice, &format!("CONTACT_REQUEST <{user}>"));
    }
    w.say(bob, "CONTACT_RESPONSE <ACCEPT> <200> <alice>");
    w.disconnect(alice);
    w.heard(carol);
    let again = w.connect("192.0.2.1");
    w.say(again, "HELLO_P2P <1> <resume,contact>");
    let auth = w.say(again, &format!("RESUME <alice> <{token}> <4000>")).remove(0);
    assert!(auth.starts_with(&format!("AUTH {OK}")), "{auth}");
    assert!(search(&mut w, again, "bob").contains(SEEN));
    assert!(search(&mut w, again, "carol").contains(HIDDEN));
    assert_eq!(w.heard(carol), ["CONTACT_RESPONSE <REJECT> <404> <alice>"]);
    assert!(w.say(carol, "CONTACT_RESPONSE <ACCEPT> <200> <alice>")[0].starts_with(&format!("CONTACT {NO}")));
}

#[test]
fn a_malformed_wish_or_answer_is_refused_as_one_and_the_stream_goes_on() {
    let mut w = world();
    let alice = online(&mut w, "alice");
    for line in ["CONTACT_REQUEST <a b>", "CONTACT_REQUEST", "CONTACT_RESPONSE <ACCEPT> <200> <a b>"] {
        let told = w.say(alice, line).concat();
        assert!(told.starts_with(&format!("CONTACT {NO} <")), "{line}: {told}");
    }
    assert!(!w.is_closed(alice));
}
