//! What the test programs of this package share: processes, what they write, and a peer made of a bare connection.

// Each program uses its own part of it.
#![allow(dead_code)]

use std::time::Duration;

pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod place;
pub(crate) mod transcript;
pub(crate) mod wire;

/// How long anything may take before a test gives up: far more than it should, as the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What stands for a password on the wire, for tests that don't care which.
pub(crate) const DIGEST: &str = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
