//! What each remote user may have us do, and what comes of it beyond that (§9).

use std::time::Duration;

use bytes::Bytes;
use p2pchat_core::peer::{Config, Rate};
use p2pchat_proto::{Dialect, Limits, Message, PeerMessage};

use crate::{
    keys::{self, comes, introduction, key, knows_bob},
    solo::{ALL, SECOND, Solo},
};

/// How much more a prefix has than a user.
const CROWD: u32 = 8;

impl Solo {
    /// How long a message that was read has to wait for its turn.
    fn turn(&mut self, stream: usize, line: &str) -> Duration {
        let frame = Bytes::copy_from_slice(line.as_bytes());
        let message = PeerMessage::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap();
        let turn = self.peer.turn_of(self.now, self.streams[stream], &message);
        turn.map_or(Duration::ZERO, |turn| {
            assert!(turn > self.now, "who doesn't wait is told so");
            turn.since(self.now)
        })
    }

    /// A message is read and taken in as soon as it may be.
    fn take(&mut self, stream: usize, line: &str) -> Vec<String> {
        let wait = self.turn(stream, line);
        self.pass(wait);
        self.peer(stream, line)
    }
}

fn config(messages: Rate, bytes: Rate, requests: Rate) -> Config {
    let mut config = keys::config();
    (config.budget.messages, config.budget.bytes, config.budget.requests) = (messages, bytes, requests);
    config
}

/// alice, who is in a chat with bob, who has proven his key.
fn in_a_chat(config: Config) -> Solo {
    let mut s = keys::alice_with(config);
    s.peer.set_key(s.now, "bob".parse().unwrap(), Some(key('b')));
    let (stream, _) = comes(&mut s, key('b'));
    s.hear(stream, "CHAT_REQUEST <alice> <bob>");
    s.did();
    s.peer.accept(s.now, s.requests[0]);
    s.did();
    s
}

#[test]
fn a_flood_is_taken_in_at_the_rate_of_its_budget_and_nothing_of_it_is_lost() {
    let mut s = in_a_chat(config(Rate::new(10, SECOND), Rate::UNLIMITED, Rate::UNLIMITED));
    let start = s.now;
    for n in 1..=100_u32 {
        let did = s.take(0, &format!("DIRECT_MESSAGE <bob> <alice> {n}"));
        assert_eq!(did.last().unwrap(), &format!("bob: {n}"), "{did:?}");
        assert_eq!(s.now.since(start), SECOND / 10 * n.saturating_sub(10));
        s.peer.confirm(s.now, s.receipts[s.receipts.len() - 1]);
        s.did();
    }
}

#[test]
fn long_texts_are_worth_more_than_short_ones_in_messages_as_in_confirmations() {
    let mut s = in_a_chat(config(Rate::UNLIMITED, Rate::new(1_000, SECOND), Rate::UNLIMITED));
    let long = "x".repeat(500);
    let said = format!("DIRECT_MESSAGE <bob> <alice> {long}");
    let confirmed = format!("DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <alice> <{long}>");
    let in_a_room = format!("DIRECT_BROADCAST <bob> {long}");
    assert_eq!((s.turn(0, &said), s.turn(0, &confirmed)), (Duration::ZERO, Duration::ZERO));
    assert_eq!(s.turn(0, &in_a_room), SECOND / 2);
    assert_eq!(s.turn(0, "HANG_UP"), SECOND / 2, "it comes behind what was there before");
    let longest = format!("DIRECT_MESSAGE <bob> <alice> {}", "x".repeat(16_384));
    assert_eq!(s.turn(0, &longest), SECOND, "nobody waits for ever");
}

#[test]
fn a_number_is_paid_for_with_its_message() {
    let mut s = in_a_chat(config(Rate::new(1, SECOND), Rate::UNLIMITED, Rate::UNLIMITED));
    assert_eq!(s.turn(0, "PING <1>"), Duration::ZERO);
    assert_eq!(s.turn(0, "NUMBERED <1> <1> <0>"), Duration::ZERO);
    assert_eq!(s.turn(0, "DIRECT_MESSAGE <bob> <alice> hi"), SECOND);
}

#[test]
fn whose_many_streams_come_from_one_place_has_no_more_for_it_and_others_have_what_is_theirs() {
    let limits = config(Rate::new(2, SECOND), Rate::UNLIMITED, Rate::UNLIMITED);
    let mut s = Solo::alice_with(limits, ALL);
    let flood: Vec<_> = (0..2 * CROWD + 1).map(|_| s.accept_from([192, 0, 2, 66])).collect();
    let waits: Vec<_> = flood.iter().map(|&stream| s.turn(stream, "DIRECT_BROADCAST <eve> hi")).collect();
    assert_eq!(waits[..16], [Duration::ZERO; 16]);
    assert_eq!(waits[16], SECOND / 16);
    let elsewhere = s.accept_from([192, 0, 2, 67]);
    assert_eq!(s.turn(elsewhere, "DIRECT_BROADCAST <eve> hi"), Duration::ZERO);
}

