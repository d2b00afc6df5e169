//! Which server to ask, and the connections to them.
//!
//! ```text
//!  slot ──▶ host ──▶ connection           looked up anew when a server is silent, read-only, or says "moved"
//!  single:    the one in the URL
//!  sentinel:  the one that the first sentinel to answer calls the primary; asked again every second
//!  cluster:   by the ranges of slots that the first node to answer tells
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use redis::{Cmd, FromRedisValue};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    address::{Address, Host},
    connection::Connection,
    connector::Connector,
    error::Failure,
    settings::Inspection,
};

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// A connection, and which one it is.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) host: Host,
    connection: Connection,
    number: u64,
    /// What was seen of it last.
    seen: Arc<RwLock<Seen>>,
}

struct Seen {
    inspection: Inspection,
    /// Whether it tells its settings.
    tells: bool,
}

impl Node {
    /// Asks a server that keeps the promise.
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Failure> {
        self.check()?;
        let answer = self.connection.ask(command).await;
        // What it said meanwhile is worth nothing, if it did not flush.
        self.check()?;
        answer
    }

    /// Whether the server kept the promise when it was last looked at.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.see(|seen| seen.inspection.unfit.clone()) {
            Some(reason) => Err(Failure::Unfit(reason)),
            None => Ok(()),
        }
    }

    pub(crate) fn waits_for_disks(&self) -> bool {
        self.see(|seen| seen.inspection.waits_for_disks)
    }

    /// Why it should be given no new work.
    pub(crate) fn full(&self) -> Option<String> {
        self.see(|seen| seen.inspection.full.clone())
    }

    /// Looks at the server's settings again. `flush`, sent to one that keeps the promise once more, makes what it answered
    /// meanwhile durable.
    async fn look_again(&mut self, connector: &Connector, flush: &[Cmd]) -> Result<(), Failure> {
        let (before, mut tells) = self.see(|seen| (seen.inspection.clone(), seen.tells));
        let inspection = connector.inspect(&mut self.connection, &self.host, before.has_file, &mut tells).await?;
        if before.unfit.is_some() && inspection.unfit.is_none() {
            for command in flush {
                match self.connection.ask::<redis::Value>(command).await {
                    // Nobody is shown anything of such a partition.
                    Ok(_) | Err(Failure::Torn(_)) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Seen { inspection, tells };
        self.check()
    }

    fn see<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All servers of one store.
pub(crate) struct Nodes {
    address: Address,
    connector: Connector,
    known: RwLock<Known>,
    /// Held while servers are looked for, so that one task does it for all that wait.
    search: Mutex<Search>,
}

#[derive(Default)]
struct Known {
    /// The first slot of each range and who serves it, sorted.
    ranges: Vec<(u16, Host)>,
    connections: HashMap<Host, Node>,
}

#[derive(Default)]
struct Search {
    connections_made: u64,
    /// When the last search failed, and how.
    failed: Option<(Instant, Failure)>,
}

impl Known {
    fn host_of(&self, slot: u16) -> Option<&Host> {
        let after = self.ranges.partition_point(|(first, _)| *first <= slot);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).map(|(_, host)| host)
    }

    fn node_of(&self, slot: u16) -> Option<Node> {
        self.connections.get(self.host_of(slot)?).cloned()
    }
}

impl Nodes {
    pub(crate) fn new(address: Address, connector: Connector) -> Self {
        Self { address, connector, known: RwLock::default(), search: Mutex::default() }
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.address, Address::Cluster { .. })
    }

    /// The server of a slot, connected to.
    pub(crate) async fn of(&self, slot: u16) -> Result<Node, Failure> {
        if let Some(node) = self.read(|known| known.node_of(slot)) {
            return Ok(node);
        }
        let asked = Instant::now();
        let mut search = self.search.lock().await;
        if let Some(node) = self.read(|known| known.node_of(slot)) {
            return Ok(node);
        }
        // Whoever waited for a search that failed has waited long enough.
        if let Some((failed, failure)) = &search.failed
            && *failed >= asked
        {
            return Err(failure.clone());
        }
        let found = self.find(slot, &mut search).await;
        if let Err(failure) = &found {
            search.failed = Some((Instant::now(), failure.clone()));
        }
        found
    }

    /// This connection is of no use any more, nor is what led to it.
    pub(crate) fn forget(&self, node: &Node) {
        self.write(|known| {
            if known.connections.get(&node.host).is_some_and(|current| current.number == node.number) {
                known.connections.remove(&node.host);
                known.ranges.clear();
            }
        });
    }

    /// Slots have moved.
    pub(crate) fn forget_ranges(&self) {
        self.write(|known| known.ranges.clear());
    }

    /// Where sentinels know: forgets the server if it is not the primary any more.
    pub(crate) async fn look_for_failover(&self) {
        let Address::Sentinel { sentinels, name } = &self.address else { return };
        let Some(current) = self.read(|known| known.host_of(0).cloned()) else { return };
        if let Ok(primary) = self.ask_sentinels(sentinels, name).await
            && primary != current
        {
            tracing::info!(from = ?current, to = ?primary, "Sentinel failover: connecting to the new primary");
            self.write(|known| {
                known.connections.remove(&current);
                known.ranges.clear();
            });
        }
    }

    /// Looks at the settings of the server of this slot, connected to or not.
    pub(crate) async fn inspect(&self, slot: u16, flush: &[Cmd]) -> Result<(), Failure> {
        let mut node = self.of(slot).await?;
        let looked = node.look_again(&self.connector, flush).await;
        if matches!(looked, Err(Failure::Lost(_))) {
            self.forget(&node);
        }
        looked
    }

    /// Why a server should be given no new work, if one should.
    pub(crate) fn full(&self) -> Option<String> {
        self.read(|known| known.connections.values().find_map(Node::full))
    }

    /// The one that serves the slot, as far as that is known.
    pub(crate) fn host_of(&self, slot: u16) -> Option<Host> {
        self.read(|known| known.host_of(slot).cloned())
    }

    async fn find(&self, slot: u16, search: &mut Search) -> Result<Node, Failure> {
        if self.read(|known| known.host_of(slot).is_none()) {
            let ranges = self.ranges().await?;
            self.write(|known| {
                // A connection to who serves nothing any more is not needed.
                known.connections.retain(|host, _| ranges.iter().any(|(_, serves)| serves == host));
                known.ranges = ranges;
            });
        }
        let host = self.read(|known| known.host_of(slot).cloned());
        let host = host.ok_or_else(|| Failure::Lost(format!("no server of the cluster serves slot {slot}")))?;
        if let Some(node) = self.read(|known| known.node_of(slot)) {
            return Ok(node);
        }
        let connected = self.connect(&host, search).await;
        let node = connected.inspect_err(|_| self.forget_ranges())?;
        self.write(|known| known.connections.insert(host, node.clone()));
        Ok(node)
    }

    async fn connect(&self, host: &Host, search: &mut Search) -> Result<Node, Failure> {
        let mut connection = self.connector.connect(host).await?;
        let mut tells = true;
        let inspection = self.connector.inspect(&mut connection, host, true, &mut tells).await?;
        search.connections_made += 1;
        let seen = Arc::new(RwLock::new(Seen { inspection, tells }));
        let node = Node { host: host.clone(), connection, number: search.connections_made, seen };
        node.check().map(|()| node)
    }

    async fn ranges(&self) -> Result<Vec<(u16, Host)>, Failure> {
        match &self.address {
            Address::Single { host, .. } => Ok(vec![(0, host.clone())]),
            Address::Sentinel { sentinels, name } => Ok(vec![(0, self.ask_sentinels(sentinels, name).await?)]),
            Address::Cluster { seeds } => self.ask_cluster(seeds).await,
        }
    }

    async fn ask_sentinels(&self, sentinels: &[Host], name: &str) -> Result<Host, Failure> {
        let mut reasons = Vec::new();
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        for sentinel in sentinels {
            match self.connector.ask_sentinel::<Option<Host>>(sentinel, &question).await {
                Ok(Some(host)) => return Ok(host),
                Ok(None) => {
                    let reason = format!("the sentinel at {}:{} watches no {name}", sentinel.0, sentinel.1);
                    reasons.push(Failure::Lost(reason));
                }
                Err(failure) => reasons.push(failure),
            }
        }
        Err(none("no sentinel knows a primary", reasons))
    }

    async fn ask_cluster(&self, seeds: &[Host]) -> Result<Vec<(u16, Host)>, Failure> {
        let mut reasons = Vec::new();
        // Those that were known last too, for the seeds may have left the cluster since.
        let known: Vec<Host> = self.read(|known| known.connections.keys().cloned().collect());
        for seed in seeds.iter().chain(&known) {
            match self.slots_as_seen_by(seed).await {
                Ok(ranges) => return Ok(ranges),
                Err(failure) => reasons.push(failure),
            }
        }
        Err(none("no node knows the cluster", reasons))
    }

    async fn slots_as_seen_by(&self, seed: &Host) -> Result<Vec<(u16, Host)>, Failure> {
        let mut connection = self.connector.connect(seed).await?;
        // First slot, last slot, then the primary's host, port and more; then the replicas.
        let rows: Vec<Vec<redis::Value>> = connection.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let mut ranges = Vec::with_capacity(rows.len());
        for row in rows {
            let [first, _, primary, ..] = row.as_slice() else {
                return Err(Failure::unexpected("CLUSTER SLOTS"));
            };
            let first: u16 = redis::from_redis_value_ref(first).map_err(redis::RedisError::from)?;
            let primary: Vec<redis::Value> = redis::from_redis_value_ref(primary).map_err(redis::RedisError::from)?;
            let (Some(name), Some(port)) = (primary.first(), primary.get(1)) else {
                return Err(Failure::unexpected("CLUSTER SLOTS"));
            };
            let name: Option<String> = redis::from_redis_value_ref(name).map_err(redis::RedisError::from)?;
            let port: u16 = redis::from_redis_value_ref(port).map_err(redis::RedisError::from)?;
            // A node that does not know its own name leaves it out: it is the one that was asked.
            let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| seed.0.clone());
            ranges.push((first, (name, port)));
        }
        ranges.sort_unstable();
        Ok(ranges)
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Nobody of those asked was of use. Where all of them refuse, waiting is of no use either.
fn none(what: &str, reasons: Vec<Failure>) -> Failure {
    let all_deny = reasons.iter().all(|failure| matches!(failure, Failure::Denied(_)));
    let texts: Vec<String> = reasons.into_iter().map(Failure::text).collect();
    let text = format!("{what}: {}", texts.join("; "));
    if all_deny { Failure::Denied(text) } else { Failure::Lost(text) }
}

/// The slot of all keys with this hash tag: CRC-16/XMODEM of it.
pub(crate) fn slot_of(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_servers_compute() {
        // The check value of the CRC, and what CLUSTER KEYSLOT answers.
        assert_eq!(slot_of("123456789"), 0x31C3 % SLOTS);
        assert_eq!(slot_of("b"), 3300);
        assert_eq!(slot_of("foo"), 12_182);
    }

    #[test]
    fn a_slot_belongs_to_the_range_that_begins_at_or_before_it() {
        let host = |port| ("node".to_owned(), port);
        let known = Known { ranges: vec![(0, host(1)), (5461, host(2)), (10_922, host(3))], ..Known::default() };
        let port = |slot| known.host_of(slot).map(|host| host.1);
        assert_eq!([0, 5460, 5461, 10_921, 16_383].map(port), [1, 1, 2, 2, 3].map(Some));
    }
}
