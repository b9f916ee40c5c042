//! Formats of what a store keeps, and the way from each to the next.
//!
//! A format has a new number whenever an older program would misread what is there, or would write without keeping up what a
//! newer one relies on. A new table that may be empty needs none by itself.

use std::sync::Arc;

use serde::Deserialize;

use super::{Account, StoreError, Table, WriteTransaction, decode, encode, looks::each, shared};

/// The format that this version keeps.
pub const FORMAT: u64 = 2;

/// Makes what a store keeps in format `from` into [`FORMAT`], one format after the other. The caller runs it in one
/// transaction and has the new number kept in the same one, so that an upgrade that is cut short has never been.
///
/// # Errors
/// The engine's; [`StoreError::Corrupt`] for a record that can't be read; [`StoreError::Engine`] for a format that isn't known
/// here. The transaction is then to be dropped.
pub fn upgrade(transaction: &mut impl WriteTransaction, from: u64) -> Result<(), StoreError> {
    if !(1..=FORMAT).contains(&from) {
        return Err(StoreError::Engine(format!("there is no way from format {from} to {FORMAT}").into()));
    }
    // A format more is a step more.
    const { assert!(FORMAT == 2) };
    if from < 2 {
        to_2(transaction)?;
    }
    Ok(())
}

/// An account's record in format 1.
#[derive(Debug, Deserialize)]
struct Account1 {
    name: Box<str>,
    /// Nothing once the account is deleted.
    #[serde(with = "shared")]
    password: Arc<str>,
    rooms: Vec<Box<str>>,
}

/// Password hashes have a table of their own: what is listed, and written anew with every room that is joined, holds no secret.
fn to_2(transaction: &mut impl WriteTransaction) -> Result<(), StoreError> {
    each(transaction, Table::Accounts, |transaction, key, value| {
        let Account1 { name, password, rooms } = decode(value, "account")?;
        let deleted = password.is_empty();
        if !deleted {
            transaction.put(Table::Passwords, key, password.as_bytes())?;
        }
        transaction.put(Table::Accounts, key, &encode(&Account { name, deleted, rooms })?)
    })
}

#[cfg(test)]
mod tests {
    use p2pchat_proto::Username;

    use super::*;
    use crate::registry::store::{MemoryStore, Read, StoreAnswer, StoreRequest, Write};

    fn store_of_format_1(accounts: usize) -> MemoryStore {
        let mut store = MemoryStore::new();
        for n in 0..accounts {
            let (name, hash) = (format!("User{n}"), format!("hash {n}"));
            let record = encode(&(name.as_str(), hash.as_str(), vec![format!("room{n}")])).unwrap();
            store.put(Table::Accounts, name.to_lowercase().as_bytes(), &record).unwrap();
        }
        store
    }

    #[test]
    fn format_1_becomes_format_2_however_much_it_is() {
        // More than are in memory at once.
        let mut store = store_of_format_1(2_500);
        upgrade(&mut store, 1).unwrap();
        for n in [0, 1_023, 1_024, 2_499] {
            let username = Username::new(&format!("user{n}")).unwrap();
            match store.answer(&StoreRequest::Read(Read::Account { username })) {
                StoreAnswer::Account(Some(hash)) => assert_eq!(*hash.0, *format!("hash {n}")),
                other => panic!("{other:?}"),
            }
        }
        match store.answer(&StoreRequest::Read(Read::Accounts { after: None, count: usize::MAX })) {
            StoreAnswer::Accounts(accounts) => {
                assert_eq!(accounts.len(), 2_500);
                assert!(accounts.iter().all(|account| account.username.as_str().starts_with("User")));
                assert!(accounts.iter().all(|account| account.rooms.len() == 1));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_was_deleted_stays_so() {
        let mut store = MemoryStore::new();
        let deleted = encode(&("User1", "", Vec::<&str>::new())).unwrap();
        store.put(Table::Accounts, b"user1", &deleted).unwrap();
        upgrade(&mut store, 1).unwrap();
        let username = Username::new("user1").unwrap();
        let answer = store.answer(&StoreRequest::Read(Read::Account { username: username.clone() }));
        assert!(matches!(answer, StoreAnswer::Account(None)), "{answer:?}");
        let register = Write::Register { username, password: "a hash".into(), invite: None };
        let answer = store.answer(&StoreRequest::Write(register));
        assert!(matches!(answer, StoreAnswer::NameTaken), "{answer:?}");
    }

    #[test]
    fn a_record_that_can_not_be_read_and_an_unknown_format_are_errors() {
        let mut store = store_of_format_1(3);
        store.put(Table::Accounts, b"user1", b"\xff").unwrap();
        assert_eq!(upgrade(&mut store, 1), Err(StoreError::Corrupt("account")));
        let mut current = store_of_format_1(3);
        upgrade(&mut current, 1).unwrap();
        let before = current.clone();
        assert_eq!(upgrade(&mut current, FORMAT), Ok(()));
        assert_eq!(current, before, "what is in this format stays as it is");
        for unknown in [0, FORMAT + 1, u64::MAX] {
            let refused = upgrade(&mut MemoryStore::new(), unknown);
            assert!(matches!(refused, Err(StoreError::Engine(_))), "{refused:?}");
        }
    }
}
