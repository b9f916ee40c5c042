//! Link keys: whose key is whose, and what a peer stream proves by them (PROTOCOL.md §7.13).
//!
//! A key is known from the first contact on ([`Event::KeyLearned`]), or because the application says so
//! ([`Peer::set_key`]). Afterwards nobody is that user who has another: not the registry's word, not an address, only the
//! application can change it.

use p2pchat_proto::{Capability, Follows, Found, LinkKey, PeerMessage, RegistryName, ToRegistry, Username};

use super::{
    Event, Peer, RequestError, StreamId,
    chats::Chat,
    deadlines::StreamTimer,
    lines::Numbering,
    requests::Purpose,
    streams::{Parting, Reach, Stream},
};
use crate::time::Time;

/// How many messages may wait on one stream in the clear until the registry has said whose it is. Who is new says a
/// greeting and a request.
const HELD: usize = 8;
/// About how many streams the registry may be asked at once: strangers must not fill the queue. So many more may wait for that.
const ASKED: usize = 32;
const WAITING: usize = 256;

const CLEAR: &str = "streams in the clear are refused";

/// What is known of who is at the other end of a stream.
#[derive(Debug)]
pub(super) enum Proof {
    /// Nothing is proven, and nothing was asked: they haven't said who they are, or keys aren't in use.
    None,
    /// We dialled somebody who has this key, and the handshake isn't over.
    Expected(LinkKey),
    /// They dialled, and the handshake that they have announced isn't over.
    Announced,
    /// The registry is being asked about who they say they are, or will be in its turn: about this user then. What they say
    /// meanwhile waits.
    Asked { key: Option<LinkKey>, held: Vec<PeerMessage>, turn: Option<Username> },
    /// They don't encrypt, and the user that they say they are has no key.
    Plain,
    /// They hold this key, and it is that user's.
    Proven(LinkKey),
}

/// Of an address where something answers that can't be who was dialled.
pub(super) const NO_PEER: &str = "what answers there is no peer";

impl Stream {
    /// True if both ends know who the other is, and can say anything.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self.proof, Proof::Proven(_))
            && self.confirmed
            && matches!(self.numbering, Numbering::Off | Numbering::On)
    }
}

impl Peer {
    /// Sets the key by which others know this peer, whose private half the driver holds, or that there is none. It counts from the next
    /// login on, and only where a [`Config::registry`](super::Config::registry) is named. Refused while there is a session:
    /// others have been told its key.
    pub fn set_link_key(&mut self, key: Option<LinkKey>) -> Result<(), RequestError> {
        if self.session.is_some() && self.link_key != key {
            return Err(RequestError::AlreadyLoggedIn);
        }
        self.link_key = key;
        Ok(())
    }

    /// Sets by which key a user is known, or that none is: the next contact is the first again. For what the application
    /// remembers from an earlier run, and for a user's decision after [`Event::KeyChanged`].
    /// Streams on which something else was proven end.
    pub fn set_key(&mut self, now: Time, user: Username, key: Option<LinkKey>) {
        self.tell_all();
        let before = match key {
            Some(key) => self.keys.insert(user.clone(), key),
            None => self.keys.remove(&user),
        };
        if before != key {
            self.drop_unproven(now, &user, key, None);
        }
    }

    /// By which key a user is known.
    pub fn key_of(&self, user: &Username) -> Option<LinkKey> {
        self.keys.get(user).copied()
    }

    /// True if there is a stream to the user that is encrypted and on which they have proven their key.
    pub fn is_secured(&self, user: &Username) -> bool {
        self.proven_stream(user).is_some()
    }

    /// The handshake of a stream that was dialled came to nothing, because what answered can't make one: it is no peer, or not
    /// this one (§7.11).
    pub fn handle_stream_unsecured(&mut self, now: Time, stream: StreamId, reason: String) {
        match self.streams.get(&stream).map(|stream| &stream.proof) {
            Some(Proof::Expected(_)) => {
                let what = format!("makes no handshake: {reason}");
                self.misdialled(now, stream, what, NO_PEER, &reason);
            }
            // Whoever dials us can send what they like.
            _ => self.drop_stream(now, stream, &reason, false),
        }
    }

