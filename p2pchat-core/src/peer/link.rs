//! The registry link: connecting, greeting, losing it, and bringing it back (§5.1, §6.1).

use std::time::Duration;

use p2pchat_proto::{
    Capabilities, Capability, Dialect, Extensions, FrameError, FromRegistry, FromRegistryDatagram,
    HelloReply, InviteCode, Malformed, PROTOCOL_VERSION, PasswordDigest, Reason, ToRegistry, Username,
};

use super::{
    Effect, Event, Peer, RequestError, RequestId, Response, Timer,
    requests::Purpose,
    session::{Credentials, Session},
};
use crate::time::Time;

/// How far those spread at least to whom a registry names the same second (§7.8).
const LEAST_JITTER: Duration = Duration::from_secs(1);

/// Where the registry link stands. Every state but `Down` and `Ready` ends by [`Timer::Link`] at the latest.
#[derive(Debug)]
pub(super) enum Link {
    Down,
    /// Waiting to try again.
    Paused,
    Connecting,
    /// The stream is up. `asked`: our hello is sent.
    Greeting {
        dialect: Dialect,
        asked: bool,
    },
    Ready {
        dialect: Dialect,
        capabilities: Capabilities,
    },
    /// There is no stream, and the session goes on by its keep-alives (§7.12).
    Parked {
        capabilities: Capabilities,
    },
    /// LOGOUT is sent, and the registry closes the stream once it has done it (§5.2). Who came back on another stream
    /// before that might be told that they are online.
    Leaving {
        logout: RequestId,
    },
}

impl Link {
    fn has_stream(&self) -> bool {
        matches!(self, Self::Connecting | Self::Greeting { .. } | Self::Ready { .. } | Self::Leaving { .. })
    }
}

/// What waits for the link to be ready.
#[derive(Debug)]
pub(super) enum Waiting {
    Connect(RequestId),
    Register(RequestId, Username, PasswordDigest, Option<InviteCode>),
    Login(RequestId, Credentials),
}

impl Waiting {
    fn request(&self) -> RequestId {
        match self {
            Self::Connect(request) | Self::Register(request, ..) | Self::Login(request, _) => *request,
        }
    }
}

impl Peer {
    /// Opens the registry link. [`Response::Done`] once the registry has greeted; at once if it has already.
    pub fn connect(&mut self, now: Time) -> RequestId {
        self.command(|peer, request| peer.when_ready(now, Waiting::Connect(request)))
    }

    /// Creates an account (§4.2), opening the link if there is none. Doesn't log in.
    pub fn register(&mut self, now: Time, username: Username, password: PasswordDigest) -> RequestId {
        self.register_with(now, username, password, None)
    }

    /// The same where a registry takes registrations by invitation (§7.9). One that doesn't isn't shown the code.
    pub fn register_invited(
        &mut self,
        now: Time,
        username: Username,
        password: PasswordDigest,
        invite: InviteCode,
    ) -> RequestId {
        self.register_with(now, username, password, Some(invite))
    }

    fn register_with(
        &mut self,
        now: Time,
        username: Username,
        password: PasswordDigest,
        invite: Option<InviteCode>,
    ) -> RequestId {
        self.command(|peer, request| {
            peer.when_ready(now, Waiting::Register(request, username, password, invite))
        })
    }

    /// The registry stream is open. `dialect` is known if the TLS handshake settled it (§6.1).
    pub fn handle_registry_connected(&mut self, now: Time, dialect: Option<Dialect>) {
        if !matches!(self.link, Link::Connecting) {
            return;
        }
        self.link = Link::Greeting { dialect: dialect.unwrap_or_default(), asked: false };
        match dialect {
            Some(_) => self.say_hello(now),
            None => self.arm(Timer::Link, now, self.config.greeting_grace),
        }
    }

    /// What arrived has shown which dialect the registry speaks.
    pub fn handle_registry_dialect(&mut self, now: Time, found: Dialect) {
        let Link::Greeting { dialect, asked } = &mut self.link else { return };
        if *dialect != found || !*asked {
            *dialect = found;
            self.say_hello(now);
        }
    }

