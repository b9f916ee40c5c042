//! Benchmarks of p2pchat; see the files beside this one.
