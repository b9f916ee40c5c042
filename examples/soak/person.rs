//! Somebody with a client: where they stand, and what happens to them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use p2pchat_core::{
    peer::Event,
    tokio::{ClientConfig, Error, Events, Peer, Trust},
};
use tokio::task::AbortHandle;

use crate::{
    line::{Line, Lined},
    world::{World, until},
};

/// Everybody's.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct Person {
    pub(crate) index: usize,
    /// Held by who does something with this person that takes them to stay: themselves, or who chats with them.
    pub(crate) errand: tokio::sync::Mutex<()>,
    standing: Mutex<Standing>,
    /// How often the client said that it had come back by itself.
    returns: AtomicU64,
    /// How many chats have ended, as the client said.
    chats_ended: AtomicU64,
}

/// Where somebody stands.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) presence: Presence,
    /// Goes up with each change, so that who looks twice knows that nothing happened in between.
    pub(crate) version: u64,
    /// Since when.
    pub(crate) since: Instant,
    pub(crate) rooms: BTreeSet<usize>,
    /// The session was lost, for no reason of this program's.
    is_lost: bool,
    client: Option<Client>,
    /// How many accounts there were before this one.
    accounts: u64,
}

#[derive(Clone)]
struct Client {
    peer: Peer,
    line: Arc<Line>,
    listener: AbortHandle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Online,
    Offline,
    /// On the way from one to the other.
    Changing,
    /// The account may not be there yet.
    Unborn,
}

impl Person {
    pub(crate) fn new(index: usize, now: Instant) -> Arc<Self> {
        let standing = Standing {
            name: format!("u{index}"),
            presence: Presence::Unborn,
            version: 0,
            since: now,
            rooms: BTreeSet::new(),
            is_lost: false,
            client: None,
            accounts: 0,
        };
        Arc::new(Self {
            index,
            errand: tokio::sync::Mutex::new(()),
            standing: Mutex::new(standing),
            returns: AtomicU64::new(0),
            chats_ended: AtomicU64::new(0),
        })
    }

    pub(crate) fn look(&self) -> Standing {
        self.lock().clone()
    }

    pub(crate) fn chats_ended(&self) -> u64 {
        self.chats_ended.load(Relaxed)
    }

    pub(crate) fn name(&self) -> String {
        self.lock().name.clone()
    }

    /// Their client. There is one but while somebody is away.
    pub(crate) fn peer(&self) -> Result<Peer, String> {
        let client = self.lock().client.clone();
        client.map(|client| client.peer).ok_or_else(|| "there is no client now".to_owned())
    }

    #[allow(clippy::disallowed_methods)]
    pub(crate) fn change(&self, change: impl FnOnce(&mut Standing)) {
        let mut standing = self.lock();
        change(&mut standing);
        standing.version += 1;
        standing.since = Instant::now();
    }

