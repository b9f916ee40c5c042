//! Why settings make no sense.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why settings make no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file of `--config` can't be read.
    #[error("can't read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of `--config` makes no sense.
    #[error("{}:{line}: {}{problem}", path.display(), key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    File {
        /// Which file.
        path: PathBuf,
        /// Which of its lines, from 1.
        line: usize,
        /// The setting of that line, if it has one.
        key: Option<String>,
        /// What is wrong.
        problem: String,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error(
        "{given} is given without {missing}: give both, or none for a certificate made by the registry itself"
    )]
    HalfACertificate {
        /// The setting that is there.
        given: &'static str,
        /// The setting that isn't.
        missing: &'static str,
    },
    /// A file or folder without a name.
    #[error("{key} is empty: a path is wanted, or nothing at all for the default")]
    Empty {
        /// The setting.
        key: &'static str,
    },
    /// Listening on more than loopback without `registration`.
    #[error(
        "{key} is {address}, where not only this machine's users come from: say who may register an account, by \
         --registration open, invite or closed (in the configuration file: registration = \"invite\"); or listen on 127.0.0.1"
    )]
    Registration {
        /// `listen` or `udp-listen`.
        key: &'static str,
        /// Its address.
        address: SocketAddr,
    },
    /// `metrics-listen` on more than loopback without `metrics-public`.
    #[error(
        "metrics-listen is {address}, so whoever reaches it can read the metrics: if that is wanted, say so by \
         --metrics-public (in the configuration file: metrics-public = true); if not, listen on 127.0.0.1"
    )]
    PublicMetrics {
        /// Its address.
        address: SocketAddr,
    },
    /// A number past its bounds.
    #[error("{key} is {found}: it goes from {min} to {max}")]
    OutOfRange {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: u64,
        /// The smallest one.
        min: u64,
        /// The largest one.
        max: u64,
    },
    /// The user has no home folder.
    #[error("there is no home folder to keep data in: give a folder by --data-dir")]
    NoDataFolder,
    /// Something that only this machine shows, or that only its user of the setting can judge.
    #[error("{key} is {value}: {problem}")]
    Unusable {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
    /// A setting of the file makes no sense, by itself or beside the others.
    #[error("{}:{line}: {source}", path.display())]
    InFile {
        /// Which file.
        path: PathBuf,
        /// On which of its lines the setting is, from 1.
        line: usize,
        /// What is wrong with it.
        source: Box<ConfigError>,
    },
    /// Several things are wrong.
    #[error("{}", in_one_line(.0))]
    Several(Vec<ConfigError>),
}

fn in_one_line(errors: &[ConfigError]) -> String {
    let first = errors.first().map(ToString::to_string).unwrap_or_default();
    format!(
        "{first} (and {} more: p2pchat-registryd check-config lists them)",
        errors.len().saturating_sub(1)
    )
}

impl ConfigError {
    /// Each thing that is wrong.
    pub fn into_list(self) -> Vec<Self> {
        match self {
            Self::Several(errors) => errors,
            one => vec![one],
        }
    }

    /// All of them as one, if there are any.
    pub(crate) fn from_list(mut errors: Vec<Self>) -> Option<Self> {
        if errors.len() > 1 { Some(Self::Several(errors)) } else { errors.pop() }
    }

    /// The setting that is to blame.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Unreadable { .. } | Self::Several(_) => None,
            Self::File { key, .. } => key.as_deref(),
            Self::HalfACertificate { given, .. } => Some(given),
            Self::Empty { key }
            | Self::Registration { key, .. }
            | Self::OutOfRange { key, .. }
            | Self::Unusable { key, .. } => Some(key),
            Self::InFile { source, .. } => source.key(),
            Self::PublicMetrics { .. } => Some("metrics-listen"),
            Self::NoDataFolder => Some("data-dir"),
        }
    }

    /// True if it could be but for another setting, which may be in the file and not have been understood.
    pub(crate) fn is_for_want_of_another(&self) -> bool {
        matches!(self, Self::HalfACertificate { .. } | Self::Registration { .. } | Self::PublicMetrics { .. })
    }
}
