//! Whether event loop and machine answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often they are asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long they may take before they count as stuck.
const LIMIT: Duration = Duration::from_secs(5);

/// When they have answered last.
#[derive(Debug)]
pub(super) struct Pulse {
    origin: Instant,
    /// In milliseconds after `origin`.
    last: AtomicU64,
}

impl Pulse {
    /// As if they had just answered.
    #[allow(clippy::disallowed_methods, reason = "the daemon owns the clock")]
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Asks them for ever. `answers` returns once the machine has answered, and is called on the event loop.
    pub(super) async fn beat(&self, answers: impl Fn()) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            answers();
            self.last.store(self.millis(), Ordering::Relaxed);
        }
    }

    pub(super) fn is_there(&self) -> bool {
        let silent = self.millis().saturating_sub(self.last.load(Ordering::Relaxed));
        Duration::from_millis(silent) <= LIMIT
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_there_while_it_beats_and_for_a_while_after() {
        let pulse = Pulse::new();
        assert!(tokio::time::timeout(Duration::from_secs(3_600), pulse.beat(|| {})).await.is_err());
        assert!(pulse.is_there());
        sleep(LIMIT - EVERY).await;
        assert!(pulse.is_there());
        sleep(2 * EVERY).await;
        assert!(!pulse.is_there());
        assert!(tokio::time::timeout(2 * EVERY, pulse.beat(|| {})).await.is_err());
        assert!(pulse.is_there());
    }
}
