//! Who is blocked is neither heard nor talked to, and isn't told (§9).

use p2pchat_core::{
    peer::{Config, RequestError},
    registry::{self, Addresses},
};

use crate::{
    keys::{self, asked, bob, comes, introduction, key, knows_bob},
    solo::{SECOND, Solo, room, text, user},
    world::World,
};

const CLOSED: &str = "failed: you have blocked that user";

/// alice, bob and carol in the den, alice and bob in a chat, with keys and numbers.
fn talking() -> World {
    let mut w = World::with(&["alice", "bob", "carol"], &keys::config());
    w.create(0, "den");
    w.join(1, "den");
    w.join(2, "den");
    w.nodes[0].solo.peer.chat(w.now, user("bob"));
    w.run();
    let request = w.nodes[1].solo.requests[0];
    w.nodes[1].solo.peer.accept(w.now, request);
    for node in 0..3 {
        w.say(node, "den", "so that all have met");
    }
    w.forget();
    w
}

impl World {
    fn block(&mut self, node: usize, name: &str) {
        self.nodes[node].solo.peer.block(self.now, user(name));
        self.run();
    }

    fn chat(&mut self, node: usize, with: &str) {
        self.nodes[node].solo.peer.chat(self.now, user(with));
        self.run();
    }
}

#[test]
fn blocked_who_is_in_a_chat_is_hung_up_on_and_not_told_why() {
    let mut w = talking();
    // In any spelling.
    w.block(0, "BOB");
    assert_eq!(w.told(0), ["no chat with BOB: blocked"]);
    assert_eq!(w.told(1), ["no chat with alice: hung up"]);
    assert!(
        !w.nodes[0].solo.peer.is_secured(&user("bob")) && !w.nodes[1].solo.peer.is_secured(&user("alice"))
    );
    // For longer than anything of it is tried again.
    w.wait(SECOND * 60);
    assert!(w.told(0).is_empty() && w.told(1).is_empty());
}

#[test]
fn blocked_who_asks_for_a_chat_or_talks_in_a_room_is_not_heard_and_learns_no_more_than_that_they_are_not() {
    let mut w = talking();
    w.block(0, "bob");
    w.forget();
    for _ in 0..3 {
        w.chat(1, "alice");
        w.say(1, "den", "can you hear me?");
        w.wait(SECOND * 60);
    }
    assert!(w.told(0).is_empty(), "nothing of it is shown");
    assert_eq!(w.told(2), ["[den] bob: can you hear me?"; 3], "others hear it");
    let told = w.told(1);
    assert!(!told.is_empty() && told.iter().all(|line| !line.contains("block")), "{told:?}");
    let (failed, reports): (Vec<_>, Vec<_>) = told.iter().partition(|line| line.starts_with("failed"));
    assert!(failed.iter().all(|line| line.starts_with("failed: that user can't be reached")), "{failed:?}");
    assert!(
        reports.iter().all(|line| line.contains("delivered: [\"carol\"], failed: [(\"alice\", Unreachable(")),
        "{reports:?}"
    );
}

#[test]
fn blocked_nothing_is_said_to_them_and_the_commands_say_why() {
    let mut w = talking();
    w.block(0, "bob");
    w.forget();
    w.chat(0, "bob");
    w.send(0, "Bob", "psst");
    assert_eq!(w.told(0), [CLOSED, CLOSED]);
    w.say(0, "den", "hello");
    assert_eq!(
        w.told(0),
        ["ok Broadcast(BroadcastReport { delivered: [\"carol\"], failed: [(\"bob\", Blocked)] })"]
    );
    assert!(w.told(1).is_empty());
    assert_eq!(w.told(2), ["[den] alice: hello"]);
}

