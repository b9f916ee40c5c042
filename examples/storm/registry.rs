//! The registry in a process of its own, so that it can be killed: this program, started again in another role.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use p2pchat_core::tokio::Fingerprint;
use p2pchat_registryd::{Config, Settings, serve};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// A registry that can be killed, and started again where it was.
pub(crate) struct Registry {
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) fingerprint: Fingerprint,
    metrics: SocketAddr,
    folder: PathBuf,
    hash_queue: usize,
    child: Child,
}

impl Registry {
    pub(crate) async fn start(folder: &Path, hash_queue: usize) -> Result<Self, String> {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(folder.into(), [free, free], hash_queue).await
    }

    async fn start_at(
        folder: PathBuf,
        [tcp, udp]: [SocketAddr; 2],
        hash_queue: usize,
    ) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        command.arg("--serve-in").arg(&folder);
        command.args(["--tcp", &tcp.to_string(), "--udp", &udp.to_string()]);
        command.args(["--hash-queue", &hash_queue.to_string()]);
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("can't start the registry: {error}"))?;
        let stdout = child.stdout.take().ok_or("the registry has no pipe")?;
        let ready = BufReader::new(stdout).lines().next_line().await.ok().flatten();
        let ready = ready.ok_or("the registry did not start")?;
        let field = |name: &str| {
            ready.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let address = |name| field(name).parse().map_err(|_| format!("the registry says {ready}"));
        Ok(Self {
            tcp: address("tcp")?,
            udp: address("udp")?,
            fingerprint: field("fingerprint").parse().map_err(|_| format!("the registry says {ready}"))?,
            metrics: address("metrics")?,
            folder,
            hash_queue,
            child,
        })
    }

    /// From one moment to the next: SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| format!("can't kill the registry: {error}"))
    }

    pub(crate) async fn start_again(self) -> Result<Self, String> {
        Self::start_at(self.folder, [self.tcp, self.udp], self.hash_queue).await
    }

    /// What it tells of itself, by name and label.
    pub(crate) async fn metrics(&self) -> Result<Metrics, String> {
        let text = self.scrape().await.map_err(|error| format!("the registry's metrics: {error}"))?;
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let values = lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Ok(Metrics(values.collect()))
    }

    async fn scrape(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.metrics).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }
}

/// A registry's metrics at a moment.
#[derive(Debug, Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// A metric's value, such as of `logins_total{result="resumed"}`. One that isn't there is an error, so that no check
    /// passes for want of it.
    pub(crate) fn value(&self, name: &str) -> Result<u64, String> {
        let value = self.0.get(&format!("p2pchat_registry_{name}"));
        value.map(|&value| value as u64).ok_or_else(|| format!("the registry has no metric {name}"))
    }
}

/// The other role.
pub(crate) fn serve_in(folder: &Path, [tcp, udp]: [SocketAddr; 2], hash_queue: usize) -> Result<(), String> {
    let mut settings = Settings::default();
    settings.data_dir = Some(folder.into());
    (settings.listen, settings.udp_listen) = (Some(tcp), Some(udp));
    settings.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    settings.hash_queue = Some(hash_queue);
    let config = Config::new(settings).map_err(|error| error.to_string())?;
    // As the daemon does.
    rlimit::increase_nofile_limit(config.max_connections as u64 + 64).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let served = serve(&config, std::future::pending(), |ready| println!("{ready}"));
    runtime.block_on(served).map_err(|error| error.to_string())
}
