//! People who talk: one to one, and in rooms.

use crate::{
    client::{Home, open_chat},
    daemon::Daemon,
};

/// What is hard to say: brackets, escapes, what looks like the protocol, right-to-left text, characters of several code
/// points.
const TEXTS: [&str; 8] = [
    "is 1 < 2 > 0?",
    "<b>bold</b> <SUCCESS> <200>",
    "  <two blanks, then a bracket>",
    "C:\\new\\readme.txt \\n \\\\",
    "crab 🦀, party 🎉",
    "שלום עולם",
    "مرحبا يا صديقي",
    "DIRECT_MESSAGE <alice> <bob> , Zoë",
];

#[test]
fn two_people_chat_both_ways() {
    let daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let (mut alice, mut bob) = (at_alice.prompt("alice"), at_bob.prompt("bob"));
    open_chat(&mut alice, "alice", &mut bob, "bob");
    for text in TEXTS {
        alice.type_line(text);
        bob.out.expect(&format!("alice: {text}\n"));
        bob.type_line(text);
        alice.out.expect(&format!("bob: {text}\n"));
    }
    alice.type_line("/leave");
    alice.out.expect("left bob");
    bob.out.expect("the chat with alice has ended");
    bob.type_line("/msg alice are you there?");
    bob.out.expect("not delivered to alice: no chat is open");
    alice.finish().expect_code(0);
    bob.finish().expect_code(0);
}

#[test]
fn a_request_is_declined_with_a_message() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let (mut alice, mut bob) = (home.prompt("alice"), home.prompt("bob"));
    alice.type_line("/chat bob");
    bob.out.expect("alice wants to chat");
    bob.type_line("/reject alice not before <noon>");
    bob.out.expect("declined alice");
    alice.out.expect("bob: declined: not before <noon>");
    alice.type_line("but why?");
    alice.out.expect("nothing is open");
    // Which ends nothing: they may yet talk.
    open_chat(&mut alice, "alice", &mut bob, "bob");
}

#[test]
fn texts_arrive_byte_for_byte_both_ways() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = home.listener("bob", &["--accept", "all"]);
    let mut alice = home.listener("alice", &["--accept", "all"]);
    home.register("carol");
    let more = ["one\ntwo\r\n\n<three>\\", "\u{202e}\u{1b}[2J\u{0}\u{7}", "👨‍👩‍👧", &"ß".repeat(8_000)];
    for text in TEXTS.iter().chain(&more) {
        for (to, listener) in [("bob", &mut bob), ("alice", &mut alice)] {
            home.run_with_input(&["--user", "carol", "send", to, "-"], text).expect_code(0);
            let message = listener.expect_event("message");
            assert_eq!((message["from"].as_str(), message["text"].as_str()), (Some("carol"), Some(*text)));
        }
    }
}

#[test]
fn a_text_of_several_lines_is_shown_as_several_lines() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = home.prompt("bob");
    home.register("alice");
    let sender = home.start(&["--user", "alice", "send", "bob", "one\ntwo\nbob: three"]);
    bob.out.expect("alice wants to chat");
    bob.type_line("/accept");
    bob.out.expect("alice: one\n    two\n    bob: three\n");
    sender.finish().expect_code(0);
}

#[test]
fn what_could_take_over_a_terminal_is_not_shown_as_it_is() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = home.prompt("bob");
    home.register("alice");
    let sender = home.start(&["--user", "alice", "send", "bob", "a\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}z"]);
    bob.out.expect("alice wants to chat");
    bob.type_line("/accept");
    let shown = bob.out.expect("z\n");
    assert!(shown.contains("alice: a"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{shown:?}");
    sender.finish().expect_code(0);
}

#[test]
fn ten_members_of_a_room_get_a_broadcast() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("owner");
    home.run(&["--user", "owner", "create", "tea room", "for all", "--capacity", "20"]).expect_code(0);
    let names: Vec<_> = (0..10).map(|at| format!("member{at}")).collect();
    let mut members: Vec<_> = names.iter().map(|name| home.listener(name, &["--room", "tea room"])).collect();

    let text = "hello <all>, 🦀\nsecond line";
    home.run_with_input(&["--user", "owner", "say", "tea room", "-"], text).expect_code(0);
    for member in &mut members {
        let heard = member.expect_event("broadcast");
        assert_eq!(heard["text"], text);
        assert_eq!((&heard["from"], &heard["room"]), (&"owner".into(), &"tea room".into()));
    }
    let listed = home.run(&["--user", "owner", "members", "tea room", "--json"]).expect_code(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(11));
    let rooms = home.run(&["--user", "owner", "rooms", "--json"]).expect_code(0).json();
    assert_eq!(
        rooms[0],
        serde_json::json!({
            "name": "tea room", "description": "for all", "members": 11, "capacity": 20,
        })
    );
}

