//! What the operator sees and does.

use std::time::Duration;

use p2pchat_core::registry::{
    Ban, BanTarget, Config, PrefixLimits, Rate, Refused,
    store::{MemoryStore, Read, StoreAnswer, StoreRequest, Write},
};
use p2pchat_proto::{Capabilities, Dialect, Reason, Username};

use crate::{
    NO, OK, SECOND,
    world::{World, digest},
};

fn name(name: &str) -> Username {
    Username::new(name).unwrap()
}

#[test]
fn sessions_are_told_by_name_from_any_name_on() {
    let mut w = World::new();
    let (carol, alice) = (w.online("carol"), w.online_extended("Alice"));
    w.online("bob");
    w.greet("192.0.2.7");
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.wait(SECOND);
    w.say(carol, "SEARCH_USER <bob>");
    let names = |w: &World, after: Option<&str>| -> Vec<String> {
        let after = after.map(name);
        w.registry.sessions(w.now, after.as_ref()).map(|session| session.username.to_string()).collect()
    };
    assert_eq!(names(&w, None), ["Alice", "bob", "carol"]);
    assert_eq!(names(&w, Some("ALICE")), ["bob", "carol"]);
    assert_eq!(names(&w, Some("carol")), Vec::<String>::new());

    let alice = w.registry.session_of(w.now, &name("alice")).unwrap();
    assert_eq!((alice.remote.to_string().as_str(), alice.port.unwrap().get()), ("192.0.2.1:50000", 4_000));
    assert_eq!((alice.online_for, alice.silent_for), (SECOND, SECOND));
    assert_eq!(
        (alice.dialect, alice.capabilities),
        (Dialect::Canonical, Capabilities::parse("reason,roster,sender,origin"))
    );
    assert_eq!(alice.rooms.iter().map(|room| room.as_str()).collect::<Vec<_>>(), ["den"]);
    let carol = w.registry.session_of(w.now, &name("carol")).unwrap();
    assert_eq!((carol.online_for, carol.silent_for), (SECOND, Duration::ZERO));
    assert_eq!(w.registry.session_of(w.now, &name("dave")), None);
}

#[test]
fn a_kicked_user_is_told_why_is_offline_and_may_come_back() {
    let mut w = World::new();
    let (alice, bob) = (w.online_extended("alice"), w.online_extended("bob"));
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.heard(alice);
    assert!(w.registry.kick(&name("ALICE"), "go to bed"));
    w.run();
    assert_eq!(w.heard(alice), [format!("HELLO_BACK {NO} <go to bed>")]);
    assert!(w.is_closed(alice));
    assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"]);
    assert!(!w.registry.kick(&name("alice"), "go to bed"));
    w.online("alice");
}

fn user(text: &str) -> BanTarget {
    BanTarget::User(name(text))
}

fn subnet(text: &str) -> BanTarget {
    BanTarget::Subnet(text.parse().unwrap())
}

fn spam() -> Option<Reason> {
    Some(Reason::new("spam").unwrap())
}

/// Says that somebody is banned, for so long or for ever; how many streams that ended.
fn ban(w: &mut World, target: BanTarget, lasts: Option<Duration>) -> usize {
    let until = lasts.map(|lasts| w.now + lasts);
    let ended = w.registry.ban(w.now, target, spam(), until);
    w.run();
    ended
}

fn login(user: &str) -> String {
    format!("LOGIN <{user}> <{}>", digest(user))
}

#[test]
fn a_banned_users_session_ends_and_a_login_is_refused_with_reason_and_time() {
    let mut w = World::new();
    let (alice, bob) = (w.online_extended("alice"), w.online_extended("bob"));
    w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    assert_eq!(ban(&mut w, user("ALICE"), Some(7_200 * SECOND)), 1);
    let banned = "you are banned from this registry for another 2 h: spam";
    assert_eq!(w.heard(alice).last().unwrap(), &format!("HELLO_BACK {NO} <{banned}>"));
    assert!(w.is_closed(alice) && !w.is_closed(bob));
    assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"]);

    let again = w.greet_extended("192.0.2.9");
    w.wait(7_140 * SECOND);
    let again_later = w.greet_extended("192.0.2.9");
    for conn in [again, again_later] {
        let banned = "you are banned from this registry for another 60 s: spam";
        assert_eq!(w.say(conn, &login("alice")), [format!("AUTH {NO} <{banned}>")]);
        assert!(!w.is_closed(conn));
    }
    assert_eq!(w.registry.session_of(w.now, &name("alice")), None);
    let wrong = format!("LOGIN <alice> <{}>", digest("wrong"));
    let told = w.say(again, &wrong);
    assert_eq!(told, [format!("AUTH {NO} <wrong username or password>")], "not told to just anybody");
    assert_eq!(w.registry.stats().refused_banned, 2);

    w.wait(60 * SECOND);
    assert_eq!(w.say(again, &login("alice")).first().unwrap(), &format!("AUTH {OK}"), "it has run out");
}

