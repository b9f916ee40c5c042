//! What happens, for the application to take.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{actor::Command, shared::Shared};
use crate::peer::{Event, Receipt};

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
        self.next_held().await.map(Held::confirm)
    }

    /// As [`next`](Self::next), but it is the application that confirms what somebody says: once it has stored it, say.
    ///
    /// Confirm swiftly: a sender's program waits [`Config::delivery_timeout`](crate::peer::Config::delivery_timeout), 10
    /// seconds as a rule, and takes the message for undelivered then. Of a message that is held, a place is kept among the 64
    /// for what the client is yet to do: whoever holds all of them gets no further event, and no call is answered. Dropping
    /// the future loses nothing.
    pub async fn next_held(&mut self) -> Option<Held> {
        loop {
            // Room for the confirmation comes first: between taking the event and handing it out nothing may wait.
            let place = self.commands.clone().reserve_owned().await;
            let filled = self.shared.filled.notified();
            {
                let mut queue = self.shared.queue();
                if let Some(event) = queue.events.pop_front() {
                    drop(queue);
                    self.shared.drained.notify_one();
                    let owed = match &event {
                        Event::Message { receipt, .. } | Event::Broadcast { receipt, .. } => Some(*receipt),
                        _ => None,
                    };
                    return Some(Held { event, confirmation: owed.zip(place.ok()) });
                }
                if queue.ended {
                    return None;
                }
            }
            drop(place);
            filled.await;
        }
    }
}

/// An event that its sender, if it has one, doesn't yet know to have arrived; see [`Events::next_held`].
///
/// Dropping it confirms nothing, and it isn't handed out again by this client: its sender's program reports the message as
/// undelivered. So does one whose recipient's program ended while it held the message.
#[derive(Debug)]
#[must_use = "a message that isn't confirmed counts as undelivered"]
pub struct Held {
    event: Event,
    /// What is to be said, and where. Nothing of an event that is nobody's message.
    confirmation: Option<(Receipt, mpsc::OwnedPermit<Command>)>,
}

impl Held {
    /// What has happened.
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// Tells the sender that it has arrived. Of an event that nobody waits for, nothing is told.
    pub fn confirm(self) -> Event {
        if let Some((receipt, place)) = self.confirmation {
            place.send(Command::Confirm(receipt));
        }
        self.event
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
