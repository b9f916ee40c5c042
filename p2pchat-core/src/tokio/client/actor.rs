//! The task that owns the peer machine.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use p2pchat_proto::{
    Capacity, Description, Detail, FileMessage, FromRegistry, InviteCode, LinkKey, PasswordDigest,
    PeerMessage, PeerPort, Reason, RegistryName, RoomName, RoomSetting, Text, Username,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep_until, timeout},
};

use super::{
    ClientConfig,
    backlog::{Backlog, Read},
    files::{Desk, Disk, FileFact, Place},
    handle::KnownKey,
    link::{LinkFact, LinkTask, Outgoing, Vouching},
    noted::Noted,
    shared::Shared,
    streams::{StreamFact, StreamTask},
};
use crate::{
    peer::{
        ChatRequestId, Effect, Event, FileId, Peer, Receipt, RequestError, RequestId, Response, Status,
        StreamId,
    },
    tokio::{
        Error, LinkIdentity,
        accept::AcceptFailures,
        clock::Clock,
        disk::Source,
        network::{BoxStream, Listener},
        outbox::Outbox,
    },
};

/// How many commands and facts wait for the machine before those who bring them wait too.
const QUEUE: usize = 64;
/// How many messages wait for the registry link before it counts as stuck.
const LINK_QUEUE: usize = 256;
/// What was sent last has so long to leave when the client ends.
const FLUSH: Duration = Duration::from_secs(3);

/// What a handle wants.
#[derive(Debug)]
pub(super) enum Command {
    Request(Request, oneshot::Sender<Result<Response, Error>>),
    Confirm(Receipt),
    SetIdentity(Option<LinkIdentity>, oneshot::Sender<Result<(), RequestError>>),
    SetKey(Username, Option<LinkKey>, oneshot::Sender<Result<(), Error>>),
    KeyOf(Username, oneshot::Sender<KnownKey>),
    Status(oneshot::Sender<Status>),
    /// Or not any more.
    Block(Username, bool, oneshot::Sender<Result<(), Error>>),
    Blocked(oneshot::Sender<Vec<Username>>),
    Close(oneshot::Sender<()>),
}

/// A command of the machine.
#[derive(Debug)]
pub(super) enum Request {
    Connect,
    Register(Username, PasswordDigest, Option<InviteCode>),
    Login(Username, PasswordDigest, Option<PeerPort>),
    Logout,
    Search(Username),
    Peers(Detail),
    Rooms(Detail),
    Create { room: RoomName, password: Option<PasswordDigest>, capacity: Capacity, description: Description },
    Join(RoomName, Option<PasswordDigest>),
    Leave(RoomName),
    Members(RoomName),
    Chat(Username),
    Accept(ChatRequestId),
    Reject(ChatRequestId, Option<Reason>),
    HangUp(Username),
    BeDialled(Username),
    Send(Username, Text),
    Broadcast(RoomName, Text),
    SendFile(Username, Source),
    AcceptFile(FileId, Place),
    CancelFile(FileId, Option<Reason>),
    Kick(RoomName, Username, Option<Reason>),
    Ban(RoomName, Username, Option<Reason>),
    Unban(RoomName, Username),
    SetRoom(RoomName, RoomSetting),
    Bans(RoomName),
}

/// What happened on a socket.
pub(super) enum Fact {
    Link(u64, LinkFact),
    Stream(StreamId, StreamFact),
    Accepted(BoxStream, SocketAddr),
    File(FileId, FileFact),
}

/// Opens the listener and starts the task.
pub(super) async fn start(config: ClientConfig) -> Result<(mpsc::Sender<Command>, Arc<Shared>), Error> {
    let vouching = Vouching::new(&config.trust)?;
    let port = config.listen.port();
    let setup = |error: io::Error| Error::Setup {
        what: "the port for peer streams can't be opened",
        reason: format!("{port}: {error}; port 0 takes a free one"),
    };
    let listener = listen(&config).await.map_err(setup)?;
    let shared = Arc::new(Shared::new(listener.local_addr().map_err(setup)?.port()));
    let (commands, command_queue) = mpsc::channel(QUEUE);
    let (facts, fact_queue) = mpsc::channel(QUEUE);
    // Only the jitter of reconnection comes from this; the standard library's hash keys are random enough.
    let seed = config.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let mut machine = config.machine.clone();
    // Messages have the other half.
    machine.file_window = machine.file_window.min(config.send_queue_bytes / 2);
    // A host whose name no frame can hold is not said: peers take it as if nothing had been negotiated.
    machine.registry = machine.registry.or_else(|| RegistryName::new(&config.registry()).ok());
    let (mut machine, clock) = (Peer::new(machine, seed), Clock::start());
    let mut noted = Noted::new(&config);
    noted.read(clock.now(), &mut machine)?;
    let actor = Actor {
        machine,
        config: Arc::new(config),
        vouching,
        clock,
        shared: shared.clone(),
        commands: command_queue,
        facts,
        fact_queue,
        answers: HashMap::new(),
        link: None,
        links: 0,
        link_error: None,
        streams: HashMap::new(),
        backlog: Backlog::default(),
        noted,
        identity: None,
        desk: Desk::default(),
        tasks: JoinSet::new(),
    };
    tokio::spawn(actor.run(listener));
    Ok((commands, shared))
}

