//! Peers and the registry, all of them machines, connected in memory by the bytes of the wire on one virtual clock.

mod slow;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::BytesMut;
use p2pchat_core::{
    Time,
    peer::{Config, Effect, Event, RequestId, StreamId},
    registry::{self, ConnId, HashAnswer, HashRequest, Registry, store::MemoryStore},
};
use p2pchat_proto::{
    Dialect, FromRegistryDatagram, Limits, LinkKey, Message, PeerMessage, SessionToken, ToRegistryDatagram,
    codec::{ClientCodec, PeerCodec, RegistryCodec},
};
use tokio_util::codec::{Decoder, Encoder};

use self::slow::Coming;
use crate::{
    files::Disk,
    solo::{Solo, digest, user},
};

pub(crate) const PORT: u16 = 4_000;

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    /// Whoever's number is in here can't be dialled, hears nothing from other peers, and sends no datagram.
    pub(crate) dead: BTreeSet<usize>,
    /// Whoever's number is in here has the registry, and nothing comes through to and from other peers.
    pub(crate) apart: BTreeSet<usize>,
    /// After how many more bytes on streams between peers the one is cut that has the next.
    pub(crate) cut_after: Option<usize>,
    /// How many bytes have gone over them.
    pub(crate) talked: usize,
    /// What is said on streams between peers, and that they end, is on its way until `arrive` or `make_whole`: nothing is lost
    /// of it, not even to who is apart.
    pub(crate) slow: bool,
    /// What everybody's application was told, in order.
    pub(crate) heard: Vec<(usize, Event)>,
    config: Config,
    registry: Option<Registry>,
    settings: registry::Config,
    pub(crate) store: MemoryStore,
    /// How many session tokens the registry has made.
    tokens: u64,
    /// How many passwords were hashed or compared.
    pub(crate) hashed: usize,
}

/// A peer and its ends of streams.
pub(crate) struct Node {
    pub(crate) solo: Solo,
    pub(crate) log: Vec<String>,
    /// How often each command has ended.
    pub(crate) ended: BTreeMap<RequestId, usize>,
    pub(crate) disk: Disk,
    /// Its application takes its time to confirm what it is handed.
    pub(crate) dawdles: bool,
    link: Option<Link>,
    streams: BTreeMap<StreamId, End>,
}

impl Node {
    /// How many streams it has.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }
}

struct Link {
    conn: ConnId,
    client: ClientCodec,
    server: RegistryCodec,
}

struct End {
    node: usize,
    stream: StreamId,
    codec: PeerCodec,
    /// What is on its way to this end.
    coming: VecDeque<Coming>,
    /// Nothing comes through any more, and nobody says so.
    broken: bool,
}

fn ip(node: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, u8::try_from(node + 1).unwrap()])
}

/// The key that a node holds.
pub(crate) fn link_key(node: usize) -> LinkKey {
    LinkKey::from_bytes([u8::try_from(node).unwrap(); 32])
}

fn node_at(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(ip) => usize::from(ip.octets()[3]) - 1,
        IpAddr::V6(_) => panic!("{ip} is nobody's"),
    }
}

