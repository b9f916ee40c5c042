//! What strangers may do, by where they come from (PROTOCOL.md §9).

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::{PrefixLimits, Rate, Refused};
use crate::time::Time;

/// The addresses that count as one: an IPv4 address, or an IPv6 network of /64, which is what one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix(IpAddr);

impl Prefix {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 32 } else { 64 })
    }
}

/// Who is connected from where, and what they have used up.
#[derive(Debug)]
pub(super) struct Guard {
    limits: PrefixLimits,
    prefixes: BTreeMap<Prefix, Usage>,
}

/// Each moment is when a rate's bucket is full again (the generic cell rate algorithm's theoretical arrival time).
#[derive(Debug, Default)]
struct Usage {
    open: usize,
    connects: Time,
    registrations: Time,
    failed_logins: Time,
}

impl Usage {
    fn is_rested(&self, now: Time) -> bool {
        self.open == 0 && self.connects.max(self.registrations).max(self.failed_logins) <= now
    }
}

/// Takes one out of a bucket, or says how long until there is one.
fn take(full_at: &mut Time, now: Time, rate: Rate) -> Result<(), Duration> {
    let next = (*full_at).max(now) + rate.per / rate.count.max(1);
    if next.since(now) > rate.per {
        return Err(next.since(now) - rate.per);
    }
    *full_at = next;
    Ok(())
}

impl Guard {
    pub(super) fn new(limits: PrefixLimits) -> Self {
        Self { limits, prefixes: BTreeMap::new() }
    }

    /// A stream has come.
    pub(super) fn connected(&mut self, now: Time, from: IpAddr) -> Result<(), Refused> {
        let (limit, rate) = (self.limits.connections, self.limits.connects);
        let prefix = Prefix::of(from);
        let Some(usage) = self.usage(now, from) else { return Ok(()) };
        if usage.open >= limit {
            return Err(Refused::TooManyFromPrefix { prefix: prefix.to_string(), limit });
        }
        take(&mut usage.connects, now, rate)
            .map_err(|wait| Refused::TooFast { prefix: prefix.to_string(), wait })?;
        usage.open += 1;
        Ok(())
    }

    /// A stream that was taken on is gone.
    pub(super) fn disconnected(&mut self, from: IpAddr) {
        if let Some(usage) = self.prefixes.get_mut(&Prefix::of(from)) {
            usage.open = usage.open.saturating_sub(1);
        }
    }

    /// Somebody wants an account; if they may not have one now, for how long not.
    pub(super) fn registers(&mut self, now: Time, from: IpAddr) -> Result<(), Duration> {
        let rate = self.limits.registrations;
        self.usage(now, from).map_or(Ok(()), |usage| take(&mut usage.registrations, now, rate))
    }

    /// Somebody wants to log in; if they may not try now, for how long not.
    pub(super) fn logs_in(&mut self, now: Time, from: IpAddr) -> Result<(), Duration> {
        let rate = self.limits.failed_logins;
        let mut full_at = self.usage(now, from).map_or(Time::ZERO, |usage| usage.failed_logins);
        take(&mut full_at, now, rate)
    }

    /// They had the wrong password, or no account.
    pub(super) fn login_failed(&mut self, now: Time, from: IpAddr) {
        let rate = self.limits.failed_logins;
        if let Some(usage) = self.usage(now, from) {
            // Attempts at the same time on several streams may have been one more than there was room for.
            _ = take(&mut usage.failed_logins, now, rate);
        }
    }

    /// `None` for who isn't limited.
    fn usage(&mut self, now: Time, from: IpAddr) -> Option<&mut Usage> {
        if from.to_canonical().is_loopback() && !self.limits.loopback {
            return None;
        }
        let prefix = Prefix::of(from);
        let room = self.limits.remembered;
        if self.prefixes.len() >= room && !self.prefixes.contains_key(&prefix) {
            self.prefixes.retain(|_, usage| !usage.is_rested(now));
            // So that the next sweep is far off: who has more prefixes than that isn't stopped by limits for each.
            if self.prefixes.len() > room / 2 {
                self.prefixes.retain(|_, usage| usage.open > 0);
            }
        }
        Some(self.prefixes.entry(prefix).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> PrefixLimits {
        PrefixLimits {
            connections: 2,
            connects: Rate::new(3, 60 * SECOND),
            registrations: Rate::new(1, 60 * SECOND),
            failed_logins: Rate::new(2, 60 * SECOND),
            remembered: 4,
            loopback: true,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_prefix() {
        for (a, b, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(Prefix::of(ip(a)) == Prefix::of(ip(b)), same, "{a} {b}");
        }
        assert_eq!(Prefix::of(ip("::ffff:192.0.2.1")).to_string(), "192.0.2.1/32");
        assert_eq!(Prefix::of(ip("2001:db8:0:1::9")).to_string(), "2001:db8:0:1::/64");
    }

    #[test]
    fn a_rate_gives_all_at_once_and_then_one_after_the_other() {
        let rate = Rate::new(3, 60 * SECOND);
        let mut full_at = Time::ZERO;
        let start = Time::from_micros(5_000_000);
        for _ in 0..3 {
            assert_eq!(take(&mut full_at, start, rate), Ok(()));
        }
        assert_eq!(take(&mut full_at, start, rate), Err(20 * SECOND));
        assert_eq!(take(&mut full_at, start + 19 * SECOND, rate), Err(SECOND));
        assert_eq!(take(&mut full_at, start + 20 * SECOND, rate), Ok(()));
        assert_eq!(take(&mut full_at, start + 20 * SECOND, rate), Err(20 * SECOND));
        let rested = start + 1_000 * SECOND;
        for _ in 0..3 {
            assert_eq!(take(&mut full_at, rested, rate), Ok(()));
        }
        assert!(take(&mut full_at, rested, rate).is_err(), "no more is saved up than that");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_is_connected_is_not_forgotten() {
        let mut guard = Guard::new(limits());
        guard.connected(Time::ZERO, ip("192.0.2.1")).unwrap();
        guard.connected(Time::ZERO, ip("192.0.2.1")).unwrap();
        for n in 0..=255 {
            assert_eq!(guard.registers(Time::ZERO, IpAddr::from([198, 51, 100, n])), Ok(()));
            assert!(guard.prefixes.len() <= 4);
        }
        let refused = guard.connected(Time::ZERO, ip("192.0.2.1"));
        assert_eq!(refused, Err(Refused::TooManyFromPrefix { prefix: "192.0.2.1/32".into(), limit: 2 }));
        guard.disconnected(ip("192.0.2.1"));
        guard.connected(Time::ZERO, ip("192.0.2.1")).unwrap();
    }
}
