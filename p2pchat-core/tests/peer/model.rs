//! The peer of PROTOCOL.md §5, §7 and §8 as a few maps: what it does about each step, in which order.
//!
//! The registry is one that hides nothing and invites nobody. Left out are broadcasts of strangers, which are asked about
//! (`broadcasts.rs`), limits, and the prototype; and chats with those whose address is hidden, of which a model would be the
//! machine once more (`hidden.rs` and the simulations have them).

mod link;
mod streams;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use p2pchat_core::peer::RequestError;

use crate::steps::{Answer, Command, Push, Said, Step};

pub(crate) const SEED: u64 = 1;
const SECOND: u64 = 1_000_000;
/// What the registry agrees to.
const AGREED: &str = " <1> <reason,roster,sender,resume,moderate,ticket,retry>";
/// Stands for what a person is told, in whatever words.
const WORDS: &str = "…";

/// Who hasn't got a broadcast, or may have it.
pub(crate) fn untold(user: &str, error: &RequestError) -> String {
    let doubt = if matches!(error, RequestError::Doubtful { .. }) { "?" } else { "" };
    format!("{user}{doubt}")
}

fn doubtful(why: &RequestError) -> RequestError {
    RequestError::Doubtful { id: None, why: Box::new(why.clone()) }
}

/// Microseconds since the beginning.
type Time = u64;
type Name = &'static str;

#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) now: Time,
    link: Link,
    session: Option<Session>,
    /// Commands that wait for the link: to connect, or to log in.
    waiting: Vec<(usize, bool)>,
    /// Requests that the registry hasn't answered, and until when it has time to.
    asked: VecDeque<(Ask, Time)>,
    rooms: BTreeMap<Name, Room>,
    ways: BTreeMap<Name, Way>,
    streams: BTreeMap<usize, Stream>,
    opened: usize,
    /// Open chats, and the stream that is written to.
    chats: BTreeMap<Name, usize>,
    /// By number: the stream of each chat request that waits for the user.
    chat_requests: Vec<Option<usize>>,
    /// By number: the stream of each message that isn't confirmed.
    receipts: Vec<Option<(usize, Kind)>>,
    broadcasts: BTreeMap<usize, Broadcast>,
    /// Until when who isn't dialled again.
    failed_dials: BTreeMap<Name, Time>,
    pub(crate) commands: usize,
    /// How many tokens the registry has given out.
    tokens: u64,
    /// In how many seconds what is refused next may be tried again.
    retry: Option<u32>,
    /// The machine's own, from the same seed: the bounds of a pause are the model's.
    dice: fastrand::Rng,
    /// What the last step made the peer do.
    pub(crate) did: Vec<String>,
    /// What the registry said in the last step.
    pub(crate) registry: Option<Line>,
}

