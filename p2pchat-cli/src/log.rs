//! The log file, for whoever looks for a fault. Secrets are never in it: their types don't show themselves.

use std::{fs::OpenOptions, path::Path, sync::Mutex};

use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failure};

/// Appends the program's log to `file`, readable by its owner alone. `RUST_LOG` says how much; `info` unless set.
pub(crate) fn to_file(file: &Path) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let opened = options.open(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("--log: can't write {}: {error}", file.display()))
    })?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Mutex::new(opened)).init();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "p2pchat started");
    Ok(())
}
