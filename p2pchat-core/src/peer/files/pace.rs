//! How much of a file is on its way at once (PROTOCOL.md §7.15).

use std::{collections::VecDeque, time::Duration};

use super::incoming::LEAST;
use crate::time::Time;

const SMALLEST: usize = LEAST as usize;
const LARGEST: usize = p2pchat_proto::limits::FILE_CHUNK_BYTES;
const FIRST: usize = 64 * 1024;
/// Also what a receiver has to have room for.
pub(super) const MOST: usize = 1024 * 1024;
/// Nobody notices who begins to talk.
const UNNOTICED: Duration = Duration::from_millis(2);
/// For so long it holds how fast the way once was, since routes change. Then it is measured anew, with nothing else on its way.
const GENERATION: Duration = Duration::from_secs(30);

/// Whatever waits before a message in a queue delays it. So no more of a file is on its way than makes the time that a piece takes
/// to be confirmed longer by half, or, while nobody talks, doubles it, or makes it longer by what nobody notices: each confirmation
/// that comes sooner lets more on its way, each that comes later less, down to one small piece.
#[derive(Debug)]
pub(super) struct Pace {
    window: usize,
    most: usize,
    /// The shortest that a confirmation has taken: of late, and in the time before.
    least: Option<Duration>,
    before: Option<Duration>,
    since: Time,
    /// Where the pieces end that are on their way, and since when they are.
    flights: VecDeque<(u64, Time)>,
}

