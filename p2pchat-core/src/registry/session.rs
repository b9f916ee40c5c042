//! Sessions: their beginning, their keep-alives, their end, and what others are told of them (§5.1, §5.2, §5.4).

use std::collections::BTreeSet;

use p2pchat_proto::{
    AuthReply, Capability, Dialect, FromRegistry, FromRegistryDatagram, PeerPort, RoomName, SessionToken,
    Username,
};

use super::{
    BusEvent, ConnId, Effect, Registry,
    connection::{Connection, Phase, Session},
    operator::ACCOUNT_DELETED,
    resume::{ELSEWHERE, NOT_GOOD},
    store::TokenDigest,
};
use crate::time::Time;

/// What a session begins with, once the password or the token was right.
pub(super) struct Login {
    pub(super) username: Username,
    pub(super) port: Option<PeerPort>,
    pub(super) rooms: Vec<RoomName>,
    /// Its place in the order in which sessions are opened.
    pub(super) epoch: u64,
    /// What continues it on another stream.
    pub(super) token: Option<SessionToken>,
    /// The account's token that was given out last.
    pub(super) current: Option<TokenDigest>,
    /// It continues the one before, if that is still there.
    pub(super) resumes: bool,
}

impl Registry {
    /// Begins a session, unless the user is banned. The one before, of which the caller knows that it may be replaced, is told
    /// so and ends.
    pub(super) fn log_in(&mut self, now: Time, conn: ConnId, login: Login) -> Result<(), AuthReply> {
        let Login { username, port, rooms, epoch, token, current, resumes } = login;
        // The ban may have come since the password was compared.
        if let Some(refusal) = self.banned(now, conn, &username) {
            return Err(refusal);
        }
        if self.deleted.contains(&username) {
            return Err(AuthReply::Failure { reason: self.reason(conn, ACCOUNT_DELETED) });
        }
        let old = self.place(&username).and_then(|old| Some((old, self.connections.get(old)?)));
        let old = match old
            .map(|(old, place)| (old, place.session().map(|session| session.epoch), place.is_parked()))
        {
            // The store had that one opened after this one, and took what was given out here back.
            Some((_, Some(later), _)) if later > epoch => {
                return Err(match resumes {
                    true => AuthReply::Failure { reason: self.reason(conn, NOT_GOOD) },
                    // The password was right: no peer is to take it for a wrong one.
                    false => AuthReply::Online { reason: self.reason(conn, ELSEWHERE) },
                });
            }
            Some((old, _, parked)) => {
                tracing::info!(user = %username, resumes, "the session before is replaced");
                self.evict(old, resumes).map(|old| (old, parked))
            }
            None => None,
        };
        let (old, parked) = old.filter(|_| resumes).unzip();
        match parked {
            Some(true) => {}
            Some(false) => self.contacts_resumed(&username),
            None => self.contacts.end(&username),
        }
        self.counts.resumed += u64::from(resumes);

        self.listings.changed(&username);
        self.presence.claim(username.clone(), conn);
        for room in &rooms {
            self.presence.enter(room, conn);
        }
        let lease = self.config.default_lease;
        let Some(connection) = self.connections.get_mut(conn) else { return Ok(()) };
        connection.heard(now);
        tracing::info!(?conn, user = %username, remote = %connection.remote, resumes, "logged in");
        connection.phase = Phase::LoggedIn(Box::new(Session {
            username: username.clone(),
            port,
            rooms: rooms.clone(),
            epoch,
            since: old.as_ref().map_or(now, |old| old.since),
            lease,
            end: self.leases.begin(conn, now + lease),
            datagrams: None,
            quiet_until: Time::ZERO,
            ticket: None,
            has_token: token.is_some(),
            current: current.map(Box::new),
            key: connection.work.as_ref().and_then(|work| work.key.clone()),
        }));
        let told = connection.has(Capability::Roster);
        self.send(conn, FromRegistry::Auth(AuthReply::Success { token }));
        self.ask_for_ticket(conn);
        if parked == Some(true) {
            self.tell_contacts(conn, &username);
        }
        for room in rooms {
            if told {
                self.send(conn, FromRegistry::UserJoined { room: room.clone(), username: username.clone() });
            }
            // Who saw them there before has nothing to be told.
            if old.as_ref().is_none_or(|old| !old.rooms.contains(&room)) {
                self.publish(BusEvent::Joined { room, username: username.clone() });
            }
        }
        Ok(())
    }

    /// What a user is told who gives the right password and is kept out.
    pub(super) fn banned(&mut self, now: Time, conn: ConnId, username: &Username) -> Option<AuthReply> {
        let why = self.bans.words_for(now, username)?;
        self.counts.refused_banned += 1;
        Some(AuthReply::Failure { reason: self.reason(conn, &why) })
    }

