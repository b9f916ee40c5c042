//! The screen as people see it, and what their keys make of it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use p2pchat_core::{
    peer::Event,
    proto::{RoomName, Username},
};
use ratatui::{Terminal, backend::TestBackend};

use super::{
    app::{Act, App, Registry},
    chat::Path,
    keys::Keys,
    over::Over,
    theme::Theme,
    view, welcome,
};
use crate::{
    archive::{ChatMemory, Entry, GIVEN_UP, Level, State},
    command::Command,
    config::{self, Config},
    output::Tone,
    report::{Report, Said},
    target::Target,
};

mod any;

/// 15:04 of a Sunday.
const NOW: u64 = 1_795_964_640_000;
/// What the client is made for, and the least that it works at.
const SIZES: [(u16, u16); 3] = [(100, 24), (60, 16), (40, 10)];

fn name(name: &str) -> Username {
    name.parse().unwrap()
}

fn bob() -> Target {
    Target::User(name("bob"))
}

fn den() -> Target {
    Target::parse("#den").unwrap()
}

fn app() -> App {
    let theme = Theme::of(config::Theme::Dark);
    let keys = Keys::new(&Config::default().keys).unwrap();
    let mut app = App::new(name("alice"), Config::default(), theme, keys, TimeZone::UTC);
    app.now = NOW;
    app
}

fn entry(from: &str, text: &str) -> Entry {
    Entry {
        at: NOW,
        from: Some(name(from)),
        own: from == "alice",
        text: text.to_owned(),
        secured: true,
        late: false,
        state: if from == "alice" { State::Delivered } else { State::Received },
        receivers: Vec::new(),
    }
}

/// A chat and a room in which something was said.
fn lively() -> App {
    let mut app = app();
    app.note(None, Said::new(Tone::Success, "logged in as alice"));
    app.happened(&Event::ChatOpened { with: Some(name("bob")), secured: true });
    let room: RoomName = "den".parse().unwrap();
    app.happened(&Event::RoomEntered {
        room: room.clone(),
        members: ["alice", "bob", "carol"].map(name).into(),
    });
    app.happened(&Event::MemberOffline { username: name("carol"), rooms: vec![room] });
    app.said(&bob(), 1, entry("bob", "are you coming to *den*?"));
    app.switch(2);
    app.said(&den(), 2, entry("bob", "see https://example.org/a for more, alice"));
    app.said(&den(), 3, entry("alice", "日本語, 👩\u{200d}🚀 and e\u{301} line up"));
    app.said(&den(), 4, entry("bob", "> a quote\n- an item\n```\nfn main() {}\n```\nand \u{1b}[2J hostile"));
    let mut waiting = entry("alice", "this one waits");
    waiting.state = State::Waiting;
    app.said(&den(), 5, waiting);
    let mut clear = entry("carol", "nobody encrypts this");
    clear.secured = false;
    app.said(&den(), 6, clear);
    app
}

fn shown(app: &mut App, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    app.resize(width, height);
    terminal.draw(|frame| view::draw(app, frame, false)).unwrap();
    terminal.backend().to_string()
}

fn press(app: &mut App, code: KeyCode, modifiers: KeyModifiers) {
    app.key(&KeyEvent::new(code, modifiers));
}

fn type_in(app: &mut App, text: &str) {
    text.chars().for_each(|c| press(app, KeyCode::Char(c), KeyModifiers::NONE));
    press(app, KeyCode::Enter, KeyModifiers::NONE);
}

fn acts(app: &mut App) -> Vec<Act> {
    std::iter::from_fn(|| app.poll()).collect()
}

#[test]
fn a_room_at_three_sizes() {
    for size in SIZES {
        insta::assert_snapshot!(format!("room_{}x{}", size.0, size.1), shown(&mut lively(), size));
    }
}