    /// A message came on the registry stream.
    pub fn handle_registry_message(&mut self, now: Time, message: FromRegistry) {
        self.tell_all();
        match (&self.link, message) {
            (Link::Greeting { .. }, FromRegistry::Hello(reply)) => self.greeted(now, reply),
            (Link::Ready { .. }, FromRegistry::Hello(HelloReply::Failure { reason })) => {
                self.refused(now, reason)
            }
            // The prototype's registry greets unasked, and might once more when it is greeted.
            (Link::Ready { .. }, FromRegistry::Hello(_)) => {}
            (Link::Ready { .. }, FromRegistry::Timeout { username }) => {
                self.session_timed_out(now, &username)
            }
            (Link::Ready { .. }, FromRegistry::Replaced { username }) => {
                self.session_replaced(now, &username);
            }
            (Link::Ready { .. }, message) => self.registry_said(now, message),
            (Link::Greeting { .. }, _) => {
                let what = "spoke before it greeted";
                self.fault("registry", what);
                self.lose_link(now, what, RequestError::NoRegistry(what.to_owned()), true);
            }
            (
                Link::Down | Link::Paused | Link::Connecting | Link::Parked { .. } | Link::Leaving { .. },
                _,
            ) => {}
        }
    }

    /// What came on the registry stream is no message: the order of replies can't be trusted any more (§3.5).
    pub fn handle_registry_malformed(&mut self, now: Time, malformed: Malformed) {
        if let Malformed::Frame(FrameError::Truncated { .. }) = malformed {
            // The stream was cut, and whose fault that is nobody can know.
            return self.handle_registry_closed(now, malformed.to_string());
        }
        if matches!(self.link, Link::Leaving { .. }) {
            self.effects.push_back(Effect::CloseRegistry);
            self.link_left(now);
        } else if matches!(self.link, Link::Greeting { .. } | Link::Ready { .. }) {
            let what = format!("sent what is no message: {malformed}");
            self.fault("registry", what.as_str());
            let error = RequestError::NoRegistry(what);
            self.lose_link(now, "the registry sent what is no message", error, true);
        }
    }

    /// The registry stream could not be opened, or has ended.
    pub fn handle_registry_closed(&mut self, now: Time, reason: String) {
        if matches!(self.link, Link::Leaving { .. }) {
            self.link_left(now);
        } else if self.link.has_stream() {
            let error = RequestError::NoRegistry(reason.clone());
            self.lose_link(now, &reason, error, false);
        }
    }

    /// A datagram came from the registry.
    pub fn handle_datagram(&mut self, now: Time, message: FromRegistryDatagram) {
        // Datagrams are easily forged: only the stream is believed that there is no session. After a TIMEOUT it says so
        // too, and ends; a registry that refuses keep-alives also stops confirming them, which the silence shows.
        if matches!(message, FromRegistryDatagram::Parked { .. } | FromRegistryDatagram::Wake { .. }) {
            self.park_answered(now, &message);
        } else if message == FromRegistryDatagram::KeepAliveSuccess
            && let Some(session) = self.session.as_mut().filter(|session| session.live)
        {
            session.pulse.answered(now);
        }
    }

    pub(super) fn when_ready(&mut self, now: Time, waiting: Waiting) -> Result<(), RequestError> {
        if self.is_connected() {
            return self.proceed(now, waiting);
        }
        if self.requests.waiting.len() >= self.config.requests {
            return Err(RequestError::TooMany { what: "requests", limit: self.config.requests });
        }
        self.requests.waiting.push_back(waiting);
        if matches!(self.link, Link::Down | Link::Paused) {
            self.dial_registry(now);
        }
        self.unpark(now);
        Ok(())
    }

