//! How many instructions the codec and the registry machine take, counted by callgrind, which a busy machine doesn't change.
//!
//! ```sh
//! cargo run --profile quick --bin instructions               # fails if one has grown by more than 5 %
//! cargo run --profile quick --bin instructions -- --record   # writes benches/instructions.toml anew
//! ```
//!
//! Each case runs in a process of its own, twice: the first time, not counted, fills what is filled once. There is no clock
//! and no chance in it. `valgrind` has to be installed.
#![allow(clippy::print_stdout)] // printing is what it is for

mod cases;
mod record;

use std::{error::Error, path::PathBuf, process::Command};

use clap::Parser;

use crate::{
    cases::CASES,
    record::{Counts, Record},
};

type Failure = Box<dyn Error>;

/// Counts instructions and compares them with those on record.
#[derive(Debug, Parser)]
struct Arguments {
    /// Writes them on record.
    #[arg(long)]
    record: bool,
    /// The record.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml"))]
    file: PathBuf,
    /// The other role: carries one case out.
    #[arg(long, hide = true)]
    case: Option<String>,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(name) = arguments.case {
        let (_, _, case) = CASES.iter().find(|(other, ..)| *other == name).ok_or("no such case")?;
        case();
        return Ok(());
    }
    let counts = CASES.iter().map(|(name, ..)| Ok(((*name).to_owned(), count(name)?)));
    let found =
        Record { rustc: rustc()?, target: target(), counts: counts.collect::<Result<Counts, Failure>>()? };
    if arguments.record {
        return Ok(found.write(&arguments.file)?);
    }
    let (table, wrong) = Record::read(&arguments.file)?.compare(&found);
    println!("{table}");
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// The instructions of one operation of a case.
fn count(name: &str) -> Result<u64, Failure> {
    let operations = CASES.iter().find_map(|&(other, operations, _)| (other == name).then_some(operations));
    let out = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted*"]);
    command.arg(format!("--callgrind-out-file={}", out.path().display()));
    command.arg(std::env::current_exe()?).args(["--case", name]);
    // What is in the environment is on the stack, and moves what comes after it.
    command.env_clear();
    let output = command.output().map_err(|error| format!("valgrind can't be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected =
        said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    match collected.zip(operations) {
        Some((collected @ 1.., operations)) if output.status.success() => Ok(collected / operations),
        _ => Err(format!("{name}: valgrind says\n{said}").into()),
    }
}

fn rustc() -> Result<String, Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = String::from_utf8(Command::new(rustc).arg("--version").output()?.stdout)?;
    Ok(version.split_whitespace().nth(1).ok_or("rustc says no version")?.to_owned())
}

fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
