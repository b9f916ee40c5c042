//! What the codecs make of streams: however they are cut, whatever is in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use common::any_of;
use p2pchat_proto::{
    Description, Detail, Dialect, FrameError, FromRegistry, FromRegistryDatagram, Limits, List, Malformed,
    Message, Notification, PeerList, PeerListShape, PeerMessage, Reason, RoomName, RoomRecord, RoomsList,
    Text, ToRegistry, ToRegistryDatagram, Username,
    codec::{ClientCodec, PeerCodec, RegistryCodec},
};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

/// Everything that comes out of `codec` when `pieces` come in, the stream's end included.
fn decode_all<'a, C, T>(mut codec: C, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<T>
where
    C: Decoder<Item = T, Error = std::io::Error>,
{
    let (mut buf, mut items) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        while let Some(item) = codec.decode(&mut buf).unwrap() {
            items.push(item);
        }
    }
    while let Some(item) = codec.decode_eof(&mut buf).unwrap() {
        items.push(item);
    }
    items
}

fn registry() -> RegistryCodec {
    RegistryCodec::new(Limits::DEFAULT)
}

fn peer() -> PeerCodec {
    PeerCodec::new(Limits::DEFAULT)
}

/// A client that has asked what these answer.
fn client_for(replies: &[FromRegistry]) -> ClientCodec {
    let mut codec = ClientCodec::new(Limits::DEFAULT);
    for reply in replies {
        let detail = match PeerListShape::of(reply) {
            Some(PeerListShape::Detailed) => Detail::Detailed,
            _ => Detail::Partial,
        };
        let question = match reply {
            FromRegistry::Peers(PeerList::Room { room, .. }) => {
                ToRegistry::DiscoverRoom { room: room.clone() }
            }
            FromRegistry::Peers(_) => ToRegistry::DiscoverPeers { detail, asker: None },
            FromRegistry::Rooms(_) => ToRegistry::ListRooms { detail },
            _ => continue,
        };
        codec.encode(question, &mut BytesMut::new()).unwrap();
    }
    codec
}

fn canonical<M: Message>(messages: &[M]) -> BytesMut {
    let mut stream = BytesMut::new();
    messages.iter().for_each(|message| message.encode(&mut stream, Dialect::Canonical));
    stream
}

