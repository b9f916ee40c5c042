//! Leaving gives the terminal back as it was.

use super::{Daemon, Desk, Home, Pane, WIDE, log_in_known, pane::SHELL, signal, somebody};

/// The shell is there again, as if there had been nothing else.
fn assert_given_back(pane: &Pane<'_>, code: i32) {
    let left = pane.see(SHELL);
    assert!(!left.has("● alice online"), "{left}");
    pane.enter("echo ended with $?");
    let told = pane.see(&format!("ended with {code}"));
    // What is typed can be seen, and a line's end is one.
    assert!(told.has("echo ended with $?"), "{told}");
    assert_eq!(pane.ask("#{alternate_on} #{cursor_flag} #{mouse_any_flag}"), "0 1 0");
    pane.enter(
        r"stty -a | tr '; ' '\n\n' | grep -xE 'icanon|echo|icrnl|opost|isig' | sort | tr '\n' ' '; echo .",
    );
    pane.see("echo icanon icrnl isig opost .");
}

#[test]
fn ctrl_c_stays_and_ctrl_d_leaves() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let hers = Home::new(&daemon);
    let alice = somebody(&desk, &hers, "alice", WIDE);
    alice.press("C-c");
    alice.see("/quit or ctrl-d leaves");
    alice.type_in("half a thought");
    alice.see("> half a thought");
    alice.press("C-d");
    alice.press("C-c");
    alice.until("the line is empty", |screen| screen.rows.last().is_some_and(|row| row == ">"));
    // It was not lost.
    alice.press("Up");
    alice.see("> half a thought");
    alice.press("C-u");
    alice.until("the line is empty", |screen| screen.rows.last().is_some_and(|row| row == ">"));
    alice.press("C-d");
    assert_given_back(&alice, 0);
}

#[test]
fn a_signal_that_ends_it_gives_the_terminal_back() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let hers = Home::new(&daemon);
    hers.register("alice");
    let alice = desk.open(&hers, "alice", WIDE);
    let process = log_in_known(&alice, "alice");
    signal("TERM", &process);
    assert_given_back(&alice, 0);
}
