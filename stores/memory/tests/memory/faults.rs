//! Every fault that can be asked for happens, when it was asked for and not otherwise.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use saga::{
    Missed, Store,
    store::{Commit, Error, Visibility, Write},
};
use saga_store_memory::{Fault, Kind, MemoryDatabase, MemoryStore, Persistence, Settings};
use tokio::time::Instant;

fn manual() -> MemoryDatabase {
    MemoryDatabase::new(Settings { persistence: Persistence::Manual, ..Settings::default() })
}

fn nth(head: u64) -> Commit {
    Commit {
        expected_head: head - 1,
        writes: vec![Write { key: "head".into(), value: Some(head.to_string().into()) }],
        events: vec![format!("event-{head}").into()],
        ..Commit::default()
    }
}

async fn commit_up_to(store: &MemoryStore, last: u64) {
    let head = head_of(store).await;
    for head in head + 1..=last {
        store.commit(0, nth(head)).await.expect("nobody else commits");
    }
}

async fn head_of(store: &MemoryStore) -> u64 {
    store.load(0, &[]).await.expect("no fault on loads").head
}

#[tokio::test]
async fn a_crash_loses_what_was_not_persisted() {
    let database = manual();
    commit_up_to(&database.open("a"), 10).await;
    database.persist_up_to(4);
    assert_eq!((database.committed(), database.persisted()), (10, 4));
    assert_eq!(database.crash(), 6);
    assert_eq!((database.committed(), database.persisted()), (4, 4));
    let store = database.open("a");
    let snapshot = store.load(0, &["head".into()]).await.expect("a new handle");
    assert_eq!((snapshot.head, snapshot.log_end), (4, 4));
    assert_eq!(snapshot.records, [Some(Bytes::from("4"))]);
}

#[tokio::test]
async fn a_crash_can_leave_any_prefix_that_has_what_was_persisted() {
    for (asked_to_keep, kept) in [(0, 4), (3, 4), (4, 4), (5, 5), (9, 9), (10, 10), (u64::MAX, 10)] {
        let database = manual();
        commit_up_to(&database.open("a"), 10).await;
        database.persist_up_to(4);
        assert_eq!(database.crash_keeping(asked_to_keep), 10 - kept, "asked to keep {asked_to_keep}");
        assert_eq!(head_of(&database.open("a")).await, kept, "asked to keep {asked_to_keep}");
    }
}

#[tokio::test]
async fn a_crash_takes_the_same_tail_from_every_service() {
    let database = manual();
    for head in 1..=5 {
        for service in ["a", "b"] {
            database.open(service).commit(0, nth(head)).await.expect("nobody else commits");
        }
    }
    assert_eq!(database.crash_keeping(7), 3);
    assert_eq!((head_of(&database.open("a")).await, head_of(&database.open("b")).await), (4, 3));
}

#[tokio::test]
async fn a_handle_from_before_a_crash_is_dead_and_its_gate_says_so() {
    let database = manual();
    let store = database.open("a");
    commit_up_to(&store, 2).await;
    database.persist_up_to(1);
    let waiter = tokio::spawn({
        let gate = store.durability().clone();
        async move { gate.wait(2).await }
    });
    tokio::task::yield_now().await;
    database.crash();
    assert!(matches!(waiter.await.expect("no panic"), Err(Missed::Poisoned(_))));
    assert_eq!(store.durability().wait(1).await, Ok(()), "what was durable stays so");
    assert!(matches!(store.load(0, &[]).await, Err(Error::Poisoned(_))));
    assert!(matches!(store.commit(0, nth(2)).await, Err(Error::Poisoned(_))));
    assert!(matches!(store.read_log(0, 0, 1, Visibility::Committed).await, Err(Error::Poisoned(_))));
    let reopened = database.open("a");
    assert!(!reopened.durability().same_domain(store.durability()));
    commit_up_to(&reopened, 2).await;
}

