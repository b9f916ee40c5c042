//! What strangers may do, by where they come from (PROTOCOL.md §9).

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use p2pchat_proto::Username;

use super::{
    PrefixLimits, Rate, Refused,
    guesses::{Bucket, Guesses},
};
use crate::{
    prefix::Prefix,
    rate::{self, give_back, take},
    time::Time,
};

/// Who is connected from where, and what they have used up.
#[derive(Debug)]
pub(super) struct Guard {
    limits: PrefixLimits,
    prefixes: BTreeMap<Prefix, Usage>,
    /// At how many prefixes those that nobody needs are looked for.
    sweep_at: usize,
    guesses: Guesses,
}

/// Why a login is not tried, and for how long none will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMany {
    /// Too many have failed from the prefix.
    Here(Duration),
    /// Too many have failed on the account.
    OfThis(Duration),
}

/// A login that is being tried. It counts as failed until it is known not to be.
#[derive(Debug)]
pub(super) struct Attempt {
    username: Username,
    from: IpAddr,
    /// The prefix has paid for it.
    counted: bool,
    /// Who else has; `None` for who isn't limited.
    bucket: Option<Bucket>,
}

/// Each moment is when a rate's bucket is full again (the generic cell rate algorithm's theoretical arrival time).
#[derive(Debug, Default)]
struct Usage {
    open: usize,
    connects: Time,
    requests: Time,
    registrations: Time,
    failed_logins: Time,
}

impl Usage {
    fn is_rested(&self, now: Time) -> bool {
        let full_at = [self.connects, self.requests, self.registrations, self.failed_logins];
        self.open == 0 && full_at.into_iter().all(|full_at| full_at <= now)
    }
}

impl Attempt {
    pub(super) fn username(&self) -> &Username {
        &self.username
    }
}

impl Guard {
    pub(super) fn new(limits: PrefixLimits) -> Self {
        let guesses = Guesses::new(limits.account_failures, limits.remembered);
        Self { limits, prefixes: BTreeMap::new(), sweep_at: limits.remembered, guesses }
    }

