//! What is run against what, in which order, and which ratio is made of it.

use std::{path::Path, process::Command};

use p2pchat_benches::median;

use crate::{
    Outcome,
    accounts::{Cost, import},
    figures::{Figures, each},
    report::{Goal, Row},
    server::{Place, Server, binary, said},
};

/// How many accounts a registry has, if it isn't the one of a million.
const ACCOUNTS: usize = 20_000;
/// How many accounts there are where the true password hash is.
const TRUE_ACCOUNTS: usize = 2_000;
const MILLION: usize = 1_000_000;
const ROOMS: usize = 100_000;
/// How many connections have requests on their way.
const BUSY: usize = 64;
/// How many have something on its way that has to be on disk.
const WRITERS: usize = 256;

/// How large everything is.
pub(crate) struct Plan {
    rounds: usize,
    seconds: f64,
    idle: usize,
    listed: usize,
    /// Of requests on each connection, where two workers are compared with one.
    batches: usize,
    million: bool,
}

/// Runs of the same phase, a pair each.
#[derive(Default)]
struct Pairs {
    floor: Vec<Figures>,
    ours: Vec<Figures>,
}

impl Pairs {
    /// A row of a figure, whose ratio is ours to the floor's.
    fn row(&self, what: &str, name: &str, unit: &'static str, goal: Goal) -> Outcome<Row> {
        self.scaled(what, name, unit, 1.0, goal)
    }

    fn scaled(&self, what: &str, name: &str, unit: &'static str, scale: f64, goal: Goal) -> Outcome<Row> {
        self.between(what, [name; 2], unit, scale, goal)
    }

    /// The same where the floor's figure has another name than ours.
    fn between(
        &self,
        what: &str,
        [floors, own]: [&str; 2],
        unit: &'static str,
        scale: f64,
        goal: Goal,
    ) -> Outcome<Row> {
        let (floor, ours) = (each(&self.floor, floors)?, each(&self.ours, own)?);
        let ratios: Vec<_> = ours.iter().zip(&floor).map(|(ours, floor)| ours / floor).collect();
        let (floor, ours) = (median(&floor) * scale, median(&ours) * scale);
        Ok(Row {
            what: what.into(),
            unit,
            floor: Some(floor),
            ours,
            value: median(&ratios),
            spread: spread(&ratios),
            goal,
        })
    }

    fn both(&self, name: &str) -> Outcome<[f64; 2]> {
        Ok([median(&each(&self.floor, name)?), median(&each(&self.ours, name)?)])
    }
}

/// The least and the largest.
fn spread(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
}

/// A row that has no floor beside it.
fn alone(what: &str, unit: &'static str, ours: f64, value: f64, goal: Goal) -> Row {
    Row { what: what.into(), unit, floor: None, ours, value, spread: (value, value), goal }
}

fn first(figures: Vec<Figures>) -> Outcome<Figures> {
    Ok(figures.into_iter().next().ok_or("nothing was said")?)
}

impl Plan {
    pub(crate) fn new(quick: bool, rounds: usize, million: bool) -> Self {
        match quick {
            true => Self { rounds: 1, seconds: 0.5, idle: 1_000, listed: 1_000, batches: 20, million },
            false => Self {
                rounds: rounds.max(1),
                seconds: 1.5,
                idle: 18_000,
                listed: 10_000,
                batches: 400,
                million,
            },
        }
    }

    pub(crate) fn carry_out(&self) -> Outcome<Vec<Row>> {
        let folder = tempfile::tempdir()?;
        let (cheap, dear) = (folder.path().join("cheap"), folder.path().join("dear"));
        import(&cheap, ACCOUNTS, 0, Cost::NONE)?;
        import(&dear, TRUE_ACCOUNTS, 0, Cost::TRUE)?;
        let mut rows = self.requests(&cheap)?;
        rows.extend(self.passwords(&cheap, &dear)?);
        rows.extend(self.presence(&cheap)?);
        rows.extend(self.lists(&cheap)?);
        rows.extend(self.writes(&folder.path().join("writes"))?);
        rows.push(self.two_workers()?);
        if self.million {
            rows.extend(self.million(&cheap, &folder.path().join("million"))?);
        }
        Ok(rows)
    }

