//! The verbs, spelled in one place.

use std::fmt;

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $spelling:literal $(| $alias:literal)*,)*) => {
        /// A message's first word. Matched without regard to ASCII case, encoded in capitals.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Verb {
            $($(#[$doc])* $name,)*
        }

        impl Verb {
            /// Every verb, in the order of PROTOCOL.md §4.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The canonical spelling.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $spelling,)*
                }
            }

            /// The same before a first field, whose opening bracket is the end of it.
            pub(crate) const fn opening(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($spelling, " <"),)*
                }
            }

            /// Every spelling that is understood, old misspellings included.
            const SPELLINGS: &[(&str, Self)] =
                &[$(($spelling, Self::$name), $(($alias, Self::$name),)*)*];
        }
    };
}

verbs! {
    /// peer → registry
    HelloP2p = "HELLO_P2P",
    /// registry → peer; the old specification's refusal says `HELLO`.
    HelloBack = "HELLO_BACK" | "HELLO",
    /// both ways
    Register = "REGISTER",
    /// peer → registry
    Login = "LOGIN",
    /// registry → peer
    Auth = "AUTH",
    /// peer → registry
    CreateChatRoom = "CREATE_CHAT_ROOM",
    /// registry → peer
    Creation = "CREATION",
    /// peer → registry
    JoinChatRoom = "JOIN_CHAT_ROOM",
    /// registry → peer
    Join = "JOIN",
    /// peer → registry
    RoomExit = "ROOM_EXIT",
    /// registry → peer
    RoomExitResponse = "ROOM_EXIT_RESPONSE",
    /// peer → registry
    ShowRoomsList = "SHOW_ROOMS_LIST",
    /// registry → peer
    RoomsList = "ROOMS_LIST",
    /// peer → registry
    SearchUser = "SEARCH_USER",
    /// registry → peer
    SearchUserResponse = "SEARCH_USER_RESPONSE",
    /// peer → peer
    ChatRequest = "CHAT_REQUEST",
    /// peer → peer
    ChatRequestResponse = "CHAT_REQUEST_RESPONSE",
    /// peer → registry
    DiscoverPeers = "DISCOVER_PEERS",
    /// registry → peer
    PeerList = "PEER_LIST",
    /// peer → peer
    DirectMessage = "DIRECT_MESSAGE",
    /// peer → peer
    DirectUnicastNotification = "DIRECT_UNICAST_NOTIFICATION",
    /// peer → registry
    Logout = "LOGOUT",
    /// registry → peer, pushed; once misspelled.
    UserLogout = "USER_LOGOUT" | "USER_LOUGOUT",
    /// peer → registry, UDP
    KeepAlive = "KEEP_ALIVE",
    /// registry → peer, UDP
    KeepAliveResponse = "KEEP_ALIVE_RESPONSE",
    /// registry → peer, UDP and stream
    Timeout = "TIMEOUT",
    /// peer → peer
    DirectBroadcast = "DIRECT_BROADCAST",
    /// peer → peer
    DirectBroadcastNotification = "DIRECT_BROADCAST_NOTIFICATION",
    /// registry → peer, pushed, capability `roster`
    UserJoined = "USER_JOINED",
    /// registry → peer, pushed, capability `roster`
    UserLeft = "USER_LEFT",
    /// peer → registry, capability `resume`
    Resume = "RESUME",
    /// registry → peer, pushed, capability `resume`
    Replaced = "REPLACED",
    /// peer → registry, capability `moderate`
    RoomKick = "ROOM_KICK",
    /// peer → registry, capability `moderate`
    RoomBan = "ROOM_BAN",
    /// peer → registry, capability `moderate`
    RoomUnban = "ROOM_UNBAN",
    /// peer → registry, capability `moderate`
    RoomSet = "ROOM_SET",
    /// registry → peer, capability `moderate`
    Moderation = "MODERATION",
    /// peer → registry, capability `moderate`
    RoomBans = "ROOM_BANS",
    /// registry → peer, capability `moderate`
    BanList = "BAN_LIST",
    /// registry → peer, pushed, capability `moderate`
    RoomKicked = "ROOM_KICKED",
    /// registry → peer, pushed, capability `moderate`
    RoomBanned = "ROOM_BANNED",
    /// registry → peer, pushed, capability `moderate`
    RoomChanged = "ROOM_CHANGED",
    /// registry → peer, pushed, capability `ticket`
    Ticket = "TICKET",
    /// registry → peer, before a refusal, capability `retry`
    RetryAfter = "RETRY_AFTER",
    /// both ways, capability `keys`
    LinkKey = "LINK_KEY",
    /// peer → registry, capability `park`
    Park = "PARK",
    /// registry → peer, stream and UDP, capability `park`
    Parked = "PARKED",
    /// registry → peer, UDP, capability `park`
    Wake = "WAKE",
    /// both ways, to the peer pushed, capability `contact`
    ContactRequest = "CONTACT_REQUEST",
    /// both ways, to the peer pushed, capability `contact`
    ContactResponse = "CONTACT_RESPONSE",
    /// registry → peer, capability `contact`
    Contact = "CONTACT",
    /// peer → peer, first on a stream, capability `origin`
    IntroducedBy = "INTRODUCED_BY",
    /// peer → peer, first on a stream of numbered messages, capability `ids`
    Numbering = "NUMBERING",
    /// peer → peer, before a message, capability `ids`
    Numbered = "NUMBERED",
    /// peer → peer, capability `ids`
    Missing = "MISSING",
    /// peer → peer, capability `ids`
    HangUp = "HANG_UP",
    /// peer → peer, capability `ids`
    Ping = "PING",
    /// peer → peer, capability `ids`
    Pong = "PONG",
    /// peer → peer, capability `files`
    FileOffer = "FILE_OFFER",
    /// peer → peer, capability `files`
    FileAccept = "FILE_ACCEPT",
    /// peer → peer, capability `files`
    FileReject = "FILE_REJECT",
    /// peer → peer, and that many bytes after it, capability `files`
    FileData = "FILE_DATA",
    /// peer → peer, capability `files`
    FileAck = "FILE_ACK",
    /// peer → peer, capability `files`
    FileDone = "FILE_DONE",
    /// peer → peer, capability `files`
    FileWithdraw = "FILE_WITHDRAW",
}

