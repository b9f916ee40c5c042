//! The state as a picture.

use std::num::NonZeroU16;

use p2pchat_core::proto::Username;
use ratatui::{
    Frame,
    buffer::{Buffer, CellDiffOption},
    layout::{Position, Rect},
    style::Style,
    text::{Line as Row, Span as Piece},
    widgets::{Block, Clear, Widget as _},
};

use super::{
    app::{App, Registry},
    chat::{Chat, Path, quoted},
    over::Over,
    talk::{self, Shown, text_width},
};
use crate::{output::Tone, sanitize, show, target::Target, text};

/// The least width at which there is a list of chats, and at which there is one of members too.
const WITH_LIST: u16 = 60;
const WITH_MEMBERS: u16 = 76;
/// How many rows may be typed into.
const INPUT_ROWS: usize = 5;

/// How long a link may be that the terminal is told of, in bytes; longer ones are opened by their numbers.
const LINKED: usize = 256;

/// What is where.
pub(super) struct Areas {
    pub(super) title: Rect,
    pub(super) list: Rect,
    pub(super) talk: Rect,
    pub(super) members: Rect,
    pub(super) request: Rect,
    pub(super) status: Rect,
    pub(super) input: Rect,
}

impl Areas {
    pub(super) fn of(app: &App) -> Self {
        let (width, height) = app.size;
        let (typed, _) = app.input.layout(usize::from(width.saturating_sub(2)).max(1));
        let input = u16::try_from(typed.len().min(INPUT_ROWS)).unwrap_or(1).min(height);
        let rest = height - input;
        let status = rest.min(1);
        let request = u16::from(!app.requests.is_empty()).min(rest - status);
        let title = u16::from(!app.bare).min(rest - status - request);
        let talk = rest - status - request - title;
        let list = if width < WITH_LIST || app.bare { 0 } else { app.config.screen.sidebar.min(width / 3) };
        let is_room = matches!(app.target(), Some(Target::Room(_)));
        let has_members = is_room && !app.bare && !app.hide_members && width >= WITH_MEMBERS;
        let members = if has_members { app.config.screen.members.min(width / 4) } else { 0 };
        let middle = width - list - members;
        Self {
            title: Rect::new(0, 0, width, title),
            list: Rect::new(0, title, list, talk),
            talk: Rect::new(list + u16::from(list > 0), title, middle - u16::from(list > 0), talk),
            members: Rect::new(list + middle, title, members, talk),
            request: Rect::new(0, title + talk, width, request),
            status: Rect::new(0, title + talk + request, width, status),
            input: Rect::new(0, height - input, width, input),
        }
    }
}

/// Draws everything. `links` is about OSC 8, which a picture for a test is better off without.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>, links: bool) {
    let areas = Areas::of(app);
    let buffer = frame.buffer_mut();
    if let Some(chat) = app.chat() {
        title(app, chat, areas.title, buffer);
        let rows = talk::rows(app, chat, areas.talk.width, areas.talk.height);
        // Next to where one types.
        let top = areas.talk.bottom().saturating_sub(u16::try_from(rows.len()).unwrap_or(u16::MAX));
        for (y, shown) in (top..).zip(rows) {
            let row = Rect { y, height: 1, ..areas.talk };
            if !row.intersects(buffer.area) {
                continue;
            }
            buffer.set_line(row.x, y, &shown.row, row.width);
            if links {
                anchor(&shown, row, buffer);
            }
        }
        if areas.members.width > 0 {
            members(app, chat, areas.members, buffer);
        }
    }
    if areas.list.width > 0 {
        list(app, areas.list, buffer);
    }
    if let Some((who, proven)) = app.requests.first() {
        request(app, who, *proven, areas.request, buffer);
    }
    status(app, areas.status, buffer);
    let caret = input(app, areas.input, buffer);
    let caret = match &app.over {
        Some(over) => overlay(app, over, frame),
        None => Some(caret),
    };
    if let Some(caret) = caret {
        frame.set_cursor_position(caret);
    }
}

