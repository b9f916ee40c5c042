//! Files that are offered and on their way, and how that is shown.

#![allow(clippy::disallowed_methods)] // a person wants to know how long it takes, by the real clock

use std::{path::PathBuf, time::Duration};

use p2pchat_core::{
    peer::{Event, FileId},
    proto::Username,
};
use tokio::time::Instant;

use crate::{sanitize, show};

/// How often it is shown how far a file is, where each time is a line of its own.
pub(crate) const EVERY: Duration = Duration::from_secs(5);
/// How long a bar is.
const BAR: usize = 20;

/// A file, in either direction.
#[derive(Debug)]
struct Transfer {
    file: FileId,
    /// What the user calls it.
    number: u32,
    with: Username,
    name: String,
    size: u64,
    outgoing: bool,
    /// How much of it is there; nothing is told of an offer that isn't answered.
    bytes: Option<u64>,
    /// When some of it was there first, and how much.
    begun: Option<(Instant, u64)>,
    shown: Option<Instant>,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    all: Vec<Transfer>,
    last: u32,
}

impl Transfers {
    /// Notes what an event says of files; what is to be shown of it, at most `every` so often for a file.
    pub(crate) fn note(&mut self, event: &Event, every: Duration) -> Option<String> {
        match event {
            Event::FileOffered { file, from, name, size } => {
                let number = self.add(*file, from, name.as_str(), *size, false);
                let (who, what) = (show::name(from), sanitize::line(name.as_str()));
                Some(format!(
                    "{who} offers a file: {what}, {}\n    /take {number} or /stop {number}",
                    bytes(*size)
                ))
            }
            Event::FileProgress { file, with, name, outgoing, bytes: there, size } => {
                if !self.all.iter().any(|transfer| transfer.file == *file) {
                    self.add(*file, with, name.as_str(), *size, *outgoing);
                }
                let transfer = self.all.iter_mut().find(|transfer| transfer.file == *file)?;
                transfer.progress(*there, every)
            }
            Event::FileEnded { file } | Event::FileWithdrawn { file, .. } => {
                self.all.retain(|transfer| transfer.file != *file);
                None
            }
            _ => None,
        }
    }

    fn add(&mut self, file: FileId, with: &Username, name: &str, size: u64, outgoing: bool) -> u32 {
        self.last += 1;
        let (with, name) = (with.clone(), sanitize::line(name));
        let (bytes, begun, shown) = (None, None, None);
        self.all.push(Transfer { file, number: self.last, with, name, size, outgoing, bytes, begun, shown });
        self.last
    }

    /// A line for each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.all.iter().map(|transfer| format!("{:>3}  {}", transfer.number, transfer.line())).collect()
    }

    /// The offer that `number` names; without a number, the only one.
    pub(crate) fn offered(&self, number: Option<u32>) -> Result<FileId, String> {
        let is_offer = |transfer: &&Transfer| !transfer.outgoing && transfer.bytes.is_none();
        self.one(number, is_offer, "/take")
    }

    /// The same of all of them.
    pub(crate) fn any(&self, number: Option<u32>) -> Result<FileId, String> {
        self.one(number, |_| true, "/stop")
    }

    fn one(
        &self,
        number: Option<u32>,
        wanted: impl Fn(&&Transfer) -> bool,
        command: &str,
    ) -> Result<FileId, String> {
        let is_meant = |transfer: &&Transfer| number.is_none_or(|number| transfer.number == number);
        let mut meant = self.all.iter().filter(wanted).filter(is_meant);
        match (meant.next(), meant.next(), number) {
            (Some(only), None, _) => Ok(only.file),
            (None, _, Some(number)) => Err(format!("there is no file {number} for that; /files lists them")),
            (None, _, None) => Err("there is no file for that".to_owned()),
            (Some(_), Some(_), _) => Err(format!("which one? {command} NUMBER; /files lists them")),
        }
    }
}

