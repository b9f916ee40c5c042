//! Parking: online without a stream to the registry, by proven keep-alives alone (§7.12).

use std::{num::NonZeroU64, time::Duration};

use p2pchat_proto::{Capability, FromRegistryDatagram, Outcome, SessionTicket, ToRegistry};

use super::{
    Effect, Event, Peer, RequestError, Timer,
    link::Link,
    requests::{Purpose, accepted},
};
use crate::time::Time;

/// So many of the last keep-alives can be answered.
const OPEN: u64 = 8;
/// A registry that refuses is asked again after a while, and not sooner.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// A session that is parked, or on its way back.
#[derive(Debug)]
pub(super) struct Parked {
    /// The number of the last keep-alive that was answered by PARKED.
    answered: u64,
    /// When the last answer came, or the session was parked.
    heard: Time,
    /// Since when there is a keep-alive without an answer.
    silent_since: Option<Time>,
    /// WAKE has come, and it comes back in a moment.
    woken: bool,
}

impl Parked {
    /// True if `datagram` answers one of the last keep-alives, of which `next` is the number after the last: PARKED each once,
    /// WAKE also one that has been answered. What is older is a copy, or proves too little.
    fn takes(&mut self, datagram: &FromRegistryDatagram, ticket: &SessionTicket, next: NonZeroU64) -> bool {
        let is_parked = matches!(datagram, FromRegistryDatagram::Parked { .. });
        let first = if is_parked { self.answered + 1 } else { self.answered };
        let open = first.max(next.get().saturating_sub(OPEN)).max(1)..next.get();
        let number = open
            .rev()
            .find(|&number| NonZeroU64::new(number).is_some_and(|number| datagram.answers(ticket, number)));
        if let Some(number) = number.filter(|_| is_parked) {
            self.answered = number;
        }
        number.is_some()
    }
}

impl Peer {
    /// True if the session is online without a stream, by keep-alives alone (§7.12). Whatever wants the registry brings it back
    /// first.
    pub fn is_parked(&self) -> bool {
        matches!(self.link, Link::Parked { .. })
    }

    /// True if what is wanted of the registry has to wait: PARK has been sent, or the session has not come back from it.
    pub(super) fn is_away(&self) -> bool {
        self.requests.parking || self.session.as_ref().is_some_and(|s| s.live && s.parked.is_some())
    }

    /// True if the session was parked and a stream for it is on its way.
    pub(super) fn is_coming_back(&self) -> bool {
        !self.is_parked() && self.session.as_ref().is_some_and(|session| session.parked.is_some())
    }

    /// The registry link is in use: for a while nobody parks.
    pub(super) fn link_used(&mut self, now: Time) {
        if let Some(idle) = self.config.park_after
            && self.has(Capability::Park)
        {
            self.arm(Timer::Park, now, idle.max(LEAST_IDLE));
        }
    }

    /// The link has been idle for long enough.
    pub(super) fn park_due(&mut self, now: Time) {
        let Some(session) = self.session.as_ref().filter(|session| session.live) else { return };
        let username = session.credentials.username.clone();
        // Without pushes a room's members are asked for, again and again.
        let ready = session.can_park() && self.has(Capability::Roster);
        if !ready || !self.contacts.is_empty() || !self.requests.are_idle() {
            return self.link_used(now);
        }
        if self.submit(now, ToRegistry::Park { username }, Purpose::Park).is_ok() {
            self.requests.parking = true;
        }
    }

    /// The answer to PARK. The registry closes the stream after it, and so do we.
    pub(super) fn parked(&mut self, now: Time, outcome: Outcome) {
        self.requests.parking = false;
        let Link::Ready { capabilities, .. } = self.link else { return };
        let Some(session) = self.session.as_mut().filter(|_| accepted(outcome, None).is_ok()) else {
            return self.unparked(now);
        };
        session.parked = Some(Parked { answered: 0, heard: now, silent_since: None, woken: false });
        self.link = Link::Parked { capabilities };
        for timer in [Timer::Reply, Timer::Settled, Timer::Park] {
            self.timers.cancel(timer);
        }
        self.effects.push_back(Effect::ParkRegistry);
        self.tell(Event::Parked);
        self.keep_alive_parked(now);
        if !self.requests.parked.is_empty() {
            self.unpark(now);
        }
    }

    /// Keeps the session alive, or brings it back if nobody has answered for too long, or its token is getting old.
    pub(super) fn keep_alive_parked(&mut self, now: Time) {
        let (limit, lease, renewal) =
            (self.config.silence_timeout, self.config.parked_lease, self.config.park_renewal);
        let Some(session) = &mut self.session else { return };
        // The token expires by its own age, not by how long the session has been parked.
        let old = now.since(session.renewed) >= renewal;
        let Some(parked) = &mut session.parked else { return };
        let is_woken = parked.woken;
        let silent = now.since(*parked.silent_since.get_or_insert(now)) > limit;
        // After a long sleep there is no need to ask.
        let is_over = now.since(parked.heard) > lease;
        if silent || is_over {
            // That nobody answers says nothing of a take-over: the way back is that of any link that is lost.
            session.parked = None;
            return self.lose_link(now, "the registry fell silent", RequestError::NotConnected, true);
        }
        if old || is_woken {
            return self.unpark(now);
        }
        self.send_keep_alive(now, self.config.parked_lease);
        // Sooner than the next would be due: one that isn't answered is repeated.
        self.arm(Timer::KeepAlive, now, self.config.keep_alive_interval);
    }

    /// PARKED or WAKE has come. Who has not the ticket can't have said it.
    pub(super) fn park_answered(&mut self, now: Time, datagram: &FromRegistryDatagram) {
        if !self.is_parked() {
            return;
        }
        let Some(session) = &mut self.session else { return };
        let Some((parked, (ticket, next))) = session.parked.as_mut().zip(session.ticket.as_ref()) else {
            return;
        };
        if !parked.takes(datagram, ticket, *next) {
            return;
        }
        (parked.heard, parked.silent_since) = (now, None);
        session.pulse.answered(now);
        match datagram {
            // What woke us may have woken many.
            FromRegistryDatagram::Wake { .. } if !std::mem::replace(&mut parked.woken, true) => {
                let spread = u64::try_from(self.config.wake_spread.as_micros()).unwrap_or(u64::MAX);
                let pause = Duration::from_micros(self.rng.u64(0..=spread));
                self.arm(Timer::KeepAlive, now, pause);
            }
            FromRegistryDatagram::Wake { .. } => {}
            _ if parked.woken => {}
            _ => self.arm(Timer::KeepAlive, now, self.config.parked_interval),
        }
    }

    /// Brings a parked session back on a stream. From now on it lasts no longer than one whose stream has broken, should that
    /// come to nothing.
    pub(super) fn unpark(&mut self, now: Time) {
        if self.is_parked() {
            self.timers.cancel(Timer::KeepAlive);
            self.send_keep_alive(now, self.config.lease);
            self.effects.push_back(Effect::CloseRegistry);
            self.dial_registry(now);
        }
    }

    /// There is a stream again, or still: what waited for it is asked for.
    pub(super) fn unparked(&mut self, now: Time) {
        for (message, purpose) in std::mem::take(&mut self.requests.parked) {
            self.submit_or_fail(now, message, purpose);
        }
        self.requests_moved(now);
        self.link_used(now);
    }

    /// Ends a parked session as good as at once, where there is no stream for a LOGOUT: the shortest lease that there is.
    pub(super) fn leave_parked(&mut self, now: Time) {
        if self.is_parked() {
            self.send_keep_alive(now, Duration::ZERO);
        }
    }
}
