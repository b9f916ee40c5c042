//! The socket driver: the machines of this crate on real TLS, TCP and UDP sockets under tokio.
//!
//! [`Peer`] and [`Events`] are a connected client, [`Server`] is a registry. Both own a machine, carry out its effects and
//! tell it what happened; they know no rule of the protocol themselves. What they add is what sockets bring along: time
//! limits, bounded queues, back-pressure, certificates, and a pool for the slow password hash.
//!
//! Under a simulator both take the same course each time: with a [`Network`] of its own, [`ClientConfig::seed`], and
//! [`HashConfig::workers`] 0. What is ready at the same moment is taken in a fixed order, in which nothing can keep
//! anything else from its turn for ever.
//!
//! ```no_run
//! use p2pchat_core::tokio::{ClientConfig, Peer, Trust};
//! use p2pchat_core::peer::Event;
//!
//! # async fn example() -> Result<(), p2pchat_core::tokio::Error> {
//! let trust = Trust::KnownRegistries("known_registries".into());
//! let (peer, mut events) = Peer::connect(ClientConfig::new("registry.example", 15600, trust)).await?;
//! peer.login("alice", "correct horse").await?;
//! peer.chat("bob").await?;
//! peer.send("bob", "hello").await?;
//! while let Some(event) = events.next().await {
//!     if let Event::Message { from, text, .. } = event {
//!         println!("{from}: {text}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod accept;
#[cfg(target_os = "linux")]
mod batches;
mod block_list;
mod client;
mod clock;
mod disk;
mod error;
mod fingerprint;
mod identity;
pub(crate) mod known;
pub(crate) mod known_peers;
mod locked;
mod network;
mod notes;
mod outbox;
mod pump;
mod server;
mod store;
mod tls;

pub use block_list::BlockList;
pub use client::{ClientConfig, Events, Held, KnownKey, Peer, SeenCertificate, Trust};
pub use error::{CertificateError, Error};
pub use fingerprint::Fingerprint;
pub use identity::{LinkIdentity, LinkIdentityError};
pub use known_peers::KnownPeers;
pub use network::{BoxFuture, BoxStream, Datagrams, Duplex, Listener, Network, TcpNetwork};
pub use server::{
    BanError, Figure, FigureValue, HashConfig, InviteError, Latencies, Server, ServerConfig, ServerHandle,
    ServerStats, TimeLimits, check_password_hash,
};
pub use store::{SharedMemoryStore, Store};
pub use tls::{ServerTls, TlsError, TlsVersion};
