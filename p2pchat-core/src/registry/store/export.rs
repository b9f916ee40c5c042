//! All that a store keeps, as entries that don't hang on its records' form.

use p2pchat_proto::{BanRecord, Capacity, Description, Reason, RoomName, Username};

use super::{
    Account, Ban, Invite, NEXT_ROOM_ID, ReadTransaction, Room, Secret, StoreError, Table, WriteTransaction,
    account, account_ever, bans, decode, encode, invites, looks, member_key, next_room_id, password,
    put_account, put_member, put_password, put_room, room,
};
use crate::registry::record::{Member, RoomBan, STORED};

/// Something that a store keeps. Not open to additions unseen: who writes or reads entries has to know every kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An account.
    Account {
        /// As it was spelled at registration.
        username: Username,
        /// The slow hash of its password, in PHC form.
        password: Secret,
        /// The rooms that it is a member of, in the order of joining. The rooms come later.
        rooms: Vec<RoomName>,
    },
    /// The name of an account that was deleted: nobody else can have it.
    Taken {
        /// As it was spelled.
        username: Username,
    },
    /// A room, which its members follow.
    Room {
        /// As its creator spelled it.
        room: RoomName,
        /// Who owns it; one of its members.
        owner: Username,
        /// The slow hash of its password, if it has one.
        password: Option<Secret>,
        /// How many members it takes.
        capacity: Capacity,
        /// What it is about.
        description: Description,
    },
    /// A membership. A room's come in the order of joining.
    Member {
        /// Of which room.
        room: RoomName,
        /// Whose.
        username: Username,
    },
    /// Who is kept out of a room by its owner.
    RoomBan {
        /// Of which room.
        room: RoomName,
        /// Whom.
        username: Username,
        /// Why; empty if nothing was said.
        reason: Reason,
    },
    /// Who is kept out.
    Ban(Ban),
    /// An invitation.
    Invite(Invite),
}

/// Why an entry doesn't go with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// There is one already.
    #[error("there is one already")]
    Twice,
    /// There is no such account before it.
    #[error("there is no such account before it")]
    NoSuchAccount,
    /// There is no such room before it.
    #[error("there is no such room before it")]
    NoSuchRoom,
    /// The account's entry doesn't name the room.
    #[error("the account doesn't have the room among its rooms")]
    NotAmongItsRooms,
}

/// Hands `visit` all that is kept, in an order in which [`import`] takes it, until it returns false.
///
/// Session tokens are left out, and what a store makes for itself.
///
/// # Errors
/// The engine's, and [`StoreError::Corrupt`] for a record that can't be read.
pub fn export(
    transaction: &impl ReadTransaction,
    visit: &mut dyn FnMut(Entry) -> bool,
) -> Result<(), StoreError> {
    for &table in Table::ALL {
        let went_on = match table {
            Table::Accounts => each(transaction, table, &[], |_, value| {
                let account: Account = decode(value, "account")?;
                let username = account.username()?;
                if account.deleted {
                    return Ok(visit(Entry::Taken { username }));
                }
                let password = password(transaction, &username)?.ok_or(StoreError::Corrupt("password"))?;
                let rooms = account.room_names()?;
                Ok(visit(Entry::Account { username, password: Secret(password), rooms }))
            })?,
            Table::Rooms => each(transaction, table, &[], |_, value| {
                let room: Room = decode(value, "room")?;
                let name = room.room_name()?;
                let entry = Entry::Room {
                    room: name.clone(),
                    owner: stored_username(&room.owner)?,
                    capacity: Capacity::new(room.capacity).map_err(|_| StoreError::Corrupt("room"))?,
                    description: Description::with_limits(&room.description, &STORED)
                        .map_err(|_| StoreError::Corrupt("room"))?,
                    password: room.password.map(Secret),
                };
                Ok(visit(entry)
                    && members(transaction, room.id, &name, visit)?
                    && room_bans(transaction, room.id, &name, visit)?)
            })?,
            // With their accounts and rooms.
            Table::Passwords | Table::Members | Table::Seniority | Table::RoomBans => true,
            Table::Bans => {
                each(transaction, table, &[], |_, value| Ok(visit(Entry::Ban(bans::stored(value)?))))?
            }
            Table::Invites => each(transaction, table, &[], |key, value| {
                Ok(visit(Entry::Invite(invites::stored(key, value)?)))
            })?,
            // Each store makes its own of the names that it has.
            Table::Looks => true,
            // Who has one can log in by password, and is to where it isn't known what was revoked since.
            Table::Tokens => true,
            // The next room's id: another store has its own.
            Table::Meta => true,
        };
        if !went_on {
            break;
        }
    }
    Ok(())
}

