//! `p2pchat history`: what was said, out of the archive.

use std::{
    fmt,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    archive::{Archive, ArchiveError, Entry, Found, Limits, State, Words},
    args::{Address, Global, History},
    exit::{Exit, Failure},
    json::{self, Kept},
    keys,
    oneshot::{print, print_json},
    output::Paint,
    private, sanitize, session, show,
    target::Target,
    text,
};

pub(crate) fn run(global: &Global, registry: &Address, user: &str, which: &History) -> Result<(), Failure> {
    let target = target(which)?;
    let path = Archive::path(&session::data_dir(global)?, registry, &keys::name(user)?);
    if !path.try_exists().unwrap_or(true) {
        return Err(Failure::new(Exit::Failed, "there is no history of that account on this machine"));
    }
    if which.forget {
        return forget(path, target.as_ref());
    }
    let archive = Archive::look(path)?;
    let words = which.search.as_deref().map(Words::new);
    let is_meant = |entry: &Entry| {
        which.since.is_none_or(|since| entry.at >= since)
            && which.before.is_none_or(|before| entry.at < before)
            && words.as_ref().is_none_or(|words| words.are_in(&entry.text))
    };
    // What can't be read is told too.
    let meant = archive
        .entries(target.as_ref(), None)?
        .filter(|found| found.as_ref().map_or(true, |(_, _, entry)| is_meant(entry)));

    let paint = Paint::for_stream(global.color, &io::stdout());
    let zone = TimeZone::system();
    let write = |found: Result<Found, ArchiveError>| {
        let (id, chat, entry) = found?;
        match which.json {
            true => print_json(&Kept::new(id, &chat, &entry)),
            false => {
                let chat = target.is_none().then_some(&chat);
                print(&text::message(&label(chat, &entry, &zone), &entry.text, paint))
            }
        }
    };
    match which.last {
        None => meant.into_iter().try_for_each(write),
        Some(count) => {
            let mut last: Vec<_> = meant.rev().take(count).collect();
            last.reverse();
            last.into_iter().try_for_each(write)
        }
    }
}

/// Writes what was said in a chat to a new file, as `p2pchat history` prints it; how many messages that were.
pub(crate) fn export(
    archive: &Archive,
    target: &Target,
    as_json: bool,
    path: &Path,
) -> Result<usize, Failure> {
    let failed = |error: &dyn fmt::Display| {
        let shown = sanitize::line(&path.display().to_string());
        Failure::new(Exit::Failed, format!("can't write {shown}: {error}"))
    };
    let (zone, mut count) = (TimeZone::system(), 0);
    let file = private::create_new(path).map_err(|error| failed(&error))?;
    let mut file = io::BufWriter::new(file);
    for found in archive.entries(Some(target), None)? {
        let (id, chat, entry) = found?;
        let line = match as_json {
            true => json::line(&Kept::new(id, &chat, &entry)).map_err(|error| failed(&error))?,
            false => text::message(&label(None, &entry, &zone), &entry.text, Paint::none()),
        };
        writeln!(file, "{line}").map_err(|error| failed(&error))?;
        count += 1;
    }
    file.flush().map_err(|error| failed(&error))?;
    Ok(count)
}

fn target(which: &History) -> Result<Option<Target>, Failure> {
    match (&which.with, &which.room) {
        (Some(user), _) => keys::name(user).map(|user| Some(Target::User(user))),
        (None, Some(room)) => match Target::parse(&format!("#{room}")) {
            Ok(room) => Ok(Some(room)),
            Err(problem) => Err(Failure::new(Exit::Usage, problem)),
        },
        (None, None) => Ok(None),
    }
}

/// What was said, what was about to be, and what else is remembered of it.
fn forget(path: PathBuf, target: Option<&Target>) -> Result<(), Failure> {
    // Nothing else is to go.
    let archive = Archive::open(path, Limits { age: None, bytes: u64::MAX })?;
    match target {
        Some(target) => archive.forget_chat(target)?,
        None => archive.forget_chats()?,
    }
    let count = archive.erase(target)?;
    // Before anything is printed: whoever reads that may take long, and a client may wait for the file.
    drop(archive);
    let messages = match count {
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    };
    print(&format!("{messages} forgotten"))
}

/// What stands before the text: when, where if that isn't known already, who, and what is to be known besides.
fn label(chat: Option<&Target>, entry: &Entry, zone: &TimeZone) -> String {
    let when = i64::try_from(entry.at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    let when = when.map_or_else(
        || "????-??-?? ??:??".to_owned(),
        |when| when.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
    );
    let chat = chat.map(|chat| format!("[{}] ", chat.shown())).unwrap_or_default();
    let Some(from) = &entry.from else { return format!("{when} {chat}*") };
    let late = if entry.late { " (late)" } else { "" };
    let clear = if entry.secured { "" } else { " (not encrypted)" };
    let fate = match &entry.state {
        State::Received | State::Delivered => String::new(),
        State::Waiting | State::Sending => " (not sent yet)".to_owned(),
        State::Failed(why) => format!(" (not delivered: {})", sanitize::line(why)),
        State::Unsure => " (may not have arrived)".to_owned(),
    };
    format!("{when} {chat}<{}>{clear}{late}{fate}", show::name(from))
}
