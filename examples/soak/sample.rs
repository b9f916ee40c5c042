//! One row of the record.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use crate::figures::Figures;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    RampUp,
    Steady,
    Leaving,
}

/// What there was at a moment, and what happened since the one before.
#[derive(Debug, Clone)]
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
}

const HEADER: &str = "seconds,phase,sessions,\
    registry_rss_kib,registry_heap_kib,registry_descriptors,registry_threads,registry_tasks,registry_cpu_s,database_kib,\
    load_rss_kib,load_heap_kib,load_descriptors,load_threads,load_tasks,load_cpu_s,\
    operations,operations_per_s,texts,lookup_p50_ms,lookup_p99_ms,errors";

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
        let phase = match sample.phase {
            Phase::Idle => "idle",
            Phase::RampUp => "ramp-up",
            Phase::Steady => "steady",
            Phase::Leaving => "leaving",
        };
        let figures = |figures: &Figures, more: &str| {
            let Figures { rss_kib, heap_kib, descriptors, threads, tasks, cpu_seconds } = figures;
            format!("{rss_kib},{heap_kib},{descriptors},{threads},{tasks},{cpu_seconds:.2}{more}")
        };
        let Sample { seconds, sessions, operations, per_second, texts, p50_ms, p99_ms, errors, .. } = sample;
        let registry = figures(&sample.registry, &format!(",{}", sample.database_kib));
        let load = figures(&sample.load, "");
        self.line(&format!(
            "{seconds:.0},{phase},{sessions},{registry},{load},{operations},{per_second:.1},{texts},{p50_ms:.2},{p99_ms:.2},{errors}"
        ))
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        match &mut self.0 {
            Some(file) => writeln!(file, "{line}").and_then(|()| file.flush()),
            None => Ok(()),
        }
    }
}
