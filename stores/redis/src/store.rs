//! The store: what each method of the port asks the server to do.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use redis::{Cmd, Value};
use saga::{
    Durability, Partition, Store,
    store::{
        Commit, Committed, Error, LogEntry, Residents, Result, Snapshot, Visibility,
        position::{epoch_of, position, sequence_of},
    },
};

use crate::{
    OpenError, Options, Promise,
    address::Address,
    connection::{Connector, check_service},
    error::Failure,
    gate::Gate,
    keys::Keys,
    nodes::{Node, Nodes},
    reply,
};

/// How often it is looked whether the server answers, and whether the sentinels name another one.
const WATCH: Duration = Duration::from_secs(1);

/// How often a call is sent again whose first try was certainly not applied: functions to load, slots that moved, a new
/// epoch to begin; any of them can come after another.
const TRIES: u32 = 4;

/// A service's data on Valkey or Redis; clones share the connections.
#[derive(Clone)]
pub struct RedisStore {
    core: Arc<Core>,
    /// Ends the gate's flusher with the last clone.
    _life: Arc<Life>,
}

pub(crate) struct Core {
    pub(crate) service: String,
    pub(crate) partitions: Vec<Keys>,
    pub(crate) nodes: Nodes,
    gate: Option<Gate>,
    /// What sequencers see.
    durability: Durability,
    answers: AtomicBool,
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
        check_service(&options.service)?;
        if options.partitions == 0 {
            return Err(OpenError::Options("a service needs at least one partition".to_owned()));
        }
        if options.promise == Promise::Replicated && options.replicas == 0 {
            return Err(OpenError::Options("durability replicated needs at least one replica".to_owned()));
        }
        let address = Address::parse(&options.url)?;
        let database = if let Address::Single { database, .. } = &address { *database } else { 0 };
        let nodes = Nodes::new(address, Connector::new(&options, database));
        let gate = (options.promise == Promise::Replicated).then(|| Gate::new(options.replicas));
        // The nodes of a cluster lose their tails one by one. So a commit must not be seen before it is durable, and waits
        // itself.
        let outward = gate.as_ref().filter(|_| !nodes.is_cluster());
        let durability = outward.map_or_else(Durability::immediate, |gate| gate.durability().clone());
        let partitions = (0..options.partitions).map(|partition| Keys::new(&options.service, partition)).collect();
        let core =
            Core { service: options.service, partitions, nodes, gate, durability, answers: AtomicBool::new(true) };
        core.agree_on_format(options.partitions).await?;
        for keys in &core.partitions {
            core.call(keys, &keys.prepare()).await?;
        }
        let core = Arc::new(core);
        if let Some(gate) = &core.gate {
            gate.start(&core).map_err(|error| OpenError::Options(format!("no thread for the gate: {error}")))?;
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

    /// Whether the servers of all partitions answered when they were last asked, at most some seconds ago. Does not wait.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.core.answers.load(Ordering::Acquire)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

impl Core {
    /// Sends a command of this partition to its server, which it must change at most once however often it is sent.
    pub(crate) async fn call(&self, keys: &Keys, command: &Cmd) -> Result<Value, Failure> {
        let mut tries = 1;
        loop {
            let mut node = self.nodes.of(keys.slot).await?;
            let failure = match node.connection.ask(command).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            match &failure {
                _ if tries == TRIES => return Err(failure),
                Failure::NoFunction => self.load_functions(&mut node).await?,
                Failure::Moved(_) => self.nodes.forget_ranges(),
                Failure::Lost(_) => {
                    self.nodes.forget(&node);
                    return Err(failure);
                }
                _ => return Err(failure),
            }
            tries += 1;
        }
    }

    /// Like `call`, for functions that answer 0 where the partition's epoch has to be begun first.
    async fn call_at_home(&self, keys: &Keys, command: &Cmd) -> Result<Vec<Value>, Failure> {
        for _ in 0..TRIES {
            match self.call(keys, command).await? {
                Value::Array(values) => return Ok(values),
                Value::Int(0) => drop(self.call(keys, &keys.prepare()).await?),
                _ => return Err(Failure::unexpected("a function answered neither values nor 0")),
            }
        }
        Err(Failure::Refused("the primary changes all the time".to_owned()))
    }

    async fn load_functions(&self, node: &mut Node) -> Result<(), Failure> {
        let mut command = redis::cmd("FUNCTION");
        // Another process may be as fast; what it loaded is the same.
        command.arg("LOAD").arg("REPLACE").arg(include_str!("library.lua"));
        node.connection.ask::<Value>(&command).await.map(drop)
    }

    /// Writes down what the data look like, or compares it with what is written there.
    async fn agree_on_format(&self, partitions: Partition) -> Result<(), OpenError> {
        let keys = self.partitions.first().ok_or_else(|| OpenError::Options("no partition".to_owned()))?;
        let mut command = redis::cmd("SET");
        command.arg(keys.description()).arg(format!("saga-store 2 partitions {partitions}")).arg("NX").arg("GET");
        let found = match self.call(keys, &command).await? {
            Value::Nil => return Ok(()),
            Value::BulkString(found) => String::from_utf8_lossy(&found).into_owned(),
            _ => String::new(),
        };
        let count = found.strip_prefix("saga-store 2 partitions ").and_then(|count| count.parse().ok());
        match count {
            Some(count) if count == partitions => Ok(()),
            Some(count) => {
                Err(OpenError::Partitions { service: self.service.clone(), found: count, wanted: partitions })
            }
            None => Err(OpenError::Format { service: self.service.clone(), found }),
        }
    }

    async fn watch(&self) {
        self.nodes.look_for_failover().await;
        let mut answers = true;
        for keys in &self.partitions {
            // Which also begins the new epoch after a failover, before anybody needs it.
            answers = answers && self.call(keys, &keys.prepare()).await.is_ok();
        }
        self.answers.store(answers, Ordering::Release);
    }

    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// The keys of a partition, while the store may be used.
    fn keys(&self, partition: Partition) -> Result<&Keys> {
        if let Some(reason) = self.gate.as_ref().and_then(|gate| gate.durability().poisoned()) {
            return Err(Error::Poisoned(reason.to_string()));
        }
        let keys = self.partitions.get(usize::from(partition));
        keys.ok_or_else(|| Error::Poisoned(format!("{} has no partition {partition}", self.service)))
    }

    /// The position after which this head may be depended on.
    async fn position_of(&self, partition: Partition, head: u64) -> Result<u64> {
        let Some(gate) = self.gate.as_ref().filter(|_| sequence_of(head) > 0) else { return Ok(0) };
        let position = gate.note(partition, head);
        if self.nodes.is_cluster() {
            gate.wait_briefly(position).await?;
        }
        Ok(position)
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

    fn durability(&self) -> &Durability {
        &self.core.durability
    }
}
