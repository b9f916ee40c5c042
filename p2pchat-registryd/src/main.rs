//! `p2pchat-registryd`; see `--help`.

use std::process::ExitCode;

use clap::Parser;
use p2pchat_registryd::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
