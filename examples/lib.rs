//! Programs that use p2pchat; see the files beside this one. The README's programs are compiled and run as tests here.
//! What the bots share, and what the two simulators do, is here too.

pub mod demo;
pub mod hunt;
pub mod letters;
pub mod truth;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