    /// The same phases on the floor and on the registry, each time the other way round.
    fn pairs(
        &self,
        rounds: usize,
        floor: &dyn Fn() -> Outcome<Vec<Figures>>,
        ours: &dyn Fn() -> Outcome<Vec<Figures>>,
    ) -> Outcome<Vec<Pairs>> {
        let mut phases: Vec<Pairs> = Vec::new();
        for round in 0..rounds {
            let (floor, ours) = match round % 2 {
                0 => {
                    let floor = floor()?;
                    (floor, ours()?)
                }
                _ => {
                    let ours = ours()?;
                    (floor()?, ours)
                }
            };
            phases.resize_with(floor.len(), Pairs::default);
            for ((phase, floor), ours) in phases.iter_mut().zip(floor).zip(ours) {
                phase.floor.push(floor);
                phase.ours.push(ours);
            }
        }
        Ok(phases)
    }

    fn requests(&self, cheap: &Path) -> Outcome<Vec<Row>> {
        let registry = Server::registry(cheap, ACCOUNTS, Cost::NONE)?;
        let floor = Server::floor(cheap)?;
        let phases = self.pairs(
            self.rounds,
            &|| floor.load(BUSY, self.seconds, &["lookups-16", "lookups-1", "handshakes"]),
            &|| registry.load(BUSY, self.seconds, &["lookups-16", "lookups-1", "resume-logins"]),
        )?;
        let [deep, single, logins] = phases.as_slice() else { return Err("not three phases".into()) };
        let storm =
            self.pairs(self.rounds.min(3), &|| floor.load(2_000, self.seconds, &["storm"]), &|| {
                registry.load(2_000, self.seconds, &["storm"])
            })?;
        let storm = storm.first().ok_or("no storm")?;
        Ok(vec![
            deep.row(
                "lookups, 16 on their way on each of 64 connections",
                "per_second",
                "/s",
                Goal::AtLeast(0.8),
            )?,
            deep.row("  server CPU for one", "server_cpu_us", "µs", Goal::AtMost(1.3))?,
            single.row("lookups, 1 on its way", "per_second", "/s", Goal::AtLeast(0.95))?,
            single.row("  99th percentile", "p99_us", "µs", Goal::AtMost(1.3))?,
            single.row("  server CPU for one", "server_cpu_us", "µs", Goal::None)?,
            logins.row(
                "logins by token, TLS included, against TLS and a line",
                "per_second",
                "/s",
                Goal::AtLeast(0.8),
            )?,
            logins.row("  server CPU for one", "server_cpu_us", "µs", Goal::None)?,
            storm.scaled(
                "2,000 cut off come back by token at once: all are back after",
                "seconds",
                "s",
                1.0,
                Goal::None,
            )?,
        ])
    }

