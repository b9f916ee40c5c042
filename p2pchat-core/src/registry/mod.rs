//! The registry as a state machine: accounts, sessions, presence, rooms (PROTOCOL.md §5).
//!
//! Its owner tells it facts (`handle_*`, which never fail), then carries out its effects until there is none left, and
//! calls [`handle_timeout`](Registry::handle_timeout) when [`poll_timeout`](Registry::poll_timeout) says so. Any call
//! order is legal; facts about streams and questions that are gone are passed over. Nothing that was sent by a peer
//! makes it panic.
//!
//! Accounts and rooms are not held in memory: the machine asks the [store] by effects that
//! [`handle_stored`](Registry::handle_stored) answers, so the store may be far away. The requests of one stream are
//! answered in their order, one at a time; those of different streams don't wait for each other. A change is answered
//! only after the store has said that it is durable.
//!
//! Three seams let several nodes share one engine later; on one node all three are plain: the [durable store](store),
//! the presence directory (`presence.rs`), and the [event bus](BusEvent).
//!
//! ```
//! use p2pchat_core::{Time, proto::{FromRegistry, HelloReply, ToRegistry}};
//! use p2pchat_core::registry::{Config, Effect, HashAnswer, Registry, TokenAnswer, store::MemoryStore};
//!
//! let mut registry = Registry::new(Config::default(), 7); // a real one has randomness
//! let mut store = MemoryStore::new();
//! let now = Time::ZERO;
//!
//! let conn = registry.handle_connected(now, "192.0.2.1:50000".parse()?)?;
//! registry.handle_message(now, conn, ToRegistry::Hello { extensions: None });
//! let mut sent = Vec::new();
//! while let Some(effect) = registry.poll_effect() {
//!     match effect {
//!         Effect::Send { message, .. } => sent.push(message),
//!         Effect::Store { op, request } => registry.handle_stored(now, op, store.answer(&request)),
//!         Effect::Hash { op, .. } => registry.handle_hashed(now, op, HashAnswer::Mismatch), // a real one is slow
//!         Effect::Token { op } => registry.handle_token(now, op, TokenAnswer::Failed), // a real one has randomness
//!         Effect::Close { .. } | Effect::SendDatagram { .. } => {}
//!         _ => {}
//!     }
//! }
//! assert_eq!(sent, [FromRegistry::Hello(HelloReply::Success { extensions: None })]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
mod answers;
mod bans;
mod bus;
mod config;
mod connection;
mod contacts;
mod effect;
mod guard;
mod guesses;
mod invites;
mod keep_alive;
mod leases;
mod listing;
mod memory;
mod moderation;
mod operator;
mod park;
mod presence;
mod record;
mod refusal;
mod requests;
mod resume;
mod session;
pub mod store;
mod subnet;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use p2pchat_proto::{
    AuthReply, Dialect, FromRegistry, Malformed, RegisterReply, RoomName, ToRegistry, ToRegistryDatagram,
    Username,
};
use slotmap::SlotMap;

use self::{
    admission::Admission,
    answers::Op,
    bans::Bans,
    connection::{Connection, Incoming, Line},
    contacts::Contacts,
    guard::Guard,
    leases::Leases,
    listing::Listings,
    presence::Presence,
    store::StoreAnswer,
};
pub use self::{
    bans::{Ban, BanTarget},
    bus::BusEvent,
    config::{Config, PrefixLimits},
    contacts::Addresses,
    effect::{ConnId, Effect, HashAnswer, HashRequest, OpId, TokenAnswer},
    invites::{Invite, InviteDigest, Registration},
    operator::SessionInfo,
    subnet::{Subnet, SubnetError},
};
pub use crate::rate::Rate;
use crate::{prefix::Prefix, time::Time};

