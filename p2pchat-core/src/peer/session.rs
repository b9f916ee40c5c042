//! The session: logging in, keeping it alive, bringing it back, logging out (§5.1, §5.2).

use std::{num::NonZeroU64, time::Duration};

use p2pchat_proto::{
    AuthReply, Capability, PasswordDigest, PeerPort, Reason, RegisterReply, SessionTicket, SessionToken,
    ToRegistry, ToRegistryDatagram, Username,
};

use super::{
    Effect, Event, Peer, RequestError, RequestId, Response, Timer,
    link::Waiting,
    park::Parked,
    requests::{Purpose, Way},
    status::Pulse,
};
use crate::time::Time;

/// The prototype's registry drops a user after three seconds without a keep-alive (§6.2).
const PROTOTYPE_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// What a login needs, kept to log in again.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) username: Username,
    password: PasswordDigest,
    port: Option<PeerPort>,
}

impl Credentials {
    pub(super) fn login(&self) -> ToRegistry {
        ToRegistry::Login {
            username: self.username.clone(),
            password: self.password.clone(),
            port: self.port,
        }
    }

    fn resume(&self, token: SessionToken) -> ToRegistry {
        ToRegistry::Resume { username: self.username.clone(), token, port: self.port }
    }
}

/// A session that the user wants, live or to be brought back.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) credentials: Credentials,
    /// What brings it back without the password (§7.5). In memory only.
    token: Option<SessionToken>,
    /// When the session was last begun or brought back, and so when its token came.
    pub(super) renewed: Time,
    /// The token was used, and no answer came.
    unanswered: bool,
    /// So was the one before it. If that request comes to the registry only now, it takes the session over.
    late: bool,
    pub(super) live: bool,
    /// The application has been told that its link is gone.
    pub(super) lost: bool,
    /// The registry ended it by TIMEOUT, so that ONLINE means that somebody else has taken it over.
    timed_out: bool,
    /// Since when the registry says ONLINE to our attempts to bring it back.
    refused_since: Option<Time>,
    /// The capability `sender` was negotiated when it was last live.
    pub(super) sender: bool,
    /// So was `keys`, and we have one: who else has one can be told from who hasn't.
    pub(super) keys: bool,
    /// So was `ids`.
    pub(super) ids: bool,
    /// How the registry answers keep-alives, since the session was begun or brought back.
    pub(super) pulse: Pulse,
    /// What its keep-alives prove (§7.6), and the number of the next one.
    pub(super) ticket: Option<(SessionTicket, NonZeroU64)>,
    /// It is parked, or was and has not come back since (§7.12).
    pub(super) parked: Option<Parked>,
    /// For how long the registry has asked us to stay away (§7.8).
    pub(super) retry_after: Option<Duration>,
    /// Failed attempts since it was last live for a while.
    pub(super) attempts: u32,
}

impl Session {
    /// True if it could come back from it, and be heard.
    pub(super) fn can_park(&self) -> bool {
        self.token.is_some() && self.ticket.is_some()
    }
}

impl Peer {
    /// Logs in (§4.3), opening the link if there is none. Without a `port` nobody can dial this peer. From then on the
    /// session is kept alive, and brought back when the link is lost (by its token where the registry gives one out, §7.5), until [`logout`](Self::logout).
    pub fn login(
        &mut self,
        now: Time,
        username: Username,
        password: PasswordDigest,
        port: Option<PeerPort>,
    ) -> RequestId {
        self.command(|peer, request| {
            if peer.session.is_some() {
                return Err(RequestError::AlreadyLoggedIn);
            }
            peer.when_ready(now, Waiting::Login(request, Credentials { username, password, port }))
        })
    }

    /// Ends the session (§4.12), its chats and its streams. Done when the registry has closed the link, or after
    /// [`Config::request_timeout`](super::Config::request_timeout).
    pub fn logout(&mut self, now: Time) -> RequestId {
        self.command(|peer, request| {
            peer.me()?;
            let said_so = peer.hang_up_registry(now);
            peer.end_session(now, "logged out");
            peer.leave_link(now, request, said_so);
            Ok(())
        })
    }

    pub(super) fn registered(
        &mut self,
        request: RequestId,
        reply: RegisterReply,
        retry_after: Option<Duration>,
    ) {
        let outcome = match reply {
            RegisterReply::Success => Ok(Response::Done),
            RegisterReply::Exists { reason } => {
                Err(RequestError::NameTaken(reason.map(|reason| reason.as_str().to_owned())))
            }
            RegisterReply::Failure { reason } => Err(RequestError::refused(reason, retry_after)),
            other => Err(RequestError::Unexpected(format!("{other:?}"))),
        };
        self.complete(request, outcome);
    }

