//! The p2pchat terminal client: a full-screen client, a prompt, menus as the prototype had them, and one-shot commands for
//! scripts.
//!
//! As a library it has what programs that run the client need to know: what [`json`] lines it writes.

mod about;
mod archive;
mod args;
mod browser;
mod command;
mod config;
mod console;
mod desk;
mod doctor;
mod exit;
#[cfg(any(test, feature = "__fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod history;
pub mod json;
mod keys;
mod line;
mod log;
mod menu;
mod nearest;
mod oneshot;
mod outbox;
mod output;
mod owner;
mod pipe;
mod private;
mod report;
mod requests;
mod sanitize;
mod screen;
mod session;
mod show;
mod sign_in;
mod target;
mod text;
mod transfers;

/// The README's code, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

use std::process::ExitCode;

use crate::{
    args::{Arguments, Given, Subject},
    exit::{Exit, Failure},
    output::{Tone, write_stderr},
};

/// The whole program; the arguments are the process's.
pub fn main() -> ExitCode {
    let (mut arguments, given) = Arguments::of(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match run(&mut arguments, &given) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            if !failure.is_quiet() {
                write_stderr(arguments.global.color, Tone::Error, &format!("p2pchat: {failure}"));
            }
            failure.exit.into()
        }
    }
}

fn run(arguments: &mut Arguments, given: &Given) -> Result<(), Failure> {
    match &arguments.command {
        Some(Subject::Config(what)) => return config::run(&arguments.global, what),
        Some(Subject::Itself(what)) => return about::print(what),
        _ => config::load(&mut arguments.global, given)?,
    }
    if let Some(file) = &arguments.global.log {
        log::to_file(file)?;
    }
    // This thread is the user interface's. It waits whenever whoever reads the output does, be it a pager or a stopped
    // terminal; another one keeps the session alive meanwhile.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("can't start: {error}")))?;
    let outcome = runtime.block_on(async {
        match &arguments.command {
            Some(Subject::People(command)) => oneshot::run(&arguments.global, command).await,
            _ if arguments.global.menu => menu::run(&arguments.global).await,
            _ if screen::fits(&arguments.global) => screen::run(&arguments.global).await,
            _ => line::run(&arguments.global).await,
        }
    });
    // A name that is still being looked up must not keep a program from ending that has said goodbye.
    runtime.shutdown_background();
    outcome
}
