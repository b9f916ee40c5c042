//! Bans, as the store keeps them.

use std::net::IpAddr;

use p2pchat_proto::{Reason, Username};
use serde::{Deserialize, Serialize};

use super::{
    Answer, ReadTransaction, StoreAnswer, StoreError, Table, WriteTransaction, decode, encode, lists::page,
    tokens,
};
use crate::registry::{Ban, BanTarget, Subnet, record::STORED};

/// A ban's record.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    target: Target,
    reason: Option<Box<str>>,
    since: u64,
    until: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Target {
    /// A name, as it was spelled.
    User(Box<str>),
    /// As it is written.
    Subnet(Box<str>),
}

const CORRUPT: StoreError = StoreError::Corrupt("ban");

impl From<&Ban> for Record {
    fn from(ban: &Ban) -> Self {
        Self {
            target: match &ban.target {
                BanTarget::User(username) => Target::User(username.as_str().into()),
                BanTarget::Subnet(subnet) => Target::Subnet(subnet.to_string().into()),
            },
            reason: ban.reason.as_ref().map(|reason| reason.as_str().into()),
            since: ban.since,
            until: ban.until,
        }
    }
}

impl TryFrom<Record> for Ban {
    type Error = StoreError;

    fn try_from(record: Record) -> Result<Self, StoreError> {
        let Record { target, reason, since, until } = record;
        let target = match target {
            Target::User(name) => {
                BanTarget::User(Username::with_limits(&name, &STORED).map_err(|_| CORRUPT)?)
            }
            Target::Subnet(subnet) => BanTarget::Subnet(subnet.parse::<Subnet>().map_err(|_| CORRUPT)?),
        };
        let reason = reason.map(|reason| Reason::new(&reason)).transpose().map_err(|_| CORRUPT)?;
        Ok(Self { target, reason, since, until })
    }
}

/// Names before networks, each in their order.
pub(super) fn key(target: &BanTarget) -> Vec<u8> {
    match target {
        BanTarget::User(username) => [b"u", username.folded().as_bytes()].concat(),
        BanTarget::Subnet(subnet) => {
            let (address, length) = subnet.parts();
            match address {
                IpAddr::V4(address) => [&b"v4"[..], &address.octets(), &[length]].concat(),
                IpAddr::V6(address) => [&b"v6"[..], &address.octets(), &[length]].concat(),
            }
        }
    }
}

/// A ban from its record.
pub(super) fn stored(value: &[u8]) -> Result<Ban, StoreError> {
    decode::<Record>(value, "ban")?.try_into()
}

pub(super) fn bans(transaction: &impl ReadTransaction, after: Option<&BanTarget>, count: usize) -> Answer {
    page(transaction, Table::Bans, after.map(key), count, |_, value| stored(value)).map(StoreAnswer::Bans)
}

/// Keeps it as it is, whether or not it has run out.
pub(super) fn put(transaction: &mut impl WriteTransaction, ban: &Ban) -> Result<(), StoreError> {
    transaction.put(Table::Bans, &key(&ban.target), &encode(&Record::from(ban))?)
}

pub(super) fn ban(transaction: &mut impl WriteTransaction, ban: &Ban, limit: usize) -> Answer {
    let (mut expired, mut others, own) = (Vec::new(), 0, key(&ban.target));
    transaction.scan(Table::Bans, &[], &mut |key, value| {
        // One that can't be read is no reason not to ban somebody else.
        let until = decode::<Record>(value, "ban").ok().and_then(|record| record.until);
        if until.is_some_and(|until| until <= ban.since) {
            expired.push(key.to_vec());
        } else {
            others += usize::from(*key != *own);
        }
        true
    })?;
    for key in expired {
        transaction.delete(Table::Bans, &key)?;
    }
    if others >= limit {
        return Ok(StoreAnswer::TooManyBans);
    }
    put(transaction, ban)?;
    if let BanTarget::User(username) = &ban.target {
        tokens::forget(transaction, username)?;
    }
    Ok(StoreAnswer::Banned)
}

pub(super) fn unban(transaction: &mut impl WriteTransaction, target: &BanTarget) -> Answer {
    let key = key(target);
    if transaction.get(Table::Bans, &key)?.is_none() {
        return Ok(StoreAnswer::NotBanned);
    }
    transaction.delete(Table::Bans, &key)?;
    Ok(StoreAnswer::Unbanned)
}
