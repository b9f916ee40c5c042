//! What was said and what became of it, as three users saw it: a list, and the rules that it is held to.

use std::{collections::BTreeMap, time::Duration};

use p2pchat_core::{
    Time,
    peer::{Event, Place, Receipt, RequestError, RequestId, Response},
};
use p2pchat_proto::{RoomName, Text, Username};

pub(crate) const NAMES: [&str; 3] = ["alice", "bob", "carol"];

fn number(name: &Username) -> usize {
    NAMES.iter().position(|known| *known == name.as_str()).unwrap()
}

#[derive(Default)]
pub(crate) struct Ledger {
    said: Vec<Said>,
    /// How often each has begun anew, and how much had been said before.
    runs: [usize; 3],
    since: [usize; 3],
    ways: BTreeMap<(usize, usize), Way>,
    /// What each has been handed and hasn't confirmed, and which message that is.
    handed: [Vec<(Receipt, usize)>; 3],
    /// With whom each is in a chat, as they were told.
    chats: [Vec<usize>; 3],
    is_quiet: bool,
    /// Few may be on their way at once, and more are refused.
    is_tight: bool,
}

#[derive(Debug)]
struct Said {
    by: usize,
    run: usize,
    to: Option<usize>,
    words: String,
    /// By the clock, in milliseconds: no two were said at once.
    time: u64,
    command: RequestId,
    /// As the first who was shown it was told.
    id: Option<u64>,
    fates: [Fate; 3],
}

/// What became of a message for one of those whom it was for.
#[derive(Debug, Default, Clone)]
struct Fate {
    shown: bool,
    confirmed: bool,
    /// What its sender was told: whether it was delivered, and that it was after all.
    told: Option<bool>,
    arrived: bool,
    /// The sender was told that it isn't at the receiver and never will be,
    denied: bool,
    /// and that not even the attempt was made: it has no number.
    unsaid: bool,
    /// It was shown after everything had become whole for good.
    quietly: bool,
}

/// What one has been shown of another's, in one run of both.
#[derive(Default)]
struct Way {
    runs: (usize, usize),
    /// By number, which message it was.
    shown: BTreeMap<u64, usize>,
    /// The first and the last that didn't come late.
    ends: Option<(u64, u64)>,
    /// How many were missed since.
    missed: u64,
    /// How many were since who missed them began anew,
    missed_in_run: u64,
    /// and in all, and how many of them came late.
    all_missed: u64,
    late: u64,
}

impl Said {
    fn is_for(&self, node: usize) -> bool {
        node != self.by && self.to.is_none_or(|to| to == node)
    }
}

impl Ledger {
    pub(crate) fn new(is_tight: bool) -> Self {
        Self { is_tight, ..Self::default() }
    }

    pub(crate) fn said(&mut self, by: usize, to: Option<usize>, words: &str, now: Time, command: RequestId) {
        let (run, time) = (self.runs[by], now.as_micros() / 1_000);
        let fates = <[Fate; 3]>::default();
        self.said.push(Said { by, run, to, words: words.to_owned(), time, command, id: None, fates });
    }

    /// One of the receipts that somebody holds is used.
    pub(crate) fn confirms(&mut self, node: usize, which: usize) -> Option<Receipt> {
        let handed = &mut self.handed[node];
        let (receipt, message) = (which < handed.len()).then(|| handed.remove(which))?;
        self.said[message].fates[node].confirmed = true;
        Some(receipt)
    }

    /// Somebody has logged out: what they haven't confirmed they can't confirm any more.
    pub(crate) fn begins_anew(&mut self, node: usize) {
        self.runs[node] += 1;
        self.since[node] = self.said.len();
        for (_, way) in self.ways.iter_mut().filter(|((_, to), _)| *to == node) {
            way.missed_in_run = 0;
        }
        self.handed[node].clear();
        assert!(self.chats[node].is_empty(), "the chats are over");
    }

    /// Nothing goes wrong any more, and all that did has been noticed.
    pub(crate) fn falls_quiet(&mut self) {
        self.is_quiet = true;
    }

