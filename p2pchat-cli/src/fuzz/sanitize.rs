//! The sanitiser.

use crate::sanitize::{block, is_mark, is_unsafe, line};

/// A run of marks on one base: those that are shown, a selector of the base's form, and a joiner.
const RUN: usize = 10;

/// Whatever others say, what is shown can't take over a terminal or fool its reader.
pub fn sanitize(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (shown, again) in [(line(&text), line as fn(&str) -> String), (block(&text), block)] {
        let is_line = again("\n") != "\n";
        for c in shown.chars().filter(|&c| is_unsafe(c)) {
            let allowed = (c == '\n' && !is_line) || is_joiner(c) || is_selector(c);
            assert!(allowed, "{c:?} of {text:?} is shown");
        }
        assert!(joiners_join(&shown), "a joiner or selector stands alone in {shown:?}");
        assert!(longest_run(&shown) <= RUN, "marks pile up in {shown:?}");
        assert_eq!(again(&shown), shown, "what is shown changes");
        // A replacement takes at most twelve bytes, for a character of at least one.
        assert!(shown.len() <= 12 * text.len(), "{} bytes of {}", shown.len(), text.len());
    }
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}')
}

/// A joiner stands between two characters, a selector after one on its line.
fn joiners_join(shown: &str) -> bool {
    let chars: Vec<char> = shown.chars().collect();
    chars.iter().enumerate().all(|(at, &c)| {
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
        let after = chars.get(at + 1).is_some_and(|&c| !c.is_whitespace() && !is_unsafe(c));
        (!is_joiner(c) || (after && before.is_some_and(|c| !c.is_whitespace())))
            && (!is_selector(c) || before.is_some_and(|c| c != '\n'))
    })
}

fn longest_run(shown: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in shown.chars() {
        run = if is_mark(c) || is_selector(c) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
