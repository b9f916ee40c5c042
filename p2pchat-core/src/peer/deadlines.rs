//! The deadlines of peer streams.

use std::time::Duration;

use super::{
    Config, Peer, StreamId, Timer,
    chats::Chat,
    in_future,
    keys::Proof,
    lines::Numbering,
    messages::Kind,
    streams::{Parting, Stream},
};
use crate::{
    time::Time,
    timers::{Deadline, Timers},
};

/// What a deadline of a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StreamTimer {
    /// It has been idle, or unconnected, for too long.
    Idle,
    /// A chat request was not answered.
    Asked,
    /// A message was not confirmed.
    Delivery(Kind),
    /// It has been silent.
    Ping,
}

/// A stream's deadlines. Each message moves some, so they are where the stream is.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    idle: Deadline,
    asked: Deadline,
    direct: Deadline,
    broadcast: Deadline,
    ping: Deadline,
}

impl Deadlines {
    pub(super) const fn of(&mut self, timer: StreamTimer) -> &mut Deadline {
        match timer {
            StreamTimer::Idle => &mut self.idle,
            StreamTimer::Asked => &mut self.asked,
            StreamTimer::Delivery(Kind::Direct) => &mut self.direct,
            StreamTimer::Delivery(Kind::Broadcast) => &mut self.broadcast,
            StreamTimer::Ping => &mut self.ping,
        }
    }
}

impl Stream {
    pub(super) fn arm(
        &mut self,
        timers: &mut Timers<Timer>,
        now: Time,
        (id, timer): (StreamId, StreamTimer),
        delay: Duration,
    ) {
        timers.set_kept(self.deadlines.of(timer), Timer::Stream(timer, id), in_future(now, delay));
    }

    /// It is kept for a while longer. Who dialled it, and speaks on it, is the one to close it: the other end waits for longer, so
    /// that nothing is said into a stream that is being closed.
    pub(super) fn used(&mut self, timers: &mut Timers<Timer>, config: &Config, now: Time, id: StreamId) {
        let more = if self.dialled { Duration::ZERO } else { config.delivery_timeout };
        self.arm(timers, now, (id, StreamTimer::Idle), config.idle_timeout + more);
    }

    /// It no longer has deadlines.
    pub(super) fn disarm_all(&mut self, timers: &mut Timers<Timer>, id: StreamId) {
        let Deadlines { idle, asked, direct, broadcast, ping } = &mut self.deadlines;
        for (deadline, timer) in [
            (idle, StreamTimer::Idle),
            (asked, StreamTimer::Asked),
            (direct, StreamTimer::Delivery(Kind::Direct)),
            (broadcast, StreamTimer::Delivery(Kind::Broadcast)),
            (ping, StreamTimer::Ping),
        ] {
            timers.cancel_kept(deadline, Timer::Stream(timer, id));
        }
    }
}

impl Peer {
    pub(super) fn arm_stream(&mut self, now: Time, id: StreamId, timer: StreamTimer, delay: Duration) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.arm(&mut self.timers, now, (id, timer), delay);
        }
    }

    pub(super) fn stream_used(&mut self, now: Time, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.used(&mut self.timers, &self.config, now, id);
        }
    }

    pub(super) fn stream_timer_due(&mut self, now: Time, id: StreamId, timer: StreamTimer) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !self.timers.has_come(stream.deadlines.of(timer), Timer::Stream(timer, id), now) {
            return;
        }
        match timer {
            StreamTimer::Idle => self.stream_idle(now, id),
            StreamTimer::Asked => self.chat_request_overdue(now, id),
            StreamTimer::Delivery(kind) => self.delivery_overdue(now, id, kind),
            StreamTimer::Ping => self.ping_due(now, id),
        }
    }

    fn stream_idle(&mut self, now: Time, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let reason = match stream {
            Stream { connected: false, .. } => "no connection in time",
            Stream { proof: Proof::Announced | Proof::Asked { .. }, .. } => {
                "no proof of who they are in time"
            }
            Stream { numbering: Numbering::Due | Numbering::Sent, .. } => "no numbering in time",
            Stream { chat: Chat::Open | Chat::Asked(_) | Chat::AskedUs(_), .. } => {
                self.stream_used(now, id);
                return;
            }
            _ => "idle",
        };
        self.note_failed_dial(now, id, self.config.redial_pause, reason);
        self.part(now, id, reason, true, Parting::Done);
    }
}
