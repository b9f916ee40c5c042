//! What is said by number: once, in order, over one stream after the other (§7.14).

use p2pchat_core::peer::Config;

use crate::{
    keys::{config, introduction, key, logging_in_where},
    solo::{SECOND, Solo, text, user},
    world::World,
};

/// alice and bob, with keys, both in the den.
pub(crate) fn both() -> World {
    both_with(&config())
}

fn both_with(settings: &Config) -> World {
    let mut w = World::with(&["alice", "bob"], settings);
    w.create(0, "den");
    w.join(1, "den");
    w.forget();
    w
}

impl World {
    /// alice asks until bob has accepted.
    pub(crate) fn open_chat(&mut self) {
        for _ in 0..5 {
            self.nodes[0].solo.peer.chat(self.now, user("bob"));
            self.run();
            for request in std::mem::take(&mut self.nodes[1].solo.requests) {
                self.nodes[1].solo.peer.accept(self.now, request);
            }
            self.run();
            if self.nodes[0].log.iter().any(|line| line == "ok Done") {
                return;
            }
            self.wait(SECOND * 2);
        }
        panic!("no chat: {:?} {:?}", self.nodes[0].log, self.nodes[1].log);
    }

    /// What a node was told that begins so, from the last look on.
    fn heard(&self, node: usize, from: &str) -> Vec<&str> {
        let said =
            |line: &&String| line.starts_with(&format!("{from}: ")) || line.contains(&format!("] {from}: "));
        self.nodes[node].log.iter().filter(said).map(String::as_str).collect()
    }
}

pub(crate) fn chatting() -> World {
    chatting_with(&config())
}

/// alice and bob in a chat.
pub(crate) fn chatting_with(settings: &Config) -> World {
    let mut w = both_with(settings);
    w.open_chat();
    w.forget();
    w
}

#[test]
fn links_wherever_a_stream_is_cut_everything_is_heard_once_and_in_order() {
    let talk = |cut_after: Option<usize>| {
        let mut w = both();
        (w.talked, w.cut_after) = (0, cut_after);
        w.open_chat();
        w.send(0, "bob", "one");
        w.send(1, "alice", "uno");
        w.send(0, "bob", "two");
        w.say(0, "den", "three");
        w.send(0, "bob", "four");
        w.say(1, "den", "dos");
        w.wait(SECOND * 30);
        assert!(w.cut_after.is_none());
        assert_eq!(w.heard(1, "alice"), ["alice: one", "alice: two", "[den] alice: three", "alice: four"]);
        assert_eq!(w.heard(0, "bob"), ["bob: uno", "[den] bob: dos"]);
        for node in &w.nodes {
            assert!(node.ended.values().all(|&times| times == 1));
            let failed = node.log.iter().filter(|line| line.starts_with("failed"));
            // To be asked for a chat is all that can't wait.
            assert!(failed.clone().count() <= 1, "{:?}", node.log);
            let opened = node.log.iter().rposition(|line| line.starts_with("chat with"));
            let last = node.log.iter().rposition(|line| line.starts_with("failed"));
            assert!(last < opened, "{cut_after:?}: {:?}", node.log);
        }
        w.talked
    };
    let bytes = talk(None);
    for byte in 0..=bytes {
        talk(Some(byte));
    }
}

#[test]
fn links_a_chat_outlasts_its_stream() {
    let mut w = chatting();
    w.cut_streams(0);
    w.wait(SECOND);
    assert_eq!(w.told(0), ["no way to bob: cut", "chat with bob goes on"]);
    assert_eq!(w.told(1), ["no way to alice: closed by the other side", "chat with alice goes on"]);
    // What is said while there is no way waits for one.
    w.apart.insert(1);
    w.cut_streams(0);
    w.send(0, "bob", "are you there?");
    w.wait(SECOND * 15);
    assert_eq!(w.told(0), ["no way to bob: cut"]);
    w.apart.clear();
    w.wait(SECOND * 15);
    assert_eq!(w.told(0), ["chat with bob goes on", "ok Done"]);
    let told = w.told(1);
    assert_eq!(told[1..], ["chat with alice goes on", "alice: are you there?"], "{told:?}");
}

