//! What the registry's effects do: writing to streams, committing, hashing.

use std::{collections::VecDeque, sync::Arc};

use bytes::BytesMut;
use p2pchat_core::{
    Time,
    registry::{
        ConnId, Effect, HashAnswer, HashRequest, OpId, TokenAnswer,
        store::{StoreAnswer, StoreError, StoreRequest, Write},
    },
};
use p2pchat_proto::{Dialect, FromRegistry, FromRegistryDatagram, Message, SessionToken};
use tokio_util::codec::Encoder;

use crate::{
    bugs::Bug,
    judge::Cause,
    network::{Host, LineId, Side},
    registry::Asker,
    schedule::Happening,
    world::World,
};

impl World {
    pub(crate) fn registry_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send { conn, message } => self.registry_send(conn, &message),
            Effect::Close { conn } => {
                let verdict = self.judge.closed(self.schedule.now, conn);
                self.check(verdict);
                if let Some(line) = self.registry.lines.get(&conn).copied() {
                    self.registry_forget(line);
                    self.network.close(&mut self.schedule, line, Side::Acceptor, "closed by the registry");
                }
            }
            Effect::SendDatagram { to, message } => {
                let Some(node) = self.nodes.iter().position(|node| node.datagrams == to) else {
                    return self.fail(format!("the registry sends {message:?} to nobody, at {to}"));
                };
                self.registry_send_datagram(node, &message);
            }
            Effect::Store { op, request } => self.ask_store(op, request),
            Effect::Hash { op, request } => self.ask_hash(op, request),
            Effect::Token { op } => self.make_token(op),
            other => self.fail(format!("the registry wants {other:?}")),
        }
    }

    /// What is random is told at once, as a driver tells it.
    fn make_token(&mut self, op: OpId) {
        let token = SessionToken::from_random(std::array::from_fn(|_| self.schedule.rng.u8(..)));
        let unix_now = self.schedule.now.since(Time::ZERO).as_secs();
        if let Some(machine) = &mut self.registry.machine {
            machine.handle_token(self.schedule.now, op, TokenAnswer::Fresh { token, unix_now });
        }
    }

    fn registry_send(&mut self, conn: ConnId, message: &FromRegistry) {
        let verdict = self.judge.said(self.schedule.now, conn, message);
        self.trace(|| format!("registry says {message:?} on {conn:?}"));
        self.check(verdict);
        let Some(line) = self.registry.lines.get(&conn).copied() else { return };
        let Some(stream) = self.registry.streams.get_mut(&line) else { return };
        let mut bytes = BytesMut::new();
        if stream.codec.encode(message, &mut bytes).is_ok() {
            // Which dialect a first message is in depends on its record.
            if std::mem::replace(&mut stream.greeted, true) {
                self.network.write(&mut self.schedule, line, Side::Acceptor, bytes.freeze());
            } else {
                self.network.write_whole(&mut self.schedule, line, Side::Acceptor, bytes.freeze());
            }
        }
    }

    fn registry_send_datagram(&mut self, node: usize, message: &FromRegistryDatagram) {
        let bytes = message.to_bytes(Dialect::Canonical);
        for delay in self.network.datagram(&mut self.schedule, Host::Registry, Host::Node(node)) {
            self.schedule.after(delay, Happening::ToPeer { node, bytes: bytes.clone() });
        }
    }

    pub(crate) fn registry_forget(&mut self, line: LineId) {
        self.registry.waiting.remove(&line);
        if let Some(stream) = self.registry.streams.remove(&line) {
            self.registry.lines.remove(&stream.conn);
        }
    }

    fn ask_store(&mut self, op: OpId, request: StoreRequest) {
        let slow = self.registry.slow;
        let verdict = self.judge.asks_store(self.schedule.now, &request);
        self.check(verdict);
        if slow > 1 && self.schedule.percent(3) {
            return self.answer(op, request, StoreAnswer::Failed(StoreError::Busy));
        }
        match &request {
            StoreRequest::Read(_) => {
                let answer = self.registry.durable.answer(&request);
                let verdict = self.judge.truth.read(&request, &answer);
                self.check(verdict);
                self.answer(op, request, answer);
            }
            StoreRequest::Write(_) => {
                if self.bug == Some(Bug::AnswerBeforeCommit) {
                    let mut soon = self.registry.durable.clone();
                    for (_, earlier) in &self.registry.pending {
                        soon.answer(earlier);
                    }
                    let answer = soon.answer(&request);
                    self.answer(op, request.clone(), answer);
                }
                self.enqueue(Asker::Machine(op), request);
            }
            other => {
                let what = format!("the registry asks the store {other:?}");
                self.fail(what);
            }
        }
    }

    /// The store is asked for a change, which is made durable with others.
    pub(crate) fn enqueue(&mut self, asker: Asker, request: StoreRequest) {
        let (epoch, slow) = (self.registry.epoch, self.registry.slow);
        if self.registry.pending.is_empty() {
            let delay = self.schedule.millis(1..=20 * slow);
            self.schedule.after(delay, Happening::Commit { epoch });
        }
        self.registry.pending.push_back((asker, request));
    }

    fn answer(&mut self, op: OpId, request: StoreRequest, answer: StoreAnswer) {
        let epoch = self.registry.epoch;
        let delay = self.schedule.millis(0..=2 * self.registry.slow);
        let (request, answer) = (Box::new(request), Box::new(answer));
        self.schedule.after(delay, Happening::Stored { epoch, op, request, answer });
    }

    /// The store makes all that it was asked to durable, and answers in that order.
    pub(crate) fn commit(&mut self, epoch: u32) {
        if epoch != self.registry.epoch {
            return;
        }
        let at = self.schedule.now + self.schedule.millis(0..=2 * self.registry.slow);
        let at = at.max(self.registry.answered);
        self.registry.answered = at;
        if self.bug == Some(Bug::ForgetSync) {
            self.registry.unsynced = Some(self.registry.durable.clone());
        }
        let pending: VecDeque<_> = std::mem::take(&mut self.registry.pending);
        for (asker, request) in pending {
            let answer = Box::new(self.commit_one(&request));
            match asker {
                Asker::Machine(_) if self.bug == Some(Bug::AnswerBeforeCommit) => {}
                Asker::Machine(op) => {
                    let request = Box::new(request);
                    self.schedule.at(at, Happening::Stored { epoch, op, request, answer });
                }
                Asker::Operator { code } => {
                    self.schedule.at(at, Happening::ToldOperator { epoch, code, answer });
                }
            }
        }
    }

    pub(crate) fn commit_one(&mut self, request: &StoreRequest) -> StoreAnswer {
        let mut done = request.clone();
        if let (Some(bug), StoreRequest::Write(write)) = (self.bug, &mut done) {
            bug.tamper_with_store(write);
        }
        let mut answer = self.registry.durable.answer(&done);
        if let (Some(bug), StoreRequest::Write(write)) = (self.bug, request)
            && let Some(instead) = bug.tamper_with_refusal(write, &answer)
        {
            answer = self.registry.durable.answer(&StoreRequest::Write(instead));
        }
        if let StoreRequest::Write(write) = request {
            let verdict = self.judge.truth.committed(write, &answer);
            self.check(verdict);
            if let StoreAnswer::Moderated { room, user: Some(user), removed: true } = &answer {
                let now = self.schedule.now;
                let programs = self.nodes.iter_mut().filter(|node| node.user.name == *user);
                programs.for_each(|node| node.user.put_out(room, now));
                self.stats.put_out += 1;
            }
            self.stats.commits += 1;
        }
        answer
    }

    pub(crate) fn stored(&mut self, epoch: u32, op: OpId, request: &StoreRequest, answer: StoreAnswer) {
        if epoch == self.registry.epoch && self.registry.is_up() {
            let cause = match (request, &answer) {
                (
                    StoreRequest::Write(Write::OpenSession { username, .. }),
                    StoreAnswer::Session(Some((_, rooms, _))),
                ) => Cause::Login(username.clone(), rooms.clone()),
                (
                    StoreRequest::Write(Write::ResumeSession { username, .. }),
                    StoreAnswer::Session(Some((_, rooms, _))),
                ) => Cause::Resume(username.clone(), rooms.clone()),
                _ => Cause::Other,
            };
            self.judge.stored(request, &answer);
            self.registry_step(cause, |machine, now| machine.handle_stored(now, op, answer));
            self.registry_settle();
        }
    }

    fn ask_hash(&mut self, op: OpId, request: HashRequest) {
        let (epoch, slow) = (self.registry.epoch, self.registry.slow);
        let answer = match request {
            _ if slow > 1 && self.schedule.percent(3) => HashAnswer::Busy,
            HashRequest::Create { digest } => HashAnswer::Created(Arc::from(digest.expose())),
            HashRequest::Verify { digest, stored: Some(stored) } if *stored == *digest.expose() => {
                HashAnswer::Match { upgraded: None }
            }
            _ => HashAnswer::Mismatch,
        };
        let delay = self.schedule.millis(20..=40 * slow);
        self.schedule.after(delay, Happening::Hashed { epoch, op, answer });
    }

    pub(crate) fn hashed(&mut self, epoch: u32, op: OpId, answer: HashAnswer) {
        if epoch == self.registry.epoch {
            self.judge.hashed(&answer);
            self.registry_step(Cause::Other, |machine, now| machine.handle_hashed(now, op, answer));
            self.registry_settle();
        }
    }
}
