//! Users who do at random everything that a client can do, and what they have been promised.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use p2pchat_core::{
    Time,
    peer::{Event, Peer, RequestError, RequestId, Response},
};
use p2pchat_examples::letters::To;
use p2pchat_proto::{
    Capacity, Description, Detail, FileDigest, PasswordDigest, PeerPort, Reason, RoomName, RoomSetting,
    Username,
};

use crate::{
    bugs::Bug,
    schedule::{Errand, Happening},
    world::World,
};

pub(crate) const NAMES: [&str; 8] = ["alice", "Bob", "Çağla", "dmitri-7", "Ève.2", "فاطمة", "Straße", "h_8"];
const ROOMS: [&str; 6] = ["den", "Attic", "the garden shed", "Küche", "r-5 (old)", "x"];
pub(crate) const PASSWORD: &str = "correct horse";
/// For how long an answer that was never heard may still come true.
const UNSETTLED: Duration = Duration::from_secs(60);

/// What a user asked of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Register {
        invited: bool,
    },
    /// Somebody else registers.
    Guest {
        name: Username,
        invited: bool,
    },
    Login {
        right: bool,
    },
    Enter(RoomName),
    Leave(RoomName),
    Say {
        number: u64,
        to: Username,
    },
    Broadcast {
        number: u64,
    },
    Chat(Username),
    /// A file is offered to somebody, and taken by them.
    Offer {
        digest: FileDigest,
    },
    Take {
        digest: FileDigest,
    },
    /// Where somebody is, asked when all is well.
    Where(Username),
    Logout,
    Other,
}

/// What a user knows of something that was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Yes,
    No,
    /// Nobody has said, since then.
    Unsettled(Time),
}

pub(crate) struct User {
    pub(crate) name: Username,
    pub(crate) registered: Known,
    pub(crate) rooms: BTreeMap<RoomName, Known>,
    pub(crate) pending: BTreeMap<RequestId, (Ask, Time)>,
    /// Who is in which room, going by nothing but what the program has told.
    pub(crate) told: BTreeMap<RoomName, BTreeSet<Username>>,
    /// Whom the user doesn't want to hear of.
    blocked: BTreeSet<Username>,
    /// When the program last logged in because the user said so.
    pub(crate) since: Time,
}

impl User {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: Username::new(name).expect("a name"),
            registered: Known::No,
            rooms: BTreeMap::new(),
            pending: BTreeMap::new(),
            told: BTreeMap::new(),
            blocked: BTreeSet::new(),
            since: Time::ZERO,
        }
    }

    /// The program is started again. What it was asked to do before has no answer.
    pub(crate) fn started(&mut self) {
        self.pending.clear();
        self.told.clear();
        self.blocked.clear();
    }

    /// Notes what an event tells of who is in which room.
    fn note(&mut self, event: &Event) {
        match event {
            Event::RoomEntered { room, members } => {
                self.told.insert(room.clone(), members.iter().cloned().collect());
            }
            Event::MemberOnline { room, username } => {
                self.told.entry(room.clone()).or_default().insert(username.clone());
            }
            Event::MemberLeft { room, username } if *username == self.name => drop(self.told.remove(room)),
            Event::MemberLeft { room, username } => {
                self.told.entry(room.clone()).or_default().remove(username);
            }
            Event::PutOut { room, username, .. } if *username == self.name => drop(self.told.remove(room)),
            Event::PutOut { room, username, .. } => {
                self.told.entry(room.clone()).or_default().remove(username);
            }
            Event::MemberOffline { username, rooms } => {
                for room in rooms {
                    self.told.entry(room.clone()).or_default().remove(username);
                }
            }
            Event::LoggedOut { .. } => self.told.clear(),
            _ => {}
        }
    }

    /// The room's owner has ended the user's membership, which nobody may have told them yet.
    pub(crate) fn put_out(&mut self, room: &RoomName, now: Time) {
        self.rooms.insert(room.clone(), Known::Unsettled(now));
    }

    fn is_asking(&self, wanted: &Ask) -> bool {
        self.pending.values().any(|(ask, _)| ask == wanted)
    }

    fn learn(&mut self, room: &RoomName, now: Time, known: Known) {
        let old = self.rooms.insert(room.clone(), known);
        // A request without an answer may have been carried out late.
        if let Some(Known::Unsettled(since)) = old
            && now.since(since) < UNSETTLED
        {
            self.rooms.insert(room.clone(), Known::Unsettled(since));
        }
    }

    /// True if the user is perhaps a member, as far as anybody can know.
    fn is_unsettled(&self, room: &RoomName) -> bool {
        matches!(self.rooms.get(room), Some(Known::Unsettled(_)))
            || self.is_asking(&Ask::Leave(room.clone()))
            || self.is_asking(&Ask::Enter(room.clone()))
    }
}

