//! What one may do as a room's owner, and what becomes of a room at its owner's hands (§7.7).

use p2pchat_proto::{Reason, RoomName, RoomSetting, ToRegistry, Username};

use super::{Event, Peer, RequestId, requests::Purpose};
use crate::time::Time;

/// What becomes of a member if the registry does what one asks as a room's owner.
#[derive(Debug)]
pub(super) struct Removal {
    room: RoomName,
    username: Username,
    reason: Option<Reason>,
    banned: bool,
}

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
        let removal =
            Removal { room: room.clone(), username: username.clone(), reason: reason.clone(), banned: false };
        self.moderate(now, ToRegistry::Kick { room, username, reason }, Some(removal))
    }

    /// Keeps a user out of one's own room, whether they are in it or not.
    pub fn ban(
        &mut self,
        now: Time,
        room: RoomName,
        username: Username,
        reason: Option<Reason>,
    ) -> RequestId {
        let removal =
            Removal { room: room.clone(), username: username.clone(), reason: reason.clone(), banned: true };
        self.moderate(now, ToRegistry::Ban { room, username, reason }, Some(removal))
    }

    /// Lets a user in again who was banned.
    pub fn unban(&mut self, now: Time, room: RoomName, username: Username) -> RequestId {
        self.moderate(now, ToRegistry::Unban { room, username }, None)
    }

    /// Sets a password, a capacity, a description or another owner for one's own room.
    pub fn set_room(&mut self, now: Time, room: RoomName, setting: RoomSetting) -> RequestId {
        self.moderate(now, ToRegistry::SetRoom { room, setting }, None)
    }

    /// Who is banned from one's own room: [`Response::Bans`](super::Response::Bans).
    pub fn bans(&mut self, now: Time, room: RoomName) -> RequestId {
        self.command(|peer, request| peer.submit(now, ToRegistry::ListBans { room }, Purpose::Bans(request)))
    }

    fn moderate(&mut self, now: Time, message: ToRegistry, removal: Option<Removal>) -> RequestId {
        let removal = removal.map(Box::new);
        self.command(|peer, request| peer.submit(now, message, Purpose::Moderate(request, removal)))
    }

    /// The registry has done what one asked for as an owner. It pushes to the others, not to who asked.
    pub(super) fn removed(&mut self, removal: Option<Box<Removal>>) {
        let (Some(removal), Some(by)) = (removal, self.username().cloned()) else { return };
        let Removal { room, username, reason, banned } = *removal;
        self.forget_said_in(&room, Some(&username));
        // Who is not in the roster is offline, or was only banned.
        if let Some(username) = self.rooms.get_mut(&room).and_then(|room| room.lose(&username)) {
            self.tell(Event::PutOut { room, username, by, reason, banned });
        }
    }

    /// An owner has put somebody out, perhaps oneself: from now on nothing is said there, nor heard of them.
    pub(super) fn put_out(&mut self, now: Time, event: Event) {
        let Event::PutOut { room, username, .. } = &event else { return };
        if self.is_me(username) {
            self.drop_room(now, room);
        } else if let Some(known) = self.rooms.get_mut(room) {
            known.lose(username);
            self.forget_said_in(room, Some(username));
        } else {
            return;
        }
        self.tell(event);
    }
}
