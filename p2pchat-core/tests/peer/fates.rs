//! However a message ends that isn't confirmed: its sender is told whether it may have arrived.

use p2pchat_core::peer::{Event, RequestError, Response};

use crate::{
    lines::chatting,
    solo::{SECOND, Solo, room, text, user},
    world::World,
};

/// What became of each of alice's messages to bob that failed, in the order in which she was told.
fn failed(w: &mut World) -> Vec<RequestError> {
    let mut errors = Vec::new();
    for (node, event) in std::mem::take(&mut w.heard) {
        match event {
            Event::Completed { outcome: Err(error), .. } if node == 0 => errors.push(error),
            Event::Completed { outcome: Ok(Response::Broadcast(report)), .. } if node == 0 => {
                errors.extend(report.failed.into_iter().map(|(_, error)| error));
            }
            _ => {}
        }
    }
    errors
}

const fn is_doubtful(error: &RequestError) -> bool {
    matches!(error, RequestError::Doubtful { .. })
}

/// alice has said something that bob was shown and hasn't confirmed, then something when there was no way to him.
fn half_said(says: fn(&mut World, &str)) -> World {
    let mut w = chatting();
    w.nodes[1].dawdles = true;
    says(&mut w, "said");
    w.apart.insert(1);
    w.cut_streams(0);
    says(&mut w, "unsaid");
    assert!(failed(&mut w).is_empty());
    w
}

fn in_chat(w: &mut World, words: &str) {
    w.send(0, "bob", words);
}

fn in_den(w: &mut World, words: &str) {
    w.say(0, "den", words);
}

/// Both end by it, and only what was said is in doubt: its cause, and that of the other.
fn ends(says: fn(&mut World, &str), how: fn(&mut World)) -> [RequestError; 2] {
    let mut w = half_said(says);
    how(&mut w);
    let mut errors = failed(&mut w);
    errors.sort_by_key(is_doubtful);
    assert_eq!(errors.len(), 2, "{errors:?}");
    let [unsaid, said] = [errors.remove(0), errors.remove(0)];
    let RequestError::Doubtful { id: Some(_), why } = said else { panic!("{said:?}") };
    assert!(!is_doubtful(&unsaid), "{unsaid:?}");
    // And what isn't in doubt never comes.
    w.apart.clear();
    w.nodes[1].dawdles = false;
    w.wait(SECOND * 90);
    let came = |words: &str| w.nodes[1].log.iter().filter(|line| line.ends_with(words)).count();
    assert_eq!((came(": said"), came(": unsaid")), (1, 0), "{:?}", w.nodes[1].log);
    [*why, unsaid]
}

#[test]
fn fates_what_was_said_by_number_is_in_doubt_and_what_waited_is_not() {
    for says in [in_chat, in_den] as [fn(&mut World, &str); 2] {
        let [said, unsaid] = ends(says, |w| w.wait(SECOND * 80));
        assert_eq!(said, unsaid, "nobody could be reached for too long");
        let gone = ends(says, |w| {
            w.nodes[1].solo.peer.logout(w.now);
            w.wait(SECOND * 30);
        });
        assert_eq!(gone, [RequestError::NotOnline, RequestError::NotOnline]);
        let blocked = ends(says, |w| {
            w.nodes[0].solo.peer.block(w.now, user("bob"));
            w.run();
        });
        assert_eq!(blocked, [RequestError::Blocked, RequestError::Blocked]);
        let closed = ends(says, |w| {
            w.nodes[0].solo.peer.shutdown(w.now);
            w.run();
        });
        assert_eq!(closed, [RequestError::Closed, RequestError::Closed]);
    }
    let logs_out = |w: &mut World| {
        w.nodes[0].solo.peer.logout(w.now);
        w.run();
    };
    assert_eq!(ends(in_chat, logs_out), [RequestError::NotLoggedIn, RequestError::NotLoggedIn]);
    // All rooms are left first.
    assert_eq!(ends(in_den, logs_out), [RequestError::NotAMember, RequestError::NotAMember]);
    let leaves = |w: &mut World| {
        w.nodes[0].solo.peer.leave(w.now, room("den"));
        w.run();
    };
    assert_eq!(ends(in_den, leaves), [RequestError::NotAMember, RequestError::NotAMember]);
}

/// bob's program is killed, and another one takes its place.
fn begins_anew(says: fn(&mut World, &str)) -> (Vec<RequestError>, World) {
    let mut w = half_said(says);
    w.restart_node(1);
    w.nodes[1].dawdles = false;
    w.wait(SECOND * 3);
    w.apart.clear();
    w.login(1, "bob");
    w.wait(SECOND * 60);
    (failed(&mut w), w)
}

#[test]
fn fates_what_another_program_may_have_shown_is_in_doubt_and_the_rest_goes_on() {
    let (errors, w) = begins_anew(in_chat);
    let [RequestError::Doubtful { id: Some(_), why }, RequestError::NoChat] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(**why, RequestError::NotDelivered(Some("their program has started anew".to_owned())));
    assert!(w.nodes[1].log.iter().all(|line| !line.starts_with("alice:")), "{:?}", w.nodes[1].log);
    // A room is the same to both programs.
    let (errors, w) = begins_anew(in_den);
    assert!(matches!(&errors[..], [RequestError::Doubtful { .. }]), "{errors:?}");
    let came: Vec<_> = w.nodes[1].log.iter().filter(|line| line.starts_with("[den]")).collect();
    assert_eq!(came, ["[den] alice: unsaid"]);
}

