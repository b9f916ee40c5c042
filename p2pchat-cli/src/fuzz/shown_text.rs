//! What others say, as it is shown in the line mode and on the screen.

use std::{net::Ipv4Addr, time::Duration};

use p2pchat_core::{
    peer::{Event, RequestError},
    proto::{
        BanRecord, Capabilities, Capacity, Description, Found, PeerRecord, Reason, RoomChange, RoomName,
        RoomRecord, Text, Username,
    },
    tokio::Error,
};
use ratatui::{
    buffer::{Buffer, CellWidth},
    layout::Rect,
};
use unicode_segmentation::UnicodeSegmentation;

use super::terminal;
use crate::{
    exit::Failure,
    output::{Paint, Tone},
    show,
    text::{self, Kind},
};

/// More than this is of no other kind, and takes a terminal long.
const MAX_BYTES: usize = 512;

/// The first byte is the width of the screen, the rest what somebody says: as a message, name, description and reason, no
/// byte of it moves the cursor, changes a title, writes the clipboard, or has an effect on what stands above and below; and
/// the screen's rows are no wider than it is.
pub fn shown_text(data: &[u8]) {
    let Some((&width, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data.get(..MAX_BYTES).unwrap_or(data));
    let width = u16::from(width).clamp(1, 200);
    for paint in [Paint::forced(true), Paint::forced(false)] {
        for line in lines(&text, paint) {
            // As wide as few messages are, and so narrow that all are wrapped; a wide character has room.
            for columns in [500, width.max(2)] {
                if let Err(what) = terminal::show(&line, columns) {
                    panic!("{what}, of {text:?}");
                }
            }
        }
    }
    on_screen(&text, width);
}

/// All lines that somebody else's `text` may come into.
fn lines(text: &str, paint: Paint) -> Vec<String> {
    let mut lines = vec![text::message("bob:", text, paint)];
    lines.extend(events(text).iter().filter_map(|event| show::event(event, paint)));
    let failures = [
        Failure::from(RequestError::Refused(Some(text.to_owned()))),
        Failure::from(Error::Request(RequestError::Rejected(Some(text.to_owned())))),
    ];
    lines.extend(failures.iter().map(|failure| paint.paint(Tone::Error, &failure.to_string())));
    lines.extend(tables(text));
    lines
}

fn events(text: &str) -> Vec<Event> {
    let reason = text.to_owned();
    let den = RoomName::new("den").expect("a name");
    let bob = Username::new("bob").expect("a name");
    let mut events = vec![
        Event::Disconnected { reason: reason.clone(), retry_in: Duration::from_secs(1) },
        Event::LoggedOut { reason: reason.clone(), replaced: false },
        Event::ChatClosed { with: Some(bob.clone()), reason: reason.clone() },
        Event::ChatInterrupted { with: bob.clone(), reason: reason.clone() },
        Event::Fault { culprit: reason.clone(), what: reason },
        Event::PutOut {
            room: den.clone(),
            username: bob.clone(),
            by: bob.clone(),
            reason: Some(Reason::truncated(text)),
            banned: true,
        },
        Event::RoomChanged {
            room: den,
            by: bob.clone(),
            change: RoomChange::Description(Description::truncated(text)),
        },
    ];
    // Not every text is a name; of those that are none, none comes this far.
    if let Ok(room) = RoomName::new(text) {
        events.push(Event::RoomEntered { room: room.clone(), members: vec![bob.clone()] });
        events.push(Event::MemberOnline { room, username: bob });
    }
    if let (Ok(with), Ok(text)) = (Username::new(text), Text::new(text)) {
        events.push(Event::ChatResumed { with: with.clone() });
        events.push(Event::Arrived { with, room: None, id: 0, text });
    }
    events
}

fn tables(text: &str) -> Vec<String> {
    let bob = Username::new("bob").expect("a name");
    let username = Username::new(text).unwrap_or_else(|_| bob.clone());
    let room = RoomName::new(text).ok();
    let ip = Ipv4Addr::LOCALHOST.into();
    let mut lines = show::bans(&[
        BanRecord { username: username.clone(), reason: Reason::truncated(text) },
        BanRecord { username: bob, reason: Reason::default() },
    ]);
    lines.extend(show::peers(&[PeerRecord {
        username: username.clone(),
        room: room.clone(),
        port: 1_024,
        ip,
    }]));
    if let Some(name) = room {
        lines.extend(show::rooms(&[RoomRecord {
            name,
            description: Description::truncated(text),
            members: 1,
            capacity: Capacity::new(5).expect("a capacity"),
        }]));
    }
    lines.push(show::names(&[username]));
    let found = Found { username: None, port: 1_024, ip, capabilities: Capabilities::default(), key: None };
    lines.push(show::found(text, &found));
    lines
}

/// Rows hold what they are to hold and no more, and nothing but what has a place in a cell.
fn on_screen(text: &str, width: u16) {
    let marked = text::parse(text);
    for link in &marked.links {
        assert!(link.target().bytes().all(|byte| byte.is_ascii_graphic()), "{link:?}");
    }
    for block in text::wrap(&marked.blocks, width.into()) {
        let spans = block.spans.iter().map(|span| span.text.as_str());
        let row: String = std::iter::once(block.marker.as_str()).chain(spans).collect();
        assert!(!row.contains(char::is_control), "{row:?}");
        assert!(block.spans.iter().all(|span| span.link.is_none_or(|link| link < marked.links.len())));
        assert!(block.kind != Kind::Code || block.spans.iter().all(|span| span.style.code));
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        buffer.set_line(0, 0, &text::line(&block), width);
        let mut drawn = String::new();
        let mut skip = 0;
        for cell in &buffer.content {
            if skip == 0 {
                drawn.push_str(cell.symbol());
                skip = cell.symbol().cell_width();
            }
            skip = skip.saturating_sub(1);
        }
        // What has no width has no cell.
        let shown: String = row.graphemes(true).filter(|cluster| cluster.cell_width() > 0).collect();
        assert_eq!(drawn.trim_end(), shown.trim_end(), "in {width} cells");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::tests::pieces;

    fn shown(text: &str, width: u8) {
        shown_text(&[&[width], text.as_bytes()].concat());
    }

    /// SECURITY.md, "What arrives is hostile".
    #[test]
    fn hostile_rule_known_attacks_on_terminals_are_harmless() {
        for text in [
            "\u{1b}]0;title\u{7}\u{1b}]2;title\u{1b}\\\u{9d}2;title\u{9c}",
            "\u{1b}]52;c;aGFyaw==\u{7}\u{1b}]52;c;?\u{7}",
            "\u{1b}]8;;https://evil.example/\u{1b}\\https://bank.example/\u{1b}]8;;\u{1b}\\",
            "https://bank.example/\u{1b}\\\u{1b}]0;title\u{7}",
            "https://bank.example/;\u{9c}\u{1b}[2J *\u{1b}[31m* `\u{1b}[0m`",
            "\u{1b}[2J\u{1b}[1;1H\u{1b}[31m\u{1b}[?1049h\u{1b}[?25l\u{1b}c\u{1b}7\u{1b}8\u{1b}#8",
            "\u{1b}[8;1;1t\u{1b}[5n\u{1b}[c\u{1b}P$q\u{1b}\\\u{1b}_x\u{1b}\\\u{1b}^x\u{1b}\\\u{1b}X\u{1b}\\",
            "\u{9b}2J\u{8d}\u{84}\u{85}\u{90}\u{9f}",
            "a\rb\u{8}c\u{b}d\u{c}e\u{7f}f\0g\u{e}h\u{f}",
            "\u{1b}",
            "*\u{1b}[",
            "\r\n\u{1b}[A\u{1b}[2K\nalice: I agree",
            "\u{202e}gnp.exe \u{2066}\u{200b}\u{feff}\u{e0041}",
            "\u{335}\u{335}z\u{335}\u{1161}\u{1161}",
        ] {
            for width in [1, 2, 3, 10, 40, 200] {
                shown(text, width);
                shown(&format!("> *{text}* `{text}`"), width);
                shown(&format!("```\n{text}\n```"), width);
            }
        }
    }

    proptest! {
        #[test]
        fn hostile_rule_no_text_has_an_effect_beyond_its_rows(text in pieces(), width in 1..=200_u8) {
            shown(&text, width);
        }

        #[test]
        fn hostile_rule_no_bytes_have_an_effect_beyond_their_rows(data in prop::collection::vec(any::<u8>(), 0..200)) {
            shown_text(&data);
        }

        #[test]
        fn hostile_rule_no_controls_have_an_effect_beyond_their_rows(
            text in "([\\x00-\\x1f\\x7f-\\x9f]|\x1b[\\[\\]PX^_()#c78]|[0-9;?]{1,3}|[A-Zmhlnt\\\\]|\\PC|[*_~` >\n]){0,60}",
            width in 1..=200_u8,
        ) {
            shown(&text, width);
        }

        #[test]
        fn the_sanitiser_holds_its_rules(text in pieces(), data in prop::collection::vec(any::<u8>(), 0..200)) {
            super::super::sanitize(text.as_bytes());
            super::super::sanitize(&data);
        }
    }
}
