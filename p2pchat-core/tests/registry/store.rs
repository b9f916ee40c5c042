//! What the store's records promise (PROTOCOL.md §5.3).

use p2pchat_core::registry::{
    HashAnswer, HashRequest,
    store::{
        MemoryStore, Read, ReadTransaction, Secret, StoreAnswer, StoreError, StoreRequest, Table,
        TokenChange, Write, WriteTransaction,
    },
};
use p2pchat_proto::{Capacity, Description, Limits, PasswordDigest, RoomName, Username};

use crate::{
    NO,
    world::{Question, World, digest},
};

#[test]
fn a_room_under_wider_limits_than_the_protocols_is_left_like_any_other() {
    let mut limits = Limits::DEFAULT;
    limits.room_name_chars = 100;
    let username = Username::new("alice").unwrap();
    let room = RoomName::with_limits(&"Den".repeat(30), &limits).unwrap();
    let again = RoomName::with_limits(&"dEN".repeat(30), &limits).unwrap();
    let mut store = MemoryStore::new();
    let mut write = |request| store.answer(&StoreRequest::Write(request));

    write(Write::Register { username: username.clone(), password: "hash".into(), invite: None });
    let created = write(Write::CreateRoom {
        room,
        owner: username.clone(),
        password: None,
        capacity: Capacity::new(5).unwrap(),
        description: Description::default(),
        rooms_per_user: 32,
    });
    assert!(matches!(created, StoreAnswer::Joined { .. }), "{created:?}");
    let left = write(Write::LeaveRoom { room: again, username: username.clone() });
    assert!(matches!(left, StoreAnswer::Left { .. }), "{left:?}");
    let session = write(Write::OpenSession { username, password: None, token: TokenChange::Keep });
    assert!(matches!(&session, StoreAnswer::Session(Some((_, rooms, _))) if rooms.is_empty()), "{session:?}");
}

