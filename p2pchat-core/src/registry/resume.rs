//! How sessions are opened, by password or token, and how they outlast their streams (§7.5).
//!
//! A token comes from the machine's owner, who has randomness and the calendar's clock, and goes to the store as a digest
//! before it is given out. So a login takes these steps: account, hash, token, session; a `RESUME` the last two.

use std::sync::Arc;

use p2pchat_proto::{AuthReply, Capability, FromRegistry, PeerPort, RoomName, SessionToken, Username};

use super::{
    ConnId, Effect, Registry, TokenAnswer,
    answers::{FAULT, Op, Step},
    connection::{Connection, Line, Phase},
    refusal::Refused,
    session::Login,
    store::{Secret, StoreRequest, StoredToken, TokenChange, TokenDigest, Write},
};
use crate::time::Time;

/// A session that is wanted, and what gives a right to it.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) username: Username,
    pub(super) port: Option<PeerPort>,
    pub(super) by: Credential,
}

#[derive(Debug)]
pub(super) enum Credential {
    /// The password was right. A new hash of it is stored if there is one.
    Password { upgraded: Option<Secret> },
    /// The store has yet to look at it.
    Token(SessionToken),
}

/// A session that the store has been asked to open.
#[derive(Debug)]
pub(super) struct Asked {
    opening: Opening,
    /// Its place in the order in which sessions are opened.
    epoch: u64,
    /// The time then, in seconds since 1970.
    unix_now: u64,
    /// What is to be given out.
    token: Option<SessionToken>,
    /// Nothing is changed by it: the store couldn't.
    plainly: bool,
    /// The operator has put the user out since, with these words.
    kicked: Option<Arc<str>>,
}

impl Asked {
    fn by_password(&self) -> bool {
        matches!(self.opening.by, Credential::Password { .. })
    }
}

impl Registry {
    pub(super) fn resume(
        &mut self,
        now: Time,
        conn: ConnId,
        username: Username,
        token: SessionToken,
        port: Option<PeerPort>,
    ) {
        if !self.greeted(conn, Refused::Login) || !self.not_logged_in(conn, &username) {
        } else if !self.has(conn, Capability::Resume) {
            self.refuse(conn, Refused::Login, "this connection has not agreed on resume");
        } else {
            self.open_session(now, conn, Opening { username, port, by: Credential::Token(token) });
        }
    }

    /// Opens a session, if anybody still waits for it: with a token where that was agreed on.
    pub(super) fn open_session(&mut self, now: Time, conn: ConnId, opening: Opening) {
        if !self.connections.contains_key(conn) {
        } else if !self.has(conn, Capability::Resume) {
            self.ask_for_session(now, conn, opening, 0, None);
        } else if let Some(op) = self.open(now, conn, Step::Token { opening }) {
            self.effects.push_back(Effect::Token { op });
        }
    }

    fn has(&self, conn: ConnId, capability: Capability) -> bool {
        self.connections.get(conn).is_some_and(|connection| connection.has(capability))
    }

    pub(super) fn minted(&mut self, now: Time, op: Op, answer: TokenAnswer) {
        let Op { conn, step, .. } = op;
        let what = step.refused();
        match (step, answer) {
            (Step::Token { opening }, TokenAnswer::Fresh { token, unix_now }) => {
                if self.connections.contains_key(conn) {
                    self.ask_for_session(now, conn, opening, unix_now, Some(token));
                }
            }
            (Step::Ticket, TokenAnswer::Fresh { token, .. }) => self.give_ticket(conn, token),
            // The session goes on without one.
            (Step::Ticket, TokenAnswer::Failed) => tracing::error!(?conn, "there is no ticket"),
            (step, answer) => {
                tracing::error!(?step, ?answer, "there is no token");
                self.settle(&step);
                self.unable(now, conn, what, FAULT);
            }
        }
    }

