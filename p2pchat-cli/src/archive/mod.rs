//! What is never forgotten: what was said, what is still to be sent, and what is remembered of each chat. One file for each
//! registry and account.
//!
//! What is written is on disk when the call returns. Calls take as long as the disk does: they are for a thread that may wait.

mod file;
mod record;
mod tables;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use p2pchat_core::proto::Username;
use redb::{Database, Error, ReadOnlyDatabase, ReadTransaction, ReadableDatabase as _, ReadableTable as _};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

pub(crate) use file::ArchiveError;
use tables::{BY_CHAT, CHATS, ENTRIES, OUTBOX, Tables};

use crate::{args::Address, private, target::Target};

/// The number of an entry: later ones have higher ones, and none is given twice in an archive.
pub(crate) type EntryId = u64;

/// An entry with its number, and where it belongs.
pub(crate) type Found = (EntryId, Target, Entry);

/// What was said, or a note of the program's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When, in milliseconds since 1970, by this machine's clock.
    pub(crate) at: u64,
    /// Who said it; nobody a note, of a gap, say.
    pub(crate) from: Option<Username>,
    /// The user has said it.
    pub(crate) own: bool,
    /// What was said, as it was sent: to be sanitised when it is shown.
    pub(crate) text: String,
    /// It was, or is to be, encrypted on its way.
    pub(crate) secured: bool,
    /// Later ones came before it.
    pub(crate) late: bool,
    /// What has become of it.
    pub(crate) state: State,
    /// The same for each member of a room, of what the user said there.
    pub(crate) receivers: Vec<(Username, State)>,
}

impl Entry {
    /// What the user says.
    pub(crate) fn own(at: u64, me: Username, text: String, state: State) -> Self {
        Self { from: Some(me), own: true, state, ..Self::note(at, text) }
    }

    /// What the program says.
    pub(crate) fn note(at: u64, text: String) -> Self {
        let (state, receivers) = (State::Received, Vec::new());
        Self { at, from: None, own: false, text, secured: true, late: false, state, receivers }
    }
}

/// Why a message is not to be sent any more that its writer has given up.
pub(crate) const GIVEN_UP: &str = "given up";

/// What has become of a message. The order is the file's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// It is another's, or a note.
    Received,
    /// To be sent when the receiver can be reached.
    Waiting,
    /// On its way.
    Sending,
    /// The receiver's program has it.
    Delivered,
    /// It has not arrived and will not, and why.
    Failed(String),
    /// The program ended while it was on its way: it may have arrived. The user decides.
    Unsure,
}

impl State {
    /// True if something is still to be done about it: it is in the outbox.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Waiting | Self::Sending | Self::Unsure)
    }
}

/// What is remembered of a chat or a room besides what was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ChatMemory {
    /// The last entry that was read.
    pub(crate) read: EntryId,
    /// What has been typed and not sent.
    pub(crate) draft: String,
    /// What the user wants to be told of.
    pub(crate) level: Level,
    /// Requests to chat by this user are accepted without asking: they were accepted once.
    pub(crate) accepted: bool,
    /// Where it stands among the others.
    pub(crate) order: u32,
    /// When it was entered, in milliseconds since 1970.
    pub(crate) entered: u64,
}

/// What the user wants to be told of in a chat. The order is the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Level {
    /// Of everything.
    #[default]
    All,
    /// Of what names them.
    Mentions,
    /// Of nothing.
    Nothing,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For how long; `None`: for ever.
    pub(crate) age: Option<Duration>,
    /// How large the file may become, no less than 1 MiB. It is held to whenever something is written, by removing what is
    /// oldest, as long as what is written at once is a small part of it, a sixteenth say. What waits in the outbox and what is
    /// remembered of chats is kept all the same.
    pub(crate) bytes: u64,
}

