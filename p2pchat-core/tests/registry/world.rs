//! A registry machine on a virtual clock, spoken to in the words of the wire.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU64, time::Duration};

use bytes::Bytes;
use p2pchat_core::{
    Time,
    registry::{
        BusEvent, Config, ConnId, Effect, HashAnswer, HashRequest, Invite, InviteDigest, OpId, Registry,
        TokenAnswer,
        store::{MemoryStore, StoreAnswer, StoreError, StoreRequest, Write},
    },
};
use p2pchat_proto::{
    Dialect, InviteCode, Limits, Malformed, Message, PasswordDigest, SessionTicket, SessionToken, ToRegistry,
    ToRegistryDatagram, Username,
};

/// A registry, its store, and everything that came out of it.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) store: MemoryStore,
    pub(crate) now: Time,
    config: Config,
    dialects: BTreeMap<ConnId, Dialect>,
    /// Questions that wait, while [`World::hold`] is set.
    pub(crate) held: Vec<(OpId, Question)>,
    pub(crate) hold: bool,
    sent: BTreeMap<ConnId, Vec<String>>,
    datagrams: Vec<(SocketAddr, String)>,
    published: Vec<BusEvent>,
    closed: Vec<ConnId>,
    /// How many tokens there have been.
    tokens: u64,
    /// How many passwords were hashed or compared.
    pub(crate) hashed: usize,
    /// True while the store can only be read.
    pub(crate) disk_full: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Question {
    Store(StoreRequest),
    Hash(HashRequest),
    Token,
}

/// LOGIN by a user whose password is their name.
pub(crate) fn login(user: &str) -> String {
    format!("LOGIN <{user}> <{}> <4000>", digest(user))
}

/// The token in an answer to LOGIN or RESUME.
pub(crate) fn token_in(told: &[String]) -> String {
    let token = told.first().and_then(|line| line.strip_prefix("AUTH <SUCCESS> <200> <")?.strip_suffix('>'));
    token.unwrap_or_else(|| panic!("no token in {told:?}")).to_owned()
}

/// What the calendar's clock shows when the machine's begins.
pub(crate) const UNIX_START: u64 = 1_700_000_000;

/// The `n`th token that a world makes.
pub(crate) fn token(n: u64) -> SessionToken {
    let mut bits = [0; 32];
    bits[..8].copy_from_slice(&n.to_be_bytes());
    SessionToken::from_random(bits)
}

/// The ticket that is made of the `n`th token's bits.
pub(crate) fn ticket(n: u64) -> SessionTicket {
    SessionTicket::from_fresh(token(n))
}

/// A keep-alive that proves a ticket.
pub(crate) fn proven(ticket: &SessionTicket, user: &str, timeout: u32, sequence: u64) -> String {
    let sequence = NonZeroU64::new(sequence).unwrap();
    let datagram = ToRegistryDatagram::prove(ticket, Username::new(user).unwrap(), timeout, sequence);
    String::from_utf8(datagram.to_bytes(Dialect::Canonical).to_vec()).unwrap()
}

/// The code of the `n`th invitation.
pub(crate) fn code(n: u64) -> InviteCode {
    let mut bits = [0; 26];
    for (place, bits) in bits.iter_mut().enumerate().take(12) {
        *bits = (n >> (5 * place)).to_le_bytes()[0] & 31;
    }
    InviteCode::from_random(bits)
}

