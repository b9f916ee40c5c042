//! What a room's owner may do, and what members are told of it (§7.7).

use std::collections::BTreeSet;

use p2pchat_proto::{Capability, FromRegistry, Reason, RoomChange, RoomName, RoomSetting, Username};

use super::{
    BusEvent, ConnId, HashRequest, Registry,
    answers::Step,
    refusal::Refused,
    store::{Read, RoomAction, StoreAnswer, StoreRequest, Write},
};
use crate::time::Time;

const NOT_A_MEMBER: &str = "there is no such room, or you are not a member of it";

impl Registry {
    /// Asks the store, which knows who owns the room.
    pub(super) fn moderate(&mut self, now: Time, conn: ConnId, room: RoomName, action: RoomAction) {
        let Some(by) = self.may_moderate(conn, Refused::Moderation, &room) else { return };
        if let RoomAction::Kick { username, .. } | RoomAction::Ban { username, .. } = &action
            && *username == by
        {
            return self.refuse(conn, Refused::Moderation, "that is you; you can leave the room instead");
        }
        self.moderate_store(now, conn, by, room, action);
    }

    pub(super) fn moderate_store(
        &mut self,
        now: Time,
        conn: ConnId,
        by: Username,
        room: RoomName,
        action: RoomAction,
    ) {
        let bans_per_room = self.config.bans_per_room;
        let step = Step::Moderate { action: Box::new(action.clone()) };
        self.store(now, conn, StoreRequest::Write(Write::Moderate { room, by, action, bans_per_room }), step);
    }

    pub(super) fn set_room(&mut self, now: Time, conn: ConnId, room: RoomName, setting: RoomSetting) {
        let action = match setting {
            RoomSetting::Password(Some(digest)) => {
                if self.may_moderate(conn, Refused::Moderation, &room).is_some() {
                    self.hash(now, conn, HashRequest::Create { digest }, Step::PasswordHash { room });
                }
                return;
            }
            RoomSetting::Password(None) => RoomAction::SetPassword(None),
            RoomSetting::Capacity(capacity) => RoomAction::SetCapacity(capacity),
            RoomSetting::Description(description) => RoomAction::SetDescription(description),
            RoomSetting::Owner(username) => RoomAction::SetOwner(username),
            // A form that proto knows and this registry doesn't.
            _ => return self.refuse(conn, Refused::Moderation, "this registry does not know that setting"),
        };
        self.moderate(now, conn, room, action);
    }

    pub(super) fn list_bans(&mut self, now: Time, conn: ConnId, room: RoomName) {
        if let Some(username) = self.may_moderate(conn, Refused::Bans, &room) {
            let request = StoreRequest::Read(Read::RoomBans { room, username });
            self.store(now, conn, request, Step::RoomBans);
        }
    }

    /// The stream's user, if they may be the room's owner, who is always a member; else the request is refused.
    fn may_moderate(&mut self, conn: ConnId, what: Refused, room: &RoomName) -> Option<Username> {
        let user = self.session(conn, what)?;
        let knows = self.connections.get(conn).is_some_and(|c| c.has(Capability::Moderate));
        let why = match (knows, self.is_member(conn, room)) {
            (true, true) => return Some(user),
            (false, _) => "that takes the capability moderate",
            (true, false) => NOT_A_MEMBER,
        };
        self.refuse(conn, what, why);
        None
    }

    /// Why the store hasn't done what the owner, or somebody else, wanted.
    pub(super) fn why_not_moderated(&self, step: &Step, answer: &StoreAnswer) -> Option<String> {
        let about = match step {
            Step::Moderate { action } => match &**action {
                RoomAction::Kick { username, .. }
                | RoomAction::Ban { username, .. }
                | RoomAction::Unban { username }
                | RoomAction::SetOwner(username) => username.as_str(),
                _ => "",
            },
            Step::RoomBans => "",
            _ => return None,
        };
        Some(match answer {
            StoreAnswer::NotAMember => NOT_A_MEMBER.to_owned(),
            StoreAnswer::NotOwner { owner } => format!("only the room's owner can do that, who is {owner}"),
            StoreAnswer::NoSuchMember => format!("{about} is not a member of that room"),
            StoreAnswer::NoSuchAccount => format!("there is no user {about}"),
            StoreAnswer::NotBanned => format!("{about} is not banned from that room"),
            StoreAnswer::TooManyBans => {
                format!("{} users are banned from that room, which is the limit", self.config.bans_per_room)
            }
            StoreAnswer::TooFewPlaces { members } => {
                format!("the room has {members} members, and can't take fewer")
            }
            _ => return None,
        })
    }

    pub(super) fn refuse_banned(&mut self, now: Time, conn: ConnId, reason: Option<&Reason>) {
        let words = reason.map(Reason::as_str).filter(|words| !words.is_empty());
        let why = match words {
            None => "you are banned from that room".to_owned(),
            Some(words) => format!("you are banned from that room: {words}"),
        };
        self.refuse_step(now, conn, Refused::Join, &why);
    }

    /// What a room's owner did is durable; they may be gone by now.
    pub(super) fn moderated(
        &mut self,
        by: Username,
        room: RoomName,
        action: RoomAction,
        whom: Option<Username>,
        removed: bool,
    ) {
        tracing::info!(user = %by, %room, ?action, "a room's owner");
        let banned = matches!(action, RoomAction::Ban { .. });
        let change = match (action, whom) {
            (RoomAction::Kick { reason, .. } | RoomAction::Ban { reason, .. }, Some(username)) => {
                if removed {
                    self.publish(BusEvent::PutOut { room, username, by, reason, banned });
                }
                return;
            }
            (RoomAction::SetPassword(password), _) => RoomChange::Password { protected: password.is_some() },
            (RoomAction::SetCapacity(capacity), _) => RoomChange::Capacity(capacity),
            (RoomAction::SetDescription(description), _) => RoomChange::Description(description),
            (RoomAction::SetOwner(_), Some(owner)) => RoomChange::Owner(owner),
            _ => return,
        };
        self.publish(BusEvent::Changed { room, by, change });
    }

    /// Ends what the user's session, if it is on this node, has of the membership, and tells them and the members.
    pub(super) fn deliver_put_out(&mut self, event: &BusEvent) {
        let BusEvent::PutOut { room, username, by, reason, banned } = event else { return };
        let mut conns = self.others([room], by);
        if let Some(conn) = self.place(username) {
            if let Some(session) = self.connections.get_mut(conn).and_then(|c| c.session_mut()) {
                session.rooms.retain(|other| other != room);
                conns.insert(conn);
            }
            self.presence.leave(room, conn);
        }

        let (room, username, by, reason) = (room.clone(), username.clone(), by.clone(), reason.clone());
        let left = FromRegistry::UserLeft { room: room.clone(), username: username.clone() };
        let told = match banned {
            true => FromRegistry::RoomBanned { room, username, by, reason },
            false => FromRegistry::RoomKicked { room, username, by, reason },
        };
        let has = |conn: &ConnId| self.connections.get(*conn).is_some_and(|c| c.has(Capability::Moderate));
        let (knowing, others): (BTreeSet<_>, BTreeSet<_>) = conns.into_iter().partition(has);
        self.push(&knowing, Some(Capability::Moderate), &told);
        self.push(&others, Some(Capability::Roster), &left);
    }
}
