//! What was said and who has heard it: each text once, a chat's in order.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Everything that is being said.
#[derive(Debug, Default)]
pub(crate) struct Post {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    open: HashMap<u64, Talk>,
}

#[derive(Debug)]
enum Talk {
    /// Between two; how many texts each has heard of the other.
    Chat { parties: [String; 2], heard: [u32; 2] },
    /// One to a room; who has heard it.
    Broadcast { from: String, room: String, heard: BTreeSet<String> },
}

impl Post {
    pub(crate) fn begin_chat(&self, parties: [String; 2]) -> u64 {
        self.begin(Talk::Chat { parties, heard: [0, 0] })
    }

    pub(crate) fn begin_broadcast(&self, from: String, room: String) -> u64 {
        self.begin(Talk::Broadcast { from, room, heard: BTreeSet::new() })
    }

    fn begin(&self, talk: Talk) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        let id = state.last;
        state.open.insert(id, talk);
        id
    }

    /// A chat's text number `n`, from 0, by its first or second party.
    pub(crate) fn text(id: u64, n: u32, filler: &str) -> String {
        format!("{id} {n} {filler}")
    }

    /// Somebody has been handed a text. What is wrong with that, if anything is.
    pub(crate) fn hear(&self, by: &str, from: &str, room: Option<&str>, text: &str) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{by} heard of {from} ({room:?}) {what}: {text:.60}"));
        let mut words = text.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(id), Some(n)) = (number(), number()) else { return wrong("what nobody said") };
        match self.lock().open.get_mut(&id) {
            None => wrong("what was said and done with"),
            Some(Talk::Chat { parties, heard }) => {
                let Some(side) = parties.iter().position(|party| party == by) else {
                    return wrong("what was for others");
                };
                if room.is_some() || parties[1 - side] != from {
                    return wrong("what another said");
                }
                if n != u64::from(heard[side]) {
                    return wrong(&format!("text {n} instead of {}", heard[side]));
                }
                heard[side] += 1;
                Ok(())
            }
            Some(Talk::Broadcast { from: speaker, room: place, heard }) => {
                if speaker != from || room != Some(place) {
                    return wrong("what was said elsewhere");
                }
                if heard.insert(by.to_owned()) { Ok(()) } else { wrong("twice") }
            }
        }
    }

    /// How many texts each party of a chat has heard.
    pub(crate) fn heard_in_chat(&self, id: u64) -> [u32; 2] {
        match self.lock().open.get(&id) {
            Some(Talk::Chat { heard, .. }) => *heard,
            _ => [0, 0],
        }
    }

    /// Who has heard a broadcast.
    pub(crate) fn heard_of_broadcast(&self, id: u64) -> BTreeSet<String> {
        match self.lock().open.get(&id) {
            Some(Talk::Broadcast { heard, .. }) => heard.clone(),
            _ => BTreeSet::new(),
        }
    }

    /// Nothing of this may be heard any more.
    pub(crate) fn end(&self, id: u64) {
        self.lock().open.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_is_heard_once_and_in_order_by_its_parties() {
        let post = Post::default();
        let id = post.begin_chat(["a".into(), "b".into()]);
        let hear = |by, from, n| post.hear(by, from, None, &Post::text(id, n, "…"));
        assert_eq!(hear("b", "a", 0), Ok(()));
        assert!(hear("b", "a", 0).unwrap_err().contains("text 0 instead of 1"));
        assert!(hear("b", "a", 2).unwrap_err().contains("text 2 instead of 1"));
        assert!(hear("c", "a", 1).unwrap_err().contains("for others"));
        assert!(hear("b", "c", 1).unwrap_err().contains("another"));
        assert_eq!(hear("a", "b", 0), Ok(()));
        assert_eq!(post.heard_in_chat(id), [1, 1]);
        post.end(id);
        assert!(hear("b", "a", 1).unwrap_err().contains("done with"));
    }

    #[test]
    fn a_broadcast_is_heard_once_by_each_and_in_its_room() {
        let post = Post::default();
        let id = post.begin_broadcast("a".into(), "den".into());
        let hear = |by, room| post.hear(by, "a", room, &Post::text(id, 0, ""));
        assert_eq!(hear("b", Some("den")), Ok(()));
        assert!(hear("b", Some("den")).unwrap_err().contains("twice"));
        assert!(hear("c", Some("attic")).unwrap_err().contains("elsewhere"));
        assert!(hear("c", None).unwrap_err().contains("elsewhere"));
        assert_eq!(post.heard_of_broadcast(id), BTreeSet::from(["b".to_owned()]));
    }
}
