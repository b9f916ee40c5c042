//! Files: how fast one goes beside a bare loop that reads, encrypts, decrypts and writes, and what messages notice of it.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use p2pchat_benches::median;
use p2pchat_core::tokio::{BoxStream, LinkIdentity, Peer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use crate::{
    people::{Heard, Registry, text},
    report::{SHORT, micros},
};

const PIECE: usize = 64 * 1024;
/// Some pages are always written to the disk meanwhile, so that no run is worth more than others.
const SIZE: usize = 256 * 1024 * 1024;

/// Two peers in a chat, and a file for them.
pub(crate) struct Files {
    folder: TempDir,
    source: PathBuf,
    size: usize,
    near: Peer,
    /// When the last file of `near` was offered or accepted.
    begun: Arc<Mutex<Option<Instant>>>,
}

impl Files {
    pub(crate) async fn new(far: &Handle, registry: Registry, names: [&str; 2], less: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, size) = (folder.path().join("source"), SIZE / less);
        let mut random = fastrand::Rng::with_seed(7);
        let some: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1 << 20).collect();
        fs::write(&source, some.repeat(size >> 20)).expect("room on the disk");
        let (heard, _ends) = Heard::new();
        *heard.folder.lock().expect("no panic") = Some(folder.path().to_owned());
        far.spawn(registry.arrive(names[0].to_owned(), true, heard.clone())).await.expect("a task");
        let (offers, _ends) = Heard::new();
        let near = registry.arrive(names[1].to_owned(), true, offers.clone()).await;
        near.chat(names[0]).await.expect("an open chat");
        heard.expect(SHORT);
        Self { folder, source, size, near, begun: offers.begun }
    }

    /// How fast one goes, where each end has threads for the disk that run where there is room.
    pub(crate) async fn rate(&self, far: &Handle, to: &str, rounds: usize) {
        let (mut floors, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            floors.push(rate(self.size, copy(far, &self.source, self.folder.path()).await));
            self.near.send_file(to, &self.source).await.expect("a file");
            rates.push(rate(self.size, self.begun().expect("an offer").elapsed()));
            self.remove();
        }
        println!("| a bare loop over TLS: read, encrypt, decrypt, write | {:.0} MiB/s | |", median(&floors));
        println!(
            "| a file, from its offer to its last confirmation | {:.0} MiB/s | {} |",
            median(&rates),
            ratios(&rates, &floors)
        );
    }

    /// What messages notice of it, where each end has a processor.
    pub(crate) async fn talk(&self, to: &str, rounds: usize) {
        let (mut idle, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            idle.push(talk(&self.near, to, Duration::from_millis(200)).await);
            let (sent, ()) = tokio::join!(self.near.send_file(to, &self.source), async {
                while self.begun().is_none() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                busy.push(talk(&self.near, to, Duration::from_millis(200)).await);
            });
            sent.expect("a file");
            self.remove();
        }
        println!("| 64 bytes there and back, idle | {:.0} µs | |", median(&idle));
        println!("| the same while a file is sent | {:.0} µs | {} |", median(&busy), ratios(&busy, &idle));
    }

    fn begun(&self) -> Option<Instant> {
        self.begun.lock().expect("no panic").take()
    }

    fn remove(&self) {
        fs::remove_file(self.folder.path().join("source (2)")).expect("what came");
    }
}

/// The median, the least and the most.
fn ratios(ours: &[f64], others: &[f64]) -> String {
    let ratios: Vec<_> = ours.iter().zip(others).map(|(ours, other)| ours / other).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2} – {most:.2})", median(&ratios))
}

fn rate(size: usize, took: Duration) -> f64 {
    size as f64 / (1024.0 * 1024.0) / took.as_secs_f64()
}

/// The median of messages' round trips, for a while.
async fn talk(near: &Peer, to: &str, long: Duration) -> f64 {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < long {
        let now = Instant::now();
        near.send(to, &text(0, SHORT)).await.expect("a confirmation");
        times.push(micros(now.elapsed()));
    }
    median(&times)
}

/// From one file to the other, over a stream with the settings of peer streams; how long that took, up to the word that it is done.
async fn copy(far: &Handle, source: &Path, folder: &Path) -> Duration {
    let identity = || {
        let key = LinkIdentity::generate().expect("randomness");
        LinkIdentity::from_pkcs8(&key).expect("a key")
    };
    let (ours, theirs) = (identity(), identity());
    let bind = far.spawn(TcpListener::bind(("127.0.0.1", 0)));
    let listener = bind.await.expect("a task").expect("a port");
    let addr = listener.local_addr().expect("its address");
    let target = folder.join("copy");
    let mut left = usize::try_from(fs::metadata(source).expect("a file").len()).expect("a size");
    far.spawn(async move {
        let (stream, _) = listener.accept().await.expect("a stream");
        stream.set_nodelay(true).expect("a socket");
        let (mut stream, _) = theirs.accept(Box::new(stream)).await.expect("a handshake");
        let (mut target, mut piece) = (File::create(target).expect("a file"), vec![0; PIECE]);
        while left > 0 {
            let length = stream.read(&mut piece).await.expect("the other end");
            target.write_all(&piece[..length]).expect("room on the disk");
            left -= length;
        }
        target.sync_all().expect("the disk");
        stream.write_all(b".").await.expect("the other end");
        stream.flush().await.expect("the other end");
    });
    let stream = TcpStream::connect(addr).await.expect("the far end");
    stream.set_nodelay(true).expect("a socket");
    let (mut stream, _): (BoxStream, _) = ours.dial(Box::new(stream)).await.expect("a handshake");
    let begun = Instant::now();
    let (mut source, mut piece) = (File::open(source).expect("a file"), vec![0; PIECE]);
    while let length @ 1.. = source.read(&mut piece).expect("the disk") {
        stream.write_all(&piece[..length]).await.expect("the far end");
    }
    stream.flush().await.expect("the far end");
    stream.read_exact(&mut piece[..1]).await.expect("the far end");
    begun.elapsed()
}
