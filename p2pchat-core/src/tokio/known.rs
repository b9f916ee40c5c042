//! The known-registries file: which certificate each registry had the first time.

use std::{fs, io, io::Write as _, path::Path};

use super::{error::Error, fingerprint::Fingerprint};

/// What the file says of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) fingerprint: Fingerprint,
    /// From 1.
    pub(crate) line: usize,
}

/// What is known of `registry`, a `host:port`. A file that isn't there knows nothing.
pub(super) fn look_up(file: &Path, registry: &str) -> Result<Option<Entry>, Error> {
    let text = read(file).map_err(|reason| failed(file, None, reason))?;
    find(file, &text, registry)
}

/// A file of the user's own, which is empty if it isn't there; or what is wrong with it, as if others could have written it:
/// they would choose whom one trusts.
pub(super) fn read(file: &Path) -> Result<String, String> {
    check_modes(file)?;
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|error| error.to_string()),
    }
}

/// What `text`, which is `file`'s, says of `registry`.
pub(crate) fn find(file: &Path, text: &str, registry: &str) -> Result<Option<Entry>, Error> {
    for (line, entry) in (1..).zip(text.lines()) {
        let entry = entry.trim();
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        let (name, fingerprint) = entry
            .split_once(char::is_whitespace)
            .ok_or_else(|| failed(file, Some(line), "wanted is host:port sha256:…".into()))?;
        let fingerprint =
            fingerprint.parse().map_err(|error| failed(file, Some(line), format!("{error}")))?;
        if name.eq_ignore_ascii_case(registry) {
            return Ok(Some(Entry { fingerprint, line }));
        }
    }
    Ok(None)
}

fn failed(file: &Path, line: Option<usize>, reason: String) -> Error {
    Error::KnownRegistries { file: file.into(), line, reason }
}

/// Notes the certificate of a registry that is not known yet.
pub(super) fn remember(file: &Path, registry: &str, fingerprint: Fingerprint) -> Result<(), Error> {
    append(file, &format!("{registry} {fingerprint}\n"))
        .map_err(|error| failed(file, None, error.to_string()))
}

/// Adds a line to a file of the user's own, which is made if it isn't there.
pub(super) fn append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(file)?;
    // A last line that an editor left without its end must not swallow the new one.
    let text = fs::read(file)?;
    let missing_end = text.last().is_some_and(|&byte| byte != b'\n');
    out.write_all(format!("{}{line}", if missing_end { "\n" } else { "" }).as_bytes())?;
    out.sync_all()
}

/// Neither the file nor, without its being kept from that by the system, the folder can be written by others.
#[cfg(unix)]
fn check_modes(file: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;

    /// In such a folder everybody replaces only what is theirs, as in `/tmp`.
    const STICKY: u32 = 0o1000;
    let mode = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
    let of_file = mode(file);
    if of_file & 0o022 != 0 {
        return Err(format!("others can write it (mode {of_file:o}); make it yours alone with mode 600"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let of_folder = mode(folder);
    if of_folder & 0o022 != 0 && of_folder & STICKY == 0 {
        return Err(format!(
            "others can write its folder (mode {of_folder:o}); make it yours alone with mode 700"
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_modes(_: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("p2pchat-known-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_is_remembered_is_found_in_its_line() {
        let folder = folder("found");
        let file = folder.join("deeper").join("known_registries");
        let (one, two) = (Fingerprint::of_certificate(b"1"), Fingerprint::of_certificate(b"2"));
        assert_eq!(look_up(&file, "a:1"), Ok(None));
        remember(&file, "a:1", one).unwrap();
        remember(&file, "[::1]:1", two).unwrap();
        assert_eq!(look_up(&file, "A:1"), Ok(Some(Entry { fingerprint: one, line: 1 })));
        assert_eq!(look_up(&file, "[::1]:1"), Ok(Some(Entry { fingerprint: two, line: 2 })));
        assert_eq!(look_up(&file, "a:2"), Ok(None));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_without_its_end_is_kept_and_a_wrong_one_named() {
        let folder = folder("wrong");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("known_registries");
        let one = Fingerprint::of_certificate(b"1");
        fs::write(&file, format!("# mine\n\na:1 {one}")).unwrap();
        remember(&file, "b:1", one).unwrap();
        assert_eq!(look_up(&file, "b:1"), Ok(Some(Entry { fingerprint: one, line: 4 })));
        fs::write(&file, "# mine\na:1 sha256:12\n").unwrap();
        assert!(matches!(look_up(&file, "b:1"), Err(Error::KnownRegistries { line: Some(2), .. })));
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = folder("mode");
        let file = folder.join("known_registries");
        remember(&file, "a:1", Fingerprint::of_certificate(b"1")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&folder)), (0o600, 0o700));
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = || matches!(look_up(&file, "a:1"), Err(Error::KnownRegistries { line: None, .. }));
        set(&file, 0o620);
        assert!(refused());
        set(&file, 0o600);
        set(&folder, 0o770);
        assert!(refused(), "others could put another file in its place");
        set(&folder, 0o1777);
        assert!(!refused());
        fs::remove_dir_all(folder).unwrap();
    }
}