#[test]
fn a_chat_whose_way_is_lost_and_a_wish_at_three_sizes() {
    for size in SIZES {
        let mut app = lively();
        app.switch(1);
        app.requests = vec![("carol".to_owned(), true), ("dave".to_owned(), true)];
        app.happened(&Event::ChatInterrupted { with: name("bob"), reason: "connection reset".to_owned() });
        let gone = Event::Disconnected { reason: "no route".to_owned(), retry_in: std::time::Duration::ZERO };
        app.happened(&gone);
        let mut failed = entry("alice", "did you get this?");
        failed.state = State::Failed("declined".to_owned());
        app.said(&bob(), 7, failed);
        app.paste("two lines\nof one message");
        insta::assert_snapshot!(format!("chat_{}x{}", size.0, size.1), shown(&mut app, size));
    }
}

#[test]
fn what_lies_over_a_conversation_at_three_sizes() {
    for size in SIZES {
        let mut app = lively();
        press(&mut app, KeyCode::Char('?'), KeyModifiers::NONE);
        insta::assert_snapshot!(format!("keys_{}x{}", size.0, size.1), shown(&mut app, size));
        let hits = vec![(2, den(), entry("bob", "see https://example.org/a for more, alice"))];
        app.over = Some(Over::Hits { words: "more".to_owned(), hits, chosen: 0 });
        insta::assert_snapshot!(format!("hits_{}x{}", size.0, size.1), shown(&mut app, size));
    }
}

#[test]
fn the_first_screen_at_three_sizes() {
    for (width, height) in SIZES {
        let mut page = welcome::Page {
            title: "Welcome to p2pchat".to_owned(),
            lines: vec![
                "A registry knows who is online and which rooms there are; what you say goes straight."
                    .into(),
            ],
            prompt: Some("Registry (host or host:port)"),
            problem: Some("can't reach the registry: nobody listens there".to_owned()),
            keys: "Enter goes on   Ctrl-D leaves",
            ..welcome::Page::default()
        };
        page.typed.set("chat.example.org");
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let theme = Theme::of(config::Theme::Dark);
        terminal.draw(|frame| welcome::draw(&page, &theme, frame)).unwrap();
        insta::assert_snapshot!(format!("welcome_{width}x{height}"), terminal.backend().to_string());
    }
}

#[test]
fn the_caret_stands_where_the_next_letter_comes() {
    let mut app = lively();
    app.paste("日本");
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    app.resize(80, 24);
    terminal.draw(|frame| view::draw(&app, frame, false)).unwrap();
    terminal.backend_mut().assert_cursor_position((6, 23));
}

#[test]
fn unread_and_mentions_are_counted_until_they_are_seen() {
    let mut app = lively();
    let count = |app: &App, at: usize| (app.chats[at].unread, app.chats[at].mentions);
    // What is said to one alone is for one.
    assert_eq!((count(&app, 1), count(&app, 2)), ((1, 1), (0, 0)));
    app.switch(0);
    app.said(&den(), 8, entry("bob", "hi all"));
    app.said(&den(), 9, entry("bob", "ALICE, you too; malice doesn't count"));
    app.said(&den(), 10, entry("bob", "malice"));
    assert_eq!(count(&app, 2), (3, 1));
    // Mentions first, though the chat is nearer.
    app.chats[1].mentions = 0;
    press(&mut app, KeyCode::Char('a'), KeyModifiers::ALT);
    assert_eq!(app.current, 2);
    assert_eq!(count(&app, 2), (0, 0));
    assert_eq!(app.chats[2].divider, Some(6));
    assert!(shown(&mut app, (80, 24)).contains("── new ─"));
}

