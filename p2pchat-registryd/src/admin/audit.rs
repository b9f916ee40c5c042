//! What operators have changed: a line before each change and one after it, in a file of its own and in the log.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::Serialize;
use serde_json::Value;

use super::utc;
use crate::files;

/// Who asks.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum Who {
    /// A program on the admin socket, as the system says; it doesn't always know the process.
    Program { uid: u32, pid: Option<i32> },
    /// Whoever may signal the daemon; the system doesn't say who it was.
    Signal { signal: &'static str },
}

impl Who {
    /// For the log: user, process, signal.
    fn parts(self) -> (Option<u32>, Option<i32>, Option<&'static str>) {
        match self {
            Self::Program { uid, pid } => (Some(uid), pid, None),
            Self::Signal { signal } => (None, None, Some(signal)),
        }
    }
}

/// A line. Each holds all that is known by then, so that none needs another to be understood.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    time: String,
    /// The same in both lines of one request, and in no others.
    id: &'a str,
    #[serde(flatten)]
    who: Who,
    request: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Audit {
    path: PathBuf,
    /// What sets the ids of this run apart from those of others: when it began.
    run: u128,
    count: AtomicU64,
}

/// A request that is in the file, and not yet what came of it.
#[derive(Debug)]
pub(super) struct Begun<'a> {
    audit: &'a Audit,
    id: String,
    who: Who,
    request: Value,
    /// Whether it is there.
    pub(super) recorded: io::Result<()>,
}

impl Audit {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(files::AUDIT), run: utc::unix_millis(), count: AtomicU64::new(0) }
    }

    /// Adds that this is asked, before anything is done about it: whatever happens then, the file has it.
    pub(super) async fn begin(&self, who: Who, request: Value) -> Begun<'_> {
        let id = format!("{:x}-{}", self.run, self.count.fetch_add(1, Ordering::Relaxed));
        let (uid, pid, signal) = who.parts();
        tracing::info!(id, uid, pid, signal, %request, "asked by the operator");
        let recorded = self.add(&id, who, &request, None).await;
        Begun { audit: self, id, who, request, recorded }
    }

    /// On disk, or an error that the log has as well.
    async fn add(&self, id: &str, who: Who, request: &Value, result: Option<&Value>) -> io::Result<()> {
        let entry = Entry { time: utc::now(), id, who, request, result };
        let (path, line) = (self.path.clone(), serde_json::to_string(&entry));
        let written = tokio::task::spawn_blocking(move || append(&path, &line?)).await;
        written.map_err(io::Error::from).flatten().inspect_err(|error| {
            tracing::error!(path = ?self.path, %error, "can't write to the audit log");
        })
    }
}

impl Begun<'_> {
    /// Adds what came of it. What is done is done, also if that can't be written.
    pub(super) async fn end(self, result: &Value) {
        let (uid, pid, signal) = self.who.parts();
        tracing::info!(id = self.id, uid, pid, signal, %result, "answered the operator");
        _ = self.audit.add(&self.id, self.who, &self.request, Some(result)).await;
    }
}

/// Opened each time, so that a log rotation takes the file along whenever it likes.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let is_new = file.metadata()?.len() == 0;
    // What was cut short by a full disk or the end of the machine is not to take this line with it.
    let line = if is_new || ends_with_line(&mut file)? { format!("{line}\n") } else { format!("\n{line}\n") };
    file.write_all(line.as_bytes())?;
    file.sync_data()?;
    if is_new { files::sync_folder_of(path) } else { Ok(()) }
}

fn ends_with_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::append;

    #[test]
    fn a_line_that_was_cut_short_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        append(&path, "one").unwrap();
        fs::write(&path, "one\n{\"half").unwrap();
        append(&path, "two").unwrap();
        append(&path, "three").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n{\"half\ntwo\nthree\n");
    }
}
