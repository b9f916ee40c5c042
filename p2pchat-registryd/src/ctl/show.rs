//! Answers for people to read.

use std::fmt::Write;

use serde_json::{Map, Value};

/// A column of a list: its title, its field, and how that is shown.
type Column = (&'static str, &'static str, fn(&Value) -> String);

/// The columns of a verb's list.
fn columns(verb: &str) -> &'static [Column] {
    match verb {
        "sessions" => &[
            ("USER", "user", plain),
            ("ADDRESS", "address", plain),
            ("PORT", "port", plain),
            ("ONLINE", "online_seconds", span),
            ("SILENT", "silent_seconds", span),
            ("WAITS", "waits", yes),
            ("PARKED", "parked", yes),
            ("ROOMS", "rooms", plain),
        ],
        "users" => &[
            ("USER", "user", plain),
            ("ONLINE", "online", yes),
            ("BANNED", "banned", yes),
            ("DELETED", "deleted", yes),
            ("ROOMS", "rooms", plain),
        ],
        "rooms" => &[
            ("ROOM", "room", plain),
            ("OWNER", "owner", plain),
            ("MEMBERS", "members", plain),
            ("CAPACITY", "capacity", plain),
            ("PASSWORD", "password", yes),
            ("DESCRIPTION", "description", plain),
        ],
        "invites" => &[
            ("ID", "id", plain),
            ("LEFT", "left", plain),
            ("OF", "uses", plain),
            ("SINCE", "since", plain),
            ("UNTIL", "until", plain),
            ("NOTE", "note", plain),
        ],
        "bans" => &[
            ("USER", "user", plain),
            ("ADDRESS", "address", plain),
            ("SINCE", "since", plain),
            ("UNTIL", "until", plain),
            ("REASON", "reason", plain),
        ],
        _ => &[],
    }
}

fn yes(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "-".into(),
        other => plain(other),
    }
}

/// True if items have gone before.
pub(super) fn is_list(done: &Value) -> bool {
    done.as_object().is_some_and(|done| done.len() == 1 && done.contains_key("count"))
}

/// How many things a backup has found that don't fit together.
pub(super) fn unsound(done: &Value) -> usize {
    done.get("problems").and_then(Value::as_array).map_or(0, Vec::len)
}

/// What a request has brought.
pub(super) fn answer(request: &Value, items: &[Value], done: &Value) -> String {
    let word = |field| request.get(field).and_then(Value::as_str).unwrap_or_default();
    match (word("verb"), done.as_object()) {
        (verb, _) if is_list(done) => table(columns(verb), items),
        ("status", Some(done)) => sheet(done, STATUS),
        ("kick", Some(done)) => format!("{} is offline\n", whom(done)),
        ("invite-create", Some(done)) => format!("{}\n", plain(done.get("code").unwrap_or(&Value::Null))),
        ("invite-revoke", Some(_)) => format!("{} is good no longer\n", word("id")),
        ("delete", Some(done)) => format!("{} is deleted; the name stays taken\n", whom(done)),
        ("unban", Some(done)) => format!("{} is let in again\n", whom(done)),
        ("log-level", Some(done)) => {
            let field = |name| plain(done.get(name).unwrap_or(&Value::Null));
            match field("level") == field("before") {
                true => format!("{}\n", field("level")),
                false => format!("{}, which was {}\n", field("level"), field("before")),
            }
        }
        ("drain", Some(done)) => {
            let field = |name| done.get(name).unwrap_or(&Value::Null);
            let (sessions, limit) = (plain(field("sessions")), span(field("seconds")));
            format!("nobody else is let in; it ends when those online ({sessions}) are gone, or in {limit}\n")
        }
        ("backup", Some(done)) => {
            let field = |name| done.get(name).unwrap_or(&Value::Null);
            let records = field("records").as_object().into_iter().flatten();
            let records: Vec<_> =
                records.map(|(table, count)| format!("{} {count}", harmless(table))).collect();
            let problems = field("problems").as_array().into_iter().flatten();
            let problems = problems.map(|problem| format!("not sound: {}\n", plain(problem)));
            format!("{}: {}\n{}", plain(field("file")), records.join(", "), problems.collect::<String>())
        }
        ("reload", Some(done)) => {
            let names =
                |field| done.get(field).filter(|names| **names != Value::Array(Vec::new())).map(plain);
            let changed = names("changed")
                .map_or("nothing has changed\n".into(), |names| format!("changed: {names}\n"));
            let restart = names("needs_restart").map(|names| format!("needs a restart: {names}\n"));
            changed + &restart.unwrap_or_default()
        }
        ("export", Some(done)) => {
            let field = |name| plain(done.get(name).unwrap_or(&Value::Null));
            format!("{}: {} entries\n", field("file"), field("entries"))
        }
        ("ban", Some(done)) => {
            let until = done.get("until").and_then(Value::as_str);
            let until = until.map_or_else(|| "for ever".into(), |until| format!("until {}", harmless(until)));
            let ended = done.get("ended").map(plain).unwrap_or_default();
            format!("{} is banned {until}; connections closed: {ended}\n", whom(done))
        }
        (_, Some(done)) => sheet(done, &[]),
        (_, None) => format!("{done}\n"),
    }
}

