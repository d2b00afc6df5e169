//! The three services as processes of their own, two replicas each, every one with its database, behind the gateway that
//! ships: real servers on loopback, and ways between them that can be cut.
//!
//! ```text
//!   nginx ─▶ order ×2 ─▶ way ─▶ order's Valkey          every service's internal address, and every database,
//!         ─▶ stock ×2 ─▶ way ─▶ stock's Valkey          is behind a way of its own
//!         ─▶ payment ×2 ─▶ way ─▶ payment's Valkey
//! ```

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use test_servers::{Gateway, Kind, Options, Process, Proxy, Server as Database, free_port};
use tokio::time::sleep;

use crate::{Client, Shop, binary};

/// The services, in the order in which everything here is kept.
pub const SERVICES: [&str; 3] = ["order", "stock", "payment"];

/// Replicas of each.
pub const REPLICAS: usize = 2;

/// Partitions of each service, unless a test wants another number.
const PARTITIONS: u16 = 4;

/// How long all of it may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// One process of a service.
#[derive(Debug)]
pub struct Replica {
    /// Which service it is of.
    pub service: usize,
    public: u16,
    operators: u16,
    internal: u16,
    /// The way on which the others reach it.
    pub way: Proxy,
    /// Where it looks for the other services; `None`: where they are.
    pub peers: Option<String>,
    log: PathBuf,
    process: Option<Process>,
}

impl Replica {
    fn new(service: usize, directory: &Path, index: usize) -> Self {
        let internal = free_port();
        let (way, log) = (Proxy::to(internal), directory.join(format!("replica-{index}.log")));
        let [public, operators] = [free_port(), free_port()];
        Self { service, public, operators, internal, way, peers: None, log, process: None }
    }
}

/// All of it. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    /// A replica of each service, then another of each.
    pub replicas: Vec<Replica>,
    /// By service.
    pub databases: Vec<Database>,
    /// The ways to the databases, by service.
    pub ways: Vec<Proxy>,
    /// In front of it.
    pub gateway: Gateway,
    checkout_timeout_seconds: u32,
    /// Of each service.
    partitions: u16,
    directory: TempDir,
}

impl Fleet {
    /// Starts everything and waits until it is ready.
    ///
    /// # Panics
    /// Something does not start.
    pub async fn start(checkout_timeout_seconds: u32) -> Self {
        Self::with_partitions(checkout_timeout_seconds, PARTITIONS).await
    }

    /// The same with so many partitions of each service.
    ///
    /// # Panics
    /// Something does not start.
    pub async fn with_partitions(checkout_timeout_seconds: u32, partitions: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let databases: Vec<_> = SERVICES.iter().map(|_| Database::start(Kind::Valkey8, Options::default())).collect();
        let ways = databases.iter().map(|database| Proxy::to(database.port())).collect();
        let replicas: Vec<_> = (0..REPLICAS * SERVICES.len())
            .map(|index| Replica::new(index % SERVICES.len(), directory.path(), index))
            .collect();
        let gateway = gateway(&replicas);
        let mut fleet = Self { replicas, databases, ways, gateway, checkout_timeout_seconds, partitions, directory };
        for index in 0..fleet.replicas.len() {
            fleet.start_replica(index);
        }
        fleet.ready().await;
        fleet
    }

    /// A client of the gateway.
    #[must_use]
    pub fn shop(&self) -> Shop {
        Shop::new(Client::new(([127, 0, 0, 1], self.gateway.port()).into()))
    }

    /// Where clients reach one replica.
    #[must_use]
    pub fn address(&self, index: usize) -> SocketAddr {
        let public = self.replicas.get(index).map_or(0, |replica| replica.public);
        ([127, 0, 0, 1], public).into()
    }

    /// A client of one replica.
    #[must_use]
    pub fn replica(&self, index: usize) -> Client {
        Client::new(self.address(index))
    }

    /// A client of what a replica lets operators see.
    #[must_use]
    pub fn operators(&self, index: usize) -> Client {
        Client::new(([127, 0, 0, 1], self.replicas.get(index).map_or(0, |replica| replica.operators)).into())
    }

    /// Another replica of a service, which does not run yet and of which the gateway knows nothing; returns its index.
    pub fn add_replica(&mut self, service: usize) -> usize {
        let index = self.replicas.len();
        self.replicas.push(Replica::new(service, self.directory.path(), index));
        index
    }

