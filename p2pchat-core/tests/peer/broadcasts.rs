//! Broadcasts, both ways.

use p2pchat_core::peer::{Config, Effect};

use crate::solo::{SECOND, Solo, room, text, user};

const NOTHING: [&str; 0] = [];
const OK: &str = "SEARCH_USER_RESPONSE <SUCCESS> <200>";
const CONFIRMED: &str = "DIRECT_BROADCAST_NOTIFICATION <SUCCESS> <200> <alice>";

#[test]
fn a_broadcast_goes_to_every_member_over_a_stream_of_its_own() {
    let mut s = Solo::alice_in_den();
    s.peer.broadcast(s.now, room("den"), text("hi"));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "> SEARCH_USER <carol>"]);
    s.registry(&format!("{OK} <bob> <4000> <192.0.2.2> <sender>"));
    s.registry(&format!("{OK} <carol> <4000> <192.0.2.3>"));
    assert_eq!(s.did(), ["dial s0 192.0.2.2:4000", "dial s1 192.0.2.3:4000"]);
    s.connected(0);
    s.connected(1);
    assert_eq!(s.did(), ["s0 DIRECT_BROADCAST <alice> <den> hi", "s1 DIRECT_BROADCAST <alice> hi"]);
    assert_eq!(s.peer(1, &format!("{CONFIRMED} <hi>")), NOTHING);
    assert_eq!(
        s.peer(0, &format!("{CONFIRMED} <hi>")),
        ["ok Broadcast(BroadcastReport { delivered: [\"carol\", \"bob\"], failed: [] })"]
    );
    s.peer.broadcast(s.now, room("den"), text("again"));
    let did = s.did();
    assert_eq!(did, ["s0 DIRECT_BROADCAST <alice> <den> again", "s1 DIRECT_BROADCAST <alice> again"]);
}

