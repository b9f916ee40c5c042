//! Servers and generators as processes, each on its own processor.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::{Outcome, accounts::Cost, figures::Figures};

/// A program of this workspace, built beside this one.
pub(crate) fn binary(name: &str) -> Outcome<PathBuf> {
    Ok(folder()?.join(name).with_extension(std::env::consts::EXE_EXTENSION))
}

/// How this program was built, which its folder is named after.
pub(crate) fn profile() -> Outcome<String> {
    let folder = folder()?;
    let name = folder.file_name().and_then(OsStr::to_str).ok_or("this program's folder has no name")?;
    Ok(if name == "debug" { "dev" } else { name }.to_owned())
}

fn folder() -> Outcome<PathBuf> {
    Ok(std::env::current_exe()?.parent().ok_or("this program is in no folder")?.to_owned())
}

/// Which processors a process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first, which is the servers'.
    First,
    /// All but the first, which are the generator's.
    Others,
    /// All that there are.
    All,
}

/// Starts a process there. What this one may have, a child inherits.
fn spawn(command: &mut Command, place: Place) -> Outcome<Child> {
    let all = sched_getaffinity(None)?;
    let processors: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
    let own = match (place, processors.split_first()) {
        (Place::First, Some((&first, [_, ..]))) => vec![first],
        (Place::Others, Some((_, others @ [_, ..]))) => others.to_vec(),
        _ => processors.clone(),
    };
    let mut set = CpuSet::new();
    own.iter().for_each(|&cpu| set.set(cpu));
    sched_setaffinity(None, &set)?;
    let child = command.spawn();
    sched_setaffinity(None, &all)?;
    Ok(child?)
}

/// Runs a program to its end, and has what it says.
pub(crate) fn said(command: &mut Command, place: Place) -> Outcome<Vec<Figures>> {
    let output = spawn(command.stdout(Stdio::piped()), place)?.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("{command:?} failed").into());
    }
    String::from_utf8(output.stdout)?.lines().map(Figures::read).collect()
}

/// A server that runs, and is killed when it isn't needed any more.
pub(crate) struct Server {
    child: Child,
    tcp: String,
    udp: String,
    floor: bool,
    /// How many accounts it has.
    accounts: usize,
    /// From its start to the line that says it is ready.
    pub(crate) started_in: Duration,
}

impl Server {
    pub(crate) fn floor(certificates: &Path) -> Outcome<Self> {
        let mut command = Command::new(binary("floor")?);
        command.arg("--cert").arg(certificates.join("cert.pem"));
        command.arg("--key").arg(certificates.join("key.pem"));
        Self::start(command, Place::First, true, usize::MAX)
    }

    pub(crate) fn registry(folder: &Path, accounts: usize, cost: Cost) -> Outcome<Self> {
        Self::registry_on(Place::First, folder, accounts, cost)
    }

    pub(crate) fn registry_on(place: Place, folder: &Path, accounts: usize, cost: Cost) -> Outcome<Self> {
        let mut command = Command::new(binary("p2pchat-registryd")?);
        command.arg("--data-dir").arg(folder);
        command.args(["--listen", "127.0.0.1:0", "--udp-listen", "127.0.0.1:0", "--registration", "open"]);
        command.args(["--max-connections", "19500", "--log-level", "warn"]);
        command.args(["--hash-memory-kib", &cost.memory_kib.to_string()]);
        command.args(["--hash-iterations", &cost.iterations.to_string(), "--hash-queue", "4096"]);
        Self::start(command, place, false, accounts)
    }

    fn start(mut command: Command, place: Place, floor: bool, accounts: usize) -> Outcome<Self> {
        let begun = Instant::now();
        let mut child = spawn(command.stdout(Stdio::piped()), place)?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut ready)?;
        let field = |name: &str| {
            ready
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let (tcp, udp) = field("tcp").zip(field("udp")).ok_or("a server did not start")?;
        Ok(Self { child, tcp, udp, floor, accounts, started_in: begun.elapsed() })
    }

    /// Has the generator carry these phases out, and what it says of each.
    pub(crate) fn load(&self, connections: usize, seconds: f64, phases: &[&str]) -> Outcome<Vec<Figures>> {
        let mut command = Command::new(binary("load")?);
        command.args(["--pid", &self.child.id().to_string(), "--tcp", &self.tcp, "--udp", &self.udp]);
        command.args(["--connections", &connections.to_string(), "--seconds", &seconds.to_string()]);
        command.args(["--accounts", &self.accounts.min(1_000_000).to_string()]);
        if self.floor {
            command.arg("--floor");
        }
        said(command.args(phases), Place::Others)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
