//! The registry stream: TCP with TLS between a peer and the registry.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};

use super::{
    Message,
    list::{PeerList, RoomsList},
    moderation::{BanList, RoomChange, RoomSetting},
};
use crate::{
    dialect::Dialect,
    encode::Writer,
    error::ParseError,
    invite::InviteCode,
    limits::Limits,
    name::{RoomName, Username},
    parse::{self, Origin},
    secret::{PasswordDigest, SessionTicket, SessionToken},
    value::{Capabilities, Capacity, Description, LinkKey, PeerPort, Reason},
    verb::Verb,
};

/// What a peer asks of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum ToRegistry {
    /// `HELLO_P2P [<1> <cap,cap,…>]`: first message on a connection (§4.1, §7).
    Hello {
        /// What the peer can do beyond the base protocol; `None` for the base protocol alone.
        extensions: Option<Extensions>,
    },
    /// `REGISTER <username> <password> [<invite>]`: creates an account (§4.2).
    Register {
        /// The wanted name.
        username: Username,
        /// The SHA-256 of the password.
        password: PasswordDigest,
        /// What lets somebody register where not everybody may (capability `invite`, §7.9).
        invite: Option<InviteCode>,
    },
    /// `LOGIN <username> <password> [<peer_port>]` (§4.3).
    Login {
        /// Whose session this is to be.
        username: Username,
        /// The SHA-256 of the password.
        password: PasswordDigest,
        /// Where the peer's own server listens; without it the peer can't be dialled.
        port: Option<PeerPort>,
    },
    /// `RESUME <username> <token> [<peer_port>]`: continues a session on this stream (capability `resume`, §7.5).
    Resume {
        /// Whose session.
        username: Username,
        /// From the last `AUTH <SUCCESS>` that came.
        token: SessionToken,
        /// Where the peer's own server listens; without it the peer can't be dialled.
        port: Option<PeerPort>,
    },
    /// `CREATE_CHAT_ROOM <room> <password> <capacity> <description>` (§4.4).
    CreateRoom {
        /// The wanted name.
        room: RoomName,
        /// The SHA-256 of the room's password; `None`, `<>` on the wire, for a room open to all.
        password: Option<PasswordDigest>,
        /// How many members it takes.
        capacity: Capacity,
        /// What it is about.
        description: Description,
    },
    /// `JOIN_CHAT_ROOM <room> <password> <increment>`; the third field is the literal word (§4.5).
    JoinRoom {
        /// Which room.
        room: RoomName,
        /// The SHA-256 of its password, if it has one.
        password: Option<PasswordDigest>,
    },
    /// `ROOM_EXIT <username> <room>` (§4.6).
    ExitRoom {
        /// The session's own name.
        username: Username,
        /// Which room.
        room: RoomName,
    },
    /// `SHOW_ROOMS_LIST <DETAILED>` or `<PARTIAL>` (§4.7).
    ListRooms {
        /// How much of each room.
        detail: Detail,
    },
    /// `SEARCH_USER <username>` (§4.8).
    SearchUser {
        /// Whom to look for.
        username: Username,
    },
    /// `DISCOVER_PEERS <DETAILED>` or `<PARTIAL>`: everyone online but the asker (§4.10).
    DiscoverPeers {
        /// How much of each peer.
        detail: Detail,
        /// The asker's own name: a second field that the prototype sends and wants.
        asker: Option<Username>,
    },
    /// `DISCOVER_PEERS <room>`: which members of a room are online (§4.15).
    DiscoverRoom {
        /// Which room.
        room: RoomName,
    },
    /// `LOGOUT [<username>]` (§4.12).
    Logout {
        /// The session's own name.
        username: Option<Username>,
    },
    /// `LINK_KEY <key>`: the key by which others know this peer on peer streams (capability `keys`, §7.13).
    LinkKey {
        /// It holds for the session that begins on this stream next.
        key: LinkKey,
    },
    /// `PARK <username>`: the session goes on without this stream (capability `park`, §7.12).
    Park {
        /// The session's own name.
        username: Username,
    },
    /// `ROOM_KICK <room> <username> [<reason>]`: puts a member out (capability `moderate`, §7.7).
    Kick {
        /// One's own room.
        room: RoomName,
        /// Whom.
        username: Username,
        /// Why, for everybody in the room.
        reason: Option<Reason>,
    },
    /// `ROOM_BAN <room> <username> [<reason>]`: puts a user out and keeps them out (capability `moderate`, §7.7).
    Ban {
        /// One's own room.
        room: RoomName,
        /// Whom, also if they aren't a member.
        username: Username,
        /// Why, for everybody in the room.
        reason: Option<Reason>,
    },
    /// `ROOM_UNBAN <room> <username>`: lets a user in again (capability `moderate`, §7.7).
    Unban {
        /// One's own room.
        room: RoomName,
        /// Whom.
        username: Username,
    },
    /// `ROOM_SET <room> <setting> <value>` (capability `moderate`, §7.7).
    SetRoom {
        /// One's own room.
        room: RoomName,
        /// What, to what.
        setting: RoomSetting,
    },
    /// `ROOM_BANS <room>`: who is banned from it (capability `moderate`, §7.7).
    ListBans {
        /// One's own room.
        room: RoomName,
    },
    /// `CONTACT_REQUEST <username>`: asks somebody whose address is hidden (capability `contact`, §7.10).
    ContactRequest {
        /// Who is wanted.
        username: Username,
    },
    /// `CONTACT_RESPONSE <ACCEPT> <200> <username>` or `<REJECT> <404> <username>`: the answer to a pushed
    /// [`FromRegistry::ContactRequest`] (§7.10).
    ContactResponse {
        /// Who had asked.
        username: Username,
        /// True if both may see where the other is.
        accepted: bool,
    },
}

