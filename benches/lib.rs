//! Benchmarks of p2pchat: the floor that they are measured against. See `README.md` for what is measured and found.

use bytes::{Bytes, BytesMut};

/// The least that taking one line of text out of a buffer costs: find the LF, check the UTF-8, split the bytes off.
pub fn floor(buf: &mut BytesMut) -> Option<Bytes> {
    let end = memchr::memchr(b'\n', buf)?;
    let line = buf.split_to(end + 1).freeze();
    str::from_utf8(&line).is_ok().then_some(line)
}