/// Listens as configured, or with IPv4 alone where the default finds no IPv6.
async fn listen(config: &ClientConfig) -> io::Result<Box<dyn Listener>> {
    let wanted = config.listen;
    match config.network.listen(wanted).await {
        Err(error)
            if wanted.is_ipv6()
                && wanted.ip().is_unspecified()
                && error.kind() != io::ErrorKind::AddrInUse =>
        {
            config.network.listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port()))).await
        }
        other => other,
    }
}

async fn accept(listener: Box<dyn Listener>, facts: mpsc::Sender<Fact>, clock: Clock) {
    let mut failures = AcceptFailures::new(clock);
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                if facts.send(Fact::Accepted(stream, addr)).await.is_err() {
                    return;
                }
            }
            Err(error) => failures.pause(&error, "peer stream").await,
        }
    }
}

struct Actor {
    machine: Peer,
    config: Arc<ClientConfig>,
    vouching: Vouching,
    clock: Clock,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    facts: mpsc::Sender<Fact>,
    fact_queue: mpsc::Receiver<Fact>,
    /// Who waits for the end of which command.
    answers: HashMap<RequestId, oneshot::Sender<Result<Response, Error>>>,
    link: Option<Link>,
    /// How many links there have been.
    links: u64,
    /// Why the last link didn't come up.
    link_error: Option<Error>,
    streams: HashMap<StreamId, Arc<Outbox>>,
    backlog: Backlog,
    noted: Noted,
    /// What peer streams are encrypted with.
    identity: Option<LinkIdentity>,
    desk: Desk,
    tasks: JoinSet<()>,
}

struct Link {
    generation: u64,
    outgoing: mpsc::Sender<Outgoing>,
}

impl Actor {
    async fn run(mut self, listener: Box<dyn Listener>) {
        let accepting = self.tasks.spawn(accept(listener, self.facts.clone(), self.clock));
        let closed = loop {
            self.carry_out();
            self.release_held();
            let deadline =
                [self.machine.poll_timeout(), self.backlog.next_turn()].into_iter().flatten().min();
            let deadline = deadline.map(|due| self.clock.instant(due));
            let due = async {
                if let Some(deadline) = deadline {
                    sleep_until(deadline).await;
                }
            };
            tokio::select! {
                biased;
                () = due, if deadline.is_some() => self.time_has_come(),
                Some(_) = self.tasks.join_next() => {}
                () = self.shared.drained.notified(), if self.backlog.holds() => {}
                command = self.commands.recv() => {
                    match command {
                        Some(Command::Request(request, answer)) => {
                            self.refresh_noted();
                            let request = self.request(request);
                            self.answers.insert(request, answer);
                        }
                        Some(Command::Confirm(receipt)) => self.machine.confirm(self.clock.now(), receipt),
                        Some(Command::SetIdentity(identity, answer)) => {
                            // An error means that the caller has stopped waiting.
                            let _ = answer.send(self.set_identity(identity));
                        }
                        Some(Command::SetKey(user, key, answer)) => {
                            let noted = self.noted.note_key(&user, key);
                            self.machine.set_key(self.clock.now(), user, key);
                            let _ = answer.send(noted);
                        }
                        Some(Command::KeyOf(user, answer)) => {
                            let (key, secured) = (self.machine.key_of(&user), self.machine.is_secured(&user));
                            let own = self.identity.as_ref().map(LinkIdentity::key);
                            // An error means that the caller has stopped waiting.
                            let _ = answer.send(KnownKey { key, secured, own });
                        }
                        Some(Command::Status(answer)) => {
                            // An error means that the caller has stopped waiting.
                            let _ = answer.send(self.machine.status(self.clock.now()));
                        }
                        Some(Command::Block(user, blocked, answer)) => {
                            let noted = self.noted.note_blocked(&user, blocked);
                            match blocked {
                                true => {
                                    self.shared.unsay(&user);
                                    self.machine.block(self.clock.now(), user);
                                }
                                false => self.machine.unblock(&user),
                            }
                            let _ = answer.send(noted);
                        }
                        Some(Command::Blocked(answer)) => {
                            self.refresh_noted();
                            let _ = answer.send(self.machine.blocked().cloned().collect());
                        }
                        Some(Command::Close(closed)) => break Some(closed),
                        None => break None,
                    }
                    // However many commands there are, facts get their turn.
                    if let Ok(fact) = self.fact_queue.try_recv() {
                        self.carry_out();
                        self.fact(fact);
                    }
                }
                Some(fact) = self.fact_queue.recv() => self.fact(fact),
            }
        };
        accepting.abort();
        self.machine.shutdown(self.clock.now());
        self.carry_out();
        self.link = None;
        self.desk = Desk::default();
        self.backlog = Backlog::default();
        // Facts that nobody takes any more must not keep the tasks that bring them.
        self.fact_queue.close();
        // Those that don't end in time are cut off with the set.
        let _ = timeout(FLUSH, async { while self.tasks.join_next().await.is_some() {} }).await;
        drop(self);
        if let Some(closed) = closed {
            // An error means that the caller has stopped waiting.
            let _ = closed.send(());
        }
    }

