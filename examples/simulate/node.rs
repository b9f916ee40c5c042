//! A user's program: the peer machine with what a real one has around it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use p2pchat_core::{
    Time,
    peer::{Config, Effect, Peer, StreamId},
};
use p2pchat_proto::{
    Capabilities, Capability, Dialect, Follows, FromRegistryDatagram, Limits, LinkKey, Message, PeerMessage,
    RegistryName, Username,
    codec::{ClientCodec, PeerCodec},
};
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    disk::Disk,
    network::{Host, Item, LineId, Side},
    schedule::{Happening, Schedule},
    users::User,
    world::World,
};

const REGISTRY_PORT: u16 = 15_600;

pub(crate) struct Node {
    pub(crate) user: User,
    /// Another program logs in to the same account.
    pub(crate) shared: bool,
    pub(crate) ip: IpAddr,
    /// Where it is dialled.
    pub(crate) port: u16,
    /// Where its datagrams come from.
    pub(crate) datagrams: SocketAddr,
    /// The registry's dialect is settled by the TLS handshake.
    pub(crate) alpn: bool,
    config: Config,
    /// The link key of the user's account on this machine.
    pub(crate) key: Option<LinkKey>,
    /// By which keys others are known, which outlasts the program.
    pub(crate) known: BTreeMap<Username, LinkKey>,
    pub(crate) disk: Disk,
    pub(crate) machine: Option<Peer>,
    /// Counts the program's starts.
    pub(crate) incarnation: u32,
    link: Option<Link>,
    streams: BTreeMap<LineId, Stream>,
    lines: BTreeMap<StreamId, LineId>,
    /// What a deliberate bug keeps for later.
    held: Option<Effect>,
}

struct Link {
    line: LineId,
    codec: ClientCodec,
    inbox: BytesMut,
    dialect: Option<Dialect>,
    greeted: bool,
}

struct Stream {
    id: StreamId,
    side: Side,
    codec: PeerCodec,
    inbox: BytesMut,
    /// What the dialler says in the clear, once the line is open.
    first: Option<PeerMessage>,
    /// A handshake is under way: the other end's key comes next, in place of TLS's messages.
    awaits_key: bool,
}

impl Stream {
    fn new(id: StreamId, side: Side, first: Option<PeerMessage>) -> Self {
        let codec = PeerCodec::new(Limits::DEFAULT);
        Self { id, side, codec, inbox: BytesMut::new(), awaits_key: first.is_some(), first }
    }

    /// The key, once all of it is there.
    fn take_key(&mut self) -> Option<LinkKey> {
        let is_here = self.awaits_key && self.inbox.len() >= 32;
        let bytes = is_here.then(|| self.inbox.split_to(32))?;
        self.awaits_key = false;
        bytes.as_ref().try_into().ok().map(LinkKey::from_bytes)
    }
}

impl Node {
    pub(crate) fn new(schedule: &mut Schedule, number: u16, user: User) -> Self {
        // Some share an address, as behind a router.
        let ip = IpAddr::from([192, 0, 2, u8::try_from(1 + number / 2).unwrap_or(u8::MAX)]);
        let mut config = Config::default();
        config.capabilities = match schedule.rng.u8(0..5) {
            0 => Capabilities::NONE,
            1 => [Capability::Roster].into_iter().collect(),
            _ => Capabilities::all(),
        };
        // Some do without a stream as soon as they can.
        config.park_after = schedule.percent(40).then(|| schedule.millis(1_000..=60_000));
        config.registry = RegistryName::new("registry.example:15600").ok();
        Self {
            user,
            shared: false,
            ip,
            port: 4_000 + number,
            datagrams: SocketAddr::new(ip, 30_000 + number),
            alpn: schedule.percent(70),
            key: schedule
                .percent(60)
                .then(|| LinkKey::from_bytes([u8::try_from(number).unwrap_or(u8::MAX); 32])),
            known: BTreeMap::new(),
            config,
            disk: Disk::default(),
            machine: None,
            incarnation: 0,
            link: None,
            streams: BTreeMap::new(),
            lines: BTreeMap::new(),
            held: None,
        }
    }

