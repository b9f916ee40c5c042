//! What was measured, a JSON object a line, and the table of it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use p2pchat_benches::median;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// A bare echo over TCP.
    Tcp,
    /// A bare echo over TLS, with the settings of peer streams.
    Tls,
    /// Two peers without link keys.
    Clear,
    /// Two peers with link keys.
    Encrypted,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Clear, Self::Encrypted];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Clear => "clear",
            Self::Encrypted => "encrypted",
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    SetUp,
    /// What a set-up begins with: where somebody is.
    Search,
    RoundTrip,
    Pipelined,
    Throughput,
    Broadcast,
    /// What a broadcast begins with: everybody has been written to.
    #[value(skip)]
    Written,
    Memory,
}

/// How many bytes a short message has.
pub(crate) const SHORT: usize = 64;
/// The longest text that there can be (PROTOCOL.md §3.4).
pub(crate) const LONG: usize = 16 * 1024;
/// How many members there are beside the talker.
pub(crate) const MEMBERS: usize = 100;

impl What {
    /// What each way has.
    pub(crate) const TIMED: [Self; 5] =
        [Self::SetUp, Self::RoundTrip, Self::Pipelined, Self::Throughput, Self::Broadcast];

    /// How many are measured in a round.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::SetUp => 200,
            Self::RoundTrip => 3_000,
            Self::Pipelined => 50_000,
            Self::Throughput => 3_000,
            _ => 100,
        }
    }

    /// A message's bytes, and how many are on their way at once.
    pub(crate) fn load(self) -> (usize, usize) {
        match self {
            Self::Pipelined => (SHORT, 64),
            Self::Throughput => (LONG, 16),
            _ => (SHORT, 1),
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Pipelined => "/s",
            Self::Throughput => " MiB/s",
            Self::Memory => " KiB",
            _ => " µs",
        }
    }

    /// What is less where it is better, so that a ratio is always a price.
    fn price(self, value: f64) -> f64 {
        match self {
            Self::Pipelined | Self::Throughput => 1.0 / value,
            _ => value,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::SetUp => "set-up, first answer included",
            Self::Search => "– of it, asking the registry where somebody is",
            Self::RoundTrip => "64 bytes there and back",
            Self::Pipelined => "64 bytes, 64 on their way",
            Self::Throughput => "16 KiB, 16 on their way",
            Self::Broadcast => "broadcast to 100, until all have confirmed it",
            Self::Written => "– of it, until it is written to all",
            Self::Memory => "an idle stream's resident memory, one end",
        }
    }

    /// The goal for the ratio to a bare echo over TCP.
    fn goal(self, way: Way) -> Option<f64> {
        match (self, way) {
            (Self::RoundTrip, Way::Clear) => Some(1.3),
            (Self::RoundTrip | Self::Broadcast | Self::Written, _) => Some(1.5),
            _ => None,
        }
    }
}

/// What one round gave.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figure {
    value: f64,
    /// Processor time for one, the system's part included, in µs: of the whole process, hence of both ends, where nothing else
    /// is said.
    #[serde(rename = "cpu_us", skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
}

impl Figure {
    pub(crate) fn of(value: f64) -> Self {
        Self { value: rounded(value), cpu: None }
    }

    pub(crate) fn value(self) -> f64 {
        self.value
    }

    /// The median of times that were measured one by one.
    pub(crate) fn of_times(times: Vec<Duration>, cpu: Duration) -> Self {
        let count = times.len() as f64;
        let value = median(&times.into_iter().map(micros).collect::<Vec<_>>());
        Self { value, cpu: Some(rounded(micros(cpu) / count)) }
    }

    /// Messages of so many bytes in a time.
    pub(crate) fn of_rate(what: What, count: usize, took: Duration, cpu: Duration) -> Self {
        let each_second = count as f64 / took.as_secs_f64();
        let value = match what {
            What::Throughput => each_second * LONG as f64 / (1024.0 * 1024.0),
            _ => each_second,
        };
        Self { value: rounded(value), cpu: Some(rounded(micros(cpu) / count as f64)) }
    }
}

pub(crate) fn micros(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e6)
}

/// Digits behind the third say nothing.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// The processor time that this process has used.
pub(crate) fn cpu() -> Duration {
    used(ClockId::ProcessCPUTime)
}

/// The processor time that this thread has used.
pub(crate) fn own_cpu() -> Duration {
    used(ClockId::ThreadCPUTime)
}

fn used(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Broadcasts: until all had confirmed them, and until all had been written to.
#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    confirmed: Vec<Duration>,
    written: Vec<Duration>,
    writing: Duration,
}

/// One that goes on.
pub(crate) struct Begun {
    at: Instant,
    cpu: Duration,
}

impl Begun {
    pub(crate) fn now() -> Self {
        Self { cpu: own_cpu(), at: Instant::now() }
    }
}

