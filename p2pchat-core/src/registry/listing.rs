//! The list of everybody online (PROTOCOL.md §4.10), whose bytes are kept from one asker to the next.
//!
//! They are kept in blocks, by name. Who comes or goes leaves a stale block, which is written anew when somebody asks next;
//! all others are shared with every list that is on its way. What only the asker is shown, the rooms that they share with
//! others and the addresses of their contacts, is written for them alone, in the blocks that it concerns.

use std::collections::{BTreeMap, BTreeSet};

use p2pchat_proto::{
    Detail, Dialect, EncodedPeers, FromRegistry, List, PeerList, PeerRecord, PeerRecords, PeerRecordsWriter,
    RoomName, Username,
};

use super::{
    ConnId, Effect, Registry, connection::Session, contacts::Addresses, presence::Presence, refusal::Refused,
    requests::shown_address,
};
use crate::time::Time;

/// How large a block becomes: one TLS record.
const BLOCK: usize = 16 * 1024;
/// About as large as a record becomes.
const LARGE_RECORD: usize = 512;
/// A block that is written anew and is smaller than this takes the next one in.
const SMALL_BLOCK: usize = BLOCK / 4;
/// As much as is shown to anybody: whoever asks is left out.
const ENOUGH: usize = EncodedPeers::MOST_BYTES + LARGE_RECORD;
/// After so many have come and gone without anybody asking, nothing is kept any more.
const UNUSED: usize = 4096;

/// About as many users as a reply has room for.
const MOST_SPECIAL: usize = EncodedPeers::MOST_BYTES / 32;

/// What is kept: at most one list of each kind, each of a reply's size.
#[derive(Debug, Default)]
pub(super) struct Listings {
    detailed: Option<Listing>,
    partial: Option<Listing>,
}

/// The beginning of the list of everybody online, as far as fits into a reply, as somebody sees it who has no tie to anybody.
#[derive(Debug)]
struct Listing {
    /// From the first name on, without a gap.
    blocks: Vec<Block>,
    /// How often somebody has come or gone since it was last asked for.
    unused: usize,
}

/// Those whose names come after `after`, up to the next block's, that included.
#[derive(Debug)]
struct Block {
    after: Option<Username>,
    /// `None` if they are to be written anew.
    fresh: Option<Fresh>,
}

#[derive(Debug)]
struct Fresh {
    records: PeerRecords,
    /// Whose each is.
    places: Vec<ConnId>,
}

impl Listings {
    /// Somebody has come or gone, or their session is elsewhere.
    pub(super) fn changed(&mut self, username: &Username) {
        for kept in [&mut self.detailed, &mut self.partial] {
            if let Some(listing) = kept {
                listing.unused += 1;
                if listing.unused >= UNUSED {
                    *kept = None;
                } else if let Some(block) = listing.block_of(username) {
                    block.fresh = None;
                }
            }
        }
    }

    /// Nothing holds any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn kept(&mut self, detail: Detail) -> &mut Listing {
        let kept = match detail {
            Detail::Detailed => &mut self.detailed,
            Detail::Partial => &mut self.partial,
        };
        kept.get_or_insert_with(|| Listing { blocks: vec![Block { after: None, fresh: None }], unused: 0 })
    }
}

impl Listing {
    fn number_of(&self, username: &Username) -> Option<usize> {
        self.blocks.partition_point(|block| block.after.as_ref() < Some(username)).checked_sub(1)
    }

    fn block_of(&mut self, username: &Username) -> Option<&mut Block> {
        let number = self.number_of(username)?;
        self.blocks.get_mut(number)
    }

