//! The server: a task for each connection, one for datagrams, one for deadlines, one for answers; the registry machine
//! between them behind a lock that is never held across a wait.

mod config;
mod connection;
mod datagrams;
mod hash;
mod operator;
mod places;
mod shared;
mod stats;

use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

pub use self::{
    config::{HashConfig, ServerConfig, TimeLimits},
    hash::check_password_hash,
    operator::{BanError, InviteError},
    stats::{Figure, FigureValue, Latencies, ServerStats},
};
use self::{
    datagrams::DatagramSocket,
    hash::HashPool,
    shared::{Answer, Shared},
};
use super::{accept::AcceptFailures, network::Listener, store::Store};

/// A registry on its sockets: bound, and serving while [`run`](Self::run) runs.
pub struct Server {
    shared: Arc<Shared>,
    listener: Box<dyn Listener>,
    accepting: Accepting,
    answers: mpsc::UnboundedReceiver<Answer>,
    tcp: SocketAddr,
    udp: SocketAddr,
}

/// Streams are accepted while it lives. Who comes before the first is taken waits in the listener, and isn't turned away.
struct Accepting(Arc<Shared>);

impl Accepting {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.counters.accepting.store(true, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.counters.accepting.store(false, Ordering::Relaxed);
    }
}

/// A way to a running [`Server`], for figures and for streams that come by another way than its listener.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

impl Server {
    /// Binds both sockets and prepares the password hash.
    ///
    /// # Errors
    /// The sockets', [`io::ErrorKind::InvalidInput`] for parameters that the password hash can't work with, and
    /// [`io::ErrorKind::Other`] for bans that can't be read, and where there is no randomness.
    pub async fn bind(config: ServerConfig, store: Arc<dyn Store>) -> io::Result<Self> {
        let hashes = HashPool::new(&config.hash).await?;
        let listener = config.network.listen(config.tcp).await?;
        let datagrams = DatagramSocket::new(config.network.bind(config.udp).await?)?;
        let (tcp, udp) = (listener.local_addr()?, datagrams.local_addr());
        let (answer, answers) = mpsc::unbounded_channel();
        let bans = operator::stored_bans(&store).await.map_err(io::Error::other)?;
        let shared = Arc::new(Shared::new(config, store, hashes, datagrams, answer)?);
        // Nobody has come yet: none of them ends anything.
        bans.iter().for_each(|ban| _ = shared.hold(ban));
        let accepting = Accepting::begin(&shared);
        Ok(Self { shared, listener, accepting, answers, tcp, udp })
    }

    /// Where streams are accepted.
    pub fn local_tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Where datagrams are received.
    pub fn local_udp(&self) -> SocketAddr {
        self.udp
    }

    /// A handle that outlives the call of [`run`](Self::run).
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: self.shared.clone() }
    }

    /// Serves until `shutdown` is ready or a [`drain`](ServerHandle::drain) has ended; then no stream is accepted any more, those that are open are flushed and closed,
    /// within [`TimeLimits::drain`].
    ///
    /// # Errors
    /// Only if a part of the server has panicked, which is a defect of it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { shared, listener, accepting, answers, .. } = self;
        let mut loops = JoinSet::new();
        loops.spawn(datagrams::receive(shared.clone()));
        loops.spawn(keep_deadlines(shared.clone()));
        loops.spawn(take_answers(shared.clone(), answers));

        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut drain = shared.drain.subscribe();
        let draining = tokio::select! {
            biased;
            Some(Err(error)) = loops.join_next() => return Err(io::Error::other(error)),
            () = &mut shutdown => false,
            _ = drain.wait_for(Option::is_some) => true,
            () = accept(&shared, &*listener, &mut connections) => false,
        };
        drop((listener, accepting));
        if draining {
            tracing::info!(connections = connections.len(), "draining: nobody else is let in");
            tokio::select! {
                biased;
                Some(Err(error)) = loops.join_next() => return Err(io::Error::other(error)),
                () = shutdown => {}
                () = wait_until(drain) => {}
                () = async { while connections.join_next().await.is_some() {} } => {}
            }
        }
        tracing::info!(connections = connections.len(), "shutting down");
        shared.act(|registry, _| registry.disconnect_all());
        let drained =
            timeout(shared.config().times.drain, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "connections were cut off that did not drain in time"
            );
        }
        Ok(())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("tcp", &self.tcp).field("udp", &self.udp).finish_non_exhaustive()
    }
}

impl ServerHandle {
    /// Serves one stream, TLS included, until it ends, while [`Server::run`] runs; its draining doesn't wait for it. `remote` is where it comes from: the address that others are told,
    /// and the only one whose keep-alives count.
    pub async fn serve_stream(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin, remote: SocketAddr) {
        connection::serve(self.shared.clone(), stream, remote).await;
    }

    /// Goes by other settings from now on, without closing a stream: certificate and key for new streams, everybody's limits,
    /// the password hash. Streams that are open keep their encryption and time limits. `tcp`, `udp` and `network` can't be
    /// changed.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for parameters that the password hash can't work with. Nothing is changed then.
    pub async fn reconfigure(&self, config: ServerConfig) -> io::Result<()> {
        let hashes = match self.shared.config().hash == config.hash {
            true => None,
            false => Some(HashPool::new(&config.hash).await?),
        };
        self.shared.reconfigure(config, hashes);
        Ok(())
    }

    /// How much there is of what.
    pub fn stats(&self) -> ServerStats {
        self.shared.stats()
    }
}

async fn accept(shared: &Arc<Shared>, listener: &dyn Listener, connections: &mut JoinSet<()>) {
    let mut failures = AcceptFailures::new(shared.clock);
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    connections.spawn(connection::serve(shared.clone(), stream, remote));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    shared.counters.failed_accepts.one();
                    failures.pause(&error, "connection").await;
                }
            },
        }
    }
}

/// Waits until the moment that `deadline` names last.
async fn wait_until(mut deadline: watch::Receiver<Option<Instant>>) {
    loop {
        let until = *deadline.borrow_and_update();
        let arrives = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = deadline.changed() => {}
            () = arrives => return,
        }
    }
}

async fn keep_deadlines(shared: Arc<Shared>) {
    loop {
        let due = shared.next_deadline();
        tokio::select! {
            biased;
            () = shared.deadline_moved.notified() => {}
            () = sleep_until(shared.clock.instant(due.unwrap_or_default())), if due.is_some() => {
                shared.act(|registry, now| registry.handle_timeout(now));
            }
        }
    }
}

async fn take_answers(shared: Arc<Shared>, mut answers: mpsc::UnboundedReceiver<Answer>) {
    let mut batch = Vec::new();
    while answers.recv_many(&mut batch, 64).await > 0 {
        shared.act(|registry, now| {
            for answer in batch.drain(..) {
                answer.tell(registry, now);
            }
        });
    }
}