    fn proceed(&mut self, now: Time, waiting: Waiting) -> Result<(), RequestError> {
        match waiting {
            Waiting::Connect(request) => {
                self.complete(request, Ok(Response::Done));
                Ok(())
            }
            Waiting::Register(request, username, password, invite) => {
                let wanted = self.has(Capability::Invite);
                if wanted && invite.is_none() {
                    return Err(RequestError::InviteWanted);
                }
                let register = ToRegistry::Register { username, password, invite: invite.filter(|_| wanted) };
                self.submit(now, register, Purpose::Register(request))
            }
            Waiting::Login(request, credentials) => {
                self.announce_key(now)?;
                self.submit(now, credentials.login(), Purpose::Login(request, credentials))
            }
        }
    }

    pub(super) fn dial_registry(&mut self, now: Time) {
        self.link = Link::Connecting;
        self.effects.push_back(Effect::ConnectRegistry);
        self.arm(Timer::Link, now, self.config.request_timeout);
    }

    fn say_hello(&mut self, now: Time) {
        let Link::Greeting { dialect, asked } = &mut self.link else { return };
        *asked = true;
        let prototype = *dialect == Dialect::Prototype;
        let capabilities = self.offered();
        let bare = prototype || capabilities.is_empty();
        let extensions = (!bare).then_some(Extensions { version: PROTOCOL_VERSION, capabilities });
        self.effects.push_back(Effect::SendRegistry(ToRegistry::Hello { extensions }));
        self.arm(Timer::Link, now, self.config.request_timeout);
    }

    /// What we know and have a use for.
    fn offered(&self) -> Capabilities {
        let has_use = |capability: &Capability| match capability {
            Capability::Keys | Capability::Ids => self.config.registry.is_some(),
            _ => true,
        };
        self.config.capabilities.iter().filter(has_use).collect()
    }

    fn greeted(&mut self, now: Time, reply: HelloReply) {
        let Link::Greeting { dialect, asked } = self.link else { return };
        match reply {
            HelloReply::Success { extensions } if asked => {
                let agreed = extensions.map_or(Capabilities::NONE, |extensions| extensions.capabilities);
                self.link = Link::Ready { dialect, capabilities: agreed.and(self.offered()) };
                self.timers.cancel(Timer::Link);
                self.link_ready(now);
            }
            // A canonical registry that greets unasked is greeted all the same.
            HelloReply::Success { .. } => self.say_hello(now),
            HelloReply::Failure { reason } => {
                let text =
                    reason.as_ref().map_or("the registry refused the connection", Reason::as_str).to_owned();
                self.lose_link(now, &text, RequestError::Refused(Some(text.clone())), true);
            }
            _ => {}
        }
    }

    fn link_ready(&mut self, now: Time) {
        match &self.session {
            Some(_) => {
                if !self.come_back(now) {
                    return;
                }
            }
            None => self.tell(Event::Connected),
        }
        for waiting in std::mem::take(&mut self.requests.waiting) {
            let request = waiting.request();
            if let Err(error) = self.proceed(now, waiting) {
                self.complete(request, Err(error));
            }
        }
    }

    /// `HELLO_BACK <FAILURE>` on a greeted link refuses whatever came last, and usually the stream ends after it.
    fn refused(&mut self, now: Time, reason: Option<Reason>) {
        let retry_after = self.requests.retry_after.take();
        match self.requests.take_oldest() {
            Some(purpose) => {
                self.fail(now, purpose, RequestError::refused(reason, retry_after));
                self.requests_moved(now);
            }
            None => {
                let what = reason.as_ref().map_or("refused something it was not asked", Reason::as_str);
                self.fault("registry", what);
            }
        }
    }

    pub(super) fn link_overdue(&mut self, now: Time) {
        match self.link {
            Link::Paused => self.dial_registry(now),
            Link::Greeting { asked: false, .. } => self.say_hello(now),
            Link::Connecting | Link::Greeting { .. } => {
                let what = "the registry doesn't answer";
                self.lose_link(now, what, RequestError::NoRegistry(what.to_owned()), true);
            }
            Link::Leaving { .. } => {
                self.effects.push_back(Effect::CloseRegistry);
                self.link_left(now);
            }
            Link::Down | Link::Ready { .. } | Link::Parked { .. } => {}
        }
    }