#[test]
fn who_looks_away_hears_of_it_as_they_want_to() {
    let mut app = lively();
    let told = |app: &mut App| -> Vec<String> {
        app.now += 1_000;
        acts(app)
            .into_iter()
            .filter_map(|act| match act {
                Act::Notify(what) => Some(what),
                _ => None,
            })
            .collect()
    };
    told(&mut app);
    app.said(&den(), 20, entry("bob", "alice?"));
    assert!(told(&mut app).is_empty(), "it is in front of the user");
    app.focused = false;
    app.said(&den(), 21, entry("bob", "alice?"));
    assert_eq!(told(&mut app), ["bob in #den: “alice?”"]);
    app.said(&den(), 22, entry("bob", "anyone?"));
    assert!(told(&mut app).is_empty());
    type_in(&mut app, "/notify all");
    app.said(&den(), 23, entry("bob", "anyone?"));
    assert_eq!(told(&mut app).len(), 1);
    type_in(&mut app, "/notify nothing");
    app.said(&den(), 24, entry("bob", "alice!"));
    app.said(&bob(), 25, entry("bob", "hey"));
    assert_eq!(told(&mut app), ["bob: “hey”"]);
    // A flood is no reason for a siren.
    app.said(&bob(), 30, entry("bob", "hey"));
    app.said(&bob(), 31, entry("bob", "hey!!"));
    assert_eq!(told(&mut app), ["bob: “hey”"]);
    app.tick();
    assert_eq!(told(&mut app), ["bob: “hey!!”"]);
    type_in(&mut app, "/dnd");
    app.said(&bob(), 26, entry("bob", "hey!"));
    assert!(told(&mut app).is_empty());
    assert_eq!(app.chats[2].memory.level, Level::Nothing);
}

#[test]
fn drafts_stay_where_they_were_typed() {
    let mut app = lively();
    acts(&mut app);
    app.paste("half a thou");
    app.switch(1);
    assert!(app.input.is_empty());
    let drafts = |app: &mut App| -> Vec<String> {
        let kept = acts(app).into_iter().filter_map(|act| match act {
            Act::Remember(target, memory) if target == den() => Some(memory.draft),
            _ => None,
        });
        kept.collect()
    };
    assert_eq!(drafts(&mut app), ["half a thou"]);
    app.switch(2);
    assert_eq!(app.input.text(), "half a thou");
    // Nor need one leave for it.
    app.paste("ght");
    app.remember();
    app.remember();
    assert_eq!(drafts(&mut app), ["half a thought"]);
}

#[test]
fn what_was_typed_outlasts_a_look_elsewhere() {
    let mut app = lively();
    app.input.remember("older");
    app.paste("half a thought");
    press(&mut app, KeyCode::Up, KeyModifiers::NONE);
    assert_eq!(app.input.text(), "older");
    app.switch(1);
    app.switch(2);
    assert_eq!(app.input.text(), "half a thought");
    press(&mut app, KeyCode::Char('f'), KeyModifiers::CONTROL);
    acts(&mut app);
    type_in(&mut app, "tea");
    assert_eq!(acts(&mut app), [Act::Search("tea".to_owned())]);
    assert_eq!(app.input.text(), "half a thought");
}

#[test]
fn a_message_may_begin_with_a_question_mark() {
    let mut app = lively();
    for c in "?!".chars() {
        press(&mut app, KeyCode::Char(c), KeyModifiers::NONE);
    }
    assert_eq!(app.input.text(), "?!");
    assert!(app.over.is_none());
}

#[test]
fn who_has_not_proven_who_they_are_looks_otherwise() {
    let mut app = lively();
    app.requests = vec![("bob".to_owned(), false)];
    assert!(shown(&mut app, (100, 24)).contains("bob (NOT PROVEN to be them) wants to chat: alt-y accepts"));
}

#[test]
fn who_is_not_heard_is_told_once() {
    let mut app = lively();
    app.switch(0);
    for count in [0, 1, 2, 3] {
        app.unanswered(count);
    }
    let seen = shown(&mut app, (100, 24));
    assert_eq!(seen.matches("doesn't answer keep-alives").count(), 1);
    assert!(seen.contains("keep-alives unanswered"));
    app.unanswered(0);
    assert!(!shown(&mut app, (100, 24)).contains("keep-alives unanswered"));
}

