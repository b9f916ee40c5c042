//! Chats at a registry that hides addresses (PROTOCOL.md §7.10): what users do is the same.

use p2pchat_core::{
    peer::{Config, Rate},
    registry::{self, Addresses},
};
use p2pchat_proto::{Capabilities, Capacity, Description, Dialect};

use crate::{
    solo::{SECOND, Solo, room, text, user},
    world::World,
};

fn hiding(names: &[&str], config: &Config) -> World {
    let mut settings = registry::Config::default();
    settings.addresses = Addresses::Contacts;
    let mut w = World::of(names, config, settings);
    w.forget();
    w
}

fn two() -> World {
    hiding(&["alice", "bob"], &Config::default())
}

fn chat(w: &mut World, from: usize, to: &str) {
    w.nodes[from].solo.peer.chat(w.now, user(to));
    w.run();
}

fn accept(w: &mut World, node: usize) {
    let request = *w.nodes[node].solo.requests.last().unwrap();
    w.nodes[node].solo.peer.accept(w.now, request);
    w.run();
}

#[test]
fn a_chat_with_somebody_hidden_is_asked_for_once_and_opens_when_they_accept() {
    let mut w = two();
    chat(&mut w, 0, "bob");
    assert_eq!(w.told(1), ["alice wants to chat"]);
    assert!(w.told(0).is_empty());
    accept(&mut w, 1);
    let mut told = w.told(1);
    told.sort();
    assert_eq!(told, ["chat with alice", "ok Done"]);
    assert_eq!(w.told(0), ["chat with bob", "ok Done"]);
    w.nodes[0].solo.peer.send(w.now, user("bob"), text("hello"));
    assert_eq!(w.told(1), ["alice: hello"]);
    w.nodes[1].solo.peer.send(w.now, user("alice"), text("hello alice"));
    assert_eq!(w.told(0), ["ok Done", "bob: hello alice"]);
    // They see each other now: the next chat is asked for over a stream of their own.
    w.nodes[0].solo.peer.hang_up(w.now, user("bob"));
    w.forget();
    chat(&mut w, 1, "alice");
    assert_eq!(w.told(0), ["bob wants to chat"]);
    accept(&mut w, 0);
    assert_eq!(w.told(0), ["chat with bob", "ok Done"]);
}

#[test]
fn who_declines_is_not_seen_and_the_asker_is_told() {
    let mut w = two();
    chat(&mut w, 0, "bob");
    w.told(1);
    let request = w.nodes[1].solo.requests[0];
    w.nodes[1].solo.peer.reject(w.now, request, None);
    assert_eq!(w.told(1), ["ok Done"]);
    assert_eq!(w.told(0), ["failed: the request was declined"]);
    w.nodes[0].solo.peer.search(w.now, user("bob"));
    let told = w.told(0);
    assert!(told[0].contains("port: 0, ip: 0.0.0.0"), "{told:?}");
    // It can't be answered twice.
    w.nodes[1].solo.peer.accept(w.now, request);
    assert_eq!(w.told(1), ["failed: there is no such chat request"]);
}

#[test]
fn who_hangs_up_or_waits_too_long_takes_the_request_back() {
    let mut w = two();
    chat(&mut w, 0, "bob");
    w.told(1);
    w.nodes[0].solo.peer.hang_up(w.now, user("bob"));
    assert_eq!(w.told(0), ["failed: that user can't be reached: hung up", "ok Done"]);
    assert_eq!(w.told(1), ["no chat with alice: withdrawn"]);

    chat(&mut w, 0, "bob");
    assert_eq!(w.told(1), ["alice wants to chat"]);
    w.wait(SECOND * 119);
    assert!(w.told(0).is_empty() && w.told(1).is_empty());
    w.wait(SECOND * 2);
    assert_eq!(w.told(0), ["failed: no answer came in time"]);
    let told = w.told(1);
    assert!(told.len() == 1 && told[0].starts_with("no chat with alice: "), "{told:?}");
}

