//! The registry of PROTOCOL.md §5 as a few maps: what each step makes whom hear, and nothing of how a machine does it.

mod contacts;
mod invites;
mod keep_alive;
mod lists;
mod moderation;
mod resume;
mod rooms;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
};

use self::{
    contacts::Ties,
    invites::Invite,
    keep_alive::Ticket,
    resume::{Tokens, in_auth},
};
use crate::steps::{Act, Request, SLOTS, Step};

pub(crate) use self::resume::TOKEN_SECONDS;

pub(crate) const ROOMS_PER_USER: usize = 2;
pub(crate) const BANS_PER_ROOM: usize = 2;
pub(crate) const SECOND: u64 = 1_000_000;
/// Stands at a line's end for any reason (§3.3: no fixed wording).
pub(crate) const REASON: &str = " <…>";

/// Microseconds since the beginning.
type Time = u64;
/// A name as names are compared.
type Key = String;
type Name = &'static str;

/// What the registry's operator has settled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    pub(crate) by_invitation: bool,
    /// Where users are is told to members of a shared room and to contacts alone.
    pub(crate) hidden: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) rules: Rules,
    pub(crate) now: Time,
    pub(crate) rooms: BTreeMap<Key, Room>,
    /// By slot, and beyond the slots what is left of streams whose sessions wait for their users.
    pub(crate) streams: BTreeMap<usize, Stream>,
    /// Requests whose questions to store or hash have not been answered, in the order of asking.
    pub(crate) unanswered: Vec<Unanswered>,
    accounts: BTreeMap<Key, Account>,
    opened: usize,
    tokens: BTreeMap<Key, Tokens>,
    tokens_made: u64,
    invites: BTreeMap<u64, Invite>,
    pub(crate) invites_made: u64,
    ties: Ties,
    /// Streams whose sessions have none yet.
    tickets_due: Vec<(usize, usize)>,
    /// How many streams ended and left a session.
    gone: usize,
    /// What the last step made be sent on each stream, in order.
    pub(crate) sent: BTreeMap<usize, Vec<String>>,
    pub(crate) datagrams: Vec<(SocketAddr, String)>,
}

#[derive(Debug, Clone)]
struct Account {
    name: &'static str,
    password: &'static str,
    /// In the order of joining.
    rooms: Vec<Key>,
}

#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) name: &'static str,
    pub(crate) capacity: usize,
    pub(crate) members: BTreeSet<Key>,
    about: &'static str,
    password: Option<&'static str>,
    owner: Key,
    /// The members, those that joined first at the front.
    seniority: Vec<Key>,
    bans: BTreeMap<Key, &'static str>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stream {
    /// Which of all streams that there have been.
    serial: usize,
    /// As it was told; see [`place`](Model::place) for what is shown.
    pub(crate) ip: Name,
    prototype: bool,
    /// There is nobody to be told anything.
    pub(crate) gone: bool,
    pub(crate) greeted: bool,
    capabilities: Vec<&'static str>,
    heard: Time,
    pub(crate) session: Option<Session>,
    /// Requests that wait for the one before them.
    waiting: Option<VecDeque<Request>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) user: Key,
    port: u16,
    lease: u64,
    pub(crate) ends: Time,
    first_datagram: Option<SocketAddr>,
    answered: Option<Time>,
    /// The one that was given out for it.
    token: Option<u64>,
    ticket: Option<Ticket>,
}

