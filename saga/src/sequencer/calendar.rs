//! When remembered keys are to be forgotten.

use std::collections::BTreeMap;

use crate::engine_records::EngineRecord;

/// The keys that are due at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) bytes: u64,
}

/// Which keys there are, by the time at which they are due; the same as the records say.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    times: BTreeMap<u64, Count>,
    bytes: u64,
}

impl Calendar {
    /// How many keys there are, and what they are counted as.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.times.values().map(|count| count.next - count.first).sum(), self.bytes)
    }

    /// What they are counted as.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The keys that are due at this time.
    pub(super) fn at(&self, time: u64) -> Option<Count> {
        self.times.get(&time).copied()
    }

    /// The first time at which any is due.
    pub(super) fn first(&self) -> Option<(u64, Count)> {
        self.times.first_key_value().map(|(time, count)| (*time, *count))
    }

    /// Takes note of what was loaded.
    pub(super) fn insert(&mut self, time: u64, record: Option<&EngineRecord>) {
        if let Some(&EngineRecord::DueCount { first, next, bytes }) = record {
            self.set(time, Count { first, next, bytes });
        }
    }

    pub(super) fn set(&mut self, time: u64, count: Count) {
        let before = self.times.insert(time, count).unwrap_or_default();
        self.bytes = self.bytes - before.bytes + count.bytes;
    }

    pub(super) fn remove(&mut self, time: u64) {
        self.bytes -= self.times.remove(&time).unwrap_or_default().bytes;
    }

    pub(super) fn record(&self) -> EngineRecord {
        EngineRecord::Calendar { times: self.times.keys().copied().collect() }
    }
}
