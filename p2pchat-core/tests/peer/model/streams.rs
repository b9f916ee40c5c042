//! The model's peer streams: ways to others, chats, messages.

use p2pchat_core::peer::RequestError;

use super::*;

impl Model {
    pub(super) fn open(&mut self, stream: Stream) -> usize {
        self.opened += 1;
        self.streams.insert(self.opened - 1, stream);
        self.opened - 1
    }

    pub(super) fn lane(&mut self, stream: usize, kind: Kind) -> &mut Lane {
        &mut self.streams.get_mut(&stream).unwrap().lanes[kind as usize]
    }

    pub(super) fn writes(&mut self, id: usize, line: &str) {
        self.does(&format!("s{id} {line}"));
        self.used(id);
    }

    fn used(&mut self, id: usize) {
        let stream = self.streams.get_mut(&id).unwrap();
        stream.idle = self.now + if stream.dialled { 120 } else { 130 } * SECOND;
    }

    pub(super) fn reach(&mut self, user: Name, want: Want) {
        match self.ways.get_mut(user) {
            Some(Way::Open(stream)) => {
                let stream = *stream;
                self.fulfil(stream, user, want);
            }
            Some(Way::Searching(wants) | Way::Dialling(wants)) => wants.push(want),
            None => match self.ask(&format!("SEARCH_USER <{user}>"), Ask::Find(user)) {
                Ok(()) => drop(self.ways.insert(user, Way::Searching(vec![want]))),
                Err(error) => self.refuse(user, want, &error),
            },
        }
    }

    pub(super) fn not_found(&mut self, user: Name, error: &RequestError) {
        if let Some(Way::Searching(wants)) = self.ways.get(user).cloned() {
            self.ways.remove(user);
            for want in wants {
                self.refuse(user, want, error);
            }
        }
    }

    pub(super) fn dial(&mut self, user: Name) {
        let Some(Way::Searching(wants)) = self.ways.get(user).cloned() else { return };
        if self.failed_dials.get(user).is_some_and(|until| self.now < *until) {
            return self.not_found(user, &RequestError::Unreachable(WORDS.to_owned()));
        }
        let host = if user == "bob" { 2 } else { 3 };
        let id = self.open(Stream {
            host,
            dialled: true,
            connected: false,
            heard: false,
            peer: Some(user),
            sender: user == "bob",
            chat: Chat::None,
            idle: self.now + 10 * SECOND,
            lanes: Default::default(),
        });
        self.does(&format!("dial s{id} 192.0.2.{host}:4000"));
        self.ways.insert(user, Way::Dialling(wants));
    }

