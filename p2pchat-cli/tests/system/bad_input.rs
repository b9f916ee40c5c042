//! What must not be said, over real sockets: it is answered as PROTOCOL.md §3.5 says, it is logged, and nobody else
//! notices.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::{
    DIGEST, PATIENCE,
    daemon::Daemon,
    wire::{Datagrams, Wire},
};

/// A registry with somebody in it who behaves.
struct World {
    daemon: Daemon,
    healthy: Wire,
}

impl World {
    fn new() -> Self {
        let daemon = Daemon::start();
        let healthy = Wire::online(&daemon, "healthy");
        Self { daemon, healthy }
    }

    /// The registry has logged it, whoever was there is served on, and so is who comes now.
    fn expect_unharmed(mut self, logged: &str) {
        self.daemon.log.expect_anywhere(logged);
        self.healthy.expect_nothing_unasked();
        let mut newcomer = Wire::online(&self.daemon, "newcomer");
        let found = "SEARCH_USER_RESPONSE <SUCCESS> <200> <healthy> <4000> <127.0.0.1>";
        assert_eq!(newcomer.ask("SEARCH_USER <healthy>"), found);
    }
}

#[test]
fn garbage_is_refused_and_the_stream_closed() {
    let world = World::new();
    for garbage in [&b"\x00\x01\x02\x03"[..], b"GET / HTTP/1.1", b"", b"REGISTERED <a> <b>", b"<HELLO_P2P>"] {
        let mut wire = Wire::greeted(&world.daemon);
        wire.write(&[garbage, b"\n"].concat()).unwrap();
        assert_eq!(wire.hear(), "HELLO_BACK <FAILURE> <404>", "{garbage:?}");
        wire.expect_end();
    }
    world.expect_unharmed("malformed input");
}

#[test]
fn bad_utf8_is_refused_with_its_place_and_the_stream_closed() {
    let world = World::new();
    let mut wire = Wire::online_with(&world.daemon, "careless", "reason");
    wire.write(b"SEARCH_USER <a\xff>\n").unwrap();
    let refused = wire.hear();
    assert!(refused.starts_with("HELLO_BACK <FAILURE> <404> <") && refused.contains("14"), "{refused}");
    wire.expect_end();
    world.expect_unharmed("malformed input");
}

#[test]
fn bad_fields_get_the_verbs_own_refusal_and_the_stream_goes_on() {
    let world = World::new();
    let mut wire = Wire::online_with(&world.daemon, "careless", "reason");
    for (line, refusal) in [
        ("REGISTER <a b> <x>", "REGISTER <FAILURE> <404>"),
        ("REGISTER", "REGISTER <FAILURE> <404>"),
        ("LOGIN <a> <short>", "AUTH <FAILURE> <404>"),
        ("CREATE_CHAT_ROOM <den>", "CREATION <FAILURE> <404>"),
        ("JOIN_CHAT_ROOM <den> <> <decrement>", "JOIN <FAILURE> <404>"),
        ("ROOM_EXIT <careless", "ROOM_EXIT_RESPONSE <FAILURE> <404>"),
        ("SHOW_ROOMS_LIST <ALL>", "ROOMS_LIST <NOT_FOUND> <404>"),
        ("SEARCH_USER <a\\x>", "SEARCH_USER_RESPONSE <NOT_FOUND> <404>"),
        ("DISCOVER_PEERS", "PEER_LIST <FAILURE> <404>"),
        ("DISCOVER_PEERS <PARTIAL> <healthy>", "PEER_LIST <FAILURE> <404>"),
        ("LOGOUT <a b>", "HELLO_BACK <FAILURE> <404>"),
    ] {
        let answer = wire.ask(line);
        let reason = answer.strip_prefix(refusal).and_then(|rest| rest.strip_prefix(" <"));
        assert!(reason.is_some_and(|reason| reason.len() > 5), "{line}: {answer}");
    }
    assert_eq!(wire.ask("SEARCH_USER <careless>").split(' ').nth(1), Some("<SUCCESS>"));
    world.expect_unharmed("malformed input");
}

