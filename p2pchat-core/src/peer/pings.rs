//! Pings: whether a stream lives on which nothing comes (PROTOCOL.md §7.14).

use p2pchat_proto::PeerMessage;

use super::{Effect, Peer, StreamId, Timer, chats::Chat, lines::Numbering, streams::Parting};
use crate::time::Time;

impl Peer {
    /// Something that makes sense came on a stream, so it lives.
    pub(super) fn heard(&mut self, now: Time, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.numbering == Numbering::On
        {
            stream.pinged = false;
            self.watch(now, id);
        }
    }

    /// A stream that has been silent for a while is asked whether it lives, earlier if something waits for an answer.
    pub(super) fn watch(&mut self, now: Time, id: StreamId) {
        let Some(stream) = self.streams.get(&id).filter(|stream| stream.numbering == Numbering::On) else {
            return;
        };
        if stream.pinged {
            return;
        }
        if !stream.is_answered() {
            self.arm(Timer::Ping(id), now, self.config.delivery_timeout);
        } else if matches!(stream.chat, Chat::Open) {
            self.arm(Timer::Ping(id), now, self.config.ping_interval);
        } else {
            self.timers.cancel(Timer::Ping(id));
        }
    }

    pub(super) fn ping_due(&mut self, now: Time, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.pinged {
            return self.part(now, id, "it doesn't answer any more", true, Parting::Lost);
        }
        stream.pinged = true;
        let number = self.ids.u64(..);
        // Not `send_peer`: a question whether it lives is no use of it.
        self.effects.push_back(Effect::SendPeer { stream: id, message: PeerMessage::Ping(number) });
        self.arm(Timer::Ping(id), now, self.config.delivery_timeout);
    }

    pub(super) fn pinged(&mut self, id: StreamId, number: u64) {
        self.effects.push_back(Effect::SendPeer { stream: id, message: PeerMessage::Pong(number) });
    }
}
