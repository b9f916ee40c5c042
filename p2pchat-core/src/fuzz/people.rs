//! What a peer's application may want, and what others could say to it.

use arbitrary::Arbitrary;
use p2pchat_proto::{
    Capacity, Description, Detail, PasswordDigest, PeerPort, RoomName, RoomSetting, Text, Username,
};

use crate::{
    Time,
    peer::{Peer, RequestId},
};

pub(super) const REGISTRY_LINES: &[&str] = &[
    "HELLO_BACK <SUCCESS> <200>",
    "HELLO_BACK <SUCCESS> <200> <1> <reason,roster,sender>",
    "HELLO_BACK <SUCCESS> <200> <1> <reason,roster,sender,moderate,origin>",
    "HELLO_BACK <SUCCESS> <200> <1> <sender>",
    "HELLO_BACK <FAILURE> <404> <no>",
    "HELLO_BACK SUCCESS 200 ",
    "REGISTER <SUCCESS> <200>",
    "REGISTER <EXIST> <300>",
    "AUTH <SUCCESS> <200>",
    "AUTH <SUCCESS> <200> <9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08>",
    "AUTH <FAILURE> <404>",
    "AUTH <ONLINE> <300>",
    "CREATION <SUCCESS> <200>",
    "JOIN <SUCCESS> <200>",
    "JOIN <FAILURE> <404> <full>",
    "ROOM_EXIT_RESPONSE <SUCCESS> <200>",
    "ROOMS_LIST <FOUND> <200> <den> , <attic>",
    "ROOMS_LIST <FOUND> <200> <den> <where the bears are> <2> <10>",
    "ROOMS_LIST <NOT_FOUND> <404>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender,origin>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <carol> <4000> <192.0.2.3>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <carol> <22> <0.0.0.0>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <ff02::1>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> 192.0.2.2:4000",
    "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>",
    "PEER_LIST <SUCCESS> <200> <den> <alice> <bob> <carol>",
    "PEER_LIST <SUCCESS> <200> <attic> <alice> <bob>",
    "PEER_LIST <SUCCESS> <200> <bob> , <carol>",
    "PEER_LIST <SUCCESS> <200> <bob> <den> <4000> <192.0.2.2> , <carol> <> <0> <2001:db8::5>",
    "PEER_LIST <SUCCESS> <200> bob (192.0.2.2:4000) carol (192.0.2.3:4000)",
    "PEER_LIST <FAILURE> <404>",
    "USER_LOGOUT <bob>",
    "USER_LOGOUT <alice>",
    "USER_JOINED <den> <alice>",
    "USER_JOINED <den> <bob>",
    "USER_JOINED <attic> <alice>",
    "USER_JOINED <cellar> <alice>",
    "USER_LEFT <den> <bob>",
    "USER_LEFT <den> <alice>",
    "TIMEOUT <alice>",
    "REPLACED <alice>",
    "HELLO_BACK <SUCCESS> <200> <1> <roster,resume>",
    "TIMEOUT alice",
    "ROOM_KICKED <den> <bob> <carol> <why>",
    "ROOM_BANNED <den> <alice> <carol>",
    "ROOM_CHANGED <den> <carol> <OWNER> <alice>",
    "MODERATION <SUCCESS> <200>",
    "MODERATION <FAILURE> <404> <no>",
    "BAN_LIST <FOUND> <200> <bob> <why>",
    "HELLO_BACK <SUCCESS> <200> <1> <reason,sender,contact>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <0> <0.0.0.0> <sender,contact>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <carol> <0> <0.0.0.0>",
    "CONTACT <SUCCESS> <200>",
    "CONTACT <FAILURE> <404> <no>",
    "CONTACT_REQUEST <bob>",
    "CONTACT_REQUEST <carol>",
    "CONTACT_RESPONSE <ACCEPT> <200> <bob>",
    "CONTACT_RESPONSE <REJECT> <404> <bob>",
    "CONTACT_RESPONSE <ACCEPT> <200> <carol>",
    "HELLO_BACK <SUCCESS> <200> <1> <roster,sender,resume,ticket,park>",
    "TICKET <9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bc822cd15d6c15b0f00a8>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender,origin> <bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender,origin,ids> <bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb>",
    "SEARCH_USER_RESPONSE <SUCCESS> <200> <carol> <4000> <192.0.2.3> <> <cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc>",
    "LINK_KEY <SUCCESS> <200>",
    "LINK_KEY <FAILURE> <404> <no>",
    "PARKED <SUCCESS> <200>",
    "PARKED <FAILURE> <404> <no>",
];

/// The ticket that the registry may say.
pub(super) const TICKET: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bc822cd15d6c15b0f00a8";

