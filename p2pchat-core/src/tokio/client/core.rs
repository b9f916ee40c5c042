//! The peer machine, and what there is around it.

mod effects;

use std::{
    collections::BTreeMap,
    fmt, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use p2pchat_proto::{FileMessage, FromRegistry, LinkKey, Malformed, PeerMessage, Username};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{
    ClientConfig,
    backlog::{Backlog, Read},
    files::{Desk, Disk, FileFact, Place},
    handle::KnownKey,
    link::{LinkFact, Outgoing, Vouching},
    noted::Noted,
    shared::Shared,
    streams::StreamFact,
    wire::Wire,
};
use crate::{
    Time,
    peer::{Event, FileId, Peer, Receipt, RequestError, RequestId, Response, StreamId},
    tokio::{Error, LinkIdentity, clock::Clock, disk::Source, network::BoxStream},
};

/// Who tells many something at once writes when there is something for so many, so that the first can answer while the others
/// are told. The last of them is kept for the next time, as what is said to it may not be complete: so at least two.
const FEW: usize = 8;

/// A client: whoever has something for its machine locks that, and carries out what comes of it.
pub(super) struct Client {
    core: Mutex<Core>,
    pub(super) shared: Arc<Shared>,
    clock: Clock,
}

impl Client {
    pub(super) fn new(
        config: ClientConfig,
        vouching: Vouching,
        (machine, noted): (Peer, Noted),
        clock: Clock,
        port: u16,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared::new(port));
        Arc::new_cyclic(|client| {
            let core = Core {
                machine,
                now: clock.now(),
                config: Arc::new(config),
                vouching,
                clock,
                client: client.clone(),
                runtime: Handle::current(),
                shared: shared.clone(),
                answers: BTreeMap::new(),
                answered: Vec::new(),
                link: None,
                links: 0,
                link_error: None,
                streams: BTreeMap::new(),
                unwritten: Vec::new(),
                at_once: false,
                is_telling: false,
                backlog: Backlog::default(),
                noted,
                username: None,
                identity: None,
                desk: Desk::default(),
                tasks: JoinSet::new(),
                alarm: None,
                ended: false,
            };
            Self { core: Mutex::new(core), shared, clock }
        })
    }

    /// Does something with the machine, and carries out what comes of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.core();
        // A machine that panicked within a change is good for nothing more.
        let is_broken = self.core.is_poisoned() && !mem::replace(&mut core.ended, true);
        core.now = self.clock.now();
        let done = act(&mut core);
        let at_once = mem::take(&mut core.at_once);
        loop {
            let limit = if at_once && !core.is_telling { FEW } else { usize::MAX };
            let is_all = core.carry_out_some(limit);
            core.note_username();
            let is_early = core.bring_forward();
            // Whoever has the machine while we write leaves the telling to us.
            core.is_telling |= !is_all;
            let last = if is_all { None } else { core.unwritten.pop() };
            let unwritten = all_of(&mut core.unwritten);
            let answered = all_of(&mut core.answered);
            // Nobody else has to wait for what it takes to write, nor do those who are told something, who may ask at once.
            drop(core);
            if is_early || is_broken {
                self.shared.stir.notify_one();
            }
            for (answer, outcome) in answered {
                // An error means that the caller has stopped waiting.
                let _ = answer.send(outcome);
            }
            for wire in unwritten {
                if at_once { wire.write_now() } else { wire.outbox.wake() }
            }
            if is_all {
                return done;
            }
            core = self.core();
            core.is_telling = false;
            core.unwritten.extend(last);
        }
    }

    /// Begins a command. Its end is told there; an error means that the client has ended.
    pub(super) fn request(
        &self,
        command: impl FnOnce(&mut Core) -> RequestId,
    ) -> Result<oneshot::Receiver<Result<Response, Error>>, RequestError> {
        self.with(|core| {
            if core.ended {
                return Err(RequestError::Closed);
            }
            core.refresh_noted();
            core.tell_time();
            let (answer, answered) = oneshot::channel();
            let request = command(core);
            core.answers.insert(request, answer);
            // Where others wait as well, what they say next can share a write with it.
            core.at_once = core.answers.len() == 1;
            Ok(answered)
        })
    }

    /// The application has a message. If it is about to take more, what its senders are told can share a write.
    pub(super) fn confirm(&self, receipt: Receipt, is_last: bool) {
        self.with(|core| {
            core.machine.confirm(core.now, receipt);
            core.at_once = is_last;
        });
    }

    /// What has to be done as time passes and the application catches up. Tells until when there is nothing more.
    pub(super) fn turn(&self) -> Option<Time> {
        self.with(|core| {
            core.time_has_come();
            core.release_held();
            core.alarm = core.due();
            core.alarm
        })
    }

    /// Nothing is done any more, and nobody is waited for.
    pub(super) fn end(&self) {
        let unanswered = {
            let mut core = self.core();
            core.ended = true;
            core.streams.clear();
            core.let_go();
            (mem::take(&mut core.tasks), mem::take(&mut core.answers))
        };
        drop(unanswered);
        self.shared.end();
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes all of them. Where there is one, as usual, its room stays for the next.
fn all_of<T>(some: &mut Vec<T>) -> impl Iterator<Item = T> + use<T> {
    let last = some.pop();
    let others = if some.is_empty() { Vec::new() } else { mem::take(some) };
    others.into_iter().chain(last)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("shared", &self.shared).finish_non_exhaustive()
    }
}

