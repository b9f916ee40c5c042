//! The peer machine between a hostile registry and hostile peers, behind its codecs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    num::NonZeroU64,
    time::Duration,
};

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use p2pchat_proto::{
    Dialect, FileDigest, FileName, FromRegistry, FromRegistryDatagram, Limits, LinkKey, Message, PeerMessage,
    RegistryName, RoomName, SessionTicket, ToRegistry, ToRegistryDatagram, Username,
    codec::{ClientCodec, PeerCodec, RegistryCodec},
};
use tokio_util::codec::{Decoder, Encoder};

use super::people::{Command, DATAGRAMS, REGISTRY_LINES, STREAM_LINES, TICKET, line, user};
use crate::{
    Time,
    peer::{
        Budget, ChatRequestId, Config, Effect, Event, FileDeed, FileId, Peer, Rate, Receipt, RequestId,
        StreamId,
    },
};

/// For how long what was read has to wait at most.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// A frame's limit, which the fuzzer's inputs can pass.
const FRAME_BYTES: usize = 400;

const HELLO: &[u8] = b"HELLO_BACK <SUCCESS> <200> <1> \
    <reason,roster,sender,resume,moderate,ticket,retry,contact,origin,park>\n";
const HELLO_WITH_KEYS: &[u8] = b"HELLO_BACK <SUCCESS> <200> <1> \
    <reason,roster,sender,resume,moderate,ticket,retry,contact,origin,park,keys,ids>\nLINK_KEY <SUCCESS> <200>\n";
