//! The resident records of one partition: all of them are in memory, always, and each checkpoint takes what has changed.
//!
//! ```text
//!   lookup ──▶ active ──▶ frozen ──▶ settled
//!              since the   while it is written    what the base has,
//!              last freeze into the base          row by row
//! ```
//!
//! A checkpoint copies nothing of what has settled, so that records of a saga that takes long, or an index that is kept for good,
//! cost it nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::table::{Entry, Row, State, Table};

/// How many bytes of values that were replaced may lie between those that count, before memory is tidied up.
const REPLACED_MIN: usize = 256 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Residents {
    pub(crate) active: Table,
    pub(crate) below: Below,
    /// How many bytes of what has settled count, and how many do not any more.
    settled_bytes: usize,
    replaced_bytes: usize,
}

/// What the base has, or will have with the checkpoint that is being written.
#[derive(Debug, Default)]
pub(crate) struct Below {
    frozen: Option<Arc<Table>>,
    settled: Table,
}

impl Below {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let frozen = self.frozen.as_ref().and_then(|frozen| frozen.get(key));
        frozen.unwrap_or_else(|| self.settled.get(key).flatten())
    }

    /// Whether a removal needs a trace in the base.
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }
}

impl Residents {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.active.get(key).unwrap_or_else(|| self.below.get(key))
    }

    /// Takes over what the journal says.
    pub(crate) fn replay(&mut self, key: &[u8], value: Option<&[u8]>) {
        let fresh = !self.below.has(key);
        match (self.active.entry(key), value) {
            (Entry::Occupied(mut entry), Some(_)) => entry.set_value(key, value),
            (Entry::Occupied(entry), None) if fresh => entry.remove(),
            (Entry::Occupied(mut entry), None) => entry.set_value(key, None),
            (Entry::Vacant(_), None) if fresh => {}
            (Entry::Vacant(entry), _) => entry.insert(key, value, State::replayed(fresh)),
        }
    }

    /// Takes over a row of the base.
    pub(crate) fn settle(&mut self, key: &[u8], value: Option<&[u8]>) {
        let bytes = |length: usize| key.len() + length;
        match (self.below.settled.entry(key), value) {
            (Entry::Vacant(entry), Some(new)) => {
                self.settled_bytes += bytes(new.len());
                entry.insert(key, value, State::default());
            }
            (Entry::Occupied(mut entry), Some(new)) => {
                let old = entry.value_bytes().unwrap_or_default();
                self.settled_bytes = self.settled_bytes + new.len() - old;
                self.replaced_bytes += bytes(old);
                entry.set_value(key, value);
            }
            (Entry::Occupied(entry), None) => {
                let old = bytes(entry.value_bytes().unwrap_or_default());
                self.settled_bytes -= old;
                self.replaced_bytes += old;
                entry.remove();
            }
            (Entry::Vacant(_), None) => {}
        }
    }

    /// All of them, by key.
    pub(crate) fn all(&self) -> Vec<(Bytes, Bytes)> {
        let mut all: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        let layers = [Some(&self.below.settled), self.below.frozen.as_deref(), Some(&self.active)];
        for Row { key, value } in layers.into_iter().flatten().flat_map(Table::iter) {
            match value {
                Some(value) => drop(all.insert(key, value)),
                None => drop(all.remove(key)),
            }
        }
        all.into_iter().map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))).collect()
    }

    /// Sets aside what has changed since the last freeze.
    pub(crate) fn freeze(&mut self) -> Arc<Table> {
        let frozen = Arc::new(std::mem::take(&mut self.active));
        self.below.frozen = Some(Arc::clone(&frozen));
        frozen
    }

    /// The base holds what was frozen now.
    pub(crate) fn thaw(&mut self) {
        let Some(frozen) = self.below.frozen.take() else { return };
        for Row { key, value } in frozen.iter() {
            self.settle(key, value);
        }
        if self.replaced_bytes > self.settled_bytes.max(REPLACED_MIN) {
            self.tidy_up();
        }
    }

    fn tidy_up(&mut self) {
        let rows = std::mem::take(&mut self.below.settled);
        (self.settled_bytes, self.replaced_bytes) = (0, 0);
        for Row { key, value } in rows.iter() {
            self.settle(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(number: u32) -> Vec<u8> {
        vec![number.to_le_bytes()[0]; 1000]
    }

    #[test]
    fn a_checkpoint_takes_what_has_changed_and_no_more() {
        let mut residents = Residents::default();
        for number in 0..1000_u32 {
            residents.settle(&number.to_be_bytes(), Some(&value(number)));
        }
        residents.replay(&7_u32.to_be_bytes(), Some(b"new"));
        residents.replay(&8_u32.to_be_bytes(), None);
        residents.replay(&2000_u32.to_be_bytes(), Some(b"another"));
        residents.replay(&2001_u32.to_be_bytes(), Some(b"short-lived"));
        residents.replay(&2001_u32.to_be_bytes(), None);
        let frozen = residents.freeze();
        let rows: Vec<_> = frozen.sorted().map(|row| (row.key.to_vec(), row.value.map(<[u8]>::to_vec))).collect();
        let row = |number: u32, value: Option<&[u8]>| (number.to_be_bytes().to_vec(), value.map(<[u8]>::to_vec));
        assert_eq!(rows, [row(7, Some(b"new")), row(8, None), row(2000, Some(b"another"))]);
        for is_thawed in [false, true] {
            if is_thawed {
                residents.thaw();
            }
            assert_eq!(residents.get(&7_u32.to_be_bytes()), Some(&b"new"[..]));
            assert_eq!((residents.get(&8_u32.to_be_bytes()), residents.all().len()), (None, 1000));
        }
        assert_eq!(residents.freeze().len(), 0);
    }

    #[test]
    fn what_is_replaced_again_and_again_takes_no_more_memory_than_twice_what_counts() {
        let mut residents = Residents::default();
        for round in 0..100_u32 {
            for key in 0..100_u32 {
                let longer = [value(round), vec![0; round as usize]].concat();
                residents.replay(&key.to_be_bytes(), Some(&longer));
            }
            residents.freeze();
            residents.thaw();
            let Residents { settled_bytes, replaced_bytes, .. } = residents;
            assert!(replaced_bytes <= settled_bytes.max(REPLACED_MIN), "{replaced_bytes} beside {settled_bytes}");
        }
        let counted: usize =
            residents.below.settled.iter().map(|row| row.key.len() + row.value.map_or(0, <[u8]>::len)).sum();
        assert_eq!(counted, residents.settled_bytes);
    }
}
