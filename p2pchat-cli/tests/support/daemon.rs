//! A registry in a process of its own.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tempfile::TempDir;

use super::{PATIENCE, place::Place, transcript::Transcript};

/// How a daemon is started.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where it runs.
    pub(crate) place: Place,
    /// The folder that it keeps its data in.
    pub(crate) data: PathBuf,
    /// Further flags.
    pub(crate) flags: Vec<String>,
    /// Where it takes peers.
    pub(crate) tcp: SocketAddr,
    /// Where it takes keep-alives.
    pub(crate) udp: SocketAddr,
    /// Removed with the last daemon that was started from this.
    pub(crate) folder: Arc<TempDir>,
}

impl Setup {
    /// On free ports of this machine, with nothing in its store.
    pub(crate) fn new(flags: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            place: Place::default(),
            data: folder.path().to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            tcp: any,
            udp: any,
            folder,
        }
    }

    fn command(&self) -> Command {
        let mut command = self.place.command(binary());
        command
            .args(["--listen", &self.tcp.to_string(), "--udp-listen", &self.udp.to_string()])
            // A hash that costs nothing: what is slow about the real one is its point.
            .args(["--hash-memory-kib", "8", "--hash-iterations", "1"])
            .env("P2PCHAT_REGISTRYD_LOG_LEVEL", "info,p2pchat_core=debug")
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.flags)
            .stdin(Stdio::null());
        command
    }

    /// What comes of a daemon that can't start: how it ends, and what it says.
    pub(crate) fn refusal(&self) -> (ExitStatus, String) {
        let mut process = self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Transcript::of("the log of a registry that can't start", process.stderr.take().unwrap());
        let status = wait(&mut process);
        if status.is_none() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        (status.unwrap_or_else(|| panic!("it doesn't end; {log}")), log.to_end())
    }

    /// Starts it, and waits until peers can connect.
    pub(crate) fn start(mut self) -> Daemon {
        let mut process = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Transcript::of("the registry's log", process.stderr.take().unwrap());
        let mut said = Transcript::of("the registry's standard output", process.stdout.take().unwrap());
        if !said.comes("ready ") {
            drop(process.kill());
            panic!("it doesn't start; {log}");
        }
        let ready = said.expect("\n");
        let value = |key: &str| {
            let word = ready.split_whitespace().find_map(|word| word.strip_prefix(key));
            word.unwrap_or_else(|| panic!("{key} is missing in {ready}")).to_owned()
        };
        (self.tcp, self.udp) = (value("tcp=").parse().unwrap(), value("udp=").parse().unwrap());
        let fingerprint = value("fingerprint=");
        let metrics = ready.split_whitespace().find_map(|word| word.strip_prefix("metrics="));
        let metrics = metrics.map(|address| address.parse().unwrap());
        Daemon { tcp: self.tcp, udp: self.udp, fingerprint, metrics, process, log, setup: Some(self) }
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    process: Child,
    /// `None` once it is being taken out.
    setup: Option<Setup>,
    /// Where it takes peers.
    pub(crate) tcp: SocketAddr,
    /// Where it takes keep-alives.
    pub(crate) udp: SocketAddr,
    /// What its certificate is known by.
    pub(crate) fingerprint: String,
    /// Where it tells metrics and health, if it does.
    pub(crate) metrics: Option<SocketAddr>,
    /// Its log.
    pub(crate) log: Transcript,
}

impl Daemon {
    /// On free ports, with nothing in its store.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With further flags.
    pub(crate) fn with(flags: &[&str]) -> Self {
        Setup::new(flags).start()
    }

    /// What comes of one more daemon on this data: how it ends, and what it says.
    pub(crate) fn start_in(data: &Path) -> (ExitStatus, String) {
        Setup { data: data.to_owned(), ..Setup::new(&[]) }.refusal()
    }

    /// Killed, and started again on its data, with a new certificate.
    pub(crate) fn restart_as_another(mut self) -> Self {
        self.kill();
        for file in ["cert.pem", "key.pem"] {
            fs::remove_file(self.data().join(file)).unwrap();
        }
        self.restart()
    }

    /// The same ports and the same data, once more.
    pub(crate) fn restart(self) -> Self {
        self.end().start()
    }

    /// Kills it; what another one can be started from, with the same ports and the same data.
    pub(crate) fn end(mut self) -> Setup {
        self.kill();
        self.setup.take().unwrap()
    }

    /// The folder that it keeps its data in.
    pub(crate) fn data(&self) -> &Path {
        &self.setup.as_ref().unwrap().data
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    /// How it ends, by itself.
    pub(crate) fn outcome(&mut self) -> ExitStatus {
        wait(&mut self.process).unwrap_or_else(|| panic!("it doesn't end; {}", self.log))
    }

    /// `kill -9`, and waits until it is dead.
    pub(crate) fn kill(&mut self) {
        // It may be dead already.
        drop(self.process.kill());
        self.process.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.outcome()
    }

    /// How much memory it has, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// A size in the system's account of the process, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn status_bytes(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        kilobytes.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a process a signal, by name.
pub(crate) fn signal(process: &Child, name: &str) {
    let kill = format!("kill -{name} {}", process.id());
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success());
}

/// How a process ends; `None` if it doesn't.
pub(crate) fn wait(process: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// The daemon's program. It belongs to another package, so nobody has built it for these tests if they run alone.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_p2pchat")).parent().unwrap();
        let binary = folder.join(format!("p2pchat-registryd{}", env::consts::EXE_SUFFIX));
        if !is_current(&binary) {
            build(folder);
        }
        assert!(binary.is_file(), "{} is not there", binary.display());
        binary
    })
}

fn build(folder: &Path) {
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        profile => profile,
    };
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "p2pchat-registryd", "--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "the registry can't be built");
}

/// True if no source that the daemon is made of is newer than it.
fn is_current(binary: &Path) -> bool {
    let Ok(built) = fs::metadata(binary).and_then(|metadata| metadata.modified()) else { return false };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    ["p2pchat-proto/src", "p2pchat-core/src", "p2pchat-registryd/src"]
        .iter()
        .all(|sources| newest(&workspace.join(sources)).is_none_or(|changed| changed <= built))
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let changed = entries.filter_map(|entry| match entry.file_type().ok()? {
        kind if kind.is_dir() => newest(&entry.path()),
        _ => entry.metadata().ok()?.modified().ok(),
    });
    changed.max()
}
