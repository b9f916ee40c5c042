//! `ctl backup`, `ctl export`, `verify`, `restore`, `export`, `import`; and files that aren't a registry's.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::support::{Daemon, bare, command, connect, refusal};

fn run(arguments: &[&str], paths: &[&Path]) -> Output {
    bare().args(arguments).args(paths).output().unwrap()
}

/// What a command that does what it should says.
fn said(arguments: &[&str], paths: &[&Path]) -> String {
    let output = run(arguments, paths);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What one that doesn't says.
fn refused(arguments: &[&str], paths: &[&Path]) -> String {
    let output = run(arguments, paths);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn ctl(folder: &Path, verb: &str, file: &Path) -> Output {
    bare().arg("ctl").arg("--data-dir").arg(folder).arg(verb).arg(file).output().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn end(daemon: Daemon) {
    daemon.signal("TERM");
    assert_eq!(daemon.end().0.code(), Some(0));
}

/// A folder whose registry has users, rooms and a ban.
async fn filled(folder: &Path) -> Daemon {
    let daemon = Daemon::start(&mut command(folder));
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    alice.create("den", Some("door"), 5, "where \"we\" meet").await.unwrap();
    let (bob, _events) = connect(&daemon).await;
    bob.register("Bob", "secret").await.unwrap();
    bob.login("Bob", "secret").await.unwrap();
    bob.join("den", Some("door")).await.unwrap();
    bob.create("bar", None, 2, "").await.unwrap();
    let ban = ["ctl", "ban", "user", "mallory", "--reason", "spam", "--data-dir"];
    assert_eq!(run(&ban, &[folder]).status.code(), Some(0));
    daemon
}

/// All is there, and can be used.
async fn expect_filled(daemon: &Daemon) {
    let (alice, _events) = connect(daemon).await;
    assert!(alice.register("bob", "other").await.is_err() && alice.register("mallory", "x").await.is_err());
    assert!(alice.login("alice", "wrong").await.is_err());
    alice.login("alice", "secret").await.unwrap();
    let mut rooms: Vec<_> =
        alice.rooms().await.unwrap().iter().map(|room| (room.name.to_string(), room.members)).collect();
    rooms.sort();
    assert_eq!(rooms, [("bar".to_owned(), 1), ("den".to_owned(), 2)]);
    let (carol, _events) = connect(daemon).await;
    carol.register("carol", "secret").await.unwrap();
    carol.login("carol", "secret").await.unwrap();
    assert!(carol.join("den", Some("window")).await.is_err());
    carol.join("den", Some("door")).await.unwrap();
    // The room passes to who has been in it longest.
    alice.leave("den").await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_began_is_restored_from_it_whatever_was_written_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(&folder.path().join("data")));
    let (acknowledged, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let mut writers = Vec::new();
    for writer in 0..4 {
        let (peer, _events) = connect(&daemon).await;
        let (acknowledged, stop) = (acknowledged.clone(), stop.clone());
        writers.push(tokio::spawn(async move {
            let name = format!("writer-{writer}");
            peer.register(&name, "secret").await.unwrap();
            peer.login(&name, "secret").await.unwrap();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let user = format!("user-{writer}-{number}");
                peer.register(&user, "secret").await.unwrap();
                acknowledged.lock().unwrap().push(user);
                // A change in five tables at once.
                let room = format!("room-{writer}-{}", number % 5);
                peer.create(&room, None, 5, "").await.unwrap();
                peer.leave(&room).await.unwrap();
            }
            peer.logout().await.unwrap();
        }));
    }
    let enough = |count| {
        let acknowledged = acknowledged.clone();
        async move {
            while acknowledged.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        }
    };
    let mut backups = Vec::new();
    for number in 0..3 {
        let before = acknowledged.lock().unwrap().len();
        enough(before + 40).await;
        let before = acknowledged.lock().unwrap().clone();
        let file = folder.path().join(format!("backup-{number}.redb"));
        let (data, to) = (folder.path().join("data"), file.clone());
        let output = tokio::task::spawn_blocking(move || ctl(&data, "backup", &to)).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(mode(&file), 0o600);
        backups.push((file, before));
    }
    // It went on meanwhile.
    let after = acknowledged.lock().unwrap().len();
    assert!(after > backups.last().unwrap().1.len());
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    drop(daemon);

    for (number, (file, before)) in backups.iter().enumerate() {
        let verified = said(&["verify"], &[file]);
        assert!(verified.starts_with(&format!("{}: fine: accounts ", file.display())), "{verified}");
        let data = folder.path().join(format!("restored-{number}"));
        said(&["restore", "--data-dir"], &[&data, file]);
        let daemon = Daemon::start(&mut command(&data));
        let (peer, _events) = connect(&daemon).await;
        for user in before {
            assert!(peer.register(user, "other").await.is_err(), "{user} was acknowledged before");
        }
        peer.login(before.last().unwrap(), "secret").await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_neither_does_what_is_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup.redb"));
    let daemon = filled(&data).await;
    let output = ctl(&data, "backup", &backup);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with(&format!("{}: accounts 2, ", backup.display())), "{told}");
    for expected in [" passwords 2,", " rooms 2,", " members 3,", " bans 1,"] {
        assert!(told.contains(expected), "{told}");
    }
    let whole = fs::read(&backup).unwrap();
    let output = ctl(&data, "backup", &backup);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("it is there already, and stays as it is; nothing was written"), "{error}");
    let output = ctl(&data, "backup", &folder.path().join("no such folder").join("backup.redb"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(fs::read(&backup).unwrap() == whole);
    // The registry has its data folder to itself.
    for command in [&["verify"][..], &["export", "--from"]] {
        let error = refused(command, &[&data.join("registry.redb")]);
        assert!(error.contains("is in use by another registry"), "{error}");
    }
    let error = refused(&["restore", "--data-dir"], &[&data, &backup]);
    assert!(error.contains("there is a registry's data already"), "{error}");
    expect_filled(&daemon).await;
    end(daemon);

    let before = fs::read(data.join("registry.redb")).unwrap();
    for command in ["restore", "import"] {
        let error = refused(&[command, "--data-dir"], &[&data, &backup]);
        assert!(error.contains("there is a registry's data already"), "{error}");
    }
    assert!(fs::read(data.join("registry.redb")).unwrap() == before);
    // Beside another registry's certificate, such as this one's own, there is room.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    for file in ["cert.pem", "key.pem"] {
        fs::copy(data.join(file), other.join(file)).unwrap();
    }
    said(&["restore", "--data-dir"], &[&other, &backup]);
    assert_eq!(mode(&other.join("registry.redb")), 0o600);
    expect_filled(&Daemon::start(&mut command(&other))).await;
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test]
async fn a_damaged_backup_is_found_out_and_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup.redb"));
    let daemon = filled(&data).await;
    assert_eq!(ctl(&data, "backup", &backup).status.code(), Some(0));
    drop(daemon);
    let whole = fs::read(&backup).unwrap();
    let new = folder.path().join("new");
    let mut found_out = 0;
    for at in (4_096..whole.len()).step_by(4_096) {
        let mut bytes = whole.clone();
        bytes[at..at + 64].fill(0xA5);
        fs::write(&backup, &bytes).unwrap();
        let output = run(&["verify"], &[&backup]);
        if output.status.code() == Some(1) {
            found_out += 1;
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains("is damaged") && error.matches('\n').count() == 1, "{error}");
            refused(&["restore", "--data-dir"], &[&new, &backup]);
            assert!(!new.exists());
        }
        assert!(fs::read(&backup).unwrap() == bytes, "it was looked at and changed");
    }
    assert!(found_out > 3, "{found_out}");
    for (nonsense, expected) in [
        (&whole[..whole.len() / 2], "is damaged"),
        (b"", "is not a registry's data"),
        (b"SQLite format 3\0", "is not a registry's data"),
    ] {
        fs::write(&backup, nonsense).unwrap();
        let error = refused(&["verify"], &[&backup]);
        assert!(error.contains(expected), "{error}");
    }
    assert!(refused(&["verify"], &[&folder.path().join("none")]).contains("No such file"));
}

