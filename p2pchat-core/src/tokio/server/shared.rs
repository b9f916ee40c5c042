//! The registry machine behind its lock, and the carrying out of its effects.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use p2pchat_proto::{FromRegistry, Message, SessionToken};
use slotmap::SecondaryMap;
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, mpsc, watch},
    time::Instant,
};

use super::{
    ServerConfig,
    datagrams::{DatagramSocket, Outgoing},
    hash::HashPool,
    places::Places,
    stats::{Counters, ServerStats},
};
use crate::{
    Time,
    registry::{
        self, ConnId, Effect, HashAnswer, OpId, Refused, Registry, TokenAnswer,
        store::{StoreAnswer, StoreError, StoreRequest},
    },
    tokio::{
        clock::Clock,
        locked::locked,
        outbox::{Filling, Outbox},
        store::Store,
    },
};

/// What every task of the server can reach.
pub(super) struct Shared {
    /// Replaced as a whole; a stream goes by those that it began with.
    config: RwLock<Arc<ServerConfig>>,
    pub(super) clock: Clock,
    pub(super) datagrams: DatagramSocket,
    /// The machine's next deadline is earlier than it was.
    pub(super) deadline_moved: Notify,
    pub(super) counters: Arc<Counters>,
    pub(super) handshakes: Places,
    pub(super) store: Arc<dyn Store>,
    /// Held by who changes them, so that store and machine learn of changes in the same order.
    pub(super) bans: AsyncMutex<()>,
    /// Until when those online may stay, once nobody else is let in.
    pub(super) drain: watch::Sender<Option<Instant>>,
    hashes: RwLock<Arc<HashPool>>,
    answer: mpsc::UnboundedSender<Answer>,
    core: Mutex<Core>,
}

struct Core {
    registry: Registry,
    outboxes: SecondaryMap<ConnId, Arc<Outbox>>,
    /// The deadline that the task of deadlines sleeps until.
    awaited: Option<Time>,
}

impl Core {
    /// Adds to what is to be written to a stream, or said of it.
    fn queue(&self, conn: ConnId, own: Option<&mut Own<'_>>, fill: impl FnOnce(&mut Filling<'_>)) {
        match own {
            Some(own) if own.conn == conn => {
                own.encode();
                fill(&mut own.filling);
            }
            _ => {
                if let Some(outbox) = self.outboxes.get(conn) {
                    outbox.add(fill);
                }
            }
        }
    }
}

/// The stream whose messages the machine is told. Its outbox is held until all of its replies are in it, so that what another
/// thread has for it comes behind them.
struct Own<'a> {
    conn: ConnId,
    filling: Filling<'a>,
    /// What it is to be told, and can be encoded once others have the machine again.
    replies: Vec<FromRegistry>,
}

impl Own<'_> {
    /// How much is queued has to be known of what may be long.
    fn can_wait(message: &FromRegistry) -> bool {
        !matches!(message, FromRegistry::Rooms(_) | FromRegistry::Peers(_) | FromRegistry::Bans(_))
    }

    fn encode(&mut self) {
        for message in self.replies.drain(..) {
            self.filling.push(&message);
        }
    }
}

/// An answer on its way to the machine. There are never more of them than questions it allows itself.
pub(super) enum Answer {
    Stored(OpId, StoreAnswer),
    Hashed(OpId, HashAnswer),
}

impl Answer {
    pub(super) fn tell(self, registry: &mut Registry, now: Time) {
        match self {
            Self::Stored(op, answer) => registry.handle_stored(now, op, answer),
            Self::Hashed(op, answer) => registry.handle_hashed(now, op, answer),
        }
    }
}

