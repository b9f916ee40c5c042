//! The counts on record, and how they are compared with what was counted.

use std::{collections::BTreeMap, fmt::Write as _, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// How much more than on record is taken for growth, in percent.
const TOLERATED: u64 = 5;

pub(crate) type Counts = BTreeMap<String, u64>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What compiled it: another version compiles otherwise.
    pub(crate) rustc: String,
    pub(crate) target: String,
    /// Instructions of one operation.
    pub(crate) counts: Counts,
}

impl Record {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Ok(toml::from_str(&fs::read_to_string(path)?)?)
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        fs::write(
            path,
            format!("# Written by: cargo run --profile quick --bin instructions -- --record\n{text}"),
        )
    }

    /// All of them side by side, and what is wrong with them.
    pub(crate) fn compare(&self, found: &Self) -> (String, Vec<String>) {
        let mut table = format!("{:<36}{:>12}{:>12}{:>9}", "instructions", "on record", "now", "");
        let mut wrong = Vec::new();
        for (name, &now) in &found.counts {
            let Some(&before) = self.counts.get(name) else {
                wrong.push(format!("{name}: not on record"));
                continue;
            };
            let change = (now as f64 / before as f64 - 1.0) * 100.0;
            _ = write!(table, "\n{name:<36}{before:>12}{now:>12}{change:>+8.1}%");
            if now * 100 > before * (100 + TOLERATED) {
                wrong.push(format!("{name}: {now} instructions instead of {before}, {change:+.1} %"));
            }
        }
        let gone = self.counts.keys().filter(|name| !found.counts.contains_key(*name));
        wrong.extend(gone.map(|name| format!("{name}: on record, but there is no such case")));
        if !wrong.is_empty() {
            if (&self.rustc, &self.target) != (&found.rustc, &found.target) {
                wrong.push(format!(
                    "On record is what rustc {} made for {}; this is {} for {}. Count the commit before with this one: what it has in common with \
                     these is the compiler's doing.",
                    self.rustc, self.target, found.rustc, found.target
                ));
            }
            wrong.push(
                "If that is meant to be, put it on record, and say why in the commit:\n    \
                 cargo run --profile quick --bin instructions -- --record"
                    .to_owned(),
            );
        }
        (table, wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(counts: &[(&str, u64)]) -> Record {
        let counts = counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Record { rustc: "1.95.0".into(), target: "x86_64-linux".into(), counts }
    }

    #[test]
    fn what_grows_by_more_than_five_percent_is_wrong_and_so_is_what_is_missing() {
        let before = record(&[("a", 1_000), ("b", 1_000)]);
        let wrong = |counts: &[(&str, u64)]| before.compare(&record(counts)).1;
        assert_eq!(wrong(&[("a", 1_050), ("b", 10)]), Vec::<String>::new());
        let grown = wrong(&[("a", 1_051), ("b", 1_000)]);
        assert_eq!(grown.first().unwrap(), "a: 1051 instructions instead of 1000, +5.1 %");
        assert!(grown.last().unwrap().contains("--record"));
        assert_eq!(grown.len(), 2, "{grown:?}");
        assert!(wrong(&[("a", 1_000)]).first().unwrap().starts_with("b: on record"));
        assert!(
            wrong(&[("a", 1_000), ("b", 1_000), ("c", 1)]).first().unwrap().starts_with("c: not on record")
        );
        let other = Record { rustc: "1.96.0".into(), ..record(&[("a", 2_000), ("b", 1_000)]) };
        assert_eq!(before.compare(&other).1.len(), 3);
    }

    #[test]
    fn a_record_that_is_written_is_read_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = record(&[("decode a list", 7)]);
        written.write(file.path()).unwrap();
        assert_eq!(Record::read(file.path()).unwrap(), written);
    }
}
