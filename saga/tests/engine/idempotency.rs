//! Requests with an idempotency key: applied once, replied to alike, and forgotten after their time.

use std::{sync::Arc, time::Duration};

use crate::common::bank::{Command, Reply};
use crate::common::{
    AdjustedClock, PARTITIONS, Records, Town, balance, call, call_with, database, deposit, keyed, pass, place,
    settings, spawn_call, transfer, wait_for, withdraw,
};
use saga::{CallError, CallOptions, IdempotencyKey, Settings, partition_of};
use store_memory::{Fault, Kind, Persistence};

/// A key whose home is the partition of `account`, or another one.
fn key_at(account: &str, same: bool) -> String {
    let place = partition_of(account.as_bytes(), PARTITIONS);
    let mut keys = (0..).map(|index| format!("key-{index}"));
    keys.find(|key| (partition_of(key.as_bytes(), PARTITIONS) == place) == same).expect("one of them")
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_the_same_reply_and_is_applied_once_also_after_a_restart() {
    for same in [true, false] {
        let key = key_at("account", same);
        let database = database(Persistence::Immediate, false);
        let town = Town::of(&database).await;
        for _ in 0..3 {
            let reply = call_with(&town.bank, deposit("account", 5), keyed(&key, 1)).await;
            assert_eq!(reply, Ok(Reply::Balance(5)));
            call(&town.bank, deposit("account", 1)).await.expect("a deposit of another");
        }
        town.stop().await;
        let town = Town::of(&database).await;
        assert_eq!(call_with(&town.bank, deposit("account", 5), keyed(&key, 1)).await, Ok(Reply::Balance(5)));
        assert_eq!(balance(&town.bank, "account").await, 8);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_repeated_even_when_it_would_succeed_by_now() {
    let database = database(Persistence::Immediate, false);
    let town = Town::of(&database).await;
    let key = key_at("account", true);
    assert_eq!(call_with(&town.bank, withdraw("account", 5), keyed(&key, 1)).await, Ok(Reply::Refused));
    call(&town.bank, deposit("account", 5)).await.expect("a deposit");
    assert_eq!(call_with(&town.bank, withdraw("account", 5), keyed(&key, 1)).await, Ok(Reply::Refused));
    assert_eq!(balance(&town.bank, "account").await, 5);
}

#[tokio::test(start_paused = true)]
async fn repetitions_in_flight_join_and_get_the_one_reply() {
    for same in [true, false] {
        let key = key_at("account", same);
        let database = database(Persistence::Manual, false);
        let flusher = tokio::spawn(database.flusher(Duration::from_millis(20)));
        let town = Town::of(&database).await;
        let mut calls = Vec::new();
        for round in 0..6 {
            calls.push(spawn_call(&town.bank, deposit("account", 5), keyed(&key, 1)));
            // Some at once, some while the first waits for its flush, some after it.
            pass(round * 5).await;
        }
        for call in calls {
            assert_eq!(call.await.expect("no panic"), Ok(Reply::Balance(5)));
        }
        assert_eq!(balance(&town.bank, "account").await, 5);
        flusher.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_comes_later_is_remembered_too() {
    for same in [true, false] {
        let key = key_at("account", same);
        let database = database(Persistence::Immediate, false);
        let town = Town::of(&database).await;
        let waiting: Vec<_> = (0..3).map(|_| spawn_call(&town.bank, wait_for("account", 5), keyed(&key, 1))).collect();
        pass(50).await;
        assert_eq!(call(&town.bank, deposit("account", 12)).await, Ok(Reply::Balance(7)), "one has got its share");
        for waiting in waiting {
            assert_eq!(waiting.await.expect("no panic"), Ok(Reply::Balance(7)));
        }
        let moved = key_at("account", !same);
        for _ in 0..2 {
            let away = transfer("one", "account", "elsewhere", 2);
            assert_eq!(call_with(&town.bank, away, keyed(&moved, 2)).await, Ok(Reply::Done));
        }
        town.stop().await;
        let town = Town::of(&database).await;
        assert_eq!(call_with(&town.bank, wait_for("account", 5), keyed(&key, 1)).await, Ok(Reply::Balance(7)));
        assert_eq!((balance(&town.bank, "account").await, balance(&town.bank, "elsewhere").await), (5, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_request_is_refused_wherever_it_is_used() {
    let database = database(Persistence::Immediate, false);
    let town = Town::of(&database).await;
    // In one partition, its home or not; and in two, of which one or none is its home.
    let other = (0..).map(|index| format!("other-{index}"));
    let other = other.filter(|name| place(&deposit(name, 1)) != place(&deposit("account", 1))).take(1).next();
    let other = other.expect("one of them");
    let cases = [("account", true, "account"), ("account", false, "account"), ("account", true, &other)];
    for (number, (first, same, second)) in cases.into_iter().enumerate() {
        let key = format!("{}-of-{number}", key_at(first, same));
        assert!(call_with(&town.bank, deposit(first, 5), keyed(&key, 1)).await.is_ok());
        let before = balance(&town.bank, second).await;
        let again = call_with(&town.bank, deposit(second, 6), keyed(&key, 2)).await;
        assert_eq!(again, Err(CallError::KeyReused), "case {number}");
        assert_eq!(balance(&town.bank, second).await, before, "case {number}");
    }
    let waiting = spawn_call(&town.bank, wait_for("account", 500), keyed("in-flight", 1));
    pass(20).await;
    let again = call_with(&town.bank, deposit("account", 1), keyed("in-flight", 2)).await;
    assert_eq!(again, Err(CallError::KeyReused), "also while the first one runs");
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_claim_tells_what_the_request_was_told() {
    let database = database(Persistence::Immediate, false);
    let town = Town::of(&database).await;
    let name = key_at("account", true);
    let key = IdempotencyKey { key: name.as_str().into(), fingerprint: 1, retention: None };
    assert_eq!(town.bank.claim(key.clone()).await, Ok(None));
    assert_eq!(town.bank.claim(key.clone()).await, Ok(None));
    assert_eq!(town.bank.claim(IdempotencyKey { fingerprint: 2, ..key.clone() }).await, Err(CallError::KeyReused));
    assert_eq!(call_with(&town.bank, deposit("account", 5), keyed(&name, 1)).await, Ok(Reply::Balance(5)));
    assert_eq!(town.bank.claim(key).await, Ok(Some(Reply::Balance(5))));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_not_final_does_not_stick() {
    let database = database(Persistence::Immediate, false);
    let town = Town::of(&database).await;
    let options = CallOptions { patience: Some(Duration::from_millis(100)), ..keyed("key", 1) };
    let first = call_with(&town.bank, wait_for("account", 5), options.clone()).await;
    assert_eq!(first, Ok(Reply::GaveUp));
    call(&town.bank, deposit("account", 7)).await.expect("a deposit");
    for _ in 0..2 {
        let again = call_with(&town.bank, wait_for("account", 5), options.clone()).await;
        assert_eq!(again, Ok(Reply::Balance(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_forgotten_after_their_time_and_leave_nothing_behind() {
    let database = database(Persistence::Immediate, false);
    let records = Records::watch(&database);
    let retention = Duration::from_secs(60);
    let settings = Settings { idempotency_retention: retention, records_in_memory_max: 100, ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings.clone()).await;
    // More than are removed in one go, of one partition; and some that are claimed elsewhere.
    for index in 0..1300 {
        let reply = call_with(&town.bank, deposit("account", 1), keyed(&format!("key-{index}"), index)).await;
        assert_eq!(reply, Ok(Reply::Balance(index + 1)));
    }
    assert!(records.count(b'a') >= 1300 && records.count(b'q') >= 1300);
    pass(30_000).await;
    assert_eq!(call_with(&town.bank, deposit("account", 1), keyed("key-3", 3)).await, Ok(Reply::Balance(4)));
    town.stop().await;
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    assert_eq!(call_with(&town.bank, deposit("account", 1), keyed("late", 9)).await, Ok(Reply::Balance(1301)));
    pass(33_000).await;
    let answers = records.count(b'a');
    assert!((1..=4).contains(&answers), "{answers} answers are left of the late one and the repeated claim");
    assert_eq!(records.count(b'q'), answers, "each is queued, and nothing else is");
    pass(32_000).await;
    assert_eq!((records.count(b'a'), records.count(b'q')), (0, 0));
    assert_eq!(records.count(b'b'), 0, "nor their number");
    assert_eq!(town.metric("idempotency_keys") + town.metric("idempotency_bytes"), 0);
    let reply = call_with(&town.bank, deposit("account", 9), keyed("key-3", 77)).await;
    assert_eq!(reply, Ok(Reply::Balance(1310)), "the key is free again");
    assert_eq!((records.count(b'a') > 0, records.count(b'q') > 0), (true, true));
    pass(63_000).await;
    assert_eq!((records.count(b'a'), records.count(b'q')), (0, 0), "the queue goes on where it was");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_applied_once_though_the_store_loses_answers() {
    let database = database(Persistence::Immediate, true);
    let town = Town::of(&database).await;
    for index in 0..20 {
        let fault = if index % 2 == 0 { Fault::fail_after("lost") } else { Fault::fail_before("no route") };
        database.inject_next(Kind::Commit, 1 + index % 3, fault);
        let key = format!("key-{index}");
        for _ in 0..2 {
            let reply = call_with(&town.bank, deposit("account", 1), keyed(&key, index)).await;
            assert_eq!(reply, Ok(Reply::Balance(index + 1)));
        }
    }
    let read = call(&town.bank, Command::Balance { account: "account".into() }).await;
    assert_eq!(read, Ok(Reply::Balance(20)));
}

/// Options with a key that is kept for so long.
fn kept(key: &str, retention_s: u64) -> CallOptions {
    let key = IdempotencyKey { key: key.into(), fingerprint: 1, retention: Some(Duration::from_secs(retention_s)) };
    CallOptions { key: Some(key), patience: None }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_kept_long_is_in_nobodys_way() {
    let database = database(Persistence::Immediate, false);
    let records = Records::watch(&database);
    let clock = AdjustedClock::new();
    let settings = Settings { clock: Arc::new(clock.clone()), ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    for (number, retention) in [86_399, 5, 300, 5, 20, 1].into_iter().enumerate() {
        call_with(&town.bank, deposit("account", 1), kept(&format!("key-{number}"), retention))
            .await
            .expect("a deposit");
    }
    pass(7_000).await;
    assert_eq!(records.count(b'a'), 3, "those of 5 seconds and less are gone");
    pass(20_000).await;
    assert_eq!(records.count(b'a'), 2);
    // A clock that was an hour ahead for a moment.
    clock.set_ahead(3_600_000);
    call_with(&town.bank, deposit("account", 1), kept("ahead", 5)).await.expect("a deposit");
    clock.set_ahead(0);
    call_with(&town.bank, deposit("account", 1), kept("after", 5)).await.expect("a deposit");
    pass(7_000).await;
    assert_eq!(records.count(b'a'), 2, "the one kept for a day, and the one of the clock that was ahead");
    // What was kept by the clock that was ahead has had its time too.
    clock.set_ahead(3_610_000);
    pass(7_000).await;
    assert_eq!(records.count(b'a'), 1);
    assert_eq!(town.metric("idempotency_keys"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_good_for_its_time_and_not_for_as_long_as_it_happens_to_be_there() {
    let database = database(Persistence::Immediate, false);
    // Nothing is removed for a while.
    let settings = Settings { poll: Duration::from_secs(15), ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    let add = || call_with(&town.bank, deposit("account", 1), kept("key", 8));
    assert_eq!(add().await, Ok(Reply::Balance(1)));
    pass(7_500).await;
    assert_eq!(add().await, Ok(Reply::Balance(1)));
    pass(2_000).await;
    assert_eq!(add().await, Ok(Reply::Balance(2)), "its time is over");
    // What was due is removed now, and not what was recorded anew.
    pass(7_000).await;
    assert_eq!(add().await, Ok(Reply::Balance(2)));
}

#[tokio::test(start_paused = true)]
async fn no_key_is_kept_longer_than_the_settings_say() {
    let database = database(Persistence::Immediate, false);
    let records = Records::watch(&database);
    let settings = Settings { idempotency_retention: Duration::from_secs(10), ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    let add = || call_with(&town.bank, deposit("account", 1), kept("key", 86_400));
    assert_eq!(add().await, Ok(Reply::Balance(1)));
    pass(9_000).await;
    assert_eq!(add().await, Ok(Reply::Balance(1)));
    pass(4_000).await;
    assert_eq!(records.count(b'a'), 0);
    assert_eq!(add().await, Ok(Reply::Balance(2)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_changed_nothing_is_remembered_for_a_short_time_only() {
    let database = database(Persistence::Immediate, false);
    let records = Records::watch(&database);
    let settings = Settings { unchanged_retention: Duration::from_secs(10), ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    let key = key_at("account", true);
    let withdrawal = || call_with(&town.bank, withdraw("account", 5), keyed(&key, 1));
    assert_eq!(withdrawal().await, Ok(Reply::Refused));
    call(&town.bank, deposit("account", 5)).await.expect("a deposit");
    pass(9_000).await;
    assert_eq!(withdrawal().await, Ok(Reply::Refused));
    pass(3_000).await;
    assert_eq!(records.count(b'a'), 0);
    assert_eq!(withdrawal().await, Ok(Reply::Balance(0)));
    pass(60_000).await;
    assert_eq!((withdrawal().await, records.count(b'a')), (Ok(Reply::Balance(0)), 1), "what has an effect is kept");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_remembers_as_much_as_it_may_refuses_further_keys_and_forgets_none() {
    let database = database(Persistence::Immediate, false);
    let settings = Settings { idempotency_bytes_max: 2_000, ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings.clone()).await;
    let add = |number: u64| call_with(&town.bank, deposit("account", 1), kept(&format!("key-{number}"), 60));
    let mut kept = 0;
    while add(kept).await == Ok(Reply::Balance(kept + 1)) {
        kept += 1;
        assert!(kept < 100, "no bound");
    }
    assert!(kept > 5, "{kept} keys");
    assert_eq!(add(kept).await, Err(CallError::Overloaded));
    assert_eq!(add(0).await, Ok(Reply::Balance(1)), "what is remembered is");
    assert_eq!(call(&town.bank, deposit("account", 1)).await, Ok(Reply::Balance(kept + 1)), "others need no room");
    pass(600).await;
    assert_eq!(town.metric("idempotency_keys"), kept);
    assert!((2_000..2_300).contains(&town.metric("idempotency_bytes")));
    town.stop().await;
    // What a restart finds is counted as it was.
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    let add = |number: u64| call_with(&town.bank, deposit("account", 1), self::kept(&format!("key-{number}"), 60));
    assert_eq!(add(kept).await, Err(CallError::Overloaded));
    pass(66_000).await;
    assert_eq!(add(kept).await, Ok(Reply::Balance(kept + 2)));
}
