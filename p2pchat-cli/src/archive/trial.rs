//! A file on trial: the engine opens it, checks it and repairs it, and nothing of that is written to it.

use std::{
    fs::File,
    io::{self, ErrorKind},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, DatabaseError, StorageBackend, backends::FileBackend};

/// A file's contents, and in memory what would have been written to it, which for a check is little.
#[derive(Debug)]
pub(super) struct Trial {
    file: FileBackend,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    /// How long the file would be.
    len: u64,
    /// How much of what is in it is still to be seen: what was cut off stays so.
    kept: u64,
    /// Where, and what, in the order of writing.
    writes: Vec<(u64, Vec<u8>)>,
}

impl Trial {
    /// The file has to be open for writing too, or it can't be locked against writers.
    pub(super) fn new(file: File) -> Result<Self, DatabaseError> {
        let file = FileBackend::new(file)?;
        let len = file.len()?;
        Ok(Self { file, changes: Mutex::new(Changes { len, kept: len, writes: Vec::new() }) })
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Changes {
    fn holds(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let is_within = offset.checked_add(size(bytes)).is_some_and(|end| end <= self.len);
        if is_within { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

impl StorageBackend for Trial {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        changes.holds(offset, out)?;
        out.fill(0);
        let there = place(changes.kept.saturating_sub(offset)).min(out.len());
        if let Some(there) = out.get_mut(..there).filter(|there| !there.is_empty()) {
            self.file.read(offset, there)?;
        }
        for (at, bytes) in &changes.writes {
            let (ours, theirs) = (place(at.saturating_sub(offset)), place(offset.saturating_sub(*at)));
            if let (Some(out), Some(bytes)) = (out.get_mut(ours..), bytes.get(theirs..)) {
                out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = *byte);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes();
        changes.holds(offset, data)?;
        // What is written over as a whole is of no use any more.
        let end = offset.saturating_add(size(data));
        changes.writes.retain(|(at, bytes)| *at < offset || at.saturating_add(size(bytes)) > end);
        changes.writes.push((offset, data.to_vec()));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changes = self.changes();
        (changes.len, changes.kept) = (len, changes.kept.min(len));
        changes.writes.retain_mut(|(at, bytes)| {
            bytes.truncate(place(len.saturating_sub(*at)));
            !bytes.is_empty()
        });
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
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u16, Vec<u8>),
        SetLen(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = (1..600_usize, any::<u8>()).prop_map(|(size, with)| vec![with; size]);
        let write = (0..2_000_u16, bytes).prop_map(|(offset, bytes)| Step::Write(offset, bytes));
        proptest::collection::vec(prop_oneof![write, (0..2_000_u16).prop_map(Step::SetLen)], 0..12)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_the_file_stays_as_it_is(len in 0..2_000_usize, steps in steps()) {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let original: Vec<u8> = (0..len).map(|n| (n % 251) as u8 | 1).collect();
            file.write_all(&original).unwrap();
            let trial = Trial::new(file.reopen().unwrap()).unwrap();
            let mut model = original.clone();
            for step in steps {
                match step {
                    Step::Write(offset, bytes) => {
                        let there = model.get_mut(offset as usize..offset as usize + bytes.len());
                        prop_assert_eq!(trial.write(offset.into(), &bytes).is_ok(), there.is_some());
                        if let Some(there) = there {
                            there.copy_from_slice(&bytes);
                        }
                    }
                    Step::SetLen(len) => {
                        trial.set_len(len.into()).unwrap();
                        model.resize(len.into(), 0);
                    }
                }
                prop_assert_eq!(trial.len().unwrap(), model.len() as u64);
                for from in [0, model.len() / 3] {
                    let mut read = vec![0; model.len() - from];
                    trial.read(from as u64, &mut read).unwrap();
                    prop_assert_eq!(&read, &model[from..]);
                    prop_assert!(trial.read(from as u64 + 1, &mut read).is_err() || read.is_empty());
                }
            }
            prop_assert!(std::fs::read(file.path()).unwrap() == original);
        }
    }
}
