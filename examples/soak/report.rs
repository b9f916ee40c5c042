//! What is said at the end: the figures, and whether they are good.

use crate::{
    figures::Figures,
    run::Soaked,
    sample::{Phase, Sample},
    verdict::Trend,
};

/// A trend wants at least so long a steady time, in seconds.
const LONG: f64 = 600.0;
/// How much more heap the registry may have in use when all have left: pages of the database that it caches, and tables
/// that keep room for as many as there were.
const HEAP_KEPT_KIB: u64 = 2 * 1024;
/// The same for each client that there was.
const HEAP_KEPT_A_CLIENT_KIB: u64 = 2;
/// How much more memory it may hold then: the allocator keeps some of what it was given back, at most what so many clients
/// need at once.
const RSS_KEPT_KIB: u64 = 16 * 1024;
/// The same for each client that there was.
const RSS_KEPT_A_CLIENT_KIB: u64 = 16;

/// What of a process is looked at, and in which unit.
type Figure = (&'static str, fn(&Figures) -> u64);

const DESCRIPTORS: Figure = ("descriptors", |f| f.descriptors);
const TASKS: Figure = ("tasks", |f| f.tasks);
const THREADS: Figure = ("threads", |f| f.threads);
const RSS: Figure = ("RSS, KiB", |f| f.rss_kib);
const HEAP: Figure = ("heap, KiB", |f| f.heap_kib);

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
    let steady: Vec<_> = soaked.samples.iter().filter(|sample| sample.phase == Phase::Steady).collect();
    checks.bounded(soaked, &steady);
    checks.trends(&steady);
    checks.back_to_idle(soaked);
    if let (Some(first), Some(last)) = (steady.first(), steady.last()) {
        let share =
            |cpu: fn(&Sample) -> f64| 100.0 * (cpu(last) - cpu(first)) / (last.seconds - first.seconds);
        let (registry, load) = (share(|s| s.registry.cpu_seconds), share(|s| s.load.cpu_seconds));
        println!("\nCPU: registry {registry:.0} % of a processor, clients {load:.0} %");
    }
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

    /// A session is one descriptor and one task of the registry; few more are for streams that come, go, or make no
    /// sense.
    fn bounded(&mut self, soaked: &Soaked, steady: &[&Sample]) {
        let slack = 16 + soaked.clients as u64 / 50;
        for (what, of) in [DESCRIPTORS, TASKS] {
            let idle = of(&soaked.before[0]);
            let excess =
                steady.iter().map(|sample| of(&sample.registry).saturating_sub(idle + sample.sessions)).max();
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
        let [registry, load] = &soaked.before;
        let [registry_after, load_after] = &soaked.after;
        let kept = [
            (DESCRIPTORS, 0),
            (TASKS, 0),
            (THREADS, 0),
            (HEAP, HEAP_KEPT_KIB + clients * HEAP_KEPT_A_CLIENT_KIB),
            (RSS, RSS_KEPT_KIB + clients * RSS_KEPT_A_CLIENT_KIB),
        ];
        for ((what, of), more) in kept {
            let (before, after) = (of(registry), of(registry_after));
            let text =
                format!("registry {what}: {before} before the load, {after} after it (at most {more} more)");
            self.say(after <= before + more, &text);
        }
        for (what, of) in [DESCRIPTORS, TASKS, THREADS] {
            let (before, after) = (of(load), of(load_after));
            self.say(after <= before, &format!("clients' {what}: {before} before, {after} after"));
        }
        let [before, after] = soaked.database_kib;
        let rss = [load.rss_kib, load_after.rss_kib];
        println!(
            "      database {before} KiB before, {after} after; clients' RSS {} KiB before, {} after",
            rss[0], rss[1]
        );
    }
}
