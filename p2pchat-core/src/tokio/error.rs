//! Why a client's call failed.

use std::path::PathBuf;

use p2pchat_proto::Problem;

use super::fingerprint::Fingerprint;
use crate::peer::RequestError;

/// Why a call of [`Peer`](super::Peer) failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's value can't exist: a username with a blank in it, a text over 16 KiB.
    #[error("the {field} {problem}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The registry, the other peer or the network said no.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The registry can't be reached.
    #[error("can't reach the registry {registry}: {reason}")]
    Connect {
        /// Its `host:port`.
        registry: String,
        /// Why, for a person to read.
        reason: String,
    },
    /// The registry's certificate is not to be trusted.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The own end could not be set up: the port for peer streams, or the given authorities.
    #[error("{what}: {reason}")]
    Setup {
        /// What could not be set up.
        what: &'static str,
        /// Why, for a person to read.
        reason: String,
    },
    /// The block list's file can't be read or written.
    #[error("{}{}: {reason}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    BlockList {
        /// The file.
        file: PathBuf,
        /// The line that makes no sense, from 1; `None` if it is the file itself.
        line: Option<usize>,
        /// Why, for a person to read.
        reason: String,
    },
    /// The known-peers file can't be read or written.
    #[error("{}{}: {reason}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    KnownPeers {
        /// The file.
        file: PathBuf,
        /// The line that makes no sense, from 1; `None` if it is the file itself.
        line: Option<usize>,
        /// Why, for a person to read.
        reason: String,
    },
    /// The known-registries file can't be read or written.
    #[error("{}{}: {reason}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    KnownRegistries {
        /// The file.
        file: PathBuf,
        /// The line that makes no sense, from 1; `None` if it is the file itself.
        line: Option<usize>,
        /// Why, for a person to read.
        reason: String,
    },
}

impl Error {
    /// For values that a caller hands in.
    pub(super) fn invalid(field: &'static str) -> impl FnOnce(Problem) -> Self {
        move |problem| Self::Invalid { field, problem }
    }
}

/// Why a registry's certificate is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is not the one that was asked for.
    #[error("the registry shows the certificate {found}, wanted is {expected}")]
    WrongFingerprint {
        /// The pinned one.
        expected: Fingerprint,
        /// The one that the registry showed.
        found: Fingerprint,
    },
    /// It is not the one that this registry had before.
    #[error(
        "the certificate of {registry} HAS CHANGED: it shows {found}, known is {expected} ({}:{line}). Either the \
         registry has a new certificate, or somebody is in between. Ask its operator for the fingerprint by another \
         way; if it is right, remove that line and connect again",
        file.display()
    )]
    Changed {
        /// The registry's `host:port`.
        registry: String,
        /// The known one.
        expected: Fingerprint,
        /// The one that the registry showed.
        found: Fingerprint,
        /// The known-registries file.
        file: PathBuf,
        /// The line of the file that says so, from 1.
        line: usize,
    },
    /// No authority that is trusted vouches for it, for this host and today.
    #[error("the registry's certificate is not trusted: {reason}")]
    Untrusted {
        /// Why, for a person to read.
        reason: String,
    },
}
