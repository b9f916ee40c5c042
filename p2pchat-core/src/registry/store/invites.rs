//! Invitations, as the store keeps them.

use p2pchat_proto::Reason;
use serde::{Deserialize, Serialize};

use super::{
    Answer, ReadTransaction, StoreAnswer, StoreError, Table, WriteTransaction, decode, encode, lists::page,
};
use crate::registry::{Invite, InviteDigest};

/// An invitation that somebody wants to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InviteUse {
    /// Of the code that they gave.
    pub digest: InviteDigest,
    /// The time now, in seconds since 1970.
    pub now: u64,
}

/// An invitation's record; its key is the digest.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    note: Option<Box<str>>,
    since: u64,
    until: Option<u64>,
    uses: u32,
    left: u32,
}

const CORRUPT: StoreError = StoreError::Corrupt("invitation");

impl Record {
    fn is_good(&self, now: u64) -> bool {
        self.left > 0 && self.until.is_none_or(|until| until > now)
    }
}

fn record(transaction: &impl ReadTransaction, digest: &InviteDigest) -> Result<Option<Record>, StoreError> {
    let bytes = transaction.get(Table::Invites, &digest.0)?;
    bytes.map(|bytes| decode(&bytes, "invitation")).transpose()
}

pub(super) fn is_good(transaction: &impl ReadTransaction, used: &InviteUse) -> Result<bool, StoreError> {
    Ok(record(transaction, &used.digest)?.is_some_and(|record| record.is_good(used.now)))
}

/// Takes one registration off it. False, with nothing changed, if it isn't good.
pub(super) fn take(transaction: &mut impl WriteTransaction, used: &InviteUse) -> Result<bool, StoreError> {
    let Some(mut record) = record(transaction, &used.digest)?.filter(|record| record.is_good(used.now))
    else {
        return Ok(false);
    };
    record.left = record.left.saturating_sub(1);
    match record.left {
        0 => transaction.delete(Table::Invites, &used.digest.0)?,
        _ => transaction.put(Table::Invites, &used.digest.0, &encode(&record)?)?,
    }
    Ok(true)
}

/// An invitation from its record.
pub(super) fn stored(key: &[u8], value: &[u8]) -> Result<Invite, StoreError> {
    let Record { note, since, until, uses, left } = decode(value, "invitation")?;
    let digest = InviteDigest(key.try_into().map_err(|_| CORRUPT)?);
    let note = note.map(|note| Reason::new(&note)).transpose().map_err(|_| CORRUPT)?;
    Ok(Invite { digest, note, since, until, uses, left })
}

/// Keeps it as it is, whether or not it is good.
pub(super) fn put(transaction: &mut impl WriteTransaction, invite: &Invite) -> Result<(), StoreError> {
    let Invite { digest, note, since, until, uses, left } = invite;
    let note = note.as_ref().map(|note| note.as_str().into());
    let record = Record { note, since: *since, until: *until, uses: *uses, left: *left };
    transaction.put(Table::Invites, &digest.0, &encode(&record)?)
}

pub(super) fn invites(
    transaction: &impl ReadTransaction,
    after: Option<&InviteDigest>,
    count: usize,
) -> Answer {
    page(transaction, Table::Invites, after.map(|digest| digest.0), count, stored).map(StoreAnswer::Invites)
}

pub(super) fn create(transaction: &mut impl WriteTransaction, invite: &Invite, limit: usize) -> Answer {
    let (mut over, mut others) = (Vec::new(), 0);
    transaction.scan(Table::Invites, &[], &mut |key, value| {
        // One that can't be read is no reason not to invite somebody else.
        match decode::<Record>(value, "invitation") {
            Ok(record) if !record.is_good(invite.since) => over.push(key.to_vec()),
            _ => others += 1,
        }
        true
    })?;
    for key in over {
        transaction.delete(Table::Invites, &key)?;
    }
    if others >= limit {
        return Ok(StoreAnswer::TooManyInvites);
    }
    put(transaction, invite)?;
    Ok(StoreAnswer::InviteCreated)
}

pub(super) fn revoke(transaction: &mut impl WriteTransaction, digest: &InviteDigest) -> Answer {
    if transaction.get(Table::Invites, &digest.0)?.is_none() {
        return Ok(StoreAnswer::NoSuchInvite);
    }
    transaction.delete(Table::Invites, &digest.0)?;
    Ok(StoreAnswer::InviteRevoked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_good_until_its_time_while_any_use_is_left() {
        let record = |until, left| Record { note: None, since: 0, until, uses: 3, left };
        for (record, now, is_good) in [
            (record(Some(100), 1), 99, true),
            (record(Some(100), 1), 100, false),
            (record(Some(100), 0), 99, false),
            (record(None, 1), u64::MAX, true),
            (record(None, 0), 0, false),
        ] {
            assert_eq!(record.is_good(now), is_good, "{record:?} at {now}");
        }
    }
}
