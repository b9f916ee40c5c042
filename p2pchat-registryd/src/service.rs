//! What a service manager is told (sd_notify(3)). Without one, nothing is.

use std::{sync::Once, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::monitor::Monitor;

/// How often the manager is told how many there are.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// Peers can connect.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Settings are read anew; [`reloaded`] says when that is over.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "can't tell the service manager of a reload"),
    }
}

/// That is over, and so it is now.
pub(crate) fn reloaded(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The registry is about to end, which is told once, whoever wants it to.
pub(crate) fn stopping() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| tell(&[NotifyState::Stopping, NotifyState::Status("telling the peers")]));
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "can't tell the service manager");
    }
}

/// Tells the manager, for ever, how the registry is doing, and that it is alive while it is.
pub(crate) async fn keep_told(monitor: &Monitor) {
    tokio::join!(
        keep_status(monitor),
        feed(sd_notify::watchdog_enabled(), || monitor.is_alive(), || tell(&[NotifyState::Watchdog]))
    );
}

async fn keep_status(monitor: &Monitor) {
    let (mut ticks, mut told) = (interval(STATUS_EVERY), String::new());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let status = monitor.status();
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
    }
}

/// Feeds the watchdog that bites after `limit`, while the registry is alive.
async fn feed(limit: Option<Duration>, is_alive: impl Fn() -> bool, feed: impl Fn()) {
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else { return };
    let mut ticks = interval(limit / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if is_alive() {
            feed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_often_enough_while_the_registry_is_alive_and_no_longer() {
        let (is_alive, fed) = (Cell::new(true), Cell::new(0));
        let run = || {
            let feeding = feed(Some(Duration::from_secs(30)), || is_alive.get(), || fed.set(fed.get() + 1));
            timeout(Duration::from_secs(299), feeding)
        };
        assert!(run().await.is_err());
        assert_eq!(fed.get(), 30);
        is_alive.set(false);
        assert!(run().await.is_err());
        assert_eq!(fed.get(), 30);
        // Without a watchdog there is nothing to do.
        feed(None, || true, || fed.set(0)).await;
        assert_eq!(fed.get(), 30);
    }
}
