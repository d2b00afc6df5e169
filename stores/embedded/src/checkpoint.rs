//! The threads that move what has gathered in memory into the base, so that the journal stays short.
//!
//! ```text
//!  freeze ─▶ wait until the frozen commits are durable ─▶ write into the base ─▶ install ─▶ thaw, retire segments
//! ```
//!
//! A freeze falls into the middle of the open group `g`. The base's marker then says `g - 1`, and whoever recovers
//! replays frame `g` over a base that holds its first half: words are physical, so that does no harm. The base is never
//! ahead of the journal, because nothing is installed before frame `g` is durable.

use std::{
    fmt, io,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    base::{BaseError, Checkpoint},
    disk::is_passing,
    options::FaultPoint,
    partition::FrozenPartition,
    replay::Marker,
    shared::{PoisonOnPanic, Shared},
    stats::{add, add_time},
    sync::lock,
};

/// How many checkpoints may lie on top of each other before the next one waits for merging. It bounds the cost of a
/// read and the base's size on disk.
const UNMERGED_MAX: usize = 16;

/// The wait between tries that lack room, descriptors or memory doubles from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

#[derive(Debug)]
enum Failure {
    Io(io::Error),
    Base(BaseError),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::Base(error) => error.fmt(formatter),
        }
    }
}

impl Failure {
    /// Whether it passes, and nothing has changed: the base takes tables over as a whole or not at all.
    fn is_passing(&self) -> bool {
        match self {
            Self::Io(error) | Self::Base(BaseError::Io(error)) => is_passing(error),
            Self::Base(_) => false,
        }
    }
}