/// Why a stream was not taken on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// As many streams are open as [`Config::connections`] allows.
    #[error("{limit} connections are open, which is the limit")]
    TooManyConnections {
        /// The limit.
        limit: usize,
    },
    /// As many of them come from one prefix as [`PrefixLimits::connections`] allows.
    #[error("{limit} connections are open from {prefix}, which is the limit for one place")]
    TooManyFromPrefix {
        /// The prefix, such as `192.0.2.1/32`.
        prefix: String,
        /// The limit.
        limit: usize,
    },
    /// The registry is about to end: see [`Registry::drain`].
    #[error("nobody else is let in: the registry is about to end")]
    Draining,
    /// The operator keeps out whoever comes from there.
    #[error("connections from {subnet} are banned")]
    Banned {
        /// The ban's network.
        subnet: Subnet,
    },
    /// They come faster than [`PrefixLimits::connects`] allows.
    #[error("connections from {prefix} come too fast: the next is taken on in {} s", wait.as_secs() + 1)]
    TooFast {
        /// The prefix.
        prefix: String,
        /// For how long none is taken on.
        wait: Duration,
    },
}

/// How much there is of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Open streams.
    pub connections: usize,
    /// Users online.
    pub sessions: usize,
    /// Those of them who have no stream and may come back on another (§7.5).
    pub waiting: usize,
    /// Those of them who have closed their stream and are online by their keep-alives (§7.12).
    pub parked: usize,
    /// How often a parked session was told to come back.
    pub wakes: u64,
    /// How many sessions were not parked because [`Config::parked`] were.
    pub refused_parks: u64,
    /// How many sessions began or went on by a token.
    pub resumed: u64,
    /// How many tokens were refused.
    pub refused_tokens: u64,
    /// Open questions to store and hash, and for tokens.
    pub operations: usize,
    /// Of these, password hashes: what waits for them is bounded by [`Config::hashes`].
    pub hashes: usize,
    /// The most of them that there have been at once.
    pub most_hashes: usize,
    /// How many datagrams proved no session.
    pub refused_datagrams: u64,
    /// How many requests were refused because too many hashes were waiting.
    pub refused_hashes: u64,
    /// With how many refusals a time was named at which to come back (§7.8).
    pub named_retries: u64,
    /// Bans, also those that have run out and are not yet forgotten.
    pub bans: usize,
    /// How many streams, logins and registrations were refused because of a ban.
    pub refused_banned: u64,
    /// How many registrations were refused because their prefix had asked for too many.
    pub refused_registrations: u64,
    /// How many registrations were refused because their invitation was not good.
    pub refused_invites: u64,
    /// How many logins were not tried because too many had failed from their prefix.
    pub refused_logins: u64,
    /// How many logins were not tried because too many had failed on their account.
    pub refused_account_logins: u64,
    /// How many requests for contact were refused because their user had made too many.
    pub refused_contacts: u64,
    /// How many passwords of rooms were not tried because their user had given too many wrong ones.
    pub refused_joins: u64,
    /// How many streams were refused because too many were open from their prefix.
    pub refused_crowds: u64,
    /// How many streams were refused because they came too fast from their prefix.
    pub refused_rushes: u64,
    /// After how many requests their prefix had to wait, because it asked too much.
    pub held_requests: u64,
    /// How many streams were refused because [`Config::connections`] were open.
    pub refused_full: u64,
    /// How many streams were refused because the registry was about to end.
    pub refused_draining: u64,
    /// How many streams were given up because [`Config::pipeline`] of their requests were waiting.
    pub refused_pipelines: u64,
    /// How many requests were refused because [`Config::operations`] were open.
    pub refused_operations: u64,
    /// How many rooms were not entered because their user was in [`Config::rooms_per_user`].
    pub refused_rooms: u64,
    /// How many requests have come, also malformed ones.
    pub requests: u64,
    /// How many of them were malformed.
    pub malformed: u64,
    /// How many logins have succeeded, also by a token.
    pub logins: u64,
    /// How many logins were answered by a failure: wrong passwords, refused tokens, bans, and what is told as one.
    pub failed_logins: u64,
    /// How many logins were refused because their user was online.
    pub refused_online: u64,
    /// How many accounts were made.
    pub registrations: u64,
    /// How many registrations were refused because the name was taken.
    pub refused_names: u64,
    /// How many registrations failed otherwise, also for a limit of their prefix.
    pub failed_registrations: u64,
    /// How many datagrams proved their session.
    pub keep_alives: u64,
    /// How many sessions ended because no keep-alive came in time.
    pub timed_out: u64,
}

