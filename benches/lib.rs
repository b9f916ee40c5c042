//! Benchmarks of p2pchat: the floors that they are measured against, and what they have in common. See `README.md` for what
//! is measured and found.

#![allow(clippy::expect_used)] // a benchmark that can't run fails by panicking

pub mod frames;
pub mod world;

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use p2pchat_core::tokio::{HashConfig, ServerConfig, ServerTls, TlsVersion};
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// The middle one, or what is between the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), middle.checked_sub(1).and_then(|before| values.get(before))) {
        (Some(upper), Some(lower)) if values.len().is_multiple_of(2) => (lower + upper) / 2.0,
        (Some(middle), _) => *middle,
        (None, _) => f64::NAN,
    }
}

/// A registry on this machine, with a certificate of its own, where what passwords cost isn't what is measured.
pub fn cheap_registry() -> ServerConfig {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (chain, key) = (cert.pem(), signing_key.serialize_pem());
    let tls = ServerTls::from_pem(chain.as_bytes(), key.as_bytes(), TlsVersion::Tls13);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = ServerConfig::new(free, free, tls.expect("a certificate and its key"));
    let mut hash = HashConfig::default();
    (hash.memory_kib, hash.iterations, hash.queue) = (8, 1, 4_096);
    (config.hash, config.machine.hashes) = (hash, 4_096);
    config
}

/// The least that taking one line of text out of a buffer costs: find the LF, check the UTF-8, split the bytes off.
pub fn floor(buf: &mut BytesMut) -> Option<Bytes> {
    let end = memchr::memchr(b'\n', buf)?;
    let line = buf.split_to(end + 1).freeze();
    str::from_utf8(&line).is_ok().then_some(line)
}

/// What else a parser can't do without: where the line's verb, its first two fields and its text are.
pub fn fields(line: &str) -> Option<[&str; 4]> {
    let (verb, rest) = line.split_once(" <")?;
    let (first, rest) = rest.split_once("> <")?;
    let (second, text) = rest.split_once("> ")?;
    Some([verb, first, second, text])
}

/// The same of a request with one field.
pub fn field(line: &str) -> Option<[&str; 2]> {
    let (verb, rest) = line.split_once(" <")?;
    let (first, _) = rest.split_once('>')?;
    Some([verb, first])
}
