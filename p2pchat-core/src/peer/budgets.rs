//! What each remote user may have us do: messages, bytes and requests, as they come back with time (PROTOCOL.md §9).
//!
//! Nothing is refused for it but chat requests, wishes for contact and offers of files: what else is beyond a budget is read later, so that who says too much waits for
//! themselves. The machine says when ([`Peer::turn_of`]); the driver leaves the stream alone until then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use p2pchat_proto::{FileMessage, PeerMessage, Username};

use super::{
    Peer, StreamId,
    deadlines::StreamTimer,
    keys::{Proof, claimed},
    streams::Stream,
};
use crate::{
    prefix::Prefix,
    rate::{Rate, queue, take},
    time::Time,
};

/// How much more a prefix may have than a user: there may be many behind it.
const CROWD: u32 = 8;

/// What one remote user may have us do (§9): who has proven a key, or whom we have dialled. All others together that come from
/// one prefix, an IPv4 address or an IPv6 network of /64, have eight times as much: a name alone proves nothing, and who claims
/// another's must not use up theirs.
///
/// What is beyond it is read later. The defaults are far above what people and their programs say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// How many frames, with a number's and its message's as one. 20,000 in 10 s.
    pub messages: Rate,
    /// How many bytes of text, in messages and in their confirmations, and of files that bring none further. 64 MiB in 8 s.
    pub bytes: Rate,
    /// How often they ask our user for a chat, also through the registry (§7.10), or offer a file; and, which only a prefix has,
    /// how often somebody says who they are on a new stream, whom to check may cost a question to the registry. 60 in a minute.
    /// Requests of both kinds and files beyond it are declined.
    pub requests: Rate,
}

impl Budget {
    /// No limits.
    pub const UNLIMITED: Self =
        Self { messages: Rate::UNLIMITED, bytes: Rate::UNLIMITED, requests: Rate::UNLIMITED };
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            messages: Rate::new(20_000, Duration::from_secs(10)),
            bytes: Rate::new(64 * 1024 * 1024, Duration::from_secs(8)),
            requests: Rate::new(60, Duration::from_secs(60)),
        }
    }
}

/// Whose budget something is taken from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Payer {
    User(Username),
    Prefix(Prefix),
}

impl Payer {
    fn of(stream: &Stream) -> Self {
        match &stream.peer {
            Some(user) if stream.dialled || stream.is_proven() => Self::User(user.clone()),
            _ => Self::Prefix(Prefix::of(stream.addr.ip())),
        }
    }

    fn share(&self, rate: Rate) -> Rate {
        match self {
            Self::User(_) => rate,
            Self::Prefix(_) => rate.times(CROWD),
        }
    }
}

/// What has been used up; each moment is when a bucket is full again.
#[derive(Debug, Default)]
struct Usage {
    messages: Time,
    bytes: Time,
    requests: Time,
    /// That they ask too often has been told.
    told: bool,
}

impl Usage {
    fn is_rested(&self, now: Time) -> bool {
        [self.messages, self.bytes, self.requests].into_iter().all(|full_at| full_at <= now)
    }
}

/// What everybody has used up. Who isn't here has all of it.
#[derive(Debug, Default)]
pub(super) struct Budgets(BTreeMap<Payer, Usage>);

impl Peer {
    /// A message was read from a peer stream: takes what it costs out of the budget of who has sent it, and says when it is to be
    /// handed to [`handle_stream_message`](Self::handle_stream_message) (§9); `None` is now. Until that is done nothing more is
    /// to be read from this stream; others go on. To be asked once for each message: a driver that doesn't ask limits nobody.
    ///
    /// No message has to wait for longer than its [`Rate::per`].
    pub fn turn_of(&mut self, now: Time, stream: StreamId, message: &PeerMessage) -> Option<Time> {
        let open = self.streams.get(&stream)?;
        // A number is of the message that it numbers, and what brings a file further is bounded by how fast it is stored (§7.15).
        let is_free = match (message, &open.peer) {
            (PeerMessage::Numbered(_), _) => true,
            (PeerMessage::File(FileMessage::Data(chunk)), Some(user)) => self.is_wanted(user, chunk),
            (PeerMessage::File(FileMessage::Ack { file, offset }), Some(user)) => {
                self.is_news(user, *file, *offset)
            }
            _ => false,
        };
        if is_free {
            return None;
        }
        let says_who = !open.dialled
            && open.peer.is_none()
            && matches!(open.proof, Proof::None)
            && claimed(message).is_some();
        let payer = Payer::of(open);
        let budget = self.config.budget;
        let [messages, bytes, requests] =
            [budget.messages, budget.bytes, budget.requests].map(|rate| payer.share(rate));
        let usage = self.usage(now, payer);
        let turns = [
            queue(&mut usage.messages, now, messages, 1),
            queue(&mut usage.bytes, now, bytes, text_bytes(message)),
            if says_who { queue(&mut usage.requests, now, requests, 1) } else { now },
        ];
        let turn = turns.into_iter().max().filter(|&turn| turn > now);
        if let Some(turn) = turn.filter(|_| says_who) {
            // Who waits for their turn isn't silent.
            self.arm_stream(turn, stream, StreamTimer::Idle, self.config.delivery_timeout);
        }
        turn
    }

