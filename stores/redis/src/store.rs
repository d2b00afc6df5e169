//! The store: what each method of the port asks the server to do.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::Value;
use saga::{
    Durability, Partition, Store,
    store::{
        Commit, Committed, Error, Identity, LogEntry, Residents, Result, Snapshot, Visibility,
        position::{epoch_of, position, sequence_of},
    },
};

use crate::{OpenError, Options, Promise, error::Failure, flusher::Flusher, gate::Gate, reply, shared::Core};

/// How often it is looked whether the server answers, and whether the sentinels name another one.
const WATCH: Duration = Duration::from_secs(1);

/// A service's data on Valkey or Redis; clones share the connections.
#[derive(Clone)]
pub struct RedisStore {
    core: Arc<Core>,
    /// Ends the gate's flusher with the last clone.
    _life: Arc<Life>,
}

struct Life {
    core: Arc<Core>,
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(gate) = &self.core.gate {
            gate.close();
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisStore")
            .field("service", &self.core.service)
            .field("partitions", &self.core.partitions.len())
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Opens the data of a service, or makes them if there are none.
    ///
    /// Must be called on a tokio runtime, which keeps the connections alive.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        if options.partitions == 0 {
            return Err(OpenError::Options("a service needs at least one partition".to_owned()));
        }
        if options.promise == Promise::Replicated && options.replicas == 0 {
            return Err(OpenError::Options("durability replicated needs at least one replica".to_owned()));
        }
        let gate = (options.promise == Promise::Replicated).then(|| Gate::new(options.replicas));
        let mut core = Core::new(&options, gate, |connector| connector)?;
        let torn = core.find_or_make(options.partitions).await?;
        core.health.set(&core.service, torn);
        let core = Arc::new(core);
        if let Some(gate) = &core.gate {
            Flusher::start(gate, &core)
                .map_err(|error| OpenError::Options(format!("no thread for the gate: {error}")))?;
        }
        let watched = Arc::downgrade(&core);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WATCH).await;
                let Some(core) = watched.upgrade() else { return };
                core.watch().await;
            }
        });
        Ok(Self { _life: Arc::new(Life { core: Arc::clone(&core) }), core })
    }

    /// What keeps the store from working, as of a second ago. Does not wait. It is tried again all the time, and `None` once it
    /// works again.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.core.health.trouble().or_else(|| self.core.gate.as_ref()?.health.trouble())
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

impl Store for RedisStore {
    async fn load(&self, partition: Partition, wanted: &[Bytes]) -> Result<Snapshot> {
        let keys = self.core.keys(partition)?;
        let values = self.core.call_at_home(keys, &keys.load(wanted)).await?;
        let mut snapshot = reply::snapshot(values)?;
        snapshot.position = self.core.position_of(partition, snapshot.head).await?;
        Ok(snapshot)
    }

    async fn residents(&self, partition: Partition) -> Result<Residents> {
        let keys = self.core.keys(partition)?;
        reply::residents(self.core.call_at_home(keys, &keys.residents()).await?).map_err(Error::from)
    }

    async fn commit(&self, partition: Partition, commit: Commit) -> Result<Committed> {
        let keys = self.core.keys(partition)?;
        let expected = commit.expected_head;
        let head = position(epoch_of(expected), sequence_of(expected) + 1);
        let head = head.ok_or_else(|| Error::Poisoned("a partition has had too many commits".to_owned()))?;
        match self.core.call(keys, &keys.commit(&commit)).await? {
            Value::Int(1) => Ok(Committed { head, position: self.core.position_of(partition, head).await? }),
            Value::Int(0) => Err(Error::Conflict),
            _ => Err(Failure::unexpected("a commit was answered neither 1 nor 0").into()),
        }
    }

    async fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> Result<Vec<LogEntry>> {
        let keys = self.core.keys(partition)?;
        let values = self.core.call_at_home(keys, &keys.read(after, limit)).await?;
        let (head, entries) = reply::log(values, after, limit)?;
        if visibility == Visibility::Durable
            && !entries.is_empty()
            && let Some(gate) = &self.core.gate
        {
            gate.wait_briefly(gate.note(partition, head)).await?;
        }
        Ok(entries)
    }

    async fn begin_epoch(&self, partition: Partition, above: u64) -> Result<()> {
        let keys = self.core.keys(partition)?;
        self.core.call_at_home(keys, &keys.begin_epoch(above)).await?;
        self.core.confirm(partition, keys).await
    }

    fn identity(&self) -> Identity {
        self.core.identity
    }

    async fn bound_to(&self, peer: &str, met: Option<Identity>) -> Result<Option<Identity>> {
        let keys = self.core.keys(0)?;
        let is_new = match met {
            Some(met) => self.core.call(keys, &keys.bind(peer, met)).await? == Value::Int(1),
            None => false,
        };
        let bound = match self.core.call(keys, &keys.bound_to(peer)).await? {
            Value::Nil => None,
            value => Some(reply::identity(value)?),
        };
        if is_new {
            self.core.confirm(0, keys).await?;
        }
        Ok(bound)
    }

    async fn unbind(&self, peer: &str) -> Result<()> {
        let keys = self.core.keys(0)?;
        self.core.call(keys, &keys.unbind(peer)).await?;
        self.core.confirm(0, keys).await
    }

    fn durability(&self) -> &Durability {
        &self.core.durability
    }

    fn room(&self) -> Result<(), String> {
        self.core.nodes.full().map_or(Ok(()), Err)
    }
}
