//! tokio-util codecs for the three kinds of stream (feature `codec`).
//!
//! What a stream can recover from is an item: [`Malformed`] names the frame or message at fault, and decoding goes on
//! after it. The codecs never return an [`io::Error`] of their own.
//!
//! ```
//! use bytes::BytesMut;
//! use p2pchat_proto::{Limits, ToRegistry, codec::RegistryCodec};
//! use tokio_util::codec::Decoder;
//!
//! let mut codec = RegistryCodec::new(Limits::DEFAULT);
//! let mut buf = BytesMut::from("HELLO_P2P\nLOGOUT\n");
//! assert_eq!(codec.decode(&mut buf)?, Some(Ok(ToRegistry::Hello { extensions: None })));
//! assert_eq!(codec.decode(&mut buf)?, Some(Ok(ToRegistry::Logout { username: None })));
//! assert_eq!(codec.decode(&mut buf)?, None);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::{collections::VecDeque, io};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    Detail, Dialect, FileMessage, FromRegistry, Limits, Malformed, Message, PeerListShape, PeerMessage,
    ToRegistry, Verb,
    dialect::Detector,
    error::{FrameError, ParseError},
    file::FileChunk,
    frame::FrameFinder,
    parse::{self, Origin},
};

/// An idle connection's buffer that is larger than this is replaced by one of [`IDLE_CAPACITY`] bytes.
const ROOMY: usize = 64 * 1024;
const IDLE_CAPACITY: usize = 2 * 1024;
/// The prototype takes a record of at most 1,024 bytes for a message; a read has to have room for all of it.
const RECORD_BYTES: usize = 2 * 1024;
/// A TLS record's largest size: the prototype's registry sends a list as one.
const TLS_RECORD_BYTES: usize = 16 * 1024;

/// A stream's bytes on their way to frames: finder, dialect, and the buffer's size.
#[derive(Debug)]
struct Inbox {
    finder: FrameFinder,
    detector: Detector,
    limit: usize,
    record: usize,
    /// The buffer has grown past [`ROOMY`] since it was last empty.
    roomy: bool,
}

impl Inbox {
    fn new(detector: Detector, limit: usize, record: usize) -> Self {
        Self { finder: FrameFinder::new(limit), detector, limit, record, roomy: false }
    }

    fn dialect(&self) -> Dialect {
        self.detector.dialect().unwrap_or_default()
    }

    #[inline(always)]
    fn next_frame(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        self.roomy |= buf.capacity() > ROOMY;
        let frame = match self.detector.dialect() {
            Some(Dialect::Canonical) => self.finder.next_frame(buf),
            dialect => self.other_frame(dialect, buf),
        };
        if frame.is_none() && buf.is_empty() {
            self.idle(buf);
        }
        frame
    }

    #[cold]
    fn other_frame(
        &mut self,
        dialect: Option<Dialect>,
        buf: &mut BytesMut,
    ) -> Option<Result<Bytes, FrameError>> {
        match dialect {
            Some(_) => self.next_record(buf),
            None => self.first_frame(buf),
        }
    }

    fn idle(&mut self, buf: &mut BytesMut) {
        if std::mem::take(&mut self.roomy) {
            *buf = BytesMut::with_capacity(IDLE_CAPACITY);
        }
        if self.detector.dialect() == Some(Dialect::Prototype) {
            buf.reserve(self.record);
        }
    }

    fn first_frame(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        if let Some(frame) = self.finder.next_frame(buf) {
            self.detector.handle_line();
            return Some(frame);
        }
        self.detector.handle_unfinished(buf);
        match self.detector.dialect() {
            Some(Dialect::Prototype) => self.next_record(buf),
            _ => None,
        }
    }

    /// All that has come is one message, or one a line if there are line endings.
    fn next_record(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        while !buf.is_empty() {
            let end = memchr::memchr(b'\n', buf).map_or(buf.len(), |at| at + 1);
            let record = buf.split_to(end).freeze();
            let record = record.slice(..record.trim_ascii_end().len());
            if record.is_empty() {
                continue;
            }
            let too_long = FrameError::TooLong { limit: self.limit };
            return Some(if record.len() > self.limit { Err(too_long) } else { Ok(record) });
        }
        None
    }

    fn finish(&mut self, buf: &mut BytesMut) -> Option<Malformed> {
        self.finder.finish(buf).map(Malformed::Frame)
    }

