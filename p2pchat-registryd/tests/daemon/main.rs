//! The daemon as a process.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod check_config;
#[cfg(unix)]
mod ctl;
#[cfg(unix)]
mod data;
mod exposition;
mod init;
mod metrics;
mod pages;
#[cfg(unix)]
mod reload;
#[cfg(target_os = "linux")]
mod service;
mod support;

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use p2pchat_core::proto::PasswordDigest;

use support::{Daemon, command, connect, refusal};

#[test]
fn it_says_in_one_line_where_it_is_and_ends_well_on_each_signal() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(&mut command(folder.path()));
        assert_eq!(daemon.fingerprint.len(), 64);
        assert!(!daemon.tcp.ends_with(":0") && !daemon.udp.ends_with(":0"));
        TcpStream::connect(&daemon.tcp).unwrap();
        daemon.signal(signal);
        let (status, rest, _) = daemon.end();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
    }
}

#[test]
fn its_identity_outlives_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = Daemon::start(&mut command(folder.path()));
    let fingerprint = first.fingerprint.clone();
    first.signal("KILL");
    first.end();
    let second = Daemon::start(&mut command(folder.path()));
    assert_eq!(second.fingerprint, fingerprint);
}

#[tokio::test]
async fn what_it_acknowledged_survives_its_death() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    alice.create("den", Some("door"), 2, "where we meet").await.unwrap();
    daemon.signal("KILL");
    daemon.end();
    alice.close().await;

    let daemon = Daemon::start(&mut command(folder.path()));
    let (bob, _events) = connect(&daemon).await;
    assert!(bob.register("Alice", "other").await.is_err());
    bob.register("bob", "secret").await.unwrap();
    bob.login("bob", "secret").await.unwrap();
    let rooms = bob.rooms().await.unwrap();
    assert_eq!(rooms.iter().map(|room| (room.name.as_str(), room.members)).collect::<Vec<_>>(), [("den", 1)]);
    assert!(bob.join("den", Some("window")).await.is_err());
    bob.join("den", Some("door")).await.unwrap();

    let (alice, _events) = connect(&daemon).await;
    assert!(alice.login("alice", "wrong").await.is_err());
    alice.login("alice", "secret").await.unwrap();
    let members = alice.members("den").await.unwrap();
    assert_eq!(members.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
}

#[tokio::test]
async fn its_log_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(command(folder.path()).args(["--log-level", "trace"]));
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    alice.create("den", Some("secret"), 2, "").await.unwrap();
    daemon.signal("TERM");
    let (_, _, log) = daemon.end();
    let digest = PasswordDigest::of_password("secret");
    assert!(!log.is_empty() && !log.contains(digest.expose()) && !log.contains("argon2"), "{log}");
}

#[test]
fn a_folder_serves_one_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let first = Daemon::start(&mut command(folder.path()));
    let (code, error) = refusal(command(folder.path()).args(["--log-level", "off"]));
    assert_eq!(code, Some(1));
    assert!(error.contains("in use by another registry") && error.contains("--data-dir"), "{error}");
    TcpStream::connect(&first.tcp).unwrap();
}

#[cfg(unix)]
#[test]
fn what_it_keeps_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a").join("data");
    drop(Daemon::start(&mut command(&data)));
    let files = ["registry.redb", "cert.pem", "key.pem"].map(|name| data.join(name));
    assert_eq!(mode(&data), 0o700);
    for file in &files {
        assert_eq!(mode(file), 0o600, "{file:?}");
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    // What was opened to others since is closed again.
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    drop(Daemon::start(&mut command(&data)));
    assert_eq!(mode(&data), 0o700);
    for file in &files {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
    // A folder that holds other things is not the daemon's to close.
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("notes"), "").unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    let daemon = Daemon::start(&mut command(&shared));
    daemon.signal("TERM");
    let (_, _, log) = daemon.end();
    assert_eq!(mode(&shared), 0o755);
    assert!(log.contains("others can look into the data folder"), "{log}");
}

#[test]
fn an_operators_certificate_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let own = Daemon::start(&mut command(&folder.path().join("one")));
    let file = |name| folder.path().join("one").join(name);
    let other = folder.path().join("other");
    let shown =
        Daemon::start(command(&other).arg("--cert").arg(file("cert.pem")).arg("--key").arg(file("key.pem")));
    assert_eq!(shown.fingerprint, own.fingerprint);
    assert!(!other.join("key.pem").exists());

    let third = folder.path().join("third");
    let (code, error) = refusal(command(&third).arg("--cert").arg(file("cert.pem")));
    assert_eq!(code, Some(1));
    assert!(error.contains("cert is given without key"), "{error}");
    let (code, error) =
        refusal(command(&third).arg("--cert").arg(file("cert.pem")).arg("--key").arg(file("none.pem")));
    assert_eq!(code, Some(1));
    assert!(error.contains("none.pem"), "{error}");
}

