//! The store as it must be: a model that is told of each commit, so small that it is plainly right.

use std::collections::{BTreeMap, BTreeSet};

use p2pchat_core::registry::store::{MemoryStore, Read, StoreAnswer, StoreRequest, TokenChange, Write};
use p2pchat_proto::{RoomName, Username};

/// What is durable.
#[derive(Debug, Default)]
pub struct Truth {
    accounts: BTreeMap<Username, BTreeSet<RoomName>>,
    rooms: BTreeMap<RoomName, Room>,
}

#[derive(Debug)]
struct Room {
    capacity: usize,
    password: Option<String>,
    members: BTreeSet<Username>,
}

type Checked = Result<(), String>;

impl Truth {
    /// True if there is such an account.
    pub fn has_account(&self, username: &Username) -> bool {
        self.accounts.contains_key(username)
    }

    /// True if the user is in the room.
    pub fn is_member(&self, username: &Username, room: &RoomName) -> bool {
        self.rooms.get(room).is_some_and(|room| room.members.contains(username))
    }

    /// The rooms that a user is in.
    pub fn rooms_of(&self, username: &Username) -> BTreeSet<RoomName> {
        self.accounts.get(username).cloned().unwrap_or_default()
    }

    /// All rooms.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    /// Who is in a room.
    pub fn members_of(&self, room: &RoomName) -> BTreeSet<Username> {
        self.rooms.get(room).map(|room| room.members.clone()).unwrap_or_default()
    }

    /// How many members a room takes.
    pub fn capacity_of(&self, room: &RoomName) -> Option<usize> {
        self.rooms.get(room).map(|room| room.capacity)
    }

    /// The slow hash of a room's password.
    pub fn room_password(&self, room: &RoomName) -> Option<&str> {
        self.rooms.get(room)?.password.as_deref()
    }

    /// The store has committed a change and is about to answer.
    pub fn committed(&mut self, request: &Write, answer: &StoreAnswer) -> Checked {
        let right = match (request, answer) {
            (Write::Register { username, .. }, StoreAnswer::Registered) => {
                self.accounts.insert(username.clone(), BTreeSet::new()).is_none()
            }
            (Write::Register { username, .. }, StoreAnswer::NameTaken) => self.has_account(username),
            (Write::OpenSession { username, .. }, StoreAnswer::Session(Some((_, rooms)))) => {
                self.has_account(username) && self.rooms_of(username) == rooms.iter().cloned().collect()
            }
            (Write::OpenSession { username, .. }, StoreAnswer::Session(None)) => !self.has_account(username),
            (
                Write::CreateRoom { room, owner, password, capacity, rooms_per_user, .. },
                StoreAnswer::Joined { .. },
            ) => {
                let capacity = usize::try_from(capacity.get()).unwrap_or(usize::MAX);
                let password = password.as_deref().map(str::to_owned);
                let new = Room { capacity, password, members: BTreeSet::new() };
                self.rooms.insert(room.clone(), new).is_none() && self.admit(room, owner, *rooms_per_user)
            }
            (Write::CreateRoom { room, .. }, StoreAnswer::NameTaken) => self.rooms.contains_key(room),
            (Write::JoinRoom { room, username, rooms_per_user, .. }, StoreAnswer::Joined { .. }) => {
                self.is_member(username, room) || self.admit(room, username, *rooms_per_user)
            }
            (Write::JoinRoom { room, username, .. }, StoreAnswer::Full) => {
                let full = |room: &Room| room.members.len() >= room.capacity;
                !self.is_member(username, room) && self.rooms.get(room).is_some_and(full)
            }
            // The room may be another one of the same name by now.
            (Write::JoinRoom { .. }, StoreAnswer::NoSuchRoom) => true,
            (
                Write::CreateRoom { owner: username, rooms_per_user, .. }
                | Write::JoinRoom { username, rooms_per_user, .. },
                StoreAnswer::TooManyRooms,
            ) => self.rooms_of(username).len() >= *rooms_per_user,
            (Write::LeaveRoom { room, username }, StoreAnswer::Left { .. }) => self.remove(room, username),
            (Write::LeaveRoom { room, username }, StoreAnswer::NotAMember) => !self.is_member(username, room),
            _ => false,
        };
        if right { Ok(()) } else { Err(format!("the store answers {answer:?} to {request:?}")) }
    }

    fn admit(&mut self, name: &RoomName, username: &Username, rooms_per_user: usize) -> bool {
        let (Some(room), Some(rooms)) = (self.rooms.get_mut(name), self.accounts.get_mut(username)) else {
            return false;
        };
        rooms.insert(name.clone());
        room.members.insert(username.clone());
        room.members.len() <= room.capacity && rooms.len() <= rooms_per_user
    }

    fn remove(&mut self, name: &RoomName, username: &Username) -> bool {
        let Some(room) = self.rooms.get_mut(name) else { return false };
        let was_member = room.members.remove(username);
        if room.members.is_empty() {
            self.rooms.remove(name);
        }
        if let Some(rooms) = self.accounts.get_mut(username) {
            rooms.remove(name);
        }
        was_member
    }

    /// Everything that was ever committed is in the store, and nothing else.
    pub fn audit(&self, store: &mut MemoryStore) -> Checked {
        for (username, rooms) in &self.accounts {
            let request =
                Write::OpenSession { username: username.clone(), password: None, token: TokenChange::Keep };
            match store.answer(&StoreRequest::Write(request)) {
                StoreAnswer::Session(Some((_, stored))) if *rooms == stored.iter().cloned().collect() => {}
                other => {
                    return Err(format!("{username} is in {rooms:?}, but the store says {other:?}"));
                }
            }
        }
        let StoreAnswer::Rooms(stored) = store.answer(&StoreRequest::Read(Read::Rooms)) else {
            return Err("the store has no list of rooms".to_owned());
        };
        if stored.len() != self.rooms.len() {
            return Err(format!("the store has {} rooms instead of {}", stored.len(), self.rooms.len()));
        }
        for record in stored.iter() {
            let members = self.rooms.get(&record.name).map(|room| room.members.len());
            if members != usize::try_from(record.members).ok() {
                return Err(format!("{} has {members:?} members, not {}", record.name, record.members));
            }
        }
        Ok(())
    }
}
