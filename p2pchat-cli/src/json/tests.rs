use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use p2pchat_core::{
    peer::Event,
    proto::{
        self, BanRecord, Capacity, Description, LinkKey, PeerRecord, Reason, RoomChange, RoomName,
        RoomRecord, Text, Username,
    },
};

use proptest::prelude::*;

use super::*;

fn user(name: &str) -> Username {
    Username::new(name).unwrap()
}

fn den() -> RoomName {
    RoomName::new("den").unwrap()
}

fn change(change: RoomChange) -> Event {
    Event::RoomChanged { room: den(), by: user("alice"), change }
}

fn written(event: &Event) -> String {
    Line::of(event).unwrap().to_string()
}

/// As these lines were before they had types: programs rely on each name, and on what is null.
#[test]
fn events_are_written_as_ever() {
    let (key, other) = (LinkKey::from_bytes([1; 32]), LinkKey::from_bytes([2; 32]));
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    let reason = || "gone".to_owned();
    for (event, expected) in [
        (Event::Connected, r#"{"event":"connected"}"#.to_owned()),
        (
            Event::Disconnected { reason: reason(), retry_in: Duration::from_millis(1500) },
            r#"{"event":"disconnected","reason":"gone","retry_in":1.5}"#.to_owned(),
        ),
        (
            Event::Disconnected { reason: reason(), retry_in: Duration::from_secs(2) },
            r#"{"event":"disconnected","reason":"gone","retry_in":2.0}"#.to_owned(),
        ),
        (Event::Reconnected, r#"{"event":"reconnected"}"#.to_owned()),
        (Event::Parked, r#"{"event":"parked"}"#.to_owned()),
        (Event::Unparked, r#"{"event":"unparked"}"#.to_owned()),
        (
            Event::LoggedOut { reason: reason(), replaced: true },
            r#"{"event":"logged_out","reason":"gone","replaced":true}"#.to_owned(),
        ),
        (
            Event::ChatOpened { with: Some(user("bob")), secured: true },
            r#"{"event":"chat_opened","with":"bob","encrypted":true}"#.to_owned(),
        ),
        (
            Event::ChatOpened { with: None, secured: false },
            r#"{"event":"chat_opened","with":null,"encrypted":false}"#.to_owned(),
        ),
        (
            Event::KeyLearned { user: user("bob"), key },
            format!(r#"{{"event":"key_learned","username":"bob","key":"{one}"}}"#),
        ),
        (
            Event::KeyChanged { user: user("bob"), known: key, shown: Some(other) },
            format!(r#"{{"event":"key_changed","username":"bob","known":"{one}","shown":"{two}"}}"#),
        ),
        (
            Event::KeyChanged { user: user("bob"), known: key, shown: None },
            format!(r#"{{"event":"key_changed","username":"bob","known":"{one}","shown":null}}"#),
        ),
        (
            Event::ChatClosed { with: None, reason: reason() },
            r#"{"event":"chat_closed","with":null,"reason":"gone"}"#.to_owned(),
        ),
        (
            Event::ChatInterrupted { with: user("bob"), reason: reason() },
            r#"{"event":"chat_interrupted","with":"bob","reason":"gone"}"#.to_owned(),
        ),
        (Event::ChatResumed { with: user("bob") }, r#"{"event":"chat_resumed","with":"bob"}"#.to_owned()),
        (
            Event::Missed { from: user("bob"), count: 3 },
            r#"{"event":"missed","from":"bob","count":3}"#.to_owned(),
        ),
        (
            Event::Arrived {
                with: user("bob"),
                room: None,
                id: u64::MAX,
                text: Text::new("\u{202e}hi\n").unwrap(),
            },
            r#"{"event":"arrived","with":"bob","room":null,"id":"18446744073709551615","text":"\u202ehi\n"}"#
                .to_owned(),
        ),
        (
            Event::RoomEntered { room: den(), members: vec![user("alice"), user("bob")] },
            r#"{"event":"room_entered","room":"den","members":["alice","bob"]}"#.to_owned(),
        ),
        (
            Event::MemberOnline { room: den(), username: user("bob") },
            r#"{"event":"member_online","room":"den","username":"bob"}"#.to_owned(),
        ),
        (
            Event::MemberLeft { room: den(), username: user("bob") },
            r#"{"event":"member_left","room":"den","username":"bob"}"#.to_owned(),
        ),
        (
            Event::PutOut {
                room: den(),
                username: user("bob"),
                by: user("alice"),
                reason: Some(Reason::truncated("spam")),
                banned: true,
            },
            r#"{"event":"put_out","room":"den","username":"bob","by":"alice","reason":"spam","banned":true}"#
                .to_owned(),
        ),
        (
            Event::PutOut {
                room: den(),
                username: user("bob"),
                by: user("alice"),
                reason: None,
                banned: false,
            },
            r#"{"event":"put_out","room":"den","username":"bob","by":"alice","reason":null,"banned":false}"#
                .to_owned(),
        ),
        (
            change(RoomChange::Password { protected: true }),
            r#"{"event":"room_changed","room":"den","by":"alice","setting":"password","value":"protected"}"#
                .to_owned(),
        ),
        (
            change(RoomChange::Capacity(Capacity::new(7).unwrap())),
            r#"{"event":"room_changed","room":"den","by":"alice","setting":"capacity","value":7}"#.to_owned(),
        ),
        (
            change(RoomChange::Description(Description::truncated("bears"))),
            r#"{"event":"room_changed","room":"den","by":"alice","setting":"description","value":"bears"}"#
                .to_owned(),
        ),
        (
            change(RoomChange::Owner(user("bob"))),
            r#"{"event":"room_changed","room":"den","by":"alice","setting":"owner","value":"bob"}"#
                .to_owned(),
        ),
        (
            Event::MemberOffline { username: user("bob"), rooms: vec![den()] },
            r#"{"event":"member_offline","username":"bob","rooms":["den"]}"#.to_owned(),
        ),
        (
            Event::Fault { culprit: "bob".to_owned(), what: "\u{1b}nonsense".to_owned() },
            r#"{"event":"fault","culprit":"bob","what":"\u001bnonsense"}"#.to_owned(),
        ),
    ] {
        assert_eq!(written(&event), expected);
    }
}

#[test]
fn answers_are_written_as_ever() {
    let found = proto::Found {
        username: None,
        port: 2000,
        ip: Ipv4Addr::LOCALHOST.into(),
        capabilities: Default::default(),
        key: Some(LinkKey::from_bytes([1; 32])),
    };
    let key = "01".repeat(32);
    let expected = format!(r#"{{"username":"Bob","ip":"127.0.0.1","port":2000,"key":"{key}"}}"#);
    assert_eq!(line(&super::Found::new("Bob", &found)).unwrap(), expected);
    let hidden = proto::Found {
        username: Some(user("bob")),
        port: 0,
        ip: Ipv4Addr::UNSPECIFIED.into(),
        key: None,
        ..found
    };
    let expected = r#"{"username":"bob","ip":null,"port":null,"key":null}"#;
    assert_eq!(line(&super::Found::new("Bob", &hidden)).unwrap(), expected);
    let record =
        PeerRecord { username: user("bob"), room: Some(den()), port: 2000, ip: Ipv4Addr::LOCALHOST.into() };
    assert_eq!(
        line(&Peer::from(&record)).unwrap(),
        r#"{"username":"bob","room":"den","ip":"127.0.0.1","port":2000}"#
    );
    let record = RoomRecord {
        name: den(),
        description: Description::truncated("a cave"),
        members: 2,
        capacity: Capacity::new(7).unwrap(),
    };
    let bans =
        ["spam", ""].map(|reason| BanRecord { username: user("bob"), reason: Reason::truncated(reason) });
    let expected = [r#"{"username":"bob","reason":"spam"}"#, r#"{"username":"bob","reason":null}"#];
    assert_eq!(bans.map(|ban| line(&Ban::from(&ban)).unwrap()), expected);
    let expected = r#"{"name":"den","description":"a cave","members":2,"capacity":7}"#;
    assert_eq!(line(&Room::from(&record)).unwrap(), expected);
    assert_eq!(line(&names(&[user("alice"), user("bob")])).unwrap(), r#"["alice","bob"]"#);
}

/// The examples of a module's documentation.
fn examples(source: &str) -> Vec<String> {
    let lines = source.lines().filter_map(|line| line.trim().strip_prefix("/// `{")?.strip_suffix('`'));
    lines.map(|line| format!("{{{line}")).collect()
}

/// What is documented is what is read and written, so that a name that changes by mistake is noticed.
#[test]
fn each_example_is_a_line() {
    let examples = examples(include_str!("mod.rs"));
    let mut shown = BTreeSet::new();
    for example in examples {
        let line: Line = example.parse().unwrap();
        assert_ne!(line, Line::Unknown, "{example}");
        assert_eq!(line.to_string(), example);
        shown.insert(tag(&line));
    }
    let all: BTreeSet<_> = each_kind("", None, 0, false).iter().map(tag).collect();
    assert_eq!(shown, all);
    for (example, read) in self::examples(include_str!("answer.rs")).iter().zip([
        |text: &str| line(&serde_json::from_str::<Found>(text).unwrap()).unwrap(),
        |text: &str| line(&serde_json::from_str::<Peer>(text).unwrap()).unwrap(),
        |text: &str| line(&serde_json::from_str::<Room>(text).unwrap()).unwrap(),
        |text: &str| line(&serde_json::from_str::<Ban>(text).unwrap()).unwrap(),
        |text: &str| line(&serde_json::from_str::<Kept>(text).unwrap()).unwrap(),
        |text: &str| line(&serde_json::from_str::<Receiver>(text).unwrap()).unwrap(),
        |text: &str| line(&serde_json::from_str::<Check>(text).unwrap()).unwrap(),
    ]) {
        assert_eq!(&read(example), example);
    }
}

fn tag(line: &Line) -> String {
    let value: serde_json::Value = serde_json::from_str(&line.to_string()).unwrap();
    value["event"].as_str().unwrap().to_owned()
}

#[test]
fn lines_of_other_versions_are_read() {
    let read = |text: &str| text.parse::<Line>();
    assert_eq!(read(r#"{"event":"earthquake","where":{"x":[1]}}"#), Ok(Line::Unknown));
    assert_eq!(read(r#"{"event":"parked","since":5}"#), Ok(Line::Parked));
    // Before there were versions.
    let ready = Line::Ready { v: 0, username: Some("bob".to_owned()), port: 1024 };
    assert_eq!(read(r#"{"event":"ready","username":"bob","port":1024}"#), Ok(ready));
    for bad in ["", "[]", "{}", r#"{"event":1}"#, r#"{"event":"missed","from":"bob"}"#, "\u{1b}[2J"] {
        let error = read(bad).unwrap_err().to_string();
        assert!(error.starts_with("not a line") && !error.contains(char::is_control), "{error}");
    }
}

/// A line of each kind, filled with these.
fn each_kind(text: &str, maybe: Option<&str>, number: u64, flag: bool) -> Vec<Line> {
    let (text, maybe) = (|| text.to_owned(), || maybe.map(str::to_owned));
    let place = || flag.then(|| Place { id: number.to_string(), sequence: number, sent: number, late: flag });
    let value = if flag { Value::Number(number) } else { Value::Text(text()) };
    vec![
        Line::Ready { v: VERSION, username: maybe(), port: u16::try_from(number & 0xffff).unwrap() },
        Line::Connected,
        Line::Disconnected {
            reason: text(),
            retry_in: f64::from(u32::try_from(number >> 32).unwrap()) / 8.0,
        },
        Line::Reconnected,
        Line::Parked,
        Line::Unparked,
        Line::LoggedOut { reason: text(), replaced: flag },
        Line::ChatRequested { from: maybe(), address: maybe(), encrypted: flag },
        Line::ChatOpened { with: maybe(), encrypted: flag },
        Line::ChatClosed { with: maybe(), reason: text() },
        Line::ChatInterrupted { with: text(), reason: text() },
        Line::ChatResumed { with: text() },
        Line::Missed { from: text(), count: number },
        Line::Arrived { with: text(), room: maybe(), id: number.to_string(), text: text() },
        Line::KeyLearned { username: text(), key: text() },
        Line::KeyChanged { username: text(), known: text(), shown: maybe() },
        Line::Message { from: text(), text: text(), place: place() },
        Line::Broadcast { room: maybe(), from: text(), text: text(), encrypted: flag, place: place() },
        Line::FileOffered { file: number, from: text(), name: text(), size: number },
        Line::FileProgress {
            file: number,
            with: text(),
            name: text(),
            outgoing: flag,
            bytes: number,
            size: number,
        },
        Line::FileWithdrawn { file: number, from: text(), reason: text() },
        Line::FileEnded { file: number },
        Line::FileStored { file: number, path: text() },
        Line::FileFailed { file: number, reason: text() },
        Line::RoomEntered { room: text(), members: vec![text(), text()] },
        Line::MemberOnline { room: text(), username: text() },
        Line::MemberLeft { room: text(), username: text() },
        Line::MemberOffline { username: text(), rooms: maybe().into_iter().collect() },
        Line::PutOut { room: text(), username: text(), by: text(), reason: maybe(), banned: flag },
        Line::RoomChanged { room: text(), by: text(), setting: maybe(), value: maybe().map(|_| value) },
        Line::Fault { culprit: text(), what: text() },
    ]
}

#[test]
fn an_escaped_line_means_what_was_sent() {
    assert_eq!(line(&"a\u{202e}\u{9b}\u{e0041}\n").unwrap(), r#""a\u202e\u009b\udb40\udc41\n""#);
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_is_unsafe(
        text in any::<String>(), maybe in any::<Option<String>>(), number in any::<u64>(), flag in any::<bool>(),
    ) {
        for line in each_kind(&text, maybe.as_deref(), number, flag) {
            let written = line.to_string();
            prop_assert!(!written.contains(sanitize::is_unsafe));
            prop_assert_eq!(written.parse::<Line>().unwrap(), line);
        }
    }
}