    /// Whether our user is left alone: whoever is at the other end has asked for chats, or offered files, too often. Our user is told so, once until
    /// they have rested.
    pub(super) fn asks_too_often(&mut self, now: Time, id: StreamId) -> bool {
        let Some(stream) = self.streams.get(&id) else { return true };
        let payer = Payer::of(stream);
        self.is_too_often(now, payer, |peer| peer.name_of(id))
    }

    /// The same of a user who asks through the registry, which says who it is.
    pub(super) fn wants_contact_too_often(&mut self, now: Time, user: &Username) -> bool {
        self.is_too_often(now, Payer::User(user.clone()), |_| user.to_string())
    }

    fn is_too_often(&mut self, now: Time, payer: Payer, name: impl FnOnce(&Self) -> String) -> bool {
        let rate = payer.share(self.config.budget.requests);
        let usage = self.usage(now, payer);
        usage.told &= usage.requests > now;
        let is_too_often = take(&mut usage.requests, now, rate).is_err();
        if is_too_often && !std::mem::replace(&mut usage.told, true) {
            self.fault(name(self), "asks for chats, or offers files, too often: what more comes is declined");
        }
        is_too_often
    }

    /// Who is rested is forgotten when there are many, and then who isn't here: those who are, are half of them at most.
    fn usage(&mut self, now: Time, payer: Payer) -> &mut Usage {
        let (Budgets(budgets), limit) = (&mut self.budgets, 4 * self.config.streams);
        if budgets.len() >= limit && !budgets.contains_key(&payer) {
            budgets.retain(|_, usage| !usage.is_rested(now));
            if budgets.len() > limit / 2 {
                let here: BTreeSet<_> = self.streams.values().map(Payer::of).collect();
                budgets.retain(|payer, _| here.contains(payer));
            }
        }
        budgets.entry(payer).or_default()
    }
}

fn text_bytes(message: &PeerMessage) -> u32 {
    let text = match message {
        PeerMessage::File(FileMessage::Data(chunk)) => {
            return u32::try_from(chunk.data().len()).unwrap_or(u32::MAX);
        }
        PeerMessage::DirectMessage { text, .. } | PeerMessage::DirectBroadcast { text, .. } => text,
        PeerMessage::UnicastNotification(notification) | PeerMessage::BroadcastNotification(notification) => {
            &notification.content
        }
        _ => return 0,
    };
    u32::try_from(text.as_str().len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use p2pchat_proto::Text;

    use super::*;
    use crate::peer::Config;

    #[test]
    fn what_is_remembered_of_who_comes_and_goes_is_bounded_and_who_is_here_is_not_forgotten() {
        let once = Budget { messages: Rate::new(1, Duration::from_secs(60)), ..Budget::default() };
        let config = Config { streams: 4, budget: once, ..Config::default() };
        let mut peer = Peer::new(config, 1);
        let (sender, text) = (Username::new("bob").unwrap(), Text::new("hi").unwrap());
        let message = PeerMessage::DirectBroadcast { sender, room: None, text };
        let from = |n: u32| SocketAddr::from((n.to_be_bytes(), 50_000));
        let stays = peer.accept_stream(Time::ZERO, from(0)).unwrap();
        for _ in 0..2 * CROWD {
            peer.turn_of(Time::ZERO, stays, &message);
        }
        for n in 1..1_000 {
            let id = peer.accept_stream(Time::ZERO, from(n)).unwrap();
            assert_eq!(peer.turn_of(Time::ZERO, id, &message), None);
            peer.handle_stream_closed(Time::ZERO, id, "gone".to_owned());
            assert!(peer.budgets.0.len() <= 16);
        }
        assert!(peer.turn_of(Time::ZERO, stays, &message).is_some(), "still in debt");
    }
}
