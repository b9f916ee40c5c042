//! The bodies of the fuzz targets in `fuzz/`: each panics if its property doesn't hold. Here so that ordinary builds
//! compile them. Not part of the API.
#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a fuzz target tells")]

#[cfg(unix)]
mod admin_request;
mod config;
mod database;
mod import;

#[cfg(unix)]
pub use admin_request::admin_request;
pub use config::config;
pub use database::database;
pub use import::import;
