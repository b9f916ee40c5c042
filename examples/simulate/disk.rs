//! Files that users send each other, and the disks that they are read from and stored on.

use std::collections::BTreeMap;

use bytes::Bytes;
use p2pchat_core::{
    Time,
    peer::{Event, FileDeed, FileId},
};
use p2pchat_proto::{FileDigest, FileName, Reason, Username};

use crate::{schedule::Happening, users::Ask, world::World};

/// A file that a user has offered to another.
struct Parcel {
    from: Username,
    to: Username,
    bytes: Bytes,
    /// How much of it has come, stored or not.
    came: u64,
    has_arrived: bool,
}

/// Every file that was offered, by the digest that it was announced with.
#[derive(Default)]
pub(crate) struct Parcels {
    all: BTreeMap<FileDigest, Parcel>,
    pub(crate) arrived: u64,
}

impl Parcels {
    /// Whether the user has all of it. Unknown if nobody has offered that.
    pub(crate) fn has_arrived(&self, digest: &FileDigest) -> bool {
        self.all.get(digest).is_some_and(|parcel| parcel.has_arrived)
    }
}

/// A program's disk, which outlasts it.
#[derive(Default)]
pub(crate) struct Disk {
    /// What the program that runs has open.
    open: BTreeMap<FileId, Open>,
    /// What has come of others' files.
    parts: BTreeMap<FileDigest, Vec<u8>>,
    /// When the last thing is done that it was asked to do.
    busy_until: Time,
}

struct Open {
    digest: FileDigest,
    is_own: bool,
    /// What was asked for before anybody knew is not done.
    is_broken: bool,
}

impl Disk {
    /// The program is gone.
    pub(crate) fn close(&mut self) {
        self.open.clear();
    }
}

impl World {
    pub(crate) fn offer_file(&mut self, number: usize, other: Username) {
        let node = &self.nodes[number];
        let from = node.user.name.clone();
        let open: Vec<_> = node.machine.iter().flat_map(|machine| machine.chats().cloned()).collect();
        let to = self.schedule.pick(&open).unwrap_or(other);
        let most = self.schedule.pick(&[1, 100, 10_000, 200_000]).unwrap_or_default();
        let mut bytes = vec![0; self.schedule.rng.usize(0..=most)];
        self.schedule.rng.fill(&mut bytes);
        let mut digest = [0; 32];
        self.schedule.rng.fill(&mut digest);
        let (digest, size) = (FileDigest::from_bytes(digest), bytes.len() as u64);
        let parcel = Parcel { from, to: to.clone(), bytes: bytes.into(), came: 0, has_arrived: false };
        self.parcels.all.insert(digest, parcel);
        let mut offered = None;
        self.ask(number, Ask::Offer { digest }, |peer, now| {
            let (request, file) = peer.offer_file(now, to, FileName::cleaned("a/file"), size, digest);
            offered = Some(file);
            request
        });
        let own = offered.map(|file| (file, Open { digest, is_own: true, is_broken: false }));
        self.nodes[number].disk.open.extend(own);
    }

    /// Takes what was offered, or doesn't.
    pub(crate) fn answer_file(&mut self, number: usize, file: FileId, accept: bool) {
        let machine = self.nodes[number].machine.as_ref();
        let Some(offer) = machine.and_then(|machine| machine.offered_file(file)) else { return };
        let digest = offer.digest;
        if accept {
            self.ask(number, Ask::Take { digest }, |peer, now| peer.accept_file(now, file));
        } else {
            self.cancel(number, file);
        }
        self.node_settle(number);
    }

    /// Ends some file, in whichever direction it goes.
    pub(crate) fn cancel_file(&mut self, number: usize) {
        let open: Vec<_> = self.nodes[number].disk.open.keys().copied().collect();
        if let Some(file) = self.schedule.pick(&open) {
            self.cancel(number, file);
        }
    }

    fn cancel(&mut self, number: usize, file: FileId) {
        let reason = self.schedule.rng.bool().then(|| Reason::truncated("not that"));
        self.ask(number, Ask::Other, |peer, now| peer.cancel_file(now, file, reason));
    }

