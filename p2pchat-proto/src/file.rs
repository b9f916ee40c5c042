//! What files consist of on the wire: a name, a digest, and pieces (PROTOCOL.md §7.15).

use std::fmt;

use bytes::Bytes;
#[cfg(feature = "codec")]
use bytes::BytesMut;

use crate::{
    error::Problem,
    limits::{FILE_CHUNK_BYTES, Limits},
    secret::{hex, unhex},
    value::{check_len, public_bytes, serde_as_str},
};

/// A file's name, such as any file system takes and nobody is misled by: 1–255 bytes of UTF-8.
///
/// It holds no control or invisible character, none that changes the direction of text, and none of `/ \ < > : " | ? *`; it
/// doesn't begin with `.`, `-`, `~` or a blank nor end with `.` or a blank, and isn't what Windows calls a device (`NUL`,
/// `com1.txt`). So it names a file in the folder that it is put in, and no other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

impl FileName {
    /// Checks against the protocol's limits.
    pub fn new(text: &str) -> Result<Self, Problem> {
        Self::with_limits(text, &Limits::DEFAULT)
    }

    /// Checks against a program's own limits.
    pub fn with_limits(text: &str, limits: &Limits) -> Result<Self, Problem> {
        check_len(text.len(), limits.file_name_bytes)?;
        let first = text.chars().next().ok_or(Problem::Empty)?;
        let last = text.chars().next_back().filter(|last| matches!(last, '.' | ' '));
        let bad = text.chars().find(|&c| !is_allowed(c));
        match bad.or(Some(first).filter(|&c| !may_begin(c))).or(last) {
            Some(found) => Err(Problem::Forbidden { found }),
            None if is_device(text) => Err(Problem::Reserved),
            None => Ok(Self(text.into())),
        }
    }

    /// The name that comes nearest to what a file is called here: what can't stand in one becomes `_`, and what is too long is
    /// cut.
    pub fn cleaned(name: &str) -> Self {
        let kept: String = name.trim().chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
        let cut = |name: &str, limit: usize| {
            let mut end = name.len().min(limit);
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.get(..end).unwrap_or_default().trim_end_matches(['.', ' ']).to_owned()
        };
        let limit = Limits::DEFAULT.file_name_bytes;
        let name = cut(&kept, limit);
        let is_good = name.chars().next().is_some_and(may_begin) && !is_device(&name);
        Self(if is_good { name } else { format!("_{}", cut(&name, limit - 1)) }.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !is_invisible && !matches!(c, '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

const fn may_begin(c: char) -> bool {
    !matches!(c, '.' | '-' | '~' | ' ')
}

/// Whether Windows takes a file of that name for a device, whatever its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem).trim_end();
    let is = |device: &str| stem.eq_ignore_ascii_case(device);
    let numbered = || {
        let (device, number) = stem.split_at_checked(3)?;
        let is_number = matches!(number, "¹" | "²" | "³") || matches!(number.as_bytes(), [b'0'..=b'9']);
        Some((device.eq_ignore_ascii_case("com") || device.eq_ignore_ascii_case("lpt")) && is_number)
    };
    ["con", "prn", "aux", "nul"].into_iter().any(is) || numbered() == Some(true)
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_str!(FileName);

public_bytes! {
    /// The SHA-256 of all that a file holds, as 64 lower-case hexadecimal digits.
    FileDigest
}

/// A piece of a file: the one thing on a peer stream that isn't a line. 1–65,536 bytes stand behind the line that announces them,
/// as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct FileChunk {
    /// Which file.
    pub file: u64,
    /// Where in the file the piece begins, in bytes.
    pub offset: u64,
    data: Bytes,
    /// How much of it hasn't come yet. Outside of this crate a piece is whole.
    due: usize,
}

impl FileChunk {
    /// A piece of a file, checked against the protocol's limit.
    pub fn new(file: u64, offset: u64, data: Bytes) -> Result<Self, Problem> {
        check_len(data.len(), FILE_CHUNK_BYTES)?;
        if data.is_empty() { Err(Problem::Empty) } else { Ok(Self { file, offset, data, due: 0 }) }
    }

    /// What the file holds there.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The same, without the rest.
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// A piece of which only the line has come.
    pub(crate) const fn announced(file: u64, offset: u64, length: usize) -> Self {
        Self { file, offset, data: Bytes::new(), due: length }
    }

    /// Takes what is missing out of `buf`, if all of it is there.
    #[cfg(feature = "codec")]
    pub(crate) fn complete(mut self, buf: &mut BytesMut) -> Result<Self, Self> {
        if buf.len() < self.due {
            return Err(self);
        }
        self.data = buf.split_to(std::mem::take(&mut self.due)).freeze();
        Ok(self)
    }

    /// The same from a frame that was cut off before: all of it has to be there, and nothing else.
    pub(crate) fn completed(mut self, data: Bytes) -> Result<Self, Problem> {
        let limit = self.due;
        match data.len() {
            size if size < limit => Err(Problem::Missing),
            size if size > limit => Err(Problem::TooLong { limit, size, unit: "bytes" }),
            _ => {
                (self.data, self.due) = (data, 0);
                Ok(self)
            }
        }
    }
}

impl fmt::Debug for FileChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it holds is somebody's, and long.
        write!(f, "FileChunk({}, {} bytes at {})", self.file, self.data.len(), self.offset)
    }
}

#[cfg(feature = "serde")]
mod with_serde {
    use std::fmt::Write as _;

    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::FileChunk;

