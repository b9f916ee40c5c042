//! The registry machine's behaviour on a virtual clock (PROTOCOL.md §5).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking

mod admission;
mod contacts;
mod counts;
mod datagrams;
mod guessing;
mod invites;
mod keys;
mod limits;
mod model;
mod modelled;
mod moderation;
mod months;
mod names;
mod operator;
mod park;
mod park_wakes;
mod resume;
mod resume_grace;
mod resume_takeover;
mod steps;
mod store;
mod ticket;
mod world;

use std::time::Duration;

use p2pchat_core::registry::{BusEvent, Config};
use p2pchat_proto::{FrameError, Malformed, RoomName, Username};
use world::{World, digest};

const SECOND: Duration = Duration::from_secs(1);
const OK: &str = "<SUCCESS> <200>";
const NO: &str = "<FAILURE> <404>";

#[test]
fn the_life_of_an_account() {
    let mut w = World::new();
    let conn = w.greet("192.0.2.1");
    let (right, wrong) = (digest("right"), digest("wrong"));
    assert_eq!(w.say(conn, &format!("REGISTER <Ali> <{right}>")), [format!("REGISTER {OK}")]);
    assert_eq!(w.say(conn, &format!("REGISTER <ali> <{wrong}>")), ["REGISTER <EXIST> <300>"]);
    assert_eq!(w.say(conn, &format!("LOGIN <ali> <{wrong}>")), [format!("AUTH {NO}")]);
    assert_eq!(w.say(conn, &format!("LOGIN <nobody> <{right}>")), [format!("AUTH {NO}")]);
    assert_eq!(w.say(conn, &format!("LOGIN <ALI> <{right}>")), [format!("AUTH {OK}")]);
    let other = w.greet("192.0.2.2");
    assert_eq!(w.say(other, &format!("LOGIN <ali> <{right}>")), ["AUTH <ONLINE> <300>"]);
    assert_eq!(w.say(conn, "LOGOUT"), [""; 0]);
    assert!(w.is_closed(conn), "the end of the stream is the answer to LOGOUT");
    assert_eq!(w.say(other, &format!("LOGIN <ali> <{right}>")), [format!("AUTH {OK}")]);
}

#[test]
fn two_registrations_of_one_name_at_once_have_one_winner() {
    let mut w = World::new();
    let (a, b) = (w.greet("192.0.2.1"), w.greet("192.0.2.2"));
    w.hold = true;
    w.say(a, &format!("REGISTER <sam> <{}>", digest("a")));
    w.say(b, &format!("REGISTER <Sam> <{}>", digest("b")));
    while !w.held.is_empty() {
        w.release(w.held.len() - 1);
    }
    let mut replies = [w.heard(a), w.heard(b)].concat();
    replies.sort();
    assert_eq!(replies, ["REGISTER <EXIST> <300>".to_owned(), format!("REGISTER {OK}")]);
}

#[test]
fn requests_out_of_order_are_refused_with_a_reason() {
    let mut w = World::new();
    w.register("a");
    let fresh = w.connect("192.0.2.1");
    assert_eq!(w.say(fresh, &format!("LOGIN <a> <{}>", digest("a"))), [format!("AUTH {NO}")]);
    assert_eq!(w.say(fresh, &format!("REGISTER <b> <{}>", digest("b"))), [format!("REGISTER {NO}")]);
    let conn = w.greet_extended("192.0.2.1");
    for (request, reply) in [
        ("SEARCH_USER <bob>", "SEARCH_USER_RESPONSE <NOT_FOUND> <404>"),
        ("DISCOVER_PEERS <DETAILED>", "PEER_LIST <FAILURE> <404>"),
        ("DISCOVER_PEERS <room>", "PEER_LIST <FAILURE> <404>"),
        ("SHOW_ROOMS_LIST <PARTIAL>", "ROOMS_LIST <NOT_FOUND> <404>"),
        ("CREATE_CHAT_ROOM <room> <> <5> <about>", "CREATION <FAILURE> <404>"),
        ("JOIN_CHAT_ROOM <room> <> <increment>", "JOIN <FAILURE> <404>"),
        ("ROOM_EXIT <bob> <room>", "ROOM_EXIT_RESPONSE <FAILURE> <404>"),
        ("LOGOUT", "HELLO_BACK <FAILURE> <404>"),
    ] {
        assert_eq!(w.say(conn, request), [format!("{reply} <log in first>")]);
    }
    assert!(!w.is_closed(conn));
}

