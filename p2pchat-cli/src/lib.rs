//! The p2pchat terminal client: a full-screen client, a prompt, menus as the prototype had them, and one-shot commands for
//! scripts.
//!
//! As a library it has what programs that run the client need to know: what [`json`] lines it writes.

mod about;
#[allow(dead_code, reason = "the full-screen client uses the rest of it")]
mod archive;
mod args;
mod console;
mod exit;
mod history;
pub mod json;
mod keys;
mod line;
mod log;
mod menu;
mod oneshot;
mod output;
mod owner;
mod private;
mod requests;
mod sanitize;
mod session;
mod show;
mod sign_in;
mod target;
mod text;
mod transfers;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Arguments, Subject},
    exit::{Exit, Failure},
    output::{Tone, write_stderr},
};

/// The whole program; the arguments are the process's.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let color = arguments.global.color;
    match run(arguments) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            write_stderr(color, Tone::Error, &format!("p2pchat: {failure}"));
            failure.exit.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
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
            Some(Subject::Itself(what)) => about::print(what),
            Some(Subject::People(command)) => oneshot::run(&arguments.global, command).await,
            None if arguments.global.menu => menu::run(&arguments.global).await,
            None => line::run(&arguments.global).await,
        }
    });
    // A name that is still being looked up must not keep a program from ending that has said goodbye.
    runtime.shutdown_background();
    outcome
}
