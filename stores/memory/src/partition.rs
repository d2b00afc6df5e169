//! One partition: its records, log and cursors, and how to take back what a commit did to them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use saga::{
    LogName,
    store::{
        Commit, Committed, Cursor, Error, LogEntry, RESIDENT, Residents, Result, Snapshot, Visibility,
        position::{Epochs, SEQUENCE_BITS, epoch_of, position, sequence_of},
    },
};

/// A partition behind its lock.
#[derive(Clone, Default)]
pub(crate) struct Partition {
    state: Arc<Mutex<State>>,
}

impl Partition {
    /// The same data, to which other things happen from now on.
    pub(crate) fn copy(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Default)]
pub(crate) struct State {
    /// With the epoch that it is of.
    head: u64,
    /// Which events are of which epoch. Here they are counted without.
    epochs: Epochs,
    /// The position of the last commit.
    position: u64,
    /// How many events were trimmed; the first one kept has the next number.
    trimmed: u64,
    events: VecDeque<Bytes>,
    // Its order is never seen: whoever iterates over it sorts.
    records: HashMap<Bytes, Bytes, RandomState>,
    cursors: BTreeMap<LogName, u64>,
    /// Commits with events that were not persisted when last looked at, oldest first.
    unpersisted: VecDeque<Mark>,
}

/// A commit that appended events.
#[derive(Clone)]
struct Mark {
    position: u64,
    log_end_before: u64,
}

/// How to take back one commit.
pub(crate) struct Undo {
    /// The position of the commit before it in its partition.
    position_before: u64,
    /// The record under each key that was written, as it was before.
    records: Vec<(Bytes, Option<Bytes>)>,
    events_appended: usize,
    /// The events that it trimmed, oldest first.
    events_trimmed: Vec<Bytes>,
    cursors: Vec<(LogName, Option<u64>)>,
}

/// A copy in a buffer of its own: what is handed in may be a slice of one that holds a whole commit.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

impl State {
    pub(crate) fn load(&self, keys: &[Bytes]) -> Snapshot {
        let cursor = |(log, position): (&LogName, &u64)| Cursor { log: log.clone(), position: *position };
        Snapshot {
            head: self.head,
            log_end: self.epochs.current() << SEQUENCE_BITS | self.log_end(),
            cursors: self.cursors.iter().map(cursor).collect(),
            position: self.position,
            records: keys.iter().map(|key| self.records.get(key).cloned()).collect(),
        }
    }

    pub(crate) fn residents(&self) -> Residents {
        let residents = self.records.iter().filter(|(key, _)| key.first() == Some(&RESIDENT));
        let mut records: Vec<_> = residents.map(|(key, value)| (key.clone(), value.clone())).collect();
        records.sort_unstable();
        Residents { head: self.head, records }
    }

    /// Begins an epoch above both this one and `above`.
    pub(crate) fn begin_epoch(&mut self, above: u64) -> Result<()> {
        let epoch = above.max(self.epochs.current()).max(epoch_of(self.head)) + 1;
        let used_up = || Error::Failed("all epochs are used up".to_owned());
        self.head = position(epoch, sequence_of(self.head)).ok_or_else(used_up)?;
        self.epochs.begin(epoch, self.log_end() + 1);
        Ok(())
    }

    /// Ensures that a commit on `expected_head` may go ahead.
    pub(crate) fn compare(&self, expected_head: u64) -> Result<()> {
        if self.head == expected_head { Ok(()) } else { Err(Error::Conflict) }
    }

    /// Applies a commit that nobody will want back.
    pub(crate) fn apply(&mut self, commit: Commit, position: u64) -> Committed {
        for write in commit.writes {
            match write.value {
                Some(value) => drop(self.records.insert(own(&write.key), own(&value))),
                None => drop(self.records.remove(&write.key)),
            }
        }
        self.events.extend(commit.events);
        for cursor in commit.cursors {
            self.cursors.insert(cursor.log, cursor.position);
        }
        let count = self.events_to_trim(commit.trim);
        self.events.drain(..count);
        self.trimmed += count as u64;
        self.advance(position)
    }

