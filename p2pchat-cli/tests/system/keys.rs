//! Link keys, as the people at the keyboard see them.

use std::fs;

use crate::{
    client::{Client, Home, open_chat},
    daemon::Daemon,
    wire::Wire,
};

/// alice asks bob, whose program accepts by itself.
fn open_chat_with_listener(alice: &mut Client, bob: &mut Client) {
    alice.type_line("/chat bob");
    alice.out.expect("this chat is encrypted");
    assert_eq!(bob.expect_event("chat_requested")["encrypted"], true);
    assert_eq!(bob.expect_event("chat_opened")["encrypted"], true);
}

/// What `/verify` shows between its first and its last line.
fn compared(client: &mut Client, with: &str) -> String {
    client.type_line(&format!("/verify {with}"));
    client.out.expect("It has to be what they see:\n");
    let shown = client.out.expect("If it isn't");
    shown.trim_end_matches("If it isn't").trim_end().to_owned()
}

#[test]
fn two_people_talk_encrypted_and_see_the_same_to_compare() {
    let daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let (mut alice, mut bob) = (at_alice.prompt("alice"), at_bob.prompt("bob"));
    alice.type_line("/verify bob");
    alice.out.expect("bob's key is not known: it is once you have talked");
    open_chat(&mut alice, "alice", &mut bob, "bob");
    alice.type_line("hello");
    bob.out.expect("alice: hello\n");
    let (hers, his) = (compared(&mut alice, "bob"), compared(&mut bob, "alice"));
    assert_eq!(hers, his);
    // Sixteen words, a line, and twelve groups of digits.
    let digits: Vec<_> = hers.split_whitespace().filter(|word| word.parse::<u32>().is_ok()).collect();
    assert_eq!(digits.len(), 12, "{hers}");
    alice.finish().expect_code(0);
    bob.finish().expect_code(0);

    // Scripts see it too, and the key is the same the next time.
    let shown = at_alice.run(&["--user", "alice", "verify", "bob"]).expect_code(0);
    assert!(shown.out.contains(&hers), "{shown:#?}");
    let own = at_alice.run(&["--user", "alice", "key"]).expect_code(0).out;
    let again = at_alice.run(&["--user", "alice", "key"]).expect_code(0).out;
    assert_eq!(own, again);
    assert!(own.trim_end().ends_with("alice.pem"), "{own}");
}

#[test]
fn a_changed_key_is_loud_and_nothing_is_said_before_somebody_has_decided() {
    let daemon = Daemon::start();
    let (at_alice, at_bob, elsewhere) = (Home::new(&daemon), Home::new(&daemon), Home::new(&daemon));
    let (mut alice, mut bob) = (at_alice.prompt("alice"), at_bob.prompt("bob"));
    open_chat(&mut alice, "alice", &mut bob, "bob");
    bob.finish().expect_code(0);
    alice.out.expect("the chat with bob has ended");

    let mut bob = elsewhere.start(&["--user", "bob"]);
    bob.out.expect("logged in as bob");
    alice.type_line("/trust bob 01234567");
    alice.out.expect("bob has shown no new key");
    alice.type_line("/chat bob");
    alice.out.expect("bob'S KEY HAS CHANGED. It was");
    alice.out.expect("/trust bob ");
    let begin = alice.out.expect("\n").trim_end().to_owned();
    assert_eq!(begin.len(), 8, "{begin}");
    alice.out.expect("nothing is sent to them before you decide");
    // He finds that out as well: she doesn't listen.
    bob.type_line("/chat alice");
    bob.out.expect("alice: that user can't be reached");
    alice.out.expect("bob'S KEY HAS CHANGED");
    alice.type_line("/trust bob 00000000");
    alice.out.expect("bob has shown no new key that begins so");
    alice.type_line(&format!("/trust bob {begin}"));
    alice.out.expect("bob is known by the new key from now on");
    open_chat(&mut alice, "alice", &mut bob, "bob");
    alice.finish().expect_code(0);
    bob.finish().expect_code(0);

    // A script is told the key, and says it.
    let mut bob = at_bob.start(&["--user", "bob", "listen", "--json"]);
    bob.expect_event("ready");
    let refused = at_alice.run(&["--user", "alice", "send", "bob", "psst"]).expect_code(6);
    let key = at_bob.run(&["--user", "bob", "key"]).expect_code(0).out;
    let key = key.split_once(' ').unwrap().0;
    let refused = refused.expect_error("key has changed from").expect_error(&format!("to {key}:"));
    drop(refused.expect_error("before you decide"));
    // While she is online: the program that runs hears of what is decided by another.
    let mut alice = at_alice.start(&["--user", "alice"]);
    alice.out.expect("logged in as alice");
    at_alice.run(&["--user", "alice", "trust", "bob", key]).expect_code(0);
    open_chat_with_listener(&mut alice, &mut bob);
    alice.finish().expect_code(0);
    assert_eq!(bob.expect_event("chat_closed")["with"], "alice");
    at_alice.run(&["--user", "alice", "send", "bob", "psst"]).expect_code(0);
    assert_eq!(bob.expect_event("chat_opened")["encrypted"], true);
    assert_eq!(bob.expect_event("message")["text"], "psst");
}

#[test]
fn a_key_is_put_under_a_passphrase_and_is_of_no_use_without_it() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    home.run(&["--user", "alice", "key"]).expect_code(1).expect_error("made at its first login");
    home.run(&["--user", "alice", "peers"]).expect_code(0);
    let shown = home.run(&["--user", "alice", "key"]).expect_code(0).out;
    let path = shown.split_once(' ').unwrap().1.trim_end();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // What a person types: without a terminal nothing is asked.
    home.run(&["--user", "alice", "key", "--passphrase"])
        .expect_code(2)
        .expect_error("--key-passphrase-file");

    fs::write(path, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .unwrap();
    home.run(&["--user", "alice", "key"]).expect_code(2).expect_error("link key's passphrase?");
    let file = home.folder().join("passphrase");
    fs::write(&file, "correct horse\n").unwrap();
    let with_passphrase = ["--user", "alice", "--key-passphrase-file", file.to_str().unwrap(), "key"];
    home.run(&with_passphrase).expect_code(4).expect_error("not the link key's passphrase");
    fs::write(path, "nonsense").unwrap();
    home.run(&["--user", "alice", "peers"]).expect_code(1).expect_error("alice.pem");
    assert_eq!(fs::read_to_string(path).unwrap(), "nonsense", "it is left alone");
}

#[test]
fn who_only_talks_encrypted_refuses_everybody_else() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let stranger = Wire::online(&daemon, "prototype");
    let refused = home.run(&["--user", "alice", "--encrypted-only", "send", "prototype", "psst"]);
    refused.expect_code(6).expect_error("doesn't encrypt");
    stranger.close();
}
