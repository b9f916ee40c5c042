//! The registry's machine with what a real one has around it: streams, a store that commits in batches, a slow hash.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use p2pchat_core::{
    Time,
    registry::{
        Addresses, Config, ConnId, Effect, OpId, PrefixLimits, Rate, Registration, Registry,
        store::{MemoryStore, StoreRequest},
    },
};
use p2pchat_proto::{
    Dialect, FromRegistry, FromRegistryDatagram, InviteCode, Limits, Message, SearchReply, ToRegistry,
    ToRegistryDatagram, codec::RegistryCodec,
};
use tokio_util::codec::Decoder;

use crate::{
    bugs::Bug,
    judge::Cause,
    network::{Host, Item, LineId, Side},
    operator::unix,
    schedule::{Happening, Schedule},
    world::World,
};

/// A stream without a session is given up after so long without a message.
const PATIENCE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_millis(200);
/// Few enough for users to meet the limit.
const ROOMS_PER_USER: usize = 4;
const BANS_PER_ROOM: usize = 2;

pub(crate) struct RegistryHost {
    pub(crate) machine: Option<Registry>,
    /// Answers to an earlier life of the registry reach nobody.
    pub(crate) epoch: u32,
    pub(crate) durable: MemoryStore,
    /// What a store that forgets to sync has left after a crash.
    pub(crate) unsynced: Option<MemoryStore>,
    /// Asked for, and not durable yet.
    pub(crate) pending: VecDeque<(Asker, StoreRequest)>,
    pub(crate) streams: BTreeMap<LineId, Stream>,
    pub(crate) lines: BTreeMap<ConnId, LineId>,
    /// Streams with bytes that wait for the machine.
    pub(crate) waiting: BTreeSet<LineId>,
    /// Changes are answered in their order: the next answer comes no earlier than this.
    pub(crate) answered: Time,
    /// The store and the hash are this many times slower, and now and then too busy.
    pub(crate) slow: u64,
    /// In some worlds tokens expire before they are used.
    token_lifetime: Duration,
}

/// Whom the store answers.
#[derive(Debug)]
pub(crate) enum Asker {
    Machine(OpId),
    /// With the code of the invitation that is made.
    Operator {
        code: Option<InviteCode>,
    },
}

pub(crate) struct Stream {
    pub(crate) conn: ConnId,
    pub(crate) codec: RegistryCodec,
    inbox: BytesMut,
    dialect: Option<Dialect>,
    ended: bool,
    heard: Time,
    /// Something has been written.
    pub(crate) greeted: bool,
}

