//! The thread that opens a [`Gate`]: it asks replicas whether they have what was noted there.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use redis::Value;
use saga::{Durability, Partition};
use tokio::runtime::Handle;

use crate::{
    address::Host,
    connection::Connection,
    error::Failure,
    gate::{Gate, Heads, Noted},
    nodes::Node,
    shared::Core,
};

/// How long the server may wait for replicas in one go.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause after a round that failed doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Confirms what a gate noted, and opens it.
pub(crate) struct Flusher {
    core: Weak<Core>,
    replicas: u32,
    /// Of its own, for WAITAOF keeps whatever else is sent on a connection waiting.
    connections: HashMap<Host, Connection>,
}

impl Flusher {
    /// Starts the thread that opens the gate of `core`. It ends when the gate is closed.
    pub(crate) fn start(gate: &Gate, core: &Arc<Core>) -> std::io::Result<()> {
        let (durability, replicas) = (gate.durability().clone(), gate.replicas);
        let (core, runtime) = (Arc::downgrade(core), Handle::current());
        let flusher = Self { core, replicas, connections: HashMap::new() };
        thread::Builder::new().name("redis-gate".to_owned()).spawn(move || flusher.run(&durability, &runtime)).map(drop)
    }

    fn run(mut self, durability: &Durability, runtime: &Handle) {
        let (mut flushed, mut pause) = (0, PAUSE.0);
        while let Some(wanted) = durability.wanted(flushed, PATIENCE) {
            let Some(core) = self.core.upgrade() else { return };
            let Some(gate) = &core.gate else { return };
            if wanted <= flushed {
                continue;
            }
            let Noted { position, heads } = gate.take();
            match runtime.block_on(self.fence(&core, &heads)) {
                Ok(()) => {
                    (flushed, pause) = (position, PAUSE.0);
                    durability.advance(position);
                    gate.health.set(&core.service, None);
                }
                Err(Failure::Broken(reason)) => {
                    durability.poison(&reason);
                    return;
                }
                Err(failure) => {
                    gate.health.set(&core.service, Some(format!("commits cannot be confirmed: {}", failure.text())));
                    gate.give_back(heads);
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Returns once every head is where it was promised to be.
    async fn fence(&mut self, core: &Core, heads: &Heads) -> Result<(), Failure> {
        let mut by_host: HashMap<Host, (Node, Vec<(Partition, u64)>)> = HashMap::new();
        for ((partition, _), head) in heads {
            let Some(keys) = core.partitions.get(usize::from(*partition)) else { continue };
            let node = core.nodes.of(keys.slot).await?;
            node.check()?;
            let entry = by_host.entry(node.host.clone()).or_insert_with(|| (node, Vec::new()));
            entry.1.push((*partition, *head));
        }
        for (host, (node, heads)) in by_host {
            if !self.connections.contains_key(&host) {
                let connection = core.nodes.connector().connect_to_wait(&host, PATIENCE).await?;
                self.connections.insert(host.clone(), connection);
            }
            let Some(connection) = self.connections.get_mut(&host) else { continue };
            let fenced = fence_at(connection, node.waits_for_disks(), core, &heads, self.replicas).await;
            if matches!(fenced, Err(Failure::Lost(_))) {
                self.connections.remove(&host);
            }
            if matches!(fenced, Err(Failure::Moved(_))) {
                core.nodes.forget_ranges();
            }
            fenced?;
            node.check()?;
        }
        Ok(())
    }
}

async fn fence_at(
    connection: &mut Connection,
    waits_for_disks: bool,
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
    if waits_for_disks {
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
        if kept == Value::Int(2) {
            if let Some(keys) = core.partitions.get(usize::from(*partition)) {
                core.prepare(keys).await?;
            }
            return Err(Failure::Refused("another server is the primary now".to_owned()));
        }
        if kept != Value::Int(1) {
            return Err(Failure::Broken(format!(
                "a failover lost commits of {}/{partition} that were not confirmed yet",
                core.service
            )));
        }
    }
    if confirmed { Ok(()) } else { Err(Failure::Refused(format!("fewer than {replicas} replicas confirm"))) }
}
