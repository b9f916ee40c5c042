//! Whom our user doesn't want to hear of, nor to be heard by (PROTOCOL.md §9).
//!
//! Whoever is blocked isn't told: their streams end as streams do. The list is the application's to keep.

use p2pchat_proto::{PeerMessage, Username};

use super::{
    Peer, RequestError, StreamId,
    chats::Chat,
    keys::claimed,
    streams::{Reach, Want},
};
use crate::time::Time;

/// Why a stream ends, for our user to read.
const BLOCKED: &str = "blocked";

impl Peer {
    /// Nothing is said to the user from now on, and nothing that they say is shown: what was to be said to them ends with
    /// [`RequestError::Blocked`] (what was said already, in doubt), chats with them end, and so do streams, those to come as soon as it is known whose they are. In
    /// rooms they are still shown as members.
    pub fn block(&mut self, now: Time, user: Username) {
        if !self.blocked.insert(user.clone()) || self.closed {
            return;
        }
        self.fail_all_to(&user);
        self.end_contact(now, &user, &RequestError::Blocked);
        self.leave_all(now, &user, BLOCKED);
        self.line_over(&user, &RequestError::Blocked, BLOCKED);
        for stream in self.streams_of(&user) {
            self.drop_stream(now, stream, BLOCKED, true);
        }
    }

    /// The user may be heard again, and be talked to.
    pub fn unblock(&mut self, user: &Username) {
        self.tell_all();
        self.blocked.remove(user);
    }

    /// Who is blocked.
    pub fn blocked(&self) -> impl Iterator<Item = &Username> {
        self.blocked.iter()
    }

    /// True if the user is blocked.
    pub fn is_blocked(&self, user: &Username) -> bool {
        self.blocked.contains(user)
    }

    /// Closes a stream on which somebody speaks in the name of who is blocked, before the registry is asked about them. True if
    /// that is so.
    pub(super) fn silences(&mut self, now: Time, id: StreamId, message: &PeerMessage) -> bool {
        let is_blocked = claimed(message).is_some_and(|name| self.is_blocked(name));
        if is_blocked {
            self.drop_stream(now, id, BLOCKED, true);
        }
        is_blocked
    }

    /// Ends what waits for the user, before what follows would end it with its own errors.
    fn fail_all_to(&mut self, user: &Username) {
        let wants = match self.reaches.get_mut(user) {
            Some(Reach::Searching(wants) | Reach::Dialling(wants) | Reach::Asking(wants)) => {
                std::mem::take(wants)
            }
            _ => Vec::new(),
        };
        if matches!(self.reaches.get(user), Some(Reach::Searching(_))) {
            self.reaches.remove(user);
        }
        let (mut direct, mut in_rooms) = (Vec::new(), Vec::new());
        let (unsaid, said) = (RequestError::Blocked, RequestError::Blocked.in_doubt(None));
        for want in wants {
            match want {
                Want::Chat(request) => direct.push((request, unsaid.clone())),
                Want::Broadcast(request) => in_rooms.push((request, unsaid.clone())),
                Want::Line => {}
            }
        }
        for stream in self.streams.values().filter(|stream| stream.peer.as_ref() == Some(user)) {
            direct.extend(stream.direct.requests().map(|request| (request, said.clone())));
            in_rooms.extend(stream.rooms.requests().map(|request| (request, said.clone())));
            if let Chat::Asked(requests) = &stream.chat {
                direct.extend(requests.iter().map(|request| (*request, unsaid.clone())));
            }
        }
        for (request, error) in direct {
            self.complete(request, Err(error));
        }
        for (request, error) in in_rooms {
            self.settle_broadcast(request, user, Err(error));
        }
    }
}
