//! Messages on their way out: sent, broadcast, and confirmed by the other side (§8.3, §8.4).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroU64,
    vec,
};

use p2pchat_proto::{Delivery, Notification, PeerMessage, RoomName, Text, Username};

use super::{
    BroadcastReport, Effect, Peer, RequestError, RequestId, Response, StreamId, Timer,
    deadlines::StreamTimer,
    inbox::Owed,
    lines::{Line, Numbering, Said},
    streams::{Stream, Want},
};
use crate::{time::Time, timers::Timers};

/// The two kinds of messages, each with its own order on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Direct,
    Broadcast,
}

/// One kind's messages on one stream.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Ours, not confirmed yet.
    flights: VecDeque<Flight>,
    /// Theirs, not confirmed yet.
    pub(super) owed: VecDeque<Owed>,
}

impl Lane {
    pub(super) fn flights(&self) -> impl ExactSizeIterator<Item = &Flight> {
        self.flights.iter()
    }

    /// Those that end with the stream. All of them were said, and so are in doubt.
    pub(super) fn requests(&self) -> impl Iterator<Item = RequestId> {
        self.flights.iter().filter_map(|flight| match flight.wait {
            Wait::Stream { request, .. } => Some(request),
            Wait::Line(_) => None,
        })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.owed.is_empty()
    }
}

/// A message of ours on a stream.
#[derive(Debug)]
pub(super) struct Flight {
    text: Text,
    wait: Wait,
}

/// Who waits for its confirmation.
#[derive(Debug)]
enum Wait {
    /// Not beyond this stream.
    Stream { request: RequestId, due: Time },
    /// The line to its user, on whichever stream (§7.14).
    Line(NonZeroU64),
}

impl Flight {
    /// When it counts as not confirmed.
    const fn due(&self) -> Option<Time> {
        match self.wait {
            Wait::Stream { due, .. } => Some(due),
            Wait::Line(_) => None,
        }
    }
}

impl Stream {
    /// A message is about to be sent that its line waits for.
    pub(super) fn fly(&mut self, kind: Kind, sequence: NonZeroU64, text: Text) {
        self.lane(kind).flights.push_back(Flight { text, wait: Wait::Line(sequence) });
    }

    /// The oldest message that isn't confirmed has its time.
    fn watch_flights(&mut self, timers: &mut Timers<Timer>, now: Time, id: StreamId, kind: Kind) {
        let timer = StreamTimer::Delivery(kind);
        match self.lane(kind).flights.front().and_then(Flight::due) {
            Some(due) => self.arm(timers, now, (id, timer), due.since(now)),
            None => self.deadlines.of(timer).clear(),
        }
    }
}

/// A broadcast on its way to a room's members.
#[derive(Debug)]
pub(super) struct Broadcast {
    room: RoomName,
    text: Text,
    /// Its id and time, the same for every member (§7.14).
    mark: (u64, u64),
    /// Who has neither confirmed it nor failed.
    pending: BTreeSet<Username>,
    report: BroadcastReport,
}

/// Whom a broadcast is still to be sent to. That is done as effects are taken, so that the first members have it while the others
/// are being told.
#[derive(Debug)]
pub(super) struct Untold {
    request: RequestId,
    since: Time,
    members: vec::IntoIter<Username>,
}

impl Peer {
    /// Says something in an open chat (§4.11). Done once the other program has confirmed it. If it fails, it wasn't taken, and
    /// may be said again, unless it is [`RequestError::Doubtful`].
    pub fn send(&mut self, now: Time, user: Username, text: Text) -> RequestId {
        self.command(|peer, request| {
            let sender = peer.me()?.clone();
            if peer.is_blocked(&user) {
                return Err(RequestError::Blocked);
            }
            if peer.lines.get(&user).is_some_and(|line| line.chat) {
                let mark = (peer.ids.u64(..), peer.time_of_day(now));
                return peer.say(now, &user, mark, Said::Direct(text), request);
            }
            let id = *peer.chats.get(&user).ok_or(RequestError::NoChat)?;
            peer.launch(now, id, Kind::Direct, request, text, |_, text| PeerMessage::DirectMessage {
                sender,
                recipient: user,
                text,
            })
        })
    }

