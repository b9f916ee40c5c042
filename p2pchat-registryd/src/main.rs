//! The p2pchat registry daemon.

fn main() {}
