//! What the handles of a database and its threads share.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use saga::{
    Durability,
    store::{Error, Result},
};
use tokio::sync::Notify;

use crate::{
    base::Base,
    directory::Directory,
    options::Options,
    partition::Partition,
    place::Place,
    segment::Pool,
    space::Space,
    stats::{Counters, add},
    sync::Bell,
};

/// Commits wait once the open group has this many bytes: a frame is built and written in one piece, so this bounds the
/// memory for it, at several times what a disk takes in one flush.
pub(crate) const PENDING_BYTES_MAX: u64 = 64 << 20;

/// One service's partitions.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) index: u8,
    pub(crate) name: String,
    pub(crate) partitions: Vec<Mutex<Partition>>,
}

impl Service {
    pub(crate) fn places(&self) -> impl Iterator<Item = (Place, &Mutex<Partition>)> {
        (0..).zip(&self.partitions).map(|(partition, slot)| (Place { service: self.index, partition }, slot))
    }
}

/// The group that commits fall into, and the services they are about.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) group: u64,
    /// The segment that the frame before the last closed group's went to. A frame that is still to be written goes there or
    /// to a later one.
    pub(crate) segment: u64,
    pub(crate) services: Vec<Arc<Service>>,
}

/// What the handles of a database and its threads share.
///
/// Locks are taken in the order of the fields `directory`, `open`, a partition; `bell` comes last.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// What is committed stays in memory (see [`crate::Embedded::look`]): nobody flushes it.
    pub(crate) is_looked_at: bool,
    pub(crate) durability: Durability,
    pub(crate) directory: Mutex<Directory>,
    /// A commit holds it shared; whoever holds it alone sees whole commits only.
    pub(crate) open: RwLock<Open>,
    pub(crate) base: Base,
    pub(crate) pool: Arc<Pool>,
    /// Commits in the open group.
    pub(crate) pending_commits: AtomicU64,
    /// Bytes of the open group.
    pub(crate) pending_bytes: AtomicU64,
    /// Bytes committed since the last freeze.
    pub(crate) dirty_bytes: AtomicU64,
    /// No more commits: the database is being closed, or poisoned.
    pub(crate) refusing: AtomicBool,
    pub(crate) space: Space,
    /// The disk may have caught up.
    pub(crate) caught_up: Notify,
    pub(crate) bell: Bell,
    pub(crate) counters: Counters,
}

impl Shared {
    pub(crate) fn open(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn services(&self) -> Vec<Arc<Service>> {
        self.open().services.clone()
    }

    /// Nothing that is not durable by now ever will be.
    pub(crate) fn poison(&self, reason: &str) {
        tracing::error!(directory = %self.options.directory.display(), reason, "the store is poisoned");
        {
            // So that whoever has been told of it finds that nothing is accepted any more.
            let _open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            self.durability.poison(reason);
            self.refusing.store(true, Ordering::SeqCst);
        }
        self.stop_threads();
    }

    /// Makes all threads but the flusher end soon.
    pub(crate) fn stop_threads(&self) {
        self.base.stop();
        self.space.wake();
        self.pool.stop_waiting();
        self.caught_up.notify_waiters();
        self.bell.ring();
    }

    /// Fails once there are no more commits.
    pub(crate) fn accepting(&self) -> Result<()> {
        if self.refusing.load(Ordering::SeqCst) {
            let reason = self.durability.poisoned();
            return Err(Error::Poisoned(reason.map_or_else(|| "it was closed".into(), |reason| reason.to_string())));
        }
        Ok(())
    }

    fn is_caught_up(&self) -> bool {
        let dirty_bytes_max = self.options.checkpoint_bytes.saturating_mul(Options::DIRTY_FACTOR_MAX);
        self.pending_bytes.load(Ordering::Relaxed) < PENDING_BYTES_MAX
            && self.dirty_bytes.load(Ordering::Relaxed) < dirty_bytes_max
    }

    fn request_flush(&self) {
        let open = self.open();
        // Only what was committed may be requested: nothing else ever becomes durable.
        if self.pending_commits.load(Ordering::SeqCst) > 0 {
            self.durability.request(open.group);
        }
    }

    /// Waits until the disk has caught up, where it has fallen behind.
    pub(crate) async fn catch_up(&self) -> Result<()> {
        if self.is_caught_up() || self.is_looked_at {
            return Ok(());
        }
        add(&self.counters.commits_delayed, 1);
        loop {
            let caught_up = self.caught_up.notified();
            self.accepting()?;
            if self.is_caught_up() {
                return Ok(());
            }
            self.request_flush();
            caught_up.await;
        }
    }
}

/// Poisons the database when the thread that holds it panics: without that thread it would come to a silent halt.
#[derive(Debug)]
pub(crate) struct PoisonOnPanic(pub(crate) Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            let name = thread::current().name().unwrap_or_default().to_owned();
            self.0.poison(&format!("thread {name} panicked"));
        }
    }
}
