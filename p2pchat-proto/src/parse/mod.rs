//! From a frame to a message: one cursor over the frame's fields, which knows how to say what is wrong where.
//!
//! A message's parser (in the files beside this one) asks the cursor for one field after the other. Every field is
//! lifted by the same few lines, so every [`ParseError`] names verb, field, byte and problem, and every byte that ends
//! up in a message is checked to be UTF-8 once.

mod list;
mod moderation;
mod peer;
mod registry;
mod token;
mod value;

use bytes::Bytes;
use bytestring::ByteString;
use nom::Finish;

use self::token::Token;
pub(crate) use self::{peer::peer_message, token::is_blank};
use crate::{
    dialect::Dialect,
    error::{ParseError, Problem},
    limits::Limits,
    status::Phrase,
    value::{Reason, Text},
    verb::Verb,
};

/// Where a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A stream, in which it was cut at its LF: it holds none.
    Stream,
    /// Anywhere else.
    Elsewhere,
}

/// Reads a frame: its verb, which chooses how, its fields, and nothing after them but fields that a later version added.
// Values that are handed over in memory at once cost as much again as reading them, so this is inlined, as is what it
// calls most.
#[inline(always)]
pub(crate) fn message<T, R>(
    frame: Bytes,
    origin: Origin,
    dialect: Dialect,
    limits: &Limits,
    reader: impl FnOnce(Verb) -> R,
) -> Result<T, ParseError>
where
    R: FnOnce(&mut Fields<'_>) -> Result<T, ParseError>,
{
    let found = verb(&frame);
    let known = found.as_ref().ok().map(|&(verb, _)| verb);
    let limit = match known {
        Some(Verb::PeerList | Verb::RoomsList | Verb::BanList) => limits.list_reply_bytes,
        _ => limits.frame_bytes,
    };
    if frame.len() > limit {
        return Err(error(None, "frame", 0, Problem::TooLong { limit, size: frame.len(), unit: "bytes" }));
    }
    let begun = found.map(|(verb, at)| (verb, at, reader(verb)));
    // Bytes that are not even text are the sender's first mistake, whatever else they make of a field.
    let frame = match ByteString::try_from(frame) {
        Ok(frame) => frame,
        Err(utf8) => return Err(error(known, "frame", utf8.valid_up_to(), Problem::NotUtf8)),
    };
    let (verb, at, read) = match begun {
        Ok(begun) => begun,
        Err((offset, problem)) => return Err(error(None, "verb", offset, problem)),
    };
    let rest = frame.get(at..).unwrap_or_default();
    let mut fields = Fields { frame: &frame, rest, verb, origin, dialect, limits };
    let message = read(&mut fields);
    if message.is_ok() {
        fields.finish()?;
    }
    message
}

#[cold]
fn error(verb: Option<Verb>, field: &'static str, offset: usize, problem: Problem) -> ParseError {
    ParseError { verb, field, offset, problem }
}

/// A datagram is a frame whose line ending is optional.
pub(crate) fn without_line_ending(datagram: &Bytes) -> Bytes {
    let line =
        datagram.strip_suffix(b"\n").map_or(&datagram[..], |line| line.strip_suffix(b"\r").unwrap_or(line));
    datagram.slice(..line.len())
}

/// The frame's verb, and where what comes after it begins; or where it is wrong.
#[inline]
fn verb(frame: &[u8]) -> Result<(Verb, usize), (usize, Problem)> {
    let (start, _) = token::blanks(frame).unwrap_or((frame, &[]));
    let offset = frame.len() - start.len();
    let (rest, word) = token::verb(start).map_err(|_| (offset, Problem::Missing))?;
    let verb = Verb::from_bytes(word).ok_or((offset, Problem::UnknownVerb))?;
    Ok((verb, frame.len() - rest.len()))
}

/// Whether a status's code has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Required,
    /// Some old texts leave it out; then the next thing is no three-digit number.
    Optional,
}

