//! A registry that is killed under thousands of clients and started again: whether all of them come back, how long that
//! takes, and whether what waits for the password hash stays within its bound.
//!
//! ```sh
//! cargo run --release --example storm -- --clients 2000
//! cargo run --release --example storm -- --clients 2000 --password 100   # nobody has a token
//! ```
//!
//! The registry runs in a process of its own (`registry.rs`), as the daemon does, with its defaults and the true password
//! hash; this one holds the clients, each the library's `Peer` with its defaults. It is killed with SIGKILL. Clients come
//! back by themselves: their own jitter, their tokens, and the times that the registry names are all that spreads them. The
//! registry's own metrics say what it did. The exit code is 0 if everybody is back and every bound was kept.
#![allow(clippy::print_stdout)] // printing is what it is for

mod registry;
mod report;
mod run;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

/// Kills a registry under its clients, starts it again, and sees everybody come back.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many clients.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// How many of a hundred come back by their password, as they don't know of tokens.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    password: u32,
    /// For how long there is no registry, in seconds.
    #[arg(long, default_value_t = 2.0)]
    down: f64,
    /// How long the last may take to come back, in seconds.
    #[arg(long, default_value_t = 300.0)]
    limit: f64,
    /// How many requests may wait for a password hash.
    #[arg(long, default_value_t = 256)]
    hash_queue: usize,
    /// Prints one JSON object, and nothing else.
    #[arg(long)]
    json: bool,
    /// The other role: where the registry's data is, and where it listens.
    #[arg(long, hide = true, requires = "tcp", requires = "udp")]
    serve_in: Option<PathBuf>,
    #[arg(long, hide = true)]
    tcp: Option<std::net::SocketAddr>,
    #[arg(long, hide = true)]
    udp: Option<std::net::SocketAddr>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (&arguments.serve_in, arguments.tcp, arguments.udp) {
        (Some(folder), Some(tcp), Some(udp)) => {
            registry::serve_in(folder, [tcp, udp], arguments.hash_queue).map(|()| true)
        }
        _ => {
            let plan = run::Plan {
                clients: arguments.clients,
                password: arguments.password,
                down: Duration::from_secs_f64(arguments.down),
                limit: Duration::from_secs_f64(arguments.limit),
                hash_queue: arguments.hash_queue,
                quiet: arguments.json,
            };
            plan.run().map(|storm| report::print(&storm, arguments.json))
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
