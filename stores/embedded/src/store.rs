//! The handles: a database, and the store of one of its services.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread,
};

use bytes::Bytes;
use saga::{
    Durability, Partition as PartitionIndex, Store,
    store::{
        Commit, Committed, Error, Identity, LogEntry, Residents, Result, Snapshot, Visibility, position::EPOCH_MAX,
    },
};

use crate::{
    Left, OpenError, Options, ServiceError, Stats,
    base::BaseError,
    directory::ServiceMeta,
    disk::Disk,
    log::Found,
    look,
    open::{self, Threads},
    partition::{self, Partition},
    place::Place,
    shared::{Service, Shared},
    stats::add,
    sync::lock,
};

/// An open database. Clones share it; it is closed when the last clone, and the last [`EmbeddedStore`] of it, is dropped.
#[derive(Clone, Debug)]
pub struct Embedded {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        close(self);
    }
}

/// Ends the threads, after a last flush. Does nothing the second time.
fn close(handle: &Handle) {
    let Threads { flusher, others } = std::mem::take(&mut *lock(&handle.threads));
    let shared = &handle.shared;
    // In this order: whatever was accepted is in the last flush.
    shared.refusing.store(true, Ordering::SeqCst);
    shared.caught_up.notify_waiters();
    shared.pool.stop_waiting();
    shared.durability.close();
    let join = |thread: thread::JoinHandle<()>| {
        // A panic has poisoned the database already.
        drop(thread.join());
    };
    let Some(flusher) = flusher else { return };
    join(flusher);
    shared.stop_threads();
    others.into_iter().for_each(join);
    if shared.durability.poisoned().is_none()
        && let Err(error) = lock(&shared.directory).note_closed(shared.durability.durable())
    {
        // Without it the next one to open the database only cannot tell a damaged last frame from a torn one.
        tracing::warn!(directory = %shared.options.directory.display(), %error, "could not note that all is on disk");
    }
}

impl Embedded {
    /// Opens the database in a directory, or makes one where there is none.
    ///
    /// Reads and writes files: not to be called where that must not block. It takes as long as it takes to read the
    /// journal since the last checkpoint, however long the history.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Self::open_on(options, &Disk::default())
    }

    pub(crate) fn open_on(options: Options, disk: &Disk) -> Result<Self, OpenError> {
        let (shared, threads) = open::open(options, disk)?;
        Ok(Self { handle: Arc::new(Handle { shared, threads: Mutex::new(threads) }) })
    }

    /// Opens the database in a directory to be looked at, and says how it was left. **Nothing in the directory is changed.** What is
    /// committed is kept in memory, counts as durable at once, and is gone with the last handle.
    ///
    /// Nobody may have it open; several may look at it at once, and nobody can open it meanwhile. `links` is an empty directory for
    /// links to the base's tables: whoever calls removes it once the last handle is dropped.
    ///
    /// Reads files: not to be called where that must not block.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn look(directory: &Path, links: &Path) -> Result<(Self, Left), OpenError> {
        let (shared, left) = look::look(directory, links)?;
        Ok((Self { handle: Arc::new(Handle { shared, threads: Mutex::default() }) }, left))
    }

    /// The store of one service, made on first use. The number of its partitions is fixed then.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn service(&self, name: &str, partitions: PartitionIndex) -> Result<EmbeddedStore, ServiceError> {
        let shared = &self.handle.shared;
        // Held throughout, so that two callers do not both make it.
        let mut directory = lock(&shared.directory);
        let existing = shared.open().services.iter().find(|service| service.name == name).map(Arc::clone);
        let service = match existing {
            Some(service) => service,
            None => {
                let meta =
                    ServiceMeta { name: name.to_owned(), partitions, epochs: BTreeMap::new(), bonds: BTreeMap::new() };
                let index = check_new(&meta, directory.services.len())?;
                directory.add_service(meta)?;
                let slots = (0..partitions).map(|_| Mutex::default()).collect();
                let service = Arc::new(Service { index, name: name.to_owned(), partitions: slots });
                let mut open = shared.open.write().unwrap_or_else(PoisonError::into_inner);
                open.services.push(Arc::clone(&service));
                service
            }
        };
        let stored = PartitionIndex::try_from(service.partitions.len()).expect("they were made from such a number");
        if stored != partitions {
            return Err(ServiceError::PartitionsDiffer { service: name.to_owned(), stored, asked: partitions });
        }
        Ok(EmbeddedStore { handle: Arc::clone(&self.handle), service })
    }

    /// The services that the database holds, and the number of partitions of each.
    #[must_use]
    pub fn services(&self) -> Vec<(String, PartitionIndex)> {
        let directory = lock(&self.handle.shared.directory);
        directory.services.iter().map(|service| (service.name.clone(), service.partitions)).collect()
    }

    /// Whether the disk has room for changes that are new. `Err` says why not; see [`saga::Store::room`].
    ///
    /// # Errors
    /// The reason, for operators.
    pub fn room(&self) -> std::result::Result<(), String> {
        self.handle.shared.space.room()
    }

    /// The gate that the commits of all services pass together.
    #[must_use]
    pub fn durability(&self) -> &Durability {
        &self.handle.shared.durability
    }

    /// What the database has done since it was opened, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.handle.shared;
        let services = shared.services();
        let partitions = services.iter().flat_map(|service| &service.partitions);
        Stats {
            dirty_bytes: shared.dirty_bytes.load(Ordering::Relaxed),
            dirty_records: partitions.map(|partition| lock(partition).records.len() as u64).sum(),
            base_unmerged: shared.base.unmerged() as u64,
            base_bytes: shared.base.bytes(),
            ..shared.counters.snapshot()
        }
    }

    /// Flushes what was committed and ends the database's threads. Later commits fail. Blocks until that is done.
    ///
    /// Dropping the last handle does the same, but cannot tell of an error. The directory stays locked until then.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when not everything that was committed could be flushed.
    pub fn close(&self) -> Result<()> {
        close(&self.handle);
        match self.handle.shared.durability.poisoned() {
            Some(reason) => Err(Error::Poisoned(reason.to_string())),
            None => Ok(()),
        }
    }
}

