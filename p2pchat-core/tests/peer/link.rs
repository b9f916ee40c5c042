//! The registry link and the session on it.

use std::time::Duration;

use p2pchat_core::peer::{Config, Effect, Event};
use p2pchat_proto::{Detail, Dialect, FrameError, InviteCode, Malformed};

use crate::solo::{SECOND, Solo, digest, room, user};

const GREETED: &str = "HELLO_BACK <SUCCESS> <200>";

#[test]
fn a_login_opens_the_link_by_itself() {
    let mut s = Solo::new();
    s.log_in();
    assert_eq!(s.did(), ["connect"]);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    assert_eq!(s.did(), ["> HELLO_P2P <1> <all>"]);
    s.registry("HELLO_BACK <SUCCESS> <200> <1> <reason>");
    assert_eq!(s.did(), ["connected", "> LOGIN <alice> <…> <4000>"]);
    assert!(s.peer.is_connected() && !s.peer.is_logged_in());
    s.registry("AUTH <SUCCESS> <200>");
    assert_eq!(s.did(), ["udp KEEP_ALIVE <alice> <10>", "ok Done"]);
    assert!(s.peer.is_logged_in());
    assert_eq!(s.peer.username(), Some(&user("alice")));
}

#[test]
fn keep_alives_come_every_quarter_of_the_lease() {
    let mut s = Solo::alice();
    s.wait(Duration::from_millis(2_499));
    assert_eq!(s.did(), [""; 0]);
    assert_eq!(s.wait(Duration::from_millis(1)), ["udp KEEP_ALIVE <alice> <10>"]);
    assert_eq!(s.wait(SECOND * 10).len(), 4);
}

#[test]
fn an_unknown_dialect_is_waited_for_and_then_greeted_canonically() {
    let mut s = Solo::new();
    s.peer.connect(s.now);
    s.peer.handle_registry_connected(s.now, None);
    assert_eq!(s.did(), ["connect"]);
    assert_eq!(s.wait(Duration::from_millis(200)), ["> HELLO_P2P <1> <all>"]);
    s.registry(GREETED);
    assert_eq!(s.did(), ["connected", "ok Done"]);
}

#[test]
fn a_registry_that_greets_unasked_is_greeted_all_the_same() {
    let mut s = Solo::new();
    s.peer.connect(s.now);
    s.peer.handle_registry_connected(s.now, None);
    s.registry(GREETED);
    assert_eq!(s.did(), ["connect", "> HELLO_P2P <1> <all>"]);
    s.registry(GREETED);
    assert_eq!(s.did(), ["connected", "ok Done"]);
}

/// The prototype's registry: greets unasked, knows no rooms, drops a user after three seconds of silence.
#[test]
fn the_prototype_is_spoken_to_in_its_own_way() {
    let mut s = Solo::new();
    s.log_in();
    s.peer.handle_registry_connected(s.now, None);
    s.peer.handle_registry_dialect(s.now, Dialect::Prototype);
    s.registry(GREETED);
    assert_eq!(s.did(), ["connect", "> HELLO_P2P", "connected", "> LOGIN <alice> <…> <4000>"]);
    s.registry("AUTH <SUCCESS> <200>");
    assert_eq!(s.did(), ["udp KEEP_ALIVE <alice>", "ok Done"]);
    assert_eq!(s.wait(SECOND * 3), ["udp KEEP_ALIVE <alice>"; 3]);

    s.peer.peers(s.now, Detail::Partial);
    assert_eq!(s.did(), ["> DISCOVER_PEERS <PARTIAL> <alice>"]);
    s.peer.rooms(s.now, Detail::Partial);
    s.peer.join(s.now, room("den"), None);
    s.peer.broadcast(s.now, room("den"), crate::solo::text("hi"));
    assert_eq!(s.did(), ["failed: this registry does not support that"; 3]);
    s.registry("TIMEOUT <alice>");
    let why = "lost: the registry ended the session";
    assert_eq!(s.did()[..2], ["disconnect", why], "it confirms no keep-alive that it gets");
}

#[test]
fn a_prototype_found_out_late_gets_its_hello_once() {
    let mut s = Solo::new();
    s.peer.connect(s.now);
    s.peer.handle_registry_connected(s.now, None);
    s.wait(SECOND);
    s.peer.handle_registry_dialect(s.now, Dialect::Prototype);
    s.peer.handle_registry_dialect(s.now, Dialect::Prototype);
    assert_eq!(s.did(), ["> HELLO_P2P"]);
    s.registry(GREETED);
    s.registry(GREETED);
    assert_eq!(s.did(), ["connected", "ok Done"]);
}

