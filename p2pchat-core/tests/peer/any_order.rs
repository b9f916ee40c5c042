//! Any call order is legal: facts and commands thrown at one machine as chance will have it.

use std::{collections::BTreeMap, iter};

use p2pchat_core::Time;
use p2pchat_core::peer::{ChatRequestId, Config, Effect, Event, Peer, Receipt, RequestId, StreamId};
use p2pchat_proto::{
    Capacity, Description, Detail, Dialect, FrameError, FromRegistry, FromRegistryDatagram, Limits, List,
    Malformed, Message, PeerList, PeerMessage,
};
use proptest::{collection::vec, prelude::*};

use crate::solo::{digest, room, text, user};

const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const ROOMS: [&str; 2] = ["den", "attic"];
const REGISTRY: &[&str] = &[
    "HELLO_BACK <SUCCESS> <200>",
    "HELLO_BACK <SUCCESS> <200> <1> <reason,roster,sender,resume,moderate>",
    "REPLACED <alice>",
    "HELLO_BACK <FAILURE> <404> <no>",
    "REGISTER <SUCCESS> <200>",
    "REGISTER <EXIST> <300>",
    "AUTH <SUCCESS> <200>",
    "AUTH <SUCCESS> <200> <9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08>",
    "AUTH <FAILURE> <404>",
    "AUTH <ONLINE> <300>",
    "CREATION <SUCCESS> <200>",
    "JOIN <SUCCESS> <200>",
    "JOIN <FAILURE> <404>",
    "ROOM_EXIT_RESPONSE <SUCCESS> <200>",
    "ROOMS_LIST <FOUND> <200> <den>",
    "ROOMS_LIST <NOT_FOUND> <404>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <carol> <4000> <192.0.2.3>",
    "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>",
    "PEER_LIST <FAILURE> <404>",
    "USER_LOGOUT <bob>",
    "USER_JOINED <den> <alice>",
    "USER_JOINED <den> <bob>",
    "USER_LEFT <den> <bob>",
    "USER_LEFT <den> <alice>",
    "ROOM_KICKED <den> <bob> <carol> <why>",
    "ROOM_BANNED <den> <alice> <carol>",
    "ROOM_CHANGED <den> <carol> <OWNER> <alice>",
    "MODERATION <SUCCESS> <200>",
    "BAN_LIST <NOT_FOUND> <404>",
    "TIMEOUT <alice>",
];
const STREAM: &[&str] = &[
    "CHAT_REQUEST <alice>",
    "CHAT_REQUEST <alice> <bob>",
    "CHAT_REQUEST <bob> <alice>",
    "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>",
    "CHAT_REQUEST_RESPONSE <REJECT> <404> <bob>",
    "DIRECT_MESSAGE <bob> <alice> hi",
    "DIRECT_MESSAGE <carol> <alice> hi",
    "DIRECT_BROADCAST <bob> hi",
    "DIRECT_BROADCAST <carol> <den> hi",
    "DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <alice> <hi>",
    "DIRECT_BROADCAST_NOTIFICATION <SUCCESS> <200> <alice> <hi>",
    "DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <alice> <hi>",
];

