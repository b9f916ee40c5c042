//! The durable store: the first seam (§5.1, §5.3).
//!
//! The machine asks by [`StoreRequest`]; what a request means is written once, here, as a function over an ordered
//! key-value transaction. A store is whatever runs [`write()`] atomically and makes it durable before the answer leaves:
//! the daemon's redb, which runs many requests in one commit, [`MemoryStore`] for tests, or an engine far away whose
//! transactions compare what they read and set what they write.

mod bans;
mod check;
mod delete;
mod export;
mod format;
mod invites;
mod lists;
mod looks;
mod moderation;
mod tokens;

use std::sync::Arc;

use p2pchat_proto::{BanRecord, Capacity, Description, List, Reason, RoomName, RoomRecord, Username};

pub use self::{
    check::{MAX_PROBLEMS, Report, check},
    export::{Entry, Misfit, export, import},
    format::{FORMAT, upgrade},
    invites::InviteUse,
    lists::{AccountInfo, RoomInfo},
    looks::{is_prepared, prepare},
    moderation::RoomAction,
    tokens::{StoredToken, TokenChange, TokenDigest},
};
pub use super::memory::MemoryStore;
use super::{
    bans::{Ban, BanTarget},
    invites::{Invite, InviteDigest},
    record::{Account, Member, Room, decode, encode, member_key, shared},
};

/// A family of keys. Keys are ordered bytewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// Folded username → account.
    Accounts,
    /// Folded username → the password's slow hash in PHC form.
    Passwords,
    /// Folded room name → room.
    Rooms,
    /// Room id, folded username → membership.
    Members,
    /// Room id, sequence number of the membership → folded username, so that a room's longest-standing member is its
    /// first entry.
    Seniority,
    /// Who is kept out → the ban.
    Bans,
    /// SHA-256 of an invitation's code → the invitation.
    Invites,
    /// What a name looks like, folded name → the name as it was spelled; of users and of rooms.
    Looks,
    /// Folded username → what is kept of the account's session tokens.
    Tokens,
    /// Room id, folded username → the ban from that room.
    RoomBans,
    /// What belongs to no other table.
    Meta,
}

impl Table {
    /// Every table.
    pub const ALL: &[Self] = &[
        Self::Accounts,
        Self::Passwords,
        Self::Rooms,
        Self::Members,
        Self::Seniority,
        Self::Bans,
        Self::Invites,
        Self::Looks,
        Self::Tokens,
        Self::RoomBans,
        Self::Meta,
    ];

    /// A name for engines that want one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Passwords => "passwords",
            Self::Rooms => "rooms",
            Self::Members => "members",
            Self::Seniority => "seniority",
            Self::Bans => "bans",
            Self::Invites => "invites",
            Self::Looks => "looks",
            Self::Tokens => "tokens",
            Self::RoomBans => "room bans",
            Self::Meta => "meta",
        }
    }
}

/// Why the store could not do what it was asked. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Too many requests are waiting.
    #[error("the store has too much to do")]
    Busy,
    /// The engine failed: disk full, input/output error.
    #[error("the store failed: {0}")]
    Engine(Arc<str>),
    /// A record can't be read.
    #[error("the store holds a {0} record that can't be read")]
    Corrupt(&'static str),
}

/// A consistent view of the store.
pub trait ReadTransaction {
    /// A key's value.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Hands `visit` the entries from the key `from` on, in order, until it returns false.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;
}

/// A view that can be changed, atomically with all else in the same transaction.
pub trait WriteTransaction: ReadTransaction {
    /// Sets a key's value.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes a key.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError>;
}

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

/// Answers a question that changes nothing.
pub fn read(transaction: &impl ReadTransaction, request: &Read) -> StoreAnswer {
    let answer = match request {
        Read::Account { username } => {
            password(transaction, username).map(|password| StoreAnswer::Account(password.map(Secret)))
        }
        Read::Room { room, username } => room_state(transaction, room, username),
        Read::RoomBans { room, username } => moderation::bans(transaction, room, username),
        Read::Rooms => rooms(transaction),
        Read::Accounts { after, count } => lists::accounts(transaction, after.as_ref(), *count),
        Read::RoomInfos { after, count } => lists::rooms(transaction, after.as_ref(), *count),
        Read::Invite { invite } => invites::is_good(transaction, invite).map(StoreAnswer::Invite),
        Read::Invites { after, count } => invites::invites(transaction, after.as_ref(), *count),
        Read::Bans { after, count } => bans::bans(transaction, after.as_ref(), *count),
    };
    answer.unwrap_or_else(StoreAnswer::Failed)
}

