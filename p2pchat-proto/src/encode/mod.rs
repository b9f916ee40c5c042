//! From a message to its bytes: one writer that knows how fields, texts and statuses are spelled.
//!
//! Encoding can't fail and takes no memory but the output's own. A message's encoder (in the files beside this one) is
//! the order of its fields.

mod list;
mod moderation;
mod peer;
mod registry;

use std::fmt::{Display, Write as _};

use bytes::{BufMut, BytesMut};

use crate::{
    dialect::Dialect,
    status::Phrase,
    value::{Reason, Text},
    verb::Verb,
};

/// Room for a message without a list or text, escapes aside.
const SHORT: usize = 128;

/// Appends one message to a buffer.
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
    dialect: Dialect,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut BytesMut, dialect: Dialect, verb: Verb) -> Self {
        out.reserve(SHORT);
        out.put_slice(verb.as_str().as_bytes());
        Self { out, dialect }
    }

    pub(crate) fn end_line(self) {
        if self.dialect == Dialect::Canonical {
            self.out.put_u8(b'\n');
        }
    }

    /// A field in brackets, escaped.
    fn field(&mut self, text: &str) {
        self.out.put_slice(b" <");
        self.escaped(text, in_field);
        self.out.put_u8(b'>');
    }

    /// A field in brackets of a value that needs no escapes: a number, an address, capabilities.
    fn plain(&mut self, value: impl Display) {
        self.out.put_slice(b" <");
        self.display(value);
        self.out.put_u8(b'>');
    }

    /// A field of those requests that the prototype has too, and has as bare words.
    fn word(&mut self, value: impl Display) {
        match self.dialect {
            Dialect::Canonical => self.plain(value),
            Dialect::Prototype => {
                self.out.put_u8(b' ');
                self.display(value);
            }
        }
    }

    fn status(&mut self, phrase: Phrase) {
        self.plain(phrase.as_str());
        self.plain(phrase.code());
    }

    /// A refusal: the phrase, its code, and why if that is told.
    fn refusal(&mut self, phrase: Phrase, reason: Option<&Reason>) {
        self.status(phrase);
        self.reason(reason);
    }

    fn reason(&mut self, reason: Option<&Reason>) {
        if let (Some(reason), Dialect::Canonical) = (reason, self.dialect) {
            self.field(reason.as_str());
        }
    }

    /// The rest of the line. Only a `<` where a field could start needs its escape, besides what no line can hold.
    fn text(&mut self, text: &Text) {
        let text = text.as_str();
        if text.is_empty() {
            return;
        }
        self.out.reserve(text.len() + 2);
        self.out.put_u8(b' ');
        let (blanks, rest) = text.split_at(text.len() - text.trim_start_matches([' ', '\t']).len());
        self.out.put_slice(blanks.as_bytes());
        match rest.strip_prefix('<') {
            Some(rest) => {
                self.out.put_slice(br"\<");
                self.escaped(rest, in_text);
            }
            None => self.escaped(rest, in_text),
        }
    }

    fn escaped(&mut self, text: &str, escape: impl Fn(u8) -> Option<u8>) {
        let mut rest = text.as_bytes();
        while let Some((at, letter)) =
            rest.iter().enumerate().find_map(|(at, &byte)| Some((at, escape(byte)?)))
        {
            let (plain, from) = rest.split_at(at);
            self.out.put_slice(plain);
            self.out.put_slice(&[b'\\', letter]);
            rest = from.get(1..).unwrap_or_default();
        }
        self.out.put_slice(rest);
    }

    fn display(&mut self, value: impl Display) {
        // A `BytesMut` grows as it is written to; it refuses at `usize::MAX` bytes alone.
        let _ = write!(self.out, "{value}");
    }
}

/// What stands after the backslash for a byte that a field can't hold.
const fn in_field(byte: u8) -> Option<u8> {
    match byte {
        b'<' | b'>' => Some(byte),
        _ => in_text(byte),
    }
}

/// What stands after the backslash for a byte that no frame can hold as it is.
const fn in_text(byte: u8) -> Option<u8> {
    match byte {
        b'\\' => Some(b'\\'),
        b'\r' => Some(b'r'),
        b'\n' => Some(b'n'),
        b'\0' => Some(b'0'),
        _ => None,
    }
}

/// The size in bytes of a field with its brackets.
fn field_len(text: &str) -> usize {
    text.len() + 2 + text.bytes().filter(|&byte| in_field(byte).is_some()).count()
}

/// The size in bytes of such a field as [`Writer::plain`] writes.
fn plain_len(value: impl Display) -> usize {
    struct Count(usize);
    impl std::fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut count = Count(2);
    let _ = write!(count, "{value}");
    count.0
}