#[test]
fn a_session_speaks_only_for_its_own_user() {
    let mut w = World::new();
    let (alice, bob) = (w.online_extended("alice"), w.online_extended("bob"));
    w.say(bob, "CREATE_CHAT_ROOM <den> <> <5> <>");
    let why = "<that is not your username>";
    assert_eq!(w.say(alice, "LOGOUT <bob>"), [format!("HELLO_BACK {NO} {why}")]);
    assert_eq!(w.say(alice, "ROOM_EXIT <bob> <den>"), [format!("ROOM_EXIT_RESPONSE {NO} {why}")]);
    assert_eq!(w.say(alice, "DISCOVER_PEERS <PARTIAL> <bob>"), [format!("PEER_LIST {NO} {why}")]);
    assert_eq!(w.say(bob, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <den> <bob>")]);
    assert_eq!(
        w.say(alice, &format!("LOGIN <bob> <{}>", digest("bob"))),
        [format!("AUTH {NO} <this connection is logged in as alice; log out first>")]
    );
    assert_eq!(
        w.say(alice, &format!("LOGIN <alice> <{}>", digest("alice"))),
        ["AUTH <ONLINE> <300> <you are logged in already>"]
    );
    assert_eq!(w.say(alice, "DISCOVER_PEERS <PARTIAL> <Alice>"), [format!("PEER_LIST {OK} <bob>")]);
    assert_eq!(w.say(alice, "LOGOUT <Alice>"), [""; 0]);
    assert!(w.is_closed(alice));
}

#[test]
fn every_outcome_of_a_search() {
    let mut w = World::new();
    let alice = w.online("alice");
    w.register("carol");
    let bob = w.greet("2001:db8::7");
    w.say(bob, &format!("REGISTER <Bob> <{}>", digest("b")));
    w.say(bob, &format!("LOGIN <bob> <{}>", digest("b")));
    let response = "SEARCH_USER_RESPONSE";
    assert_eq!(w.say(alice, "SEARCH_USER <bob>"), [format!("{response} {OK} <Bob> <0> <2001:db8::7>")]);
    assert_eq!(w.say(bob, "SEARCH_USER <ALICE>"), [format!("{response} {OK} <alice> <4000> <192.0.2.1>")]);
    assert_eq!(w.say(alice, "SEARCH_USER <carol>"), [format!("{response} <NOT_ONLINE> <300>")]);
    assert_eq!(w.say(alice, "SEARCH_USER <dave>"), [format!("{response} <NOT_FOUND> <404>")]);
}

#[test]
fn the_directory_shows_capabilities_to_who_asked_for_them() {
    let mut w = World::new();
    let (alice, bob, base) = (w.online_extended("alice"), w.online_extended("bob"), w.online("base"));
    let at = "<4000> <192.0.2.1>";
    assert_eq!(
        w.say(alice, "SEARCH_USER <bob>"),
        [format!("SEARCH_USER_RESPONSE {OK} <bob> {at} <sender,origin>")]
    );
    let some = w.connect("192.0.2.3");
    w.say(some, "HELLO_P2P <1> <origin>");
    w.register("some");
    w.say(some, &format!("LOGIN <some> <{}> <4000>", digest("some")));
    assert_eq!(w.say(some, "SEARCH_USER <bob>"), [format!("SEARCH_USER_RESPONSE {OK} <bob> {at} <origin>")]);
    assert_eq!(w.say(alice, "SEARCH_USER <base>"), [format!("SEARCH_USER_RESPONSE {OK} <base> {at}")]);
    assert_eq!(w.say(base, "SEARCH_USER <bob>"), [format!("SEARCH_USER_RESPONSE {OK} <bob> {at}")]);
    let _ = bob;
}

#[test]
fn lists_of_peers_leave_the_asker_out_and_show_a_shared_room() {
    let mut w = World::new();
    let alice = w.online("alice");
    assert_eq!(w.say(alice, "DISCOVER_PEERS <DETAILED>"), [format!("PEER_LIST {NO}")]);
    let (bob, carol) = (w.online("bob"), w.online("carol"));
    w.say(bob, "CREATE_CHAT_ROOM <secret> <> <5> <>");
    w.say(bob, "CREATE_CHAT_ROOM <Den> <> <5> <>");
    w.say(alice, "JOIN_CHAT_ROOM <den> <> <increment>");
    assert_eq!(
        w.say(alice, "DISCOVER_PEERS <DETAILED>"),
        [format!("PEER_LIST {OK} <bob> <Den> <4000> <192.0.2.1> , <carol> <> <4000> <192.0.2.1>")]
    );
    assert_eq!(w.say(carol, "DISCOVER_PEERS <PARTIAL>"), [format!("PEER_LIST {OK} <alice> , <bob>")]);
}

#[test]
fn the_life_of_a_room() {
    let mut w = World::new();
    let (alice, bob, carol) = (w.online("alice"), w.online("bob"), w.online("carol"));
    assert_eq!(w.say(alice, "SHOW_ROOMS_LIST <PARTIAL>"), ["ROOMS_LIST <NOT_FOUND> <404>"]);
    let secret = digest("secret");
    let create = format!("CREATE_CHAT_ROOM <Den> <{secret}> <2> <a quiet place>");
    assert_eq!(w.say(alice, &create), [format!("CREATION {OK}")]);
    assert_eq!(w.say(bob, &create), [format!("CREATION {NO}")], "the name is taken");
    assert_eq!(w.say(bob, "CREATE_CHAT_ROOM <Partial> <> <2> <>"), [format!("CREATION {NO}")], "reserved");
    assert_eq!(w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>"), [format!("JOIN {NO}")], "no password");
    let wrong = format!("JOIN_CHAT_ROOM <den> <{}> <increment>", digest("wrong"));
    assert_eq!(w.say(bob, &wrong), [format!("JOIN {NO}")]);
    let join = format!("JOIN_CHAT_ROOM <den> <{secret}> <increment>");
    assert_eq!(w.say(bob, &join), [format!("JOIN {OK}")]);
    assert_eq!(w.say(bob, &wrong), [format!("JOIN {OK}")], "joining again as a member succeeds");
    assert_eq!(w.say(carol, &join), [format!("JOIN {NO}")], "full");
    assert_eq!(
        w.say(carol, "SHOW_ROOMS_LIST <DETAILED>"),
        ["ROOMS_LIST <FOUND> <200> <Den> <a quiet place> <2> <2>"]
    );
    assert_eq!(w.say(carol, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {NO}")], "only for members");
    assert_eq!(w.say(bob, "DISCOVER_PEERS <DEN>"), [format!("PEER_LIST {OK} <Den> <alice> <bob>")]);
    assert_eq!(w.say(alice, "ROOM_EXIT <alice> <den>"), [format!("ROOM_EXIT_RESPONSE {OK}")]);
    assert_eq!(w.say(alice, "ROOM_EXIT <alice> <den>"), [format!("ROOM_EXIT_RESPONSE {NO}")]);
    assert_eq!(w.say(carol, &join), [format!("JOIN {OK}")]);
    w.say(carol, "ROOM_EXIT <carol> <den>");
    w.say(bob, "ROOM_EXIT <bob> <den>");
    assert_eq!(w.say(bob, "SHOW_ROOMS_LIST <PARTIAL>"), ["ROOMS_LIST <NOT_FOUND> <404>"], "last one out");
    assert_eq!(
        w.say(carol, "CREATE_CHAT_ROOM <den> <> <1> <>"),
        [format!("CREATION {OK}")],
        "the name is free"
    );
}

#[test]
fn racing_joins_never_exceed_the_capacity() {
    let mut w = World::new();
    let owner = w.online("owner");
    w.say(owner, "CREATE_CHAT_ROOM <den> <> <3> <>");
    let guests: Vec<_> = (0..6).map(|i| w.online(&format!("guest{i}"))).collect();
    w.hold = true;
    for &guest in &guests {
        w.say(guest, "JOIN_CHAT_ROOM <den> <> <increment>");
    }
    for _ in 0..6 {
        w.release(0); // each sees a room with a free place
    }
    assert_eq!(w.held.len(), 6, "six joins on their way to the store");
    while !w.held.is_empty() {
        w.release(0);
    }
    let joined = guests.iter().filter(|&&guest| w.heard(guest) == [format!("JOIN {OK}")]).count();
    assert_eq!(joined, 2);
    w.hold = false;
    assert_eq!(w.say(owner, "SHOW_ROOMS_LIST <DETAILED>"), ["ROOMS_LIST <FOUND> <200> <den> <> <3> <3>"]);
}

#[test]
fn a_join_meets_only_the_room_whose_password_was_checked() {
    let mut w = World::new();
    let (alice, bob) = (w.online("alice"), w.online("bob"));
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <open>");
    w.hold = true;
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.release(0);
    w.say(alice, "ROOM_EXIT <alice> <den>");
    w.release(1);
    w.say(alice, &format!("CREATE_CHAT_ROOM <den> <{}> <5> <closed>", digest("x")));
    w.release(1);
    w.release(1);
    assert_eq!(w.heard(alice).last().unwrap(), &format!("CREATION {OK}"));
    w.release(0);
    assert_eq!(w.heard(bob), [format!("JOIN {NO}")]);
}

#[test]
fn membership_outlives_logout_crash_and_restart() {
    let mut w = World::new();
    let (alice, bob) = (w.online("alice"), w.online("bob"));
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <about>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.say(alice, "LOGOUT");
    assert_eq!(
        w.say(bob, "DISCOVER_PEERS <den>"),
        ["USER_LOGOUT <alice>", "PEER_LIST <SUCCESS> <200> <den> <bob>"]
    );
    w.disconnect(bob);
    let mut w = w.restarted();
    let alice = w.online_extended("alice");
    assert_eq!(w.heard(alice), [""; 0]);
    assert_eq!(w.say(alice, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <den> <alice>")]);
    let bob = w.online("bob");
    assert_eq!(w.heard(alice), ["USER_JOINED <den> <bob>"]);
    assert_eq!(w.say(bob, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <den> <alice> <bob>")]);
}

#[test]
fn a_login_with_roster_is_told_its_own_rooms() {
    let mut w = World::new();
    let alice = w.online("alice");
    w.say(alice, "CREATE_CHAT_ROOM <Den> <> <5> <>");
    w.say(alice, "CREATE_CHAT_ROOM <attic> <> <5> <>");
    w.say(alice, "LOGOUT");
    let alice = w.greet_extended("192.0.2.1");
    assert_eq!(
        w.say(alice, &format!("LOGIN <alice> <{}>", digest("alice"))),
        ["AUTH <SUCCESS> <200>", "USER_JOINED <Den> <alice>", "USER_JOINED <attic> <alice>"]
    );
}

#[test]
fn pushes_reach_members_online_and_nobody_else() {
    let mut w = World::new();
    let (alice, bob) = (w.online_extended("alice"), w.online("bob"));
    let (stranger, prototype) = (w.online_extended("stranger"), w.online_extended("prototype"));
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <9> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.say(prototype, "JOIN_CHAT_ROOM <den> <> <increment>");
    assert_eq!(w.heard(alice), ["USER_JOINED <den> <bob>", "USER_JOINED <den> <prototype>"]);
    w.is_prototype(prototype);
    let carol = w.online_extended("carol");
    w.say(carol, "JOIN_CHAT_ROOM <den> <> <increment>");
    assert_eq!(w.heard(alice), ["USER_JOINED <den> <carol>"]);
    w.say(carol, "ROOM_EXIT <carol> <den>");
    assert_eq!(w.heard(alice), ["USER_LEFT <den> <carol>"]);
    w.say(carol, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.heard(alice);
    w.disconnect(carol);
    assert_eq!(w.heard(alice), ["USER_LOGOUT <carol>"], "gone with its stream");
    assert_eq!(w.heard(bob), ["USER_LOGOUT <carol>"], "the base protocol knows only the logout");
    assert_eq!([w.heard(stranger), w.heard(prototype)].concat(), [""; 0]);
}

#[test]
fn nodes_tell_each_other_whatever_their_own_streams_are_told() {
    let mut config = Config::default();
    config.publish_events = true;
    let (mut here, mut there) = (World::with(config), World::new());
    let (bob, far) = (here.online("bob"), there.online_extended("far"));
    there.say(far, "CREATE_CHAT_ROOM <den> <> <9> <>");
    let (room, username) = (RoomName::new("den").unwrap(), Username::new("bob").unwrap());
    let mut told = |here: &mut World, event: BusEvent| {
        assert_eq!(here.published(), std::slice::from_ref(&event));
        there.registry.handle_event(&event);
        there.run();
        there.heard(far)
    };
    here.say(bob, "CREATE_CHAT_ROOM <den> <> <9> <>");
    let joined = BusEvent::Joined { room: room.clone(), username: username.clone() };
    assert_eq!(told(&mut here, joined), ["USER_JOINED <den> <bob>"]);
    here.say(bob, "ROOM_EXIT <bob> <den>");
    let left = BusEvent::Left { room: room.clone(), username: username.clone() };
    assert_eq!(told(&mut here, left), ["USER_LEFT <den> <bob>"]);
    here.say(bob, "CREATE_CHAT_ROOM <den> <> <9> <>");
    here.published();
    here.disconnect(bob);
    assert_eq!(told(&mut here, BusEvent::Offline { username, rooms: vec![room] }), ["USER_LOGOUT <bob>"]);
}

#[test]
fn a_lease_is_the_asked_timeout_within_its_bounds() {
    for (asked, lease) in [("", 10), (" <1>", 3), (" <60>", 60), (" <4000000000>", 120)] {
        let mut w = World::new();
        let alice = w.online("alice");
        w.datagram("192.0.2.1:700", &format!("KEEP_ALIVE <alice>{asked}"));
        w.wait(SECOND * lease - Duration::from_millis(1));
        assert!(!w.is_closed(alice), "asked{asked}: alive until the lease ends");
        w.wait(Duration::from_millis(1));
        assert!(w.is_closed(alice));
        assert_eq!(w.heard(alice), ["TIMEOUT <alice>"]);
        assert_eq!(w.datagrams(), [("192.0.2.1:700".parse().unwrap(), "TIMEOUT <alice>".to_owned())]);
    }
}

#[test]
fn a_lost_lease_is_pushed_and_keep_alives_prevent_it() {
    let mut w = World::new();
    let (alice, bob) = (w.online("alice"), w.online("bob"));
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    for _ in 0..10 {
        w.wait(SECOND * 3);
        w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>");
    }
    assert!(w.is_closed(bob) && !w.is_closed(alice));
    assert_eq!(w.heard(alice), ["USER_LOGOUT <bob>"]);
    assert_eq!(w.registry.stats().sessions, 1);
}

#[test]
fn cannon_rule_2_a_datagram_that_proves_no_session_changes_nothing_and_gets_no_answer() {
    let mut w = World::new();
    let alice = w.online("alice");
    assert_eq!(w.datagram("198.51.100.9:700", "KEEP_ALIVE <alice> <120>"), []);
    assert_eq!(w.datagram("192.0.2.1:700", "KEEP_ALIVE <nobody> <120>"), []);
    w.wait(SECOND * 10);
    assert!(w.is_closed(alice), "the lease was not renewed from elsewhere");
    assert_eq!(w.datagrams(), [], "and nobody is told by UDP");
}

#[test]
fn cannon_rule_3_a_keep_alive_from_another_port_shortens_nothing() {
    let mut w = World::new();
    let alice = w.online("alice");
    w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <20>");
    w.datagram("192.0.2.1:701", "KEEP_ALIVE <alice> <3>");
    w.wait(SECOND * 19);
    assert!(!w.is_closed(alice));
    w.wait(SECOND);
    assert!(w.is_closed(alice));
    let told = [("192.0.2.1:700".parse().unwrap(), "TIMEOUT <alice>".to_owned())];
    assert_eq!(w.datagrams(), told, "and it doesn't change who is told");
}

#[test]
fn cannon_rule_1_a_client_chooses_a_port_of_at_least_1024_and_never_an_address() {
    let mut w = World::new();
    let victim = w.greet_extended("192.0.2.7");
    w.say(victim, &format!("REGISTER <eve> <{}>", digest("eve")));
    for port in ["80", "1023", "65536", "198.51.100.1:4000"] {
        let refused = w.say(victim, &format!("LOGIN <eve> <{}> <{port}>", digest("eve"))).concat();
        assert!(refused.starts_with(&format!("AUTH {NO} <")), "{port}: {refused}");
    }
    w.say(victim, &format!("LOGIN <eve> <{}> <1024> <198.51.100.1>", digest("eve")));
    let alice = w.online("alice");
    assert_eq!(
        w.say(alice, "SEARCH_USER <eve>"),
        [format!("SEARCH_USER_RESPONSE {OK} <eve> <1024> <192.0.2.7>")],
        "the address is the one that the stream comes from"
    );
}

#[test]
fn cannon_rule_3_a_datagram_from_a_new_source_changes_nothing_published() {
    let mut w = World::new();
    let (alice, bob) = (w.online("alice"), w.online("bob"));
    w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <60>");
    let published =
        |w: &mut World| [w.say(bob, "SEARCH_USER <alice>"), w.say(bob, "DISCOVER_PEERS <DETAILED>")].concat();
    let before = published(&mut w);
    w.datagram("192.0.2.1:701", "KEEP_ALIVE <alice> <60>");
    w.datagram("198.51.100.9:700", "KEEP_ALIVE <alice> <60>");
    assert_eq!(published(&mut w), before);
    assert!(before.concat().contains("<192.0.2.1>"));
    assert!(!w.is_closed(alice));
}

#[test]
fn cannon_rule_2_without_a_ticket_a_flood_is_answered_once_a_second_and_at_its_source() {
    let mut w = World::new();
    w.online("alice");
    let mut answers = 0;
    for _ in 0..1000 {
        for (to, answer) in w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>") {
            assert_eq!(
                (to.to_string().as_str(), answer.as_str()),
                ("192.0.2.1:700", "KEEP_ALIVE_RESPONSE <SUCCESS> <200>")
            );
            answers += 1;
        }
        w.wait(Duration::from_millis(10));
    }
    assert_eq!(answers, 10, "in as many seconds");
}

#[test]
fn a_fresh_login_replaces_a_ghost_but_not_a_live_session() {
    let mut w = World::new();
    let (ghost, friend) = (w.online("alice"), w.online("friend"));
    w.say(ghost, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(friend, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.wait(SECOND * 3);
    w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice> <10>");
    w.datagram("192.0.2.1:701", "KEEP_ALIVE <friend> <100>");
    w.wait(SECOND * 3);
    let fresh = w.greet("192.0.2.3");
    let login = format!("LOGIN <alice> <{}>", digest("alice"));
    assert_eq!(w.say(fresh, &login), ["AUTH <ONLINE> <300>"]);
    w.wait(SECOND);
    assert_eq!(w.say(fresh, &login), [format!("AUTH {OK}")]);
    assert!(w.is_closed(ghost));
    assert_eq!(w.heard(ghost), ["TIMEOUT <alice>"]);
    assert_eq!(w.heard(friend), [""; 0], "alice never was offline");
    w.disconnect(ghost);
    assert_eq!(w.say(fresh, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <den> <alice> <friend>")]);
}

#[test]
fn answers_come_in_the_order_of_requests_on_each_stream_alone() {
    let mut w = World::new();
    let (slow, quick) = (w.online("slow"), w.online("quick"));
    w.hold = true;
    w.say(slow, &format!("CREATE_CHAT_ROOM <den> <{}> <5> <>", digest("x")));
    assert!(!w.registry.is_ready(slow));
    w.say(slow, "DISCOVER_PEERS <den>");
    assert_eq!(w.heard(slow), [""; 0]);
    assert_eq!(w.say(quick, "DISCOVER_PEERS <PARTIAL>"), [format!("PEER_LIST {OK} <slow>")]);
    w.release(0);
    w.release(0);
    assert_eq!(w.heard(slow), [format!("CREATION {OK}"), format!("PEER_LIST {OK} <den> <slow>")]);
    assert!(w.registry.is_ready(slow));
}

#[test]
fn a_search_finds_who_came_online_while_the_store_was_asked() {
    let mut w = World::new();
    w.register("bob");
    let alice = w.online("alice");
    w.hold = true;
    w.say(alice, "SEARCH_USER <bob>");
    w.hold = false;
    w.online("bob");
    w.release(0);
    assert_eq!(w.heard(alice), [format!("SEARCH_USER_RESPONSE {OK} <bob> <4000> <192.0.2.1>")]);
}

#[test]
fn who_became_a_member_by_an_earlier_stream_s_request_joins_a_full_room() {
    let mut w = World::new();
    let alice = w.online("alice");
    w.hold = true;
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <1> <>");
    w.hold = false;
    w.disconnect(alice);
    let alice = w.online("alice");
    w.hold = true;
    w.say(alice, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.hold = false;
    w.release(0);
    w.release(0);
    assert_eq!(w.heard(alice), [format!("JOIN {OK}")]);
}

#[test]
fn what_was_durable_holds_even_if_nobody_waits_for_the_answer() {
    let mut w = World::new();
    let (owner, alice) = (w.online_extended("owner"), w.online("alice"));
    w.say(owner, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.hold = true;
    w.say(alice, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.release(0);
    w.disconnect(alice);
    w.hold = false;
    let alice = w.online("alice");
    w.heard(owner);
    w.release(0);
    assert_eq!(w.heard(owner), ["USER_JOINED <den> <alice>"]);
    assert_eq!(w.say(alice, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <den> <alice> <owner>")]);
}

#[test]
fn a_known_verb_with_bad_fields_gets_its_own_refusal_and_the_stream_goes_on() {
    let mut w = World::new();
    let alice = w.online_extended("alice");
    for (request, reply) in [
        ("REGISTER <a b> <x>", "REGISTER"),
        ("LOGIN <a>", "AUTH"),
        ("CREATE_CHAT_ROOM <r> <> <0> <>", "CREATION"),
        ("JOIN_CHAT_ROOM", "JOIN"),
        ("ROOM_EXIT <\u{202e}> <r>", "ROOM_EXIT_RESPONSE"),
        ("DISCOVER_PEERS", "PEER_LIST"),
        ("LOGOUT <bad\\x>", "HELLO_BACK"),
    ] {
        let answer = w.say(alice, request).concat();
        assert!(answer.starts_with(&format!("{reply} {NO} <")), "{request}: {answer}");
        assert!(answer.contains("byte"), "the reason says where: {answer}");
    }
    for (request, reply) in
        [("SEARCH_USER <>", "SEARCH_USER_RESPONSE"), ("SHOW_ROOMS_LIST <ALL>", "ROOMS_LIST")]
    {
        let answer = w.say(alice, request).concat();
        assert!(answer.starts_with(&format!("{reply} <NOT_FOUND> <404> <")), "{answer}");
    }
    assert!(!w.is_closed(alice));
}

#[test]
fn what_is_not_the_protocol_is_answered_and_the_stream_closed() {
    let mut w = World::new();
    let alice = w.online_extended("alice");
    let answer = w.say(alice, "GET / HTTP/1.1").concat();
    assert!(answer.starts_with(&format!("HELLO_BACK {NO} <")), "{answer}");
    assert!(w.is_closed(alice));
    assert_eq!(w.registry.stats().sessions, 0);
    let fresh = w.connect("192.0.2.1");
    w.registry.handle_malformed(w.now, fresh, Malformed::Frame(FrameError::TooLong { limit: 65_536 }));
    w.run();
    assert_eq!(w.heard(fresh), [format!("HELLO_BACK {NO}")]);
    assert!(w.is_closed(fresh));
}
