//! Files that others offer us.

use bytes::{Buf, Bytes};
use p2pchat_proto::{FileChunk, FileMessage, FileOffer, PeerMessage, Reason, Username};

use super::{ALL, REMEMBERED, Told, pace};
use crate::{
    peer::{Effect, Event, FileDeed, FileId, Peer, RequestError, RequestId, StreamId},
    time::Time,
};

/// How far a disk may be behind, in bytes.
const BACKLOG: u64 = 512 * 1024;
/// A piece that isn't the last has at least so many, or else many of them would wait where few may.
pub(super) const LEAST: u64 = 4 * 1024;

/// What is smaller has memory of its own: it may share that of a whole read.
const KEEPS: u64 = 16 * 1024;

/// A file that somebody offers.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) user: Username,
    offer: FileOffer,
    stage: Stage,
    told: Told,
}

#[derive(Debug)]
enum Stage {
    /// The application is to answer.
    Offered,
    /// It wants the file, of which there may be a part already.
    Opening(RequestId),
    Receiving {
        request: RequestId,
        /// What has come, what of that is stored, and what they were told has come.
        received: u64,
        stored: u64,
        acknowledged: u64,
    },
    /// All of it is stored, and being checked: it is too late to do without it.
    Finishing(RequestId),
}

impl Incoming {
    pub(super) const fn request(&self) -> Option<RequestId> {
        match self.stage {
            Stage::Offered => None,
            Stage::Opening(request) | Stage::Receiving { request, .. } | Stage::Finishing(request) => {
                Some(request)
            }
        }
    }

    /// What is said on a new stream to `user`.
    pub(super) fn again(&self, user: &Username) -> Option<FileMessage> {
        match self.stage {
            // What waits for a disk has its room taken, and may come once more.
            Stage::Receiving { received, stored, .. } if self.user == *user => {
                let offset = received.min(stored.saturating_add(BACKLOG));
                Some(FileMessage::Accept { file: self.offer.file, offset })
            }
            _ => None,
        }
    }

    pub(super) const fn is_finishing(&self) -> bool {
        matches!(self.stage, Stage::Finishing(_))
    }

    fn progress(&self, file: FileId, bytes: u64) -> Event {
        let FileOffer { size, name, .. } = &self.offer;
        let (with, name) = (self.user.clone(), name.clone());
        Event::FileProgress { file, with, name, outgoing: false, bytes, size: *size }
    }
}

impl Peer {
    /// What was offered under this id, and not answered yet.
    pub fn offered_file(&self, file: FileId) -> Option<&FileOffer> {
        let incoming = self.files.incoming.get(&file)?;
        matches!(incoming.stage, Stage::Offered).then_some(&incoming.offer)
    }

    /// Takes a file that was offered: the owner is to open it ([`FileDeed::Open`]). Done once all of it is stored and has the
    /// digest that was announced.
    pub fn accept_file(&mut self, _now: Time, file: FileId) -> RequestId {
        self.command(|peer, request| {
            let incoming = peer.files.incoming.get_mut(&file).ok_or(RequestError::NoSuchFile)?;
            if incoming.request().is_some() {
                return Err(RequestError::NoSuchFile);
            }
            let FileOffer { name, size, digest, .. } = incoming.offer.clone();
            let from = incoming.user.clone();
            incoming.stage = Stage::Opening(request);
            peer.effects.push_back(Effect::File { file, deed: FileDeed::Open { from, name, size, digest } });
            Ok(())
        })
    }

    /// A file is open, and this much of it is there already; or it can't be.
    pub fn handle_file_opened(&mut self, now: Time, file: FileId, opened: Result<u64, String>) {
        let Some(incoming) = self.files.incoming.get_mut(&file) else { return };
        let Stage::Opening(request) = incoming.stage else { return };
        let size = incoming.offer.size;
        match opened {
            Ok(there) if there <= size => {
                incoming.stage =
                    Stage::Receiving { request, received: there, stored: there, acknowledged: there };
                let (user, theirs) = (incoming.user.clone(), incoming.offer.file);
                let progress = incoming.progress(file, there);
                self.tell(progress);
                if there == size {
                    return self.finish(file);
                }
                self.say_of_file(now, &user, FileMessage::Accept { file: theirs, offset: there });
            }
            Ok(_) => self.cannot_store(now, file, "more of it is there than there should be".to_owned()),
            Err(problem) => self.cannot_store(now, file, problem),
        }
    }

