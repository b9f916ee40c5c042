//! Who is online where: the second seam (§5.2).
//!
//! On one node these are maps in memory. Several nodes would share a directory that keeps the same promises: at
//! most one session a user, claimed and released atomically, so that a late release by a session that was replaced changes
//! nothing, and with an epoch that grows with each claim. The epoch is taken when the store is asked to open a session,
//! so that of two that are being opened the later one lasts, as the store has it. Every caller stands at a point where its
//! request may wait (`answers.rs`), so a directory that is asked by effects changes this file and the lines that call
//! [`claim`](Presence::claim) and [`release`](Presence::release), not the requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hasher,
    ops::Bound,
};

use hashbrown::HashTable;
use p2pchat_proto::{RoomName, Username};
use siphasher::sip::SipHasher13;

use super::effect::ConnId;

/// The presence directory of one node.
#[derive(Debug)]
pub(super) struct Presence {
    /// By name, as they are listed.
    online: BTreeMap<Username, ConnId>,
    /// The same by the names' hash, as they are found. The names themselves are with the sessions.
    hashed: HashTable<Hashed>,
    /// Knows the names' hash, which nobody else does: else people could choose names that are all found last.
    hasher: SipHasher13,
    /// Where each room's members online are. Their names are with their sessions: there are many of them.
    rooms: BTreeMap<RoomName, BTreeSet<ConnId>>,
    epoch: u64,
}

/// Where a name's session is, with the name's hash, so that a table that grows needs no session.
#[derive(Debug, Clone, Copy)]
struct Hashed {
    hash: u32,
    conn: ConnId,
}

impl Hashed {
    /// For a table that takes the place from the lower bits, and tells apart by the uppermost.
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

impl Presence {
    pub(super) fn new(seed: u128) -> Self {
        Self {
            online: BTreeMap::new(),
            hashed: HashTable::new(),
            hasher: SipHasher13::new_with_key(&seed.to_le_bytes()),
            rooms: BTreeMap::new(),
            epoch: 0,
        }
    }

    /// Nobody is online any more.
    pub(super) fn clear(&mut self) {
        self.online.clear();
        self.hashed.clear();
        self.rooms.clear();
    }

    pub(super) fn hash(&self, username: &Username) -> u32 {
        let mut hasher = self.hasher;
        hasher.write(username.folded().as_bytes());
        // The lower half is as good as the whole.
        hasher.finish() as u32
    }

    /// The epoch of a claim that is about to be made.
    pub(super) fn next_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Makes `conn` the user's session. The caller has released the one before, which was of an earlier epoch.
    pub(super) fn claim(&mut self, username: Username, conn: ConnId) {
        let hash = self.hash(&username);
        if let Some(old) = self.online.insert(username, conn) {
            self.forget(hash, old);
        }
        self.hashed
            .insert_unique(Hashed::spread(hash), Hashed { hash, conn }, |entry| Hashed::spread(entry.hash));
    }

    fn forget(&mut self, hash: u32, conn: ConnId) {
        if let Ok(entry) = self.hashed.find_entry(Hashed::spread(hash), |entry| entry.conn == conn) {
            entry.remove();
        }
    }

    /// The session goes on at `conn`, in the same epoch.
    pub(super) fn moves(&mut self, username: &Username, rooms: &[RoomName], conn: ConnId) {
        let hash = self.hash(username);
        let Some(place) = self.online.get_mut(username) else { return };
        let old = std::mem::replace(place, conn);
        if let Some(entry) = self.hashed.find_mut(Hashed::spread(hash), |entry| entry.conn == old) {
            entry.conn = conn;
        }
        for room in rooms {
            self.enter(room, conn);
            self.leave(room, old);
        }
    }

    /// Ends the user's session if it is still the one at `conn`.
    pub(super) fn release(&mut self, username: &Username, conn: ConnId) -> bool {
        let held = self.online.get(username) == Some(&conn);
        if held {
            self.online.remove(username);
            self.forget(self.hash(username), conn);
        }
        held
    }

