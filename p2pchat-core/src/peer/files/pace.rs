//! How much of a file is on its way at once (PROTOCOL.md §7.15).

use std::{collections::VecDeque, time::Duration};

use crate::time::Time;

const LEAST: usize = 32 * 1024;
/// Also what a receiver has to have room for.
pub(super) const MOST: usize = 1024 * 1024;
const SMALLEST_PIECE: usize = 16 * 1024;
const LARGEST_PIECE: usize = p2pchat_proto::limits::FILE_CHUNK_BYTES;
/// Nobody notices who begins to talk.
const UNNOTICED: Duration = Duration::from_millis(2);

/// Whatever waits before a message in a queue delays it. So no more of a file is on its way than makes the time that a
/// piece takes to be confirmed longer by half, or, while nobody talks, doubles it, or makes it longer by what nobody notices: each confirmation that comes sooner lets
/// more on its way, each that comes later less.
#[derive(Debug)]
pub(super) struct Pace {
    window: usize,
    /// The shortest that a confirmation has taken.
    least: Option<Duration>,
    /// Where the pieces end that are on their way, and since when they are.
    flights: VecDeque<(u64, Time)>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { window: 2 * LEAST, least: None, flights: VecDeque::new() }
    }

    /// How large the next piece is, of so many bytes at most, if there is room for it beside so many that are on their way.
    pub(super) fn piece(&self, under_way: u64, most: usize) -> Option<usize> {
        let piece = (self.window / 4).clamp(SMALLEST_PIECE, LARGEST_PIECE).min(most);
        (under_way.saturating_add(piece as u64) <= self.window as u64).then_some(piece)
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
                self.took(now.since(since), talking);
            }
        }
    }

    fn took(&mut self, delay: Duration, talking: bool) {
        let least = self.least.map_or(delay, |least| least.min(delay));
        self.least = Some(least);
        let longest = if talking { least + least / 2 } else { (2 * least).max(least + UNNOTICED) };
        self.window = match delay <= longest {
            true => (self.window + self.window / 8).min(MOST),
            // Who begins to talk has the way clear soon.
            false => (self.window - self.window / 8).max(LEAST),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends pieces over a link of so many bytes a millisecond that is `away` long, for a while; how long a piece takes in the end.
    fn settled(rate: u64, away: Duration) -> (Duration, u64) {
        let (mut pace, mut now, mut sent, mut confirmed, mut free) =
            (Pace::new(), Time::ZERO, 0, 0, Time::ZERO);
        let mut arrivals: VecDeque<(Time, u64, Time)> = VecDeque::new();
        let mut last = Duration::ZERO;
        for _ in 0..20_000 {
            while let Some(piece) = pace.piece(sent - confirmed, LARGEST_PIECE) {
                sent += piece as u64;
                pace.sent(sent, now);
                free = free.max(now) + Duration::from_micros(1_000 * piece as u64 / rate);
                arrivals.push_back((free + away, sent, now));
            }
            let Some((then, end, since)) = arrivals.pop_front() else { break };
            now = then;
            confirmed = end;
            pace.confirmed(end, now, true);
            last = now.since(since);
        }
        (last, 1_000 * sent / u64::try_from(now.since(Time::ZERO).as_millis()).unwrap())
    }

    #[test]
    fn a_file_takes_what_a_link_has_and_doubles_its_delay_at_most() {
        // Bytes a millisecond, and the way there and back.
        for (rate, away) in [(10_000, 20 * MS), (1_250, 50 * MS), (100_000, MS), (125, 30 * MS)] {
            let (delay, speed) = settled(rate, away);
            let lone = away + Duration::from_micros(1_000 * 64 * 1024 / rate);
            assert!(delay <= 5 * lone / 2, "{rate}: a piece takes {delay:?}, alone {lone:?}");
            let most = MOST as u64 * 1_000 / u64::try_from(away.as_millis()).unwrap();
            assert!(10 * speed >= 7 * most.min(1_000 * rate), "{rate}: {speed} bytes a second");
        }
    }

    #[test]
    fn nothing_more_goes_out_before_something_is_confirmed() {
        let (mut pace, mut sent) = (Pace::new(), 0);
        while let Some(piece) = pace.piece(sent, LARGEST_PIECE) {
            sent += piece as u64;
            pace.sent(sent, Time::ZERO);
        }
        assert_eq!(sent, 64 * 1024);
        // Whatever was confirmed, and however often.
        for _ in 0..1_000 {
            pace.confirmed(sent, Time::from_micros(10), false);
            pace.sent(sent, Time::from_micros(10));
        }
        assert!(pace.window <= MOST && pace.piece(MOST as u64, LARGEST_PIECE).is_none());
    }
}