/// A password's digest as it stands on the wire.
pub(crate) fn digest(password: &str) -> String {
    PasswordDigest::of_password(password).expose().to_owned()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            registry: Registry::new(config.clone(), 7),
            store: MemoryStore::new(),
            now: Time::ZERO,
            config,
            dialects: BTreeMap::new(),
            held: Vec::new(),
            hold: false,
            sent: BTreeMap::new(),
            datagrams: Vec::new(),
            published: Vec::new(),
            closed: Vec::new(),
            tokens: 0,
            hashed: 0,
            disk_full: false,
        }
    }

    /// A registry that has only what was durable.
    pub(crate) fn restarted(self) -> Self {
        Self { store: self.store, now: self.now, tokens: self.tokens, ..Self::with(self.config) }
    }

    pub(crate) fn connect(&mut self, ip: &str) -> ConnId {
        let remote = SocketAddr::new(ip.parse().unwrap(), 50_000);
        self.registry.handle_connected(self.now, remote).unwrap()
    }

    /// It has been found out that a stream speaks the prototype's dialect.
    pub(crate) fn is_prototype(&mut self, conn: ConnId) {
        self.registry.handle_dialect(conn, Dialect::Prototype);
        self.dialects.insert(conn, Dialect::Prototype);
    }

    /// A stream that has said the base protocol's hello.
    pub(crate) fn greet(&mut self, ip: &str) -> ConnId {
        let conn = self.connect(ip);
        assert_eq!(self.say(conn, "HELLO_P2P"), ["HELLO_BACK <SUCCESS> <200>"]);
        conn
    }

    /// A stream with every capability but `resume`.
    pub(crate) fn greet_extended(&mut self, ip: &str) -> ConnId {
        let conn = self.connect(ip);
        let reply = self.say(conn, "HELLO_P2P <1> <reason,roster,sender,origin>");
        assert_eq!(reply, ["HELLO_BACK <SUCCESS> <200> <1> <reason,roster,sender,origin>"]);
        conn
    }

    /// A stream with every capability.
    pub(crate) fn greet_resume(&mut self, ip: &str) -> ConnId {
        let conn = self.connect(ip);
        let reply = self.say(conn, "HELLO_P2P <1> <reason,roster,sender,resume>");
        assert_eq!(reply, ["HELLO_BACK <SUCCESS> <200> <1> <reason,roster,sender,resume>"]);
        conn
    }

    /// A session with every capability, from 192.0.2.1, and its token.
    pub(crate) fn online_resume(&mut self, user: &str) -> (ConnId, String) {
        let conn = self.greet_resume("192.0.2.1");
        self.say(conn, &format!("REGISTER <{user}> <{}>", digest(user)));
        let token = token_in(&self.say(conn, &login(user)));
        (conn, token)
    }

    /// Says RESUME on a new stream from 192.0.2.2; what comes first is the answer.
    pub(crate) fn resume(&mut self, user: &str, token: &str) -> (ConnId, Vec<String>) {
        let conn = self.greet_resume("192.0.2.2");
        let told = self.say(conn, &format!("RESUME <{user}> <{token}> <4000>"));
        (conn, told)
    }

    /// A stream's end.
    pub(crate) fn cut(&mut self, conn: ConnId) {
        self.disconnect(conn);
        self.closed.push(conn);
    }

    pub(crate) fn register(&mut self, user: &str) {
        let conn = self.greet("192.0.2.250");
        let reply = self.say(conn, &format!("REGISTER <{user}> <{}>", digest(user)));
        assert_eq!(reply, ["REGISTER <SUCCESS> <200>"]);
        self.disconnect(conn);
    }

    /// A base-protocol session of a user whose password is their name, registered if need be, from 192.0.2.1.
    pub(crate) fn online(&mut self, user: &str) -> ConnId {
        let conn = self.greet("192.0.2.1");
        self.log_in(conn, user);
        conn
    }

    /// The same with every capability but `resume`.
    pub(crate) fn online_extended(&mut self, user: &str) -> ConnId {
        let conn = self.greet_extended("192.0.2.1");
        self.log_in(conn, user);
        conn
    }

    /// The same with these capabilities.
    pub(crate) fn online_with(&mut self, user: &str, capabilities: &str) -> ConnId {
        let conn = self.connect("192.0.2.1");
        let reply = self.say(conn, &format!("HELLO_P2P <1> <{capabilities}>"));
        assert_eq!(reply, [format!("HELLO_BACK <SUCCESS> <200> <1> <{capabilities}>")]);
        self.log_in(conn, user);
        conn
    }

    fn log_in(&mut self, conn: ConnId, user: &str) {
        let password = digest(user);
        self.say(conn, &format!("REGISTER <{user}> <{password}>"));
        let reply = self.say(conn, &format!("LOGIN <{user}> <{password}> <4000>"));
        assert_eq!(reply.first().map(String::as_str), Some("AUTH <SUCCESS> <200>"), "{reply:?}");
    }

    /// Says a line and returns what the registry then sent on the same stream.
    pub(crate) fn say(&mut self, conn: ConnId, line: &str) -> Vec<String> {
        let frame = Bytes::copy_from_slice(line.as_bytes());
        match ToRegistry::parse(&frame, Dialect::Canonical, &Limits::DEFAULT) {
            Ok(message) => self.registry.handle_message(self.now, conn, message),
            Err(error) => self.registry.handle_malformed(self.now, conn, Malformed::Message(error)),
        }
        self.run();
        self.heard(conn)
    }

    pub(crate) fn datagram(&mut self, from: &str, line: &str) -> Vec<(SocketAddr, String)> {
        let frame = Bytes::copy_from_slice(line.as_bytes());
        let message = ToRegistryDatagram::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap();
        self.registry.handle_datagram(self.now, from.parse().unwrap(), message);
        self.run();
        self.datagrams()
    }

    /// The operator makes the `n`th invitation.
    pub(crate) fn invite(&mut self, n: u64, uses: u32, lasts: Option<u64>) {
        let since = self.now.since(Time::ZERO).as_secs();
        let until = lasts.map(|seconds| since + seconds);
        let invite =
            Invite { digest: InviteDigest::of(&code(n)), note: None, since, until, uses, left: uses };
        self.store.answer(&StoreRequest::Write(Write::CreateInvite { invite, limit: usize::MAX }));
    }

    /// The operator takes it back.
    pub(crate) fn revoke(&mut self, n: u64) {
        let digest = InviteDigest::of(&code(n));
        self.store.answer(&StoreRequest::Write(Write::RevokeInvite { digest }));
    }

    /// What was sent on a stream since the last look.
    pub(crate) fn heard(&mut self, conn: ConnId) -> Vec<String> {
        self.sent.remove(&conn).unwrap_or_default()
    }

    pub(crate) fn datagrams(&mut self) -> Vec<(SocketAddr, String)> {
        std::mem::take(&mut self.datagrams)
    }

    /// What the other nodes were told since the last look.
    pub(crate) fn published(&mut self) -> Vec<BusEvent> {
        std::mem::take(&mut self.published)
    }

    pub(crate) fn is_closed(&self, conn: ConnId) -> bool {
        self.closed.contains(&conn)
    }

    pub(crate) fn disconnect(&mut self, conn: ConnId) {
        self.registry.handle_disconnected(self.now, conn);
        self.run();
    }

    /// Lets time pass, stopping at each deadline on the way.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.registry.poll_timeout().filter(|&at| at <= end) {
            self.now = at.max(self.now);
            self.registry.handle_timeout(self.now);
            assert!(
                self.registry.poll_timeout().is_none_or(|next| next > self.now),
                "the clock would stand still"
            );
            self.run();
        }
        self.now = end;
    }

    /// Answers the held question `index`.
    pub(crate) fn release(&mut self, index: usize) {
        let (op, question) = self.held.remove(index);
        self.answer(op, &question);
        self.run();
    }

    fn answer(&mut self, op: OpId, question: &Question) {
        match question {
            Question::Store(request) => {
                let before = self.disk_full.then(|| self.store.clone());
                let mut answer = self.store.answer(request);
                if let Some(before) = before.filter(|before| *before != self.store) {
                    answer = StoreAnswer::Failed(StoreError::Engine("the disk is full".into()));
                    self.store = before;
                }
                self.registry.handle_stored(self.now, op, answer);
            }
            Question::Hash(request) => {
                self.hashed += 1;
                self.registry.handle_hashed(self.now, op, hash(request));
            }
            Question::Token => {
                self.tokens += 1;
                let token = token(self.tokens);
                let unix_now = UNIX_START + self.now.since(Time::ZERO).as_secs();
                self.registry.handle_token(self.now, op, TokenAnswer::Fresh { token, unix_now });
            }
        }
    }

    pub(crate) fn run(&mut self) {
        while let Some(effect) = self.registry.poll_effect() {
            let question = match effect {
                Effect::Send { conn, message } => {
                    assert!(!self.closed.contains(&conn), "sent {message:?} to a closed stream");
                    let bytes = message.to_bytes(self.dialects.get(&conn).copied().unwrap_or_default());
                    let line = str::from_utf8(&bytes).unwrap().trim_end().to_owned();
                    self.sent.entry(conn).or_default().push(line);
                    continue;
                }
                Effect::SendPeers { conn, peers } => {
                    assert!(!self.closed.contains(&conn), "sent a list to a closed stream");
                    let bytes = peers.to_bytes();
                    let line = str::from_utf8(&bytes).unwrap().trim_end().to_owned();
                    self.sent.entry(conn).or_default().push(line);
                    continue;
                }
                Effect::Close { conn } => {
                    self.closed.push(conn);
                    continue;
                }
                Effect::SendDatagram { to, message } => {
                    let bytes = message.to_bytes(Dialect::Canonical);
                    self.datagrams.push((to, str::from_utf8(&bytes).unwrap().trim_end().to_owned()));
                    continue;
                }
                Effect::Publish(event) => {
                    self.published.push(event);
                    continue;
                }
                Effect::Store { op, request } => (op, Question::Store(request)),
                Effect::Hash { op, request } => (op, Question::Hash(request)),
                Effect::Token { op } => (op, Question::Token),
                other => panic!("unexpected {other:?}"),
            };
            match self.hold {
                true => self.held.push(question),
                false => self.answer(question.0, &question.1),
            }
        }
    }
}

/// A hash that is neither slow nor secret.
fn hash(request: &HashRequest) -> HashAnswer {
    match request {
        HashRequest::Create { digest } => HashAnswer::Created(format!("hash:{}", digest.expose()).into()),
        HashRequest::Verify { digest, stored } => {
            match stored.as_deref() == Some(&format!("hash:{}", digest.expose())) {
                true => HashAnswer::Match { upgraded: None },
                false => HashAnswer::Mismatch,
            }
        }
        other => panic!("unexpected {other:?}"),
    }
}