#[test]
fn a_computer_that_slept_is_told_of() {
    let mut app = lively();
    app.slept(7 * 60_000);
    assert!(shown(&mut app, (100, 24)).contains("this computer slept for about 7 min"));
}

#[test]
fn what_is_restored_is_as_it_was_left() {
    let mut app = app();
    let memory = ChatMemory { read: 1, draft: "well".to_owned(), order: 1, ..ChatMemory::default() };
    let last = vec![(1, entry("bob", "old")), (2, entry("bob", "new")), (3, entry("alice", "mine"))];
    app.restore(bob(), memory, last);
    assert_eq!((app.chats[1].unread, app.chats[1].mentions), (1, 1));
    app.switch(1);
    assert_eq!(app.input.text(), "well");
    assert!(shown(&mut app, (80, 24)).contains("── new ─"));
}

#[test]
fn what_cannot_be_done_or_sent_stays_where_it_was_typed() {
    let mut app = lively();
    acts(&mut app);
    for (text, words) in [
        ("/chat".to_owned(), "usage: /chat USER"),
        ("/etc/passwd\nroot".to_owned(), "there is no /etc/passwd"),
        ("x".repeat(20_000), "the message"),
        (format!("/msg bob {}", "x".repeat(20_000)), "the message"),
        ("/switch nobody".to_owned(), "not on the list"),
    ] {
        app.input.set("");
        app.paste(&text);
        press(&mut app, KeyCode::Enter, KeyModifiers::NONE);
        assert_eq!(app.input.text(), text);
        assert!(acts(&mut app).is_empty());
        assert!(shown(&mut app, (100, 24)).contains(words), "{words}");
        app.input.set("");
    }
    app.switch(0);
    acts(&mut app);
    type_in(&mut app, "hello?");
    assert!(acts(&mut app).is_empty() && app.input.text() == "hello?");
}

#[test]
fn a_pasted_text_is_one_message() {
    let mut app = lively();
    acts(&mut app);
    app.paste("one\r\ntwo\n\nfour");
    press(&mut app, KeyCode::Enter, KeyModifiers::NONE);
    assert_eq!(acts(&mut app), [Act::Say(den(), "one\ntwo\n\nfour".to_owned())]);
}

#[test]
fn commands_go_where_the_line_modes_go() {
    let mut app = lively();
    acts(&mut app);
    type_in(&mut app, "/members");
    type_in(&mut app, "/msg bob psst");
    type_in(&mut app, "/quit");
    assert_eq!(
        acts(&mut app),
        [Act::Run(Command::Members(None), Some(den())), Act::Say(bob(), "psst".to_owned()), Act::Quit,]
    );
    press(&mut app, KeyCode::Up, KeyModifiers::NONE);
    press(&mut app, KeyCode::Up, KeyModifiers::NONE);
    assert_eq!(app.input.text(), "/msg bob psst");
}

#[test]
fn names_rooms_and_commands_are_completed() {
    let mut app = lively();
    for (typed, completed) in
        [("bo", "bob: "), ("/wh", "/who "), ("tell #d", "tell #den "), ("hi ca", "hi carol ")]
    {
        app.input.set(typed);
        press(&mut app, KeyCode::Tab, KeyModifiers::NONE);
        assert_eq!(app.input.text(), completed);
    }
    app.input.set("");
}

#[test]
fn a_wish_is_accepted_or_declined_by_a_key() {
    let mut app = lively();
    acts(&mut app);
    app.requests = vec![("carol".to_owned(), false)];
    press(&mut app, KeyCode::Char('y'), KeyModifiers::ALT);
    press(&mut app, KeyCode::Char('n'), KeyModifiers::ALT);
    let who = Some("carol".to_owned());
    assert_eq!(acts(&mut app), [Act::Run(Command::Accept(who.clone()), None), Act::Decline(who)]);
}

