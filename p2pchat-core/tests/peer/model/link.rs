//! The model's registry link: the session, requests and their answers, rooms.

use p2pchat_core::peer::RequestError;

use super::*;
use crate::solo::{keep_alive, ticket};

impl Model {
    pub(super) fn has_link(&self) -> bool {
        !matches!(self.link, Link::Down | Link::Paused { .. })
    }

    pub(super) fn when_ready(&mut self, id: usize, login: bool) {
        if self.link == Link::Ready {
            return self.proceed(id, login);
        }
        self.waiting.push((id, login));
        if !self.has_link() {
            self.dial_registry();
        }
    }

    fn proceed(&mut self, id: usize, login: bool) {
        match login {
            true => self.sends("LOGIN <alice> <…> <4000>", Ask::Login(id)),
            false => self.done(id),
        }
    }

    pub(super) fn dial_registry(&mut self) {
        self.link = Link::Connecting { until: self.now + 15 * SECOND };
        self.does("connect");
    }

    pub(super) fn hello(&mut self, welcome: bool) {
        self.registry = Some(Line::Plain(match welcome {
            true => format!("HELLO_BACK <SUCCESS> <200>{AGREED}"),
            false => "HELLO_BACK <FAILURE> <404>".to_owned(),
        }));
        match (self.link, welcome) {
            (Link::Greeting { .. }, true) => {
                self.link = Link::Ready;
                match self.session {
                    Some(_) => self.come_back(),
                    None => self.does("connected"),
                }
                for (id, login) in std::mem::take(&mut self.waiting) {
                    self.proceed(id, login);
                }
            }
            (Link::Greeting { .. }, false) => {
                self.lose_link(&RequestError::Refused(Some(WORDS.to_owned())), true);
            }
            // It refuses what came last, whatever that was.
            (Link::Ready, false) => match (self.asked.pop_front(), self.refusal()) {
                (Some((ask, _)), error) => self.failed(ask, &error),
                (None, _) => self.does("fault of registry: …"),
            },
            _ => {}
        }
    }

    fn come_back(&mut self) {
        match self.session.as_ref().unwrap().token {
            Some(n) => self.sends(&format!("RESUME <alice> <{n:064x}> <4000>"), Ask::Resume(By::Token)),
            None => self.sends("LOGIN <alice> <…> <4000>", Ask::Resume(By::Password)),
        }
    }

    /// The registry has closed the link after a logout, or won't.
    pub(super) fn left(&mut self, logout: usize) {
        self.link = Link::Down;
        self.done(logout);
        if !self.waiting.is_empty() {
            self.dial_registry();
        }
    }

    /// The link is gone. What waited for it ends with `error`.
    pub(super) fn lose_link(&mut self, error: &RequestError, close: bool) {
        if matches!(self.link, Link::Paused { .. }) && self.session.is_some() {
            return;
        }
        if close && self.has_link() {
            self.does("disconnect");
        }
        (self.link, self.retry) = (Link::Down, None);
        if let Some(session) = &mut self.session {
            let pause = match session.named.take() {
                Some(named) => named + self.dice.u64(0..=(named / 4).max(SECOND)),
                None => {
                    session.failures += 1;
                    self.dice.u64(0..=(500_000_u64 << (session.failures - 1).min(30)).min(30 * SECOND))
                }
            };
            (session.live, session.settled) = (false, None);
            self.link = Link::Paused { until: self.now + pause.max(1_000) };
            self.does("lost: …");
        }
        for (id, _) in std::mem::take(&mut self.waiting) {
            self.fails(id, error);
        }
        let asked = std::mem::take(&mut self.asked);
        for (ask, _) in &asked {
            if let Ask::Resume(by) = ask {
                self.coming_back_may_have_worked(*by);
            }
        }
        for (ask, _) in asked.into_iter().filter(|(ask, _)| !matches!(ask, Ask::Resume(_))) {
            self.failed(ask, &RequestError::Interrupted);
        }
    }

