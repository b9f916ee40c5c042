use std::sync::mpsc;

use p2pchat_core::{
    proto::{Capacity, Description, RoomName, SessionToken, Username},
    registry::{
        Ban, BanTarget,
        store::{RoomAction, StoredToken, Table, TokenChange, TokenDigest, WriteTransaction},
    },
};
use redb::{Database, ReadableDatabase, TableDefinition};

use super::*;

mod copies;
mod durable;
mod hanging;
mod older;
mod opening;
mod upgrade;

fn name(name: &str) -> Username {
    Username::new(name).unwrap()
}

fn room_name(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn register(username: &str) -> StoreRequest {
    StoreRequest::Write(Write::Register { username: name(username), password: "a hash".into(), invite: None })
}

fn create(room: &str, owner: &str, capacity: u32) -> StoreRequest {
    StoreRequest::Write(Write::CreateRoom {
        room: room_name(room),
        owner: name(owner),
        password: None,
        capacity: Capacity::new(capacity).unwrap(),
        description: Description::new("").unwrap(),
        rooms_per_user: 32,
    })
}

fn join(room: &str, id: u64, username: &str) -> StoreRequest {
    StoreRequest::Write(Write::JoinRoom {
        room: room_name(room),
        id,
        password: None,
        username: name(username),
        rooms_per_user: 32,
    })
}

fn leave(room: &str, username: &str) -> StoreRequest {
    StoreRequest::Write(Write::LeaveRoom { room: room_name(room), username: name(username) })
}

fn session(username: &str) -> StoreRequest {
    StoreRequest::Write(Write::OpenSession {
        username: name(username),
        password: None,
        token: TokenChange::Keep,
    })
}

fn open(folder: &tempfile::TempDir) -> RedbStore {
    RedbStore::open(&folder.path().join("registry.redb"), &StoreConfig::default()).unwrap()
}

fn ask(store: &RedbStore, request: StoreRequest) -> StoreAnswer {
    let (sender, answer) = mpsc::channel();
    store.submit(request, Box::new(move |answer| sender.send(answer).unwrap()));
    answer.recv().unwrap()
}

fn room_id(store: &RedbStore, room: &str) -> Option<u64> {
    let request = Read::Room { room: room_name(room), username: name("nobody") };
    match ask(store, StoreRequest::Read(request)) {
        StoreAnswer::Room(state) => state.map(|state| state.id),
        other => panic!("{other:?}"),
    }
}

fn rooms_of(store: &RedbStore, username: &str) -> Vec<String> {
    match ask(store, session(username)) {
        StoreAnswer::Session(Some((_, rooms, _))) => rooms.iter().map(|room| room.as_str().into()).collect(),
        other => panic!("{other:?}"),
    }
}

/// A hand on the engine without its threads: batches are exactly what the test says.
fn writer(folder: &tempfile::TempDir) -> Writer {
    let path = folder.path().join("registry.redb");
    let engine = Arc::new(Engine::open(&path, 1 << 20).unwrap());
    let health = StoreHealth::new(&engine);
    Writer { engine, health, waiting: sync_channel(1).1 }
}

fn settle(writer: &Writer, requests: Vec<StoreRequest>) -> Vec<StoreAnswer> {
    let (sender, answers) = mpsc::channel();
    let jobs = requests.into_iter().enumerate().map(|(index, request)| {
        let StoreRequest::Write(request) = request else { panic!("a write is wanted") };
        let sender = sender.clone();
        Job { request, done: Some(Box::new(move |answer| sender.send((index, answer)).unwrap())) }
    });
    writer.settle(jobs.collect());
    drop(sender);
    let mut answers: Vec<_> = answers.iter().collect();
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    assert!(matches!(ask(&store, register("Ali")), StoreAnswer::Registered));
    assert!(matches!(ask(&store, register("ali")), StoreAnswer::NameTaken));
    assert!(matches!(ask(&store, create("den", "ali", 5)), StoreAnswer::Joined { .. }));
    drop(store);

    let store = open(&folder);
    assert!(matches!(ask(&store, register("ALI")), StoreAnswer::NameTaken));
    assert_eq!(rooms_of(&store, "ali"), ["den"]);
    match ask(&store, StoreRequest::Read(Read::Rooms)) {
        StoreAnswer::Rooms(rooms) => assert_eq!(rooms.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_acknowledged_is_in_the_file_before_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    assert!(matches!(ask(&store, register("ali")), StoreAnswer::Registered));
    // What a loss of power would leave.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("registry.redb"), copy.path().join("registry.redb")).unwrap();
    assert!(matches!(ask(&open(&copy), register("ali")), StoreAnswer::NameTaken));
}

#[test]
fn a_batch_sees_its_own_changes() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    let answers = settle(
        &writer,
        vec![
            register("ali"),
            register("ALI"),
            create("den", "ali", 1),
            register("bob"),
            join("den", 1, "bob"),
        ],
    );
    assert!(matches!(
        answers.as_slice(),
        [
            StoreAnswer::Registered,
            StoreAnswer::NameTaken,
            StoreAnswer::Joined { .. },
            StoreAnswer::Registered,
            StoreAnswer::Full
        ]
    ));
}

#[test]
fn nothing_is_written_where_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    settle(&writer, vec![register("ali")]);
    let path = folder.path().join("registry.redb");
    let before = std::fs::read(&path).unwrap();
    settle(&writer, vec![register("ali"), session("ali"), leave("den", "ali")]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    settle(&writer, vec![register("bob")]);
    assert_ne!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_request_that_fails_takes_nothing_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    settle(&writer, vec![register("ali"), register("bob")]);
    let rubbish = |view: &mut view::WriteView<'_>| view.put(Table::Accounts, b"bob", b"\xff");
    writer.engine.write(rubbish).unwrap().unwrap();

    let answers =
        settle(&writer, vec![create("den", "ali", 9), create("pub", "bob", 9), create("bar", "ali", 9)]);
    assert!(matches!(
        answers.as_slice(),
        [StoreAnswer::Joined { .. }, StoreAnswer::Failed(StoreError::Corrupt(_)), StoreAnswer::Joined { .. }]
    ));
    drop(writer);
    let store = open(&folder);
    assert_eq!(rooms_of(&store, "ali"), ["den", "bar"]);
    // Not even the room that the failed request had begun to make.
    assert_eq!(room_id(&store, "pub"), None);
}

#[test]
fn after_a_failure_the_file_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    settle(&writer, vec![register("ali")]);
    writer.engine.close();
    assert!(matches!(settle(&writer, vec![register("ali")]).as_slice(), [StoreAnswer::NameTaken]));

    // A file that has gone is not made again, which would forget everybody.
    writer.engine.close();
    std::fs::remove_file(folder.path().join("registry.redb")).unwrap();
    let answers = settle(&writer, (0..9).map(|n| register(&format!("bob{n}"))).collect());
    assert!(answers.iter().all(|a| matches!(a, StoreAnswer::Failed(StoreError::Engine(_)))), "{answers:?}");
    assert_eq!(answers.len(), 9);
    assert!(!folder.path().join("registry.redb").exists());
}

#[test]
fn whether_it_can_be_written_to_is_known_and_found_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let (file, away) = (folder.path().join("registry.redb"), folder.path().join("away"));
    let writer = writer(&folder);
    settle(&writer, vec![register("ali")]);
    assert_eq!(writer.health.fault(), None);
    let entries = writer.health.entries().unwrap();
    assert!(entries.contains(&(Table::Accounts, 1)) && entries.contains(&(Table::Rooms, 0)), "{entries:?}");
    assert_eq!(writer.health.size().unwrap(), std::fs::metadata(&file).unwrap().len());

    writer.engine.close();
    std::fs::rename(&file, &away).unwrap();
    settle(&writer, vec![register("bob")]);
    assert!(matches!(writer.health.fault(), Some(StoreError::Engine(_))));
    writer.probe();
    assert!(writer.health.fault().is_some() && writer.health.size().is_err() && !file.exists());
    assert_eq!((writer.health.writes.get(), writer.health.failures.get()), (1, 2));
    std::fs::rename(&away, &file).unwrap();
    writer.probe();
    assert_eq!(writer.health.fault(), None);
    assert!(matches!(settle(&writer, vec![register("bob")]).as_slice(), [StoreAnswer::Registered]));

    // Whoever still looks at it doesn't keep its file.
    let health = writer.health.clone();
    drop(writer);
    assert!(health.size().is_err());
    open(&folder);
}

