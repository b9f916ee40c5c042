//! What is said at the end: the figures, and whether they are good.

use crate::{
    figures::Figures,
    run::Soaked,
    sample::{Phase, Sample},
    verdict::Trend,
};

/// A trend wants at least so long a steady time, in seconds.
const LONG: f64 = 600.0;
/// How much more heap a process may have in use when all have left: pages of the database that are cached, and tables that
/// keep room for as many as there were.
const HEAP_KEPT_KIB: u64 = 2 * 1024;
/// The same for each client that there was.
const HEAP_KEPT_A_CLIENT_KIB: u64 = 2;
/// How much more memory than heap in use it may hold at any time: the program itself, its threads, and what the allocator
/// keeps of what it was given back.
const BESIDES_HEAP_KIB: u64 = 32 * 1024;
/// The same for each client that there was.
const BESIDES_HEAP_A_CLIENT_KIB: u64 = 16;

/// What of a process is looked at, and in which unit.
type Figure = (&'static str, fn(&Figures) -> u64);

const DESCRIPTORS: Figure = ("descriptors", |f| f.descriptors);
const TASKS: Figure = ("tasks", |f| f.tasks);
const THREADS: Figure = ("threads", |f| f.threads);
const RSS: Figure = ("RSS, KiB", |f| f.rss_kib);
const HEAP: Figure = ("heap, KiB", |f| f.heap_kib);

/// A machine that lets the processes starve for more of the time than this is no place to judge them.
const STARVED: f64 = 0.5;
/// After so long, in seconds, all sessions that were lost in that are back.
const AFTERMATH: f64 = 120.0;

/// Judges the figures of an earlier run once more.
pub(crate) fn print_record(samples: &[Sample]) -> bool {
    let mut checks = Checks { all_good: true };
    checks.record(samples);
    checks.all_good
}

/// Prints it all; false if something is wrong.
pub(crate) fn print(soaked: &Soaked) -> bool {
    let tally = &soaked.world.tally;
    println!("\nwhat was done:");
    for (act, times) in tally.acts() {
        println!("{times:>9}  {act}");
    }
    let (operations, texts, errors) = (tally.operations(), tally.texts(), tally.errors());
    println!("{operations} answers, texts and pushes, {texts} of them texts; {errors} errors");

    let mut checks = Checks { all_good: true };
    checks.say(errors == 0, "every answer is as it has to be");
    for what in tally.first_errors() {
        println!("      not so: {what}");
    }
    checks.starved(soaked);
    checks.record(&soaked.samples);
    checks.back_to_idle(soaked);
    println!("{}", if checks.all_good { "good" } else { "NOT GOOD" });
    checks.all_good
}

struct Checks {
    all_good: bool,
}

impl Checks {
    fn say(&mut self, is_good: bool, what: &str) {
        self.all_good &= is_good;
        println!("{}  {what}", if is_good { "  ok" } else { "FAIL" });
    }

    /// What the figures alone can tell.
    fn record(&mut self, samples: &[Sample]) {
        let steady: Vec<_> = samples.iter().filter(|sample| sample.phase == Phase::Steady).collect();
        if let Some(idle) = samples.first() {
            self.bounded(&idle.registry, &steady);
        }
        let besides = |sample: &Sample| sample.registry.rss_kib.saturating_sub(sample.registry.heap_kib);
        let most = samples.iter().map(besides).max().unwrap_or_default();
        let limit = BESIDES_HEAP_KIB + clients(&steady) * BESIDES_HEAP_A_CLIENT_KIB;
        self.say(
            most <= limit,
            &format!("registry RSS: never more than {most} KiB beyond the heap in use (of {limit})"),
        );
        self.trends(&steady);
        if let (Some(first), Some(last)) = (steady.first(), steady.last()) {
            let share =
                |cpu: fn(&Sample) -> f64| 100.0 * (cpu(last) - cpu(first)) / (last.seconds - first.seconds);
            let (registry, load) = (share(|s| s.registry.cpu_seconds), share(|s| s.load.cpu_seconds));
            println!("\nCPU: registry {registry:.0} % of a processor, clients {load:.0} %");
        }
    }

    /// What goes wrong while the machine lets nobody run is excused, unless there is little else to judge by.
    fn starved(&mut self, soaked: &Soaked) {
        let Some(last) = soaked.samples.last() else { return };
        let (starved, all, excused) = (last.starved_s, last.seconds, soaked.world.tally.all_excused());
        self.say(
            starved <= STARVED * all,
            &format!(
                "without a processor for {starved:.0} s of {all:.0}; errors around that time: {excused}"
            ),
        );
    }

    /// A session is one descriptor and one task of the registry; few more are for streams that come, go, or make no
    /// sense.
    fn bounded(&mut self, idle: &Figures, steady: &[&Sample]) {
        let starved: Vec<_> =
            steady.windows(2).filter(|pair| pair[1].starved_s > pair[0].starved_s).collect();
        let is_fed = |sample: &&&Sample| {
            !starved.iter().any(|pair| (0.0..AFTERMATH).contains(&(sample.seconds - pair[0].seconds)))
        };
        let fed: Vec<_> = steady.iter().filter(is_fed).collect();
        let slack = 16 + clients(steady) / 50;
        for (what, of) in [DESCRIPTORS, TASKS] {
            let idle = of(idle);
            let excess =
                fed.iter().map(|sample| of(&sample.registry).saturating_sub(idle + sample.sessions)).max();
            let excess = excess.unwrap_or_default();
            self.say(
                excess <= slack,
                &format!("registry {what}: {idle} idle, one a session, and never more than {excess} besides (of {slack})"),
            );
        }
    }

    /// By the steady time, its first tenth left out.
    fn trends(&mut self, steady: &[&Sample]) {
        let settled = &steady[steady.len() / 10..];
        let span =
            settled.last().zip(settled.first()).map_or(0.0, |(last, first)| last.seconds - first.seconds);
        if span < LONG {
            println!("      too short for trends: {span:.0} s of a steady load");
            return;
        }
        for process in ["registry", "clients'"] {
            let figures = |sample: &Sample| if process == "registry" { sample.registry } else { sample.load };
            for (what, of) in [RSS, HEAP, DESCRIPTORS, TASKS] {
                let points: Vec<_> =
                    settled.iter().map(|sample| (sample.seconds, of(&figures(sample)) as f64)).collect();
                let Some(trend) = Trend::of(&points) else {
                    println!("      too few samples for the trend of {process} {what}");
                    continue;
                };
                let Trend { second, last, hourly, noise } = trend;
                self.say(
                    trend.is_flat(),
                    &format!(
                        "{process} {what}: {second:.0} in the second quarter, {last:.0} in the last; {hourly:+.0} an hour, \
                         noise ±{noise:.0}"
                    ),
                );
            }
        }
    }

    fn back_to_idle(&mut self, soaked: &Soaked) {
        let clients = soaked.clients as u64;
        let heap = HEAP_KEPT_KIB + clients * HEAP_KEPT_A_CLIENT_KIB;
        for process in [0, 1] {
            let name = ["registry", "clients'"][process];
            for ((what, of), more) in [(DESCRIPTORS, 0), (TASKS, 0), (THREADS, 0), (HEAP, heap)] {
                let (before, after) = (of(&soaked.before[process]), of(&soaked.after[process]));
                let text = format!(
                    "{name} {what}: {before} before the load, {after} after it (at most {more} more)"
                );
                self.say(after <= before + more, &text);
            }
            let [before, after] = [soaked.before[process].rss_kib, soaked.after[process].rss_kib];
            println!("      {name} RSS, KiB: {before} before the load, {after} after it");
        }
        let [before, after] = soaked.database_kib;
        println!("      database: {before} KiB before the load, {after} after it");
    }
}

/// How many sessions there were at most.
fn clients(steady: &[&Sample]) -> u64 {
    steady.iter().map(|sample| sample.sessions).max().unwrap_or_default()
}
