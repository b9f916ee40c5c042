//! What the registry may answer.

use std::collections::BTreeSet;

use p2pchat_core::{
    Time,
    registry::{ConnId, InviteDigest},
};
use p2pchat_proto::{
    AuthReply, Capability, Found, FromRegistry, InviteCode, Message, Outcome, PeerList, PeerRecord,
    RegisterReply, RoomName, SearchReply, ToRegistry, Username, Verb,
};

use super::{Checked, Judge, Line};

impl Judge {
    pub(super) fn replied(&mut self, now: Time, conn: ConnId, reply: &FromRegistry) -> Checked {
        self.checked += 1;
        let wrong = |why: &str| Err(format!("the registry answers {reply:?}, but {why}"));
        let Some(view) = self.conns.get_mut(&conn) else { return wrong("to a stream that is gone") };
        let Some(request) = view.asked.pop_front() else { return wrong("was not asked") };
        if reply.verb() != reply_to(&request) {
            return wrong(&format!("was asked {request:?}"));
        }
        let (user, knows) = (view.user.clone(), view.capabilities);
        let verdict = match (&request, reply, &user) {
            (ToRegistry::Register { username, invite, .. }, FromRegistry::Register(reply), _) => {
                let invite = invite.as_ref().filter(|_| knows.has(Capability::Invite));
                self.registered(username, invite, reply)
            }
            (
                ToRegistry::Login { username, port, .. } | ToRegistry::Resume { username, port, .. },
                FromRegistry::Auth(AuthReply::Success { token }),
                _,
            ) => {
                if token.is_some() != knows.has(Capability::Resume) {
                    return wrong("who asked for tokens gets one, and nobody else");
                }
                // By now another may have been given out on another stream.
                let is_durable = |token| self.truth.is_token_of(username, token);
                if !token.as_ref().is_none_or(is_durable) && !self.opening.contains_key(username) {
                    return wrong("the token is not durable");
                }
                let port = port.map_or(0, |port| port.get());
                return self.logged_in(now, conn, username, port, token.is_some());
            }
            (ToRegistry::Login { username, .. }, FromRegistry::Auth(AuthReply::Online { .. }), _)
                if !self.is_online(username) && !self.by_password.contains(username) =>
            {
                Err("the user has no session".to_owned())
            }
            (ToRegistry::CreateRoom { room, .. }, FromRegistry::Creation(Outcome::Success), Some(user))
                if !self.is_durable(user, room) =>
            {
                Err("the room is not durable".to_owned())
            }
            (ToRegistry::JoinRoom { room, password }, FromRegistry::Join(Outcome::Success), Some(user)) => {
                if !self.is_durable(user, room) {
                    return wrong("the membership is not durable");
                }
                let given = password.as_ref().map(|password| password.expose());
                match self.compared.take() {
                    Some(Some(wanted)) if given != Some(&*wanted) => {
                        Err("the room's password was not given".to_owned())
                    }
                    _ => Ok(()),
                }
            }
            (ToRegistry::ExitRoom { room, .. }, FromRegistry::RoomExit(Outcome::Success), Some(user))
                if self.truth.is_member(user, room) =>
            {
                Err("the membership is still there".to_owned())
            }
            (_, FromRegistry::Search(SearchReply::Found(found)), Some(user)) => self.found(conn, user, found),
            (_, FromRegistry::Search(SearchReply::Found(_)), None) => Err("asks nobody".to_owned()),
            (ToRegistry::DiscoverPeers { .. }, FromRegistry::Peers(list), Some(user)) => {
                self.listed(user, list)
            }
            (ToRegistry::DiscoverRoom { room }, FromRegistry::Peers(list), Some(user)) => {
                let present = self.present(room);
                let told = match list {
                    PeerList::Room { members, .. } => Some(members.iter().cloned().collect()),
                    _ => None,
                };
                let allowed = present.contains(user).then_some(present);
                if told != allowed { Err(format!("{user} may see {allowed:?}")) } else { Ok(()) }
            }
            (_, FromRegistry::Contact(outcome), Some(user)) => {
                self.contact_replied(conn, user, &request, outcome)
            }
            (ToRegistry::Park { .. }, FromRegistry::Parked(outcome), Some(user)) => self.park(user, outcome),
            (_, FromRegistry::Contact(Outcome::Success), None) => Err("asks nobody".to_owned()),
            _ => Ok(()),
        };
        verdict.or_else(|why| wrong(&why))
    }

