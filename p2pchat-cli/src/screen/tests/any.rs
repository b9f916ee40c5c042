//! Any text, any keys, any size.

use crossterm::event::{KeyCode, KeyModifiers};
use p2pchat_core::peer::Event;
use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend};

use super::{super::view, app, den, entry, lively, press, shown};

proptest! {
    /// Whatever others send, it is drawn inside its place, and nothing of it reaches the terminal as anything but letters.
    #[test]
    fn hostile_text_stays_inside_its_rows(
        text in prop_oneof![any::<String>(), "[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}\u{200b}-\u{200f}a日👩\u{301}\u{fe0f}]{0,80}"],
        width in 1_u16..120,
        height in 1_u16..40,
    ) {
        let mut app = lively();
        app.said(&den(), 50, entry("bob", &text));
        app.happened(&Event::Fault { culprit: text.clone(), what: text.clone() });
        app.happened(&Event::Disconnected { reason: text.clone(), retry_in: std::time::Duration::ZERO });
        app.paste(&text);
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        app.resize(width, height);
        for at in 0..3 {
            app.switch(at);
            terminal.draw(|frame| view::draw(&app, frame, false)).unwrap();
            for cell in terminal.backend().buffer().content() {
                let is_hostile = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}');
                prop_assert!(!cell.symbol().contains(is_hostile));
            }
        }
    }

    /// Only a message's first row begins where names stand, also where all is shown bare.
    #[test]
    fn nobody_writes_a_row_that_seems_to_be_somebody_elses(
        text in "([a-z:> `*-]{0,30}\n){0,4}[a-z:]{0,90}",
        width in 20_u16..100,
        bare in any::<bool>(),
    ) {
        let mut app = app();
        app.bare = bare;
        app.said(&den(), 1, entry("bob", &text));
        app.switch(1);
        let rows = shown(&mut app, (width, 40));
        // Between the quotes of the picture; the rows of the conversation alone.
        let rows = rows.lines().map(|row| row.trim_start_matches('"')).take(38);
        let mut rows = rows.skip_while(|row| !row.contains("bob:"));
        let first = rows.next().unwrap();
        let names = first.chars().position(|c| c == 'b').unwrap();
        for row in rows {
            prop_assert!(row.chars().take(names + 2).all(|c| c == ' '), "{row:?} below {first:?}");
        }
    }

    /// Any keys in any order at any size.
    #[test]
    fn no_keys_are_too_much(keys in prop::collection::vec((0_usize..40, 0_u8..8), 0..60), width in 0_u16..90, height in 0_u16..30) {
        let codes = [
            KeyCode::Enter, KeyCode::Tab, KeyCode::BackTab, KeyCode::Esc, KeyCode::Up, KeyCode::Down, KeyCode::Left,
            KeyCode::Right, KeyCode::Home, KeyCode::End, KeyCode::PageUp, KeyCode::PageDown, KeyCode::Backspace,
            KeyCode::Delete, KeyCode::F(1),
        ];
        let mut app = lively();
        app.requests = vec![("carol".to_owned(), false)];
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        app.resize(width, height);
        for (key, modifiers) in keys {
            let typed = "/abc?#日 \u{301}nypkmloe".chars().collect::<Vec<_>>();
            let code = codes.get(key).copied().unwrap_or(KeyCode::Char(typed[key % typed.len()]));
            press(&mut app, code, KeyModifiers::from_bits_truncate(modifiers));
            terminal.draw(|frame| view::draw(&app, frame, true)).unwrap();
        }
    }
}
