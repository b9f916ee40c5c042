//! The store without an engine.

use std::collections::BTreeMap;

use super::store::{
    ReadTransaction, StoreAnswer, StoreError, StoreRequest, Table, WriteTransaction, read, write,
};

/// A store in memory, for tests, simulations and registries that may forget.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MemoryStore {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a question of the machine.
    pub fn answer(&mut self, request: &StoreRequest) -> StoreAnswer {
        match request {
            StoreRequest::Read(request) => read(self, request),
            StoreRequest::Write(request) => write(self, request),
        }
    }
}

impl ReadTransaction for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.get(&table).and_then(|entries| entries.get(key)).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        if let Some(entries) = self.tables.get(&table) {
            for (key, value) in entries.range(from.to_vec()..) {
                if !visit(key, value) {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl WriteTransaction for MemoryStore {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.tables.entry(table).or_default().insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        if let Some(entries) = self.tables.get_mut(&table) {
            entries.remove(key);
        }
        Ok(())
    }
}
