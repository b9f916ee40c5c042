//! Tokens, and sessions without a stream (§7.5), as the model has them.

use super::*;
use crate::world::{UNIX_START, token};

/// For how many seconds a token is good: so few that sequences outlive it.
pub(crate) const TOKEN_SECONDS: u64 = 100;

/// The tokens of an account that are good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    current: Token,
    previous: Option<Token>,
}

/// Which of all that were made, and until when it is good.
#[derive(Debug, Clone, Copy)]
struct Token {
    number: u64,
    expires: u64,
}

impl Model {
    fn unix_now(&self) -> u64 {
        UNIX_START + self.now / SECOND
    }

    fn make_token(&mut self) -> Token {
        self.tokens_made += 1;
        Token { number: self.tokens_made, expires: self.unix_now() + TOKEN_SECONDS }
    }

    /// What an answer to LOGIN or RESUME looks like, and the token in it.
    pub(super) fn give_token(&mut self, slot: usize, user: &Key) -> Option<u64> {
        if !self.has(slot, "resume") {
            self.tokens.remove(user);
            return None;
        }
        let current = self.make_token();
        self.tokens.insert(user.clone(), Tokens { current, previous: None });
        Some(current.number)
    }

    pub(super) fn resume(&mut self, slot: usize, request: &Request, user: &str, number: u64, port: u16) {
        let (user, fresh, now) = (key(user), self.make_token(), self.unix_now());
        let good = self.tokens.get(&user).and_then(|tokens| {
            let mut all = [Some(tokens.current), tokens.previous].into_iter().flatten();
            all.find(|token| token.number == number && now < token.expires)
        });
        if good.is_none() {
            return self.refuse(slot, request);
        }
        self.tokens.insert(user.clone(), Tokens { current: fresh, previous: good });
        let goes_on = self.online(&user).is_some();
        self.replace_session(&user);
        self.begin_session(slot, &user, port, Some(fresh.number), goes_on);
    }

    pub(super) fn log_out(&mut self, asked: &Unanswered) {
        let user = asked.user.as_ref().unwrap();
        if self.tokens.get(user).is_some_and(|tokens| Some(tokens.current.number) == asked.token) {
            self.tokens.remove(user);
        }
        if self.stream(asked.slot, asked.serial).is_some() {
            self.end(asked.slot);
        }
    }

    /// The stream has ended by itself: its session may wait for its user.
    pub(super) fn hang_up(&mut self, slot: usize) {
        let Some(stream) = self.streams.get(&slot) else { return };
        let serial = stream.serial;
        let leaves = self.unanswered.iter().any(|asked| {
            asked.serial == serial && asked.slot == slot && matches!(asked.request, Request::Logout { .. })
        });
        match &stream.session {
            Some(session) if session.token.is_some() && !leaves && session.ends > self.now => {
                let mut stream = self.streams.remove(&slot).unwrap();
                let session = stream.session.as_mut().unwrap();
                session.ends = session.ends.min(self.now + 10 * SECOND);
                (stream.gone, stream.waiting) = (true, None);
                self.gone += 1;
                self.streams.insert(SLOTS + self.gone, stream);
            }
            _ => self.end(slot),
        }
    }

    /// Of an account, the tokens that may be used, and one that was.
    pub(crate) fn tokens_of(&self, user: &str) -> Vec<u64> {
        let tokens = self.tokens.get(&key(user));
        let good = tokens.map(|t| [Some(t.current), t.previous].into_iter().flatten().map(|t| t.number));
        good.into_iter().flatten().chain([1]).collect()
    }
}

/// How an answer with a token ends.
pub(super) fn in_auth(number: Option<u64>) -> String {
    number.map(|number| format!(" <{}>", token(number).expose())).unwrap_or_default()
}
