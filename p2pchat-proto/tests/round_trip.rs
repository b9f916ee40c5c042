//! `decode(encode(m)) == m` for every message, and what comes back is spelled the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::num::NonZeroU64;

use bytes::Bytes;
use common::any_of;
use p2pchat_proto::{
    AuthReply, BanList, BanRecord, Capabilities, Dialect, FromRegistry, FromRegistryDatagram, HelloReply,
    Limits, List, Message, Outcome, PeerList, PeerListShape, PeerMessage, PeerRecord, Record, RegisterReply,
    RoomName, RoomRecord, RoomsList, SearchReply, SessionTicket, Text, ToRegistry, ToRegistryDatagram,
    Username, Verb,
};
use proptest::prelude::*;

const BOTH: [Dialect; 2] = [Dialect::Canonical, Dialect::Prototype];

/// The encoded message as a parser is handed it.
fn frame_of(message: &impl Message, dialect: Dialect) -> Bytes {
    let bytes = message.to_bytes(dialect);
    if message.verb() == Verb::FileData {
        return bytes;
    }
    bytes.strip_suffix(b"\n").map_or(bytes.clone(), |line| bytes.slice(..line.len()))
}

/// Messages are equal if their names are, however they are spelled; their `Debug` shows the spelling, too.
macro_rules! assert_same {
    ($found:expr, $expected:expr) => {
        let (found, expected) = (&$found, &$expected);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn requests(message in any_of::<ToRegistry>()) {
        for dialect in BOTH {
            let expected = match dialect {
                Dialect::Prototype => carried_request(message.clone()),
                _ => message.clone(),
            };
            let frame = frame_of(&message, dialect);
            let found = ToRegistry::parse(&frame, dialect, &Limits::DEFAULT).unwrap();
            assert_same!(found, expected);
            prop_assert_eq!(frame_of(&found, dialect), frame);
            prop_assert_eq!(found.verb(), message.verb());
        }
    }

    #[test]
    fn replies(message in any_of::<FromRegistry>()) {
        // A list of unknown shape is what a parser hands out, never what the prototype is sent.
        let is_raw = matches!(message, FromRegistry::Peers(PeerList::Raw(_)));
        for dialect in BOTH.into_iter().filter(|&dialect| dialect == Dialect::Canonical || !is_raw) {
            let expected = match dialect {
                Dialect::Prototype => carried_reply(message.clone()),
                _ => message.clone(),
            };
            let frame = frame_of(&message, dialect);
            let found =
                FromRegistry::parse_expecting(&frame, dialect, &Limits::DEFAULT, PeerListShape::of(&message)).unwrap();
            assert_same!(found, expected);
            prop_assert_eq!(frame_of(&found, dialect), frame);
            prop_assert_eq!(found.verb(), message.verb());
        }
    }

    #[test]
    fn peer_messages(message in any_of::<PeerMessage>()) {
        for dialect in BOTH {
            let frame = frame_of(&message, dialect);
            let found = PeerMessage::parse(&frame, dialect, &Limits::DEFAULT).unwrap();
            assert_same!(found, message);
            prop_assert_eq!(frame_of(&found, dialect), frame);
            prop_assert_eq!(found.verb(), message.verb());
        }
    }

    #[test]
    fn datagrams(request in any_of::<ToRegistryDatagram>(), reply in any_of::<FromRegistryDatagram>()) {
        for ending in ["", "\n", "\r\n"] {
            let bytes: Bytes = [&request.to_bytes(Dialect::Canonical)[..], ending.as_bytes()].concat().into();
            let found = ToRegistryDatagram::parse(&bytes, Dialect::Canonical, &Limits::DEFAULT).unwrap();
            assert_same!(found, request);
            let bytes: Bytes = [&reply.to_bytes(Dialect::Canonical)[..], ending.as_bytes()].concat().into();
            let found = FromRegistryDatagram::parse(&bytes, Dialect::Canonical, &Limits::DEFAULT).unwrap();
            assert_same!(found, reply);
        }
        let (ToRegistryDatagram::KeepAlive { username, .. } | ToRegistryDatagram::ProvenKeepAlive { username, .. }) =
            &request
        else {
            unreachable!()
        };
        let bare = request.to_bytes(Dialect::Prototype);
        prop_assert_eq!(&bare, &Bytes::from(format!("KEEP_ALIVE {username}")));
        let found = ToRegistryDatagram::parse(&bare, Dialect::Prototype, &Limits::DEFAULT).unwrap();
        assert_same!(found, ToRegistryDatagram::KeepAlive { username: username.clone(), timeout: None });
    }

    #[test]
    fn a_keep_alive_proves_its_own_ticket_and_nothing_else_once_anything_in_it_is_changed(
        ticket in any_of::<SessionTicket>(),
        name in any_of::<Username>(),
        other_name in any_of::<Username>(),
        (timeout, other_timeout) in any_of::<(u32, u32)>(),
        (sequence, other_sequence) in any_of::<(NonZeroU64, NonZeroU64)>(),
        other_ticket in any_of::<SessionTicket>(),
    ) {
        let proven = ToRegistryDatagram::prove(&ticket, name.clone(), timeout, sequence);
        let ToRegistryDatagram::ProvenKeepAlive { proof, .. } = &proven else { unreachable!() };
        let wire = proven.to_bytes(Dialect::Canonical);
        let signed = format!("KEEP_ALIVE <{name}> <{timeout}> <{sequence}> <{}>", proof.expose());
        prop_assert_eq!(&wire, signed.as_bytes());
        let found = ToRegistryDatagram::parse(&wire, Dialect::Canonical, &Limits::DEFAULT).unwrap();
        prop_assert!(found.proves(&ticket));
        let with = |username, timeout, sequence| ToRegistryDatagram::ProvenKeepAlive {
            username,
            timeout,
            sequence,
            proof: proof.clone(),
        };
        prop_assert_eq!(found.proves(&other_ticket), ticket == other_ticket);
        let renamed = with(other_name.clone(), timeout, sequence);
        prop_assert_eq!(renamed.proves(&ticket), name.as_str() == other_name.as_str());
        prop_assert_eq!(with(name.clone(), other_timeout, sequence).proves(&ticket), timeout == other_timeout);
        prop_assert_eq!(with(name.clone(), timeout, other_sequence).proves(&ticket), sequence == other_sequence);
        let bare = ToRegistryDatagram::KeepAlive { username: name, timeout: Some(timeout) };
        prop_assert!(!bare.proves(&ticket));
    }

    #[test]
    fn an_answer_to_a_parked_session_proves_its_ticket_its_verb_and_its_number(
        (ticket, other_ticket) in any_of::<(SessionTicket, SessionTicket)>(),
        (sequence, other_sequence) in any_of::<(NonZeroU64, NonZeroU64)>(),
    ) {
        let parked = FromRegistryDatagram::parked(&ticket, sequence);
        let wake = FromRegistryDatagram::wake(&ticket, sequence);
        let (FromRegistryDatagram::Parked { proof }, FromRegistryDatagram::Wake { proof: other }) = (&parked, &wake)
        else {
            unreachable!()
        };
        prop_assert_ne!(proof, other);
        let spelled = format!("PARKED <{}>", proof.expose());
        prop_assert_eq!(&parked.to_bytes(Dialect::Canonical), spelled.as_bytes());
        let swapped = FromRegistryDatagram::Wake { proof: proof.clone() };
        prop_assert!(!swapped.answers(&ticket, sequence));
        for answer in [&parked, &wake] {
            let found = FromRegistryDatagram::parse(&answer.to_bytes(Dialect::Canonical), Dialect::Canonical, &Limits::DEFAULT);
            prop_assert!(found.unwrap().answers(&ticket, sequence));
            prop_assert_eq!(answer.answers(&ticket, other_sequence), sequence == other_sequence);
            prop_assert_eq!(answer.answers(&other_ticket, sequence), ticket == other_ticket);
        }
        prop_assert!(!FromRegistryDatagram::KeepAliveSuccess.answers(&ticket, sequence));
    }

    #[test]
    fn a_raw_list_takes_the_shape_that_it_turns_out_to_have(message in any_of::<PeerList>()) {
        let message = FromRegistry::Peers(message);
        let Some(shape) = PeerListShape::of(&message) else { return Ok(()) };
        for dialect in BOTH {
            let frame = frame_of(&message, dialect);
            let raw = match FromRegistry::parse(&frame, dialect, &Limits::DEFAULT).unwrap() {
                FromRegistry::Peers(PeerList::Raw(raw)) => raw,
                other => panic!("{other:?}"),
            };
            let expected = FromRegistry::parse_expecting(&frame, dialect, &Limits::DEFAULT, Some(shape)).unwrap();
            let found = FromRegistry::Peers(raw.into_shape(shape, dialect, &Limits::DEFAULT).unwrap());
            assert_same!(found, expected);
        }
    }

    #[test]
    fn a_records_size_is_what_it_takes_on_the_wire(
        peer in any_of::<PeerRecord>(),
        room in any_of::<RoomRecord>(),
        name in any_of::<Username>(),
        room_name in any_of::<RoomName>(),
        ban in any_of::<BanRecord>(),
    ) {
        fn payload<T: Record>(record: T, list: impl FnOnce(List<T>) -> FromRegistry) -> usize {
            let mut records = List::new();
            records.push(record).unwrap();
            list_len(&list(records))
        }
        fn list_len(message: &FromRegistry) -> usize {
            let (header, rest) = match message {
                FromRegistry::Rooms(_) => ("ROOMS_LIST <FOUND> <200> ", "\n"),
                FromRegistry::Bans(_) => ("BAN_LIST <FOUND> <200> ", "\n"),
                _ => ("PEER_LIST <SUCCESS> <200> ", "\n"),
            };
            message.to_bytes(Dialect::Canonical).len() - header.len() - rest.len()
        }
        let (peer_len, room_len, name_len) = (peer.encoded_len(), room.encoded_len(), name.encoded_len());
        let ban_len = ban.encoded_len();
        prop_assert_eq!(payload(peer, |list| FromRegistry::Peers(PeerList::Detailed(list))), peer_len);
        prop_assert_eq!(payload(room, |list| FromRegistry::Rooms(RoomsList::Detailed(list))), room_len);
        prop_assert_eq!(payload(name, |list| FromRegistry::Peers(PeerList::Partial(list))), name_len);
        prop_assert_eq!(payload(ban, |list| FromRegistry::Bans(BanList::Found(list))), ban_len);
        let room_name_len = room_name.encoded_len();
        prop_assert_eq!(payload(room_name, |list| FromRegistry::Rooms(RoomsList::Partial(list))), room_name_len);
    }

    #[test]
    fn any_string_of_text_survives(text in "\\PC*|[<>\\\\ \t\r\n\0a]*") {
        let text = Text::new(&text).unwrap();
        let (sender, recipient) = (Username::new("alice").unwrap(), Username::new("bob").unwrap());
        let message = PeerMessage::DirectMessage { sender, recipient, text };
        let frame = frame_of(&message, Dialect::Canonical);
        assert_same!(PeerMessage::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap(), message);
    }
}

/// As much of a request as the prototype's dialect has a place for.
fn carried_request(message: ToRegistry) -> ToRegistry {
    match message {
        ToRegistry::Hello { .. } => ToRegistry::Hello { extensions: None },
        ToRegistry::Register { username, password, .. } => {
            ToRegistry::Register { username, password, invite: None }
        }
        other => other,
    }
}

/// As much of a reply as the prototype's dialect has a place for: no reasons, no capabilities, no name found, no rooms.
fn carried_reply(message: FromRegistry) -> FromRegistry {
    let outcome = |outcome| match outcome {
        Outcome::Failure { .. } => Outcome::Failure { reason: None },
        other => other,
    };
    match message {
        FromRegistry::Hello(HelloReply::Failure { .. }) => {
            FromRegistry::Hello(HelloReply::Failure { reason: None })
        }
        FromRegistry::Hello(_) => FromRegistry::Hello(HelloReply::Success { extensions: None }),
        FromRegistry::Register(RegisterReply::Failure { .. }) => {
            FromRegistry::Register(RegisterReply::Failure { reason: None })
        }
        FromRegistry::Register(RegisterReply::Exists { .. }) => {
            FromRegistry::Register(RegisterReply::Exists { reason: None })
        }
        FromRegistry::Auth(AuthReply::Success { .. }) => {
            FromRegistry::Auth(AuthReply::Success { token: None })
        }
        FromRegistry::Auth(AuthReply::Failure { .. }) => {
            FromRegistry::Auth(AuthReply::Failure { reason: None })
        }
        FromRegistry::Auth(AuthReply::Online { .. }) => {
            FromRegistry::Auth(AuthReply::Online { reason: None })
        }
        FromRegistry::Creation(it) => FromRegistry::Creation(outcome(it)),
        FromRegistry::Join(it) => FromRegistry::Join(outcome(it)),
        FromRegistry::RoomExit(it) => FromRegistry::RoomExit(outcome(it)),
        FromRegistry::Contact(it) => FromRegistry::Contact(outcome(it)),
        FromRegistry::Parked(it) => FromRegistry::Parked(outcome(it)),
        FromRegistry::LinkKey(it) => FromRegistry::LinkKey(outcome(it)),
        FromRegistry::Moderation(it) => FromRegistry::Moderation(outcome(it)),
        FromRegistry::Bans(BanList::NotFound { .. }) => {
            FromRegistry::Bans(BanList::NotFound { reason: None })
        }
        FromRegistry::Bans(BanList::Failure { .. }) => FromRegistry::Bans(BanList::Failure { reason: None }),
        FromRegistry::Rooms(RoomsList::NotFound { .. }) => {
            FromRegistry::Rooms(RoomsList::NotFound { reason: None })
        }
        FromRegistry::Search(SearchReply::Found(mut found)) => {
            found.username = None;
            found.capabilities = Capabilities::NONE;
            found.key = None;
            FromRegistry::Search(SearchReply::Found(found))
        }
        FromRegistry::Search(SearchReply::NotOnline { .. }) => {
            FromRegistry::Search(SearchReply::NotOnline { reason: None })
        }
        FromRegistry::Search(SearchReply::NotFound { .. }) => {
            FromRegistry::Search(SearchReply::NotFound { reason: None })
        }
        FromRegistry::Peers(PeerList::Detailed(list)) => {
            let without_room = |peer: PeerRecord| PeerRecord { room: None, ..peer };
            FromRegistry::Peers(PeerList::Detailed(List::fitting(list.into_iter().map(without_room))))
        }
        FromRegistry::Peers(PeerList::Failure { .. }) => {
            FromRegistry::Peers(PeerList::Failure { reason: None })
        }
        other => other,
    }
}
