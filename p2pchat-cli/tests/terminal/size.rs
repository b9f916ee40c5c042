//! Terminals of all sizes, and letters of all widths.

use unicode_width::UnicodeWidthStr;

use super::{Daemon, Desk, Home, Pane, WIDE, open_chat, pane::Screen, somebody};

/// Nothing stands there that a new drawing wouldn't put there.
fn assert_clean(pane: &Pane<'_>) -> Screen {
    let before = pane.still();
    // So that the new drawing can be told from the old one.
    pane.scribble("\x1b7\x1b[1;1H#####\x1b8");
    pane.see("#####");
    pane.press("C-l");
    pane.see_gone("#####");
    let after = pane.still();
    assert_eq!(before, after, "drawn:\n{before}\ndrawn anew:\n{after}");
    after
}

#[test]
fn a_new_size_leaves_nothing_behind() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", (90, 24));
    let mut bob = his.listener("bob", &[]);
    alice.enter("/create den");
    alice.see("#den  1 online");
    let _carol = his.listener("carol", &["--room", "den"]);
    alice.see("● carol");
    for line in 0..12 {
        alice.enter(&format!("line {line} of a text that is long enough to be broken on a small terminal"));
        alice.see(&format!("✓ alice: line {line} "));
    }
    alice.type_in("half a thought");
    alice.until("it is typed", |screen| screen.rows.last().is_some_and(|row| row == "> half a thought"));
    for size in [(40, 10), (30, 6), (120, 40), (20, 3), (90, 24)] {
        alice.resize(size);
        let (columns, rows) = (usize::from(size.0), usize::from(size.1));
        alice.until("the bar is as wide as the terminal", |screen| {
            screen.rows.len() == rows
                && screen.rows[rows - 1] == "> half a thought"
                && screen.rows[rows - 2].starts_with(" ● alice online")
        });
        let screen = assert_clean(&alice);
        assert!(screen.rows.iter().all(|row| row.width() <= columns), "{screen}");
        // With lists where there is room for them, and without where there is none.
        assert_eq!(screen.has("● carol"), columns >= 76, "{screen}");
        assert_eq!(screen.has("terminal"), rows > 3, "{screen}");
    }
    // What came while it was small is there, and the caret is where it was.
    alice.press("C-u");
    alice.enter("/chat bob");
    alice.see(" bob  direct, encrypted");
    bob.expect_event("chat_opened");
    assert_clean(&alice);
}

#[test]
fn wide_and_combining_letters_keep_to_their_columns() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", (90, 10));
    alice.enter("/create den");
    alice.see("#den  1 online");
    let others = ["bob", "carol", "dave", "erin", "frank"];
    let _others = others.map(|name| his.listener(name, &["--room", "den"]));
    alice.see("#den  6 online");
    // As many texts as there are members, each beside one of them.
    let texts =
        ["日本語のテキスト", "한국어 中文", "🎉 party 🚀", "e\u{301}a\u{308}o\u{302}", "plain", "ｗｉｄｅ"];
    for text in texts {
        alice.enter(text);
        alice.until(text, |screen| {
            screen.rows.iter().any(|row| row.contains("✓ alice: ") && row.contains(text))
        });
    }
    let screen = assert_clean(&alice);
    let columns: Vec<usize> = screen
        .rows
        .iter()
        .filter_map(|row| row.rfind(['●', '○']).filter(|at| *at > 20).map(|at| row[..at].width()))
        .collect();
    assert!(columns.len() >= 6, "{screen}");
    assert!(columns.iter().all(|column| *column == columns[0]), "{columns:?}\n{screen}");

    // The caret stands behind what was typed, in cells.
    for (typed, cells) in [("漢字", 4), ("é", 5), ("e\u{301}", 6), ("🎉", 8)] {
        alice.type_in(typed);
        alice.until("the caret", |_| alice.ask("#{cursor_x}") == (2 + cells).to_string());
    }
    alice.press("Left");
    alice.until("the caret is before the last one", |_| alice.ask("#{cursor_x}") == "8");
}

#[test]
fn letters_made_of_several_come_and_go_and_leave_nothing() {
    let Some(desk) = Desk::new() else { return };
    let daemon = Daemon::start();
    let (hers, his) = (Home::new(&daemon), Home::new(&daemon));
    let alice = somebody(&desk, &hers, "alice", WIDE);
    let bob = somebody(&desk, &his, "bob", WIDE);
    open_chat(&alice, &bob);
    for n in 0..20 {
        alice.enter(&format!("{n} 👍🏽 and ❤\u{fe0f} and 👩\u{200d}🚀"));
        bob.type_in("x");
        bob.see(&format!("alice: {n} "));
        bob.press("BSpace");
        alice.press("C-p");
        alice.press("C-n");
    }
    alice.see("✓ alice: 19 ");
    bob.enter("still here");
    alice.see("bob: still here");
    assert_clean(&bob);
    assert_clean(&alice);
}
