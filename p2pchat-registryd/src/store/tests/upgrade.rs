//! Files of older formats.

use std::{fs, path::PathBuf};

use p2pchat_core::{
    proto::Reason,
    registry::store::{Entry, Secret, check, export},
};
use redb::ReadableTable;

use super::*;
use crate::store::power::{Dice, Disk};

/// As the first version left it.
const FORMAT_1: &[u8] = include_bytes!("../format-1.redb");

fn hash(n: u32) -> Secret {
    let salt_and_hash = format!("c2FsdHNhbHRzYWx0{n}$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g");
    Secret(format!("$argon2id$v=19$m=8,t=1,p=1${salt_and_hash}").into())
}

/// What is in it.
fn expected() -> Vec<Entry> {
    let account = |username, n, rooms: &[&str]| Entry::Account {
        username: name(username),
        password: hash(n),
        rooms: rooms.iter().map(|room| room_name(room)).collect(),
    };
    let room = |room, owner, password, capacity, about| Entry::Room {
        room: room_name(room),
        owner: name(owner),
        password,
        capacity: Capacity::new(capacity).unwrap(),
        description: Description::new(about).unwrap(),
    };
    let member = |room, user| Entry::Member { room: room_name(room), username: name(user) };
    let mallory = Ban {
        target: BanTarget::User(name("Mallory")),
        reason: Some(Reason::new("spam").unwrap()),
        since: 5,
        until: None,
    };
    let network = BanTarget::Subnet("192.0.2.0/24".parse().unwrap());
    vec![
        account("Ali", 0, &["Bar"]),
        account("bob", 1, &["Bar", "Den"]),
        account("eve", 3, &["Den"]),
        account("Zoë", 2, &["Den"]),
        room("Bar", "bob", None, 2, ""),
        member("Bar", "bob"),
        member("Bar", "ali"),
        room("Den", "zoë", Some(hash(7)), 5, "where we meet"),
        member("Den", "zoë"),
        member("Den", "bob"),
        member("Den", "eve"),
        Entry::Ban(mallory),
        Entry::Ban(Ban { target: network, reason: None, since: 5, until: Some(4_000_000_000) }),
    ]
}

fn contents(view: &view::ReadView) -> Vec<Entry> {
    let mut entries = Vec::new();
    export(view, &mut |entry| {
        entries.push(entry);
        true
    })
    .unwrap();
    assert_eq!(check(view).unwrap().problems, Vec::<String>::new());
    entries
}

/// All that a database holds, byte for byte.
fn dump(database: &Database) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let transaction = database.begin_read().unwrap();
    let mut all = Vec::new();
    for &table in Table::ALL {
        let Ok(open) = transaction.open_table(view::definition(table)) else { continue };
        for entry in open.iter().unwrap() {
            let (key, value) = entry.unwrap();
            all.push((table.name().to_owned(), key.value().to_vec(), value.value().to_vec()));
        }
    }
    let format = transaction.open_table(engine::ABOUT).unwrap().get("format").unwrap().unwrap().value();
    all.push(("format".to_owned(), Vec::new(), format.to_be_bytes().to_vec()));
    all
}

/// A folder with a file of format 1.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    fs::write(&path, FORMAT_1).unwrap();
    (folder, path)
}

#[test]
fn all_that_is_in_a_file_of_format_1_is_there_after_the_upgrade_and_so_is_the_file_as_it_was() {
    let (folder, path) = folder();
    let engine = Engine::open(&path, 1 << 20).unwrap();
    assert_eq!(engine.read(contents).unwrap(), expected());
    drop(engine);
    let kept = folder.path().join("registry.redb.format-1");
    assert_eq!(dump(&Database::open(&kept).unwrap()), dump(&Disk::new(FORMAT_1.to_vec()).open().unwrap()));
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&kept).unwrap().permissions()) & 0o777,
        0o600
    );

    // It is used as any other, and isn't upgraded twice.
    fs::remove_file(&kept).unwrap();
    let store = open(&folder);
    assert!(matches!(ask(&store, register("ALI")), StoreAnswer::NameTaken));
    assert!(matches!(ask(&store, join("bar", 2, "eve")), StoreAnswer::Full));
    assert!(matches!(ask(&store, create("new", "eve", 5)), StoreAnswer::Joined { .. }));
    assert_eq!(room_id(&store, "new"), Some(4));
    assert_eq!(rooms_of(&store, "bob"), ["Bar", "Den"]);
    match ask(&store, StoreRequest::Read(Read::Account { username: name("zoë") })) {
        StoreAnswer::Account(password) => assert_eq!(password, Some(hash(2))),
        other => panic!("{other:?}"),
    }
    drop(store);
    assert!(!kept.exists());
    // What is kept can be put back and upgraded again.
    fs::write(&path, FORMAT_1).unwrap();
    assert_eq!(Engine::open(&path, 1 << 20).unwrap().read(contents).unwrap(), expected());
    assert!(kept.exists());
}

#[test]
fn an_upgrade_that_is_cut_short_at_any_moment_has_never_been() {
    let old = dump(&Disk::new(FORMAT_1.to_vec()).open().unwrap());
    let (mut cut_short, mut upgraded) = (0, 0);
    for moment in 0.. {
        let mut was_done = false;
        for seed in 0..4 {
            let disk = Disk::new(FORMAT_1.to_vec());
            disk.cut_after(moment);
            was_done = disk.engine().is_ok() && disk.is_on();
            disk.lose_power(&mut Dice(seed));
            let database = disk.open().unwrap();
            let there = dump(&database);
            drop(database);
            if there == old {
                assert!(!was_done, "an upgrade that was done is gone");
                cut_short += 1;
            } else {
                upgraded += 1;
            }
            let engine = disk.engine().unwrap();
            assert_eq!(engine.read(contents).unwrap(), expected(), "moment {moment}, seed {seed}");
        }
        if was_done {
            break;
        }
    }
    assert!(cut_short > 10 && upgraded > 0, "{cut_short} {upgraded}");
}

#[test]
fn a_file_that_can_not_be_kept_or_upgraded_is_refused_and_holds_what_it_held() {
    let (folder, path) = folder();
    // In the place of the copy is something that isn't to be removed.
    let kept = folder.path().join("registry.redb.format-1");
    fs::create_dir_all(kept.join("and something in it")).unwrap();
    let refused = RedbStore::open(&path, &StoreConfig::default());
    assert!(matches!(refused, Err(OpenError::Io { .. })), "{refused:?}");
    let old = dump(&Disk::new(FORMAT_1.to_vec()).open().unwrap());
    assert_eq!(dump(&Database::open(&path).unwrap()), old);
    fs::remove_dir_all(&kept).unwrap();

    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(view::definition(Table::Accounts))
        .unwrap()
        .insert(b"eve".as_slice(), b"\xff".as_slice())
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let damaged = fs::read(&path).unwrap();
    let refused = RedbStore::open(&path, &StoreConfig::default());
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
    assert!(fs::read(&path).unwrap() == damaged && !kept.exists());
}

#[test]
fn a_file_of_an_older_format_is_looked_at_as_it_would_be_and_left_as_it_is() {
    let (folder, path) = folder();
    let snapshot = Snapshot::open(&path).unwrap();
    assert_eq!((snapshot.format(), snapshot.check().unwrap().found), (1, 0));
    assert_eq!(snapshot.read(|view| Ok(contents(view))).unwrap(), expected());
    drop(snapshot);
    assert!(fs::read(&path).unwrap() == FORMAT_1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
