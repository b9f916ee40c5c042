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
fn a_file_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _store = open(&folder);
    let again = RedbStore::open(&folder.path().join("registry.redb"), &StoreConfig::default());
    assert!(matches!(again, Err(OpenError::InUse { .. })), "{again:?}");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let path = folder.path().join("registry.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let about: TableDefinition<'_, &str, u64> = TableDefinition::new("p2pchat registry");
    transaction.open_table(about).unwrap().insert("format", FORMAT + 1).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let newer = std::fs::read(&path).unwrap();
    let refused = RedbStore::open(&path, &StoreConfig::default());
    assert!(
        matches!(refused, Err(OpenError::Newer { found, known, .. }) if (found, known) == (FORMAT + 1, FORMAT))
    );
    assert!(std::fs::read(&path).unwrap() == newer);
}

#[test]
fn another_programs_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let foreign = b"SQLite format 3\0 and what follows".repeat(1_000);
    std::fs::write(&path, &foreign).unwrap();
    let refused = RedbStore::open(&path, &StoreConfig::default());
    assert!(matches!(refused, Err(OpenError::Foreign { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), foreign);

    std::fs::remove_file(&path).unwrap();
    let table: TableDefinition<'_, u64, u64> = TableDefinition::new("somebody's");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let foreign = std::fs::read(&path).unwrap();
    let refused = RedbStore::open(&path, &StoreConfig::default());
    assert!(matches!(refused, Err(OpenError::Foreign { .. })), "{refused:?}");
    assert!(std::fs::read(&path).unwrap() == foreign);
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for user in 0..200 {
        store.submit(register(&format!("user{user}")), Box::new(drop));
    }
    drop(store);
    let path = folder.path().join("registry.redb");
    let whole = std::fs::read(&path).unwrap();

    let mut damaged = 0;
    for offset in (4_096..whole.len()).step_by(4_096) {
        let mut bytes = whole.clone();
        bytes[offset..offset + 64].fill(0xA5);
        std::fs::write(&path, &bytes).unwrap();
        match RedbStore::open(&path, &StoreConfig::default()) {
            // A page that isn't in use.
            Ok(_) => {}
            Err(OpenError::Damaged { .. }) => {
                damaged += 1;
                assert!(std::fs::read(&path).unwrap() == bytes);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(damaged > 0);

    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let refused = RedbStore::open(&path, &StoreConfig::default());
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
}

fn bans(store: &RedbStore) -> Vec<Ban> {
    match ask(store, StoreRequest::Read(Read::Bans { after: None, count: 9 })) {
        StoreAnswer::Bans(bans) => bans,
        other => panic!("{other:?}"),
    }
}

/// A registry's file with one account, from before there was the table.
fn from_before(table: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    ask(&store, register("ali"));
    drop(store);
    let database = Database::open(folder.path().join("registry.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
    assert!(transaction.delete_table(table).unwrap());
    transaction.commit().unwrap();
    folder
}

#[test]
fn a_file_from_before_there_were_bans_is_used_and_keeps_them_from_now_on() {
    let folder = from_before("bans");
    let store = open(&folder);
    assert_eq!(bans(&store), []);
    let ban = Ban { target: BanTarget::User(name("ali")), reason: None, since: 5, until: Some(7) };
    assert!(matches!(
        ask(&store, StoreRequest::Write(Write::Ban { ban: ban.clone(), limit: 9 })),
        StoreAnswer::Banned
    ));
    drop(store);
    let store = open(&folder);
    assert_eq!(bans(&store), [ban]);
    assert!(matches!(ask(&store, register("ali")), StoreAnswer::NameTaken));
}

#[test]
fn a_file_from_before_looks_were_kept_is_used_and_knows_them_from_now_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    ask(&store, register("Ali"));
    ask(&store, create("den", "ali", 5));
    drop(store);
    let path = folder.path().join("registry.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = |name| TableDefinition::<'_, &[u8], &[u8]>::new(name);
    assert!(transaction.delete_table(table("looks")).unwrap());
    transaction.open_table(table("meta")).unwrap().remove(b"looks".as_slice()).unwrap().unwrap();
    transaction.commit().unwrap();
    drop(database);

    let store = open(&folder);
    let double = ask(&store, register("Аli"));
    assert!(matches!(&double, StoreAnswer::LooksLike(other) if &**other == "Ali"), "{double:?}");
    ask(&store, register("bob"));
    let double = ask(&store, create("dеn", "bob", 5));
    assert!(matches!(&double, StoreAnswer::LooksLike(other) if &**other == "den"), "{double:?}");
    assert_eq!(rooms_of(&store, "ali"), ["den"]);
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
fn a_file_from_before_there_were_tokens_is_used_and_keeps_them_from_now_on() {
    let folder = from_before("tokens");
    let token = |n| {
        let digest = TokenDigest::of(&SessionToken::from_random([n; 32]));
        StoredToken { digest, expires: 100 }
    };
    let store = open(&folder);
    assert!(matches!(resume(&store, token(1), token(2)), StoreAnswer::WrongToken));
    let give =
        Write::OpenSession { username: name("ali"), password: None, token: TokenChange::Give(token(1)) };
    assert!(matches!(ask(&store, StoreRequest::Write(give)), StoreAnswer::Session(Some(_))));
    drop(store);
    let store = open(&folder);
    assert!(matches!(resume(&store, token(1), token(2)), StoreAnswer::Session(Some(_))));
    drop(store);
    let store = open(&folder);
    assert!(matches!(resume(&store, token(2), token(3)), StoreAnswer::Session(Some(_))));
    assert!(matches!(resume(&store, token(1), token(4)), StoreAnswer::WrongToken));
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

fn moderate(room: &str, by: &str, action: RoomAction) -> StoreRequest {
    let (room, by) = (room_name(room), name(by));
    StoreRequest::Write(Write::Moderate { room, by, action, bans_per_room: 9 })
}

#[test]
fn what_a_rooms_owner_did_is_there_after_reopening_also_in_a_file_from_before_it_could_be_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for request in [register("ali"), register("bob"), create("den", "ali", 5), join("den", 1, "bob")] {
        ask(&store, request);
    }
    drop(store);
    let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("room bans");
    let database = Database::open(folder.path().join("registry.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(table).unwrap());
    transaction.commit().unwrap();
    drop(database);

    let store = open(&folder);
    let ban = RoomAction::Ban { username: name("bob"), reason: None };
    let capacity = RoomAction::SetCapacity(Capacity::new(2).unwrap());
    for action in [ban, capacity] {
        let answer = ask(&store, moderate("den", "ali", action));
        assert!(matches!(answer, StoreAnswer::Moderated { .. }), "{answer:?}");
    }
    drop(store);
    let store = open(&folder);
    assert!(rooms_of(&store, "bob").is_empty());
    let answer = ask(&store, join("den", 1, "bob"));
    assert!(matches!(answer, StoreAnswer::BannedFromRoom { .. }), "{answer:?}");
    ask(&store, leave("den", "ali"));
    ask(&store, create("den", "bob", 5));
    assert_eq!(rooms_of(&store, "bob"), ["den"], "the bans are gone with the room");
}

#[test]
fn a_first_start_that_was_cut_short_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    std::fs::write(folder.path().join("registry.redb.1.unfinished"), "redb, or half of it").unwrap();
    std::fs::write(&path, "").unwrap();
    let store = open(&folder);
    assert!(matches!(ask(&store, register("ali")), StoreAnswer::Registered));
    drop(store);
    assert!(matches!(ask(&open(&folder), register("ali")), StoreAnswer::NameTaken));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
