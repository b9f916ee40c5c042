//! What the program was told, and what it keeps: whose it is, and whether it can be read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Report, Step};
use crate::{args::Global, keys::Keys, session};

/// So much of the folder is looked at.
const ENTRIES: usize = 10_000;
const DEPTH: usize = 6;

pub(super) fn settings(report: &mut Report<'_>, global: &Global, has_session: bool) {
    let Some(registry) = &global.registry else {
        return report.failed(
            Step::Settings,
            "no registry is given",
            "Give its address by --registry or $P2PCHAT_REGISTRY. Whoever runs it knows it.",
        );
    };
    let udp = global.registry_udp.as_ref();
    let udp =
        udp.map_or_else(|| "port 15500 there".to_owned(), |udp| format!("{}, port {}", udp.host, udp.port));
    let user = global.user.as_deref().filter(|_| !has_session).map(|user| format!("; as {user}"));
    report.ok(
        Step::Settings,
        format!(
            "the registry is {}, port {}; keep-alives go to {udp}{}",
            registry.host,
            registry.port,
            user.unwrap_or_default()
        ),
    );
}

pub(super) fn folder(report: &mut Report<'_>, global: &Global) {
    let folder = match session::data_dir(global) {
        Ok(folder) => folder,
        Err(failure) => {
            return report.failed(Step::Data, failure.to_string(), "Keys and known registries need a place.");
        }
    };
    match fs::metadata(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return report.ok(
                Step::Data,
                format!("{} is not there yet, and is made when it is needed", folder.display()),
            );
        }
        Err(error) => {
            return report.failed(
                Step::Data,
                format!("{} can't be looked at: {error}", folder.display()),
                "Without it nobody is recognised again, neither registries nor people.",
            );
        }
        Ok(metadata) if !metadata.is_dir() => {
            return report.failed(
                Step::Data,
                format!("{} is no folder", folder.display()),
                "Move it away, or name another by --data-dir.",
            );
        }
        Ok(_) => {}
    }
    let open = open_to_others(&folder);
    let unreadable = unreadable(global, &folder);
    if let Some((path, mode, may_use)) = open.first() {
        let others = match open.len() {
            1 => String::new(),
            more => format!(", and {} more", more - 1),
        };
        let found = format!("others can get at {} (mode {mode:o}){others}", path.display());
        let advice = format!(
            "Keys, known people and what you have said are nobody else's business. Make it yours alone:\n\
             chmod -R go= {}",
            folder.display()
        );
        match may_use {
            true => report.warning(Step::Data, found, advice),
            false => {
                report.failed(Step::Data, found, format!("The program doesn't use it like that. {advice}"))
            }
        }
    }
    if let Some(why) = &unreadable {
        report.failed(Step::Data, why, "Correct the file, or move it away.");
    }
    if open.is_empty() && unreadable.is_none() {
        report.ok(Step::Data, format!("{} is readable, and yours alone", folder.display()));
    }
}

/// What is wrong with what is kept of others.
fn unreadable(global: &Global, folder: &Path) -> Option<String> {
    let registries = folder.join("known_registries");
    match fs::read_to_string(&registries) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Some(format!("{} can't be read: {error}", registries.display()));
        }
        _ => {}
    }
    let keys = Keys::new(folder.to_owned(), global.registry.clone()?);
    let people = keys.known().look_up().err();
    people.or_else(|| keys.blocked().look_up().err()).map(|error| error.to_string())
}

/// Everything in there that others can read or write, its mode, and whether the program uses it all the same; what it doesn't
/// comes first. In a folder that is closed to others, only what they could write counts, and keys, which may have been elsewhere.
#[cfg(unix)]
fn open_to_others(folder: &Path) -> Vec<(PathBuf, u32, bool)> {
    use std::os::unix::fs::PermissionsExt;

    /// In such a folder everybody replaces only what is theirs, as in `/tmp`.
    const STICKY: u32 = 0o1000;
    let is_closed = fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o077 == 0);
    let mut open = Vec::new();
    for (path, depth) in everything(folder) {
        // The folder itself may be elsewhere.
        let found = if depth == 0 { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
        let Some(found) = found.ok().filter(|found| !found.is_symlink()) else { continue };
        let mode = found.permissions().mode();
        let is_key = depth > 1 && path.starts_with(folder.join("link_keys"));
        let refused = mode & 0o022 != 0 && mode & STICKY == 0 || is_key && mode & 0o077 != 0;
        if refused || !is_closed && mode & 0o077 != 0 {
            open.push((path, mode & 0o777, !refused));
        }
    }
    open.sort_by_key(|(_, _, may_use)| *may_use);
    open
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Vec<(PathBuf, u32, bool)> {
    Vec::new()
}

/// The folder and what is in it, each with how deep it is.
#[cfg(unix)]
fn everything(folder: &Path) -> Vec<(PathBuf, usize)> {
    let mut all = vec![(folder.to_owned(), 0)];
    let mut next = 0;
    while let Some((path, depth)) = all.get(next).cloned() {
        next += 1;
        // A link may lead anywhere.
        let is_folder = depth == 0 || fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if !is_folder || depth >= DEPTH {
            continue;
        }
        let Ok(entries) = fs::read_dir(&path) else { continue };
        let room = ENTRIES.saturating_sub(all.len());
        all.extend(entries.filter_map(Result::ok).take(room).map(|entry| (entry.path(), depth + 1)));
    }
    all
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_can_get_at_is_found() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("data");
        let keys = folder.join("link_keys").join("registry_1");
        fs::create_dir_all(&keys).unwrap();
        let (key, known) = (keys.join("alice.pem"), folder.join("known_registries"));
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for file in [&key, &known] {
            fs::write(file, "").unwrap();
            set(file, 0o600);
        }
        for path in [&folder, &folder.join("link_keys"), &keys] {
            set(path, 0o700);
        }
        assert_eq!(open_to_others(&folder), []);
        // In a folder of one's own it can't be read, whatever its mode.
        set(&known, 0o644);
        assert_eq!(open_to_others(&folder), []);
        set(&folder, 0o755);
        assert_eq!(open_to_others(&folder), [(folder.clone(), 0o755, true), (known.clone(), 0o644, true)]);
        set(&key, 0o640);
        assert_eq!(open_to_others(&folder)[0], (key.clone(), 0o640, false));
        set(&key, 0o600);
        set(&folder, 0o700);
        set(&known, 0o660);
        assert_eq!(open_to_others(&folder), [(known, 0o660, false)]);
    }
}