    /// Something is to be done with a file, after what was to be done before.
    pub(crate) fn file_effect(&mut self, number: usize, file: FileId, deed: FileDeed) {
        let delay = self.schedule.millis(0..=20);
        let node = &mut self.nodes[number];
        if let FileDeed::Write { offset, data } = &deed
            && let Some(open) = node.disk.open.get(&file)
            && let Some(parcel) = self.parcels.all.get_mut(&open.digest)
        {
            parcel.came = parcel.came.max(offset + data.len() as u64);
        }
        let at = (self.schedule.now + delay).max(node.disk.busy_until);
        node.disk.busy_until = at;
        let incarnation = node.incarnation;
        self.schedule.at(at, Happening::Disk { node: number, incarnation, file, deed });
    }

    pub(crate) fn disk(&mut self, number: usize, file: FileId, deed: FileDeed) {
        if self.nodes[number].machine.is_none() {
            return;
        }
        let (works, broken) = (self.quiet || !self.schedule.percent(1), "the disk is broken".to_owned());
        let name = self.nodes[number].user.name.clone();
        let disk = &mut self.nodes[number].disk;
        match deed {
            FileDeed::Open { from, size, digest, .. } => {
                disk.open.insert(file, Open { digest, is_own: false, is_broken: !works });
                let parcel = self.parcels.all.get(&digest);
                if parcel.is_none_or(|parcel| (&parcel.from, parcel.bytes.len() as u64) != (&from, size)) {
                    return self.fail(format!("{name} is offered a file by {from}, who offered none"));
                }
                let stored = disk.parts.entry(digest).or_default().len() as u64;
                let opened = if works { Ok(stored) } else { Err(broken) };
                self.node_step(number, |peer, now| peer.handle_file_opened(now, file, opened));
            }
            // Whatever is asked for after that is for nobody any more.
            FileDeed::Close => drop(disk.open.remove(&file)),
            FileDeed::Discard => {
                self.fail(format!("{name} throws {file:?} away, of a sender who did nothing"))
            }
            deed => {
                let Some(Open { digest, is_own, is_broken }) = disk.open.get_mut(&file) else {
                    return self
                        .fail(format!("{name} does something with {file:?}, which isn't open: {deed:?}"));
                };
                if *is_broken {
                    return;
                }
                *is_broken = !works;
                let Some(parcel) = self.parcels.all.get_mut(digest) else { return };
                let part = disk.parts.entry(*digest).or_default();
                match deed {
                    FileDeed::Read { offset, length } if *is_own => {
                        let start = usize::try_from(offset).unwrap_or(usize::MAX);
                        let bytes = parcel.bytes.clone();
                        let Some(piece) = bytes.get(start..start.saturating_add(length)) else {
                            return self.fail(format!("{name} reads {file:?} beyond its end"));
                        };
                        let read = if works { Ok(bytes.slice_ref(piece)) } else { Err(broken) };
                        self.node_step(number, |peer, now| peer.handle_file_read(now, file, offset, read));
                    }
                    FileDeed::Write { offset, data } if !*is_own => {
                        if offset != part.len() as u64 {
                            return self.fail(format!("{name} stores a piece of {file:?} out of its place"));
                        }
                        let written = if works {
                            part.extend_from_slice(&data);
                            Ok(part.len() as u64)
                        } else {
                            Err(broken)
                        };
                        self.node_step(number, |peer, now| peer.handle_file_written(now, file, written));
                    }
                    FileDeed::Finish if !*is_own => {
                        if *part != parcel.bytes || parcel.to != name {
                            return self.fail(format!("{name} has a file that nobody has sent them"));
                        }
                        if works {
                            if std::mem::replace(&mut parcel.has_arrived, true) {
                                return self.fail(format!("{name} gets one and the same file twice"));
                            }
                            self.parcels.arrived += 1;
                            disk.parts.remove(digest);
                        }
                        let finished = if works { Ok(()) } else { Err(broken) };
                        self.node_step(number, |peer, now| peer.handle_file_finished(now, file, finished));
                    }
                    deed => self.fail(format!("{name} wants {deed:?} of {file:?}")),
                }
            }
        }
    }

    /// Nobody is told that there is more of a file at the other end than there is.
    pub(crate) fn check_progress(&mut self, number: usize, event: &Event) {
        let Event::FileProgress { file, with, outgoing: true, bytes, .. } = event else { return };
        let Some(Open { digest, .. }) = self.nodes[number].disk.open.get(file) else { return };
        let came = self.parcels.all.get(digest).map_or(0, |parcel| parcel.came);
        if *bytes > came {
            let name = &self.nodes[number].user.name;
            self.fail(format!("{name} is told that {with} has {bytes} bytes of a file, who got {came}"));
        }
    }
}
