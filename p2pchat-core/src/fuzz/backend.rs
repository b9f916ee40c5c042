//! What a registry machine works with: a store and a hash that answer when the fuzzer says so, and requests in which
//! users and rooms meet.

use std::collections::VecDeque;

use arbitrary::Arbitrary;
use p2pchat_proto::{
    Capabilities, Capacity, Description, Detail, Extensions, InviteCode, PROTOCOL_VERSION, PasswordDigest,
    PeerPort, RoomName, RoomSetting, SessionToken, ToRegistry, Username,
};

use crate::{
    Time,
    registry::{
        Addresses, Config, Effect, HashAnswer, HashRequest, Invite, InviteDigest, OpId, Registration,
        Registry, TokenAnswer,
        store::{MemoryStore, Read, StoreAnswer, StoreError, StoreRequest, Write, read},
    },
};

/// Bounds that a short sequence of operations reaches. Some inputs are for a registry that wants invitations.
pub(super) fn config(data: &[u8]) -> Config {
    let mut config = Config::default();
    (config.connections, config.pipeline, config.operations, config.rooms_per_user) = (6, 3, 8, 2);
    (config.bans_per_room, config.parked) = (2, 2);
    if hides_addresses(data) {
        config.addresses = Addresses::Contacts;
    }
    if data.first().is_some_and(|byte| byte % 8 == 6) {
        config.registration = Registration::Invite;
    }
    config
}

fn hides_addresses(data: &[u8]) -> bool {
    data.first().is_some_and(|byte| byte % 4 == 3)
}

/// For how many registrations the store's two invitations are.
const USES: [u32; 2] = [1, 2];

fn code(n: u8) -> InviteCode {
    InviteCode::from_random([n % 3; 26])
}

pub(super) fn user(n: u8) -> Option<Username> {
    Username::new(&format!("user{}", n % 4)).ok()
}

pub(super) fn room(n: u8) -> Option<RoomName> {
    RoomName::new(&format!("room{}", n % 3)).ok()
}

/// The `n`th token that is made; some of them are guessed right.
fn token(n: u8) -> SessionToken {
    SessionToken::from_random([n; 32])
}

fn digest(n: u8) -> PasswordDigest {
    PasswordDigest::of_password(if n.is_multiple_of(2) { "right" } else { "wrong" })
}

/// A request. Names come from small pools.
#[derive(Debug, Arbitrary)]
pub(super) enum Request {
    Hello(Option<Extensions>),
    Register(u8),
    RegisterInvited(u8, u8),
    Login(u8, Option<PeerPort>),
    Resume(u8, u8, Option<PeerPort>),
    Create(u8, u8),
    Join(u8),
    Exit(u8, u8),
    Contact(u8, Option<bool>),
    Ask(u8, bool),
    Logout(Option<u8>),
    Park(u8),
    Moderate(u8, u8, u8),
    Anything(ToRegistry),
}