    /// Says something to every member of a room that is online (§4.16), each over a stream of its own, so that nobody
    /// waits for anybody else: [`Response::Broadcast`], once the last has confirmed or failed. If the command itself fails,
    /// nobody has it, unless that is [`RequestError::Doubtful`].
    pub fn broadcast(&mut self, now: Time, room: RoomName, text: Text) -> RequestId {
        self.command(|peer, request| {
            peer.me()?;
            if peer.is_prototype() {
                return Err(RequestError::Unsupported);
            }
            if !peer.rooms.contains_key(&room) {
                return Err(RequestError::NotAMember);
            }
            let limit = peer.config.requests;
            if peer.broadcasts.len() >= limit {
                return Err(RequestError::TooMany { what: "broadcasts", limit });
            }
            let broadcast = Broadcast {
                room: room.clone(),
                text,
                mark: (peer.ids.u64(..), peer.time_of_day(now)),
                pending: BTreeSet::new(),
                report: BroadcastReport::default(),
            };
            peer.broadcasts.insert(request, broadcast);
            peer.broadcast_when_known(now, &room, request);
            Ok(())
        })
    }

    pub(super) fn start_broadcast(&mut self, now: Time, request: RequestId) {
        let me = self.username().cloned();
        let Some(broadcast) = self.broadcasts.get_mut(&request) else { return };
        let members = self.rooms.get(&broadcast.room).into_iter().flat_map(|room| room.members());
        let members: Vec<_> = members.filter(|member| Some(*member) != me.as_ref()).cloned().collect();
        broadcast.pending = members.iter().cloned().collect();
        if members.is_empty() {
            return self.end_broadcast(request, Ok(()));
        }
        self.untold.push_back(Untold { request, since: now, members: members.into_iter() });
    }

    /// Tells the next member what is broadcast, as of when that began: deadlines are no later than they would be. False if everybody
    /// was told.
    pub(super) fn tell_next(&mut self) -> bool {
        let Some(Untold { request, since, members }) = self.untold.front_mut() else { return false };
        let (request, now) = (*request, *since);
        let Some(member) = members.next() else {
            self.untold.pop_front();
            return true;
        };
        // What is said to somebody next may not overtake it.
        if self.lines.get(&member).is_some_and(Line::goes_on) {
            self.say_broadcast(now, &member, request);
        } else {
            self.reach(now, &member, Want::Broadcast(request));
        }
        true
    }

    /// Tells all members what is broadcast: something else is about to be said, or to whom something may be said may change.
    pub(super) fn tell_all(&mut self) {
        while self.tell_next() {}
    }

    pub(super) fn end_broadcast(&mut self, request: RequestId, outcome: Result<(), RequestError>) {
        if let Some(broadcast) = self.broadcasts.remove(&request) {
            self.complete(request, outcome.map(|()| Response::Broadcast(broadcast.report)));
        }
    }

    /// A stream to one of the members is open.
    pub(super) fn send_broadcast(&mut self, now: Time, id: StreamId, user: &Username, request: RequestId) {
        let Some(sender) = self.username().cloned() else {
            return self.settle_broadcast(request, user, Err(RequestError::NotLoggedIn));
        };
        let Some(broadcast) = self.broadcasts.get(&request) else { return };
        let (room, text) = (broadcast.room.clone(), broadcast.text.clone());
        if !self.rooms.contains_key(&room) {
            return self.settle_broadcast(request, user, Err(RequestError::NotAMember));
        }
        if self.streams.get(&id).is_some_and(|stream| stream.numbering == Numbering::On) {
            return self.say_broadcast(now, user, request);
        }
        let launched = self.launch(now, id, Kind::Broadcast, request, text, |stream, text| {
            PeerMessage::DirectBroadcast { sender, room: stream.sender.then_some(room), text }
        });
        if let Err(error) = launched {
            self.settle_broadcast(request, user, Err(error));
        }
    }

    /// It goes by the member's line, and has a number there.
    fn say_broadcast(&mut self, now: Time, user: &Username, request: RequestId) {
        let Some(Broadcast { room, text, mark, .. }) = self.broadcasts.get(&request) else { return };
        let (said, mark) = (Said::Broadcast(room.clone(), text.clone()), *mark);
        if let Err(error) = self.say(now, user, mark, said, request) {
            self.settle_broadcast(request, user, Err(error));
        }
    }

    /// One member has it, or won't.
    pub(super) fn settle_broadcast(
        &mut self,
        request: RequestId,
        user: &Username,
        outcome: Result<(), RequestError>,
    ) {
        let Some(broadcast) = self.broadcasts.get_mut(&request) else { return };
        if let Some(user) = broadcast.pending.take(user) {
            match outcome {
                Ok(()) => broadcast.report.delivered.push(user),
                Err(error) => broadcast.report.failed.push((user, error)),
            }
            if broadcast.pending.is_empty() {
                self.end_broadcast(request, Ok(()));
            }
        }
    }

