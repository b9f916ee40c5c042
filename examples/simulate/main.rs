//! One deterministic world: the registry's machine, several users' machines, and the bytes between them, on a virtual
//! clock and a network that delays, loses, doubles, cuts and partitions, with crashes of either side. After each step
//! and after each spell of bad weather the promises of PROTOCOL.md are checked.
//!
//! ```sh
//! cargo run --release --example simulate -- --seeds 100            # a hundred worlds, an hour each
//! cargo run --release --example simulate -- --seeds 1 --seed 7 --trace  # one of them again, with its last steps
//! cargo run --release --example simulate -- --bug all              # every deliberate bug has to be found
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for
#![allow(clippy::indexing_slicing, clippy::expect_used)] // its own numbers and constants; a panic is a failed run

mod backend;
mod bugs;
mod faults;
mod judge;
mod network;
mod node;
mod post;
mod registry;
mod schedule;
mod truth;
mod users;
mod world;

use std::{
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

use clap::{Parser, ValueEnum};

use crate::{
    bugs::Bug,
    world::{Stats, World},
};

/// A deliberate bug has to be found within this, whatever number of worlds that takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Simulates registries and their users under faults, and checks what they promise.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many worlds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first world's seed; the others' follow. By default the time of day says where to begin.
    #[arg(long)]
    seed: Option<u64>,
    /// How many hours pass in each world.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let bugs = match arguments.bug.as_deref() {
        None => {
            let hunted = hunt(&arguments, None);
            hunted.total.report(hunted.took);
            return exit_code(!hunted.found);
        }
        Some("all") => Bug::value_variants().to_vec(),
        Some(name) => match Bug::from_str(name, true) {
            Ok(bug) => vec![bug],
            Err(error) => {
                println!("{error}; there are all, {:?}", Bug::value_variants());
                return ExitCode::FAILURE;
            }
        },
    };
    let mut all_found = true;
    for bug in bugs {
        let hunted = hunt(&arguments, Some(bug));
        all_found &= hunted.found;
        let end = if hunted.found { "found" } else { "NOT FOUND" };
        println!("{bug:?}: {end} after {:.2} s", hunted.took.as_secs_f64());
    }
    exit_code(all_found)
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of running many worlds.
struct Hunted {
    /// One of them broke a promise.
    found: bool,
    took: Duration,
    total: Stats,
}

/// Runs worlds until one breaks a promise, or there are no more; with a bug in them, as long as patience lasts.
#[allow(clippy::disallowed_methods)] // how fast the simulator is, and where it begins
fn hunt(arguments: &Arguments, bug: Option<Bug>) -> Hunted {
    let begin = Instant::now();
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let first = arguments.seed.unwrap_or(today.as_secs());
    let threads = arguments.threads.or_else(|| thread::available_parallelism().ok().map(NonZeroUsize::get));
    let seeds = if bug.is_some() && arguments.seeds > 1 { u64::MAX } else { arguments.seeds };
    let (next, found, total) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Stats::default()));
    let goes_on = || !found.load(Ordering::Relaxed) && (bug.is_none() || begin.elapsed() < PATIENCE);
    thread::scope(|scope| {
        for _ in 0..threads.unwrap_or(1).max(1) {
            scope.spawn(|| {
                while goes_on()
                    && let offset = next.fetch_add(1, Ordering::Relaxed)
                    && offset < seeds
                {
                    let seed = first.wrapping_add(offset);
                    match run(seed, arguments, bug)
                        .and_then(|stats| again(seed, offset, arguments, bug, stats))
                    {
                        Ok(stats) => total.lock().unwrap_or_else(PoisonError::into_inner).add(&stats),
                        Err(()) => found.store(true, Ordering::Relaxed),
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    Hunted { found: found.into_inner(), took: begin.elapsed(), total }
}

/// A world that runs again has to take the same course, or nothing that is found could be found again. The first of many
/// stands for all.
fn again(seed: u64, offset: u64, arguments: &Arguments, bug: Option<Bug>, stats: Stats) -> Result<Stats, ()> {
    if offset == 0 && run(seed, arguments, bug)? != stats {
        println!("seed {seed} takes another course each time");
        return Err(());
    }
    Ok(stats)
}

/// Runs one world. What it breaks is printed, with the command that shows it again.
fn run(seed: u64, arguments: &Arguments, bug: Option<Bug>) -> Result<Stats, ()> {
    let mut world = World::new(seed, bug, arguments.trace);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| world.run(arguments.hours)));
    let what = match outcome {
        Ok(Ok(())) => return Ok(world.stats),
        Ok(Err(what)) => what,
        Err(_) => format!("at {}: a panic", world.schedule.now),
    };
    let mut report: Vec<_> = world.last_trace().map(String::as_str).collect();
    let bug = bug.map(|bug| format!(" --bug {}", name(bug))).unwrap_or_default();
    let hours = arguments.hours;
    let replay = format!(
        "cargo run --release --example simulate -- --seeds 1 --seed {seed} --hours {hours}{bug} --trace"
    );
    let seed = format!("seed {seed}: {what}");
    report.extend([seed.as_str(), "again:", replay.as_str()]);
    println!("{}", report.join("\n"));
    Err(())
}

fn name(bug: Bug) -> String {
    bug.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Stats {
    fn add(&mut self, other: &Self) {
        self.user_time += other.user_time;
        self.steps += other.steps;
        self.commands += other.commands;
        self.commits += other.commits;
        self.logins += other.logins;
        self.reconnected += other.reconnected;
        self.checks += other.checks;
        self.delivered += other.delivered;
        self.acknowledged += other.acknowledged;
        self.healed += other.healed;
        self.leases_ended += other.leases_ended;
        self.taken_over += other.taken_over;
        for (fault, times) in &other.faults {
            *self.faults.entry(fault).or_default() += times;
        }
    }

    fn report(&self, took: Duration) {
        let hours = self.user_time.as_secs_f64() / 3600.0;
        let faults: Vec<_> = self.faults.iter().map(|(fault, times)| format!("{times} {fault}")).collect();
        println!(
            "{hours:.0} user-hours, {} facts and commands handed to machines, {} commits",
            self.steps, self.commits
        );
        println!(
            "checked: {} commands ended, {} replies and pushes, {} messages read and {} confirmed",
            self.commands, self.checks, self.delivered, self.acknowledged
        );
        println!(
            "sessions: {} logins, {} reconnections, {} leases ended, {} sessions taken over; all was well {} times",
            self.logins, self.reconnected, self.leases_ended, self.taken_over, self.healed
        );
        println!("faults: {}", faults.join(", "));
        let speed = hours / took.as_secs_f64().max(1e-9) * 60.0;
        println!("{speed:.0} user-hours a minute ({:.1} s)", took.as_secs_f64());
    }
}