#[test]
fn links_a_half_open_stream_is_found_by_a_ping_and_what_was_said_into_it_is_said_again() {
    let mut w = chatting();
    w.wait(SECOND * 300);
    assert!(w.told(0).is_empty(), "a silent stream that lives is left alone");
    w.apart.insert(1);
    w.send(0, "bob", "hello?");
    w.wait(SECOND * 19);
    assert!(w.told(0).is_empty());
    w.apart.clear();
    w.wait(SECOND * 3);
    let told = w.told(0);
    assert_eq!(told, ["no way to bob: it doesn't answer any more", "chat with bob goes on", "ok Done"]);
    assert_eq!(w.heard(1, "alice"), ["alice: hello?"]);
}

#[test]
fn links_who_does_not_come_back_in_time_is_given_up() {
    let mut w = chatting();
    w.apart.insert(1);
    w.cut_streams(0);
    w.send(0, "bob", "hello?");
    w.wait(SECOND * 80);
    let told = w.told(0);
    assert_eq!(told[0], "no way to bob: cut");
    assert!(told[1].starts_with("failed: "), "{told:?}");
    assert!(told[2].starts_with("no chat with bob: "), "{told:?}");
    w.nodes[0].solo.peer.send(w.now, user("bob"), text("still?"));
    assert_eq!(w.told(0), ["failed: no chat is open with that user"]);
}

#[test]
fn links_a_gap_is_shown_and_asked_for_again() {
    let mut w = both();
    w.say(0, "den", "one");
    w.forget();
    w.apart.insert(1);
    w.say(0, "den", "two");
    w.wait(SECOND * 80);
    let told = w.told(0);
    assert!(told[0].contains("bob"), "the report says who hasn't got it: {told:?}");
    w.apart.clear();
    w.say(0, "den", "three");
    w.wait(SECOND * 5);
    assert_eq!(w.told(1)[..], ["1 of alice's are missing", "[den] alice: three", "[den] alice: two (late)"]);
    let told = w.told(0);
    assert!(told.contains(&"bob has two after all".to_owned()), "{told:?}");
}

#[test]
fn links_hanging_up_leaves_the_stream_to_others() {
    let mut w = chatting();
    w.nodes[0].solo.peer.hang_up(w.now, user("bob"));
    assert_eq!(w.told(0), ["no chat with bob: hung up", "ok Done"]);
    assert_eq!(w.told(1), ["no chat with alice: hung up"]);
    assert_eq!((w.nodes[0].streams(), w.nodes[1].streams()), (1, 1));
    // Also while there is none.
    w.open_chat();
    w.apart.insert(1);
    w.cut_streams(0);
    w.nodes[0].solo.peer.hang_up(w.now, user("bob"));
    w.apart.clear();
    w.say(0, "den", "bye");
    w.wait(SECOND * 10);
    let told = w.told(1);
    assert!(told.contains(&"no chat with alice: they have left it".to_owned()), "{told:?}");
    assert!(told.contains(&"[den] alice: bye".to_owned()), "{told:?}");
}

#[test]
fn links_a_program_that_starts_anew_is_told_nothing_twice() {
    let mut w = chatting();
    w.send(0, "bob", "one");
    w.forget();
    w.restart_node(1);
    w.send(0, "bob", "two");
    w.wait(SECOND * 3);
    w.login(1, "bob");
    w.wait(SECOND * 30);
    assert!(w.heard(1, "alice").is_empty(), "{:?}", w.nodes[1].log);
    let told = w.told(0);
    assert!(told.iter().any(|line| line.starts_with("no chat with bob")), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("failed: ")), "{told:?}");
}

