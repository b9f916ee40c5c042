//! When sessions end unless they are kept alive.
//!
//! A keep-alive comes far more often than a session ends, so one that moves the end back only notes that with the session,
//! which it has in hand. The queue is corrected when the earlier end comes up. It has exactly one entry a session, whatever a
//! remote side does.

use std::collections::BTreeSet;

use super::ConnId;
use crate::time::Time;

/// The order in which sessions are looked at again.
#[derive(Debug, Default)]
pub(super) struct Leases {
    queue: BTreeSet<(Time, ConnId)>,
}

/// A session's end, which is kept with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    due: Time,
    /// Where it stands in the queue: never later than `due`.
    queued: Time,
}

impl End {
    /// When the session ends.
    pub(super) fn due(self) -> Time {
        self.due
    }
}

impl Leases {
    /// A session has begun at `conn`.
    pub(super) fn begin(&mut self, conn: ConnId, due: Time) -> End {
        self.queue.insert((due, conn));
        End { due, queued: due }
    }

    /// It ends at `due` instead.
    pub(super) fn renew(&mut self, conn: ConnId, end: &mut End, due: Time) {
        if due < end.queued {
            self.cancel(conn, *end);
            *end = self.begin(conn, due);
        }
        end.due = due;
    }

    /// It has ended by itself.
    pub(super) fn cancel(&mut self, conn: ConnId, end: End) {
        self.queue.remove(&(end.queued, conn));
    }

    /// When to call [`next_due`](Self::next_due) next. May be earlier than the first end, never later.
    pub(super) fn next(&self) -> Option<Time> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Takes one session out of the queue whose end may have come. If it hasn't, it belongs there again, as if it had
    /// [begun](Self::begin).
    pub(super) fn pop(&mut self, now: Time) -> Option<ConnId> {
        let &(at, _) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first().map(|(_, conn)| conn)
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    fn conns() -> (ConnId, ConnId) {
        let mut conns = SlotMap::with_key();
        (conns.insert(()), conns.insert(()))
    }

    #[test]
    fn an_end_that_moves_back_is_looked_at_where_it_was_and_comes_at_its_last_place() {
        let (a, b) = conns();
        let mut leases = Leases::default();
        let mut end = leases.begin(a, at(10));
        leases.renew(a, &mut end, at(30));
        assert_eq!((leases.next(), end.due()), (Some(at(10)), at(30)));
        assert_eq!((leases.pop(at(9)), leases.pop(at(10)), leases.next()), (None, Some(a), None));
        end = leases.begin(a, end.due());
        leases.renew(a, &mut end, at(20));
        leases.begin(b, at(15));
        assert_eq!([leases.pop(at(20)), leases.pop(at(20)), leases.pop(at(99))], [Some(b), Some(a), None]);
    }

    #[test]
    fn a_session_has_one_entry_however_its_end_moves_and_none_once_it_is_over() {
        let (a, _) = conns();
        let mut leases = Leases::default();
        let mut end = leases.begin(a, at(5000));
        for round in 0..100 {
            leases.renew(a, &mut end, at(1000 - round));
            leases.renew(a, &mut end, at(2000 + round));
            assert_eq!(leases.queue.len(), 1);
        }
        leases.cancel(a, end);
        assert_eq!((leases.next(), leases.pop(at(9999))), (None, None));
    }
}
