//! The peer: a client of the registry and of other peers, as a state machine.
//!
//! [`Peer`] is told facts (`handle_*`, [`accept_stream`](Peer::accept_stream)), obeys commands, and hands out effects
//! ([`poll_effect`](Peer::poll_effect)). Any call order is legal: a fact about a stream that is gone is passed over, a
//! command that makes no sense now ends with an error. Each command returns a [`RequestId`] and ends exactly once, by
//! [`Event::Completed`], which also tells an immediate refusal.
//!
//! The owner's run loop, here without a network:
//!
//! ```
//! use p2pchat_core::{Time, peer::{Config, Effect, Event, Peer}};
//!
//! let mut peer = Peer::new(Config::default(), 7);
//! let mut now = Time::ZERO;
//! let request = peer.connect(now);
//! let error = loop {
//!     while let Some(effect) = peer.poll_effect() {
//!         match effect {
//!             // A real owner opens a TLS stream and reports how that went when it knows.
//!             Effect::ConnectRegistry => peer.handle_registry_closed(now, "connection refused".to_owned()),
//!             Effect::Event(Event::Completed { request: ended, outcome }) if ended == request => break,
//!             other => println!("{other:?}"),
//!         }
//!     }
//!     // A real owner sleeps until then, or until the network or the user has something for it.
//!     match peer.poll_timeout() {
//!         Some(deadline) => now = deadline,
//!         None => break "nothing left to do",
//!     }
//!     peer.handle_timeout(now);
//! };
//! assert_eq!(error, "nothing left to do");
//! ```

mod blocks;
mod budgets;
mod chats;
mod config;
mod contacts;
mod deadlines;
mod dialable;
mod dialled;
mod effect;
mod error;
mod event;
mod files;
mod inbox;
mod keys;
mod lines;
mod link;
mod messages;
mod moderation;
mod park;
mod pings;
mod requests;
mod rooms;
mod safety;
mod session;
mod status;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    time::Duration,
};

use p2pchat_proto::{LinkKey, RoomName, Username};

pub use self::{
    budgets::Budget,
    config::Config,
    effect::{Effect, FileDeed, StreamId},
    error::RequestError,
    event::{BroadcastReport, ChatRequestId, Event, FileId, Place, Receipt, RequestId, Response},
    safety::SafetyNumber,
    status::{LinkState, Status},
};
use self::{
    budgets::Budgets,
    contacts::Contact,
    deadlines::StreamTimer,
    dialled::Caller,
    files::Files,
    inbox::{Doubts, Handed},
    lines::Line,
    link::Link,
    messages::{Broadcast, Untold},
    requests::Requests,
    rooms::Room,
    session::Session,
    streams::{Reach, Stream},
};
pub use crate::rate::Rate;
use crate::{time::Time, timers::Timers};

