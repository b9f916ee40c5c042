//! Streams and words that take longer than what came after them (§7.14).

use crate::{
    keys::{self, bob, key},
    solo::{Solo, room, text},
};

/// alice, whichever this is, has said something in the den, and is dialling bob.
fn dialling(mut s: Solo) -> Solo {
    s.peer.broadcast(s.now, room("den"), text("hi"));
    s.registry(&bob(Some(key('b'))));
    s.did();
    s
}

#[test]
fn links_a_broadcast_that_waits_for_a_dial_ends_with_the_session() {
    // Where messages have no numbers.
    let mut s = keys::alice();
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice", "bob"]);
    let mut s = dialling(s);
    keys::comes(&mut s, key('b'));
    s.registry(&bob(Some(key('b'))));
    s.peer.logout(s.now);
    let did = s.did();
    let ended: Vec<_> = did.iter().filter(|line| line.starts_with("ok Broadcast")).collect();
    assert_eq!(ended.len(), 1, "{did:?}");
    assert!(ended[0].contains("NotLoggedIn"), "{did:?}");
}
