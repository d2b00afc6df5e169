//! The port every store implements: four methods on partitions, and who the data are; no knowledge of any domain.
//!
//! A store keeps, for each partition of one service, a *head* (how many commits it has had), records by key, an
//! event log numbered densely from 1, and the cursors that say how far the partition has consumed other logs.
//!
//! All of it are the data of one service, which have an [`Identity`]: a database that takes another's place, or is made
//! anew in its place, has another one.
//!
//! A store whose server may lose a tail that others have seen (a failover to a replica that lacks it) counts *epochs*:
//! heads and event numbers then hold the epoch in their upper bits (see [`position`]). Others stay in epoch 0, where a
//! number is what it says, until [an operator accepts a loss](crate::repair).
//!
//! ```text
//!            load(partition, keys)                      commit(partition, …)
//!   head ◀──────────────────────── sequencer ────────────────────────────────▶ head + 1, or Conflict
//!   cursors, log positions, records           writes + events + cursors + trim, all or nothing
//! ```
//!
//! Records whose key begins with [`RESIDENT`] are few, come and go, and are wanted all together by a partition's
//! new owner; stores should keep them apart (a hash of their own, a prefix), so that reading them reads no other records.

use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;

use crate::{Durability, Missed};

mod identity;
pub mod position;
mod wrap;

pub use identity::Identity;
pub use wrap::Wrap;

/// The index of a partition inside its service, from 0.
pub type Partition = u16;

/// The name of one event log: a service and one of its partitions.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogName {
    /// The service's name, the same in every process that takes part.
    pub service: Arc<str>,
    /// The partition inside the service.
    pub partition: Partition,
}

impl fmt::Debug for LogName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.service, self.partition)
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// How far a partition has consumed a log: every event up to and including `position`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which log.
    pub log: LogName,
    /// The number of the last event consumed; 0 before the first.
    pub position: u64,
}

/// What a partition looked like at one head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many commits the partition has had.
    pub head: u64,
    /// The number of the last event in the partition's own log; 0 when it never had one.
    pub log_end: u64,
    /// Every cursor the partition has ever committed.
    pub cursors: Vec<Cursor>,
    /// The position that [`Store::durability`] has to reach before anything that depends on this snapshot may leave the
    /// process; that of the last commit it contains, or lower where that one is durable already.
    pub position: u64,
    /// One entry for each key asked for, in the order asked.
    pub records: Vec<Option<Bytes>>,
}

/// One record to put or, where `value` is `None`, to remove.
///
/// All keys and values of a commit may be slices of one buffer: a store that keeps them in memory should copy them,
/// lest one small record that stays keeps a large buffer with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The record's key, unique in its partition; at most [`KEY_BYTES_MAX`] bytes.
    pub key: Bytes,
    /// The new value, or `None` to remove the record.
    pub value: Option<Bytes>,
}

/// Every resident record of a partition at one head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Residents {
    /// How many commits the partition has had.
    pub head: u64,
    /// Keys and values, in any order.
    pub records: Vec<(Bytes, Bytes)>,
}

/// What the key of a *resident* record begins with: one of those that [`Store::residents`] reads all at once. In every
/// other respect they are records like any other.
pub const RESIDENT: u8 = b'*';

/// The longest key a store must accept.
pub const KEY_BYTES_MAX: usize = 160;

/// The longest value or event a store must accept.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Everything one batch of steps changed. It is applied whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The head that the batch ran on.
    pub expected_head: u64,
    /// Records to put or remove, each key at most once.
    pub writes: Vec<Write>,
    /// Events to append to the partition's log. The first gets the number `log_end + 1`.
    pub events: Vec<Bytes>,
    /// Cursors that moved, each log at most once.
    pub cursors: Vec<Cursor>,
    /// Events up to and including this number are needed by nobody any more: the store may drop them once this commit is
    /// durable (before that, a crash could bring back a consumer that has not consumed them). A number beyond the end
    /// of the log, this commit's own events included, means the end. 0 drops nothing; it never moves back.
    pub trim: u64,
}

/// A successful commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The partition's head after the commit: `expected_head + 1`.
    pub head: u64,
    /// The position that [`Store::durability`] has to reach before anything that depends on this commit may leave the
    /// process.
    pub position: u64,
}

/// One event as read from a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The event's number in its log.
    pub position: u64,
    /// The encoded event.
    pub event: Bytes,
}

/// Which events a reader of a log may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Every committed event. Only for readers whose own commits are in the same [`Durability`] domain: what they
    /// derive from an event can then never outlive it.
    Committed,
    /// Only events whose commit is durable.
    Durable,
}