#[test]
fn who_was_on_the_way_in_when_the_ban_came_does_not_get_in() {
    let mut w = World::new();
    w.register("alice");
    let conn = w.greet("192.0.2.1");
    w.hold = true;
    w.say(conn, &login("alice"));
    w.release(0);
    w.release(0);
    assert_eq!(ban(&mut w, user("alice"), None), 0);
    w.release(0);
    assert_eq!(w.heard(conn), [format!("AUTH {NO}")]);
    assert!(!w.registry.has_session(conn));
}

#[test]
fn a_banned_name_is_not_registered_until_it_is_let_in_again() {
    let mut w = World::new();
    ban(&mut w, user("mallory"), None);
    let conn = w.greet_extended("192.0.2.1");
    let register = format!("REGISTER <Mallory> <{}>", digest("mallory"));
    let why = "<that username is banned from this registry>";
    assert_eq!(w.say(conn, &register), [format!("REGISTER {NO} {why}")]);
    assert!(w.registry.unban(w.now, &user("mallory")));
    assert!(!w.registry.unban(w.now, &user("mallory")));
    assert_eq!(w.say(conn, &register), [format!("REGISTER {OK}")]);
}

#[test]
fn a_banned_network_gets_no_stream_and_loses_those_that_it_has() {
    let mut config = Config::default();
    config.bans = 1;
    let mut w = World::with(config);
    let (inside, outside) = (w.greet_extended("192.0.2.9"), w.greet("192.0.3.9"));
    let alice = w.online_extended("alice");
    assert_eq!(
        (subnet("192.0.2.0/24").to_string(), user("bob").to_string()),
        ("192.0.2.0/24".into(), "bob".into())
    );
    assert_eq!(ban(&mut w, subnet("192.0.2.0/24"), Some(SECOND)), 2);
    let banned = "you are banned from this registry for another 1 s: spam";
    for conn in [inside, alice] {
        assert_eq!(w.heard(conn), [format!("HELLO_BACK {NO} <{banned}>")]);
        assert!(w.is_closed(conn));
    }
    assert!(!w.is_closed(outside));
    for from in ["192.0.2.77:1", "[::ffff:192.0.2.77]:1"] {
        let refused = w.registry.handle_connected(w.now, from.parse().unwrap());
        assert_eq!(refused, Err(Refused::Banned { subnet: "192.0.2.0/24".parse().unwrap() }));
    }
    w.registry.handle_connected(w.now, "192.0.3.77:1".parse().unwrap()).unwrap();
    assert_eq!((w.registry.stats().bans, w.registry.stats().refused_banned), (1, 2));
    w.wait(SECOND);
    w.online("alice");
    assert_eq!(ban(&mut w, user("nobody"), Some(SECOND)), 0);
    assert_eq!(w.registry.stats().bans, 1, "what has run out is forgotten");
    // One that has run out already, as after a long pause, changes nothing.
    assert_eq!(ban(&mut w, user("alice"), Some(Duration::ZERO)), 0);
    assert!(w.registry.session_of(w.now, &name("alice")).is_some());
}

#[test]
fn a_banned_user_who_keeps_trying_is_not_hashed_for_without_end() {
    let mut config = Config::default();
    config.prefixes = PrefixLimits::NONE;
    config.prefixes.failed_logins = Rate::new(3, 3_600 * SECOND);
    let mut w = World::with(config);
    w.register("alice");
    ban(&mut w, user("alice"), None);
    let conn = w.greet("192.0.2.9");
    for _ in 0..3 {
        assert_eq!(w.say(conn, &login("alice")), [format!("AUTH {NO}")]);
    }
    w.hold = true;
    w.say(conn, &login("alice"));
    assert!(w.held.is_empty() && w.is_closed(conn));
}

