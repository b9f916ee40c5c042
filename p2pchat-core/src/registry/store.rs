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
mod requests;
mod tokens;

use std::sync::Arc;

use p2pchat_proto::{List, RoomName, Username};

pub use self::{
    check::{MAX_PROBLEMS, Report, check},
    export::{Entry, Misfit, export, import},
    format::{FORMAT, upgrade},
    invites::InviteUse,
    lists::{AccountInfo, RoomInfo},
    looks::{is_prepared, prepare},
    moderation::RoomAction,
    requests::{Read, RoomState, Secret, StoreAnswer, StoreRequest, Write},
    tokens::{StoredToken, TokenChange, TokenDigest},
};
pub use super::memory::MemoryStore;
use super::{
    bans::Ban,
    invites::Invite,
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
