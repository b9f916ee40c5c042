//! Each place where older descriptions of the protocol contradict themselves (PROTOCOL.md §10), and what errors say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use p2pchat_proto::{
    Dialect, FromRegistry, Limits, Message, ParseError, PeerList, PeerListShape, PeerMessage, Problem,
    ToRegistry, Verb,
};

/// Parses `frame` and says how it is spelled canonically.
fn canonical<M: Message>(frame: &'static str) -> Result<String, ParseError> {
    let message = M::parse(&Bytes::from_static(frame.as_bytes()), Dialect::Canonical, &Limits::DEFAULT)?;
    let bytes = message.to_bytes(Dialect::Canonical);
    Ok(String::from_utf8(bytes.to_vec()).unwrap().trim_end_matches('\n').to_owned())
}

#[test]
fn the_registrys_contradictions_are_settled() {
    for (variants, spelling) in [
        (&["HELLO <FAILURE> <404>", "HELLO_BACK <FAILURE> <404>"][..], "HELLO_BACK <FAILURE> <404>"),
        (&["auth <success> <200>", "Auth <Success> <200>"], "AUTH <SUCCESS> <200>"),
        (&["USER_LOUGOUT <bob>", "USER_LOGOUT <bob>"], "USER_LOGOUT <bob>"),
        (&["CREATION <SUCCESS>", "CREATION <SUCCESS> <200>"], "CREATION <SUCCESS> <200>"),
        (&["CREATION <FAILURE> <full>", "CREATION <FAILURE><404><full>"], "CREATION <FAILURE> <404> <full>"),
        (
            &["SEARCH_USER_RESPONSE SUCCESS 200 bob 1 ::1"],
            "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <1> <::1>",
        ),
        (
            &["SEARCH_USER_RESPONSE <SUCCESS> <200> 192.0.2.7:63142"],
            "SEARCH_USER_RESPONSE <SUCCESS> <200> <192.0.2.7:63142>",
        ),
        (&["TIMEOUT alice", "TIMEOUT <alice>", "TIMEOUT<alice>"], "TIMEOUT <alice>"),
    ] {
        for variant in variants {
            assert_eq!(canonical::<FromRegistry>(variant).as_deref(), Ok(spelling), "{variant}");
        }
    }
}

#[test]
fn the_peers_contradictions_are_settled() {
    for (variants, spelling) in [
        (&["login\talice DIGEST 4278", "LOGIN<alice><DIGEST><4278>"][..], "LOGIN <alice> <DIGEST> <4278>"),
        (&["ROOM_EXIT<alice><den>", "ROOM_EXIT  <alice>\t <den>"], "ROOM_EXIT <alice> <den>"),
        (&["DISCOVER_PEERS <SIMPLE>", "DISCOVER_PEERS partial"], "DISCOVER_PEERS <PARTIAL>"),
        (&["DISCOVER_PEERS den", "DISCOVER_PEERS <den>"], "DISCOVER_PEERS <den>"),
        (&["LOGOUT", "logout "], "LOGOUT"),
    ] {
        let digest = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
        for variant in variants {
            let frame = Bytes::from(variant.replace("DIGEST", digest));
            let message = ToRegistry::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap();
            assert_eq!(
                message.to_bytes(Dialect::Canonical),
                format!("{}\n", spelling.replace("DIGEST", digest))
            );
        }
    }
    for (variants, spelling) in [
        (
            &["CHAT_REQUEST_RESPONSE <ACCEPT> <bob>", "chat_request_response accept 200 bob"][..],
            "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>",
        ),
        (&["CHAT_REQUEST <bob>"], "CHAT_REQUEST <bob>"),
        (&["CHAT_REQUEST <bob><alice> <new>"], "CHAT_REQUEST <bob> <alice>"),
        (
            &["DIRECT_BROADCAST <alice> hi <b>", "DIRECT_BROADCAST alice hi <b>"],
            "DIRECT_BROADCAST <alice> hi <b>",
        ),
        (&["DIRECT_BROADCAST <alice> <den> <new> hi"], "DIRECT_BROADCAST <alice> <den> hi"),
        (
            &["DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <alice> <>"],
            "DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <alice> <>",
        ),
    ] {
        for variant in variants {
            assert_eq!(canonical::<PeerMessage>(variant).as_deref(), Ok(spelling), "{variant}");
        }
    }
}

#[test]
fn three_payloads_that_look_alike_are_told_apart_by_what_was_asked() {
    let frame = Bytes::from_static(b"PEER_LIST <SUCCESS> <200> <bob>");
    let read = |shape| {
        FromRegistry::parse_expecting(&frame, Dialect::Canonical, &Limits::DEFAULT, shape).map(|message| {
            let FromRegistry::Peers(peers) = message else { panic!("{message:?}") };
            peers
        })
    };
    assert!(matches!(read(None), Ok(PeerList::Raw(raw)) if *raw.records() == [["bob".into()]]));
    assert!(matches!(read(Some(PeerListShape::Partial)), Ok(PeerList::Partial(list)) if list.len() == 1));
    assert!(
        matches!(read(Some(PeerListShape::Room)), Ok(PeerList::Room { members, .. }) if members.is_empty())
    );
    assert_eq!(
        read(Some(PeerListShape::Detailed)).map_err(|error| (error.field, error.problem)),
        Err(("room", Problem::Missing))
    );
}

