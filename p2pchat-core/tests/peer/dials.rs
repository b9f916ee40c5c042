//! What is said first on a stream, and when an address is left alone (§7.11, §8.1).

use p2pchat_core::peer::Config;
use p2pchat_proto::RegistryName;

use crate::solo::{ALL, SECOND, Solo, user};

const BOB: &str = "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2>";

/// alice, dialling bob by stream 0.
fn dialling_bob() -> Solo {
    let mut s = Solo::alice();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    s.did();
    s
}

#[test]
fn cannon_rule_4_the_first_bytes_on_a_peer_stream_name_the_registry_and_both_users() {
    let mut config = Config::default();
    config.registry = Some(RegistryName::new("chat.example.org:15600").unwrap());
    let dial = |agreed: &str, theirs: &str| {
        let mut s = Solo::alice_with(config.clone(), agreed);
        s.peer.chat(s.now, user("bob"));
        s.registry(&format!("{BOB}{theirs}"));
        s.did();
        s.connected(0);
        s.did()
    };
    let all = " <1> <reason,roster,sender,origin>";
    assert_eq!(
        dial(all, " <sender,origin>"),
        ["s0 INTRODUCED_BY <chat.example.org:15600> <alice> <bob>", "s0 CHAT_REQUEST <bob> <alice>"]
    );
    // Who doesn't know the word would close the stream.
    assert_eq!(dial(all, " <sender>"), ["s0 CHAT_REQUEST <bob> <alice>"]);
    assert_eq!(dial(ALL, " <sender,origin>"), ["s0 CHAT_REQUEST <bob> <alice>"]);
    assert_eq!(dial("", ""), ["s0 CHAT_REQUEST <bob>"]);
}

#[test]
fn cannon_rule_4_who_was_sent_to_the_wrong_place_is_let_go_at_once() {
    let mut s = Solo::alice();
    s.accept();
    assert_eq!(s.peer(0, "INTRODUCED_BY <evil.example:15600> <mallory> <dave>"), ["close s0"]);
    s.accept();
    assert!(s.peer(1, "INTRODUCED_BY <chat.example.org:15600> <bob> <alice>").is_empty());
    assert_eq!(s.peer(1, "CHAT_REQUEST <alice>"), ["bob wants to chat"], "a name that was said once holds");
    assert_eq!(
        s.peer(1, "INTRODUCED_BY <chat.example.org:15600> <bob> <alice>"),
        [
            "fault of bob at 192.0.2.9:50000: came by chat.example.org:15600, and introduced themselves out of turn",
            "close s1",
            "no chat with bob: introduced themselves out of turn"
        ]
    );
    s.accept();
    assert_eq!(
        s.peer(2, "INTRODUCED_BY <chat.example.org:15600> <alice> <alice>"),
        ["fault of 192.0.2.9:50000: came by chat.example.org:15600, and that name is mine", "close s2"]
    );
}

#[test]
fn cannon_rule_4_a_wrong_answer_is_reported_and_not_asked_for_again_for_a_minute() {
    let mut s = dialling_bob();
    s.connected(0);
    s.did();
    s.malformed(0, "HTTP/1.1 400 Bad Request");
    assert_eq!(
        s.did(),
        [
            "fault of bob at 192.0.2.2:4000: sent what is no message: verb at byte 0 is unknown here",
            "close s0",
            "failed: that user can't be reached: they sent what is no message"
        ]
    );
    let in_vain =
        ["> SEARCH_USER <bob>", "failed: that user can't be reached: what answers there is no peer"];
    s.pass(59 * SECOND);
    s.did();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    assert_eq!(s.did(), in_vain);
    s.pass(SECOND);
    s.did();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "dial s1 192.0.2.2:4000"]);
}

#[test]
fn a_stream_that_ended_without_a_word_is_not_dialled_again_at_once_and_one_with_words_is() {
    let mut s = dialling_bob();
    s.connected(0);
    s.closed(0);
    s.did();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "failed: that user can't be reached: reset"]);
    s.pass(SECOND);
    s.did();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    s.did();
    s.connected(1);
    s.peer(1, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>");
    s.closed(1);
    s.did();
    s.peer.chat(s.now, user("bob"));
    s.registry(BOB);
    assert_eq!(s.did(), ["> SEARCH_USER <bob>", "dial s2 192.0.2.2:4000"]);
}
