//! What is done, and what is measured of it.

mod crowd;
mod logins;
mod lookups;
mod presence;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::task::JoinSet;

use crate::{
    Arguments, Outcome, Phase,
    client::Line,
    fleet::Fleet,
    process::{Cpu, Process},
    times::Times,
};

pub(crate) struct Load {
    pub(crate) arguments: Arguments,
    pub(crate) fleet: Fleet,
    pub(crate) server: Process,
    pub(crate) own: Process,
}

/// What is said of a phase.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    phase: String,
    target: &'static str,
    connections: usize,
    operations: u64,
    seconds: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// Processor time of the server for one operation.
    server_cpu_us: f64,
    /// How much of one processor the server took.
    server_cpu_share: f64,
    /// How much of one processor this program took: near 1, it is the limit.
    generator_cpu_share: f64,
    server_rss_kib: u64,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Figures {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }
}

/// What was done between two moments.
#[derive(Debug, Default)]
struct Work {
    operations: u64,
    times: Times,
}

impl Work {
    fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.times.add(other.times);
    }

    /// An operation that began then has ended.
    fn done(&mut self, begun: Instant) {
        self.operations += 1;
        self.times.since(begun);
    }
}

/// What was used up at a moment.
struct Meter {
    begun: Instant,
    server: Cpu,
    own: Cpu,
}

impl Load {
    pub(crate) async fn run(&mut self, phase: Phase) -> Outcome<Figures> {
        let figures = match phase {
            Phase::Handshakes => self.handshakes().await,
            Phase::PasswordLogins => self.password_logins().await,
            Phase::ResumeLogins => self.resume_logins().await,
            Phase::Registrations => self.registrations().await,
            Phase::Lookups1 => self.lookups(1).await,
            Phase::Lookups16 => self.lookups(16).await,
            Phase::OfflineLookups => self.offline_lookups().await,
            Phase::Joins => self.joins().await,
            Phase::Idle => self.idle().await,
            Phase::KeepAlives => self.keep_alives().await,
            Phase::TicketKeepAlives => self.ticket_keep_alives().await,
            Phase::Lists => self.lists().await,
            Phase::LookupsBesideLists => self.lookups_beside_lists().await,
            Phase::LookupsBesideLogins => self.lookups_beside_logins().await,
            Phase::Storm => self.storm().await,
            Phase::Day => self.day().await,
        }?;
        let name = clap::ValueEnum::to_possible_value(&phase).map(|value| value.get_name().to_owned());
        Ok(Figures { phase: name.unwrap_or_default(), ..figures })
    }

    fn meter(&self) -> Outcome<Meter> {
        Ok(Meter { begun: Instant::now(), server: self.server.cpu()?, own: self.own.cpu()? })
    }

    fn figures(&self, meter: &Meter, connections: usize, mut work: Work) -> Outcome<Figures> {
        let elapsed = meter.begun.elapsed();
        let server = self.server.cpu()?.since(meter.server);
        let own = self.own.cpu()?.since(meter.own);
        if work.operations == 0 {
            return Err("nothing was done in the time".into());
        }
        Ok(Figures {
            phase: String::new(),
            target: if self.arguments.floor { "floor" } else { "registry" },
            connections,
            operations: work.operations,
            seconds: elapsed.as_secs_f64(),
            per_second: work.operations as f64 / elapsed.as_secs_f64(),
            p50_us: work.times.percentile(50),
            p99_us: work.times.percentile(99),
            server_cpu_us: server.as_secs_f64() * 1e6 / work.operations as f64,
            server_cpu_share: server.as_secs_f64() / elapsed.as_secs_f64(),
            generator_cpu_share: own.as_secs_f64() / elapsed.as_secs_f64(),
            server_rss_kib: self.server.rss_kib()?,
            more: Map::new(),
        })
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.arguments.seconds)
    }

    /// Has the first `size` of the fleet work, each until the time is over, and measures it.
    async fn drive<F>(&mut self, size: usize, work: impl Fn(usize, Line, Instant) -> F) -> Outcome<Figures>
    where
        F: Future<Output = Outcome<(Line, Work)>> + Send + 'static,
    {
        let meter = self.meter()?;
        let work = self.work(size, work).await?;
        self.figures(&meter, size, work)
    }

    async fn work<F>(&mut self, size: usize, work: impl Fn(usize, Line, Instant) -> F) -> Outcome<Work>
    where
        F: Future<Output = Outcome<(Line, Work)>> + Send + 'static,
    {
        let rest = self.fleet.lines.split_off(size.min(self.fleet.lines.len()));
        let end = Instant::now() + self.time();
        let workers = self.fleet.lines.drain(..).enumerate().map(|(user, line)| work(user, line, end));
        let mut lines = Vec::with_capacity(size);
        let mut all = Work::default();
        for worker in workers.map(tokio::spawn).collect::<Vec<_>>() {
            let (line, work) = worker.await??;
            lines.push(line);
            all.add(work);
        }
        lines.extend(rest);
        self.fleet.lines = lines;
        Ok(all)
    }
}

/// Has `count` workers work beside each other.
async fn together<F>(count: usize, work: impl Fn(usize) -> F) -> Outcome<Work>
where
    F: Future<Output = Outcome<Work>> + Send + 'static,
{
    let mut workers: JoinSet<_> = (0..count).map(work).collect();
    let mut all = Work::default();
    while let Some(work) = workers.join_next().await {
        all.add(work??);
    }
    Ok(all)
}
