//! What a program sets before it connects.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use p2pchat_proto::limits;

use crate::{
    peer,
    tokio::{BlockList, Fingerprint, KnownPeers, Network, TcpNetwork, TlsVersion},
};

/// How the registry's certificate is judged. There is no way to judge it not at all.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Trust {
    /// It is exactly the one with this fingerprint.
    Pinned(Fingerprint),
    /// One of these authorities vouches for it, for this host and today. Their certificates in PEM form, one after the
    /// other.
    Authorities(Vec<u8>),
    /// It is the one that this registry had the first time, as noted in this file: a line a registry,
    /// `host:port sha256:<64 hexadecimal digits>`. Made with mode 0600 (its folder 0700) if it isn't there.
    KnownRegistries(PathBuf),
}

/// Where the registry is and how to talk to it.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) udp: Option<(String, u16)>,
    pub(super) trust: Trust,
    pub(super) oldest_tls: TlsVersion,
    pub(super) listen: SocketAddr,
    pub(super) machine: peer::Config,
    pub(super) connect_timeout: Duration,
    pub(super) frame_timeout: Duration,
    pub(super) events: usize,
    pub(super) send_queue_bytes: usize,
    pub(super) network: Arc<dyn Network>,
    pub(super) time_of_day: Option<Duration>,
    pub(super) seed: Option<u64>,
    pub(super) known_peers: Option<PathBuf>,
    pub(super) block_list: Option<PathBuf>,
}

impl ClientConfig {
    /// A client of the registry at `host` (a name or an address, IPv6 with or without square brackets) and TCP `port`.
    pub fn new(host: impl Into<String>, port: u16, trust: Trust) -> Self {
        Self {
            host: bare(&host.into()).to_owned(),
            port,
            udp: None,
            trust,
            oldest_tls: TlsVersion::Tls13,
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            machine: peer::Config::default(),
            connect_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(10),
            events: 1_024,
            send_queue_bytes: 2 * 1024 * 1024,
            network: Arc::new(TcpNetwork),
            time_of_day: None,
            seed: None,
            known_peers: None,
            block_list: None,
        }
    }

    /// Where keep-alives go. Otherwise the address that the registry's TCP stream leads to, port
    /// [`limits::REGISTRY_UDP_PORT`].
    #[must_use]
    pub fn registry_udp(mut self, host: impl Into<String>, port: u16) -> Self {
        self.udp = Some((host.into(), port));
        self
    }

    /// The oldest version of TLS that the registry may speak. TLS 1.3.
    #[must_use]
    pub fn oldest_tls(mut self, version: TlsVersion) -> Self {
        self.oldest_tls = version;
        self
    }

    /// Where peer streams are accepted; port 0 takes a free one. `[::]:0`, which is `0.0.0.0:0` where there is no IPv6.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// The peer machine's settings.
    #[must_use]
    pub fn machine(mut self, config: peer::Config) -> Self {
        self.machine = config;
        self
    }

    /// How long resolving, dialling and the TLS handshake may take, each time. 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a frame on a peer stream may take from its first byte to its last. 10 s.
    #[must_use]
    pub fn frame_timeout(mut self, limit: Duration) -> Self {
        self.frame_timeout = limit;
        self
    }

    /// How many events may wait for [`Events::next`](super::Events::next). 1,024. From an eighth of them on, what others
    /// say is left unread, so that they wait instead of the memory here growing; at the limit, events that
    /// are no messages are dropped, and logged.
    #[must_use]
    pub fn events(mut self, limit: usize) -> Self {
        self.events = limit.max(8);
        self
    }

    /// How many bytes may wait for one peer to read them before its stream is closed. 2 MiB.
    #[must_use]
    pub fn send_queue_bytes(mut self, limit: usize) -> Self {
        self.send_queue_bytes = limit;
        self
    }

    /// What opens streams and datagram sockets: the operating system's, [`TcpNetwork`], unless told otherwise.
    #[must_use]
    pub fn network(mut self, network: Arc<dyn Network>) -> Self {
        self.network = network;
        self
    }

    /// Where it is noted by which link key each user is known (§7.13): a line a user, `host:port username key`, later ones before
    /// earlier ones. Made with mode 0600 (its folder 0700) if it isn't there. Without it, who was met before is forgotten with
    /// this client, unless the program keeps it ([`Peer::set_key`](super::Peer::set_key)).
    #[must_use]
    pub fn known_peers(mut self, file: PathBuf) -> Self {
        self.known_peers = Some(file);
        self
    }

    /// Where it is noted who is blocked (§9): a line a user, `host:port username blocked`, or `-` for who isn't any more, later ones
    /// before earlier ones. Made with mode 0600 (its folder 0700) if it isn't there. Without it the list is forgotten with this
    /// client, unless the program keeps it ([`Peer::block`](super::Peer::block)).
    #[must_use]
    pub fn block_list(mut self, file: PathBuf) -> Self {
        self.block_list = Some(file);
        self
    }

    /// What time it is when the client starts, as the time since 1970-01-01 00:00 UTC, for a simulation that is to take the same
    /// course each time: what is said says when (§7.14). The system's, unless told.
    #[must_use]
    pub fn time_of_day(mut self, since_1970: Duration) -> Self {
        self.time_of_day = Some(since_1970);
        self
    }

    /// What the jitter of reconnection comes from: chance, unless a simulator wants the same course each time.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The registry's `host:port`, an IPv6 address in square brackets.
    pub(super) fn registry(&self) -> String {
        registry_name(&self.host, self.port)
    }

    pub(super) fn known(&self) -> Option<KnownPeers> {
        self.known_peers.clone().map(|file| KnownPeers::new(file, &self.host, self.port))
    }

    pub(super) fn blocked(&self) -> Option<BlockList> {
        self.block_list.clone().map(|file| BlockList::new(file, &self.host, self.port))
    }

    pub(super) fn udp_port(&self) -> u16 {
        self.udp.as_ref().map_or(limits::REGISTRY_UDP_PORT, |&(_, port)| port)
    }
}

/// A host without the square brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// `host:port`, an IPv6 address in square brackets.
pub(in crate::tokio) fn registry_name(host: &str, port: u16) -> String {
    match bare(host) {
        host if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}
