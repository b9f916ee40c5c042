//! Both ends of a registry connection find out its dialect (PROTOCOL.md §6.1), and speak the prototype's byte for byte
//! (§6.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::BytesMut;
use p2pchat_proto::{
    AuthReply, Dialect, Extensions, FrameError, FromRegistry, HelloReply, Limits, Malformed, PasswordDigest,
    PeerList, Reason, ToRegistry, Username,
    codec::{ClientCodec, RegistryCodec},
};
use tokio_util::codec::{Decoder, Encoder};

const DIGEST: &str = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";

fn written<M, C: Encoder<M, Error = std::io::Error>>(codec: &mut C, message: M) -> String {
    let mut out = BytesMut::new();
    codec.encode(message, &mut out).unwrap();
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn a_registry_takes_a_bare_hello_for_the_prototypes_after_the_grace() {
    let mut codec = RegistryCodec::new(Limits::DEFAULT);
    let mut buf = BytesMut::from("HELLO_P2P");
    assert_eq!(codec.decode(&mut buf).unwrap(), None);
    assert!(codec.awaits_grace(&buf));
    assert_eq!(codec.dialect(), None);

    codec.grace_expired();
    assert_eq!(codec.decode(&mut buf).unwrap(), Some(Ok(ToRegistry::Hello { extensions: None })));
    assert_eq!(codec.decode(&mut buf).unwrap(), None);
    assert_eq!(codec.dialect(), Some(Dialect::Prototype));
    assert!(!codec.awaits_grace(&buf) && buf.capacity() >= 2 * 1024);
    let welcome = FromRegistry::Hello(HelloReply::Success { extensions: None });
    assert_eq!(written(&mut codec, welcome), "HELLO_BACK SUCCESS 200 ");

    let mut say = |record: String| {
        buf.extend_from_slice(record.as_bytes());
        codec.decode(&mut buf).unwrap().unwrap().unwrap()
    };
    let (username, password) = (Username::new("alice").unwrap(), PasswordDigest::new(DIGEST).unwrap());
    assert_eq!(
        say(format!("REGISTER alice {DIGEST}")),
        ToRegistry::Register { username: username.clone(), password: password.clone(), invite: None }
    );
    let port = Some(p2pchat_proto::PeerPort::new(4278).unwrap());
    let login = ToRegistry::Login { username: username.clone(), password, port };
    assert_eq!(say(format!("LOGIN alice {DIGEST} 4278")), login);
    assert_eq!(say("LOGOUT alice\n".to_owned()), ToRegistry::Logout { username: Some(username) });
    let reason = Some(Reason::new("already online").unwrap());
    let reply = FromRegistry::Auth(AuthReply::Online { reason });
    assert_eq!(written(&mut codec, &reply), "AUTH <ONLINE> <300>");
}

#[test]
fn a_registry_takes_a_hello_with_a_line_ending_for_canonical_however_late() {
    let mut codec = RegistryCodec::new(Limits::DEFAULT);
    let mut buf = BytesMut::from("HELLO_P2P");
    assert_eq!(codec.decode(&mut buf).unwrap(), None);
    buf.extend_from_slice(b"\nLOGO");
    assert_eq!(codec.decode(&mut buf).unwrap(), Some(Ok(ToRegistry::Hello { extensions: None })));
    assert_eq!(codec.decode(&mut buf).unwrap(), None);
    assert_eq!(codec.dialect(), Some(Dialect::Canonical));
    codec.grace_expired();
    assert_eq!(codec.dialect(), Some(Dialect::Canonical), "a timer that fires late changes nothing");
    let welcome = FromRegistry::Hello(HelloReply::Success { extensions: None });
    assert_eq!(written(&mut codec, welcome), "HELLO_BACK <SUCCESS> <200>\n");
}

#[test]
fn a_record_of_the_prototypes_may_be_as_long_as_a_frame_and_no_longer() {
    let mut limits = Limits::DEFAULT;
    limits.frame_bytes = 20;
    let mut codec = RegistryCodec::new(limits);
    codec.set_dialect(Dialect::Prototype);
    let mut say = |record: &str| codec.decode(&mut BytesMut::from(record)).unwrap();
    let username = Username::new("12345678").unwrap();
    assert_eq!(say("SEARCH_USER 12345678"), Some(Ok(ToRegistry::SearchUser { username })));
    let too_long = Malformed::Frame(FrameError::TooLong { limit: 20 });
    assert_eq!(say("SEARCH_USER 123456789"), Some(Err(too_long.clone())));
    assert_eq!(say("SEARCH_USER 12345678901234567890"), Some(Err(too_long)));
}

#[test]
fn negotiated_by_tls_a_bare_hello_waits_for_its_line_ending() {
    let mut codec = RegistryCodec::new(Limits::DEFAULT);
    codec.set_dialect(Dialect::Canonical);
    let mut buf = BytesMut::from("HELLO_P2P");
    assert_eq!(codec.decode(&mut buf).unwrap(), None);
    assert!(!codec.awaits_grace(&buf));
}

#[test]
fn a_client_answers_the_prototypes_greeting_in_its_dialect() {
    for asked_first in [false, true] {
        let mut codec = ClientCodec::new(Limits::DEFAULT);
        let all = p2pchat_proto::Capabilities::all();
        let hello = || ToRegistry::Hello { extensions: Some(Extensions { version: 1, capabilities: all }) };
        if asked_first {
            assert_eq!(written(&mut codec, hello()), format!("HELLO_P2P <1> <{all}>\n"));
        }
        let mut buf = BytesMut::from("HELLO_BACK SUCCESS 200 ");
        let welcome = FromRegistry::Hello(HelloReply::Success { extensions: None });
        assert_eq!(codec.decode(&mut buf).unwrap(), Some(Ok(welcome)));
        assert_eq!(codec.dialect(), Some(Dialect::Prototype));
        assert_eq!(written(&mut codec, hello()), "HELLO_P2P");
    }
}

#[test]
fn a_client_reads_the_prototypes_lists() {
    let mut codec = ClientCodec::new(Limits::DEFAULT);
    codec.set_dialect(Dialect::Prototype);
    let asker = || Some(Username::new("alice").unwrap());
    let ask = |detail| ToRegistry::DiscoverPeers { detail, asker: asker() };
    assert_eq!(written(&mut codec, ask(p2pchat_proto::Detail::Detailed)), "DISCOVER_PEERS DETAILED alice");
    assert_eq!(written(&mut codec, ask(p2pchat_proto::Detail::Partial)), "DISCOVER_PEERS SIMPLE alice");
    let mut buf =
        BytesMut::from("PEER_LIST <SUCCESS> <200> bob (192.168.1.2:63142) carol (192.168.1.2:63158)");
    match codec.decode(&mut buf).unwrap() {
        Some(Ok(FromRegistry::Peers(PeerList::Detailed(list)))) => {
            let found: Vec<_> = list.iter().map(|peer| (peer.username.as_str(), peer.port)).collect();
            assert_eq!(found, [("bob", 63142), ("carol", 63158)]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(codec.decode(&mut buf).unwrap(), None);
    assert!(buf.capacity() >= 16 * 1024, "the next list has to fit into one read");
    buf.extend_from_slice(b"PEER_LIST <SUCCESS> <200> bob carol");
    match codec.decode(&mut buf).unwrap() {
        Some(Ok(FromRegistry::Peers(PeerList::Partial(list)))) => assert_eq!(list.len(), 2),
        other => panic!("{other:?}"),
    }
}
