//! Files that are there at the start.

use super::*;

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
