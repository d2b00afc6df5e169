//! Callers: their patience, too many of them, those who leave, and those who are there when the service stops.

use std::time::Duration;

use crate::common::bank::Reply;
use crate::common::{
    Records, Town, audit, balance, call, call_with, database, deposit, pass, patient, settings, spawn_call, wait_for,
    withdraw,
};
use saga::{CallError, CallOptions, Settings};
use store_memory::Persistence::{Immediate, Manual};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_caller_whose_patience_is_over_is_told_so_once_and_has_changed_nothing() {
    let database = database(Immediate, false);
    let town = Town::of(&database).await;
    let asked = Instant::now();
    assert_eq!(call_with(&town.bank, wait_for("account", 5), patient(200)).await, Ok(Reply::GaveUp));
    assert!((200..230).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
    assert_eq!(call(&town.bank, deposit("account", 5)).await, Ok(Reply::Balance(5)));
    pass(1000).await;
    assert_eq!(town.metric("steps_noted_total"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_in_time_ends_the_patience() {
    let database = database(Immediate, false);
    let town = Town::of(&database).await;
    let waiting = spawn_call(&town.bank, wait_for("account", 5), patient(200));
    pass(150).await;
    call(&town.bank, deposit("account", 6)).await.expect("a deposit");
    assert_eq!(waiting.await.expect("no panic"), Ok(Reply::Balance(1)));
    pass(1000).await;
    assert_eq!(town.metric("steps_noted_total"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_patience_does_not_wait_for_ever() {
    let database = database(Immediate, false);
    let town = Town::of(&database).await;
    for _ in 0..20 {
        // At every moment of the partition's round.
        pass(3).await;
        let answer = tokio::time::timeout(Duration::from_secs(1), call_with(&town.bank, wait_for("a", 5), patient(0)));
        assert_eq!(answer.await.expect("an answer"), Ok(Reply::GaveUp));
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_may_ignore_impatience_and_reply_in_its_time() {
    let database = database(Immediate, false);
    let town = Town::of(&database).await;
    let Town { bank, clerk_runs, .. } = town;
    clerk_runs.stop().await.expect("the clerk stops");
    assert_eq!(call_with(&bank, audit("audit"), patient(100)).await, Ok(Reply::GaveUp), "at the deadline");
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_may_wait_are_turned_away_and_do_nothing() {
    let database = database(Immediate, false);
    let settings = Settings { requests_waiting_max: 2, ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    let one = || call(&town.bank, deposit("account", 1));
    // All are sent before the partition gets to run.
    let answers = tokio::join!(one(), one(), one(), one());
    let overloaded = Err(CallError::Overloaded);
    assert_eq!(answers, (Ok(Reply::Balance(1)), Ok(Reply::Balance(2)), overloaded.clone(), overloaded));
    assert_eq!(balance(&town.bank, "account").await, 2);
    assert_eq!(one().await, Ok(Reply::Balance(3)));
}

#[tokio::test(start_paused = true)]
async fn stopping_answers_what_is_queued_and_then_takes_nothing_more() {
    let database = database(Manual, false);
    let flusher = tokio::spawn(database.flusher(Duration::from_millis(5)));
    let Town { bank, bank_runs, .. } = Town::of(&database).await;
    let waiting = spawn_call(&bank, wait_for("poor", 5), CallOptions::default());
    pass(20).await;
    let queued: Vec<_> = (0..50).map(|_| spawn_call(&bank, deposit("account", 1), CallOptions::default())).collect();
    tokio::task::yield_now().await;
    bank_runs.stop().await.expect("the bank stops");
    for (count, queued) in (1..).zip(queued) {
        assert_eq!(queued.await.expect("no panic"), Ok(Reply::Balance(count)));
    }
    assert_eq!(waiting.await.expect("no panic"), Err(CallError::Unknown), "who had begun to wait");
    assert_eq!(call(&bank, deposit("account", 1)).await, Err(CallError::Stopped));
    flusher.abort();
    let town = Town::of(&database).await;
    assert_eq!(balance(&town.bank, "account").await, 50);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_service_stops_learns_that_nothing_was_done() {
    let database = database(Manual, false);
    let Town { bank, bank_runs, .. } = Town::of(&database).await;
    let before = spawn_call(&bank, deposit("account", 1), CallOptions::default());
    pass(20).await;
    let stopping = tokio::spawn(bank_runs.stop());
    pass(20).await;
    // The bank waits for its last flush.
    assert_eq!(call(&bank, deposit("account", 1)).await, Err(CallError::Stopped));
    database.persist_all();
    assert_eq!(before.await.expect("no panic"), Ok(Reply::Balance(1)));
    assert_eq!(stopping.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn stopping_ends_though_requests_keep_coming() {
    let database = database(Immediate, false);
    let Town { bank, bank_runs, .. } = Town::of(&database).await;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let bank = bank.clone();
            tokio::spawn(async move {
                // Always one more in the queue while the one before is carried out.
                while let Ok(_reply) = call(&bank, deposit("account", 1)).await {}
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    let stopped = tokio::time::timeout(Duration::from_secs(20), bank_runs.stop()).await;
    assert_eq!(stopped.expect("it stops"), Ok(()));
    for caller in callers {
        caller.await.expect("no panic");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_hurt_nobody() {
    let database = database(Immediate, false);
    let town = Town::of(&database).await;
    for round in 0..10 {
        let leaving = spawn_call(&town.bank, deposit("account", 1), CallOptions::default());
        let waiting = spawn_call(&town.bank, wait_for("account", 1000), CallOptions::default());
        if round % 2 == 0 {
            pass(1).await;
        } else {
            tokio::task::yield_now().await;
        }
        leaving.abort();
        waiting.abort();
    }
    pass(100).await;
    assert_eq!(balance(&town.bank, "account").await, 10, "what they asked for is done all the same");
    assert_eq!(call(&town.bank, deposit("account", 990)).await, Ok(Reply::Balance(0)), "the first of them is served");
    assert_eq!(call(&town.bank, deposit("account", 1)).await, Ok(Reply::Balance(1)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_or_a_wait_commits_nothing() {
    let database = database(Immediate, false);
    let records = Records::watch(&database);
    let town = Town::of(&database).await;
    assert_eq!(call(&town.bank, deposit("account", 5)).await, Ok(Reply::Balance(5)));
    let before = records.commits();
    assert_eq!(call(&town.bank, withdraw("account", 6)).await, Ok(Reply::Refused));
    assert_eq!(call(&town.bank, withdraw("nobody", 1)).await, Ok(Reply::Refused));
    assert_eq!(call_with(&town.bank, wait_for("account", 6), patient(200)).await, Ok(Reply::GaveUp));
    assert_eq!(balance(&town.bank, "account").await, 5);
    pass(2000).await;
    assert_eq!(records.commits(), before);
    let waiting = spawn_call(&town.bank, wait_for("account", 6), CallOptions::default());
    pass(1000).await;
    assert_eq!(records.commits(), before, "a caller who waits is known in memory only");
    assert_eq!(call(&town.bank, deposit("account", 1)).await, Ok(Reply::Balance(0)));
    assert_eq!(waiting.await.expect("no panic"), Ok(Reply::Balance(0)));
    assert_eq!(records.commits(), before + 1);
}
