//! What a failover loses, and what it does not.
//!
//! The replica is cut off from its primary by a password that it does not know: connections that are there stay, so the store
//! and the sentinels notice nothing.

use std::time::Duration;

use saga::{
    Store,
    store::{
        Error,
        position::{epoch_of, follows, sequence_of},
    },
};
use saga_store_redis::{Options, Promise, RedisStore};
use test_servers::{Cluster, Kind, Sentinels, Server};

use crate::steps::{append, append_in_the_end, event, load_in_the_end, load_of_in_the_end, log, texts};

fn group() -> Sentinels {
    Sentinels::start(Kind::Valkey8, 1, &test_servers::Options::default())
}

async fn open(group: &Sentinels, promise: Promise) -> RedisStore {
    let options = Options { promise, ..Options::new(group.url(), "order", 1) };
    RedisStore::open(options).await.expect("opens")
}

/// Keeps the replica from everything that is written from now on.
fn cut_off(primary: &Server) {
    let replicas: u64 = primary.ask(&["WAIT", "1", "10000"]);
    assert_eq!(replicas, 1, "what was written before has to arrive");
    let () = primary.ask(&["CONFIG", "SET", "requirepass", "nobody knows"]);
    // On the connection that has just been made with the password, or none would be let in.
    let client = redis::Client::open(format!("redis://:nobody%20knows@{}", primary.address())).expect("an address");
    let mut connection = client.get_connection().expect("the primary runs");
    let killed: u64 = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "replica"]).query(&mut connection).expect("works");
    assert_eq!(killed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn always_loses_in_a_failover_exactly_what_the_replica_had_not_received() {
    let mut group = group();
    let store = open(&group, Promise::Always).await;
    for text in ["kept 1", "kept 2", "kept 3"] {
        append(&store, text).await.expect("works");
    }
    let first = group.primary_port();
    cut_off(group.primary());
    for text in ["lost 1", "lost 2"] {
        let committed = append(&store, text).await.expect("acknowledged, for it is on the primary's disk");
        assert!(store.durability().durable() >= committed.position, "and let out at once");
    }
    group.primary().kill();
    let _ = group.wait_for_failover_from(first);

    let now = load_in_the_end(&store).await;
    assert_eq!(now.records, [Some("kept 3".into())]);
    assert_eq!((sequence_of(now.head), sequence_of(now.log_end)), (3, 3));
    assert!(epoch_of(now.head) > 0);
    assert_eq!(texts(&store).await, ["kept 1", "kept 2", "kept 3"]);
    // Neither who saw what is lost nor who saw what is kept may go on as if nothing had happened.
    for stale in [5, 3] {
        assert!(matches!(store.commit(0, event(stale, "stale")).await, Err(Error::Conflict)), "head {stale}");
    }
    append(&store, "new").await.expect("works");
    let new = log(&store).await[3].position;
    assert!(!follows(5, new), "who consumed what is lost notices it");
    assert!(follows(3, new), "and who did not goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicated_lets_nothing_out_that_a_failover_then_loses() {
    let mut group = group();
    let store = open(&group, Promise::Replicated).await;
    for text in ["kept 1", "kept 2"] {
        let position = append(&store, text).await.expect("works").position;
        store.durability().wait(position).await.expect("the replica confirms");
    }
    let first = group.primary_port();
    cut_off(group.primary());
    let unconfirmed = append(&store, "not confirmed").await.expect("the primary has it").position;
    store.durability().request(unconfirmed);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(store.durability().durable() < unconfirmed, "no replica has it, so it is not let out");
    group.primary().kill();
    let _ = group.wait_for_failover_from(first);
    group.servers[0].restart();

    let lost = store.durability().wait(unconfirmed).await.expect_err("it is lost, and must never be let out");
    assert!(lost.to_string().contains("a failover lost commits"), "{lost}");
    assert!(matches!(store.load(0, &[]).await, Err(Error::Poisoned(_))), "nor built on");
    drop(store);
    let store = open(&group, Promise::Replicated).await;
    assert_eq!(texts(&store).await, ["kept 1", "kept 2"]);
    let position = append_in_the_end(&store, "new").await.position;
    store.durability().wait(position).await.expect("the old primary is a replica now, and confirms");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_replicated_let_out_survives_the_kill_of_a_busy_primary() {
    let mut group = group();
    let store = open(&group, Promise::Replicated).await;
    let first = group.primary_port();
    let writer = tokio::spawn(async move {
        let mut let_out = Vec::new();
        loop {
            let text = format!("event {}", let_out.len());
            // The first failure is the kill.
            let Ok(committed) = append(&store, &text).await else { return let_out };
            let waited =
                tokio::time::timeout(Duration::from_secs(5), store.durability().wait(committed.position)).await;
            let Ok(Ok(())) = waited else { return let_out };
            let_out.push(text);
        }
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    group.primary().kill();
    let _ = group.wait_for_failover_from(first);
    let let_out = writer.await.expect("no panic");
    assert!(let_out.len() > 3, "only {} events in 0.7 s", let_out.len());
    group.servers[0].restart();
    let store = open(&group, Promise::Replicated).await;
    let found = texts(&store).await;
    assert!(found.len() >= let_out.len(), "{} of {} are left", found.len(), let_out.len());
    assert_eq!(found[..let_out.len()], let_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_traffic_follows_a_failover_by_itself() {
    let mut group = group();
    let store = open(&group, Promise::Always).await;
    let first = group.primary_port();
    // Frozen, it keeps its connections: nobody is told.
    group.primary().freeze();
    let _ = group.wait_for_failover_from(first);
    let started = std::time::Instant::now();
    while store.trouble().is_some() || append(&store, "a").await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "the store never finds the new primary");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What the old one would still answer is not asked for.
    group.servers[0].thaw();
    append(&store, "b").await.expect("works");
    assert_eq!(texts(&store).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_replaces_a_killed_primary_keeps_what_replicated_let_out() {
    const PARTITIONS: u16 = 6;
    let mut cluster = Cluster::start_with_replicas(Kind::Valkey8, &test_servers::Options::default());
    let options = Options { promise: Promise::Replicated, ..Options::new(cluster.url(), "order", PARTITIONS) };
    let store = RedisStore::open(options).await.expect("opens");
    for partition in 0..PARTITIONS {
        // In a cluster a commit is confirmed when it returns.
        store.commit(partition, event(0, "kept")).await.expect("works");
    }
    cluster.primaries[0].kill();
    cluster.replicas[0].wait_for_info("role", "master");
    // It comes back as a replica: without one, nothing is confirmed.
    cluster.primaries[0].restart();
    let mut epochs = Vec::new();
    for partition in 0..PARTITIONS {
        let snapshot = load_of_in_the_end(&store, partition).await;
        assert_eq!(snapshot.records, [Some("kept".into())], "partition {partition}");
        epochs.push(epoch_of(snapshot.head));
    }
    assert!(epochs.iter().any(|epoch| *epoch > 0), "some partition was on the primary that was killed");
    assert!(epochs.contains(&0), "and some were not, and noticed nothing");
}
