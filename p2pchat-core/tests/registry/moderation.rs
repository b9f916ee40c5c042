//! What a room's owner may do, and what others are told of it (PROTOCOL.md §7.7).

use p2pchat_core::registry::{
    BusEvent, Config, ConnId,
    store::{ReadTransaction, RoomAction, StoreAnswer, StoreError, StoreRequest, Table, Write},
};
use p2pchat_proto::{Reason, RoomName, Username};

use crate::{
    NO, OK,
    world::{Question, World, digest},
};

const ALL: &str = "reason,roster,moderate";
const DONE: &str = "MODERATION <SUCCESS> <200>";
const NOTHING: [&str; 0] = [];

/// Alice owns the den; the others are in it, as many as there are places for.
fn den(w: &mut World, others: &[(&str, &str)]) -> (ConnId, Vec<ConnId>) {
    let alice = w.online_with("alice", ALL);
    assert_eq!(w.say(alice, "CREATE_CHAT_ROOM <Den> <> <5> <bears>"), [format!("CREATION {OK}")]);
    let others: Vec<_> = others
        .iter()
        .map(|(user, capabilities)| {
            let conn = match capabilities.is_empty() {
                true => w.online(user),
                false => w.online_with(user, capabilities),
            };
            assert_eq!(w.say(conn, JOIN), [format!("JOIN {OK}")]);
            conn
        })
        .collect();
    for &conn in others.iter().chain([&alice]) {
        w.heard(conn);
    }
    (alice, others)
}

const JOIN: &str = "JOIN_CHAT_ROOM <den> <> <increment>";

fn refusal(why: &str) -> [String; 1] {
    [format!("MODERATION {NO} <{why}>")]
}

#[test]
fn a_kicked_member_is_one_no_longer_and_everybody_is_told_as_they_can_read_it() {
    let mut w = World::new();
    let (alice, others) =
        den(&mut w, &[("Bob", ALL), ("carol", "moderate"), ("dave", "roster"), ("eve", "")]);
    let [bob, carol, dave, eve] = others[..] else { panic!() };
    assert_eq!(w.say(alice, "ROOM_KICK <den> <BOB> <no spam>"), [DONE]);
    assert_eq!(w.heard(bob), ["ROOM_KICKED <Den> <Bob> <alice> <no spam>"]);
    assert_eq!(w.heard(carol), ["ROOM_KICKED <Den> <Bob> <alice> <no spam>"]);
    assert_eq!(w.heard(dave), ["USER_LEFT <Den> <Bob>"]);
    assert_eq!(w.heard(eve), NOTHING);
    assert_eq!(
        w.say(bob, "DISCOVER_PEERS <den>"),
        [format!("PEER_LIST {NO} <there is no such room, or you are not a member of it>")]
    );
    assert_eq!(
        w.say(alice, "DISCOVER_PEERS <den>"),
        [format!("PEER_LIST {OK} <Den> <alice> <carol> <dave> <eve>")]
    );
    assert_eq!(w.say(alice, "ROOM_KICK <den> <dave>"), [DONE]);
    assert_eq!(
        w.heard(dave),
        ["USER_LEFT <Den> <dave>"],
        "who can't read of the kick learns that they are out"
    );
    assert_eq!(w.say(bob, JOIN), [format!("JOIN {OK}")], "a kick is no ban");
}

#[test]
fn who_was_kicked_while_offline_learns_it_at_the_next_login() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    w.disconnect(others[0]);
    w.heard(alice);
    assert_eq!(w.say(alice, "ROOM_KICK <den> <bob>"), [DONE]);
    let bob = w.greet_extended("192.0.2.1");
    let reply = w.say(bob, &format!("LOGIN <bob> <{}>", digest("bob")));
    assert_eq!(reply, [format!("AUTH {OK}")], "and no room after it");
    assert_eq!(w.heard(alice), NOTHING);
}

