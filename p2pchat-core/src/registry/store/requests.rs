//! What a store is asked, and what it says.

use std::sync::Arc;

use p2pchat_proto::{BanRecord, Capacity, Description, List, Reason, RoomName, RoomRecord, Username};

use super::{
    super::{
        bans::{Ban, BanTarget},
        invites::{Invite, InviteDigest},
    },
    AccountInfo, InviteUse, RoomAction, RoomInfo, StoreError, StoredToken, TokenChange, TokenDigest,
};

/// A question to the store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreRequest {
    /// May be answered from any recent committed state.
    Read(Read),
    /// Run in the order asked, durable before it is answered.
    Write(Write),
}

/// A question that changes nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Read {
    /// [`StoreAnswer::Account`]
    Account {
        /// Whose.
        username: Username,
    },
    /// [`StoreAnswer::Room`]
    Room {
        /// Which.
        room: RoomName,
        /// Who wants to join.
        username: Username,
    },
    /// [`StoreAnswer::Rooms`]: as many as fit a reply, by name.
    Rooms,
    /// [`StoreAnswer::Accounts`], by name.
    Accounts {
        /// Those after this one.
        after: Option<Username>,
        /// At most so many.
        count: usize,
    },
    /// [`StoreAnswer::RoomInfos`], by name.
    RoomInfos {
        /// Those after this one.
        after: Option<RoomName>,
        /// At most so many.
        count: usize,
    },
    /// [`StoreAnswer::RoomBans`], [`StoreAnswer::NotOwner`] or [`StoreAnswer::NotAMember`].
    RoomBans {
        /// Which room's.
        room: RoomName,
        /// Who asks.
        username: Username,
    },
    /// [`StoreAnswer::Bans`]: those of users by name, then those of networks. Also those that have run out.
    Bans {
        /// Those after this one.
        after: Option<BanTarget>,
        /// At most so many.
        count: usize,
    },
    /// [`StoreAnswer::Invite`]
    Invite {
        /// Which, and when.
        invite: InviteUse,
    },
    /// [`StoreAnswer::Invites`], by digest. Also those that have expired.
    Invites {
        /// Those after this one.
        after: Option<InviteDigest>,
        /// At most so many.
        count: usize,
    },
}

