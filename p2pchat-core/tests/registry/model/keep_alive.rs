//! Keep-alives (§5.2), and tickets that they prove (§7.6), as the model has them.

use super::*;
use crate::world::ticket;

/// What a session's keep-alives prove.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) number: u64,
    /// The largest number of a keep-alive so far.
    pub(super) last: u64,
    /// Where that came from, or else the stream.
    ip: IpAddr,
}

impl Model {
    /// A ticket will come as soon as there are bits for one: before the answer to anything that asks store or hash.
    pub(super) fn ticket_is_due(&mut self, slot: usize) {
        if self.has(slot, "ticket") {
            self.tickets_due.push((slot, self.streams[&slot].serial));
        }
    }

    pub(super) fn give_tickets(&mut self) {
        for (slot, serial) in std::mem::take(&mut self.tickets_due) {
            self.tokens_made += 1;
            let number = self.tokens_made;
            let wants = self.has(slot, "ticket");
            let Some(stream) = self.stream(slot, serial).filter(|stream| wants && !stream.gone) else {
                continue;
            };
            let from = address(stream.ip);
            if let Some(session) = &mut stream.session {
                let ip = session.ticket.as_ref().map_or(from, |ticket| ticket.ip);
                session.ticket = Some(Ticket { number, last: 0, ip });
                self.say(slot, &format!("TICKET <{}>", ticket(number).expose()));
            }
        }
    }

    pub(super) fn keep_alive(&mut self, name: &str, from: SocketAddr, timeout: Option<u64>) {
        let slot = self.online(&key(name)).filter(|slot| *slot < SLOTS);
        self.turn_of(slot.unwrap_or(0));
        let now = self.now;
        let Some(stream) = self.online(&key(name)).and_then(|slot| self.streams.get_mut(&slot)) else {
            return;
        };
        let session = stream.session.as_mut().unwrap();
        if stream.gone || session.ticket.is_some() || address(stream.ip) != from.ip().to_canonical() {
            return;
        }
        stream.heard = now;
        let asked = timeout.unwrap_or(10).clamp(3, 120) * SECOND;
        let is_usual = *session.first_datagram.get_or_insert(from) == from;
        session.lease = if is_usual { asked } else { asked.max(session.lease) };
        session.ends = now + session.lease;
        if !stream.prototype && session.answered.is_none_or(|at| now - at >= SECOND) {
            session.answered = Some(now);
            self.datagrams.push((from, "KEEP_ALIVE_RESPONSE <SUCCESS> <200>".to_owned()));
        }
    }

    pub(super) fn proven(
        &mut self,
        name: &str,
        from: SocketAddr,
        timeout: u32,
        (number, sequence): (u64, u64),
    ) {
        let slot = self.online(&key(name)).filter(|slot| *slot < SLOTS);
        self.turn_of(slot.unwrap_or(0));
        let now = self.now;
        let Some(slot) = self.online(&key(name)) else { return };
        let Some(stream) = self.streams.get_mut(&slot).filter(|stream| !stream.gone) else { return };
        let session = stream.session.as_mut().unwrap();
        let Some(ticket) = session.ticket.as_mut().filter(|ticket| ticket.number == number) else { return };
        if sequence <= ticket.last {
            return;
        }
        ticket.last = sequence;
        session.first_datagram = Some(from);
        session.lease = u64::from(timeout.clamp(3, 120)) * SECOND;
        session.ends = now + session.lease;
        stream.heard = now;
        if session.answered.is_none_or(|at| now - at >= SECOND) {
            session.answered = Some(now);
            self.datagrams.push((from, "KEEP_ALIVE_RESPONSE <SUCCESS> <200>".to_owned()));
            // Whoever reads the ticket where they are now is there.
            let ip = from.ip().to_canonical();
            if std::mem::replace(&mut ticket.ip, ip) != ip {
                self.ticket_is_due(slot);
            }
        }
    }

    /// A stream's ticket, and how many keep-alives have proven it at most.
    pub(crate) fn ticket_of(&self, slot: usize) -> Option<(u64, u64)> {
        let session = self.streams.get(&slot)?.session.as_ref()?;
        session.ticket.as_ref().map(|ticket| (ticket.number, ticket.last))
    }
}