pub(crate) fn digest(password: &str) -> PasswordDigest {
    PasswordDigest::of_password(password)
}

impl World {
    pub(crate) fn user_acts(&mut self, number: usize) {
        let pause = self.schedule.millis(200..=self.pace);
        self.schedule.after(pause, Happening::Act { node: number });
        let Some(machine) = &self.nodes[number].machine else { return };
        if machine.username().is_none() {
            self.sign_in(number);
        } else if !self.quiet {
            self.do_something(number);
        }
        self.node_settle(number);
    }

    /// Has the program do something, and remembers what.
    pub(crate) fn ask(
        &mut self,
        number: usize,
        ask: Ask,
        command: impl FnOnce(&mut Peer, Time) -> RequestId,
    ) {
        let now = self.schedule.now;
        let node = &mut self.nodes[number];
        let Some(machine) = &mut node.machine else { return };
        match &ask {
            Ask::Register { .. } if node.user.registered == Known::No => {
                node.user.registered = Known::Unsettled(now);
            }
            Ask::Enter(room) | Ask::Leave(room) => {
                // Until the answer comes.
                node.user.rooms.insert(room.clone(), Known::Unsettled(now));
            }
            _ => {}
        }
        let request = command(machine, now);
        self.trace(|| format!("node {number} asks {ask:?} ({request:?})"));
        self.nodes[number].user.pending.insert(request, (ask, now));
    }

    fn sign_in(&mut self, number: usize) {
        let user = &self.nodes[number].user;
        let name = user.name.clone();
        let right = self.quiet || !self.schedule.percent(5);
        let login = Ask::Login { right };
        if user.pending.values().any(|(ask, _)| matches!(ask, Ask::Login { .. })) {
            return;
        }
        let is_registering = user.pending.values().any(|(ask, _)| matches!(ask, Ask::Register { .. }));
        if user.registered != Known::Yes && !is_registering {
            let code = if self.rules.by_invitation { self.some_code() } else { None };
            let ask = Ask::Register { invited: code.is_some() };
            self.register(number, ask, name.clone(), code);
        }
        let port = PeerPort::new(self.nodes[number].port.into()).ok();
        let password = digest(if right { PASSWORD } else { "guess" });
        self.ask(number, login, |peer, now| peer.login(now, name, password, port));
    }