impl Request {
    pub(super) fn message(self) -> Option<ToRegistry> {
        Some(match self {
            Self::Hello(extensions) => ToRegistry::Hello { extensions },
            Self::Register(u) => {
                ToRegistry::Register { username: user(u)?, password: digest(0), invite: None }
            }
            Self::RegisterInvited(u, c) => {
                ToRegistry::Register { username: user(u)?, password: digest(0), invite: Some(code(c)) }
            }
            Self::Login(u, port) => ToRegistry::Login { username: user(u)?, password: digest(u >> 4), port },
            Self::Resume(u, n, port) => ToRegistry::Resume { username: user(u)?, token: token(n % 16), port },
            Self::Create(r, capacity) => ToRegistry::CreateRoom {
                room: room(r)?,
                password: (r > 127).then(|| digest(0)),
                capacity: Capacity::new(u32::from(capacity % 3) + 1).ok()?,
                description: Description::default(),
            },
            Self::Join(r) => {
                ToRegistry::JoinRoom { room: room(r)?, password: (r > 63).then(|| digest(r >> 7)) }
            }
            Self::Contact(u, None) => ToRegistry::ContactRequest { username: user(u)? },
            Self::Contact(u, Some(accepted)) => ToRegistry::ContactResponse { username: user(u)?, accepted },
            Self::Exit(u, r) => ToRegistry::ExitRoom { username: user(u)?, room: room(r)? },
            Self::Ask(n, detailed) => {
                let detail = if detailed { Detail::Detailed } else { Detail::Partial };
                match n % 4 {
                    0 => ToRegistry::ListRooms { detail },
                    1 => ToRegistry::DiscoverPeers { detail, asker: None },
                    2 => ToRegistry::DiscoverRoom { room: room(n >> 2)? },
                    _ => ToRegistry::SearchUser { username: user(n >> 2)? },
                }
            }
            Self::Logout(u) => ToRegistry::Logout { username: u.and_then(user) },
            Self::Park(u) => ToRegistry::Park { username: user(u)? },
            Self::Moderate(n, u, r) => moderation(n, user(u)?, room(r)?),
            Self::Anything(message) => message,
        })
    }
}

/// What a room's owner says.
fn moderation(n: u8, username: Username, room: RoomName) -> ToRegistry {
    let setting = match n % 8 {
        0 => return ToRegistry::Kick { room, username, reason: None },
        1 => return ToRegistry::Ban { room, username, reason: None },
        2 => return ToRegistry::Unban { room, username },
        3 => return ToRegistry::ListBans { room },
        4 => RoomSetting::Password((n > 127).then(|| digest(n >> 3))),
        5 => RoomSetting::Capacity(Capacity::new(u32::from(n >> 3) % 3 + 1).expect("in range")),
        6 => RoomSetting::Description(Description::default()),
        _ => RoomSetting::Owner(username),
    };
    ToRegistry::SetRoom { room, setting }
}

/// What chance takes long to come to, for half of the inputs: two users are online, one of them with a token and in a room
/// with a password and space for one more. Where addresses are hidden, both can be asked for contact. An input's first byte
/// tells; the kind of its first step goes by later ones.
pub(super) fn beginning(data: &[u8]) -> impl Iterator<Item = (u8, Request)> {
    let begins = data.first().is_some_and(|byte| byte % 2 == 1);
    let everything = Extensions { version: PROTOCOL_VERSION, capabilities: Capabilities::all() };
    let requests = [
        (0, Request::Hello(Some(everything))),
        (0, Request::Register(0)),
        (0, Request::Login(0, None)),
        (1, Request::Hello(hides_addresses(data).then_some(everything))),
        (1, Request::Register(1)),
        (1, Request::Login(1, None)),
        (0, Request::Create(129, 1)),
    ];
    requests.into_iter().filter(move |_| begins)
}

/// The answers that each of these requests may need.
pub(super) fn beginning_answers() -> [Answer; 5] {
    [Answer::Hashed, Answer::Stored, Answer::Hashed, Answer::Token, Answer::Stored]
}

/// Which question is answered: the oldest to the store or to the hash; or it is said to be busy.
#[derive(Debug, Arbitrary)]
pub(super) enum Answer {
    Stored,
    Hashed,
    StoreBusy,
    HashBusy,
    Token,
    NoToken,
}

/// Store and hash, and what they have been asked.
pub(super) struct Backend {
    store: MemoryStore,
    questions: VecDeque<(OpId, StoreRequest)>,
    hashes: VecDeque<(OpId, HashRequest)>,
    mints: VecDeque<OpId>,
    /// How many tokens there have been.
    tokens: u8,
}

impl Default for Backend {
    fn default() -> Self {
        let mut store = MemoryStore::new();
        for (n, uses) in (0..).zip(USES) {
            let digest = InviteDigest::of(&code(n));
            let invite = Invite { digest, note: None, since: 0, until: None, uses, left: uses };
            store.answer(&StoreRequest::Write(Write::CreateInvite { invite, limit: 2 }));
        }
        Self { store, questions: VecDeque::new(), hashes: VecDeque::new(), mints: VecDeque::new(), tokens: 0 }
    }
}