    /// Writes what is stale anew. `write` adds the record of somebody's session.
    fn refresh(&mut self, presence: &Presence, write: impl Fn(&mut PeerRecordsWriter, &Username, ConnId)) {
        self.unused = 0;
        let mut size = 0;
        let mut old = std::mem::take(&mut self.blocks).into_iter().peekable();
        while let Some(Block { mut after, fresh }) = old.next() {
            if size > ENOUGH {
                // Nobody is shown these: one block, never written, stands for all of them.
                self.blocks.push(Block { after, fresh: None });
                return;
            }
            if let Some(fresh) = fresh {
                size += fresh.records.size();
                self.blocks.push(Block { after, fresh: Some(fresh) });
                continue;
            }
            let mut writer = FreshWriter::new();
            for (username, conn) in presence.after(after.clone().as_ref()) {
                while writer.size() < SMALL_BLOCK
                    && old.next_if(|next| next.after.as_ref() < Some(username)).is_some()
                {}
                if old.peek().is_some_and(|next| next.after.as_ref() < Some(username)) {
                    break;
                }
                writer.add(conn, |writer| write(writer, username, conn));
                if writer.size() + LARGE_RECORD > BLOCK {
                    size += writer.size();
                    let (after, fresh) = (after.replace(username.clone()), writer.finish());
                    self.blocks.push(Block { after, fresh: Some(fresh) });
                    writer = FreshWriter::new();
                    if size > ENOUGH {
                        break;
                    }
                }
            }
            if writer.size() > 0 {
                size += writer.size();
                self.blocks.push(Block { after, fresh: Some(writer.finish()) });
            } else if size > ENOUGH || self.blocks.is_empty() {
                self.blocks.push(Block { after, fresh: None });
            }
        }
    }

    /// The list for somebody at `asker`, who isn't in it. `special` are those whom they see otherwise than others do, `write`
    /// adds the record of one of them.
    fn compose(
        &self,
        asker: ConnId,
        special: &BTreeMap<ConnId, &Username>,
        write: impl Fn(&mut PeerRecordsWriter, &Username, ConnId),
    ) -> Vec<PeerRecords> {
        let concerned: BTreeSet<_> =
            special.values().filter_map(|username| self.number_of(username)).collect();
        let (mut parts, mut room) = (Vec::with_capacity(self.blocks.len()), EncodedPeers::MOST_BYTES);
        for (number, block) in self.blocks.iter().enumerate() {
            let Some(Fresh { records, places }) = &block.fresh else { break };
            let mut part = None;
            if concerned.contains(&number) || records.size() > room {
                let mut writer = PeerRecordsWriter::with_capacity(records.size() + LARGE_RECORD);
                for (index, conn) in places.iter().enumerate() {
                    match special.get(conn) {
                        Some(_) if *conn == asker => {}
                        Some(username) => write(&mut writer, username, *conn),
                        None => writer.copy(records, index),
                    }
                    if writer.size() > room {
                        writer.undo();
                        parts.push(writer.finish());
                        return parts;
                    }
                }
                part = Some(writer.finish());
            }
            let part = part.unwrap_or_else(|| records.clone());
            room -= part.size();
            parts.push(part);
        }
        parts
    }
}

/// Writes a block.
struct FreshWriter {
    records: PeerRecordsWriter,
    places: Vec<ConnId>,
}

impl FreshWriter {
    fn new() -> Self {
        Self { records: PeerRecordsWriter::with_capacity(BLOCK), places: Vec::new() }
    }

    fn size(&self) -> usize {
        self.records.size()
    }

    fn add(&mut self, conn: ConnId, write: impl FnOnce(&mut PeerRecordsWriter)) {
        let before = self.size();
        write(&mut self.records);
        if self.size() > before {
            self.places.push(conn);
        }
    }

    fn finish(mut self) -> Fresh {
        self.places.shrink_to_fit();
        Fresh { records: self.records.finish(), places: self.places }
    }
}