const AGREED: &str = " <1> <reason,roster,sender,origin,keys,ids>";

/// alice, who knows bob by his key.
pub(crate) fn alice() -> Solo {
    alice_with(config())
}

pub(crate) fn alice_with(settings: Config) -> Solo {
    let mut s = logging_in_where("alice", settings, AGREED);
    s.let_in();
    s.peer.set_key(s.now, user("bob"), Some(key('b')));
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice", "bob"]);
    s.did();
    s
}

/// bob comes in this run, with this number next, and without a chat; on which stream.
pub(crate) fn comes(s: &mut Solo, run: u64, next: u64) -> (usize, Vec<String>) {
    let stream = s.accept();
    s.hear(stream, &format!("{} <tls>", introduction("alice")));
    s.peer.handle_stream_secured(s.now, s.streams[stream], key('b'));
    s.hear(stream, &format!("{} <numbering>", introduction("alice")));
    assert!(s.did().is_empty(), "his numbering comes first");
    s.hear(stream, &format!("NUMBERING <{run}> <{next}> <CLOSED> <files>"));
    let mut did = s.did();
    let ours = did.iter().position(|line| line.starts_with(&format!("s{stream} NUMBERING <")));
    did.remove(ours.unwrap());
    (stream, did)
}

/// bob says something in the den, by this number.
pub(crate) fn says(s: &mut Solo, stream: usize, sequence: u64, words: &str) -> Vec<String> {
    s.hear(stream, &format!("NUMBERED <{}> <{sequence}> <1764374400123>", 100 + sequence));
    s.peer(stream, &format!("DIRECT_BROADCAST <bob> <den> {words}"))
}

fn notified(stream: usize, words: &str) -> String {
    format!("s{stream} DIRECT_BROADCAST_NOTIFICATION <SUCCESS> <200> <bob> <{words}>")
}

#[test]
fn links_what_is_said_again_is_answered_again_and_not_shown() {
    let mut s = alice();
    let (first, _) = comes(&mut s, 7, 1);
    assert_eq!(says(&mut s, first, 1, "one"), ["[den] bob: one"]);
    assert_eq!(says(&mut s, first, 2, "two"), ["[den] bob: two"]);
    s.peer.confirm(s.now, s.receipts[0]);
    assert_eq!(s.did(), [notified(first, "one")]);
    // The answer was lost, and the second is still to be confirmed.
    s.closed(first);
    let (second, did) = comes(&mut s, 7, 1);
    assert!(did.is_empty());
    assert_eq!(says(&mut s, second, 1, "one"), [notified(second, "one")]);
    assert!(says(&mut s, second, 2, "two").is_empty());
    s.closed(second);
    // Between streams, and on the third.
    s.peer.confirm(s.now, s.receipts[1]);
    assert!(s.did().is_empty());
    let (third, _) = comes(&mut s, 7, 2);
    assert_eq!(says(&mut s, third, 2, "two"), [notified(third, "two")]);
    assert_eq!(says(&mut s, third, 3, "three"), ["[den] bob: three"]);
    // Two streams at once: who dialled anew has given the first one up.
    let (fourth, _) = comes(&mut s, 7, 3);
    assert!(says(&mut s, fourth, 3, "three").is_empty());
    s.peer.confirm(s.now, s.receipts[2]);
    assert_eq!(s.did(), [notified(fourth, "three")]);
    // In another run they are others.
    let (fifth, did) = comes(&mut s, 8, 1);
    assert_eq!(
        did,
        [format!("close s{third}"), format!("close s{fourth}")],
        "what is still on its way there is of a session that has ended"
    );
    assert_eq!(says(&mut s, fifth, 1, "one"), ["[den] bob: one"]);
    let (sixth, did) = {
        let stream = s.accept();
        s.hear(stream, &format!("{} <tls>", introduction("alice")));
        s.peer.handle_stream_secured(s.now, s.streams[stream], key('b'));
        s.hear(stream, &format!("{} <numbering>", introduction("alice")));
        s.hear(stream, "NUMBERING <7> <3> <CLOSED>");
        (stream, s.did())
    };
    assert_eq!(did, [format!("close s{sixth}")], "so is that");
}