/// Writes where there is something to write on, which a terminal of no size has not.
pub(super) fn put(buffer: &mut Buffer, at: (u16, u16), text: impl AsRef<str>, width: usize, style: Style) {
    if buffer.area.contains(at.into()) {
        buffer.set_stringn(at.0, at.1, text, width, style);
    }
}

/// Puts what makes links of them around cells.
fn anchor(shown: &Shown, row: Rect, buffer: &mut Buffer) {
    // Each cell has all of it, so that any of them can be drawn anew alone.
    for anchor in shown.anchors.iter().filter(|anchor| anchor.link.target().len() <= LINKED) {
        let before: usize = shown.row.spans.iter().take(anchor.piece).map(Piece::width).sum();
        let width = shown.row.spans.get(anchor.piece).map_or(0, Piece::width);
        let (open, close) = text::brackets(&anchor.link, anchor.id);
        let start = row.x.saturating_add(u16::try_from(before).unwrap_or(u16::MAX));
        let end = start.saturating_add(u16::try_from(width).unwrap_or(u16::MAX)).min(row.right());
        for x in start..end {
            if let Some(cell) = buffer.cell_mut((x, row.y)) {
                // A link's letters are ASCII, a cell each.
                let symbol = format!("{open}{}{close}", cell.symbol());
                cell.set_symbol(&symbol).set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
            }
        }
    }
}

fn title(app: &App, chat: &Chat, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let about = match &chat.target {
        None => "notes of the program; /help lists what you can do".to_owned(),
        Some(Target::User(_)) => path(&chat.path),
        Some(Target::Room(_)) => {
            let online = chat.members.values().filter(|online| **online).count();
            let out = if chat.open { "" } else { "you are not in this room; " };
            format!("{out}{online} online")
        }
    };
    let up = if chat.up > 0 { " ↑ further down is more" } else { "" };
    bar(app, area, &format!(" {}  {about}{up}", chat.name()), buffer);
}

fn bar(app: &App, area: Rect, text: &str, buffer: &mut Buffer) {
    buffer.set_style(area, app.theme.bar);
    put(buffer, (area.x, area.y), text, usize::from(area.width), app.theme.bar);
}

/// The state of the way to somebody.
fn path(path: &Path) -> String {
    match path {
        Path::Closed => "no chat is open: what you say waits until it is".to_owned(),
        Path::Connecting => "connecting …".to_owned(),
        Path::Direct { secured: true } => "direct, encrypted".to_owned(),
        Path::Direct { secured: false } => "direct, NOT ENCRYPTED".to_owned(),
        Path::Interrupted(why) => format!("interrupted ({why}); trying again"),
        Path::Unreachable(why) => format!("unreachable: {why}"),
    }
}

/// Chats with what is unread in them.
fn list(app: &App, area: Rect, buffer: &mut Buffer) {
    let height = usize::from(area.height);
    // The one in front of the user stays in sight.
    let first = (app.current + 1).saturating_sub(height);
    for (y, (at, chat)) in (area.top()..area.bottom()).zip(app.chats.iter().enumerate().skip(first)) {
        let count = match (chat.mentions, chat.unread) {
            (0, 0) => String::new(),
            (0, unread) => format!("{unread}"),
            (mentions, _) => format!("@{mentions}"),
        };
        let style = if at == app.current {
            app.theme.chosen
        } else if chat.mentions > 0 {
            app.theme.mention
        } else if chat.target.is_some() && !chat.open {
            app.theme.dim
        } else {
            Style::new()
        };
        let width = usize::from(area.width.saturating_sub(1));
        buffer.set_style(Rect { y, height: 1, ..area }, style);
        let room = width.saturating_sub(text_width(&count) + 1);
        put(buffer, (area.x, y), format!("{} {}", sign(chat), chat.name()), room, style);
        let x = area.right().saturating_sub(u16::try_from(text_width(&count) + 1).unwrap_or(1));
        put(buffer, (x, y), &count, width, style);
    }
}

