//! What is said unasked (PROTOCOL.md §5.4, §7.3).

use crate::{DIGEST, daemon::Daemon, wire::Wire};

#[test]
fn a_logout_is_told_once_to_everybody_who_shares_a_room() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    let mut bob = Wire::online(&daemon, "bob");
    let mut stranger = Wire::online(&daemon, "stranger");
    for room in ["one", "two"] {
        alice.create(room, 5);
        bob.join(room);
    }
    stranger.create("three", 5);
    alice.say("LOGOUT");
    alice.expect_end();
    assert_eq!(bob.hear(), "USER_LOGOUT <alice>");
    bob.expect_nothing_unasked();
    stranger.expect_nothing_unasked();
}

#[test]
fn a_broken_stream_is_told_like_a_logout() {
    let daemon = Daemon::start();
    let mut bob = Wire::online(&daemon, "bob");
    bob.create("den", 5);
    let mut alice = Wire::online(&daemon, "alice");
    alice.join("den");
    drop(alice);
    assert_eq!(bob.hear(), "USER_LOGOUT <alice>");
}

#[test]
fn a_roster_follows_who_comes_and_leaves() {
    let daemon = Daemon::start();
    let mut watcher = Wire::online_with(&daemon, "watcher", "roster");
    let mut plain = Wire::online(&daemon, "plain");
    watcher.create("den", 5);
    plain.join("den");
    assert_eq!(watcher.hear(), "USER_JOINED <den> <plain>");

    let mut alice = Wire::online_with(&daemon, "alice", "roster");
    alice.join("den");
    assert_eq!(watcher.hear(), "USER_JOINED <den> <alice>");
    alice.say("LOGOUT");
    alice.expect_end();
    assert_eq!(watcher.hear(), "USER_LOGOUT <alice>");
    assert_eq!(plain.hear(), "USER_LOGOUT <alice>");

    // Back again: the room is told, and who comes back learns the room.
    let mut alice = Wire::extended(&daemon, "roster");
    assert_eq!(alice.ask(&format!("LOGIN <alice> <{DIGEST}>")), "AUTH <SUCCESS> <200>");
    assert_eq!(alice.hear(), "USER_JOINED <den> <alice>");
    assert_eq!(watcher.hear(), "USER_JOINED <den> <alice>");
    assert_eq!(alice.ask("ROOM_EXIT <alice> <den>"), "ROOM_EXIT_RESPONSE <SUCCESS> <200>");
    assert_eq!(watcher.hear(), "USER_LEFT <den> <alice>");

    alice.expect_nothing_unasked();
    watcher.expect_nothing_unasked();
    // Who has not agreed on rosters hears nothing of them.
    plain.expect_nothing_unasked();
}
