//! A store without room for anything new: callers' changes are refused, all that was begun goes on, and so do reads.

use std::time::Duration;

use crate::common::bank::{Bank, Command, Reply};
use crate::common::{
    Records, Town, audit, balance, call, call_with, database, deposit, keyed, pass, patient, place, settings,
    spawn_call, transfer, wait_for,
};
use saga::{CallError, Handle, Settings, Store as _, store::Commit};
use store_memory::{Fault, Kind, MemoryDatabase, Persistence::Immediate};

/// Makes every commit of the clerk fail, so that audits stay open.
fn keep_the_clerk_from_answering(database: &MemoryDatabase) {
    database.set_fault_plan(|operation| match (operation.service, operation.call.kind()) {
        ("clerk", Kind::Commit) => Fault::fail_before("no route"),
        _ => Fault::none(),
    });
}

async fn refused(bank: &Handle<Bank>, command: Command) {
    assert_eq!(call(bank, command).await, Err(CallError::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn changes_are_refused_and_reads_answered_until_there_is_room() {
    let database = database(Immediate, false);
    let town = Town::of(&database).await;
    assert_eq!(call_with(&town.bank, deposit("account", 5), keyed("key", 1)).await, Ok(Reply::Balance(5)));
    let before = database.committed();
    database.set_full("the disk is full");
    refused(&town.bank, deposit("account", 1)).await;
    refused(&town.bank, transfer("transfer", "account", "other", 1)).await;
    refused(&town.bank, audit("audit")).await;
    let health = town.bank_runs.health();
    assert_eq!((health.limits(), health.reasons()), (vec!["the disk is full".to_owned()], Vec::new()));
    assert_eq!(balance(&town.bank, "account").await, 5);
    // What is remembered is answered; a key that is not is not even noted.
    assert_eq!(call_with(&town.bank, deposit("account", 5), keyed("key", 1)).await, Ok(Reply::Balance(5)));
    let refusal = call_with(&town.bank, deposit("account", 5), keyed("new key", 1)).await;
    assert_eq!(refusal, Err(CallError::Unavailable));
    pass(2000).await;
    assert_eq!(database.committed(), before, "nothing was done");
    database.clear_faults();
    assert_eq!(call_with(&town.bank, deposit("account", 7), keyed("new key", 2)).await, Ok(Reply::Balance(12)));
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_finished_without_room() {
    let database = database(Immediate, false);
    let town = Town::of(&database).await;
    keep_the_clerk_from_answering(&database);
    let audited = spawn_call(&town.bank, audit("audit"), patient(60_000));
    let waiter = spawn_call(&town.bank, wait_for("account", 100), patient(3000));
    pass(1000).await;
    database.set_full("the disk is full");
    assert_eq!(waiter.await.expect("no panic"), Ok(Reply::GaveUp), "its patience is over");
    assert_eq!(audited.await.expect("no panic"), Ok(Reply::GaveUp), "its deadline has passed, which is an event");
    database.clear_faults();
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn replies_expire_without_room() {
    let database = database(Immediate, false);
    let records = Records::watch(&database);
    let settings = Settings { idempotency_retention: Duration::from_secs(60), ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    assert_eq!(call_with(&town.bank, deposit("account", 5), keyed("key", 1)).await, Ok(Reply::Balance(5)));
    assert!(records.count(b'q') > 0, "a reply is remembered");
    database.set_full("the disk is full");
    pass(62_000).await;
    assert_eq!(records.count(b'q'), 0);
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_nothing_was_done_of_what_another_writer_interrupted() {
    let database = database(Immediate, true);
    let town = Town::of(&database).await;
    keep_the_clerk_from_answering(&database);
    let asked = spawn_call(&town.bank, audit("audit"), patient(60_000));
    pass(500).await;
    database.set_full("the disk is full");
    // Another writer moves the head: the request is asked again, and its audit has been begun.
    let (store, partition) = (database.open("bank"), place(&audit("audit")));
    let expected_head = store.load(partition, &[]).await.expect("loads").head;
    store.commit(partition, Commit { expected_head, ..Commit::default() }).await.expect("commits");
    pass(1500).await;
    assert!(!asked.is_finished(), "it waits for the clerk");
    assert_eq!(asked.await.expect("no panic"), Ok(Reply::GaveUp));
    database.clear_faults();
    town.stop().await;
}
