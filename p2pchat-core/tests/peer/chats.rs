//! Chats and the messages in them.

use p2pchat_core::peer::Config;
use p2pchat_proto::{FrameError, Malformed, Reason};

use crate::solo::{ALL, SECOND, Solo, text, user};

const BOB: &str = "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2>";
const BOBS_ADDRESS: [u8; 4] = [192, 0, 2, 2];
const NOBODY: [&str; 0] = [];

/// alice, on her way to bob: the registry has said where he is, and stream 0 is being dialled.
fn dialling_bob(capabilities: &str) -> Solo {
    let mut s = Solo::alice();
    s.peer.chat(s.now, user("bob"));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
    s.registry(&format!("{BOB}{capabilities}"));
    assert_eq!(s.did(), ["dial s0 192.0.2.2:4000"]);
    s
}

/// alice, in a chat with bob on stream 0.
fn chatting() -> Solo {
    let mut s = dialling_bob("");
    s.connected(0);
    s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>");
    s
}

#[test]
fn a_chat_is_searched_dialled_and_asked_for() {
    let mut s = dialling_bob("");
    s.connected(0);
    assert_eq!(s.did(), ["s0 CHAT_REQUEST <bob>"], "bob is not known to read a second field");
    let did = s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>");
    assert_eq!(did, ["chat with bob", "ok Done"]);
    assert_eq!(s.peer.chats().count(), 1);
    s.peer.chat(s.now, user("Bob"));
    assert_eq!(s.did(), ["ok Done"], "it is open");

    let mut s = dialling_bob(" <sender>");
    s.connected(0);
    assert_eq!(s.did(), ["s0 CHAT_REQUEST <bob> <alice>"]);
}

#[test]
fn a_chat_that_comes_to_nothing_says_why() {
    let mut s = dialling_bob("");
    s.connected(0);
    s.did();
    let did = s.peer(0, "CHAT_REQUEST_RESPONSE <REJECT> <404> <bob> <not now>");
    assert_eq!(did, ["failed: declined: not now"]);
    s.peer.chat(s.now, user("bob"));
    assert_eq!(s.did(), ["s0 CHAT_REQUEST <bob>"], "the stream is open still, and the address is known");
    s.closed(0);
    assert_eq!(s.did(), ["failed: that user can't be reached: reset"]);

    let mut s = dialling_bob("");
    assert_eq!(
        s.wait_quietly(SECOND * 10),
        ["close s0", "failed: that user can't be reached: no connection in time"]
    );

    let mut s = dialling_bob("");
    s.connected(0);
    s.did();
    assert_eq!(s.wait_quietly(SECOND * 119), NOBODY);
    assert_eq!(s.wait_quietly(SECOND), ["failed: no answer came in time", "close s0"]);

    let mut s = dialling_bob("");
    s.connected(0);
    s.did();
    let did = s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <mallory>");
    assert_eq!(
        did,
        [
            "fault of bob at 192.0.2.2:4000: answered as mallory",
            "close s0",
            "failed: that user can't be reached: mallory answered instead"
        ]
    );
}

#[test]
fn a_search_that_finds_nobody_to_dial_ends_the_chat() {
    for (answer, failed) in [
        ("<NOT_ONLINE> <300>", "that user is not online"),
        ("<NOT_FOUND> <404>", "there is no such user"),
        ("<SUCCESS> <200> <bob> <0> <192.0.2.2>", "that user can't be reached: no port announced"),
        ("<SUCCESS> <200> <bob> <22> <192.0.2.2>", "that user can't be reached: no port announced"),
        ("<SUCCESS> <200> <bob> <4000> <0.0.0.0>", "that user can't be reached: 0.0.0.0 is nobody's address"),
        ("<SUCCESS> <200> <bob> <4000> <ff02::1>", "that user can't be reached: ff02::1 is nobody's address"),
        (
            "<SUCCESS> <200> <eve> <4000> <192.0.2.2>",
            "the registry answered something unexpected: another user's address",
        ),
    ] {
        let mut s = Solo::alice();
        s.peer.chat(s.now, user("bob"));
        s.did();
        s.registry(&format!("SEARCH_USER_RESPONSE {answer}"));
        assert_eq!(s.did(), [format!("failed: {failed}")]);
    }
    let mut s = Solo::alice();
    s.peer.chat(s.now, user("alice"));
    assert_eq!(s.did(), ["failed: nobody chats with themselves here"]);
}

