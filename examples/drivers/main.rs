//! The drivers in one deterministic world: the registry's server and several clients, with TLS, codecs, timers and
//! datagrams, on the hosts and the network of a simulator, [turmoil]. Streams are delayed, handed over in pieces, held up
//! and cut, datagrams lost and doubled, hosts parted in one or both directions; registry and clients crash, lose power and
//! start again, the registry with only what was durable. Users do at random everything that a client can do, and what
//! they are promised is judged from outside, by what the public API tells, the store and the server's figures.
//!
//! ```sh
//! cargo run --release --example drivers -- --seeds 20                 # twenty fresh worlds, ten minutes each
//! cargo run --release --example drivers -- --for 60                   # fresh worlds for a minute
//! cargo run --release --example drivers -- --bug all                  # every deliberate bug has to be found
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for
#![allow(clippy::indexing_slicing, clippy::expect_used)] // its own numbers and constants; a panic is a failed run

mod audit;
mod book;
mod bugs;
mod faults;
mod guests;
mod network;
mod owner;
mod post;
mod registry;
mod store;
mod ties;
mod user;
mod world;

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use clap::Parser;
use p2pchat_examples::hunt::{self, Broken, Hunt, Simulator};

use crate::{bugs::Bug, world::World};

/// Simulates a registry's and its clients' drivers under faults, and checks what they promise.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    hunt: Hunt,
    /// How many minutes pass in each world, at least.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

/// What was simulated.
#[derive(Debug, Clone, Default, PartialEq)]
struct Stats {
    user_time: Duration,
    /// A digest of all that happened, and when.
    course: u64,
    commands: u64,
    events: u64,
    logins: u64,
    reconnected: u64,
    parked: u64,
    read: u64,
    confirmed: u64,
    commits: u64,
    audits: u64,
    healed: u64,
    /// How often somebody was blocked.
    blocked: u64,
    /// Members put out by an owner.
    put_out: u64,
    /// Who was let know where somebody is.
    met: u64,
    /// How often somebody was told, or not told, where another is, when nothing moved.
    addresses: u64,
    /// Accounts made by invitation, and tries that failed.
    invited: u64,
    not_invited: u64,
    faults: BTreeMap<&'static str, u64>,
}

struct Drivers {
    minutes: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    world::note_panics();
    arguments.hunt.run(&Drivers { minutes: arguments.minutes })
}

impl Simulator for Drivers {
    type Bug = Bug;
    type Stats = Stats;

    fn run(&self, seed: u64, bug: Option<&Bug>, trace: bool) -> Result<Stats, Broken> {
        let mut world = World::new(seed, bug.copied(), trace);
        match hunt::caught(|| world.run(self.minutes)) {
            Ok(()) => Ok(world.stats()),
            Err(what) => Err(Broken { what, trace: world.site.book().last_trace() }),
        }
    }

    fn add(total: &mut Stats, world: &Stats) {
        total.user_time += world.user_time;
        // Whatever the order in which they end.
        total.course ^= world.course;
        total.commands += world.commands;
        total.events += world.events;
        total.logins += world.logins;
        total.reconnected += world.reconnected;
        total.parked += world.parked;
        total.read += world.read;
        total.confirmed += world.confirmed;
        total.commits += world.commits;
        total.audits += world.audits;
        total.healed += world.healed;
        total.blocked += world.blocked;
        total.put_out += world.put_out;
        total.met += world.met;
        total.addresses += world.addresses;
        total.invited += world.invited;
        total.not_invited += world.not_invited;
        for (fault, times) in &world.faults {
            *total.faults.entry(fault).or_default() += times;
        }
    }

    fn report(total: &Stats, took: Duration) {
        let hours = total.user_time.as_secs_f64() / 3600.0;
        let faults: Vec<_> = total.faults.iter().map(|(fault, times)| format!("{times} {fault}")).collect();
        println!(
            "{hours:.1} user-hours; checked: {} commands ended, {} events, {} messages read and {} confirmed",
            total.commands, total.events, total.read, total.confirmed
        );
        println!(
            "{} logins, {} reconnections, {} parked, {} commits; all was well {} times, for {} programs",
            total.logins, total.reconnected, total.parked, total.commits, total.healed, total.audits
        );
        println!(
            "{} members put out, {} users blocked for a while; {} chats by contact, {} addresses compared; {} accounts by invitation, {} tries without one",
            total.put_out, total.blocked, total.met, total.addresses, total.invited, total.not_invited
        );
        println!("faults: {}", faults.join(", "));
        let speed = hours / took.as_secs_f64().max(1e-9) * 60.0;
        println!(
            "{speed:.0} user-hours a minute ({:.1} s); course {:016x}",
            took.as_secs_f64(),
            total.course
        );
    }

    fn command(&self) -> String {
        format!("drivers -- --minutes {}", self.minutes)
    }
}
