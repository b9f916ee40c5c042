//! Prometheus' text form, read as strictly as its specification allows.

use std::collections::{BTreeMap, BTreeSet};

/// Metrics by name, and samples by name with labels.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let (mut helped, mut current) = (None, None::<(String, String)>);
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(is_name(name) && !help.is_empty(), "{line}");
                helped = Some(name.to_owned());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(helped.take().as_deref(), Some(name), "TYPE comes after HELP");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                let before = found.kinds.insert(name.into(), kind.into());
                assert_eq!(before, None, "{name} comes twice");
                current = Some((name.into(), kind.into()));
            } else {
                let (name, kind) = current.as_ref().unwrap();
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let value: f64 = value.parse().unwrap();
                let bare = sample.split('{').next().unwrap();
                let suffixes: &[&str] =
                    if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(
                    bare.strip_prefix(name.as_str()).is_some_and(|rest| suffixes.contains(&rest)),
                    "{line}"
                );
                assert!(value >= 0.0, "{line}");
                check_labels(&sample[bare.len()..]);
                assert_eq!(found.samples.insert(sample.into(), value), None, "{sample} comes twice");
            }
        }
        found.check_histograms();
        found
    }

    fn check_histograms(&self) {
        for (name, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let prefix = format!("{name}_bucket{{le=\"");
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter_map(|(sample, &count)| {
                    let bound = sample.strip_prefix(&prefix)?.strip_suffix("\"}").unwrap();
                    Some((bound.parse().unwrap(), count))
                })
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by_key(|&(_, count)| count), "{name}: {buckets:?}");
            let last = buckets.last().unwrap();
            assert_eq!(*last, (f64::INFINITY, self.value(&format!("{name}_count"))), "{name}");
            self.value(&format!("{name}_sum"));
        }
    }

    /// A sample's value, by its name with labels.
    pub(crate) fn value(&self, sample: &str) -> f64 {
        *self
            .samples
            .get(sample)
            .unwrap_or_else(|| panic!("there is no {sample}: {:#?}", self.samples.keys()))
    }

    /// Every name and value of a label.
    pub(crate) fn labels(&self) -> BTreeSet<String> {
        let labels = self.samples.keys().filter_map(|sample| Some(sample.split_once('{')?.1.to_owned()));
        labels.filter(|label| !label.starts_with("le=")).collect()
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(allowed) && name.starts_with(|first: char| first.is_ascii_lowercase())
}

fn check_labels(labels: &str) {
    if let Some(inside) = labels.strip_prefix('{') {
        let (name, value) = inside.strip_suffix("\"}").unwrap().split_once("=\"").unwrap();
        assert!(is_name(name) && !value.is_empty() && !value.contains(['"', '\\', '\n']), "{labels}");
    } else {
        assert_eq!(labels, "");
    }
}
