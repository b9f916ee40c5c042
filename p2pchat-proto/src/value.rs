//! What stands in fields besides names and secrets: ports, capacities, texts, capabilities (PROTOCOL.md §3).

use std::{fmt, str::FromStr};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    error::Problem,
    limits::Limits,
    secret::{hex, unhex},
};

/// The protocol version that this crate speaks in an extended hello.
pub const PROTOCOL_VERSION: u16 = 1;

/// `Serialize` and `Deserialize` as the value's string, checked on the way in.
macro_rules! serde_as_str {
    ($name:ident) => {
        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_str;

/// A number of a field, with the range that the field allows.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ident), $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(try_from = "u32", into = "u32"))]
        pub struct $name($inner);

        impl $name {
            /// Checks the range.
            pub fn new(value: u32) -> Result<Self, Problem> {
                match $inner::try_from(value) {
                    Ok(inner) if ($min..=$max).contains(&inner) => Ok(Self(inner)),
                    _ => Err(Problem::NotInRange { min: $min as u64, max: $max as u64 }),
                }
            }

            /// The number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<u32> for $name {
            type Error = Problem;

            fn try_from(value: u32) -> Result<Self, Problem> {
                Self::new(value)
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> u32 {
                value.0.into()
            }
        }

        impl FromStr for $name {
            type Err = Problem;

            fn from_str(text: &str) -> Result<Self, Problem> {
                Self::new(text.parse().unwrap_or(u32::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The port on which a peer's own server listens, at least 1,024: a client can't have others dial a system
    /// service.
    PeerPort(u16), 1_024_u16, u16::MAX
}

number! {
    /// How many members a room takes, 1–100,000 ([`limits::CAPACITY`](crate::limits::CAPACITY)).
    Capacity(u32), 1_u32, crate::limits::CAPACITY
}

macro_rules! short_string {
    ($(#[$doc:meta])* $name:ident, $limit:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks against the protocol's limits.
            pub fn new(text: &str) -> Result<Self, Problem> {
                Self::with_limits(text, &Limits::DEFAULT)
            }

            /// Checks against a program's own limits.
            pub fn with_limits(text: &str, limits: &Limits) -> Result<Self, Problem> {
                check_len(text.len(), limits.$limit)?;
                Ok(Self(text.into()))
            }

            /// As much of `text` as fits the protocol's limit, cut at a character.
            pub fn truncated(text: &str) -> Self {
                let mut end = text.len().min(Limits::DEFAULT.$limit);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                Self(text.get(..end).unwrap_or_default().into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        serde_as_str!($name);
    };
}

pub(crate) fn check_len(size: usize, limit: usize) -> Result<(), Problem> {
    if size > limit { Err(Problem::TooLong { limit, size, unit: "bytes" }) } else { Ok(()) }
}

short_string! {
    /// What a room is about: any string of at most 256 bytes, also none.
    Description, description_bytes
}

short_string! {
    /// Why something was refused, for a person to read (capability `reason`): at most 256 bytes.
    Reason, reason_bytes
}

/// A registry as its peers know it, `host:port` (§7.11): 1–255 visible characters of ASCII, so that whoever reads it in a
/// log or on a terminal can look it up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryName(Box<str>);

impl RegistryName {
    /// Checks against the protocol's limits.
    pub fn new(text: &str) -> Result<Self, Problem> {
        Self::with_limits(text, &Limits::DEFAULT)
    }

    /// Checks against a program's own limits.
    pub fn with_limits(text: &str, limits: &Limits) -> Result<Self, Problem> {
        check_len(text.len(), limits.registry_name_bytes)?;
        match text.chars().find(|c| !c.is_ascii_graphic()) {
            Some(found) => Err(Problem::Forbidden { found }),
            None if text.is_empty() => Err(Problem::Empty),
            None => Ok(Self(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_str!(RegistryName);

/// What somebody says: any string of at most 16 KiB, line breaks and brackets included.
///
/// Cheap to clone. A parsed text shares the memory of the frame it came in; [`detach`](Self::detach) it before keeping
/// it for long.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text {
    text: ByteString,
    /// It holds nothing that has to be escaped wherever it stands in a text, so that sending it is copying it.
    is_plain: bool,
}

impl Text {
    /// Checks against the protocol's limits.
    pub fn new(text: &str) -> Result<Self, Problem> {
        Self::with_limits(text, &Limits::DEFAULT)
    }

    /// Checks against a program's own limits.
    pub fn with_limits(text: &str, limits: &Limits) -> Result<Self, Problem> {
        check_len(text.len(), limits.text_bytes)?;
        Ok(Self::unescaped(text.into()))
    }

    /// Takes shared bytes without copying them.
    pub fn from_bytes(bytes: Bytes, limits: &Limits) -> Result<Self, Problem> {
        check_len(bytes.len(), limits.text_bytes)?;
        ByteString::try_from(bytes).map(Self::unescaped).map_err(|_| Problem::NotUtf8)
    }

    /// Of at most the limit.
    pub(crate) fn unescaped(text: ByteString) -> Self {
        let is_plain = needs_no_escapes(text.as_bytes());
        Self { text, is_plain }
    }

    /// Of at most the limit, and [without what needs an escape](needs_no_escapes).
    pub(crate) const fn plain(text: ByteString) -> Self {
        Self { text, is_plain: true }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if no byte of it needs an escape but for a `<` where a field could start.
    pub(crate) const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The same text in memory of its own, so that keeping it keeps nothing else alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { text: ByteString::from(self.as_str()), is_plain: self.is_plain }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self { text: ByteString::default(), is_plain: true }
    }
}

/// True for text without a backslash, and without what no frame can hold as it is.
fn needs_no_escapes(text: &[u8]) -> bool {
    memchr::memchr3(b'\\', b'\r', b'\n', text).is_none() && memchr::memchr(b'\0', text).is_none()
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_str!(Text);

/// A value of 32 bytes that everybody may see, as 64 lower-case hexadecimal digits.
macro_rules! public_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes what is in hexadecimal digits.
            pub fn new(hex: &str) -> Result<Self, Problem> {
                unhex(hex).map(Self).ok_or(Problem::NotADigest)
            }

            /// The value of these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(str::from_utf8(&hex::<64>(self.0)).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let hex = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                Self::new(&hex).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use public_bytes;

public_bytes! {
    /// A peer's public key of its own streams (capability `keys`, PROTOCOL.md §7.13): Ed25519 (RFC 8032), 32 bytes, as 64
    /// lower-case hexadecimal digits.
    LinkKey
}

/// An optional part of the protocol that both ends of a link have to know (PROTOCOL.md §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
#[repr(u8)]
pub enum Capability {
    /// A human-readable reason on every refusal.
    Reason,
    /// `USER_JOINED` and `USER_LEFT` are pushed to a room's members.
    Roster,
    /// The second field of `CHAT_REQUEST` and `DIRECT_BROADCAST` on peer streams, and the directory's answer says who
    /// understands it.
    Sender,
    /// A successful `AUTH` carries a token, and `RESUME` with it continues the session on another stream.
    Resume,
    /// A room's owner may put members out, keep users out and change the room, and members are told.
    Moderate,
    /// `TICKET` gives a session a secret, and only keep-alives that prove it count.
    Ticket,
    /// `RETRY_AFTER` says when what is refused may be tried again.
    Retry,
    /// `REGISTER` takes an invitation, and the registry wants one.
    Invite,
    /// Who wants to talk to somebody whose address is hidden asks them through the registry.
    Contact,
    /// `INTRODUCED_BY` is the first frame on a peer stream: who is dialled learns which registry had it dialled.
    Origin,
    /// A session may go on without a stream, by its keep-alives alone, and is woken when something waits for it.
    Park,
    /// Peers publish the keys of their streams in the directory, and have them encrypted and authenticated by these.
    Keys,
    /// Messages on encrypted peer streams are numbered, and those that a broken stream has cut off are said again.
    Ids,
    /// Files go over peer streams. Said there alone, by `NUMBERING`: no registry needs to know it.
    Files,
}

impl Capability {
    /// Every capability, in the order in which they are encoded.
    pub const ALL: &[Self] = &[
        Self::Reason,
        Self::Roster,
        Self::Sender,
        Self::Resume,
        Self::Moderate,
        Self::Ticket,
        Self::Retry,
        Self::Invite,
        Self::Contact,
        Self::Origin,
        Self::Park,
        Self::Keys,
        Self::Ids,
        Self::Files,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Roster => "roster",
            Self::Sender => "sender",
            Self::Resume => "resume",
            Self::Moderate => "moderate",
            Self::Ticket => "ticket",
            Self::Retry => "retry",
            Self::Invite => "invite",
            Self::Contact => "contact",
            Self::Origin => "origin",
            Self::Park => "park",
            Self::Keys => "keys",
            Self::Ids => "ids",
            Self::Files => "files",
        }
    }
}

/// A set of capabilities; on the wire, words parted by commas. Unknown words are passed over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u32);

impl Capabilities {
    /// None at all: the base protocol.
    pub const NONE: Self = Self(0);

    /// What this crate knows.
    pub fn all() -> Self {
        Capability::ALL.iter().copied().collect()
    }

    /// True if `capability` is in the set.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True if the set has nothing in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The capabilities in their order on the wire.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |&c| self.has(c))
    }

    /// Reads words parted by commas, passing over those that this crate doesn't know.
    pub fn parse(words: &str) -> Self {
        let word =
            |w: &str| Capability::ALL.iter().copied().find(|c| c.as_str().eq_ignore_ascii_case(w.trim()));
        words.split(',').filter_map(word).collect()
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().fold(0, |set, c| set | (1 << c as u8)))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, capability) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(capability.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Capabilities {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Capabilities {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Capability>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_shows_what_was_said_and_shares_memory_until_detached() {
        let text = Text::from_bytes(Bytes::from_static(b"a\nb"), &Limits::DEFAULT).unwrap();
        assert_eq!((text.to_string(), format!("{text:?}")), ("a\nb".to_owned(), r#""a\nb""#.to_owned()));
        let (shared, own) = (text.clone(), text.detach());
        assert_eq!((&shared, &own), (&text, &text));
        assert_eq!(shared.as_str().as_ptr(), text.as_str().as_ptr());
        assert_ne!(own.as_str().as_ptr(), text.as_str().as_ptr());
    }

    #[test]
    fn a_registrys_name_is_shown_as_it_is() {
        let name = RegistryName::new("chat.example:15600").unwrap();
        let shown = (name.to_string(), format!("{name:?}"));
        assert_eq!(shown, ("chat.example:15600".to_owned(), r#""chat.example:15600""#.to_owned()));
    }

    #[test]
    fn all_capabilities_are_each_of_them() {
        let all = Capabilities::all();
        assert_eq!(all.iter().collect::<Vec<_>>(), Capability::ALL);
        assert!(!all.is_empty() && Capabilities::NONE.is_empty());
    }

    #[test]
    fn a_set_of_capabilities_shows_what_is_in_it() {
        let set = Capabilities::parse("sender,reason");
        assert_eq!(format!("{set:?}"), "{Reason, Sender}");
        assert_eq!(set.and(Capabilities::parse("roster,sender")), Capabilities::parse("sender"));
    }
}
