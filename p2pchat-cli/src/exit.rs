//! How the program ends, for the shell to know.

use std::{fmt, io, process::ExitCode};

use p2pchat_core::{peer::RequestError, tokio::Error};

use crate::sanitize;

/// The exit codes, as `--help` lists them. Usage errors, 2, are clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Failed, or refused by the registry.
    Failed = 1,
    /// The command line can't be understood, or lacks something.
    Usage = 2,
    /// The registry can't be reached, or is not the one that was trusted.
    Registry = 3,
    /// Wrong username or password, or logged in elsewhere.
    Login = 4,
    /// The user is not online, or there is no such user.
    Absent = 5,
    /// The chat request was rejected, or the message did not arrive.
    NotDelivered = 6,
    /// Somebody took too long.
    TimedOut = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the program ends early: one sanitised message for people, one code for the shell.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    /// A failure of this program's own making.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Standard output can't be written to. That its reader has gone, as `head` does when it has enough, is no failure: there is
    /// nothing more to do, and nothing to say about it.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Ok } else { Exit::Failed };
        Self::new(exit, format!("can't write to standard output: {error}"))
    }

    /// True if it ends the program, but nothing has failed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.exit == Exit::Ok
    }

    /// The same failure, said with what was being done.
    pub(crate) fn context(self, what: &str) -> Self {
        Self { exit: self.exit, message: format!("{what}: {}", self.message) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::new(exit_of(&error), sanitize::line(&error.to_string()))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Invalid { .. } => Exit::Usage,
            Error::Request(error) => exit_of(error),
            Error::Connect { .. } | Error::Certificate(_) | Error::KnownRegistries { .. } => Exit::Registry,
            _ => Exit::Failed,
        };
        Self::new(exit, sanitize::block(&error.to_string()))
    }
}

fn exit_of(error: &RequestError) -> Exit {
    match error.cause() {
        RequestError::NoRegistry(_) | RequestError::NotConnected | RequestError::Interrupted => {
            Exit::Registry
        }
        RequestError::LoginFailed(_) | RequestError::AlreadyOnline | RequestError::NotLoggedIn => Exit::Login,
        RequestError::NotOnline | RequestError::NotFound => Exit::Absent,
        RequestError::Rejected(_)
        | RequestError::NotDelivered(_)
        | RequestError::NoPort
        | RequestError::AddressHidden
        | RequestError::Unreachable(_)
        | RequestError::KeyChanged { .. }
        | RequestError::Plain
        | RequestError::Blocked
        | RequestError::NoChat => Exit::NotDelivered,
        RequestError::TimedOut => Exit::TimedOut,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_can_be_told_by_the_code() {
        for (error, code) in [
            (RequestError::NameTaken(None), Exit::Failed),
            (RequestError::NotConnected, Exit::Registry),
            (RequestError::NoRegistry("gone".to_owned()), Exit::Registry),
            (RequestError::LoginFailed(None), Exit::Login),
            (RequestError::AlreadyOnline, Exit::Login),
            (RequestError::NotOnline, Exit::Absent),
            (RequestError::NotFound, Exit::Absent),
            (RequestError::Rejected(None), Exit::NotDelivered),
            (RequestError::Blocked, Exit::NotDelivered),
            (RequestError::TimedOut, Exit::TimedOut),
            (RequestError::Doubtful { id: None, why: Box::new(RequestError::TimedOut) }, Exit::TimedOut),
        ] {
            assert_eq!(Failure::from(error).exit, code);
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let of = |kind: io::ErrorKind| Failure::of_output(&kind.into());
        assert!(of(io::ErrorKind::BrokenPipe).is_quiet());
        assert_eq!(of(io::ErrorKind::StorageFull).exit, Exit::Failed);
    }

    #[test]
    fn a_reason_from_the_registry_is_sanitised() {
        let failure = Failure::from(RequestError::Refused(Some("no\u{1b}[2J".to_owned())));
        assert_eq!(failure.to_string(), "no␛[2J");
    }
}
