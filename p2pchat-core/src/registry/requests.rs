//! The beginning of each request: what can be answered at once is, the rest asks store or hash and goes on in
//! `answers.rs`.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use p2pchat_proto::{
    AuthReply, Capabilities, Capability, Extensions, Found, FromRegistry, HelloReply, LinkKey, List, Outcome,
    PROTOCOL_VERSION, PasswordDigest, PeerList, RoomName, SearchReply, ToRegistry, Username,
};

use super::{
    ConnId, HashRequest, Registry,
    answers::Step,
    connection::{Connection, Phase, Session},
    contacts::HIDDEN,
    guard::{Attempt, TooMany},
    refusal::Refused,
    report,
    store::{Read, RoomAction, StoreRequest, Write},
};
use crate::time::Time;

const HELLO_FIRST: &str = "say HELLO_P2P first";
const LOGIN_FIRST: &str = "log in first";

impl Registry {
    pub(super) fn request(&mut self, now: Time, conn: ConnId, message: ToRegistry) {
        match message {
            ToRegistry::Hello { extensions } => self.hello(conn, extensions),
            ToRegistry::Register { username, password, invite } => {
                self.register(now, conn, (username, password), invite);
            }
            ToRegistry::Login { username, password, port } => {
                if self.greeted(conn, Refused::Login)
                    && self.not_logged_in(conn, &username)
                    && let Some(attempt) = self.may_log_in(now, conn, &username)
                {
                    let step = Step::LoginAccount { attempt, digest: password, port };
                    self.store(now, conn, StoreRequest::Read(Read::Account { username }), step);
                }
            }
            ToRegistry::Resume { username, token, port } => self.resume(now, conn, username, token, port),
            ToRegistry::CreateRoom { room, password, capacity, description } => {
                let Some(owner) = self.session(conn, Refused::Creation) else { return };
                if !self.may_enter_another(conn, Refused::Creation) {
                    return;
                }
                let create = |password| Write::CreateRoom {
                    room,
                    owner,
                    password,
                    capacity,
                    description,
                    rooms_per_user: self.config.rooms_per_user,
                };
                match password {
                    None => {
                        let request = StoreRequest::Write(create(None));
                        self.store(now, conn, request, Step::CreateStore);
                    }
                    Some(digest) => {
                        let step = Step::CreateHash { create: Box::new(create(None)) };
                        self.hash(now, conn, HashRequest::Create { digest }, step);
                    }
                }
            }
            ToRegistry::JoinRoom { room, password } => self.join(now, conn, room, password),
            ToRegistry::ExitRoom { username, room } => {
                let Some(user) = self.session(conn, Refused::RoomExit) else { return };
                if user != username {
                    self.refuse(conn, Refused::RoomExit, "that is not your username");
                } else if !self.is_member(conn, &room) {
                    self.refuse(conn, Refused::RoomExit, "you are not a member of that room");
                } else {
                    let request = StoreRequest::Write(Write::LeaveRoom { room, username: user });
                    self.store(now, conn, request, Step::Exit);
                }
            }
            ToRegistry::ListRooms { detail } => {
                if self.session(conn, Refused::Rooms).is_some() {
                    self.store(now, conn, StoreRequest::Read(Read::Rooms), Step::Rooms { detail });
                }
            }
            ToRegistry::SearchUser { username } => self.search(now, conn, username),
            ToRegistry::DiscoverPeers { detail, asker } => {
                let Some(user) = self.session(conn, Refused::Peers) else { return };
                match asker {
                    Some(asker) if asker != user => {
                        self.refuse(conn, Refused::Peers, "that is not your username");
                    }
                    _ => self.discover_peers(now, conn, detail),
                }
            }
            ToRegistry::DiscoverRoom { room } => {
                if self.session(conn, Refused::Peers).is_some() {
                    self.discover_room(now, conn, room);
                }
            }
            ToRegistry::Logout { username } => {
                let Some(user) = self.session(conn, Refused::Hello) else { return };
                match username {
                    Some(username) if username != user => {
                        self.refuse(conn, Refused::Hello, "that is not your username");
                    }
                    _ => self.log_out(now, conn),
                }
            }
            ToRegistry::ContactRequest { username } => self.contact_request(now, conn, &username),
            ToRegistry::ContactResponse { username, accepted } => {
                self.contact_response(conn, &username, accepted);
            }
            ToRegistry::Park { username } => self.park(conn, &username),
            ToRegistry::LinkKey { key } => self.link_key(conn, key),
            ToRegistry::Kick { room, username, reason } => {
                self.moderate(now, conn, room, RoomAction::Kick { username, reason });
            }
            ToRegistry::Ban { room, username, reason } => {
                self.moderate(now, conn, room, RoomAction::Ban { username, reason });
            }
            ToRegistry::Unban { room, username } => {
                self.moderate(now, conn, room, RoomAction::Unban { username });
            }
            ToRegistry::SetRoom { room, setting } => self.set_room(now, conn, room, setting),
            ToRegistry::ListBans { room } => self.list_bans(now, conn, room),
            // A form that proto knows and this registry doesn't: nothing is lost but the request.
            _ => self.refuse(conn, Refused::Hello, "this registry does not know that request"),
        }
    }

