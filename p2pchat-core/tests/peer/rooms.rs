//! One's own rooms and their rosters.

use p2pchat_core::peer::Config;
use p2pchat_proto::{
    Capacity, Description, Detail, FromRegistry, List, PeerList, PeerRecord, Reason, RoomName, RoomRecord,
    RoomSetting, RoomsList,
};

use crate::solo::{SECOND, Solo, room, text, user};

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

#[test]
fn who_is_put_out_of_a_room_is_in_it_no_longer() {
    let mut s = Solo::alice_in_den();
    s.registry("ROOM_KICKED <den> <bob> <carol> <no spam>");
    assert_eq!(s.did(), ["bob is kicked out of den by carol: no spam"]);
    assert_eq!(roster(&s), "alice carol");
    s.registry("ROOM_BANNED <den> <dave> <carol>");
    assert_eq!(s.did(), ["dave is banned from den by carol"], "one who was offline");
    s.registry("ROOM_KICKED <attic> <bob> <carol>");
    assert_eq!(s.did(), NOTHING, "of a room that isn't one's own nothing is told");
    s.registry("ROOM_BANNED <den> <alice> <carol> <you too>");
    assert_eq!(s.did(), ["alice is banned from den by carol: you too"]);
    assert_eq!(s.peer.room_names().count(), 0);
}

#[test]
fn who_is_put_out_neither_hears_nor_speaks_there_from_that_moment() {
    let mut s = Solo::alice_in_den();
    let stream = s.accept();
    s.peer.broadcast(s.now, room("den"), text("morning"));
    s.did();
    s.registry("ROOM_KICKED <den> <alice> <carol>");
    s.did();
    s.hear(stream, "DIRECT_BROADCAST <bob> <den> hi");
    let refused = "s0 DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <bob> <hi> <not in that room>";
    assert_eq!(s.did(), [refused]);
    s.peer.broadcast(s.now, room("den"), text("still there?"));
    assert_eq!(s.did(), ["failed: not a member of that room"]);
    // The broadcast from before: those whom it was still on its way to don't get it.
    for (name, host) in [("bob", 2), ("carol", 3)] {
        s.registry(&format!(
            "SEARCH_USER_RESPONSE <SUCCESS> <200> <{name}> <4000> <192.0.2.{host}> <sender>"
        ));
    }
    s.did();
    for stream in [1, 2] {
        s.peer.handle_stream_connected(s.now, s.streams[stream]);
    }
    let did = s.did();
    assert!(!did.iter().any(|what| what.contains("DIRECT_BROADCAST")), "{did:?}");
    assert!(did.last().is_some_and(|what| what.matches("NotAMember").count() == 2), "{did:?}");
}

#[test]
fn whom_one_puts_out_oneself_is_in_the_room_no_longer() {
    let mut s = Solo::alice_in_den();
    s.peer.kick(s.now, room("den"), user("BOB"), Some(Reason::new("spam").unwrap()));
    s.peer.ban(s.now, room("den"), user("carol"), None);
    s.peer.ban(s.now, room("den"), user("dave"), None);
    s.peer.kick(s.now, room("den"), user("alice"), None);
    s.did();
    s.registry("MODERATION <SUCCESS> <200>");
    assert_eq!(s.did(), ["bob is kicked out of den by alice: spam", "ok Done"]);
    s.registry("MODERATION <SUCCESS> <200>");
    assert_eq!(s.did(), ["carol is banned from den by alice", "ok Done"]);
    s.registry("MODERATION <SUCCESS> <200>");
    assert_eq!(s.did(), ["ok Done"], "who wasn't there is not told of");
    s.registry("MODERATION <FAILURE> <404> <that is you>");
    assert_eq!(s.did(), ["failed: that is you"]);
    assert_eq!(roster(&s), "alice");
}

#[test]
fn a_changed_room_is_told() {
    let mut s = Solo::alice_in_den();
    s.registry("ROOM_CHANGED <den> <carol> <OWNER> <alice>");
    s.registry("ROOM_CHANGED <den> <carol> <PASSWORD> <PROTECTED>");
    assert_eq!(s.did(), ["carol sets den Owner(\"alice\")", "carol sets den Password { protected: true }"]);
}

#[test]
fn what_an_owner_wants_is_asked_of_the_registry() {
    let mut s = Solo::alice_in_den();
    let why = Reason::new("spam").unwrap();
    s.peer.kick(s.now, room("den"), user("bob"), Some(why));
    s.peer.ban(s.now, room("den"), user("bob"), None);
    s.peer.unban(s.now, room("den"), user("bob"));
    s.peer.bans(s.now, room("den"));
    s.peer.bans(s.now, room("den"));
    s.peer.set_room(s.now, room("den"), RoomSetting::Password(None));
    assert_eq!(
        s.did(),
        [
            "> ROOM_KICK <den> <bob> <spam>",
            "> ROOM_BAN <den> <bob>",
            "> ROOM_UNBAN <den> <bob>",
            "> ROOM_BANS <den>",
            "> ROOM_BANS <den>",
            "> ROOM_SET <den> <PASSWORD> <>",
        ]
    );
    s.registry("MODERATION <SUCCESS> <200>");
    s.registry("MODERATION <FAILURE> <404> <no>");
    s.registry("MODERATION <SUCCESS> <200>");
    s.registry("BAN_LIST <FOUND> <200> <bob> <spam>");
    s.registry("BAN_LIST <FAILURE> <404> <no>");
    s.registry("MODERATION <SUCCESS> <200>");
    let kicked = "bob is kicked out of den by alice: spam";
    let bans = r#"ok Bans([BanRecord { username: "bob", reason: "spam" }])"#;
    assert_eq!(s.did(), [kicked, "ok Done", "failed: no", "ok Done", bans, "failed: no", "ok Done"]);
}

#[test]
fn without_the_capability_nobody_is_an_owner() {
    let mut s = Solo::alice_with(Config::default(), " <1> <reason,roster,sender>");
    s.peer.kick(s.now, room("den"), user("bob"), None);
    s.peer.bans(s.now, room("den"));
    assert_eq!(s.did(), ["failed: this registry does not support that"; 2]);
    let mut s = Solo::new();
    s.peer.unban(s.now, room("den"), user("bob"));
    assert_eq!(s.did(), ["failed: not logged in"]);
}

#[test]
fn an_answer_to_something_else_is_the_registrys_fault() {
    let mut s = Solo::alice_in_den();
    s.peer.bans(s.now, room("den"));
    s.did();
    s.registry("MODERATION <SUCCESS> <200>");
    let did = s.did();
    assert!(did.iter().any(|what| what.starts_with("fault of registry")), "{did:?}");
}
