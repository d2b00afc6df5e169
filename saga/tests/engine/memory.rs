//! A partition that may keep few records in memory gives the same results, and keeps few.

use std::time::Duration;

use crate::common::bank::Reply;
use crate::common::{
    PARTITIONS, Town, audit, balance, balances, call, call_with, database, deposit, keyed, open_accounts, pass,
    settings, spawn_call, transfer_around, wait_for,
};
use saga::{CallOptions, Settings, Store, store::Commit};
use store_memory::{Fault, Kind, Persistence::Immediate};

async fn forgetful_town(records_in_memory_max: usize) -> Town {
    let database = database(Immediate, true);
    let settings = Settings { records_in_memory_max, ..settings() };
    Town::start(database.open("bank"), database.open("clerk"), settings).await
}

#[tokio::test(start_paused = true)]
async fn records_that_do_not_fit_are_loaded_again_with_the_same_results() {
    for records_in_memory_max in [0, 1, 4] {
        let town = forgetful_town(records_in_memory_max).await;
        open_accounts(&town.bank, 20, 100).await;
        transfer_around(&town.bank, 20, 4).await;
        assert_eq!(balances(&town.bank, 20).await, [100; 20]);
        for index in 0..20 {
            assert_eq!(call(&town.bank, audit(&format!("audit-{index}"))).await, Ok(Reply::Audited(1)));
        }
        for index in 0..20 {
            assert_eq!(call(&town.bank, audit(&format!("audit-{index}"))).await, Ok(Reply::Audited(1)), "not again");
        }
        for _ in 0..2 {
            for index in 0..20 {
                let reply = call_with(&town.bank, deposit("keyed", 1), keyed(&format!("key-{index}"), 1)).await;
                assert_eq!(reply, Ok(Reply::Balance(index + 1)));
            }
        }
        assert!(town.metric("records_loaded_total") > 100, "they did not fit");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_stays_bounded_when_there_are_only_reads() {
    let town = forgetful_town(50).await;
    for index in 0..2000 {
        assert_eq!(balance(&town.bank, &format!("nobody-{index}")).await, 0);
    }
    pass(100).await;
    let kept = town.metric("records_in_memory");
    assert!(kept < 500, "{kept} records are in memory");
}

#[tokio::test(start_paused = true)]
async fn memory_stays_bounded_under_writes() {
    let town = forgetful_town(50).await;
    for index in 0..2000 {
        assert_eq!(call(&town.bank, deposit(&format!("account-{index}"), 1)).await, Ok(Reply::Balance(1)));
    }
    pass(100).await;
    let kept = town.metric("records_in_memory");
    assert!(kept < 500, "{kept} records are in memory");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_in_records_stay_while_others_are_evicted() {
    let town = forgetful_town(2).await;
    let waiting: Vec<_> = (0..30)
        .map(|index| spawn_call(&town.bank, wait_for(&format!("waiting-{index}"), 5), CallOptions::default()))
        .collect();
    pass(50).await;
    open_accounts(&town.bank, 60, 1).await;
    balances(&town.bank, 60).await;
    for (index, waiting) in waiting.into_iter().enumerate() {
        assert!(!waiting.is_finished());
        call(&town.bank, deposit(&format!("waiting-{index}"), 6)).await.expect("a deposit");
        assert_eq!(waiting.await.expect("no panic"), Ok(Reply::Balance(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn residents_are_known_from_the_start_and_never_asked_for() {
    let database = database(Immediate, true);
    let settings = Settings { records_in_memory_max: 0, ..settings() };
    let start = || Town::start(database.open("bank"), database.open("clerk"), settings.clone());
    let town = start().await;
    assert_eq!(call(&town.bank, deposit("*kept", 5)).await, Ok(Reply::Balance(5)));
    assert_eq!(call(&town.bank, deposit("other", 1)).await, Ok(Reply::Balance(1)));
    town.stop().await;

    let town = start().await;
    let loaded = town.metric("records_loaded_total");
    assert_eq!(balance(&town.bank, "*kept").await, 5);
    assert_eq!(balance(&town.bank, "*unknown").await, 0);
    assert_eq!(call(&town.bank, deposit("*new", 1)).await, Ok(Reply::Balance(1)));
    assert_eq!(town.metric("records_loaded_total"), loaded);
    assert_eq!(balance(&town.bank, "other").await, 1);
    assert!(town.metric("records_loaded_total") > loaded, "it is not resident");

    // Another writer on the same partitions learns of what this one did, and the other way round.
    let other = start().await;
    for count in 2..6 {
        let bank = if count % 2 == 0 { &other.bank } else { &town.bank };
        assert_eq!(call(bank, deposit("*new", 1)).await, Ok(Reply::Balance(count)));
        for bank in [&town.bank, &other.bank] {
            assert_eq!(balance(bank, "*new").await, count);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_of_several_heads_is_read_again() {
    let database = database(Immediate, true);
    // Each of the first loads takes a while, and another writer comes in between.
    database.inject_next(Kind::Load, 8, Fault::slow(Duration::from_millis(5)));
    let other = database.open("bank");
    let writing = tokio::spawn(async move {
        for (partition, delay) in (0..PARTITIONS).zip([7, 0, 0]) {
            pass(delay).await;
            other.commit(partition, Commit::default()).await.expect("nobody else has committed");
        }
    });
    let town = Town::of(&database).await;
    writing.await.expect("no panic");
    for account in 0..10 {
        assert_eq!(call(&town.bank, deposit(&format!("account-{account}"), 1)).await, Ok(Reply::Balance(1)));
    }
    assert_eq!(town.metric("commit_conflicts_total"), 0);
}
