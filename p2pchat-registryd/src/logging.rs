//! Log lines on standard error.

use std::{
    env, io,
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{EnvFilter, filter::ParseError, reload};

use crate::config::{Config, LogFormat};

/// What is logged, from its notation. Values of fields are compared as they are: a regular expression can take minutes and a
/// gigabyte to prepare.
pub(crate) fn filter(notation: &str) -> Result<EnvFilter, ParseError> {
    let filter = |notation: &str| EnvFilter::builder().with_regex(false).parse(notation);
    // Blanks before a part make tracing-subscriber 0.3 take the wrong bytes for its name, or panic between those of one
    // character.
    let parts: Vec<&str> = notation.split(',').map(str::trim).collect();
    // A word alone that is no level would be a part's name, so that a misspelt level silences everything.
    for word in parts.iter().filter(|word| !word.contains(['=', '['])) {
        filter(&format!("all={word}"))?;
    }
    filter(&parts.join(","))
}

/// The log of this process, whose filter can be changed.
#[derive(Clone)]
pub(crate) struct Log {
    set: Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
    /// What is logged.
    level: Arc<Mutex<String>>,
}

impl Log {
    fn new(
        notation: &str,
        set: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static,
    ) -> Self {
        Self { set: Arc::new(set), level: Arc::new(Mutex::new(notation.to_owned())) }
    }

    /// Logs what the notation says, from now on.
    pub(crate) fn set_level(&self, notation: &str) -> Result<(), String> {
        let filter = filter(notation).map_err(|error| error.to_string())?;
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        (self.set)(filter).map_err(|error| error.to_string())?;
        notation.clone_into(&mut level);
        Ok(())
    }

    /// What is logged, as it was said.
    pub(crate) fn level(&self) -> String {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends the log of this process to standard error, from now on and for good.
///
/// A second call changes nothing: a program that has set up its own log keeps it.
pub(crate) fn init(config: &Config) -> Log {
    // Settings have been checked: the filter is the one that was asked for.
    let filter = filter(&config.log_level).unwrap_or_default();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // They would go to standard error, too: with that gone they would be a panic.
        .log_internal_errors(false);
    let (log, already_set) = match config.log_format {
        LogFormat::Human => {
            let coloured =
                io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            let lines = lines.with_ansi(coloured).with_filter_reloading();
            let handle = lines.reload_handle();
            (Log::new(&config.log_level, move |filter| handle.reload(filter)), lines.try_init().is_err())
        }
        LogFormat::Json => {
            let lines = lines.json().with_filter_reloading();
            let handle = lines.reload_handle();
            (Log::new(&config.log_level, move |filter| handle.reload(filter)), lines.try_init().is_err())
        }
    };
    if already_set {
        tracing::debug!("the process has a log already");
    }
    log
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn blanks_around_the_parts_of_a_filter_change_nothing() {
        for (spaced, plain) in [
            ("info, p2pchat_core=debug", "info,p2pchat_core=debug"),
            (" warn ,  p2pchat_proto=trace ", "warn,p2pchat_proto=trace"),
        ] {
            assert_eq!(filter(spaced).unwrap().to_string(), filter(plain).unwrap().to_string());
        }
        // This one had been a panic.
        assert!(filter(" he[6\u{8001}]s").is_err());
    }

    #[test]
    fn a_field_s_value_is_no_regular_expression() {
        // As one it would be refused, as nothing closes its bracket.
        assert!(filter("p2pchat_core[login{user=\"a[b\"}]=debug").is_ok());
    }
}
