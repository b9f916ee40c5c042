//! A conversation as rows of the screen.

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use ratatui::{
    style::Style,
    text::{Line as Row, Span as Piece},
};

use super::{
    app::App,
    chat::{Chat, Line, What},
};
use crate::{
    archive::{Entry, EntryId, State},
    report::Said,
    sanitize, show,
    target::Target,
    text::{self, Block, Kind, Link, Marked, Span},
};

/// A piece of a row that is a link, where that leads, and which link of the conversation it is.
pub(super) struct Anchor {
    pub(super) piece: usize,
    pub(super) link: Link,
    pub(super) id: usize,
}

/// How much further in a message's other rows begin than its first.
const HANGING: usize = 2;

/// A row with what can be opened in it.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) row: Row<'static>,
    pub(super) anchors: Vec<Anchor>,
}

impl From<Row<'static>> for Shown {
    fn from(row: Row<'static>) -> Self {
        Self { row, anchors: Vec::new() }
    }
}

/// The rows of a chat that are in sight in so many rows, the last ones unless it is scrolled up.
pub(super) fn rows(app: &App, chat: &Chat, width: u16, height: u16) -> Vec<Shown> {
    let (mut below, mut seen) = (0, Vec::new());
    for at in (0..chat.lines.len()).rev() {
        let count = count(app, chat, at, width);
        if below + count > chat.up {
            let mut rows = line_rows(app, chat, at, width);
            rows.truncate((below + count).saturating_sub(chat.up));
            rows.reverse();
            seen.append(&mut rows);
        }
        below += count;
        if seen.len() >= usize::from(height) {
            break;
        }
    }
    seen.truncate(usize::from(height));
    seen.reverse();
    seen
}

/// How many rows a chat has.
pub(super) fn height(app: &App, chat: &Chat, width: u16) -> usize {
    (0..chat.lines.len()).map(|at| count(app, chat, at, width)).sum()
}

/// How many rows its last line has.
pub(super) fn last(app: &App, chat: &Chat, width: u16) -> usize {
    count(app, chat, chat.lines.len().saturating_sub(1), width)
}

/// How many rows are below an entry, if the chat has it.
pub(super) fn below(app: &App, chat: &Chat, width: u16, id: EntryId) -> Option<usize> {
    let at = chat.lines.iter().position(|line| line.id == Some(id))?;
    Some((at + 1..chat.lines.len()).map(|at| count(app, chat, at, width)).sum())
}

/// How many rows a line has. What it takes to know is done once for a width.
fn count(app: &App, chat: &Chat, at: usize, width: u16) -> usize {
    let Some(line) = chat.lines.get(at) else { return 0 };
    let own = match line.rows.get() {
        Some((counted, bare, rows)) if (counted, bare) == (width, app.bare) => rows,
        _ => {
            let rows = own_rows(app, chat, line, width).len();
            line.rows.set(Some((width, app.bare, rows)));
            rows
        }
    };
    own + usize::from(begins_day(app, chat, at)) + usize::from(begins_new(chat, at))
}

/// True if a line is the first of a day.
fn begins_day(app: &App, chat: &Chat, at: usize) -> bool {
    let day = |at: usize| {
        let at = i64::try_from(chat.lines.get(at)?.at).ok()?;
        Some(Timestamp::from_millisecond(at).ok()?.to_zoned_datetime(app.zone.clone()).date())
    };
    !app.bare && (at == 0 || day(at) != day(at - 1))
}

/// True if a line is the first of those that weren't read when the chat was last looked at.
fn begins_new(chat: &Chat, at: usize) -> bool {
    let is_new = |line: &Line| line.id.zip(chat.divider).is_some_and(|(id, divider)| id > divider);
    let before = at.checked_sub(1).and_then(|at| chat.lines.get(at));
    chat.lines.get(at).is_some_and(is_new)
        && !before.is_some_and(|before| before.id.is_none() || is_new(before))
}

/// A line's rows, with what stands before it: the day, where it is another than the line's before, and where the new ones begin.
fn line_rows(app: &App, chat: &Chat, at: usize, width: u16) -> Vec<Shown> {
    let Some(line) = chat.lines.get(at) else { return Vec::new() };
    let mut rows = Vec::new();
    if begins_day(app, chat, at) {
        let day = strtime_or_nothing("%A, %-d %B %Y", line.at, &app.zone);
        rows.push(ruler(app, &day, app.theme.dim, width));
    }
    if begins_new(chat, at) {
        rows.push(ruler(app, "new", app.theme.mention, width));
    }
    rows.extend(own_rows(app, chat, line, width));
    rows
}

fn own_rows(app: &App, chat: &Chat, line: &Line, width: u16) -> Vec<Shown> {
    match &line.what {
        What::Said { entry, marked } => said(app, entry, marked, width, is_mentioned(app, chat, entry)),
        What::Note(note) => self::note(app, line.at, note, width),
    }
}

fn is_mentioned(app: &App, chat: &Chat, entry: &Entry) -> bool {
    matches!(chat.target, Some(Target::Room(_))) && !entry.own && app.is_mention(&entry.text)
}

