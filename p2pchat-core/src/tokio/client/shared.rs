//! What the machine's task and the handles look at together.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use p2pchat_proto::Username;
use tokio::sync::Notify;

use super::SeenCertificate;
use crate::{peer::Event, tokio::CertificateError};

#[derive(Debug)]
pub(super) struct Shared {
    /// The port of the listener for peer streams.
    pub(super) port: u16,
    status: Mutex<Status>,
    queue: Mutex<Queue>,
    /// An event was added, or the client has ended.
    pub(super) filled: Notify,
    /// An event was taken.
    pub(super) drained: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) username: Option<Username>,
    pub(super) certificate: Option<SeenCertificate>,
    /// That certificate in DER form.
    pub(super) der: Option<Arc<[u8]>>,
    pub(super) distrusted: Option<CertificateError>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) events: VecDeque<Event>,
    /// No event will be added any more.
    pub(super) ended: bool,
    /// Nobody will take an event any more.
    pub(super) abandoned: bool,
}

impl Shared {
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            status: Mutex::default(),
            queue: Mutex::default(),
            filled: Notify::new(),
            drained: Notify::new(),
        }
    }

    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What somebody said isn't to be shown any more; nor will it be confirmed.
    pub(super) fn unsay(&self, user: &Username) {
        self.queue().events.retain(|event| match event {
            Event::Message { from, .. } | Event::Broadcast { from, .. } => from != user,
            _ => true,
        });
        // There may be room for others now.
        self.drained.notify_one();
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
