//! What is done with a registry's data while no registry runs on it: verify, restore, export, import.

pub(crate) mod lines;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use p2pchat_core::registry::store::{ReadTransaction, Report, StoreError};

use crate::{
    config::{self, Config, ConfigError, Settings},
    files::{self, Unfinished},
    store::{BackupError, FORMAT, OpenError, Snapshot, make_store},
};
use lines::{ExportError, ImportError, LineError};

/// Which data folder.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// The registry's configuration file
    #[arg(long, value_name = "FILE", env = "P2PCHAT_REGISTRYD_CONFIG")]
    config: Option<PathBuf>,
    /// The registry's data folder [default: what the configuration file says, or the daemon's default]
    #[arg(long, value_name = "DIR", env = "P2PCHAT_REGISTRYD_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        let flags = Settings { data_dir: self.data_dir.clone(), ..Settings::default() };
        let file = match &self.config {
            Some(path) if flags.data_dir.is_none() => config::File::read(path)?.settings(),
            _ => Settings::default(),
        };
        Config::data_dir_of(&flags.or(file))
    }
}

/// Why it isn't done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It isn't known which folder is meant.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file to be read can't be.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was found in it, a line each.
    #[error("{}", .0.join("\n"))]
    Unsound(Vec<String>),
    /// The folder can't be made.
    #[error("can't use the data folder {}: {source}", path.display())]
    DataFolder { path: PathBuf, source: io::Error },
    /// Data would be overwritten.
    #[error("there is a registry's data already: {}: choose an empty --data-dir, or move the file away", path.display())]
    NotEmpty { path: PathBuf },
    /// It can't be written.
    #[error(transparent)]
    Write(#[from] BackupError),
    /// The text can't be read.
    #[error("can't read {}: {source}", path.display())]
    Input { path: PathBuf, source: io::Error },
    /// The text can't be written.
    #[error("can't write {to}: {problem}")]
    Output { to: String, problem: String },
}

fn unsound(path: &Path, report: &Report) -> Error {
    let mut lines: Vec<_> =
        report.problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
    let more = report.found.saturating_sub(u64::try_from(report.problems.len()).unwrap_or(u64::MAX));
    if more > 0 {
        lines.push(format!("{}: {more} more", path.display()));
    }
    Error::Unsound(lines)
}

/// How much there is of what, in words.
pub(crate) fn counted(report: &Report) -> String {
    let counts: Vec<_> =
        report.records.iter().map(|(table, count)| format!("{} {count}", table.name())).collect();
    if counts.is_empty() { "nothing in it".to_owned() } else { counts.join(", ") }
}

fn sound_snapshot(file: &Path) -> Result<(Snapshot, Report), Error> {
    let snapshot = Snapshot::open(file)?;
    let report = snapshot.check()?;
    if report.is_sound() { Ok((snapshot, report)) } else { Err(unsound(file, &report)) }
}

/// Checks a file end to end. What is said of it is returned.
pub(crate) fn verify(file: &Path) -> Result<String, Error> {
    let (snapshot, report) = sound_snapshot(file)?;
    let upgrade = match snapshot.format() {
        FORMAT => String::new(),
        older => format!(" (format {older}, to be upgraded to {FORMAT})"),
    };
    Ok(format!("{}: fine{upgrade}: {}", file.display(), counted(&report)))
}

/// Puts a backup into a data folder that has no database.
pub(crate) fn restore(file: &Path, place: &Place) -> Result<String, Error> {
    let store = free_place(place)?;
    let (snapshot, report) = sound_snapshot(file)?;
    make_folder(&store)?;
    snapshot.restore(&store)?;
    Ok(format!("{}: {}", store.display(), counted(&report)))
}

/// Where the database is to be, where there is none yet.
fn free_place(place: &Place) -> Result<PathBuf, Error> {
    let path = place.data_dir()?.join(files::STORE);
    if path.symlink_metadata().is_ok() { Err(Error::NotEmpty { path }) } else { Ok(path) }
}

fn make_folder(store: &Path) -> Result<(), Error> {
    let path = store.parent().unwrap_or(Path::new("."));
    files::private_folder(path).map_err(|source| Error::DataFolder { path: path.into(), source })
}

/// Writes all that is in a backup, or in a data folder that no registry uses, to a new file or to standard output.
pub(crate) fn export(from: Option<&Path>, place: &Place, to: Option<&Path>) -> Result<Option<String>, Error> {
    let from = match from {
        Some(file) => file.to_owned(),
        None => place.data_dir()?.join(files::STORE),
    };
    let (snapshot, _) = sound_snapshot(&from)?;
    let failed = |error: ExportError| match error {
        ExportError::Output(error) => StoreError::Engine(error.to_string().into()),
        ExportError::Store(error) => error,
    };
    match to {
        None => {
            let mut output = BufWriter::new(io::stdout().lock());
            let written = snapshot.read(|view| Ok(lines::export(view, &mut output)))?;
            match written {
                // Who reads no further has seen enough.
                Err(ExportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
                written => match written.map_err(failed) {
                    Ok(_) => Ok(None),
                    Err(error) => {
                        Err(Error::Output { to: "to standard output".into(), problem: error.to_string() })
                    }
                },
            }
        }
        Some(to) => {
            let entries = snapshot.read(|view| Ok(export_to(view, to, &|| true)))??;
            Ok(Some(format!("{}: {entries} entries", to.display())))
        }
    }
}

/// Writes all that is kept to a new file, mode 0600: there are password hashes in it. Stops when `goes_on` is false, and leaves
/// nothing then.
pub(crate) fn export_to(
    transaction: &impl ReadTransaction,
    to: &Path,
    goes_on: &dyn Fn() -> bool,
) -> Result<u64, Error> {
    let failed = |problem: &dyn std::fmt::Display| match goes_on() {
        true => Error::Output { to: to.display().to_string(), problem: problem.to_string() },
        false => Error::Write(BackupError::Stopped),
    };
    let (unfinished, file) = Unfinished::new(to).map_err(|error| failed(&error))?;
    let mut output = BufWriter::new(WhileItGoesOn { output: file, goes_on });
    let entries = lines::export(transaction, &mut output).map_err(|error| failed(&error))?;
    unfinished.finish().map_err(|error| failed(&error))?;
    Ok(entries)
}

/// Fails once it isn't to go on.
struct WhileItGoesOn<'a, W> {
    output: W,
    goes_on: &'a dyn Fn() -> bool,
}

impl<W: Write> Write for WhileItGoesOn<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (self.goes_on)() {
            true => self.output.write(bytes),
            false => Err(io::Error::other(BackupError::Stopped)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Makes a database of what an export holds, in a data folder that has none.
pub(crate) fn import(file: &Path, place: &Place) -> Result<String, Error> {
    let store = free_place(place)?;
    let input = |source| Error::Input { path: file.into(), source };
    let text = BufReader::new(File::open(file).map_err(input)?);
    make_folder(&store)?;
    let entries = make_store(&store, |view| lines::import(text, view))?.map_err(|error| match error {
        ImportError::Input(source) => input(source),
        ImportError::Store(error) => BackupError::Store(error.to_string()).into(),
        ImportError::Lines(errors) => {
            let told = |error: LineError| format!("{}:{error}", file.display());
            Error::Unsound(errors.into_iter().map(told).collect())
        }
    })?;
    Ok(format!("{}: {entries} entries", store.display()))
}

/// Says on standard output what was done.
pub(crate) fn say(done: Option<&str>) {
    if let Some(done) = done {
        // Who has closed it doesn't want to know.
        _ = writeln!(io::stdout(), "{done}");
    }
}
