//! Chats: asked for, answered, ended (§8.2).

use std::net::IpAddr;

use p2pchat_proto::{ChatReply, PeerMessage, Reason, Username};

use super::{
    ChatRequestId, Event, Peer, RequestError, RequestId, Response, StreamId,
    deadlines::StreamTimer,
    lines::Numbering,
    streams::{Reach, Stream, Want},
};
use crate::time::Time;

/// Why a request is rejected that its receiver's user has let pass, as it goes over the wire: they haven't declined (§8.2).
const UNANSWERED: &str = "nobody has answered";

/// What a stream is to a chat.
#[derive(Debug)]
pub(super) enum Chat {
    None,
    /// We have asked, for these commands.
    Asked(Vec<RequestId>),
    /// They have asked; the application is to answer.
    AskedUs(ChatRequestId),
    Open,
}

impl Peer {
    /// Opens a chat: asks the user, who may take [`chat_timeout`](super::Config::chat_timeout) to answer. Done once
    /// accepted, at once if it is open.
    pub fn chat(&mut self, now: Time, user: Username) -> RequestId {
        self.command(|peer, request| {
            if *peer.me()? == user {
                return Err(RequestError::Refused(Some("nobody chats with themselves here".to_owned())));
            }
            if peer.chats.contains_key(&user) || peer.lines.get(&user).is_some_and(|line| line.chat) {
                peer.complete(request, Ok(Response::Done));
            } else {
                peer.reach(now, &user, Want::Chat(request));
            }
            Ok(())
        })
    }

    /// Accepts somebody's wish to chat. If it came through the registry, which hides where people are, their program dials then,
    /// and the chat opens when it has.
    pub fn accept(&mut self, now: Time, chat_request: ChatRequestId) -> RequestId {
        self.command(|peer, request| {
            if let Some(user) = peer.contact_requests.remove(&chat_request) {
                return peer.consent(now, request, user, true);
            }
            let stream = peer.chat_requests.remove(&chat_request).ok_or(RequestError::NoSuchRequest)?;
            peer.accept_chat(now, stream);
            peer.complete(request, Ok(Response::Done));
            Ok(())
        })
    }

    /// Declines somebody's wish to chat. The reason goes to who is known to read it.
    pub fn reject(&mut self, now: Time, chat_request: ChatRequestId, reason: Option<Reason>) -> RequestId {
        self.command(|peer, request| {
            let username = peer.me()?.clone();
            if let Some(user) = peer.contact_requests.remove(&chat_request) {
                return peer.consent(now, request, user, false);
            }
            let id = peer.chat_requests.remove(&chat_request).ok_or(RequestError::NoSuchRequest)?;
            if let Some(stream) = peer.streams.get_mut(&id) {
                stream.chat = Chat::None;
                stream.deadlines.of(StreamTimer::Asked).clear();
                let reason = reason.filter(|_| stream.sender);
                peer.send_peer(now, id, PeerMessage::ChatReply(ChatReply::Reject { username, reason }));
            }
            peer.complete(request, Ok(Response::Done));
            Ok(())
        })
    }

    /// Ends a chat, or the wish for one. The other side is told so (§7.14), by closing the chat's streams if there is no other way.
    pub fn hang_up(&mut self, now: Time, user: Username) -> RequestId {
        self.command(|peer, request| {
            if peer.withdraw_contact(now, &user, &RequestError::Unreachable("hung up".to_owned())) {
                peer.complete(request, Ok(Response::Done));
                return Ok(());
            }
            if !peer.leave_all(now, &user, "hung up") {
                return Err(RequestError::NoChat);
            }
            peer.complete(request, Ok(Response::Done));
            Ok(())
        })
    }

