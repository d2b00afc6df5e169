//! Stores with one flaw each, made of one without.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use saga::{
    Durability, Partition, Store,
    store::{Commit, Committed, Cursor, Error, Identity, LogEntry, Residents, Result, Snapshot, Visibility, Wrap},
};
use saga_store_memory::MemoryStore;

use super::Flaw;

/// A memory store, except for its flaw.
pub(crate) struct Mutant {
    pub(crate) flaw: Flaw,
    pub(crate) store: MemoryStore,
    /// Where some flaws keep a part of the data, so that it is lost separately.
    pub(crate) apart: MemoryStore,
    /// The gate, where it is not the one of `store`.
    pub(crate) gate: Option<Durability>,
    pub(crate) memory: Arc<Memory>,
    /// What this handle has loaded since it last committed, by partition and keys.
    pub(crate) cache: Mutex<HashMap<(Partition, Vec<Bytes>), Snapshot>>,
}

/// What a flaw remembers across handles and crashes.
#[derive(Default)]
pub(crate) struct Memory {
    /// Counts the commits, where a mutant has positions of its own.
    pub(crate) position: AtomicU64,
    pub(crate) reopenings: AtomicU64,
    /// The last value of each record removed.
    removed: Mutex<HashMap<(Partition, Bytes), Bytes>>,
    /// The highest trim asked for, or the last one.
    trims: Mutex<HashMap<Partition, u64>>,
}

impl Wrap for Mutant {
    type Within = MemoryStore;

    fn within(&self) -> &MemoryStore {
        &self.store
    }

    async fn load(&self, partition: Partition, keys: &[Bytes]) -> Result<Snapshot> {
        let partition = self.partition(partition);
        let mut snapshot = self.part(partition).load(partition, keys).await?;
        match self.flaw {
            Flaw::AnswersInTheOrderOfKeys => {
                let mut sorted = keys.to_vec();
                sorted.sort();
                snapshot = self.store.load(partition, &sorted).await?;
            }
            Flaw::LosesEmptyValues => {
                snapshot
                    .records
                    .iter_mut()
                    .for_each(|record| *record = record.take().filter(|value| !value.is_empty()));
            }
            Flaw::LoadsHeadAndRecordsSeparately => {
                tokio::task::yield_now().await;
                snapshot.records = self.store.load(partition, keys).await?.records;
            }
            Flaw::ForgetsWhereAnEmptyLogEnded => {
                let log = self.store.read_log(partition, 0, usize::MAX, Visibility::Committed).await?;
                snapshot.log_end = log.last().map_or(0, |last| last.position);
            }
            Flaw::SaysThatSnapshotsDependOnNothing => snapshot.position = 0,
            Flaw::StartsAtHeadOne => snapshot.head += 1,
            Flaw::TrustsItsCache => {
                let key = (partition, keys.to_vec());
                snapshot = lock(&self.cache).entry(key).or_insert(snapshot).clone();
            }
            Flaw::BringsBackRemovedRecords if self.memory.reopenings.load(Ordering::Relaxed) > 0 => {
                let removed = lock(&self.memory.removed);
                for (key, record) in keys.iter().zip(&mut snapshot.records) {
                    *record = record.take().or_else(|| removed.get(&(partition, key.clone())).cloned());
                }
            }
            Flaw::KeepsTheLogApart => snapshot.log_end = self.apart.load(partition, &[]).await?.log_end,
            Flaw::LosesPartitionsSeparately => snapshot.position = self.memory.position.load(Ordering::Relaxed),
            _ => {}
        }
        Ok(snapshot)
    }

    async fn residents(&self, partition: Partition) -> Result<Residents> {
        let partition = self.partition(partition);
        let mut residents = self.part(partition).residents(partition).await?;
        match self.flaw {
            Flaw::OmitsAResident => drop(residents.records.pop()),
            Flaw::ReadsHeadAndResidentsSeparately => {
                tokio::task::yield_now().await;
                residents.records = self.store.residents(partition).await?.records;
            }
            Flaw::StartsAtHeadOne => residents.head += 1,
            _ => {}
        }
        Ok(residents)
    }