    /// Applies a commit at `position`, of a database that is persisted up to `persisted`, so that it can be taken back.
    pub(crate) fn apply_undoable(&mut self, commit: Commit, position: u64, persisted: u64) -> (Committed, Undo) {
        self.forget_marks(persisted);
        if !commit.events.is_empty() {
            self.unpersisted.push_back(Mark { position, log_end_before: self.log_end() });
        }
        let mut records = Vec::with_capacity(commit.writes.len());
        for write in commit.writes {
            let before = match write.value {
                Some(value) => self.records.insert(own(&write.key), own(&value)),
                None => self.records.remove(&write.key),
            };
            records.push((write.key, before));
        }
        let events_appended = commit.events.len();
        self.events.extend(commit.events);
        let cursors = commit.cursors.into_iter().map(|cursor| {
            let before = self.cursors.insert(cursor.log.clone(), cursor.position);
            (cursor.log, before)
        });
        let cursors = cursors.collect();
        let count = self.events_to_trim(commit.trim);
        let events_trimmed: Vec<Bytes> = self.events.drain(..count).collect();
        self.trimmed += count as u64;
        let undo = Undo { position_before: self.position, records, events_appended, events_trimmed, cursors };
        (self.advance(position), undo)
    }

    /// Takes back the last commit.
    pub(crate) fn take_back(&mut self, undo: Undo) {
        if undo.events_appended > 0 {
            self.unpersisted.pop_back();
        }
        self.trimmed -= undo.events_trimmed.len() as u64;
        for event in undo.events_trimmed.into_iter().rev() {
            self.events.push_front(event);
        }
        self.events.truncate(self.events.len() - undo.events_appended);
        // Backwards, in case that a key or a log was named twice.
        for (key, before) in undo.records.into_iter().rev() {
            match before {
                Some(value) => drop(self.records.insert(key, value)),
                None => drop(self.records.remove(&key)),
            }
        }
        for (log, before) in undo.cursors.into_iter().rev() {
            match before {
                Some(position) => self.cursors.insert(log, position),
                None => self.cursors.remove(&log),
            };
        }
        self.head -= 1;
        self.position = undo.position_before;
    }

    /// Reads events of a database that is persisted up to `persisted`.
    pub(crate) fn read_log(
        &mut self,
        after: u64,
        limit: usize,
        visibility: Visibility,
        persisted: u64,
    ) -> Vec<LogEntry> {
        let end = match visibility {
            Visibility::Committed => self.log_end(),
            Visibility::Durable => self.persisted_log_end(persisted),
        };
        let start = self.epochs.common(after).max(self.trimmed);
        let wanted = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX).min(limit);
        let skipped = usize::try_from(start - self.trimmed).unwrap_or(usize::MAX).min(self.events.len());
        let entry = |(sequence, event): (u64, &Bytes)| LogEntry {
            position: self.epochs.number(sequence),
            event: event.clone(),
        };
        // `range` reaches the first one wanted at once, where `skip` would walk there.
        (start.saturating_add(1)..).zip(self.events.range(skipped..)).take(wanted).map(entry).collect()
    }

    fn log_end(&self) -> u64 {
        self.trimmed + self.events.len() as u64
    }

    fn persisted_log_end(&mut self, persisted: u64) -> u64 {
        self.forget_marks(persisted);
        self.unpersisted.front().map_or(self.log_end(), |mark| mark.log_end_before)
    }

    fn forget_marks(&mut self, persisted: u64) {
        while self.unpersisted.front().is_some_and(|mark| mark.position <= persisted) {
            self.unpersisted.pop_front();
        }
    }

    /// How many events a trim up to `trim` takes, at most all there are.
    fn events_to_trim(&self, trim: u64) -> usize {
        let trim = self.epochs.common(trim);
        let count = usize::try_from(trim.saturating_sub(self.trimmed)).unwrap_or(usize::MAX);
        count.min(self.events.len())
    }

    fn advance(&mut self, position: u64) -> Committed {
        self.head += 1;
        self.position = position;
        Committed { head: self.head, position }
    }
}