    /// Starts a replica that does not run.
    pub fn start_replica(&mut self, index: usize) {
        let wrong = self.replicas.get(index).and_then(|replica| replica.peers.clone());
        let seeds = |service: usize| {
            let name = SERVICES.get(service).copied().unwrap_or_default();
            if let Some(wrong) = &wrong {
                return format!("{name}={wrong}");
            }
            let of_service = self.replicas.iter().filter(|replica| replica.service == service);
            of_service.map(|replica| format!("{name}=127.0.0.1:{}", replica.way.port())).collect::<Vec<_>>().join(",")
        };
        let Some(replica) = self.replicas.get(index) else { return };
        let address = |port: u16| format!("127.0.0.1:{port}");
        let mut command = Command::new(binary::path());
        command.arg(SERVICES.get(replica.service).copied().unwrap_or_default());
        command.args(["--listen", &address(replica.public), "--internal-listen", &address(replica.internal)]);
        command.args(["--advertise", &address(replica.way.port()), "--admin-listen", &address(replica.operators)]);
        let store = self.ways.get(replica.service).map_or(0, Proxy::port);
        command.args(["--store", &format!("redis://{}", address(store))]);
        command.args(["--checkout-timeout", &self.checkout_timeout_seconds.to_string(), "--behind-gateway"]);
        command.args(["--partitions", &self.partitions.to_string()]);
        // Whose events it consumes.
        let producers: &[usize] = [[1, 2].as_slice(), &[0], &[0, 1]].get(replica.service).copied().unwrap_or_default();
        for producer in producers {
            command.args(["--peer", &seeds(*producer)]);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SAGAMART_") {
                command.env_remove(name);
            }
        }
        let process = Process::start(command, &replica.log);
        if let Some(replica) = self.replicas.get_mut(index) {
            replica.process = Some(process);
        }
    }

    /// SIGKILL.
    pub fn kill_replica(&mut self, index: usize) {
        if let Some(mut process) = self.replicas.get_mut(index).and_then(|replica| replica.process.take()) {
            process.kill();
        }
    }

    /// SIGTERM, and a wait until it has ended.
    pub fn terminate_replica(&mut self, index: usize) {
        if let Some(mut process) = self.replicas.get_mut(index).and_then(|replica| replica.process.take()) {
            let status = process.terminate(Duration::from_secs(30));
            assert!(status.success(), "{status}:\n{}", process.output());
        }
    }

    /// SIGSTOP.
    pub fn freeze_replica(&self, index: usize) {
        self.replicas.get(index).and_then(|replica| replica.process.as_ref()).into_iter().for_each(Process::freeze);
    }

    /// SIGCONT.
    pub fn thaw_replica(&self, index: usize) {
        self.replicas.get(index).and_then(|replica| replica.process.as_ref()).into_iter().for_each(Process::thaw);
    }

    /// Waits until every replica that was started and not ended is ready.
    ///
    /// # Panics
    /// One is not in time, or has ended.
    pub async fn ready(&mut self) {
        let deadline = Instant::now() + READY_TIMEOUT;
        let runs = |index: &usize| self.replicas.get(*index).is_some_and(|replica| replica.process.is_some());
        for index in (0..self.replicas.len()).filter(runs) {
            while !self.replica(index).is_ready().await {
                let said = self.said(index);
                assert!(Instant::now() < deadline, "replica {index} is not ready:\n{said}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// All that a replica has said.
    #[must_use]
    pub fn said(&self, index: usize) -> String {
        let log = self.replicas.get(index).map(|replica| std::fs::read(&replica.log).unwrap_or_default());
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }
}

/// The gateway as it ships, but for where everything is.
fn gateway(replicas: &[Replica]) -> Gateway {
    let port = free_port();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}{name}")).expect("the gateway's files are there");
    let mut configuration = read("nginx.conf");
    for (index, replica) in replicas.iter().enumerate() {
        let service = SERVICES.get(replica.service).copied().unwrap_or_default();
        let name = format!("{service}-service-{}:8000", index / SERVICES.len() + 1);
        assert!(configuration.contains(&name), "the gateway knows no {name}");
        configuration = configuration.replace(&name, &format!("127.0.0.1:{}", replica.public));
    }
    assert!(configuration.contains("listen 8000"), "the gateway listens elsewhere");
    configuration = configuration.replace("listen 8000", &format!("listen 127.0.0.1:{port}"));
    configuration = configuration.replace("worker_processes auto", "worker_processes 1");
    // Who runs the tests may be anybody.
    configuration = format!("user root;\n{configuration}");
    Gateway::start(&[("nginx.conf", configuration), ("problems.conf", read("problems.conf"))], port)
}