    /// The link is gone. What waited for a greeting ends with `error`; a session is brought back after a pause.
    pub(super) fn lose_link(&mut self, now: Time, reason: &str, error: RequestError, close: bool) {
        if matches!(self.link, Link::Paused) && self.session.is_some() {
            return;
        }
        let had_stream = self.link.has_stream() || self.is_parked();
        self.link = Link::Down;
        for timer in
            [Timer::Link, Timer::Reply, Timer::KeepAlive, Timer::Settled, Timer::Rosters, Timer::Park]
        {
            self.timers.cancel(timer);
        }
        if close && had_stream {
            self.effects.push_back(Effect::CloseRegistry);
        }
        self.requests.retry_after = None;
        if let Some(session) = &mut self.session {
            (session.live, session.lost) = (false, true);
            let (least, jitter) = match session.retry_after.take() {
                // Who was named a time isn't told by it that the registry is gone.
                Some(named) => {
                    let named = named.min(self.config.retry_cap);
                    (named, (named / 4).max(LEAST_JITTER))
                }
                None => {
                    let doubled = 1_u32.checked_shl(session.attempts).unwrap_or(u32::MAX);
                    session.attempts = session.attempts.saturating_add(1);
                    let longest = self.config.backoff_base.saturating_mul(doubled);
                    (Duration::ZERO, longest.min(self.config.backoff_cap))
                }
            };
            let jitter = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
            let retry_in = least + Duration::from_micros(self.rng.u64(0..=jitter));
            self.link = Link::Paused;
            self.arm(Timer::Link, now, retry_in);
            self.tell(Event::Disconnected { reason: reason.to_owned(), retry_in });
        }
        for waiting in std::mem::take(&mut self.requests.waiting) {
            self.complete(waiting.request(), Err(error.clone()));
        }
        self.fail_all_requests(now);
        self.contacts_lost(reason, &RequestError::Interrupted);
    }

    /// After [`hang_up_registry`](Self::hang_up_registry): `logout` is done when the registry has closed the stream, or
    /// hasn't for so long that it won't. Who logs in meanwhile waits for that.
    pub(super) fn leave_link(&mut self, now: Time, logout: RequestId, said_so: bool) {
        self.lose_link(now, "logged out", RequestError::NotConnected, !said_so);
        if said_so {
            self.link = Link::Leaving { logout };
            self.arm(Timer::Link, now, self.config.request_timeout);
        } else {
            self.complete(logout, Ok(Response::Done));
        }
    }

    fn link_left(&mut self, now: Time) {
        let Link::Leaving { logout } = std::mem::replace(&mut self.link, Link::Down) else { return };
        self.timers.cancel(Timer::Link);
        self.complete(logout, Ok(Response::Done));
        if !self.requests.waiting.is_empty() {
            self.dial_registry(now);
        }
    }

    /// Says goodbye, if there is anybody to say it to; the registry answers by closing the stream.
    pub(super) fn hang_up_registry(&mut self, now: Time) -> bool {
        self.leave_parked(now);
        let may_say_so = |session: &&Session| session.live && self.is_connected();
        let Some(session) = self.session.as_ref().filter(may_say_so) else { return false };
        let username = Some(session.credentials.username.clone());
        self.effects.push_back(Effect::SendRegistry(ToRegistry::Logout { username }));
        true
    }

    /// True if the registry agreed on a capability.
    pub(super) fn has(&self, capability: Capability) -> bool {
        matches!(
            self.link,
            Link::Ready { capabilities, .. } | Link::Parked { capabilities } if capabilities.has(capability)
        )
    }

    pub(super) fn is_prototype(&self) -> bool {
        matches!(self.link, Link::Ready { dialect: Dialect::Prototype, .. })
    }
}
