//! Bodies of the fuzz targets.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use p2pchat_proto::{
    Capacity, Description, Detail, Dialect, Extensions, FrameError, Malformed, PasswordDigest, PeerPort,
    RoomName, ToRegistry, ToRegistryDatagram, Username,
};

use crate::{
    Time,
    registry::{
        Config, ConnId, Effect, HashAnswer, HashRequest, OpId, Registry,
        store::{MemoryStore, Read, StoreAnswer, StoreRequest, read},
    },
};

/// What the world may do to a registry. Names come from small pools, so that users and rooms meet.
#[derive(Debug, Arbitrary)]
enum Step {
    Connect,
    Prototype(u8),
    Hello(u8, Option<Extensions>),
    Register(u8, u8),
    Login(u8, u8, Option<PeerPort>),
    Create(u8, u8, u8),
    Join(u8, u8),
    Exit(u8, u8, u8),
    Ask(u8, u8, bool),
    Logout(u8, u8),
    Anything(u8, ToRegistry),
    Oversized(u8),
    Disconnect(u8),
    KeepAlive(u8, u8, Option<u32>),
    /// Answers the oldest question to the store, or to the hash.
    Answer(bool),
    Busy(bool),
    Wait(u16),
}

fn user(n: u8) -> Option<Username> {
    Username::new(&format!("user{}", n % 4)).ok()
}

fn room(n: u8) -> Option<RoomName> {
    RoomName::new(&format!("room{}", n % 3)).ok()
}

#[derive(Default)]
struct World {
    store: MemoryStore,
    writes: VecDeque<(OpId, StoreRequest)>,
    hashes: VecDeque<(OpId, HashRequest)>,
    conns: Vec<Stream>,
}

struct Stream {
    id: ConnId,
    asked: usize,
    closed: bool,
}

/// Feeds a registry machine a sequence of operations and checks what must hold after each.
pub fn registry(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut config = Config::default();
    (config.connections, config.pipeline, config.operations, config.rooms_per_user) = (6, 3, 8, 2);
    let mut registry = Registry::new(config);
    let mut world = World::default();
    let mut now = Time::ZERO;
    // What has no bytes left makes values without end.
    while !input.is_empty()
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        world.step(&mut registry, &mut now, step);
        world.drain(&mut registry);
        let stats = registry.stats();
        assert!(stats.sessions <= 4, "one live session a user");
        assert!(stats.connections <= 6 && stats.operations <= 8);
        if let StoreAnswer::Rooms(rooms) = read(&world.store, &Read::Rooms) {
            assert!(rooms.iter().all(|room| (1..=room.capacity.get()).contains(&room.members)));
        }
    }
}

impl World {
    fn conn(&mut self, n: u8) -> Option<&mut Stream> {
        let index = usize::from(n).checked_rem(self.conns.len())?;
        self.conns.get_mut(index)
    }

    fn say(&mut self, registry: &mut Registry, now: Time, n: u8, message: Option<ToRegistry>) {
        if let Some(stream) = self.conn(n)
            && let Some(message) = message
        {
            stream.asked += 1;
            registry.handle_message(now, stream.id, message);
        }
    }

