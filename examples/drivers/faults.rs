//! What goes wrong.

use std::{net::IpAddr, time::Duration};

use crate::{bugs::Bug, world::World};

/// The registry's place among the hosts.
const REGISTRY: usize = 0;

impl World {
    /// Something breaks, for a while that ends with the bad weather at the latest.
    pub(crate) fn fault(&mut self, end: Duration) {
        let longest = u64::try_from((end - self.now()).as_millis()).unwrap_or(u64::MAX);
        let until = self.now() + Duration::from_millis(self.dice.u64(100..=60_000).min(longest));
        let host = self.dice.usize(1..self.hosts.len());
        let other = if self.dice.bool() { REGISTRY } else { self.dice.usize(1..self.hosts.len()) };
        let what = match self.dice.u8(0..100) {
            0..25 if host != other => self.partition(host, other, until),
            25..32 => {
                for other in (0..self.hosts.len()).filter(|&other| other != host) {
                    self.block(host, other, until);
                    self.block(other, host, until);
                }
                "isolation"
            }
            32..40 if host != other => self.stall(host, other, until),
            40..60 => {
                if !self.site.network.cut_some() {
                    return;
                }
                "cut"
            }
            60..66 => self.crash(host, until, "client crash"),
            66..70 => self.lose_power(host, until, "client power loss"),
            70..75 => {
                let back = self.soon(until);
                self.crash(REGISTRY, back, "registry crash")
            }
            75..79 => {
                let back = self.soon(until);
                self.lose_power(REGISTRY, back, "registry power loss")
            }
            79..83 if !self.down.contains_key(&REGISTRY) => {
                self.site.stop.notify_one();
                self.site.network.set_refusing(self.hosts[REGISTRY], true);
                let back = self.soon(until);
                // It needs a while to end; what has not ended by then is cut off.
                self.down.insert(REGISTRY, back.max(self.now() + Duration::from_secs(8)));
                "registry restart"
            }
            83..90 => {
                self.site.network.set_loss(self.dice.u32(20..=95));
                self.clear_at = Some(until);
                "loss"
            }
            90..95 => {
                self.sim.set_max_message_latency(Duration::from_millis(self.dice.u64(500..=4_000)));
                self.clear_at = Some(until);
                "delay"
            }
            95.. => {
                self.site.store.lock().slowness = self.dice.u64(10..=100);
                self.clear_at = Some(until);
                "slow store"
            }
            _ => return,
        };
        self.site.book().note(|| format!("fault: {what}, host {host}, {other}, until {until:?}"));
        *self.faults.entry(what).or_default() += 1;
    }

    /// Half of the times it is back before anybody's lease would have ended.
    fn soon(&mut self, until: Duration) -> Duration {
        until.min(self.now() + Duration::from_millis(self.dice.u64(100..=30_000)))
    }

    fn partition(&mut self, one: usize, other: usize, until: Duration) -> &'static str {
        let ways = self.dice.u8(0..4);
        if ways != 0 {
            self.block(one, other, until);
        }
        if ways != 1 {
            self.block(other, one, until);
        }
        if ways < 2 { "one-way partition" } else { "partition" }
    }

    fn block(&mut self, from: usize, to: usize, until: Duration) {
        let (from, to) = (self.hosts[from], self.hosts[to]);
        if self.held.contains_key(&ordered(from, to)) {
            return;
        }
        let end = self.blocked.entry((from, to)).or_insert(until);
        *end = until.max(*end);
        self.sim.partition_oneway(from, to);
        self.site.network.block(from, to);
    }

    /// Everything between two hosts waits, and arrives in the end.
    fn stall(&mut self, one: usize, other: usize, until: Duration) -> &'static str {
        let (one, other) = ordered(self.hosts[one], self.hosts[other]);
        let is_blocked = [(one, other), (other, one)].iter().any(|way| self.blocked.contains_key(way));
        if !is_blocked && !self.held.contains_key(&(one, other)) {
            self.sim.hold(one, other);
            self.held.insert((one, other), until);
        }
        "stall"
    }

    /// A program is killed. Its system says so to whoever has a stream to it.
    fn crash(&mut self, host: usize, until: Duration, what: &'static str) -> &'static str {
        if self.down.contains_key(&host) {
            return what;
        }
        self.kill(host);
        self.site.network.set_refusing(self.hosts[host], true);
        if host != REGISTRY {
            self.site.book().stopped(host - 1);
        }
        self.down.insert(host, until);
        what
    }

    /// Ends all that runs on a host, and what it alone remembered.
    fn kill(&mut self, host: usize) {
        if host == REGISTRY {
            // The handle would keep the socket, which only ends where it began.
            self.site.book().registry = None;
        }
        self.site.network.set_dying(Some(self.hosts[host]));
        self.sim.crash(self.hosts[host]);
        self.site.network.set_dying(None);
        if host == REGISTRY {
            self.site.store.crash();
        }
    }

    /// A machine is gone without a word.
    fn lose_power(&mut self, host: usize, until: Duration, what: &'static str) -> &'static str {
        if self.down.contains_key(&host) {
            return what;
        }
        let others: Vec<_> = self.hosts.iter().copied().filter(|&other| other != self.hosts[host]).collect();
        let here = self.hosts[host];
        let whole: Vec<_> = others
            .into_iter()
            .filter(|&other| {
                ![(here, other), (other, here)].iter().any(|way| self.blocked.contains_key(way))
                    && !self.held.contains_key(&ordered(here, other))
            })
            .collect();
        for &other in &whole {
            self.sim.partition(here, other);
        }
        self.crash(host, until, what);
        self.site.network.set_refusing(here, false);
        for &other in &whole {
            self.sim.repair(here, other);
        }
        what
    }

    /// What has lasted long enough ends; with `all`, everything.
    pub(crate) fn end_faults(&mut self, all: bool) {
        let now = self.now();
        let is_over = |until: &Duration| all || *until <= now;
        let ways: Vec<_> =
            self.blocked.iter().filter(|(_, until)| is_over(until)).map(|(&way, _)| way).collect();
        let forgets = self.site.book().bug == Some(Bug::ForgetRepair);
        for (from, to) in ways {
            self.blocked.remove(&(from, to));
            if forgets && self.dice.u8(0..4) == 0 {
                continue;
            }
            self.sim.repair_oneway(from, to);
            self.site.network.unblock(from, to);
        }
        let links: Vec<_> =
            self.held.iter().filter(|(_, until)| is_over(until)).map(|(&link, _)| link).collect();
        for (one, other) in links {
            self.held.remove(&(one, other));
            self.sim.release(one, other);
        }
        let hosts: Vec<_> =
            self.down.iter().filter(|(_, until)| is_over(until)).map(|(&host, _)| host).collect();
        for host in hosts {
            self.down.remove(&host);
            // What has not ended by now is killed.
            self.kill(host);
            self.site.network.set_refusing(self.hosts[host], false);
            self.sim.bounce(self.hosts[host]);
        }
        if self.clear_at.as_ref().is_some_and(is_over) {
            self.clear(!all);
        }
    }

    /// The weather is as usual: rough while things break, else fine.
    pub(crate) fn clear(&mut self, rough: bool) {
        self.clear_at = None;
        self.site.network.set_loss(if rough { 3 } else { 0 });
        self.sim.set_max_message_latency(Duration::from_millis(if rough { 200 } else { 50 }));
        let mut store = self.site.store.lock();
        (store.slowness, store.is_busy) = (1, rough);
    }
}

fn ordered(one: IpAddr, other: IpAddr) -> (IpAddr, IpAddr) {
    (one.min(other), one.max(other))
}
