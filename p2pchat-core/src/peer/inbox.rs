//! Messages that come in: checked, handed to the application, and answered for (§8.3, §8.4).

use std::{collections::VecDeque, num::NonZeroU64, time::Duration};

use p2pchat_proto::{Delivery, Notification, Number, PeerMessage, RoomName, Text, Username};

use super::{Event, Peer, Place, Receipt, StreamId, Timer, lines::Arrival, messages::Kind, streams::Stream};
use crate::time::Time;

/// A room's members are asked for at most this often because a stranger claims to be one.
const DOUBT_INTERVAL: Duration = Duration::from_secs(1);

/// A message whose sender has to be told whether it arrived.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) receipt: Receipt,
    sender: Username,
    text: Text,
    /// What its line knows it by (§7.14).
    sequence: Option<NonZeroU64>,
    /// Known, but not sent before the verdicts on earlier messages: notifications have no number, only an order.
    verdict: Option<Delivery>,
}

/// A message that the application has been handed and hasn't confirmed.
#[derive(Debug)]
pub(super) struct Handed {
    stream: StreamId,
    kind: Kind,
    /// Whose it is, if that outlasts the stream.
    line: Option<(Username, NonZeroU64)>,
}

/// Broadcasts from somebody who isn't in the roster, until the registry has been asked.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    queue: VecDeque<Doubt>,
    /// When the registry was last asked.
    asked_at: Option<Time>,
}

#[derive(Debug)]
struct Doubt {
    stream: StreamId,
    receipt: Receipt,
    sender: Username,
    room: Option<RoomName>,
    text: Text,
    place: Option<Place>,
    asked: bool,
}

/// What one's rosters say about a broadcast.
enum Membership {
    /// The sender is in the room; `None`: in several, and there is no telling which is meant.
    Member(Option<RoomName>),
    Unknown,
    /// Not one's own room.
    NoRoom,
}

impl Peer {
    /// The application has shown or stored a message: its sender is told so, if need be on a later stream (§7.14). Unknown receipts
    /// are passed over, such as those of a stream that is gone, where messages have no numbers.
    pub fn confirm(&mut self, now: Time, receipt: Receipt) {
        let Some(Handed { stream, kind, line }) = self.receipts.remove(&receipt) else { return };
        if let Some((user, sequence)) = line
            && let Some(line) = self.lines.get_mut(&user)
        {
            line.confirmed(sequence, receipt);
        }
        self.judge(now, stream, kind, receipt, Delivery::Success);
    }

    /// What the application has to confirm is a stream's. Its line's, if it has a number.
    fn hand_over(&mut self, stream: StreamId, kind: Kind, receipt: Receipt, place: Option<Place>) {
        let user = self.streams.get(&stream).and_then(|stream| stream.peer.clone());
        let line = user.zip(place.map(|place| place.number.sequence));
        self.receipts.insert(receipt, Handed { stream, kind, line });
    }

    /// What a stream that is gone was to be answered on. Numbers that the application has yet to confirm may come again.
    pub(super) fn forget_owed(&mut self, stream: &mut Stream) {
        let user = stream.peer.clone();
        for owed in
            std::mem::take(&mut stream.direct.owed).into_iter().chain(std::mem::take(&mut stream.rooms.owed))
        {
            match (owed.sequence, &user) {
                (None, _) | (_, None) => {
                    self.receipts.remove(&owed.receipt);
                }
                (Some(sequence), Some(user)) => {
                    // Nobody has been handed it, and nobody has it.
                    if owed.verdict.is_none()
                        && !self.receipts.contains_key(&owed.receipt)
                        && let Some(line) = self.lines.get_mut(user)
                    {
                        line.undecided(sequence);
                    }
                }
            }
        }
    }

    /// A message came that isn't shown, because it came before: it is answered for as the first time, on the stream that it
    /// came on last.
    fn came_again(
        &mut self,
        now: Time,
        (id, kind): (StreamId, Kind),
        sender: &Username,
        text: &Text,
        sequence: NonZeroU64,
        arrival: &Arrival,
    ) {
        let open = if let Arrival::Had(open) = arrival { *open } else { None };
        if let Some((receipt, before)) = open {
            if let Some(stream) = self.streams.get_mut(&before) {
                stream.lane(kind).owed.retain(|owed| owed.receipt != receipt);
            }
            if let Some(handed) = self.receipts.get_mut(&receipt) {
                handed.stream = id;
            }
            for doubt in self.doubts.queue.iter_mut().filter(|doubt| doubt.receipt == receipt) {
                doubt.stream = id;
            }
        }
        let receipt = open.map(|(receipt, _)| receipt);
        let Some(owed) = self.owe(now, (id, kind), sender, text, Some(sequence), receipt) else { return };
        if let Arrival::Refused = arrival {
            self.refuse_message(now, id, kind, owed, "it was refused before");
        } else if receipt.is_none() {
            self.judge(now, id, kind, owed, Delivery::Success);
        }
    }

