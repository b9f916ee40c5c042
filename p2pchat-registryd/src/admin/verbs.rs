//! What each verb does.

use std::io;

use p2pchat_core::{proto::Username, registry::SessionInfo};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::AsyncWrite;

use super::{
    Admin,
    connection::Replies,
    request::{ErrorReply, Request},
};

/// How much is taken out of the machine at once, which holds everybody up meanwhile.
const PAGE: usize = 256;

/// What is told in the end.
type Done = Result<Value, ErrorReply>;

impl Admin {
    /// Does what was asked. The lists go to `replies` as they are read; an error there is the connection's.
    pub(super) async fn carry_out(
        &self,
        request: Request,
        replies: &mut Replies<impl AsyncWrite + Unpin>,
    ) -> io::Result<Done> {
        Ok(match request {
            Request::Status => Ok(self.status()),
            Request::Sessions => return self.sessions(replies).await,
            Request::Kick { user, reason } => {
                let why =
                    reason.as_ref().map_or("the operator has ended your session", |reason| reason.as_str());
                match self.server.kick(&user, why) {
                    true => Ok(json!({ "user": user.as_str() })),
                    false => Err(ErrorReply::new("not-online", format!("{user} is not online"))),
                }
            }
        })
    }

    fn status(&self) -> Value {
        let stats = self.server.stats();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "tcp": self.here.tcp,
            "udp": self.here.udp,
            "fingerprint": self.here.fingerprint.to_string(),
            "connections": stats.registry.connections,
            "sessions": stats.registry.sessions,
            "operations": stats.registry.operations,
            "refused_connections": stats.refused_connections,
            "refused_registrations": stats.registry.refused_registrations,
            "refused_logins": stats.registry.refused_logins,
            "failed_handshakes": stats.failed_handshakes,
            "slow_readers": stats.slow_readers,
            "slow_writers": stats.slow_writers,
        })
    }

    async fn sessions(&self, replies: &mut Replies<impl AsyncWrite + Unpin>) -> io::Result<Done> {
        let (mut count, mut after) = (0, None::<Username>);
        loop {
            let page = self.server.sessions(after.as_ref(), PAGE);
            for session in &page {
                replies.item(&Session::from(session)).await?;
            }
            count += page.len();
            after = page.into_iter().last().map(|session| session.username);
            if after.is_none() {
                return Ok(Ok(json!({ "count": count })));
            }
        }
    }
}

/// A user online.
#[derive(Debug, Serialize)]
struct Session {
    user: String,
    address: String,
    port: Option<u16>,
    rooms: Vec<String>,
    dialect: &'static str,
    capabilities: String,
    online_seconds: u64,
    silent_seconds: u64,
}

impl From<&SessionInfo> for Session {
    fn from(session: &SessionInfo) -> Self {
        Self {
            user: session.username.to_string(),
            address: session.remote.to_string(),
            port: session.port.map(|port| port.get()),
            rooms: session.rooms.iter().map(ToString::to_string).collect(),
            dialect: match session.dialect {
                p2pchat_core::proto::Dialect::Canonical => "canonical",
                _ => "prototype",
            },
            capabilities: session.capabilities.to_string(),
            online_seconds: session.online_for.as_secs(),
            silent_seconds: session.silent_for.as_secs(),
        }
    }
}
