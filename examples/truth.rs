//! The store as it must be: a model that is told of each commit, so small that it is plainly right.

use std::collections::{BTreeMap, BTreeSet};

use p2pchat_core::registry::{
    Invite, InviteDigest,
    store::{
        InviteUse, MemoryStore, Read, RoomAction, StoreAnswer, StoreRequest, StoredToken, TokenChange,
        TokenDigest, Write,
    },
};
use p2pchat_proto::{Description, RoomName, SessionToken, Username};

/// What is durable.
#[derive(Debug, Default)]
pub struct Truth {
    accounts: BTreeMap<Username, BTreeSet<RoomName>>,
    rooms: BTreeMap<RoomName, Room>,
    /// Whom an owner has put out of a room, and who hasn't joined it since.
    put_out: BTreeSet<(Username, RoomName)>,
    /// The token of each account that was given out last, and the one that was used for it.
    tokens: BTreeMap<Username, (StoredToken, Option<StoredToken>)>,
    /// Who isn't invited gets no account.
    by_invitation: bool,
    /// The invitations that are kept.
    invites: BTreeMap<InviteDigest, Invite>,
    /// For how many accounts each invitation that ever was kept was made, and how many it has made.
    invited: BTreeMap<InviteDigest, [u32; 2]>,
}

#[derive(Debug)]
struct Room {
    capacity: usize,
    description: Description,
    password: Option<String>,
    members: BTreeSet<Username>,
    /// The same, in the order of joining.
    seniority: Vec<Username>,
    owner: Username,
    bans: BTreeSet<Username>,
}

type Checked = Result<(), String>;

impl Truth {
    /// Nothing, where registrations are taken from everybody or `by_invitation`.
    pub fn new(by_invitation: bool) -> Self {
        Self { by_invitation, ..Self::default() }
    }

    /// For how many accounts an invitation was made, if it ever was.
    pub fn invitation(&self, digest: &InviteDigest) -> Option<u32> {
        self.invited.get(digest).map(|[uses, _]| *uses)
    }

    /// True if the invitation is good.
    pub fn is_good(&self, used: &InviteUse) -> bool {
        self.invites.get(&used.digest).is_some_and(|invite| is_good(invite, used.now))
    }

    /// The store has answered what changes nothing.
    ///
    /// # Errors
    /// If that isn't so.
    pub fn read(&self, request: &StoreRequest, answer: &StoreAnswer) -> Checked {
        match (request, answer) {
            (StoreRequest::Read(Read::Invite { invite }), StoreAnswer::Invite(good))
                if *good != self.is_good(invite) =>
            {
                Err(format!("the store says that {:?} is good: {good}", invite.digest))
            }
            _ => Ok(()),
        }
    }

    /// The user has had an account since before anybody looked.
    pub fn found(&mut self, username: &Username) {
        self.accounts.entry(username.clone()).or_default();
    }

    fn register(&mut self, username: &Username, invite: Option<&InviteUse>) -> bool {
        let may = match invite {
            None => !self.by_invitation,
            Some(used) => self.is_good(used) && self.use_up(&used.digest),
        };
        may && self.accounts.insert(username.clone(), BTreeSet::new()).is_none()
    }

    /// One more account by an invitation, which may not make more than it was made for.
    fn use_up(&mut self, digest: &InviteDigest) -> bool {
        if let Some(invite) = self.invites.get_mut(digest) {
            invite.left = invite.left.saturating_sub(1);
        }
        self.invites.retain(|_, invite| invite.left > 0);
        let [uses, made] = self.invited.entry(*digest).or_default();
        *made += 1;
        made <= uses
    }

    fn invite(&mut self, invite: &Invite, limit: usize, answer: &StoreAnswer) -> bool {
        self.invites.retain(|_, kept| is_good(kept, invite.since));
        let has_room = self.invites.len() < limit;
        match answer {
            StoreAnswer::InviteCreated => {
                self.invites.insert(invite.digest, invite.clone());
                has_room && self.invited.insert(invite.digest, [invite.uses, 0]).is_none()
            }
            _ => matches!(answer, StoreAnswer::TooManyInvites) && !has_room,
        }
    }

    /// True if there is such an account.
    pub fn has_account(&self, username: &Username) -> bool {
        self.accounts.contains_key(username)
    }

    /// True if the user is in the room.
    pub fn is_member(&self, username: &Username, room: &RoomName) -> bool {
        self.rooms.get(room).is_some_and(|room| room.members.contains(username))
    }

    /// True if the room's owner has put the user out.
    pub fn was_put_out(&self, username: &Username, room: &RoomName) -> bool {
        self.put_out.contains(&(username.clone(), room.clone()))
    }

