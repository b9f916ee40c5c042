//! The peer machine's behaviour on a virtual clock (PROTOCOL.md §5, §7, §8).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking

mod any_order;
mod blocks;
mod broadcasts;
mod budgets;
mod chats;
mod dials;
mod files;
mod hidden;
mod keys;
mod lines;
mod link;
mod model;
mod modelled;
mod park;
mod resume;
mod retry;
mod rooms;
mod solo;
mod steps;
mod ticket;
mod together;
mod united;
mod world;
