//! What the tests do to a store, in few words. All of it is about partition 0.

use bytes::Bytes;
use saga::{
    Store,
    store::{Commit, Committed, Error, LogEntry, Result, Snapshot, Visibility, Write},
};
use saga_store_redis::RedisStore;

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
    loop {
        match append(store, text).await {
            Ok(committed) => return committed,
            Err(Error::Poisoned(reason)) => panic!("poisoned: {reason}"),
            // The suite's time limit bounds it.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

/// Loads, again and again until the store answers.
pub(crate) async fn load_in_the_end(store: &RedisStore) -> Snapshot {
    loop {
        match store.load(0, &["last".into()]).await {
            Ok(snapshot) => return snapshot,
            Err(Error::Poisoned(reason)) => panic!("poisoned: {reason}"),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

pub(crate) async fn log(store: &RedisStore) -> Vec<LogEntry> {
    store.read_log(0, 0, 1000, Visibility::Committed).await.expect("the store answers")
}

pub(crate) async fn texts(store: &RedisStore) -> Vec<Bytes> {
    log(store).await.into_iter().map(|entry| entry.event).collect()
}
