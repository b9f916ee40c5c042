//! What somebody may have meant who wrote something else.

/// How alike two words have to be to be taken for one another.
const LIKENESS: f64 = 0.8;

/// The one of `known` that is most like `word`, if one is.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| strsim::jaro_winkler(other, word);
    known
        .into_iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|other| likeness(other) > LIKENESS)
}
