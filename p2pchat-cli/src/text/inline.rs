//! Markup within a line.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::{Link, Span, Style, link};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emphasis {
    Bold,
    Italic,
    Strike,
}

/// A character that may begin or end something: emphasis, or code.
///
/// As in ordinary writing, it begins at a word's start and ends at a word's end, so `snake_case_names` and `2*3*4` stay
/// plain.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: usize,
    emphasis: Option<Emphasis>,
    opens: bool,
    closes: bool,
}

/// Where something changes in a line.
#[derive(Debug, Clone, Copy)]
enum Change {
    Open(Emphasis),
    Close(Emphasis),
    Code,
    Link(usize),
}

type Changes = Vec<(Range<usize>, Change)>;

/// The spans of a sanitised line; its links are added to `links`.
pub(super) fn spans(line: &str, links: &mut Vec<Link>) -> Vec<Span> {
    let marks = marks(line);
    // What is found first isn't looked into later: code, then links, then emphasis. The sorts are of a few sorted runs,
    // for which they take linear time.
    let mut changes = code(&marks);
    let found = links_between(&changes, line, links);
    changes.extend(found);
    changes.sort_by_key(|(range, _)| range.start);
    let emphasis = emphasis(&marks, &changes);
    changes.extend(emphasis);
    changes.sort_by_key(|(range, _)| range.start);
    write(line, changes)
}

fn marks(line: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut before: Option<char> = None;
    for (at, cluster) in line.grapheme_indices(true) {
        // With something on it, it is another sign, such as a telephone's `*`.
        let emphasis = match cluster {
            "*" => Some(Some(Emphasis::Bold)),
            "_" => Some(Some(Emphasis::Italic)),
            "~" => Some(Some(Emphasis::Strike)),
            "`" => Some(None),
            _ => None,
        };
        if let Some(emphasis) = emphasis {
            let after = line.get(at + 1..).and_then(|rest| rest.chars().next());
            let is_home = emphasis == Some(Emphasis::Strike) && after == Some('/');
            let opens = !before.is_some_and(char::is_alphanumeric)
                && after.is_some_and(|c| !c.is_whitespace())
                && !is_home;
            let closes =
                before.is_some_and(|c| !c.is_whitespace()) && !after.is_some_and(char::is_alphanumeric);
            marks.push(Mark { at, emphasis, opens, closes });
        }
        before = cluster.chars().next_back();
    }
    marks
}

/// Code ends at the next sign of its kind, or isn't any.
fn code(marks: &[Mark]) -> Changes {
    let mut ticks = marks.iter().filter(|mark| mark.emphasis.is_none()).peekable();
    let mut found = Vec::new();
    while let Some(open) = ticks.next() {
        if let Some(close) = ticks.next_if(|close| open.opens && close.closes && open.at + 1 < close.at) {
            found.push((open.at..close.at + 1, Change::Code));
        }
    }
    found
}

fn links_between(code: &[(Range<usize>, Change)], line: &str, links: &mut Vec<Link>) -> Changes {
    let starts = std::iter::once(0).chain(code.iter().map(|(range, _)| range.end));
    let ends = code.iter().map(|(range, _)| range.start).chain([line.len()]);
    let mut found = Vec::new();
    for (start, end) in starts.zip(ends) {
        for (range, link) in link::find(line.get(start..end).unwrap_or_default()) {
            found.push((start + range.start..start + range.end, Change::Link(links.len())));
            links.push(link);
        }
    }
    found
}

/// Pairs of marks outside of `taken`, which is in order. A mark is put on the stack of what is open, and taken from it, once
/// at most, so that a line of nothing but marks takes no longer than another.
fn emphasis(marks: &[Mark], taken: &[(Range<usize>, Change)]) -> Changes {
    let mut taken = taken.iter().map(|(range, _)| range).peekable();
    let mut stack: Vec<(usize, Emphasis)> = Vec::new();
    let mut open = Open::default();
    let mut pairs = Vec::new();
    for mark in marks {
        while taken.next_if(|range| range.end <= mark.at).is_some() {}
        let Some(emphasis) = mark.emphasis else { continue };
        if taken.peek().is_some_and(|range| range.contains(&mark.at)) {
            continue;
        }
        let is_empty = stack.last().is_some_and(|&last| last == (mark.at.wrapping_sub(1), emphasis));
        if mark.closes && !is_empty && *open.count(emphasis) > 0 {
            // What was begun in between, and has no end there, is plain.
            while let Some((at, other)) = stack.pop() {
                *open.count(other) -= 1;
                if other == emphasis {
                    pairs.push((at..at + 1, Change::Open(emphasis)));
                    pairs.push((mark.at..mark.at + 1, Change::Close(emphasis)));
                    break;
                }
            }
        } else if mark.opens {
            *open.count(emphasis) += 1;
            stack.push((mark.at, emphasis));
        }
    }
    pairs
}

/// How many of each kind have begun and not ended.
#[derive(Debug, Default)]
struct Open {
    bold: usize,
    italic: usize,
    strike: usize,
}

impl Open {
    fn count(&mut self, emphasis: Emphasis) -> &mut usize {
        match emphasis {
            Emphasis::Bold => &mut self.bold,
            Emphasis::Italic => &mut self.italic,
            Emphasis::Strike => &mut self.strike,
        }
    }

    fn style(&self) -> Style {
        Style { bold: self.bold > 0, italic: self.italic > 0, strike: self.strike > 0, code: false }
    }
}

fn write(line: &str, changes: Changes) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut open = Open::default();
    let mut from = 0;
    for (range, change) in changes {
        push(&mut spans, line.get(from..range.start), open.style(), None);
        from = range.end;
        // The markers look like what is between them.
        if let Change::Open(emphasis) = change {
            *open.count(emphasis) += 1;
        }
        let style = Style { code: matches!(change, Change::Code), ..open.style() };
        let link = if let Change::Link(number) = change { Some(number) } else { None };
        push(&mut spans, line.get(range), style, link);
        if let Change::Close(emphasis) = change {
            *open.count(emphasis) -= 1;
        }
    }
    push(&mut spans, line.get(from..), open.style(), None);
    spans
}

fn push(spans: &mut Vec<Span>, text: Option<&str>, style: Style, link: Option<usize>) {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return };
    match spans.last_mut() {
        Some(last) if last.style == style && last.link.is_none() && link.is_none() => {
            last.text.push_str(text)
        }
        _ => spans.push(Span { text: text.to_owned(), style, link }),
    }
}
