//! One partition in memory: what a commit does to it, and what leaves it towards the journal and the base.

use std::sync::Arc;

use bytes::Bytes;
use saga::{
    Partition as PartitionIndex,
    store::{
        Commit, Cursor, Error, KEY_BYTES_MAX, Residents, Result, Snapshot, VALUE_BYTES_MAX, Write,
        position::{Epochs, SEQUENCE_BITS},
    },
};

use crate::{
    log::{FrozenLog, Log},
    ops::{Op, OpBuffer},
    place::Place,
    records::Records,
    section::{Section, SectionRead},
    table::Table,
};

/// The most bytes one commit may bring, so that the group it falls into stays far below a frame's 4 GiB.
const COMMIT_BYTES_MAX: usize = 512 << 20;

/// A cursor, and its word in the buffer of the open group, if `group` is that one.
#[derive(Debug)]
struct CursorSlot {
    cursor: Cursor,
    group: u64,
    at: u32,
}

/// One partition in memory.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) head: u64,
    /// The group of the last commit.
    pub(crate) position: u64,
    /// Counts events without their epochs.
    pub(crate) log: Log,
    /// Which events are of which epoch.
    pub(crate) epochs: Epochs,
    pub(crate) records: Records,
    cursors: Vec<CursorSlot>,
    /// What the open group did.
    ops: OpBuffer,
    /// How often it was frozen. A load that sees this change may have read the base too late.
    pub(crate) freezes: u64,
    changed_since_freeze: bool,
}

/// What a checkpoint writes about one partition.
#[derive(Debug)]
pub(crate) struct FrozenPartition {
    pub(crate) place: Place,
    pub(crate) meta: PartitionMeta,
    pub(crate) records: Arc<Table>,
    pub(crate) residents: Arc<Table>,
    pub(crate) log: FrozenLog,
}

/// What the base keeps about a partition besides records and events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PartitionMeta {
    pub(crate) head: u64,
    pub(crate) log_end: u64,
    pub(crate) trim: u64,
    pub(crate) cursors: Vec<Cursor>,
    /// Keys and values of resident records, which stood here up to format 3.
    pub(crate) residents: Vec<(Bytes, Bytes)>,
}

/// Refuses what could not be written to a journal, before anything is changed.
pub(crate) fn check(commit: &Commit) -> Result<()> {
    let refuse = |what: &str| Err(Error::Failed(format!("nothing was committed: {what}")));
    let mut bytes = 0;
    for Write { key, value } in &commit.writes {
        let value_bytes = value.as_ref().map_or(0, Bytes::len);
        if key.len() > KEY_BYTES_MAX {
            return refuse("a key is too long");
        }
        if value_bytes > VALUE_BYTES_MAX {
            return refuse("a value is too long");
        }
        bytes += key.len() + value_bytes;
    }
    for event in &commit.events {
        if event.len() > VALUE_BYTES_MAX {
            return refuse("an event is too long");
        }
        bytes += event.len();
    }
    if bytes > COMMIT_BYTES_MAX {
        return refuse("it is too large");
    }
    if commit.cursors.iter().any(|cursor| cursor.log.service.len() > usize::from(u8::MAX)) {
        return refuse("the name of a log's service is too long");
    }
    Ok(())
}

impl Partition {
    /// A partition as the base knows it.
    pub(crate) fn restored(meta: PartitionMeta) -> Self {
        let slots = meta.cursors.into_iter().map(|cursor| CursorSlot { cursor, group: 0, at: 0 });
        let mut records = Records::default();
        for (key, value) in &meta.residents {
            records.residents.replay(key, Some(value));
        }
        Self {
            head: meta.head,
            log: Log::restored(meta.log_end, meta.trim),
            records,
            cursors: slots.collect(),
            ..Self::default()
        }
    }

    /// Applies a commit, which passed [`check`], as part of `group`. Returns by how many bytes the group grew.
    pub(crate) fn apply(&mut self, group: u64, commit: Commit) -> Result<usize> {
        if commit.expected_head != self.head {
            return Err(Error::Conflict);
        }
        let before = self.ops.len();
        for Write { key, value } in commit.writes {
            match value {
                Some(value) => self.records.put(group, &key, &value, &mut self.ops),
                None => self.records.remove(group, &key, &mut self.ops),
            }
        }
        for event in commit.events {
            self.log.append(group, event, &mut self.ops);
        }
        for cursor in commit.cursors {
            self.set_cursor(group, cursor);
        }
        self.log.trim(group, self.epochs.common(commit.trim), &mut self.ops);
        self.head += 1;
        self.position = group;
        self.changed_since_freeze = true;
        Ok(self.ops.len() - before)
    }

