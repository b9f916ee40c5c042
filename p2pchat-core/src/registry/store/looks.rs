//! Which names there are by what they look like, so that nobody is called what somebody else could be taken for
//! (PROTOCOL.md §3.2).

use caseless::default_case_fold_str;
use p2pchat_proto::{RoomName, Username};
use unicode_normalization::UnicodeNormalization;
use unicode_security::UNICODE_VERSION;

use super::{Account, ReadTransaction, Room, StoreError, Table, WriteTransaction, decode, encode};

/// A name that is to look like no other of its kind.
#[derive(Debug, Clone)]
pub(super) struct Name<'a> {
    /// As it was spelled, and as it is shown.
    spelled: &'a str,
    /// As it is compared, which is how others may write it.
    folded: &'a str,
    /// The beginnings of its keys. Its two forms may look like different things: `paypaI` is `paypal` as it is shown, and
    /// `paypai` to who types it.
    prefixes: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Kind {
    User = b'u',
    Room = b'r',
}

impl<'a> From<&'a Username> for Name<'a> {
    fn from(name: &'a Username) -> Self {
        Self::new(Kind::User, name.as_str(), name.folded())
    }
}

impl<'a> From<&'a RoomName> for Name<'a> {
    fn from(name: &'a RoomName) -> Self {
        Self::new(Kind::Room, name.as_str(), name.folded())
    }
}

/// What stands for all that looks alike: the skeleton of UTS 39, of compatibility characters too, whichever letters are
/// capitals.
fn look(text: &str) -> String {
    let plain: String = text.nfkd().collect();
    let skeleton: String = unicode_security::skeleton(&plain).collect();
    default_case_fold_str(&skeleton).nfd().collect()
}

impl<'a> Name<'a> {
    fn new(kind: Kind, spelled: &'a str, folded: &'a str) -> Self {
        let prefix = |form| [&[kind as u8][..], look(form).as_bytes(), &[0]].concat();
        let mut prefixes = vec![prefix(spelled)];
        if folded != spelled {
            prefixes.push(prefix(folded));
            prefixes.dedup();
        }
        Self { spelled, folded, prefixes }
    }

    /// Its keys; no name holds the NUL that parts a look from whose it is.
    fn keys(&self) -> impl Iterator<Item = Vec<u8>> {
        self.prefixes.iter().map(|prefix| [&prefix[..], self.folded.as_bytes()].concat())
    }