impl Default for Limits {
    /// As long as it fits into 256 MiB: some hundred thousand messages.
    fn default() -> Self {
        Self { age: None, bytes: 256 << 20 }
    }
}

impl Limits {
    const LEAST: u64 = 1 << 20;

    /// How much the entries may take. The engine doubles its file when that is full, writes what changes beside what was
    /// before, and its pages aren't full.
    fn budget(&self) -> u64 {
        self.bytes.max(Self::LEAST) / 4
    }
}

/// An account's history, open.
#[derive(Debug)]
pub(crate) struct Archive {
    path: PathBuf,
    limits: Limits,
    access: Mutex<Access>,
}

enum Access {
    /// To be opened at the next use: after a failure the engine refuses everything.
    Closed,
    Whole(Database),
    /// To read only.
    Looking(ReadOnlyDatabase),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "Closed",
            Self::Whole(_) => "Whole",
            Self::Looking(_) => "Looking",
        })
    }
}

impl Archive {
    /// Where an account's is: `history/REGISTRY/ACCOUNT.redb` in the data folder.
    pub(crate) fn path(data_dir: &Path, registry: &Address, user: &Username) -> PathBuf {
        private::of_account(data_dir, "history", registry, user, "redb")
    }

    /// Opens the file, or makes it. What was on its way when a program ended is [`State::Unsure`] now, and what is too much
    /// is gone.
    ///
    /// A file that others can read, that is no history, damaged, of a newer format or in use is refused, and is left as it is.
    pub(crate) fn open(path: PathBuf, limits: Limits) -> Result<Self, ArchiveError> {
        let access = Mutex::new(Access::Whole(file::open(&path)?));
        let archive = Self { path, limits, access };
        let used = archive.write(|tables| {
            tables.doubt()?;
            tables.evict(limits.budget())?;
            Ok(tables.used())
        })?;
        let length = fs::metadata(&archive.path).map_or(0, |file| file.len());
        if length > limits.bytes.max(Limits::LEAST) || length > Limits::LEAST && length / 8 > used {
            archive.compact()?;
        }
        Ok(archive)
    }

    /// Opens the file to read it, also while another program writes to it or is about to. It isn't made, nothing in it is
    /// changed, and changes are refused as by [`ArchiveError::InUse`].
    ///
    /// What was being read at the time stays in the file until nobody reads it any more.
    pub(crate) fn look(path: PathBuf) -> Result<Self, ArchiveError> {
        let access = Mutex::new(Access::Looking(file::look(&path)?));
        Ok(Self { path, limits: Limits::default(), access })
    }

    /// Adds an entry.
    #[cfg(test)]
    pub(crate) fn append(&self, target: &Target, entry: &Entry) -> Result<EntryId, ArchiveError> {
        self.write(|tables| {
            let id = tables.append(target, entry)?;
            tables.evict(self.limits.budget())?;
            Ok(id)
        })
    }

    /// Adds entries, all of them or none.
    pub(crate) fn append_all(&self, entries: &[(Target, Entry)]) -> Result<Vec<EntryId>, ArchiveError> {
        self.write(|tables| {
            let ids = entries.iter().map(|(target, entry)| tables.append(target, entry)).collect();
            tables.evict(self.limits.budget())?;
            ids
        })
    }

    /// Notes what has become of a message, and, if that is told, for each of its receivers. An entry that is gone is passed
    /// over.
    pub(crate) fn set_state(
        &self,
        id: EntryId,
        state: &State,
        receivers: Option<&[(Username, State)]>,
    ) -> Result<(), ArchiveError> {
        self.write(|tables| {
            let Some((target, mut entry)) = tables.get(id)? else { return Ok(()) };
            entry.state = state.clone();
            if let Some(receivers) = receivers {
                entry.receivers = receivers.to_vec();
            }
            tables.put(id, &target, &entry)
        })
    }

