//! Pings: whether a stream lives on which nothing comes (PROTOCOL.md §7.14).

use p2pchat_proto::PeerMessage;

use super::{
    Config, Effect, Peer, StreamId, Timer,
    chats::Chat,
    deadlines::StreamTimer,
    lines::Numbering,
    streams::{Parting, Stream},
};
use crate::{time::Time, timers::Timers};

impl Stream {
    /// Something that makes sense came on it.
    pub(super) fn lives(&mut self, timers: &mut Timers<Timer>, config: &Config, now: Time, id: StreamId) {
        self.pinged = false;
        self.watch(timers, config, now, id);
    }

    /// If it has been silent for a while it is asked whether it lives, earlier if something waits for an answer.
    pub(super) fn watch(&mut self, timers: &mut Timers<Timer>, config: &Config, now: Time, id: StreamId) {
        if self.numbering != Numbering::On || self.pinged {
            return;
        }
        let silence = if !self.is_answered() {
            config.delivery_timeout
        } else if matches!(self.chat, Chat::Open) {
            config.ping_interval
        } else {
            return self.deadlines.of(StreamTimer::Ping).clear();
        };
        self.arm(timers, now, (id, StreamTimer::Ping), silence);
    }
}

impl Peer {
    pub(super) fn watch(&mut self, now: Time, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.watch(&mut self.timers, &self.config, now, id);
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
        self.arm_stream(now, id, StreamTimer::Ping, self.config.delivery_timeout);
    }

    pub(super) fn pinged(&mut self, id: StreamId, number: u64) {
        self.effects.push_back(Effect::SendPeer { stream: id, message: PeerMessage::Pong(number) });
    }
}