#[derive(Debug, Clone)]
pub(crate) struct Unanswered {
    slot: usize,
    serial: usize,
    /// When.
    asked: Time,
    user: Option<Key>,
    /// The session's.
    token: Option<u64>,
    request: Request,
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    pub(crate) fn after(mut self, step: &Step) -> Self {
        self.sent.clear();
        self.datagrams.clear();
        match step {
            Step::Wait { millis } => self.pass(self.now + millis * 1_000),
            Step::Connect { slot, ip, prototype } => {
                self.turn_of(*slot);
                if !self.streams.contains_key(slot) {
                    self.opened += 1;
                    let stream = Stream {
                        serial: self.opened,
                        ip,
                        prototype: *prototype,
                        gone: false,
                        greeted: false,
                        capabilities: Vec::new(),
                        heard: self.now,
                        session: None,
                        waiting: None,
                    };
                    self.streams.insert(*slot, stream);
                }
            }
            Step::Disconnect { slot } => {
                self.turn_of(*slot);
                self.hang_up(*slot);
            }
            Step::Say { slot, request, late } => {
                self.turn_of(*slot);
                let now = self.now;
                if let Some(stream) = self.streams.get_mut(slot) {
                    stream.heard = now;
                    match &mut stream.waiting {
                        Some(waiting) => waiting.push_back(request.clone()),
                        None => self.begin(*slot, request, *late),
                    }
                }
            }
            Step::Answer { nth } => self.answer(*nth),
            Step::KeepAlive { user, from, timeout } => self.keep_alive(user, *from, *timeout),
            Step::Invite { uses, lasts } => self.invite(*uses, *lasts),
            Step::Revoke { number } => drop(self.invites.remove(number)),
            Step::Proven { user, from, timeout, ticket } => self.proven(user, *from, *timeout, *ticket),
            Step::Restart => {
                self.streams.clear();
                self.ties = Ties::default();
                self.unanswered.clear();
            }
        }
        self.give_tickets();
        self
    }

    /// Moves on to the slot's own next microsecond, so that no two leases end at once: nobody says whose ends first.
    fn turn_of(&mut self, slot: usize) {
        let next = (self.now / 8 + 1) * 8 + slot as u64;
        self.pass(next);
    }

    fn pass(&mut self, until: Time) {
        loop {
            let ends = self.streams.iter().filter_map(|(slot, s)| Some((s.session.as_ref()?.ends, *slot)));
            let Some((at, slot)) = ends.min().filter(|(at, _)| *at <= until) else { break };
            self.now = at;
            self.time_out(slot);
            self.end(slot);
        }
        self.now = until;
    }

    /// A request's turn. What needs an answer of store or hash comes to its end in [`Self::finish`].
    fn begin(&mut self, slot: usize, request: &Request, late: bool) {
        if !self.is_settled_at_once(slot, request) {
            self.give_tickets();
            let Stream { serial, session, .. } = &self.streams[&slot];
            let user = session.as_ref().map(|session| session.user.clone());
            let token = session.as_ref().and_then(|session| session.token);
            let (serial, asked) = (*serial, self.now);
            let asked = Unanswered { slot, serial, asked, user, token, request: request.clone() };
            if late {
                self.unanswered.push(asked);
                self.streams.get_mut(&slot).unwrap().waiting = Some(VecDeque::new());
            } else {
                self.finish(asked);
            }
        }
    }

    fn is_settled_at_once(&mut self, slot: usize, request: &Request) -> bool {
        let stream = &self.streams[&slot];
        let greeted = stream.greeted;
        let me = stream.session.as_ref().map(|session| session.user.clone());
        let is_mine = |name: &str| me.as_ref() == Some(&key(name));
        match request {
            Request::Hello { capabilities } => self.hello(slot, *capabilities),
            Request::Foreign => {
                self.refuse(slot, request);
                self.end(slot);
            }
            Request::Malformed => self.refuse(slot, request),
            _ if !greeted => self.refuse(slot, request),
            Request::Register { invite, .. } if self.is_uninvited(slot, *invite) => {
                self.refuse(slot, request)
            }
            Request::Register { .. } => return false,
            Request::Login { user, .. } | Request::Resume { user, .. } if is_mine(user) => {
                self.say_why(slot, "AUTH <ONLINE> <300>")
            }
            Request::Login { .. } if me.is_none() => return false,
            Request::Resume { .. } if me.is_none() && self.has(slot, "resume") => return false,
            Request::Login { .. } | Request::Resume { .. } => self.refuse(slot, request),
            _ if me.is_none() => self.refuse(slot, request),
            Request::Logout { user: Some(user) }
            | Request::Exit { user, .. }
            | Request::Peers { asker: Some(user), .. }
                if !is_mine(user) =>
            {
                self.refuse(slot, request);
            }
            Request::Logout { .. } if stream.session.as_ref().unwrap().token.is_some() => return false,
            Request::Logout { .. } => self.end(slot),
            Request::Peers { detailed, .. } => self.peers(slot, *detailed),
            Request::Members { room } | Request::Exit { room, .. } if !self.is_member(&me, room) => {
                self.refuse(slot, request);
            }
            Request::Members { room } => self.members(slot, room),
            Request::Join { room, .. } if self.is_member(&me, room) => self.say(slot, "JOIN <SUCCESS> <200>"),
            Request::Join { .. } | Request::Create { .. } if self.is_in_enough_rooms(&me) => {
                self.refuse(slot, request);
            }
            Request::Moderate { room, act } if !self.may_moderate(slot, room, act) => {
                self.refuse(slot, request);
            }
            Request::Bans { room } if !(self.has(slot, "moderate") && self.is_member(&me, room)) => {
                self.refuse(slot, request);
            }
            Request::Contact { user } => self.ask_contact(slot, request, user),
            Request::ContactAnswer { user, accepted } => self.answer_contact(slot, request, user, *accepted),
            Request::Search { user } if self.online(&key(user)).is_some() => self.search(slot, user),
            _ => return false,
        }
        true
    }