    /// A stream's TLS handshake is over, and the other end has shown that it holds this key (§7.13). For a stream that was
    /// dialled with [`Effect::Dial::secure`](super::Effect::Dial) this comes in place of `handle_stream_connected`; on one
    /// that was accepted, after the `INTRODUCED_BY` that announced it.
    pub fn handle_stream_secured(&mut self, now: Time, stream: StreamId, key: LinkKey) {
        let Some(open) = self.streams.get(&stream) else { return };
        match (&open.proof, &open.peer) {
            (Proof::Expected(wanted), Some(user)) => {
                let (wanted, user) = (*wanted, user.clone());
                if key != wanted {
                    let what = format!("answers at the address of {user} without their key");
                    let reason = "somebody else answers there";
                    return self.misdialled(now, stream, what, reason, reason);
                }
                // Another one may have become known since the dial.
                if let Some(known) = self.key_of(&user).filter(|&known| known != key) {
                    return self.key_changed(now, &user, known, Some(key));
                }
                self.learn(now, &user, key, stream);
                self.prove(stream, Proof::Proven(key));
                self.stream_opened(now, stream);
            }
            (Proof::Announced, Some(user)) => {
                let user = user.clone();
                self.check(now, stream, &user, Some(key));
            }
            _ => {}
        }
    }

    /// The key that we announce, if the registry is one with which it is of any use.
    pub(super) fn own_key(&self) -> Option<LinkKey> {
        self.link_key.filter(|_| self.config.registry.is_some())
    }

    /// Says by which key we are known, before the login that it is for.
    pub(super) fn announce_key(&mut self, now: Time) -> Result<(), RequestError> {
        match self.own_key().filter(|_| self.has(Capability::Keys)) {
            Some(key) => self.submit(now, ToRegistry::LinkKey { key }, Purpose::LinkKey),
            None => Ok(()),
        }
    }

    /// The handshake that a dial is to make: with whose key, and in what name. `None` for a stream in the clear.
    pub(super) fn handshake(
        &mut self,
        now: Time,
        user: &Username,
        found: &Found,
    ) -> Result<Option<(LinkKey, RegistryName)>, RequestError> {
        let in_use = self.session.as_ref().is_some_and(|session| session.keys);
        let shown = found.key.filter(|_| in_use);
        match (self.key_of(user), shown) {
            (Some(known), shown) if self.own_key().is_some() && shown != Some(known) => {
                self.key_changed(now, user, known, shown);
                Err(RequestError::KeyChanged { known, shown })
            }
            (_, Some(key)) => Ok(self.config.registry.clone().map(|registry| (key, registry))),
            _ if self.config.plain => Ok(None),
            _ => Err(RequestError::Plain),
        }
    }

    /// Passes on what may be listened to now. On a stream whose other end says a name, only after it was checked.
    pub(super) fn admitted(&mut self, now: Time, id: StreamId, message: PeerMessage) -> Option<PeerMessage> {
        let in_use = self.session.as_ref().is_some_and(|session| session.keys);
        let has_key = self.own_key().is_some();
        let (in_flight, stream) = (self.config.messages_in_flight, self.streams.get_mut(&id)?);
        match &mut stream.proof {
            Proof::Plain | Proof::Proven(_) => Some(message),
            Proof::Expected(_) | Proof::Announced => {
                self.fault(self.name_of(id), "spoke before the handshake");
                self.drop_stream(now, id, "they spoke before the handshake", true);
                None
            }
            // On an encrypted stream a whole burst may come behind the handshake.
            Proof::Asked { held, key, turn }
                if held.len() < key.filter(|_| turn.is_none()).map_or(HELD, |_| in_flight.max(HELD)) =>
            {
                held.push(message);
                None
            }
            Proof::Asked { .. } => {
                self.drop_stream(now, id, "they said too much before it was clear who they are", true);
                None
            }
            Proof::None
                if stream.dialled
                    || matches!(message, PeerMessage::IntroducedBy { follows: Some(Follows::Tls), .. }) =>
            {
                Some(message)
            }
            Proof::None => {
                let name = claimed(&message).or(stream.peer.as_ref()).cloned();
                let is_known = name.as_ref().is_some_and(|name| has_key && self.keys.contains_key(name));
                match name.filter(|_| in_use || is_known) {
                    None if self.config.plain => Some(message),
                    None => {
                        self.drop_stream(now, id, CLEAR, true);
                        None
                    }
                    Some(name) => {
                        if let Some(stream) = self.streams.get_mut(&id) {
                            stream.proof = Proof::Asked { key: None, held: vec![message], turn: None };
                        }
                        self.check(now, id, &name, None);
                        None
                    }
                }
            }
        }
    }

