//! How messages look: markup, links, continuation lines. Works on text that is sanitised here, so nothing a remote side
//! sends can be taken for what this module writes.
//!
//! A message is [parsed](parse) into lines of spans, which the line mode writes with escape sequences and the screen as
//! lines of its own. All markers stay in sight, so that what was sent can still be read off the screen and copied: a line's
//! marker and spans together are what was sent.
//!
//! No library has this subset: those for CommonMark take `*one*` for italic, have no `~strike~` with one tilde, and join,
//! indent and number lines anew, while people here see what they typed.

mod inline;
mod lines;
mod link;
mod wrap;

use anstyle::Effects;
use unicode_segmentation::GraphemeCursor;

use crate::{output::Paint, sanitize};

pub(crate) use lines::line;
pub(crate) use link::{Link, brackets, osc8};
pub(crate) use wrap::wrap;

/// A message, line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marked {
    /// Its lines; at least one.
    pub(crate) blocks: Vec<Block>,
    /// Where its links lead, in their order.
    pub(crate) links: Vec<Link>,
}

/// A line as it was sent, or a row of one that was [wrapped](wrap()).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// What it is.
    pub(crate) kind: Kind,
    /// What stands before a quote or an item, with the blanks around it; sanitised.
    pub(crate) marker: String,
    /// The rest of the line.
    pub(crate) spans: Vec<Span>,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text like any other.
    Paragraph,
    /// `> what somebody said`
    Quote,
    /// `- something`, `* something` or `1. something`
    Item {
        /// How deep in other lists, by its indentation; 0 for the outermost.
        depth: usize,
    },
    /// A line between two lines of ```` ``` ````, or one of these.
    Code,
}

/// A piece of a line that looks the same all along. It begins and ends between two grapheme clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// What is shown: sanitised, without line breaks.
    pub(crate) text: String,
    /// How.
    pub(crate) style: Style,
    /// Which of the message's [links](Marked::links) it is, counted from 0.
    pub(crate) link: Option<usize>,
}

/// How a piece of text looks. What a link looks like besides is said by [`Span::link`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// `*bold*`
    pub(crate) bold: bool,
    /// `_italic_`
    pub(crate) italic: bool,
    /// `~strike~`
    pub(crate) strike: bool,
    /// `` `code` ``, and blocks of it.
    pub(crate) code: bool,
}

/// Reads `text`, as it came, in linear time.
pub(crate) fn parse(text: &str) -> Marked {
    let shown = sanitize::block(text);
    let lines: Vec<&str> = shown.split('\n').collect();
    // A fence that nothing follows is none.
    let last_fence = lines.iter().rposition(|line| closes_code(line)).unwrap_or_default();
    let mut marked = Marked::default();
    let mut in_code = false;
    for (at, line) in lines.into_iter().enumerate() {
        let block = if in_code {
            in_code = !closes_code(line);
            code(line)
        } else if at < last_fence && opens_code(line) {
            in_code = true;
            code(line)
        } else {
            block(line, &mut marked.links)
        };
        marked.blocks.push(block);
    }
    marked
}

const FENCE: &str = "```";

fn closes_code(line: &str) -> bool {
    line.trim() == FENCE
}

/// A fence may name a language.
fn opens_code(line: &str) -> bool {
    line.trim().strip_prefix(FENCE).is_some_and(|language| !language.contains([' ', '`']))
}

fn code(line: &str) -> Block {
    let span = Span { text: line.to_owned(), style: Style { code: true, ..Style::default() }, link: None };
    let spans = if line.is_empty() { Vec::new() } else { vec![span] };
    Block { kind: Kind::Code, marker: String::new(), spans }
}

fn block(line: &str, links: &mut Vec<Link>) -> Block {
    let (kind, length) = kind(line).unwrap_or((Kind::Paragraph, 0));
    let (marker, content) = line.split_at_checked(length).unwrap_or(("", line));
    Block { kind, marker: marker.to_owned(), spans: inline::spans(content, links) }
}

/// The kind of a line that has a marker, and the marker's length in bytes.
fn kind(line: &str) -> Option<(Kind, usize)> {
    let rest = line.trim_start_matches(' ');
    let indent = line.len() - rest.len();
    let (kind, length) = if rest.starts_with('>') {
        // Quotes of quotes have as many markers, with blanks or without.
        let markers = rest.bytes().take_while(|byte| matches!(byte, b'>' | b' ')).count();
        (Kind::Quote, if markers == rest.len() { markers } else { rest.get(..markers)?.rfind(' ')? + 1 })
    } else {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let sign = rest.get(digits..)?;
        let is_marker = match digits {
            0 => sign.starts_with("- ") || sign.starts_with("* "),
            // More of them are a number that ends a sentence.
            1..=4 => sign.starts_with(". "),
            _ => false,
        };
        (Kind::Item { depth: indent / 2 }, is_marker.then_some(digits + 2)?)
    };
    let end = indent + length;
    // A mark on the blank would be drawn over the marker.
    GraphemeCursor::new(end, line.len(), true).is_boundary(line, 0).ok()?.then_some((kind, end))
}

/// Text of the program's own in rows of a width, without markup.
pub(crate) fn plain(text: &str, width: usize) -> Vec<String> {
    let blocks = text.split('\n').map(|line| Block {
        kind: Kind::Paragraph,
        marker: String::new(),
        spans: vec![Span { text: line.to_owned(), style: Style::default(), link: None }],
    });
    let rows = wrap(&blocks.collect::<Vec<_>>(), width);
    rows.iter().map(|row| row.spans.iter().map(|span| span.text.as_str()).collect()).collect()
}

/// A message behind its `label`; its further lines are indented.
pub(crate) fn message(label: &str, text: &str, paint: Paint) -> String {
    let marked = parse(text);
    let lines: Vec<String> =
        marked.blocks.iter().map(|block| format_line(block, &marked.links, paint)).collect();
    format!("{label} {}", lines.join("\n    "))
}

fn format_line(block: &Block, links: &[Link], paint: Paint) -> String {
    let mut out = match block.kind {
        Kind::Quote => paint.style(Effects::DIMMED.into(), &block.marker),
        _ => block.marker.clone(),
    };
    for span in &block.spans {
        let link = span.link.and_then(|number| Some((number, links.get(number)?)));
        match link {
            Some((number, link)) if paint.is_on() => {
                let style = (effects(span.style) | Effects::UNDERLINE).into();
                out.push_str(&osc8(link, number, &paint.style(style, &span.text)));
            }
            _ if span.style == Style::default() => out.push_str(&span.text),
            _ => out.push_str(&paint.style(effects(span.style).into(), &span.text)),
        }
    }
    out
}

fn effects(style: Style) -> Effects {
    [
        (style.bold, Effects::BOLD),
        (style.italic, Effects::ITALIC),
        (style.strike, Effects::STRIKETHROUGH),
        (style.code, Effects::DIMMED),
    ]
    .into_iter()
    .fold(Effects::new(), |all, (is_on, effect)| all.set(effect, is_on || all.contains(effect)))
}

#[cfg(test)]
pub(crate) mod tests;
