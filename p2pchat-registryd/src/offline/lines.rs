//! All that a registry keeps as JSON, an object a line. The form is in the README.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead, Read, Write},
};

use p2pchat_core::{
    proto::{Capacity, Description, Problem as NameProblem, Reason, RoomName, Username},
    registry::{
        Ban, BanTarget, Invite, InviteDigest, SubnetError,
        store::{self, Entry, Misfit, ReadTransaction, Report, Secret, StoreError, WriteTransaction},
    },
    tokio::check_password_hash,
};
use serde_json::{Value, json};

use crate::json::{self, Fields, shortened};

/// The form's version, which the first line says.
const VERSION: u64 = 1;
/// The longest line, without its line feed.
const MAX_LINE: usize = 1 << 20;
/// After so many errors no more is read.
const MAX_ERRORS: usize = 100;

const HEADER: &str = "p2pchat-registry";
const ACCOUNT: &str = "account";
const TAKEN: &str = "taken";
const ROOM: &str = "room";
const MEMBER: &str = "member";
const ROOM_BAN: &str = "room-ban";
const BAN: &str = "ban";
const INVITE: &str = "invite";
const END: &str = "end";

/// Why an export isn't whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes all that is kept. How many entries those are is returned.
pub(crate) fn export(
    transaction: &impl ReadTransaction,
    output: &mut impl Write,
) -> Result<u64, ExportError> {
    writeln!(output, "{}", json!({ "type": HEADER, "version": VERSION }))?;
    let (mut entries, mut written) = (0, Ok(()));
    store::export(transaction, &mut |entry| {
        entries += 1;
        written = writeln!(output, "{}", to_json(&entry));
        written.is_ok()
    })?;
    written?;
    writeln!(output, "{}", json!({ "type": END, "entries": entries }))?;
    output.flush()?;
    Ok(entries)
}

fn to_json(entry: &Entry) -> Value {
    match entry {
        Entry::Account { username, password, rooms } => {
            let rooms: Vec<_> = rooms.iter().map(RoomName::as_str).collect();
            json!({ "type": ACCOUNT, "user": username.as_str(), "password": &*password.0, "rooms": rooms })
        }
        Entry::Taken { username } => json!({ "type": TAKEN, "user": username.as_str() }),
        Entry::Room { room, owner, password, capacity, description } => json!({
            "type": ROOM, "room": room.as_str(), "owner": owner.as_str(), "capacity": capacity.get(),
            "password": password.as_ref().map(|password| &*password.0), "description": description.as_str(),
        }),
        Entry::Member { room, username } => {
            json!({ "type": MEMBER, "room": room.as_str(), "user": username.as_str() })
        }
        Entry::RoomBan { room, username, reason } => json!({
            "type": ROOM_BAN, "room": room.as_str(), "user": username.as_str(), "reason": reason.as_str(),
        }),
        Entry::Ban(Ban { target, reason, since, until }) => {
            let field = if matches!(target, BanTarget::User(_)) { "user" } else { "address" };
            let reason = reason.as_ref().map(Reason::as_str);
            json!({
                "type": BAN, field: target.to_string(), "reason": reason, "since": since, "until": until,
            })
        }
        Entry::Invite(Invite { digest, note, since, until, uses, left }) => json!({
            "type": INVITE, "digest": digest.to_hex(), "note": note.as_ref().map(Reason::as_str),
            "since": since, "until": until, "uses": uses, "left": left,
        }),
    }
}

/// Why nothing is imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("can't read: {0}")]
    Input(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is wrong with the lines.
    #[error("{} lines make no sense", .0.len())]
    Lines(Vec<LineError>),
}

/// What is wrong with a line, or with all of them together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineError {
    /// From 1; none if no line alone is to blame.
    pub(crate) line: Option<u64>,
    pub(crate) problem: Problem,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.problem),
            None => write!(f, " {}", self.problem),
        }
    }
}

