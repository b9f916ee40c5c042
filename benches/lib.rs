//! Benchmarks of p2pchat: the floors that they are measured against, and what they have in common. See `README.md` for what
//! is measured and found.

pub mod frames;
pub mod world;

use bytes::{Bytes, BytesMut};

/// The least that taking one line of text out of a buffer costs: find the LF, check the UTF-8, split the bytes off.
pub fn floor(buf: &mut BytesMut) -> Option<Bytes> {
    let end = memchr::memchr(b'\n', buf)?;
    let line = buf.split_to(end + 1).freeze();
    str::from_utf8(&line).is_ok().then_some(line)
}

/// What else a parser can't do without: where the line's verb, its first two fields and its text are.
pub fn fields(line: &str) -> Option<[&str; 4]> {
    let (verb, rest) = line.split_once(" <")?;
    let (first, rest) = rest.split_once("> <")?;
    let (second, text) = rest.split_once("> ")?;
    Some([verb, first, second, text])
}

/// The same of a request with one field.
pub fn field(line: &str) -> Option<[&str; 2]> {
    let (verb, rest) = line.split_once(" <")?;
    let (first, _) = rest.split_once('>')?;
    Some([verb, first])
}
