//! The bodies of the fuzz targets in `fuzz/`: each panics if its property doesn't hold. Here so that ordinary builds
//! compile them. Not part of the API.
#![allow(clippy::expect_used, reason = "a panic is how a fuzz target tells")]

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    Dialect, FrameError, FromRegistry, FromRegistryDatagram, HelloReply, Limits, Message, PeerList,
    PeerListShape, PeerMessage, ToRegistry, ToRegistryDatagram, Verb,
    codec::{ClientCodec, PeerCodec, RegistryCodec},
    frame::FrameFinder,
};

const BOTH: [Dialect; 2] = [Dialect::Canonical, Dialect::Prototype];

/// A stream cut into reads: eight bytes choose the places, the rest is the stream.
struct Cuts<'a> {
    state: u64,
    stream: &'a [u8],
}

impl<'a> Cuts<'a> {
    fn of(data: &'a [u8]) -> Option<Self> {
        let (seed, stream) = data.split_first_chunk()?;
        Some(Self { state: u64::from_le_bytes(*seed) | 1, stream })
    }

    /// Xorshift: the fuzzer mutates the seed, not the numbers.
    fn next_number(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

impl<'a> Iterator for Cuts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let longest = if self.next_number().is_multiple_of(2) { 4 } else { 400 };
        let size = 1 + (self.next_number() % longest) as usize;
        let (piece, rest) = self.stream.split_at(size.min(self.stream.len()));
        self.stream = rest;
        (!piece.is_empty()).then_some(piece)
    }
}

/// Frames are the same however the stream is cut, never longer than the limit, and what waits is bounded.
pub fn frames(data: &[u8]) {
    let Some(mut cuts) = Cuts::of(data) else { return };
    let limit = (cuts.next_number() % 200) as usize;
    let whole = {
        let (mut finder, mut buf) = (FrameFinder::new(limit), BytesMut::from(cuts.stream));
        let mut frames: Vec<_> = std::iter::from_fn(|| finder.next_frame(&mut buf)).collect();
        frames.extend(finder.finish(&mut buf).map(Err));
        frames
    };
    let (mut finder, mut buf, mut frames) = (FrameFinder::new(limit), BytesMut::new(), Vec::new());
    for piece in cuts {
        buf.extend_from_slice(piece);
        frames.extend(std::iter::from_fn(|| finder.next_frame(&mut buf)));
        assert!(buf.len() <= limit + 1, "more than a frame and its CR waits");
    }
    frames.extend(finder.finish(&mut buf).map(Err));
    assert_eq!(frames, whole);
    for frame in frames {
        match frame {
            Ok(frame) => assert!(frame.len() <= limit && !frame.contains(&b'\n')),
            Err(FrameError::TooLong { limit: told }) => assert_eq!(told, limit),
            Err(FrameError::Truncated { bytes }) => assert!(bytes <= limit + 1),
        }
    }
}

/// Anything parsed as a request can be encoded, and says the same then.
pub fn to_registry(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    for dialect in BOTH {
        if let Ok(message) = ToRegistry::parse(&frame, dialect, &Limits::DEFAULT) {
            round_trip_of(&message, |frame, dialect| ToRegistry::parse(frame, dialect, &spacious()));
        }
    }
}

/// Anything parsed as a reply or push, whatever was asked, can be encoded, and says the same then, as can a
/// list that is given its shape later.
pub fn from_registry(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    let shapes = [PeerListShape::Detailed, PeerListShape::Partial, PeerListShape::Room];
    for dialect in BOTH {
        let parse = |shape| FromRegistry::parse_expecting(&frame, dialect, &Limits::DEFAULT, shape);
        for shape in shapes.into_iter().map(Some).chain([None]) {
            if let Ok(message) = parse(shape) {
                reply_round_trip(&message);
            }
        }
        let Ok(FromRegistry::Peers(PeerList::Raw(list))) = parse(None) else { continue };
        for shape in shapes {
            if let Ok(list) = list.clone().into_shape(shape, dialect, &spacious()) {
                reply_round_trip(&FromRegistry::Peers(list));
            }
        }
    }
}