    /// Store and hash have answered all that there was to ask about a request; those that waited for it have their
    /// turn.
    fn answer(&mut self, nth: usize) {
        if self.unanswered.is_empty() {
            return;
        }
        let asked = self.unanswered.remove(nth % self.unanswered.len());
        let (slot, serial) = (asked.slot, asked.serial);
        self.turn_of(slot);
        self.finish(asked);
        let mut waiting =
            self.stream(slot, serial).and_then(|stream| stream.waiting.take()).unwrap_or_default();
        while let Some(request) = waiting.pop_front()
            && self.streams.contains_key(&slot)
        {
            self.begin(slot, &request, false);
        }
    }

    fn stream(&mut self, slot: usize, serial: usize) -> Option<&mut Stream> {
        self.streams.get_mut(&slot).filter(|stream| stream.serial == serial)
    }

    fn finish(&mut self, asked: Unanswered) {
        if matches!(asked.request, Request::Logout { .. }) {
            return self.log_out(&asked);
        }
        let Unanswered { slot, serial, asked, user, request, .. } = asked;
        let is_there = self.stream(slot, serial).is_some();
        // Nobody waits for the answer any more; but the store had been asked for the change already.
        let is_done_anyway = match &request {
            Request::Exit { .. } | Request::Create { password: None, .. } => true,
            Request::Moderate { act, .. } => !matches!(act, Act::Password { password: Some(_) }),
            _ => false,
        };
        if !is_there && !is_done_anyway {
            // The token that it was to be answered with is made.
            self.tokens_made += u64::from(matches!(request, Request::Resume { .. }));
            return;
        }
        let reply = match &request {
            Request::Register { user, password, invite } => self.register(asked, user, password, *invite),
            Request::Login { user, password, port } => {
                return self.log_in(slot, &request, user, password, *port);
            }
            Request::Resume { user, token, port } => {
                return self.resume(slot, &request, user, *token, port.unwrap_or(0));
            }
            Request::Create { room, password, capacity } => {
                self.create(&user.unwrap(), room, *password, *capacity)
            }
            Request::Join { room, password } => self.join(&user.unwrap(), room, *password),
            Request::Exit { room, .. } => self.exit(&user.unwrap(), room),
            Request::Moderate { room, act } => self.moderate(&user.unwrap(), room, act),
            Request::Bans { room } => self.bans(&user.unwrap(), room),
            Request::Rooms { detailed } => self.list(*detailed),
            Request::Search { user } => return self.search(slot, user),
            other => unreachable!("{other:?} asks nobody"),
        };
        match reply {
            _ if !is_there => {}
            Ok(reply) => self.say(slot, &reply),
            Err(reply) => self.say_why(slot, reply),
        }
    }

