//! One peer machine, fed by hand with facts in the words of the wire; what it does is told in the same words.

use std::{net::SocketAddr, num::NonZeroU64, time::Duration};

use bytes::Bytes;
use p2pchat_core::{
    Time,
    peer::{ChatRequestId, Config, Effect, Event, FileId, Peer, Receipt, StreamId},
};
use p2pchat_proto::{
    Capabilities, Capability, Dialect, FromRegistry, FromRegistryDatagram, Limits, List, Message,
    PasswordDigest, PeerList, PeerMessage, PeerPort, RoomName, SessionTicket, Text, ToRegistryDatagram,
    Username,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// What the registry agrees to in these tests unless said otherwise.
pub(crate) const ALL: &str = " <1> <reason,roster,sender,resume,moderate>";

pub(crate) struct Solo {
    pub(crate) peer: Peer,
    pub(crate) now: Time,
    /// Streams in the order in which they were first heard of; `s0` is the first.
    pub(crate) streams: Vec<StreamId>,
    pub(crate) requests: Vec<ChatRequestId>,
    pub(crate) receipts: Vec<Receipt>,
    /// The files that were offered.
    pub(crate) files: Vec<FileId>,
}

pub(crate) fn user(name: &str) -> Username {
    Username::new(name).unwrap()
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

pub(crate) fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

pub(crate) fn digest(password: &str) -> PasswordDigest {
    PasswordDigest::of_password(password)
}

/// The `n`th ticket.
pub(crate) fn ticket(n: u8) -> SessionTicket {
    SessionTicket::from_random([n; 32])
}

/// A keep-alive of 10 s that proves it.
pub(crate) fn keep_alive(name: &str, n: u8, sequence: u64) -> String {
    let sequence = NonZeroU64::new(sequence).unwrap();
    words(&ToRegistryDatagram::prove(&ticket(n), user(name), 10, sequence))
}

impl Solo {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self::seeded(config, 1)
    }

    pub(crate) fn seeded(config: Config, seed: u64) -> Self {
        Self {
            peer: Peer::new(config, seed),
            now: Time::ZERO,
            streams: Vec::new(),
            requests: Vec::new(),
            receipts: Vec::new(),
            files: Vec::new(),
        }
    }

    /// alice, logged in with everything that this project's registry agrees to.
    pub(crate) fn alice() -> Self {
        Self::alice_with(Config::default(), ALL)
    }

    pub(crate) fn alice_with(config: Config, agreed: &str) -> Self {
        let mut solo = Self::with(config);
        solo.log_in();
        solo.welcome(agreed);
        solo
    }

    /// The registry lets alice in, the first time or again.
    pub(crate) fn welcome(&mut self, agreed: &str) {
        self.peer.handle_registry_connected(self.now, Some(Dialect::Canonical));
        self.registry(&format!("HELLO_BACK <SUCCESS> <200>{agreed}"));
        self.registry("AUTH <SUCCESS> <200>");
        self.did();
    }

    pub(crate) fn log_in(&mut self) {
        let port = PeerPort::new(4_000).unwrap();
        self.peer.login(self.now, user("alice"), digest("secret"), Some(port));
    }

    /// alice in the den with bob and carol.
    pub(crate) fn alice_in_den() -> Self {
        let mut solo = Self::alice();
        solo.registry("USER_JOINED <den> <alice>");
        solo.members("den", &["alice", "bob", "carol"]);
        solo.did();
        solo
    }

    pub(crate) fn registry(&mut self, line: &str) {
        let frame = Bytes::copy_from_slice(line.as_bytes());
        let message = FromRegistry::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap();
        self.peer.handle_registry_message(self.now, message);
    }

    /// `PEER_LIST` for a room: only who asked knows its shape.
    pub(crate) fn members(&mut self, name: &str, members: &[&str]) {
        let members = List::fitting(members.iter().map(|name| user(name)));
        let list = PeerList::Room { room: room(name), members };
        self.peer.handle_registry_message(self.now, FromRegistry::Peers(list));
    }

    pub(crate) fn datagram(&mut self, line: &str) {
        let frame = Bytes::copy_from_slice(line.as_bytes());
        let message = FromRegistryDatagram::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap();
        self.peer.handle_datagram(self.now, message);
    }

    /// Somebody dials: the stream's number.
    pub(crate) fn accept(&mut self) -> usize {
        self.accept_from([192, 0, 2, 9])
    }

    pub(crate) fn accept_from(&mut self, ip: [u8; 4]) -> usize {
        let addr = SocketAddr::from((ip, 50_000));
        self.streams.push(self.peer.accept_stream(self.now, addr).unwrap());
        self.streams.len() - 1
    }

    pub(crate) fn connected(&mut self, stream: usize) {
        self.peer.handle_stream_connected(self.now, self.streams[stream]);
    }

    pub(crate) fn closed(&mut self, stream: usize) {
        self.peer.handle_stream_closed(self.now, self.streams[stream], "reset".to_owned());
    }

    /// What comes on a peer stream is no message.
    pub(crate) fn malformed(&mut self, stream: usize, line: &str) {
        let frame = Bytes::copy_from_slice(line.as_bytes());
        let error = PeerMessage::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap_err();
        self.peer.handle_stream_malformed(self.now, self.streams[stream], error.into());
    }

    /// A message comes on a peer stream; what was done about it.
    pub(crate) fn peer(&mut self, stream: usize, line: &str) -> Vec<String> {
        self.hear(stream, line);
        self.did()
    }

    /// A message comes on a peer stream.
    pub(crate) fn hear(&mut self, stream: usize, line: &str) {
        let frame = Bytes::copy_from_slice(line.as_bytes());
        let message = PeerMessage::parse(&frame, Dialect::Canonical, &Limits::DEFAULT).unwrap();
        self.peer.handle_stream_message(self.now, self.streams[stream], message);
    }

    /// Lets time pass, stopping at each deadline on the way; what was done meanwhile.
    pub(crate) fn wait(&mut self, duration: Duration) -> Vec<String> {
        self.pass(duration);
        self.did()
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.peer.poll_timeout().filter(|&at| at <= end) {
            self.now = at.max(self.now);
            self.peer.handle_timeout(self.now);
            assert!(
                self.peer.poll_timeout().is_none_or(|next| next > self.now),
                "the clock would stand still"
            );
        }
        self.now = end;
    }

    /// The same without the keep-alives.
    pub(crate) fn wait_quietly(&mut self, duration: Duration) -> Vec<String> {
        let did = self.wait(duration);
        did.into_iter().filter(|line| !line.starts_with("udp ")).collect()
    }

    /// What was done since the last look.
    pub(crate) fn did(&mut self) -> Vec<String> {
        let mut did = Vec::new();
        while let Some(effect) = self.peer.poll_effect() {
            did.push(self.tell(effect));
        }
        did
    }

    pub(crate) fn tell(&mut self, effect: Effect) -> String {
        match effect {
            Effect::ConnectRegistry => "connect".to_owned(),
            Effect::CloseRegistry => "disconnect".to_owned(),
            Effect::ParkRegistry => "park".to_owned(),
            Effect::SendRegistry(message) => format!("> {}", words(&message)),
            Effect::SendDatagram(message) => format!("udp {}", words(&message)),
            Effect::Dial { stream, addr, secure } => {
                self.streams.push(stream);
                let first = secure.map_or(String::new(), |first| format!(", {}", words(&first)));
                format!("dial s{} {addr}{first}", self.streams.len() - 1)
            }
            Effect::SendPeer { stream, message } => format!("s{} {}", self.number(stream), words(&message)),
            Effect::ClosePeer { stream } => format!("close s{}", self.number(stream)),
            Effect::Event(event) => self.tell_event(event),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn tell_event(&mut self, event: Event) -> String {
        let name = |name: Option<Username>| name.map_or("?".to_owned(), |name| name.to_string());
        match event {
            Event::Completed { outcome: Ok(response), .. } => format!("ok {response:?}"),
            Event::Completed { outcome: Err(error), .. } => format!("failed: {error}"),
            Event::ChatRequested { request, from, secured, .. } => {
                self.requests.push(request);
                format!("{} wants to chat{}", name(from), if secured { " in private" } else { "" })
            }
            Event::ChatOpened { with, secured } => {
                format!("chat with {}{}", name(with), if secured { " in private" } else { "" })
            }
            Event::ChatClosed { with, reason } => format!("no chat with {}: {reason}", name(with)),
            Event::Message { from, text, place, receipt } => {
                self.receipts.push(receipt);
                let late = if place.is_some_and(|place| place.late) { " (late)" } else { "" };
                format!("{from}: {text}{late}")
            }
            Event::ChatInterrupted { with, reason } => format!("no way to {with}: {reason}"),
            Event::ChatResumed { with } => format!("chat with {with} goes on"),
            Event::Missed { from, count } => format!("{count} of {from}'s are missing"),
            Event::Arrived { with, text, .. } => format!("{with} has {text} after all"),
            Event::Broadcast { room, from, text, place, receipt, .. } => {
                self.receipts.push(receipt);
                let late = if place.is_some_and(|place| place.late) { " (late)" } else { "" };
                format!("[{}] {from}: {text}{late}", room.map_or("?".to_owned(), |room| room.to_string()))
            }
            Event::FileOffered { file, from, name, size } => {
                self.files.push(file);
                format!("{from} offers {name}, {size} bytes")
            }
            Event::FileWithdrawn { reason, .. } => format!("no file any more: {reason}"),
            Event::FileEnded { .. } => "a file ends".to_owned(),
            Event::FileProgress { name, bytes, size, .. } => format!("{bytes} of {size} of {name}"),
            Event::RoomEntered { room, members } => format!("in {room} with {members:?}"),
            Event::MemberOnline { room, username } => format!("{username} is in {room}"),
            Event::MemberLeft { room, username } => format!("{username} left {room}"),
            Event::MemberOffline { username, rooms } => format!("{username} is offline in {rooms:?}"),
            Event::PutOut { room, username, by, reason, banned } => {
                let how = if banned { "banned from" } else { "kicked out of" };
                let why = reason.map_or(String::new(), |reason| format!(": {reason}"));
                format!("{username} is {how} {room} by {by}{why}")
            }
            Event::RoomChanged { room, by, change } => format!("{by} sets {room} {change:?}"),
            Event::Disconnected { reason, .. } => format!("lost: {reason}"),
            Event::LoggedOut { reason, .. } => format!("logged out: {reason}"),
            Event::Fault { culprit, what } => format!("fault of {culprit}: {what}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    fn number(&self, stream: StreamId) -> usize {
        self.streams.iter().position(|known| *known == stream).unwrap()
    }
}

fn words(message: &impl Message) -> String {
    let bytes = message.to_bytes(Dialect::Canonical);
    // A peer without a key has no use for `keys`.
    let offered = Config::default().capabilities;
    let offered =
        offered.iter().filter(|c| !matches!(c, Capability::Keys | Capability::Ids)).collect::<Capabilities>();
    let offered = format!("<{offered}>");
    String::from_utf8_lossy(&bytes)
        .trim_end_matches('\n')
        .replace(digest("secret").expose(), "…")
        .replace(&offered, "<all>")
}
