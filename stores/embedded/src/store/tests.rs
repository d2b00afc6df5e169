use std::{
    pin::pin,
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use saga::store::Write;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

/// Commits a record of this content, large enough that a checkpoint is due, and waits for that.
fn put_and_checkpoint(embedded: &Embedded, store: &EmbeddedStore, head: u64, content: u8) {
    let before = embedded.stats().checkpoints;
    let writes = vec![Write { key: "key".into(), value: Some(vec![content; 4096].into()) }];
    block_on(store.commit(0, Commit { expected_head: head, writes, ..Commit::default() })).expect("the store is well");
    let begun = Instant::now();
    while embedded.stats().checkpoints == before {
        assert!(begun.elapsed() < PATIENCE, "no checkpoint");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The head comes from memory, the record from the base, which may have gone on in between.
#[test]
fn what_is_loaded_is_of_one_moment_even_if_a_checkpoint_comes_in_between() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { checkpoint_bytes: 1024, ..Options::new(directory.path()) };
    let embedded = Embedded::open(options).expect("a new one");
    let store = embedded.service("stock", 1).expect("a new one");
    put_and_checkpoint(&embedded, &store, 0, 1);
    let held = store.handle.shared.base.hold_readers();
    let keys = ["key".into()];
    let mut load = pin!(store.load(0, &keys));
    assert!(load.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "memory has forgotten it");
    put_and_checkpoint(&embedded, &store, 1, 2);
    drop(held);
    let snapshot = block_on(load).expect("the store is well");
    let first_byte = |record: &Option<Bytes>| record.as_ref().and_then(|record| record.first().copied());
    let records: Vec<_> = snapshot.records.iter().map(first_byte).collect();
    assert_eq!((snapshot.head, records), (2, vec![Some(2)]));
}