/// Whom something was done to.
fn whom(done: &Map<String, Value>) -> String {
    done.get("user").or(done.get("address")).map(plain).unwrap_or_default()
}

fn table(columns: &[Column], items: &[Value]) -> String {
    let titles = columns.iter().map(|(title, ..)| (*title).to_owned()).collect();
    let cells = |item: &Value| -> Vec<_> {
        columns.iter().map(|(_, field, show)| show(item.get(field).unwrap_or(&Value::Null))).collect()
    };
    let rows: Vec<_> = [titles].into_iter().chain(items.iter().map(cells)).collect();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut shown = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            _ = write!(line, "{cell:width$}  ");
        }
        shown.push_str(line.trim_end());
        shown.push('\n');
    }
    shown
}

/// What an operator looks for first.
const STATUS: &[&str] = &[
    "version",
    "pid",
    "uptime_seconds",
    "tcp",
    "udp",
    "fingerprint",
    "connections",
    "sessions",
    "operations",
    "hashes",
    "refused_hashes",
];

/// A field a line, those of `first` before the others.
fn sheet(done: &Map<String, Value>, first: &[&str]) -> String {
    let width = done.keys().map(|field| field.trim_end_matches("_seconds").len()).max().unwrap_or(0);
    let mut shown = String::new();
    let first_ones = first.iter().filter_map(|field| done.get_key_value(*field));
    let others = done.iter().filter(|(field, _)| !first.contains(&field.as_str()));
    for (field, value) in first_ones.chain(others) {
        let (name, value) = match field.strip_suffix("_seconds") {
            Some(name) => (name, span(value)),
            None => (field.as_str(), plain(value)),
        };
        _ = writeln!(shown, "{:width$}  {value}", name.replace('_', " "));
    }
    shown
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => harmless(text),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A number of seconds in its two largest units.
fn span(value: &Value) -> String {
    let Some(seconds) = value.as_u64() else { return plain(value) };
    let units =
        [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
    let largest = units.iter().position(|(_, count)| *count > 0).unwrap_or(3);
    units
        .iter()
        .skip(largest)
        .take(2)
        .map(|(unit, count)| format!("{count}{unit}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Others' words, with all that a terminal or a reader could take for something else made visible.
pub(super) fn harmless(text: &str) -> String {
    let visible = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        c => c.escape_debug().collect(),
    };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_stand_in_columns() {
        let session = |user: &str, port: Value| {
            json!({"user": user, "address": "192.0.2.1:5", "port": port, "rooms": ["den", "bar"],
                "online_seconds": 93_784, "silent_seconds": 3, "waits": user == "bob", "parked": user != "bob"})
        };
        let items = [session("bartholomew", Value::Null), session("bob", json!(4000))];
        let shown = answer(&json!({"verb": "sessions"}), &items, &json!({"count": 2}));
        let wanted = "\
USER         ADDRESS      PORT  ONLINE  SILENT  WAITS  PARKED  ROOMS
bartholomew  192.0.2.1:5  -     1d 2h   3s      -      yes     den, bar
bob          192.0.2.1:5  4000  1d 2h   3s      yes    -       den, bar
";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_state_stands_in_lines() {
        let done = json!({"pid": 7, "failed_logins": 2, "uptime_seconds": 3_600});
        let shown = answer(&json!({"verb": "status"}), &[], &done);
        assert_eq!(shown, "pid            7\nuptime         1h 0m\nfailed logins  2\n");
    }

    #[test]
    fn others_words_can_not_write_to_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\u{202e}b\u{200b}\"é'\n"), "a\\u{1b}[2J\\u{202e}b\\u{200b}\"é'\\n");
        let shown = plain(&json!(["\u{9b}1m"]));
        assert_eq!(shown, "\\u{9b}1m");
    }
}
