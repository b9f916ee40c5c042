//! Deadlines that mostly move back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::time::Time;

/// One deadline a key.
///
/// Keep-alives push a deadline back far more often than one is reached, so moving back only notes the new deadline,
/// O(log n) to find the key; the queue is corrected when the old one comes up. Moving forward, and taking what is due,
/// is O(log n). The queue has exactly one entry a key, whatever a remote side does.
pub(crate) struct Timers<K> {
    queue: BTreeSet<(Time, K)>,
    deadlines: BTreeMap<K, Deadline>,
}

struct Deadline {
    due: Time,
    /// Where the key stands in the queue: never later than `due`.
    queued: Time,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { queue: BTreeSet::new(), deadlines: BTreeMap::new() }
    }

    /// Sets `key`'s deadline, replacing the one it had.
    pub(crate) fn set(&mut self, key: K, due: Time) {
        let deadline = self.deadlines.entry(key).or_insert_with(|| {
            self.queue.insert((due, key));
            Deadline { due, queued: due }
        });
        if due < deadline.queued {
            self.queue.remove(&(deadline.queued, key));
            self.queue.insert((due, key));
            deadline.queued = due;
        }
        deadline.due = due;
    }

    /// The deadline that `key` has.
    pub(crate) fn get(&self, key: K) -> Option<Time> {
        self.deadlines.get(&key).map(|deadline| deadline.due)
    }

    /// Takes `key`'s deadline away.
    pub(crate) fn cancel(&mut self, key: K) {
        if let Some(deadline) = self.deadlines.remove(&key) {
            self.queue.remove(&(deadline.queued, key));
        }
    }

    /// When to call [`pop_due`](Self::pop_due) next. May be earlier than the earliest deadline, never later.
    pub(crate) fn next(&self) -> Option<Time> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Takes one key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<K> {
        while let Some(&(at, key)) = self.queue.first()
            && at <= now
        {
            self.queue.pop_first();
            match self.deadlines.get_mut(&key) {
                Some(deadline) if deadline.due > now => {
                    deadline.queued = deadline.due;
                    self.queue.insert((deadline.due, key));
                }
                _ => {
                    self.deadlines.remove(&key);
                    return Some(key);
                }
            }
        }
        None
    }
}

impl<K> fmt::Debug for Timers<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("len", &self.deadlines.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn a_deadline_that_moves_is_due_once_at_its_last_place() {
        let mut timers = Timers::new();
        timers.set('a', at(10));
        timers.set('a', at(30));
        assert_eq!(timers.next(), Some(at(10)), "moving back leaves the queue alone");
        assert_eq!(timers.pop_due(at(10)), None);
        assert_eq!(timers.next(), Some(at(30)));
        timers.set('a', at(20));
        timers.set('b', at(15));
        assert_eq!(timers.pop_due(at(20)), Some('b'));
        assert_eq!(timers.pop_due(at(20)), Some('a'));
        assert_eq!((timers.pop_due(at(99)), timers.next()), (None, None));
    }

    #[test]
    fn a_cancelled_deadline_never_comes_and_leaves_nothing() {
        let mut timers = Timers::new();
        for round in 0..100 {
            timers.set('a', at(1000 - round));
            timers.set('a', at(2000 + round));
            assert_eq!(timers.queue.len(), 1);
            assert_eq!(format!("{timers:?}"), "Timers { len: 1, .. }");
        }
        timers.cancel('a');
        assert_eq!((timers.next(), timers.pop_due(at(9999))), (None, None));
    }
}
