//! One's own rooms and who is online in them (§5.3, §7.3).

use std::collections::BTreeSet;

use p2pchat_proto::{Capability, PeerList, RoomName, ToRegistry, Username};

use super::{Event, Peer, RequestError, RequestId, Response, Timer, requests::Purpose};
use crate::time::Time;

/// A room that one is a member of.
#[derive(Debug, Default)]
pub(super) struct Room {
    members: BTreeSet<Username>,
    /// True once the registry has said who is in it, and pushes are news.
    known: bool,
    /// True while the registry is being asked.
    asked: bool,
    /// Broadcasts that wait for the answer.
    waiting: Vec<RequestId>,
}

impl Room {
    pub(super) fn members(&self) -> impl Iterator<Item = &Username> {
        self.members.iter()
    }

    pub(super) fn has(&self, username: &Username) -> bool {
        self.members.contains(username)
    }

    /// Forgets a member, whose name is given back as the registry spells it.
    pub(super) fn lose(&mut self, username: &Username) -> Option<Username> {
        self.members.take(username)
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }
}

impl Peer {
    /// One is a member of `room`: the registry has said so.
    pub(super) fn enter(&mut self, now: Time, room: RoomName) {
        if let Some(entered) = self.rooms.get_mut(&room) {
            // Joined again: the application waits for the event.
            entered.known = false;
        } else if self.rooms.len() < self.config.rooms {
            self.rooms.insert(room.clone(), Room::default());
        } else {
            let limit = self.config.rooms;
            self.fault("registry", format!("says that one is in more than {limit} rooms"));
            return;
        }
        self.refresh(now, &room);
    }

    /// Asks who is in a room, unless that is being asked.
    pub(super) fn refresh(&mut self, now: Time, room: &RoomName) {
        let message = ToRegistry::DiscoverRoom { room: room.clone() };
        if self.rooms.get(room).is_some_and(|room| !room.asked)
            && self.submit(now, message, Purpose::Roster(room.clone(), None)).is_ok()
            && let Some(room) = self.rooms.get_mut(room)
        {
            room.asked = true;
        }
    }

