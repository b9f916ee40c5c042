//! The driver over real sockets on loopback: TLS, TCP and UDP, with a store in memory and a cheap password hash.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod abuse;
mod bad_input;
mod between;
mod blocks;
mod datagrams;
mod fair;
mod files;
mod other_network;
mod overheard;
mod park;
mod peers;
mod prototype;
mod registry_lost;
mod resume;
mod room;
mod secured;
mod support;
mod talk;
mod trust;