fn check_new(service: &ServiceMeta, known: usize) -> Result<u8, ServiceError> {
    let name = &service.name;
    if !is_name(name) {
        return Err(ServiceError::Name(name.clone()));
    }
    if service.partitions == 0 {
        return Err(ServiceError::NoPartitions(name.clone()));
    }
    u8::try_from(known).map_err(|_| ServiceError::TooMany)
}

/// Whether a service may be called so: `META` has it between spaces.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain)
}

/// The store of one service. Clones share it.
///
/// Commits and loads take microseconds and no turn of the disk: a commit changes memory, and whoever needs it durable
/// waits at the gate. A load of records that are not in memory reads the base, in the calling task: from the page cache
/// in microseconds, from disk where the state has outgrown memory.
///
/// Keys and values are copied. Events are kept as they are handed in until they are trimmed or the base holds them: one
/// that is a slice of a larger buffer keeps that buffer in memory for as long.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    handle: Arc<Handle>,
    service: Arc<Service>,
}

impl EmbeddedStore {
    fn slot(&self, partition: PartitionIndex) -> Result<(Place, &Mutex<Partition>)> {
        let place = Place { service: self.service.index, partition };
        let slot = self.service.partitions.get(usize::from(partition));
        let missing = || Error::Failed(format!("service {} has no partition {partition}", self.service.name));
        Ok((place, slot.ok_or_else(missing)?))
    }

    /// The base's answer. What damage has taken must not be taken for never written, so whoever needs it fails; the
    /// rest of the store is as good as before.
    fn answered<T>(&self, answer: Result<T, BaseError>) -> Result<T> {
        answer.map_err(|error| {
            add(&self.handle.shared.counters.unreadable, 1);
            Error::Failed(match error {
                BaseError::Io(error) => format!("the base could not be read: {error}"),
                error => format!("the base is damaged (check the directory): {error}"),
            })
        })
    }

    /// What memory knows, which of the keys it knows nothing about, and how often the partition was frozen by then.
    fn load_from_memory(slot: &Mutex<Partition>, keys: &[Bytes]) -> (Snapshot, Vec<usize>, u64) {
        let partition = lock(slot);
        let (snapshot, unknown) = partition.load(keys);
        (snapshot, unknown, partition.freezes)
    }

    /// Whether the partition was not frozen since: later commits may have reached the base then, before it was read.
    fn confirm_load(slot: &Mutex<Partition>, freezes: u64, absent: impl Iterator<Item = Bytes>) -> bool {
        let mut partition = lock(slot);
        let confirmed = partition.freezes == freezes;
        if confirmed {
            absent.for_each(|key| partition.records.note_absent(&key));
        }
        confirmed
    }

    fn commit_now(&self, partition: PartitionIndex, commit: Commit) -> Result<Committed> {
        let (_, slot) = self.slot(partition)?;
        let shared = &self.handle.shared;
        let open = shared.open();
        // Looked at while no group can be closed, so that nothing is accepted after the last flush.
        shared.accepting()?;
        let (bytes, head) = {
            let mut partition = lock(slot);
            (partition.apply(open.group, commit)? as u64, partition.head)
        };
        add(&shared.pending_bytes, bytes);
        add(&shared.dirty_bytes, bytes);
        add(&shared.counters.commits, 1);
        shared.pending_commits.fetch_add(1, Ordering::SeqCst);
        if shared.is_looked_at {
            shared.durability.advance(open.group);
        }
        Ok(Committed { head, position: open.group })
    }

