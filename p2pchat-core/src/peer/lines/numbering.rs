//! How a stream begins on which messages have numbers, and what may come on it (PROTOCOL.md §7.14).

use std::num::NonZeroU64;

use p2pchat_proto::{Capabilities, Capability, Number, PeerMessage, Username};

use super::{Line, Said};
use crate::{
    peer::{
        Event, Peer, RequestError, StreamId,
        chats::Chat,
        deadlines::StreamTimer,
        streams::{Parting, Stream},
    },
    time::Time,
};

const STARTED_ANEW: &str = "their program has started anew";

/// How far a stream is with its numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Numbering {
    /// Its messages have no numbers.
    Off,
    /// Nothing counts before the other end's.
    Due,
    /// Its own is said, and the other end's is due.
    Sent,
    On,
}

impl Stream {
    /// Whether a message may come on it now, and under what number.
    pub(in crate::peer) fn in_order(
        &mut self,
        message: &PeerMessage,
        takes_files: bool,
    ) -> Result<Option<Number>, &'static str> {
        let number = self.number.take();
        let is_talk =
            matches!(message, PeerMessage::DirectMessage { .. } | PeerMessage::DirectBroadcast { .. });
        let is_numbering = matches!(message, PeerMessage::Numbering { .. });
        let is_file = matches!(message, PeerMessage::File(_));
        let is_new = matches!(
            message,
            PeerMessage::Numbered(_)
                | PeerMessage::Missing { .. }
                | PeerMessage::HangUp
                | PeerMessage::Ping(_)
                | PeerMessage::Pong(_)
        );
        match self.numbering {
            Numbering::Off if is_new || is_numbering || is_file => {
                Err("said what is for numbered streams alone")
            }
            Numbering::Off => Ok(None),
            Numbering::Due | Numbering::Sent if is_numbering => Ok(None),
            Numbering::Due | Numbering::Sent => Err("spoke before saying how messages are numbered"),
            Numbering::On if is_numbering => Err("numbered messages twice"),
            Numbering::On if is_file && !takes_files => Err("spoke of files, which aren't taken here"),
            Numbering::On if is_talk && number.is_none() => Err("said something without a number"),
            Numbering::On if !is_talk && number.is_some() => Err("numbered what has no number"),
            Numbering::On => Ok(number),
        }
    }
}

impl Peer {
    /// The next message's number has come. All that comes with a message is done when that does. False if none may come now.
    pub(in crate::peer) fn numbers_next(&mut self, id: StreamId, number: Number) -> bool {
        let stream = self.streams.get_mut(&id);
        let Some(stream) =
            stream.filter(|stream| stream.numbering == Numbering::On && stream.number.is_none())
        else {
            return false;
        };
        stream.number = Some(number);
        // The message may be long, and its way slow.
        stream.pinged = false;
        true
    }

    /// Says how our messages are numbered on a stream.
    pub(in crate::peer) fn say_numbering(&mut self, now: Time, id: StreamId) {
        let Some(user) = self.streams.get(&id).and_then(|stream| stream.peer.clone()) else { return };
        if !self.has_place_for(now, &user) {
            return self.part(now, id, "there are too many lines", true, Parting::Done);
        }
        let run = self.ids.u64(..);
        let line =
            self.lines.entry(user).or_insert_with(|| Line { our_run: run, since: now, ..Line::default() });
        let oldest = line.unconfirmed.iter().filter_map(|kept| kept.sequence).min();
        let next = oldest.unwrap_or(NonZeroU64::MIN.saturating_add(line.said));
        let (run, chat) = (line.our_run, line.chat);
        let capabilities = self.said_to_peers();
        self.send_peer(now, id, PeerMessage::Numbering { run, next, chat, capabilities });
        self.arm_stream(now, id, StreamTimer::Idle, self.config.delivery_timeout);
    }

    /// What peers tell each other that they know.
    fn said_to_peers(&self) -> Capabilities {
        (self.config.files > 0).then_some(Capability::Files).into_iter().collect()
    }

