//! What one may do as a room's owner, and what becomes of a room at its owner's hands (§7.7).

use p2pchat_proto::{Reason, RoomName, RoomSetting, ToRegistry, Username};

use super::{Event, Peer, RequestId, requests::Purpose};
use crate::time::Time;

impl Peer {
    /// Puts a member out of one's own room. They may join again, unless they are [banned](Self::ban). For this and what
    /// follows the registry needs the capability `moderate`: else
    /// [`RequestError::Unsupported`](super::RequestError::Unsupported).
    pub fn kick(
        &mut self,
        now: Time,
        room: RoomName,
        username: Username,
        reason: Option<Reason>,
    ) -> RequestId {
        self.moderate(now, ToRegistry::Kick { room, username, reason })
    }

    /// Keeps a user out of one's own room, whether they are in it or not.
    pub fn ban(
        &mut self,
        now: Time,
        room: RoomName,
        username: Username,
        reason: Option<Reason>,
    ) -> RequestId {
        self.moderate(now, ToRegistry::Ban { room, username, reason })
    }

    /// Lets a user in again who was banned.
    pub fn unban(&mut self, now: Time, room: RoomName, username: Username) -> RequestId {
        self.moderate(now, ToRegistry::Unban { room, username })
    }

    /// Sets a password, a capacity, a description or another owner for one's own room.
    pub fn set_room(&mut self, now: Time, room: RoomName, setting: RoomSetting) -> RequestId {
        self.moderate(now, ToRegistry::SetRoom { room, setting })
    }

    /// Who is banned from one's own room: [`Response::Bans`](super::Response::Bans).
    pub fn bans(&mut self, now: Time, room: RoomName) -> RequestId {
        self.command(|peer, request| peer.submit(now, ToRegistry::ListBans { room }, Purpose::Bans(request)))
    }

    fn moderate(&mut self, now: Time, message: ToRegistry) -> RequestId {
        self.command(|peer, request| peer.submit(now, message, Purpose::Moderate(request)))
    }

    /// An owner has put somebody out, perhaps oneself: from now on nothing is said there, nor heard of them.
    pub(super) fn put_out(&mut self, now: Time, event: Event) {
        let Event::PutOut { room, username, .. } = &event else { return };
        if self.is_me(username) {
            self.drop_room(now, room);
        } else if let Some(room) = self.rooms.get_mut(room) {
            room.lose(username);
        } else {
            return;
        }
        self.tell(event);
    }
}