    fn read_log_now(
        &self,
        partition: PartitionIndex,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> Result<Vec<LogEntry>> {
        let (place, slot) = self.slot(partition)?;
        let shared = &self.handle.shared;
        let group_max = match visibility {
            Visibility::Committed => u64::MAX,
            Visibility::Durable => shared.durability.durable(),
        };
        let mut entries = Vec::new();
        let (mut last, epochs) = {
            let partition = lock(slot);
            (partition.epochs.common(after), partition.epochs.clone())
        };
        let numbered = |mut entries: Vec<LogEntry>| {
            entries.iter_mut().for_each(|entry| entry.position = epochs.number(entry.position));
            entries
        };
        while entries.len() < limit {
            let missing = limit - entries.len();
            let range = match lock(slot).log.read(last, missing, group_max) {
                Found::Here(newest) => {
                    entries.extend(newest);
                    return Ok(numbered(entries));
                }
                Found::InBase(range) => range,
            };
            let older = self.answered(shared.base.events(place, range.clone(), missing))?;
            // Some may have been trimmed in the meantime, and the base may have dropped some of those already.
            let first = (lock(slot).log.trim + 1).max(*range.start());
            let older = older.into_iter().filter(|entry| entry.position >= first);
            let numbered = (first..).zip(older).map(|(number, entry)| (entry.position == number).then_some(entry));
            let older: Option<Vec<_>> = numbered.collect();
            // Where nothing was trimmed, there must be something.
            let older = older.filter(|older| !older.is_empty() || first > *range.start());
            entries.extend(self.answered(older.ok_or(BaseError::Unrecoverable))?);
            last = entries.last().map_or(first - 1, |entry| entry.position);
        }
        Ok(numbered(entries))
    }
}

fn not_recorded(error: &io::Error) -> Error {
    Error::Failed(format!("what the data belong with could not be recorded: {error}"))
}

impl Store for EmbeddedStore {
    async fn load(&self, partition: PartitionIndex, keys: &[Bytes]) -> Result<Snapshot> {
        let (place, slot) = self.slot(partition)?;
        let base = &self.handle.shared.base;
        loop {
            let (mut snapshot, unknown, freezes) = Self::load_from_memory(slot, keys);
            if unknown.is_empty() {
                return Ok(snapshot);
            }
            base.readable().await;
            let mut absent = Vec::new();
            for index in unknown {
                if let (Some(key), Some(record)) = (keys.get(index), snapshot.records.get_mut(index)) {
                    *record = self.answered(base.record(place, key))?;
                    if record.is_none() {
                        absent.push(key.clone());
                    }
                }
            }
            if Self::confirm_load(slot, freezes, absent.into_iter()) {
                return Ok(snapshot);
            }
        }
    }

    async fn residents(&self, partition: PartitionIndex) -> Result<Residents> {
        let (_, slot) = self.slot(partition)?;
        Ok(lock(slot).residents())
    }

    async fn commit(&self, partition: PartitionIndex, commit: Commit) -> Result<Committed> {
        partition::check(&commit)?;
        self.handle.shared.catch_up().await?;
        self.commit_now(partition, commit)
    }

    async fn read_log(
        &self,
        partition: PartitionIndex,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> Result<Vec<LogEntry>> {
        self.read_log_now(partition, after, limit, visibility)
    }

    async fn begin_epoch(&self, partition: PartitionIndex, above: u64) -> Result<()> {
        let (_, slot) = self.slot(partition)?;
        let mut directory = lock(&self.handle.shared.directory);
        let mut partition_now = lock(slot);
        let mut epochs = partition_now.epochs.clone();
        let epoch = epochs.current().max(above) + 1;
        if epoch > EPOCH_MAX {
            return Err(Error::Failed("all epochs are used up".to_owned()));
        }
        epochs.begin(epoch, partition_now.log.end + 1);
        let recorded = directory.begin_epoch(self.service.index, partition, epochs.clone());
        recorded.map_err(|error| Error::Failed(format!("the new epoch could not be recorded: {error}")))?;
        partition_now.epochs = epochs;
        Ok(())
    }

    /// Of the whole database, whose services cannot be lost one by one.
    fn identity(&self) -> Identity {
        Identity::from_bits(lock(&self.handle.shared.directory).identity)
    }

    async fn bound_to(&self, peer: &str, met: Option<Identity>) -> Result<Option<Identity>> {
        let mut directory = lock(&self.handle.shared.directory);
        let known = directory.services.get(usize::from(self.service.index)).and_then(|service| service.bonds.get(peer));
        match (known, met) {
            (None, Some(met)) if !is_name(peer) => {
                Err(Error::Failed(format!("{peer:?} is no name for a service, so {met} cannot be its data")))
            }
            (None, Some(met)) => {
                directory.bind(self.service.index, peer, Some(met)).map_err(|error| not_recorded(&error))?;
                Ok(Some(met))
            }
            (known, _) => Ok(known.copied()),
        }
    }

    async fn unbind(&self, peer: &str) -> Result<()> {
        let mut directory = lock(&self.handle.shared.directory);
        directory.bind(self.service.index, peer, None).map_err(|error| not_recorded(&error))
    }

    fn is_certain(&self) -> bool {
        true
    }

    fn room(&self) -> std::result::Result<(), String> {
        self.handle.shared.space.room()
    }

    fn is_exclusive(&self) -> bool {
        // The lock on the directory keeps every other process out.
        true
    }

    fn durability(&self) -> &Durability {
        &self.handle.shared.durability
    }
}

#[cfg(test)]
mod tests;
