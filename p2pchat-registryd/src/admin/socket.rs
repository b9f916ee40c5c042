//! The socket itself: its owner's alone, one daemon's at a time.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::files::{self, with_suffix};

/// The longest path that the system takes for a socket, without what is added while it is made.
pub(crate) const MAX_PATH: usize = 107 - ".new/s".len();

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another daemon has it.
    #[error("the admin socket {} is in use by another registry: give this one its own by --admin-socket", path.display())]
    InUse {
        /// Which one.
        path: PathBuf,
    },
    /// Something else has its name.
    #[error("{} is no socket: move it away, or choose another --admin-socket", path.display())]
    NotASocket {
        /// Which file.
        path: PathBuf,
    },
    /// The system takes no such path.
    #[error("the path of the admin socket {} has {size} bytes, the system takes {MAX_PATH}: choose a shorter --admin-socket", path.display())]
    TooLong {
        /// Which path.
        path: PathBuf,
        /// Its length.
        size: usize,
    },
    /// It can't be made.
    #[error("can't make the admin socket {}: {source}; see --admin-socket", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket that nobody else listens on. Gone when dropped.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Locked as long as this daemon has the socket. The file stays: were it removed, two could hold a lock on two of them.
    _lock: File,
}

impl AdminSocket {
    /// Makes the socket, in the place of one that a daemon has left behind.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        let size = path.as_os_str().as_bytes().len();
        if size > MAX_PATH {
            return Err(SocketError::TooLong { path: path.into(), size });
        }
        let failed = |source| SocketError::Io { path: path.into(), source };
        let lock_path = with_suffix(path, ".lock");
        files::make_private(&lock_path).map_err(failed)?;
        let lock = File::options().write(true).open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SocketError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NotASocket { path: path.into() });
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = make(path).and_then(UnixListener::from_std).map_err(failed)?;
        Ok(Self { listener, path: path.into(), _lock: lock })
    }
}

/// Makes the socket where only its owner gets, and moves it into its place when nobody else may use it: at no moment is it
/// there with wider rights.
fn make(path: &Path) -> io::Result<net::UnixListener> {
    let folder = with_suffix(path, ".new");
    let unfinished = folder.join("s");
    for gone in [fs::remove_file(&unfinished), fs::remove_dir(&folder)] {
        gone.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    DirBuilder::new().mode(0o700).create(&folder)?;
    let listener = net::UnixListener::bind(&unfinished)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
    fs::rename(&unfinished, path)?;
    fs::remove_dir(&folder)?;
    Ok(listener)
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = ?self.path, %error, "can't remove the admin socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn it_is_its_owners_alone_and_one_daemons_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        assert_eq!((mode(&path), mode(&with_suffix(&path, ".lock"))), (0o600, 0o600));
        net::UnixStream::connect(&path).unwrap();
        assert!(matches!(AdminSocket::bind(&path), Err(SocketError::InUse { .. })));
        net::UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists() && !with_suffix(&path, ".new").exists());
        AdminSocket::bind(&path).unwrap();
    }

    #[tokio::test]
    async fn what_a_dead_daemon_left_behind_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(net::UnixListener::bind(&path).unwrap());
        fs::create_dir(with_suffix(&path, ".new")).unwrap();
        drop(net::UnixListener::bind(with_suffix(&path, ".new").join("s")).unwrap());
        assert!(net::UnixStream::connect(&path).is_err());
        let socket = AdminSocket::bind(&path).unwrap();
        net::UnixStream::connect(&path).unwrap();
        drop(socket);

        fs::write(&path, "my diary").unwrap();
        assert!(matches!(AdminSocket::bind(&path), Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "my diary");
        let long = folder.path().join("x".repeat(MAX_PATH));
        assert!(matches!(AdminSocket::bind(&long), Err(SocketError::TooLong { .. })));
    }
}