    fn do_something(&mut self, number: usize) {
        let room = self.some_room();
        let other = self.someone();
        let detail = if self.schedule.rng.bool() { Detail::Detailed } else { Detail::Partial };
        if self.rules.by_invitation && self.schedule.percent(4) {
            return self.guest_registers(number);
        }
        match self.schedule.rng.u8(0..100) {
            0..6 => return self.offer_file(number, other),
            6 => return self.cancel_file(number),
            7 => return self.block(number, other),
            _ => {}
        }
        match self.schedule.rng.u8(0..100) {
            0..5 => self.ask(number, Ask::Other, |peer, now| peer.search(now, other)),
            5..10 => self.ask(number, Ask::Other, |peer, now| peer.peers(now, detail)),
            10..14 => self.ask(number, Ask::Other, |peer, now| peer.rooms(now, detail)),
            14..22 => {
                let capacity = Capacity::new(self.schedule.rng.u32(1..=4)).expect("a capacity");
                let password = self.room_password(&room);
                let description = Description::new("a < b, \\o/").expect("a description");
                self.ask(number, Ask::Enter(room.clone()), |peer, now| {
                    peer.create(now, room, password, capacity, description)
                });
            }
            22..36 => {
                let password = if self.schedule.percent(90) { self.room_password(&room) } else { None };
                self.ask(number, Ask::Enter(room.clone()), |peer, now| peer.join(now, room, password));
            }
            36..41 => self.ask(number, Ask::Leave(room.clone()), |peer, now| peer.leave(now, room)),
            41..45 => self.ask(number, Ask::Other, |peer, now| peer.members(now, room)),
            45..57 => self.ask(number, Ask::Chat(other.clone()), |peer, now| peer.chat(now, other)),
            57..78 => self.say_something(number, other),
            78..92 => {
                let room = self.one_of_own_rooms(number).unwrap_or(room);
                let name = self.nodes[number].user.name.clone();
                let (letter, text) =
                    self.post.letters.write(&mut self.schedule.rng, number, &name, To::Room(room.clone()));
                self.ask(number, Ask::Broadcast { number: letter }, |peer, now| {
                    peer.broadcast(now, room, text)
                });
            }
            92..95 => {
                let room = self.one_of_own_rooms(number).unwrap_or(room);
                let machine = self.nodes[number].machine.as_ref();
                let members = machine.and_then(|machine| machine.roster(&room));
                let members: Vec<_> = members.into_iter().flatten().cloned().collect();
                let member = self.schedule.pick(&members).filter(|_| self.schedule.percent(70));
                self.moderate(number, room, member.unwrap_or(other));
            }
            95..97 => {
                let asked = self.nodes[number].user.pending.values().filter_map(|(ask, _)| match ask {
                    Ask::Chat(asked) => Some(asked.clone()),
                    _ => None,
                });
                let asked: Vec<_> = asked.collect();
                let other = self.schedule.pick(&asked).filter(|_| self.schedule.percent(70)).unwrap_or(other);
                self.ask(number, Ask::Other, |peer, now| peer.hang_up(now, other));
            }
            97..99 => self.ask(number, Ask::Logout, Peer::logout),
            _ => {
                self.ask(number, Ask::Other, Peer::shutdown);
                self.node_settle(number);
                self.stop_node(number, true);
                let pause = self.schedule.millis(100..=5_000);
                self.schedule.after(pause, Happening::StartNode { node: number });
            }
        }
    }

    /// What only an owner may do, by whoever likes to.
    fn moderate(&mut self, number: usize, room: RoomName, other: Username) {
        let reason = self.schedule.rng.bool().then(|| Reason::truncated("no < spam"));
        let setting = match self.schedule.rng.u8(0..100) {
            0..20 => return self.ask(number, Ask::Other, |peer, now| peer.kick(now, room, other, reason)),
            20..40 => return self.ask(number, Ask::Other, |peer, now| peer.ban(now, room, other, reason)),
            40..60 => return self.ask(number, Ask::Other, |peer, now| peer.unban(now, room, other)),
            60..66 => return self.ask(number, Ask::Other, |peer, now| peer.bans(now, room)),
            // Back to the one that everybody knows, more often than to another.
            66..70 => RoomSetting::Password(Some(digest("another"))),
            70..78 => RoomSetting::Password(self.room_password(&room)),
            78..88 => RoomSetting::Capacity(Capacity::new(self.schedule.rng.u32(1..=5)).expect("a capacity")),
            88..92 => RoomSetting::Description(Description::truncated("> b, /o\\")),
            _ => RoomSetting::Owner(other),
        };
        self.ask(number, Ask::Other, |peer, now| peer.set_room(now, room, setting));
    }

