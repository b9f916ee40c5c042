//! Requests on the registry stream: their order is all that ties a reply to its request (§5.4).

use std::{collections::VecDeque, time::Duration};

use p2pchat_proto::{
    BanList, Capability, Capacity, Description, Detail, FromRegistry, Message, Outcome, PasswordDigest,
    PeerList, RoomName, RoomsList, SearchReply, ToRegistry, Username,
};

use super::{
    Effect, Event, Peer, RequestError, RequestId, Response, StreamId, Timer, link::Waiting,
    moderation::Removal, session::Credentials,
};
use crate::time::Time;

/// The requests that have not been answered.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// For the link to be ready.
    pub(super) waiting: VecDeque<Waiting>,
    /// For others to be answered, so that no reply is late only because much was asked at once.
    queued: VecDeque<(ToRegistry, Purpose)>,
    sent: VecDeque<Sent>,
    /// For a session that is parked, or about to be, to come back.
    pub(super) parked: VecDeque<(ToRegistry, Purpose)>,
    /// PARK has been sent.
    pub(super) parking: bool,
    /// When what the next reply refuses may be tried again (§7.8).
    pub(super) retry_after: Option<Duration>,
}

#[derive(Debug)]
struct Sent {
    purpose: Purpose,
    due: Time,
}

impl Requests {
    pub(super) fn take_oldest(&mut self) -> Option<Purpose> {
        self.sent.pop_front().map(|sent| sent.purpose)
    }

    /// A stream is gone, and what was to be asked about it.
    pub(super) fn forget_vouching(&mut self, id: StreamId) {
        let matters = |(_, purpose): &(ToRegistry, Purpose)| !matches!(purpose, Purpose::Vouch(stream, _) if *stream == id);
        self.queued.retain(matters);
        self.parked.retain(matters);
    }

    pub(super) fn are_idle(&self) -> bool {
        self.queued.is_empty() && self.sent.is_empty()
    }
}

/// What a reply is wanted for.
#[derive(Debug)]
pub(super) enum Purpose {
    Register(RequestId),
    Login(RequestId, Credentials),
    /// Bringing the session back.
    Resume(Way),
    /// Going on without the stream.
    Park,
    /// To be known by our key.
    LinkKey,
    /// Whose key somebody should have who has dialled us.
    Vouch(StreamId, Username),
    Search(RequestId),
    Peers(RequestId, Detail),
    Rooms(RequestId, Detail),
    Enter(RequestId, RoomName),
    Leave(RequestId, RoomName),
    /// A room's members, for the roster and perhaps for a command.
    Roster(RoomName, Option<RequestId>),
    /// Somebody's address, to dial it.
    Find(Username),
    /// To be let see somebody's address.
    Contact(Username),
    /// To let somebody see ours, or not, as the application says.
    Consent(RequestId, Username),
    /// The same, as the application has said already.
    ConsentAgain(Username),
    /// Not to be let see it any more, which may fail.
    Withdraw,
    /// The address of somebody who may dial us.
    Expect(Username),
    /// What a room's owner wants, and who is put out by it.
    Moderate(RequestId, Option<Box<Removal>>),
    Bans(RequestId),
}

/// How a session is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By the token that was given out last (§7.5).
    Token,
    Password,
}

impl Purpose {
    fn needs_session(&self) -> bool {
        !matches!(self, Self::Register(_) | Self::Login(..) | Self::Resume(_) | Self::LinkKey)
    }

    fn way_back(&self) -> Option<Way> {
        match self {
            Self::Resume(way) => Some(*way),
            _ => None,
        }
    }

    /// What the machine asks for itself is bounded by what it is asked for.
    fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::Resume(_)
                | Self::Park
                | Self::LinkKey
                | Self::Vouch(..)
                | Self::Find(_)
                | Self::Roster(_, None)
                | Self::Contact(_)
                | Self::ConsentAgain(_)
                | Self::Withdraw
                | Self::Expect(_)
        )
    }
}