    /// True if the registry pushes who comes and goes.
    pub(crate) fn is_told(&self) -> bool {
        self.config.capabilities.has(Capability::Roster)
    }

    /// True if a registry that wants invitations can be given one.
    pub(crate) fn knows_invitations(&self) -> bool {
        self.config.capabilities.has(Capability::Invite)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.machine.as_ref().and_then(Peer::poll_timeout)
    }
}

impl World {
    pub(crate) fn start_node(&mut self, number: usize) {
        let (seed, now) = (self.schedule.rng.u64(..), self.schedule.now);
        let node = &mut self.nodes[number];
        if node.machine.is_none() {
            let mut machine = Peer::new(node.config.clone(), seed);
            // There is no session that could refuse it.
            let _ = machine.set_link_key(node.key);
            for (user, key) in &node.known {
                machine.set_key(now, user.clone(), Some(*key));
            }
            node.machine = Some(machine);
            node.incarnation += 1;
            node.held = None;
            node.user.started();
            self.trace(|| format!("node {number} starts"));
        }
    }

    /// A user's program dies. If its whole machine does, nobody is told.
    pub(crate) fn stop_node(&mut self, number: usize, says_so: bool) {
        let node = &mut self.nodes[number];
        node.machine = None;
        node.disk.close();
        let link = node.link.take().map(|link| (link.line, Side::Dialer));
        let streams = std::mem::take(&mut node.streams);
        node.lines.clear();
        for (line, side) in link.into_iter().chain(streams.iter().map(|(line, stream)| (*line, stream.side)))
        {
            self.network.crash(&mut self.schedule, line, side, says_so);
        }
        self.trace(|| format!("node {number} is gone"));
    }

    pub(crate) fn node_due(&mut self, number: usize) {
        self.node_step(number, |machine, now| machine.handle_timeout(now));
    }

    pub(crate) fn node_datagram(&mut self, number: usize, bytes: &Bytes) {
        match FromRegistryDatagram::parse(bytes, Dialect::Canonical, &Limits::DEFAULT) {
            Ok(datagram) => self.node_step(number, |machine, now| machine.handle_datagram(now, datagram)),
            Err(error) => self.fail(format!("a peer gets a datagram that is none: {error}")),
        }
    }

    /// Something has come on a line to a node.
    pub(crate) fn node_item(&mut self, number: usize, line: LineId, side: Side, item: Item) {
        let is_link = self.nodes[number].link.as_ref().is_some_and(|link| link.line == line);
        match item {
            Item::Open if is_link => {
                let dialect = self.nodes[number].alpn.then_some(Dialect::Canonical);
                self.node_step(number, |machine, now| machine.handle_registry_connected(now, dialect));
            }
            Item::Open if side == Side::Acceptor => self.node_accept(number, line),
            Item::Open => {
                let Some(id) = self.stream_id(number, line) else { return };
                match self.nodes[number].streams.get_mut(&line).and_then(|stream| stream.first.take()) {
                    Some(first) => {
                        self.stream_write(number, line, &first);
                        self.show_key(number, line);
                    }
                    None => self.node_step(number, |machine, now| machine.handle_stream_connected(now, id)),
                }
            }
            Item::Bytes(bytes) if is_link => self.link_read(number, line, &bytes),
            Item::Bytes(bytes) => self.stream_read(number, line, &bytes),
            Item::End(why) => {
                self.network.forget(line, side);
                if is_link {
                    self.nodes[number].link = None;
                    self.node_step(number, |machine, now| {
                        machine.handle_registry_closed(now, why.to_owned())
                    });
                } else if let Some(id) = self.forget_stream(number, line) {
                    self.node_step(number, |machine, now| {
                        machine.handle_stream_closed(now, id, why.to_owned())
                    });
                }
            }
        }
    }

    fn stream_id(&self, number: usize, line: LineId) -> Option<StreamId> {
        self.nodes[number].streams.get(&line).map(|stream| stream.id)
    }

    fn forget_stream(&mut self, number: usize, line: LineId) -> Option<StreamId> {
        let stream = self.nodes[number].streams.remove(&line)?;
        self.nodes[number].lines.remove(&stream.id);
        Some(stream.id)
    }

