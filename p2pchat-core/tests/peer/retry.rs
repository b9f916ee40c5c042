//! A registry that has too much to do, and says when to come back (PROTOCOL.md §7.8).

use std::time::Duration;

use p2pchat_core::peer::{Config, RequestError};
use p2pchat_proto::Dialect;

use crate::solo::{SECOND, Solo, digest, user};

const ALL: &str = " <1> <reason,roster,sender,retry>";
const BUSY: &str = "HELLO_BACK <FAILURE> <404> <the registry is busy>";

/// alice, whose link was lost and who tries to come back, up to the registry's refusal that names a time.
fn refused(s: &mut Solo, seconds: u64) {
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{ALL}"));
    s.registry(&format!("RETRY_AFTER <{seconds}>"));
    s.registry(BUSY);
    s.peer.handle_registry_closed(s.now, "closed".to_owned());
}

/// How long she then waits before she dials again.
fn pause(s: &mut Solo) -> Duration {
    s.did();
    let since = s.now;
    while !s.did().contains(&"connect".to_owned()) {
        s.now = s.peer.poll_timeout().unwrap();
        s.peer.handle_timeout(s.now);
    }
    s.now.since(since)
}

fn lost(seed: u64) -> Solo {
    let mut s = Solo::seeded(Config::default(), seed);
    s.log_in();
    s.welcome(ALL);
    s.peer.handle_registry_closed(s.now, "reset".to_owned());
    pause(&mut s);
    s
}

#[test]
fn who_is_told_a_time_waits_it_out_and_up_to_a_quarter_more() {
    let mut waits = Vec::new();
    for seed in 0..200 {
        let mut s = lost(seed);
        refused(&mut s, 40);
        waits.push(pause(&mut s));
    }
    assert!(waits.iter().all(|wait| (40 * SECOND..=50 * SECOND).contains(wait)), "{waits:?}");
    waits.sort();
    let spread: Vec<_> = waits.iter().step_by(50).map(|wait| wait.as_secs()).collect();
    assert_eq!(spread, [40, 42, 45, 47], "evenly");
}

#[test]
fn a_short_time_is_spread_over_a_second() {
    let waits: Vec<_> = (0..100)
        .map(|seed| {
            let mut s = lost(seed);
            refused(&mut s, 0);
            pause(&mut s)
        })
        .collect();
    assert!(waits.iter().all(|wait| *wait <= SECOND) && waits.iter().any(|wait| *wait > SECOND * 9 / 10));
}

#[test]
fn a_registry_can_not_park_anybody_for_ever() {
    let cap = Config::default().retry_cap;
    let mut s = lost(1);
    refused(&mut s, u32::MAX.into());
    assert!((cap..=cap + cap / 4).contains(&pause(&mut s)));
}

#[test]
fn a_time_is_for_one_refusal_and_no_reason_to_think_the_registry_gone() {
    let mut s = lost(1);
    for _ in 0..20 {
        refused(&mut s, 10);
        assert!(pause(&mut s) >= 10 * SECOND);
    }
    // Without one it is the first failure that counts.
    s.peer.handle_registry_closed(s.now, "refused".to_owned());
    assert!(pause(&mut s) <= 2 * SECOND);
    s.welcome(ALL);
    assert!(s.peer.is_logged_in());
}

#[test]
fn a_time_that_a_lost_link_leaves_behind_belongs_to_nothing() {
    let mut s = lost(1);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{ALL}"));
    s.registry("RETRY_AFTER <100>");
    s.peer.handle_registry_closed(s.now, "cut".to_owned());
    assert!(pause(&mut s) <= 2 * SECOND);
    refused(&mut s, 1);
    assert!((SECOND..=2 * SECOND).contains(&pause(&mut s)));
}

#[test]
fn a_command_is_told_the_time() {
    let mut s = Solo::alice_with(Config::default(), ALL);
    s.registry("RETRY_AFTER <9>");
    s.peer.register(s.now, user("bob"), digest("x"));
    s.registry("REGISTER <FAILURE> <404> <busy>");
    assert_eq!(s.did()[1..], ["failed: busy"]);
    s.peer.register(s.now, user("bob"), digest("x"));
    s.registry("RETRY_AFTER <9>");
    s.registry("REGISTER <FAILURE> <404>");
    assert_eq!(s.did()[1..], ["failed: the registry refused; try again in 9 s"]);
    s.peer.register(s.now, user("bob"), digest("x"));
    s.registry("REGISTER <FAILURE> <404>");
    assert_eq!(s.did()[1..], ["failed: the registry refused"]);
    for (reason, shown) in [(Some("why"), "why"), (None, "the registry refused; try again in 9 s")] {
        let error =
            RequestError::Busy { retry_after: 9 * SECOND, reason: reason.map(|reason| reason.to_owned()) };
        assert_eq!(error.to_string(), shown);
    }
}