fn stored(store: &mut MemoryStore, after: Option<BanTarget>, count: usize) -> Vec<Ban> {
    match store.answer(&StoreRequest::Read(Read::Bans { after, count })) {
        StoreAnswer::Bans(bans) => bans,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bans_are_stored_until_they_have_run_out_and_no_more_than_allowed() {
    let mut store = MemoryStore::new();
    let write = |store: &mut MemoryStore, target, since, until| {
        let ban = Ban { target, reason: spam(), since, until };
        let answer = store.answer(&StoreRequest::Write(Write::Ban { ban: ban.clone(), limit: 3 }));
        match answer {
            StoreAnswer::Banned => Some(ban),
            StoreAnswer::TooManyBans => None,
            other => panic!("{other:?}"),
        }
    };
    let six = write(&mut store, subnet("2001:db8::/32"), 10, Some(30)).unwrap();
    let four = write(&mut store, subnet("192.0.2.0/24"), 11, None).unwrap();
    write(&mut store, user("Bob"), 12, None).unwrap();
    let bob = write(&mut store, user("bOB"), 13, Some(20)).unwrap();
    let all = [bob, four, six];
    assert_eq!(stored(&mut store, None, 9), all);
    assert_eq!(stored(&mut store, None, 1), all[..1]);
    assert_eq!(stored(&mut store, Some(user("bob")), 1), all[1..2]);
    let [_, four, six] = all;
    assert_eq!(stored(&mut store, Some(four.target.clone()), 9), std::slice::from_ref(&six));
    assert_eq!(stored(&mut store, Some(six.target.clone()), 9), []);
    assert_eq!(stored(&mut store, None, 0), []);

    assert_eq!(write(&mut store, user("carol"), 19, None), None);
    write(&mut store, four.target.clone(), 19, None).unwrap();
    let carol = write(&mut store, user("carol"), 20, None).unwrap();
    let targets: Vec<_> = stored(&mut store, None, 9).into_iter().map(|ban| ban.target).collect();
    assert_eq!(targets, [carol.target, four.target, six.target], "bob's has run out");

    let mut unban = |target| store.answer(&StoreRequest::Write(Write::Unban { target }));
    assert!(matches!(unban(user("Carol")), StoreAnswer::Unbanned));
    assert!(matches!(unban(user("Carol")), StoreAnswer::NotBanned));
    assert!(matches!(unban(subnet("192.0.2.0/25")), StoreAnswer::NotBanned));
}

#[test]
fn accounts_and_rooms_are_told_a_page_at_a_time() {
    let mut w = World::new();
    for user in ["carol", "Alice", "bob"] {
        w.register(user);
    }
    let alice = w.online("Alice");
    w.say(alice, &format!("CREATE_CHAT_ROOM <Den> <{}> <5> <where we meet>", digest("door")));
    w.say(alice, "CREATE_CHAT_ROOM <bar> <> <7> <>");
    let accounts = |w: &mut World, after: Option<&str>, count| -> Vec<(String, usize)> {
        let after = after.map(name);
        match w.store.answer(&StoreRequest::Read(Read::Accounts { after, count })) {
            StoreAnswer::Accounts(accounts) => {
                accounts.iter().map(|account| (account.username.to_string(), account.rooms.len())).collect()
            }
            other => panic!("{other:?}"),
        }
    };
    let (a, b, c) = (("Alice".to_owned(), 2), ("bob".to_owned(), 0), ("carol".to_owned(), 0));
    assert_eq!(accounts(&mut w, None, 2), [a, b.clone()]);
    assert_eq!(accounts(&mut w, Some("ALICE"), 9), [b, c]);
    assert_eq!(accounts(&mut w, Some("carol"), 9), []);

    let rooms = StoreRequest::Read(Read::RoomInfos { after: None, count: 9 });
    let StoreAnswer::RoomInfos(rooms) = w.store.answer(&rooms) else { panic!() };
    let [bar, den] = rooms.as_slice() else { panic!("{rooms:?}") };
    assert_eq!((den.name.as_str(), den.description.as_str(), &*den.owner), ("Den", "where we meet", "alice"));
    assert_eq!((den.members, den.capacity, den.has_password, bar.has_password), (1, 5, true, false));
    let after = Some(bar.name.clone());
    let StoreAnswer::RoomInfos(rest) =
        w.store.answer(&StoreRequest::Read(Read::RoomInfos { after, count: 9 }))
    else {
        panic!()
    };
    assert_eq!(rest, std::slice::from_ref(den));
}

#[test]
fn a_registry_that_drains_keeps_those_online_and_nobody_else() {
    let mut w = World::new();
    let (alice, anonymous) = (w.online_extended("alice"), w.greet_extended("192.0.2.9"));
    w.register("bob");
    let entering = w.greet("192.0.2.9");
    w.hold = true;
    w.say(entering, &login("bob"));
    w.registry.drain();
    w.run();
    let why = "<the registry is about to end; try again in a few minutes>";
    assert_eq!(w.heard(anonymous), [format!("HELLO_BACK {NO} {why}")]);
    assert!(w.is_closed(anonymous) && w.is_closed(entering) && !w.is_closed(alice));
    w.release(0);
    assert_eq!(w.registry.session_of(w.now, &name("bob")), None);
    let refused = w.registry.handle_connected(w.now, "192.0.2.9:1".parse().unwrap());
    assert_eq!(refused, Err(Refused::Draining));
    w.hold = false;
    assert_eq!(w.say(alice, "CREATE_CHAT_ROOM <den> <> <5> <>"), [format!("CREATION {OK}")]);
    assert_eq!(w.registry.stats().connections, 1);
}