    pub(super) fn refresh_rooms(&mut self, now: Time) {
        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
            self.refresh(now, &room);
        }
    }

    pub(super) fn rosters_due(&mut self, now: Time) {
        self.refresh_rooms(now);
        self.arm(Timer::Rosters, now, self.config.roster_interval);
    }

    pub(super) fn roster_arrived(
        &mut self,
        now: Time,
        room: RoomName,
        request: Option<RequestId>,
        list: PeerList,
    ) {
        match list {
            PeerList::Room { room: named, members } if named == room => {
                let members = members.into_vec();
                if let Some(request) = request {
                    self.complete(request, Ok(Response::Members(members.clone())));
                }
                self.set_roster(now, room, members, request.is_none());
            }
            PeerList::Failure { reason } => {
                let error = reason.map_or(RequestError::NotAMember, |reason| {
                    RequestError::Refused(Some(reason.as_str().to_owned()))
                });
                if let Some(request) = request {
                    self.complete(request, Err(error));
                }
                if self.rooms.contains_key(&room)
                    && let Some(username) = self.username().cloned()
                {
                    self.drop_room(now, &room);
                    self.tell(Event::MemberLeft { room, username });
                }
                self.settle_doubts(now);
            }
            _ => {
                let error = RequestError::Unexpected("a list of another kind".to_owned());
                self.roster_failed(now, &room, request, error);
            }
        }
    }

    fn set_roster(&mut self, now: Time, name: RoomName, members: Vec<Username>, answers_refresh: bool) {
        // Only members are told: whoever gets the list is in the room, and may not have known.
        if !self.rooms.contains_key(&name) && self.rooms.len() < self.config.rooms {
            self.rooms.insert(name.clone(), Room::default());
        }
        let me = self.username().cloned();
        let Some(room) = self.rooms.get_mut(&name) else { return };
        let new: BTreeSet<_> = members.iter().cloned().collect();
        let old = std::mem::replace(&mut room.members, new);
        let was_known = std::mem::replace(&mut room.known, true);
        if answers_refresh {
            room.asked = false;
        }
        let waiting = std::mem::take(&mut room.waiting);
        let others = |members: &BTreeSet<Username>, without: &BTreeSet<Username>| {
            members.difference(without).filter(|name| Some(*name) != me.as_ref()).cloned().collect::<Vec<_>>()
        };
        let (came, went) = (others(&room.members, &old), others(&old, &room.members));

        if !was_known {
            self.tell(Event::RoomEntered { room: name.clone(), members });
        } else {
            for username in came {
                self.tell(Event::MemberOnline { room: name.clone(), username });
            }
            for username in went {
                self.tell(Event::MemberOffline { username, rooms: vec![name.clone()] });
            }
        }
        for request in waiting {
            self.start_broadcast(now, request);
        }
        self.settle_doubts(now);
    }

    /// The registry could not be asked. What was known is still the best there is.
    pub(super) fn roster_failed(
        &mut self,
        now: Time,
        room: &RoomName,
        request: Option<RequestId>,
        error: RequestError,
    ) {
        match request {
            Some(request) => self.complete(request, Err(error)),
            None => {
                let Some(room) = self.rooms.get_mut(room) else { return };
                room.asked = false;
                let known = room.known;
                for request in std::mem::take(&mut room.waiting) {
                    match known {
                        true => self.start_broadcast(now, request),
                        false => self.end_broadcast(request, Err(error.clone())),
                    }
                }
            }
        }
        self.settle_doubts(now);
    }

    /// Begins a broadcast with a roster as fresh as can be had.
    pub(super) fn broadcast_when_known(&mut self, now: Time, name: &RoomName, request: RequestId) {
        let pushed = self.has(Capability::Roster) && !self.is_coming_back();
        // No broadcast overtakes one that waits.
        let current =
            self.rooms.get(name).is_some_and(|room| room.known && pushed && room.waiting.is_empty());
        if !current {
            self.refresh(now, name);
        }
        match self.rooms.get_mut(name) {
            Some(room) if room.asked && !current => room.waiting.push(request),
            Some(room) if room.known => self.start_broadcast(now, request),
            _ => self.end_broadcast(request, Err(RequestError::NotConnected)),
        }
    }

    pub(super) fn user_joined(&mut self, now: Time, room: RoomName, username: Username) {
        if self.is_me(&username) {
            if !self.rooms.contains_key(&room) {
                self.enter(now, room);
            }
            return;
        }
        let limit = usize::try_from(self.config.limits.capacity).unwrap_or(usize::MAX);
        if let Some(known) = self.rooms.get_mut(&room).filter(|room| room.known)
            && known.members.len() < limit
            && known.members.insert(username.clone())
        {
            self.tell(Event::MemberOnline { room, username });
            self.settle_doubts(now);
        }
    }

    pub(super) fn user_left(&mut self, now: Time, room: &RoomName, username: Username) {
        if !self.rooms.contains_key(room) {
            return;
        }
        if self.is_me(&username) {
            self.drop_room(now, room);
        } else if let Some(known) = self.rooms.get_mut(room) {
            known.lose(&username);
            self.forget_said_in(room, Some(&username));
        }
        self.tell(Event::MemberLeft { room: room.clone(), username });
    }

    pub(super) fn user_offline(&mut self, username: Username) {
        if self.is_me(&username) {
            return;
        }
        let shared = self
            .rooms
            .iter_mut()
            .filter_map(|(name, room)| room.members.remove(&username).then(|| name.clone()));
        let rooms = shared.collect();
        self.tell(Event::MemberOffline { username, rooms });
    }

    /// One is no member of a room any more.
    pub(super) fn drop_room(&mut self, now: Time, room: &RoomName) {
        if let Some(known) = self.rooms.remove(room) {
            self.forget_said_in(room, None);
            for request in known.waiting {
                self.end_broadcast(request, Err(RequestError::NotAMember));
            }
            self.settle_doubts(now);
        }
    }

    pub(super) fn drop_rooms(&mut self, now: Time) {
        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
            self.drop_room(now, &room);
        }
    }
}
