//! Everything there is, a page at a time: for who keeps the registry.

use p2pchat_proto::{Description, RoomName, Username};

use super::{Answer, ReadTransaction, Room, StoreAnswer, StoreError, Table, decode};
use crate::registry::record::{Account, STORED};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountInfo {
    /// As it was spelled at registration.
    pub username: Username,
    /// The rooms that it is a member of, in the order of joining.
    pub rooms: Vec<RoomName>,
    /// True if nothing is left of it but the name, which stays taken.
    pub deleted: bool,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// As its creator spelled it.
    pub name: RoomName,
    /// What it is about.
    pub description: Description,
    /// The owner's folded username.
    pub owner: Box<str>,
    /// How many members it has.
    pub members: u32,
    /// How many it takes.
    pub capacity: u32,
    /// True if it takes a password to join.
    pub has_password: bool,
}

impl TryFrom<Account> for AccountInfo {
    type Error = StoreError;

    fn try_from(account: Account) -> Result<Self, StoreError> {
        Ok(Self { username: account.username()?, rooms: account.room_names()?, deleted: account.deleted })
    }
}

impl TryFrom<Room> for RoomInfo {
    type Error = StoreError;

    fn try_from(room: Room) -> Result<Self, StoreError> {
        let description = Description::with_limits(&room.description, &STORED);
        Ok(Self {
            name: room.room_name()?,
            description: description.map_err(|_| StoreError::Corrupt("room"))?,
            members: room.members,
            capacity: room.capacity,
            has_password: room.password.is_some(),
            owner: room.owner,
        })
    }
}

pub(super) fn accounts(transaction: &impl ReadTransaction, after: Option<&Username>, count: usize) -> Answer {
    let read = |_: &[u8], value: &[u8]| decode::<Account>(value, "account")?.try_into();
    page(transaction, Table::Accounts, after.map(Username::folded), count, read).map(StoreAnswer::Accounts)
}

pub(super) fn rooms(transaction: &impl ReadTransaction, after: Option<&RoomName>, count: usize) -> Answer {
    let read = |_: &[u8], value: &[u8]| decode::<Room>(value, "room")?.try_into();
    page(transaction, Table::Rooms, after.map(RoomName::folded), count, read).map(StoreAnswer::RoomInfos)
}

/// At most `count` records whose keys come after `after`.
pub(super) fn page<T>(
    transaction: &impl ReadTransaction,
    table: Table,
    after: Option<impl AsRef<[u8]>>,
    count: usize,
    read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    // The smallest key after that one.
    let from = after.map(|after| [after.as_ref(), &[0]].concat()).unwrap_or_default();
    let (mut records, mut failed) = (Vec::new(), None);
    if count > 0 {
        transaction.scan(table, &from, &mut |key, value| {
            match read(key, value) {
                Ok(record) => records.push(record),
                Err(error) => failed = Some(error),
            }
            failed.is_none() && records.len() < count
        })?;
    }
    failed.map_or(Ok(records), Err)
}
