//! Lines cut to a width in terminal cells.

use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

use super::{Block, Kind, Span, Style};

/// In place of what is wider than a whole row.
const TOO_WIDE: &str = "?";

/// What stays with the wide character before it.
const NEVER_FIRST: &[char] = &[
    '、', '。', '，', '．', '：', '；', '！', '？', '）', '」', '』', '】', '》', '〉', 'ー', ',', '.', ':',
    ';', '!', '?', ')',
];

/// A grapheme cluster, which is never cut.
#[derive(Debug, Clone, Copy)]
struct Cluster<'t> {
    text: &'t str,
    cells: usize,
    span: usize,
}

impl Cluster<'_> {
    fn is_blank(self) -> bool {
        self.text == " "
    }
}

/// `blocks` as rows of at most `width` cells, by the widths that the screen goes by; a width of 0 counts as 1.
///
/// Rows end between words, of which one wider than a row is cut, and beside wide characters, which are written without
/// blanks; the blanks where a row ends are left out. Code is cut anywhere and keeps its blanks. Further rows of a quote
/// have its marker again, those of an item blanks in its place; a marker wider than half a row is text like any other.
pub(crate) fn wrap(blocks: &[Block], width: usize) -> Vec<Block> {
    blocks.iter().flat_map(|block| wrap_block(block, width.max(1))).collect()
}

fn wrap_block(block: &Block, width: usize) -> Vec<Block> {
    let marker_cells = cells(&block.marker);
    if marker_cells * 2 > width {
        let marker = Span { text: block.marker.clone(), style: Style::default(), link: None };
        let spans = std::iter::once(marker).chain(block.spans.iter().cloned()).collect();
        return wrap_block(&Block { kind: block.kind, marker: String::new(), spans }, width);
    }
    let further = match block.kind {
        Kind::Quote => block.marker.clone(),
        _ => " ".repeat(marker_cells),
    };
    let room = width - marker_cells;
    let clusters = clusters(&block.spans, room);
    let rows = if block.kind == Kind::Code { cut_anywhere(&clusters, room) } else { cut(&clusters, room) };
    rows.into_iter()
        .enumerate()
        .map(|(n, row)| Block {
            kind: block.kind,
            marker: if n == 0 { block.marker.clone() } else { further.clone() },
            spans: spans(row, &block.spans),
        })
        .collect()
}

fn cells(text: &str) -> usize {
    text.graphemes(true).map(|cluster| usize::from(cluster.cell_width())).sum()
}

fn clusters(spans: &[Span], room: usize) -> Vec<Cluster<'_>> {
    let each = spans.iter().enumerate().flat_map(|(span, Span { text, .. })| {
        text.graphemes(true).map(move |text| Cluster { text, cells: text.cell_width().into(), span })
    });
    each.map(|cluster| match cluster.cells {
        cells if cells > room => Cluster { text: TOO_WIDE, cells: 1, ..cluster },
        _ => cluster,
    })
    .collect()
}

fn cut_anywhere<'c, 't>(clusters: &'c [Cluster<'t>], room: usize) -> Vec<&'c [Cluster<'t>]> {
    let mut rows = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (at, cluster) in clusters.iter().enumerate() {
        if used + cluster.cells > room {
            rows.extend(clusters.get(start..at));
            (start, used) = (at, 0);
        }
        used += cluster.cells;
    }
    rows.extend(clusters.get(start..));
    rows
}

/// Goes back over what it has seen once for each row at most, to the last place where the row may end.
fn cut<'c, 't>(clusters: &'c [Cluster<'t>], room: usize) -> Vec<&'c [Cluster<'t>]> {
    let mut rows = Vec::new();
    // Where the row began, its cells, and the last place where it may end with what it had up to there.
    let (mut start, mut used, mut end) = (0, 0, None);
    let mut after_wide = false;
    for (at, cluster) in clusters.iter().enumerate() {
        let is_wide = cluster.cells > 1;
        if at > start && (is_wide || after_wide) && !cluster.text.starts_with(NEVER_FIRST) {
            end = Some((at, used));
        }
        after_wide = is_wide;
        while used + cluster.cells > room && at > start {
            // A blank that has no room ends the row; so does whatever has none, if there was no place before.
            let (at, before) = end.take().filter(|_| !cluster.is_blank()).unwrap_or((at, used));
            rows.extend(clusters.get(start..at).and_then(without_last_blanks));
            start = at;
            used -= before;
        }
        // Blanks between rows.
        if cluster.is_blank() && at == start && start > 0 {
            start = at + 1;
            continue;
        }
        used += cluster.cells;
        if cluster.is_blank() {
            end = Some((at + 1, used));
        }
    }
    let last = clusters.get(start..).unwrap_or_default();
    if rows.is_empty() || !last.is_empty() {
        rows.push(last);
    }
    rows
}

/// `None` if nothing is left.
fn without_last_blanks<'c, 't>(row: &'c [Cluster<'t>]) -> Option<&'c [Cluster<'t>]> {
    let end = row.iter().rposition(|cluster| !cluster.is_blank())? + 1;
    row.get(..end)
}

