//! A room with people in it.

use super::{Daemon, Desk, Home, WIDE, somebody};

#[test]
fn a_room_shows_who_is_there_and_who_was_meant() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    alice.enter("/create den");
    alice.see("#den  1 online");
    bob.enter("/join den");
    bob.see("#den  2 online");
    let both = alice.see("#den  2 online");
    assert!(both.row("● alice").ends_with("● alice") && both.row("● bob").ends_with("● bob"), "{both}");
    alice.enter("hello all");
    alice.see("✓ alice: hello all");
    bob.see("  alice: hello all");

    // Elsewhere he sees that something was said, and that it was to him.
    bob.press("C-p");
    bob.see("notes of the program");
    alice.enter("one more");
    let unread = bob.see("● bob online  1 unread");
    assert!(unread.row("#den").ends_with(" 1"), "{unread}");
    alice.enter("bob: tea?");
    let meant = bob.see("2 unread, 1 for you");
    assert!(meant.row("#den").contains("@1"), "{meant}");
    bob.press("M-a");
    let read = bob.see("── new ──");
    let at = |what: &str| read.rows.iter().position(|row| row.contains(what)).unwrap();
    assert!(at("hello all") < at("── new ──") && at("── new ──") < at("one more"), "{read}");
    assert!(!read.has("@1"), "{read}");

    // Who has it, and who is gone.
    let carol = his.listener("carol", &["--room", "den"]);
    alice.see("● carol");
    bob.enter("/leave");
    alice.see("bob left #den");
    alice.see_gone("● bob");
    drop(carol);
    let gone = alice.see("○ carol");
    assert!(gone.has("#den  1 online"), "{gone}");
    alice.press("M-m");
    alice.see_gone("○ carol");
}