    fn node_accept(&mut self, number: usize, line: LineId) {
        let now = self.schedule.now;
        let Some(dialled) = self.network.line(line) else { return };
        let Host::Node(from) = dialled.host(Side::Dialer) else { return };
        let listens = dialled.port == self.nodes[number].port;
        let addr = SocketAddr::new(self.nodes[from].ip, self.schedule.rng.u16(32_768..));
        let machine = self.nodes[number].machine.as_mut().filter(|_| listens);
        let Some(id) = machine.and_then(|machine| machine.accept_stream(now, addr)) else {
            return self.network.close(&mut self.schedule, line, Side::Acceptor, "connection refused");
        };
        let node = &mut self.nodes[number];
        node.streams.insert(line, Stream::new(id, Side::Acceptor, None));
        node.lines.insert(id, line);
        self.network.push(&mut self.schedule, line, Side::Dialer, Item::Open);
        self.node_settle(number);
    }

    fn link_read(&mut self, number: usize, line: LineId, bytes: &[u8]) {
        let current = |node: &Node| node.link.as_ref().is_some_and(|link| link.line == line);
        if let Some(link) = self.nodes[number].link.as_mut() {
            link.inbox.extend_from_slice(bytes);
        }
        while current(&self.nodes[number])
            && let Some(link) = self.nodes[number].link.as_mut()
        {
            let item = link.codec.decode(&mut link.inbox).ok().flatten();
            let found = link.codec.dialect().filter(|&dialect| link.dialect != Some(dialect));
            link.dialect = link.codec.dialect();
            if let Some(dialect) = found {
                self.node_step(number, |machine, now| machine.handle_registry_dialect(now, dialect));
            }
            match item {
                Some(Ok(message)) => {
                    self.node_step(number, |machine, now| machine.handle_registry_message(now, message));
                }
                Some(Err(error)) => return self.fail(format!("a peer hears what is no message: {error}")),
                None => break,
            }
        }
    }

    fn stream_read(&mut self, number: usize, line: LineId, bytes: &[u8]) {
        if let Some(stream) = self.nodes[number].streams.get_mut(&line) {
            stream.inbox.extend_from_slice(bytes);
        }
        while let Some(stream) = self.nodes[number].streams.get_mut(&line) {
            let id = stream.id;
            if stream.awaits_key {
                let dialled = stream.side == Side::Dialer;
                let Some(key) = stream.take_key() else { return };
                if !dialled {
                    self.show_key(number, line);
                }
                self.stats.handshakes += 1;
                self.node_step(number, |machine, now| machine.handle_stream_secured(now, id, key));
                continue;
            }
            let Ok(Some(item)) = stream.codec.decode(&mut stream.inbox) else { return };
            stream.awaits_key =
                matches!(item, Ok(PeerMessage::IntroducedBy { follows: Some(Follows::Tls), .. }));
            self.trace(|| format!("node {number} hears {item:?} on {line:?}"));
            match item {
                Ok(message) => {
                    match &message {
                        PeerMessage::DirectMessage { text, .. } => {
                            self.post.carried(number, line, text, true)
                        }
                        PeerMessage::DirectBroadcast { room, text, .. } => {
                            self.post.carried(number, line, text, room.is_some());
                        }
                        _ => {}
                    }
                    self.node_step(number, |machine, now| machine.handle_stream_message(now, id, message));
                }
                Err(error) => return self.fail(format!("a peer hears what is no message: {error}")),
            }
        }
    }

    fn stream_write(&mut self, number: usize, line: LineId, message: &PeerMessage) {
        let Some(stream) = self.nodes[number].streams.get_mut(&line) else { return };
        let mut bytes = BytesMut::new();
        if stream.codec.encode(message, &mut bytes).is_ok() {
            let side = stream.side;
            self.network.write(&mut self.schedule, line, side, bytes.freeze());
        }
    }

    /// What the handshake shows to the other end, and proves.
    fn show_key(&mut self, number: usize, line: LineId) {
        let node = &self.nodes[number];
        if let (Some(key), Some(stream)) = (node.key, node.streams.get(&line)) {
            let bytes = Bytes::copy_from_slice(key.as_bytes());
            self.network.write(&mut self.schedule, line, stream.side, bytes);
        }
    }