type Answer = oneshot::Sender<Result<Response, Error>>;

pub(super) struct Core {
    pub(super) machine: Peer,
    /// When whoever has it locked began.
    pub(super) now: Time,
    config: Arc<ClientConfig>,
    vouching: Vouching,
    clock: Clock,
    client: Weak<Client>,
    /// Where tasks run, whoever has them started.
    runtime: Handle,
    shared: Arc<Shared>,
    /// Who waits for the end of which command.
    answers: BTreeMap<RequestId, Answer>,
    /// Those who are to be told of it.
    answered: Vec<(Answer, Result<Response, Error>)>,
    link: Option<Link>,
    /// How many links there have been.
    links: u64,
    /// Why the last link didn't come up.
    link_error: Option<Error>,
    streams: BTreeMap<StreamId, Arc<Wire>>,
    /// Streams on which something was said that nobody writes yet.
    unwritten: Vec<Arc<Wire>>,
    /// Whoever said it is to write it.
    at_once: bool,
    /// Somebody tells many something, and is writing to the first.
    is_telling: bool,
    backlog: Backlog,
    noted: Noted,
    /// Who the handles say that one is.
    username: Option<Username>,
    /// What peer streams are encrypted with.
    identity: Option<LinkIdentity>,
    desk: Desk,
    pub(super) tasks: JoinSet<()>,
    /// Until when the client's task sleeps.
    alarm: Option<Time>,
    ended: bool,
}

struct Link {
    generation: u64,
    outgoing: mpsc::Sender<Outgoing>,
}

/// What the handles want that isn't the machine's alone.
impl Core {
    pub(super) fn send_file(&mut self, user: Username, source: Source) -> RequestId {
        let (name, size, digest) = (source.name.clone(), source.size, source.digest);
        let (request, file) = self.machine.offer_file(self.now, user, name, size, digest);
        self.open_file(file, Disk::From(source));
        request
    }

    pub(super) fn accept_file(&mut self, file: FileId, place: Place) -> RequestId {
        if self.machine.offered_file(file).is_some() {
            self.desk.put(file, place);
        }
        self.machine.accept_file(self.now, file)
    }

    pub(super) fn set_identity(&mut self, identity: Option<LinkIdentity>) -> Result<(), RequestError> {
        self.machine.set_link_key(identity.as_ref().map(LinkIdentity::key))?;
        self.identity = identity;
        Ok(())
    }

    pub(super) fn set_key(&mut self, user: Username, key: Option<LinkKey>) -> Result<(), Error> {
        let noted = self.noted.note_key(&user, key);
        self.machine.set_key(self.now, user, key);
        noted
    }

    pub(super) fn key_of(&self, user: &Username) -> KnownKey {
        let (key, secured) = (self.machine.key_of(user), self.machine.is_secured(user));
        KnownKey { key, secured, own: self.identity.as_ref().map(LinkIdentity::key) }
    }

    pub(super) fn block(&mut self, user: Username, blocked: bool) -> Result<(), Error> {
        let noted = self.noted.note_blocked(&user, blocked);
        if blocked {
            self.shared.unsay(&user);
            self.machine.block(self.now, user);
        } else {
            self.machine.unblock(&user);
        }
        noted
    }

    pub(super) fn blocked(&mut self) -> Vec<Username> {
        self.refresh_noted();
        self.machine.blocked().cloned().collect()
    }

    /// Ends everything, but for what is still to be written.
    pub(super) fn shut_down(&mut self) {
        self.machine.shutdown(self.now);
        self.carry_out();
        self.let_go();
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    fn let_go(&mut self) {
        self.link = None;
        self.desk = Desk::default();
        self.backlog = Backlog::default();
    }

    /// What was noted since counts before anybody's key is judged, and before anybody is heard.
    fn refresh_noted(&mut self) {
        self.noted.refresh(self.now, &mut self.machine);
    }

    fn tell_time(&mut self) {
        let passed = self.now.since(Time::ZERO);
        let since_1970 =
            self.config.time_of_day.map_or_else(|| self.clock.since_1970(), |start| start + passed);
        self.machine.set_time_of_day(self.now, since_1970);
    }
}

/// What happens.
impl Core {
    /// Somebody has dialled.
    pub(super) fn accepted(&mut self, connection: BoxStream, addr: SocketAddr) {
        self.refresh_noted();
        if let Some(stream) = self.machine.accept_stream(self.now, addr)
            && let Some(task) = self.add_stream(stream)
        {
            self.tasks.spawn_on(task.carry(connection), &self.runtime);
        }
    }

