//! A daemon as a process, and clients of it.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
};

use p2pchat_core::tokio::{ClientConfig, Error, Events, Peer, Trust};

const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--udp-listen", "127.0.0.1:0"];

/// The program, with nothing set and nothing said.
pub(crate) fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2pchat-registryd"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn command(data_dir: &Path) -> Command {
    let mut command = bare();
    command.arg("--data-dir").arg(data_dir).args(FREE_PORTS);
    command.args(["--hash-memory-kib", "8", "--hash-iterations", "1"]);
    command
}

/// A daemon that is ready; killed at the end of its test if it still runs.
pub(crate) struct Daemon {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: Option<JoinHandle<String>>,
    pub(crate) tcp: String,
    pub(crate) udp: String,
    pub(crate) fingerprint: String,
    pub(crate) metrics: Option<String>,
}

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        // Read all along: a full pipe would hold the daemon up.
        let log = thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).unwrap();
            log
        });
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let fields: Vec<_> = line.trim_end().split(' ').collect();
        let ["ready", tcp, udp, fingerprint, more @ ..] = fields.as_slice() else {
            panic!("not ready: {line:?}\n{}", log.join().unwrap());
        };
        let value = |field: &str, key: &str| field.strip_prefix(key).unwrap().to_owned();
        let (tcp, udp) = (value(tcp, "tcp="), value(udp, "udp="));
        let fingerprint = value(fingerprint, "fingerprint=sha256:");
        let metrics = more.first().map(|field| value(field, "metrics="));
        Self { child, stdout, log: Some(log), tcp, udp, fingerprint, metrics }
    }

    #[cfg(unix)]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Its exit status, what else it wrote to standard output, and its log.
    pub(crate) fn end(mut self) -> (ExitStatus, String, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// The exit code and the one line on standard error of a daemon that won't start.
pub(crate) fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.matches('\n').count(), 1, "{error}");
    (output.status.code(), error)
}

pub(crate) async fn connect(daemon: &Daemon) -> (Peer, Events) {
    try_connect(daemon).await.unwrap()
}

/// Fails as well if it is by now another registry that has the port.
pub(crate) async fn try_connect(daemon: &Daemon) -> Result<(Peer, Events), Error> {
    let trust = Trust::Pinned(format!("sha256:{}", daemon.fingerprint).parse().unwrap());
    let (tcp, udp): (SocketAddr, SocketAddr) = (daemon.tcp.parse().unwrap(), daemon.udp.parse().unwrap());
    let config = ClientConfig::new(tcp.ip().to_string(), tcp.port(), trust);
    let config = config.registry_udp(udp.ip().to_string(), udp.port()).listen("127.0.0.1:0".parse().unwrap());
    Peer::connect(config).await
}
