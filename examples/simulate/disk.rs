//! Files that users send each other, and the disks that they are read from and stored on.

use std::collections::BTreeMap;

use bytes::Bytes;
use p2pchat_core::{
    Time,
    peer::{Event, FileDeed, FileId},
};
use p2pchat_proto::{FileDigest, FileName, Reason, Username};

use crate::{schedule::Errand, users::Ask, world::World};

/// A file that a user has offered to another, perhaps again.
struct Parcel {
    from: Username,
    to: Username,
    bytes: Bytes,
    /// How much of it has come, stored or not.
    came: u64,
    offers: u32,
    arrivals: u32,
}

/// Every file that was offered, by the digest that it was announced with.
#[derive(Default)]
pub(crate) struct Parcels {
    all: BTreeMap<FileDigest, Parcel>,
    pub(crate) arrived: u64,
    /// How often one was accepted of which a part was there already.
    pub(crate) resumed: u64,
}

impl Parcels {
    /// Whether the user has all of it.
    pub(crate) fn has_arrived(&self, digest: &FileDigest) -> bool {
        self.all.get(digest).is_some_and(|parcel| parcel.arrivals > 0)
    }

    /// Forgets what has arrived: nobody hears of it any more.
    pub(crate) fn forget(&mut self) {
        self.all.retain(|_, parcel| parcel.arrivals == 0);
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

    fn is_written(&self, digest: &FileDigest) -> bool {
        self.open.values().any(|open| !open.is_own && open.digest == *digest)
    }
}

impl World {
    /// Offers a new file, or one that hasn't arrived.
    pub(crate) fn offer_file(&mut self, number: usize, other: Username) {
        let node = &self.nodes[number];
        let from = node.user.name.clone();
        let open: Vec<_> = node.machine.iter().flat_map(|machine| machine.chats().cloned()).collect();
        let is_left =
            |parcel: &Parcel| parcel.from == from && parcel.arrivals == 0 && open.contains(&parcel.to);
        let left: Vec<_> =
            self.parcels.all.iter().filter(|(_, it)| is_left(it)).map(|(digest, _)| *digest).collect();
        let again = self.schedule.pick(&left).filter(|_| self.schedule.percent(50));
        let digest = again.unwrap_or_else(|| {
            let to = self.schedule.pick(&open).unwrap_or(other);
            self.pack(from, to)
        });
        let Some(parcel) = self.parcels.all.get_mut(&digest) else { return };
        parcel.offers += 1;
        let (to, size) = (parcel.to.clone(), parcel.bytes.len() as u64);
        let mut offered = None;
        self.ask(number, Ask::Offer { digest }, |peer, now| {
            let (request, file) = peer.offer_file(now, to, FileName::cleaned("a/file"), size, digest);
            offered = Some(file);
            request
        });
        let own = offered.map(|file| (file, Open { digest, is_own: true, is_broken: false }));
        self.nodes[number].disk.open.extend(own);
    }

    fn pack(&mut self, from: Username, to: Username) -> FileDigest {
        let most = self.schedule.pick(&[1, 100, 10_000, 200_000]).unwrap_or_default();
        let mut bytes = vec![0; self.schedule.rng.usize(0..=most)];
        self.schedule.rng.fill(&mut bytes);
        let mut digest = [0; 32];
        self.schedule.rng.fill(&mut digest);
        let digest = FileDigest::from_bytes(digest);
        let parcel = Parcel { from, to, bytes: bytes.into(), came: 0, offers: 0, arrivals: 0 };
        self.parcels.all.insert(digest, parcel);
        digest
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
        self.errand(number, at.since(self.schedule.now), Errand::Disk { file, deed });
    }

    pub(crate) fn disk(&mut self, number: usize, file: FileId, deed: FileDeed) {
        let works = self.quiet || !self.schedule.percent(1);
        let name = self.nodes[number].user.name.clone();
        let disk = &mut self.nodes[number].disk;
        let open = match deed {
            FileDeed::Open { from, size, digest, .. } => {
                let is_true = |parcel: &Parcel| parcel.from == from && parcel.bytes.len() as u64 == size;
                if !self.parcels.all.get(&digest).is_some_and(is_true) {
                    return self.fail(format!("{name} is offered a file by {from}, who offered none"));
                }
                let works = works && !disk.is_written(&digest);
                disk.open.insert(file, Open { digest, is_own: false, is_broken: !works });
                let stored = disk.parts.get(&digest).map_or(0, Vec::len) as u64;
                self.parcels.resumed += u64::from(works && stored > 0);
                return self
                    .node_step(number, |peer, now| peer.handle_file_opened(now, file, done(works, stored)));
            }
            FileDeed::Close => {
                disk.open.remove(&file);
                return;
            }
            FileDeed::Discard => {
                return self.fail(format!("{name} throws {file:?} away, of a sender who did nothing"));
            }
            _ => disk.open.get_mut(&file),
        };
        let Some(open) = open else {
            return self.fail(format!("{name} does something with {file:?}, which isn't open: {deed:?}"));
        };
        if open.is_broken {
            return;
        }
        open.is_broken = !works;
        let Open { digest, is_own, .. } = *open;
        let Some(parcel) = self.parcels.all.get_mut(&digest) else {
            return self.fail(format!("{name} goes on with {file:?}, which has arrived"));
        };
        let part = disk.parts.entry(digest).or_default();
        match deed {
            FileDeed::Read { offset, length } if is_own => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(length);
                if end > parcel.bytes.len() {
                    return self.fail(format!("{name} reads {file:?} beyond its end"));
                }
                let read = done(works, parcel.bytes.slice(start..end));
                self.node_step(number, |peer, now| peer.handle_file_read(now, file, offset, read));
            }
            FileDeed::Write { offset, data } if !is_own => {
                if offset != part.len() as u64 {
                    return self.fail(format!("{name} stores a piece of {file:?} out of its place"));
                }
                if works {
                    part.extend_from_slice(&data);
                }
                let written = done(works, part.len() as u64);
                self.node_step(number, |peer, now| peer.handle_file_written(now, file, written));
            }
            FileDeed::Finish if !is_own => {
                if *part != parcel.bytes || parcel.to != name {
                    return self.fail(format!("{name} has a file that nobody has sent them"));
                }
                if works {
                    parcel.arrivals += 1;
                    if parcel.arrivals > parcel.offers {
                        return self.fail(format!("{name} gets a file more often than it was offered"));
                    }
                    self.parcels.arrived += 1;
                    disk.parts.remove(&digest);
                }
                self.node_step(number, |peer, now| peer.handle_file_finished(now, file, done(works, ())));
            }
            deed => self.fail(format!("{name} wants {deed:?} of {file:?}")),
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

/// What comes of something that a disk does, if it works.
fn done<T>(works: bool, outcome: T) -> Result<T, String> {
    if works { Ok(outcome) } else { Err("the disk is broken".to_owned()) }
}