#[test]
fn half_a_frame_before_the_end_is_logged_and_ends_the_session() {
    let mut world = World::new();
    let mut wire = Wire::online(&world.daemon, "hasty");
    wire.write(b"SEARCH_USER <heal").unwrap();
    wire.close();
    world.daemon.log.expect_anywhere("offline");
    assert_eq!(world.healthy.ask("SEARCH_USER <hasty>"), "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    world.expect_unharmed("malformed input");
}

#[test]
fn requests_in_the_wrong_order_are_refused_with_a_reason() {
    let world = World::new();
    let mut wire = Wire::open(&world.daemon);
    // Nothing is agreed on yet, so there is no place for a reason.
    assert_eq!(wire.ask(&format!("LOGIN <healthy> <{DIGEST}>")), "AUTH <FAILURE> <404>");
    assert_eq!(wire.ask("SEARCH_USER <healthy>"), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
    assert_eq!(wire.ask("HELLO_P2P <1> <reason>"), "HELLO_BACK <SUCCESS> <200> <1> <reason>");
    for (line, refusal) in [
        ("SEARCH_USER <healthy>", "SEARCH_USER_RESPONSE <NOT_FOUND> <404> <log in first>"),
        ("DISCOVER_PEERS <DETAILED>", "PEER_LIST <FAILURE> <404> <log in first>"),
        ("DISCOVER_PEERS <den>", "PEER_LIST <FAILURE> <404> <log in first>"),
        ("SHOW_ROOMS_LIST <PARTIAL>", "ROOMS_LIST <NOT_FOUND> <404> <log in first>"),
        ("CREATE_CHAT_ROOM <den> <> <5> <>", "CREATION <FAILURE> <404> <log in first>"),
        ("JOIN_CHAT_ROOM <den> <> <increment>", "JOIN <FAILURE> <404> <log in first>"),
        ("ROOM_EXIT <healthy> <den>", "ROOM_EXIT_RESPONSE <FAILURE> <404> <log in first>"),
        ("LOGOUT", "HELLO_BACK <FAILURE> <404> <log in first>"),
    ] {
        assert_eq!(wire.ask(line), refusal, "{line}");
    }
    world.expect_unharmed("refused");
}

#[test]
fn nobody_speaks_for_another_user() {
    let mut world = World::new();
    world.healthy.create("den", 5);
    let mut wire = Wire::online(&world.daemon, "mallory");
    wire.join("den");
    assert_eq!(wire.ask("LOGOUT <healthy>"), "HELLO_BACK <FAILURE> <404>");
    assert_eq!(wire.ask("ROOM_EXIT <healthy> <den>"), "ROOM_EXIT_RESPONSE <FAILURE> <404>");
    assert_eq!(wire.ask("DISCOVER_PEERS <DETAILED> <healthy>"), "PEER_LIST <FAILURE> <404>");
    assert_eq!(world.healthy.ask("DISCOVER_PEERS <den>").split(' ').count(), 6, "both are in the room still");
    world.expect_unharmed("refused");
}

#[test]
fn plain_text_on_the_tls_port_ends_that_connection_alone() {
    let world = World::new();
    let mut stream = TcpStream::connect(world.daemon.tcp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"HELLO_P2P\n").unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    drop(stream.read_to_end(&mut answer));
    assert!(!answer.windows(10).any(|part| part == b"HELLO_BACK"), "{answer:?}");
    world.expect_unharmed("a TLS handshake failed");
}

#[test]
fn who_takes_too_long_is_given_up_and_nobody_waits_for_it() {
    let world = World::new();
    let started = Instant::now();

    // All of them at once, as each takes its whole time limit, 10 s.
    let mut never_shakes_hands = TcpStream::connect(world.daemon.tcp).unwrap();
    never_shakes_hands.write_all(&[0x16, 3, 1, 1, 0, 1]).unwrap();
    let mut says_nothing = Wire::open(&world.daemon);
    let mut one_byte_at_a_time = Wire::online(&world.daemon, "slow");
    let slow = thread::spawn(move || {
        for byte in b"SEARCH_USER <healthy> and so on and so on and so on".iter().cycle() {
            if one_byte_at_a_time.write(&[*byte]).is_err() || started.elapsed() > PATIENCE {
                break;
            }
            thread::sleep(Duration::from_secs(1));
        }
        one_byte_at_a_time.hear()
    });

    assert_eq!(says_nothing.hear(), "HELLO_BACK <FAILURE> <404>");
    says_nothing.expect_end();
    never_shakes_hands.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    drop(never_shakes_hands.read_to_end(&mut answer));
    assert_eq!(slow.join().unwrap(), "HELLO_BACK <FAILURE> <404>");
    assert!(started.elapsed() >= Duration::from_secs(9), "given up after {:?}", started.elapsed());
    world.daemon.log.expect_anywhere("a TLS handshake failed");
    world.daemon.log.expect_anywhere("no message came within");
    world.expect_unharmed("a message took more than");
}

#[test]
fn datagrams_of_garbage_are_passed_over() {
    let world = World::new();
    let datagrams = Datagrams::open(&world.daemon);
    for garbage in
        [&b""[..], b"\xff\xfe\xfd", b"KEEP_ALIVE <healthy", b"HELLO_P2P\nHELLO_P2P\n", &[b'<'; 65_000]]
    {
        datagrams.send(garbage);
    }
    assert_eq!(datagrams.receive_within(Duration::from_millis(200)), None);
    world.expect_unharmed("datagram");
}
