//! What operators have done: a line for each request, in a file of its own and in the log.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use serde::Serialize;
use serde_json::Value;

use super::utc;

/// Who asks, as the system says.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Who {
    pub(super) uid: u32,
    /// None if the system doesn't say.
    pub(super) pid: Option<i32>,
}

/// What was asked and what became of it.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    time: String,
    #[serde(flatten)]
    who: Who,
    request: &'a Value,
    result: &'a Value,
}

/// The file.
#[derive(Debug, Clone)]
pub(super) struct Audit {
    path: PathBuf,
}

impl Audit {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Adds a line. A full disk doesn't keep an operator from what they have to do: the log has it in any case.
    pub(super) async fn record(&self, who: Who, request: Value, result: Value) {
        tracing::info!(uid = who.uid, pid = who.pid, %request, %result, "asked by the operator");
        let entry = Entry { time: utc::now(), who, request: &request, result: &result };
        let (path, line) = (self.path.clone(), serde_json::to_string(&entry));
        let written = tokio::task::spawn_blocking(move || append(&path, &line?)).await;
        if let Err(error) = written.map_err(io::Error::from).flatten() {
            tracing::error!(path = ?self.path, %error, "can't write to the audit log");
        }
    }
}

/// Opened each time, so that a log rotation takes it along whenever it likes.
fn append(path: &PathBuf, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}
