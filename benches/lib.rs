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

/// The same, and the line's verb, its first two fields and its text as slices of it.
pub fn floor_with_fields(buf: &mut BytesMut) -> Option<[Bytes; 4]> {
    let line = floor(buf)?;
    let text = line.slice(..line.len() - 1);
    let mut rest = text;
    let mut fields: [Bytes; 4] = Default::default();
    let (verb, others) = fields.split_first_mut()?;
    *verb = rest.split_to(memchr::memchr(b' ', &rest).unwrap_or(rest.len()));
    for field in others {
        if !rest.starts_with(b" <") {
            *field = rest.slice(rest.len().min(1)..);
            break;
        }
        let end = memchr::memchr(b'>', &rest)?;
        let bracketed = rest.split_to(end + 1);
        *field = bracketed.slice(2..end);
    }
    Some(fields)
}
