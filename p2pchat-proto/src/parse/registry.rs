//! The registry stream's messages, in both directions.

use bytes::Bytes;

use super::{Code, Fields, Origin, value};
use crate::{
    dialect::Dialect,
    error::{ParseError, Problem},
    limits::Limits,
    message::{
        AuthReply, Detail, Extensions, Found, FromRegistry, HelloReply, Message, Outcome, PeerList,
        PeerListShape, RawList, RegisterReply, RoomsList, SearchReply, ToRegistry,
    },
    name::{RoomName, Username},
    status::Phrase,
    value::Description,
    verb::Verb,
};

impl ToRegistry {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, ParseError> {
        Ok(match fields.verb {
            Verb::HelloP2p => Self::Hello { extensions: fields.extensions()? },
            Verb::Register => Self::Register {
                username: fields.required("username", Username::with_limits)?,
                password: fields.required("password", value::password)?,
                invite: fields.optional("invite", value::invite)?,
            },
            Verb::Login => Self::Login {
                username: fields.required("username", Username::with_limits)?,
                password: fields.required("password", value::password)?,
                port: fields.optional("peer_port", value::peer_port)?,
            },
            Verb::Resume => Self::Resume {
                username: fields.required("username", Username::with_limits)?,
                token: fields.required("token", value::token)?,
                port: fields.optional("peer_port", value::peer_port)?,
            },
            Verb::CreateChatRoom => Self::CreateRoom {
                room: fields.required("room", RoomName::with_limits)?,
                password: fields.required("password", value::room_password)?,
                capacity: fields.required("capacity", value::capacity)?,
                description: fields.required("description", Description::with_limits)?,
            },
            Verb::JoinChatRoom => {
                let room = fields.required("room", RoomName::with_limits)?;
                let password = fields.required("password", value::room_password)?;
                fields.required("increment", |text, _| match text.eq_ignore_ascii_case("increment") {
                    true => Ok(()),
                    false => Err(Problem::Unexpected { expected: "the word increment" }),
                })?;
                Self::JoinRoom { room, password }
            }
            Verb::RoomExit => Self::ExitRoom {
                username: fields.required("username", Username::with_limits)?,
                room: fields.required("room", RoomName::with_limits)?,
            },
            Verb::ShowRoomsList => Self::ListRooms {
                detail: fields.required("detail", |text, _| {
                    detail(text).ok_or(Problem::Unexpected { expected: "DETAILED or PARTIAL" })
                })?,
            },
            Verb::SearchUser => {
                Self::SearchUser { username: fields.required("username", Username::with_limits)? }
            }
            Verb::DiscoverPeers => fields.discover()?,
            Verb::Logout => Self::Logout { username: fields.optional("username", Username::with_limits)? },
            Verb::LinkKey => Self::LinkKey { key: fields.required("key", value::link_key)? },
            Verb::Park => Self::Park { username: fields.required("username", Username::with_limits)? },
            Verb::RoomKick => Self::Kick {
                room: fields.required("room", RoomName::with_limits)?,
                username: fields.required("username", Username::with_limits)?,
                reason: fields.reason()?,
            },
            Verb::RoomBan => Self::Ban {
                room: fields.required("room", RoomName::with_limits)?,
                username: fields.required("username", Username::with_limits)?,
                reason: fields.reason()?,
            },
            Verb::RoomUnban => Self::Unban {
                room: fields.required("room", RoomName::with_limits)?,
                username: fields.required("username", Username::with_limits)?,
            },
            Verb::RoomSet => Self::SetRoom {
                room: fields.required("room", RoomName::with_limits)?,
                setting: fields.room_setting()?,
            },
            Verb::RoomBans => Self::ListBans { room: fields.required("room", RoomName::with_limits)? },
            Verb::ContactRequest => {
                Self::ContactRequest { username: fields.required("username", Username::with_limits)? }
            }
            Verb::ContactResponse => {
                let (username, accepted) = fields.contact_response()?;
                Self::ContactResponse { username, accepted }
            }
            _ => return fields.unknown_verb(),
        })
    }
}

/// What `DISCOVER_PEERS` is about: a list type and a room's name stand in the same place.
enum Asked {
    Everyone(Detail),
    Room(RoomName),
}

fn detail(word: &str) -> Option<Detail> {
    if word.eq_ignore_ascii_case("DETAILED") {
        Some(Detail::Detailed)
    } else if word.eq_ignore_ascii_case("PARTIAL") || word.eq_ignore_ascii_case("SIMPLE") {
        Some(Detail::Partial)
    } else {
        None
    }
}

