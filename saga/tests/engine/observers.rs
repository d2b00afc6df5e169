//! Observers see every event with its time and place; nobody waits for one that is slow, and what it missed it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::common::{
    PARTITIONS, Town, audit, balances,
    bank::{Bank, Reply},
    call,
    clerk::Clerk,
    database, kept_events, metric, open_accounts, pass, settings, transfer_around,
    watcher::{Seen, Watcher},
};
use saga::{CallOptions, Choreography, Handle, Metrics, Running, Settings};
use store_memory::{Fault, MemoryDatabase, Persistence::Immediate};

const LAG_MAX: u64 = 40;

struct Watched {
    town: Town,
    watcher: Handle<Watcher>,
    watching: Running,
    heard: Arc<AtomicU64>,
}

/// The town, and a watcher over a database of its own.
fn watched(databases: [&MemoryDatabase; 2]) -> Watched {
    // Few deliveries find room, so that what is not consumed in time has to be read.
    let settings = Settings { observer_lag_max: LAG_MAX, deliveries_waiting_max: 8, ..settings() };
    let metrics = Metrics::default();
    let mut market = Choreography::new(settings, metrics.clone());
    let [town, watching] = databases;
    let (bank, clerk) = (market.add(Bank, town.open("bank"), PARTITIONS), market.add(Clerk, town.open("clerk"), 2));
    let heard = Arc::default();
    let watcher = market.add(Watcher { heard: Arc::clone(&heard) }, watching.open("watcher"), 1);
    let services = market.start().expect("all are there").split();
    let [bank_runs, clerk_runs, watching] = services.try_into().expect("three services");
    Watched { town: Town { bank, clerk, bank_runs, clerk_runs, metrics }, watcher, watching, heard }
}

impl Watched {
    /// Transfers and audits, which make events in both services.
    async fn live(&self, rounds: usize) {
        transfer_around(&self.town.bank, 6, rounds).await;
        for index in 0..rounds {
            assert!(matches!(call(&self.town.bank, audit(&format!("audit-{index}"))).await, Ok(Reply::Audited(_))));
        }
    }

    async fn seen(&self) -> Seen {
        self.watcher.call(0, (), CallOptions::default()).await.expect("it answers")
    }

    /// How many events it was told of once they were committed.
    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    async fn stop(self) {
        self.town.stop().await;
        self.watching.stop().await.expect("it stops in order");
    }
}

fn last_numbers(seen: &Seen) -> u64 {
    seen.last.iter().map(|(.., number)| number).sum()
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_every_event_once_with_its_time_and_place() {
    let (database, history) = (database(Immediate, false), database(Immediate, false));
    let watched = watched([&database, &history]);
    open_accounts(&watched.town.bank, 6, 100).await;
    watched.live(20).await;
    pass(2000).await;
    let seen = watched.seen().await;
    assert!(seen.events > 100, "{seen:?}");
    assert_eq!((seen.missed, seen.undated, last_numbers(&seen)), (0, 0, seen.events));
    assert_eq!(seen.last.len(), usize::from(PARTITIONS) + 2, "of every log");
    assert_eq!(watched.heard(), seen.events, "and is told of each once it is committed");
    for index in 0..12 {
        assert!(matches!(call(&watched.town.bank, audit(&format!("late-{index}"))).await, Ok(Reply::Audited(_))));
    }
    let kept = kept_events(&database.open("bank"), PARTITIONS).await;
    assert!(kept <= 30, "{kept}: what it had consumed is dropped with the next commit");
    watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_come_together_before_an_observer_commits() {
    let (database, history) = (database(Immediate, false), database(Immediate, false));
    let watched = watched([&database, &history]);
    open_accounts(&watched.town.bank, 6, 100).await;
    let before = history.committed();
    let started = tokio::time::Instant::now();
    for index in 0..40 {
        assert!(matches!(call(&watched.town.bank, audit(&format!("audit-{index}"))).await, Ok(Reply::Audited(_))));
        pass(10).await;
    }
    let lingers = started.elapsed().as_millis() / settings().observer_linger.as_millis();
    let commits = history.committed() - before;
    assert!(u128::from(commits) <= lingers + 1, "{commits} commits in {lingers} times as long as it lingers");
    watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_an_observer_whose_database_is_away_and_it_is_told_what_it_missed() {
    let (database, history) = (database(Immediate, false), database(Immediate, false));
    let watched = watched([&database, &history]);
    open_accounts(&watched.town.bank, 6, 100).await;
    watched.live(2).await;
    pass(2000).await;
    let heard = watched.heard();
    history.set_fault_plan(|_| Fault::fail_before("it is away"));
    watched.live(100).await;
    pass(5000).await;
    assert!(watched.town.bank_runs.health().reasons().is_empty());
    assert_eq!(watched.watching.health().reasons(), Vec::<String>::new(), "no reason to send requests elsewhere");
    assert!(!watched.watching.health().limits().is_empty(), "but it is said");
    assert_eq!(watched.heard(), heard, "nothing more is committed, however often it is tried");
    let most = usize::from(PARTITIONS) * (usize::try_from(LAG_MAX).expect("few") + 1);
    let kept = kept_events(&database.open("bank"), PARTITIONS).await;
    assert!(kept <= most && kept >= usize::try_from(LAG_MAX).expect("few"), "{kept} events are kept for it");
    history.clear_faults();
    pass(10_000).await;
    let seen = watched.seen().await;
    assert!(seen.missed > 50, "{seen:?}");
    assert_eq!(seen.events + seen.missed, last_numbers(&seen));
    assert_eq!(watched.heard(), seen.events);
    assert_eq!(balances(&watched.town.bank, 6).await, [100; 6]);
    assert!(matches!(call(&watched.town.bank, audit("another")).await, Ok(Reply::Audited(_))));
    pass(2000).await;
    let later = watched.seen().await;
    assert!(later.events > seen.events);
    assert_eq!(later.missed, seen.missed, "it is up to date again");
    watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_must_not_go_on_stops_alone() {
    let (database, history) = (database(Immediate, false), database(Immediate, false));
    let mut watched = watched([&database, &history]);
    open_accounts(&watched.town.bank, 6, 100).await;
    history.poison("its disk is broken");
    watched.live(2).await;
    pass(2000).await;
    let halted = tokio::time::timeout(Duration::from_secs(5), watched.watching.halted()).await;
    assert!(halted.is_err(), "nobody is told to end the process");
    watched.live(1).await;
    assert_eq!(metric(&watched.town.metrics, "sagas_stuck"), 0);
    watched.town.stop().await;
}