#[test]
fn a_room_that_was_left_on_an_earlier_stream_is_not_left_again() {
    let mut w = World::new();
    let earlier = w.online_extended("alice");
    w.say(earlier, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.hold = true;
    w.say(earlier, "ROOM_EXIT <alice> <den>");
    w.disconnect(earlier);
    w.hold = false;
    let alice = w.online_extended("alice");
    w.hold = true;
    assert_eq!(w.say(alice, "ROOM_EXIT <alice> <den>"), [""; 0]);
    w.release(0);
    w.heard(alice);
    w.release(0);
    let why = "<you are not a member of that room>";
    assert_eq!(w.heard(alice), [format!("ROOM_EXIT_RESPONSE {NO} {why}")]);
}

#[test]
fn a_hash_that_is_made_anew_at_a_login_replaces_the_old_one() {
    let mut w = World::new();
    w.register("alice");
    let conn = w.greet("192.0.2.1");
    w.hold = true;
    w.say(conn, &format!("LOGIN <alice> <{}>", digest("alice")));
    w.release(0);
    let (op, question) = w.held.pop().unwrap();
    assert!(matches!(question, Question::Hash(HashRequest::Verify { .. })), "{question:?}");
    w.registry.handle_hashed(w.now, op, HashAnswer::Match { upgraded: Some("stronger".into()) });
    w.run();
    assert_eq!(w.heard(conn), [""; 0], "not before it is durable");
    w.release(0);
    assert_eq!(w.heard(conn), ["AUTH <SUCCESS> <200>"]);
    let username = Username::new("alice").unwrap();
    let StoreAnswer::Account(Some(Secret(stored))) =
        w.store.answer(&StoreRequest::Read(Read::Account { username }))
    else {
        panic!("the account is there");
    };
    assert_eq!(&*stored, "stronger");
}

#[test]
fn a_room_goes_to_whoever_has_been_in_it_longest() {
    let mut w = World::new();
    let users = ["dora", "carl", "bert", "anna"].map(|name| (name, w.online(name)));
    w.say(users[0].1, "CREATE_CHAT_ROOM <attic> <> <9> <>");
    w.say(users[3].1, "CREATE_CHAT_ROOM <den> <> <9> <>");
    let owner_of = |w: &World, room: &str| {
        // The owner is a room's last field.
        let record = w.store.get(Table::Rooms, room.as_bytes()).unwrap().unwrap();
        users.map(|(name, _)| name).into_iter().find(|name| record.ends_with(name.as_bytes())).unwrap()
    };
    for (name, conn) in users {
        w.say(conn, "JOIN_CHAT_ROOM <den> <> <increment>");
        assert_eq!(owner_of(&w, "den"), "anna", "when {name} came");
    }
    w.say(users[1].1, "ROOM_EXIT <carl> <den>");
    w.say(users[1].1, "JOIN_CHAT_ROOM <den> <> <increment>");
    for (name, heir) in [("anna", "dora"), ("dora", "bert"), ("bert", "carl")] {
        let (_, conn) = users.iter().find(|(user, _)| *user == name).unwrap();
        w.say(*conn, &format!("ROOM_EXIT <{name}> <den>"));
        assert_eq!(owner_of(&w, "den"), heir, "when {name} left");
    }
    assert_eq!(owner_of(&w, "attic"), "dora");
}

/// Stores on disk have tables of these names.
#[test]
fn tables_keep_their_names() {
    let names: Vec<_> = Table::ALL.iter().map(|table| table.name()).collect();
    let expected = [
        "accounts",
        "passwords",
        "rooms",
        "members",
        "seniority",
        "bans",
        "invites",
        "looks",
        "tokens",
        "room bans",
        "meta",
    ];
    assert_eq!(names, expected);
}

#[test]
fn debug_output_names_the_kind_and_hides_the_secret() {
    let digest = PasswordDigest::of_password("secret");
    let phc = || "$argon2id$…".into();
    let username = Username::new("alice").unwrap();
    for (shown, expected) in [
        (format!("{:?}", HashRequest::Create { digest: digest.clone() }), "Create(…)"),
        (format!("{:?}", HashRequest::Verify { digest, stored: Some(phc()) }), "Verify(…)"),
        (format!("{:?}", HashAnswer::Created(phc())), "Created(…)"),
        (format!("{:?}", HashAnswer::Match { upgraded: Some(phc()) }), "Match"),
        (format!("{:?}", Secret(phc())), "Secret(…)"),
        (format!("{:?}", Write::Register { username, password: phc(), invite: None }), "Register(alice)"),
    ] {
        assert_eq!(shown, expected);
    }
}

#[test]
fn a_damaged_count_is_said_to_be_damaged_and_not_counted_on() {
    // Postcard's longest number.
    const LAST: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let (ali, bob) = (Username::new("ali").unwrap(), Username::new("bob").unwrap());
    let den = RoomName::new("den").unwrap();
    let create = |room: &str| {
        StoreRequest::Write(Write::CreateRoom {
            room: RoomName::new(room).unwrap(),
            owner: ali.clone(),
            password: None,
            capacity: Capacity::new(5).unwrap(),
            description: Description::default(),
            rooms_per_user: 32,
        })
    };
    let mut store = MemoryStore::new();
    for username in [&ali, &bob] {
        let register = Write::Register { username: username.clone(), password: "hash".into(), invite: None };
        assert!(matches!(store.answer(&StoreRequest::Write(register)), StoreAnswer::Registered));
    }
    assert!(matches!(store.answer(&create("den")), StoreAnswer::Joined { .. }));

    // After id, name, description, capacity and members: the number of the next membership.
    let record = store.get(Table::Rooms, b"den").unwrap().unwrap();
    let (before, after) = (&record[..8], &record[9..]);
    assert_eq!(before, b"\x01\x03den\x00\x05\x01");
    store.put(Table::Rooms, b"den", &[before, LAST, after].concat()).unwrap();
    let StoreAnswer::Room(Some(state)) =
        store.answer(&StoreRequest::Read(Read::Room { room: den.clone(), username: bob.clone() }))
    else {
        panic!("the record can be read");
    };
    let join = Write::JoinRoom { room: den, id: state.id, password: None, username: bob, rooms_per_user: 32 };
    let joined = store.answer(&StoreRequest::Write(join));
    assert!(matches!(joined, StoreAnswer::Failed(StoreError::Corrupt("room"))), "{joined:?}");

    store.put(Table::Meta, b"next room id", LAST).unwrap();
    let created = store.answer(&create("attic"));
    assert!(matches!(created, StoreAnswer::Failed(StoreError::Corrupt("room id"))), "{created:?}");
}
