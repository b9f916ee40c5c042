//! What a server counts, and what it tells of that.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use super::places::Places;
use crate::registry::Stats;

/// How much there is of what, and how often what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerStats {
    /// The machine's figures.
    pub registry: Stats,
    /// True while streams are accepted, from when the server is bound.
    pub accepting: bool,
    /// Streams that were closed because their peer read too slowly.
    pub slow_readers: u64,
    /// Streams that were closed because their peer took too long to say something whole.
    pub slow_writers: u64,
    /// Streams that were closed because nobody logged in on them in time.
    pub idle: u64,
    /// TLS handshakes that go on.
    pub handshakes: u64,
    /// The most of them that there have been at once.
    pub most_handshakes: u64,
    /// TLS handshakes that succeeded.
    pub finished_handshakes: u64,
    /// TLS handshakes that failed, or took too long.
    pub failed_handshakes: u64,
    /// Streams that were refused because too many TLS handshakes were going on.
    pub refused_handshakes: u64,
    /// Streams that were refused because too many are open, or too many came from one prefix.
    pub refused_connections: u64,
    /// How often no stream could be accepted, as for want of file descriptors.
    pub failed_accepts: u64,
    /// Bytes that came on streams, without TLS.
    pub bytes_received: u64,
    /// Bytes that were sent on streams, without TLS.
    pub bytes_sent: u64,
    /// Datagrams that came.
    pub datagrams_received: u64,
    /// Those of them that are none of the protocol's.
    pub malformed_datagrams: u64,
    /// Datagrams that were sent.
    pub datagrams_sent: u64,
    /// Bytes of the datagrams that came.
    pub datagram_bytes_received: u64,
    /// Bytes of the datagrams that were sent.
    pub datagram_bytes_sent: u64,
    /// How long password hashes took, with the time they waited.
    pub hash_times: Latencies,
    /// Questions that the store was too busy for.
    pub refused_questions: u64,
    /// Questions that the store failed to answer otherwise.
    pub failed_questions: u64,
}

/// How long something took each time, as a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Latencies {
    /// How often it took at most so long as the bound of the same place in [`BOUNDS`](Self::BOUNDS), and longer than the one
    /// before; the last: how often it took longer than all of them.
    pub counts: [u64; Latencies::BOUNDS.len() + 1],
    /// How long it took altogether.
    pub sum: Duration,
}

impl Latencies {
    /// 1 ms to 10 s.
    pub const BOUNDS: [Duration; 13] = [
        Duration::from_millis(1),
        Duration::from_micros(2_500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_millis(2_500),
        Duration::from_secs(5),
        Duration::from_secs(10),
    ];
}

/// One figure, for monitoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figure {
    /// In small letters, digits and underscores; with its unit, if it has one. Figures of one name come one after the other
    /// and differ in their label.
    pub name: &'static str,
    /// The label's name and value, if there is one: always one of a few.
    pub label: Option<(&'static str, &'static str)>,
    /// What it says, in a few words.
    pub help: &'static str,
    /// What is to be told.
    pub value: FigureValue,
}

/// A figure's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FigureValue {
    /// How much there is.
    Gauge(u64),
    /// How often it has happened.
    Counter(u64),
    /// How long it took.
    Latencies(Latencies),
}

impl ServerStats {
    /// Everything in it, named.
    pub fn figures(&self) -> Vec<Figure> {
        // Field by field, so that the compiler names what isn't told yet.
        let Self {
            registry,
            accepting,
            slow_readers,
            slow_writers,
            idle,
            handshakes,
            most_handshakes,
            finished_handshakes,
            failed_handshakes,
            refused_handshakes,
            refused_connections: _, // those of each reason
            failed_accepts,
            bytes_received,
            bytes_sent,
            datagrams_received,
            malformed_datagrams,
            datagrams_sent,
            datagram_bytes_received,
            datagram_bytes_sent,
            hash_times,
            refused_questions,
            failed_questions,
        } = *self;
        let gauge = |name, help, value| Figure { name, label: None, help, value: FigureValue::Gauge(value) };
        let counter =
            |name, help, value| Figure { name, label: None, help, value: FigureValue::Counter(value) };
        let given_up = |reason, value| Figure {
            label: Some(("reason", reason)),
            ..counter(
                "connections_given_up",
                "Connections that were closed because their peer took too long",
                value,
            )
        };
        let ended = |result, value| Figure {
            label: Some(("result", result)),
            ..counter("tls_handshakes", "TLS handshakes that have ended", value)
        };
        let mut figures = registry_figures(&registry);
        figures.extend([
            gauge("accepting", "1 while connections are accepted", u64::from(accepting)),
            given_up("slow_reader", slow_readers),
            given_up("slow_writer", slow_writers),
            given_up("idle", idle),
            gauge("tls_handshakes_open", "TLS handshakes that go on", handshakes),
            gauge(
                "tls_handshakes_most",
                "The most TLS handshakes that have gone on at once",
                most_handshakes,
            ),
            ended("finished", finished_handshakes),
            ended("failed", failed_handshakes),
            ended("refused", refused_handshakes),
            counter("accept_failures", "How often no connection could be accepted", failed_accepts),
            counter("received_bytes", "Bytes that came on connections, without TLS", bytes_received),
            counter("sent_bytes", "Bytes that were sent on connections, without TLS", bytes_sent),
            counter("datagrams_received", "Datagrams that came", datagrams_received),
            counter("datagrams_malformed", "Datagrams that were none of the protocol's", malformed_datagrams),
            counter("datagrams_sent", "Datagrams that were sent", datagrams_sent),
            counter("datagrams_received_bytes", "Bytes of the datagrams that came", datagram_bytes_received),
            counter("datagrams_sent_bytes", "Bytes of the datagrams that were sent", datagram_bytes_sent),
            Figure {
                value: FigureValue::Latencies(hash_times),
                ..gauge(
                    "hash_duration_seconds",
                    "How long password hashes took, with the time they waited",
                    0,
                )
            },
            counter(
                "store_questions_refused",
                "Questions that the store was too busy for",
                refused_questions,
            ),
            counter("store_questions_failed", "Questions that the store failed to answer", failed_questions),
        ]);
        figures
    }
}

