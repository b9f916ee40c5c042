//! What an operator sees and does of a running server.

use std::{sync::Arc, time::Duration};

use p2pchat_proto::{InviteCode, Reason, Username};
use tokio::{sync::oneshot, time::sleep};

use super::{ServerHandle, shared::Shared};
use crate::{
    registry::{
        Ban, BanTarget, Invite, InviteDigest, SessionInfo,
        store::{Read, StoreAnswer, StoreError, StoreRequest, Write},
    },
    tokio::store::Store,
};

/// Before a busy store is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Why somebody is not banned, or still is. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BanError {
    /// There are as many bans as [`Config::bans`](crate::registry::Config::bans) allows.
    #[error("there are {limit} bans, which is the limit: lift some, or ban a wider network")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The ban couldn't be made durable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no invitation. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// There are as many as [`Config::invites`](crate::registry::Config::invites) allows.
    #[error("there are {limit} invitations, which is the limit: revoke some")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The system has no randomness to make a code of.
    #[error("the system has no randomness for a code")]
    NoRandomness,
    /// It couldn't be made durable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServerHandle {
    /// Makes an invitation, durably: a code for so many registrations (at least one), until so long from now or for ever.
    /// Nobody can be told the code again, since only its digest is kept.
    ///
    /// # Errors
    /// If it can't be kept.
    pub async fn create_invite(
        &self,
        uses: u32,
        lasts: Option<Duration>,
        note: Option<Reason>,
    ) -> Result<(InviteCode, Invite), InviteError> {
        let mut bits = [0; 26];
        let random = self.shared.config().tls.config.crypto_provider().secure_random;
        random.fill(&mut bits).map_err(|_| InviteError::NoRandomness)?;
        let code = InviteCode::from_random(bits);
        let since = self.shared.clock.unix_now();
        let until = lasts.map(|lasts| since.saturating_add(lasts.as_secs()));
        let uses = uses.max(1);
        let invite = Invite { digest: InviteDigest::of(&code), note, since, until, uses, left: uses };
        let limit = self.shared.config().machine.invites;
        match self.ask(StoreRequest::Write(Write::CreateInvite { invite: invite.clone(), limit })).await {
            StoreAnswer::InviteCreated => Ok((code, invite)),
            StoreAnswer::TooManyInvites => Err(InviteError::TooMany { limit }),
            answer => Err(unexpected(answer).into()),
        }
    }

    /// Makes an invitation good no longer, durably. False if there is none.
    ///
    /// # Errors
    /// If that can't be kept, which leaves everything as it was.
    pub async fn revoke_invite(&self, digest: InviteDigest) -> Result<bool, StoreError> {
        match self.ask(StoreRequest::Write(Write::RevokeInvite { digest })).await {
            StoreAnswer::InviteRevoked => Ok(true),
            StoreAnswer::NoSuchInvite => Ok(false),
            answer => Err(unexpected(answer)),
        }
    }

    /// All invitations that are good, the oldest first.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn invites(&self) -> Result<Vec<Invite>, StoreError> {
        let now = self.shared.clock.unix_now();
        let all = Read::Invites { after: None, count: usize::MAX };
        match self.ask(StoreRequest::Read(all)).await {
            StoreAnswer::Invites(mut invites) => {
                invites.retain(|invite| invite.until.is_none_or(|until| until > now));
                invites.sort_by_key(|invite| (invite.since, invite.digest));
                Ok(invites)
            }
            answer => Err(unexpected(answer)),
        }
    }

    /// At most `count` of those online whose names come after `after`, in the order of names.
    pub fn sessions(&self, after: Option<&Username>, count: usize) -> Vec<SessionInfo> {
        self.shared.act(|registry, now| registry.sessions(now, after).take(count).collect())
    }

    /// The user's session, if they are online.
    pub fn session_of(&self, username: &Username) -> Option<SessionInfo> {
        self.shared.act(|registry, now| registry.session_of(now, username))
    }

    /// Ends the user's session: their token is revoked, durably before anything else; then they are told why, and their
    /// stream is closed. They may come back with their password. False if they are not online.
    ///
    /// # Errors
    /// If the token can't be revoked, which leaves everything as it was.
    pub async fn kick(&self, username: &Username, why: &str) -> Result<bool, StoreError> {
        if self.session_of(username).is_none() {
            return Ok(false);
        }
        let revoke = Write::RevokeTokens { username: username.clone(), only: None };
        match self.ask(StoreRequest::Write(revoke)).await {
            StoreAnswer::TokenRevoked => Ok(self.shared.act(|registry, _| registry.kick(username, why))),
            answer => Err(unexpected(answer)),
        }
    }

    /// Keeps somebody out for so long, or for ever, in place of an earlier ban of the same target. It is durable before
    /// anything else, and with it that a user's token is good no longer; then their streams are closed, and they are told why. Returns the ban and how many streams those were.
    ///
    /// # Errors
    /// If it can't be kept, which leaves everything as it was.
    pub async fn ban(
        &self,
        target: BanTarget,
        reason: Option<Reason>,
        lasts: Option<Duration>,
    ) -> Result<(Ban, usize), BanError> {
        let _turn = self.shared.bans.lock().await;
        let since = self.shared.clock.unix_now();
        let until = lasts.map(|lasts| since.saturating_add(lasts.as_secs()));
        let (ban, limit) = (Ban { target, reason, since, until }, self.shared.config().machine.bans);
        match self.ask(StoreRequest::Write(Write::Ban { ban: ban.clone(), limit })).await {
            StoreAnswer::Banned => {
                let ended = self.shared.hold(&ban);
                Ok((ban, ended))
            }
            StoreAnswer::TooManyBans => Err(BanError::TooMany { limit }),
            answer => Err(unexpected(answer).into()),
        }
    }

    /// Keeps somebody out no longer. False if they weren't.
    ///
    /// # Errors
    /// If that can't be kept, which leaves everything as it was.
    pub async fn unban(&self, target: BanTarget) -> Result<bool, BanError> {
        let _turn = self.shared.bans.lock().await;
        match self.ask(StoreRequest::Write(Write::Unban { target: target.clone() })).await {
            // One that has run out is forgotten all the same.
            StoreAnswer::Unbanned => Ok(self.shared.act(|registry, now| registry.unban(now, &target))),
            StoreAnswer::NotBanned => Ok(false),
            answer => Err(unexpected(answer).into()),
        }
    }

    /// At most `count` of the bans after `after`, those of users by name and then those of networks, also those that have
    /// run out.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn bans(&self, after: Option<BanTarget>, count: usize) -> Result<Vec<Ban>, StoreError> {
        match self.ask(StoreRequest::Read(Read::Bans { after, count })).await {
            StoreAnswer::Bans(bans) => Ok(bans),
            answer => Err(unexpected(answer)),
        }
    }

    /// True if a ban holds for the user's name.
    pub fn is_banned(&self, username: &Username) -> bool {
        self.shared.act(|registry, now| registry.is_banned(now, username))
    }

    /// Deletes the user's account, durably: their session ends, they are a member of no room, the rooms that they owned go to
    /// whoever has been there longest, and nobody can have the name again, nor one that looks like it. True if they were
    /// online; `None` if there is no such account.
    ///
    /// # Errors
    /// If that can't be kept, which leaves everything as it was.
    pub async fn delete(&self, username: &Username) -> Result<Option<bool>, StoreError> {
        let delete = Write::DeleteAccount { username: username.clone() };
        match self.ask(StoreRequest::Write(delete)).await {
            StoreAnswer::Deleted { username, rooms } => {
                Ok(Some(self.shared.act(|registry, _| registry.handle_deleted(&username, rooms))))
            }
            StoreAnswer::NoSuchAccount => Ok(None),
            answer => Err(unexpected(answer)),
        }
    }

    /// Has [`Server::run`](super::Server::run) end once nobody is online any more, or after `limit`. From now on no stream is
    /// accepted, streams without a session are closed, and nobody else gets in; who is online isn't disturbed until then. Said
    /// again, it is the new limit that counts.
    pub fn drain(&self, limit: Duration) {
        self.shared.act(|registry, _| registry.drain());
        self.shared.drain.send_replace(Some(self.shared.clock.instant_now() + limit));
    }

    /// True if nobody else is let in.
    pub fn is_draining(&self) -> bool {
        self.shared.drain.borrow().is_some()
    }

    /// Asks the store.
    pub async fn ask(&self, request: StoreRequest) -> StoreAnswer {
        self.shared.store.ask(request).await
    }
}