/// Carries out a change. An engine that fails in between must drop the whole transaction; the answer is then
/// [`StoreAnswer::Failed`].
pub fn write(transaction: &mut impl WriteTransaction, request: &Write) -> StoreAnswer {
    let answer = match request {
        Write::Register { username, password, invite } => {
            register(transaction, username, password, invite.as_ref())
        }
        Write::OpenSession { username, password, token } => {
            open_session(transaction, username, password.as_ref(), *token)
        }
        Write::ResumeSession { username, token, now, next } => {
            tokens::resume_session(transaction, username, *token, *now, *next)
        }
        Write::RevokeTokens { username, only } => tokens::revoke(transaction, username, *only),
        Write::CreateRoom { room, owner, password, capacity, description, rooms_per_user } => {
            let new = Room {
                id: 0,
                name: room.as_str().into(),
                description: description.as_str().into(),
                capacity: capacity.get(),
                members: 0,
                next_seniority: 0,
                password: password.clone(),
                owner: owner.folded().into(),
            };
            create_room(transaction, room, new, owner, *rooms_per_user)
        }
        Write::JoinRoom { room, id, password, username, rooms_per_user } => {
            join_room(transaction, room, (*id, password.as_ref()), username, *rooms_per_user)
        }
        Write::LeaveRoom { room, username } => leave_room(transaction, room, username),
        Write::DeleteAccount { username } => delete::delete_account(transaction, username),
        Write::Moderate { room, by, action, bans_per_room } => {
            moderation::moderate(transaction, room, by, action, *bans_per_room)
        }
        Write::CreateInvite { invite, limit } => invites::create(transaction, invite, *limit),
        Write::RevokeInvite { digest } => invites::revoke(transaction, digest),
        Write::Ban { ban, limit } => bans::ban(transaction, ban, *limit),
        Write::Unban { target } => bans::unban(transaction, target),
    };
    answer.unwrap_or_else(StoreAnswer::Failed)
}

/// Where in [`Table::Meta`] the id is that the next room gets.
const NEXT_ROOM_ID: &[u8] = b"next room id";

type Answer = Result<StoreAnswer, StoreError>;

fn account(transaction: &impl ReadTransaction, username: &Username) -> Result<Option<Account>, StoreError> {
    Ok(account_ever(transaction, username)?.filter(|account| !account.deleted))
}

/// Also one that was deleted.
fn account_ever(
    transaction: &impl ReadTransaction,
    username: &Username,
) -> Result<Option<Account>, StoreError> {
    let bytes = transaction.get(Table::Accounts, username.folded().as_bytes())?;
    bytes.map(|bytes| decode(&bytes, "account")).transpose()
}

fn put_account(
    transaction: &mut impl WriteTransaction,
    username: &Username,
    account: &Account,
) -> Result<(), StoreError> {
    transaction.put(Table::Accounts, username.folded().as_bytes(), &encode(account)?)
}

fn password(transaction: &impl ReadTransaction, username: &Username) -> Result<Option<Arc<str>>, StoreError> {
    let bytes = transaction.get(Table::Passwords, username.folded().as_bytes())?;
    let text = |bytes| String::from_utf8(bytes).map(Arc::from).map_err(|_| StoreError::Corrupt("password"));
    bytes.map(text).transpose()
}

fn put_password(
    transaction: &mut impl WriteTransaction,
    username: &Username,
    password: &str,
) -> Result<(), StoreError> {
    transaction.put(Table::Passwords, username.folded().as_bytes(), password.as_bytes())
}

fn room(transaction: &impl ReadTransaction, name: &RoomName) -> Result<Option<Room>, StoreError> {
    let bytes = transaction.get(Table::Rooms, name.folded().as_bytes())?;
    bytes.map(|bytes| decode(&bytes, "room")).transpose()
}

fn put_room(transaction: &mut impl WriteTransaction, name: &RoomName, room: &Room) -> Result<(), StoreError> {
    transaction.put(Table::Rooms, name.folded().as_bytes(), &encode(room)?)
}