#[test]
fn who_is_banned_cant_join_until_unbanned_whatever_the_password() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("Bob", ALL), ("carol", ALL)]);
    let [bob, carol] = others[..] else { panic!() };
    w.register("Mallory");
    let no_bans = "BAN_LIST <NOT_FOUND> <404> <nobody is banned from that room>";
    assert_eq!(w.say(alice, "ROOM_BANS <den>"), [no_bans]);
    assert_eq!(w.say(alice, "ROOM_BAN <den> <bob> <spam>"), [DONE]);
    assert_eq!(w.heard(bob), ["ROOM_BANNED <Den> <Bob> <alice> <spam>"]);
    assert_eq!(w.heard(carol), ["ROOM_BANNED <Den> <Bob> <alice> <spam>"]);
    assert_eq!(w.say(alice, "ROOM_BAN <den> <mallory>"), [DONE]);
    assert_eq!(w.heard(carol), NOTHING, "of somebody who wasn't there nobody is told");
    assert_eq!(w.say(alice, "ROOM_BANS <den>"), ["BAN_LIST <FOUND> <200> <Bob> <spam> , <Mallory> <>"]);

    let right = format!("JOIN_CHAT_ROOM <DEN> <{}> <increment>", digest("honey"));
    assert_eq!(w.say(alice, &format!("ROOM_SET <den> <PASSWORD> <{}>", digest("honey"))), [DONE]);
    w.hold = true;
    w.say(bob, &right);
    w.release(0);
    assert!(w.held.is_empty(), "no hash is computed for who is banned");
    w.hold = false;
    assert_eq!(w.heard(bob), [format!("JOIN {NO} <you are banned from that room: spam>")]);
    let mallory = w.online_with("Mallory", ALL);
    assert_eq!(w.say(mallory, JOIN), [format!("JOIN {NO} <you are banned from that room>")]);

    assert_eq!(w.say(alice, "ROOM_BAN <den> <BOB> <a lot of spam>"), [DONE], "again, with another reason");
    assert_eq!(w.heard(bob), NOTHING);
    let mut w = w.restarted();
    let (alice, bob) = (w.online_with("alice", ALL), w.online_with("Bob", ALL));
    assert_eq!(
        w.say(bob, JOIN),
        [format!("JOIN {NO} <you are banned from that room: a lot of spam>")],
        "a ban is durable"
    );
    assert_eq!(w.say(alice, "ROOM_UNBAN <den> <bob>"), [DONE]);
    assert_eq!(w.say(alice, "ROOM_BANS <den>"), ["BAN_LIST <FOUND> <200> <Mallory> <>"]);
    let refused = format!("PEER_LIST {NO} <there is no such room, or you are not a member of it>");
    assert_eq!(w.say(bob, "DISCOVER_PEERS <den>"), [refused], "unbanned is not let in");
    assert_eq!(w.say(bob, &right), [format!("JOIN {OK}")]);
}

#[test]
fn a_room_is_changed_by_its_owner_and_members_are_told() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL), ("carol", "roster")]);
    let (bob, carol, dave) = (others[0], others[1], w.online_with("dave", ALL));
    let secret = digest("honey");
    for (set, push) in [
        ("DESCRIPTION> <bears, and bees", "DESCRIPTION> <bears, and bees"),
        ("CAPACITY> <3", "CAPACITY> <3"),
        (&format!("PASSWORD> <{secret}"), "PASSWORD> <PROTECTED"),
    ] {
        assert_eq!(w.say(alice, &format!("ROOM_SET <den> <{set}>")), [DONE]);
        assert_eq!(w.heard(bob), [format!("ROOM_CHANGED <Den> <alice> <{push}>")]);
        assert_eq!(w.heard(carol), NOTHING);
    }
    assert_eq!(
        w.say(dave, "SHOW_ROOMS_LIST <DETAILED>"),
        ["ROOMS_LIST <FOUND> <200> <Den> <bears, and bees> <3> <3>"]
    );
    let full = format!("JOIN {NO} <the room is full>");
    assert_eq!(w.say(dave, &format!("JOIN_CHAT_ROOM <den> <{secret}> <increment>")), [full]);
    assert_eq!(w.say(alice, "ROOM_SET <den> <capacity> <4>"), [DONE]);
    let wrong = format!("JOIN {NO} <wrong room password>");
    assert_eq!(w.say(dave, JOIN), [wrong]);
    assert_eq!(w.say(alice, "ROOM_SET <den> <PASSWORD> <>"), [DONE]);
    assert_eq!(
        w.heard(bob),
        ["ROOM_CHANGED <Den> <alice> <CAPACITY> <4>", "ROOM_CHANGED <Den> <alice> <PASSWORD> <OPEN>"]
    );
    assert_eq!(w.say(dave, JOIN), [format!("JOIN {OK}")]);
    w.heard(alice);
    assert_eq!(
        w.say(alice, "ROOM_SET <den> <CAPACITY> <3>"),
        refusal("the room has 4 members, and can't take fewer")
    );
    assert_eq!(w.say(alice, "ROOM_SET <den> <CAPACITY> <4>"), [DONE], "what is set already may be set again");
}