/// A peer; see the [module's documentation](self).
///
/// - **Registry link** (§5.1, §6.1): [`connect`](Self::connect), or the first [`register`](Self::register) or
///   [`login`](Self::login), opens it. Once logged in, it is brought back by itself whenever it is lost.
/// - **Rooms** (§5.3, §7.3): the members online are kept current by pushes, or by asking.
/// - **Peer streams** (§8): dialled as needed, to the address that the registry publishes, and closed when idle.
/// - **Lines** (§7.14): what is said on encrypted streams, and chats, outlast them; what one has cut off comes on the next one.
pub struct Peer {
    config: Config,
    rng: fastrand::Rng,
    /// Where ids come from, and numbers that mean nothing.
    ids: fastrand::Rng,
    effects: VecDeque<Effect>,
    timers: Timers<Timer>,
    last_id: u64,
    /// The commands that have not ended.
    open: BTreeSet<RequestId>,
    closed: bool,
    link: Link,
    session: Option<Session>,
    requests: Requests,
    rooms: BTreeMap<RoomName, Room>,
    broadcasts: BTreeMap<RequestId, Broadcast>,
    untold: VecDeque<Untold>,
    streams: BTreeMap<StreamId, Stream>,
    /// How many of `streams` were accepted.
    accepted: usize,
    /// The way to everybody who is being dialled or was.
    reaches: BTreeMap<Username, Reach>,
    /// Addresses that were dialled in vain, when, and what came of it.
    failed_dials: BTreeMap<SocketAddr, (Time, String)>,
    /// The open chats, and the stream that is written to for each.
    chats: BTreeMap<Username, StreamId>,
    link_key: Option<LinkKey>,
    /// By which keys users are known.
    keys: BTreeMap<Username, LinkKey>,
    chat_requests: BTreeMap<ChatRequestId, StreamId>,
    /// Those that came through the registry, and whose they are.
    contact_requests: BTreeMap<ChatRequestId, Username>,
    contacts: BTreeMap<Username, Contact>,
    /// The messages that the application has been handed and hasn't confirmed.
    receipts: BTreeMap<Receipt, Handed>,
    /// What is said by number, to and by whom.
    lines: BTreeMap<Username, Line>,
    files: Files,
    /// What it was, and when we were told.
    time_of_day: (Time, Duration),
    doubts: Doubts,
    budgets: Budgets,
    blocked: BTreeSet<Username>,
    /// Who is to dial us, and which command waits for it.
    awaited: BTreeMap<Username, RequestId>,
    /// Who last did, in this session.
    caller: Option<Caller>,
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The link's present state has lasted too long, or the pause before reconnecting is over.
    Link,
    /// The oldest request's reply is overdue.
    Reply,
    KeepAlive,
    /// The session has lived long enough to forget the failures before it.
    Settled,
    Rosters,
    /// The registry link has been idle for long.
    Park,
    Doubts,
    /// A wish for contact wasn't answered.
    Contacts,
    /// Something of a stream's own.
    Stream(StreamTimer, StreamId),
    /// Something is to be said again, or given up.
    Lines,
}

