//! A store that takes its time, and of which a crash leaves what was committed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use p2pchat_core::{
    registry::store::{MemoryStore, RoomAction, StoreAnswer, StoreError, StoreRequest, TokenChange, Write},
    tokio::Store,
};
use p2pchat_examples::truth::Truth;
use p2pchat_proto::{Capacity, RoomName, Username};
use tokio::time::sleep;

use crate::bugs::Bug;

/// How often [`Bug::AnswerBeforeCommit`] commits.
const LAZY: Duration = Duration::from_secs(5);

type Done = Box<dyn FnOnce(StoreAnswer) + Send>;

#[derive(Clone)]
pub(crate) struct SimStore(Arc<Mutex<Inner>>);

pub(crate) struct Inner {
    dice: Rng,
    bug: Option<Bug>,
    /// What the running registry sees.
    live: MemoryStore,
    /// What a crash leaves.
    durable: MemoryStore,
    /// What durable must be.
    pub(crate) truth: Truth,
    uncommitted: Vec<(Write, StoreAnswer)>,
    waiting: Vec<(StoreRequest, Done)>,
    is_writing: bool,
    /// Now and then there is too much to do.
    pub(crate) is_busy: bool,
    /// How many times slower than usual.
    pub(crate) slowness: u64,
    pub(crate) commits: u64,
    /// Whose membership an owner has ended, which nobody may have told them yet.
    pub(crate) put_out: Vec<(Username, RoomName)>,
    broken: Option<String>,
}

impl SimStore {
    pub(crate) fn new(dice: Rng, bug: Option<Bug>, by_invitation: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            dice,
            bug,
            live: MemoryStore::new(),
            durable: MemoryStore::new(),
            truth: Truth::new(by_invitation),
            uncommitted: Vec::new(),
            waiting: Vec::new(),
            is_writing: false,
            is_busy: false,
            slowness: 1,
            commits: 0,
            put_out: Vec::new(),
            broken: None,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registry is gone: what was not committed never was.
    pub(crate) fn crash(&self) {
        let mut inner = self.lock();
        inner.live = inner.durable.clone();
        inner.uncommitted.clear();
        inner.is_writing = false;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        // Outside the lock: a question that is dropped answers itself.
        drop(waiting);
    }

    /// Takes in turn what waits, until there is nothing.
    async fn work(self) {
        loop {
            let pause = self.lock().pause(1..=20);
            sleep(pause).await;
            let answered = self.lock().answer_all();
            if answered.is_empty() {
                return;
            }
            // A crash now leaves what was committed, and nobody was told.
            let pause = self.lock().pause(1..=5);
            sleep(pause).await;
            for (done, answer) in answered {
                done(answer);
            }
        }
    }

    async fn commit_later(self) {
        sleep(LAZY).await;
        self.lock().commit();
    }
}

impl Store for SimStore {
    fn submit(&self, request: StoreRequest, done: Done) {
        let mut inner = self.lock();
        if inner.is_busy && inner.dice.u8(0..200) == 0 {
            drop(inner);
            return done(StoreAnswer::Failed(StoreError::Busy));
        }
        inner.waiting.push((request, done));
        if !inner.is_writing {
            inner.is_writing = true;
            tokio::spawn(self.clone().work());
        }
        if inner.bug == Some(Bug::AnswerBeforeCommit) && inner.uncommitted.is_empty() {
            tokio::spawn(self.clone().commit_later());
        }
    }
}

impl Inner {
    fn pause(&mut self, millis: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.dice.u64(millis) * self.slowness)
    }

    fn answer_all(&mut self) -> Vec<(Done, StoreAnswer)> {
        let waiting = std::mem::take(&mut self.waiting);
        self.is_writing = !waiting.is_empty();
        let mut answered = Vec::new();
        for (request, done) in waiting {
            let mut answer = self.live.answer(&self.tampered(request.clone()));
            if self.bug == Some(Bug::ReuseToken)
                && let StoreRequest::Write(Write::ResumeSession { username, next, .. }) = &request
                && matches!(answer, StoreAnswer::WrongToken)
            {
                let token = next.map_or(TokenChange::Keep, TokenChange::Give);
                let open = Write::OpenSession { username: username.clone(), password: None, token };
                answer = self.live.answer(&StoreRequest::Write(open));
            }
            if self.bug == Some(Bug::ReuseInvitation)
                && let StoreRequest::Write(Write::Register { username, password, .. }) = &request
                && matches!(answer, StoreAnswer::NoSuchInvite)
            {
                let (username, password) = (username.clone(), password.clone());
                let open = Write::Register { username, password, invite: None };
                answer = self.live.answer(&StoreRequest::Write(open));
            }
            if let StoreRequest::Write(write) = request {
                self.uncommitted.push((write, answer.clone()));
            }
            answered.push((done, answer));
        }
        if self.bug != Some(Bug::AnswerBeforeCommit) {
            self.commit();
        }
        answered
    }

    fn tampered(&self, mut request: StoreRequest) -> StoreRequest {
        if self.bug == Some(Bug::ForgetCapacity)
            && let StoreRequest::Write(Write::CreateRoom { capacity, .. }) = &mut request
            && let Ok(more) = Capacity::new(capacity.get() + 3)
        {
            *capacity = more;
        }
        if self.bug == Some(Bug::ForgetBans)
            && let StoreRequest::Write(Write::Moderate { action, .. }) = &mut request
            && let RoomAction::Ban { username, reason } = action
        {
            *action = RoomAction::Kick { username: username.clone(), reason: reason.clone() };
        }
        request
    }

    fn commit(&mut self) {
        if self.uncommitted.is_empty() {
            return;
        }
        self.commits += 1;
        for (write, answer) in std::mem::take(&mut self.uncommitted) {
            if !matches!(answer, StoreAnswer::Failed(_))
                && let Err(what) = self.truth.committed(&write, &answer)
            {
                self.broken.get_or_insert(what);
            }
            if let StoreAnswer::Moderated { room, user: Some(user), removed: true } = answer {
                self.put_out.push((user, room));
            }
        }
        self.durable = self.live.clone();
    }

    /// The first thing that went wrong.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// What was committed is there, and nothing else.
    pub(crate) fn audit(&mut self) -> Result<(), String> {
        // An audit may write; what is durable stays as it is.
        self.truth.audit(&mut self.durable.clone())
    }
}
