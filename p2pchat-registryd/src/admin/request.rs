//! What is asked on the admin socket: one JSON object a line.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use p2pchat_core::{
    proto::{Problem, Reason, Username},
    registry::{BanTarget, SubnetError},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    json::{self, Fields, shortened},
    logging,
};

/// The longest line, without its line feed.
pub(crate) const MAX_LINE: usize = 4_096;

/// A hundred years: whoever writes more means for ever.
pub(crate) const MAX_SECONDS: u64 = 100 * 365 * 86_400;

/// How many registrations an invitation may be for.
pub(crate) const MAX_USES: u32 = 1_000_000;
/// What an invitation is called.
pub(crate) const INVITE_ID: &str = "an invitation's id is ten hexadecimal digits, as ctl invites shows it";

/// How long those online may stay while the registry drains, if nothing else is said.
pub(crate) const DRAIN: u64 = 60;
/// The longest that they may.
pub(crate) const MAX_DRAIN: u64 = 7 * 86_400;

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// How the registry is doing.
    Status,
    /// Who is online.
    Sessions,
    /// Which accounts there are.
    Users,
    /// Which rooms there are.
    Rooms,
    /// End a user's session.
    Kick { user: Username, reason: Option<Reason> },
    /// End an account for good.
    Delete { user: Username },
    /// Make an invitation for so many registrations, good for so many seconds or for ever.
    CreateInvite { uses: u32, seconds: Option<u64>, note: Option<Reason> },
    /// Make an invitation good no longer.
    RevokeInvite { id: String },
    /// Which invitations there are.
    Invites,
    /// Keep somebody out, for so many seconds or for ever.
    Ban { target: BanTarget, reason: Option<Reason>, seconds: Option<u64> },
    /// Keep somebody out no longer.
    Unban { target: BanTarget },
    /// Who is kept out.
    Bans,
    /// Log this from now on, or tell what is logged.
    LogLevel { level: Option<String> },
    /// Let nobody else in, and end once nobody is online or so many seconds have passed.
    Drain { seconds: u64 },
    /// Read settings and certificate anew.
    Reload,
    /// Write all that is kept to a new file, as a database.
    Backup { file: PathBuf },
    /// Write all that is kept to a new file, as text.
    Export { file: PathBuf },
}

/// What the audit log has of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// Nothing: it only looks.
    Nothing,
    /// That it was asked, and what came of it, unless the file can't be written to: it changes nothing that lasts.
    IfPossible,
    /// The same, and it isn't done before its line is on disk.
    First,
}

impl Request {
    /// What is to be recorded of it.
    pub(super) fn record(&self) -> Record {
        match self {
            Self::Status
            | Self::Sessions
            | Self::Users
            | Self::Rooms
            | Self::Invites
            | Self::Bans
            | Self::LogLevel { level: None } => Record::Nothing,
            Self::LogLevel { level: Some(_) }
            | Self::Drain { .. }
            | Self::Reload
            | Self::Backup { .. }
            | Self::Export { .. } => Record::IfPossible,
            Self::Kick { .. }
            | Self::Delete { .. }
            | Self::CreateInvite { .. }
            | Self::RevokeInvite { .. }
            | Self::Ban { .. }
            | Self::Unban { .. } => Record::First,
        }
    }

    /// Every verb, with the fields that it takes.
    const VERBS: &[(&str, &[&str])] = &[
        ("status", &[]),
        ("sessions", &[]),
        ("users", &[]),
        ("rooms", &[]),
        ("kick", &["user", "reason"]),
        ("delete", &["user"]),
        ("invite-create", &["uses", "seconds", "note"]),
        ("invite-revoke", &["id"]),
        ("invites", &[]),
        ("ban", &["user", "address", "reason", "seconds"]),
        ("unban", &["user", "address"]),
        ("bans", &[]),
        ("log-level", &["level"]),
        ("drain", &["seconds"]),
        ("reload", &[]),
        ("backup", &["file"]),
        ("export", &["file"]),
    ];