impl Shared {
    pub(super) fn new(
        config: ServerConfig,
        store: Arc<dyn Store>,
        hashes: HashPool,
        datagrams: DatagramSocket,
        answer: mpsc::UnboundedSender<Answer>,
    ) -> io::Result<Self> {
        let mut seed = [0; 16];
        let random = config.tls.config.crypto_provider().secure_random;
        random.fill(&mut seed).map_err(|_| io::Error::other("the system has no randomness"))?;
        let registry = Registry::new(machine_config(&config), u128::from_le_bytes(seed));
        Ok(Self {
            handshakes: Places::new(config.handshakes),
            config: RwLock::new(Arc::new(config)),
            clock: Clock::start(),
            datagrams,
            deadline_moved: Notify::new(),
            counters: Arc::default(),
            store,
            bans: AsyncMutex::new(()),
            drain: watch::Sender::new(None),
            hashes: RwLock::new(Arc::new(hashes)),
            answer,
            core: Mutex::new(Core { registry, outboxes: SecondaryMap::new(), awaited: None }),
        })
    }

    /// The settings as they are now.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by other settings from now on, and by other hashes if there are.
    pub(super) fn reconfigure(&self, config: ServerConfig, hashes: Option<HashPool>) {
        self.handshakes.set_limit(config.handshakes);
        if let Some(hashes) = hashes {
            *self.hashes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hashes);
        }
        let machine = machine_config(&config);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.act(|registry, _| registry.reconfigure(machine));
    }

    /// Tells the machine something and carries out what follows from it.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut Registry, Time) -> T) -> T {
        self.act_and_send(&mut Outgoing::default(), act)
    }

    /// The same, with a place for the datagrams that are to go.
    pub(super) fn act_and_send<T>(
        &self,
        outgoing: &mut Outgoing,
        act: impl FnOnce(&mut Registry, Time) -> T,
    ) -> T {
        let mut core = self.lock();
        let result = act(&mut core.registry, self.clock.now());
        self.carry_out(&mut core, outgoing);
        drop(core);
        // Nobody else has to wait for the system calls.
        self.datagrams.send(outgoing, &self.counters);
        result
    }

    /// Tells the machine one thing after the other that a stream's peer has sent, about `many` in all, for as long as `tell` has
    /// something, and carries out what follows from each. What is sent to that stream itself is the caller's to write, who isn't
    /// woken. How much short replies are is not known before the end.
    pub(super) fn converse(
        &self,
        now: Instant,
        (conn, outbox, many): (ConnId, &Outbox, usize),
        mut tell: impl FnMut(&mut Registry, Time, &Filling<'_>) -> bool,
    ) {
        let (now, mut outgoing) = (self.clock.time(now), Outgoing::default());
        let replies = Vec::with_capacity(many);
        let mut core = self.lock();
        let mut own = Own { conn, filling: outbox.fill(), replies };
        while tell(&mut core.registry, now, &own.filling) {
            self.carry_out_effects(&mut core, &mut outgoing, Some(&mut own));
        }
        self.mind_deadline(&mut core);
        drop(core);
        own.filling.reserve(own.replies.len());
        own.encode();
        drop(own);
        self.datagrams.send(&mut outgoing, &self.counters);
    }

    /// Takes a new stream on.
    pub(super) fn connect(&self, remote: SocketAddr, outbox: Arc<Outbox>) -> Result<ConnId, Refused> {
        let mut core = self.lock();
        let now = self.clock.now();
        // The calendar's clock may have been set since the last one came.
        core.registry.handle_calendar(now, self.clock.unix_now());
        let conn = core.registry.handle_connected(now, remote)?;
        core.outboxes.insert(conn, outbox);
        Ok(conn)
    }

    /// The stream is gone, or is given up.
    pub(super) fn disconnect(&self, conn: ConnId) {
        let mut outgoing = Outgoing::default();
        let mut core = self.lock();
        core.outboxes.remove(conn);
        core.registry.handle_disconnected(self.clock.now(), conn);
        self.carry_out(&mut core, &mut outgoing);
        drop(core);
        self.datagrams.send(&mut outgoing, &self.counters);
    }

    /// The machine's next deadline, which the caller is going to sleep until.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let mut core = self.lock();
        core.awaited = core.registry.poll_timeout();
        core.awaited
    }

    pub(super) fn stats(&self) -> ServerStats {
        let registry = self.lock().registry.stats();
        self.counters.stats(registry, &self.handshakes)
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        locked(&self.core)
    }

    fn carry_out(&self, core: &mut Core, outgoing: &mut Outgoing) {
        self.carry_out_effects(core, outgoing, None);
        self.mind_deadline(core);
    }

    fn carry_out_effects(&self, core: &mut Core, outgoing: &mut Outgoing, mut own: Option<&mut Own<'_>>) {
        while let Some(effect) = core.registry.poll_effect() {
            match effect {
                Effect::Send { conn, message } => {
                    tracing::trace!(?conn, verb = %message.verb(), "sending");
                    match &mut own {
                        Some(own) if own.conn == conn && Own::can_wait(&message) => own.replies.push(message),
                        own => core.queue(conn, own.as_deref_mut(), |filling| filling.push(&message)),
                    }
                }
                Effect::SendPeers { conn, peers } => {
                    tracing::trace!(?conn, "sending a list");
                    core.queue(conn, own.as_deref_mut(), |filling| filling.push_pieces(peers.into_pieces()));
                }
                Effect::Close { conn } => {
                    core.queue(conn, own.as_deref_mut(), |filling| filling.close());
                    core.outboxes.remove(conn);
                }
                Effect::SendDatagram { to, message } => outgoing.push(to, &message),
                Effect::Store { op, request } => self.ask_store(op, request),
                Effect::Hash { op, request } => {
                    let (answers, counters) = (self.answer.clone(), self.counters.clone());
                    let (clock, begun) = (self.clock, self.clock.instant_now());
                    let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner).clone();
                    hashes.submit(request, move |answer| {
                        if !matches!(answer, HashAnswer::Busy) {
                            counters.hash_times.record(clock.instant_now() - begun);
                        }
                        // Nobody listens any more once the server has ended.
                        drop(answers.send(Answer::Hashed(op, answer)));
                    });
                }
                Effect::Token { op } => {
                    let answer = self.make_token();
                    core.registry.handle_token(self.clock.now(), op, answer);
                }
                Effect::Publish(event) => tracing::debug!(?event, "there is no other node to be told"),
            }
        }
    }

    /// Wakes the task of deadlines if there is an earlier one.
    fn mind_deadline(&self, core: &mut Core) {
        if let Some(next) = core.registry.poll_timeout()
            && core.awaited.is_none_or(|awaited| next < awaited)
        {
            core.awaited = Some(next);
            self.deadline_moved.notify_one();
        }
    }

    /// 256 bits of the randomness that TLS goes by.
    fn make_token(&self) -> TokenAnswer {
        let mut bits = [0; 32];
        match self.config().tls.config.crypto_provider().secure_random.fill(&mut bits) {
            Ok(()) => {
                TokenAnswer::Fresh { token: SessionToken::from_random(bits), unix_now: self.clock.unix_now() }
            }
            Err(_) => TokenAnswer::Failed,
        }
    }

    fn ask_store(&self, op: OpId, request: StoreRequest) {
        let mut answer =
            StoreReply { op, counters: self.counters.clone(), answers: Some(self.answer.clone()) };
        self.store.submit(request, Box::new(move |stored| answer.send(stored)));
    }
}

/// The machine's settings, with what the driver knows.
fn machine_config(config: &ServerConfig) -> registry::Config {
    registry::Config { hashes: config.hash.places(), ..config.machine.clone() }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config()).finish_non_exhaustive()
    }
}

/// Answers for a store that drops a question, so that nobody waits for ever.
struct StoreReply {
    op: OpId,
    counters: Arc<Counters>,
    answers: Option<mpsc::UnboundedSender<Answer>>,
}

impl StoreReply {
    fn send(&mut self, answer: StoreAnswer) {
        if let Some(answers) = self.answers.take() {
            match &answer {
                StoreAnswer::Failed(StoreError::Busy) => {
                    let so_far = self.counters.refused_questions.one();
                    if so_far.is_power_of_two() {
                        tracing::warn!(so_far, "too many questions to the store are waiting");
                    }
                }
                StoreAnswer::Failed(_) => _ = self.counters.failed_questions.one(),
                _ => {}
            }
            // Nobody listens any more once the server has ended.
            drop(answers.send(Answer::Stored(self.op, answer)));
        }
    }
}

impl Drop for StoreReply {
    fn drop(&mut self) {
        self.send(StoreAnswer::Failed(StoreError::Engine("it gave no answer".into())));
    }
}
