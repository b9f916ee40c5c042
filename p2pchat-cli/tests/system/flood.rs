//! More than anybody would say, or read: it costs who does it, and nobody else.

use std::time::Instant;

use crate::{PATIENCE, daemon::Daemon, wire::Wire};

/// What a daemon may grow by, whatever is sent to it, in bytes.
#[cfg(target_os = "linux")]
const GROWTH: u64 = 48 << 20;

#[test]
fn a_frame_past_the_limit_is_refused_with_limit_and_size_and_the_stream_closed() {
    let daemon = Daemon::start();
    let mut wire = Wire::extended(&daemon, "reason");
    wire.write(&[b'x'; 65_537]).unwrap();
    let refused = wire.hear();
    assert!(refused.starts_with("HELLO_BACK <FAILURE> <404> <") && refused.contains("65536"), "{refused}");
    wire.expect_end();
    daemon.log.expect_anywhere("malformed input");

    // One byte less is a frame, although a senseless one.
    let mut wire = Wire::greeted(&daemon);
    let frame = format!("SEARCH_USER <{}>", "x".repeat(65_536 - 14));
    assert_eq!(wire.ask(&frame), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
}

#[test]
#[cfg(target_os = "linux")]
fn a_gigabyte_without_a_line_ending_takes_no_memory() {
    let daemon = Daemon::start();
    let mut healthy = Wire::online(&daemon, "healthy");
    let before = daemon.resident_bytes();
    let mut flood = Wire::greeted(&daemon);
    let chunk = vec![b'x'; 1 << 20];
    let started = Instant::now();
    let (mut sent, mut most) = (0, 0);
    // It is told at the first 64 KiB; what comes after is not kept, until nobody takes it any more.
    while flood.write(&chunk).is_ok() {
        (sent, most) = (sent + 1, most.max(daemon.resident_bytes()));
        assert!(started.elapsed() < PATIENCE, "{sent} MiB, and nobody closed the stream");
    }
    assert!(most < before + GROWTH, "{before} bytes became {most} after {sent} MiB");
    daemon.log.expect_anywhere("malformed input");
    healthy.expect_nothing_unasked();
}

#[test]
#[cfg(target_os = "linux")]
fn who_asks_without_reading_waits_alone_and_gets_every_answer_later() {
    const LIST: &str = "SHOW_ROOMS_LIST <DETAILED>";
    let daemon = Daemon::start();
    let mut healthy = Wire::online(&daemon, "healthy");
    for room in 0..32 {
        let create = format!("CREATE_CHAT_ROOM <room {room}> <> <5> <{}>", "x".repeat(256));
        assert_eq!(healthy.ask(&create), "CREATION <SUCCESS> <200>");
    }
    let before = daemon.resident_bytes();
    let mut deaf = Wire::online(&daemon, "deaf");
    // The registry stops reading when its answers aren't read, so that at some time nothing more can be written. Long
    // requests get there sooner; the field is one that nobody knows, and is passed over.
    let asked = deaf.write_until_stuck(format!("{LIST} <{}>\n", "x".repeat(12_000)).as_bytes());
    assert!(asked > 10, "stuck after {asked}");
    let grown = daemon.resident_bytes();
    assert!(grown < before + GROWTH, "{before} bytes became {grown} after {asked} requests");
    healthy.expect_nothing_unasked();

    let expected = healthy.ask(LIST);
    for at in 0..asked {
        assert_eq!(deaf.hear(), expected, "answer {at} of {asked}");
    }
    deaf.expect_nothing_unasked();
}

#[test]
fn a_thousand_requests_at_once_are_answered_in_order() {
    let daemon = Daemon::start();
    let mut wire = Wire::online(&daemon, "eager");
    let mut requests = String::new();
    for round in 0..500 {
        requests.push_str(&format!("SEARCH_USER <nobody{round}>\nSEARCH_USER <eager>\n"));
    }
    wire.write(requests.as_bytes()).unwrap();
    for _ in 0..500 {
        assert_eq!(wire.hear(), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
        assert_eq!(wire.hear(), "SEARCH_USER_RESPONSE <SUCCESS> <200> <eager> <4000> <127.0.0.1>");
    }
}
