//! How a store is doing, for monitoring.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use p2pchat_core::registry::store::{StoreError, Table};
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{THREADS, engine::Engine};

/// 0.25 ms to 10 s.
const BOUNDS: [f64; 15] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How long a thread may be at work before the store counts as hanging: longer than a slow disk takes at its worst, and less
/// than clients wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the writer has to tell, and the file itself.
#[derive(Clone)]
pub(crate) struct StoreHealth {
    /// Whoever looks at a store doesn't keep its file open.
    engine: Weak<Engine>,
    fault: Arc<Mutex<Option<StoreError>>>,
    /// Since when each of the store's threads is at work on what it was asked; `None` while it waits.
    working: Arc<[Mutex<Option<Instant>>]>,
    /// [`PATIENCE`], save in tests.
    pub(super) patience: Duration,
    /// How long transactions took that changed something, or were to.
    pub(crate) commits: Histogram,
    /// How many writes were answered by them.
    pub(crate) writes: Counter,
    /// How many failed.
    pub(crate) failures: Counter,
}

impl StoreHealth {
    pub(super) fn new(engine: &Arc<Engine>) -> Self {
        Self {
            engine: Arc::downgrade(engine),
            fault: Arc::default(),
            patience: PATIENCE,
            working: (0..THREADS).map(|_| Mutex::default()).collect(),
            commits: Histogram::new(BOUNDS),
            writes: Counter::default(),
            failures: Counter::default(),
        }
    }

    /// Why the last attempt to write has failed, if it has.
    pub(crate) fn fault(&self) -> Option<StoreError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How large the file is, in bytes.
    pub(crate) fn size(&self) -> io::Result<u64> {
        self.engine.upgrade().ok_or(io::ErrorKind::NotConnected)?.size()
    }

    /// How many entries each table has.
    pub(crate) fn entries(&self) -> Result<Vec<(Table, u64)>, StoreError> {
        let closed = || StoreError::Engine("it is closed".into());
        self.engine.upgrade().ok_or_else(closed)?.entries()
    }

    /// For how long the thread has been at work that has been longest, which is milliseconds unless the disk hangs.
    pub(crate) fn working_for(&self) -> Duration {
        let since = |thread: &Mutex<Option<Instant>>| *thread.lock().unwrap_or_else(PoisonError::into_inner);
        self.working.iter().filter_map(since).map(|since| since.elapsed()).max().unwrap_or_default()
    }

    /// The same, if that is too long: whoever asks the store then may have to wait for ever.
    pub(crate) fn hangs_for(&self) -> Option<Duration> {
        Some(self.working_for()).filter(|&working| working > self.patience)
    }

    /// Has a thread be at work while `run` runs.
    #[allow(clippy::disallowed_methods, reason = "a disk's time is the real one")]
    pub(super) fn at_work<T>(&self, thread: usize, run: impl FnOnce() -> T) -> T {
        let set = |since| {
            if let Some(working) = self.working.get(thread) {
                *working.lock().unwrap_or_else(PoisonError::into_inner) = since;
            }
        };
        set(Some(Instant::now()));
        let done = run();
        set(None);
        done
    }

    #[allow(clippy::disallowed_methods, reason = "a disk's time is the real one")]
    pub(super) fn timed<T>(&self, run: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = run();
        self.commits.observe(begun.elapsed().as_secs_f64());
        done
    }

    /// So many were answered. Where nothing was changed, that says nothing of whether it can be.
    pub(super) fn answered(&self, writes: usize, changed: bool) {
        self.writes.inc_by(u64::try_from(writes).unwrap_or(u64::MAX));
        if changed {
            self.written();
        }
    }

    pub(super) fn written(&self) {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(error) = fault {
            tracing::info!(last = %error, "the store can be written to again");
        }
    }

    pub(super) fn failed(&self, error: StoreError) {
        self.failures.inc();
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl fmt::Debug for StoreHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreHealth").field("fault", &self.fault()).finish_non_exhaustive()
    }
}
