//! Nothing leaves a service before what it depends on is durable.

use crate::common::bank::{Command, Reply};
use crate::common::{
    PARTITIONS, Town, audit, balance, balances, call, cursors, database, deposit, kept_events, open_accounts, pass,
    place, settings, spawn_call, transfer,
};
use saga::{CallError, CallOptions, Halt, partition_of};
use store_memory::Persistence::{Immediate, Manual};

async fn seen_by_clerk(town: &Town, id: &str) -> u64 {
    match town.clerk.call(partition_of(id.as_bytes(), 2), audit(id), CallOptions::default()).await {
        Ok(Reply::Audited(seen)) => seen,
        other => panic!("no count of {id}: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_replied_before_it_is_durable() {
    let database = database(Manual, false);
    let town = Town::of(&database).await;
    let deposit = spawn_call(&town.bank, deposit("account", 5), CallOptions::default());
    pass(1000).await;
    let read = spawn_call(&town.bank, Command::Balance { account: "account".into() }, CallOptions::default());
    pass(1000).await;
    assert_eq!(database.committed(), 1);
    assert!(!deposit.is_finished(), "replied to before it was durable");
    assert!(!read.is_finished(), "a read of what is not durable");
    database.persist_all();
    assert_eq!(deposit.await.expect("no panic"), Ok(Reply::Balance(5)));
    assert_eq!(read.await.expect("no panic"), Ok(Reply::Balance(5)));
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_effect_and_reply_together() {
    let database = database(Manual, false);
    let mut town = Town::of(&database).await;
    let kept = spawn_call(&town.bank, deposit("account", 5), CallOptions::default());
    pass(10).await;
    database.persist_all();
    assert_eq!(kept.await.expect("no panic"), Ok(Reply::Balance(5)));
    let lost = spawn_call(&town.bank, deposit("account", 2), CallOptions::default());
    pass(10).await;
    assert_eq!(database.crash(), 1);
    assert_eq!(lost.await.expect("no panic"), Err(CallError::Unknown));
    assert!(matches!(town.bank_runs.halted().await, Halt::Poisoned(_)));

    let town = Town::of(&database).await;
    assert_eq!(balance(&town.bank, "account").await, 5);
}

#[tokio::test(start_paused = true)]
async fn every_crash_leaves_a_state_in_which_each_reply_that_is_out_holds() {
    // Money that is on its way at the crash arrives after it, for the events are in the log with the debit.
    for kept_commits in [12, 13, 14, 15, 17, 20, 25] {
        let database = database(Manual, false);
        let flusher = tokio::spawn(database.flusher(std::time::Duration::from_millis(1)));
        let town = Town::of(&database).await;
        open_accounts(&town.bank, 6, 10).await;
        flusher.abort();
        let before = database.persisted();
        for index in 0..24 {
            let (from, to) = (format!("account-{}", index % 6), format!("account-{}", (index + 1) % 6));
            let away = transfer(&format!("transfer-{index}"), &from, &to, 1);
            drop(spawn_call(&town.bank, away, CallOptions::default()));
            tokio::task::yield_now().await;
        }
        pass(5).await;
        database.crash_keeping(before + kept_commits - 10);
        drop(town);

        let flusher = tokio::spawn(database.flusher(std::time::Duration::from_millis(1)));
        let town = Town::of(&database).await;
        pass(2000).await;
        let mut total = 0;
        for index in 0..6 {
            total += balance(&town.bank, &format!("account-{index}")).await;
        }
        assert_eq!(total, 60, "with {kept_commits} commits kept");
        flusher.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn events_pass_at_once_within_a_durability_domain() {
    let database = database(Manual, false);
    let town = Town::of(&database).await;
    let audit = spawn_call(&town.bank, audit("audit"), CallOptions::default());
    pass(1).await;
    assert_eq!(database.committed(), 3, "asked, audited, and heard of it");
    assert_eq!(database.persisted(), 0);
    assert!(!audit.is_finished());
    database.persist_all();
    assert_eq!(audit.await.expect("no panic"), Ok(Reply::Audited(1)));
}

#[tokio::test(start_paused = true)]
async fn events_to_another_durability_domain_wait_until_they_are_durable() {
    let (one, other) = (database(Manual, false), database(Immediate, false));
    let town = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    let audit = spawn_call(&town.bank, audit("audit"), CallOptions::default());
    // Long enough for the clerk to have looked at the log itself, too.
    pass(2000).await;
    assert_eq!(other.committed(), 0, "the clerk heard of what may yet be lost");
    assert_eq!(seen_by_clerk(&town, "audit").await, 0);
    one.persist_all();
    pass(50).await;
    assert_eq!(seen_by_clerk(&town, "audit").await, 1);
    assert!(!audit.is_finished(), "what the audit changed at the bank is not durable");
    one.persist_all();
    assert_eq!(audit.await.expect("no panic"), Ok(Reply::Audited(1)));
}

#[tokio::test(start_paused = true)]
async fn nobody_counts_what_may_be_lost_as_consumed_even_if_it_is_not_for_them() {
    let (one, other) = (database(Manual, false), database(Immediate, false));
    let town = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    let opened = spawn_call(&town.bank, deposit("account-0", 5), CallOptions::default());
    pass(10).await;
    one.persist_all();
    assert_eq!(opened.await.expect("no panic"), Ok(Reply::Balance(5)));
    // What arrives is an event of another partition, for the bank alone, and nobody waits for it to be durable.
    let sent = transfer("transfer", "account-0", "account-1", 5);
    assert_ne!(place(&sent), partition_of(b"account-1", PARTITIONS));
    let lost = spawn_call(&town.bank, sent, CallOptions::default());
    pass(10_000).await;
    let consumed = async || {
        let mut consumed = Vec::new();
        for partition in 0..2 {
            consumed.extend(cursors(&other.open("clerk"), partition).await.into_iter().map(|cursor| cursor.position));
        }
        consumed
    };
    assert_eq!(consumed().await, [], "the clerk counts events as consumed that may yet be lost");
    assert!(one.crash() > 0);
    assert_eq!(lost.await.expect("no panic"), Err(CallError::Unknown));
    drop(town);

    let flusher = tokio::spawn(one.flusher(std::time::Duration::from_millis(1)));
    let town = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    assert_eq!(call(&town.bank, transfer("again", "account-0", "account-1", 5)).await, Ok(Reply::Done));
    assert_eq!(balances(&town.bank, 2).await, [0, 5]);
    pass(10_000).await;
    assert_eq!(consumed().await, [1; 4], "and passes over them once they are durable, so that the logs can be trimmed");
    flusher.abort();
}

#[tokio::test(start_paused = true)]
async fn a_log_is_kept_until_what_its_consumer_made_of_it_is_durable() {
    let (one, other) = (database(Immediate, false), database(Manual, false));
    let town = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    for index in 0..10 {
        drop(spawn_call(&town.bank, audit(&format!("audit-{index}")), CallOptions::default()));
    }
    // Until no deadline needs the events any more.
    pass(6000).await;
    let touch_all = async || {
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            call(&town.bank, deposit(name, 1)).await.expect("a deposit");
        }
    };
    touch_all().await;
    assert!(other.committed() > 0, "the clerk has consumed the events");
    assert!(kept_events(&one.open("bank"), PARTITIONS).await >= 10, "and may yet forget that");
    other.persist_all();
    pass(50).await;
    other.persist_all();
    pass(1500).await;
    other.persist_all();
    pass(1500).await;
    touch_all().await;
    let kept = kept_events(&one.open("bank"), PARTITIONS).await;
    assert!(kept < 10, "{kept} events are kept for a consumer that cannot forget them");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_loses_its_tail_consumes_again() {
    let (one, other) = (database(Immediate, false), database(Manual, false));
    let town = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    let asked = spawn_call(&town.bank, audit("audit"), CallOptions::default());
    pass(100).await;
    assert_eq!(other.crash(), 1);
    drop(town);
    assert_eq!(asked.await.expect("no panic"), Err(CallError::Unknown));

    let town = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    let asked = spawn_call(&town.bank, audit("audit"), CallOptions::default());
    pass(100).await;
    other.persist_all();
    assert_eq!(asked.await.expect("no panic"), Ok(Reply::Audited(1)));
}
