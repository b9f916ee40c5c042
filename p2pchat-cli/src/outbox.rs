//! What is to be said, until it is: a message to somebody who isn't there waits, and goes out when they are.
//!
//! As the machines of `p2pchat-core`, this takes facts and gives steps; it knows no socket, no disk and no clock.

use std::collections::{BTreeMap, VecDeque};

use p2pchat_core::{peer::RequestError, proto::Username, tokio::Error};

use crate::{
    archive::{EntryId, State},
    sanitize,
    target::Target,
};

/// When somebody who isn't there is asked for again, in milliseconds; each time twice as late, up to the most.
const SOONEST: u64 = 10_000;
const LATEST: u64 = 160_000;

/// How many messages are under way to one person or room at once; the rest waits, and none overtakes another.
const UNDER_WAY: usize = 16;

/// Of how many messages that may have arrived it is known how they are told of.
const DOUBTS: usize = 1_000;

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask somebody for a chat; how it ended is told by [`Outbox::asked`].
    Ask(Username),
    /// Say something; how it ended is told by [`Outbox::sent`].
    Send { id: EntryId, target: Target, text: String },
    /// Something has become of a message.
    State { id: EntryId, state: State },
}

/// How an attempt ended that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It wasn't said; later it may work.
    Later(String),
    /// It may have been said, and may not.
    Unsure(String),
    /// It won't work until the user does something about it.
    Never(String),
}

impl Trouble {
    /// What an error means for a message that was to be sent.
    pub(crate) fn of_sending(error: &Error) -> Self {
        let why = sanitize::line(&error.to_string());
        match error {
            Error::Request(RequestError::Doubtful { .. }) => Self::Unsure(why),
            Error::Request(
                RequestError::KeyChanged { .. }
                | RequestError::Plain
                | RequestError::Blocked
                | RequestError::NotFound
                | RequestError::NotDelivered(_)
                | RequestError::Unsupported,
            )
            | Error::Invalid { .. } => Self::Never(why),
            // Nothing else is said of what has gone out.
            _ => Self::Later(why),
        }
    }

    /// What an error means for messages that wait for a chat.
    pub(crate) fn of_asking(error: &Error) -> Self {
        let why = sanitize::line(&error.to_string());
        match error {
            Error::Request(
                RequestError::NotFound
                | RequestError::Rejected(_)
                | RequestError::KeyChanged { .. }
                | RequestError::Plain
                | RequestError::Blocked,
            )
            | Error::Invalid { .. } => Self::Never(why),
            _ => Self::Later(why),
        }
    }
}

/// What waits for one person or room.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(EntryId, String)>,
    sending: VecDeque<(EntryId, String)>,
    /// Text can go there now.
    open: bool,
    /// The way there is lost, and is looked for already.
    interrupted: bool,
    /// A room took no text although it was open: it is tried again, as nobody says when it does.
    shut: bool,
    asking: bool,
    /// What kept it from going out last, as the user was told.
    told: String,
    /// When to ask again, and how long it was waited before.
    again: u64,
    pause: u64,
}

impl Queue {
    /// Before those that were typed after it.
    fn put(&mut self, id: EntryId, text: String) {
        let at = self.waiting.iter().take_while(|(other, _)| *other < id).count();
        self.waiting.insert(at, (id, text));
    }
}

/// All that waits.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: BTreeMap<String, (Target, Queue)>,
    steps: VecDeque<Step>,
    now: u64,
    /// What may have arrived: whom it is for, what it is called on its way, and here.
    doubts: VecDeque<(Username, u64, EntryId)>,
}

