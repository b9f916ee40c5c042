//! The p2pchat terminal client.

fn main() {}