/// alice, who has streams to bob and carol, a chat with her, and has just told bob.
fn half_told() -> Solo {
    let mut s = Solo::alice_in_den();
    s.peer.broadcast(s.now, room("den"), text("hi"));
    s.did();
    for (n, member) in ["bob", "carol"].into_iter().enumerate() {
        s.registry(&format!("{OK} <{member}> <4000> <192.0.2.{}>", 2 + n));
        s.did();
        s.connected(n);
        s.peer(n, &format!("{CONFIRMED} <hi>"));
    }
    s.peer.chat(s.now, user("carol"));
    s.did();
    s.peer(1, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <carol>");
    s.peer.broadcast(s.now, room("den"), text("one"));
    let first = s.peer.poll_effect();
    assert!(matches!(first, Some(Effect::SendPeer { stream, .. }) if stream == s.streams[0]), "{first:?}");
    s
}

#[test]
fn whom_a_broadcast_has_yet_to_be_told_nothing_else_is_told_before() {
    let mut s = half_told();
    s.peer.send(s.now, user("carol"), text("two"));
    assert_eq!(s.did(), ["s1 DIRECT_BROADCAST <alice> one", "s1 DIRECT_MESSAGE <alice> <carol> two"]);

    let mut s = half_told();
    s.peer.broadcast(s.now, room("den"), text("two"));
    let two = ["s0 DIRECT_BROADCAST <alice> two", "s1 DIRECT_BROADCAST <alice> two"];
    assert_eq!(s.did(), [&["s1 DIRECT_BROADCAST <alice> one"], &two[..]].concat());

    // It was said while she was there.
    let mut s = half_told();
    s.registry("USER_LEFT <den> <carol>");
    assert_eq!(s.did(), ["s1 DIRECT_BROADCAST <alice> one", "carol left den"]);

    let mut s = half_told();
    s.peer.shutdown(s.now);
    let did = s.did();
    let in_doubt = "failed: closed; it may have arrived all the same";
    assert_eq!(did[..2], ["s1 DIRECT_BROADCAST <alice> one", in_doubt], "{did:?}");
    assert_eq!(did.iter().filter(|line| line.starts_with("failed")).count(), 1, "{did:?}");
}

#[test]
fn a_broadcast_goes_on_whatever_happens_while_members_are_told() {
    let both = "ok Broadcast(BroadcastReport { delivered: [\"bob\", \"carol\"], failed: [] })";
    // bob answers.
    let mut s = half_told();
    assert_eq!(s.peer(0, &format!("{CONFIRMED} <one>")), ["s1 DIRECT_BROADCAST <alice> one"]);
    assert_eq!(s.peer(1, &format!("{CONFIRMED} <one>")), [both]);

    // carol's stream is gone.
    let mut s = half_told();
    s.closed(1);
    let did = s.did();
    assert_eq!(did.last().unwrap(), "> SEARCH_USER <carol>", "{did:?}");

    // She is blocked.
    let mut s = half_told();
    s.peer.block(s.now, user("carol"));
    s.did();
    let did = s.peer(0, &format!("{CONFIRMED} <one>"));
    assert!(did[0].contains("delivered: [\"bob\"], failed: [(\"carol\", Blocked)]"), "{did:?}");

    // The registry is gone, and time passes.
    let mut s = half_told();
    s.peer.handle_registry_closed(s.now, "reset".to_owned());
    let mut did = s.wait_quietly(SECOND * 3);
    did.extend(s.wait_quietly(SECOND * 10));
    assert!(did.contains(&"s1 DIRECT_BROADCAST <alice> one".to_owned()), "{did:?}");
    assert_eq!(did.iter().filter(|line| line.starts_with("ok Broadcast")).count(), 1, "{did:?}");
}

#[test]
fn a_member_that_can_t_be_reached_delays_nobody() {
    let mut s = Solo::alice_in_den();
    s.peer.broadcast(s.now, room("den"), text("hi"));
    s.registry(&format!("{OK} <bob> <4000> <192.0.2.2>"));
    s.registry(&format!("{OK} <carol> <4000> <192.0.2.3>"));
    s.did();
    s.connected(1);
    assert_eq!(s.did(), ["s1 DIRECT_BROADCAST <alice> hi"], "bob's stream is not open yet");
    s.peer(1, &format!("{CONFIRMED} <hi>"));
    s.closed(0);
    assert_eq!(
        s.did(),
        [
            "ok Broadcast(BroadcastReport { delivered: [\"carol\"], failed: [(\"bob\", Unreachable(\"reset\"))] })"
        ]
    );
}

#[test]
fn every_way_to_fail_is_reported_of_that_member() {
    let mut s = Solo::alice();
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice", "away", "deaf", "full", "mute"]);
    s.did();
    s.peer.broadcast(s.now, room("den"), text("hi"));
    s.registry("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    s.registry(&format!("{OK} <deaf> <0> <192.0.2.2>"));
    s.registry(&format!("{OK} <full> <4000> <192.0.2.3>"));
    s.registry(&format!("{OK} <mute> <4000> <192.0.2.4>"));
    s.did();
    s.connected(0);
    s.connected(1);
    s.peer(0, "DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <alice> <hi>");
    assert_eq!(
        s.wait_quietly(SECOND * 10),
        [
            "ok Broadcast(BroadcastReport { delivered: [], failed: [(\"away\", NotOnline), (\"deaf\", NoPort), \
          (\"full\", NotDelivered(None)), (\"mute\", Doubtful { id: None, why: TimedOut })] })"
        ]
    );
}

#[test]
fn streams_that_are_dialled_are_bounded() {
    let mut config = Config::default();
    config.streams = 1;
    let mut s = Solo::alice_with(config, crate::solo::ALL);
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice", "bob", "carol"]);
    s.did();
    s.peer.broadcast(s.now, room("den"), text("hi"));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
    s.registry("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    assert_eq!(
        s.did(),
        [
            "ok Broadcast(BroadcastReport { delivered: [], failed: [(\"carol\", TooMany { what: \"peer streams\", \
          limit: 1 }), (\"bob\", NotOnline)] })"
        ]
    );
    s.peer.chat(s.now, user("carol"));
    assert_eq!(s.did(), ["> SEARCH_USER <carol>"], "there is room again");
}

#[test]
fn a_room_of_one_s_own_hears_nothing() {
    let mut s = Solo::alice();
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice"]);
    s.did();
    s.peer.broadcast(s.now, room("den"), text("hello?"));
    s.peer.broadcast(s.now, room("attic"), text("hello?"));
    assert_eq!(
        s.did(),
        ["ok Broadcast(BroadcastReport { delivered: [], failed: [] })", "failed: not a member of that room"]
    );
}

#[test]
fn without_pushes_the_members_are_asked_for_first() {
    let mut s = Solo::alice_with(Config::default(), "");
    s.peer.join(s.now, room("den"), None);
    s.registry("JOIN <SUCCESS> <200>");
    s.members("den", &["alice", "bob"]);
    s.did();
    s.peer.broadcast(s.now, room("den"), text("hi"));
    assert_eq!(s.did(), ["> DISCOVER_PEERS <den>"]);
    s.members("den", &["alice", "carol"]);
    let did = s.did();
    assert_eq!(did, ["carol is in den", "bob is offline in [\"den\"]", "> SEARCH_USER <carol>"]);
}

#[test]
fn a_broadcast_waits_for_the_first_list_of_a_room() {
    let mut s = Solo::alice();
    s.registry("USER_JOINED <den> <alice>");
    s.peer.broadcast(s.now, room("den"), text("hi"));
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    let did = s.did();
    assert_eq!(did[2..], ["failed: the registry went away before it answered"]);
    s.peer.broadcast(s.now, room("den"), text("hi"));
    assert_eq!(s.did(), ["failed: not connected to the registry"], "nor is it known to whom");
}

/// The other end of an incoming stream only claims its name.
#[test]
fn nothing_is_broadcast_over_a_stream_that_came_in() {
    let mut s = Solo::alice_in_den();
    let claimed = s.accept();
    s.peer(claimed, "DIRECT_BROADCAST <bob> <den> hi");
    s.peer.broadcast(s.now, room("den"), text("secret"));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "> SEARCH_USER <carol>"]);
}

