//! `doctor`: what it finds where all is well, and where something is not.

use std::{collections::BTreeMap, fs, io::Write as _, net::TcpListener, process::Command, thread};

use serde_json::Value;

use crate::{
    client::{Home, Outcome, PASSWORD},
    daemon::Daemon,
};

/// What was found, by what was looked at: as `level: what, advice`.
fn findings(outcome: &Outcome) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for line in outcome.out.lines() {
        let finding: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let said = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let text = format!("{}: {} / {}", said("level"), said("found"), said("advice"));
        assert!(all.insert(said("check"), text).is_none(), "{line} comes twice");
    }
    all
}

/// Runs it as a user, with further arguments.
fn examine(home: &Home, arguments: &[&str]) -> Outcome {
    let all: Vec<_> = ["--user", "alice", "doctor", "--json"].iter().chain(arguments).copied().collect();
    home.run(&all)
}

/// A folder as the client makes it.
fn close(home: &Home) {
    #[cfg(unix)]
    fs::set_permissions(home.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}

#[track_caller]
fn expect(found: &BTreeMap<String, String>, check: &str, parts: &[&str]) {
    let text = found.get(check).unwrap_or_else(|| panic!("no {check} in {found:#?}"));
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in {check}: {text}");
    }
}

#[test]
fn where_all_is_well_it_says_so_step_by_step() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    close(&home);
    let outcome = examine(&home, &[]).expect_code(0);
    assert_eq!(outcome.errors, "");
    let found = findings(&outcome);
    assert_eq!(found.len(), 12, "{found:#?}");
    expect(&found, "settings", &["ok: ", &daemon.tcp.port().to_string(), &daemon.udp.port().to_string()]);
    expect(&found, "data", &["ok: ", "yours alone"]);
    expect(&found, "name", &["ok: "]);
    expect(&found, "connection", &["ok: ", &daemon.tcp.to_string()]);
    expect(&found, "certificate", &["ok: TLS 1.3", &daemon.fingerprint, "known"]);
    expect(&found, "protocol", &["ok: ", "keys", "ids"]);
    expect(&found, "login", &["ok: the registry lets alice in"]);
    expect(&found, "clock", &["unknown: it says 2", "neither the registry nor its certificate"]);
    expect(&found, "keep-alive", &["ok: answered by"]);
    expect(&found, "address", &["warning: others are told 127.0.0.1:", "this very machine"]);
    expect(&found, "port", &["ok: 127.0.0.1:", "answered by this program"]);
    expect(&found, "reached", &["unknown: ", "--with"]);
    // It has gone again.
    home.run(&["--user", "alice", "peers"]).expect_code(0);
}

#[test]
fn for_people_it_is_a_line_a_step_and_advice_below() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let outcome = home.run(&["--color", "always", "doctor"]).expect_code(0);
    let out = &outcome.out;
    assert!(out.contains("\u{1b}[32mok      \u{1b}[0m settings: the registry is 127.0.0.1"), "{out}");
    assert!(out.contains(
        "\u{1b}[33mwarning \u{1b}[0m certificate: TLS 1.3; the registry was met for the first time"
    ));
    assert!(out.contains("\n         Compare it with what the registry's operator tells you"), "{out}");
    assert!(out.contains("\nskipped  login: no user is given"), "{out}");
    assert!(out.contains("\nskipped  keep-alive: only who is logged in can tell"), "{out}");
    let known = fs::read_to_string(home.known_registries()).unwrap();
    assert_eq!(known, format!("{} {}\n", daemon.tcp, daemon.fingerprint));
    let arguments = ["--user", "alice", "--color", "never", "doctor", "--no-login"];
    let plain = home.run(&arguments).expect_code(0).out;
    assert!(plain.contains("\nskipped  login: as you wished") && !plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn without_a_registry_there_is_nothing_to_connect_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2pchat"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("P2PCHAT_")) {
        command.env_remove(name);
    }
    let output = command.arg("doctor").arg("--data-dir").arg(folder.path().join("none")).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{out}");
    assert!(out.contains("FAILED   settings: no registry is given\n         Give its address by --registry"));
    assert!(out.contains("ok       data: ") && out.contains("is not there yet"), "{out}");
    assert!(out.contains("skipped  connection: "), "{out}");
    assert!(!folder.path().join("none").exists(), "looking makes nothing");
}