    /// A piece that came with [`FileDeed::Write`] is stored, and with it all before `stored`; or it can't be.
    pub fn handle_file_written(&mut self, now: Time, file: FileId, written: Result<u64, String>) {
        let Some(incoming) = self.files.incoming.get_mut(&file) else { return };
        let Stage::Receiving { received, stored, .. } = &mut incoming.stage else { return };
        match written {
            Ok(end) if end > *stored && end <= *received => {
                *stored = end;
                let is_all = end == incoming.offer.size;
                let progress = (incoming.told.is_due(now) || is_all).then(|| incoming.progress(file, end));
                self.progress(progress);
                self.acknowledge(now, file);
                if is_all {
                    self.finish(file);
                }
            }
            Ok(_) => {}
            Err(problem) => self.cannot_store(now, file, problem),
        }
    }

    /// All of a file has been checked, and it is where it belongs; or it isn't.
    pub fn handle_file_finished(&mut self, now: Time, file: FileId, finished: Result<(), String>) {
        let Some(incoming) = self.files.incoming.get(&file) else { return };
        let (user, theirs) = (incoming.user.clone(), incoming.offer.file);
        if let Err(problem) = finished {
            return self.cannot_store(now, file, problem);
        }
        self.remember_over(user.clone(), theirs, Ok(()));
        self.say_of_file(now, &user, FileMessage::Done { file: theirs });
        self.end_incoming(file, Ok(()), None);
    }

    fn finish(&mut self, file: FileId) {
        let Some(incoming) = self.files.incoming.get_mut(&file) else { return };
        let Some(request) = incoming.request() else { return };
        incoming.stage = Stage::Finishing(request);
        self.effects.push_back(Effect::File { file, deed: FileDeed::Finish });
    }

    pub(super) fn cannot_store(&mut self, now: Time, file: FileId, problem: String) {
        // What is wrong on one's own disk is nobody else's to know.
        let reason = Some(Reason::truncated("it can't be stored there"));
        self.decline_file(now, file, reason, RequestError::File(problem));
    }

    pub(super) fn decline_file(
        &mut self,
        now: Time,
        file: FileId,
        reason: Option<Reason>,
        error: RequestError,
    ) {
        let Some(incoming) = self.files.incoming.get(&file) else { return };
        let (user, theirs) = (incoming.user.clone(), incoming.offer.file);
        self.remember_over(user.clone(), theirs, Err(reason.clone()));
        self.say_of_file(now, &user, FileMessage::Reject { file: theirs, reason });
        self.end_incoming(file, Err(error), None);
    }

    /// They may offer it again on another stream, if they didn't hear how it ended.
    fn remember_over(&mut self, user: Username, file: u64, outcome: Result<(), Option<Reason>>) {
        let mut theirs = self.files.over.iter().enumerate().filter(|(_, (with, ..))| *with == user);
        if let (Some((oldest, _)), true) = (theirs.next(), theirs.count() >= REMEMBERED - 1) {
            self.files.over.remove(oldest);
        }
        self.files.over.push_back((user, file, outcome));
    }

    pub(super) fn file_offered(&mut self, now: Time, id: StreamId, user: Username, offer: FileOffer) {
        if self.from(&user, offer.file).is_some() {
            return;
        }
        let over = self.files.over.iter().find(|(with, file, _)| *with == user && *file == offer.file);
        if let Some((_, file, outcome)) = over.cloned() {
            let said = match outcome {
                Ok(()) => FileMessage::Done { file },
                Err(reason) => FileMessage::Reject { file, reason },
            };
            return self.send_peer(now, id, PeerMessage::File(said));
        }
        let theirs = self.files.incoming.values().filter(|incoming| incoming.user == user).count();
        let refusal = if self.asks_too_often(now, id) {
            Some("too many files are offered".to_owned())
        } else if offer.size > self.config.file_bytes {
            Some(format!("files of more than {} bytes aren't taken here", self.config.file_bytes))
        } else if theirs >= self.config.files || self.files.incoming.len() >= ALL {
            Some("too many files are waiting".to_owned())
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let reason = Some(Reason::truncated(&refusal));
            let said = FileMessage::Reject { file: offer.file, reason };
            return self.send_peer(now, id, PeerMessage::File(said));
        }
        let file = FileId(self.next_id());
        self.tell(Event::FileOffered {
            file,
            from: user.clone(),
            name: offer.name.clone(),
            size: offer.size,
        });
        let incoming = Incoming { user, offer, stage: Stage::Offered, told: Told::default() };
        self.files.incoming.insert(file, incoming);
    }