fn registry_figures(stats: &Stats) -> Vec<Figure> {
    let Stats {
        connections,
        sessions,
        waiting,
        parked,
        wakes,
        refused_parks,
        resumed,
        refused_tokens,
        operations,
        hashes,
        most_hashes,
        refused_hashes,
        named_retries,
        bans,
        refused_banned,
        refused_registrations,
        refused_invites,
        refused_logins,
        refused_account_logins,
        refused_joins,
        refused_contacts,
        refused_crowds,
        refused_rushes,
        held_requests,
        refused_full,
        refused_draining,
        refused_pipelines,
        refused_operations,
        refused_rooms,
        requests,
        malformed,
        logins,
        failed_logins,
        refused_online,
        registrations,
        refused_names,
        failed_registrations,
        keep_alives,
        refused_datagrams,
        timed_out,
    } = *stats;
    let gauge = |name, help, value: usize| {
        let value = FigureValue::Gauge(u64::try_from(value).unwrap_or(u64::MAX));
        Figure { name, label: None, help, value }
    };
    let counter = |name, help, value| Figure { name, label: None, help, value: FigureValue::Counter(value) };
    let refused = |reason, value| Figure {
        label: Some(("reason", reason)),
        ..counter("connections_refused", "Connections that were closed before TLS", value)
    };
    let login = |result, value| Figure {
        label: Some(("result", result)),
        ..counter("logins", "Logins that were answered, or not tried because too many had failed", value)
    };
    let registration = |result, value| Figure {
        label: Some(("result", result)),
        ..counter("registrations", "Accounts that were asked for", value)
    };
    vec![
        gauge("connections", "Open connections", connections),
        gauge("sessions", "Users online", sessions),
        gauge("sessions_waiting", "Users online who have lost their connection and may come back", waiting),
        gauge(
            "sessions_parked",
            "Users online who have closed their connection and are woken when needed",
            parked,
        ),
        counter("sessions_woken", "Datagrams by which a parked session was told to come back", wakes),
        counter("parks_refused", "Sessions that were not parked because too many were", refused_parks),
        gauge("operations", "Questions to store and password hash that wait for their answer", operations),
        gauge("hashes_open", "Password hashes that are computed or wait for it", hashes),
        gauge("hashes_most", "The most password hashes that have waited at once", most_hashes),
        counter(
            "hashes_refused",
            "Password hashes that were not computed because too many were waiting",
            refused_hashes,
        ),
        counter("retries_named", "Refusals with a time at which to come back", named_retries),
        gauge("bans", "Bans", bans),
        counter(
            "banned_refused",
            "Connections, logins and registrations that were refused because of a ban",
            refused_banned,
        ),
        refused("full", refused_full),
        refused("draining", refused_draining),
        refused("prefix_connections", refused_crowds),
        refused("prefix_connects", refused_rushes),
        // What is answered to a token is answered to a login.
        login("success", logins.saturating_sub(resumed)),
        login("resumed", resumed),
        login("failure", failed_logins.saturating_sub(refused_tokens)),
        login("token_refused", refused_tokens),
        login("online", refused_online),
        login("prefix_limit", refused_logins),
        login("account_limit", refused_account_logins),
        registration("success", registrations),
        registration("name_taken", refused_names),
        // An answer to one that a limit has refused is a failure, too.
        registration("failure", failed_registrations.saturating_sub(refused_registrations + refused_invites)),
        registration("invite_refused", refused_invites),
        registration("prefix_limit", refused_registrations),
        counter(
            "room_passwords_refused",
            "Room passwords that were not tried because too many were wrong",
            refused_joins,
        ),
        counter(
            "contacts_refused",
            "Requests for contact that were not passed on because their user had made too many",
            refused_contacts,
        ),
        counter(
            "rooms_refused",
            "Rooms not entered because their user is in as many as is allowed",
            refused_rooms,
        ),
        counter("requests", "Requests that came, also malformed ones", requests),
        counter("requests_malformed", "Requests that were malformed", malformed),
        counter("requests_held", "After how many requests their prefix had to wait", held_requests),
        counter(
            "pipelines_refused",
            "Connections closed because too many of their requests waited",
            refused_pipelines,
        ),
        counter(
            "operations_refused",
            "Requests refused because too many waited for store and hash",
            refused_operations,
        ),
        counter("keep_alives", "Datagrams that proved their session", keep_alives),
        counter("datagrams_refused", "Datagrams that proved no session", refused_datagrams),
        counter("sessions_timed_out", "Sessions that ended because no keep-alive came in time", timed_out),
    ]
}