    /// Nothing changes any more: everybody is told where everybody else is, if they may be.
    pub(crate) fn all_ask_for_all(&mut self) {
        let names: BTreeSet<_> = self.nodes.iter().map(|node| node.user.name.clone()).collect();
        for number in 0..self.nodes.len() {
            for name in names.iter().cloned() {
                if self.nodes[number].machine.as_ref().is_some_and(Peer::is_logged_in) {
                    let ask = Ask::Where(name.clone());
                    self.ask(number, ask, |peer, now| peer.search(now, name));
                }
            }
            self.node_settle(number);
        }
    }

    fn check_where(&mut self, name: &Username, other: &Username, outcome: &Result<Response, RequestError>) {
        self.stats.addresses += 1;
        let seen = match outcome {
            Ok(Response::Found(found)) => Some(!found.is_hidden()),
            _ => None,
        };
        let may = self.judge.is_online(other).then(|| self.judge.sees(name, other));
        if seen != may {
            self.fail(format!("{name} may see where {other} is: {may:?}, but is told {outcome:?}"));
        }
    }

    fn say_something(&mut self, number: usize, other: Username) {
        let node = &self.nodes[number];
        let open: Vec<_> = node.machine.iter().flat_map(|machine| machine.chats().cloned()).collect();
        let to = self.schedule.pick(&open).unwrap_or(other);
        let name = self.nodes[number].user.name.clone();
        for _ in 0..self.schedule.rng.u8(1..4) {
            let (letter, text) =
                self.post.letters.write(&mut self.schedule.rng, number, &name, To::User(to.clone()));
            let to = to.clone();
            let ask = Ask::Say { number: letter, to: to.clone() };
            self.ask(number, ask, |peer, now| peer.send(now, to, text));
        }
    }

    /// Doesn't hear of somebody for a while.
    fn block(&mut self, number: usize, other: Username) {
        if self.nodes[number].user.name == other {
            return;
        }
        self.stats.blocked += 1;
        self.nodes[number].user.blocked.insert(other.clone());
        let delay = self.schedule.millis(100..=30_000);
        self.errand(number, delay, Errand::Unblock { user: other.clone() });
        if self.bug != Some(Bug::HearBlocked) {
            self.node_step(number, |peer, now| peer.block(now, other));
        }
    }

    pub(crate) fn unblock(&mut self, number: usize, other: &Username) {
        self.nodes[number].user.blocked.remove(other);
        self.node_step(number, |peer, _| peer.unblock(other));
    }

    /// Who is blocked isn't heard.
    fn check_unblocked(&mut self, number: usize, event: &Event) {
        let (Event::Message { from, .. }
        | Event::Broadcast { from, .. }
        | Event::ChatRequested { from: Some(from), .. }
        | Event::FileOffered { from, .. }) = event
        else {
            return;
        };
        let User { name, blocked, .. } = &self.nodes[number].user;
        if blocked.contains(from) {
            self.fail(format!("{name} doesn't want to hear of {from}, and is told {event:?}"));
        }
    }

    fn one_of_own_rooms(&mut self, number: usize) -> Option<RoomName> {
        let machine = self.nodes[number].machine.as_ref()?;
        let rooms: Vec<_> = machine.room_names().cloned().collect();
        self.schedule.pick(&rooms)
    }

    /// Anybody, in any spelling.
    fn someone(&mut self) -> Username {
        let number = self.schedule.rng.usize(0..self.nodes.len());
        let name = self.nodes[number].user.name.clone();
        if self.schedule.percent(80) {
            return name;
        }
        Username::new(&name.as_str().to_uppercase()).expect("a name in capitals")
    }

    fn some_room(&mut self) -> RoomName {
        let name = self.schedule.pick(&ROOMS).unwrap_or_default();
        let name = if self.schedule.percent(80) { name.to_owned() } else { name.to_lowercase() };
        RoomName::new(&name).expect("a room's name")
    }