#[test]
fn links_are_opened_by_their_numbers_and_marked_for_the_terminal() {
    let mut app = lively();
    acts(&mut app);
    type_in(&mut app, "/open 1");
    let Some(Act::Open(link)) = acts(&mut app).pop() else { panic!("nothing opened") };
    assert_eq!(link.target(), "https://example.org/a");
    type_in(&mut app, "/open 2");
    assert!(shown(&mut app, (100, 24)).contains("there is no such link here"));
    let mut terminal = Terminal::new(TestBackend::new(100, 24)).unwrap();
    app.resize(100, 24);
    terminal.draw(|frame| view::draw(&app, frame, true)).unwrap();
    let linked: Vec<&str> = terminal
        .backend()
        .buffer()
        .content()
        .iter()
        .map(|cell| cell.symbol())
        .filter(|symbol| symbol.starts_with("\u{1b}]8;id="))
        .collect();
    assert_eq!(linked.len(), "https://example.org/a".len());
    assert!(linked.iter().all(|symbol| symbol.contains(";https://example.org/a\u{1b}\\")));
}

#[test]
fn scrolling_stops_at_both_ends_and_asks_for_what_is_older() {
    let mut app = lively();
    for id in 100..200 {
        app.said(&den(), id, entry("bob", &format!("line {id}")));
    }
    shown(&mut app, (80, 24));
    acts(&mut app);
    press(&mut app, KeyCode::PageUp, KeyModifiers::NONE);
    let before = shown(&mut app, (80, 24));
    assert!(!before.contains("line 199") && acts(&mut app).is_empty());
    // Who reads further up isn't pulled away.
    app.said(&den(), 200, entry("bob", "line 200"));
    assert_eq!(shown(&mut app, (80, 24)).lines().nth(10), before.lines().nth(10));
    assert_eq!(app.chats[2].unread, 1);
    press(&mut app, KeyCode::Home, KeyModifiers::CONTROL);
    assert_eq!(acts(&mut app), [Act::Load(den(), Some(2))]);
    app.chats[2].prepend(Vec::new());
    press(&mut app, KeyCode::PageUp, KeyModifiers::NONE);
    assert!(acts(&mut app).is_empty());
    assert!(app.show(150) && shown(&mut app, (80, 24)).contains("line 150"));
    press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
    assert!(shown(&mut app, (80, 24)).contains("line 200"));
    assert_eq!(app.chats[2].unread, 0);
}

#[test]
fn what_went_on_without_the_registry_is_marked() {
    let mut app = lively();
    app.happened(&Event::Disconnected {
        reason: "gone\u{1b}[2J".to_owned(),
        retry_in: std::time::Duration::ZERO,
    });
    let shown_lost = shown(&mut app, (100, 24));
    assert!(shown_lost.contains("no registry since 15:04: gone␛[2J"), "{shown_lost}");
    app.now += 3 * 60_000;
    app.happened(&Event::Reconnected);
    assert_eq!(app.registry, Registry::Online);
    let marked = acts(&mut app).into_iter().find_map(|act| match act {
        Act::Mark(room, text) => Some((room, text)),
        _ => None,
    });
    let (room, text) = marked.unwrap();
    assert!(room == den() && text.starts_with("no registry from 15:04 to 15:07"), "{text}");
}

#[test]
fn the_way_to_somebody_is_in_sight() {
    let mut app = lively();
    app.switch(1);
    for (path, words) in [
        (Path::Connecting, "connecting …"),
        (Path::Direct { secured: true }, "direct, encrypted"),
        (Path::Direct { secured: false }, "direct, NOT ENCRYPTED"),
        (Path::Unreachable("no port announced".to_owned()), "unreachable: no port announced"),
    ] {
        app.path(&name("bob"), path);
        assert!(shown(&mut app, (80, 24)).lines().next().unwrap().contains(words));
    }
}