#[test]
fn links_what_was_refused_stays_refused() {
    let mut s = alice();
    let (stream, _) = comes(&mut s, 7, 1);
    let says = |s: &mut Solo, stream: usize| {
        s.hear(stream, "NUMBERED <1> <1> <0>");
        s.peer(stream, "DIRECT_MESSAGE <bob> <alice> hi")
    };
    let refused = "DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <bob> <hi>";
    assert_eq!(says(&mut s, stream), [format!("s{stream} {refused} <no chat is open>")]);
    s.closed(stream);
    let (stream, _) = comes(&mut s, 7, 1);
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    s.peer.accept(s.now, s.requests[0]);
    s.did();
    // Later ones may have been shown.
    assert_eq!(says(&mut s, stream), [format!("s{stream} {refused} <it was refused before>")]);
}

#[test]
fn links_what_was_not_decided_before_its_stream_ended_is_decided_when_it_comes_again() {
    let mut s = alice();
    s.registry("USER_LEFT <den> <bob>");
    s.did();
    let (stream, _) = comes(&mut s, 7, 1);
    // Whether bob is in the den now, the registry has to say.
    assert_eq!(says(&mut s, stream, 1, "hi"), ["> DISCOVER_PEERS <den>"]);
    s.closed(stream);
    let (stream, _) = comes(&mut s, 7, 1);
    assert!(says(&mut s, stream, 1, "hi").is_empty());
    s.members("den", &["alice", "bob"]);
    assert_eq!(s.did(), ["bob is in den", "[den] bob: hi"]);
}

#[test]
fn links_numbers_that_are_out_of_order_end_the_stream() {
    for (lines, why) in [
        (&["DIRECT_MESSAGE <bob> <alice> hi"][..], "said something without a number"),
        (&["NUMBERED <1> <1> <0>", "CHAT_REQUEST <alice> <bob>"], "numbered what has no number"),
        (&["NUMBERED <1> <1> <0>", "NUMBERED <1> <2> <0>"], "numbered what has no number"),
        (&["NUMBERING <7> <1> <CLOSED>"], "numbered messages twice"),
    ] {
        let mut s = alice();
        let (stream, _) = comes(&mut s, 7, 1);
        for line in lines {
            s.hear(stream, line);
        }
        assert_eq!(
            s.did(),
            [format!("fault of bob at 192.0.2.9:50000: {why}"), format!("close s{stream}")],
            "{why}"
        );
    }
    // Before the numbering, and where there is none.
    let mut s = alice();
    let stream = s.accept();
    s.hear(stream, &format!("{} <tls>", introduction("alice")));
    s.peer.handle_stream_secured(s.now, s.streams[stream], key('b'));
    s.hear(stream, &format!("{} <numbering>", introduction("alice")));
    s.hear(stream, "CHAT_REQUEST <alice> <bob>");
    let did = s.did();
    assert!(did[0].contains("spoke before saying how messages are numbered"), "{did:?}");
    let mut s = alice();
    let (stream, _) = crate::keys::comes(&mut s, key('b'));
    for line in
        ["PING <1>", "HANG_UP", "MISSING <1> <2>", "NUMBERED <1> <1> <0>", "NUMBERING <7> <1> <CLOSED>"]
    {
        let mut s = alice();
        let (stream, _) = crate::keys::comes(&mut s, key('b'));
        s.hear(stream, line);
        let did = s.did();
        assert!(did[0].contains("said what is for numbered streams alone"), "{did:?}");
    }
    s.closed(stream);
}