    fn hello(&mut self, conn: ConnId, extensions: Option<Extensions>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let config = &self.config;
        connection.capabilities = extensions.map_or(Capabilities::NONE, |e| config.agreed(e.capabilities));
        if matches!(connection.phase, Phase::Greeting) {
            connection.phase = Phase::Anonymous;
        }
        let capabilities = connection.capabilities;
        let extensions = extensions.map(|_| Extensions { version: PROTOCOL_VERSION, capabilities });
        self.send(conn, FromRegistry::Hello(HelloReply::Success { extensions }));
    }

    /// Takes the key by which the peer streams of the next session here are known (§7.13).
    fn link_key(&mut self, conn: ConnId, key: LinkKey) {
        if !self.greeted(conn, Refused::LinkKey) {
            return;
        }
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if !connection.has(Capability::Keys) {
            self.refuse(conn, Refused::LinkKey, "this connection has not agreed on keys");
        } else if connection.session().is_some() {
            self.refuse(conn, Refused::LinkKey, "a key is announced before the login");
        } else if let Some(work) = &mut connection.work {
            work.key = Some(Box::new(key));
            self.send(conn, FromRegistry::LinkKey(Outcome::Success));
        }
    }

    /// True if the stream has said hello; else the request is refused.
    pub(super) fn greeted(&mut self, conn: ConnId, what: Refused) -> bool {
        let greeting = self.connections.get(conn).is_none_or(|c| matches!(c.phase, Phase::Greeting));
        if greeting {
            self.refuse(conn, what, HELLO_FIRST);
        }
        !greeting
    }

    /// The stream's user; without one the request is refused.
    pub(super) fn session(&mut self, conn: ConnId, what: Refused) -> Option<Username> {
        let user = self.user(conn).cloned();
        if user.is_none() && self.greeted(conn, what) {
            self.refuse(conn, what, LOGIN_FIRST);
        }
        user
    }

    /// True if nobody is logged in on the stream; else the login is refused.
    pub(super) fn not_logged_in(&mut self, conn: ConnId, username: &Username) -> bool {
        match self.user(conn) {
            None => true,
            Some(user) if user == username => {
                let reason = self.reason(conn, "you are logged in already");
                self.send(conn, FromRegistry::Auth(AuthReply::Online { reason }));
                false
            }
            Some(user) => {
                let why = format!("this connection is logged in as {user}; log out first");
                self.refuse(conn, Refused::Login, &why);
                false
            }
        }
    }

    /// True if the name isn't banned; else the registration is refused.
    pub(super) fn may_be_registered(&mut self, now: Time, conn: ConnId, username: &Username) -> bool {
        let banned = self.is_banned(now, username);
        if banned {
            self.counts.refused_banned += 1;
            self.refuse(conn, Refused::Register, "that username is banned from this registry");
        }
        !banned
    }

    /// True if the stream's prefix hasn't asked for too many accounts; else the registration is refused.
    pub(super) fn may_register(&mut self, now: Time, conn: ConnId) -> bool {
        let Some(connection) = self.connections.get(conn) else { return false };
        let from = connection.remote.ip();
        let Err(wait) = self.guard.registers(now, from) else { return true };
        self.counts.refused_registrations += 1;
        report("registrations", self.counts.refused_registrations, from);
        let why = format!("too many accounts are asked for where you are; {}", again_in(wait));
        self.hold_up(conn, Refused::Register, wait, &why);
        false
    }

