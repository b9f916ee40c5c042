//! Log lines on standard error.

use std::{env, io, io::IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::config::{Config, LogFormat};

/// What is logged, from its notation.
pub(crate) fn filter(notation: &str) -> Result<EnvFilter, ParseError> {
    // A word alone that is no level would be a part's name, so that a misspelt level silences everything.
    for word in notation.split(',').map(str::trim).filter(|word| !word.contains(['=', '['])) {
        EnvFilter::try_new(format!("all={word}"))?;
    }
    EnvFilter::try_new(notation)
}

/// Sends the log of this process to standard error, from now on and for good.
///
/// A second call changes nothing: a program that has set up its own log keeps it.
pub(crate) fn init(config: &Config) {
    // Settings have been checked: the filter is the one that was asked for.
    let filter = filter(&config.log_level).unwrap_or_default();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let already_set = match config.log_format {
        LogFormat::Human => {
            let coloured =
                io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            lines.with_ansi(coloured).try_init().is_err()
        }
        LogFormat::Json => lines.json().try_init().is_err(),
    };
    if already_set {
        tracing::debug!("the process has a log already");
    }
}