    /// They have announced a handshake, in this name.
    pub(super) fn handshake_announced(&mut self, now: Time, id: StreamId) {
        if self.own_key().is_none() {
            return self.drop_stream(
                now,
                id,
                "they want an encrypted stream, for which there is no key here",
                true,
            );
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            (stream.proof, stream.confirmed) = (Proof::Announced, false);
            self.arm_stream(now, id, StreamTimer::Idle, self.config.delivery_timeout);
        }
    }

    /// Who dialled is `user`, they say, and has shown that they hold `key`, or none.
    fn check(&mut self, now: Time, id: StreamId, user: &Username, key: Option<LinkKey>) {
        let known = self.key_of(user);
        if key.is_none() && known.is_some() {
            self.fault(self.name_of(id), format!("says to be {user}, without {user}'s key"));
            return self.drop_stream(now, id, "they came without their key", true);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let held = match &mut stream.proof {
            Proof::Asked { held, .. } => std::mem::take(held),
            _ => Vec::new(),
        };
        stream.proof = Proof::Asked { key, held, turn: None };
        if let Some(key) = key.filter(|&key| known == Some(key)) {
            return self.admit(now, id, user, Proof::Proven(key));
        }
        self.arm_stream(now, id, StreamTimer::Idle, self.config.delivery_timeout);
        let (asked, waiting) = self.asked();
        if waiting >= WAITING {
            self.drop_stream(now, id, "too many want to be known at once", true);
        } else if asked > ASKED {
            if let Some(Stream { proof: Proof::Asked { turn, .. }, .. }) = self.streams.get_mut(&id) {
                *turn = Some(user.clone());
            }
        } else {
            self.ask_who(now, id, user);
        }
    }

    /// About how many streams the registry is being asked, and how many wait for that.
    fn asked(&self) -> (usize, usize) {
        let asked = self.streams.values().filter_map(|stream| match &stream.proof {
            Proof::Asked { turn, .. } => Some(turn.is_some()),
            _ => None,
        });
        asked.fold((0, 0), |(asked, waiting), waits| match waits {
            true => (asked, waiting + 1),
            false => (asked + 1, waiting),
        })
    }

    /// It is the turn of whoever has waited longest, if there is room.
    pub(super) fn ask_next(&mut self, now: Time) {
        if self.asked().0 >= ASKED {
            return;
        }
        let next = self.streams.iter_mut().find_map(|(id, stream)| match &mut stream.proof {
            Proof::Asked { turn, .. } => turn.take().map(|user| (*id, user)),
            _ => None,
        });
        if let Some((id, user)) = next {
            self.ask_who(now, id, &user);
        }
    }

    fn ask_who(&mut self, now: Time, id: StreamId, user: &Username) {
        let search = ToRegistry::SearchUser { username: user.clone() };
        if let Err(error) = self.submit(now, search, Purpose::Vouch(id, user.clone())) {
            self.vouched(now, id, user, Err(error));
        }
    }

    /// The registry has said what key `user` has.
    pub(super) fn vouched(
        &mut self,
        now: Time,
        id: StreamId,
        user: &Username,
        found: Result<Found, RequestError>,
    ) {
        let Some(Stream { proof: Proof::Asked { key, .. }, .. }) = self.streams.get(&id) else { return };
        let (key, known) = (*key, self.key_of(user));
        let found = match found {
            // Who may know where we are isn't hidden from us.
            Ok(found) if found.is_hidden() => Err(RequestError::AddressHidden),
            found => found,
        };
        match (key, found.map(|found| found.key)) {
            (Some(key), Ok(Some(shown))) if key == shown => match known {
                Some(known) if known != key => self.key_changed(now, user, known, Some(key)),
                _ => {
                    self.learn(now, user, key, id);
                    self.admit(now, id, user, Proof::Proven(key));
                }
            },
            (None, Ok(None)) if self.config.plain => self.admit(now, id, user, Proof::Plain),
            (None, Ok(None)) => self.drop_stream(now, id, CLEAR, true),
            (_, Ok(_)) => {
                self.fault(self.name_of(id), format!("says to be {user}, without {user}'s key"));
                self.drop_stream(now, id, "they came without their key", true);
            }
            (_, Err(error)) => {
                let why = format!("the registry doesn't say whether they are {user}: {error}");
                self.drop_stream(now, id, &why, true);
            }
        }
        self.ask_next(now);
    }

    /// It is clear who they are, and what they have said meanwhile counts. The stream is theirs, under no other name.
    fn admit(&mut self, now: Time, id: StreamId, user: &Username, proof: Proof) {
        if let Err(why) = self.identify(id, user) {
            return self.drop_stream(now, id, why, true);
        }
        let Some(Proof::Asked { held, .. }) = self.prove(id, proof) else { return };
        self.note_caller(now, id, user);
        self.stream_used(now, id);
        for message in held {
            self.handle_stream_message(now, id, message);
        }
    }

    /// What was known before.
    fn prove(&mut self, id: StreamId, proof: Proof) -> Option<Proof> {
        let stream = self.streams.get_mut(&id)?;
        // Whoever has a key knows the long forms.
        stream.sender |= matches!(proof, Proof::Proven(_));
        Some(std::mem::replace(&mut stream.proof, proof))
    }

    /// The first frame inside the encryption says the names again, which anybody could have changed in the clear: a stream that
    /// was meant for somebody else, or that somebody else began, is nobody's.
    pub(super) fn introduced_again(&mut self, now: Time, id: StreamId, message: &PeerMessage) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (is_so, numbered) = match message {
            PeerMessage::IntroducedBy { sender, recipient, follows, .. }
                if *follows != Some(Follows::Tls) =>
            {
                (
                    stream.peer.as_ref() == Some(sender) && self.is_me(recipient),
                    *follows == Some(Follows::Numbering),
                )
            }
            _ => (false, false),
        };
        if numbered && !self.session.as_ref().is_some_and(|session| session.ids) {
            self.drop_stream(now, id, "they number messages, which was not agreed on", true);
        } else if !is_so {
            self.fault(self.name_of(id), "says other names inside the encryption than before it");
            self.drop_stream(now, id, "they were introduced under other names", true);
        } else if let Some(stream) = self.streams.get_mut(&id) {
            stream.confirmed = true;
            if numbered {
                stream.numbering = Numbering::Due;
                self.arm_stream(now, id, StreamTimer::Idle, self.config.delivery_timeout);
            } else {
                self.unite(now, id);
            }
        }
    }

