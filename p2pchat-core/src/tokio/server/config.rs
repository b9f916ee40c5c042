//! What an operator can set about the sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    registry,
    tokio::{Network, ServerTls, TcpNetwork},
};

/// A server's settings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where streams are accepted; port 0 takes a free one.
    pub tcp: SocketAddr,
    /// Where datagrams are received; port 0 takes a free one.
    pub udp: SocketAddr,
    /// Certificate and key.
    pub tls: ServerTls,
    /// The registry machine's settings.
    pub machine: registry::Config,
    /// The slow password hash.
    pub hash: HashConfig,
    /// How long what may take.
    pub times: TimeLimits,
    /// How many TLS handshakes may be going on at once; over that, streams are closed before theirs. Whoever lets them hang
    /// has [`TimeLimits::handshake`] for each, and no more of them than [`PrefixLimits`](registry::PrefixLimits) let in.
    /// 4,096.
    pub handshakes: usize,
    /// How many bytes may wait for one peer to read them before its stream is closed. 2 MiB.
    pub send_queue_bytes: usize,
    /// What opens the sockets. The operating system's.
    pub network: Arc<dyn Network>,
}

impl ServerConfig {
    /// A server on these addresses, with PROTOCOL.md's settings.
    pub fn new(tcp: SocketAddr, udp: SocketAddr, tls: ServerTls) -> Self {
        Self {
            tcp,
            udp,
            tls,
            machine: registry::Config::default(),
            hash: HashConfig::default(),
            times: TimeLimits::default(),
            handshakes: 4_096,
            send_queue_bytes: 2 * 1024 * 1024,
            network: Arc::new(TcpNetwork),
        }
    }
}

/// The cost of a password guess, and how many of them are paid at once. The hash is Argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashConfig {
    /// Memory in KiB. 19,456, which is 19 MiB.
    pub memory_kib: u32,
    /// Passes over the memory. 2.
    pub iterations: u32,
    /// Lanes. 1.
    pub lanes: u32,
    /// How many hashes are computed at once, each on a thread of its own and in memory that the server then keeps for the
    /// next one. As many as there are processors. With 0 the event loop itself computes them, one after the other, and
    /// everything else waits meanwhile: for simulators, whose course must not hang on how fast a thread is.
    pub workers: usize,
    /// How many more may wait; over that, requests are refused at once, with the time when to come back (§7.8). 256.
    pub queue: usize,
}

impl Default for HashConfig {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            lanes: 1,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            queue: 256,
        }
    }
}

impl HashConfig {
    /// How many may be computed and wait.
    pub(super) fn places(&self) -> usize {
        self.workers.max(1).saturating_add(self.queue)
    }
}

/// How long a peer may take before its stream is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeLimits {
    /// For the TLS handshake. 10 s.
    pub handshake: Duration,
    /// From then to the end of its first message. 10 s.
    pub first_message: Duration,
    /// From a frame's first byte to its last. 10 s.
    pub frame: Duration,
    /// Between messages while nobody is logged in. 60 s.
    pub anonymous_idle: Duration,
    /// For a line ending after a hello without one, before the stream is taken for the prototype's (§6.1). 200 ms.
    pub hello_grace: Duration,
    /// To read something of what waits to be sent. 30 s.
    pub write_stall: Duration,
    /// To read what was sent before a stream is closed. 5 s.
    pub flush: Duration,
    /// For all streams to close when the server shuts down. 5 s.
    pub drain: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_message: Duration::from_secs(10),
            frame: Duration::from_secs(10),
            anonymous_idle: Duration::from_secs(60),
            hello_grace: Duration::from_millis(200),
            write_stall: Duration::from_secs(30),
            flush: Duration::from_secs(5),
            drain: Duration::from_secs(5),
        }
    }
}
