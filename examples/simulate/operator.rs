//! The registry's operator, who invites people and takes invitations back, and those who come with a code.

use p2pchat_core::{
    Time,
    peer::RequestError,
    registry::{
        Invite, InviteDigest,
        store::{Read, StoreAnswer, StoreRequest, Write},
    },
};
use p2pchat_proto::{InviteCode, Username};

use crate::{
    registry::Asker,
    schedule::{Happening, Schedule},
    users::{Ask, Known, PASSWORD, digest},
    world::World,
};

/// Few enough for the operator to meet the limit.
const INVITES: usize = 6;
/// How many codes people still have.
const CODES: usize = 12;
const PAUSE: std::ops::RangeInclusive<u64> = 2_000..=20_000;

#[derive(Default)]
pub(crate) struct Operator {
    /// What the operator was told to be durable and has passed on, good or not.
    codes: Vec<InviteCode>,
    guests: u64,
}

/// So many seconds since 1970.
pub(crate) fn unix(now: Time) -> u64 {
    now.since(Time::ZERO).as_secs()
}

fn code(schedule: &mut Schedule) -> InviteCode {
    InviteCode::from_random(std::array::from_fn(|_| schedule.rng.u8(..)))
}

impl World {
    /// Whose program knows no invitations has been here since before they were asked for.
    pub(crate) fn register_the_old(&mut self) {
        for number in 0..self.nodes.len() {
            let name = self.nodes[number].user.name.clone();
            if self.rules.by_invitation && !self.nodes[number].knows_invitations() {
                if !self.judge.truth.has_account(&name) {
                    let password = digest(PASSWORD).expose().into();
                    self.judge.truth.found(&name);
                    let account = Write::Register { username: name, password, invite: None };
                    self.registry.durable.answer(&StoreRequest::Write(account));
                }
                self.nodes[number].user.registered = Known::Yes;
            }
        }
    }

    /// The operator makes an invitation, or takes one back.
    pub(crate) fn operate(&mut self) {
        let pause = self.schedule.millis(PAUSE);
        self.schedule.after(pause, Happening::Operate);
        let now = unix(self.schedule.now);
        let all = Read::Invites { after: None, count: usize::MAX };
        let StoreAnswer::Invites(kept) = self.registry.durable.answer(&StoreRequest::Read(all)) else {
            return self.fail("the store has no list of invitations".to_owned());
        };
        let calm = self.chaos_until.is_none();
        let revokes = if calm { kept.len() >= INVITES } else { self.schedule.percent(25) };
        if revokes && let Some(Invite { digest, .. }) = self.schedule.pick(&kept) {
            return self.ask_as_operator(None, Write::RevokeInvite { digest });
        }
        let uses = match self.schedule.rng.u8(0..10) {
            _ if calm => 8,
            0..6 => 1,
            _ => self.schedule.rng.u32(2..=4),
        };
        let lasts = (!calm && self.schedule.percent(60)).then(|| self.schedule.rng.u64(1..=120));
        let code = code(&mut self.schedule);
        let invite = Invite {
            digest: InviteDigest::of(&code),
            note: None,
            since: now,
            until: lasts.map(|lasts| now + lasts),
            uses,
            left: uses,
        };
        self.ask_as_operator(Some(code), Write::CreateInvite { invite, limit: INVITES });
    }

    fn ask_as_operator(&mut self, code: Option<InviteCode>, request: Write) {
        if self.registry.is_up() {
            self.enqueue(Asker::Operator { code }, StoreRequest::Write(request));
        }
    }

    /// The store has answered the operator.
    pub(crate) fn told_operator(&mut self, epoch: u32, code: Option<InviteCode>, answer: &StoreAnswer) {
        self.trace(|| format!("the operator is told {answer:?}"));
        if epoch == self.registry.epoch
            && let (Some(code), StoreAnswer::InviteCreated) = (code, answer)
        {
            let codes = &mut self.operator.codes;
            codes.push(code);
            let old = codes.len().saturating_sub(CODES);
            codes.drain(..old);
            // Word gets round, and several try it at once.
            for number in 0..self.nodes.len() {
                if self.schedule.percent(30) && !self.quiet {
                    self.guest_registers(number);
                    self.node_settle(number);
                }
            }
        }
    }

    /// A code that somebody was given, or has heard of, or makes up. When all is well it is a good one, if there is any.
    pub(crate) fn some_code(&mut self) -> Option<InviteCode> {
        let newest = self.operator.codes.last().cloned();
        match self.schedule.rng.u8(0..100) {
            _ if self.chaos_until.is_none() => newest,
            0..60 => newest,
            60..90 => {
                let Self { operator, schedule, .. } = self;
                schedule.pick(&operator.codes)
            }
            90..95 => Some(code(&mut self.schedule)),
            _ => None,
        }
    }

    /// Somebody comes by, and registers from a user's machine.
    pub(crate) fn guest_registers(&mut self, number: usize) {
        self.operator.guests += u64::from(self.schedule.percent(85));
        let name = format!("guest-{}", self.operator.guests);
        let Ok(name) = Username::new(&name) else { return };
        let code = self.some_code();
        let ask = Ask::Guest { name: name.clone(), invited: code.is_some() };
        self.register(number, ask, name, code);
    }

    pub(crate) fn register(&mut self, number: usize, ask: Ask, name: Username, code: Option<InviteCode>) {
        let password = digest(PASSWORD);
        self.ask(number, ask, |peer, now| match code {
            None => peer.register(now, name, password),
            Some(code) => peer.register_invited(now, name, password, code),
        });
    }

    /// What a program says of a registration that was not taken.
    pub(crate) fn check_refused(&mut self, name: &Username, invited: bool, error: &RequestError) {
        match error {
            RequestError::NameTaken(_) if !self.judge.truth.has_account(name) => {
                self.fail(format!("{name} is told that the name is taken, but it is not"));
            }
            RequestError::InviteWanted if invited || !self.rules.by_invitation => {
                self.fail(format!("{name} is asked for a code, but has given one, or needs none"));
            }
            _ => {}
        }
    }
}