    fn ask_for_session(
        &mut self,
        now: Time,
        conn: ConnId,
        opening: Opening,
        unix_now: u64,
        token: Option<SessionToken>,
    ) {
        if matches!(opening.by, Credential::Password { .. }) && self.is_taken(now, &opening.username) {
            return self.elsewhere(now, conn);
        }
        let epoch = self.presence.next_epoch();
        self.ask_store_for_session(
            now,
            conn,
            Asked { opening, epoch, unix_now, token, plainly: false, kicked: None },
        );
    }

    fn elsewhere(&mut self, now: Time, conn: ConnId) {
        let reason = self.reason(conn, ELSEWHERE);
        self.reply(now, conn, FromRegistry::Auth(AuthReply::Online { reason }));
    }

    /// True if the user has a live session, or is about to by their password: of two logins at once one gets in. A `RESUME`
    /// counts for nothing here until the store has looked at its token: anybody could keep the user out with a wrong one.
    fn is_taken(&self, now: Time, username: &Username) -> bool {
        let session = self.place(username).and_then(|conn| self.connections.get(conn));
        self.opening.contains_key(username) || session.is_some_and(|session| !session.is_silent(now))
    }

    fn ask_store_for_session(&mut self, now: Time, conn: ConnId, asked: Asked) {
        let Opening { username, by, .. } = &asked.opening;
        let expires = asked.unix_now.saturating_add(self.config.token_lifetime.as_secs());
        let fresh = asked.token.as_ref().filter(|_| !asked.plainly);
        let fresh = fresh.map(|token| StoredToken { digest: TokenDigest::of(token), expires });
        let request = match by {
            Credential::Password { .. } if asked.plainly => {
                Write::OpenSession { username: username.clone(), password: None, token: TokenChange::Keep }
            }
            Credential::Password { upgraded } => Write::OpenSession {
                username: username.clone(),
                password: upgraded.as_ref().map(|Secret(phc)| phc.clone()),
                token: fresh.map_or(TokenChange::Revoke, TokenChange::Give),
            },
            Credential::Token(token) => Write::ResumeSession {
                username: username.clone(),
                token: TokenDigest::of(token),
                now: asked.unix_now,
                next: fresh,
            },
        };
        if asked.by_password() {
            *self.opening.entry(username.clone()).or_default() += 1;
        }
        self.store(now, conn, StoreRequest::Write(request), Step::Session(Box::new(asked)));
    }

    /// The store has answered what it was asked about a session, or never will.
    pub(super) fn settle(&mut self, step: &Step) {
        if let Step::Session(asked) = step
            && asked.by_password()
            && let Some(count) = self.opening.get_mut(&asked.opening.username)
        {
            *count -= 1;
            if *count == 0 {
                self.opening.remove(&asked.opening.username);
            }
        }
    }

    /// The store can't write: who has the right to a session gets one all the same, without a new token. Theirs, if they used
    /// one, stays good.
    pub(super) fn open_plainly(&mut self, now: Time, conn: ConnId, asked: Box<Asked>) {
        let Asked { opening, epoch, unix_now, plainly, kicked, .. } = *asked;
        if plainly {
            return self.unable(now, conn, Refused::Login, FAULT);
        }
        // A token may have brought the session back meanwhile.
        if matches!(opening.by, Credential::Password { .. }) && self.is_taken(now, &opening.username) {
            return self.elsewhere(now, conn);
        }
        if self.connections.contains_key(conn) {
            let token = match &opening.by {
                Credential::Password { .. } => None,
                Credential::Token(token) => Some(token.clone()),
            };
            let asked = Asked { opening, epoch, unix_now, token, plainly: true, kicked };
            self.ask_store_for_session(now, conn, asked);
        }
    }

