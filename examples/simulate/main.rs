//! One deterministic world: the registry's machine, several users' machines, and the bytes between them, on a virtual
//! clock and a network that delays, loses, doubles, cuts and partitions, with crashes of either side. After each step
//! and after each spell of bad weather the promises of PROTOCOL.md are checked.
//!
//! ```sh
//! cargo run --release --example simulate -- --seeds 100            # a hundred worlds, an hour each
//! cargo run --release --example simulate -- --for 60               # fresh worlds for a minute
//! cargo run --release --example simulate -- --seeds 1 --seed 7 --trace  # one of them again, with its last steps
//! cargo run --release --example simulate -- --bug all              # every deliberate bug has to be found
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for
#![allow(clippy::indexing_slicing, clippy::expect_used)] // its own numbers and constants; a panic is a failed run

mod backend;
mod bugs;
mod disk;
mod faults;
mod judge;
mod network;
mod node;
mod operator;
mod post;
mod registry;
mod schedule;
mod users;
mod world;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use p2pchat_examples::hunt::{self, Broken, Hunt, Simulator};

use crate::{
    bugs::Bug,
    world::{Stats, World},
};

/// Simulates registries and their users under faults, and checks what they promise.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    hunt: Hunt,
    /// How many hours pass in each world.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.hunt.run(&Machines { hours: arguments.hours })
}

struct Machines {
    hours: f64,
}

impl Simulator for Machines {
    type Bug = Bug;
    type Stats = Stats;

    fn run(&self, seed: u64, bug: Option<&Bug>, trace: bool) -> Result<Stats, Broken> {
        let mut world = World::new(seed, bug.copied(), trace);
        match hunt::caught(|| world.run(self.hours)) {
            Ok(()) => Ok(world.stats),
            Err(what) => Err(Broken { what, trace: world.last_trace().cloned().collect() }),
        }
    }

    fn add(total: &mut Stats, world: &Stats) {
        total.user_time += world.user_time;
        total.steps += world.steps;
        total.commands += world.commands;
        total.commits += world.commits;
        total.logins += world.logins;
        total.reconnected += world.reconnected;
        total.checks += world.checks;
        total.delivered += world.delivered;
        total.acknowledged += world.acknowledged;
        total.healed += world.healed;
        total.leases_ended += world.leases_ended;
        total.taken_over += world.taken_over;
        total.put_out += world.put_out;
        total.resumed += world.resumed;
        total.parked += world.parked;
        total.guests += world.guests;
        total.not_invited += world.not_invited;
        total.addresses += world.addresses;
        total.handshakes += world.handshakes;
        total.blocked += world.blocked;
        for (total, world) in total.contacts.iter_mut().zip(world.contacts) {
            *total += world;
        }
        for (total, world) in total.files.iter_mut().zip(world.files) {
            *total += world;
        }
        for (fault, times) in &world.faults {
            *total.faults.entry(fault).or_default() += times;
        }
    }

    fn report(total: &Stats, took: Duration) {
        let hours = total.user_time.as_secs_f64() / 3600.0;
        let faults: Vec<_> = total.faults.iter().map(|(fault, times)| format!("{times} {fault}")).collect();
        println!(
            "{hours:.0} user-hours, {} facts and commands handed to machines, {} commits",
            total.steps, total.commits
        );
        println!(
            "checked: {} commands ended, {} replies and pushes, {} messages read and {} confirmed",
            total.commands, total.checks, total.delivered, total.acknowledged
        );
        println!(
            "sessions: {} logins, {} reconnections, {} by token, {} parked, {} leases ended, {} sessions taken over; all was well {} times",
            total.logins,
            total.reconnected,
            total.resumed,
            total.parked,
            total.leases_ended,
            total.taken_over,
            total.healed
        );
        println!("rooms: {} members put out by an owner", total.put_out);
        let [asked, agreed, declined, ended, kept] = total.contacts;
        println!(
            "hidden addresses: {asked} requests for contact, {agreed} accepted, {declined} declined or taken back, {ended} contacts ended, {kept} kept by a session that went on; {} addresses asked for in the end",
            total.addresses
        );
        let [arrived, resumed] = total.files;
        println!(
            "peer streams: {} times one end saw the other's key; {arrived} files arrived, {resumed} times one went on that was begun before; {} times somebody was blocked",
            total.handshakes, total.blocked
        );
        println!("invitations: {} accounts made, {} registrations refused", total.guests, total.not_invited);
        println!("faults: {}", faults.join(", "));
        let speed = hours / took.as_secs_f64().max(1e-9) * 60.0;
        println!("{speed:.0} user-hours a minute ({:.1} s)", took.as_secs_f64());
    }

    fn command(&self) -> String {
        format!("simulate -- --hours {}", self.hours)
    }
}
