//! Accounts, rooms and memberships in a redb file.
//!
//! What a request means is written once, in [`p2pchat_core::registry::store`]; here it is run against an engine. One thread
//! writes: it takes all that waits, runs it in one transaction, makes that durable, and only then answers, so that many
//! writers share one commit. Two threads read, each from a view of its own.

mod backup;
mod engine;
mod health;
#[cfg(test)]
mod power;
mod snapshot;
mod trial;
mod view;

use std::{
    fmt, iter,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use p2pchat_core::{
    registry::store::{Read, StoreAnswer, StoreError, StoreRequest, Write, read, write},
    tokio::Store,
};

pub use backup::BackupError;
pub(crate) use backup::make_store;
use engine::Engine;
pub use engine::OpenError;
pub(crate) use health::StoreHealth;
pub use p2pchat_core::registry::store::FORMAT;
pub(crate) use snapshot::Snapshot;

/// How many waiting writes share a commit at most.
const WRITE_BATCH: usize = 1_024;
/// How many waiting reads share a view at most; few, so that a long one delays few.
const READ_BATCH: usize = 32;
const READERS: usize = 2;
/// With the one that writes.
const THREADS: usize = 1 + READERS;
/// How often it is tried, after a failure, whether writing is possible again.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// How often the engine may fail again while what needs no write is answered after a failed batch; each time the file is
/// opened anew, which takes its time.
const MORE_FAILURES: usize = 3;

/// What an operator can set about a [`RedbStore`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreConfig {
    /// How many reads, and how many writes, may wait; more are answered [`StoreError::Busy`] at once. 4,096.
    pub queue: usize,
    /// How much memory the engine may use to cache the file, in bytes. 64 MiB.
    pub cache_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { queue: 4_096, cache_bytes: 64 << 20 }
    }
}

/// A registry's durable store in one redb file.
///
/// An answer to a write leaves after it was committed with immediate durability: it survives `kill -9` and loss of
/// power. A write that fails changes nothing, and the service goes on: after an error of the disk the file is opened
/// anew for what is asked next.
///
/// Dropping the store answers what waits and closes the file.
pub struct RedbStore {
    /// `None` once the store is being dropped.
    queues: Option<Queues>,
    health: StoreHealth,
    threads: Vec<JoinHandle<()>>,
    engine: Arc<Engine>,
    /// Held by the one backup that is being made.
    backups: Mutex<()>,
    is_stopping: AtomicBool,
}

struct Queues {
    reads: SyncSender<Job<Read>>,
    writes: SyncSender<Job<Write>>,
}

impl RedbStore {
    /// Opens the file, or makes it, readable by its owner alone.
    ///
    /// A file that isn't a registry's, is damaged, is of a newer format or is in use by another process is refused and
    /// left as it is.
    pub fn open(path: &Path, config: &StoreConfig) -> Result<Self, OpenError> {
        Self::start(Engine::open(path, config.cache_bytes)?, config)
    }

    fn start(engine: Engine, config: &StoreConfig) -> Result<Self, OpenError> {
        let engine = Arc::new(engine);
        let health = StoreHealth::new(&engine);
        let (writes, waiting) = sync_channel(config.queue);
        let writer = Writer { engine: engine.clone(), health: health.clone(), waiting };
        let mut threads = vec![spawn("store-write", move || writer.run())?];

        let (reads, waiting) = sync_channel(config.queue);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 1..=READERS {
            let reader =
                Reader { number, engine: engine.clone(), health: health.clone(), waiting: waiting.clone() };
            threads.push(spawn("store-read", move || reader.run())?);
        }
        Ok(Self {
            queues: Some(Queues { reads, writes }),
            health,
            threads,
            engine,
            backups: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        })
    }

    /// How it is doing.
    pub(crate) fn health(&self) -> StoreHealth {
        self.health.clone()
    }

    /// No backup and no export is made any more, and one that is being made is given up.
    pub fn stop_backups(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    thread::Builder::new().name(name.into()).spawn(run).map_err(OpenError::Thread)
}

impl Store for RedbStore {
    fn submit(&self, request: StoreRequest, done: Done) {
        let Some(queues) = &self.queues else { return };
        match request {
            StoreRequest::Read(request) => enqueue(&queues.reads, request, done),
            StoreRequest::Write(request) => enqueue(&queues.writes, request, done),
            _ => done(StoreAnswer::Failed(StoreError::Engine("unknown request".into()))),
        }
    }
}

fn enqueue<R>(queue: &SyncSender<Job<R>>, request: R, done: Done) {
    match queue.try_send(Job { request, done: Some(done) }) {
        Ok(()) => {}
        Err(TrySendError::Full(job)) => job.answer(StoreAnswer::Failed(StoreError::Busy)),
        // Dropping the job answers it.
        Err(TrySendError::Disconnected(_)) => {}
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.queues = None;
        for thread in self.threads.drain(..) {
            // The last owner may be an answer that one of these threads has just handed over.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

type Done = Box<dyn FnOnce(StoreAnswer) + Send>;

/// A question that waits; answered for certain, if only because its thread has gone.
struct Job<R> {
    request: R,
    done: Option<Done>,
}

impl<R> Job<R> {
    fn answer(mut self, answer: StoreAnswer) {
        if let Some(done) = self.done.take() {
            done(answer);
        }
    }
}

impl<R> Drop for Job<R> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(StoreAnswer::Failed(StoreError::Engine("the store has stopped".into())));
        }
    }
}

/// Waits for a job, then takes what else is waiting; `None` at the end.
fn batch<R>(waiting: &Receiver<Job<R>>, limit: usize) -> Option<Vec<Job<R>>> {
    let first = waiting.recv().ok()?;
    Some(with_others(first, waiting, limit))
}

fn with_others<R>(first: Job<R>, waiting: &Receiver<Job<R>>, limit: usize) -> Vec<Job<R>> {
    let mut jobs = vec![first];
    jobs.extend(waiting.try_iter().take(limit - 1));
    jobs
}

struct Writer {
    engine: Arc<Engine>,
    health: StoreHealth,
    waiting: Receiver<Job<Write>>,
}

/// Why a batch was not committed.
enum Failure {
    /// One request failed by itself: a record of its can't be read.
    Request { index: usize, error: StoreError },
    /// The engine failed.
    Engine(StoreError),
}

impl Writer {
    /// Among the threads.
    const NUMBER: usize = 0;