    /// As it stands on the socket.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Status => json!({ "verb": "status" }),
            Self::Sessions => json!({ "verb": "sessions" }),
            Self::Users => json!({ "verb": "users" }),
            Self::Rooms => json!({ "verb": "rooms" }),
            Self::Kick { user, reason } => {
                json!({ "verb": "kick", "user": user.as_str(), "reason": reason.as_ref().map(Reason::as_str) })
            }
            Self::Delete { user } => json!({ "verb": "delete", "user": user.as_str() }),
            Self::CreateInvite { uses, seconds, note } => {
                let note = note.as_ref().map(Reason::as_str);
                json!({ "verb": "invite-create", "uses": uses, "seconds": seconds, "note": note })
            }
            Self::RevokeInvite { id } => json!({ "verb": "invite-revoke", "id": id }),
            Self::Invites => json!({ "verb": "invites" }),
            Self::Ban { target, reason, seconds } => {
                let (field, target) = target_field(target);
                let reason = reason.as_ref().map(Reason::as_str);
                json!({ "verb": "ban", field: target, "reason": reason, "seconds": seconds })
            }
            Self::Unban { target } => {
                let (field, target) = target_field(target);
                json!({ "verb": "unban", field: target })
            }
            Self::Bans => json!({ "verb": "bans" }),
            Self::LogLevel { level } => json!({ "verb": "log-level", "level": level }),
            Self::Drain { seconds } => json!({ "verb": "drain", "seconds": seconds }),
            Self::Reload => json!({ "verb": "reload" }),
            Self::Backup { file } => json!({ "verb": "backup", "file": file }),
            Self::Export { file } => json!({ "verb": "export", "file": file }),
        }
    }

    /// Takes a line, without its line feed.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, RequestError> {
        if line.len() > MAX_LINE {
            return Err(RequestError::LineTooLong { limit: MAX_LINE });
        }
        let fields = Fields::parse(line)
            .map_err(|json::Error { offset, problem }| RequestError::Json { offset, problem })?;
        let mut fields = fields.0;
        let Some(verb) = text(&mut fields, "verb")? else {
            return Err(RequestError::Missing { field: "verb" });
        };
        let Some((verb, known)) = Self::VERBS.iter().find(|(name, _)| *name == verb) else {
            return Err(RequestError::UnknownVerb { found: shortened(&verb) });
        };
        if let Some(field) = fields.keys().find(|field| !known.contains(&field.as_str())) {
            return Err(RequestError::UnknownField { field: shortened(field), verb, known });
        }
        Ok(match *verb {
            "sessions" => Self::Sessions,
            "users" => Self::Users,
            "rooms" => Self::Rooms,
            "bans" => Self::Bans,
            "log-level" => Self::LogLevel { level: level_field(&mut fields)? },
            "reload" => Self::Reload,
            "backup" => Self::Backup { file: file(&mut fields)? },
            "export" => Self::Export { file: file(&mut fields)? },
            "drain" => Self::Drain { seconds: seconds(&mut fields, MAX_DRAIN)?.unwrap_or(DRAIN) },
            "ban" => Self::Ban {
                target: target(&mut fields)?,
                reason: reason_field(&mut fields, "reason")?,
                seconds: seconds(&mut fields, MAX_SECONDS)?,
            },
            "delete" => Self::Delete { user: required(user(&mut fields)?, "user")? },
            "invite-create" => Self::CreateInvite {
                uses: uses(&mut fields)?,
                seconds: seconds(&mut fields, MAX_SECONDS)?,
                note: reason_field(&mut fields, "note")?,
            },
            "invite-revoke" => {
                let id = required(text(&mut fields, "id")?, "id")?;
                Self::RevokeInvite { id: invite_id(&id).ok_or(RequestError::InviteId)? }
            }
            "invites" => Self::Invites,
            "unban" => Self::Unban { target: target(&mut fields)? },
            "kick" => Self::Kick {
                user: required(user(&mut fields)?, "user")?,
                reason: reason_field(&mut fields, "reason")?,
            },
            _ => Self::Status,
        })
    }
}

fn required<T>(value: Option<T>, field: &'static str) -> Result<T, RequestError> {
    value.ok_or(RequestError::Missing { field })
}

