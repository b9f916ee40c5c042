//! A wall clock that jumps.

use std::{fs, path::PathBuf, thread};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::{
    LEASE,
    client::Home,
    daemon::Setup,
    long_or,
    need::{self, Need},
    place::Place,
    until,
};

/// A wall clock that the test sets.
struct WallClock {
    folder: TempDir,
}

impl WallClock {
    /// Right, for now.
    fn new() -> Self {
        let clock = Self { folder: tempfile::tempdir().unwrap() };
        clock.set("+0");
        clock
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("now")
    }

    /// Sets it: `+1d` from the true time, or `@` and when it is now.
    fn set(&self, to: &str) {
        let next = self.folder.path().join("next");
        fs::write(&next, to).unwrap();
        // At once, as it is read all the time.
        fs::rename(next, self.file()).unwrap();
    }

    /// A place whose processes go by this clock.
    fn place(&self) -> Place {
        Place::default()
            .with("LD_PRELOAD", need::faketime().unwrap().to_str().unwrap())
            .with("FAKETIME_TIMESTAMP_FILE", self.file().to_str().unwrap())
            .with("FAKETIME_NO_CACHE", "1")
            // What counts time rather than tells it doesn't jump.
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .with("DONT_FAKE_MONOTONIC", "1")
            .with("NO_FAKE_STAT", "1")
    }
}

#[test]
fn a_clock_that_jumps_disturbs_neither_sessions_nor_leases_nor_trust() {
    if !need::met(&[Need::Faketime]) {
        return;
    }
    let clock = WallClock::new();
    let daemon = Setup { place: clock.place(), ..Setup::new(&[]) }.start();
    let home = Home::new(&daemon).moved(clock.place());
    let mut alice = home.prompt("alice");
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    home.register("bob");
    let log = home.folder().join("log");
    let mut bob =
        home.start(&["--user", "bob", "--log", log.to_str().unwrap(), "listen", "--json", "--room", "den"]);
    bob.expect_event("ready");
    alice.type_line("/chat bob");
    alice.out.expect("what you type now goes to bob");

    home.register("carol");
    for (to, shown) in [
        ("@1971-06-05 00:00:00", Some("1971-06-0")),
        ("@2040-06-05 00:00:00", Some("2040-06-0")),
        ("-1d", None),
        ("+1d", None),
        ("+0", None),
    ] {
        clock.set(to);
        // Somebody who comes now trusts the registry as before, and is found.
        home.run(&["--user", "carol", "send", "bob", to]).expect_code(0);
        assert_eq!(bob.expect_event("message")["text"], to);
        if let Some(shown) = shown {
            // The clock really was wrong.
            daemon.log.expect_anywhere(shown);
        }
        alice.type_line(to);
        assert_eq!(bob.expect_event("message")["text"], to);
        alice.type_line(&format!("/msg #den {to}"));
        assert_eq!(bob.expect_event("broadcast")["text"], to);
        thread::sleep(long_or(LEASE / 4, LEASE * 2));
    }
    // A lease has passed by now for those who have been here all along.
    alice.type_line("/search bob");
    alice.out.expect("bob  127.0.0.1:");
    assert!(!daemon.log.has("timed out"), "{}", daemon.log);
    assert!(
        !alice.out.has("the registry is gone") && !bob.out.has("disconnected"),
        "{}\n{}",
        alice.out,
        bob.out
    );
}

#[test]
fn a_certificate_of_an_authority_is_judged_by_the_clients_clock_when_it_connects() {
    if !need::met(&[Need::Faketime]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2039, 12, 31));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let authority = write("authority.pem", &issuer.pem());
    let certificate = write("registry.pem", &certificate.pem());
    let key = write("registry.key", &key.serialize_pem());
    let daemon = Setup::new(&["--cert", &certificate, "--key", &key]).start();

    let clock = WallClock::new();
    let home = Home::new(&daemon).moved(clock.place());
    home.run(&["--ca", &authority, "--user", "alice", "register"]).expect_code(0);
    for (now, problem) in [("@1971-06-05 00:00:00", "not valid yet"), ("@2040-06-05 00:00:00", "expired")] {
        clock.set(now);
        home.run(&["--ca", &authority, "--user", "alice", "peers"]).expect_code(3).expect_error(problem);
    }
    clock.set("+0");
    let mut alice = home.start(&["--ca", &authority, "--user", "alice", "listen", "--json"]);
    alice.expect_event("ready");
    // Who is in stays in.
    clock.set("@2040-06-05 00:00:00");
    let other = Home::new(&daemon);
    other.register("bob");
    other.run(&["--user", "bob", "send", "alice", "what year is it?"]).expect_code(0);
    alice.expect_event("message");
    // Who has to come back doesn't, and says why.
    let daemon = daemon.restart();
    let reason = alice.expect_event("logged_out")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("expired"), "{reason}");
    alice.outcome().expect_code(3).expect_error("expired");
    clock.set("+0");
    until("the right time lets alice in", || {
        home.run(&["--ca", &authority, "--user", "alice", "peers"]).code() == Some(0)
    });
    drop(daemon);
}