    /// Tells a node's machine one fact and carries out what follows.
    pub(crate) fn node_step(&mut self, number: usize, fact: impl FnOnce(&mut Peer, Time)) {
        let now = self.schedule.now;
        if let Some(machine) = &mut self.nodes[number].machine {
            fact(machine, now);
            self.stats.steps += 1;
            self.node_settle(number);
        }
    }

    pub(crate) fn node_settle(&mut self, number: usize) {
        while let Some(effect) = self.nodes[number].machine.as_mut().and_then(Peer::poll_effect) {
            match self.bug {
                None => self.peer_effect(number, effect),
                Some(bug) => {
                    let held = &mut self.nodes[number].held;
                    for effect in bug.tamper_with_peer(&mut self.schedule.rng, held, effect) {
                        self.peer_effect(number, effect);
                    }
                }
            }
        }
    }

    fn peer_effect(&mut self, number: usize, effect: Effect) {
        let host = Host::Node(number);
        match effect {
            Effect::ConnectRegistry => {
                let line = self.network.dial(&mut self.schedule, host, Host::Registry, REGISTRY_PORT);
                let mut codec = ClientCodec::new(Limits::DEFAULT);
                if self.nodes[number].alpn {
                    codec.set_dialect(Dialect::Canonical);
                }
                let dialect = codec.dialect();
                let link = Link { line, codec, inbox: BytesMut::new(), dialect, greeted: false };
                self.nodes[number].link = Some(link);
            }
            Effect::SendRegistry(message) => {
                let Some(link) = &mut self.nodes[number].link else { return };
                let mut bytes = BytesMut::new();
                if link.codec.encode(&message, &mut bytes).is_ok() {
                    let (line, bytes) = (link.line, bytes.freeze());
                    // Which dialect a first message is in depends on its record.
                    if std::mem::replace(&mut link.greeted, true) {
                        self.network.write(&mut self.schedule, line, Side::Dialer, bytes);
                    } else {
                        self.network.write_whole(&mut self.schedule, line, Side::Dialer, bytes);
                    }
                }
            }
            // Without a stream, only datagrams are left.
            Effect::CloseRegistry | Effect::ParkRegistry => {
                if let Some(link) = self.nodes[number].link.take() {
                    self.network.close(&mut self.schedule, link.line, Side::Dialer, "closed by the peer");
                }
            }
            Effect::SendDatagram(message) => {
                let (bytes, from) = (message.to_bytes(Dialect::Canonical), self.nodes[number].datagrams);
                for delay in self.network.datagram(&mut self.schedule, host, Host::Registry) {
                    let bytes = bytes.clone();
                    self.schedule.after(delay, Happening::ToRegistry { from, bytes });
                }
            }
            Effect::Dial { stream, addr, secure } => {
                let there =
                    self.nodes.iter().position(|node| (node.ip, node.port) == (addr.ip(), addr.port()));
                let Some(there) = there else {
                    return self.fail(format!("node {number} dials {addr}, where nobody is"));
                };
                let line = self.network.dial(&mut self.schedule, host, Host::Node(there), addr.port());
                let node = &mut self.nodes[number];
                node.streams.insert(line, Stream::new(stream, Side::Dialer, secure));
                node.lines.insert(stream, line);
            }
            Effect::SendPeer { stream, message } => {
                if let Some(line) = self.nodes[number].lines.get(&stream).copied() {
                    self.stream_write(number, line, &message);
                }
            }
            Effect::ClosePeer { stream } => {
                let Some(line) = self.nodes[number].lines.get(&stream).copied() else { return };
                let side = self.nodes[number].streams.get(&line).map(|stream| stream.side);
                self.forget_stream(number, line);
                if let Some(side) = side {
                    self.network.close(&mut self.schedule, line, side, "closed by the other side");
                }
            }
            Effect::File { file, deed } => self.file_effect(number, file, deed),
            Effect::Event(event) => self.user_event(number, event),
            other => self.fail(format!("node {number} wants {other:?}")),
        }
    }
}
