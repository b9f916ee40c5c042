//! What each verb does.

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use p2pchat_core::{
    proto::{Reason, RoomName, Username},
    registry::{
        Ban, BanTarget, Invite, SessionInfo,
        store::{Read, StoreAnswer, StoreRequest},
    },
    tokio::{BanError, InviteError},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::AsyncWrite;

use super::{
    Admin,
    connection::Replies,
    request::{ErrorReply, Request, target_field},
    utc,
};
use crate::{
    logging::Log,
    offline,
    reload::{ReloadError, Reloader},
    store::BackupError,
};

/// How much is taken out of the machine at once, which holds everybody up meanwhile.
const PAGE: usize = 256;

/// What is told in the end.
pub(super) type Done = Result<Value, ErrorReply>;

impl Admin {
    /// Does what was asked. The lists go to `replies` as they are read; an error there is the connection's.
    pub(super) async fn carry_out(
        &self,
        request: Request,
        replies: &mut Replies<impl AsyncWrite + Unpin>,
    ) -> io::Result<Done> {
        Ok(match request {
            Request::Status => Ok(self.status()),
            Request::Sessions => return self.sessions(replies).await,
            Request::Users => return self.users(replies).await,
            Request::Rooms => return self.rooms(replies).await,
            Request::Bans => return self.bans(replies).await,
            Request::CreateInvite { uses, seconds, note } => {
                let made = self.server.create_invite(uses, seconds.map(Duration::from_secs), note).await;
                made.map_err(invite_failed).map(|(code, invite)| {
                    let mut done = invite_reply(&invite);
                    if let Some(done) = done.as_object_mut() {
                        done.insert("code".into(), code.expose().into());
                    }
                    done
                })
            }
            Request::RevokeInvite { id } => self.revoke_invite(id).await,
            Request::Invites => return self.invites(replies).await,
            Request::Delete { user } => match self.server.delete(&user).await {
                Ok(Some(online)) => Ok(json!({ "user": user.as_str(), "was_online": online })),
                Ok(None) => Err(ErrorReply::new("no-such-user", format!("there is no account {user}"))),
                Err(error) => Err(ErrorReply::new("store", format!("{error}; nothing was changed"))),
            },
            Request::Ban { target, reason, seconds } => {
                let banned = self.server.ban(target, reason, seconds.map(Duration::from_secs)).await;
                banned.map_err(ban_failed).map(|(ban, ended)| {
                    let mut done = ban_reply(&ban);
                    if let Some(done) = done.as_object_mut() {
                        done.insert("ended".into(), ended.into());
                    }
                    done
                })
            }
            Request::Unban { target } => {
                let (field, name) = target_field(&target);
                match self.server.unban(target).await {
                    Ok(true) => Ok(json!({ field: name })),
                    Ok(false) => Err(ErrorReply::new("not-banned", format!("{name} is not banned"))),
                    Err(error) => Err(ban_failed(error)),
                }
            }
            Request::Reload => reload(&self.reloader).await,
            Request::Backup { file } => self.backup(file).await,
            Request::Export { file } => self.export(file).await,
            Request::LogLevel { level } => self.log_level(level.as_deref()),
            // It begins when this is told.
            Request::Drain { seconds } => {
                Ok(json!({ "sessions": self.server.stats().registry.sessions, "seconds": seconds }))
            }
            Request::Kick { user, reason } => {
                let why =
                    reason.as_ref().map_or("the operator has ended your session", |reason| reason.as_str());
                match self.server.kick(&user, why).await {
                    Ok(true) => Ok(json!({ "user": user.as_str() })),
                    Ok(false) => Err(ErrorReply::new("not-online", format!("{user} is not online"))),
                    Err(error) => Err(ErrorReply::new("store", format!("{error}; nothing was changed"))),
                }
            }
        })
    }

    async fn revoke_invite(&self, id: String) -> Done {
        let failed = |error| store_failed(&StoreAnswer::Failed(error));
        let invites = self.server.invites().await.map_err(failed)?;
        match invites.iter().find(|invite| invite.digest.id() == id) {
            Some(invite) if self.server.revoke_invite(invite.digest).await.map_err(failed)? => {
                Ok(json!({ "id": id }))
            }
            _ => Err(ErrorReply::new("no-such-invite", format!("there is no invitation {id}"))),
        }
    }

    async fn invites(&self, replies: &mut Replies<impl AsyncWrite + Unpin>) -> io::Result<Done> {
        let invites = match self.server.invites().await {
            Ok(invites) => invites,
            Err(error) => return Ok(Err(store_failed(&StoreAnswer::Failed(error)))),
        };
        for invite in &invites {
            replies.item(&invite_reply(invite)).await?;
        }
        Ok(Ok(json!({ "count": invites.len() })))
    }

    async fn backup(&self, file: PathBuf) -> Done {
        let (store, to) = (self.store.clone(), file.clone());
        let report = aside(move || store.backup(&to)).await?;
        let records: BTreeMap<_, _> =
            report.records.iter().map(|(table, count)| (table.name(), count)).collect();
        Ok(json!({ "file": file, "records": records, "problems": report.problems }))
    }

    async fn export(&self, file: PathBuf) -> Done {
        let (store, to) = (self.store.clone(), file.clone());
        let written =
            aside(move || store.with_snapshot(|view, goes_on| offline::export_to(view, &to, goes_on)));
        let entries = written.await?.map_err(|error| {
            let kind = if let offline::Error::Write(BackupError::Stopped) = error { "store" } else { "file" };
            ErrorReply::new(kind, format!("{error}; nothing was written"))
        })?;
        Ok(json!({ "file": file, "entries": entries }))
    }

    fn log_level(&self, level: Option<&str>) -> Done {
        let Some(log) = &self.log else {
            let why = "the registry runs inside another program, which says what is logged";
            return Err(ErrorReply::new("not-possible", why));
        };
        let before = log.level();
        if let Some(level) = level {
            log.set_level(level).map_err(|error| ErrorReply::new("not-possible", error))?;
        }
        Ok(json!({ "level": log.level(), "before": before }))
    }

    fn status(&self) -> Value {
        let shown = self.reloader.shown();
        let stats = self.server.stats();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "tcp": self.here.tcp,
            "udp": self.here.udp,
            "metrics": self.here.metrics,
            "fingerprint": shown.fingerprint.to_string(),
            "log_level": self.log.as_ref().map(Log::level),
            "draining": self.server.is_draining(),
            "connections": stats.registry.connections,
            "sessions": stats.registry.sessions,
            "waiting_sessions": stats.registry.waiting,
            "parked_sessions": stats.registry.parked,
            "resumed_sessions": stats.registry.resumed,
            "refused_tokens": stats.registry.refused_tokens,
            "bans": stats.registry.bans,
            "refused_banned": stats.registry.refused_banned,
            "operations": stats.registry.operations,
            "hashes": stats.registry.hashes,
            "most_hashes": stats.registry.most_hashes,
            "refused_hashes": stats.registry.refused_hashes,
            "handshakes": stats.handshakes,
            "most_handshakes": stats.most_handshakes,
            "refused_handshakes": stats.refused_handshakes,
            "refused_connections": stats.refused_connections,
            "registration": shown.registration,
            "refused_registrations": stats.registry.refused_registrations,
            "refused_invites": stats.registry.refused_invites,
            "refused_logins": stats.registry.refused_logins,
            "failed_handshakes": stats.failed_handshakes,
            "slow_readers": stats.slow_readers,
            "slow_writers": stats.slow_writers,
        })
    }

    async fn sessions(&self, replies: &mut Replies<impl AsyncWrite + Unpin>) -> io::Result<Done> {
        let (mut count, mut after) = (0, None::<Username>);
        loop {
            let page = self.server.sessions(after.as_ref(), PAGE);
            for session in &page {
                replies.item(&Session::from(session)).await?;
            }
            count += page.len();
            after = page.into_iter().last().map(|session| session.username);
            if after.is_none() {
                return Ok(Ok(json!({ "count": count })));
            }
        }
    }

    async fn users(&self, replies: &mut Replies<impl AsyncWrite + Unpin>) -> io::Result<Done> {
        let (mut count, mut after) = (0, None::<Username>);
        loop {
            let page = match self.server.ask(StoreRequest::Read(Read::Accounts { after, count: PAGE })).await
            {
                StoreAnswer::Accounts(page) => page,
                answer => return Ok(Err(store_failed(&answer))),
            };
            for account in &page {
                let online = self.server.session_of(&account.username).is_some();
                let banned = self.server.is_banned(&account.username);
                let rooms: Vec<_> = account.rooms.iter().map(RoomName::as_str).collect();
                let user = account.username.as_str();
                let item = json!({
                    "user": user, "online": online, "banned": banned, "deleted": account.deleted, "rooms": rooms,
                });
                replies.item(&item).await?;
            }
            count += page.len();
            after = page.into_iter().last().map(|account| account.username);
            if after.is_none() {
                return Ok(Ok(json!({ "count": count })));
            }
        }
    }

    async fn rooms(&self, replies: &mut Replies<impl AsyncWrite + Unpin>) -> io::Result<Done> {
        let (mut count, mut after) = (0, None::<RoomName>);
        loop {
            let page = match self.server.ask(StoreRequest::Read(Read::RoomInfos { after, count: PAGE })).await
            {
                StoreAnswer::RoomInfos(page) => page,
                answer => return Ok(Err(store_failed(&answer))),
            };
            for room in &page {
                let item = json!({
                    "room": room.name.as_str(), "owner": room.owner, "members": room.members,
                    "capacity": room.capacity, "password": room.has_password,
                    "description": room.description.as_str(),
                });
                replies.item(&item).await?;
            }
            count += page.len();
            after = page.into_iter().last().map(|room| room.name);
            if after.is_none() {
                return Ok(Ok(json!({ "count": count })));
            }
        }
    }

    async fn bans(&self, replies: &mut Replies<impl AsyncWrite + Unpin>) -> io::Result<Done> {
        let (mut count, mut after, now) = (0, None::<BanTarget>, utc::unix_now());
        loop {
            let page = match self.server.bans(after, PAGE).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(store_failed(&StoreAnswer::Failed(error)))),
            };
            for ban in page.iter().filter(|ban| ban.until.is_none_or(|until| until > now)) {
                replies.item(&ban_reply(ban)).await?;
                count += 1;
            }
            after = page.into_iter().last().map(|ban| ban.target);
            if after.is_none() {
                return Ok(Ok(json!({ "count": count })));
            }
        }
    }
}