    fn set_cursor(&mut self, group: u64, cursor: Cursor) {
        let Cursor { log, position } = cursor;
        let same = |slot: &&mut CursorSlot| {
            let known = &slot.cursor.log;
            known.partition == log.partition
                && (Arc::ptr_eq(&known.service, &log.service) || known.service == log.service)
        };
        match self.cursors.iter_mut().find(same) {
            Some(slot) if slot.group == group => {
                slot.cursor.position = position;
                self.ops.replace_position(slot.at, position);
            }
            Some(slot) => {
                slot.cursor.position = position;
                slot.group = group;
                slot.at = self.ops.cursor(&log.service, log.partition, position);
            }
            None => {
                let at = self.ops.cursor(&log.service, log.partition, position);
                self.cursors.push(CursorSlot { cursor: Cursor { log, position }, group, at });
            }
        }
    }

    fn cursors(&self) -> Vec<Cursor> {
        self.cursors.iter().map(|slot| slot.cursor.clone()).collect()
    }

    /// Reads the partition's state and the records under `keys` as far as memory knows them; for the others, tells
    /// which they are.
    pub(crate) fn load(&self, keys: &[Bytes]) -> (Snapshot, Vec<usize>) {
        let mut unknown = Vec::new();
        let records = keys.iter().enumerate().map(|(index, key)| {
            let known = self.records.lookup(key);
            if known.is_none() {
                unknown.push(index);
            }
            known.flatten()
        });
        let records = records.collect();
        let snapshot = Snapshot {
            head: self.head,
            log_end: self.epochs.current() << SEQUENCE_BITS | self.log.end,
            cursors: self.cursors(),
            position: self.position,
            records,
        };
        (snapshot, unknown)
    }

    pub(crate) fn residents(&self) -> Residents {
        Residents { head: self.head, records: self.records.residents.all() }
    }

    /// Takes what `group`, which ends here, did to the partition, and leaves one of `spares` in its place.
    pub(crate) fn cut(&mut self, place: Place, group: u64, spares: &mut Vec<OpBuffer>) -> Option<Section> {
        (self.position == group).then(|| Section {
            place,
            head: self.head,
            log_end: self.log.end,
            trim: self.log.trim,
            ops: std::mem::replace(&mut self.ops, spares.pop().unwrap_or_default()),
        })
    }

    /// Takes over what the frame of `group` says. Returns whether it makes sense.
    pub(crate) fn replay(&mut self, group: u64, section: &SectionRead<'_>) -> bool {
        self.head = section.head;
        self.position = group;
        self.log.replay(section.trim);
        self.changed_since_freeze = true;
        let all_fit = section.ops().all(|op| op.is_some_and(|op| self.replay_op(group, &op)));
        all_fit && self.log.end == section.log_end
    }

    fn replay_op(&mut self, group: u64, op: &Op<'_>) -> bool {
        match *op {
            Op::Put { key, value } => self.records.replay(key, Some(value)),
            Op::Remove { key } => self.records.replay(key, None),
            Op::Event { number, event } => return self.log.replay_event(group, number, event),
            Op::Cursor { service, partition, position } => self.replay_cursor(service, partition, position),
        }
        true
    }

    fn replay_cursor(&mut self, service: &str, partition: PartitionIndex, position: u64) {
        let same =
            |slot: &&mut CursorSlot| slot.cursor.log.partition == partition && &*slot.cursor.log.service == service;
        match self.cursors.iter_mut().find(same) {
            Some(slot) => slot.cursor.position = position,
            None => {
                let log = saga::LogName { service: service.into(), partition };
                self.cursors.push(CursorSlot { cursor: Cursor { log, position }, group: 0, at: 0 });
            }
        }
    }

    /// Sets aside what has changed since the last freeze, for a checkpoint.
    pub(crate) fn freeze(&mut self, place: Place) -> Option<FrozenPartition> {
        if !std::mem::take(&mut self.changed_since_freeze) {
            return None;
        }
        self.freezes += 1;
        let [records, residents] = self.records.freeze();
        let meta = PartitionMeta {
            head: self.head,
            log_end: self.log.end,
            trim: self.log.trim,
            cursors: self.cursors(),
            residents: Vec::new(),
        };
        Some(FrozenPartition { place, meta, records, residents, log: self.log.freeze() })
    }

    /// The base holds what was frozen last. Returns the table that memory need not keep any longer.
    pub(crate) fn thaw(&mut self) -> Option<Arc<Table>> {
        self.log.thaw();
        self.records.thaw()
    }
}

#[cfg(test)]
mod tests;
