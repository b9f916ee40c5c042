//! `PEER_LIST` of everybody (PROTOCOL.md §4.10) from records whose bytes are kept.

use std::{net::IpAddr, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};

use super::{Plain, Writer};
use crate::{
    dialect::Dialect,
    error::ParseError,
    limits::Limits,
    message::{Detail, FromRegistry, PeerListShape},
    name::{RoomName, Username},
    status::Phrase,
    verb::Verb,
};

/// What parts a record from the one before; each begins with it.
const SEPARATOR: &[u8] = b" ,";

/// Some records of a `PEER_LIST` in the canonical dialect, as bytes that are shared: ` , <bob> <den> <63142> <192.0.2.7>`
/// or ` , <bob>`, one after the other. Made by [`PeerRecordsWriter`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerRecords {
    bytes: Bytes,
    /// Where each ends. As many bytes as 32 bits count are more than any list has.
    ends: Arc<[u32]>,
}

impl PeerRecords {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// What they take in a list, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let begin = match index.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        self.bytes.get(begin as usize..*self.ends.get(index)? as usize)
    }
}

/// Writes [`PeerRecords`]. All records of a list have to be of one [`Detail`].
#[derive(Debug, Default)]
pub struct PeerRecordsWriter {
    bytes: BytesMut,
    ends: Vec<u32>,
}

impl PeerRecordsWriter {
    /// A writer with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(bytes), ends: Vec::new() }
    }

    /// Adds ` , <username> <room> <port> <ip>`.
    pub fn detailed(&mut self, username: &Username, room: Option<&RoomName>, port: u16, ip: IpAddr) {
        self.bytes.put_slice(SEPARATOR);
        self.plain(username.as_str());
        self.plain(room.map_or("", RoomName::as_str));
        self.plain(u64::from(port));
        self.plain(ip);
        self.end();
    }

    /// Adds ` , <username>`.
    pub fn partial(&mut self, username: &Username) {
        self.bytes.put_slice(SEPARATOR);
        self.plain(username.as_str());
        self.end();
    }

    /// Adds a record that was written before, if there is one of that number, counted from 0.
    pub fn copy(&mut self, records: &PeerRecords, index: usize) {
        if let Some(record) = records.get(index) {
            self.bytes.put_slice(record);
            self.end();
        }
    }

    /// Takes the last record out again.
    pub fn undo(&mut self) {
        self.ends.pop();
        self.bytes.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }

    /// What they take so far, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The records so far.
    pub fn finish(self) -> PeerRecords {
        PeerRecords { bytes: self.bytes.freeze(), ends: self.ends.into() }
    }

    fn plain(&mut self, value: impl Plain) {
        self.bytes.put_slice(b" <");
        value.put(&mut self.bytes);
        self.bytes.put_u8(b'>');
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len().try_into().unwrap_or(u32::MAX));
    }
}

/// A whole `PEER_LIST <SUCCESS> <200> …` in the canonical dialect, whose records' bytes are shared with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPeers {
    detail: Detail,
    pieces: Vec<Bytes>,
}

impl EncodedPeers {
    /// What all records of a list may take together, in bytes ([`LIST_REPLY_BYTES`](crate::limits::LIST_REPLY_BYTES), less
    /// what comes before them).
    pub const MOST_BYTES: usize = crate::list::ROOM;

    /// A list of these, in their order.
    pub fn new(detail: Detail, records: impl IntoIterator<Item = PeerRecords>) -> Self {
        let mut head = BytesMut::new();
        let mut writer = Writer::new(&mut head, Dialect::Canonical, Verb::PeerList);
        writer.status(Phrase::Success);
        writer.end();
        let mut pieces = vec![head.freeze()];
        for records in records {
            let first = if pieces.len() == 1 { SEPARATOR.len() } else { 0 };
            if records.count() > 0 {
                pieces.push(records.bytes.slice(first..));
            }
        }
        pieces.push(Bytes::from_static(b"\n"));
        Self { detail, pieces }
    }

    /// The frame's bytes, its line ending included, in pieces to be sent one after the other.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// The frame's bytes, its line ending included.
    pub fn to_bytes(&self) -> Bytes {
        self.pieces.concat().into()
    }

    /// What they say.
    ///
    /// # Errors
    /// None, if all records were of the list's [`Detail`].
    pub fn to_message(&self) -> Result<FromRegistry, ParseError> {
        let mut frame = self.to_bytes();
        frame.truncate(frame.len().saturating_sub(1));
        let shape = match self.detail {
            Detail::Detailed => PeerListShape::Detailed,
            Detail::Partial => PeerListShape::Partial,
        };
        FromRegistry::parse_expecting(&frame, Dialect::Canonical, &Limits::DEFAULT, Some(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{List, Message, PeerList, PeerRecord};

    fn username(name: &str) -> Username {
        name.parse().unwrap()
    }

    #[test]
    fn a_list_of_kept_records_has_the_bytes_of_one_that_is_encoded_anew() {
        let record = |name: &str, room: Option<&str>, port| PeerRecord {
            username: username(name),
            room: room.map(|room| room.parse().unwrap()),
            port,
            ip: "2001:db8::5".parse().unwrap(),
        };
        let peers = [record("alice", None, 0), record("bob", Some("den"), 63_142), record("Zoë", None, 1024)];
        let mut writer = PeerRecordsWriter::default();
        for peer in &peers {
            writer.detailed(&peer.username, peer.room.as_ref(), peer.port, peer.ip);
        }
        let kept = writer.finish();
        assert_eq!(kept.size(), peers.iter().map(|peer| crate::Record::encoded_len(peer) + 3).sum());
        let mut copied = PeerRecordsWriter::with_capacity(100);
        (0..4).for_each(|index| copied.copy(&kept, index));
        assert_eq!(copied.size(), kept.size(), "there is no fourth");
        copied.partial(&peers[0].username);
        copied.undo();
        let copied = copied.finish();
        assert_eq!(copied, kept);

        let message = FromRegistry::Peers(PeerList::Detailed(List::fitting(peers.clone())));
        let list = EncodedPeers::new(Detail::Detailed, [PeerRecords::default(), kept]);
        assert_eq!(list.to_bytes(), message.to_bytes(Dialect::Canonical));
        assert_eq!(list.to_message(), Ok(message));

        let mut names = [PeerRecordsWriter::default(), PeerRecordsWriter::default()];
        names[0].partial(&peers[0].username);
        names[1].partial(&peers[1].username);
        names[1].partial(&peers[2].username);
        let list = EncodedPeers::new(Detail::Partial, names.map(PeerRecordsWriter::finish));
        let message = FromRegistry::Peers(PeerList::Partial(List::fitting(peers.map(|peer| peer.username))));
        assert_eq!(list.to_bytes(), message.to_bytes(Dialect::Canonical));
        assert_eq!(list.to_message(), Ok(message));
        assert_eq!(list.into_pieces().len(), 4);
    }
}
