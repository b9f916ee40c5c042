//! Who has to be told what, unasked.

use std::collections::BTreeSet;

use p2pchat_core::registry::store::RoomAction;
use p2pchat_proto::{Capability, FromRegistry, RoomChange, RoomName, Username};

use super::Judge;

impl Judge {
    /// An owner has done something; `put_out` is whose membership it ended.
    pub(super) fn moderated(
        &mut self,
        by: &Username,
        action: &RoomAction,
        room: &RoomName,
        put_out: Option<&Username>,
    ) {
        let change = match action {
            RoomAction::Kick { reason, .. } | RoomAction::Ban { reason, .. } => {
                let Some(username) = put_out else { return };
                let (room, username, by, reason) =
                    (room.clone(), username.clone(), by.clone(), reason.clone());
                let left = FromRegistry::UserLeft { room: room.clone(), username: username.clone() };
                let mut told = vec![username.clone()];
                told.extend(
                    self.present(&room).into_iter().filter(|other| *other != by && *other != username),
                );
                if let Some(live) = self.live.get_mut(&username) {
                    live.rooms.remove(&room);
                }
                let message = match action {
                    RoomAction::Kick { .. } => FromRegistry::RoomKicked { room, username, by, reason },
                    _ => FromRegistry::RoomBanned { room, username, by, reason },
                };
                for conn in told.iter().filter_map(|told| Some(self.live.get(told)?.conn)) {
                    if self.has(conn, Some(Capability::Moderate)) {
                        self.pushes_due.push((conn, message.clone()));
                    } else if self.has(conn, Some(Capability::Roster)) {
                        self.pushes_due.push((conn, left.clone()));
                    }
                }
                return;
            }
            RoomAction::SetPassword(password) => RoomChange::Password { protected: password.is_some() },
            RoomAction::SetCapacity(capacity) => RoomChange::Capacity(*capacity),
            RoomAction::SetDescription(description) => RoomChange::Description(description.clone()),
            RoomAction::SetOwner(username) => RoomChange::Owner(username.clone()),
            _ => return,
        };
        self.expect_change(room, by, change);
    }

    pub(super) fn expect_change(&mut self, room: &RoomName, by: &Username, change: RoomChange) {
        let message = FromRegistry::RoomChanged { room: room.clone(), by: by.clone(), change };
        self.expect(&[room.clone()].into(), by, Some(Capability::Moderate), &message);
    }

    pub(super) fn expect_joined(&mut self, room: &RoomName, username: &Username) {
        let message = FromRegistry::UserJoined { room: room.clone(), username: username.clone() };
        self.expect(&[room.clone()].into(), username, Some(Capability::Roster), &message);
    }

    /// Everybody in one of `rooms` but `username` has to be told.
    pub(super) fn expect(
        &mut self,
        rooms: &BTreeSet<RoomName>,
        username: &Username,
        capability: Option<Capability>,
        message: &FromRegistry,
    ) {
        let others = self
            .live
            .iter()
            .filter(|(other, live)| *other != username && live.rooms.intersection(rooms).next().is_some());
        for (_, live) in others {
            if self.has(live.conn, capability) {
                self.pushes_due.push((live.conn, message.clone()));
            }
        }
    }
}