#[test]
fn people_talk_in_a_room_until_they_leave_it() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let (mut alice, mut bob) = (home.prompt("alice"), home.prompt("bob"));
    alice.type_line("/create \"tea room\" 5 for two");
    alice.out.expect("what you type now goes to #tea room");
    bob.type_line("/rooms");
    bob.out.expect("#tea room  1/5  for two");
    bob.type_line("/join \"tea room\"");
    bob.out.expect("what you type now goes to #tea room");
    alice.out.expect("bob is in #tea room");
    bob.type_line("good <morning>");
    alice.out.expect("#tea room bob: good <morning>");
    alice.type_line("to you too");
    bob.out.expect("#tea room alice: to you too");
    bob.type_line("/members");
    bob.out.expect("online in #tea room: ");
    bob.type_line("/leave");
    bob.out.expect("left #tea room");
    alice.out.expect("bob left #tea room");
    bob.type_line("/msg \"#tea room\" am I there?");
    bob.out.expect("not a member of that room");
    bob.type_line("/create partial");
    bob.out.expect("#partial: ");
}

#[test]
fn a_room_is_switched_to_with_and_without_its_sign_and_a_chat_of_that_name_goes_first() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let (mut alice, mut den) = (home.prompt("alice"), home.prompt("den"));
    for room in ["den", "attic"] {
        alice.type_line(&format!("/create {room}"));
        alice.out.expect(&format!("what you type now goes to #{room}"));
    }
    for to in ["den", "#attic"] {
        alice.type_line(&format!("/switch {to}"));
        alice.out.expect(&format!("what you type now goes to #{}", to.trim_start_matches('#')));
    }
    alice.type_line("/chat den");
    den.out.expect("alice wants to chat");
    den.type_line("/accept");
    alice.out.expect("what you type now goes to den");
    alice.type_line("/switch attic");
    alice.out.expect("what you type now goes to #attic");
    alice.type_line("/switch den");
    alice.out.expect("what you type now goes to den");
    alice.type_line("/switch cellar");
    alice.out.expect("no chat with cellar is open: /chat cellar");
}

#[test]
fn a_room_with_a_password_is_entered_with_it() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let (mut alice, mut bob) = (home.prompt("alice"), home.prompt("bob"));
    alice.type_line("/create -p den 2");
    alice.type_line("open sesame");
    alice.out.expect("opened #den");
    bob.type_line("/join -p den");
    bob.type_line("open barley");
    bob.out.expect("#den: wrong room password");
    bob.type_line("/join -p den");
    bob.type_line("open sesame");
    bob.out.expect("joined #den");
    let mut carol = home.prompt("carol");
    carol.type_line("/join -p den");
    carol.type_line("open sesame");
    carol.out.expect("#den: the room is full");
}

#[test]
fn a_room_sees_who_logs_out_who_crashes_and_who_falls_silent() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = home.prompt("alice");
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    let mut others = ["leaver", "crasher", "sleeper"].map(|name| {
        let other = home.listener(name, &["--room", "den"]);
        alice.out.expect(&format!("{name} is in #den"));
        other
    });
    others[0].signal("TERM");
    alice.out.expect("leaver went offline");
    others[1].signal("KILL");
    alice.out.expect("crasher went offline");
    // Its stream stays open; only its keep-alives stop.
    others[2].signal("STOP");
    alice.out.expect("sleeper went offline");
    daemon.log.expect_anywhere("timed out");
    others[2].signal("CONT");
    // Nobody else has logged in, so it comes back.
    alice.out.expect("sleeper is in #den");
    others[2].expect_event("reconnected");
}

#[test]
fn two_who_ask_each_other_at_once_are_in_a_chat() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let (mut alice, mut bob) = (home.prompt("alice"), home.prompt("bob"));
    alice.type_line("/chat bob");
    bob.type_line("/chat alice");
    alice.out.expect("what you type now goes to bob");
    bob.out.expect("what you type now goes to alice");
    alice.type_line("you first");
    bob.out.expect("alice: you first");
    bob.type_line("no, you");
    alice.out.expect("bob: no, you");
}

#[test]
fn whose_silent_session_was_taken_over_is_told_and_stays_away() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut old = home.listener("alice", &[]);
    old.signal("STOP");
    // Online for the registry until it has been silent for a while.
    while home.run(&["--user", "alice", "peers"]).code() != Some(0) {}
    let mut new = home.start(&["--user", "alice", "listen", "--json"]);
    new.expect_event("ready");
    old.signal("CONT");
    old.expect_event("logged_out");
    assert_ne!(old.outcome().code(), Some(0));
    let mut bob = home.prompt("bob");
    bob.type_line("/chat alice");
    new.expect_event("chat_requested");
}
