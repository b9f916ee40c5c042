//! Who is online where: the second seam (§5.2).
//!
//! On one node this is a pair of ordered maps. Several nodes would share a directory that keeps the same promises: at
//! most one session a user, claimed and released atomically, with an epoch that grows with each claim so that a late
//! release by a session that was replaced changes nothing. The epoch is taken when the store is asked to open a session,
//! so that of two that are being opened the later one lasts, as the store has it. Every caller stands at a point where its
//! request may wait (`answers.rs`), so a directory that is asked by effects changes this file and the lines that call
//! [`claim`](Presence::claim) and [`release`](Presence::release), not the requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use p2pchat_proto::{RoomName, Username};

use super::effect::ConnId;

/// The presence directory of one node.
#[derive(Debug, Default)]
pub(super) struct Presence {
    online: BTreeMap<Username, Claim>,
    /// Where each room's members online are. Their names are with their sessions: there are many of them.
    rooms: BTreeMap<RoomName, BTreeSet<ConnId>>,
    epoch: u64,
}

/// A user's one live session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) conn: ConnId,
    pub(super) epoch: u64,
}

impl Presence {
    /// The epoch of a claim that is about to be made.
    pub(super) fn next_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Makes `conn` the user's session. The caller has released the one before, which was of an earlier epoch.
    pub(super) fn claim(&mut self, username: Username, conn: ConnId, epoch: u64) {
        self.online.insert(username, Claim { conn, epoch });
    }

    /// The session goes on at `conn`, in the same epoch.
    pub(super) fn moves(&mut self, username: &Username, rooms: &[RoomName], conn: ConnId) {
        let Some(claim) = self.online.get_mut(username) else { return };
        let old = std::mem::replace(&mut claim.conn, conn);
        for room in rooms {
            self.enter(room, conn);
            self.leave(room, old);
        }
    }

    /// Ends the user's session if it is still the one of `epoch`.
    pub(super) fn release(&mut self, username: &Username, epoch: u64) -> bool {
        let held = self.online.get(username).is_some_and(|claim| claim.epoch == epoch);
        if held {
            self.online.remove(username);
        }
        held
    }

    pub(super) fn find(&self, username: &Username) -> Option<Claim> {
        self.online.get(username).copied()
    }

    /// Everybody online, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Username, Claim)> {
        self.online.iter().map(|(username, claim)| (username, *claim))
    }

    /// Everybody online whose name comes after `after`, by name.
    pub(super) fn after(&self, after: Option<&Username>) -> impl Iterator<Item = (&Username, Claim)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.online.range((from, Bound::Unbounded)).map(|(username, claim)| (username, *claim))
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

    /// A room's members online.
    pub(super) fn members(&self, room: &RoomName) -> impl Iterator<Item = ConnId> {
        self.rooms.get(room).into_iter().flatten().copied()
    }
}
