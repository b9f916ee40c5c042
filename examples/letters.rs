//! What simulated users write to each other, and who has read it.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use p2pchat_proto::{RoomName, Text, Username};

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
pub enum To {
    /// A user.
    User(Username),
    /// All who are in a room.
    Room(RoomName),
}

/// A message.
#[derive(Debug)]
pub struct Letter {
    /// Its number: later ones have higher ones.
    pub number: u64,
    /// The program that its writer uses.
    pub program: usize,
    /// To whom it is.
    pub to: To,
    from: Username,
    text: Text,
}

/// Every message that was written, and which program's user has read it.
#[derive(Debug, Default)]
pub struct Letters {
    letters: BTreeMap<u64, Letter>,
    last: u64,
    read: BTreeSet<(u64, usize)>,
}

/// A message's number, which is at its end.
pub fn number(text: &Text) -> Option<u64> {
    text.as_str().rsplit_once('#')?.1.parse().ok()
}

impl Letters {
    /// A new message of a program's user, and its number.
    ///
    /// # Panics
    /// Never: what users say is short enough.
    #[allow(clippy::expect_used)] // its own constants
    pub fn write(&mut self, dice: &mut Rng, program: usize, from: &Username, to: To) -> (u64, Text) {
        self.last += 1;
        let number = self.last;
        let beginning = dice.choice(BEGINNINGS).unwrap_or_default();
        let times = if dice.u8(0..100) == 0 { 500 } else { 1 };
        let text = Text::new(&format!("{}#{number}", beginning.repeat(times))).expect("short enough");
        let letter = Letter { number, program, to, from: from.clone(), text: text.clone() };
        self.letters.insert(number, letter);
        (number, text)
    }

    /// A program's user reads a message. `room` is `None` in a chat; it counts only if it `is_named`.
    ///
    /// # Errors
    /// It isn't what was written, isn't for them, or isn't new to them.
    pub fn read(
        &mut self,
        program: usize,
        name: &Username,
        from: &Username,
        room: Option<&RoomName>,
        is_named: bool,
        text: &Text,
    ) -> Result<&Letter, String> {
        let Some(letter) = number(text).and_then(|number| self.letters.get(&number)) else {
            return Err(format!("{name} reads {text:?}, which nobody wrote"));
        };
        if letter.text != *text || letter.from != *from {
            return Err(format!(
                "{name} reads {text:?} by {from}, but {} wrote {:?}",
                letter.from, letter.text
            ));
        }
        let is_addressee = match &letter.to {
            To::User(addressee) => addressee == name && room.is_none(),
            To::Room(meant) => !is_named || room == Some(meant),
        };
        if !is_addressee {
            return Err(format!("{name} reads what was to {:?}, in {room:?}", letter.to));
        }
        if !self.read.insert((letter.number, program)) {
            return Err(format!("{name} reads {text:?} twice"));
        }
        Ok(letter)
    }

    /// The room of a message to one.
    pub fn room_of(&self, text: &Text) -> Option<&RoomName> {
        match &self.letters.get(&number(text)?)?.to {
            To::Room(room) => Some(room),
            To::User(_) => None,
        }
    }

    /// A sender is told that a user, who has these programs, has a message: with which of them it was read.
    ///
    /// # Errors
    /// With none.
    pub fn confirmed(&self, number: u64, by: &[usize], name: &Username) -> Result<Vec<usize>, String> {
        let readers: Vec<_> = by.iter().copied().filter(|&by| self.read.contains(&(number, by))).collect();
        if readers.is_empty() {
            return Err(format!("message {number} is confirmed, but {name} has never read it"));
        }
        Ok(readers)
    }

    /// Forgets what was written so far: nobody hears of it any more.
    pub fn forget(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }
}