    /// They have said how theirs are: the stream is good for both.
    pub(in crate::peer) fn numbering_came(
        &mut self,
        now: Time,
        id: StreamId,
        run: u64,
        next: NonZeroU64,
        chat: bool,
        capabilities: Capabilities,
    ) {
        let Some(user) = self.streams.get(&id).and_then(|stream| stream.peer.clone()) else { return };
        if self.lines.get(&user).is_some_and(|line| line.is_over(run, id)) {
            return self.part(now, id, "it belongs to a session that has ended", true, Parting::Done);
        }
        let known = self.lines.get(&user).and_then(|line| line.run);
        let is_new = known != Some(run);
        if is_new && known.is_some() {
            let anew = RequestError::NotDelivered(Some(STARTED_ANEW.to_owned()));
            self.give_up(&user, |kept| kept.sequence.is_some(), &anew);
            self.give_up(&user, |kept| matches!(kept.said, Said::Direct(_)), &RequestError::NoChat);
            self.close_chat(&user, STARTED_ANEW);
            for other in self.streams_of(&user) {
                if other != id
                    && self.streams.get(&other).is_some_and(|other| other.numbering == Numbering::On)
                {
                    self.part(now, other, "it belongs to a session that has ended", true, Parting::Done);
                }
            }
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let before = std::mem::replace(&mut stream.numbering, Numbering::On);
        if before == Numbering::Due {
            self.say_numbering(now, id);
        }
        if !self.streams.contains_key(&id) {
            return;
        }
        self.stream_used(now, id);
        if let Some(line) = self.lines.get_mut(&user) {
            line.files = capabilities.has(Capability::Files);
        }
        match self.lines.get_mut(&user) {
            Some(line) if is_new => {
                // What was handed over before can't be confirmed any more.
                for (receipt, _) in line.pending.values() {
                    self.receipts.remove(receipt);
                }
                line.begin(run, id, next.get());
            }
            _ => {
                self.heard_up_to(&user, next.get() - 1);
                self.ask_for_missing(now, id, &user);
            }
        }
        self.carry_chat(now, id, &user, chat);
        if self.lines.get(&user).is_some_and(|line| line.carrier.is_some_and(|carrier| carrier != id)) {
            self.lines.entry(user.clone()).or_default().is_double = true;
        }
        self.carry_line(now, id, &user);
        self.watch(now, id);
        match before {
            Numbering::Due => self.unite(now, id),
            _ => self.way_open(now, id, &user),
        }
    }

    /// Whether there may be a line to this user. One that nothing is on gives way.
    fn has_place_for(&mut self, now: Time, user: &Username) -> bool {
        if self.lines.contains_key(user) || self.lines.len() < 2 * self.config.streams {
            return true;
        }
        // What was confirmed on its last stream may come again for a while.
        let rest = self.config.resend_timeout;
        let unused = |line: &Line| {
            line.carrier.is_none()
                && !line.is_wanted()
                && line.pending.is_empty()
                && now.since(line.since) >= rest
        };
        let unused = self.lines.iter().find(|(_, line)| unused(line)).map(|(user, _)| user.clone());
        unused.is_some_and(|unused| self.lines.remove(&unused).is_some())
    }

    /// The chat goes on where both ends hold it open.
    fn carry_chat(&mut self, now: Time, id: StreamId, user: &Username, theirs: bool) {
        let has_other = self.other_stream(id, user).is_some();
        let ours = self.lines.get(user).is_some_and(|line| line.chat);
        match (ours, theirs) {
            (true, true) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.chat = Chat::Open;
                }
                if !self.chats.contains_key(user) {
                    self.chats.insert(user.clone(), id);
                    self.tell(Event::ChatResumed { with: user.clone() });
                }
            }
            // It may have begun on the other stream after they said so. If that one is lost, this holds.
            (true, false) if has_other => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.said_closed = true;
                }
            }
            (true, false) => self.close_chat(user, "they have left it"),
            // They may have accepted, and the answer be on its way on the other stream.
            (false, true) if self.asking(user).is_none() => {
                self.say_hang_up(now, id);
            }
            (false, _) => {}
        }
    }
}
