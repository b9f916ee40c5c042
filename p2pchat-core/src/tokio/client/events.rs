//! What happens, for the application to take.

use std::sync::Arc;

use super::{handle::Handle, shared::Taken};
use crate::peer::{Event, Receipt};

/// What happens to a [`Peer`](super::Peer), in order.
///
/// However slowly they are taken, it is fair: of each stream one message is read ahead, and these come in the order of being read.
/// So what somebody says comes after what waits here already, of which there is no more than an eighth of
/// [`ClientConfig::events`](super::ClientConfig::events), and after at most one message of each other stream, however much
/// there is behind it.
#[derive(Debug)]
pub struct Events {
    handle: Arc<Handle>,
}

impl Events {
    pub(super) const fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// The next event; `None` once the client has ended. Never [`Event::Completed`]: calls tell their end themselves.
    ///
    /// Handing out an [`Event::Message`] or [`Event::Broadcast`] confirms it to its sender. Take events swiftly: while
    /// many wait, others' messages are left unread, and their programs will report them as undelivered. Dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        let held = self.next_held().await?;
        // The application is yet to see it.
        Some(held.confirm_later())
    }

    /// As [`next`](Self::next), but it is the application that confirms what somebody says: once it has stored it, say.
    ///
    /// Confirm swiftly: a sender's program waits [`Config::delivery_timeout`](crate::peer::Config::delivery_timeout), 10
    /// seconds as a rule, and takes the message for undelivered then. At most 64 messages are held at once: whoever holds as
    /// many gets no further event. Dropping the future loses nothing.
    pub async fn next_held(&mut self) -> Option<Held> {
        let shared = &self.handle.client.shared;
        loop {
            // Between taking an event and handing it out nothing may wait.
            let (event, is_last) = match shared.take() {
                Taken::Event(event, is_last) => (event, is_last),
                Taken::Ended => return None,
                Taken::Nothing => {
                    shared.filled.notified().await;
                    continue;
                }
            };
            let owed = match &event {
                Event::Message { receipt, .. } | Event::Broadcast { receipt, .. } => {
                    Some(Owed { receipt: *receipt, is_last, handle: self.handle.clone() })
                }
                _ => None,
            };
            return Some(Held { event, owed });
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
    /// Nothing of an event that is nobody's message.
    owed: Option<Owed>,
}

/// What is to be said of a message.
#[derive(Debug)]
struct Owed {
    receipt: Receipt,
    /// No event waited behind it.
    is_last: bool,
    handle: Arc<Handle>,
}

impl Held {
    /// What has happened.
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// Tells the sender that it has arrived. Of an event that nobody waits for, nothing is told.
    pub fn confirm(self) -> Event {
        if let Some(owed) = self.owed {
            owed.handle.client.confirm(owed.receipt, owed.is_last);
        }
        self.event
    }

    /// The same, but not before the application's task has had its turn.
    fn confirm_later(self) -> Event {
        if let Some(owed) = self.owed {
            owed.handle.client.confirm(owed.receipt, false);
        }
        self.event
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.handle.client.shared.give_back();
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.handle.client.shared.abandon();
    }
}