#[test]
fn racing_joins_keep_to_the_capacity() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for user in 0..40 {
        ask(&store, register(&format!("user{user}")));
    }
    ask(&store, create("den", "user0", 10));
    let id = room_id(&store, "den").unwrap();
    let answers: Vec<_> = thread::scope(|scope| {
        let racers: Vec<_> = (1..40)
            .map(|user| {
                let store = &store;
                scope.spawn(move || ask(store, join("den", id, &format!("user{user}"))))
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|answer| matches!(answer, StoreAnswer::Joined { .. })).count(), 9);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, StoreAnswer::Full)).count(), 30);
    // A member joins again without taking a place.
    assert!(matches!(ask(&store, join("den", id, "user0")), StoreAnswer::Joined { .. }));
}

#[test]
fn racing_registrations_of_a_name_have_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let winners = thread::scope(|scope| {
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(|| ask(&store, register("ali")))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(winners.iter().filter(|answer| matches!(answer, StoreAnswer::Registered)).count(), 1);
    assert_eq!(winners.iter().filter(|answer| matches!(answer, StoreAnswer::NameTaken)).count(), 15);
}

#[test]
fn a_room_passes_to_its_longest_standing_member_and_ends_with_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for user in ["zoe", "yan", "ali"] {
        ask(&store, register(user));
    }
    ask(&store, create("den", "zoe", 5));
    let id = room_id(&store, "den").unwrap();
    ask(&store, join("den", id, "yan"));
    ask(&store, join("den", id, "ali"));
    assert!(matches!(ask(&store, leave("den", "zoe")), StoreAnswer::Left { .. }));
    assert!(matches!(ask(&store, leave("den", "zoe")), StoreAnswer::NotAMember));
    drop(store);
    assert!(is_owned_by(&folder, b"yan"));

    let store = open(&folder);
    ask(&store, leave("den", "yan"));
    drop(store);
    assert!(is_owned_by(&folder, b"ali"));

    let store = open(&folder);
    ask(&store, leave("den", "ali"));
    assert_eq!(room_id(&store, "den"), None);
    assert!(rooms_of(&store, "ali").is_empty());

    // The name is free; a join that was decided for the room before does not enter the new one.
    ask(&store, create("den", "ali", 5));
    assert_ne!(room_id(&store, "den"), Some(id));
    assert!(matches!(ask(&store, join("den", id, "yan")), StoreAnswer::NoSuchRoom));
}

