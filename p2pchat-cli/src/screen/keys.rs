//! Which key does what.

use std::{collections::BTreeMap, fmt};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::input::Edit;

/// What a key can be made to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Send,
    NextChat,
    PreviousChat,
    NextUnread,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Older,
    Newer,
    Complete,
    CompleteBack,
    Accept,
    Decline,
    Members,
    Bare,
    Help,
    Search,
    Redraw,
    Close,
    Quit,
    Edit(Edit),
}

/// A deed's name in the configuration, the keys that do it unless the configuration says otherwise, and what it is.
type Row = (Deed, &'static str, &'static [&'static str], &'static str);

/// All that there is, in the order of `?`.
const ALL: &[Row] = &[
    (Deed::Send, "send", &["enter"], "send what you have typed, or run the command"),
    (
        Deed::Edit(Edit::Newline),
        "newline",
        &["alt-enter", "ctrl-j"],
        "begin another line of the same message",
    ),
    (Deed::NextChat, "next-chat", &["ctrl-n", "alt-down"], "the next chat or room"),
    (Deed::PreviousChat, "previous-chat", &["ctrl-p", "alt-up"], "the one before"),
    (Deed::NextUnread, "next-unread", &["alt-a"], "the next one with something unread, mentions first"),
    (Deed::PageUp, "page-up", &["pageup"], "back in the conversation"),
    (Deed::PageDown, "page-down", &["pagedown"], "forward again"),
    (Deed::Top, "top", &["ctrl-home"], "to the oldest that is loaded"),
    (Deed::Bottom, "bottom", &["ctrl-end"], "to the newest"),
    (Deed::Older, "older", &["up"], "an earlier line that you typed"),
    (Deed::Newer, "newer", &["down"], "a later one"),
    (Deed::Complete, "complete", &["tab"], "complete a command, a name or a room"),
    (Deed::CompleteBack, "complete-back", &["backtab"], "the choice before"),
    (Deed::Accept, "accept", &["alt-y"], "accept the wish to chat that is shown"),
    (Deed::Decline, "decline", &["alt-n"], "decline it; they aren't told"),
    (Deed::Search, "search", &["ctrl-f"], "look for words in what was said"),
    (Deed::Members, "members", &["alt-m"], "show or hide the members"),
    (Deed::Bare, "bare", &["alt-b"], "the conversation alone, to copy from"),
    (Deed::Redraw, "redraw", &["ctrl-l"], "draw the screen anew"),
    (Deed::Help, "help", &["f1"], "the keys; so does ? where nothing is typed"),
    (Deed::Close, "close", &["esc"], "close what is over the conversation; go to its end"),
    (Deed::Quit, "quit", &["ctrl-d"], "leave, where nothing is typed"),
    (Deed::Edit(Edit::Left), "left", &["left", "ctrl-b"], "a letter to the left"),
    (Deed::Edit(Edit::Right), "right", &["right"], "a letter to the right"),
    (Deed::Edit(Edit::WordLeft), "word-left", &["ctrl-left", "alt-left"], "a word to the left"),
    (Deed::Edit(Edit::WordRight), "word-right", &["ctrl-right", "alt-right"], "a word to the right"),
    (Deed::Edit(Edit::Home), "home", &["home", "ctrl-a"], "to the line's start"),
    (Deed::Edit(Edit::End), "end", &["end", "ctrl-e"], "to the line's end"),
    (Deed::Edit(Edit::Backspace), "backspace", &["backspace", "ctrl-h"], "delete to the left"),
    (Deed::Edit(Edit::Delete), "delete", &["delete"], "delete to the right"),
    (Deed::Edit(Edit::DeleteWord), "delete-word", &["ctrl-w", "alt-backspace"], "cut the word to the left"),
    (Deed::Edit(Edit::DeleteToStart), "delete-to-start", &["ctrl-u"], "cut to the line's start"),
    (Deed::Edit(Edit::DeleteToEnd), "delete-to-end", &["ctrl-k"], "cut to the line's end"),
    (Deed::Edit(Edit::Yank), "yank", &["ctrl-y"], "put in what was cut"),
    (Deed::Edit(Edit::Undo), "undo", &["ctrl-z", "ctrl-_"], "undo"),
    (Deed::Edit(Edit::Redo), "redo", &["alt-z"], "do it again"),
];

/// A key with what is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
struct Key(KeyCode, KeyModifiers);

impl Key {
    fn parse(text: &str) -> Result<Self, String> {
        let mut modifiers = KeyModifiers::NONE;
        let lower = text.trim().to_lowercase();
        let mut rest = lower.as_str();
        loop {
            let (modifier, length) = match () {
                () if rest.starts_with("ctrl-") => (KeyModifiers::CONTROL, 5),
                () if rest.starts_with("alt-") => (KeyModifiers::ALT, 4),
                () if rest.starts_with("shift-") => (KeyModifiers::SHIFT, 6),
                () => break,
            };
            modifiers |= modifier;
            rest = rest.get(length..).unwrap_or_default();
        }
        let code = match rest {
            "enter" => KeyCode::Enter,
            "tab" => KeyCode::Tab,
            "backtab" => KeyCode::BackTab,
            "esc" => KeyCode::Esc,
            "space" => KeyCode::Char(' '),
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "pageup" => KeyCode::PageUp,
            "pagedown" => KeyCode::PageDown,
            "backspace" => KeyCode::Backspace,
            "delete" => KeyCode::Delete,
            "insert" => KeyCode::Insert,
            _ => match (rest.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()), one_char(rest)) {
                (Some(n @ 1..=12), _) => KeyCode::F(n),
                (_, Some(c)) => KeyCode::Char(c),
                _ => return Err(format!("`{text}` is no key: for example ctrl-n, alt-left, pageup or f5")),
            },
        };
        let is_typing = matches!(code, KeyCode::Char(_))
            && !modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        let typed = match (code, modifiers) {
            (KeyCode::Char('i'), KeyModifiers::CONTROL) => Some("tab"),
            (KeyCode::Char('m'), KeyModifiers::CONTROL) => Some("enter"),
            (KeyCode::Char('['), KeyModifiers::CONTROL) => Some("esc"),
            _ => None,
        };
        if let Some(other) = typed {
            return Err(format!("`{text}` is {other} for a terminal: write that"));
        }
        if matches!(code, KeyCode::Char(_)) && modifiers.contains(KeyModifiers::SHIFT) {
            return Err(format!(
                "`{text}`: terminals don't tell shift of a letter with ctrl or alt; leave it out"
            ));
        }
        if is_typing {
            return Err(format!("`{text}` is needed for typing: put ctrl- or alt- before it"));
        }
        Ok(Self(code, modifiers))
    }

    /// What a terminal reports, in the form of the configuration.
    fn of(event: &KeyEvent) -> Self {
        let (mut code, mut modifiers) = (event.code, event.modifiers);
        modifiers &= KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT;
        if let KeyCode::Char(c) = code {
            // Which case a letter has says shift already.
            modifiers -= KeyModifiers::SHIFT;
            code = KeyCode::Char(c.to_lowercase().next().unwrap_or(c));
            // Many terminals send the same for these.
            if modifiers == KeyModifiers::CONTROL && matches!(c, '7' | '/') {
                code = KeyCode::Char('_');
            }
        }
        if code == KeyCode::BackTab {
            modifiers -= KeyModifiers::SHIFT;
        }
        Self(code, modifiers)
    }
}

