//! What can be wrong with bytes: the frame, or the message in it.

use crate::verb::Verb;

/// Why a value can't exist: the reason inside a [`ParseError`], and what a value's constructor returns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A required field is not there.
    #[error("is missing")]
    Missing,
    /// The value has no characters.
    #[error("is empty")]
    Empty,
    /// The value is longer than its limit allows.
    #[error("has {size} {unit}, {limit} are allowed")]
    TooLong {
        /// The largest size allowed.
        limit: usize,
        /// The size found.
        size: usize,
        /// What both count: `bytes` or `characters`.
        unit: &'static str,
    },
    /// A character that such a value can't hold.
    #[error("can't hold {found:?}")]
    Forbidden {
        /// The character.
        found: char,
    },
    /// A word of the protocol itself (`DETAILED`, `PARTIAL`, `SIMPLE`) where a name is wanted.
    #[error("is a reserved word")]
    Reserved,
    /// Not a number, or one out of its range.
    #[error("is no number from {min} to {max}")]
    NotInRange {
        /// The smallest value allowed.
        min: u64,
        /// The largest value allowed.
        max: u64,
    },
    /// Not one of the words that may stand here.
    #[error("is not {expected}")]
    Unexpected {
        /// What may stand here.
        expected: &'static str,
    },
    /// Not 64 lower-case hexadecimal digits, or in a [`ParkProof`](crate::ParkProof) 32.
    #[error("is no SHA-256 digest in 64 lower-case hexadecimal digits")]
    NotADigest,
    /// A backslash with a character after it that has no meaning there, or with nothing.
    #[error("has an unknown escape")]
    BadEscape,
    /// A `<` without its `>`.
    #[error("has no closing bracket")]
    Unclosed,
    /// Bytes that are not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// A phrase with another phrase's code, such as `<SUCCESS> <404>`.
    #[error("is not the code of its phrase, {expected}")]
    WrongCode {
        /// The phrase's own code.
        expected: u16,
    },
    /// A verb that this link and direction doesn't have.
    #[error("is unknown here")]
    UnknownVerb,
    /// Bytes after the last thing that may stand in the message.
    #[error("is followed by something that doesn't belong there")]
    Trailing,
}

impl Problem {
    /// The problem's kind in one word, as the test vectors (`vectors/`) and metrics name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Empty => "empty",
            Self::TooLong { .. } => "too_long",
            Self::Forbidden { .. } => "forbidden",
            Self::Reserved => "reserved",
            Self::NotInRange { .. } => "not_in_range",
            Self::Unexpected { .. } => "unexpected",
            Self::NotADigest => "not_a_digest",
            Self::BadEscape => "bad_escape",
            Self::Unclosed => "unclosed",
            Self::NotUtf8 => "not_utf8",
            Self::WrongCode { .. } => "wrong_code",
            Self::UnknownVerb => "unknown_verb",
            Self::Trailing => "trailing",
        }
    }
}

/// A frame that is not a message of its link and direction.
///
/// Says who is at fault in the message: the verb, the field and the byte of the frame where it starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{field} at byte {offset} {problem}", verb.map(|v| format!("{v}: ")).unwrap_or_default())]
pub struct ParseError {
    /// The message's verb, if it was recognised.
    pub verb: Option<Verb>,
    /// The field's name as PROTOCOL.md spells it, such as `username`; `verb` or `frame` for what isn't a field.
    pub field: &'static str,
    /// Where the field starts, in bytes from the frame's first.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

impl ParseError {
    /// True if a registry closes the stream after answering this (PROTOCOL.md §3): what arrives can't be trusted to be
    /// this protocol. False if the verb was understood and only its fields are wrong.
    pub fn is_fatal(&self) -> bool {
        self.verb.is_none() || self.problem == Problem::NotUtf8
    }
}

/// Bytes from which no frame could be cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A line grew past the limit; it is dropped up to its end, wherever that comes.
    #[error("a frame has more than {limit} bytes")]
    TooLong {
        /// The limit in bytes, line ending not counted.
        limit: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, after {bytes} bytes of it")]
    Truncated {
        /// How much of the frame had arrived.
        bytes: usize,
    },
}

/// What a stream can hold instead of a message; the stream itself goes on (or, at its end, has ended).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// No frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that is no message.
    #[error(transparent)]
    Message(#[from] ParseError),
}

impl Malformed {
    /// True if a registry closes the stream after answering this; see [`ParseError::is_fatal`].
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Frame(_) => true,
            Self::Message(error) => error.is_fatal(),
        }
    }
}
