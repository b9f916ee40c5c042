//! A history's file: made, checked, opened.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, Error, ReadOnlyDatabase, ReadTransaction,
    ReadableDatabase as _, TableError, backends::FileBackend,
};

use super::{
    tables::{META, Tables, VERSION},
    trial::Trial,
};
use crate::{
    exit::{Exit, Failure},
    private,
};

/// The format that this program writes, and the newest that it reads.
pub(super) const FORMAT: u64 = 1;
/// How much memory may be used to keep parts of the file in.
const CACHE: usize = 4 << 20;
/// How often a reader looks whether a file that was left in disorder is in order.
const TRIES: usize = 50;
/// How long it waits in between.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the history isn't there. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Another program has it open to write to it.
    #[error("the history {} is in use by another p2pchat", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is no history: move it away", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// A later version has written it.
    #[error("the history {} has format {found}, this version knows formats up to {known}: use a newer p2pchat", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },
    /// It can't be read as what it says it is.
    #[error("the history {} is damaged ({problem}): move it away, or put back a copy", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the engine says.
        problem: String,
    },
    /// It can't be opened, read or written to.
    #[error("can't use the history {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ArchiveError {
    pub(super) fn of(path: &Path, error: impl Into<Error>) -> Self {
        let path = path.to_owned();
        match error.into() {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => Self::InUse { path },
            Error::Io(source)
                if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                Self::Io { path, source }
            }
            Error::Unsupported => Self::Io { path, source: ErrorKind::Unsupported.into() },
            Error::Corrupted(problem) => Self::Damaged { path, problem },
            error => Self::Damaged { path, problem: error.to_string() },
        }
    }

    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

/// One writes; whoever reads meanwhile sees what was committed before. Where the system has no locks for that, nobody reads.
const MODE: ConcurrencyMode = if cfg!(any(target_os = "linux", target_vendor = "apple", windows)) {
    ConcurrencyMode::SingleWriter
} else {
    ConcurrencyMode::ExclusiveWriter
};

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_concurrency_mode(MODE);
    builder
}

/// Opens the file, or makes it. One that isn't fit for it is refused, and left as it is.
pub(super) fn open(path: &Path) -> Result<Database, ArchiveError> {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => private::write(path, false, make).map_err(|source| ArchiveError::io(path, source))?,
        Err(source) => return Err(ArchiveError::io(path, source)),
    }
    check(path)?;
    try_out(path)?;
    reopen(path)
}

/// Opens the file that was found good when this program opened it first.
pub(super) fn reopen(path: &Path) -> Result<Database, ArchiveError> {
    builder().open(path).map_err(|error| ArchiveError::of(path, error))
}

/// Opens the file to read it. Whoever wants to write to it is kept off for as long as it takes to check it, and not after.
pub(super) fn look(path: &Path) -> Result<ReadOnlyDatabase, ArchiveError> {
    check(path)?;
    match try_out(path) {
        // Its writer has found it good.
        Err(ArchiveError::InUse { .. }) => {}
        tried => tried?,
    }
    let database = open_read_only(path)?;
    check_format(path, &database.begin_read().map_err(|error| ArchiveError::of(path, error))?)?;
    Ok(database)
}

#[allow(clippy::disallowed_methods)] // nothing tells when another process has come to its end with it
fn open_read_only(path: &Path) -> Result<ReadOnlyDatabase, ArchiveError> {
    for _ in 0..TRIES {
        match builder().open_read_only(path) {
            Err(DatabaseError::RepairAborted) => {}
            opened => return opened.map_err(|error| ArchiveError::of(path, error)),
        }
        // Whoever wrote to it has come to a sudden end, which only a writer makes up for.
        match reopen(path) {
            Ok(database) => database.close().map_err(|error| ArchiveError::of(path, error))?,
            // Another one is about to.
            Err(ArchiveError::InUse { .. }) => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Err(ArchiveError::InUse { path: path.to_owned() })
}

/// That nobody else can read it, and that it begins as the engine's files do.
fn check(path: &Path) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::io(path, source);
    private::check_modes(path).map_err(failed)?;
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)).map_err(failed)?;
    if start == b"redb" { Ok(()) } else { Err(ArchiveError::Foreign { path: path.to_owned() }) }
}

/// Reads the file from end to end, as the engine wouldn't bear one that was tampered with; what it would do to a damaged one
/// happens in memory.
fn try_out(path: &Path) -> Result<(), ArchiveError> {
    let file = File::options().read(true).write(true).open(path);
    let trial = Trial::new(file.map_err(|source| ArchiveError::io(path, source))?);
    let database =
        trial.and_then(|trial| builder().set_check_integrity_on_open(true).create_with_backend(trial));
    let database = database.map_err(|error| ArchiveError::of(path, error))?;
    check_format(path, &database.begin_read().map_err(|error| ArchiveError::of(path, error))?)?;
    database.close().map_err(|error| ArchiveError::of(path, error))
}

fn check_format(path: &Path, transaction: &ReadTransaction) -> Result<(), ArchiveError> {
    let format = match transaction.open_table(META) {
        Ok(meta) => meta.get(VERSION).map_err(|error| ArchiveError::of(path, error))?,
        Err(TableError::Storage(error)) => return Err(ArchiveError::of(path, error)),
        Err(_) => None,
    };
    match format.map(|format| format.value()) {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => {
            Err(ArchiveError::Newer { path: path.to_owned(), found, known: FORMAT })
        }
        _ => Err(ArchiveError::Foreign { path: path.to_owned() }),
    }
}

fn make(file: &mut File) -> io::Result<()> {
    let file = file.try_clone()?;
    let made = || -> Result<(), Error> {
        let database = builder().create_with_backend(FileBackend::new(file)?)?;
        let transaction = database.begin_write()?;
        let mut tables = Tables::open(&transaction)?;
        tables.set_version(FORMAT)?;
        tables.finish()?;
        transaction.commit()?;
        Ok(database.close()?)
    };
    made().map_err(|error| match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    })
}