#[test]
fn two_who_ask_each_other_need_not_answer() {
    let mut w = two();
    chat(&mut w, 0, "bob");
    w.told(1);
    chat(&mut w, 1, "alice");
    for node in 0..2 {
        let other = if node == 0 { "bob" } else { "alice" };
        let told = w.told(node);
        let opened = told.iter().filter(|line| **line == format!("chat with {other}")).count();
        let done = told.iter().filter(|line| *line == "ok Done").count();
        assert_eq!((opened, done), (1, 1), "{told:?}");
    }
    w.nodes[0].solo.peer.send(w.now, user("bob"), text("hello"));
    assert_eq!(w.told(1), ["alice: hello"]);
}

#[test]
fn members_of_a_room_see_each_other_and_need_no_leave() {
    let mut w = two();
    let capacity = Capacity::new(9).unwrap();
    w.nodes[0].solo.peer.create(w.now, room("den"), None, capacity, Description::default());
    w.run();
    w.nodes[1].solo.peer.join(w.now, room("den"), None);
    w.run();
    w.forget();
    w.nodes[0].solo.peer.broadcast(w.now, room("den"), text("hello"));
    assert_eq!(w.told(1), ["[den] alice: hello"]);
}

#[test]
fn who_can_not_be_asked_is_said_to_be_hidden() {
    let mut old = Config::default();
    old.capabilities = Capabilities::parse("reason,roster,sender");
    let mut w = hiding(&["alice", "bob"], &old);
    chat(&mut w, 0, "bob");
    let hidden =
        "failed: that user can't be reached: their address is hidden, and their program can't be asked";
    assert_eq!(w.told(0), [hidden]);
    assert!(w.told(1).is_empty());
}