#[test]
fn a_list_whose_shape_is_learned_late_keeps_its_fields_whole() {
    for dialect in [Dialect::Canonical, Dialect::Prototype] {
        let late = |records, shape| {
            let frame = Bytes::from(format!("PEER_LIST <SUCCESS> <200> {records}"));
            match FromRegistry::parse(&frame, dialect, &Limits::DEFAULT).unwrap() {
                FromRegistry::Peers(PeerList::Raw(raw)) => raw.into_shape(shape, dialect, &Limits::DEFAULT),
                other => panic!("{other:?}"),
            }
        };
        let found = late("<den of x> <bob> <carol>", PeerListShape::Room).unwrap();
        assert!(
            matches!(&found, PeerList::Room { room, members } if room.as_str() == "den of x" && members.len() == 2),
            "{found:?}"
        );
        let found = late("<bob> <> <4000> <::1>", PeerListShape::Detailed).unwrap();
        assert!(
            matches!(&found, PeerList::Detailed(peers) if peers.iter().all(|peer| peer.room.is_none() && peer.port == 4000)),
            "{found:?}"
        );
    }
}

#[test]
fn an_error_names_verb_field_byte_and_limit() {
    let error = |verb, field, offset, problem| Err(ParseError { verb, field, offset, problem });
    let long_name = "SEARCH_USER <a-name-that-is-longer-than-thirty-two-characters>";
    assert_eq!(
        canonical::<ToRegistry>(long_name),
        error(
            Some(Verb::SearchUser),
            "username",
            12,
            Problem::TooLong { limit: 32, size: 48, unit: "characters" }
        )
    );
    assert_eq!(
        canonical::<FromRegistry>("PEER_LIST <SUCCESS> <404>"),
        error(Some(Verb::PeerList), "code", 20, Problem::WrongCode { expected: 200 })
    );
    assert_eq!(
        canonical::<ToRegistry>("CREATE_CHAT_ROOM <den> <> <100001> <x>"),
        error(Some(Verb::CreateChatRoom), "capacity", 26, Problem::NotInRange { min: 1, max: 100_000 })
    );
    // A verb ends at a blank or at a field, and at nothing else.
    for frame in ["AUTH <SUCCESS> <200>", "LOGOUT>", "LOGOUT\\n", "LOGOUT\r"] {
        assert_eq!(canonical::<ToRegistry>(frame), error(None, "verb", 0, Problem::UnknownVerb), "{frame}");
    }

    let mut limits = Limits::DEFAULT;
    limits.text_bytes = 3;
    let frame = Bytes::from_static(br"DIRECT_MESSAGE <alice> <bob> a\nb\n");
    let problem = Problem::TooLong { limit: 3, size: 4, unit: "bytes" };
    let found = PeerMessage::parse(&frame, Dialect::Canonical, &limits);
    assert_eq!(
        found,
        Err(ParseError { verb: Some(Verb::DirectMessage), field: "text", offset: 29, problem })
    );
    assert_eq!(found.unwrap_err().to_string(), "DIRECT_MESSAGE: text at byte 29 has 4 bytes, 3 are allowed");
    let fits = Bytes::from_static(br"DIRECT_MESSAGE <alice> <bob> a\nb");
    assert!(PeerMessage::parse(&fits, Dialect::Canonical, &limits).is_ok(), "an escape counts once");
}

#[test]
fn a_list_that_is_too_long_says_from_which_record_on() {
    let mut limits = Limits::DEFAULT;
    limits.list_reply_bytes = 512 + 2 * "<a> , ".len();
    let frame = |names| Bytes::from(format!("PEER_LIST <SUCCESS> <200> {names}"));
    let read = |names| {
        let shape = Some(PeerListShape::Partial);
        FromRegistry::parse_expecting(&frame(names), Dialect::Canonical, &limits, shape)
    };
    assert!(read("<a> , <b>").is_ok());
    let problem = Problem::TooLong { limit: 524, size: 530, unit: "bytes" };
    let error = ParseError { verb: Some(Verb::PeerList), field: "record", offset: 39, problem };
    assert_eq!(read("<a> , <b> ,  <c>"), Err(error));
}

#[test]
fn bytes_that_are_no_text_are_told_before_anything_else() {
    for bytes in
        [&b"SEARCH_USER <\xff>"[..], b"NO_VERB_AT_ALL \xff", b"LOGIN <\xff", b"LOGOUT <bob> <\xff>", b"<\xff"]
    {
        let frame = Bytes::from_static(bytes);
        let error = ToRegistry::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap_err();
        let offset = bytes.iter().position(|&byte| byte == 0xff).unwrap();
        assert_eq!((error.field, error.offset, &error.problem), ("frame", offset, &Problem::NotUtf8));
        assert!(error.is_fatal());
    }
}
