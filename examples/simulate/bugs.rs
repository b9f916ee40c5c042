//! Deliberate bugs, so that the checks can be seen to find them.

use std::net::{IpAddr, Ipv4Addr};

use clap::ValueEnum;
use fastrand::Rng;
use p2pchat_core::{
    peer,
    registry::{
        self,
        store::{RoomAction, StoreAnswer, TokenChange, Write},
    },
};
use p2pchat_proto::{AuthReply, Capacity, FileChunk, FileMessage, Found, FromRegistry, PeerMessage};

/// A bug that the simulator puts into the registry, its store, or the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bug {
    /// The store answers a change before it is durable.
    AnswerBeforeCommit,
    /// The store says durable when it isn't: a crash takes the last commit with it.
    ForgetSync,
    /// The store takes more members into a room than it holds.
    ForgetCapacity,
    /// The store lets in whom an owner has banned.
    ForgetBans,
    /// The store looks at an invitation before the slow hash, and not again when the account is made.
    ReuseInvitation,
    /// The registry shows one hidden address in eight.
    LeakAddress,
    /// The registry forgets one time in four that two are in contact.
    ForgetContact,
    /// The registry keeps one ROOM_KICKED and ROOM_BANNED in four to itself.
    SkipKickPush,
    /// The registry keeps one USER_JOINED in eight to itself.
    SkipRosterPush,
    /// The registry keeps one USER_LOGOUT in eight to itself.
    DropUserLogout,
    /// The registry forgets that leases end.
    ForgetLeases,
    /// The registry lets anybody in, whatever session there is.
    SecondSession,
    /// The store takes a token that was replaced or revoked.
    ReuseToken,
    /// The registry sends TIMEOUT in place of REPLACED, so that a client that was replaced comes back.
    HideReplaced,
    /// The registry answers a parked session by PARKED where something waits for it.
    HideWake,
    /// A client sends one message in twenty a second time.
    DeliverTwice,
    /// A client confirms one message in twenty that its user never saw.
    ConfirmUnread,
    /// A client says of what may have arrived that it hasn't.
    HideDoubt,
    /// A client shows what those say who are blocked.
    HearBlocked,
    /// A client sends one piece of a file in eight with a mistake in it.
    SpoilFile,
    /// A client says that it has a file, one time in eight where it should say how far it is.
    DoneEarly,
    /// A client keeps one in eight of those who go offline to itself.
    HideOffline,
    /// A client shows one message in twenty after the next.
    Reorder,
}

impl Bug {
    pub(crate) fn tamper_with_registry(
        self,
        rng: &mut Rng,
        effect: registry::Effect,
    ) -> Option<registry::Effect> {
        use registry::Effect::Send;
        match (self, effect) {
            (Self::SkipRosterPush, Send { message: FromRegistry::UserJoined { .. }, .. })
            | (Self::DropUserLogout, Send { message: FromRegistry::UserLogout { .. }, .. })
                if rng.u8(..).is_multiple_of(8) =>
            {
                None
            }
            (
                Self::SkipKickPush,
                Send { message: FromRegistry::RoomKicked { .. } | FromRegistry::RoomBanned { .. }, .. },
            ) if rng.u8(..).is_multiple_of(4) => None,
            (Self::SecondSession, Send { conn, message: FromRegistry::Auth(AuthReply::Online { .. }) }) => {
                Some(Send { conn, message: FromRegistry::Auth(AuthReply::Success { token: None }) })
            }
            (Self::HideReplaced, Send { conn, message: FromRegistry::Replaced { username } }) => {
                Some(Send { conn, message: FromRegistry::Timeout { username } })
            }
            (_, effect) => Some(effect),
        }
    }

    /// What a search is answered with instead. `addr` is where the user can be dialled, and `contact` says that the asker knows
    /// it as their contact alone.
    pub(crate) fn tamper_with_found(
        self,
        rng: &mut Rng,
        addr: (u16, IpAddr),
        contact: bool,
        found: &mut Found,
    ) {
        let is_due = match self {
            Self::LeakAddress => found.is_hidden() && rng.u8(..).is_multiple_of(8),
            Self::ForgetContact => contact && rng.u8(..).is_multiple_of(4),
            _ => false,
        };
        if is_due {
            let hidden = (0, Ipv4Addr::UNSPECIFIED.into());
            (found.port, found.ip) = if found.is_hidden() { addr } else { hidden };
        }
    }

