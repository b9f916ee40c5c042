//! No more memory.

use std::process::Command;

use crate::{
    DIGEST,
    daemon::Daemon,
    long_or,
    need::{self, Need},
    wire::Wire,
};

/// What a daemon is let grow by before the system gives it no more.
const ROOM: u64 = 16 << 20;

#[test]
fn a_registry_without_memory_ends_at_once_and_has_lost_nothing_that_it_acknowledged() {
    if !need::met(&[Need::Program("prlimit")]) {
        return;
    }
    let mut daemon = Daemon::start();
    let mut all = Vec::new();
    for round in 0..long_or(1, 20) {
        all.extend(exhaust(&mut daemon, round));
        let status = daemon.outcome();
        // Rust gives up where an allocation fails; a service manager starts it again.
        assert!(!status.success(), "{status}");
        daemon.log.expect_anywhere("memory allocation of");
        daemon = daemon.restart();
        let mut wire = Wire::greeted(&daemon);
        for user in &all {
            assert_eq!(
                wire.ask(&format!("REGISTER <{user}> <{DIGEST}>")),
                "REGISTER <EXIST> <300>",
                "{user}"
            );
        }
    }
}

/// Fills the daemon's memory with half-said requests while accounts are made; those that were acknowledged.
fn exhaust(daemon: &mut Daemon, round: usize) -> Vec<String> {
    let mut wire = Wire::greeted(daemon);
    let mut registered = Vec::new();
    let mut limit = Command::new("prlimit");
    limit
        .arg(format!("--pid={}", daemon.id()))
        .arg(format!("--data={}", daemon.status_bytes("VmData:") + ROOM));
    assert!(limit.status().unwrap().success());
    let half = [b"SEARCH_USER <".as_slice(), &[b'x'; 60_000]].concat();
    let mut crowd = Vec::new();
    for number in 0..4_000 {
        let user = format!("user-{round}-{number}");
        match wire.try_ask(&format!("REGISTER <{user}> <{DIGEST}>")).as_deref() {
            Some("REGISTER <SUCCESS> <200>") => registered.push(user),
            Some(other) => panic!("{other}"),
            None => return registered,
        }
        let Ok(mut one) = Wire::try_open(daemon) else { return registered };
        if one.write(&half).is_err() {
            return registered;
        }
        crowd.push(one);
    }
    panic!("{} half requests fit into {ROOM} bytes", crowd.len());
}
