//! What a database has done so far, for metrics.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What a database has done since it was opened, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commits applied.
    pub commits: u64,
    /// Frames written to the journal, each with one `fdatasync`.
    pub flushes: u64,
    /// Bytes written to the journal.
    pub journal_bytes: u64,
    /// Time spent writing and flushing the journal.
    pub flush_time: Duration,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Time spent on checkpoints, from freezing to the journal's segments being taken back.
    pub checkpoint_time: Duration,
    /// Records that checkpoints have written to the base.
    pub checkpoint_records: u64,
    /// Time spent merging checkpoints inside the base.
    pub merge_time: Duration,
    /// Commits that had to wait because the disk did not keep up.
    pub commits_delayed: u64,
    /// Reads of the base that failed, because of damage or of the disk.
    pub unreadable: u64,
    /// Bytes committed since the last checkpoint began.
    pub dirty_bytes: u64,
    /// Records in memory that the base does not hold yet.
    pub dirty_records: u64,
    /// Checkpoints lying on top of each other in the base, unmerged.
    pub base_unmerged: u64,
    /// The size of the base on disk, in bytes.
    pub base_bytes: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) journal_bytes: AtomicU64,
    pub(crate) flush_nanoseconds: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpoint_nanoseconds: AtomicU64,
    pub(crate) checkpoint_records: AtomicU64,
    pub(crate) merge_nanoseconds: AtomicU64,
    pub(crate) commits_delayed: AtomicU64,
    pub(crate) unreadable: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time = |counter| Duration::from_nanos(get(counter));
        Stats {
            commits: get(&self.commits),
            flushes: get(&self.flushes),
            journal_bytes: get(&self.journal_bytes),
            flush_time: time(&self.flush_nanoseconds),
            checkpoints: get(&self.checkpoints),
            checkpoint_time: time(&self.checkpoint_nanoseconds),
            checkpoint_records: get(&self.checkpoint_records),
            merge_time: time(&self.merge_nanoseconds),
            commits_delayed: get(&self.commits_delayed),
            unreadable: get(&self.unreadable),
            ..Stats::default()
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

pub(crate) fn add_time(counter: &AtomicU64, time: Duration) {
    add(counter, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}
