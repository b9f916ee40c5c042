//! What counts as flat, and what as back to where it was.

/// More growth than this, of the level itself, is a leak.
const TOLERANCE: f64 = 0.05;
/// How many standard errors of a slope are put down to noise.
const NOISE: f64 = 4.0;
/// Fewer points than this say nothing about a trend.
const ENOUGH: usize = 40;

/// How a series went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// The median of its second quarter.
    pub(crate) second: f64,
    /// The median of its last quarter.
    pub(crate) last: f64,
    /// What an hour adds, by the median of all slopes between two points (Theil and Sen), which a few wild points don't
    /// move. Of the second half alone: an allocator takes long to find its level, also when what is in use stands still.
    pub(crate) hourly: f64,
    /// What noise alone could feign of that: four standard errors, from the median distance to the line.
    pub(crate) noise: f64,
}

impl Trend {
    /// Of points in time, in seconds; `None` if they are too few.
    pub(crate) fn of(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < ENOUGH {
            return None;
        }
        let quarter = points.len() / 4;
        let values = |points: &[(f64, f64)]| points.iter().map(|point| point.1).collect();
        let half = &points[points.len() / 2..];
        let mut slopes = Vec::new();
        for (at, one) in half.iter().enumerate() {
            let later = half[at + 1..].iter().filter(|other| other.0 > one.0);
            slopes.extend(later.map(|other| (other.1 - one.1) / (other.0 - one.0)));
        }
        let slope = median(slopes);
        let offsets: Vec<_> = half.iter().map(|(at, value)| value - slope * at).collect();
        let middle = median(offsets.clone());
        // 1.4826 makes of a median distance the standard deviation of normal noise.
        let deviation = 1.4826 * median(offsets.iter().map(|offset| (offset - middle).abs()).collect());
        let span = half[half.len() - 1].0 - half[0].0;
        let error = deviation * (12.0 / half.len() as f64).sqrt() / span;
        Some(Self {
            second: median(values(&points[quarter..2 * quarter])),
            last: median(values(&points[points.len() - quarter..])),
            hourly: slope * 3600.0,
            noise: NOISE * error * 3600.0,
        })
    }

    /// Grown by less than 5 % from the second quarter to the last, and by less than 5 % an hour in the second half, beyond
    /// what noise could feign.
    pub(crate) fn is_flat(&self) -> bool {
        let level = self.second.abs().max(f64::MIN_POSITIVE);
        self.last - self.second <= TOLERANCE * level && self.hourly - self.noise <= TOLERANCE * level
    }
}

/// The middle value; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A point each ten seconds.
    fn series(minutes: u32, mut value: impl FnMut(f64) -> f64) -> Trend {
        let points: Vec<_> =
            (0..minutes * 6).map(|n| f64::from(n) * 10.0).map(|at| (at, value(at))).collect();
        Trend::of(&points).unwrap()
    }

    fn noise(rng: &mut fastrand::Rng) -> f64 {
        // The sum of a few even throws is nearly normal: a deviation of 0.01.
        (0..12).map(|_| rng.f64() - 0.5).sum::<f64>() * 0.01
    }

    #[test]
    fn noise_and_single_spikes_are_flat() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let hour = series(60, |_| 100.0 * (1.0 + noise(&mut rng)));
            assert!(hour.is_flat(), "seed {seed}: {hour:?}");
            let minutes = series(10, |_| 100.0 * (1.0 + noise(&mut rng)));
            assert!(minutes.is_flat(), "seed {seed}: {minutes:?}");
            let spikes = series(60, |_| if rng.u32(..20) == 0 { 180.0 } else { 100.0 + noise(&mut rng) });
            assert!(spikes.is_flat(), "seed {seed}: {spikes:?}");
        }
    }

    #[test]
    fn a_leak_of_a_percent_a_minute_is_found() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            for minutes in [10, 60] {
                let leak = series(minutes, |at| 100.0 * (1.0 + 0.01 * at / 60.0) * (1.0 + noise(&mut rng)));
                assert!(!leak.is_flat(), "seed {seed}, {minutes} minutes: {leak:?}");
            }
        }
    }

    #[test]
    fn a_slow_leak_is_found_within_an_hour() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let leak = series(60, |at| 100.0 * (1.0 + 0.1 * at / 3600.0 + noise(&mut rng)));
            assert!(!leak.is_flat(), "seed {seed}: {leak:?}");
        }
    }

    #[test]
    fn a_leak_in_steps_is_found() {
        assert!(!series(60, |at| 100.0 + 10.0 * (at / 900.0).floor()).is_flat());
    }

    #[test]
    fn what_settles_early_or_shrinks_is_flat() {
        assert!(series(60, |at| 100.0 - 50.0 * (-at / 60.0).exp()).is_flat());
        assert!(series(60, |at| 100.0 - at / 60.0).is_flat());
    }

    #[test]
    fn too_few_points_say_nothing() {
        let points: Vec<_> = (0..20).map(|n| (f64::from(n), f64::from(n))).collect();
        assert_eq!(Trend::of(&points), None);
    }
}
