//! Files that are the user's alone, mode 0600 in folders of mode 0700, and where those of an account are.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use p2pchat_core::proto::Username;

use crate::args::Address;

/// Where something of an account's is: `KIND/REGISTRY/ACCOUNT.EXTENSION` in the data folder.
pub(crate) fn of_account(
    data_dir: &Path,
    kind: &str,
    registry: &Address,
    user: &Username,
    extension: &str,
) -> PathBuf {
    let Address { host, port } = registry;
    let folder = format!("{}_{port}", host.to_lowercase().replace([':', '/'], "_"));
    // Names that are the same in different spellings have one.
    data_dir.join(kind).join(folder).join(format!("{}.{extension}", user.folded()))
}

/// Writes a file whole or not at all. One that is there is replaced or left alone: of two programs that make the first at once,
/// one does.
pub(crate) fn write(
    path: &Path,
    replace: bool,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let mut file = create_new(&draft)?;
        fill(&mut file)?;
        file.sync_all()?;
        match replace {
            true => fs::rename(&draft, path)?,
            false => match fs::hard_link(&draft, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            },
        }
        // The name, too, is to be there after a loss of power.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    })();
    // It has its place, or is of no use.
    let _ = fs::remove_file(&draft);
    written
}

/// Makes a file that isn't there.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A secret that others can read is none; nor is one in a folder in which others can put another in its place.
#[cfg(unix)]
pub(crate) fn check_modes(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    for (path, what, wanted) in [(file, "it", 0o600), (folder_of(file), "its folder", 0o700)] {
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let why =
                format!("{what} is open to others (mode {mode:o}); make it yours alone with mode {wanted:o}");
            return Err(io::Error::other(why));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn check_modes(_: &Path) -> io::Result<()> {
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