impl Registry {
    pub(super) fn discover_peers(&mut self, now: Time, conn: ConnId, detail: Detail) {
        let Some(connection) = self.connections.get(conn) else { return };
        if self.presence.iter().all(|(_, place)| place == conn) {
            return self.refuse(conn, Refused::Peers, "nobody else is online");
        }
        if connection.dialect == Dialect::Canonical && !self.is_known_to_many(conn) {
            let Some(parts) = self.kept_list(conn, detail) else { return };
            self.charge_list(now, conn, parts.iter().map(PeerRecords::count).sum());
            self.effects.push_back(Effect::SendPeers { conn, peers: EncodedPeers::new(detail, parts) });
        } else {
            let Some((records, list)) = self.list(conn, detail) else { return };
            self.charge_list(now, conn, records);
            self.send(conn, FromRegistry::Peers(list));
        }
    }

    /// True if more users are in the asker's rooms than have a place in a list: then nothing of it would be others' too.
    fn is_known_to_many(&self, conn: ConnId) -> bool {
        let rooms = self.connections.get(conn).and_then(|c| c.session()).map(|session| &session.rooms);
        rooms.into_iter().flatten().map(|room| self.presence.count(room)).sum::<usize>() > MOST_SPECIAL
    }

    /// The list's parts, most of which are kept for others.
    fn kept_list(&mut self, conn: ConnId, detail: Detail) -> Option<Vec<PeerRecords>> {
        let asker = self.connections.get(conn)?.session()?;
        // Put back below, since it is written while the rest of the machine is read.
        let mut listings = std::mem::take(&mut self.listings);
        let listing = listings.kept(detail);
        let in_public = self.config.addresses == Addresses::Everyone;
        let mut special = BTreeMap::from([(conn, &asker.username)]);
        if detail == Detail::Detailed {
            let contacts = self.contacts.agreed(&asker.username).filter(|_| !in_public);
            let contacts = contacts.filter_map(|contact| self.place(contact));
            let members = asker.rooms.iter().flat_map(|room| self.presence.members(room));
            special.extend(members.chain(contacts).filter_map(|conn| Some((conn, self.user(conn)?))));
        }
        listing.refresh(&self.presence, |writer, username, conn| match detail {
            Detail::Partial => writer.partial(username),
            Detail::Detailed => {
                let peer = self.connections.get(conn);
                if let Some((peer, session)) = peer.and_then(|peer| Some((peer, peer.session()?))) {
                    let (port, ip) = shown_address(in_public, peer, session);
                    writer.detailed(username, None, port, ip);
                }
            }
        });
        let own: BTreeSet<_> = asker.rooms.iter().collect();
        let parts = listing.compose(conn, &special, |writer, username, conn| match detail {
            Detail::Partial => writer.partial(username),
            Detail::Detailed => {
                if let Some(PeerRecord { room, port, ip, .. }) = self.record(asker, &own, username, conn) {
                    writer.detailed(username, room.as_ref(), port, ip);
                }
            }
        });
        self.listings = listings;
        Some(parts)
    }

    /// The list, made for the asker alone, and how many are in it.
    fn list(&self, conn: ConnId, detail: Detail) -> Option<(usize, PeerList)> {
        let asker = self.connections.get(conn)?.session()?;
        let others = self.presence.iter().filter(|&(_, place)| place != conn);
        Some(match detail {
            Detail::Partial => {
                let names = List::fitting(others.map(|(username, _)| username.clone()));
                (names.len(), PeerList::Partial(names))
            }
            Detail::Detailed => {
                let own: BTreeSet<_> = asker.rooms.iter().collect();
                let records =
                    others.filter_map(|(username, place)| self.record(asker, &own, username, place));
                let peers = List::fitting(records);
                (peers.len(), PeerList::Detailed(peers))
            }
        })
    }