/// What others may do to a peer, and what its application may want. `u8`s choose among what there has been.
#[derive(Debug, Clone, Arbitrary)]
enum Step<'a> {
    Command(Command<'a>),
    Accept(u8),
    Reject(u8),
    Confirm(u8),
    /// Somebody is blocked, or isn't any more.
    Block(u8, bool),
    /// The registry's stream is open; with ALPN or without.
    RegistryUp(bool),
    /// The registry says what it could say, or writes bytes, with or without a line ending, with or without a link.
    RegistrySays(u8),
    RegistryWrites(&'a [u8]),
    RegistryEnds(bool),
    Datagram(u8),
    RawDatagram(&'a [u8]),
    /// The answer to the keep-alive of that number by who has the ticket.
    ParkAnswer(NonZeroU64, bool),
    /// Somebody dials.
    Incoming(u8),
    StreamUp(u8),
    StreamSays(u8, u8),
    StreamWrites(u8, &'a [u8]),
    StreamEnds(u8, bool),
    Wait(u16),
    NextDeadline,
    Offer(u16),
    AcceptFile(u8),
    CancelFile(u8),
    /// The oldest thing that is to be done on the disk is done, or can't be.
    Disk(bool),
    /// They answer for a file of ours.
    Takes(u8, u8, u8),
}

/// Feeds a peer machine bytes and commands, and checks what it does and says after each fact.
pub fn peer_machine(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(seed) = u64::arbitrary(&mut input) else { return };
    let mut world = World::new(seed);
    if seed & 4 != 0 {
        world
            .peer
            .set_link_key(Some(LinkKey::from_bytes([0xaa; 32])))
            .expect("no session is there to refuse it");
        world.agreed = HELLO_WITH_KEYS;
    }
    world.begin(seed % 4, seed & 8 != 0);
    while !input.is_empty()
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        world.step(step);
        world.drain();
        world.check();
    }
    world.end();
}

/// What is to be done with files, and how far those are that come.
#[derive(Default)]
struct Disk {
    files: Vec<FileId>,
    deeds: VecDeque<(FileId, FileDeed)>,
    stored: BTreeMap<FileId, u64>,
}

struct World {
    peer: Peer,
    config: Config,
    now: Time,
    link: Option<Link>,
    /// There is no stream, and datagrams go all the same.
    parked: bool,
    streams: BTreeMap<StreamId, Stream>,
    /// All streams that there have been.
    ids: Vec<StreamId>,
    chat_requests: Vec<ChatRequestId>,
    receipts: Vec<Receipt>,
    /// The commands that have not ended.
    open: BTreeSet<RequestId>,
    /// What the registry answers to a hello, and to what comes before the login.
    agreed: &'static [u8],
    disk: Disk,
}

struct Link {
    codec: ClientCodec,
    inbox: BytesMut,
    up: bool,
    dialect: Option<Dialect>,
}

struct Stream {
    codec: PeerCodec,
    inbox: BytesMut,
    dialled: bool,
    up: bool,
    /// A handshake is due before anything is said.
    secure: bool,
    /// The keys that the other end has shown that it holds: one, unless the driver says so twice.
    shown: BTreeSet<LinkKey>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut config = Config::default();
        (config.requests, config.pipeline, config.rooms) = (4, 2, 2);
        (config.streams, config.messages_in_flight, config.chat_requests) = (3, 3, 2);
        config.budget = Budget {
            messages: Rate::new(4, LONGEST_TURN),
            bytes: Rate::new(100, LONGEST_TURN),
            requests: Rate::new(3, LONGEST_TURN),
        };
        config.park_after = Some(Duration::from_secs(5));
        config.registry = RegistryName::new("chat.example.org:15600").ok();
        config.limits.frame_bytes = FRAME_BYTES;
        config.limits.list_reply_bytes = 4 * FRAME_BYTES;
        config.limits.file_chunk_bytes = FRAME_BYTES;
        config.files = 2;
        Self {
            peer: Peer::new(config.clone(), seed),
            config,
            now: Time::ZERO,
            link: None,
            parked: false,
            streams: BTreeMap::new(),
            ids: Vec::new(),
            chat_requests: Vec::new(),
            receipts: Vec::new(),
            open: BTreeSet::new(),
            agreed: HELLO,
            disk: Disk::default(),
        }
    }

    /// What chance takes long to come to: a session (1), rooms with others in them (2), and a chat with one of them (3).
    fn begin(&mut self, how_far: u64, numbered: bool) {
        const AUTH: &[u8] = b"AUTH <SUCCESS> <200> <9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08>\n\
            TICKET <9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bc822cd15d6c15b0f00a8>\nUSER_JOINED <den> <alice>\n";
        const ROSTERS: &[u8] =
            b"PEER_LIST <SUCCESS> <200> <den> <alice> <bob> <carol>\nUSER_JOINED <attic> <alice>\n";
        let online = [
            Step::Command(Command::Login(0, None)),
            Step::RegistryUp(true),
            Step::RegistryWrites(self.agreed),
            Step::RegistryWrites(AUTH),
        ];
        let among_others = [Step::RegistryWrites(ROSTERS), Step::Incoming(0)];
        // Where keys are in use, the registry is asked whether bob has one, after who is in the attic.
        let vouched: &[u8] = match self.agreed == HELLO_WITH_KEYS {
            true => {
                b"PEER_LIST <SUCCESS> <200> <attic> <alice>\n\
                SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender,origin>\n"
            }
            false => b"",
        };
        let asks = Step::StreamWrites(0, b"CHAT_REQUEST <alice> <bob>\n");
        let in_a_chat = [asks.clone(), Step::RegistryWrites(vouched), Step::Accept(0)];
        // The same where messages have numbers.
        let known: &[u8] = b"PEER_LIST <SUCCESS> <200> <attic> <alice>\n\
            SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender,origin,ids> \
            <bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb>\n";
        let by_number = [
            Step::StreamWrites(0, b"INTRODUCED_BY <chat.example.org:15600> <bob> <alice> <tls>\n"),
            Step::StreamUp(0),
            Step::StreamWrites(0, b"INTRODUCED_BY <chat.example.org:15600> <bob> <alice> <numbering>\n"),
            Step::RegistryWrites(known),
            Step::StreamWrites(0, b"NUMBERING <7> <1> <CLOSED> <files>\n"),
            asks,
            Step::Accept(0),
        ];
        let numbered = numbered && self.agreed == HELLO_WITH_KEYS;
        let in_a_chat = if numbered { &by_number[..] } else { &in_a_chat };
        let parts = [&online[..], &among_others, in_a_chat];
        let parts = parts.into_iter().zip(1..).filter(|&(_, part)| part <= how_far);
        for step in parts.flat_map(|(steps, _)| steps) {
            self.step(step.clone());
            self.drain();
        }
        assert_eq!(self.peer.is_logged_in(), how_far > 0);
        let bob = Username::new("bob").expect("a name");
        assert_eq!(self.rooms_with(&bob).len(), usize::from(how_far > 1));
        assert_eq!(self.peer.chats().count(), usize::from(how_far > 2));
    }

    fn step(&mut self, step: Step<'_>) {
        let now = self.now;
        match step {
            Step::Command(command) => {
                let request = command.give(&mut self.peer, now);
                self.begun(request);
            }
            Step::Accept(n) => {
                if let Some(chat) = pick(&self.chat_requests, n) {
                    let request = self.peer.accept(now, chat);
                    self.begun(request);
                }
            }
            Step::Reject(n) => {
                if let Some(chat) = pick(&self.chat_requests, n) {
                    let request = self.peer.reject(now, chat, None);
                    self.begun(request);
                }
            }
            Step::Confirm(n) => {
                if let Some(receipt) = pick(&self.receipts, n) {
                    self.peer.confirm(now, receipt);
                }
            }
            Step::Block(who, true) => self.peer.block(now, user(who)),
            Step::Block(who, false) => self.peer.unblock(&user(who)),
            Step::RegistryUp(alpn) => self.registry_up(alpn),
            Step::RegistrySays(n) => self.registry_writes(&line(REGISTRY_LINES, n)),
            Step::RegistryWrites(bytes) => self.registry_writes(bytes),
            Step::RegistryEnds(inside) => self.registry_ends(inside),
            Step::Datagram(n) => self.datagram(&line(DATAGRAMS, n)),
            Step::RawDatagram(bytes) => self.datagram(bytes),
            Step::ParkAnswer(number, wake) => {
                let ticket = SessionTicket::new(TICKET).expect("a ticket");
                let number = NonZeroU64::new(number.get() % 16).unwrap_or(number);
                let answer = match wake {
                    true => FromRegistryDatagram::wake(&ticket, number),
                    false => FromRegistryDatagram::parked(&ticket, number),
                };
                self.datagram(&answer.to_bytes(Dialect::Canonical));
            }
            Step::Incoming(host) => {
                let addr = SocketAddr::from(([192, 0, 2, host % 3 + 2], 50_000));
                if let Some(id) = self.peer.accept_stream(now, addr) {
                    self.open_stream(id, false, false);
                }
            }
            Step::StreamUp(n) => {
                if let Some(id) = pick(&self.ids, n) {
                    let key = LinkKey::from_bytes([if n < 128 { 0xbb } else { 0xcc }; 32]);
                    let stream = self.streams.get_mut(&id);
                    if stream.is_none_or(|stream| {
                        stream.up = true;
                        stream.shown.insert(key);
                        !stream.secure && stream.dialled
                    }) {
                        self.peer.handle_stream_connected(now, id);
                    } else {
                        self.peer.handle_stream_secured(now, id, key);
                    }
                }
            }
            Step::StreamSays(n, text) => self.stream_writes(n, &line(STREAM_LINES, text)),
            Step::StreamWrites(n, bytes) => self.stream_writes(n, bytes),
            Step::StreamEnds(n, inside) => self.stream_ends(n, inside),
            Step::Wait(millis) => self.wait(now + Duration::from_millis(millis.into())),
            Step::NextDeadline => {
                if let Some(due) = self.peer.poll_timeout() {
                    self.wait(due.max(now));
                }
            }
            Step::Offer(size) => {
                let (name, digest) = (FileName::cleaned("a"), FileDigest::from_bytes([0; 32]));
                let bob = Username::new("bob").expect("a name");
                let (request, file) = self.peer.offer_file(now, bob, name, u64::from(size) << 4, digest);
                self.begun(request);
                self.disk.files.push(file);
            }
            Step::AcceptFile(n) => {
                if let Some(file) = pick(&self.disk.files, n) {
                    let request = self.peer.accept_file(now, file);
                    self.begun(request);
                }
            }
            Step::CancelFile(n) => {
                if let Some(file) = pick(&self.disk.files, n) {
                    let request = self.peer.cancel_file(now, file, None);
                    self.begun(request);
                }
            }
            Step::Disk(works) => self.disk(works),
            Step::Takes(n, what, how_much) => {
                // Which number it has, is in its id alone.
                let Some(file) = pick(&self.disk.files, what) else { return };
                let file: String = format!("{file:?}").chars().filter(char::is_ascii_digit).collect();
                let line = match how_much {
                    0 => format!("FILE_REJECT <{file}>\n"),
                    1 => format!("FILE_DONE <{file}>\n"),
                    n @ 2..=127 => format!("FILE_ACCEPT <{file}> <{}>\n", u32::from(n - 2) << 10),
                    n => format!("FILE_ACK <{file}> <{}>\n", u32::from(n - 127) << 13),
                };
                self.stream_writes(n, line.as_bytes());
            }
        }
    }

    fn begun(&mut self, request: RequestId) {
        assert!(self.open.insert(request), "a request's name is used once");
    }

    fn wait(&mut self, until: Time) {
        self.now = until;
        self.peer.handle_timeout(until);
        assert!(self.peer.poll_timeout().is_none_or(|due| due > until), "what was due is done");
    }

    fn registry_up(&mut self, alpn: bool) {
        let dialect = alpn.then_some(Dialect::Canonical);
        if let Some(link) = self.link.as_mut().filter(|link| !link.up) {
            link.up = true;
            if let Some(dialect) = dialect {
                link.codec.set_dialect(dialect);
                link.dialect = Some(dialect);
            }
            self.peer.handle_registry_connected(self.now, dialect);
        } else {
            // Not what the driver would do, but any order is legal.
            self.peer.handle_registry_connected(self.now, dialect);
        }
    }

    fn registry_writes(&mut self, bytes: &[u8]) {
        let Some(link) = self.link.as_mut().filter(|link| link.up) else {
            let frame = Bytes::copy_from_slice(bytes.trim_ascii_end());
            if let Ok(message) = FromRegistry::parse(&frame, Dialect::Canonical, &self.config.limits) {
                self.peer.handle_registry_message(self.now, message);
            }
            return;
        };
        link.inbox.extend_from_slice(bytes);
        while let Some(link) = self.link.as_mut().filter(|link| link.up) {
            let Some(item) = link.codec.decode(&mut link.inbox).expect("no I/O") else {
                assert!(link.inbox.len() <= 4 * FRAME_BYTES + 1, "more than a frame and its CR waits");
                return;
            };
            if let Some(found) = link.codec.dialect().filter(|_| link.dialect.is_none()) {
                link.dialect = Some(found);
                self.peer.handle_registry_dialect(self.now, found);
                self.drain();
            }
            match item {
                Ok(message) => self.peer.handle_registry_message(self.now, message),
                Err(malformed) => self.peer.handle_registry_malformed(self.now, malformed),
            }
            self.drain();
        }
    }

    fn registry_ends(&mut self, inside: bool) {
        if let Some(mut link) = self.link.take()
            && inside
            && let Some(Err(malformed)) = link.codec.decode_eof(&mut link.inbox).expect("no I/O")
        {
            self.peer.handle_registry_malformed(self.now, malformed);
            self.drain();
        }
        // What is said of a stream after the machine has dialled anew isn't said to it.
        if self.link.is_none() {
            self.peer.handle_registry_closed(self.now, "gone".to_owned());
        }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let datagram = Bytes::copy_from_slice(bytes);
        if let Ok(message) = FromRegistryDatagram::parse(&datagram, Dialect::Canonical, &self.config.limits) {
            self.peer.handle_datagram(self.now, message);
        }
    }

    fn open_stream(&mut self, id: StreamId, dialled: bool, secure: bool) {
        let codec = PeerCodec::new(self.config.limits);
        let (inbox, up, shown) = (BytesMut::new(), !dialled, BTreeSet::new());
        self.streams.insert(id, Stream { codec, inbox, dialled, up, secure, shown });
        self.ids.push(id);
    }

    fn stream_writes(&mut self, n: u8, bytes: &[u8]) {
        let Some(id) = pick(&self.ids, n) else { return };
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.inbox.extend_from_slice(bytes);
        } else {
            // Not what the driver would do, but any order is legal.
            let frame = Bytes::copy_from_slice(bytes.trim_ascii_end());
            if let Ok(message) = PeerMessage::parse(&frame, Dialect::Canonical, &self.config.limits) {
                self.peer.handle_stream_message(self.now, id, message);
            }
        }
        while let Some(stream) = self.streams.get_mut(&id) {
            let Some(item) = stream.codec.decode(&mut stream.inbox).expect("no I/O") else {
                assert!(stream.inbox.len() <= FRAME_BYTES + 1, "more than a frame and its CR waits");
                return;
            };
            match item {
                Ok(message) => {
                    // Not every driver waits.
                    if let Some(turn) = self.peer.turn_of(self.now, id, &message) {
                        assert!(turn > self.now && turn <= self.now + LONGEST_TURN, "it comes at {turn}");
                    }
                    self.peer.handle_stream_message(self.now, id, message);
                }
                Err(malformed) => self.peer.handle_stream_malformed(self.now, id, malformed),
            }
            self.drain();
        }
    }

    fn stream_ends(&mut self, n: u8, inside: bool) {
        let Some(id) = pick(&self.ids, n) else { return };
        if let Some(stream) = self.streams.get_mut(&id)
            && inside
            && let Some(Err(malformed)) = stream.codec.decode_eof(&mut stream.inbox).expect("no I/O")
        {
            self.peer.handle_stream_malformed(self.now, id, malformed);
            self.drain();
        }
        self.streams.remove(&id);
        self.peer.handle_stream_closed(self.now, id, "gone".to_owned());
    }

    fn disk(&mut self, works: bool) {
        let Some((file, deed)) = self.disk.deeds.pop_front() else { return };
        let (peer, now) = (&mut self.peer, self.now);
        let broken = || "broken".to_owned();
        match deed {
            FileDeed::Read { offset, length } => {
                let read = if works { Ok(vec![0; length].into()) } else { Err(broken()) };
                peer.handle_file_read(now, file, offset, read);
            }
            FileDeed::Open { .. } => {
                assert_eq!(self.disk.stored.insert(file, 0), None, "a file is opened once");
                peer.handle_file_opened(now, file, if works { Ok(0) } else { Err(broken()) });
            }
            FileDeed::Write { offset, data } => {
                let stored = self.disk.stored.get_mut(&file).expect("only what is open is written to");
                assert_eq!(*stored, offset, "each byte is written once");
                *stored += data.len() as u64;
                peer.handle_file_written(now, file, if works { Ok(*stored) } else { Err(broken()) });
            }
            FileDeed::Finish => {
                peer.handle_file_finished(now, file, if works { Ok(()) } else { Err(broken()) })
            }
            FileDeed::Discard | FileDeed::Close => {}
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.peer.poll_effect() {
            match effect {
                Effect::ConnectRegistry => {
                    assert!(self.link.is_none() && !self.parked, "one link at a time");
                    let codec = ClientCodec::new(self.config.limits);
                    self.link = Some(Link { codec, inbox: BytesMut::new(), up: false, dialect: None });
                }
                Effect::SendRegistry(message) => self.sent_to_registry(&message),
                Effect::CloseRegistry => (self.link, self.parked) = (None, false),
                Effect::ParkRegistry => {
                    assert!(self.link.take().is_some_and(|link| link.up), "there is a stream to be left");
                    self.parked = true;
                }
                Effect::SendDatagram(message) => {
                    let bytes = message.to_bytes(Dialect::Canonical);
                    let read = ToRegistryDatagram::parse(&bytes, Dialect::Canonical, &Limits::DEFAULT);
                    assert_eq!(read, Ok(message));
                    let up = self.link.as_ref().is_some_and(|link| link.up);
                    assert!(up || self.parked, "a keep-alive without a link");
                }
                Effect::Dial { stream, addr, secure } => {
                    let ip = addr.ip();
                    assert!(
                        addr.port() >= 1_024 && !ip.is_unspecified() && !ip.is_multicast(),
                        "dials {addr}"
                    );
                    self.open_stream(stream, true, secure.is_some());
                }
                Effect::SendPeer { stream, message } => self.sent_to_peer(stream, &message),
                Effect::ClosePeer { stream } => {
                    self.streams.remove(&stream).expect("a stream is closed once");
                }
                Effect::File { file, deed } => self.disk.deeds.push_back((file, deed)),
                Effect::Event(event) => self.told(event),
            }
        }
    }

    fn sent_to_registry(&mut self, message: &ToRegistry) {
        let Some(link) = &mut self.link else { return };
        let mut bytes = BytesMut::new();
        link.codec.encode(message, &mut bytes).expect("no I/O");
        let dialect = link.codec.dialect().unwrap_or_default();
        let mut registry = RegistryCodec::new(Limits::DEFAULT);
        registry.set_dialect(dialect);
        let whole = bytes.clone().freeze();
        let read = registry.decode(&mut bytes).expect("no I/O").expect("one message");
        let read = read.expect("what was sent can be read");
        match dialect {
            Dialect::Canonical => assert_eq!(&read, message),
            // Not all of a message is carried: what is, is spelled in one way.
            _ => assert_eq!(read.to_bytes(dialect), whole),
        }
    }

    fn sent_to_peer(&mut self, id: StreamId, message: &PeerMessage) {
        let stream = self.streams.get(&id).expect("nothing is sent to a stream that is closed");
        assert!(stream.up, "nothing is sent to a stream that is not open");
        let mut bytes = BytesMut::new();
        let mut codec = PeerCodec::new(Limits::DEFAULT);
        codec.encode(message, &mut bytes).expect("no I/O");
        let read = codec.decode(&mut bytes).expect("no I/O").expect("one message");
        assert_eq!(read.as_ref(), Ok(message));
        assert!(bytes.is_empty(), "one message");
    }

    fn told(&mut self, event: Event) {
        let me = self.peer.username().cloned();
        self.nobody_blocked_is_heard(&event);
        match event {
            Event::Completed { request, .. } => assert!(self.open.remove(&request), "a command ends once"),
            Event::ChatRequested { request, from, .. } => {
                assert!(me.is_some() && from != me);
                self.chat_requests.push(request);
            }
            Event::Message { from, receipt, .. } => {
                assert!(self.peer.chats().any(|user| *user == from), "{from} is in no chat");
                assert!(me.is_some_and(|me| me != from));
                self.receipts.push(receipt);
            }
            Event::Broadcast { room, from, receipt, .. } => {
                let shared = self.rooms_with(&from);
                match room {
                    Some(room) => assert!(shared.contains(&room), "{from} is not in {room}"),
                    None => assert!(shared.len() > 1, "{from} can only mean {shared:?}"),
                }
                assert!(me.is_some_and(|me| me != from));
                self.receipts.push(receipt);
            }
            Event::FileOffered { file, from, .. } => {
                assert!(self.peer.chats().any(|user| *user == from), "{from} is in no chat");
                self.disk.files.push(file);
            }
            _ => {}
        }
    }

    fn nobody_blocked_is_heard(&self, event: &Event) {
        let from = match event {
            Event::ChatRequested { from, .. } | Event::ChatOpened { with: from, .. } => from.as_ref(),
            Event::Message { from, .. } | Event::Broadcast { from, .. } => Some(from),
            Event::ChatResumed { with } => Some(with),
            _ => None,
        };
        assert!(from.is_none_or(|from| !self.peer.is_blocked(from)), "{from:?} is blocked: {event:?}");
    }

    fn rooms_with(&self, user: &Username) -> Vec<RoomName> {
        let has = |room: &&RoomName| {
            self.peer.roster(room).is_some_and(|mut members| members.any(|name| name == user))
        };
        self.peer.room_names().filter(has).cloned().collect()
    }

    /// What is held at any time is bounded by the configuration.
    fn check(&self) {
        let config = &self.config;
        assert_eq!(self.peer.is_parked(), self.parked);
        assert!(!self.parked || self.peer.is_logged_in(), "who is parked is online");
        let dialled = self.streams.values().filter(|stream| stream.dialled).count();
        assert!(dialled <= config.streams && self.streams.len() - dialled <= config.streams);
        assert!(self.peer.room_names().count() <= config.rooms);
        assert!(self.peer.chats().count() <= self.streams.len(), "a chat has a stream");
        let requests = 3 * config.requests + config.pipeline;
        let lanes = 2 * config.streams * (config.messages_in_flight + config.chat_requests);
        let wants = config.streams * config.messages_in_flight;
        assert!(self.open.len() <= requests + lanes + wants, "{} commands wait", self.open.len());
        let bob = Username::new("bob").expect("a name");
        if self.peer.is_secured(&bob) {
            let key = self.peer.key_of(&bob);
            let shown = |stream: &Stream| key.is_some_and(|key| stream.shown.contains(&key));
            assert!(self.streams.values().any(shown), "that is not bob");
        }
        for wanted in &self.disk.files {
            let of = |(file, deed): &(FileId, FileDeed)| match deed {
                FileDeed::Read { length, .. } if file == wanted => *length,
                FileDeed::Write { data, .. } if file == wanted => data.len(),
                _ => 0,
            };
            let waiting: usize = self.disk.deeds.iter().map(of).sum();
            assert!(waiting <= 3 << 19, "{waiting} bytes of a file wait");
        }
        if self.peer.username().is_none() {
            assert!(self.peer.room_names().next().is_none() && self.peer.chats().next().is_none());
        }
    }

    fn end(&mut self) {
        let last = self.peer.shutdown(self.now);
        self.begun(last);
        self.drain();
        assert!(self.open.is_empty(), "every command ends");
        assert!(self.streams.is_empty() && self.link.is_none(), "every stream is closed");
        assert_eq!(self.peer.poll_timeout(), None);
    }
}

fn pick<T: Copy>(all: &[T], n: u8) -> Option<T> {
    all.get(usize::from(n).checked_rem(all.len())?).copied()
}
