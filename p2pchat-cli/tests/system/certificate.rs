//! Whether a registry is the one that the user means.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::{client::Home, daemon::Daemon};

#[test]
fn a_registry_is_trusted_when_first_met_and_known_from_then_on() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let first = home.run(&["--user", "alice", "register"]).expect_code(0);
    let first = first.expect_error("met for the first time").expect_error(&daemon.fingerprint);
    drop(first);
    let known = fs::read_to_string(home.known_registries()).unwrap();
    assert_eq!(known, format!("{} {}\n", daemon.tcp, daemon.fingerprint));
    let second = home.run(&["--user", "alice", "peers"]).expect_code(0);
    assert_eq!(second.errors, "");
    assert_eq!(fs::read_to_string(home.known_registries()).unwrap(), known);
}

#[test]
fn a_changed_certificate_stops_loudly_and_says_what_to_do() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let old = daemon.fingerprint.clone();
    let daemon = daemon.restart_as_another();
    assert_ne!(daemon.fingerprint, old);

    let stopped = home.run(&["--user", "alice", "peers"]).expect_code(3).expect_error("HAS CHANGED");
    let stopped = stopped.expect_error(&old).expect_error(&daemon.fingerprint);
    stopped.expect_error(&format!("{}:1", home.known_registries().display()));
    // Not even the second time, and not in any other mode.
    home.run(&["--user", "alice", "peers"]).expect_code(3);
    home.run(&["--user", "alice"]).expect_code(3).expect_error("HAS CHANGED");

    // What it says to do helps.
    fs::write(home.known_registries(), "").unwrap();
    home.run(&["--user", "alice", "peers"]).expect_code(0);
}

#[test]
fn a_client_that_is_connected_does_not_take_a_changed_certificate_either() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut bob = home.listener("bob", &[]);
    let daemon = daemon.restart_as_another();
    let told = bob.expect_event("logged_out");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("HAS CHANGED") && reason.contains(&daemon.fingerprint), "{reason}");
    bob.outcome().expect_code(3).expect_error("HAS CHANGED");
    assert!(!daemon.log.has("logged in"), "{}", daemon.log);
}

#[test]
fn a_fingerprint_that_was_given_is_the_only_one_that_counts() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.run(&["--user", "alice", "--fingerprint", &daemon.fingerprint, "register"]).expect_code(0);
    assert!(!home.known_registries().exists(), "nothing is trusted by itself then");
    let wrong = format!("sha256:{}", "0".repeat(64));
    let stopped = home.run(&["--user", "alice", "--fingerprint", &wrong, "peers"]).expect_code(3);
    stopped.expect_error(&wrong).expect_error(&daemon.fingerprint);
    home.run(&["--user", "alice", "--fingerprint", "sha256:12", "peers"])
        .expect_code(2)
        .expect_error("--fingerprint");
}

#[test]
fn an_authority_that_was_given_vouches_for_its_registries_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = |name: &str| {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let key = KeyPair::generate().unwrap();
    let certificate = |host: &str| {
        CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &ours).unwrap().pem()
    };
    let key = file("key", &key.serialize_pem());
    let (ours, theirs) = (file("ours", &ours.pem()), file("theirs", &theirs.pem()));

    let here = file("here", &certificate("127.0.0.1"));
    let daemon = Daemon::with(&["--cert", &here, "--key", &key]);
    let home = Home::new(&daemon);
    home.run(&["--user", "alice", "--ca", &ours, "register"]).expect_code(0);
    home.run(&["--user", "alice", "--ca", &theirs, "peers"]).expect_code(3).expect_error("certificate");
    let elsewhere = file("elsewhere", &certificate("elsewhere.example"));
    let daemon = Daemon::with(&["--cert", &elsewhere, "--key", &key]);
    Home::new(&daemon).run(&["--user", "alice", "--ca", &ours, "register"]).expect_code(3);
}
