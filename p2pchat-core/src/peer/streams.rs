//! Peer streams: dialled and accepted, and who is at the other end (§8.1).

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use p2pchat_proto::{
    Capability, Follows, Found, FrameError, Malformed, Number, PeerMessage, Reason, RegistryName, ToRegistry,
    Username,
};

use super::{
    Effect, Peer, RequestError, RequestId, StreamId,
    chats::Chat,
    deadlines::{Deadlines, StreamTimer},
    dialable::dialable,
    keys::{NO_PEER, Proof},
    lines::Numbering,
    messages::{Kind, Lane},
    requests::Purpose,
};
use crate::time::Time;

/// A peer stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) addr: SocketAddr,
    /// True if we dialled it: then `peer` is who the registry says is there, otherwise only who they say they are.
    pub(super) dialled: bool,
    pub(super) connected: bool,
    /// True once the other end has said something that makes sense.
    heard: bool,
    pub(super) peer: Option<Username>,
    /// What is known of that.
    pub(super) proof: Proof,
    /// Nobody can have changed the names that it was introduced by: they were said in the encryption too, or it has none.
    pub(super) confirmed: bool,
    /// Whether messages have numbers (§7.14), and that of the next one.
    pub(super) numbering: Numbering,
    pub(super) number: Option<Number>,
    /// They said at its beginning that there is no chat, and there was another stream on which one may have begun.
    pub(super) said_closed: bool,
    /// It was asked whether it lives, and has said nothing since.
    pub(super) pinged: bool,
    /// Both ends have the capability `sender`: the long forms and reasons may be written (§7.4).
    pub(super) sender: bool,
    /// What we say first, if we dialled: which registry gave us the address (§7.11).
    introduction: Option<RegistryName>,
    pub(super) chat: Chat,
    pub(super) direct: Lane,
    pub(super) rooms: Lane,
    pub(super) deadlines: Deadlines,
}

impl Stream {
    fn new(addr: SocketAddr, peer: Option<Username>, sender: bool) -> Self {
        Self {
            addr,
            dialled: peer.is_some(),
            connected: peer.is_none(),
            heard: false,
            peer,
            proof: Proof::None,
            confirmed: true,
            numbering: Numbering::Off,
            number: None,
            said_closed: false,
            pinged: false,
            sender,
            introduction: None,
            chat: Chat::None,
            direct: Lane::default(),
            rooms: Lane::default(),
            deadlines: Deadlines::default(),
        }
    }

    pub(super) fn lane(&mut self, kind: Kind) -> &mut Lane {
        match kind {
            Kind::Direct => &mut self.direct,
            Kind::Broadcast => &mut self.rooms,
        }
    }

    /// True if nothing is on its way, in either direction, that has to be answered.
    pub(super) fn is_idle(&self) -> bool {
        self.direct.is_idle() && self.rooms.is_idle()
    }

    /// True if no answer is due to us.
    pub(super) fn is_answered(&self) -> bool {
        self.direct.flights().next().is_none() && self.rooms.flights().next().is_none()
    }

    /// A refusal's reason, if the other end is known to read it.
    pub(super) fn reason(&self, text: &str) -> Option<Reason> {
        self.sender.then(|| Reason::truncated(text))
    }
}

/// The way to a user over a stream of our own.
#[derive(Debug)]
pub(super) enum Reach {
    /// The registry is being asked for the address.
    Searching(Vec<Want>),
    /// It hides the address, and the user is being asked (§7.10).
    Asking(Vec<Want>),
    Dialling(Vec<Want>),
    Open(StreamId),
}

/// What a stream is wanted for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    Chat(RequestId),
    Broadcast(RequestId),
    /// What the line to the user holds (§7.14).
    Line,
}

/// What becomes of what was on a stream that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// It is to go on: nobody wanted the end.
    Lost,
    /// Nothing was on it, or another one has it.
    Done,
    /// It ends too.
    Over,
}

impl Peer {
    /// Somebody has dialled us. `None` if there are too many already: close it.
    pub fn accept_stream(&mut self, now: Time, addr: SocketAddr) -> Option<StreamId> {
        if self.closed || self.accepted >= self.config.streams {
            return None;
        }
        let id = StreamId(self.next_id());
        self.streams.insert(id, Stream::new(addr, None, false));
        self.accepted += 1;
        self.arm_stream(now, id, StreamTimer::Idle, self.config.delivery_timeout);
        Some(id)
    }

