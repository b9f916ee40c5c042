//! The client: a task that owns the peer machine, one for the registry link, one for each peer stream.
//!
//! Commands reach the machine's task by a bounded channel, facts by another; what goes out waits in queues that are
//! bounded in bytes. The machine's task never waits for any of them.

mod actor;
mod backlog;
mod config;
mod events;
mod files;
mod handle;
mod link;
mod noted;
mod shared;
mod streams;

pub(super) use config::registry_name;
pub use config::{ClientConfig, Trust};
pub use events::{Events, Held};
pub use handle::{KnownKey, Peer, SeenCertificate};
