//! `ROOMS_LIST` and `PEER_LIST` (PROTOCOL.md §4.7, §4.10, §4.15), and the prototype's lists (§6.2).

use super::{Fields, token, value};
use crate::{
    dialect::Dialect,
    error::ParseError,
    list::{List, Record},
    message::{PeerList, PeerListShape, PeerRecord, RawList, RoomRecord, RoomsList},
    name::{RoomName, Username},
    value::Description,
};

impl Fields<'_> {
    /// A found list of rooms. The first record tells whether it is detailed, unless there is none.
    pub(super) fn rooms(&mut self, shape: Option<PeerListShape>) -> Result<RoomsList, ParseError> {
        let detailed = match shape {
            Some(PeerListShape::Detailed) => true,
            Some(PeerListShape::Partial) => false,
            Some(PeerListShape::Room) | None => self.fields_in_record() > 1,
        };
        if detailed {
            self.records(Self::room_record).map(RoomsList::Detailed)
        } else {
            self.records(|fields| fields.required("name", RoomName::with_limits)).map(RoomsList::Partial)
        }
    }

    /// A successful list of peers, in the shape that was asked for.
    pub(super) fn peers(&mut self, shape: Option<PeerListShape>) -> Result<PeerList, ParseError> {
        match (shape, self.dialect) {
            (None, _) => self.raw().map(PeerList::Raw),
            (Some(PeerListShape::Room), _) => {
                let room = self.required("room", RoomName::with_limits)?;
                Ok(PeerList::Room { room, members: self.run(Self::username)? })
            }
            (Some(PeerListShape::Partial), Dialect::Canonical) => {
                self.records(Self::username).map(PeerList::Partial)
            }
            (Some(PeerListShape::Partial), Dialect::Prototype) => {
                self.run(Self::username).map(PeerList::Partial)
            }
            (Some(PeerListShape::Detailed), Dialect::Canonical) => {
                self.records(Self::peer_record).map(PeerList::Detailed)
            }
            (Some(PeerListShape::Detailed), Dialect::Prototype) => {
                self.run(Self::prototype_peer_record).map(PeerList::Detailed)
            }
        }
    }

    fn username(&mut self) -> Result<Username, ParseError> {
        self.required("username", Username::with_limits)
    }

    fn room_record(&mut self) -> Result<RoomRecord, ParseError> {
        Ok(RoomRecord {
            name: self.required("name", RoomName::with_limits)?,
            description: self.required("description", Description::with_limits)?,
            members: self.required("members", value::u32)?,
            capacity: self.required("capacity", value::capacity)?,
        })
    }

    fn peer_record(&mut self) -> Result<PeerRecord, ParseError> {
        Ok(PeerRecord {
            username: self.username()?,
            room: self.required("room", value::room_or_none)?,
            port: self.required("port", value::u16)?,
            ip: self.required("ip", value::ip)?,
        })
    }

    fn prototype_peer_record(&mut self) -> Result<PeerRecord, ParseError> {
        let username = self.username()?;
        let address = self.required("address", value::address_in_parentheses)?;
        Ok(PeerRecord { username, room: None, port: address.port(), ip: address.ip() })
    }

    /// Records parted by commas, each with fields at its end that a later version may have added.
    fn records<T: Record>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, ParseError>,
    ) -> Result<List<T>, ParseError> {
        let mut list = List::with_limit(self.limits.list_reply_bytes);
        if self.at_end() {
            return Ok(list);
        }
        loop {
            self.push(&mut list, &read)?;
            self.pass_extensions()?;
            if !self.pass_separator() {
                return Ok(list);
            }
        }
    }

    /// Records parted by blanks alone, up to the frame's end.
    fn run<T: Record>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, ParseError>,
    ) -> Result<List<T>, ParseError> {
        let mut list = List::with_limit(self.limits.list_reply_bytes);
        while !self.at_end() {
            self.push(&mut list, &read)?;
        }
        Ok(list)
    }

    fn push<T: Record>(
        &mut self,
        list: &mut List<T>,
        read: impl Fn(&mut Self) -> Result<T, ParseError>,
    ) -> Result<(), ParseError> {
        let at = self.frame.len() - self.after_blanks().len();
        let record = read(self)?;
        list.push(record).map_err(|problem| self.error("record", at, problem))
    }

    fn raw(&mut self) -> Result<RawList, ParseError> {
        let mut records = Vec::new();
        while !self.at_end() {
            let starts_record = match self.dialect {
                Dialect::Canonical => records.is_empty() || self.pass_separator(),
                Dialect::Prototype => records.is_empty() || !self.after_blanks().starts_with(b"("),
            };
            let field = self.required("field", |text, _| Ok(text.into()))?;
            match records.last_mut() {
                Some(record) if !starts_record => Vec::push(record, field),
                _ => records.push(vec![field]),
            }
        }
        Ok(RawList { records })
    }

    /// How many fields there are up to the next comma, without moving on.
    fn fields_in_record(&self) -> usize {
        let mut rest = self.after_blanks();
        let mut count = 0;
        while let Ok((after, token)) = token::token(rest) {
            if token.is_separator() {
                break;
            }
            count += 1;
            rest = token::blanks(after).map_or(after, |(rest, _)| rest);
        }
        count
    }

    fn pass_separator(&mut self) -> bool {
        match token::token(self.after_blanks()) {
            Ok((rest, token)) if token.is_separator() => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn at_end(&self) -> bool {
        self.after_blanks().is_empty()
    }
}
