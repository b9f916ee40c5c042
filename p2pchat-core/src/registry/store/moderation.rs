//! What a room's owner does, as the store carries it out (§7.7).

use std::{fmt, sync::Arc};

use p2pchat_proto::{Capacity, Description, List, Reason, RoomName, Username};

use super::{
    Answer, ReadTransaction, StoreAnswer, StoreError, Table, WriteTransaction, account, decode, dismiss,
    encode, member_key, put_room, registered, room,
};
use crate::registry::record::{Room, RoomBan};

/// What a room's owner wants. Who that is is found out in the same transaction.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomAction {
    /// End a membership. Refused: [`StoreAnswer::NoSuchMember`].
    Kick {
        /// Whose; never the owner's.
        username: Username,
        /// Why.
        reason: Option<Reason>,
    },
    /// Keep an account out, and end its membership. Refused: [`StoreAnswer::NoSuchAccount`], [`StoreAnswer::TooManyBans`].
    Ban {
        /// Whose; never the owner's.
        username: Username,
        /// Why.
        reason: Option<Reason>,
    },
    /// Let an account in again. Refused: [`StoreAnswer::NotBanned`].
    Unban {
        /// Which.
        username: Username,
    },
    /// Have this password, as a slow hash, or none.
    SetPassword(Option<Arc<str>>),
    /// Take so many members. Refused: [`StoreAnswer::TooFewPlaces`].
    SetCapacity(Capacity),
    /// Be about this.
    SetDescription(Description),
    /// Belong to this member. Refused: [`StoreAnswer::NoSuchMember`].
    SetOwner(Username),
}

impl fmt::Debug for RoomAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kick { username, .. } => write!(f, "Kick({username})"),
            Self::Ban { username, .. } => write!(f, "Ban({username})"),
            Self::Unban { username } => write!(f, "Unban({username})"),
            Self::SetPassword(Some(_)) => f.write_str("SetPassword(…)"),
            Self::SetPassword(None) => f.write_str("SetPassword(none)"),
            Self::SetCapacity(capacity) => write!(f, "SetCapacity({capacity})"),
            Self::SetDescription(description) => write!(f, "SetDescription({description:?})"),
            Self::SetOwner(username) => write!(f, "SetOwner({username})"),
        }
    }
}

pub(super) fn moderate(
    transaction: &mut impl WriteTransaction,
    name: &RoomName,
    by: &Username,
    action: &RoomAction,
    bans_per_room: usize,
) -> Answer {
    let mut room = match owned(transaction, name, by)? {
        Ok(room) => room,
        Err(refusal) => return Ok(refusal),
    };
    let (mut user, mut removed) = (None, false);
    match action {
        RoomAction::Kick { username, .. } if username != by => {
            removed = dismiss(transaction, &mut room, username)?;
            if !removed {
                return Ok(StoreAnswer::NoSuchMember);
            }
            user = Some(registered(transaction, username.folded())?);
        }
        RoomAction::Ban { username, reason } if username != by => {
            let Some(account) = account(transaction, username)? else {
                return Ok(StoreAnswer::NoSuchAccount);
            };
            let key = member_key(room.id, username.folded());
            if transaction.get(Table::RoomBans, &key)?.is_none()
                && keys_of_bans(transaction, room.id)?.len() >= bans_per_room
            {
                return Ok(StoreAnswer::TooManyBans);
            }
            let reason = reason.as_ref().map(Reason::as_str).unwrap_or_default().into();
            user = Some(account.username()?);
            transaction.put(Table::RoomBans, &key, &encode(&RoomBan { name: account.name, reason })?)?;
            removed = dismiss(transaction, &mut room, username)?;
        }
        // Of oneself, which the machine refuses.
        RoomAction::Kick { .. } | RoomAction::Ban { .. } => return Ok(StoreAnswer::NoSuchMember),
        RoomAction::Unban { username } => {
            let key = member_key(room.id, username.folded());
            if transaction.get(Table::RoomBans, &key)?.is_none() {
                return Ok(StoreAnswer::NotBanned);
            }
            transaction.delete(Table::RoomBans, &key)?;
        }
        RoomAction::SetPassword(password) => room.password.clone_from(password),
        RoomAction::SetCapacity(capacity) if capacity.get() < room.members => {
            return Ok(StoreAnswer::TooFewPlaces { members: room.members });
        }
        RoomAction::SetCapacity(capacity) => room.capacity = capacity.get(),
        RoomAction::SetDescription(description) => room.description = description.as_str().into(),
        RoomAction::SetOwner(username) => {
            if transaction.get(Table::Members, &member_key(room.id, username.folded()))?.is_none() {
                return Ok(StoreAnswer::NoSuchMember);
            }
            user = Some(registered(transaction, username.folded())?);
            room.owner = username.folded().into();
        }
    }
    put_room(transaction, name, &room)?;
    Ok(StoreAnswer::Moderated { room: room.room_name()?, user, removed })
}

/// Who is banned from the room, as its owner is told.
pub(super) fn bans(transaction: &impl ReadTransaction, name: &RoomName, by: &Username) -> Answer {
    let id = match owned(transaction, name, by)? {
        Ok(room) => room.id,
        Err(refusal) => return Ok(refusal),
    };
    let (mut list, mut failed) = (List::new(), None);
    of_room(transaction, id, &mut |_, value| {
        let record = decode::<RoomBan>(value, "room ban").and_then(|ban| ban.to_record());
        match record {
            Ok(record) => return list.push(record).is_ok(),
            Err(error) => failed = Some(error),
        }
        false
    })?;
    failed.map_or(Ok(StoreAnswer::RoomBans(list)), Err)
}

/// Why the user is banned from the room, if they are.
pub(super) fn ban_of(
    transaction: &impl ReadTransaction,
    id: u64,
    username: &Username,
) -> Result<Option<Reason>, StoreError> {
    let bytes = transaction.get(Table::RoomBans, &member_key(id, username.folded()))?;
    let ban = bytes.map(|bytes| decode::<RoomBan>(&bytes, "room ban")?.to_record()).transpose()?;
    Ok(ban.map(|ban| ban.reason))
}

/// The room is gone, and its bans with it.
pub(super) fn forget_bans(transaction: &mut impl WriteTransaction, id: u64) -> Result<(), StoreError> {
    for key in keys_of_bans(transaction, id)? {
        transaction.delete(Table::RoomBans, &key)?;
    }
    Ok(())
}

/// The room if `by` owns it, else what `by` is told.
fn owned(
    transaction: &impl ReadTransaction,
    name: &RoomName,
    by: &Username,
) -> Result<Result<Room, StoreAnswer>, StoreError> {
    let Some(room) = room(transaction, name)? else { return Ok(Err(StoreAnswer::NotAMember)) };
    Ok(if transaction.get(Table::Members, &member_key(room.id, by.folded()))?.is_none() {
        Err(StoreAnswer::NotAMember)
    } else if *room.owner != *by.folded() {
        Err(StoreAnswer::NotOwner { owner: registered(transaction, &room.owner)? })
    } else {
        Ok(room)
    })
}

fn keys_of_bans(transaction: &impl ReadTransaction, id: u64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut keys = Vec::new();
    of_room(transaction, id, &mut |key, _| {
        keys.push(key.to_vec());
        true
    })?;
    Ok(keys)
}

/// Hands `visit` the bans from one room, by folded name, until it returns false.
fn of_room(
    transaction: &impl ReadTransaction,
    id: u64,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StoreError> {
    let first = id.to_be_bytes();
    transaction.scan(Table::RoomBans, &first, &mut |key, value| key.starts_with(&first) && visit(key, value))
}