    pub(super) fn file_fact(&mut self, file: FileId, fact: FileFact) {
        let (machine, now) = (&mut self.machine, self.now);
        match fact {
            FileFact::Opened(opened) => machine.handle_file_opened(now, file, opened),
            FileFact::Read(offset, read) => machine.handle_file_read(now, file, offset, read),
            FileFact::Written(written) => machine.handle_file_written(now, file, written),
            FileFact::Finished(finished) => machine.handle_file_finished(now, file, finished),
            FileFact::Failed(problem) => machine.handle_file_failed(now, file, problem),
        }
    }

    pub(super) fn link_fact(&mut self, generation: u64, fact: LinkFact) {
        if self.link.as_ref().is_none_or(|link| link.generation != generation) {
            return;
        }
        let (machine, now) = (&mut self.machine, self.now);
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

    pub(super) fn stream_fact(&mut self, stream: StreamId, fact: StreamFact) {
        if !self.streams.contains_key(&stream) {
            return;
        }
        let now = self.now;
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
            StreamFact::Closed(reason) => {
                self.streams.remove(&stream);
                self.backlog.forget(stream);
                self.machine.handle_stream_closed(now, stream, reason);
            }
        }
    }

    /// Something was read from a stream. Either it is dealt with, or the stream is paused until it is. False if the stream is gone.
    pub(super) fn received(&mut self, stream: StreamId, item: Result<PeerMessage, Malformed>) -> bool {
        let Some(wire) = self.streams.get(&stream) else { return false };
        match item {
            Ok(message) => match self.machine.turn_of(self.now, stream, &message) {
                Some(turn) => {
                    let pause = Some(wire.clone().pause());
                    self.backlog.wait(turn, Read { stream, message, pause });
                }
                None => self.hear(Read { stream, message, pause: None }),
            },
            Err(malformed) => self.machine.handle_stream_malformed(self.now, stream, malformed),
        }
        self.carry_out();
        true
    }

    /// The stream's task writes what was said on it meanwhile, and needn't be woken.
    pub(super) fn is_at(&mut self, wire: &Arc<Wire>) {
        self.unwritten.retain(|unwritten| !Arc::ptr_eq(unwritten, wire));
    }

    /// The machine waited for this moment, or something that was read too early did.
    fn time_has_come(&mut self) {
        self.machine.handle_timeout(self.now);
        self.carry_out();
        while let Some(read) = self.backlog.take_due(self.now) {
            self.hear(read);
            self.carry_out();
        }
    }

    /// Gives the machine what was read, unless the application has enough waiting, or others' words have waited for longer.
    fn hear(&mut self, mut read: Read) {
        let is_talk = matches!(
            read.message,
            PeerMessage::DirectMessage { .. }
                | PeerMessage::DirectBroadcast { .. }
                | PeerMessage::File(FileMessage::Offer(_))
        );
        if is_talk && (self.backlog.holds() || !self.shared.keeps_up(self.enough())) {
            if let (None, Some(wire)) = (&read.pause, self.streams.get(&read.stream)) {
                read.pause = Some(wire.clone().pause());
            }
            self.backlog.hold(read);
        } else {
            self.machine.handle_stream_message(self.now, read.stream, read.message);
        }
    }

    /// Gives the machine what was held back, as far as the application has caught up.
    fn release_held(&mut self) {
        while self.backlog.holds()
            && self.shared.keeps_up(self.enough())
            && let Some(Read { stream, message, pause: _pause }) = self.backlog.release()
        {
            self.machine.handle_stream_message(self.now, stream, message);
            self.carry_out();
        }
    }

    /// How many events may wait before others' words are held back.
    fn enough(&self) -> usize {
        (self.config.events / 8).min(self.config.machine.messages_in_flight / 2).max(1)
    }

    fn due(&self) -> Option<Time> {
        [self.machine.poll_timeout(), self.backlog.next_turn()].into_iter().flatten().min()
    }

    /// True if the client's task sleeps for too long. It is told once.
    fn bring_forward(&mut self) -> bool {
        let due = self.due();
        let is_early = due.is_some_and(|due| self.alarm.is_none_or(|alarm| due < alarm));
        if is_early {
            self.alarm = due;
        }
        is_early
    }
}