impl Pace {
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(SMALLEST, MOST);
        let (least, before, since, flights) = (None, None, Time::ZERO, VecDeque::new());
        Self { window: FIRST.min(most), most, least, before, since, flights }
    }

    /// How large the next piece is, of so many bytes that are there, if there is room for it beside so many that are on their way.
    pub(super) fn piece(&self, under_way: u64, there: usize) -> Option<usize> {
        let piece = (self.window / 4).clamp(SMALLEST, LARGEST);
        // What is left is no crumb.
        let piece = if there < piece + SMALLEST { there } else { piece };
        (under_way == 0 || under_way.saturating_add(piece as u64) <= self.window as u64).then_some(piece)
    }

    pub(super) fn sent(&mut self, end: u64, now: Time) {
        self.flights.push_back((end, now));
    }

    /// All pieces up to there are confirmed; people talk meanwhile, or they don't.
    pub(super) fn confirmed(&mut self, end: u64, now: Time, talking: bool) {
        while let Some(&(flight, since)) = self.flights.front().filter(|(flight, _)| *flight <= end) {
            self.flights.pop_front();
            // Later ones may have waited for others' confirmation.
            if flight == end {
                self.took(now.since(since), now, talking);
            }
        }
    }

    fn took(&mut self, delay: Duration, now: Time, talking: bool) {
        if now.since(self.since) >= GENERATION {
            (self.before, self.least, self.since) = (self.least, None, now);
            self.window = SMALLEST;
            return;
        }
        self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        let least = self.before.into_iter().chain(self.least).min().unwrap_or(delay);
        let longest = if talking { least + least / 2 } else { (2 * least).max(least + UNNOTICED) };
        self.window = match delay <= longest {
            true => (self.window + (self.window / 16).max(SMALLEST / 8)).min(self.most),
            // Who begins to talk has the way clear soon.
            false => (self.window - self.window / 8).max(SMALLEST),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends a file over a link of so many bytes a millisecond that is `away` long, there and back, for a while. How long a message
    /// takes then that is said at any moment, in the middle and at most, and how many bytes arrive a second.
    fn settled(rate: u64, away: Duration, talking: bool) -> (Duration, Duration, u64) {
        let (mut pace, mut now, mut free) = (Pace::new(MOST), Time::ZERO, Time::ZERO);
        let (mut sent, mut confirmed, mut half) = (0, 0, (0, Time::ZERO));
        let mut arrivals = VecDeque::new();
        let mut waits = Vec::new();
        for step in 0..20_000 {
            while let Some(piece) = pace.piece(sent - confirmed, LARGEST) {
                sent += piece as u64;
                pace.sent(sent, now);
                free = free.max(now) + Duration::from_micros(1_000 * piece as u64 / rate);
                arrivals.push_back((free + away, sent));
            }
            if step == 10_000 {
                half = (confirmed, now);
            }
            if step > 10_000 {
                waits.push(free.since(now) + away);
            }
            let Some((then, end)) = arrivals.pop_front() else { break };
            (now, confirmed) = (then, end);
            pace.confirmed(end, now, talking);
        }
        waits.sort();
        let speed = 1_000_000 * (confirmed - half.0) / u64::try_from(now.since(half.1).as_micros()).unwrap();
        (waits[waits.len() / 2], waits[waits.len() - 1], speed)
    }

    /// Bytes a millisecond, and the way there and back: from a modem's to a local network's.
    const LINKS: [(u64, Duration); 7] = [
        (125, Duration::from_millis(30)),
        (1_000, Duration::from_millis(20)),
        (1_250, Duration::from_millis(5)),
        (1_250, Duration::from_millis(50)),
        (10_000, Duration::from_millis(20)),
        (12_500, Duration::from_micros(500)),
        (100_000, Duration::from_millis(1)),
    ];

    #[test]
    fn who_talks_waits_twice_as_long_or_for_four_small_pieces_at_most() {
        for (rate, away) in LINKS {
            let (middle, most, _) = settled(rate, away, true);
            let small = Duration::from_micros(1_000 * LEAST / rate);
            let bound = (2 * away).max(away + 4 * small);
            assert!(middle <= bound, "{rate} {away:?}: {middle:?}, and {most:?} at most, of {bound:?}");
        }
    }

    #[test]
    fn a_file_has_the_line_where_nobody_talks_and_who_begins_to_is_not_kept_long() {
        for (rate, away) in LINKS {
            let (_, most, speed) = settled(rate, away, false);
            let full = (1_000 * rate).min(MOST as u64 * 1_000_000 / u64::try_from(away.as_micros()).unwrap());
            assert!(10 * speed >= 8 * full, "{rate} {away:?}: {speed} bytes a second of {full}");
            let piece = Duration::from_micros(1_000 * 64 * 1024 / rate);
            assert!(most <= 3 * (away + piece) + 3 * MS, "{rate} {away:?}: a message takes {most:?}");
        }
    }

    #[test]
    fn a_route_that_has_become_slower_is_measured_anew() {
        let (mut pace, mut now, mut sent) = (Pace::new(MOST), Time::ZERO, 0);
        let mut send = |pace: &mut Pace, delay: Duration| {
            sent += 1;
            pace.sent(sent, now);
            now = now + delay;
            pace.confirmed(sent, now, true);
            pace.window
        };
        for _ in 0..10 {
            send(&mut pace, MS);
        }
        let windows: Vec<_> = (0..500).map(|_| send(&mut pace, 200 * MS)).collect();
        assert!(windows[50] == SMALLEST && windows[499] > 10 * SMALLEST, "{windows:?}");
    }

    #[test]
    fn nothing_more_goes_out_before_something_is_confirmed() {
        let (mut pace, mut sent) = (Pace::new(MOST), 0);
        while let Some(piece) = pace.piece(sent, LARGEST) {
            sent += piece as u64;
            pace.sent(sent, Time::ZERO);
        }
        assert_eq!(sent, FIRST as u64);
        // Whatever was confirmed, and however often.
        for _ in 0..1_000 {
            pace.confirmed(sent, Time::from_micros(10), false);
            pace.sent(sent, Time::from_micros(10));
        }
        assert!(pace.window <= MOST && pace.piece(MOST as u64, LARGEST).is_none());
        assert_eq!(Pace::new(100_000).piece(90_000, LARGEST), None, "whatever the owner has no room for");
    }
}
