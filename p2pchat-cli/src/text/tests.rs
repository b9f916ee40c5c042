use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn coloured(text: &str) -> String {
    message("bob:", text, Paint::forced(true))
}

/// The text with `[` and `]` around what looks different, and how.
fn seen(text: &str) -> String {
    let marked = parse(text);
    let span = |span: &Span| {
        let Style { bold, italic, strike, code } = span.style;
        let all = [(bold, 'b'), (italic, 'i'), (strike, 's'), (code, 'c'), (span.link.is_some(), 'l')];
        let how: String = all.iter().filter(|(is_on, _)| *is_on).map(|(_, how)| how).collect();
        if how.is_empty() { span.text.clone() } else { format!("[{how}:{}]", span.text) }
    };
    let line = |block: &Block| block.spans.iter().map(span).collect::<String>();
    marked.blocks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn kinds(text: &str) -> Vec<(Kind, String)> {
    parse(text).blocks.into_iter().map(|block| (block.kind, block.marker)).collect()
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
    assert_eq!(coloured("~no~"), "bob: \u{1b}[9m~no~\u{1b}[0m");
    assert_eq!(coloured("`x`"), "bob: \u{1b}[2m`x`\u{1b}[0m");
    for plain in [
        "snake_case_name",
        "2*3*4",
        "* a * b",
        "**",
        "_",
        "a `b",
        "~/bin and ~/lib, or a ~/x~",
        "~5 to ~6",
        "****",
        "___",
        "*\u{fe0f}\u{20e3} and *\u{fe0f}\u{20e3}",
        "a* b*",
    ] {
        assert_eq!(coloured(plain), format!("bob: {plain}"));
    }
}

#[test]
fn emphasis_nests_and_what_has_no_end_is_plain() {
    for (text, shown) in [
        ("*so _very_ so*", "[b:*so ][bi:_very_][b: so*]"),
        ("*_both_*", "[b:*][bi:_both_][b:*]"),
        ("~_no_ more~", "[s:~][is:_no_][s: more~]"),
        ("*a _b* c_", "[b:*a _b*] c_"),
        ("**twice**", "[b:**twice**]"),
        ("5 *stars and *more*", "5 *stars and [b:*more*]"),
        ("(*a*), \"_b_\".", "([b:*a*]), \"[i:_b_]\"."),
        ("*one* and *two*", "[b:*one*] and [b:*two*]"),
        ("*not\nhere*", "*not\nhere*"),
    ] {
        assert_eq!(seen(text), shown);
    }
}

#[test]
fn nothing_in_code_is_interpreted() {
    for (text, shown) in [
        ("`*a* _b_ https://example.org`", "[c:`*a* _b_ https://example.org`]"),
        ("*a `b* c`", "*a [c:`b* c`]"),
        ("*a `b` c*", "[b:*a ][bc:`b`][b: c*]"),
        ("```\n*a*\n\n> b\n```\n*c*", "[c:```]\n[c:*a*]\n\n[c:> b]\n[c:```]\n[b:*c*]"),
        ("```rust\nfn\n ```", "[c:```rust]\n[c:fn]\n[c: ```]"),
        // A fence without an end, and what only looks like one.
        ("```\n*a*", "```\n[b:*a*]"),
        ("``` *a*\n```", "``` [b:*a*]\n```"),
    ] {
        assert_eq!(seen(text), shown);
    }
}

#[test]
fn quotes_and_lists_have_markers() {
    let item = |depth| Kind::Item { depth };
    for (text, kind, marker) in [
        ("> *a*", Kind::Quote, "> "),
        (">", Kind::Quote, ">"),
        ("> > a", Kind::Quote, "> > "),
        (">> a", Kind::Quote, ">> "),
        (">:(", Kind::Paragraph, ""),
        ("> >:(", Kind::Quote, "> "),
        ("- a", item(0), "- "),
        ("* a * b", item(0), "* "),
        ("  - a", item(1), "  - "),
        ("12. a", item(0), "12. "),
        ("-a", Kind::Paragraph, ""),
        ("*a*", Kind::Paragraph, ""),
        ("1.5 litres", Kind::Paragraph, ""),
        ("It was in\n20261. Yes", Kind::Paragraph, ""),
        ("- \u{301}a", Kind::Paragraph, ""),
    ] {
        assert_eq!(kinds(text).pop(), Some((kind, marker.to_owned())), "{text}");
    }
    assert_eq!(coloured("> *a*"), "bob: \u{1b}[2m> \u{1b}[0m\u{1b}[1m*a*\u{1b}[0m");
    assert_eq!(seen("> *a* b"), "[b:*a*] b");
}

#[test]
fn links_show_where_they_lead() {
    let shown = coloured("see https://example.org/a_b_c.");
    assert_eq!(
        shown,
        "bob: see \u{1b}]8;id=0;https://example.org/a_b_c\u{1b}\\\u{1b}[4mhttps://example.org/a_b_c\u{1b}[0m\u{1b}]8;;\u{1b}\\."
    );
    assert!(coloured("me@example.org").contains("]8;id=0;mailto:me@example.org\u{1b}"));
    for plain in [
        "file:///etc/passwd",
        "javascript://x/y",
        "https://exаmple.org",
        "https://example.org/\u{301}",
        // Who reads this to its end? The host is the second.
        "https://bank.example@evil.example/",
        "https://bank.example:443@evil.example/",
        "https://user:password@bank.example/",
        // Letters with more in them than to whom.
        "a?cc=you@example.org",
        "a%0d%0a@example.org",
        "https://",
        "http://\u{1b}]0;x\u{7}",
    ] {
        assert!(!coloured(plain).contains("]8;"), "{plain}");
    }
    let long = format!("https://example.org/{}", "a".repeat(3_000));
    assert!(!coloured(&long).contains("]8;"));
}

#[test]
fn links_are_found_within_other_markup_and_numbered() {
    let text = "*https://example.org*, *see* <https://xn--exmple-cua.org/?a=b#c> or _mail_ *me@example.org* (https://a.example/(b))";
    let marked = parse(text);
    let targets: Vec<&str> = marked.links.iter().map(Link::target).collect();
    assert_eq!(
        targets,
        [
            "https://example.org",
            "https://xn--exmple-cua.org/?a=b#c",
            "mailto:me@example.org",
            "https://a.example/(b)"
        ]
    );
    assert!(seen(text).starts_with("[b:*][bl:https://example.org][b:*], [b:*see*] <["), "{}", seen(text));
    let spans = marked.blocks.iter().flat_map(|block| &block.spans);
    assert_eq!(spans.filter_map(|span| span.link).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(seen("> a\n- HTTPS://EXAMPLE.ORG"), "a\n[l:HTTPS://EXAMPLE.ORG]");
}

#[test]
fn what_stands_around_each_cell_of_a_link_makes_one_link() {
    let link = parse("https://example.org").links.remove(0);
    let (open, close) = brackets(&link, 7);
    assert_eq!(open, "\u{1b}]8;id=7;https://example.org\u{1b}\\");
    assert_eq!(osc8(&link, 7, "h"), format!("{open}h{close}"));
}

#[test]
fn the_screen_has_the_same_spans() {
    use ratatui::style::Modifier;
    let marked = parse("> _so *very*_ https://example.org");
    let line = line(&marked.blocks[0]);
    let looks: Vec<_> = line.iter().map(|piece| (piece.content.as_ref(), piece.style.add_modifier)).collect();
    assert_eq!(
        looks,
        [
            ("> ", Modifier::DIM),
            ("_so ", Modifier::ITALIC),
            ("*very*", Modifier::ITALIC | Modifier::BOLD),
            ("_", Modifier::ITALIC),
            (" ", Modifier::empty()),
            ("https://example.org", Modifier::UNDERLINED),
        ]
    );
}

/// How long it takes to read and wrap `bytes` of `unit`.
#[allow(clippy::disallowed_methods, reason = "a measurement")]
fn time(unit: &str, bytes: usize) -> Duration {
    let text = unit.repeat(bytes / unit.len());
    let begun = Instant::now();
    let rows = wrap(&parse(&text).blocks, 40);
    let took = begun.elapsed();
    assert!(!rows.is_empty(), "{unit}");
    took
}

/// Four times as much takes four times as long; with a step for each pair of characters it would be sixteen times.
#[test]
fn a_message_of_markers_alone_takes_no_more_than_linear_time() {
    for unit in [
        "*",
        "_",
        "~",
        "`",
        "*a ",
        "a* ",
        "*_~",
        "* a",
        "`a ",
        "a` ",
        "*a_ b~ ",
        "http://",
        "http://a@",
        "a@",
        "a@b.",
        "://",
        "https://a.example/(",
        "mailto:",
        "> ",
        "- ",
        "1. ",
        "```\n",
        "``` \n`",
        "\n",
        "\u{301}",
        "*\u{301}",
        "a\u{1100}",
        "\u{1f1e6}",
        "\u{1f469}\u{200d}",
        "'http://",
        "\"*",
        "[",
        "*(",
    ] {
        // A busy machine may spoil one measurement, but not all of them.
        let is_linear = (0..8).any(|_| time(unit, 256 << 10) < 8 * time(unit, 64 << 10));
        assert!(is_linear, "{unit}");
    }
}

/// Pieces of what means something, and of what is hostile.
pub(crate) fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[*_~` ]{1,4}",
        "[a-z]{1,6}",
        "\\PC",
        Just("\n".to_owned()),
        Just("\n```\n".to_owned()),
        Just("\n> ".to_owned()),
        Just("\n  - ".to_owned()),
        Just("https://example.org/a_b*c".to_owned()),
        Just("https://a@b.example/".to_owned()),
        Just("me@example.org".to_owned()),
        Just("漢字。".to_owned()),
        Just("👩\u{200d}🚀🇩🇪".to_owned()),
        Just("e\u{301}".to_owned()),
        Just("\u{600}".to_owned()),
        Just("\u{1100}\u{1161}".to_owned()),
        Just("\u{1b}]0;x\u{7}".to_owned()),
        Just("\u{1b}[2J".to_owned()),
        Just("\u{202e}".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn plain_output_has_no_controls_and_coloured_output_only_ours(text in any::<String>(), other in pieces()) {
        for text in [text, other] {
            let plain = message("bob:", &text, Paint::forced(false));
            prop_assert!(!plain.contains(|c: char| c.is_control() && c != '\n'));
            let ours = ['\n', '\x1b'];
            prop_assert!(!coloured(&text).contains(|c: char| c.is_control() && !ours.contains(&c)));
        }
    }

    #[test]
    fn marker_and_spans_are_what_was_sent(text in pieces()) {
        let marked = parse(&text);
        let lines = marked.blocks.iter().map(|block| {
            let spans: String = block.spans.iter().map(|span| span.text.as_str()).collect();
            format!("{}{spans}", block.marker)
        });
        prop_assert_eq!(lines.collect::<Vec<_>>().join("\n"), sanitize::block(&text));
        for (number, link) in marked.links.iter().enumerate() {
            prop_assert!(link.target().bytes().all(|byte| byte.is_ascii_graphic()));
            let all = marked.blocks.iter().flat_map(|block| &block.spans);
            let shown: Vec<_> = all.filter(|span| span.link == Some(number)).map(|span| &span.text).collect();
            prop_assert_eq!(shown, [link.target().strip_prefix("mailto:").unwrap_or(link.target())]);
        }
    }
}
