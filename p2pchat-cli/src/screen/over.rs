//! What lies over the conversation for a while: a text, what a search has found, a password to be typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keys::Keys;
use crate::{
    archive::{Entry, EntryId},
    report::Said,
    target::Target,
};

pub(super) enum Over {
    Text {
        title: String,
        lines: Vec<Said>,
        /// How many of their rows are further up than what is shown.
        up: usize,
        /// By a `?`, which may have been meant otherwise.
        asked: bool,
    },
    Hits {
        words: String,
        hits: Vec<(EntryId, Target, Entry)>,
        chosen: usize,
    },
    /// A password, or words to be looked for.
    Typed {
        prompt: String,
        typed: String,
        secret: bool,
    },
}

/// What a key came to.
pub(super) enum Outcome {
    Stays,
    Closed,
    Chosen(Target, EntryId),
    Typed(String),
}

impl Over {
    pub(super) fn text(title: impl Into<String>, lines: Vec<Said>) -> Self {
        Self::Text { title: title.into(), lines, up: 0, asked: false }
    }

    pub(super) fn password(prompt: String) -> Self {
        Self::Typed { prompt, typed: String::new(), secret: true }
    }

    pub(super) fn words() -> Self {
        Self::Typed { prompt: "Words that were said".to_owned(), typed: String::new(), secret: false }
    }

    pub(super) fn keys(keys: &Keys, asked: bool) -> Self {
        let lines = keys.lines().into_iter().map(|(keys, what)| format!("{keys:20} {what}").into());
        Self::Text { title: "Keys".to_owned(), lines: lines.collect(), up: 0, asked }
    }

    pub(super) fn paste(&mut self, text: &str) {
        if let Self::Typed { typed, .. } = self {
            typed.push_str(text.lines().next().unwrap_or_default());
        }
    }

    /// A key was pressed; `page` rows are in sight, of `rows`.
    pub(super) fn key(&mut self, event: &KeyEvent, page: usize, rows: usize) -> Outcome {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        match (event.code, self) {
            (KeyCode::Esc, _) => return Outcome::Closed,
            (KeyCode::Char('c' | 'd'), _) if ctrl => return Outcome::Closed,
            (KeyCode::Enter, Self::Typed { typed, .. }) => return Outcome::Typed(std::mem::take(typed)),
            (KeyCode::Char('u'), Self::Typed { typed, .. }) if ctrl => typed.clear(),
            (KeyCode::Char(c), Self::Typed { typed, .. }) if !ctrl => typed.push(c),
            (KeyCode::Backspace, Self::Typed { typed, .. }) => drop(typed.pop()),
            (_, Self::Typed { .. }) => {}
            (KeyCode::Enter, Self::Hits { hits, chosen, .. }) => {
                return match hits.get(*chosen) {
                    Some((id, target, _)) => Outcome::Chosen(target.clone(), *id),
                    None => Outcome::Closed,
                };
            }
            (KeyCode::Enter | KeyCode::Char('q' | '?' | ' ') | KeyCode::F(1), Self::Text { .. }) => {
                return Outcome::Closed;
            }
            (code, over) => {
                let (at, last) = match over {
                    Self::Text { up, .. } => (up, rows.saturating_sub(page)),
                    Self::Hits { hits, chosen, .. } => (chosen, hits.len().saturating_sub(1)),
                    Self::Typed { .. } => return Outcome::Stays,
                };
                *at = match code {
                    KeyCode::Up => at.saturating_sub(1),
                    KeyCode::Down => *at + 1,
                    KeyCode::PageUp => at.saturating_sub(page),
                    KeyCode::PageDown => *at + page,
                    KeyCode::Home => 0,
                    KeyCode::End => last,
                    _ => *at,
                }
                .min(last);
            }
        }
        Outcome::Stays
    }
}
