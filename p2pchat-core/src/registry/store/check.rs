//! Whether all that a store keeps can be read and fits together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use p2pchat_proto::{Capacity, RoomName};

use super::{
    Account, Member, NEXT_ROOM_ID, ReadTransaction, Room, StoreError, Table, bans, decode, invites,
    lists::RoomInfo, looks, member_key, tokens,
};

use crate::registry::record::RoomBan;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How many records there are of which table.
    pub records: BTreeMap<Table, u64>,
    /// What doesn't fit, each in a line: the first [`MAX_PROBLEMS`].
    pub problems: Vec<String>,
    /// How much doesn't fit altogether.
    pub found: u64,
}

/// How many problems are told one by one.
pub const MAX_PROBLEMS: usize = 100;

impl Report {
    /// True if nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.found == 0
    }

    fn problem(&mut self, problem: fmt::Arguments<'_>) {
        self.found += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem.to_string());
        }
    }

    fn count(&mut self, table: Table) {
        *self.records.entry(table).or_default() += 1;
    }
}

/// A room, as far as others' records have to agree with it.
struct Known {
    key: Vec<u8>,
    name: Box<str>,
    owner: Box<str>,
    members: u32,
    next_seniority: u64,
    found: u32,
    has_owner: bool,
}

/// Reads every record, and compares those that speak of the same thing.
///
/// # Errors
/// The engine's alone: what is wrong with what it holds is in the report.
pub fn check(transaction: &impl ReadTransaction) -> Result<Report, StoreError> {
    let mut check = Check { transaction, report: Report::default(), rooms: BTreeMap::new() };
    // Rooms first: the others speak of them.
    check.rooms()?;
    for &table in Table::ALL {
        match table {
            Table::Rooms => {}
            Table::Accounts => check.each(table, Check::account)?,
            Table::Passwords => check.each(table, Check::password)?,
            Table::Members => check.each(table, Check::member)?,
            Table::Seniority => check.each(table, Check::seniority)?,
            Table::RoomBans => check.each(table, Check::room_ban)?,
            Table::Bans => check.each(table, Check::ban)?,
            Table::Invites => check.each(table, |_, key, value| invites::stored(key, value).map(drop))?,
            Table::Looks => check.each(table, Check::look)?,
            Table::Tokens => check.each(table, Check::token)?,
            Table::Meta => check.each(table, Check::meta)?,
        }
    }
    check.members_of_rooms();
    Ok(check.report)
}

struct Check<'a, T> {
    transaction: &'a T,
    report: Report,
    rooms: BTreeMap<u64, Known>,
}

/// A key or a name in a line for people.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

