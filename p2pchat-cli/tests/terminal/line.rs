//! The line mode, at a terminal.

use std::net::TcpListener;

use super::{Daemon, Desk, Home, Pane, WIDE, client::PASSWORD, pane::SHELL};

/// At the prompt of the line mode.
fn prompt<'a>(desk: &'a Desk, home: &'a Home, name: &'a str) -> Pane<'a> {
    home.register(name);
    let pane = desk.open(home, name, WIDE);
    pane.enter(&format!("p2pchat --plain --registry {} --user {name}", pane.registry()));
    pane.see(&format!("logged in as {name}"));
    pane.see(&format!("{name}>"));
    pane
}

fn ends_with(row: &'static str) -> impl Fn(&super::pane::Screen) -> bool {
    move |screen| screen.rows.iter().rfind(|row| !row.is_empty()).is_some_and(|last| last == row)
}

#[test]
fn what_arrives_leaves_what_is_typed_alone() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = prompt(&desk, &hers, "alice");
    let mut bob = his.prompt("bob");
    bob.type_line("/chat alice");
    alice.see("/accept bob or /reject bob");
    alice.enter("/accept bob");
    alice.see("alice → bob>");
    bob.out.expect("what you type now goes to alice");

    alice.type_in("half a thou");
    alice.until("it is typed", ends_with("alice → bob> half a thou"));
    bob.type_line("interrupting you");
    alice.see("bob: interrupting you");
    alice.until("it is still typed", ends_with("alice → bob> half a thou"));
    alice.enter("ght");
    bob.out.expect("alice: half a thought");
    assert_eq!(alice.screen().count("interrupting you"), 1, "{}", alice.screen());

    // What was typed before can be had again.
    alice.press("Up");
    alice.until("it is there again", ends_with("alice → bob> half a thought"));
    alice.enter(", once more");
    bob.out.expect("alice: half a thought, once more");
}

#[test]
fn ctrl_c_stays_and_ctrl_d_leaves() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let hers = Home::new(&daemon);
    let alice = prompt(&desk, &hers, "alice");
    alice.type_in("half a thought");
    alice.until("it is typed", ends_with("alice> half a thought"));
    alice.press("C-c");
    alice.see("/quit or Ctrl-D leaves");
    alice.until("an empty prompt", ends_with("alice>"));
    alice.press("C-d");
    alice.until("the shell", ends_with(SHELL));
    alice.enter("echo ended with $?");
    alice.see("ended with 0");
}

#[test]
fn a_password_is_not_shown() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let hers = Home::new(&daemon);
    hers.register("alice");
    let alice = desk.open_with(&hers, "alice", WIDE, &[]);
    alice.enter(&format!("p2pchat --plain --registry {} --user alice", daemon.tcp));
    alice.see("Password:");
    alice.enter("a wrong one");
    alice.see("wrong username or password");
    alice.see("Username (/register for a new account):");
    alice.enter("alice");
    alice.until("the password is asked for", |screen| screen.count("Password:") > 1);
    alice.enter(PASSWORD);
    let in_at_last = alice.see("logged in as alice");
    assert!(!in_at_last.has(PASSWORD) && !in_at_last.has("a wrong one"), "{in_at_last}");
    alice.see("alice>");
    alice.enter("/quit");
    alice.until("the shell", ends_with(SHELL));
}

#[test]
fn how_it_ends_is_told_by_the_exit_code() {
    let Some(desk) = Desk::new() else { return };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = Home::at(nobody, nobody);
    let alice = desk.open(&home, "alice", WIDE);
    for (options, code) in [("--user alice", 3), ("--user", 2)] {
        alice
            .enter(&format!("clear; p2pchat --plain --registry {nobody} {options}; echo \"ended with $?.\""));
        alice.see(&format!("ended with {code}."));
    }
}
