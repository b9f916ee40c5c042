//! Hyperlinks: which there are, and how a terminal is told of them.

use std::ops::Range;

use linkify::{LinkFinder, LinkKind};
use unicode_segmentation::GraphemeCursor;

/// Terminals pass over longer targets (VTE over those of more than 2083 bytes).
const MAX_BYTES: usize = 2_048;

/// What opens a web page or a letter. All of it stands in the message, but for `mailto:`; it is visible ASCII, begins with
/// `http://`, `https://` or `mailto:`, and names a host and nobody in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    target: String,
}

impl Link {
    /// Where it leads.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Only what a reader sees in full: a host in look-alike letters, or behind a name that could be taken for the host
    /// (`https://bank.example@evil.example/`), gets no link.
    fn web(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
        let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let is_host =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b));
        (is_web && is_host).then(|| Self::new(url.to_owned()))?
    }

    /// No address that says more than to whom: what stands behind a `?` would be a letter's fields.
    fn mail(address: &str) -> Option<Self> {
        let (user, host) = address.split_once('@')?;
        let is_plain = |part: &str, others: &[u8]| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
        };
        (is_plain(user, b".+-_") && is_plain(host, b".-")).then(|| Self::new(format!("mailto:{address}")))?
    }

    fn new(target: String) -> Option<Self> {
        (target.len() <= MAX_BYTES && target.bytes().all(|byte| byte.is_ascii_graphic()))
            .then_some(Self { target })
    }
}

/// The links in `text`, which is sanitised and of one line, and where they are.
pub(super) fn find(text: &str) -> Vec<(Range<usize>, Link)> {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url, LinkKind::Email]);
    let found = finder.links(text).filter_map(|found| {
        let (range, link) = match found.kind() {
            LinkKind::Url => (found.start()..found.end(), Link::web(found.as_str())?),
            LinkKind::Email => {
                // Markup may stand before an address, but for the finder it could be of it.
                let address = found.as_str().trim_start_matches(['*', '_', '~', '`']);
                (found.end() - address.len()..found.end(), Link::mail(address)?)
            }
            _ => return None,
        };
        // Letters may have something before them that they are one with.
        let parts = |at| GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0) == Ok(true);
        (parts(range.start) && parts(range.end)).then_some((range, link))
    });
    found.collect()
}

/// What a terminal is told before and after each part of a link that is shown (OSC 8). The parts of one link have the same
/// `id`, as on several rows; links to elsewhere may have it too.
///
/// Nothing else writes such sequences: what others send has none left.
pub(crate) fn brackets(link: &Link, id: usize) -> (String, &'static str) {
    (format!("\u{1b}]8;id={id};{}\u{1b}\\", link.target), "\u{1b}]8;;\u{1b}\\")
}

/// A link around `shown`, which is sanitised.
pub(crate) fn osc8(link: &Link, id: usize, shown: &str) -> String {
    let (open, close) = brackets(link, id);
    format!("{open}{shown}{close}")
}
