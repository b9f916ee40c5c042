//! Files that we offer and send.

use std::collections::VecDeque;

use bytes::Bytes;
use p2pchat_proto::limits::FILE_CHUNK_BYTES;
use p2pchat_proto::{FileChunk, FileDigest, FileMessage, FileName, FileOffer, PeerMessage, Reason, Username};

use super::{ALL, Told, pace::Pace};
use crate::{
    peer::{Effect, Event, FileDeed, FileId, Peer, RequestError, RequestId, StreamId},
    time::Time,
};

/// How much of a file is read before it may be sent, in bytes.
const AHEAD: u64 = 512 * 1024;

/// A file that we offer.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) user: Username,
    offer: FileOffer,
    pub(super) request: RequestId,
    stage: Stage,
    /// How many pieces are being read that nobody wants any more.
    unwanted: usize,
    told: Told,
}

#[derive(Debug)]
enum Stage {
    /// They haven't said yet from where they want it; or the stream is gone that they said it on.
    Offered,
    /// Another file to the same user comes first.
    Queued {
        stream: StreamId,
        from: u64,
    },
    Sending(Sending),
}

/// How far a file is.
#[derive(Debug)]
struct Sending {
    stream: StreamId,
    stored: u64,
    sent: u64,
    /// What has been read and not sent, from there on.
    ready: VecDeque<Bytes>,
    /// What is being read: where it begins, and how long it is.
    reads: VecDeque<(u64, usize)>,
    /// Up to where the file has been read, or is being read.
    read: u64,
    pace: Pace,
}

impl Sending {
    fn new(stream: StreamId, from: u64, most: usize) -> Self {
        let (ready, reads) = (VecDeque::new(), VecDeque::new());
        Self { stream, stored: from, sent: from, ready, reads, read: from, pace: Pace::new(most) }
    }

    /// What may be sent next, if anything.
    fn next_piece(&mut self) -> Option<Bytes> {
        let next = self.ready.front_mut()?;
        let length = self.pace.piece(self.sent - self.stored, next.len())?;
        let piece = next.split_to(length);
        if next.is_empty() {
            self.ready.pop_front();
        }
        Some(piece)
    }
}

impl Outgoing {
    pub(super) fn parted(&mut self, id: StreamId) {
        match self.stage {
            Stage::Queued { stream, .. } | Stage::Sending(Sending { stream, .. }) if stream == id => {
                self.set(Stage::Offered);
            }
            _ => {}
        }
    }

    fn set(&mut self, stage: Stage) {
        if let Stage::Sending(sending) = std::mem::replace(&mut self.stage, stage) {
            self.unwanted += sending.reads.len();
        }
    }

    /// What is said on a new stream to `user`. They know it if they have heard it.
    pub(super) fn again(&self, user: &Username) -> Option<FileOffer> {
        (self.user == *user && matches!(self.stage, Stage::Offered)).then(|| self.offer.clone())
    }

    fn progress(&self, file: FileId, bytes: u64) -> Event {
        let FileOffer { size, name, .. } = &self.offer;
        Event::FileProgress {
            file,
            with: self.user.clone(),
            name: name.clone(),
            outgoing: true,
            bytes,
            size: *size,
        }
    }
}