#[test]
fn a_failed_dial_is_not_repeated_at_once() {
    let mut s = dialling_bob("");
    s.closed(0);
    s.did();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "failed: that user can't be reached: reset"]);
    s.peer.chat(s.now, user("bob"));
    s.registry(&BOB.replace("4000", "4001"));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "dial s1 192.0.2.2:4001"], "it is another address");
    s.closed(1);
    s.did();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    assert_eq!(
        s.did(),
        ["> SEARCH_USER <bob>", "failed: that user can't be reached: reset"],
        "nor forgotten"
    );
    s.wait(SECOND);
    s.did();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "dial s2 192.0.2.2:4000"]);
}

#[test]
fn failed_dials_that_are_remembered_are_bounded() {
    let mut config = Config::default();
    config.streams = 1;
    let mut s = Solo::alice_with(config, ALL);
    for (n, port) in ["4000", "4001", "4001"].into_iter().enumerate() {
        s.peer.chat(s.now, user("bob"));
        s.registry(&BOB.replace("4000", port));
        assert_eq!(s.did(), ["> SEARCH_USER <bob>".to_owned(), format!("dial s{n} 192.0.2.2:{port}")]);
        s.closed(n);
        s.did();
    }
}

#[test]
fn the_lowest_port_that_a_client_may_announce_is_dialled() {
    let mut s = Solo::alice();
    s.peer.chat(s.now, user("bob"));
    s.registry(&BOB.replace("4000", "1024"));
    assert_eq!(s.did()[1..], ["dial s0 192.0.2.2:1024"]);
}