    /// Who or what is called something that looks like it, as that is spelled.
    pub(super) fn double(&self, transaction: &impl ReadTransaction) -> Result<Option<Box<str>>, StoreError> {
        for prefix in &self.prefixes {
            let mut found = None;
            transaction.scan(Table::Looks, prefix, &mut |key, spelled| {
                if key.starts_with(prefix) {
                    found = Some(String::from_utf8_lossy(spelled).into());
                }
                false
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// True if nothing may look like it.
    pub(super) fn is_entered(&self, transaction: &impl ReadTransaction) -> Result<bool, StoreError> {
        for key in self.keys() {
            if transaction.get(Table::Looks, &key)?.as_deref() != Some(self.spelled.as_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// From now on nothing may look like it.
    pub(super) fn enter(&self, transaction: &mut impl WriteTransaction) -> Result<(), StoreError> {
        self.keys().try_for_each(|key| transaction.put(Table::Looks, &key, self.spelled.as_bytes()))
    }

    /// It is free again.
    pub(super) fn leave(&self, transaction: &mut impl WriteTransaction) -> Result<(), StoreError> {
        self.keys().try_for_each(|key| transaction.delete(Table::Looks, &key))
    }
}

/// Where in [`Table::Accounts`] or [`Table::Rooms`] that is whose look is kept under this key.
pub(super) fn whose(key: &[u8]) -> Option<(Table, &[u8])> {
    let (&kind, rest) = key.split_first()?;
    let table = match kind {
        b'u' => Table::Accounts,
        b'r' => Table::Rooms,
        _ => return None,
    };
    let end_of_look = rest.iter().position(|&byte| byte == 0)?;
    Some((table, rest.get(end_of_look + 1..)?))
}

/// By which rules the looks were made that the store has.
const RULES: &[u8] = b"looks";

fn rules() -> Result<Vec<u8>, StoreError> {
    const OURS: u8 = 1;
    encode(&(OURS, UNICODE_VERSION))
}

/// True if the store's [`Table::Looks`] has every name, by the rules of this version. Else [`prepare`] is wanted before
/// anything else.
pub fn is_prepared(transaction: &impl ReadTransaction) -> Result<bool, StoreError> {
    Ok(transaction.get(Table::Meta, RULES)?.as_deref() == Some(&rules()?))
}

/// Makes [`Table::Looks`] anew: for a store from before there was one, or from when fewer characters were known to look
/// alike. Names that do so already stay as they are.
pub fn prepare(transaction: &mut impl WriteTransaction) -> Result<(), StoreError> {
    each(transaction, Table::Looks, |transaction, key, _| transaction.delete(Table::Looks, key))?;
    each(transaction, Table::Accounts, |transaction, key, value| {
        let spelled = decode::<Account>(value, "account").map(|account| account.name);
        enter(transaction, Kind::User, key, spelled.ok())
    })?;
    each(transaction, Table::Rooms, |transaction, key, value| {
        let spelled = decode::<Room>(value, "room").map(|room| room.name);
        enter(transaction, Kind::Room, key, spelled.ok())
    })?;
    transaction.put(Table::Meta, RULES, &rules()?)
}

/// A record that can't be read is no reason to let somebody else look like its owner.
fn enter(
    transaction: &mut impl WriteTransaction,
    kind: Kind,
    key: &[u8],
    spelled: Option<Box<str>>,
) -> Result<(), StoreError> {
    let folded = String::from_utf8_lossy(key);
    let spelled = spelled.as_deref().unwrap_or(&folded);
    Name::new(kind, spelled, &folded).enter(transaction)
}

/// Has `change` see each entry of a table. However many there are, few are in memory at once.
pub(super) fn each<T: WriteTransaction>(
    transaction: &mut T,
    table: Table,
    change: impl Fn(&mut T, &[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    const AT_ONCE: usize = 1_024;
    let mut from = Vec::new();
    loop {
        let mut entries = Vec::new();
        transaction.scan(table, &from, &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            entries.len() < AT_ONCE
        })?;
        let Some((last, _)) = entries.last() else { return Ok(()) };
        // The smallest key after that one.
        from = [last, &[0][..]].concat();
        for (key, value) in &entries {
            change(transaction, key, value)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(one: &str, other: &str) -> bool {
        let (one, other) = (Username::new(one).unwrap(), Username::new(other).unwrap());
        let others = Name::from(&other).prefixes;
        Name::from(&one).prefixes.iter().any(|prefix| others.contains(prefix))
    }

    #[test]
    fn names_look_alike_by_uts_39_as_they_are_shown_or_typed() {
        for (one, other) in [
            ("alice", "аlice"),      // Cyrillic а
            ("alice", "аlісе"),      // most of it
            ("BOB", "ВОВ"),          // Cyrillic capitals, whose small letters look like nothing else
            ("paypal", "paypaI"),    // a capital i
            ("paypal", "paypa1"),    // a one
            ("modern", "modem"),     // r and n
            ("bobo", "b0bo"),        // a nought, as in BOBO
            ("alice", "ａｌｉｃｅ"), // fullwidth
            ("omega", "οmegа"),      // Greek and Cyrillic
            ("ILIA", "lLlA"),
        ] {
            assert!(alike(one, other) && alike(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("alice", "alicia"),
            ("ali", "aii"),
            ("user10", "user11"),
            ("user2", "userz"),
            ("é", "e"),
            ("müller", "muller"),
            ("عمر", "عمرو"),
            ("борис", "борисе"),
            ("a-b", "a_b"),
        ] {
            assert!(!alike(one, other), "{one} {other}");
        }
    }

    #[test]
    fn looks_that_were_made_by_other_rules_are_to_be_made_anew() {
        use crate::registry::store::MemoryStore;
        let mut store = MemoryStore::new();
        assert!(!is_prepared(&store).unwrap());
        prepare(&mut store).unwrap();
        assert!(is_prepared(&store).unwrap());
        let older_characters = encode(&(1_u8, (1_u64, 0_u64, 0_u64))).unwrap();
        for other_rules in [&older_characters[..], b"", b"\0", b"\x01"] {
            store.put(Table::Meta, RULES, other_rules).unwrap();
            assert!(!is_prepared(&store).unwrap(), "{other_rules:?}");
        }
    }

    #[test]
    fn a_user_and_a_room_may_look_alike() {
        let (user, room) = (Username::new("den").unwrap(), RoomName::new("den").unwrap());
        assert_ne!(Name::from(&user).prefixes, Name::from(&room).prefixes);
    }
}