impl Broadcasts {
    pub(crate) fn written(&mut self, begun: &Begun) {
        self.written.push(begun.at.elapsed());
        self.writing += own_cpu() - begun.cpu;
    }

    pub(crate) fn confirmed(&mut self, begun: &Begun) {
        self.confirmed.push(begun.at.elapsed());
    }

    /// `cpu` is what they took at both ends.
    pub(crate) fn figures(self, cpu: Duration) -> [(What, Figure); 2] {
        let Self { confirmed, written, writing } = self;
        [
            (What::Broadcast, Figure::of_times(confirmed, cpu)),
            (What::Written, Figure::of_times(written, writing)),
        ]
    }
}

/// All rounds.
#[derive(Debug, Default)]
pub(crate) struct Report(BTreeMap<(What, Way), Vec<Figure>>);

impl Report {
    pub(crate) fn add(&mut self, what: What, way: Way, figure: Figure) {
        #[derive(Serialize)]
        struct Line {
            what: What,
            way: Way,
            #[serde(flatten)]
            figure: Figure,
        }
        println!("{}", serde_json::to_string(&Line { what, way, figure }).expect("figures"));
        self.0.entry((what, way)).or_default().push(figure);
    }

    pub(crate) fn add_all(&mut self, way: Way, figures: [(What, Figure); 2]) {
        figures.into_iter().for_each(|(what, figure)| self.add(what, way, figure));
    }

    fn values(&self, what: What, way: Way, of: fn(&Figure) -> Option<f64>) -> Option<Vec<f64>> {
        self.0.get(&(what, way))?.iter().map(of).collect()
    }

    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| | TCP | TLS | peers, clear | peers, encrypted | clear / TCP | encrypted / TCP | encrypted / TLS |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for what in [
            What::SetUp,
            What::Search,
            What::RoundTrip,
            What::Pipelined,
            What::Throughput,
            What::Broadcast,
            What::Written,
            What::Memory,
        ] {
            if !self.0.contains_key(&(what, Way::Clear)) {
                continue;
            }
            self.row(&mut table, what, what.words(), what.unit(), |figure| Some(figure.value));
            if !matches!(what, What::Search | What::Memory) {
                let whose = match what {
                    What::Written => "– processor time for one, the talker's thread",
                    _ => "– processor time for one, both ends",
                };
                self.row(&mut table, what, whose, " µs", |figure| figure.cpu);
            }
        }
        table.push_str("\n| goal | measured | reached |\n| --- | --- | --- |\n");
        for (what, way) in [What::RoundTrip, What::Written, What::Broadcast]
            .into_iter()
            .flat_map(|what| [(what, Way::Clear), (what, Way::Encrypted)])
        {
            let Some(goal) = what.goal(way) else { continue };
            let Some((middle, ..)) = self.ratio(what, (way, Way::Tcp), |figure| Some(figure.value)) else {
                continue;
            };
            let reached = if middle <= goal { "yes" } else { "**no**" };
            // Writing to a string doesn't fail.
            _ = writeln!(
                table,
                "| {}, {}: at most {goal} × TCP | {middle:.2} | {reached} |",
                what.words(),
                way.word()
            );
        }
        table
    }

    fn row(&self, table: &mut String, what: What, words: &str, unit: &str, of: fn(&Figure) -> Option<f64>) {
        let value =
            |way| self.values(what, way, of).map(|values| format!("{}{unit}", short(median(&values))));
        let ratio = |ways| {
            let (middle, least, most) = self.ratio(what, ways, of)?;
            Some(format!("{middle:.2} ({least:.2} – {most:.2})"))
        };
        let cells = Way::ALL.map(value).into_iter().chain(
            [(Way::Clear, Way::Tcp), (Way::Encrypted, Way::Tcp), (Way::Encrypted, Way::Tls)].map(ratio),
        );
        let cells: Vec<_> = cells.map(Option::unwrap_or_default).collect();
        _ = writeln!(table, "| {words} | {} |", cells.join(" | "));
    }

    /// What it costs against a floor, round by round: the median, the least and the most.
    fn ratio(
        &self,
        what: What,
        (way, floor): (Way, Way),
        of: fn(&Figure) -> Option<f64>,
    ) -> Option<(f64, f64, f64)> {
        let (ours, floors) = (self.values(what, way, of)?, self.values(what, floor, of)?);
        // Processor time is a price already.
        let price = |value: f64, is_cpu: bool| if is_cpu { value } else { what.price(value) };
        let is_cpu = self.0.get(&(what, way))?.first().is_some_and(|figure| of(figure) == figure.cpu);
        let ratios: Vec<_> = ours
            .iter()
            .zip(&floors)
            .map(|(&ours, &floor)| price(ours, is_cpu) / price(floor, is_cpu))
            .collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        Some((median(&ratios), least, most))
    }
}

/// Three digits that count, or all before the point.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => {
            let digits = format!("{value:.0}");
            let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
