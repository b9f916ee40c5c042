//! What a line is: what was said on it and heard, apart from what is done about it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroU64,
    time::Duration,
};

use p2pchat_proto::{Number, RoomName, Text};

use crate::{
    peer::{Receipt, RequestError, RequestId, StreamId, messages::Kind},
    time::Time,
};

/// How many numbers are remembered that may come again and were refused, or not decided on.
const REMEMBERED: usize = 1_024;
/// How many runs that have ended are remembered.
const ENDED: usize = 16;

/// What belongs to a user, whatever stream it goes by.
#[derive(Debug, Default)]
pub(in crate::peer) struct Line {
    /// The stream that is spoken on.
    pub(in crate::peer) carrier: Option<StreamId>,
    /// There is a chat, also while there is no stream.
    pub(in crate::peer) chat: bool,
    /// They know what to do with files (§7.15).
    pub(in crate::peer) files: bool,
    /// When something was last said, by either.
    pub(super) talked: Option<Time>,
    /// Since when, or since when there is none.
    pub(super) since: Time,
    /// There are two streams, one of which is to go once nothing is on its way there.
    pub(in crate::peer) is_double: bool,
    /// Since when there is no stream, although there was one or one is needed.
    pub(super) lost: Option<Time>,
    /// When it is looked for again.
    pub(super) again: Option<Time>,
    /// Why there is none.
    pub(super) reason: Option<RequestError>,
    /// Where our count began: a number that no other line has, nor this one after a new login.
    pub(super) our_run: u64,
    /// How many we have numbered.
    pub(super) said: u64,
    /// Ours, not confirmed yet, in order.
    pub(super) unconfirmed: VecDeque<Kept>,
    /// The last that were given up after they had been said.
    pub(super) given_up: VecDeque<Kept>,
    /// Their run, and the last before it, from which something may still be on its way.
    pub(super) run: Option<u64>,
    pub(super) ended: VecDeque<u64>,
    /// The stream that their run was first heard on.
    pub(super) begun: Option<StreamId>,
    /// The highest number of theirs. While nothing has come, what is before the first one is nobody's loss: it may have been
    /// shown by the program that was here before.
    pub(super) heard: u64,
    pub(super) fresh: bool,
    /// Of those up to that: what was refused,
    pub(super) refused: BTreeSet<u64>,
    /// what came and was neither taken nor refused before its stream ended,
    pub(super) undecided: BTreeSet<u64>,
    /// what never came,
    pub(super) missing: BTreeSet<u64>,
    /// and what isn't confirmed yet.
    pub(super) pending: BTreeMap<u64, (Receipt, StreamId)>,
}

/// A message of ours.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) time: u64,
    /// It has one from when it is first said on a stream. Without one it can't have arrived, and nothing is missing if it never
    /// gets one.
    pub(super) sequence: Option<NonZeroU64>,
    pub(super) said: Said,
    /// Who waits for it; nobody once it was given up.
    pub(super) request: Option<RequestId>,
    pub(super) until: Time,
}

impl Kept {
    pub(super) const fn number(&self, sequence: NonZeroU64) -> Number {
        Number { id: self.id, sequence, time: self.time }
    }
}

#[derive(Debug, Clone)]
pub(in crate::peer) enum Said {
    Direct(Text),
    Broadcast(RoomName, Text),
}

impl Said {
    pub(in crate::peer) const fn kind(&self) -> Kind {
        match self {
            Self::Direct(_) => Kind::Direct,
            Self::Broadcast(..) => Kind::Broadcast,
        }
    }

    pub(in crate::peer) const fn text(&self) -> &Text {
        match self {
            Self::Direct(text) | Self::Broadcast(_, text) => text,
        }
    }

    pub(super) fn room(self) -> Option<RoomName> {
        match self {
            Self::Direct(_) => None,
            Self::Broadcast(room, _) => Some(room),
        }
    }
}

/// What a number says of a message that came.
pub(in crate::peer) enum Arrival {
    New {
        late: bool,
    },
    /// It came before. The application may still have to confirm it.
    Had(Option<(Receipt, StreamId)>),
    /// It came before, and was refused.
    Refused,
}

