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

use std::time::Duration;

mod account;
mod bad_input;
mod certificate;
mod client;
mod conversations;
mod daemon;
mod directory;
mod flood;
mod lease;
mod menu;
mod oneshot;
mod patience;
mod prototype_peer;
mod prototype_registry;
mod pushes;
mod races;
mod restart;
mod room;
mod stand_in;
mod transcript;
mod vanishing;
mod wire;

/// How long anything may take before a test gives up: far more than it should, as the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands for a password on the wire, for tests that don't care which.
const DIGEST: &str = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";

/// Another one.
const WRONG_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