    /// The rooms that a user is in.
    pub fn rooms_of(&self, username: &Username) -> BTreeSet<RoomName> {
        self.accounts.get(username).cloned().unwrap_or_default()
    }

    /// All rooms.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    /// Who is in a room.
    pub fn members_of(&self, room: &RoomName) -> BTreeSet<Username> {
        self.rooms.get(room).map(|room| room.members.clone()).unwrap_or_default()
    }

    /// How many members a room takes.
    pub fn capacity_of(&self, room: &RoomName) -> Option<usize> {
        self.rooms.get(room).map(|room| room.capacity)
    }

    /// What a room is about.
    pub fn description_of(&self, room: &RoomName) -> Option<&Description> {
        self.rooms.get(room).map(|room| &room.description)
    }

    /// Who may moderate a room.
    pub fn owner_of(&self, room: &RoomName) -> Option<&Username> {
        self.rooms.get(room).map(|room| &room.owner)
    }

    /// Who is banned from a room.
    pub fn bans_of(&self, room: &RoomName) -> BTreeSet<Username> {
        self.rooms.get(room).map(|room| room.bans.clone()).unwrap_or_default()
    }

    /// True if the token is one that brings the user back, or did when it was given out.
    pub fn is_token_of(&self, username: &Username, token: &SessionToken) -> bool {
        let digest = TokenDigest::of(token);
        self.tokens.get(username).is_some_and(|(current, previous)| {
            current.digest == digest || previous.is_some_and(|previous| previous.digest == digest)
        })
    }

    /// The token that this one stands for now, if it is good.
    fn good_token(&self, username: &Username, token: TokenDigest, now: u64) -> Option<StoredToken> {
        let (current, previous) = self.tokens.get(username)?;
        let mut both = [Some(*current), *previous].into_iter().flatten();
        both.find(|stored| stored.digest == token && now < stored.expires)
    }

    /// The store has committed a change and is about to answer.
    pub fn committed(&mut self, request: &Write, answer: &StoreAnswer) -> Checked {
        let right = match (request, answer) {
            (Write::Register { username, invite, .. }, StoreAnswer::Registered) => {
                self.register(username, invite.as_ref())
            }
            (Write::Register { username, invite, .. }, StoreAnswer::NoSuchInvite) => {
                !self.has_account(username) && invite.is_some_and(|invite| !self.is_good(&invite))
            }
            (Write::CreateInvite { invite, limit }, answer) => self.invite(invite, *limit, answer),
            (Write::RevokeInvite { digest }, StoreAnswer::InviteRevoked) => {
                self.invites.remove(digest).is_some()
            }
            (Write::RevokeInvite { digest }, StoreAnswer::NoSuchInvite) => !self.invites.contains_key(digest),
            (Write::Register { username, .. }, StoreAnswer::NameTaken) => self.has_account(username),
            (Write::OpenSession { username, token, .. }, StoreAnswer::Session(Some((_, rooms, _)))) => {
                match token {
                    TokenChange::Give(token) => drop(self.tokens.insert(username.clone(), (*token, None))),
                    TokenChange::Revoke => drop(self.tokens.remove(username)),
                    _ => {}
                }
                self.has_account(username) && self.rooms_of(username) == rooms.iter().cloned().collect()
            }
            (
                Write::ResumeSession { username, token, now, next },
                StoreAnswer::Session(Some((_, rooms, _))),
            ) => {
                let used = self.good_token(username, *token, *now);
                if let Some(next) = next {
                    self.tokens.insert(username.clone(), (*next, used));
                }
                used.is_some() && self.rooms_of(username) == rooms.iter().cloned().collect()
            }
            (Write::ResumeSession { username, token, now, .. }, StoreAnswer::WrongToken) => {
                self.good_token(username, *token, *now).is_none()
            }
            (Write::RevokeTokens { username, only }, StoreAnswer::TokenRevoked) => {
                let concerned =
                    |(current, _): &(StoredToken, _)| only.is_none_or(|only| current.digest == only);
                if self.tokens.get(username).is_some_and(concerned) {
                    self.tokens.remove(username);
                }
                true
            }
            (Write::OpenSession { username, .. }, StoreAnswer::Session(None)) => !self.has_account(username),
            (
                Write::CreateRoom { room, owner, password, capacity, description, rooms_per_user },
                StoreAnswer::Joined { .. },
            ) => {
                let capacity = usize::try_from(capacity.get()).unwrap_or(usize::MAX);
                let password = password.as_deref().map(str::to_owned);
                let new = Room {
                    capacity,
                    description: description.clone(),
                    password,
                    members: BTreeSet::new(),
                    seniority: Vec::new(),
                    owner: owner.clone(),
                    bans: BTreeSet::new(),
                };
                self.rooms.insert(room.clone(), new).is_none() && self.admit(room, owner, *rooms_per_user)
            }
            (Write::CreateRoom { room, .. }, StoreAnswer::NameTaken) => self.rooms.contains_key(room),
            (
                Write::JoinRoom { room, username, password, rooms_per_user, .. },
                StoreAnswer::Joined { .. },
            ) => {
                let opens =
                    |room: &Room| room.password.is_none() || room.password.as_deref() == password.as_deref();
                self.is_member(username, room)
                    || self.rooms.get(room).is_some_and(opens) && self.admit(room, username, *rooms_per_user)
            }
            (Write::JoinRoom { room, username, .. }, StoreAnswer::BannedFromRoom { .. }) => {
                self.rooms.get(room).is_some_and(|room| room.bans.contains(username))
            }
            (Write::JoinRoom { room, password, .. }, StoreAnswer::PasswordChanged) => {
                let other =
                    |room: &Room| room.password.is_some() && room.password.as_deref() != password.as_deref();
                self.rooms.get(room).is_some_and(other)
            }
            (Write::JoinRoom { room, username, .. }, StoreAnswer::Full) => {
                let full = |room: &Room| room.members.len() >= room.capacity;
                !self.is_member(username, room) && self.rooms.get(room).is_some_and(full)
            }
            // The room may be another one of the same name by now.
            (Write::JoinRoom { .. }, StoreAnswer::NoSuchRoom) => true,
            (
                Write::CreateRoom { owner: username, rooms_per_user, .. }
                | Write::JoinRoom { username, rooms_per_user, .. },
                StoreAnswer::TooManyRooms,
            ) => self.rooms_of(username).len() >= *rooms_per_user,
            (Write::LeaveRoom { room, username }, StoreAnswer::Left { heir, .. }) => {
                self.remove(room, username) && self.pass_on(room, username) == *heir
            }
            (Write::Moderate { room, by, action, bans_per_room }, answer) => {
                self.moderated(room, by, action, *bans_per_room, answer)
            }
            (Write::LeaveRoom { room, username }, StoreAnswer::NotAMember) => !self.is_member(username, room),
            _ => false,
        };
        if right { Ok(()) } else { Err(format!("the store answers {answer:?} to {request:?}")) }
    }

