//! What a transaction changes.

use redb::{Error, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Entry, EntryId, State, record};
use crate::target::Target;

/// Of which format the rest is, and what is counted.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// What was said, by number.
pub(super) const ENTRIES: TableDefinition<'_, EntryId, &[u8]> = TableDefinition::new("entries");
/// The numbers of each chat's.
pub(super) const BY_CHAT: TableDefinition<'_, (&str, EntryId), ()> = TableDefinition::new("by_chat");
/// The numbers of what has not come to its end.
pub(super) const OUTBOX: TableDefinition<'_, EntryId, ()> = TableDefinition::new("outbox");
/// What is remembered of each chat besides.
pub(super) const CHATS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chats");

/// Where the format's version is.
pub(super) const VERSION: &str = "version";
/// Where the next entry's number is.
const NEXT: &str = "next";
/// Where it is how much the entries take.
const USED: &str = "used";

/// What an entry takes besides its bytes and its chat's key: numbers, lengths and a part of the tree above it.
const OVERHEAD: u64 = 48;
/// The engine's pages.
const PAGE: u64 = 4_096;
/// Eviction goes this much further than it has to (a sixteenth), so that it isn't for each entry.
const FURTHER: u64 = 16;

pub(super) struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    entries: Table<'t, EntryId, &'static [u8]>,
    by_chat: Table<'t, (&'static str, EntryId), ()>,
    outbox: Table<'t, EntryId, ()>,
    pub(super) chats: Table<'t, &'static str, &'static [u8]>,
    used: u64,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Error> {
        let meta = transaction.open_table(META)?;
        let used = meta.get(USED)?.map_or(0, |used| used.value());
        Ok(Self {
            meta,
            entries: transaction.open_table(ENTRIES)?,
            by_chat: transaction.open_table(BY_CHAT)?,
            outbox: transaction.open_table(OUTBOX)?,
            chats: transaction.open_table(CHATS)?,
            used,
        })
    }

    /// The last to be called: what was counted is written too.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.meta.insert(USED, self.used)?;
        Ok(())
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn set_version(&mut self, version: u64) -> Result<(), Error> {
        self.meta.insert(VERSION, version)?;
        Ok(())
    }

    pub(super) fn append(&mut self, target: &Target, entry: &Entry) -> Result<EntryId, Error> {
        let id = self.meta.get(NEXT)?.map_or(1, |next| next.value());
        self.meta.insert(NEXT, id + 1)?;
        self.put(id, target, entry)?;
        Ok(id)
    }

    pub(super) fn get(&self, id: EntryId) -> Result<Option<(Target, Entry)>, Error> {
        self.entries.get(id)?.map(|bytes| record::read_entry(bytes.value())).transpose()
    }

    /// Writes an entry, in place of one that has the number already.
    pub(super) fn put(&mut self, id: EntryId, target: &Target, entry: &Entry) -> Result<(), Error> {
        let (key, bytes) = (target.key(), record::entry(target, entry)?);
        self.used += cost(&key, &bytes);
        if let Some(before) = self.entries.insert(id, bytes.as_slice())? {
            self.used = self.used.saturating_sub(cost(&key, before.value()));
        }
        self.by_chat.insert((key.as_str(), id), ())?;
        if entry.state.is_open() {
            self.outbox.insert(id, ())?;
        } else {
            self.outbox.remove(id)?;
        }
        Ok(())
    }

    fn remove(&mut self, id: EntryId) -> Result<(), Error> {
        let Some(bytes) = self.entries.remove(id)? else { return Ok(()) };
        let (target, _) = record::read_entry(bytes.value())?;
        let key = target.key();
        self.used = self.used.saturating_sub(cost(&key, bytes.value()));
        self.by_chat.remove((key.as_str(), id))?;
        self.outbox.remove(id)?;
        Ok(())
    }

    /// Removes a chat's entries, or everybody's, also those that wait.
    pub(super) fn forget(&mut self, target: Option<&Target>) -> Result<usize, Error> {
        let ids: Vec<EntryId> = match target {
            None => self.entries.iter()?.map(|entry| Ok(entry?.0.value())).collect::<Result<_, Error>>()?,
            Some(target) => {
                let key = target.key();
                let of_chat = self.by_chat.range((key.as_str(), 0)..=(key.as_str(), EntryId::MAX))?;
                of_chat.map(|entry| Ok(entry?.0.value().1)).collect::<Result<_, Error>>()?
            }
        };
        self.remove_all(ids)
    }

    /// Removes what is older, but not what is in the outbox.
    pub(super) fn expire(&mut self, before: u64) -> Result<usize, Error> {
        // All are looked at: a clock that was wrong for a while is no reason to keep them for longer.
        let mut old = Vec::new();
        for entry in self.entries.iter()? {
            let (id, bytes) = entry?;
            if record::read_time(bytes.value())? < before && self.outbox.get(id.value())?.is_none() {
                old.push(id.value());
            }
        }
        self.remove_all(old)
    }

    /// Removes the oldest until the rest takes no more than that, but not what is in the outbox.
    pub(super) fn evict(&mut self, budget: u64) -> Result<usize, Error> {
        if self.used <= budget {
            return Ok(0);
        }
        let mut over = self.used - (budget - budget / FURTHER);
        let mut oldest = Vec::new();
        for entry in self.entries.iter()? {
            let (id, bytes) = entry?;
            if over == 0 {
                break;
            }
            if self.outbox.get(id.value())?.is_none() {
                let (target, _) = record::read_entry(bytes.value())?;
                over = over.saturating_sub(cost(&target.key(), bytes.value()));
                oldest.push(id.value());
            }
        }
        self.remove_all(oldest)
    }

    fn remove_all(&mut self, ids: Vec<EntryId>) -> Result<usize, Error> {
        let count = ids.len();
        ids.into_iter().try_for_each(|id| self.remove(id))?;
        Ok(count)
    }

    /// Nobody knows any more what has become of what was being sent when the program ended.
    pub(super) fn doubt(&mut self) -> Result<(), Error> {
        let ids = self.outbox.iter()?.map(|id| Ok(id?.0.value())).collect::<Result<Vec<_>, Error>>()?;
        for id in ids {
            let Some((target, mut entry)) = self.get(id)? else { continue };
            let states = entry.receivers.iter_mut().map(|(_, state)| state).chain([&mut entry.state]);
            let mut is_changed = false;
            for state in states.filter(|state| **state == State::Sending) {
                *state = State::Unsure;
                is_changed = true;
            }
            if is_changed {
                self.put(id, &target, &entry)?;
            }
        }
        Ok(())
    }
}

/// How much of the budget an entry takes. A large one has pages to itself, of which the engine takes a power of two.
pub(super) fn cost(key: &str, bytes: &[u8]) -> u64 {
    let size = u64::try_from(key.len() + bytes.len()).map_or(u64::MAX, |size| size.saturating_add(OVERHEAD));
    if size > PAGE / 2 { size.saturating_add(OVERHEAD).next_power_of_two().max(PAGE) } else { size }
}
