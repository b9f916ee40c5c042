//! What datagrams can make the registry send, in bytes: the table of PROTOCOL.md §9, computed.

use std::{net::SocketAddr, num::NonZeroU64};

use p2pchat_proto::{Dialect, FromRegistryDatagram, Message, SessionTicket, ToRegistryDatagram, Username};

use p2pchat_core::{
    Time,
    registry::{Config, PrefixLimits, Stats},
};

use crate::{SECOND, world::World};

/// Of a message with the shortest and with the longest name that there is.
fn sizes<M: Message>(message: impl Fn(Username) -> M) -> [usize; 2] {
    ["a".to_owned(), "\u{20000}".repeat(32)]
        .map(|name| message(Username::new(&name).unwrap()).to_bytes(Dialect::Canonical).len())
}

#[test]
fn cannon_rule_2_the_table_of_bytes_in_and_bytes_out_is_what_the_encoder_writes() {
    let [shortest, _] = sizes(|username| ToRegistryDatagram::KeepAlive { username, timeout: None });
    let [_, longest] = sizes(|username| ToRegistryDatagram::KeepAlive { username, timeout: Some(u32::MAX) });
    let ticket = SessionTicket::from_random([0; 32]);
    let proven = |timeout, sequence: NonZeroU64| {
        sizes(|username| ToRegistryDatagram::prove(&ticket, username, timeout, sequence))
    };
    let ([least, _], [_, most]) = (proven(0, NonZeroU64::MIN), proven(u32::MAX, NonZeroU64::MAX));
    let [short, long] = sizes(|username| FromRegistryDatagram::Timeout { username });
    let answer = FromRegistryDatagram::KeepAliveSuccess.to_bytes(Dialect::Canonical).len();
    let specification = include_str!("../../../p2pchat-proto/PROTOCOL.md");
    for row in [
        format!(
            "| a `KEEP_ALIVE` that proves the ticket, the first in a second | {least}–{most} | `KEEP_ALIVE_RESPONSE` | {answer} |"
        ),
        format!("| a further one within the second | {least}–{most} | nothing | 0 |"),
        format!(
            "| a copy of one, an older one, one whose proof is wrong or whose session has no ticket | {least}–{most} | nothing | 0 |"
        ),
        format!("| a bare `KEEP_ALIVE` on a session with a ticket | {shortest}–{longest} | nothing | 0 |"),
        format!(
            "| a bare `KEEP_ALIVE` that is accepted, the first in a second | {shortest}–{longest} | `KEEP_ALIVE_RESPONSE` | {answer} |"
        ),
        format!("| a further one within the second | {shortest}–{longest} | nothing | 0 |"),
        "| one on a session in the prototype's dialect | any | nothing | 0 |".to_owned(),
        "| a `KEEP_ALIVE` that isn't accepted | any | nothing | 0 |".to_owned(),
        "| anything else | any | nothing | 0 |".to_owned(),
        format!("| none: the lease has ended, or another login took over | 0 | `TIMEOUT` | {short}–{long} |"),
    ] {
        assert!(specification.contains(&row), "{row}");
    }
    assert!(answer + short <= least, "with a ticket, all that is sent is less than what proved it");
}

#[test]
fn cannon_rule_2_a_session_is_sent_35_bytes_a_second_and_one_farewell_whatever_is_forged_in_its_name() {
    for a_second in [1, 10, 1_000] {
        let mut w = World::new();
        let alice = w.online("a");
        let mut sent = 0;
        for _ in 0..60 {
            for n in 0..a_second {
                // From everywhere, and from where the session is: only there goes any answer.
                for from in [format!("203.0.113.{}:{}", n % 256, n + 1), format!("192.0.2.1:{}", n + 1)] {
                    for (to, answer) in w.datagram(&from, "KEEP_ALIVE <a>") {
                        assert_eq!(to.to_string(), from);
                        assert!(from.starts_with("192.0.2.1:"));
                        sent += answer.len();
                    }
                }
            }
            w.wait(SECOND);
        }
        assert_eq!(sent, 60 * 35);
        w.wait(10 * SECOND);
        assert!(w.is_closed(alice));
        let farewell: Vec<_> = w.datagrams().into_iter().map(|(to, said)| (to.to_string(), said)).collect();
        assert_eq!(farewell, [("192.0.2.1:1".to_owned(), "TIMEOUT <a>".to_owned())]);
    }
}

#[test]
fn cannon_rule_2_the_prototypes_sessions_are_sent_nothing_but_the_farewell() {
    let mut w = World::new();
    let alice = w.online("alice");
    w.is_prototype(alice);
    for _ in 0..10 {
        assert_eq!(w.datagram("192.0.2.1:700", "KEEP_ALIVE <alice>"), []);
        w.wait(SECOND);
    }
    w.wait(10 * SECOND);
    assert_eq!(w.datagrams(), [("192.0.2.1:700".parse().unwrap(), "TIMEOUT <alice>".to_owned())]);
}

type Received = (SocketAddr, ToRegistryDatagram);

/// Datagrams, and the next deadline.
type Sent = (Vec<(SocketAddr, String)>, Option<Time>);

/// What a registry of fifty sessions sends in two minutes of keep-alives, good and bad, and who is left.
fn after_batches(batch: fn(&mut World, &[Received])) -> (Vec<Sent>, Stats) {
    let (mut config, mut dice) = (Config::default(), fastrand::Rng::with_seed(11));
    config.prefixes = PrefixLimits::NONE;
    let (mut w, mut said) = (World::with(config), Vec::new());
    for n in 0..50 {
        w.online(&format!("peer{n}"));
    }
    for _ in 0..120 {
        let mut datagrams = Vec::new();
        for _ in 0..dice.usize(0..80) {
            let username = Username::new(&format!("PEER{}", dice.u8(0..60))).unwrap();
            let timeout = Some(dice.u32(0..40));
            let datagram = match dice.u8(0..9) {
                0 => ToRegistryDatagram::prove(
                    &SessionTicket::from_random([1; 32]),
                    username,
                    40,
                    NonZeroU64::MIN,
                ),
                _ => ToRegistryDatagram::KeepAlive { username, timeout },
            };
            let from = SocketAddr::from(([192, 0, 2, dice.u8(1..3)], dice.u16(700..703)));
            datagrams.push((from, datagram));
        }
        batch(&mut w, &datagrams);
        w.run();
        said.push((w.datagrams(), w.registry.poll_timeout()));
        w.wait(SECOND);
    }
    let stats = w.registry.stats();
    assert!(stats.timed_out > 5 && stats.sessions > 5 && stats.refused_datagrams > 100, "{stats:?}");
    (said, stats)
}

#[test]
fn datagrams_that_come_together_are_taken_as_if_each_came_alone() {
    let together = after_batches(|w, datagrams| w.registry.handle_datagrams(w.now, datagrams));
    let alone = after_batches(|w, datagrams| {
        for (from, datagram) in datagrams {
            w.registry.handle_datagram(w.now, *from, datagram.clone());
        }
    });
    assert_eq!(together, alone);
}
