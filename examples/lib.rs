//! Programs that use p2pchat; see the files beside this one. The README's programs are compiled and run as tests here.
//! What the two simulators share is here too.

pub mod hunt;
pub mod letters;
pub mod truth;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
