//! The redb file: opening, checking, and opening again after an error of the disk.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use p2pchat_core::registry::store::{StoreError, Table, is_prepared, prepare, upgrade};
use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, StorageError,
    TableDefinition, TableHandle, backends::FileBackend,
};

use super::{
    FORMAT, backup,
    trial::Trial,
    view::{ReadView, WriteView, failed},
};
use crate::files::{self, Unfinished};

/// Says that the file is a registry's, and in which format.
pub(super) const ABOUT: TableDefinition<'static, &str, u64> = TableDefinition::new("p2pchat registry");
const FORMAT_KEY: &str = "format";
/// What is read once, from end to end, isn't wanted in memory again.
const TRIAL_CACHE: usize = 4 << 20;
const NOT_WRITABLE: &str = "the database can't be written to";

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the file open.
    #[error("{} is in use by another registry: stop it, or choose another --data-dir", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a registry's data; move it away, or choose another --data-dir", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// The file was written by a later version.
    #[error("{} has format {found}, this version knows formats up to {known}: use a newer p2pchat-registryd", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// The file can't be read as what it says it is.
    #[error("{} is damaged ({problem}): put back a backup; it was left as it is", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the engine says.
        problem: String,
    },
    /// A file of an older format has to be kept as it was before it is upgraded, and can't be.
    #[error("{} has format {older} and is copied before it is upgraded to {FORMAT}, which failed: {problem}", path.display())]
    NotKept {
        /// Which file.
        path: PathBuf,
        /// Its format.
        older: u64,
        /// Why there is no copy.
        problem: String,
    },
    /// The file can't be opened or made.
    #[error("can't open {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A thread can't be started.
    #[error("can't start a thread: {0}")]
    Thread(io::Error),
}

type Open = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

/// An open file, or one that is to be opened at the next use.
pub(super) struct Engine {
    /// What is opened, as it is called.
    path: PathBuf,
    reopen: Open,
    /// As it is, with what is written to it in memory alone.
    look: Open,
    /// False if opening it for writing is certain to fail.
    is_writable: Box<dyn Fn() -> bool + Send + Sync>,
    access: RwLock<Access>,
}

enum Access {
    Closed,
    Whole(Database),
    /// The file can't be written to: what needs no write goes on.
    Looking(Database),
}

