//! What the tests do to a store, in few words: to partition 0, where nothing else is said.

use std::time::Duration;

use bytes::Bytes;
use saga::{
    Partition, Store,
    store::{Commit, Committed, Error, LogEntry, Result, Snapshot, Visibility, Write},
};
use saga_store_redis::RedisStore;

/// How long a store may take to find its server again. Far above what it takes, for busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// A commit on `head` of one event, which also is the value of the record `last`.
pub(crate) fn event(head: u64, text: &str) -> Commit {
    Commit {
        expected_head: head,
        writes: vec![Write { key: "last".into(), value: Some(text.to_owned().into()) }],
        events: vec![text.to_owned().into()],
        ..Commit::default()
    }
}

/// Commits an event on the head that the store has now.
pub(crate) async fn append(store: &RedisStore, text: &str) -> Result<Committed> {
    let head = store.load(0, &[]).await?.head;
    store.commit(0, event(head, text)).await
}

/// The same, again and again until the store answers.
pub(crate) async fn append_in_the_end(store: &RedisStore, text: &str) -> Committed {
    in_the_end(async || append(store, text).await).await
}

/// Loads, again and again until the store answers.
pub(crate) async fn load_in_the_end(store: &RedisStore) -> Snapshot {
    load_of_in_the_end(store, 0).await
}

/// The same with any partition.
pub(crate) async fn load_of_in_the_end(store: &RedisStore, partition: Partition) -> Snapshot {
    in_the_end(async || store.load(partition, &["last".into()]).await).await
}

async fn in_the_end<T>(attempt: impl AsyncFn() -> Result<T>) -> T {
    let tries = async {
        loop {
            match attempt().await {
                Ok(answer) => return answer,
                Err(Error::Poisoned(reason)) => panic!("poisoned: {reason}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.expect("the store answers in the end")
}

/// Waits for what comes by itself.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let comes = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, comes).await.unwrap_or_else(|_| panic!("{what} never happens"));
}

pub(crate) async fn log(store: &RedisStore) -> Vec<LogEntry> {
    store.read_log(0, 0, 1000, Visibility::Committed).await.expect("the store answers")
}

pub(crate) async fn texts(store: &RedisStore) -> Vec<Bytes> {
    log(store).await.into_iter().map(|entry| entry.event).collect()
}
