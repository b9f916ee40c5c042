//! Core's transactions over redb's.

use std::{cell::OnceCell, collections::BTreeMap};

use p2pchat_core::registry::store::{ReadTransaction, StoreError, Table, WriteTransaction};
use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata, TableDefinition, TableError};

type Key = &'static [u8];

pub(super) fn definition(table: Table) -> TableDefinition<'static, Key, Key> {
    TableDefinition::new(table.name())
}

pub(super) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Engine(error.to_string().into())
}

fn get(table: &impl ReadableTable<Key, Key>, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let value = table.get(key).map_err(failed)?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn scan(
    table: &impl ReadableTable<Key, Key>,
    from: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StoreError> {
    for entry in table.range(from..).map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        if !visit(key.value(), value.value()) {
            break;
        }
    }
    Ok(())
}

/// A committed state of all tables.
pub(crate) struct ReadView(BTreeMap<Table, ReadOnlyTable<Key, Key>>);

impl ReadView {
    pub(super) fn new(transaction: &redb::ReadTransaction) -> Result<Self, TableError> {
        let open = |&table| Ok((table, transaction.open_table(definition(table))?));
        Table::ALL.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// How many entries each table has.
    pub(super) fn entries(&self) -> Result<Vec<(Table, u64)>, StoreError> {
        self.0.iter().map(|(&name, table)| Ok((name, table.len().map_err(failed)?))).collect()
    }

    fn table(&self, table: Table) -> Result<&ReadOnlyTable<Key, Key>, StoreError> {
        self.0.get(&table).ok_or_else(|| failed("no such table"))
    }
}

impl ReadTransaction for ReadView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(self.table(table)?, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        scan(self.table(table)?, from, visit)
    }
}

/// The tables in a transaction that isn't committed yet. Each is opened when it is first asked for, and looked up by its name
/// for that: most batches of requests ask for few.
pub(crate) struct WriteView<'txn> {
    transaction: &'txn redb::WriteTransaction,
    tables: BTreeMap<Table, OnceCell<redb::Table<'txn, Key, Key>>>,
    changes: usize,
}

impl<'txn> WriteView<'txn> {
    pub(super) fn new(transaction: &'txn redb::WriteTransaction) -> Self {
        let tables = Table::ALL.iter().map(|&table| (table, OnceCell::new())).collect();
        Self { transaction, tables, changes: 0 }
    }

    /// Makes the tables that aren't there.
    pub(super) fn make_tables(&self) -> Result<(), TableError> {
        self.tables.iter().try_for_each(|(&name, table)| self.open(name, table).map(drop))
    }

    /// How often something was changed. If never, there is nothing to be committed.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    fn open<'a>(
        &self,
        name: Table,
        table: &'a OnceCell<redb::Table<'txn, Key, Key>>,
    ) -> Result<&'a redb::Table<'txn, Key, Key>, TableError> {
        match table.get() {
            Some(table) => Ok(table),
            None => {
                let opened = self.transaction.open_table(definition(name))?;
                Ok(table.get_or_init(|| opened))
            }
        }
    }

    fn table(&self, table: Table) -> Result<&redb::Table<'txn, Key, Key>, StoreError> {
        let cell = self.tables.get(&table).ok_or_else(|| failed("no such table"))?;
        self.open(table, cell).map_err(failed)
    }

    fn table_mut(&mut self, table: Table) -> Result<&mut redb::Table<'txn, Key, Key>, StoreError> {
        self.changes += 1;
        self.table(table)?;
        self.tables.get_mut(&table).and_then(OnceCell::get_mut).ok_or_else(|| failed("no such table"))
    }
}

impl ReadTransaction for WriteView<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(self.table(table)?, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        scan(self.table(table)?, from, visit)
    }
}

impl WriteTransaction for WriteView<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.table_mut(table)?.insert(key, value).map_err(failed)?;
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.table_mut(table)?.remove(key).map_err(failed)?;
        Ok(())
    }
}
