//! Lines: what two users say to each other by number, over one stream after the other (PROTOCOL.md §7.14).
//!
//! A message stays with its line until it is confirmed. Where a stream is lost, the next one goes on where it ended: what isn't
//! confirmed is said again under the same number, and what was heard before isn't shown again.

mod line;
mod numbering;

use std::{collections::VecDeque, num::NonZeroU64, time::Duration};

use self::line::{Kept, remember};
pub(super) use self::{
    line::{Arrival, Line, Said},
    numbering::Numbering,
};
use p2pchat_proto::{Number, PeerMessage, RoomName, Username};

use super::{
    Effect, Event, Peer, RequestError, RequestId, Response, StreamId, Timer,
    chats::Chat,
    deadlines::StreamTimer,
    streams::{Parting, Want},
};
use crate::time::Time;

/// How many messages that could not be delivered may still be asked for, and how many numbers are.
const KEPT: usize = 64;

impl Peer {
    /// What a line holds goes by this stream from now on, if by no other.
    pub(super) fn carry_line(&mut self, now: Time, id: StreamId, user: &Username) {
        let numbered = self.streams.get(&id).is_some_and(|stream| stream.numbering == Numbering::On);
        let Some(line) = self.lines.get_mut(user).filter(|line| numbered && line.carrier.is_none()) else {
            return;
        };
        (line.carrier, line.since) = (Some(id), now);
        (line.lost, line.again, line.reason) = (None, None, None);
        for (number, said) in line.say_all() {
            self.launch_numbered(now, id, user, number, said);
        }
        self.carry_files(now, user);
        self.watch(now, id);
        self.carried(id, user);
        // What waits for a way of our own was said before what comes next.
        for request in self.awaiting_way(user) {
            self.send_broadcast(now, id, user, request);
        }
    }

    /// Another stream to the user on which messages have numbers.
    pub(super) fn other_stream(&self, id: StreamId, user: &Username) -> Option<StreamId> {
        let other = self.streams.iter().find(|(other, stream)| {
            **other != id && stream.numbering == Numbering::On && stream.peer.as_ref() == Some(user)
        });
        other.map(|(other, _)| *other)
    }

    /// The stream on which we have asked the user for a chat.
    pub(super) fn asking(&self, user: &Username) -> Option<StreamId> {
        let asked = self
            .streams
            .iter()
            .find(|(_, stream)| matches!(stream.chat, Chat::Asked(_)) && stream.peer.as_ref() == Some(user));
        asked.map(|(id, _)| *id)
    }

    /// The stream on which something new is said to whoever is at the other end of this one.
    pub(super) fn carrier_of(&self, id: StreamId) -> StreamId {
        let user = self.streams.get(&id).and_then(|stream| stream.peer.as_ref());
        user.and_then(|user| self.lines.get(user)).and_then(|line| line.carrier).unwrap_or(id)
    }

    /// Whether there is a chat with whoever is at the other end.
    pub(super) fn has_chat(&self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get(&id) else { return false };
        match (stream.numbering, &stream.peer) {
            (Numbering::On, Some(user)) => self.lines.get(user).is_some_and(|line| line.chat),
            _ => matches!(stream.chat, Chat::Open),
        }
    }

    /// Their numbers up to this one have been said, or will not be.
    fn heard_up_to(&mut self, user: &Username, last: u64) {
        let Some(line) = self.lines.get_mut(user).filter(|line| last > line.heard) else { return };
        let (first, count) = (line.heard + 1, last - line.heard);
        line.heard = last;
        if line.fresh {
            return;
        }
        let kept = u64::try_from(KEPT).unwrap_or(u64::MAX);
        let first = first.max(last.saturating_sub(kept - 1));
        line.missing.extend(first..=last);
        while line.missing.len() > KEPT
            && let Some(first) = line.missing.pop_first()
        {
            remember(&mut line.refused, first);
        }
        self.tell(Event::Missed { from: user.clone(), count });
    }

    fn ask_for_missing(&mut self, now: Time, id: StreamId, user: &Username) {
        let missing = self.lines.get(user).map(|line| &line.missing);
        let first = missing.and_then(|missing| missing.first()).and_then(|&first| NonZeroU64::new(first));
        let last = missing.and_then(|missing| missing.last()).and_then(|&last| NonZeroU64::new(last));
        if let Some((first, last)) = first.zip(last) {
            self.send_peer(now, id, PeerMessage::Missing { first, last });
        }
    }