#[derive(Debug, Clone)]
pub(crate) enum Line {
    Plain(String),
    /// A list of a room's members: only who asked knows its shape.
    Members(Name, Vec<Name>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Link {
    Down,
    Paused { until: Time },
    Connecting { until: Time },
    Greeting { until: Time },
    Ready,
    Leaving { until: Time, logout: usize },
}

#[derive(Debug, Clone)]
struct Session {
    /// The number of the token that brings it back.
    token: Option<u64>,
    /// It was used without an answer, and so was the one before it.
    unanswered: bool,
    late: bool,
    live: bool,
    timed_out: bool,
    refused_since: Option<Time>,
    confirmed: Option<Time>,
    failures: u32,
    next_keep_alive: Time,
    settled: Option<Time>,
    /// Which ticket keep-alives prove, and the number of the next one.
    ticket: Option<(u8, u64)>,
    /// How long the registry has asked to stay away.
    named: Option<Time>,
}

#[derive(Debug, Clone, PartialEq)]
enum Ask {
    Login(usize),
    /// By the token, or by the password.
    Resume(By),
    Join(usize, Name),
    Leave(usize, Name),
    /// Who is in a room, for a command or to know.
    Members(Name, Option<usize>),
    /// Where somebody is, to dial him.
    Find(Name),
    Kick(usize, Name, Name),
    Bans(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Token,
    Password,
}

#[derive(Debug, Clone, Default)]
struct Room {
    members: Vec<Name>,
    known: bool,
    asked: bool,
    waiting: Vec<usize>,
}

/// To a user's own port.
#[derive(Debug, Clone)]
enum Way {
    Searching(Vec<Want>),
    Dialling(Vec<Want>),
    Open(usize),
}

#[derive(Debug, Clone, Copy)]
enum Want {
    Chat(usize),
    Broadcast(usize),
}

#[derive(Debug, Clone)]
struct Stream {
    host: u8,
    dialled: bool,
    connected: bool,
    /// The other end has said something.
    heard: bool,
    peer: Option<Name>,
    /// Both ends have the capability `sender`.
    sender: bool,
    chat: Chat,
    idle: Time,
    /// Of direct messages, and of broadcasts.
    lanes: [Lane; 2],
}

#[derive(Debug, Clone)]
enum Chat {
    None,
    Asked(Vec<usize>, Time),
    AskedUs(usize, Time),
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Direct,
    Broadcast,
}

#[derive(Debug, Clone, Default)]
struct Lane {
    /// Ours: command, text, until when it may be confirmed.
    ours: VecDeque<(usize, Name, Time)>,
    theirs: VecDeque<Theirs>,
}

#[derive(Debug, Clone)]
struct Theirs {
    receipt: Option<usize>,
    sender: Name,
    text: Name,
    /// The phrase, and the reason if there is one.
    verdict: Option<(Name, Name)>,
}

#[derive(Debug, Clone)]
struct Broadcast {
    room: Name,
    text: Name,
    pending: Vec<Name>,
    told: Vec<Name>,
    /// Who hasn't got it, or may have it.
    untold: Vec<String>,
}

/// What is due, in the order of what is due at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Link,
    Reply,
    KeepAlive,
    Settled,
    Idle(usize),
    ChatRequest(usize),
    Delivery(Kind, usize),
}

impl Default for Model {
    fn default() -> Self {
        Self {
            now: 0,
            link: Link::Down,
            session: None,
            waiting: Vec::new(),
            asked: VecDeque::new(),
            rooms: BTreeMap::new(),
            ways: BTreeMap::new(),
            streams: BTreeMap::new(),
            opened: 0,
            chats: BTreeMap::new(),
            chat_requests: Vec::new(),
            receipts: Vec::new(),
            broadcasts: BTreeMap::new(),
            failed_dials: BTreeMap::new(),
            commands: 0,
            tokens: 0,
            retry: None,
            dice: fastrand::Rng::with_seed(SEED),
            did: Vec::new(),
            registry: None,
        }
    }
}

impl Model {
    pub(crate) fn after(mut self, step: &Step) -> Self {
        self.did.clear();
        self.registry = None;
        match step {
            Step::Command(command) => self.command(command),
            Step::LinkUp => {
                if let Link::Connecting { .. } = self.link {
                    self.link = Link::Greeting { until: self.now + 15 * SECOND };
                    self.does("> HELLO_P2P <1> <all>");
                }
            }
            Step::LinkLost => {
                if let Link::Leaving { logout, .. } = self.link {
                    self.left(logout);
                } else if self.has_link() {
                    self.lose_link(&RequestError::NoRegistry(WORDS.to_owned()), false);
                }
            }
            Step::Hello { welcome } => self.hello(*welcome),
            Step::Answer(answer) => self.answered(answer),
            Step::Push(push) => self.pushed(push),
            Step::Confirmed => {
                let now = self.now;
                if let Some(session) = self.session.as_mut().filter(|session| session.live) {
                    session.confirmed = Some(now);
                }
            }
            Step::StreamUp { stream } => self.stream_up(*stream),
            Step::StreamLost { stream } => self.stream_lost(*stream, false),
            Step::Dialled { host } => {
                self.open(Stream {
                    host: *host,
                    dialled: false,
                    connected: true,
                    heard: false,
                    peer: None,
                    sender: false,
                    chat: Chat::None,
                    idle: self.now + 10 * SECOND,
                    lanes: Default::default(),
                });
            }
            Step::Said { stream, what } => self.said(*stream, what),
            Step::Wait { millis } => {
                let end = self.now + millis * 1_000;
                while let Some((at, due)) = self.next().filter(|(at, _)| *at <= end) {
                    self.now = at;
                    self.is_due(due);
                }
                self.now = end;
            }
        }
        self
    }

    /// When something is due, and what.
    fn next(&self) -> Option<(Time, Due)> {
        let link = match self.link {
            Link::Paused { until }
            | Link::Connecting { until }
            | Link::Greeting { until }
            | Link::Leaving { until, .. } => Some(until),
            Link::Down | Link::Ready => None,
        };
        let live = self.session.as_ref().filter(|session| session.live);
        let mut all = vec![
            (link, Due::Link),
            (self.asked.front().map(|(_, until)| *until), Due::Reply),
            (live.map(|session| session.next_keep_alive), Due::KeepAlive),
            (live.and_then(|session| session.settled), Due::Settled),
        ];
        for (id, stream) in &self.streams {
            match stream.chat {
                Chat::None => all.push((Some(stream.idle), Due::Idle(*id))),
                Chat::Asked(_, until) | Chat::AskedUs(_, until) => {
                    all.push((Some(until), Due::ChatRequest(*id)));
                }
                Chat::Open => {}
            }
            for kind in [Kind::Direct, Kind::Broadcast] {
                let oldest = stream.lanes[kind as usize].ours.front();
                all.push((oldest.map(|(_, _, until)| *until), Due::Delivery(kind, *id)));
            }
        }
        all.into_iter().filter_map(|(at, due)| Some((at?, due))).min()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.next().map(|(at, _)| at)
    }

    fn is_due(&mut self, due: Due) {
        match due {
            Due::Link => match self.link {
                Link::Paused { .. } => self.dial_registry(),
                Link::Leaving { logout, .. } => {
                    self.does("disconnect");
                    self.left(logout);
                }
                _ => self.lose_link(&RequestError::NoRegistry(WORDS.to_owned()), true),
            },
            Due::Reply => {
                let (ask, _) = self.asked.pop_front().unwrap();
                if let Ask::Resume(by) = ask {
                    self.coming_back_may_have_worked(by);
                }
                self.failed(ask, &RequestError::TimedOut);
                self.lose_link(&RequestError::TimedOut, true);
            }
            Due::KeepAlive => self.keep_alive(),
            Due::Settled => {
                let session = self.session.as_mut().unwrap();
                (session.settled, session.failures) = (None, 0);
            }
            Due::Idle(stream) => self.stream_lost(stream, true),
            Due::ChatRequest(stream) => {
                if let Chat::Asked(commands, _) = self.streams[&stream].chat.clone() {
                    for command in commands {
                        self.fails(command, &RequestError::TimedOut);
                    }
                    self.streams.get_mut(&stream).unwrap().chat = Chat::None;
                }
                self.drop_stream(stream, true);
            }
            Due::Delivery(kind, stream) => {
                while let Some((command, _, until)) = self.lane(stream, kind).ours.front().copied()
                    && until <= self.now
                {
                    self.lane(stream, kind).ours.pop_front();
                    self.landed(stream, kind, command, Err(doubtful(&RequestError::TimedOut)));
                }
            }
        }
    }

    fn command(&mut self, command: &Command) {
        let is_known = match command {
            Command::Accept(newest) | Command::Reject(newest) => *newest < self.chat_requests.len(),
            Command::Confirm(newest) => {
                if let Some(receipt) = self.receipts.len().checked_sub(newest + 1) {
                    self.confirm(receipt);
                }
                false
            }
            _ => true,
        };
        if is_known {
            self.commands += 1;
            let id = self.commands - 1;
            if let Err(error) = self.begin(id, command) {
                self.fails(id, &error);
            }
        }
    }

    fn begin(&mut self, id: usize, command: &Command) -> Result<(), RequestError> {
        let me = self.session.as_ref().map(|_| "alice").ok_or(RequestError::NotLoggedIn);
        match *command {
            Command::Connect => self.when_ready(id, false),
            Command::Login if me.is_ok() => return Err(RequestError::AlreadyLoggedIn),
            Command::Login => self.when_ready(id, true),
            Command::Logout => {
                me?;
                let live = self.session.as_ref().unwrap().live;
                if live {
                    self.does("> LOGOUT <alice>");
                }
                self.end_session();
                self.lose_link(&RequestError::NotConnected, !live);
                match live {
                    true => self.link = Link::Leaving { until: self.now + 15 * SECOND, logout: id },
                    false => self.done(id),
                }
            }
            Command::Join(room) => {
                self.ask(&format!("JOIN_CHAT_ROOM <{room}> <> <increment>"), Ask::Join(id, room))?;
            }
            Command::Leave(room) => {
                self.ask(&format!("ROOM_EXIT <alice> <{room}>"), Ask::Leave(id, room))?;
            }
            Command::Members(room) => {
                self.ask(&format!("DISCOVER_PEERS <{room}>"), Ask::Members(room, Some(id)))?;
            }
            Command::Kick(room, user) => {
                self.ask(&format!("ROOM_KICK <{room}> <{user}>"), Ask::Kick(id, room, user))?
            }
            Command::Bans(room) => self.ask(&format!("ROOM_BANS <{room}>"), Ask::Bans(id))?,
            Command::Chat(user) => {
                if me? == user {
                    return Err(RequestError::Refused(Some(WORDS.to_owned())));
                }
                match self.chats.contains_key(user) {
                    true => self.done(id),
                    false => self.reach(user, Want::Chat(id)),
                }
            }
            Command::HangUp(user) => {
                let streams = self.streams.iter().filter(|(_, stream)| {
                    stream.peer == Some(user) && matches!(stream.chat, Chat::Open | Chat::Asked(..))
                });
                let streams: Vec<_> = streams.map(|(id, _)| *id).collect();
                if streams.is_empty() {
                    return Err(RequestError::NoChat);
                }
                for stream in streams {
                    self.drop_stream(stream, true);
                }
                self.done(id);
            }
            Command::Send(user, text) => {
                me?;
                let stream = *self.chats.get(user).ok_or(RequestError::NoChat)?;
                let until = self.now + 10 * SECOND;
                self.lane(stream, Kind::Direct).ours.push_back((id, text, until));
                self.writes(stream, &format!("DIRECT_MESSAGE <alice> <{user}> {text}"));
            }
            Command::Broadcast(room, text) => {
                me?;
                let known = self.rooms.get(room).ok_or(RequestError::NotAMember)?.known;
                let (pending, told, untold) = (Vec::new(), Vec::new(), Vec::new());
                self.broadcasts.insert(id, Broadcast { room, text, pending, told, untold });
                if known {
                    self.broadcast(id);
                    return Ok(());
                }
                self.refresh(room);
                let room = self.rooms.get_mut(room).unwrap();
                if !room.asked {
                    self.broadcasts.remove(&id);
                    return Err(RequestError::NotConnected);
                }
                room.waiting.push(id);
            }
            Command::Accept(newest) => {
                let number = self.chat_requests.len() - 1 - newest;
                let stream = self.chat_requests[number].take().ok_or(RequestError::NoSuchRequest)?;
                self.accept(stream);
                self.done(id);
            }
            Command::Reject(newest) => {
                me?;
                let number = self.chat_requests.len() - 1 - newest;
                let stream = self.chat_requests[number].take().ok_or(RequestError::NoSuchRequest)?;
                self.streams.get_mut(&stream).unwrap().chat = Chat::None;
                self.writes(stream, "CHAT_REQUEST_RESPONSE <REJECT> <404> <alice>");
                self.done(id);
            }
            Command::Confirm(_) => unreachable!("it has no end"),
        }
        Ok(())
    }
}

impl Model {
    fn does(&mut self, what: &str) {
        self.did.push(what.to_owned());
    }

    fn done(&mut self, command: usize) {
        self.does(&format!("c{command} Done"));
    }

    fn fails(&mut self, command: usize, error: &RequestError) {
        self.does(&format!("c{command} {error:?}"));
    }

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.link, Link::Connecting { .. })
    }

    pub(crate) fn is_greeting(&self) -> bool {
        matches!(self.link, Link::Greeting { .. })
    }

    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.link, Link::Leaving { .. })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link == Link::Ready
    }

    pub(crate) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    pub(crate) fn is_coming_back(&self) -> bool {
        matches!(self.asked.front(), Some((Ask::Resume(_), _)))
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.live)
    }

    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    pub(crate) fn chats(&self) -> Vec<Name> {
        self.chats.keys().copied().collect()
    }

    /// Each room, and who is known to be in it.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = (Name, &[Name])> {
        self.rooms.iter().map(|(name, room)| (*name, &room.members[..]))
    }

    /// Each open stream, its other end's host, and whether it is connected.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (usize, u8, bool)> {
        self.streams.iter().map(|(id, stream)| (*id, stream.host, stream.connected))
    }
}
