//! What the registry asks of the system before it answers.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    DIGEST,
    daemon::Daemon,
    need::{self, Need},
    until,
    wire::Wire,
};

/// A daemon's system calls, from when they are first watched.
struct Trace {
    strace: Child,
    folder: TempDir,
}

impl Trace {
    fn of(daemon: &Daemon) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-e", "trace=%network,writev,fsync,fdatasync", "-o"])
            .arg(folder.path().join("log"));
        strace.args(["-p", &daemon.id().to_string()]).stderr(Stdio::null());
        let strace = strace.spawn().unwrap();
        let tasks = format!("/proc/{}/task", daemon.id());
        until("strace watches every thread", || {
            fs::read_dir(&tasks).unwrap().filter_map(Result::ok).all(|task| {
                // One that has ended meanwhile does nothing.
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        });
        Self { strace, folder }
    }

    /// In their order: `s` for a sync that has come to its end, `a` for an answer that begins to leave.
    fn end(mut self) -> String {
        let id = self.strace.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
        self.strace.wait().unwrap();
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        let calls = log.lines().filter_map(|line| {
            let call = line.split_once(' ')?.1.trim_start();
            if call.contains("sync") && call.ends_with("= 0") {
                Some('s')
            } else {
                ["sendto(", "sendmsg(", "writev("].iter().any(|send| call.starts_with(send)).then_some('a')
            }
        });
        calls.collect()
    }
}

#[test]
fn what_is_acknowledged_was_synced_before_the_answer_left() {
    if !need::met(&[Need::Trace]) {
        return;
    }
    let daemon = Daemon::start();
    let mut wire = Wire::greeted(&daemon);
    let trace = Trace::of(&daemon);
    for number in 0..5 {
        let answer = wire.ask(&format!("REGISTER <user-{number}> <{DIGEST}>"));
        assert_eq!(answer, "REGISTER <SUCCESS> <200>");
        // What changes nothing needs no sync.
        assert_eq!(wire.ask(&format!("REGISTER <user-{number}> <{DIGEST}>")), "REGISTER <EXIST> <300>");
    }
    let calls = trace.end();
    let answers: Vec<_> = calls.split_inclusive('a').collect();
    assert_eq!(answers.len(), 10, "{calls}");
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.starts_with('s'), number % 2 == 0, "answer {number}: {calls}");
    }
}
