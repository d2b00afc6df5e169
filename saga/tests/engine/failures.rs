//! A store that fails for a while, also after having done what it was asked: everything is applied once, and replied.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::common::bank::Reply;
use crate::common::country::Country;
use crate::common::{
    Town, audit, balance, balances, call, database, deposit, metric, open_accounts, pass, patient, settings,
    spawn_call, transfer_around, wait_for,
};
use saga::{
    CallOptions, Partition, Settings, Store,
    store::{Commit, Committed, Error, Result, Wrap},
};
use store_memory::{Fault, Kind, MemoryStore, Persistence::Immediate};
use tokio::time::Instant;

/// Deposits while the store fails as injected, and finds them applied once, also after a restart.
async fn a_deposit_is_applied_once(uncertain: bool, kind: Kind, calls: u64, fault: Fault) {
    let database = database(Immediate, uncertain);
    let town = Town::of(&database).await;
    assert_eq!(call(&town.bank, deposit("account", 1)).await, Ok(Reply::Balance(1)));
    database.inject_next(kind, calls, fault);
    assert_eq!(call(&town.bank, deposit("account", 2)).await, Ok(Reply::Balance(3)));
    assert_eq!(call(&town.bank, deposit("other", 5)).await, Ok(Reply::Balance(5)));
    assert_eq!(call(&town.bank, deposit("account", 4)).await, Ok(Reply::Balance(7)));
    town.stop().await;
    let town = Town::of(&database).await;
    assert_eq!(balance(&town.bank, "account").await, 7);
    assert_eq!(balance(&town.bank, "other").await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_before_it_is_applied_is_made_again() {
    for calls in [1, 2, 9] {
        a_deposit_is_applied_once(false, Kind::Commit, calls, Fault::fail_before("no route")).await;
        a_deposit_is_applied_once(true, Kind::Commit, calls, Fault::fail_before("no route")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_after_it_was_applied_is_not_made_again() {
    for calls in [1, 2, 9] {
        a_deposit_is_applied_once(true, Kind::Commit, calls, Fault::fail_after("the answer was lost")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn loads_and_reads_that_fail_are_made_again() {
    for uncertain in [false, true] {
        a_deposit_is_applied_once(uncertain, Kind::Load, 5, Fault::fail_before("no route")).await;
        a_deposit_is_applied_once(uncertain, Kind::ReadLog, 5, Fault::fail_before("no route")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_at_every_other_moment_loses_nothing_and_repeats_nothing() {
    for uncertain in [false, true] {
        let database = database(Immediate, uncertain);
        let count = AtomicU64::new(0);
        database.set_fault_plan(move |operation| {
            // Mixed, for a regular pattern may meet the same call of every try.
            let count = count.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            match operation.call.kind() {
                Kind::Commit if uncertain && count % 5 == 1 => Fault::fail_after("the answer was lost"),
                Kind::Commit if count % 7 == 2 => Fault::fail_before("no route"),
                Kind::Load if count % 6 == 3 => Fault::fail_before("no route"),
                Kind::ReadLog if count % 3 == 1 => Fault::fail_before("no route"),
                _ => Fault::none(),
            }
        });
        let town = Town::of(&database).await;
        open_accounts(&town.bank, 9, 50).await;
        transfer_around(&town.bank, 9, 5).await;
        assert_eq!(balances(&town.bank, 9).await, [50; 9]);
        for index in 0..10 {
            assert_eq!(call(&town.bank, audit(&format!("audit-{index}"))).await, Ok(Reply::Audited(1)));
        }
        assert!(town.metric("store_failures_total") > 20);
        town.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_failing_is_asked_less_and_less_often() {
    let database = database(Immediate, true);
    let town = Town::of(&database).await;
    let commits = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&commits);
    database.set_fault_plan(move |operation| match operation.call.kind() {
        Kind::Commit => {
            counting.fetch_add(1, Ordering::Relaxed);
            Fault::fail_before("no route")
        }
        _ => Fault::none(),
    });
    let waiting = spawn_call(&town.bank, deposit("account", 5), patient(120_000));
    pass(60_000).await;
    let tries = commits.load(Ordering::Relaxed);
    assert!((50..200).contains(&tries), "{tries} tries in a minute");
    database.clear_faults();
    let asked = Instant::now();
    assert_eq!(waiting.await.expect("no panic"), Ok(Reply::Balance(5)));
    assert!(asked.elapsed() <= Duration::from_millis(1100), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_lets_out_no_reply_of_its_batch() {
    for uncertain in [false, true] {
        let database = database(Immediate, uncertain);
        let town = Town::of(&database).await;
        assert_eq!(call(&town.bank, deposit("known", 1)).await, Ok(Reply::Balance(1)));
        // Of the same partition, so that both are in one batch; the second has to be loaded.
        let place = saga::partition_of(b"known", crate::common::PARTITIONS);
        let mut names = (0..).map(|index| format!("new-{index}"));
        let other =
            names.find(|name| saga::partition_of(name.as_bytes(), crate::common::PARTITIONS) == place).expect("one");
        database.inject_next(Kind::Load, 1, Fault::fail_before("no route"));
        let first = spawn_call(&town.bank, deposit("known", 2), CallOptions::default());
        let second = spawn_call(&town.bank, deposit(&other, 3), CallOptions::default());
        assert_eq!(first.await.expect("no panic"), Ok(Reply::Balance(3)));
        assert_eq!(second.await.expect("no panic"), Ok(Reply::Balance(3)));
        town.stop().await;
        let town = Town::of(&database).await;
        assert_eq!(balance(&town.bank, "known").await, 3, "a reply was out without its effect");
        assert_eq!(balance(&town.bank, &other).await, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn patience_that_ends_while_the_store_fails_is_not_forgotten() {
    for uncertain in [false, true] {
        let database = database(Immediate, uncertain);
        let town = Town::of(&database).await;
        call(&town.bank, deposit("account", 1)).await.expect("a deposit");
        let waiting = spawn_call(&town.bank, wait_for("account", 5), patient(100));
        pass(50).await;
        database.inject_next(Kind::Commit, 3, Fault::fail_before("no route"));
        assert_eq!(waiting.await.expect("no panic"), Ok(Reply::GaveUp));
        assert_eq!(balance(&town.bank, "account").await, 1);
    }
}

/// A store whose every third commit is given up by its caller and reaches the database a while later.
#[derive(Clone)]
struct Belated {
    store: MemoryStore,
    commits: Arc<AtomicU64>,
    delay: Duration,
}

impl Wrap for Belated {
    type Within = MemoryStore;

    fn within(&self) -> &MemoryStore {
        &self.store
    }

    async fn commit(&self, partition: Partition, commit: Commit) -> Result<Committed> {
        if self.commits.fetch_add(1, Ordering::Relaxed) % 3 != 2 {
            return self.store.commit(partition, commit).await;
        }
        let (store, delay) = (self.store.clone(), self.delay);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            drop(store.commit(partition, commit).await);
        });
        Err(Error::Failed("timed out".into()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_arrives_after_it_was_given_up_is_applied_once() {
    // From before the first look at the store, over amid the second run of the batch, to after it.
    for delay_ms in [0, 1, 4, 6, 8, 10, 12, 20, 50] {
        let database = database(Immediate, true);
        let delay = Duration::from_millis(delay_ms);
        // Commits take some time, so that a belated one can overtake the next.
        database.set_fault_plan(|operation| match operation.call.kind() {
            Kind::Commit => Fault::slow(Duration::from_millis(5)),
            _ => Fault::none(),
        });
        let bank = Belated { store: database.open("bank"), commits: Arc::default(), delay };
        let town = Town::start(bank, database.open("clerk"), Settings { ..settings() }).await;
        for count in 1..=30 {
            assert_eq!(call(&town.bank, deposit("account", 1)).await, Ok(Reply::Balance(count)), "{delay:?}");
        }
        pass(1000).await;
        assert_eq!(balance(&town.bank, "account").await, 30, "{delay:?}");
        town.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_went_to_another_replica_while_its_store_failed_is_not_held_against_the_first_one() {
    let country = Country::new();
    let _clerk = country.clerk(1).await;
    let first = country.bank(2).await.recovered().await;
    pass(3000).await;
    country.bank.set_fault_plan(|operation| match operation.call.kind() {
        Kind::Load | Kind::Commit => Fault::fail_before("no route"),
        _ => Fault::none(),
    });
    let callers: Vec<_> = (0..6)
        .map(|index| spawn_call(&first.handle, deposit(&format!("account-{index}"), 1), CallOptions::default()))
        .collect();
    pass(2000).await;
    // They have waited long enough.
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(!first.node.health().reasons().is_empty());
    // Of a lower number, so that it is given most of them.
    let second = country.bank(1).await;
    pass(5000).await;
    country.bank.clear_faults();
    pass(20_000).await;
    for bank in [&first, &second] {
        assert_eq!(bank.node.health().reasons(), Vec::<String>::new());
        assert_eq!(metric(&bank.metrics, "partition_failing"), 0);
    }
}