impl Stats {
    /// Counts what an answer says.
    fn answered(&mut self, answer: &FromRegistry) {
        let count = match answer {
            FromRegistry::Auth(AuthReply::Success { .. }) => &mut self.logins,
            FromRegistry::Auth(AuthReply::Online { .. }) => &mut self.refused_online,
            FromRegistry::Auth(_) => &mut self.failed_logins,
            FromRegistry::Register(RegisterReply::Success) => &mut self.registrations,
            FromRegistry::Register(RegisterReply::Exists { .. }) => &mut self.refused_names,
            FromRegistry::Register(_) => &mut self.failed_registrations,
            _ => return,
        };
        *count += 1;
    }
}

/// The registry machine. See the [module](self).
#[derive(Debug)]
pub struct Registry {
    config: Config,
    connections: SlotMap<ConnId, Connection>,
    ops: SlotMap<OpId, Op>,
    presence: Presence,
    listings: Listings,
    leases: Leases,
    /// How many of `connections` are sessions whose stream has ended.
    waiting: usize,
    /// How many of them are parked.
    parked: usize,
    /// The users whose sessions the store has been asked to open by their password, and how often.
    opening: BTreeMap<Username, usize>,
    guard: Guard,
    admission: Admission,
    bans: Bans,
    /// Whose accounts were deleted since the start.
    deleted: BTreeSet<Username>,
    contacts: Contacts,
    draining: bool,
    /// What the calendar's clock has shown, and when.
    calendar: (Time, u64),
    /// How often what happened; how much there is of what is not kept here.
    counts: Stats,
    effects: VecDeque<Effect>,
}

impl Registry {
    /// A registry with nobody connected. `seed` should be true randomness: strangers who know it can choose names that all
    /// take long to find. Nothing else goes by it.
    pub fn new(config: Config, seed: u128) -> Self {
        Self {
            guard: Guard::new(config.prefixes),
            admission: Admission::new(config.hashes, config.longest_retry),
            bans: Bans::default(),
            deleted: BTreeSet::new(),
            contacts: Contacts::default(),
            draining: false,
            calendar: (Time::ZERO, 0),
            counts: Stats::default(),
            config,
            connections: SlotMap::with_key(),
            ops: SlotMap::with_key(),
            presence: Presence::new(seed),
            listings: Listings::default(),
            leases: Leases::default(),
            waiting: 0,
            parked: 0,
            opening: BTreeMap::new(),
            effects: VecDeque::new(),
        }
    }

    /// Goes by other settings from now on. No stream is closed for them: where there are more than is allowed by now, no more
    /// come. What somebody has used up stays used up.
    pub fn reconfigure(&mut self, config: Config) {
        let streams = self.connections.values().filter(|connection| connection.has_stream());
        self.guard.set_limits(config.prefixes, streams.map(|connection| connection.remote.ip()));
        self.admission.set_limits(config.hashes, config.longest_retry);
        if self.config.addresses != config.addresses {
            self.listings.clear();
        }
        self.config = config;
    }

    /// A stream has come from `remote`, the address that others will be told.
    pub fn handle_connected(&mut self, now: Time, remote: SocketAddr) -> Result<ConnId, Refused> {
        if self.draining {
            self.counts.refused_draining += 1;
            return Err(Refused::Draining);
        }
        if let Some(subnet) = self.bans.subnet_of(now, remote.ip()) {
            self.counts.refused_banned += 1;
            return Err(Refused::Banned { subnet });
        }
        let limit = self.config.connections;
        if self.streams() >= limit {
            self.counts.refused_full += 1;
            return Err(Refused::TooManyConnections { limit });
        }
        self.guard.connected(now, remote.ip()).inspect_err(|refused| match refused {
            Refused::TooFast { .. } => self.counts.refused_rushes += 1,
            _ => self.counts.refused_crowds += 1,
        })?;
        Ok(self.connections.insert(Connection::new(now, remote)))
    }

