use std::sync::Arc;

use p2pchat_core::registry::store::{MemoryStore, Write as Request, write};
use proptest::prelude::*;

use super::*;

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
const FIRST: &str = r#"{"type":"p2pchat-registry","version":1}"#;

fn exported(store: &MemoryStore) -> String {
    let mut output = Vec::new();
    export(store, &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

fn imported(text: impl AsRef<[u8]>) -> Result<MemoryStore, Vec<LineError>> {
    let mut store = MemoryStore::new();
    match import(text.as_ref(), &mut store) {
        Ok(_) => Ok(store),
        Err(ImportError::Lines(errors)) => Err(errors),
        Err(other) => panic!("{other}"),
    }
}

fn name(n: u8) -> Username {
    Username::new(["Ali", "bob", "Zoë", "Дарья", "m.x-y_z"][usize::from(n) % 5]).unwrap()
}

fn room_name(n: u8) -> RoomName {
    RoomName::new(["Den", "a-\"b\"-c", "öß"][usize::from(n) % 3]).unwrap()
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (0..5_u8).prop_map(|n| Request::Register { username: name(n), password: HASH.into(), invite: None }),
        (0..3_u8, 0..5_u8, any::<bool>(), "[^\\x00]{0,60}").prop_map(|(r, n, locked, about)| {
            Request::CreateRoom {
                room: room_name(r),
                owner: name(n),
                password: locked.then(|| Arc::from(HASH)),
                capacity: Capacity::new(4).unwrap(),
                description: Description::new(&about).unwrap_or_default(),
                rooms_per_user: 3,
            }
        }),
        (0..3_u8, 0..5_u8, 1..9_u64, any::<bool>()).prop_map(|(r, n, id, locked)| Request::JoinRoom {
            room: room_name(r),
            id,
            password: locked.then(|| Arc::from(HASH)),
            username: name(n),
            rooms_per_user: 3
        }),
        (0..3_u8, 0..5_u8).prop_map(|(r, n)| Request::LeaveRoom { room: room_name(r), username: name(n) }),
        (0..5_u8).prop_map(|n| Request::DeleteAccount { username: name(n) }),
        (0..9_u8, any::<u64>()).prop_map(|(n, since)| {
            let digest = InviteDigest::from_hex(&format!("{n:064X}")).unwrap();
            let note = (n > 3).then(|| Reason::new("for my \"aunt\"").unwrap());
            let invite = Invite { digest, note, since, until: since.checked_add(5), uses: 7, left: 3 };
            Request::CreateInvite { invite, limit: 5 }
        }),
        (0..3_u8, 0..5_u8, 0..5_u8, any::<bool>()).prop_map(|(r, by, n, why)| {
            let reason = why.then(|| Reason::new("enough, \"really\"").unwrap());
            let action = store::RoomAction::Ban { username: name(n), reason };
            Request::Moderate { room: room_name(r), by: name(by), action, bans_per_room: 9 }
        }),
        (0..5_u8, any::<bool>(), any::<u64>()).prop_map(|(n, user, since)| {
            let target = match user {
                true => BanTarget::User(name(n)),
                false => BanTarget::Subnet(format!("2001:db8:{n}::/48").parse().unwrap()),
            };
            let reason = (n > 3).then(|| Reason::new("spam, \"again\"").unwrap());
            let until = since.checked_add(5).filter(|_| user);
            Request::Ban { ban: Ban { target, reason, since, until }, limit: 9 }
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_exported_is_the_same_when_it_is_imported(requests in proptest::collection::vec(request(), 0..50)) {
        let mut store = MemoryStore::new();
        for request in &requests {
            // As an engine does: what fails has changed nothing.
            let before = store.clone();
            if let store::StoreAnswer::Failed(_) = write(&mut store, request) {
                store = before;
            }
        }
        let text = exported(&store);
        let other = imported(&text).map_err(|errors| TestCaseError::fail(format!("{errors:?}")))?;
        prop_assert_eq!(exported(&other), &text[..]);
        // Whatever is missing is missed.
        let lines: Vec<_> = text.lines().collect();
        for missing in 0..lines.len() {
            let rest: Vec<_> = lines.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, l)| *l).collect();
            prop_assert!(imported(rest.join("\n")).is_err(), "without {}", lines[missing]);
        }
    }
}

/// A sound file of some lines, with its first and last one.
fn file(lines: &[&str]) -> String {
    let end = format!(r#"{{"type":"end","entries":{}}}"#, lines.len());
    [&[FIRST], lines, &[end.as_str()]].concat().join("\n")
}

fn account(user: &str, rooms: &str) -> String {
    format!(r#"{{"type":"account","user":"{user}","password":"{HASH}","rooms":[{rooms}]}}"#)
}

#[test]
fn a_line_may_leave_out_what_may_be_empty() {
    let text = file(&[
        &account("Ali", r#""den""#),
        &format!(r#"{{"password":"{HASH}","user":"bob","type":"account"}}"#),
        r#"{"type":"room","room":"Den","owner":"ALI","capacity":2}"#,
        r#" { "type" : "member", "room" : "dEn", "user" : "ali" } "#,
        r#"{"type":"ban","address":"192.0.2.7","since":5,"reason":null}"#,
    ]);
    let store = imported(&text).unwrap();
    let lines = exported(&store);
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 7);
    // Written in one way, whatever it came as.
    assert_eq!(lines[1], format!(r#"{{"type":"account","user":"Ali","password":"{HASH}","rooms":["Den"]}}"#));
    assert_eq!(lines[4], r#"{"type":"member","room":"Den","user":"ali"}"#);
    assert_eq!(lines[5], r#"{"type":"ban","address":"192.0.2.7/32","reason":null,"since":5,"until":null}"#);
}

#[test]
fn every_error_is_told_with_its_line_and_its_place_in_it() {
    let ali = account("ali", "");
    let long_name = account(&"x".repeat(33), "");
    let room = |more: &str| format!(r#"{{"type":"room","room":"den","owner":"ali"{more}}}"#);
    for (line, expected) in [
        ("{", "column 1: EOF while parsing an object"),
        ("[]", "column 1: invalid type: sequence, expected an object such as {\"field\":\"value\"}"),
        (r#"{"type":"ban","type":"ban"}"#, "column 27: the field \"type\" is there twice"),
        ("{}", "the field type is missing"),
        (r#"{"type":5}"#, "the field type has to be a string"),
        (
            r#"{"type":"acount"}"#,
            "the field type is \"acount\": account, taken, room, member, room-ban, ban, invite and at last end are wanted",
        ),
        (r#"{"type":"account"}"#, "the field user is missing"),
        (r#"{"type":"account","user":"a"}"#, "the field password is missing"),
        (&long_name, "the field user has 33 characters, 32 are allowed"),
        (r#"{"type":"account","user":"a","password":"x"}"#, "the field password is no password hash: "),
        (&account("b", "5"), "the field rooms has to be a list of strings"),
        (&account("b", r#""""#), "the field rooms is empty"),
        (&ali, "the field user \"ali\": there is one already"),
        (r#"{"type":"taken","user":"ali"}"#, "the field user \"ali\": there is one already"),
        (&account("b", "").replace("rooms", "roms"), "the field \"roms\" isn't one of this type's"),
        (
            r#"{"type":"member","room":"den","user":"ali","u\nl":5}"#,
            "the field \"u\\nl\" isn't one of this type's",
        ),
        (&room(""), "the field capacity is missing"),
        (&room(r#","capacity":0"#), "the field capacity "),
        (&room(r#","capacity":-1"#), "the field capacity has to be a whole number from 0 on"),
        (&room(r#","capacity":5000000000"#), "the field capacity "),
        (
            &room(r#","capacity":2"#).replace("ali", "eve"),
            "the field owner \"eve\": there is no such account before it",
        ),
        (
            r#"{"type":"member","room":"den","user":"ali"}"#,
            "the field room \"den\": there is no such room before it",
        ),
        (r#"{"type":"invite","digest":"00"}"#, "the field digest has to be 64 hexadecimal digits"),
        (r#"{"type":"ban","since":5}"#, "the field user is missing"),
        (
            r#"{"type":"ban","user":"a","address":"192.0.2.1","since":5}"#,
            "the field address goes without user: one of them, not both",
        ),
        (r#"{"type":"ban","address":"192.0.2.1/24","since":5}"#, "the field address: 192.0.2.1 is inside"),
        (r#"{"type":"ban","user":"a","since":1.5}"#, "the field since has to be a whole number from 0 on"),
        (
            r#"{"type":"end","entries":7}"#,
            "the field entries is 7, and there are 1 before it: something is missing or doubled",
        ),
    ] {
        let errors = imported(file(&[&ali, line])).err().unwrap_or_default();
        let [first, ..] = errors.as_slice() else { panic!("{line}: {errors:?}") };
        assert_eq!(first.line, Some(3), "{line}");
        let told = first.to_string();
        assert!(told.strip_prefix("3: ").unwrap().starts_with(expected), "{line}: {told}");
    }
}

#[test]
fn a_file_is_whole_and_of_a_known_version() {
    let problem = |text: &[u8]| {
        let mut errors = imported(text).err().unwrap();
        assert_eq!(errors.len(), 1, "{errors:?}");
        let error = errors.remove(0);
        (error.line, error.problem)
    };
    assert_eq!(problem(b""), (Some(1), Problem::NoHeader));
    assert_eq!(problem(account("ali", "").as_bytes()), (Some(1), Problem::NoHeader));
    let newer = FIRST.replace('1', "2").replace('}', r#","more":true}"#);
    assert_eq!(problem(newer.as_bytes()), (Some(1), Problem::Version { found: 2 }));
    assert_eq!(problem(FIRST.as_bytes()), (Some(2), Problem::NoEnd));
    assert_eq!(problem(format!("{}\n\n", file(&[])).as_bytes()), (Some(3), Problem::AfterEnd));
    let long = [FIRST.as_bytes(), b"\n", &b"x".repeat(MAX_LINE + 1)].concat();
    assert_eq!(problem(&long), (Some(2), Problem::TooLong { limit: MAX_LINE }));
    let (line, not_text) =
        problem(&[FIRST.as_bytes(), b"\n{\"\xff\"}\n{\"type\":\"end\",\"entries\":1}"].concat());
    assert!(line == Some(2) && matches!(not_text, Problem::Json { column: 3, .. }), "{not_text:?}");
    // What fits line by line has to fit together, too.
    let apart =
        file(&[&account("ali", r#""den""#), r#"{"type":"room","room":"den","owner":"ali","capacity":2}"#]);
    let errors: Vec<_> = imported(&apart).err().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            " account ali is in room den, which doesn't know",
            " room den has no members",
            " room den has an owner who isn't a member: ali"
        ]
    );
}

#[test]
fn errors_end_at_a_hundred() {
    let text = file(&["{}"; 150]);
    let errors = imported(&text).err().unwrap();
    assert_eq!(errors.len(), MAX_ERRORS + 1);
    assert_eq!(errors.last().unwrap().problem, Problem::More);
}
