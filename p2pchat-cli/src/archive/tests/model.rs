//! An archive does what a list would.

use proptest::prelude::*;

use super::*;
use crate::archive::tables::cost;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(usize, Entry)>),
    /// Of one that there is, counted from the end.
    SetState(usize, State),
    Prune(u64),
    Erase(Option<usize>),
    Reopen,
}

/// In all spellings, and a room that is called like a user.
fn target(number: usize) -> Target {
    [user("bob"), user("BOB"), room("bob"), room("Den")][number % 4].clone()
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => Just(State::Received),
        1 => Just(State::Waiting),
        1 => Just(State::Sending),
        1 => Just(State::Delivered),
        1 => "[a-z]{0,5}".prop_map(State::Failed),
        1 => Just(State::Unsure),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    // Some are large, so that little is too much.
    let text = prop_oneof![3 => "[abAB ]{0,12}", 1 => (0..16_000_usize).prop_map(|size| "ab".repeat(size))];
    (0..100_u64, any::<bool>(), text, any::<(bool, bool)>(), state()).prop_map(
        |(at, own, text, (secured, late), state)| Entry {
            at,
            from: own.then(|| "alice".parse().unwrap()),
            own,
            text,
            secured,
            late,
            state,
            receivers: Vec::new(),
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec((0..4_usize, entry()), 1..6).prop_map(Step::Append),
        4 => (0..20_usize, state()).prop_map(|(which, state)| Step::SetState(which, state)),
        1 => (0..160_u64).prop_map(Step::Prune),
        1 => proptest::option::weighted(0.8, 0..4_usize).prop_map(Step::Erase),
        1 => Just(Step::Reopen),
    ]
}

const AGE: u64 = 60;

#[derive(Default)]
struct Model {
    entries: Vec<Found>,
    given: EntryId,
}

impl Model {
    fn evict(&mut self, budget: u64) -> usize {
        let of = |(_, target, entry): &Found| cost(&target.key(), &record::entry(target, entry).unwrap());
        let mut used: u64 = self.entries.iter().map(of).sum();
        if used <= budget {
            return 0;
        }
        let before = self.entries.len();
        self.entries.retain(|found| {
            let goes = used > budget - budget / 16 && !found.2.state.is_open();
            if goes {
                used -= of(found);
            }
            !goes
        });
        before - self.entries.len()
    }

    fn of<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = &'a Found> {
        self.entries.iter().filter(move |(_, theirs, _)| theirs == target)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn an_archive_does_what_a_list_would(steps in proptest::collection::vec(step(), 1..30), seed in 0..4_usize) {
        let place = Place::new();
        let limits = Limits { age: Some(Duration::from_millis(AGE)), ..LIMITS };
        let open = || Archive::open(place.file(), limits).unwrap();
        let mut archive = Some(open());
        let mut model = Model::default();
        for step in steps {
            let here = archive.as_ref().unwrap();
            match step {
                Step::Append(entries) => {
                    let entries: Vec<_> =
                        entries.into_iter().map(|(number, entry)| (target(number), entry)).collect();
                    let ids = match &entries[..] {
                        [(target, entry)] => vec![here.append(target, entry).unwrap()],
                        entries => here.append_all(entries).unwrap(),
                    };
                    for (id, (target, entry)) in ids.into_iter().zip(entries) {
                        prop_assert!(id > model.given);
                        model.given = id;
                        model.entries.push((id, target, entry));
                    }
                    model.evict(limits.budget());
                }
                Step::SetState(which, state) => {
                    if let Some((id, _, entry)) = model.entries.iter_mut().rev().nth(which) {
                        here.set_state(*id, &state, None).unwrap();
                        entry.state = state;
                    }
                }
                Step::Prune(now) => {
                    let before = model.entries.len();
                    model.entries.retain(|(_, _, entry)| {
                        now.checked_sub(AGE).is_none_or(|oldest| entry.at >= oldest) || entry.state.is_open()
                    });
                    let old = before - model.entries.len();
                    prop_assert_eq!(here.prune(now).unwrap(), old + model.evict(limits.budget()));
                }
                Step::Erase(which) => {
                    let before = model.entries.len();
                    let which = which.map(target);
                    model.entries.retain(|(_, target, _)| which.as_ref().is_some_and(|which| which != target));
                    prop_assert_eq!(here.erase(which.as_ref()).unwrap(), before - model.entries.len());
                }
                Step::Reopen => {
                    drop(archive.take());
                    archive = Some(open());
                    for (_, _, entry) in model.entries.iter_mut().filter(|(_, _, entry)| entry.state == State::Sending) {
                        entry.state = State::Unsure;
                    }
                    model.evict(limits.budget());
                }
            }
            let here = archive.as_ref().unwrap();
            let all: Vec<_> = here.entries(None, None).unwrap().collect::<Result<_, _>>().unwrap();
            prop_assert!(all == model.entries, "{} entries, {} expected", all.len(), model.entries.len());
            let open: Vec<_> = all.into_iter().filter(|(_, _, entry)| entry.state.is_open()).collect();
            prop_assert!(here.outbox().unwrap() == open);
        }
        let (here, target) = (archive.unwrap(), target(seed));
        let before = model.entries.get(seed).map(|(id, ..)| *id);
        for count in [0, 1, 3, usize::MAX] {
            let expected: Vec<_> = model.of(&target)
                .filter(|(id, ..)| before.is_none_or(|before| *id < before))
                .map(|(id, _, entry)| (*id, entry.clone()))
                .collect();
            let expected = &expected[expected.len().saturating_sub(count)..];
            prop_assert!(here.last(&target, before, count).unwrap() == expected);
            let found = model.of(&target).rev_found("b a").take(count).cloned().collect::<Vec<_>>();
            prop_assert!(here.search("B a", Some(&target), count).unwrap() == found);
        }
        let found = model.entries.iter().rev_found("bb").cloned().collect::<Vec<_>>();
        prop_assert!(here.search("bB", None, usize::MAX).unwrap() == found);
    }
}

trait RevFound<'a>: Iterator<Item = &'a Found> + Sized {
    /// Newest first, what has all words.
    fn rev_found(self, words: &str) -> impl Iterator<Item = &'a Found> {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let mut all: Vec<_> = self.collect();
        all.reverse();
        all.into_iter().filter(move |(_, _, entry)| {
            words.iter().all(|word| entry.text.to_lowercase().contains(word.as_str()))
        })
    }
}

impl<'a, I: Iterator<Item = &'a Found>> RevFound<'a> for I {}
