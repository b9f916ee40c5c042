//! The p2pchat registry and peer as state machines, and (feature `tokio`) the driver that gives them sockets.
//!
//! [`registry::Registry`] and [`peer::Peer`] are sans-I/O: they are told facts (`handle_*`), obey commands, and hand out
//! effects (`poll_*`) for their owner to carry out. They never read a clock, roll dice or touch a socket: the time is a
//! parameter, randomness a seed, and the disk and the slow password hash are effects that inputs answer. That makes them
//! run the same under a test's virtual clock, in a simulator, and on a million real connections.
//!
//! Programs that just want to talk use the `tokio` feature: `tokio::Peer` is a connected client with an async API,
//! `tokio::Server` a registry.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod peer;
mod prefix;
mod rate;
pub mod registry;
mod time;
mod timers;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use p2pchat_proto as proto;
pub use time::Time;

/// The README's code, run as tests.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