pub(super) const STREAM_LINES: &[&str] = &[
    "INTRODUCED_BY <chat.example.org:15600> <bob> <alice>",
    "INTRODUCED_BY <chat.example.org:15600> <alice> <bob>",
    "CHAT_REQUEST <alice>",
    "CHAT_REQUEST <alice> <bob>",
    "CHAT_REQUEST <alice> <carol>",
    "CHAT_REQUEST <alice> <alice>",
    "CHAT_REQUEST <bob> <alice>",
    "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>",
    "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <carol>",
    "CHAT_REQUEST_RESPONSE <REJECT> <404> <bob> <busy>",
    "DIRECT_MESSAGE <bob> <alice> hi",
    "DIRECT_MESSAGE <carol> <alice> hi",
    "DIRECT_MESSAGE <alice> <alice> hi",
    "DIRECT_BROADCAST <bob> hi",
    "DIRECT_BROADCAST <bob> <den> hi",
    "DIRECT_BROADCAST <carol> <den> hi",
    "DIRECT_BROADCAST <carol> <attic> hi",
    "DIRECT_UNICAST_NOTIFICATION <SUCCESS> <200> <alice> <hi>",
    "DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <alice> <hi> <no>",
    "DIRECT_BROADCAST_NOTIFICATION <SUCCESS> <200> <alice> <hi>",
    "DIRECT_BROADCAST_NOTIFICATION <FAILURE> <404> <alice> <hi>",
    "INTRODUCED_BY <chat.example.org:15600> <bob> <alice> <tls>",
    "INTRODUCED_BY <chat.example.org:15600> <carol> <alice> <tls>",
    "INTRODUCED_BY <chat.example.org:15600> <bob> <alice> <numbering>",
    "NUMBERING <7> <1> <CLOSED>",
    "NUMBERING <8> <3> <OPEN>",
    "NUMBERED <1> <1> <0>",
    "NUMBERED <2> <2> <1764374400123>",
    "NUMBERED <3> <18446744073709551615> <0>",
    "MISSING <1> <18446744073709551615>",
    "HANG_UP",
    "PING <1>",
    "PONG <1>",
    "NUMBERING <7> <1> <CLOSED> <files>",
    "FILE_OFFER <1> <9> <9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08> <a>",
    "FILE_OFFER <2> <0> <9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08> <b>",
    "FILE_DATA <1> <0> <4>\nabcd",
    "FILE_DATA <1> <2> <7>\ncdefghi",
    "FILE_DATA <1> <8> <3>\n\n\n\n",
    "FILE_WITHDRAW <1>",
];

pub(super) const DATAGRAMS: &[&str] = &[
    "KEEP_ALIVE_RESPONSE <SUCCESS> <200>",
    "KEEP_ALIVE_RESPONSE <FAILURE> <404>",
    "TIMEOUT <alice>",
    "TIMEOUT <bob>",
    "PARKED <10224097b766556bc28adaa62673cc16>",
    "WAKE <1a79a495b3a5d766adc6bf94a9b63bb8>",
    "WAKE <00000000000000000000000000000000>",
];

/// One of `lines`: the prototype's dialect has no line endings, and now and then one is missing.
pub(super) fn line(lines: &[&str], n: u8) -> Vec<u8> {
    let line = lines.get(usize::from(n) % lines.len()).copied().unwrap_or_default();
    let bare = line.starts_with("HELLO_BACK SUCCESS") || n > 240;
    format!("{line}{}", if bare { "" } else { "\n" }).into_bytes()
}

pub(super) fn user(n: u8) -> Username {
    let name = ["alice", "bob", "carol"].get(usize::from(n) % 3).copied().unwrap_or("alice");
    Username::new(name).expect("a name")
}

fn room(n: u8) -> RoomName {
    let name = ["den", "attic", "cellar"].get(usize::from(n) % 3).copied().unwrap_or("den");
    RoomName::new(name).expect("a name")
}

fn text(text: Option<&str>) -> Text {
    text.and_then(|text| Text::new(text).ok()).unwrap_or_else(|| Text::new("hi").expect("a text"))
}

#[derive(Debug, Clone, Arbitrary)]
pub(super) enum Command<'a> {
    Connect,
    Register(u8),
    Login(u8, Option<PeerPort>),
    Logout,
    Search(u8),
    Peers(Detail),
    Rooms(Detail),
    Create(u8, Description),
    Join(u8, bool),
    Leave(u8),
    Members(u8),
    Chat(u8),
    HangUp(u8),
    Send(u8, Option<&'a str>),
    Broadcast(u8, Option<&'a str>),
    Moderate(u8, u8),
}

impl Command<'_> {
    pub(super) fn give(self, peer: &mut Peer, now: Time) -> RequestId {
        let digest = || PasswordDigest::of_password("x");
        match self {
            Self::Connect => peer.connect(now),
            Self::Register(who) => peer.register(now, user(who), digest()),
            // Nearly always Alice, whom the others know.
            Self::Login(who, port) => peer.login(now, user(who / 100), digest(), port),
            Self::Logout => peer.logout(now),
            Self::Search(who) => peer.search(now, user(who)),
            Self::Peers(detail) => peer.peers(now, detail),
            Self::Rooms(detail) => peer.rooms(now, detail),
            Self::Create(name, description) => {
                peer.create(now, room(name), None, Capacity::new(2).expect("in range"), description)
            }
            Self::Join(name, password) => peer.join(now, room(name), password.then(digest)),
            Self::Leave(name) => peer.leave(now, room(name)),
            Self::Members(name) => peer.members(now, room(name)),
            Self::Chat(who) => peer.chat(now, user(who)),
            // Without a variant of its own, which would change what the inputs that are kept mean.
            Self::HangUp(who) if who >= 192 => peer.be_dialled(now, user(who)),
            Self::HangUp(who) => peer.hang_up(now, user(who)),
            Self::Send(who, said) => peer.send(now, user(who), text(said)),
            Self::Broadcast(name, said) => peer.broadcast(now, room(name), text(said)),
            Self::Moderate(name, how) => match how % 5 {
                0 => peer.kick(now, room(name), user(how >> 4), None),
                1 => peer.ban(now, room(name), user(how >> 4), None),
                2 => peer.unban(now, room(name), user(how >> 4)),
                3 => peer.bans(now, room(name)),
                _ => peer.set_room(now, room(name), RoomSetting::Owner(user(how >> 4))),
            },
        }
    }
}
