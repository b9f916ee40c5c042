//! Who may register: by invitation, and not at all.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    client::{Home, PASSWORD},
    daemon::{Daemon, binary},
    wire::Wire,
};

/// What the daemon's operator is told.
fn ctl(daemon: &Daemon, words: &[&str]) -> String {
    let output =
        Command::new(binary()).args(["ctl", "--data-dir"]).arg(daemon.data()).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn invites(daemon: &Daemon) -> Vec<Value> {
    let said = ctl(daemon, &["invites", "--json"]);
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn who_has_an_invitation_registers_and_nobody_else() {
    let daemon = Daemon::with(&["--registration", "invite"]);
    let home = Home::new(&daemon);
    let without = home.run(&["--user", "alice", "register"]).expect_code(1);
    without.expect_error("give its code by --invite-file, $P2PCHAT_INVITE or --invite");
    let code = ctl(&daemon, &["invite", "create", "--note", "for Alice", "--for", "1d"]);
    let code = code.trim();
    let [invite] = &invites(&daemon)[..] else { panic!("one invitation") };
    assert_eq!((&invite["left"], &invite["note"]), (&Value::from(1), &Value::from("for Alice")));
    assert!(!invite.to_string().contains(code), "it is shown once");

    let file = home.folder().join("code");
    fs::write(&file, format!("{}-{}\n", code[..13].to_uppercase(), &code[13..])).unwrap();
    let by_file =
        |user: &str| home.run(&["--user", user, "--invite-file", file.to_str().unwrap(), "register"]);
    by_file("alice").expect_code(0);
    home.run(&["--user", "alice", "peers"]).expect_code(0);
    by_file("bob").expect_code(1).expect_error("that invitation is not good, or not any more");
    assert!(invites(&daemon).is_empty());

    let code = ctl(&daemon, &["invite", "create", "--uses", "5"]);
    let by_flag = |user: &str| home.run(&["--user", user, "--invite", code.trim(), "register"]);
    by_flag("Alice").expect_code(1).expect_error("taken");
    by_flag("аlice").expect_code(1).expect_error("that username looks like alice, which is taken");
    by_flag("bob").expect_code(0);
    by_flag("carol").expect_code(0);
    let id = invites(&daemon)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(invites(&daemon)[0]["left"], 3);
    assert_eq!(ctl(&daemon, &["invite", "revoke", &id]), format!("{id} is good no longer\n"));
    by_flag("dave").expect_code(1).expect_error("not good");
    home.run(&["--user", "dave", "--invite", "hello", "register"]).expect_code(2).expect_error("invitation");

    // Codes are in no log and in no file.
    let audit = fs::read_to_string(daemon.data().join("audit.jsonl")).unwrap();
    assert!(audit.contains("invite-create") && audit.contains(&id) && !audit.contains(code.trim()));
    let store = fs::read(daemon.data().join("registry.redb")).unwrap();
    assert!(!store.windows(26).any(|window| window == code.trim().as_bytes()));
    assert!(!daemon.log.to_string().contains(code.trim()));
}

#[test]
fn an_invitation_outlasts_a_kill_and_is_used_once_by_many_who_try_at_once() {
    let daemon = Daemon::with(&["--registration", "invite"]);
    let code = ctl(&daemon, &["invite", "create"]);
    let daemon = daemon.restart();
    let racers: Vec<_> = (0..8)
        .map(|n| {
            let mut racer = Wire::extended(&daemon, "invite");
            racer.say(&format!("REGISTER <racer{n}> <{}> <{}>", crate::DIGEST, code.trim()));
            racer
        })
        .collect();
    let replies: Vec<_> = racers.into_iter().map(|mut racer| racer.hear()).collect();
    let winners = replies.iter().filter(|reply| *reply == "REGISTER <SUCCESS> <200>").count();
    assert_eq!(winners, 1, "{replies:?}");
    let daemon = daemon.restart();
    assert!(invites(&daemon).is_empty());
    let users = ctl(&daemon, &["users", "--json"]);
    assert_eq!(users.lines().count(), 1, "{users}");
}

#[test]
fn who_sits_at_the_prompt_is_asked_for_the_code() {
    let daemon = Daemon::with(&["--registration", "invite"]);
    let home = Home::new(&daemon);
    let code = ctl(&daemon, &["invite", "create"]);
    let mut alice = home.start_unprepared(&[]);
    // What comes by a pipe is not asked for, but taken in the same order.
    for line in ["/register", "alice", PASSWORD, code.trim()] {
        alice.type_line(line);
    }
    alice.out.expect("logged in as alice");
    alice.type_line("/quit");

    let code = ctl(&daemon, &["invite", "create"]);
    let mut bob = home.start_unprepared(&["--menu"]);
    bob.out.expect("Choose an option: ");
    bob.type_line("1");
    bob.out.expect("Username: ");
    bob.type_line("bob");
    bob.out.expect("Password: ");
    bob.type_line(PASSWORD);
    bob.out.expect("This registry wants an invitation. Its code: ");
    bob.type_line(code.trim());
    bob.out.expect("Account created");
}

#[test]
fn a_closed_registry_takes_nobody() {
    let daemon = Daemon::with(&["--registration", "closed"]);
    let home = Home::new(&daemon);
    let code = ctl(&daemon, &["invite", "create"]);
    let refused = home.run(&["--user", "alice", "--invite", code.trim(), "register"]).expect_code(1);
    refused.expect_error("this registry takes no registrations");
}
