//! Who may see where others are, in worlds that hide it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use p2pchat_core::registry::ConnId;
use p2pchat_proto::{Capability, FromRegistry, Outcome, ToRegistry, Username};

use super::{Checked, Judge};

/// What stands in place of a hidden port and address.
pub(super) const HIDDEN: (u16, IpAddr) = (0, IpAddr::V4(Ipv4Addr::UNSPECIFIED));

/// What there is between users who are online.
#[derive(Default)]
pub(super) struct Ties {
    /// Who has asked whom, and has no answer.
    asked: BTreeSet<(Username, Username)>,
    /// Who may see whom; each stands in it both ways.
    agreed: BTreeSet<(Username, Username)>,
    /// Who is to be told of whom when they come back, since they are parked.
    untold: BTreeSet<(Username, Username)>,
}

/// How often something has become of them.
#[derive(Default, Clone, Copy, PartialEq)]
pub(crate) struct Counts {
    pub(crate) asked: u64,
    pub(crate) agreed: u64,
    pub(crate) declined: u64,
    /// By one of the two, while both were online.
    pub(crate) ended: u64,
    /// Kept by a session that went on on another stream.
    pub(crate) kept: u64,
}

impl Ties {
    fn has_asked(&self, user: &Username, other: &Username) -> bool {
        self.asked.contains(&(user.clone(), other.clone()))
    }

    fn have_agreed(&self, user: &Username, other: &Username) -> bool {
        self.agreed.contains(&(user.clone(), other.clone()))
    }

    fn agree(&mut self, user: &Username, other: &Username) {
        self.cut(user, other);
        self.agreed.extend([(user.clone(), other.clone()), (other.clone(), user.clone())]);
    }

    fn cut(&mut self, user: &Username, other: &Username) {
        for tie in [(user.clone(), other.clone()), (other.clone(), user.clone())] {
            for ties in [&mut self.asked, &mut self.agreed, &mut self.untold] {
                ties.remove(&tie);
            }
        }
    }

    /// The user's session is over.
    pub(super) fn end(&mut self, user: &Username) {
        for ties in [&mut self.asked, &mut self.agreed, &mut self.untold] {
            ties.retain(|(one, other)| one != user && other != user);
        }
    }
}

impl Judge {
    /// True if `asker` may be told where `user` is.
    pub(crate) fn sees(&self, asker: &Username, user: &Username) -> bool {
        !self.rules.hidden
            || asker == user
            || self.ties.have_agreed(asker, user)
            || self.shared_room(asker, user).is_some()
    }

    /// True if `asker` may be told where `user` is for no other reason than that they are in contact.
    pub(crate) fn sees_as_contact(&self, asker: &Username, user: &Username) -> bool {
        self.rules.hidden && self.ties.have_agreed(asker, user) && self.shared_room(asker, user).is_none()
    }

    /// Where the user is, as `asker` is told; nowhere if they aren't online.
    pub(super) fn shown(&self, asker: &Username, user: &Username) -> Option<(u16, IpAddr)> {
        let live = self.live.get(user)?;
        Some(if self.sees(asker, user) { (live.port, live.remote.ip()) } else { HIDDEN })
    }

    fn reachable(&self, user: &Username) -> Option<ConnId> {
        self.live.get(user).filter(|live| live.can_be_asked && !live.waits()).map(|live| live.conn)
    }

    /// True if `asker` is told that `user` can be asked through the registry.
    pub(super) fn can_ask(&self, asker: ConnId, user: &Username) -> bool {
        self.has(asker, Some(Capability::Contact))
            && self.live.get(user).is_some_and(|live| live.can_be_asked)
    }

    fn expect_answer(&mut self, to: &Username, by: &Username, accepted: bool) {
        self.expect_told(to, by, FromRegistry::ContactResponse { username: by.clone(), accepted });
    }

