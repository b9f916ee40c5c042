//! The registry's operator, who invites people and takes invitations back, and those who come with a code.

use std::time::Duration;

use fastrand::Rng;
use p2pchat_core::{
    peer::RequestError,
    registry::InviteDigest,
    tokio::{Error, ServerHandle},
};
use p2pchat_proto::InviteCode;
use tokio::time::sleep;

use crate::{
    book::{Book, Phase, Site},
    user::{Me, PASSWORD},
};

/// How many codes people still have.
const CODES: usize = 12;
/// The registry reads the calendar's clock, which doesn't keep to a simulation's time, so none expires here.
const LASTS: Duration = Duration::from_secs(30 * 24 * 3_600);

/// An invitation that the operator has passed on.
pub(crate) struct Invitation {
    number: u64,
    code: InviteCode,
    uses: u32,
    made: u32,
    /// Since when the operator knows that it is taken back.
    revoked: Option<Duration>,
}

/// Who registers, and with which of the invitations.
#[derive(Clone)]
pub(crate) struct Attempt {
    code: Option<InviteCode>,
    since: Duration,
}

/// What the operator does while the registry runs.
pub(crate) async fn operate(site: &Site, registry: ServerHandle) {
    let rules = site.book().rules;
    let mut dice = {
        let mut book = site.book();
        book.guests += 1;
        Rng::with_seed(book.seed ^ (book.guests << 16))
    };
    loop {
        sleep(Duration::from_millis(dice.u64(1_000..=15_000))).await;
        if !rules.by_invitation {
            continue;
        }
        let calm = site.book().calm;
        let uses = match dice.u8(0..10) {
            _ if calm => 8,
            0..6 => 1,
            _ => dice.u32(2..=4),
        };
        if dice.u8(0..4) > 0
            && let Ok((code, _)) = registry.create_invite(uses, Some(LASTS), None).await
        {
            site.book().invites(code, uses);
            continue;
        }
        // The limit is reached, or one is to be taken back: one that the operator has passed on, or else one whose code a crash
        // has kept back.
        let Ok(kept) = registry.invites().await else { continue };
        let kept: Vec<_> = kept.into_iter().map(|invite| invite.digest).collect();
        let digest = site.book().known(&kept, &mut dice).or(kept.first().copied());
        if let Some(digest) = digest
            && registry.revoke_invite(digest).await.is_ok()
        {
            site.book().is_revoked(digest);
        }
    }
}

impl Book {
    fn invites(&mut self, code: InviteCode, uses: u32) {
        self.guests += 1;
        let number = self.guests;
        self.note(|| format!("the operator makes invitation {number} for {uses}"));
        self.invitations.push(Invitation { number, code, uses, made: 0, revoked: None });
        let old = self.invitations.len().saturating_sub(CODES);
        self.invitations.drain(..old);
    }

    /// One of these that the operator has passed on.
    fn known(&self, kept: &[InviteDigest], dice: &mut Rng) -> Option<InviteDigest> {
        let passed_on = self.invitations.iter().map(|invitation| InviteDigest::of(&invitation.code));
        let known: Vec<_> = passed_on.filter(|digest| kept.contains(digest)).collect();
        dice.choice(known)
    }

    fn is_revoked(&mut self, digest: InviteDigest) {
        let now = self.now();
        let known = self.invitations.iter_mut().find(|known| InviteDigest::of(&known.code) == digest);
        if let Some(invitation) = known {
            invitation.revoked.get_or_insert(now);
        }
    }

    /// A code that somebody was given, or has heard of, or makes up. When all is well it is a good one, if there is any.
    fn some_code(&self, dice: &mut Rng) -> Option<InviteCode> {
        let newest = self.invitations.last().map(|invitation| invitation.code.clone());
        match dice.u8(0..100) {
            _ if self.calm => newest,
            0..60 => newest,
            60..90 => dice.choice(&self.invitations).map(|invitation| invitation.code.clone()),
            90..95 => Some(InviteCode::from_random(std::array::from_fn(|_| dice.u8(..)))),
            _ => None,
        }
    }

    /// Somebody is told what came of a registration.
    fn registered(&mut self, attempt: &Attempt, outcome: &Result<(), Error>) {
        if !self.rules.by_invitation {
            return;
        }
        if outcome.is_err() {
            self.stats.not_invited += 1;
            return;
        }
        self.stats.invited += 1;
        let known = self.invitations.iter_mut().find(|known| Some(&known.code) == attempt.code.as_ref());
        let wrong = match (&attempt.code, known) {
            (None, _) => Some("without an invitation".to_owned()),
            (Some(_), None) => None,
            (Some(_), Some(invitation)) => {
                let Invitation { number, uses, made, revoked, .. } = invitation;
                *made += 1;
                let late = revoked.is_some_and(|revoked| revoked < attempt.since);
                (late || *made > *uses).then(|| {
                    format!("by {number}, which made {made} of {uses} and was taken back at {revoked:?}")
                })
            }
        };
        if let Some(wrong) = wrong {
            self.fail(format!("somebody is registered {wrong}"));
        }
    }
}

impl Me {
    /// With a code where one is wanted.
    pub(crate) fn register(
        &self,
        dice: &mut Rng,
        what: &str,
        name: String,
        hear: impl FnOnce(&Self, &Result<(), Error>) + 'static,
    ) {
        let attempt = {
            let book = self.site.book();
            let code = if book.rules.by_invitation { book.some_code(dice) } else { None };
            Attempt { code, since: book.now() }
        };
        let (peer, code) = (self.peer.clone(), attempt.code.clone());
        let call = async move {
            match code {
                None => peer.register(&name, PASSWORD).await,
                Some(code) => peer.register_invited(&name, PASSWORD, code.expose()).await,
            }
        };
        self.ask_and(what, None, call, move |me, outcome| {
            let mut book = me.site.book();
            book.registered(&attempt, outcome);
            if let Err(Error::Request(RequestError::InviteWanted)) = outcome
                && (attempt.code.is_some() || !book.rules.by_invitation)
            {
                book.fail(format!("{} is asked for a code, but has given one, or needs none", me.name));
            }
            drop(book);
            hear(me, outcome);
        });
    }

    /// Somebody comes by, and registers from the user's machine.
    pub(crate) fn guest_registers(&self, dice: &mut Rng) {
        let name = {
            let mut book = self.site.book();
            book.guests += u64::from(dice.u8(0..100) < 85);
            format!("guest-{}", book.guests)
        };
        self.register(dice, "register a guest", name, |_, _| {});
    }

    /// Word of a new invitation gets round, and several try it at once.
    pub(crate) fn hears_of_code(&self, dice: &mut Rng, last: &mut Option<u64>) {
        let newest = self.site.book().invitations.last().map(|invitation| invitation.number);
        let is_new = newest > *last;
        *last = newest.max(*last);
        if is_new && self.site.book().phase == Phase::Lively && dice.bool() {
            self.guest_registers(dice);
        }
    }
}
