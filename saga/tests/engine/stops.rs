//! Stores that are gone, contradict themselves or have lost a record: a partition says so, does not spin, goes on with
//! what it can, and ends when it is told to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::common::{Town, balance, call, database, deposit, pass, place, settings, spawn_call, transfer, wait_for};
use crate::common::{bank::Reply, call_with, keyed};
use bytes::Bytes;
use saga::{
    CallError, CallOptions, Partition, Store, partition_of,
    store::{Result, Snapshot, Wrap},
};
use store_memory::{Call, Fault, Kind, MemoryStore, Persistence};
use tokio::time::{Instant, timeout};

/// What is wrong with a store when its service is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Fails,
    Hangs,
    /// Commits, but makes nothing durable.
    Undurable,
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_store_is_gone_ends_within_its_grace_and_tells_that_the_outcome_is_unknown() {
    for gone in [Gone::Fails, Gone::Hangs, Gone::Undurable] {
        let persistence = if gone == Gone::Undurable { Persistence::Manual } else { Persistence::Immediate };
        let database = database(persistence, true);
        let town = Town::begin(database.open("bank"), database.open("clerk"), settings());
        pass(100).await;
        let fault = match gone {
            Gone::Fails => Fault::fail_before("no route"),
            Gone::Hangs => Fault::slow(Duration::from_secs(3600)),
            Gone::Undurable => Fault::none(),
        };
        database.set_fault_plan(move |operation| match operation.call.kind() {
            Kind::Commit | Kind::Load => fault.clone(),
            Kind::ReadLog => Fault::none(),
        });
        let in_doubt = spawn_call(&town.bank, deposit("account", 1), CallOptions::default());
        pass(3000).await;
        let told = Instant::now();
        let grace = settings().stop_grace;
        let stopped = timeout(grace * 2, town.bank_runs.stop()).await;
        assert_eq!(stopped, Ok(Ok(())), "{gone:?}");
        if gone == Gone::Fails {
            assert!(told.elapsed() < Duration::from_secs(1), "it was known to fail: {:?}", told.elapsed());
        }
        assert_eq!(in_doubt.await.expect("no panic"), Err(CallError::Unknown), "{gone:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_still_waits_for_its_store_ends_at_once() {
    let database = database(Persistence::Immediate, false);
    database.set_fault_plan(|_| Fault::slow(Duration::from_secs(3600)));
    let town = Town::begin(database.open("bank"), database.open("clerk"), settings());
    pass(50).await;
    let told = Instant::now();
    town.stop().await;
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_begun_when_the_store_failed_is_refused_and_not_unknown() {
    let database = database(Persistence::Immediate, true);
    let town = Town::of(&database).await;
    database.set_fault_plan(|_| Fault::fail_before("no route"));
    let first = spawn_call(&town.bank, deposit("account", 1), CallOptions::default());
    pass(100).await;
    // Behind the first one, in the queue.
    let second = spawn_call(&town.bank, deposit("account", 2), CallOptions::default());
    assert_eq!(second.await.expect("no panic"), Err(CallError::Unavailable));
    assert_eq!(call(&town.bank, deposit("account", 4)).await, Err(CallError::Unavailable));
    let reasons = town.bank_runs.health().reasons();
    let here = format!("partition bank/{}: ", place(&deposit("account", 1)));
    assert!(reasons.iter().any(|reason| reason.starts_with(&here) && reason.contains("no route")), "{reasons:?}");
    assert_eq!(town.metric("partition_failing"), 1);
    database.clear_faults();
    assert_eq!(first.await.expect("no panic"), Ok(Reply::Balance(1)));
    assert_eq!(town.bank_runs.health().reasons(), [] as [&str; 0]);
    assert_eq!(town.metric("partition_failing"), 0);
    town.stop().await;
}

/// A store whose head says that its log ends one event before where it ends.
#[derive(Clone)]
struct Torn {
    store: MemoryStore,
    /// Whose loads are counted.
    partition: Partition,
    loads: Arc<AtomicU64>,
}

impl Wrap for Torn {
    type Within = MemoryStore;

    fn within(&self) -> &MemoryStore {
        &self.store
    }

    async fn load(&self, partition: Partition, keys: &[Bytes]) -> Result<Snapshot> {
        if partition == self.partition {
            self.loads.fetch_add(1, Ordering::Relaxed);
        }
        let snapshot = self.store.load(partition, keys).await?;
        Ok(Snapshot { log_end: snapshot.log_end.saturating_sub(1), ..snapshot })
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_contradicts_itself_is_told_of_and_not_asked_for_ever_at_full_speed() {
    let database = database(Persistence::Immediate, false);
    // The clerk is away, so its events stay in the bank's log.
    let town = Town::of(&database).await;
    town.clerk_runs.stop().await.expect("the clerk stops");
    assert_eq!(
        call_with(&town.bank, crate::common::audit("audit"), crate::common::patient(100)).await,
        Ok(Reply::GaveUp)
    );
    town.bank_runs.stop().await.expect("the bank stops");

    let torn =
        Torn { store: database.open("bank"), partition: place(&crate::common::audit("audit")), loads: Arc::default() };
    let town = Town::begin(torn.clone(), database.open("clerk"), settings());
    pass(60_000).await;
    let loads = torn.loads.load(Ordering::Relaxed);
    assert!((50..200).contains(&loads), "{loads} loads in a minute");
    let reasons = town.bank_runs.health().reasons();
    assert!(reasons.iter().any(|reason| reason.contains("contradicts itself: its log ends at")), "{reasons:?}");
    assert!(!town.bank_runs.is_recovered());
    assert!(town.metric("store_failures_total") > 50, "each is counted");
    assert_eq!(town.metric("partition_failing"), 1);
    assert_eq!(call(&town.bank, crate::common::audit("audit")).await, Err(CallError::Unavailable));
    let told = Instant::now();
    town.stop().await;
    assert!(told.elapsed() < Duration::from_secs(1), "it hears that it is to stop: {:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_fails_the_requests_that_need_it_and_no_others() {
    let database = database(Persistence::Immediate, true);
    let town = Town::of(&database).await;
    let home = partition_of(b"bad", crate::common::PARTITIONS);
    let mut names = (0..).map(|index| format!("good-{index}"));
    let mut is_here = |name: &String| partition_of(name.as_bytes(), crate::common::PARTITIONS) == home;
    let (good, key) = (names.find(&mut is_here).expect("one"), names.find(&mut is_here).expect("another"));
    call(&town.bank, deposit("bad", 5)).await.expect("a deposit");
    town.stop().await;
    let is_bad = |key: &Bytes| key.ends_with(b"bad");
    database.set_fault_plan(move |operation| match operation.call {
        Call::Load { keys } if keys.iter().any(is_bad) => Fault::fail_before("a bad block"),
        _ => Fault::none(),
    });
    let town = Town::of(&database).await;
    // In one batch, in either order, with and without a key.
    let requests = [
        spawn_call(&town.bank, deposit(&good, 1), CallOptions::default()),
        spawn_call(&town.bank, deposit("bad", 1), CallOptions::default()),
        spawn_call(&town.bank, deposit(&good, 1), keyed(&key, 1)),
    ];
    let mut replies = Vec::new();
    for request in requests {
        replies.push(request.await.expect("no panic"));
    }
    assert_eq!(replies, [Ok(Reply::Balance(1)), Err(CallError::Unavailable), Ok(Reply::Balance(2))]);
    // Once it is known, nobody else waits for it.
    let asked = Instant::now();
    assert_eq!(call(&town.bank, deposit("bad", 1)).await, Err(CallError::Unavailable));
    assert_eq!(call(&town.bank, deposit(&good, 1)).await, Ok(Reply::Balance(3)));
    assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
    let reasons = town.bank_runs.health().reasons();
    let named = format!("partition bank/{home}: records cannot be read: ");
    assert!(matches!(&reasons[..], [reason] if reason.starts_with(&named)), "{reasons:?}");
    assert!(town.metric("records_unreadable_total") >= 2);

    database.clear_faults();
    pass(60_100).await;
    assert_eq!(town.bank_runs.health().reasons(), [] as [&str; 0]);
    assert_eq!(balance(&town.bank, "bad").await, 5);
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_had_begun_is_not_said_to_be_undone_because_its_record_cannot_be_read() {
    let database = database(Persistence::Immediate, true);
    let town = Town::of(&database).await;
    call(&town.bank, deposit("account", 1)).await.expect("a deposit");
    // It is written down that it waits.
    let waiting = spawn_call(&town.bank, wait_for("account", 100), CallOptions::default());
    let _other = spawn_call(&town.bank, transfer("id", "account", "elsewhere", 50), CallOptions::default());
    pass(100).await;
    // Another writer comes in between, and what is in memory is lost.
    let other = Town::of(&database).await;
    database.set_fault_plan(move |operation| match operation.call {
        Call::Load { keys } if keys.iter().any(|key| key.ends_with(b"account")) => Fault::fail_before("a bad block"),
        _ => Fault::none(),
    });
    let home = place(&deposit("account", 1));
    let mut names = (0..).map(|index| format!("good-{index}"));
    let good =
        names.find(|name| partition_of(name.as_bytes(), crate::common::PARTITIONS) == home).expect("one of them");
    call(&other.bank, deposit(&good, 1)).await.expect("another writer's deposit");
    assert_eq!(waiting.await.expect("no panic"), Err(CallError::Unknown));
}
