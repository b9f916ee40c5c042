//! What stands in the database, in postcard's form.
//!
//! A variant of [`Message`] or [`Memory`] stays as it is for good, as do the orders of what is in it: what is to be kept
//! besides comes in another variant, after it. Names stand as they were spelled; keys are [`Target::key`].

use p2pchat_core::proto::{RoomName, Username};
use redb::Error;
use serde::{Deserialize, Serialize};

use super::{ChatMemory, Entry, Level, State};
use crate::target::Target;

#[derive(Debug, Serialize, Deserialize)]
enum Message<'a> {
    V1 {
        at: u64,
        #[serde(borrow)]
        target: Name<'a>,
        from: Option<&'a str>,
        own: bool,
        text: &'a str,
        secured: bool,
        late: bool,
        state: State,
        receivers: Vec<(&'a str, State)>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
enum Memory<'a> {
    V1 {
        #[serde(borrow)]
        target: Name<'a>,
        read: u64,
        draft: &'a str,
        level: Level,
        accepted: bool,
        order: u32,
        entered: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
enum Name<'a> {
    User(&'a str),
    Room(&'a str),
}

pub(super) fn entry(target: &Target, entry: &Entry) -> Result<Vec<u8>, Error> {
    encoded(&Message::V1 {
        at: entry.at,
        target: spelled(target),
        from: entry.from.as_ref().map(Username::as_str),
        own: entry.own,
        text: &entry.text,
        secured: entry.secured,
        late: entry.late,
        state: entry.state.clone(),
        receivers: entry.receivers.iter().map(|(user, state)| (user.as_str(), state.clone())).collect(),
    })
}

pub(super) fn read_entry(bytes: &[u8]) -> Result<(Target, Entry), Error> {
    let Message::V1 { at, target, from, own, text, secured, late, state, receivers } = decoded(bytes)?;
    let receivers = receivers.into_iter().map(|(user, state)| Ok((username(user)?, state)));
    let entry = Entry {
        at,
        from: from.map(username).transpose()?,
        own,
        text: text.to_owned(),
        secured,
        late,
        state,
        receivers: receivers.collect::<Result<_, Error>>()?,
    };
    Ok((target_of(target)?, entry))
}

/// When it was, without the rest.
pub(super) fn read_time(bytes: &[u8]) -> Result<u64, Error> {
    let Message::V1 { at, .. } = decoded(bytes)?;
    Ok(at)
}

pub(super) fn memory(target: &Target, memory: &ChatMemory) -> Result<Vec<u8>, Error> {
    let ChatMemory { read, draft, level, accepted, order, entered } = memory;
    encoded(&Memory::V1 {
        target: spelled(target),
        read: *read,
        draft,
        level: *level,
        accepted: *accepted,
        order: *order,
        entered: *entered,
    })
}

pub(super) fn read_memory(bytes: &[u8]) -> Result<(Target, ChatMemory), Error> {
    let Memory::V1 { target, read, draft, level, accepted, order, entered } = decoded(bytes)?;
    let draft = draft.to_owned();
    Ok((target_of(target)?, ChatMemory { read, draft, level, accepted, order, entered }))
}

fn spelled(target: &Target) -> Name<'_> {
    match target {
        Target::User(user) => Name::User(user.as_str()),
        Target::Room(room) => Name::Room(room.as_str()),
    }
}

fn target_of(name: Name<'_>) -> Result<Target, Error> {
    Ok(match name {
        Name::User(user) => Target::User(username(user)?),
        Name::Room(room) => Target::Room(RoomName::new(room).map_err(damaged)?),
    })
}

fn username(text: &str) -> Result<Username, Error> {
    Username::new(text).map_err(damaged)
}

fn encoded(record: &impl Serialize) -> Result<Vec<u8>, Error> {
    postcard::to_stdvec(record).map_err(damaged)
}

fn decoded<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    postcard::from_bytes(bytes).map_err(damaged)
}

fn damaged(problem: impl std::fmt::Display) -> Error {
    Error::Corrupted(format!("a record can't be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_version_writes_is_as_it_was() {
        let bob: Username = "Bob".parse().unwrap();
        let entry = Entry {
            at: 300,
            from: Some(bob.clone()),
            own: true,
            text: "hé".to_owned(),
            secured: true,
            late: false,
            state: State::Failed("no".to_owned()),
            receivers: vec![(bob, State::Unsure)],
        };
        let target = Target::Room("Den".parse().unwrap());
        let bytes = super::entry(&target, &entry).unwrap();
        assert_eq!(
            bytes,
            b"\0\xac\x02\x01\x03Den\x01\x03Bob\x01\x03h\xc3\xa9\x01\0\x04\x02no\x01\x03Bob\x05"
        );
        assert_eq!(read_entry(&bytes).unwrap(), (target.clone(), entry));
        assert_eq!((read_time(&bytes).unwrap(), target.key()), (300, "#den".to_owned()));
        assert!(read_entry(&bytes[..bytes.len() - 1]).is_err() && read_time(b"\x01\x01").is_err());

        let memory = ChatMemory {
            read: 7,
            draft: "x".to_owned(),
            level: Level::Mentions,
            accepted: true,
            order: 2,
            entered: 1,
        };
        let target = Target::User("Bob".parse().unwrap());
        let bytes = super::memory(&target, &memory).unwrap();
        assert_eq!(bytes, b"\0\0\x03Bob\x07\x01x\x01\x01\x02\x01");
        assert_eq!(read_memory(&bytes).unwrap(), (target.clone(), memory));
        assert_eq!(target.key(), "bob");
    }
}
