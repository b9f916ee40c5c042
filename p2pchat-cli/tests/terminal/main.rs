//! The client as people have it in front of them: real terminals, which tmux types into and reads from, and the registry as
//! it is built.
//!
//! Each test has a tmux server, a registry and folders of its own, so that all of them run at once, and waits for what it
//! has to see. Without tmux it says so and is passed over; with `P2PCHAT_TERMINAL_REQUIRE=1` it fails instead.
#![cfg(unix)]
// Helpers of tests are tests: what isn't as expected ends them.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

mod first_start;
mod hostile;
mod kept;
mod leaving;
mod line;
mod look;
mod outage;
mod pane;
mod room;
mod size;
mod talk;

use client::Home;
use daemon::Daemon;
use pane::{Desk, Pane};
use support::{PATIENCE, client, daemon};

/// A size in which nothing that is looked for here is broken into rows.
const WIDE: (u16, u16) = (110, 24);

/// Somebody with an account, in front of the client.
fn somebody<'a>(desk: &'a Desk, home: &'a Home, name: &'a str, size: (u16, u16)) -> Pane<'a> {
    home.register(name);
    let pane = desk.open(home, name, size);
    log_in(&pane, name);
    pane
}

/// Starts the client as somebody who has an account.
fn log_in(pane: &Pane<'_>, name: &str) {
    pane.enter(&format!("p2pchat --registry {} --user {name}", pane.registry()));
    pane.see(&format!("● {name} online"));
}

/// The same with the program's process known, by which it gets the signals that [`signal`] sends.
fn log_in_known(pane: &Pane<'_>, name: &str) -> String {
    let start = format!("exec p2pchat --registry {} --user {name}", pane.registry());
    pane.enter(&format!("sh -c 'echo $$ > $HOME/{name}.pid; {start}'"));
    pane.see(&format!("● {name} online"));
    std::fs::read_to_string(pane.home().folder().join(format!("{name}.pid"))).unwrap().trim().to_owned()
}

/// Sends a process a signal by name.
fn signal(name: &str, process: &str) {
    let status = std::process::Command::new("kill").args([&format!("-{name}"), process]).status();
    assert!(status.unwrap().success(), "SIG{name} for {process}");
}

/// Two people in a chat of theirs, each with it in front of them.
fn open_chat(asker: &Pane<'_>, asked: &Pane<'_>) {
    asker.enter(&format!("/chat {}", asked.name()));
    asked.see(&format!("{} wants to chat: alt-y accepts", asker.name()));
    asked.press("M-y");
    for (pane, other) in [(asker, asked), (asked, asker)] {
        pane.see(&format!(" {}  direct, encrypted", other.name()));
    }
}