    /// What a message's number says of it.
    pub(super) fn arrival(&mut self, now: Time, id: StreamId, number: Option<Number>) -> Arrival {
        let user = self.streams.get(&id).and_then(|stream| stream.peer.clone());
        let (Some(number), Some(user)) = (number, user) else { return Arrival::New { late: false } };
        let sequence = number.sequence.get();
        let line = self.lines.entry(user.clone()).or_default();
        line.talked = Some(now);
        let is_fresh = line.fresh;
        if sequence - 1 <= line.heard {
            line.fresh = false;
            return line.arrival(sequence);
        }
        self.heard_up_to(&user, sequence - 1);
        if !is_fresh {
            self.ask_for_missing(now, id, &user);
        }
        let line = self.lines.entry(user).or_default();
        line.fresh = false;
        line.arrival(sequence)
    }

    /// Says a message to `user` by number, now or once there is a stream.
    pub(super) fn say(
        &mut self,
        now: Time,
        user: &Username,
        (id, time): (u64, u64),
        said: Said,
        request: RequestId,
    ) -> Result<(), RequestError> {
        let (limit, until) = (self.config.messages_in_flight, now + self.config.resend_timeout);
        let line = self.lines.entry(user.clone()).or_default();
        let on_its_way = line
            .carrier
            .and_then(|id| self.streams.get_mut(&id))
            .map_or(0, |stream| stream.lane(said.kind()).flights().len());
        if on_its_way >= 2 * limit {
            return Err(RequestError::TooMany { what: "messages", limit: 2 * limit });
        }
        if line.unconfirmed.len() >= limit {
            return Err(RequestError::TooMany { what: "messages", limit });
        }
        line.talked = Some(now);
        // What waits for a stream has no number.
        let sequence = line.carrier.map(|_| line.next_number());
        let kept = Kept { id, time, sequence, said: said.clone(), request: Some(request), until };
        line.unconfirmed.push_back(kept);
        let carrier = line.carrier;
        if carrier.is_none() && line.again.is_none() {
            line.lost.get_or_insert(now);
            line.again = Some(now);
        }
        let due = line.due();
        if let Some((carrier, sequence)) = carrier.zip(sequence) {
            self.launch_numbered(now, carrier, user, Number { id, sequence, time }, said);
        }
        // What is due on other lines is armed already, and there may be many.
        if let Some(due) = due
            && self.timers.get(Timer::Lines).is_none_or(|armed| due < armed)
        {
            self.arm(Timer::Lines, now, due.since(now));
        }
        Ok(())
    }

    fn launch_numbered(&mut self, now: Time, id: StreamId, user: &Username, number: Number, said: Said) {
        let Some(sender) = self.username().cloned() else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let was_answered = stream.is_answered();
        stream.fly(said.kind(), number.sequence, said.text().clone());
        // What is said after the first that waits for an answer must not put the question off.
        if was_answered {
            stream.watch(&mut self.timers, &self.config, now, id);
        }
        stream.used(&mut self.timers, &self.config, now, id);
        let message = match said {
            Said::Direct(text) => PeerMessage::DirectMessage { sender, recipient: user.clone(), text },
            Said::Broadcast(room, text) => PeerMessage::DirectBroadcast { sender, room: Some(room), text },
        };
        for message in [PeerMessage::Numbered(number), message] {
            self.effects.push_back(Effect::SendPeer { stream: id, message });
        }
    }

    /// They have a message of ours, or refuse it.
    pub(super) fn landed(
        &mut self,
        now: Time,
        user: &Username,
        sequence: NonZeroU64,
        outcome: Result<(), RequestError>,
    ) {
        let Some(line) = self.lines.get_mut(user) else { return };
        // What was given up may be confirmed late.
        let kept = [&mut line.unconfirmed, &mut line.given_up]
            .into_iter()
            .find_map(|all| all.remove(all.iter().position(|kept| kept.sequence == Some(sequence))?));
        let is_double = line.is_double;
        if let Some(kept) = kept {
            self.settle(user, kept, outcome);
        }
        if is_double {
            self.unite_again(now, user);
        }
    }

    fn settle(&mut self, user: &Username, kept: Kept, outcome: Result<(), RequestError>) {
        match (kept.request, kept.said) {
            (Some(request), Said::Direct(_)) => self.complete(request, outcome.map(|()| Response::Done)),
            (Some(request), Said::Broadcast(..)) => self.settle_broadcast(request, user, outcome),
            (None, said) if outcome.is_ok() => {
                let (id, text) = (kept.id, said.text().clone());
                if self.amend_report(id, user) {
                    return;
                }
                self.tell(Event::Arrived { with: user.clone(), room: said.room(), id, text });
            }
            (None, _) => {}
        }
    }

