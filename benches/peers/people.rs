//! The registry, and peers who accept chats and check what they hear.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use p2pchat_benches::cheap_registry;
use p2pchat_core::{
    peer::{self, Event},
    tokio::{ClientConfig, Events, Fingerprint, LinkIdentity, Peer, Server, SharedMemoryStore, Trust},
};
use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

use crate::report::LONG;

pub(crate) const ROOM: &str = "square";
pub(crate) const TALKER: &str = "talker";

/// What texts are filled with, so that making and checking them costs next to nothing.
static FILLER: LazyLock<String> = LazyLock::new(|| "x".repeat(LONG));

/// A text of so many bytes that says which it is.
pub(crate) fn text(number: usize, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes);
    // Writing to a string doesn't fail.
    _ = write!(text, "{number:08}");
    text.push_str(&FILLER[..bytes - text.len()]);
    text
}

/// A registry on its own thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registry {
    tcp: SocketAddr,
    udp: SocketAddr,
    fingerprint: Fingerprint,
}

impl Registry {
    pub(crate) async fn start(on: &Handle) -> Self {
        let config = cheap_registry();
        let fingerprint = config.tls.fingerprint();
        let bind = on.spawn(Server::bind(config, Arc::<SharedMemoryStore>::default()));
        let server = bind.await.expect("a task").expect("a server");
        let (tcp, udp) = (server.local_tcp(), server.local_udp());
        on.spawn(server.run(std::future::pending()));
        Self { tcp, udp, fingerprint }
    }

    /// Keep-alives are rare, so that they are seldom in the way, no stream is closed for being idle, and nobody says too much.
    fn client(&self) -> ClientConfig {
        let mut machine = peer::Config::default();
        machine.lease = Duration::from_secs(120);
        machine.keep_alive_interval = Duration::from_secs(30);
        machine.silence_timeout = Duration::from_secs(120);
        machine.request_timeout = Duration::from_secs(120);
        machine.idle_timeout = Duration::from_secs(3_600);
        machine.budget = peer::Budget::UNLIMITED;
        ClientConfig::new("127.0.0.1", self.tcp.port(), Trust::Pinned(self.fingerprint))
            .registry_udp("127.0.0.1", self.udp.port())
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .machine(machine)
    }

    /// Somebody with a new account, logged in, who accepts chats and counts what they hear.
    pub(crate) async fn arrive(self, name: String, with_key: bool, heard: Heard) -> Peer {
        let (peer, events) = Peer::connect(self.client()).await.expect("the registry");
        if with_key {
            let key = LinkIdentity::generate().expect("randomness");
            let identity = LinkIdentity::from_pkcs8(&key).expect("a key");
            peer.set_identity(Some(identity)).await.expect("before the login");
        }
        peer.register(&name, "secret").await.expect("a new name");
        peer.login(&name, "secret").await.expect("an account");
        tokio::spawn(listen(peer.clone(), events, heard, with_key));
        peer
    }
}

/// What people have heard, all of them together.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// How many texts, and the sum of their numbers.
    texts: Arc<(AtomicUsize, AtomicUsize)>,
    /// How long they have to be.
    bytes: Arc<AtomicUsize>,
    /// A chat has ended.
    ended: UnboundedSender<()>,
    /// Where files go, and when the last one was offered or accepted.
    pub(crate) folder: Arc<Mutex<Option<PathBuf>>>,
    pub(crate) begun: Arc<Mutex<Option<Instant>>>,
}

impl Heard {
    pub(crate) fn new() -> (Self, tokio::sync::mpsc::UnboundedReceiver<()>) {
        let (ended, ends) = unbounded_channel();
        (
            Self {
                texts: Arc::default(),
                bytes: Arc::default(),
                ended,
                folder: Arc::default(),
                begun: Arc::default(),
            },
            ends,
        )
    }

    /// From now on texts of so many bytes are said.
    pub(crate) fn expect(&self, bytes: usize) {
        self.bytes.store(bytes, Relaxed);
        self.texts.0.store(0, Relaxed);
        self.texts.1.store(0, Relaxed);
    }

    /// How many were heard since.
    pub(crate) fn texts(&self) -> usize {
        self.texts.0.load(Relaxed)
    }

    /// The texts from 0 on were heard, each by so many.
    pub(crate) fn check(&self, texts: usize, by: usize) {
        let heard = (self.texts.0.load(Relaxed), self.texts.1.load(Relaxed));
        assert_eq!(heard, (by * texts, by * (texts * texts.saturating_sub(1) / 2)), "each text once");
    }

    fn hear(&self, said: &str) {
        assert_eq!(said.len(), self.bytes.load(Relaxed));
        let (number, rest) = said.split_at(8);
        assert_eq!(rest, &FILLER[..rest.len()]);
        self.texts.0.fetch_add(1, Relaxed);
        self.texts.1.fetch_add(number.parse().expect("a number"), Relaxed);
    }
}

async fn listen(peer: Peer, mut events: Events, heard: Heard, with_key: bool) {
    while let Some(held) = events.next_held().await {
        // What is heard is confirmed when it has been, as by a program that stores it.
        if let Event::Message { text, .. } | Event::Broadcast { text, .. } = held.event() {
            heard.hear(text.as_str());
        }
        match held.confirm() {
            Event::ChatRequested { request, secured, .. } => {
                assert_eq!(secured, with_key);
                peer.accept(request).await.expect("somebody who still waits");
            }
            Event::ChatClosed { .. } => _ = heard.ended.send(()),
            Event::FileOffered { file, .. } => {
                let folder = heard.folder.lock().expect("no panic").clone().expect("a folder for files");
                let peer = peer.clone();
                tokio::spawn(async move { peer.accept_file(file, folder).await.expect("a file") });
            }
            Event::FileProgress { bytes: 0, .. } => {
                *heard.begun.lock().expect("no panic") = Some(Instant::now());
            }
            Event::Fault { culprit, what } => panic!("{culprit} {what}"),
            Event::Disconnected { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
}