#[test]
fn links_a_ping_is_answered_at_once() {
    let mut s = alice();
    let (stream, _) = comes(&mut s, 7, 1);
    assert_eq!(s.peer(stream, "PING <17>"), [format!("s{stream} PONG <17>")]);
    assert!(s.peer(stream, "PONG <18>").is_empty());
}

#[test]
fn links_a_number_whose_message_is_still_on_its_way_shows_that_a_stream_lives() {
    let mut s = alice();
    let (stream, _) = comes(&mut s, 7, 1);
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    let request = s.requests.pop().unwrap();
    s.peer.accept(s.now, request);
    let mut what_comes_of_silence = |seconds, before: &str| {
        if !before.is_empty() {
            s.hear(stream, before);
        }
        let did = s.wait(SECOND * seconds);
        let is_asked = did.iter().any(|line| line.starts_with(&format!("s{stream} PING <")));
        (is_asked, did.iter().any(|line| line.contains("doesn't answer any more")))
    };
    assert_eq!(what_comes_of_silence(31, ""), (true, false));
    assert_eq!(what_comes_of_silence(10, "NUMBERED <1> <1> <0>"), (true, false), "it is asked once more");
    assert_eq!(what_comes_of_silence(10, ""), (false, true));
}

#[test]
fn links_only_what_is_known_of_a_gap_is_asked_for() {
    let mut s = alice();
    let (stream, _) = comes(&mut s, 7, 1);
    says(&mut s, stream, 1, "one");
    s.hear(stream, "NUMBERED <1> <18446744073709551615> <0>");
    let did = s.peer(stream, "DIRECT_BROADCAST <bob> <den> last");
    let (first, last) = (u64::MAX - 64, u64::MAX - 1);
    let missing = u64::MAX - 2;
    assert_eq!(
        did,
        [
            format!("{missing} of bob's are missing"),
            format!("s{stream} MISSING <{first}> <{last}>"),
            "[den] bob: last".to_owned()
        ]
    );
    s.hear(stream, &format!("NUMBERED <1> <{first}> <0>"));
    assert_eq!(s.peer(stream, "DIRECT_BROADCAST <bob> <den> late"), ["[den] bob: late (late)"]);
}

#[test]
fn links_a_half_open_stream_is_found_while_one_goes_on_talking() {
    let mut w = chatting();
    w.apart.insert(1);
    for n in 0..19 {
        if n < 12 {
            w.send(0, "bob", &format!("{n}"));
        }
        w.wait(SECOND);
    }
    w.apart.clear();
    w.wait(SECOND * 5);
    let told = w.told(0);
    assert_eq!(told[..2], ["no way to bob: it doesn't answer any more", "chat with bob goes on"]);
    assert_eq!(told[2..], ["ok Done"; 12]);
    assert_eq!(w.heard(1, "alice"), (0..12).map(|n| format!("alice: {n}")).collect::<Vec<_>>());
}

