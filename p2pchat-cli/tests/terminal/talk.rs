//! Two people and what they say to each other.

use std::time::Duration;

use serde_json::json;

use super::{Daemon, Desk, Home, WIDE, open_chat, somebody};

#[test]
fn a_chat_is_asked_for_accepted_and_each_message_confirmed() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    alice.enter("/chat bob");
    alice.see("bob  connecting …");
    // What is said before there is an answer waits for it.
    alice.enter("are you there?");
    alice.see("… alice: are you there?");
    bob.see("alice wants to chat: alt-y accepts, alt-n declines");
    bob.press("M-y");
    bob.see(" alice  direct, encrypted");
    bob.see("  alice: are you there?");
    alice.see("✓ alice: are you there?");
    bob.enter("I am, *really*");
    bob.see("✓ bob: I am, *really*");
    alice.see("  bob: I am, *really*");
    assert!(!bob.screen().has("wants to chat"), "it is answered");
}

#[test]
fn declining_is_silent() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    alice.enter("/chat bob");
    bob.see("alice wants to chat: alt-y accepts, alt-n declines");
    let before = alice.see("bob  connecting …");
    bob.press("M-n");
    bob.see("alice isn't answered");
    bob.see_gone("alt-n declines");
    alice.never_sees("declined", Duration::from_secs(2));
    assert_eq!(alice.screen(), before, "as if nobody had looked");
}

#[test]
fn what_is_pasted_is_one_message() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let mut bob = his.listener("bob", &[]);
    alice.enter("/chat bob");
    alice.see(" bob  direct, encrypted");
    alice.paste("fn main() {\n\tlet a = 1;\n}");
    let pasted = alice
        .until("all rows in the input", |screen| screen.rows.last().is_some_and(|row| row.ends_with('}')));
    assert!(pasted.has("> fn main() {"), "{pasted}");
    assert!(!pasted.has("alice:"), "nothing is sent by itself\n{pasted}");
    alice.press("Enter");
    let sent = alice.see("✓ alice: fn main() {");
    assert_eq!(sent.count("alice:"), 1, "{sent}");
    assert_eq!(bob.expect_event("message")["text"], json!("fn main() {\n\tlet a = 1;\n}"));

    // And it comes back as one.
    alice.press("Up");
    alice.until("it is there to be said again", |screen| {
        screen.rows.last().is_some_and(|row| row.ends_with('}'))
    });
}

#[test]
fn names_rooms_and_commands_are_completed() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    let typed = |what: &'static str| {
        move |screen: &super::pane::Screen| screen.rows.last().is_some_and(|row| row == what)
    };
    alice.type_in("/cre");
    alice.press("Tab");
    alice.until("the command is whole", typed("> /create"));
    alice.enter("den");
    alice.see("#den  1 online");
    bob.enter("/join #den");
    alice.see("● bob");
    alice.type_in("bo");
    alice.press("Tab");
    alice.until("the name is whole", typed("> bob:"));
    alice.type_in("see /msg #d");
    alice.press("Tab");
    alice.until("the room is whole", typed("> bob: see /msg #den"));
    // Undone, and done again.
    alice.press("C-z");
    alice.until("it is as before", typed("> bob: see /msg #d"));
    alice.press("C-u");
    alice.until("the line is empty", typed(">"));
    open_chat(&alice, &bob);
}

#[test]
fn somebody_elsewhere_is_called() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    open_chat(&alice, &bob);
    bob.press("C-p");
    bob.see("notes of the program");
    bob.record();
    bob.enter("/dnd");
    bob.see("do not disturb");
    alice.enter("one");
    bob.see("1 unread, 1 for you");
    assert!(!bob.recorded().contains('\x07'), "he wants none");
    bob.enter("/dnd");
    bob.see("you are told of things again");
    alice.enter("two");
    bob.see("2 unread, 2 for you");
    bob.until("the bell", |_| bob.recorded().contains('\x07'));
}

#[test]
fn links_are_made_by_the_client_and_lead_where_they_say() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    open_chat(&alice, &bob);
    bob.record();
    alice.enter("see https://example.org/a, or ask me");
    bob.see("https://example.org/a[1], or ask me");
    bob.until("a link of the terminal's", |_| {
        let written = bob.recorded();
        let mut links = written.split("\x1b]8;").skip(1).filter_map(|rest| rest.split_once("\x1b\\"));
        links.any(|(link, _)| link.ends_with(";https://example.org/a"))
    });
    bob.enter("/open 2");
    bob.see("there is no such link here");
}

#[test]
fn a_file_is_offered_taken_and_there() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    open_chat(&alice, &bob);
    std::fs::write(hers.folder().join("plan.txt"), "tea at five").unwrap();
    alice.enter("/send bob ~/plan.txt");
    alice.see("offering ~/plan.txt to bob …");
    bob.see("alice offers a file: plan.txt, 11 bytes");
    let folder = his.folder().join("taken");
    std::fs::create_dir(&folder).unwrap();
    bob.enter("/take 1 ~/taken");
    bob.see("the file is there");
    alice.see("bob has ~/plan.txt");
    assert_eq!(std::fs::read_to_string(folder.join("plan.txt")).unwrap(), "tea at five");
}
