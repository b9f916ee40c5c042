//! What is being typed: an editor for a line or a few, with undo, history and completion.

use rustyline::{
    At, Word,
    line_buffer::{ChangeListener, DeleteListener, Direction, LineBuffer},
};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// How many bytes can be typed: more than a message may have, so that the limit is the message's to tell.
const BYTES: usize = 64 * 1024;
/// How many steps can be undone, and how many lines are remembered.
const STEPS: usize = 200;

/// The editor's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Backspace,
    Delete,
    DeleteWord,
    DeleteToStart,
    DeleteToEnd,
    Yank,
    Undo,
    Redo,
    Newline,
}

/// What is being typed.
pub(super) struct Input {
    buffer: LineBuffer,
    undone: Vec<(String, usize)>,
    done: Vec<(String, usize)>,
    /// The last change was a letter typed, which the next one is undone with.
    typing: bool,
    history: Vec<String>,
    /// Which line of the history is shown, and what was typed before it was looked for.
    recalled: Option<(usize, String)>,
    cut: Cut,
    completion: Option<Completion>,
}

/// What was cut last, to be put elsewhere.
#[derive(Default)]
struct Cut(String);

impl DeleteListener for Cut {
    fn delete(&mut self, _at: usize, text: &str, direction: Direction) {
        match direction {
            Direction::Forward => self.0.push_str(text),
            Direction::Backward => self.0.insert_str(0, text),
        }
    }
}

/// Nobody listens to it.
struct Nobody;

impl DeleteListener for Nobody {
    fn delete(&mut self, _at: usize, _text: &str, _direction: Direction) {}
}

impl ChangeListener for Nobody {
    fn insert_char(&mut self, _at: usize, _c: char) {}
    fn insert_str(&mut self, _at: usize, _text: &str) {}
    fn replace(&mut self, _at: usize, _old: &str, _new: &str) {}
}

/// A word being completed: where it starts, what it may become, and which of that it is now.
struct Completion {
    start: usize,
    choices: Vec<String>,
    at: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            buffer: LineBuffer::with_capacity(BYTES),
            undone: Vec::new(),
            done: Vec::new(),
            typing: false,
            history: Vec::new(),
            recalled: None,
            cut: Cut::default(),
            completion: None,
        }
    }
}

impl Input {
    pub(super) fn text(&self) -> &str {
        self.buffer.as_str()
    }