    pub(super) fn message_came(
        &mut self,
        now: Time,
        id: StreamId,
        number: Option<Number>,
        sender: Username,
        recipient: &Username,
        text: Text,
    ) {
        let Some((place, receipt)) = self.received(now, id, Kind::Direct, number, &sender, &text) else {
            return;
        };
        // Who says something has accepted, by an answer that is on its way on another stream.
        let is_theirs = self.streams.get(&id).is_some_and(|stream| stream.peer.as_ref() == Some(&sender));
        if let Some(asking) = place.filter(|_| is_theirs).and_then(|_| self.asking(&sender))
            && asking != id
        {
            self.open_chat(now, asking);
        }
        let checked = if !self.has_chat(id) {
            Err("no chat is open")
        } else if !self.is_me(recipient) {
            Err("nobody of that name is here")
        } else {
            self.identify(id, &sender)
        };
        match checked {
            Ok(()) => {
                self.hand_over(id, Kind::Direct, receipt, place);
                self.tell(Event::Message { from: sender, text, place, receipt });
            }
            Err(problem) => self.refuse_message(now, id, Kind::Direct, receipt, problem),
        }
    }

    pub(super) fn broadcast_came(
        &mut self,
        now: Time,
        id: StreamId,
        number: Option<Number>,
        sender: Username,
        room: Option<RoomName>,
        text: Text,
    ) {
        if room.is_some() {
            self.showed_sender(id);
        }
        let Some((place, receipt)) = self.received(now, id, Kind::Broadcast, number, &sender, &text) else {
            return;
        };
        if let Err(problem) = self.identify(id, &sender) {
            self.refuse_message(now, id, Kind::Broadcast, receipt, problem);
            return;
        }
        match self.membership(&sender, room.as_ref()) {
            Membership::Member(room) => self.take_broadcast((id, receipt), place, sender, room, text),
            Membership::NoRoom => self.refuse_message(now, id, Kind::Broadcast, receipt, "not in that room"),
            Membership::Unknown if self.doubts.queue.len() >= self.config.messages_in_flight => {
                self.refuse_message(now, id, Kind::Broadcast, receipt, "too much is waiting");
            }
            Membership::Unknown => {
                let doubt = Doubt { stream: id, receipt, sender, room, text, place, asked: false };
                self.doubts.queue.push_back(doubt);
                match self.doubts.asked_at.map(|asked| asked + DOUBT_INTERVAL) {
                    Some(next) if next > now => self.arm(Timer::Doubts, now, next.since(now)),
                    _ => self.doubts_due(now),
                }
            }
        }
    }

    fn take_broadcast(
        &mut self,
        (id, receipt): (StreamId, Receipt),
        place: Option<Place>,
        from: Username,
        room: Option<RoomName>,
        text: Text,
    ) {
        self.hand_over(id, Kind::Broadcast, receipt, place);
        let secured = self.streams.get(&id).is_some_and(Stream::is_proven);
        self.tell(Event::Broadcast { room, from, text, place, secured, receipt });
    }

    fn membership(&self, sender: &Username, room: Option<&RoomName>) -> Membership {
        match room {
            Some(name) => match self.rooms.get(name) {
                Some(room) if room.has(sender) => Membership::Member(Some(name.clone())),
                Some(_) => Membership::Unknown,
                None => Membership::NoRoom,
            },
            None => {
                let mut shared = self.rooms.iter().filter(|(_, room)| room.has(sender)).map(|(name, _)| name);
                match (shared.next(), shared.next()) {
                    (Some(only), None) => Membership::Member(Some(only.clone())),
                    (Some(_), Some(_)) => Membership::Member(None),
                    (None, _) if self.rooms.is_empty() => Membership::NoRoom,
                    (None, _) => Membership::Unknown,
                }
            }
        }
    }

    /// Asks the registry about the rooms of all broadcasts that are in doubt.
    pub(super) fn doubts_due(&mut self, now: Time) {
        self.doubts.asked_at = Some(now);
        let mut rooms = Vec::new();
        for doubt in self.doubts.queue.iter_mut().filter(|doubt| !doubt.asked) {
            doubt.asked = true;
            match &doubt.room {
                Some(room) => rooms.push(room.clone()),
                None => rooms.extend(self.rooms.keys().cloned()),
            }
        }
        for room in rooms {
            self.refresh(now, &room);
        }
        self.settle_doubts(now);
    }

    /// Decides what can be decided: a roster has changed, or will not.
    pub(super) fn settle_doubts(&mut self, now: Time) {
        let mut open = VecDeque::new();
        for doubt in std::mem::take(&mut self.doubts.queue) {
            let waits = match &doubt.room {
                Some(room) => self.rooms.get(room).is_some_and(|room| room.is_asked()),
                None => self.rooms.values().any(|room| room.is_asked()),
            };
            match self.membership(&doubt.sender, doubt.room.as_ref()) {
                Membership::Member(room) => {
                    let at = (doubt.stream, doubt.receipt);
                    self.take_broadcast(at, doubt.place, doubt.sender, room, doubt.text);
                }
                Membership::Unknown if waits || !doubt.asked => open.push_back(doubt),
                Membership::Unknown | Membership::NoRoom => {
                    let problem = "the sender is not in that room";
                    self.refuse_message(now, doubt.stream, Kind::Broadcast, doubt.receipt, problem);
                }
            }
        }
        self.doubts.queue = open;
    }

