//! The admin socket: what `p2pchat-registryd ctl` talks to. Its protocol is in the README.

mod audit;
mod connection;
mod request;
mod socket;
mod utc;
mod verbs;

use std::{sync::Arc, time::Duration};

use p2pchat_core::tokio::ServerHandle;
use serde_json::json;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};

use self::audit::Who;
#[cfg(feature = "__fuzz")]
pub(crate) use self::request::MAX_LINE;
pub use self::socket::SocketError;
pub(crate) use self::{
    audit::Audit,
    request::{ErrorReply, INVITE_ID, MAX_SECONDS, MAX_USES, Request, invite_id, level_checked, reason},
    socket::{AdminSocket, MAX_PATH},
};
use crate::{config::Config, daemon::Ready, files, logging::Log, reload::Reloader, store::RedbStore};

/// How many operators are served at once; more wait.
const CONNECTIONS: usize = 8;
/// Before another attempt when there is no descriptor to accept with.
const PAUSE: Duration = Duration::from_millis(100);

/// What the verbs act on.
pub(crate) struct Admin {
    server: ServerHandle,
    store: Arc<RedbStore>,
    here: Ready,
    reloader: Arc<Reloader>,
    /// Without one, what is logged is for somebody else to say.
    log: Option<Log>,
    audit: Arc<Audit>,
    started: Instant,
}

impl Admin {
    #[allow(clippy::disallowed_methods, reason = "the daemon owns the clock")]
    pub(crate) fn new(
        audit: Arc<Audit>,
        (server, store): (ServerHandle, Arc<RedbStore>),
        here: Ready,
        reloader: Arc<Reloader>,
        log: Option<Log>,
    ) -> Self {
        Self { server, store, here, reloader, log, audit, started: Instant::now() }
    }

    /// Serves operators until `ending`, and then those to the end of what they have asked who are being answered.
    pub(crate) async fn serve(self, socket: &AdminSocket, mut ending: Ending) {
        let (admin, room) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS)));
        let mut connections = JoinSet::new();
        loop {
            let accepted = async {
                // It is never closed.
                let place = room.clone().acquire_owned().await.ok();
                (socket.listener.accept().await, place)
            };
            tokio::select! {
                biased;
                () = ending.come() => break,
                Some(_) = connections.join_next() => {}
                accepted = accepted => match accepted {
                    (Ok((stream, _)), place) => {
                        let (admin, ending) = (admin.clone(), ending.clone());
                        connections.spawn(async move {
                            connection::serve(&admin, stream, ending).await;
                            drop(place);
                        });
                    }
                    (Err(error), _) => {
                        tracing::debug!(%error, "can't accept an operator");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
        while connections.join_next().await.is_some() {}
    }
}

/// That the registry ends, which comes once.
#[derive(Debug, Clone)]
pub(crate) struct Ending(watch::Receiver<bool>);

impl Ending {
    /// It comes when `true` is sent, or the sender is gone.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (end, ending) = watch::channel(false);
        (end, Self(ending))
    }

    pub(crate) async fn come(&mut self) {
        // An error says that nobody is left who could say so.
        _ = self.0.wait_for(|is_ending| *is_ending).await;
    }
}

/// Has the settings read anew because of a signal, which is recorded as if it had been asked for on the socket.
pub(crate) async fn reload_at(signal: &'static str, reloader: &Reloader, audit: &Audit) {
    let begun = audit.begin(Who::Signal { signal }, json!({ "verb": "reload" })).await;
    let done = verbs::reload(reloader).await;
    begun.end(&connection::result_of(&done)).await;
}

/// Makes the admin socket. Who has named one gets it or an error; without the default one the registry serves all the same.
pub(crate) fn bind(config: &Config) -> Result<Option<AdminSocket>, SocketError> {
    let path = config.admin_socket_path();
    match AdminSocket::bind(&path) {
        Err(error) if config.admin_socket.is_none() => {
            tracing::warn!(%error, "there is no admin socket, so ctl can't be used");
            Ok(None)
        }
        bound => bound.map(Some),
    }
}

/// The socket's place in a data folder.
pub(crate) fn default_path(data_dir: &std::path::Path) -> std::path::PathBuf {
    data_dir.join(files::ADMIN_SOCKET)
}