impl<T: ReadTransaction> Check<'_, T> {
    fn each(
        &mut self,
        table: Table,
        look: impl Fn(&mut Self, &[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = self.transaction;
        let mut failed = None;
        transaction.scan(table, &[], &mut |key, value| {
            self.report.count(table);
            match look(self, key, value) {
                Err(StoreError::Corrupt(what)) => {
                    self.report.problem(format_args!(
                        "{} {}: the {what} can't be read",
                        table.name(),
                        shown(key)
                    ));
                }
                Err(error) => failed = Some(error),
                Ok(()) => {}
            }
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn rooms(&mut self) -> Result<(), StoreError> {
        self.each(Table::Rooms, |check, key, value| {
            let room: Room = decode(value, "record")?;
            let name = room.room_name()?;
            let known = Known {
                key: key.to_vec(),
                name: room.name.clone(),
                owner: room.owner.clone(),
                members: room.members,
                next_seniority: room.next_seniority,
                found: 0,
                has_owner: false,
            };
            if let Some(other) = check.rooms.insert(room.id, known) {
                check.report.problem(format_args!("rooms {name} and {} have the same id", other.name));
            }
            if name.folded().as_bytes() != key {
                check.report.problem(format_args!("room {name} is kept as {}", shown(key)));
            }
            if Capacity::new(room.capacity).is_err() {
                check.report.problem(format_args!("room {name} has the capacity {}", room.capacity));
            }
            if !looks::Name::from(&name).is_entered(check.transaction)? {
                check.report.problem(format_args!("room {name} can be mistaken: its look isn't kept"));
            }
            RoomInfo::try_from(room).map(drop)
        })
    }

    fn account(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let account: Account = decode(value, "record")?;
        let (username, rooms) = (account.username()?, account.room_names()?);
        if username.folded().as_bytes() != key {
            self.report.problem(format_args!("account {username} is kept as {}", shown(key)));
        }
        if !looks::Name::from(&username).is_entered(self.transaction)? {
            self.report.problem(format_args!("account {username} can be mistaken: its look isn't kept"));
        }
        let has_password = self.transaction.get(Table::Passwords, key)?.is_some();
        match account.deleted {
            false if !has_password => self.report.problem(format_args!("account {username} has no password")),
            true if has_password || !rooms.is_empty() => {
                self.report
                    .problem(format_args!("account {username} is deleted, and something of it is left"));
            }
            _ => {}
        }
        let different: BTreeSet<_> = rooms.iter().map(RoomName::folded).collect();
        if different.len() < rooms.len() {
            self.report.problem(format_args!("account {username} is in a room twice"));
        }
        for room in &rooms {
            let stored = self.transaction.get(Table::Rooms, room.folded().as_bytes())?;
            let stored = stored.and_then(|record| decode::<Room>(&record, "record").ok());
            let is_member = match &stored {
                Some(stored) => {
                    self.transaction.get(Table::Members, &member_key(stored.id, username.folded()))?.is_some()
                }
                None => false,
            };
            if !is_member || stored.is_some_and(|stored| *stored.name != *room.as_str()) {
                self.report.problem(format_args!("account {username} is in room {room}, which doesn't know"));
            }
        }
        Ok(())
    }

    fn password(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.transaction.get(Table::Accounts, key)?.is_none() {
            self.report.problem(format_args!("there is a password of {}, but no such account", shown(key)));
        }
        std::str::from_utf8(value).map(drop).map_err(|_| StoreError::Corrupt("password"))
    }

    fn member(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        const KEY: StoreError = StoreError::Corrupt("key");
        let member: Member = decode(value, "record")?;
        let (&id, user) = key.split_first_chunk::<8>().ok_or(KEY)?;
        let (id, user) = (u64::from_be_bytes(id), std::str::from_utf8(user).map_err(|_| KEY)?);
        let account = self.transaction.get(Table::Accounts, user.as_bytes())?;
        let account = account.and_then(|record| decode::<Account>(&record, "record").ok());
        let seniority = self.transaction.get(Table::Seniority, &member.key(id))?;
        let Some(room) = self.rooms.get_mut(&id) else {
            self.report.problem(format_args!("{user} is a member of a room that doesn't exist: {id}"));
            return Ok(());
        };
        room.found = room.found.saturating_add(1);
        room.has_owner |= *user == *room.owner;
        let name = room.name.clone();
        if !account.is_some_and(|account| account.rooms.contains(&name)) {
            self.report
                .problem(format_args!("{user} is a member of room {name}, which isn't among their rooms"));
        }
        if seniority.as_deref() != Some(user.as_bytes()) || member.seniority >= room.next_seniority {
            self.report.problem(format_args!("{user} has no place in the order of members of room {name}"));
        }
        Ok(())
    }

    fn seniority(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        const KEY: StoreError = StoreError::Corrupt("key");
        let (&id, seniority) = key.split_first_chunk::<8>().ok_or(KEY)?;
        let seniority = seniority.try_into().map(u64::from_be_bytes).map_err(|_| KEY)?;
        let user = std::str::from_utf8(value).map_err(|_| StoreError::Corrupt("name"))?;
        let id = u64::from_be_bytes(id);
        let member = self.transaction.get(Table::Members, &member_key(id, user))?;
        let member = member.and_then(|record| decode::<Member>(&record, "record").ok());
        if member.is_none_or(|member| member.seniority != seniority) {
            self.report
                .problem(format_args!("{user} has a place {seniority} in room {id} without being a member"));
        }
        Ok(())
    }

    fn room_ban(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        const KEY: StoreError = StoreError::Corrupt("key");
        let (&id, user) = key.split_first_chunk::<8>().ok_or(KEY)?;
        let id = u64::from_be_bytes(id);
        if !self.rooms.contains_key(&id) {
            self.report
                .problem(format_args!("{} is banned from a room that doesn't exist: {id}", shown(user)));
        }
        let ban = decode::<RoomBan>(value, "record")?.to_record()?;
        if ban.username.folded().as_bytes() != user {
            self.report.problem(format_args!("the ban of {} is kept as {}", ban.username, shown(key)));
        }
        Ok(())
    }

    fn ban(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let ban = bans::stored(value)?;
        if bans::key(&ban.target) != key {
            self.report.problem(format_args!("the ban of {} is kept as {}", ban.target, shown(key)));
        }
        Ok(())
    }

    fn look(&mut self, key: &[u8], _: &[u8]) -> Result<(), StoreError> {
        let (table, whose) = looks::whose(key).ok_or(StoreError::Corrupt("key"))?;
        if self.transaction.get(table, whose)?.is_none() {
            self.report.problem(format_args!("{} has a look and isn't in {}", shown(whose), table.name()));
        }
        Ok(())
    }

    fn token(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let account = self.transaction.get(Table::Accounts, key)?;
        let account = account.and_then(|record| decode::<Account>(&record, "record").ok());
        if account.is_none_or(|account| account.deleted) {
            self.report.problem(format_args!("there are tokens of {}, but no such account", shown(key)));
        }
        if tokens::is_sound(value) { Ok(()) } else { Err(StoreError::Corrupt("record")) }
    }

    fn meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if key == NEXT_ROOM_ID {
            let next: u64 = decode(value, "number")?;
            if self.rooms.last_key_value().is_some_and(|(&last, _)| last >= next) {
                self.report.problem(format_args!("the next room would have the id {next} of another one"));
            }
        }
        Ok(())
    }

    fn members_of_rooms(&mut self) {
        for Known { key, name, owner, members, found, has_owner, .. } in self.rooms.values() {
            if *found == 0 {
                self.report.problem(format_args!("room {name} has no members"));
            } else if members != found {
                self.report.problem(format_args!("room {name} counts {members} members and has {found}"));
            }
            if !has_owner {
                self.report
                    .problem(format_args!("room {} has an owner who isn't a member: {owner}", shown(key)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use p2pchat_proto::{SessionToken, Username};

    use super::*;
    use crate::registry::store::{
        MemoryStore, StoredToken, TokenChange, TokenDigest, Write, WriteTransaction, encode, write,
    };

    /// user0 and so on.
    fn registered(users: usize) -> MemoryStore {
        let mut store = MemoryStore::new();
        for n in 0..users {
            write(
                &mut store,
                &Write::Register { username: user(n), password: "a hash".into(), invite: None },
            );
        }
        store
    }

    fn user(n: usize) -> Username {
        Username::new(&format!("user{n}")).unwrap()
    }

    #[test]
    fn records_are_counted_and_so_are_problems_beyond_those_that_are_told() {
        let mut store = registered(MAX_PROBLEMS + 1);
        let digest = TokenDigest::of(&SessionToken::from_random([7; 32]));
        let token = TokenChange::Give(StoredToken { digest, expires: 9 });
        write(&mut store, &Write::OpenSession { username: user(0), password: None, token });
        let report = check(&store).unwrap();
        assert!(report.is_sound(), "{report:?}");
        let counted = [Table::Accounts, Table::Passwords, Table::Tokens, Table::Rooms]
            .map(|table| report.records.get(&table).copied());
        assert_eq!(counted, [Some(101), Some(101), Some(1), None]);

        for n in 0..=MAX_PROBLEMS {
            store.delete(Table::Passwords, user(n).folded().as_bytes()).unwrap();
        }
        let report = check(&store).unwrap();
        assert!(!report.is_sound());
        assert_eq!((report.found, report.problems.len()), (101, MAX_PROBLEMS));
    }

    #[test]
    fn what_is_left_of_the_deleted_of_rooms_that_are_gone_and_what_is_there_twice_is_found() {
        let account = |deleted, rooms: &[&str]| {
            let rooms = rooms.iter().map(|&room| room.into()).collect();
            encode(&Account { name: "user0".into(), deleted, rooms }).unwrap()
        };
        let left = "account user0 is deleted, and something of it is left";
        let twice = "account user0 is in a room twice";
        for (record, password, expected) in [
            (account(true, &[]), true, Some(left)),
            (account(true, &["den"]), false, Some(left)),
            (account(true, &[]), false, None),
            (account(false, &["den", "DEN"]), true, Some(twice)),
        ] {
            let mut store = registered(1);
            store.put(Table::Accounts, b"user0", &record).unwrap();
            if !password {
                store.delete(Table::Passwords, b"user0").unwrap();
            }
            let problems = check(&store).unwrap().problems;
            assert_eq!(problems.first().map(String::as_str), expected);
        }
        let mut store = registered(1);
        let ban = encode(&RoomBan { name: "user0".into(), reason: "".into() }).unwrap();
        store.put(Table::RoomBans, &member_key(7, "other"), &ban).unwrap();
        let problems = check(&store).unwrap().problems;
        assert_eq!(problems[0], "other is banned from a room that doesn't exist: 7");
        assert!(problems[1].starts_with("the ban of user0 is kept as "), "{problems:?}");
    }
}
