//! What the world knows: who was told what, what is still waited for, what happened. Whatever breaks a promise is noted
//! here first.

use std::{
    cell::{RefCell, RefMut},
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hasher},
    net::IpAddr,
    rc::Rc,
    time::Duration,
};

use fastrand::Rng;
use p2pchat_core::tokio::ServerHandle;
use p2pchat_proto::{RoomName, Username};
use tokio::sync::Notify;

use crate::{
    Stats, bugs::Bug, guests::Invitation, network::SimNetwork, post::Post, store::SimStore, ties::Ties,
};

/// How many steps are remembered for a report.
const TRACE: usize = 400;
/// For how long a membership's end may still be news to some part of the user's own program.
const NEWS: Duration = Duration::from_millis(50);
/// For how long an answer that was never heard may still come true.
const UNSETTLED: Duration = Duration::from_secs(60);

/// What a user knows of something that was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Yes,
    No,
    /// Nobody has said, since then.
    Unsettled(Duration),
}

/// What the registry's operator has settled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Who isn't invited can't register.
    pub(crate) by_invitation: bool,
    /// Where users are is told to members of a shared room and to contacts alone.
    pub(crate) hidden: bool,
}

/// What users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Whatever they like.
    Lively,
    /// They come online, and no more.
    Quiet,
    /// They look whether what they know is true.
    Audit,
    /// They leave.
    Leave,
}

/// What a program was asked to do.
pub(crate) struct Asked {
    pub(crate) what: String,
    /// The room whose membership it is about.
    room: Option<RoomName>,
    pub(crate) since: Duration,
}

/// A program and its user.
pub(crate) struct User {
    pub(crate) name: Username,
    /// Another program is the same user's; they take turns.
    pub(crate) shared: bool,
    pub(crate) registered: Known,
    pub(crate) rooms: BTreeMap<RoomName, Known>,
    left: BTreeMap<RoomName, Duration>,
    /// Who is in which room, going by nothing but what the program has told.
    pub(crate) told: BTreeMap<RoomName, BTreeSet<Username>>,
    /// Whom the user doesn't want to hear of.
    pub(crate) blocked: BTreeSet<Username>,
    pub(crate) pending: BTreeMap<u64, Asked>,
    /// Counts the program's starts.
    pub(crate) incarnation: u32,
    pub(crate) audited: bool,
    pub(crate) online: bool,
    pub(crate) addr: Option<(IpAddr, u16)>,
}

impl User {
    fn new(name: &str, shared: bool) -> Self {
        Self {
            name: Username::new(name).expect("a name"),
            shared,
            registered: Known::No,
            rooms: BTreeMap::new(),
            left: BTreeMap::new(),
            told: BTreeMap::new(),
            blocked: BTreeSet::new(),
            pending: BTreeMap::new(),
            incarnation: 0,
            audited: false,
            online: false,
            addr: None,
        }
    }
}

/// All that the hosts and the world look at together.
#[derive(Clone)]
pub(crate) struct Site {
    book: Rc<RefCell<Book>>,
    pub(crate) network: SimNetwork,
    pub(crate) store: SimStore,
    /// Has the registry shut down in order.
    pub(crate) stop: Rc<Notify>,
}

pub(crate) struct Book {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) phase: Phase,
    /// The longest pause between two things that a user does, in milliseconds.
    pub(crate) pace: u64,
    pub(crate) users: Vec<User>,
    pub(crate) post: Post,
    pub(crate) rules: Rules,
    /// Nothing breaks.
    pub(crate) calm: bool,
    pub(crate) ties: Ties,
    pub(crate) invitations: Vec<Invitation>,
    pub(crate) guests: u64,
    pub(crate) registry: Option<ServerHandle>,
    pub(crate) stats: Stats,
    now: Duration,
    asked: u64,
    course: DefaultHasher,
    broken: Option<String>,
    trace: Option<VecDeque<String>>,
}

impl Site {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, traced: bool, names: &[&str], shared: bool) -> Self {
        let mut dice = Rng::with_seed(seed);
        let last = names.len() - 1;
        let users = names.iter().enumerate().map(|(number, name)| {
            let shares = shared && (number == 0 || number == last);
            User::new(if shares { names[0] } else { name }, shares)
        });
        let rules = Rules { by_invitation: dice.u8(0..10) < 4, hidden: dice.bool() };
        let book = Book {
            rules,
            calm: false,
            ties: Ties::default(),
            invitations: Vec::new(),
            guests: 0,
            seed,
            bug,
            phase: Phase::Quiet,
            pace: 1,
            users: users.collect(),
            post: Post::default(),
            registry: None,
            stats: Stats::default(),
            now: Duration::ZERO,
            asked: 0,
            course: DefaultHasher::new(),
            broken: None,
            trace: traced.then(VecDeque::new),
        };
        Self {
            book: Rc::new(RefCell::new(book)),
            network: SimNetwork::new(dice.fork(), bug),
            store: SimStore::new(dice.fork(), bug, rules.by_invitation),
            stop: Rc::new(Notify::new()),
        }
    }

    pub(crate) fn book(&self) -> RefMut<'_, Book> {
        self.book.borrow_mut()
    }
}

