//! Runs a simulator's worlds, on all processors, until one breaks a promise or there are no more.
#![allow(clippy::print_stdout)] // the report

use std::{
    fmt,
    num::NonZeroUsize,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use clap::{Args, ValueEnum};

/// A deliberate bug has to be found within this, whatever number of worlds that takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which worlds to run.
#[derive(Debug, Args)]
pub struct Hunt {
    /// How many worlds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first world's seed; the others' follow. By default the time of day says where to begin.
    #[arg(long)]
    seed: Option<u64>,
    /// For how many seconds to begin new worlds, however many that are.
    #[arg(long = "for", value_name = "SECONDS", conflicts_with = "seeds")]
    seconds: Option<u64>,
    /// Puts a bug in, to see it found; `all` tries each.
    #[arg(long)]
    bug: Option<String>,
    /// Prints what happened last in a world that breaks a promise.
    #[arg(long)]
    trace: bool,
    /// How many worlds run at once; by default as many as there are processors.
    #[arg(long)]
    threads: Option<usize>,
}

/// A simulator of worlds.
pub trait Simulator: Sync {
    /// The deliberate bugs that it can put in.
    type Bug: ValueEnum + fmt::Debug + Send + Sync;
    /// What a world comes to: a world that runs again has to come to the same.
    type Stats: Default + PartialEq + Send;

    /// Runs one world. With `trace` it remembers what happened last.
    ///
    /// # Errors
    /// The promise that was broken.
    fn run(&self, seed: u64, bug: Option<&Self::Bug>, trace: bool) -> Result<Self::Stats, Broken>;

    /// Adds one world to many.
    fn add(total: &mut Self::Stats, world: &Self::Stats);

    /// Prints what all worlds come to, and took.
    fn report(total: &Self::Stats, took: Duration);

    /// The simulator's name and its own arguments, for the command that shows a world again.
    fn command(&self) -> String;
}

/// A promise that was broken.
#[derive(Debug, Default)]
pub struct Broken {
    /// Which, where and when.
    pub what: String,
    /// What happened last.
    pub trace: Vec<String>,
}

/// What came of running many worlds.
struct Hunted<S> {
    /// One of them broke a promise.
    found: bool,
    took: Duration,
    total: S,
    worlds: u64,
}

impl Hunt {
    /// Runs the worlds, or looks for the bugs, and says what came of it.
    pub fn run<S: Simulator>(&self, simulator: &S) -> ExitCode {
        let bugs = match self.bug.as_deref() {
            None => {
                let hunted = self.hunt(simulator, None);
                println!("{} worlds were well", hunted.worlds);
                S::report(&hunted.total, hunted.took);
                return exit_code(!hunted.found);
            }
            Some("all") => S::Bug::value_variants(),
            Some(name) => {
                let named =
                    |bug: &&S::Bug| bug.to_possible_value().is_some_and(|value| value.matches(name, true));
                match S::Bug::value_variants().iter().find(named) {
                    Some(bug) => std::slice::from_ref(bug),
                    None => {
                        println!("no such bug; there are all, {:?}", S::Bug::value_variants());
                        return ExitCode::FAILURE;
                    }
                }
            }
        };
        let mut all_found = true;
        for bug in bugs {
            let hunted = self.hunt(simulator, Some(bug));
            all_found &= hunted.found;
            let end = if hunted.found { "found" } else { "NOT FOUND" };
            println!("{bug:?}: {end} after {:.2} s", hunted.took.as_secs_f64());
        }
        exit_code(all_found)
    }

    /// Runs worlds until one breaks a promise, or there are no more; with a bug in them, as long as patience lasts.
    #[allow(clippy::disallowed_methods)] // how fast the simulator is, and where it begins
    fn hunt<S: Simulator>(&self, simulator: &S, bug: Option<&S::Bug>) -> Hunted<S::Stats> {
        let begin = Instant::now();
        let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let first = self.seed.unwrap_or(today.as_secs());
        if bug.is_none() {
            println!("worlds from seed {first} on");
        }
        let threads = self.threads.or_else(|| thread::available_parallelism().ok().map(NonZeroUsize::get));
        let (seeds, patience) = match (bug, self.seconds) {
            (Some(_), _) if self.seeds > 1 => (u64::MAX, PATIENCE),
            (None, Some(seconds)) => (u64::MAX, Duration::from_secs(seconds)),
            _ => (self.seeds, Duration::MAX),
        };
        let (next, found) = (AtomicU64::new(0), AtomicBool::new(false));
        let total = Mutex::new((S::Stats::default(), 0));
        let goes_on = || !found.load(Ordering::Relaxed) && begin.elapsed() < patience;
        thread::scope(|scope| {
            for _ in 0..threads.unwrap_or(1).max(1) {
                scope.spawn(|| {
                    while goes_on()
                        && let offset = next.fetch_add(1, Ordering::Relaxed)
                        && offset < seeds
                    {
                        match self.world(simulator, first.wrapping_add(offset), offset == 0, bug) {
                            Ok(stats) => {
                                let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                                S::add(&mut total.0, &stats);
                                total.1 += 1;
                            }
                            Err(report) => {
                                found.store(true, Ordering::Relaxed);
                                println!("{report}");
                            }
                        }
                    }
                });
            }
        });
        let (total, worlds) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        Hunted { found: found.into_inner(), took: begin.elapsed(), total, worlds }
    }

    /// Runs one world. What it breaks is told with the command that shows it again. A world that runs `twice` has to take
    /// the same course, or nothing that is found could be found again; the first of many stands for all.
    fn world<S: Simulator>(
        &self,
        simulator: &S,
        seed: u64,
        twice: bool,
        bug: Option<&S::Bug>,
    ) -> Result<S::Stats, String> {
        let run = || simulator.run(seed, bug, self.trace);
        let outcome = run().and_then(|stats| {
            if !twice || run()? == stats {
                return Ok(stats);
            }
            Err(Broken { what: "it takes another course each time".to_owned(), trace: Vec::new() })
        });
        outcome.map_err(|Broken { what, trace: mut report }| {
            report.push(format!("seed {seed}: {what}"));
            let bug = bug.and_then(ValueEnum::to_possible_value);
            let bug = bug.map(|bug| format!(" --bug {}", bug.get_name())).unwrap_or_default();
            report.push(format!(
                "again:\ncargo run --release --example {} --seeds 1 --seed {seed}{bug} --trace",
                simulator.command()
            ));
            report.join("\n")
        })
    }
}

/// Runs a world. That it panics is a broken promise too.
///
/// # Errors
/// The promise that was broken.
pub fn caught(world: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    panic::catch_unwind(AssertUnwindSafe(world)).unwrap_or_else(|_| Err("a panic".to_owned()))
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
