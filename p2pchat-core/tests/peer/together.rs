//! Peers and the real registry machine together: the whole protocol, without a socket.

use p2pchat_core::peer::Config;
use p2pchat_proto::{Capabilities, Capacity, Description, Detail};
use proptest::{collection::vec, prelude::*};

use crate::{
    solo::{SECOND, room, text, user},
    world::World,
};

fn lively() -> World {
    World::new(&["alice", "bob", "carol"])
}

impl World {
    pub(crate) fn create(&mut self, node: usize, name: &str) {
        self.create_for(node, name, 10);
    }

    fn create_for(&mut self, node: usize, name: &str, members: u32) {
        let (capacity, about) = (Capacity::new(members).unwrap(), Description::default());
        self.nodes[node].solo.peer.create(self.now, room(name), None, capacity, about);
        self.run();
    }

    pub(crate) fn join(&mut self, node: usize, name: &str) {
        self.nodes[node].solo.peer.join(self.now, room(name), None);
        self.run();
    }

    pub(crate) fn say(&mut self, node: usize, name: &str, words: &str) {
        self.nodes[node].solo.peer.broadcast(self.now, room(name), text(words));
        self.run();
    }

    pub(crate) fn send(&mut self, node: usize, to: &str, words: &str) {
        self.nodes[node].solo.peer.send(self.now, user(to), text(words));
        self.run();
    }

    /// alice and bob in a chat, all of them in the den.
    pub(crate) fn settled(capabilities: Capabilities) -> Self {
        let mut config = Config::default();
        config.capabilities = capabilities;
        let mut w = Self::with(&["alice", "bob", "carol"], &config);
        w.create(0, "den");
        w.join(1, "den");
        w.join(2, "den");
        w.nodes[0].solo.peer.chat(w.now, user("bob"));
        w.run();
        let request = w.nodes[1].solo.requests[0];
        w.nodes[1].solo.peer.accept(w.now, request);
        w.forget();
        w
    }
}

#[test]
fn two_chat() {
    let mut w = lively();
    w.forget();
    w.nodes[0].solo.peer.chat(w.now, user("bob"));
    assert_eq!(w.told(1), ["alice wants to chat"]);
    let request = w.nodes[1].solo.requests[0];
    w.nodes[1].solo.peer.accept(w.now, request);
    assert_eq!(w.told(1), ["chat with alice", "ok Done"]);
    assert_eq!(w.told(0), ["chat with bob", "ok Done"]);
    let odd = "<two>\nlines\\ and \u{1f43b} עברית\r\n";
    w.send(0, "bob", odd);
    assert_eq!(w.told(1), [format!("alice: {odd}")]);
    w.send(1, "alice", "");
    assert_eq!(w.told(0), ["ok Done", "bob: "]);
    w.nodes[1].solo.peer.hang_up(w.now, user("alice"));
    assert_eq!(w.told(0), ["no chat with bob: closed by the other side"]);
}

#[test]
fn a_room_talks() {
    let mut w = lively();
    w.forget();
    w.create(0, "den");
    w.join(1, "den");
    w.join(2, "den");
    assert_eq!(w.told(0), ["ok Done", "in den with [\"alice\"]", "bob is in den", "carol is in den"]);
    w.forget();
    w.say(1, "den", "hello");
    assert_eq!(w.told(0), ["[den] bob: hello"]);
    assert_eq!(w.told(2), ["[den] bob: hello"]);
    assert_eq!(
        w.told(1),
        ["ok Broadcast(BroadcastReport { delivered: [\"carol\", \"alice\"], failed: [] })"]
    );
    w.nodes[2].solo.peer.leave(w.now, room("den"));
    assert_eq!(w.told(0), ["carol left den"]);
    w.nodes[0].solo.peer.logout(w.now);
    assert_eq!(w.told(1), ["carol left den", "alice is offline in [\"den\"]"]);
}

/// More members than requests go to the registry at once.
#[test]
fn a_large_room_hears_everything() {
    let names: Vec<_> = (0..80).map(|n| format!("user{n}")).collect();
    let mut w = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    w.create_for(0, "hall", 100);
    for node in 1..80 {
        w.join(node, "hall");
    }
    w.forget();
    w.say(0, "hall", "welcome");
    for node in 1..80 {
        assert_eq!(w.told(node), ["[hall] user0: welcome"]);
    }
    assert!(w.told(0)[0].ends_with("failed: [] })"));
}

#[test]
fn the_base_protocol_alone_does_all_of_it_too() {
    let mut w = World::settled(Capabilities::NONE);
    w.send(0, "bob", "hi");
    w.send(1, "alice", "hello");
    assert_eq!(w.told(1), ["chat with alice", "alice: hi", "ok Done"], "named by the first message");
    w.told(0);
    w.say(2, "den", "good morning");
    assert_eq!(w.told(0).last().unwrap(), "[den] carol: good morning");
    assert_eq!(w.told(1).last().unwrap(), "[den] carol: good morning");
    w.nodes[0].solo.peer.peers(w.now, Detail::Partial);
    w.nodes[0].solo.peer.rooms(w.now, Detail::Detailed);
    assert_eq!(w.told(0)[0], "ok Names([\"bob\", \"carol\"])");
}

#[test]
fn one_dead_member_costs_the_others_nothing() {
    let mut w = World::settled(Capabilities::all());
    w.dead.insert(2);
    let before = w.now;
    w.say(1, "den", "hello");
    assert_eq!(w.told(0), ["[den] bob: hello"]);
    w.wait(SECOND * 30);
    assert_eq!(
        w.told(1)[0],
        "ok Broadcast(BroadcastReport { delivered: [\"alice\"], failed: [(\"carol\", \
         Unreachable(\"no connection in time\"))] })"
    );
    assert_eq!(w.now.since(before), SECOND * 30);
}

