//! Who is kept out by the registry's operator.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use p2pchat_proto::{Reason, Username};

use super::{Registry, Subnet};
use crate::time::Time;

/// Who is kept out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BanTarget {
    /// An account, and its name if there is no such account.
    User(Username),
    /// Whoever comes from there.
    Subnet(Subnet),
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(username) => username.fmt(f),
            Self::Subnet(subnet) => subnet.fmt(f),
        }
    }
}

/// A ban as it is stored, on the calendar's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub target: BanTarget,
    /// Why, as they are told.
    pub reason: Option<Reason>,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Until when, in seconds since 1970; for ever if there is none.
    pub until: Option<u64>,
}

/// A ban that holds, on the machine's clock.
#[derive(Debug)]
struct Held {
    reason: Option<Reason>,
    until: Option<Time>,
}

impl Held {
    fn holds(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// What those concerned are told.
    fn words(&self, now: Time) -> String {
        let mut words = String::from("you are banned from this registry");
        if let Some(until) = self.until {
            words += &format!(" for another {}", roughly(until.since(now)));
        }
        if let Some(reason) = &self.reason {
            words += &format!(": {reason}");
        }
        words
    }
}

/// A duration in its largest unit, rounded up.
fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let units = [(86_400, "days"), (3_600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(size, _)| seconds >= 2 * size);
    unit.map_or_else(|| format!("{seconds} s"), |(size, unit)| format!("{} {unit}", seconds.div_ceil(size)))
}

/// All bans.
#[derive(Debug, Default)]
pub(super) struct Bans {
    users: BTreeMap<Username, Held>,
    subnets: BTreeMap<Subnet, Held>,
}

impl Bans {
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.subnets.len()
    }

    /// The network by which an address is kept out.
    pub(super) fn subnet_of(&self, now: Time, address: IpAddr) -> Option<Subnet> {
        if self.subnets.is_empty() {
            return None;
        }
        Subnet::all_around(address)
            .find(|subnet| self.subnets.get(subnet).is_some_and(|held| held.holds(now)))
    }

    /// What a user who is kept out is told.
    pub(super) fn words_for(&self, now: Time, username: &Username) -> Option<String> {
        self.users.get(username).filter(|held| held.holds(now)).map(|held| held.words(now))
    }
}

impl Registry {
    /// Keeps somebody out until then, in place of an earlier ban of the same target. They are told why, and their streams
    /// are closed; how many those are, with the sessions that have none and wait, is returned. Bans aren't the machine's to keep: its owner has made this one durable, and
    /// tells the machine of it again after a restart.
    ///
    /// An address that is kept out gets no stream, a user no session, and their name can't be registered.
    pub fn ban(
        &mut self,
        now: Time,
        target: BanTarget,
        reason: Option<Reason>,
        until: Option<Time>,
    ) -> usize {
        if self.bans.len() >= self.config.bans {
            self.bans.users.retain(|_, held| held.holds(now));
            self.bans.subnets.retain(|_, held| held.holds(now));
        }
        let held = Held { reason, until };
        if !held.holds(now) {
            return 0;
        }
        let words = held.words(now);
        let concerned: Vec<_> = match &target {
            BanTarget::User(username) => self.place(username).into_iter().collect(),
            BanTarget::Subnet(subnet) => {
                let from_there = |(_, c): &(_, &super::Connection)| subnet.contains(c.remote.ip());
                self.connections.iter().filter(from_there).map(|(conn, _)| conn).collect()
            }
        };
        match target {
            BanTarget::User(username) => self.bans.users.insert(username, held),
            BanTarget::Subnet(subnet) => self.bans.subnets.insert(subnet, held),
        };
        for &conn in &concerned {
            self.fail(conn, &words);
        }
        concerned.len()
    }

    /// Keeps somebody out no longer. False if they weren't.
    pub fn unban(&mut self, now: Time, target: &BanTarget) -> bool {
        let held = match target {
            BanTarget::User(username) => self.bans.users.remove(username),
            BanTarget::Subnet(subnet) => self.bans.subnets.remove(subnet),
        };
        held.is_some_and(|held| held.holds(now))
    }

    /// True if the user's name is kept out.
    pub fn is_banned(&self, now: Time, username: &Username) -> bool {
        self.bans.words_for(now, username).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_is_said_in_one_unit_and_never_as_too_short() {
        for (seconds, words) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (121, "3 min"),
            (7_199, "120 min"),
            (7_200, "2 h"),
            (172_800, "2 days"),
            (172_801, "3 days"),
        ] {
            assert_eq!(roughly(Duration::from_secs(seconds)), words);
        }
        assert_eq!(roughly(Duration::from_millis(1_001)), "2 s");
    }
}