#[test]
fn a_link_that_never_stood_fails_what_waited_for_it() {
    let mut s = Solo::new();
    s.peer.connect(s.now);
    s.log_in();
    s.peer.handle_registry_closed(s.now, "refused".to_owned());
    let failed = "failed: the registry can't be reached: refused";
    assert_eq!(s.did(), ["connect", failed, failed]);
    assert_eq!(s.wait(SECOND * 60), [""; 0], "nobody is logged in: nothing is tried again");

    s.peer.connect(s.now);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry("HELLO_BACK <FAILURE> <404> <full>");
    assert_eq!(s.did()[2..], ["disconnect", "failed: full"]);

    s.peer.connect(s.now);
    let did = s.wait(SECOND * 15);
    assert_eq!(
        did,
        ["connect", "disconnect", "failed: the registry can't be reached: the registry doesn't answer"]
    );
}

#[test]
fn each_refusal_of_a_login_has_its_own_error() {
    let mut s = Solo::new();
    s.peer.connect(s.now);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(GREETED);
    s.did();
    s.peer.register(s.now, user("alice"), digest("x"));
    s.log_in();
    s.log_in();
    s.registry("REGISTER <EXIST> <300>");
    s.registry("AUTH <FAILURE> <404>");
    s.registry("AUTH <ONLINE> <300>");
    let did = s.did();
    let failed: Vec<_> = did.iter().filter(|line| line.starts_with("failed")).collect();
    let expected = [
        "failed: that username is taken",
        "failed: wrong username or password",
        "failed: already logged in elsewhere",
    ];
    assert_eq!(failed, expected);
}

#[test]
fn an_invitation_is_shown_to_a_registry_that_wants_one_and_to_no_other() {
    let code = InviteCode::from_random([1; 26]);
    let invited =
        |s: &mut Solo| s.peer.register_invited(s.now, user("alice"), digest("secret"), code.clone());
    for (agreed, said) in [
        (" <1> <reason,invite>", "> REGISTER <alice> <…> <bbbbbbbbbbbbbbbbbbbbbbbbbb>"),
        (" <1> <reason>", "> REGISTER <alice> <…>"),
        ("", "> REGISTER <alice> <…>"),
    ] {
        let mut s = Solo::new();
        // It isn't known yet when the code is given.
        invited(&mut s);
        s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
        s.registry(&format!("HELLO_BACK <SUCCESS> <200>{agreed}"));
        assert_eq!(s.did().last().unwrap(), said);
        s.registry("REGISTER <FAILURE> <404> <that invitation is not good, or not any more>");
        assert_eq!(s.did(), ["failed: that invitation is not good, or not any more"]);
        invited(&mut s);
        assert_eq!(s.did(), [said]);
    }
}

#[test]
fn who_has_no_invitation_is_told_that_the_registry_wants_one_and_it_is_not_asked() {
    let mut s = Solo::new();
    s.peer.register(s.now, user("alice"), digest("secret"));
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry("HELLO_BACK <SUCCESS> <200> <1> <invite>");
    let wanted =
        "failed: this registry takes registrations by invitation: a code is needed, which its operator gives";
    assert_eq!(s.did().last().unwrap(), wanted);
    s.peer.register(s.now, user("alice"), digest("secret"));
    assert_eq!(s.did(), [wanted]);
}

#[test]
fn a_name_that_looks_taken_is_said_to_look_so() {
    let mut s = Solo::new();
    s.peer.register(s.now, user("alice"), digest("secret"));
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(GREETED);
    s.did();
    s.registry("REGISTER <EXIST> <300> <that username looks like Alice, which is taken>");
    assert_eq!(s.did(), ["failed: that username looks like Alice, which is taken"]);
}

#[test]
fn commands_without_a_session_are_refused_at_once() {
    let mut s = Solo::new();
    s.peer.search(s.now, user("bob"));
    s.peer.chat(s.now, user("bob"));
    s.peer.logout(s.now);
    assert_eq!(s.did(), ["failed: not logged in"; 3]);
    let mut s = Solo::alice();
    s.log_in();
    assert_eq!(s.did(), ["failed: logged in already"]);
}

#[test]
fn logging_out_says_so_closes_everything_and_stays_out() {
    let mut s = Solo::alice_in_den();
    let stream = s.accept();
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    s.peer.logout(s.now);
    assert_eq!(s.did(), ["> LOGOUT <alice>", "close s0", "no chat with bob: logged out"]);
    assert_eq!((s.peer.username(), s.peer.room_names().count()), (None, 0));
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    assert_eq!(s.did(), ["ok Done"]);
    assert_eq!(s.wait(SECOND * 60), [""; 0]);
    s.log_in();
    assert_eq!(s.did(), ["connect"]);
}