    /// The user is told of another now, if they can be, or when they come back.
    fn expect_told(&mut self, user: &Username, other: &Username, message: FromRegistry) {
        match self.reachable(user) {
            Some(conn) if self.conns.contains_key(&conn) => self.pushes_due.push((conn, message)),
            Some(_) => drop(self.ties.untold.insert((user.clone(), other.clone()))),
            None => {}
        }
    }

    /// The user was parked and is back: they are told now what still holds.
    pub(super) fn ties_are_told(&mut self, conn: ConnId, user: &Username) {
        let (told, untold) = std::mem::take(&mut self.ties.untold)
            .into_iter()
            .partition::<BTreeSet<_>, _>(|(one, _)| one == user);
        self.ties.untold = untold;
        for username in told.into_iter().map(|(_, other)| other) {
            if self.ties.has_asked(&username, user) {
                self.pushes_due.push((conn, FromRegistry::ContactRequest { username }));
            } else if self.ties.have_agreed(user, &username) {
                self.pushes_due.push((conn, FromRegistry::ContactResponse { username, accepted: true }));
            }
        }
    }

    /// The registry answers a request for contact, or the answer to one.
    pub(super) fn contact_replied(
        &mut self,
        conn: ConnId,
        me: &Username,
        request: &ToRegistry,
        outcome: &Outcome,
    ) -> Checked {
        let is_done = matches!(outcome, Outcome::Success);
        let knows = self.has(conn, Some(Capability::Contact));
        let right = match request {
            ToRegistry::ContactRequest { username } => {
                let may = knows && me != username && self.reachable(username).is_some();
                if may && is_done {
                    self.has_asked(me, username);
                }
                may == is_done
            }
            ToRegistry::ContactResponse { username, accepted } => {
                let (asked, agreed) =
                    (self.ties.has_asked(username, me), self.ties.have_agreed(me, username));
                // What one asked oneself can be taken back.
                let may = knows && (asked || agreed || !accepted && self.ties.has_asked(me, username));
                if may && is_done {
                    self.has_answered(me, username, *accepted);
                }
                may == is_done
            }
            _ => true,
        };
        match right {
            true => Ok(()),
            false => Err(format!("the registry answers {me}'s {request:?} with {outcome:?}")),
        }
    }

    fn has_asked(&mut self, me: &Username, other: &Username) {
        if self.sees(me, other) {
            self.expect_answer(me, other, true);
        } else if self.ties.has_asked(other, me) {
            self.ties.agree(me, other);
            self.contacts.agreed += 1;
            self.expect_answer(me, other, true);
            self.expect_answer(other, me, true);
        } else if self.ties.asked.insert((me.clone(), other.clone())) {
            self.contacts.asked += 1;
            self.expect_told(other, me, FromRegistry::ContactRequest { username: me.clone() });
        }
    }

    fn has_answered(&mut self, me: &Username, other: &Username, accepted: bool) {
        if !accepted {
            let count = match self.ties.have_agreed(me, other) {
                true => &mut self.contacts.ended,
                false => &mut self.contacts.declined,
            };
            *count += 1;
            self.ties.cut(me, other);
            self.expect_answer(other, me, false);
        } else if !self.ties.have_agreed(me, other) {
            self.ties.agree(me, other);
            self.contacts.agreed += 1;
            self.expect_answer(other, me, true);
        }
    }

    /// The user's session goes on on another stream: contacts stay, and what waited for an answer is at an end.
    pub(super) fn ties_go_on(&mut self, user: &Username) {
        let waiting = self.ties.asked.iter().filter(|(one, other)| one == user || other == user);
        let waiting: Vec<_> =
            waiting.map(|(one, other)| if one == user { other.clone() } else { one.clone() }).collect();
        for other in waiting {
            self.ties.cut(user, &other);
            self.expect_answer(&other, user, false);
        }
        let kept = self.ties.agreed.iter().filter(|(one, _)| one == user).count();
        self.contacts.kept += u64::try_from(kept).unwrap_or_default();
    }
}
