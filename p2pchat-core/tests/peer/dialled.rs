//! Whether others can dial a peer, and what it knows of its way to the registry.

use p2pchat_core::peer::{Config, LinkState, RequestId};
use p2pchat_proto::{Capability, Dialect, PeerPort};

use crate::{
    keys::config,
    lines::{both, chatting},
    solo::{SECOND, Solo, digest, user},
    world::World,
};

const CUT: &str = "no way to bob: they are to dial";

/// Somewhere else than where alice can be reached.
const WRONG_PORT: u32 = 9_999;

fn dialled_by(w: &World, node: usize) -> Option<String> {
    let status = w.nodes[node].solo.peer.status(w.now);
    status.dialled_by.map(|(user, addr, _)| format!("{user} from {}", addr.ip()))
}

#[test]
fn who_is_asked_dials_the_published_address_and_the_chat_goes_on() {
    let mut w = chatting();
    assert_eq!(dialled_by(&w, 0), None);
    w.nodes[0].solo.peer.be_dialled(w.now, user("bob"));
    w.send(0, "bob", "are you coming?");
    w.wait(SECOND * 4);
    assert_eq!(w.nodes[0].solo.peer.status(w.now).chats, [user("bob")], "also while it has no stream");
    assert_eq!(w.told(0), [CUT], "nobody is dialled from here meanwhile");
    w.wait(SECOND * 2);
    let told = w.told(0);
    for line in ["ok Done", "chat with bob goes on"] {
        assert!(told.iter().any(|told| told == line), "{told:?}");
    }
    assert!(w.told(1).contains(&"alice: are you coming?".to_owned()));
    assert_eq!(dialled_by(&w, 0).as_deref(), Some("bob from 192.0.2.2"));
    assert_eq!(w.nodes[0].solo.peer.status(w.now).accepted, 1);
    // It is known from then on.
    w.nodes[0].solo.peer.be_dialled(w.now, user("bob"));
    assert_eq!(w.told(0), ["ok Done"]);
}

#[test]
fn who_can_not_be_dialled_is_told_so_and_the_chat_goes_on_all_the_same() {
    let mut w = World::with(&["alice", "bob"], &config());
    w.nodes[0].solo.peer.logout(w.now);
    w.run();
    let port = PeerPort::new(WRONG_PORT).unwrap();
    w.nodes[0].solo.peer.login(w.now, user("alice"), digest("secret"), Some(port));
    w.forget();
    w.open_chat();
    w.forget();
    w.nodes[0].solo.peer.be_dialled(w.now, user("bob"));
    w.wait(SECOND * 14);
    assert_eq!(w.told(0), [CUT]);
    w.wait(SECOND * 2);
    assert_eq!(w.told(0), ["failed: no answer came in time", "chat with bob goes on"]);
    assert_eq!(dialled_by(&w, 0), None);
}

#[test]
fn cannon_rule_1_nobody_has_others_dial_but_for_a_chat_and_where_the_registry_shows_them() {
    let mut w = both();
    w.nodes[0].solo.peer.be_dialled(w.now, user("bob"));
    w.wait(SECOND * 30);
    assert_eq!(w.told(0), ["failed: no chat is open with that user"]);
    assert!(w.told(1).is_empty());
    // Whoever asks without end has them dial once at a time.
    let mut w = chatting();
    for _ in 0..50 {
        w.nodes[0].solo.peer.be_dialled(w.now, user("bob"));
    }
    w.wait(SECOND * 20);
    let told = w.told(0);
    let refused = "failed: too much is waiting: at most 1 requests to be dialled by somebody";
    assert_eq!(told.iter().filter(|line| *line == refused).count(), 49, "{told:?}");
    assert_eq!(told.iter().filter(|line| *line == "ok Done").count(), 1);
    let streams = w.nodes[1].streams();
    assert_eq!(streams, 1);
}

#[test]
fn whatever_ends_the_chat_ends_the_question_too() {
    type End = fn(&mut World) -> RequestId;
    let ends: [(End, &str); 3] = [
        (|w| w.nodes[0].solo.peer.hang_up(w.now, user("bob")), "failed: no chat is open with that user"),
        (|w| w.nodes[0].solo.peer.logout(w.now), "failed: not logged in"),
        (|w| w.nodes[0].solo.peer.shutdown(w.now), "failed: closed"),
    ];
    for (end, told) in ends {
        let mut w = chatting();
        w.nodes[0].solo.peer.be_dialled(w.now, user("bob"));
        w.run();
        end(&mut w);
        w.wait(SECOND * 40);
        let log = w.told(0);
        assert!(log.iter().any(|line| line == told), "{told}: {log:?}");
        assert!(w.nodes[0].ended.values().all(|&times| times == 1));
    }
}

#[test]
fn in_the_clear_nobody_looks_for_a_stream_that_is_lost() {
    let mut w = World::new(&["alice", "bob"]);
    w.open_chat();
    w.forget();
    w.nodes[0].solo.peer.be_dialled(w.now, user("bob"));
    let told = w.told(0);
    assert!(told[0].contains("have them ask for the chat"), "{told:?}");
}

#[test]
fn the_link_and_the_keep_alives_can_be_looked_at() {
    let interval = Config::default().keep_alive_interval;
    let mut s = Solo::new();
    assert_eq!(s.peer.status(s.now).link, LinkState::Down);
    s.log_in();
    assert_eq!(s.peer.status(s.now).link, LinkState::Connecting);
    s.welcome(" <1> <reason,sender>");
    let status = s.peer.status(s.now);
    assert_eq!((status.link, status.dialect), (LinkState::Up, Some(Dialect::Canonical)));
    assert!(status.capabilities.has(Capability::Sender) && !status.capabilities.has(Capability::Keys));
    assert_eq!((status.heard, status.round_trip, status.unanswered), (None, None, 1));

    s.now = s.now + SECOND / 4;
    s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    s.now = s.now + SECOND / 2;
    let status = s.peer.status(s.now);
    assert_eq!((status.heard, status.round_trip, status.unanswered), (Some(SECOND / 2), Some(SECOND / 4), 0));
    s.pass(interval * 2);
    assert_eq!(s.peer.status(s.now).unanswered, 2);
    s.peer.handle_registry_closed(s.now, "reset".to_owned());
    assert_eq!(s.peer.status(s.now).link, LinkState::Waiting);
    // What an earlier stream's were is of no interest on the next.
    s.pass(SECOND * 2);
    s.welcome(" <1> <reason,sender>");
    let status = s.peer.status(s.now);
    assert_eq!((status.heard, status.unanswered), (None, 1));
}
