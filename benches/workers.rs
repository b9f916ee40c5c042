//! Whether two workers answer lookups twice as fast as one: the library's server on so many threads, TLS and lock included, and
//! streams that are all there already.
//!
//! ```sh
//! cargo run --release -p p2pchat-benches --bin workers     # a JSON object: lookups a second with one and with two, their ratio
//! ```
//!
//! A generator takes as much of two processors as the server does, so that it hides what a second worker brings. Here it has
//! done its part before the clock starts: what its 64 connections send, sixteen lookups a time, is encrypted and waits in memory.
//! There are no sockets, whose system calls have nothing in common between two connections; so what the workers share, the
//! machine behind its lock, is a larger part of it than in a registry. Every answer is decrypted and compared afterwards.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stdout)] // it measures; and one that can't run panics

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use clap::Parser;
use p2pchat_benches::{cheap_registry, median};
use p2pchat_core::tokio::{Server, ServerHandle, SharedMemoryStore};
use p2pchat_proto::{
    Dialect, Found, FromRegistry, Message, PasswordDigest, PeerPort, SearchReply, ToRegistry, Username,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName, version::TLS13,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream, DuplexStream, ReadBuf, duplex},
    runtime::{Builder, Runtime},
    sync::Semaphore,
};
use tokio_rustls::TlsConnector;

const CONNECTIONS: usize = 64;
const DEPTH: usize = 16;

/// Compares two workers with one.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many pairs of runs the ratio is the median of.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How often each connection asks for sixteen.
    #[arg(long, default_value_t = 400)]
    batches: usize,
}

fn main() {
    let arguments = Arguments::parse();
    let (mut one, mut two, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..arguments.rounds.max(1) {
        let run = |workers| lookups_a_second(workers, arguments.batches.max(1));
        let (with_one, with_two) = match round % 2 {
            0 => (run(1), run(2)),
            _ => {
                let two = run(2);
                (run(1), two)
            }
        };
        one.push(with_one);
        two.push(with_two);
        ratios.push(with_two / with_one);
    }
    let (low, high) = ratios.iter().fold((f64::MAX, 0.0_f64), |(low, high), &r| (low.min(r), high.max(r)));
    let figures = serde_json::json!({
        "one_per_second": median(&one), "two_per_second": median(&two),
        "ratio": median(&ratios), "ratio_least": low, "ratio_most": high,
    });
    println!("{figures}");
}

fn lookups_a_second(workers: usize, batches: usize) -> f64 {
    let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("threads");
    let (registry, trusted) = start(&runtime);
    let finished = Arc::new(Semaphore::new(0));
    let come = |user| Connection::come(&runtime, &registry, &trusted, user, Wire::new(&finished));
    let mut ready: Vec<_> = (0..CONNECTIONS).map(come).collect();
    for connection in &mut ready {
        connection.prepare(batches);
    }
    let begun = Instant::now();
    for connection in &mut ready {
        connection.wire.play(std::mem::take(&mut connection.batches));
    }
    drop(runtime.block_on(finished.acquire_many(CONNECTIONS as u32)).expect("a semaphore"));
    let elapsed = begun.elapsed();
    for connection in ready {
        let written = connection.wire.written(connection.tls);
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&connection.answers));
    }
    (CONNECTIONS * batches * DEPTH) as f64 / elapsed.as_secs_f64()
}

fn start(runtime: &Runtime) -> (ServerHandle, TlsConnector) {
    let config = cheap_registry();
    let mut roots = RootCertStore::empty();
    roots.add(config.tls.certificate().to_vec().into()).expect("a certificate");
    let server =
        runtime.block_on(Server::bind(config, Arc::<SharedMemoryStore>::default())).expect("a server");
    let handle = server.handle();
    runtime.spawn(server.run(std::future::pending()));
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"p2pchat/1".to_vec()];
    (handle, Arc::new(config).into())
}

fn name(user: usize) -> Username {
    Username::new(&format!("user{user:03}")).expect("a name")
}

fn port(user: usize) -> u16 {
    10_000 + user as u16
}

/// Somebody who is logged in, and what they are going to ask.
struct Connection {
    wire: Wire,
    /// Where it logged in.
    _pipe: DuplexStream,
    tls: ClientConnection,
    batches: VecDeque<Bytes>,
    answers: Vec<u8>,
}

