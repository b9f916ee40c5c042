//! `p2pchat history` on the command line.

use clap::Args;
use jiff::{civil::DateTime, tz::TimeZone};

const EXAMPLES: &str = "\
Examples:
  p2pchat history --with bob --last 20           the last that was said with bob
  p2pchat history --room den > den.txt           export a room as text
  p2pchat history --search \"invoice june\"        find something, wherever it was said
  p2pchat history --since 2026-11-01 --json      for programs
  p2pchat history --forget --with bob            remove what was said with bob";

/// Of what was said, which.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = clap::ArgGroup::new("whose").args(["with", "room", "all"]))]
pub(crate) struct History {
    /// What was said with this user.
    #[arg(long, value_name = "USER")]
    pub(crate) with: Option<String>,
    /// What was said in this room.
    #[arg(long, value_name = "ROOM")]
    pub(crate) room: Option<String>,
    /// Only messages that have all of these words in them, whatever the case.
    #[arg(long, value_name = "WORDS")]
    pub(crate) search: Option<String>,
    /// Only the last so many of them.
    #[arg(long, value_name = "COUNT")]
    pub(crate) last: Option<usize>,
    /// Only from this day or minute on, in local time.
    #[arg(long, value_name = "YYYY-MM-DD[ HH:MM]", value_parser = local_time)]
    pub(crate) since: Option<u64>,
    /// Only before this day or minute.
    #[arg(long, value_name = "YYYY-MM-DD[ HH:MM]", value_parser = local_time)]
    pub(crate) before: Option<u64>,
    /// Print a JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Remove all of it from this machine, also what waits there to be sent; others keep what they have.
    #[arg(long, requires = "whose", conflicts_with_all = ["search", "last", "since", "before", "json"])]
    pub(crate) forget: bool,
    /// With --forget: of all chats and rooms.
    #[arg(long, requires = "forget")]
    pub(crate) all: bool,
}

/// A day, or a minute of it, by this machine's time zone, in milliseconds since 1970.
fn local_time(text: &str) -> Result<u64, String> {
    let wanted = || "a day such as 2026-11-29 is wanted, or a minute such as `2026-11-29 15:04`".to_owned();
    let time: DateTime = text.trim().parse().map_err(|_| wanted())?;
    let time = time.to_zoned_datetime(TimeZone::system()).map_err(|_| wanted())?;
    u64::try_from(time.timestamp().as_millisecond()).map_err(|_| "that was before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Arguments;

    #[test]
    fn a_history_is_forgotten_only_by_saying_whose() {
        let parse = |arguments: &[&str]| {
            Arguments::try_parse_from(["p2pchat", "history"].iter().chain(arguments)).is_ok()
        };
        assert!(parse(&[]) && parse(&["--with", "bob", "--last", "3", "--json"]));
        assert!(parse(&["--forget", "--with", "bob"]) && parse(&["--forget", "--all"]));
        assert!(!parse(&["--forget"]) && !parse(&["--all"]));
        assert!(
            !parse(&["--forget", "--all", "--room", "den"]) && !parse(&["--with", "bob", "--room", "den"])
        );
        assert!(!parse(&["--forget", "--with", "bob", "--search", "x"]));
    }

    #[test]
    fn a_time_is_a_day_or_a_minute() {
        let [day, minute] = ["2026-11-29", " 2026-11-29 15:04 "].map(|text| local_time(text).unwrap());
        assert_eq!(minute - day, (15 * 60 + 4) * 60_000);
        for bad in ["", "yesterday", "2026-13-01", "15:04", "1969-12-01"] {
            assert!(local_time(bad).is_err(), "{bad}");
        }
    }
}