    /// The stream's dialect has been found out. Until then it is taken for canonical.
    pub fn handle_dialect(&mut self, conn: ConnId, dialect: Dialect) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.dialect = dialect;
        }
    }

    /// A request has come. It waits for those before it on the same stream.
    pub fn handle_message(&mut self, now: Time, conn: ConnId, message: ToRegistry) {
        self.handle_incoming(now, conn, Incoming::Message(message));
    }

    /// Something has come that is no request; it is answered in its turn, and the stream closed after it if nothing
    /// that follows could be trusted (§3.5).
    pub fn handle_malformed(&mut self, now: Time, conn: ConnId, malformed: Malformed) {
        self.handle_incoming(now, conn, Incoming::Malformed(malformed));
    }

    fn handle_incoming(&mut self, now: Time, conn: ConnId, incoming: Incoming) {
        let pipeline = self.config.pipeline;
        let Some(connection) = self.connections.get_mut(conn).filter(|c| c.has_stream()) else { return };
        connection.heard(now);
        let Some(work) = &mut connection.work else { return };
        self.counts.requests += 1;
        self.counts.malformed += u64::from(matches!(incoming, Incoming::Malformed(_)));
        if work.inbox.len() >= pipeline {
            self.counts.refused_pipelines += 1;
            tracing::warn!(?conn, remote = %connection.remote, limit = pipeline, "too many requests are waiting");
            return self.fail(conn, &format!("more than {pipeline} requests are waiting"));
        }
        // Seldom: usually it is the only one, and needs no place.
        let waits = work.op.is_some() || !work.inbox.is_empty();
        let own = match waits {
            true => {
                work.inbox.push_back(incoming);
                None
            }
            false => Some(incoming),
        };
        self.charge(now, conn, 1);
        if let Some(incoming) = own {
            self.answer(now, conn, incoming);
        }
        self.advance(now, conn);
    }

    /// Something that costs as much as `cost` requests is done for the stream.
    fn charge(&mut self, now: Time, conn: ConnId, cost: u32) {
        let Some(connection) = self.connections.get(conn) else { return };
        let from = connection.remote.ip();
        if self.guard.requested(now, from, cost) {
            self.counts.held_requests += 1;
            report("requests", self.counts.held_requests, from);
        }
    }

    /// False if the stream's requests wait for the store or the hash: nothing more should be read from it until it is
    /// true again, which only an answered question brings about.
    pub fn is_ready(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_none_or(|connection| connection.op().is_none())
    }

    /// Until when nothing more should be read from the stream, because too much is asked from where it comes from; `None` if
    /// it can be read.
    pub fn held_until(&self, now: Time, conn: ConnId) -> Option<Time> {
        self.guard.held_until(now, self.connections.get(conn)?.remote.ip())
    }

    /// True if somebody is logged in on the stream: then leases say how long it lives, not its owner's patience.
    pub fn has_session(&self, conn: ConnId) -> bool {
        self.user(conn).is_some()
    }

    /// The owner's patience with the stream has ended, such as with a frame that never comes to its end: it is told why and
    /// closed.
    pub fn give_up(&mut self, conn: ConnId, why: &str) {
        if self.connections.contains_key(conn) {
            self.fail(conn, why);
        }
    }

    /// The stream is gone. Its user is offline at once, unless they have a token to come back with (§7.5).
    pub fn handle_disconnected(&mut self, now: Time, conn: ConnId) {
        if !self.connections.get(conn).is_some_and(Connection::has_stream) {
            return;
        }
        if !self.keep_waiting(now, conn) {
            self.end_session(conn);
        }
        self.forget(conn);
    }

    /// True if there was such a stream.
    fn forget(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.connections.remove(conn) else { return false };
        match connection.line {
            Line::Open => self.guard.disconnected(connection.remote.ip()),
            Line::Broken => self.waiting -= 1,
            Line::Parked { .. } => self.parked -= 1,
        }
        connection.has_stream()
    }

    /// How many streams are open.
    fn streams(&self) -> usize {
        self.connections.len() - self.waiting - self.parked
    }

    /// A datagram has come. One that proves no session changes nothing and gets no answer.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, message: ToRegistryDatagram) {
        self.datagram(now, from, &message);
    }

    fn datagram(&mut self, now: Time, from: SocketAddr, message: &ToRegistryDatagram) {
        if !self.keep_alive(now, from, message) {
            self.counts.refused_datagrams += 1;
        }
    }

    /// Datagrams have come at once: the same as one after the other, but cheaper where there are many sessions.
    pub fn handle_datagrams(&mut self, now: Time, datagrams: &[(SocketAddr, ToRegistryDatagram)]) {
        self.look_ahead(datagrams);
        for (from, message) in datagrams {
            self.datagram(now, *from, message);
        }
    }

    /// The store has answered.
    pub fn handle_stored(&mut self, now: Time, op: OpId, answer: StoreAnswer) {
        if let Some(op) = self.answered(now, op) {
            self.stored(now, op, answer);
        }
    }

    /// The password hash has answered.
    pub fn handle_hashed(&mut self, now: Time, op: OpId, answer: HashAnswer) {
        if let Some(op) = self.answered(now, op) {
            self.hashed(now, op, answer);
        }
    }

    /// Somebody who has randomness has answered.
    pub fn handle_token(&mut self, now: Time, op: OpId, answer: TokenAnswer) {
        if let Some(op) = self.answered(now, op) {
            self.minted(now, op, answer);
        }
    }

    /// Another node has published an event.
    pub fn handle_event(&mut self, event: &BusEvent) {
        self.deliver(event);
    }

    /// The time has come that [`poll_timeout`](Self::poll_timeout) named, or any other.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(conn) = self.leases.pop(now) {
            let session = self.connections.get_mut(conn).and_then(Connection::session_mut);
            match session.filter(|session| session.end.due() > now) {
                Some(session) => session.end = self.leases.begin(conn, session.end.due()),
                None => self.time_out(conn),
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.leases.next()
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Closes every stream, as the registry shuts down. Sessions end without a push: everybody's does.
    pub fn disconnect_all(&mut self) {
        self.leases = Leases::default();
        for (conn, connection) in &self.connections {
            if connection.has_stream() {
                self.effects.push_back(Effect::Close { conn });
            }
        }
        self.connections.clear();
        (self.waiting, self.parked) = (0, 0);
        self.guard = Guard::new(self.config.prefixes);
        self.presence.clear();
        self.listings.clear();
        self.contacts = Contacts::default();
    }

    /// How much there is of what.
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.streams(),
            sessions: self.presence.len(),
            waiting: self.waiting,
            parked: self.parked,
            operations: self.ops.len(),
            hashes: self.admission.waiting(),
            most_hashes: self.admission.most(),
            bans: self.bans.len(),
            ..self.counts
        }
    }

    /// Answers what waits in a stream's inbox, up to the first request that has to ask somebody else.
    fn advance(&mut self, now: Time, conn: ConnId) {
        while let Some(connection) = self.connections.get_mut(conn)
            && let Some(work) = connection.work.as_mut().filter(|work| work.op.is_none())
            && let Some(incoming) = work.inbox.pop_front()
        {
            self.answer(now, conn, incoming);
        }
    }

    fn answer(&mut self, now: Time, conn: ConnId, incoming: Incoming) {
        match incoming {
            Incoming::Message(message) => self.request(now, conn, message),
            Incoming::Malformed(malformed) => self.malformed(conn, &malformed),
        }
    }

    fn send(&mut self, conn: ConnId, message: FromRegistry) {
        self.counts.answered(&message);
        match self.connections.get(conn).map(|connection| connection.line) {
            None | Some(Line::Open) => self.effects.push_back(Effect::Send { conn, message }),
            Some(Line::Broken) => {}
            Some(Line::Parked { .. }) => self.want(conn),
        }
    }

    /// Forgets a stream and has it closed once everything sent to it is flushed.
    fn close(&mut self, conn: ConnId) {
        self.end_session(conn);
        if self.forget(conn) {
            self.effects.push_back(Effect::Close { conn });
        }
    }

    /// Where the user's session is, if they are online.
    fn place(&self, username: &Username) -> Option<ConnId> {
        self.presence.find(username, |conn| self.user(conn))
    }

    /// The logged-in user of a stream.
    fn user(&self, conn: ConnId) -> Option<&Username> {
        Some(&self.connections.get(conn)?.session()?.username)
    }

    /// True if the stream's user is a member of `room`.
    fn is_member(&self, conn: ConnId, room: &RoomName) -> bool {
        let session = self.connections.get(conn).and_then(Connection::session);
        session.is_some_and(|session| session.rooms.contains(room))
    }
}

/// Tells the operator's log that a limit holds somebody up, ever more seldom: a flood must not fill it as well.
fn report(limit: &'static str, so_far: u64, from: IpAddr) {
    if so_far.is_power_of_two() {
        tracing::warn!(limit, prefix = %Prefix::of(from), so_far, "a limit holds strangers up");
    }
}
