//! Over which line messages come, and in which order they are read.

use std::collections::{BTreeMap, BTreeSet};

use p2pchat_core::peer::Place;
use p2pchat_examples::letters::{self, Letters, To};
use p2pchat_proto::{RoomName, Text, Username};

use crate::network::LineId;

/// A way along which order is kept: to one user's program, in one chat or room,
type Way = (usize, Along, To);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Along {
    /// over one line,
    Line(LineId),
    /// or, where messages have numbers, from one program, over one line after the other.
    Program(usize),
}

#[derive(Default)]
pub(crate) struct Post {
    pub(crate) letters: Letters,
    /// Over which line a program got a message first, and whether that said for which room.
    carried: BTreeMap<(u64, usize), (LineId, bool)>,
    newest: BTreeMap<Way, u64>,
    /// How many messages a program's user was told that they are missing, which may come late, and of whom.
    missed: BTreeMap<(usize, Username), u64>,
    /// Messages of which a sender was told that a user hasn't got them, and never will.
    denied: BTreeSet<(u64, Username)>,
    pub(crate) delivered: u64,
    pub(crate) acknowledged: u64,
}

type Checked = Result<(), String>;

impl Post {
    /// A message has reached a user's program.
    pub(crate) fn carried(&mut self, to: usize, line: LineId, text: &Text, names_room: bool) {
        if let Some(number) = letters::number(text) {
            self.carried.entry((number, to)).or_insert((line, names_room));
        }
    }

    /// A user is told that messages are missing.
    pub(crate) fn missed(&mut self, user: usize, from: &Username, count: u64) {
        *self.missed.entry((user, from.clone())).or_default() += count;
    }

    /// A user sees a message. `room` is known unless it was a chat, or the sender's program couldn't say.
    pub(crate) fn saw(
        &mut self,
        user: usize,
        name: &Username,
        from: &Username,
        room: Option<&RoomName>,
        text: &Text,
        place: Option<Place>,
    ) -> Checked {
        let way = letters::number(text).and_then(|number| self.carried.get(&(number, user)).copied());
        // Without a name the receiver's program goes by the rooms that it knows the sender in.
        let names_room = way.is_some_and(|(_, names_room)| names_room);
        let letter = self.letters.read(user, name, from, room, names_room, text)?;
        let number = letter.number;
        if self.denied.contains(&(number, name.clone())) {
            return Err(format!(
                "{name} reads message {number}, of which {from} was told that it isn't there"
            ));
        }
        let along = match (place, way) {
            (Some(Place { late: true, .. }), _) => {
                let missed = self.missed.entry((user, from.clone())).or_default();
                *missed = missed.checked_sub(1).ok_or_else(|| {
                    format!("{name} reads message {number} of {from} late, of whom they were missing none")
                })?;
                None
            }
            (Some(_), _) => Some(Along::Program(letter.program)),
            (None, way) => way.map(|(line, _)| Along::Line(line)),
        };
        if let Some(along) = along {
            let newest = self.newest.entry((user, along, letter.to.clone())).or_default();
            if *newest > number {
                return Err(format!("{name} reads message {number} of {from} after message {newest}"));
            }
            *newest = number;
        }
        self.delivered += 1;
        Ok(())
    }

    /// A sender is told that a user has a message, who has these programs.
    pub(crate) fn acknowledged(&mut self, number: u64, by: &[usize], name: &Username) -> Checked {
        self.acknowledged += 1;
        self.letters.confirmed(number, by, name).map(drop)
    }

    /// A sender is told that a user, who has these programs, hasn't got a message and never will.
    pub(crate) fn denied(&mut self, number: u64, by: &[usize], name: &Username) -> Checked {
        if self.letters.confirmed(number, by, name).is_ok() {
            return Err(format!(
                "{name} has read message {number}, of which its sender is told that it isn't there"
            ));
        }
        self.denied.insert((number, name.clone()));
        Ok(())
    }

    /// Forgets what was sent so far: nobody hears of it any more.
    pub(crate) fn forget(&mut self) {
        self.letters.forget();
        self.carried.clear();
        self.newest.clear();
        self.missed.clear();
        self.denied.clear();
    }
}
