//! `p2pchat-registryd`; see `--help`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use p2pchat_registryd::{Args, run};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to be told.
            _ = writeln!(io::stderr(), "p2pchat-registryd: {error}");
            ExitCode::FAILURE
        }
    }
}
