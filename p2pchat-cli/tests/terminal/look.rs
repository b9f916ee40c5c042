//! What is shown when it is asked for, and without colours.

use super::{Daemon, Desk, Home, WIDE, client::PASSWORD, log_in, open_chat, somebody};

#[test]
fn keys_and_commands_are_told() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let hers = Home::new(&daemon);
    let alice = somebody(&desk, &hers, "alice", (110, 45));
    for how in ["?", "F1"] {
        alice.press(how);
        for told in ["┌ Keys ", "alt-y", "ctrl-n, alt-down", "complete a command"] {
            alice.see(told);
        }
        alice.press("Escape");
        alice.see_gone("┌ Keys ");
    }
    alice.enter("/help");
    alice.see("┌ Commands ");
    let mut seen = String::new();
    for page in 0..6 {
        seen += &alice.still().to_string();
        alice.press(if page == 0 { "Home" } else { "PageDown" });
    }
    for command in ["/chat", "/join", "/search", "/quit", "/verify"] {
        assert!(seen.contains(command), "{command} is missing in\n{seen}");
    }
    alice.press("q");
    alice.see_gone("┌ Commands ");
    // With something typed it is a letter like others.
    alice.type_in("what?");
    alice.until("it is typed", |screen| screen.rows.last().is_some_and(|row| row == "> what?"));
}

#[test]
fn without_colours_there_are_none() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    hers.register("alice");
    let alice = desk.open_with(&hers, "alice", WIDE, &[("NO_COLOR", "1"), ("P2PCHAT_PASSWORD", PASSWORD)]);
    log_in(&alice, "alice");
    let bob = somebody(&desk, &his, "bob", WIDE);
    open_chat(&alice, &bob);
    for (from, to) in [(&alice, &bob), (&bob, &alice)] {
        let text = format!("{} says https://example.org *loudly*", from.name());
        from.enter(&text);
        to.see("says https://example.org");
    }
    alice.enter("/nonsense");
    alice.still();
    // Bob's has them, so they would be seen.
    assert!(bob.colours() > 0, "{}", bob.screen());
    assert_eq!(alice.colours(), 0, "{}", alice.screen());
    // The bars are still to be told from the rest.
    assert!(alice.painted().contains("\x1b[7m"), "{:?}", alice.painted());
}
