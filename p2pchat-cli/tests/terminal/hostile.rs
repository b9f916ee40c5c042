//! Text that was made to do something to whoever reads it.

use super::{Daemon, Desk, Home, Pane, WIDE, client::PASSWORD, log_in};

/// Each tries to leave something that [`traces`] finds.
const ATTACKS: [&str; 8] = [
    "\x1b]2;gotcha\x07",
    "\x1b]0;gotcha\x1b\\",
    "\u{9d}2;gotcha\u{9c}",
    "\x1bkgotcha\x1b\\",
    "\x1b]52;c;Z290Y2hh\x07",
    "\x1b[1;1H\x1b[41mgotcha",
    "\x1b[?1049l\x1b[2J\x1b[?25l",
    "\x1bcgotcha\x1b[6n\x1b[?2004l",
];

/// The title, the clipboard, whether there is a caret, and which screen is shown.
fn traces(pane: &Pane<'_>) -> (String, String, String) {
    (pane.ask("#{pane_title} #{window_name}"), pane.clipboard(), pane.ask("#{cursor_flag} #{alternate_on}"))
}

#[test]
fn hostile_text_does_nothing_but_stand_there() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));

    // They would do it, on a terminal that shows what comes as it comes.
    let victim = desk.open(&his, "victim", WIDE);
    victim.scribble(ATTACKS[0]);
    victim.until("another title", |_| victim.ask("#{pane_title}") == "gotcha");
    victim.scribble(ATTACKS[3]);
    victim.until("another name", |_| victim.ask("#{window_name}") == "gotcha");
    victim.scribble(ATTACKS[4]);
    victim.until("another clipboard", |_| victim.clipboard().contains("gotcha"));
    victim.scribble(ATTACKS[6]);
    victim.until("no caret", |_| victim.ask("#{cursor_flag}") == "0");
    drop(desk);

    let Some(desk) = Desk::new() else { return };
    hers.register("alice");
    // Without colours of the client's own any colour is somebody else's.
    let alice = desk.open_with(&hers, "alice", WIDE, &[("NO_COLOR", "1"), ("P2PCHAT_PASSWORD", PASSWORD)]);
    log_in(&alice, "alice");
    let before = traces(&alice);
    his.register("mallory");
    let mut mallory = his.start(&["--user", "mallory", "send", "alice", "-"]);
    let mut all = String::from("first");
    for attack in ATTACKS {
        all += attack;
    }
    all += "\u{202e}\u{2066}last";
    mallory.type_text(&all);
    drop(mallory.take_keyboard());
    alice.see("mallory wants to chat: alt-y accepts");
    alice.press("M-y");
    let shown = alice.see("last");
    mallory.outcome().expect_code(0);
    // Everything is there to be read, and nothing of it was done.
    assert!(shown.has("first␛]2;gotcha␇␛]0;gotcha␛\\‹U+009D›2;gotcha"), "{shown}");
    assert!(shown.rows[0].starts_with(" mallory"), "{shown}");
    assert!(shown.has("● alice online"), "{shown}");
    assert_eq!(traces(&alice), before);
    assert_eq!(alice.colours(), 0, "{shown}");
    // Nor did the terminal answer anything, which would be typed now.
    assert_eq!(shown.rows.last().unwrap(), ">", "{shown}");
    // What is pasted is still known as such.
    alice.paste("two\nlines");
    alice.until("both in the input", |screen| screen.rows.last().is_some_and(|row| row == "  lines"));
}
