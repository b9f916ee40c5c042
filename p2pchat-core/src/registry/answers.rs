//! How a request goes on once the store or the password hash has answered.
//!
//! A request that waits holds its place: the stream's next one begins when it has been answered.

use std::{net::IpAddr, sync::Arc};

use p2pchat_proto::{
    BanList, Detail, FromRegistry, List, Outcome, PasswordDigest, PeerPort, RegisterReply, RoomChange,
    RoomName, RoomsList, SearchReply, Username,
};

use super::{
    BusEvent, ConnId, Effect, HashAnswer, HashRequest, OpId, Registry,
    guard::Attempt,
    operator::ACCOUNT_DELETED,
    refusal::Refused,
    report,
    requests::{again_in, too_many_rooms},
    resume::{Asked, Credential, Opening},
    store::{InviteUse, RoomAction, Secret, StoreAnswer, StoreError, StoreRequest, Write},
};
use crate::time::Time;

/// An open question: whose request it belongs to, and how that goes on.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) conn: ConnId,
    /// The user who asked, if logged in: what they changed holds even if they are back on another stream by now.
    user: Option<Username>,
    pub(super) step: Step,
    /// It has a place among those that wait for the password hash.
    hashes: bool,
}

impl Op {
    /// True if the user of the stream goes.
    pub(super) fn is_logout(&self) -> bool {
        matches!(self.step, Step::Logout)
    }
}

/// Where a request waits.
#[derive(Debug)]
pub(super) enum Step {
    /// For whether the invitation is good.
    RegisterInvite { username: Username, password: PasswordDigest, invite: InviteUse },
    /// For the new account's hash.
    RegisterHash { username: Username, invite: Option<InviteUse> },
    /// For the new account.
    RegisterStore { username: Username, invite: Option<InviteUse> },
    /// For the account's hash.
    LoginAccount { attempt: Attempt, digest: PasswordDigest, port: Option<PeerPort> },
    /// For the verdict on the password.
    LoginVerify { attempt: Attempt, port: Option<PeerPort> },
    /// For a fresh token.
    Token { opening: Opening },
    /// For a fresh ticket, while requests go on.
    Ticket,
    /// For the account's rooms, with the token made durable.
    Session(Box<Asked>),
    /// For the token to be good no longer.
    Logout,
    /// For the new room's hash.
    CreateHash { create: Box<Write> },
    /// For the new room.
    CreateStore,
    /// For the room's password and size.
    JoinRoom { room: RoomName, digest: Option<PasswordDigest> },
    /// For the verdict on the password.
    JoinVerify { room: RoomName, id: u64, password: Secret, from: IpAddr },
    /// For the membership.
    JoinStore,
    /// For the end of a membership.
    Exit,
    /// For the list.
    Rooms { detail: Detail },
    /// For the room's new password.
    PasswordHash { room: RoomName },
    /// For what the owner does.
    Moderate { action: Box<RoomAction> },
    /// For the room's bans.
    RoomBans,
    /// For whether the account exists.
    Search { username: Username },
}

impl Step {
    /// What is refused if this can't go on.
    pub(super) fn refused(&self) -> Refused {
        match self {
            Self::RegisterInvite { .. } | Self::RegisterHash { .. } | Self::RegisterStore { .. } => {
                Refused::Register
            }
            Self::LoginAccount { .. }
            | Self::LoginVerify { .. }
            | Self::Token { .. }
            | Self::Ticket
            | Self::Session(_) => Refused::Login,
            Self::Logout => Refused::Logout,
            Self::CreateHash { .. } | Self::CreateStore => Refused::Creation,
            Self::JoinRoom { .. } | Self::JoinVerify { .. } | Self::JoinStore => Refused::Join,
            Self::Exit => Refused::RoomExit,
            Self::Rooms { .. } => Refused::Rooms,
            Self::PasswordHash { .. } | Self::Moderate { .. } => Refused::Moderation,
            Self::RoomBans => Refused::Bans,
            Self::Search { .. } => Refused::Search,
        }
    }
}

/// How many requests one counts as that needs a password hash.
const HASH_COST: u32 = 5;
/// With how many records a list counts as one more request.
const LIST_COST: usize = 1_000;
pub(super) const FAULT: &str = "the registry can't do that now; its operator knows why";

impl Registry {
    pub(super) fn store(&mut self, now: Time, conn: ConnId, request: StoreRequest, step: Step) {
        if let Some(op) = self.open(now, conn, step) {
            self.effects.push_back(Effect::Store { op, request });
        }
    }

