//! A load generator: drives a running registry, or the floor, over TLS and UDP, checks every answer and says what the server
//! spent on it.
//!
//! ```sh
//! load --pid PID --tcp 127.0.0.1:15600 --udp 127.0.0.1:15500 lookups-1 lookups-16
//! load --pid PID --tcp … --udp … --floor lookups-1 lookups-16
//! ```
//!
//! Its client writes and reads frames by hand, byte by byte as PROTOCOL.md has them: a fault of the library can't hide here.
//! The registry needs the accounts `u0000000`, `u0000001`, … with the password `password` (`matrix` makes them), and no limits
//! on loopback, which is its default. One JSON object a phase goes to standard output.
#![allow(clippy::disallowed_methods)] // it measures the real clock
#![allow(clippy::print_stdout)] // printing is what it is for

mod client;
mod fleet;
mod phases;
mod process;
mod times;
mod words;

use std::{error::Error, net::SocketAddr};

use clap::{Parser, ValueEnum};

use crate::{fleet::Fleet, process::Process};

type Failure = Box<dyn Error + Send + Sync>;
type Outcome<T = ()> = Result<T, Failure>;

/// Drives a registry, or the floor.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The server's process, whose processor time and memory are read from /proc.
    #[arg(long)]
    pid: u32,
    /// Where its streams are.
    #[arg(long)]
    tcp: SocketAddr,
    /// Where its datagrams are.
    #[arg(long)]
    udp: SocketAddr,
    /// It is the floor and not a registry.
    #[arg(long)]
    floor: bool,
    /// How many connections, each with its own account.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many accounts there are.
    #[arg(long, default_value_t = 20_000)]
    accounts: usize,
    /// How long each phase that has no end of its own takes.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// What chance goes by.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// What to do, in this order, on the same connections.
    #[arg(required = true)]
    phases: Vec<Phase>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// Connect, TLS, one line to and fro, close; on the floor alone.
    Handshakes,
    /// Connect, TLS, hello and login by password, close.
    PasswordLogins,
    /// Connect, TLS, hello and login by token, close.
    ResumeLogins,
    /// Register accounts, sixteen requests on their way on each connection.
    Registrations,
    /// Look up somebody online, one request on its way on each connection.
    #[value(name = "lookups-1")]
    Lookups1,
    /// Sixteen on their way.
    #[value(name = "lookups-16")]
    Lookups16,
    /// Look up somebody who is not online, which the store has to be asked about; sixteen on their way.
    OfflineLookups,
    /// Join a room and leave it.
    Joins,
    /// Memory of idle connections at three sizes, and processor time of all of them.
    Idle,
    /// Everybody's keep-alive, as fast as they are answered.
    KeepAlives,
    /// The same, with tickets; connections of its own.
    TicketKeepAlives,
    /// Lists of everybody online, one asker.
    Lists,
    /// Lookups beside ten askers for lists, and without.
    LookupsBesideLists,
    /// Lookups beside logins by password, and without.
    LookupsBesideLogins,
    /// Everybody's connection is dropped, and all come back at once.
    Storm,
    /// Some of everything.
    Day,
}

fn main() -> Outcome {
    let arguments = Arguments::parse();
    rlimit::increase_nofile_limit(u64::MAX)?;
    // One thread: what it takes itself is then seen to be the limit, or not.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Outcome {
    let (server, own) = (Process::new(arguments.pid), Process::new(std::process::id()));
    let phases = arguments.phases.clone();
    let mut load =
        phases::Load { fleet: Fleet::new(client::Target::new(&arguments)?), arguments, server, own };
    for phase in phases {
        let figures = load.run(phase).await.map_err(|error| format!("{phase:?}: {error}"))?;
        println!("{}", serde_json::to_string(&figures)?);
    }
    Ok(())
}