#[test]
fn a_room_is_handed_over_by_its_owner_or_by_their_leaving() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL), ("Carol", ALL)]);
    let [bob, carol] = others[..] else { panic!() };
    w.register("dave");
    let not_there = "dave is not a member of that room";
    assert_eq!(w.say(alice, "ROOM_SET <den> <OWNER> <dave>"), refusal(not_there));
    assert_eq!(w.say(alice, "ROOM_SET <den> <OWNER> <carol>"), [DONE]);
    assert_eq!(w.heard(bob), ["ROOM_CHANGED <Den> <alice> <OWNER> <Carol>"]);
    assert_eq!(w.heard(carol), ["ROOM_CHANGED <Den> <alice> <OWNER> <Carol>"]);
    let not_owner = refusal("only the room's owner can do that, who is Carol");
    assert_eq!(w.say(alice, "ROOM_KICK <den> <bob>"), not_owner);
    assert_eq!(w.say(carol, "ROOM_BAN <den> <bob>"), [DONE]);
    assert_eq!(w.heard(bob), ["ROOM_BANNED <Den> <bob> <Carol>"]);
    assert_eq!(w.say(bob, JOIN), [format!("JOIN {NO} <you are banned from that room>")]);
    w.heard(alice);
    w.say(carol, "ROOM_EXIT <carol> <den>");
    assert_eq!(w.heard(alice), ["USER_LEFT <Den> <Carol>", "ROOM_CHANGED <Den> <Carol> <OWNER> <alice>"]);
    assert_eq!(w.say(alice, "ROOM_UNBAN <den> <bob>"), [DONE], "bans outlast the owner who made them");
}

#[test]
fn a_room_whose_owner_is_deleted_tells_its_heir() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    let username = Username::new("alice").unwrap();
    let delete = StoreRequest::Write(Write::DeleteAccount { username });
    let StoreAnswer::Deleted { username, rooms } = w.store.answer(&delete) else { panic!() };
    w.registry.handle_deleted(&username, rooms);
    w.run();
    assert!(w.is_closed(alice));
    let told = w.heard(others[0]);
    assert_eq!(
        told[told.len() - 2..],
        ["USER_LEFT <Den> <alice>", "ROOM_CHANGED <Den> <alice> <OWNER> <bob>"]
    );
    assert_eq!(w.say(others[0], "ROOM_SET <den> <CAPACITY> <1>"), [DONE]);
}

#[test]
fn a_room_that_ends_loses_its_bans() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    let cellar = w.online_with("carol", ALL);
    w.say(cellar, "CREATE_CHAT_ROOM <cellar> <> <5> <>");
    for (conn, room) in [(alice, "den"), (cellar, "cellar")] {
        assert_eq!(w.say(conn, &format!("ROOM_BAN <{room}> <bob>")), [DONE]);
    }
    w.say(alice, "ROOM_EXIT <alice> <den>");
    assert_eq!(w.say(cellar, "CREATE_CHAT_ROOM <den> <> <5> <>"), [format!("CREATION {OK}")]);
    w.heard(others[0]);
    assert_eq!(w.say(others[0], JOIN), [format!("JOIN {OK}")]);
    w.heard(cellar);
    assert_eq!(
        w.say(cellar, "ROOM_BANS <cellar>"),
        ["BAN_LIST <FOUND> <200> <bob> <>"],
        "another room's stay"
    );
    let mut kept = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        kept += 1;
        true
    };
    w.store.scan(Table::RoomBans, &[], &mut count).unwrap();
    assert_eq!(kept, 1, "nothing is kept of a room that is gone");
}

