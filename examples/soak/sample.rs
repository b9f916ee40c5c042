//! One row of the record.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    str::Split,
};

use crate::figures::Figures;

/// Each with its word in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    RampUp,
    Steady,
    Leaving,
}

const PHASES: [(Phase, &str); 4] = [
    (Phase::Idle, "idle"),
    (Phase::RampUp, "ramp-up"),
    (Phase::Steady, "steady"),
    (Phase::Leaving, "leaving"),
];

/// What there was at a moment, and what happened since the one before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) phase: Phase,
    /// As the registry tells it.
    pub(crate) sessions: u64,
    pub(crate) registry: Figures,
    pub(crate) database_kib: u64,
    pub(crate) load: Figures,
    pub(crate) operations: u64,
    pub(crate) per_second: f64,
    pub(crate) texts: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) errors: u64,
    /// For how long so far the machine left one of the processes without a processor.
    pub(crate) starved_s: f64,
}

const HEADER: &str = "seconds,phase,sessions,\
    registry_rss_kib,registry_heap_kib,registry_descriptors,registry_threads,registry_tasks,registry_cpu_s,database_kib,\
    load_rss_kib,load_heap_kib,load_descriptors,load_threads,load_tasks,load_cpu_s,\
    operations,operations_per_s,texts,lookup_p50_ms,lookup_p99_ms,errors,starved_s";

/// The file of `--csv`, if there is one.
pub(crate) struct Record(Option<BufWriter<File>>);

impl Record {
    pub(crate) fn create(path: Option<&Path>) -> io::Result<Self> {
        let mut record = Self(path.map(File::create).transpose()?.map(BufWriter::new));
        record.line(HEADER)?;
        Ok(record)
    }

    /// Writes a row, and out of the program at once: a run that is broken off leaves what there was.
    pub(crate) fn add(&mut self, sample: &Sample) -> io::Result<()> {
        self.line(&sample.to_row())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        match &mut self.0 {
            Some(file) => writeln!(file, "{line}").and_then(|()| file.flush()),
            None => Ok(()),
        }
    }
}

impl Sample {
    fn to_row(&self) -> String {
        let phase = PHASES.iter().find(|(phase, _)| *phase == self.phase).map_or("", |(_, word)| word);
        let figures = |figures: &Figures| {
            let Figures { rss_kib, heap_kib, descriptors, threads, tasks, cpu_seconds } = figures;
            format!("{rss_kib},{heap_kib},{descriptors},{threads},{tasks},{cpu_seconds:.2}")
        };
        let (registry, load) = (figures(&self.registry), figures(&self.load));
        let Self {
            seconds,
            sessions,
            database_kib,
            operations,
            per_second,
            texts,
            p50_ms,
            p99_ms,
            errors,
            starved_s,
            ..
        } = self;
        format!(
            "{seconds:.0},{phase},{sessions},{registry},{database_kib},{load},\
             {operations},{per_second:.1},{texts},{p50_ms:.2},{p99_ms:.2},{errors},{starved_s:.0}"
        )
    }

    fn of_row(row: &str) -> Option<Self> {
        let cells = &mut row.split(',');
        Some(Self {
            seconds: number(cells)?,
            phase: phase(cells)?,
            sessions: count(cells)?,
            registry: figures(cells)?,
            database_kib: count(cells)?,
            load: figures(cells)?,
            operations: count(cells)?,
            per_second: number(cells)?,
            texts: count(cells)?,
            p50_ms: number(cells)?,
            p99_ms: number(cells)?,
            errors: count(cells)?,
            starved_s: number(cells)?,
        })
    }
}

fn number(cells: &mut Split<'_, char>) -> Option<f64> {
    cells.next()?.parse().ok()
}

fn count(cells: &mut Split<'_, char>) -> Option<u64> {
    cells.next()?.parse().ok()
}

fn phase(cells: &mut Split<'_, char>) -> Option<Phase> {
    let cell = cells.next()?;
    PHASES.iter().find(|(_, word)| *word == cell).map(|(phase, _)| *phase)
}

fn figures(cells: &mut Split<'_, char>) -> Option<Figures> {
    Some(Figures {
        rss_kib: count(cells)?,
        heap_kib: count(cells)?,
        descriptors: count(cells)?,
        threads: count(cells)?,
        tasks: count(cells)?,
        cpu_seconds: number(cells)?,
    })
}

/// The rows of an earlier record.
pub(crate) fn read(path: &Path) -> Result<Vec<Sample>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let row = |row: &str| Sample::of_row(row).ok_or_else(|| format!("not a row of a record: {row}"));
    text.lines().skip(1).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let figures = |by: u64| Figures {
            rss_kib: by,
            heap_kib: by + 1,
            descriptors: by + 2,
            threads: by + 3,
            tasks: by + 4,
            cpu_seconds: 0.25,
        };
        let sample = Sample {
            seconds: 10.0,
            phase: Phase::RampUp,
            sessions: 3,
            registry: figures(100),
            database_kib: 4,
            load: figures(200),
            operations: 5,
            per_second: 0.5,
            texts: 6,
            p50_ms: 0.25,
            p99_ms: 1.5,
            errors: 7,
            starved_s: 8.0,
        };
        assert_eq!(Sample::of_row(&sample.to_row()), Some(sample.clone()));
        assert_eq!(HEADER.split(',').count(), sample.to_row().split(',').count());
        assert_eq!(Sample::of_row("10,never,3"), None);
    }
}
