//! The registry machine behind its codec: several connections' bytes, in both dialects, cut anywhere and in any order.

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
    time::Duration,
};

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use p2pchat_proto::{
    AuthReply, Capabilities, Capability, Detail, Dialect, FromRegistry, FromRegistryDatagram, HelloReply,
    Limits, Malformed, Message, SessionTicket, ToRegistry, ToRegistryDatagram, Username, Verb,
    codec::{ClientCodec, RegistryCodec},
};
use tokio_util::codec::{Decoder, Encoder};

use super::backend::{Answer, Backend, Request, beginning, beginning_answers, config};
use crate::{
    Time,
    registry::{ConnId, Effect, Registry},
};

/// A frame's limit, which the fuzzer's inputs can pass.
const FRAME_BYTES: usize = 400;

/// What the world may do to a registry. `u8`s choose a connection, among those that there have been.
#[derive(Debug, Arbitrary)]
enum Step<'a> {
    /// With ALPN or without.
    Connect(bool),
    /// A request is on the wire, or bytes are: they come when the connection is read from.
    Say(u8, Spelling, Request),
    Write(u8, &'a [u8]),
    /// So many bytes come in one read.
    Read(u8, u8),
    ReadAll(u8),
    /// A hello has waited for its line ending long enough.
    Grace(u8),
    /// The stream ends after what was written, or is gone at once.
    End(u8),
    Disconnect(u8),
    GiveUp(u8),
    Datagram(u8, &'a [u8]),
    KeepAlive(u8, u8, Option<u32>),
    /// A keep-alive that proves a stream's ticket, if it was given one, and then a copy of it.
    Prove(u8, u8, u32, NonZeroU64),
    Answer(Answer),
    Wait(u16),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Spelling {
    Canonical,
    CanonicalWithoutEnd,
    WithCr,
    Prototype,
}

impl Spelling {
    fn spell(self, message: &ToRegistry, wire: &mut BytesMut) {
        let dialect = match self {
            Self::Prototype => Dialect::Prototype,
            _ => Dialect::Canonical,
        };
        message.encode(wire, dialect);
        match self {
            Self::Canonical | Self::Prototype => {}
            Self::CanonicalWithoutEnd => wire.truncate(wire.len() - 1),
            Self::WithCr => {
                wire.truncate(wire.len() - 1);
                wire.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Feeds a registry machine bytes as its driver would, and checks each reply as a client would.
pub fn registry_bytes(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut world = World::new(data);
    world.begin(data);
    while !input.is_empty()
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        world.turn(step);
    }
}

struct World {
    registry: Registry,
    backend: Backend,
    now: Time,
    streams: Vec<Stream>,
    /// Where keep-alives have come from that may have proven a ticket.
    provers: BTreeSet<IpAddr>,
    /// The bytes of the keep-alives that have proven a ticket, less those of what was said to parked sessions for them.
    credit: usize,
    limits: Limits,
}

struct Stream {
    id: ConnId,
    remote: SocketAddr,
    open: bool,
    codec: RegistryCodec,
    /// Written and not read.
    wire: BytesMut,
    /// Read and not decoded.
    inbox: BytesMut,
    dialect: Option<Dialect>,
    /// What the machine was asked and has not answered; `None` for what was no request.
    asked: VecDeque<Option<ToRegistry>>,
    client: Client,
}

impl World {
    fn new(data: &[u8]) -> Self {
        let mut config = config(data);
        config.limits.frame_bytes = FRAME_BYTES;
        let limits = config.limits;
        let (registry, backend) = (Registry::new(config, 7), Backend::default());
        Self {
            registry,
            backend,
            now: Time::ZERO,
            streams: Vec::new(),
            provers: BTreeSet::new(),
            credit: 0,
            limits,
        }
    }

    fn pick(&self, n: u8) -> usize {
        usize::from(n).checked_rem(self.streams.len()).unwrap_or_default()
    }

    fn open(&mut self, n: u8) -> Option<&mut Stream> {
        let n = self.pick(n);
        self.streams.get_mut(n).filter(|stream| stream.open)
    }

    fn begin(&mut self, data: &[u8]) {
        for (conn, request) in beginning(data) {
            if usize::from(conn) == self.streams.len() {
                self.turn(Step::Connect(true));
            }
            self.turn(Step::Say(conn, Spelling::Canonical, request));
            self.turn(Step::ReadAll(conn));
            for answer in beginning_answers() {
                self.turn(Step::Answer(answer));
            }
        }
        assert_eq!(self.registry.stats().sessions, self.streams.len(), "who begins is online");
    }

    fn turn(&mut self, step: Step<'_>) {
        self.step(step);
        for n in 0..self.streams.len() {
            self.decode(n);
        }
        self.check();
    }

    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Connect(alpn) => self.connect(alpn),
            Step::Say(c, spelling, request) => {
                if let Some((stream, message)) = self.open(c).zip(request.message()) {
                    spelling.spell(&message, &mut stream.wire);
                }
            }
            Step::Write(c, bytes) => {
                if let Some(stream) = self.open(c) {
                    stream.wire.extend_from_slice(bytes);
                }
            }
            Step::Read(c, most) => self.read(c, most.into()),
            Step::ReadAll(c) => self.read(c, usize::MAX),
            Step::Grace(c) => {
                if let Some(stream) = self.open(c)
                    && stream.codec.awaits_grace(&stream.inbox)
                {
                    stream.codec.grace_expired();
                }
            }
            Step::End(c) => self.end(c),
            Step::Disconnect(c) => self.disconnect(c),
            Step::GiveUp(c) => {
                if let Some(conn) = self.open(c).map(|stream| stream.id) {
                    self.registry.give_up(conn, "it took too long");
                }
            }
            Step::Datagram(from, bytes) => {
                self.datagram(from, bytes);
            }
            Step::KeepAlive(from, u, timeout) => {
                if let Some(username) = super::backend::user(u) {
                    let message = ToRegistryDatagram::KeepAlive { username, timeout };
                    self.datagram(from, &message.to_bytes(Dialect::Canonical));
                }
            }
            Step::Prove(from, c, timeout, sequence) => self.prove(from, c, timeout, sequence),
            Step::Answer(answer) => self.backend.answer(&mut self.registry, self.now, &answer),
            Step::Wait(millis) => {
                self.now = self.now + Duration::from_millis(millis.into());
                self.registry.handle_timeout(self.now);
                let due = self.registry.poll_timeout();
                assert!(due.is_none_or(|due| due > self.now), "what was due is done");
            }
        }
        self.drain();
    }

    fn connect(&mut self, alpn: bool) {
        let host = if self.streams.len().is_multiple_of(2) { 1 } else { 2 };
        let remote = SocketAddr::from(([192, 0, 2, host], 40_000));
        let Ok(id) = self.registry.handle_connected(self.now, remote) else { return };
        let mut codec = RegistryCodec::new(self.limits);
        if alpn {
            codec.set_dialect(Dialect::Canonical);
        }
        self.streams.push(Stream {
            id,
            remote,
            open: true,
            codec,
            wire: BytesMut::new(),
            inbox: BytesMut::new(),
            dialect: None,
            asked: VecDeque::new(),
            client: Client::new(),
        });
    }

    /// One read, if the driver would read: while a request waits, nothing more is.
    fn read(&mut self, c: u8, most: usize) {
        let n = self.pick(c);
        if !self.decode(n) {
            return;
        }
        let Some(stream) = self.streams.get_mut(n) else { return };
        let count = most.min(stream.wire.len());
        let bytes = stream.wire.split_to(count);
        stream.inbox.extend_from_slice(&bytes);
    }

    /// Hands the machine what has come. True if more is wanted.
    fn decode(&mut self, n: usize) -> bool {
        while let Some(stream) = self.streams.get_mut(n).filter(|stream| stream.open)
            && self.registry.is_ready(stream.id)
        {
            let Some(item) = stream.codec.decode(&mut stream.inbox).expect("no I/O") else {
                assert!(stream.inbox.len() <= FRAME_BYTES + 1, "more than a frame and its CR waits");
                return true;
            };
            self.take(n, item);
        }
        false
    }

    fn take(&mut self, n: usize, item: Result<ToRegistry, Malformed>) {
        let Some(stream) = self.streams.get_mut(n) else { return };
        let found = stream.codec.dialect();
        assert!(stream.dialect.is_none() || stream.dialect == found, "a dialect is found once");
        if let Some(dialect) = found.filter(|_| stream.dialect.is_none()) {
            stream.dialect = found;
            self.registry.handle_dialect(stream.id, dialect);
        }
        stream.client.asked(&item);
        let (id, now) = (stream.id, self.now);
        match item {
            Ok(message) => {
                stream.asked.push_back(Some(message.clone()));
                self.registry.handle_message(now, id, message);
            }
            Err(malformed) => {
                stream.asked.push_back(None);
                self.registry.handle_malformed(now, id, malformed);
            }
        }
        self.drain();
    }

    fn end(&mut self, c: u8) {
        self.read(c, usize::MAX);
        let n = self.pick(c);
        self.decode(n);
        if let Some(stream) = self.streams.get_mut(n).filter(|stream| stream.open)
            && let Some(item) = stream.codec.decode_eof(&mut stream.inbox).expect("no I/O")
        {
            self.take(n, item);
        }
        self.disconnect(c);
    }

    fn disconnect(&mut self, c: u8) {
        let now = self.now;
        if let Some(stream) = self.open(c) {
            stream.open = false;
            let id = stream.id;
            self.registry.handle_disconnected(now, id);
        }
    }

    /// Where it comes from.
    fn datagram(&mut self, from: u8, bytes: &[u8]) -> SocketAddr {
        let from = SocketAddr::from(([192, 0, 2, from % 3 + 1], 40_000 + u16::from(from / 128)));
        let datagram = Bytes::copy_from_slice(bytes);
        if let Ok(message) = ToRegistryDatagram::parse(&datagram, Dialect::Canonical, &self.limits) {
            self.registry.handle_datagram(self.now, from, message);
        }
        from
    }

    fn prove(&mut self, from: u8, c: u8, timeout: u32, sequence: NonZeroU64) {
        let n = self.pick(c);
        let client = self.streams.get(n).map(|stream| &stream.client);
        let Some((ticket, username)) =
            client.and_then(|client| client.ticket.as_ref().zip(client.user.clone()))
        else {
            return;
        };
        let proven = ToRegistryDatagram::prove(ticket, username, timeout, sequence);
        let bytes = proven.to_bytes(Dialect::Canonical);
        let before = self.registry.stats().keep_alives;
        let source = self.datagram(from, &bytes);
        self.provers.insert(source.ip());
        let so_far = self.registry.stats().keep_alives;
        if so_far > before {
            self.credit += bytes.len();
        }
        self.datagram(from.wrapping_add(1), &bytes);
        assert_eq!(self.registry.stats().keep_alives, so_far, "a copy counts for nothing");
    }

    fn drain(&mut self) {
        while let Some(effect) = self.registry.poll_effect() {
            match self.backend.ask(effect) {
                Some(Effect::Send { conn, message }) => {
                    self.stream(conn).expect("nothing is sent to a stream that is closed").send(&message);
                }
                Some(Effect::SendPeers { conn, peers }) => {
                    let message = peers.to_message().expect("it was made of records");
                    assert_eq!(message.to_bytes(Dialect::Canonical), peers.to_bytes());
                    self.stream(conn).expect("nothing is sent to a stream that is closed").send(&message);
                }
                Some(Effect::Close { conn }) => {
                    self.stream(conn).expect("a stream is closed once").open = false;
                }
                Some(Effect::SendDatagram { to, message }) => self.datagram_sent(to.ip(), &message),
                _ => {}
            }
        }
    }

    fn stream(&mut self, conn: ConnId) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == conn && stream.open)
    }

    fn datagram_sent(&mut self, to: IpAddr, message: &FromRegistryDatagram) {
        let bytes = message.to_bytes(Dialect::Canonical);
        let read = FromRegistryDatagram::parse(&bytes, Dialect::Canonical, &Limits::DEFAULT);
        assert_eq!(read.as_ref(), Ok(message));
        let known =
            self.streams.iter().any(|stream| stream.remote.ip() == to && stream.client.user.is_some());
        assert!(known || self.provers.contains(&to), "a datagram to {to}, where nobody has logged in");
        if let FromRegistryDatagram::Parked { .. } | FromRegistryDatagram::Wake { .. } = message {
            let left = self.credit.checked_sub(bytes.len());
            self.credit = left.expect("no more goes to parked sessions than came from them");
        }
    }

    fn check(&self) {
        self.backend.check(&self.registry);
        let online =
            self.streams.iter().filter(|stream| stream.open).filter_map(|stream| stream.client.user.as_ref());
        let online: Vec<&Username> = online.collect();
        let stats = self.registry.stats();
        assert_eq!(
            online.len() + stats.waiting + stats.parked,
            stats.sessions,
            "who was told of a login is online"
        );
        assert_eq!(online.iter().collect::<BTreeSet<_>>().len(), online.len(), "one live session a user");
        assert_eq!(
            self.streams.iter().filter(|stream| stream.open).count(),
            self.registry.stats().connections
        );
    }
}

impl Stream {
    /// Sends a message as the driver does, and reads it as the client does.
    fn send(&mut self, message: &FromRegistry) {
        let mut bytes = BytesMut::new();
        self.codec.encode(message, &mut bytes).expect("no I/O");
        self.client.read(bytes, message, self.dialect.unwrap_or_default());
        match message {
            FromRegistry::UserLogout { .. } | FromRegistry::Timeout { .. } => {
                assert!(self.client.user.is_some(), "a push to nobody");
            }
            FromRegistry::Replaced { username } => {
                let client = &self.client;
                assert!(client.user.as_ref() == Some(username) && client.has(Capability::Resume));
            }
            FromRegistry::UserJoined { .. } | FromRegistry::UserLeft { .. } => {
                assert!(self.client.user.is_some() && self.client.has(Capability::Roster), "a push unasked");
            }
            FromRegistry::Ticket { ticket } => {
                assert!(self.client.user.is_some() && self.client.has(Capability::Ticket), "a push unasked");
                self.client.ticket = Some(ticket.clone());
            }
            FromRegistry::RetryAfter { .. } => {
                assert!(!self.asked.is_empty() && self.client.has(Capability::Retry), "a time for nothing");
            }
            FromRegistry::ContactRequest { .. } | FromRegistry::ContactResponse { .. } => {
                assert!(self.client.user.is_some() && self.client.has(Capability::Contact), "a push unasked");
            }
            FromRegistry::RoomKicked { .. }
            | FromRegistry::RoomBanned { .. }
            | FromRegistry::RoomChanged { .. } => {
                assert!(
                    self.client.user.is_some() && self.client.has(Capability::Moderate),
                    "a push unasked"
                );
            }
            reply => {
                let asked = self.asked.pop_front();
                // What ends a connection may come before its turn.
                if !matches!(reply, FromRegistry::Hello(HelloReply::Failure { .. })) {
                    let asked = asked.expect("a reply to nothing");
                    assert!(answers(reply, asked.as_ref()), "{reply:?} answers {asked:?}");
                    self.client.answered(asked, reply, self.dialect.unwrap_or_default());
                }
            }
        }
    }
}

/// The other end of a connection.
struct Client {
    codec: ClientCodec,
    /// What was offered in the last hello that was answered.
    offered: Capabilities,
    user: Option<Username>,
    ticket: Option<SessionTicket>,
}

impl Client {
    fn new() -> Self {
        Self {
            codec: ClientCodec::new(Limits::DEFAULT),
            offered: Capabilities::NONE,
            user: None,
            ticket: None,
        }
    }

    /// Notes what a request's reply will look like. The form of one that was no request can't be known, but it has one reply
    /// too.
    fn asked(&mut self, item: &Result<ToRegistry, Malformed>) {
        let detail = Detail::Partial;
        let request = match item {
            Ok(message) => message.clone(),
            Err(Malformed::Message(error)) if error.verb == Some(Verb::DiscoverPeers) => {
                ToRegistry::DiscoverPeers { detail, asker: None }
            }
            Err(Malformed::Message(error)) if error.verb == Some(Verb::ShowRoomsList) => {
                ToRegistry::ListRooms { detail }
            }
            Err(_) => return,
        };
        self.codec.encode(&request, &mut BytesMut::new()).expect("no I/O");
    }

    fn read(&mut self, mut bytes: BytesMut, sent: &FromRegistry, dialect: Dialect) {
        let canonical = dialect == Dialect::Canonical;
        assert_eq!(bytes.ends_with(b"\n"), canonical, "a reply in the wrong dialect");
        let whole = bytes.clone().freeze();
        self.codec.set_dialect(dialect);
        let read = self.codec.decode(&mut bytes).expect("no I/O").expect("one message");
        let read = read.expect("what was sent can be read");
        assert!(bytes.is_empty(), "one message");
        if canonical {
            assert_eq!(&read, sent);
        } else {
            // Not all of a message is carried: what is, is spelled in one way.
            assert_eq!(read.to_bytes(dialect), whole);
            let pushed = matches!(
                read,
                FromRegistry::UserLogout { .. }
                    | FromRegistry::UserJoined { .. }
                    | FromRegistry::UserLeft { .. }
                    | FromRegistry::Ticket { .. }
                    | FromRegistry::RetryAfter { .. }
                    | FromRegistry::ContactRequest { .. }
                    | FromRegistry::ContactResponse { .. }
                    | FromRegistry::RoomKicked { .. }
                    | FromRegistry::RoomBanned { .. }
                    | FromRegistry::RoomChanged { .. }
            );
            assert!(!pushed, "the prototype knows no such push");
        }
    }

    fn answered(&mut self, asked: Option<ToRegistry>, reply: &FromRegistry, dialect: Dialect) {
        match (asked, reply) {
            (
                Some(ToRegistry::Hello { extensions: offered }),
                FromRegistry::Hello(HelloReply::Success { extensions }),
            ) => {
                self.offered = offered.map_or(Capabilities::NONE, |offered| offered.capabilities);
                let agreed = extensions.map_or(Capabilities::NONE, |agreed| agreed.capabilities);
                assert_eq!(
                    extensions.is_some(),
                    offered.is_some(),
                    "an extension is seen by who asked for it"
                );
                assert_eq!(agreed.and(self.offered), agreed, "no more than was offered is agreed on");
            }
            (
                Some(ToRegistry::Login { username, .. } | ToRegistry::Resume { username, .. }),
                FromRegistry::Auth(AuthReply::Success { token }),
            ) => {
                let wanted = dialect == Dialect::Canonical && self.has(Capability::Resume);
                assert_eq!(token.is_some(), wanted, "a token to who asked for tokens");
                self.user = Some(username);
            }
            _ => {}
        }
    }

    fn has(&self, capability: Capability) -> bool {
        self.offered.has(capability)
    }
}

/// True if `reply` is one to `asked`.
fn answers(reply: &FromRegistry, asked: Option<&ToRegistry>) -> bool {
    let Some(asked) = asked else { return true };
    match reply {
        FromRegistry::Hello(_) => matches!(asked, ToRegistry::Hello { .. }),
        FromRegistry::Register(_) => matches!(asked, ToRegistry::Register { .. }),
        FromRegistry::Auth(_) => matches!(asked, ToRegistry::Login { .. } | ToRegistry::Resume { .. }),
        FromRegistry::Creation(_) => matches!(asked, ToRegistry::CreateRoom { .. }),
        FromRegistry::Join(_) => matches!(asked, ToRegistry::JoinRoom { .. }),
        FromRegistry::RoomExit(_) => matches!(asked, ToRegistry::ExitRoom { .. }),
        FromRegistry::Rooms(_) => matches!(asked, ToRegistry::ListRooms { .. }),
        FromRegistry::Search(_) => matches!(asked, ToRegistry::SearchUser { .. }),
        FromRegistry::Contact(_) => {
            matches!(asked, ToRegistry::ContactRequest { .. } | ToRegistry::ContactResponse { .. })
        }
        FromRegistry::Peers(_) => {
            matches!(asked, ToRegistry::DiscoverPeers { .. } | ToRegistry::DiscoverRoom { .. })
        }
        FromRegistry::Moderation(_) => matches!(
            asked,
            ToRegistry::Kick { .. }
                | ToRegistry::Ban { .. }
                | ToRegistry::Unban { .. }
                | ToRegistry::SetRoom { .. }
        ),
        FromRegistry::Parked(_) => matches!(asked, ToRegistry::Park { .. }),
        FromRegistry::LinkKey(_) => matches!(asked, ToRegistry::LinkKey { .. }),
        FromRegistry::Bans(_) => matches!(asked, ToRegistry::ListBans { .. }),
        _ => false,
    }
}