impl FromRegistry {
    /// Reads one frame as [`Message::parse`] does, but with the knowledge of what was asked, which the three payloads of
    /// `PEER_LIST` can't be told apart without (PROTOCOL.md §4.10).
    ///
    /// `shape` is of the oldest unanswered `DISCOVER_PEERS` if the frame is a `PEER_LIST`, of the oldest unanswered
    /// `SHOW_ROOMS_LIST` if it is a `ROOMS_LIST`; a list of rooms only needs it when it is empty. Without it a
    /// successful `PEER_LIST` is [`PeerList::Raw`].
    pub fn parse_expecting(
        frame: &Bytes,
        dialect: Dialect,
        limits: &Limits,
        shape: Option<PeerListShape>,
    ) -> Result<Self, ParseError> {
        Self::parse_asked(frame.clone(), Origin::Elsewhere, dialect, limits, |_| shape)
    }

    /// As [`parse_expecting`](Self::parse_expecting); `asked` is called once, with the frame's verb if it is known.
    pub(crate) fn parse_asked(
        frame: Bytes,
        origin: Origin,
        dialect: Dialect,
        limits: &Limits,
        asked: impl FnOnce(Verb) -> Option<PeerListShape>,
    ) -> Result<Self, ParseError> {
        super::message(frame, origin, dialect, limits, |verb| {
            let shape = asked(verb);
            move |fields: &mut Fields<'_>| Self::read(fields, shape)
        })
    }

    fn read(fields: &mut Fields<'_>, shape: Option<PeerListShape>) -> Result<Self, ParseError> {
        Ok(match fields.verb {
            Verb::HelloBack => Self::Hello(match fields.success_or_failure(Code::Required)? {
                Phrase::Success => HelloReply::Success { extensions: fields.extensions()? },
                _ => HelloReply::Failure { reason: fields.reason()? },
            }),
            Verb::Register => Self::Register(fields.register_reply()?),
            Verb::Auth => Self::Auth(fields.auth_reply()?),
            Verb::Creation => Self::Creation(fields.outcome(Code::Optional)?),
            Verb::Join => Self::Join(fields.outcome(Code::Required)?),
            Verb::RoomExitResponse => Self::RoomExit(fields.outcome(Code::Required)?),
            Verb::RoomsList => {
                let allowed = &[Phrase::Found, Phrase::NotFound];
                Self::Rooms(match fields.status(allowed, "FOUND or NOT_FOUND", Code::Required)? {
                    Phrase::Found => fields.rooms(shape)?,
                    _ => RoomsList::NotFound { reason: fields.reason()? },
                })
            }
            Verb::SearchUserResponse => Self::Search(fields.search_reply()?),
            Verb::PeerList => Self::Peers(match fields.success_or_failure(Code::Required)? {
                Phrase::Success => fields.peers(shape)?,
                _ => PeerList::Failure { reason: fields.reason()? },
            }),
            Verb::UserLogout => {
                Self::UserLogout { username: fields.required("username", Username::with_limits)? }
            }
            Verb::Timeout => Self::Timeout { username: fields.required("username", Username::with_limits)? },
            Verb::Replaced => {
                Self::Replaced { username: fields.required("username", Username::with_limits)? }
            }
            Verb::Ticket => Self::Ticket { ticket: fields.required("ticket", value::ticket)? },
            Verb::Parked => Self::Parked(fields.outcome(Code::Required)?),
            Verb::LinkKey => Self::LinkKey(fields.outcome(Code::Required)?),
            Verb::RetryAfter => Self::RetryAfter { seconds: fields.required("seconds", value::u32)? },
            Verb::UserJoined => Self::UserJoined {
                room: fields.required("room", RoomName::with_limits)?,
                username: fields.required("username", Username::with_limits)?,
            },
            Verb::UserLeft => Self::UserLeft {
                room: fields.required("room", RoomName::with_limits)?,
                username: fields.required("username", Username::with_limits)?,
            },
            Verb::Contact => Self::Contact(fields.outcome(Code::Required)?),
            Verb::ContactRequest => {
                Self::ContactRequest { username: fields.required("username", Username::with_limits)? }
            }
            Verb::ContactResponse => {
                let (username, accepted) = fields.contact_response()?;
                Self::ContactResponse { username, accepted }
            }
            Verb::Moderation => Self::Moderation(fields.outcome(Code::Required)?),
            Verb::BanList => Self::Bans(fields.ban_list()?),
            Verb::RoomKicked => Self::RoomKicked {
                room: fields.required("room", RoomName::with_limits)?,
                username: fields.required("username", Username::with_limits)?,
                by: fields.required("by", Username::with_limits)?,
                reason: fields.reason()?,
            },
            Verb::RoomBanned => Self::RoomBanned {
                room: fields.required("room", RoomName::with_limits)?,
                username: fields.required("username", Username::with_limits)?,
                by: fields.required("by", Username::with_limits)?,
                reason: fields.reason()?,
            },
            Verb::RoomChanged => Self::RoomChanged {
                room: fields.required("room", RoomName::with_limits)?,
                by: fields.required("by", Username::with_limits)?,
                change: fields.room_change()?,
            },
            _ => return fields.unknown_verb(),
        })
    }
}

