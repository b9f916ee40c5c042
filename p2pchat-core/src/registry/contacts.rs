//! Who sees where others are, and how they come to (PROTOCOL.md §7.10).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use p2pchat_proto::{Capability, FromRegistry, Outcome, Username};

use super::{
    ConnId, Registry,
    connection::{Connection, Session},
    refusal::Refused,
    report,
    requests::again_in,
};
use crate::time::Time;

/// Who is told where users are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Addresses {
    /// Everybody.
    #[default]
    Everyone,
    /// Who is in a room with them, or in contact.
    Contacts,
}

/// What is shown in place of an address, with port 0.
pub(super) const HIDDEN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// How many requests of a user may wait.
const ASKED: usize = 32;
/// How many requests to a user may wait.
const WANTED: usize = 64;
/// How many contacts a user may have.
const AGREED: usize = 256;

/// What a user is to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// Has asked them.
    Asked,
    /// Was asked by them.
    Wanted,
    /// Both may see where the other is.
    Agreed,
}

/// One user's ties. Those that their session has not been told of, since it is parked (§7.12), are marked.
type Ties = BTreeMap<Username, (Tie, bool)>;

/// The ties between those online; each is with both users.
#[derive(Debug, Default)]
pub(super) struct Contacts(BTreeMap<Username, Ties>);

impl Contacts {
    fn tie(&self, user: &Username, other: &Username) -> Option<Tie> {
        self.0.get(user)?.get(other).map(|&(tie, _)| tie)
    }

    /// Whom the user is in contact with.
    pub(super) fn agreed(&self, user: &Username) -> impl Iterator<Item = &Username> {
        let ties = self.0.get(user).into_iter().flatten();
        ties.filter(|(_, (tie, _))| *tie == Tie::Agreed).map(|(other, _)| other)
    }

    fn has_room(&self, user: &Username, tie: Tie, limit: usize) -> bool {
        let count = |ties: &Ties| ties.values().filter(|&&(other, _)| other == tie).count();
        self.0.get(user).is_none_or(|ties| count(ties) < limit)
    }

    fn set(&mut self, user: &Username, tie: Tie, other: &Username, back: Tie) {
        self.0.entry(user.clone()).or_default().insert(other.clone(), (tie, false));
        self.0.entry(other.clone()).or_default().insert(user.clone(), (back, false));
    }

    fn cut(&mut self, user: &Username, other: &Username) {
        for (user, other) in [(user, other), (other, user)] {
            if let Some(ties) = self.0.get_mut(user) {
                ties.remove(other);
            }
        }
    }

    /// The user has not been told of it.
    fn mark_untold(&mut self, user: &Username, other: &Username) {
        if let Some((_, untold)) = self.0.get_mut(user).and_then(|ties| ties.get_mut(other)) {
            *untold = true;
        }
    }

    /// What the user has not been told of; they are, by the caller.
    fn take_untold(&mut self, user: &Username) -> Vec<(Username, Tie)> {
        let ties = self.0.get_mut(user).into_iter().flatten();
        ties.filter_map(|(other, (tie, untold))| std::mem::take(untold).then(|| (other.clone(), *tie)))
            .collect()
    }

    /// The user's session is over.
    pub(super) fn end(&mut self, user: &Username) {
        let ties = self.0.remove(user).unwrap_or_default();
        for other in ties.keys() {
            if let Some(ties) = self.0.get_mut(other) {
                ties.remove(user);
            }
        }
    }
}

impl Registry {
    /// True if `asker` is told where `user` is.
    pub(super) fn sees(&self, asker: &Session, user: &Session) -> bool {
        self.sees_beyond_rooms(asker, user) || asker.rooms.iter().any(|room| user.rooms.contains(room))
    }

    /// The same for two that are in no room together.
    pub(super) fn sees_beyond_rooms(&self, asker: &Session, user: &Session) -> bool {
        self.config.addresses == Addresses::Everyone
            || asker.username == user.username
            || self.contacts.tie(&asker.username, &user.username) == Some(Tie::Agreed)
    }

    pub(super) fn contact_request(&mut self, now: Time, conn: ConnId, other: &Username) {
        let Some(me) = self.may_contact(conn) else { return };
        if me == *other {
            return self.refuse(conn, Refused::Contact, "that is you");
        }
        let Some(theirs) = self.reachable(other) else {
            return self.refuse(conn, Refused::Contact, "that user is not online, or can't be asked");
        };
        let sessions = self.connections.get(conn).zip(self.connections.get(theirs));
        let sessions = sessions.and_then(|(mine, theirs)| mine.session().zip(theirs.session()));
        if sessions.is_some_and(|(mine, theirs)| self.sees(mine, theirs)) {
            self.send(conn, FromRegistry::Contact(Outcome::Success));
            let username = other.clone();
            return self.send(conn, FromRegistry::ContactResponse { username, accepted: true });
        }
        match self.contacts.tie(&me, other) {
            Some(Tie::Asked | Tie::Agreed) => self.send(conn, FromRegistry::Contact(Outcome::Success)),
            // Both want it.
            Some(Tie::Wanted) => {
                if self.agree(conn, &me, other) {
                    let username = other.clone();
                    self.send(conn, FromRegistry::ContactResponse { username, accepted: true });
                }
            }
            None => self.ask_for_contact(now, conn, me, (other, theirs)),
        }
    }

