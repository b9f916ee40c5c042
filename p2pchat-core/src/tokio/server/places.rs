//! A bounded number of places, and who has one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many may do something at once.
#[derive(Debug)]
pub(super) struct Places {
    limit: AtomicUsize,
    taken: Arc<AtomicUsize>,
    most: AtomicUsize,
}

/// Somebody's place, free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), taken: Arc::default(), most: AtomicUsize::new(0) }
    }

    /// `None` if all are taken.
    pub(super) fn take(&self) -> Option<Place> {
        let another = |taken| (taken < self.limit()).then_some(taken + 1);
        let before = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).ok()?;
        self.most.fetch_max(before + 1, Ordering::Relaxed);
        Some(Place(self.taken.clone()))
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Who has a place keeps it.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The most that were taken at once.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are_and_each_is_free_again() {
        let places = Places::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        assert!(places.take().is_none());
        drop(first);
        assert_eq!((places.taken(), places.most()), (1, 2));
        let third = places.take().unwrap();
        assert!(places.take().is_none());
        places.set_limit(3);
        let fourth = places.take().unwrap();
        places.set_limit(1);
        assert!(places.take().is_none());
        drop((second, third));
        assert!(places.take().is_none(), "one is taken");
        drop(fourth);
        assert_eq!((places.taken(), places.most()), (0, 3));
    }
}
