//! The redis store passes the suite that every store passes, on each kind of server and in each arrangement.

use std::time::Duration;

use saga::conformance::{CLAIMS, Differences, Effort, PARTITIONS, Reopen, Subject, run_all};
use test_servers::Kind;
use tokio::sync::Mutex;

use crate::{
    dense::Dense,
    deployment::{Deployment, fresh_service},
};

struct Servers {
    deployment: Mutex<Deployment>,
    /// The services of the stores handed out last, to open them again.
    service: Mutex<String>,
}

impl Servers {
    fn new(deployment: Deployment) -> Self {
        Self { deployment: Mutex::new(deployment), service: Mutex::default() }
    }

    async fn open(&self, epochs: Vec<Vec<(u64, u64)>>) -> Dense {
        let service = self.service.lock().await.clone();
        // A cluster whose nodes were all killed takes a moment to agree that it is whole.
        let mut tries = 0;
        let store = loop {
            match self.deployment.lock().await.open(&service, PARTITIONS).await {
                Ok(store) => break store,
                Err(error) if tries == 200 => panic!("cannot be opened: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            tries += 1;
        };
        Dense::over(store, PARTITIONS, epochs).await
    }
}

impl Subject for Servers {
    type Store = Dense;

    async fn fresh(&self) -> Dense {
        *self.service.lock().await = fresh_service();
        self.open(Vec::new()).await
    }

    async fn reopen(&self, store: Dense, how: Reopen) -> Dense {
        let epochs = store.epochs();
        drop(store);
        if how == Reopen::Crash {
            self.deployment.lock().await.crash();
        }
        self.open(epochs).await
    }

    async fn another_handle(&self, store: &Dense) -> Option<Dense> {
        Some(self.open(store.epochs()).await)
    }

    fn known_differences(&self) -> Differences {
        Differences { no_siblings: true, ..Differences::default() }
    }

    fn effort(&self) -> Effort {
        let effort = Effort::from_environment();
        // Every call is a flush of a disk, and every crash the start of a server; of a cluster, it takes over two seconds.
        Effort {
            histories: effort.histories.div_ceil(40),
            operations_max: 30,
            writers: 4,
            commits_per_writer: 20,
            claim_timeout: effort.claim_timeout * 4,
            ..effort
        }
    }
}

saga::conformance_tests!(on_valkey_8, Servers::new(Deployment::single(Kind::Valkey8)));
saga::conformance_tests!(on_redis_7_0, Servers::new(Deployment::single(Kind::Redis7)));

// The others take long to start, so each runs every claim on the same servers.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valkey_whose_replica_takes_over_passes_the_suite() {
    passes(Deployment::pair(Kind::Valkey8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_whose_replica_takes_over_passes_the_suite() {
    passes(Deployment::pair(Kind::Redis7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_behind_sentinels_pass_the_suite() {
    passes(Deployment::sentinel(Kind::Valkey8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_passes_the_suite() {
    passes(Deployment::cluster(Kind::Valkey8)).await;
}

async fn passes(deployment: Deployment) {
    let report = run_all(&Servers::new(deployment)).await;
    assert_eq!(report.violations().collect::<Vec<_>>(), []);
    assert_eq!(report.outcomes.len(), CLAIMS.len());
}