    pub(super) fn stream_up(&mut self, id: usize) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.connected) else { return };
        stream.connected = true;
        let user = stream.peer.unwrap();
        self.used(id);
        if let Some(Way::Dialling(wants)) = self.ways.insert(user, Way::Open(id)) {
            for want in wants {
                self.fulfil(id, user, want);
            }
        }
    }

    fn fulfil(&mut self, id: usize, user: Name, want: Want) {
        match want {
            Want::Chat(command) => self.ask_for_chat(id, user, command),
            Want::Broadcast(command) => {
                let Some(Broadcast { room, text, .. }) = self.broadcasts.get(&command).cloned() else {
                    return;
                };
                if !self.rooms.contains_key(room) {
                    return self.broadcast_landed(command, user, &Err(RequestError::NotAMember));
                }
                let until = self.now + 10 * SECOND;
                self.lane(id, Kind::Broadcast).ours.push_back((command, text, until));
                let room = if self.streams[&id].sender { format!(" <{room}>") } else { String::new() };
                self.writes(id, &format!("DIRECT_BROADCAST <alice>{room} {text}"));
            }
        }
    }

    fn refuse(&mut self, user: Name, want: Want, error: &RequestError) {
        match want {
            Want::Chat(command) => self.fails(command, error),
            Want::Broadcast(command) => self.broadcast_landed(command, user, &Err(error.clone())),
        }
    }

    pub(super) fn stream_lost(&mut self, id: usize, close: bool) {
        self.dialled_in_vain(id, SECOND);
        self.drop_stream(id, close);
    }

    fn dialled_in_vain(&mut self, id: usize, pause: Time) {
        if let Some(stream) = self.streams.get(&id).filter(|stream| stream.dialled && !stream.heard) {
            self.failed_dials.insert(stream.peer.unwrap(), self.now + pause);
        }
    }

    pub(super) fn drop_stream(&mut self, id: usize, close: bool) {
        let Some(stream) = self.streams.remove(&id) else { return };
        let gone = RequestError::Unreachable(WORDS.to_owned());
        let [direct, broadcast] = &stream.lanes;
        if close {
            self.does(&format!("close s{id}"));
        }
        for receipt in self.receipts.iter_mut().filter(|of| of.is_some_and(|(stream, _)| stream == id)) {
            *receipt = None;
        }
        if stream.dialled {
            let user = stream.peer.unwrap();
            if let Some(Way::Dialling(wants)) = self.ways.remove(user) {
                for want in wants {
                    self.refuse(user, want, &gone);
                }
            }
            for (command, ..) in &broadcast.ours {
                self.broadcast_landed(*command, user, &Err(doubtful(&gone)));
            }
        }
        for (command, ..) in &direct.ours {
            self.fails(*command, &doubtful(&gone));
        }
        let with = stream.peer.unwrap_or("?");
        match stream.chat {
            Chat::None => return,
            Chat::Asked(commands, _) => {
                for command in commands {
                    self.fails(command, &gone);
                }
                return;
            }
            Chat::AskedUs(request, _) => self.chat_requests[request] = None,
            Chat::Open if stream.peer.is_some_and(|user| self.chats.get(user) != Some(&id)) => return,
            Chat::Open => {
                let others = self.streams.iter();
                let other = others.filter(|(_, other)| matches!(other.chat, Chat::Open));
                let other = other.filter(|(_, other)| other.peer == stream.peer).map(|(id, _)| *id).next();
                if let (Some(user), Some(other)) = (stream.peer, other) {
                    self.chats.insert(user, other);
                    return;
                }
                self.chats.remove(with);
            }
        }
        self.does(&format!("no chat with {with}: …"));
    }

    pub(super) fn drop_streams(&mut self) {
        for id in self.streams.keys().copied().collect::<Vec<_>>() {
            self.drop_stream(id, true);
        }
        for user in self.ways.keys().copied().collect::<Vec<_>>() {
            self.not_found(user, &RequestError::NotLoggedIn);
        }
    }

    fn ask_for_chat(&mut self, id: usize, user: Name, command: usize) {
        let until = self.now + 120 * SECOND;
        let stream = self.streams.get_mut(&id).unwrap();
        match &mut stream.chat {
            Chat::Open => self.done(command),
            Chat::Asked(commands, _) => commands.push(command),
            Chat::AskedUs(request, _) => {
                let request = *request;
                self.chat_requests[request] = None;
                self.accept(id);
                self.done(command);
            }
            Chat::None => {
                stream.chat = Chat::Asked(vec![command], until);
                let (host, me) = (stream.host, if stream.sender { " <alice>" } else { "" });
                self.writes(id, &format!("CHAT_REQUEST <{user}>{me}"));
                // They have asked us before: both want it.
                let theirs = self.streams.iter().filter_map(|(id, stream)| match stream.chat {
                    Chat::AskedUs(request, _) if stream.peer == Some(user) && stream.host == host => {
                        Some((*id, request))
                    }
                    _ => None,
                });
                for (id, request) in theirs.collect::<Vec<_>>() {
                    self.chat_requests[request] = None;
                    self.accept(id);
                }
            }
        }
    }

    pub(super) fn accept(&mut self, id: usize) {
        self.writes(id, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>");
        self.chat_opens(id);
    }

    fn chat_opens(&mut self, id: usize) {
        let stream = self.streams.get_mut(&id).unwrap();
        let (before, peer) = (std::mem::replace(&mut stream.chat, Chat::Open), stream.peer);
        match peer {
            _ if matches!(before, Chat::Open) => {}
            Some(user) => self.chat_is_with(id, user),
            None => self.does("chat with ?"),
        }
        if let Chat::Asked(commands, _) = before {
            for command in commands {
                self.done(command);
            }
        }
    }

    fn chat_is_with(&mut self, id: usize, user: Name) {
        let is_new = !self.chats.contains_key(user);
        if is_new || self.streams[&id].dialled {
            self.chats.insert(user, id);
        }
        if is_new {
            self.does(&format!("chat with {user}"));
        }
    }

    pub(super) fn said(&mut self, id: usize, what: &Said) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Said::Nonsense = what {
            self.does("fault of …");
            self.dialled_in_vain(id, 60 * SECOND);
            return self.drop_stream(id, true);
        }
        if !stream.connected {
            return;
        }
        stream.heard = true;
        self.used(id);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match *what {
            Said::Asks { recipient, sender } => self.asked_for_chat(id, recipient, sender),
            Said::Answers { accept, username } => {
                let Chat::Asked(commands, _) = stream.chat.clone() else { return };
                match accept {
                    true if stream.peer != Some(username) => {
                        self.does("fault of …");
                        self.drop_stream(id, true);
                    }
                    true => self.chat_opens(id),
                    false => {
                        stream.chat = Chat::None;
                        for command in commands {
                            self.fails(command, &RequestError::Rejected(None));
                        }
                    }
                }
            }
            Said::Text { sender, recipient, text } => {
                let is_open = matches!(stream.chat, Chat::Open);
                if !is_open || recipient != "alice" || !self.is_said_by(id, sender) {
                    return self.owes(id, Kind::Direct, sender, text, None);
                }
                self.owes(id, Kind::Direct, sender, text, Some(format!("{sender}: {text}")));
            }
            Said::Broadcast { sender, room, text } => {
                stream.sender |= room.is_some() && self.session.is_some();
                let shared = self.rooms.iter().filter(|(_, room)| room.members.contains(&sender));
                let shared: Vec<_> = shared.map(|(name, _)| *name).collect();
                let place = match room {
                    Some(room) => shared.contains(&room).then_some(room),
                    None if shared.len() > 1 => Some("?"),
                    None => shared.first().copied(),
                };
                let is_theirs = self.is_said_by(id, sender);
                let told = place.filter(|_| is_theirs).map(|place| format!("[{place}] {sender}: {text}"));
                self.owes(id, Kind::Broadcast, sender, text, told);
            }
            Said::Notifies { broadcast, delivered, sender, text } => {
                let kind = if broadcast { Kind::Broadcast } else { Kind::Direct };
                let ours = &mut stream.lanes[kind as usize].ours;
                let position = ours.iter().position(|(_, sent, _)| *sent == text);
                let position = position.filter(|_| sender == "alice" && self.session.is_some());
                if let Some((command, ..)) = position.and_then(|position| ours.remove(position)) {
                    let outcome = if delivered { Ok(()) } else { Err(RequestError::NotDelivered(None)) };
                    self.landed(id, kind, command, outcome);
                }
            }
            Said::Nonsense => unreachable!("the stream is closed"),
        }
    }

    fn asked_for_chat(&mut self, id: usize, recipient: Name, sender: Option<Name>) {
        let until = self.now + 120 * SECOND;
        let stream = self.streams.get_mut(&id).unwrap();
        stream.sender |= sender.is_some() && self.session.is_some();
        let is_for_me = recipient == "alice" && self.session.is_some();
        if !is_for_me || sender.is_some_and(|sender| !self.is_said_by(id, sender)) {
            let me = if self.session.is_some() { "alice" } else { recipient };
            let reason = if self.streams[&id].sender { " <…>" } else { "" };
            return self.writes(id, &format!("CHAT_REQUEST_RESPONSE <REJECT> <404> <{me}>{reason}"));
        }
        let Stream { chat, host, peer, .. } = &self.streams[&id];
        // Both want it, if it is them who we have asked: whoever calls himself so from elsewhere may not be.
        let ours = sender.and_then(|sender| match self.ways.get(sender) {
            Some(Way::Open(ours)) => self.streams.get(ours),
            _ => None,
        });
        let both =
            ours.is_some_and(|ours| ours.host == *host && matches!(ours.chat, Chat::Asked(..) | Chat::Open));
        match chat {
            Chat::AskedUs(..) => {}
            Chat::None if !both => {
                let from = peer.unwrap_or("?");
                let number = self.chat_requests.len();
                self.chat_requests.push(Some(id));
                self.streams.get_mut(&id).unwrap().chat = Chat::AskedUs(number, until);
                self.does(&format!("{from} wants to chat"));
            }
            _ => self.accept(id),
        }
    }

    /// The first name that is used on a stream is the one that holds.
    fn is_said_by(&mut self, id: usize, name: Name) -> bool {
        if name == "alice" && self.session.is_some() {
            return false;
        }
        let stream = self.streams.get_mut(&id).unwrap();
        let is_named_now = stream.peer.is_none();
        let holds = *stream.peer.get_or_insert(name);
        if is_named_now && matches!(stream.chat, Chat::Open) {
            self.chat_is_with(id, name);
        }
        holds == name
    }

    /// A message came that has to be answered for, in its turn: by the user, who is told, or else by a refusal.
    fn owes(&mut self, id: usize, kind: Kind, sender: Name, text: Name, told: Option<String>) {
        let receipt = told.map(|told| {
            self.does(&told);
            self.receipts.push(Some((id, kind)));
            self.receipts.len() - 1
        });
        let reason = if self.streams[&id].sender { " <…>" } else { "" };
        let verdict = receipt.is_none().then_some(("FAILURE> <404", reason));
        self.lane(id, kind).theirs.push_back(Theirs { receipt, sender, text, verdict });
        self.answers_for(id, kind);
    }

    pub(super) fn confirm(&mut self, receipt: usize) {
        if let Some((id, kind)) = self.receipts[receipt].take() {
            let theirs = self.lane(id, kind).theirs.iter_mut().find(|theirs| theirs.receipt == Some(receipt));
            theirs.unwrap().verdict = Some(("SUCCESS> <200", ""));
            self.answers_for(id, kind);
        }
    }

    /// Answers what no message before it holds up: answers have no number, only an order.
    fn answers_for(&mut self, id: usize, kind: Kind) {
        let verb = if kind == Kind::Direct { "DIRECT_UNICAST" } else { "DIRECT_BROADCAST" };
        while let Some(Theirs { sender, text, verdict: Some((phrase, reason)), .. }) =
            self.lane(id, kind).theirs.front().cloned()
        {
            self.lane(id, kind).theirs.pop_front();
            self.writes(id, &format!("{verb}_NOTIFICATION <{phrase}> <{sender}> <{text}>{reason}"));
        }
    }

    pub(super) fn landed(
        &mut self,
        id: usize,
        kind: Kind,
        command: usize,
        outcome: Result<(), RequestError>,
    ) {
        match (kind, outcome) {
            (Kind::Direct, Ok(())) => self.done(command),
            (Kind::Direct, Err(error)) => self.fails(command, &error),
            (Kind::Broadcast, outcome) => {
                self.broadcast_landed(command, self.streams[&id].peer.unwrap(), &outcome);
            }
        }
    }

    pub(super) fn broadcast(&mut self, id: usize) {
        let room = &self.rooms[self.broadcasts[&id].room];
        let mut others: Vec<_> = room.members.iter().copied().filter(|member| *member != "alice").collect();
        others.sort_unstable();
        self.broadcasts.get_mut(&id).unwrap().pending.clone_from(&others);
        if others.is_empty() {
            self.end_broadcast(id);
        }
        for other in others {
            self.reach(other, Want::Broadcast(id));
        }
    }

    fn broadcast_landed(&mut self, id: usize, user: Name, outcome: &Result<(), RequestError>) {
        let Some(broadcast) = self.broadcasts.get_mut(&id) else { return };
        if broadcast.pending.contains(&user) {
            broadcast.pending.retain(|pending| *pending != user);
            match outcome {
                Ok(()) => broadcast.told.push(user),
                Err(error) => broadcast.untold.push(untold(user, error)),
            }
            if broadcast.pending.is_empty() {
                self.end_broadcast(id);
            }
        }
    }

    fn end_broadcast(&mut self, id: usize) {
        let Broadcast { told, untold, .. } = self.broadcasts.remove(&id).unwrap();
        self.does(&format!("c{id} told {told:?}, not {untold:?}"));
    }

    pub(super) fn give_up_broadcast(&mut self, id: usize, error: &RequestError) {
        self.broadcasts.remove(&id);
        self.fails(id, error);
    }

    /// True if the message is of the kind that the model leaves out: from somebody who isn't known to be in the room.
    pub(crate) fn is_of_a_stranger(&self, step: &Step) -> bool {
        let Step::Said { what: Said::Broadcast { sender, room, .. }, .. } = step else { return false };
        let is_in = |room: &Room| room.members.contains(sender);
        match room {
            Some(room) => self.rooms.get(room).is_some_and(|room| !is_in(room)),
            None => !self.rooms.is_empty() && !self.rooms.values().any(is_in),
        }
    }
}