    /// Of two streams to a user one may be free to go now.
    pub(super) fn unite_again(&mut self, now: Time, user: &Username) {
        let is_theirs =
            |id: &StreamId| self.streams.get(id).is_some_and(|stream| !stream.dialled && stream.is_proven());
        if let Some(theirs) = self.streams_of(user).into_iter().find(is_theirs) {
            self.unite(now, theirs);
        }
    }

    fn learn(&mut self, now: Time, user: &Username, key: LinkKey, proven: StreamId) {
        if self.key_of(user).is_some() {
            return;
        }
        if self.keys.len() >= self.config.keys {
            return self
                .fault("this program", format!("knows as many keys as it may: {user}'s is not remembered"));
        }
        self.keys.insert(user.clone(), key);
        self.tell(Event::KeyLearned { user: user.clone(), key });
        self.drop_unproven(now, user, Some(key), Some(proven));
    }

    /// Somebody has another key than the one they are known by, or none: nothing is said to them, and nothing taken, on whichever
    /// stream, before somebody has decided.
    fn key_changed(&mut self, now: Time, user: &Username, known: LinkKey, shown: Option<LinkKey>) {
        self.tell(Event::KeyChanged { user: user.clone(), known, shown });
        for stream in self.streams_of(user) {
            self.drop_stream(now, stream, "their key has changed", true);
        }
    }