impl RawList {
    /// The list as it would have been parsed had its shape been known; `dialect` is the one that it came in.
    ///
    /// Offsets in errors are those of the list's canonical spelling.
    pub fn into_shape(
        self,
        shape: PeerListShape,
        dialect: Dialect,
        limits: &Limits,
    ) -> Result<PeerList, ParseError> {
        let line = FromRegistry::Peers(PeerList::Raw(self)).to_bytes(dialect);
        let frame = super::without_line_ending(&line);
        super::message(frame, Origin::Elsewhere, dialect, limits, |_| {
            |fields: &mut Fields<'_>| {
                fields.success_or_failure(Code::Required)?;
                fields.peers(Some(shape))
            }
        })
    }
}

impl Fields<'_> {
    pub(super) fn success_or_failure(&mut self, code: Code) -> Result<Phrase, ParseError> {
        self.status(&[Phrase::Success, Phrase::Failure], "SUCCESS or FAILURE", code)
    }

    fn outcome(&mut self, code: Code) -> Result<Outcome, ParseError> {
        Ok(match self.success_or_failure(code)? {
            Phrase::Success => Outcome::Success,
            _ => Outcome::Failure { reason: self.reason()? },
        })
    }

    fn contact_response(&mut self) -> Result<(Username, bool), ParseError> {
        let allowed = &[Phrase::Accept, Phrase::Reject];
        let phrase = self.status(allowed, "ACCEPT or REJECT", Code::Required)?;
        Ok((self.required("username", Username::with_limits)?, phrase == Phrase::Accept))
    }

    fn extensions(&mut self) -> Result<Option<Extensions>, ParseError> {
        let Some(version) = self.optional("version", value::u16)? else { return Ok(None) };
        let capabilities = self.optional("capabilities", value::capabilities)?.unwrap_or_default();
        Ok(Some(Extensions { version, capabilities }))
    }

    fn discover(&mut self) -> Result<ToRegistry, ParseError> {
        let asked = self.required("room", |text, limits| match detail(text) {
            Some(detail) => Ok(Asked::Everyone(detail)),
            None => RoomName::with_limits(text, limits).map(Asked::Room),
        })?;
        Ok(match asked {
            Asked::Everyone(detail) => {
                ToRegistry::DiscoverPeers { detail, asker: self.optional("username", Username::with_limits)? }
            }
            Asked::Room(room) => ToRegistry::DiscoverRoom { room },
        })
    }

    fn register_reply(&mut self) -> Result<RegisterReply, ParseError> {
        let allowed = &[Phrase::Success, Phrase::Failure, Phrase::Exist];
        Ok(match self.status(allowed, "SUCCESS, FAILURE or EXIST", Code::Required)? {
            Phrase::Success => RegisterReply::Success,
            Phrase::Exist => RegisterReply::Exists { reason: self.reason()? },
            _ => RegisterReply::Failure { reason: self.reason()? },
        })
    }

    fn auth_reply(&mut self) -> Result<AuthReply, ParseError> {
        let allowed = &[Phrase::Success, Phrase::Failure, Phrase::Online];
        Ok(match self.status(allowed, "SUCCESS, FAILURE or ONLINE", Code::Required)? {
            Phrase::Success => AuthReply::Success { token: self.optional("token", value::token)? },
            Phrase::Online => AuthReply::Online { reason: self.reason()? },
            _ => AuthReply::Failure { reason: self.reason()? },
        })
    }

    fn search_reply(&mut self) -> Result<SearchReply, ParseError> {
        let allowed = &[Phrase::Success, Phrase::NotOnline, Phrase::NotFound];
        Ok(match self.status(allowed, "SUCCESS, NOT_ONLINE or NOT_FOUND", Code::Required)? {
            Phrase::Success => SearchReply::Found(self.found()?),
            Phrase::NotOnline => SearchReply::NotOnline { reason: self.reason()? },
            _ => SearchReply::NotFound { reason: self.reason()? },
        })
    }

    /// `<username> <port> <ip>`, or `ip:port` in one field; a username can't hold a colon.
    fn found(&mut self) -> Result<Found, ParseError> {
        let (username, port, ip) = if self.peek(|text| text.contains(':')) {
            let address = self.required("address", |text, _| {
                value::address(text).ok_or(Problem::Unexpected { expected: "an IP address and port" })
            })?;
            (None, address.port(), address.ip())
        } else {
            let username = self.required("username", Username::with_limits)?;
            (Some(username), self.required("port", value::u16)?, self.required("ip", value::ip)?)
        };
        let capabilities = self.optional("capabilities", value::capabilities)?.unwrap_or_default();
        let key = self.optional("key", value::link_key)?;
        Ok(Found { username, port, ip, capabilities, key })
    }
}
