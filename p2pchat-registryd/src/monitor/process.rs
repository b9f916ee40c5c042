//! What the system says of the process, under the names that Prometheus' own clients use.

use std::{fmt, fs, sync::OnceLock, time::SystemTime};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

/// When the process began, near enough: seconds since 1970.
static BEGAN: OnceLock<f64> = OnceLock::new();

#[derive(Debug)]
pub(super) struct Process;

/// To be called at the beginning.
#[allow(clippy::disallowed_methods, reason = "the daemon owns the clock")]
pub(super) fn begun() -> f64 {
    *BEGAN.get_or_init(|| {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    })
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| match value {
            Some(value) => {
                encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
            }
            None => Ok(()),
        };
        let began = Some(begun());
        gauge("process_start_time_seconds", "When the process began, in seconds since 1970", began)?;
        gauge("process_open_fds", "Open files", open_files())?;
        gauge("process_max_fds", "How many files can be open", most_files())?;
        gauge("process_resident_memory_bytes", "Memory that is in use", resident_bytes())
    }
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn open_files() -> Option<f64> {
    // One of them is the folder itself.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn most_files() -> Option<f64> {
    Some(rlimit::Resource::NOFILE.get_soft().ok()? as f64)
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn resident_bytes() -> Option<f64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages as f64 * rustix::param::page_size() as f64)
}
