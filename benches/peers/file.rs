//! Files: how fast one goes beside a bare loop that reads, encrypts, decrypts and writes, and what messages notice of it.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use p2pchat_core::tokio::{BoxStream, LinkIdentity, Peer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use crate::{
    people::{Heard, Registry, text},
    report::{SHORT, median, micros},
};

const PIECE: usize = 64 * 1024;
/// Some pages are always written to the disk meanwhile, so that no run is worth more than others.
const SIZE: usize = 256 * 1024 * 1024;

/// Prints a table.
pub(crate) async fn measure(far: &Handle, registry: Registry, rounds: usize, less: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    let mut random = fastrand::Rng::with_seed(7);
    let some: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1 << 20).collect();
    let size = SIZE / less;
    fs::write(&source, some.repeat(size >> 20)).expect("room on the disk");
    let (heard, _ends) = Heard::new();
    *heard.folder.lock().expect("no panic") = Some(folder.path().to_owned());
    far.spawn(registry.arrive("far".to_owned(), true, heard.clone())).await.expect("a task");
    let (offers, _ends) = Heard::new();
    let near = registry.arrive("near".to_owned(), true, offers.clone()).await;
    near.chat("far").await.expect("an open chat");
    heard.expect(SHORT);
    let (mut floors, mut rates, mut idle, mut busy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        floors.push(rate(size, copy(far, &source, folder.path()).await));
        let begun = offers.begun.clone();
        near.send_file("far", &source).await.expect("a file");
        let begun = begun.lock().expect("no panic").take().expect("an offer");
        rates.push(rate(size, begun.elapsed()));
        fs::remove_file(folder.path().join("source (2)")).expect("what came");
        idle.push(talk(&near, Duration::from_millis(200)).await);
        let (sent, ()) = tokio::join!(near.send_file("far", &source), async {
            while offers.begun.lock().expect("no panic").take().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            busy.push(talk(&near, Duration::from_millis(100)).await);
        });
        sent.expect("a file");
        fs::remove_file(folder.path().join("source (2)")).expect("what came");
    }
    let ratio = |a: &[f64], b: &[f64]| median(a.iter().zip(b).map(|(a, b)| a / b).collect());
    println!("| | | ratio |\n| --- | --- | --- |");
    println!(
        "| a bare loop over TLS: read, encrypt, decrypt, write | {:.0} MiB/s | |",
        median(floors.clone())
    );
    println!(
        "| a file, from its offer to its last confirmation | {:.0} MiB/s | {:.2} |",
        median(rates.clone()),
        ratio(&rates, &floors)
    );
    println!("| 64 bytes there and back, idle | {:.0} µs | |", median(idle.clone()));
    println!(
        "| the same while a file is sent | {:.0} µs | {:.2} |",
        median(busy.clone()),
        ratio(&busy, &idle)
    );
}

fn rate(size: usize, took: Duration) -> f64 {
    size as f64 / (1024.0 * 1024.0) / took.as_secs_f64()
}

/// The median of messages' round trips, for a while.
async fn talk(near: &Peer, long: Duration) -> f64 {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < long {
        let now = Instant::now();
        near.send("far", &text(0, SHORT)).await.expect("a confirmation");
        times.push(micros(now.elapsed()));
    }
    median(times)
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
