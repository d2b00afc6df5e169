//! Three primaries that share the slots.

use std::{thread, time::Instant};

use crate::{Kind, Options, Server, process::POLL, server::TIMEOUT};

/// How many slots every cluster has.
const SLOTS: usize = 16_384;

/// How many primaries there are.
const PRIMARIES: usize = 3;

/// A cluster of three primaries with a third of the slots each, and none or one replica for each.
#[derive(Debug)]
pub struct Cluster {
    /// The primaries, in the order of their slots.
    pub primaries: Vec<Server>,
    /// The replicas, in the same order.
    pub replicas: Vec<Server>,
}

impl Cluster {
    /// Starts the servers and waits until each knows who serves what.
    ///
    /// # Panics
    /// They do not get there.
    #[must_use]
    pub fn start(kind: Kind, options: &Options) -> Self {
        let node = || Server::start(kind, Options { cluster: true, ..options.clone() });
        let primaries: Vec<Server> = (0..PRIMARIES).map(|_| node()).collect();
        for (index, primary) in primaries.iter().enumerate() {
            let (first, next) = (SLOTS * index / PRIMARIES, SLOTS * (index + 1) / PRIMARIES);
            let (first, last) = (first.to_string(), (next - 1).to_string());
            let () = primary.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            // Nodes that come together with the same epoch would have to sort that out first.
            let () = primary.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        }
        let cluster = Self { primaries, replicas: Vec::new() };
        cluster.meet();
        cluster
    }

    /// The same with a replica for each primary.
    ///
    /// # Panics
    /// They do not get there.
    #[must_use]
    pub fn start_with_replicas(kind: Kind, options: &Options) -> Self {
        let mut cluster = Self::start(kind, options);
        let node = || Server::start(kind, Options { cluster: true, ..options.clone() });
        cluster.replicas = (0..PRIMARIES).map(|_| node()).collect();
        cluster.meet();
        for (primary, replica) in cluster.primaries.iter().zip(&cluster.replicas) {
            let id: String = primary.ask(&["CLUSTER", "MYID"]);
            let () = replica.ask(&["CLUSTER", "REPLICATE", &id]);
            replica.wait_for_info("master_link_status", "up");
        }
        cluster
    }

    /// `redis-cluster://127.0.0.1:PORT,…`.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.primaries.iter().map(Server::address).collect();
        format!("redis-cluster://{}", addresses.join(","))
    }

    fn nodes(&self) -> impl Iterator<Item = &Server> {
        self.primaries.iter().chain(&self.replicas)
    }

    fn meet(&self) {
        let Some(first) = self.primaries.first() else { return };
        for node in self.nodes().skip(1) {
            let (port, bus_port) = (node.port().to_string(), node.bus_port().to_string());
            let () = first.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]);
        }
        let everybody = self.nodes().count().to_string();
        let deadline = Instant::now() + TIMEOUT;
        for node in self.nodes() {
            while !is_whole(node, &everybody) {
                assert!(Instant::now() < deadline, "the cluster does not come together:\n{}", node.log());
                thread::sleep(POLL * 4);
            }
        }
    }
}

fn is_whole(node: &Server, everybody: &str) -> bool {
    let info: String = node.ask(&["CLUSTER", "INFO"]);
    let says = |wanted: String| info.lines().any(|line| line == wanted);
    says("cluster_state:ok".to_owned()) && says(format!("cluster_known_nodes:{everybody}"))
}
