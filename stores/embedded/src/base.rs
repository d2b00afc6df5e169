//! The base: everything up to the last checkpoint, in a log-structured merge tree (the `lsm-tree` crate).
//!
//! It is only ever written in bulk, sorted, by checkpoints. The tree makes one such *ingestion* durable as a whole and
//! then visible as a whole, by replacing the file that lists its tables; so the marker that says up to which frame the
//! journal is superfluous is simply one of the records ingested.
//!
//! ```text
//! 0                                  → the marker: frame u64, segment u64
//! 1 service u8 partition u16         → head u64, end of the log u64, trim u64, cursors as journal words; up to format 3
//!                                      also all resident records
//! 2 service u8 partition u16 number  → event
//! 3 service u8 partition u16 key     → record
//! 4 service u8 partition u16 key     → resident record
//! ```
//!
//! Numbers in keys are big-endian, so that they sort; those in values are little-endian as in the journal.

mod gate;
mod ingest;
mod layout;
mod merge;

use std::{
    collections::HashSet,
    ffi::OsStr,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use lsm_tree::{
    AbstractTree as _, AnyTree, Cache, Config, Guard as _, SeqNo, SequenceNumberCounter, config::PinningPolicy,
};
use saga::store::LogEntry;

pub(crate) use self::ingest::Ingestion;
use self::{
    gate::Gate,
    layout::{EVENT, MARKER, META, PLACE_BYTES, RECORD, RESIDENT, join, marker_from, meta_from, place_in},
    merge::Merging,
};
use crate::{
    OpenError,
    partition::{FrozenPartition, PartitionMeta},
    place::Place,
    replay::Marker,
};

/// Why the base cannot be read or written.
pub(crate) type BaseError = lsm_tree::Error;

/// The tree's file that says which list of its tables is in force: by its number, which comes first.
const CURRENT: &str = "current";

/// Everything one checkpoint adds to the base.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) marker: Marker,
    /// In the order of services and their partitions.
    pub(crate) partitions: Vec<FrozenPartition>,
}

/// The base.
pub(crate) struct Base {
    tree: AnyTree,
    tables: PathBuf,
    gate: Arc<Gate>,
    merging: Arc<Merging>,
    /// Held shared while tables are being written, so that whoever holds it alone knows that none is.
    writing: RwLock<()>,
    /// Whether the last merge went well. Where none can, nobody should wait for one.
    mergeable: AtomicBool,
    /// Kept beside the tree, which makes those who ask it wait while it takes tables over.
    unmerged: AtomicUsize,
    bytes: AtomicU64,
}

impl fmt::Debug for Base {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Base").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// What reading all of a base found.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) tables: u64,
    pub(crate) records: u64,
    /// Tables, and what is wrong with each.
    pub(crate) damaged: Vec<(PathBuf, String)>,
}

