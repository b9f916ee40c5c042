//! The one place that reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::Time;

/// Turns tokio's clock, which a test or simulator may stop and push, into the machines' [`Time`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods)]
    pub(super) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(super) fn now(&self) -> Time {
        self.time(self.instant_now())
    }

    /// Now, as tokio's timers count.
    #[allow(clippy::disallowed_methods)]
    pub(super) fn instant_now(&self) -> Instant {
        Instant::now()
    }

    /// A moment of tokio's clock on the machine's.
    pub(super) fn time(&self, instant: Instant) -> Time {
        Time::ZERO + instant.saturating_duration_since(self.origin)
    }

    /// Now, in seconds since 1970.
    pub(super) fn unix_now(&self) -> u64 {
        self.since_1970().as_secs()
    }

    /// What the calendar's clock shows.
    #[allow(clippy::disallowed_methods)]
    pub(super) fn since_1970(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// A moment that the calendar's clock will show, in seconds since 1970, on the machine's: whatever is done to the
    /// calendar's clock from now on.
    pub(super) fn time_at(&self, unix: u64) -> Time {
        self.now() + Duration::from_secs(unix.saturating_sub(self.unix_now()))
    }

    /// When a machine's deadline is, as tokio's timers count. Rounded up: a timer that fires early finds nothing due.
    pub(super) fn instant(&self, time: Time) -> Instant {
        self.origin + time.since(Time::ZERO) + Duration::from_micros(1)
    }
}