    /// Without an answer it may have begun a session: ONLINE is waited out from then on (§5.1), and if it comes late it takes
    /// the session over (§7.5).
    pub(super) fn coming_back_may_have_worked(&mut self, by: By) {
        if let Some(session) = &mut self.session {
            session.unanswered |= by == By::Token;
            (session.timed_out, session.refused_since) = (false, None);
        }
    }

    /// Sends a request that needs a session.
    pub(super) fn ask(&mut self, line: &str, ask: Ask) -> Result<(), RequestError> {
        let session = self.session.as_ref().ok_or(RequestError::NotLoggedIn)?;
        if self.link != Link::Ready || !session.live {
            return Err(RequestError::NotConnected);
        }
        self.sends(line, ask);
        Ok(())
    }

    /// What is refused now, which is the one refusal that a time was named for.
    fn refusal(&mut self) -> RequestError {
        match self.retry.take() {
            Some(seconds) => {
                RequestError::Busy { retry_after: Duration::from_secs(seconds.into()), reason: None }
            }
            None => RequestError::Refused(None),
        }
    }

    fn sends(&mut self, line: &str, ask: Ask) {
        self.does(&format!("> {line}"));
        self.asked.push_back((ask, self.now + 15 * SECOND));
    }

    /// A request has come to nothing.
    pub(super) fn failed(&mut self, ask: Ask, error: &RequestError) {
        match ask {
            Ask::Login(id)
            | Ask::Join(id, _)
            | Ask::Leave(id, _)
            | Ask::Members(_, Some(id))
            | Ask::Kick(id, ..)
            | Ask::Bans(id) => self.fails(id, error),
            Ask::Resume(_) => {
                if let (Some(session), RequestError::Busy { retry_after, .. }) = (&mut self.session, error) {
                    // At most five minutes.
                    session.named = Some(retry_after.as_secs().min(300) * SECOND);
                }
                self.lose_link(&RequestError::NotConnected, true);
            }
            Ask::Find(user) => self.not_found(user, error),
            Ask::Members(room, None) => {
                let Some(room) = self.rooms.get_mut(room) else { return };
                room.asked = false;
                let known = room.known;
                for id in std::mem::take(&mut room.waiting) {
                    match known {
                        true => self.broadcast(id),
                        false => self.give_up_broadcast(id, error),
                    }
                }
            }
        }
    }

