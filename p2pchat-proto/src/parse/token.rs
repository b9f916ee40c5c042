//! The tokenizer: what a frame is made of below its fields (PROTOCOL.md §3.1). nom's `complete` parsers over bytes.

use std::borrow::Cow;

use nom::{
    IResult,
    bytes::complete::{take_till1, take_while},
    character::complete::char,
};

use crate::error::Problem;

/// Why bytes are no token.
#[derive(Debug)]
pub(super) struct Fault(pub(super) Problem);

impl<I> nom::error::ParseError<I> for Fault {
    fn from_error_kind(_: I, _: nom::error::ErrorKind) -> Self {
        Self(Problem::Missing)
    }

    fn append(_: I, _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

pub(super) type Scan<'a, T> = IResult<&'a str, T, Fault>;

/// A field or bare word as it stands in the frame, brackets taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) raw: &'a str,
    pub(super) escaped: bool,
    pub(super) bracketed: bool,
}

impl<'a> Token<'a> {
    /// The characters that the token stands for.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, Problem> {
        if self.escaped { unescape(self.raw).map(Cow::Owned) } else { Ok(Cow::Borrowed(self.raw)) }
    }

    /// True for the word that parts the records of a list.
    pub(super) fn is_separator(&self) -> bool {
        !self.bracketed && self.raw == ","
    }
}

pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Any run of blanks, also none.
#[inline]
pub(super) fn blanks(input: &[u8]) -> IResult<&[u8], &[u8], Fault> {
    take_while(is_blank)(input)
}

/// What comes after any run of blanks.
#[inline]
pub(super) fn after_blanks(text: &str) -> &str {
    let blanks = text.bytes().take_while(|&byte| is_blank(byte)).count();
    text.get(blanks..).unwrap_or_default()
}

/// The word before the fields; `Missing` if the frame has none.
#[inline]
pub(super) fn verb(input: &[u8]) -> IResult<&[u8], &[u8], Fault> {
    take_till1(ends_word)(input)
}

/// A field in brackets, or a bare word that stands for one; `Missing` at the end.
#[inline]
pub(super) fn token(input: &str) -> Scan<'_, Token<'_>> {
    if input.as_bytes().first() == Some(&b'<') { bracketed(input) } else { word(input) }
}

/// A blank, and a field in brackets that holds no escape; an error if anything else is there.
#[inline]
pub(super) fn plain(input: &str) -> IResult<&str, &str, ()> {
    let bytes = input.as_bytes();
    let [b' ', b'<', inside @ ..] = bytes else { return Err(nom::Err::Error(())) };
    let end = 2 + inside.iter().position(|&byte| classes(byte) & FIELD != 0).unwrap_or_default();
    match (input.get(2..end), bytes.get(end), input.get(end + 1..)) {
        (Some(raw), Some(b'>'), Some(rest)) => Ok((rest, raw)),
        _ => Err(nom::Err::Error(())),
    }
}

/// A field in brackets; `Missing` if something else is there.
#[inline]
pub(super) fn bracketed(input: &str) -> Scan<'_, Token<'_>> {
    let (inside, _) = char('<')(input)?;
    let (end, (raw, escaped)) = run(inside, field_stop, |byte| byte == b'>')?;
    match end.as_bytes() {
        [b'>', ..] => Ok((end.get(1..).unwrap_or_default(), Token { raw, escaped, bracketed: true })),
        _ => Err(nom::Err::Failure(Fault(Problem::Unclosed))),
    }
}

const fn ends_word(byte: u8) -> bool {
    is_blank(byte) || byte == b'<'
}

#[inline]
fn word(input: &str) -> Scan<'_, Token<'_>> {
    let word_stop = |bytes: &[u8]| bytes.iter().position(|&byte| classes(byte) & WORD != 0);
    let (rest, (raw, escaped)) = run(input, word_stop, ends_word)?;
    if raw.is_empty() {
        return Err(nom::Err::Error(Fault(Problem::Missing)));
    }
    Ok((rest, Token { raw, escaped, bracketed: false }))
}

/// What comes before the first unescaped byte that `ends`, and whether it holds escapes. Bytes that are only allowed
/// escaped are refused. `stop` finds the first of all of them.
#[inline]
fn run(
    input: &str,
    stop: impl Fn(&[u8]) -> Option<usize>,
    ends: impl Fn(u8) -> bool,
) -> Scan<'_, (&str, bool)> {
    let bytes = input.as_bytes();
    let mut escaped = false;
    let mut at = 0;
    loop {
        let left = bytes.get(at..).unwrap_or_default();
        at += stop(left).unwrap_or(left.len());
        match bytes.get(at) {
            Some(&byte) if ends(byte) => {
                let (run, rest) = input.split_at(at);
                return Ok((rest, (run, escaped)));
            }
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(&byte) => return Err(nom::Err::Failure(Fault(Problem::Forbidden { found: byte.into() }))),
            None => return Ok(("", (input, escaped))),
        }
    }
}