    /// Gives up those messages to `user`. What was said already may have arrived, and may still be asked for.
    fn give_up(&mut self, user: &Username, which: impl Fn(&Kept) -> bool, error: &RequestError) {
        let Some(line) = self.lines.get_mut(user) else { return };
        let (lost, kept) = std::mem::take(&mut line.unconfirmed).into_iter().partition(|kept| which(kept));
        line.unconfirmed = kept;
        let lost: VecDeque<Kept> = lost;
        for mut kept in lost {
            let (request, is_direct) = (kept.request.take(), matches!(kept.said, Said::Direct(_)));
            let error = match kept.sequence {
                Some(_) => error.clone().in_doubt(Some(kept.id)),
                None => error.clone(),
            };
            if let Some(line) = self.lines.get_mut(user).filter(|_| kept.sequence.is_some()) {
                line.given_up.push_back(kept);
                if line.given_up.len() > KEPT {
                    line.given_up.pop_front();
                }
            }
            match request {
                Some(request) if is_direct => self.complete(request, Err(error)),
                Some(request) => self.settle_broadcast(request, user, Err(error)),
                None => {}
            }
        }
    }

    /// They ask for what never came. What is still here, and still theirs to know, is said again.
    pub(super) fn missing_came(&mut self, now: Time, id: StreamId, first: NonZeroU64, last: NonZeroU64) {
        let Some(user) = self.streams.get(&id).and_then(|stream| stream.peer.clone()) else { return };
        let until = now + self.config.resend_timeout;
        let Some(line) = self.lines.get_mut(&user) else { return };
        let Some(carrier) = line.carrier else { return };
        let (asked, kept): (VecDeque<Kept>, _) = std::mem::take(&mut line.given_up)
            .into_iter()
            .partition(|kept| kept.sequence.is_some_and(|sequence| (first..=last).contains(&sequence)));
        line.given_up = kept;
        for mut kept in asked {
            let may_have = match &kept.said {
                Said::Direct(_) => self.lines.get(&user).is_some_and(|line| line.chat),
                Said::Broadcast(room, _) => self.rooms.get(room).is_some_and(|room| room.has(&user)),
            };
            let Some(line) = self.lines.get_mut(&user) else { continue };
            let Some(sequence) = kept.sequence.filter(|_| may_have) else {
                line.given_up.push_back(kept);
                continue;
            };
            kept.until = until;
            let (number, said) = (kept.number(sequence), kept.said.clone());
            line.unconfirmed.push_back(kept);
            self.launch_numbered(now, carrier, &user, number, said);
        }
        self.arm_lines(now);
    }

    /// A stream with numbers is gone. Where it was lost, the line goes on with the next one.
    pub(super) fn line_parted(
        &mut self,
        now: Time,
        id: StreamId,
        user: &Username,
        parting: Parting,
        why: &str,
    ) {
        self.files_parted(id);
        let dialled = self.streams.get(&id).is_some_and(|stream| stream.dialled);
        let (other, pause) = (self.other_stream(id, user), self.config.redial_pause);
        let Some(line) = self.lines.get_mut(user) else { return };
        line.is_double = false;
        if line.carrier != Some(id) {
            return;
        }
        let delay = match dialled {
            // Nobody makes us dial without end.
            true if now.since(line.since) < pause => pause,
            true => Duration::ZERO,
            // It is for who dialled to dial again; in case they can't, we do, a little later.
            false => self.config.delivery_timeout / 2,
        };
        (line.carrier, line.since) = (None, now);
        if parting == Parting::Over {
            self.line_over(user, &RequestError::Unreachable(why.to_owned()), why);
        }
        if let Some(other) = other {
            if self.streams.get(&other).is_some_and(|other| other.said_closed) {
                self.close_chat(user, "they have left it");
            }
            return self.carry_line(now, other, user);
        }
        let Some(line) = self.lines.get_mut(user) else { return };
        if line.is_wanted() {
            line.lost = Some(now);
            line.again = Some(now + delay);
            line.reason = Some(RequestError::Unreachable(why.to_owned()));
            if line.chat && parting == Parting::Lost {
                self.tell(Event::ChatInterrupted { with: user.clone(), reason: why.to_owned() });
            }
            self.arm_lines(now);
        }
    }

    /// Nothing more is said on a line, and nothing is waited for.
    pub(super) fn line_over(&mut self, user: &Username, error: &RequestError, why: &str) {
        self.was_awaited(user, Err(error.clone()));
        self.give_up(user, |_| true, error);
        self.close_chat(user, why);
        if let Some(line) = self.lines.get_mut(user) {
            (line.lost, line.again) = (None, None);
        }
    }