    fn hello(&mut self, slot: usize, capabilities: Option<&'static str>) {
        let stream = self.streams.get_mut(&slot).unwrap();
        let capabilities = capabilities.filter(|_| !stream.prototype);
        stream.greeted = true;
        let offered = [("invite", self.rules.by_invitation), ("contact", self.rules.hidden)];
        let offered = offered.into_iter().filter(|(_, is_of_use)| *is_of_use).map(|(word, _)| word);
        // With `retry` no time is ever named: no limit is reached here.
        stream.capabilities = ["reason", "roster", "sender", "resume", "moderate", "ticket", "retry"]
            .into_iter()
            .chain(offered)
            .filter(|word| capabilities.is_some_and(|asked| asked.contains(word)))
            .collect();
        let reply = match (stream.prototype, capabilities) {
            (true, _) => "HELLO_BACK SUCCESS 200".to_owned(),
            (false, None) => "HELLO_BACK <SUCCESS> <200>".to_owned(),
            (false, Some(_)) => {
                format!("HELLO_BACK <SUCCESS> <200> <1> <{}>", stream.capabilities.join(","))
            }
        };
        self.say(slot, &reply);
    }

    fn log_in(&mut self, slot: usize, request: &Request, user: &str, password: &str, port: Option<u16>) {
        let user = key(user);
        if self.accounts.get(&user).is_none_or(|account| account.password != password) {
            return self.refuse(slot, request);
        }
        if let Some(old) = self.online(&user) {
            let Stream { heard, session, .. } = &self.streams[&old];
            let is_silent = (self.now - heard) * 3 >= session.as_ref().unwrap().lease;
            if !is_silent && !self.streams[&old].gone {
                if self.has(slot, "resume") {
                    self.tokens_made += 1;
                }
                return self.say_why(slot, "AUTH <ONLINE> <300>");
            }
        }
        let token = self.give_token(slot, &user);
        self.replace_session(&user);
        self.begin_session(slot, &user, port.unwrap_or(0), token, false);
    }

    /// Ends a session whose user stays online: nobody else is told.
    fn replace_session(&mut self, user: &Key) {
        let Some(old) = self.online(user) else { return };
        if self.has(old, "resume") {
            let name = self.place(old).0;
            self.say(old, &format!("REPLACED <{name}>"));
        } else {
            self.time_out(old);
        }
        self.streams.remove(&old);
    }

    /// `goes_on`: others have seen the user there.
    fn begin_session(&mut self, slot: usize, user: &Key, port: u16, token: Option<u64>, goes_on: bool) {
        if goes_on {
            self.ties_go_on(user);
        } else {
            self.ties.end(user);
        }
        let (now, lease) = (self.now, 10 * SECOND);
        let stream = self.streams.get_mut(&slot).unwrap();
        stream.heard = now;
        stream.session = Some(Session {
            user: user.clone(),
            port,
            lease,
            ends: now + lease,
            first_datagram: None,
            answered: None,
            token,
            ticket: None,
        });
        self.say(slot, &format!("AUTH <SUCCESS> <200>{}", in_auth(token)));
        self.ticket_is_due(slot);
        for room in self.accounts[user].rooms.clone() {
            let push = format!("USER_JOINED <{}> <{}>", self.rooms[&room].name, self.accounts[user].name);
            if self.has(slot, "roster") {
                self.say(slot, &push);
            }
            if !goes_on {
                self.push(&[room], user, Some("roster"), &push);
            }
        }
    }

    /// TIMEOUT on both links (§4.14).
    fn time_out(&mut self, slot: usize) {
        let name = self.place(slot).0;
        let stream = &self.streams[&slot];
        let reply = if stream.prototype { format!("TIMEOUT {name}") } else { format!("TIMEOUT <{name}>") };
        if let Some(to) = stream.session.as_ref().unwrap().first_datagram {
            self.datagrams.push((to, format!("TIMEOUT <{name}>")));
        }
        self.say(slot, &reply);
    }

    /// The stream is closed, by either end.
    fn end(&mut self, slot: usize) {
        let user = self.user(slot);
        self.streams.remove(&slot);
        if let Some(user) = user {
            self.ties.end(&user);
            let Account { name, rooms, .. } = self.accounts[&user].clone();
            self.push(&rooms, &user, None, &format!("USER_LOGOUT <{name}>"));
        }
    }

