//! What the registry may say and must: a model of sessions, leases and pushes that sees what goes in and what comes out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    num::NonZeroU64,
    sync::Arc,
    time::Duration,
};

use p2pchat_core::{
    Time,
    registry::{
        ConnId, HashAnswer, InviteDigest, Stats,
        store::{StoreAnswer, StoreRequest, Write},
    },
};
use p2pchat_proto::{
    Capabilities, Capability, FromRegistry, FromRegistryDatagram, HelloReply, Message, RoomChange, RoomName,
    SessionTicket, ToRegistry, ToRegistryDatagram, Username, Verb,
};

use p2pchat_examples::truth::Truth;

use self::contacts::Ties;

pub(crate) use self::contacts::Counts;

mod contacts;
mod pushes;
mod replies;

const DEFAULT_LEASE: Duration = Duration::from_secs(10);
const LEASES: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(120)];
/// How long a session waits without a stream.
const RESUME_GRACE: Duration = Duration::from_secs(10);
/// How late a lease may be noticed to have ended.
const TICK: Duration = Duration::from_millis(1);

type Checked = Result<(), String>;

/// Why the registry does what it does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The store has told the rooms of a user whose session is about to begin, and may replace another.
    Login(Username, Vec<RoomName>),
    /// The same for one who has a token: it goes on if there is one.
    Resume(Username, Vec<RoomName>),
    Time,
    Disconnected,
    Other,
}

/// What the registry's operator has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    /// Who isn't invited can't register.
    pub(crate) by_invitation: bool,
    /// Where users are is told to members of a shared room and to contacts alone.
    pub(crate) hidden: bool,
}

#[derive(Default)]
pub(crate) struct Judge {
    pub(crate) truth: Truth,
    rules: Rules,
    conns: BTreeMap<ConnId, Conn>,
    live: BTreeMap<Username, Live>,
    cause: Option<Cause>,
    /// Whose session was replaced in this step, and in which rooms they were seen.
    replaced: Option<(Username, BTreeSet<RoomName>)>,
    /// Whose sessions the store has been asked to open, and how often.
    opening: BTreeMap<Username, u32>,
    /// Whose of these by their password.
    by_password: BTreeSet<Username>,
    /// The slow hash that the password of who joins in this step was compared with.
    compared: Option<Option<Arc<str>>>,
    ties: Ties,
    pub(crate) contacts: Counts,
    /// How many accounts each invitation was said to have made, and how many registrations were refused for their code.
    invited: BTreeMap<InviteDigest, u32>,
    pub(crate) not_invited: u64,
    /// The store or the hash has given a reason for a registration not to be taken in this step.
    grounds: bool,
    pushes_due: Vec<(ConnId, FromRegistry)>,
    pushes_seen: Vec<(ConnId, FromRegistry)>,
    pub(crate) checked: u64,
    /// How many sessions ended with their lease, how many were taken over, and how many began or went on by a token.
    pub(crate) ended: [u64; 3],
    /// How many sessions went on without a stream.
    pub(crate) parked: u64,
}

struct Conn {
    remote: SocketAddr,
    capabilities: Capabilities,
    /// What has not been answered.
    asked: VecDeque<ToRegistry>,
    user: Option<Username>,
    heard: Time,
    /// What was refused last was a logout.
    leaves: bool,
}

struct Live {
    conn: ConnId,
    remote: SocketAddr,
    /// Something brings it back on another stream.
    token: bool,
    line: Line,
    /// Their program can be asked for contact, unless they wait.
    can_be_asked: bool,
    port: u16,
    rooms: BTreeSet<RoomName>,
    lease: Duration,
    deadline: Time,
    datagrams: Option<SocketAddr>,
    /// What keep-alives have to prove, and the largest number of one that has.
    ticket: Option<(SessionTicket, u64)>,
}

/// What a session has of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    /// It has ended, and the session waits for a while.
    Broken,
    /// Its user does without.
    Parked,
}

impl Live {
    fn waits(&self) -> bool {
        self.line == Line::Broken
    }

    fn has_stream(&self) -> bool {
        self.line == Line::Open
    }
}

