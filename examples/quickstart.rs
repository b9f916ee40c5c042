//! A registry and its peers in one process.

fn main() {}