#[tokio::test]
async fn what_is_durable_at_once_is_never_lost() {
    let database = MemoryDatabase::default();
    let store = database.open("a");
    commit_up_to(&store, 3).await;
    assert_eq!(store.durability().wait(u64::MAX).await, Ok(()));
    assert_eq!(database.crash(), 0);
    assert_eq!(head_of(&database.open("a")).await, 3);
}

#[tokio::test]
async fn a_failure_before_applying_changes_nothing() {
    let database = MemoryDatabase::default();
    let store = database.open("a");
    database.inject_next(Kind::Commit, 2, Fault::fail_before("no route"));
    for _ in 0..2 {
        let answer = store.commit(0, nth(1)).await;
        assert!(matches!(&answer, Err(Error::Failed(reason)) if reason == "no route"), "{answer:?}");
        assert_eq!(head_of(&store).await, 0);
    }
    assert_eq!(store.commit(0, nth(1)).await.expect("only two were to fail").head, 1);
}

#[tokio::test]
async fn a_failure_after_applying_loses_only_the_answer() {
    let database = MemoryDatabase::new(Settings { may_fail_after_applying: true, ..Settings::default() });
    let store = database.open("a");
    assert!(!store.is_certain());
    database.inject_next(Kind::Commit, 2, Fault::fail_after("reset"));
    assert!(matches!(store.commit(0, nth(1)).await, Err(Error::Failed(_))));
    assert_eq!(head_of(&store).await, 1);
    let conflict = store.commit(0, nth(1)).await;
    assert!(matches!(conflict, Err(Error::Failed(_))), "a lost answer does not say that it was a conflict");
    assert_eq!(head_of(&store).await, 1);
}

#[tokio::test]
async fn a_store_that_claims_to_be_certain_refuses_to_be_made_a_liar() {
    let database = MemoryDatabase::default();
    let store = database.open("a");
    assert!(store.is_certain());
    database.inject_next(Kind::Commit, 1, Fault::fail_after("reset"));
    assert!(matches!(store.commit(0, nth(1)).await, Err(Error::Poisoned(_))));
}

#[tokio::test]
async fn faults_injected_for_one_method_spare_the_others() {
    let database = MemoryDatabase::default();
    let store = database.open("a");
    database.inject_next(Kind::Load, 1, Fault::fail_before("load"));
    database.inject_next(Kind::ReadLog, 1, Fault::fail_before("read"));
    database.inject_next(Kind::ReadLog, 1, Fault::fail_before("read again"));
    assert!(store.commit(0, nth(1)).await.is_ok());
    assert!(matches!(store.load(0, &[]).await, Err(Error::Failed(reason)) if reason == "load"));
    assert!(store.load(0, &[]).await.is_ok());
    for wanted in ["read", "read again"] {
        let answer = store.read_log(0, 0, 1, Visibility::Committed).await;
        assert!(matches!(&answer, Err(Error::Failed(reason)) if reason == wanted), "{answer:?}");
    }
    assert!(store.read_log(0, 0, 1, Visibility::Committed).await.is_ok());
}