impl Outbox {
    /// What to do next, if anything.
    pub(crate) fn poll(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// A message is to be said, after those with lower numbers.
    pub(crate) fn push(&mut self, target: &Target, id: EntryId, text: String) {
        let queue = self.queue(target);
        queue.put(id, text);
        queue.told.clear();
        // Whoever says something wants it to arrive.
        (queue.again, queue.pause) = (0, 0);
        self.go_on(target);
    }

    /// Text can go there from now on, or can't.
    pub(crate) fn open(&mut self, target: &Target, open: bool) {
        let queue = self.queue(target);
        (queue.open, queue.interrupted, queue.shut) = (open, false, false);
        if open {
            (queue.again, queue.pause) = (0, 0);
        }
        self.go_on(target);
    }

    /// The way there is lost; it is looked for, so that nobody need be asked.
    pub(crate) fn interrupted(&mut self, target: &Target) {
        let queue = self.queue(target);
        (queue.open, queue.interrupted) = (false, true);
    }

    /// The user wants a chat, whether or not something waits for it.
    pub(crate) fn ask(&mut self, user: &Username) {
        let queue = self.queue(&Target::User(user.clone()));
        if !queue.asking && !queue.open {
            queue.asking = true;
            self.steps.push_back(Step::Ask(user.clone()));
        }
    }

    /// True if what is said there goes out at once.
    pub(crate) fn is_open(&self, target: &Target) -> bool {
        let queue = self.queues.get(&target.key()).map(|(_, queue)| queue);
        queue.is_some_and(|queue| queue.open && queue.sending.len() < UNDER_WAY && queue.waiting.is_empty())
    }

    /// True if something waits there.
    pub(crate) fn waits(&self, target: &Target) -> bool {
        self.queues.get(&target.key()).is_some_and(|(_, queue)| !queue.waiting.is_empty())
    }

    /// True if the user doesn't know yet why nothing goes out: each attempt may fail alike. They are told then.
    pub(crate) fn is_news(&mut self, target: &Target, why: &str) -> bool {
        let queue = self.queue(target);
        let is_news = queue.told != why || queue.waiting.is_empty();
        why.clone_into(&mut queue.told);
        is_news
    }

    /// All that has not come to its end.
    pub(crate) fn all(&self) -> impl Iterator<Item = (EntryId, &Target, &str, State)> {
        self.queues.values().flat_map(|(target, queue)| {
            let waiting = queue.waiting.iter().map(|message| (message, State::Waiting));
            let sending = queue.sending.iter().map(|message| (message, State::Sending));
            waiting.chain(sending).map(move |((id, text), state)| (*id, target, text.as_str(), state))
        })
    }

    /// Messages have other numbers from now on, in the same order.
    pub(crate) fn renumber(&mut self, given: &BTreeMap<EntryId, EntryId>) {
        let renumber = |id: &mut EntryId| *id = given.get(id).copied().unwrap_or(*id);
        for (_, queue) in self.queues.values_mut() {
            queue.waiting.iter_mut().chain(&mut queue.sending).for_each(|(id, _)| renumber(id));
        }
        for step in &mut self.steps {
            match step {
                Step::Send { id, .. } | Step::State { id, .. } => renumber(id),
                Step::Ask(_) => {}
            }
        }
    }

    /// What waits there is not to be said any more; which that was.
    pub(crate) fn discard(&mut self, target: &Target) -> Vec<EntryId> {
        std::mem::take(&mut self.queue(target).waiting).into_iter().map(|(id, _)| id).collect()
    }

    /// Somebody was seen.
    pub(crate) fn seen(&mut self, user: &Username) {
        let target = Target::User(user.clone());
        let queue = self.queue(&target);
        (queue.again, queue.pause) = (0, 0);
        self.go_on(&target);
    }

    /// Somebody was asked for a chat.
    pub(crate) fn asked(&mut self, user: &Username, outcome: Result<(), Trouble>) {
        let target = Target::User(user.clone());
        let now = self.now;
        let queue = self.queue(&target);
        queue.asking = false;
        match outcome {
            Ok(()) => queue.open = true,
            Err(Trouble::Later(_) | Trouble::Unsure(_)) => {
                queue.pause = (queue.pause * 2).clamp(SOONEST, LATEST);
                queue.again = now + queue.pause;
            }
            Err(Trouble::Never(why)) => {
                let all = std::mem::take(&mut queue.waiting);
                for (id, _) in all {
                    self.steps.push_back(Step::State { id, state: State::Failed(why.clone()) });
                }
            }
        }
        self.go_on(&target);
    }

    /// A message has arrived, or hasn't.
    pub(crate) fn sent(&mut self, target: &Target, id: EntryId, outcome: Result<(), Trouble>) {
        let now = self.now;
        let queue = self.queue(target);
        let at = queue.sending.iter().position(|(other, _)| *other == id);
        let Some((id, text)) = at.and_then(|at| queue.sending.remove(at)) else { return };
        let state = match outcome {
            Ok(()) => State::Delivered,
            Err(Trouble::Later(_)) => {
                queue.put(id, text);
                queue.open = false;
                queue.shut = matches!(target, Target::Room(_));
                // The chat may just have ended, and be had again at once; but not over and over.
                queue.again = now + if queue.shut { queue.pause.max(SOONEST) } else { queue.pause };
                queue.pause = (queue.pause * 2).clamp(SOONEST, LATEST);
                State::Waiting
            }
            Err(Trouble::Unsure(_)) => State::Unsure,
            Err(Trouble::Never(why)) => State::Failed(why),
        };
        self.steps.push_back(Step::State { id, state });
        self.go_on(target);
    }

    /// A message may have arrived at somebody; `number` is what it was called on its way.
    pub(crate) fn doubt(&mut self, with: &Username, number: u64, id: EntryId) {
        if self.doubts.len() >= DOUBTS {
            self.doubts.pop_front();
        }
        self.doubts.push_back((with.clone(), number, id));
    }

    /// It has: which that was. If it waits to be said again, it needn't be.
    pub(crate) fn arrived(&mut self, with: &Username, number: u64) -> Option<EntryId> {
        let is_it = |(user, other, _): &(Username, u64, EntryId)| (user, *other) == (with, number);
        let at = self.doubts.iter().position(is_it)?;
        let (.., id) = self.doubts.remove(at)?;
        if let Some((_, queue)) = self.queues.get_mut(&Target::User(with.clone()).key()) {
            queue.waiting.retain(|(other, _)| *other != id);
        }
        Some(id)
    }

    /// It is `now`, in milliseconds.
    pub(crate) fn tick(&mut self, now: u64) {
        self.now = now;
        let due: Vec<_> = self.queues.values().map(|(target, _)| target.clone()).collect();
        due.iter().for_each(|target| self.go_on(target));
    }

    /// True if something is under way that will soon have arrived, or not.
    pub(crate) fn is_sending(&self) -> bool {
        self.queues.values().any(|(_, queue)| !queue.sending.is_empty() && !queue.interrupted)
    }

    /// Nobody is logged in any more: nothing is open, and nothing is being asked.
    pub(crate) fn logged_out(&mut self) {
        for (_, queue) in self.queues.values_mut() {
            (queue.open, queue.asking, queue.interrupted) = (false, false, true);
        }
    }

    fn queue(&mut self, target: &Target) -> &mut Queue {
        let entry = self.queues.entry(target.key());
        &mut entry.or_insert_with(|| (target.clone(), Queue::default())).1
    }

    fn go_on(&mut self, target: &Target) {
        let now = self.now;
        let queue = self.queue(target);
        let mut steps = Vec::new();
        if queue.shut && !queue.interrupted && now >= queue.again {
            (queue.open, queue.shut) = (true, false);
        }
        if queue.open {
            while queue.sending.len() < UNDER_WAY
                && let Some((id, text)) = queue.waiting.pop_front()
            {
                queue.sending.push_back((id, text.clone()));
                steps.push(Step::State { id, state: State::Sending });
                steps.push(Step::Send { id, target: target.clone(), text });
            }
        } else if let Target::User(user) = target
            && !queue.waiting.is_empty()
            && !queue.asking
            && !queue.interrupted
            && now >= queue.again
        {
            queue.asking = true;
            steps.push(Step::Ask(user.clone()));
        }
        self.steps.extend(steps);
    }
}

#[cfg(test)]
mod tests;