    pub(super) fn hash(&mut self, now: Time, conn: ConnId, request: HashRequest, step: Step) {
        if !self.admission.enter(now) {
            self.count_unhashed();
            return self.busy(now, conn, &step);
        }
        if let Some(op) = self.open(now, conn, step) {
            if let Some(op) = self.ops.get_mut(op) {
                op.hashes = true;
            }
            self.effects.push_back(Effect::Hash { op, request });
            self.charge(now, conn, HASH_COST - 1);
        } else {
            self.admission.withdraw();
        }
    }

    /// A list is made for the stream, which costs by its size.
    pub(super) fn charge_list(&mut self, now: Time, conn: ConnId, records: usize) {
        if let Ok(more @ 1..) = u32::try_from(records / LIST_COST) {
            self.charge(now, conn, more);
        }
    }

    /// Takes a question that is answered off the list.
    pub(super) fn answered(&mut self, now: Time, op: OpId) -> Option<Op> {
        let op = self.ops.remove(op)?;
        if op.hashes {
            self.admission.leave(now);
        }
        Some(op)
    }

    fn count_unhashed(&mut self) {
        self.counts.refused_hashes += 1;
        let so_far = self.counts.refused_hashes;
        // Whoever floods the registry must not fill the log as well.
        if so_far.is_power_of_two() {
            tracing::warn!(so_far, "too many password hashes are waiting");
        }
    }

    /// There is too much to do: what was to be tried is refused, with the time when it may be tried again (§7.8).
    fn busy(&mut self, now: Time, conn: ConnId, step: &Step) {
        self.untried(step);
        if self.connections.contains_key(conn) {
            let wait = self.admission.comes_back_in(now);
            self.say_retry(conn, wait);
            self.unable(now, conn, step.refused(), &format!("the registry is busy; {}", again_in(wait)));
        }
    }

