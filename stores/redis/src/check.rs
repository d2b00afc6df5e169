//! Looking at a service's data without serving it, and repairing a partition that contradicts itself.

use bytes::Bytes;
use redis::Value;
use saga::{
    Partition,
    store::{
        Error, Result,
        position::{epoch_of, sequence_of},
    },
};

use crate::{OpenError, Options, connector::Connector, error::Failure, keys::Keys, reply, shared::Core};

/// What has to be done with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: its keys agree.
    Whole,
    /// Its last commit is in the records and the log, and only `meta` does not have it: it can be finished.
    Finish,
    /// The log has events of a commit that is nowhere else, so nobody was told of it: they can be dropped.
    Drop,
    /// Events are gone that somebody may not have consumed yet. Only a copy or a replica of the database helps.
    Lost,
    /// Nothing says which of its keys is right. Only a copy or a replica of the database helps.
    Unknown,
}

/// What the keys of one partition say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What has to be done.
    pub verdict: Verdict,
    /// The epoch, by `meta`.
    pub epoch: u64,
    /// How many commits there were, by `meta`.
    pub head: u64,
    /// The number of the last event, by `meta`.
    pub end: u64,
    /// Epoch and number of the last event in the log.
    pub log_end: (u64, u64),
    /// The head and the end that are right, where that is known.
    pub right: (u64, u64),
}

/// The data of one service, looked at from outside. The services may go on meanwhile.
pub struct Examination {
    core: Core,
}

impl std::fmt::Debug for Examination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Examination").field("service", &self.core.service).finish_non_exhaustive()
    }
}

impl Examination {
    /// Opens the data of a service, whatever number of partitions they have and whatever the server's settings promise;
    /// `None` if there are none. Makes nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: Options) -> Result<Option<Self>, OpenError> {
        let mut core = Core::new(&Options { partitions: 1, ..options }, None, Connector::without_promise)?;
        let Some(first) = core.partitions.first() else { return Ok(None) };
        let description = core.call(first, &first.describe()).await?;
        let Some(count) = core.partitions_in(description)? else { return Ok(None) };
        core.partitions = (0..count).map(|partition| Keys::new(&core.service, partition)).collect();
        Ok(Some(Self { core }))
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> Partition {
        Partition::try_from(self.core.partitions.len()).expect("they were made from such a number")
    }

    /// Compares the keys of a partition.
    ///
    /// # Errors
    /// The server does not answer, or the partition lacks what there is no doing without.
    pub async fn state(&self, partition: Partition) -> Result<State> {
        self.ask(partition, false).await
    }

    /// Does what has to be done, if anything can, in one step; the services notice by themselves. Returns what was found
    /// before.
    ///
    /// # Errors
    /// As for [`Self::state`].
    pub async fn repair(&self, partition: Partition) -> Result<State> {
        self.ask(partition, true).await
    }

    async fn ask(&self, partition: Partition, is_wanted: bool) -> Result<State> {
        let keys = self.keys(partition)?;
        let answer = self.core.call(keys, &keys.repair(is_wanted)).await?;
        let (verdict, epoch, head, end, log_epoch, log_end, right_head, right_end): (
            String,
            u64,
            u64,
            u64,
            u64,
            u64,
            u64,
            u64,
        ) = redis::from_redis_value(answer).map_err(|error| Failure::unexpected(&error.to_string()))?;
        let verdict = match verdict.as_str() {
            "whole" => Verdict::Whole,
            "finish" => Verdict::Finish,
            "drop" => Verdict::Drop,
            "lost" => Verdict::Lost,
            _ => Verdict::Unknown,
        };
        Ok(State { verdict, epoch, head, end, log_end: (log_epoch, log_end), right: (right_head, right_end) })
    }

    /// Shows every record. One that changes meanwhile may be shown twice or in either state.
    ///
    /// # Errors
    /// The server does not answer, or not with records.
    pub async fn records(&self, partition: Partition, mut visit: impl FnMut(&Bytes, &Bytes) + Send) -> Result<()> {
        let keys = self.keys(partition)?;
        for residents in [false, true] {
            let mut cursor = 0;
            loop {
                let answer = self.core.call(keys, &keys.scan(residents, cursor)).await?;
                let (next, pairs): (u64, Vec<(Bytes, Bytes)>) =
                    redis::from_redis_value(answer).map_err(|error| Failure::unexpected(&error.to_string()))?;
                pairs.iter().for_each(|(key, value)| visit(key, value));
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Shows every event that the log holds, with its number.
    ///
    /// # Errors
    /// The server does not answer, or not with events.
    pub async fn events(&self, partition: Partition, mut visit: impl FnMut(u64, &Bytes) + Send) -> Result<()> {
        let keys = self.keys(partition)?;
        let mut after = "0-0".to_owned();
        loop {
            let Value::Array(page) = self.core.call(keys, &keys.entries(&after)).await? else {
                return Err(Failure::unexpected("XRANGE").into());
            };
            let page = reply::entries(page)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = format!("{}-{}", epoch_of(last.position), sequence_of(last.position));
            page.iter().for_each(|entry| visit(entry.position, &entry.event));
        }
    }

    fn keys(&self, partition: Partition) -> Result<&Keys> {
        let keys = self.core.partitions.get(usize::from(partition));
        keys.ok_or_else(|| Error::Failed(format!("{} has no partition {partition}", self.core.service)))
    }
}
