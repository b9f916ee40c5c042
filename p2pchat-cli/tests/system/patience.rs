//! Output that nobody reads, and signals while nothing but a question is on the screen.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{PATIENCE, client::Home, daemon::Daemon};

/// The lease that the client asks for.
const LEASE: Duration = Duration::from_secs(10);

#[test]
fn whoever_does_not_read_what_is_printed_stays_online() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let mut alice = home.prompt("alice");
    alice.type_line("/create hall");
    alice.out.expect("opened #hall");
    home.register("bob");
    let mut bob = home.start_unread(&["--user", "bob", "listen", "--json", "--room", "hall"]);
    alice.out.expect("bob is in #hall");
    // Far more than a pipe holds.
    for _ in 0..10 {
        alice.type_line(&"x".repeat(16_000));
    }
    alice.out.expect("not delivered to bob");
    thread::sleep(LEASE);
    home.register("carol");
    home.run(&["--user", "carol", "search", "bob"]).expect_code(0);
    bob.kill().unwrap();
    bob.wait().unwrap();
}

#[test]
fn a_signal_ends_the_client_at_any_question() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    for signal in ["TERM", "INT", "HUP"] {
        let user = format!("user-{signal}");
        // Logged in and out, it asks who comes next.
        let mut client = home.prompt(&user);
        client.type_line("/logout");
        until_offline(&home, &user);
        client.signal(signal);
        client.outcome().expect_code(0);

        let mut menu = home.start(&["--menu", "--user", &user]);
        menu.out.expect("Choose an option");
        menu.type_line("2");
        menu.out.expect("Peer port");
        menu.type_line("");
        menu.out.expect("Main Menu");
        menu.type_line("4");
        menu.out.expect("Welcome");
        menu.signal(signal);
        menu.outcome().expect_code(0);
    }
}

fn until_offline(home: &Home, user: &str) {
    let deadline = Instant::now() + PATIENCE;
    let watcher = format!("watcher-of-{user}");
    home.register(&watcher);
    while home.run(&["--user", &watcher, "search", user]).code() != Some(5) {
        assert!(Instant::now() < deadline, "{user} is still online");
    }
}