/// The registry closes the stream when it has ended the session. A new stream before that might overtake the logout.
#[test]
fn who_logs_in_again_waits_until_the_logout_is_done() {
    let mut s = Solo::alice();
    s.peer.logout(s.now);
    s.log_in();
    assert_eq!(s.did(), ["> LOGOUT <alice>"]);
    s.registry("USER_LOGOUT <bob>");
    assert_eq!(s.did(), [""; 0]);
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    assert_eq!(s.did(), ["ok Done", "connect"]);
}

#[test]
fn a_registry_that_does_not_end_the_stream_holds_up_a_logout_for_as_long_as_an_answer() {
    let mut s = Solo::alice();
    s.peer.logout(s.now);
    s.log_in();
    assert_eq!(s.did(), ["> LOGOUT <alice>"]);
    let limit = Config::default().request_timeout;
    assert_eq!(s.wait(limit - SECOND / 2), [""; 0]);
    assert_eq!(s.wait(SECOND), ["disconnect", "ok Done", "connect"]);
}

#[test]
fn a_lost_link_interrupts_what_was_asked_and_comes_back() {
    let mut s = Solo::alice_in_den();
    s.peer.search(s.now, user("bob"));
    s.did();
    s.peer.handle_registry_closed(s.now, "reset".to_owned());
    assert_eq!(s.did(), ["lost: reset", "failed: the registry went away before it answered"]);
    s.peer.search(s.now, user("bob"));
    assert_eq!(s.did(), ["failed: not connected to the registry"]);
    assert_eq!(s.peer.username(), Some(&user("alice")), "the session is wanted still");

    assert_eq!(s.wait(SECOND / 2), ["connect"]);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry("HELLO_BACK <SUCCESS> <200> <1> <roster>");
    assert_eq!(s.did(), ["> HELLO_P2P <1> <all>", "> LOGIN <alice> <…> <4000>"]);
    s.peer.search(s.now, user("bob"));
    assert_eq!(s.did(), ["failed: not connected to the registry"], "nobody is logged in yet");
    s.registry("AUTH <SUCCESS> <200>");
    assert_eq!(s.did(), ["udp KEEP_ALIVE <alice> <10>", "reconnected", "> DISCOVER_PEERS <den>"]);
    s.registry("USER_JOINED <den> <alice>");
    s.members("den", &["alice", "bob", "dave"]);
    assert_eq!(s.did(), ["dave is in den", "carol is offline in [\"den\"]"]);
}

/// Loses the link: how long the pause is to be.
fn lose(s: &mut Solo) -> Duration {
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    let mut pause = None;
    while let Some(effect) = s.peer.poll_effect() {
        if let Effect::Event(Event::Disconnected { retry_in, .. }) = effect {
            pause = Some(retry_in);
        }
    }
    pause.unwrap()
}

fn seeded_alice(seed: u64) -> Solo {
    let mut s = Solo::seeded(Config::default(), seed);
    s.log_in();
    s.welcome("");
    s
}

/// Full jitter: each pause is anywhere between nothing and a bound that doubles up to a cap.
#[test]
fn pauses_before_reconnecting_stay_within_their_bounds_and_spread() {
    let mut spread = Vec::new();
    for seed in 0..50 {
        let mut s = seeded_alice(seed);
        for attempt in 0..12 {
            let pause = lose(&mut s);
            let bound = Duration::from_millis(500 << attempt).min(SECOND * 30);
            assert!(pause <= bound, "attempt {attempt}: {pause:?}");
            if attempt == 11 {
                spread.push(pause);
            }
            let due = pause.max(Duration::from_millis(1));
            assert_eq!(s.wait(due - Duration::from_micros(1)), [""; 0]);
            assert_eq!(s.wait(Duration::from_micros(1)), ["connect"]);
        }
    }
    spread.sort();
    assert!(spread[5] < SECOND * 10 && spread[44] > SECOND * 20, "{spread:?}");
}

#[test]
fn the_pause_grows_until_a_session_has_lived_for_a_while() {
    // The bound shows in the longest of many pauses.
    let longest = |life: Duration| {
        let pauses = (0..40).map(|seed| {
            let mut s = seeded_alice(seed);
            for _ in 0..4 {
                lose(&mut s);
                s.wait(SECOND * 5);
                s.welcome("");
                s.wait(life);
            }
            lose(&mut s)
        });
        pauses.max().unwrap()
    };
    assert!(longest(SECOND) > SECOND * 4, "sessions that die at once don't count");
    assert!(longest(SECOND * 3) <= SECOND / 2);
}