    pub(super) fn file_data_came(&mut self, now: Time, user: &Username, chunk: FileChunk) {
        // What was on its way when it was declined is nothing to anybody.
        let Some((file, incoming)) = self.from(user, chunk.file) else { return };
        let size = incoming.offer.size;
        let Stage::Receiving { received, stored, .. } = &mut incoming.stage else { return };
        let offset = chunk.offset;
        let mut data = chunk.into_data();
        let problem = match offset.checked_add(data.len() as u64) {
            Some(end) if end > size => "sent more of a file than there is",
            None => "sent more of a file than there is",
            Some(_) if offset > *received => "left out a piece of a file",
            Some(end) if end <= *received => return,
            Some(end) if end < size && (data.len() as u64) < LEAST => "sent a piece that is too small",
            Some(end) if end - *stored > BACKLOG + pace::MOST as u64 => "sent too much of a file at once",
            Some(end) => {
                // A piece may begin before where an earlier stream ended.
                data.advance(usize::try_from(*received - offset).unwrap_or(data.len()).min(data.len()));
                if (data.len() as u64) < KEEPS {
                    data = Bytes::copy_from_slice(&data);
                }
                let offset = std::mem::replace(received, end);
                return self.store(now, file, offset, data);
            }
        };
        self.fault(user.to_string(), problem);
        self.effects.push_back(Effect::File { file, deed: FileDeed::Discard });
        let reason = Some(Reason::truncated(problem));
        self.decline_file(now, file, reason, RequestError::NotDelivered(Some(format!("{user} {problem}"))));
    }

    fn store(&mut self, now: Time, file: FileId, offset: u64, data: Bytes) {
        self.effects.push_back(Effect::File { file, deed: FileDeed::Write { offset, data } });
        self.acknowledge(now, file);
    }

    /// What has come is acknowledged at once, so that who sends it sees how long the way is; but no more of it than the disk is
    /// behind.
    fn acknowledge(&mut self, now: Time, file: FileId) {
        let Some(incoming) = self.files.incoming.get_mut(&file) else { return };
        let Stage::Receiving { received, stored, acknowledged, .. } = &mut incoming.stage else { return };
        let offset = (*received).min(stored.saturating_add(BACKLOG));
        if offset > *acknowledged {
            *acknowledged = offset;
            let (user, theirs) = (incoming.user.clone(), incoming.offer.file);
            self.say_of_file(now, &user, FileMessage::Ack { file: theirs, offset });
        }
    }

    pub(super) fn file_withdrawn(&mut self, user: &Username, file: u64, reason: Option<&Reason>) {
        let Some((file, incoming)) = self.from(user, file) else { return };
        if incoming.is_finishing() {
            return;
        }
        let reason = reason.map(|reason| reason.as_str().to_owned());
        let why = reason.clone().unwrap_or_else(|| "they have withdrawn it".to_owned());
        self.end_incoming(file, Err(RequestError::Withdrawn(reason)), Some(why));
    }

    /// True if a piece of a file is the next one that we wait for, and of a size that is worth it.
    pub(in crate::peer) fn is_wanted(&self, user: &Username, chunk: &FileChunk) -> bool {
        let length = chunk.data().len() as u64;
        self.files.incoming.values().any(|it| match it.stage {
            Stage::Receiving { received, .. } if it.user == *user && it.offer.file == chunk.file => {
                let ends_it = received.checked_add(length) == Some(it.offer.size);
                chunk.offset == received && (length >= LEAST || ends_it)
            }
            _ => false,
        })
    }

    /// The file that `user` calls so.
    fn from(&mut self, user: &Username, file: u64) -> Option<(FileId, &mut Incoming)> {
        let mut all = self.files.incoming.iter_mut();
        all.find(|(_, it)| it.user == *user && it.offer.file == file)
            .map(|(&file, incoming)| (file, incoming))
    }
}