    /// A stream that was dialled is open.
    pub fn handle_stream_connected(&mut self, now: Time, stream: StreamId) {
        // Where a handshake is due, it has to tell.
        if self.streams.get(&stream).is_some_and(|stream| !matches!(stream.proof, Proof::Expected(_))) {
            self.stream_opened(now, stream);
        }
    }

    /// A stream that was dialled may be spoken on.
    pub(super) fn stream_opened(&mut self, now: Time, stream: StreamId) {
        let Some(open) = self.streams.get_mut(&stream).filter(|stream| !stream.connected) else { return };
        open.connected = true;
        let (peer, introduction) = (open.peer.clone(), open.introduction.take());
        self.stream_used(now, stream);
        let Some(peer) = peer else { return };
        if let (Some(registry), Some(sender)) = (introduction, self.username().cloned()) {
            let recipient = peer.clone();
            let numbered = self.streams.get(&stream).is_some_and(|open| open.numbering == Numbering::Sent);
            let follows = numbered.then_some(Follows::Numbering);
            let introduction = PeerMessage::IntroducedBy { registry, sender, recipient, follows };
            self.send_peer(now, stream, introduction);
            if numbered {
                // Theirs has to come first.
                return self.say_numbering(now, stream);
            }
        }
        self.way_open(now, stream, &peer);
    }

    /// What was wanted of a stream to `peer` can be done.
    pub(super) fn way_open(&mut self, now: Time, stream: StreamId, peer: &Username) {
        if let Some(Reach::Dialling(wants)) = self.reaches.insert(peer.clone(), Reach::Open(stream)) {
            for want in wants {
                self.fulfil(now, stream, peer, want);
            }
        }
    }

    /// A message came on a peer stream.
    pub fn handle_stream_message(&mut self, now: Time, stream: StreamId, message: PeerMessage) {
        if self.silences(now, stream, &message) {
            return;
        }
        let Some(message) = self.admitted(now, stream, message) else { return };
        if let PeerMessage::Numbered(number) = message
            && self.numbers_next(stream, number)
        {
            return;
        }
        let Some(open) = self.streams.get_mut(&stream).filter(|stream| stream.connected) else { return };
        let first = !std::mem::replace(&mut open.heard, true);
        // Being asked whether one lives is no use of a stream.
        if !matches!(message, PeerMessage::Ping(_) | PeerMessage::Pong(_)) {
            open.used(&mut self.timers, &self.config, now, stream);
        }
        open.lives(&mut self.timers, &self.config, now, stream);
        if !open.confirmed {
            return self.introduced_again(now, stream, &message);
        }
        let number = match open.in_order(&message, self.config.files > 0) {
            Ok(number) => number,
            Err(why) => {
                self.fault(self.name_of(stream), why);
                return self.drop_stream(now, stream, why, true);
            }
        };
        match message {
            PeerMessage::ChatRequest { recipient, sender } => {
                self.chat_requested(now, stream, recipient, sender);
            }
            PeerMessage::ChatReply(reply) => self.chat_answered(now, stream, reply),
            PeerMessage::DirectMessage { sender, recipient, text } => {
                self.message_came(now, stream, number, sender, &recipient, text);
            }
            PeerMessage::DirectBroadcast { sender, room, text } => {
                self.broadcast_came(now, stream, number, sender, room, text);
            }
            PeerMessage::UnicastNotification(notification) => {
                self.notified(now, stream, Kind::Direct, &notification);
            }
            PeerMessage::BroadcastNotification(notification) => {
                self.notified(now, stream, Kind::Broadcast, &notification);
            }
            PeerMessage::IntroducedBy { registry, sender, recipient, follows } => {
                if let Err(why) = self.introduced(stream, first, &registry, &sender) {
                    self.fault(self.name_of(stream), format!("came by {registry}, and {why}"));
                    self.drop_stream(now, stream, why, true);
                } else if !self.is_me(&recipient) {
                    // Nobody's fault: whoever was here before us may have been looked up in time.
                    self.drop_stream(now, stream, "they expected somebody else here", true);
                } else if follows == Some(Follows::Tls) {
                    self.handshake_announced(now, stream);
                }
            }
            PeerMessage::Numbering { run, next, chat, capabilities } => {
                self.numbering_came(now, stream, run, next, chat, capabilities);
            }
            PeerMessage::Missing { first, last } => self.missing_came(now, stream, first, last),
            PeerMessage::HangUp => self.hang_up_came(stream),
            PeerMessage::Ping(number) => self.pinged(stream, number),
            PeerMessage::Pong(_) => {}
            PeerMessage::File(message) => self.file_message(now, stream, message),
            other => self.fault(self.name_of(stream), format!("sent what is not understood: {other:?}")),
        }
    }