#[test]
fn who_claims_a_name_does_not_use_up_what_its_user_has() {
    let limits = config(Rate::new(2, SECOND), Rate::UNLIMITED, Rate::UNLIMITED);
    let mut s = in_a_chat(limits);
    // From the very same host.
    let eve = s.accept();
    for _ in 0..100 {
        s.turn(eve, "DIRECT_MESSAGE <bob> <alice> hi");
    }
    assert_eq!(s.turn(eve, "DIRECT_MESSAGE <bob> <alice> hi"), SECOND);
    assert_eq!(s.turn(0, "DIRECT_MESSAGE <bob> <alice> hi"), Duration::ZERO);
    // Nor does a stream of his more give him more.
    let (again, _) = comes(&mut s, key('b'));
    assert_eq!(s.turn(again, "DIRECT_BROADCAST <bob> <den> hi"), Duration::ZERO);
    assert_eq!(s.turn(again, "DIRECT_BROADCAST <bob> <den> hi"), SECOND / 2);
    assert_eq!(s.turn(0, "DIRECT_MESSAGE <bob> <alice> hi"), SECOND);
}

#[test]
fn who_asks_for_chats_too_often_is_declined_and_the_user_is_told_once() {
    let mut s = knows_bob_with(config(Rate::UNLIMITED, Rate::UNLIMITED, Rate::new(3, SECOND * 60)));
    let (stream, _) = comes(&mut s, key('b'));
    let ask = |s: &mut Solo| {
        s.peer(stream, "CHAT_REQUEST <alice> <bob>");
        let waits = s.requests.pop();
        if let Some(request) = waits {
            s.peer.reject(s.now, request, None);
            s.did();
        }
        waits.is_some()
    };
    for _ in 0..3 {
        assert!(ask(&mut s));
    }
    let declined = "s0 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice> <too many chat requests came from there>";
    assert_eq!(
        s.peer(stream, "CHAT_REQUEST <alice> <bob>"),
        [
            "fault of bob at 192.0.2.9:50000: asks for chats, or offers files, too often: what more comes is declined",
            declined
        ]
    );
    for _ in 0..100 {
        assert_eq!(s.peer(stream, "CHAT_REQUEST <alice> <bob>"), [declined]);
    }
    // One comes back after the other, which is no new beginning.
    s.wait(SECOND * 20);
    assert!(ask(&mut s));
    assert_eq!(s.peer(stream, "CHAT_REQUEST <alice> <bob>"), [declined]);
    s.wait(SECOND * 60);
    for _ in 0..3 {
        assert!(ask(&mut s));
    }
    assert_eq!(s.peer(stream, "CHAT_REQUEST <alice> <bob>").len(), 2, "it is told again after a rest");
}

fn knows_bob_with(config: Config) -> Solo {
    let mut s = keys::alice_with(config);
    s.peer.set_key(s.now, "bob".parse().unwrap(), Some(key('b')));
    s
}

#[test]
fn strangers_who_come_in_crowds_wait_before_the_registry_is_asked_about_them() {
    let mut s = keys::alice_with(config(Rate::UNLIMITED, Rate::UNLIMITED, Rate::new(1, SECOND)));
    let crowd: Vec<_> = (0..=CROWD).map(|_| s.accept()).collect();
    let waits: Vec<_> =
        crowd.iter().map(|&stream| s.turn(stream, &format!("{} <tls>", introduction("alice")))).collect();
    assert_eq!(waits[..8], [Duration::ZERO; 8]);
    assert_eq!(waits[8], SECOND / 8);
    let in_the_clear = s.accept();
    assert_eq!(s.turn(in_the_clear, "DIRECT_BROADCAST <bob> <den> hi"), SECOND / 4);
    // What says no name costs no question.
    let nameless = s.accept();
    assert_eq!(s.turn(nameless, "CHAT_REQUEST <alice>"), Duration::ZERO);
    // Nor does somebody whom we have dialled.
    keys::asked(&mut s, None);
    s.connected(s.streams.len() - 1);
    assert_eq!(s.turn(s.streams.len() - 1, "DIRECT_BROADCAST <bob> <den> hi"), Duration::ZERO);
}

#[test]
fn nobody_honest_notices_the_budgets_that_are_set_by_default() {
    // What two may have unconfirmed on a line, said again after a break, both kinds.
    let mut s = knows_bob(key('b'));
    let (stream, _) = comes(&mut s, key('b'));
    let long = format!("DIRECT_MESSAGE <bob> <alice> {}", "x".repeat(16_384));
    for _ in 0..1_024 {
        assert_eq!(s.turn(stream, &long), Duration::ZERO);
    }
    // A full room behind one address, whose members all dial at once and say something.
    let mut s = keys::alice();
    for _ in 0..200 {
        let stream = s.accept();
        let first = format!("{} <tls>", introduction("alice"));
        assert_eq!(s.turn(stream, &first), Duration::ZERO);
        s.hear(stream, &first);
        for _ in 0..100 {
            assert_eq!(s.turn(stream, "DIRECT_BROADCAST <carol> <den> hi"), Duration::ZERO);
        }
    }
}

#[test]
fn a_stream_that_is_gone_waits_for_nothing() {
    let mut s = Solo::alice_with(config(Rate::new(1, SECOND * 60), Rate::UNLIMITED, Rate::UNLIMITED), ALL);
    let stream = s.accept();
    for _ in 0..20 {
        s.turn(stream, "PING <1>");
    }
    s.closed(stream);
    assert_eq!(s.turn(stream, "PING <1>"), Duration::ZERO);
}
