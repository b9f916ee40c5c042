//! What was done, how long look-ups took, and what went wrong.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// More errors than this are counted, not told.
const TOLD: u64 = 30;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    acts: Mutex<BTreeMap<&'static str, u64>>,
    /// Answers, texts and pushes that came.
    operations: AtomicU64,
    texts: AtomicU64,
    errors: AtomicU64,
    excused: AtomicU64,
    /// The first errors.
    told: Mutex<Vec<String>>,
    /// In microseconds, since they were last taken.
    lookups: Mutex<Vec<u32>>,
}

impl Tally {
    pub(crate) fn act(&self, name: &'static str) {
        *self.acts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    pub(crate) fn operation(&self) {
        self.operations.fetch_add(1, Relaxed);
    }

    /// A text has been heard.
    pub(crate) fn text(&self) {
        self.texts.fetch_add(1, Relaxed);
        self.operation();
    }

    pub(crate) fn lookup(&self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
        self.operation();
    }

    pub(crate) fn error(&self, what: &str) {
        let so_far = self.errors.fetch_add(1, Relaxed) + 1;
        if so_far <= TOLD {
            println!("error {so_far}: {what}");
            self.told.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_owned());
        }
    }

    /// Something went wrong while the machine let nobody run.
    pub(crate) fn excused(&self, what: &str) {
        let so_far = self.excused.fetch_add(1, Relaxed) + 1;
        if so_far <= TOLD {
            println!("while starved {so_far}: {what}");
        }
    }

    pub(crate) fn acts(&self) -> BTreeMap<&'static str, u64> {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Relaxed)
    }

    pub(crate) fn texts(&self) -> u64 {
        self.texts.load(Relaxed)
    }

    pub(crate) fn all_excused(&self) -> u64 {
        self.excused.load(Relaxed)
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// The first of them.
    pub(crate) fn first_errors(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Median and 99th percentile of the look-ups since the last call, in milliseconds; 0 of none.
    pub(crate) fn take_lookups(&self) -> (f64, f64) {
        let mut lookups = std::mem::take(&mut *self.lookups.lock().unwrap_or_else(PoisonError::into_inner));
        lookups.sort_unstable();
        let at = |share: usize| {
            let index = (lookups.len() * share / 100).min(lookups.len().saturating_sub(1));
            lookups.get(index).map_or(0.0, |&micros| f64::from(micros) / 1000.0)
        };
        (at(50), at(99))
    }
}
