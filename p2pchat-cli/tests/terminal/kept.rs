//! What outlasts the program: what waits to be sent, what was begun, what was said.

use super::{Daemon, Desk, Home, WIDE, log_in, open_chat, pane::SHELL, somebody};

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