#[test]
fn sessions_are_kept_alive_for_as_long_as_the_peer_lives() {
    let mut w = lively();
    w.forget();
    w.wait(SECOND * 3_600);
    assert_eq!(w.told(0), [""; 0]);
    assert!(w.nodes.iter().all(|node| node.solo.peer.is_logged_in()));
}

#[test]
fn everybody_comes_back_when_the_registry_does() {
    let mut w = World::settled(Capabilities::all());
    w.kill_registry();
    w.wait(SECOND * 120);
    w.send(0, "bob", "still here");
    assert!(w.told(1).contains(&"alice: still here".to_owned()), "chats need no registry");
    w.restart_registry();
    w.wait(SECOND * 61);
    for node in 0..3 {
        let told = w.told(node);
        assert_eq!(told.iter().filter(|line| *line == "reconnected").count(), 1, "{told:?}");
        assert!(w.nodes[node].solo.peer.is_logged_in());
    }
    w.say(2, "den", "and on we go");
    assert_eq!(w.told(0), ["[den] carol: and on we go"]);
    assert_eq!(w.told(1), ["[den] carol: and on we go"]);
}

#[test]
fn a_cut_link_comes_back_into_its_rooms() {
    let mut w = World::settled(Capabilities::all());
    w.cut_link(0);
    w.wait(SECOND);
    assert_eq!(w.told(1), [""; 0], "she comes back by her token");
    assert_eq!(w.told(0), ["lost: cut", "reconnected"]);
}

#[test]
fn a_restarted_program_finds_itself_in_its_rooms() {
    let mut w = World::settled(Capabilities::all());
    w.restart_node(1);
    assert_eq!(w.told(0), ["no chat with bob: closed by the other side"]);
    w.wait(SECOND * 10);
    assert_eq!(w.told(0), ["bob is offline in [\"den\"]"], "nobody came by the token");
    w.login(1, "bob");
    assert_eq!(w.told(1), ["connected", "ok Done", "in den with [\"alice\", \"bob\", \"carol\"]"]);
    w.say(1, "den", "back again");
    assert_eq!(w.told(0), ["bob is in den", "[den] bob: back again"]);
}

#[test]
fn two_programs_of_one_user_don_t_throw_each_other_out_for_ever() {
    let mut w = World::new(&["alice", "bob"]);
    w.nodes[1].solo.peer.logout(w.now);
    w.login(1, "alice");
    assert_eq!(w.told(1).last().unwrap(), "failed: already logged in elsewhere");
    w.forget();
    // The first one's keep-alives no longer arrive: it may be taken over.
    w.dead.insert(0);
    w.wait(SECOND * 5);
    w.login(1, "alice");
    assert_eq!(w.told(1), ["ok Done"]);
    w.dead.clear();
    w.wait(SECOND * 600);
    assert_eq!(w.told(0), ["logged out: you are logged in elsewhere, and the session goes on there"]);
    assert_eq!(w.told(1), [""; 0]);
    assert!(w.nodes[1].solo.peer.is_logged_in());
}

/// What may happen in a world of three.
fn happen(w: &mut World, (what, node, other): (u8, usize, usize)) {
    const NAMES: [&str; 3] = ["alice", "bob", "carol"];
    let now = w.now;
    let to = NAMES[other];
    let peer = &mut w.nodes[node].solo.peer;
    let _ = match what {
        0 => Some(peer.chat(now, user(to))),
        1 => Some(peer.send(now, user(to), text("hi"))),
        2 => Some(peer.broadcast(now, room("den"), text("hi"))),
        3 => Some(peer.join(now, room("den"), None)),
        4 => Some(peer.leave(now, room("den"))),
        5 => Some(peer.members(now, room("den"))),
        6 => Some(peer.hang_up(now, user(to))),
        7 => Some(peer.logout(now)),
        8 => Some(peer.search(now, user(to))),
        9 => Some(peer.connect(now)),
        10 => {
            w.nodes[node].solo.requests.last().copied().map(|last| w.nodes[node].solo.peer.accept(now, last))
        }
        11 => w.nodes[node]
            .solo
            .requests
            .last()
            .copied()
            .map(|last| w.nodes[node].solo.peer.reject(now, last, None)),
        _ => None,
    };
    match what {
        12 => w.login(node, NAMES[node]),
        13 => w.cut_link(node),
        14 => w.cut_streams(node),
        15 => w.kill_registry(),
        16 => w.restart_registry(),
        17 => w.wait(SECOND * 3),
        18 if !w.dead.remove(&node) => drop(w.dead.insert(node)),
        _ => {}
    }
    if what % 2 == 0 {
        w.run();
    }
}

proptest! {
    /// Whatever breaks, every command ends, once, and by itself.
    #[test]
    fn every_command_ends(steps in vec((0_u8..19, 0_usize..3, 0_usize..3), 1..60)) {
        let mut w = World::settled(Capabilities::all());
        for step in steps {
            happen(&mut w, step);
        }
        w.wait(SECOND * 600);
        for node in 0..3 {
            w.nodes[node].solo.peer.shutdown(w.now);
            let before = w.nodes[node].ended.len();
            w.run();
            let ended = &w.nodes[node].ended;
            prop_assert!(ended.values().all(|times| *times == 1));
            prop_assert_eq!(ended.len(), before + 1, "only the shutdown itself was still to end");
        }
    }
}
