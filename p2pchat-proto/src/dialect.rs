//! The two ways to spell the same messages, and how an end finds out which it is being spoken to in (PROTOCOL.md §6).

use crate::parse::is_blank;

/// How messages are spelled and told apart on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Dialect {
    /// The protocol of PROTOCOL.md: a line a message, fields in angle brackets.
    #[default]
    Canonical,
    /// The Python prototype's: a TLS record a message, fields as bare words.
    Prototype,
}

/// Finds out a registry connection's dialect from its first bytes.
///
/// It has no clock. Facts: [`handle_line`](Self::handle_line), [`handle_unfinished`](Self::handle_unfinished),
/// [`handle_grace_expired`](Self::handle_grace_expired). Question: [`dialect`](Self::dialect), which never changes once
/// it is known. [`awaits_grace`](Self::awaits_grace) tells the driver when to set its timer of 200 ms.
#[derive(Debug, Clone)]
pub struct Detector {
    end: End,
    dialect: Option<Dialect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Registry,
    Client,
}

/// Longer than any bare hello or greeting with blanks around it: what is longer isn't looked at.
const LONGEST_BARE: usize = 64;

impl Detector {
    /// The registry's end: the prototype's peer says `HELLO_P2P` without a line ending, and waits for the answer.
    pub const fn for_registry() -> Self {
        Self { end: End::Registry, dialect: None }
    }

    /// The peer's end: the prototype's registry says `HELLO_BACK SUCCESS 200 ` without a line ending, unasked.
    pub const fn for_client() -> Self {
        Self { end: End::Client, dialect: None }
    }

    /// The dialect, if it is known yet.
    pub const fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// The dialect is known by other means: TLS negotiated `p2pchat/1`.
    pub const fn set(&mut self, dialect: Dialect) {
        self.dialect = Some(dialect);
    }

    /// A whole line came, or more than a line may have: only the canonical dialect has lines.
    pub fn handle_line(&mut self) {
        self.dialect.get_or_insert(Dialect::Canonical);
    }

    /// All that came so far are these bytes, with no LF among them.
    pub fn handle_unfinished(&mut self, bytes: &[u8]) {
        if self.end == End::Client && is_bare_greeting(bytes) {
            self.dialect.get_or_insert(Dialect::Prototype);
        }
    }

    /// True if `bytes`, all that came so far, could be a whole message of the prototype's: the driver waits for a line
    /// ending for the grace of 200 ms, and then calls [`handle_grace_expired`](Self::handle_grace_expired).
    pub fn awaits_grace(&self, bytes: &[u8]) -> bool {
        self.dialect.is_none() && self.end == End::Registry && is_bare_hello(bytes)
    }

    /// No line ending followed a bare hello.
    pub fn handle_grace_expired(&mut self) {
        self.dialect.get_or_insert(Dialect::Prototype);
    }
}

fn is_bare_hello(bytes: &[u8]) -> bool {
    // What is cut off behind a record is more than what the parser passes over before a verb.
    let hello = bytes.trim_ascii_end().iter().copied().skip_while(|&byte| is_blank(byte));
    bytes.len() <= LONGEST_BARE && hello.map(|byte| byte.to_ascii_uppercase()).eq(*b"HELLO_P2P")
}

fn is_bare_greeting(bytes: &[u8]) -> bool {
    let Some(text) = str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_BARE) else {
        return false;
    };
    let mut words = text.split_ascii_whitespace();
    let mut next = || words.next().unwrap_or_default();
    let (verb, phrase, code) = (next(), next(), next());
    verb.eq_ignore_ascii_case("HELLO_BACK")
        && (phrase.eq_ignore_ascii_case("SUCCESS") || phrase.eq_ignore_ascii_case("FAILURE"))
        && code.len() == 3
        && code.bytes().all(|byte| byte.is_ascii_digit())
        && words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_hello_awaits_the_grace_and_a_line_ends_it() {
        for hello in [&b"HELLO_P2P"[..], b"hello_p2p", b" \tHELLO_P2P  ", b"HELLO_P2P \r"] {
            let mut detector = Detector::for_registry();
            detector.handle_unfinished(hello);
            assert_eq!(detector.dialect(), None);
            assert!(detector.awaits_grace(hello));
            let mut canonical = detector.clone();
            canonical.handle_line();
            canonical.handle_grace_expired();
            assert_eq!(canonical.dialect(), Some(Dialect::Canonical));
            detector.handle_grace_expired();
            detector.handle_line();
            assert_eq!(detector.dialect(), Some(Dialect::Prototype));
        }
    }

    #[test]
    fn anything_else_waits_for_its_line_ending() {
        let padded = [&b"HELLO_P2P"[..], &[b' '; 64]].concat();
        for other in [
            &b""[..],
            b"HELLO_P2",
            b"HELLO_P2P <1> <reason>",
            b"HELLO_P2P x",
            b"\rHELLO_P2P",
            b"LOGIN a b",
            &padded,
        ] {
            assert!(!Detector::for_registry().awaits_grace(other));
        }
    }

    #[test]
    fn only_the_prototypes_greeting_makes_a_client_speak_its_dialect() {
        let told_by = |bytes: &[u8]| {
            let mut detector = Detector::for_client();
            detector.handle_unfinished(bytes);
            detector.dialect()
        };
        for greeting in ["HELLO_BACK SUCCESS 200 ", "HELLO_BACK SUCCESS 200", "HELLO_BACK FAILURE 404 "] {
            assert_eq!(told_by(greeting.as_bytes()), Some(Dialect::Prototype));
        }
        for other in [
            "HELLO_BACK SUCCESS 20",
            "HELLO_BACK SUCCESS 20x",
            "HELLO_BACK MAYBE 200",
            "HELLO_BACK <SUCCESS> <200>",
            "HELLO_BACK SUCCESS 200 x",
            "AUTH SUCCESS 200",
            "AUTH",
        ] {
            assert_eq!(told_by(other.as_bytes()), None);
        }
    }
}