impl dyn Store {
    async fn ask(&self, request: StoreRequest) -> StoreAnswer {
        let (answer, answered) = oneshot::channel();
        // Who has stopped waiting isn't told.
        self.submit(request, Box::new(move |stored| drop(answer.send(stored))));
        let dropped = |_| StoreAnswer::Failed(StoreError::Engine("it gave no answer".into()));
        answered.await.unwrap_or_else(dropped)
    }
}

fn unexpected(answer: StoreAnswer) -> StoreError {
    match answer {
        StoreAnswer::Failed(error) => error,
        other => StoreError::Engine(format!("it answered {other:?}").into()),
    }
}

/// The bans that a server starts with.
pub(super) async fn stored_bans(store: &Arc<dyn Store>) -> Result<Vec<Ban>, StoreError> {
    loop {
        match store.ask(StoreRequest::Read(Read::Bans { after: None, count: usize::MAX })).await {
            StoreAnswer::Bans(bans) => return Ok(bans),
            // It is shared with somebody; there is nobody yet whom a pause would hold up.
            StoreAnswer::Failed(StoreError::Busy) => sleep(BUSY_PAUSE).await,
            answer => return Err(unexpected(answer)),
        }
    }
}

impl Shared {
    /// Has the machine keep somebody out.
    pub(super) fn hold(&self, ban: &Ban) -> usize {
        let until = ban.until.map(|until| self.clock.time_at(until));
        self.act(|registry, now| registry.ban(now, ban.target.clone(), ban.reason.clone(), until))
    }
}
