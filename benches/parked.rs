//! Parked sessions on one registry machine: what each takes in memory, and what its keep-alives take in processor time.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)] // a benchmark that can't run fails by panicking

use std::{
    alloc::System,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use cap::Cap;
use clap::Parser;
use p2pchat_core::{
    Time,
    registry::{
        Config, ConnId, Effect, HashAnswer, PrefixLimits, Registry, TokenAnswer,
        store::{Read, Secret, StoreAnswer, StoreRequest, Write},
    },
};
use p2pchat_proto::{
    Capabilities, Dialect, Extensions, FromRegistryDatagram, Limits, Message, PROTOCOL_VERSION,
    PasswordDigest, PeerPort, RoomName, SessionTicket, SessionToken, ToRegistry, ToRegistryDatagram,
    Username,
};
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// So many users are in a room, each in one.
const IN_A_ROOM: usize = 50;
/// Every session is kept alive once in so long.
const ROUND: Duration = Duration::from_secs(30);
/// So many keep-alives are made, and then handled, at a time.
const CHUNK: usize = 1_000;
/// As the driver does: so many are received at once.
const TOGETHER: usize = 32;
/// How much each size is measured at least.
const LEAST: usize = 1_000_000;

/// Parks sessions on one registry machine and keeps them alive.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many sessions, one size after the other.
    #[arg(long, value_delimiter = ',', default_value = "1000,100000,1000000")]
    sessions: Vec<usize>,
}

/// What was measured, an object a line.
#[derive(Debug, Serialize)]
struct Figures {
    sessions: usize,
    allocated_bytes_each: usize,
    resident_bytes_each: Option<usize>,
    keep_alive_ns: u64,
    cpu_seconds_a_round: f64,
    of_a_processor: f64,
    /// Beside the first size's.
    ratio: f64,
}

struct World {
    registry: Registry,
    now: Time,
    tokens: u64,
    /// Who logs in.
    user: usize,
    /// What has come at once.
    messages: Vec<(SocketAddr, ToRegistryDatagram)>,
}

fn main() {
    let mut first = None;
    for sessions in Arguments::parse().sessions {
        let (heap, resident) = (ALLOCATOR.allocated(), resident());
        let mut world = World::with_parked(sessions);
        let heap = ALLOCATOR.allocated() - heap;
        let resident = resident_since(resident);
        let keep_alive = world.keep_alive(sessions);
        let each = keep_alive.as_secs_f64();
        let round = each * f64::from(u32::try_from(sessions).expect("fewer"));
        let figures = Figures {
            sessions,
            allocated_bytes_each: heap / sessions,
            // A page is all that a small one can be told by.
            resident_bytes_each: (sessions >= 100_000).then_some(resident / sessions),
            keep_alive_ns: u64::try_from(keep_alive.as_nanos()).expect("short"),
            cpu_seconds_a_round: round,
            of_a_processor: round / ROUND.as_secs_f64(),
            ratio: each / *first.get_or_insert(each),
        };
        println!("{}", serde_json::to_string(&figures).expect("figures"));
    }
}

fn user(n: usize) -> Username {
    Username::new(&format!("somebody{n}")).expect("a username")
}

fn room(n: usize) -> RoomName {
    RoomName::new(&format!("room {}", n / IN_A_ROOM)).expect("a room name")
}

fn address(n: usize) -> SocketAddr {
    let ip = 0x0a00_0000 | u32::try_from(n).expect("fewer");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(ip)), 40_000)
}

/// A user's token, and their ticket, of those that there have been.
fn secret(n: u64) -> [u8; 32] {
    let mut bits = [0xa5; 32];
    bits[..8].copy_from_slice(&n.to_be_bytes());
    bits
}

fn ticket(n: usize) -> SessionTicket {
    SessionTicket::from_random(secret(2 * u64::try_from(n).expect("fewer") + 2))
}

impl World {
    fn with_parked(sessions: usize) -> Self {
        let mut config = Config::default();
        (config.prefixes, config.parked) = (PrefixLimits::NONE, sessions);
        let mut world = Self {
            registry: Registry::new(config, 7),
            now: Time::ZERO,
            tokens: 0,
            user: 0,
            messages: Vec::new(),
        };
        let extensions = Some(Extensions {
            version: PROTOCOL_VERSION,
            capabilities: Capabilities::parse("reason,resume,ticket,park"),
        });
        // People don't come in the order of their names.
        let mut order: Vec<_> = (0..sessions).collect();
        fastrand::Rng::with_seed(3).shuffle(&mut order);
        for n in order {
            (world.user, world.tokens) = (n, 2 * u64::try_from(n).expect("fewer"));
            let conn = world.registry.handle_connected(world.now, address(n)).expect("within the limit");
            let password = PasswordDigest::of_password("password");
            world.say(conn, ToRegistry::Hello { extensions });
            world
                .say(conn, ToRegistry::Login { username: user(n), password, port: PeerPort::new(4000).ok() });
            world.say(conn, ToRegistry::Park { username: user(n) });
            world.registry.handle_datagram(world.now, address(n), proven(n, 1));
            while world.registry.poll_effect().is_some() {}
        }
        let stats = world.registry.stats();
        assert_eq!((stats.parked, stats.connections, stats.operations), (sessions, 0, 0));
        world
    }

