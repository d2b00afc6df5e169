//! The records of one partition that the base does not hold yet, and those that stay in memory.
//!
//! ```text
//!   lookup ──▶ active ──▶ frozen ──▶ base
//!       │      since the   while it is written
//!       │      last freeze into the base
//!       └────▶ residents: all of them, always
//! ```

use std::sync::Arc;

use bytes::Bytes;
use saga::store::RESIDENT;

use crate::{
    ops::OpBuffer,
    residents::{Below, Residents},
    table::{Entry, State, Table, Word},
};

/// How many keys known to be absent a partition remembers between two freezes. They are remembered between the load
/// that misses and the commit that puts the record, so this bounds what idle questions for unknown keys can take.
const ABSENT_KEYS_MAX: usize = 2048;

impl State {
    fn staged(word: Word) -> Self {
        Self { word: Some(word), ..Self::default() }
    }

    /// Of a record that a journal knows.
    pub(crate) fn replayed(fresh: bool) -> Self {
        Self { word: None, fresh, journaled: true }
    }

    fn restage(&mut self, word: Word) {
        self.journaled |= self.word.is_some_and(|earlier| earlier.group != word.group);
        self.word = Some(word);
    }

    /// Where the record's word stands in the buffer of the open group, if it has one there.
    fn word_in(&self, group: u64) -> Option<u32> {
        self.word.filter(|word| word.group == group).map(|word| word.at)
    }
}

fn is_resident(key: &[u8]) -> bool {
    key.first() == Some(&RESIDENT)
}

/// The records of one partition in memory.
#[derive(Debug, Default)]
pub(crate) struct Records {
    active: Table,
    /// Those whose key says so.
    pub(crate) residents: Residents,
    frozen: Option<Arc<Table>>,
    /// Empty, for the next freeze; `None` until there is one.
    next: Option<Table>,
    absent_keys: usize,
}

/// Where what changes under `key` is kept; of a resident record also what is known of it besides.
fn table_of<'a>(active: &'a mut Table, residents: &'a mut Residents, key: &[u8]) -> (&'a mut Table, Option<&'a Below>) {
    if is_resident(key) { (&mut residents.active, Some(&residents.below)) } else { (active, None) }
}

impl Records {
    /// The value under `key` where memory knows it: `Some(None)` says that there is none.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<Option<Bytes>> {
        if is_resident(key) {
            return Some(self.residents.get(key).map(Bytes::copy_from_slice));
        }
        let value = match self.active.get(key) {
            Some(value) => value,
            None => self.frozen.as_ref()?.get(key)?,
        };
        Some(value.map(Bytes::copy_from_slice))
    }

    /// Stages `value` under `key`, as part of `group`.
    pub(crate) fn put(&mut self, group: u64, key: &[u8], value: &[u8], ops: &mut OpBuffer) {
        let Self { active, residents, absent_keys, .. } = self;
        let (table, below) = table_of(active, residents, key);
        let mut entry = match table.entry(key) {
            Entry::Vacant(entry) => {
                let fresh = below.is_some_and(|below| !below.has(key));
                let at = ops.put(key, value);
                entry.insert(key, Some(value), State { fresh, ..State::staged(Word { group, at }) });
                return;
            }
            Entry::Occupied(entry) => entry,
        };
        let open_word = entry.state().word_in(group);
        let fits = entry.value_bytes() == Some(value.len());
        let at = match open_word {
            Some(at) if fits => {
                ops.replace_value(at, key.len(), value);
                at
            }
            _ => {
                open_word.into_iter().for_each(|at| ops.strike(at));
                ops.put(key, value)
            }
        };
        *absent_keys -= usize::from(entry.is_absence());
        entry.set_value(key, Some(value));
        entry.state().restage(Word { group, at });
    }

    /// Stages the removal of `key`, as part of `group`.
    pub(crate) fn remove(&mut self, group: u64, key: &[u8], ops: &mut OpBuffer) {
        let Self { active, residents, absent_keys, .. } = self;
        let (table, below) = table_of(active, residents, key);
        let mut entry = match table.entry(key) {
            Entry::Vacant(_) if below.is_some_and(|below| !below.has(key)) => return,
            Entry::Vacant(entry) => {
                let at = ops.remove(key);
                entry.insert(key, None, State::staged(Word { group, at }));
                return;
            }
            Entry::Occupied(entry) => entry,
        };
        let state = *entry.state();
        let open_word = state.word_in(group);
        open_word.into_iter().for_each(|at| ops.strike(at));
        *absent_keys -= usize::from(entry.is_absence());
        if !state.fresh {
            let at = ops.remove(key);
            entry.set_value(key, None);
            entry.state().restage(Word { group, at });
            return;
        }
        // It came and went between two freezes: the base never hears of it, and within one group nor does the journal.
        let is_journaled = state.journaled || (state.word.is_some() && open_word.is_none());
        entry.remove();
        if is_journaled {
            ops.remove(key);
        }
    }

    /// Remembers that nothing is under `key`: neither here nor in the base.
    pub(crate) fn note_absent(&mut self, key: &[u8]) {
        if self.absent_keys < ABSENT_KEYS_MAX
            && let Entry::Vacant(entry) = self.active.entry(key)
        {
            self.absent_keys += 1;
            entry.insert(key, None, State { fresh: true, ..State::default() });
        }
    }

    /// Puts what a journal says into the table, without a word for it.
    pub(crate) fn replay(&mut self, key: &[u8], value: Option<&[u8]>) {
        if is_resident(key) {
            return self.residents.replay(key, value);
        }
        match self.active.entry(key) {
            Entry::Occupied(mut entry) => entry.set_value(key, value),
            Entry::Vacant(entry) => entry.insert(key, value, State::default()),
        }
    }

    /// Makes the table that the next freeze begins where there is none to be used again, of the same capacity as the
    /// last one had, so that a steady load never waits for a table to grow.
    pub(crate) fn prepare_freeze(&mut self) {
        if self.next.is_none() {
            self.next = Some(Table::sized_like(&self.active));
        }
    }

    /// Sets aside what has changed, to be written into the base: records, and resident ones.
    pub(crate) fn freeze(&mut self) -> [Arc<Table>; 2] {
        debug_assert!(self.frozen.is_none(), "one checkpoint at a time");
        let next = self.next.take().unwrap_or_default();
        let frozen = Arc::new(std::mem::replace(&mut self.active, next));
        self.frozen = Some(Arc::clone(&frozen));
        self.absent_keys = 0;
        [frozen, self.residents.freeze()]
    }

    /// The base holds what was frozen now.
    pub(crate) fn thaw(&mut self) -> Option<Arc<Table>> {
        self.residents.thaw();
        self.frozen.take()
    }

    /// Keeps an empty table for the next freeze: its memory has been used, so it costs nothing to use it again.
    pub(crate) fn reuse(&mut self, empty: Table) {
        self.next = Some(empty);
    }

    pub(crate) fn len(&self) -> usize {
        self.active.len() + self.frozen.as_ref().map_or(0, |table| table.len())
    }
}
