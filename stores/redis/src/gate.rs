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
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use redis::Value;
use saga::{
    Durability, Partition,
    store::{Error, Result, position::epoch_of},
};

use crate::{address::Host, connection::Connection, error::Failure, store::Core};

/// How long the server may wait for replicas in one go.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause after a round that failed doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long a call waits for the gate that has to. Then it has failed, and may be made again.
const CALL_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Gate {
    durability: Durability,
    replicas: u32,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    /// The position of the last note.
    position: u64,
    heads: Heads,
}

/// The highest head of each partition and epoch that was seen and not been fenced. One of a later epoch does not stand for
/// one of an earlier epoch, which may be lost.
type Heads = HashMap<(Partition, u64), u64>;

impl Noted {
    fn raise(&mut self, partition: Partition, head: u64) {
        let noted = self.heads.entry((partition, epoch_of(head))).or_default();
        *noted = head.max(*noted);
    }
}

impl Gate {
    pub(crate) fn new(replicas: u32) -> Self {
        Self { durability: Durability::new(0), replicas, noted: Mutex::default() }
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

    /// Starts the thread that opens the gate. It ends when the gate is closed.
    pub(crate) fn start(&self, core: &Arc<Core>) -> std::io::Result<()> {
        let (durability, replicas) = (self.durability.clone(), self.replicas);
        let (core, runtime) = (Arc::downgrade(core), tokio::runtime::Handle::current());
        let flusher = Flusher { core, replicas, connections: HashMap::new() };
        thread::Builder::new().name("redis-gate".to_owned()).spawn(move || flusher.run(&durability, &runtime)).map(drop)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Flusher {
    core: Weak<Core>,
    replicas: u32,
    /// Of its own, for WAITAOF keeps whatever else is sent on a connection waiting.
    connections: HashMap<Host, Connection>,
}

impl Flusher {
    fn run(mut self, durability: &Durability, runtime: &tokio::runtime::Handle) {
        let (mut flushed, mut pause) = (0, PAUSE.0);
        while let Some(wanted) = durability.wanted(flushed, PATIENCE) {
            let Some(core) = self.core.upgrade() else { return };
            let Some(gate) = core.gate() else { return };
            if wanted <= flushed {
                continue;
            }
            let Noted { position, heads } = {
                let mut noted = gate.noted();
                Noted { position: noted.position, heads: std::mem::take(&mut noted.heads) }
            };
            match runtime.block_on(self.fence(&core, &heads)) {
                Ok(()) => {
                    (flushed, pause) = (position, PAUSE.0);
                    durability.advance(position);
                }
                Err(Failure::Broken(reason)) => {
                    durability.poison(&reason);
                    return;
                }
                Err(failure) => {
                    tracing::warn!(service = core.service, error = %Error::from(failure), "commits cannot be confirmed now");
                    let mut noted = gate.noted();
                    heads.into_iter().for_each(|((partition, _), head)| noted.raise(partition, head));
                    drop(noted);
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Returns once every head is where it was promised to be.
    async fn fence(&mut self, core: &Core, heads: &Heads) -> Result<(), Failure> {
        let mut by_host: HashMap<Host, Vec<(Partition, u64)>> = HashMap::new();
        for ((partition, _), head) in heads {
            let Some(keys) = core.partitions.get(usize::from(*partition)) else { continue };
            let host = core.nodes.of(keys.slot).await?.host;
            by_host.entry(host).or_default().push((*partition, *head));
        }
        for (host, heads) in by_host {
            if !self.connections.contains_key(&host) {
                let connection = core.nodes.connector().connect_to_wait(&host, PATIENCE).await?;
                self.connections.insert(host.clone(), connection);
            }
            let Some(connection) = self.connections.get_mut(&host) else { continue };
            let fenced = fence_at(connection, core, &heads, self.replicas).await;
            if matches!(fenced, Err(Failure::Lost(_))) {
                self.connections.remove(&host);
            }
            if matches!(fenced, Err(Failure::Moved(_))) {
                core.nodes.forget_ranges();
            }
            fenced?;
        }
        Ok(())
    }
}

async fn fence_at(
    connection: &mut Connection,
    core: &Core,
    heads: &[(Partition, u64)],
    replicas: u32,
) -> Result<(), Failure> {
    let mut pipeline = redis::pipe();
    for (partition, head) in heads {
        if let Some(keys) = core.partitions.get(usize::from(*partition)) {
            pipeline.add_command(keys.fence(*head));
        }
    }
    let patience = PATIENCE.as_millis().to_string();
    // Asked by WAITAOF alone, a replica says what it had flushed before the fence came, and then nothing for a second. So it
    // is asked twice: when it answers for the second time it has flushed what it had received at the first.
    pipeline.cmd("WAIT").arg(replicas).arg(&patience);
    if connection.waits_for_disks {
        pipeline.ignore().cmd("WAITAOF").arg(1).arg(replicas).arg(&patience);
    }
    let mut answers: Vec<Value> = connection.ask_all(&pipeline).await?;
    let confirmed = match answers.pop() {
        Some(Value::Int(confirmed)) => confirmed >= i64::from(replicas),
        Some(Value::Array(counts)) => match counts.as_slice() {
            [Value::Int(here), Value::Int(there)] => *here >= 1 && *there >= i64::from(replicas),
            _ => return Err(Failure::unexpected("WAITAOF")),
        },
        _ => return Err(Failure::unexpected("WAIT")),
    };
    for ((partition, _), kept) in heads.iter().zip(answers) {
        if kept != Value::Int(1) {
            return Err(Failure::Broken(format!(
                "a failover lost commits of {}/{partition} that were not confirmed yet",
                core.service
            )));
        }
    }
    if confirmed { Ok(()) } else { Err(Failure::Refused(format!("fewer than {replicas} replicas confirm"))) }
}
