//! Makes text from others safe to show on a terminal.
//!
//! What could move the cursor, hide, reorder or overflow what is on the screen is made visible or removed; letters of
//! every script, emoji sequences and ordinary accents stay as they are.

use unicode_normalization::char::is_combining_mark;
use unicode_width::UnicodeWidthChar;

/// How many marks are shown on one base character; the rest of a run is removed.
const MARKS: usize = 8;

/// `text` on one line: line breaks become visible too.
pub(crate) fn line(text: &str) -> String {
    sanitize(text, false)
}

/// `text` with its line breaks; the only control characters left are LF.
pub(crate) fn block(text: &str) -> String {
    sanitize(text, true)
}

/// True if a terminal, or a reader, could be fooled by `c`: controls, and what is invisible or changes direction.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || is_direction_mark(c)
        || is_direction_control(c)
        || is_invisible(c)
        || is_variation_selector(c)
}

fn sanitize(text: &str, keep_line_breaks: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    // The last character shown that isn't a mark or a modifier of an emoji, and what has been added to it.
    let mut base = None;
    let mut marks = 0_usize;
    let mut selected = false;
    while let Some(c) = chars.next() {
        match c {
            '\r' if keep_line_breaks && chars.peek() == Some(&'\n') => continue,
            '\n' | '\u{2028}' | '\u{2029}' if keep_line_breaks => out.push('\n'),
            '\t' => out.push_str("    "),
            // A joiner matters inside an emoji sequence and between letters of scripts that join; elsewhere it hides.
            '\u{200c}' | '\u{200d}' if joins(base, c, chars.peek().copied()) => {
                out.push(c);
                continue;
            }
            _ if is_variation_selector(c) => {
                if base.is_some() && !selected {
                    out.push(c);
                    selected = true;
                }
                continue;
            }
            _ if is_direction_mark(c) || is_tag(c) => continue,
            _ if c.is_control() || is_direction_control(c) || is_invisible(c) => push_visible(&mut out, c),
            _ if is_mark(c) => {
                if base.is_none() {
                    // Not to be drawn over what the program itself wrote before it.
                    out.push('\u{25cc}');
                    base = Some('\u{25cc}');
                }
                marks += 1;
                if marks <= MARKS {
                    out.push(c);
                }
                continue;
            }
            _ => {
                out.push(c);
                if !is_skin_tone(c) || !base.is_some_and(is_pictograph) {
                    base = Some(c);
                }
                (marks, selected) = (0, false);
                continue;
            }
        }
        (base, marks, selected) = (None, 0, false);
    }
    out
}

fn push_visible(out: &mut String, c: char) {
    match u32::from(c) {
        // The control pictures stand at U+2400 in the controls' order.
        code @ 0..0x20 => out.extend(char::from_u32(0x2400 + code)),
        0x7f => out.push('␡'),
        code => out.push_str(&format!("‹U+{code:04X}›")),
    }
}

fn joins(before: Option<char>, joiner: char, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    (joiner == '\u{200d}' && is_pictograph(before) && is_pictograph(after))
        || (is_joining_script(before) && (is_joining_script(after) || is_pictograph(after)))
}

/// Blocks that hold what emoji sequences are made of.
fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1faff}')
}

/// Arabic and Syriac, and the scripts of India and Sri Lanka, spell words with joiners.
fn is_joining_script(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{74f}' | '\u{750}'..='\u{77f}' | '\u{8a0}'..='\u{8ff}' | '\u{900}'..='\u{dff}'
        | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}')
}

/// What is drawn on, or joined with, the character before it. That is more than combining marks: the later parts of a Korean
/// syllable, for one, have no width of their own either.
pub(crate) fn is_mark(c: char) -> bool {
    is_combining_mark(c) || c.width() == Some(0)
}

/// Single marks without a shape, usual in right-to-left text. Nothing is lost on a terminal by leaving them out.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
}

