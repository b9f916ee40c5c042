//! Keep-alives (PROTOCOL.md §5.2), and tickets: a secret for each session, which they prove (§7.6).

use std::{
    fmt,
    hint::black_box,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use p2pchat_proto::{
    Capability, Dialect, FromRegistry, FromRegistryDatagram, SessionTicket, SessionToken, ToRegistryDatagram,
    Username,
};

use super::{
    ConnId, Effect, Registry,
    answers::Step,
    connection::{Connection, Line},
};
use crate::time::Time;

/// For so many datagrams at a time what they need is looked at.
const SIDE_BY_SIDE: usize = 32;

/// Whose session a datagram is about, and for how long it wants it to live.
fn user(datagram: &ToRegistryDatagram) -> Option<(&Username, Option<u32>)> {
    match datagram {
        ToRegistryDatagram::KeepAlive { username, timeout } => Some((username, *timeout)),
        ToRegistryDatagram::ProvenKeepAlive { username, timeout, .. } => Some((username, Some(*timeout))),
        _ => None,
    }
}

/// What a session's keep-alives prove, and which of them have come.
pub(super) struct Ticket {
    /// The bits of it, of which there may be a million.
    secret: [u8; 32],
    /// The largest sequence number so far.
    pub(super) last: u64,
    /// Where the last one that could be answered came from, or the stream.
    ip: IpAddr,
    /// The last one has had a WAKE.
    pub(super) woken: bool,
}

impl Ticket {
    fn new(secret: &SessionTicket, ip: IpAddr) -> Self {
        Self { secret: secret.to_bits(), last: 0, ip, woken: false }
    }

    pub(super) fn secret(&self) -> SessionTicket {
        SessionTicket::from_random(self.secret)
    }

    /// True if `datagram` proves the ticket, and isn't a copy of one that has done so, nor older.
    pub(super) fn is_proven_by(&mut self, datagram: &ToRegistryDatagram) -> bool {
        let ToRegistryDatagram::ProvenKeepAlive { sequence, .. } = datagram else { return false };
        let own = sequence.get() > self.last && datagram.proves(&self.secret());
        if own {
            self.last = sequence.get();
            self.woken = false;
        }
        own
    }

    /// True if the one before came from another address.
    fn has_moved_to(&mut self, ip: IpAddr) -> bool {
        std::mem::replace(&mut self.ip, ip) != ip
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Registry {
    /// A session has begun on the stream, or its keep-alives come from another address than before: where that was agreed on,
    /// it gets a new ticket as soon as there is one. The stream's requests don't wait for it, and until then the session's
    /// keep-alives prove it by the ticket before, or by their address. Who doesn't get it, since they have moved and the stream
    /// is dead, isn't answered any more and so comes back on another stream.
    pub(super) fn ask_for_ticket(&mut self, conn: ConnId) {
        let agreed = self.connections.get(conn).is_some_and(|connection| connection.has(Capability::Ticket));
        if agreed && let Some(op) = self.open_aside(conn, Step::Ticket) {
            self.effects.push_back(Effect::Token { op });
        }
    }

    /// Bits have been made for a ticket.
    pub(super) fn give_ticket(&mut self, conn: ConnId, bits: SessionToken) {
        // The stream may have ended meanwhile: who comes back on another gets a ticket there. Or it has said another hello.
        let wants =
            |connection: &&mut Connection| connection.has_stream() && connection.has(Capability::Ticket);
        let connection = self.connections.get_mut(conn).filter(wants);
        let Some(remote) = connection.as_ref().map(|connection| connection.remote.ip().to_canonical()) else {
            return;
        };
        if let Some(session) = connection.and_then(|connection| connection.session_mut()) {
            let secret = SessionTicket::from_fresh(bits);
            let ip = session.ticket.as_ref().map_or(remote, |ticket| ticket.ip);
            session.ticket = Some(Ticket::new(&secret, ip));
            self.send(conn, FromRegistry::Ticket { ticket: secret });
        }
    }

    /// Reads what is kept of the sessions that datagrams are for, and does nothing with it. Of a million sessions hardly one is
    /// in the processor's caches, and four places have to be read one after the other to handle a datagram. Here each is read
    /// for many datagrams side by side, so that the processor waits for them together.
    pub(super) fn look_ahead(&self, datagrams: &[(SocketAddr, ToRegistryDatagram)]) {
        for datagrams in datagrams.chunks(SIDE_BY_SIDE) {
            let (mut hashes, mut places) = ([None; SIDE_BY_SIDE], [None; SIDE_BY_SIDE]);
            let mut connections = [None; SIDE_BY_SIDE];
            for (hash, (_, datagram)) in hashes.iter_mut().zip(datagrams) {
                *hash = user(datagram).map(|(username, _)| self.presence.hash(username));
            }
            for (place, hash) in places.iter_mut().zip(hashes) {
                *place = hash.and_then(|hash| self.presence.first_of(hash));
            }
            for (connection, place) in connections.iter_mut().zip(places) {
                *connection = place.and_then(|conn| self.connections.get(conn));
                black_box(connection.map(|connection| (connection.remote, connection.line)));
            }
            for session in connections.into_iter().flatten().filter_map(Connection::session) {
                black_box((session.end, session.quiet_until, session.datagrams));
                black_box(session.ticket.as_ref().map(|ticket| (ticket.secret, ticket.last)));
            }
        }
    }

    /// Renews a session. It is proven by its ticket, from wherever the datagram comes; without one, by coming from where the
    /// session's stream comes from. False for any other, which changes nothing and gets no answer.
    pub(super) fn keep_alive(&mut self, now: Time, from: SocketAddr, datagram: &ToRegistryDatagram) -> bool {
        let Some((username, timeout)) = user(datagram) else { return false };
        let config = &self.config;
        let Some(conn) = self.place(username) else { return false };
        // One that waits for its user doesn't wait longer for it.
        let Some(connection) = self.connections.get_mut(conn).filter(|c| !c.waits()) else {
            return false;
        };
        let (home, here) = (connection.remote.ip().to_canonical(), from.ip().to_canonical());
        let near = home == here;
        let answers = connection.dialect == Dialect::Canonical;
        let mut line = connection.line;
        let Some(session) = connection.session_mut() else { return false };
        let (own, has_ticket) = match &mut session.ticket {
            Some(ticket) => (ticket.is_proven_by(datagram), true),
            None => (near && matches!(datagram, ToRegistryDatagram::KeepAlive { .. }), false),
        };
        if !own {
            tracing::debug!(user = %username, %from, has_ticket, "a keep-alive that proves nothing");
            return false;
        }
        let asked = timeout.map_or(config.default_lease, |seconds| Duration::from_secs(seconds.into()));
        let asked = asked.clamp(config.min_lease, config.max_lease);
        // Without a ticket, one from another port may be somebody else's: it can't make the session shorter.
        let usual = has_ticket || *session.datagrams.get_or_insert(from) == from;
        let rested = now >= session.quiet_until;
        // No more often than that, as the peer answers a ticket with a keep-alive, which may come from yet another address.
        let moved = rested && session.ticket.as_mut().is_some_and(|ticket| ticket.has_moved_to(here));
        if has_ticket {
            session.datagrams = Some(from);
        }
        session.lease = if usual { asked } else { asked.max(session.lease) };
        self.leases.renew(conn, &mut session.end, now + session.lease);
        if answers && rested {
            session.quiet_until = now + config.keep_alive_answer_interval;
            let message = match (&mut line, &mut session.ticket) {
                (Line::Parked { wanted }, Some(ticket)) => {
                    // There is no stream to give it a new ticket on.
                    *wanted |= moved;
                    self.counts.wakes += u64::from(*wanted);
                    ticket.answer(*wanted)
                }
                _ => Some(FromRegistryDatagram::KeepAliveSuccess),
            };
            self.effects.extend(message.map(|message| Effect::SendDatagram { to: from, message }));
        }
        connection.line = line;
        connection.heard(now);
        if moved && connection.has_stream() {
            self.ask_for_ticket(conn);
        }
        self.counts.keep_alives += 1;
        true
    }
}