    /// The next frame as `parse` reads it.
    #[inline]
    fn next_message<M>(
        &mut self,
        buf: &mut BytesMut,
        parse: impl FnOnce(Bytes, Dialect) -> Result<M, ParseError>,
    ) -> Option<Result<M, Malformed>> {
        let frame = self.next_frame(buf)?;
        Some(match frame {
            Ok(frame) => parse(frame, self.dialect()).map_err(Malformed::Message),
            Err(error) => Err(Malformed::Frame(error)),
        })
    }
}

/// The registry's end of a registry stream: [`ToRegistry`] comes in, [`FromRegistry`] goes out.
///
/// It finds out the connection's dialect by itself, but for the time that passes: while
/// [`awaits_grace`](Self::awaits_grace) says so after a `decode` that had nothing, the driver lets at most 200 ms go
/// by, calls [`grace_expired`](Self::grace_expired), and decodes again.
#[derive(Debug)]
pub struct RegistryCodec {
    inbox: Inbox,
    limits: Limits,
}

impl RegistryCodec {
    /// A codec for a new connection.
    pub fn new(limits: Limits) -> Self {
        Self { inbox: Inbox::new(Detector::for_registry(), limits.frame_bytes, RECORD_BYTES), limits }
    }

    /// The connection's dialect, if it is known yet. Until then replies are canonical.
    pub fn dialect(&self) -> Option<Dialect> {
        self.inbox.detector.dialect()
    }

    /// The dialect is known by other means: TLS negotiated `p2pchat/1`.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.inbox.detector.set(dialect);
    }

    /// True if `buf`, as the last `decode` left it, holds what is the prototype's hello if no line ending follows.
    pub fn awaits_grace(&self, buf: &BytesMut) -> bool {
        self.inbox.detector.awaits_grace(buf)
    }

    /// None followed: the connection is in the prototype's dialect, and the next `decode` has its hello.
    pub fn grace_expired(&mut self) {
        self.inbox.detector.handle_grace_expired();
    }
}

impl Decoder for RegistryCodec {
    type Item = Result<ToRegistry, Malformed>;
    type Error = io::Error;

    fn decode(&mut self, buf: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        let limits = &self.limits;
        Ok(self.inbox.next_message(buf, |frame, dialect| {
            parse::message(frame, Origin::Stream, dialect, limits, |_| ToRegistry::read)
        }))
    }

    fn decode_eof(&mut self, buf: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        let item = self.decode(buf)?;
        Ok(item.or_else(|| self.inbox.finish(buf).map(Err)))
    }
}

/// The peer's end of a registry stream: [`FromRegistry`] comes in, [`ToRegistry`] goes out.
///
/// It remembers what was asked, so that each list is read in the shape that was asked for: every list request has to be
/// encoded by the same codec. An unprompted bare greeting makes the connection the prototype's.
#[derive(Debug)]
pub struct ClientCodec {
    inbox: Inbox,
    limits: Limits,
    asked_peers: VecDeque<PeerListShape>,
    asked_rooms: VecDeque<PeerListShape>,
}

impl ClientCodec {
    /// A codec for a new connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            inbox: Inbox::new(Detector::for_client(), limits.list_reply_bytes, TLS_RECORD_BYTES),
            limits,
            asked_peers: VecDeque::new(),
            asked_rooms: VecDeque::new(),
        }
    }

    /// The connection's dialect, if it is known yet. Until then requests are canonical.
    pub fn dialect(&self) -> Option<Dialect> {
        self.inbox.detector.dialect()
    }

    /// The dialect is known by other means: TLS negotiated `p2pchat/1`.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.inbox.detector.set(dialect);
    }
}

impl Decoder for ClientCodec {
    type Item = Result<FromRegistry, Malformed>;
    type Error = io::Error;

    fn decode(&mut self, buf: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        let Self { inbox, limits, asked_peers, asked_rooms } = self;
        let asked = |verb| match verb {
            Verb::PeerList => asked_peers.pop_front(),
            Verb::RoomsList => asked_rooms.pop_front(),
            _ => None,
        };
        Ok(inbox.next_message(buf, |frame, dialect| {
            FromRegistry::parse_asked(frame, Origin::Stream, dialect, limits, asked)
        }))
    }