impl Backend {
    /// Takes a question; any other effect is given back.
    pub(super) fn ask(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Store { op, request } => self.questions.push_back((op, request)),
            Effect::Hash { op, request } => self.hashes.push_back((op, request)),
            Effect::Token { op } => self.mints.push_back(op),
            other => return Some(other),
        }
        None
    }

    pub(super) fn answer(&mut self, registry: &mut Registry, now: Time, answer: &Answer) {
        match answer {
            Answer::Stored | Answer::StoreBusy => {
                let Some((op, request)) = self.questions.pop_front() else { return };
                let busy = matches!(answer, Answer::StoreBusy);
                let answer = match busy {
                    true => StoreAnswer::Failed(StoreError::Busy),
                    false => self.store.answer(&request),
                };
                registry.handle_stored(now, op, answer);
            }
            Answer::Hashed | Answer::HashBusy => {
                let Some((op, request)) = self.hashes.pop_front() else { return };
                let busy = matches!(answer, Answer::HashBusy);
                registry.handle_hashed(now, op, if busy { HashAnswer::Busy } else { hash(&request) });
            }
            Answer::Token | Answer::NoToken => {
                let Some(op) = self.mints.pop_front() else { return };
                let answer = match answer {
                    Answer::NoToken => TokenAnswer::Failed,
                    _ => {
                        self.tokens = self.tokens.wrapping_add(1);
                        let unix_now = now.since(Time::ZERO).as_secs();
                        TokenAnswer::Fresh { token: token(self.tokens), unix_now }
                    }
                };
                registry.handle_token(now, op, answer);
            }
        }
    }

    /// The store deletes an account, and the machine is told.
    pub(super) fn delete(&mut self, registry: &mut Registry, username: Username) {
        let request = StoreRequest::Write(Write::DeleteAccount { username });
        if let StoreAnswer::Deleted { username, rooms } = self.store.answer(&request) {
            registry.handle_deleted(&username, rooms);
        }
    }

    /// True if the account was deleted.
    pub(super) fn is_deleted(&self, username: &Username) -> bool {
        match read(&self.store, &Read::Accounts { after: None, count: usize::MAX }) {
            StoreAnswer::Accounts(all) => all.iter().any(|info| info.deleted && info.username == *username),
            _ => false,
        }
    }

    /// What holds at any time: the machine's bounds, and those of the rooms.
    pub(super) fn check(&self, registry: &Registry) {
        let stats = registry.stats();
        assert!(stats.connections <= 6 && stats.waiting <= 6 && stats.operations <= 8);
        let without_stream = stats.waiting + stats.parked;
        assert!(stats.parked <= 2 && without_stream <= stats.sessions);
        assert!(stats.sessions <= stats.connections + without_stream);
        let questions = self.questions.len() + self.hashes.len() + self.mints.len();
        assert_eq!(questions, stats.operations, "a question is asked once");
        if registry.registration() == Registration::Invite
            && let StoreAnswer::Accounts(accounts) =
                read(&self.store, &Read::Accounts { after: None, count: 9 })
        {
            let left = match read(&self.store, &Read::Invites { after: None, count: 9 }) {
                StoreAnswer::Invites(invites) => invites.iter().map(|invite| invite.left).sum::<u32>(),
                other => panic!("{other:?}"),
            };
            let used = USES.iter().sum::<u32>() - left;
            assert_eq!(accounts.len(), used as usize, "an account for each registration that is used up");
        }
        if let StoreAnswer::Rooms(rooms) = read(&self.store, &Read::Rooms) {
            assert!(rooms.iter().all(|room| (1..=room.capacity.get()).contains(&room.members)));
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
