//! Every message that was ever sent, and who has seen it.

use std::collections::{BTreeMap, BTreeSet};

use p2pchat_core::Time;
use p2pchat_proto::{RoomName, Text, Username};

use crate::{network::LineId, schedule::Schedule};

/// What users say: a beginning that is hard to carry, and the message's number.
const BEGINNINGS: [&str; 8] = [
    "hello ",
    "",
    "<",
    " < >",
    "two\nlines\r\n\0",
    "\\<\\n , <200>",
    "كيف الحال؟ ",
    "DIRECT_MESSAGE <a> <b> ",
];

/// To whom a message is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    User(Username),
    Room(RoomName),
}

struct Letter {
    from: Username,
    to: To,
    text: Text,
    sent: Time,
}

/// A way along which order is kept: to one user's program, over one line, in one chat or room.
type Way = (usize, LineId, To);

#[derive(Default)]
pub(crate) struct Post {
    letters: BTreeMap<u64, Letter>,
    last: u64,
    /// Which user has seen which message.
    seen: BTreeSet<(u64, usize)>,
    /// Over which line a message came, and whether it said for which room.
    carried: BTreeMap<(u64, usize), (LineId, bool)>,
    newest: BTreeMap<Way, u64>,
    pub(crate) delivered: u64,
    pub(crate) acknowledged: u64,
}

type Checked = Result<(), String>;

fn number(text: &Text) -> Option<u64> {
    text.as_str().rsplit_once('#')?.1.parse().ok()
}

impl Post {
    pub(crate) fn write(&mut self, schedule: &mut Schedule, from: &Username, to: To) -> (u64, Text) {
        self.last += 1;
        let beginning = schedule.pick(&BEGINNINGS).unwrap_or_default();
        let times = if schedule.percent(1) { 500 } else { 1 };
        let text = format!("{}#{}", beginning.repeat(times), self.last);
        let text = Text::new(&text).expect("short enough");
        let letter = Letter { from: from.clone(), to, text: text.clone(), sent: schedule.now };
        self.letters.insert(self.last, letter);
        (self.last, text)
    }

    /// A message has reached a user's program.
    pub(crate) fn carried(&mut self, to: usize, line: LineId, text: &Text, names_room: bool) {
        if let Some(number) = number(text) {
            self.carried.entry((number, to)).or_insert((line, names_room));
        }
    }

    /// A user sees a message. `room` is known unless it was a chat, or the sender's program couldn't say.
    pub(crate) fn saw(
        &mut self,
        user: usize,
        name: &Username,
        from: &Username,
        room: Option<&RoomName>,
        text: &Text,
    ) -> Checked {
        let Some((number, letter)) =
            number(text).and_then(|number| Some((number, self.letters.get(&number)?)))
        else {
            return Err(format!("{name} reads {text:?}, which nobody wrote"));
        };
        if letter.text != *text || letter.from != *from {
            return Err(format!(
                "{name} reads {text:?} by {from}, but {} wrote {:?}",
                letter.from, letter.text
            ));
        }
        let way = self.carried.get(&(number, user)).copied();
        let names_room = way.is_some_and(|(_, names_room)| names_room);
        let is_addressee = match &letter.to {
            To::User(addressee) => addressee == name && room.is_none(),
            // Without a name the receiver's program goes by the rooms that it knows the sender in.
            To::Room(meant) => !names_room || room == Some(meant),
        };
        if !is_addressee {
            return Err(format!("{name} reads what was to {:?}, in {room:?}", letter.to));
        }
        if !self.seen.insert((number, user)) {
            return Err(format!("{name} reads {text:?} twice"));
        }
        if let Some((line, _)) = way {
            let newest = self.newest.entry((user, line, letter.to.clone())).or_default();
            if *newest > number {
                return Err(format!("{name} reads message {number} of {from} after message {newest}"));
            }
            *newest = number;
        }
        self.delivered += 1;
        Ok(())
    }

    /// The room of a message to one.
    pub(crate) fn room_of(&self, text: &Text) -> Option<&RoomName> {
        match &self.letters.get(&number(text)?)?.to {
            To::Room(room) => Some(room),
            To::User(_) => None,
        }
    }

    /// A sender is told that a user has a message, who has these programs.
    pub(crate) fn acknowledged(&mut self, number: u64, by: &[usize], name: &Username) -> Checked {
        self.acknowledged += 1;
        if by.iter().any(|&by| self.seen.contains(&(number, by))) {
            Ok(())
        } else {
            Err(format!("message {number} is confirmed, but {name} has never seen it"))
        }
    }

    /// Forgets what was sent before `time`: nobody hears of it any more.
    pub(crate) fn forget_before(&mut self, time: Time) {
        self.letters.retain(|_, letter| letter.sent >= time);
        let oldest = self.letters.keys().next().copied().unwrap_or(self.last);
        self.seen = self.seen.split_off(&(oldest, 0));
        self.carried = self.carried.split_off(&(oldest, 0));
        self.newest.retain(|_, newest| *newest >= oldest);
    }
}
