//! The one place that maps what is wrong to what goes on the wire (§3.5).

use std::time::Duration;

use p2pchat_proto::{
    AuthReply, BanList, Capability, FromRegistry, HelloReply, Malformed, Outcome, PeerList, Reason,
    RegisterReply, RoomsList, SearchReply, Verb,
};

use super::{ConnId, Registry, requests::whole_seconds};

/// How many lines on what is wrong with a stream go to the operator's log, so that no peer fills a disk with them. The rest
/// is for debugging.
const LOGGED: u32 = 16;

/// What can be refused: the requests that have a `<FAILURE> <404>` of their own, and everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Hello,
    /// Has no answer of its own either.
    Logout,
    Register,
    Login,
    Creation,
    Join,
    RoomExit,
    Rooms,
    Search,
    Peers,
    Contact,
    Park,
    LinkKey,
    Moderation,
    Bans,
}

impl Refused {
    fn of(verb: Option<Verb>) -> Self {
        match verb {
            Some(Verb::Register) => Self::Register,
            Some(Verb::Login | Verb::Resume) => Self::Login,
            Some(Verb::CreateChatRoom) => Self::Creation,
            Some(Verb::JoinChatRoom) => Self::Join,
            Some(Verb::RoomExit) => Self::RoomExit,
            Some(Verb::ShowRoomsList) => Self::Rooms,
            Some(Verb::SearchUser) => Self::Search,
            Some(Verb::DiscoverPeers) => Self::Peers,
            Some(Verb::ContactRequest | Verb::ContactResponse) => Self::Contact,
            Some(Verb::RoomKick | Verb::RoomBan | Verb::RoomUnban | Verb::RoomSet) => Self::Moderation,
            Some(Verb::RoomBans) => Self::Bans,
            Some(Verb::Park) => Self::Park,
            Some(Verb::LinkKey) => Self::LinkKey,
            // LOGOUT has no answer of its own.
            _ => Self::Hello,
        }
    }

    fn reply(self, reason: Option<Reason>) -> FromRegistry {
        match self {
            Self::Hello | Self::Logout => FromRegistry::Hello(HelloReply::Failure { reason }),
            Self::Register => FromRegistry::Register(RegisterReply::Failure { reason }),
            Self::Login => FromRegistry::Auth(AuthReply::Failure { reason }),
            Self::Creation => FromRegistry::Creation(Outcome::Failure { reason }),
            Self::Join => FromRegistry::Join(Outcome::Failure { reason }),
            Self::RoomExit => FromRegistry::RoomExit(Outcome::Failure { reason }),
            Self::Rooms => FromRegistry::Rooms(RoomsList::NotFound { reason }),
            Self::Search => FromRegistry::Search(SearchReply::NotFound { reason }),
            Self::Peers => FromRegistry::Peers(PeerList::Failure { reason }),
            Self::Contact => FromRegistry::Contact(Outcome::Failure { reason }),
            Self::Park => FromRegistry::Parked(Outcome::Failure { reason }),
            Self::LinkKey => FromRegistry::LinkKey(Outcome::Failure { reason }),
            Self::Moderation => FromRegistry::Moderation(Outcome::Failure { reason }),
            Self::Bans => FromRegistry::Bans(BanList::Failure { reason }),
        }
    }
}

impl Registry {
    /// `why` for whoever negotiated `reason`.
    pub(super) fn reason(&self, conn: ConnId, why: &str) -> Option<Reason> {
        let wanted = self.connections.get(conn).is_some_and(|connection| connection.has(Capability::Reason));
        wanted.then(|| Reason::truncated(why))
    }

    /// True while the operator's log has room for one more line about the stream.
    fn is_news(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        let Some(work) = &mut connection.work else { return true };
        work.faults = work.faults.saturating_add(1);
        work.faults <= LOGGED
    }

    /// Sends the request's own `<FAILURE> <404>`.
    pub(super) fn refuse(&mut self, conn: ConnId, what: Refused, why: &str) {
        let reason = self.reason(conn, why);
        if self.is_news(conn) {
            tracing::info!(?conn, ?what, why, "refused");
        } else {
            tracing::debug!(?conn, ?what, why, "refused");
        }
        self.send(conn, what.reply(reason));
    }

    /// The same for whom a limit holds up for so long: of those the log is told by [`report`](super::report).
    pub(super) fn hold_up(&mut self, conn: ConnId, what: Refused, wait: Duration, why: &str) {
        tracing::debug!(?conn, ?what, why, "held up");
        self.say_retry(conn, wait);
        let reason = self.reason(conn, why);
        self.send(conn, what.reply(reason));
    }

    /// Before a refusal: when it will be lifted, for whoever negotiated `retry` (§7.8).
    pub(super) fn say_retry(&mut self, conn: ConnId, wait: Duration) {
        if self.connections.get(conn).is_some_and(|connection| connection.has(Capability::Retry)) {
            self.counts.named_retries += 1;
            let seconds = u32::try_from(whole_seconds(wait)).unwrap_or(u32::MAX);
            self.send(conn, FromRegistry::RetryAfter { seconds });
        }
    }

    /// Refuses what can't be trusted to be this protocol, and closes the stream.
    pub(super) fn fail(&mut self, conn: ConnId, why: &str) {
        self.refuse(conn, Refused::Hello, why);
        self.close(conn);
    }

    pub(super) fn malformed(&mut self, conn: ConnId, malformed: &Malformed) {
        let remote = self.connections.get(conn).map(|connection| tracing::field::display(connection.remote));
        if self.is_news(conn) {
            tracing::info!(?conn, remote, error = %malformed, "malformed input");
        } else {
            tracing::debug!(?conn, remote, error = %malformed, "malformed input");
        }
        if malformed.is_fatal() {
            return self.fail(conn, &malformed.to_string());
        }
        let verb = match malformed {
            Malformed::Message(error) => error.verb,
            _ => None,
        };
        self.refuse(conn, Refused::of(verb), &malformed.to_string());
    }
}
