//! A disk that loses power, for tests: what wasn't synced is there, gone, or there in part.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{OpenError, engine::Engine};
use redb::{Builder, Database, DatabaseError, StorageBackend};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Numbers that look random, the same for the same seed (splitmix64).
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// The disk. A clone is the same one.
#[derive(Debug, Clone)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What a loss of power leaves.
    durable: Vec<u8>,
    /// What has been changed since, in order.
    unsynced: Vec<Change>,
    /// What is read.
    seen: Vec<u8>,
    /// After how many more changes and syncs the power goes.
    left: Option<u64>,
    is_on: bool,
    read_only: bool,
    /// False if a sync is acknowledged and not done.
    syncs: bool,
    /// How many syncs there have been.
    synced: usize,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Disk {
    pub(super) fn new(contents: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            seen: contents.clone(),
            durable: contents,
            unsynced: Vec::new(),
            left: None,
            is_on: true,
            read_only: false,
            syncs: true,
            synced: 0,
        })))
    }

    /// It answers nothing until what is returned is dropped.
    pub(super) fn hang(&self) -> impl Sized + '_ {
        self.state()
    }

    /// From now on syncs do nothing.
    pub(super) fn lie(&self) {
        self.state().syncs = false;
    }

    /// How many syncs it has been asked for.
    pub(super) fn synced(&self) -> usize {
        self.state().synced
    }

    /// What a loss of power would leave if nothing else were.
    pub(super) fn durable(&self) -> Vec<u8> {
        self.state().durable.clone()
    }

    pub(super) fn open(&self) -> Result<Database, DatabaseError> {
        Builder::new().set_cache_size(1 << 20).create_with_backend(self.clone())
    }

    /// An engine on it.
    pub(super) fn engine(&self) -> Result<Engine, OpenError> {
        let (medium, seen) = (self.clone(), self.clone());
        Engine::on(move || medium.open(), move || Self::new(seen.state().seen.clone()).open())
    }

    /// Whether nothing can be written, as when a file system was mounted anew for reading alone.
    pub(super) fn make_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// The power goes after so many more changes and syncs.
    pub(super) fn cut_after(&self, changes: u64) {
        self.state().left = Some(changes);
    }

    pub(super) fn is_on(&self) -> bool {
        self.state().is_on
    }

    /// The power is gone, if it isn't yet, and comes back. Of what wasn't synced each sector is there or isn't.
    pub(super) fn lose_power(&self, dice: &mut Dice) {
        let mut state = self.state();
        let mut left = std::mem::take(&mut state.durable);
        // In some losses nearly all is there, in others nearly nothing.
        let chance = dice.below(101);
        for change in state.unsynced.drain(..) {
            match change {
                Change::SetLen(len) if dice.below(100) < chance => left.resize(len, 0),
                Change::SetLen(_) => {}
                Change::Write(offset, bytes) => {
                    let first = SECTOR - offset % SECTOR;
                    let (head, rest) = bytes.split_at(first.min(bytes.len()));
                    let mut at = offset;
                    for sector in std::iter::once(head).chain(rest.chunks(SECTOR)) {
                        // What is past the file's end goes with its length.
                        if dice.below(100) < chance && at + sector.len() <= left.len() {
                            left[at..at + sector.len()].copy_from_slice(sector);
                        }
                        at += sector.len();
                    }
                }
            }
        }
        state.seen.clone_from(&left);
        state.durable = left;
        (state.left, state.is_on) = (None, true);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for something that power has to be there for.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        match &mut state.left {
            Some(0) => state.is_on = false,
            Some(left) => *left -= 1,
            None => {}
        }
        if state.is_on { Ok(state) } else { Err(io::Error::other("there is no power")) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if !state.is_on {
            return Err(io::Error::other("there is no power"));
        }
        let offset = offset as usize;
        let bytes = state.seen.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.change()?;
        state.unsynced.push(Change::SetLen(len as usize));
        state.seen.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.change()?;
        state.synced += 1;
        if state.syncs {
            state.durable = state.seen.clone();
            state.unsynced.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.change()?;
        let offset = offset as usize;
        let there = state.seen.get_mut(offset..offset + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        there.copy_from_slice(data);
        state.unsynced.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}