fn one_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.1.contains(modifier) {
                f.write_str(name)?;
            }
        }
        match self.0 {
            KeyCode::Char(' ') => f.write_str("space"),
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(n) => write!(f, "f{n}"),
            other => f.write_str(&format!("{other:?}").to_lowercase()),
        }
    }
}

/// The key map.
#[derive(Debug)]
pub(super) struct Keys(Vec<(Key, Deed)>);

impl Keys {
    /// The built-in map, changed as the configuration says: `"ctrl-n" = "next-chat"`, or `"none"`.
    pub(super) fn new(changes: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut map = Vec::new();
        for (deed, _, keys, _) in ALL {
            for key in *keys {
                map.push((Key::parse(key)?, *deed));
            }
        }
        let mut changed: Vec<(Key, &str)> = Vec::new();
        for (written, name) in changes {
            let key = Key::parse(written).map_err(|problem| format!("[keys]: {problem}"))?;
            if let Some((_, other)) = changed.iter().find(|(other, _)| *other == key) {
                return Err(format!("[keys]: {key} stands there twice, as `{other}` and as `{written}`"));
            }
            changed.push((key, written));
            map.retain(|(other, _)| *other != key);
            if name == "none" {
                continue;
            }
            let row = ALL.iter().find(|(_, known, ..)| known == name);
            let (deed, ..) = row.ok_or_else(|| {
                let names: Vec<_> = ALL.iter().map(|(_, name, ..)| *name).collect();
                format!("[keys]: {key} can't do `{name}`; there are: {}, none", names.join(", "))
            })?;
            map.push((key, *deed));
        }
        if !map.iter().any(|(_, deed)| *deed == Deed::Send) {
            return Err("[keys]: no key is left for send".to_owned());
        }
        Ok(Self(map))
    }

