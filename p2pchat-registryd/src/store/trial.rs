//! A file on trial: it can be opened and repaired, and is not changed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, ErrorKind},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

const PAGE: usize = 4_096;

type Page = [u8; PAGE];

/// A file's contents, and in memory what has been written over them.
#[derive(Debug)]
pub(super) struct Trial {
    file: FileBackend,
    is_locked: bool,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    /// How long the file would be.
    len: u64,
    /// How much of what is in it is still to be seen where no page is: what was cut off stays so.
    kept: u64,
    pages: BTreeMap<u64, Box<Page>>,
}

impl Trial {
    /// The file has to be open for writing too, or it can't be locked against writers.
    pub(super) fn new(file: File) -> Result<Self, redb::DatabaseError> {
        Self::of(file, true)
    }

    /// For a file that is open for reading alone.
    pub(super) fn unlocked(file: File) -> Result<Self, redb::DatabaseError> {
        Self::of(file, false)
    }

    fn of(file: File, is_locked: bool) -> Result<Self, redb::DatabaseError> {
        let file = FileBackend::new(file)?;
        let len = file.len()?;
        Ok(Self { file, is_locked, changes: Mutex::new(Changes { len, kept: len, pages: BTreeMap::new() }) })
    }

    /// Where the locks are.
    fn locks(&self) -> Result<&FileBackend, BackendError> {
        if self.is_locked { Ok(&self.file) } else { Err(BackendError::Unsupported) }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as it is in the file, with zeros where that ends.
    fn original(&self, kept: u64, page: u64) -> io::Result<Page> {
        let mut bytes = [0; PAGE];
        let start = page * PAGE as u64;
        let count = usize::try_from(kept.saturating_sub(start)).unwrap_or(usize::MAX).min(PAGE);
        if let Some(there) = bytes.get_mut(..count) {
            self.file.read(start, there)?;
        }
        Ok(bytes)
    }
}

impl Changes {
    /// True if these bytes are as they are in the file. `count` is within the length.
    fn are_elsewhere(&self, offset: u64, count: usize) -> bool {
        let end = offset.saturating_add(count as u64);
        let pages = offset / PAGE as u64..end.div_ceil(PAGE as u64);
        end <= self.kept && self.pages.range(pages).next().is_none()
    }
}

/// The pieces of `count` bytes from `offset` on: page, place in the page, size.
fn pieces(offset: u64, count: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut offset, mut left) = (offset, count);
    std::iter::from_fn(move || {
        let (page, at) = (offset / PAGE as u64, usize::try_from(offset % PAGE as u64).ok()?);
        let size = left.min(PAGE - at);
        offset += size as u64;
        left -= size;
        (size > 0).then_some((page, at, size))
    })
}

fn is_within(len: u64, offset: u64, count: usize) -> io::Result<()> {
    let end = u64::try_from(count).ok().and_then(|count| offset.checked_add(count));
    if end.is_some_and(|end| end <= len) { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

impl StorageBackend for Trial {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes().len)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        is_within(changes.len, offset, out.len())?;
        if changes.are_elsewhere(offset, out.len()) {
            return self.file.read(offset, out);
        }
        for (page, at, size) in pieces(offset, out.len()) {
            let Some((piece, rest)) = std::mem::take(&mut out).split_at_mut_checked(size) else { break };
            let original;
            let bytes = match changes.pages.get(&page) {
                Some(changed) => changed,
                None => {
                    original = self.original(changes.kept, page)?;
                    &original
                }
            };
            piece.copy_from_slice(bytes.get(at..at + size).unwrap_or_default());
            out = rest;
        }
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes();
        is_within(changes.len, offset, data.len())?;
        for (page, at, size) in pieces(offset, data.len()) {
            let Some((piece, rest)) = data.split_at_checked(size) else { break };
            if !changes.pages.contains_key(&page) {
                let original = self.original(changes.kept, page)?;
                changes.pages.insert(page, Box::new(original));
            }
            if let Some(bytes) = changes.pages.get_mut(&page).and_then(|bytes| bytes.get_mut(at..at + size)) {
                bytes.copy_from_slice(piece);
            }
            data = rest;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changes = self.changes();
        (changes.len, changes.kept) = (len, changes.kept.min(len));
        let (last, used) = (len / PAGE as u64, usize::try_from(len % PAGE as u64).unwrap_or_default());
        changes.pages.split_off(&(last + u64::from(used > 0)));
        if let Some(cut_off) = changes.pages.get_mut(&last).and_then(|bytes| bytes.get_mut(used..)) {
            cut_off.fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // The locks are the file's: another process that has it open is seen.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks()?.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks()?.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks()?.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks()?.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks()?.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks()?.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = (1..20_000_usize, any::<u8>()).prop_map(|(size, with)| vec![with; size]);
        let write = (0..20_000_u64, bytes).prop_map(|(offset, bytes)| Step::Write(offset, bytes));
        proptest::collection::vec(prop_oneof![write, (0..40_000_u64).prop_map(Step::SetLen)], 0..8)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_the_file_stays_as_it_is(len in 0..20_000_usize, steps in steps()) {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let original: Vec<u8> = (0..len).map(|n| (n % 251) as u8 | 1).collect();
            io::Write::write_all(&mut file, &original).unwrap();
            let trial = Trial::new(file.reopen().unwrap()).unwrap();
            let mut model = original.clone();
            for step in steps {
                match step {
                    Step::Write(offset, bytes) => {
                        let there = model.get_mut(offset as usize..offset as usize + bytes.len());
                        prop_assert_eq!(trial.write(offset, &bytes).is_ok(), there.is_some());
                        if let Some(there) = there {
                            there.copy_from_slice(&bytes);
                        }
                    }
                    Step::SetLen(len) => {
                        trial.set_len(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                }
                prop_assert_eq!(trial.len().unwrap(), model.len() as u64);
                let mut read = vec![0; model.len()];
                trial.read(0, &mut read).unwrap();
                prop_assert!(read == model);
                let middle = model.len() / 3;
                let mut read = vec![0; model.len() - middle];
                trial.read(middle as u64, &mut read).unwrap();
                prop_assert!(read == model[middle..]);
                prop_assert!(trial.read(middle as u64 + 1, &mut read).is_err());
            }
            prop_assert!(std::fs::read(file.path()).unwrap() == original);
        }
    }
}
