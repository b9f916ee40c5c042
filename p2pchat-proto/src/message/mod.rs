//! The messages: one enum for each link and direction (PROTOCOL.md §4).

mod datagram;
mod list;
mod moderation;
mod peer;
mod registry;

use bytes::{Bytes, BytesMut};

pub use self::{
    datagram::{FromRegistryDatagram, ToRegistryDatagram},
    list::{PeerList, PeerListShape, PeerRecord, RawList, RoomRecord, RoomsList},
    moderation::{BanList, BanRecord, RoomChange, RoomSetting},
    peer::{ChatReply, Delivery, FileMessage, FileOffer, Follows, Notification, Number, PeerMessage},
    registry::{
        AuthReply, Detail, Extensions, Found, FromRegistry, HelloReply, Outcome, RegisterReply, SearchReply,
        ToRegistry,
    },
};
use crate::{dialect::Dialect, error::ParseError, limits::Limits, verb::Verb};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ToRegistry {}
    impl Sealed for super::FromRegistry {}
    impl Sealed for super::ToRegistryDatagram {}
    impl Sealed for super::FromRegistryDatagram {}
    impl Sealed for super::PeerMessage {}
}

/// The messages of one link and direction. Implemented by this crate's five enums only.
pub trait Message: sealed::Sealed + Sized {
    /// Reads one frame: a line without its line ending, a datagram, or in the prototype's dialect a TLS record.
    ///
    /// Costs at most linear time in the frame's length and never panics. Names are copied, texts share `frame`'s memory.
    fn parse(frame: &Bytes, dialect: Dialect, limits: &Limits) -> Result<Self, ParseError>;

    /// Appends the message's one spelling in the dialect, with an LF if it is a stream's and the dialect has line
    /// endings ([`FileMessage::Data`] has its bytes behind that). What exists can be encoded.
    fn encode(&self, out: &mut BytesMut, dialect: Dialect);

    /// The message's verb.
    fn verb(&self) -> Verb;

    /// The encoded message as a value, for where one message is one write.
    fn to_bytes(&self, dialect: Dialect) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out, dialect);
        out.freeze()
    }
}