    fn step(&mut self, registry: &mut Registry, now: &mut Time, step: Step) {
        let at = *now;
        let digest = |n: u8| PasswordDigest::of_password(if n.is_multiple_of(2) { "right" } else { "wrong" });
        let remote = SocketAddr::from(([192, 0, 2, 1], 40_000));
        match step {
            Step::Connect => {
                if let Ok(id) = registry.handle_connected(at, remote) {
                    self.conns.push(Stream { id, asked: 0, closed: false });
                }
            }
            Step::Prototype(c) => {
                if let Some(stream) = self.conn(c) {
                    registry.handle_dialect(stream.id, Dialect::Prototype);
                }
            }
            Step::Hello(c, extensions) => self.say(registry, at, c, Some(ToRegistry::Hello { extensions })),
            Step::Register(c, u) => {
                let message = user(u).map(|username| ToRegistry::Register { username, password: digest(0) });
                self.say(registry, at, c, message);
            }
            Step::Login(c, u, port) => {
                let password = digest(u >> 4);
                let message = user(u).map(|username| ToRegistry::Login { username, password, port });
                self.say(registry, at, c, message);
            }
            Step::Create(c, r, capacity) => {
                let message = room(r).zip(Capacity::new(u32::from(capacity % 3) + 1).ok());
                let message = message.map(|(room, capacity)| ToRegistry::CreateRoom {
                    room,
                    password: (r > 127).then(|| digest(0)),
                    capacity,
                    description: Description::default(),
                });
                self.say(registry, at, c, message);
            }
            Step::Join(c, r) => {
                let password = (r > 63).then(|| digest(r >> 7));
                self.say(registry, at, c, room(r).map(|room| ToRegistry::JoinRoom { room, password }));
            }
            Step::Exit(c, u, r) => {
                let message =
                    user(u).zip(room(r)).map(|(username, room)| ToRegistry::ExitRoom { username, room });
                self.say(registry, at, c, message);
            }
            Step::Ask(c, n, detailed) => {
                let detail = if detailed { Detail::Detailed } else { Detail::Partial };
                let message = match n % 4 {
                    0 => Some(ToRegistry::ListRooms { detail }),
                    1 => Some(ToRegistry::DiscoverPeers { detail, asker: None }),
                    2 => room(n >> 2).map(|room| ToRegistry::DiscoverRoom { room }),
                    _ => user(n >> 2).map(|username| ToRegistry::SearchUser { username }),
                };
                self.say(registry, at, c, message);
            }
            Step::Logout(c, u) => self.say(registry, at, c, Some(ToRegistry::Logout { username: user(u) })),
            Step::Anything(c, message) => self.say(registry, at, c, Some(message)),
            Step::Oversized(c) => {
                if let Some(stream) = self.conn(c) {
                    stream.asked += 1;
                    let malformed = Malformed::Frame(FrameError::TooLong { limit: 1 });
                    registry.handle_malformed(at, stream.id, malformed);
                }
            }
            Step::Disconnect(c) => {
                if let Some(stream) = self.conn(c) {
                    registry.handle_disconnected(at, stream.id);
                }
            }
            Step::KeepAlive(u, ip, timeout) => {
                let from = SocketAddr::from(([192, 0, 2, ip % 2 + 1], 40_000));
                if let Some(username) = user(u) {
                    registry.handle_datagram(at, from, ToRegistryDatagram::KeepAlive { username, timeout });
                }
            }
            Step::Answer(true) => {
                if let Some((op, request)) = self.writes.pop_front() {
                    registry.handle_stored(at, op, self.store.answer(&request));
                }
            }
            Step::Answer(false) => {
                if let Some((op, request)) = self.hashes.pop_front() {
                    registry.handle_hashed(at, op, hash(&request));
                }
            }
            Step::Busy(true) => {
                if let Some((op, _)) = self.writes.pop_front() {
                    registry.handle_stored(
                        at,
                        op,
                        StoreAnswer::Failed(crate::registry::store::StoreError::Busy),
                    );
                }
            }
            Step::Busy(false) => {
                if let Some((op, _)) = self.hashes.pop_front() {
                    registry.handle_hashed(at, op, HashAnswer::Busy);
                }
            }
            Step::Wait(millis) => {
                *now = at + Duration::from_millis(millis.into());
                registry.handle_timeout(*now);
                assert!(registry.poll_timeout().is_none_or(|due| due > *now), "what was due is done");
            }
        }
    }

    fn drain(&mut self, registry: &mut Registry) {
        while let Some(effect) = registry.poll_effect() {
            match effect {
                Effect::Send { conn, .. } => {
                    let open = self.conns.iter().any(|stream| stream.id == conn && !stream.closed);
                    assert!(open, "nothing is sent to a stream that is closed");
                }
                Effect::Close { conn } => {
                    for stream in self.conns.iter_mut().filter(|stream| stream.id == conn) {
                        assert!(!stream.closed, "a stream is closed once");
                        stream.closed = true;
                    }
                }
                Effect::Store { op, request } => self.writes.push_back((op, request)),
                Effect::Hash { op, request } => self.hashes.push_back((op, request)),
                Effect::SendDatagram { .. } | Effect::Publish(_) => {}
            }
        }
    }
}

fn hash(request: &HashRequest) -> HashAnswer {
    match request {
        HashRequest::Create { digest } => HashAnswer::Created(digest.expose().into()),
        HashRequest::Verify { digest, stored } if stored.as_deref() == Some(digest.expose()) => {
            HashAnswer::Match { upgraded: None }
        }
        HashRequest::Verify { .. } => HashAnswer::Mismatch,
    }
}
