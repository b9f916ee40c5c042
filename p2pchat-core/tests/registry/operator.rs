//! What the operator sees and does.

use p2pchat_proto::{Capabilities, Dialect, Username};

use crate::{NO, SECOND, world::World};

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
    assert_eq!((alice.dialect, alice.capabilities), (Dialect::Canonical, Capabilities::all()));
    assert_eq!(alice.rooms.iter().map(|room| room.as_str()).collect::<Vec<_>>(), ["den"]);
    let carol = w.registry.session_of(w.now, &name("carol")).unwrap();
    assert_eq!((carol.online_for, carol.silent_for), (SECOND, std::time::Duration::ZERO));
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
