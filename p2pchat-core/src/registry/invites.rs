//! Who may register (PROTOCOL.md §7.9).

use std::fmt;

use p2pchat_proto::{Capability, InviteCode, PasswordDigest, Reason, Username};

use super::{
    ConnId, HashRequest, Registry,
    answers::Step,
    refusal::Refused,
    store::{InviteUse, Read, StoreRequest},
};
use crate::time::Time;

/// From whom registrations are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Registration {
    /// From everybody.
    #[default]
    Open,
    /// From who has an invitation.
    Invite,
    /// From nobody.
    Closed,
}

/// What is kept of an [`InviteCode`]: its SHA-256, from which nobody finds the code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InviteDigest(pub(super) [u8; 32]);

impl InviteDigest {
    /// A code's.
    pub fn of(code: &InviteCode) -> Self {
        Self(code.sha256())
    }

    /// All of it, in 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From 64 hexadecimal digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let is_whole = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let (low, high) = (digits.get(32..)?, digits.get(..32)?);
        let half = |digits| u128::from_str_radix(digits, 16).ok();
        let mut digest = [0; 32];
        let (first, second) = digest.split_at_mut(16);
        first.copy_from_slice(&half(high)?.to_be_bytes());
        second.copy_from_slice(&half(low)?.to_be_bytes());
        is_whole.then_some(Self(digest))
    }

    /// The invitation's name among its registry's: ten hexadecimal digits that say nothing about the code.
    pub fn id(&self) -> String {
        self.0.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for InviteDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

/// An invitation that its operator has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Of its code.
    pub digest: InviteDigest,
    /// What the operator noted, such as for whom it is.
    pub note: Option<Reason>,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Until when it is good, in seconds since 1970; `None` for ever.
    pub until: Option<u64>,
    /// How many registrations it was made for.
    pub uses: u32,
    /// How many are left; never 0, since what is used up is forgotten.
    pub left: u32,
}

const CLOSED: &str = "this registry takes no registrations";
const WANTED: &str = "an invitation is needed to register here";
const NOT_GOOD: &str = "that invitation is not good, or not any more";

impl Registry {
    /// The calendar's clock shows `unix` seconds since 1970 now: what is kept for longer than the machine's clock runs, such
    /// as invitations, goes by it. Until it is told, that is 0.
    pub fn handle_calendar(&mut self, now: Time, unix: u64) {
        self.calendar = (now, unix);
    }

    /// From whom registrations are taken.
    pub fn registration(&self) -> Registration {
        self.config.registration
    }

    fn unix(&self, now: Time) -> u64 {
        let (then, unix) = self.calendar;
        unix.saturating_add(now.since(then).as_secs())
    }

    pub(super) fn register(
        &mut self,
        now: Time,
        conn: ConnId,
        (username, password): (Username, PasswordDigest),
        code: Option<InviteCode>,
    ) {
        if !self.greeted(conn, Refused::Register) || !self.may_be_registered(now, conn, &username) {
            return;
        }
        let agreed = self.connections.get(conn).is_some_and(|connection| connection.has(Capability::Invite));
        let invite = match self.config.registration {
            Registration::Open => None,
            Registration::Closed => return self.refuse(conn, Refused::Register, CLOSED),
            Registration::Invite => match code.filter(|_| agreed) {
                None => return self.refuse(conn, Refused::Register, WANTED),
                Some(code) => Some(InviteUse { digest: InviteDigest::of(&code), now: self.unix(now) }),
            },
        };
        if !self.may_register(now, conn) {
            return;
        }
        match invite {
            None => self.hash_new(now, conn, username, password, None),
            // A wrong one is not worth a slow hash.
            Some(invite) => {
                let step = Step::RegisterInvite { username, password, invite };
                self.store(now, conn, StoreRequest::Read(Read::Invite { invite }), step);
            }
        }
    }

    pub(super) fn hash_new(
        &mut self,
        now: Time,
        conn: ConnId,
        username: Username,
        digest: PasswordDigest,
        invite: Option<InviteUse>,
    ) {
        let step = Step::RegisterHash { username, invite };
        self.hash(now, conn, HashRequest::Create { digest }, step);
    }

    pub(super) fn not_invited(&mut self, now: Time, conn: ConnId) {
        self.counts.refused_invites += 1;
        self.refuse_step(now, conn, Refused::Register, NOT_GOOD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_in_hexadecimal_and_read_from_nothing_else() {
        let digits = "00ff".to_owned() + &"1b".repeat(30);
        let digest = InviteDigest::from_hex(&digits).unwrap();
        assert_eq!(digest.to_hex(), digits);
        assert_eq!(format!("{digest:?}"), "00ff1b1b1b", "its name, and no more of it");
        assert_eq!(InviteDigest::from_hex(&digits.to_uppercase()), Some(digest));
        for no_digest in [
            "",
            &digits[1..],
            &format!("{digits}0"),
            &digits.replace("00ff", "+0ff"),
            &digits.replace("00ff", "00fg"),
            &digits.replace("00ff", "é0f"),
        ] {
            assert_eq!(InviteDigest::from_hex(no_digest), None, "{no_digest}");
        }
    }
}
