//! The terminal: taken at the start, and given back as it was however the program ends.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, BufWriter, Stdout, Write as _},
    sync::Once,
};

use crossterm::{
    event::{
        DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
        EnableFocusChange, EnableMouseCapture, Event, EventStream,
    },
    execute, queue,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use futures_util::StreamExt as _;
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    buffer::Buffer,
    layout::{Position, Rect},
};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    config::NotifyBy,
    exit::{Exit, Failure},
    sanitize,
};

/// Standard output alone writes at most a kilobyte at once, and half a drawing would be seen.
const DRAWING: usize = 64 << 10;

pub(super) struct Term {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    events: EventStream,
    /// What stood where, of letters that are made of several.
    composed: u64,
}

impl Term {
    pub(super) fn enter(mouse: bool) -> Result<Self, Failure> {
        give_back_on_panic();
        let failed =
            |error: io::Error| Failure::new(Exit::Failed, format!("can't use this terminal: {error}"));
        enable_raw_mode().map_err(failed)?;
        let mut out = io::stdout();
        let entered = execute!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)
            .and_then(|()| if mouse { execute!(out, EnableMouseCapture) } else { Ok(()) })
            .and_then(|()| Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(DRAWING, out))));
        match entered {
            Ok(terminal) => Ok(Self { terminal, events: EventStream::new(), composed: 0 }),
            Err(error) => {
                give_back();
                Err(failed(error))
            }
        }
    }

    /// What is typed, pasted, or else happens to the terminal; `None` if it is gone.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.next().await?.ok()
    }

    pub(super) fn draw(&mut self, mut draw: impl FnMut(&mut Frame<'_>)) -> Result<(), Failure> {
        let mut drawn = || -> io::Result<()> {
            // Terminals that know how show all of it at once; others pass over that.
            queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
            let composed = composed(self.terminal.draw(&mut draw)?.buffer);
            if composed != self.composed {
                // Terminals differ in how many cells such letters have, and leave something of them where others were.
                self.composed = composed;
                forget(&mut self.terminal)?;
                self.terminal.draw(&mut draw)?;
            }
            execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
        };
        drawn().map_err(|error| Failure::new(Exit::Failed, format!("the terminal is gone: {error}")))
    }

    /// Draws everything anew next time, whatever stands there.
    pub(super) fn forget(&mut self) {
        // A terminal that is gone is noticed at drawing.
        _ = forget(&mut self.terminal);
    }

    /// Draws the user's attention to something.
    pub(super) fn notify(&mut self, by: NotifyBy, what: &str) {
        let mut out = io::stdout();
        // A terminal that is gone is noticed at drawing.
        _ = out.write_all(call(by, what).as_bytes()).and_then(|()| out.flush());
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        give_back();
    }
}

/// Has all of the screen drawn anew. `Terminal::clear` would ask the terminal where its cursor is, and wait for the answer,
/// which is somebody else's to read.
fn forget(terminal: &mut Terminal<CrosstermBackend<BufWriter<Stdout>>>) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(Rect::from((Position::ORIGIN, size)))
}

/// Which wide letters made of several are where: emoji with a joiner, a skin colour or a variant.
fn composed(buffer: &Buffer) -> u64 {
    let is_composed = |symbol: &str| {
        let mut chars = symbol.chars();
        chars.next().is_some_and(|first| !first.is_control()) && chars.next().is_some() && symbol.width() > 1
    };
    let mut found =
        buffer.content().iter().enumerate().filter(|(_, cell)| is_composed(cell.symbol())).peekable();
    if found.peek().is_none() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    found.for_each(|(at, cell)| (at, cell.symbol()).hash(&mut hasher));
    hasher.finish()
}

/// What a terminal is sent to draw the user's attention to something.
fn call(by: NotifyBy, what: &str) -> String {
    // A semicolon would end what is shown.
    let what = sanitize::line(what).replace(';', ",");
    match by {
        NotifyBy::None => String::new(),
        NotifyBy::Bell => "\u{7}".to_owned(),
        NotifyBy::Osc9 => format!("\u{1b}]9;{what}\u{1b}\\"),
        NotifyBy::Osc777 => format!("\u{1b}]777;notify;p2pchat;{what}\u{1b}\\"),
    }
}

fn give_back() {
    // What can't be given back to is gone.
    _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        crossterm::cursor::Show
    );
    _ = disable_raw_mode();
}

/// What a panic says is of use only where it can be read.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What others say can't end the sequence that it is shown by, nor begin another.
        #[test]
        fn a_notification_is_one_sequence(what in any::<String>()) {
            for by in [NotifyBy::None, NotifyBy::Bell, NotifyBy::Osc9, NotifyBy::Osc777] {
                let sent = call(by, &what);
                let inner = sent.strip_prefix('\u{1b}').and_then(|rest| rest.strip_suffix("\u{1b}\\"));
                match by {
                    NotifyBy::None => prop_assert_eq!(sent, ""),
                    NotifyBy::Bell => prop_assert_eq!(sent, "\u{7}"),
                    _ => prop_assert!(!inner.unwrap().contains(char::is_control)),
                }
            }
        }
    }

    #[test]
    fn letters_made_of_several_are_noticed_where_they_come_and_go() {
        let drawn = |text: &str| {
            let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, 20, 1));
            buffer.set_string(0, 0, text, ratatui::style::Style::new());
            composed(&buffer)
        };
        assert_eq!((drawn("plain"), drawn("日本"), drawn("e\u{301}")), (0, 0, 0));
        let [here, there] = ["👩\u{200d}🚀", " 👩\u{200d}🚀"].map(drawn);
        assert!(here != 0 && there != 0 && here != there);
    }
}