/// Lets the pause before the next attempt pass, which is half a minute at most.
fn until_it_connects(s: &mut Solo) {
    let connects = (0..301).any(|_| s.wait(SECOND / 10).contains(&"connect".to_owned()));
    assert!(connects, "nothing is tried again");
}

/// Brings a lost link back up to the login's answer.
fn back(s: &mut Solo, answer: &str) -> Vec<String> {
    until_it_connects(s);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(GREETED);
    s.did();
    s.registry(answer);
    s.did()
}

#[test]
fn one_s_own_ghost_is_waited_out_for_a_lease_and_no_longer() {
    let mut s = Solo::alice();
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.did();
    let mut since = None;
    let did = loop {
        let did = back(&mut s, "AUTH <ONLINE> <300>");
        let refused = s.now.since(*since.get_or_insert(s.now));
        if did != ["disconnect", "lost: the registry still has the old session"] {
            assert!(refused >= SECOND * 10, "{refused:?}");
            break did;
        }
        assert!(refused < SECOND * 10, "{refused:?}");
    };
    assert_eq!(did, ["logged out: logged in elsewhere"]);
    assert_eq!(s.wait(SECOND * 60), [""; 0]);
}

#[test]
fn a_session_that_was_taken_over_never_fights_back() {
    let mut s = Solo::alice();
    s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    s.registry("TIMEOUT <alice>");
    assert_eq!(s.did(), ["disconnect", "lost: the registry ended the session"]);
    assert_eq!(back(&mut s, "AUTH <ONLINE> <300>"), ["logged out: logged in elsewhere"]);
    assert_eq!(s.peer.username(), None);
}

/// A login that was sent and never answered may have begun a session: ONLINE isn't somebody else then.
#[test]
fn a_ghost_of_one_s_own_way_back_is_waited_out_too() {
    let mut s = Solo::alice();
    s.registry("TIMEOUT <alice>");
    s.did();
    until_it_connects(&mut s);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(GREETED);
    assert_eq!(s.did().last().unwrap(), "> LOGIN <alice> <…> <4000>");
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.did();
    let did = back(&mut s, "AUTH <ONLINE> <300>");
    assert_eq!(did, ["disconnect", "lost: the registry still has the old session"]);
    assert!(back(&mut s, "AUTH <SUCCESS> <200>").contains(&"reconnected".to_owned()));
}

#[test]
fn a_lost_lease_is_brought_back() {
    let mut s = Solo::alice();
    s.registry("TIMEOUT <bob>");
    assert_eq!(s.did(), [""; 0], "somebody else's");
    s.registry("TIMEOUT <alice>");
    let why = "the registry got no keep-alives: do its UDP port and a firewall in between let them through?";
    assert_eq!(s.did(), ["disconnect", &format!("lost: {why}")], "none was ever confirmed");
    assert!(back(&mut s, "AUTH <SUCCESS> <200>").contains(&"reconnected".to_owned()));
}

#[test]
fn a_forged_timeout_ends_nothing() {
    let mut s = Solo::alice();
    s.datagram("TIMEOUT <alice>");
    s.datagram("KEEP_ALIVE_RESPONSE <FAILURE> <404>");
    assert_eq!(s.did(), [""; 0], "only the stream is believed");
    assert!(s.peer.is_logged_in());
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.did();
    let did = back(&mut s, "AUTH <ONLINE> <300>");
    assert_eq!(
        did,
        ["disconnect", "lost: the registry still has the old session"],
        "nor later, of a take-over"
    );
}

#[test]
fn a_login_that_is_refused_on_the_way_back_ends_the_session() {
    let mut s = Solo::alice();
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.did();
    let did = back(&mut s, "AUTH <FAILURE> <404> <no such account>");
    assert_eq!(did, ["logged out: no such account"]);
}

#[test]
fn a_registry_that_stops_confirming_keep_alives_is_gone() {
    let mut s = Solo::alice();
    assert!(
        s.wait(SECOND * 120).iter().all(|did| did.starts_with("udp ")),
        "it never confirmed one: no news"
    );
    s.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    assert_eq!(s.wait_quietly(SECOND * 22), [""; 0], "twenty seconds aren't over when a keep-alive is due");
    let did = s.wait_quietly(SECOND);
    assert_eq!(did[..2], ["disconnect", "lost: the registry fell silent"]);
}

