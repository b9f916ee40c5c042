//! A user's host: a program built on the client driver, and a user who does at random everything that it can do.

use std::{
    collections::BTreeSet,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use p2pchat_core::{
    peer::{self, Event, RequestError},
    tokio::{ClientConfig, Error, Events, Fingerprint, LinkIdentity, Peer, Trust},
};
use p2pchat_examples::letters::To;
use p2pchat_proto::{RoomName, Text, Username};
use tokio::{
    task::spawn_local,
    time::{sleep, timeout},
};

use crate::{
    book::{Book, Known, Phase, Site},
    bugs::Bug,
    registry::{REGISTRY, TCP, no_task_is_left},
};

const ROOMS: [&str; 5] = ["den", "Attic", "the garden shed", "Küche", "r-5 (old)"];
pub(crate) const PASSWORD: &str = "correct horse";
/// A program that is told to close does it within this: two waits of the driver's for what is being sent.
const CLOSED: Duration = Duration::from_secs(6);

/// What the program does from its start to its end.
pub(crate) async fn program(site: Site, number: usize, fingerprint: Fingerprint) -> turmoil::Result {
    let mut dice = {
        let mut book = site.book();
        let (seed, user) = (book.seed, &mut book.users[number]);
        user.incarnation += 1;
        let (name, shared) = (user.name.clone(), user.shared);
        let dice = Rng::with_seed(seed ^ ((number as u64 + 1) << 48) ^ (u64::from(user.incarnation) << 32));
        if !shared {
            book.ties.begins(&name);
        }
        dice
    };
    while site.book().phase != Phase::Leave {
        let mut machine = peer::Config::default();
        machine.park_after = (dice.u8(0..100) < 40).then(|| Duration::from_millis(dice.u64(1_000..60_000)));
        let config = ClientConfig::new(REGISTRY, TCP, Trust::Pinned(fingerprint))
            .listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
            .network(Arc::new(site.network.clone()))
            .time_of_day(Duration::from_secs(1_764_374_400))
            .machine(machine)
            .seed(dice.u64(..));
        match Peer::connect(config).await {
            Ok((peer, events)) => use_it(&site, number, peer, events, &mut dice).await,
            Err(Error::Connect { .. } | Error::Request(_)) => {}
            Err(error) => site.book().fail(format!("program {number} can't connect: {error}")),
        }
        sleep(Duration::from_millis(dice.u64(100..3_000))).await;
    }
    let left_over = no_task_is_left(CLOSED).await;
    site.book().check(left_over.map_err(|what| format!("program {number} has ended: {what}")));
    Ok(())
}

/// Two of three users have a link key, the same each time, on whichever of their machines.
fn identity(name: &Username) -> Option<LinkIdentity> {
    /// An Ed25519 key in PKCS#8 form, up to its 32 bytes.
    const PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let seed =
        name.as_str().bytes().fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let key: Vec<_> = PKCS8.into_iter().chain(seed.to_be_bytes().repeat(4)).collect();
    if seed % 3 == 0 { None } else { LinkIdentity::from_pkcs8(&key).ok() }
}

/// Uses one client, until it is time to leave or to begin anew.
async fn use_it(site: &Site, number: usize, peer: Peer, events: Events, dice: &mut Rng) {
    let listener = spawn_local(listen(site.clone(), number, peer.clone(), events, dice.fork()));
    let user = Me { site: site.clone(), number, name: site.book().users[number].name.clone(), peer };
    // There is no session that could refuse it.
    drop(user.peer.set_identity(identity(&user.name)).await);
    let mut last_code = None;
    loop {
        let pace = site.book().pace;
        sleep(Duration::from_millis(dice.u64(100..=100.max(pace)))).await;
        let phase = site.book().phase;
        user.tell_where();
        user.hears_of_code(dice, &mut last_code);
        match phase {
            Phase::Leave => break,
            Phase::Audit => user.audit().await,
            Phase::Lively | Phase::Quiet if user.peer.username().is_none() => user.sign_in(dice, phase),
            Phase::Lively if dice.u8(0..100) == 0 => break,
            Phase::Lively => user.act(dice),
            Phase::Quiet => {}
        }
    }
    if site.book().bug == Some(Bug::ForgetClose) {
        std::mem::forget(user.peer);
        return;
    }
    let closed = timeout(CLOSED, user.peer.close()).await;
    let ended = timeout(CLOSED, listener).await;
    let mut book = site.book();
    if closed.is_err() || !matches!(ended, Ok(Ok(()))) {
        book.fail(format!("program {number} does not close"));
    }
    if let Some(asked) = book.users[number].pending.values().next() {
        let what = asked.what.clone();
        book.fail(format!("program {number} is closed, but {what:?} has not ended"));
    }
    book.stopped(number);
}

/// Takes what happens, as an application does.
async fn listen(site: Site, number: usize, peer: Peer, mut events: Events, mut dice: Rng) {
    let name = site.book().users[number].name.clone();
    let user = Me { site: site.clone(), number, name, peer };
    while let Some(event) = events.next().await {
        site.book().note(|| format!("{number} is told: {event:?}"));
        user.told(&event);
        match event {
            Event::ChatRequested { request, from, addr, .. } if dice.u8(0..100) < 85 => {
                let (accept, pause) = (dice.u8(0..100) < 80, Duration::from_millis(dice.u64(10..4_000)));
                let reason = dice.bool().then_some("not now");
                let me = user.clone();
                spawn_local(async move {
                    sleep(pause).await;
                    let peer = me.peer.clone();
                    // Through the registry.
                    let from = from.filter(|_| accept && addr.ip().is_unspecified());
                    if let Some(from) = &from {
                        me.site.book().ties.wants(&me.name, from);
                    }
                    let call = async move {
                        if accept { peer.accept(request).await } else { peer.reject(request, reason).await }
                    };
                    me.ask_and("answer a wish to chat", None, call, move |me, outcome| {
                        let mut book = me.site.book();
                        let now = book.now();
                        if let (Some(from), Ok(())) = (from, outcome)
                            && !book.users[me.number].shared
                        {
                            book.ties.accepts(now, &me.name, &from);
                        }
                    });
                });
            }
            Event::Message { from, text, .. } => user.reads(&from, None, &text, &mut dice),
            Event::Broadcast { room, from, text, .. } => user.reads(&from, Some(room), &text, &mut dice),
            _ => {}
        }
    }
}

/// A user at the program.
#[derive(Clone)]
pub(crate) struct Me {
    pub(crate) site: Site,
    pub(crate) number: usize,
    pub(crate) name: Username,
    pub(crate) peer: Peer,
}

impl Me {
    /// Asks the program to do something, and waits for the answer beside all else.
    pub(crate) fn ask<T: std::fmt::Debug + 'static>(
        &self,
        what: &str,
        room: Option<&RoomName>,
        call: impl Future<Output = Result<T, Error>> + 'static,
    ) {
        self.ask_and(what, room, call, |_, _| {});
    }

    pub(crate) fn ask_and<T: std::fmt::Debug + 'static>(
        &self,
        what: &str,
        room: Option<&RoomName>,
        call: impl Future<Output = Result<T, Error>> + 'static,
        hear: impl FnOnce(&Self, &Result<T, Error>) + 'static,
    ) {
        let ask = self.site.book().asks(self.number, what.to_owned(), room);
        let me = self.clone();
        spawn_local(async move {
            let outcome = call.await;
            me.site.book().answered(me.number, ask, &format!("{outcome:?}"));
            hear(&me, &outcome);
        });
    }

    fn tell_where(&self) {
        let mut book = self.site.book();
        let user = &mut book.users[self.number];
        user.online = self.peer.username().is_some();
        user.addr = Some((turmoil::lookup(format!("user-{}", self.number)), self.peer.port()));
    }

    fn sign_in(&self, dice: &mut Rng, phase: Phase) {
        let book = self.site.book();
        let user = &book.users[self.number];
        if user.pending.values().any(|asked| ["log in", "guess", "register"].contains(&asked.what.as_str())) {
            return;
        }
        let registered = user.registered == Known::Yes;
        drop(book);
        if !registered {
            self.register(dice, "register", self.name.as_str().to_owned(), |me, outcome| {
                let has_account = me.site.store.lock().truth.has_account(&me.name);
                let mut book = me.site.book();
                match outcome {
                    Ok(()) => book.users[me.number].registered = Known::Yes,
                    Err(Error::Request(RequestError::NameTaken(_))) if !has_account => {
                        book.fail(format!("{} is told that the name is taken, but it is not", me.name));
                    }
                    Err(_) => {}
                }
            });
        }
        let (name, peer) = (self.name.clone(), self.peer.clone());
        if phase == Phase::Lively && dice.u8(0..20) == 0 {
            let guess = async move { peer.login(name.as_str(), "a guess").await };
            return self.ask_and("guess", None, guess, |me, outcome| {
                if outcome.is_ok() {
                    me.site.book().fail(format!("{} is logged in with a wrong password", me.name));
                }
            });
        }
        let login = async move { peer.login(name.as_str(), PASSWORD).await };
        self.ask_and("log in", None, login, |me, outcome| {
            me.tell_where();
            let mut book = me.site.book();
            match outcome {
                Ok(()) => book.stats.logins += 1,
                Err(Error::Request(RequestError::LoginFailed(_)))
                    if book.users[me.number].registered == Known::Yes =>
                {
                    book.fail(format!("{}'s password is right, but not taken", me.name));
                }
                Err(_) => {}
            }
        });
    }

    fn act(&self, dice: &mut Rng) {
        let peer = self.peer.clone();
        let room = RoomName::new(dice.choice(ROOMS).unwrap_or_default()).expect("a room's name");
        let other = self.somebody(dice);
        if self.site.book().rules.by_invitation && dice.u8(0..100) < 4 {
            return self.guest_registers(dice);
        }
        if dice.u8(0..100) == 0 {
            return self.block(dice, other);
        }
        match dice.u8(0..100) {
            0..5 => self.ask("search", None, async move { peer.search(other.as_str()).await }),
            5..10 => self.ask_and("peers", None, async move { peer.peers().await }, |me, peers| {
                let peers = peers.iter().flatten().map(|peer| peer.username.clone());
                me.has_no_doubles(peers.collect());
            }),
            10..14 => self.ask_and("names", None, async move { peer.names().await }, |me, names| {
                me.has_no_doubles(names.iter().flatten().cloned().collect());
            }),
            14..16 => self.ask("rooms", None, async move { peer.rooms().await }),
            16..18 => self.ask("names of rooms", None, async move { peer.room_names().await }),
            18..28 => {
                let (capacity, password) = (dice.u32(1..=3), room_password(&room));
                let name = room.clone();
                let call = async move {
                    peer.create(name.as_str(), password.as_deref(), capacity, "a < b, \\o/").await
                };
                self.ask_about(room, "create", true, call);
            }
            28..45 => {
                let password = if dice.u8(0..10) == 0 { Some("wrong".into()) } else { room_password(&room) };
                let name = room.clone();
                let call = async move { peer.join(name.as_str(), password.as_deref()).await };
                self.ask_about(room, "join", true, call);
            }
            45..50 => {
                let name = room.clone();
                self.ask_about(room, "leave", false, async move { peer.leave(name.as_str()).await });
            }
            50..54 => self.ask("members", None, async move { peer.members(room.as_str()).await }),
            54..64 => self.chat(other),
            64..82 => {
                for _ in 0..dice.u8(1..4) {
                    self.say(dice, To::User(other.clone()));
                }
            }
            82..92 => {
                let room = self.own_room(dice).unwrap_or(room);
                self.say(dice, To::Room(room));
            }
            92..96 => {
                let room = self.own_room(dice).unwrap_or(room);
                let members = self.site.book().users[self.number].told.get(&room).cloned();
                let member = dice.choice(members.unwrap_or_default()).filter(|_| dice.u8(0..10) < 7);
                self.moderate(dice, room, member.unwrap_or(other));
            }
            96..98 => {
                self.site.book().ties.withdraws(&self.name, &other);
                self.ask("hang up", None, async move { peer.hang_up(other.as_str()).await });
            }
            _ => {
                let logout = async move { peer.logout().await };
                self.ask_and("log out", None, logout, |me, _| {
                    let mut book = me.site.book();
                    let now = book.now();
                    book.ties.link_lost(now, &me.name);
                    book.users[me.number].told.clear();
                    drop(book);
                    me.tell_where();
                });
            }
        }
    }

    fn chat(&self, other: Username) {
        let peer = self.peer.clone();
        self.site.book().ties.wants(&self.name, &other);
        let name = other.clone();
        self.ask_and("chat", None, async move { peer.chat(name.as_str()).await }, move |me, outcome| {
            let mut book = me.site.book();
            let now = book.now();
            match outcome {
                Ok(()) if !book.users[me.number].shared => book.ties.chats(now, &me.name, &other),
                Ok(()) => {}
                // It may have been taken back just when it was accepted.
                Err(_) => book.ties.withdraws(&me.name, &other),
            }
        });
    }

    /// Doesn't hear of somebody for a while.
    fn block(&self, dice: &mut Rng, other: Username) {
        if other == self.name {
            return;
        }
        self.site.book().ties.withdraws(&self.name, &other);
        let (peer, name, pause) =
            (self.peer.clone(), other.clone(), Duration::from_millis(dice.u64(100..30_000)));
        let is_forgotten = self.site.book().bug == Some(Bug::HearBlocked);
        let call = async move { if is_forgotten { Ok(()) } else { peer.block(name.as_str()).await } };
        self.ask_and("block", None, call, move |me, outcome| {
            if outcome.is_err() {
                return;
            }
            let mut book = me.site.book();
            book.stats.blocked += 1;
            book.users[me.number].blocked.insert(other.clone());
            drop(book);
            let me = me.clone();
            spawn_local(async move {
                sleep(pause).await;
                me.site.book().users[me.number].blocked.remove(&other);
                let peer = me.peer.clone();
                me.ask("unblock", None, async move { peer.unblock(other.as_str()).await });
            });
        });
    }

    /// A room that the user is in, by what the program has told.
    fn own_room(&self, dice: &mut Rng) -> Option<RoomName> {
        let own: Vec<_> = self.site.book().users[self.number].told.keys().cloned().collect();
        dice.choice(own)
    }

    /// Some user, perhaps this one.
    fn somebody(&self, dice: &mut Rng) -> Username {
        let names: Vec<_> = self.site.book().users.iter().map(|user| user.name.clone()).collect();
        dice.choice(names).unwrap_or(self.name.clone())
    }

    /// Asks for something that makes the user a member, or ends that.
    fn ask_about(
        &self,
        room: RoomName,
        what: &str,
        enters: bool,
        call: impl Future<Output = Result<(), Error>> + 'static,
    ) {
        let what = format!("{what} {room}");
        self.ask_and(&what, Some(&room.clone()), call, move |me, outcome| {
            let mut book = me.site.book();
            match outcome {
                Ok(()) => book.learn(me.number, &room, enters),
                Err(Error::Request(
                    RequestError::Interrupted | RequestError::TimedOut | RequestError::Closed,
                )) => book.doubt(me.number, room),
                Err(_) => {}
            }
        });
    }

    fn say(&self, dice: &mut Rng, to: To) {
        let bug = self.site.book().bug.filter(|_| dice.u8(0..20) == 0);
        let resends = bug == Some(Bug::Resend);
        let (number, text) = self.site.book().post.letters.write(dice, self.number, &self.name, to.clone());
        let to = match to {
            To::Room(_) if bug == Some(Bug::Misaddress) => To::User(self.somebody(dice)),
            to => to,
        };
        for _ in 0..if resends { 2 } else { 1 } {
            let (peer, text) = (self.peer.clone(), text.clone());
            let what = format!("say {number} to {to:?}");
            match to.clone() {
                To::User(name) => {
                    let call = {
                        let name = name.clone();
                        async move { peer.send(name.as_str(), text.as_str()).await }
                    };
                    self.ask_and(&what, None, call, move |me, outcome| {
                        if outcome.is_ok() {
                            me.confirmed(number, &name);
                        }
                    });
                }
                To::Room(room) => {
                    let call = async move { peer.broadcast(room.as_str(), text.as_str()).await };
                    self.ask_and(&what, None, call, move |me, outcome| {
                        for name in outcome.iter().flat_map(|report| &report.delivered) {
                            me.confirmed(number, name);
                        }
                    });
                }
            }
        }
    }

    fn confirmed(&self, number: u64, by: &Username) {
        let mut book = self.site.book();
        book.stats.confirmed += 1;
        let verdict = book.post.confirmed(number, &book.programs_of(by), by);
        book.check(verdict);
    }

    fn has_no_doubles(&self, names: Vec<Username>) {
        let different: BTreeSet<_> = names.iter().collect();
        if different.len() != names.len() || different.contains(&self.name) {
            self.site.book().fail(format!("{} is told that {names:?} are online", self.name));
        }
    }

    /// The user reads what somebody said; in which room, if it was in one.
    fn reads(&self, from: &Username, room: Option<Option<RoomName>>, text: &Text, dice: &mut Rng) {
        let mut book = self.site.book();
        if book.bug == Some(Bug::ConfirmUnread) && dice.u8(0..20) == 0 {
            return;
        }
        book.stats.read += 1;
        if book.users[self.number].blocked.contains(from) {
            book.fail(format!("{} doesn't want to hear of {from}, and reads {text:?}", self.name));
        }
        if let Some(meant) = book.post.letters.room_of(text).cloned()
            && !self.site.store.lock().truth.is_member(&self.name, &meant)
            && !book.may_be_in(self.number, &meant)
            && !self.has_not_heard(&book, &meant)
        {
            book.fail(format!("{} reads what was said in {meant}, without being in it", self.name));
        }
        let verdict = book.post.read(self.number, &self.name, from, room.flatten().as_ref(), text);
        book.check(verdict);
    }

    /// True if the user was put out of the room, which hasn't reached the program yet.
    fn has_not_heard(&self, book: &Book, room: &RoomName) -> bool {
        let store = self.site.store.lock();
        store.truth.was_put_out(&self.name, room) && book.users[self.number].told.contains_key(room)
    }

    /// Notes what an event tells.
    fn told(&self, event: &Event) {
        let mut book = self.site.book();
        book.stats.events += 1;
        match event {
            Event::Reconnected => book.stats.reconnected += 1,
            Event::Parked => book.stats.parked += 1,
            Event::Fault { culprit, what } => {
                book.fail(format!("{} hears that {culprit} {what}", self.name));
            }
            Event::LoggedOut { reason, .. } if !book.users[self.number].shared => {
                book.fail(format!("{} has one program, and is logged out: {reason}", self.name));
            }
            Event::Disconnected { .. } | Event::LoggedOut { .. } => {
                let now = book.now();
                book.ties.link_lost(now, &self.name);
            }
            Event::PutOut { room, username, .. } if *username == self.name => {
                book.doubt(self.number, room.clone());
            }
            _ => {}
        }
        let told = &mut book.users[self.number].told;
        match event {
            Event::RoomEntered { room, members } => {
                told.insert(room.clone(), members.iter().cloned().collect());
            }
            Event::MemberOnline { room, username } => {
                told.entry(room.clone()).or_default().insert(username.clone());
            }
            Event::MemberLeft { room, username } if *username == self.name => drop(told.remove(room)),
            Event::MemberLeft { room, username } => {
                told.entry(room.clone()).or_default().remove(username);
            }
            Event::PutOut { room, username, .. } if *username == self.name => drop(told.remove(room)),
            Event::PutOut { room, username, .. } => {
                told.entry(room.clone()).or_default().remove(username);
            }
            Event::MemberOffline { username, rooms } => {
                for room in rooms {
                    told.entry(room.clone()).or_default().remove(username);
                }
            }
            Event::LoggedOut { .. } => told.clear(),
            _ => {}
        }
    }
}

/// Some rooms have a password, which everybody knows.
pub(crate) fn room_password(room: &RoomName) -> Option<String> {
    room.as_str().len().is_multiple_of(2).then(|| format!("of {room}"))
}
