//! Files: a task for each, which does on the disk what the machine says.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::core::Client;
use crate::{
    peer::{FileDeed, FileId},
    tokio::disk::{Sink, Source, Wanted},
};

/// How many steps are taken on the disk before anybody is told.
const AT_ONCE: usize = 16;

/// What is to be done with which file, and where those go that were accepted.
#[derive(Debug, Default)]
pub(super) struct Desk {
    jobs: HashMap<FileId, mpsc::UnboundedSender<Job>>,
    places: HashMap<FileId, Place>,
}

impl Desk {
    /// A file was accepted, and goes there.
    pub(super) fn put(&mut self, file: FileId, place: Place) {
        self.places.insert(file, place);
    }

    /// What is done with a file from now on: the task that does it.
    pub(super) fn open(
        &mut self,
        file: FileId,
        disk: Disk,
        client: Arc<Client>,
    ) -> impl Future<Output = ()> + use<> {
        // As many as the machine lets be on their way at once.
        let (jobs, queue) = mpsc::unbounded_channel();
        self.jobs.insert(file, jobs);
        run(file, disk, queue, client)
    }

    /// Has something done. If it is the first that is done with a file, that has to be opened before.
    pub(super) fn hand(&mut self, file: FileId, deed: FileDeed) -> Option<(Job, Disk)> {
        let job = match deed {
            FileDeed::Open { from, name, size, digest } => {
                let place = self.places.remove(&file)?;
                return Some((Job::Open(Wanted { from, name, size, digest }), Disk::To(place, None)));
            }
            FileDeed::Read { offset, length } => Job::Read { offset, length },
            FileDeed::Write { offset, data } => Job::Write { offset, data },
            FileDeed::Finish => Job::Finish,
            FileDeed::Discard => Job::Discard,
            FileDeed::Close => {
                self.jobs.remove(&file);
                return None;
            }
        };
        self.do_job(file, job);
        None
    }

    pub(super) fn do_job(&self, file: FileId, job: Job) {
        if let Some(jobs) = self.jobs.get(&file) {
            // Its task has told that it is over, if it is.
            let _ = jobs.send(job);
        }
    }
}

/// What is done on a disk.
#[derive(Debug)]
pub(super) enum Job {
    Open(Wanted),
    Read { offset: u64, length: usize },
    Write { offset: u64, data: Bytes },
    Discard,
    Finish,
}

/// What came of it, or what is wrong.
#[derive(Debug)]
pub(super) enum FileFact {
    Opened(Result<u64, String>),
    Read(u64, Result<Bytes, String>),
    Written(Result<u64, String>),
    Finished(Result<(), String>),
    /// Nothing more can be done with it.
    Failed(String),
}

/// Where a file that is received goes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    /// Where it is in the end.
    pub(super) path: Arc<OnceLock<PathBuf>>,
}

/// A file on the disk.
#[derive(Debug)]
pub(super) enum Disk {
    From(Source),
    To(Place, Option<Sink>),
}

/// Does what comes until nothing more will.
async fn run(file: FileId, mut disk: Disk, mut jobs: mpsc::UnboundedReceiver<Job>, client: Arc<Client>) {
    let mut some = Vec::new();
    while jobs.recv_many(&mut some, AT_ONCE).await > 0 {
        let now = std::mem::take(&mut some);
        let done = spawn_blocking(move || {
            let facts = disk.work(now);
            (disk, facts)
        });
        // A panic there is one of ours.
        let (next, done) = match done.await {
            Ok(done) => done,
            Err(error) => {
                let failed = FileFact::Failed(error.to_string());
                return client.with(|core| core.file_fact(file, failed));
            }
        };
        disk = next;
        client.with(|core| {
            for fact in done {
                core.file_fact(file, fact);
            }
        });
    }
}

impl Disk {
    fn work(&mut self, jobs: Vec<Job>) -> Vec<FileFact> {
        let mut facts = Vec::new();
        for job in jobs {
            let Some(fact) = self.step(job) else { continue };
            // Who has stored the later piece has the earlier ones.
            if let (Some(FileFact::Written(Ok(_))), FileFact::Written(_)) = (facts.last(), &fact) {
                facts.pop();
            }
            facts.push(fact);
        }
        facts
    }

    fn step(&mut self, job: Job) -> Option<FileFact> {
        Some(match job {
            Job::Open(wanted) => FileFact::Opened(said(self.open(wanted))),
            Job::Read { offset, length } => {
                let read = match self {
                    Self::From(source) => source.read(offset, length),
                    Self::To(..) => Err(not_open()),
                };
                FileFact::Read(offset, said(read))
            }
            Job::Write { offset, data } => {
                let written = self.write(offset, &data);
                // What comes after a gap belongs nowhere.
                if let (Err(_), Self::To(_, sink)) = (&written, &mut *self) {
                    *sink = None;
                }
                FileFact::Written(said(written))
            }
            Job::Finish => FileFact::Finished(said(self.finish())),
            Job::Discard => {
                if let Self::To(_, Some(sink)) = self {
                    sink.discard();
                }
                return None;
            }
        })
    }

    fn open(&mut self, wanted: Wanted) -> io::Result<u64> {
        let Self::To(place, sink) = self else { return Err(not_open()) };
        let opened = Sink::open(place.folder.clone(), wanted)?;
        Ok(sink.insert(opened).stored)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<u64> {
        let Self::To(_, Some(sink)) = self else { return Err(not_open()) };
        if offset != sink.stored {
            return Err(io::Error::other(format!("{offset} is not where it ends, which is {}", sink.stored)));
        }
        sink.write(data)?;
        Ok(sink.stored)
    }

    fn finish(&mut self) -> io::Result<()> {
        let Self::To(place, Some(sink)) = self else { return Err(not_open()) };
        // Set once: nothing comes after it.
        let _ = place.path.set(sink.finish()?);
        Ok(())
    }
}

fn not_open() -> io::Error {
    io::Error::other("the file is not open")
}

fn said<T>(done: io::Result<T>) -> Result<T, String> {
    done.map_err(|error| error.to_string())
}
