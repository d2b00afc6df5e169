//! The records of one partition that the base does not hold yet.
//!
//! ```text
//!   lookup ──▶ active ──▶ frozen ──▶ base
//!              since the   while it is written
//!              last freeze into the base
//! ```

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    ops::OpBuffer,
    table::{self, Entry},
};

/// How many keys known to be absent a partition remembers between two freezes. They are remembered between the load
/// that misses and the commit that puts the record, so this bounds what idle questions for unknown keys can take.
const ABSENT_KEYS_MAX: usize = 2048;

/// Where a record's last word stands: in the open group's buffer, in a flushed group, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    group: u64,
    at: u32,
}

/// What is known of one key.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) value: Option<Bytes>,
    word: Option<Word>,
    /// Neither the base nor the frozen table holds the key, so removing it needs no trace in the base.
    pub(crate) fresh: bool,
    /// An earlier group put a word for the key into the journal, so removing it needs a word, too.
    journaled: bool,
}

impl Slot {
    fn staged(value: Option<Bytes>, word: Word) -> Self {
        Self { value, word: Some(word), fresh: false, journaled: false }
    }

    fn restage(&mut self, value: Option<Bytes>, word: Word) {
        self.journaled |= self.word.is_some_and(|earlier| earlier.group != word.group);
        self.value = value;
        self.word = Some(word);
    }

    /// Where the slot's word stands in the buffer of the open group, if it has one there.
    fn word_in(&self, group: u64) -> Option<u32> {
        self.word.filter(|word| word.group == group).map(|word| word.at)
    }

    /// Whether all that is known is that there is nothing.
    pub(crate) fn is_absence(&self) -> bool {
        self.fresh && self.value.is_none()
    }
}

/// Keys and what is known of them.
pub(crate) type Table = table::Table<Slot>;

/// The records of one partition that the base does not hold yet.
#[derive(Debug, Default)]
pub(crate) struct Records {
    active: Table,
    frozen: Option<Arc<Table>>,
    /// Empty, for the next freeze.
    next: Table,
    absent_keys: usize,
}

impl Records {
    /// The value under `key` where memory knows it: `Some(None)` says that there is none.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        let slot = match self.active.get(key) {
            Some(slot) => slot,
            None => self.frozen.as_ref()?.get(key)?,
        };
        Some(&slot.value)
    }

    /// Stages `value` under `key`, as part of `group`.
    pub(crate) fn put(&mut self, group: u64, key: Bytes, value: Bytes, ops: &mut OpBuffer) {
        let mut entry = match self.active.entry(&key) {
            Entry::Vacant(entry) => {
                let at = ops.put(&key, &value);
                entry.insert(key, Slot::staged(Some(value), Word { group, at }));
                return;
            }
            Entry::Occupied(entry) => entry,
        };
        let slot = &mut entry.get_mut().value;
        let open_word = slot.word_in(group);
        let fits = slot.value.as_ref().is_some_and(|old| old.len() == value.len());
        let at = match open_word {
            Some(at) if fits => {
                ops.replace_value(at, key.len(), &value);
                at
            }
            _ => {
                open_word.into_iter().for_each(|at| ops.strike(at));
                ops.put(&key, &value)
            }
        };
        self.absent_keys -= usize::from(slot.is_absence());
        slot.restage(Some(value), Word { group, at });
    }

    /// Stages the removal of `key`, as part of `group`.
    pub(crate) fn remove(&mut self, group: u64, key: Bytes, ops: &mut OpBuffer) {
        let mut entry = match self.active.entry(&key) {
            Entry::Vacant(entry) => {
                let at = ops.remove(&key);
                entry.insert(key, Slot::staged(None, Word { group, at }));
                return;
            }
            Entry::Occupied(entry) => entry,
        };
        let slot = &mut entry.get_mut().value;
        let open_word = slot.word_in(group);
        open_word.into_iter().for_each(|at| ops.strike(at));
        self.absent_keys -= usize::from(slot.is_absence());
        if !slot.fresh {
            let at = ops.remove(&key);
            slot.restage(None, Word { group, at });
            return;
        }
        // It came and went between two freezes: the base never hears of it, and within one group nor does the journal.
        let is_journaled = slot.journaled || (slot.word.is_some() && open_word.is_none());
        entry.remove();
        if is_journaled {
            ops.remove(&key);
        }
    }

    /// Remembers that nothing is under `key`: neither here nor in the base.
    pub(crate) fn note_absent(&mut self, key: Bytes) {
        if self.absent_keys < ABSENT_KEYS_MAX
            && let Entry::Vacant(entry) = self.active.entry(&key)
        {
            self.absent_keys += 1;
            entry.insert(key, Slot { value: None, word: None, fresh: true, journaled: false });
        }
    }

    /// Puts what a journal says into the table, without a word for it.
    pub(crate) fn replay(&mut self, key: &[u8], value: Option<&[u8]>) {
        let value = value.map(Bytes::copy_from_slice);
        match self.active.entry(key) {
            Entry::Occupied(mut entry) => entry.get_mut().value.value = value,
            Entry::Vacant(entry) => {
                let slot = Slot { value, word: None, fresh: false, journaled: false };
                entry.insert(Bytes::copy_from_slice(key), slot);
            }
        }
    }

    /// Makes the table that the next freeze begins, of the same capacity as the last one had, so that a steady load never
    /// waits for a table to grow.
    pub(crate) fn prepare_freeze(&mut self) {
        self.next = Table::sized_like(&self.active);
    }

    /// Sets the active table aside, to be written into the base, and starts an empty one.
    pub(crate) fn freeze(&mut self) -> Arc<Table> {
        debug_assert!(self.frozen.is_none(), "one checkpoint at a time");
        let next = std::mem::take(&mut self.next);
        let frozen = Arc::new(std::mem::replace(&mut self.active, next));
        self.frozen = Some(Arc::clone(&frozen));
        self.absent_keys = 0;
        frozen
    }

    /// The base holds the frozen table now.
    pub(crate) fn thaw(&mut self) -> Option<Arc<Table>> {
        self.frozen.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.active.len() + self.frozen.as_ref().map_or(0, |table| table.len())
    }
}
