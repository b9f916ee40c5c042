//! The daemon under a load that lasts: thousands of real clients over TLS, TCP and UDP, a realistic mix of what they do,
//! and the question whether memory, descriptors and tasks stay where they are.
//!
//! ```sh
//! cargo run --release --example soak -- --clients 2000 --minutes 60 --csv soak.csv --plot soak.svg
//! cargo run --release --example soak -- --clients 200 --minutes 1 --leak tasks   # has to be found
//! ```
//!
//! The registry runs in a process of its own (`registry.rs`); this one holds the clients, each the library's `Peer` with
//! its defaults: keep-alives every 2.5 s for a lease of 10 s. They arrive eight at once, each with two password hashes at
//! the true cost, which is 20 to 30 a second on two processors. From then on each does something every 30 s or so
//! (`--pause`), by the shares in `acts.rs`, which keeps both processes together below one processor with 2,000 clients;
//! every answer is checked against what the others know of themselves. `verdict.rs` says what is flat. When all have left,
//! the registry has to be as idle as before them.
#![allow(clippy::print_stdout)] // printing is what it is for
#![allow(clippy::indexing_slicing)] // its own numbers

mod acts;
mod figures;
mod line;
mod person;
mod plot;
mod post;
mod registry;
mod report;
mod run;
mod sample;
mod starved;
mod stranger;
mod tally;
mod verdict;
mod world;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::Parser;

use crate::{registry::Leak, sample::Sample};

/// Loads a registry with clients for as long as one likes, and checks that it holds no more at the end.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many clients.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(24..))]
    clients: u64,
    /// For how long, their arrival included.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// How long a client rests between two things that it does, in seconds.
    #[arg(long, default_value_t = 30.0)]
    pause: f64,
    /// How often figures are taken, in seconds; by default 360 times, and not more often than each second.
    #[arg(long)]
    interval: Option<f64>,
    /// Where the registry keeps its data; by default a folder that is gone afterwards.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where the figures go.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Where a picture of them goes, as SVG.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Runs nothing: judges the figures of an earlier run once more, and makes their picture.
    #[arg(long, value_name = "CSV", requires = "plot")]
    draw: Option<PathBuf>,
    /// What people do is chosen by this; by default by the time of day.
    #[arg(long)]
    seed: Option<u64>,
    /// Makes the registry lose something at each sample, to see it found.
    #[arg(long)]
    leak: Option<Leak>,
    /// The other role.
    #[arg(long, hide = true)]
    serve_in: Option<PathBuf>,
}

#[allow(clippy::disallowed_methods)] // only to begin somewhere
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(folder) = arguments.serve_in {
        return registry::serve_in(folder, arguments.leak);
    }
    if let (Some(csv), Some(plot)) = (&arguments.draw, &arguments.plot) {
        let samples = sample::read(csv);
        let is_good = samples.as_ref().is_ok_and(|samples| report::print_record(samples));
        return match draw(plot, samples) {
            drawn if is_good => drawn,
            _ => ExitCode::FAILURE,
        };
    }
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let total = Duration::from_secs_f64(arguments.minutes * 60.0);
    let plan = run::Plan {
        clients: arguments.clients as usize,
        total,
        pause: Duration::from_secs_f64(arguments.pause),
        interval: arguments
            .interval
            .map_or((total / 360).max(Duration::from_secs(1)), Duration::from_secs_f64),
        data_dir: arguments.data_dir,
        csv: arguments.csv,
        seed: arguments.seed.unwrap_or(today.as_secs()),
        leak: arguments.leak,
    };
    let soaked = match plan.run() {
        Ok(soaked) => soaked,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let is_good = report::print(&soaked);
    match arguments.plot.map(|plot| draw(&plot, Ok(soaked.samples))) {
        Some(drawn) if is_good => drawn,
        _ if is_good => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn draw(plot: &Path, samples: Result<Vec<Sample>, String>) -> ExitCode {
    match samples.and_then(|samples| plot::draw(plot, &samples).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("can't draw {}: {error}", plot.display());
            ExitCode::FAILURE
        }
    }
}
