//! Who may be called how (PROTOCOL.md §3.2): the rules are in the tests' names.

use p2pchat_core::registry::store::{
    MemoryStore, Read, ReadTransaction, StoreAnswer, StoreRequest, Table, TokenChange, Write,
    WriteTransaction, is_prepared, prepare,
};
use p2pchat_proto::{RoomName, Username};

use crate::{
    NO, OK, SECOND,
    world::{World, digest},
};

fn register(user: &str) -> String {
    format!("REGISTER <{user}> <{}>", digest(user))
}

fn name(name: &str) -> Username {
    Username::new(name).unwrap()
}

#[test]
fn confusable_look_alikes_of_an_existing_name_are_refused() {
    let mut w = World::new();
    w.register("Alice");
    let (told, untold) = (w.greet_extended("192.0.2.1"), w.greet("192.0.2.2"));
    for double in ["аlice", "аlісе", "AIice", "ａｌｉｃｅ", "a1ice"] {
        let why = "<that username looks like Alice, which is taken>";
        assert_eq!(w.say(told, &register(double)), [format!("REGISTER <EXIST> <300> {why}")], "{double}");
        assert_eq!(w.say(untold, &register(double)), ["REGISTER <EXIST> <300>"]);
        assert_eq!(w.say(told, &format!("LOGIN <{double}> <{}>", digest(double))).len(), 1);
        assert!(!w.registry.has_session(told), "{double}");
    }
    assert_eq!(w.say(told, &register("alicia")), [format!("REGISTER {OK}")]);
    let why = "<that username is taken>";
    assert_eq!(w.say(told, &register("ALICE")), [format!("REGISTER <EXIST> <300> {why}")]);
}

#[test]
fn of_two_look_alikes_that_register_at_once_one_gets_the_name() {
    let mut w = World::new();
    let (a, b) = (w.greet("192.0.2.1"), w.greet("192.0.2.2"));
    w.hold = true;
    w.say(a, &register("sam"));
    w.say(b, &register("sаm"));
    while !w.held.is_empty() {
        w.release(w.held.len() - 1);
    }
    let mut replies = [w.heard(a), w.heard(b)].concat();
    replies.sort();
    assert_eq!(replies, ["REGISTER <EXIST> <300>".to_owned(), format!("REGISTER {OK}")]);
}

#[test]
fn a_room_looks_like_no_other_while_that_is_there() {
    let mut w = World::new();
    let (alice, bob) = (w.online_extended("alice"), w.online_extended("bob"));
    w.say(alice, "CREATE_CHAT_ROOM <Tea room> <> <5> <>");
    let why = "<there is a room whose name looks like that: Tea room>";
    let create = "CREATE_CHAT_ROOM <Теа room> <> <5> <>";
    assert_eq!(w.say(bob, create), [format!("CREATION {NO} {why}")]);
    // A user is no room.
    assert_eq!(w.say(bob, "CREATE_CHAT_ROOM <alice> <> <5> <>"), [format!("CREATION {OK}")]);
    w.say(alice, "ROOM_EXIT <alice> <Tea room>");
    assert_eq!(w.say(bob, create), [format!("CREATION {OK}")]);
    assert_eq!(w.say(alice, "CREATE_CHAT_ROOM <Tea room> <> <5> <>").len(), 1);
    let StoreAnswer::Rooms(rooms) = w.store.answer(&StoreRequest::Read(Read::Rooms)) else { panic!() };
    assert_eq!(rooms.len(), 2);
}

#[test]
fn who_may_be_in_no_further_room_takes_no_name() {
    let mut config = p2pchat_core::registry::Config::default();
    config.rooms_per_user = 1;
    let mut w = World::with(config);
    let (alice, bob) = (w.online("alice"), w.online("bob"));
    w.hold = true;
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>");
    let rooms = ["den", "bar"].map(|room| RoomName::new(room).unwrap());
    let [den, bar] = rooms;
    let create = |room: &RoomName| Write::CreateRoom {
        room: room.clone(),
        owner: name("alice"),
        password: None,
        capacity: p2pchat_proto::Capacity::new(5).unwrap(),
        description: p2pchat_proto::Description::default(),
        rooms_per_user: 1,
    };
    w.release(0);
    let again = w.store.answer(&StoreRequest::Write(create(&bar)));
    assert!(matches!(again, StoreAnswer::TooManyRooms), "{again:?}");
    assert!(matches!(w.store.answer(&StoreRequest::Write(create(&den))), StoreAnswer::NameTaken));
    w.hold = false;
    assert_eq!(w.say(bob, "CREATE_CHAT_ROOM <Ваr> <> <5> <>"), [format!("CREATION {OK}")]);
}

/// Has the store delete an account, and tells the machine.
fn delete(w: &mut World, user: &str) -> bool {
    let request = StoreRequest::Write(Write::DeleteAccount { username: name(user) });
    let StoreAnswer::Deleted { username, rooms } = w.store.answer(&request) else { panic!("{user}") };
    let was_online = w.registry.handle_deleted(&username, rooms);
    w.run();
    was_online
}