impl Peer {
    /// Looks up where a user can be dialled (§4.8): [`Response::Found`].
    pub fn search(&mut self, now: Time, username: Username) -> RequestId {
        self.command(|peer, request| {
            peer.submit(now, ToRegistry::SearchUser { username }, Purpose::Search(request))
        })
    }

    /// Everyone online but oneself (§4.10): [`Response::Peers`] or [`Response::Names`].
    pub fn peers(&mut self, now: Time, detail: Detail) -> RequestId {
        self.command(|peer, request| {
            let asker = peer.username().filter(|_| peer.is_prototype()).cloned();
            peer.submit(now, ToRegistry::DiscoverPeers { detail, asker }, Purpose::Peers(request, detail))
        })
    }

    /// All rooms (§4.7): [`Response::Rooms`] or [`Response::RoomNames`].
    pub fn rooms(&mut self, now: Time, detail: Detail) -> RequestId {
        self.command(|peer, request| {
            peer.submit(now, ToRegistry::ListRooms { detail }, Purpose::Rooms(request, detail))
        })
    }

    /// Opens a room and enters it (§4.4). [`Event::RoomEntered`] follows.
    pub fn create(
        &mut self,
        now: Time,
        room: RoomName,
        password: Option<PasswordDigest>,
        capacity: Capacity,
        description: Description,
    ) -> RequestId {
        self.command(|peer, request| {
            let message = ToRegistry::CreateRoom { room: room.clone(), password, capacity, description };
            peer.submit(now, message, Purpose::Enter(request, room))
        })
    }

    /// Enters a room (§4.5), also as a member already. [`Event::RoomEntered`] follows.
    pub fn join(&mut self, now: Time, room: RoomName, password: Option<PasswordDigest>) -> RequestId {
        self.command(|peer, request| {
            let message = ToRegistry::JoinRoom { room: room.clone(), password };
            peer.submit(now, message, Purpose::Enter(request, room))
        })
    }

    /// Ends one's membership of a room (§4.6).
    pub fn leave(&mut self, now: Time, room: RoomName) -> RequestId {
        self.command(|peer, request| {
            let username = peer.me()?.clone();
            let message = ToRegistry::ExitRoom { username, room: room.clone() };
            peer.submit(now, message, Purpose::Leave(request, room))
        })
    }

    /// Asks which members of a room are online (§4.15): [`Response::Members`], oneself included.
    pub fn members(&mut self, now: Time, room: RoomName) -> RequestId {
        self.command(|peer, request| {
            let message = ToRegistry::DiscoverRoom { room: room.clone() };
            peer.submit(now, message, Purpose::Roster(room, Some(request)))
        })
    }

    /// Sends a request as soon as there is room for it in the pipeline.
    pub(super) fn submit(
        &mut self,
        now: Time,
        message: ToRegistry,
        purpose: Purpose,
    ) -> Result<(), RequestError> {
        if purpose.needs_session() {
            self.me()?;
        }
        // Also what needs no session: after PARK nothing is answered on its stream.
        if self.is_away() && !matches!(purpose, Purpose::Resume(_) | Purpose::LinkKey) {
            if self.requests.parked.len() >= self.config.requests && !purpose.is_internal() {
                return Err(RequestError::TooMany { what: "requests", limit: self.config.requests });
            }
            self.requests.parked.push_back((message, purpose));
            self.unpark(now);
            return Ok(());
        }
        self.may_ask(&purpose)?;
        self.requests.queued.push_back((message, purpose));
        self.requests_moved(now);
        self.link_used(now);
        Ok(())
    }

    /// The same for what was taken on before; [`requests_moved`](Self::requests_moved) sends it.
    pub(super) fn submit_or_fail(&mut self, now: Time, message: ToRegistry, purpose: Purpose) {
        match self.may_ask(&purpose) {
            Ok(()) => {
                self.requests.queued.push_back((message, purpose));
            }
            Err(error) => self.fail(now, purpose, error),
        }
    }