    fn ask_for_contact(
        &mut self,
        now: Time,
        conn: ConnId,
        me: Username,
        (other, theirs): (&Username, ConnId),
    ) {
        if !self.contacts.has_room(&me, Tie::Asked, ASKED) {
            let why = format!("{ASKED} of your requests are waiting, which is the limit");
            self.refuse(conn, Refused::Contact, &why);
        } else if !self.contacts.has_room(other, Tie::Wanted, WANTED) {
            self.refuse(conn, Refused::Contact, "too many have asked that user already");
        } else if let Err(wait) = self.guard.asks_contact(now, &me, self.config.contact_requests) {
            self.counts.refused_contacts += 1;
            if let Some(connection) = self.connections.get(conn) {
                report("contact requests", self.counts.refused_contacts, connection.remote.ip());
            }
            let why = format!("you have asked too many people; {}", again_in(wait));
            self.hold_up(conn, Refused::Contact, wait, &why);
        } else {
            self.contacts.set(&me, Tie::Asked, other, Tie::Wanted);
            self.send(conn, FromRegistry::Contact(Outcome::Success));
            self.tell_tie(theirs, other, &me, FromRegistry::ContactRequest { username: me.clone() });
        }
    }

    pub(super) fn contact_response(&mut self, conn: ConnId, other: &Username, accepted: bool) {
        let Some(me) = self.may_contact(conn) else { return };
        match (self.contacts.tie(&me, other), accepted) {
            (None, _) | (Some(Tie::Asked), true) => {
                self.refuse(conn, Refused::Contact, "that user has not asked you, or is gone");
            }
            (Some(Tie::Agreed), true) => self.send(conn, FromRegistry::Contact(Outcome::Success)),
            (Some(Tie::Wanted), true) => {
                self.agree(conn, &me, other);
            }
            // Declined, ended, or withdrawn.
            (Some(_), false) => {
                self.contacts.cut(&me, other);
                self.send(conn, FromRegistry::Contact(Outcome::Success));
                self.tell_contact(&me, other, false);
            }
        }
    }

    /// True if they are in contact now, which the other one is told.
    fn agree(&mut self, conn: ConnId, me: &Username, other: &Username) -> bool {
        if ![me, other].into_iter().all(|user| self.contacts.has_room(user, Tie::Agreed, AGREED)) {
            let why = format!("one of you has {AGREED} contacts, which is the limit");
            self.refuse(conn, Refused::Contact, &why);
            return false;
        }
        self.contacts.set(me, Tie::Agreed, other, Tie::Agreed);
        self.send(conn, FromRegistry::Contact(Outcome::Success));
        self.tell_contact(me, other, true);
        true
    }

    fn tell_contact(&mut self, me: &Username, other: &Username, accepted: bool) {
        if let Some(theirs) = self.reachable(other) {
            let told = FromRegistry::ContactResponse { username: me.clone(), accepted };
            self.tell_tie(theirs, other, me, told);
        }
    }

    /// Tells a user what another is to them now, when they come back if they are parked.
    fn tell_tie(&mut self, conn: ConnId, user: &Username, other: &Username, told: FromRegistry) {
        if self.connections.get(conn).is_some_and(Connection::is_parked) {
            self.contacts.mark_untold(user, other);
        }
        self.send(conn, told);
    }

    /// A session that was parked has a stream again: what was to be told meanwhile is, as far as it still holds.
    pub(super) fn tell_contacts(&mut self, conn: ConnId, user: &Username) {
        for (username, tie) in self.contacts.take_untold(user) {
            match tie {
                Tie::Asked => {}
                Tie::Wanted => self.send(conn, FromRegistry::ContactRequest { username }),
                Tie::Agreed => self.send(conn, FromRegistry::ContactResponse { username, accepted: true }),
            }
        }
    }

    /// Where a user can be asked.
    fn reachable(&self, user: &Username) -> Option<ConnId> {
        let conn = self.place(user)?;
        let can_be_asked = |c: &&Connection| c.has(Capability::Contact) && !c.waits();
        self.connections.get(conn).filter(can_be_asked).map(|_| conn)
    }

    fn may_contact(&mut self, conn: ConnId) -> Option<Username> {
        let me = self.session(conn, Refused::Contact)?;
        let agreed = self.connections.get(conn).is_some_and(|connection| connection.has(Capability::Contact));
        if !agreed {
            self.refuse(conn, Refused::Contact, "you have not agreed with this registry to ask in that way");
        }
        agreed.then_some(me)
    }

    /// A session goes on on another stream: whatever was on its way is lost, so what waits for an answer is at an end. Contacts
    /// stay.
    pub(super) fn contacts_resumed(&mut self, user: &Username) {
        let waiting: Vec<_> = self.contacts.0.get(user).into_iter().flatten().collect();
        let waiting = waiting.into_iter().filter(|(_, (tie, _))| *tie != Tie::Agreed);
        for other in waiting.map(|(other, _)| other.clone()).collect::<Vec<_>>() {
            self.contacts.cut(user, &other);
            self.tell_contact(user, &other, false);
        }
    }
}
