//! The registry in a process of its own, so that its figures are its own: this program, started again in another role.
//!
//! It is what `p2pchat-registryd` runs, `p2pchat_registryd::serve` with the daemon's defaults, and not that binary, since
//! only from inside can tokio be asked for its tasks and the allocator for what is in use.

use std::{
    fs::File,
    io::{self, BufRead, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    thread,
};

use clap::ValueEnum;
use p2pchat_core::tokio::Fingerprint;
use p2pchat_registryd::{Config, Settings, serve};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};

use crate::figures::{Figures, heap_bytes};

/// What the registry may be made to lose at each sample, to see it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Leak {
    /// A mebibyte.
    Memory,
    /// A descriptor.
    Descriptors,
    /// A task that never ends.
    Tasks,
}

/// Where the registry is.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) fingerprint: Fingerprint,
    /// Its certificate, in PEM.
    pub(crate) certificate: PathBuf,
}

/// The other process.
pub(crate) struct Registry {
    pub(crate) address: Address,
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    database: PathBuf,
}

impl Registry {
    pub(crate) async fn start(folder: &Path, leak: Option<Leak>) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        command.arg("--serve-in").arg(folder);
        if let Some(leak) = leak.and_then(|leak| leak.to_possible_value()) {
            command.args(["--leak", leak.get_name()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("can't start the registry: {error}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the registry has no pipes".into());
        };
        let mut stdout = BufReader::new(stdout).lines();
        let ready = stdout.next_line().await.ok().flatten().ok_or("the registry did not start")?;
        let field = |name: &str| {
            ready.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let unreadable = |_| format!("the registry says {ready}");
        let address = Address {
            tcp: field("tcp").parse().map_err(unreadable)?,
            udp: field("udp").parse().map_err(unreadable)?,
            fingerprint: field("fingerprint").parse().map_err(|_| format!("the registry says {ready}"))?,
            certificate: folder.join("cert.pem"),
        };
        Ok(Self { address, child, stdin, stdout, database: folder.join("registry.redb") })
    }

    /// What it holds now.
    pub(crate) async fn figures(&mut self) -> Result<Figures, String> {
        self.ask(b"figures\n").await
    }

    /// The same, and if it is made to lose something, now it does.
    pub(crate) async fn sample(&mut self) -> Result<Figures, String> {
        self.ask(b"sample\n").await
    }

    async fn ask(&mut self, question: &[u8]) -> Result<Figures, String> {
        let gone = || "the registry's process is gone".to_owned();
        self.stdin.write_all(question).await.map_err(|_| gone())?;
        let line = self.stdout.next_line().await.ok().flatten().ok_or_else(gone)?;
        let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
        let (Some(tasks), Some(heap)) = (numbers.next(), numbers.next()) else {
            return Err(format!("the registry says {line}"));
        };
        Figures::of_process(self.pid()?, tasks, heap).map_err(|error| error.to_string())
    }

    pub(crate) fn pid(&self) -> Result<u32, String> {
        self.child.id().ok_or_else(|| "the registry's process is gone".to_owned())
    }

    pub(crate) fn database_kib(&self) -> u64 {
        std::fs::metadata(&self.database).map_or(0, |metadata| metadata.len() / 1024)
    }

    /// Ends it, and sees that it ends well.
    pub(crate) async fn stop(self) -> Result<(), String> {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        match child.wait().await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the registry ended with {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The other role: serves until standard input ends, and answers each line there with what only it can know.
pub(crate) fn serve_in(folder: PathBuf, leak: Option<Leak>) -> ExitCode {
    match try_serve_in(folder, leak) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn try_serve_in(folder: PathBuf, leak: Option<Leak>) -> Result<(), Box<dyn std::error::Error>> {
    let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings::default();
    settings.data_dir = Some(folder);
    (settings.listen, settings.udp_listen) = (Some(free_port), Some(free_port));
    let config = Config::new(settings)?;
    // As the daemon does.
    rlimit::increase_nofile_limit(config.max_connections as u64 + 64)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    let handle = runtime.handle().clone();
    thread::spawn(move || {
        answer(&handle, leak);
        _ = stop.send(());
    });
    runtime.block_on(serve(&config, async { _ = stopped.await }, |ready| println!("{ready}")))?;
    Ok(())
}

fn answer(runtime: &tokio::runtime::Handle, leak: Option<Leak>) {
    let mut lost = (Vec::new(), Vec::new());
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        match leak.filter(|_| line == "sample") {
            Some(Leak::Memory) => lost.0.push(vec![1_u8; 1 << 20]),
            Some(Leak::Descriptors) => lost.1.push(File::open("/dev/null")),
            Some(Leak::Tasks) => drop(runtime.spawn(std::future::pending::<()>())),
            None => {}
        }
        let mut stdout = io::stdout().lock();
        let said = writeln!(stdout, "{} {}", runtime.metrics().num_alive_tasks(), heap_bytes());
        if said.and_then(|()| stdout.flush()).is_err() {
            return;
        }
    }
}