    /// Somebody says who they are, and which registry told them to dial us (§7.11).
    fn introduced(
        &mut self,
        id: StreamId,
        first: bool,
        registry: &RegistryName,
        sender: &Username,
    ) -> Result<(), &'static str> {
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        tracing::debug!(stream = ?id, addr = %stream.addr, %registry, %sender, "introduced");
        if stream.dialled || !first {
            Err("introduced themselves out of turn")
        } else {
            self.identify(id, sender)
        }
    }

    /// What came on a peer stream is no message: the stream is closed (§3.5).
    pub fn handle_stream_malformed(&mut self, now: Time, stream: StreamId, malformed: Malformed) {
        if let Malformed::Frame(FrameError::Truncated { .. }) = malformed {
            // The stream was cut, and whose fault that is nobody can know.
            return self.handle_stream_closed(now, stream, malformed.to_string());
        }
        if self.streams.contains_key(&stream) {
            let what = format!("sent what is no message: {malformed}");
            self.misdialled(now, stream, what, NO_PEER, "they sent what is no message");
        }
    }

    /// What is on a stream can't be who should be there: the user is told, the stream ends for this `reason`, and if we dialled
    /// it, its address is `noted` to be left alone for long (§7.11).
    pub(super) fn misdialled(&mut self, now: Time, id: StreamId, what: String, noted: &str, reason: &str) {
        self.fault(self.name_of(id), what);
        self.note_failed_dial(now, id, self.config.misdial_pause, noted);
        self.drop_stream(now, id, reason, true);
    }

    /// A stream could not be opened, or has ended.
    pub fn handle_stream_closed(&mut self, now: Time, stream: StreamId, reason: String) {
        self.note_failed_dial(now, stream, self.config.redial_pause, &reason);
        self.part(now, stream, &reason, false, Parting::Lost);
    }

    /// Gets a stream of our own to `user`, to do with it what is wanted.
    pub(super) fn reach(&mut self, now: Time, user: &Username, want: Want) {
        if self.is_blocked(user) {
            return self.refuse(now, user, want, RequestError::Blocked);
        }
        let limit = self.config.messages_in_flight;
        let is_full = self.reaches.len() >= self.config.streams && self.own_ways() >= self.config.streams;
        match self.reaches.get_mut(user) {
            Some(Reach::Open(stream)) => {
                let stream = *stream;
                self.fulfil(now, stream, user, want);
            }
            Some(Reach::Asking(_)) if !matches!(want, Want::Chat(_)) => {
                self.refuse(now, user, want, RequestError::AddressHidden);
            }
            // One is enough, and it isn't one of those that are too many.
            Some(Reach::Searching(wants) | Reach::Dialling(wants))
                if matches!(want, Want::Line) && wants.iter().any(|want| matches!(want, Want::Line)) => {}
            Some(Reach::Searching(wants) | Reach::Dialling(wants) | Reach::Asking(wants))
                if wants.len() < limit =>
            {
                wants.push(want);
            }
            Some(_) => self.refuse(now, user, want, RequestError::TooMany { what: "messages", limit }),
            None if is_full => {
                let limit = self.config.streams;
                self.refuse(now, user, want, RequestError::TooMany { what: "peer streams", limit });
            }
            None => {
                let search = ToRegistry::SearchUser { username: user.clone() };
                self.reaches.insert(user.clone(), Reach::Searching(vec![want]));
                if let Err(error) = self.submit(now, search, Purpose::Find(user.clone())) {
                    self.found(now, user, Err(error));
                }
            }
        }
    }

    /// How many users have been dialled or are about to be. Who has come by themselves takes nobody's place.
    fn own_ways(&self) -> usize {
        let is_own = |reach: &&Reach| match reach {
            Reach::Open(id) => self.streams.get(id).is_some_and(|stream| stream.dialled),
            _ => true,
        };
        self.reaches.values().filter(is_own).count()
    }

    /// The registry has said where `user` is, or why not.
    pub(super) fn found(&mut self, now: Time, user: &Username, found: Result<Found, RequestError>) {
        let Some(reach) = self.reaches.remove(user) else { return };
        let Reach::Searching(wants) = reach else {
            self.reaches.insert(user.clone(), reach);
            return;
        };
        if let Ok(found) = &found
            && found.is_hidden()
        {
            return self.ask_for_contact(now, user, found, wants);
        }
        match found.and_then(|found| self.dial(now, user, &found)) {
            Ok(()) => {
                self.reaches.insert(user.clone(), Reach::Dialling(wants));
            }
            Err(error) => {
                for want in wants {
                    self.refuse(now, user, want, error.clone());
                }
            }
        }
    }

    fn dial(&mut self, now: Time, user: &Username, found: &Found) -> Result<(), RequestError> {
        if found.username.as_ref().is_some_and(|found| found != user) {
            return Err(RequestError::Unexpected("another user's address".to_owned()));
        }
        let addr = dialable(found.ip, found.port)?;
        if let Some((until, reason)) = self.failed_dials.get(&addr)
            && now < *until
        {
            return Err(RequestError::Unreachable(reason.clone()));
        }
        let handshake = self.handshake(now, user, found)?;
        let id = StreamId(self.next_id());
        let both_have = |capability| found.capabilities.has(capability) && self.has(capability);
        let mut stream = Stream::new(addr, Some(user.clone()), both_have(Capability::Sender));
        let secure = match (handshake, self.username().cloned()) {
            (Some((key, registry)), Some(sender)) => {
                stream.proof = Proof::Expected(key);
                stream.introduction = Some(registry.clone());
                let recipient = user.clone();
                if both_have(Capability::Ids) {
                    stream.numbering = Numbering::Sent;
                }
                Some(PeerMessage::IntroducedBy { registry, sender, recipient, follows: Some(Follows::Tls) })
            }
            _ => {
                stream.introduction = self.config.registry.clone().filter(|_| both_have(Capability::Origin));
                None
            }
        };
        self.streams.insert(id, stream);
        self.effects.push_back(Effect::Dial { stream: id, addr, secure });
        self.arm_stream(now, id, StreamTimer::Idle, self.config.delivery_timeout);
        Ok(())
    }

    pub(super) fn fulfil(&mut self, now: Time, stream: StreamId, user: &Username, want: Want) {
        match want {
            Want::Chat(request) => self.ask(now, stream, request),
            Want::Broadcast(request) => self.send_broadcast(now, stream, user, request),
            Want::Line => {
                self.carry_line(now, stream, user);
                // Where messages have no numbers, nothing of it can be said.
                if self.lines.get(user).is_some_and(|line| line.carrier.is_none()) {
                    let why = "their program can't go on with it";
                    self.line_over(user, &RequestError::Unreachable(why.to_owned()), why);
                }
            }
        }
    }

    pub(super) fn refuse(&mut self, now: Time, user: &Username, want: Want, error: RequestError) {
        match want {
            Want::Chat(request) => self.complete(request, Err(error)),
            Want::Broadcast(request) => self.settle_broadcast(request, user, Err(error)),
            Want::Line => self.line_refused(now, user, error),
        }
    }

    pub(super) fn send_peer(&mut self, now: Time, stream: StreamId, message: PeerMessage) {
        self.effects.push_back(Effect::SendPeer { stream, message });
        self.stream_used(now, stream);
    }

    /// Notes who is at the other end, as they say: the first name that they use is the one that holds (§8.1).
    pub(super) fn identify(&mut self, id: StreamId, name: &Username) -> Result<(), &'static str> {
        if self.is_me(name) {
            return Err("that name is mine");
        }
        match self.streams.get_mut(&id) {
            Some(Stream { peer: Some(peer), .. }) if peer == name => Ok(()),
            Some(stream @ Stream { peer: None, .. }) => {
                stream.peer = Some(name.clone());
                if matches!(stream.chat, Chat::Open) {
                    self.name_chat(id, name.clone());
                }
                Ok(())
            }
            _ => Err("this stream belongs to another name"),
        }
    }

    /// The other end wrote a field that only the capability `sender` has.
    pub(super) fn showed_sender(&mut self, stream: StreamId) {
        let negotiated = self.session.as_ref().is_some_and(|session| session.sender);
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.sender |= negotiated;
        }
    }

    pub(super) fn name_of(&self, stream: StreamId) -> String {
        match self.streams.get(&stream) {
            Some(Stream { peer: Some(peer), addr, .. }) => format!("{peer} at {addr}"),
            Some(Stream { addr, .. }) => addr.to_string(),
            None => "a peer".to_owned(),
        }
    }

    /// A stream is about to be dropped: if we dialled it and nobody there said anything that makes sense, its address is
    /// left alone for a while.
    pub(super) fn note_failed_dial(&mut self, now: Time, id: StreamId, pause: Duration, reason: &str) {
        let Some(stream) = self.streams.get(&id).filter(|stream| stream.dialled && !stream.heard) else {
            return;
        };
        self.failed_dials.retain(|_, (until, _)| now < *until);
        if self.failed_dials.len() < self.config.streams {
            self.failed_dials.insert(stream.addr, (now + pause, reason.to_owned()));
        }
    }

    /// Forgets a stream and ends what hung on it.
    pub(super) fn drop_stream(&mut self, now: Time, id: StreamId, reason: &str, close: bool) {
        self.part(now, id, reason, close, Parting::Over);
    }

    /// Forgets a stream. What hung on it ends, but for what a line goes on with.
    pub(super) fn part(&mut self, now: Time, id: StreamId, reason: &str, close: bool, parting: Parting) {
        let Some(stream) = self.streams.get(&id) else { return };
        let line = stream.peer.clone().filter(|_| stream.numbering == Numbering::On);
        if close && parting == Parting::Over && !matches!(stream.chat, Chat::None) {
            self.say_hang_up(now, id);
        }
        if let Some(user) = &line {
            self.line_parted(now, id, user, parting, reason);
        }
        let Some(mut stream) = self.streams.remove(&id) else { return };
        stream.disarm_all(&mut self.timers, id);
        if close {
            self.effects.push_back(Effect::ClosePeer { stream: id });
        }
        if !stream.dialled {
            self.accepted -= 1;
        }
        self.forget_doubts(id);
        self.requests.forget_vouching(id);
        self.forget_owed(&mut stream);
        let unreachable = RequestError::Unreachable(reason.to_owned());
        if let Some(user) = &stream.peer {
            let was_way = match self.reaches.get(user) {
                Some(Reach::Open(open)) => *open == id,
                Some(Reach::Dialling(_)) => stream.dialled,
                _ => false,
            };
            if let Some(reach) = was_way.then(|| self.reaches.remove(user)).flatten() {
                self.way_lost(now, user, reach, &unreachable);
            }
            for request in stream.rooms.requests() {
                self.settle_broadcast(request, user, Err(unreachable.clone().in_doubt(None)));
            }
        }
        for request in stream.direct.requests() {
            self.complete(request, Err(unreachable.clone().in_doubt(None)));
        }
        let was_asked = matches!(stream.proof, Proof::Asked { .. });
        // What was asked there is asked on the stream that stays.
        let other = line.as_ref().filter(|_| parting != Parting::Over);
        let other = other.and_then(|user| self.other_stream(id, user));
        match (stream.chat, other) {
            (Chat::Asked(requests), Some(other)) => {
                for request in requests {
                    self.ask(now, other, request);
                }
            }
            (chat, _) => self.chat_ended(id, chat, stream.peer, reason),
        }
        if was_asked {
            self.ask_next(now);
        }
    }

    /// Takes the broadcasts that wait for a way to a user.
    pub(super) fn awaiting_way(&mut self, user: &Username) -> Vec<RequestId> {
        let mut broadcasts = Vec::new();
        if let Some(Reach::Searching(wants) | Reach::Dialling(wants)) = self.reaches.get_mut(user) {
            wants.retain(|want| match want {
                Want::Broadcast(request) => {
                    broadcasts.push(*request);
                    false
                }
                _ => true,
            });
        }
        broadcasts
    }

    /// A stream is gone that led to a user. They may have come by one of their own.
    fn way_lost(&mut self, now: Time, user: &Username, reach: Reach, error: &RequestError) {
        let other = self.proven_stream(user);
        if let Some(other) = other {
            self.reaches.insert(user.clone(), Reach::Open(other));
        }
        let Reach::Dialling(wants) = reach else { return };
        for want in wants {
            match other {
                Some(other) => self.fulfil(now, other, user, want),
                None => self.refuse(now, user, want, error.clone()),
            }
        }
    }

    /// Closes every stream, and gives up every dial, of a user who is leaving.
    pub(super) fn drop_streams(&mut self, now: Time, reason: &str) {
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.drop_stream(now, stream, reason, true);
        }
        let searching: BTreeMap<_, _> = std::mem::take(&mut self.reaches);
        for (user, reach) in searching {
            if let Reach::Searching(wants) | Reach::Asking(wants) = reach {
                for want in wants {
                    self.refuse(now, &user, want, RequestError::NotLoggedIn);
                }
            }
        }
    }
}
