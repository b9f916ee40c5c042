//! The daemon and the client as they are built, over real sockets.
//!
//! Each test starts a registry of its own in a folder of its own, on ports that the system chooses, so that all of them
//! run at once. Each step waits for what it needs to see, up to [`PATIENCE`]; a time to pass is waited for only where time
//! is what is tested: leases, limits, silence.

// Helpers of tests are tests: what isn't as expected ends them.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

mod account;
mod bad_input;
mod blocks;
mod certificate;
mod configuration;
mod conversations;
mod directory;
mod doctor;
mod files;
mod flood;
mod hidden;
mod invites;
mod keys;
mod lease;
mod limits;
mod menu;
mod moderation;
mod oneshot;
mod park;
mod patience;
mod pipe;
mod prototype_peer;
mod prototype_registry;
mod pushes;
mod races;
mod restart;
mod resume;
mod room;
mod stand_in;
mod vanishing;

use support::{DIGEST, PATIENCE, client, daemon, wire};

/// Another one than [`DIGEST`].
const WRONG_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
