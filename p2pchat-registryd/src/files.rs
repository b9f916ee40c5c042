//! Files and folders that are their owner's alone.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::Path,
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
/// What operators have asked.
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
    // The new name, too, has to survive a loss of power.
    if let Some(folder) = path.parent().filter(|_| cfg!(unix)) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
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
