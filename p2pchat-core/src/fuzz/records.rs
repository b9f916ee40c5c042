//! The store's records, damaged.

use arbitrary::{Arbitrary, Unstructured};
use p2pchat_proto::{Capacity, Description, InviteCode, Reason, RoomName, SessionToken, Username};

use super::backend::{room, user};
use crate::registry::{
    Ban, BanTarget, Invite, InviteDigest,
    store::{
        InviteUse, MemoryStore, Read, ReadTransaction, RoomAction, Secret, StoreAnswer, StoreError,
        StoreRequest, StoredToken, Table, TokenChange, TokenDigest, Write, WriteTransaction, is_prepared,
        prepare,
    },
};

/// What happens to a store.
#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Ask(u8, u8, Question),
    Damage { table: u8, record: u8, damage: Damage<'a> },
}

#[derive(Debug, Arbitrary)]
enum Question {
    Account,
    Room,
    Rooms,
    Register,
    OpenSession(bool, Option<u8>),
    ResumeSession(u8, u8, Option<u8>),
    RevokeTokens(Option<u8>),
    CreateRoom(u8),
    JoinRoom,
    LeaveRoom,
    DeleteAccount,
    CreateInvite(u8),
    UseInvite,
    RevokeInvite,
    Invites,
    Prepare,
    Ban { until: Option<u8>, limit: u8 },
    Unban,
    Bans,
    Accounts,
    RoomInfos,
    Moderate { by: u8, action: Action },
    RoomBans,
}

/// What a room's owner wants.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Action {
    Kick,
    Ban,
    Unban,
    SetPassword(bool),
    SetCapacity(u8),
    SetDescription,
    SetOwner,
}

impl Action {
    fn about(self, username: Username) -> RoomAction {
        match self {
            Self::Kick => RoomAction::Kick { username, reason: None },
            Self::Ban => RoomAction::Ban { username, reason: Some(Reason::truncated("why")) },
            Self::Unban => RoomAction::Unban { username },
            Self::SetPassword(has) => RoomAction::SetPassword(has.then(|| "hash".into())),
            Self::SetCapacity(n) => {
                RoomAction::SetCapacity(Capacity::new(u32::from(n).max(1)).expect("in range"))
            }
            Self::SetDescription => RoomAction::SetDescription(Description::truncated("about")),
            Self::SetOwner => RoomAction::SetOwner(username),
        }
    }
}

#[derive(Debug, Arbitrary)]
enum Damage<'a> {
    Flip { at: u16, bits: u8 },
    Cut { length: u16 },
    Replace(&'a [u8]),
}

/// A store whose records are damaged answers, or names the kind of record that it can't read.
pub fn records(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut store = MemoryStore::new();
    fill(&mut store);
    while !input.is_empty()
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        match step {
            Step::Ask(u, r, question) => {
                if let Some((user, room)) = user(u).zip(room(r)) {
                    ask(&mut store, user, room, &question);
                }
            }
            Step::Damage { table, record, damage } => {
                let table = Table::ALL.get(usize::from(table) % Table::ALL.len()).copied().expect("in range");
                if let Some((key, mut value)) = nth(&store, table, record.into()) {
                    damage.work(&mut value);
                    store.put(table, &key, &value).expect("memory doesn't fail");
                }
            }
        }
    }
}

/// Two rooms with two members each.
fn fill(store: &mut MemoryStore) {
    for n in 0..3 {
        let (Some(user), Some(room), Some(other)) = (user(n), room(n % 2), room(n + 1)) else { return };
        ask(store, user.clone(), room.clone(), &Question::Register);
        ask(store, user.clone(), room.clone(), &Question::CreateRoom(2));
        ask(store, user.clone(), room, &Question::JoinRoom);
        ask(store, user.clone(), other.clone(), &Question::JoinRoom);
        // A ban takes the token away.
        ask(store, user.clone(), other.clone(), &Question::Ban { until: None, limit: 9 });
        ask(store, user, other, &Question::OpenSession(false, Some(n + 100)));
    }
    if let (Some(user), Some(room)) = (user(1), room(0)) {
        ask(store, user, room, &Question::Moderate { by: 0, action: Action::Ban });
    }
}

/// One of a few tokens, good for a while.
fn stored(n: u8) -> StoredToken {
    let digest = TokenDigest::of(&SessionToken::from_random([n % 4; 32]));
    StoredToken { digest, expires: u64::from(n) }
}

