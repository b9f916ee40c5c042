//! A terminal that tells what must not happen to it.

use std::num::NonZeroU16;

use unicode_width::UnicodeWidthChar;
use vt100::{Callbacks, Color, Parser, Screen};

/// What stands on the screen before.
const ABOVE: u16 = 3;

/// Shows `text` below some other rows of a terminal with `columns`, as the line mode does.
///
/// # Errors
///
/// Says what is wrong if the text does anything but stand on rows of its own: if the terminal is told something else than
/// styles and links of ours, if a line's style or link goes on after it, or if the cursor isn't below the last row at the
/// end.
pub(super) fn show(text: &str, columns: u16) -> Result<(), String> {
    let lines: Vec<&str> = text.split('\n').collect();
    // Too many rather than too few: escape sequences have no width, but a selector may widen what is before it, and a wide
    // character may leave a cell empty at a row's end.
    let cells = |line: &str| line.chars().map(|c| c.width().unwrap_or(1).max(1)).sum::<usize>();
    let rows = lines.iter().map(|line| 1 + 2 * cells(line) / usize::from(columns)).sum::<usize>();
    let rows = u16::try_from(rows).map_err(|_| format!("{rows} rows"))?.saturating_add(ABOVE + 1);
    let size = NonZeroU16::new(rows).zip(NonZeroU16::new(columns)).ok_or("a terminal without cells")?;
    let mut terminal = Parser::new_with_callbacks(size.0, size.1, 0, Alarms::default());
    for _ in 0..ABOVE {
        terminal.process("\u{1b}[31m=\u{1b}[m\r\n".as_bytes());
    }
    let above =
        |screen: &Screen| -> Vec<String> { screen.rows_formatted(0, columns).take(ABOVE.into()).collect() };
    let before = above(terminal.screen());
    for line in lines {
        let (row, _) = terminal.screen().cursor_position();
        terminal.process(line.as_bytes());
        let (now, _) = terminal.screen().cursor_position();
        if now < row || (now > row && cells(line) < columns.into()) {
            return Err(format!("the cursor goes from row {row} to row {now} by {line:?}"));
        }
        if let Some(alarm) = terminal.callbacks().0.first() {
            return Err(format!("{alarm} by {line:?}"));
        }
        if terminal.callbacks().1 {
            return Err(format!("a link goes on after {line:?}"));
        }
        let screen = terminal.screen();
        let is_plain = (screen.fgcolor(), screen.bgcolor()) == (Color::Default, Color::Default)
            && !(screen.bold() || screen.dim() || screen.italic() || screen.underline() || screen.inverse());
        if !is_plain {
            return Err(format!("a style goes on after {line:?}"));
        }
        terminal.process(b"\r\n");
    }
    let screen = terminal.screen();
    let (row, column) = screen.cursor_position();
    if column != 0 || screen.alternate_screen() || screen.hide_cursor() || screen.bracketed_paste() {
        return Err(format!("the terminal is another after {text:?}"));
    }
    if above(screen) != before {
        return Err(format!("rows above are changed by {text:?}"));
    }
    let below = screen.rows(0, columns).skip(row.into()).find(|row| !row.is_empty());
    below.map_or(Ok(()), |row| Err(format!("{row:?} stands below the cursor after {text:?}")))
}

/// What happened that must not, and whether a link is open.
#[derive(Debug, Default)]
struct Alarms(Vec<String>, bool);

impl Alarms {
    fn ring(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }
}

impl Callbacks for Alarms {
    fn audible_bell(&mut self, _: &mut Screen) {
        self.ring("a bell");
    }

    fn visual_bell(&mut self, _: &mut Screen) {
        self.ring("a visual bell");
    }

    fn resize(&mut self, _: &mut Screen, _: (u16, u16)) {
        self.ring("another size");
    }

    fn set_window_icon_name(&mut self, _: &mut Screen, _: &[u8]) {
        self.ring("an icon's name");
    }

    fn set_window_title(&mut self, _: &mut Screen, _: &[u8]) {
        self.ring("a title");
    }