impl Engine {
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        let database = open(path, cache_bytes, Opening::First)?;
        let (again, seen, there) = (path.to_path_buf(), path.to_path_buf(), path.to_path_buf());
        Ok(Self {
            path: path.into(),
            reopen: Box::new(move || open(&again, cache_bytes, Opening::Again)),
            look: Box::new(move || {
                let database =
                    Builder::new().set_cache_size(cache_bytes).create_with_backend(trial_of(&seen)?);
                let database = database.map_err(|error| refused(&seen, error))?;
                make_current(&seen, &database, |_| Ok(()))?;
                Ok(database)
            }),
            is_writable: Box::new(move || File::options().write(true).open(&there).is_ok()),
            access: RwLock::new(Access::Whole(database)),
        })
    }

    /// As [`open`](Self::open), with what is in place of a file, and that as it is looked at.
    #[cfg(test)]
    pub(super) fn on(
        medium: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static,
        seen: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        fn opening(medium: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static) -> Open {
            Box::new(move || {
                let path = Path::new("a test's");
                let database = medium().map_err(|error| refused(path, error))?;
                make_current(path, &database, |_| Ok(()))?;
                Ok(database)
            })
        }
        let (reopen, look) = (opening(medium), opening(seen));
        let access = RwLock::new(Access::Whole(reopen()?));
        Ok(Self { path: PathBuf::from("a test's"), reopen, look, is_writable: Box::new(|| true), access })
    }

    /// Has the file opened anew for the next use: after a failed write the engine refuses everything.
    pub(super) fn close(&self) {
        let mut access = self.access.write().unwrap_or_else(PoisonError::into_inner);
        if let Access::Whole(_) = *access {
            *access = Access::Closed;
        }
    }

    /// Writes what is there already, and makes that durable.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        self.with(true, |database, is_whole| {
            if !is_whole {
                return Err(failed(NOT_WRITABLE));
            }
            let transaction = database.begin_write().map_err(failed)?;
            transaction.open_table(ABOUT).map_err(failed)?.insert(FORMAT_KEY, FORMAT).map_err(failed)?;
            transaction.commit().map_err(failed)
        })
    }

    /// How large the file is, in bytes.
    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.path)?.len())
    }

    /// How many entries each table has.
    pub(super) fn entries(&self) -> Result<Vec<(Table, u64)>, StoreError> {
        self.read(ReadView::entries)?
    }

    /// All that is committed by now, however long it takes to read it. It can't be read to its end if the file is closed
    /// meanwhile.
    pub(super) fn snapshot(&self) -> Result<ReadTransaction, StoreError> {
        self.with(false, |database, _| database.begin_read().map_err(failed))
    }

    pub(super) fn read<T>(&self, run: impl FnOnce(&ReadView) -> T) -> Result<T, StoreError> {
        self.with(false, |database, _| {
            let transaction = database.begin_read().map_err(failed)?;
            Ok(run(&ReadView::new(&transaction).map_err(failed)?))
        })
    }

    /// Runs changes in one transaction, and commits it unless `run` fails or changes nothing.
    pub(super) fn write<T, E>(
        &self,
        run: impl FnOnce(&mut WriteView<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, StoreError> {
        self.with(true, |database, is_whole| {
            let mut transaction = database.begin_write().map_err(failed)?;
            transaction.set_durability(Durability::Immediate).map_err(failed)?;
            let mut view = WriteView::new(&transaction);
            let result = run(&mut view);
            let commit = result.is_ok() && view.changes() > 0;
            drop(view);
            if commit && !is_whole {
                transaction.abort().map_err(failed)?;
                return Err(failed(NOT_WRITABLE));
            }
            if commit {
                transaction.commit().map_err(failed)?;
            } else {
                transaction.abort().map_err(failed)?;
            }
            Ok(result)
        })
    }

    /// Runs what may turn out to be a change, in a transaction that is never committed, on what is open.
    pub(super) fn attempt<T>(&self, run: impl FnOnce(&mut WriteView<'_>) -> T) -> Result<T, StoreError> {
        self.with(false, |database, _| {
            let transaction = database.begin_write().map_err(failed)?;
            let mut view = WriteView::new(&transaction);
            let result = run(&mut view);
            drop(view);
            transaction.abort().map_err(failed)?;
            Ok(result)
        })
    }

    /// `run` is told whether the file itself is open, or only looked at.
    fn with<T>(
        &self,
        for_writing: bool,
        run: impl FnOnce(&Database, bool) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let will_do = |access: &Access| match access {
            Access::Closed => false,
            Access::Whole(_) => true,
            Access::Looking(_) => !(for_writing && (self.is_writable)()),
        };
        let mut access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        if !will_do(&access) {
            drop(access);
            let mut changing = self.access.write().unwrap_or_else(PoisonError::into_inner);
            if !will_do(&changing) {
                // What is looked at may be locked.
                *changing = Access::Closed;
                *changing = self.open_again()?;
            }
            drop(changing);
            access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        }
        match &*access {
            Access::Whole(database) => run(database, true),
            Access::Looking(database) => run(database, false),
            Access::Closed => Err(failed("the store was closed")),
        }
    }

    fn open_again(&self) -> Result<Access, StoreError> {
        match (self.reopen)() {
            Ok(database) => {
                tracing::info!(path = ?self.path, "the store is open again");
                Ok(Access::Whole(database))
            }
            Err(error) => match (self.look)() {
                Ok(database) => {
                    tracing::error!(path = ?self.path, %error, "the store can't be written to; what needs no write goes on");
                    Ok(Access::Looking(database))
                }
                Err(_) => Err(failed(error)),
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// At start: the file is made if need be, and [tried out](try_out), so that a damaged one is refused here and not
    /// found out in the midst of service.
    First,
    /// After a failure.
    Again,
}

fn open(path: &Path, cache_bytes: usize, opening: Opening) -> Result<Database, OpenError> {
    if is_foreign(path).map_err(|source| io(path, source))? {
        return Err(OpenError::Foreign { path: path.into() });
    }
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    if opening == Opening::First {
        if is_missing(path).map_err(|source| io(path, source))? {
            make(path, &builder)?;
        }
        try_out(path)?;
        files::make_private(path).map_err(|source| io(path, source))?;
    }
    let database = builder.open(path).map_err(|error| refused(path, error))?;
    let upgraded = make_current(path, &database, |older| keep_copy(path, &database, older))?;
    if let Some(older) = upgraded {
        tracing::info!(?path, from = older, to = FORMAT, "the store has been upgraded");
    }
    Ok(database)
}

/// Makes what is open one of this version's: a new file gets its tables, an older one is upgraded once it is kept as it was.
/// The older format, if it was one, is returned.
pub(super) fn make_current(
    path: &Path,
    database: &Database,
    keep: impl FnOnce(u64) -> Result<(), OpenError>,
) -> Result<Option<u64>, OpenError> {
    match format_of(path, database)? {
        None => write_format(path, database, FORMAT)?,
        Some(FORMAT) => {
            if !is_current(path, database)? {
                write_format(path, database, FORMAT)?;
            }
        }
        Some(older) => {
            keep(older)?;
            write_format(path, database, older)?;
            return Ok(Some(older));
        }
    }
    Ok(None)
}

/// A copy of a file of an older format, beside it.
fn keep_copy(path: &Path, database: &Database, older: u64) -> Result<(), OpenError> {
    let copy = files::with_suffix(path, &format!(".format-{older}"));
    let kept = database.begin_read().map_err(|error| damaged(path, error.into()))?;
    let removed = match fs::remove_file(&copy) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io(&copy, error)),
        // What a start left behind that did not come to its end.
        _ => Ok(()),
    };
    removed.and_then(|()| {
        backup::copy(&kept, &copy, &|| true).map_err(|error| OpenError::NotKept {
            path: path.into(),
            older,
            problem: error.to_string(),
        })
    })?;
    tracing::info!(?copy, format = older, "kept the store as it was before it is upgraded");
    Ok(())
}

/// Refuses a file that is not to be used: it is read from end to end, and every page compared with its checksum. Even a
/// damaged or foreign one would be written to by opening it: what the engine would do to it here, and how it would come
/// out, happens in memory. Once is enough: what is opened afterwards is what was found good a moment ago.
fn try_out(path: &Path) -> Result<(), OpenError> {
    let mut builder = Builder::new();
    builder.set_cache_size(TRIAL_CACHE).set_check_integrity_on_open(true);
    let file = File::options().read(true).write(true).open(path).map_err(|source| io(path, source))?;
    let database = Trial::new(file).and_then(|trial| builder.create_with_backend(trial));
    let database = database.map_err(|error| refused(path, error))?;
    // An upgrade that would fail is found out here, too.
    make_current(path, &database, |_| Ok(()))?;
    database.close().map_err(|error| refused(path, error))
}

/// A file that is looked at, and stays as it is.
pub(super) fn trial_of(path: &Path) -> Result<Trial, OpenError> {
    let trial = match File::options().read(true).write(true).open(path) {
        Ok(file) => Trial::new(file),
        // Whoever may not write to it has nobody to fear who does, or can't help it.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Trial::unlocked(File::open(path).map_err(|source| io(path, source))?)
        }
        Err(source) => return Err(io(path, source)),
    };
    trial.map_err(|error| refused(path, error))
}

pub(super) fn io(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.into(), source }
}

pub(super) fn refused(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse { path: path.into() }
        }
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            io(path, source)
        }
        error => OpenError::Damaged { path: path.into(), problem: error.to_string() },
    }
}