/// What the registry answers and pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum FromRegistry {
    /// `HELLO_BACK …` (§4.1).
    Hello(HelloReply),
    /// `REGISTER …` (§4.2).
    Register(RegisterReply),
    /// `AUTH …` (§4.3, §7.5).
    Auth(AuthReply),
    /// `CREATION <SUCCESS> <200>` or `<FAILURE> <404>` (§4.4).
    Creation(Outcome),
    /// `JOIN <SUCCESS> <200>` or `<FAILURE> <404>` (§4.5).
    Join(Outcome),
    /// `ROOM_EXIT_RESPONSE <SUCCESS> <200>` or `<FAILURE> <404>` (§4.6).
    RoomExit(Outcome),
    /// `ROOMS_LIST …` (§4.7).
    Rooms(RoomsList),
    /// `SEARCH_USER_RESPONSE …` (§4.8).
    Search(SearchReply),
    /// `PEER_LIST …` (§4.10, §4.15).
    Peers(PeerList),
    /// `USER_LOGOUT <username>`, pushed to those who share a room with the user (§4.12).
    UserLogout {
        /// Who is gone.
        username: Username,
    },
    /// `TIMEOUT <username>`, pushed on the stream before it is closed (§4.14).
    Timeout {
        /// The session's own name.
        username: Username,
    },
    /// `REPLACED <username>`, pushed under `resume` before the stream is closed: the session goes on elsewhere (§7.5).
    Replaced {
        /// The session's own name.
        username: Username,
    },
    /// `TICKET <ticket>`, pushed under `ticket` after a session has begun: what its keep-alives prove (§7.6).
    Ticket {
        /// The session's secret.
        ticket: SessionTicket,
    },
    /// `PARKED <SUCCESS> <200>`, after which the stream is closed, or `<FAILURE> <404>`: answers `PARK` (§7.12).
    Parked(Outcome),
    /// `LINK_KEY <SUCCESS> <200>` or `<FAILURE> <404>`: whether the key was taken (capability `keys`, §7.13).
    LinkKey(Outcome),
    /// `RETRY_AFTER <seconds>`, under `retry` before the refusal that it belongs to: what is refused may be tried again
    /// then (§7.8).
    RetryAfter {
        /// Whole seconds from now.
        seconds: u32,
    },
    /// `CONTACT <SUCCESS> <200>` or `<FAILURE> <404>`: answers `CONTACT_REQUEST` and `CONTACT_RESPONSE` (§7.10).
    Contact(Outcome),
    /// `CONTACT_REQUEST <username>`, pushed under `contact`: somebody wants to talk to this user, and doesn't see where they
    /// are (§7.10).
    ContactRequest {
        /// Who asks.
        username: Username,
    },
    /// `CONTACT_RESPONSE <ACCEPT> <200> <username>` or `<REJECT> <404> <username>`, pushed under `contact` (§7.10).
    ContactResponse {
        /// Who was asked.
        username: Username,
        /// True if they can be found now.
        accepted: bool,
    },
    /// `USER_JOINED <room> <username>`, pushed under `roster`: the user is a member and online (§7.3).
    UserJoined {
        /// Which room.
        room: RoomName,
        /// Who.
        username: Username,
    },
    /// `USER_LEFT <room> <username>`, pushed under `roster`: the user is no member any more (§7.3).
    UserLeft {
        /// Which room.
        room: RoomName,
        /// Who.
        username: Username,
    },
    /// `MODERATION <SUCCESS> <200>` or `<FAILURE> <404>`: answers `ROOM_KICK`, `ROOM_BAN`, `ROOM_UNBAN` and `ROOM_SET`
    /// (§7.7).
    Moderation(Outcome),
    /// `BAN_LIST …` (§7.7).
    Bans(BanList),
    /// `ROOM_KICKED <room> <username> <by> [<reason>]`, pushed under `moderate` to the user and the members (§7.7).
    RoomKicked {
        /// Which room.
        room: RoomName,
        /// Who is no member any more.
        username: Username,
        /// The owner.
        by: Username,
        /// Why, in the owner's words.
        reason: Option<Reason>,
    },
    /// `ROOM_BANNED <room> <username> <by> [<reason>]`, pushed under `moderate` to the user and the members (§7.7).
    RoomBanned {
        /// Which room.
        room: RoomName,
        /// Who is no member any more, and can't be one again.
        username: Username,
        /// The owner.
        by: Username,
        /// Why, in the owner's words.
        reason: Option<Reason>,
    },
    /// `ROOM_CHANGED <room> <by> <setting> <value>`, pushed under `moderate` to the members (§7.7).
    RoomChanged {
        /// Which room.
        room: RoomName,
        /// The owner; for a room that was passed on by its owner's leaving, the one who left.
        by: Username,
        /// What holds now.
        change: RoomChange,
    },
}

