//! Other ends that talk rubbish, or leave in the middle of a word: the client says what happened and whose fault it was.

use std::{io::Write, net::TcpStream, thread};

use crate::{
    client::{Client, Home, PASSWORD_DIGEST},
    daemon::Daemon,
    stand_in::{self, StandIn},
    wire::Wire,
};

/// A client that wants to say "hi" to a peer that is the test, as far as its request for a chat.
struct Sender {
    client: Client,
    stream: TcpStream,
    _peer: Wire,
    _daemon: Daemon,
    _home: Home,
}

impl Sender {
    fn dial() -> Self {
        let daemon = Daemon::start();
        let home = Home::new(&daemon);
        let listener = stand_in::listen();
        let mut peer = Wire::greeted(&daemon);
        peer.sign_up("bob");
        peer.log_in_on("bob", listener.local_addr().unwrap().port());
        home.register("alice");
        let client = home.start(&["--user", "alice", "send", "bob", "hi"]);
        let mut stream = stand_in::accept(&listener);
        assert_eq!(stand_in::read_line(&mut stream), "CHAT_REQUEST <bob>");
        Self { client, stream, _peer: peer, _daemon: daemon, _home: home }
    }

    fn says(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }
}

#[test]
fn a_peer_that_answers_rubbish_is_said_to() {
    for rubbish in [
        &b"\x00\xff\xfe\n"[..],
        b"HELLO_BACK <SUCCESS> <200>\n",
        b"CHAT_REQUEST_RESPONSE <ACCEPT> <404> <bob>\n",
    ] {
        let mut sender = Sender::dial();
        sender.says(rubbish);
        sender.client.finish().expect_code(6).expect_error("no message");
    }
}

#[test]
fn a_peer_that_answers_under_another_name_is_not_talked_to() {
    let mut sender = Sender::dial();
    sender.says(b"CHAT_REQUEST_RESPONSE <ACCEPT> <200> <mallory>\n");
    sender.client.finish().expect_code(6).expect_error("mallory");
}

#[test]
fn a_peer_that_vanishes_in_the_middle_of_its_answer_has_not_accepted() {
    let mut sender = Sender::dial();
    sender.says(b"CHAT_REQUEST_RESPONSE <ACCE");
    drop(sender.stream);
    sender.client.finish().expect_code(6);
}

#[test]
fn a_message_without_its_notification_is_not_said_to_have_arrived() {
    let mut sender = Sender::dial();
    sender.says(b"CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>\n");
    assert_eq!(stand_in::read_line(&mut sender.stream), "DIRECT_MESSAGE <alice> <bob> hi");
    sender.says(b"DIRECT_UNICAST_NOTIFICATION <SUCC");
    drop(sender.stream);
    sender.client.finish().expect_code(6);
}

#[test]
fn a_message_that_was_refused_is_told_with_the_reason() {
    let mut sender = Sender::dial();
    sender.says(b"CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>\n");
    assert_eq!(stand_in::read_line(&mut sender.stream), "DIRECT_MESSAGE <alice> <bob> hi");
    sender.says(b"DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <alice> <hi> <my screen is off>\n");
    sender.client.finish().expect_code(6).expect_error("my screen is off");
}

#[test]
fn a_message_that_arrived_is_a_success() {
    let mut sender = Sender::dial();
    sender.says(b"CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>\n");
    assert_eq!(stand_in::read_line(&mut sender.stream), "DIRECT_MESSAGE <alice> <bob> hi");
    sender.says(b"DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <alice> <hi>\n");
    sender.client.finish().expect_code(0);
}

#[test]
fn who_talks_rubbish_to_a_listening_client_is_cut_off_and_the_client_goes_on() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = home.listener("bob", &["--accept", "all"]);
    let mut asker = Wire::online(&daemon, "asker");
    let found = asker.ask("SEARCH_USER <bob>");
    let port: u16 = found.split(['<', '>']).nth(7).unwrap().parse().unwrap();
    for rubbish in [&b"\xff\xfe\n"[..], &[b'x'; 70_000], b"LOGIN <a> <b>\n", b"DIRECT_MESSAGE <mal"] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // It may be cut off before all of it is written.
        drop(stream.write_all(rubbish));
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"CHAT_REQUEST <bob> <asker>\n").unwrap();
    assert_eq!(stand_in::read_line(&mut stream), "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>");
    stream
        .write_all(b"DIRECT_MESSAGE <asker> <bob> hello\nDIRECT_MESSAGE <mallory> <bob> trust me\n")
        .unwrap();
    let notification = "DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <asker> <hello>";
    assert_eq!(stand_in::read_line(&mut stream), notification);
    let refused = stand_in::read_line(&mut stream);
    assert!(
        refused.starts_with("DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <mallory> <trust me>"),
        "{refused}"
    );
    assert_eq!(bob.expect_event("message")["text"], "hello");
}

#[test]
fn a_registry_that_vanishes_in_the_middle_of_a_request_is_said_to() {
    let registry = StandIn::start();
    let home = Home::at(registry.tcp(), registry.udp());
    let client = home.start(&["--user", "alice", "peers"]);
    let mut link = registry.accept();
    link.expect_hello();
    link.send("HELLO_BACK <SUCCESS> <200>\n");
    let login = link.receive().unwrap();
    assert!(login.starts_with(&format!("LOGIN <alice> <{PASSWORD_DIGEST}> <")), "{login}");
    link.send("AUTH <SUCC");
    drop(link);
    client.finish().expect_code(3).expect_error("registry");
}

#[test]
fn a_registry_that_answers_rubbish_is_said_to() {
    let registry = StandIn::start();
    let home = Home::at(registry.tcp(), registry.udp());
    let client = home.start(&["--user", "alice", "register"]);
    let answering = thread::spawn(move || {
        let mut link = registry.accept();
        link.expect_hello();
        link.send("HELLO_BACK <SUCCESS> <200>\n");
        link.expect(&format!("REGISTER <alice> <{PASSWORD_DIGEST}>\n"));
        link.send("REGISTER <SUCCESS> <404>\n");
        link.expect_end();
    });
    client.finish().expect_code(3);
    answering.join().unwrap();
}