    pub(crate) fn set(&self, presence: Presence) {
        self.change(|standing| (standing.presence, standing.is_lost) = (presence, false));
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a client.
    pub(crate) async fn connect(self: &Arc<Self>, world: &Arc<World>) -> Result<Peer, String> {
        let line = Line::to(world.registry.tcp);
        let (peer, events) = connect(world, &line).await.map_err(|error| format!("connecting: {error}"))?;
        let listener = tokio::spawn(self.clone().listen(world.clone(), peer.clone(), events)).abort_handle();
        self.change(|standing| standing.client = Some(Client { peer: peer.clone(), line, listener }));
        Ok(peer)
    }

    /// Makes an account and logs in.
    pub(crate) async fn arrive(self: &Arc<Self>, world: &Arc<World>) -> Result<(), String> {
        let (peer, name) = (self.connect(world).await?, self.name());
        peer.register(&name, PASSWORD).await.map_err(|error| format!("registering {name}: {error}"))?;
        world.tally.operation();
        self.log_in(world).await
    }

    pub(crate) async fn log_in(&self, world: &World) -> Result<(), String> {
        let name = self.name();
        self.peer()?.login(&name, PASSWORD).await.map_err(|error| format!("logging {name} in: {error}"))?;
        world.tally.operation();
        self.set(Presence::Online);
        Ok(())
    }

    /// Whoever lost their session, or failed on the way back to it, is online again, with a new client if need be.
    pub(crate) async fn recover(self: &Arc<Self>, world: &Arc<World>) -> Result<(), String> {
        let is_online = || self.look().presence == Presence::Online;
        if is_online() || until(Duration::from_secs(30), is_online).await {
            return Ok(());
        }
        let was_born = self.look().presence != Presence::Unborn;
        self.leave().await;
        if was_born {
            self.connect(world).await?;
            self.log_in(world).await
        } else {
            self.take_another_name();
            self.arrive(world).await
        }
    }

    /// The client loses its stream and has to come back by itself.
    pub(crate) async fn lose_the_stream(&self) -> Result<(), String> {
        let returns = self.returns.load(Relaxed);
        self.set(Presence::Changing);
        self.line()?.cut();
        self.wait_for_return(returns).await
    }

    /// Nothing gets through in either direction, for as long as `meanwhile` takes. Then the client has to come back by
    /// itself.
    pub(crate) async fn fall_silent(
        &self,
        meanwhile: impl Future<Output = Result<(), String>>,
    ) -> Result<(), String> {
        let returns = self.returns.load(Relaxed);
        self.set(Presence::Changing);
        let line = self.line()?;
        line.silence();
        let outcome = meanwhile.await;
        line.heal();
        outcome?;
        self.wait_for_return(returns).await
    }

    async fn wait_for_return(&self, before: u64) -> Result<(), String> {
        let came_back = until(Duration::from_secs(60), || self.returns.load(Relaxed) > before).await;
        if !came_back {
            return Err(format!("{} did not come back by itself", self.name()));
        }
        self.set(Presence::Online);
        Ok(())
    }

    /// The client is gone from one moment to the next, as a process that is killed.
    pub(crate) fn crash(&self) -> Result<(), String> {
        self.set(Presence::Changing);
        self.line()?.end();
        self.drop_client();
        Ok(())
    }

    /// Logs out, and ends the client.
    pub(crate) async fn leave(&self) {
        self.set(Presence::Changing);
        if let Ok(peer) = self.peer() {
            peer.close().await;
        }
        self.drop_client();
    }

    pub(crate) fn take_another_name(&self) {
        let index = self.index;
        self.change(|standing| {
            standing.presence = Presence::Unborn;
            standing.accounts += 1;
            standing.name = format!("u{index}-{}", standing.accounts);
        });
    }

    fn line(&self) -> Result<Arc<Line>, String> {
        let client = self.lock().client.clone();
        client.map(|client| client.line).ok_or_else(|| "there is no client now".to_owned())
    }

    fn drop_client(&self) {
        let client = self.lock().client.take();
        if let Some(client) = client {
            client.listener.abort();
        }
    }

    /// Takes what happens to the client, until it ends.
    async fn listen(self: Arc<Self>, world: Arc<World>, peer: Peer, mut events: Events) {
        while let Some(event) = events.next().await {
            if let Err(what) = self.take(&world, &peer, event).await {
                world.fault(&what);
            }
        }
    }

    async fn take(&self, world: &World, peer: &Peer, event: Event) -> Result<(), String> {
        let name = self.name();
        match event {
            Event::ChatRequested { request, .. } => {
                peer.accept(request).await.map_err(|error| format!("{name} accepting: {error}"))?;
            }
            Event::Message { from, text, .. } => {
                world.tally.text();
                world.post.hear(&name, from.as_str(), None, text.as_str())?;
            }
            Event::Broadcast { room, from, text, .. } => {
                world.tally.text();
                let room = room.as_ref().map(|room| room.as_str());
                world.post.hear(&name, from.as_str(), room, text.as_str())?;
            }
            Event::ChatClosed { .. } => {
                world.tally.operation();
                self.chats_ended.fetch_add(1, Relaxed);
            }
            Event::Reconnected => {
                self.returns.fetch_add(1, Relaxed);
                if self.look().is_lost {
                    self.set(Presence::Online);
                }
            }
            Event::Disconnected { reason, .. } if self.look().presence == Presence::Online => {
                self.change(|standing| {
                    (standing.presence, standing.is_lost) = (Presence::Changing, true);
                });
                return Err(format!("{name} lost the registry: {reason}"));
            }
            Event::LoggedOut { reason, .. } => {
                self.set(Presence::Changing);
                return Err(format!("{name} was logged out: {reason}"));
            }
            Event::Fault { culprit, what } => return Err(format!("{name} blames {culprit}: {what}")),
            _ => world.tally.operation(),
        }
        Ok(())
    }
}

/// A client that goes by a line, with the library's defaults.
pub(crate) async fn connect(world: &World, line: &Arc<Line>) -> Result<(Peer, Events), Error> {
    let registry = &world.registry;
    let config = ClientConfig::new(
        registry.tcp.ip().to_string(),
        registry.tcp.port(),
        Trust::Pinned(registry.fingerprint),
    )
    .registry_udp(registry.udp.ip().to_string(), registry.udp.port())
    .listen(([127, 0, 0, 1], 0).into())
    .network(Arc::new(Lined(line.clone())));
    Peer::connect(config).await
}