    /// Some rooms have a password, which everybody knows.
    fn room_password(&self, room: &RoomName) -> Option<PasswordDigest> {
        room.as_str().len().is_multiple_of(2).then(|| digest(room.folded()))
    }

    pub(crate) fn user_event(&mut self, number: usize, event: Event) {
        self.trace(|| format!("node {number} is told {event:?}"));
        let name = self.nodes[number].user.name.clone();
        self.nodes[number].user.note(&event);
        self.check_unblocked(number, &event);
        self.check_progress(number, &event);
        match event {
            Event::Completed { request, outcome } => match self.nodes[number].user.pending.remove(&request) {
                Some((ask, _)) => self.completed(number, &ask, &outcome),
                None => self.fail(format!("{name} is told the end of {request:?} twice: {outcome:?}")),
            },
            Event::ChatRequested { request, .. } if self.schedule.percent(85) => {
                let (accept, delay) = (self.schedule.percent(80), self.schedule.millis(50..=4_000));
                self.errand(number, delay, Errand::AnswerChat { request, accept });
            }
            Event::FileOffered { file, .. } => {
                let (accept, delay) = (self.schedule.percent(80), self.schedule.millis(50..=4_000));
                self.errand(number, delay, Errand::AnswerFile { file, accept });
            }
            Event::Message { from, text, place, receipt } => {
                if !self.overlooks() {
                    let verdict = self.post.saw(number, &name, &from, None, &text, place);
                    self.check(verdict);
                }
                self.confirm_soon(number, receipt);
            }
            Event::Broadcast { room, from, text, place, receipt, .. } => {
                if let Some(room) = self.post.letters.room_of(&text).cloned() {
                    self.check_membership(number, &room);
                }
                if !self.overlooks() {
                    let verdict = self.post.saw(number, &name, &from, room.as_ref(), &text, place);
                    self.check(verdict);
                }
                self.confirm_soon(number, receipt);
            }
            Event::LoggedOut { reason, .. } if !self.nodes[number].shared => {
                self.fail(format!("{name} has one program, and is logged out: {reason}"));
            }
            Event::Fault { culprit, what } => self.fail(format!("{name} hears that {culprit} {what}")),
            Event::Reconnected => self.stats.reconnected += 1,
            Event::Missed { from, count } => self.post.missed(number, &from, count),
            Event::KeyLearned { user, key } => {
                self.nodes[number].known.insert(user.clone(), key);
                if !self.nodes.iter().any(|node| node.user.name == user && node.key == Some(key)) {
                    self.fail(format!("{name} takes a key for {user}'s that is not"));
                }
            }
            Event::KeyChanged { user, .. } => {
                self.fail(format!("{name} hears that {user}'s key has changed"));
            }
            _ => {}
        }
    }

    /// What is said in a room reaches only members, and those of whom nobody can know.
    fn check_membership(&mut self, number: usize, room: &RoomName) {
        let name = &self.nodes[number].user.name;
        let mut users = self.nodes.iter().map(|node| &node.user).filter(|user| user.name == *name);
        if !self.judge.truth.is_member(name, room) && !users.any(|user| user.is_unsettled(room)) {
            self.fail(format!("{name} reads what was said in {room}, without being in it"));
        }
    }

    fn overlooks(&mut self) -> bool {
        self.bug == Some(Bug::ConfirmUnread) && self.schedule.percent(5)
    }

    fn confirm_soon(&mut self, number: usize, receipt: p2pchat_core::peer::Receipt) {
        let delay = if self.schedule.percent(90) { Duration::ZERO } else { self.schedule.millis(1..=5_000) };
        self.errand(number, delay, Errand::Confirm { receipt });
    }

    pub(crate) fn answer_chat(
        &mut self,
        number: usize,
        chat: p2pchat_core::peer::ChatRequestId,
        accept: bool,
    ) {
        let reason = self.schedule.rng.bool().then(|| Reason::truncated("not now"));
        self.ask(number, Ask::Other, |peer, now| match accept {
            true => peer.accept(now, chat),
            false => peer.reject(now, chat, reason),
        });
        self.node_settle(number);
    }