    /// Ends the stream's session, if it has one, and tells those who share a room with the user.
    pub(super) fn end_session(&mut self, conn: ConnId) {
        if let Some(session) = self.take_session(conn) {
            tracing::info!(?conn, user = %session.username, "offline");
            self.contacts.end(&session.username);
            self.publish(BusEvent::Offline { username: session.username, rooms: session.rooms });
        }
    }

    fn take_session(&mut self, conn: ConnId) -> Option<Session> {
        let connection = self.connections.get_mut(conn)?;
        let phase = std::mem::replace(&mut connection.phase, Phase::Anonymous);
        let Phase::LoggedIn(session) = phase else {
            connection.phase = phase;
            return None;
        };
        self.leases.cancel(conn, session.end);
        if self.presence.release(&session.username, conn) {
            self.listings.changed(&session.username);
            for room in &session.rooms {
                self.presence.leave(room, conn);
            }
        }
        Some(*session)
    }

    /// Ends a session that another one replaces: its user stays online, so nobody else is told.
    fn evict(&mut self, conn: ConnId, resumes: bool) -> Option<Session> {
        let mut session = self.take_session(conn);
        match (&mut session, self.connections.get(conn)) {
            // Who has the token is who had that session, and has come.
            (Some(_), Some(connection)) if connection.is_parked() && resumes => {}
            (Some(session), Some(connection))
                if !connection.is_parked() && connection.has(Capability::Resume) =>
            {
                self.send(conn, FromRegistry::Replaced { username: session.username.clone() });
            }
            (Some(session), _) => self.say_timeout(conn, session),
            (None, _) => {}
        }
        self.close(conn);
        session
    }

    /// No keep-alive came in time.
    pub(super) fn time_out(&mut self, conn: ConnId) {
        if let Some(mut session) = self.take_session(conn) {
            self.counts.timed_out += 1;
            self.contacts.end(&session.username);
            tracing::info!(?conn, user = %session.username, lease = ?session.lease, "timed out");
            self.say_timeout(conn, &mut session);
            self.publish(BusEvent::Offline { username: session.username, rooms: session.rooms });
        }
        self.close(conn);
    }

    /// TIMEOUT on both links (§4.14), or WAKE to who is parked (§7.12).
    fn say_timeout(&mut self, conn: ConnId, session: &mut Session) {
        if self.connections.get(conn).is_some_and(Connection::is_parked) {
            return self.wake_from(session);
        }
        let username = session.username.clone();
        if let Some(to) = session.datagrams {
            let message = FromRegistryDatagram::Timeout { username: username.clone() };
            self.effects.push_back(Effect::SendDatagram { to, message });
        }
        self.send(conn, FromRegistry::Timeout { username });
    }

    /// Tells everybody whom an event concerns, on this node and, if there are any, on the others.
    pub(super) fn publish(&mut self, event: BusEvent) {
        self.deliver(&event);
        if self.config.publish_events {
            self.effects.push_back(Effect::Publish(event));
        }
    }

    /// Tells everybody on this node whom an event concerns; the user knows from the answer to their request.
    pub(super) fn deliver(&mut self, event: &BusEvent) {
        match event {
            BusEvent::Joined { room, username } => {
                let message = FromRegistry::UserJoined { room: room.clone(), username: username.clone() };
                self.push(&self.others([room], username), Some(Capability::Roster), &message);
            }
            BusEvent::Left { room, username } => {
                let message = FromRegistry::UserLeft { room: room.clone(), username: username.clone() };
                self.push(&self.others([room], username), Some(Capability::Roster), &message);
            }
            BusEvent::PutOut { .. } => self.deliver_put_out(event),
            BusEvent::Changed { room, by, change } => {
                let (room, by, change) = (room.clone(), by.clone(), change.clone());
                let conns = self.others([&room], &by);
                self.push(
                    &conns,
                    Some(Capability::Moderate),
                    &FromRegistry::RoomChanged { room, by, change },
                );
            }
            BusEvent::Offline { username, rooms } => {
                let message = FromRegistry::UserLogout { username: username.clone() };
                self.push(&self.others(rooms, username), None, &message);
            }
        }
    }

    /// Everybody online in at least one of `rooms`, once, but `username`.
    pub(super) fn others<'a>(
        &self,
        rooms: impl IntoIterator<Item = &'a RoomName>,
        username: &Username,
    ) -> BTreeSet<ConnId> {
        let members = rooms.into_iter().flat_map(|room| self.presence.members(room));
        members.filter(|&conn| self.user(conn) != Some(username)).collect()
    }

    /// Sends what nobody asked for. The prototype takes every message for an answer, so it gets none.
    pub(super) fn push(
        &mut self,
        conns: &BTreeSet<ConnId>,
        capability: Option<Capability>,
        message: &FromRegistry,
    ) {
        for &conn in conns {
            let wanted = self.connections.get(conn).is_some_and(|connection| {
                connection.dialect == Dialect::Canonical && capability.is_none_or(|c| connection.has(c))
            });
            if wanted {
                self.send(conn, message.clone());
            }
        }
    }
}