/// The state of the way to somebody, or of one's membership, in one cell.
fn sign(chat: &Chat) -> &'static str {
    match (&chat.target, &chat.path) {
        (None, _) => " ",
        (Some(Target::Room(_)), _) if chat.open => "●",
        (Some(Target::Room(_)), _) | (_, Path::Closed) => "○",
        (_, Path::Direct { secured: true }) => "●",
        (_, Path::Direct { secured: false }) => "!",
        (_, Path::Connecting | Path::Interrupted(_)) => "…",
        (_, Path::Unreachable(_)) => "✗",
    }
}

/// Those who are online, then the others.
fn members(app: &App, chat: &Chat, area: Rect, buffer: &mut Buffer) {
    let online = |wanted: bool| chat.members.iter().filter(move |(_, online)| **online == wanted);
    let all: Vec<(&Username, &bool)> = online(true).chain(online(false)).collect();
    let height = usize::from(area.height);
    for (y, (who, online)) in (area.top()..area.bottom()).zip(&all) {
        let last = y + 1 == area.bottom() && all.len() > height;
        let (mark, style) = if **online { ("● ", app.theme.person(who)) } else { ("○ ", app.theme.dim) };
        let text = match last {
            true => format!("  and {} more", all.len() + 1 - height),
            false => format!("{mark}{}", show::name(*who)),
        };
        put(buffer, (area.x + 1, y), text, usize::from(area.width.saturating_sub(1)), style);
    }
}