#[tokio::test]
async fn what_is_exported_makes_the_same_registry_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let daemon = filled(&path("data")).await;
    let output = ctl(&path("data"), "export", &path("live.jsonl"));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{}: 8 entries\n", path("live.jsonl").display())
    );
    assert_eq!(ctl(&path("data"), "backup", &path("backup.redb")).status.code(), Some(0));
    end(daemon);
    assert_eq!(mode(&path("live.jsonl")), 0o600);
    let text = fs::read_to_string(path("live.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 10);
    // The same whichever way it is taken.
    assert_eq!(said(&["export", "--data-dir"], &[&path("data")]), text);
    assert_eq!(said(&["export", "--from"], &[&path("backup.redb")]), text);
    said(&["export", "--from"], &[&path("backup.redb"), &path("backup.jsonl")]);
    assert_eq!(fs::read_to_string(path("backup.jsonl")).unwrap(), text);
    let error = refused(&["export", "--from"], &[&path("backup.redb"), &path("backup.jsonl")]);
    assert!(error.contains("it is there already"), "{error}");

    let imported = said(&["import", "--data-dir"], &[&path("new"), &path("live.jsonl")]);
    assert_eq!(imported, format!("{}: 8 entries\n", path("new").join("registry.redb").display()));
    assert_eq!(said(&["export", "--data-dir"], &[&path("new")]), text);
    expect_filled(&Daemon::start(&mut command(&path("new")))).await;

    // Nothing is imported of what isn't right altogether.
    let lines: Vec<_> = text.lines().collect();
    let wrong = lines.iter().map(|line| line.replace("\"capacity\":5", "\"capacity\":0")).collect::<Vec<_>>();
    fs::write(path("wrong.jsonl"), wrong.join("\n").replace("\"user\":\"alice\"", "\"user\":5")).unwrap();
    let error = refused(&["import", "--data-dir"], &[&path("none"), &path("wrong.jsonl")]);
    let errors: Vec<_> = error.lines().collect();
    let at = |line: usize, what: &str| format!("{}:{line}: {what}", path("wrong.jsonl").display());
    assert!(errors[0].starts_with(&at(2, "the field user has to be a string")), "{error}");
    assert!(errors.iter().any(|error| error.contains("the field capacity ")), "{error}");
    assert!(!path("none").join("registry.redb").exists());
    assert_eq!(fs::read_dir(path("none")).unwrap().count(), 0);
}

#[test]
fn a_torn_a_foreign_and_a_newer_database_are_refused_and_left_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.redb");
    drop(Daemon::start(&mut command(folder.path())));
    let whole = fs::read(&file).unwrap();
    let mut torn = whole.clone();
    torn[4_096..].fill(0);
    for (contents, expected) in [
        (&whole[..whole.len() / 3], "is damaged"),
        (&torn, "is damaged"),
        (b"SQLite format 3\0 and so on", "is not a registry's data; move it away"),
        (b"\x7fELF", "is not a registry's data; move it away"),
    ] {
        fs::write(&file, contents).unwrap();
        let (code, error) = refusal(command(folder.path()).args(["--log-level", "off"]));
        assert_eq!(code, Some(1));
        assert!(error.contains(expected) && error.contains("registry.redb"), "{error}");
        assert!(fs::read(&file).unwrap() == contents);
    }
    fs::write(&file, &whole).unwrap();
    let database = redb::Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let about: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("p2pchat registry");
    transaction.open_table(about).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let newer = fs::read(&file).unwrap();
    let (code, error) = refusal(command(folder.path()).args(["--log-level", "off"]));
    assert!(code == Some(1) && error.contains("use a newer p2pchat-registryd"), "{error}");
    assert!(refused(&["verify"], &[&file]).contains("use a newer p2pchat-registryd"));
    assert!(fs::read(&file).unwrap() == newer);
    fs::write(&file, &whole).unwrap();
    Daemon::start(&mut command(folder.path()));
}

