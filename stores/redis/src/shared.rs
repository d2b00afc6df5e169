//! What the handles of a store, its gate and whoever examines its data share: the servers, and how a partition's is called.

use std::{collections::HashSet, fmt, str::FromStr};

use redis::{Cmd, Value};
use saga::{
    Durability, Partition,
    store::{Error, Identity, Result, position::sequence_of},
};

use crate::{
    OpenError, Options,
    address::Url,
    connector::{Connector, check_service},
    error::Failure,
    gate::Gate,
    health::Health,
    keys::Keys,
    nodes::{Node, Nodes},
    reply,
};

/// How often a call is sent again whose first try was certainly not applied: functions to load, slots that moved, a new
/// epoch to begin; any of them can come after another.
const TRIES: u32 = 4;

/// The data of one service, and the way to them.
pub(crate) struct Core {
    pub(crate) service: String,
    pub(crate) partitions: Vec<Keys>,
    pub(crate) nodes: Nodes,
    pub(crate) identity: Identity,
    pub(crate) gate: Option<Gate>,
    /// What sequencers see.
    pub(crate) durability: Durability,
    pub(crate) health: Health,
}

impl Core {
    /// Without having asked a server anything.
    pub(crate) fn new(
        options: &Options,
        gate: Option<Gate>,
        adapt: impl FnOnce(Connector) -> Connector,
    ) -> Result<Self, OpenError> {
        check_service(&options.service)?;
        let url = Url::parse(&options.url)?;
        let connector = adapt(Connector::new(options, &url)?);
        let nodes = Nodes::new(url.address, connector);
        // The nodes of a cluster lose their tails one by one. So a commit must not be seen before it is durable, and waits
        // itself.
        let outward = gate.as_ref().filter(|_| !nodes.is_cluster());
        let durability = outward.map_or_else(Durability::immediate, |gate| gate.durability().clone());
        let partitions = (0..options.partitions).map(|partition| Keys::new(&options.service, partition)).collect();
        // Of data that are to be made, if they are.
        let identity = Identity::random().map_err(|error| OpenError::Options(format!("no randomness: {error}")))?;
        let (service, health) = (options.service.clone(), Health::default());
        Ok(Self { service, partitions, nodes, identity, gate, durability, health })
    }