#[test]
fn two_wishes_for_one_chat_share_the_way() {
    let mut s = Solo::alice();
    s.peer.chat(s.now, user("bob"));
    s.peer.chat(s.now, user("bob"));
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
    s.registry(BOB);
    s.did();
    s.connected(0);
    assert_eq!(s.did(), ["s0 CHAT_REQUEST <bob>"]);
    assert_eq!(s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <bob>"), ["chat with bob", "ok Done", "ok Done"]);
}

#[test]
fn a_message_is_done_when_it_is_confirmed() {
    let mut s = chatting();
    s.peer.send(s.now, user("bob"), text("hi"));
    s.peer.send(s.now, user("bob"), text("there"));
    assert_eq!(s.did(), ["s0 DIRECT_MESSAGE <alice> <bob> hi", "s0 DIRECT_MESSAGE <alice> <bob> there"]);
    let notified = "DIRECT_UNICAST_NOTIFICATION";
    assert_eq!(s.peer(0, &format!("{notified} <SUCCESS> <200> <alice> <nonsense>")), NOBODY);
    assert_eq!(s.peer(0, &format!("{notified} <SUCCESS> <200> <bob> <hi>")), NOBODY, "not mine");
    assert_eq!(
        s.peer(0, "DIRECT_BROADCAST_NOTIFICATION <SUCCESS> <200> <alice> <hi>"),
        NOBODY,
        "not this kind"
    );
    assert_eq!(s.peer(0, &format!("{notified} <SUCCESS> <200> <alice> <hi>")), ["ok Done"]);
    assert_eq!(s.peer(0, &format!("{notified} <FAILURE> <404> <alice> <there> <busy>")), ["failed: busy"]);
    assert_eq!(s.peer(0, &format!("{notified} <SUCCESS> <200> <alice> <there>")), NOBODY, "once");
}

#[test]
fn a_message_that_nobody_confirms_is_reported() {
    let mut s = chatting();
    s.peer.send(s.now, user("bob"), text("hi"));
    s.did();
    assert_eq!(s.wait_quietly(SECOND * 9), NOBODY);
    assert_eq!(s.wait_quietly(SECOND), ["failed: no answer came in time; it may have arrived all the same"]);
    s.peer.send(s.now, user("bob"), text("again"));
    s.did();
    s.closed(0);
    let failed = "failed: that user can't be reached: reset; it may have arrived all the same";
    assert_eq!(s.did(), [failed, "no chat with bob: reset"]);
    s.peer.send(s.now, user("bob"), text("and again"));
    assert_eq!(s.did(), ["failed: no chat is open with that user"]);
}

#[test]
fn messages_on_their_way_are_bounded() {
    let mut config = Config::default();
    config.messages_in_flight = 2;
    let mut s = Solo::alice_with(config, ALL);
    let stream = s.accept();
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    s.peer.accept(s.now, s.requests[0]);
    s.did();
    for _ in 0..3 {
        s.peer.send(s.now, user("bob"), text("hi"));
    }
    assert_eq!(s.did()[2..], ["failed: too much is waiting: at most 2 messages"]);
    for n in ["1", "2"] {
        assert_eq!(s.peer(stream, &format!("DIRECT_MESSAGE <bob> <alice> {n}")), [format!("bob: {n}")]);
    }
    let did = s.peer(stream, "DIRECT_MESSAGE <bob> <alice> 3");
    assert_eq!(did, ["s0 DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <bob> <3> <too much is waiting>"]);
}

#[test]
fn a_wish_to_chat_is_the_application_s_to_answer() {
    let mut s = Solo::alice();
    let stream = s.accept();
    assert_eq!(s.peer(stream, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat"]);
    assert_eq!(s.peer(stream, "CHAT_REQUEST <alice> <bob>"), NOBODY, "one answer for both");
    let busy = Reason::new("busy").unwrap();
    s.peer.reject(s.now, s.requests[0], Some(busy.clone()));
    assert_eq!(s.did(), ["s0 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice> <busy>", "ok Done"]);
    s.peer.accept(s.now, s.requests[0]);
    assert_eq!(s.did(), ["failed: there is no such chat request"]);

    assert_eq!(s.peer(stream, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat"]);
    s.peer.accept(s.now, s.requests[1]);
    assert_eq!(s.did(), ["s0 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>", "chat with bob", "ok Done"]);
    let did = s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["s0 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>"], "open already");

    let base = s.accept();
    assert_eq!(s.peer(base, "CHAT_REQUEST <alice>"), ["? wants to chat"]);
    s.peer.reject(s.now, s.requests[2], Some(busy));
    let did = s.did();
    assert_eq!(did[0], "s1 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice>", "not known to read reasons");
    assert_eq!(s.peer(base, "CHAT_REQUEST <alice>"), ["? wants to chat"]);
    s.closed(base);
    assert_eq!(s.did(), ["no chat with ?: reset"]);
}

#[test]
fn a_wish_to_chat_with_somebody_else_is_declined() {
    let mut s = Solo::alice();
    let stream = s.accept();
    let why = "<nobody of that name is here>";
    assert_eq!(s.peer(stream, "CHAT_REQUEST <eve>"), ["s0 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice>"]);
    let did = s.peer(stream, "CHAT_REQUEST <eve> <bob>");
    assert_eq!(did, [format!("s0 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice> {why}")]);
    let did = s.peer(stream, "CHAT_REQUEST <alice> <Alice>");
    assert_eq!(did, ["s0 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice> <that name is mine>"]);

    let mut s = Solo::new();
    let stream = s.accept();
    let did = s.peer(stream, "CHAT_REQUEST <alice>");
    assert_eq!(did, ["s0 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice>"], "nobody is logged in");
}

#[test]
fn wishes_to_chat_are_bounded() {
    let mut config = Config::default();
    (config.chat_requests, config.streams) = (1, 2);
    let mut s = Solo::alice_with(config, ALL);
    let (first, second) = (s.accept(), s.accept());
    assert_eq!(s.peer.accept_stream(s.now, ([192, 0, 2, 9], 1).into()), None);
    s.peer(first, "CHAT_REQUEST <alice> <bob>");
    let did = s.peer(second, "CHAT_REQUEST <alice> <carol>");
    assert_eq!(did, ["s1 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice> <too many chat requests are waiting>"]);
    s.closed(second);
    s.accept();
    let did = s.wait_quietly(SECOND * 120);
    assert_eq!(did, ["close s2", "close s0", "no chat with bob: no answer to the chat request"]);
    let third = s.accept();
    let did = s.peer(third, "CHAT_REQUEST <alice> <carol>");
    assert_eq!(did, ["carol wants to chat"], "nobody keeps a place for ever");
}

#[test]
fn wishes_that_wait_for_one_answer_are_bounded() {
    let mut config = Config::default();
    (config.chat_requests, config.messages_in_flight) = (2, 2);
    let mut s = Solo::alice_with(config, ALL);
    for _ in 0..3 {
        s.peer.chat(s.now, user("bob"));
    }
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "failed: too much is waiting: at most 2 messages"]);
    s.registry(BOB);
    s.did();
    s.connected(0);
    assert_eq!(s.did(), ["s0 CHAT_REQUEST <bob>"]);
    s.peer.chat(s.now, user("bob"));
    assert_eq!(s.did(), ["failed: too much is waiting: at most 2 chat requests"]);
    assert_eq!(s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <bob>"), ["chat with bob", "ok Done", "ok Done"]);
}

#[test]
fn who_lets_a_request_pass_has_not_declined_it() {
    for (reason, outcome) in
        [("nobody has answered", "failed: no answer came in time"), ("not now", "failed: declined: not now")]
    {
        let mut s = dialling_bob(" <sender,reason>");
        s.connected(0);
        s.did();
        let did = s.peer(0, &format!("CHAT_REQUEST_RESPONSE <REJECT> <404> <bob> <{reason}>"));
        assert_eq!(did, [outcome]);
    }
}

#[test]
fn two_who_ask_each_other_at_once_both_get_their_chat() {
    let mut s = dialling_bob(" <sender>");
    s.connected(0);
    s.did();
    let stranger = s.accept();
    let did = s.peer(stranger, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["bob wants to chat"], "a name proves nothing, unless it comes from bob's address");
    s.closed(stranger);
    s.did();
    let theirs = s.accept_from(BOBS_ADDRESS);
    let did = s.peer(theirs, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["s2 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>", "chat with bob"]);
    assert_eq!(s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>"), ["ok Done"]);
    s.peer.send(s.now, user("bob"), text("hi"));
    assert_eq!(s.did(), ["s0 DIRECT_MESSAGE <alice> <bob> hi"], "on the stream that was dialled");
    assert_eq!(s.peer(theirs, "DIRECT_MESSAGE <bob> <alice> hi"), ["bob: hi"], "both are read");
    s.closed(0);
    let failed = "failed: that user can't be reached: reset; it may have arrived all the same";
    assert_eq!(s.did(), [failed], "the other stream still carries the chat");
    s.closed(theirs);
    assert_eq!(s.did(), ["no chat with bob: reset"]);
}

#[test]
fn two_who_dial_each_other_at_once_both_get_their_chat() {
    let mut s = dialling_bob(" <sender>");
    let (stranger, theirs) = (s.accept(), s.accept_from(BOBS_ADDRESS));
    assert_eq!(s.peer(stranger, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat"]);
    assert_eq!(s.peer(theirs, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat"]);
    s.connected(0);
    let asked = "s0 CHAT_REQUEST <bob> <alice>";
    assert_eq!(s.did(), [asked, "s2 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>", "chat with bob"]);
    assert_eq!(s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>"), ["ok Done"]);
    s.peer.accept(s.now, s.requests[1]);
    assert_eq!(s.did(), ["failed: there is no such chat request"], "it has been accepted");
    let did = s.peer(stranger, "DIRECT_MESSAGE <bob> <alice> hi");
    assert_eq!(did, ["s1 DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <bob> <hi> <no chat is open>"]);
}

#[test]
fn who_asks_back_after_accepting_is_accepted_too() {
    let mut s = dialling_bob(" <sender>");
    s.connected(0);
    s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>");
    let (stranger, theirs) = (s.accept(), s.accept_from(BOBS_ADDRESS));
    let did = s.peer(theirs, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["s2 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>"], "he had asked before he knew");
    assert_eq!(s.peer(stranger, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat"]);
}

#[test]
fn a_message_in_is_confirmed_when_the_application_has_it() {
    let mut s = chatting();
    assert_eq!(s.peer(0, "DIRECT_MESSAGE <bob> <alice> one"), ["bob: one"]);
    assert_eq!(s.peer(0, "DIRECT_MESSAGE <bob> <alice> two"), ["bob: two"]);
    s.peer.confirm(s.now, s.receipts[1]);
    assert_eq!(s.did(), NOBODY, "notifications keep the order of messages");
    s.peer.confirm(s.now, s.receipts[0]);
    s.peer.confirm(s.now, s.receipts[0]);
    let notified = "s0 DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <bob>";
    assert_eq!(s.did(), [format!("{notified} <one>"), format!("{notified} <two>")]);
}

#[test]
fn a_message_that_breaks_a_rule_is_refused() {
    let mut s = Solo::alice();
    let stream = s.accept();
    let failed = "s0 DIRECT_UNICAST_NOTIFICATION <FAILURE> <404>";
    assert_eq!(
        s.peer(stream, "DIRECT_MESSAGE <bob> <alice> hi"),
        [format!("{failed} <bob> <hi>")],
        "no chat"
    );
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    let did = s.peer(stream, "DIRECT_MESSAGE <bob> <alice> hi");
    assert_eq!(did, [format!("{failed} <bob> <hi> <no chat is open>")], "not accepted yet");
    s.peer.accept(s.now, s.requests[0]);
    s.did();
    let did = s.peer(stream, "DIRECT_MESSAGE <bob> <eve> hi");
    assert_eq!(did, [format!("{failed} <bob> <hi> <nobody of that name is here>")]);
    let did = s.peer(stream, "DIRECT_MESSAGE <carol> <alice> hi");
    assert_eq!(did, [format!("{failed} <carol> <hi> <this stream belongs to another name>")]);
    assert_eq!(s.peer(stream, "DIRECT_MESSAGE <bob> <alice> hi"), ["bob: hi"]);
}

#[test]
fn a_nameless_asker_is_named_by_what_they_say_first() {
    let mut s = Solo::alice();
    let stream = s.accept();
    s.peer(stream, "CHAT_REQUEST <alice>");
    s.peer.accept(s.now, s.requests[0]);
    assert_eq!(s.did()[1..], ["chat with ?", "ok Done"]);
    let again = s.peer(stream, "CHAT_REQUEST <alice>");
    assert_eq!(again, ["s0 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>"], "the chat is open already");
    assert_eq!(s.peer(stream, "DIRECT_MESSAGE <bob> <alice> hi"), ["chat with bob", "bob: hi"]);
    s.peer.confirm(s.now, s.receipts[0]);
    s.did();
    s.peer.send(s.now, user("bob"), text("hello"));
    assert_eq!(s.did(), ["s0 DIRECT_MESSAGE <alice> <bob> hello"]);
    let did = s.peer(stream, "DIRECT_MESSAGE <carol> <alice> hi");
    assert_eq!(did, ["s0 DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <carol> <hi>"]);
}

#[test]
fn a_nameless_chat_is_named_by_whatever_gives_a_name() {
    for naming in ["CHAT_REQUEST <alice> <bob>", "DIRECT_BROADCAST <bob> hello"] {
        let mut s = Solo::alice();
        let stream = s.accept();
        s.peer(stream, "CHAT_REQUEST <alice>");
        s.peer.accept(s.now, s.requests[0]);
        s.did();
        assert_eq!(s.peer.chats().count(), 0, "nobody knows with whom");
        let did = s.peer(stream, naming);
        assert!(did.iter().any(|line| line == "chat with bob"), "{did:?}");
        s.peer.send(s.now, user("bob"), text("there you are"));
        assert_eq!(s.did(), ["s0 DIRECT_MESSAGE <alice> <bob> there you are"]);
    }
}

#[test]
fn what_was_never_confirmed_goes_with_its_stream() {
    let mut s = chatting();
    let other = s.accept();
    s.peer(0, "DIRECT_MESSAGE <bob> <alice> hi");
    s.peer(other, "CHAT_REQUEST <alice> <carol>");
    s.peer.accept(s.now, s.requests[0]);
    s.peer(other, "DIRECT_MESSAGE <carol> <alice> hi");
    let held = |s: &Solo| format!("{:?}", s.peer);
    assert!(held(&s).contains("streams: 2, receipts: 2"), "{}", held(&s));
    s.closed(0);
    assert!(held(&s).contains("streams: 1, receipts: 1"), "{}", held(&s));
    s.closed(other);
    assert!(held(&s).contains("streams: 0, receipts: 0"), "{}", held(&s));
}

#[test]
fn hanging_up_on_one_user_ends_nothing_else() {
    let mut s = chatting();
    let (carol, room) = (s.accept(), s.accept());
    s.peer(carol, "CHAT_REQUEST <alice> <carol>");
    s.peer.accept(s.now, s.requests[0]);
    s.peer(room, "DIRECT_BROADCAST <bob> hi");
    s.did();
    s.peer.hang_up(s.now, user("bob"));
    assert_eq!(s.did(), ["close s0", "no chat with bob: hung up", "ok Done"], "what isn't a chat stays open");
    assert_eq!(s.peer.chats().collect::<Vec<_>>(), [&user("carol")]);
}

#[test]
fn hanging_up_closes_the_stream() {
    let mut s = chatting();
    s.peer.hang_up(s.now, user("bob"));
    assert_eq!(s.did(), ["close s0", "no chat with bob: hung up", "ok Done"]);
    s.peer.hang_up(s.now, user("bob"));
    assert_eq!(s.did(), ["failed: no chat is open with that user"]);
}

#[test]
fn rubbish_from_a_peer_costs_that_stream_and_no_other() {
    let mut s = chatting();
    let stream = s.accept();
    let rubbish = || Malformed::Frame(FrameError::TooLong { limit: 9 });
    s.peer.handle_stream_malformed(s.now, s.streams[stream], rubbish());
    s.peer.handle_stream_malformed(s.now, s.streams[stream], rubbish());
    assert_eq!(
        s.did(),
        ["fault of 192.0.2.9:50000: sent what is no message: a frame has more than 9 bytes", "close s1"]
    );
    assert_eq!(s.peer.chats().count(), 1);
}

#[test]
fn a_peer_stream_that_is_cut_inside_a_frame_is_nobody_s_fault() {
    let mut s = chatting();
    let cut = Malformed::Frame(FrameError::Truncated { bytes: 5 });
    s.peer.handle_stream_malformed(s.now, s.streams[0], cut);
    assert_eq!(s.did(), ["no chat with bob: the stream ended inside a frame, after 5 bytes of it"]);
    s.closed(0);
    assert_eq!(s.did(), NOBODY);
}

#[test]
fn idle_streams_are_closed_unless_a_chat_is_open() {
    let mut s = chatting();
    let (silent, idle) = (s.accept(), s.accept());
    assert_eq!(s.peer(idle, "DIRECT_MESSAGE <bob> <alice> hi").len(), 1);
    assert_eq!(s.wait_quietly(SECOND * 10), [format!("close s{silent}")]);
    // Longer than who dialled would wait, so that nothing is said into a stream that is being closed.
    assert_eq!(s.wait_quietly(SECOND * 119), NOBODY);
    assert_eq!(s.wait_quietly(SECOND), [format!("close s{idle}")]);
    assert_eq!(s.wait_quietly(SECOND * 3_600), NOBODY);
    assert_eq!(s.peer.chats().count(), 1);
}

#[test]
fn a_chat_outlives_the_registry_link() {
    let mut s = chatting();
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.did();
    s.peer.send(s.now, user("bob"), text("still here?"));
    assert_eq!(s.did(), ["s0 DIRECT_MESSAGE <alice> <bob> still here?"]);
    assert_eq!(s.peer(0, "DIRECT_MESSAGE <bob> <alice> yes"), ["bob: yes"]);
}
