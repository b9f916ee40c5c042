//! What both ends do when no stream can be accepted, as for want of file descriptors.

use std::{io, time::Duration};

use tokio::time::{Instant, sleep};

use super::clock::Clock;

/// Long enough for streams to end.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the log is told: whoever takes all descriptors must not fill the disk as well.
const TELL: Duration = Duration::from_secs(60);

/// A listener's failures.
#[derive(Debug)]
pub(super) struct AcceptFailures {
    clock: Clock,
    told: Option<Instant>,
    /// Since the log was told.
    failures: u64,
}

impl AcceptFailures {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, told: None, failures: 0 }
    }

    /// Waits before the next attempt, and says why, at most once a minute.
    pub(super) async fn pause(&mut self, error: &io::Error, what: &'static str) {
        self.failures += 1;
        let now = self.clock.instant_now();
        if self.told.is_none_or(|told| now - told >= TELL) {
            tracing::warn!(%error, failures = self.failures, "can't accept a {what}");
            (self.told, self.failures) = (Some(now), 0);
        }
        sleep(PAUSE).await;
    }
}