impl Base {
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        // The tree would start anew, over whatever is there.
        let tables = path.join("tables");
        let list_is_lost = !path.join(CURRENT).exists() && has_entries(&tables);
        if list_is_lost {
            return Err(OpenError::corrupt(path.join(CURRENT), 0, "it is missing"));
        }
        let (sequence, visible) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let gate = Arc::new(Gate::default());
        let merging = Arc::new(Merging::new(Arc::clone(&gate)));
        let tree = Config::new(path, sequence.clone(), visible.clone())
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .with_compaction_filter_factory(Some(Merging::filter(&merging)))
            // A load takes the filter of every table, so these stay in memory, some 10 bits for each record, rather than to
            // be looked for in the cache each time.
            .filter_block_pinning_policy(PinningPolicy::all(true))
            .index_block_pinning_policy(PinningPolicy::all(true))
            .filter_block_partitioning_policy(PinningPolicy::all(false))
            .index_block_partitioning_policy(PinningPolicy::all(false))
            .open()
            .map_err(|error| open_error(path.to_owned(), error))?;
        let next = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
        sequence.fetch_max(next);
        visible.fetch_max(next);
        let (writing, unmerged, bytes) = Default::default();
        let mergeable = AtomicBool::new(true);
        let base = Self { tree, tables, gate, merging, writing, mergeable, unmerged, bytes };
        base.measure();
        Ok(base)
    }

    /// Up to where the base makes the journal superfluous; `None` where it was never written.
    pub(crate) fn marker(&self) -> Result<Option<Marker>, BaseError> {
        let Some(value) = self.tree.get(MARKER, SeqNo::MAX)? else { return Ok(None) };
        Ok(Some(marker_from(&value).ok_or(BaseError::Unrecoverable)?))
    }

    /// What the base knows about each partition besides records and events.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = Result<(Place, PartitionMeta), BaseError>> {
        self.tree.prefix([META], SeqNo::MAX, None).map(|guard| {
            let (key, value) = guard.into_inner()?;
            place_in(&key).zip(meta_from(&value)).ok_or(BaseError::Unrecoverable)
        })
    }

    /// The resident records of all partitions.
    pub(crate) fn residents(&self) -> impl Iterator<Item = Result<(Place, Bytes, Bytes), BaseError>> {
        self.tree.prefix([RESIDENT], SeqNo::MAX, None).map(|guard| {
            let (key, value) = guard.into_inner()?;
            let place = place_in(&key).ok_or(BaseError::Unrecoverable)?;
            let key = key.get(PLACE_BYTES..).unwrap_or_default();
            Ok((place, Bytes::copy_from_slice(key), Bytes::copy_from_slice(&value)))
        })
    }

    pub(crate) fn record(&self, place: Place, key: &[u8]) -> Result<Option<Bytes>, BaseError> {
        let value = self.tree.get(join(RECORD, place, key), SeqNo::MAX)?;
        // Copied, because what the tree hands out keeps a whole block in memory.
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// At most `limit` of the events with numbers in `numbers`, in order.
    pub(crate) fn events(
        &self,
        place: Place,
        numbers: std::ops::RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, BaseError> {
        let first = join(EVENT, place, &numbers.start().to_be_bytes());
        let last = join(EVENT, place, &numbers.end().to_be_bytes());
        let entries = self.tree.range(first..=last, SeqNo::MAX, None).take(limit).map(|guard| {
            let (key, event) = guard.into_inner()?;
            let position = key.last_chunk().copied().map(u64::from_be_bytes).ok_or(BaseError::Unrecoverable)?;
            Ok(LogEntry { position, event: Bytes::copy_from_slice(&event) })
        });
        entries.collect()
    }

    /// Writes a checkpoint into files of the base. It is not part of the base before [`Ingestion::install`].
    ///
    /// # Errors
    /// Also once the base was stopped. Nothing has changed then.
    pub(crate) fn ingest(&self, checkpoint: &Checkpoint) -> Result<Ingestion<'_>, BaseError> {
        let mut ingestion = Ingestion::begin(self)?;
        ingestion.write(checkpoint)?;
        Ok(ingestion)
    }

    pub(crate) fn is_mergeable(&self) -> bool {
        self.mergeable.load(Ordering::Relaxed)
    }

    pub(crate) fn set_mergeable(&self, mergeable: bool) {
        self.mergeable.store(mergeable, Ordering::Relaxed);
    }

    /// Reads every block of every table.
    pub(crate) fn read_all(&self) -> Read {
        let mut read = Read::default();
        for table in self.tree.current_version().iter_tables() {
            read.tables += 1;
            for item in table.iter() {
                match item {
                    Ok(_) => read.records += 1,
                    Err(error) => {
                        read.damaged.push((self.tables.join(table.id().to_string()), error.to_string()));
                        // What comes behind the damage cannot be found from here.
                        break;
                    }
                }
            }
        }
        read
    }

    fn writing(&self) -> RwLockReadGuard<'_, ()> {
        self.writing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the files of tables that a failed checkpoint or merge has left, once nobody is writing any.
    ///
    /// # Errors
    /// Also where the try failed so late that the list of tables on disk is the new one, and the one in memory is not: to
    /// try again would write over the list that is in force. Whoever opens the base again has it whole.
    pub(crate) fn remove_leftovers(&self) -> io::Result<()> {
        let _alone = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        let version = self.tree.current_version();
        let on_disk = fs::read(self.tables.with_file_name(CURRENT))?;
        if on_disk.first_chunk().copied().map(u64::from_le_bytes) != Some(version.id()) {
            return Err(io::Error::other("tables were taken over by half"));
        }
        let used: HashSet<_> = version.iter_tables().map(|table| table.id().to_string()).collect();
        let is_used = |path: &Path| path.file_name().and_then(OsStr::to_str).is_none_or(|name| used.contains(name));
        self.table_files().filter(|path| !is_used(path)).try_for_each(fs::remove_file)
    }

    /// Waits until the base can be read without waiting for the disk to take tables over.
    pub(crate) async fn readable(&self) {
        self.gate.open().await;
    }

    /// Makes those who come to read wait until what is returned is dropped.
    #[cfg(test)]
    pub(crate) fn hold_readers(&self) -> impl Drop + use<> {
        self.gate.close()
    }

    /// How many checkpoints lie on top of each other, unmerged.
    pub(crate) fn unmerged(&self) -> usize {
        self.unmerged.load(Ordering::Relaxed)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn measure(&self) {
        self.unmerged.store(self.tree.l0_run_count(), Ordering::Relaxed);
        self.bytes.store(self.tree.disk_space(), Ordering::Relaxed);
    }

    /// Makes whatever is being written or merged fail soon, without harm.
    pub(crate) fn stop(&self) {
        self.merging.stop();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.merging.is_stopped()
    }

    /// The files of tables, complete or being written.
    fn table_files(&self) -> impl Iterator<Item = PathBuf> {
        let entries = self.tables.read_dir().into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path()))
    }
}

fn has_entries(directory: &Path) -> bool {
    directory.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

pub(crate) fn open_error(path: PathBuf, error: BaseError) -> OpenError {
    match error {
        BaseError::Io(source) => OpenError::Io { path, source },
        error => OpenError::corrupt(path, 0, error.to_string()),
    }
}

fn stopped() -> BaseError {
    BaseError::Io(io::Error::new(io::ErrorKind::Interrupted, "the database is being closed"))
}