    pub(super) fn answered(&mut self, answer: &Answer) {
        use Answer::{No, Nonsense, Online, Yes};
        let oldest = self.asked.front().map(|(ask, _)| ask.clone());
        let plain = |line: &str| Line::Plain(line.to_owned());
        self.registry = Some(match (&oldest, answer) {
            (_, Nonsense) => plain("REGISTER <SUCCESS> <200>"),
            (Some(Ask::Login(_) | Ask::Resume(_)), Yes(_)) => {
                self.tokens += 1;
                Line::Plain(format!("AUTH <SUCCESS> <200> <{:064x}>", self.tokens))
            }
            (Some(Ask::Login(_) | Ask::Resume(_)), No) => plain("AUTH <FAILURE> <404>"),
            (Some(Ask::Login(_) | Ask::Resume(_)), Online) => plain("AUTH <ONLINE> <300>"),
            (Some(Ask::Leave(..)), Yes(_)) => plain("ROOM_EXIT_RESPONSE <SUCCESS> <200>"),
            (Some(Ask::Leave(..)), _) => plain("ROOM_EXIT_RESPONSE <FAILURE> <404>"),
            (Some(Ask::Members(room, _)), Yes(members)) => Line::Members(room, members.clone()),
            (Some(Ask::Members(..)), _) => plain("PEER_LIST <FAILURE> <404>"),
            (Some(Ask::Kick(..)), Yes(_)) => plain("MODERATION <SUCCESS> <200>"),
            (Some(Ask::Kick(..)), _) => plain("MODERATION <FAILURE> <404>"),
            (Some(Ask::Bans(_)), Yes(_)) => plain("BAN_LIST <FOUND> <200> <bob> <why>"),
            (Some(Ask::Bans(_)), Online) => plain("BAN_LIST <NOT_FOUND> <404>"),
            (Some(Ask::Bans(_)), _) => plain("BAN_LIST <FAILURE> <404>"),
            (Some(Ask::Find(user)), Yes(_)) => {
                let (host, sender) = if *user == "bob" { (2, " <sender>") } else { (3, "") };
                let place = format!("<{user}> <4000> <192.0.2.{host}>{sender}");
                Line::Plain(format!("SEARCH_USER_RESPONSE <SUCCESS> <200> {place}"))
            }
            (Some(Ask::Find(_)), No) => plain("SEARCH_USER_RESPONSE <NOT_FOUND> <404>"),
            (Some(Ask::Find(_)), Online) => plain("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>"),
            (Some(Ask::Join(..)), No | Online) => plain("JOIN <FAILURE> <404>"),
            (Some(Ask::Join(..)) | None, _) => plain("JOIN <SUCCESS> <200>"),
        });
        if self.is_ungreeted() || self.link != Link::Ready {
            return;
        }
        self.asked.pop_front();
        let refusal = self.refusal();
        match (oldest, answer) {
            (Some(ask), Nonsense) => {
                self.failed(ask, &RequestError::Unexpected(WORDS.to_owned()));
                self.out_of_order();
            }
            (None, _) => self.out_of_order(),
            (Some(ask), Yes(members)) => self.granted(ask, members),
            (Some(Ask::Login(id)), No) => self.fails(id, &RequestError::LoginFailed(None)),
            (Some(Ask::Login(id)), Online) => self.fails(id, &RequestError::AlreadyOnline),
            (Some(Ask::Resume(By::Token)), No) => {
                let session = self.session.as_mut().unwrap();
                (session.token, session.unanswered) = (None, false);
                self.come_back();
            }
            (Some(Ask::Resume(By::Password)), No) => self.log_out(),
            (Some(Ask::Resume(_)), Online) => {
                let session = self.session.as_mut().unwrap();
                let since = *session.refused_since.get_or_insert(self.now);
                match session.timed_out || self.now - since >= 10 * SECOND {
                    true => self.log_out(),
                    false => self.lose_link(&RequestError::AlreadyOnline, true),
                }
            }
            (Some(Ask::Members(room, id)), _) => {
                if let Some(id) = id {
                    self.fails(id, &RequestError::NotAMember);
                }
                if self.rooms.contains_key(room) {
                    self.drop_room(room);
                    self.does(&format!("alice left {room}"));
                }
            }
            (Some(Ask::Bans(id)), Online) => self.does(&format!("c{id} Bans([])")),
            (Some(Ask::Find(user)), No) => self.not_found(user, &RequestError::NotFound),
            (Some(Ask::Find(user)), Online) => self.not_found(user, &RequestError::NotOnline),
            (Some(ask), _) => self.failed(ask, &refusal),
        }
    }

    fn granted(&mut self, ask: Ask, members: &[Name]) {
        let token = Some(self.tokens);
        match ask {
            Ask::Login(id) => {
                self.session = Some(Session {
                    token,
                    unanswered: false,
                    late: false,
                    live: true,
                    timed_out: false,
                    refused_since: None,
                    confirmed: None,
                    failures: 0,
                    next_keep_alive: self.now,
                    settled: None,
                    ticket: None,
                    named: None,
                });
                self.session_begins();
                self.done(id);
            }
            Ask::Resume(by) => {
                let session = self.session.as_mut().unwrap();
                let failures = session.failures;
                *session = Session {
                    token,
                    unanswered: false,
                    late: by == By::Token && session.unanswered,
                    live: true,
                    timed_out: false,
                    refused_since: None,
                    confirmed: None,
                    failures,
                    ..session.clone()
                };
                self.session_begins();
                self.does("reconnected");
                for room in self.rooms.keys().copied().collect::<Vec<_>>() {
                    self.refresh(room);
                }
            }
            Ask::Join(id, room) => {
                self.done(id);
                self.enter(room);
            }
            Ask::Leave(id, room) => {
                self.drop_room(room);
                self.done(id);
            }
            Ask::Members(room, id) => {
                if let Some(id) = id {
                    self.does(&format!("c{id} Members({members:?})"));
                }
                self.members_are(room, members, id.is_none());
            }
            Ask::Find(user) => self.dial(user),
            Ask::Kick(id, name, user) => {
                if let Some(room) = self.rooms.get_mut(name)
                    && room.members.contains(&user)
                {
                    room.members.retain(|other| *other != user);
                    self.does(&format!("{user} is kicked out of {name} by alice"));
                }
                self.done(id);
            }
            Ask::Bans(id) => {
                self.does(&format!("c{id} Bans([BanRecord {{ username: \"bob\", reason: \"why\" }}])"));
            }
        }
    }