    /// A member has a broadcast that they count among those who don't, unless its command has ended by then.
    pub(super) fn amend_report(&mut self, mark: u64, user: &Username) -> bool {
        let Some(broadcast) = self.broadcasts.values_mut().find(|broadcast| broadcast.mark.0 == mark) else {
            return false;
        };
        broadcast.report.failed.retain(|(failed, _)| failed != user);
        broadcast.report.delivered.push(user.clone());
        true
    }

    /// The commands that have said something which isn't answered, or not by everybody, and under what id.
    pub(super) fn said_and_unanswered(&self) -> BTreeMap<RequestId, Option<u64>> {
        let on_streams = self.streams.values().flat_map(|stream| stream.direct.requests());
        let on_streams = on_streams.chain(self.streams.values().flat_map(|stream| stream.rooms.requests()));
        let on_lines = self.lines.values().flat_map(Line::said_and_unconfirmed);
        let in_part = self.broadcasts.iter().filter(|(_, broadcast)| {
            let BroadcastReport { delivered, failed } = &broadcast.report;
            !delivered.is_empty()
                || failed.iter().any(|(_, why)| matches!(why, RequestError::Doubtful { .. }))
        });
        let in_part = in_part.map(|(request, broadcast)| (*request, Some(broadcast.mark.0)));
        on_streams.map(|request| (request, None)).chain(on_lines).chain(in_part).collect()
    }

    /// Sends a message that has no number, and waits for its confirmation.
    fn launch(
        &mut self,
        now: Time,
        id: StreamId,
        kind: Kind,
        request: RequestId,
        text: Text,
        message: impl FnOnce(&Stream, Text) -> PeerMessage,
    ) -> Result<(), RequestError> {
        let limit = self.config.messages_in_flight;
        let due = now + self.config.delivery_timeout;
        let Some(stream) = self.streams.get_mut(&id) else { return Err(RequestError::NoChat) };
        let lane = stream.lane(kind);
        if lane.flights.len() >= limit {
            return Err(RequestError::TooMany { what: "messages", limit });
        }
        lane.flights.push_back(Flight { text: text.clone(), wait: Wait::Stream { request, due } });
        stream.watch_flights(&mut self.timers, now, id, kind);
        stream.used(&mut self.timers, &self.config, now, id);
        let message = message(stream, text);
        self.effects.push_back(Effect::SendPeer { stream: id, message });
        Ok(())
    }

    /// The other side has, or refuses, the oldest message of that content that it has not answered for yet.
    pub(super) fn notified(&mut self, now: Time, id: StreamId, kind: Kind, notification: &Notification) {
        if !self.is_me(&notification.sender) {
            return;
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let flights = &mut stream.lane(kind).flights;
        let flight = flights
            .iter()
            .position(|flight| flight.text == notification.content)
            .and_then(|position| flights.remove(position));
        let Some(flight) = flight else { return };
        let outcome = match &notification.delivery {
            Delivery::Success => Ok(()),
            Delivery::Failure { reason } => {
                Err(RequestError::NotDelivered(reason.as_ref().map(|reason| reason.as_str().to_owned())))
            }
            other => Err(RequestError::Unexpected(format!("{other:?}")).in_doubt(None)),
        };
        let user = stream.peer.clone();
        match (flight.wait, user) {
            (Wait::Stream { request, .. }, user) => {
                stream.watch_flights(&mut self.timers, now, id, kind);
                self.land(kind, request, user.as_ref(), outcome);
            }
            (Wait::Line(sequence), Some(user)) => {
                stream.watch(&mut self.timers, &self.config, now, id);
                self.landed(now, &user, sequence, outcome);
            }
            // What nobody is at the other end of has no line.
            (Wait::Line(_), None) => {}
        }
    }

    pub(super) fn delivery_overdue(&mut self, now: Time, id: StreamId, kind: Kind) {
        while let Some(stream) = self.streams.get_mut(&id)
            && stream.lane(kind).flights.front().and_then(Flight::due).is_some_and(|due| due <= now)
            && let Some(Flight { wait: Wait::Stream { request, .. }, .. }) =
                stream.lane(kind).flights.pop_front()
        {
            let user = stream.peer.clone();
            self.land(kind, request, user.as_ref(), Err(RequestError::TimedOut.in_doubt(None)));
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.watch_flights(&mut self.timers, now, id, kind);
        }
    }

    fn land(
        &mut self,
        kind: Kind,
        request: RequestId,
        user: Option<&Username>,
        outcome: Result<(), RequestError>,
    ) {
        match (kind, user) {
            (Kind::Direct, _) => self.complete(request, outcome.map(|()| Response::Done)),
            (Kind::Broadcast, Some(user)) => self.settle_broadcast(request, user, outcome),
            // Nothing is broadcast to nobody.
            (Kind::Broadcast, None) => {}
        }
    }
}