impl Peer {
    /// Offers a file to a user with whom a chat is open. Done once they have all of it and it has that digest; how far it is, is told
    /// by [`Event::FileProgress`] under the returned id.
    pub fn offer_file(
        &mut self,
        now: Time,
        user: Username,
        name: FileName,
        size: u64,
        digest: FileDigest,
    ) -> (RequestId, FileId) {
        let file = FileId(self.next_id());
        let request = self.command(|peer, request| {
            let line = peer.lines.get(&user).filter(|line| line.chat);
            let takes_files = line.map(|line| line.files);
            let limit = peer.config.files;
            let theirs = peer.files.outgoing.values().filter(|outgoing| outgoing.user == user).count();
            match takes_files {
                // In one without numbers there are no files either.
                None if peer.chats.contains_key(&user) => return Err(RequestError::NoFiles),
                None => return Err(RequestError::NoChat),
                Some(false) => return Err(RequestError::NoFiles),
                Some(true) if theirs >= limit || peer.files.outgoing.len() >= ALL => {
                    return Err(RequestError::TooMany { what: "files", limit: limit.min(ALL) });
                }
                Some(true) => {}
            }
            let offer = FileOffer { file: file.0, size, digest, name };
            let outgoing = Outgoing {
                user: user.clone(),
                offer: offer.clone(),
                request,
                stage: Stage::Offered,
                unwanted: 0,
                told: Told::default(),
            };
            peer.tell(outgoing.progress(file, 0));
            peer.files.outgoing.insert(file, outgoing);
            peer.say_of_file(now, &user, FileMessage::Offer(offer));
            Ok(())
        });
        if !self.files.outgoing.contains_key(&file) {
            self.effects.push_back(Effect::File { file, deed: FileDeed::Close });
        }
        (request, file)
    }

    /// A piece that [`FileDeed::Read`] asked for has been read, or can't be.
    pub fn handle_file_read(&mut self, now: Time, file: FileId, offset: u64, read: Result<Bytes, String>) {
        let Some(outgoing) = self.files.outgoing.get_mut(&file) else { return };
        if outgoing.unwanted > 0 {
            outgoing.unwanted -= 1;
            return self.send_on(now, file);
        }
        let Stage::Sending(sending) = &mut outgoing.stage else { return };
        let Some((_, length)) = sending.reads.pop_front().filter(|(wanted, _)| *wanted == offset) else {
            return;
        };
        let read = read.and_then(|data| match data.len() == length {
            true => Ok(data),
            false => Err("the file has become shorter".to_owned()),
        });
        match read {
            Ok(data) => {
                sending.ready.push_back(data);
                self.send_on(now, file);
            }
            Err(problem) => self.handle_file_failed(now, file, problem),
        }
    }

    pub(super) fn withdraw_file(
        &mut self,
        now: Time,
        file: FileId,
        reason: Option<Reason>,
        error: RequestError,
    ) {
        let Some(user) = self.files.outgoing.get(&file).map(|outgoing| outgoing.user.clone()) else { return };
        self.say_of_file(now, &user, FileMessage::Withdraw { file: file.0, reason });
        self.end_outgoing(file, Err(error));
        self.send_next_file(now, &user);
    }

    /// They want a file, from there on. If they have said so before, they do on another stream now.
    pub(super) fn file_accepted(
        &mut self,
        now: Time,
        stream: StreamId,
        user: &Username,
        file: u64,
        from: u64,
    ) {
        let Some(outgoing) = self.offered_to(user, file) else {
            // Withdrawn on a stream that was lost.
            return self.send_peer(
                now,
                stream,
                PeerMessage::File(FileMessage::Withdraw { file, reason: None }),
            );
        };
        if from > outgoing.offer.size {
            self.fault(self.name_of(stream), "wants more of a file than there is");
            let reason = Some(Reason::truncated("it isn't that long"));
            let why = "their program wants more of it than there is".to_owned();
            return self.withdraw_file(now, FileId(file), reason, RequestError::NotDelivered(Some(why)));
        }
        outgoing.set(Stage::Queued { stream, from });
        self.send_next_file(now, user);
    }

    /// Files to one user go one after the other, so that however many there are they take no more than one does.
    fn send_next_file(&mut self, now: Time, user: &Username) {
        let mut theirs = self.files.outgoing.iter_mut().filter(|(_, outgoing)| outgoing.user == *user);
        if theirs.any(|(_, outgoing)| matches!(outgoing.stage, Stage::Sending(_))) {
            return;
        }
        let most = self.config.file_window;
        let theirs = self.files.outgoing.iter_mut().filter(|(_, outgoing)| outgoing.user == *user);
        for (&file, outgoing) in theirs {
            if let Stage::Queued { stream, from } = outgoing.stage {
                outgoing.stage = Stage::Sending(Sending::new(stream, from, most));
                return self.send_on(now, file);
            }
        }
    }