    /// The first keep-alive waits for the ticket, though not for ever.
    fn session_begins(&mut self) {
        let session = self.session.as_mut().unwrap();
        session.ticket = None;
        session.next_keep_alive = self.now + 2_500_000;
        session.settled = Some(self.now + 2_500_000);
    }

    pub(super) fn keep_alive(&mut self) {
        let now = self.now;
        let session = self.session.as_mut().unwrap();
        if session.confirmed.is_some_and(|at| now - at > 20 * SECOND) {
            return self.lose_link(&RequestError::NotConnected, true);
        }
        session.next_keep_alive = now + 2_500_000;
        let line = match &mut session.ticket {
            Some((ticket, next)) => {
                let number = std::mem::replace(next, *next + 1);
                keep_alive("alice", *ticket, number)
            }
            None => "KEEP_ALIVE <alice> <10>".to_owned(),
        };
        self.does(&format!("udp {line}"));
    }

    fn log_out(&mut self) {
        self.end_session();
        self.does("logged out: …");
    }

    pub(super) fn end_session(&mut self) {
        if self.session.take().is_some() {
            for room in self.rooms.keys().copied().collect::<Vec<_>>() {
                self.drop_room(room);
            }
            self.drop_streams();
        }
    }

    fn out_of_order(&mut self) {
        self.lose_link(&RequestError::NotConnected, true);
        self.does("fault of registry: …");
    }

    /// True, and the link lost, if the registry speaks before it has greeted.
    fn is_ungreeted(&mut self) -> bool {
        let ungreeted = matches!(self.link, Link::Greeting { .. });
        if ungreeted {
            self.does("fault of registry: …");
            self.lose_link(&RequestError::NoRegistry(WORDS.to_owned()), true);
        }
        ungreeted
    }