#[test]
fn a_member_s_broadcast_is_shown_and_confirmed() {
    let mut s = Solo::alice_in_den();
    let stream = s.accept();
    assert_eq!(s.peer(stream, "DIRECT_BROADCAST <bob> <Den> hi"), ["[Den] bob: hi"]);
    s.peer.confirm(s.now, s.receipts[0]);
    assert_eq!(s.did(), ["s0 DIRECT_BROADCAST_NOTIFICATION <SUCCESS> <200> <bob> <hi>"]);
    let did = s.peer(stream, "DIRECT_BROADCAST <carol> <den> hi");
    assert_eq!(
        did,
        [
            "s0 DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <carol> <hi> <this stream belongs to another name>"
        ]
    );
    let did = s.peer(stream, "DIRECT_BROADCAST <bob> <attic> hi");
    assert_eq!(did, ["s0 DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <bob> <hi> <not in that room>"]);
}

#[test]
fn a_broadcast_without_a_room_belongs_to_the_one_that_both_are_in() {
    let mut s = Solo::alice_in_den();
    let (bob, carol) = (s.accept(), s.accept());
    assert_eq!(s.peer(bob, "DIRECT_BROADCAST <bob> hi"), ["[den] bob: hi"]);
    s.registry("USER_JOINED <attic> <alice>");
    s.members("attic", &["alice", "bob"]);
    s.did();
    assert_eq!(s.peer(bob, "DIRECT_BROADCAST <bob> hi"), ["[?] bob: hi"]);
    assert_eq!(s.peer(carol, "DIRECT_BROADCAST <carol> hi"), ["[den] carol: hi"]);
}

