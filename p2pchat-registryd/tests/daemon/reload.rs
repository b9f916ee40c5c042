//! SIGHUP and `ctl reload`.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Output,
    time::{Duration, Instant},
};

use p2pchat_core::{
    peer::Event,
    tokio::{ClientConfig, Error, Events, Peer, Trust},
};
use serde_json::{Value, json};

use crate::support::{Daemon, bare, command, connect, refusal, try_connect};

/// A daemon with a configuration file and a certificate that can be replaced.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["one", "two"] {
            let made = bare().arg("init").arg("--data-dir").arg(place.path(name)).output().unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        place.show("one");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts another certificate into the place of that which is shown.
    fn show(&self, name: &str) {
        for file in ["cert.pem", "key.pem"] {
            fs::copy(self.path(name).join(file), self.path(file)).unwrap();
        }
    }

    fn configure(&self, settings: &str) {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        fs::write(self.path("registryd.toml"), format!("cert = {cert:?}\nkey = {key:?}\n{settings}"))
            .unwrap();
    }

    fn start(&self) -> Daemon {
        Daemon::start(command(&self.path("data")).arg("--config").arg(self.path("registryd.toml")))
    }

    fn ctl(&self, words: &[&str]) -> Output {
        bare().arg("ctl").arg("--data-dir").arg(self.path("data")).args(words).output().unwrap()
    }

    fn told(&self, words: &[&str]) -> Value {
        let output = self.ctl(&[words, &["--json"]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Which certificate newcomers are shown.
async fn shown(daemon: &Daemon) -> String {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::KnownRegistries(folder.path().join("known"));
    let (tcp, udp): (SocketAddr, SocketAddr) = (daemon.tcp.parse().unwrap(), daemon.udp.parse().unwrap());
    let config = ClientConfig::new(tcp.ip().to_string(), tcp.port(), trust);
    let config = config.registry_udp(udp.ip().to_string(), udp.port()).listen("127.0.0.1:0".parse().unwrap());
    let (peer, _events) = Peer::connect(config).await.unwrap();
    peer.certificate().unwrap().fingerprint.to_string()
}

/// Waits until newcomers are shown another one.
async fn expect_shown(daemon: &Daemon, fingerprint: &str) {
    let begun = Instant::now();
    while shown(daemon).await != fingerprint {
        assert!(begun.elapsed() < Duration::from_secs(30), "it isn't shown");
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_and_nobodys_connection_is_closed() {
    let place = Place::new();
    place.configure("");
    let daemon = place.start();
    let (alice, mut events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    let first = format!("sha256:{}", daemon.fingerprint);

    place.show("two");
    let output = place.ctl(&["reload"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "changed: certificate\n");
    let second = shown(&daemon).await;
    assert_ne!(second, first);
    assert_eq!(place.told(&["status"])["fingerprint"], second.as_str());
    assert_eq!(place.told(&["reload"]), json!({"changed": [], "needs_restart": [], "fingerprint": second}));
    assert_eq!(String::from_utf8(place.ctl(&["reload"]).stdout).unwrap(), "nothing has changed\n");

    // The same by a signal.
    place.show("one");
    daemon.signal("HUP");
    expect_shown(&daemon, &first).await;
    // She is still there, on the connection that she had.
    alice.create("den", None, 2, "").await.unwrap();
    assert_eq!(place.told(&["sessions"])["user"], "alice");
    alice.close().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Disconnected { .. }), "{event:?}");
    }
    daemon.signal("TERM");
    let (status, _, log) = daemon.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(log.matches("settings and certificate were read anew").count(), 4, "{log}");
}

#[test]
fn a_reload_by_a_signal_is_in_the_audit_log_with_what_came_of_it() {
    let place = Place::new();
    place.configure("");
    let daemon = place.start();
    let audit = place.path("data").join("audit.jsonl");
    let begun = Instant::now();
    let signalled = |lines: usize| -> Vec<Value> {
        daemon.signal("HUP");
        loop {
            let text = fs::read_to_string(&audit).unwrap_or_default();
            if text.lines().count() == lines {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    place.configure("max-handshakes = 9\n");
    let lines = signalled(2);
    for line in &lines {
        assert_eq!((&line["signal"], &line["request"]), (&json!("SIGHUP"), &json!({"verb": "reload"})));
        assert_eq!((line.get("uid"), &line["id"]), (None, &lines[0]["id"]));
    }
    assert_eq!(
        (lines[0].get("result"), &lines[1]["result"]["ok"]["changed"]),
        (None, &json!(["max-handshakes"]))
    );
    place.configure("cache-mib = 0\n");
    assert_eq!(signalled(4)[3]["result"]["error"]["kind"], "settings");
}

#[tokio::test]
async fn what_makes_no_sense_changes_nothing() {
    let place = Place::new();
    place.configure("registration = 'open'\n");
    let daemon = place.start();
    let first = format!("sha256:{}", daemon.fingerprint);
    let (alice, mut events) = connect(&daemon).await;
    let file = place.path("registryd.toml");

    place.show("two");
    let signalled = || {
        let audit = fs::read_to_string(place.path("data").join("audit.jsonl")).unwrap_or_default();
        audit.lines().filter(|line| line.contains("SIGHUP") && line.contains("result")).count()
    };
    for (settings, expected) in [
        ("registration = 'closed'\ncache-mib = 0\n", format!("{}:4: cache-mib is 0", file.display())),
        ("registration = 'closed'\nlisen = 5\n", format!("{}:4: lisen: unknown field", file.display())),
        ("registration = 'closed'\n[", format!("{}:4: ", file.display())),
    ] {
        place.configure(settings);
        let (code, error) = refusal(bare().args(["ctl", "reload", "--data-dir"]).arg(place.path("data")));
        assert_eq!(code, Some(1));
        assert!(error.contains(&expected) && error.ends_with("nothing was changed\n"), "{error}");
        let (before, begun) = (signalled(), Instant::now());
        daemon.signal("HUP");
        // Handled before what makes sense again is there for it to read.
        while signalled() == before {
            assert!(begun.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    place.configure("registration = 'closed'\n");
    fs::copy(place.path("one").join("key.pem"), place.path("key.pem")).unwrap();
    let error = String::from_utf8(place.ctl(&["reload"]).stderr).unwrap();
    assert!(error.contains("belongs to another certificate"), "{error}");
    fs::remove_file(place.path("key.pem")).unwrap();
    let error = String::from_utf8(place.ctl(&["reload"]).stderr).unwrap();
    assert!(error.contains("key.pem"), "{error}");
    fs::remove_file(&file).unwrap();
    let error = String::from_utf8(place.ctl(&["reload"]).stderr).unwrap();
    assert!(error.contains("can't read the configuration file"), "{error}");

    assert_eq!(shown(&daemon).await, first);
    alice.register("alice", "secret").await.unwrap();
    let status = place.told(&["status"]);
    assert_eq!((&status["fingerprint"], &status["registration"]), (&json!(first), &json!("open")));
    alice.close().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Disconnected { .. }), "{event:?}");
    }
    // And when it makes sense again, it holds.
    place.show("two");
    place.configure("registration = 'closed'\n");
    let told = place.told(&["reload"]);
    assert_eq!(told["changed"], json!(["registration", "certificate"]));
    let (bob, _events) = connect_to(&daemon, &told["fingerprint"]).await;
    assert!(bob.register("bob", "secret").await.is_err());
}

async fn connect_to(daemon: &Daemon, fingerprint: &Value) -> (Peer, Events) {
    let trust = Trust::Pinned(fingerprint.as_str().unwrap().parse().unwrap());
    let tcp: SocketAddr = daemon.tcp.parse().unwrap();
    let config = ClientConfig::new(tcp.ip().to_string(), tcp.port(), trust);
    Peer::connect(config.listen("127.0.0.1:0".parse().unwrap())).await.unwrap()
}

#[tokio::test]
async fn settings_hold_at_once_or_are_said_to_need_a_restart() {
    let place = Place::new();
    place.configure("");
    let daemon = place.start();
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();

    // Flags still go before the file.
    place.configure(
        "prefix-connections = 2\nlimit-loopback = true\nprefix-connects-per-minute = 1000\nlog-level = 'debug'\n\
         cache-mib = 7\nlog-format = 'json'\nlisten = '127.0.0.1:1'\nhash-iterations = 7\nmax-handshakes = 9\n",
    );
    let told = place.told(&["reload"]);
    let changed =
        ["limit-loopback", "log-level", "max-handshakes", "prefix-connections", "prefix-connects-per-minute"];
    assert_eq!(
        (&told["changed"], &told["needs_restart"]),
        (&json!(changed), &json!(["cache-mib", "log-format"]))
    );
    assert_eq!(place.told(&["status"])["log_level"], "debug");
    // Alice is counted, though she wasn't limited when she came.
    let (_bob, _events) = connect(&daemon).await;
    let refused: Result<(), Error> = try_connect(&daemon).await.map(drop);
    assert!(refused.is_err());
    // What wasn't taken over still needs it.
    let output = String::from_utf8(place.ctl(&["reload"]).stdout).unwrap();
    assert_eq!(output, "nothing has changed\nneeds a restart: cache-mib, log-format\n");
    place.configure("");
    place.told(&["reload"]);
    let (_carol, _events) = connect(&daemon).await;
    alice.create("den", None, 2, "").await.unwrap();
}

#[test]
fn registration_is_not_opened_unsaid_while_others_still_reach_the_registry() {
    for (listen, udp_listen) in [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("[::]", "0.0.0.0")] {
        let place = Place::new();
        let configure = |listen: &str, udp_listen: &str, more: &str| {
            place.configure(&format!("listen = '{listen}:0'\nudp-listen = '{udp_listen}:0'\n{more}"));
        };
        configure(listen, udp_listen, "registration = 'closed'");
        let mut bare = bare();
        let _daemon = Daemon::start(
            bare.arg("--data-dir").arg(place.path("data")).arg("--config").arg(place.path("registryd.toml")),
        );
        // Such settings are fine at a start, where nobody else is served by them.
        configure("127.0.0.1", "127.0.0.1", "");
        let refused = place.ctl(&["reload"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let why = String::from_utf8(refused.stderr).unwrap();
        assert!(why.contains("registration would be open by default"), "{why}");
        for (address, other) in [(listen, udp_listen), (udp_listen, listen)] {
            let is_named = why.contains(&format!(" {address}:0"));
            assert_eq!(is_named, address != "127.0.0.1", "{address} beside {other}: {why}");
        }
        assert_eq!(place.told(&["status"])["registration"], "closed");
        configure("127.0.0.1", "127.0.0.1", "registration = 'invite'");
        assert_eq!(place.told(&["reload"])["changed"], json!(["registration"]));
        // Who says so is taken at their word, as at a start.
        configure("127.0.0.1", "127.0.0.1", "registration = 'open'");
        assert_eq!(place.told(&["reload"])["changed"], json!(["registration"]));
    }
}