    pub(crate) fn told(&mut self, node: usize, event: &Event, confirms: bool) {
        match event {
            Event::Message { from, text, place, receipt } => {
                assert!(self.chats[node].contains(&number(from)), "there is no chat");
                let message = self.shown(node, from, None, text, place.unwrap());
                self.hands_over(node, message, *receipt, confirms);
            }
            Event::Broadcast { room, from, text, place, receipt, .. } => {
                let message = self.shown(node, from, room.as_ref(), text, place.unwrap());
                self.hands_over(node, message, *receipt, confirms);
            }
            Event::Missed { from, count } => {
                let way = self.ways.entry((number(from), node)).or_default();
                way.missed += count;
                way.all_missed += count;
                way.missed_in_run += count;
                // What was said before is nobody's loss.
                let said = self.said[self.since[node]..].iter().filter(|said| said.is_for(node));
                let said = said.filter(|said| said.by == number(from)).count();
                assert!(way.missed_in_run <= u64::try_from(said).unwrap(), "{count} of {said} are missing");
            }
            Event::Arrived { with, room, id, text } => self.arrived(node, with, room.as_ref(), *id, text),
            Event::Completed { request, outcome } => self.ended(node, *request, outcome),
            Event::ChatOpened { with: Some(with), .. } => self.chats[node].push(number(with)),
            Event::ChatClosed { with: Some(with), .. } => {
                self.chats[node].retain(|chat| *chat != number(with));
            }
            Event::Fault { culprit, what } => panic!("fault of {culprit}: {what}"),
            _ => {}
        }
    }

    /// What somebody is shown: which message it is.
    fn shown(
        &mut self,
        node: usize,
        from: &Username,
        room: Option<&RoomName>,
        text: &Text,
        place: Place,
    ) -> usize {
        let (from, sequence) = (number(from), place.number.sequence.get());
        let said = self.said.iter().position(|said| said.by == from && said.time == place.number.time);
        let index = said.unwrap_or_else(|| panic!("nobody said {text}"));
        let said = &mut self.said[index];
        assert_eq!(said.words, text.as_str());
        assert_eq!(room.map(RoomName::as_str), said.to.is_none().then_some("den"), "{said:?}");
        assert!(said.to.is_none_or(|to| to == node), "not for {node}: {said:?}");
        assert_eq!(*said.id.get_or_insert(place.number.id), place.number.id, "one id for everybody");
        let (run, fate) = (said.run, &mut said.fates[node]);
        assert!(!std::mem::replace(&mut fate.shown, true), "shown twice: {index} {:?}", self.said);
        assert!(!fate.denied, "its sender was told that it isn't there: {index} {:?}", self.said);
        fate.quietly = self.is_quiet;

        let runs = (run, self.runs[node]);
        let way = self.ways.entry((from, node)).or_default();
        if way.runs != runs {
            assert!(way.runs < runs, "an earlier run is over");
            let Way { missed_in_run, all_missed, late, .. } = *way;
            *way = Way { runs, missed_in_run, all_missed, late, ..Way::default() };
        }
        assert!(way.shown.insert(sequence, index).is_none(), "the number {sequence} comes twice");
        let before = way.shown.range(..sequence).next_back();
        let after = way.shown.range(sequence + 1..).next();
        assert!(before.is_none_or(|(_, before)| *before < index), "said before: {before:?} {index}");
        assert!(after.is_none_or(|(_, after)| *after > index), "said after: {after:?} {index}");
        if place.late {
            way.late += 1;
            assert!(way.late <= way.all_missed, "late, and not missed before");
            return index;
        }
        let missed = std::mem::take(&mut way.missed);
        let Some((first, last)) = way.ends.replace((sequence, sequence)) else { return index };
        way.ends = Some((first, sequence));
        assert!(last < sequence, "out of order, and not late");
        let (previous, hidden) = (way.shown[&last], sequence - last - 1);
        assert!(missed <= hidden, "{missed} of {hidden} are missing");
        let refused = self.not_delivered(from, node, previous, index);
        assert!(hidden - missed <= refused, "{missed} and {refused} of {hidden} are accounted for");
        index
    }

    fn hands_over(&mut self, node: usize, message: usize, receipt: Receipt, confirms: bool) {
        self.said[message].fates[node].confirmed = confirms;
        if !confirms {
            self.handed[node].push((receipt, message));
        }
    }

    /// How many between two messages may have been refused: for want of a chat, or of a place.
    fn not_delivered(&self, from: usize, to: usize, first: usize, last: usize) -> u64 {
        let between = self.said[..last].iter().skip(first + 1);
        let refused = between.filter(|said| {
            let (fate, may_be) = (&said.fates[to], said.to.is_some() || self.is_tight);
            said.by == from && said.is_for(to) && may_be && fate.told != Some(true) && !fate.unsaid
        });
        u64::try_from(refused.count()).unwrap()
    }