/// Anything parsed as a peer's message can be encoded, and says the same then.
pub fn peer(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    if let Ok(message) = PeerMessage::parse(&frame, Dialect::Canonical, &Limits::DEFAULT) {
        round_trip_of(&message, |frame, dialect| PeerMessage::parse(frame, dialect, &spacious()));
    }
}

/// A peer's stream says the same however it is cut, files included, and no more waits than a frame, or a piece of a file.
pub fn peer_stream(data: &[u8]) {
    let Some(mut cuts) = Cuts::of(data) else { return };
    let limits = Limits { frame_bytes: 200, file_chunk_bytes: 300, ..Limits::DEFAULT };
    let end = |codec: &mut PeerCodec, buf: &mut BytesMut| {
        std::iter::from_fn(|| codec.decode_eof(buf).expect("no I/O")).collect::<Vec<_>>()
    };
    let whole = end(&mut PeerCodec::new(limits), &mut BytesMut::from(cuts.stream));
    let (mut codec, mut buf, mut items) = (PeerCodec::new(limits), BytesMut::new(), Vec::new());
    for piece in &mut cuts {
        buf.extend_from_slice(piece);
        items.extend(std::iter::from_fn(|| codec.decode(&mut buf).expect("no I/O")));
        let most = if codec.is_within_chunk() { limits.file_chunk_bytes } else { limits.frame_bytes + 1 };
        assert!(buf.len() <= most, "more than a message waits");
    }
    items.extend(end(&mut codec, &mut buf));
    assert_eq!(items, whole);
    for message in items.into_iter().flatten() {
        canonical_round_trip(&message, |frame, dialect| PeerMessage::parse(frame, dialect, &spacious()));
    }
}

/// Anything parsed as a datagram, in either direction, can be encoded, and says the same then.
pub fn datagrams(data: &[u8]) {
    let datagram = Bytes::copy_from_slice(data);
    for dialect in BOTH {
        if let Ok(message) = ToRegistryDatagram::parse(&datagram, dialect, &Limits::DEFAULT) {
            round_trip_of(&message, |frame, dialect| ToRegistryDatagram::parse(frame, dialect, &spacious()));
        }
        if let Ok(message) = FromRegistryDatagram::parse(&datagram, dialect, &Limits::DEFAULT) {
            round_trip_of(&message, |frame, dialect| {
                FromRegistryDatagram::parse(frame, dialect, &spacious())
            });
        }
    }
}

#[derive(Debug, Arbitrary)]
enum Any {
    ToRegistry(ToRegistry),
    FromRegistry(FromRegistry),
    Peer(PeerMessage),
    ToRegistryDatagram(ToRegistryDatagram),
    FromRegistryDatagram(FromRegistryDatagram),
}

/// Every message that can exist survives being encoded and decoded.
pub fn round_trip(data: &[u8]) {
    let Ok(message) = Any::arbitrary(&mut Unstructured::new(data)) else { return };
    let limits = &Limits::DEFAULT;
    match message {
        Any::ToRegistry(message) => round_trip_of(&message, |f, d| ToRegistry::parse(f, d, limits)),
        Any::FromRegistry(message) => reply_round_trip(&message),
        Any::Peer(message) => round_trip_of(&message, |f, d| PeerMessage::parse(f, d, limits)),
        Any::ToRegistryDatagram(message) => {
            round_trip_of(&message, |f, d| ToRegistryDatagram::parse(f, d, limits));
        }
        Any::FromRegistryDatagram(message) => {
            round_trip_of(&message, |f, d| FromRegistryDatagram::parse(f, d, limits));
        }
    }
}