fn parse<M: Message>(lines: &[&'static str], n: usize) -> M {
    M::parse(&lines[n % lines.len()].into(), Dialect::Canonical, &Limits::DEFAULT).unwrap()
}

/// One machine, and the handles that it has given out.
struct Chaos {
    peer: Peer,
    now: Time,
    commands: Vec<RequestId>,
    ended: BTreeMap<RequestId, usize>,
    streams: Vec<StreamId>,
    asked: Vec<ChatRequestId>,
    receipts: Vec<Receipt>,
    told: usize,
}

impl Chaos {
    fn new() -> Self {
        let mut config = Config::default();
        (config.streams, config.requests, config.messages_in_flight, config.chat_requests) = (3, 4, 3, 2);
        Self {
            peer: Peer::new(config, 5),
            now: Time::ZERO,
            commands: Vec::new(),
            ended: BTreeMap::new(),
            streams: Vec::new(),
            asked: Vec::new(),
            receipts: Vec::new(),
            told: 0,
        }
    }

    fn command(&mut self, what: u8, n: usize) {
        let (now, peer) = (self.now, &mut self.peer);
        let (who, place, nobody) = (user(NAMES[n % 3]), room(ROOMS[n % 2]), digest("x"));
        let detail = if n.is_multiple_of(2) { Detail::Partial } else { Detail::Detailed };
        let request = match what {
            0 => peer.connect(now),
            1 => peer.register(now, who, nobody),
            2 | 3 => peer.login(now, user("alice"), nobody, None),
            4 => peer.logout(now),
            5 => peer.search(now, who),
            6 => peer.peers(now, detail),
            7 => peer.rooms(now, detail),
            8 => peer.create(now, place, None, Capacity::new(2).unwrap(), Description::default()),
            9 => peer.join(now, place, None),
            10 => peer.leave(now, place),
            11 => peer.members(now, place),
            12 | 13 => peer.chat(now, who),
            14 => peer.hang_up(now, who),
            15 => peer.send(now, who, text("hi")),
            16 => peer.broadcast(now, place, text("hi")),
            17 if !self.asked.is_empty() => peer.accept(now, self.asked[n % self.asked.len()]),
            18 if !self.asked.is_empty() => peer.reject(now, self.asked[n % self.asked.len()], None),
            19 => peer.be_dialled(now, who),
            _ => return,
        };
        self.commands.push(request);
    }

    fn fact(&mut self, what: u8, n: usize) {
        let (now, peer) = (self.now, &mut self.peer);
        let malformed = || match n.is_multiple_of(3) {
            true => Malformed::Frame(FrameError::Truncated { bytes: n }),
            false => Malformed::Frame(FrameError::TooLong { limit: n }),
        };
        match what {
            0..=6 => peer.handle_registry_message(now, parse::<FromRegistry>(REGISTRY, n)),
            7 => {
                let members = List::fitting(NAMES.iter().take(n % 3 + 1).map(|name| user(name)));
                let list = PeerList::Room { room: room(ROOMS[n % 2]), members };
                peer.handle_registry_message(now, FromRegistry::Peers(list));
            }
            8 | 9 => peer.handle_registry_connected(now, [None, Some(Dialect::Canonical)][n % 2]),
            10 if n.is_multiple_of(4) => peer.handle_registry_dialect(now, Dialect::Prototype),
            11 if n.is_multiple_of(4) => peer.handle_registry_malformed(now, malformed()),
            12 if n.is_multiple_of(2) => peer.handle_registry_closed(now, "gone".to_owned()),
            13 => {
                let datagrams = &["KEEP_ALIVE_RESPONSE <SUCCESS> <200>", "TIMEOUT <alice>", "TIMEOUT <bob>"];
                peer.handle_datagram(now, parse::<FromRegistryDatagram>(datagrams, n));
            }
            14 => self.streams.extend(peer.accept_stream(now, ([192, 0, 2, [2, 9][n % 2]], 50_000).into())),
            15 => {
                self.now = self.now + std::time::Duration::from_millis(u64::try_from(n).unwrap() * 10);
                self.peer.handle_timeout(self.now);
            }
            16 => {
                if let Some(at) = peer.poll_timeout() {
                    self.now = at.max(self.now);
                }
                self.peer.handle_timeout(self.now);
            }
            17 if !self.receipts.is_empty() => peer.confirm(now, self.receipts[n % self.receipts.len()]),
            _ if self.streams.is_empty() => {}
            18..=20 => peer.handle_stream_connected(now, self.streams[n % self.streams.len()]),
            21 if n.is_multiple_of(2) => {
                peer.handle_stream_closed(now, self.streams[n % self.streams.len()], "gone".to_owned());
            }
            22 if n.is_multiple_of(4) => {
                peer.handle_stream_malformed(now, self.streams[n % self.streams.len()], malformed());
            }
            _ => {
                let stream = self.streams[n / STREAM.len() % self.streams.len()];
                peer.handle_stream_message(now, stream, parse::<PeerMessage>(STREAM, n));
            }
        }
    }

    fn take_effects(&mut self, limit: usize) {
        for effect in iter::from_fn(|| self.peer.poll_effect()).take(limit) {
            match effect {
                Effect::Dial { stream, .. } => self.streams.push(stream),
                Effect::Event(event) => {
                    self.told += 1;
                    match event {
                        Event::Completed { request, .. } => *self.ended.entry(request).or_default() += 1,
                        Event::ChatRequested { request, .. } => self.asked.push(request),
                        Event::Message { receipt, .. } | Event::Broadcast { receipt, .. } => {
                            self.receipts.push(receipt);
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_order_of_facts_and_commands_upsets_the_machine(
        steps in vec((any::<bool>(), 0_u8..40, 0_usize..1_000), 1..200),
        // All, none before the end, or so many that some are left.
        eager in prop_oneof![Just(usize::MAX), Just(0), 1_usize..4],
    ) {
        let mut chaos = Chaos::new();
        for (command, what, n) in steps {
            match command {
                true => chaos.command(what % 20, n),
                false => chaos.fact(what, n),
            }
            chaos.take_effects(eager);
        }
        let last = chaos.peer.shutdown(chaos.now);
        chaos.commands.push(last);
        chaos.take_effects(usize::MAX);
        for command in &chaos.commands {
            prop_assert_eq!(chaos.ended.get(command), Some(&1));
        }
        prop_assert_eq!(chaos.ended.len(), chaos.commands.len());

        let told = chaos.told;
        for n in 0..40 {
            chaos.fact(n, 7);
        }
        chaos.take_effects(usize::MAX);
        prop_assert_eq!(chaos.told, told, "a machine that was shut down says nothing");
        prop_assert_eq!(chaos.peer.poll_timeout(), None);
    }
}
