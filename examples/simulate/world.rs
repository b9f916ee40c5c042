//! One registry and its users on one virtual clock.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use p2pchat_core::{Time, peer::Peer};

use crate::{
    bugs::Bug,
    disk::Parcels,
    judge::{Counts, Judge, Rules},
    network::{Host, Network},
    node::Node,
    operator::Operator,
    post::Post,
    registry::RegistryHost,
    schedule::{Errand, Happening, Schedule},
    users::{Ask, Known, NAMES, User},
};

/// Within so long after the last fault everything is as it should be.
const HEALED: Duration = Duration::from_secs(150);
/// For so long before the check nobody does anything, so that what is asked has been answered.
const QUIET: Duration = Duration::from_secs(45);
/// Whoever has logged in has been told of everything within this.
const MOMENT: Duration = Duration::from_secs(5);
/// A command ends within this: a chat request that nobody answers takes longest.
const LONGEST_COMMAND: Duration = Duration::from_secs(160);
const PACE: u64 = 8_000;
/// More happenings than this at one moment, and time stands still.
const STUCK: u64 = 1_000_000;
const TRACE: usize = 300;

/// What was simulated.
#[derive(Default, PartialEq)]
pub(crate) struct Stats {
    pub(crate) user_time: Duration,
    /// Facts and commands that machines were handed.
    pub(crate) steps: u64,
    pub(crate) commands: u64,
    pub(crate) commits: u64,
    pub(crate) logins: u64,
    pub(crate) reconnected: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) checks: u64,
    pub(crate) delivered: u64,
    pub(crate) acknowledged: u64,
    pub(crate) healed: u64,
    pub(crate) leases_ended: u64,
    pub(crate) taken_over: u64,
    /// Memberships that an owner ended.
    pub(crate) put_out: u64,
    pub(crate) resumed: u64,
    /// How often a session went on without a stream.
    pub(crate) parked: u64,
    /// Accounts that were made by invitation.
    pub(crate) guests: u64,
    pub(crate) not_invited: u64,
    /// What has become of requests for contact.
    pub(crate) contacts: [u64; 5],
    /// How often one end of a peer stream saw the other's key.
    pub(crate) handshakes: u64,
    /// Files that have arrived whole, and how often one went on that an earlier attempt had begun.
    pub(crate) files: [u64; 2],
    /// How often somebody was blocked.
    pub(crate) blocked: u64,
    /// How often a user asked where another is when all was well.
    pub(crate) addresses: u64,
}

