//! How many requests may wait for the password hash, and when those come back whom that keeps out (PROTOCOL.md §7.8).

use std::time::Duration;

use crate::time::Time;

/// What a hash takes, as long as none has been computed.
const FIRST_PACE: Duration = Duration::from_millis(25);
/// Of how many hashes the pace is told by.
const REMEMBERED: u32 = 16;
/// One that takes longer says nothing of the next: the process was stopped meanwhile.
const SLOWEST: Duration = Duration::from_secs(10);
/// Nobody is sent away for less.
const SHORTEST: Duration = Duration::from_secs(1);

/// Who waits for the hash.
#[derive(Debug)]
pub(super) struct Admission {
    limit: usize,
    longest: Duration,
    waiting: usize,
    most: usize,
    /// The time between two answers while there is work: what one takes, divided by how many are computed at once.
    pace: Duration,
    /// Since when the next answer has been worked for.
    busy_since: Time,
    /// Nobody who was sent away comes back as late as this.
    next: Time,
}

impl Admission {
    /// At most `limit` wait, and nobody is sent away for longer than `longest`.
    pub(super) fn new(limit: usize, longest: Duration) -> Self {
        Self {
            limit,
            longest,
            waiting: 0,
            most: 0,
            pace: FIRST_PACE,
            busy_since: Time::ZERO,
            next: Time::ZERO,
        }
    }

    /// Other limits hold from now on. Who waits already goes on waiting.
    pub(super) fn set_limits(&mut self, limit: usize, longest: Duration) {
        (self.limit, self.longest) = (limit, longest);
    }

    /// One more wants to wait. False if it can't.
    pub(super) fn enter(&mut self, now: Time) -> bool {
        if self.waiting >= self.limit {
            return false;
        }
        if self.waiting == 0 {
            self.busy_since = now;
        }
        self.waiting += 1;
        self.most = self.most.max(self.waiting);
        true
    }

    /// One that waited has its answer.
    pub(super) fn leave(&mut self, now: Time) {
        self.withdraw();
        let took = now.since(self.busy_since).min(SLOWEST);
        self.busy_since = now;
        self.pace = (self.pace * (REMEMBERED - 1) + took) / REMEMBERED;
    }

    /// One that was let in doesn't wait after all.
    pub(super) fn withdraw(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// After how long somebody who is sent away is to come back: when all who wait now, and all who were sent away before,
    /// have had their turn.
    pub(super) fn comes_back_in(&mut self, now: Time) -> Duration {
        let waiting = u32::try_from(self.waiting).unwrap_or(u32::MAX);
        let free = now + self.pace.saturating_mul(waiting).min(self.longest);
        let at = free.max(self.next).min(now + self.longest);
        self.next = at + self.pace;
        at.since(now).max(SHORTEST)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many have waited at once, at most.
    pub(super) fn most(&self) -> usize {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u32) -> Time {
        Time::ZERO + MS * millis
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut admission = Admission::new(2, 60 * SECOND);
        assert_eq!(
            [admission.enter(at(0)), admission.enter(at(0)), admission.enter(at(0))],
            [true, true, false]
        );
        admission.leave(at(25));
        assert_eq!([admission.enter(at(25)), admission.enter(at(25))], [true, false]);
        admission.withdraw();
        assert!(admission.enter(at(25)));
        assert_eq!((admission.waiting(), admission.most()), (2, 2));
        for _ in 0..5 {
            admission.leave(at(50));
        }
        assert_eq!(
            (admission.waiting(), admission.most()),
            (0, 2),
            "answers that nobody waits for change nothing"
        );
    }

    #[test]
    fn other_limits_hold_from_then_on_and_who_waits_goes_on_waiting() {
        let mut admission = Admission::new(1, 60 * SECOND);
        assert_eq!([admission.enter(at(0)), admission.enter(at(0))], [true, false]);
        admission.set_limits(3, 2 * SECOND);
        assert_eq!(
            [admission.enter(at(0)), admission.enter(at(0)), admission.enter(at(0))],
            [true, true, false]
        );
        for _ in 0..1_000 {
            assert!(admission.comes_back_in(at(0)) <= 2 * SECOND);
        }
        admission.set_limits(1, 2 * SECOND);
        assert_eq!((admission.waiting(), admission.enter(at(0))), (3, false));
    }

    #[test]
    fn those_sent_away_come_back_one_after_the_other_at_the_pace_of_the_hash() {
        let mut admission = Admission::new(400, 600 * SECOND);
        for _ in 0..400 {
            assert!(admission.enter(at(0)));
        }
        // 25 ms each, as nothing is known yet: 10 s until all who wait are through.
        let waits: Vec<_> = (0..=80).map(|_| admission.comes_back_in(at(0))).collect();
        assert_eq!((waits[0], waits[1]), (10 * SECOND, 10 * SECOND + 25 * MS));
        assert_eq!(waits[80], 12 * SECOND);
        // It turns out that they take 100 ms, two at once.
        for n in 1..=200 {
            admission.leave(at(n * 100));
            admission.leave(at(n * 100));
        }
        for _ in 0..400 {
            assert!(admission.enter(at(20_000)));
        }
        let wait = admission.comes_back_in(at(20_000));
        assert!((18 * SECOND..22 * SECOND).contains(&wait), "{wait:?}");
    }

    #[test]
    fn a_pause_between_two_jobs_is_no_time_that_a_job_takes() {
        let mut admission = Admission::new(1, 60 * SECOND);
        for n in 0..100 {
            assert!(admission.enter(at(n * 1_000)));
            admission.leave(at(n * 1_000 + 25));
        }
        assert_eq!(admission.pace, FIRST_PACE);
    }

    #[test]
    fn nobody_is_sent_away_for_less_than_a_second_or_for_longer_than_the_limit() {
        let mut admission = Admission::new(1, 60 * SECOND);
        assert_eq!(admission.comes_back_in(at(0)), SECOND);
        for _ in 0..1_000_000 {
            assert!((SECOND..=60 * SECOND).contains(&admission.comes_back_in(at(0))));
        }
        assert_eq!(admission.comes_back_in(at(0)), 60 * SECOND);
        assert_eq!(admission.comes_back_in(at(120_000)), SECOND, "that is over");
        let mut slow = Admission::new(usize::MAX, 60 * SECOND);
        for n in 0..1_000 {
            assert!(slow.enter(at(n)));
        }
        slow.leave(at(u32::MAX));
        assert_eq!(slow.comes_back_in(at(u32::MAX)), 60 * SECOND);
    }
}
