//! Link keys in the directory (PROTOCOL.md §7.13).

use p2pchat_core::registry::{Addresses, Config};

use crate::{
    NO, OK,
    park::{Someone, greet},
    world::{World, login, token_in},
};

const HELLO: &str = "<1> <reason,sender,origin,keys>";
const PARKING: &str = "<1> <reason,sender,resume,ticket,origin,park,keys>";
const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// What is said of alice, who came from 192.0.2.1.
fn alice(key: Option<&str>) -> [String; 1] {
    let key = key.map_or(String::new(), |key| format!(" <{key}>"));
    [format!("SEARCH_USER_RESPONSE {OK} <alice> <4000> <192.0.2.1> <sender,origin>{key}")]
}

/// Somebody online who is told keys.
fn asker(w: &mut World) -> p2pchat_core::registry::ConnId {
    w.register("bob");
    let bob = greet(w, "192.0.2.2", HELLO);
    w.say(bob, &login("bob"));
    bob
}

#[test]
fn a_key_is_published_beside_the_address_to_who_knows_keys() {
    let mut w = World::new();
    let bob = asker(&mut w);
    w.register("alice");
    let conn = greet(&mut w, "192.0.2.1", HELLO);
    assert_eq!(w.say(conn, &format!("LINK_KEY <{B}>")), [format!("LINK_KEY {OK}")]);
    assert_eq!(w.say(conn, &format!("LINK_KEY <{A}>")), [format!("LINK_KEY {OK}")], "the last one holds");
    w.say(conn, &login("alice"));
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), alice(Some(A)));

    w.register("carol");
    let carol = greet(&mut w, "192.0.2.3", "<1> <reason,sender,origin>");
    w.say(carol, &login("carol"));
    assert_eq!(
        w.say(carol, "SEARCH_USER <alice>"),
        alice(None),
        "who hasn't negotiated it gets what they know"
    );
    assert_eq!(w.say(bob, "SEARCH_USER <carol>").join("").matches(A).count(), 0);
    // A key alone stands after an empty field.
    w.say(bob, "HELLO_P2P <1> <sender,origin,keys>");
    w.register("dave");
    let dave = greet(&mut w, "192.0.2.4", HELLO);
    w.say(dave, &format!("LINK_KEY <{B}>"));
    w.say(dave, &login("dave"));
    w.say(dave, "HELLO_P2P");
    assert_eq!(
        w.say(bob, "SEARCH_USER <dave>"),
        [format!("SEARCH_USER_RESPONSE {OK} <dave> <4000> <192.0.2.4> <> <{B}>")]
    );
}

#[test]
fn a_key_is_refused_where_it_would_be_no_use() {
    let mut w = World::new();
    let conn = w.connect("192.0.2.1");
    assert_eq!(w.say(conn, &format!("LINK_KEY <{A}>")), [format!("LINK_KEY {NO}")]);
    w.say(conn, "HELLO_P2P <1> <reason,sender,origin>");
    assert_eq!(
        w.say(conn, &format!("LINK_KEY <{A}>")),
        [format!("LINK_KEY {NO} <this connection has not agreed on keys>")]
    );
    w.say(conn, &format!("HELLO_P2P {HELLO}"));
    let refused = w.say(conn, "LINK_KEY <AA>").join("");
    assert!(refused.starts_with(&format!("LINK_KEY {NO} <")) && refused.contains("key"), "{refused}");
    w.register("alice");
    w.say(conn, &login("alice"));
    assert_eq!(
        w.say(conn, &format!("LINK_KEY <{A}>")),
        [format!("LINK_KEY {NO} <a key is announced before the login>")]
    );
    // Nor without what it stands on.
    for hello in ["<1> <sender,keys>", "<1> <origin,keys>"] {
        let conn = w.connect("192.0.2.9");
        let agreed = w.say(conn, &format!("HELLO_P2P {hello}"));
        assert!(!agreed[0].contains("keys"), "{agreed:?}");
    }
}

#[test]
fn a_key_is_the_streams_and_goes_with_it() {
    let mut w = World::new();
    let bob = asker(&mut w);
    let hello = "<1> <reason,sender,resume,origin,keys>";
    w.register("alice");
    let first = greet(&mut w, "192.0.2.1", hello);
    w.say(first, &format!("LINK_KEY <{A}>"));
    let token = token_in(&w.say(first, &login("alice")));
    // The session that waits for its user still has it, and the one that goes on has what its stream said.
    w.disconnect(first);
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), alice(Some(A)));
    let second = greet(&mut w, "192.0.2.1", hello);
    w.say(second, &format!("LINK_KEY <{B}>"));
    let token = token_in(&w.say(second, &format!("RESUME <alice> <{token}> <4000>")));
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), alice(Some(B)));
    w.disconnect(second);
    let third = greet(&mut w, "192.0.2.1", hello);
    w.say(third, &format!("RESUME <alice> <{token}> <4000>"));
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), alice(None));
}

#[test]
fn who_is_parked_keeps_their_key() {
    let mut w = World::new();
    let bob = asker(&mut w);
    w.register("alice");
    let conn = greet(&mut w, "192.0.2.1", PARKING);
    w.say(conn, &format!("LINK_KEY <{A}>"));
    let mut someone = Someone::logging_in(&mut w, "alice", conn);
    someone.keep_alive(&mut w, 120);
    w.say(conn, "PARK <alice>");
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), alice(Some(A)));
}

#[test]
fn who_is_not_told_an_address_is_told_no_key() {
    let mut config = Config::default();
    config.addresses = Addresses::Contacts;
    let mut w = World::with(config);
    let bob = asker(&mut w);
    w.register("alice");
    let conn = greet(&mut w, "192.0.2.1", HELLO);
    w.say(conn, &format!("LINK_KEY <{A}>"));
    w.say(conn, &login("alice"));
    assert_eq!(
        w.say(bob, "SEARCH_USER <alice>"),
        [format!("SEARCH_USER_RESPONSE {OK} <alice> <0> <0.0.0.0> <sender,origin>")]
    );
    w.say(conn, "CREATE_CHAT_ROOM <den> <> <9> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    assert_eq!(w.say(bob, "SEARCH_USER <alice>"), alice(Some(A)));
}
