//! Names of people and rooms (PROTOCOL.md §3.2).

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use compact_str::CompactString;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::{error::Problem, limits::Limits};

/// A name as it was spelled, and the form that it is compared by.
#[derive(Clone)]
struct Name {
    /// NFC.
    spelled: CompactString,
    /// NFC of the case folding of the NFD (Unicode D145); `None` if that is `spelled` itself.
    /// Boxed, as few have one and many are kept.
    folded: Option<Box<CompactString>>,
}

impl Name {
    #[inline]
    fn new(text: &str, limit: usize, class: u8, allowed: impl Fn(char) -> bool) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::Empty);
        }
        // Most names are short and ASCII: normal as they are, and a character a byte.
        let (all, any) = classes(text);
        if all & class != 0 && text.len() <= limit {
            let folded = if any & UPPERCASE == 0 { None } else { Some(lowercase(text)) };
            return Ok(Self { spelled: CompactString::new(text), folded });
        }
        let (spelled, folded) = Self::of_any_script(text, limit, allowed)?;
        Ok(Self { spelled, folded })
    }

    /// Spelled and folded.
    #[cold]
    fn of_any_script(
        text: &str,
        limit: usize,
        allowed: impl Fn(char) -> bool,
    ) -> Result<(CompactString, Option<Box<CompactString>>), Problem> {
        // Normalising at most doubles or triples a name's characters, so what is far too long is refused unseen.
        let too_long = |size| Problem::TooLong { limit, size, unit: "characters" };
        if text.len() > limit.saturating_mul(16) {
            return Err(too_long(text.chars().count()));
        }
        let spelled = if is_nfc(text) { CompactString::new(text) } else { text.nfc().collect() };
        if let Some(found) = spelled.chars().find(|&c| !allowed(c)) {
            return Err(Problem::Forbidden { found });
        }
        let size = spelled.chars().count();
        if size > limit {
            return Err(too_long(size));
        }
        let folded: CompactString =
            caseless::default_case_fold_str(&spelled.nfd().collect::<String>()).nfc().collect();
        let folded = (folded != spelled).then(|| Box::new(folded));
        Ok((spelled, folded))
    }

    fn folded(&self) -> &str {
        self.folded.as_ref().map_or(&self.spelled, |folded| folded)
    }
}

/// As texts compare. Most names differ within eight bytes, which are one number.
#[inline]
fn compare(one: &str, other: &str) -> Ordering {
    match (one.as_bytes().first_chunk(), other.as_bytes().first_chunk()) {
        (Some(a), Some(b)) if a != b => u64::from_be_bytes(*a).cmp(&u64::from_be_bytes(*b)),
        _ => one.cmp(other),
    }
}

