//! A hash table that never stops for long to grow.
//!
//! One that doubles its room has to move everything at once, and whoever puts the record that is one too many waits for
//! that: tens of milliseconds at half a million records. This one is made of many small ones, which grow one by one,
//! and it keeps the hashes, so that moving a row does not follow its key into memory.

use std::{fmt, hash::BuildHasher as _};

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table};

/// A power of two, and few enough that an empty table is small.
const SHARDS: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    hash: u64,
    pub(crate) key: Bytes,
    pub(crate) value: T,
}

/// Values by key.
#[derive(Clone)]
pub(crate) struct Table<T> {
    shards: Vec<HashTable<Row<T>>>,
    hasher: RandomState,
}

/// A row, or room for one.
pub(crate) enum Entry<'a, T> {
    Occupied(hash_table::OccupiedEntry<'a, Row<T>>),
    Vacant(Vacant<'a, T>),
}

pub(crate) struct Vacant<'a, T> {
    inner: hash_table::VacantEntry<'a, Row<T>>,
    hash: u64,
}

impl<T> Vacant<'_, T> {
    pub(crate) fn insert(self, key: Bytes, value: T) {
        self.inner.insert(Row { hash: self.hash, key, value });
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), hasher: RandomState::default() }
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Table").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> Table<T> {
    /// An empty table with room for as many rows as `other` has.
    pub(crate) fn sized_like(other: &Self) -> Self {
        let shards = other.shards.iter().map(|shard| HashTable::with_capacity(shard.len()));
        // The same hasher, so that each shard will have about as many rows as its model.
        Self { shards: shards.collect(), hasher: other.hasher.clone() }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row<T>> {
        self.shards.iter().flatten()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&T> {
        let hash = self.hasher.hash_one(key);
        let row = self.shards.get(shard_of(hash))?.find(hash, |row| row.key == key)?;
        Some(&row.value)
    }

    pub(crate) fn entry(&mut self, key: &[u8]) -> Entry<'_, T> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shards.get_mut(shard_of(hash)).expect("there are as many shards as numbers of shards");
        match shard.entry(hash, |row| row.key == key, |row| row.hash) {
            hash_table::Entry::Occupied(inner) => Entry::Occupied(inner),
            hash_table::Entry::Vacant(inner) => Entry::Vacant(Vacant { inner, hash }),
        }
    }
}

/// From the middle of the hash: a shard uses both of its ends.
fn shard_of(hash: u64) -> usize {
    usize::from((hash >> 32).to_le_bytes()[0]) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_over_the_shards_and_found_again() {
        let mut table = Table::default();
        for number in 0..64_000_u32 {
            let key = Bytes::from(format!("order:{number}"));
            match table.entry(&key) {
                Entry::Vacant(entry) => entry.insert(key.clone(), number),
                Entry::Occupied(_) => panic!("{key:?} was never put"),
            }
        }
        assert_eq!((table.len(), table.iter().count()), (64_000, 64_000));
        assert!((0..64_000).all(|number| table.get(format!("order:{number}").as_bytes()) == Some(&number)));
        assert_eq!(table.get(b"order:64000"), None);
        assert!(table.shards.iter().all(|shard| (700..1300).contains(&shard.len())), "about a thousand each");
    }
}