#[test]
fn a_registry_that_is_not_there_refuses_and_the_rest_is_skipped() {
    let mut daemon = Daemon::start();
    let home = Home::new(&daemon);
    daemon.kill();
    let outcome = examine(&home, &[]).expect_code(3).expect_error("1 of 12 checks failed");
    let found = findings(&outcome);
    let port = daemon.tcp.port().to_string();
    expect(
        &found,
        "connection",
        &["failed: ", "refuses: nothing listens there", "Does the registry run", &port],
    );
    expect(&found, "login", &["skipped: the registry can't be reached"]);
}

#[test]
fn a_name_that_nobody_has_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2pchat"));
    let output = command
        .args(["--registry", "nobody.invalid", "doctor", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{out}");
    assert!(out.contains("FAILED   name: nobody.invalid can't be looked up"), "{out}");
    assert!(out.contains("skipped  connection: there is no address"), "{out}");
}

#[test]
fn another_service_on_the_port_is_no_registry() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    thread::spawn(move || {
        for stream in other.incoming() {
            // Whoever asks may be gone.
            drop(stream.unwrap().write_all(b"220 mail.example.org ESMTP\r\n"));
        }
    });
    let home = Home::at(address, address);
    let found = findings(&examine(&home, &[]).expect_code(3));
    expect(&found, "connection", &["ok: "]);
    expect(&found, "certificate", &["failed: ", "not as a registry does: is that its TCP port?"]);
    expect(&found, "login", &["skipped: "]);
}

#[test]
fn a_changed_certificate_fails_loudly_and_nothing_is_sent() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let old = daemon.fingerprint.clone();
    let daemon = daemon.restart_as_another();
    let found = findings(&examine(&home, &[]).expect_code(3));
    expect(&found, "certificate", &["failed: ", "HAS CHANGED", &old, &daemon.fingerprint]);
    expect(&found, "certificate", &["Nothing was sent"]);
    expect(&found, "login", &["skipped: "]);
    assert!(!daemon.log.has("logged in"), "{}", daemon.log);
    let known = fs::read_to_string(home.known_registries()).unwrap();
    assert!(known.contains(&old) && !known.contains(&daemon.fingerprint), "it is not taken: {known}");
}

#[test]
fn keep_alives_that_nobody_answers_are_found_before_the_session_ends() {
    let daemon = Daemon::start();
    // Nobody has this port: it is held here, and nothing is read.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let home = Home::at(daemon.tcp, silent.local_addr().unwrap());
    home.register("alice");
    let found = findings(&examine(&home, &[]).expect_code(1));
    let port = silent.local_addr().unwrap().port().to_string();
    expect(&found, "keep-alive", &["failed: none of ", &port, "A firewall drops UDP", "--registry-udp"]);
    expect(&found, "port", &["ok: "]);
}

