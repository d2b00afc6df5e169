//! Events that nobody has consumed for so long that memory has let go of them.

use bytes::Bytes;
use saga::{
    Store as _,
    store::{Commit, LogEntry, Visibility},
};
use saga_store_embedded::EmbeddedStore;

use crate::disk::Disk;

const EVENTS: u64 = 400;
/// All of them are several times what a partition keeps in memory.
const EVENT_BYTES: usize = 10_000;

fn event(number: u64) -> Bytes {
    vec![number.to_le_bytes()[0]; EVENT_BYTES].into()
}

async fn append(store: &EmbeddedStore, number: u64, trim: u64) {
    let commit = Commit { expected_head: number - 1, events: vec![event(number)], trim, ..Commit::default() };
    let committed = store.commit(0, commit).await.unwrap();
    store.durability().wait(committed.position).await.unwrap();
}

/// Everything that is read from `after` on, so many at a time.
async fn read(store: &EmbeddedStore, mut after: u64, page: usize) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    loop {
        let more = store.read_log(0, after, page, Visibility::Durable).await.unwrap();
        assert!(more.len() <= page);
        let Some(last) = more.last() else { return entries };
        after = last.position;
        entries.extend(more);
    }
}

fn assert_whole(entries: &[LogEntry], first: u64, last: u64) {
    assert!(entries.iter().map(|entry| entry.position).eq(first..=last), "{first} to {last}");
    assert!(entries.iter().all(|entry| entry.event == event(entry.position)));
}

#[tokio::test]
async fn a_backlog_is_read_in_full_wherever_it_is() {
    let disk = Disk::new(256 << 10);
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    for number in 1..=EVENTS {
        append(&store, number, 0).await;
    }
    assert!(embedded.stats().checkpoints > 2, "most of them are in the base");
    for page in [1, 7, 1000] {
        assert_whole(&read(&store, 0, page).await, 1, EVENTS);
    }
    assert_eq!(store.read_log(0, 0, 0, Visibility::Committed).await.unwrap(), []);
    embedded.close().unwrap();
    drop((store, embedded));

    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    assert_whole(&read(&store, 100, 7).await, 101, EVENTS);
    append(&store, EVENTS + 1, 250).await;
    assert_whole(&read(&store, 0, 7).await, 251, EVENTS + 1);
}