    fn registered(
        &mut self,
        username: &Username,
        invite: Option<&InviteCode>,
        reply: &RegisterReply,
    ) -> Checked {
        match (reply, invite) {
            (RegisterReply::Success, _) if !self.truth.has_account(username) => {
                Err("the account is not durable".to_owned())
            }
            (RegisterReply::Success, None) if self.rules.by_invitation => {
                Err("nobody invited them".to_owned())
            }
            (RegisterReply::Success, Some(code)) => {
                let digest = InviteDigest::of(code);
                let accounts = self.invited.entry(digest).or_default();
                *accounts += 1;
                let may = self.truth.invitation(&digest);
                match may.is_none_or(|may| may < *accounts) {
                    true => Err(format!("that is account {accounts} by {}, made for {may:?}", digest.id())),
                    false => Ok(()),
                }
            }
            (RegisterReply::Failure { .. }, None) if self.rules.by_invitation => Ok(()),
            (RegisterReply::Failure { .. }, _) if !self.grounds => Err("has no reason to".to_owned()),
            (RegisterReply::Failure { .. }, Some(_)) => {
                self.not_invited += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The user goes on without a stream, or is told that they can't.
    fn park(&mut self, user: &Username, outcome: &Outcome) -> Checked {
        let Some(live) = self.live.get_mut(user) else { return Err("is not online".to_owned()) };
        let may = live.token && live.ticket.is_some();
        if may != matches!(outcome, Outcome::Success) {
            return Err(format!("{user} could come back: {may}"));
        }
        if may {
            live.line = Line::Parked;
            self.parked += 1;
        }
        Ok(())
    }

    /// The user is told where another is.
    fn found(&self, conn: ConnId, asker: &Username, found: &Found) -> Checked {
        let shown = found.username.as_ref().and_then(|user| self.shown(asker, user));
        if shown != Some((found.port, found.ip)) {
            return Err(format!("{asker} may know no more than {shown:?}"));
        }
        let can_ask = found.username.as_ref().is_some_and(|user| self.can_ask(conn, user));
        match found.capabilities.has(Capability::Contact) != (found.is_hidden() && can_ask) {
            true => Err(format!("{asker} can ask: {can_ask}")),
            false => Ok(()),
        }
    }

    /// The user is told who is online.
    fn listed(&self, asker: &Username, list: &PeerList) -> Checked {
        let told: BTreeSet<_> = match list {
            PeerList::Detailed(peers) => peers.iter().map(|peer| peer.username.clone()).collect(),
            PeerList::Partial(names) => names.iter().cloned().collect(),
            _ => BTreeSet::new(),
        };
        let online: BTreeSet<_> = self.live.keys().filter(|name| *name != asker).cloned().collect();
        if told != online {
            return Err(format!("online are {online:?}"));
        }
        let is_wrong = |peer: &&PeerRecord| {
            let room = self.shared_room(asker, &peer.username);
            self.shown(asker, &peer.username) != Some((peer.port, peer.ip))
                || room.is_some() != peer.room.is_some()
        };
        match list {
            PeerList::Detailed(peers) if let Some(peer) = peers.iter().find(is_wrong) => {
                let shown = self.shown(asker, &peer.username);
                Err(format!("{asker} may know {shown:?} of {}", peer.username))
            }
            _ => Ok(()),
        }
    }

    /// A room that both are in.
    pub(super) fn shared_room(&self, one: &Username, other: &Username) -> Option<&RoomName> {
        let (one, other) = (self.live.get(one)?, self.live.get(other)?);
        one.rooms.intersection(&other.rooms).next()
    }

    /// True if the user is a member, or was one by the answers that the registry has, and has been put out since.
    fn is_durable(&self, username: &Username, room: &RoomName) -> bool {
        let believed = self.live.get(username).is_some_and(|live| live.rooms.contains(room));
        self.truth.is_member(username, room) || (believed && self.truth.was_put_out(username, room))
    }
}

/// The verb of a request's reply.
fn reply_to(request: &ToRegistry) -> Verb {
    match request {
        ToRegistry::Register { .. } => Verb::Register,
        ToRegistry::Login { .. } | ToRegistry::Resume { .. } => Verb::Auth,
        ToRegistry::CreateRoom { .. } => Verb::Creation,
        ToRegistry::JoinRoom { .. } => Verb::Join,
        ToRegistry::ExitRoom { .. } => Verb::RoomExitResponse,
        ToRegistry::ListRooms { .. } => Verb::RoomsList,
        ToRegistry::SearchUser { .. } => Verb::SearchUserResponse,
        ToRegistry::DiscoverPeers { .. } | ToRegistry::DiscoverRoom { .. } => Verb::PeerList,
        ToRegistry::Kick { .. }
        | ToRegistry::Ban { .. }
        | ToRegistry::Unban { .. }
        | ToRegistry::SetRoom { .. } => Verb::Moderation,
        ToRegistry::ContactRequest { .. } | ToRegistry::ContactResponse { .. } => Verb::Contact,
        ToRegistry::ListBans { .. } => Verb::BanList,
        ToRegistry::Park { .. } => Verb::Parked,
        ToRegistry::LinkKey { .. } => Verb::LinkKey,
        _ => Verb::HelloBack,
    }
}
