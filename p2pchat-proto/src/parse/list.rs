//! `ROOMS_LIST` and `PEER_LIST` (PROTOCOL.md §4.7, §4.10, §4.15), and the prototype's lists (§6.2).

use super::{
    Fields,
    token::{self, Token},
    value,
};
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
            Some(PeerListShape::Room) | None => {
                self.tokens().take_while(|token| !token.is_separator()).count() > 1
            }
        };
        if detailed {
            self.records(Self::room_record).map(RoomsList::Detailed)
        } else {
            self.records(|fields| fields.required("name", RoomName::with_limits)).map(RoomsList::Partial)
        }
    }

    /// A successful list of peers, in the shape that was asked for.
    pub(super) fn peers(&mut self, shape: Option<PeerListShape>) -> Result<PeerList, ParseError> {
        match shape {
            None => self.raw().map(PeerList::Raw),
            Some(PeerListShape::Room) => {
                let room = self.required("room", RoomName::with_limits)?;
                Ok(PeerList::Room { room, members: self.run(Self::username)? })
            }
            Some(PeerListShape::Partial) if self.has_commas() => {
                self.records(Self::username).map(PeerList::Partial)
            }
            Some(PeerListShape::Partial) => self.run(Self::username).map(PeerList::Partial),
            Some(PeerListShape::Detailed) if self.has_addresses() => {
                self.run(Self::prototype_peer_record).map(PeerList::Detailed)
            }
            Some(PeerListShape::Detailed) => self.records(Self::peer_record).map(PeerList::Detailed),
        }
    }

    /// True if commas part the records. In the prototype's dialect only some other implementation writes them.
    fn has_commas(&self) -> bool {
        self.dialect == Dialect::Canonical || self.tokens().any(|token| token.is_separator())
    }

    /// True for the prototype's detailed list, in which a bare address in parentheses follows each name.
    fn has_addresses(&self) -> bool {
        self.dialect == Dialect::Prototype && self.tokens().nth(1).is_none_or(|token| !token.bracketed)
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
    pub(super) fn records<T: Record>(
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
        let has_commas = self.has_commas();
        let mut records = Vec::new();
        while !self.at_end() {
            let starts_record = if has_commas {
                records.is_empty() || self.pass_separator()
            } else {
                records.is_empty() || !self.after_blanks().starts_with('(')
            };
            let field = self.required("field", |text, _| Ok(text.into()))?;
            match records.last_mut() {
                Some(record) if !starts_record => Vec::push(record, field),
                _ => records.push(vec![field]),
            }
        }
        Ok(RawList { records })
    }

    /// The tokens from here to the frame's end, or to the first bad one, without moving on.
    fn tokens(&self) -> impl Iterator<Item = Token<'_>> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            let (after, token) = token::token(token::after_blanks(rest)).ok()?;
            rest = after;
            Some(token)
        })
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
