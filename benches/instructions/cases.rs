//! What is counted.
#![allow(clippy::expect_used)] // a count of what doesn't work is none

use std::hint::black_box;

use bytes::BytesMut;
use fastrand::Rng;
use p2pchat_benches::{
    frames::{asking_codec, list, message, registry_codec, request},
    world::{World, nobody, room, user},
};
use p2pchat_core::registry::{ConnId, Effect};
use p2pchat_proto::{
    Capabilities, Capability, Detail, Dialect, Limits, Message, ToRegistry, Username, codec::PeerCodec,
};
use tokio_util::codec::Decoder;

/// A name, how many operations are counted together, and what does them.
pub(crate) type Case = (&'static str, u64, fn());

const FEW: u64 = 16;
const MANY: u64 = 256;
/// Users online.
const USERS: usize = 1_000;
const MEMBERS: usize = 100;

pub(crate) const CASES: [Case; 17] = [
    ("decode a short request", MANY, || decode(&request(), MANY, registry_codec)),
    ("decode a 64-byte message", MANY, || decode(&message(64), MANY, peer_codec)),
    ("decode a 16 KiB message", FEW, || decode(&message(16_384), FEW, peer_codec)),
    ("decode a list of 1,000", 1, || decode(&list(), 1, asking_codec)),
    ("decode 1 KiB whole", 1, || pieces(1_024, usize::MAX)),
    ("decode 1 KiB byte by byte", 1, || pieces(1_024, 1)),
    ("decode 16 KiB byte by byte", 1, || pieces(16_384, 1)),
    ("encode a short request", MANY, || encode(&request(), MANY)),
    ("encode a 64-byte message", MANY, || encode(&message(64), MANY)),
    ("encode a 16 KiB message", FEW, || encode(&message(16_384), FEW)),
    ("encode a list of 1,000", 1, || encode(&list(), 1)),
    ("look up, online", MANY, || {
        machine(|world, conn, username| world.say(conn, ToRegistry::SearchUser { username }));
    }),
    ("look up, unknown", MANY, || {
        let username = nobody();
        machine(move |world, conn, _| world.say(conn, ToRegistry::SearchUser { username: username.clone() }));
    }),
    ("keep-alive", MANY, || machine(|world, _, username| world.keep_alive(username))),
    ("list 1,000", 1, || {
        let mut world = World::new(USERS + 1);
        let (asker, detail) = (conn(&world, 0), Detail::Detailed);
        twice(|| assert!(world.say(asker, ToRegistry::DiscoverPeers { detail, asker: None }).is_some()));
    }),
    ("log in and disconnect", MANY, || {
        let mut world = World::new(USERS);
        world.register(USERS);
        twice(|| {
            for _ in 0..MANY {
                let conn = world.connect();
                world.log_in(conn, USERS);
                world.registry.handle_disconnected(world.now, conn);
                world.drain();
            }
        });
    }),
    ("join and leave, 100 are told", FEW, roster),
];

/// What is counted is what happens in here, which callgrind knows by its name.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

/// Once for what is done only the first time, and once more, counted.
fn twice(mut work: impl FnMut()) {
    work();
    counted(&mut work);
}

fn peer_codec() -> PeerCodec {
    PeerCodec::new(Limits::DEFAULT)
}

fn decode<C: Decoder>(message: &impl Message, times: u64, codec: impl Fn() -> C) {
    let wire = message.to_bytes(Dialect::Canonical);
    let mut inputs = [(); 2].map(|()| (codec(), BytesMut::from(wire.repeat(times as usize).as_slice())));
    let mut inputs = inputs.iter_mut();
    twice(|| {
        let (codec, buf) = inputs.next().expect("two");
        let mut decoded = 0;
        while let Ok(Some(item)) = codec.decode(buf) {
            black_box(item);
            decoded += 1;
        }
        assert_eq!(decoded, times);
    });
}

fn pieces(size: usize, piece: usize) {
    let wire = message(size).to_bytes(Dialect::Canonical);
    twice(|| {
        let (mut codec, mut buf) = (peer_codec(), BytesMut::with_capacity(wire.len()));
        let mut decoded = 0;
        for piece in wire.chunks(piece.min(wire.len())) {
            buf.extend_from_slice(piece);
            decoded += usize::from(codec.decode(&mut buf).is_ok_and(|item| item.is_some()));
        }
        assert_eq!(decoded, 1);
    });
}

fn encode(message: &impl Message, times: u64) {
    let mut out = BytesMut::with_capacity(message.to_bytes(Dialect::Canonical).len() * times as usize);
    twice(|| {
        out.clear();
        for _ in 0..times {
            black_box(message).encode(&mut out, Dialect::Canonical);
        }
    });
}

fn machine(act: impl Fn(&mut World, ConnId, Username) -> Option<Effect>) {
    let mut world = World::new(USERS);
    world.check(USERS);
    let mut rng = Rng::with_seed(7);
    let mut pick = || {
        let n = rng.usize(1..USERS);
        (conn(&world, n), user(n))
    };
    let picks: [Vec<_>; 2] = [(); 2].map(|()| (0..MANY).map(|_| pick()).collect());
    let mut picks = picks.into_iter();
    twice(|| {
        for (conn, username) in picks.next().expect("two") {
            black_box(act(&mut world, conn, username));
        }
    });
}

fn conn(world: &World, n: usize) -> ConnId {
    *world.conns.get(n).expect("in range")
}

fn roster() {
    let mut world = World::with(MEMBERS + 1, Capabilities::from_iter([Capability::Roster]));
    let join = || ToRegistry::JoinRoom { room: room(), password: None };
    for n in 1..=MEMBERS {
        world.say(conn(&world, n), join());
    }
    let last = conn(&world, MEMBERS);
    let (username, room) = (user(MEMBERS), room());
    twice(|| {
        let before = world.sent;
        for _ in 0..FEW {
            world.say(last, ToRegistry::ExitRoom { username: username.clone(), room: room.clone() });
            world.say(last, join());
        }
        // The owner and the other members are told of both.
        assert!(world.sent - before >= FEW * 2 * MEMBERS as u64);
    });
}
