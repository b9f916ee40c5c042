//! From a message to its bytes: one writer that knows how fields, texts and statuses are spelled.
//!
//! Encoding can't fail and takes no memory but the output's own. A message's encoder (in the files beside this one) is
//! the order of its fields.

mod list;
mod moderation;
mod peer;
mod records;
mod registry;

use std::{
    fmt::{Display, Write as _},
    net::IpAddr,
};

use bytes::{BufMut, BytesMut};

pub use self::records::{EncodedPeers, PeerRecords, PeerRecordsWriter};
use crate::{
    dialect::Dialect,
    file::FileDigest,
    parse::is_blank,
    secret::hex,
    status::Phrase,
    value::{Capabilities, LinkKey, Reason, Text},
    verb::Verb,
};

/// Room for a message without a list or text, escapes aside.
const SHORT: usize = 128;

/// Appends one message to a buffer.
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
    dialect: Dialect,
    owed: Owed,
}

/// What comes before the next piece and is written with it: what is short costs as much to copy alone as with more.
#[derive(Clone, Copy)]
enum Owed {
    Nothing,
    Verb(Verb),
    /// A field's closing bracket.
    Bracket,
    /// The same, and what parts a list's records.
    Separator,
}

impl<'a> Writer<'a> {
    #[inline(always)]
    pub(crate) fn new(out: &'a mut BytesMut, dialect: Dialect, verb: Verb) -> Self {
        out.reserve(SHORT);
        Self { out, dialect, owed: Owed::Verb(verb) }
    }

    /// The message is all there.
    #[inline]
    pub(crate) fn end(mut self) {
        self.settle();
    }

    /// The same, and its line ends where the dialect has lines.
    #[inline(always)]
    pub(crate) fn end_line(mut self) {
        match (self.dialect, self.owed) {
            (Dialect::Prototype, _) => self.settle(),
            (Dialect::Canonical, Owed::Bracket) => self.out.put_slice(b">\n"),
            (Dialect::Canonical, _) => {
                self.settle();
                self.out.put_u8(b'\n');
            }
        }
    }

    /// Writes what is owed.
    #[inline(always)]
    fn settle(&mut self) {
        match std::mem::replace(&mut self.owed, Owed::Nothing) {
            Owed::Nothing => {}
            Owed::Verb(verb) => self.out.put_slice(verb.as_str().as_bytes()),
            Owed::Bracket => self.out.put_u8(b'>'),
            Owed::Separator => self.out.put_slice(b"> ,"),
        }
    }

    /// The same, up to the next field's opening bracket; the closing one is owed then.
    #[inline(always)]
    fn open(&mut self) {
        match std::mem::replace(&mut self.owed, Owed::Bracket) {
            Owed::Nothing => self.out.put_slice(b" <"),
            Owed::Verb(verb) => self.out.put_slice(verb.opening().as_bytes()),
            Owed::Bracket => self.out.put_slice(b"> <"),
            Owed::Separator => self.out.put_slice(b"> , <"),
        }
    }

    /// A list's next record begins.
    #[inline]
    fn separator(&mut self) {
        if let Owed::Bracket = self.owed {
            self.owed = Owed::Separator;
        } else {
            self.settle();
            self.out.put_slice(b" ,");
        }
    }

    /// A field in brackets, escaped.
    fn field(&mut self, text: &str) {
        self.open();
        let bytes = text.as_bytes();
        let has = |one, two, three| memchr::memchr3(one, two, three, bytes).is_some();
        match has(b'<', b'>', b'\\') || has(b'\r', b'\n', b'\0') {
            true => self.escaped(bytes, in_field),
            false => self.out.put_slice(bytes),
        }
    }

    /// A field in brackets of a value that needs no escapes: a name, a number, an address, capabilities.
    #[inline(always)]
    fn plain(&mut self, value: impl Plain) {
        self.open();
        value.put(self.out);
    }

    /// A field of those requests that the prototype has too, and has as bare words.
    #[inline(always)]
    fn word(&mut self, value: impl Plain) {
        match self.dialect {
            Dialect::Canonical => self.plain(value),
            Dialect::Prototype => self.bare(value),
        }
    }

    #[cold]
    fn bare(&mut self, value: impl Plain) {
        self.settle();
        self.out.put_u8(b' ');
        value.put(self.out);
    }