    /// There is no way to the user for now.
    pub(super) fn line_refused(&mut self, now: Time, user: &Username, error: RequestError) {
        let (timeout, pause) = match &error {
            RequestError::KeyChanged { .. } | RequestError::Plain | RequestError::Blocked => {
                (Duration::ZERO, Duration::ZERO)
            }
            RequestError::NotOnline | RequestError::NotFound => {
                (self.config.delivery_timeout, self.config.redial_pause)
            }
            _ => (self.config.resend_timeout, self.config.redial_pause),
        };
        let Some(line) = self.lines.get_mut(user).filter(|line| line.carrier.is_none()) else { return };
        let since = *line.lost.get_or_insert(now);
        if now.since(since) >= timeout {
            let why = error.to_string();
            return self.line_over(user, &error, &why);
        }
        line.again = Some(now + pause.max(Duration::from_millis(1)));
        line.reason = Some(error);
        self.arm_lines(now);
    }

    /// What lines wait for has come due.
    pub(super) fn lines_due(&mut self, now: Time) {
        let due: Vec<_> = self
            .lines
            .iter()
            .filter(|(_, line)| line.due().is_some_and(|due| due <= now))
            .map(|(user, _)| user.clone())
            .collect();
        for user in due {
            let Some(line) = self.lines.get_mut(&user) else { continue };
            let error =
                line.reason.clone().filter(|_| line.carrier.is_none()).unwrap_or(RequestError::TimedOut);
            self.give_up(&user, |kept| kept.until <= now, &error);
            let Some(line) = self.lines.get_mut(&user) else { continue };
            if line.again.is_some_and(|again| again <= now) {
                line.again = None;
                if line.carrier.is_none() && line.is_wanted() {
                    self.was_awaited(&user, Err(RequestError::TimedOut));
                    self.reach(now, &user, Want::Line);
                }
            }
        }
        self.arm_lines(now);
    }

    /// Leaves it to the other end to dial, for so long.
    pub(super) fn dial_later(&mut self, now: Time, user: &Username, pause: Duration) {
        let Some(line) = self.lines.get_mut(user).filter(|line| line.carrier.is_none()) else { return };
        line.again = Some(now + pause);
        self.arm_lines(now);
    }

    fn arm_lines(&mut self, now: Time) {
        match self.lines.values().filter_map(Line::due).min() {
            Some(due) => self.arm(Timer::Lines, now, due.since(now)),
            None => self.timers.cancel(Timer::Lines),
        }
    }

    /// Forgets all lines, of a user who is leaving.
    pub(super) fn drop_lines(&mut self, reason: &str) {
        for user in self.lines.keys().cloned().collect::<Vec<_>>() {
            self.line_over(&user, &RequestError::NotLoggedIn, reason);
        }
        for (receipt, _) in self.lines.values().flat_map(|line| line.pending.values()) {
            self.receipts.remove(receipt);
        }
        self.lines.clear();
        self.timers.cancel(Timer::Lines);
    }

    /// Ends the chat on a line, on whatever streams it was.
    pub(super) fn close_chat(&mut self, user: &Username, reason: &str) {
        let Some(line) = self.lines.get_mut(user) else { return };
        if !std::mem::take(&mut line.chat) {
            return;
        }
        self.was_awaited(user, Err(RequestError::NoChat));
        for stream in self.streams.values_mut() {
            if stream.peer.as_ref() == Some(user) && matches!(stream.chat, Chat::Open) {
                stream.chat = Chat::None;
            }
        }
        self.chats.remove(user);
        self.files_over(user, reason);
        self.tell(Event::ChatClosed { with: Some(user.clone()), reason: reason.to_owned() });
    }

    /// They have hung up, or don't want to chat any more.
    pub(super) fn hang_up_came(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let user = stream.peer.clone();
        match &stream.chat {
            Chat::AskedUs(request) => {
                let request = *request;
                stream.chat = Chat::None;
                stream.deadlines.of(StreamTimer::Asked).clear();
                self.chat_requests.remove(&request);
                self.tell(Event::ChatClosed { with: user, reason: "they don't ask any more".to_owned() });
            }
            // Whatever we ask now was asked after that was open.
            _ => {
                if let Some(user) = user {
                    self.close_chat(&user, "hung up");
                }
            }
        }
    }

    /// What was said in a room isn't for who has left it, or, where nobody is named, for nobody's any more.
    pub(super) fn forget_said_in(&mut self, room: &RoomName, user: Option<&Username>) {
        let users = self.lines.keys().filter(|&known| user.is_none_or(|user| user == known)).cloned();
        for user in users.collect::<Vec<_>>() {
            let in_room = |kept: &Kept| matches!(&kept.said, Said::Broadcast(said, _) if said == room);
            self.give_up(&user, in_room, &RequestError::NotAMember);
        }
    }

    /// Says that a chat is over, or the wish for one, where that is said.
    pub(super) fn say_hang_up(&mut self, now: Time, id: StreamId) -> bool {
        let numbered = self.streams.get(&id).is_some_and(|stream| stream.numbering == Numbering::On);
        if numbered {
            self.send_peer(now, id, PeerMessage::HangUp);
        }
        numbered
    }
}
