//! What memory knows of a partition's records, by key: a hash table that never stops for long to grow.
//!
//! One that doubles its room has to move everything at once, and whoever puts the record that is one too many waits for
//! that: tens of milliseconds at half a million records. This one is made of many small ones, which grow one by one,
//! and it keeps the hashes, so that moving a row does not follow its key into memory.
//!
//! Keys and values stand in an [`Arena`], each value right behind its key. A table is emptied as a whole and used again:
//! fresh memory has to be cleared by the operating system first, which took more time than to fill it.

use std::{fmt, hash::BuildHasher as _};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table};

use crate::arena::{Arena, At};

/// A power of two, and few enough that an empty table is small.
const SHARDS: usize = 64;

/// Where a record's last word stands: in the open group's buffer, in a flushed group, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) group: u64,
    pub(crate) at: u32,
}

/// What is known of one key besides its value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub(crate) word: Option<Word>,
    /// Neither the base nor the frozen table holds the key, so removing it needs no trace in the base.
    pub(crate) fresh: bool,
    /// An earlier group put a word for the key into the journal, so removing it needs a word, too.
    pub(crate) journaled: bool,
}

#[derive(Debug)]
struct Slot {
    hash: u64,
    at: At,
    /// How long a value may be that takes this one's place.
    room: u32,
    /// `None`: there is no record under the key.
    value_bytes: Option<u32>,
    key_bytes: u8,
    state: State,
}

impl Slot {
    fn key<'a>(&self, arena: &'a Arena) -> &'a [u8] {
        arena.get(self.at, 0, self.key_bytes.into())
    }

    fn value<'a>(&self, arena: &'a Arena) -> Option<&'a [u8]> {
        self.value_bytes.map(|bytes| arena.get(self.at, self.key_bytes.into(), bytes as usize))
    }

    fn row<'a>(&self, arena: &'a Arena) -> Row<'a> {
        Row { key: self.key(arena), value: self.value(arena) }
    }

    /// Whether all that is known is that there is nothing.
    fn is_absence(&self) -> bool {
        self.state.fresh && self.value_bytes.is_none()
    }

    fn is(&self, hash: u64, key: &[u8], arena: &Arena) -> bool {
        self.hash == hash && self.key(arena) == key
    }
}

/// A key and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) key: &'a [u8],
    /// `None`: there is no record under the key.
    pub(crate) value: Option<&'a [u8]>,
}

/// Values by key.
pub(crate) struct Table {
    shards: Vec<HashTable<Slot>>,
    hasher: RandomState,
    arena: Arena,
}

/// A row, or room for one.
pub(crate) enum Entry<'a> {
    Occupied(Occupied<'a>),
    Vacant(Vacant<'a>),
}

pub(crate) struct Occupied<'a> {
    inner: hash_table::OccupiedEntry<'a, Slot>,
    arena: &'a mut Arena,
}

pub(crate) struct Vacant<'a> {
    inner: hash_table::VacantEntry<'a, Slot>,
    arena: &'a mut Arena,
    hash: u64,
}

impl Vacant<'_> {
    /// `key` is the one that the entry was asked for.
    pub(crate) fn insert(self, key: &[u8], value: Option<&[u8]>, state: State) {
        let at = self.arena.push(key, value.unwrap_or_default());
        let value_bytes = value.map(length);
        let key_bytes = u8::try_from(key.len()).expect("keys were checked before anything was changed");
        let room = value_bytes.unwrap_or_default();
        self.inner.insert(Slot { hash: self.hash, at, room, value_bytes, key_bytes, state });
    }
}

impl Occupied<'_> {
    pub(crate) fn state(&mut self) -> &mut State {
        &mut self.inner.get_mut().state
    }

    pub(crate) fn value_bytes(&self) -> Option<usize> {
        self.inner.get().value_bytes.map(|bytes| bytes as usize)
    }

    /// Whether all that is known is that there is nothing.
    pub(crate) fn is_absence(&self) -> bool {
        self.inner.get().is_absence()
    }

    /// `key` is the one that the entry was asked for.
    pub(crate) fn set_value(&mut self, key: &[u8], value: Option<&[u8]>) {
        let slot = self.inner.get_mut();
        slot.value_bytes = value.map(length);
        match value {
            Some(value) if length(value) <= slot.room => self.arena.overwrite(slot.at, slot.key_bytes.into(), value),
            Some(value) => {
                slot.at = self.arena.push(key, value);
                slot.room = length(value);
            }
            None => {}
        }
    }

    pub(crate) fn remove(self) {
        self.inner.remove();
    }
}

fn length(value: &[u8]) -> u32 {
    u32::try_from(value.len()).expect("values were checked before anything was changed")
}

