//! The frames that decoding and encoding are measured with, and codecs for them.
#![allow(clippy::expect_used)] // a benchmark that can't run fails by panicking

use std::net::Ipv4Addr;

use bytes::BytesMut;
use p2pchat_proto::{
    Detail, Dialect, FromRegistry, Limits, List, PeerList, PeerMessage, PeerRecord, Text, ToRegistry,
    Username,
    codec::{ClientCodec, RegistryCodec},
};
use tokio_util::codec::Encoder;

fn name(text: &str) -> Username {
    Username::new(text).expect("a username")
}

/// A short request.
pub fn request() -> ToRegistry {
    ToRegistry::SearchUser { username: name("bob") }
}

/// A message with a text of so many bytes.
pub fn message(bytes: usize) -> PeerMessage {
    let text = "The quick brown fox jumps over the lazy dog, then rests a while. ".repeat(bytes / 64 + 1);
    let text = Text::new(text.get(..bytes).expect("ASCII")).expect("within the limit");
    PeerMessage::DirectMessage { sender: name("alice"), recipient: name("bob"), text }
}

/// A list reply of a thousand users.
pub fn list() -> FromRegistry {
    let record = |i: u32| PeerRecord {
        username: name(&format!("somebody{i:04}")),
        room: None,
        port: 4000,
        ip: Ipv4Addr::from(0xc000_0200 + i).into(),
    };
    FromRegistry::Peers(PeerList::Detailed(List::fitting((0..1000).map(record))))
}

/// A registry's codec on a canonical connection.
pub fn registry_codec() -> RegistryCodec {
    let mut codec = RegistryCodec::new(Limits::DEFAULT);
    codec.set_dialect(Dialect::Canonical);
    codec
}

/// A client's codec that has asked for a detailed list.
pub fn asking_codec() -> ClientCodec {
    let mut codec = ClientCodec::new(Limits::DEFAULT);
    codec.set_dialect(Dialect::Canonical);
    let ask = ToRegistry::DiscoverPeers { detail: Detail::Detailed, asker: None };
    codec.encode(&ask, &mut BytesMut::new()).expect("encoding doesn't fail");
    codec
}