    pub(super) fn pushed(&mut self, push: &Push) {
        self.registry = Some(Line::Plain(match push {
            Push::Joined(room, name) => format!("USER_JOINED <{room}> <{name}>"),
            Push::Left(room, name) => format!("USER_LEFT <{room}> <{name}>"),
            Push::Offline(name) => format!("USER_LOGOUT <{name}>"),
            Push::PutOut { room, user, banned: false } => {
                format!("ROOM_KICKED <{room}> <{user}> <dave> <why>")
            }
            Push::PutOut { room, user, banned: true } => format!("ROOM_BANNED <{room}> <{user}> <dave>"),
            Push::Changed(room) => format!("ROOM_CHANGED <{room}> <dave> <CAPACITY> <7>"),
            Push::Ticket(number) => format!("TICKET <{}>", ticket(*number).expose()),
            Push::RetryAfter(seconds) => format!("RETRY_AFTER <{seconds}>"),
            Push::Timeout => "TIMEOUT <alice>".to_owned(),
            Push::Replaced => "REPLACED <alice>".to_owned(),
        }));
        if self.is_ungreeted() || self.link != Link::Ready {
            return;
        }
        let is_me = |name: Name| self.session.is_some() && name == "alice";
        match *push {
            Push::Joined(room, name) if is_me(name) => {
                if !self.rooms.contains_key(room) {
                    self.enter(room);
                }
            }
            Push::Joined(name, user) => {
                if let Some(room) = self.rooms.get_mut(name)
                    && room.known
                    && !room.members.contains(&user)
                {
                    room.members.push(user);
                    self.does(&format!("{user} is in {name}"));
                }
            }
            Push::Left(name, user) if self.rooms.contains_key(name) => {
                match is_me(user) {
                    true => self.drop_room(name),
                    false => self.rooms.get_mut(name).unwrap().members.retain(|other| *other != user),
                }
                self.does(&format!("{user} left {name}"));
            }
            Push::PutOut { room: name, user, banned } => {
                match self.rooms.get_mut(name) {
                    _ if is_me(user) => self.drop_room(name),
                    Some(room) => room.members.retain(|other| *other != user),
                    None => return,
                }
                self.does(&match banned {
                    true => format!("{user} is banned from {name} by dave"),
                    false => format!("{user} is kicked out of {name} by dave: why"),
                });
            }
            Push::Changed(room) => self.does(&format!("dave sets {room} Capacity(Capacity(7))")),
            Push::Offline(user) if !is_me(user) => {
                let mut shared = Vec::new();
                for (name, room) in &mut self.rooms {
                    if room.members.contains(&user) {
                        shared.push(*name);
                        room.members.retain(|other| *other != user);
                    }
                }
                self.does(&format!("{user} is offline in {shared:?}"));
            }
            Push::Timeout => {
                if let Some(session) = self.session.as_mut().filter(|session| session.live) {
                    session.timed_out = true;
                    self.lose_link(&RequestError::NotConnected, true);
                }
            }
            Push::Replaced => match &mut self.session {
                Some(session) if session.late => {
                    (session.late, session.timed_out) = (false, true);
                    self.lose_link(&RequestError::NotConnected, true);
                }
                Some(_) => {
                    self.log_out();
                    self.lose_link(&RequestError::NotConnected, true);
                }
                None => {}
            },
            Push::Ticket(number) => {
                if let Some(session) = self.session.as_mut().filter(|session| session.live) {
                    session.ticket = Some((number, 1));
                    self.keep_alive();
                }
            }
            Push::RetryAfter(seconds) => self.retry = Some(seconds),
            Push::Left(..) | Push::Offline(_) => {}
        }
    }

    fn enter(&mut self, room: Name) {
        self.rooms.entry(room).or_default().known = false;
        self.refresh(room);
    }

    pub(super) fn refresh(&mut self, name: Name) {
        if self.rooms.get(name).is_some_and(|room| !room.asked)
            && self.ask(&format!("DISCOVER_PEERS <{name}>"), Ask::Members(name, None)).is_ok()
        {
            self.rooms.get_mut(name).unwrap().asked = true;
        }
    }

    fn members_are(&mut self, name: Name, members: &[Name], answers_refresh: bool) {
        let room = self.rooms.entry(name).or_default();
        let old = std::mem::replace(&mut room.members, members.to_vec());
        let was_known = std::mem::replace(&mut room.known, true);
        room.asked &= !answers_refresh;
        let waiting = std::mem::take(&mut room.waiting);
        if was_known {
            // The names are few: in their own order already.
            for user in ["bob", "carol"].into_iter().filter(|user| !old.contains(user)) {
                if members.contains(&user) {
                    self.does(&format!("{user} is in {name}"));
                }
            }
            for user in ["bob", "carol"].into_iter().filter(|user| old.contains(user)) {
                if !members.contains(&user) {
                    self.does(&format!("{user} is offline in [{name:?}]"));
                }
            }
        } else {
            self.does(&format!("in {name} with {members:?}"));
        }
        for id in waiting {
            self.broadcast(id);
        }
    }

    fn drop_room(&mut self, name: Name) {
        if let Some(room) = self.rooms.remove(name) {
            for id in room.waiting {
                self.give_up_broadcast(id, &RequestError::NotAMember);
            }
        }
    }
}