    pub(super) fn open(&mut self, now: Time, conn: ConnId, step: Step) -> Option<OpId> {
        if self.ops.len() >= self.config.operations {
            self.counts.refused_operations += 1;
            if self.counts.refused_operations.is_power_of_two() {
                let (limit, so_far) = (self.config.operations, self.counts.refused_operations);
                tracing::warn!(limit, so_far, "too many operations are open");
            }
            self.settle(&step);
            self.busy(now, conn, &step);
            return None;
        }
        let op = self.open_aside(conn, step)?;
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.set_op(Some(op));
        }
        Some(op)
    }

    /// The same for what the stream's requests don't wait for. `None` if too many are open.
    pub(super) fn open_aside(&mut self, conn: ConnId, step: Step) -> Option<OpId> {
        let user = self.user(conn).cloned();
        (self.ops.len() < self.config.operations)
            .then(|| self.ops.insert(Op { conn, user, step, hashes: false }))
    }

    pub(super) fn refuse_step(&mut self, now: Time, conn: ConnId, what: Refused, why: &str) {
        if self.connections.contains_key(conn) {
            self.refuse(conn, what, why);
            self.done(now, conn);
        }
    }

    /// The request is not at fault, the registry can't. A login is no exception to what clients read in a failed AUTH,
    /// that the password is wrong, so the stream is closed instead: they come back after a while (§5.1). Who logs out is
    /// gone in any case.
    pub(super) fn unable(&mut self, now: Time, conn: ConnId, what: Refused, why: &str) {
        if matches!(what, Refused::Login | Refused::Logout) && self.connections.contains_key(conn) {
            self.fail(conn, why);
        } else {
            self.refuse_step(now, conn, what, why);
        }
    }

    /// What was to be tried was not: if that is a login, it doesn't count as failed.
    fn untried(&mut self, step: &Step) {
        if let Step::LoginAccount { attempt, .. } | Step::LoginVerify { attempt, .. } = step {
            self.guard.takes_back(attempt);
        }
    }

    /// The request is answered: the stream's next one may begin.
    pub(super) fn done(&mut self, now: Time, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.set_op(None);
            self.advance(now, conn);
        }
    }

    pub(super) fn reply(&mut self, now: Time, conn: ConnId, message: FromRegistry) {
        if self.connections.contains_key(conn) {
            self.send(conn, message);
            self.done(now, conn);
        }
    }

    pub(super) fn hashed(&mut self, now: Time, op: Op, answer: HashAnswer) {
        let Op { conn, user, step, .. } = op;
        let what = step.refused();
        match (step, answer) {
            (step, HashAnswer::Busy) => {
                self.count_unhashed();
                self.busy(now, conn, &step);
            }
            (Step::RegisterHash { username, invite }, HashAnswer::Created(password)) => {
                let request = Write::Register { username: username.clone(), password, invite };
                self.next(now, conn, StoreRequest::Write(request), Step::RegisterStore { username, invite });
            }
            (Step::LoginVerify { attempt, port }, HashAnswer::Match { upgraded }) => {
                let username = attempt.username().clone();
                if let Some(refusal) = self.banned(now, conn, &username) {
                    // It stays counted: who keeps trying costs a hash each time.
                    return self.reply(now, conn, FromRegistry::Auth(refusal));
                }
                self.guard.logged_in(now, &attempt);
                let by = Credential::Password { upgraded: upgraded.map(Secret) };
                self.open_session(now, conn, Opening { username, port, by });
            }
            // It stays counted, also if nobody waits for the answer any more.
            (Step::LoginVerify { attempt, .. }, HashAnswer::Mismatch) => {
                tracing::info!(?conn, user = %attempt.username(), "login failed");
                self.refuse_step(now, conn, what, "wrong username or password");
            }
            (Step::CreateHash { create }, HashAnswer::Created(hash)) => {
                let mut create = *create;
                if let Write::CreateRoom { password, .. } = &mut create {
                    *password = Some(hash);
                }
                self.next(now, conn, StoreRequest::Write(create), Step::CreateStore);
            }
            (Step::JoinVerify { room, id, password: Secret(password), .. }, HashAnswer::Match { .. }) => {
                self.join_store(now, conn, (room, id), Some(password));
            }
            (Step::PasswordHash { room }, HashAnswer::Created(hash)) => {
                if let Some(by) = self.user(conn).cloned() {
                    self.moderate_store(now, conn, by, room, RoomAction::SetPassword(Some(hash)));
                }
            }
            (Step::JoinVerify { from, .. }, HashAnswer::Mismatch) => {
                if let Some(user) = user {
                    self.guard.wrong_room_password(now, from, user);
                }
                self.refuse_step(now, conn, what, "wrong room password");
            }
            (step, answer) => {
                tracing::error!(?step, ?answer, "the password hash failed");
                self.untried(&step);
                self.unable(now, conn, what, FAULT);
            }
        }
    }

    /// Asks the store the request's next question, if anybody still waits for the answer.
    fn next(&mut self, now: Time, conn: ConnId, request: StoreRequest, step: Step) {
        if self.connections.contains_key(conn) {
            self.store(now, conn, request, step);
        }
    }

    /// Compares a room's password, unless its user has given too many wrong ones.
    fn try_room(
        &mut self,
        now: Time,
        conn: ConnId,
        (room, id): (RoomName, u64),
        (digest, password): (PasswordDigest, Secret),
    ) {
        let from = self.connections.get(conn).map(|connection| connection.remote.ip());
        let Some((from, user)) = from.zip(self.user(conn)) else { return };
        match self.guard.enters_room(now, from, user) {
            Ok(()) => {
                let request = HashRequest::Verify { digest, stored: Some(password.0.clone()) };
                self.hash(now, conn, request, Step::JoinVerify { room, id, password, from });
            }
            Err(wait) => {
                self.counts.refused_joins += 1;
                report("wrong room passwords of an account", self.counts.refused_joins, from);
                let why = format!("you gave too many wrong passwords; {}", again_in(wait));
                self.hold_up(conn, Refused::Join, wait, &why);
                self.done(now, conn);
            }
        }
    }

    /// `password` is what the room's was when it was compared.
    fn join_store(
        &mut self,
        now: Time,
        conn: ConnId,
        (room, id): (RoomName, u64),
        password: Option<Arc<str>>,
    ) {
        if let Some(username) = self.user(conn).cloned() {
            let rooms_per_user = self.config.rooms_per_user;
            let request = Write::JoinRoom { room, id, password, username, rooms_per_user };
            self.store(now, conn, StoreRequest::Write(request), Step::JoinStore);
        }
    }

    pub(super) fn stored(&mut self, now: Time, op: Op, answer: StoreAnswer) {
        let Op { conn, user, step, .. } = op;
        let what = step.refused();
        self.settle(&step);
        match (step, answer) {
            (Step::RegisterInvite { username, password, invite }, StoreAnswer::Invite(true)) => {
                if self.connections.contains_key(conn) {
                    self.hash_new(now, conn, username, password, Some(invite));
                }
            }
            (Step::RegisterInvite { .. }, StoreAnswer::Invite(false))
            | (Step::RegisterStore { .. }, StoreAnswer::NoSuchInvite) => self.not_invited(now, conn),
            (Step::RegisterStore { username, invite }, StoreAnswer::Registered) => {
                let invite = invite.map(|invite| tracing::field::display(invite.digest.id()));
                tracing::info!(user = %username, invite, "registered");
                self.reply(now, conn, FromRegistry::Register(RegisterReply::Success));
            }
            (Step::RegisterStore { .. }, StoreAnswer::NameTaken) => {
                let reason = self.reason(conn, "that username is taken");
                self.reply(now, conn, FromRegistry::Register(RegisterReply::Exists { reason }));
            }
            (Step::RegisterStore { .. }, StoreAnswer::LooksLike(name)) => {
                let reason = self.reason(conn, &format!("that username looks like {name}, which is taken"));
                self.reply(now, conn, FromRegistry::Register(RegisterReply::Exists { reason }));
            }
            (Step::LoginAccount { attempt, digest, port }, StoreAnswer::Account(stored)) => {
                let step = Step::LoginVerify { attempt, port };
                if self.connections.contains_key(conn) {
                    let stored: Option<Arc<str>> = stored.map(|Secret(phc)| phc);
                    self.hash(now, conn, HashRequest::Verify { digest, stored }, step);
                } else {
                    self.untried(&step);
                }
            }
            (Step::Session(asked), StoreAnswer::Session(Some(session))) => {
                self.opened(now, conn, *asked, session);
            }
            (Step::Session(_), StoreAnswer::Session(None)) => {
                self.refuse_step(now, conn, what, "wrong username or password");
            }
            (Step::Session(_), StoreAnswer::WrongToken) => self.wrong_token(now, conn),
            (Step::Session(asked), StoreAnswer::Failed(error @ StoreError::Engine(_))) => {
                tracing::error!(%error, "no token can be kept");
                self.open_plainly(now, conn, asked);
            }
            (Step::Logout, StoreAnswer::TokenRevoked) => self.logged_out(conn),
            (Step::CreateStore, StoreAnswer::Joined { room }) => {
                self.entered(user, &room);
                self.reply(now, conn, FromRegistry::Creation(Outcome::Success));
            }
            (Step::CreateStore, StoreAnswer::NameTaken) => {
                self.refuse_step(now, conn, what, "there is a room of that name");
            }
            (Step::CreateStore, StoreAnswer::LooksLike(name)) => {
                let why = format!("there is a room whose name looks like that: {name}");
                self.refuse_step(now, conn, what, &why);
            }
            (Step::CreateStore | Step::JoinStore, StoreAnswer::NoSuchAccount) => {
                self.refuse_step(now, conn, what, ACCOUNT_DELETED);
            }
            (Step::JoinRoom { .. } | Step::JoinStore, StoreAnswer::Room(None) | StoreAnswer::NoSuchRoom) => {
                self.refuse_step(now, conn, what, "there is no such room");
            }
            (Step::JoinRoom { room, digest }, StoreAnswer::Room(Some(state))) => {
                match (state.password, digest) {
                    // By a request of theirs on an earlier stream, which the store has carried out since.
                    _ if self.is_member(conn, &room) => {
                        self.reply(now, conn, FromRegistry::Join(Outcome::Success));
                    }
                    _ if state.banned.is_some() => {
                        self.refuse_banned(now, conn, state.banned.as_ref());
                    }
                    _ if state.full => self.refuse_step(now, conn, what, "the room is full"),
                    (None, _) => self.join_store(now, conn, (room, state.id), None),
                    (Some(_), None) => self.refuse_step(now, conn, what, "wrong room password"),
                    (Some(password), Some(digest)) => {
                        self.try_room(now, conn, (room, state.id), (digest, password));
                    }
                }
            }
            (Step::JoinStore, StoreAnswer::Joined { room }) => {
                self.entered(user, &room);
                self.reply(now, conn, FromRegistry::Join(Outcome::Success));
            }
            (Step::JoinStore, StoreAnswer::Full) => self.refuse_step(now, conn, what, "the room is full"),
            (Step::JoinStore, StoreAnswer::BannedFromRoom { reason }) => {
                self.refuse_banned(now, conn, Some(&reason));
            }
            (Step::JoinStore, StoreAnswer::PasswordChanged) => {
                self.refuse_step(now, conn, what, "the room has got another password");
            }
            (Step::CreateStore | Step::JoinStore, StoreAnswer::TooManyRooms) => {
                self.counts.refused_rooms += 1;
                let why = too_many_rooms(self.config.rooms_per_user);
                self.refuse_step(now, conn, what, &why);
            }
            (Step::Exit, StoreAnswer::Left { room, heir }) => {
                self.left(user, room, heir);
                self.reply(now, conn, FromRegistry::RoomExit(Outcome::Success));
            }
            (Step::Exit, StoreAnswer::NotAMember) => {
                self.refuse_step(now, conn, what, "you are not a member of that room");
            }
            (Step::Rooms { detail }, StoreAnswer::Rooms(rooms)) => {
                self.charge_list(now, conn, rooms.len());
                let list = match detail {
                    _ if rooms.is_empty() => {
                        RoomsList::NotFound { reason: self.reason(conn, "there is no room") }
                    }
                    Detail::Detailed => RoomsList::Detailed(rooms),
                    Detail::Partial => {
                        RoomsList::Partial(List::fitting(rooms.into_iter().map(|room| room.name)))
                    }
                };
                self.reply(now, conn, FromRegistry::Rooms(list));
            }
            (Step::Search { username }, StoreAnswer::Account(account)) => {
                let reply = match (self.find(conn, &username), account) {
                    // They have come since the store was asked, and the asker may know (§5.4).
                    (Some(found), _) => SearchReply::Found(found),
                    (None, Some(_)) => {
                        SearchReply::NotOnline { reason: self.reason(conn, "that user is not online") }
                    }
                    (None, None) => {
                        SearchReply::NotFound { reason: self.reason(conn, "there is no such user") }
                    }
                };
                self.reply(now, conn, FromRegistry::Search(reply));
            }
            (Step::Moderate { action }, StoreAnswer::Moderated { room, user: whom, removed }) => {
                if let Some(by) = user {
                    self.moderated(by, room, *action, whom, removed);
                }
                self.reply(now, conn, FromRegistry::Moderation(Outcome::Success));
            }
            (Step::RoomBans, StoreAnswer::RoomBans(list)) => {
                let list = match list.is_empty() {
                    true => {
                        BanList::NotFound { reason: self.reason(conn, "nobody is banned from that room") }
                    }
                    false => BanList::Found(list),
                };
                self.reply(now, conn, FromRegistry::Bans(list));
            }
            (step, StoreAnswer::Failed(StoreError::Busy)) => self.busy(now, conn, &step),
            (step, answer) => match self.why_not_moderated(&step, &answer) {
                Some(why) => self.refuse_step(now, conn, what, &why),
                None => {
                    tracing::error!(?step, ?answer, "the store failed");
                    self.untried(&step);
                    self.unable(now, conn, what, FAULT);
                }
            },
        }
    }

    /// A membership is durable. Its user may be gone by now, or back on another stream.
    fn entered(&mut self, user: Option<Username>, room: &RoomName) {
        let Some((username, conn)) = self.live(user) else { return };
        if let Some(session) = self.connections.get_mut(conn).and_then(|c| c.session_mut())
            && !session.rooms.contains(room)
        {
            session.rooms.push(room.clone());
            self.presence.enter(room, conn);
            self.publish(BusEvent::Joined { room: room.clone(), username });
        }
    }

    /// A membership has ended.
    pub(super) fn left(&mut self, user: Option<Username>, room: RoomName, heir: Option<Username>) {
        let Some(username) = user else { return };
        if let Some((_, conn)) = self.live(Some(username.clone())) {
            if let Some(session) = self.connections.get_mut(conn).and_then(|c| c.session_mut()) {
                session.rooms.retain(|other| *other != room);
            }
            self.presence.leave(&room, conn);
        }
        self.publish(BusEvent::Left { room: room.clone(), username: username.clone() });
        if let Some(heir) = heir {
            self.publish(BusEvent::Changed { room, by: username, change: RoomChange::Owner(heir) });
        }
    }

    fn live(&self, user: Option<Username>) -> Option<(Username, ConnId)> {
        let user = user?;
        let conn = self.place(&user)?;
        Some((user, conn))
    }
}
