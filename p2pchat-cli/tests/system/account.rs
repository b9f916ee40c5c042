//! The life of an account, on the wire (PROTOCOL.md §4.1–4.3, §4.12, §5.1).

use crate::{DIGEST, WRONG_DIGEST, daemon::Daemon, wire::Wire};

#[test]
fn an_account_lives_from_registration_to_logout() {
    let daemon = Daemon::start();
    let mut alice = Wire::greeted(&daemon);
    let (right, wrong) =
        (format!("LOGIN <alice> <{DIGEST}> <4000>"), format!("LOGIN <alice> <{WRONG_DIGEST}>"));

    assert_eq!(alice.ask(&right), "AUTH <FAILURE> <404>", "there is no such account yet");
    assert_eq!(alice.ask(&format!("REGISTER <alice> <{DIGEST}>")), "REGISTER <SUCCESS> <200>");
    assert_eq!(alice.ask(&format!("REGISTER <alice> <{DIGEST}>")), "REGISTER <EXIST> <300>");
    assert_eq!(alice.ask(&format!("REGISTER <ALICE> <{WRONG_DIGEST}>")), "REGISTER <EXIST> <300>");
    assert_eq!(alice.ask(&wrong), "AUTH <FAILURE> <404>");
    alice.log_in("alice");
    assert_eq!(alice.ask(&right), "AUTH <ONLINE> <300>");
    assert_eq!(alice.ask(&format!("LOGIN <bob> <{DIGEST}>")), "AUTH <FAILURE> <404>");

    let mut second = Wire::greeted(&daemon);
    assert_eq!(second.ask(&wrong), "AUTH <FAILURE> <404>", "only who has the password learns who is online");
    assert_eq!(second.ask(&right), "AUTH <ONLINE> <300>");

    alice.say("LOGOUT");
    alice.expect_end();
    second.log_in("alice");
    second.say("LOGOUT <alice>");
    second.expect_end();
}

#[test]
fn a_session_ends_with_its_stream() {
    let daemon = Daemon::start();
    let mut bob = Wire::online(&daemon, "bob");
    let alice = Wire::online(&daemon, "alice");
    drop(alice);
    daemon.log.expect_anywhere("offline");
    assert_eq!(bob.ask("SEARCH_USER <alice>"), "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    Wire::greeted(&daemon).log_in("alice");
}

#[test]
fn names_are_compared_folded_and_shown_as_registered() {
    let daemon = Daemon::start();
    let mut wire = Wire::greeted(&daemon);
    wire.sign_up("Zoë");
    assert_eq!(wire.ask(&format!("REGISTER <ZOË> <{DIGEST}>")), "REGISTER <EXIST> <300>");
    assert_eq!(wire.ask(&format!("REGISTER <zoe\u{308}> <{DIGEST}>")), "REGISTER <EXIST> <300>");
    wire.log_in("zOË");
    let mut other = Wire::online(&daemon, "other");
    assert_eq!(
        other.ask("SEARCH_USER <zoë>"),
        "SEARCH_USER_RESPONSE <SUCCESS> <200> <Zoë> <4000> <127.0.0.1>"
    );
}

#[test]
fn names_that_could_fool_somebody_are_refused() {
    let daemon = Daemon::start();
    let mut wire = Wire::greeted(&daemon);
    for name in ["", "a b", "a,b", "a\u{202e}b", "a\u{200b}b", "a\\nb", "a\u{1b}b", &"x".repeat(33)] {
        let register = format!("REGISTER <{name}> <{DIGEST}>");
        assert_eq!(wire.ask(&register), "REGISTER <FAILURE> <404>", "{name:?}");
    }
    wire.sign_up(&"x".repeat(32));
}

#[test]
fn a_hello_agrees_on_what_both_ends_know() {
    let daemon = Daemon::start();
    let mut wire = Wire::open(&daemon);
    let welcome = "HELLO_BACK <SUCCESS> <200> <1> <reason,sender>";
    assert_eq!(wire.ask("HELLO_P2P <1> <sender,unheard-of,reason>"), welcome);
    assert_eq!(wire.ask("HELLO_P2P"), "HELLO_BACK <SUCCESS> <200>");
    assert_eq!(wire.ask(&format!("LOGIN <alice> <{DIGEST}>")), "AUTH <FAILURE> <404>");
    assert_eq!(wire.ask("HELLO_P2P <7> <reason>"), "HELLO_BACK <SUCCESS> <200> <1> <reason>");
    let refused = wire.ask(&format!("LOGIN <alice> <{DIGEST}>"));
    assert!(refused.starts_with("AUTH <FAILURE> <404> <") && refused.ends_with('>'), "{refused}");
}

#[test]
fn secrets_are_not_logged() {
    let daemon = Daemon::with(&["--log-level", "trace"]);
    let mut wire = Wire::online(&daemon, "alice");
    assert_eq!(
        wire.ask(&format!("CREATE_CHAT_ROOM <den> <{WRONG_DIGEST}> <5> <>")),
        "CREATION <SUCCESS> <200>"
    );
    wire.say("LOGOUT");
    wire.expect_end();
    daemon.log.expect_anywhere("logged out");
    for secret in [DIGEST, WRONG_DIGEST, "$argon2"] {
        assert!(!daemon.log.has(secret), "{secret} in {}", daemon.log);
    }
}
