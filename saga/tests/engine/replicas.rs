//! Two replicas on one database: whoever loses a race loads the new state and runs its steps again.

use std::time::Duration;

use crate::common::bank::Reply;
use crate::common::{
    PARTITIONS, Town, audit, balance, call, database, deposit, keyed, pass, patient, settings, spawn_call, transfer,
    wait_for, withdraw,
};
use saga::{CallError, CallOptions, Settings, partition_of};
use store_memory::{Fault, Kind, MemoryDatabase, Persistence::Immediate};

async fn two_towns(database: &MemoryDatabase) -> [Town; 2] {
    [Town::of(database).await, Town::of(database).await]
}

/// Deposits, transfers and audits through both replicas at once end as they should.
async fn both_make_progress(database: &MemoryDatabase) {
    let towns = two_towns(database).await;
    let mut deposits = Vec::new();
    for (index, town) in (0..60).zip(towns.iter().cycle()) {
        let name = format!("account-{}", index % 6);
        deposits.push(spawn_call(&town.bank, deposit(&name, 10), CallOptions::default()));
        tokio::task::yield_now().await;
    }
    for deposit in deposits {
        assert!(matches!(deposit.await.expect("no panic"), Ok(Reply::Balance(_))));
    }
    let mut transfers = Vec::new();
    for (index, town) in (0..60).zip(towns.iter().cycle()) {
        let (from, to) = (format!("account-{}", index % 6), format!("account-{}", (index + 1) % 6));
        let away = transfer(&format!("transfer-{index}"), &from, &to, 3);
        transfers.push(spawn_call(&town.bank, away, CallOptions::default()));
        transfers.push(spawn_call(&town.bank, audit(&format!("audit-{index}")), CallOptions::default()));
        tokio::task::yield_now().await;
    }
    for (index, done) in transfers.into_iter().enumerate() {
        let expected = if index % 2 == 0 { Reply::Done } else { Reply::Audited(1) };
        assert_eq!(done.await.expect("no panic"), Ok(expected), "number {index}");
    }
    assert!(towns.iter().map(|town| town.metric("commit_conflicts_total")).sum::<u64>() > 0, "they met");
    pass(2000).await;
    for town in &towns {
        for index in 0..6 {
            assert_eq!(balance(&town.bank, &format!("account-{index}")).await, 100);
        }
    }
    for town in towns {
        town.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_replicas_both_make_progress_and_apply_everything_once() {
    both_make_progress(&database(Immediate, false)).await;
}

#[tokio::test(start_paused = true)]
async fn two_replicas_of_a_slow_store_that_loses_answers_apply_everything_once() {
    let database = database(Immediate, true);
    let count = std::sync::atomic::AtomicU64::new(0);
    database.set_fault_plan(move |operation| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let slow = Fault::slow(Duration::from_millis(count % 3));
        match operation.call.kind() {
            Kind::Commit if count % 7 == 3 => Fault::fail_after("the answer was lost"),
            Kind::Commit if count % 11 == 5 => Fault::fail_before("no route"),
            _ => slow,
        }
    });
    both_make_progress(&database).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_a_lost_view_is_asked_again_and_answered() {
    let database = database(Immediate, false);
    let [one, other] = two_towns(&database).await;
    let waiting = spawn_call(&one.bank, wait_for("account", 5), CallOptions::default());
    pass(20).await;
    assert_eq!(call(&other.bank, deposit("account", 4)).await, Ok(Reply::Balance(4)));
    pass(20).await;
    assert!(!waiting.is_finished());
    // Meets the other's commit, loses the view and with it who waits.
    assert_eq!(call(&one.bank, deposit("account", 2)).await, Ok(Reply::Balance(1)));
    assert_eq!(waiting.await.expect("no panic"), Ok(Reply::Balance(1)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_what_another_replica_did_is_answered_though_its_own_is_idle() {
    let database = database(Immediate, false);
    let [one, other] = two_towns(&database).await;
    let waiting = spawn_call(&one.bank, wait_for("account", 5), CallOptions::default());
    pass(20).await;
    assert_eq!(call(&other.bank, deposit("account", 9)).await, Ok(Reply::Balance(9)));
    let answer = tokio::time::timeout(settings().poll * 3, waiting).await;
    assert_eq!(answer.expect("an answer in time").expect("no panic"), Ok(Reply::Balance(4)));
}

#[tokio::test(start_paused = true)]
async fn patience_outlives_a_lost_view() {
    let database = database(Immediate, false);
    let [one, other] = two_towns(&database).await;
    let waiting = spawn_call(&one.bank, wait_for("account", 5), patient(700));
    pass(20).await;
    assert_eq!(call(&other.bank, deposit("account", 1)).await, Ok(Reply::Balance(1)));
    assert_eq!(call(&one.bank, deposit("account", 1)).await, Ok(Reply::Balance(2)));
    assert_eq!(waiting.await.expect("no panic"), Ok(Reply::GaveUp));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_fires_in_the_replica_that_is_left() {
    let database = database(Immediate, false);
    let Town { bank, bank_runs, clerk_runs, .. } = Town::of(&database).await;
    let other = Town::of(&database).await;
    clerk_runs.stop().await.expect("the clerk stops");
    other.clerk_runs.stop().await.expect("the other clerk stops");
    drop(spawn_call(&bank, audit("audit"), CallOptions::default()));
    pass(20).await;
    bank_runs.stop().await.expect("the bank stops");
    pass(7000).await;
    let again = tokio::time::timeout(Duration::from_secs(1), call(&other.bank, audit("audit"))).await;
    assert_eq!(again.expect("was decided before"), Ok(Reply::GaveUp));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_fell_behind_a_trimmed_log_loads_instead_of_halting() {
    let database = database(Immediate, false);
    let one = Town::of(&database).await;
    // It looks at the logs so seldom that most of what it has to consume is consumed by the other, and trimmed.
    let settings = Settings { poll: Duration::from_millis(3100), ..settings() };
    let mut other = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    for round in 0..20 {
        for name in ["a", "b", "c", "d", "e", "f"] {
            call(&one.bank, deposit(name, 1)).await.expect("a deposit");
            call(&one.bank, transfer(&format!("{name}-{round}"), name, "to", 1)).await.expect("a transfer");
        }
        pass(170).await;
    }
    let halted = tokio::time::timeout(Duration::from_secs(5), other.bank_runs.halted()).await;
    assert!(halted.is_err(), "{halted:?}");
    assert_eq!(balance(&other.bank, "to").await, 120);
    assert_eq!(call(&other.bank, withdraw("to", 120)).await, Ok(Reply::Balance(0)));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_was_forgotten_does_not_take_its_doubtful_commit_for_one_that_was_not_applied() {
    let database = database(Immediate, true);
    let settings = Settings { writers_max: 1, ..settings() };
    let start = || Town::start(database.open("bank"), database.open("clerk"), settings.clone());
    let (one, other) = (start().await, start().await);
    let home = |name: &str| partition_of(name.as_bytes(), PARTITIONS);
    let key = (0..).map(|number| format!("key-{number}")).find(|key| home(key) == home("account"));
    for (round, key) in [None, key.as_deref()].into_iter().enumerate() {
        let before = balance(&other.bank, "account").await;
        database.inject_next(Kind::Commit, 1, Fault::fail_after("the answer is lost"));
        let options = key.map_or_else(CallOptions::default, |key| keyed(key, 1));
        let doubtful = spawn_call(&one.bank, deposit("account", 1), options);
        // It waits before it looks again; meanwhile another commits, whose mark takes the place of its own.
        pass(1).await;
        assert_eq!(call(&other.bank, deposit("account", 10)).await, Ok(Reply::Balance(before + 11)), "round {round}");
        let expected = match key {
            // It cannot be known, and to carry it out once more would be once too often.
            None => Err(CallError::Unknown),
            Some(_) => Ok(Reply::Balance(before + 1)),
        };
        assert_eq!(doubtful.await.expect("no panic"), expected, "round {round}");
        assert_eq!(balance(&one.bank, "account").await, before + 11, "round {round}");
    }
}