#[test]
fn fates_what_was_never_said_leaves_no_gap() {
    let mut w = half_said(in_den);
    w.nodes[1].dawdles = false;
    w.wait(SECOND * 80);
    assert_eq!(failed(&mut w).len(), 2);
    w.apart.clear();
    w.say(0, "den", "again");
    w.wait(SECOND * 30);
    let log = &w.nodes[1].log;
    assert!(log.iter().all(|line| !line.contains("missing") && !line.contains("unsaid")), "{log:?}");
    assert!(log.contains(&"[den] alice: again".to_owned()), "{log:?}");
}

#[test]
fn fates_what_was_in_doubt_is_named_by_its_id_when_it_has_arrived() {
    let mut w = chatting();
    // Before the first message nothing is missing.
    w.say(0, "den", "good morning");
    w.apart.insert(1);
    w.say(0, "den", "hi");
    w.wait(SECOND * 80);
    let errors = failed(&mut w);
    let [RequestError::Doubtful { id: Some(id), .. }] = errors[..] else { panic!("{errors:?}") };
    w.apart.clear();
    w.say(0, "den", "still there?");
    w.wait(SECOND * 30);
    let arrived = w.heard.iter().filter_map(|(node, event)| match event {
        Event::Arrived { id, .. } => Some((*node, *id)),
        _ => None,
    });
    assert_eq!(arrived.collect::<Vec<_>>(), [(0, id)]);
}

#[test]
fn fates_an_answer_leaves_no_doubt() {
    let mut w = chatting();
    w.nodes[1].solo.peer.hang_up(w.now, user("alice"));
    // He doesn't take any more.
    w.send(0, "bob", "are you there?");
    w.wait(SECOND * 5);
    let errors = failed(&mut w);
    assert!(
        matches!(&errors[..], [RequestError::NotDelivered(Some(_)) | RequestError::NoChat]),
        "{errors:?}"
    );
}

/// In the base protocol: one message that is answered for by a refusal, one that isn't, one beyond what may be on its way.
fn without_numbers(how: impl Fn(&mut Solo)) -> Vec<String> {
    let mut config = p2pchat_core::peer::Config::default();
    config.messages_in_flight = 2;
    let mut s = Solo::alice_with(config, crate::solo::ALL);
    let stream = s.accept();
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    s.peer.accept(s.now, s.requests[0]);
    for words in ["one", "two", "three"] {
        s.peer.send(s.now, user("bob"), text(words));
    }
    s.peer(stream, "DIRECT_UNICAST_NOTIFICATION <FAILURE> <404> <alice> <one> <no>");
    how(&mut s);
    s.did().into_iter().filter(|line| line.starts_with("failed")).collect()
}

#[test]
fn fates_without_numbers_what_was_said_and_not_answered_is_in_doubt() {
    let failed = without_numbers(|_| {});
    assert!(failed.is_empty(), "told before: {failed:?}");
    let doubtful = |why: &str| vec![format!("failed: {why}; it may have arrived all the same")];
    assert_eq!(without_numbers(|s| s.closed(0)), doubtful("that user can't be reached: reset"));
    let waits = |s: &mut Solo| s.pass(SECOND * 10);
    assert_eq!(without_numbers(waits), doubtful("no answer came in time"));
    let blocks = |s: &mut Solo| s.peer.block(s.now, user("bob"));
    assert_eq!(without_numbers(blocks), doubtful("you have blocked that user"));
    let logs_out = |s: &mut Solo| _ = s.peer.logout(s.now);
    assert_eq!(without_numbers(logs_out), doubtful("that user can't be reached: logged out"));
    let hangs_up = |s: &mut Solo| _ = s.peer.hang_up(s.now, user("bob"));
    assert_eq!(without_numbers(hangs_up), doubtful("that user can't be reached: hung up"));
    let shuts_down = |s: &mut Solo| _ = s.peer.shutdown(s.now);
    assert_eq!(without_numbers(shuts_down), doubtful("closed"));
}

#[test]
fn fates_a_broadcast_that_ends_half_way_is_in_doubt() {
    let shuts_down = |answered: bool| {
        let mut s = Solo::alice_in_den();
        s.peer.broadcast(s.now, room("den"), text("hi"));
        s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2>");
        s.did();
        if answered {
            s.connected(0);
            s.peer(0, "DIRECT_BROADCAST_NOTIFICATION <SUCCESS> <200> <alice> <hi>");
        }
        s.peer.shutdown(s.now);
        s.did().into_iter().find(|line| line.starts_with("failed")).unwrap()
    };
    assert_eq!(shuts_down(false), "failed: closed", "nothing was said to anybody");
    assert_eq!(shuts_down(true), "failed: closed; it may have arrived all the same", "bob has it");
}
