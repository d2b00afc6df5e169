//! The base: everything up to the last checkpoint, in a log-structured merge tree (the `lsm-tree` crate).
//!
//! It is only ever written in bulk, sorted, by checkpoints. The tree makes one such *ingestion* durable as a whole and
//! then visible as a whole, by replacing the file that lists its tables; so the marker that says up to which frame the
//! journal is superfluous is simply one of the records ingested.
//!
//! ```text
//! 0                                  → the marker: frame u64, segment u64
//! 1 service u8 partition u16         → head u64, end of the log u64, trim u64, cursors as journal words
//! 2 service u8 partition u16 number  → event
//! 3 service u8 partition u16 key     → record
//! ```
//!
//! Numbers in keys are big-endian, so that they sort; those in values are little-endian as in the journal.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use lsm_tree::{
    AbstractTree as _, AnyTree, Cache, Config, Guard as _, SeqNo, SequenceNumberCounter,
    compaction::{CompactionFilter, Factory, ItemAccessor, Leveled, Verdict, filter::Context},
};
use saga::store::{Cursor, LogEntry};

use crate::{
    OpenError,
    ops::{self, Op, OpBuffer, Reader},
    partition::{FrozenPartition, PartitionMeta, Place},
    records::{Slot, Table},
    replay::Marker,
};

const MARKER: [u8; 1] = [0];
const META: u8 = 1;
const EVENT: u8 = 2;
const RECORD: u8 = 3;
/// The bytes of a key that say what it is and where it belongs.
const PLACE_BYTES: usize = 4;

/// How many checkpoints lie on top of each other before they are merged into the tree's next level. More are cheaper
/// to write and dearer to read.
const RUNS_BEFORE_MERGE: u8 = 6;
/// How large a table may get. Readers wait while the last table of a merge is flushed, so it must not be large.
const TABLE_BYTES: u64 = 8 << 20;

/// Why the base cannot be read or written.
pub(crate) type BaseError = lsm_tree::Error;

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
    stop: Arc<AtomicBool>,
}

impl fmt::Debug for Base {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Base").field("tables", &self.tree.table_count()).finish_non_exhaustive()
    }
}

impl Base {
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        // The tree would start anew, over whatever is there.
        let list_is_lost = !path.join("current").exists() && has_entries(&path.join("tables"));
        if list_is_lost {
            return Err(OpenError::corrupt(path.join("current"), 0, "it is missing"));
        }
        let (sequence, visible) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let stop = Arc::new(AtomicBool::new(false));
        let tree = Config::new(path, sequence.clone(), visible.clone())
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .with_compaction_filter_factory(Some(Arc::new(StopFilter(Arc::clone(&stop)))))
            .open()
            .map_err(|error| open_error(path.to_owned(), error))?;
        let next = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
        sequence.fetch_max(next);
        visible.fetch_max(next);
        Ok(Self { tree, stop })
    }

    /// Up to where the base makes the journal superfluous; `None` where it was never written.
    pub(crate) fn marker(&self) -> Result<Option<Marker>, BaseError> {
        let Some(value) = self.tree.get(MARKER, SeqNo::MAX)? else { return Ok(None) };
        let mut reader = Reader(&value);
        let numbers = reader.u64().zip(reader.u64());
        let (frame, segment) = numbers.ok_or(BaseError::Unrecoverable)?;
        Ok(Some(Marker { frame, segment }))
    }

    /// What the base knows about each partition besides records and events.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = Result<(Place, PartitionMeta), BaseError>> {
        self.tree.prefix([META], SeqNo::MAX, None).map(|guard| {
            let (key, value) = guard.into_inner()?;
            place_in(&key).zip(meta_from(&value)).ok_or(BaseError::Unrecoverable)
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
        let mut ingestion = Ingestion { inner: self.tree.ingestion()?, stop: &self.stop, records: 0 };
        let Checkpoint { marker, partitions } = checkpoint;
        let value = [marker.frame.to_le_bytes(), marker.segment.to_le_bytes()].concat();
        ingestion.inner.write(MARKER, value)?;
        for partition in partitions {
            ingestion.inner.write(join(META, partition.place, &[]), meta_bytes(&partition.meta))?;
        }
        for partition in partitions {
            ingestion.events(partition)?;
        }
        for partition in partitions {
            ingestion.records(partition.place, &partition.records)?;
        }
        Ok(ingestion)
    }

    /// How many checkpoints lie on top of each other, unmerged.
    pub(crate) fn unmerged(&self) -> usize {
        self.tree.l0_run_count()
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.tree.disk_space()
    }

    /// Merges what should be merged next. Returns whether there was anything.
    pub(crate) fn compact_once(&self) -> Result<bool, BaseError> {
        let shape = || {
            let levels = (0..7).map(|level| self.tree.level_table_count(level));
            (self.tree.table_count(), self.tree.disk_space(), levels.collect::<Vec<_>>())
        };
        let before = shape();
        let strategy = Leveled::default().with_l0_threshold(RUNS_BEFORE_MERGE).with_table_target_size(TABLE_BYTES);
        // Nobody reads as of an earlier moment: whatever is overwritten, and the tables that were merged, may go at once.
        self.tree.compact(Arc::new(strategy), SeqNo::MAX)?;
        Ok(shape() != before)
    }

    /// Makes whatever is being written or merged fail soon, without harm.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A checkpoint that is being written.
pub(crate) struct Ingestion<'a> {
    inner: lsm_tree::AnyIngestion<'a>,
    stop: &'a AtomicBool,
    records: u64,
}

