//! What a service manager is told, and the sockets that it passes.

use std::{
    fs, io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{fd::AsFd, unix::net::UnixDatagram},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::{
    metrics::{fetch, until},
    support::{Daemon, bare, command, connect, refusal},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the daemon tells.
struct Manager(UnixDatagram);

impl Manager {
    fn new(folder: &Path) -> Self {
        let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = command(&folder.join("data"));
        command.env("NOTIFY_SOCKET", folder.join("notify"));
        command
    }

    fn starts(&self, folder: &Path, watchdog: Option<Duration>) -> Daemon {
        let mut command = self.command(folder);
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Daemon::start(&mut command)
    }

    fn hears(&self) -> Vec<String> {
        let mut buffer = [0; 4_096];
        let size = loop {
            match self.0.recv(&mut buffer) {
                // Whoever stops the test and lets it go on interrupts it.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        std::str::from_utf8(&buffer[..size]).unwrap().lines().map(Into::into).collect()
    }

    /// The first message that begins so.
    fn expect(&self, first: &str) -> Vec<String> {
        loop {
            let message = self.hears();
            if message[0].starts_with(first) {
                return message;
            }
            assert!(message[0].starts_with("STATUS=") || message[0] == "WATCHDOG=1", "{message:?}");
        }
    }
}

#[tokio::test]
async fn the_manager_is_told_of_beginning_course_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new(folder.path());
    let daemon = manager.starts(folder.path(), None);
    assert_eq!(manager.hears(), ["READY=1"]);
    assert_eq!(manager.expect("STATUS="), ["STATUS=0 online, 0 connections"]);
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    assert_eq!(manager.expect("STATUS="), ["STATUS=1 online, 1 connections"]);
    daemon.signal("TERM");
    assert_eq!(manager.expect("STOPPING"), ["STOPPING=1", "STATUS=telling the peers"]);
    let (status, _, log) = daemon.end();
    assert_eq!(status.code(), Some(0));
    assert!(!log.contains("can't tell"), "{log}");
}

#[test]
fn the_watchdog_is_fed_while_the_registry_lives_and_not_when_it_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new(folder.path());
    let daemon = manager.starts(folder.path(), Some(Duration::from_millis(300)));
    manager.expect("READY=1");
    for _ in 0..5 {
        manager.expect("WATCHDOG=1");
    }
    daemon.signal("STOP");
    // What is on its way is taken first.
    manager.0.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let begun = Instant::now();
    while manager.0.recv(&mut [0; 4_096]).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "a stopped registry feeds it");
    }
    daemon.signal("CONT");
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    manager.expect("WATCHDOG=1");
}

#[test]
fn a_manager_is_told_of_a_reload_from_its_beginning_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new(folder.path());
    let daemon = manager.starts(folder.path(), None);
    manager.expect("READY=1");
    daemon.signal("HUP");
    let told = manager.expect("RELOADING=1");
    assert!(told.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{told:?}");
    assert_eq!(manager.expect("READY=1"), ["READY=1", "STATUS=0 online, 0 connections"]);
}

#[test]
fn a_reload_that_failed_is_in_the_status_until_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new(folder.path());
    let file = folder.path().join("registryd.toml");
    fs::write(&file, "").unwrap();
    let mut command = manager.command(folder.path());
    let daemon = Daemon::start(command.arg("--config").arg(&file).args(["--metrics-listen", "127.0.0.1:0"]));
    manager.expect("READY=1");
    until(&daemon, "reload_successful", 1.0);
    fs::write(&file, "lisen = 5\ncache-mib = 0\n").unwrap();
    daemon.signal("HUP");
    manager.expect("RELOADING=1");
    let told = manager.expect("READY=1");
    let [_, status] = told.as_slice() else { panic!("{told:?}") };
    assert!(status.starts_with("STATUS=0 online, "), "{status}");
    assert!(
        status.contains("; the last reload failed: ") && status.contains("registryd.toml:1: lisen"),
        "{status}"
    );
    // The next figures, too, say so.
    let _connection = TcpStream::connect(&daemon.tcp).unwrap();
    let told = manager.expect("STATUS=0 online, 1 connections");
    assert!(told.len() == 1 && told[0].contains("; the last reload failed: "), "{told:?}");
    let (_, metrics) = fetch(&daemon, "/metrics");
    assert!(metrics.contains("p2pchat_registry_reload_successful 0\n"), "{metrics}");
    fs::write(&file, "").unwrap();
    daemon.signal("HUP");
    manager.expect("RELOADING=1");
    let told = manager.expect("READY=1");
    assert!(told.len() == 2 && !told[1].contains("reload"), "{told:?}");
    until(&daemon, "reload_successful", 1.0);
}