    pub(super) fn logged_in(
        &mut self,
        now: Time,
        request: RequestId,
        credentials: Credentials,
        reply: AuthReply,
    ) {
        let outcome = match reply {
            AuthReply::Success { token } => {
                self.session = Some(Session {
                    credentials,
                    token,
                    renewed: now,
                    unanswered: false,
                    late: false,
                    live: true,
                    lost: false,
                    timed_out: false,
                    refused_since: None,
                    sender: false,
                    keys: false,
                    ids: false,
                    pulse: Pulse::default(),
                    ticket: None,
                    parked: None,
                    retry_after: None,
                    attempts: 0,
                });
                self.session_begins(now);
                Ok(Response::Done)
            }
            AuthReply::Failure { reason } => {
                Err(RequestError::LoginFailed(reason.map(|reason| reason.as_str().to_owned())))
            }
            AuthReply::Online { .. } => Err(RequestError::AlreadyOnline),
            other => Err(RequestError::Unexpected(format!("{other:?}"))),
        };
        self.complete(request, outcome);
    }

    /// Asks for the session again: by its token, or with the password. False if that can't be asked.
    pub(super) fn come_back(&mut self, now: Time) -> bool {
        let resumes = self.has(Capability::Resume);
        let Some(session) = &self.session else { return true };
        let (message, way) = match &session.token {
            Some(token) if resumes => (session.credentials.resume(token.clone()), Way::Token),
            _ => (session.credentials.login(), Way::Password),
        };
        let asked = self.announce_key(now).and_then(|()| self.submit(now, message, Purpose::Resume(way)));
        if let Err(error) = &asked {
            self.lose_link(now, &error.to_string(), error.clone(), true);
        }
        asked.is_ok()
    }

    /// The answer to coming back. ONLINE may be our own old session, whose lease runs out if nobody renews it.
    pub(super) fn resumed(&mut self, now: Time, way: Way, reply: AuthReply) {
        let lease = self.config.lease;
        let Some(session) = &mut self.session else { return };
        match reply {
            AuthReply::Success { token } => {
                session.token = token;
                session.late = std::mem::take(&mut session.unanswered) && way == Way::Token;
                session.live = true;
                session.timed_out = false;
                session.refused_since = None;
                session.pulse = Pulse::default();
                session.parked = None;
                let event = match std::mem::take(&mut session.lost) {
                    true => Event::Reconnected,
                    false => Event::Unparked,
                };
                self.session_begins(now);
                self.tell(event);
                self.refresh_rooms(now);
                self.unparked(now);
            }
            AuthReply::Online { .. } => {
                let since = *session.refused_since.get_or_insert(now);
                if session.timed_out || now.since(since) >= lease {
                    self.log_out(now, "logged in elsewhere", false);
                } else {
                    self.lose_link(
                        now,
                        "the registry still has the old session",
                        RequestError::AlreadyOnline,
                        true,
                    );
                }
            }
            // Somebody has the session who gave the password while we didn't listen, or the operator has ended it. The password
            // would push them out, and they us (§7.12).
            AuthReply::Failure { reason } if way == Way::Token && session.parked.is_some() => {
                let why =
                    "while you were parked, somebody logged in as you, or the operator ended your session";
                let said = reason.as_ref().map_or("no reason was given", Reason::as_str);
                let reason = format!("{why} (the registry: {said})");
                self.log_out(now, &reason, true);
                self.lose_link(now, &reason, RequestError::NotConnected, true);
            }
            // The token isn't good any more; the password may be.
            AuthReply::Failure { .. } if way == Way::Token => {
                session.token = None;
                session.unanswered = false;
                self.come_back(now);
            }
            AuthReply::Failure { reason } => {
                let text =
                    reason.as_ref().map_or("the registry refused the login", Reason::as_str).to_owned();
                self.log_out(now, &text, false);
            }
            _ => {
                self.lose_link(now, "the registry's answer makes no sense", RequestError::NotConnected, true)
            }
        }
    }

    /// Coming back got no answer. It may have begun a session all the same, and ONLINE then means that one.
    pub(super) fn resume_unanswered(&mut self, way: Way) {
        if let Some(session) = &mut self.session {
            session.unanswered |= way == Way::Token;
            session.timed_out = false;
            session.refused_since = None;
        }
    }

    fn log_out(&mut self, now: Time, reason: &str, replaced: bool) {
        self.end_session(now, reason);
        self.tell(Event::LoggedOut { reason: reason.to_owned(), replaced });
    }