/// A cursor over the fields of one frame.
pub(crate) struct Fields<'a> {
    frame: &'a ByteString,
    rest: &'a str,
    verb: Verb,
    origin: Origin,
    dialect: Dialect,
    limits: &'a Limits,
}

impl<'a> Fields<'a> {
    /// A field that has to be there.
    #[inline]
    fn required<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str, &Limits) -> Result<T, Problem>,
    ) -> Result<T, ParseError> {
        if let Some(raw) = self.plain() {
            return match read(raw, self.limits) {
                Ok(value) => Ok(value),
                Err(problem) => Err(self.error(field, self.offset() - raw.len() - "<>".len(), problem)),
            };
        }
        match self.token(field)? {
            Some((at, token)) => self.value(field, at, token, read),
            None => Err(self.error(field, self.offset(), Problem::Missing)),
        }
    }

    /// A field that may be left out together with all that follow it.
    #[inline]
    fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str, &Limits) -> Result<T, Problem>,
    ) -> Result<Option<T>, ParseError> {
        let Some((at, token)) = self.token(field)? else { return Ok(None) };
        self.value(field, at, token, read).map(Some)
    }

    /// What nearly every field is: in brackets, after one blank, without escapes. Leaves everything else to
    /// [`token`](Self::token).
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        let (rest, raw) = token::plain(self.rest).ok()?;
        self.rest = rest;
        Some(raw)
    }

    fn value<T>(
        &self,
        field: &'static str,
        at: usize,
        token: Token<'a>,
        read: impl FnOnce(&str, &Limits) -> Result<T, Problem>,
    ) -> Result<T, ParseError> {
        let value = match token.escaped {
            false => read(token.raw, self.limits),
            true => token::unescape(token.raw).and_then(|text| read(&text, self.limits)),
        };
        match value {
            Ok(value) => Ok(value),
            Err(problem) => Err(self.error(field, at, problem)),
        }
    }

    /// A field that may be left out, and is only meant if it is in brackets, since text may follow it.
    fn optional_bracketed<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str, &Limits) -> Result<T, Problem>,
    ) -> Result<Option<T>, ParseError> {
        if self.after_blanks().as_bytes().first() == Some(&b'<') {
            self.optional(field, read)
        } else {
            Ok(None)
        }
    }

    /// The phrase and its code. `expected` says in words what `allowed` holds.
    fn status(
        &mut self,
        allowed: &'static [Phrase],
        expected: &'static str,
        code: Code,
    ) -> Result<Phrase, ParseError> {
        let phrase = self.required("phrase", |text, _| {
            let phrase = allowed.iter().find(|phrase| phrase.as_str().eq_ignore_ascii_case(text));
            phrase.copied().ok_or(Problem::Unexpected { expected })
        })?;
        let is_code = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        if code == Code::Optional && !self.peek(|text| is_code(text)) {
            return Ok(phrase);
        }
        self.required("code", |text, _| match text.parse() {
            Ok(code) if is_code(text) && phrase.code() == code => Ok(phrase),
            _ => Err(Problem::WrongCode { expected: phrase.code() }),
        })
    }

    /// Why something was refused, if it is told.
    fn reason(&mut self) -> Result<Option<Reason>, ParseError> {
        self.optional("reason", Reason::with_limits)
    }

    /// A field that may be long: shares the frame's memory if it holds no escape.
    fn content(&mut self, field: &'static str) -> Result<Text, ParseError> {
        let Some((at, token)) = self.token(field)? else {
            return Err(self.error(field, self.offset(), Problem::Missing));
        };
        self.shared(field, at, token.raw, token.escaped)
    }

    /// The rest of the line, after one blank and after fields that a later version added.
    #[inline(always)]
    fn text(&mut self, field: &'static str) -> Result<Text, ParseError> {
        self.pass_extensions()?;
        if let [b' ' | b'\t', ..] = self.rest.as_bytes() {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        let (at, raw) = (self.offset(), std::mem::take(&mut self.rest));
        let bytes = raw.as_bytes();
        if self.origin == Origin::Stream && memchr::memchr3(b'\\', b'\r', b'\0', bytes).is_none() {
            return self.shared(field, at, raw, false);
        }
        if let Some(i) = memchr::memchr3(b'\r', b'\n', b'\0', bytes) {
            let found = bytes.get(i).copied().unwrap_or_default().into();
            return Err(self.error(field, at, Problem::Forbidden { found }));
        }
        self.shared(field, at, raw, memchr::memchr(b'\\', bytes).is_some())
    }

    #[inline(always)]
    fn shared(&self, field: &'static str, at: usize, raw: &str, escaped: bool) -> Result<Text, ParseError> {
        let (limit, size) = (self.limits.text_bytes, token::unescaped_len(raw, escaped));
        let text = if size > limit {
            Err(Problem::TooLong { limit, size, unit: "bytes" })
        } else if escaped {
            token::unescape(raw).map(|plain| Text::unescaped(plain.into()))
        } else {
            // Neither a field nor a text goes further than to what has to be escaped.
            Ok(Text::plain(self.frame.slice_ref(raw)))
        };
        text.map_err(|problem| self.error(field, at, problem))
    }

    /// This verb is of another link or direction.
    fn unknown_verb<T>(&self) -> Result<T, ParseError> {
        let start = self.frame.len() - token::after_blanks(self.frame).len();
        Err(ParseError { verb: None, ..self.error("verb", start, Problem::UnknownVerb) })
    }

    /// The next field, or nothing at the end of the frame or of a list's record.
    fn token(&mut self, field: &'static str) -> Result<Option<(usize, Token<'a>)>, ParseError> {
        self.rest = self.after_blanks();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.offset();
        let (rest, token) = self.scan(field, token::token)?;
        if token.is_separator() {
            return Ok(None);
        }
        self.rest = rest;
        Ok(Some((at, token)))
    }

    /// True if the next field's text satisfies `condition`.
    fn peek(&self, condition: impl FnOnce(&str) -> bool) -> bool {
        let next = token::token(self.after_blanks()).ok().and_then(|(_, token)| token.text().ok());
        next.is_some_and(|text| condition(&text))
    }

    /// Passes over bracketed fields that this version doesn't know; leaves the blanks after them.
    fn pass_extensions(&mut self) -> Result<(), ParseError> {
        loop {
            let next = self.after_blanks();
            if next.as_bytes().first() != Some(&b'<') {
                return Ok(());
            }
            self.rest = next;
            let at = self.offset();
            let (rest, token) = self.scan("extension", token::bracketed)?;
            token.text().map_err(|problem| self.error("extension", at, problem))?;
            self.rest = rest;
        }
    }

    #[inline]
    fn finish(mut self) -> Result<(), ParseError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        self.pass_extensions()?;
        self.rest = self.after_blanks();
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(self.error("frame", self.offset(), Problem::Trailing)),
        }
    }

    #[inline]
    fn scan<T>(
        &self,
        field: &'static str,
        scanner: impl Fn(&'a str) -> token::Scan<'a, T>,
    ) -> Result<(&'a str, T), ParseError> {
        match scanner(self.rest).finish() {
            Ok(scanned) => Ok(scanned),
            Err(token::Fault(problem)) => Err(self.error(field, self.offset(), problem)),
        }
    }

    #[inline]
    fn after_blanks(&self) -> &'a str {
        token::after_blanks(self.rest)
    }

    #[inline]
    fn offset(&self) -> usize {
        self.frame.len() - self.rest.len()
    }

    #[cold]
    fn error(&self, field: &'static str, offset: usize, problem: Problem) -> ParseError {
        ParseError { verb: Some(self.verb), field, offset, problem }
    }
}
