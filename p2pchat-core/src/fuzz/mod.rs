//! The bodies of the fuzz targets in `fuzz/`: each panics if its property doesn't hold. Here so that ordinary builds
//! compile them. Not part of the API.
#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a fuzz target tells")]

mod backend;
mod known_registries;
mod peer_machine;
mod people;
mod records;
mod registry;
mod registry_bytes;

pub use known_registries::known_registries;
pub use peer_machine::peer_machine;
pub use records::records;
pub use registry::registry;
pub use registry_bytes::registry_bytes;
