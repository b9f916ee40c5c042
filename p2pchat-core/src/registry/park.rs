//! Parked sessions: users who are online without a stream, by their keep-alives alone (PROTOCOL.md §7.12).
//!
//! A parked session has a place of its own as one has that waits for its user (`resume.rs`), but it doesn't end so soon. What
//! would have gone to its stream wakes it instead.

use std::num::NonZeroU64;

use p2pchat_proto::{Capability, FromRegistry, FromRegistryDatagram, Outcome, Username};

use super::{
    ConnId, Effect, Registry,
    connection::{Line, Session},
    keep_alive::Ticket,
    refusal::Refused,
    report,
};

impl Ticket {
    /// The answer to the last keep-alive. Where there is none it has no number: nothing was proven, and nothing is answered.
    pub(super) fn answer(&mut self, wanted: bool) -> Option<FromRegistryDatagram> {
        let sequence = NonZeroU64::new(self.last)?;
        self.woken = wanted;
        Some(match wanted {
            true => FromRegistryDatagram::wake(&self.secret(), sequence),
            false => FromRegistryDatagram::parked(&self.secret(), sequence),
        })
    }
}

impl Session {
    /// A WAKE to where the last keep-alive came from, unless that has had one: together with the other answer it is
    /// smaller than what it answers, but only once.
    fn wake(&mut self) -> Option<Effect> {
        let (to, ticket) = self.datagrams.zip(self.ticket.as_mut().filter(|ticket| !ticket.woken))?;
        Some(Effect::SendDatagram { to, message: ticket.answer(true)? })
    }
}

impl Registry {
    pub(super) fn park(&mut self, conn: ConnId, username: &Username) {
        let Some(user) = self.session(conn, Refused::Park) else { return };
        let Some(connection) = self.connections.get(conn) else { return };
        let can_come_back = connection.session().is_some_and(|s| s.has_token && s.ticket.is_some());
        let full = self.parked >= self.config.parked;
        let why = if user != *username {
            "that is not your username"
        } else if !connection.has(Capability::Park) {
            "this connection has not agreed on park"
        } else if !can_come_back {
            "there is no ticket or no token to come back by yet"
        } else if self.draining {
            "the registry is about to end"
        } else if full {
            self.counts.refused_parks += 1;
            report("parked sessions", self.counts.refused_parks, connection.remote.ip());
            "as many sessions are parked as may be"
        } else {
            tracing::info!(?conn, %user, "parked");
            let Some(until) = connection.session().map(|session| session.end.due()) else { return };
            self.send(conn, FromRegistry::Parked(Outcome::Success));
            self.leave_stream(conn, until, Line::Parked { wanted: false });
            return self.close(conn);
        };
        self.refuse(conn, Refused::Park, why);
    }

    /// Something waits for a session that is parked.
    pub(super) fn want(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn).filter(|c| c.is_parked()) else { return };
        connection.line = Line::Parked { wanted: true };
        if let Some(session) = connection.session_mut() {
            let wake = session.wake();
            self.say_wake(wake);
        }
    }

    /// The same for a session that has ended where it was parked: its user comes back and learns why.
    pub(super) fn wake_from(&mut self, session: &mut Session) {
        let wake = session.wake();
        self.say_wake(wake);
    }

    fn say_wake(&mut self, wake: Option<Effect>) {
        self.counts.wakes += u64::from(wake.is_some());
        self.effects.extend(wake);
    }
}
