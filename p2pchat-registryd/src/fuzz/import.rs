//! An export that is to be imported.

use p2pchat_core::registry::store::{MemoryStore, check};

use crate::offline::lines::{ImportError, export as export_lines, import as import_lines};

/// Anything as a file: what it makes is sound and exports and imports as itself, or each thing that is wrong is said in a short
/// line with its place.
pub fn import(data: &[u8]) {
    let mut store = MemoryStore::new();
    match import_lines(data, &mut store) {
        Ok(entries) => {
            assert!(check(&store).expect("memory doesn't fail").is_sound());
            let text = exported(&store, entries);
            let mut again = MemoryStore::new();
            let imported = import_lines(&text[..], &mut again);
            assert_eq!(imported.expect("its own words"), entries);
            assert!(exported(&again, entries) == text, "another one");
        }
        Err(ImportError::Lines(errors)) => {
            assert!(!errors.is_empty() && errors.len() <= 202, "{} errors", errors.len());
            // One past the last: what is missing at the end.
            let lines = data.iter().filter(|&&byte| byte == b'\n').count() + 2;
            for error in errors {
                let line = error.line.unwrap_or(1);
                assert!((1..=lines).contains(&usize::try_from(line).expect("few")), "{error}");
                let told = error.to_string();
                assert!(!told.contains('\n') && told.len() <= 1_024, "a short line: {told}");
            }
        }
        Err(other) => panic!("{other}"),
    }
}

fn exported(store: &MemoryStore, entries: u64) -> Vec<u8> {
    let mut text = Vec::new();
    assert_eq!(export_lines(store, &mut text).expect("memory doesn't fail"), entries);
    text
}