    fn arrived(&mut self, node: usize, with: &Username, room: Option<&RoomName>, id: u64, text: &Text) {
        let (with, run) = (number(with), self.runs[node]);
        let said = self.said.iter_mut().find(|said| said.id == Some(id)).unwrap();
        assert_eq!((said.by, said.run, said.words.as_str()), (node, run, text.as_str()));
        assert_eq!(room.map(RoomName::as_str), said.to.is_none().then_some("den"), "{said:?}");
        let fate = &mut said.fates[with];
        assert!(fate.confirmed, "nobody has confirmed it");
        assert!(fate.told == Some(false) && !fate.denied, "only what was in doubt arrives after all");
        assert!(!std::mem::replace(&mut fate.arrived, true), "it has arrived before");
    }

    fn ended(&mut self, node: usize, command: RequestId, outcome: &Result<Response, RequestError>) {
        let Some(said) = self.said.iter_mut().find(|said| said.by == node && said.command == command) else {
            return;
        };
        let mut tell = |to: usize, error: Option<&RequestError>| {
            let (is_there, denied) = (error.is_none(), error.is_some_and(is_denial));
            let fate = &mut said.fates[to];
            assert_eq!(fate.told, None, "told twice: {fate:?}");
            assert!(!is_there || fate.confirmed, "nobody has confirmed it: {fate:?}");
            assert!(!denied || !fate.shown, "it is there: {error:?} {fate:?}");
            (fate.told, fate.denied) = (Some(is_there), denied);
            fate.unsaid = denied && !matches!(error, Some(RequestError::NotDelivered(_)));
        };
        match outcome {
            Ok(Response::Done) => tell(said.to.unwrap(), None),
            Ok(Response::Broadcast(report)) => {
                report.delivered.iter().for_each(|name| tell(number(name), None));
                report.failed.iter().for_each(|(name, error)| tell(number(name), Some(error)));
                // Whoever isn't named was not there.
                said.fates.iter_mut().filter(|fate| fate.told.is_none()).for_each(|fate| {
                    assert!(!fate.shown, "nobody says that they have it");
                    (fate.told, fate.denied, fate.unsaid) = (Some(false), true, true);
                });
            }
            Err(error) => match said.to {
                Some(to) => tell(to, Some(error)),
                None => (0..NAMES.len()).for_each(|to| tell(to, Some(error))),
            },
            other => panic!("{other:?}"),
        }
    }

    /// Nobody waits for longer than that to be told what became of what they said.
    pub(crate) fn is_in_time(&self, now: Time, limit: Duration) {
        for said in &self.said {
            let is_over = said.fates.iter().any(|fate| fate.told.is_some());
            let waits = now.since(Time::from_micros(said.time * 1_000));
            assert!(is_over || waits <= limit, "nobody was told for {waits:?} what became of it: {said:?}");
        }
    }

    /// Everybody has been told everything.
    pub(crate) fn has_all_of_it(&self) {
        for said in &self.said {
            for (to, fate) in said.fates.iter().enumerate() {
                assert!(!said.is_for(to) || fate.told == Some(true), "{said:?}");
            }
        }
        self.has_missed_nothing();
    }

    /// All that had a way to somebody came to them in its turn, and all that was said in the chat did.
    pub(crate) fn has_missed_nothing(&self) {
        assert!(self.ways.values().all(|way| way.all_missed == 0 && way.late == 0), "some were missed");
        for said in &self.said {
            assert!(said.to.is_none_or(|to| said.fates[to].told == Some(true)), "not delivered: {said:?}");
        }
    }

    /// The end, after a quiet time in which everybody said something.
    pub(crate) fn closes(&self) {
        for said in &self.said {
            for (to, fate) in said.fates.iter().enumerate() {
                assert!(
                    !said.is_for(to) || fate.told.is_some(),
                    "nobody was told what became of it: {said:?}"
                );
                // Who has it in peace and quiet has said so, and was heard.
                assert!(!fate.quietly || fate.told == Some(true) || fate.arrived, "{to}: {said:?}");
            }
        }
        for (&(from, to), way) in &self.ways {
            assert_eq!(way.runs, (self.runs[from], self.runs[to]), "the last that was said has come");
            let (first, last) = way.ends.unwrap();
            let shown = u64::try_from(way.shown.range(first..=last).count()).unwrap();
            let hidden = last - first + 1 - shown;
            let refused = self.not_delivered(from, to, way.shown[&first], way.shown[&last]);
            assert!(hidden <= refused, "{hidden} have never come, of which {refused} were refused");
        }
        let last = self.said.len() - NAMES.len();
        for said in &self.said[last..] {
            for (to, fate) in said.fates.iter().enumerate() {
                assert!(to == said.by || fate.told == Some(true), "not delivered: {said:?}");
            }
        }
    }
}

/// Whether this means that it isn't at the receiver, and never will be.
const fn is_denial(error: &RequestError) -> bool {
    !matches!(error, RequestError::Doubtful { .. })
}
