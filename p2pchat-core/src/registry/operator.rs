//! What the registry's operator sees and does.

use std::{net::SocketAddr, time::Duration};

use p2pchat_proto::{Capabilities, Dialect, PeerPort, RoomName, Username};

use super::{ConnId, Registry, connection::Connection};
use crate::time::Time;

pub(super) const ACCOUNT_DELETED: &str = "the operator has deleted your account";
const DRAINING: &str = "the registry is about to end; try again in a few minutes";

/// A user online.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session's stream.
    pub conn: ConnId,
    /// Who, as it was spelled at registration.
    pub username: Username,
    /// Where the stream comes from.
    pub remote: SocketAddr,
    /// Where the user's own server listens.
    pub port: Option<PeerPort>,
    /// The rooms that the user is a member of.
    pub rooms: Vec<RoomName>,
    /// What the stream speaks.
    pub dialect: Dialect,
    /// What both ends know beyond the base protocol.
    pub capabilities: Capabilities,
    /// How long the user has been online.
    pub online_for: Duration,
    /// For how long neither request nor keep-alive has come.
    pub silent_for: Duration,
    /// The stream has ended, and the session waits for its user to come back by a token (§7.5).
    pub waits: bool,
    /// The stream was closed at the user's wish, and keep-alives alone keep the session (§7.12).
    pub parked: bool,
}

impl SessionInfo {
    fn of(now: Time, conn: ConnId, connection: &Connection) -> Option<Self> {
        let session = connection.session()?;
        Some(Self {
            conn,
            username: session.username.clone(),
            remote: connection.remote,
            port: session.port,
            rooms: session.rooms.clone(),
            dialect: connection.dialect,
            capabilities: connection.capabilities,
            online_for: now.since(session.since),
            silent_for: connection.silence(now),
            waits: connection.waits(),
            parked: connection.is_parked(),
        })
    }
}

impl Registry {
    /// Those online whose names come after `after`, in the order of names.
    pub fn sessions(&self, now: Time, after: Option<&Username>) -> impl Iterator<Item = SessionInfo> {
        self.presence
            .after(after)
            .filter_map(move |(_, conn)| SessionInfo::of(now, conn, self.connections.get(conn)?))
    }

    /// The user's session, if they are online.
    pub fn session_of(&self, now: Time, username: &Username) -> Option<SessionInfo> {
        let conn = self.place(username)?;
        SessionInfo::of(now, conn, self.connections.get(conn)?)
    }

    /// Lets nobody else in from now on: streams without a session are closed, and no more are taken on.
    pub fn drain(&mut self) {
        self.draining = true;
        let anonymous = self.connections.iter().filter(|(_, connection)| connection.session().is_none());
        for conn in anonymous.map(|(conn, _)| conn).collect::<Vec<_>>() {
            self.fail(conn, DRAINING);
        }
    }

    /// True if nobody else is let in.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Ends the user's session: they are told why, and their stream is closed. So it goes with one that the store has been
    /// asked to open and hasn't answered yet. They may come back. False if they are not online. The tokens aren't the machine's
    /// to keep: its owner has revoked them.
    pub fn kick(&mut self, username: &Username, why: &str) -> bool {
        self.kick_openings(username, why);
        self.put_offline(username, why)
    }

    fn put_offline(&mut self, username: &Username, why: &str) -> bool {
        let conn = self.place(username);
        if let Some(conn) = conn {
            self.fail(conn, why);
        }
        conn.is_some()
    }

    /// The store has deleted the user's account, and with it its memberships of `rooms`, each of which has gone to an heir if
    /// it was theirs: their session ends, and the rooms' other members are told. True if they were online.
    pub fn handle_deleted(&mut self, username: &Username, rooms: Vec<(RoomName, Option<Username>)>) -> bool {
        // A login may be on its way that the store has let through before.
        self.deleted.insert(username.clone());
        let was_online = self.put_offline(username, ACCOUNT_DELETED);
        for (room, heir) in rooms {
            self.left(Some(username.clone()), room, heir);
        }
        was_online
    }
}