pub(crate) struct World {
    pub(crate) schedule: Schedule,
    pub(crate) network: Network,
    pub(crate) registry: RegistryHost,
    pub(crate) rules: Rules,
    pub(crate) operator: Operator,
    pub(crate) nodes: Vec<Node>,
    pub(crate) judge: Judge,
    pub(crate) post: Post,
    pub(crate) parcels: Parcels,
    pub(crate) stats: Stats,
    pub(crate) bug: Option<Bug>,
    /// Until when things break.
    pub(crate) chaos_until: Option<Time>,
    /// Users do nothing but come online.
    pub(crate) quiet: bool,
    /// The longest pause between two things that a user does, in milliseconds.
    pub(crate) pace: u64,
    broken: Option<String>,
    trace: Option<VecDeque<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, traced: bool) -> Self {
        let mut schedule = Schedule::new(seed);
        let count = schedule.rng.usize(3..=NAMES.len());
        let names = (0..).zip(NAMES.into_iter().take(count));
        let mut nodes: Vec<_> =
            names.map(|(number, name)| Node::new(&mut schedule, number, User::new(name))).collect();
        if schedule.percent(30)
            && let [first, .., last] = nodes.as_mut_slice()
        {
            // Two programs of one user, who take turns.
            last.user = User::new(first.user.name.as_str());
            (first.shared, last.shared) = (true, true);
            // Others would take the one for an impostor of the other.
            (first.key, last.key) = (None, None);
        }
        let registry = RegistryHost::new(&mut schedule);
        let rules = Rules { by_invitation: schedule.percent(40), hidden: schedule.percent(50) };
        Self {
            schedule,
            network: Network::new(),
            registry,
            rules,
            operator: Operator::default(),
            nodes,
            judge: Judge::new(rules),
            post: Post::default(),
            parcels: Parcels::default(),
            stats: Stats::default(),
            bug,
            chaos_until: None,
            quiet: false,
            pace: PACE,
            broken: None,
            trace: traced.then(VecDeque::new),
        }
    }

    /// Lets so much time pass, in spells of bad weather and of good. An error says which promise was broken.
    pub(crate) fn run(&mut self, hours: f64) -> Result<(), String> {
        let end = Time::ZERO + Duration::from_secs_f64(hours * 3600.0);
        self.register_the_old();
        self.start_registry();
        if self.rules.by_invitation {
            self.operate();
        }
        for node in 0..self.nodes.len() {
            self.start_node(node);
            self.schedule.after(Duration::ZERO, Happening::Act { node });
        }
        while self.schedule.now < end {
            self.pace = self.schedule.rng.u64(1_000..=2 * PACE);
            self.misbehave()?;
            self.heal()?;
        }
        let everybody = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.stats.user_time = self.schedule.now.since(Time::ZERO) * everybody;
        self.leave()?;
        self.stats.checks = self.judge.checked;
        [self.stats.leases_ended, self.stats.taken_over, self.stats.resumed] = self.judge.ended;
        self.stats.parked = self.judge.parked;
        (self.stats.guests, self.stats.not_invited) = (self.judge.invited(), self.judge.not_invited);
        let Counts { asked, agreed, declined, ended, kept } = self.judge.contacts;
        self.stats.contacts = [asked, agreed, declined, ended, kept];
        self.stats.files = [self.parcels.arrived, self.parcels.resumed];
        self.stats.delivered = self.post.delivered;
        self.stats.acknowledged = self.post.acknowledged;
        *self.stats.faults.entry("lost datagram").or_default() += self.network.lost;
        *self.stats.faults.entry("doubled datagram").or_default() += self.network.twice;
        Ok(())
    }

    fn misbehave(&mut self) -> Result<(), String> {
        let end = self.schedule.now + self.schedule.millis(60_000..=900_000);
        self.chaos_until = Some(end);
        self.clear();
        self.schedule.after(Duration::ZERO, Happening::Fault);
        self.run_until(end)
    }

    /// Everything works again, and after a while everything is as it should be.
    fn heal(&mut self) -> Result<(), String> {
        self.chaos_until = None;
        self.clear();
        self.start_registry();
        for node in 0..self.nodes.len() {
            self.start_node(node);
        }
        self.run_until(self.schedule.now + (HEALED - QUIET))?;
        self.quiet = true;
        self.run_until(self.schedule.now + QUIET / 2)?;
        let verdict = self.the_parked_are_woken();
        self.check(verdict);
        self.all_ask_for_all();
        self.run_until(self.schedule.now + QUIET / 2)?;
        // Who isn't logged in tries all the same, and of a user's two programs the one may have got in just now.
        for _ in 0..3 {
            let now = self.schedule.now;
            if self.nodes.iter().any(|node| now.since(node.user.since) < MOMENT) {
                self.run_until(now + MOMENT)?;
            }
        }
        let verdict = self.all_is_well();
        self.check(verdict);
        self.settle();
        self.quiet = false;
        self.post.forget();
        self.parcels.forget();
        self.stats.healed += 1;
        self.verdict()
    }

    /// Everybody leaves, and nothing of them is left.
    fn leave(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.ask(node, Ask::Other, Peer::shutdown);
            self.node_settle(node);
            if let Some((ask, _)) = self.nodes[node].user.pending.values().next().cloned() {
                self.fail(format!("node {node} is shut down, but {ask:?} has not ended"));
            }
            if self.nodes[node].machine.as_ref().and_then(Peer::poll_timeout).is_some() {
                self.fail(format!("node {node} is shut down, but waits for something"));
            }
            self.nodes[node].machine = None;
        }
        self.run_until(self.schedule.now + HEALED)?;
        if !self.registry.is_empty() {
            self.fail("everybody has left, but the registry isn't empty".to_owned());
        }
        if let Some((id, line)) = self.network.an_open_line() {
            let what = format!("everybody has left, but {id:?} is open: {line:?}");
            self.fail(what);
        }
        self.verdict()
    }

    fn run_until(&mut self, end: Time) -> Result<(), String> {
        let mut at_once = 0_u64;
        while let Some(next) = self.next().filter(|&next| next <= end) {
            at_once = if next > self.schedule.now { 0 } else { at_once + 1 };
            self.schedule.now = next.max(self.schedule.now);
            if at_once > STUCK {
                self.fail("time stands still".to_owned());
            }
            self.step();
            let verdict = self.judge.punctual(self.schedule.now);
            self.check(verdict);
            self.verdict()?;
        }
        self.schedule.now = end;
        Ok(())
    }

    fn next(&self) -> Option<Time> {
        let registry = self.registry.deadline().filter(|_| self.bug != Some(Bug::ForgetLeases));
        let nodes = self.nodes.iter().filter_map(Node::deadline).min();
        [self.schedule.next(), registry, nodes].into_iter().flatten().min()
    }

    /// The next thing happens: a deadline that is due, or what the schedule says.
    fn step(&mut self) {
        let now = self.schedule.now;
        let is_due = |deadline: Option<Time>| deadline.is_some_and(|at| at <= now);
        if is_due(self.registry.deadline()) && self.bug != Some(Bug::ForgetLeases) {
            return self.registry_due();
        }
        if let Some(node) = self.nodes.iter().position(|node| is_due(node.deadline())) {
            return self.node_due(node);
        }
        let Some(what) = self.schedule.pop() else { return };
        match what {
            Happening::Arrive { line, to } => match self.network.arrive(&mut self.schedule, line, to) {
                Some((Host::Registry, item)) => self.registry_item(line, item),
                Some((Host::Node(node), item)) => self.node_item(node, line, to, item),
                None => {}
            },
            Happening::ToRegistry { from, bytes } => self.registry_datagram(from, &bytes),
            Happening::ToPeer { node, bytes } => self.node_datagram(node, &bytes),
            Happening::Commit { epoch } => self.commit(epoch),
            Happening::Stored { epoch, op, request, answer } => self.stored(epoch, op, &request, *answer),
            Happening::Hashed { epoch, op, answer } => self.hashed(epoch, op, answer),
            Happening::Grace { line } => self.registry_grace(line),
            Happening::Patience { line } => self.registry_patience(line),
            Happening::ToldOperator { epoch, code, answer } => self.told_operator(epoch, code, &answer),
            Happening::Operate => self.operate(),
            Happening::Act { node } => self.user_acts(node),
            Happening::Errand { node, incarnation, errand } => {
                let Node { machine, incarnation: now, .. } = &self.nodes[node];
                if machine.is_some() && *now == incarnation {
                    self.do_errand(node, errand);
                }
            }
            Happening::Fault => self.fault(),
            Happening::Clear => self.clear(),
            Happening::StartNode { node } => self.start_node(node),
            Happening::StartRegistry => self.start_registry(),
        }
    }

    /// Puts something off at a program.
    pub(crate) fn errand(&mut self, node: usize, delay: Duration, errand: Errand) {
        let incarnation = self.nodes[node].incarnation;
        self.schedule.after(delay, Happening::Errand { node, incarnation, errand });
    }

    fn do_errand(&mut self, node: usize, errand: Errand) {
        match errand {
            Errand::AnswerChat { request, accept } => self.answer_chat(node, request, accept),
            Errand::Confirm { receipt } => self.node_step(node, |peer, now| peer.confirm(now, receipt)),
            Errand::AnswerFile { file, accept } => self.answer_file(node, file, accept),
            Errand::Disk { file, deed } => self.disk(node, file, deed),
            Errand::Unblock { user } => self.unblock(node, &user),
        }
    }

    /// What holds once the network has been well for a while.
    fn all_is_well(&mut self) -> Result<(), String> {
        self.judge.truth.audit(&mut self.registry.durable)?;
        let now = self.schedule.now;
        for node in &self.nodes {
            let User { name, registered, rooms, pending, told, .. } = &node.user;
            let Some(machine) = &node.machine else { return Err(format!("{name}'s program is not there")) };
            if node.shared && !machine.is_logged_in() && self.judge.is_online(name) {
                continue;
            }
            if !machine.is_logged_in() || !self.judge.is_online(name) {
                return Err(format!("{name} is not online: {machine:?}, asking {pending:?}"));
            }
            if *registered == Known::Yes && !self.judge.truth.has_account(name) {
                return Err(format!("{name}'s account is lost"));
            }
            let truth = self.judge.truth.rooms_of(name);
            let wrong = rooms.iter().find(|(room, known)| match known {
                _ if node.shared => false,
                Known::Yes => !truth.contains(room),
                Known::No => truth.contains(room),
                Known::Unsettled(_) => false,
            });
            if let Some((room, known)) = wrong {
                return Err(format!("{name} was told {known:?} of {room}, but is in {truth:?}"));
            }
            let believed: BTreeSet<_> = machine.room_names().cloned().collect();
            // Only pushes tell a program that is started again which rooms it is in.
            let is_right = if node.is_told() { believed == truth } else { believed.is_subset(&truth) };
            if !is_right {
                return Err(format!("{name}'s program believes in {believed:?}, but is in {truth:?}"));
            }
            for room in &believed {
                let roster: BTreeSet<_> = machine.roster(room).into_iter().flatten().cloned().collect();
                let present = self.judge.present(room);
                if roster != present {
                    return Err(format!("{name} sees {roster:?} in {room}, where {present:?} are"));
                }
                if told.get(room) != Some(&present) {
                    return Err(format!("{name} was told of {told:?}, but {present:?} are in {room}"));
                }
            }
            let overdue = |(ask, at): &&(Ask, Time)| {
                let longest = match ask {
                    Ask::Chat(_) => LONGEST_COMMAND,
                    Ask::Where(_) => Duration::ZERO,
                    _ => QUIET,
                };
                now.since(*at) > longest
            };
            if let Some((ask, at)) = pending.values().find(overdue) {
                return Err(format!("{name} has waited for {ask:?} since {at}"));
            }
        }
        Ok(())
    }

    /// Who is parked has been woken by what happened, and sees what there is.
    fn the_parked_are_woken(&self) -> Result<(), String> {
        for node in &self.nodes {
            let Some(machine) = node.machine.as_ref().filter(|machine| machine.is_parked()) else { continue };
            for room in machine.room_names() {
                let roster: BTreeSet<_> = machine.roster(room).into_iter().flatten().cloned().collect();
                let present = self.judge.present(room);
                if roster != present {
                    let name = &node.user.name;
                    return Err(format!(
                        "{name} is parked and sees {roster:?} in {room}, where {present:?} are"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nothing is on its way any more, so what nobody knew can be looked up.
    fn settle(&mut self) {
        for node in &mut self.nodes {
            let rooms = self.judge.truth.rooms_of(&node.user.name);
            node.user.rooms = rooms.into_iter().map(|room| (room, Known::Yes)).collect();
        }
    }

    /// Notes the first promise that is broken.
    pub(crate) fn fail(&mut self, what: String) {
        self.trace(|| format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    pub(crate) fn check(&mut self, verdict: Result<(), String>) {
        if let Err(what) = verdict {
            self.fail(what);
        }
    }

    fn verdict(&self) -> Result<(), String> {
        self.broken.as_ref().map_or(Ok(()), |what| Err(format!("at {}: {what}", self.schedule.now)))
    }

    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push_back(format!("{} {}", self.schedule.now, line()));
            if trace.len() > TRACE {
                trace.pop_front();
            }
        }
    }

    /// What happened last.
    pub(crate) fn last_trace(&self) -> impl Iterator<Item = &String> {
        self.trace.iter().flatten()
    }
}
