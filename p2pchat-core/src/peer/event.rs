//! What the peer machine tells the application.

use std::{net::SocketAddr, time::Duration};

use p2pchat_proto::{
    BanRecord, FileName, Found, LinkKey, Number, PeerRecord, Reason, RoomChange, RoomName, RoomRecord, Text,
    Username,
};

use super::RequestError;

/// A command's handle: its end is told by [`Event::Completed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// Somebody's wish to chat, to be accepted or rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatRequestId(pub(super) u64);

/// A message that the application has been handed, to be confirmed to its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub(crate) u64);

/// A file that is offered or on its way, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(super) u64);

impl FileId {
    /// A number that no other file has, of those of the same [`Peer`](super::Peer).
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A command has ended. Each command ends exactly once.
    Completed {
        /// Which.
        request: RequestId,
        /// How.
        outcome: Result<Response, RequestError>,
    },
    /// The registry link is up and has been greeted; nobody is logged in on it.
    Connected,
    /// The session's registry link is gone, or could not be brought back; it is tried again by itself after a while.
    Disconnected {
        /// Why, for a person to read.
        reason: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Logged in again after the link was lost, and back in every room.
    Reconnected,
    /// The session goes on without a stream to the registry, which nobody else notices (§7.12).
    Parked,
    /// A parked session has a stream again.
    Unparked,
    /// The session is over and doesn't come back by itself.
    LoggedOut {
        /// Why, for a person to read.
        reason: String,
        /// It goes on elsewhere: another program has taken it over, with the user's password or token (§7.5).
        replaced: bool,
    },
    /// Somebody wants to chat.
    ChatRequested {
        /// To be named in `accept` or `reject`.
        request: ChatRequestId,
        /// Who, if the request says so (capability `sender`).
        from: Option<Username>,
        /// Where from; `0.0.0.0:0` if they asked through the registry, which hides addresses (§7.10).
        addr: SocketAddr,
        /// Who it is was proven by their key, on an encrypted stream (§7.13).
        secured: bool,
    },
    /// A chat is open: text can go both ways.
    ChatOpened {
        /// With whom; `None` if they asked without a name. What they say first tells it, and the event comes again.
        with: Option<Username>,
        /// It is encrypted, and who they are is proven by their key (§7.13).
        secured: bool,
    },
    /// The stream of a chat is lost. It is looked for again; what is said meanwhile waits (§7.14).
    ChatInterrupted {
        /// With whom.
        with: Username,
        /// Why, for a person to read.
        reason: String,
    },
    /// A chat goes on, on another stream.
    ChatResumed {
        /// With whom.
        with: Username,
    },
    /// A user gave up on saying some things, of which they are asked once more for the last 64: what comes of it comes late.
    Missed {
        /// Who said them.
        from: Username,
        /// How many.
        count: u64,
    },
    /// What was in doubt, as its command was told ([`RequestError::Doubtful`]), has arrived after all.
    Arrived {
        /// Who has it.
        with: Username,
        /// The room that it was said in, or none.
        room: Option<RoomName>,
        /// Its id, as the error had it.
        id: u64,
        /// What.
        text: Text,
    },
    /// A user's key was seen for the first time. From now on only who has it is that user; the application keeps it for
    /// [`Peer::set_key`](super::Peer::set_key) (§7.13).
    KeyLearned {
        /// Whose.
        user: Username,
        /// Which.
        key: LinkKey,
    },
    /// A user has another key than before, or none any more: a new device, or somebody else in their place. Nothing is sent
    /// to them and nothing is taken until somebody decides, by [`Peer::set_key`](super::Peer::set_key).
    KeyChanged {
        /// Whose.
        user: Username,
        /// The key that they had.
        known: LinkKey,
        /// The key that the registry shows now.
        shown: Option<LinkKey>,
    },
    /// A chat has ended, or the wish for it was withdrawn.
    ChatClosed {
        /// With whom.
        with: Option<Username>,
        /// Why, for a person to read.
        reason: String,
    },
    /// Somebody in an open chat said something.
    Message {
        /// Who.
        from: Username,
        /// What.
        text: Text,
        /// Where it belongs, if their program numbers what it says.
        place: Option<Place>,
        /// To be named in [`Peer::confirm`](super::Peer::confirm) once it is shown or stored.
        receipt: Receipt,
    },
    /// Somebody said something in a room.
    Broadcast {
        /// Which room; `None` if the sender's program can't say (no capability `sender`) and more than one is shared.
        room: Option<RoomName>,
        /// Who.
        from: Username,
        /// What.
        text: Text,
        /// Where it belongs, if their program numbers what it says.
        place: Option<Place>,
        /// It came encrypted, from who has proven to be that user (§7.13).
        secured: bool,
        /// To be named in [`Peer::confirm`](super::Peer::confirm) once it is shown or stored.
        receipt: Receipt,
    },
    /// Somebody in an open chat offers a file: for [`Peer::accept_file`](super::Peer::accept_file) or
    /// [`Peer::cancel_file`](super::Peer::cancel_file) (§7.15).
    FileOffered {
        /// Which.
        file: FileId,
        /// Who.
        from: Username,
        /// What they call it.
        name: FileName,
        /// How many bytes it has.
        size: u64,
    },
    /// A file that was offered, and isn't accepted yet, can't be had any more.
    FileWithdrawn {
        /// Which.
        file: FileId,
        /// Who had offered it.
        from: Username,
        /// Why, for a person to read.
        reason: String,
    },
    /// How far a file is: once it is offered or accepted, four times a second at most, and when all of it is there.
    FileProgress {
        /// Which.
        file: FileId,
        /// Who gets or sends it.
        with: Username,
        /// What it is called.
        name: FileName,
        /// It is one's own.
        outgoing: bool,
        /// How much of it the receiver has, in bytes.
        bytes: u64,
        /// How many bytes it has.
        size: u64,
    },
    /// Nothing more comes of a file that was offered, in either direction; how it ended, its command tells.
    FileEnded {
        /// Which.
        file: FileId,
    },
    /// One is a member of a room: by joining, or since before this program started.
    RoomEntered {
        /// Which room.
        room: RoomName,
        /// Its members online, oneself included.
        members: Vec<Username>,
    },
    /// A member of a room is online that wasn't.
    MemberOnline {
        /// Which room.
        room: RoomName,
        /// Who.
        username: Username,
    },
    /// Somebody, or oneself, is no member of a room any more.
    MemberLeft {
        /// Which room.
        room: RoomName,
        /// Who.
        username: Username,
    },
    /// Somebody, or oneself, was put out of a room by its owner, and is no member of it any more (capability `moderate`;
    /// without it there is a [`MemberLeft`](Self::MemberLeft) instead). Who did it as the owner is told too, of those who
    /// were online.
    PutOut {
        /// Which room.
        room: RoomName,
        /// Who.
        username: Username,
        /// The owner.
        by: Username,
        /// The owner's words.
        reason: Option<Reason>,
        /// True if they can't join again.
        banned: bool,
    },
    /// One of one's rooms was changed by somebody else, or has another owner because the last one left.
    RoomChanged {
        /// Which room.
        room: RoomName,
        /// Who changed it, or left.
        by: Username,
        /// What holds now.
        change: RoomChange,
    },
    /// A member of one's rooms went offline, or is no longer among those whom the registry lists.
    MemberOffline {
        /// Who.
        username: Username,
        /// The rooms shared with them.
        rooms: Vec<RoomName>,
    },
    /// Somebody else is at fault: what was received makes no sense, or breaks a rule.
    Fault {
        /// Who, as far as known.
        culprit: String,
        /// What they did, for a person to read.
        what: String,
    },
}

/// Where a message belongs (§7.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number and the sender's time.
    pub number: Number,
    /// It was asked for again: later ones came before it.
    pub late: bool,
}

/// What a successful command brought.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Response {
    /// It is done.
    Done,
    /// Where a user can be dialled.
    Found(Found),
    /// Everyone online but oneself, in detail.
    Peers(Vec<PeerRecord>),
    /// Everyone online but oneself, by name.
    Names(Vec<Username>),
    /// All rooms, in detail.
    Rooms(Vec<RoomRecord>),
    /// All rooms, by name.
    RoomNames(Vec<RoomName>),
    /// A room's members online.
    Members(Vec<Username>),
    /// Who is banned from a room.
    Bans(Vec<BanRecord>),
    /// Who has a broadcast.
    Broadcast(BroadcastReport),
}

/// Who has a broadcast, and who hasn't.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BroadcastReport {
    /// Those whose program has confirmed it.
    pub delivered: Vec<Username>,
    /// Those whose program hasn't, and why. Those of them with [`RequestError::Doubtful`] may have it, all others haven't.
    pub failed: Vec<(Username, RequestError)>,
}