impl World {
    /// A registry, and as many peers as there are names, registered and logged in.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::with(names, &Config::default())
    }

    pub(crate) fn with(names: &[&str], config: &Config) -> Self {
        Self::of(names, config, registry::Config::default())
    }

    /// With a registry of these settings.
    pub(crate) fn of(names: &[&str], config: &Config, settings: registry::Config) -> Self {
        let registry = Some(Registry::new(settings.clone(), 7));
        let mut world = Self {
            now: Time::ZERO,
            nodes: Vec::new(),
            dead: BTreeSet::new(),
            apart: BTreeSet::new(),
            cut_after: None,
            talked: 0,
            slow: false,
            heard: Vec::new(),
            config: config.clone(),
            registry,
            settings,
            store: MemoryStore::new(),
            tokens: 0,
            hashed: 0,
        };
        for (seed, name) in (0..).zip(names) {
            let mut solo = Solo::seeded(config.clone(), seed);
            solo.peer.set_link_key(Some(link_key(world.nodes.len()))).unwrap();
            let (log, ended) = (Vec::new(), BTreeMap::new());
            let node = world.nodes.len();
            let disk = Disk::default();
            world.nodes.push(Node {
                solo,
                log,
                ended,
                disk,
                dawdles: false,
                link: None,
                streams: BTreeMap::new(),
            });
            let peer = &mut world.nodes[node].solo.peer;
            peer.register(world.now, user(name), digest("secret"));
            world.run();
            world.login(node, name);
        }
        world
    }

    pub(crate) fn login(&mut self, node: usize, name: &str) {
        let port = p2pchat_proto::PeerPort::new(PORT.into()).unwrap();
        self.nodes[node].solo.peer.login(self.now, user(name), digest("secret"), Some(port));
        self.run();
    }

    /// What the application of a peer was told since the last look.
    pub(crate) fn told(&mut self, node: usize) -> Vec<String> {
        self.run();
        std::mem::take(&mut self.nodes[node].log)
    }

    pub(crate) fn forget(&mut self) {
        for node in 0..self.nodes.len() {
            self.told(node);
        }
    }

    /// The registry is gone from one moment to the next, with all that it held in memory.
    pub(crate) fn kill_registry(&mut self) {
        self.registry = None;
        for node in &mut self.nodes {
            if node.link.take().is_some() {
                node.solo.peer.handle_registry_closed(self.now, "reset".to_owned());
            }
        }
        self.run();
    }

    pub(crate) fn restart_registry(&mut self) {
        self.kill_registry();
        self.registry = Some(Registry::new(self.settings.clone(), 7));
    }

    /// Cuts a peer's registry link without a word to either end's application.
    pub(crate) fn cut_link(&mut self, node: usize) {
        if let Some(link) = self.nodes[node].link.take() {
            if let Some(registry) = &mut self.registry {
                registry.handle_disconnected(self.now, link.conn);
            }
            self.nodes[node].solo.peer.handle_registry_closed(self.now, "cut".to_owned());
        }
        self.run();
    }

    /// A program starts anew on a peer's machine: its streams break, its state is gone.
    pub(crate) fn restart_node(&mut self, node: usize) {
        for stream in self.nodes[node].streams.keys().copied().collect::<Vec<_>>() {
            self.close_stream(node, stream);
        }
        self.nodes[node].solo = Solo::seeded(self.config.clone(), 99);
        self.nodes[node].solo.peer.set_link_key(Some(link_key(node))).unwrap();
        self.nodes[node].log.clear();
        self.cut_link(node);
    }

    /// Cuts all of a peer's streams to others.
    pub(crate) fn cut_streams(&mut self, node: usize) {
        for stream in self.nodes[node].streams.keys().copied().collect::<Vec<_>>() {
            self.cut_stream(node, stream);
        }
        self.run();
    }

    fn cut_stream(&mut self, node: usize, stream: StreamId) {
        self.close_stream(node, stream);
        self.nodes[node].solo.peer.handle_stream_closed(self.now, stream, "cut".to_owned());
    }

    /// Lets time pass, jumping from deadline to deadline.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run();
        loop {
            let peers = self.nodes.iter().filter_map(|node| node.solo.peer.poll_timeout());
            let registry = self.registry.as_ref().and_then(Registry::poll_timeout);
            let Some(next) = peers.chain(registry).min().filter(|&at| at <= end) else { break };
            self.now = next.max(self.now);
            for node in &mut self.nodes {
                let peer = &mut node.solo.peer;
                peer.handle_timeout(self.now);
                assert!(
                    peer.poll_timeout().is_none_or(|next| next > self.now),
                    "the clock would stand still"
                );
            }
            if let Some(registry) = &mut self.registry {
                registry.handle_timeout(self.now);
            }
            self.run();
        }
        self.now = end;
    }

    /// Carries out effects until there are none.
    pub(crate) fn run(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for node in 0..self.nodes.len() {
                while let Some(effect) = self.nodes[node].solo.peer.poll_effect() {
                    busy = true;
                    self.peer_effect(node, effect);
                }
            }
            while let Some(effect) = self.registry.as_mut().and_then(Registry::poll_effect) {
                busy = true;
                self.registry_effect(effect);
            }
        }
    }

    fn peer_effect(&mut self, node: usize, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::ConnectRegistry => self.connect(node),
            Effect::CloseRegistry | Effect::ParkRegistry => {
                if let (Some(link), Some(registry)) = (self.nodes[node].link.take(), &mut self.registry) {
                    registry.handle_disconnected(now, link.conn);
                }
            }
            Effect::SendRegistry(message) => {
                let (Some(link), Some(registry)) = (&mut self.nodes[node].link, &mut self.registry) else {
                    return;
                };
                let mut bytes = BytesMut::new();
                link.client.encode(&message, &mut bytes).unwrap();
                while let Some(message) = link.server.decode(&mut bytes).unwrap() {
                    registry.handle_message(now, link.conn, message.unwrap());
                }
            }
            Effect::SendDatagram(message) => {
                let frame = message.to_bytes(Dialect::Canonical);
                let message = ToRegistryDatagram::parse(&frame, Dialect::Canonical, &Limits::DEFAULT);
                if let Some(registry) = self.registry.as_mut().filter(|_| !self.dead.contains(&node)) {
                    registry.handle_datagram(now, SocketAddr::new(ip(node), 50_001), message.unwrap());
                }
            }
            Effect::Dial { stream, addr, secure } => self.dial(node, stream, addr, secure),
            Effect::SendPeer { stream, message } => {
                let Some(end) = self.nodes[node].streams.get_mut(&stream) else { return };
                let mut bytes = BytesMut::new();
                end.codec.encode(&message, &mut bytes).unwrap();
                let whole = bytes.len();
                let sent = self.cut_after.map_or(whole, |left| left.min(whole));
                self.talked += sent;
                bytes.truncate(sent);
                let is_cut = self.cut_after.is_some_and(|left| left <= whole);
                self.cut_after = self.cut_after.filter(|_| !is_cut).map(|left| left - sent);
                if sent < whole {
                    assert!(end.codec.decode(&mut bytes).unwrap().is_none());
                    return self.cut_stream(node, stream);
                }
                let message = end.codec.decode(&mut bytes).unwrap().unwrap().unwrap();
                let (other, theirs) = (end.node, end.stream);
                if self.is_on_its_way(other, theirs) {
                    self.comes(other, theirs, Coming::Said(message));
                } else if !self.dead.contains(&other) && !self.are_apart(node, other) {
                    self.nodes[other].solo.peer.handle_stream_message(now, theirs, message);
                }
                if is_cut {
                    self.cut_stream(node, stream);
                }
            }
            Effect::ClosePeer { stream } => self.close_stream(node, stream),
            Effect::File { file, deed } => {
                let Node { solo, disk, .. } = &mut self.nodes[node];
                disk.work(&mut solo.peer, now, file, deed);
            }
            Effect::Event(event) => self.tell(node, event),
            other => panic!("{other:?}"),
        }
    }

    fn connect(&mut self, node: usize) {
        let peer = &mut self.nodes[node].solo.peer;
        let Some(registry) = &mut self.registry else {
            return peer.handle_registry_closed(self.now, "refused".to_owned());
        };
        let conn = registry.handle_connected(self.now, SocketAddr::new(ip(node), 50_000)).unwrap();
        let (mut client, mut server) =
            (ClientCodec::new(Limits::DEFAULT), RegistryCodec::new(Limits::DEFAULT));
        client.set_dialect(Dialect::Canonical);
        server.set_dialect(Dialect::Canonical);
        peer.handle_registry_connected(self.now, Some(Dialect::Canonical));
        self.nodes[node].link = Some(Link { conn, client, server });
    }

    fn dial(&mut self, node: usize, stream: StreamId, addr: SocketAddr, secure: Option<PeerMessage>) {
        let (other, now) = (node_at(addr.ip()), self.now);
        if self.dead.contains(&other) || self.are_apart(node, other) {
            return;
        }
        let theirs = self.nodes[other].solo.peer.accept_stream(now, SocketAddr::new(ip(node), 50_002));
        let peer = &mut self.nodes[node].solo.peer;
        let Some(theirs) = theirs.filter(|_| addr.port() == PORT) else {
            return peer.handle_stream_closed(now, stream, "refused".to_owned());
        };
        peer.handle_stream_connected(now, stream);
        if let Some(first) = secure {
            self.nodes[other].solo.peer.handle_stream_message(now, theirs, first);
            self.nodes[other].solo.peer.handle_stream_secured(now, theirs, link_key(node));
            self.nodes[node].solo.peer.handle_stream_secured(now, stream, link_key(other));
        }
        let end = |node, stream| End {
            node,
            stream,
            codec: PeerCodec::new(Limits::DEFAULT),
            coming: VecDeque::new(),
            broken: false,
        };
        self.nodes[node].streams.insert(stream, end(other, theirs));
        self.nodes[other].streams.insert(theirs, end(node, stream));
    }

    fn are_apart(&self, node: usize, other: usize) -> bool {
        self.apart.contains(&node) || self.apart.contains(&other)
    }

    /// Ends a stream; the other side is told.
    fn close_stream(&mut self, node: usize, stream: StreamId) {
        let Some(end) = self.nodes[node].streams.remove(&stream) else { return };
        if self.is_on_its_way(end.node, end.stream) {
            self.comes(end.node, end.stream, Coming::Closed);
        } else {
            self.stream_closes(end.node, end.stream);
        }
    }

    fn stream_closes(&mut self, node: usize, stream: StreamId) {
        if self.nodes[node].streams.remove(&stream).is_some() {
            let why = "closed by the other side".to_owned();
            self.nodes[node].solo.peer.handle_stream_closed(self.now, stream, why);
        }
    }

    fn tell(&mut self, node: usize, event: Event) {
        self.heard.push((node, event.clone()));
        let Node { solo, log, ended, dawdles, .. } = &mut self.nodes[node];
        if let Event::Completed { request, .. } = &event {
            *ended.entry(*request).or_default() += 1;
        }
        if let Event::Message { receipt, .. } | Event::Broadcast { receipt, .. } = &event
            && !*dawdles
        {
            solo.peer.confirm(self.now, *receipt);
        }
        log.push(solo.tell_event(event));
    }

    fn registry_effect(&mut self, effect: registry::Effect) {
        let now = self.now;
        let Some(registry) = &mut self.registry else { return };
        match effect {
            registry::Effect::Send { conn, message } => {
                let Some(node) = self.nodes.iter_mut().find(|node| node.is_on(conn)) else { return };
                let Some(link) = &mut node.link else { return };
                let mut bytes = BytesMut::new();
                link.server.encode(&message, &mut bytes).unwrap();
                while let Some(message) = link.client.decode(&mut bytes).unwrap() {
                    node.solo.peer.handle_registry_message(now, message.unwrap());
                }
            }
            registry::Effect::SendPeers { conn, peers } => {
                let message = peers.to_message().unwrap();
                self.registry_effect(registry::Effect::Send { conn, message });
            }
            registry::Effect::Close { conn } => {
                if let Some(node) = self.nodes.iter_mut().find(|node| node.is_on(conn)) {
                    node.link = None;
                    node.solo.peer.handle_registry_closed(now, "closed by the registry".to_owned());
                }
            }
            registry::Effect::SendDatagram { to, message } => {
                let frame = message.to_bytes(Dialect::Canonical);
                let message =
                    FromRegistryDatagram::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap();
                self.nodes[node_at(to.ip())].solo.peer.handle_datagram(now, message);
            }
            registry::Effect::Store { op, request } => {
                registry.handle_stored(now, op, self.store.answer(&request));
            }
            registry::Effect::Token { op } => {
                self.tokens += 1;
                let mut bits = [0; 32];
                bits[..8].copy_from_slice(&self.tokens.to_be_bytes());
                let (token, unix_now) =
                    (SessionToken::from_random(bits), self.now.since(Time::ZERO).as_secs());
                let answer = registry::TokenAnswer::Fresh { token, unix_now };
                registry.handle_token(self.now, op, answer);
            }
            registry::Effect::Hash { op, request } => {
                self.hashed += 1;
                let answer = match request {
                    HashRequest::Create { digest } => HashAnswer::Created(digest.expose().into()),
                    HashRequest::Verify { digest, stored: Some(stored) } if *stored == *digest.expose() => {
                        HashAnswer::Match { upgraded: None }
                    }
                    _ => HashAnswer::Mismatch,
                };
                registry.handle_hashed(now, op, answer);
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Node {
    fn is_on(&self, conn: ConnId) -> bool {
        self.link.as_ref().is_some_and(|link| link.conn == conn)
    }
}
