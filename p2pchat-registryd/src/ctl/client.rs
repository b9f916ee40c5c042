//! The operator's end of the admin socket.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use super::Error;
use crate::admin::ErrorReply;

/// For each line: a registry that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line from the registry.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reply {
    /// One of many.
    Item(Value),
    /// It is done, and nothing more comes.
    Ok(Value),
    /// It isn't, and nothing more comes.
    Error(ErrorReply),
}

pub(super) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(super) fn connect(socket: &Path) -> Result<Self, Error> {
        let path = socket.display();
        let stream = UnixStream::connect(socket).map_err(|error| {
            Error::Unreachable(match error.kind() {
                ErrorKind::NotFound => format!(
                    "there is no admin socket {path}: start the registry, or say which one by --admin-socket or --data-dir"
                ),
                ErrorKind::ConnectionRefused => {
                    format!("no registry listens on {path}: it has ended without removing the socket; start it again")
                }
                ErrorKind::PermissionDenied => {
                    format!("may not use {path}: run this as the user that the registry runs as, or as root")
                }
                _ => format!("can't use {path}: {error}; see --admin-socket"),
            })
        })?;
        let timeouts =
            stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        timeouts.map_err(lost)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// For what takes as long as there is data. A registry that ends is noticed all the same.
    pub(super) fn wait_however_long(&self) -> Result<(), Error> {
        self.stream.get_ref().set_read_timeout(None).map_err(lost)
    }

    pub(super) fn send(&mut self, request: &Value) -> Result<(), Error> {
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).map_err(lost)
    }

    pub(super) fn receive(&mut self) -> Result<Reply, Error> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).map_err(lost)? {
            0 => Err(Error::Unreachable(
                "the registry has closed the connection without an answer; see its log".into(),
            )),
            _ => serde_json::from_str(&line)
                .map_err(|error| Error::Unreachable(format!("that is no registry's admin socket: {error}"))),
        }
    }
}

fn lost(error: io::Error) -> Error {
    Error::Unreachable(match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("the registry gives no answer within {} s; see its log", PATIENCE.as_secs())
        }
        _ => format!("the connection to the registry broke: {error}"),
    })
}
