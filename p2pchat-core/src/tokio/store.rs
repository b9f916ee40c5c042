//! The durable store as the server sees it.

use std::sync::{Mutex, PoisonError};

use crate::registry::store::{MemoryStore, StoreAnswer, StoreRequest};

/// A store that answers from wherever it runs: a writer thread, a pool, a service far away.
///
/// What a request means is written in [`crate::registry::store`] (`read`, `write`); a store runs it in a transaction.
pub trait Store: Send + Sync {
    /// Takes a request and returns at once. `done` is called exactly once, from any thread or from within `submit`.
    ///
    /// Writes take effect in the order of the calls and are durable before `done` is called. With too many requests
    /// waiting, `done` is called at once with [`StoreError::Busy`](crate::registry::store::StoreError::Busy).
    fn submit(&self, request: StoreRequest, done: Box<dyn FnOnce(StoreAnswer) + Send>);
}

/// A [`MemoryStore`] that a server can use: for tests, examples and registries that may forget. A clone of the `Arc` that
/// holds it survives the server.
#[derive(Debug, Default)]
pub struct SharedMemoryStore(Mutex<MemoryStore>);

impl SharedMemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for SharedMemoryStore {
    fn submit(&self, request: StoreRequest, done: Box<dyn FnOnce(StoreAnswer) + Send>) {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
        done(answer);
    }
}