/// Decoded whole, in two pieces cut anywhere, and byte by byte.
fn check_cuts<C, M>(new: impl Fn() -> C, messages: Vec<M>) -> Result<(), TestCaseError>
where
    C: Decoder<Item = Result<M, Malformed>, Error = std::io::Error>,
    M: Message + Debug + PartialEq,
{
    let stream = canonical(&messages);
    let expected: Vec<_> = messages.into_iter().map(Ok).collect();
    prop_assert_eq!(&decode_all(new(), [&stream[..]]), &expected);
    prop_assert_eq!(&decode_all(new(), stream.chunks(1)), &expected);
    for cut in 1..stream.len() {
        let (head, tail) = stream.split_at(cut);
        prop_assert_eq!(&decode_all(new(), [head, tail]), &expected, "cut at {}", cut);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_says_the_same_however_it_is_cut(
        requests in proptest::collection::vec(any_of::<ToRegistry>(), 1..5),
        replies in proptest::collection::vec(any_of::<FromRegistry>(), 1..4),
        messages in proptest::collection::vec(any_of::<PeerMessage>(), 1..5),
    ) {
        // Nobody asks for a list of unknown shape.
        let replies: Vec<_> =
            replies.into_iter().filter(|reply| !matches!(reply, FromRegistry::Peers(PeerList::Raw(_)))).collect();
        check_cuts(registry, requests)?;
        check_cuts(|| client_for(&replies), replies.clone())?;
        check_cuts(peer, messages)?;
    }

    #[test]
    fn rubbish_says_the_same_however_it_is_cut(
        stream in proptest::collection::vec(
            prop_oneof![any::<Vec<u8>>().prop_map(Bytes::from).boxed(), Just(Bytes::from("\n")).boxed(), any_of::<PeerMessage>().prop_map(|m| m.to_bytes(Dialect::Canonical)).boxed()],
            0..20,
        ),
        size in 1..40_usize,
    ) {
        let stream = stream.concat();
        let mut limits = Limits::DEFAULT;
        limits.frame_bytes = 64;
        let whole = decode_all(PeerCodec::new(limits), [&stream[..]]);
        prop_assert_eq!(decode_all(PeerCodec::new(limits), stream.chunks(size)), whole);
    }

    #[test]
    fn a_frame_that_is_not_whole_is_not_yet(message in any_of::<PeerMessage>()) {
        let stream = message.to_bytes(Dialect::Canonical);
        let (mut codec, mut buf) = (peer(), BytesMut::new());
        for &byte in &stream[..stream.len() - 1] {
            buf.extend_from_slice(&[byte]);
            prop_assert_eq!(codec.decode(&mut buf).unwrap(), None);
        }
        for end in 1..stream.len() {
            let items = decode_all(peer(), [&stream[..end]]);
            prop_assert_eq!(items, [Err(Malformed::Frame(FrameError::Truncated { bytes: end }))]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_a_parser_panic(
        verb in proptest::sample::select(p2pchat_proto::Verb::ALL),
        rest in prop_oneof![
            any::<Vec<u8>>(),
            "[<>\\\\,():.a0 \t\r\n\u{0}é]*".prop_map(String::into_bytes),
            "( <(SUCCESS|FOUND|ACCEPT|200|300|404|a|1|)>| , |\\PC){0,12}".prop_map(String::into_bytes),
        ],
    ) {
        let frame: Bytes = [verb.as_str().as_bytes(), &rest].concat().into();
        for dialect in [Dialect::Canonical, Dialect::Prototype] {
            let limits = Limits::DEFAULT;
            // What is parsed can be encoded, and that says the same.
            if let Ok(message) = ToRegistry::parse(&frame, dialect, &limits) {
                prop_assert_eq!(decode_all(registry(), [&canonical(std::slice::from_ref(&message))[..]]), [Ok(message)]);
            }
            if let Ok(message) = PeerMessage::parse(&frame, dialect, &limits) {
                prop_assert_eq!(decode_all(peer(), [&canonical(std::slice::from_ref(&message))[..]]), [Ok(message)]);
            }
            for shape in [None, Some(PeerListShape::Detailed), Some(PeerListShape::Partial), Some(PeerListShape::Room)] {
                if let Err(error) = FromRegistry::parse_expecting(&frame, dialect, &limits, shape) {
                    prop_assert!(error.offset <= frame.len());
                }
            }
            let _ = ToRegistryDatagram::parse(&frame, dialect, &limits);
            let _ = FromRegistryDatagram::parse(&frame, dialect, &limits);
        }
    }

    #[test]
    fn no_content_forges_a_frame(text in any_of::<Text>(), reason in any_of::<Reason>(), about in any_of::<Description>()) {
        let name = || Username::new("alice").unwrap();
        let notification = Notification {
            delivery: p2pchat_proto::Delivery::Failure { reason: Some(reason.clone()) },
            sender: name(),
            content: text.clone(),
        };
        let (room, capacity) = (RoomName::new("den").unwrap(), p2pchat_proto::Capacity::new(3).unwrap());
        let record = RoomRecord { name: room.clone(), description: about.clone(), members: 1, capacity };
        let frames = [
            PeerMessage::DirectMessage { sender: name(), recipient: name(), text: text.clone() }.to_bytes(Dialect::Canonical),
            PeerMessage::DirectBroadcast { sender: name(), room: None, text }.to_bytes(Dialect::Canonical),
            PeerMessage::UnicastNotification(notification).to_bytes(Dialect::Canonical),
            ToRegistry::CreateRoom { room, password: None, capacity, description: about }.to_bytes(Dialect::Canonical),
            FromRegistry::Rooms(RoomsList::Detailed(List::fitting([record]))).to_bytes(Dialect::Canonical),
        ];
        for frame in frames {
            prop_assert_eq!(frame.iter().position(|&byte| byte == b'\n'), Some(frame.len() - 1));
            prop_assert!(!frame.contains(&b'\r') && !frame.contains(&0));
        }
    }
}

#[test]
fn a_frame_over_the_limit_is_told_and_the_next_one_is_found() {
    let mut limits = Limits::DEFAULT;
    limits.frame_bytes = 100;
    let stream = [&b"DIRECT_MESSAGE <alice> <bob> "[..], &[b'x'; 10_000], b"\nCHAT_REQUEST <bob>\n"].concat();
    let expected = [
        Err(Malformed::Frame(FrameError::TooLong { limit: 100 })),
        Ok(PeerMessage::ChatRequest { recipient: Username::new("bob").unwrap(), sender: None }),
    ];
    for size in [1, 99, 100, 101, stream.len()] {
        assert_eq!(decode_all(PeerCodec::new(limits), stream.chunks(size)), expected);
    }
}

#[test]
fn a_large_frame_leaves_no_large_buffer() {
    let names = (0..30_000).map(|i| Username::new(&format!("somebody-{i}")).unwrap());
    let reply = FromRegistry::Peers(PeerList::Partial(List::fitting(names)));
    let mut codec = client_for(std::slice::from_ref(&reply));
    let mut buf = canonical(std::slice::from_ref(&reply));
    assert!(buf.len() > 500_000);
    assert_eq!(codec.decode(&mut buf).unwrap(), Some(Ok(reply)));
    assert_eq!(codec.decode(&mut buf).unwrap(), None);
    assert!(buf.capacity() < 10_000, "{}", buf.capacity());
}

#[test]
fn each_codec_writes_what_its_other_end_reads() {
    let name = || Username::new("alice").unwrap();
    let (mut buf, sent) = (BytesMut::new(), PeerMessage::ChatRequest { recipient: name(), sender: None });
    peer().encode(&sent, &mut buf).unwrap();
    assert_eq!(peer().decode(&mut buf).unwrap(), Some(Ok(sent)));
    let (mut buf, sent) = (BytesMut::new(), ToRegistry::SearchUser { username: name() });
    client_for(&[]).encode(&sent, &mut buf).unwrap();
    assert_eq!(registry().decode(&mut buf).unwrap(), Some(Ok(sent)));
    let (mut buf, sent) = (BytesMut::new(), FromRegistry::UserLogout { username: name() });
    registry().encode(&sent, &mut buf).unwrap();
    assert_eq!(client_for(&[]).decode(&mut buf).unwrap(), Some(Ok(sent)));
}

#[test]
fn a_stream_that_ends_within_a_frame_says_so_whichever_it_is() {
    let truncated = Malformed::Frame(FrameError::Truncated { bytes: 4 });
    let pieces = || [&b"HELL"[..]];
    assert_eq!(decode_all(registry(), pieces()), [Err(truncated.clone())]);
    assert_eq!(decode_all(client_for(&[]), pieces()), [Err(truncated.clone())]);
    assert_eq!(decode_all(peer(), pieces()), [Err(truncated)]);
}

#[test]
fn an_idle_buffer_of_up_to_64_kib_is_kept_and_a_larger_one_is_not() {
    let left_of = |capacity| {
        let (mut codec, mut buf) = (peer(), BytesMut::with_capacity(capacity));
        assert_eq!(buf.capacity(), capacity);
        buf.extend_from_slice(b"CHAT_REQUEST <bob>\n");
        assert!(matches!(codec.decode(&mut buf), Ok(Some(Ok(_)))));
        assert_eq!(codec.decode(&mut buf).unwrap(), None);
        buf.capacity()
    };
    assert!(left_of(64 * 1024) > 60 * 1024);
    assert!((2 * 1024..4 * 1024).contains(&left_of(64 * 1024 + 1)));

    let (mut codec, mut buf) = (peer(), BytesMut::with_capacity(100_000));
    buf.extend_from_slice(b"CHAT_REQUEST <b");
    assert_eq!(codec.decode(&mut buf).unwrap(), None);
    assert_eq!(buf, "CHAT_REQUEST <b", "a buffer is idle when there is nothing in it");
}

#[test]
fn each_list_is_read_in_the_shape_that_was_asked_for() {
    let mut codec = ClientCodec::new(Limits::DEFAULT);
    let room = RoomName::new("den").unwrap();
    for question in [
        ToRegistry::DiscoverRoom { room: room.clone() },
        ToRegistry::ListRooms { detail: Detail::Detailed },
        ToRegistry::DiscoverPeers { detail: Detail::Partial, asker: None },
        ToRegistry::DiscoverPeers { detail: Detail::Detailed, asker: None },
    ] {
        codec.encode(&question, &mut BytesMut::new()).unwrap();
    }
    let mut buf = BytesMut::from(
        "PEER_LIST <SUCCESS> <200> <den>\nUSER_LOGOUT <x>\nROOMS_LIST <FOUND> <200>\nPEER_LIST <SUCCESS> <404>\n\
         PEER_LIST <SUCCESS> <200> <bob> <> <0> <::1>\nPEER_LIST <SUCCESS> <200> <bob>\n",
    );
    let mut next = || codec.decode(&mut buf).unwrap().unwrap();
    let members = List::new();
    assert_eq!(next(), Ok(FromRegistry::Peers(PeerList::Room { room, members })));
    assert!(matches!(next(), Ok(FromRegistry::UserLogout { .. })));
    assert_eq!(next(), Ok(FromRegistry::Rooms(RoomsList::Detailed(List::new()))));
    assert!(matches!(next(), Err(Malformed::Message(_))), "a bad reply is an answer too");
    assert!(matches!(next(), Ok(FromRegistry::Peers(PeerList::Detailed(_)))));
    assert!(matches!(next(), Ok(FromRegistry::Peers(PeerList::Raw(_)))), "nobody asked");
}
