//! The registry machine with users on it, its store in memory and its password hash at once.
#![allow(clippy::expect_used, clippy::panic)] // a benchmark that can't run fails by panicking

use std::{hint::black_box, net::SocketAddr, time::Duration};

use p2pchat_core::{
    Time,
    registry::{
        Config, ConnId, Effect, HashAnswer, PrefixLimits, Registry,
        store::{MemoryStore, Write, write},
    },
};
use p2pchat_proto::{
    Capabilities, Capacity, Description, Extensions, Found, FromRegistry, Outcome, PROTOCOL_VERSION,
    PasswordDigest, PeerPort, RoomName, SearchReply, ToRegistry, ToRegistryDatagram, Username,
};

/// A registry on whose machine `users` are logged in.
pub struct World {
    /// The machine.
    pub registry: Registry,
    /// Everybody, in the order of their numbers.
    pub conns: Vec<ConnId>,
    /// How many messages it has sent.
    pub sent: u64,
    /// What time it is.
    pub now: Time,
    store: MemoryStore,
    capabilities: Capabilities,
    digest: PasswordDigest,
}

/// Where everybody comes from.
pub const ADDR: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);

/// A user's name.
pub fn user(n: usize) -> Username {
    Username::new(&format!("somebody{n}")).expect("a username")
}

/// A name without an account.
pub fn nobody() -> Username {
    Username::new("nobody").expect("a username")
}

/// The room that there is, which is the first user's.
pub fn room() -> RoomName {
    RoomName::new("the room").expect("a room name")
}

impl World {
    /// So many users, who are logged in and know no extension.
    pub fn new(users: usize) -> Self {
        Self::with(users, Capabilities::NONE)
    }

    /// So many users, who have agreed on these.
    pub fn with(users: usize, capabilities: Capabilities) -> Self {
        let mut config = Config::default();
        config.prefixes = PrefixLimits::NONE;
        config.connections = users + 16;
        config.max_lease = Duration::from_secs(1_000_000);
        config.default_lease = config.max_lease;
        let mut world = Self {
            registry: Registry::new(config, 7),
            store: MemoryStore::new(),
            conns: Vec::with_capacity(users),
            sent: 0,
            now: Time::ZERO,
            capabilities,
            digest: PasswordDigest::of_password("password"),
        };
        for n in 0..users {
            world.register(n);
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

    /// Makes an account.
    pub fn register(&mut self, n: usize) {
        let register = Write::Register { username: user(n), password: "hash".into(), invite: None };
        black_box(write(&mut self.store, &register));
    }

    /// Comes, and says hello.
    pub fn connect(&mut self) -> ConnId {
        let conn =
            self.registry.handle_connected(self.now, SocketAddr::from(ADDR)).expect("within the limit");
        let capabilities = self.capabilities;
        let extensions = (capabilities != Capabilities::NONE)
            .then_some(Extensions { version: PROTOCOL_VERSION, capabilities });
        self.say(conn, ToRegistry::Hello { extensions });
        conn
    }

    /// Logs in on a connection.
    pub fn log_in(&mut self, conn: ConnId, n: usize) {
        let port = PeerPort::new(4000).ok();
        self.say(conn, ToRegistry::Login { username: user(n), password: self.digest.clone(), port });
    }

    /// Says something and returns the last thing that the registry did about it.
    pub fn say(&mut self, conn: ConnId, message: ToRegistry) -> Option<Effect> {
        self.registry.handle_message(self.now, conn, message);
        self.drain()
    }

    /// A user's keep-alive, a moment later.
    pub fn keep_alive(&mut self, username: Username) -> Option<Effect> {
        self.now = self.now + Duration::from_micros(10);
        let keep_alive = ToRegistryDatagram::KeepAlive { username, timeout: Some(120) };
        self.registry.handle_datagram(self.now, SocketAddr::from(ADDR), keep_alive);
        self.drain()
    }

    /// Carries out what the machine wants and returns the last of it.
    pub fn drain(&mut self) -> Option<Effect> {
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
                other => {
                    self.sent += u64::from(matches!(other, Effect::Send { .. } | Effect::SendPeers { .. }));
                    last = Some(other);
                }
            }
        }
        last
    }

    /// That what is measured is what happens.
    pub fn check(&mut self, users: usize) {
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
            key: None,
        };
        expect(ToRegistry::SearchUser { username: user(0) }, FromRegistry::Search(SearchReply::Found(found)));
        let unknown = FromRegistry::Search(SearchReply::NotFound { reason: None });
        expect(ToRegistry::SearchUser { username: nobody() }, unknown);
        let join = ToRegistry::JoinRoom { room: room(), password: None };
        expect(join, FromRegistry::Join(Outcome::Success));
        expect(ToRegistry::ExitRoom { username, room: room() }, FromRegistry::RoomExit(Outcome::Success));
    }
}