impl Default for Table {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| HashTable::new()).collect();
        Self { shards, hasher: RandomState::default(), arena: Arena::default() }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Table").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Table {
    /// An empty table with room for as many rows as `other` has.
    pub(crate) fn sized_like(other: &Self) -> Self {
        let shards = other.shards.iter().map(|shard| HashTable::with_capacity(shard.len()));
        // The same hasher, so that each shard will have about as many rows as its model.
        Self { shards: shards.collect(), hasher: other.hasher.clone(), arena: Arena::default() }
    }

    /// Forgets every row, and keeps the room that they took.
    pub(crate) fn clear(&mut self) {
        for shard in &mut self.shards {
            let rows = shard.len();
            shard.clear();
            // What one burst took is given back when the next one turns out smaller.
            if shard.capacity() > rows.saturating_mul(4) {
                shard.shrink_to(rows, |slot| slot.hash);
            }
        }
        self.arena.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }

    /// All rows, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.shards.iter().flatten().map(|slot| slot.row(&self.arena))
    }

    /// The rows that the base has to hear of, by key.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = Row<'_>> {
        let slots = self.shards.iter().flatten().filter(|slot| !slot.is_absence());
        // Sixteen bytes of the key decide nearly always, without following it into memory.
        let mut keyed: Vec<_> = slots.map(|slot| (prefix(slot.key(&self.arena)), slot)).collect();
        keyed.sort_unstable_by(|(left_prefix, left), (right_prefix, right)| {
            left_prefix.cmp(right_prefix).then_with(|| left.key(&self.arena).cmp(right.key(&self.arena)))
        });
        keyed.into_iter().map(|(_, slot)| slot.row(&self.arena))
    }

    /// What is known of the value under `key`; `Some(None)`: that there is none.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let hash = self.hasher.hash_one(key);
        let slot = self.shards.get(shard_of(hash))?.find(hash, |slot| slot.is(hash, key, &self.arena))?;
        Some(slot.value(&self.arena))
    }

    pub(crate) fn entry(&mut self, key: &[u8]) -> Entry<'_> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shards.get_mut(shard_of(hash)).expect("there are as many shards as numbers of shards");
        let arena = &mut self.arena;
        match shard.entry(hash, |slot| slot.is(hash, key, arena), |slot| slot.hash) {
            hash_table::Entry::Occupied(inner) => Entry::Occupied(Occupied { inner, arena }),
            hash_table::Entry::Vacant(inner) => Entry::Vacant(Vacant { inner, arena, hash }),
        }
    }
}

fn prefix(key: &[u8]) -> u128 {
    let mut prefix = [0; 16];
    for (target, byte) in prefix.iter_mut().zip(key) {
        *target = *byte;
    }
    u128::from_be_bytes(prefix)
}

/// From the middle of the hash: a shard uses both of its ends.
fn shard_of(hash: u64) -> usize {
    usize::from((hash >> 32).to_le_bytes()[0]) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &mut Table, key: &[u8], value: Option<&[u8]>) {
        match table.entry(key) {
            Entry::Vacant(entry) => entry.insert(key, value, State::default()),
            Entry::Occupied(mut entry) => entry.set_value(key, value),
        }
    }

    #[test]
    fn rows_are_spread_over_the_shards_and_found_again() {
        let mut table = Table::default();
        let name = |number: u32| format!("order:{number}").into_bytes();
        for number in 0..64_000_u32 {
            assert!(matches!(table.entry(&name(number)), Entry::Vacant(_)), "{number} was never put");
            put(&mut table, &name(number), Some(&number.to_le_bytes()));
        }
        assert_eq!((table.len(), table.iter().count()), (64_000, 64_000));
        assert!(table.sorted().map(|row| row.key).is_sorted());
        assert!((0..64_000).all(|number| table.get(&name(number)) == Some(Some(&number.to_le_bytes()))));
        assert_eq!(table.get(b"order:64000"), None);
        assert!(table.shards.iter().all(|shard| (700..1300).contains(&shard.len())), "about a thousand each");
    }

    #[test]
    fn a_value_may_grow_shrink_and_go() {
        let mut table = Table::default();
        put(&mut table, b"other", Some(b"stays"));
        for value in
            [Some(&b"one"[..]), Some(b"three"), Some(b""), Some(b"four"), None, Some(b"five!"), Some(b"sixsix")]
        {
            put(&mut table, b"key", value);
            assert_eq!(table.get(b"key"), Some(value));
            assert_eq!(table.get(b"other"), Some(Some(&b"stays"[..])));
        }
    }

    #[test]
    fn a_cleared_table_is_empty_and_gives_back_what_a_burst_took() {
        let mut table = Table::default();
        for rows in [10_000_u32, 10_000, 10, 10] {
            (0..rows).for_each(|number| put(&mut table, &number.to_le_bytes(), Some(b"value")));
            assert_eq!(table.len(), rows as usize);
            table.clear();
            assert_eq!((table.len(), table.get(&0_u32.to_le_bytes())), (0, None));
        }
        let room: usize = table.shards.iter().map(HashTable::capacity).sum();
        assert!(room < 1000, "{room} rows");
    }
}
