//! Files: a task for each, which does on the disk what the machine says.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use p2pchat_proto::{FileDigest, FileName};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::actor::Fact;
use crate::{
    peer::FileId,
    tokio::disk::{Sink, Source},
};

/// How many steps are taken on the disk before anybody is told.
const AT_ONCE: usize = 16;

/// What is done on a disk.
#[derive(Debug)]
pub(super) enum Job {
    Open { name: FileName, size: u64, digest: FileDigest },
    Read { offset: u64, length: usize },
    Write(Bytes),
    Finish,
}

/// What came of it, or what is wrong.
#[derive(Debug)]
pub(super) enum FileFact {
    Opened(Result<u64, String>),
    Read(u64, Result<Bytes, String>),
    Written(Result<u64, String>),
    Finished(Result<(), String>),
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
pub(super) async fn run(
    file: FileId,
    mut disk: Disk,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    facts: mpsc::Sender<Fact>,
) {
    let mut some = Vec::new();
    while jobs.recv_many(&mut some, AT_ONCE).await > 0 {
        let now = std::mem::take(&mut some);
        let done = spawn_blocking(move || {
            let facts = disk.work(now);
            (disk, facts)
        });
        // A panic there is one of ours, and a runtime that shuts down has no use for files.
        let Ok((next, done)) = done.await else { return };
        disk = next;
        for fact in done {
            if facts.send(Fact::File(file, fact)).await.is_err() {
                return;
            }
        }
    }
}

impl Disk {
    fn work(&mut self, jobs: Vec<Job>) -> Vec<FileFact> {
        let mut facts = Vec::new();
        for job in jobs {
            let fact = self.step(job);
            // Who has stored the later piece has the earlier ones.
            if let (Some(FileFact::Written(Ok(_))), FileFact::Written(_)) = (facts.last(), &fact) {
                facts.pop();
            }
            facts.push(fact);
        }
        facts
    }

    fn step(&mut self, job: Job) -> FileFact {
        match job {
            Job::Open { name, size, digest } => FileFact::Opened(said(self.open(name, size, digest))),
            Job::Read { offset, length } => {
                let read = match self {
                    Self::From(source) => source.read(offset, length),
                    Self::To(..) => Err(not_open()),
                };
                FileFact::Read(offset, said(read))
            }
            Job::Write(data) => FileFact::Written(said(self.write(&data))),
            Job::Finish => FileFact::Finished(said(self.finish())),
        }
    }

    fn open(&mut self, name: FileName, size: u64, digest: FileDigest) -> io::Result<u64> {
        let Self::To(place, sink) = self else { return Err(not_open()) };
        let opened = Sink::open(place.folder.clone(), name, size, digest)?;
        Ok(sink.insert(opened).stored)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<u64> {
        let sink = self.sink()?;
        sink.write(data)?;
        Ok(sink.stored)
    }

    fn finish(&mut self) -> io::Result<()> {
        let path = self.sink()?.finish()?;
        if let Self::To(place, _) = self {
            // Set once: nothing comes after it.
            let _ = place.path.set(path);
        }
        Ok(())
    }

    fn sink(&mut self) -> io::Result<&mut Sink> {
        match self {
            Self::To(_, Some(sink)) => Ok(sink),
            _ => Err(not_open()),
        }
    }
}

fn not_open() -> io::Error {
    io::Error::other("the file is not open")
}

fn said<T>(done: io::Result<T>) -> Result<T, String> {
    done.map_err(|error| error.to_string())
}