#[cold]
fn lowercase(text: &str) -> Box<CompactString> {
    Box::new(text.to_ascii_lowercase().into())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $limit:ident, $class:ident, $allowed:expr $(, $check:expr)?) => {
        $(#[$doc])*
        ///
        /// Two names are equal if they are the same after NFC and case folding; [`as_str`](Self::as_str) keeps the
        /// spelling.
        #[derive(Clone)]
        pub struct $name(Name);

        impl $name {
            /// Checks against the protocol's limits.
            pub fn new(text: &str) -> Result<Self, Problem> {
                Self::with_limits(text, &Limits::DEFAULT)
            }

            /// Checks against a program's own limits.
            #[inline]
            pub fn with_limits(text: &str, limits: &Limits) -> Result<Self, Problem> {
                let name = Name::new(text, limits.$limit, $class, $allowed)?;
                $($check(name.folded())?;)?
                Ok(Self(name))
            }

            /// The name as it was spelled, in NFC.
            pub fn as_str(&self) -> &str {
                &self.0.spelled
            }

            /// The form that names are compared and stored by: equal for equal names, and only for them.
            pub fn folded(&self) -> &str {
                self.0.folded()
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.folded() == other.folded()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                compare(self.folded(), other.folded())
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.folded().hash(state);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Problem;

            fn from_str(text: &str) -> Result<Self, Problem> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Problem;

            fn try_from(text: &str) -> Result<Self, Problem> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        crate::value::serde_as_str!($name);
    };
}

/// The Hangul fillers are letters to Unicode, and nothing to see.
fn is_username_char(c: char) -> bool {
    let is_filler = matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
    (c.is_alphanumeric() && !is_filler) || matches!(c, '_' | '-' | '.')
}

/// Room names may hold blanks and punctuation besides what a username may, but nothing that is invisible, changes the
/// direction of text, or could be mistaken for markup of the protocol in the prototype's dialect.
fn is_room_char(c: char) -> bool {
    is_username_char(c) || c == ' ' || (c.is_ascii_punctuation() && !matches!(c, '<' | '>' | '\\' | ','))
}

/// Bits of [`classes`]: what a byte may stand in, as above.
const USERNAME: u8 = 1;
const ROOM_NAME: u8 = 2;
const UPPERCASE: u8 = 4;

/// The classes that all bytes are of, and those that any is of.
#[allow(clippy::indexing_slicing, reason = "a byte has a place in 256")]
fn classes(text: &str) -> (u8, u8) {
    static CLASSES: [u8; 256] = {
        let mut classes = [0; 256];
        let mut byte = 0;
        while byte < 128_u8 {
            classes[byte as usize] = if byte.is_ascii_uppercase() {
                USERNAME | ROOM_NAME | UPPERCASE
            } else if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') {
                USERNAME | ROOM_NAME
            } else if byte == b' '
                || (byte.is_ascii_punctuation() && !matches!(byte, b'<' | b'>' | b'\\' | b','))
            {
                ROOM_NAME
            } else {
                0
            };
            byte += 1;
        }
        classes
    };
    text.bytes().fold((u8::MAX, 0), |(all, any), byte| {
        let class = CLASSES[usize::from(byte)];
        (all & class, any | class)
    })
}

name! {
    /// A user's name: 1–32 letters, digits, `_`, `-`, `.` of any script.
    Username, username_chars, USERNAME, is_username_char
}

name! {
    /// A room's name: 1–64 letters, digits, inner blanks and ASCII punctuation other than `<`, `>`, `\` and `,`.
    ///
    /// `DETAILED`, `PARTIAL` and `SIMPLE` are reserved in any case, since `DISCOVER_PEERS` has a list type or a room's
    /// name in the same place.
    RoomName, room_name_chars, ROOM_NAME, is_room_char, check_room
}

fn check_room(folded: &str) -> Result<(), Problem> {
    match folded {
        "detailed" | "partial" | "simple" => Err(Problem::Reserved),
        _ if folded.starts_with(' ') || folded.ends_with(' ') => Err(Problem::Forbidden { found: ' ' }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ali_and_ali_are_one_account_and_keep_their_spelling() {
        let (upper, lower) = (Username::new("Ali").unwrap(), Username::new("ali").unwrap());
        assert_eq!(upper, lower);
        assert_eq!((upper.as_str(), lower.as_str()), ("Ali", "ali"));
        assert_eq!(Username::new("Straße").unwrap(), Username::new("STRASSE").unwrap());
        assert_eq!(Username::new("e\u{301}").unwrap().as_str(), "é");
        assert_eq!(Username::new("عمر").unwrap().as_str(), "عمر");
    }

    #[test]
    fn names_stand_in_the_order_of_their_folded_forms() {
        let mut texts =
            vec!["", "a", "ab", "member1", "member1-1", "member10", "member10-1", "member2-10", "Zoë"];
        texts.extend(["zzzzzzzé", "zzzzzzzz", "zzzzzzzzz", "ééééé", "éééé", "member1.", "member10-2", "عمر"]);
        let names: Vec<_> = texts.iter().filter_map(|text| Username::new(text).ok()).collect();
        for (one, other) in names.iter().flat_map(|one| names.iter().map(move |other| (one, other))) {
            assert_eq!(one.cmp(other), one.folded().cmp(other.folded()), "{one} {other}");
            assert_eq!(one.cmp(other).is_eq(), one == other, "{one} {other}");
        }
    }

    #[test]
    fn ascii_is_held_to_what_characters_are_held_to() {
        for byte in 0..128_u8 {
            let (class, _) = classes(str::from_utf8(&[byte]).unwrap());
            assert_eq!(class & USERNAME != 0, is_username_char(byte.into()), "{byte}");
            assert_eq!(class & ROOM_NAME != 0, is_room_char(byte.into()), "{byte}");
            assert_eq!(class & UPPERCASE != 0, byte.is_ascii_uppercase(), "{byte}");
        }
    }

    #[test]
    fn what_a_name_cannot_hold_is_named() {
        let invisible = ['\u{200b}', '\u{ad}', '\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}', '\u{2800}'];
        for bad in [' ', '<', '\n', '\u{202e}', '\0', '\u{7f}', '/'].into_iter().chain(invisible) {
            assert_eq!(Username::new(&format!("a{bad}b")), Err(Problem::Forbidden { found: bad }));
        }
        assert_eq!(Username::new(""), Err(Problem::Empty));
        let long = Problem::TooLong { limit: 32, size: 33, unit: "characters" };
        assert_eq!(Username::new(&"ü".repeat(33)), Err(long));
        assert!(Username::new(&"ü".repeat(32)).is_ok());
        assert!(matches!(Username::new(&"x".repeat(1 << 20)), Err(Problem::TooLong { size: 1_048_576, .. })));
    }

    #[test]
    fn list_words_are_no_room_names() {
        for word in ["DETAILED", "partial", "Simple"] {
            assert_eq!(RoomName::new(word), Err(Problem::Reserved));
        }
        assert!(RoomName::new("Simple things").is_ok());
        assert!(RoomName::new(" x").is_err());
    }
}
