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
/// is O(log n). The queue has at most one entry a key, whatever a remote side does.
///
/// Who has a key's other facts at hand keeps its [`Deadline`] there, and needn't have it found.
pub(crate) struct Timers<K> {
    queue: BTreeSet<(Time, K)>,
    deadlines: BTreeMap<K, Deadline>,
}

/// What is known of one key's deadline.
#[derive(Debug)]
pub(crate) struct Deadline {
    due: Time,
    /// Where the key stands in the queue, never later than `due`; [`NEVER`] if it doesn't stand there.
    queued: Time,
}

/// The last moment there is.
const NEVER: Time = Time::from_micros(u64::MAX);

impl Default for Deadline {
    fn default() -> Self {
        Self { due: NEVER, queued: NEVER }
    }
}

impl Deadline {
    /// It doesn't come. Its place in the queue stays for the next one.
    pub(crate) const fn clear(&mut self) {
        self.due = NEVER;
    }

    fn set<K: Ord + Copy>(&mut self, queue: &mut BTreeSet<(Time, K)>, key: K, due: Time) {
        self.due = due;
        if due < self.queued {
            self.leave(queue, key);
            self.queued = due;
            queue.insert((due, key));
        }
    }

    fn leave<K: Ord>(&mut self, queue: &mut BTreeSet<(Time, K)>, key: K) {
        if self.queued != NEVER {
            queue.remove(&(self.queued, key));
            self.queued = NEVER;
        }
    }

    /// Its place in the queue has come up. True if it has come itself; where it was put off, it has a new place.
    fn has_come<K: Ord + Copy>(&mut self, queue: &mut BTreeSet<(Time, K)>, key: K, now: Time) -> bool {
        self.queued = NEVER;
        let due = std::mem::replace(&mut self.due, NEVER);
        if due > now {
            self.set(queue, key, due);
        }
        due <= now
    }
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { queue: BTreeSet::new(), deadlines: BTreeMap::new() }
    }

    /// Sets `key`'s deadline, replacing the one it had.
    pub(crate) fn set(&mut self, key: K, due: Time) {
        self.deadlines.entry(key).or_default().set(&mut self.queue, key, due);
    }

    /// The same of a deadline that its owner keeps. That is to be the key's only one, and [taken out](Self::cancel_kept) before
    /// it is dropped.
    pub(crate) fn set_kept(&mut self, deadline: &mut Deadline, key: K, due: Time) {
        debug_assert!(!self.deadlines.contains_key(&key), "two deadlines for one key");
        deadline.set(&mut self.queue, key, due);
    }

    /// The deadline that `key` has.
    pub(crate) fn get(&self, key: K) -> Option<Time> {
        self.deadlines.get(&key).map(|deadline| deadline.due)
    }

    /// Takes `key`'s deadline away.
    pub(crate) fn cancel(&mut self, key: K) {
        if let Some(mut deadline) = self.deadlines.remove(&key) {
            deadline.leave(&mut self.queue, key);
        }
    }

    /// The same of a deadline that its owner is about to drop.
    pub(crate) fn cancel_kept(&mut self, deadline: &mut Deadline, key: K) {
        deadline.clear();
        deadline.leave(&mut self.queue, key);
    }

    /// When to call [`pop_due`](Self::pop_due) next. May be earlier than the earliest deadline, never later.
    pub(crate) fn next(&self) -> Option<Time> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Takes one key whose deadline has come. Of a deadline that its owner keeps, [`has_come`](Self::has_come) says whether it has.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<K> {
        while let Some(&(at, key)) = self.queue.first()
            && at <= now
        {
            self.queue.pop_first();
            if let Some(deadline) = self.deadlines.get_mut(&key) {
                if !deadline.has_come(&mut self.queue, key, now) {
                    continue;
                }
                self.deadlines.remove(&key);
            }
            return Some(key);
        }
        None
    }

    /// Whether a deadline has come that its owner keeps, and that [`pop_due`](Self::pop_due) has taken: it may have been put
    /// off or cleared.
    pub(crate) fn has_come(&mut self, deadline: &mut Deadline, key: K, now: Time) -> bool {
        deadline.has_come(&mut self.queue, key, now)
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

    #[test]
    fn a_deadline_that_its_owner_keeps_comes_as_any_other() {
        let (mut timers, mut kept) = (Timers::new(), Deadline::default());
        timers.set('b', at(15));
        for due in [at(30), at(20), at(40)] {
            timers.set_kept(&mut kept, 'a', due);
        }
        assert_eq!(timers.pop_due(at(20)), Some('b'));
        assert_eq!(timers.pop_due(at(20)), Some('a'));
        assert!(!timers.has_come(&mut kept, 'a', at(20)), "it was put off");
        assert_eq!((timers.next(), timers.pop_due(at(40))), (Some(at(40)), Some('a')));
        assert!(timers.has_come(&mut kept, 'a', at(40)));
        assert_eq!(timers.next(), None);

        timers.set_kept(&mut kept, 'a', at(50));
        kept.clear();
        assert_eq!(timers.pop_due(at(50)), Some('a'));
        assert!(!timers.has_come(&mut kept, 'a', at(50)), "it was cleared");
        assert_eq!(timers.next(), None);

        for round in 0..100 {
            kept.clear();
            timers.set_kept(&mut kept, 'a', at(1000 - round));
            assert_eq!(timers.queue.len(), 1);
        }
        timers.cancel_kept(&mut kept, 'a');
        assert_eq!((timers.next(), timers.pop_due(at(9999))), (None, None));
    }
}