#[tokio::test]
async fn a_poisoned_database_answers_nothing_until_it_is_reopened() {
    let database = manual();
    let store = database.open("a");
    commit_up_to(&store, 1).await;
    database.persist_all();
    commit_up_to(&store, 2).await;
    database.inject_next(Kind::Commit, 1, Fault::poison("disk gone"));
    for _ in 0..2 {
        let answer = store.commit(0, nth(3)).await;
        assert!(matches!(&answer, Err(Error::Poisoned(reason)) if reason == "disk gone"), "{answer:?}");
    }
    assert_eq!(store.durability().wait(2).await, Err(Missed::Poisoned("disk gone".into())));
    database.persist_all();
    assert_eq!(database.persisted(), 1, "a poisoned database flushes nothing more");
    assert!(matches!(database.open("a").load(0, &[]).await, Err(Error::Poisoned(_))));
    database.crash();
    assert_eq!(head_of(&database.open("a")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_takes_its_time_before_and_after_it_is_applied() {
    let database = MemoryDatabase::default();
    let store = database.open("a");
    let fault = Fault { delay_after: Duration::from_secs(2), ..Fault::slow(Duration::from_secs(3)) };
    database.inject_next(Kind::Commit, 1, fault);
    let started = Instant::now();
    let commit = tokio::spawn({
        let store = store.clone();
        async move { store.commit(0, nth(1)).await }
    });
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    assert_eq!(head_of(&store).await, 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(head_of(&store).await, 1);
    assert!(commit.await.expect("no panic").is_ok());
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_crash_overtakes_is_not_applied() {
    let database = MemoryDatabase::default();
    let store = database.open("a");
    database.inject_next(Kind::Commit, 1, Fault::slow(Duration::from_secs(1)));
    let commit = tokio::spawn(async move { store.commit(0, nth(1)).await });
    tokio::task::yield_now().await;
    database.crash();
    assert!(matches!(commit.await.expect("no panic"), Err(Error::Poisoned(_))));
    assert_eq!(head_of(&database.open("a")).await, 0);
}

#[tokio::test]
async fn a_plan_decides_each_call_and_sees_what_it_is() {
    let database = MemoryDatabase::default();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let calls = AtomicU64::new(0);
    database.set_fault_plan({
        let seen = Arc::clone(&seen);
        move |operation| {
            seen.lock().expect("no panic").push(format!("{operation:?}"));
            let is_third = calls.fetch_add(1, Ordering::Relaxed) == 2;
            if is_third { Fault::fail_before("the third") } else { Fault::none() }
        }
    });
    let store = database.open("shop");
    assert!(store.load(3, &["key".into()]).await.is_ok());
    assert!(store.commit(3, nth(1)).await.is_ok());
    assert!(store.read_log(3, 7, 9, Visibility::Durable).await.is_err());
    database.clear_faults();
    assert!(store.read_log(3, 7, 9, Visibility::Durable).await.is_ok());
    let seen = seen.lock().expect("no panic");
    let [load, commit, read] = seen.as_slice() else { panic!("three calls were planned: {seen:?}") };
    assert!(load.contains("shop") && load.contains("partition: 3") && load.contains("key"), "{load}");
    assert!(commit.contains("event-1"), "{commit}");
    assert!(read.contains("after: 7") && read.contains("limit: 9") && read.contains("Durable"), "{read}");
}

#[tokio::test]
async fn only_what_was_asked_for_is_persisted_on_request() {
    let database = manual();
    let store = database.open("a");
    commit_up_to(&store, 5).await;
    database.persist_requested();
    assert_eq!(database.persisted(), 0);
    store.durability().request(3);
    database.persist_requested();
    assert_eq!((database.persisted(), store.durability().durable()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_flusher_serves_waiters_in_the_same_time_every_time() {
    let mut times = Vec::new();
    for _ in 0..3 {
        let database = manual();
        let flusher = tokio::spawn(database.flusher(Duration::from_millis(5)));
        let store = database.open("a");
        let started = Instant::now();
        for head in 1..=20 {
            let position = store.commit(0, nth(head)).await.expect("nobody else commits").position;
            store.durability().wait(position).await.expect("not poisoned");
        }
        times.push(started.elapsed());
        assert_eq!(database.persisted(), 20);
        drop((store, database));
        flusher.await.expect("the flusher ends with its database");
    }
    let [first, ..] = times.as_slice() else { panic!("three rounds were run") };
    assert!(*first >= Duration::from_millis(19 * 5), "each waits for a flush of its own: {first:?}");
    assert!(times.iter().all(|time| time == first), "{times:?}");
}

#[tokio::test]
async fn services_and_partitions_need_not_be_announced() {
    let database = MemoryDatabase::default();
    let (a, b) = (database.open("a"), database.open("b"));
    assert!(a.durability().same_domain(b.durability()));
    a.commit(u16::MAX, nth(1)).await.expect("any partition will do");
    assert_eq!(b.load(u16::MAX, &[]).await.expect("any partition will do").head, 0);
    assert_eq!(database.open("a").load(u16::MAX, &[]).await.expect("a second handle").head, 1);
    assert_eq!(a.database().committed(), 1);
}