fn members(
    transaction: &impl ReadTransaction,
    id: u64,
    room: &RoomName,
    visit: &mut dyn FnMut(Entry) -> bool,
) -> Result<bool, StoreError> {
    let mut went_on = true;
    each(transaction, Table::Seniority, &Member { seniority: 0 }.key(id), |key, value| {
        if !key.starts_with(&id.to_be_bytes()) {
            return Ok(false);
        }
        let username = str::from_utf8(value).map_err(|_| StoreError::Corrupt("seniority"))?;
        went_on = visit(Entry::Member { room: room.clone(), username: stored_username(username)? });
        Ok(went_on)
    })?;
    Ok(went_on)
}

fn room_bans(
    transaction: &impl ReadTransaction,
    id: u64,
    room: &RoomName,
    visit: &mut dyn FnMut(Entry) -> bool,
) -> Result<bool, StoreError> {
    let (first, mut went_on) = (id.to_be_bytes(), true);
    each(transaction, Table::RoomBans, &first, |key, value| {
        if !key.starts_with(&first) {
            return Ok(false);
        }
        let BanRecord { username, reason } = decode::<RoomBan>(value, "room ban")?.to_record()?;
        went_on = visit(Entry::RoomBan { room: room.clone(), username, reason });
        Ok(went_on)
    })?;
    Ok(went_on)
}

/// Hands `visit` a table's entries from `from` on until it is false, which is then returned, or fails.
fn each(
    transaction: &impl ReadTransaction,
    table: Table,
    from: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut result = Ok(true);
    transaction.scan(table, from, &mut |key, value| {
        result = visit(key, value);
        result == Ok(true)
    })?;
    result
}

fn stored_username(name: &str) -> Result<Username, StoreError> {
    Username::with_limits(name, &STORED).map_err(|_| StoreError::Corrupt("username"))
}