    /// Somebody as the asker sees them.
    fn record(
        &self,
        asker: &Session,
        own: &BTreeSet<&RoomName>,
        username: &Username,
        conn: ConnId,
    ) -> Option<PeerRecord> {
        let peer = self.connections.get(conn)?;
        let session = peer.session()?;
        let room = session.rooms.iter().find(|room| own.contains(room)).cloned();
        let seen = room.is_some() || self.sees_beyond_rooms(asker, session);
        let (port, ip) = shown_address(seen, peer, session);
        Some(PeerRecord { username: username.clone(), room, port, ip })
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use p2pchat_proto::{Extensions, Message, PROTOCOL_VERSION, PasswordDigest, RoomName, ToRegistry};

    use super::{
        super::{Config, HashAnswer, TokenAnswer, store::MemoryStore},
        *,
    };

    struct World {
        registry: Registry,
        store: MemoryStore,
        users: Vec<(Username, Option<ConnId>)>,
        lists: Vec<EncodedPeers>,
    }

    impl World {
        fn new(addresses: Addresses, users: usize) -> Self {
            let config = Config { addresses, connections: users + 1, ..Config::default() };
            // Long ones, for many blocks.
            let users = (0..users).map(|n| (format!("{n:->32}").parse().unwrap(), None)).collect();
            let (registry, store, lists) = (Registry::new(config, 7), MemoryStore::new(), Vec::new());
            Self { registry, store, users, lists }
        }

        fn say(&mut self, conn: ConnId, message: ToRegistry) {
            self.registry.handle_message(Time::ZERO, conn, message);
            while let Some(effect) = self.registry.poll_effect() {
                match effect {
                    Effect::Store { op, request } => {
                        let answer = self.store.answer(&request);
                        self.registry.handle_stored(Time::ZERO, op, answer);
                    }
                    Effect::Hash { op, request } => {
                        let answer = match request {
                            super::super::HashRequest::Create { .. } => HashAnswer::Created("hash".into()),
                            _ => HashAnswer::Match { upgraded: None },
                        };
                        self.registry.handle_hashed(Time::ZERO, op, answer);
                    }
                    Effect::Token { op } => {
                        let token = p2pchat_proto::SessionToken::from_random([7; 32]);
                        let answer = TokenAnswer::Fresh { token, unix_now: 0 };
                        self.registry.handle_token(Time::ZERO, op, answer);
                    }
                    Effect::SendPeers { peers, .. } => self.lists.push(peers),
                    _ => {}
                }
            }
        }

        fn come(&mut self, user: usize) {
            let remote = ([127, 0, 0, 1], 1024).into();
            let conn = self.registry.handle_connected(Time::ZERO, remote).unwrap();
            let username = self.users[user].0.clone();
            let password = PasswordDigest::of_password("password");
            // The session of every other one waits once its stream is gone, at another place.
            let capabilities =
                [p2pchat_proto::Capability::Resume].into_iter().filter(|_| user % 2 == 1).collect();
            let extensions = Extensions { version: PROTOCOL_VERSION, capabilities };
            self.say(conn, ToRegistry::Hello { extensions: Some(extensions) });
            let register =
                ToRegistry::Register { username: username.clone(), password: password.clone(), invite: None };
            self.say(conn, register);
            let port = Some(p2pchat_proto::PeerPort::new(2000).unwrap());
            self.say(conn, ToRegistry::Login { username, password, port });
            assert!(self.registry.has_session(conn));
            self.users[user].1 = Some(conn);
        }

        fn go(&mut self, user: usize) {
            let conn = self.users[user].1.take().unwrap();
            self.registry.handle_disconnected(Time::ZERO, conn);
        }

        fn log_out(&mut self, user: usize) {
            if self.users[user].1.is_none() {
                self.come(user);
            }
            let conn = self.users[user].1.take().unwrap();
            self.say(conn, ToRegistry::Logout { username: None });
        }

        /// Compares what `user` gets with a list that is made for them alone.
        fn check(&mut self, user: usize) -> PeerList {
            let conn = self.users[user].1.unwrap();
            for detail in [Detail::Partial, Detail::Detailed] {
                let (_, anew) = self.registry.list(conn, detail).unwrap();
                self.say(conn, ToRegistry::DiscoverPeers { detail, asker: None });
                let kept = self.lists.pop().expect("a list");
                let anew = FromRegistry::Peers(anew);
                assert!(kept.to_bytes() == anew.to_bytes(Dialect::Canonical), "a list for {user}");
                let kept_size = |listing: &Option<Listing>| {
                    let blocks = listing.iter().flat_map(|listing| &listing.blocks);
                    blocks.filter_map(|block| Some(block.fresh.as_ref()?.records.size())).sum::<usize>()
                };
                let listings = &self.registry.listings;
                assert!(kept_size(&listings.detailed).max(kept_size(&listings.partial)) < ENOUGH + BLOCK);
                if let FromRegistry::Peers(list @ PeerList::Detailed(_)) = anew {
                    return list;
                }
            }
            unreachable!("the second is detailed")
        }
    }

    fn room(n: usize) -> RoomName {
        format!("room {n}").parse().unwrap()
    }

    #[test]
    fn what_is_kept_is_what_would_be_made_anew_whoever_comes_goes_or_enters_a_room() {
        for addresses in [Addresses::Everyone, Addresses::Contacts] {
            let mut rng = Rng::with_seed(7);
            let mut world = World::new(addresses, 800);
            (0..600).for_each(|user| world.come(user));
            for n in 0..3 {
                let (room, owner) = (room(n), world.users[n].1.unwrap());
                let capacity = p2pchat_proto::Capacity::new(1000).unwrap();
                let description = p2pchat_proto::Description::new("").unwrap();
                world.say(owner, ToRegistry::CreateRoom { room, password: None, capacity, description });
            }
            let (mut most_blocks, mut most_waiting) = (0, 0);
            for _ in 0..600 {
                let user = rng.usize(3..800);
                match (world.users[user].1, rng.u8(0..6)) {
                    (None, _) => world.come(user),
                    (Some(_), 0) => world.go(user),
                    (Some(conn), 1) => {
                        let room = room(rng.usize(0..3));
                        world.say(conn, ToRegistry::JoinRoom { room, password: None });
                    }
                    (Some(conn), 2) => {
                        let (room, username) = (room(rng.usize(0..3)), world.users[user].0.clone());
                        world.say(conn, ToRegistry::ExitRoom { room, username });
                    }
                    (Some(_), _) => _ = world.check(user),
                }
                let blocks = world.registry.listings.detailed.as_ref().map_or(0, |kept| kept.blocks.len());
                most_blocks = most_blocks.max(blocks);
                most_waiting = most_waiting.max(world.registry.stats().waiting);
            }
            assert!(most_blocks > 2 && most_waiting > 2, "{most_blocks} blocks, {most_waiting} waiting");
            // All but one at the end go, whose blocks go with them, and come back.
            for user in 0..798 {
                if world.users[user].1.is_some() {
                    world.check(user);
                }
                world.log_out(user);
            }
            for user in 798..800 {
                if world.users[user].1.is_none() {
                    world.come(user);
                }
            }
            world.check(799);
            assert_eq!(world.registry.listings.detailed.as_ref().map(|kept| kept.blocks.len()), Some(1));
            (0..50).for_each(|user| world.come(user));
            world.check(7);
        }
    }

    #[test]
    fn a_list_that_is_longer_than_a_reply_has_as_many_as_fit() {
        let mut world = World::new(Addresses::Everyone, 20_000);
        (0..20_000).for_each(|user| world.come(user));
        let PeerList::Detailed(list) = world.check(0) else { panic!("a detailed one") };
        assert!((17_000..18_000).contains(&list.len()), "{}", list.len());
        world.check(19_999);
        // Somebody comes and goes before, within and after what is shown.
        for user in [1, list.len() - 2, list.len() + 1, 19_998] {
            world.go(user);
            world.check(0);
            world.come(user);
            world.check(5_000);
        }
        (0..9_000).step_by(2).for_each(|user| world.go(user));
        assert!(world.registry.listings.detailed.is_none(), "nobody has asked for a long time");
        world.check(1);
    }
}