impl Verb {
    /// The verb that `word` spells, in any case, old misspellings included.
    pub fn from_bytes(word: &[u8]) -> Option<Self> {
        let mut slot = slot(word);
        // Half of the table is empty, so that this ends.
        while let Some(&(spelling, verb)) = TABLE.get(slot).and_then(Option::as_ref) {
            if word == spelling.as_bytes() || word.eq_ignore_ascii_case(spelling.as_bytes()) {
                return Some(verb);
            }
            slot = (slot + 1) % TABLE.len();
        }
        None
    }
}

/// [`Verb::SPELLINGS`] by [`slot`], so that a verb is found at once and not by trying all of them.
#[allow(clippy::indexing_slicing, reason = "a place that isn't there is an error of the compiler")]
static TABLE: [Option<(&str, Verb)>; 128] = {
    let mut table = [None; 128];
    let mut spellings = Verb::SPELLINGS;
    while let [(spelling, verb), rest @ ..] = spellings {
        let mut at = slot(spelling.as_bytes());
        while table[at].is_some() {
            at = (at + 1) % table.len();
        }
        table[at] = Some((*spelling, *verb));
        spellings = rest;
    }
    table
};

/// Where a word's place in the table is, or begins: the same in any case.
const fn slot(word: &[u8]) -> usize {
    let (first, last) = match word {
        [first, .., last] => (*first, *last),
        _ => (0, 0),
    };
    let (first, last) = ((first & 0x1f) as usize, (last & 0x1f) as usize);
    (first * 5 + last * 4 + word.len() * 21) % 128
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