    /// Sends as much as may be on its way, and has the next pieces read before there is room for them: nobody waits for the disk
    /// then.
    fn send_on(&mut self, now: Time, file: FileId) {
        let Some(outgoing) = self.files.outgoing.get_mut(&file) else { return };
        let size = outgoing.offer.size;
        // However often they want it from elsewhere, no more is read than that.
        let waits = outgoing.unwanted > 0;
        let Stage::Sending(sending) = &mut outgoing.stage else { return };
        let mut pieces = Vec::new();
        while let Some(piece) = sending.next_piece() {
            let offset = sending.sent;
            sending.sent += piece.len() as u64;
            sending.pace.sent(sending.sent, now);
            pieces.extend(FileChunk::new(file.0, offset, piece));
        }
        while !waits && sending.read < size && sending.read - sending.sent < AHEAD {
            let (offset, left) = (sending.read, size - sending.read);
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(FILE_CHUNK_BYTES);
            sending.reads.push_back((offset, length));
            sending.read += length as u64;
            self.effects.push_back(Effect::File { file, deed: FileDeed::Read { offset, length } });
        }
        let (stream, is_all) = (sending.stream, sending.stored == size);
        for chunk in pieces {
            self.send_peer(now, stream, PeerMessage::File(FileMessage::Data(chunk)));
        }
        // All of it is there, or about to be checked: the next one needn't wait for that.
        if is_all && let Some(outgoing) = self.files.outgoing.get_mut(&file) {
            outgoing.stage = Stage::Offered;
            let user = outgoing.user.clone();
            self.send_next_file(now, &user);
        }
    }

    pub(super) fn file_stored(&mut self, now: Time, user: &Username, file: u64, stored: u64) {
        let talking = self.lines.get(user).is_some_and(|line| line.is_talking(now));
        let Some(outgoing) = self.offered_to(user, file) else { return };
        let Stage::Sending(sending) = &mut outgoing.stage else { return };
        if stored <= sending.stored || stored > sending.sent {
            return;
        }
        sending.stored = stored;
        sending.pace.confirmed(stored, now, talking);
        let due = outgoing.told.is_due(now) || stored == outgoing.offer.size;
        let progress = due.then(|| outgoing.progress(FileId(file), stored));
        self.progress(progress);
        self.send_on(now, FileId(file));
    }

    pub(super) fn file_declined(&mut self, now: Time, user: &Username, file: u64, reason: Option<Reason>) {
        if self.offered_to(user, file).is_some() {
            let reason = reason.map(|reason| reason.as_str().to_owned());
            self.end_outgoing(FileId(file), Err(RequestError::Rejected(reason)));
            self.send_next_file(now, user);
        }
    }

    pub(super) fn file_done(&mut self, now: Time, user: &Username, file: u64) {
        if self.offered_to(user, file).is_some() {
            self.end_outgoing(FileId(file), Ok(()));
            self.send_next_file(now, user);
        }
    }

    /// True if an acknowledgement says something new.
    pub(in crate::peer) fn is_news(&self, user: &Username, file: u64, stored: u64) -> bool {
        let outgoing = self.files.outgoing.get(&FileId(file)).filter(|outgoing| outgoing.user == *user);
        outgoing.is_some_and(|outgoing| match &outgoing.stage {
            Stage::Sending(sending) => stored > sending.stored && stored <= sending.sent,
            _ => false,
        })
    }

    /// The file that we call so, if it is `user`'s to speak of.
    fn offered_to(&mut self, user: &Username, file: u64) -> Option<&mut Outgoing> {
        self.files.outgoing.get_mut(&FileId(file)).filter(|outgoing| outgoing.user == *user)
    }
}
