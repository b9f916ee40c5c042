//! Messages that come in: checked, handed to the application, and answered for (§8.3, §8.4).

use std::{collections::VecDeque, time::Duration};

use p2pchat_proto::{Delivery, Notification, PeerMessage, RoomName, Text, Username};

use super::{Event, Peer, Receipt, StreamId, Timer, chats::Chat, messages::Kind};
use crate::time::Time;

/// A room's members are asked for at most this often because a stranger claims to be one.
const DOUBT_INTERVAL: Duration = Duration::from_secs(1);

/// A message whose sender has to be told whether it arrived.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) receipt: Receipt,
    sender: Username,
    text: Text,
    /// Known, but not sent before the verdicts on earlier messages: notifications have no number, only an order.
    verdict: Option<Delivery>,
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
    /// The application has shown or stored a message: its sender is told so. Unknown receipts are passed over, such as
    /// those of a stream that is gone.
    pub fn confirm(&mut self, now: Time, receipt: Receipt) {
        if let Some((stream, kind)) = self.receipts.remove(&receipt) {
            self.judge(now, stream, kind, receipt, Delivery::Success);
        }
    }

    pub(super) fn message_came(
        &mut self,
        now: Time,
        id: StreamId,
        sender: Username,
        recipient: &Username,
        text: Text,
    ) {
        let Some(receipt) = self.owe(now, id, Kind::Direct, &sender, &text) else { return };
        let Some(stream) = self.streams.get(&id) else { return };
        let checked = if !matches!(stream.chat, Chat::Open) {
            Err("no chat is open")
        } else if !self.is_me(recipient) {
            Err("nobody of that name is here")
        } else {
            self.identify(id, &sender)
        };
        match checked {
            Ok(()) => {
                self.receipts.insert(receipt, (id, Kind::Direct));
                self.tell(Event::Message { from: sender, text, receipt });
            }
            Err(problem) => self.refuse_message(now, id, Kind::Direct, receipt, problem),
        }
    }

    pub(super) fn broadcast_came(
        &mut self,
        now: Time,
        id: StreamId,
        sender: Username,
        room: Option<RoomName>,
        text: Text,
    ) {
        if room.is_some() {
            self.showed_sender(id);
        }
        let Some(receipt) = self.owe(now, id, Kind::Broadcast, &sender, &text) else { return };
        if let Err(problem) = self.identify(id, &sender) {
            self.refuse_message(now, id, Kind::Broadcast, receipt, problem);
            return;
        }
        match self.membership(&sender, room.as_ref()) {
            Membership::Member(room) => self.take_broadcast(id, receipt, sender, room, text),
            Membership::NoRoom => self.refuse_message(now, id, Kind::Broadcast, receipt, "not in that room"),
            Membership::Unknown if self.doubts.queue.len() >= self.config.messages_in_flight => {
                self.refuse_message(now, id, Kind::Broadcast, receipt, "too much is waiting");
            }
            Membership::Unknown => {
                let doubt = Doubt { stream: id, receipt, sender, room, text, asked: false };
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
        id: StreamId,
        receipt: Receipt,
        from: Username,
        room: Option<RoomName>,
        text: Text,
    ) {
        self.receipts.insert(receipt, (id, Kind::Broadcast));
        self.tell(Event::Broadcast { room, from, text, receipt });
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
                    self.take_broadcast(doubt.stream, doubt.receipt, doubt.sender, room, doubt.text);
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

    /// Notes that a message has to be answered for. `None` if too many are; that is answered at once.
    fn owe(
        &mut self,
        now: Time,
        id: StreamId,
        kind: Kind,
        sender: &Username,
        text: &Text,
    ) -> Option<Receipt> {
        let receipt = Receipt(self.next_id());
        let limit = self.config.messages_in_flight;
        let stream = self.streams.get_mut(&id)?;
        let lane = stream.lane(kind);
        if lane.owed.len() < limit {
            // The text may share the memory of a whole read.
            lane.owed.push_back(Owed { receipt, sender: sender.clone(), text: text.detach(), verdict: None });
            return Some(receipt);
        }
        let reason = stream.reason("too much is waiting");
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
        let owed = stream.lane(kind).owed.iter_mut().find(|owed| owed.receipt == receipt);
        if let Some(owed) = owed {
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
