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

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), middle.checked_sub(1).and_then(|before| values.get(before))) {
        (Some(upper), Some(lower)) if values.len().is_multiple_of(2) => (lower + upper) / 2.0,
        (Some(middle), _) => *middle,
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
