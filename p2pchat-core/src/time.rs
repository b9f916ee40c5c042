//! The machines' clock.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

/// A moment on a monotonic clock: microseconds since an origin that the machine's owner chose.
///
/// 64 bits of microseconds last 584,000 years, so nothing wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The moment `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it isn't.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", Duration::from_micros(self.0).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_moments_is_never_negative() {
        let (earlier, later) = (Time::from_micros(1_500_000), Time::from_micros(4_000_000));
        assert_eq!(later - earlier, Duration::from_millis(2_500));
        assert_eq!(earlier - later, Duration::ZERO);
        assert_eq!(earlier + Duration::from_millis(2_500), later);
        assert_eq!((later.as_micros(), later.to_string().as_str()), (4_000_000, "4.000 s"));
    }
}