#[test]
fn nobody_but_the_owner_does_any_of_it() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    let stranger = w.online_with("carol", ALL);
    w.say(stranger, "CREATE_CHAT_ROOM <cellar> <> <5> <>");
    let [not_owner, not_a_member] = [
        "only the room's owner can do that, who is alice",
        "there is no such room, or you are not a member of it",
    ];
    let secret = digest("x");
    for request in [
        "ROOM_KICK <den> <alice>",
        "ROOM_BAN <den> <alice>",
        "ROOM_UNBAN <den> <alice>",
        &format!("ROOM_SET <den> <PASSWORD> <{secret}>"),
        "ROOM_SET <den> <PASSWORD> <>",
        "ROOM_SET <den> <CAPACITY> <9>",
        "ROOM_SET <den> <DESCRIPTION> <x>",
        "ROOM_SET <den> <OWNER> <bob>",
    ] {
        assert_eq!(w.say(others[0], request), refusal(not_owner), "{request}");
        assert_eq!(w.say(stranger, request), refusal(not_a_member), "{request}");
        let nowhere = request.replace("<den>", "<nowhere>");
        assert_eq!(w.say(stranger, &nowhere), refusal(not_a_member), "{nowhere}");
    }
    assert_eq!(w.say(others[0], "ROOM_BANS <den>"), [format!("BAN_LIST {NO} <{not_owner}>")]);
    assert_eq!(w.say(stranger, "ROOM_BANS <den>"), [format!("BAN_LIST {NO} <{not_a_member}>")]);
    assert_eq!(w.heard(alice), NOTHING);
    assert_eq!(
        w.say(alice, "SHOW_ROOMS_LIST <DETAILED>").concat().matches("<Den> <bears> <2> <5>").count(),
        1
    );
}

#[test]
fn what_an_owner_can_not_do_is_refused_with_its_reason() {
    let mut config = Config::default();
    config.bans_per_room = 2;
    let mut w = World::with(config);
    let (alice, _) = den(&mut w, &[("bob", ALL)]);
    for user in ["carol", "dave", "eve"] {
        w.register(user);
    }
    for (request, why) in [
        ("ROOM_KICK <den> <Alice>", "that is you; you can leave the room instead"),
        ("ROOM_BAN <den> <alice>", "that is you; you can leave the room instead"),
        ("ROOM_KICK <den> <carol>", "carol is not a member of that room"),
        ("ROOM_KICK <den> <nobody>", "nobody is not a member of that room"),
        ("ROOM_BAN <den> <nobody>", "there is no user nobody"),
        ("ROOM_UNBAN <den> <bob>", "bob is not banned from that room"),
        ("ROOM_SET <den> <CAPACITY> <1>", "the room has 2 members, and can't take fewer"),
    ] {
        assert_eq!(w.say(alice, request), refusal(why), "{request}");
    }
    for user in ["carol", "dave", "carol"] {
        assert_eq!(w.say(alice, &format!("ROOM_BAN <den> <{user}>")), [DONE]);
    }
    let too_many = "2 users are banned from that room, which is the limit";
    assert_eq!(w.say(alice, "ROOM_BAN <den> <bob>"), refusal(too_many));
    assert_eq!(w.say(alice, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <Den> <alice> <bob>")]);
    assert_eq!(w.say(alice, "ROOM_UNBAN <den> <dave>"), [DONE]);
    assert_eq!(w.say(alice, "ROOM_BAN <den> <bob>"), [DONE]);
    let malformed = w.say(alice, "ROOM_SET <den> <CAPACITY> <0>");
    assert!(malformed[0].starts_with(&format!("MODERATION {NO} <")), "{malformed:?}");
    let malformed = w.say(alice, "ROOM_BANS");
    assert!(malformed[0].starts_with(&format!("BAN_LIST {NO} <")), "{malformed:?}");
}

#[test]
fn it_takes_a_session_and_the_capability() {
    let mut w = World::new();
    let fresh = w.connect("192.0.2.1");
    assert_eq!(w.say(fresh, "ROOM_KICK <den> <bob>"), [format!("MODERATION {NO}")]);
    let greeted = w.greet_extended("192.0.2.1");
    assert_eq!(w.say(greeted, "ROOM_BANS <den>"), [format!("BAN_LIST {NO} <log in first>")]);
    let alice = w.online_with("alice", "reason");
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.register("bob");
    let why = "that takes the capability moderate";
    assert_eq!(w.say(alice, "ROOM_BAN <den> <bob>"), refusal(why));
    assert_eq!(w.say(alice, "ROOM_BANS <den>"), [format!("BAN_LIST {NO} <{why}>")]);
}

#[test]
fn nothing_is_answered_or_told_before_it_is_durable() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    w.hold = true;
    assert_eq!(w.say(alice, "ROOM_BAN <den> <bob>"), NOTHING);
    assert_eq!(w.heard(others[0]), NOTHING);
    w.release(0);
    assert_eq!((w.heard(alice).len(), w.heard(others[0]).len()), (1, 1));
    let secret = digest("x");
    assert_eq!(w.say(alice, &format!("ROOM_SET <den> <PASSWORD> <{secret}>")), NOTHING);
    w.release(0);
    assert!(matches!(&w.held[..], [(_, Question::Store(_))]), "hashed, and not yet stored: {:?}", w.held);
    assert_eq!(w.heard(alice), NOTHING);
    w.release(0);
    assert_eq!(w.heard(alice), [DONE]);
}

#[test]
fn a_store_that_fails_changes_nothing() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    w.hold = true;
    for error in [StoreError::Busy, StoreError::Engine("full".into())] {
        for request in ["ROOM_KICK <den> <bob>", "ROOM_BANS <den>"] {
            w.say(alice, request);
            let (op, _) = w.held.remove(0);
            w.registry.handle_stored(w.now, op, StoreAnswer::Failed(error.clone()));
            w.run();
            let reply = w.heard(alice);
            assert!(reply.len() == 1 && reply[0].contains(NO), "{reply:?}");
        }
    }
    w.hold = false;
    assert_eq!(w.heard(others[0]), NOTHING);
    assert_eq!(w.say(others[0], "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <Den> <alice> <bob>")]);
}