/// What can be wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("the line is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("column {column}: {problem}")]
    Json { column: usize, problem: String },
    #[error("the first line has to be {}", json!({ "type": HEADER, "version": VERSION }))]
    NoHeader,
    #[error("the field version is {found}, and this program knows {VERSION}: use a newer p2pchat-registryd")]
    Version { found: u64 },
    #[error("the field {field} is missing")]
    Missing { field: &'static str },
    #[error("the field {field} has to be {wanted}")]
    WrongType { field: &'static str, wanted: &'static str },
    #[error("the field {field:?} isn't one of this type's")]
    UnknownField { field: String },
    #[error(
        "the field type is {found:?}: {ACCOUNT}, {TAKEN}, {ROOM}, {MEMBER}, {ROOM_BAN}, {BAN}, {INVITE} and at last {END} are wanted"
    )]
    UnknownType { found: String },
    #[error("the field {field} {problem}")]
    Invalid { field: &'static str, problem: NameProblem },
    #[error("the field address: {0}")]
    Subnet(SubnetError),
    #[error("the field {field} is no password hash: {problem}")]
    Password { field: &'static str, problem: String },
    #[error("the field address goes without user: one of them, not both")]
    Both,
    #[error("the field {field} {found:?}: {misfit}")]
    Misfit { field: &'static str, found: String, misfit: Misfit },
    #[error("the field entries is {said}, and there are {found} before it: something is missing or doubled")]
    Count { said: u64, found: u64 },
    #[error("there is more after the last line")]
    AfterEnd,
    #[error("the last line is missing: the file isn't whole")]
    NoEnd,
    #[error("{0}")]
    Apart(String),
    #[error("there may be more errors: no more was read after {MAX_ERRORS}")]
    More,
}

/// Takes what [`export`] has written, or somebody else in the same form. How many entries those are is returned. After an
/// error the transaction is to be dropped.
pub(crate) fn import(
    input: impl BufRead,
    transaction: &mut impl WriteTransaction,
) -> Result<u64, ImportError> {
    let mut lines = Lines { input, number: 0 };
    let (mut errors, mut entries, mut has_ended) = (Vec::new(), 0, false);
    while let Some(line) = lines.next()? {
        let read = line.and_then(|line| match lines.number {
            1 => header(&line).map(|()| None),
            _ if has_ended => Err(Problem::AfterEnd),
            _ => parse(&line).map(Some),
        });
        let problem = match read {
            Ok(None) => None,
            Ok(Some(Parsed::Entry(entry))) => {
                entries += 1;
                store::import(transaction, &entry)?.err().map(|misfit| misplaced(&entry, misfit))
            }
            Ok(Some(Parsed::End { entries: said })) => {
                has_ended = true;
                // Lines that make no sense are entries, too.
                (errors.is_empty() && said != entries).then_some(Problem::Count { said, found: entries })
            }
            Err(problem) => Some(problem),
        };
        let Some(problem) = problem else { continue };
        let is_hopeless = matches!(
            problem,
            Problem::NoHeader | Problem::Version { .. } | Problem::AfterEnd | Problem::TooLong { .. }
        ) || lines.number == 1;
        errors.push(LineError { line: Some(lines.number), problem });
        if is_hopeless {
            return Err(ImportError::Lines(errors));
        }
        if errors.len() >= MAX_ERRORS {
            errors.push(LineError { line: None, problem: Problem::More });
            return Err(ImportError::Lines(errors));
        }
    }
    if lines.number == 0 {
        errors.push(LineError { line: Some(1), problem: Problem::NoHeader });
    } else if !has_ended {
        errors.push(LineError { line: Some(lines.number + 1), problem: Problem::NoEnd });
    }
    if errors.is_empty() {
        let Report { problems, .. } = store::check(transaction)?;
        let apart = |problem| LineError { line: None, problem: Problem::Apart(problem) };
        errors.extend(problems.into_iter().map(apart));
    }
    if errors.is_empty() { Ok(entries) } else { Err(ImportError::Lines(errors)) }
}

/// A file's lines, none of them longer in memory than is allowed.
struct Lines<R> {
    input: R,
    /// Of the last one.
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<Result<Vec<u8>, Problem>>> {
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
        if self.input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > MAX_LINE {
            return Ok(Some(Err(Problem::TooLong { limit: MAX_LINE })));
        }
        Ok(Some(Ok(line)))
    }
}

enum Parsed {
    Entry(Entry),
    End { entries: u64 },
}

fn header(line: &[u8]) -> Result<(), Problem> {
    let mut line = Line::parse(line)?;
    if line.optional("type")?.as_deref() != Some(HEADER) {
        return Err(Problem::NoHeader);
    }
    match line.number("version")? {
        VERSION => line.end(()),
        // Other fields are that version's.
        found => Err(Problem::Version { found }),
    }
}

fn parse(line: &[u8]) -> Result<Parsed, Problem> {
    let mut line = Line::parse(line)?;
    let kind = line.text("type")?;
    let entry = match kind.as_str() {
        ACCOUNT => Entry::Account {
            username: line.user("user")?,
            password: line.password("password")?.ok_or(Problem::Missing { field: "password" })?,
            rooms: line.rooms("rooms")?,
        },
        TAKEN => Entry::Taken { username: line.user("user")? },
        ROOM => Entry::Room {
            room: line.room("room")?,
            owner: line.user("owner")?,
            password: line.password("password")?,
            capacity: {
                let capacity = u32::try_from(line.number("capacity")?).unwrap_or(u32::MAX);
                Capacity::new(capacity).map_err(|problem| Problem::Invalid { field: "capacity", problem })?
            },
            description: {
                let description = line.optional("description")?.unwrap_or_default();
                let invalid = |problem| Problem::Invalid { field: "description", problem };
                Description::new(&description).map_err(invalid)?
            },
        },
        MEMBER => Entry::Member { room: line.room("room")?, username: line.user("user")? },
        ROOM_BAN => Entry::RoomBan {
            room: line.room("room")?,
            username: line.user("user")?,
            reason: line.reason("reason")?.unwrap_or_default(),
        },
        BAN => Entry::Ban(Ban {
            target: line.target()?,
            reason: line.reason("reason")?,
            since: line.number("since")?,
            until: line.optional_number("until")?,
        }),
        INVITE => Entry::Invite(Invite {
            digest: InviteDigest::from_hex(&line.text("digest")?)
                .ok_or(Problem::WrongType { field: "digest", wanted: "64 hexadecimal digits" })?,
            note: line.reason("note")?,
            since: line.number("since")?,
            until: line.optional_number("until")?,
            uses: line.count("uses")?,
            left: line.count("left")?,
        }),
        END => return line.number("entries").and_then(|entries| line.end(Parsed::End { entries })),
        _ => return Err(Problem::UnknownType { found: shortened(&kind) }),
    };
    line.end(Parsed::Entry(entry))
}

/// What is left of a line's fields.
struct Line(BTreeMap<String, Value>);

impl Line {
    fn parse(line: &[u8]) -> Result<Self, Problem> {
        let fields = Fields::parse(line).map_err(|json::Error { offset, problem }| Problem::Json {
            column: offset.saturating_add(1),
            problem,
        })?;
        Ok(Self(fields.0))
    }

    fn optional(&mut self, field: &'static str) -> Result<Option<String>, Problem> {
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::WrongType { field, wanted: "a string" }),
        }
    }

    fn text(&mut self, field: &'static str) -> Result<String, Problem> {
        self.optional(field)?.ok_or(Problem::Missing { field })
    }

    fn optional_number(&mut self, field: &'static str) -> Result<Option<u64>, Problem> {
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(Problem::WrongType { field, wanted: "a whole number from 0 on" }),
            },
        }
    }

    fn number(&mut self, field: &'static str) -> Result<u64, Problem> {
        self.optional_number(field)?.ok_or(Problem::Missing { field })
    }

    fn count(&mut self, field: &'static str) -> Result<u32, Problem> {
        let wrong = Problem::WrongType { field, wanted: "a whole number from 1 to 4294967295" };
        u32::try_from(self.number(field)?).ok().filter(|&count| count > 0).ok_or(wrong)
    }

    fn user(&mut self, field: &'static str) -> Result<Username, Problem> {
        Username::new(&self.text(field)?).map_err(|problem| Problem::Invalid { field, problem })
    }

    fn room(&mut self, field: &'static str) -> Result<RoomName, Problem> {
        RoomName::new(&self.text(field)?).map_err(|problem| Problem::Invalid { field, problem })
    }

    fn rooms(&mut self, field: &'static str) -> Result<Vec<RoomName>, Problem> {
        const WANTED: &str = "a list of strings";
        let rooms = match self.0.remove(field) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(rooms)) => rooms,
            Some(_) => return Err(Problem::WrongType { field, wanted: WANTED }),
        };
        let room = |room: Value| match room.as_str() {
            Some(name) => RoomName::new(name).map_err(|problem| Problem::Invalid { field, problem }),
            None => Err(Problem::WrongType { field, wanted: WANTED }),
        };
        rooms.into_iter().map(room).collect()
    }

    fn reason(&mut self, field: &'static str) -> Result<Option<Reason>, Problem> {
        let invalid = |problem| Problem::Invalid { field, problem };
        self.optional(field)?.map(|text| Reason::new(&text).map_err(invalid)).transpose()
    }

    fn password(&mut self, field: &'static str) -> Result<Option<Secret>, Problem> {
        let Some(hash) = self.optional(field)? else { return Ok(None) };
        check_password_hash(&hash).map_err(|problem| Problem::Password { field, problem })?;
        Ok(Some(Secret(hash.into())))
    }

    fn target(&mut self) -> Result<BanTarget, Problem> {
        match self.optional("address")? {
            None => self.user("user").map(BanTarget::User),
            Some(_) if self.0.contains_key("user") => Err(Problem::Both),
            Some(address) => address.parse().map(BanTarget::Subnet).map_err(Problem::Subnet),
        }
    }

    /// What has been made of the fields, if that was all of them.
    fn end<T>(&self, made: T) -> Result<T, Problem> {
        match self.0.keys().next() {
            None => Ok(made),
            Some(field) => Err(Problem::UnknownField { field: shortened(field) }),
        }
    }
}

fn misplaced(entry: &Entry, misfit: Misfit) -> Problem {
    let (field, found) = match (entry, misfit) {
        (Entry::Account { username, .. } | Entry::Taken { username }, _) => ("user", username.to_string()),
        (Entry::Room { owner, .. }, Misfit::NoSuchAccount) => ("owner", owner.to_string()),
        (Entry::Room { room, .. }, _) => ("room", room.to_string()),
        (
            Entry::Member { username, .. } | Entry::RoomBan { username, .. },
            Misfit::NoSuchAccount | Misfit::Twice,
        ) => ("user", username.to_string()),
        (Entry::Member { room, .. } | Entry::RoomBan { room, .. }, _) => ("room", room.to_string()),
        (Entry::Ban(Ban { target: BanTarget::User(user), .. }), _) => ("user", user.to_string()),
        (Entry::Invite(invite), _) => ("digest", invite.digest.id()),
        (Entry::Ban(ban), _) => ("address", ban.target.to_string()),
    };
    Problem::Misfit { field, found, misfit }
}

#[cfg(test)]
mod tests;
