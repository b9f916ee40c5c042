//! One stream between two who have proven their keys (§7.13).

use crate::{
    keys::{alice_with, asked, comes, config, introduction, key, knows_bob, logging_in},
    solo::{Solo, text, user},
    world::{World, link_key},
};

#[test]
fn who_has_come_is_answered_on_the_stream_that_they_dialled() {
    let mut s = knows_bob(key('b'));
    comes(&mut s, key('b'));
    s.peer.chat(s.now, user("bob"));
    assert_eq!(s.did(), ["s0 CHAT_REQUEST <bob> <alice>"]);
    assert_eq!(
        s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>"),
        ["chat with bob in private", "ok Done"]
    );
    // And once it is gone, nobody is spoken to on it.
    s.closed(0);
    s.did();
    s.peer.chat(s.now, user("bob"));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
}

#[test]
fn who_comes_takes_no_place_of_those_who_are_to_be_dialled() {
    let mut config = config();
    config.streams = 1;
    let mut s = alice_with(config);
    s.peer.set_key(s.now, user("bob"), Some(key('b')));
    comes(&mut s, key('b'));
    assert!(s.peer.is_secured(&user("bob")));
    s.peer.chat(s.now, user("carol"));
    assert_eq!(s.did(), ["> SEARCH_USER <carol>"]);
    s.peer.chat(s.now, user("dave"));
    assert_eq!(s.did(), ["failed: too much is waiting: at most 1 peer streams"]);
}

/// alice, whose name comes first, or dave.
fn dialling(me: &str) -> Solo {
    let mut s = logging_in(me, config());
    s.let_in();
    s.peer.set_key(s.now, user("bob"), Some(key('b')));
    asked(&mut s, Some(key('b')));
    let stream = s.accept();
    s.hear(stream, &format!("{} <tls>", introduction(me)));
    s
}

/// The key of the other end of a stream is proven.
fn came(s: &mut Solo, stream: usize) -> Vec<String> {
    s.peer.handle_stream_secured(s.now, s.streams[stream], key('b'));
    if stream == 1 {
        let me = s.peer.username().unwrap().to_string();
        s.hear(1, &introduction(&me));
    }
    let mut did = s.did();
    did.retain(|line| !line.contains("INTRODUCED_BY"));
    did
}

#[test]
fn who_was_accepted_on_a_stream_that_they_leave_is_accepted_on_the_other() {
    let mut s = dialling("alice");
    came(&mut s, 1);
    assert_eq!(s.peer(1, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat in private"]);
    let accepted = "s1 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>";
    let did = came(&mut s, 0);
    assert_eq!(did, ["s0 CHAT_REQUEST <bob> <alice>", accepted, "chat with bob in private"]);
    s.peer(0, "CHAT_REQUEST_RESPONSE <REJECT> <404> <bob>");
    // bob has closed his stream by now, before the answer came, and asks again on this one.
    let did = s.peer(0, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["s0 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>"]);
    s.closed(1);
    assert!(s.did().is_empty(), "the chat is on the other stream");
}

#[test]
fn of_two_streams_that_were_dialled_at_once_the_one_of_the_first_name_stays() {
    // alice's own stays: it is bob who closes his.
    let mut s = dialling("alice");
    assert!(came(&mut s, 1).is_empty());
    assert_eq!(came(&mut s, 0), ["s0 CHAT_REQUEST <bob> <alice>"]);
    s.closed(1);
    assert!(s.did().is_empty());
    // Unless he can't be reached.
    let mut s = dialling("alice");
    came(&mut s, 1);
    s.closed(0);
    assert_eq!(s.did(), ["s1 CHAT_REQUEST <bob> <alice>"]);
    // bob's stays: dave gives up his dial, and has asked already where that is open.
    let mut s = dialling("dave");
    assert_eq!(came(&mut s, 1), ["close s0", "s1 CHAT_REQUEST <bob> <dave>"]);
    let mut s = dialling("dave");
    assert_eq!(came(&mut s, 0), ["s0 CHAT_REQUEST <bob> <dave>"]);
    assert_eq!(came(&mut s, 1), ["close s0", "s1 CHAT_REQUEST <bob> <dave>"]);
    assert_eq!(
        s.peer(1, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>"),
        ["chat with bob in private", "ok Done"]
    );
    // What is on its way is waited for.
    let mut s = dialling("dave");
    came(&mut s, 0);
    s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>");
    s.peer.send(s.now, user("bob"), text("hi"));
    s.did();
    assert!(came(&mut s, 1).is_empty());
}

#[test]
fn peers_with_keys_talk_in_private_over_one_stream() {
    let mut w = World::with(&["alice", "bob", "carol"], &config());
    w.nodes[0].solo.peer.chat(w.now, user("bob"));
    w.run();
    let request = w.nodes[1].solo.requests[0];
    w.nodes[1].solo.peer.accept(w.now, request);
    w.run();
    w.send(0, "bob", "hello");
    w.send(1, "alice", "hello yourself");
    for (node, other) in [(0, "bob"), (1, "alice")] {
        let solo = &w.nodes[node].solo;
        assert!(solo.peer.is_secured(&user(other)), "{:?}", w.nodes[node].log);
        assert_eq!(solo.peer.key_of(&user(other)), Some(link_key(1 - node)));
        assert_eq!(w.nodes[node].streams(), 1);
    }
    // Both at once.
    w.nodes[0].solo.peer.chat(w.now, user("carol"));
    w.nodes[2].solo.peer.chat(w.now, user("alice"));
    w.run();
    w.send(2, "alice", "both of us");
    assert!(w.nodes[0].log.contains(&"carol: both of us".to_owned()), "{:?}", w.nodes[0].log);
    assert_eq!((w.nodes[0].streams(), w.nodes[2].streams()), (2, 1));
}
