//! How long operations took.

use std::time::{Duration, Instant};

/// The times of a phase, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Times {
    nanos: Vec<u64>,
}

impl Times {
    /// Something that began then has ended.
    pub(crate) fn since(&mut self, begun: Instant) {
        self.nanos.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, others: Self) {
        self.nanos.extend(others.nanos);
    }

    pub(crate) fn count(&self) -> usize {
        self.nanos.len()
    }

    /// So many of a hundred took no longer than that, in microseconds.
    pub(crate) fn percentile(&mut self, percent: usize) -> f64 {
        if self.nanos.is_empty() {
            return 0.0;
        }
        let n = (self.nanos.len() * percent / 100).min(self.nanos.len() - 1);
        let (_, at, _) = self.nanos.select_nth_unstable(n);
        Duration::from_nanos(*at).as_secs_f64() * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_times() {
        let mut times = Times { nanos: (1..=50).rev().map(|n| n * 1_000).collect() };
        times.add(Times { nanos: (51..=100).map(|n| n * 1_000).collect() });
        assert_eq!((times.percentile(50), times.percentile(99), times.count()), (51.0, 100.0, 100));
        assert_eq!(Times::default().percentile(50), 0.0);
    }
}
