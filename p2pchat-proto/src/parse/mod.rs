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
use nom::Finish;

use self::token::Token;
pub(crate) use self::token::is_blank;
use crate::{
    dialect::Dialect,
    error::{ParseError, Problem},
    limits::Limits,
    status::Phrase,
    value::{Reason, Text},
    verb::Verb,
};

/// Reads a frame: its verb, by `read` its fields, and nothing after them but fields that a later version added.
pub(crate) fn message<T>(
    frame: &Bytes,
    dialect: Dialect,
    limits: &Limits,
    read: impl FnOnce(&mut Fields<'_>) -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    let (verb, rest) = verb(frame);
    let limit = match verb {
        Ok(Verb::PeerList | Verb::RoomsList | Verb::BanList) => limits.list_reply_bytes,
        _ => limits.frame_bytes,
    };
    if frame.len() > limit {
        let problem = Problem::TooLong { limit, size: frame.len(), unit: "bytes" };
        return Err(ParseError { verb: None, field: "frame", offset: 0, problem });
    }
    let message = verb.and_then(|verb| {
        let mut fields = Fields { frame, rest, verb, dialect, limits };
        let message = read(&mut fields)?;
        fields.finish()?;
        Ok(message)
    });
    // Bytes that are not even text are the sender's first mistake, whatever else they make of a field.
    message.map_err(|error| match str::from_utf8(frame) {
        Ok(_) => error,
        Err(utf8) => {
            ParseError { field: "frame", offset: utf8.valid_up_to(), problem: Problem::NotUtf8, ..error }
        }
    })
}

/// A datagram is a frame whose line ending is optional.
pub(crate) fn without_line_ending(datagram: &Bytes) -> Bytes {
    let line =
        datagram.strip_suffix(b"\n").map_or(&datagram[..], |line| line.strip_suffix(b"\r").unwrap_or(line));
    datagram.slice(..line.len())
}

/// The frame's verb and what comes after it.
fn verb(frame: &[u8]) -> (Result<Verb, ParseError>, &[u8]) {
    let start = token::blanks(frame).map_or(frame, |(rest, _)| rest);
    let (problem, rest) = match token::verb(start) {
        Ok((rest, word)) => match Verb::from_bytes(word) {
            Some(verb) => return (Ok(verb), rest),
            None => (Problem::UnknownVerb, rest),
        },
        Err(_) => (Problem::Missing, start),
    };
    (Err(ParseError { verb: None, field: "verb", offset: frame.len() - start.len(), problem }), rest)
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
    frame: &'a Bytes,
    rest: &'a [u8],
    verb: Verb,
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
        match self.optional(field, read)? {
            Some(value) => Ok(value),
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
        token.text().and_then(|text| read(&text, self.limits)).map(Some).map_err(|p| self.error(field, at, p))
    }

    /// A field that may be left out, and is only meant if it is in brackets, since text may follow it.
    fn optional_bracketed<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str, &Limits) -> Result<T, Problem>,
    ) -> Result<Option<T>, ParseError> {
        if self.after_blanks().starts_with(b"<") { self.optional(field, read) } else { Ok(None) }
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
        self.shared(field, at, at + usize::from(token.bracketed), token.raw, token.escaped)
    }

    /// The rest of the line, after one blank and after fields that a later version added.
    fn text(&mut self, field: &'static str) -> Result<Text, ParseError> {
        self.pass_extensions()?;
        if self.rest.first().copied().is_some_and(is_blank) {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        let (at, raw) = (self.offset(), std::mem::take(&mut self.rest));
        if let Some(i) = memchr::memchr3(b'\r', b'\n', b'\0', raw) {
            let found = raw.get(i).copied().unwrap_or_default().into();
            return Err(self.error(field, at, Problem::Forbidden { found }));
        }
        self.shared(field, at, at, raw, memchr::memchr(b'\\', raw).is_some())
    }

    fn shared(
        &self,
        field: &'static str,
        at: usize,
        start: usize,
        raw: &[u8],
        escaped: bool,
    ) -> Result<Text, ParseError> {
        let text = if escaped {
            let (limit, size) = (self.limits.text_bytes, token::unescaped_len(raw));
            if size > limit {
                return Err(self.error(field, at, Problem::TooLong { limit, size, unit: "bytes" }));
            }
            let plain = str::from_utf8(raw).map_err(|_| Problem::NotUtf8).and_then(token::unescape);
            plain.and_then(|plain| Text::from_bytes(plain.into(), self.limits))
        } else {
            // Neither a field nor a text is read further than to what it can't hold as it is.
            Text::from_wire(self.frame.slice(start..start + raw.len()), true, self.limits)
        };
        text.map_err(|problem| self.error(field, at, problem))
    }

    /// This verb is of another link or direction.
    fn unknown_verb<T>(&self) -> Result<T, ParseError> {
        let start = token::blanks(self.frame).map_or(0, |(_, blanks)| blanks.len());
        Err(ParseError { verb: None, ..self.error("verb", start, Problem::UnknownVerb) })
    }

    /// The next field, or nothing at the end of the frame or of a list's record.
    #[inline]
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
        while self.after_blanks().starts_with(b"<") {
            self.rest = self.after_blanks();
            let at = self.offset();
            let (rest, token) = self.scan("extension", token::bracketed)?;
            token.text().map_err(|problem| self.error("extension", at, problem))?;
            self.rest = rest;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), ParseError> {
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
        scanner: fn(&'a [u8]) -> token::Scan<'a, T>,
    ) -> Result<(&'a [u8], T), ParseError> {
        scanner(self.rest).finish().map_err(|token::Fault(problem)| self.error(field, self.offset(), problem))
    }

    #[inline]
    fn after_blanks(&self) -> &'a [u8] {
        token::blanks(self.rest).map_or(self.rest, |(rest, _)| rest)
    }

    fn offset(&self) -> usize {
        self.frame.len() - self.rest.len()
    }

    fn error(&self, field: &'static str, offset: usize, problem: Problem) -> ParseError {
        ParseError { verb: Some(self.verb), field, offset, problem }
    }
}
