//! The terminal: taken at the start, and given back as it was however the program ends.

use std::{
    io::{self, Stdout, Write as _},
    sync::Once,
};

use crossterm::{
    event::{
        DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
        EnableFocusChange, EnableMouseCapture, Event, EventStream,
    },
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use futures_util::StreamExt as _;
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

use crate::{
    config::NotifyBy,
    exit::{Exit, Failure},
    sanitize,
};

pub(super) struct Term {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    events: EventStream,
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
            .and_then(|()| Terminal::new(CrosstermBackend::new(out)));
        match entered {
            Ok(terminal) => Ok(Self { terminal, events: EventStream::new() }),
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

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        let drawn = self.terminal.draw(draw).map(drop);
        drawn.map_err(|error| Failure::new(Exit::Failed, format!("the terminal is gone: {error}")))
    }

    /// Draws everything anew next time, whatever stands there.
    pub(super) fn forget(&mut self) {
        // A terminal that is gone is noticed at drawing.
        _ = self.terminal.clear();
    }

    /// Draws the user's attention to something.
    pub(super) fn notify(&mut self, by: NotifyBy, what: &str) {
        // A semicolon would end what is shown.
        let what = sanitize::line(what).replace(';', ",");
        let text = match by {
            NotifyBy::None => return,
            NotifyBy::Bell => "\u{7}".to_owned(),
            NotifyBy::Osc9 => format!("\u{1b}]9;{what}\u{1b}\\"),
            NotifyBy::Osc777 => format!("\u{1b}]777;notify;p2pchat;{what}\u{1b}\\"),
        };
        let mut out = io::stdout();
        _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // What can't be given back to is gone.
    _ = execute!(
        io::stdout(),
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