    /// Why something can't be asked for on the link as it is.
    fn may_ask(&self, purpose: &Purpose) -> Result<(), RequestError> {
        if !self.is_connected() || (purpose.needs_session() && !self.is_logged_in()) {
            return Err(RequestError::NotConnected);
        }
        if self.is_prototype()
            && matches!(
                purpose,
                Purpose::Rooms(..) | Purpose::Enter(..) | Purpose::Leave(..) | Purpose::Roster(..)
            )
        {
            return Err(RequestError::Unsupported);
        }
        if matches!(purpose, Purpose::Moderate(..) | Purpose::Bans(_)) && !self.has(Capability::Moderate) {
            return Err(RequestError::Unsupported);
        }
        if !self.requests_have_room() && !purpose.is_internal() {
            return Err(RequestError::TooMany { what: "requests", limit: self.config.requests });
        }
        Ok(())
    }

    /// False if as many requests are queued as may be, but for those that the machine needs.
    pub(super) fn requests_have_room(&self) -> bool {
        self.requests.queued.len() < self.config.requests
    }

    /// Sends what there is room for, and watches over the oldest.
    pub(super) fn requests_moved(&mut self, now: Time) {
        while self.requests.sent.len() < self.config.pipeline.max(1)
            && let Some((message, purpose)) = self.requests.queued.pop_front()
        {
            self.effects.push_back(Effect::SendRegistry(message));
            self.requests.sent.push_back(Sent { purpose, due: now + self.config.request_timeout });
        }
        match self.requests.sent.front().map(|oldest| oldest.due) {
            Some(due) => self.arm(Timer::Reply, now, due.since(now)),
            None => self.timers.cancel(Timer::Reply),
        }
    }

    /// Without its reply there is no telling which request a later one answers.
    pub(super) fn reply_overdue(&mut self, now: Time) {
        if self.requests.sent.front().is_some_and(|oldest| oldest.due > now) {
            self.requests_moved(now);
        } else if let Some(purpose) = self.requests.take_oldest() {
            if let Purpose::Resume(way) = purpose {
                self.resume_unanswered(way);
            }
            self.fail(now, purpose, RequestError::TimedOut);
            self.lose_link(now, "the registry didn't answer in time", RequestError::TimedOut, true);
        }
    }

    /// A reply or a push on the greeted link.
    pub(super) fn registry_said(&mut self, now: Time, message: FromRegistry) {
        self.link_used(now);
        match message {
            FromRegistry::UserJoined { room, username } => self.user_joined(now, room, username),
            FromRegistry::UserLeft { room, username } => self.user_left(now, &room, username),
            FromRegistry::UserLogout { username } => self.user_offline(username),
            FromRegistry::RoomKicked { room, username, by, reason } => {
                self.put_out(now, Event::PutOut { room, username, by, reason, banned: false });
            }
            FromRegistry::RoomBanned { room, username, by, reason } => {
                self.put_out(now, Event::PutOut { room, username, by, reason, banned: true });
            }
            FromRegistry::RoomChanged { room, by, change } => {
                self.tell(Event::RoomChanged { room, by, change });
            }
            FromRegistry::ContactRequest { username } if self.has(Capability::Contact) => {
                self.contact_wanted(now, username);
            }
            FromRegistry::ContactResponse { username, accepted } if self.has(Capability::Contact) => {
                self.contact_answered(now, &username, accepted);
            }
            FromRegistry::Ticket { ticket } => self.ticket_came(now, ticket),
            FromRegistry::RetryAfter { seconds } => {
                self.requests.retry_after = Some(Duration::from_secs(seconds.into()));
            }
            reply => self.replied(now, reply),
        }
    }