    async fn commit(&self, partition: Partition, mut commit: Commit) -> Result<Committed> {
        let partition = self.partition(partition);
        lock(&self.cache).retain(|(cached, _), _| *cached != partition);
        self.spoil(partition, &mut commit).await?;
        if self.flaw == Flaw::CountsNoEmptyCommits && is_empty(&commit) {
            let snapshot = self.store.load(partition, &[]).await?;
            let head = snapshot.head + 1;
            return Ok(Committed { head, position: snapshot.position });
        }
        let answer = self.part(partition).commit(partition, commit.clone()).await;
        if matches!(answer, Err(Error::Conflict)) {
            self.apply_in_spite(partition, commit).await?;
            return answer;
        }
        let mut committed = answer?;
        match self.flaw {
            Flaw::RaisesTheHeadByTwo => {
                let again = Commit { expected_head: committed.head, ..Commit::default() };
                committed = self.store.commit(partition, again).await?;
            }
            Flaw::StartsAtHeadOne => committed.head += 1,
            Flaw::SaysNoPosition if committed.head.is_multiple_of(2) => committed.position = 0,
            Flaw::LosesPartitionsSeparately => {
                committed.position = self.memory.position.fetch_add(1, Ordering::Relaxed) + 1;
            }
            _ => {}
        }
        Ok(committed)
    }

    async fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> Result<Vec<LogEntry>> {
        let partition = self.partition(partition);
        let (after, limit, visibility) = match self.flaw {
            Flaw::ShowsEventsBeforeTheyAreDurable => (after, limit, Visibility::Committed),
            Flaw::ReadsOneTooMany => (after, limit + 1, visibility),
            Flaw::ReadsFromThePositionOn => (after.saturating_sub(1), limit, visibility),
            _ => (after, limit, visibility),
        };
        let part = if self.flaw == Flaw::KeepsTheLogApart { &self.apart } else { self.part(partition) };
        let mut entries = part.read_log(partition, after, limit, visibility).await?;
        match self.flaw {
            Flaw::NeverShowsEventsAsDurable if visibility == Visibility::Durable => entries.clear(),
            Flaw::NumbersWhatIsLeft => {
                entries.iter_mut().zip(after + 1..).for_each(|(entry, position)| entry.position = position);
            }
            Flaw::ReadsBackwards => entries.reverse(),
            Flaw::SkipsAnEvent if entries.len() > 2 => drop(entries.remove(1)),
            Flaw::TrimsWhatIsAppendedLater | Flaw::MovesTrimsBack => {
                let trim = lock(&self.memory.trims).get(&partition).copied().unwrap_or_default();
                entries.retain(|entry| entry.position > trim);
            }
            _ => {}
        }
        Ok(entries)
    }

    async fn begin_epoch(&self, partition: Partition, above: u64) -> Result<()> {
        if self.flaw == Flaw::EmptiesTheLogForAnEpoch {
            let expected_head = self.store.load(partition, &[]).await?.head;
            let commit = Commit { expected_head, trim: u64::MAX, ..Commit::default() };
            self.store.commit(partition, commit).await?;
        }
        self.part(partition).begin_epoch(partition, above).await
    }

    fn identity(&self) -> Identity {
        match self.flaw {
            Flaw::HasOneIdentityForAllData => Identity::from_bits(7),
            Flaw::IsOtherDataWhenReopened => {
                Identity::from_bits(self.store.identity().to_bits() ^ self.memory.reopenings.load(Ordering::Relaxed))
            }
            _ => self.store.identity(),
        }
    }

    async fn bound_to(&self, peer: &str, met: Option<Identity>) -> Result<Option<Identity>> {
        if self.flaw == Flaw::BindsToTheLastThatAreMet && met.is_some() {
            self.store.unbind(peer).await?;
        }
        self.store.bound_to(peer, met).await
    }

    async fn unbind(&self, peer: &str) -> Result<()> {
        if self.flaw == Flaw::TakesNoBondBack { Ok(()) } else { self.store.unbind(peer).await }
    }

    fn durability(&self) -> &Durability {
        self.gate.as_ref().unwrap_or_else(|| self.store.durability())
    }
}

impl Mutant {
    fn partition(&self, partition: Partition) -> Partition {
        match self.flaw {
            Flaw::FoldsPartitions => partition % 2,
            _ => partition,
        }
    }

    /// Where the data of a partition are.
    fn part(&self, partition: Partition) -> &MemoryStore {
        match self.flaw {
            Flaw::LosesPartitionsSeparately if partition % 2 == 1 => &self.apart,
            _ => &self.store,
        }
    }