    /// Ends the chat with a user, or our wish for one. False if there is none.
    pub(super) fn leave_all(&mut self, now: Time, user: &Username, reason: &str) -> bool {
        let streams = self.streams.iter().filter(|(_, stream)| {
            stream.peer.as_ref() == Some(user) && matches!(stream.chat, Chat::Open | Chat::Asked(_))
        });
        let streams: Vec<_> = streams.map(|(id, _)| *id).collect();
        let line = self.lines.get(user).filter(|line| line.chat).map(|line| line.carrier);
        if streams.is_empty() && line.is_none() {
            return false;
        }
        if let Some(Some(carrier)) = line
            && !streams.contains(&carrier)
        {
            self.say_hang_up(now, carrier);
        }
        for stream in streams {
            self.leave_chat(now, stream, reason);
        }
        self.close_chat(user, reason);
        if let Some(Some(carrier)) = line {
            self.watch(now, carrier);
        }
        true
    }

    /// Ends what a stream is to a chat, and the stream too where there is no other way to say so.
    fn leave_chat(&mut self, now: Time, id: StreamId, reason: &str) {
        if !self.say_hang_up(now, id) {
            return self.drop_stream(now, id, reason, true);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if matches!(stream.chat, Chat::Asked(_)) {
            let asked = std::mem::replace(&mut stream.chat, Chat::None);
            let with = stream.peer.clone();
            stream.deadlines.of(StreamTimer::Asked).clear();
            self.chat_ended(id, asked, with, reason);
        }
    }

    /// Asks whoever we dialled for a chat.
    pub(super) fn ask(&mut self, now: Time, id: StreamId, request: RequestId) {
        let id = self.carrier_of(id);
        let sender = self.username().cloned();
        let limit = self.config.chat_requests;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match &mut stream.chat {
            Chat::Open => self.complete(request, Ok(Response::Done)),
            Chat::Asked(requests) if requests.len() < limit => requests.push(request),
            Chat::Asked(_) => {
                self.complete(request, Err(RequestError::TooMany { what: "chat requests", limit }));
            }
            Chat::AskedUs(theirs) => {
                let theirs = *theirs;
                self.chat_requests.remove(&theirs);
                self.accept_chat(now, id);
                self.complete(request, Ok(Response::Done));
            }
            Chat::None => {
                let Some(recipient) = stream.peer.clone() else { return };
                stream.chat = Chat::Asked(vec![request]);
                let sender = sender.filter(|_| stream.sender);
                let user = recipient.clone();
                self.send_peer(now, id, PeerMessage::ChatRequest { recipient, sender });
                self.arm_stream(now, id, StreamTimer::Asked, self.config.chat_timeout);
                self.accept_mutual(now, id, &user);
            }
        }
    }

    /// Hanging up, or closing the stream, withdraws our request; theirs has been withdrawn by now, or holds a place that is others'
    /// too.
    pub(super) fn chat_request_overdue(&mut self, now: Time, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        if let Chat::Asked(requests) = &stream.chat {
            for request in requests.clone() {
                self.complete(request, Err(RequestError::TimedOut));
            }
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let (Chat::AskedUs(theirs), Numbering::On) = (&stream.chat, stream.numbering) {
            let theirs = *theirs;
            let asked = std::mem::replace(&mut stream.chat, Chat::None);
            let with = stream.peer.clone();
            self.chat_requests.remove(&theirs);
            if let Some(username) = self.username().cloned() {
                self.decline(now, id, username, UNANSWERED);
            }
            return self.chat_ended(id, asked, with, UNANSWERED);
        }
        self.leave_chat(now, id, "no answer to the chat request");
    }

    pub(super) fn chat_requested(
        &mut self,
        now: Time,
        id: StreamId,
        recipient: Username,
        sender: Option<Username>,
    ) {
        if sender.is_some() {
            self.showed_sender(id);
        }
        if !self.is_me(&recipient) {
            let username = self.username().cloned().unwrap_or(recipient);
            self.decline(now, id, username, "nobody of that name is here");
            return;
        }
        if let Some(sender) = &sender
            && let Err(problem) = self.identify(id, sender)
        {
            self.decline(now, id, recipient, problem);
            return;
        }
        let Some(stream) = self.streams.get(&id) else { return };
        // Who has proven their key may come from anywhere.
        let from = (!stream.is_proven()).then(|| stream.addr.ip().to_canonical());
        let both = sender
            .as_ref()
            .is_some_and(|sender| self.wants_chat(sender, from) || self.takes_expected(sender, from));
        let Some(stream) = self.streams.get(&id) else { return };
        match &stream.chat {
            // Both ends want it.
            Chat::Open | Chat::Asked(_) => self.accept_chat(now, id),
            // The answer to the first request answers this one too.
            Chat::AskedUs(_) => {}
            Chat::None if both => self.accept_chat(now, id),
            Chat::None
                if self.chat_requests.len() + self.contact_requests.len() >= self.config.chat_requests =>
            {
                self.decline(now, id, recipient, "too many chat requests are waiting");
            }
            Chat::None => {
                if self.asks_too_often(now, id) {
                    return self.decline(now, id, recipient, "too many chat requests came from there");
                }
                let Some(stream) = self.streams.get(&id) else { return };
                let (from, addr, secured) = (stream.peer.clone(), stream.addr, stream.is_proven());
                let request = ChatRequestId(self.next_id());
                self.chat_requests.insert(request, id);
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.chat = Chat::AskedUs(request);
                }
                self.arm_stream(now, id, StreamTimer::Asked, self.config.chat_timeout);
                self.tell(Event::ChatRequested { request, from, addr, secured });
            }
        }
    }

    fn decline(&mut self, now: Time, id: StreamId, username: Username, problem: &str) {
        let Some(stream) = self.streams.get(&id) else { return };
        let reason = stream.reason(problem);
        self.send_peer(now, id, PeerMessage::ChatReply(ChatReply::Reject { username, reason }));
    }

    /// True if we are asking `user` for a chat, or are in one, at the address that they come `from`, unless they have proven
    /// who they are. A name alone proves nothing: who claims it from elsewhere is the application's to judge.
    fn wants_chat(&self, user: &Username, from: Option<IpAddr>) -> bool {
        let is_wanted = |stream: &Stream| matches!(stream.chat, Chat::Asked(_) | Chat::Open);
        // Of two streams, ours and theirs, they may ask on the one while we have accepted on the other, which they leave.
        let is_proven = from.is_none()
            && self
                .streams
                .values()
                .any(|stream| is_wanted(stream) && stream.is_proven() && stream.peer.as_ref() == Some(user));
        if is_proven {
            return true;
        }
        let Some(Reach::Open(id)) = self.reaches.get(user) else { return false };
        self.streams
            .get(id)
            .is_some_and(|stream| is_wanted(stream) && from.is_none_or(|from| stream.addr.ip() == from))
    }

    /// `user` has been asked, and may have asked us before: then both want it.
    fn accept_mutual(&mut self, now: Time, dialled: StreamId, user: &Username) {
        let Some(ip) = self.streams.get(&dialled).map(|stream| stream.addr.ip()) else { return };
        let theirs = self.streams.iter().filter_map(|(id, stream)| match stream.chat {
            Chat::AskedUs(request)
                if stream.peer.as_ref() == Some(user)
                    && (stream.is_proven() || stream.addr.ip().to_canonical() == ip) =>
            {
                Some((*id, request))
            }
            _ => None,
        });
        for (id, request) in theirs.collect::<Vec<_>>() {
            self.chat_requests.remove(&request);
            self.accept_chat(now, id);
        }
    }

    pub(super) fn accept_chat(&mut self, now: Time, id: StreamId) {
        let Some(username) = self.username().cloned() else { return };
        self.send_peer(now, id, PeerMessage::ChatReply(ChatReply::Accept { username }));
        self.open_chat(now, id);
    }

    pub(super) fn chat_answered(&mut self, now: Time, id: StreamId, reply: ChatReply) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        // What was accepted is a request from before one hung up and asked again.
        if let (ChatReply::Reject { .. }, Chat::Open, Numbering::On, Some(user)) =
            (&reply, &stream.chat, stream.numbering, stream.peer.clone())
        {
            return self.close_chat(&user, "they declined");
        }
        // An answer that nothing asked for changes nothing.
        if !matches!(stream.chat, Chat::Asked(_)) {
            return;
        }
        match reply {
            ChatReply::Accept { username } if Some(&username) != stream.peer.as_ref() => {
                self.fault(self.name_of(id), format!("answered as {username}"));
                self.drop_stream(now, id, &format!("{username} answered instead"), true);
            }
            ChatReply::Accept { .. } => self.open_chat(now, id),
            ChatReply::Reject { reason, .. } => {
                let asked = std::mem::replace(&mut stream.chat, Chat::None);
                stream.deadlines.of(StreamTimer::Asked).clear();
                let reason = reason.map(|reason| reason.as_str().to_owned());
                let error = match reason.as_deref() {
                    Some(UNANSWERED) => RequestError::TimedOut,
                    _ => RequestError::Rejected(reason),
                };
                if let Chat::Asked(requests) = asked {
                    for request in requests {
                        self.complete(request, Err(error.clone()));
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn open_chat(&mut self, now: Time, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let with = stream.peer.clone();
        let before = std::mem::replace(&mut stream.chat, Chat::Open);
        let numbered = stream.numbering == Numbering::On;
        stream.deadlines.of(StreamTimer::Asked).clear();
        if let Some(line) = with.as_ref().filter(|_| numbered).and_then(|user| self.lines.get_mut(user)) {
            line.chat = true;
        }
        if let Some(user) = &with {
            let theirs = self.streams.values_mut().filter(|stream| stream.peer.as_ref() == Some(user));
            theirs.for_each(|stream| stream.said_closed = false);
        }
        self.watch(now, id);
        match with {
            _ if matches!(before, Chat::Open) => {}
            Some(user) => self.name_chat(id, user),
            None => self.tell(Event::ChatOpened { with: None, secured: false }),
        }
        self.unite(now, id);
        if let Chat::Asked(requests) = before {
            for request in requests {
                self.complete(request, Ok(Response::Done));
            }
        }
    }

    /// It is known with whom the open chat on a stream is. A stream that we dialled is written to rather than one whose
    /// other end only says who it is.
    pub(super) fn name_chat(&mut self, id: StreamId, user: Username) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (dialled, secured) = (stream.dialled, stream.is_proven());
        let is_new = !self.chats.contains_key(&user);
        if is_new || dialled {
            self.chats.insert(user.clone(), id);
        }
        if is_new {
            self.tell(Event::ChatOpened { with: Some(user), secured });
        }
    }

    /// A stream is gone: so is the chat, or the wish for one, unless there is another stream for it.
    pub(super) fn chat_ended(&mut self, id: StreamId, chat: Chat, with: Option<Username>, reason: &str) {
        match chat {
            Chat::None => return,
            Chat::Asked(requests) => {
                for request in requests {
                    self.complete(request, Err(RequestError::Unreachable(reason.to_owned())));
                }
                return;
            }
            Chat::AskedUs(request) => {
                self.chat_requests.remove(&request);
            }
            Chat::Open => {
                if let Some(user) = &with {
                    if self.chats.get(user) != Some(&id) {
                        return;
                    }
                    let other = self.streams.iter().find(|(_, stream)| {
                        matches!(stream.chat, Chat::Open) && stream.peer.as_ref() == Some(user)
                    });
                    if let Some((other, _)) = other {
                        self.chats.insert(user.clone(), *other);
                        return;
                    }
                    self.chats.remove(user);
                    // It goes on with the line.
                    if self.lines.get(user).is_some_and(|line| line.chat) {
                        return;
                    }
                }
            }
        }
        self.tell(Event::ChatClosed { with, reason: reason.to_owned() });
    }
}