    #[inline(always)]
    fn status(&mut self, phrase: Phrase) {
        self.plain(phrase.fields());
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
        let (bytes, is_plain) = (text.as_str().as_bytes(), text.is_plain());
        if bytes.is_empty() {
            return;
        }
        self.out.reserve(SHORT + bytes.len());
        if let Owed::Bracket = self.owed {
            self.owed = Owed::Nothing;
            self.out.put_slice(b"> ");
        } else {
            self.settle();
            self.out.put_u8(b' ');
        }
        let mut rest = bytes;
        if let [b' ' | b'\t', ..] = bytes {
            let blanks = bytes.iter().take_while(|&&byte| is_blank(byte)).count();
            let (blanks, after) = bytes.split_at(blanks);
            self.out.put_slice(blanks);
            rest = after;
        }
        if let Some(after) = rest.strip_prefix(b"<") {
            self.out.put_slice(br"\<");
            rest = after;
        }
        match is_plain {
            true => self.out.put_slice(rest),
            false => self.escaped(rest, in_text),
        }
    }

    fn escaped(&mut self, mut rest: &[u8], escape: impl Fn(u8) -> Option<u8>) {
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

/// A value whose spelling needs no escapes.
trait Plain {
    fn put(&self, out: &mut BytesMut);
}

impl Plain for &str {
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(self.as_bytes());
    }
}

impl Plain for u64 {
    #[inline]
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(itoa::Buffer::new().format(*self).as_bytes());
    }
}

impl Plain for IpAddr {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::V4(ip) => {
                let mut digits = [0; 16];
                let mut len = 0;
                for octet in ip.octets() {
                    let (spelled, size) = spelled(octet);
                    if let Some(place) = digits.get_mut(len..).and_then(<[u8]>::first_chunk_mut) {
                        *place = spelled;
                    }
                    len += size;
                }
                // But for the last dot.
                out.put_slice(digits.get(..len - 1).unwrap_or_default());
            }
            Self::V6(ip) => Shown(ip).put(out),
        }
    }
}

/// An octet's digits and a dot, and how many that are.
#[allow(clippy::indexing_slicing, reason = "an octet has a place in 256")]
fn spelled(octet: u8) -> ([u8; 4], usize) {
    static OCTETS: [([u8; 4], u8); 256] = {
        let mut octets = [([0; 4], 0); 256];
        let mut octet = 0;
        while octet < 256 {
            let (a, b, c) = (octet as u8 / 100, octet as u8 / 10 % 10, octet as u8 % 10);
            octets[octet] = match (a, b) {
                (0, 0) => ([b'0' + c, b'.', 0, 0], 2),
                (0, _) => ([b'0' + b, b'0' + c, b'.', 0], 3),
                _ => ([b'0' + a, b'0' + b, b'0' + c, b'.'], 4),
            };
            octet += 1;
        }
        octets
    };
    let (digits, size) = OCTETS[usize::from(octet)];
    (digits, size.into())
}

impl Plain for Capabilities {
    fn put(&self, out: &mut BytesMut) {
        for (i, capability) in self.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            out.put_slice(capability.as_str().as_bytes());
        }
    }
}

impl Plain for LinkKey {
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(&hex::<64>(*self.as_bytes()));
    }
}

impl Plain for FileDigest {
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(&hex::<64>(*self.as_bytes()));
    }
}

/// What isn't sent often enough to be spelled without the standard library's formatting.
struct Shown<T>(T);

impl<T: Display> Plain for Shown<T> {
    fn put(&self, out: &mut BytesMut) {
        // A `BytesMut` grows as it is written to; it refuses at `usize::MAX` bytes alone.
        let _ = write!(out, "{}", self.0);
    }
}

/// The size in bytes of a field with its brackets.
fn field_len(text: &str) -> usize {
    plain_len(text) + text.bytes().filter(|&byte| in_field(byte).is_some()).count()
}

/// … of one that needs no escapes.
const fn plain_len(text: &str) -> usize {
    text.len() + 2
}

/// … of a number.
fn number_len(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |digits| digits as usize + 1) + 2
}

/// … of an address.
fn ip_len(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(ip) => {
            ip.octets().into_iter().map(|octet| number_len(octet.into()) - 1).sum::<usize>() + 1
        }
        IpAddr::V6(ip) => {
            let mut shown = Count(2);
            let _ = write!(shown, "{ip}");
            shown.0
        }
    }
}

/// Counts what is written.
struct Count(usize);

impl std::fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Capability;

    fn put(value: impl Plain) -> String {
        let mut out = BytesMut::new();
        value.put(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn addresses_and_capabilities_are_spelled_as_everywhere_else() {
        for octet in 0..=255 {
            let other = 255 - octet;
            let ip = IpAddr::from([octet, other, octet, other]);
            assert_eq!(put(ip), ip.to_string());
            assert_eq!(ip_len(ip), ip.to_string().len() + 2);
        }
        let mut some = Vec::new();
        for &capability in Capability::ALL {
            some.push(capability);
            let set: Capabilities = some.iter().copied().collect();
            assert_eq!(put(set), set.to_string());
        }
        assert_eq!(put(Capabilities::NONE), "");
    }
}