#[test]
fn a_ban_and_a_join_that_cross_each_other_never_leave_a_banned_member() {
    for ban_first in [true, false] {
        let mut w = World::new();
        let (alice, _) = den(&mut w, &[]);
        let bob = w.online_with("bob", ALL);
        w.hold = true;
        w.say(bob, JOIN);
        w.release(0); // the room as it is before the ban
        w.say(alice, "ROOM_BAN <den> <bob>");
        w.release(usize::from(ban_first));
        w.release(0);
        w.hold = false;
        let joined = w.heard(bob);
        match ban_first {
            true => assert_eq!(joined, [format!("JOIN {NO} <you are banned from that room>")]),
            false => assert_eq!(joined, [&format!("JOIN {OK}"), "ROOM_BANNED <Den> <bob> <alice>"]),
        }
        assert!(w.heard(alice).contains(&DONE.to_owned()));
        assert_eq!(w.say(alice, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <Den> <alice>")]);
    }
}

#[test]
fn a_password_that_was_right_when_it_was_compared_may_be_the_wrong_one_by_now() {
    let mut w = World::new();
    let (alice, _) = den(&mut w, &[]);
    let (old, new) = (digest("old"), digest("new"));
    w.say(alice, &format!("ROOM_SET <den> <PASSWORD> <{old}>"));
    let bob = w.online_with("bob", ALL);
    let join = |password: &str| format!("JOIN_CHAT_ROOM <den> <{password}> <increment>");
    w.hold = true;
    w.say(bob, &join(&old));
    w.release(0);
    w.release(0);
    w.hold = false;
    w.say(alice, &format!("ROOM_SET <den> <PASSWORD> <{new}>"));
    w.release(0);
    assert_eq!(w.heard(bob), [format!("JOIN {NO} <the room has got another password>")]);
    assert_eq!(w.say(bob, &join(&old)), [format!("JOIN {NO} <wrong room password>")]);
    assert_eq!(w.say(bob, &join(&new)), [format!("JOIN {OK}")]);
}

#[test]
fn what_an_owner_did_on_a_stream_that_is_gone_holds_and_is_told() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    w.hold = true;
    w.say(alice, "ROOM_KICK <den> <bob>");
    w.disconnect(alice);
    w.release(0);
    assert_eq!(w.heard(others[0]), ["USER_LOGOUT <alice>", "ROOM_KICKED <Den> <bob> <alice>"]);
    w.hold = false;
    let refused = format!("PEER_LIST {NO} <there is no such room, or you are not a member of it>");
    assert_eq!(w.say(others[0], "DISCOVER_PEERS <den>"), [refused]);
}

#[test]
fn whom_a_password_was_hashed_for_may_be_gone() {
    let mut w = World::new();
    let (alice, _) = den(&mut w, &[]);
    w.hold = true;
    w.say(alice, &format!("ROOM_SET <den> <PASSWORD> <{}>", digest("x")));
    w.disconnect(alice);
    w.release(0);
    assert!(w.held.is_empty(), "nothing is asked of the store for who is gone: {:?}", w.held);
}

#[test]
fn requests_behind_one_that_is_refused_have_their_turn() {
    let mut w = World::new();
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    w.hold = true;
    let set = format!("ROOM_SET <den> <PASSWORD> <{}>", digest("x"));
    assert_eq!(w.say(others[0], &set), NOTHING);
    assert_eq!(w.say(others[0], "DISCOVER_PEERS <den>"), NOTHING);
    w.release(0);
    w.release(0);
    let heard = w.heard(others[0]);
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(w.registry.is_ready(others[0]) && w.registry.is_ready(alice));
}

#[test]
fn the_other_nodes_are_told_and_a_node_tells_its_own_users() {
    let mut config = Config::default();
    config.publish_events = true;
    let mut w = World::with(config);
    let (alice, others) = den(&mut w, &[("bob", ALL)]);
    w.published();
    w.say(alice, "ROOM_BAN <den> <bob> <spam>");
    w.say(alice, "ROOM_SET <den> <DESCRIPTION> <x>");
    let [banned, changed] = &w.published()[..] else { panic!() };
    let name = |name| Username::new(name).unwrap();
    let expected = BusEvent::PutOut {
        room: RoomName::new("den").unwrap(),
        username: name("bob"),
        by: name("alice"),
        reason: Some(Reason::new("spam").unwrap()),
        banned: true,
    };
    assert_eq!(*banned, expected);
    w.heard(others[0]);

    // A node where somebody has let Bob in meanwhile hears of it again: it says what holds.
    assert_eq!(w.say(alice, "ROOM_UNBAN <den> <bob>"), [DONE]);
    assert_eq!(w.say(others[0], JOIN), [format!("JOIN {OK}")]);
    w.registry.handle_event(changed);
    w.registry.handle_event(banned);
    w.run();
    assert_eq!(
        w.heard(others[0]),
        ["ROOM_CHANGED <Den> <alice> <DESCRIPTION> <x>", "ROOM_BANNED <Den> <bob> <alice> <spam>"]
    );
    let refused = format!("PEER_LIST {NO} <there is no such room, or you are not a member of it>");
    assert_eq!(w.say(others[0], "DISCOVER_PEERS <den>"), [refused]);
}

#[test]
fn secrets_are_not_in_what_is_logged_of_an_owners_request() {
    let action = RoomAction::SetPassword(Some("hash".into()));
    let write = Write::Moderate {
        room: RoomName::new("den").unwrap(),
        by: Username::new("alice").unwrap(),
        action,
        bans_per_room: 1,
    };
    let shown = format!("{:?}", StoreRequest::Write(write));
    assert!(shown.contains("SetPassword") && !shown.contains("hash"), "{shown}");
}

#[test]
fn an_owner_who_is_no_member_any_more_when_it_comes_to_it_is_told_so() {
    let mut w = World::new();
    let (alice, _) = den(&mut w, &[("bob", ALL)]);
    w.hold = true;
    w.say(alice, "ROOM_KICK <den> <bob>");
    let (op, question) = w.held.remove(0);
    assert!(matches!(question, Question::Store(_)), "{question:?}");
    w.registry.handle_stored(w.now, op, StoreAnswer::NotAMember);
    w.run();
    assert_eq!(w.heard(alice), refusal("there is no such room, or you are not a member of it"));
}

#[test]
fn a_store_puts_nobody_out_of_their_own_room() {
    let mut w = World::new();
    den(&mut w, &[("bob", ALL)]);
    let (alice, room) = (Username::new("alice").unwrap(), RoomName::new("den").unwrap());
    let before = w.store.clone();
    for action in [
        RoomAction::Kick { username: alice.clone(), reason: None },
        RoomAction::Ban { username: alice.clone(), reason: None },
    ] {
        let request = Write::Moderate { room: room.clone(), by: alice.clone(), action, bans_per_room: 9 };
        let answer = w.store.answer(&StoreRequest::Write(request));
        assert!(matches!(answer, StoreAnswer::NoSuchMember), "{answer:?}");
    }
    assert_eq!(w.store, before);
}