/// Both ends find a dialect at most once, whatever comes and whenever the grace ends, and give nothing back for nothing.
pub fn dialect(data: &[u8]) {
    let Some(mut cuts) = Cuts::of(data) else { return };
    let mut registry = RegistryCodec::new(Limits::DEFAULT);
    let mut client = ClientCodec::new(Limits::DEFAULT);
    let (mut to_registry, mut from_registry) = (BytesMut::new(), BytesMut::new());
    let mut known = (None, None);
    while let Some(piece) = cuts.next() {
        to_registry.extend_from_slice(piece);
        from_registry.extend_from_slice(piece);
        drain(&mut registry, &mut to_registry);
        drain(&mut client, &mut from_registry);
        if registry.awaits_grace(&to_registry) && cuts.next_number().is_multiple_of(2) {
            registry.grace_expired();
            let hello = registry.decode(&mut to_registry).expect("no I/O");
            assert_eq!(hello, Some(Ok(ToRegistry::Hello { extensions: None })));
            assert_eq!(registry.dialect(), Some(Dialect::Prototype));
        }
        let now = (registry.dialect(), client.dialect());
        assert!(known.0.is_none_or(|_| known.0 == now.0) && known.1.is_none_or(|_| known.1 == now.1));
        known = now;
    }
    let mut welcome = BytesMut::new();
    let reply = FromRegistry::Hello(HelloReply::Success { extensions: None });
    registry.encode(&reply, &mut welcome).expect("no I/O");
    assert_eq!(welcome.ends_with(b"\n"), known.0 != Some(Dialect::Prototype));
}

/// Takes all items out of `buf`: at most one a byte, and one for the line that turned out too long.
fn drain<C: Decoder<Error = std::io::Error>>(codec: &mut C, buf: &mut BytesMut) {
    let most = buf.len() + 1;
    let items = std::iter::from_fn(|| codec.decode(buf).expect("no I/O")).take(most + 1).count();
    assert!(items <= most, "items without bytes");
}

/// A reply is read in the shape that it has, as its asker would.
fn reply_round_trip(message: &FromRegistry) {
    let shape = PeerListShape::of(message);
    let parse = |frame: &Bytes, dialect| FromRegistry::parse_expecting(frame, dialect, &spacious(), shape);
    if matches!(message, FromRegistry::Peers(PeerList::Raw(_))) {
        // Never sent to the prototype, whose lists have nothing that parts records.
        canonical_round_trip(message, parse);
    } else {
        round_trip_of(message, parse);
    }
}

fn round_trip_of<M, E>(message: &M, parse: impl Fn(&Bytes, Dialect) -> Result<M, E>)
where
    M: Message + PartialEq + Debug,
    E: Debug,
{
    canonical_round_trip(message, &parse);
    // The prototype's dialect can't carry all of a message: what it does carry, it spells in one way.
    let frame = frame_of(message, Dialect::Prototype);
    let carried = parse(&frame, Dialect::Prototype).expect("what was encoded can be decoded");
    assert_eq!(frame_of(&carried, Dialect::Prototype), frame);
    assert_eq!(carried.verb(), message.verb());
}

fn canonical_round_trip<M, E>(message: &M, parse: impl Fn(&Bytes, Dialect) -> Result<M, E>)
where
    M: Message + PartialEq + Debug,
    E: Debug,
{
    let frame = frame_of(message, Dialect::Canonical);
    // What a piece of a file holds stands behind its line.
    let line = frame.split(|&byte| byte == b'\n').next().map_or(0, <[u8]>::len);
    assert!(line == frame.len() || message.verb() == Verb::FileData, "content made a second line");
    let again = parse(&frame, Dialect::Canonical).expect("what was encoded can be decoded");
    assert_eq!(&again, message);
    assert_eq!(frame_of(&again, Dialect::Canonical), frame);
}

/// The encoded message without its line ending, if its link has those.
fn frame_of(message: &impl Message, dialect: Dialect) -> Bytes {
    let bytes = message.to_bytes(dialect);
    if message.verb() == Verb::FileData {
        return bytes;
    }
    bytes.strip_suffix(b"\n").map_or(bytes.clone(), |line| bytes.slice(..line.len()))
}

/// A canonical spelling can be longer than what it was read from.
fn spacious() -> Limits {
    Limits { frame_bytes: usize::MAX, list_reply_bytes: usize::MAX, ..Limits::DEFAULT }
}