    fn copy_to_clipboard(&mut self, _: &mut Screen, _: &[u8], _: &[u8]) {
        self.ring("something in the clipboard");
    }

    fn paste_from_clipboard(&mut self, _: &mut Screen, _: &[u8]) {
        self.ring("the clipboard read");
    }

    fn unhandled_char(&mut self, _: &mut Screen, c: char) {
        // It stands for broken UTF-8 here, and can be sent.
        if c != char::REPLACEMENT_CHARACTER {
            self.ring(format!("{c:?}"));
        }
    }

    fn unhandled_control(&mut self, _: &mut Screen, byte: u8) {
        self.ring(format!("control {byte:#x}"));
    }

    fn unhandled_escape(&mut self, _: &mut Screen, _: Option<u8>, _: Option<u8>, byte: u8) {
        // The second byte of what ends a link's sequence.
        if byte != b'\\' {
            self.ring(format!("escape sequence {byte:#x}"));
        }
    }

    fn unhandled_csi(&mut self, _: &mut Screen, _: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        // Struck out, which this terminal can't.
        if (params, c) != (&[&[9]], 'm') {
            self.ring(format!("control sequence {params:?} {c}"));
        }
    }

    fn unhandled_osc(&mut self, _: &mut Screen, params: &[&[u8]]) {
        match params {
            [b"8", b"", b""] if self.1 => self.1 = false,
            [b"8", id, target @ ..] if !self.1 && is_ours(id, target) => self.1 = true,
            _ => self.ring(format!("a command {params:?}")),
        }
    }
}

/// A link that this program may write; a target with semicolons comes in parts.
fn is_ours(id: &[u8], target: &[&[u8]]) -> bool {
    let target = target.join(&b';').to_ascii_lowercase();
    let schemes: [&[u8]; 3] = [b"http://", b"https://", b"mailto:"];
    id.starts_with(b"id=")
        && schemes.iter().any(|scheme| target.starts_with(scheme))
        && target.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_happen_is_noticed() {
        for text in [
            "\u{1b}[2J",
            "\u{1b}[1A",
            "\u{1b}[1Ax\r\n",
            "\u{1b}[H",
            "\u{1b}7\u{1b}[1;1Hx\u{1b}8",
            "\u{1b}[31mred",
            "\u{1b}[1mbold\nnext\u{1b}[m",
            "\u{1b}[4m",
            "\u{1b}]0;title\u{7}",
            "\u{1b}]2;title\u{1b}\\",
            "\u{1b}]52;c;aGFyaw==\u{7}",
            "\u{1b}]52;c;?\u{7}",
            "\u{1b}]9;notice\u{7}",
            "\u{1b}]8;;file:///x\u{1b}\\x\u{1b}]8;;\u{1b}\\",
            "\u{1b}]8;id=0;https://example.org\u{1b}\\x",
            "\u{1b}]8;id=0;https://example.org\u{1b}\\x\n\u{1b}]8;;\u{1b}\\",
            "\u{1b}[?1049h",
            "\u{1b}[?25l",
            "\u{1b}P+q\u{1b}\\\u{1b}[5n",
            "\u{7}",
            "\u{1b}c",
            "a\u{c}b",
        ] {
            show(text, 80).expect_err(text);
        }
    }

    #[test]
    fn what_this_program_writes_is_let_pass() {
        for text in [
            "",
            "one\ntwo",
            "\u{1b}[1m\u{1b}[9mso\u{1b}[0m\n漢字e\u{301}",
            "👩\u{200d}🚀 ❤\u{fe0f}\u{200d}🔥 🏳\u{fe0f}\u{200d}🌈",
            "\u{1b}]8;id=0;https://example.org/;a;b\u{1b}\\\u{1b}[4mhttps://example.org\u{1b}[0m\u{1b}]8;;\u{1b}\\.",
        ] {
            for columns in [2, 7, 10, 12, 200] {
                assert_eq!(show(text, columns), Ok(()));
            }
        }
    }
}
