//! A file that isn't served: looked at, and left as it is.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{PoisonError, atomic::Ordering},
};

use p2pchat_core::registry::store::{Report, StoreError, Table, check};
use redb::{Builder, Database, ReadableDatabase};

use super::{
    OpenError, RedbStore,
    backup::{self, BackupError},
    engine::{damaged, format_of, io, is_foreign, make_current, refused, trial_of},
    view::ReadView,
};
use crate::files::Unfinished;

const CACHE: usize = 64 << 20;

/// A store's file as it is, or, of an older format, as it would be after the upgrade. Nobody else can write to it meanwhile.
pub(crate) struct Snapshot {
    path: PathBuf,
    database: Database,
    /// Its format.
    format: u64,
}

impl Snapshot {
    /// Opens a file and checks it from end to end.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        if is_foreign(path).map_err(|source| io(path, source))? {
            return Err(OpenError::Foreign { path: path.into() });
        }
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(trial_of(path)?).map_err(|error| refused(path, error))?;
        let format = format_of(path, &database)?.ok_or_else(|| OpenError::Foreign { path: path.into() })?;
        make_current(path, &database, |_| Ok(()))?;
        Ok(Self { path: path.into(), database, format })
    }

    /// The format of the file.
    pub(crate) fn format(&self) -> u64 {
        self.format
    }

    /// Looks at what it holds.
    pub(crate) fn read<T>(
        &self,
        run: impl FnOnce(&ReadView) -> Result<T, StoreError>,
    ) -> Result<T, OpenError> {
        let view = || -> Result<ReadView, redb::Error> { Ok(ReadView::new(&self.database.begin_read()?)?) };
        let view = view().map_err(|error| damaged(&self.path, error))?;
        run(&view).map_err(|error| match error {
            StoreError::Corrupt(_) => {
                OpenError::Damaged { path: self.path.clone(), problem: error.to_string() }
            }
            error => io(&self.path, io::Error::other(error.to_string())),
        })
    }

    /// Reads every record, and compares those that speak of the same thing.
    pub(crate) fn check(&self) -> Result<Report, OpenError> {
        self.read(check)
    }

    /// Writes it to a new file in a data folder, in this version's format, without session tokens: some may have been revoked since.
    pub(crate) fn restore(&self, to: &Path) -> Result<(), BackupError> {
        let kept = self.database.begin_read().map_err(BackupError::store)?;
        let tables: Vec<_> = Table::ALL.iter().copied().filter(|&table| table != Table::Tokens).collect();
        let made = backup::made(to, Unfinished::in_data_folder)?;
        backup::finish(backup::write_copy(&kept, made, &tables, &|| true)?, to)
    }
}

impl RedbStore {
    /// Has `run` look at all that is committed by now, while requests go on being answered. The other thing that it gets tells
    /// whether it is to go on.
    pub(crate) fn with_snapshot<T>(
        &self,
        run: impl FnOnce(&ReadView, &dyn Fn() -> bool) -> T,
    ) -> Result<T, BackupError> {
        let kept = self.engine.snapshot().map_err(|error| BackupError::Store(error.to_string()))?;
        Ok(run(&ReadView::new(&kept).map_err(BackupError::store)?, &|| self.goes_on()))
    }

    fn goes_on(&self) -> bool {
        !self.is_stopping.load(Ordering::Relaxed)
    }

    /// Writes all that is committed by now to a new file, while requests go on being answered. It is there, read back and on
    /// disk, or not at all; what is there under that name stays as it is. Takes as long as it takes; the caller isn't an event
    /// loop.
    ///
    /// # Errors
    /// If it can't be written, or if the store fails or is [stopped](Self::stop_backups) meanwhile.
    pub fn backup(&self, to: &Path) -> Result<Report, BackupError> {
        let _turn = self.backups.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.engine.snapshot().map_err(|error| BackupError::Store(error.to_string()))?;
        let made = backup::made(to, Unfinished::new)?;
        let unfinished = backup::write_copy(&kept, made, Table::ALL, &|| self.goes_on())?;
        drop(kept);
        let report = Snapshot::open(unfinished.path())
            .and_then(|copy| copy.check())
            .map_err(|error| BackupError::Copy(error.to_string()))?;
        if !self.goes_on() {
            return Err(BackupError::Stopped);
        }
        backup::finish(unfinished, to)?;
        Ok(report)
    }
}