    fn run(self) {
        loop {
            match self.waiting.recv_timeout(PROBE_EVERY) {
                Ok(first) => {
                    let jobs = with_others(first, &self.waiting, WRITE_BATCH);
                    self.health.at_work(Self::NUMBER, || self.settle(jobs));
                }
                Err(RecvTimeoutError::Timeout) => self.health.at_work(Self::NUMBER, || self.probe()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Finds out whether writing is possible again, which who asks for nothing would never learn.
    fn probe(&self) {
        if self.health.fault().is_some() {
            match self.engine.probe() {
                Ok(()) => self.health.written(),
                Err(error) => {
                    self.engine.close();
                    self.health.failed(error);
                }
            }
        }
    }

    /// Answers all jobs after one commit, if need be without those that fail.
    fn settle(&self, mut jobs: Vec<Job<Write>>) {
        loop {
            let mut is_change = Vec::with_capacity(jobs.len());
            match self.health.timed(|| self.commit(&jobs, &mut is_change)) {
                Ok(answers) => {
                    self.health.answered(jobs.len(), is_change.contains(&true));
                    for (job, answer) in jobs.into_iter().zip(answers) {
                        job.answer(answer);
                    }
                    return;
                }
                Err(Failure::Request { index, error }) if index < jobs.len() => {
                    tracing::error!(request = ?jobs.get(index).map(|job| &job.request), %error, "write refused");
                    jobs.remove(index).answer(StoreAnswer::Failed(error));
                }
                Err(Failure::Request { error, .. } | Failure::Engine(error)) => {
                    tracing::error!(%error, writes = jobs.len(), "nothing was written");
                    self.engine.close();
                    self.health.failed(error.clone());
                    return self.settle_unwritten(jobs, is_change, &error);
                }
            }
        }
    }

    /// Answers jobs that couldn't be committed together. One that needs no write isn't to suffer from the others: it is run
    /// by itself, as what they would have changed isn't there.
    fn settle_unwritten(&self, jobs: Vec<Job<Write>>, is_change: Vec<bool>, error: &StoreError) {
        let mut failures = 0;
        // Those that weren't come to may need no write.
        for (job, is_change) in jobs.into_iter().zip(is_change.into_iter().chain(iter::repeat(false))) {
            if is_change || failures > MORE_FAILURES {
                job.answer(StoreAnswer::Failed(error.clone()));
                continue;
            }
            let attempt = self.engine.attempt(|view| match write(view, &job.request) {
                StoreAnswer::Failed(problem @ StoreError::Engine(_)) => Err(problem),
                answer @ StoreAnswer::Failed(_) => Ok(answer),
                _ if view.changes() > 0 => Ok(StoreAnswer::Failed(error.clone())),
                answer => Ok(answer),
            });
            let answer = attempt.flatten().unwrap_or_else(|problem| {
                failures += 1;
                self.engine.close();
                StoreAnswer::Failed(problem)
            });
            job.answer(answer);
        }
    }

    /// `is_change` gets, for each job that was run, whether it changed something.
    fn commit(&self, jobs: &[Job<Write>], is_change: &mut Vec<bool>) -> Result<Vec<StoreAnswer>, Failure> {
        let run = |view: &mut view::WriteView<'_>| {
            let mut answers = Vec::with_capacity(jobs.len());
            for (index, job) in jobs.iter().enumerate() {
                let before = view.changes();
                let answer = write(view, &job.request);
                is_change.push(view.changes() > before);
                match answer {
                    StoreAnswer::Failed(error @ StoreError::Corrupt(_)) => {
                        return Err(Failure::Request { index, error });
                    }
                    StoreAnswer::Failed(error) => return Err(Failure::Engine(error)),
                    answer => answers.push(answer),
                }
            }
            Ok(answers)
        };
        self.engine.write(run).map_err(Failure::Engine)?
    }
}

struct Reader {
    /// Among the threads.
    number: usize,
    engine: Arc<Engine>,
    health: StoreHealth,
    waiting: Arc<Mutex<Receiver<Job<Read>>>>,
}

impl Reader {
    fn run(self) {
        while let Some(jobs) = self.batch() {
            self.health.at_work(self.number, || self.settle(jobs));
        }
    }

    fn settle(&self, jobs: Vec<Job<Read>>) {
        let run = |view: &view::ReadView| jobs.iter().map(|job| read(view, &job.request)).collect();
        let answers: Vec<_> = self.engine.read(run).unwrap_or_else(|error| {
            tracing::error!(%error, reads = jobs.len(), "nothing was read");
            jobs.iter().map(|_| StoreAnswer::Failed(error.clone())).collect()
        });
        if answers.iter().any(|answer| matches!(answer, StoreAnswer::Failed(StoreError::Engine(_)))) {
            self.engine.close();
        }
        for (job, answer) in jobs.into_iter().zip(answers) {
            job.answer(answer);
        }
    }

    fn batch(&self) -> Option<Vec<Job<Read>>> {
        batch(&self.waiting.lock().unwrap_or_else(PoisonError::into_inner), READ_BATCH)
    }
}

#[cfg(test)]
mod tests;