    fn admit(&mut self, name: &RoomName, username: &Username, rooms_per_user: usize) -> bool {
        let (Some(room), Some(rooms)) = (self.rooms.get_mut(name), self.accounts.get_mut(username)) else {
            return false;
        };
        rooms.insert(name.clone());
        room.members.insert(username.clone());
        room.seniority.push(username.clone());
        self.put_out.remove(&(username.clone(), name.clone()));
        room.members.len() <= room.capacity && rooms.len() <= rooms_per_user && !room.bans.contains(username)
    }

    /// Who owns the room now that its owner, if that was who it is, has left.
    fn pass_on(&mut self, name: &RoomName, left: &Username) -> Option<Username> {
        let room = self.rooms.get_mut(name).filter(|room| room.owner == *left)?;
        room.owner.clone_from(room.seniority.first()?);
        Some(room.owner.clone())
    }

    /// True if that is the answer to what an owner, or somebody else, wants of a room.
    fn moderated(
        &mut self,
        name: &RoomName,
        by: &Username,
        action: &RoomAction,
        bans_per_room: usize,
        answer: &StoreAnswer,
    ) -> bool {
        let is_member = |username| self.is_member(username, name);
        let (asks, has_account) = (is_member(by), |username| self.has_account(username));
        let Some(room) = self.rooms.get(name).filter(|_| asks) else {
            return matches!(answer, StoreAnswer::NotAMember);
        };
        if room.owner != *by {
            return matches!(answer, StoreAnswer::NotOwner { owner } if *owner == room.owner);
        }
        let right = match (action, answer) {
            (RoomAction::Kick { username, .. }, StoreAnswer::Moderated { removed, .. }) => {
                *removed && is_member(username)
            }
            (
                RoomAction::Kick { username, .. } | RoomAction::SetOwner(username),
                StoreAnswer::NoSuchMember,
            ) => !is_member(username),
            (RoomAction::Ban { username, .. }, StoreAnswer::Moderated { removed, .. }) => {
                has_account(username) && is_member(username) == *removed
            }
            (RoomAction::Ban { username, .. }, StoreAnswer::NoSuchAccount) => !has_account(username),
            (RoomAction::Ban { username, .. }, StoreAnswer::TooManyBans) => {
                room.bans.len() >= bans_per_room && !room.bans.contains(username)
            }
            (RoomAction::Unban { username }, StoreAnswer::NotBanned) => !room.bans.contains(username),
            (RoomAction::SetCapacity(capacity), StoreAnswer::TooFewPlaces { members }) => {
                capacity.get() < *members && usize::try_from(*members) == Ok(room.members.len())
            }
            (RoomAction::SetOwner(username), StoreAnswer::Moderated { .. }) => is_member(username),
            (_, StoreAnswer::Moderated { removed, .. }) => !removed,
            _ => false,
        };
        if right && matches!(answer, StoreAnswer::Moderated { .. }) {
            self.moderate(name, action);
        }
        right
            && self.rooms.get(name).is_some_and(|room| {
                room.members.len() <= room.capacity
                    && room.members.contains(&room.owner)
                    && room.members.is_disjoint(&room.bans)
                    && room.bans.len() <= bans_per_room
            })
    }

