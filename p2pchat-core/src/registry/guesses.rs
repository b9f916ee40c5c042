//! Wrong passwords, by whose account they were tried on: what slows a guesser down who comes from many places, and locks
//! nobody out (PROTOCOL.md §9).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use p2pchat_proto::Username;

use super::Rate;
use crate::{
    rate::{give_back, take},
    time::Time,
};

/// What a site that has never logged in to an account may still try there while the account's own bucket is empty. A
/// guesser everywhere can't empty it for the owner, who needs one of them, or two.
const STRANGERS: Rate = Rate::new(3, Duration::from_secs(3_600));
/// How many sites an account's owner is known at.
const HOMES: usize = 8;

/// Where somebody is, as seen from an account: an IPv4 address, or an IPv6 network of /48. It is wider than a prefix, as
/// a /48 is had for the asking, and as owners get other prefixes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Site(IpAddr);

impl Site {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80)),
        })
    }
}

/// Whose bucket an attempt was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    /// The site's own: the account was logged in to from there.
    Home,
    /// That of all other sites together.
    Account,
    /// The site's own, as that was empty.
    Stranger,
}

/// Each moment is when a bucket is full again. What isn't there is full.
#[derive(Debug)]
pub(super) struct Guesses {
    rate: Rate,
    room: usize,
    homes: BTreeMap<Username, Vec<Home>>,
    accounts: BTreeMap<Username, Time>,
    strangers: BTreeMap<(Username, Site), Time>,
    /// Wrong passwords of rooms, by who gave them.
    rooms: BTreeMap<Username, Time>,
    /// Requests for contact, by who made them: what somebody has used up isn't given back by another login.
    contacts: BTreeMap<Username, Time>,
}

#[derive(Debug)]
struct Home {
    site: Site,
    /// The last login.
    used: Time,
    full_at: Time,
}

impl Guesses {
    /// `room` bounds each table.
    pub(super) fn new(rate: Rate, room: usize) -> Self {
        Self {
            rate,
            room,
            homes: BTreeMap::new(),
            accounts: BTreeMap::new(),
            strangers: BTreeMap::new(),
            rooms: BTreeMap::new(),
            contacts: BTreeMap::new(),
        }
    }

    pub(super) fn set_limits(&mut self, rate: Rate, room: usize) {
        (self.rate, self.room) = (rate, room);
    }

    /// True if the account was logged in to from there, as far as that is remembered.
    pub(super) fn is_home(&self, from: IpAddr, username: &Username) -> bool {
        let site = Site::of(from);
        self.homes.get(username).is_some_and(|homes| homes.iter().any(|home| home.site == site))
    }

    /// Somebody tries a password; if they may not now, for how long not.
    pub(super) fn tries(&mut self, now: Time, from: IpAddr, username: &Username) -> Result<Bucket, Duration> {
        let rate = self.rate;
        if let Some(home) = self.home(from, username) {
            return take(&mut home.full_at, now, rate).map(|()| Bucket::Home);
        }
        prune(&mut self.accounts, self.room, |full_at| *full_at);
        if take(self.accounts.entry(username.clone()).or_default(), now, rate).is_ok() {
            return Ok(Bucket::Account);
        }
        prune(&mut self.strangers, self.room, |full_at| *full_at);
        let stranger = self.strangers.entry((username.clone(), Site::of(from))).or_default();
        take(stranger, now, STRANGERS).map(|()| Bucket::Stranger)
    }

    /// The password wasn't wrong: it was right, or could not be compared.
    pub(super) fn gives_back(&mut self, from: IpAddr, username: &Username, bucket: Bucket) {
        let rate = self.rate;
        let (full_at, rate) = match bucket {
            Bucket::Home => (self.home(from, username).map(|home| &mut home.full_at), rate),
            Bucket::Account => (self.accounts.get_mut(username), rate),
            Bucket::Stranger => (self.strangers.get_mut(&(username.clone(), Site::of(from))), STRANGERS),
        };
        if let Some(full_at) = full_at {
            give_back(full_at, rate);
        }
    }

