//! The table, and its place in the README.

use std::{fmt::Write as _, fs, path::Path};

use crate::Outcome;

const BEGIN: &str = "<!-- matrix: begin -->";
const END: &str = "<!-- matrix: end -->";

/// What was aimed at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is only told.
    None,
}

impl Goal {
    /// How much of it was reached: 1 is all of it.
    pub(crate) fn reached(self, value: f64) -> Option<f64> {
        match self {
            Self::AtLeast(goal) => Some(value / goal),
            // What is free, or less than that, has reached any goal.
            Self::AtMost(goal) => Some(if value > 0.0 { goal / value } else { f64::INFINITY }),
            Self::None => None,
        }
    }
}

/// A line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) floor: Option<f64>,
    pub(crate) ours: f64,
    /// What is compared with the goal, most often a ratio.
    pub(crate) value: f64,
    /// The same in the best and in the worst round.
    pub(crate) spread: (f64, f64),
    pub(crate) goal: Goal,
}

pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| what | floor | registry | ratio | least to most | goal | reached |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let floor = row.floor.map_or_else(String::new, |floor| with_unit(floor, row.unit));
        let (goal, reached) = match row.goal {
            Goal::AtLeast(goal) => (format!("≥ {goal}"), if row.value >= goal { "yes" } else { "**no**" }),
            Goal::AtMost(goal) => (format!("≤ {goal}"), if row.value <= goal { "yes" } else { "**no**" }),
            Goal::None => (String::new(), ""),
        };
        let is_ratio = row.floor.is_some() || row.goal != Goal::None;
        let ratio = if is_ratio { short(row.value) } else { String::new() };
        let (low, high) = row.spread;
        let spread = if low < high { format!("{} – {}", short(low), short(high)) } else { String::new() };
        // Blanks at the front are what shows that a row belongs to the one before.
        let what = row.what.replacen("  ", "– ", 1);
        let ours = with_unit(row.ours, row.unit);
        _ = writeln!(table, "| {what} | {floor} | {ours} | {ratio} | {spread} | {goal} | {reached} |");
    }
    table
}

/// With three digits or so.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    let number = match value.abs() {
        size if size >= 1_000.0 => thousands(value),
        _ => short(value),
    };
    if unit == "/s" || unit.is_empty() { format!("{number}{unit}") } else { format!("{number} {unit}") }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Puts the table between the marks; what people wrote around it stays.
pub(crate) fn write(folder: &Path, table: &str) -> Outcome {
    let path = folder.join("README.md");
    let text = fs::read_to_string(&path)?;
    let written = replaced(&text, table).ok_or("benches/README.md has no marks for the table")?;
    Ok(fs::write(path, written)?)
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_goes_between_the_marks_and_nothing_else_changes() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let new = replaced(&text, "| new |\n").unwrap();
        assert_eq!(new, format!("above\n{BEGIN}\n| new |\n{END}\nbelow\n"));
        assert_eq!(replaced(&new, "| new |\n").unwrap(), new);
        assert_eq!(replaced("no marks", "| new |\n"), None);
    }

    #[test]
    fn a_goal_that_was_missed_is_said_to_be_missed() {
        let row = |value, goal| Row {
            what: "something".into(),
            unit: "/s",
            floor: Some(1_234_567.0),
            ours: 12.0,
            value,
            spread: (value, value + 1.0),
            goal,
        };
        let line = |row| table(&[row]).lines().last().unwrap().to_owned();
        let missed = "| something | 1,234,567/s | 12.0/s | 0.70 | 0.70 – 1.70 | ≥ 0.8 | **no** |";
        assert_eq!(line(row(0.7, Goal::AtLeast(0.8))), missed);
        assert!(line(row(0.8, Goal::AtLeast(0.8))).ends_with("| yes |"));
        assert!(line(row(1.31, Goal::AtMost(1.3))).ends_with("| **no** |"));
        assert_eq!(Goal::AtMost(1.3).reached(2.6), Some(0.5));
        assert_eq!(Goal::AtLeast(0.8).reached(0.4), Some(0.5));
    }
}
