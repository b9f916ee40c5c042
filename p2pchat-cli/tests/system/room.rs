//! The life of a room, on the wire (PROTOCOL.md §4.4–4.6, §5.3).

use crate::{DIGEST, WRONG_DIGEST, daemon::Daemon, wire::Wire};

#[test]
fn a_room_takes_who_has_its_password_and_no_more_than_its_capacity() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    let create = format!("CREATE_CHAT_ROOM <den> <{DIGEST}> <2> <bears>");
    assert_eq!(alice.ask(&create), "CREATION <SUCCESS> <200>");
    assert_eq!(alice.ask(&create), "CREATION <FAILURE> <404>");
    assert_eq!(alice.ask(&create.replace("den", "DEN")), "CREATION <FAILURE> <404>");

    let mut bob = Wire::online_with(&daemon, "bob", "reason");
    let join = |password: &str| format!("JOIN_CHAT_ROOM <den> <{password}> <increment>");
    assert_eq!(bob.ask(&join(WRONG_DIGEST)), "JOIN <FAILURE> <404> <wrong room password>");
    assert_eq!(bob.ask(&join("")), "JOIN <FAILURE> <404> <wrong room password>");
    assert_eq!(
        bob.ask(&join(DIGEST).replace("den", "attic")),
        "JOIN <FAILURE> <404> <there is no such room>"
    );
    assert_eq!(bob.ask(&join(DIGEST)), "JOIN <SUCCESS> <200>");
    assert_eq!(bob.ask(&join(WRONG_DIGEST)), "JOIN <SUCCESS> <200>", "a member is in already");

    let mut carol = Wire::online_with(&daemon, "carol", "reason");
    assert_eq!(carol.ask(&join(DIGEST)), "JOIN <FAILURE> <404> <the room is full>");
    // Capacity counts members, not who is online.
    alice.say("LOGOUT");
    alice.expect_end();
    assert_eq!(bob.hear(), "USER_LOGOUT <alice>");
    assert_eq!(carol.ask(&join(DIGEST)), "JOIN <FAILURE> <404> <the room is full>");
    assert_eq!(bob.ask("ROOM_EXIT <bob> <den>"), "ROOM_EXIT_RESPONSE <SUCCESS> <200>");
    assert_eq!(carol.ask(&join(DIGEST)), "JOIN <SUCCESS> <200>");
}

#[test]
fn a_room_without_a_password_takes_any() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    let mut bob = Wire::online(&daemon, "bob");
    alice.create("den", 5);
    assert_eq!(bob.ask(&format!("JOIN_CHAT_ROOM <den> <{DIGEST}> <increment>")), "JOIN <SUCCESS> <200>");
}

#[test]
fn no_room_is_called_like_a_kind_of_list() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    for name in ["DETAILED", "partial", "Simple", "", " den", "a<b", "a,b", &"x".repeat(65)] {
        let create = format!("CREATE_CHAT_ROOM <{}> <> <5> <>", name.replace('<', "\\<"));
        assert_eq!(alice.ask(&create), "CREATION <FAILURE> <404>", "{name:?}");
    }
    for capacity in ["0", "100001", "-1", "many"] {
        let create = format!("CREATE_CHAT_ROOM <den> <> <{capacity}> <>");
        assert_eq!(alice.ask(&create), "CREATION <FAILURE> <404>", "{capacity}");
    }
    let long = format!("CREATE_CHAT_ROOM <den> <> <5> <{}>", "x".repeat(257));
    assert_eq!(alice.ask(&long), "CREATION <FAILURE> <404>");
    assert_eq!(alice.ask("SHOW_ROOMS_LIST <PARTIAL>"), "ROOMS_LIST <NOT_FOUND> <404>");
}

#[test]
fn a_room_is_gone_when_its_last_member_leaves() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    let mut bob = Wire::online(&daemon, "bob");
    alice.create("den", 5);
    bob.join("den");
    let exit = |user: &str| format!("ROOM_EXIT <{user}> <den>");
    assert_eq!(alice.ask(&exit("alice")), "ROOM_EXIT_RESPONSE <SUCCESS> <200>");
    assert_eq!(alice.ask(&exit("alice")), "ROOM_EXIT_RESPONSE <FAILURE> <404>");
    assert_eq!(alice.ask("SHOW_ROOMS_LIST <DETAILED>"), "ROOMS_LIST <FOUND> <200> <den> <> <1> <5>");
    assert_eq!(bob.ask(&exit("bob")), "ROOM_EXIT_RESPONSE <SUCCESS> <200>");
    assert_eq!(alice.ask("SHOW_ROOMS_LIST <DETAILED>"), "ROOMS_LIST <NOT_FOUND> <404>");
    assert_eq!(alice.ask("JOIN_CHAT_ROOM <den> <> <increment>"), "JOIN <FAILURE> <404>");
    bob.create("Den", 7);
    assert_eq!(alice.ask("SHOW_ROOMS_LIST <DETAILED>"), "ROOMS_LIST <FOUND> <200> <Den> <> <1> <7>");
}

#[test]
fn membership_outlasts_the_session() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    alice.create("den", 5);
    alice.say("LOGOUT");
    alice.expect_end();
    let mut again = Wire::greeted(&daemon);
    again.log_in("alice");
    assert_eq!(again.ask("DISCOVER_PEERS <den>"), "PEER_LIST <SUCCESS> <200> <den> <alice>");
}

#[test]
fn nobody_is_in_more_than_32_rooms() {
    let daemon = Daemon::start();
    let mut alice = Wire::online_with(&daemon, "alice", "reason");
    let mut bob = Wire::online_with(&daemon, "bob", "reason");
    bob.create("bobs", 5);
    for room in 0..32 {
        alice.create(&format!("room {room}"), 5);
    }
    let refused = alice.ask("CREATE_CHAT_ROOM <one more> <> <5> <>");
    assert!(refused.starts_with("CREATION <FAILURE> <404> <") && refused.contains("32"), "{refused}");
    let refused = alice.ask("JOIN_CHAT_ROOM <bobs> <> <increment>");
    assert!(refused.starts_with("JOIN <FAILURE> <404> <") && refused.contains("32"), "{refused}");
    assert_eq!(alice.ask("ROOM_EXIT <alice> <room 7>"), "ROOM_EXIT_RESPONSE <SUCCESS> <200>");
    alice.join("bobs");
}
