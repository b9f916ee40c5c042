//! Who may be in contact with whom, where addresses are hidden, as far as that can be seen from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use p2pchat_proto::Username;

type Pair = (Username, Username);

/// For how long an answer may reach its user after the news that the link has broken.
const LATE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Ties {
    /// Who has said that they want to chat with whom, since one of them began a session.
    wanted: BTreeSet<Pair>,
    /// Who has let whom know where they are, and was told that it is done.
    accepted: BTreeSet<Pair>,
    /// Who has had a chat that was asked for through the registry, since either had a link that broke. Both ways.
    met: BTreeSet<Pair>,
    /// When a user's link broke last.
    lost: BTreeMap<Username, Duration>,
    /// How many have been.
    pub(crate) count: u64,
}

fn pair(one: &Username, other: &Username) -> Pair {
    (one.clone(), other.clone())
}

impl Ties {
    /// A user wants to chat with another, or to answer that they do.
    pub(crate) fn wants(&mut self, user: &Username, other: &Username) {
        self.wanted.insert(pair(user, other));
    }

    /// A user's answer, that another may come, has reached the registry.
    pub(crate) fn accepts(&mut self, now: Duration, user: &Username, other: &Username) {
        if self.lasts(now, user) {
            self.accepted.insert(pair(user, other));
        }
    }

    /// A user is told that a chat with another is open.
    pub(crate) fn chats(&mut self, now: Duration, user: &Username, other: &Username) {
        if self.accepted.contains(&pair(other, user)) && self.lasts(now, user) {
            self.met.extend([pair(user, other), pair(other, user)]);
            self.count += 1;
        }
    }

    fn lasts(&self, now: Duration, user: &Username) -> bool {
        self.lost.get(user).is_none_or(|&lost| now > lost + LATE)
    }

    /// A user takes back what they wanted of another.
    pub(crate) fn withdraws(&mut self, user: &Username, other: &Username) {
        for pairs in [&mut self.accepted, &mut self.met] {
            pairs.remove(&pair(user, other));
            pairs.remove(&pair(other, user));
        }
    }

    /// A user's link broke: their session may be another when it is back.
    pub(crate) fn link_lost(&mut self, now: Duration, user: &Username) {
        for pairs in [&mut self.accepted, &mut self.met] {
            pairs.retain(|(one, other)| one != user && other != user);
        }
        self.lost.insert(user.clone(), now);
    }

    /// A user's only program begins anew. What it wanted goes with its session, of which nothing is left once it is online.
    pub(crate) fn begins(&mut self, user: &Username) {
        self.wanted.retain(|(one, _)| one != user);
    }

    /// True if they may be in contact: both want it.
    pub(crate) fn may_know(&self, user: &Username, other: &Username) -> bool {
        self.wanted.contains(&pair(user, other)) && self.wanted.contains(&pair(other, user))
    }

    /// True if they are in contact.
    pub(crate) fn must_know(&self, user: &Username, other: &Username) -> bool {
        self.met.contains(&pair(user, other))
    }
}
