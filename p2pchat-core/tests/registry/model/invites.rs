//! Invitations (§7.9), as the model has them.

use super::*;

#[derive(Debug, Clone)]
pub(super) struct Invite {
    left: u32,
    /// In seconds since the beginning.
    until: Option<u64>,
}

impl Invite {
    fn is_good(&self, now: Time) -> bool {
        self.left > 0 && self.until.is_none_or(|until| now / SECOND < until)
    }
}

impl Model {
    pub(super) fn invite(&mut self, uses: u32, lasts: Option<u64>) {
        // Those that have expired are forgotten, also for who has asked with one just before.
        let now = self.now;
        self.invites.retain(|_, invite| invite.is_good(now));
        self.invites_made += 1;
        let until = lasts.map(|seconds| self.now / SECOND + seconds);
        self.invites.insert(self.invites_made, Invite { left: uses, until });
    }

    fn is_good(&self, number: u64, now: Time) -> bool {
        self.invites.get(&number).is_some_and(|invite| invite.is_good(now))
    }

    /// True if a code is wanted, and can't be given.
    pub(super) fn is_uninvited(&self, slot: usize, invite: Option<u64>) -> bool {
        self.rules.by_invitation && (invite.is_none() || !self.has(slot, "invite"))
    }

    pub(super) fn register(
        &mut self,
        asked: Time,
        user: &'static str,
        password: &'static str,
        invite: Option<u64>,
    ) -> Reply {
        let invite = invite.filter(|_| self.rules.by_invitation);
        if invite.is_some_and(|number| !self.is_good(number, asked)) {
            return Err("REGISTER <FAILURE> <404>");
        }
        if self.accounts.keys().any(|other| look(other) == look(&key(user))) {
            return Err("REGISTER <EXIST> <300>");
        }
        if let Some(invite) = invite.and_then(|number| self.invites.get_mut(&number)) {
            invite.left -= 1;
        }
        self.accounts.insert(key(user), Account { name: user, password, rooms: Vec::new() });
        Ok("REGISTER <SUCCESS> <200>".to_owned())
    }
}