    /// The password was right: the owner is there.
    pub(super) fn succeeds(&mut self, now: Time, from: IpAddr, username: &Username) {
        if let Some(home) = self.home(from, username) {
            home.used = now;
            return;
        }
        let newest = |homes: &Vec<Home>| homes.iter().map(|home| home.used).max().unwrap_or_default();
        prune(&mut self.homes, self.room, newest);
        let homes = self.homes.entry(username.clone()).or_default();
        if homes.len() >= HOMES
            && let Some(oldest) = homes.iter().enumerate().min_by_key(|(_, home)| home.used).map(|(at, _)| at)
        {
            homes.swap_remove(oldest);
        }
        homes.push(Home { site: Site::of(from), used: now, full_at: Time::ZERO });
    }

    /// `username` is about to give a room's password; if they have given too many wrong ones, for how long they may not.
    pub(super) fn tries_room(&self, now: Time, username: &Username) -> Result<(), Duration> {
        let mut full_at = self.rooms.get(username).copied().unwrap_or_default();
        take(&mut full_at, now, self.rate)
    }

    /// It was wrong.
    pub(super) fn fails_room(&mut self, now: Time, username: Username) {
        prune(&mut self.rooms, self.room, |full_at| *full_at);
        // Nobody is logged in twice, so there was room for it.
        _ = take(self.rooms.entry(username).or_default(), now, self.rate);
    }

    /// `username` asks somebody for contact; if they have asked too often, for how long they may not.
    pub(super) fn asks_contact(
        &mut self,
        now: Time,
        username: &Username,
        rate: Rate,
    ) -> Result<(), Duration> {
        if rate == Rate::UNLIMITED {
            return Ok(());
        }
        if !self.contacts.contains_key(username) {
            prune(&mut self.contacts, self.room, |full_at| *full_at);
        }
        take(self.contacts.entry(username.clone()).or_default(), now, rate)
    }

    fn home(&mut self, from: IpAddr, username: &Username) -> Option<&mut Home> {
        let site = Site::of(from);
        self.homes.get_mut(username)?.iter_mut().find(|home| home.site == site)
    }
}

