//! Whether the machine let both processes run: who gets no processor for seconds can't keep a session alive, and that is
//! nobody's fault here.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// How often it is asked.
const TICK: Duration = Duration::from_secs(1);
/// A thread that was ready to run and had to wait for so much of the time is starved.
const SHARE: f64 = 0.8;
/// How long it takes until a lost session shows, and is back.
const AFTERMATH: Duration = Duration::from_secs(60);

/// Watches from a thread of its own.
#[derive(Debug, Default)]
pub(crate) struct Starved {
    last: Mutex<Option<Instant>>,
    millis: AtomicU64,
}

impl Starved {
    /// Goes on until nobody asks any more.
    #[allow(clippy::disallowed_methods)] // pausing and measuring is what it is for
    pub(crate) fn watch(processes: [u32; 2]) -> Arc<Self> {
        let starved = Arc::new(Self::default());
        let watching = Arc::downgrade(&starved);
        thread::spawn(move || {
            let (mut begin, mut before) = (Instant::now(), waits(processes));
            loop {
                thread::sleep(TICK);
                let Some(starved) = watching.upgrade() else { return };
                let (now, after) = (Instant::now(), waits(processes));
                let took = now - begin;
                let waited =
                    |(task, wait): (&String, &u64)| wait - before.get(task).unwrap_or(wait).min(wait);
                let longest = Duration::from_nanos(after.iter().map(waited).max().unwrap_or_default());
                // A tick that took twice as long was itself kept waiting, or the whole machine stood still.
                if longest > took.mul_f64(SHARE) || took > TICK * 2 {
                    *starved.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
                    starved.millis.fetch_add(took.as_millis() as u64, Relaxed);
                }
                (begin, before) = (now, after);
            }
        });
        starved
    }

    /// For how long, all in all.
    pub(crate) fn seconds(&self) -> f64 {
        self.millis.load(Relaxed) as f64 / 1000.0
    }

    /// Now, or so shortly ago that its consequences aren't over.
    pub(crate) fn is_felt(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < AFTERMATH)
    }
}

/// How long each thread has waited for a processor so far, in nanoseconds.
fn waits(processes: [u32; 2]) -> HashMap<String, u64> {
    let mut waits = HashMap::new();
    for process in processes {
        let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for task in tasks.flatten() {
            let path = task.path().join("schedstat");
            // A thread may end at any time, and not every kernel counts this.
            let wait = fs::read_to_string(&path).ok();
            let wait = wait.and_then(|line| line.split(' ').nth(1)?.trim().parse().ok());
            if let Some(wait) = wait {
                waits.insert(path.to_string_lossy().into_owned(), wait);
            }
        }
    }
    waits
}
