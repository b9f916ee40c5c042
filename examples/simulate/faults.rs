//! What goes wrong.

use crate::{
    network::{Host, Weather},
    schedule::Happening,
    world::World,
};

impl World {
    /// Something breaks, for a while that ends with the bad weather at the latest.
    pub(crate) fn fault(&mut self) {
        let Some(end) = self.chaos_until.filter(|&end| end > self.schedule.now) else { return };
        let next = self.schedule.millis(500..=25_000);
        self.schedule.after(next, Happening::Fault);
        let longest = u64::try_from(end.since(self.schedule.now).as_millis()).unwrap_or(u64::MAX);
        let millis = self.schedule.rng.u64(100..=60_000).min(longest);
        let until = self.schedule.now + std::time::Duration::from_millis(millis);
        let node = self.schedule.rng.usize(0..self.nodes.len());
        let what = match self.schedule.rng.u8(0..100) {
            0..20 => self.partition(Host::Node(node), Host::Registry, until),
            20..30 => {
                let other = self.schedule.rng.usize(0..self.nodes.len());
                self.partition(Host::Node(node), Host::Node(other), until)
            }
            30..37 => {
                for host in (0..self.nodes.len()).map(Host::Node).chain([Host::Registry]) {
                    self.network.block(Host::Node(node), host, until);
                    self.network.block(host, Host::Node(node), until);
                }
                "isolation"
            }
            37..60 => {
                let lines = self.network.line_ids();
                if let Some(line) = self.schedule.pick(&lines) {
                    self.network.cut(&mut self.schedule, line);
                }
                "cut"
            }
            60..70 => {
                let says_so = self.schedule.percent(70);
                self.stop_node(node, says_so);
                self.schedule.at(until, Happening::StartNode { node });
                if says_so { "client crash" } else { "client power loss" }
            }
            70..80 => {
                let in_order = self.schedule.percent(30);
                self.stop_registry(in_order);
                // Half of the times it is back before anybody's lease would have ended.
                let back = until.min(self.schedule.now + self.schedule.millis(100..=30_000));
                self.schedule.at(back, Happening::StartRegistry);
                if in_order { "registry restart" } else { "registry crash" }
            }
            80..90 => {
                self.network.weather =
                    Weather { loss: self.schedule.rng.u32(20..=95), ..self.network.weather };
                self.schedule.at(until, Happening::Clear);
                "loss"
            }
            90..95 => {
                self.network.weather.delay = self.schedule.rng.u64(500..=4_000);
                self.schedule.at(until, Happening::Clear);
                "delay"
            }
            _ => {
                self.registry.slow = self.schedule.rng.u64(10..=100);
                self.schedule.at(until, Happening::Clear);
                "slow store"
            }
        };
        self.trace(|| format!("fault: {what}, node {node}, until {until}"));
        *self.stats.faults.entry(what).or_default() += 1;
    }

    fn partition(&mut self, one: Host, other: Host, until: p2pchat_core::Time) -> &'static str {
        let ways = self.schedule.rng.u8(0..4);
        if ways != 0 {
            self.network.block(one, other, until);
        }
        if ways != 1 {
            self.network.block(other, one, until);
        }
        if ways < 2 { "one-way partition" } else { "partition" }
    }

    pub(crate) fn clear(&mut self) {
        self.network.weather = if self.chaos_until.is_some() { Weather::ROUGH } else { Weather::FINE };
        self.registry.slow = 1;
    }
}
