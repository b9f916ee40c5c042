//! The registry or somebody goes away, and comes back.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Daemon, Desk, Home, WIDE, log_in, log_in_known, open_chat, signal, somebody};

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

#[test]
fn what_is_said_to_somebody_whose_program_died_gets_there_in_the_end() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    his.register("bob");
    let bob = desk.open(&his, "bob", WIDE);
    let process = log_in_known(&bob, "bob");
    open_chat(&alice, &bob);
    alice.enter("one");
    bob.see("  alice: one");
    signal("KILL", &process);
    alice.see("trying again");
    alice.enter("two");
    alice.see("1 message waits");
    // The terminal that he was killed on is of no use any more.
    let bob = desk.open(&his, "bob-again", WIDE);
    log_in(&bob, "bob");
    // She was accepted once, and isn't asked about again.
    bob.enter("/switch alice");
    bob.see("  alice: two");
    alice.see("✓ alice: two");
    alice.see(" bob  direct, encrypted");
    let all = bob.still();
    assert_eq!((all.count("alice: one"), all.count("alice: two")), (1, 1), "{all}");
}
