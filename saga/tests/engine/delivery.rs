//! Events reach every partition they are for and are applied once, however they are delivered.

use crate::common::bank::Reply;
use crate::common::{
    PARTITIONS, Town, audit, balance, balances, call, database, deposit, kept_events, open_accounts, pass, settings,
    transfer, transfer_around, withdraw,
};
use saga::{DeliveryFault, Settings};
use store_memory::Persistence;

const ACCOUNTS: usize = 12;

/// Transfers among accounts of all partitions, and audits, end as they should under `settings`.
async fn everything_arrives_once(settings: Settings, shared_database: bool) {
    let one = database(Persistence::Immediate, false);
    let other = if shared_database { one.clone() } else { database(Persistence::Immediate, false) };
    let town = Town::start(one.open("bank"), other.open("clerk"), settings).await;
    open_accounts(&town.bank, ACCOUNTS, 100).await;
    transfer_around(&town.bank, ACCOUNTS, 4).await;
    assert_eq!(balances(&town.bank, ACCOUNTS).await, [100; ACCOUNTS]);
    for index in 0..20 {
        let reply = call(&town.bank, audit(&format!("audit-{index}"))).await;
        assert_eq!(reply, Ok(Reply::Audited(1)), "the clerk was asked once by audit-{index}");
    }
    assert_eq!(call(&town.bank, transfer("back", "account-0", "closed", 7)).await, Ok(Reply::Refused));
    assert_eq!(balance(&town.bank, "account-0").await, 100);
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_are_applied_once() {
    everything_arrives_once(settings(), true).await;
    everything_arrives_once(settings(), false).await;
}

#[tokio::test(start_paused = true)]
async fn events_delivered_twice_are_applied_once() {
    for shared in [true, false] {
        everything_arrives_once(Settings { delivery_fault: DeliveryFault::RepeatEvery, ..settings() }, shared).await;
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_no_delivery_brings_come_from_the_logs() {
    for shared in [true, false] {
        everything_arrives_once(Settings { delivery_fault: DeliveryFault::DropEvery, ..settings() }, shared).await;
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_find_a_full_mailbox_come_from_the_logs() {
    for shared in [true, false] {
        everything_arrives_once(Settings { deliveries_waiting_max: 1, ..settings() }, shared).await;
    }
}

#[tokio::test(start_paused = true)]
async fn batches_of_one_input_give_the_same_results() {
    everything_arrives_once(Settings { batch_inputs_max: 1, ..settings() }, true).await;
}

#[tokio::test(start_paused = true)]
async fn logs_stay_level_over_a_long_run_and_restarts() {
    let (one, other) = (database(Persistence::Immediate, false), database(Persistence::Immediate, false));
    let mut settings = settings();
    settings.poll = std::time::Duration::from_millis(50);
    let (mut kept_max, mut events) = (0, 0);
    for life in 0..3 {
        let town = Town::start(one.open("bank"), other.open("clerk"), settings.clone()).await;
        for round in 0..40 {
            for name in 0..6 {
                let id = format!("{life}-{round}-{name}");
                assert_eq!(call(&town.bank, audit(&id)).await, Ok(Reply::Audited(1)));
                call(&town.bank, deposit(&format!("from-{name}"), 1)).await.expect("a deposit");
                let away = transfer(&id, &format!("from-{name}"), &format!("to-{name}"), 1);
                assert_eq!(call(&town.bank, away).await, Ok(Reply::Done));
            }
            pass(100).await;
            kept_max = kept_max.max(kept_events(&one.open("bank"), PARTITIONS).await);
            kept_max = kept_max.max(kept_events(&other.open("clerk"), 2).await);
        }
        events += town.metric("events_total");
        town.stop().await;
    }
    assert!(events > 2000, "a long run: {events} events");
    assert!(kept_max < 100, "{kept_max} of {events} events were kept");
}

/// Both services consume the logs: their cursors have to pass what is for neither.
#[tokio::test(start_paused = true)]
async fn a_log_of_nothing_but_events_for_nobody_stays_small() {
    let (one, other) = (database(Persistence::Immediate, false), database(Persistence::Immediate, false));
    let settings = Settings { poll: std::time::Duration::from_millis(50), ..settings() };
    let town = Town::start(one.open("bank"), other.open("clerk"), settings).await;
    open_accounts(&town.bank, ACCOUNTS, 100).await;
    let mut kept_max = 0;
    for round in 1..=60 {
        for index in 0..ACCOUNTS {
            let reply = call(&town.bank, withdraw(&format!("account-{index}"), 1)).await;
            assert_eq!(reply, Ok(Reply::Balance(100 - round)));
        }
        pass(100).await;
        kept_max = kept_max.max(kept_events(&one.open("bank"), PARTITIONS).await);
    }
    let events = town.metric("events_total");
    assert!(events >= 60 * ACCOUNTS as u64, "{events} events");
    assert!(kept_max < 5 * ACCOUNTS, "{kept_max} of {events} events were kept");
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_away_bounds_the_trimming_of_what_it_has_to_consume() {
    let database = database(Persistence::Immediate, false);
    let town = Town::of(&database).await;
    assert_eq!(call(&town.bank, audit("before")).await, Ok(Reply::Audited(1)));
    pass(1000).await;
    let Town { bank, bank_runs, clerk_runs, .. } = town;
    clerk_runs.stop().await.expect("the clerk stops");
    for index in 0..50 {
        // Nobody answers, and each gives up in time.
        assert_eq!(call(&bank, audit(&format!("audit-{index}"))).await, Ok(Reply::GaveUp));
    }
    let kept = kept_events(&database.open("bank"), PARTITIONS).await;
    assert!(kept >= 100, "only {kept} events are kept for the clerk");
    bank_runs.stop().await.expect("the bank stops");

    let town = Town::of(&database).await;
    for index in 0..50 {
        let seen = town.clerk.call(
            saga::partition_of(format!("audit-{index}").as_bytes(), 2),
            audit(&format!("audit-{index}")),
            saga::CallOptions::default(),
        );
        assert_eq!(seen.await, Ok(Reply::Audited(1)), "the clerk heard of audit-{index} after all");
    }
    pass(2000).await;
    for index in 0..PARTITIONS {
        // Something to commit, so that there is an occasion to trim.
        call(&town.bank, deposit(&format!("account-{index}"), 1)).await.expect("a deposit");
    }
    for account in ["a", "b", "c", "d", "e", "f", "g"] {
        call(&town.bank, deposit(account, 1)).await.expect("a deposit");
    }
    let kept = kept_events(&database.open("bank"), PARTITIONS).await;
    assert!(kept < 20, "{kept} events are kept though all are consumed");
    town.stop().await;
}