fn room_state(transaction: &impl ReadTransaction, name: &RoomName, username: &Username) -> Answer {
    let Some(room) = room(transaction, name)? else { return Ok(StoreAnswer::Room(None)) };
    Ok(StoreAnswer::Room(Some(RoomState {
        id: room.id,
        full: room.members >= room.capacity,
        banned: moderation::ban_of(transaction, room.id, username)?,
        password: room.password.map(Secret),
    })))
}

fn rooms(transaction: &impl ReadTransaction) -> Answer {
    let mut list = List::new();
    let mut corrupt = None;
    transaction.scan(Table::Rooms, &[], &mut |_, value| match decode::<Room>(value, "room")
        .and_then(|room| room.to_record())
    {
        Ok(record) => list.push(record).is_ok(),
        Err(error) => {
            corrupt = Some(error);
            false
        }
    })?;
    corrupt.map_or(Ok(StoreAnswer::Rooms(list)), Err)
}

fn register(
    transaction: &mut impl WriteTransaction,
    username: &Username,
    password: &Arc<str>,
    invite: Option<&InviteUse>,
) -> Answer {
    if account_ever(transaction, username)?.is_some() {
        return Ok(StoreAnswer::NameTaken);
    }
    let look = looks::Name::from(username);
    if let Some(other) = look.double(transaction)? {
        return Ok(StoreAnswer::LooksLike(other));
    }
    if let Some(invite) = invite
        && !invites::take(transaction, invite)?
    {
        return Ok(StoreAnswer::NoSuchInvite);
    }
    look.enter(transaction)?;
    put_account(transaction, username, &Account::new(username))?;
    put_password(transaction, username, password)?;
    Ok(StoreAnswer::Registered)
}

fn open_session(
    transaction: &mut impl WriteTransaction,
    username: &Username,
    password: Option<&Arc<str>>,
    token: TokenChange,
) -> Answer {
    let Some(account) = account(transaction, username)? else {
        return Ok(StoreAnswer::Session(None));
    };
    let (registered, rooms) = (account.username()?, account.room_names()?);
    if let Some(password) = password {
        put_password(transaction, username, password)?;
    }
    tokens::change(transaction, username, token)?;
    let current = tokens::current(transaction, username)?;
    Ok(StoreAnswer::Session(Some((registered, rooms, current))))
}

fn create_room(
    transaction: &mut impl WriteTransaction,
    name: &RoomName,
    mut new: Room,
    owner: &Username,
    rooms_per_user: usize,
) -> Answer {
    if room(transaction, name)?.is_some() {
        return Ok(StoreAnswer::NameTaken);
    }
    let look = looks::Name::from(name);
    if let Some(other) = look.double(transaction)? {
        return Ok(StoreAnswer::LooksLike(other));
    }
    new.id = next_room_id(transaction)?;
    let next = new.id.checked_add(1).ok_or(StoreError::Corrupt("room id"))?;
    let admitted = admit(transaction, name, new, owner, rooms_per_user)?;
    if let StoreAnswer::Joined { .. } = admitted {
        transaction.put(Table::Meta, NEXT_ROOM_ID, &encode(&next)?)?;
        look.enter(transaction)?;
    }
    Ok(admitted)
}

fn next_room_id(transaction: &impl ReadTransaction) -> Result<u64, StoreError> {
    let stored = transaction.get(Table::Meta, NEXT_ROOM_ID)?;
    stored.map_or(Ok(1), |bytes| decode(&bytes, "room id"))
}

fn join_room(
    transaction: &mut impl WriteTransaction,
    name: &RoomName,
    (id, password): (u64, Option<&Arc<str>>),
    username: &Username,
    rooms_per_user: usize,
) -> Answer {
    let Some(room) = room(transaction, name)?.filter(|room| room.id == id) else {
        return Ok(StoreAnswer::NoSuchRoom);
    };
    if transaction.get(Table::Members, &member_key(id, username.folded()))?.is_some() {
        return Ok(StoreAnswer::Joined { room: room.room_name()? });
    }
    if let Some(reason) = moderation::ban_of(transaction, id, username)? {
        return Ok(StoreAnswer::BannedFromRoom { reason });
    }
    if room.members >= room.capacity {
        return Ok(StoreAnswer::Full);
    }
    if room.password.is_some() && room.password.as_ref() != password {
        return Ok(StoreAnswer::PasswordChanged);
    }
    admit(transaction, name, room, username, rooms_per_user)
}