impl Peer {
    /// A peer that is connected to nothing. `seed` is where its randomness (the jitter of reconnection) comes from.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            rng: fastrand::Rng::with_seed(seed),
            ids: fastrand::Rng::with_seed(seed.wrapping_add(1)),
            effects: VecDeque::new(),
            timers: Timers::new(),
            last_id: 0,
            open: BTreeSet::new(),
            closed: false,
            link: Link::Down,
            session: None,
            requests: Requests::default(),
            rooms: BTreeMap::new(),
            broadcasts: BTreeMap::new(),
            untold: VecDeque::new(),
            streams: BTreeMap::new(),
            accepted: 0,
            reaches: BTreeMap::new(),
            failed_dials: BTreeMap::new(),
            chats: BTreeMap::new(),
            link_key: None,
            keys: BTreeMap::new(),
            chat_requests: BTreeMap::new(),
            contact_requests: BTreeMap::new(),
            contacts: BTreeMap::new(),
            receipts: BTreeMap::new(),
            lines: BTreeMap::new(),
            files: Files::default(),
            time_of_day: (Time::ZERO, Duration::ZERO),
            doubts: Doubts::default(),
            budgets: Budgets::default(),
            blocked: BTreeSet::new(),
            awaited: BTreeMap::new(),
            caller: None,
        }
    }

    /// The next thing to do, in order.
    ///
    /// What a [`broadcast`](Self::broadcast) tells each member is worked out as effects are taken: who carries them out before
    /// taking more lets the first members answer while the others are being told.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        while self.effects.is_empty() && self.tell_next() {}
        self.poll_ready()
    }

    /// The same of what is worked out already.
    pub(crate) fn poll_ready(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, once all effects are taken. May be earlier than needed, never
    /// later.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The time has come that [`poll_timeout`](Self::poll_timeout) told, or any other.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Link => self.link_overdue(now),
                Timer::Reply => self.reply_overdue(now),
                Timer::KeepAlive => self.keep_alive(now),
                Timer::Settled => self.session_settled(),
                Timer::Rosters => self.rosters_due(now),
                Timer::Park => self.park_due(now),
                Timer::Doubts => self.doubts_due(now),
                Timer::Contacts => self.contacts_due(now),
                Timer::Stream(timer, stream) => self.stream_timer_due(now, stream, timer),
                Timer::Lines => self.lines_due(now),
            }
        }
    }

    /// Ends everything: the session, all streams, and all commands with [`RequestError::Closed`], which for messages that were
    /// said and not answered is in doubt. Afterwards facts are passed over and commands refused.
    pub fn shutdown(&mut self, now: Time) -> RequestId {
        self.command(|peer, request| {
            // First of all, since what follows would end some of them with its own errors.
            let said = peer.said_and_unanswered();
            for open in std::mem::replace(&mut peer.open, BTreeSet::from([request])) {
                if open != request {
                    let error = match said.get(&open) {
                        Some(id) => RequestError::Closed.in_doubt(*id),
                        None => RequestError::Closed,
                    };
                    peer.tell(Event::Completed { request: open, outcome: Err(error) });
                }
            }
            let _ = peer.hang_up_registry(now);
            peer.end_session(now, "closed");
            peer.lose_link(now, "closed", RequestError::Closed, true);
            for stream in peer.streams.keys().copied().collect::<Vec<_>>() {
                peer.drop_stream(now, stream, "closed", true);
            }
            peer.timers = Timers::new();
            peer.closed = true;
            peer.complete(request, Ok(Response::Done));
            Ok(())
        })
    }

    /// Whose session this is, also while the link is being brought back.
    pub fn username(&self) -> Option<&Username> {
        self.session.as_ref().map(|session| &session.credentials.username)
    }

    /// True if the registry link is up and greeted.
    pub fn is_connected(&self) -> bool {
        matches!(self.link, Link::Ready { .. })
    }

    /// True if there is a live session, also one that is parked. While a lost link is brought back there is none.
    pub fn is_logged_in(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.live)
    }

    /// The members online, oneself included, of a room that one is a member of, as far as is known.
    pub fn roster(&self, room: &RoomName) -> Option<impl Iterator<Item = &Username>> {
        self.rooms.get(room).map(Room::members)
    }

    /// The rooms that one is known to be a member of.
    pub fn room_names(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    /// The people with whom a chat is open and has a stream.
    pub fn chats(&self) -> impl Iterator<Item = &Username> {
        self.chats.keys()
    }

    /// Tells the time of day, as the time since 1970-01-01 00:00 UTC: what is said from now on says when (§7.14). Without it
    /// that is 1970.
    pub fn set_time_of_day(&mut self, now: Time, since_1970: Duration) {
        self.time_of_day = (now, since_1970);
    }

    /// In milliseconds.
    fn time_of_day(&self, now: Time) -> u64 {
        let (then, since_1970) = self.time_of_day;
        u64::try_from(since_1970.saturating_add(now.since(then)).as_millis()).unwrap_or(u64::MAX)
    }

    /// Begins a command; an error ends it at once.
    fn command(&mut self, run: impl FnOnce(&mut Self, RequestId) -> Result<(), RequestError>) -> RequestId {
        self.tell_all();
        let request = RequestId(self.next_id());
        self.open.insert(request);
        let begun = if self.closed { Err(RequestError::Closed) } else { run(self, request) };
        if let Err(error) = begun {
            self.complete(request, Err(error));
        }
        request
    }

    /// Ends a command, unless it has ended.
    fn complete(&mut self, request: RequestId, outcome: Result<Response, RequestError>) {
        if self.open.remove(&request) {
            self.tell(Event::Completed { request, outcome });
        }
    }

    fn tell(&mut self, event: Event) {
        self.effects.push_back(Effect::Event(event));
    }

    fn fault(&mut self, culprit: impl Into<String>, what: impl Into<String>) {
        self.tell(Event::Fault { culprit: culprit.into(), what: what.into() });
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn arm(&mut self, timer: Timer, now: Time, delay: Duration) {
        self.timers.set(timer, in_future(now, delay));
    }

    fn me(&self) -> Result<&Username, RequestError> {
        self.username().ok_or(RequestError::NotLoggedIn)
    }

    fn is_me(&self, username: &Username) -> bool {
        self.username() == Some(username)
    }
}

/// When a deadline is: in the future always, as a configured zero must not keep [`Peer::handle_timeout`] busy for ever.
fn in_future(now: Time, delay: Duration) -> Time {
    now + delay.max(Duration::from_millis(1))
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("link", &self.link)
            .field("username", &self.username())
            .field("rooms", &self.rooms.len())
            .field("streams", &self.streams.len())
            .field("receipts", &self.receipts.len())
            .finish_non_exhaustive()
    }
}