    /// Tells each member of the rooms who is online, once, but the user whom it is about and the prototype.
    fn push(&mut self, rooms: &[Key], about: &Key, capability: Option<&str>, line: &str) {
        let members: BTreeSet<_> = rooms.iter().flat_map(|room| &self.rooms[room].members).collect();
        let members = members.into_iter().filter(|member| *member != about);
        let told: Vec<_> = members.filter_map(|member| self.online(member)).collect();
        for slot in told {
            if !self.streams[&slot].prototype && capability.is_none_or(|word| self.has(slot, word)) {
                self.say(slot, line);
            }
        }
    }

    fn say(&mut self, slot: usize, line: &str) {
        if self.streams.get(&slot).is_some_and(|stream| stream.gone) {
            return;
        }
        self.sent.entry(slot).or_default().push(line.to_owned());
    }

    /// Says anything but a success: with a reason to who asked for reasons.
    fn say_why(&mut self, slot: usize, line: &str) {
        let reason = if self.has(slot, "reason") { REASON } else { "" };
        self.say(slot, &format!("{line}{reason}"));
    }

    fn refuse(&mut self, slot: usize, request: &Request) {
        self.say_why(
            slot,
            match request {
                Request::Register { .. } => "REGISTER <FAILURE> <404>",
                Request::Login { .. } | Request::Resume { .. } => "AUTH <FAILURE> <404>",
                Request::Create { .. } => "CREATION <FAILURE> <404>",
                Request::Join { .. } | Request::Malformed => "JOIN <FAILURE> <404>",
                Request::Exit { .. } => "ROOM_EXIT_RESPONSE <FAILURE> <404>",
                Request::Rooms { .. } => "ROOMS_LIST <NOT_FOUND> <404>",
                Request::Search { .. } => "SEARCH_USER_RESPONSE <NOT_FOUND> <404>",
                Request::Peers { .. } | Request::Members { .. } => "PEER_LIST <FAILURE> <404>",
                Request::Moderate { .. } => "MODERATION <FAILURE> <404>",
                Request::Contact { .. } | Request::ContactAnswer { .. } => "CONTACT <FAILURE> <404>",
                Request::Bans { .. } => "BAN_LIST <FAILURE> <404>",
                _ if self.streams[&slot].prototype => "HELLO_BACK FAILURE 404",
                Request::Hello { .. } | Request::Logout { .. } | Request::Foreign => {
                    "HELLO_BACK <FAILURE> <404>"
                }
            },
        );
    }

    fn user(&self, slot: usize) -> Option<Key> {
        Some(self.streams.get(&slot)?.session.as_ref()?.user.clone())
    }

    fn online(&self, user: &Key) -> Option<usize> {
        self.streams.keys().copied().find(|slot| self.user(*slot).as_ref() == Some(user))
    }

    fn has(&self, slot: usize, capability: &str) -> bool {
        self.streams.get(&slot).is_some_and(|stream| stream.capabilities.contains(&capability))
    }

    fn is_member(&self, user: &Option<Key>, room: &str) -> bool {
        let (Some(user), Some(room)) = (user, self.rooms.get(&key(room))) else { return false };
        room.members.contains(user)
    }

    fn is_in_enough_rooms(&self, user: &Option<Key>) -> bool {
        user.as_ref().is_some_and(|user| self.accounts[user].rooms.len() >= ROOMS_PER_USER)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = Name> {
        self.accounts.values().map(|account| account.name)
    }

    pub(crate) fn name(&self, user: &Key) -> Name {
        self.accounts[user].name
    }
}

/// A success, or else what may carry a reason.
type Reply = Result<String, &'static str>;

/// An address, whichever way it is written.
fn address(ip: &str) -> IpAddr {
    ip.parse::<IpAddr>().unwrap().to_canonical()
}

/// What a name looks like: two Cyrillic letters look like Latin ones.
fn look(name: &str) -> String {
    name.replace('а', "a").replace('е', "e")
}

fn key(name: &str) -> Key {
    name.to_lowercase()
}