    /// Ends the streams to a user on which not this was proven.
    fn drop_unproven(&mut self, now: Time, user: &Username, key: Option<LinkKey>, but: Option<StreamId>) {
        for id in self.streams_of(user) {
            let proof = self.streams.get(&id).map(|stream| &stream.proof);
            let is_proven = match proof {
                Some(Proof::Proven(proven)) => Some(*proven) == key,
                // The handshake will tell.
                Some(Proof::Expected(_) | Proof::Announced | Proof::Asked { .. }) => true,
                _ => key.is_none(),
            };
            if !is_proven && Some(id) != but {
                self.drop_stream(now, id, "another key is theirs", true);
            }
        }
    }

    pub(super) fn streams_of(&self, user: &Username) -> Vec<StreamId> {
        let theirs = |(_, stream): &(&StreamId, &Stream)| stream.peer.as_ref() == Some(user);
        self.streams.iter().filter(theirs).map(|(id, _)| *id).collect()
    }

    pub(super) fn proven_stream(&self, user: &Username) -> Option<StreamId> {
        let theirs =
            |(_, stream): &(&StreamId, &Stream)| stream.is_proven() && stream.peer.as_ref() == Some(user);
        self.streams.iter().find(theirs).map(|(id, _)| *id)
    }

    /// Somebody has come who is who they say: one stream serves both ends. If both have dialled, it is that of whose name
    /// comes first, and each end closes its own that isn't, unless something is on its way there.
    pub(super) fn unite(&mut self, now: Time, id: StreamId) {
        let Some(theirs) = self.streams.get(&id).filter(|stream| stream.is_proven() && !stream.dialled)
        else {
            return;
        };
        let (Some(user), chat_is_open) = (theirs.peer.clone(), matches!(theirs.chat, Chat::Open)) else {
            return;
        };
        let theirs_stays = self.username().is_some_and(|me| user < *me);
        let own = self.streams.iter_mut().find(|(_, own)| own.dialled && own.peer.as_ref() == Some(&user));
        let may_go = own.as_ref().is_none_or(|(_, own)| {
            own.is_idle()
                && match own.chat {
                    Chat::None | Chat::Asked(_) => true,
                    Chat::Open => chat_is_open,
                    Chat::AskedUs(_) => false,
                }
        });
        if own.is_some() && !(theirs_stays && may_go)
            || matches!(self.reaches.get(&user), Some(Reach::Asking(_)))
        {
            return;
        }
        let mut asked = Vec::new();
        let own = own.map(|(id, own)| {
            if let Chat::Asked(requests) = &mut own.chat {
                asked = std::mem::take(requests);
            }
            *id
        });
        let before = self.reaches.insert(user.clone(), Reach::Open(id));
        if let Some(own) = own {
            self.part(now, own, "they have come by themselves", true, Parting::Done);
        }
        for request in asked {
            self.ask(now, id, request);
        }
        self.carry_line(now, id, &user);
        if let Some(Reach::Searching(wants) | Reach::Dialling(wants)) = before {
            for want in wants {
                self.fulfil(now, id, &user, want);
            }
        }
    }
}

/// The name in which somebody speaks.
pub(super) fn claimed(message: &PeerMessage) -> Option<&Username> {
    match message {
        PeerMessage::ChatRequest { sender, .. } => sender.as_ref(),
        PeerMessage::DirectMessage { sender, .. }
        | PeerMessage::DirectBroadcast { sender, .. }
        | PeerMessage::IntroducedBy { sender, .. } => Some(sender),
        _ => None,
    }
}