/// Keeps an entry. When all are there, [`check`](super::check()) tells whether they fit together.
///
/// # Errors
/// The engine's, and [`StoreError::Corrupt`] for a record that can't be read; the transaction is then to be dropped. The inner
/// one if the entry doesn't go with those before it: then nothing is changed.
pub fn import(
    transaction: &mut impl WriteTransaction,
    entry: &Entry,
) -> Result<Result<(), Misfit>, StoreError> {
    match entry {
        Entry::Account { username, password, rooms } => {
            if account_ever(transaction, username)?.is_some() {
                return Ok(Err(Misfit::Twice));
            }
            let rooms = rooms.iter().map(|room| room.as_str().into()).collect();
            put_account(transaction, username, &Account { rooms, ..Account::new(username) })?;
            put_password(transaction, username, &password.0)?;
            looks::Name::from(username).enter(transaction)?;
        }
        Entry::Taken { username } => {
            if account_ever(transaction, username)?.is_some() {
                return Ok(Err(Misfit::Twice));
            }
            put_account(transaction, username, &Account::deleted(username.as_str().into()))?;
            looks::Name::from(username).enter(transaction)?;
        }
        Entry::Room { room: name, owner, password, capacity, description } => {
            if room(transaction, name)?.is_some() {
                return Ok(Err(Misfit::Twice));
            }
            if account(transaction, owner)?.is_none() {
                return Ok(Err(Misfit::NoSuchAccount));
            }
            let id = next_room_id(transaction)?;
            let next = id.checked_add(1).ok_or(StoreError::Corrupt("room id"))?;
            transaction.put(Table::Meta, NEXT_ROOM_ID, &encode(&next)?)?;
            looks::Name::from(name).enter(transaction)?;
            let new = Room {
                id,
                name: name.as_str().into(),
                description: description.as_str().into(),
                capacity: capacity.get(),
                members: 0,
                next_seniority: 0,
                password: password.as_ref().map(|password| password.0.clone()),
                owner: owner.folded().into(),
            };
            put_room(transaction, name, &new)?;
        }
        Entry::Member { room: name, username } => {
            let Some(mut account) = account(transaction, username)? else {
                return Ok(Err(Misfit::NoSuchAccount));
            };
            let Some(mut room) = room(transaction, name)? else { return Ok(Err(Misfit::NoSuchRoom)) };
            if transaction.get(Table::Members, &member_key(room.id, username.folded()))?.is_some() {
                return Ok(Err(Misfit::Twice));
            }
            let is_it = |other: &&mut Box<str>| {
                RoomName::with_limits(other, &STORED).is_ok_and(|other| other.folded() == name.folded())
            };
            let Some(among) = account.rooms.iter_mut().find(is_it) else {
                return Ok(Err(Misfit::NotAmongItsRooms));
            };
            // All names of a room are spelled alike here, however others have written them.
            if *among != room.name {
                among.clone_from(&room.name);
                put_account(transaction, username, &account)?;
            }
            put_member(transaction, name, &mut room, username)?;
        }
        Entry::RoomBan { room: name, username, reason } => {
            let Some(room) = room(transaction, name)? else { return Ok(Err(Misfit::NoSuchRoom)) };
            if account_ever(transaction, username)?.is_none() {
                return Ok(Err(Misfit::NoSuchAccount));
            }
            let key = member_key(room.id, username.folded());
            if transaction.get(Table::RoomBans, &key)?.is_some() {
                return Ok(Err(Misfit::Twice));
            }
            let ban = RoomBan { name: username.as_str().into(), reason: reason.as_str().into() };
            transaction.put(Table::RoomBans, &key, &encode(&ban)?)?;
        }
        Entry::Ban(ban) => {
            if transaction.get(Table::Bans, &bans::key(&ban.target))?.is_some() {
                return Ok(Err(Misfit::Twice));
            }
            bans::put(transaction, ban)?;
        }
        Entry::Invite(invite) => {
            if transaction.get(Table::Invites, &invite.digest.0)?.is_some() {
                return Ok(Err(Misfit::Twice));
            }
            invites::put(transaction, invite)?;
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::registry::{
        BanTarget, InviteDigest,
        store::{MemoryStore, RoomAction, Write, check, write},
    };

    fn name(n: u8) -> Username {
        Username::new(&format!("User{n}")).unwrap()
    }

    fn room_name(n: u8) -> RoomName {
        RoomName::new(&format!("Room {n}")).unwrap()
    }

    /// Something that happens to a store.
    fn request() -> impl Strategy<Value = Write> {
        let hash = |n: u8| Arc::<str>::from(format!("hash {n}"));
        prop_oneof![
            (0..5_u8).prop_map(move |n| Write::Register {
                username: name(n),
                password: hash(n),
                invite: None
            }),
            (0..4_u8, 0..5_u8, any::<bool>()).prop_map(move |(r, n, locked)| Write::CreateRoom {
                room: room_name(r),
                owner: name(n),
                password: locked.then(|| hash(r)),
                capacity: Capacity::new(4).unwrap(),
                description: Description::new("what it's \"about\"\n").unwrap(),
                rooms_per_user: 3,
            }),
            (0..4_u8, 0..5_u8, 1..9_u64, any::<bool>()).prop_map(move |(r, n, id, locked)| Write::JoinRoom {
                room: room_name(r),
                id,
                password: locked.then(|| hash(r)),
                username: name(n),
                rooms_per_user: 3
            }),
            (0..4_u8, 0..5_u8).prop_map(|(r, n)| Write::LeaveRoom { room: room_name(r), username: name(n) }),
            (0..5_u8).prop_map(|n| Write::DeleteAccount { username: name(n) }),
            (0..9_u8, any::<u64>()).prop_map(|(n, since)| {
                let digest = InviteDigest::from_hex(&format!("{n:064x}")).unwrap();
                let note = (n > 3).then(|| Reason::new("for my aunt").unwrap());
                let invite = Invite { digest, note, since, until: since.checked_add(5), uses: 7, left: 3 };
                Write::CreateInvite { invite, limit: 5 }
            }),
            (0..4_u8, 0..5_u8, 0..5_u8, any::<bool>()).prop_map(|(r, by, n, why)| {
                let reason = why.then(|| Reason::new("enough").unwrap());
                let action = RoomAction::Ban { username: name(n), reason };
                Write::Moderate { room: room_name(r), by: name(by), action, bans_per_room: 9 }
            }),
            (0..7_u8, any::<bool>(), 0..9_u64).prop_map(|(n, user, since)| {
                let target = match user {
                    true => BanTarget::User(name(n)),
                    false => BanTarget::Subnet(format!("192.0.2.{n}").parse().unwrap()),
                };
                let reason = (n > 3).then(|| Reason::new("spam").unwrap());
                Write::Ban { ban: Ban { target, reason, since, until: user.then_some(since + 5) }, limit: 9 }
            }),
        ]
    }

    /// Which rooms and accounts there are: creating and joining needs accounts.
    fn filled(requests: &[Write]) -> MemoryStore {
        let mut store = MemoryStore::new();
        for request in requests {
            write(&mut store, request);
        }
        store
    }

    fn entries(store: &MemoryStore) -> Vec<Entry> {
        let mut entries = Vec::new();
        export(store, &mut |entry| {
            entries.push(entry);
            true
        })
        .unwrap();
        entries
    }

    proptest! {
        #[test]
        fn what_is_exported_is_the_same_when_it_is_imported(requests in proptest::collection::vec(request(), 0..60)) {
            let store = filled(&requests);
            let entries_there = entries(&store);
            prop_assert_eq!(check(&store).unwrap().problems, Vec::<String>::new());
            let mut other = MemoryStore::new();
            for entry in &entries_there {
                prop_assert_eq!(import(&mut other, entry).unwrap(), Ok(()));
                prop_assert_eq!(import(&mut other, entry).unwrap(), Err(Misfit::Twice));
            }
            prop_assert_eq!(entries(&other), entries_there);
            let found = check(&other).unwrap();
            prop_assert_eq!(found.problems, Vec::<String>::new());
            let mut records = found.records;
            let mut wanted = check(&store).unwrap().records;
            // One that has made no room yet has no number for the next one.
            for records in [&mut records, &mut wanted] {
                records.remove(&Table::Meta);
            }
            prop_assert_eq!(records, wanted);
        }
    }

    #[test]
    fn each_rooms_bans_are_exported_with_it_until_nobody_wants_more() {
        let mut requests: Vec<_> = (1..=3)
            .map(|n| Write::Register { username: name(n), password: "a hash".into(), invite: None })
            .collect();
        for n in 1..=2 {
            requests.push(Write::CreateRoom {
                room: room_name(n),
                owner: name(1),
                password: None,
                capacity: Capacity::new(4).unwrap(),
                description: Description::default(),
                rooms_per_user: 3,
            });
            let action = RoomAction::Ban { username: name(n + 1), reason: None };
            requests.push(Write::Moderate { room: room_name(n), by: name(1), action, bans_per_room: 9 });
        }
        let store = filled(&requests);
        let ban = |n| Entry::RoomBan { room: room_name(n), username: name(n + 1), reason: Reason::default() };
        let bans: Vec<_> =
            entries(&store).into_iter().filter(|entry| matches!(entry, Entry::RoomBan { .. })).collect();
        assert_eq!(bans, [ban(1), ban(2)]);
        let mut last = None;
        export(&store, &mut |entry| {
            let goes_on = !matches!(entry, Entry::RoomBan { .. });
            last = Some(entry);
            goes_on
        })
        .unwrap();
        assert_eq!(last, Some(ban(1)));
    }

    fn account_entry(n: u8, rooms: &[&str]) -> Entry {
        let rooms = rooms.iter().map(|room| RoomName::new(room).unwrap()).collect();
        Entry::Account { username: name(n), password: Secret("a hash".into()), rooms }
    }

    fn room_entry(room: &str, owner: u8) -> Entry {
        Entry::Room {
            room: RoomName::new(room).unwrap(),
            owner: name(owner),
            password: None,
            capacity: Capacity::new(5).unwrap(),
            description: Description::default(),
        }
    }

    fn member_entry(room: &str, n: u8) -> Entry {
        Entry::Member { room: RoomName::new(room).unwrap(), username: name(n) }
    }

    #[test]
    fn an_entry_goes_with_those_before_it() {
        let mut store = MemoryStore::new();
        let mut put = |entry: Entry| import(&mut store, &entry).unwrap();
        assert_eq!(put(room_entry("Den", 1)), Err(Misfit::NoSuchAccount));
        // Whatever the case in which others have written it.
        assert_eq!(put(account_entry(1, &["den"])), Ok(()));
        assert_eq!(put(account_entry(2, &[])), Ok(()));
        assert_eq!(put(member_entry("den", 1)), Err(Misfit::NoSuchRoom));
        assert_eq!(put(room_entry("Den", 1)), Ok(()));
        assert_eq!(put(member_entry("DEN", 3)), Err(Misfit::NoSuchAccount));
        assert_eq!(put(member_entry("DEN", 2)), Err(Misfit::NotAmongItsRooms));
        assert_eq!(put(member_entry("DEN", 1)), Ok(()));
        assert!(check(&store).unwrap().is_sound());
        write(&mut store, &Write::LeaveRoom { room: RoomName::new("den").unwrap(), username: name(1) });
        assert_eq!(entries(&store), [account_entry(1, &[]), account_entry(2, &[])]);
    }

    #[test]
    fn what_does_not_fit_together_is_found() {
        let mut store = MemoryStore::new();
        for entry in [
            account_entry(1, &["den", "bar"]),
            account_entry(2, &["den"]),
            room_entry("den", 1),
            member_entry("den", 1),
            member_entry("den", 2),
            room_entry("bar", 2),
            member_entry("bar", 1),
        ] {
            assert_eq!(import(&mut store, &entry), Ok(Ok(())));
        }
        let problems = |store: &MemoryStore| check(store).unwrap().problems;
        assert_eq!(problems(&store), ["room bar has an owner who isn't a member: user2"]);
        let member = member_key(1, "user2");
        let mut mistakable = store.clone();
        looks::Name::from(&name(1)).leave(&mut mistakable).unwrap();
        assert_eq!(problems(&mistakable)[0], "account User1 can be mistaken: its look isn't kept");
        type Damage<'a> = (Table, &'a [u8], Option<&'a [u8]>, &'a str);
        let damages: [Damage<'_>; 15] = [
            (Table::Accounts, b"user1", Some(b"\xff"), "accounts user1: the record can't be read"),
            (Table::Looks, b"rden\0none", Some(b""), "none has a look and isn't in rooms"),
            (Table::Tokens, b"user1", Some(b"\xff"), "tokens user1: the record can't be read"),
            (Table::Tokens, b"none", Some(b"\xff"), "there are tokens of none, but no such account"),
            (Table::Accounts, b"user2", None, "there is a password of user2, but no such account"),
            (Table::Passwords, b"user2", None, "account User2 has no password"),
            (Table::Passwords, b"user2", Some(b"\xff"), "passwords user2: the password can't be read"),
            (Table::Rooms, b"den", None, "account User2 is in room den, which doesn't know"),
            (Table::Members, &member, None, "user2 has a place 1 in room 1 without being a member"),
            (
                Table::Members,
                &member,
                Some(b"\x07"),
                "user2 has no place in the order of members of room den",
            ),
            (Table::Members, b"short", Some(b"\0"), "members short: the key can't be read"),
            (Table::Seniority, &Member { seniority: 1 }.key(1), None, "user2 has no place in the order"),
            (Table::Seniority, b"short", Some(b"x"), "seniority short: the key can't be read"),
            (Table::Bans, b"ubob", Some(b"\xff"), "bans ubob: the ban can't be read"),
            (Table::Meta, b"next room id", Some(b"\x02"), "the next room would have the id 2 of another one"),
        ];
        for (table, key, value, expected) in damages {
            let mut damaged = store.clone();
            match value {
                Some(value) => damaged.put(table, key, value).unwrap(),
                None => damaged.delete(table, key).unwrap(),
            }
            let problems = problems(&damaged);
            assert!(
                problems.iter().any(|problem| problem.starts_with(expected)),
                "{expected}: {problems:#?}"
            );
        }
    }
}