    fn say(&mut self, conn: ConnId, message: ToRegistry) {
        self.registry.handle_message(self.now, conn, message);
        while let Some(effect) = self.registry.poll_effect() {
            match effect {
                Effect::Store { op, request } => {
                    self.registry.handle_stored(self.now, op, self.stored(&request))
                }
                Effect::Hash { op, .. } => {
                    self.registry.handle_hashed(self.now, op, HashAnswer::Match { upgraded: None });
                }
                Effect::Token { op } => {
                    self.tokens += 1;
                    let token = SessionToken::from_random(secret(self.tokens));
                    self.registry.handle_token(self.now, op, TokenAnswer::Fresh { token, unix_now: 1 });
                }
                _ => {}
            }
        }
    }

    /// A store that isn't in this process.
    fn stored(&self, request: &StoreRequest) -> StoreAnswer {
        match request {
            StoreRequest::Read(Read::Account { .. }) => StoreAnswer::Account(Some(Secret("hash".into()))),
            StoreRequest::Write(Write::OpenSession { username, .. }) => {
                StoreAnswer::Session(Some((username.clone(), vec![room(self.user)], None)))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Keeps everybody alive, in no order, as often as it takes; the processor time that one costs, from the datagram's bytes
    /// to its answer's.
    fn keep_alive(&mut self, sessions: usize) -> Duration {
        let mut order: Vec<_> = (0..sessions).collect();
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut spent, mut handled, mut sequence) = (Duration::ZERO, 0, 1);
        let mut answer = BytesMut::new();
        while handled < LEAST {
            rng.shuffle(&mut order);
            sequence += 1;
            // Who was last in one round may be first in the next, and has no answer twice within a second.
            self.now = self.now + Duration::from_secs(1);
            for chunk in order.chunks(CHUNK) {
                let datagrams: Vec<_> = chunk
                    .iter()
                    .map(|&n| (address(n), proven(n, sequence).to_bytes(Dialect::Canonical)))
                    .collect();
                let pause = ROUND * u32::try_from(chunk.len()).expect("few")
                    / u32::try_from(sessions).expect("fewer");
                self.now = self.now + pause;
                let before = cpu();
                for together in datagrams.chunks(TOGETHER) {
                    self.receive(together, &mut answer);
                }
                self.registry.handle_timeout(self.now);
                spent += cpu() - before;
                handled += chunk.len();
            }
        }
        let stats = self.registry.stats();
        assert_eq!((stats.parked, stats.wakes, stats.refused_datagrams), (sessions, 0, 0), "all stayed");
        spent / u32::try_from(handled).expect("fewer")
    }

    fn receive(&mut self, together: &[(SocketAddr, Bytes)], answer: &mut BytesMut) {
        let parse =
            |datagram: &Bytes| ToRegistryDatagram::parse(datagram, Dialect::Canonical, &Limits::DEFAULT);
        let message = |(from, datagram): &(_, _)| (*from, parse(datagram).expect("a keep-alive"));
        self.messages.extend(together.iter().map(message));
        self.registry.handle_datagrams(self.now, &self.messages);
        self.messages.clear();
        for (from, _) in together {
            answer.clear();
            match self.registry.poll_effect() {
                Some(Effect::SendDatagram { message: message @ FromRegistryDatagram::Parked { .. }, to })
                    if to == *from =>
                {
                    message.encode(answer, Dialect::Canonical);
                }
                other => panic!("no answer but {other:?}"),
            }
        }
    }
}

fn proven(n: usize, sequence: u64) -> ToRegistryDatagram {
    let sequence = NonZeroU64::new(sequence).expect("from 1");
    ToRegistryDatagram::prove(&ticket(n), user(n), 120, sequence)
}

/// This thread's processor time.
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux");
    let spent = text.split(' ').next().and_then(|spent| spent.parse().ok());
    Duration::from_nanos(spent.expect("a number"))
}

fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/status").expect("a Linux");
    let kib =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.map_or(0, |kib: usize| kib * 1024)
}

/// What has come since; the sizes before may have left pages that were used again.
fn resident_since(before: usize) -> usize {
    resident().saturating_sub(before)
}
