use jiff::tz::TimeZone;

use super::*;
use crate::{
    archive::Level,
    config::{self, Config},
    outbox::Step,
    screen::{keys::Keys, theme::Theme},
};

const LIMITS: Limits = Limits { age: None, bytes: 1 << 20 };

fn target(name: &str) -> Target {
    Target::parse(name).unwrap()
}

fn app() -> App {
    let keys = Keys::new(&Config::default().keys).unwrap();
    let theme = Theme::of(config::Theme::Dark);
    App::new("alice".parse().unwrap(), Config::default(), theme, keys, TimeZone::UTC)
}

fn said(from: &str, text: &str) -> Entry {
    let own = from == "alice";
    Entry {
        at: 1_000,
        from: Some(from.parse().unwrap()),
        own,
        text: text.to_owned(),
        secured: true,
        late: false,
        state: if own { State::Waiting } else { State::Received },
        receivers: Vec::new(),
    }
}

/// What is said without a history, as the screen does it.
struct Meanwhile {
    app: App,
    outbox: Outbox,
    unkept: EntryId,
}

impl Meanwhile {
    fn new() -> Self {
        Self { app: app(), outbox: Outbox::default(), unkept: UNKEPT }
    }

    fn hears(&mut self, who: &str, from: &str, text: &str) {
        let entry = said(from, text);
        self.app.said(&target(who), self.unkept, entry.clone());
        if entry.own {
            self.outbox.push(&target(who), self.unkept, entry.text);
        }
        self.unkept += 1;
    }

    fn at(&self, who: &str) -> &super::super::chat::Chat {
        &self.app.chats[self.app.position(&target(who)).unwrap()]
    }

    fn texts(&self, who: &str) -> Vec<(EntryId, String)> {
        self.at(who).entries().map(|(id, entry)| (id, entry.text.clone())).collect()
    }

    fn names(&self) -> Vec<String> {
        self.app.chats.iter().filter_map(|chat| chat.target.as_ref()).map(Target::key).collect()
    }

    fn sent(&mut self) -> Vec<(EntryId, String)> {
        let steps = std::iter::from_fn(|| self.outbox.poll());
        steps
            .filter_map(|step| match step {
                Step::Send { id, text, .. } => Some((id, text)),
                _ => None,
            })
            .collect()
    }
}

fn texts(found: Vec<(EntryId, Entry)>) -> Vec<(EntryId, String)> {
    found.into_iter().map(|(id, entry)| (id, entry.text)).collect()
}

#[test]
fn what_was_said_before_the_history_was_there_is_kept_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history/here/alice.redb");
    let (bob, den, carol) = (target("bob"), target("#den"), target("carol"));
    let archive = Archive::open(path.clone(), LIMITS).unwrap();
    let before = archive.append(&bob, &said("bob", "read")).unwrap();
    archive.append(&bob, &said("bob", "unread")).unwrap();
    archive.append(&bob, &said("alice", "first")).unwrap();
    archive.append(&carol, &said("alice", "to carol")).unwrap();
    let draft = "so I sa".to_owned();
    let memory = ChatMemory { read: before, order: 2, accepted: true, draft, ..ChatMemory::default() };
    archive.set_chat(&bob, &memory).unwrap();
    archive.set_chat(&den, &ChatMemory { order: 1, level: Level::Nothing, ..memory.clone() }).unwrap();
    drop(archive);

    let mut now = Meanwhile::new();
    now.hears("dave", "dave", "hi");
    now.hears("bob", "alice", "second");
    now.hears("bob", "bob", "what?");
    now.hears("#den", "alice", "to all");
    now.outbox.push(&target("erin"), now.unkept, "to one off the list".to_owned());
    now.app.switch(now.app.position(&bob).unwrap());
    assert_eq!(now.sent(), []);

    let loaded = Loaded::read(path.clone(), LIMITS, 2_000).unwrap();
    let archive = loaded.archive.clone();
    let given = take_up(&mut now.app, &mut now.outbox, loaded).unwrap();
    assert_eq!(given.keys().copied().collect::<Vec<_>>(), Vec::from_iter(UNKEPT..UNKEPT + 5));
    assert_eq!(given.values().copied().collect::<Vec<_>>(), [5, 6, 7, 8, 9]);

    // In memory as on disk, the list in the disk's order and what is new behind it.
    assert_eq!(now.names(), ["#den", "bob", "carol", "dave"]);
    assert_eq!(now.app.target(), Some(&bob), "it stays in front");
    let with_bob = ["read", "unread", "first", "second", "what?"].map(str::to_owned);
    assert_eq!(now.texts("bob"), Vec::from_iter([1, 2, 3, 6, 7].into_iter().zip(with_bob)));
    for who in ["bob", "dave", "#den"] {
        assert_eq!(now.texts(who), texts(archive.last(&target(who), None, 9).unwrap()), "{who}");
    }
    assert_eq!((now.at("bob").unread, now.at("bob").memory.read), (0, 7), "all of it is in sight");
    assert_eq!((now.at("dave").unread, now.at("dave").memory.read), (1, 0));
    assert!(now.at("bob").memory.accepted);
    assert_eq!(now.at("#den").memory.level, Level::Nothing);
    assert_eq!(now.app.input.text(), "so I sa");
    for (who, memory) in archive.chats().unwrap() {
        assert_eq!(memory, now.app.chats[now.app.position(&who).unwrap()].memory, "{who:?}");
    }

    // What waits goes out once, in the order in which it was said.
    let waits: Vec<_> =
        archive.outbox().unwrap().into_iter().map(|(id, _, entry)| (id, entry.text)).collect();
    let all = ["first", "to carol", "second", "to all", "to one off the list"].map(str::to_owned);
    assert_eq!(waits, Vec::from_iter([3, 4, 6, 8, 9].into_iter().zip(all)));
    for who in ["bob", "carol", "#den", "erin"] {
        now.outbox.open(&target(who), true);
    }
    let mut sent = now.sent();
    let mine = |(id, _): &&(EntryId, String)| [3, 6].contains(id);
    assert_eq!(sent.iter().filter(mine).map(|(id, _)| *id).collect::<Vec<_>>(), [3, 6]);
    sent.sort();
    assert_eq!(sent, waits);
}

#[test]
fn a_history_without_anything_meanwhile_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history/here/alice.redb");
    let bob = target("bob");
    let archive = Archive::open(path.clone(), LIMITS).unwrap();
    archive.append(&bob, &said("bob", "hi")).unwrap();
    archive.set_chat(&bob, &ChatMemory { order: 3, ..ChatMemory::default() }).unwrap();
    drop(archive);
    let mut now = Meanwhile::new();
    let loaded = Loaded::read(path, LIMITS, 2_000).unwrap();
    assert!(take_up(&mut now.app, &mut now.outbox, loaded).unwrap().is_empty());
    assert_eq!((now.at("bob").unread, now.app.current), (1, 0));
    assert!(now.app.poll().is_none(), "nothing is to be written");
}