pub(super) async fn reload(reloader: &Reloader) -> Done {
    let kind = |error: &ReloadError| match error {
        ReloadError::NotPossible => "not-possible",
        _ => "settings",
    };
    match reloader.reload().await {
        Ok(reloaded) => Ok(json!(reloaded)),
        Err(error) => Err(ErrorReply::new(kind(&error), format!("{error}; nothing was changed"))),
    }
}

/// Runs what takes long where nobody waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, ErrorReply> {
    let failed =
        |kind, error: &dyn std::fmt::Display| ErrorReply::new(kind, format!("{error}; nothing was written"));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error @ BackupError::Write { .. })) => Err(failed("file", &error)),
        Ok(Err(error)) => Err(failed("store", &error)),
        Err(error) => Err(failed("store", &error)),
    }
}

fn store_failed(answer: &StoreAnswer) -> ErrorReply {
    match answer {
        StoreAnswer::Failed(error) => ErrorReply::new("store", error),
        other => ErrorReply::new("store", format!("the store answered {other:?}")),
    }
}

fn ban_failed(error: BanError) -> ErrorReply {
    let message = format!("{error}; nothing was changed");
    match error {
        BanError::TooMany { limit } => {
            ErrorReply { limit: Some(limit), ..ErrorReply::new("too-many-bans", message) }
        }
        _ => ErrorReply::new("store", message),
    }
}

