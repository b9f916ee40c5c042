//! What happens, for the application to take.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{actor::Command, shared::Shared};
use crate::peer::Event;

/// What happens to a [`Peer`](super::Peer), in order.
///
/// However slowly they are taken, it is fair: of each stream one message is read ahead, and these come in the order of being read.
/// So what somebody says comes after what waits here already, of which there is no more than an eighth of
/// [`ClientConfig::events`](super::ClientConfig::events), and after at most one message of each other stream, however much
/// there is behind it.
#[derive(Debug)]
pub struct Events {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

impl Events {
    pub(super) fn new(commands: mpsc::Sender<Command>, shared: Arc<Shared>) -> Self {
        Self { commands, shared }
    }

    /// The next event; `None` once the client has ended. Never [`Event::Completed`]: calls tell their end themselves.
    ///
    /// Handing out an [`Event::Message`] or [`Event::Broadcast`] confirms it to its sender. Take events swiftly: while
    /// many wait, others' messages are left unread, and their programs will report them as undelivered. Dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            // Room for the confirmation comes first: between taking the event and handing it out nothing may wait.
            let confirmation = self.commands.reserve().await;
            let filled = self.shared.filled.notified();
            {
                let mut queue = self.shared.queue();
                if let Some(event) = queue.events.pop_front() {
                    drop(queue);
                    self.shared.drained.notify_one();
                    if let Event::Message { receipt, .. } | Event::Broadcast { receipt, .. } = &event
                        && let Ok(confirmation) = confirmation
                    {
                        confirmation.send(Command::Confirm(*receipt));
                    }
                    return Some(event);
                }
                if queue.ended {
                    return None;
                }
            }
            drop(confirmation);
            filled.await;
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.abandoned = true;
        queue.events.clear();
        drop(queue);
        self.shared.drained.notify_one();
    }
}
