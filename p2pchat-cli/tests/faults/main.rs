//! Real faults between real processes: the registry and clients as they are built, killed, stopped, cut off, and starved.
//!
//! Each test inflicts one fault and asserts what TESTING.md's table of faults promises. What a fault needs and this machine
//! lacks is said in a line on standard error, and the test passes over it; with `P2PCHAT_FAULTS_REQUIRE=1` it fails
//! instead. `P2PCHAT_FAULTS=long` runs more rounds and longer outages.
#![cfg(target_os = "linux")]
// Helpers of tests are tests: what isn't as expected ends them.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::{
    env, thread,
    time::{Duration, Instant},
};

#[path = "../support/mod.rs"]
mod support;

mod cable;
mod clock;
mod descriptors;
mod disk;
mod kill;
mod loss;
mod memory;
mod need;
mod net;
mod proxy;
mod stop;
mod sync;

use client::{Client, Home};
use support::{DIGEST, PATIENCE, client, daemon, place, wire};

/// The lease that clients ask for.
const LEASE: Duration = Duration::from_secs(10);

/// The one for every day, or that of the long form.
fn long_or<T>(short: T, long: T) -> T {
    if env::var("P2PCHAT_FAULTS").is_ok_and(|form| form == "long") { long } else { short }
}

/// Tries until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Starts a client until one says `ready`; it has read to the end of that line.
fn insist_on_start(home: &Home, arguments: &[&str], ready: &str) -> Client {
    let mut started = None;
    until(&arguments.join(" "), || {
        let mut client = home.start(arguments);
        let is_ready = client.out.comes(ready) && client.out.comes("\n");
        started = is_ready.then_some(client);
        is_ready
    });
    started.unwrap()
}