    fn completed(&mut self, number: usize, ask: &Ask, outcome: &Result<Response, RequestError>) {
        self.stats.commands += 1;
        let now = self.schedule.now;
        let settled = !matches!(outcome, Err(RequestError::Interrupted | RequestError::TimedOut));
        let shared = self.nodes[number].shared;
        let user = &mut self.nodes[number].user;
        let name = user.name.clone();
        match (ask, outcome) {
            (Ask::Register { .. }, Ok(_)) => user.registered = Known::Yes,
            (Ask::Register { invited }, Err(error)) => self.check_refused(&name, *invited, error),
            (Ask::Guest { name, invited }, Err(error)) => self.check_refused(name, *invited, error),
            (Ask::Guest { name, .. }, Ok(_)) if !self.judge.truth.has_account(name) => {
                self.fail(format!("{name} is told of an account that there is not"));
            }
            // Who was parked learns only now that the user's other program has come.
            (Ask::Where(_), Err(RequestError::NotConnected)) if shared => {}
            (Ask::Where(other), outcome) => self.check_where(&name, other, outcome),
            (Ask::Login { right: false }, Ok(_)) => {
                self.fail(format!("{name} is logged in with a wrong password"));
            }
            (Ask::Login { right: true }, Ok(_)) => {
                user.since = now;
                self.stats.logins += 1;
            }
            (Ask::Login { right: true }, Err(RequestError::LoginFailed(reason)))
                if user.registered == Known::Yes =>
            {
                self.fail(format!("{name}'s password is right, but not taken: {reason:?}"));
            }
            (Ask::Enter(room), Ok(_)) => user.learn(room, now, Known::Yes),
            (Ask::Leave(room), Ok(_)) => {
                user.told.remove(room);
                user.learn(room, now, Known::No);
            }
            (Ask::Logout, _) => user.told.clear(),
            (Ask::Enter(room) | Ask::Leave(room), Err(_)) if settled => {
                // Refused, which changes nothing; what held before may be read from the truth.
                let member = self.judge.truth.is_member(&name, room);
                user.learn(room, now, if member { Known::Yes } else { Known::No });
            }
            (Ask::Offer { digest } | Ask::Take { digest }, Ok(_)) if !self.parcels.has_arrived(digest) => {
                self.fail(format!("{name} is told that a file has arrived, which hasn't"));
            }
            (Ask::Say { number: letter, to }, Ok(_)) => {
                self.acknowledged(*letter, to);
            }
            (Ask::Broadcast { number: letter }, Ok(Response::Broadcast(report))) => {
                for to in &report.delivered {
                    self.acknowledged(*letter, to);
                }
                for (to, error) in &report.failed {
                    self.not_delivered(*letter, to, error);
                }
            }
            (Ask::Say { number: letter, to }, Err(error)) => self.not_delivered(*letter, to, error),
            (Ask::Broadcast { number: letter }, Err(error)) => {
                let all: BTreeSet<_> = self.nodes.iter().map(|node| node.user.name.clone()).collect();
                for to in all {
                    self.not_delivered(*letter, &to, error);
                }
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, letter: u64, by: &Username) {
        let programs = self.programs_of(by);
        let verdict = self.post.acknowledged(letter, &programs, by);
        self.check(verdict);
    }

    /// Unless it is in doubt, nobody there has read it, nor will.
    fn not_delivered(&mut self, letter: u64, to: &Username, error: &RequestError) {
        if self.bug == Some(Bug::HideDoubt) || !matches!(error, RequestError::Doubtful { .. }) {
            let programs = self.programs_of(to);
            let verdict = self.post.denied(letter, &programs, to);
            self.check(verdict);
        }
    }

    fn programs_of(&self, name: &Username) -> Vec<usize> {
        let programs = self.nodes.iter().enumerate().filter(|(_, node)| node.user.name == *name);
        programs.map(|(number, _)| number).collect()
    }
}
