//! The registry stream's messages, in both directions.

use std::net::SocketAddr;

use super::{Shown, Writer};
use crate::{
    dialect::Dialect,
    message::{
        AuthReply, Detail, Extensions, Found, FromRegistry, HelloReply, Outcome, RegisterReply, SearchReply,
        ToRegistry,
    },
    name::Username,
    secret::{PasswordDigest, SessionToken},
    status::Phrase,
};

impl ToRegistry {
    #[inline(always)]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Hello { extensions } => writer.extensions(extensions.as_ref()),
            Self::Register { username, password, invite } => {
                writer.word(username.as_str());
                writer.word(password.expose());
                // What the prototype's registry would make of a fourth word nobody knows.
                if let (Some(invite), Dialect::Canonical) = (invite, writer.dialect) {
                    writer.plain(invite.expose());
                }
            }
            Self::Login { username, password, port } => {
                writer.word(username.as_str());
                writer.word(password.expose());
                if let Some(port) = port {
                    writer.word(u64::from(port.get()));
                }
            }
            Self::Resume { username, token, port } => {
                writer.word(username.as_str());
                writer.word(token.expose());
                if let Some(port) = port {
                    writer.word(u64::from(port.get()));
                }
            }
            Self::CreateRoom { room, password, capacity, description } => {
                writer.plain(room.as_str());
                writer.room_password(password.as_ref());
                writer.plain(u64::from(capacity.get()));
                writer.field(description.as_str());
            }
            Self::JoinRoom { room, password } => {
                writer.plain(room.as_str());
                writer.room_password(password.as_ref());
                writer.plain("increment");
            }
            Self::ExitRoom { username, room } => {
                writer.plain(username.as_str());
                writer.plain(room.as_str());
            }
            Self::ListRooms { detail } => writer.plain(detail_word(*detail, Dialect::Canonical)),
            Self::SearchUser { username } => writer.word(username.as_str()),
            Self::DiscoverPeers { detail, asker } => {
                writer.word(detail_word(*detail, writer.dialect));
                if let Some(asker) = asker {
                    writer.word(asker.as_str());
                }
            }
            Self::DiscoverRoom { room } => writer.plain(room.as_str()),
            Self::Logout { username } => {
                if let Some(username) = username {
                    writer.word(username.as_str());
                }
            }
            Self::Kick { room, username, reason } | Self::Ban { room, username, reason } => {
                writer.room_and_users(room, &[username]);
                writer.owners_reason(reason.as_ref());
            }
            Self::Unban { room, username } => writer.room_and_users(room, &[username]),
            Self::SetRoom { room, setting } => {
                writer.plain(room.as_str());
                writer.room_setting(setting);
            }
            Self::ListBans { room } => writer.plain(room.as_str()),
            Self::LinkKey { key } => writer.plain(*key),
            Self::Park { username } => writer.plain(username.as_str()),
            Self::ContactRequest { username } => writer.plain(username.as_str()),
            Self::ContactResponse { username, accepted } => writer.contact_response(username, *accepted),
        }
    }
}

const fn detail_word(detail: Detail, dialect: Dialect) -> &'static str {
    match (detail, dialect) {
        (Detail::Detailed, _) => "DETAILED",
        (Detail::Partial, Dialect::Canonical) => "PARTIAL",
        (Detail::Partial, Dialect::Prototype) => "SIMPLE",
    }
}