    /// Sends a command of this partition to its server, which it must change at most once however often it is sent.
    pub(crate) async fn call(&self, keys: &Keys, command: &Cmd) -> Result<Value, Failure> {
        let mut tries = 1;
        loop {
            let mut node = self.nodes.of(keys.slot).await?;
            let failure = match node.ask(command).await {
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
    pub(crate) async fn call_at_home(&self, keys: &Keys, command: &Cmd) -> Result<Vec<Value>, Failure> {
        for _ in 0..TRIES {
            match self.call(keys, command).await? {
                Value::Array(values) => return Ok(values),
                Value::Int(0) => self.prepare(keys).await?,
                _ => return Err(Failure::unexpected("a function answered neither values nor 0")),
            }
        }
        Err(Failure::Refused("the primary changes all the time".to_owned()))
    }

    async fn load_functions(&self, node: &mut Node) -> Result<(), Failure> {
        let mut command = redis::cmd("FUNCTION");
        // Another process may be as fast; what it loaded is the same.
        command.arg("LOAD").arg("REPLACE").arg(include_str!("library.lua"));
        node.ask::<Value>(&command).await.map(drop)
    }

    /// Finds the data, or makes them: their description, each partition, and then the word that they are made. Where that is
    /// there, a partition that is missing is lost.
    pub(crate) async fn find_or_make(&mut self, partitions: Partition) -> Result<Option<String>, OpenError> {
        let keys = self.partitions.first().ok_or_else(|| OpenError::Options("no partition".to_owned()))?;
        let mine = Description { partitions, identity: self.identity, is_made: false };
        let mut found = self.call(keys, &keys.describe()).await?;
        if found == Value::Nil {
            // Only where there is none: it could not be done where memory is used up.
            let mut make = redis::cmd("SET");
            make.arg(keys.description()).arg(mine.to_string()).arg("NX").arg("GET");
            found = self.call(keys, &make).await?;
        }
        let description = self.described(found)?.unwrap_or(mine);
        if description.partitions != partitions {
            let (service, found) = (self.service.clone(), description.partitions);
            return Err(OpenError::Partitions { service, found, wanted: partitions });
        }
        self.identity = description.identity;
        let torn = self.prepare_all(!description.is_made).await?;
        if !description.is_made {
            let made = Description { is_made: true, ..description };
            let mut command = redis::cmd("SET");
            let keys = self.partitions.first().ok_or_else(|| OpenError::Options("no partition".to_owned()))?;
            self.call(keys, command.arg(keys.description()).arg(made.to_string())).await?;
        }
        Ok(torn)
    }

    /// What the description of the data says; `None` where there is none.
    fn described(&self, description: Value) -> Result<Option<Description>, OpenError> {
        let found = match description {
            Value::Nil => return Ok(None),
            Value::BulkString(found) => String::from_utf8_lossy(&found).into_owned(),
            _ => String::new(),
        };
        let parsed = found.parse();
        parsed.map(Some).map_err(|()| OpenError::Format { service: self.service.clone(), found })
    }

    /// How many partitions the description of the data says that there are; `None` where there is no description.
    pub(crate) fn partitions_in(&self, description: Value) -> Result<Option<Partition>, OpenError> {
        Ok(self.described(description)?.map(|description| description.partitions))
    }

    /// Begins a new epoch where the primary is another one than before, if the data are still these.
    pub(crate) async fn prepare(&self, keys: &Keys) -> Result<(), Failure> {
        self.call(keys, &keys.prepare(self.identity, false)).await.map(drop)
    }

    pub(crate) async fn watch(&self) {
        self.nodes.look_for_failover().await;
        let trouble = self.look().await.unwrap_or_else(|failure| Some(failure.text()));
        self.health.set(&self.service, trouble);
    }

    /// Looks at every server and every partition. Returns what is wrong with some of the partitions, if anything.
    async fn look(&self) -> Result<Option<String>, Failure> {
        let mut seen = HashSet::new();
        for keys in &self.partitions {
            let host = self.nodes.host_of(keys.slot);
            if host.as_ref().is_some_and(|host| seen.contains(host)) {
                continue;
            }
            // A server flushes all of its file at once, so a write to any partition will do; but where an epoch has to begin,
            // nothing else is written.
            let beside = self.partitions.iter().filter(|other| self.nodes.host_of(other.slot) == host);
            let flush: Vec<_> = beside.flat_map(|keys| [keys.prepare(self.identity, false), keys.fence(0)]).collect();
            // First: a server that breaks the promise is asked for nothing else, so nothing else would find it mended.
            self.nodes.inspect(keys.slot, &flush).await?;
            seen.extend(host);
        }
        self.prepare_all(false).await
    }

    /// Begins the new epoch after a failover, before anybody needs it. `making`: also makes the partitions that are not there.
    async fn prepare_all(&self, making: bool) -> Result<Option<String>, Failure> {
        let mut torn = Vec::new();
        for keys in &self.partitions {
            match self.call(keys, &keys.prepare(self.identity, making)).await {
                Ok(_) => {}
                Err(Failure::Torn(reason)) => torn.push(reason),
                Err(failure) => return Err(failure),
            }
        }
        Ok((!torn.is_empty()).then(|| torn.join("; ")))
    }

    /// The keys of a partition, while the store may be used.
    pub(crate) fn keys(&self, partition: Partition) -> Result<&Keys> {
        if let Some(reason) = self.gate.as_ref().and_then(|gate| gate.durability().poisoned()) {
            return Err(Error::Poisoned(reason.to_string()));
        }
        let keys = self.partitions.get(usize::from(partition));
        keys.ok_or_else(|| Error::Poisoned(format!("{} has no partition {partition}", self.service)))
    }

    /// Waits until what was written before is as durable as promised.
    pub(crate) async fn confirm(&self, partition: Partition, keys: &Keys) -> Result<()> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let snapshot = reply::snapshot(self.call_at_home(keys, &keys.load(&[])).await?)?;
        gate.wait_briefly(gate.note(partition, snapshot.head)).await
    }

    /// The position after which this head may be depended on.
    pub(crate) async fn position_of(&self, partition: Partition, head: u64) -> Result<u64> {
        let Some(gate) = self.gate.as_ref().filter(|_| sequence_of(head) > 0) else { return Ok(0) };
        let position = gate.note(partition, head);
        if self.nodes.is_cluster() {
            gate.wait_briefly(position).await?;
        }
        Ok(position)
    }
}

/// What the key that describes a service's data says.
#[derive(Clone, Copy)]
struct Description {
    partitions: Partition,
    identity: Identity,
    /// Every partition was made.
    is_made: bool,
}

const FORMAT: &str = "saga-store 3";

impl fmt::Display for Description {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partitions, identity, is_made } = self;
        let state = if *is_made { "made" } else { "being made" };
        write!(formatter, "{FORMAT} partitions {partitions} identity {identity} {state}")
    }
}

impl FromStr for Description {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix(" partitions ")).ok_or(())?;
        let (partitions, rest) = rest.split_once(" identity ").ok_or(())?;
        let (identity, state) = rest.split_once(' ').ok_or(())?;
        let partitions = partitions.parse().map_err(drop)?;
        let identity = identity.parse().map_err(drop)?;
        let description = Self { partitions, identity, is_made: state == "made" };
        // There is one way only to write each.
        if description.to_string() == text { Ok(description) } else { Err(()) }
    }
}