pub(super) fn damaged(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) => io(path, source),
        error => OpenError::Damaged { path: path.into(), problem: error.to_string() },
    }
}

/// The format of a registry's file, none if it is new; an error if it is newer than this version or anybody else's.
pub(super) fn format_of(path: &Path, database: &Database) -> Result<Option<u64>, OpenError> {
    match format(database).map_err(|error| damaged(path, error))? {
        Format::Known(format) => Ok(Some(format)),
        Format::None => Ok(None),
        Format::Foreign => Err(OpenError::Foreign { path: path.into() }),
        Format::Newer(found) => Err(OpenError::Newer { path: path.into(), found, known: FORMAT }),
    }
}

/// True if there is something in the file, and it doesn't begin as the engine's files do.
pub(super) fn is_foreign(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut start = Vec::new();
    file.take(4).read_to_end(&mut start)?;
    Ok(!start.is_empty() && start != b"redb")
}

/// True also for a file without anything in it.
fn is_missing(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len() == 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// By way of another name, so that nothing is removed that somebody has put there this moment.
fn remove_if_empty(path: &Path) -> io::Result<()> {
    let aside = files::with_suffix(path, ".empty");
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    if fs::metadata(&aside)?.len() > 0 {
        fs::hard_link(&aside, path)?;
    }
    fs::remove_file(&aside)
}

/// Makes a new file beside its place, where it comes when it is on disk: half of one would be taken for somebody else's.
fn make(path: &Path, builder: &Builder) -> Result<(), OpenError> {
    let failed = |source| io(path, source);
    remove_if_empty(path).map_err(failed)?;
    let (unfinished, file) = Unfinished::new(path).map_err(failed)?;
    let backend = FileBackend::new(file).map_err(|error| refused(path, error))?;
    let database = builder.create_with_backend(backend).map_err(|error| refused(path, error))?;
    write_format(path, &database, FORMAT)?;
    database.close().map_err(|error| refused(path, error))?;
    match unfinished.finish() {
        // Somebody else was faster, and has it in use perhaps.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(failed),
    }
}

enum Format {
    /// The file is new.
    None,
    Known(u64),
    Newer(u64),
    Foreign,
}

fn format(database: &Database) -> Result<Format, redb::Error> {
    let transaction = database.begin_read()?;
    let mut tables = transaction.list_tables()?.peekable();
    if tables.peek().is_none() {
        return Ok(Format::None);
    }
    if !tables.any(|table| table.name() == ABOUT.name()) {
        return Ok(Format::Foreign);
    }
    Ok(match transaction.open_table(ABOUT)?.get(FORMAT_KEY)?.map(|format| format.value()) {
        Some(found @ 1..=FORMAT) => Format::Known(found),
        Some(found) if found > FORMAT => Format::Newer(found),
        _ => Format::Foreign,
    })
}

/// False if the file was written when there were fewer tables, or what one of them has is to be made anew.
fn is_current(path: &Path, database: &Database) -> Result<bool, OpenError> {
    let has_tables = || -> Result<bool, redb::Error> {
        let transaction = database.begin_read()?;
        let names: BTreeSet<_> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
        Ok(Table::ALL.iter().all(|table| names.contains(table.name())))
    };
    let view = || -> Result<ReadView, redb::Error> { Ok(ReadView::new(&database.begin_read()?)?) };
    if !has_tables().map_err(|error| damaged(path, error))? {
        return Ok(false);
    }
    let view = view().map_err(|error| damaged(path, error))?;
    is_prepared(&view).map_err(|error| unprepared(path, &error))
}

/// Makes the tables that aren't there, and this version's format of what is there in format `from`: all of it or nothing.
pub(super) fn write_format(path: &Path, database: &Database, from: u64) -> Result<(), OpenError> {
    let failed = |error: redb::Error| damaged(path, error);
    let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
    let about = || -> Result<(), redb::Error> {
        transaction.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
        Ok(())
    };
    about().map_err(failed)?;
    let mut view = WriteView::new(&transaction);
    view.make_tables().map_err(|error| failed(error.into()))?;
    let prepared = upgrade(&mut view, from).and_then(|()| prepare(&mut view));
    prepared.map_err(|error| unprepared(path, &error))?;
    drop(view);
    transaction.commit().map_err(|error| failed(error.into()))
}

fn unprepared(path: &Path, error: &StoreError) -> OpenError {
    match error {
        StoreError::Corrupt(_) => OpenError::Damaged { path: path.into(), problem: error.to_string() },
        _ => io(path, io::Error::other(error.to_string())),
    }
}