fn request(app: &App, who: &str, proven: bool, area: Rect, buffer: &mut Buffer) {
    use super::keys::Deed;
    let (yes, no) = (app.keys.name(Deed::Accept), app.keys.name(Deed::Decline));
    let more = match app.requests.len() {
        1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    let (who, tone) = match proven {
        true => (who.to_owned(), Tone::Prompt),
        false => (format!("{who} (NOT PROVEN to be them)"), Tone::Error),
    };
    let text = format!(" {who} wants to chat{more}: {yes} accepts, {no} declines without a word");
    put(buffer, (area.x, area.y), text, usize::from(area.width), app.theme.tone(Some(tone)));
}

/// The registry's state, the other's, and what is unread elsewhere.
fn status(app: &App, area: Rect, buffer: &mut Buffer) {
    let (sign, link) = match &app.registry {
        Registry::Online => ("●", "online".to_owned()),
        Registry::Parked => ("◌", "online (parked)".to_owned()),
        Registry::Lost { since, why } => {
            ("○", format!("no registry since {}: {why}", talk::time(app, *since)))
        }
        Registry::LoggedOut(why) => ("○", format!("logged out: {why}")),
    };
    let mut parts = vec![format!("{sign} {} {link}", show::name(&app.me))];
    if let Some(chat) = app.chat() {
        if area.width < WITH_LIST {
            parts.push(format!("{}/{}", app.current + 1, app.chats.len()));
        } else if app.bare {
            parts.push(chat.name());
        }
        match app.waits(chat) {
            0 => {}
            1 => parts.push("1 message waits".to_owned()),
            waiting => parts.push(format!("{waiting} messages wait")),
        }
    }
    let elsewhere = |what: fn(&Chat) -> usize| -> usize {
        app.chats.iter().enumerate().filter(|(at, _)| *at != app.current).map(|(_, chat)| what(chat)).sum()
    };
    match (elsewhere(|chat| chat.mentions), elsewhere(|chat| chat.unread)) {
        (0, 0) => {}
        (0, unread) => parts.push(format!("{unread} unread")),
        (mentions, unread) => parts.push(format!("{unread} unread, {mentions} for you")),
    }
    if app.unheard {
        parts.push("keep-alives unanswered".to_owned());
    }
    if app.quiet {
        parts.push("do not disturb".to_owned());
    }
    bar(app, area, &format!(" {}", parts.join("  ")), buffer);
    if !matches!(app.registry, Registry::Online | Registry::Parked) {
        let width =
            u16::try_from(text_width(parts.first().map_or("", String::as_str)) + 2).unwrap_or(u16::MAX);
        let red = app.theme.tone(Some(Tone::Error));
        buffer.set_style(Rect { width: width.min(area.width), ..area }, red);
    }
}

/// What is being typed; where the caret is.
fn input(app: &App, area: Rect, buffer: &mut Buffer) -> Position {
    let width = usize::from(area.width.saturating_sub(2)).max(1);
    let (lines, (line, cell)) = app.input.layout(width);
    // The caret's row stays in sight.
    let first = (line + 1).saturating_sub(usize::from(area.height));
    for (y, (at, text)) in (area.top()..area.bottom()).zip(lines.iter().enumerate().skip(first)) {
        let mark = if at == 0 { "> " } else { "  " };
        put(buffer, (area.x, y), mark, 2, app.theme.tone(Some(Tone::Prompt)));
        put(buffer, (area.x + 2, y), text, width, Style::new());
    }
    let x = area.x + 2 + u16::try_from(cell).unwrap_or(0);
    let y = area.y + u16::try_from(line.saturating_sub(first)).unwrap_or(0);
    Position::new(x.min(area.right().saturating_sub(1)), y.min(area.bottom().saturating_sub(1)))
}

/// What stands in what lies over the conversation: its title, its rows, how many of them are further up, and what its keys do.
fn contents(app: &App, over: &Over, width: usize) -> (String, Vec<Row<'static>>, usize, &'static str) {
    let page = usize::from(app.size.1).saturating_sub(2).max(1);
    match over {
        Over::Text { title, lines, up, .. } => {
            let rows = lines.iter().flat_map(|said| {
                let style = app.theme.tone(said.tone);
                text::plain(&said.text, width).into_iter().map(move |row| Row::styled(row, style))
            });
            (title.clone(), rows.collect(), *up, "Esc closes")
        }
        Over::Hits { words, hits, chosen } => {
            let rows = hits.iter().enumerate().map(|(at, (_, target, entry))| {
                let from = entry.from.as_ref().map(show::name).unwrap_or_default();
                let when = talk::day_and_time(app, entry.at);
                let text = format!("{when} {} {from}: {}", target.shown(), quoted(&entry.text));
                Row::styled(text, if at == *chosen { app.theme.chosen } else { Style::new() })
            });
            let title = format!("{} with {}", hits.len(), sanitize::line(words));
            (title, rows.collect(), (chosen + 1).saturating_sub(page), "Enter goes there, Esc closes")
        }
        Over::Typed { prompt, typed, secret } => {
            let (shown, end) = match secret {
                true => ("•".repeat(typed.chars().count()), "Enter gives it, Esc doesn't"),
                false => (sanitize::line(typed), "Enter looks for them, Esc closes"),
            };
            (prompt.clone(), vec![Row::raw(shown)], 0, end)
        }
    }
}

/// How many rows that has.
pub(super) fn rows_of(app: &App, over: &Over) -> usize {
    contents(app, over, usize::from(app.size.0.saturating_sub(4)).max(1)).1.len()
}

/// What lies over the conversation; where the caret is, if something is typed there.
fn overlay(app: &App, over: &Over, frame: &mut Frame<'_>) -> Option<Position> {
    let (width, height) = app.size;
    let (title, rows, up, end) = contents(app, over, usize::from(width.saturating_sub(4)).max(1));
    let widths = rows.iter().map(Row::width).chain([text_width(&title), text_width(end)]);
    let wide = u16::try_from(widths.max().unwrap_or_default() + 4).unwrap_or(u16::MAX).max(24).min(width);
    let high = u16::try_from(rows.len() + 2).unwrap_or(u16::MAX).min(height);
    let area = Rect::new((width - wide) / 2, (height - high) / 2, wide, high);
    let buffer = frame.buffer_mut();
    Clear.render(area, buffer);
    let block = Block::bordered().title(format!(" {title} ")).title_bottom(format!(" {end} "));
    let inner = block.inner(area);
    block.render(area, buffer);
    for (y, row) in (inner.top()..inner.bottom()).zip(rows.iter().skip(up)) {
        buffer.set_line(inner.x + 1, y, row, inner.width.saturating_sub(1));
    }
    let is_typed = matches!(over, Over::Typed { .. });
    let typed = rows.first().map_or(0, Row::width);
    is_typed.then(|| {
        let x = (inner.x + 1).saturating_add(u16::try_from(typed).unwrap_or(u16::MAX));
        Position::new(x.min(inner.right().saturating_sub(1)), inner.y)
    })
}
