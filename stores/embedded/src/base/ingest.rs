//! Writing a checkpoint into the base.

use std::{collections::HashSet, fs::File, path::PathBuf, sync::RwLockReadGuard};

use super::{
    Base, BaseError, Checkpoint,
    layout::{EVENT, MARKER, META, PLACE_BYTES, RECORD, RESIDENT, join, marker_bytes, meta_bytes},
    stopped,
};
use crate::{
    partition::FrozenPartition,
    place::Place,
    table::{Row, Table},
};

/// How many bytes are written before they are flushed: a few milliseconds' work for a disk.
const SYNC_BYTES: usize = 2 << 20;

/// A checkpoint that is being written.
pub(crate) struct Ingestion<'a> {
    base: &'a Base,
    _writing: RwLockReadGuard<'a, ()>,
    inner: lsm_tree::AnyIngestion<'a>,
    /// The tables that were there before.
    known_tables: HashSet<PathBuf>,
    bytes_since_sync: usize,
    records: u64,
}

impl<'a> Ingestion<'a> {
    pub(super) fn begin(base: &'a Base) -> Result<Self, BaseError> {
        let writing = base.writing();
        let known_tables = base.table_files().collect();
        let inner = base.tree.ingestion()?;
        Ok(Self { base, _writing: writing, inner, known_tables, bytes_since_sync: 0, records: 0 })
    }

    pub(super) fn write(&mut self, checkpoint: &Checkpoint) -> Result<(), BaseError> {
        let Checkpoint { marker, partitions } = checkpoint;
        self.inner.write(MARKER, marker_bytes(*marker))?;
        for partition in partitions {
            self.inner.write(join(META, partition.place, &[]), meta_bytes(&partition.meta))?;
        }
        for partition in partitions {
            self.events(partition)?;
        }
        for partition in partitions {
            self.records(RECORD, partition.place, &partition.records)?;
        }
        for partition in partitions {
            self.records(RESIDENT, partition.place, &partition.residents)?;
        }
        Ok(())
    }

    /// Makes the checkpoint durable and part of the base, whole or not at all. Returns how many records it has.
    pub(crate) fn install(mut self) -> Result<u64, BaseError> {
        self.sync();
        self.inner.finish()?;
        self.base.measure();
        Ok(self.records)
    }

    /// Goes on after so many bytes more, if the base is not stopped.
    fn pace(&mut self, bytes: usize) -> Result<(), BaseError> {
        self.bytes_since_sync += bytes;
        if self.bytes_since_sync < SYNC_BYTES {
            return Ok(());
        }
        if self.base.is_stopped() {
            return Err(stopped());
        }
        self.sync();
        Ok(())
    }

    /// Flushes what was written so far. The tree flushes its tables itself, each when it is complete; this keeps that
    /// short, and above all the journal's flushes in the meantime, which have to wait for what the disk was given before
    /// them. So it does not matter if it fails.
    fn sync(&mut self) {
        self.bytes_since_sync = 0;
        for table in self.base.table_files().filter(|table| !self.known_tables.contains(table)) {
            if let Err(error) = File::open(&table).and_then(|file| file.sync_data()) {
                tracing::debug!(table = %table.display(), %error, "could not be flushed ahead");
            }
        }
    }

    fn events(&mut self, partition: &FrozenPartition) -> Result<(), BaseError> {
        let place = partition.place;
        for number in partition.log.remove.clone() {
            self.inner.write_tombstone(join(EVENT, place, &number.to_be_bytes()))?;
            self.pace(PLACE_BYTES)?;
        }
        for (number, event) in &partition.log.put {
            self.inner.write(join(EVENT, place, &number.to_be_bytes()), &event[..])?;
            self.pace(event.len())?;
        }
        Ok(())
    }

    fn records(&mut self, kind: u8, place: Place, table: &Table) -> Result<(), BaseError> {
        let mut full_key = join(kind, place, &[]);
        for Row { key, value, .. } in table.sorted() {
            full_key.truncate(PLACE_BYTES);
            full_key.extend_from_slice(key);
            match value {
                Some(value) => self.inner.write(&full_key, value)?,
                None => self.inner.write_tombstone(&full_key)?,
            }
            self.pace(full_key.len() + value.map_or(0, <[u8]>::len))?;
            self.records += 1;
        }
        Ok(())
    }
}