    fn request(&mut self, request: Request) -> RequestId {
        let (machine, now) = (&mut self.machine, self.clock.now());
        let passed = now.since(crate::Time::ZERO);
        let since_1970 =
            self.config.time_of_day.map_or_else(|| self.clock.since_1970(), |start| start + passed);
        machine.set_time_of_day(now, since_1970);
        match request {
            Request::Connect => machine.connect(now),
            Request::Register(username, password, None) => machine.register(now, username, password),
            Request::Register(username, password, Some(invite)) => {
                machine.register_invited(now, username, password, invite)
            }
            Request::Login(username, password, port) => machine.login(now, username, password, port),
            Request::Logout => machine.logout(now),
            Request::Search(username) => machine.search(now, username),
            Request::Peers(detail) => machine.peers(now, detail),
            Request::Rooms(detail) => machine.rooms(now, detail),
            Request::Create { room, password, capacity, description } => {
                machine.create(now, room, password, capacity, description)
            }
            Request::Join(room, password) => machine.join(now, room, password),
            Request::Leave(room) => machine.leave(now, room),
            Request::Members(room) => machine.members(now, room),
            Request::Chat(username) => machine.chat(now, username),
            Request::Accept(request) => machine.accept(now, request),
            Request::Reject(request, reason) => machine.reject(now, request, reason),
            Request::HangUp(username) => machine.hang_up(now, username),
            Request::BeDialled(username) => machine.be_dialled(now, username),
            Request::Send(username, text) => machine.send(now, username, text),
            Request::Broadcast(room, text) => machine.broadcast(now, room, text),
            Request::SendFile(user, source) => {
                let (name, size, digest) = (source.name.clone(), source.size, source.digest);
                let (request, file) = machine.offer_file(now, user, name, size, digest);
                self.desk.open(file, Disk::From(source), &self.facts, &mut self.tasks);
                request
            }
            Request::AcceptFile(file, place) => {
                if machine.offered_file(file).is_some() {
                    self.desk.put(file, place);
                }
                machine.accept_file(now, file)
            }
            Request::CancelFile(file, reason) => machine.cancel_file(now, file, reason),
            Request::Kick(room, user, reason) => machine.kick(now, room, user, reason),
            Request::Ban(room, user, reason) => machine.ban(now, room, user, reason),
            Request::Unban(room, user) => machine.unban(now, room, user),
            Request::SetRoom(room, setting) => machine.set_room(now, room, setting),
            Request::Bans(room) => machine.bans(now, room),
        }
    }

    /// What was noted since counts before anybody's key is judged, and before anybody is heard.
    fn refresh_noted(&mut self) {
        self.noted.refresh(self.clock.now(), &mut self.machine);
    }

    fn set_identity(&mut self, identity: Option<LinkIdentity>) -> Result<(), RequestError> {
        self.machine.set_link_key(identity.as_ref().map(LinkIdentity::key))?;
        self.identity = identity;
        Ok(())
    }

    fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Link(generation, fact) => {
                if self.link.as_ref().is_some_and(|link| link.generation == generation) {
                    self.link_fact(fact);
                }
            }
            Fact::Stream(stream, fact) => {
                if self.streams.contains_key(&stream) {
                    self.stream_fact(stream, fact);
                }
            }
            Fact::File(file, fact) => self.file_fact(file, fact),
            Fact::Accepted(connection, addr) => {
                self.refresh_noted();
                if let Some(stream) = self.machine.accept_stream(self.clock.now(), addr) {
                    let task = self.add_stream(stream);
                    self.tasks.spawn(task.carry(connection));
                }
            }
        }
    }

    fn file_fact(&mut self, file: FileId, fact: FileFact) {
        let (machine, now) = (&mut self.machine, self.clock.now());
        match fact {
            FileFact::Opened(opened) => machine.handle_file_opened(now, file, opened),
            FileFact::Read(offset, read) => machine.handle_file_read(now, file, offset, read),
            FileFact::Written(written) => machine.handle_file_written(now, file, written),
            FileFact::Finished(finished) => machine.handle_file_finished(now, file, finished),
            FileFact::Failed(problem) => machine.handle_file_failed(now, file, problem),
        }
    }

    fn link_fact(&mut self, fact: LinkFact) {
        let (machine, now) = (&mut self.machine, self.clock.now());
        match fact {
            LinkFact::Connected { dialect, certificate, der } => {
                let mut status = self.shared.status();
                (status.certificate, status.der, status.distrusted) = (Some(certificate), Some(der), None);
                drop(status);
                machine.handle_registry_connected(now, dialect);
            }
            LinkFact::Dialect(dialect) => machine.handle_registry_dialect(now, dialect),
            LinkFact::Message(message) => {
                if matches!(message, FromRegistry::Search(_)) {
                    self.refresh_noted();
                }
                self.machine.handle_registry_message(now, message);
            }
            LinkFact::Malformed(malformed) => machine.handle_registry_malformed(now, malformed),
            LinkFact::Datagram(message) => machine.handle_datagram(now, message),
            LinkFact::Closed { reason, error } => {
                // Where it is parked, its datagrams go on.
                if !machine.is_parked() {
                    self.link = None;
                }
                let distrusted = match &error {
                    Some(Error::Certificate(error)) => Some(error.clone()),
                    _ => None,
                };
                self.link_error = error;
                self.shared.status().distrusted.clone_from(&distrusted);
                if distrusted.is_some() && machine.username().is_some() {
                    // Trying again would not make it the right registry, and a person has to know.
                    machine.logout(now);
                    self.carry_out();
                    self.tell(Event::LoggedOut { reason, replaced: false });
                } else {
                    machine.handle_registry_closed(now, reason);
                }
            }
        }
    }

    fn stream_fact(&mut self, stream: StreamId, fact: StreamFact) {
        let now = self.clock.now();
        match fact {
            StreamFact::Connected => self.machine.handle_stream_connected(now, stream),
            StreamFact::Secured(key) => {
                self.refresh_noted();
                self.machine.handle_stream_secured(now, stream, key);
            }
            StreamFact::Unsecured(reason) => {
                self.streams.remove(&stream);
                self.machine.handle_stream_unsecured(now, stream, reason);
            }
            StreamFact::Received(Ok(message), permit) => {
                let turn = self.machine.turn_of(now, stream, &message);
                let read = Read { stream, message, permit };
                match turn {
                    Some(turn) => self.backlog.wait(turn, read),
                    None => self.hear(read),
                }
            }
            StreamFact::Received(Err(malformed), _) => {
                self.machine.handle_stream_malformed(now, stream, malformed)
            }
            StreamFact::Closed(reason) => {
                self.streams.remove(&stream);
                self.backlog.forget(stream);
                self.machine.handle_stream_closed(now, stream, reason);
            }
        }
    }

    /// The machine waited for this moment, or something that was read too early did.
    fn time_has_come(&mut self) {
        let now = self.clock.now();
        self.machine.handle_timeout(now);
        self.carry_out();
        while let Some(read) = self.backlog.take_due(now) {
            self.hear(read);
            self.carry_out();
        }
    }

    /// Gives the machine what was read, unless the application has enough waiting, or others' words have waited for longer.
    fn hear(&mut self, read: Read) {
        let is_talk = matches!(
            read.message,
            PeerMessage::DirectMessage { .. }
                | PeerMessage::DirectBroadcast { .. }
                | PeerMessage::File(FileMessage::Offer(_))
        );
        if is_talk && (self.backlog.holds() || !self.application_keeps_up()) {
            self.backlog.hold(read);
        } else {
            self.machine.handle_stream_message(self.clock.now(), read.stream, read.message);
        }
    }

    /// Gives the machine what was held back, as far as the application has caught up.
    fn release_held(&mut self) {
        while self.application_keeps_up()
            && let Some(Read { stream, message, permit: _permit }) = self.backlog.release()
        {
            self.machine.handle_stream_message(self.clock.now(), stream, message);
            self.carry_out();
        }
    }

    fn application_keeps_up(&self) -> bool {
        let enough = (self.config.events / 8).min(self.config.machine.messages_in_flight / 2);
        self.shared.queue().events.len() < enough.max(1)
    }

    fn carry_out(&mut self) {
        // Before the effects: whoever is told of a login may ask at once, on another thread, who they are.
        {
            let mut status = self.shared.status();
            if status.username.as_ref() != self.machine.username() {
                status.username = self.machine.username().cloned();
            }
        }
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::ConnectRegistry => self.connect_registry(),
                Effect::SendRegistry(message) => self.send_to_link(Outgoing::Message(message)),
                Effect::SendDatagram(message) => self.send_to_link(Outgoing::Datagram(message)),
                Effect::CloseRegistry => self.link = None,
                Effect::ParkRegistry => self.send_to_link(Outgoing::Park),
                Effect::Dial { stream, addr, secure } => {
                    let task = self.add_stream(stream);
                    self.tasks.spawn(task.dial(addr, secure));
                }
                Effect::SendPeer { stream, message } => {
                    if let Some(outbox) = self.streams.get(&stream) {
                        outbox.push(&message);
                    }
                }
                Effect::ClosePeer { stream } => {
                    if let Some(outbox) = self.streams.remove(&stream) {
                        self.backlog.forget(stream);
                        outbox.close();
                    }
                }
                Effect::File { file, deed } => self.desk.hand(file, deed, &self.facts, &mut self.tasks),
                Effect::Event(Event::Completed { request, outcome }) => self.complete(request, outcome),
                Effect::Event(event) => {
                    if let Event::KeyLearned { user, key } = &event
                        && let Err(error) = self.noted.note_key(user, Some(*key))
                    {
                        let what = format!("{user}'s key is not noted: {error}");
                        self.tell(Event::Fault { culprit: "this program".to_owned(), what });
                    }
                    self.tell(event);
                }
            }
        }
    }

    fn connect_registry(&mut self) {
        let (outgoing, queue) = mpsc::channel(LINK_QUEUE);
        self.links += 1;
        self.link = Some(Link { generation: self.links, outgoing });
        self.link_error = None;
        let task = LinkTask {
            config: self.config.clone(),
            vouching: self.vouching.clone(),
            generation: self.links,
            facts: self.facts.clone(),
            outgoing: queue,
        };
        self.tasks.spawn(task.run());
    }

    fn send_to_link(&mut self, outgoing: Outgoing) {
        let Some(link) = &self.link else { return };
        if link.outgoing.try_send(outgoing).is_err() {
            self.link = None;
            self.machine
                .handle_registry_closed(self.clock.now(), "the registry doesn't read what it is sent".into());
        }
    }

    fn add_stream(&mut self, id: StreamId) -> StreamTask {
        let outbox = Arc::new(Outbox::new(self.config.send_queue_bytes));
        self.streams.insert(id, outbox.clone());
        let (config, facts) = (self.config.clone(), self.facts.clone());
        StreamTask { id, config, identity: self.identity.clone(), clock: self.clock, outbox, facts }
    }

    fn complete(&mut self, request: RequestId, outcome: Result<Response, RequestError>) {
        let outcome = outcome.map_err(|error| match (error, &self.link_error) {
            (RequestError::NoRegistry(_), Some(error)) => error.clone(),
            (error, _) => Error::Request(error),
        });
        if let Some(answer) = self.answers.remove(&request) {
            // An error means that the caller has stopped waiting.
            let _ = answer.send(outcome);
        }
    }

    fn tell(&self, event: Event) {
        let mut queue = self.shared.queue();
        // Messages are bounded already: by what is held back, and by how many the machine lets be unconfirmed.
        let is_talk = matches!(event, Event::Message { .. } | Event::Broadcast { .. });
        if queue.abandoned {
            return;
        }
        if !is_talk && queue.events.len() >= self.config.events {
            tracing::warn!(limit = self.config.events, "an event was dropped: the application takes none");
            return;
        }
        // How far a file is now, is all that counts.
        if let Event::FileProgress { file, .. } = &event
            && let Some(older) = queue.events.iter_mut().rev().find(
                |older| matches!(older, Event::FileProgress { file: older, bytes: 1.., .. } if older == file),
            )
        {
            *older = event;
            return;
        }
        queue.events.push_back(event);
        drop(queue);
        self.shared.filled.notify_one();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.shared.queue().ended = true;
        self.shared.filled.notify_one();
    }
}