fn said(app: &App, entry: &Entry, marked: &Marked, width: u16, mention: bool) -> Vec<Shown> {
    let Some(from) = &entry.from else {
        return note(app, entry.at, &Said::from(sanitize::block(&entry.text)), width);
    };
    let head = if app.bare { String::new() } else { format!("{} ", time(app, entry.at)) };
    let mark = if app.bare { "" } else { mark(entry) };
    let indent = text_width(&head) + text_width(mark);
    let room = usize::from(width).saturating_sub(indent + HANGING).max(1);
    let mut blocks = marked.blocks.clone();
    let label = Span { text: format!("{}: ", show::name(from)), style: text::Style::default(), link: None };
    match blocks.first_mut() {
        Some(first) if first.kind == Kind::Paragraph => first.spans.insert(0, label),
        // What has a form of its own begins below the name.
        _ => blocks.insert(0, Block { kind: Kind::Paragraph, marker: String::new(), spans: vec![label] }),
    }
    let person = if mention { app.theme.mention } else { app.theme.person(from) };
    let mut rows = Vec::new();
    for (at, block) in text::wrap(&blocks, room).iter().enumerate() {
        let mut row = text::line(block);
        let offset = usize::from(!block.marker.is_empty());
        let mut anchors = Vec::new();
        for (piece, span) in block.spans.iter().enumerate() {
            if let Some((number, link)) = span.link.and_then(|at| Some((at, marked.links.get(at)?))) {
                if let Some(shown) = row.spans.get_mut(piece + offset) {
                    shown.style = shown.style.patch(app.theme.link);
                }
                let id = usize::try_from(entry.at % 1_000_000).unwrap_or_default() * 64 + number;
                anchors.push(Anchor { piece: piece + offset + 2, link: link.clone(), id });
            }
        }
        if let Some(first) = row.spans.first_mut().filter(|_| at == 0) {
            first.style = first.style.patch(person);
        }
        let (head, mark) = if at == 0 { (head.clone(), mark) } else { (String::new(), "") };
        // Nobody can write a row that seems to begin with somebody's name.
        let hanging = if at == 0 { 0 } else { HANGING };
        let gap = indent + hanging - text_width(&head) - text_width(mark);
        row.spans.insert(0, Piece::styled(format!("{mark}{}", " ".repeat(gap)), mark_style(app, entry)));
        row.spans.insert(0, Piece::styled(head, app.theme.dim));
        rows.push(Shown { row, anchors });
    }
    if let State::Failed(why) = &entry.state {
        rows.extend(note(
            app,
            entry.at,
            &Said::new(crate::output::Tone::Error, format!("not sent: {why}")),
            width,
        ));
    }
    rows
}

/// What the program says, behind the time.
fn note(app: &App, at: u64, note: &Said, width: u16) -> Vec<Shown> {
    let head = if app.bare { String::new() } else { format!("{} ", time(app, at)) };
    let indent = text_width(&head) + if app.bare { 0 } else { 2 };
    let room = usize::from(width).saturating_sub(indent).max(1);
    let style = app.theme.tone(note.tone);
    let mut rows: Vec<Shown> = Vec::new();
    for text in text::plain(&note.text, room) {
        let head = if rows.is_empty() { head.clone() } else { String::new() };
        let gap = " ".repeat(indent - text_width(&head));
        let row = vec![Piece::styled(head, app.theme.dim), Piece::raw(gap), Piece::styled(text, style)];
        rows.push(Row::from(row).into());
    }
    rows
}

fn ruler(app: &App, what: &str, style: Style, width: u16) -> Shown {
    if app.bare {
        return Row::default().into();
    }
    let text = format!(" {what} ");
    let rest = usize::from(width).saturating_sub(text_width(&text) + 2);
    Row::styled(format!("──{text}{}", "─".repeat(rest)), style).into()
}

/// What has become of a message, in one cell and a blank.
fn mark(entry: &Entry) -> &'static str {
    match &entry.state {
        _ if !entry.own && !entry.secured => "! ",
        _ if !entry.own && entry.late => "~ ",
        State::Received => "  ",
        State::Waiting => "… ",
        State::Sending => "→ ",
        State::Delivered if !entry.receivers.is_empty() && missing(entry) => "◐ ",
        State::Delivered => "✓ ",
        State::Failed(_) => "✗ ",
        State::Unsure => "? ",
    }
}

fn missing(entry: &Entry) -> bool {
    entry.receivers.iter().any(|(_, state)| *state != State::Delivered)
}

fn mark_style(app: &App, entry: &Entry) -> Style {
    use crate::output::Tone;
    app.theme.tone(Some(match &entry.state {
        State::Received if entry.secured => return app.theme.dim,
        State::Delivered => Tone::Success,
        State::Failed(_) => Tone::Error,
        _ => Tone::Notice,
    }))
}

pub(super) fn day_and_time(app: &App, at: u64) -> String {
    strtime_or_nothing("%Y-%m-%d %H:%M", at, &app.zone)
}

pub(super) fn time(app: &App, at: u64) -> String {
    strtime_or_nothing(&app.config.screen.time, at, &app.zone)
}

fn strtime_or_nothing(format: &str, at: u64, zone: &TimeZone) -> String {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.and_then(|at| strtime::format(format, &at.to_zoned_datetime(zone.clone())).ok()).unwrap_or_default()
}

pub(super) fn text_width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}
