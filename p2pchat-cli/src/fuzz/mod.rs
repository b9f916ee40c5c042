//! The bodies of the fuzz targets in `fuzz/`: each panics if its property doesn't hold. Here so that ordinary builds
//! compile them. Not part of the API.
#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a fuzz target tells")]

mod sanitize;
mod shown_text;
mod terminal;

pub use sanitize::sanitize;
pub use shown_text::shown_text;
