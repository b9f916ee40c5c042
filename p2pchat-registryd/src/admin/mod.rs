//! The admin socket: what `p2pchat-registryd ctl` talks to. Its protocol is in the README.

mod audit;
mod connection;
mod request;
mod socket;
mod utc;
mod verbs;

use std::{path::Path, sync::Arc, time::Duration};

use p2pchat_core::tokio::ServerHandle;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use self::audit::Audit;
#[cfg(feature = "__fuzz")]
pub(crate) use self::request::MAX_LINE;
pub use self::socket::SocketError;
pub(crate) use self::{
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
    audit: Audit,
    started: Instant,
}

impl Admin {
    #[allow(clippy::disallowed_methods, reason = "the daemon owns the clock")]
    pub(crate) fn new(
        data_dir: &Path,
        (server, store): (ServerHandle, Arc<RedbStore>),
        here: Ready,
        reloader: Arc<Reloader>,
        log: Option<Log>,
    ) -> Self {
        let audit = Audit::new(data_dir.join(files::AUDIT));
        Self { server, store, here, reloader, log, audit, started: Instant::now() }
    }

    /// Serves operators, for ever.
    pub(crate) async fn serve(self, socket: &AdminSocket) {
        let (admin, room) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS)));
        let mut connections = JoinSet::new();
        loop {
            let Ok(place) = room.clone().acquire_owned().await else { return };
            tokio::select! {
                biased;
                Some(_) = connections.join_next() => {}
                accepted = socket.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let admin = admin.clone();
                        connections.spawn(async move {
                            connection::serve(&admin, stream).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "can't accept an operator");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
    }
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
pub(crate) fn default_path(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join(files::ADMIN_SOCKET)
}
