//! In which order messages are read.

use std::collections::{BTreeMap, BTreeSet};

use p2pchat_examples::letters::{Letters, To};
use p2pchat_proto::{RoomName, Text, Username};

type Checked = Result<(), String>;

#[derive(Default)]
pub(crate) struct Post {
    pub(crate) letters: Letters,
    /// The newest message that a program's user has read, of each program, in each chat and room.
    newest: BTreeMap<(usize, usize, To), u64>,
    /// Which message was read after a later one.
    late: BTreeSet<(u64, usize)>,
}

impl Post {
    /// A program's user reads a message. `room` is `None` in a chat.
    pub(crate) fn read(
        &mut self,
        program: usize,
        name: &Username,
        from: &Username,
        room: Option<&RoomName>,
        text: &Text,
    ) -> Checked {
        let letter = self.letters.read(program, name, from, room, true, text)?;
        let newest = self.newest.entry((program, letter.program, letter.to.clone())).or_default();
        if *newest > letter.number {
            self.late.insert((letter.number, program));
        }
        *newest = letter.number.max(*newest);
        Ok(())
    }

    /// A sender is told that a user, who has these programs, has a message. It has been read, and in its turn: only one
    /// whose stream broke, so that its sender knows nothing of it, may come after a later one.
    pub(crate) fn confirmed(&self, number: u64, by: &[usize], name: &Username) -> Checked {
        let readers = self.letters.confirmed(number, by, name)?;
        if readers.iter().all(|&by| self.late.contains(&(number, by))) {
            return Err(format!("{name} read message {number} after a later one"));
        }
        Ok(())
    }

    /// Forgets what was sent so far: nobody hears of it any more.
    pub(crate) fn forget(&mut self) {
        self.letters.forget();
        self.newest.clear();
        self.late.clear();
    }
}