    fn moderate(&mut self, name: &RoomName, action: &RoomAction) {
        if let RoomAction::Kick { username, .. } | RoomAction::Ban { username, .. } = action
            && self.remove(name, username)
        {
            self.put_out.insert((username.clone(), name.clone()));
        }
        let Some(room) = self.rooms.get_mut(name) else { return };
        match action {
            RoomAction::Ban { username, .. } => drop(room.bans.insert(username.clone())),
            RoomAction::Unban { username } => drop(room.bans.remove(username)),
            RoomAction::SetPassword(password) => room.password = password.as_deref().map(str::to_owned),
            RoomAction::SetCapacity(capacity) => {
                room.capacity = usize::try_from(capacity.get()).unwrap_or(usize::MAX);
            }
            RoomAction::SetDescription(description) => room.description = description.clone(),
            RoomAction::SetOwner(username) => room.owner = username.clone(),
            _ => {}
        }
    }

    fn remove(&mut self, name: &RoomName, username: &Username) -> bool {
        let Some(room) = self.rooms.get_mut(name) else { return false };
        let was_member = room.members.remove(username);
        room.seniority.retain(|other| other != username);
        if room.members.is_empty() {
            self.rooms.remove(name);
        }
        if let Some(rooms) = self.accounts.get_mut(username) {
            rooms.remove(name);
        }
        was_member
    }

    /// Everything that was ever committed is in the store, and nothing else.
    pub fn audit(&self, store: &mut MemoryStore) -> Checked {
        let all = Read::Invites { after: None, count: usize::MAX };
        match store.answer(&StoreRequest::Read(all)) {
            StoreAnswer::Invites(stored) if stored.iter().eq(self.invites.values()) => {}
            other => return Err(format!("{:?} are good, but the store has {other:?}", self.invites)),
        }
        for (username, rooms) in &self.accounts {
            let request =
                Write::OpenSession { username: username.clone(), password: None, token: TokenChange::Keep };
            match store.answer(&StoreRequest::Write(request)) {
                StoreAnswer::Session(Some((_, stored, _))) if *rooms == stored.iter().cloned().collect() => {}
                other => {
                    return Err(format!("{username} is in {rooms:?}, but the store says {other:?}"));
                }
            }
        }
        let StoreAnswer::Rooms(stored) = store.answer(&StoreRequest::Read(Read::Rooms)) else {
            return Err("the store has no list of rooms".to_owned());
        };
        if stored.len() != self.rooms.len() {
            return Err(format!("the store has {} rooms instead of {}", stored.len(), self.rooms.len()));
        }
        for record in stored.iter() {
            let members = self.rooms.get(&record.name).map(|room| room.members.len());
            if members != usize::try_from(record.members).ok() {
                return Err(format!("{} has {members:?} members, not {}", record.name, record.members));
            }
        }
        for (name, room) in &self.rooms {
            // Only its owner is told.
            let request = Read::RoomBans { room: name.clone(), username: room.owner.clone() };
            let answer = store.answer(&StoreRequest::Read(request));
            let stored = match &answer {
                StoreAnswer::RoomBans(bans) => bans.iter().map(|ban| ban.username.clone()).collect(),
                _ => BTreeSet::new(),
            };
            if stored != room.bans || !matches!(answer, StoreAnswer::RoomBans(_)) {
                return Err(format!(
                    "{} owns {name} with bans {:?}, but the store says {answer:?}",
                    room.owner, room.bans
                ));
            }
        }
        Ok(())
    }
}

fn is_good(invite: &Invite, now: u64) -> bool {
    invite.left > 0 && invite.until.is_none_or(|until| until > now)
}