/// What the tasks of a server count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepting: AtomicBool,
    pub(super) slow_readers: Counter,
    pub(super) slow_writers: Counter,
    pub(super) idle: Counter,
    pub(super) finished_handshakes: Counter,
    pub(super) failed_handshakes: Counter,
    pub(super) refused_handshakes: Counter,
    pub(super) refused_connections: Counter,
    pub(super) failed_accepts: Counter,
    pub(super) bytes_received: Counter,
    pub(super) bytes_sent: Counter,
    pub(super) datagrams_received: Counter,
    pub(super) malformed_datagrams: Counter,
    pub(super) datagrams_sent: Counter,
    pub(super) datagram_bytes_received: Counter,
    pub(super) datagram_bytes_sent: Counter,
    pub(super) hash_times: LatencyCounter,
    pub(super) refused_questions: Counter,
    pub(super) failed_questions: Counter,
}

impl Counters {
    /// With what is counted elsewhere.
    pub(super) fn stats(&self, registry: Stats, handshakes: &Places) -> ServerStats {
        ServerStats {
            registry,
            accepting: self.accepting.load(Ordering::Relaxed),
            slow_readers: self.slow_readers.so_far(),
            slow_writers: self.slow_writers.so_far(),
            idle: self.idle.so_far(),
            handshakes: as_u64(handshakes.taken()),
            most_handshakes: as_u64(handshakes.most()),
            finished_handshakes: self.finished_handshakes.so_far(),
            failed_handshakes: self.failed_handshakes.so_far(),
            refused_handshakes: self.refused_handshakes.so_far(),
            refused_connections: self.refused_connections.so_far(),
            failed_accepts: self.failed_accepts.so_far(),
            bytes_received: self.bytes_received.so_far(),
            bytes_sent: self.bytes_sent.so_far(),
            datagrams_received: self.datagrams_received.so_far(),
            malformed_datagrams: self.malformed_datagrams.so_far(),
            datagrams_sent: self.datagrams_sent.so_far(),
            datagram_bytes_received: self.datagram_bytes_received.so_far(),
            datagram_bytes_sent: self.datagram_bytes_sent.so_far(),
            hash_times: self.hash_times.so_far(),
            refused_questions: self.refused_questions.so_far(),
            failed_questions: self.failed_questions.so_far(),
        }
    }
}

/// A number that tasks count with.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// One more; how many there are now.
    pub(super) fn one(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(as_u64(count), Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// [`Latencies`] that tasks count with.
#[derive(Debug, Default)]
pub(super) struct LatencyCounter {
    counts: [AtomicU64; Latencies::BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl LatencyCounter {
    pub(super) fn record(&self, took: Duration) {
        let place = Latencies::BOUNDS.partition_point(|&bound| bound < took);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    fn so_far(&self) -> Latencies {
        Latencies {
            counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            sum: Duration::from_micros(self.microseconds.load(Ordering::Relaxed)),
        }
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_time_counts_for_the_first_bound_that_it_does_not_pass() {
        let counter = LatencyCounter::default();
        for millis in [0, 1, 2, 10_000, 10_001, 60_000] {
            counter.record(Duration::from_millis(millis));
        }
        let Latencies { counts, sum } = counter.so_far();
        assert_eq!((counts[0], counts[1], counts[12], counts[13]), (2, 1, 1, 2));
        assert_eq!((counts.iter().sum(), sum), (6, Duration::from_millis(80_004)));
    }

    #[test]
    fn figures_of_a_name_are_of_one_kind_stand_together_and_differ_in_their_label() {
        let figures = ServerStats::default().figures();
        let mut names = BTreeMap::new();
        for (at, figure) in figures.iter().enumerate() {
            assert!(figure.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{figure:?}");
            assert!(!figure.name.ends_with("_total") && !figure.help.ends_with('.'), "{figure:?}");
            let kind = std::mem::discriminant(&figure.value);
            let labels: &mut Vec<_> = names.entry(figure.name).or_default();
            if let Some((_, _, _, before)) = labels.last() {
                assert_eq!(*before + 1, at, "{figure:?}");
            }
            let of_name = figure.label.map(|(name, _)| name);
            assert!(
                labels
                    .iter()
                    .all(|&(k, help, label, _)| (k, help) == (kind, figure.help) && label != figure.label)
            );
            assert!(labels.is_empty() || of_name.is_some(), "{figure:?}");
            labels.push((kind, figure.help, figure.label, at));
        }
    }
}
