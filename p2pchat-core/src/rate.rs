//! How much of something there may be, by the generic cell rate algorithm: a bucket is the moment when it is full again.

use std::time::Duration;

use crate::time::Time;

/// So many within so long. They may come all at once; what is used up comes back evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// Within how long.
    pub per: Duration,
}

impl Rate {
    /// Any number.
    pub const UNLIMITED: Self = Self::new(1, Duration::ZERO);

    /// `count` within `per`. No `count` at all counts as one.
    pub const fn new(count: u32, per: Duration) -> Self {
        Self { count, per }
    }

    /// So many times as many, within the same time.
    pub(crate) const fn times(self, factor: u32) -> Self {
        Self { count: self.count.saturating_mul(factor), per: self.per }
    }

    /// How long it takes until there is one more.
    pub(crate) fn interval(self) -> Duration {
        self.time_for(1)
    }

    /// How long it takes until there are so many more. Of bytes, one comes back in less than a nanosecond.
    fn time_for(self, count: u32) -> Duration {
        let (nanos, parts) = (self.per.as_nanos(), self.count.max(1));
        // Nearly always: a division of 128 bits takes many times as long.
        if let Some(all) = u64::try_from(nanos).ok().and_then(|nanos| nanos.checked_mul(count.into())) {
            return Duration::from_nanos(all / u64::from(parts));
        }
        let nanos = nanos.saturating_mul(count.into()) / u128::from(parts);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Takes one out of a bucket, or says how long until there is one.
pub(crate) fn take(full_at: &mut Time, now: Time, rate: Rate) -> Result<(), Duration> {
    // Whatever was used up while there was a limit.
    if rate == Rate::UNLIMITED {
        return Ok(());
    }
    let next = (*full_at).max(now) + rate.interval();
    if next.since(now) > rate.per {
        return Err(next.since(now) - rate.per);
    }
    *full_at = next;
    Ok(())
}

/// Puts one back that was taken.
pub(crate) fn give_back(full_at: &mut Time, rate: Rate) {
    *full_at = Time::ZERO + full_at.since(Time::ZERO).saturating_sub(rate.interval());
}

/// Takes so many out of a bucket, whether they are there or not. What many do at once may cost more than there is, but it isn't
/// held against them for long: that the bucket is as empty as it can be, and owes as much as it holds.
pub(crate) fn charge(full_at: &mut Time, now: Time, rate: Rate, count: u32) {
    *full_at = ((*full_at).max(now) + rate.time_for(count)).min(now + rate.per + rate.per);
}

/// The same, and when it is the turn of who takes them: at once if they were there, otherwise behind all who came before, and
/// within [`Rate::per`] in any case.
pub(crate) fn queue(full_at: &mut Time, now: Time, rate: Rate, count: u32) -> Time {
    charge(full_at, now, rate, count);
    now + full_at.since(now).saturating_sub(rate.per)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_gives_all_at_once_and_then_one_after_the_other() {
        let rate = Rate::new(3, 60 * SECOND);
        let mut full_at = Time::ZERO;
        let start = Time::from_micros(5_000_000);
        for _ in 0..3 {
            assert_eq!(take(&mut full_at, start, rate), Ok(()));
        }
        assert_eq!(take(&mut full_at, start, rate), Err(20 * SECOND));
        assert_eq!(take(&mut full_at, start + 19 * SECOND, rate), Err(SECOND));
        assert_eq!(take(&mut full_at, start + 20 * SECOND, rate), Ok(()));
        assert_eq!(take(&mut full_at, start + 20 * SECOND, rate), Err(20 * SECOND));
        let rested = start + 1_000 * SECOND;
        for _ in 0..3 {
            assert_eq!(take(&mut full_at, rested, rate), Ok(()));
        }
        assert!(take(&mut full_at, rested, rate).is_err(), "no more is saved up than that");
    }

    #[test]
    fn who_queues_has_what_is_there_at_once_and_then_waits_for_those_before_and_never_for_long() {
        let rate = Rate::new(10, SECOND);
        let (start, mut full_at) = (Time::from_micros(5_000_000), Time::ZERO);
        assert_eq!(queue(&mut full_at, start, rate, 9), start);
        assert_eq!(queue(&mut full_at, start, rate, 1), start, "that was the last");
        assert_eq!(queue(&mut full_at, start, rate, 1), start + SECOND / 10);
        assert_eq!(queue(&mut full_at, start, rate, 2), start + SECOND * 3 / 10);
        assert_eq!(queue(&mut full_at, start + SECOND / 10, rate, 1), start + SECOND * 4 / 10);
        for _ in 0..100 {
            assert!(queue(&mut full_at, start, rate, u32::MAX) <= start + SECOND);
        }
        assert_eq!(
            queue(&mut full_at, start + 2 * SECOND, rate, 10),
            start + 2 * SECOND,
            "all is there again"
        );
        assert_eq!(queue(&mut full_at, start, Rate::UNLIMITED, u32::MAX), start);
    }

    #[test]
    fn what_64_bits_hold_takes_as_long_as_what_they_do_not() {
        let times = |per: Duration, count| Rate::new(3, per).time_for(count);
        let most = Duration::from_nanos(u64::MAX / 5);
        for (per, count) in [(most, 5), (most, 6), (Duration::from_nanos(u64::MAX), 1), (SECOND, u32::MAX)] {
            let exact = per.as_nanos() * u128::from(count) / 3;
            assert_eq!(times(per, count).as_nanos(), exact.min(u64::MAX.into()), "{per:?} {count}");
        }
        assert_eq!(times(Duration::MAX, u32::MAX), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn of_bytes_none_is_lost_to_rounding() {
        let (rate, mut full_at) = (Rate::new(u32::MAX, SECOND), Time::ZERO);
        charge(&mut full_at, Time::ZERO, rate, u32::MAX);
        assert_eq!(full_at, Time::ZERO + SECOND);
    }
}