    /// What was typed, also while an older line is shown in its place.
    pub(super) fn draft(&self) -> &str {
        self.recalled.as_ref().map_or_else(|| self.text(), |(_, typed)| typed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Has `text` instead of what was typed, with the caret behind it, as a new beginning.
    pub(super) fn set(&mut self, text: &str) {
        self.replace(text, text.len());
        (self.done, self.undone) = (Vec::new(), Vec::new());
        (self.recalled, self.completion) = (None, None);
    }

    /// What was typed, which is remembered; the editor is empty then.
    pub(super) fn take(&mut self) -> String {
        let text = self.text().to_owned();
        self.set("");
        text
    }

    /// Remembers a line for [`recall`](Self::recall).
    pub(super) fn remember(&mut self, line: &str) {
        if self.history.last().is_none_or(|last| last != line) && !line.is_empty() {
            if self.history.len() >= STEPS {
                self.history.remove(0);
            }
            self.history.push(line.to_owned());
        }
    }

    /// Types a letter. False if there is no room for it.
    pub(super) fn insert(&mut self, c: char) -> bool {
        if !self.typing || c.is_whitespace() {
            self.keep();
        }
        (self.typing, self.completion) = (true, None);
        self.buffer.insert(c, 1, &mut Nobody).is_some()
    }

    /// Puts a text in, line breaks and all, as one step. False if there is no room for it.
    pub(super) fn paste(&mut self, text: &str) -> bool {
        self.keep();
        self.completion = None;
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        text.is_empty() || self.buffer.yank(&text, 1, &mut Nobody).is_some()
    }

    pub(super) fn edit(&mut self, edit: Edit) {
        self.completion = None;
        match edit {
            Edit::Undo => return self.travel(true),
            Edit::Redo => return self.travel(false),
            Edit::Newline => {
                self.paste("\n");
                return;
            }
            Edit::Yank => {
                let cut = self.cut.0.clone();
                self.paste(&cut);
                return;
            }
            Edit::Backspace | Edit::Delete | Edit::DeleteWord | Edit::DeleteToStart | Edit::DeleteToEnd => {
                self.keep();
            }
            _ => self.typing = false,
        }
        match edit {
            Edit::DeleteWord | Edit::DeleteToStart | Edit::DeleteToEnd => self.cut.0.clear(),
            _ => {}
        }
        let (buffer, cut) = (&mut self.buffer, &mut self.cut);
        _ = match edit {
            Edit::Left => buffer.move_backward(1),
            Edit::Right => buffer.move_forward(1),
            Edit::WordLeft => buffer.move_to_prev_word(Word::Emacs, 1),
            Edit::WordRight => buffer.move_to_next_word(At::AfterEnd, Word::Emacs, 1),
            Edit::Home => buffer.move_home(),
            Edit::End => buffer.move_end(),
            Edit::Backspace => buffer.backspace(1, &mut Nobody),
            Edit::Delete => buffer.delete(1, &mut Nobody).is_some(),
            Edit::DeleteWord => buffer.delete_prev_word(Word::Big, 1, cut),
            Edit::DeleteToStart => buffer.discard_line(cut),
            Edit::DeleteToEnd => buffer.kill_line(cut),
            Edit::Undo | Edit::Redo | Edit::Newline | Edit::Yank => false,
        };
    }

    /// Shows an older line, or a newer one; at last what was typed before. False if there is none.
    pub(super) fn recall(&mut self, older: bool) -> bool {
        let at = match (&self.recalled, older) {
            (None, true) => self.history.len().checked_sub(1),
            (Some((at, _)), true) => at.checked_sub(1),
            (Some((at, _)), false) => Some(at + 1),
            (None, false) => None,
        };
        let Some(at) = at else { return false };
        let typed = self.recalled.take().map_or_else(|| self.text().to_owned(), |(_, typed)| typed);
        match self.history.get(at).cloned() {
            Some(line) => {
                self.set(&line);
                self.recalled = Some((at, typed));
            }
            None => self.set(&typed),
        }
        true
    }

    /// True if the caret is in the first or the last of several lines, where up and down mean the history.
    pub(super) fn is_at_edge(&self, upper: bool) -> bool {
        let (before, after) = self.text().split_at(self.buffer.pos());
        let side = if upper { before } else { after };
        !side.contains('\n')
    }

    /// Moves the caret to the line above or below.
    pub(super) fn vertical(&mut self, up: bool) {
        let text = self.text();
        let (before, after) = text.split_at(self.buffer.pos());
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or_default().width();
        let (line_start, line) = if up {
            let Some(above) = before.get(..start.saturating_sub(1)).filter(|_| start > 0) else { return };
            let line_start = above.rfind('\n').map_or(0, |at| at + 1);
            (line_start, above.get(line_start..).unwrap_or_default())
        } else {
            let Some(at) = after.find('\n') else { return };
            let line_start = before.len() + at + 1;
            let rest = text.get(line_start..).unwrap_or_default();
            (line_start, rest.split('\n').next().unwrap_or_default())
        };
        let (mut width, mut to) = (0, line_start);
        for cluster in line.graphemes(true) {
            width += cluster.width();
            if width > column {
                break;
            }
            to += cluster.len();
        }
        self.buffer.set_pos(to);
    }

    /// Completes the word at the caret to the next or the last of what `choices` says about it, given where it starts. True
    /// if there was something.
    pub(super) fn complete(
        &mut self,
        forward: bool,
        choices: impl FnOnce(&str, bool) -> Vec<String>,
    ) -> bool {
        if self.completion.is_none() {
            let before = self.text().get(..self.buffer.pos()).unwrap_or_default();
            let start = before.rfind(char::is_whitespace).map_or(0, |at| {
                at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
            });
            let word = before.get(start..).unwrap_or_default();
            let choices = choices(word, start == 0);
            if choices.is_empty() {
                return false;
            }
            let at = if forward { choices.len() - 1 } else { 0 };
            self.keep();
            self.completion = Some(Completion { start, choices, at });
        }
        let Some(mut completion) = self.completion.take() else { return false };
        let count = completion.choices.len();
        completion.at = (completion.at + if forward { 1 } else { count - 1 }) % count;
        if let Some(choice) = completion.choices.get(completion.at) {
            let text = self.text();
            let (head, tail) = (text.get(..completion.start), text.get(self.buffer.pos()..));
            let whole = format!("{}{choice}{}", head.unwrap_or_default(), tail.unwrap_or_default());
            self.replace(&whole, completion.start + choice.len());
        }
        // With a single choice the next press begins anew.
        self.completion = Some(completion).filter(|_| count > 1);
        true
    }

    /// Its lines, broken where `width` cells are full, and where the caret is: line and cell.
    pub(super) fn layout(&self, width: usize) -> (Vec<String>, (usize, usize)) {
        let mut lines = vec![String::new()];
        let (mut cells, mut caret, mut at) = (0, None, 0);
        for cluster in self.text().graphemes(true) {
            if at == self.buffer.pos() {
                caret = Some((lines.len() - 1, cells));
            }
            at += cluster.len();
            if cluster == "\n" {
                lines.push(String::new());
                cells = 0;
                continue;
            }
            // What can't be shown takes a cell too, so that the caret is seen to pass it.
            let (shown, wide) = match cluster.width() {
                // No script has letters wider than two cells.
                0 | 3.. => ("·", 1),
                _ if cluster.chars().any(char::is_control) => ("·", 1),
                wide => (cluster, wide),
            };
            if cells + wide > width && cells > 0 {
                lines.push(String::new());
                cells = 0;
                if let Some(place) = caret.as_mut().filter(|_| at - cluster.len() == self.buffer.pos()) {
                    *place = (lines.len() - 1, 0);
                }
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(shown);
            }
            cells += wide;
        }
        let caret = caret.unwrap_or_else(|| {
            // Behind a full line the caret stands in the next.
            if cells >= width && width > 0 {
                lines.push(String::new());
                cells = 0;
            }
            (lines.len() - 1, cells)
        });
        (lines, caret)
    }

    /// Notes what there is, to be undone to.
    fn keep(&mut self) {
        self.typing = false;
        self.undone.clear();
        if self.done.len() >= STEPS {
            self.done.remove(0);
        }
        self.done.push((self.text().to_owned(), self.buffer.pos()));
    }

    fn travel(&mut self, back: bool) {
        self.typing = false;
        let now = (self.text().to_owned(), self.buffer.pos());
        let (from, to) =
            if back { (&mut self.done, &mut self.undone) } else { (&mut self.undone, &mut self.done) };
        if let Some((text, at)) = from.pop() {
            to.push(now);
            self.replace(&text, at);
        }
    }

    fn replace(&mut self, text: &str, at: usize) {
        self.buffer.update(text, at.min(text.len()), &mut Nobody);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(text: &str) -> Input {
        let mut input = Input::default();
        for c in text.chars() {
            assert!(input.insert(c));
        }
        input
    }

    #[test]
    fn a_word_at_a_time_is_undone_and_done_again() {
        let mut input = typed("so it is");
        input.edit(Edit::Undo);
        assert_eq!(input.text(), "so it");
        input.edit(Edit::DeleteWord);
        assert_eq!(input.text(), "so ");
        input.edit(Edit::Undo);
        input.edit(Edit::Undo);
        assert_eq!(input.text(), "so");
        input.edit(Edit::Redo);
        assert_eq!(input.text(), "so it");
    }

    #[test]
    fn what_was_cut_can_be_put_elsewhere() {
        let mut input = typed("one two");
        input.edit(Edit::DeleteWord);
        input.edit(Edit::Home);
        input.edit(Edit::Yank);
        assert_eq!(input.text(), "twoone ");
    }

    #[test]
    fn a_pasted_text_is_one_step_and_keeps_its_lines() {
        let mut input = typed("x");
        assert!(input.paste("a\r\nb\rc"));
        assert_eq!(input.text(), "xa\nb\nc");
        input.edit(Edit::Undo);
        assert_eq!(input.text(), "x");
        assert!(!input.paste(&"y".repeat(BYTES)));
    }

    #[test]
    fn older_lines_come_back_and_what_was_typed_too() {
        let mut input = typed("draft");
        input.remember("one");
        input.remember("two");
        assert!(input.recall(true) && input.recall(true));
        assert_eq!(input.text(), "one");
        assert!(!input.recall(true));
        assert!(input.recall(false) && input.recall(false));
        assert_eq!(input.text(), "draft");
        assert!(!input.recall(false));
    }

    #[test]
    fn a_letter_is_what_a_reader_takes_for_one() {
        let mut input = typed("e\u{301}👩\u{200d}🚀");
        assert_eq!(input.layout(80), (vec!["e\u{301}👩\u{200d}🚀".to_owned()], (0, 3)));
        input.edit(Edit::Backspace);
        assert_eq!(input.text(), "e\u{301}");
        input.edit(Edit::Backspace);
        assert!(input.is_empty());
    }

    #[test]
    fn lines_are_broken_where_they_are_full() {
        assert_eq!(typed("abcd").layout(2), (vec!["ab".into(), "cd".into(), String::new()], (2, 0)));
        assert_eq!(typed("日本").layout(3), (vec!["日".into(), "本".into()], (1, 2)));
        let mut input = Input::default();
        input.paste("one\ntwo");
        input.vertical(true);
        assert_eq!(input.layout(9).1, (0, 3));
        assert!(input.is_at_edge(true) && !input.is_at_edge(false));
        input.vertical(false);
        assert_eq!(input.layout(9).1, (1, 3));
    }

    #[test]
    fn what_is_no_letter_of_any_script_is_a_dot() {
        let mut input = Input::default();
        input.paste("a👩\u{301}\u{200d}👩\u{7}");
        assert_eq!(input.layout(1), (vec!["a".into(), "·".into(), "·".into(), String::new()], (3, 0)));
    }

    #[test]
    fn words_are_completed_in_turn() {
        let choices = |word: &str, first: bool| {
            assert_eq!((word, first), ("al", false));
            vec!["alice".to_owned(), "alfred".to_owned()]
        };
        let mut input = typed("hi al");
        let mut seen = Vec::new();
        assert!(input.complete(true, choices));
        for forward in [true, true, false] {
            seen.push(input.text().to_owned());
            assert!(input.complete(forward, |_, _| Vec::new()));
        }
        assert_eq!(seen, ["hi alice", "hi alfred", "hi alice"]);
        input.edit(Edit::Undo);
        assert_eq!(input.text(), "hi al");
        assert!(!typed("x").complete(true, |_, _| Vec::new()));
    }

    proptest! {
        #[test]
        fn whatever_is_typed_can_be_shown_at_any_width(text in "[a-z日👩\u{200d}\u{301}\u{1b}\n ]{0,40}", width in 1_usize..20, back in 0_usize..40) {
            let mut input = Input::default();
            input.paste(&text);
            for _ in 0..back {
                input.edit(Edit::Left);
            }
            let (lines, (line, cell)) = input.layout(width);
            prop_assert!(line < lines.len());
            prop_assert!(cell <= width.max(2));
            prop_assert!(lines.iter().all(|line| line.width() <= width.max(2)));
            prop_assert!(!lines.concat().contains(char::is_control));
        }

        #[test]
        fn all_that_was_done_can_be_undone(edits in prop::collection::vec(0_u8..6, 0..60)) {
            let mut input = Input::default();
            for edit in edits {
                match edit {
                    0 => drop(input.insert('a')),
                    1 => drop(input.insert(' ')),
                    2 => input.edit(Edit::Backspace),
                    3 => input.edit(Edit::DeleteWord),
                    4 => input.edit(Edit::Left),
                    _ => drop(input.paste("p\nq")),
                }
            }
            for _ in 0..STEPS {
                input.edit(Edit::Undo);
            }
            prop_assert_eq!(input.text(), "");
        }
    }
}