/// Makes room in a full table: what is later, and so guessed at most or used last, stays, which is less than half.
fn prune<K: Ord, V>(table: &mut BTreeMap<K, V>, room: usize, when: impl Fn(&V) -> Time) {
    if table.len() < room.max(1) {
        return;
    }
    let mut times: Vec<Time> = table.values().map(&when).collect();
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    table.retain(|_, value| when(value) > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const START: Time = Time::from_micros(1_000_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn user(n: usize) -> Username {
        Username::new(&format!("user{n}")).unwrap()
    }

    fn nth(n: u32) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (u128::from(n) << 80)))
    }

    #[test]
    fn an_ipv6_network_of_48_bits_is_one_site() {
        assert_eq!(Site::of(ip("2001:db8:1:2::3")), Site::of(ip("2001:db8:1:ffff::1")));
        assert_ne!(Site::of(ip("2001:db8:1::")), Site::of(ip("2001:db8:2::")));
        assert_eq!(Site::of(ip("::ffff:192.0.2.1")), Site::of(ip("192.0.2.1")));
        assert_ne!(Site::of(ip("192.0.2.1")), Site::of(ip("192.0.2.2")));
    }

    #[test]
    fn an_account_that_is_guessed_at_from_everywhere_leaves_each_place_a_few_attempts_an_hour() {
        let mut guesses = Guesses::new(Rate::new(5, HOUR), 100);
        let alice = user(0);
        for n in 0..5 {
            assert_eq!(guesses.tries(START, nth(n), &alice), Ok(Bucket::Account));
        }
        for n in 5..20 {
            for _ in 0..3 {
                assert_eq!(guesses.tries(START, nth(n), &alice), Ok(Bucket::Stranger));
            }
            assert_eq!(guesses.tries(START, nth(n), &alice), Err(HOUR / 3));
        }
        assert_eq!(
            guesses.tries(START, nth(5), &user(1)),
            Ok(Bucket::Account),
            "another account is another matter"
        );
        assert_eq!(guesses.tries(START + HOUR / 5, nth(5), &alice), Ok(Bucket::Account));
    }

    #[test]
    fn where_the_owner_was_is_not_counted_with_the_rest() {
        let mut guesses = Guesses::new(Rate::new(2, HOUR), 100);
        let alice = user(0);
        guesses.succeeds(START, nth(0), &alice);
        assert!(guesses.is_home(nth(0), &alice) && !guesses.is_home(nth(1), &alice));
        for n in 1..100 {
            while guesses.tries(START, nth(n), &alice).is_ok() {}
        }
        assert_eq!(guesses.tries(START, nth(0), &alice), Ok(Bucket::Home));
        assert_eq!(guesses.tries(START, nth(0), &alice), Ok(Bucket::Home));
        assert_eq!(guesses.tries(START, nth(0), &alice), Err(HOUR / 2), "a guesser at the owner's side");
        guesses.gives_back(nth(0), &alice, Bucket::Home);
        assert_eq!(guesses.tries(START, nth(0), &alice), Ok(Bucket::Home));
    }

    #[test]
    fn an_attempt_that_was_not_wrong_costs_nothing() {
        let mut guesses = Guesses::new(Rate::new(1, HOUR), 100);
        let alice = user(0);
        for bucket in [Bucket::Account, Bucket::Stranger] {
            for _ in 0..10 {
                assert_eq!(guesses.tries(START, nth(1), &alice), Ok(bucket));
                guesses.gives_back(nth(1), &alice, bucket);
            }
            assert_eq!(guesses.tries(START, nth(1), &alice), Ok(bucket));
        }
    }

    #[test]
    fn an_owner_who_moves_is_known_where_they_were_last() {
        let mut guesses = Guesses::new(Rate::new(1, HOUR), 100);
        let alice = user(0);
        for n in 0..20 {
            guesses.succeeds(START + Duration::from_secs(n), nth(u32::try_from(n).unwrap()), &alice);
        }
        let known: Vec<u32> = (0..20).filter(|&n| guesses.is_home(nth(n), &alice)).collect();
        assert_eq!(known, (12..20).collect::<Vec<_>>());
    }

    #[test]
    fn of_a_full_table_the_later_half_stays_and_of_equal_ones_none() {
        let later = |n: u32| (n, START + HOUR * n);
        let mut table: BTreeMap<u32, Time> = (0..10).map(later).collect();
        prune(&mut table, 11, |at| *at);
        assert_eq!(table.len(), 10, "there was room for one more");
        prune(&mut table, 10, |at| *at);
        assert_eq!(table.into_keys().collect::<Vec<_>>(), [6, 7, 8, 9]);
        let mut alike: BTreeMap<u32, Time> = (0..10).map(|n| (n, START)).collect();
        prune(&mut alike, 10, |at| *at);
        assert!(alike.is_empty());
    }

    #[test]
    fn other_limits_hold_from_then_on() {
        let mut guesses = Guesses::new(Rate::new(1, HOUR), 100);
        for n in 0..10 {
            assert_eq!(guesses.tries(START, nth(0), &user(n)), Ok(Bucket::Account));
        }
        assert_eq!(guesses.tries(START, nth(0), &user(0)), Ok(Bucket::Stranger));
        guesses.set_limits(Rate::UNLIMITED, 5);
        assert_eq!(guesses.tries(START, nth(0), &user(0)), Ok(Bucket::Account));
        assert!(guesses.accounts.len() <= 5, "{}", guesses.accounts.len());
    }

    #[test]
    fn every_table_is_bounded_and_the_account_that_is_guessed_at_most_is_not_forgotten() {
        const ROOM: usize = 50;
        let mut guesses = Guesses::new(Rate::new(10, HOUR), ROOM);
        let victim = user(0);
        for _ in 0..10 {
            guesses.tries(START, nth(0), &victim).unwrap();
        }
        for n in 1..1_000 {
            let now = START + Duration::from_millis(n);
            let (name, from) = (user(usize::try_from(n).unwrap()), nth(u32::try_from(n).unwrap()));
            guesses.tries(now, from, &name).unwrap();
            _ = guesses.tries(now, from, &victim);
            guesses.succeeds(now, from, &name);
            guesses.asks_contact(now, &name, Rate::new(10, HOUR)).unwrap();
            guesses.fails_room(now, name);
            for len in [
                guesses.homes.len(),
                guesses.accounts.len(),
                guesses.strangers.len(),
                guesses.rooms.len(),
                guesses.contacts.len(),
            ] {
                assert!(len <= ROOM, "{len}");
            }
        }
        assert_eq!(guesses.tries(START, nth(5_000), &victim), Ok(Bucket::Stranger));
        assert!(guesses.is_home(nth(999), &user(999)));
        let mut tiny = Guesses::new(Rate::new(10, HOUR), 0);
        assert!(tiny.tries(START, nth(0), &victim).is_ok() && tiny.accounts.len() == 1);
    }
}