impl RegistryHost {
    pub(crate) fn new(schedule: &mut Schedule) -> Self {
        let [short, usual] = [Duration::from_secs(20), Config::default().token_lifetime];
        // Where they are good for less than a day nobody parks.
        let lifetimes = [short, short * 15, usual, usual];
        Self {
            token_lifetime: schedule.pick(&lifetimes).unwrap_or_default(),
            machine: None,
            epoch: 0,
            durable: MemoryStore::new(),
            unsynced: None,
            pending: VecDeque::new(),
            streams: BTreeMap::new(),
            lines: BTreeMap::new(),
            waiting: BTreeSet::new(),
            answered: Time::ZERO,
            slow: 1,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.machine.as_ref().and_then(Registry::poll_timeout)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// True if nothing is left of anybody.
    pub(crate) fn is_empty(&self) -> bool {
        let stats = self.machine.as_ref().map(Registry::stats).unwrap_or_default();
        let left = [stats.connections, stats.sessions, stats.waiting, stats.operations, stats.bans];
        self.streams.is_empty() && left == [0; 5]
    }
}

impl World {
    pub(crate) fn start_registry(&mut self) {
        if !self.registry.is_up() {
            let mut config = Config::default();
            config.prefixes = PrefixLimits::NONE;
            config.rooms_per_user = ROOMS_PER_USER;
            config.bans_per_room = BANS_PER_ROOM;
            config.token_lifetime = self.registry.token_lifetime;
            if self.rules.by_invitation {
                config.registration = Registration::Invite;
            }
            if self.rules.hidden {
                config.addresses = Addresses::Contacts;
            }
            config.contact_requests = Rate::UNLIMITED;
            let mut machine = Registry::new(config, 7);
            machine.handle_calendar(self.schedule.now, unix(self.schedule.now));
            self.registry.machine = Some(machine);
            self.trace(|| "the registry starts".to_owned());
        }
    }

    /// The registry's program ends: in order, or from one moment to the next. What was asked of the store is durable up
    /// to some point.
    pub(crate) fn stop_registry(&mut self, in_order: bool) {
        if in_order {
            self.judge.registry_gone();
            self.registry_step(Cause::Time, |machine, _| machine.disconnect_all());
        }
        let done = self.schedule.rng.usize(0..=self.registry.pending.len());
        let pending = std::mem::take(&mut self.registry.pending);
        for (_, request) in pending.into_iter().take(done) {
            self.commit_one(&request);
        }
        if let Some(left) = self.registry.unsynced.take() {
            self.registry.durable = left;
        }
        self.registry.machine = None;
        self.registry.epoch += 1;
        self.registry.lines.clear();
        self.registry.waiting.clear();
        for (line, _) in std::mem::take(&mut self.registry.streams) {
            self.network.crash(&mut self.schedule, line, Side::Acceptor, true);
        }
        self.judge.registry_gone();
        self.trace(|| "the registry is gone".to_owned());
    }

    pub(crate) fn registry_due(&mut self) {
        if self.bug == Some(Bug::ForgetLeases) {
            return;
        }
        self.registry_step(Cause::Time, |machine, now| machine.handle_timeout(now));
        self.registry_settle();
    }

    /// Something has come on a line to the registry.
    pub(crate) fn registry_item(&mut self, line: LineId, item: Item) {
        match item {
            Item::Open => self.registry_accept(line),
            Item::Bytes(bytes) => {
                let Some(stream) = self.registry.streams.get_mut(&line) else { return };
                stream.inbox.extend_from_slice(&bytes);
                self.registry_read(line);
            }
            Item::End(_) => {
                let Some(stream) = self.registry.streams.get_mut(&line) else {
                    return self.network.forget(line, Side::Acceptor);
                };
                stream.ended = true;
                self.registry_read(line);
            }
        }
        self.registry_settle();
    }

    fn registry_accept(&mut self, line: LineId) {
        let Some(Host::Node(node)) = self.network.line(line).map(|line| line.host(Side::Dialer)) else {
            return;
        };
        let now = self.schedule.now;
        let remote = SocketAddr::new(self.nodes[node].ip, self.schedule.rng.u16(32_768..));
        let accepted =
            self.registry.machine.as_mut().and_then(|machine| machine.handle_connected(now, remote).ok());
        let Some(conn) = accepted else {
            return self.network.close(&mut self.schedule, line, Side::Acceptor, "connection refused");
        };
        self.judge.connected(now, conn, remote);
        let mut codec = RegistryCodec::new(Limits::DEFAULT);
        if self.nodes[node].alpn {
            codec.set_dialect(Dialect::Canonical);
        }
        let stream = Stream {
            conn,
            codec,
            inbox: BytesMut::new(),
            dialect: None,
            ended: false,
            heard: now,
            greeted: false,
        };
        self.registry.streams.insert(line, stream);
        self.registry.lines.insert(conn, line);
        self.network.push(&mut self.schedule, line, Side::Dialer, Item::Open);
        self.schedule.after(PATIENCE, Happening::Patience { line });
    }

    /// Hands the machine what has come on a stream, up to the first request that has to wait.
    fn registry_read(&mut self, line: LineId) {
        loop {
            let Some(stream) = self.registry.streams.get_mut(&line) else { return };
            let Some(machine) = &self.registry.machine else { return };
            let conn = stream.conn;
            if !machine.is_ready(conn) {
                self.registry.waiting.insert(line);
                return;
            }
            let Ok(Some(item)) = stream.codec.decode(&mut stream.inbox) else { break };
            stream.heard = self.schedule.now;
            let found = stream.codec.dialect().filter(|&dialect| stream.dialect != Some(dialect));
            stream.dialect = stream.codec.dialect();
            self.trace(|| format!("registry hears {item:?} on {conn:?}"));
            match item {
                Ok(message) => self.registry_request(conn, found, message),
                Err(malformed) => {
                    self.fail(format!("the registry hears what is no message: {malformed}"));
                    return;
                }
            }
        }
        self.registry.waiting.remove(&line);
        let Some(stream) = self.registry.streams.get(&line) else { return };
        if stream.ended {
            let conn = stream.conn;
            self.registry_forget(line);
            self.network.close(&mut self.schedule, line, Side::Acceptor, "closed");
            self.judge.begin(Cause::Disconnected);
            let verdict = self.judge.closed(self.schedule.now, conn);
            self.check(verdict);
            self.registry_step(Cause::Disconnected, |machine, now| machine.handle_disconnected(now, conn));
        } else if stream.codec.awaits_grace(&stream.inbox) {
            self.schedule.after(GRACE, Happening::Grace { line });
        }
    }

    fn registry_request(&mut self, conn: ConnId, found: Option<Dialect>, message: ToRegistry) {
        self.judge.asked(self.schedule.now, conn, &message);
        self.registry_step(Cause::Other, |machine, now| {
            if let Some(dialect) = found {
                machine.handle_dialect(conn, dialect);
            }
            machine.handle_message(now, conn, message);
        });
    }

    /// Reads on where the machine has become ready.
    pub(crate) fn registry_settle(&mut self) {
        for line in self.registry.waiting.iter().copied().collect::<Vec<_>>() {
            self.registry_read(line);
        }
    }

    /// A stream's limits of time.
    pub(crate) fn registry_grace(&mut self, line: LineId) {
        if let Some(stream) = self.registry.streams.get_mut(&line)
            && stream.codec.awaits_grace(&stream.inbox)
        {
            stream.codec.grace_expired();
            self.registry_read(line);
            self.registry_settle();
        }
    }

    pub(crate) fn registry_patience(&mut self, line: LineId) {
        let (Some(stream), Some(machine)) = (self.registry.streams.get(&line), &self.registry.machine) else {
            return;
        };
        let (conn, due) = (stream.conn, stream.heard + PATIENCE);
        if machine.has_session(conn) {
            self.schedule.after(PATIENCE, Happening::Patience { line });
        } else if due > self.schedule.now {
            self.schedule.at(due, Happening::Patience { line });
        } else {
            self.registry_step(Cause::Other, |machine, _| machine.give_up(conn, "nobody logged in"));
        }
    }

    pub(crate) fn registry_datagram(&mut self, from: SocketAddr, bytes: &Bytes) {
        match ToRegistryDatagram::parse(bytes, Dialect::Canonical, &Limits::DEFAULT) {
            Ok(datagram) => {
                let now = self.schedule.now;
                if self.registry.is_up() {
                    self.judge.kept_alive(now, from, &datagram);
                }
                self.registry_step(Cause::Other, |machine, now| machine.handle_datagram(now, from, datagram));
            }
            Err(error) => self.fail(format!("the registry gets a datagram that is none: {error}")),
        }
    }

    fn tamper_with_registry(&mut self, bug: Bug, mut effect: Effect) -> Option<Effect> {
        if let Effect::Send { conn, message: FromRegistry::Search(SearchReply::Found(found)) } = &mut effect
            && let Some(asker) = self.judge.name(*conn)
            && let Some(user) = found.username.clone()
            && let Some(node) = self.nodes.iter().find(|node| node.user.name == user)
        {
            let (addr, contact) = ((node.port, node.ip), self.judge.sees_as_contact(asker, &user));
            bug.tamper_with_found(&mut self.schedule.rng, addr, contact, found);
        }
        if let (Bug::HideWake, Effect::SendDatagram { to, message }) = (bug, &mut effect)
            && matches!(message, FromRegistryDatagram::Wake { .. })
        {
            *message = self.judge.parked_answer(*to)?;
        }
        bug.tamper_with_registry(&mut self.schedule.rng, effect)
    }

    /// Tells the machine one fact, carries out what follows, and has it judged.
    pub(crate) fn registry_step(&mut self, cause: Cause, fact: impl FnOnce(&mut Registry, Time)) {
        let now = self.schedule.now;
        let Some(machine) = &mut self.registry.machine else { return };
        self.judge.begin(cause);
        fact(machine, now);
        while let Some(mut effect) = self.registry.machine.as_mut().and_then(Registry::poll_effect) {
            if let Effect::SendPeers { conn, peers } = effect {
                match peers.to_message() {
                    Ok(message) => effect = Effect::Send { conn, message },
                    Err(error) => {
                        return self.fail(format!("the registry sends a list that is none: {error}"));
                    }
                }
            }
            let effect = match self.bug {
                Some(bug) => self.tamper_with_registry(bug, effect),
                None => Some(effect),
            };
            if let Some(effect) = effect {
                self.registry_effect(effect);
            }
        }
        let Some(machine) = &self.registry.machine else { return };
        let verdict = self.judge.end(now, machine.stats());
        self.check(verdict);
        self.stats.steps += 1;
    }
}