#[tokio::test]
async fn what_root_restores_is_its_folders_owners() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("passed over: who isn't root can't restore for others");
    }
    let folder = tempfile::tempdir().unwrap();
    let _daemon = filled(&folder.path().join("first")).await;
    for (number, (copy, back)) in [("backup", "restore"), ("export", "import")].into_iter().enumerate() {
        let (copied, place) = (folder.path().join(copy), folder.path().join(back));
        assert!(ctl(&folder.path().join("first"), copy, &copied).status.success());
        fs::create_dir(&place).unwrap();
        let owner = 4_000 + number as u32;
        chown(&place, Some(owner), Some(owner + 100)).unwrap();
        said(&[back, "--data-dir"], &[&place, &copied]);
        let made = fs::metadata(place.join("registry.redb")).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (owner, owner + 100, 0o600));
    }
}

#[tokio::test]
async fn a_backup_of_what_is_not_sound_is_made_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    end(filled(folder.path()).await);
    let database = redb::Database::open(folder.path().join("registry.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let members: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("members");
    assert!(transaction.open_table(members).unwrap().pop_first().unwrap().is_some());
    transaction.commit().unwrap();
    drop(database);
    let _daemon = Daemon::start(&mut command(folder.path()));
    for json in [false, true] {
        let to = folder.path().join(format!("backup-{json}.redb"));
        let mut command = bare();
        command.arg("ctl").arg("--data-dir").arg(folder.path()).arg("backup").arg(&to);
        let output = command.args(json.then_some("--json")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let (said, why) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(said.contains(if json { "\"problems\":[\"" } else { "not sound: " }), "{said}");
        assert!(why.contains("isn't sound") && why.matches('\n').count() == 1, "{why}");
        // There may be no better one.
        assert!(to.exists());
        assert!(!refused(&["verify"], &[&to]).is_empty());
    }
}

#[tokio::test]
async fn a_database_of_the_first_format_is_upgraded_at_start_and_kept_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.redb");
    let old = include_bytes!("../../src/store/format-1.redb");
    fs::write(&file, old).unwrap();
    let verified = said(&["verify"], &[&file]);
    assert!(verified.contains("fine (format 1, to be upgraded to 2): accounts 4,"), "{verified}");
    assert!(fs::read(&file).unwrap() == old);
    let daemon = Daemon::start(&mut command(folder.path()));
    let (peer, _events) = connect(&daemon).await;
    assert!(peer.register("ali", "x").await.is_err());
    daemon.signal("TERM");
    let (_, _, log) = daemon.end();
    assert!(log.contains("the store has been upgraded"), "{log}");
    let kept = folder.path().join("registry.redb.format-1");
    assert_eq!(mode(&kept), 0o600);
    let verified = said(&["verify"], &[&kept]);
    assert!(verified.contains("fine (format 1, to be upgraded to 2): accounts 4,"), "{verified}");
    assert!(said(&["verify"], &[&file]).contains(": fine: accounts 4,"));
    // The way back: what was kept is the same registry.
    assert_eq!(said(&["export", "--from"], &[&kept]), said(&["export", "--from"], &[&file]));
}