#[test]
fn blocked_and_unblocked_again_they_talk_as_before() {
    let mut w = talking();
    w.block(0, "bob");
    assert_eq!(w.nodes[0].solo.peer.blocked().collect::<Vec<_>>(), [&user("bob")]);
    w.nodes[0].solo.peer.unblock(&user("Bob"));
    assert_eq!(w.nodes[0].solo.peer.blocked().count(), 0);
    w.wait(SECOND * 2);
    w.forget();
    w.say(1, "den", "back?");
    assert_eq!(w.told(0), ["[den] bob: back?"]);
    w.chat(1, "alice");
    assert_eq!(w.told(0), ["bob wants to chat in private"]);
}

#[test]
fn blocked_who_comes_is_closed_before_the_registry_is_asked_about_them() {
    let mut s = keys::alice();
    s.peer.block(s.now, user("bob"));
    let stream = s.accept();
    assert_eq!(s.peer(stream, &format!("{} <tls>", introduction("alice"))), ["close s0"]);
    for said in [
        introduction("alice").as_str(),
        "CHAT_REQUEST <alice> <Bob>",
        "DIRECT_BROADCAST <bob> <den> hi",
        "DIRECT_MESSAGE <bob> <alice> hi",
    ] {
        let stream = s.accept();
        assert_eq!(s.peer(stream, said), [format!("close s{stream}")], "{said}");
    }
}

#[test]
fn blocked_who_has_named_nobody_is_closed_once_they_do() {
    let mut s = Solo::alice();
    s.peer.block(s.now, user("bob"));
    let stream = s.accept();
    assert_eq!(s.peer(stream, "CHAT_REQUEST <alice>"), ["? wants to chat"]);
    s.peer.accept(s.now, s.requests[0]);
    s.did();
    assert_eq!(
        s.peer(stream, "DIRECT_MESSAGE <bob> <alice> it's me"),
        ["close s0", "no chat with ?: blocked"]
    );
}

#[test]
fn blocked_who_is_being_asked_about_is_not_let_in_by_the_answer() {
    let mut s = keys::alice();
    let in_the_clear = s.accept();
    assert_eq!(s.peer(in_the_clear, "CHAT_REQUEST <alice> <bob>"), ["> SEARCH_USER <bob>"]);
    let with_key = s.accept();
    s.hear(with_key, &format!("{} <tls>", introduction("alice")));
    s.peer.handle_stream_secured(s.now, s.streams[with_key], key('b'));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
    s.peer.block(s.now, user("bob"));
    assert_eq!(s.did(), ["close s1"], "it is known whose that is");
    s.registry(&bob(None));
    assert_eq!(s.did(), ["close s0"]);
    s.registry(&bob(Some(key('b'))));
    assert!(s.did().is_empty(), "no key of theirs is learned");
}

#[test]
fn blocked_what_waits_for_them_ends_wherever_it_is() {
    // The registry is being asked where they are.
    let mut s = keys::alice();
    s.peer.chat(s.now, user("bob"));
    s.did();
    s.peer.block(s.now, user("bob"));
    assert_eq!(s.did(), [CLOSED]);
    s.registry(&bob(Some(key('b'))));
    assert!(s.did().is_empty());
    // They are being dialled.
    let mut s = keys::alice();
    asked(&mut s, None);
    s.peer.block(s.now, user("bob"));
    assert_eq!(s.did(), [CLOSED, "close s0"]);
    // They have been asked.
    let mut s = knows_bob(key('b'));
    comes(&mut s, key('b'));
    s.peer.chat(s.now, user("bob"));
    s.did();
    s.peer.block(s.now, user("bob"));
    assert_eq!(s.did(), [CLOSED, "close s0"]);
    // They have asked.
    let mut s = knows_bob(key('b'));
    comes(&mut s, key('b'));
    s.peer(0, "CHAT_REQUEST <alice> <bob>");
    s.peer.block(s.now, user("bob"));
    assert_eq!(s.did(), ["close s0", "no chat with bob: blocked"]);
    s.peer.accept(s.now, s.requests[0]);
    assert_eq!(s.did(), ["failed: there is no such chat request"]);
}