    /// Where the user's session is; `name_of` knows whose each is.
    pub(super) fn find<'a>(
        &self,
        username: &Username,
        name_of: impl Fn(ConnId) -> Option<&'a Username>,
    ) -> Option<ConnId> {
        let hash = self.hash(username);
        let is_it = |entry: &Hashed| entry.hash == hash && name_of(entry.conn) == Some(username);
        self.hashed.find(Hashed::spread(hash), is_it).map(|entry| entry.conn)
    }

    /// Where the first session is whose name has this hash, which is nearly always the only one.
    pub(super) fn first_of(&self, hash: u32) -> Option<ConnId> {
        self.hashed.find(Hashed::spread(hash), |entry| entry.hash == hash).map(|entry| entry.conn)
    }

    /// Everybody online, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Username, ConnId)> {
        self.online.iter().map(|(username, &conn)| (username, conn))
    }

    /// Everybody online whose name comes after `after`, by name.
    pub(super) fn after(&self, after: Option<&Username>) -> impl Iterator<Item = (&Username, ConnId)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.online.range((from, Bound::Unbounded)).map(|(username, &conn)| (username, conn))
    }

    pub(super) fn len(&self) -> usize {
        self.online.len()
    }

    pub(super) fn enter(&mut self, room: &RoomName, conn: ConnId) {
        match self.rooms.get_mut(room) {
            Some(members) => members.insert(conn),
            None => self.rooms.entry(room.clone()).or_default().insert(conn),
        };
    }

    pub(super) fn leave(&mut self, room: &RoomName, conn: ConnId) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.remove(&conn);
            if members.is_empty() {
                self.rooms.remove(room);
            }
        }
    }

    /// How many of a room's members are online.
    pub(super) fn count(&self, room: &RoomName) -> usize {
        self.rooms.get(room).map_or(0, BTreeSet::len)
    }

    /// A room's members online.
    pub(super) fn members(&self, room: &RoomName) -> impl Iterator<Item = ConnId> {
        self.rooms.get(room).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn user(n: u64) -> Username {
        Username::new(&format!("User{n}")).unwrap()
    }

    #[test]
    fn who_is_listed_is_found_wherever_their_session_goes_and_nobody_else() {
        let mut dice = fastrand::Rng::with_seed(5);
        let mut presence = Presence::new(9);
        let (mut names, mut places) = (SlotMap::<ConnId, Username>::with_key(), BTreeMap::new());
        for _ in 0..20_000 {
            let name = user(dice.u64(0..700));
            match (places.get(&name).copied(), dice.u8(0..3)) {
                (None, 0 | 1) => {
                    let conn = names.insert(name.clone());
                    presence.claim(name.clone(), conn);
                    places.insert(name, conn);
                }
                (Some(old), 0) => {
                    let conn = names.insert(name.clone());
                    presence.moves(&name, &[], conn);
                    assert!(!presence.release(&name, old), "it isn't there any more");
                    names.remove(old);
                    places.insert(name, conn);
                }
                (Some(conn), 1) => {
                    assert!(presence.release(&name, conn));
                    names.remove(conn);
                    places.remove(&name);
                }
                _ => {}
            }
            assert_eq!(presence.hashed.len(), places.len());
        }
        assert!(places.len() > 100, "{}", places.len());
        for n in 0..700 {
            let spelled = Username::new(&format!("uSER{n}")).unwrap();
            assert_eq!(presence.find(&spelled, |conn| names.get(conn)), places.get(&user(n)).copied());
        }
        assert!(presence.iter().eq(places.iter().map(|(name, &conn)| (name, conn))));
        presence.clear();
        assert_eq!((presence.len(), presence.find(&user(1), |conn| names.get(conn))), (0, None));
    }

    #[test]
    fn a_names_place_is_known_to_nobody_without_the_seed() {
        let hashes = |seed| (0..100).map(|n| Presence::new(seed).hash(&user(n))).collect::<BTreeSet<_>>();
        let (one, other, high) = (hashes(1), hashes(2), hashes(1 << 127));
        assert!(one.len() > 98 && one.is_disjoint(&other) && one.is_disjoint(&high));
        assert_eq!(one, hashes(1));
    }
}
