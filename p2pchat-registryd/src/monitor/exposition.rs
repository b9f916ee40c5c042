//! The metrics as Prometheus reads them.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use p2pchat_core::{
    registry::store::Table,
    tokio::{FigureValue, Latencies},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text},
    metrics::MetricType,
    registry::Registry,
};

use super::Monitor;

/// What every metric's name begins with.
const PREFIX: &str = "p2pchat_registry";

pub(super) struct Exposition(Registry);

impl Exposition {
    pub(super) fn new(monitor: Arc<Monitor>) -> Self {
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix(PREFIX);
        ours.register_collector(Box::new(Ours(monitor)));
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(super::process::Process));
        Self(registry)
    }

    pub(super) fn to_text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Ours(Arc<Monitor>);

impl Collector for Ours {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let monitor = &*self.0;
        encoder
            .encode_descriptor("build_info", "Always 1", None, MetricType::Gauge)?
            .encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1_u64)?;
        figures(monitor, &mut encoder)?;
        let mut gauge = |name: &str, help: &str, value: u64| {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
        };
        gauge("draining", "1 if nobody else is let in", u64::from(monitor.server.is_draining()))?;
        gauge("ready", "1 if it is ready, as /readyz tells", u64::from(monitor.readiness().is_ok()))?;
        gauge("reload_successful", "1 unless the last attempt to read settings anew failed", {
            u64::from(monitor.failed_reload().is_none())
        })?;
        gauge("store_writable", "1 unless the last attempt to write failed", {
            u64::from(monitor.store.fault().is_none())
        })?;
        gauge(
            "store_working_seconds",
            "How long the store has been at work on what it was asked longest ago",
            monitor.store.working_for().as_secs(),
        )?;
        // Whoever asks a disk that hangs would wait for ever. Without its figures the others are told all the same.
        let hangs = monitor.store.hangs_for().is_some();
        if !hangs && let Ok(size) = monitor.store.size() {
            gauge("store_size_bytes", "How large the database is", size)?;
        }
        match monitor.certificate_expires.load(Ordering::Relaxed) {
            0 => {}
            at => gauge(
                "certificate_expires_timestamp_seconds",
                "When the certificate runs out, in seconds since 1970",
                at,
            )?,
        }
        if !hangs {
            entries(monitor, &mut encoder)?;
        }

        let mut metric = |name: &str, help: &str, metric: &dyn Told| {
            metric.tell(encoder.encode_descriptor(name, help, None, metric.kind())?)
        };
        let store = &monitor.store;
        metric("store_commit_duration_seconds", "How long transactions took that write", &store.commits)?;
        metric("store_writes", "Changes that transactions made durable", &store.writes)?;
        metric("store_commits_failed", "Transactions that failed", &store.failures)?;
        metric("monitor_requests", "Requests to this page and its neighbours", &monitor.scrapes)?;
        metric(
            "monitor_connections_cut_off",
            "Connections to this page that took too long or were none of HTTP",
            &monitor.cut_off,
        )
    }
}

/// [`EncodeMetric`], as a trait object.
trait Told {
    fn kind(&self) -> MetricType;
    fn tell(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error>;
}

impl<T: EncodeMetric> Told for T {
    fn kind(&self) -> MetricType {
        self.metric_type()
    }

    fn tell(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.encode(encoder)
    }
}

/// Those of core.
fn figures(monitor: &Monitor, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let figures = monitor.server.stats().figures();
    for family in figures.chunk_by(|one, next| one.name == next.name) {
        let Some(first) = family.first() else { continue };
        let kind = match first.value {
            FigureValue::Counter(_) => MetricType::Counter,
            FigureValue::Latencies(_) => MetricType::Histogram,
            _ => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(first.name, first.help, None, kind)?;
        for figure in family {
            match figure.label {
                Some(label) => value(&mut metric.encode_family(&[label])?, figure.value)?,
                None => value(&mut metric, figure.value)?,
            }
        }
    }
    Ok(())
}

fn value(metric: &mut MetricEncoder<'_>, value: FigureValue) -> Result<(), fmt::Error> {
    match value {
        FigureValue::Gauge(value) => metric.encode_gauge(&value),
        FigureValue::Counter(value) => metric.encode_counter::<NoLabelSet, u64, u64>(&value, None),
        FigureValue::Latencies(latencies) => {
            let bounds = Latencies::BOUNDS.iter().map(|bound| bound.as_secs_f64()).chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(latencies.counts).collect();
            let count = latencies.counts.iter().sum();
            metric.encode_histogram::<NoLabelSet>(latencies.sum.as_secs_f64(), count, &buckets, None)
        }
        _ => Ok(()),
    }
}

fn entries(monitor: &Monitor, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let entries = monitor.store.entries().unwrap_or_default();
    for (name, help, table) in [
        ("accounts", "Accounts, with those deleted whose names stay taken", Table::Accounts),
        ("rooms", "Rooms that there are", Table::Rooms),
        ("memberships", "Memberships that there are", Table::Members),
    ] {
        if let Some((_, count)) = entries.iter().find(|(of, _)| *of == table) {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(count)?;
        }
    }
    Ok(())
}
