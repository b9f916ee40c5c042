//! What the handles look at without the machine.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use p2pchat_proto::Username;
use tokio::sync::Notify;

use super::SeenCertificate;
use crate::{peer::Event, tokio::CertificateError};

/// How many messages the application may hold that it hasn't confirmed.
const PLACES: usize = 64;

#[derive(Debug)]
pub(super) struct Shared {
    /// The port of the listener for peer streams.
    pub(super) port: u16,
    status: Mutex<Status>,
    queue: Mutex<Queue>,
    /// An event was added or may be taken again, or the client has ended.
    pub(super) filled: Notify,
    /// The client's task has something to do earlier than it knows.
    pub(super) stir: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) username: Option<Username>,
    pub(super) certificate: Option<SeenCertificate>,
    /// That certificate in DER form.
    pub(super) der: Option<Arc<[u8]>>,
    pub(super) distrusted: Option<CertificateError>,
}

/// What came of taking an event.
#[derive(Debug)]
pub(super) enum Taken {
    Event(Event, bool),
    Nothing,
    Ended,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    /// How many messages the application holds.
    held: usize,
    /// Others' words are held back until some are taken.
    is_awaited: bool,
    /// No event will be added any more.
    ended: bool,
    /// Nobody will take an event any more.
    abandoned: bool,
}

impl Shared {
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            status: Mutex::default(),
            queue: Mutex::default(),
            filled: Notify::new(),
            stir: Notify::new(),
        }
    }

    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, of which there may be `limit`.
    pub(super) fn tell(&self, event: Event, limit: usize) {
        let mut queue = self.queue();
        // Messages are bounded already: by what is held back, and by how many the machine lets be unconfirmed.
        if queue.abandoned {
            return;
        }
        if !is_talk(&event) && queue.events.len() >= limit {
            tracing::warn!(limit, "an event was dropped: the application takes none");
            return;
        }
        // How far a file is now, is all that counts.
        if let Event::FileProgress { file, .. } = &event
            && let Some(older) = queue.events.iter_mut().rev().find(
                |older| matches!(older, Event::FileProgress { file: older, bytes: 1.., .. } if older == file),
            )
        {
            *older = event;
            return;
        }
        queue.events.push_back(event);
        drop(queue);
        self.filled.notify_one();
    }

    /// Takes the oldest event, and tells whether it was the last. A message holds a place until that is [given
    /// back](Self::give_back).
    pub(super) fn take(&self) -> Taken {
        let mut queue = self.queue();
        if queue.held >= PLACES {
            return Taken::Nothing;
        }
        let Some(event) = queue.events.pop_front() else {
            return if queue.ended { Taken::Ended } else { Taken::Nothing };
        };
        if is_talk(&event) {
            queue.held += 1;
        }
        let is_last = queue.events.is_empty();
        self.has_room(queue);
        Taken::Event(event, is_last)
    }

    /// The application doesn't hold a message any more.
    pub(super) fn give_back(&self) {
        let mut queue = self.queue();
        let was_full = queue.held >= PLACES;
        queue.held -= 1;
        drop(queue);
        if was_full {
            self.filled.notify_one();
        }
    }

    /// No event will be added any more.
    pub(super) fn end(&self) {
        self.queue().ended = true;
        self.filled.notify_one();
    }

    /// Whether fewer than `enough` events wait. If not, the client's task is told when some are taken.
    pub(super) fn keeps_up(&self, enough: usize) -> bool {
        let mut queue = self.queue();
        queue.is_awaited = queue.events.len() >= enough;
        !queue.is_awaited
    }

    /// What somebody said isn't to be shown any more; nor will it be confirmed.
    pub(super) fn unsay(&self, user: &Username) {
        let mut queue = self.queue();
        queue.events.retain(|event| match event {
            Event::Message { from, .. } | Event::Broadcast { from, .. } => from != user,
            _ => true,
        });
        self.has_room(queue);
    }

    /// Nobody takes an event any more.
    pub(super) fn abandon(&self) {
        let mut queue = self.queue();
        queue.abandoned = true;
        queue.events.clear();
        self.has_room(queue);
    }

    fn has_room(&self, queue: MutexGuard<'_, Queue>) {
        let is_awaited = queue.is_awaited;
        drop(queue);
        if is_awaited {
            self.stir.notify_one();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn is_talk(event: &Event) -> bool {
    matches!(event, Event::Message { .. } | Event::Broadcast { .. })
}

#[cfg(test)]
mod tests {
    use p2pchat_proto::Text;

    use super::*;
    use crate::peer::Receipt;

    #[tokio::test]
    async fn who_holds_as_many_messages_as_may_be_gets_none_more_until_one_is_given_back() {
        let shared = Shared::new(0);
        let (from, text) = (Username::new("bob").unwrap(), Text::new("hi").unwrap());
        for receipt in (0..=64).map(Receipt) {
            shared.tell(Event::Message { from: from.clone(), text: text.clone(), place: None, receipt }, 1);
        }
        for _ in 0..PLACES {
            assert!(matches!(shared.take(), Taken::Event(_, false)));
        }
        assert!(matches!(shared.take(), Taken::Nothing));
        // What was told before.
        shared.filled.notified().await;
        shared.give_back();
        shared.filled.notified().await;
        assert!(matches!(shared.take(), Taken::Event(_, true)));
        shared.end();
        shared.give_back();
        assert!(matches!(shared.take(), Taken::Ended));
    }
}