    pub(super) fn forget_doubts(&mut self, stream: StreamId) {
        self.doubts.queue.retain(|doubt| doubt.stream != stream);
    }

    /// Notes a message that has to be answered for, and where it belongs. `None` if it is answered for otherwise.
    fn received(
        &mut self,
        now: Time,
        id: StreamId,
        kind: Kind,
        number: Option<Number>,
        sender: &Username,
        text: &Text,
    ) -> Option<(Option<Place>, Receipt)> {
        let sequence = number.map(|number| number.sequence);
        match (self.arrival(now, id, number), sequence) {
            (Arrival::New { late }, _) => {
                let receipt = self.owe(now, (id, kind), sender, text, sequence, None)?;
                Some((number.map(|number| Place { number, late }), receipt))
            }
            (arrival, Some(sequence)) => {
                self.came_again(now, (id, kind), sender, text, sequence, &arrival);
                None
            }
            (_, None) => None,
        }
    }

    /// Notes that a message has to be answered for. `None` if too many are; that is answered at once.
    fn owe(
        &mut self,
        now: Time,
        (id, kind): (StreamId, Kind),
        sender: &Username,
        text: &Text,
        sequence: Option<NonZeroU64>,
        receipt: Option<Receipt>,
    ) -> Option<Receipt> {
        let is_again = receipt.is_some();
        let receipt = receipt.unwrap_or_else(|| Receipt(self.next_id()));
        let limit = self.config.messages_in_flight;
        let stream = self.streams.get_mut(&id)?;
        let line = stream.peer.as_ref().and_then(|user| self.lines.get_mut(user)).zip(sequence);
        let lane = stream.lane(kind);
        if lane.owed.len() < limit
            && line.as_ref().is_none_or(|(line, _)| is_again || line.pending() < 2 * limit)
        {
            if let Some((line, sequence)) = line {
                line.owes(sequence, receipt, id);
            }
            // The text may share the memory of a whole read.
            let (sender, text) = (sender.clone(), text.detach());
            lane.owed.push_back(Owed { receipt, sender, text, sequence, verdict: None });
            return Some(receipt);
        }
        if let Some((line, sequence)) = line {
            line.refused(sequence);
        }
        let reason = stream.reason("too much is waiting");
        // Who said the same before would take it for the answer to that. The text is in memory already.
        let lane = stream.lane(kind);
        if lane.owed.len() < 4 * limit
            && let Some(same) = lane.owed.iter().rfind(|owed| owed.text == *text)
        {
            let (sender, text) = (sender.clone(), same.text.clone());
            let verdict = Some(Delivery::Failure { reason });
            lane.owed.push_back(Owed { receipt, sender, text, sequence, verdict });
            return None;
        }
        self.notify(now, id, kind, sender.clone(), text.clone(), Delivery::Failure { reason });
        None
    }

    fn refuse_message(&mut self, now: Time, id: StreamId, kind: Kind, receipt: Receipt, problem: &str) {
        let Some(stream) = self.streams.get(&id) else { return };
        let reason = stream.reason(problem);
        self.judge(now, id, kind, receipt, Delivery::Failure { reason });
    }

    /// Notes the verdict on a message, and sends those that no earlier message holds up.
    fn judge(&mut self, now: Time, id: StreamId, kind: Kind, receipt: Receipt, verdict: Delivery) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let stream_peer = stream.peer.clone();
        let owed = stream.lane(kind).owed.iter_mut().find(|owed| owed.receipt == receipt);
        if let Some(owed) = owed {
            if let Some((line, sequence)) =
                stream_peer.as_ref().and_then(|user| self.lines.get_mut(user)).zip(owed.sequence)
            {
                match verdict {
                    Delivery::Success => line.confirmed(sequence, receipt),
                    _ => line.refused(sequence),
                }
            }
            owed.verdict = Some(verdict);
        }
        while let Some(stream) = self.streams.get_mut(&id)
            && let Some(verdict) = stream.lane(kind).owed.front_mut().and_then(|oldest| oldest.verdict.take())
            && let Some(owed) = stream.lane(kind).owed.pop_front()
        {
            self.notify(now, id, kind, owed.sender, owed.text, verdict);
        }
    }

    fn notify(
        &mut self,
        now: Time,
        id: StreamId,
        kind: Kind,
        sender: Username,
        content: Text,
        delivery: Delivery,
    ) {
        let notification = Notification { delivery, sender, content };
        let message = match kind {
            Kind::Direct => PeerMessage::UnicastNotification(notification),
            Kind::Broadcast => PeerMessage::BroadcastNotification(notification),
        };
        self.send_peer(now, id, message);
    }
}