    /// The store has opened a session.
    pub(super) fn opened(
        &mut self,
        now: Time,
        conn: ConnId,
        asked: Asked,
        (username, rooms, current): (Username, Vec<RoomName>, Option<TokenDigest>),
    ) {
        if !self.connections.contains_key(conn) {
            return;
        }
        let Asked { opening: Opening { port, by, .. }, epoch, token, kicked, .. } = asked;
        if let Some(why) = kicked {
            return self.fail(conn, &why);
        }
        let resumes = matches!(by, Credential::Token(_));
        match self.log_in(now, conn, Login { username, port, rooms, epoch, token, current, resumes }) {
            Ok(()) => self.done(now, conn),
            Err(refusal) => self.reply(now, conn, FromRegistry::Auth(refusal)),
        }
    }

    /// What the store was asked to open of the user's before now doesn't begin: the tokens of it are revoked, and the store's
    /// answer may come after the news of that.
    pub(super) fn kick_openings(&mut self, username: &Username, why: &str) {
        for op in self.ops.values_mut() {
            if let Step::Session(asked) = &mut op.step
                && asked.opening.username == *username
            {
                asked.kicked = Some(why.into());
            }
        }
    }

    pub(super) fn wrong_token(&mut self, now: Time, conn: ConnId) {
        self.counts.refused_tokens += 1;
        self.refuse_step(now, conn, Refused::Login, NOT_GOOD);
    }

    /// Ends a session at its user's wish, once its token is revoked.
    pub(super) fn log_out(&mut self, now: Time, conn: ConnId) {
        let Some(session) = self.connections.get(conn).and_then(Connection::session) else { return };
        match session.current.as_deref().cloned() {
            None => self.logged_out(conn),
            Some(token) => {
                let request = Write::RevokeTokens { username: session.username.clone(), only: Some(token) };
                self.store(now, conn, StoreRequest::Write(request), Step::Logout);
            }
        }
    }

    pub(super) fn logged_out(&mut self, conn: ConnId) {
        if let Some(user) = self.user(conn) {
            tracing::info!(%user, "logged out");
            self.close(conn);
        }
    }

    /// Has the session of a stream that has ended wait for its user, for what is left of its lease, up to a limit. False if
    /// there is none that could go on elsewhere.
    pub(super) fn keep_waiting(&mut self, now: Time, conn: ConnId) -> bool {
        let limit = now + self.config.resume_grace;
        let Some(connection) = self.connections.get(conn) else { return false };
        let leaves = connection.op().and_then(|op| self.ops.get(op)).is_some_and(Op::is_logout);
        // As many wait as there may be streams.
        if self.draining || leaves || self.waiting >= self.config.connections {
            return false;
        }
        let Some(session) = connection.session().filter(|session| session.has_token) else { return false };
        let until = session.end.due().min(limit);
        if until <= now {
            return false;
        }
        tracing::info!(?conn, user = %session.username, "the stream has ended: waits for its user");
        self.leave_stream(conn, until, Line::Broken);
        true
    }

    /// Gives the session of a stream that has ended, or is about to, a place of its own until then.
    pub(super) fn leave_stream(&mut self, conn: ConnId, until: Time, line: Line) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let mut session = match std::mem::replace(&mut connection.phase, Phase::Anonymous) {
            Phase::LoggedIn(session) => session,
            phase => return connection.phase = phase,
        };
        // Only a LOGOUT would ask, and who comes back has another.
        session.current = None;
        session.rooms.shrink_to_fit();
        let (username, rooms) = (session.username.clone(), session.rooms.clone());
        self.leases.cancel(conn, session.end);
        let place = connection.without_stream(session, line);
        let place = self.connections.insert(place);
        if let Some(session) = self.connections.get_mut(place).and_then(Connection::session_mut) {
            session.end = self.leases.begin(place, until);
        }
        match line {
            Line::Open => {}
            Line::Broken => self.waiting += 1,
            Line::Parked { .. } => self.parked += 1,
        }
        self.listings.changed(&username);
        self.presence.moves(&username, &rooms, place);
    }
}

pub(super) const ELSEWHERE: &str = "you are logged in elsewhere";
pub(super) const NOT_GOOD: &str = "that token is not good any more";