fn text(fields: &mut BTreeMap<String, Value>, field: &'static str) -> Result<Option<String>, RequestError> {
    match fields.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RequestError::WrongType { field, wanted: "a string" }),
    }
}

fn user(fields: &mut BTreeMap<String, Value>) -> Result<Option<Username>, RequestError> {
    let invalid = |problem| RequestError::Invalid { field: "user", problem };
    text(fields, "user")?.map(|name| Username::new(&name).map_err(invalid)).transpose()
}

/// A file of the daemon's, whose working folder nobody knows.
fn file(fields: &mut BTreeMap<String, Value>) -> Result<PathBuf, RequestError> {
    let file = PathBuf::from(required(text(fields, "file")?, "file")?);
    match file.is_absolute() && !file.as_os_str().as_encoded_bytes().contains(&0) {
        true => Ok(file),
        false => Err(RequestError::Relative { field: "file" }),
    }
}

/// A user or an address, and not both.
fn target(fields: &mut BTreeMap<String, Value>) -> Result<BanTarget, RequestError> {
    match (user(fields)?, text(fields, "address")?) {
        (Some(user), None) => Ok(BanTarget::User(user)),
        (None, Some(subnet)) => subnet.parse().map(BanTarget::Subnet).map_err(RequestError::Subnet),
        (Some(_), Some(_)) => Err(RequestError::Both { field: "address", other: "user" }),
        (None, None) => Err(RequestError::Missing { field: "user" }),
    }
}

/// A target's field and value.
pub(super) fn target_field(target: &BanTarget) -> (&'static str, String) {
    let field = if matches!(target, BanTarget::User(_)) { "user" } else { "address" };
    (field, target.to_string())
}

fn seconds(fields: &mut BTreeMap<String, Value>, max: u64) -> Result<Option<u64>, RequestError> {
    number(fields, "seconds", "a whole number of seconds", max)
}

fn uses(fields: &mut BTreeMap<String, Value>) -> Result<u32, RequestError> {
    let uses = number(fields, "uses", "a whole number", MAX_USES.into())?;
    Ok(uses.and_then(|uses| uses.try_into().ok()).unwrap_or(1))
}

/// From 1 on.
fn number(
    fields: &mut BTreeMap<String, Value>,
    field: &'static str,
    wanted: &'static str,
    max: u64,
) -> Result<Option<u64>, RequestError> {
    match fields.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => match number.as_u64() {
            None => Err(RequestError::WrongType { field, wanted }),
            Some(found) if (1..=max).contains(&found) => Ok(Some(found)),
            Some(found) => Err(RequestError::OutOfRange { field, found, min: 1, max }),
        },
        Some(_) => Err(RequestError::WrongType { field, wanted }),
    }
}

