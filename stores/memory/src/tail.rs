//! What was committed and is not persisted yet: the part of a database that a crash can take back.

use std::collections::VecDeque;

use crate::partition::{Partition, Undo};

/// All commits of one database, of which those after `persisted` can be taken back.
#[derive(Default)]
pub(crate) struct Tail {
    committed: u64,
    persisted: u64,
    /// One for each commit after `persisted`, in order.
    undos: VecDeque<(Partition, Undo)>,
}

impl Tail {
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    pub(crate) fn persisted(&self) -> u64 {
        self.persisted
    }

    /// Takes note of the commit at the next position.
    pub(crate) fn push(&mut self, partition: Partition, undo: Undo) {
        self.committed += 1;
        self.undos.push_back((partition, undo));
    }

    /// Gives up taking back what is at or before `position`; returns up to where all is persisted now.
    pub(crate) fn persist(&mut self, position: u64) -> u64 {
        let persisted = position.clamp(self.persisted, self.committed);
        let count = usize::try_from(persisted - self.persisted).unwrap_or(usize::MAX);
        self.undos.drain(..count.min(self.undos.len()));
        self.persisted = persisted;
        persisted
    }

    /// Takes back every commit after `kept`, and counts what is left as persisted; returns how many were lost.
    ///
    /// Nobody else may hold the lock of a partition.
    pub(crate) fn lose(&mut self, kept: u64) -> u64 {
        self.persist(kept);
        let lost = self.committed - self.persisted;
        while let Some((partition, undo)) = self.undos.pop_back() {
            partition.lock().take_back(undo);
        }
        self.committed = self.persisted;
        lost
    }
}
