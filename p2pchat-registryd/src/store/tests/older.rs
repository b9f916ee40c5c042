//! Files of earlier versions in the format of this one, which lack what was added since.

use super::*;

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