/// Why a store could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer moved the head since it was loaded. Nothing was changed.
    #[error("another writer moved the head of the partition")]
    Conflict,
    /// A passing fault: the same call may succeed later. A commit that failed this way *may have been applied*,
    /// unless [`Store::is_certain`].
    #[error("the store failed: {0}")]
    Failed(String),
    /// The store may no longer be written to: a flush failed or its data is corrupt.
    #[error("the store is poisoned: {0}")]
    Poisoned(String),
}

/// The result of a store's method.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The database of one service.
///
/// All methods may be called from many tasks at once, also for one partition and also from other processes where the
/// store is shared; the comparison of heads decides who wins.
pub trait Store: Send + Sync + 'static {
    /// Reads the head, the log's end, all cursors and the records under `keys`, all of one moment.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Poisoned`].
    fn load(&self, partition: Partition, keys: &[Bytes]) -> impl Future<Output = Result<Snapshot>> + Send;

    /// Reads the head and every record whose key begins with [`RESIDENT`], all of one moment.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Poisoned`].
    fn residents(&self, partition: Partition) -> impl Future<Output = Result<Residents>> + Send;

    /// Applies `commit` whole and raises the head by one, if the head still is `commit.expected_head`.
    ///
    /// When it returns, every later `load` sees the commit. It is *durable*, so that no crash can take it back, once
    /// [`Self::durability`] has reached [`Committed::position`]; commits become durable in an order that respects who
    /// saw whom: a later commit in the same domain is never durable before an earlier one.
    ///
    /// # Errors
    /// [`Error::Conflict`]: nothing was changed. [`Error::Failed`]: it may or may not have been applied (see
    /// [`Self::is_certain`]).
    /// [`Error::Poisoned`]: give up.
    fn commit(&self, partition: Partition, commit: Commit) -> impl Future<Output = Result<Committed>> + Send;

    /// Reads at most `limit` events of the partition's log with numbers above `after`, in order and without gaps.
    ///
    /// Events that were trimmed are not returned: where the first one wanted was trimmed, the answer starts with the
    /// first one kept (and a reader whose cursor lies before it has lost events, which the caller must treat as
    /// corruption).
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Poisoned`].
    fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> impl Future<Output = Result<Vec<LogEntry>>> + Send;

    /// Begins a new epoch of a partition, above the epoch `above` and its own: the log keeps what it has, and goes on
    /// counting, with numbers that nobody has seen before (see [`position`]). Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Poisoned`].
    fn begin_epoch(&self, partition: Partition, above: u64) -> impl Future<Output = Result<()>> + Send;

    /// Which data these are. Chosen when they are made, kept with them, and the same for all handles at all times.
    fn identity(&self) -> Identity;

    /// Which data of the service `peer` these belong with. The first that are `met` are remembered, for good: data of
    /// other services know these by their cursors, and these know them. Durable when it returns.
    ///
    /// `None`: none were met.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Poisoned`].
    fn bound_to(&self, peer: &str, met: Option<Identity>) -> impl Future<Output = Result<Option<Identity>>> + Send;

    /// Forgets which data of the service `peer` these belong with, because an operator says so. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Poisoned`].
    fn unbind(&self, peer: &str) -> impl Future<Output = Result<()>> + Send;

    /// Whether a failed commit is certain not to have been applied. A store behind a network cannot know; the engine
    /// then writes a mark with every commit, to find out afterwards.
    fn is_certain(&self) -> bool {
        false
    }

    /// Whether no other process can write to this store while this one has it open, so that a view of a partition needs
    /// no comparison before it is shown.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// Whether there is room for work that is new. `Err` says why not: the engine then refuses callers' commands that
    /// change records with [`CallError::Unavailable`](crate::CallError::Unavailable), before anything is done for them,
    /// and goes on with what was begun: reads, peers' events, deadlines, compensations and the expiry of replies.
    ///
    /// Asked once for every such command, so it must not block or go and find out. A store says so early enough that
    /// what goes on still fits, and takes it back by itself once there is room.
    ///
    /// # Errors
    /// The reason, for operators.
    fn room(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether all partitions lose and keep their tails together. Not where they are on different servers.
    fn partitions_share_fate(&self) -> bool {
        true
    }

    /// The gate that commits of this store pass to become durable. Stores that share one gate (compare with
    /// [`Durability::same_domain`]) lose and keep their tails together.
    fn durability(&self) -> &Durability;
}

impl From<Missed> for Error {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Poisoned(reason) => Self::Poisoned(reason.to_string()),
        }
    }
}