#[test]
fn a_certificate_whose_key_has_gone_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(Daemon::start(&mut command(folder.path())));
    let certificate = fs::read(folder.path().join("cert.pem")).unwrap();
    fs::remove_file(folder.path().join("key.pem")).unwrap();
    let (code, error) = refusal(command(folder.path()).args(["--log-level", "off"]));
    assert_eq!(code, Some(1));
    assert!(error.contains("put the key back"), "{error}");
    assert_eq!(fs::read(folder.path().join("cert.pem")).unwrap(), certificate);
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registryd.toml");
    // An address that is nobody's: whoever takes it from the file can't start.
    fs::write(
        &file,
        "listen = '192.0.2.1:0'\nregistration = 'open'\nlog-format = 'json'\nlog-level = 'error'\n",
    )
    .unwrap();
    let data = folder.path().join("data");
    let daemon = Daemon::start(
        Command::new(env!("CARGO_BIN_EXE_p2pchat-registryd"))
            .env_clear()
            .env("P2PCHAT_REGISTRYD_CONFIG", &file)
            .env("P2PCHAT_REGISTRYD_DATA_DIR", &data)
            .env("P2PCHAT_REGISTRYD_LISTEN", "127.0.0.1:0")
            .env("P2PCHAT_REGISTRYD_LOG_LEVEL", "error")
            .args(["--udp-listen", "127.0.0.1:0", "--log-level", "info"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    assert!(daemon.tcp.starts_with("127.0.0.1:"));
    daemon.signal("TERM");
    let (status, _, log) = daemon.end();
    assert_eq!(status.code(), Some(0));
    assert!(!log.is_empty() && log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("registryd.toml");
    fs::write(&file, "tls12 = true\nlisten-on = '127.0.0.1:0'\n").unwrap();
    let (code, error) = refusal(command(&data).arg("--config").arg(&file));
    assert_eq!(code, Some(1));
    assert!(error.contains("registryd.toml:2: listen-on: unknown field"), "{error}");

    for level in ["loud=very", "loud", "info,dbug"] {
        let (code, error) = refusal(command(&data).args(["--log-level", level]));
        assert_eq!(code, Some(1));
        assert!(error.contains("log-level"), "{error}");
    }

    let output = command(&data).arg("--lisen").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!data.exists());
}

#[test]
fn an_address_beyond_loopback_wants_it_said_who_may_register() {
    let folder = tempfile::tempdir().unwrap();
    let command = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2pchat-registryd"));
        command
            .env_clear()
            .arg("--data-dir")
            .arg(folder.path())
            .args(["--udp-listen", "127.0.0.1:0"])
            .args(flags);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let (code, error) = refusal(&mut command(&["--listen", "0.0.0.0:0"]));
    assert_eq!(code, Some(1));
    assert!(error.contains("--registration"), "{error}");
    Daemon::start(&mut command(&["--listen", "0.0.0.0:0", "--registration=open"]));
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2pchat-registryd"));
    command.env_clear().arg("--data-dir").arg(folder.path()).args(["--log-level", "off"]);
    let (code, error) = refusal(command.args(["--udp-listen", "127.0.0.1:0", "--listen", &address]));
    assert_eq!(code, Some(1));
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");
}

#[test]
fn damaged_data_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.redb");
    fs::write(&file, "my diary").unwrap();
    let (code, error) = refusal(command(folder.path()).args(["--log-level", "off"]));
    assert_eq!(code, Some(1));
    assert!(error.contains("registry.redb is not a registry's data"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "my diary");
}

#[test]
fn help_and_version_are_there() {
    let run = |flag| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_p2pchat-registryd")).env_clear().arg(flag).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run("--version").trim_end(), concat!("p2pchat-registryd ", env!("CARGO_PKG_VERSION")));
    let help = run("--help");
    for word in ["--data-dir", "P2PCHAT_REGISTRYD_LISTEN", "127.0.0.1:15600", "registry.redb", "Examples"] {
        assert!(help.contains(word), "{word} is missing");
    }
}
