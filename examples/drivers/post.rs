//! Every message that was ever sent, and who has read it.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use p2pchat_proto::{RoomName, Text, Username};

/// What users say: a beginning that is hard to carry, and the message's number.
const BEGINNINGS: [&str; 7] =
    ["hello ", "", " < >", "two\nlines\r\n\0", "\\<\\n , <200>", "كيف الحال؟ ", "DIRECT_MESSAGE <a> <b> "];

/// To whom a message is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    User(Username),
    Room(RoomName),
}

struct Letter {
    from: Username,
    program: usize,
    to: To,
    text: String,
}

type Checked = Result<(), String>;

#[derive(Default)]
pub(crate) struct Post {
    letters: BTreeMap<u64, Letter>,
    last: u64,
    /// Which program's user has read which message.
    read: BTreeSet<(u64, usize)>,
    /// The newest message that a program's user has read, of each program, in each chat and room.
    newest: BTreeMap<(usize, usize, To), u64>,
    /// Which message was read after a later one.
    late: BTreeSet<(u64, usize)>,
}

fn number(text: &str) -> Option<u64> {
    text.rsplit_once('#')?.1.parse().ok()
}

impl Post {
    /// A new message of a program's user.
    pub(crate) fn write(&mut self, dice: &mut Rng, program: usize, from: &Username, to: To) -> (u64, String) {
        self.last += 1;
        let beginning = dice.choice(BEGINNINGS).unwrap_or_default();
        let times = if dice.u8(0..50) == 0 { 500 } else { 1 };
        let text = format!("{}#{}", beginning.repeat(times), self.last);
        self.letters.insert(self.last, Letter { from: from.clone(), program, to, text: text.clone() });
        (self.last, text)
    }

    /// A program's user reads a message. `room` is `None` in a chat.
    pub(crate) fn read(
        &mut self,
        program: usize,
        name: &Username,
        from: &Username,
        room: Option<&RoomName>,
        text: &Text,
    ) -> Checked {
        let text = text.as_str();
        let found = number(text).and_then(|number| Some((number, self.letters.get(&number)?)));
        let Some((number, letter)) = found else {
            return Err(format!("{name} reads {text:?}, which nobody wrote"));
        };
        if letter.text != text || letter.from != *from {
            return Err(format!(
                "{name} reads {text:?} by {from}, but {} wrote {:?}",
                letter.from, letter.text
            ));
        }
        let is_addressee = match &letter.to {
            To::User(addressee) => addressee == name && room.is_none(),
            To::Room(meant) => room == Some(meant),
        };
        if !is_addressee {
            return Err(format!("{name} reads what was to {:?}, in {room:?}", letter.to));
        }
        if !self.read.insert((number, program)) {
            return Err(format!("{name} reads {text:?} twice"));
        }
        let newest = self.newest.entry((program, letter.program, letter.to.clone())).or_default();
        if *newest > number {
            self.late.insert((number, program));
        }
        *newest = number.max(*newest);
        Ok(())
    }

    /// The room of a message to one.
    pub(crate) fn room_of(&self, text: &Text) -> Option<&RoomName> {
        match &self.letters.get(&number(text.as_str())?)?.to {
            To::Room(room) => Some(room),
            To::User(_) => None,
        }
    }

    /// A sender is told that a user, who has these programs, has a message. It has been read, and in its turn: only one
    /// whose stream broke, so that its sender knows nothing of it, may come after a later one.
    pub(crate) fn confirmed(&self, number: u64, by: &[usize], name: &Username) -> Checked {
        let readers: Vec<_> = by.iter().filter(|&&by| self.read.contains(&(number, by))).collect();
        if readers.is_empty() {
            return Err(format!("message {number} is confirmed, but {name} has never read it"));
        }
        if readers.iter().all(|&&by| self.late.contains(&(number, by))) {
            return Err(format!("{name} read message {number} after a later one"));
        }
        Ok(())
    }

    /// Forgets what was sent so far: nobody hears of it any more.
    pub(crate) fn forget(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }
}
