//! An observer beside the fleet: whatever happens to it, nobody in the shop notices, and its history has all, or says how
//! much it missed.

use std::{process::Command, time::Duration};

use sagamart_black_box::{Client, Fleet, binary, fleet::SERVICES};
use serde_json::Value;
use tempfile::TempDir;
use test_servers::{Kind, Options, Process, Server as Database, free_port};
use tokio::time::sleep;

use crate::{AWAY, FAULT, TIMEOUT, chaos::Chaos, databases::until};

/// Two replicas of the observer, over a database of their own.
struct Observers {
    database: Database,
    peers: Vec<String>,
    replicas: [Replica; 2],
    directory: TempDir,
}

struct Replica {
    public: u16,
    internal: u16,
    process: Option<Process>,
}

impl Observers {
    fn of(fleet: &Fleet) -> Self {
        let peer = |(service, name)| {
            let of_service = fleet.replicas.iter().filter(|replica| replica.service == service);
            let addresses: Vec<_> =
                of_service.map(|replica| format!("{name}=127.0.0.1:{}", replica.way.port())).collect();
            addresses.join(",")
        };
        Self {
            database: Database::start(Kind::Valkey8, Options::default()),
            peers: SERVICES.into_iter().enumerate().map(peer).collect(),
            replicas: [(); 2].map(|()| Replica { public: free_port(), internal: free_port(), process: None }),
            directory: tempfile::tempdir().expect("a directory can be made"),
        }
    }

    fn start(&mut self, index: usize) {
        let Some(replica) = self.replicas.get_mut(index) else { return };
        let mut command = Command::new(binary::path());
        command.args(["observe", "--listen", &format!("127.0.0.1:{}", replica.public)]);
        command.args([
            "--internal-listen",
            &format!("127.0.0.1:{}", replica.internal),
            "--store",
            &self.database.url(),
        ]);
        for peer in &self.peers {
            command.args(["--peer", peer]);
        }
        let log = self.directory.path().join(format!("observer-{index}.log"));
        replica.process = Some(Process::start(command, &log));
    }

    fn process(&mut self, index: usize) -> &mut Process {
        self.replicas.get_mut(index).and_then(|replica| replica.process.as_mut()).expect("it runs")
    }

    fn client(&self, index: usize) -> Client {
        let public = self.replicas.get(index).map_or(0, |replica| replica.public);
        Client::new(([127, 0, 0, 1], public).into())
    }

    async fn ready(&self) {
        for index in 0..self.replicas.len() {
            until("an observer is ready", async || self.client(index).is_ready().await).await;
        }
    }

    /// How far the history goes, from either replica.
    async fn span(&self, index: usize) -> Option<Span> {
        let answer = self.client(index).get("/history").await;
        if answer.status != 200 {
            return None;
        }
        let span: Value = answer.json();
        let number = |name: &str| span.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name}: {span}"));
        let [completed, undecided, missed] = ["completed", "undecided", "missed"].map(number);
        Some(Span { completed, undecided, missed })
    }

    /// The history once it does not grow any more.
    async fn settled(&self) -> Span {
        let mut last = None;
        for _ in 0..60 {
            let span = self.span(0).await;
            if span.is_some() && span == last {
                break;
            }
            last = span;
            sleep(Duration::from_millis(500)).await;
        }
        last.expect("the history answers")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    completed: u64,
    undecided: u64,
    missed: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_what_happens_to_an_observer_and_it_knows_what_it_missed() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    let mut observers = Observers::of(&chaos.fleet);
    observers.start(0);
    observers.start(1);
    observers.ready().await;

    let killed = chaos.under_load("SIGKILL of an observer, SIGSTOP of the other", async |_: &mut Fleet| {
        sleep(FAULT / 2).await;
        observers.process(0).kill();
        sleep(FAULT / 2).await;
        observers.start(0);
        observers.ready().await;
        observers.process(1).freeze();
        sleep(AWAY).await;
        observers.process(1).thaw();
    });
    killed.await.nobody_noticed();
    let paid = chaos.audit().await;
    for index in [0, 1] {
        let all = Some(Span { completed: paid, undecided: 0, missed: 0 });
        until("both replicas tell of every checkout", async || observers.span(index).await == all).await;
    }

    let gone = chaos.under_load("an observer's data are gone", async |fleet: &mut Fleet| {
        observers.process(0).kill();
        observers.process(1).kill();
        let () = observers.database.ask(&["FLUSHALL"]);
        sleep(FAULT / 2).await;
        observers.start(0);
        observers.start(1);
        observers.ready().await;
        for index in 0..fleet.replicas.len() {
            assert!(fleet.replica(index).is_ready().await, "{}", fleet.said(index));
        }
    });
    gone.await.nobody_noticed();
    let paid = chaos.audit().await;
    let begun_anew = observers.settled().await;
    println!("of {paid} paid orders, the new history has {begun_anew:?}");
    assert!(begun_anew.completed > 0, "{begun_anew:?}");
    assert!(begun_anew.completed == paid || begun_anew.missed > 0, "{begun_anew:?} of {paid}");

    chaos.under_load("nothing at all", async |_: &mut Fleet| sleep(FAULT / 2).await).await.nobody_noticed();
    let more = chaos.audit().await - paid;
    let all = Some((begun_anew.completed + more, begun_anew.missed));
    until("the new history has all that came since", async || {
        observers.span(0).await.map(|span| (span.completed, span.missed)) == all
    })
    .await;
}
