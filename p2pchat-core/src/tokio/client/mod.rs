//! The client: the peer machine behind a lock, a task for what it does as time passes, one for the registry link, one for each
//! peer stream.
//!
//! Whoever has something for the machine, a call or a stream's task, locks it, tells it, and carries out what comes of that
//! ([`core`]): no message waits for another task's turn. What goes out is queued, in queues that are bounded in bytes, and written
//! outside the lock, by the same caller where it needn't wait ([`wire`]). With the machine locked nobody waits for
//! anything but the disk that knows keys and blocks: those are noted before anybody acts on them.

mod backlog;
mod config;
mod core;
mod driver;
mod events;
mod files;
mod handle;
mod link;
mod noted;
mod shared;
mod streams;
mod wire;

pub(super) use config::registry_name;
pub use config::{ClientConfig, Trust};
pub use events::{Events, Held};
pub use handle::{KnownKey, Peer, SeenCertificate};
