//! The same lines for the screen.

use ratatui::{
    style::{Modifier, Style as Look, Stylize},
    text::{Line, Span as Piece},
};

use super::{Block, Kind, Span, Style};

/// A row for the screen. Its pieces are the marker, if there is one, and then the spans, one for one. What makes links of
/// them is put around their cells once they are drawn ([`brackets`](super::brackets)): a row of the screen has no escape
/// sequences.
pub(crate) fn line(block: &Block) -> Line<'static> {
    let marker = (!block.marker.is_empty()).then(|| match block.kind {
        Kind::Quote => block.marker.clone().dim(),
        _ => block.marker.clone().into(),
    });
    let spans = block.spans.iter().map(|span| Piece::styled(span.text.clone(), look(span)));
    marker.into_iter().chain(spans).collect()
}

fn look(span: &Span) -> Look {
    let Style { bold, italic, strike, code } = span.style;
    let modifiers = [
        (bold, Modifier::BOLD),
        (italic, Modifier::ITALIC),
        (strike, Modifier::CROSSED_OUT),
        (code, Modifier::DIM),
        (span.link.is_some(), Modifier::UNDERLINED),
    ];
    modifiers.into_iter().filter(|(is_on, _)| *is_on).fold(Look::new(), |look, (_, on)| look.add_modifier(on))
}
