//! The registry machine with 1 k, 100 k and 1 M sessions: lookups, joins, keep-alives, logins.
#![allow(clippy::expect_used, clippy::panic, missing_docs)] // a benchmark that can't run fails by panicking

use std::{hint::black_box, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use fastrand::Rng;
use p2pchat_benches::floor;
use p2pchat_core::{
    Time,
    registry::{
        Config, ConnId, Effect, HashAnswer, PrefixLimits, Registry,
        store::{MemoryStore, Write, write},
    },
};
use p2pchat_proto::{
    Capabilities, Capacity, Description, Dialect, Found, FromRegistry, Limits, Message, Outcome,
    PasswordDigest, PeerPort, RoomName, SearchReply, ToRegistry, ToRegistryDatagram, Username,
};

/// A registry on whose machine `users` are logged in.
struct World {
    registry: Registry,
    store: MemoryStore,
    conns: Vec<ConnId>,
    now: Time,
    digest: PasswordDigest,
}

/// Picks users at random, but the first, whose membership keeps the room.
struct Picker {
    conns: Vec<ConnId>,
    rng: Rng,
}

impl Picker {
    fn pick(&mut self) -> (ConnId, Username) {
        let n = self.rng.usize(1..self.conns.len());
        (self.conns.get(n).copied().expect("in range"), user(n))
    }
}

const ADDR: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);

fn user(n: usize) -> Username {
    Username::new(&format!("somebody{n}")).expect("a username")
}

fn nobody() -> Username {
    Username::new("nobody").expect("a username")
}

fn room() -> RoomName {
    RoomName::new("the room").expect("a room name")
}

impl World {
    fn new(users: usize) -> Self {
        let mut config = Config::default();
        config.prefixes = PrefixLimits::NONE;
        config.connections = users + 16;
        config.max_lease = Duration::from_secs(1_000_000);
        config.default_lease = config.max_lease;
        let mut world = Self {
            registry: Registry::new(config),
            store: MemoryStore::new(),
            conns: Vec::with_capacity(users),
            now: Time::ZERO,
            digest: PasswordDigest::of_password("password"),
        };
        for n in 0..users {
            let register = Write::Register { username: user(n), password: "hash".into(), invite: None };
            black_box(write(&mut world.store, &register));
            let conn = world.connect();
            world.log_in(conn, n);
            world.conns.push(conn);
        }
        let create = ToRegistry::CreateRoom {
            room: room(),
            password: None,
            capacity: Capacity::new(100_000).expect("in range"),
            description: Description::default(),
        };
        world.say(*world.conns.first().expect("somebody"), create);
        world
    }

    fn connect(&mut self) -> ConnId {
        let conn =
            self.registry.handle_connected(self.now, SocketAddr::from(ADDR)).expect("within the limit");
        self.say(conn, ToRegistry::Hello { extensions: None });
        conn
    }

    fn log_in(&mut self, conn: ConnId, n: usize) {
        let port = PeerPort::new(4000).ok();
        self.say(conn, ToRegistry::Login { username: user(n), password: self.digest.clone(), port });
    }

    /// Says something and returns the last thing that the registry did about it.
    fn say(&mut self, conn: ConnId, message: ToRegistry) -> Option<Effect> {
        self.registry.handle_message(self.now, conn, message);
        self.drain()
    }

    fn drain(&mut self) -> Option<Effect> {
        let mut last = None;
        while let Some(effect) = self.registry.poll_effect() {
            match effect {
                Effect::Store { op, request } => {
                    let answer = self.store.answer(&request);
                    self.registry.handle_stored(self.now, op, answer);
                }
                Effect::Hash { op, .. } => {
                    self.registry.handle_hashed(self.now, op, HashAnswer::Match { upgraded: None });
                }
                other => last = Some(other),
            }
        }
        last
    }

    /// That what is measured is what happens.
    fn check(&mut self, users: usize) {
        assert_eq!(self.registry.stats().sessions, users);
        let (conn, username) = (*self.conns.last().expect("somebody"), user(users - 1));
        let mut expect = |message, reply| match self.say(conn, message) {
            Some(Effect::Send { message, .. }) => assert!(message == reply, "{message:?}"),
            other => panic!("no reply but {other:?}"),
        };
        let found = Found {
            username: Some(user(0)),
            port: 4000,
            ip: ADDR.0.into(),
            capabilities: Capabilities::NONE,
        };
        expect(ToRegistry::SearchUser { username: user(0) }, FromRegistry::Search(SearchReply::Found(found)));
        let unknown = FromRegistry::Search(SearchReply::NotFound { reason: None });
        expect(ToRegistry::SearchUser { username: nobody() }, unknown);
        let join = ToRegistry::JoinRoom { room: room(), password: None };
        expect(join, FromRegistry::Join(Outcome::Success));
        expect(ToRegistry::ExitRoom { username, room: room() }, FromRegistry::RoomExit(Outcome::Success));
    }
}

fn machine(c: &mut Criterion) {
    let mut group = c.benchmark_group("registry");
    group.sample_size(30);

    let line = Bytes::from_static(b"SEARCH_USER <somebody123456>\n");
    group.bench_function("floor of a line", |b| {
        b.iter_batched_ref(|| BytesMut::from(&line[..]), floor, BatchSize::SmallInput);
    });
    let frame = line.slice(..line.len() - 1);
    group.bench_function("parse of a line", |b| {
        b.iter(|| ToRegistry::parse(black_box(&frame), Dialect::Canonical, &Limits::DEFAULT));
    });

    for users in [1_000, 100_000, 1_000_000] {
        let mut world = World::new(users);
        world.check(users);
        let mut picker = Picker { conns: world.conns.clone(), rng: Rng::with_seed(7) };
        group.bench_function(BenchmarkId::new("lookup, online", users), |b| {
            b.iter_batched(
                || (picker.pick().0, picker.pick().1),
                |(conn, username)| world.say(conn, ToRegistry::SearchUser { username }),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("lookup, unknown", users), |b| {
            b.iter_batched(
                || (picker.pick().0, nobody()),
                |(conn, username)| world.say(conn, ToRegistry::SearchUser { username }),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("join and exit", users), |b| {
            b.iter_batched(
                || picker.pick(),
                |(conn, username)| {
                    world.say(conn, ToRegistry::JoinRoom { room: room(), password: None });
                    world.say(conn, ToRegistry::ExitRoom { username, room: room() });
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("keep-alive", users), |b| {
            b.iter_batched(
                || picker.pick().1,
                |username| {
                    world.now = world.now + Duration::from_micros(10);
                    let keep_alive = ToRegistryDatagram::KeepAlive { username, timeout: Some(120) };
                    world.registry.handle_datagram(world.now, SocketAddr::from(ADDR), keep_alive);
                    world.drain();
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("login and disconnect", users), |b| {
            let n = users;
            black_box(write(
                &mut world.store,
                &Write::Register { username: user(n), password: "hash".into(), invite: None },
            ));
            b.iter(|| {
                let conn = world.connect();
                world.log_in(conn, n);
                world.registry.handle_disconnected(world.now, conn);
                world.drain();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, machine);
criterion_main!(benches);
