//! Files and folders that are their owner's alone.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// What the daemon keeps in its data folder.
pub(crate) const STORE: &str = "registry.redb";
/// See [`STORE`].
pub(crate) const CERTIFICATE: &str = "cert.pem";
/// See [`STORE`].
pub(crate) const KEY: &str = "key.pem";
/// Where operators ask, unless it is set elsewhere.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";
/// Locked by the daemon that has the socket.
pub(crate) const ADMIN_SOCKET_LOCK: &str = "admin.sock.lock";
/// What operators have changed.
pub(crate) const AUDIT: &str = "audit.jsonl";
/// What `init` leaves there, unless it is told of another place.
pub(crate) const CONFIG: &str = "registryd.toml";

/// Makes the folder, or takes one that is there, mode 0700.
///
/// One that was there with a wider mode and holds other things as well is not the daemon's to close: it stays as it is,
/// with a warning.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    if !is_open_to_others(path)? {
        return Ok(());
    }
    let ours = fs::read_dir(path)?.all(|entry| {
        entry.is_ok_and(|entry| {
            [STORE, CERTIFICATE, KEY, CONFIG, ADMIN_SOCKET, ADMIN_SOCKET_LOCK, AUDIT]
                .iter()
                .any(|name| entry.file_name() == *name)
        })
    });
    if ours {
        restrict(path, 0o700)
    } else {
        tracing::warn!(?path, "others can look into the data folder: chmod 700, or use a folder of its own");
        Ok(())
    }
}

/// Makes the file if it isn't there, and takes from others what rights they have to it.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    private_options().write(true).create(true).truncate(false).open(path)?;
    if is_open_to_others(path)? {
        tracing::warn!(?path, "others had rights to this file; they have none now");
        restrict(path, 0o600)?;
    }
    Ok(())
}

/// Writes a new file, mode 0600, that is there whole or not at all.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_options().write(true).create_new(true).open(&unfinished)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_folder_of(path)
}

/// Writes a new file that everybody may read, and leaves one alone that is there.
pub(crate) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file is worse than none, and it is this one's own.
        _ = fs::remove_file(path);
    }
    written
}

/// A file beside another, by a longer name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A file that comes into its place whole or not at all, and never in another's. Removed when dropped before that.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Unfinished {
    /// Makes it, mode 0600, beside where it is to be.
    pub(crate) fn new(target: &Path) -> io::Result<(Self, File)> {
        // Several of one process may be on their way to the same place, which the first takes.
        static MADE: AtomicU64 = AtomicU64::new(0);
        is_free(target)?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = with_suffix(target, &format!(".{}-{number}.unfinished", std::process::id()));
        // Of a process that had the same number and was killed.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = private_options().read(true).write(true).create_new(true).open(&path)?;
        Ok((Self { path, target: target.into(), finished: false }, file))
    }

    /// As [`new`](Self::new), of a file in a data folder: what root puts there belongs to whom the folder does, as else the
    /// daemon couldn't open it.
    pub(crate) fn in_data_folder(target: &Path) -> io::Result<(Self, File)> {
        let (unfinished, file) = Self::new(target)?;
        #[cfg(unix)]
        if rustix::process::geteuid().is_root() {
            use std::os::unix::fs::{MetadataExt, fchown};
            let folder = fs::metadata(folder_of(target))?;
            fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
        }
        Ok((unfinished, file))
    }

    /// Where it is meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it into its place, once everything has been written to it.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        // A link, unlike a new name, is never made in the place of something else.
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => fs::remove_file(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // There are file systems without.
            Err(_) => {
                is_free(&self.target)?;
                fs::rename(&self.path, &self.target)?;
            }
        }
        self.finished = true;
        sync_folder_of(&self.target)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = ?self.path, %error, "can't remove an unfinished file");
        }
    }
}

fn is_free(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there already, and stays as it is")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A new name, too, has to survive a loss of power.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
pub(crate) fn is_open_to_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn is_open_to_others(_: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(not(unix))]
fn restrict(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_on_their_way_to_one_place_each_stays_whole_and_the_first_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("export");
        let (first, mut one) = Unfinished::new(&target).unwrap();
        let (second, mut two) = Unfinished::new(&target).unwrap();
        one.write_all(b"one").unwrap();
        two.write_all(b"two").unwrap();
        first.finish().unwrap();
        assert_eq!(second.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
}