#[test]
fn links_a_request_that_nobody_answers_leaves_its_place() {
    let mut s = alice();
    let (stream, _) = comes(&mut s, 7, 1);
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    s.wait(SECOND * 119);
    let did = s.wait_quietly(SECOND * 2);
    let rejected = format!("s{stream} CHAT_REQUEST_RESPONSE <REJECT> <404> <alice> <nobody has answered>");
    assert_eq!(did, [rejected, "no chat with bob: nobody has answered".to_owned()]);
    // And the next one is heard.
    assert_eq!(s.peer(stream, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat in private"]);
}

#[test]
fn links_a_receipt_of_an_earlier_run_confirms_nothing() {
    let mut s = alice();
    let (first, _) = comes(&mut s, 7, 1);
    says(&mut s, first, 1, "one");
    let (second, _) = comes(&mut s, 8, 1);
    says(&mut s, second, 1, "uno");
    s.peer.confirm(s.now, s.receipts[0]);
    s.closed(second);
    s.did();
    let (third, _) = comes(&mut s, 8, 1);
    assert!(says(&mut s, third, 1, "uno").is_empty(), "nobody has stored that");
    s.peer.confirm(s.now, s.receipts[1]);
    assert_eq!(s.did(), [notified(third, "uno")]);
}

#[test]
fn links_a_chat_that_one_end_has_left_is_left_by_the_other() {
    // alice comes back saying that it is open, and hangs up before bob has answered.
    let mut w = chatting();
    w.apart.insert(1);
    w.cut_streams(0);
    w.nodes[0].solo.peer.hang_up(w.now, user("bob"));
    w.apart.clear();
    w.wait(SECOND * 40);
    let told = w.told(1);
    assert!(told.last().unwrap().starts_with("no chat with alice: "), "{told:?}");
    // The same on one stream: they say open, and here it isn't.
    let mut s = alice();
    let stream = s.accept();
    s.hear(stream, &format!("{} <tls>", introduction("alice")));
    s.peer.handle_stream_secured(s.now, s.streams[stream], key('b'));
    s.hear(stream, &format!("{} <numbering>", introduction("alice")));
    s.hear(stream, "NUMBERING <7> <1> <OPEN>");
    assert_eq!(s.did()[1..], [format!("s{stream} HANG_UP")]);
}

#[test]
fn links_what_is_missing_is_asked_for_again_on_the_next_stream() {
    let mut s = alice();
    let (stream, _) = comes(&mut s, 7, 1);
    says(&mut s, stream, 1, "one");
    let did = says(&mut s, stream, 4, "four");
    assert_eq!(
        did,
        [
            "2 of bob's are missing".to_owned(),
            format!("s{stream} MISSING <2> <3>"),
            "[den] bob: four".to_owned()
        ]
    );
    s.closed(stream);
    let (stream, did) = comes(&mut s, 7, 4);
    assert_eq!(did, [format!("s{stream} MISSING <2> <3>")]);
    assert_eq!(says(&mut s, stream, 2, "two"), ["[den] bob: two (late)"]);
}

#[test]
fn links_who_closes_every_stream_does_not_make_one_dial_without_end() {
    let mut w = chatting();
    for _ in 0..5 {
        w.cut_streams(1);
        w.wait(SECOND / 10);
    }
    let times = w.told(0).iter().filter(|line| *line == "chat with bob goes on").count();
    assert!(times <= 1, "{times} times in half a second");
}

#[test]
fn links_who_has_left_a_room_is_told_nothing_that_was_said_there() {
    let mut w = both();
    w.say(0, "den", "one");
    w.forget();
    w.apart.insert(1);
    w.say(0, "den", "two");
    w.nodes[1].solo.peer.leave(w.now, crate::solo::room("den"));
    w.run();
    w.apart.clear();
    w.wait(SECOND * 40);
    assert!(w.heard(1, "alice").is_empty(), "{:?}", w.nodes[1].log);
    let told = w.told(0);
    let told = told.iter().find(|line| line.contains("NotAMember")).unwrap_or_else(|| panic!("{told:?}"));
    assert!(told.contains("bob"), "{told}");
}

#[test]
fn links_nobody_accepts_in_another_s_name() {
    let mut s = alice();
    let (stream, _) = comes(&mut s, 7, 1);
    // alice is asking carol, on a stream of carol's.
    s.peer.chat(s.now, user("carol"));
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <carol> <4000> <192.0.2.3> <sender>");
    s.did();
    s.connected(1);
    s.did();
    s.hear(stream, "NUMBERED <1> <1> <0>");
    let did = s.peer(stream, "DIRECT_MESSAGE <carol> <alice> hi");
    assert_eq!(did.len(), 1, "{did:?}");
    assert!(did[0].contains("DIRECT_UNICAST_NOTIFICATION <FAILURE>"), "{did:?}");
    assert_eq!(s.peer.chats().count(), 0);
}