/// Makes `username` the room's newest member.
fn admit(
    transaction: &mut impl WriteTransaction,
    name: &RoomName,
    mut room: Room,
    username: &Username,
    rooms_per_user: usize,
) -> Answer {
    let Some(mut account) = account(transaction, username)? else {
        return Ok(StoreAnswer::NoSuchAccount);
    };
    if account.rooms.len() >= rooms_per_user {
        return Ok(StoreAnswer::TooManyRooms);
    }
    account.rooms.push(room.name.clone());
    put_account(transaction, username, &account)?;
    put_member(transaction, name, &mut room, username)?;
    Ok(StoreAnswer::Joined { room: room.room_name()? })
}

/// As the room knows it; the account's record is another matter.
fn put_member(
    transaction: &mut impl WriteTransaction,
    name: &RoomName,
    room: &mut Room,
    username: &Username,
) -> Result<(), StoreError> {
    let member = Member { seniority: room.next_seniority };
    transaction.put(Table::Members, &member_key(room.id, username.folded()), &encode(&member)?)?;
    transaction.put(Table::Seniority, &member.key(room.id), username.folded().as_bytes())?;
    room.next_seniority = room.next_seniority.checked_add(1).ok_or(StoreError::Corrupt("room"))?;
    room.members = room.members.checked_add(1).ok_or(StoreError::Corrupt("room"))?;
    put_room(transaction, name, room)
}

fn leave_room(transaction: &mut impl WriteTransaction, name: &RoomName, username: &Username) -> Answer {
    let Some(mut room) = room(transaction, name)? else {
        return Ok(StoreAnswer::NotAMember);
    };
    if !dismiss(transaction, &mut room, username)? {
        return Ok(StoreAnswer::NotAMember);
    }
    let mut heir = None;
    if room.members == 0 {
        moderation::forget_bans(transaction, room.id)?;
        transaction.delete(Table::Rooms, name.folded().as_bytes())?;
        looks::Name::from(&room.room_name()?).leave(transaction)?;
    } else {
        if *room.owner == *username.folded()
            && let Some(folded) = longest_standing(transaction, room.id)?
        {
            heir = Some(registered(transaction, &folded)?);
            room.owner = folded;
        }
        put_room(transaction, name, &room)?;
    }
    Ok(StoreAnswer::Left { room: room.room_name()?, heir })
}

/// Ends a membership; the caller puts the room. False if there was none.
fn dismiss(
    transaction: &mut impl WriteTransaction,
    room: &mut Room,
    username: &Username,
) -> Result<bool, StoreError> {
    let key = member_key(room.id, username.folded());
    let Some(bytes) = transaction.get(Table::Members, &key)? else { return Ok(false) };
    let member: Member = decode(&bytes, "member")?;
    transaction.delete(Table::Members, &key)?;
    transaction.delete(Table::Seniority, &member.key(room.id))?;
    if let Some(mut account) = account(transaction, username)? {
        account.rooms.retain(|other| *other != room.name);
        put_account(transaction, username, &account)?;
    }
    room.members = room.members.saturating_sub(1);
    Ok(true)
}

/// A folded username as it was spelled at registration.
fn registered(transaction: &impl ReadTransaction, folded: &str) -> Result<Username, StoreError> {
    let bytes = transaction.get(Table::Accounts, folded.as_bytes())?.ok_or(StoreError::Corrupt("account"))?;
    decode::<Account>(&bytes, "account")?.username()
}

fn longest_standing(transaction: &impl ReadTransaction, id: u64) -> Result<Option<Box<str>>, StoreError> {
    let first = Member { seniority: 0 }.key(id);
    let mut heir = None;
    transaction.scan(Table::Seniority, &first, &mut |key, username| {
        if key.starts_with(&id.to_be_bytes()) {
            heir = Some(String::from_utf8(username.to_vec()));
        }
        false
    })?;
    heir.transpose().map(|heir| heir.map(Into::into)).map_err(|_| StoreError::Corrupt("seniority"))
}