    fn replied(&mut self, now: Time, reply: FromRegistry) {
        let verb = reply.verb();
        let retry_after = self.requests.retry_after.take();
        let Some(purpose) = self.requests.take_oldest() else {
            self.lost_order(now, format!("sent {verb} unasked"));
            return;
        };
        match (purpose, reply) {
            (Purpose::Register(request), FromRegistry::Register(reply)) => {
                self.registered(request, reply, retry_after);
            }
            (Purpose::Login(request, credentials), FromRegistry::Auth(reply)) => {
                self.logged_in(now, request, credentials, reply);
            }
            (Purpose::Resume(way), FromRegistry::Auth(reply)) => self.resumed(now, way, reply),
            (Purpose::Park, FromRegistry::Parked(outcome)) => return self.parked(now, outcome),
            (Purpose::Search(request), FromRegistry::Search(reply)) => {
                self.complete(request, found(reply).map(Response::Found));
            }
            (Purpose::Find(username), FromRegistry::Search(reply)) => {
                self.found(now, &username, found(reply))
            }
            (Purpose::Vouch(stream, username), FromRegistry::Search(reply)) => {
                self.vouched(now, stream, &username, found(reply));
            }
            (Purpose::LinkKey, FromRegistry::LinkKey(outcome)) => {
                // Of two logins at once the second announces it too late, and is refused itself.
                if let (Err(error), false) = (accepted(outcome, retry_after), self.is_logged_in()) {
                    self.fault("registry", format!("doesn't take this program's key: {error}"));
                }
            }
            (Purpose::Contact(user), FromRegistry::Contact(outcome)) => {
                if let Err(error) = accepted(outcome, retry_after) {
                    self.contact_failed(&user, &error);
                }
            }
            (Purpose::Consent(request, user), FromRegistry::Contact(outcome)) => {
                self.consented(request, &user, outcome);
            }
            (Purpose::ConsentAgain(user), FromRegistry::Contact(outcome)) => {
                if accepted(outcome, retry_after).is_err() {
                    self.not_expected(&user);
                }
            }
            (Purpose::Withdraw, FromRegistry::Contact(_)) => {}
            (Purpose::Expect(user), FromRegistry::Search(reply)) => {
                self.expected_at(now, &user, found(reply));
            }
            (Purpose::Rooms(request, detail), FromRegistry::Rooms(list)) => {
                let response = match (detail, list) {
                    (Detail::Detailed, RoomsList::Detailed(rooms)) => Ok(Response::Rooms(rooms.into_vec())),
                    (Detail::Partial, RoomsList::Partial(names)) => Ok(Response::RoomNames(names.into_vec())),
                    (Detail::Detailed, RoomsList::NotFound { .. }) => Ok(Response::Rooms(Vec::new())),
                    (Detail::Partial, RoomsList::NotFound { .. }) => Ok(Response::RoomNames(Vec::new())),
                    _ => Err(RequestError::Unexpected("a list of another kind".to_owned())),
                };
                self.complete(request, response);
            }
            (Purpose::Peers(request, detail), FromRegistry::Peers(list)) => {
                let response = match (detail, list) {
                    (Detail::Detailed, PeerList::Detailed(peers)) => Ok(Response::Peers(peers.into_vec())),
                    (Detail::Partial, PeerList::Partial(names)) => Ok(Response::Names(names.into_vec())),
                    (Detail::Detailed, PeerList::Failure { .. }) => Ok(Response::Peers(Vec::new())),
                    (Detail::Partial, PeerList::Failure { .. }) => Ok(Response::Names(Vec::new())),
                    _ => Err(RequestError::Unexpected("a list of another kind".to_owned())),
                };
                self.complete(request, response);
            }
            (
                Purpose::Enter(request, room),
                FromRegistry::Creation(outcome) | FromRegistry::Join(outcome),
            ) => {
                let outcome = accepted(outcome, retry_after);
                let entered = outcome.is_ok();
                self.complete(request, outcome);
                if entered {
                    self.enter(now, room);
                }
            }
            (Purpose::Leave(request, room), FromRegistry::RoomExit(outcome)) => {
                let outcome = accepted(outcome, retry_after);
                if outcome.is_ok() {
                    self.drop_room(now, &room);
                }
                self.complete(request, outcome);
            }
            (Purpose::Roster(room, request), FromRegistry::Peers(list)) => {
                self.roster_arrived(now, room, request, list);
            }
            (Purpose::Moderate(request, removal), FromRegistry::Moderation(outcome)) => {
                let outcome = accepted(outcome, retry_after);
                if outcome.is_ok() {
                    self.removed(removal);
                }
                self.complete(request, outcome);
            }
            (Purpose::Bans(request), FromRegistry::Bans(list)) => {
                self.complete(request, bans(list, retry_after))
            }
            (purpose, _) => {
                self.fail(now, purpose, RequestError::Unexpected(verb.to_string()));
                self.lost_order(now, format!("sent {verb} where another reply was due"));
                return;
            }
        }
        self.requests_moved(now);
    }

