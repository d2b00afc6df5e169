//! Two replicas of the observer beside a fleet, over a database of their own.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use test_servers::{Kind, Options, Process, Server as Database, free_port};
use tokio::time::sleep;

use crate::{Client, Fleet, binary, fleet::SERVICES};

/// How long a replica may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Both of them. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Observers {
    /// Where the history is kept.
    pub database: Database,
    peers: Vec<String>,
    replicas: [Replica; 2],
    directory: TempDir,
}

#[derive(Debug)]
struct Replica {
    public: u16,
    internal: u16,
    operators: u16,
    process: Option<Process>,
}

impl Replica {
    fn new() -> Self {
        Self { public: free_port(), internal: free_port(), operators: free_port(), process: None }
    }
}

fn client(port: u16) -> Client {
    Client::new(([127, 0, 0, 1], port).into())
}

impl Observers {
    /// Of a fleet; none of them runs yet.
    #[must_use]
    pub fn of(fleet: &Fleet) -> Self {
        let peer = |(service, name)| {
            let of_service = fleet.replicas.iter().filter(|replica| replica.service == service);
            let addresses: Vec<_> =
                of_service.map(|replica| format!("{name}=127.0.0.1:{}", replica.way.port())).collect();
            addresses.join(",")
        };
        Self {
            database: Database::start(Kind::Valkey8, Options::default()),
            peers: SERVICES.into_iter().enumerate().map(peer).collect(),
            replicas: [Replica::new(), Replica::new()],
            directory: tempfile::tempdir().expect("a directory can be made"),
        }
    }

    /// Starts a replica.
    pub fn start(&mut self, index: usize) {
        let store = self.database.url();
        let Some(replica) = self.replicas.get_mut(index) else { return };
        let mut command = Command::new(binary::path());
        command.args(["observe", "--store", &store]);
        for (option, port) in [
            ("--listen", replica.public),
            ("--internal-listen", replica.internal),
            ("--admin-listen", replica.operators),
        ] {
            command.args([option, &format!("127.0.0.1:{port}")]);
        }
        for peer in &self.peers {
            command.args(["--peer", peer]);
        }
        let log = self.directory.path().join(format!("observer-{index}.log"));
        replica.process = Some(Process::start(command, &log));
    }

    /// The process of a replica.
    ///
    /// # Panics
    /// It was never started.
    pub fn process(&mut self, index: usize) -> &mut Process {
        self.replicas.get_mut(index).and_then(|replica| replica.process.as_mut()).expect("it runs")
    }

    /// A client of what a replica shows operators: the history.
    ///
    /// # Panics
    /// There is no such replica.
    #[must_use]
    pub fn operators(&self, index: usize) -> Client {
        client(self.replicas.get(index).expect("a replica").operators)
    }

    /// A client of what a replica shows others: its health and its metrics.
    ///
    /// # Panics
    /// There is no such replica.
    #[must_use]
    pub fn public(&self, index: usize) -> Client {
        client(self.replicas.get(index).expect("a replica").public)
    }

    /// Waits until both are ready.
    ///
    /// # Panics
    /// One is not in time.
    pub async fn ready(&self) {
        for index in 0..self.replicas.len() {
            let deadline = Instant::now() + READY_TIMEOUT;
            while !self.public(index).is_ready().await {
                assert!(Instant::now() < deadline, "observer {index} is not ready");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// How far the history goes, from either replica; nothing where it does not answer.
    ///
    /// # Panics
    /// It answers something else.
    pub async fn span(&self, index: usize) -> Option<Span> {
        let answer = self.operators(index).get("/history").await;
        if answer.status != 200 {
            return None;
        }
        let span: Value = answer.json();
        let number = |name: &str| span.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name}: {span}"));
        let [completed, undecided, missed] = ["completed", "undecided", "missed"].map(number);
        Some(Span { completed, undecided, missed })
    }
}

/// What a history counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Checkouts that were decided for.
    pub completed: u64,
    /// Checkouts that are not decided.
    pub undecided: u64,
    /// Events that were dropped before they were seen.
    pub missed: u64,
}