impl FromRegistry {
    #[inline(always)]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Hello(reply) => writer.hello_reply(reply),
            Self::Register(reply) => match reply {
                RegisterReply::Success => writer.status(Phrase::Success),
                RegisterReply::Failure { reason } => writer.refusal(Phrase::Failure, reason.as_ref()),
                RegisterReply::Exists { reason } => writer.refusal(Phrase::Exist, reason.as_ref()),
            },
            Self::Auth(reply) => match reply {
                AuthReply::Success { token } => writer.welcome(token.as_ref()),
                AuthReply::Failure { reason } => writer.refusal(Phrase::Failure, reason.as_ref()),
                AuthReply::Online { reason } => writer.refusal(Phrase::Online, reason.as_ref()),
            },
            Self::Creation(outcome)
            | Self::Join(outcome)
            | Self::RoomExit(outcome)
            | Self::Moderation(outcome)
            | Self::Contact(outcome)
            | Self::Parked(outcome)
            | Self::LinkKey(outcome) => match outcome {
                Outcome::Success => writer.status(Phrase::Success),
                Outcome::Failure { reason } => writer.refusal(Phrase::Failure, reason.as_ref()),
            },
            Self::Rooms(rooms) => writer.rooms(rooms),
            Self::Search(reply) => match reply {
                SearchReply::Found(found) => writer.found(found),
                SearchReply::NotOnline { reason } => writer.refusal(Phrase::NotOnline, reason.as_ref()),
                SearchReply::NotFound { reason } => writer.refusal(Phrase::NotFound, reason.as_ref()),
            },
            Self::Peers(peers) => writer.peers(peers),
            Self::UserLogout { username }
            | Self::Replaced { username }
            | Self::ContactRequest { username } => {
                writer.plain(username.as_str());
            }
            Self::ContactResponse { username, accepted } => writer.contact_response(username, *accepted),
            Self::Timeout { username } => writer.word(username.as_str()),
            Self::Ticket { ticket } => writer.plain(ticket.expose()),
            Self::RetryAfter { seconds } => writer.plain(u64::from(*seconds)),
            Self::UserJoined { room, username } | Self::UserLeft { room, username } => {
                writer.plain(room.as_str());
                writer.plain(username.as_str());
            }
            Self::Bans(list) => writer.ban_list(list),
            Self::RoomKicked { room, username, by, reason }
            | Self::RoomBanned { room, username, by, reason } => {
                writer.room_and_users(room, &[username, by]);
                writer.owners_reason(reason.as_ref());
            }
            Self::RoomChanged { room, by, change } => {
                writer.room_and_users(room, &[by]);
                writer.room_change(change);
            }
        }
    }
}

impl Writer<'_> {
    fn extensions(&mut self, extensions: Option<&Extensions>) {
        if let (Some(extensions), Dialect::Canonical) = (extensions, self.dialect) {
            self.plain(u64::from(extensions.version));
            self.plain(extensions.capabilities);
        }
    }

    pub(super) fn room_password(&mut self, password: Option<&PasswordDigest>) {
        self.plain(password.map_or("", PasswordDigest::expose));
    }

    /// The prototype takes the third word for a bare number, in this reply alone, and its own ends with a blank.
    fn hello_reply(&mut self, reply: &HelloReply) {
        let phrase = match reply {
            HelloReply::Success { .. } => Phrase::Success,
            HelloReply::Failure { .. } => Phrase::Failure,
        };
        self.word(phrase.as_str());
        self.word(u64::from(phrase.code()));
        match (reply, self.dialect) {
            (_, Dialect::Prototype) => self.bare(""),
            (HelloReply::Success { extensions }, Dialect::Canonical) => self.extensions(extensions.as_ref()),
            (HelloReply::Failure { reason }, Dialect::Canonical) => self.reason(reason.as_ref()),
        }
    }

    fn contact_response(&mut self, username: &Username, accepted: bool) {
        self.status(if accepted { Phrase::Accept } else { Phrase::Reject });
        self.plain(username.as_str());
    }

    fn welcome(&mut self, token: Option<&SessionToken>) {
        self.status(Phrase::Success);
        if let (Some(token), Dialect::Canonical) = (token, self.dialect) {
            self.plain(token.expose());
        }
    }

    fn found(&mut self, found: &Found) {
        self.status(Phrase::Success);
        match (&found.username, self.dialect) {
            (Some(username), Dialect::Canonical) => {
                self.plain(username.as_str());
                self.plain(u64::from(found.port));
                self.plain(found.ip);
            }
            (_, Dialect::Prototype) | (None, _) => self.word(Shown(SocketAddr::new(found.ip, found.port))),
        }
        // The key stands after the capabilities, also if there are none.
        if (!found.capabilities.is_empty() || found.key.is_some()) && self.dialect == Dialect::Canonical {
            self.plain(found.capabilities);
            if let Some(key) = found.key {
                self.plain(key);
            }
        }
    }
}