impl Line {
    /// Takes the next number.
    pub(super) const fn next_number(&mut self) -> NonZeroU64 {
        let next = NonZeroU64::MIN.saturating_add(self.said);
        self.said = next.get();
        next
    }

    /// Numbers what waits to be said on a stream, and tells all that has to be.
    pub(super) fn say_all(&mut self) -> Vec<(Number, Said)> {
        let mut unconfirmed = std::mem::take(&mut self.unconfirmed);
        let all = unconfirmed.iter_mut().map(|kept| {
            let sequence = *kept.sequence.get_or_insert_with(|| self.next_number());
            (kept.number(sequence), kept.said.clone())
        });
        let all = all.collect();
        self.unconfirmed = unconfirmed;
        all
    }

    /// Which commands wait for the confirmation of what was said, and under what id.
    pub(in crate::peer) fn said_and_unconfirmed(&self) -> impl Iterator<Item = (RequestId, Option<u64>)> {
        let said = self.unconfirmed.iter().filter(|kept| kept.sequence.is_some());
        said.filter_map(|kept| Some((kept.request?, Some(kept.id))))
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.chat || !self.unconfirmed.is_empty()
    }

    /// There is a stream for what is said now, or one is looked for.
    pub(in crate::peer) fn goes_on(&self) -> bool {
        self.carrier.is_some() || self.is_wanted()
    }

    /// When something has to be done about it.
    pub(super) fn due(&self) -> Option<Time> {
        // Later ones have longer.
        let oldest = self.unconfirmed.front().map(|kept| kept.until);
        [oldest, self.again].into_iter().flatten().min()
    }

    /// Whether something was said just now.
    pub(in crate::peer) fn is_talking(&self, now: Time) -> bool {
        const JUST_NOW: Duration = Duration::from_secs(1);
        self.talked.is_some_and(|talked| now.since(talked) < JUST_NOW)
    }

    pub(in crate::peer) fn refused(&mut self, number: NonZeroU64) {
        self.pending.remove(&number.get());
        remember(&mut self.refused, number.get());
    }

    pub(in crate::peer) fn undecided(&mut self, number: NonZeroU64) {
        self.pending.remove(&number.get());
        remember(&mut self.undecided, number.get());
    }

    /// The application has what it was handed under this receipt, which may be of an earlier run.
    pub(in crate::peer) fn confirmed(&mut self, number: NonZeroU64, receipt: Receipt) {
        if self.pending.get(&number.get()).is_some_and(|(pending, _)| *pending == receipt) {
            self.pending.remove(&number.get());
        }
    }

    pub(in crate::peer) fn owes(&mut self, number: NonZeroU64, receipt: Receipt, stream: StreamId) {
        self.pending.insert(number.get(), (receipt, stream));
    }

    pub(in crate::peer) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn arrival(&mut self, number: u64) -> Arrival {
        if number > self.heard {
            self.heard = number;
            Arrival::New { late: false }
        } else if self.missing.remove(&number) {
            Arrival::New { late: true }
        } else if self.undecided.remove(&number) {
            Arrival::New { late: false }
        } else if self.refused.contains(&number) {
            Arrival::Refused
        } else {
            Arrival::Had(self.pending.get(&number).copied())
        }
    }

    /// Whether this run of theirs is over, or never began here: what was said on a stream before the one that the present run
    /// began on has only taken longer.
    pub(super) fn is_over(&self, run: u64, id: StreamId) -> bool {
        self.ended.contains(&run) || self.run != Some(run) && self.begun.is_some_and(|begun| id < begun)
    }

    /// Theirs begin anew, on this stream, before this number.
    pub(super) fn begin(&mut self, run: u64, id: StreamId, next: u64) {
        self.begun = Some(id);
        self.ended.extend(self.run.replace(run));
        if self.ended.len() > ENDED {
            self.ended.pop_front();
        }
        (self.heard, self.fresh) = (next - 1, true);
        self.refused.clear();
        self.undecided.clear();
        self.missing.clear();
        self.pending.clear();
        // What may have been shown before must not be shown now.
        self.given_up.clear();
    }
}

pub(super) fn remember(numbers: &mut BTreeSet<u64>, number: u64) {
    numbers.insert(number);
    if numbers.len() > REMEMBERED {
        numbers.pop_first();
    }
}