    /// Other limits, from now on; those are the streams that are open.
    pub(super) fn set_limits(&mut self, limits: PrefixLimits, open: impl Iterator<Item = IpAddr>) {
        self.limits = limits;
        self.guesses.set_limits(limits.account_failures, limits.remembered);
        self.sweep_at = limits.remembered.max(2 * self.prefixes.len());
        // Who wasn't limited wasn't counted either.
        self.prefixes.values_mut().for_each(|usage| usage.open = 0);
        for from in open {
            if !self.is_exempt(from) {
                self.prefixes.entry(Prefix::of(from)).or_default().open += 1;
            }
        }
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

    /// Something has come on a stream, which costs as much as `cost` requests. It is answered in any case; true if the
    /// prefix has now used up what it has.
    pub(super) fn requested(&mut self, now: Time, from: IpAddr, cost: u32) -> bool {
        let rate = self.limits.requests;
        let Some(usage) = self.usage(now, from) else { return false };
        rate::charge(&mut usage.requests, now, rate, cost);
        self.held_until(now, from).is_some()
    }

    /// Until when nothing more should be read from there.
    pub(super) fn held_until(&self, now: Time, from: IpAddr) -> Option<Time> {
        let rate = self.limits.requests;
        let full_at = self.prefixes.get(&Prefix::of(from))?.requests;
        let next = Time::ZERO + (full_at + rate.interval()).since(Time::ZERO).saturating_sub(rate.per);
        (next > now).then_some(next)
    }

    /// Somebody wants to log in.
    pub(super) fn logs_in(
        &mut self,
        now: Time,
        from: IpAddr,
        username: &Username,
    ) -> Result<Attempt, TooMany> {
        let rate = self.limits.failed_logins;
        let mut attempt = Attempt { username: username.clone(), from, counted: false, bucket: None };
        let Some(usage) = self.usage(now, from) else { return Ok(attempt) };
        let here = take(&mut usage.failed_logins, now, rate);
        attempt.counted = here.is_ok();
        if let Err(wait) = here
            // Whoever else guesses there doesn't keep the owner out.
            && !self.guesses.is_home(from, username)
        {
            return Err(TooMany::Here(wait));
        }
        match self.guesses.tries(now, from, username) {
            Ok(bucket) => Ok(Attempt { bucket: Some(bucket), ..attempt }),
            Err(wait) => {
                self.takes_back(&attempt);
                Err(TooMany::OfThis(wait))
            }
        }
    }

    /// The password was right, or could not be compared.
    pub(super) fn takes_back(&mut self, attempt: &Attempt) {
        let Attempt { username, from, counted, bucket } = attempt;
        let rate = self.limits.failed_logins;
        if *counted && let Some(usage) = self.prefixes.get_mut(&Prefix::of(*from)) {
            give_back(&mut usage.failed_logins, rate);
        }
        if let Some(bucket) = bucket {
            self.guesses.gives_back(*from, username, *bucket);
        }
    }

    /// The password was right.
    pub(super) fn logged_in(&mut self, now: Time, attempt: &Attempt) {
        self.takes_back(attempt);
        if attempt.bucket.is_some() {
            self.guesses.succeeds(now, attempt.from, &attempt.username);
        }
    }

    /// Somebody is about to give a room's password; if they have given too many wrong ones, for how long they may not.
    pub(super) fn enters_room(&self, now: Time, from: IpAddr, username: &Username) -> Result<(), Duration> {
        if self.is_exempt(from) { Ok(()) } else { self.guesses.tries_room(now, username) }
    }

    /// It was wrong.
    pub(super) fn wrong_room_password(&mut self, now: Time, from: IpAddr, username: Username) {
        if !self.is_exempt(from) {
            self.guesses.fails_room(now, username);
        }
    }

    /// Somebody asks another user for contact, from wherever; if they have asked too often, for how long they may not.
    pub(super) fn asks_contact(
        &mut self,
        now: Time,
        username: &Username,
        rate: Rate,
    ) -> Result<(), Duration> {
        self.guesses.asks_contact(now, username, rate)
    }

    fn is_exempt(&self, from: IpAddr) -> bool {
        from.to_canonical().is_loopback() && !self.limits.loopback
    }

    /// `None` for who isn't limited.
    fn usage(&mut self, now: Time, from: IpAddr) -> Option<&mut Usage> {
        if self.is_exempt(from) {
            return None;
        }
        let prefix = Prefix::of(from);
        if self.prefixes.len() >= self.sweep_at && !self.prefixes.contains_key(&prefix) {
            let room = self.limits.remembered;
            self.prefixes.retain(|_, usage| !usage.is_rested(now));
            if self.prefixes.len() > room / 2 {
                self.prefixes.retain(|_, usage| usage.open > 0);
            }
            // However many are connected, the next sweep is far off.
            self.sweep_at = room.max(2 * self.prefixes.len());
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
            requests: Rate::new(10, SECOND),
            registrations: Rate::new(1, 60 * SECOND),
            failed_logins: Rate::new(2, 60 * SECOND),
            account_failures: Rate::new(5, 60 * SECOND),
            remembered: 4,
            loopback: true,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_asks_too_much_is_held_until_there_is_one_more_request_and_never_for_long() {
        let (mut guard, start) = (Guard::new(limits()), Time::from_micros(5_000_000));
        let (here, there) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for _ in 0..9 {
            assert!(!guard.requested(start, here, 1));
        }
        assert!(guard.requested(start, here, 1), "that was the last");
        assert_eq!(guard.held_until(start, here), Some(start + SECOND / 10));
        assert_eq!(guard.held_until(start, there), None);
        assert_eq!(guard.held_until(start + SECOND / 10, here), None);
        assert!(guard.requested(start + SECOND / 10, here, 5));
        assert_eq!(guard.held_until(start + SECOND / 10, here), Some(start + SECOND * 6 / 10));
        for _ in 0..1_000 {
            guard.requested(start, here, u32::MAX);
        }
        assert_eq!(guard.held_until(start, here), Some(start + SECOND + SECOND / 10));
        assert!(!guard.requested(start + 2 * SECOND, here, 1), "all is there again");
    }

    #[test]
    fn no_limit_holds_nobody() {
        let mut guard = Guard::new(PrefixLimits { loopback: true, ..PrefixLimits::NONE });
        let (here, alice) = (ip("127.0.0.1"), Username::new("alice").unwrap());
        for _ in 0..10_000 {
            assert_eq!(guard.connected(Time::ZERO, here), Ok(()));
            assert_eq!(guard.registers(Time::ZERO, here), Ok(()));
            assert!(!guard.requested(Time::ZERO, here, 5));
            assert!(guard.logs_in(Time::ZERO, here, &alice).is_ok());
            guard.wrong_room_password(Time::ZERO, here, alice.clone());
        }
        assert_eq!(guard.enters_room(Time::ZERO, here, &alice), Ok(()));
    }

    #[test]
    fn who_guesses_beside_the_owner_does_not_keep_them_out() {
        let mut guard = Guard::new(limits());
        let (office, alice) = (ip("192.0.2.1"), Username::new("alice").unwrap());
        let other = |n: u32| Username::new(&format!("other{n}")).unwrap();
        let attempt = guard.logs_in(Time::ZERO, office, &alice).unwrap();
        guard.logged_in(Time::ZERO, &attempt);
        for n in 0..2 {
            guard.logs_in(Time::ZERO, office, &other(n)).unwrap();
        }
        let refused = guard.logs_in(Time::ZERO, office, &other(2));
        assert_eq!(refused.unwrap_err(), TooMany::Here(30 * SECOND));
        let attempt = guard.logs_in(Time::ZERO, office, &alice).unwrap();
        guard.logged_in(Time::ZERO, &attempt);
        let refused = guard.logs_in(Time::ZERO, office, &other(2));
        assert_eq!(
            refused.unwrap_err(),
            TooMany::Here(30 * SECOND),
            "the prefix got nothing back that it hadn't paid"
        );
    }

    #[test]
    fn who_has_rested_is_forgotten_before_who_has_used_something_up() {
        let mut guard = Guard::new(limits());
        let now = Time::ZERO + 30 * SECOND;
        for n in 1..=3 {
            guard.requested(Time::ZERO, IpAddr::from([192, 0, 2, n]), 1);
        }
        guard.registers(now, ip("198.51.100.1")).unwrap();
        guard.registers(now, ip("198.51.100.2")).unwrap();
        assert_eq!(guard.prefixes.len(), 2);
        assert_eq!(guard.registers(now, ip("198.51.100.1")), Err(60 * SECOND));
    }

    #[test]
    fn up_to_the_bound_nobody_is_forgotten() {
        let mut guard = Guard::new(limits());
        let nth = |n| IpAddr::from([198, 51, 100, n]);
        for n in 1..=4 {
            guard.registers(Time::ZERO, nth(n)).unwrap();
        }
        for n in 1..=4 {
            assert_eq!(guard.registers(Time::ZERO, nth(n)), Err(60 * SECOND), "{n}");
        }
        // Of four that are to be remembered two are kept by what they used up, and more only by being connected.
        for n in 3..=4 {
            give_back(
                &mut guard.prefixes.get_mut(&Prefix::of(nth(n))).unwrap().registrations,
                limits().registrations,
            );
        }
        guard.registers(Time::ZERO, nth(5)).unwrap();
        assert_eq!(guard.registers(Time::ZERO, nth(1)), Err(60 * SECOND));
        assert_eq!(guard.prefixes.len(), 3);
    }

    #[test]
    fn other_limits_hold_for_who_is_there_and_what_is_used_up_stays_so() {
        let mut guard = Guard::new(PrefixLimits { loopback: false, ..limits() });
        let (here, there) = (ip("127.0.0.1"), ip("192.0.2.1"));
        for _ in 0..3 {
            guard.connected(Time::ZERO, here).unwrap();
        }
        guard.connected(Time::ZERO, there).unwrap();
        guard.registers(Time::ZERO, there).unwrap();
        guard.set_limits(limits(), [here, here, here, there].into_iter());
        let refused = |prefix: &str| Err(Refused::TooManyFromPrefix { prefix: prefix.into(), limit: 2 });
        assert_eq!(guard.connected(Time::ZERO, here), refused("127.0.0.1/32"));
        guard.disconnected(here);
        assert_eq!(guard.connected(Time::ZERO, here), refused("127.0.0.1/32"));
        guard.disconnected(here);
        assert_eq!(guard.connected(Time::ZERO, here), Ok(()));
        assert_eq!(guard.connected(Time::ZERO, there), Ok(()));
        assert_eq!(guard.connected(Time::ZERO, there), refused("192.0.2.1/32"));
        assert!(guard.registers(Time::ZERO, there).is_err());
        // Nor do other limits make a registry with many connected go through all of them at each one that comes.
        for n in 0..100 {
            guard.registers(Time::ZERO, IpAddr::from([198, 51, 100, n])).unwrap();
            guard.prefixes.entry(Prefix::of(IpAddr::from([198, 51, 100, n]))).or_default().open = 1;
        }
        let known = guard.prefixes.len();
        assert!(known >= 100);
        guard.set_limits(limits(), std::iter::empty());
        assert_eq!(guard.sweep_at, 2 * known);
        guard.set_limits(PrefixLimits::NONE, std::iter::empty());
        assert_eq!(guard.connected(Time::ZERO, there), Ok(()));
        assert_eq!(guard.registers(Time::ZERO, there), Ok(()));
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
        let mut sweeps = std::collections::BTreeSet::new();
        for n in 0..=255 {
            guard.connected(Time::ZERO, IpAddr::from([203, 0, 113, n])).unwrap();
            sweeps.insert(guard.sweep_at);
        }
        assert!(sweeps.len() <= 8, "each time there are twice as many: {sweeps:?}");
        assert!((257..=2 * 257).contains(&guard.sweep_at), "sweeps are far between: {}", guard.sweep_at);
        for n in 0..=255 {
            guard.disconnected(IpAddr::from([203, 0, 113, n]));
        }
        guard.connected(Time::ZERO, ip("192.0.2.2")).unwrap();
        assert!(guard.prefixes.len() <= 512, "twice as many as were connected");
        let hour_later = Time::ZERO + 3_600 * SECOND;
        for n in 0..=255 {
            guard.registers(hour_later, IpAddr::from([198, 51, 100, n])).unwrap();
        }
        assert!(guard.prefixes.len() <= 4, "{}", guard.prefixes.len());
    }
}
