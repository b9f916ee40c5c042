//! Session tokens, as the store keeps them (§7.5).

use std::fmt;

use p2pchat_proto::{SessionToken, Username};
use serde::{Deserialize, Serialize};

use super::{
    Answer, ReadTransaction, StoreAnswer, StoreError, Table, WriteTransaction, account, decode, encode,
};

/// What is kept of a token: its SHA-256. Comparing takes the same time wherever the difference is.
#[derive(Clone, Copy, Eq, Serialize, Deserialize)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// What is kept of this one.
    pub fn of(token: &SessionToken) -> Self {
        Self(token.sha256())
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// A token that is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredToken {
    /// Which.
    pub digest: TokenDigest,
    /// When it is good no longer, in seconds since 1970.
    pub expires: u64,
}

impl StoredToken {
    fn is(self, digest: TokenDigest, now: u64) -> bool {
        (self.digest == digest) & (now < self.expires)
    }
}

/// What becomes of an account's tokens when somebody logs in with the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenChange {
    /// They stay as they are.
    Keep,
    /// This one is the only one that is good.
    Give(StoredToken),
    /// None is good any more.
    Revoke,
}

/// An account's tokens.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The one that was given out last.
    current: StoredToken,
    /// The one that was used for it: good until that one is used, as the answer may have been lost.
    previous: Option<StoredToken>,
}

/// What can't be read is good for nobody; the next login puts another in its place.
fn tokens(transaction: &impl ReadTransaction, username: &Username) -> Result<Option<Record>, StoreError> {
    let bytes = transaction.get(Table::Tokens, username.folded().as_bytes())?;
    Ok(bytes.and_then(|bytes| decode(&bytes, "token").ok()))
}

/// The token that was given out last.
pub(super) fn current(
    transaction: &impl ReadTransaction,
    username: &Username,
) -> Result<Option<TokenDigest>, StoreError> {
    Ok(tokens(transaction, username)?.map(|record| record.current.digest))
}

/// Whether an account's record can be read.
pub(super) fn is_sound(value: &[u8]) -> bool {
    decode::<Record>(value, "token").is_ok()
}

fn put(
    transaction: &mut impl WriteTransaction,
    username: &Username,
    record: &Record,
) -> Result<(), StoreError> {
    transaction.put(Table::Tokens, username.folded().as_bytes(), &encode(record)?)
}

pub(super) fn change(
    transaction: &mut impl WriteTransaction,
    username: &Username,
    change: TokenChange,
) -> Result<(), StoreError> {
    match change {
        TokenChange::Keep => Ok(()),
        TokenChange::Give(current) => put(transaction, username, &Record { current, previous: None }),
        TokenChange::Revoke => forget(transaction, username),
    }
}

/// Makes no token of the account good any more.
pub(super) fn forget(transaction: &mut impl WriteTransaction, username: &Username) -> Result<(), StoreError> {
    let key = username.folded().as_bytes();
    match transaction.get(Table::Tokens, key)? {
        Some(_) => transaction.delete(Table::Tokens, key),
        None => Ok(()),
    }
}

pub(super) fn revoke(
    transaction: &mut impl WriteTransaction,
    username: &Username,
    only: Option<TokenDigest>,
) -> Answer {
    let concerned = match only {
        None => true,
        Some(only) => tokens(transaction, username)?.is_some_and(|record| record.current.digest == only),
    };
    if concerned {
        forget(transaction, username)?;
    }
    Ok(StoreAnswer::TokenRevoked)
}

pub(super) fn resume_session(
    transaction: &mut impl WriteTransaction,
    username: &Username,
    digest: TokenDigest,
    now: u64,
    next: Option<StoredToken>,
) -> Answer {
    let Some(Record { current, previous }) = tokens(transaction, username)? else {
        return Ok(StoreAnswer::WrongToken);
    };
    let (is_current, is_previous) =
        (current.is(digest, now), previous.is_some_and(|token| token.is(digest, now)));
    let used = match (is_current, previous) {
        (true, _) => current,
        (false, Some(previous)) if is_previous => previous,
        (false, _) => return Ok(StoreAnswer::WrongToken),
    };
    let Some(account) = account(transaction, username)? else {
        return Ok(StoreAnswer::WrongToken);
    };
    let (registered, rooms) = (account.username()?, account.room_names()?);
    if let Some(next) = next {
        put(transaction, username, &Record { current: next, previous: Some(used) })?;
    }
    let current = next.unwrap_or(current).digest;
    Ok(StoreAnswer::Session(Some((registered, rooms, Some(current)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_same_only_if_each_byte_is_and_are_not_shown() {
        let digest = |bytes: &[(usize, u8)]| {
            let mut digest = [7; 32];
            bytes.iter().for_each(|&(at, byte)| digest[at] = byte);
            TokenDigest(digest)
        };
        assert_eq!(digest(&[]), digest(&[]));
        // Also where what differs would cancel itself out.
        for other in [&[(0, 6)][..], &[(31, 0xff)], &[(0, 6), (1, 6)], &[(3, 0x87), (30, 0x87)]] {
            assert_ne!(digest(&[]), digest(other), "{other:?}");
        }
        assert_eq!(format!("{:?}", digest(&[])), "TokenDigest(…)");
    }
}
