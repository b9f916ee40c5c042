//! The registry machine with 1 k, 100 k and 1 M sessions: lookups, joins, keep-alives, logins.
#![allow(clippy::expect_used, clippy::panic, missing_docs)] // a benchmark that can't run fails by panicking

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use fastrand::Rng;
use p2pchat_benches::{
    floor,
    world::{World, nobody, room, user},
};
use p2pchat_core::registry::ConnId;
use p2pchat_proto::{Dialect, Limits, Message, ToRegistry, Username};

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
                    world.keep_alive(username);
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("login and disconnect", users), |b| {
            let n = users;
            world.register(n);
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
