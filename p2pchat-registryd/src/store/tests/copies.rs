//! Copies that are given up because the registry ends.

use std::cell::Cell;

use super::*;
use crate::offline::{self, export_to};

fn filled(folder: &tempfile::TempDir) -> RedbStore {
    let store = open(folder);
    for number in 0..500 {
        ask(&store, register(&format!("user-{number}")));
    }
    store
}

fn files(folder: &tempfile::TempDir) -> usize {
    std::fs::read_dir(folder.path()).unwrap().count()
}

#[test]
fn no_copy_keeps_a_registry_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder);
    let to = folder.path().join("copy");
    store.stop_backups();
    assert!(matches!(store.backup(&to), Err(BackupError::Stopped)));
    let exported = store.with_snapshot(|view, goes_on| export_to(view, &to, goes_on)).unwrap();
    assert!(matches!(exported, Err(offline::Error::Write(BackupError::Stopped))), "{exported:?}");
    assert_eq!(files(&folder), 1, "nothing is left of them");
}

#[test]
fn an_export_is_given_up_in_its_midst() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder);
    let to = folder.path().join("copy");
    for last in 1.. {
        let asked = Cell::new(0);
        let goes_on = || asked.replace(asked.get() + 1) < last;
        match store.with_snapshot(|view, _| export_to(view, &to, &goes_on)).unwrap() {
            Ok(entries) => {
                assert!((entries, last) >= (500, 3), "{entries} entries in {last} pieces");
                break;
            }
            Err(offline::Error::Write(BackupError::Stopped)) => assert_eq!(files(&folder), 1),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(files(&folder), 2);
}