/// The spans that `row` is of, with what is in the row.
fn spans(row: &[Cluster<'_>], of: &[Span]) -> Vec<Span> {
    let parts = row.chunk_by(|one, next| one.span == next.span);
    let spans = parts.filter_map(|part| {
        let whole = of.get(part.first()?.span)?;
        let text = part.iter().map(|cluster| cluster.text).collect();
        Some(Span { text, style: whole.style, link: whole.link })
    });
    spans.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{parse, tests::pieces};
    use super::*;

    fn text(block: &Block) -> String {
        let spans: String = block.spans.iter().map(|span| span.text.as_str()).collect();
        format!("{}{spans}", block.marker)
    }

    fn wrapped(message: &str, width: usize) -> Vec<String> {
        wrap(&parse(message).blocks, width).iter().map(text).collect()
    }

    #[test]
    fn rows_end_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two  three", 8), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 9), ["one two", "three"]);
        assert_eq!(wrapped("so, extraordinarily long", 8), ["so,", "extraord", "inarily", "long"]);
        assert_eq!(wrapped("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrapped("   a b", 3), ["a b"]);
        assert_eq!(wrapped("", 8), [""]);
        assert_eq!(wrapped("abc", 1), ["a", "b", "c"]);
    }

    #[test]
    fn wide_characters_need_no_blanks_and_are_never_cut() {
        assert_eq!(wrapped("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(wrapped("ab漢字。漢", 7), ["ab漢", "字。漢"]);
        assert_eq!(wrapped("漢a", 1), ["?", "a"]);
        assert_eq!(wrapped("👩\u{200d}🚀👨🏽\u{200d}💻🇩🇪", 4), ["👩\u{200d}🚀👨🏽\u{200d}💻", "🇩🇪"]);
        assert_eq!(wrapped("e\u{301}e\u{301}", 1), ["e\u{301}", "e\u{301}"]);
        assert_eq!(wrapped("👩\u{200d}🚀", 1), ["?"]);
    }

    #[test]
    fn quotes_keep_their_marker_and_items_their_place() {
        assert_eq!(wrapped("> one two", 6), ["> one", "> two"]);
        assert_eq!(wrapped("10. one two", 8), ["10. one", "    two"]);
        assert_eq!(wrapped("  - one two", 8), ["  - one", "    two"]);
        // No room for both.
        assert_eq!(wrapped("> one", 3), [">", "one"]);
        assert_eq!(wrapped("> a", 1), [">", "a"]);
    }

    #[test]
    fn code_is_cut_anywhere_and_keeps_its_blanks() {
        assert_eq!(wrapped("```\na   b\n```", 3), ["```", "a  ", " b", "```"]);
    }

    #[test]
    fn a_link_over_several_rows_stays_one() {
        let rows = wrap(&parse("*see* https://example.org/").blocks, 10);
        let links = rows.iter().flat_map(|row| &row.spans).filter_map(|span| span.link);
        assert_eq!(links.collect::<Vec<_>>(), [0, 0]);
        assert_eq!(rows.iter().map(text).collect::<Vec<_>>(), ["*see*", "https://ex", "ample.org/"]);
    }

    proptest! {
        #[test]
        fn no_row_is_too_wide_and_nothing_but_blanks_is_lost(of in prop_oneof![any::<String>(), pieces()], width in 1..=200_usize) {
            let marked = parse(&of);
            for block in &marked.blocks {
                let rows = wrap(std::slice::from_ref(block), width);
                prop_assert!(!rows.is_empty());
                for row in &rows {
                    prop_assert_eq!(row.kind, block.kind);
                    prop_assert!(cells(&text(row)) <= width, "{:?} at {}", row, width);
                    // The screen draws spans one by one.
                    let drawn = row.spans.iter().map(|span| cells(&span.text)).sum::<usize>() + cells(&row.marker);
                    prop_assert!(drawn <= width, "{:?} at {}", row, width);
                }
                // What is too wide for a row is replaced, and then it is another text.
                let before = text(block);
                if before.graphemes(true).all(|cluster| usize::from(cluster.cell_width()) * 2 <= width) {
                    let first = rows.first().map(|row| row.marker.as_str()).unwrap_or_default();
                    let spans = rows.iter().flat_map(|row| &row.spans).map(|span| span.text.as_str());
                    let after: String = std::iter::once(first).chain(spans).collect();
                    let is_code = block.kind == Kind::Code;
                    let clusters = |text: &str| -> Vec<String> {
                        text.graphemes(true).filter(|&cluster| is_code || cluster != " ").map(str::to_owned).collect()
                    };
                    prop_assert_eq!(clusters(&after), clusters(&before));
                }
            }
            // With room for all of it, it stays as it is.
            let whole = wrap(&marked.blocks, usize::MAX / 2);
            prop_assert_eq!(whole, marked.blocks);
        }
    }
}