    fn lost_order(&mut self, now: Time, what: String) {
        self.lose_link(now, "the registry's replies are out of order", RequestError::NotConnected, true);
        self.fault("registry", what);
    }

    /// Ends a request that gets no reply, or none that makes sense.
    pub(super) fn fail(&mut self, now: Time, purpose: Purpose, error: RequestError) {
        match purpose {
            Purpose::Register(request)
            | Purpose::Login(request, _)
            | Purpose::Search(request)
            | Purpose::Peers(request, _)
            | Purpose::Rooms(request, _)
            | Purpose::Enter(request, _)
            | Purpose::Leave(request, _)
            | Purpose::Moderate(request, _)
            | Purpose::Bans(request) => self.complete(request, Err(error)),
            Purpose::Roster(room, request) => self.roster_failed(now, &room, request, error),
            Purpose::Find(username) => self.found(now, &username, Err(error)),
            Purpose::Contact(user) => self.contact_failed(&user, &error),
            Purpose::Consent(request, _) => self.complete(request, Err(error)),
            Purpose::ConsentAgain(_) | Purpose::Withdraw | Purpose::Expect(_) | Purpose::LinkKey => {}
            Purpose::Vouch(stream, username) => self.vouched(now, stream, &username, Err(error)),
            // A registry that doesn't know it after all. It is asked again when the link has been idle for as long again.
            Purpose::Park => {
                self.requests.parking = false;
                self.unparked(now);
            }
            Purpose::Resume(_) => {
                if let (RequestError::Busy { retry_after, .. }, Some(session)) = (&error, &mut self.session) {
                    session.retry_after = Some(*retry_after);
                }
                self.lose_link(now, &error.to_string(), RequestError::NotConnected, true);
            }
        }
    }

    /// The link is gone, and with it the replies.
    pub(super) fn fail_all_requests(&mut self, now: Time) {
        let sent = std::mem::take(&mut self.requests.sent);
        let mut queued = std::mem::take(&mut self.requests.queued);
        queued.append(&mut self.requests.parked);
        self.requests.parking = false;
        for way in sent.iter().filter_map(|sent| sent.purpose.way_back()).collect::<Vec<_>>() {
            self.resume_unanswered(way);
        }
        let sent = sent.into_iter().map(|sent| (sent.purpose, RequestError::Interrupted));
        let queued = queued.into_iter().map(|(_, purpose)| (purpose, RequestError::NotConnected));
        for (purpose, error) in sent.chain(queued) {
            if !matches!(purpose, Purpose::Resume(_)) {
                self.fail(now, purpose, error);
            }
        }
    }
}

pub(super) fn accepted(outcome: Outcome, retry_after: Option<Duration>) -> Result<Response, RequestError> {
    match outcome {
        Outcome::Success => Ok(Response::Done),
        Outcome::Failure { reason } => Err(RequestError::refused(reason, retry_after)),
        other => Err(RequestError::Unexpected(format!("{other:?}"))),
    }
}

fn bans(list: BanList, retry_after: Option<Duration>) -> Result<Response, RequestError> {
    match list {
        BanList::Found(bans) => Ok(Response::Bans(bans.into_vec())),
        BanList::NotFound { .. } => Ok(Response::Bans(Vec::new())),
        BanList::Failure { reason } => Err(RequestError::refused(reason, retry_after)),
        other => Err(RequestError::Unexpected(format!("{other:?}"))),
    }
}

fn found(reply: SearchReply) -> Result<p2pchat_proto::Found, RequestError> {
    match reply {
        SearchReply::Found(found) => Ok(found),
        SearchReply::NotOnline { .. } => Err(RequestError::NotOnline),
        SearchReply::NotFound { .. } => Err(RequestError::NotFound),
        other => Err(RequestError::Unexpected(format!("{other:?}"))),
    }
}