impl Connection {
    fn come(runtime: &Runtime, registry: &ServerHandle, tls: &TlsConnector, user: usize, wire: Wire) -> Self {
        let (near, far) = duplex(64 * 1024);
        let (registry, stream) = (registry.clone(), Replayed { duplex: far, wire: wire.clone() });
        let remote = SocketAddr::from(([127, 0, 0, 1], 20_000 + user as u16));
        runtime.spawn(async move { registry.serve_stream(stream, remote).await });
        let enter = async {
            let address = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
            let mut stream = BufStream::new(tls.connect(address, near).await.expect("TLS"));
            let password = || PasswordDigest::new(&"5e".repeat(32)).expect("a digest");
            let port = PeerPort::new(port(user).into()).ok();
            let say = [
                ToRegistry::Hello { extensions: None },
                ToRegistry::Register { username: name(user), password: password(), invite: None },
                ToRegistry::Login { username: name(user), password: password(), port },
            ];
            for message in say {
                stream.write_all(&message.to_bytes(Dialect::Canonical)).await.expect("a stream");
                stream.flush().await.expect("a stream");
                let mut answer = String::new();
                stream.read_line(&mut answer).await.expect("an answer");
                assert!(answer.contains("<SUCCESS>"), "{answer}");
            }
            stream.into_inner().into_inner()
        };
        let (pipe, tls) = runtime.block_on(enter);
        Self { wire, _pipe: pipe, tls, batches: VecDeque::new(), answers: Vec::new() }
    }

    /// Encrypts so many batches of lookups.
    fn prepare(&mut self, batches: usize) {
        for batch in 0..batches {
            let mut asked = Vec::new();
            for n in 0..DEPTH {
                let user = (batch * DEPTH + n) * 7 % CONNECTIONS;
                asked.extend_from_slice(
                    &ToRegistry::SearchUser { username: name(user) }.to_bytes(Dialect::Canonical),
                );
                self.answers.extend_from_slice(&found(user));
            }
            self.tls.writer().write_all(&asked).expect("memory");
            let mut record = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut record).expect("memory");
            }
            self.batches.push_back(record.into());
        }
        // Memory that is there already: its first use isn't the server's.
        let mut written = vec![0xff; 2 * self.answers.len()];
        written.clear();
        self.wire.lock().written = written;
    }
}

fn found(user: usize) -> Bytes {
    let found = Found {
        username: Some(name(user)),
        port: port(user),
        ip: Ipv4Addr::LOCALHOST.into(),
        capabilities: Default::default(),
        key: None,
    };
    FromRegistry::Search(SearchReply::Found(found)).to_bytes(Dialect::Canonical)
}

/// What goes to and fro once the lookups begin.
#[derive(Debug, Clone)]
struct Wire(Arc<Mutex<Play>>);

#[derive(Debug, Default)]
struct Play {
    /// What comes, read by read; nothing before the lookups begin.
    batches: Option<VecDeque<Bytes>>,
    written: Vec<u8>,
    reader: Option<Waker>,
    /// Has a permit for each connection whose lookups are answered.
    finished: Option<Arc<Semaphore>>,
}

impl Wire {
    fn new(finished: &Arc<Semaphore>) -> Self {
        Self(Arc::new(Mutex::new(Play { finished: Some(finished.clone()), ..Play::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Play> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn play(&self, batches: VecDeque<Bytes>) {
        let mut play = self.lock();
        play.batches = Some(batches);
        if let Some(reader) = play.reader.take() {
            reader.wake();
        }
    }

    /// What has been written, decrypted.
    fn written(&self, mut tls: ClientConnection) -> Vec<u8> {
        let written = std::mem::take(&mut self.lock().written);
        let (mut left, mut plain) = (&written[..], Vec::new());
        while !left.is_empty() {
            tls.read_tls(&mut left).expect("memory");
            let state = tls.process_new_packets().expect("good records");
            let had = plain.len();
            plain.resize(had + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(plain.get_mut(had..).unwrap_or_default()).expect("as many bytes");
        }
        plain
    }
}

/// The server's end: a pipe at first, then the batches.
struct Replayed {
    duplex: DuplexStream,
    wire: Wire,
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut play = self.wire.lock();
        let Some(batches) = &mut play.batches else {
            play.reader = Some(cx.waker().clone());
            drop(play);
            return pin!(&mut self.duplex).poll_read(cx, buf);
        };
        let Some(batch) = batches.front_mut() else {
            // Whoever reads again has written all answers. Nobody leaves before all are done: they are looked up.
            if let Some(finished) = play.finished.take() {
                finished.add_permits(1);
            }
            return Poll::Pending;
        };
        buf.put_slice(&batch.split_to(batch.len().min(buf.remaining())));
        if batch.is_empty() {
            batches.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut play = self.wire.lock();
        if play.batches.is_none() {
            drop(play);
            return pin!(&mut self.duplex).poll_write(cx, bytes);
        }
        play.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.duplex).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.duplex).poll_shutdown(cx)
    }
}
