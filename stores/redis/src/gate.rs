//! The gate of [`Promise::Replicated`](crate::Promise::Replicated).
//!
//! ```text
//!  commit, load ──▶ note: position 7, and the head that was seen
//!                                   │
//!  flusher:   take all heads ──▶ fence of each partition: "is this head in your data?", a tiny write
//!                                then WAITAOF on the same connection ──▶ advance(7)
//! ```
//!
//! Whatever was answered before the fence is sent is older than the fence's own write, and replicas take writes in order; so
//! when they have the fence they have all of it. But a fence may reach another server than the commit did, after a failover.
//! Then it says whether the head that was seen is part of what survived. If not, the gate never opens for it: it is poisoned,
//! and the process has to start anew, for it may have been answering from what is lost.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use saga::{
    Durability, Partition,
    store::{Error, Result, position::epoch_of},
};

use crate::health::Health;

/// How long a call waits for the gate that has to. Then it has failed, and may be made again.
const CALL_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Gate {
    durability: Durability,
    pub(crate) replicas: u32,
    noted: Mutex<Noted>,
    /// What keeps it shut.
    pub(crate) health: Health,
}

/// What was shown to somebody and is not confirmed yet.
#[derive(Default)]
pub(crate) struct Noted {
    /// The position of the last note.
    pub(crate) position: u64,
    pub(crate) heads: Heads,
}

/// The highest head of each partition and epoch that was seen and not been fenced. One of a later epoch does not stand for
/// one of an earlier epoch, which may be lost.
pub(crate) type Heads = HashMap<(Partition, u64), u64>;

impl Noted {
    fn raise(&mut self, partition: Partition, head: u64) {
        let noted = self.heads.entry((partition, epoch_of(head))).or_default();
        *noted = head.max(*noted);
    }
}

impl Gate {
    pub(crate) fn new(replicas: u32) -> Self {
        Self { durability: Durability::new(0), replicas, noted: Mutex::default(), health: Health::default() }
    }

    pub(crate) fn durability(&self) -> &Durability {
        &self.durability
    }

    pub(crate) fn close(&self) {
        self.durability.close();
    }

    /// Somebody was shown this head. Returns the position at which it may be depended on.
    pub(crate) fn note(&self, partition: Partition, head: u64) -> u64 {
        let mut noted = self.noted();
        noted.position += 1;
        noted.raise(partition, head);
        noted.position
    }

    pub(crate) async fn wait_briefly(&self, position: u64) -> Result<()> {
        let waited = tokio::time::timeout(CALL_PATIENCE, self.durability.wait(position)).await;
        match waited {
            Ok(passed) => Ok(passed?),
            Err(_) => Err(Error::Failed(format!("fewer than {} replicas confirm what was committed", self.replicas))),
        }
    }

    /// What has to be fenced before the gate opens; nothing of it is noted any more.
    pub(crate) fn take(&self) -> Noted {
        let mut noted = self.noted();
        Noted { position: noted.position, heads: std::mem::take(&mut noted.heads) }
    }

    /// Gives back what could not be fenced.
    pub(crate) fn give_back(&self, heads: Heads) {
        let mut noted = self.noted();
        heads.into_iter().for_each(|((partition, _), head)| noted.raise(partition, head));
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
