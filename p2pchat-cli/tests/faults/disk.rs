//! A full disk.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    DIGEST, PATIENCE,
    daemon::{Daemon, Setup},
    long_or,
    need::{self, Need},
    wire::Wire,
};

/// A small file system; unmounted when dropped.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new(mebibytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "p2pchat-faults"]).arg(folder.path());
        assert!(mount.status().unwrap().success());
        Self { folder }
    }

    fn setup(&self) -> Setup {
        let flags = ["--metrics-listen", "127.0.0.1:0"];
        Setup { data: self.folder.path().join("data"), ..Setup::new(&flags) }
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let chunk = vec![b'x'; size];
            loop {
                match file.write(&chunk) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(self.folder.path());
        assert!(mount.status().unwrap().success());
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.folder.path()).status());
    }
}

/// Waits until the registry says of itself whether it is ready.
fn expect_readiness(daemon: &Daemon, expected: &str) {
    let begun = Instant::now();
    loop {
        let mut stream = TcpStream::connect(daemon.metrics.unwrap()).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if answer.contains(expected) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Registers until it is refused; who was registered, and the refusal.
fn register_until_refused(wire: &mut Wire, prefix: &str) -> (Vec<String>, String) {
    let mut registered = Vec::new();
    loop {
        let user = format!("{prefix}-{}", registered.len());
        match wire.ask(&format!("REGISTER <{user}> <{DIGEST}>")).as_str() {
            "REGISTER <SUCCESS> <200>" => registered.push(user),
            refused => return (registered, refused.to_owned()),
        }
        assert!(registered.len() < 50_000, "the disk is never full");
    }
}

fn expect_accounts(daemon: &Daemon, users: &[String]) {
    let mut wire = Wire::greeted(daemon);
    for user in users {
        assert_eq!(wire.ask(&format!("REGISTER <{user}> <{DIGEST}>")), "REGISTER <EXIST> <300>", "{user}");
    }
}

#[test]
fn a_full_disk_refuses_what_would_be_written_and_nothing_else_and_is_used_again_when_there_is_room() {
    if !need::met(&[Need::Mounts]) {
        return;
    }
    let disk = Disk::new(8);
    let mut daemon = disk.setup().start();
    let mut session = Wire::online_with(&daemon, "alice", "reason");
    session.create("den", 5);
    let mut all = Vec::new();
    for round in 0..long_or(2, 10) {
        disk.fill();
        let mut wire = Wire::extended(&daemon, "reason");
        let (registered, refused) = register_until_refused(&mut wire, &format!("user-{round}"));
        let why = "<the registry can't do that now; its operator knows why>";
        assert_eq!(refused, format!("REGISTER <FAILURE> <404> {why}"));
        daemon.log.expect_anywhere("nothing was written");
        expect_readiness(&daemon, "not ready: the store can't be written to: ");
        // Who is there goes on, and who has an account comes in.
        assert_eq!(
            session.ask("SEARCH_USER <alice>"),
            "SEARCH_USER_RESPONSE <SUCCESS> <200> <alice> <4000> <127.0.0.1>"
        );
        assert_eq!(session.ask("SHOW_ROOMS_LIST <PARTIAL>"), "ROOMS_LIST <FOUND> <200> <den>");
        assert_eq!(
            session.ask("CREATE_CHAT_ROOM <attic> <> <5> <>"),
            format!("CREATION <FAILURE> <404> {why}")
        );
        all.extend(registered);
        if let Some(user) = all.last() {
            Wire::greeted(&daemon).log_in(user);
        }
        disk.make_room();
        // It finds that out although nobody asks for anything that would be written.
        expect_readiness(&daemon, "\r\n\r\nready\n");
        let late = format!("late-{round}");
        wire.sign_up(&late);
        all.push(late);
        if round % 2 == 1 {
            daemon = daemon.restart();
            session = Wire::extended(&daemon, "reason");
            session.log_in("alice");
        }
        expect_accounts(&daemon, &all);
    }
}

#[test]
fn a_registry_that_is_killed_on_a_full_disk_starts_again_on_it_and_has_lost_nothing() {
    if !need::met(&[Need::Mounts]) {
        return;
    }
    let disk = Disk::new(8);
    let daemon = disk.setup().start();
    let mut wire = Wire::extended(&daemon, "reason");
    wire.sign_up("early");
    disk.fill();
    let (mut registered, _) = register_until_refused(&mut wire, "user");
    registered.push("early".to_owned());
    let daemon = daemon.restart();
    expect_accounts(&daemon, &registered);
    Wire::greeted(&daemon).log_in("early");
}

#[test]
fn a_registry_that_finds_no_room_at_its_first_start_says_so() {
    if !need::met(&[Need::Mounts]) {
        return;
    }
    let disk = Disk::new(1);
    fs::create_dir(disk.folder.path().join("data")).unwrap();
    disk.fill();
    let setup = disk.setup();
    let (status, log) = setup.refusal();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("No space left on device") && !log.contains("panicked"), "{log}");
    disk.make_room();
    // And nothing half done is left that would be in the way.
    let bigger = Disk::new(8);
    copy(&setup.data, &bigger.folder.path().join("data"));
    let daemon = bigger.setup().start();
    Wire::greeted(&daemon).sign_up("first");
}

#[test]
fn a_registry_in_a_read_only_folder_says_so_and_starts_when_it_can_be_written_to() {
    if !need::met(&[Need::Mounts]) {
        return;
    }
    let disk = Disk::new(8);
    disk.remount("ro");
    let (status, log) = disk.setup().refusal();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("data") && log.contains("Read-only file system"), "{log}");
    disk.remount("rw");
    let daemon = disk.setup().start();
    Wire::greeted(&daemon).sign_up("early");
    daemon.end();
    let database = disk.setup().data.join("registry.redb");
    let before = fs::read(&database).unwrap();

    disk.remount("ro");
    let (status, log) = disk.setup().refusal();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("Read-only file system") && !log.contains("panicked"), "{log}");
    assert!(fs::read(&database).unwrap() == before);
    disk.remount("rw");
    Wire::greeted(&disk.setup().start()).log_in("early");
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}
