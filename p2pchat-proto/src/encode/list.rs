//! `ROOMS_LIST` and `PEER_LIST` (PROTOCOL.md §4.7, §4.10, §4.15), and the prototype's lists (§6.2).

use std::net::SocketAddr;

use super::{SHORT, Shown, Writer, field_len, ip_len, number_len, plain_len};
use crate::{
    dialect::Dialect,
    list::{List, Record},
    message::{PeerList, PeerRecord, RawList, RoomRecord, RoomsList},
    name::{RoomName, Username},
    status::Phrase,
};

impl Record for Username {
    fn encoded_len(&self) -> usize {
        plain_len(self.as_str())
    }
}

impl Record for RoomName {
    fn encoded_len(&self) -> usize {
        plain_len(self.as_str())
    }
}

impl Record for RoomRecord {
    fn encoded_len(&self) -> usize {
        let names = plain_len(self.name.as_str()) + field_len(self.description.as_str());
        names + number_len(self.members.into()) + number_len(self.capacity.get().into()) + 3
    }
}

impl Record for PeerRecord {
    fn encoded_len(&self) -> usize {
        let names = plain_len(self.username.as_str()) + plain_len(room_or_none(self));
        names + number_len(self.port.into()) + ip_len(self.ip) + 3
    }
}

/// What stands for the room of a peer that is in none is the empty field.
fn room_or_none(record: &PeerRecord) -> &str {
    record.room.as_ref().map_or("", RoomName::as_str)
}

impl Writer<'_> {
    pub(super) fn rooms(&mut self, rooms: &RoomsList) {
        match rooms {
            RoomsList::Detailed(list) => {
                self.status(Phrase::Found);
                self.records(list, true, |writer, room| {
                    writer.plain(room.name.as_str());
                    writer.field(room.description.as_str());
                    writer.plain(u64::from(room.members));
                    writer.plain(u64::from(room.capacity.get()));
                });
            }
            RoomsList::Partial(list) => {
                self.status(Phrase::Found);
                self.records(list, true, |writer, room| writer.plain(room.as_str()));
            }
            RoomsList::NotFound { reason } => self.refusal(Phrase::NotFound, reason.as_ref()),
        }
    }

    pub(super) fn peers(&mut self, peers: &PeerList) {
        let phrase =
            if matches!(peers, PeerList::Failure { .. }) { Phrase::Failure } else { Phrase::Success };
        self.status(phrase);
        match (peers, self.dialect) {
            (PeerList::Detailed(list), Dialect::Canonical) => self.records(list, true, |writer, peer| {
                writer.plain(peer.username.as_str());
                writer.plain(room_or_none(peer));
                writer.plain(u64::from(peer.port));
                writer.plain(peer.ip);
            }),
            (PeerList::Detailed(list), Dialect::Prototype) => self.records(list, false, |writer, peer| {
                writer.word(peer.username.as_str());
                writer.word(Shown(format_args!("({})", SocketAddr::new(peer.ip, peer.port))));
            }),
            (PeerList::Partial(list), Dialect::Canonical) => {
                self.records(list, true, |writer, peer| writer.plain(peer.as_str()));
            }
            (PeerList::Partial(list), Dialect::Prototype) => {
                self.records(list, false, |writer, peer| writer.word(peer.as_str()));
            }
            (PeerList::Room { room, members }, _) => {
                self.plain(room.as_str());
                self.records(members, false, |writer, peer| writer.plain(peer.as_str()));
            }
            (PeerList::Raw(list), _) => self.raw(list),
            (PeerList::Failure { reason }, _) => self.reason(reason.as_ref()),
        }
    }

    pub(super) fn records<T>(&mut self, list: &List<T>, parted: bool, record: impl Fn(&mut Self, &T)) {
        self.out.reserve(SHORT + list.encoded_len());
        for (i, item) in list.iter().enumerate() {
            if i > 0 && parted {
                self.separator();
            }
            record(self, item);
        }
    }

    fn raw(&mut self, list: &RawList) {
        for (i, record) in list.records.iter().enumerate() {
            if i > 0 && self.dialect == Dialect::Canonical {
                self.separator();
            }
            for field in record {
                // What was a bare word in the prototype's list is one again, so that its addresses are recognised.
                let is_word =
                    |byte: u8| byte.is_ascii_graphic() && !b"<>\\,".contains(&byte) || !byte.is_ascii();
                if self.dialect == Dialect::Prototype && !field.is_empty() && field.bytes().all(is_word) {
                    self.word(&**field);
                } else {
                    self.field(field);
                }
            }
        }
    }
}