    /// The attempt, if not too many logins have failed from the stream's prefix or on the account; else nothing is tried. As
    /// the password may be right, the answer isn't that of a wrong one (§5.1).
    fn may_log_in(&mut self, now: Time, conn: ConnId, username: &Username) -> Option<Attempt> {
        let from = self.connections.get(conn)?.remote.ip();
        let too_many = match self.guard.logs_in(now, from, username) {
            Ok(attempt) => return Some(attempt),
            Err(too_many) => too_many,
        };
        let (wait, why) = match too_many {
            TooMany::Here(wait) => {
                self.counts.refused_logins += 1;
                report("failed logins of a prefix", self.counts.refused_logins, from);
                (wait, format!("too many logins have failed where you are; {}", again_in(wait)))
            }
            TooMany::OfThis(wait) => {
                self.counts.refused_account_logins += 1;
                report("failed logins of an account", self.counts.refused_account_logins, from);
                (wait, format!("too many logins to that account have failed; {}", again_in(wait)))
            }
        };
        self.hold_up(conn, Refused::Hello, wait, &why);
        self.close(conn);
        None
    }

    fn may_enter_another(&mut self, conn: ConnId, what: Refused) -> bool {
        let limit = self.config.rooms_per_user;
        let rooms = self.connections.get(conn).and_then(|c| c.session()).map_or(0, |s| s.rooms.len());
        if rooms >= limit {
            self.counts.refused_rooms += 1;
            self.refuse(conn, what, &too_many_rooms(limit));
        }
        rooms < limit
    }

    fn join(&mut self, now: Time, conn: ConnId, room: RoomName, digest: Option<PasswordDigest>) {
        let Some(username) = self.session(conn, Refused::Join) else { return };
        if self.is_member(conn, &room) {
            self.send(conn, FromRegistry::Join(Outcome::Success));
        } else if self.may_enter_another(conn, Refused::Join) {
            let step = Step::JoinRoom { room: room.clone(), digest };
            self.store(now, conn, StoreRequest::Read(Read::Room { room, username }), step);
        }
    }

    fn search(&mut self, now: Time, conn: ConnId, username: Username) {
        if self.user(conn).is_none() {
            // It is refused there.
            self.session(conn, Refused::Search);
            return;
        }
        match self.find(conn, &username) {
            Some(found) => self.send(conn, FromRegistry::Search(SearchReply::Found(found))),
            None => {
                let request = StoreRequest::Read(Read::Account { username: username.clone() });
                self.store(now, conn, request, Step::Search { username });
            }
        }
    }

    /// Where a user who is online can be dialled, as the asker is told.
    pub(super) fn find(&self, asker: ConnId, username: &Username) -> Option<Found> {
        let asker = self.connections.get(asker)?;
        let found = self.connections.get(self.place(username)?)?;
        let session = found.session()?;
        let seen = asker.session().is_some_and(|asker| self.sees(asker, session));
        let (port, ip) = shown_address(seen, found, session);
        // Who is hidden can be asked instead.
        let of_hidden = (ip == HIDDEN).then_some(Capability::Contact);
        let shown = [Capability::Sender, Capability::Origin, Capability::Ids].into_iter().chain(of_hidden);
        Some(Found {
            username: Some(session.username.clone()),
            port,
            ip,
            capabilities: shown.filter(|&c| asker.has(c) && found.has(c)).collect(),
            // Who isn't told where somebody is has no use for it.
            key: session.key.as_deref().copied().filter(|_| seen && asker.has(Capability::Keys)),
        })
    }

    fn discover_room(&mut self, now: Time, conn: ConnId, room: RoomName) {
        let session = self.connections.get(conn).and_then(|connection| connection.session());
        // As its creator spelled it.
        let room = session.and_then(|session| session.rooms.iter().find(|own| **own == room)).cloned();
        if let Some(room) = room {
            let members = self.presence.members(&room).filter_map(|conn| self.user(conn));
            let members: BTreeSet<_> = members.collect();
            let members = List::fitting(members.into_iter().cloned());
            self.charge_list(now, conn, members.len());
            self.send(conn, FromRegistry::Peers(PeerList::Room { room, members }));
        } else {
            self.refuse(conn, Refused::Peers, "there is no such room, or you are not a member of it");
        }
    }
}

/// A user's port and address, as is told to who sees them, or doesn't.
pub(super) fn shown_address(seen: bool, found: &Connection, session: &Session) -> (u16, IpAddr) {
    match seen {
        true => (session.port.map_or(0, |port| port.get()), found.remote.ip().to_canonical()),
        false => (0, HIDDEN),
    }
}

pub(super) fn again_in(wait: Duration) -> String {
    format!("try again in {} s", whole_seconds(wait))
}

/// What people and programs are told of a time that has to pass.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

pub(super) fn too_many_rooms(limit: usize) -> String {
    format!("you are in {limit} rooms, which is the limit")
}