    fn decode_eof(&mut self, buf: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        let item = self.decode(buf)?;
        Ok(item.or_else(|| self.inbox.finish(buf).map(Err)))
    }
}

/// A piece of a file whose line has come.
#[derive(Debug)]
struct Begun {
    chunk: FileChunk,
    /// The line's length, in bytes.
    line: usize,
}

/// Either end of a peer stream.
#[derive(Debug)]
pub struct PeerCodec {
    inbox: Inbox,
    limits: Limits,
    /// The line of a piece of a file has come, and not yet all that it announced.
    chunk: Option<Begun>,
}

impl PeerCodec {
    /// A codec for a new connection.
    pub fn new(limits: Limits) -> Self {
        let mut inbox = Inbox::new(Detector::for_client(), limits.frame_bytes, RECORD_BYTES);
        inbox.detector.set(Dialect::Canonical);
        Self { inbox, limits, chunk: None }
    }

    /// True if what was decoded last ended within a piece of a file, also where `buf` is empty.
    pub const fn is_within_chunk(&self) -> bool {
        self.chunk.is_some()
    }

    /// What a piece of a file holds, once all of it is there.
    #[cold]
    fn complete(&mut self, begun: Begun, buf: &mut BytesMut) -> Option<Result<PeerMessage, Malformed>> {
        let Begun { chunk, line } = begun;
        match chunk.complete(buf) {
            Ok(chunk) => Some(Ok(PeerMessage::File(FileMessage::Data(chunk)))),
            Err(chunk) => {
                self.chunk = Some(Begun { chunk, line });
                None
            }
        }
    }
}

impl Decoder for PeerCodec {
    type Item = Result<PeerMessage, Malformed>;
    type Error = io::Error;

    fn decode(&mut self, buf: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        if let Some(begun) = self.chunk.take() {
            return Ok(self.complete(begun, buf));
        }
        let (limits, mut line) = (&self.limits, 0);
        let item = self.inbox.next_message(buf, |frame, _| {
            line = frame.len() + 1;
            parse::message(frame, Origin::Stream, Dialect::Canonical, limits, |_| PeerMessage::read)
        });
        match item {
            Some(Ok(PeerMessage::File(FileMessage::Data(chunk)))) => {
                Ok(self.complete(Begun { chunk, line }, buf))
            }
            item => Ok(item),
        }
    }

    fn decode_eof(&mut self, buf: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        let item = self.decode(buf)?;
        if item.is_none()
            && let Some(Begun { line, .. }) = self.chunk.take()
        {
            let bytes = line + std::mem::take(buf).len();
            return Ok(Some(Err(Malformed::Frame(FrameError::Truncated { bytes }))));
        }
        Ok(item.or_else(|| self.inbox.finish(buf).map(Err)))
    }
}

impl Encoder<&FromRegistry> for RegistryCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &FromRegistry, out: &mut BytesMut) -> io::Result<()> {
        message.encode(out, self.inbox.dialect());
        Ok(())
    }
}

impl Encoder<&ToRegistry> for ClientCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &ToRegistry, out: &mut BytesMut) -> io::Result<()> {
        let shape = |detail: &Detail| match detail {
            Detail::Detailed => PeerListShape::Detailed,
            Detail::Partial => PeerListShape::Partial,
        };
        match message {
            ToRegistry::DiscoverPeers { detail, .. } => self.asked_peers.push_back(shape(detail)),
            ToRegistry::DiscoverRoom { .. } => self.asked_peers.push_back(PeerListShape::Room),
            ToRegistry::ListRooms { detail } => self.asked_rooms.push_back(shape(detail)),
            _ => {}
        }
        message.encode(out, self.inbox.dialect());
        Ok(())
    }
}

impl Encoder<&PeerMessage> for PeerCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &PeerMessage, out: &mut BytesMut) -> io::Result<()> {
        message.encode(out, Dialect::Canonical);
        Ok(())
    }
}

macro_rules! encoder_of_owned {
    ($($codec:ident: $message:ident,)*) => {
        $(impl Encoder<$message> for $codec {
            type Error = io::Error;

            fn encode(&mut self, message: $message, out: &mut BytesMut) -> io::Result<()> {
                Encoder::<&$message>::encode(self, &message, out)
            }
        })*
    };
}

encoder_of_owned! {
    RegistryCodec: FromRegistry,
    ClientCodec: ToRegistry,
    PeerCodec: PeerMessage,
}
