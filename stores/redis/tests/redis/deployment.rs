//! Servers in every arrangement that the store knows, and how each of them crashes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use saga_store_redis::{OpenError, Options, Promise, RedisStore};
use test_servers::{Cluster, Kind, Sentinels, Server};

/// Some servers that hold the data of any number of services.
#[derive(Debug)]
pub(crate) enum Deployment {
    Single(Server),
    /// A primary, and its replica; after a crash the replica is the primary, and the other comes back as its replica.
    Pair(Box<[Server; 2]>),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Deployment {
    pub(crate) fn single(kind: Kind) -> Self {
        Self::Single(Server::start(kind, test_servers::Options::default()))
    }

    pub(crate) fn pair(kind: Kind) -> Self {
        let primary = Server::start(kind, test_servers::Options::default());
        let replica = Server::start(kind, test_servers::Options::replica_of(primary.port()));
        replica.wait_for_info("master_link_status", "up");
        Self::Pair(Box::new([primary, replica]))
    }

    pub(crate) fn sentinel(kind: Kind) -> Self {
        // Patient, for here a primary that is killed comes back: a failover is what other tests are about.
        let patience = Duration::from_secs(60);
        Self::Sentinel(Sentinels::start_patient(kind, 1, &test_servers::Options::default(), patience))
    }

    pub(crate) fn cluster(kind: Kind) -> Self {
        Self::Cluster(Cluster::start(kind, &test_servers::Options::default()))
    }

    fn url(&self) -> String {
        match self {
            Self::Single(server) => server.url(),
            Self::Pair(pair) => pair[0].url(),
            Self::Sentinel(group) => group.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    pub(crate) fn options(&self, service: &str, partitions: u16) -> Options {
        let mut options = Options::new(self.url(), service, partitions);
        if matches!(self, Self::Pair(_)) {
            options.promise = Promise::Replicated;
        }
        options
    }

    pub(crate) async fn open(&self, service: &str, partitions: u16) -> Result<RedisStore, OpenError> {
        RedisStore::open(self.options(service, partitions)).await
    }

    /// SIGKILL of what holds the data, and what gets them back.
    pub(crate) fn crash(&mut self) {
        match self {
            Self::Single(server) => server.restart(),
            Self::Sentinel(group) => {
                group.primary().restart();
                // Which makes the primary begin a new history, as far as clients can tell.
                group.primary().wait_for_info("connected_slaves", "1");
            }
            Self::Cluster(cluster) => cluster.primaries.iter_mut().for_each(Server::restart),
            Self::Pair(pair) => {
                pair[0].kill();
                let () = pair[1].ask(&["REPLICAOF", "NO", "ONE"]);
                pair.swap(0, 1);
                let [primary, replica] = pair.as_mut();
                replica.restart();
                let () = replica.ask(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
                primary.wait_for_info("connected_slaves", "1");
                replica.wait_for_info("master_link_status", "up");
            }
        }
    }
}

/// A service that no other test uses.
pub(crate) fn fresh_service() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("service-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
