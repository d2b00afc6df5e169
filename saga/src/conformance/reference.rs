//! What a partition should look like: the store port in its simplest form, to compare with.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Differences, Violation,
    fixture::{Short, bytes, cursor, ensure, ensure_eq, put, remove, whole_log},
};
use crate::{
    LogName, Partition, Store,
    store::{Commit, LogEntry, RESIDENT, Residents, Snapshot, Visibility},
};

/// One partition as it should be after a number of commits.
#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    pub(super) head: u64,
    /// Up to where events were trimmed.
    pub(super) trimmed: u64,
    /// Every event ever, trimmed or not; event `n` is at index `n - 1`.
    pub(super) events: Vec<Bytes>,
    /// Every key ever written; `None` once removed.
    pub(super) records: BTreeMap<Bytes, Option<Bytes>>,
    pub(super) cursors: BTreeMap<LogName, u64>,
}

impl Reference {
    pub(super) fn log_end(&self) -> u64 {
        self.events.len() as u64
    }

    pub(super) fn apply(&mut self, commit: &Commit) {
        self.head += 1;
        for write in &commit.writes {
            self.records.insert(write.key.clone(), write.value.clone());
        }
        self.events.extend(commit.events.iter().cloned());
        for cursor in &commit.cursors {
            self.cursors.insert(cursor.log.clone(), cursor.position);
        }
        self.trimmed = self.trimmed.max(commit.trim.min(self.log_end()));
    }

    /// A commit on this state that puts, overwrites, removes, appends, trims and consumes, by turns and all at once,
    /// so that no two states in a row look alike.
    pub(super) fn next_commit(&self, salt: &str) -> Commit {
        let turn = self.head + 1;
        let key = bytes(format!("{}key-{}", if turn.is_multiple_of(3) { "*" } else { "" }, turn % 5));
        let write = if turn.is_multiple_of(7) { remove(key) } else { put(key, bytes(format!("{salt}-{turn}"))) };
        let events = (0..turn % 3).map(|index| bytes(format!("{salt}-{turn}-{index}")));
        Commit {
            expected_head: self.head,
            writes: vec![put("last", bytes(format!("{salt}-{turn}"))), write],
            events: events.collect(),
            cursors: vec![cursor("upstream", Partition::from(turn.is_multiple_of(2)), turn)],
            trim: if turn.is_multiple_of(4) { self.log_end() / 2 } else { 0 },
        }
    }

    /// Ensures that `store` shows exactly this.
    pub(super) async fn check<T: Store>(
        &self,
        store: &T,
        partition: Partition,
        differences: Differences,
    ) -> Result<(), Violation> {
        let mut keys: Vec<Bytes> = self.records.keys().cloned().collect();
        keys.push(bytes("a key that nobody ever wrote"));
        let snapshot = store.load(partition, &keys).await?;
        self.check_snapshot(partition, &keys, snapshot)?;
        self.check_residents(partition, store.residents(partition).await?)?;
        let log = whole_log(store, partition, Visibility::Committed).await?;
        self.check_log(partition, &log, differences)
    }

    pub(super) fn check_snapshot(
        &self,
        partition: Partition,
        keys: &[Bytes],
        snapshot: Snapshot,
    ) -> Result<(), Violation> {
        ensure_eq!(snapshot.head, self.head, "head of partition {partition}");
        ensure_eq!(snapshot.log_end, self.log_end(), "log_end of partition {partition}");
        let mut found: Vec<(LogName, u64)> =
            snapshot.cursors.into_iter().map(|cursor| (cursor.log, cursor.position)).collect();
        found.sort();
        let wanted: Vec<(LogName, u64)> = self.cursors.clone().into_iter().collect();
        ensure_eq!(found, wanted, "cursors of partition {partition}");
        ensure_eq!(snapshot.records.len(), keys.len(), "number of records loaded");
        for (key, found) in keys.iter().zip(&snapshot.records) {
            let wanted = self.records.get(key).and_then(Option::as_ref);
            ensure!(
                found.as_ref() == wanted,
                "record {:?} of partition {partition}: wanted {:?}, found {:?}",
                Short(Some(key)),
                Short(wanted),
                Short(found.as_ref())
            );
        }
        Ok(())
    }

    pub(super) fn check_residents(&self, partition: Partition, residents: Residents) -> Result<(), Violation> {
        ensure_eq!(residents.head, self.head, "head of partition {partition} beside its resident records");
        let mut found = residents.records;
        found.sort();
        let resident = |(key, value): (&Bytes, &Option<Bytes>)| {
            let value = value.clone().filter(|_| key.first() == Some(&RESIDENT))?;
            Some((key.clone(), value))
        };
        let wanted: Vec<(Bytes, Bytes)> = self.records.iter().filter_map(resident).collect();
        let brief = |records: &[(Bytes, Bytes)]| -> String {
            records.iter().map(|(key, value)| format!("{:?}: {:?}, ", Short(Some(key)), Short(Some(value)))).collect()
        };
        ensure!(
            found == wanted,
            "resident records of partition {partition}: wanted {}found {}",
            brief(&wanted),
            brief(&found)
        );
        Ok(())
    }

    fn check_log(&self, partition: Partition, log: &[LogEntry], differences: Differences) -> Result<(), Violation> {
        self.check_entries(partition, log)?;
        let start = log.first().map_or(self.log_end(), |first| first.position - 1);
        let end = log.last().map_or(start, |last| last.position);
        ensure_eq!(end, self.log_end(), "last event shown of partition {partition}");
        ensure!(
            start <= self.trimmed,
            "partition {partition} lost events {} to {start} that were never trimmed",
            self.trimmed + 1
        );
        ensure!(
            differences.trims_lazily || start == self.trimmed,
            "partition {partition} still shows event {} although everything up to {} was trimmed",
            start + 1,
            self.trimmed
        );
        Ok(())
    }

    /// Ensures that each of `entries` is what was appended under its number.
    pub(super) fn check_entries(&self, partition: Partition, entries: &[LogEntry]) -> Result<(), Violation> {
        for entry in entries {
            let index = usize::try_from(entry.position).ok().and_then(|position| position.checked_sub(1));
            let wanted = index.and_then(|index| self.events.get(index));
            ensure!(
                Some(&entry.event) == wanted,
                "event {} of partition {partition}: wanted {:?}, found {:?}",
                entry.position,
                Short(wanted),
                Short(Some(&entry.event))
            );
        }
        Ok(())
    }
}