#[test]
fn blocked_what_was_said_and_not_confirmed_ends_too_on_the_stream_or_between_two() {
    let mut w = talking();
    w.apart.insert(1);
    w.send(0, "bob", "on a stream");
    w.say(0, "den", "to all");
    w.block(0, "bob");
    let told = w.told(0);
    let reports = |line: &String| {
        line.starts_with(
            "ok Broadcast(BroadcastReport { delivered: [\"carol\"], failed: [(\"bob\", Doubtful { ",
        ) && line.ends_with(", why: Blocked })] })")
    };
    let doubtful = format!("{CLOSED}; it may have arrived all the same");
    assert!(told.contains(&doubtful) && told.iter().any(reports), "{told:?}");
    let mut w = talking();
    w.apart.insert(1);
    w.cut_streams(0);
    w.send(0, "bob", "on none");
    w.block(0, "bob");
    let told = w.told(0);
    assert_eq!(told, ["no way to bob: cut", "no chat with bob: blocked", CLOSED]);
    w.apart.clear();
    w.wait(SECOND * 60);
    assert!(w.told(0).is_empty());
    assert!(w.nodes[1].log.iter().all(|line| !line.starts_with("alice:")), "{:?}", w.nodes[1].log);
}

#[test]
fn blocked_who_asks_through_the_registry_is_declined_and_sees_no_address() {
    let mut settings = registry::Config::default();
    settings.addresses = Addresses::Contacts;
    let mut w = World::of(&["alice", "bob"], &Config::default(), settings);
    w.forget();
    let sees = |w: &mut World| {
        w.nodes[1].solo.peer.search(w.now, user("alice"));
        w.told(1).pop().unwrap().contains("port: 4000")
    };
    // One who waits for an answer, and one who comes later.
    w.chat(1, "alice");
    assert_eq!(w.told(0), ["bob wants to chat"]);
    w.block(0, "bob");
    assert_eq!(w.told(0), ["no chat with bob: declined"]);
    assert_eq!(w.told(1), ["failed: the request was declined"]);
    w.chat(1, "alice");
    assert!(w.told(0).is_empty());
    assert_eq!(w.told(1), ["failed: the request was declined"]);
    // One who was let.
    w.nodes[0].solo.peer.unblock(&user("bob"));
    w.chat(1, "alice");
    let request = *w.nodes[0].solo.requests.last().unwrap();
    w.nodes[0].solo.peer.accept(w.now, request);
    w.forget();
    assert!(sees(&mut w));
    w.block(0, "bob");
    w.forget();
    assert!(!sees(&mut w));
    // Whom we have asked.
    w.nodes[0].solo.peer.unblock(&user("bob"));
    w.chat(0, "bob");
    assert_eq!(w.told(1), ["alice wants to chat"]);
    w.block(0, "bob");
    assert_eq!(w.told(0), [CLOSED]);
    assert_eq!(w.told(1), ["no chat with alice: withdrawn"]);
}

#[test]
fn blocked_in_rooms_they_are_members_like_others() {
    let mut s = Solo::alice_in_den();
    s.peer.block(s.now, user("bob"));
    assert!(s.peer.roster(&room("den")).unwrap().any(|member| *member == user("bob")));
    s.registry("USER_LEFT <den> <bob>");
    assert_eq!(s.did(), ["bob left den"]);
    // The registry is asked about them as about anybody.
    s.peer.search(s.now, user("bob"));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
}

#[test]
fn blocked_they_stay_from_one_login_to_the_next() {
    let mut s = Solo::alice();
    s.peer.block(s.now, user("bob"));
    s.peer.logout(s.now);
    assert!(s.peer.is_blocked(&user("bob")));
    s.peer.send(s.now, user("bob"), text("hi"));
    let outcome = s.did().pop().unwrap();
    assert_eq!(outcome, format!("failed: {}", RequestError::NotLoggedIn));
}