#[test]
fn a_deleted_accounts_name_stays_taken() {
    let mut w = World::new();
    w.register("Alice");
    assert!(!delete(&mut w, "alice"));
    let mut w = w.restarted();
    let conn = w.greet_extended("192.0.2.1");
    let why = "<that username is taken>";
    assert_eq!(w.say(conn, &register("alice")), [format!("REGISTER <EXIST> <300> {why}")]);
    let why = "<that username looks like Alice, which is taken>";
    assert_eq!(w.say(conn, &register("аlice")), [format!("REGISTER <EXIST> <300> {why}")]);
    let login = format!("LOGIN <alice> <{}>", digest("Alice"));
    assert_eq!(w.say(conn, &login), [format!("AUTH {NO} <wrong username or password>")]);
    let bob = w.online_extended("bob");
    let why = "<there is no such user>";
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), [format!("SEARCH_USER_RESPONSE <NOT_FOUND> <404> {why}")]);

    let again = StoreRequest::Write(Write::DeleteAccount { username: name("alice") });
    assert!(matches!(w.store.answer(&again), StoreAnswer::NoSuchAccount));
    let accounts = StoreRequest::Read(Read::Accounts { after: None, count: 9 });
    let StoreAnswer::Accounts(accounts) = w.store.answer(&accounts) else { panic!() };
    let told: Vec<_> = accounts.iter().map(|a| (a.username.as_str(), a.deleted)).collect();
    assert_eq!(told, [("Alice", true), ("bob", false)]);
}

#[test]
fn whose_account_is_deleted_is_told_and_leaves_every_room_to_the_others() {
    let mut w = World::new();
    let (alice, bob, carol) = (w.online_extended("alice"), w.online_extended("bob"), w.online("carol"));
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <2> <>");
    w.say(alice, "CREATE_CHAT_ROOM <attic> <> <2> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.heard(alice);
    assert!(delete(&mut w, "alice"));
    assert_eq!(w.heard(alice), [format!("HELLO_BACK {NO} <the operator has deleted your account>")]);
    assert!(w.is_closed(alice));
    assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>", "USER_LEFT <den> <alice>"]);
    assert_eq!(w.say(bob, "SHOW_ROOMS_LIST <DETAILED>"), ["ROOMS_LIST <FOUND> <200> <den> <> <1> <2>"]);
    let StoreAnswer::RoomInfos(rooms) =
        w.store.answer(&StoreRequest::Read(Read::RoomInfos { after: None, count: 9 }))
    else {
        panic!()
    };
    assert_eq!(&*rooms[0].owner, "bob");
    assert_eq!(w.say(carol, "JOIN_CHAT_ROOM <den> <> <increment>"), [format!("JOIN {OK}")]);
}

#[test]
fn who_was_on_the_way_in_when_the_account_was_deleted_does_not_get_in() {
    let mut w = World::new();
    w.register("alice");
    let conn = w.greet_extended("192.0.2.1");
    w.hold = true;
    w.say(conn, &format!("LOGIN <alice> <{}>", digest("alice")));
    // Account and hash; then the store lets the session through, and its answer is late.
    w.release(0);
    w.release(0);
    let (op, question) = w.held.pop().unwrap();
    let crate::world::Question::Store(request) = question else { panic!() };
    let answer = w.store.answer(&request);
    assert!(!delete(&mut w, "alice"));
    w.registry.handle_stored(w.now, op, answer);
    w.run();
    let told = w.heard(conn);
    assert_eq!(told, [format!("AUTH {NO} <the operator has deleted your account>")]);
    assert_eq!(w.registry.session_of(w.now, &name("alice")), None);
    w.wait(SECOND);
}

#[test]
fn what_a_deleted_user_had_asked_for_is_not_done() {
    let mut w = World::new();
    let (alice, bob) = (w.online("alice"), w.online("bob"));
    w.say(bob, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.hold = true;
    w.say(alice, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.release(0);
    delete(&mut w, "alice");
    // The membership itself is asked for only now.
    w.release(0);
    w.hold = false;
    assert_eq!(w.say(bob, "SHOW_ROOMS_LIST <DETAILED>"), ["ROOMS_LIST <FOUND> <200> <den> <> <1> <5>"]);
    assert_eq!(w.registry.stats().operations, 0);
}

#[test]
fn a_store_from_before_looks_were_kept_learns_them_and_keeps_those_who_look_alike() {
    let mut store = MemoryStore::new();
    let register = |store: &mut MemoryStore, user: &str| {
        let request = Write::Register { username: name(user), password: "hash".into(), invite: None };
        store.answer(&StoreRequest::Write(request))
    };
    let forget = |store: &mut MemoryStore| {
        let mut keys = Vec::new();
        store
            .scan(Table::Looks, &[], &mut |key, _| {
                keys.push(key.to_vec());
                true
            })
            .unwrap();
        keys.iter().for_each(|key| store.delete(Table::Looks, key).unwrap());
    };
    // More than are looked at at once.
    for n in 0..1_100 {
        assert!(matches!(register(&mut store, &format!("user-{n}")), StoreAnswer::Registered));
    }
    register(&mut store, "alice");
    forget(&mut store);
    assert!(matches!(register(&mut store, "аlice"), StoreAnswer::Registered), "of old nobody minded");
    let damaged = store.get(Table::Accounts, b"user-7").unwrap().unwrap();
    store.put(Table::Accounts, b"user-7", b"\xff").unwrap();
    assert!(!is_prepared(&store).unwrap());
    prepare(&mut store).unwrap();
    assert!(is_prepared(&store).unwrap());
    store.put(Table::Accounts, b"user-7", &damaged).unwrap();

    for (double, of) in
        [("USER-1O99", "user-1099"), ("user-О", "user-0"), ("uѕer-7", "user-7"), ("alicе", "alice")]
    {
        match register(&mut store, double) {
            StoreAnswer::LooksLike(other) => assert!(*other == *of || &*other == "аlice", "{double} {other}"),
            other => panic!("{double}: {other:?}"),
        }
    }
    for user in ["alice", "аlice"] {
        let session = Write::OpenSession { username: name(user), password: None, token: TokenChange::Keep };
        assert!(matches!(store.answer(&StoreRequest::Write(session)), StoreAnswer::Session(Some(_))));
    }
}