impl Transfer {
    fn progress(&mut self, there: u64, every: Duration) -> Option<String> {
        if self.outgoing && there == 0 {
            // It is offered, and may be so for long.
            return None;
        }
        let now = Instant::now();
        self.bytes = Some(there);
        self.begun.get_or_insert((now, there));
        let shown = *self.shown.get_or_insert(now);
        // That it is done is the command's to say.
        if now.duration_since(shown) < every || there == self.size {
            return None;
        }
        self.shown = Some(now);
        Some(self.line())
    }

    fn line(&self) -> String {
        let Self { name, size, outgoing, .. } = self;
        let way = format!("{} {}", if *outgoing { "to" } else { "from" }, show::name(&self.with));
        let Some(there) = self.bytes else { return format!("{name} {way}, {}: offered", bytes(*size)) };
        let (begun, before) = self.begun.unwrap_or_else(|| (Instant::now(), there));
        let pace = rate(there.saturating_sub(before), begun.elapsed(), size.saturating_sub(there));
        format!("{name} {way}  {}{pace}", bar(there, *size))
    }
}

/// `[#####---------------]  25 %  1.0 of 4.0 MB`.
fn bar(there: u64, size: u64) -> String {
    let part = if size == 0 { 1.0 } else { there as f64 / size as f64 };
    let full = ((part * BAR as f64) as usize).min(BAR);
    let percent = (part * 100.0) as u32;
    let bar = format!("{}{}", "#".repeat(full), "-".repeat(BAR - full));
    format!("[{bar}] {percent:>3} %  {} of {}", bytes(there), bytes(size))
}

/// How fast it goes, and how long it still takes; nothing where nobody can know.
fn rate(bytes_more: u64, took: Duration, left: u64) -> String {
    let each_second = bytes_more as f64 / took.as_secs_f64();
    if bytes_more == 0 || !each_second.is_finite() {
        return String::new();
    }
    let seconds = (left as f64 / each_second).ceil() as u64;
    let left = match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3_600, seconds % 3_600 / 60),
    };
    format!("  {}/s  {left} left", bytes(each_second as u64))
}

/// A number of bytes for a person.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    if count < 1_000 {
        return if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") };
    }
    for unit in ["kB", "MB", "GB"] {
        value /= 1_000.0;
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
    }
    format!("{:.1} TB", value / 1_000.0)
}

/// A path as it was typed: `~/` is the home folder.
pub(crate) fn path(typed: &str) -> PathBuf {
    match (typed.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(typed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_file_is_and_how_long_it_takes() {
        assert_eq!(bar(0, 4_000_000), "[--------------------]   0 %  0 bytes of 4.0 MB");
        assert_eq!(bar(1_000_000, 4_000_000), "[#####---------------]  25 %  1.0 MB of 4.0 MB");
        assert_eq!(bar(3_999_999, 4_000_000), "[###################-]  99 %  4.0 MB of 4.0 MB");
        assert_eq!(bar(0, 0), "[####################] 100 %  0 bytes of 0 bytes");
        let two = Duration::from_secs(2);
        assert_eq!(rate(3_000_000, two, 4_500_000), "  1.5 MB/s  3 s left");
        assert_eq!(rate(2_000, two, 125_000), "  1.0 kB/s  2:05 min left");
        assert_eq!(rate(2_000, two, 7_500_000), "  1.0 kB/s  2:05 h left");
        assert_eq!((rate(0, two, 5), rate(5, Duration::ZERO, 5)), (String::new(), String::new()));
    }

    #[test]
    fn bytes_as_people_count_them() {
        let shown = [0, 1, 999, 1_000, 999_949, 999_950, 12_345_678, 2_000_000_000, 5_000_000_000_000];
        let words =
            ["0 bytes", "1 byte", "999 bytes", "1.0 kB", "999.9 kB", "1.0 MB", "12.3 MB", "2.0 GB", "5.0 TB"];
        assert_eq!(shown.map(bytes), words);
    }

    #[test]
    fn a_path_may_begin_at_home() {
        assert_eq!(path("a b"), PathBuf::from("a b"));
        if let Some(home) = std::env::home_dir() {
            assert_eq!(path("~/a"), home.join("a"));
        }
    }
}
