//! A store whose numbers the conformance suite can follow through crashes.
//!
//! The suite counts commits and events from one and expects the next number after a crash. The redis store does so too,
//! but with the epoch above the count, and a restarted server is a new epoch. So epochs are taken off here, and put on
//! again by what was seen: each epoch begins after the last event of the one before.

use std::sync::Mutex;

use bytes::Bytes;
use saga::{
    Partition, Store,
    store::{
        Commit, Committed, LogEntry, Residents, Result, Snapshot, Visibility, Wrap,
        position::{epoch_of, position, sequence_of},
    },
};
use saga_store_redis::RedisStore;

pub(crate) struct Dense {
    pub(crate) store: RedisStore,
    /// By partition: for each epoch seen, the count after which its events begin.
    epochs: Mutex<Vec<Vec<(u64, u64)>>>,
}

impl Dense {
    /// A handle that learns the epochs by itself, from the beginning on.
    pub(crate) async fn over(store: RedisStore, partitions: Partition, earlier: Vec<Vec<(u64, u64)>>) -> Self {
        let mut epochs = earlier;
        epochs.resize(partitions.into(), vec![(0, 0)]);
        let dense = Self { store, epochs: Mutex::new(epochs) };
        for partition in 0..partitions {
            Store::load(&dense, partition, &[]).await.expect("a server that has just been opened answers");
        }
        dense
    }

    /// What is known of epochs, for the next handle on the same data.
    pub(crate) fn epochs(&self) -> Vec<Vec<(u64, u64)>> {
        self.epochs.lock().expect("nobody panics with it").clone()
    }

    fn learn(&self, partition: Partition, epoch: u64, log_end: u64) {
        let mut epochs = self.epochs.lock().expect("nobody panics with it");
        let known = &mut epochs[usize::from(partition)];
        let (last, _) = *known.last().expect("epoch 0 is known");
        assert!(epoch >= last, "epoch {epoch} of partition {partition} after epoch {last}");
        if epoch > last {
            known.push((epoch, log_end));
        }
    }

    /// The position of the event with this count.
    fn event(&self, partition: Partition, count: u64) -> u64 {
        let epochs = self.epochs.lock().expect("nobody panics with it");
        let begun = epochs[usize::from(partition)].iter().rev().find(|(_, begin)| *begin < count);
        let (epoch, _) = begun.copied().unwrap_or_default();
        position(epoch, count).expect("not too high")
    }

    fn epoch(&self, partition: Partition) -> u64 {
        let epochs = self.epochs.lock().expect("nobody panics with it");
        epochs[usize::from(partition)].last().expect("epoch 0 is known").0
    }
}

impl Wrap for Dense {
    type Within = RedisStore;

    fn within(&self) -> &RedisStore {
        &self.store
    }

    async fn load(&self, partition: Partition, keys: &[Bytes]) -> Result<Snapshot> {
        let mut snapshot = self.store.load(partition, keys).await?;
        assert_eq!(epoch_of(snapshot.head), epoch_of(snapshot.log_end));
        self.learn(partition, epoch_of(snapshot.head), sequence_of(snapshot.log_end));
        snapshot.head = sequence_of(snapshot.head);
        snapshot.log_end = sequence_of(snapshot.log_end);
        Ok(snapshot)
    }

    async fn residents(&self, partition: Partition) -> Result<Residents> {
        let residents = self.store.residents(partition).await?;
        Ok(Residents { head: sequence_of(residents.head), ..residents })
    }

    async fn commit(&self, partition: Partition, mut commit: Commit) -> Result<Committed> {
        let epoch = self.epoch(partition);
        commit.expected_head = position(epoch, commit.expected_head).expect("not too high");
        // Beyond every count is beyond every epoch.
        commit.trim = if commit.trim == u64::MAX { u64::MAX } else { self.event(partition, commit.trim) };
        let committed = self.store.commit(partition, commit).await?;
        assert_eq!(epoch_of(committed.head), epoch);
        Ok(Committed { head: sequence_of(committed.head), ..committed })
    }

    async fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> Result<Vec<LogEntry>> {
        let mut entries = self.store.read_log(partition, self.event(partition, after), limit, visibility).await?;
        for entry in &mut entries {
            assert_eq!(entry.position, self.event(partition, sequence_of(entry.position)), "an event of another epoch");
            entry.position = sequence_of(entry.position);
        }
        Ok(entries)
    }

    async fn begin_epoch(&self, partition: Partition, above: u64) -> Result<()> {
        let above = above.max(self.epoch(partition));
        self.store.begin_epoch(partition, above).await?;
        let begun = self.store.load(partition, &[]).await?;
        assert!(epoch_of(begun.log_end) > above, "a new epoch above {above}");
        self.learn(partition, epoch_of(begun.log_end), sequence_of(begun.log_end));
        Ok(())
    }
}
