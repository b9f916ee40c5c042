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
    },
    Hits {
        words: String,
        hits: Vec<(EntryId, Target, Entry)>,
        chosen: usize,
    },
    Secret {
        prompt: String,
        typed: String,
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
        Self::Text { title: title.into(), lines, up: 0 }
    }

    pub(super) fn keys(keys: &Keys) -> Self {
        let lines = keys.lines().into_iter().map(|(keys, what)| format!("{keys:20} {what}").into());
        Self::text("Keys", lines.collect())
    }

    pub(super) fn paste(&mut self, text: &str) {
        if let Self::Secret { typed, .. } = self {
            typed.push_str(text.lines().next().unwrap_or_default());
        }
    }

    /// A key was pressed; `page` rows are in sight, of `rows`.
    pub(super) fn key(&mut self, event: &KeyEvent, page: usize, rows: usize) -> Outcome {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        match (event.code, self) {
            (KeyCode::Esc, _) => return Outcome::Closed,
            (KeyCode::Char('c' | 'd'), _) if ctrl => return Outcome::Closed,
            (KeyCode::Enter, Self::Secret { typed, .. }) => return Outcome::Typed(std::mem::take(typed)),
            (KeyCode::Char('u'), Self::Secret { typed, .. }) if ctrl => typed.clear(),
            (KeyCode::Char(c), Self::Secret { typed, .. }) if !ctrl => typed.push(c),
            (KeyCode::Backspace, Self::Secret { typed, .. }) => drop(typed.pop()),
            (_, Self::Secret { .. }) => {}
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
                    Self::Secret { .. } => return Outcome::Stays,
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