    /// The last `count` entries of a chat, or those before one, oldest first.
    pub(crate) fn last(
        &self,
        target: &Target,
        before: Option<EntryId>,
        count: usize,
    ) -> Result<Vec<(EntryId, Entry)>, ArchiveError> {
        let newest = self.entries(Some(target), before)?.rev().take(count);
        let mut last = newest
            .map(|found| found.map(|(id, _, entry)| (id, entry)))
            .collect::<Result<Vec<_>, ArchiveError>>()?;
        last.reverse();
        Ok(last)
    }

    /// Entries that have all these words somewhere in their texts, whatever the case; newest first, no more than `limit`.
    pub(crate) fn search(
        &self,
        words: &str,
        target: Option<&Target>,
        limit: usize,
    ) -> Result<Vec<Found>, ArchiveError> {
        let words = Words::new(words);
        let found = self.entries(target, None)?.rev();
        found
            .filter(|found| found.as_ref().map_or(true, |(_, _, entry)| words.are_in(&entry.text)))
            .take(limit)
            .collect()
    }

    /// All entries, or a chat's, oldest first, as they are at the time of the call; only those before one, if that is told.
    pub(crate) fn entries(
        &self,
        target: Option<&Target>,
        before: Option<EntryId>,
    ) -> Result<Box<dyn DoubleEndedIterator<Item = Result<Found, ArchiveError>>>, ArchiveError> {
        let before = before.unwrap_or(EntryId::MAX);
        let path = self.path.clone();
        let found = move |found: Result<Found, Error>| found.map_err(|error| ArchiveError::of(&path, error));
        self.read(|transaction| {
            let entries = transaction.open_table(ENTRIES)?;
            let Some(target) = target else {
                let all = entries.range(..before)?;
                let read = |(id, bytes): (redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>)| {
                    let (target, entry) = record::read_entry(bytes.value())?;
                    Ok((id.value(), target, entry))
                };
                return Ok(Box::new(all.map(move |entry| found(entry.map_err(Error::from).and_then(read))))
                    as Box<dyn DoubleEndedIterator<Item = _>>);
            };
            let key = target.key();
            let of_chat =
                transaction.open_table(BY_CHAT)?.range((key.as_str(), 0)..(key.as_str(), before))?;
            let ids = of_chat.map(|entry| entry.map_err(Error::from).map(|(key, _)| key.value().1));
            Ok(Box::new(ids.map(move |id| found(id.and_then(|id| at(&entries, id))))))
        })
    }

    /// What is still to be sent, or may have been, oldest first.
    pub(crate) fn outbox(&self) -> Result<Vec<Found>, ArchiveError> {
        self.read(|transaction| {
            let entries = transaction.open_table(ENTRIES)?;
            transaction.open_table(OUTBOX)?.iter()?.map(|id| at(&entries, id?.0.value())).collect()
        })
    }

    /// What is remembered of chats, in their order.
    pub(crate) fn chats(&self) -> Result<Vec<(Target, ChatMemory)>, ArchiveError> {
        let mut chats = self.read(|transaction| {
            let chats = transaction.open_table(CHATS)?;
            chats.iter()?.map(|chat| record::read_memory(chat?.1.value())).collect::<Result<Vec<_>, _>>()
        })?;
        chats.sort_by_key(|(_, memory)| memory.order);
        Ok(chats)
    }

    /// Remembers something of a chat.
    pub(crate) fn set_chat(&self, target: &Target, memory: &ChatMemory) -> Result<(), ArchiveError> {
        self.write(|tables| {
            tables.chats.insert(target.key().as_str(), record::memory(target, memory)?.as_slice())?;
            Ok(())
        })
    }

    /// Remembers nothing of any chat any more. What was said stays.
    pub(crate) fn forget_chats(&self) -> Result<(), ArchiveError> {
        self.write(|tables| Ok(tables.chats.retain(|_, _| false)?))
    }

