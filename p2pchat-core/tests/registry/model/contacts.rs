//! Who is told where others are (§7.10), as the model has it.

use super::*;

/// What is shown in place of an address.
const HIDDEN: (u16, IpAddr) = (0, IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));

/// Who has asked whom, and who is in contact: that stands in it both ways.
#[derive(Debug, Clone, Default)]
pub(super) struct Ties {
    asked: BTreeSet<(Key, Key)>,
    agreed: BTreeSet<(Key, Key)>,
}

impl Ties {
    fn cut(&mut self, one: &Key, other: &Key) {
        for tie in [pair(one, other), pair(other, one)] {
            self.asked.remove(&tie);
            self.agreed.remove(&tie);
        }
    }

    pub(super) fn end(&mut self, user: &Key) {
        self.asked.retain(|(one, other)| one != user && other != user);
        self.agreed.retain(|(one, other)| one != user && other != user);
    }
}

fn pair(one: &Key, other: &Key) -> (Key, Key) {
    (one.clone(), other.clone())
}

fn answer(accepted: bool, user: &str) -> String {
    let phrase = if accepted { "<ACCEPT> <200>" } else { "<REJECT> <404>" };
    format!("CONTACT_RESPONSE {phrase} <{user}>")
}

impl Model {
    fn sees(&self, me: &Key, other: &Key) -> bool {
        let own = &self.accounts[me].rooms;
        !self.rules.hidden
            || me == other
            || self.ties.agreed.contains(&pair(me, other))
            || self.accounts[other].rooms.iter().any(|room| own.contains(room))
    }

    /// What `asker` is shown of who is online on a stream.
    pub(super) fn shown(&self, asker: usize, slot: usize) -> (&'static str, u16, IpAddr) {
        let (name, port, ip) = self.place(slot);
        let sees = self.sees(&self.user(asker).unwrap(), &self.user(slot).unwrap());
        let (port, ip) = if sees { (port, ip) } else { HIDDEN };
        (name, port, ip)
    }

    fn reachable(&self, user: &Key) -> Option<usize> {
        self.online(user).filter(|slot| self.has(*slot, "contact") && !self.streams[slot].gone)
    }

    pub(super) fn ask_contact(&mut self, slot: usize, request: &Request, user: &str) {
        let (me, other) = (self.user(slot).unwrap(), key(user));
        let theirs = self.reachable(&other).filter(|_| self.has(slot, "contact") && me != other);
        let Some(theirs) = theirs else { return self.refuse(slot, request) };
        self.say(slot, "CONTACT <SUCCESS> <200>");
        if self.sees(&me, &other) {
            self.say(slot, &answer(true, user));
        } else if self.ties.asked.contains(&pair(&other, &me)) {
            self.say(slot, &answer(true, user));
            self.agree(&me, &other, theirs);
        } else if self.ties.asked.insert(pair(&me, &other)) {
            let ask = format!("CONTACT_REQUEST <{}>", self.accounts[&me].name);
            self.say(theirs, &ask);
        }
    }

    fn agree(&mut self, me: &Key, other: &Key, theirs: usize) {
        self.ties.cut(me, other);
        self.ties.agreed.extend([pair(me, other), pair(other, me)]);
        self.say(theirs, &answer(true, self.accounts[me].name));
    }

    pub(super) fn answer_contact(&mut self, slot: usize, request: &Request, user: &str, accepted: bool) {
        let (me, other) = (self.user(slot).unwrap(), key(user));
        let was_asked = self.ties.asked.contains(&pair(&other, &me));
        let agreed = self.ties.agreed.contains(&pair(&me, &other));
        let has_asked = self.ties.asked.contains(&pair(&me, &other));
        if !self.has(slot, "contact") || !(was_asked || agreed || has_asked && !accepted) {
            return self.refuse(slot, request);
        }
        self.say(slot, "CONTACT <SUCCESS> <200>");
        let theirs = self.reachable(&other);
        if !accepted {
            self.ties.cut(&me, &other);
            let line = answer(false, self.accounts[&me].name);
            theirs.into_iter().for_each(|theirs| self.say(theirs, &line));
        } else if !agreed && let Some(theirs) = theirs {
            self.agree(&me, &other, theirs);
        } else if !agreed {
            self.ties.cut(&me, &other);
            self.ties.agreed.extend([pair(&me, &other), pair(&other, &me)]);
        }
    }

    /// A user's session goes on on another stream: contacts stay, and what waited for an answer is at an end.
    pub(super) fn ties_go_on(&mut self, user: &Key) {
        for (one, other) in self.ties.asked.clone() {
            let other = if one == *user {
                other
            } else if other == *user {
                one
            } else {
                continue;
            };
            self.ties.cut(user, &other);
            let line = answer(false, self.accounts[user].name);
            self.reachable(&other).into_iter().for_each(|theirs| self.say(theirs, &line));
        }
    }

    /// Those whom this stream's user doesn't see, and can ask.
    pub(crate) fn askable_by(&self, slot: usize) -> Vec<Name> {
        let Some(me) = self.user(slot).filter(|_| self.has(slot, "contact")) else { return Vec::new() };
        let others = self.accounts.keys().filter(|other| self.reachable(other).is_some());
        others.filter(|other| !self.sees(&me, other)).map(|other| self.accounts[other].name).collect()
    }

    /// Those who wait for this stream's user to answer.
    pub(crate) fn asked_by(&self, slot: usize) -> Vec<Name> {
        let me = self.user(slot);
        let asked = self.ties.asked.iter().filter(|(_, other)| Some(other) == me.as_ref());
        asked.map(|(one, _)| self.accounts[one].name).collect()
    }
}
