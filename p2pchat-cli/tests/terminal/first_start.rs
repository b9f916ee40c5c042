//! From nothing to the first screen, as the client leads there.

use std::net::TcpListener;

use super::{Daemon, Desk, Home, WIDE, client::PASSWORD, log_in, pane::SHELL};

#[test]
fn somebody_new_is_asked_for_the_registry_and_signs_up() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let alice = desk.open_with(&home, "alice", WIDE, &[]);
    alice.enter("p2pchat");
    alice.see("Registry (host or host:port):");
    alice.enter(&daemon.tcp.to_string());
    alice.see(&format!("{} is met for the first time", daemon.tcp));
    alice.see(&daemon.fingerprint);
    alice.press("Enter");
    alice.see("leave it empty to sign up");
    alice.press("Enter");
    alice.see("The name by which others find you");
    alice.press("Enter");
    alice.see("the username is empty");
    alice.enter("al|ice");
    alice.see("the username can't hold '|'");
    alice.press("C-u");
    alice.enter("alice");
    alice.see("Password:");
    alice.type_in(PASSWORD);
    let typed = alice.see(&format!("> {}", "•".repeat(PASSWORD.len())));
    assert!(!typed.has(PASSWORD), "{typed}");
    alice.press("Enter");
    alice.see("The same again:");
    alice.enter("something else");
    alice.see("those were not the same");
    alice.enter(PASSWORD);
    alice.see("The same again:");
    alice.enter(PASSWORD);
    alice.see("● alice online");
    for told in ["logged in as alice", "/chat USER asks", "/join ROOM enters", "/help lists all commands"] {
        alice.see(told);
    }
    alice.enter("/quit");
    alice.see(SHELL);

    // The same person, some other day: what they have said once needs not be said again.
    alice.enter("p2pchat");
    alice.see("> alice");
    alice.press("Enter");
    alice.see("Welcome back, alice");
    alice.enter("a wrong one");
    alice.see("wrong username or password");
    alice.press("Enter");
    alice.see("Welcome back, alice");
    alice.enter(PASSWORD);
    alice.see("● alice online");
}

#[test]
fn what_leads_nowhere_is_said_and_asked_again() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alice = desk.open_with(&home, "alice", WIDE, &[]);
    alice.enter("p2pchat");
    alice.see("Registry (host or host:port):");
    alice.enter("chat.example.org:99999");
    alice.see("`99999` is no port");
    alice.press("C-u");
    alice.enter(&nobody.to_string());
    alice.see("refused");
    alice.see("`p2pchat doctor` finds out why");
    alice.press("C-u");
    alice.enter(&daemon.tcp.to_string());
    // It was met before, so nothing is to be compared.
    alice.see("Who are you?");
    alice.press("C-d");
    alice.see(SHELL);
}

#[test]
fn another_certificate_stops_it() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let alice = desk.open(&home, "alice", WIDE);
    log_in(&alice, "alice");
    alice.enter("/quit");
    alice.see(SHELL);
    let known = std::fs::read_to_string(home.known_registries()).unwrap();
    let other = known.replace(&daemon.fingerprint, &format!("sha256:{}", "00".repeat(32)));
    assert_ne!(known, other, "it isn't kept as expected");
    std::fs::write(home.known_registries(), other).unwrap();
    alice.enter(&format!("p2pchat --registry {} --user alice", daemon.tcp));
    let stopped = alice.see("HAS CHANGED");
    assert!(stopped.has(&daemon.fingerprint), "{stopped}");
    assert!(!stopped.has("● alice"), "{stopped}");
}

#[test]
fn what_is_asked_stays_in_sight_on_a_small_terminal() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let alice = desk.open_with(&home, "alice", (40, 10), &[]);
    alice.enter("p2pchat");
    alice.see("Registry (host or host:port):");
    alice.resize((30, 6));
    alice.type_in(&daemon.tcp.to_string());
    alice.see(&format!("> {}", daemon.tcp));
    alice.press("Enter");
    alice.see("Enter: it is the right one");
    alice.resize((40, 10));
    alice.see("Enter: it is the right one");
    alice.press("Enter");
    alice.see("Username:");
    // An address that is too long shows its end, where the caret is.
    alice.type_in(&"x".repeat(50));
    alice.type_in("y");
    let shown = alice.see("xy");
    assert!(shown.row("xy").len() <= 40, "{shown}");
}
