//! Lists of records, bounded by what fits into a reply.

use std::fmt;

use crate::{error::Problem, limits};

/// One entry of a [`List`]: knows how many bytes it takes on the wire.
pub trait Record {
    /// The record's canonical size in bytes, separators not counted.
    fn encoded_len(&self) -> usize;
}

/// A list that fits into one reply: records whose encoding, ` , ` between them, stays within a limit in bytes.
#[derive(Clone)]
pub struct List<T> {
    records: Vec<T>,
    encoded_len: usize,
    limit: usize,
}

/// Room for the verb, phrase, code and a room's name before a list's first record.
const HEADER: usize = 512;
/// What is left of a reply of the protocol's size.
pub(crate) const ROOM: usize = limits::LIST_REPLY_BYTES - HEADER;
/// ` , `
const SEPARATOR: usize = 3;

impl<T: Record> List<T> {
    /// An empty list for a reply of the protocol's size, [`limits::LIST_REPLY_BYTES`].
    pub fn new() -> Self {
        Self::with_limit(limits::LIST_REPLY_BYTES)
    }

    /// An empty list for a reply of at most `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { records: Vec::new(), encoded_len: 0, limit }
    }

    /// Adds a record, or says how large the list would become.
    pub fn push(&mut self, record: T) -> Result<(), Problem> {
        let size = self.encoded_len + record.encoded_len() + SEPARATOR;
        if size + HEADER > self.limit {
            return Err(Problem::TooLong { limit: self.limit, size: size + HEADER, unit: "bytes" });
        }
        self.encoded_len = size;
        self.records.push(record);
        Ok(())
    }

    /// As many of `records`, from the first, as fit.
    pub fn fitting(records: impl IntoIterator<Item = T>) -> Self {
        let mut list = Self::new();
        for record in records {
            if list.push(record).is_err() {
                break;
            }
        }
        list
    }
}

impl<T> List<T> {
    /// The records.
    pub fn as_slice(&self) -> &[T] {
        &self.records
    }

    /// The records, owned.
    pub fn into_vec(self) -> Vec<T> {
        self.records
    }

    /// At least what the records take on the wire, in bytes, with what parts them.
    pub(crate) fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Goes through the records.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.records.iter()
    }
}

impl<T: Record> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.records == other.records
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.records.fmt(f)
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.records.into_iter()
    }
}

#[cfg(feature = "serde")]
impl<T: serde::Serialize> serde::Serialize for List<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.records.serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de, T: Record + serde::Deserialize<'de>> serde::Deserialize<'de> for List<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut list = Self::new();
        for record in Vec::<T>::deserialize(deserializer)? {
            list.push(record).map_err(serde::de::Error::custom)?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Username;

    #[test]
    fn a_list_takes_what_fits_into_its_limit_and_says_what_does_not() {
        let name = || Username::new("alice").unwrap();
        let two = 2 * ("<alice>".len() + SEPARATOR) + HEADER;
        for (limit, expected) in
            [(two, Ok(())), (two - 1, Err(Problem::TooLong { limit: two - 1, size: two, unit: "bytes" }))]
        {
            let mut list = List::with_limit(limit);
            assert_eq!(list.push(name()), Ok(()));
            assert_eq!(list.push(name()), expected);
            assert_eq!(list.len(), if expected.is_ok() { 2 } else { 1 });
        }
    }

    #[test]
    fn a_list_holds_what_was_put_into_it() {
        let names = ["alice", "bob"].map(|name| Username::new(name).unwrap());
        let list = List::fitting(names.clone());
        assert_eq!((list.as_slice(), list.len(), list.is_empty()), (&names[..], 2, false));
        assert_eq!(list.encoded_len(), "<alice> , <bob> , ".len());
        assert!(list.iter().eq(&names) && (&list).into_iter().eq(&names));
        assert_eq!(format!("{list:?}"), r#"["alice", "bob"]"#);
        assert_eq!(list, List::fitting(names.clone()));
        assert_ne!(list, List::fitting(names.clone().into_iter().take(1)));
        assert!(list.clone().into_iter().eq(names.clone()));
        assert_eq!(list.into_vec(), names);
        assert!(List::<Username>::default().is_empty());
    }
}