impl Book {
    pub(crate) fn now(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or(self.now)
    }

    pub(crate) fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// Something happened. It is part of the course that a world takes each time.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        let line = format!("{:.3} {}", self.now().as_secs_f64(), what());
        self.course.write(line.as_bytes());
        self.stats.course = self.course.finish();
        if let Some(trace) = &mut self.trace {
            trace.push_back(line);
            if trace.len() > TRACE {
                trace.pop_front();
            }
        }
    }

    /// Notes the first promise that is broken.
    pub(crate) fn fail(&mut self, what: String) {
        self.note(|| format!("BROKEN: {what}"));
        let now = self.now();
        self.broken.get_or_insert_with(|| format!("at {:.3} s: {what}", now.as_secs_f64()));
    }

    pub(crate) fn check(&mut self, verdict: Result<(), String>) {
        if let Err(what) = verdict {
            self.fail(what);
        }
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn last_trace(&self) -> Vec<String> {
        self.trace.iter().flatten().cloned().collect()
    }

    /// A user asks the program to do something, perhaps with a membership.
    pub(crate) fn asks(&mut self, number: usize, what: String, room: Option<&RoomName>) -> u64 {
        self.note(|| format!("{number} asks: {what}"));
        self.asked += 1;
        let asked = Asked { what, room: room.cloned(), since: self.now() };
        self.users[number].pending.insert(self.asked, asked);
        self.asked
    }

    /// The program has answered.
    pub(crate) fn answered(&mut self, number: usize, ask: u64, outcome: &str) {
        self.stats.commands += 1;
        let Some(asked) = self.users[number].pending.remove(&ask) else {
            return self.fail(format!("program {number} ends twice what it was asked: {outcome}"));
        };
        self.note(|| format!("{number} hears: {}: {outcome}", asked.what));
    }

    /// A program has ended, however it did.
    pub(crate) fn stopped(&mut self, number: usize) {
        let pending = std::mem::take(&mut self.users[number].pending);
        for room in pending.into_values().filter_map(|asked| asked.room) {
            self.doubt(number, room);
        }
        let now = self.now();
        let user = &mut self.users[number];
        user.told.clear();
        user.blocked.clear();
        user.online = false;
        self.ties.link_lost(now, &user.name);
    }

    /// Owners have ended users' memberships.
    pub(crate) fn are_put_out(&mut self, gone: Vec<(Username, RoomName)>) {
        for (name, room) in gone {
            self.stats.put_out += 1;
            for number in self.programs_of(&name) {
                self.doubt(number, room.clone());
            }
        }
    }

    /// Nobody has said what came of a request: it may be carried out yet.
    pub(crate) fn doubt(&mut self, number: usize, room: RoomName) {
        let now = self.now();
        self.users[number].rooms.insert(room, Known::Unsettled(now));
    }

    /// A user is told whether a room is theirs.
    pub(crate) fn learn(&mut self, number: usize, room: &RoomName, is_in: bool) {
        let now = self.now();
        let user = &mut self.users[number];
        if !is_in {
            user.left.insert(room.clone(), now);
            user.told.remove(room);
        }
        // A request without an answer may be carried out after this one.
        if !matches!(user.rooms.get(room), Some(Known::Unsettled(since)) if now - *since < UNSETTLED) {
            user.rooms.insert(room.clone(), if is_in { Known::Yes } else { Known::No });
        }
    }

    /// True if a program's user is perhaps a member, as far as anybody can know.
    pub(crate) fn may_be_in(&self, number: usize, room: &RoomName) -> bool {
        let (now, me) = (self.now(), &self.users[number]);
        // That they have left with another program reaches this one with its registry link.
        let has_not_heard = me.shared && me.told.contains_key(room);
        has_not_heard
            || self.users.iter().filter(|user| user.name == me.name).any(|user| {
                matches!(user.rooms.get(room), Some(Known::Unsettled(_)))
                    || user.pending.values().any(|asked| asked.room.as_ref() == Some(room))
                    || user.left.get(room).is_some_and(|&left| now - left < NEWS)
            })
    }

    /// The programs of a user.
    pub(crate) fn programs_of(&self, name: &Username) -> Vec<usize> {
        (0..self.users.len()).filter(|&number| self.users[number].name == *name).collect()
    }

    /// Those who have a program that is logged in.
    pub(crate) fn online(&self) -> BTreeSet<Username> {
        self.users.iter().filter(|user| user.online).map(|user| user.name.clone()).collect()
    }
}