impl Ingestion<'_> {
    /// Makes the checkpoint durable and part of the base, whole or not at all. Returns how many records it has.
    pub(crate) fn install(self) -> Result<u64, BaseError> {
        self.inner.finish()?;
        Ok(self.records)
    }

    fn events(&mut self, partition: &FrozenPartition) -> Result<(), BaseError> {
        let place = partition.place;
        for number in partition.log.remove.clone() {
            self.inner.write_tombstone(join(EVENT, place, &number.to_be_bytes()))?;
        }
        for (number, event) in &partition.log.put {
            self.inner.write(join(EVENT, place, &number.to_be_bytes()), &event[..])?;
        }
        Ok(())
    }

    fn records(&mut self, place: Place, table: &Table) -> Result<(), BaseError> {
        let mut full_key = join(RECORD, place, &[]);
        for (index, (key, slot)) in sorted(table).into_iter().enumerate() {
            if index % 1024 == 0 && self.stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            full_key.truncate(PLACE_BYTES);
            full_key.extend_from_slice(key);
            match &slot.value {
                Some(value) => self.inner.write(&full_key, &value[..])?,
                None => self.inner.write_tombstone(&full_key)?,
            }
            self.records += 1;
        }
        Ok(())
    }
}

/// The slots of `table` that the base has to hear of, by key.
fn sorted(table: &Table) -> Vec<(&Bytes, &Slot)> {
    let entries = table.iter().filter(|(_, slot)| !slot.is_absence());
    // Sixteen bytes of the key decide nearly always, without following it into memory.
    let mut keyed: Vec<_> = entries.map(|(key, slot)| (prefix(key), key, slot)).collect();
    keyed.sort_unstable_by(|(left_prefix, left, _), (right_prefix, right, _)| {
        left_prefix.cmp(right_prefix).then_with(|| left.cmp(right))
    });
    keyed.into_iter().map(|(_, key, slot)| (key, slot)).collect()
}

fn prefix(key: &[u8]) -> u128 {
    let mut prefix = [0; 16];
    for (target, byte) in prefix.iter_mut().zip(key) {
        *target = *byte;
    }
    u128::from_be_bytes(prefix)
}

fn join(kind: u8, place: Place, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(PLACE_BYTES + rest.len());
    key.extend_from_slice(&[kind, place.service]);
    key.extend_from_slice(&place.partition.to_be_bytes());
    key.extend_from_slice(rest);
    key
}

fn place_in(key: &[u8]) -> Option<Place> {
    let mut reader = Reader(key.get(1..)?);
    let service = reader.u8()?;
    let partition = reader.u16()?.swap_bytes();
    Some(Place { service, partition })
}

fn meta_bytes(meta: &PartitionMeta) -> Vec<u8> {
    let mut bytes = [meta.head, meta.log_end, meta.trim].map(u64::to_le_bytes).concat();
    let mut cursors = OpBuffer::default();
    for Cursor { log, position } in &meta.cursors {
        cursors.cursor(&log.service, log.partition, *position);
    }
    cursors.write_to(&mut bytes);
    bytes
}

fn meta_from(bytes: &[u8]) -> Option<PartitionMeta> {
    let mut reader = Reader(bytes);
    let (head, log_end, trim) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let cursors = ops::read(reader.0).map(|op| match op? {
        Op::Cursor { service, partition, position } => {
            let log = saga::LogName { service: service.into(), partition };
            Some(Cursor { log, position })
        }
        _ => None,
    });
    Some(PartitionMeta { head, log_end, trim, cursors: cursors.collect::<Option<_>>()? })
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

/// Keeps every record, but lets a merge that would take a while fail once the database is being closed.
struct StopFilter(Arc<AtomicBool>);

impl Factory for StopFilter {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

impl CompactionFilter for StopFilter {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> Result<Verdict, BaseError> {
        if self.0.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(Verdict::Keep) }
    }
}