/// The two extra fields of an extended hello and of its answer: `<1> <cap,cap,…>` (§7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Extensions {
    /// The protocol's version, [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    pub version: u16,
    /// What the sender of the hello knows; in the answer, what both know.
    pub capabilities: Capabilities,
}

/// `HELLO_BACK <SUCCESS> <200> [<1> <cap,…>]` or `HELLO_BACK <FAILURE> <404> [<reason>]`; also the refusal of what was
/// no request at all (§3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum HelloReply {
    /// Welcome.
    Success {
        /// Present if the hello had it.
        extensions: Option<Extensions>,
    },
    /// Refused.
    Failure {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// `<SUCCESS> <200>` or `<FAILURE> <404> [<reason>]`, behind several verbs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Outcome {
    /// Done, and durable.
    Success,
    /// Refused.
    Failure {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// `REGISTER <SUCCESS> <200>`, `<FAILURE> <404> [<reason>]` or `<EXIST> <300> [<reason>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum RegisterReply {
    /// The account exists from now on, for ever.
    Success,
    /// Refused.
    Failure {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
    /// The name is taken.
    Exists {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// `AUTH <SUCCESS> <200> [<token>]`, `<FAILURE> <404> [<reason>]` or `<ONLINE> <300> [<reason>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum AuthReply {
    /// The session is live.
    Success {
        /// What continues it on another stream (capability `resume`).
        token: Option<SessionToken>,
    },
    /// Wrong password, wrong token or no such account, not told apart; or a refusal that says so in its reason.
    Failure {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
    /// The account has a live session already.
    Online {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// `SEARCH_USER_RESPONSE …`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum SearchReply {
    /// `<SUCCESS> <200> <username> <port> <ip> [<cap,…>]`
    Found(Found),
    /// `<NOT_ONLINE> <300> [<reason>]`: the account exists.
    NotOnline {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
    /// `<NOT_FOUND> <404> [<reason>]`: no such account.
    NotFound {
        /// Why (capability `reason`).
        reason: Option<Reason>,
    },
}

/// Where a user can be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Found {
    /// Who; `None` in the prototype's dialect, which answers `ip:port` alone.
    pub username: Option<Username>,
    /// The announced port; 0 if the user can't be dialled.
    pub port: u16,
    /// The address that the registry sees.
    pub ip: IpAddr,
    /// What the user's program understands on peer streams (capability `sender`); empty and not sent otherwise. With
    /// `contact`, their address is hidden and they can be asked (§7.10).
    pub capabilities: Capabilities,
    /// The key of the user's peer streams (capability `keys`, §7.13).
    pub key: Option<LinkKey>,
}

impl Found {
    /// True if the registry doesn't tell where the user is (§7.10).
    pub fn is_hidden(&self) -> bool {
        is_hidden(self.port, self.ip)
    }
}

/// A registry that hides an address shows port 0 and the unspecified address in its place.
pub(super) fn is_hidden(port: u16, ip: IpAddr) -> bool {
    port == 0 && ip.to_canonical().is_unspecified()
}

/// How much a list tells of each of its records. `SIMPLE` is an old word for `PARTIAL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Detail {
    /// `DETAILED`: everything.
    Detailed,
    /// `PARTIAL`: names alone.
    Partial,
}

impl Message for ToRegistry {
    fn parse(frame: &Bytes, dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        parse::message(frame.clone(), Origin::Elsewhere, dialect, limits, |_| Self::read)
    }

    fn encode(&self, out: &mut BytesMut, dialect: Dialect) {
        let mut writer = Writer::new(out, dialect, self.verb());
        self.write(&mut writer);
        writer.end_line();
    }

    fn verb(&self) -> Verb {
        match self {
            Self::Hello { .. } => Verb::HelloP2p,
            Self::Register { .. } => Verb::Register,
            Self::Login { .. } => Verb::Login,
            Self::Resume { .. } => Verb::Resume,
            Self::CreateRoom { .. } => Verb::CreateChatRoom,
            Self::JoinRoom { .. } => Verb::JoinChatRoom,
            Self::ExitRoom { .. } => Verb::RoomExit,
            Self::ListRooms { .. } => Verb::ShowRoomsList,
            Self::SearchUser { .. } => Verb::SearchUser,
            Self::DiscoverPeers { .. } | Self::DiscoverRoom { .. } => Verb::DiscoverPeers,
            Self::Logout { .. } => Verb::Logout,
            Self::LinkKey { .. } => Verb::LinkKey,
            Self::Park { .. } => Verb::Park,
            Self::Kick { .. } => Verb::RoomKick,
            Self::Ban { .. } => Verb::RoomBan,
            Self::Unban { .. } => Verb::RoomUnban,
            Self::SetRoom { .. } => Verb::RoomSet,
            Self::ListBans { .. } => Verb::RoomBans,
            Self::ContactRequest { .. } => Verb::ContactRequest,
            Self::ContactResponse { .. } => Verb::ContactResponse,
        }
    }
}

impl Message for FromRegistry {
    fn parse(frame: &Bytes, dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        Self::parse_expecting(frame, dialect, limits, None)
    }

    fn encode(&self, out: &mut BytesMut, dialect: Dialect) {
        let mut writer = Writer::new(out, dialect, self.verb());
        self.write(&mut writer);
        writer.end_line();
    }

    fn verb(&self) -> Verb {
        match self {
            Self::Hello(_) => Verb::HelloBack,
            Self::Register(_) => Verb::Register,
            Self::Auth(_) => Verb::Auth,
            Self::Creation(_) => Verb::Creation,
            Self::Join(_) => Verb::Join,
            Self::RoomExit(_) => Verb::RoomExitResponse,
            Self::Rooms(_) => Verb::RoomsList,
            Self::Search(_) => Verb::SearchUserResponse,
            Self::Peers(_) => Verb::PeerList,
            Self::UserLogout { .. } => Verb::UserLogout,
            Self::Timeout { .. } => Verb::Timeout,
            Self::Replaced { .. } => Verb::Replaced,
            Self::Ticket { .. } => Verb::Ticket,
            Self::Parked(_) => Verb::Parked,
            Self::LinkKey(_) => Verb::LinkKey,
            Self::RetryAfter { .. } => Verb::RetryAfter,
            Self::Contact(_) => Verb::Contact,
            Self::ContactRequest { .. } => Verb::ContactRequest,
            Self::ContactResponse { .. } => Verb::ContactResponse,
            Self::UserJoined { .. } => Verb::UserJoined,
            Self::UserLeft { .. } => Verb::UserLeft,
            Self::Moderation(_) => Verb::Moderation,
            Self::Bans(_) => Verb::BanList,
            Self::RoomKicked { .. } => Verb::RoomKicked,
            Self::RoomBanned { .. } => Verb::RoomBanned,
            Self::RoomChanged { .. } => Verb::RoomChanged,
        }
    }
}