#[test]
fn who_has_a_message_of_a_room_is_told() {
    let mut app = lively();
    let failed = State::Failed("took too long".to_owned());
    app.state(5, State::Delivered, Some(vec![(name("bob"), State::Delivered), (name("carol"), failed)]));
    assert!(shown(&mut app, (80, 24)).contains("◐ alice: this one waits"));
    type_in(&mut app, "/receipts");
    let receipts = shown(&mut app, (80, 24));
    assert!(
        receipts.contains("bob: delivered") && receipts.contains("carol: failed: took too long"),
        "{receipts}"
    );
    assert!(receipts.contains("offline now, whom nothing waits for: carol"), "{receipts}");
}

#[test]
fn what_was_given_up_is_not_sent_again() {
    let mut app = lively();
    for (id, state) in [
        (30, State::Failed("declined".to_owned())),
        (31, State::Failed(GIVEN_UP.to_owned())),
        (32, State::Unsure),
        (33, State::Waiting),
    ] {
        app.said(&bob(), id, Entry { state, ..entry("alice", &id.to_string()) });
    }
    let unsent = app.with(&bob()).unwrap().unsent();
    assert_eq!(unsent, [(30, "30".to_owned()), (32, "32".to_owned())]);
}

#[test]
fn what_others_can_make_grow_has_an_end() {
    let mut app = lively();
    app.switch(2);
    for id in 100..9_000 {
        app.said(&den(), id, entry("bob", "https://example.org/"));
        app.chats[2].up = usize::from(id > 4_000);
    }
    assert!(app.chats[2].lines.len() <= 4_000);
    assert!(app.chats[2].link(Some(2)).is_none() && app.chats[2].link(Some(8_000)).is_some());
    for n in 0..700 {
        app.said(&Target::User(name(&format!("user{n}"))), 10_000 + n, entry("bob", "hi"));
        app.chats.last_mut().unwrap().mentions = 0;
    }
    assert_eq!(app.chats.len(), 500);
    assert_eq!(app.target(), Some(&den()));
    let room: RoomName = "den".parse().unwrap();
    for n in 0..300 {
        app.happened(&Event::MemberOffline {
            username: name(&format!("user{n}")),
            rooms: vec![room.clone()],
        });
    }
    assert!(app.chats[app.current].members.len() <= 103);
}

#[test]
fn a_long_answer_gets_out_of_the_way_and_takes_no_keys() {
    let mut app = lively();
    let long = || Report::lines((0..20).map(|at| format!("line {at}")));
    app.report(long(), Some(&den()));
    assert!(shown(&mut app, (80, 24)).contains("┌ Answer ─"));
    press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
    assert!(!shown(&mut app, (80, 24)).contains("line 3"));
    app.paste("typing");
    app.report(long(), Some(&den()));
    assert!(app.over.is_none() && shown(&mut app, (80, 24)).contains("line 19"));
}

#[test]
fn a_chat_is_taken_off_the_list_once_it_is_over() {
    let mut app = lively();
    app.switch(1);
    acts(&mut app);
    type_in(&mut app, "/close");
    assert_eq!(app.chats.len(), 3);
    app.report(Report { close: Some(bob()), ..Report::default() }, None);
    type_in(&mut app, "/close");
    assert!(app.position(&bob()).is_none());
    assert!(acts(&mut app).contains(&Act::Forget(bob())));
}

#[test]
fn the_mouse_chooses_a_chat_and_nothing_else() {
    let mut app = lively();
    app.resize(80, 24);
    // Below the title are the program's own notes, bob and the den.
    app.click(3, 2);
    assert_eq!(app.target(), Some(&bob()));
    for (column, row) in [(3, 0), (3, 4), (40, 3), (79, 23), (200, 200)] {
        app.click(column, row);
        assert_eq!(app.target(), Some(&bob()));
    }
    app.click(3, 3);
    assert_eq!(app.target(), Some(&den()));
}