    #[derive(Serialize, Deserialize)]
    #[serde(rename = "FileChunk")]
    struct Shown {
        file: u64,
        offset: u64,
        /// In hexadecimal digits.
        data: String,
    }

    impl Serialize for FileChunk {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut data = String::with_capacity(2 * self.data.len());
            for byte in &self.data {
                // Writing to a string can't fail.
                let _ = write!(data, "{byte:02x}");
            }
            Shown { file: self.file, offset: self.offset, data }.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for FileChunk {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let Shown { file, offset, data } = Shown::deserialize(deserializer)?;
            let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
            let bytes: Option<Bytes> = data.as_bytes().chunks(2).map(byte).collect();
            let bytes = bytes.filter(|bytes| 2 * bytes.len() == data.len());
            let bytes = bytes.ok_or_else(|| D::Error::custom("data is not in hexadecimal digits"))?;
            Self::new(file, offset, bytes).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_leads_nowhere_else() {
        for name in [
            "cat.jpg",
            "Ünïcode 猫.tar.gz",
            "a",
            "x.con",
            "common",
            "a-b~c",
            "com10",
            "(1) [2] {3} + = ;,'%$#@!&",
        ] {
            assert_eq!(FileName::new(name).map(|name| name.to_string()), Ok(name.to_owned()));
            assert_eq!(FileName::cleaned(name).as_str(), name);
        }
        for name in [
            "..",
            ".",
            ".bashrc",
            "-rf",
            "~",
            "a/b",
            "/etc/passwd",
            r"a\b",
            "a:b",
            "C:x",
            "a\nb",
            "a ",
            "a.",
            " a",
            "a\0b",
        ]
        .into_iter()
        .chain(["photo\u{202e}gpj.exe", "a\u{200b}b", "a?", "a*", "<a>", "\u{1b}[2Ja", "a\u{85}b"])
        {
            assert!(matches!(FileName::new(name), Err(Problem::Forbidden { .. })), "{name:?}");
        }
        for name in ["nul", "CON", "aux.txt", "Com1", "lpt9.tar.gz", "com¹", "nul .txt"] {
            assert_eq!(FileName::new(name), Err(Problem::Reserved), "{name}");
        }
        assert_eq!(FileName::new(""), Err(Problem::Empty));
        let too_long = Err(Problem::TooLong { limit: 255, size: 256, unit: "bytes" });
        assert_eq!(
            (FileName::new(&"é".repeat(128)), FileName::new(&"a".repeat(255)).is_ok()),
            (too_long, true)
        );
    }

    #[test]
    fn what_a_file_is_called_here_becomes_a_name_that_can_be_sent() {
        for (called, name) in [
            (".bashrc", "_.bashrc"),
            ("..", "_"),
            ("", "_"),
            ("a/b:c", "a_b_c"),
            (" a. ", "a"),
            ("nul.txt", "_nul.txt"),
            ("gpj\u{202e}.exe", "gpj_.exe"),
        ] {
            assert_eq!(FileName::cleaned(called).as_str(), name);
        }
        for called in
            ["é".repeat(200), format!("{}. .", "a".repeat(253)), "\u{200d}".repeat(9), "😀".repeat(64)]
        {
            let name = FileName::cleaned(&called);
            assert_eq!(FileName::new(name.as_str()), Ok(name));
        }
    }

    #[test]
    fn a_piece_has_something_and_not_too_much() {
        assert_eq!(FileChunk::new(1, 0, Bytes::new()), Err(Problem::Empty));
        let too_long = Problem::TooLong { limit: 65_536, size: 65_537, unit: "bytes" };
        assert_eq!(FileChunk::new(1, 0, vec![0; 65_537].into()), Err(too_long));
        let chunk = FileChunk::new(1, 7, vec![0; 65_536].into()).unwrap();
        assert_eq!(format!("{chunk:?}"), "FileChunk(1, 65536 bytes at 7)");
    }
}