#[test]
fn a_reply_that_doesn_t_come_costs_the_link() {
    let mut s = Solo::alice();
    s.peer.search(s.now, user("bob"));
    s.did();
    s.wait(SECOND * 5);
    s.peer.search(s.now, user("carol"));
    s.did();
    let did = s.wait_quietly(SECOND * 10);
    assert_eq!(
        did,
        [
            "failed: no answer came in time",
            "disconnect",
            "lost: the registry didn't answer in time",
            "failed: the registry went away before it answered"
        ]
    );
}

#[test]
fn a_clock_that_jumps_ahead_times_out_what_was_asked() {
    let mut s = Solo::alice();
    s.peer.search(s.now, user("bob"));
    s.did();
    s.now = s.now + SECOND * 60;
    s.peer.handle_timeout(s.now);
    assert!(s.did().contains(&"failed: no answer came in time".to_owned()));
}

#[test]
fn replies_out_of_order_cost_the_link() {
    let mut s = Solo::alice();
    s.peer.search(s.now, user("bob"));
    s.did();
    s.registry("JOIN <SUCCESS> <200>");
    let lost = "lost: the registry's replies are out of order";
    assert_eq!(
        s.did(),
        [
            "failed: the registry answered something unexpected: JOIN",
            "disconnect",
            lost,
            "fault of registry: sent JOIN where another reply was due"
        ]
    );
    let mut s = Solo::alice();
    s.registry("CREATION <SUCCESS> <200>");
    assert_eq!(s.did(), ["disconnect", lost, "fault of registry: sent CREATION unasked"]);
}

#[test]
fn rubbish_from_the_registry_costs_the_link() {
    let mut s = Solo::alice();
    s.peer.handle_registry_malformed(s.now, Malformed::Frame(FrameError::TooLong { limit: 9 }));
    assert_eq!(
        s.did(),
        [
            "fault of registry: sent what is no message: a frame has more than 9 bytes",
            "disconnect",
            "lost: the registry sent what is no message"
        ]
    );
}

#[test]
fn a_registry_stream_that_is_cut_inside_a_frame_is_nobody_s_fault() {
    let mut s = Solo::alice();
    s.peer.handle_registry_malformed(s.now, Malformed::Frame(FrameError::Truncated { bytes: 5 }));
    assert_eq!(s.did(), ["lost: the stream ended inside a frame, after 5 bytes of it"]);
}

#[test]
fn a_refusal_of_no_request_in_particular_is_the_oldest_one_s() {
    let mut s = Solo::alice();
    s.peer.search(s.now, user("bob"));
    s.did();
    s.registry("HELLO_BACK <FAILURE> <404> <stopping>");
    assert_eq!(s.did(), ["failed: stopping"]);
    s.registry("HELLO_BACK <FAILURE> <404> <stopping>");
    assert_eq!(s.did(), ["fault of registry: stopping"]);
}

#[test]
fn requests_are_pipelined_up_to_a_bound_and_queued_up_to_another() {
    let mut config = Config::default();
    (config.pipeline, config.requests) = (2, 3);
    let mut s = Solo::alice_with(config, crate::solo::ALL);
    for _ in 0..6 {
        s.peer.search(s.now, user("bob"));
    }
    assert_eq!(
        s.did(),
        ["> SEARCH_USER <bob>", "> SEARCH_USER <bob>", "failed: too much is waiting: at most 3 requests"]
    );
    s.peer.chat(s.now, user("bob"));
    assert_eq!(s.did(), [""; 0], "what the machine itself asks isn't refused for want of room");
    s.registry("SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
    assert_eq!(s.did(), ["failed: there is no such user", "> SEARCH_USER <bob>"]);
}

#[test]
fn shutting_down_ends_every_command_and_every_stream() {
    let mut s = Solo::new();
    s.peer.shutdown(s.now);
    assert_eq!(s.did(), ["ok Done"], "there is no stream to close");

    let mut s = Solo::alice_in_den();
    s.peer.search(s.now, user("bob"));
    s.peer.chat(s.now, user("carol"));
    s.accept();
    s.did();
    s.peer.shutdown(s.now);
    assert_eq!(
        s.did(),
        ["failed: closed", "failed: closed", "> LOGOUT <alice>", "close s0", "disconnect", "ok Done"]
    );
    s.peer.connect(s.now);
    assert_eq!(s.did(), ["failed: closed"]);
    assert_eq!(
        (s.peer.poll_timeout(), s.peer.accept_stream(s.now, ([192, 0, 2, 1], 1).into())),
        (None, None)
    );
}
