//! How a database is opened.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

/// Told of each flush, right after it; called by the flusher, so it must be quick.
pub type FlushObserver = Arc<dyn Fn(Flush) + Send + Sync>;

/// Asked at each [`FaultPoint`]; what it answers is taken for the answer of the operating system.
pub type FaultHook = Arc<dyn Fn(FaultPoint) -> io::Result<()> + Send + Sync>;

/// How a database is opened. Start from [`Options::new`].
#[derive(Clone)]
pub struct Options {
    /// The directory of the database, made if it is missing.
    pub directory: PathBuf,
    /// The size of a journal segment, in bytes. A frame that is larger gets a larger segment.
    pub segment_bytes: u64,
    /// After how many bytes of journal the changes in memory are written into the base; at least 1.
    ///
    /// Less keeps memory and the time to recover small; more lets a record that is written again and again reach the
    /// base once. Up to [`Options::DIRTY_FACTOR_MAX`] times as much may wait in memory, twice over while a checkpoint
    /// is being written.
    pub checkpoint_bytes: u64,
    /// The size of the cache for blocks of the base, in bytes. Records that it does not hold come from the operating
    /// system's page cache or from disk.
    pub cache_bytes: u64,
    /// How long a commit that nobody waits for may stay out of the journal.
    pub flush_delay_max: Duration,
    /// Told of each flush.
    pub on_flush: Option<FlushObserver>,
    /// Fails or delays the disk. For tests.
    pub fault: Option<FaultHook>,
}

impl Options {
    /// Commits wait for a checkpoint once this many times [`Options::checkpoint_bytes`] have gathered: enough that a
    /// burst passes while the checkpoint before it is written, and a bound on memory and on the time to recover.
    pub const DIRTY_FACTOR_MAX: u64 = 3;

    /// The defaults for a database in `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 16 << 20,
            checkpoint_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            flush_delay_max: Duration::from_millis(200),
            on_flush: None,
            fault: None,
        }
    }

    pub(crate) fn check(&self, point: FaultPoint) -> io::Result<()> {
        self.fault.as_ref().map_or(Ok(()), |hook| hook(point))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("directory", &self.directory)
            .field("segment_bytes", &self.segment_bytes)
            .field("checkpoint_bytes", &self.checkpoint_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .field("flush_delay_max", &self.flush_delay_max)
            .finish_non_exhaustive()
    }
}

/// One flush of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// How long the write and the `fdatasync` took.
    pub duration: Duration,
    /// How long the frame was, in bytes.
    pub bytes: u64,
    /// How many commits it made durable.
    pub commits: u64,
}

/// Where a [`FaultHook`] is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultPoint {
    /// Before a frame is written to the journal.
    FrameWrite,
    /// Before a frame that was written is flushed.
    FrameSync,
    /// Before a journal segment is made or recycled.
    SegmentPrepare,
    /// The changes in memory are frozen; nothing of them is in the base.
    CheckpointFrozen,
    /// Everything is written into the base's files, but not yet part of it.
    CheckpointWritten,
    /// The base has taken the checkpoint over; the journal that it made superfluous is still there.
    CheckpointInstalled,
    /// The checkpoint is complete.
    CheckpointFinished,
    /// Before the base is compacted.
    Compaction,
    /// Before it is found out how much room the disk has; [`io::ErrorKind::StorageFull`]: none.
    FreeSpace,
}