    /// Does to a commit, before it is made, what the flaw does.
    async fn spoil(&self, partition: Partition, commit: &mut Commit) -> Result<()> {
        match self.flaw {
            Flaw::IgnoresTheHead => commit.expected_head = self.store.load(partition, &[]).await?.head,
            Flaw::AcceptsNewerHeads => {
                commit.expected_head = commit.expected_head.min(self.store.load(partition, &[]).await?.head);
            }
            Flaw::StartsAtHeadOne => {
                commit.expected_head = commit.expected_head.checked_sub(1).ok_or(Error::Conflict)?
            }
            Flaw::LosesCursors => commit.cursors.truncate(1),
            Flaw::CountsCursorsByService => commit.cursors.iter_mut().for_each(forget_partition),
            Flaw::AppliesHalfOfTheWrites => commit.writes.truncate(commit.writes.len().div_ceil(2)),
            Flaw::DropsWritesBeyondAThousand => commit.writes.truncate(1_000),
            Flaw::RemovesNothing => commit.writes.retain(|write| write.value.is_some()),
            Flaw::IgnoresTrims => commit.trim = 0,
            Flaw::TrimsOneTooMany if commit.trim > 0 => commit.trim += 1,
            Flaw::CutsKeysAtNul => commit.writes.iter_mut().for_each(|write| cut_at_nul(&mut write.key)),
            Flaw::CutsLargeValues => {
                commit
                    .writes
                    .iter_mut()
                    .filter_map(|write| write.value.as_mut())
                    .for_each(|value| value.truncate(65_535));
            }
            Flaw::DropsEmptyEvents => commit.events.retain(|event| !event.is_empty()),
            Flaw::TrimsWhatIsAppendedLater => {
                let mut trims = lock(&self.memory.trims);
                let trim = trims.entry(partition).or_default();
                *trim = commit.trim.max(*trim);
            }
            Flaw::MovesTrimsBack if commit.trim > 0 => {
                lock(&self.memory.trims).insert(partition, std::mem::take(&mut commit.trim));
            }
            Flaw::BringsBackRemovedRecords => self.remember_removed(partition, commit).await?,
            Flaw::KeepsTheLogApart => self.append_apart(partition, commit).await?,
            _ => {}
        }
        Ok(())
    }

    /// Applies a part of a commit that has lost, where that is the flaw.
    async fn apply_in_spite(&self, partition: Partition, lost: Commit) -> Result<()> {
        let head = self.store.load(partition, &[]).await?.head;
        let nothing = Commit { expected_head: head, ..Commit::default() };
        let in_spite = match self.flaw {
            Flaw::AppendsEventsOfTheLoser => Commit { events: lost.events, ..nothing },
            Flaw::MovesCursorsOfTheLoser => Commit { cursors: lost.cursors, ..nothing },
            _ => return Ok(()),
        };
        self.store.commit(partition, in_spite).await.map(drop)
    }

    async fn remember_removed(&self, partition: Partition, commit: &Commit) -> Result<()> {
        let keys: Vec<Bytes> = commit.writes.iter().map(|write| write.key.clone()).collect();
        let records = self.store.load(partition, &keys).await?.records;
        let mut removed = lock(&self.memory.removed);
        for (write, record) in commit.writes.iter().zip(records) {
            match (&write.value, record) {
                (None, Some(value)) => drop(removed.insert((partition, write.key.clone()), value)),
                (Some(_), _) => drop(removed.remove(&(partition, write.key.clone()))),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Commits the events, which then are missing in `commit`, where they are kept apart.
    async fn append_apart(&self, partition: Partition, commit: &mut Commit) -> Result<()> {
        if self.store.load(partition, &[]).await?.head != commit.expected_head {
            return Err(Error::Conflict);
        }
        let events = Commit {
            expected_head: self.apart.load(partition, &[]).await?.head,
            events: std::mem::take(&mut commit.events),
            trim: std::mem::take(&mut commit.trim),
            ..Commit::default()
        };
        self.apart.commit(partition, events).await.map(drop)
    }
}

fn is_empty(commit: &Commit) -> bool {
    commit.writes.is_empty() && commit.events.is_empty() && commit.cursors.is_empty()
}

fn forget_partition(cursor: &mut Cursor) {
    cursor.log.partition = 0;
}

fn cut_at_nul(key: &mut Bytes) {
    if let Some(end) = key.iter().position(|byte| *byte == 0) {
        key.truncate(end);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no mutant panics")
}
