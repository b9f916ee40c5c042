//! What the generator says of a phase.

use serde_json::Value;

use crate::Outcome;

/// One phase on one server.
#[derive(Debug, Clone)]
pub(crate) struct Figures(Value);

impl Figures {
    pub(crate) fn read(line: &str) -> Outcome<Self> {
        // All of it, for who wants more than the table.
        eprintln!("{line}");
        Ok(Self(serde_json::from_str(line)?))
    }

    pub(crate) fn of(&self, name: &str) -> Outcome<f64> {
        Ok(self.0.get(name).and_then(Value::as_f64).ok_or_else(|| format!("no {name} in {}", self.0))?)
    }
}

/// A figure of the same phase in several rounds.
pub(crate) fn each(rounds: &[Figures], name: &str) -> Outcome<Vec<f64>> {
    rounds.iter().map(|figures| figures.of(name)).collect()
}

#[cfg(test)]
mod tests {
    use p2pchat_benches::median;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
