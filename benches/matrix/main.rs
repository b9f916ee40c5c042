//! Runs the load against the registry and the floor in turn, and writes what came of it into `benches/README.md`.
//!
//! ```sh
//! cargo run --release -p p2pchat-benches --bin matrix   # about eight minutes
//! cargo run --profile quick --bin matrix -- --quick     # two, to see that it works; writes nothing
//! ```
//!
//! Each ratio is of two runs one after the other, and the median of several such pairs: what the machine does besides is
//! noise for both. Where there are two processors or more, the servers have the first for themselves and the generator the
//! second.
#![allow(clippy::disallowed_methods)] // it measures the real clock
#![allow(clippy::print_stdout, clippy::print_stderr)] // printing is what it is for

mod accounts;
mod figures;
mod plan;
mod plot;
mod report;
mod server;

use std::{error::Error, path::PathBuf, process::Command};

use clap::Parser;

use crate::plan::Plan;

type Failure = Box<dyn Error>;
type Outcome<T = ()> = Result<T, Failure>;

/// Measures the registry against the floor.
#[derive(Debug, Parser)]
struct Arguments {
    /// Few and small: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Leaves the registry of a million accounts out.
    #[arg(long)]
    no_million: bool,
    /// How many pairs of runs the ratios are medians of.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where the table and the picture go: `README.md`, between its marks, and `matrix.svg`.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR")))]
    into: PathBuf,
}

fn main() -> Outcome {
    let arguments = Arguments::parse();
    build(arguments.quick)?;
    rlimit::increase_nofile_limit(u64::MAX)?;
    let plan = Plan::new(arguments.quick, arguments.rounds, !arguments.no_million && !arguments.quick);
    let rows = plan.carry_out()?;
    let table = report::table(&rows);
    println!("{table}");
    if !arguments.quick {
        report::write(&arguments.into, &table)?;
        plot::draw(&arguments.into.join("matrix.svg"), &rows)?;
    }
    Ok(())
}

/// What is measured has to be what is there. Each by itself, as people build them; where it is only seen that all works, what
/// the whole workspace shares of features is good enough, and is built already.
fn build(together: bool) -> Outcome {
    const PROGRAMS: [(&str, &[&str]); 2] = [
        ("p2pchat-registryd", &["p2pchat-registryd"]),
        ("p2pchat-benches", &["floor", "load", "workers", "durable"]),
    ];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = server::profile()?;
    for (package, bins) in PROGRAMS {
        let mut command = Command::new(&cargo);
        // What cargo has told this program of itself, ring's build would take for its own, and build all anew.
        let of_this = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_this)) {
            command.env_remove(name);
        }
        command.args(["build", "--locked", "--profile", &profile]);
        command.args(bins.iter().flat_map(|bin| ["--bin", bin]));
        match together {
            true => command.arg("--workspace"),
            false => command.args(["-p", package]),
        };
        if !command.current_dir(env!("CARGO_MANIFEST_DIR")).status()?.success() {
            return Err("what is measured doesn't build".into());
        }
    }
    Ok(())
}
