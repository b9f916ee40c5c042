//! What an operator sees and does of a running server.

use p2pchat_proto::Username;
use tokio::sync::oneshot;

use super::ServerHandle;
use crate::registry::{
    SessionInfo,
    store::{StoreAnswer, StoreError, StoreRequest},
};

impl ServerHandle {
    /// At most `count` of those online whose names come after `after`, in the order of names.
    pub fn sessions(&self, after: Option<&Username>, count: usize) -> Vec<SessionInfo> {
        self.shared.act(|registry, now| registry.sessions(now, after).take(count).collect())
    }

    /// The user's session, if they are online.
    pub fn session_of(&self, username: &Username) -> Option<SessionInfo> {
        self.shared.act(|registry, now| registry.session_of(now, username))
    }

    /// Ends the user's session: they are told why, and their stream is closed. They may come back. False if they are not
    /// online.
    pub fn kick(&self, username: &Username, why: &str) -> bool {
        self.shared.act(|registry, _| registry.kick(username, why))
    }

    /// Asks the store.
    pub async fn ask(&self, request: StoreRequest) -> StoreAnswer {
        let (answer, answered) = oneshot::channel();
        // Who has stopped waiting isn't told.
        self.shared.submit(request, Box::new(move |stored| drop(answer.send(stored))));
        let dropped = |_| StoreAnswer::Failed(StoreError::Engine("it gave no answer".into()));
        answered.await.unwrap_or_else(dropped)
    }
}
