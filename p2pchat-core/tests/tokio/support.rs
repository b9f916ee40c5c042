//! A registry and clients for a test, and a TLS stream that says whatever the test likes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use p2pchat_core::{
    peer::{self, Event},
    tokio::{
        ClientConfig, Events, HashConfig, Peer, Server, ServerConfig, ServerHandle, ServerStats, ServerTls,
        SharedMemoryStore, TlsVersion, Trust,
    },
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) tls: ServerTls,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes(), TlsVersion::Tls13);
        Self { certificate, key, der: cert.der().clone(), tls: tls.unwrap() }
    }
}

/// A peer that tries again soon.
pub(crate) fn quick() -> peer::Config {
    let mut machine = peer::Config::default();
    machine.backoff_base = Duration::from_millis(50);
    machine.backoff_cap = Duration::from_millis(500);
    machine
}

/// A registry that runs until the test stops it.
pub(crate) struct Registry {
    pub(crate) identity: Identity,
    pub(crate) store: Arc<SharedMemoryStore>,
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) handle: ServerHandle,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_on(loopback, loopback, Identity::new(), Arc::default(), change).await
    }

    pub(crate) async fn start_on(
        tcp: SocketAddr,
        udp: SocketAddr,
        identity: Identity,
        store: Arc<SharedMemoryStore>,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let mut config = ServerConfig::new(tcp, udp, identity.tls.clone());
        let mut hash = HashConfig::default();
        (hash.memory_kib, hash.iterations) = (8, 1);
        config.hash = hash;
        change(&mut config);
        let server = Server::bind(config, store.clone()).await.unwrap();
        let (tcp, udp, handle) = (server.local_tcp(), server.local_udp(), server.handle());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async { stopped.await.unwrap_or_default() }));
        Self { identity, store, tcp, udp, handle, stop, running }
    }

    /// Shuts down, and gives what a successor needs.
    pub(crate) async fn stop(self) -> (SocketAddr, SocketAddr, Identity, Arc<SharedMemoryStore>) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.running).await.expect("did not drain").unwrap().unwrap();
        (self.tcp, self.udp, self.identity, self.store)
    }

    pub(crate) fn client(&self) -> ClientConfig {
        self.client_trusting(Trust::Pinned(self.identity.tls.fingerprint()))
    }

    pub(crate) fn client_trusting(&self, trust: Trust) -> ClientConfig {
        self.client_by(self.tcp.port(), trust)
    }

    /// Reaches the registry by another port.
    pub(crate) fn client_by(&self, port: u16, trust: Trust) -> ClientConfig {
        ClientConfig::new("127.0.0.1", port, trust)
            .registry_udp("127.0.0.1", self.udp.port())
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .machine(quick())
    }

    /// Connects somebody with a new account.
    pub(crate) async fn newcomer(&self, name: &str) -> (Peer, Events) {
        let (peer, events) = Peer::connect(self.client()).await.unwrap();
        peer.register(name, "secret").await.unwrap();
        peer.login(name, "secret").await.unwrap();
        (peer, events)
    }

    /// A TLS stream with nothing said on it yet.
    pub(crate) async fn raw(&self) -> Raw {
        self.raw_over(TcpStream::connect(self.tcp).await.unwrap()).await
    }

    /// The same from another address of this machine.
    pub(crate) async fn raw_from(&self, ip: &str) -> Raw {
        self.raw_over(self.plain_from(ip).await).await
    }

    /// A TCP stream from another address of this machine.
    pub(crate) async fn plain_from(&self, ip: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        socket.connect(self.tcp).await.unwrap()
    }

    /// Waits until the registry's figures are so.
    pub(crate) async fn until(&self, so: impl Fn(&ServerStats) -> bool) {
        let seen = async {
            while !so(&self.handle.stats()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, seen).await.is_err() {
            panic!("it stayed at {:?}", self.handle.stats());
        }
    }

    pub(crate) async fn raw_over(&self, stream: TcpStream) -> Raw {
        let mut roots = RootCertStore::empty();
        roots.add(self.identity.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Raw(TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap())
    }
}

/// Bytes to and from a registry.
pub(crate) struct Raw(pub(crate) TlsStream<TcpStream>);

impl Raw {
    /// Writes one TLS record (of at most 16 KiB).
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// What comes with the next read.
    pub(crate) async fn hear(&mut self) -> String {
        let mut buffer = [0; 1024];
        let count = timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("heard nothing").unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    /// Everything up to the end of the stream.
    pub(crate) async fn hear_out(&mut self) -> String {
        let mut text = String::new();
        // A stream that is cut rather than closed has ended all the same.
        let _ = timeout(PATIENCE, self.0.read_to_string(&mut text)).await.expect("was not closed");
        text
    }
}

/// The next event that `wanted` takes; those before it are passed over.
pub(crate) async fn until<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.next().await.expect("the client has ended");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("the event did not come")
}

/// Opens a chat from one to the other.
pub(crate) async fn chat(asker: &Peer, asked: &str, other: &Peer, events: &mut Events) {
    let accept = async {
        let request = until(events, |event| match event {
            Event::ChatRequested { request, .. } => Some(request),
            _ => None,
        })
        .await;
        other.accept(request).await.unwrap();
    };
    let (asked, ()) = tokio::join!(asker.chat(asked), accept);
    asked.unwrap();
}