fn invite_failed(error: InviteError) -> ErrorReply {
    let message = format!("{error}; nothing was changed");
    match error {
        InviteError::TooMany { limit } => {
            ErrorReply { limit: Some(limit), ..ErrorReply::new("too-many-invites", message) }
        }
        _ => ErrorReply::new("store", message),
    }
}

/// An invitation as it is told, without its code.
fn invite_reply(invite: &Invite) -> Value {
    let Invite { digest, note, since, until, uses, left } = invite;
    json!({
        "id": digest.id(), "uses": uses, "left": left, "note": note.as_ref().map(Reason::as_str),
        "since": utc::rfc3339(*since), "until": until.map(utc::rfc3339),
    })
}

/// A ban as it is told.
fn ban_reply(ban: &Ban) -> Value {
    let Ban { target, reason, since, until } = ban;
    let (field, target) = target_field(target);
    json!({
        field: target, "reason": reason.as_ref().map(Reason::as_str),
        "since": utc::rfc3339(*since), "until": until.map(utc::rfc3339),
    })
}

/// A user online.
#[derive(Debug, Serialize)]
struct Session {
    user: String,
    address: String,
    port: Option<u16>,
    rooms: Vec<String>,
    dialect: &'static str,
    capabilities: String,
    online_seconds: u64,
    silent_seconds: u64,
    waits: bool,
    parked: bool,
}

impl From<&SessionInfo> for Session {
    fn from(session: &SessionInfo) -> Self {
        Self {
            user: session.username.to_string(),
            address: session.remote.to_string(),
            port: session.port.map(|port| port.get()),
            rooms: session.rooms.iter().map(ToString::to_string).collect(),
            dialect: match session.dialect {
                p2pchat_core::proto::Dialect::Canonical => "canonical",
                _ => "prototype",
            },
            capabilities: session.capabilities.to_string(),
            online_seconds: session.online_for.as_secs(),
            silent_seconds: session.silent_for.as_secs(),
            waits: session.waits,
            parked: session.parked,
        }
    }
}
