//! What outlasts the program: what waits to be sent, what was begun, what was said.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use super::{Daemon, Desk, Home, WIDE, daemon, log_in, open_chat, pane::SHELL, somebody};

#[test]
fn a_message_to_somebody_offline_goes_out_when_they_are_back() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    his.register("bob");
    alice.enter("/chat bob");
    alice.see("bob  unreachable: ");
    alice.enter("tea at five?");
    let waits = alice.see("… alice: tea at five?");
    assert!(waits.has("1 message waits"), "{waits}");
    alice.enter("/quit");
    alice.see(SHELL);

    log_in(&alice, "alice");
    alice.enter("/switch bob");
    alice.see("… alice: tea at five?");
    let bob = desk.open(&his, "bob", WIDE);
    log_in(&bob, "bob");
    bob.see("alice wants to chat: alt-y accepts");
    bob.press("M-y");
    bob.see("  alice: tea at five?");
    let sent = alice.see("✓ alice: tea at five?");
    assert_eq!(sent.count("tea at five?"), 1, "{sent}");
    alice.see_gone("message waits");
    assert_eq!(bob.still().count("tea at five?"), 1);
}

#[test]
fn drafts_and_what_was_said_are_there_after_a_new_start() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    open_chat(&alice, &bob);
    alice.enter("the invoice of June");
    alice.see("✓ alice: the invoice of June");
    bob.enter("is paid");
    bob.see("✓ bob: is paid");
    alice.see("  bob: is paid");
    for line in 0..30 {
        alice.enter(&format!("filler {line}"));
        alice.see(&format!("✓ alice: filler {line}"));
    }
    let draft = |screen: &super::pane::Screen| screen.rows.last().is_some_and(|row| row == "> not yet said");
    alice.type_in("not yet said");
    alice.until("the draft", draft);
    alice.press("C-p");
    alice.until("no draft elsewhere", |screen| screen.rows.last().is_some_and(|row| row == ">"));
    alice.enter("/quit");
    alice.see(SHELL);

    log_in(&alice, "alice");
    alice.enter("/switch bob");
    alice.until("the draft", draft);
    let kept = alice.see("✓ alice: filler 29");
    assert!(!kept.has("invoice"), "it is further up\n{kept}");
    alice.press("C-u");
    alice.enter("/search invoice");
    let found = alice.see("1 with invoice");
    assert!(found.has("“the invoice of June”"), "{found}");
    alice.press("Enter");
    let place = alice.see("✓ alice: the invoice of June");
    assert!(place.has("  bob: is paid"), "{place}");
    assert!(place.has("↑ further down is more"), "{place}");
    alice.press("Escape");
    alice.see("filler 29");
    alice.enter("/search nonsense");
    alice.see("nobody has said that");
}

#[test]
fn a_pager_with_the_history_keeps_no_client_from_it() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("bob");
    let alice = somebody(&desk, &home, "alice", WIDE);
    alice.enter("/chat bob");
    alice.see("bob  unreachable: ");
    // More than fits into a pipe.
    for number in 0..24 {
        alice.paste(&"tea ".repeat(1_000));
        alice.enter(&format!(" number {number}."));
        alice.see(&format!("number {number}."));
    }
    alice.enter("/quit");
    alice.see(SHELL);

    let mut reading = home.start_unread(&["--user", "alice", "history"]);
    let mut read = BufReader::new(reading.stdout.take().unwrap());
    let mut line = String::new();
    read.read_line(&mut line).unwrap();
    assert!(line.contains("(not sent yet) tea tea"), "{line}");
    log_in(&alice, "alice");
    alice.enter("/switch bob");
    let waits = alice.see("24 messages wait");
    assert!(waits.has("number 23."), "{waits}");
    alice.enter("said while it is read");
    alice.see("25 messages wait");
    alice.press("C-p");
    alice.see("logged in as alice");
    let own = alice.still();
    assert!(!own.has("in use"), "{own}");
    assert!(reading.try_wait().unwrap().is_none(), "it was not read to its end");
    alice.enter("/quit");
    alice.see(SHELL);

    // Who has seen enough ends it, and nothing has failed.
    drop(read);
    assert!(daemon::wait(&mut reading).unwrap().success());
    let kept = home.run(&["--user", "alice", "history", "--last", "1"]).expect_code(0).out;
    assert!(kept.ends_with("(not sent yet) said while it is read\n"), "{kept}");
}

#[test]
fn a_history_that_is_in_use_is_had_later_with_what_was_said_meanwhile() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    his.register("bob");
    alice.enter("/chat bob");
    alice.see("bob  unreachable: ");
    alice.enter("said before");
    alice.see("… alice: said before");
    alice.enter("/quit");
    alice.see(SHELL);

    let held = hold(&history_of(&hers));
    log_in(&alice, "alice");
    alice.see("the history is in use by another");
    alice.enter("/chat bob");
    alice.see("bob  unreachable: ");
    alice.enter("said meanwhile");
    let meanwhile = alice.see("… alice: said meanwhile");
    assert!(!meanwhile.has("said before"), "{meanwhile}");
    drop(held);
    let both = alice.see("… alice: said before");
    assert!(both.has("2 messages wait"), "{both}");
    alice.enter("/search said");
    alice.see("2 with said");
    alice.press("Escape");

    let bob = desk.open(&his, "bob", WIDE);
    log_in(&bob, "bob");
    bob.see("alice wants to chat: alt-y accepts");
    bob.press("M-y");
    bob.see("  alice: said meanwhile");
    let heard = bob.still();
    assert_eq!((heard.count("said before"), heard.count("said meanwhile")), (1, 1), "{heard}");
    alice.see("✓ alice: said meanwhile");
    alice.enter("/quit");
    alice.see(SHELL);
    let kept = hers.run(&["--user", "alice", "history", "--with", "bob"]).expect_code(0).out;
    let kept: Vec<_> = kept.lines().map(|line| line.split_once("<alice> ").unwrap().1).collect();
    assert_eq!(kept, ["said before", "said meanwhile"]);
}

/// Where somebody's history is.
fn history_of(home: &Home) -> PathBuf {
    let folder = fs::read_dir(home.folder().join("history")).unwrap().next().unwrap().unwrap().path();
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

/// Has it as a client has that writes to it.
fn hold(path: &Path) -> redb::Database {
    let mode = redb::ConcurrencyMode::SingleWriter;
    redb::Builder::new().set_concurrency_mode(mode).open(path).unwrap()
}