    /// The session goes on elsewhere. Who came back by himself would push the other out, and be pushed out in turn. Only if
    /// it may be our own request on an earlier stream that has come so late, we come back, once.
    pub(super) fn session_replaced(&mut self, now: Time, username: &Username) {
        let Some(session) = self.session.as_mut().filter(|s| s.credentials.username == *username) else {
            return;
        };
        if std::mem::take(&mut session.late) {
            session.timed_out = true;
            self.lose_link(now, "the session has moved to another stream", RequestError::NotConnected, true);
        } else {
            let reason = "you are logged in elsewhere, and the session goes on there";
            self.log_out(now, reason, true);
            self.lose_link(now, reason, RequestError::NotConnected, true);
        }
    }

    fn session_begins(&mut self, now: Time) {
        let (sender, keys) =
            (self.has(Capability::Sender), self.has(Capability::Keys) && self.own_key().is_some());
        let ids = keys && self.has(Capability::Ids);
        if let Some(session) = &mut self.session {
            session.renewed = now;
            session.sender = sender;
            session.keys = keys;
            session.ids = ids;
            session.ticket = None;
        }
        if self.has(Capability::Ticket) {
            // It comes in a moment, and then only keep-alives that prove it count.
            self.arm(Timer::KeepAlive, now, self.config.keep_alive_interval);
        } else {
            self.keep_alive(now);
        }
        self.arm(Timer::Settled, now, self.config.keep_alive_interval);
        if !self.has(Capability::Roster) && !self.is_prototype() {
            self.arm(Timer::Rosters, now, self.config.roster_interval);
        }
    }

    pub(super) fn session_settled(&mut self) {
        if let Some(session) = &mut self.session {
            session.attempts = 0;
        }
    }

    /// Forgets the user, and everything that belongs to him.
    pub(super) fn end_session(&mut self, now: Time, reason: &str) {
        if self.session.take().is_none() {
            return;
        }
        for timer in [Timer::KeepAlive, Timer::Settled, Timer::Rosters, Timer::Park] {
            self.timers.cancel(timer);
        }
        self.drop_rooms(now);
        self.drop_contacts(reason);
        self.drop_streams(now, reason);
        self.drop_lines(reason);
        self.caller = None;
    }

    pub(super) fn session_timed_out(&mut self, now: Time, username: &Username) {
        let prototype = self.is_prototype();
        let Some(session) = self.session.as_mut().filter(|session| session.live) else { return };
        if session.credentials.username == *username {
            session.timed_out = true;
            // A registry that confirmed no keep-alive has most likely got none. The prototype's confirms none at all.
            let why = match session.pulse.heard {
                None if !prototype => {
                    "the registry got no keep-alives: do its UDP port and a firewall in between let them through?"
                }
                _ => "the registry ended the session",
            };
            self.lose_link(now, why, RequestError::NotConnected, true);
        }
    }

    /// What keep-alives are to prove from now on: one goes out at once.
    pub(super) fn ticket_came(&mut self, now: Time, ticket: SessionTicket) {
        if let Some(session) = self.session.as_mut().filter(|session| session.live) {
            session.ticket = Some((ticket, NonZeroU64::MIN));
            self.keep_alive(now);
        }
    }

    pub(super) fn keep_alive(&mut self, now: Time) {
        if self.is_parked() {
            return self.keep_alive_parked(now);
        }
        let prototype = self.is_prototype();
        let Some(session) = self.session.as_mut().filter(|session| session.live) else { return };
        if session.pulse.heard.is_some_and(|heard| now.since(heard) > self.config.silence_timeout) {
            self.lose_link(now, "the registry fell silent", RequestError::NotConnected, true);
            return;
        }
        self.send_keep_alive(now, self.config.lease);
        let interval = if prototype { PROTOTYPE_KEEP_ALIVE } else { self.config.keep_alive_interval };
        self.arm(Timer::KeepAlive, now, interval);
    }

    /// Sends one that asks for this lease.
    pub(super) fn send_keep_alive(&mut self, now: Time, lease: Duration) {
        let prototype = self.is_prototype();
        let Some(session) = &mut self.session else { return };
        let lease = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
        session.pulse.sent(now);
        let username = session.credentials.username.clone();
        let keep_alive = match &mut session.ticket {
            Some((ticket, next)) => {
                let sequence = *next;
                *next = next.saturating_add(1);
                ToRegistryDatagram::prove(ticket, username, lease, sequence)
            }
            None => ToRegistryDatagram::KeepAlive { username, timeout: (!prototype).then_some(lease) },
        };
        self.effects.push_back(Effect::SendDatagram(keep_alive));
    }
}
