//! What the machine wants done.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    super::{
        files::Disk,
        link::{LinkTask, Outgoing},
        streams::StreamTask,
        wire::Wire,
    },
    Core, Link,
};
use crate::{
    peer::{Effect, Event, FileId, RequestError, RequestId, Response, StreamId},
    tokio::Error,
};

/// How many messages wait for the registry link before it counts as stuck.
const LINK_QUEUE: usize = 256;

impl Core {
    pub(in crate::tokio::client) fn carry_out(&mut self) {
        self.carry_out_some(usize::MAX);
    }

    /// Does what the machine wants done, until something is to be written on `limit` streams. False if there may be more.
    pub(super) fn carry_out_some(&mut self, limit: usize) -> bool {
        while self.unwritten.len() < limit {
            let machine = &mut self.machine;
            let next = if self.is_telling { machine.poll_ready() } else { machine.poll_effect() };
            let Some(effect) = next else { return true };
            match effect {
                Effect::ConnectRegistry => self.connect_registry(),
                Effect::SendRegistry(message) => self.send_to_link(Outgoing::Message(message)),
                Effect::SendDatagram(message) => self.send_to_link(Outgoing::Datagram(message)),
                Effect::CloseRegistry => self.link = None,
                Effect::ParkRegistry => self.send_to_link(Outgoing::Park),
                Effect::Dial { stream, addr, secure } => {
                    if let Some(task) = self.add_stream(stream) {
                        self.tasks.spawn_on(task.dial(addr, secure), &self.runtime);
                    }
                }
                Effect::SendPeer { stream, message } => {
                    if let Some(wire) = self.streams.get(&stream) {
                        wire.outbox.fill().push(&message);
                        if self.unwritten.last().is_none_or(|last| !Arc::ptr_eq(last, wire)) {
                            self.unwritten.push(wire.clone());
                        }
                    }
                }
                Effect::ClosePeer { stream } => {
                    if let Some(wire) = self.streams.remove(&stream) {
                        self.backlog.forget(stream);
                        wire.outbox.close();
                    }
                }
                Effect::File { file, deed } => {
                    if let Some((job, disk)) = self.desk.hand(file, deed) {
                        self.open_file(file, disk);
                        self.desk.do_job(file, job);
                    }
                }
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
        false
    }

    /// Whoever is told of a login may ask at once, on another thread, who they are.
    pub(super) fn note_username(&mut self) {
        if self.username.as_ref() != self.machine.username() {
            self.username = self.machine.username().cloned();
            self.shared.status().username.clone_from(&self.username);
        }
    }

    fn connect_registry(&mut self) {
        let Some(client) = self.client.upgrade() else { return };
        let (outgoing, queue) = mpsc::channel(LINK_QUEUE);
        self.links += 1;
        self.link = Some(Link { generation: self.links, outgoing });
        self.link_error = None;
        let task = LinkTask {
            config: self.config.clone(),
            vouching: self.vouching.clone(),
            generation: self.links,
            client,
            outgoing: queue,
        };
        self.tasks.spawn_on(task.run(), &self.runtime);
    }

    fn send_to_link(&mut self, outgoing: Outgoing) {
        let Some(link) = &self.link else { return };
        if link.outgoing.try_send(outgoing).is_err() {
            self.link = None;
            self.machine.handle_registry_closed(self.now, "the registry doesn't read what it is sent".into());
        }
    }

    pub(super) fn add_stream(&mut self, id: StreamId) -> Option<StreamTask> {
        let client = self.client.upgrade().filter(|_| !self.ended)?;
        let wire = Arc::new(Wire::new(self.config.send_queue_bytes));
        self.streams.insert(id, wire.clone());
        let (config, identity) = (self.config.clone(), self.identity.clone());
        Some(StreamTask { id, config, identity, clock: self.clock, wire, client })
    }

    pub(super) fn open_file(&mut self, file: FileId, disk: Disk) {
        if let Some(client) = self.client.upgrade() {
            self.tasks.spawn_on(self.desk.open(file, disk, client), &self.runtime);
        }
    }

    fn complete(&mut self, request: RequestId, outcome: Result<Response, RequestError>) {
        self.note_username();
        let outcome = outcome.map_err(|error| match (error, &self.link_error) {
            (RequestError::NoRegistry(_), Some(error)) => error.clone(),
            (error, _) => Error::Request(error),
        });
        if let Some(answer) = self.answers.remove(&request) {
            self.answered.push((answer, outcome));
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.note_username();
        self.shared.tell(event, self.config.events);
    }
}