/// An invitation's name, as the list of them shows it.
pub(crate) fn invite_id(text: &str) -> Option<String> {
    let id = text.to_ascii_lowercase();
    (id.len() == 10 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

fn level_field(fields: &mut BTreeMap<String, Value>) -> Result<Option<String>, RequestError> {
    let Some(level) = text(fields, "level")? else { return Ok(None) };
    level_checked(&level).map(Some).map_err(RequestError::Level)
}

/// A filter, in the notation of the setting log-level.
pub(crate) fn level_checked(notation: &str) -> Result<String, String> {
    let advice = "error, warn, info, debug or trace is wanted, alone or by part: info,p2pchat_core=debug";
    match logging::filter(notation) {
        Ok(_) => Ok(notation.to_owned()),
        Err(error) => Err(format!("{}: {advice}", shortened(&error.to_string()))),
    }
}

fn reason_field(
    fields: &mut BTreeMap<String, Value>,
    field: &'static str,
) -> Result<Option<Reason>, RequestError> {
    let invalid = |problem| RequestError::Invalid { field, problem };
    text(fields, field)?.map(|text| reason(&text).map_err(invalid)).transpose()
}

/// What a user may be told.
pub(crate) fn reason(text: &str) -> Result<Reason, Problem> {
    match text.chars().find(|c| c.is_control()) {
        _ if text.is_empty() => Err(Problem::Empty),
        Some(found) => Err(Problem::Forbidden { found }),
        None => Reason::new(text),
    }
}

/// Why a line is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// It doesn't end where it has to.
    #[error("the line is longer than {limit} bytes")]
    LineTooLong { limit: usize },
    /// It is no JSON object, or one with a field twice.
    #[error("no JSON object at byte {offset}: {problem}")]
    Json { offset: usize, problem: String },
    /// A field has to be there.
    #[error("the field {field} is missing")]
    Missing { field: &'static str },
    /// A verb that isn't one.
    #[error("there is no verb {found:?}; the verbs are {}", verbs())]
    UnknownVerb { found: String },
    /// A field that the verb doesn't have.
    #[error("{verb} has no field {field:?}; {}", fields_are(known))]
    UnknownField { field: String, verb: &'static str, known: &'static [&'static str] },
    /// A field of another type.
    #[error("the field {field} has to be {wanted}")]
    WrongType { field: &'static str, wanted: &'static str },
    /// A value that can't be.
    #[error("the field {field} {problem}")]
    Invalid { field: &'static str, problem: Problem },
    /// A network that can't be.
    #[error("the field address: {0}")]
    Subnet(SubnetError),
    /// No invitation is called so.
    #[error("the field id: {INVITE_ID}")]
    InviteId,
    /// A filter that can't be.
    #[error("the field level: {0}")]
    Level(String),
    /// A number past its bounds.
    #[error("the field {field} is {found}: it goes from {min} to {max}")]
    OutOfRange { field: &'static str, found: u64, min: u64, max: u64 },
    /// A path that hangs on where somebody is.
    #[error("the field {field} has to be a path from / on")]
    Relative { field: &'static str },
    /// One of two, not both.
    #[error("the field {field} goes without {other}: one of them, not both")]
    Both { field: &'static str, other: &'static str },
}

fn verbs() -> String {
    Request::VERBS.iter().map(|(verb, _)| *verb).collect::<Vec<_>>().join(", ")
}

fn fields_are(known: &[&str]) -> String {
    if known.is_empty() { "it has none but verb".into() } else { format!("it has {}", known.join(", ")) }
}

impl RequestError {
    /// As it is told: kind, message, and what it names.
    pub(crate) fn to_reply(&self) -> ErrorReply {
        let (kind, field, offset, limit) = match self {
            Self::LineTooLong { limit } => ("line-too-long", None, None, Some(*limit)),
            Self::Json { offset, .. } => ("not-json", None, Some(*offset), None),
            Self::Missing { field } => ("missing-field", Some(*field), None, None),
            Self::UnknownVerb { .. } => ("unknown-verb", Some("verb"), None, None),
            Self::UnknownField { field, .. } => ("unknown-field", Some(field.as_str()), None, None),
            Self::WrongType { field, .. } => ("wrong-type", Some(*field), None, None),
            Self::Level(_) => ("invalid", Some("level"), None, None),
            Self::Relative { field } => ("invalid", Some(*field), None, None),
            Self::Subnet(_) => ("invalid", Some("address"), None, None),
            Self::InviteId => ("invalid", Some("id"), None, None),
            Self::OutOfRange { field, found, min, max } => {
                let limit = if found < min { min } else { max };
                ("out-of-range", Some(*field), None, usize::try_from(*limit).ok())
            }
            Self::Both { field, .. } => ("one-too-many", Some(*field), None, None),
            Self::Invalid { field, problem } => {
                let limit = if let Problem::TooLong { limit, .. } = problem { Some(*limit) } else { None };
                ("invalid", Some(*field), None, limit)
            }
        };
        ErrorReply {
            kind: kind.into(),
            message: self.to_string(),
            field: field.map(Into::into),
            offset,
            limit,
        }
    }
}

/// How an error stands on the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorReply {
    /// Which one, for programs.
    pub(crate) kind: String,
    /// For people.
    pub(crate) message: String,
    /// The field that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// The byte of the line, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<usize>,
    /// What has been passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
}

impl ErrorReply {
    pub(crate) fn new(kind: &str, message: impl fmt::Display) -> Self {
        Self { kind: kind.into(), message: message.to_string(), field: None, offset: None, limit: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, RequestError> {
        Request::parse(line.as_bytes())
    }

    fn refused(line: &str) -> ErrorReply {
        parse(line).unwrap_err().to_reply()
    }

    #[test]
    fn each_verb_is_understood() {
        assert_eq!(parse(r#"{"verb":"status"}"#), Ok(Request::Status));
        assert_eq!(parse(r#" { "verb" : "sessions" } "#), Ok(Request::Sessions));
        assert_eq!(parse(r#"{"verb":"reload"}"#), Ok(Request::Reload));
        let user = Username::new("bob").unwrap();
        let kick = Request::Kick { user: user.clone(), reason: Some(Reason::new("enough").unwrap()) };
        assert_eq!(parse(r#"{"user":"bob","verb":"kick","reason":"enough"}"#), Ok(kick));
        let kick = Request::Kick { user, reason: None };
        assert_eq!(parse(r#"{"verb":"kick","user":"bob","reason":null}"#), Ok(kick.clone()));
        let delete = Request::Delete { user: Username::new("bob").unwrap() };
        assert_eq!(parse(r#"{"verb":"delete","user":"bob"}"#), Ok(delete));
        assert_eq!(parse(r#"{"verb":"kick","user":"bob"}"#), Ok(kick));
    }

    #[test]
    fn a_ban_is_of_a_user_or_of_a_network() {
        let target = BanTarget::Subnet("192.0.2.0/24".parse().unwrap());
        let ban = Request::Ban { target, reason: Some(Reason::new("spam").unwrap()), seconds: Some(60) };
        assert_eq!(parse(r#"{"verb":"ban","address":"192.0.2.0/24","reason":"spam","seconds":60}"#), Ok(ban));
        let target = BanTarget::User(Username::new("bob").unwrap());
        let ban = Request::Ban { target: target.clone(), reason: None, seconds: None };
        assert_eq!(parse(r#"{"verb":"ban","user":"bob"}"#), Ok(ban));
        assert_eq!(parse(r#"{"verb":"unban","user":"bob"}"#), Ok(Request::Unban { target }));
        for (line, kind, field, limit) in [
            (r#"{"verb":"ban"}"#, "missing-field", "user", None),
            (r#"{"verb":"ban","user":"bob","address":"192.0.2.1"}"#, "one-too-many", "address", None),
            (r#"{"verb":"ban","address":"192.0.2.1/24"}"#, "invalid", "address", None),
            (r#"{"verb":"ban","user":"bob","seconds":0}"#, "out-of-range", "seconds", Some(1)),
            (r#"{"verb":"ban","user":"bob","seconds":1e9}"#, "wrong-type", "seconds", None),
            (r#"{"verb":"ban","user":"bob","seconds":-1}"#, "wrong-type", "seconds", None),
            (
                r#"{"verb":"ban","user":"bob","seconds":3153600001}"#,
                "out-of-range",
                "seconds",
                Some(3_153_600_000),
            ),
        ] {
            let error = refused(line);
            assert_eq!(
                (error.kind.as_str(), error.field.as_deref(), error.limit),
                (kind, Some(field), limit),
                "{line}"
            );
        }
    }

    #[test]
    fn an_invitation_is_for_one_unless_said_otherwise_and_has_an_id() {
        let create = |uses, seconds| Ok(Request::CreateInvite { uses, seconds, note: None });
        assert_eq!(parse(r#"{"verb":"invite-create"}"#), create(1, None));
        assert_eq!(parse(r#"{"verb":"invite-create","uses":5,"seconds":60}"#), create(5, Some(60)));
        assert_eq!(parse(r#"{"verb":"invites"}"#), Ok(Request::Invites));
        let revoke = Request::RevokeInvite { id: "0123abcdef".into() };
        assert_eq!(parse(r#"{"verb":"invite-revoke","id":"0123ABCDEF"}"#), Ok(revoke));
        for (line, kind, field) in [
            (r#"{"verb":"invite-create","uses":0}"#, "out-of-range", "uses"),
            (r#"{"verb":"invite-create","uses":1000001}"#, "out-of-range", "uses"),
            (r#"{"verb":"invite-create","uses":"one"}"#, "wrong-type", "uses"),
            (r#"{"verb":"invite-create","note":"\u0007"}"#, "invalid", "note"),
            (r#"{"verb":"invite-revoke"}"#, "missing-field", "id"),
            (r#"{"verb":"invite-revoke","id":"0123"}"#, "invalid", "id"),
            (r#"{"verb":"invite-revoke","id":"0123abcdeg"}"#, "invalid", "id"),
        ] {
            let error = refused(line);
            assert_eq!(
                (error.kind.as_str(), error.field.as_deref()),
                (kind, Some(field)),
                "{line}: {error:?}"
            );
        }
    }

    #[test]
    fn a_copy_goes_to_a_file_that_is_named_in_full() {
        let file = PathBuf::from("/srv/backup.redb");
        assert_eq!(
            parse(r#"{"verb":"backup","file":"/srv/backup.redb"}"#),
            Ok(Request::Backup { file: file.clone() })
        );
        assert_eq!(parse(r#"{"verb":"export","file":"/srv/backup.redb"}"#), Ok(Request::Export { file }));
    }

    #[test]
    fn a_drain_ends_after_a_minute_or_what_was_said() {
        assert_eq!(parse(r#"{"verb":"drain"}"#), Ok(Request::Drain { seconds: 60 }));
        assert_eq!(parse(r#"{"verb":"drain","seconds":5}"#), Ok(Request::Drain { seconds: 5 }));
        assert_eq!(refused(r#"{"verb":"drain","seconds":604801}"#).limit, Some(604_800));
    }

    #[test]
    fn what_is_no_request_is_told_by_field_offset_and_limit() {
        let error = refused("{\"verb\":\"status\",}");
        assert_eq!((error.kind.as_str(), error.offset), ("not-json", Some(17)), "{error:?}");
        let error = refused("[]");
        assert_eq!((error.kind.as_str(), error.offset), ("not-json", Some(0)), "{error:?}");
        assert!(error.message.contains("expected an object"), "{error:?}");
        let error = refused(r#"{"verb":"status","verb":"kick"}"#);
        assert!(error.message.contains("\"verb\" is there twice"), "{error:?}");
        for (line, kind, field) in [
            ("{}", "missing-field", "verb"),
            (r#"{"verb":5}"#, "wrong-type", "verb"),
            (r#"{"verb":"kick"}"#, "missing-field", "user"),
            (r#"{"verb":"delete"}"#, "missing-field", "user"),
            (r#"{"verb":"status","user":"bob"}"#, "unknown-field", "user"),
            (r#"{"verb":"log-level","level":"loud"}"#, "invalid", "level"),
            (r#"{"verb":"kick","user":"b b"}"#, "invalid", "user"),
            (r#"{"verb":"kick","user":"bob","reason":"\u001b"}"#, "invalid", "reason"),
            (r#"{"verb":"kick","user":"bob","reason":""}"#, "invalid", "reason"),
            (r#"{"verb":"kik"}"#, "unknown-verb", "verb"),
            (r#"{"verb":"backup"}"#, "missing-field", "file"),
            (r#"{"verb":"backup","file":"backup.redb"}"#, "invalid", "file"),
            (r#"{"verb":"export","file":"/tmp/\u0000"}"#, "invalid", "file"),
        ] {
            let error = refused(line);
            assert_eq!(
                (error.kind.as_str(), error.field.as_deref()),
                (kind, Some(field)),
                "{line}: {error:?}"
            );
        }
        let long = format!(r#"{{"verb":"kick","user":"bob","reason":"{}"}}"#, "x".repeat(257));
        assert_eq!(refused(&long).limit, Some(256));
        let line = format!("{}{}", r#"{"verb":"status"}"#, " ".repeat(MAX_LINE));
        assert_eq!((refused(&line).kind.as_str(), refused(&line).limit), ("line-too-long", Some(MAX_LINE)));
    }
}