    /// What the store does instead of a change that it refused, answering `answer`.
    pub(crate) fn tamper_with_refusal(self, write: &Write, answer: &StoreAnswer) -> Option<Write> {
        match (self, write, answer) {
            (Self::ReuseToken, Write::ResumeSession { username, next, .. }, StoreAnswer::WrongToken) => {
                let token = next.map_or(TokenChange::Keep, TokenChange::Give);
                Some(Write::OpenSession { username: username.clone(), password: None, token })
            }
            (
                Self::ReuseInvitation,
                Write::Register { username, password, .. },
                StoreAnswer::NoSuchInvite,
            ) => {
                Some(Write::Register { username: username.clone(), password: password.clone(), invite: None })
            }
            _ => None,
        }
    }

    /// What the store makes of a change.
    pub(crate) fn tamper_with_store(self, write: &mut Write) {
        match (self, write) {
            (Self::ForgetCapacity, Write::CreateRoom { capacity, .. }) => {
                if let Ok(more) = Capacity::new(capacity.get() + 3) {
                    *capacity = more;
                }
            }
            (Self::ForgetBans, Write::Moderate { action, .. }) => {
                if let RoomAction::Ban { username, reason } = action {
                    *action = RoomAction::Kick { username: username.clone(), reason: reason.clone() };
                }
            }
            _ => {}
        }
    }

    /// What a client does instead of `effect`. `held` is what it does later.
    pub(crate) fn tamper_with_peer(
        self,
        rng: &mut Rng,
        held: &mut Option<peer::Effect>,
        effect: peer::Effect,
    ) -> Vec<peer::Effect> {
        use peer::{Effect, Event};
        let is_message = matches!(
            &effect,
            Effect::SendPeer {
                message: PeerMessage::DirectMessage { .. } | PeerMessage::DirectBroadcast { .. },
                ..
            }
        );
        let is_shown = matches!(&effect, Effect::Event(Event::Message { .. } | Event::Broadcast { .. }));
        let is_offline = matches!(&effect, Effect::Event(Event::MemberOffline { .. }));
        match self {
            Self::HideOffline if is_offline && rng.u8(..).is_multiple_of(8) => Vec::new(),
            Self::SpoilFile if rng.u8(..).is_multiple_of(8) => vec![spoiled(effect)],
            Self::DoneEarly if rng.u8(..).is_multiple_of(8) => vec![done(effect)],
            Self::DeliverTwice if is_message && rng.u8(0..20) == 0 => vec![effect.clone(), effect],
            Self::Reorder if is_shown => match held.take() {
                Some(earlier) => vec![effect, earlier],
                None if rng.u8(0..20) == 0 => {
                    *held = Some(effect);
                    Vec::new()
                }
                None => vec![effect],
            },
            _ => vec![effect],
        }
    }
}

/// The same, but for the first byte of a piece of a file.
fn spoiled(mut effect: peer::Effect) -> peer::Effect {
    if let peer::Effect::SendPeer { message: PeerMessage::File(FileMessage::Data(chunk)), .. } = &mut effect {
        let mut data = chunk.data().to_vec();
        if let Some(first) = data.first_mut() {
            *first ^= 1;
        }
        if let Ok(spoiled) = FileChunk::new(chunk.file, chunk.offset, data.into()) {
            *chunk = spoiled;
        }
    }
    effect
}

/// That a file has arrived, in place of how much of it has.
fn done(mut effect: peer::Effect) -> peer::Effect {
    if let peer::Effect::SendPeer { message: PeerMessage::File(message), .. } = &mut effect
        && let FileMessage::Ack { file, .. } = *message
    {
        *message = FileMessage::Done { file };
    }
    effect
}
