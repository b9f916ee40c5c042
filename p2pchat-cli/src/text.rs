//! How messages look: emphasis, links, continuation lines. Works on text that is sanitised here, so nothing a remote
//! side sends can be taken for what this module writes.

use anstyle::{Effects, Style};
use linkify::{LinkFinder, LinkKind};

use crate::{output::Paint, sanitize};

/// A message behind its `label`; its further lines are indented.
pub(crate) fn message(label: &str, text: &str, paint: Paint) -> String {
    let shown = sanitize::block(text);
    let mut out = format!("{label} ");
    for (i, line) in shown.split('\n').enumerate() {
        if i > 0 {
            out.push_str("\n    ");
        }
        out.push_str(&format_line(line, paint));
    }
    out
}

/// One sanitised line with its links, and between them `*bold*`, `_italic_` and `` `code` ``, if colours are on.
fn format_line(line: &str, paint: Paint) -> String {
    if !paint.is_on() {
        return line.to_owned();
    }
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url, LinkKind::Email]);
    let mut out = String::with_capacity(line.len());
    for span in finder.spans(line) {
        match (span.kind(), span.as_str()) {
            (Some(LinkKind::Url), url) if is_web_address(url) => push_link(&mut out, url, url, paint),
            (Some(LinkKind::Email), address) if address.is_ascii() => {
                push_link(&mut out, &format!("mailto:{address}"), address, paint);
            }
            (_, text) => push_emphasised(&mut out, text, paint),
        }
    }
    out
}

/// Only what a reader sees in full: a host in look-alike letters gets no link.
fn is_web_address(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    url.is_ascii() && matches!(scheme.as_deref(), Some("http" | "https"))
}

/// An OSC 8 hyperlink whose target is in sight.
fn push_link(out: &mut String, target: &str, shown: &str, paint: Paint) {
    let shown = paint.style(Style::new().effects(Effects::UNDERLINE), shown);
    out.push_str(&format!("\u{1b}]8;;{target}\u{1b}\\{shown}\u{1b}]8;;\u{1b}\\"));
}

/// The markers stay in sight, so that what was sent can still be read off the screen and copied.
fn push_emphasised(out: &mut String, text: &str, paint: Paint) {
    let mut rest = text;
    let mut before = None;
    while let Some(at) = rest.find(['*', '_', '`']) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        before = plain.chars().next_back().or(before);
        match emphasis(from, before) {
            Some((style, length)) => {
                let (marked, after) = from.split_at(length);
                out.push_str(&paint.style(style, marked));
                before = marked.chars().next_back();
                rest = after;
            }
            None => {
                let (marker, after) = from.split_at(1);
                out.push_str(marker);
                before = marker.chars().next_back();
                rest = after;
            }
        }
    }
    out.push_str(rest);
}

/// The emphasis that starts with `text`'s first character, and its length in bytes with both markers.
///
/// As in ordinary writing, a marker opens at a word's start and closes at a word's end, so `snake_case_names` and
/// `2*3*4` stay plain.
fn emphasis(text: &str, before: Option<char>) -> Option<(Style, usize)> {
    let mut chars = text.chars();
    let marker = chars.next()?;
    let inner = chars.as_str();
    if before.is_some_and(char::is_alphanumeric) || inner.starts_with(char::is_whitespace) {
        return None;
    }
    let end = inner.find(marker)?;
    let (content, after) = inner.split_at(end);
    let closes = !after.chars().nth(1).is_some_and(char::is_alphanumeric);
    if content.is_empty() || content.ends_with(char::is_whitespace) || !closes {
        return None;
    }
    let style = match marker {
        '*' => Style::new().effects(Effects::BOLD),
        '_' => Style::new().effects(Effects::ITALIC),
        _ => Style::new().effects(Effects::DIMMED),
    };
    Some((style, end + 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coloured(text: &str) -> String {
        message("bob:", text, Paint::forced(true))
    }

    #[test]
    fn further_lines_are_indented_so_nobody_can_fake_a_speaker() {
        let shown = message("bob:", "one\nalice: two", Paint::forced(false));
        assert_eq!(shown, "bob: one\n    alice: two");
    }

    #[test]
    fn emphasis_is_seen_where_a_word_starts_and_ends() {
        assert_eq!(coloured("so *very* so"), "bob: so \u{1b}[1m*very*\u{1b}[0m so");
        assert_eq!(coloured("_no_"), "bob: \u{1b}[3m_no_\u{1b}[0m");
        assert_eq!(coloured("`x`"), "bob: \u{1b}[2m`x`\u{1b}[0m");
        for plain in ["snake_case_name", "2*3*4", "* a * b", "**", "_", "a `b"] {
            assert_eq!(coloured(plain), format!("bob: {plain}"));
        }
    }

    #[test]
    fn links_show_where_they_lead() {
        let shown = coloured("see https://example.org/a_b_c.");
        assert_eq!(
            shown,
            "bob: see \u{1b}]8;;https://example.org/a_b_c\u{1b}\\\u{1b}[4mhttps://example.org/a_b_c\u{1b}[0m\u{1b}]8;;\u{1b}\\."
        );
        assert!(coloured("me@example.org").contains("]8;;mailto:me@example.org\u{1b}"));
        for plain in ["file:///etc/passwd", "javascript://x/y", "https://exаmple.org"] {
            assert!(!coloured(plain).contains("]8;;"), "{plain}");
        }
    }

    proptest! {
        #[test]
        fn plain_output_has_no_controls_and_coloured_output_only_ours(text in any::<String>()) {
            let plain = message("bob:", &text, Paint::forced(false));
            prop_assert!(!plain.contains(|c: char| c.is_control() && c != '\n'));
            let ours = ['\n', '\x1b'];
            prop_assert!(!coloured(&text).contains(|c: char| c.is_control() && !ours.contains(&c)));
        }
    }
}
