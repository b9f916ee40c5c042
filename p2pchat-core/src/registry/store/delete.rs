//! Accounts that end.

use p2pchat_proto::Username;

use super::{Answer, StoreAnswer, Table, WriteTransaction, account, leave_room, put_account, tokens};
use crate::registry::record::Account;

/// The record stays, without a password: nobody else is to be taken for who had the name.
pub(super) fn delete_account(transaction: &mut impl WriteTransaction, username: &Username) -> Answer {
    let Some(account) = account(transaction, username)? else {
        return Ok(StoreAnswer::NoSuchAccount);
    };
    let registered = account.username()?;
    let mut rooms = Vec::new();
    for room in account.room_names()? {
        let heir = match leave_room(transaction, &room, username)? {
            StoreAnswer::Left { heir, .. } => heir,
            _ => None,
        };
        rooms.push((room, heir));
    }
    tokens::forget(transaction, username)?;
    transaction.delete(Table::Passwords, username.folded().as_bytes())?;
    put_account(transaction, username, &Account::deleted(account.name))?;
    Ok(StoreAnswer::Deleted { username: registered, rooms })
}