    /// Remembers nothing of a chat any more. What was said in it stays.
    pub(crate) fn forget_chat(&self, target: &Target) -> Result<(), ArchiveError> {
        self.write(|tables| {
            tables.chats.remove(target.key().as_str())?;
            Ok(())
        })
    }

    /// Removes what was said in a chat, or everywhere, also what waits there to be sent; and how many entries that were. What
    /// else is remembered of chats stays.
    pub(crate) fn erase(&self, target: Option<&Target>) -> Result<usize, ArchiveError> {
        let count = self.write(|tables| tables.forget(target))?;
        self.compact()?;
        Ok(count)
    }

    /// Removes what is too old or too much, but nothing that is in the outbox; and how many entries that were. `now` is in
    /// milliseconds since 1970.
    pub(crate) fn prune(&self, now: u64) -> Result<usize, ArchiveError> {
        let oldest = self.limits.age.and_then(|age| now.checked_sub(u64::try_from(age.as_millis()).ok()?));
        self.write(|tables| {
            let expired = oldest.map_or(Ok(0), |oldest| tables.expire(oldest))?;
            Ok(expired + tables.evict(self.limits.budget())?)
        })
    }

    /// Gives back to the system what the file doesn't need. Left for another time while entries are being read.
    fn compact(&self) -> Result<(), ArchiveError> {
        match &mut *self.access() {
            Access::Whole(database) => match database.compact() {
                Ok(_) | Err(redb::CompactionError::TransactionInProgress) => Ok(()),
                Err(error) => Err(ArchiveError::of(&self.path, error)),
            },
            _ => Ok(()),
        }
    }

    fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, run: impl FnOnce(&ReadTransaction) -> Result<T, Error>) -> Result<T, ArchiveError> {
        self.with(|access| match access {
            Access::Whole(database) => run(&database.begin_read()?),
            Access::Looking(database) => run(&database.begin_read()?),
            Access::Closed => Err(Error::DatabaseAlreadyOpen),
        })
    }

    /// Runs changes and makes them durable, all of them or none.
    fn write<T>(&self, run: impl FnOnce(&mut Tables<'_>) -> Result<T, Error>) -> Result<T, ArchiveError> {
        self.with(|access| {
            let Access::Whole(database) = access else { return Err(Error::DatabaseAlreadyOpen) };
            let transaction = database.begin_write()?;
            let mut tables = Tables::open(&transaction)?;
            let done = run(&mut tables)?;
            tables.finish()?;
            transaction.commit()?;
            Ok(done)
        })
    }

    fn with<T>(&self, run: impl FnOnce(&Access) -> Result<T, Error>) -> Result<T, ArchiveError> {
        let mut access = self.access();
        if let Access::Closed = *access {
            *access = Access::Whole(file::reopen(&self.path)?);
        }
        run(&access).map_err(|error| {
            let error = ArchiveError::of(&self.path, error);
            if let (Access::Whole(_), ArchiveError::Io { .. } | ArchiveError::Damaged { .. }) =
                (&*access, &error)
            {
                *access = Access::Closed;
            }
            error
        })
    }
}

fn at(entries: &impl redb::ReadableTable<EntryId, &'static [u8]>, id: EntryId) -> Result<Found, Error> {
    let bytes = entries.get(id)?.ok_or_else(|| Error::Corrupted(format!("entry {id} is missing")))?;
    let (target, entry) = record::read_entry(bytes.value())?;
    Ok((id, target, entry))
}

/// What is looked for.
pub(crate) struct Words(Vec<String>);

impl Words {
    pub(crate) fn new(words: &str) -> Self {
        Self(words.split_whitespace().map(folded).collect())
    }

    /// True if all of them are somewhere in the text.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        let text = folded(text);
        self.0.iter().all(|word| text.contains(word.as_str()))
    }
}

/// As names are folded (Unicode D145).
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    caseless::default_case_fold_str(&text.nfd().collect::<String>()).nfc().collect()
}