/// A room's record ends with its owner's name.
fn is_owned_by(folder: &tempfile::TempDir, owner: &[u8]) -> bool {
    let database = Database::open(folder.path().join("registry.redb")).unwrap();
    let rooms: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rooms");
    let rooms = database.begin_read().unwrap().open_table(rooms).unwrap();
    rooms.get(b"den".as_slice()).unwrap().is_some_and(|record| record.value().ends_with(owner))
}

#[test]
fn over_its_bound_the_store_says_busy_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { queue: 1, ..StoreConfig::default() };
    let store = RedbStore::open(&folder.path().join("registry.redb"), &config).unwrap();
    // The writer is held in its first answer, the second request fills the queue.
    let (held, is_held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let hold = move |_| {
        held.send(()).unwrap();
        released.recv().unwrap();
    };
    store.submit(register("ali"), Box::new(hold));
    is_held.recv().unwrap();
    let (sender, answer) = mpsc::channel();
    store.submit(register("bob"), Box::new(move |answer| sender.send(answer).unwrap()));
    assert!(matches!(ask(&store, register("eve")), StoreAnswer::Failed(StoreError::Busy)));
    release.send(()).unwrap();
    assert!(matches!(answer.recv().unwrap(), StoreAnswer::Registered));
}

#[test]
fn what_waits_is_answered_when_the_store_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let (sender, answers) = mpsc::channel();
    for user in 0..100 {
        let sender = sender.clone();
        store.submit(register(&format!("user{user}")), Box::new(move |answer| sender.send(answer).unwrap()));
    }
    drop((store, sender));
    assert_eq!(answers.iter().filter(|answer| matches!(answer, StoreAnswer::Registered)).count(), 100);
}

#[test]
fn racing_look_alikes_have_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let names = ["ali", "аli", "аlі", "Ali", "AlI", "ａli"];
    let answers = thread::scope(|scope| {
        let store = &store;
        let racers = names.map(|name| scope.spawn(move || ask(store, register(name))));
        racers.map(|racer| racer.join().unwrap())
    });
    assert_eq!(answers.iter().filter(|answer| matches!(answer, StoreAnswer::Registered)).count(), 1);
}

fn resume(store: &RedbStore, token: StoredToken, next: StoredToken) -> StoreAnswer {
    let (username, token) = (name("ali"), token.digest);
    let request = Write::ResumeSession { username, token, now: 50, next: Some(next) };
    ask(store, StoreRequest::Write(request))
}

#[test]
fn a_wrong_token_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    settle(&writer, vec![register("ali")]);
    let path = folder.path().join("registry.redb");
    let before = std::fs::read(&path).unwrap();
    let digest = TokenDigest::of(&SessionToken::from_random([1; 32]));
    let next = Some(StoredToken { digest, expires: 100 });
    let username = name("ali");
    let wrong = Write::ResumeSession { username, token: digest, now: 50, next };
    let revoke = Write::RevokeTokens { username: name("ali"), only: None };
    settle(&writer, vec![StoreRequest::Write(wrong), StoreRequest::Write(revoke)]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
