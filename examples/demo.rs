//! What the bots beside this share: where they log in, or a registry in their own process, on which they show what they do.

use std::{env, error::Error, net::SocketAddr, sync::Arc};

use p2pchat_core::{
    peer::Event,
    tokio::{
        ClientConfig, Events, Fingerprint, HashConfig, LinkIdentity, Network, Peer, Server, ServerConfig,
        ServerHandle, ServerTls, SharedMemoryStore, TcpNetwork, TlsVersion, Trust,
    },
};
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// What a bot's `main` comes to.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Logs in as `P2PCHAT_USER` with `P2PCHAT_PASSWORD`, on the registry at `P2PCHAT_HOST`, port 15600, with the certificate
/// `P2PCHAT_FINGERPRINT`; `None` if there is no such host.
pub async fn from_environment() -> Result<Option<(Peer, Events)>> {
    let Ok(host) = env::var("P2PCHAT_HOST") else { return Ok(None) };
    let fingerprint: Fingerprint = env::var("P2PCHAT_FINGERPRINT")?.parse()?;
    let config = ClientConfig::new(host, 15_600, Trust::Pinned(fingerprint));
    let (peer, events) = Peer::connect(config).await?;
    peer.login(&env::var("P2PCHAT_USER")?, &env::var("P2PCHAT_PASSWORD")?).await?;
    Ok(Some((peer, events)))
}

/// A registry in this process, which forgets everything when it ends.
pub struct Demo {
    tcp: SocketAddr,
    udp: SocketAddr,
    fingerprint: Fingerprint,
    network: Arc<dyn Network>,
    /// What an operator can ask and do.
    pub handle: ServerHandle,
}

impl Demo {
    /// Starts it on free ports of this machine.
    pub async fn start() -> Result<Self> {
        Self::start_on(Arc::new(TcpNetwork)).await
    }

    /// Starts it on another network, which its clients have, too.
    pub async fn start_on(network: Arc<dyn Network>) -> Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes(), TlsVersion::Tls13)?;
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = ServerConfig::new(free, free, tls);
        let fingerprint = config.tls.fingerprint();
        // What is forgotten in a moment needn't be hard to guess.
        let mut hash = HashConfig::default();
        (hash.memory_kib, hash.iterations) = (8, 1);
        (config.hash, config.network) = (hash, network.clone());
        let server = Server::bind(config, Arc::new(SharedMemoryStore::new())).await?;
        let (tcp, udp, handle) = (server.local_tcp(), server.local_udp(), server.handle());
        tokio::spawn(server.run(std::future::pending()));
        Ok(Self { tcp, udp, fingerprint, network, handle })
    }

    /// Somebody with a new account and a link key, logged in.
    pub async fn newcomer(&self, name: &str) -> Result<(Peer, Events)> {
        let config = ClientConfig::new("127.0.0.1", self.tcp.port(), Trust::Pinned(self.fingerprint))
            .registry_udp("127.0.0.1", self.udp.port())
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .network(self.network.clone());
        let (peer, events) = Peer::connect(config).await?;
        let key = LinkIdentity::generate()?;
        peer.set_identity(Some(LinkIdentity::from_pkcs8(&key)?)).await?;
        peer.register(name, "a password for a moment").await?;
        peer.login(name, "a password for a moment").await?;
        Ok((peer, events))
    }
}

/// The next thing that somebody hears, in a chat or a room: who says it, and what.
pub async fn hears(events: &mut Events) -> Result<(String, String)> {
    while let Some(event) = events.next().await {
        if let Event::Message { from, text, .. } | Event::Broadcast { from, text, .. } = event {
            return Ok((from.to_string(), text.to_string()));
        }
    }
    Err("the session has ended".into())
}

/// Accepts the next wish to chat.
pub async fn accepts(peer: &Peer, events: &mut Events) -> Result<()> {
    while let Some(event) = events.next().await {
        if let Event::ChatRequested { request, .. } = event {
            return Ok(peer.accept(request).await?);
        }
    }
    Err("the session has ended".into())
}

/// Ends a demonstration that didn't show what it should.
pub fn check(what: &str, is_so: bool) -> Result<()> {
    if is_so { Ok(()) } else { Err(what.into()) }
}
