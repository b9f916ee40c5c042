//! Files: offered in a chat, accepted, sent piece by piece, and gone on with after a stream was lost (PROTOCOL.md §7.15).
//!
//! The machine never sees a disk: it says which piece is to be read, and which is to be written, and is told how that went. A
//! transfer belongs to its chat: it outlasts the chat's streams (§7.14), and ends with it.

mod incoming;
mod outgoing;
mod pace;

use std::collections::{BTreeMap, VecDeque};

use p2pchat_proto::{FileMessage, PeerMessage, Reason, Username};

use self::{incoming::Incoming, outgoing::Outgoing};
use super::{Effect, Event, FileDeed, FileId, Peer, RequestError, RequestId, Response, StreamId};
use crate::time::Time;

/// How many transfers that are over are remembered, for whoever didn't hear of it.
const REMEMBERED: usize = 64;
/// With how many files at once something is done, in each direction.
const ALL: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Files {
    outgoing: BTreeMap<FileId, Outgoing>,
    incoming: BTreeMap<FileId, Incoming>,
    /// Who offered what, and how it ended.
    over: VecDeque<(Username, u64, Result<(), Option<Reason>>)>,
}

impl Peer {
    /// Ends a transfer, in either direction and however far it is: an offer of one's own is withdrawn, another's is declined. The
    /// reason goes to the other end.
    pub fn cancel_file(&mut self, now: Time, file: FileId, reason: Option<Reason>) -> RequestId {
        self.command(|peer, request| {
            if peer.files.outgoing.contains_key(&file) {
                peer.withdraw_file(now, file, reason, RequestError::Cancelled);
            } else if peer.files.incoming.get(&file).is_some_and(|it| !it.is_finishing()) {
                peer.decline_file(now, file, reason, RequestError::Cancelled);
            } else {
                return Err(RequestError::NoSuchFile);
            }
            peer.complete(request, Ok(Response::Done));
            Ok(())
        })
    }

    /// What came on a numbered stream about a file.
    pub(super) fn file_message(&mut self, now: Time, id: StreamId, message: FileMessage) {
        let Some(user) = self.streams.get(&id).and_then(|stream| stream.peer.clone()) else { return };
        // What was said before a chat ended is nobody's any more.
        if !self.lines.get(&user).is_some_and(|line| line.chat) {
            return;
        }
        match message {
            FileMessage::Offer(offer) => self.file_offered(now, id, user, offer),
            FileMessage::Data(chunk) => self.file_data_came(now, &user, chunk),
            FileMessage::Withdraw { file, reason } => self.file_withdrawn(&user, file, reason.as_ref()),
            FileMessage::Accept { file, offset } => self.file_accepted(now, id, &user, file, offset),
            FileMessage::Reject { file, reason } => self.file_declined(now, &user, file, reason),
            FileMessage::Ack { file, offset } => self.file_stored(now, &user, file, offset),
            FileMessage::Done { file } => self.file_done(now, &user, file),
            _ => {}
        }
    }

    /// Says something about a file to `user`, if there is a stream. If not, the next one begins with what there is to say.
    fn say_of_file(&mut self, now: Time, user: &Username, message: FileMessage) {
        if let Some(carrier) = self.lines.get(user).and_then(|line| line.carrier) {
            self.send_peer(now, carrier, PeerMessage::File(message));
        }
    }

    /// What hung on a stream that is gone waits for the next one.
    pub(super) fn files_parted(&mut self, id: StreamId) {
        for outgoing in self.files.outgoing.values_mut() {
            outgoing.parted(id);
        }
    }

    /// There is another stream: each end says where it is.
    pub(super) fn carry_files(&mut self, now: Time, user: &Username) {
        for offer in
            self.files.outgoing.values().filter_map(|outgoing| outgoing.again(user)).collect::<Vec<_>>()
        {
            self.say_of_file(now, user, FileMessage::Offer(offer));
        }
        for accept in
            self.files.incoming.values().filter_map(|incoming| incoming.again(user)).collect::<Vec<_>>()
        {
            self.say_of_file(now, user, accept);
        }
    }

    /// The chat with `user` is over, and so are its files.
    pub(super) fn files_over(&mut self, user: &Username, reason: &str) {
        let error = RequestError::Unreachable(reason.to_owned());
        let ours: Vec<_> =
            self.files.outgoing.iter().filter(|(_, it)| it.user == *user).map(|(&file, _)| file).collect();
        for file in ours {
            self.end_outgoing(file, Err(error.clone()));
        }
        let theirs: Vec<_> = self
            .files
            .incoming
            .iter()
            .filter(|(_, it)| it.user == *user && !it.is_finishing())
            .map(|(&file, _)| file)
            .collect();
        for file in theirs {
            self.end_incoming(file, Err(error.clone()), Some(reason.to_owned()));
        }
        self.files.over.retain(|(with, ..)| with != user);
    }

    fn end_outgoing(&mut self, file: FileId, outcome: Result<(), RequestError>) {
        let Some(outgoing) = self.files.outgoing.remove(&file) else { return };
        self.effects.push_back(Effect::File { file, deed: FileDeed::Close });
        self.tell(Event::FileEnded { file });
        self.complete(outgoing.request, outcome.map(|()| Response::Done));
    }

    /// `withdrawn`: what the application is told of an offer that it hasn't answered, if not by itself.
    fn end_incoming(&mut self, file: FileId, outcome: Result<(), RequestError>, withdrawn: Option<String>) {
        let Some(incoming) = self.files.incoming.remove(&file) else { return };
        match incoming.request() {
            Some(request) => {
                self.effects.push_back(Effect::File { file, deed: FileDeed::Close });
                self.tell(Event::FileEnded { file });
                self.complete(request, outcome.map(|()| Response::Done));
            }
            None => self.tell(match withdrawn {
                Some(reason) => Event::FileWithdrawn { file, from: incoming.user, reason },
                None => Event::FileEnded { file },
            }),
        }
    }

    /// Nothing can be done with a file on the disk any more.
    pub fn handle_file_failed(&mut self, now: Time, file: FileId, problem: String) {
        if self.files.outgoing.contains_key(&file) {
            let reason = Some(Reason::truncated("its sender can't read it any more"));
            self.withdraw_file(now, file, reason, RequestError::File(problem));
        } else {
            self.cannot_store(now, file, problem);
        }
    }

    fn progress(&mut self, event: Option<Event>) {
        self.effects.extend(event.map(Effect::Event));
    }
}

/// So often an application is told how far a file is.
#[derive(Debug, Default)]
struct Told(Option<Time>);

impl Told {
    fn is_due(&mut self, now: Time) -> bool {
        const OFTEN: std::time::Duration = std::time::Duration::from_millis(250);
        let due = self.0.is_none_or(|then| now.since(then) >= OFTEN);
        if due {
            self.0 = Some(now);
        }
        due
    }
}
