//! A store's contents in a new file.

use std::{fs::File, io, path::Path};

use p2pchat_core::registry::store::Table;
use redb::{
    Builder, ReadTransaction, ReadableTable, ReadableTableMetadata, TableHandle, backends::FileBackend,
};

use super::{
    FORMAT, OpenError,
    engine::{ABOUT, write_format},
    view::{WriteView, definition},
};
use crate::files::Unfinished;

/// Whether to stop is asked after so many records.
const AT_ONCE: usize = 1_024;
/// A copy is written from one end to the other: little of it is needed again.
const CACHE: usize = 16 << 20;

/// Why there is no copy. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It can't be written.
    #[error("can't write {path}: {source}")]
    Write {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The store can't be read, or the copy can't be made of it.
    #[error("can't copy the store: {0}")]
    Store(String),
    /// The copy isn't what it should be.
    #[error("the copy can't be read back: {0}")]
    Copy(String),
    /// The registry ends.
    #[error("the registry ends")]
    Stopped,
}

impl BackupError {
    pub(super) fn store(error: impl Into<redb::Error>) -> Self {
        Self::Store(error.into().to_string())
    }
}

/// Writes all that is kept to a new file, which is on disk and in its place at the end. Stops when `goes_on` is false.
pub(super) fn copy(kept: &ReadTransaction, to: &Path, goes_on: &dyn Fn() -> bool) -> Result<(), BackupError> {
    finish(write_copy(kept, made(to, Unfinished::new)?, Table::ALL, goes_on)?, to)
}

/// An empty file on its way there.
pub(super) fn made(
    to: &Path,
    make: impl FnOnce(&Path) -> io::Result<(Unfinished, File)>,
) -> Result<(Unfinished, File), BackupError> {
    make(to).map_err(|source| BackupError::Write { path: to.display().to_string(), source })
}

pub(super) fn finish(unfinished: Unfinished, to: &Path) -> Result<(), BackupError> {
    unfinished.finish().map_err(|source| BackupError::Write { path: to.display().to_string(), source })
}

/// As [`copy`], of some tables into a file that is [`made`], up to the moment when it would come into its place.
pub(super) fn write_copy(
    kept: &ReadTransaction,
    (unfinished, file): (Unfinished, File),
    tables: &[Table],
    goes_on: &dyn Fn() -> bool,
) -> Result<Unfinished, BackupError> {
    let backend = FileBackend::new(file).map_err(BackupError::store)?;
    let database =
        Builder::new().set_cache_size(CACHE).create_with_backend(backend).map_err(BackupError::store)?;
    let transaction = database.begin_write().map_err(BackupError::store)?;
    {
        // What is there, which in a file of an older format isn't all that this version knows.
        let listed = kept.list_tables().map_err(BackupError::store)?;
        let there: Vec<_> = listed.map(|table| table.name().to_owned()).collect();
        for &table in tables.iter().filter(|table| there.iter().any(|name| name == table.name())) {
            let from = kept.open_table(definition(table)).map_err(BackupError::store)?;
            let mut to = transaction.open_table(definition(table)).map_err(BackupError::store)?;
            for (number, entry) in from.iter().map_err(BackupError::store)?.enumerate() {
                if number % AT_ONCE == 0 && !goes_on() {
                    return Err(BackupError::Stopped);
                }
                let (key, value) = entry.map_err(BackupError::store)?;
                to.insert(key.value(), value.value()).map_err(BackupError::store)?;
            }
            if from.len().map_err(BackupError::store)? != to.len().map_err(BackupError::store)? {
                return Err(BackupError::Copy(format!("the table {} isn't whole", table.name())));
            }
        }
        // Last, as what makes it a registry's.
        let from = kept.open_table(ABOUT).map_err(BackupError::store)?;
        let mut to = transaction.open_table(ABOUT).map_err(BackupError::store)?;
        for entry in from.iter().map_err(BackupError::store)? {
            let (key, value) = entry.map_err(BackupError::store)?;
            to.insert(key.value(), value.value()).map_err(BackupError::store)?;
        }
    }
    transaction.commit().map_err(BackupError::store)?;
    database.close().map_err(BackupError::store)?;
    Ok(unfinished)
}

/// Makes a new store in a data folder, that holds what `fill` puts there, on disk and in its place; or nothing at all, if that fails.
pub(crate) fn make_store<T, E>(
    to: &Path,
    fill: impl FnOnce(&mut WriteView<'_>) -> Result<T, E>,
) -> Result<Result<T, E>, BackupError> {
    let (unfinished, file) = made(to, Unfinished::in_data_folder)?;
    let backend = FileBackend::new(file).map_err(BackupError::store)?;
    let database =
        Builder::new().set_cache_size(CACHE).create_with_backend(backend).map_err(BackupError::store)?;
    let engine = |error: OpenError| BackupError::Store(error.to_string());
    write_format(to, &database, FORMAT).map_err(engine)?;
    let transaction = database.begin_write().map_err(BackupError::store)?;
    let mut view = WriteView::new(&transaction);
    let filled = fill(&mut view);
    drop(view);
    if filled.is_ok() {
        transaction.commit().map_err(BackupError::store)?;
        database.close().map_err(BackupError::store)?;
        finish(unfinished, to)?;
    }
    Ok(filled)
}