/// What reorders the text after it.
fn is_direction_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// Zero-width characters, fillers and format controls, and the two Unicode line separators.
fn is_invisible(c: char) -> bool {
    is_tag(c)
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0080}'..='\u{e00ff}'
            | '\u{e01f0}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_escape_sequence_is_seen_and_not_obeyed() {
        assert_eq!(line("\u{1b}[2J\u{7}\u{7f}\u{9b}1m"), "␛[2J␇␡‹U+009B›1m");
        assert_eq!(line("one\r\ntwo"), "one␍␊two");
        assert_eq!(block("one\r\ntwo\rthree"), "one\ntwo␍three");
        assert_eq!(line("a\tb"), "a    b");
    }

    #[test]
    fn direction_overrides_and_zero_width_characters_are_seen() {
        assert_eq!(line("exe.\u{202e}gnp"), "exe.‹U+202E›gnp");
        assert_eq!(line("pay\u{200b}pal"), "pay‹U+200B›pal");
        assert_eq!(line("a\u{200d}b"), "a‹U+200D›b");
        assert_eq!(line("a\u{2028}b"), "a‹U+2028›b");
    }

    #[test]
    fn honest_text_is_left_alone() {
        for text in [
            "مرحبا يا عالم",
            "שלום עולם",
            "می\u{200c}خواهم",
            "👩\u{200d}🚀 👨🏽\u{200d}💻 ❤\u{fe0f}\u{200d}🔥 🏳\u{fe0f}\u{200d}🌈",
            "e\u{301} क्\u{200d}ष Straße 日本語",
            "한글 \u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}",
            "<b> \\n & *bold*",
        ] {
            assert_eq!(line(text), text);
        }
        assert_eq!(line("ab\u{200f}c"), "abc");
    }

    #[test]
    fn what_is_shown_stays_as_it_is_shown_again() {
        let shown = line("\u{0}🏽\u{200d}💻 a🏽\u{200d}💻");
        assert_eq!(shown, "␀🏽\u{200d}💻 a🏽\u{200d}💻");
        assert_eq!(line(&shown), shown);
    }

    #[test]
    fn marks_neither_pile_up_nor_land_on_what_is_before_them() {
        let zalgo = format!("z{}", "\u{335}".repeat(500));
        assert_eq!(line(&zalgo).chars().count(), 1 + MARKS);
        assert_eq!(line("\u{301}x"), "\u{25cc}\u{301}x");
        assert_eq!(block("a\n\u{301}"), "a\n\u{25cc}\u{301}");
    }

    /// By what terminals and this program count cells with.
    fn longest_run_without_width(shown: &str) -> usize {
        let runs = shown.split(|c: char| c.width() != Some(0));
        runs.map(|run| run.chars().count()).max().unwrap_or_default()
    }

    #[test]
    fn no_character_without_a_width_piles_up_or_stands_alone() {
        for c in ('\u{20}'..=char::MAX).filter(|&c| c.width() == Some(0)) {
            let many = c.to_string().repeat(50);
            assert!(!line(&many).starts_with(c), "U+{:04X}", u32::from(c));
            for before in ["", "x", "\u{1100}", "क"] {
                let run = longest_run_without_width(&line(&format!("{before}{many}")));
                assert!(run <= MARKS, "U+{:04X}: {run}", u32::from(c));
            }
        }
    }

    proptest! {
        #[test]
        fn no_control_is_left(text in any::<String>(), nasty in "[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}\u{200b}-\u{200f}a👩\u{301}\u{fe0f}]{0,64}") {
            for text in [text, nasty] {
                prop_assert!(!line(&text).contains(|c: char| c.is_control() || is_direction_control(c)));
                prop_assert!(!block(&text).contains(|c: char| (c.is_control() && c != '\n') || is_direction_control(c)));
                prop_assert_eq!(line(&line(&text)), line(&text));
            }
        }

        #[test]
        fn a_run_of_marks_is_short(marks in "[\u{300}-\u{34e}\u{fe0f}]{0,64}") {
            let shown = line(&format!("x{marks}"));
            prop_assert!(shown.chars().count() <= 2 + MARKS);
        }
    }
}