    fn passwords(&self, cheap: &Path, dear: &Path) -> Outcome<Vec<Row>> {
        let floor = Server::floor(cheap)?;
        let registry = Server::registry(dear, TRUE_ACCOUNTS, Cost::TRUE)?;
        let (mut ratios, mut floors, mut ours) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let handshake = first(floor.load(16, self.seconds, &["handshakes"])?)?.of("server_cpu_us")?;
            let hash = Cost::TRUE.time()?.as_secs_f64() * 1e6;
            let login =
                first(registry.load(16, self.seconds * 2.0, &["password-logins"])?)?.of("server_cpu_us")?;
            ratios.push(login / (handshake + hash));
            floors.push((handshake + hash) / 1e3);
            ours.push(login / 1e3);
        }
        let beside = first(registry.load(16, self.seconds * 2.0, &["lookups-beside-logins"])?)?;
        let slower = beside.of("p99_us")? / beside.of("p99_alone_us")?;
        let goal = Goal::AtMost(1.05);
        Ok(vec![
            Row {
                what: "login by password: server CPU, against hash and handshake".into(),
                unit: "ms",
                floor: Some(median(&floors)),
                ours: median(&ours),
                value: median(&ratios),
                spread: spread(&ratios),
                goal,
            },
            alone(
                "  others' lookups meanwhile: 99th percentile, against without",
                "µs",
                beside.of("p99_us")?,
                slower,
                Goal::AtMost(3.0),
            ),
        ])
    }

    fn presence(&self, cheap: &Path) -> Outcome<Vec<Row>> {
        let words = ["idle", "keep-alives"];
        let phases = self.pairs(
            self.rounds.min(2),
            &|| Server::floor(cheap)?.load(self.idle, self.seconds * 2.0, &words),
            &|| Server::registry(cheap, ACCOUNTS, Cost::NONE)?.load(self.idle, self.seconds * 2.0, &words),
        )?;
        let [idle, keep_alives] = phases.as_slice() else { return Err("not two phases".into()) };
        let proven = self.pairs(
            self.rounds.min(2),
            &|| Server::floor(cheap)?.load(2_000, self.seconds, &["ticket-keep-alives"]),
            &|| {
                Server::registry(cheap, ACCOUNTS, Cost::NONE)?.load(
                    2_000,
                    self.seconds,
                    &["ticket-keep-alives"],
                )
            },
        )?;
        let proven = proven.first().ok_or("no tickets")?;
        let [floor, ours] = idle.both("kib_each")?;
        let idle_cpu = each(&idle.ours, "server_cpu_share")?;
        let more = ours - floor;
        let idle_row = Row {
            what: format!(
                "an idle connection's resident memory, of {} (the last column: beyond the floor's)",
                self.idle
            ),
            unit: "KiB",
            floor: Some(floor),
            ours,
            value: more,
            spread: (more, more),
            goal: Goal::AtMost(2.0),
        };
        // What one costs, turned round: how many for the same.
        let turned = |pairs: &Pairs, what, goal| -> Outcome<Row> {
            let row = pairs.row(what, "server_cpu_us", "µs", goal)?;
            Ok(Row { value: 1.0 / row.value, spread: (1.0 / row.spread.1, 1.0 / row.spread.0), ..row })
        };
        let many = "  what 100,000 of them would take, by a line through a ninth, a third and all of that";
        Ok(vec![
            idle_row,
            idle.row(many, "mib_of_100000", "MiB", Goal::None)?,
            alone(
                "  processor that all of them take, idle (share of one)",
                "",
                median(&idle_cpu),
                median(&idle_cpu),
                Goal::AtMost(0.01),
            ),
            turned(
                keep_alives,
                "keep-alives for the server CPU of one of the floor's; in µs each",
                Goal::AtLeast(1.5),
            )?,
            keep_alives.row("  as many a second as are answered", "per_second", "/s", Goal::None)?,
            turned(proven, "  with a ticket", Goal::None)?,
        ])
    }

    fn lists(&self, cheap: &Path) -> Outcome<Vec<Row>> {
        let words = ["lists", "lookups-beside-lists"];
        let phases = self.pairs(
            self.rounds.min(3),
            &|| Server::floor(cheap)?.load(self.listed, self.seconds * 2.0, &words),
            &|| Server::registry(cheap, ACCOUNTS, Cost::NONE)?.load(self.listed, self.seconds * 2.0, &words),
        )?;
        let [lists, beside] = phases.as_slice() else { return Err("not two phases".into()) };
        let [_, p99] = beside.both("p99_us")?;
        let slower: Vec<_> = each(&beside.ours, "p99_us")?
            .into_iter()
            .zip(each(&beside.ours, "p99_alone_us")?)
            .map(|(beside, alone)| beside / alone)
            .collect();
        let lookups = alone(
            "  lookups beside ten who ask for it: 99th percentile, against without",
            "µs",
            p99,
            median(&slower),
            Goal::AtMost(3.0),
        );
        Ok(vec![
            lists.row(
                &format!("a list of {} users: server CPU, against its bytes through TLS", self.listed),
                "server_cpu_us",
                "µs",
                Goal::AtMost(1.5),
            )?,
            Row { spread: spread(&slower), ..lookups },
            beside.row(
                "  these lookups, against the floor's beside as many bytes",
                "p99_us",
                "µs",
                Goal::None,
            )?,
        ])
    }

    fn writes(&self, folder: &Path) -> Outcome<Vec<Row>> {
        import(folder, ACCOUNTS, 0, Cost::NONE)?;
        // Both have all processors, of which the generator takes little. The engine alone is asked for as many at once as there are
        // connections.
        let registry = Server::registry_on(Place::All, folder, ACCOUNTS, Cost::NONE)?;
        let engine = || {
            let mut command = Command::new(binary("durable")?);
            command.arg("--dir").arg(folder.parent().ok_or("no folder")?);
            command.args(["--batches", &WRITERS.to_string(), "--pairs", "1"]);
            said(command.args(["--seconds", &self.seconds.to_string()]), Place::All)
        };
        let registered = self.pairs(self.rounds.min(3), &engine, &|| {
            registry.load(WRITERS, self.seconds * 2.0, &["registrations"])
        })?;
        let registered = registered.first().ok_or("no registrations")?;
        let what = format!(
            "registrations, durable, at next to no hash cost, from {WRITERS} connections, against redb alone, {WRITERS} a commit"
        );
        let names = ["engine_per_second", "per_second"];
        let registered = registered.between(&what, names, "/s", 1.0, Goal::AtLeast(0.5))?;
        drop(registry);
        let registry = Server::registry(folder, ACCOUNTS, Cost::NONE)?;
        let figures = registry.load(WRITERS, self.seconds * 2.0, &["joins", "day"])?;
        let [joins, day] = figures.as_slice() else { return Err("not two phases".into()) };
        let (joins, day) = (joins.of("per_second")?, day.of("per_second")?);
        Ok(vec![
            registered,
            alone("joins and leaves, durable, from 248 connections", "/s", joins, joins, Goal::None),
            alone("a mixed day of 256 users", "/s", day, day, Goal::None),
        ])
    }

    /// Without a generator, which would take as much of two processors as the server does.
    fn two_workers(&self) -> Outcome<Row> {
        let mut command = Command::new(binary("workers")?);
        command.args(["--rounds", &self.rounds.to_string(), "--batches", &self.batches.to_string()]);
        let figures = first(said(&mut command, Place::All)?)?;
        let row = alone(
            "lookups that are in memory already: two workers, against one",
            "/s",
            figures.of("two_per_second")?,
            figures.of("ratio")?,
            Goal::AtLeast(1.6),
        );
        Ok(Row { spread: (figures.of("ratio_least")?, figures.of("ratio_most")?), ..row })
    }

    fn million(&self, cheap: &Path, folder: &Path) -> Outcome<Vec<Row>> {
        let took = import(folder, MILLION, ROOMS, Cost::NONE)?;
        // Once more: the first start makes a certificate.
        drop(Server::registry(folder, MILLION, Cost::NONE)?);
        let large = Server::registry(folder, MILLION, Cost::NONE)?;
        let small = Server::registry(cheap, ACCOUNTS, Cost::NONE)?;
        let words = ["offline-lookups"];
        let phases = self.pairs(self.rounds, &|| small.load(BUSY, self.seconds, &words), &|| {
            large.load(BUSY, self.seconds, &words)
        })?;
        let lookups = phases.first().ok_or("no lookups")?;
        let started = large.started_in.as_secs_f64();
        let name = "lookups of accounts that are not online, of a million against of 20,000: server CPU";
        Ok(vec![
            lookups.row(name, "server_cpu_us", "µs", Goal::AtMost(1.5))?,
            alone(
                "start with 1,000,000 accounts and 100,000 rooms",
                "s",
                started,
                started,
                Goal::AtMost(2.0),
            ),
            alone("  their import", "s", took.as_secs_f64(), took.as_secs_f64(), Goal::None),
        ])
    }
}
