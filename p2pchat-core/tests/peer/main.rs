//! The peer machine's behaviour on a virtual clock (PROTOCOL.md §5, §7, §8).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking

mod any_order;
mod blocks;
mod broadcasts;
mod budgets;
mod chats;
mod delivery;
mod dialled;
mod dials;
mod fates;
mod files;
mod hidden;
mod keys;
mod ledger;
mod lines;
mod link;
mod model;
mod modelled;
mod overtaken;
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
