//! `p2pchat pipe`, between programs and a room.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use p2pchat_cli::json::{self, Line};

use crate::{
    PATIENCE,
    client::{Client, Home},
    daemon::Daemon,
};

/// A room of Alice's with Bob in it, who prints what he hears.
fn den(home: &Home) -> Client {
    home.register("alice");
    home.register("carol");
    home.run(&["--user", "alice", "create", "den"]).expect_code(0);
    home.listener("bob", &["--room", "den"])
}

fn heard(bob: &mut Client) -> String {
    let heard = bob.expect_event("broadcast");
    assert_eq!(heard["from"], "carol");
    assert!(heard["room"].as_str().unwrap().eq_ignore_ascii_case("den"), "{heard}");
    heard["text"].as_str().unwrap().to_owned()
}

#[test]
fn lines_go_to_the_room_and_come_from_it() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = den(&home);
    home.run(&["--user", "carol", "create", "attic"]).expect_code(0);
    home.run(&["--user", "alice", "join", "attic"]).expect_code(0);
    let mut carol = home.start(&["--user", "carol", "pipe", "DEN"]);
    carol.type_text("hello <all>\n\nI said \u{1b}[2J\r\n");
    assert_eq!(heard(&mut bob), "hello <all>");
    assert_eq!(heard(&mut bob), "I said \u{1b}[2J");
    let say = |room: &str, text: &str| {
        home.run_with_input(&["--user", "alice", "say", room, "-"], text).expect_code(0);
    };
    say("attic", "somewhere else");
    say("den", "hi\nbob: I owe you 5 \u{1b}[31m");
    let shown = "alice: hi\n    bob: I owe you 5 ␛[31m\n";
    carol.out.expect(shown);
    assert_eq!(bob.expect_event("broadcast")["from"], "alice");
    carol.type_text("and without an end");
    let ended = carol.finish().expect_code(0);
    assert_eq!(heard(&mut bob), "and without an end");
    assert_eq!((ended.errors.as_str(), ended.out.as_str()), ("", shown));
}

#[test]
fn it_ends_once_all_is_delivered_in_order() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = den(&home);
    let lines: Vec<_> = (0..200).map(|number| format!("line {number}")).collect();
    home.run_with_input(&["--user", "carol", "pipe", "den"], &lines.join("\n")).expect_code(0);
    for line in lines {
        assert_eq!(heard(&mut bob), line);
    }
    // Nobody else is there to hear it.
    home.run_with_input(&["--user", "carol", "pipe", "den"], "").expect_code(0);
}

#[test]
fn who_has_not_got_something_is_said() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = den(&home);
    let mut dave = home.listener("dave", &["--room", "den"]);
    // Online for the registry for a while yet, and not there any more.
    dave.kill();
    let sent =
        home.run_with_input(&["--quiet", "--user", "carol", "pipe", "den"], "one\ntwo\n").expect_code(6);
    assert_eq!((heard(&mut bob), heard(&mut bob)), ("one".to_owned(), "two".to_owned()));
    let complaints: Vec<_> = sent.errors.lines().collect();
    let [one, two, sum] = complaints.as_slice() else { panic!("{sent:?}") };
    for complaint in [one, two] {
        assert!(complaint.starts_with("not delivered to dave: "), "{complaint}");
    }
    assert_eq!(*sum, "p2pchat: 2 of 2 messages did not reach everybody");
}

#[test]
fn a_line_that_can_not_be_sent_keeps_no_other_from_it() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = den(&home);
    let mut carol = home.start(&["--user", "carol", "pipe", "den"]);
    let mut keyboard = carol.take_keyboard();
    keyboard.write_all(b"one\n\xff\n").unwrap();
    keyboard.write_all(format!("{}\ntwo", "x".repeat(1 << 20)).as_bytes()).unwrap();
    drop(keyboard);
    let ended = carol.outcome().expect_code(6).expect_error("line 2 is not sent: it is no UTF-8");
    ended.expect_error("line 3 is not sent: it has more than 16384 bytes").expect_error("2 of 4 messages");
    assert_eq!((heard(&mut bob), heard(&mut bob)), ("one".to_owned(), "two".to_owned()));
}

#[test]
fn a_slow_room_slows_who_writes() {
    const LINES: usize = 600;
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = den(&home);
    let mut carol = home.start(&["--user", "carol", "pipe", "den"]);
    carol.type_line("first");
    assert_eq!(heard(&mut bob), "first");
    bob.signal("STOP");
    let written = Arc::new(AtomicUsize::new(0));
    let (mut keyboard, count) = (carol.take_keyboard(), Arc::clone(&written));
    let writer = thread::spawn(move || {
        for number in 0..LINES {
            writeln!(keyboard, "{number:01000}").unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    // What there is room for: a pipe, and what is under way.
    let (mut last, mut since) = (0, Instant::now());
    while last == 0 || since.elapsed() < Duration::from_millis(700) {
        thread::sleep(Duration::from_millis(20));
        let now = written.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(last < LINES / 2, "{last} lines are taken, and nobody hears them");
        assert!(since.elapsed() < PATIENCE);
    }
    bob.signal("CONT");
    for number in 0..LINES {
        assert_eq!(heard(&mut bob), format!("{number:01000}"));
    }
    writer.join().unwrap();
    carol.outcome().expect_code(0);
}

#[test]
fn programs_get_lines_that_they_have_types_for() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let _bob = den(&home);
    let mut carol = home.start(&["--user", "carol", "pipe", "--json", "--keep", "den"]);
    let line = |carol: &mut Client| carol.out.expect("\n").trim_end().parse::<Line>().unwrap();
    let Line::Ready { v, username, .. } = line(&mut carol) else { panic!("not ready") };
    assert_eq!((v, username.as_deref()), (json::VERSION, Some("carol")));
    drop(carol.take_keyboard());
    home.run(&["--user", "alice", "say", "den", "one\u{202e}two"]).expect_code(0);
    let Line::Broadcast { room, from, text, encrypted, place, .. } = line(&mut carol) else {
        panic!("nothing")
    };
    assert_eq!((room.as_deref(), from.as_str(), text.as_str()), (Some("den"), "alice", "one\u{202e}two"));
    assert!(encrypted && place.is_some_and(|place| place.sequence == 1 && !place.late));
    carol.signal("TERM");
    carol.outcome().expect_code(0);
}

#[test]
fn it_ends_with_the_membership() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = den(&home);
    let mut carol = home.start(&["--user", "carol", "pipe", "den"]);
    carol.type_line("here I am");
    assert_eq!(heard(&mut bob), "here I am");
    home.run(&["--user", "alice", "kick", "den", "carol", "no \u{1b}bots"]).expect_code(0);
    carol.outcome().expect_code(1).expect_error("carol was kicked out of #den by alice: no ␛bots");

    let run = |room: &str| home.run(&["--user", "carol", "pipe", room]);
    run("nowhere").expect_code(1).expect_error("join: there is no such room");
    run("a<b").expect_code(2).expect_error("the room's name");
    let file = home.folder().join("room-password");
    std::fs::write(&file, "honey\n").unwrap();
    let file = ["--room-password-file", file.to_str().unwrap()];
    home.run(&["--user", "alice", "set", "den", file[0], file[1]]).expect_code(0);
    run("den").expect_code(1).expect_error("wrong room password");
    home.run(&["--user", "carol", "pipe", "den", file[0], file[1]]).expect_code(0);
}