#[test]
fn the_manager_is_told_of_an_end_that_no_signal_brings() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new(folder.path());
    let daemon = manager.starts(folder.path(), None);
    manager.expect("READY=1");
    let data = folder.path().join("data");
    let drained = bare().args(["ctl", "drain", "--data-dir"]).arg(data).output().unwrap();
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(manager.expect("STOPPING"), ["STOPPING=1", "STATUS=telling the peers"]);
    assert_eq!(daemon.end().0.code(), Some(0));
}

#[test]
fn without_a_manager_nobody_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&folder.path().join("data"));
    command.env("NOTIFY_SOCKET", folder.path().join("gone"));
    let daemon = Daemon::start(&mut command);
    TcpStream::connect(&daemon.tcp).unwrap();
}

/// The daemon as a manager starts it that passes these sockets, in this order.
fn activated(data_dir: &Path, names: &str, sockets: &[&dyn AsFd], flags: &[&str]) -> Command {
    let mut script = String::new();
    for (at, socket) in sockets.iter().enumerate() {
        fcntl_setfd(socket.as_fd(), FdFlags::empty()).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd());
        script.push_str(&format!("exec {}<&{number}-; ", 200 + at));
    }
    for at in 0..sockets.len() {
        script.push_str(&format!("exec {}<&{}-; ", 3 + at, 200 + at));
    }
    let program = env!("CARGO_BIN_EXE_p2pchat-registryd");
    script.push_str(&format!("LISTEN_PID=$$ exec {program} \"$@\""));
    let mut command = Command::new("bash");
    command.env_clear().args(["-c", &script, "bash", "--data-dir"]).arg(data_dir);
    command.args(["--hash-memory-kib", "8", "--hash-iterations", "1"]).args(flags);
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn passed_sockets_are_used_whatever_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ours = |address: std::net::SocketAddr| address.to_string();
    let addresses = (
        ours(tcp.local_addr().unwrap()),
        ours(udp.local_addr().unwrap()),
        ours(metrics.local_addr().unwrap()),
    );
    // Who comes before the daemon runs is served as soon as it does.
    let early = TcpStream::connect(&addresses.0).unwrap();
    let daemon = Daemon::start(&mut activated(
        folder.path(),
        "registry:metrics:registry",
        &[&udp, &metrics, &tcp],
        &[],
    ));
    assert_eq!((daemon.tcp.clone(), daemon.udp.clone(), daemon.metrics.clone().unwrap()), addresses);
    drop((tcp, udp, metrics, early));
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    until(&daemon, "keep_alives_total", 1.0);
    daemon.signal("TERM");
    assert_eq!(daemon.end().0.code(), Some(0));
}

#[test]
fn passed_sockets_are_held_to_what_addresses_in_the_settings_are_held_to() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
    let quiet = ["--log-level", "off", "--udp-listen", "127.0.0.1:0"];
    let (code, error) = refusal(&mut activated(folder.path(), "", &[&tcp], &quiet));
    assert_eq!(code, Some(1));
    assert!(error.contains("--registration") && error.contains("listen is 0.0.0.0:"), "{error}");

    let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
    let quiet = ["--log-level", "off", "--udp-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let (code, error) = refusal(&mut activated(folder.path(), "metrics", &[&tcp], &quiet));
    assert_eq!(code, Some(1));
    assert!(error.contains("--metrics-public"), "{error}");
}

#[test]
fn sockets_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, error) = refusal(&mut activated(folder.path(), "a:b", &[&tcp(), &tcp()], &[]));
    assert_eq!(code, Some(1));
    assert!(error.contains("more than one socket for TCP"), "{error}");
    let file = fs::File::open("/dev/null").unwrap();
    let (code, error) = refusal(&mut activated(folder.path(), "a:rubbish", &[&tcp(), &file], &[]));
    assert_eq!(code, Some(1));
    assert!(error.contains("rubbish") && error.contains("neither"), "{error}");
    assert!(!folder.path().join("registry.redb").exists());
}
