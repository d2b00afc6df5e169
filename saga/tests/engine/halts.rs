//! What a partition must not skip, and a store that must not be written to: it stops and says so.

use crate::common::bank::{Command, Reply};
use crate::common::{Town, audit, call, cursors, database, deposit, pass, settings, spawn_call};
use saga::{CallError, CallOptions, Halt, Handle, Store, partition_of, store::Commit};
use store_memory::{Fault, Kind, MemoryStore, Persistence};

/// Commits something that no engine wrote.
async fn tamper(store: &MemoryStore, partition: u16, change: impl FnOnce(u64) -> Commit) {
    let snapshot = store.load(partition, &[]).await.expect("the store is well");
    let commit = Commit { expected_head: snapshot.head, ..change(snapshot.log_end) };
    store.commit(partition, commit).await.expect("nobody else writes");
}

async fn ask_clerk(clerk: &Handle<crate::common::clerk::Clerk>, id: &str) -> Result<Reply, CallError> {
    clerk.call(partition_of(id.as_bytes(), 2), audit(id), CallOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_store_ends_the_service_and_is_never_acknowledged() {
    let database = database(Persistence::Manual, false);
    let mut town = Town::of(&database).await;
    let waiting = spawn_call(&town.bank, deposit("account", 5), CallOptions::default());
    pass(20).await;
    database.poison("the disk is gone");
    assert_eq!(waiting.await.expect("no panic"), Err(CallError::Unknown));
    let Halt::Poisoned(reason) = town.bank_runs.halted().await else { panic!("halted for another reason") };
    assert!(reason.contains("the disk is gone"), "{reason}");
    pass(20).await;
    let after = call(&town.bank, deposit("account", 5)).await;
    assert!(matches!(after, Err(CallError::Stopped | CallError::Unknown)), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_poisons_is_not_acknowledged() {
    let database = database(Persistence::Immediate, false);
    let mut town = Town::of(&database).await;
    database.inject_next(Kind::Commit, 1, Fault::poison("a flush failed"));
    assert_eq!(call(&town.bank, deposit("account", 5)).await, Err(CallError::Unknown));
    assert_eq!(town.bank_runs.halted().await, Halt::Poisoned("a flush failed".into()));
    assert_eq!(call(&town.bank, deposit("account", 5)).await, Err(CallError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_halts_its_partition_and_says_so() {
    let database = database(Persistence::Immediate, false);
    let mut town = Town::of(&database).await;
    assert_eq!(call(&town.bank, Command::Panic).await, Err(CallError::Unknown));
    let Halt::Poisoned(reason) = town.bank_runs.halted().await else { panic!("halted for another reason") };
    assert!(reason.contains("panicked"), "{reason}");
    assert_eq!(call(&town.bank, Command::Panic).await, Err(CallError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn an_event_of_an_unknown_format_halts_its_consumers_and_is_never_skipped() {
    let (one, other) = (database(Persistence::Immediate, false), database(Persistence::Immediate, false));
    let Town { clerk_runs, bank_runs, bank, .. } = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    assert_eq!(call(&bank, audit("before")).await, Ok(Reply::Audited(1)));
    bank_runs.stop().await.expect("the bank stops");
    clerk_runs.stop().await.expect("the clerk stops");
    // From a later version of the bank, say, for the clerk alone.
    let bank_store = one.open("bank");
    tamper(&bank_store, 0, |_| Commit { events: vec![vec![99, 0].into()], ..Commit::default() }).await;
    let end = bank_store.load(0, &[]).await.expect("the store is well").log_end;

    for _ in 0..2 {
        let mut town = Town::begin(one.open("bank"), other.open("clerk"), settings());
        let Halt::Halted { log, reason } = town.clerk_runs.halted().await else { panic!("another reason") };
        assert_eq!(&*log.service, "clerk");
        assert!(reason.contains("format 99"), "{reason}");
        let Halt::Halted { log, reason } = town.bank_runs.halted().await else { panic!("another reason") };
        assert_eq!(&*log.service, "bank");
        assert!(reason.contains("format 99"), "{reason}");
        pass(5000).await;
        for partition in 0..2 {
            let cursors = cursors(&other.open("clerk"), partition).await;
            let passed = cursors.iter().find(|cursor| &*cursor.log.service == "bank" && cursor.log.partition == 0);
            assert!(passed.is_none_or(|cursor| cursor.position < end), "partition {partition} skipped the event");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn services_that_do_not_consume_a_bad_log_go_on() {
    let (one, other) = (database(Persistence::Immediate, false), database(Persistence::Immediate, false));
    let mut town = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    assert_eq!(call(&town.bank, audit("before")).await, Ok(Reply::Audited(1)));
    // The bank consumes the clerk's log; nobody else does, and the other clerk never sees it.
    tamper(&other.open("clerk"), 0, |_| Commit { events: vec![vec![99, 0].into()], ..Commit::default() }).await;
    assert!(matches!(town.bank_runs.halted().await, Halt::Halted { .. }));
    let mut id = (0..).map(|index| format!("id-{index}"));
    let in_good_log = id.find(|id| partition_of(id.as_bytes(), 2) == 1).expect("one of them");
    assert_eq!(ask_clerk(&town.clerk, &in_good_log).await, Ok(Reply::Audited(0)));
    assert_eq!(call(&town.bank, deposit("account", 1)).await, Err(CallError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_of_a_log_that_was_trimmed_stands_still_until_the_loss_is_accepted() {
    let (one, other) = (database(Persistence::Immediate, false), database(Persistence::Immediate, false));
    let Town { clerk_runs, bank, bank_runs, .. } = Town::start(one.open("bank"), other.open("clerk"), settings()).await;
    clerk_runs.stop().await.expect("the clerk stops");
    let id = "audit";
    assert_eq!(call(&bank, audit(id)).await, Ok(Reply::GaveUp));
    bank_runs.stop().await.expect("the bank stops");
    // Someone drops what the clerk has not consumed, and a further event shows it.
    let place = partition_of(id.as_bytes(), crate::common::PARTITIONS);
    tamper(&one.open("bank"), place, |log_end| Commit {
        events: vec![saga_event().into()],
        trim: log_end,
        ..Commit::default()
    })
    .await;
    let town = Town::begin(one.open("bank"), other.open("clerk"), settings());
    pass(5000).await;
    let reasons = town.clerk_runs.health().reasons();
    assert!(reasons.iter().any(|reason| reason.contains("the data of clerk/")), "{reasons:?}");
    assert_eq!(ask_clerk(&town.clerk, id).await, Err(CallError::Unavailable));
    for partition in 0..2 {
        saga::repair::accept_loss(&other.open("clerk"), partition).await.expect("the store is well");
    }
    pass(5000).await;
    assert_eq!(town.clerk_runs.health().reasons(), [""; 0]);
    assert_eq!(ask_clerk(&town.clerk, id).await, Ok(Reply::Audited(0)));
}

fn saga_event() -> Vec<u8> {
    let mut bytes = Vec::new();
    saga::Codec::encode_to(&crate::common::bank::Event::AuditGivenUp { id: "nobody".into() }, &mut bytes);
    bytes
}