/// Waits after a failed try, longer each time, and removes what it has left.
fn wait_after_failure(shared: &Shared, delay: &mut Duration) -> io::Result<()> {
    loop {
        shared.bell.wait_for(*delay, || shared.base.is_stopped());
        *delay = (*delay * 2).min(BACKOFF.1);
        match shared.base.remove_leftovers() {
            Err(error) if is_passing(&error) && !shared.base.is_stopped() => {}
            removed => return removed,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BaseError> for Failure {
    fn from(error: BaseError) -> Self {
        Self::Base(error)
    }
}

/// Writes checkpoints until the base is stopped.
pub(crate) fn run_checkpoints(shared: &Arc<Shared>, merge_wanted: &AtomicBool) {
    let _guard = PoisonOnPanic(Arc::clone(shared));
    loop {
        shared.bell.wait_until(|| {
            let is_due = shared.dirty_bytes.load(Ordering::Relaxed) >= shared.options.checkpoint_bytes;
            let is_merged = shared.base.unmerged() < UNMERGED_MAX || !shared.base.is_mergeable();
            shared.base.is_stopped() || (is_due && is_merged)
        });
        if shared.base.is_stopped() {
            return;
        }
        let result = write_checkpoint(shared);
        if shared.base.is_stopped() {
            return;
        }
        if let Err(failure) = result {
            shared.poison(&format!("a checkpoint failed: {failure}"));
            return;
        }
        merge_wanted.store(true, Ordering::SeqCst);
        shared.bell.ring();
    }
}

/// Merges checkpoints inside the base until it is stopped.
pub(crate) fn run_merges(shared: &Arc<Shared>, merge_wanted: &AtomicBool) {
    let _guard = PoisonOnPanic(Arc::clone(shared));
    loop {
        shared.bell.wait_until(|| shared.base.is_stopped() || merge_wanted.swap(false, Ordering::SeqCst));
        let mut delay = BACKOFF.0;
        loop {
            if shared.base.is_stopped() {
                return;
            }
            let started = Instant::now();
            let result = merge(shared);
            add_time(&shared.counters.merge_nanoseconds, started.elapsed());
            shared.base.set_mergeable(result.is_ok());
            shared.bell.ring();
            match result {
                Ok(true) => delay = BACKOFF.0,
                Ok(false) => break,
                Err(_) if shared.base.is_stopped() => return,
                // Nothing depends on it: the tables that were to be merged are still there, and as good as they were.
                Err(failure) => {
                    if delay == BACKOFF.0 {
                        tracing::error!(error = %failure, "the base cannot be merged now: it grows, and reads slow down");
                    }
                    if let Err(error) = wait_after_failure(shared, &mut delay) {
                        return shared.poison(&format!("merging the base failed: {error}"));
                    }
                }
            }
        }
    }
}

fn merge(shared: &Shared) -> Result<bool, Failure> {
    shared.options.check(FaultPoint::Compaction)?;
    Ok(shared.base.merge_once()?)
}

/// Does nothing where the base is stopped before what was frozen is durable.
fn write_checkpoint(shared: &Shared) -> Result<(), Failure> {
    let started = Instant::now();
    let (checkpoint, newest_group) = freeze(shared);
    let check = |point| shared.options.check(point);
    check(FaultPoint::CheckpointFrozen)?;

    shared.durability.request(newest_group);
    let is_durable = || shared.durability.durable() >= newest_group;
    shared.bell.wait_until(|| shared.base.is_stopped() || is_durable());
    if !is_durable() {
        return Ok(());
    }
    let mut delay = BACKOFF.0;
    let records = loop {
        match install(shared, &checkpoint) {
            Ok(records) => break records,
            Err(failure) if shared.base.is_stopped() => return Err(failure),
            Err(failure) if failure.is_passing() => {
                if delay == BACKOFF.0 {
                    tracing::warn!(error = %failure, "a checkpoint cannot be written now, and is tried again");
                }
                wait_after_failure(shared, &mut delay)?;
            }
            Err(failure) => return Err(failure),
        }
    };
    check(FaultPoint::CheckpointInstalled)?;

    let needed = checkpoint.marker.segment;
    thaw(shared, checkpoint);
    shared.pool.retire_below(needed)?;
    add(&shared.counters.checkpoints, 1);
    add(&shared.counters.checkpoint_records, records);
    add_time(&shared.counters.checkpoint_nanoseconds, started.elapsed());
    tracing::debug!(records, duration = ?started.elapsed(), "checkpoint");
    check(FaultPoint::CheckpointFinished)?;
    Ok(())
}

/// Makes a checkpoint part of the base. Returns how many records it has.
fn install(shared: &Shared, checkpoint: &Checkpoint) -> Result<u64, Failure> {
    let ingestion = shared.base.ingest(checkpoint)?;
    shared.options.check(FaultPoint::CheckpointWritten)?;
    Ok(ingestion.install()?)
}

/// Sets aside everything that the base does not hold. Returns with it the newest group that it has a part of.
fn freeze(shared: &Shared) -> (Checkpoint, u64) {
    for service in shared.services() {
        service.partitions.iter().for_each(|partition| lock(partition).records.prepare_freeze());
    }
    // Alone, so that it is one cut through all partitions. It takes microseconds for each of them.
    let open = shared.open.write().unwrap_or_else(PoisonError::into_inner);
    shared.dirty_bytes.store(0, Ordering::Relaxed);
    let places = open.services.iter().flat_map(|service| service.places());
    let partitions = places.filter_map(|(place, partition)| lock(partition).freeze(place)).collect();
    let is_open_group_empty = shared.pending_commits.load(Ordering::SeqCst) == 0;
    let (frame, segment) = (open.group - 1, open.segment);
    let newest_group = if is_open_group_empty { frame } else { open.group };
    drop(open);
    shared.caught_up.notify_waiters();
    (Checkpoint { marker: Marker { frame, segment }, partitions }, newest_group)
}

/// Lets memory forget what the base holds now. The tables that held it are emptied, outside of any lock, and used again.
fn thaw(shared: &Shared, checkpoint: Checkpoint) {
    let services = shared.services();
    for FrozenPartition { place, records, residents, .. } in checkpoint.partitions {
        let service = services.get(usize::from(place.service));
        let Some(slot) = service.and_then(|service| service.partitions.get(usize::from(place.partition))) else {
            continue;
        };
        drop((records, residents));
        let thawed = lock(slot).thaw();
        if let Some(mut table) = thawed.and_then(Arc::into_inner) {
            table.clear();
            lock(slot).records.reuse(table);
        }
    }
}
