//! The registry goes away, and comes back.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Daemon, Desk, Home, WIDE, open_chat, somebody};

/// How long it has to be gone for a mark in rooms.
const GAP: Duration = Duration::from_secs(5);

#[test]
fn a_registry_that_is_gone_is_said_and_nothing_stops() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    alice.enter("/create den");
    alice.see("#den  1 online");
    bob.enter("/join den");
    alice.see("#den  2 online");
    open_chat(&alice, &bob);

    let setup = daemon.end();
    let gone = Instant::now();
    for pane in [&alice, &bob] {
        pane.see("no registry since");
    }
    // What goes from peer to peer still does.
    alice.enter("can you hear me?");
    bob.see("  alice: can you hear me?");
    bob.enter("as ever");
    alice.see("  bob: as ever");
    alice.see("✓ alice: can you hear me?");
    // What doesn't says why.
    alice.enter("/who");
    alice.see("/who: not connected to the registry");
    thread::sleep((GAP + Duration::from_secs(1)).saturating_sub(gone.elapsed()));

    let _daemon = setup.start();
    for (pane, name) in [(&alice, "alice"), (&bob, "bob")] {
        pane.see(&format!("● {name} online"));
    }
    alice.enter("/switch #den");
    alice.see(": who came and went meanwhile");
    let back = alice.see("#den  2 online");
    assert!(back.has("● bob"), "{back}");
    alice.enter("back again");
    alice.see("✓ alice: back again");
    bob.enter("/switch #den");
    bob.see("  alice: back again");
}
