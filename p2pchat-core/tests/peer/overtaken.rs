//! Streams and words that take longer than what came after them (§7.14).

use p2pchat_core::peer::Config;

use crate::{
    keys::{self, bob, introduction, key},
    lines::{alice, both, comes, says},
    solo::{ALL, SECOND, Solo, room, text, user},
    world::World,
};

/// alice, whichever this is, has said something in the den, and is dialling bob.
fn dialling(mut s: Solo) -> Solo {
    s.peer.broadcast(s.now, room("den"), text("hi"));
    s.registry(&bob(Some(key('b'))));
    s.did();
    s
}

#[test]
fn links_a_broadcast_that_waits_for_a_dial_ends_with_the_session() {
    // Where messages have no numbers.
    let mut s = keys::alice();
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice", "bob"]);
    let mut s = dialling(s);
    keys::comes(&mut s, key('b'));
    s.registry(&bob(Some(key('b'))));
    s.peer.logout(s.now);
    let did = s.did();
    let ended: Vec<_> = did.iter().filter(|line| line.starts_with("ok Broadcast")).collect();
    assert_eq!(ended.len(), 1, "{did:?}");
    assert!(ended[0].contains("NotLoggedIn"), "{did:?}");
}

#[test]
fn links_what_is_said_in_a_chat_does_not_overtake_what_was_said_in_a_room() {
    // While the chat has no stream.
    let mut w = both();
    w.open_chat();
    w.forget();
    w.apart.insert(1);
    w.cut_streams(0);
    w.say(0, "den", "one");
    w.send(0, "bob", "two");
    w.apart.clear();
    w.wait(SECOND * 20);
    let told = w.told(1);
    assert_eq!(told[2..], ["[den] alice: one", "alice: two"], "{told:?}");

    // While bob is dialled, who comes by himself.
    let mut s = dialling(alice());
    let (stream, did) = comes(&mut s, 7, 1);
    assert!(did[0].starts_with(&format!("s{stream} NUMBERED <")), "{did:?}");
    assert_eq!(did[1], format!("s{stream} DIRECT_BROADCAST <alice> <den> hi"));
}

#[test]
fn links_a_run_that_is_heard_of_after_the_one_that_followed_it_is_over() {
    let mut s = alice();
    let earlier = s.accept();
    s.hear(earlier, &format!("{} <tls>", introduction("alice")));
    s.peer.handle_stream_secured(s.now, s.streams[earlier], key('b'));
    s.hear(earlier, &format!("{} <numbering>", introduction("alice")));
    let (later, _) = comes(&mut s, 8, 1);
    assert_eq!(says(&mut s, later, 1, "one"), ["[den] bob: one"]);
    // What he said before he began anew.
    assert_eq!(s.peer(earlier, "NUMBERING <7> <1> <CLOSED>"), [format!("close s{earlier}")]);
    assert_eq!(says(&mut s, later, 2, "two"), ["[den] bob: two"]);
    let (next, _) = comes(&mut s, 8, 3);
    assert_eq!(says(&mut s, next, 3, "three"), ["[den] bob: three"]);
    assert!(s.peer.is_secured(&user("bob")));
}

#[test]
fn links_what_arrives_before_its_command_has_ended_is_delivered() {
    let mut s = alice();
    s.registry("USER_JOINED <den> <carol>");
    s.did();
    let (stream, _) = comes(&mut s, 7, 1);
    s.peer.broadcast(s.now, room("den"), text("hi"));
    // It is given up for bob, and carol is still looked for, when he says that he has it.
    s.registry("USER_LEFT <den> <bob>");
    s.did();
    assert!(s.peer(stream, "DIRECT_BROADCAST_NOTIFICATION <SUCCESS> <200> <alice> <hi>").is_empty());
    s.registry("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    let report = r#"ok Broadcast(BroadcastReport { delivered: ["bob"], failed: [("carol", NotOnline)] })"#;
    assert_eq!(s.did(), [report]);
}

#[test]
fn links_what_waits_for_a_dial_is_not_too_much_because_it_is_said_one_by_one() {
    let mut config = keys::config();
    config.messages_in_flight = 2;
    let mut w = World::with(&["alice", "bob"], &config);
    w.open_chat();
    w.forget();
    w.apart.insert(1);
    w.cut_streams(0);
    // It has been looked for almost as long as it is, and is being dialled.
    w.wait(SECOND * 31);
    w.send(0, "bob", "one");
    w.wait(SECOND / 10);
    w.send(0, "bob", "two");
    w.wait(SECOND / 10);
    assert_eq!(w.told(0), ["no way to bob: cut"]);
    w.wait(SECOND * 10);
    let told = w.told(0);
    assert!(told[2].starts_with("no chat with bob: "), "{told:?}");
    assert!(told.iter().all(|line| !line.contains("too much")), "{told:?}");
}

#[test]
fn what_is_too_much_is_refused_after_what_says_the_same() {
    let mut config = Config::default();
    config.messages_in_flight = 2;
    let mut s = Solo::alice_with(config, ALL);
    let stream = s.accept();
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    s.peer.accept(s.now, s.requests[0]);
    s.did();
    for _ in 0..2 {
        assert_eq!(s.peer(stream, "DIRECT_MESSAGE <bob> <alice> hi"), ["bob: hi"]);
    }
    assert!(s.peer(stream, "DIRECT_MESSAGE <bob> <alice> hi").is_empty(), "that would answer the first");
    let confirmed = "s0 DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <bob> <hi>";
    s.peer.confirm(s.now, s.receipts[0]);
    assert_eq!(s.did(), [confirmed]);
    s.peer.confirm(s.now, s.receipts[1]);
    let refused = "s0 DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <bob> <hi> <too much is waiting>";
    assert_eq!(s.did(), [confirmed, refused]);
}