/// Where the first byte of [`FIELD`] is. Most fields are short, and texts are not.
#[inline]
fn field_stop(bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 16;
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let near = near.iter().position(|&byte| classes(byte) & FIELD != 0);
    if near.is_some() || far.is_empty() {
        return near;
    }
    let end = memchr::memchr3(b'<', b'>', b'\\', far);
    let before = far.get(..end.unwrap_or(far.len())).unwrap_or_default();
    memchr::memchr3(b'\r', b'\n', b'\0', before).or(end).map(|at| NEAR + at)
}

/// Bits of [`classes`]: what could end a field, stands for something else there, or is refused; and in a word.
const FIELD: u8 = 1;
const WORD: u8 = 2;

#[allow(clippy::indexing_slicing, reason = "a byte has a place in 256")]
const fn classes(byte: u8) -> u8 {
    static CLASSES: [u8; 256] = {
        let mut classes = [0; 256];
        let mut bytes: &[u8] = b"<>\\\r\n\0";
        while let [byte, rest @ ..] = bytes {
            classes[*byte as usize] = FIELD | WORD;
            bytes = rest;
        }
        classes[b' ' as usize] = WORD;
        classes[b'\t' as usize] = WORD;
        classes
    };
    CLASSES[byte as usize]
}

/// The characters that `escaped` stands for. Every escape has the same meaning in a field and in text.
pub(super) fn unescape(escaped: &str) -> Result<String, Problem> {
    let mut plain = String::with_capacity(escaped.len());
    let mut pieces = escaped.split('\\');
    plain.push_str(pieces.next().unwrap_or_default());
    while let Some(piece) = pieces.next() {
        let mut chars = piece.chars();
        plain.push(match chars.next() {
            Some('r') => '\r',
            Some('n') => '\n',
            Some('0') => '\0',
            Some(bracket @ ('<' | '>')) => bracket,
            Some(_) => return Err(Problem::BadEscape),
            // The next character is a backslash too, or there is none at all.
            None => {
                plain.push('\\');
                match pieces.next() {
                    Some(piece) => plain.push_str(piece),
                    None => return Err(Problem::BadEscape),
                }
                continue;
            }
        });
        plain.push_str(chars.as_str());
    }
    Ok(plain)
}

/// How many bytes [`unescape`] makes of `raw`, if it is `escaped`: an escape is two bytes for one.
pub(super) fn unescaped_len(raw: &str, escaped: bool) -> usize {
    if !escaped {
        return raw.len();
    }
    let mut bytes = raw.bytes();
    let mut len = 0;
    while let Some(byte) = bytes.next() {
        len += 1;
        if byte == b'\\' {
            bytes.next();
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_what_a_field_cannot_hold() {
        assert_eq!(unescape(r"a\\b\<c\>d\re\nf\0").as_deref(), Ok("a\\b<c>d\re\nf\0"));
        assert_eq!(unescape(r"\\\\").as_deref(), Ok(r"\\"));
        assert_eq!(unescape(r"\\n").as_deref(), Ok(r"\n"));
        assert_eq!(unescaped_len(r"a\\b\<c\>d\re\nf\0", true), 12);
        assert_eq!(["abc", r"\\\\abc", r"\"].map(|raw| unescaped_len(raw, true)), [3, 5, 1]);
        for bad in [r"\", r"\x", r"a\\\", "\\\u{e9}", r"\ "] {
            assert_eq!(unescape(bad), Err(Problem::BadEscape), "{bad}");
        }
    }

    #[test]
    fn a_field_stops_at_the_same_byte_however_far_away_that_is() {
        for at in 0..100 {
            for stop in *b"<>\\\r\n\0" {
                for behind in *b"x>\r" {
                    let mut bytes = vec![b'x'; 100];
                    (bytes[at], bytes[99]) = (stop, if at == 99 { stop } else { behind });
                    assert_eq!(field_stop(&bytes), Some(at), "{stop}");
                }
            }
            assert_eq!(field_stop(&vec![b'x'; at]), None);
        }
    }

    #[test]
    fn a_token_ends_where_its_kind_does() {
        let (rest, field) = token(r"<a\>b>c").unwrap();
        assert_eq!((rest, field.raw, field.escaped, field.bracketed), ("c", r"a\>b", true, true));
        let (rest, word) = token("a,b<c>").unwrap();
        assert_eq!((rest, word.raw, word.escaped, word.bracketed), ("<c>", "a,b", false, false));
        assert!(matches!(token("<a"), Err(nom::Err::Failure(Fault(Problem::Unclosed)))));
        assert!(matches!(token(r"<a\>"), Err(nom::Err::Failure(Fault(Problem::Unclosed)))));
        assert!(matches!(token("<a<b>"), Err(nom::Err::Failure(Fault(Problem::Forbidden { found: '<' })))));
        assert!(matches!(token("a>"), Err(nom::Err::Failure(Fault(Problem::Forbidden { found: '>' })))));
        assert!(matches!(token(""), Err(nom::Err::Error(Fault(Problem::Missing)))));
    }
}