#[test]
fn a_name_alone_is_not_taken_for_who_was_let_come() {
    let mut s = Solo::alice_with(Config::default(), " <1> <reason,sender,contact>");
    s.registry("CONTACT_REQUEST <bob>");
    assert_eq!(s.did(), ["bob wants to chat"]);
    let request = s.requests[0];
    s.peer.accept(s.now, request);
    assert_eq!(s.did(), ["> CONTACT_RESPONSE <ACCEPT> <200> <bob>", "> SEARCH_USER <bob>"]);
    s.registry("CONTACT <SUCCESS> <200>");
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.7> <sender>");
    assert_eq!(s.did(), ["ok Done"]);
    let stranger = s.accept_from([192, 0, 2, 66]);
    assert_eq!(s.peer(stranger, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat"], "the user decides");
    let bob = s.accept_from([192, 0, 2, 7]);
    let did = s.peer(bob, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["s1 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>", "chat with bob"]);
    // Once.
    let again = s.accept_from([192, 0, 2, 7]);
    assert_eq!(s.peer(again, "CHAT_REQUEST <alice> <carol>"), ["carol wants to chat"]);
}

/// bob has asked for contact and alice has said yes; the registry hasn't told yet where he is.
fn alice_lets_bob_come() -> Solo {
    let mut s = Solo::alice_with(Config::default(), " <1> <reason,sender,contact>");
    s.registry("CONTACT_REQUEST <bob>");
    s.did();
    s.peer.accept(s.now, s.requests[0]);
    s.registry("CONTACT <SUCCESS> <200>");
    s.did();
    s
}

#[test]
fn who_comes_before_the_registry_has_said_from_where_is_let_in_then() {
    let mut s = alice_lets_bob_come();
    let bob = s.accept_from([192, 0, 2, 7]);
    assert_eq!(s.peer(bob, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat"]);
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.7> <sender>");
    assert_eq!(s.did(), ["s0 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>", "chat with bob"]);
}

#[test]
fn what_the_registry_refuses_or_loses_ends_the_wish() {
    let ask = |s: &mut Solo| {
        s.peer.chat(s.now, user("bob"));
        s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <0> <0.0.0.0> <sender,contact>");
        assert_eq!(s.did(), ["> SEARCH_USER <bob>", "> CONTACT_REQUEST <bob>"]);
    };
    let mut s = Solo::alice_with(Config::default(), " <1> <reason,sender,contact>");
    ask(&mut s);
    s.registry("CONTACT <FAILURE> <404> <you have asked too many people>");
    assert_eq!(s.did(), ["failed: you have asked too many people"]);
    ask(&mut s);
    s.registry("CONTACT <SUCCESS> <200>");
    s.registry("CONTACT_REQUEST <carol>");
    s.did();
    s.peer.handle_registry_closed(s.now, "reset".to_owned());
    let did = s.did();
    for line in ["failed: the registry went away before it answered", "no chat with carol: reset"] {
        assert!(did.iter().any(|did| did == line), "{line} in {did:?}");
    }
    // Nothing is left that could be answered.
    s.peer.accept(s.now, s.requests[0]);
    assert_eq!(s.did(), ["failed: there is no such chat request"]);
}

#[test]
fn no_more_wishes_wait_than_allowed_whichever_way_they_come() {
    let mut config = Config::default();
    config.chat_requests = 2;
    let mut s = Solo::alice_with(config, " <1> <reason,sender,contact>");
    s.registry("CONTACT_REQUEST <bob>");
    s.registry("CONTACT_REQUEST <bob>");
    s.registry("CONTACT_REQUEST <alice>");
    let stream = s.accept();
    s.hear(stream, "CHAT_REQUEST <alice> <carol>");
    s.registry("CONTACT_REQUEST <dave>");
    assert_eq!(
        s.did(),
        ["bob wants to chat", "carol wants to chat", "> CONTACT_RESPONSE <REJECT> <404> <dave>"]
    );
    let stream = s.accept();
    let did = s.peer(stream, "CHAT_REQUEST <alice> <erin>");
    assert_eq!(did, ["s1 CHAT_REQUEST_RESPONSE <REJECT> <404> <alice> <too many chat requests are waiting>"]);
}

#[test]
fn who_wants_contact_too_often_is_declined_and_the_user_is_told_once() {
    let mut config = Config::default();
    config.budget.requests = Rate::new(3, SECOND * 60);
    let mut s = Solo::alice_with(config, " <1> <reason,sender,contact>");
    // Taking a wish back doesn't make room for another.
    let wish = |s: &mut Solo, from: &str| {
        s.registry(&format!("CONTACT_REQUEST <{from}>"));
        s.registry(&format!("CONTACT_RESPONSE <REJECT> <404> <{from}>"));
        answer_all(s)
    };
    for _ in 0..3 {
        wish(&mut s, "bob");
    }
    assert_eq!(s.requests.len(), 3);
    s.registry("CONTACT_REQUEST <bob>");
    let declined = "> CONTACT_RESPONSE <REJECT> <404> <bob>";
    let told = "fault of bob: asks for chats, or offers files, too often: what more comes is declined";
    assert_eq!(s.did(), [told, declined]);
    s.registry("CONTACT <SUCCESS> <200>");
    for _ in 0..100 {
        s.registry("CONTACT_REQUEST <bob>");
        assert_eq!(s.did(), [declined]);
        s.registry("CONTACT <SUCCESS> <200>");
    }
    wish(&mut s, "carol");
    assert_eq!(s.requests.len(), 4, "nobody else notices");
    s.wait(SECOND * 20);
    wish(&mut s, "bob");
    assert_eq!(s.requests.len(), 5);
}

/// Answers what is asked until nothing more comes; all that was asked.
fn answer_all(s: &mut Solo) -> Vec<String> {
    let mut asked = Vec::new();
    loop {
        let did = s.did();
        let more: Vec<_> = did.into_iter().filter(|line| line.starts_with("> ")).collect();
        if more.is_empty() {
            return asked;
        }
        for line in &more {
            s.registry(match line.starts_with("> SEARCH_USER") {
                true => "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.7> <sender>",
                false => "CONTACT <SUCCESS> <200>",
            });
        }
        asked.extend(more);
    }
}

#[test]
fn what_a_registry_pushes_does_not_fill_the_queue_with_answers() {
    let mut config = Config::default();
    (config.chat_requests, config.requests, config.pipeline) = (1, 3, 2);
    let mut s = Solo::alice_with(config, " <1> <reason,sender,contact>");
    s.registry("CONTACT_REQUEST <bob>");
    s.did();
    for n in 0..1_000 {
        s.registry(&format!("CONTACT_REQUEST <user{n}>"));
    }
    let refused: Vec<_> =
        (0..2 + 3).map(|n| format!("> CONTACT_RESPONSE <REJECT> <404> <user{n}>")).collect();
    assert_eq!(answer_all(&mut s), refused, "on their way or queued; the others ask again");
    s.registry("CONTACT_REQUEST <late>");
    assert_eq!(answer_all(&mut s), ["> CONTACT_RESPONSE <REJECT> <404> <late>"]);

    s.peer.accept(s.now, s.requests[0]);
    let accept = ["> CONTACT_RESPONSE <ACCEPT> <200> <bob>", "> SEARCH_USER <bob>"];
    assert_eq!(answer_all(&mut s), accept);
    for _ in 0..1_000 {
        s.registry("CONTACT_REQUEST <bob>");
    }
    assert_eq!(answer_all(&mut s), accept.repeat(3));
}

#[test]
fn who_was_accepted_and_starts_anew_is_accepted_again_without_the_user() {
    let mut s = Solo::alice_with(Config::default(), " <1> <reason,sender,contact>");
    let accept = ["> CONTACT_RESPONSE <ACCEPT> <200> <bob>", "> SEARCH_USER <bob>"];
    let found = |s: &mut Solo, ip: &str| {
        s.registry("CONTACT <SUCCESS> <200>");
        s.registry(&format!("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <{ip}> <sender>"));
    };
    s.registry("CONTACT_REQUEST <bob>");
    s.did();
    s.peer.accept(s.now, s.requests[0]);
    found(&mut s, "192.0.2.7");
    s.did();
    s.wait(SECOND * 60);
    // His program crashed, and is somewhere else now.
    s.registry("CONTACT_REQUEST <bob>");
    assert_eq!(s.did(), accept);
    found(&mut s, "192.0.2.8");
    assert!(s.did().is_empty(), "the application asked for none of it");
    let bob = s.accept_from([192, 0, 2, 8]);
    let did = s.peer(bob, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["s0 CHAT_REQUEST_RESPONSE <ACCEPT> <200> <alice>", "chat with bob"]);

    // That doesn't make the consent last longer, and who is gone again is not expected.
    for gone in [false, true] {
        s.registry("CONTACT_REQUEST <carol>");
        s.did();
        s.peer.accept(s.now, *s.requests.last().unwrap());
        found(&mut s, "192.0.2.9");
        s.wait(SECOND * 60);
        s.registry("CONTACT_REQUEST <carol>");
        s.did();
        match gone {
            true => {
                s.registry("CONTACT <FAILURE> <404>");
                s.registry("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
            }
            false => {
                found(&mut s, "192.0.2.9");
                s.wait(SECOND * 61);
            }
        }
        s.registry("CONTACT_REQUEST <carol>");
        assert_eq!(s.did(), ["carol wants to chat"], "gone: {gone}");
        s.peer.reject(s.now, *s.requests.last().unwrap(), None);
        s.registry("CONTACT <SUCCESS> <200>");
        s.did();
    }
}

#[test]
fn a_wish_for_contact_before_the_login_is_passed_over() {
    let mut s = Solo::new();
    s.log_in();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry("HELLO_BACK <SUCCESS> <200> <1> <contact>");
    s.did();
    s.registry("CONTACT_REQUEST <bob>");
    assert!(s.did().is_empty());
    s.registry("AUTH <SUCCESS> <200>");
    s.did();
    s.registry("CONTACT_REQUEST <bob>");
    assert_eq!(s.did(), ["bob wants to chat"]);
}

#[test]
fn only_who_can_be_asked_is_asked_and_only_at_a_registry_that_passes_it_on() {
    let hidden =
        "failed: that user can't be reached: their address is hidden, and their program can't be asked";
    for (agreed, theirs) in [("reason,sender", "sender,contact"), ("reason,sender,contact", "sender")] {
        let mut s = Solo::alice_with(Config::default(), &format!(" <1> <{agreed}>"));
        s.peer.chat(s.now, user("bob"));
        s.registry(&format!("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <0> <0.0.0.0> <{theirs}>"));
        assert_eq!(s.did(), ["> SEARCH_USER <bob>", hidden], "{agreed} {theirs}");
    }
}

#[test]
fn what_is_pushed_of_contacts_without_the_capability_is_no_wish() {
    for line in ["CONTACT_REQUEST <bob>", "CONTACT_RESPONSE <ACCEPT> <200> <bob>"] {
        let mut s = Solo::alice();
        s.registry(line);
        let did = s.did();
        assert!(did.iter().any(|line| line.starts_with("fault of registry: ")), "{did:?}");
        assert!(!did.iter().any(|line| line.contains("bob wants")), "{did:?}");
        assert!(s.requests.is_empty());
    }
}

#[test]
fn a_wish_is_withdrawn_by_a_refusal_alone() {
    let mut s = Solo::alice_with(Config::default(), " <1> <reason,sender,contact>");
    s.registry("CONTACT_REQUEST <bob>");
    s.did();
    s.registry("CONTACT_RESPONSE <ACCEPT> <200> <bob>");
    assert!(s.did().is_empty(), "they asked, and have nothing to accept");
    s.registry("CONTACT_RESPONSE <REJECT> <404> <bob>");
    assert_eq!(s.did(), ["no chat with bob: withdrawn"]);

    // Who was accepted is let in when they come, unless they take it back first.
    for (answer, let_in) in [("<ACCEPT> <200>", true), ("<REJECT> <404>", false)] {
        s.registry("CONTACT_REQUEST <bob>");
        s.did();
        s.peer.accept(s.now, *s.requests.last().unwrap());
        s.registry("CONTACT <SUCCESS> <200>");
        s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.7> <sender>");
        s.registry(&format!("CONTACT_RESPONSE {answer} <bob>"));
        s.did();
        let bob = s.accept_from([192, 0, 2, 7]);
        let did = s.peer(bob, "CHAT_REQUEST <alice> <bob>");
        assert_eq!(did.iter().any(|line| line == "chat with bob"), let_in, "{answer}: {did:?}");
        assert_eq!(did.iter().any(|line| line == "bob wants to chat"), !let_in, "{answer}: {did:?}");
        s.closed(bob);
        s.did();
    }
}

#[test]
fn who_came_early_is_let_in_by_name_and_address_not_by_one_of_them() {
    let mut s = alice_lets_bob_come();
    let impostor = s.accept_from([192, 0, 2, 66]);
    assert_eq!(s.peer(impostor, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat"]);
    let neighbour = s.accept_from([192, 0, 2, 7]);
    assert_eq!(s.peer(neighbour, "CHAT_REQUEST <alice> <carol>"), ["carol wants to chat"]);
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.7> <sender>");
    assert!(s.did().is_empty(), "the user decides about both");
    let bob = s.accept_from([192, 0, 2, 7]);
    let did = s.peer(bob, "CHAT_REQUEST <alice> <bob>");
    assert!(did.iter().any(|line| line == "chat with bob"), "{did:?}");
}

#[test]
fn what_is_said_to_a_room_does_not_wait_for_somebody_hidden_to_answer() {
    let mut s = Solo::alice_with(Config::default(), " <1> <reason,roster,sender,contact>");
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice", "bob"]);
    s.peer.chat(s.now, user("bob"));
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <0> <0.0.0.0> <sender,contact>");
    s.did();
    s.peer.broadcast(s.now, room("den"), text("hello"));
    let did = s.did();
    assert_eq!(did, [r#"ok Broadcast(BroadcastReport { delivered: [], failed: [("bob", AddressHidden)] })"#]);
    // The wish goes on, and another one to chat waits with it.
    s.peer.chat(s.now, user("bob"));
    assert!(s.did().is_empty());
    s.registry("CONTACT <SUCCESS> <200>");
    s.registry("CONTACT_RESPONSE <ACCEPT> <200> <bob>");
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
}

#[test]
fn no_wish_outlives_the_session_that_it_was_for() {
    let mut s = Solo::alice_with(Config::default(), " <1> <reason,sender,contact>");
    for (wish, accepted) in [("bob", false), ("carol", true)] {
        s.registry(&format!("CONTACT_REQUEST <{wish}>"));
        s.did();
        if accepted {
            s.peer.accept(s.now, *s.requests.last().unwrap());
            s.registry("CONTACT <SUCCESS> <200>");
            s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <carol> <4000> <192.0.2.7> <sender>");
            s.did();
        }
    }
    s.peer.logout(s.now);
    let did = s.did();
    assert!(did.iter().any(|line| line.starts_with("no chat with bob: ")), "{did:?}");
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.log_in();
    s.welcome(" <1> <reason,sender,contact>");
    // The application wasn't asked by whoever this is.
    let carol = s.accept_from([192, 0, 2, 7]);
    assert_eq!(s.peer(carol, "CHAT_REQUEST <alice> <carol>"), ["carol wants to chat"]);
    s.peer.accept(s.now, s.requests[0]);
    assert_eq!(s.did(), ["failed: there is no such chat request"]);
}