/// A question that changes something, or has to see every change asked for before it.
#[derive(Clone)]
#[non_exhaustive]
pub enum Write {
    /// [`StoreAnswer::Registered`], [`StoreAnswer::NameTaken`], [`StoreAnswer::LooksLike`] or [`StoreAnswer::NoSuchInvite`].
    Register {
        /// The wanted name.
        username: Username,
        /// The password's slow hash.
        password: Arc<str>,
        /// What has to be good, and is used up by one if the account is created.
        invite: Option<InviteUse>,
    },
    /// The rooms of an account whose session begins: [`StoreAnswer::Session`].
    OpenSession {
        /// Whose.
        username: Username,
        /// A new hash of the same password, under newer parameters.
        password: Option<Arc<str>>,
        /// What becomes of its tokens.
        token: TokenChange,
    },
    /// The rooms of an account whose user has a token: [`StoreAnswer::Session`] or [`StoreAnswer::WrongToken`].
    ResumeSession {
        /// Whose.
        username: Username,
        /// The token.
        token: TokenDigest,
        /// The time now, in seconds since 1970.
        now: u64,
        /// The token that is given out for it. Without one nothing is changed.
        next: Option<StoredToken>,
    },
    /// Makes no token of the account good any more: [`StoreAnswer::TokenRevoked`], also if there was none.
    RevokeTokens {
        /// Whose.
        username: Username,
        /// Only if this one was given out last.
        only: Option<TokenDigest>,
    },
    /// [`StoreAnswer::Joined`], [`StoreAnswer::NameTaken`], [`StoreAnswer::LooksLike`], [`StoreAnswer::TooManyRooms`] or
    /// [`StoreAnswer::NoSuchAccount`].
    CreateRoom {
        /// The wanted name.
        room: RoomName,
        /// Its creator, owner and first member.
        owner: Username,
        /// The slow hash of its password.
        password: Option<Arc<str>>,
        /// How many members it takes.
        capacity: Capacity,
        /// What it is about.
        description: Description,
        /// In how many rooms an account may be.
        rooms_per_user: usize,
    },
    /// [`StoreAnswer::Joined`] (also for a member), [`StoreAnswer::Full`], [`StoreAnswer::NoSuchRoom`],
    /// [`StoreAnswer::BannedFromRoom`], [`StoreAnswer::PasswordChanged`], [`StoreAnswer::TooManyRooms`] or
    /// [`StoreAnswer::NoSuchAccount`].
    JoinRoom {
        /// Which room.
        room: RoomName,
        /// The id that the room had when its password was compared: another room of the same name is no such room.
        id: u64,
        /// The slow hash that the password was compared with, if there was one: by now the room may have another.
        password: Option<Arc<str>>,
        /// Who joins.
        username: Username,
        /// In how many rooms an account may be.
        rooms_per_user: usize,
    },
    /// [`StoreAnswer::Left`] or [`StoreAnswer::NotAMember`].
    LeaveRoom {
        /// Which room.
        room: RoomName,
        /// Who leaves.
        username: Username,
    },
    /// Ends an account, its memberships and its tokens; its name stays taken. [`StoreAnswer::Deleted`] or
    /// [`StoreAnswer::NoSuchAccount`].
    DeleteAccount {
        /// Whose.
        username: Username,
    },
    /// [`StoreAnswer::Moderated`], [`StoreAnswer::NotOwner`], or [`StoreAnswer::NotAMember`] if it is the asker who is none;
    /// else what is said of each [`RoomAction`].
    Moderate {
        /// Which room.
        room: RoomName,
        /// Who asks.
        by: Username,
        /// What for.
        action: RoomAction,
        /// How many accounts can be banned from a room.
        bans_per_room: usize,
    },
    /// Also forgets the invitations that have expired: [`StoreAnswer::InviteCreated`] or [`StoreAnswer::TooManyInvites`].
    CreateInvite {
        /// All about it.
        invite: Invite,
        /// How many there may be.
        limit: usize,
    },
    /// [`StoreAnswer::InviteRevoked`] or [`StoreAnswer::NoSuchInvite`].
    RevokeInvite {
        /// Which.
        digest: InviteDigest,
    },
    /// Also revokes a banned user's tokens and forgets the bans that have run out: [`StoreAnswer::Banned`] or
    /// [`StoreAnswer::TooManyBans`].
    Ban {
        /// In place of an earlier one of the same target.
        ban: Ban,
        /// How many there may be.
        limit: usize,
    },
    /// [`StoreAnswer::Unbanned`] or [`StoreAnswer::NotBanned`].
    Unban {
        /// Who.
        target: BanTarget,
    },
}

impl std::fmt::Debug for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Register { username, .. } => write!(f, "Register({username})"),
            Self::OpenSession { username, .. } => write!(f, "OpenSession({username})"),
            Self::ResumeSession { username, .. } => write!(f, "ResumeSession({username})"),
            Self::RevokeTokens { username, .. } => write!(f, "RevokeTokens({username})"),
            Self::CreateRoom { room, owner, .. } => write!(f, "CreateRoom({room}, {owner})"),
            Self::JoinRoom { room, username, .. } => write!(f, "JoinRoom({room}, {username})"),
            Self::LeaveRoom { room, username } => write!(f, "LeaveRoom({room}, {username})"),
            Self::DeleteAccount { username } => write!(f, "DeleteAccount({username})"),
            Self::Moderate { room, by, action, .. } => write!(f, "Moderate({room}, {by}, {action:?})"),
            Self::CreateInvite { invite, .. } => write!(f, "CreateInvite({})", invite.digest.id()),
            Self::RevokeInvite { digest } => write!(f, "RevokeInvite({})", digest.id()),
            Self::Ban { ban, .. } => write!(f, "Ban({})", ban.target),
            Self::Unban { target } => write!(f, "Unban({target})"),
        }
    }
}