#[test]
fn a_stranger_s_broadcast_is_refused_once_the_registry_was_asked() {
    let mut s = Solo::alice_in_den();
    let stream = s.accept();
    assert_eq!(s.peer(stream, "DIRECT_BROADCAST <dave> <den> hi"), ["> DISCOVER_PEERS <den>"]);
    s.members("den", &["alice", "bob", "carol"]);
    let refused =
        "DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <dave> <hi> <the sender is not in that room>";
    assert_eq!(s.did(), [format!("s0 {refused}")]);
    for _ in 0..2 {
        assert_eq!(
            s.peer(stream, "DIRECT_BROADCAST <dave> <den> hi"),
            NOTHING,
            "asked at most once a second"
        );
    }
    assert_eq!(s.wait_quietly(SECOND), ["> DISCOVER_PEERS <den>"]);
    s.members("den", &["alice", "dave"]);
    assert_eq!(
        s.did(),
        [
            "dave is in den",
            "bob is offline in [\"den\"]",
            "carol is offline in [\"den\"]",
            "[den] dave: hi",
            "[den] dave: hi"
        ]
    );
    s.wait(SECOND);
    let another = s.accept();
    let did = s.peer(another, "DIRECT_BROADCAST <eve> <den> hi");
    assert_eq!(did, ["> DISCOVER_PEERS <den>"], "at once, a second after the last time");
}

#[test]
fn who_is_in_no_room_refuses_every_broadcast() {
    let mut s = Solo::alice();
    let stream = s.accept();
    for to in [" <den>", ""] {
        let did = s.peer(stream, &format!("DIRECT_BROADCAST <bob>{to} hi"));
        assert_eq!(
            did,
            ["s0 DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <bob> <hi> <not in that room>"],
            "{to}"
        );
    }
}

#[test]
fn a_push_settles_a_doubt_at_once() {
    let mut s = Solo::alice_in_den();
    let stream = s.accept();
    s.peer(stream, "DIRECT_BROADCAST <dave> hi");
    s.registry("USER_JOINED <den> <dave>");
    assert_eq!(s.did(), ["dave is in den", "[den] dave: hi"]);
}

#[test]
fn doubts_are_bounded_and_die_with_their_stream() {
    let mut config = Config::default();
    config.messages_in_flight = 2;
    let mut s = Solo::alice_with(config, crate::solo::ALL);
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice"]);
    s.did();
    let (first, second) = (s.accept(), s.accept());
    s.peer(first, "DIRECT_BROADCAST <dave> <den> 1");
    s.peer(first, "DIRECT_BROADCAST <dave> <den> 2");
    let did = s.peer(second, "DIRECT_BROADCAST <erin> <den> 3");
    assert_eq!(did, ["s1 DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <erin> <3> <too much is waiting>"]);
    s.closed(first);
    s.members("den", &["alice", "dave"]);
    assert_eq!(s.did(), ["dave is in den"]);
}

#[test]
fn a_broadcast_while_the_registry_is_away_is_judged_by_what_is_known() {
    let mut s = Solo::alice_in_den();
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.did();
    let (bob, dave) = (s.accept(), s.accept());
    assert_eq!(s.peer(bob, "DIRECT_BROADCAST <bob> <den> hi"), ["[den] bob: hi"]);
    assert_eq!(s.peer(dave, "DIRECT_BROADCAST <dave> <den> hi").len(), 1, "refused at once");
    s.peer.broadcast(s.now, room("den"), text("hi"));
    assert_eq!(
        s.did(),
        [
            "ok Broadcast(BroadcastReport { delivered: [], failed: [(\"bob\", NotConnected), (\"carol\", NotConnected)] })"
        ]
    );
    assert_eq!(s.peer.username(), Some(&user("alice")));
}