    pub(super) fn find(&self, event: &KeyEvent) -> Option<Deed> {
        let key = Key::of(event);
        self.0.iter().find(|(other, _)| *other == key).map(|(_, deed)| *deed)
    }

    /// A line for each deed: its keys, and what it is.
    pub(super) fn lines(&self) -> Vec<(String, &'static str)> {
        let keys = |deed: &Deed| {
            let keys: Vec<_> =
                self.0.iter().filter(|(_, other)| other == deed).map(|(key, _)| key.to_string()).collect();
            keys.join(", ")
        };
        ALL.iter().map(|(deed, _, _, what)| (keys(deed), *what)).collect()
    }

    /// The first key that does `deed`, to be named in an advice.
    pub(super) fn name(&self, deed: Deed) -> String {
        self.0.iter().find(|(_, other)| *other == deed).map_or_else(String::new, |(key, _)| key.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[(&str, &str)]) -> Result<Keys, String> {
        Keys::new(&changes.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect())
    }

    fn press(code: KeyCode, modifiers: KeyModifiers) -> KeyEvent {
        KeyEvent::new(code, modifiers)
    }

    #[test]
    fn no_key_does_two_things() {
        let keys = changed(&[]).unwrap();
        for (i, (key, _)) in keys.0.iter().enumerate() {
            assert!(!keys.0.iter().skip(i + 1).any(|(other, _)| other == key), "{key}");
            assert_eq!(Key::parse(&key.to_string()), Ok(*key));
        }
    }

    #[test]
    fn the_configuration_changes_what_a_key_does() {
        let next = press(KeyCode::Char('x'), KeyModifiers::ALT);
        let keys = changed(&[("Alt-X", "next-chat"), ("ctrl-n", "none")]).unwrap();
        assert_eq!(keys.find(&next), Some(Deed::NextChat));
        assert_eq!(keys.find(&press(KeyCode::Char('n'), KeyModifiers::CONTROL)), None);
        assert_eq!(keys.find(&press(KeyCode::Char('x'), KeyModifiers::NONE)), None);
        assert!(keys.lines().contains(&("alt-down, alt-x".to_owned(), "the next chat or room")));
    }

    #[test]
    fn conflicts_and_what_is_unknown_are_named() {
        for (changes, words) in [
            (&[("ctrl-n", "top"), ("CTRL-N", "bottom")][..], "stands there twice"),
            (&[("ctrl-n", "fly")], "can't do `fly`"),
            (&[("a", "top")], "needed for typing"),
            (&[("ctrl-foo", "top")], "is no key"),
            (&[("ctrl-m", "top")], "is enter for a terminal"),
            (&[("ctrl-shift-n", "top")], "don't tell shift"),
            (&[("enter", "top")], "no key is left for send"),
        ] {
            let problem = changed(changes).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn terminals_report_the_same_key_in_several_ways() {
        let keys = changed(&[]).unwrap();
        for (code, modifiers, deed) in [
            (KeyCode::BackTab, KeyModifiers::SHIFT, Deed::CompleteBack),
            (KeyCode::Char('7'), KeyModifiers::CONTROL, Deed::Edit(Edit::Undo)),
            (KeyCode::Char('N'), KeyModifiers::CONTROL | KeyModifiers::SHIFT, Deed::NextChat),
        ] {
            assert_eq!(keys.find(&press(code, modifiers)), Some(deed));
        }
    }
}