/// What the store says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreAnswer {
    /// The account's slow password hash, if there is such an account.
    Account(Option<Secret>),
    /// What a join has to know of the room, if there is such a room.
    Room(Option<RoomState>),
    /// The rooms that fit into a reply.
    Rooms(List<RoomRecord>),
    /// The account was created.
    Registered,
    /// There is one of that name, or there was an account.
    NameTaken,
    /// There is one whose name looks like that: which, as it was spelled.
    LooksLike(Box<str>),
    /// The account's name, as it was registered, its rooms, and which token was given out last, if one may be good; `None` if
    /// there is no such account any more.
    Session(Option<(Username, Vec<RoomName>, Option<TokenDigest>)>),
    /// The token isn't good, or there is no such account.
    WrongToken,
    /// No token of the account is good any more.
    TokenRevoked,
    /// The user is a member of the room from now on, or was already.
    Joined {
        /// The room, as its creator spelled it.
        room: RoomName,
    },
    /// The user is a member no longer. If it was the last one, the room is gone.
    Left {
        /// The room, as its creator spelled it.
        room: RoomName,
        /// Who owns it from now on, if it was the owner who left.
        heir: Option<Username>,
    },
    /// It is done.
    Moderated {
        /// The room, as its creator spelled it.
        room: RoomName,
        /// Whom it was about, if anybody, as it was spelled at registration.
        user: Option<Username>,
        /// True if it ended their membership.
        removed: bool,
    },
    /// The room belongs to somebody else, and only its owner may do that.
    NotOwner {
        /// Who owns it.
        owner: Username,
    },
    /// Whom it was about is not a member of the room.
    NoSuchMember,
    /// The room has more members than that.
    TooFewPlaces {
        /// How many it has.
        members: u32,
    },
    /// Who is banned from the room, by folded name.
    RoomBans(List<BanRecord>),
    /// The user is banned from the room.
    BannedFromRoom {
        /// The owner's words; empty if there were none.
        reason: Reason,
    },
    /// The room has had another password since the one that was given was compared.
    PasswordChanged,
    /// The room has as many members as it takes.
    Full,
    /// There is no such room, or not the same any more.
    NoSuchRoom,
    /// The user is not a member of it.
    NotAMember,
    /// The user is in as many rooms as is allowed.
    TooManyRooms,
    /// The account is gone, and is a member no longer of these rooms.
    Deleted {
        /// The name, as it was registered.
        username: Username,
        /// In the order of joining, each with who owns it from now on, if it was the user's.
        rooms: Vec<(RoomName, Option<Username>)>,
    },
    /// There is no such account, or no longer.
    NoSuchAccount,
    /// Accounts.
    Accounts(Vec<AccountInfo>),
    /// Rooms, with what only the operator is told.
    RoomInfos(Vec<RoomInfo>),
    /// True if the invitation is good.
    Invite(bool),
    /// Invitations.
    Invites(Vec<Invite>),
    /// The invitation is kept.
    InviteCreated,
    /// There are as many invitations as is allowed.
    TooManyInvites,
    /// The invitation is forgotten.
    InviteRevoked,
    /// There is no such invitation, or it isn't good any more.
    NoSuchInvite,
    /// Bans.
    Bans(Vec<Ban>),
    /// The ban is kept.
    Banned,
    /// There are as many bans as is allowed.
    TooManyBans,
    /// The ban is forgotten.
    Unbanned,
    /// There was none.
    NotBanned,
    /// The request failed and changed nothing.
    Failed(StoreError),
}

/// A slow password hash in PHC form; hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Arc<str>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a join has to know of a room.
#[derive(Debug, Clone)]
pub struct RoomState {
    /// Unique for ever, unlike the name.
    pub id: u64,
    /// The slow hash of its password, if it has one.
    pub password: Option<Secret>,
    /// True if it has as many members as it takes.
    pub full: bool,
    /// Why the user is banned from it, if they are; empty if the owner didn't say.
    pub banned: Option<Reason>,
}