impl Judge {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, truth: Truth::new(rules.by_invitation), ..Self::default() }
    }

    /// How many accounts were made by invitation.
    pub(crate) fn invited(&self) -> u64 {
        self.invited.values().copied().map(u64::from).sum()
    }

    /// Who is online.
    pub(crate) fn is_online(&self, username: &Username) -> bool {
        self.live.contains_key(username)
    }

    /// The members of a room that are online.
    pub(crate) fn present(&self, room: &RoomName) -> BTreeSet<Username> {
        let present = self.live.iter().filter(|(_, live)| live.rooms.contains(room));
        present.map(|(username, _)| username.clone()).collect()
    }

    pub(crate) fn begin(&mut self, cause: Cause) {
        self.cause = Some(cause);
    }

    pub(crate) fn connected(&mut self, now: Time, conn: ConnId, remote: SocketAddr) {
        let capabilities = Capabilities::NONE;
        let new =
            Conn { remote, capabilities, asked: VecDeque::new(), user: None, heard: now, leaves: false };
        self.conns.insert(conn, new);
    }

    /// A request is handed to the registry.
    pub(crate) fn asked(&mut self, now: Time, conn: ConnId, message: &ToRegistry) {
        let Some(view) = self.conns.get_mut(&conn) else { return };
        view.heard = now;
        if let ToRegistry::Hello { extensions } = message {
            let known = extensions.map_or(Capabilities::NONE, |extensions| extensions.capabilities);
            let Rules { by_invitation, hidden } = self.rules;
            let is_of_use = |capability: &Capability| match capability {
                Capability::Invite => by_invitation,
                Capability::Contact => hidden,
                _ => true,
            };
            view.capabilities = known.iter().filter(is_of_use).collect();
        }
        view.asked.push_back(message.clone());
    }

    /// A keep-alive is handed to the registry.
    pub(crate) fn kept_alive(&mut self, now: Time, from: SocketAddr, datagram: &ToRegistryDatagram) {
        let (username, timeout, sequence) = match datagram {
            ToRegistryDatagram::KeepAlive { username, timeout } => (username, *timeout, None),
            ToRegistryDatagram::ProvenKeepAlive { username, timeout, sequence, .. } => {
                (username, Some(*timeout), Some(sequence.get()))
            }
            _ => return,
        };
        let Some(live) = self.live.get_mut(username).filter(|live| !live.waits()) else { return };
        let conn = self.conns.get_mut(&live.conn);
        match (&mut live.ticket, sequence) {
            (Some((ticket, last)), Some(sequence)) if sequence > *last && datagram.proves(ticket) => {
                *last = sequence;
                live.datagrams = Some(from);
            }
            (None, None) if live.remote.ip() == from.ip() => {}
            _ => return,
        }
        if let Some(conn) = conn {
            conn.heard = now;
        }
        let asked = timeout.map_or(DEFAULT_LEASE, |seconds| Duration::from_secs(seconds.into()));
        let asked = asked.clamp(LEASES[0], LEASES[1]);
        let first = *live.datagrams.get_or_insert(from);
        live.lease = if first == from { asked } else { asked.max(live.lease) };
        live.deadline = now + live.lease;
    }

    /// The registry asks the store. With the password alone nobody takes a session over that isn't silent.
    pub(crate) fn asks_store(&mut self, now: Time, request: &StoreRequest) -> Checked {
        let StoreRequest::Write(request) = request else { return Ok(()) };
        if let Write::OpenSession { username, .. } = request {
            let is_silent = |live: &Live| {
                let heard = self.conns.get(&live.conn).map(|conn| conn.heard);
                !live.has_stream() || heard.is_none_or(|heard| now.since(heard) >= live.lease / 3)
            };
            if !self.live.get(username).is_none_or(is_silent) || !self.by_password.insert(username.clone()) {
                return Err(format!("{username}'s session is to be replaced, and isn't silent"));
            }
        }
        if let Write::OpenSession { username, .. } | Write::ResumeSession { username, .. } = request {
            *self.opening.entry(username.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// The store's answer is handed to the registry.
    pub(crate) fn stored(&mut self, request: &StoreRequest, answer: &StoreAnswer) {
        self.grounds |=
            matches!(answer, StoreAnswer::Failed(_) | StoreAnswer::Invite(false) | StoreAnswer::NoSuchInvite);
        let StoreRequest::Write(request) = request else { return };
        if let (Write::JoinRoom { password, .. }, StoreAnswer::Joined { .. }) = (request, answer) {
            self.compared = Some(password.clone());
        }
        if let Write::OpenSession { username, .. } = request {
            self.by_password.remove(username);
        }
        if let Write::OpenSession { username, .. } | Write::ResumeSession { username, .. } = request
            && let Some(count) = self.opening.get_mut(username)
        {
            *count -= 1;
            if *count == 0 {
                self.opening.remove(username);
            }
        }
        match (request, answer) {
            (
                Write::CreateRoom { owner: username, .. } | Write::JoinRoom { username, .. },
                StoreAnswer::Joined { room },
            ) => {
                if let Some(live) = self.live.get_mut(username)
                    && live.rooms.insert(room.clone())
                {
                    self.expect_joined(room, username);
                }
            }
            (Write::LeaveRoom { username, .. }, StoreAnswer::Left { room, heir }) => {
                if let Some(live) = self.live.get_mut(username) {
                    live.rooms.remove(room);
                }
                let message = FromRegistry::UserLeft { room: room.clone(), username: username.clone() };
                self.expect(&[room.clone()].into(), username, Some(Capability::Roster), &message);
                if let Some(heir) = heir {
                    self.expect_change(room, username, RoomChange::Owner(heir.clone()));
                }
            }
            (Write::Moderate { by, action, .. }, StoreAnswer::Moderated { room, user, removed }) => {
                self.moderated(by, action, room, user.as_ref().filter(|_| *removed));
            }
            _ => {}
        }
    }

    /// The hash's answer is handed to the registry.
    pub(crate) fn hashed(&mut self, answer: &HashAnswer) {
        self.grounds |= matches!(answer, HashAnswer::Busy);
    }

    fn has(&self, conn: ConnId, capability: Option<Capability>) -> bool {
        let capabilities = self.conns.get(&conn).map(|conn| conn.capabilities);
        capability.is_none_or(|wanted| capabilities.is_some_and(|capabilities| capabilities.has(wanted)))
    }

    /// The registry says something.
    pub(crate) fn said(&mut self, now: Time, conn: ConnId, message: &FromRegistry) -> Checked {
        match message {
            FromRegistry::UserJoined { .. }
            | FromRegistry::UserLeft { .. }
            | FromRegistry::UserLogout { .. }
            | FromRegistry::RoomKicked { .. }
            | FromRegistry::RoomBanned { .. }
            | FromRegistry::RoomChanged { .. }
            | FromRegistry::ContactRequest { .. }
            | FromRegistry::ContactResponse { .. } => {
                if let FromRegistry::UserLogout { username } = message {
                    self.stop_waiting(now, username);
                }
                self.pushes_seen.push((conn, message.clone()));
                Ok(())
            }
            FromRegistry::Timeout { username } | FromRegistry::Replaced { username } => {
                let is_theirs =
                    self.live.get(username).is_some_and(|live| live.conn == conn && live.has_stream());
                let is_replaced = self.has(conn, Some(Capability::Resume)) && self.replaces(username);
                match is_theirs && is_replaced == (message.verb() == Verb::Replaced) {
                    true => Ok(()),
                    false => Err(format!("the registry says {message:?} on {conn:?}")),
                }
            }
            // Stands before a refusal.
            FromRegistry::RetryAfter { .. } => match self.has(conn, Some(Capability::Retry)) {
                true => Ok(()),
                false => Err("the registry names a time to who hasn't asked for any".to_owned()),
            },
            FromRegistry::Ticket { ticket } => {
                match self.live.values_mut().find(|live| live.conn == conn) {
                    Some(live) if live.ticket.is_none() => live.ticket = Some((ticket.clone(), 0)),
                    _ => return Err("the registry gives a ticket where none is due".to_owned()),
                }
                if self.has(conn, Some(Capability::Ticket)) {
                    Ok(())
                } else {
                    Err("the registry gives a ticket to who hasn't asked for any".to_owned())
                }
            }
            // Refuses what has no refusal of its own, and a stream that is closed for it.
            FromRegistry::Hello(HelloReply::Failure { .. }) => {
                if let Some(view) = self.conns.get_mut(&conn) {
                    // Who can't be logged out properly is told so, and is out all the same.
                    view.leaves = matches!(view.asked.pop_front(), Some(ToRegistry::Logout { .. }));
                }
                Ok(())
            }
            reply => self.replied(now, conn, reply),
        }
    }

    /// True if the user's session gives way to another in this step.
    fn replaces(&self, username: &Username) -> bool {
        matches!(&self.cause, Some(Cause::Login(user, _) | Cause::Resume(user, _)) if user == username)
    }

    fn take_if(&mut self, username: &Username, condition: impl FnOnce(&Live) -> bool) -> Option<Live> {
        self.live.get(username).is_some_and(condition).then(|| self.live.remove(username)).flatten()
    }

    /// The user has not come back in time.
    fn stop_waiting(&mut self, now: Time, username: &Username) {
        let is_over = |live: &Live| !live.has_stream() && live.deadline <= now;
        if let Some(live) = self.take_if(username, is_over) {
            self.ended[0] += 1;
            self.ties.end(username);
            let message = FromRegistry::UserLogout { username: username.clone() };
            self.expect(&live.rooms, username, None, &message);
        }
    }

    fn logged_in(&mut self, now: Time, conn: ConnId, username: &Username, port: u16, token: bool) -> Checked {
        let without_stream = self.take_if(username, |live| !live.has_stream());
        let parked = without_stream.as_ref().is_some_and(|live| live.line == Line::Parked);
        if let Some(live) = without_stream {
            self.replaced = Some((username.clone(), live.rooms));
        }
        if self.is_online(username) {
            return Err(format!("{username} has two live sessions"));
        }
        if let Some(view) = self.conns.get_mut(&conn) {
            view.user = Some(username.clone());
            view.heard = now;
        }
        let (rooms, goes_on) = match &self.cause {
            Some(Cause::Login(user, rooms)) if user == username => (rooms.clone(), None),
            Some(Cause::Resume(user, rooms)) if user == username => {
                self.ended[2] += 1;
                (rooms.clone(), self.replaced.as_ref().map(|(_, rooms)| rooms.clone()))
            }
            _ => return Err(format!("{username} is logged in without their rooms")),
        };
        match &goes_on {
            Some(_) if parked => self.ties_are_told(conn, username),
            Some(_) => self.ties_go_on(username),
            None => self.ties.end(username),
        }
        let Some(remote) = self.conns.get(&conn).map(|conn| conn.remote) else { return Ok(()) };
        let live = Live {
            conn,
            remote,
            token,
            line: Line::Open,
            can_be_asked: self.has(conn, Some(Capability::Contact)),
            port,
            rooms: rooms.iter().cloned().collect(),
            lease: DEFAULT_LEASE,
            deadline: now + DEFAULT_LEASE,
            datagrams: None,
            ticket: None,
        };
        self.live.insert(username.clone(), live);
        for room in &rooms {
            if goes_on.as_ref().is_none_or(|seen| !seen.contains(room)) {
                self.expect_joined(room, username);
            }
            if self.has(conn, Some(Capability::Roster)) {
                let message = FromRegistry::UserJoined { room: room.clone(), username: username.clone() };
                self.pushes_due.push((conn, message));
            }
        }
        Ok(())
    }

    /// The registry closes a stream, or is told that one is gone.
    pub(crate) fn closed(&mut self, now: Time, conn: ConnId) -> Checked {
        let Some(view) = self.conns.remove(&conn) else { return Ok(()) };
        let Some(user) = view.user else { return Ok(()) };
        let replaces = self.replaces(&user);
        let Some(live) = self.live.get_mut(&user).filter(|live| live.conn == conn) else { return Ok(()) };
        if live.line == Line::Parked {
            return Ok(());
        }
        let wants_out = view.leaves || matches!(view.asked.front(), Some(ToRegistry::Logout { .. }));
        if self.cause == Some(Cause::Disconnected) && live.token && !wants_out && live.deadline > now {
            live.line = Line::Broken;
            live.deadline = live.deadline.min(now + RESUME_GRACE);
            return Ok(());
        }
        let allowed = match &self.cause {
            Some(Cause::Disconnected) => true,
            Some(Cause::Time) => live.deadline <= now,
            _ => wants_out || replaces,
        };
        if !allowed {
            let left = live.deadline.since(now);
            return Err(format!("{user}'s session ends {left:?} before its lease ({:?})", self.cause));
        }
        let rooms = live.rooms.clone();
        self.ended[0] += u64::from(self.cause == Some(Cause::Time));
        self.ended[1] += u64::from(replaces);
        self.live.remove(&user);
        if replaces {
            self.replaced = Some((user, rooms));
        } else {
            self.ties.end(&user);
            let message = FromRegistry::UserLogout { username: user.clone() };
            self.expect(&rooms, &user, None, &message);
        }
        Ok(())
    }

    /// The registry is gone, or shuts down: nobody is told anything.
    pub(crate) fn registry_gone(&mut self) {
        let (truth, invited) = (std::mem::take(&mut self.truth), std::mem::take(&mut self.invited));
        let Self { rules, checked, ended, parked, contacts, not_invited, .. } = *self;
        *self =
            Self { truth, invited, rules, checked, ended, parked, contacts, not_invited, ..Self::default() };
    }

    /// The registry has done what it does about one fact.
    pub(crate) fn end(&mut self, now: Time, stats: Stats) -> Checked {
        (self.compared, self.grounds) = (None, false);
        if self.cause.take() == Some(Cause::Time) {
            let over = self.live.iter().filter(|(_, live)| !live.has_stream() && live.deadline <= now);
            for username in over.map(|(username, _)| username.clone()).collect::<Vec<_>>() {
                self.stop_waiting(now, &username);
            }
        }
        for seen in std::mem::take(&mut self.pushes_seen) {
            self.checked += 1;
            match self.pushes_due.iter().position(|due| *due == seen) {
                Some(position) => drop(self.pushes_due.swap_remove(position)),
                None => return Err(format!("{:?} is told {:?} without a reason", self.name(seen.0), seen.1)),
            }
        }
        // Whoever's stream was closed at the same moment can't be told.
        let mut due = std::mem::take(&mut self.pushes_due).into_iter();
        if let Some((conn, message)) = due.find(|(conn, _)| self.conns.contains_key(conn)) {
            return Err(format!("{:?} is not told {message:?}", self.name(conn)));
        }
        if let Some((user, _)) = self.replaced.take()
            && !self.is_online(&user)
        {
            return Err(format!("{user}'s session was replaced by nothing"));
        }
        let (live, conns) = (self.live.len(), self.conns.len());
        let count = |line| self.live.values().filter(|live| live.line == line).count();
        let (waiting, parked) = (count(Line::Broken), count(Line::Parked));
        if (stats.sessions, stats.connections, stats.waiting, stats.parked) != (live, conns, waiting, parked)
        {
            return Err(format!(
                "the registry counts {stats:?} instead of {live} sessions, {waiting} of them waiting and {parked} parked, on {conns} streams"
            ));
        }
        self.punctual(now)
    }

    /// Nobody is online whose lease has ended.
    pub(crate) fn punctual(&self, now: Time) -> Checked {
        match self.live.iter().find(|(_, live)| live.deadline + TICK < now) {
            Some((username, live)) => {
                Err(format!("{username}'s lease ended {:?} ago", now.since(live.deadline)))
            }
            None => Ok(()),
        }
    }

    /// What the registry would answer to the last keep-alive of who is parked there, if nothing waited for them.
    pub(crate) fn parked_answer(&self, at: SocketAddr) -> Option<FromRegistryDatagram> {
        let is_there = |live: &&Live| live.line == Line::Parked && live.datagrams == Some(at);
        let (ticket, last) = self.live.values().find(is_there)?.ticket.as_ref()?;
        Some(FromRegistryDatagram::parked(ticket, NonZeroU64::new(*last)?))
    }

    /// Who is logged in on a stream.
    pub(crate) fn name(&self, conn: ConnId) -> Option<&Username> {
        self.conns.get(&conn).and_then(|conn| conn.user.as_ref())
    }
}