fn ask(store: &mut MemoryStore, username: Username, room: RoomName, question: &Question) {
    let digest = InviteDigest::of(&InviteCode::from_random([username.as_str().len() as u8; 26]));
    let request = match question {
        Question::Account => StoreRequest::Read(Read::Account { username }),
        Question::Room => StoreRequest::Read(Read::Room { room, username }),
        Question::Rooms => StoreRequest::Read(Read::Rooms),
        Question::Register => {
            StoreRequest::Write(Write::Register { username, password: "hash".into(), invite: None })
        }
        Question::OpenSession(upgraded, token) => {
            let password = upgraded.then(|| "another hash".into());
            let token = token.map_or(TokenChange::Revoke, |n| TokenChange::Give(stored(n)));
            StoreRequest::Write(Write::OpenSession { username, password, token })
        }
        Question::ResumeSession(token, now, next) => StoreRequest::Write(Write::ResumeSession {
            username,
            token: stored(*token).digest,
            now: u64::from(*now),
            next: next.map(stored),
        }),
        Question::RevokeTokens(only) => {
            let only = only.map(|n| stored(n).digest);
            StoreRequest::Write(Write::RevokeTokens { username, only })
        }
        Question::CreateRoom(capacity) => StoreRequest::Write(Write::CreateRoom {
            room,
            owner: username,
            password: None,
            capacity: Capacity::new(u32::from(*capacity).max(1)).expect("in range"),
            description: Description::default(),
            rooms_per_user: 3,
        }),
        Question::JoinRoom => {
            let StoreAnswer::Room(Some(state)) = store
                .answer(&StoreRequest::Read(Read::Room { room: room.clone(), username: username.clone() }))
            else {
                return;
            };
            let password = state.password.map(|Secret(phc)| phc);
            StoreRequest::Write(Write::JoinRoom { room, id: state.id, password, username, rooms_per_user: 3 })
        }
        Question::Moderate { by, action } => {
            let Some(by) = user(*by) else { return };
            let action = action.about(username);
            StoreRequest::Write(Write::Moderate { room, by, action, bans_per_room: 2 })
        }
        Question::RoomBans => StoreRequest::Read(Read::RoomBans { room, username }),
        Question::LeaveRoom => StoreRequest::Write(Write::LeaveRoom { room, username }),
        Question::DeleteAccount => StoreRequest::Write(Write::DeleteAccount { username }),
        Question::CreateInvite(uses) => {
            let invite =
                Invite { digest, note: None, since: 1, until: Some(9), uses: 3, left: (*uses).into() };
            StoreRequest::Write(Write::CreateInvite { invite, limit: 2 })
        }
        Question::UseInvite => {
            let invite = Some(InviteUse { digest, now: 5 });
            StoreRequest::Write(Write::Register { username, password: "hash".into(), invite })
        }
        Question::RevokeInvite => StoreRequest::Write(Write::RevokeInvite { digest }),
        Question::Invites => StoreRequest::Read(Read::Invites { after: None, count: 2 }),
        Question::Prepare => {
            prepare(store).expect("whatever the records are, names are known by their keys");
            assert_eq!(is_prepared(store), Ok(true));
            return;
        }
        Question::Ban { until, limit } => {
            let (target, until) = (BanTarget::User(username), until.map(u64::from));
            let ban = Ban { target, reason: None, since: 100, until };
            StoreRequest::Write(Write::Ban { ban, limit: usize::from(*limit) })
        }
        Question::Unban => StoreRequest::Write(Write::Unban { target: BanTarget::User(username) }),
        Question::Accounts => StoreRequest::Read(Read::Accounts { after: Some(username), count: 2 }),
        Question::RoomInfos => StoreRequest::Read(Read::RoomInfos { after: Some(room), count: 2 }),
        Question::Bans => StoreRequest::Read(Read::Bans { after: Some(BanTarget::User(username)), count: 2 }),
    };
    let before = store.clone();
    if let StoreAnswer::Failed(error) = store.answer(&request) {
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        // A real engine drops the transaction.
        *store = before;
    }
}

fn nth(store: &MemoryStore, table: Table, n: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        records.push((key.to_vec(), value.to_vec()));
        true
    };
    store.scan(table, &[], &mut visit).expect("memory doesn't fail");
    let index = n.checked_rem(records.len())?;
    Some(records.swap_remove(index))
}

impl Damage<'_> {
    fn work(&self, value: &mut Vec<u8>) {
        match self {
            Self::Flip { at, bits } => {
                let at = usize::from(*at).checked_rem(value.len());
                if let Some(byte) = at.and_then(|at| value.get_mut(at)) {
                    *byte ^= bits;
                }
            }
            Self::Cut { length } => value.truncate((*length).into()),
            Self::Replace(bytes) => *value = bytes.to_vec(),
        }
    }
}