#[test]
fn a_wrong_password_is_told_from_a_session_elsewhere_which_is_left_alone() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = home.listener("alice", &[]);
    let found = findings(&examine(&home, &[]).expect_code(0));
    expect(&found, "login", &["warning: the password is right", "logged in elsewhere", "left alone"]);
    expect(&found, "keep-alive", &["skipped: "]);
    // It is still there.
    home.register("bob");
    home.run(&["--user", "bob", "send", "alice", "still there?"]).expect_code(0);
    assert_eq!(alice.expect_event("message")["text"], "still there?");

    let file = home.folder().join("wrong");
    fs::write(&file, format!("not {PASSWORD}\n")).unwrap();
    let found = findings(&examine(&home, &["--password-file", file.to_str().unwrap()]).expect_code(4));
    expect(&found, "login", &["failed: wrong username or password", "p2pchat register"]);
    let unprepared = home.start_unprepared(&["--user", "alice", "doctor", "--json"]).finish().expect_code(0);
    expect(&findings(&unprepared), "login", &["skipped: no password is given"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_can_get_at_is_found_and_how_to_close_it() {
    use std::os::unix::fs::PermissionsExt;

    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    home.run(&["--user", "alice", "peers"]).expect_code(0);
    let set =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let key = fs::read_dir(home.folder().join("link_keys")).unwrap().next().unwrap().unwrap().path();
    set(&key.join("alice.pem"), 0o644);
    let outcome = examine(&home, &[]).expect_code(1);
    let found = findings(&outcome);
    expect(&found, "data", &["failed: ", "alice.pem (mode 644)", "chmod -R go= "]);
    expect(&found, "login", &["failed: ", "open to others"]);
    set(&key.join("alice.pem"), 0o600);
    set(home.folder(), 0o755);
    let found = findings(&examine(&home, &[]).expect_code(0));
    expect(&found, "data", &["warning: ", "(mode 755)"]);
    set(home.folder(), 0o700);
    fs::write(home.known_registries(), "chat.example.org:1 sha256:12\n").unwrap();
    let found = findings(&examine(&home, &[]).expect_code(3));
    expect(&found, "certificate", &["failed: ", "known_registries:1: "]);
    fs::write(home.folder().join("known_peers"), "nonsense\n").unwrap();
    let found = findings(&examine(&home, &[]).expect_code(1));
    expect(&found, "data", &["failed: ", "known_peers:1: ", "Correct the file"]);
}

#[test]
fn a_port_that_another_program_has_is_found_and_another_is_looked_at() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let other = TcpListener::bind("[::]:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let outcome = home.run(&["--user", "alice", "--peer-port", &port, "doctor"]).expect_code(0);
    let taken = format!("warning  port: port {port} can't be listened on");
    assert!(outcome.out.contains(&taken), "{}", outcome.out);
    assert!(outcome.out.contains("is answered by this program"), "{}", outcome.out);
    drop(other);
    let outcome = home.run(&["--user", "alice", "--peer-port", &port, "doctor"]).expect_code(0);
    assert!(outcome.out.contains(&format!("127.0.0.1:{port} (this very machine; port {port}, as chosen)")));
}

#[test]
fn somebody_else_dials_and_it_is_known_that_others_get_through() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let bobs = Home::new(&daemon);
    let mut bob = bobs.listener("bob", &[]);
    let found = findings(&examine(&home, &["--with", "bob"]).expect_code(0));
    expect(
        &found,
        "reached",
        &["ok: bob's program has dialled the address that the registry tells", "127.0.0.1"],
    );
    // He hears of a chat that ends, and of nothing else.
    assert_eq!(bob.expect_event("chat_requested")["from"], "alice");
    bob.expect_event("chat_interrupted");
    bob.expect_event("chat_resumed");
    bob.expect_event("chat_closed");
    let found = findings(&examine(&home, &["--with", "nobody"]).expect_code(0));
    expect(&found, "reached", &["unknown: nobody can't be asked: there is no such user"]);
    home.run(&["--user", "alice", "doctor", "--with", "bob", "--no-login"]).expect_code(2);
}

#[cfg(unix)]
#[test]
fn who_has_not_got_through_is_said_to_have_failed() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let bobs = Home::new(&daemon);
    let mut bob = bobs.listener("bob", &[]);
    let doctor = home.start(&["--user", "alice", "doctor", "--json", "--with", "bob"]);
    bob.expect_event("chat_interrupted");
    // He would dial now.
    bob.signal("STOP");
    let found = findings(&doctor.finish().expect_code(1));
    bob.signal("CONT");
    expect(
        &found,
        "reached",
        &["failed: bob can be dialled, but bob's program did not get through", "firewall"],
    );
}
