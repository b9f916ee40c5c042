//! One registry, its users and the network between them, in one simulation.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use fastrand::Rng;
use turmoil::Sim;

use crate::{
    Stats,
    book::{Known, Phase, Site},
    bugs::Bug,
    registry::{REGISTRY, identity, registry},
    user::program,
};

const NAMES: [&str; 6] = ["alice", "Bob", "Çağla", "dmitri-7", "فاطمة", "Straße"];
/// Hosts take turns so often.
const TICK: Duration = Duration::from_millis(10);
/// Within so long after the last fault everything is as it should be.
const HEALED: Duration = Duration::from_secs(150);
/// For so long before the check nobody does anything, so that what is asked has been answered.
const QUIET: Duration = Duration::from_secs(45);
/// The check, with nobody in its way.
const AUDIT: Duration = Duration::from_secs(30);
/// A command ends within this: a chat request that nobody answers takes longest.
const LONGEST_COMMAND: Duration = Duration::from_secs(160);

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Has panics noted, also those in tasks that nobody waits for.
pub(crate) fn note_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICKED.set(true);
        print(info);
    }));
}

pub(crate) struct World {
    pub(crate) sim: Sim<'static>,
    pub(crate) site: Site,
    pub(crate) dice: Rng,
    /// The hosts: the registry, then the users'.
    pub(crate) hosts: Vec<IpAddr>,
    /// Ways that are blocked, and until when.
    pub(crate) blocked: BTreeMap<(IpAddr, IpAddr), Duration>,
    /// Links on which everything waits, and until when.
    pub(crate) held: BTreeMap<(IpAddr, IpAddr), Duration>,
    /// Hosts whose program does not run, and when it is started again.
    pub(crate) down: BTreeMap<usize, Duration>,
    /// When the weather is as before.
    pub(crate) clear_at: Option<Duration>,
    pub(crate) faults: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, traced: bool) -> Self {
        PANICKED.set(false);
        let mut dice = Rng::with_seed(seed);
        let count = dice.usize(3..=NAMES.len());
        let shared = dice.u8(0..10) < 3;
        let names = &NAMES[..count];
        let site = Site::new(dice.u64(..), bug, traced, names, shared);
        let mut sim = turmoil::Builder::new()
            .rng_seed(dice.u64(..))
            .epoch(std::time::UNIX_EPOCH)
            .tick_duration(TICK)
            .simulation_duration(Duration::MAX)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(200))
            .build();
        let here = site.clone();
        sim.host(REGISTRY, move || registry(here.clone()));
        let mut hosts = vec![sim.lookup(REGISTRY)];
        for number in 0..names.len() {
            let (here, fingerprint) = (site.clone(), identity().fingerprint());
            let host = format!("user-{number}");
            sim.host(host.as_str(), move || program(here.clone(), number, fingerprint));
            hosts.push(sim.lookup(host.as_str()));
        }
        Self {
            sim,
            site,
            dice,
            hosts,
            blocked: BTreeMap::new(),
            held: BTreeMap::new(),
            down: BTreeMap::new(),
            clear_at: None,
            faults: BTreeMap::new(),
        }
    }

    /// Lets so much time pass, in spells of bad weather and of good. An error says which promise was broken.
    pub(crate) fn run(&mut self, minutes: u64) -> Result<(), String> {
        while self.sim.elapsed() < Duration::from_secs(minutes * 60) {
            self.site.book().pace = self.dice.u64(500..=8_000);
            self.misbehave()?;
            self.heal()?;
        }
        let everybody = u32::try_from(self.hosts.len() - 1).unwrap_or(u32::MAX);
        self.leave()?;
        let mut book = self.site.book();
        book.stats.user_time = self.sim.elapsed() * everybody;
        book.stats.met = book.ties.count;
        book.stats.commits = self.site.store.lock().commits;
        book.stats.faults = std::mem::take(&mut self.faults);
        let [lost, doubled] = self.site.network.datagrams();
        book.stats.faults.insert("lost datagram", lost);
        book.stats.faults.insert("doubled datagram", doubled);
        Ok(())
    }

    pub(crate) fn stats(&self) -> Stats {
        self.site.book().stats.clone()
    }

    pub(crate) fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    fn misbehave(&mut self) -> Result<(), String> {
        let end = self.now() + Duration::from_millis(self.dice.u64(60_000..=300_000));
        self.enter(Phase::Lively);
        self.site.book().calm = false;
        self.clear(true);
        while self.now() < end {
            self.fault(end);
            let next = self.now() + Duration::from_millis(self.dice.u64(500..=20_000));
            self.run_until(next.min(end))?;
        }
        Ok(())
    }

    /// Everything works again, and after a while everything is as it should be.
    fn heal(&mut self) -> Result<(), String> {
        self.clear(false);
        self.end_faults(true);
        self.site.book().calm = true;
        self.run_until(self.now() + (HEALED - QUIET))?;
        self.enter(Phase::Quiet);
        self.run_until(self.now() + QUIET)?;
        for user in &mut self.site.book().users {
            user.audited = false;
        }
        self.enter(Phase::Audit);
        self.run_until(self.now() + AUDIT)?;
        let verdict = self.all_is_well();
        self.site.book().check(verdict);
        self.settle();
        let mut book = self.site.book();
        book.stats.healed += 1;
        book.verdict()
    }

    /// Everybody leaves, and nothing of them is left.
    fn leave(&mut self) -> Result<(), String> {
        self.enter(Phase::Leave);
        self.run_until(self.now() + HEALED)?;
        for number in 1..self.hosts.len() {
            if self.sim.is_host_running(self.hosts[number]) {
                self.site.book().fail(format!("program {} does not end", number - 1));
            }
        }
        {
            let mut book = self.site.book();
            let stats = book.registry.as_ref().map(|registry| registry.stats().registry);
            let held = |stats: p2pchat_core::registry::Stats| {
                [stats.connections, stats.sessions, stats.waiting, stats.operations, stats.hashes]
            };
            if stats.map(held) != Some([0; 5]) {
                book.fail(format!("everybody has left, but the registry has {stats:?}"));
            }
            let ends = self.site.network.open_ends();
            if ends > 0 {
                book.fail(format!("everybody has left, but {ends} ends of streams are open"));
            }
        }
        self.site.stop.notify_one();
        self.run_until(self.now() + AUDIT)?;
        if self.sim.is_host_running(self.hosts[0]) {
            self.site.book().fail("the registry does not end".to_owned());
        }
        self.site.book().verdict()
    }

    fn enter(&self, phase: Phase) {
        let mut book = self.site.book();
        book.phase = phase;
        book.note(|| format!("{phase:?}"));
    }

    fn run_until(&mut self, end: Duration) -> Result<(), String> {
        while self.now() < end {
            self.end_faults(false);
            let stepped = self.sim.step();
            let mut book = self.site.book();
            book.set_now(self.sim.elapsed());
            if let Err(error) = stepped {
                book.fail(format!("a host has failed: {error}"));
            }
            if PANICKED.get() {
                book.fail("a panic".to_owned());
            }
            if self.sim.elapsed().subsec_millis() == 0 {
                drop(book);
                self.each_second();
                book = self.site.book();
            }
            book.verdict()?;
        }
        Ok(())
    }

    fn each_second(&self) {
        let mut book = self.site.book();
        let now = book.now();
        let (verdict, put_out) = {
            let mut store = self.site.store.lock();
            (store.verdict(), std::mem::take(&mut store.put_out))
        };
        book.check(verdict);
        book.are_put_out(put_out);
        let overdue = book.users.iter().find_map(|user| {
            let asked = user.pending.values().find(|asked| now - asked.since > LONGEST_COMMAND)?;
            Some(format!("{} has waited for {:?} since {:?}", user.name, asked.what, asked.since))
        });
        book.check(overdue.map_or(Ok(()), Err));
        let names: BTreeSet<_> = book.users.iter().map(|user| &user.name).collect();
        let sessions = book.registry.as_ref().map_or(0, |registry| registry.stats().registry.sessions);
        if sessions > names.len() {
            let users = names.len();
            book.fail(format!("{users} users have {sessions} sessions"));
        }
    }

    /// What holds once the network has been well for a while.
    fn all_is_well(&self) -> Result<(), String> {
        self.site.store.lock().audit()?;
        let store = self.site.store.lock();
        let book = self.site.book();
        let online = book.online();
        for (number, user) in book.users.iter().enumerate() {
            let name = &user.name;
            if !user.audited || !online.contains(name) {
                return Err(format!("{name}'s program {number} is not there"));
            }
            if user.online
                && book.users.iter().skip(number + 1).any(|other| other.online && other.name == *name)
            {
                return Err(format!("{name} is logged in twice"));
            }
            if user.registered == Known::Yes && !store.truth.has_account(name) {
                return Err(format!("{name}'s account is lost"));
            }
            let truth = store.truth.rooms_of(name);
            let wrong = user.rooms.iter().find(|(room, known)| match known {
                _ if user.shared => false,
                Known::Yes => !truth.contains(room),
                Known::No => truth.contains(room),
                Known::Unsettled(_) => false,
            });
            if let Some((room, known)) = wrong {
                return Err(format!("{name} was told {known:?} of {room}, but is in {truth:?}"));
            }
        }
        for room in store.truth.rooms() {
            let (members, capacity) = (store.truth.members_of(room).len(), store.truth.capacity_of(room));
            if capacity.is_none_or(|capacity| members > capacity) {
                return Err(format!("{members} are in {room}, which takes {capacity:?}"));
            }
        }
        let sessions = book.registry.as_ref().map(|registry| registry.stats().registry.sessions);
        if sessions != Some(online.len()) {
            return Err(format!("{online:?} are online, but there are {sessions:?} sessions"));
        }
        Ok(())
    }

    /// Nothing is on its way any more, so what nobody knew can be looked up.
    fn settle(&self) {
        let store = self.site.store.lock();
        let mut book = self.site.book();
        for user in &mut book.users {
            user.rooms =
                store.truth.rooms_of(&user.name).into_iter().map(|room| (room, Known::Yes)).collect();
        }
        book.post.forget();
    }
}
