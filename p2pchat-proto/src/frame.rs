//! Finding where a line ends, apart from what it says (PROTOCOL.md §2).

use bytes::{Bytes, BytesMut};

use crate::error::FrameError;

/// Cuts a stream into frames: lines without their line endings.
///
/// It remembers how far it has looked, so that a stream costs linear time however it is cut into reads. A line over the
/// limit is reported once, as soon as that is certain, and dropped as it comes; the frame after it is found as ever.
///
/// One finder belongs to one stream's buffer: nobody else may take bytes out of that.
///
/// ```
/// use bytes::BytesMut;
/// use p2pchat_proto::{frame::FrameFinder, limits};
///
/// let mut finder = FrameFinder::new(limits::FRAME_BYTES);
/// let mut buf = BytesMut::from("HELLO_P2P\r\nLOG");
/// assert_eq!(finder.next_frame(&mut buf), Some(Ok("HELLO_P2P".into())));
/// assert_eq!(finder.next_frame(&mut buf), None);
/// buf.extend_from_slice(b"OUT\n");
/// assert_eq!(finder.next_frame(&mut buf), Some(Ok("LOGOUT".into())));
/// ```
#[derive(Debug, Clone)]
pub struct FrameFinder {
    limit: usize,
    /// How much of the buffer is known to hold no LF.
    scanned: usize,
    /// The line that the buffer starts in was reported as too long.
    discarding: bool,
    #[cfg(test)]
    looked_at: usize,
}

impl FrameFinder {
    /// A finder at a stream's start, for frames of at most `limit` bytes, line ending not counted.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            scanned: 0,
            discarding: false,
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// Takes the next frame out of `buf`, without its LF or CR LF; `None` if none is complete.
    #[inline(always)]
    pub fn next_frame(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        while let Some(end) = self.line_end(buf) {
            let mut line = buf.split_to(end + 1).freeze();
            if std::mem::take(&mut self.discarding) {
                continue;
            }
            line.truncate(end);
            if line.ends_with(b"\r") {
                line.truncate(end - 1);
            }
            return Some(if line.len() > self.limit { Err(self.too_long()) } else { Ok(line) });
        }
        self.unfinished(buf).map(Err)
    }

    /// What to say of a line whose end hasn't come yet.
    #[inline(never)]
    fn unfinished(&mut self, buf: &mut BytesMut) -> Option<FrameError> {
        if self.discarding {
            self.drop_all(buf);
            return None;
        }
        // One byte more may be the CR of a frame of just the limit.
        let size = buf.len() - usize::from(buf.ends_with(b"\r"));
        if size > self.limit {
            self.drop_all(buf);
            self.discarding = true;
            return Some(self.too_long());
        }
        None
    }

    /// What to say of the rest when the stream has ended: `None` if it ended between frames, or in one that was
    /// reported already.
    pub fn finish(&mut self, buf: &mut BytesMut) -> Option<FrameError> {
        let bytes = buf.len();
        self.drop_all(buf);
        let discarding = std::mem::take(&mut self.discarding);
        (bytes > 0 && !discarding).then_some(FrameError::Truncated { bytes })
    }

    /// Where the next LF is; if there is none yet, these bytes aren't looked at again.
    #[inline]
    fn line_end(&mut self, buf: &BytesMut) -> Option<usize> {
        let new = buf.get(self.scanned..).unwrap_or_default();
        // What comes byte by byte isn't worth a search.
        let found = match new {
            [byte] => (*byte == b'\n').then_some(0),
            _ => memchr::memchr(b'\n', new),
        };
        #[cfg(test)]
        {
            self.looked_at += found.map_or(new.len(), |at| at + 1);
        }
        match found {
            Some(at) => Some(std::mem::take(&mut self.scanned) + at),
            None => {
                self.scanned = buf.len();
                None
            }
        }
    }

    fn drop_all(&mut self, buf: &mut BytesMut) {
        buf.clear();
        self.scanned = 0;
    }

    const fn too_long(&self) -> FrameError {
        FrameError::TooLong { limit: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(finder: &mut FrameFinder, buf: &mut BytesMut, bytes: &[u8]) -> Vec<Result<Bytes, FrameError>> {
        buf.extend_from_slice(bytes);
        std::iter::from_fn(|| finder.next_frame(buf)).collect()
    }

    #[test]
    fn every_byte_is_looked_at_once_however_the_stream_is_cut() {
        let stream =
            [&b"a".repeat(5_000)[..], b"\n", &b"b".repeat(300), b"\r\n\n", &b"c".repeat(700)].concat();
        for size in [1, 7, 4_999, 5_000, 5_001, stream.len()] {
            let (mut finder, mut buf) = (FrameFinder::new(6_000), BytesMut::new());
            let frames: Vec<_> =
                stream.chunks(size).flat_map(|piece| feed(&mut finder, &mut buf, piece)).collect();
            assert_eq!(frames.len(), 3);
            assert_eq!(finder.looked_at, stream.len());
            assert_eq!(buf.len(), 700);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_reported_once_and_never_held() {
        let (mut finder, mut buf) = (FrameFinder::new(8), BytesMut::new());
        let too_long = Err(FrameError::TooLong { limit: 8 });
        assert_eq!(feed(&mut finder, &mut buf, b"12345678"), []);
        assert_eq!(feed(&mut finder, &mut buf, b"9"), std::slice::from_ref(&too_long));
        for _ in 0..100 {
            assert_eq!(feed(&mut finder, &mut buf, &[b'x'; 1_000]), []);
            assert!(buf.is_empty());
        }
        assert_eq!(feed(&mut finder, &mut buf, b"end\ngood\n123456789\n"), [Ok("good".into()), too_long]);
        assert_eq!(finder.finish(&mut buf), None);
    }

    #[test]
    fn a_line_of_just_the_limit_may_end_with_a_carriage_return_too() {
        let (mut finder, mut buf) = (FrameFinder::new(4), BytesMut::new());
        assert_eq!(feed(&mut finder, &mut buf, b"1234\r"), []);
        assert_eq!(feed(&mut finder, &mut buf, b"\n"), [Ok("1234".into())]);
        assert_eq!(feed(&mut finder, &mut buf, b"1234\r\r\n"), [Err(FrameError::TooLong { limit: 4 })]);
        assert_eq!(feed(&mut finder, &mut buf, b"\r\r\n"), [Ok("\r".into())]);
    }

    #[test]
    fn the_end_of_the_stream_tells_what_is_missing() {
        let (mut finder, mut buf) = (FrameFinder::new(4), BytesMut::from("abc"));
        assert_eq!(finder.next_frame(&mut buf), None);
        assert_eq!(finder.finish(&mut buf), Some(FrameError::Truncated { bytes: 3 }));
        assert_eq!(finder.finish(&mut buf), None);
        buf.extend_from_slice(b"abcdef");
        assert_eq!(finder.next_frame(&mut buf), Some(Err(FrameError::TooLong { limit: 4 })));
        assert_eq!(finder.finish(&mut buf), None);
    }
}
