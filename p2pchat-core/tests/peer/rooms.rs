//! One's own rooms and their rosters.

use p2pchat_core::peer::Config;
use p2pchat_proto::{
    Capacity, Description, Detail, FromRegistry, List, PeerList, PeerRecord, RoomName, RoomRecord, RoomsList,
};

use crate::solo::{SECOND, Solo, room, user};

const NOTHING: [&str; 0] = [];

fn roster(s: &Solo) -> String {
    s.peer.roster(&room("den")).unwrap().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_restarted_client_learns_its_rooms_from_the_registry() {
    let mut s = Solo::alice();
    s.registry("USER_JOINED <den> <alice>");
    assert_eq!(s.did(), ["> DISCOVER_PEERS <den>"]);
    s.members("den", &["alice", "bob"]);
    assert_eq!(s.did(), ["in den with [\"alice\", \"bob\"]"]);
    assert_eq!(s.peer.room_names().collect::<Vec<_>>(), [&room("den")]);
}

#[test]
fn creating_and_joining_enter_the_room() {
    let mut s = Solo::alice();
    let (capacity, about) = (Capacity::new(5).unwrap(), Description::new("about").unwrap());
    s.peer.create(s.now, room("den"), None, capacity, about);
    s.peer.join(s.now, room("attic"), None);
    assert_eq!(
        s.did(),
        ["> CREATE_CHAT_ROOM <den> <> <5> <about>", "> JOIN_CHAT_ROOM <attic> <> <increment>"]
    );
    s.registry("CREATION <SUCCESS> <200>");
    s.registry("JOIN <FAILURE> <404> <full>");
    assert_eq!(s.did(), ["ok Done", "> DISCOVER_PEERS <den>", "failed: full"]);
    s.members("den", &["alice"]);
    assert_eq!(s.did(), ["in den with [\"alice\"]"]);

    s.peer.join(s.now, room("den"), None);
    s.registry("JOIN <SUCCESS> <200>");
    s.members("den", &["alice"]);
    assert_eq!(s.did().last().unwrap(), "in den with [\"alice\"]", "told again to who joins again");
}

#[test]
fn pushes_keep_the_roster_current() {
    let mut s = Solo::alice_in_den();
    s.registry("USER_JOINED <den> <dave>");
    s.registry("USER_JOINED <den> <dave>");
    s.registry("USER_LEFT <den> <bob>");
    s.registry("USER_LOGOUT <carol>");
    s.registry("USER_JOINED <attic> <eve>");
    assert_eq!(s.did(), ["dave is in den", "bob left den", "carol is offline in [\"den\"]"]);
    assert_eq!(roster(&s), "alice dave");
}

#[test]
fn pushes_before_the_first_list_are_in_it() {
    let mut s = Solo::alice();
    s.registry("USER_JOINED <den> <alice>");
    s.registry("USER_JOINED <den> <bob>");
    s.did();
    s.members("den", &["alice"]);
    assert_eq!(s.did(), ["in den with [\"alice\"]"], "bob has left again before the list was made");
    assert_eq!(roster(&s), "alice");
}

#[test]
fn without_pushes_the_members_are_asked_for_now_and_then() {
    let mut s = Solo::alice_with(Config::default(), "");
    s.peer.join(s.now, room("den"), None);
    s.registry("JOIN <SUCCESS> <200>");
    s.members("den", &["alice", "bob"]);
    s.did();
    assert_eq!(s.wait_quietly(SECOND * 30), ["> DISCOVER_PEERS <den>"]);
    s.members("den", &["alice", "carol"]);
    assert_eq!(s.did(), ["carol is in den", "bob is offline in [\"den\"]"]);
    assert_eq!(s.wait_quietly(SECOND * 29), NOTHING);
    assert_eq!(s.wait_quietly(SECOND), ["> DISCOVER_PEERS <den>"]);

    let mut s = Solo::alice_in_den();
    assert_eq!(s.wait_quietly(SECOND * 300), NOTHING, "with pushes there is nothing to ask");
}

#[test]
fn leaving_ends_the_room_and_so_does_losing_it() {
    let mut s = Solo::alice_in_den();
    s.peer.leave(s.now, room("den"));
    assert_eq!(s.did(), ["> ROOM_EXIT <alice> <den>"]);
    s.registry("ROOM_EXIT_RESPONSE <SUCCESS> <200>");
    assert_eq!(s.did(), ["ok Done"]);
    assert!(s.peer.roster(&room("den")).is_none());

    let mut s = Solo::alice_in_den();
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.wait(SECOND);
    s.peer.handle_registry_connected(s.now, Some(p2pchat_proto::Dialect::Canonical));
    s.registry("HELLO_BACK <SUCCESS> <200> <1> <roster>");
    s.registry("AUTH <SUCCESS> <200>");
    s.did();
    s.registry("PEER_LIST <FAILURE> <404>");
    assert_eq!(s.did(), ["alice left den"]);
    assert_eq!(s.peer.room_names().count(), 0);
}

#[test]
fn members_are_told_on_request() {
    let mut s = Solo::alice_in_den();
    s.peer.members(s.now, room("den"));
    s.peer.members(s.now, room("attic"));
    s.did();
    s.members("den", &["alice", "bob", "carol"]);
    assert_eq!(s.did(), ["ok Members([\"alice\", \"bob\", \"carol\"])"]);
    s.registry("PEER_LIST <FAILURE> <404>");
    assert_eq!(s.did(), ["failed: not a member of that room"]);

    let mut s = Solo::alice_with(Config::default(), "");
    s.peer.members(s.now, room("den"));
    s.did();
    s.members("den", &["alice"]);
    let did = s.did();
    assert_eq!(did, ["ok Members([\"alice\"])", "in den with [\"alice\"]"], "only members are told");
}

#[test]
fn a_list_of_the_wrong_room_is_no_answer() {
    let mut s = Solo::alice_in_den();
    s.peer.members(s.now, room("den"));
    s.did();
    let list = PeerList::Room { room: room("attic"), members: List::fitting([user("eve")]) };
    s.peer.handle_registry_message(s.now, FromRegistry::Peers(list));
    assert_eq!(s.did(), ["failed: the registry answered something unexpected: a list of another kind"]);
    assert_eq!(roster(&s), "alice bob carol");
}

#[test]
fn rooms_are_bounded() {
    let mut config = Config::default();
    config.rooms = 2;
    let mut s = Solo::alice_with(config, crate::solo::ALL);
    for n in 0..3 {
        s.registry(&format!("USER_JOINED <room{n}> <alice>"));
    }
    assert_eq!(
        s.did(),
        [
            "> DISCOVER_PEERS <room0>",
            "> DISCOVER_PEERS <room1>",
            "fault of registry: says that one is in more than 2 rooms"
        ]
    );
    s.members("room0", &["alice"]);
    s.members("room1", &["alice"]);
    s.peer.members(s.now, room("room2"));
    s.members("room2", &["alice"]);
    assert_eq!(s.did().last().unwrap(), "ok Members([\"alice\"])");
    assert_eq!(s.peer.room_names().map(RoomName::as_str).collect::<Vec<_>>(), ["room0", "room1"]);
}

#[test]
fn rosters_are_bounded() {
    let mut config = Config::default();
    config.limits.capacity = 2;
    let mut s = Solo::alice_with(config, crate::solo::ALL);
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice"]);
    s.registry("USER_JOINED <den> <bob>");
    s.registry("USER_JOINED <den> <carol>");
    assert_eq!(roster(&s), "alice bob");
}

#[test]
fn each_list_answers_what_was_asked_and_no_other() {
    let mut s = Solo::alice();
    let other = "failed: the registry answered something unexpected: a list of another kind";
    let (den, about) = (room("den"), Description::new("about").unwrap());
    let record = || {
        let capacity = Capacity::new(5).unwrap();
        RoomRecord { name: den.clone(), description: about.clone(), members: 1, capacity }
    };
    let detailed = || RoomsList::Detailed(List::fitting([record()]));
    let partial = || RoomsList::Partial(List::fitting([den.clone()]));
    let none = || RoomsList::NotFound { reason: None };
    for (detail, list, answer) in [
        (Detail::Detailed, detailed(), format!("ok Rooms({:?})", [record()])),
        (Detail::Partial, partial(), "ok RoomNames([\"den\"])".to_owned()),
        (Detail::Detailed, none(), "ok Rooms([])".to_owned()),
        (Detail::Partial, none(), "ok RoomNames([])".to_owned()),
        (Detail::Partial, detailed(), other.to_owned()),
    ] {
        s.peer.rooms(s.now, detail);
        s.did();
        s.peer.handle_registry_message(s.now, FromRegistry::Rooms(list));
        assert_eq!(s.did(), [answer]);
    }
    let ip = [192, 0, 2, 2].into();
    let record = || PeerRecord { username: user("bob"), room: None, port: 4_000, ip };
    let detailed = || PeerList::Detailed(List::fitting([record()]));
    let partial = || PeerList::Partial(List::fitting([user("bob")]));
    let none = || PeerList::Failure { reason: None };
    for (detail, list, answer) in [
        (Detail::Detailed, detailed(), format!("ok Peers({:?})", [record()])),
        (Detail::Partial, partial(), "ok Names([\"bob\"])".to_owned()),
        (Detail::Detailed, none(), "ok Peers([])".to_owned()),
        (Detail::Partial, none(), "ok Names([])".to_owned()),
        (Detail::Detailed, partial(), other.to_owned()),
    ] {
        s.peer.peers(s.now, detail);
        s.did();
        s.peer.handle_registry_message(s.now, FromRegistry::Peers(list));
        assert_eq!(s.did(), [answer]);
    }
}
