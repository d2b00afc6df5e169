//! The list of living replicas.

use std::time::Duration;

use saga::{Member, Members};
use saga_store_memory::MemoryDatabase;

const TTL: Duration = Duration::from_secs(3);

fn member(id: u64) -> Member {
    Member { id, address: format!("host-{id}:9000"), is_fit: id.is_multiple_of(2) }
}

#[tokio::test(start_paused = true)]
async fn every_replica_of_the_service_sees_those_that_beat_sorted_by_id() {
    let database = MemoryDatabase::default();
    let (first, second, stranger) = (database.open("order"), database.open("order"), database.open("stock"));
    assert_eq!(first.beat(&member(9), TTL).await.expect("works"), [member(9)]);
    assert_eq!(second.beat(&member(2), TTL).await.expect("works"), [member(2), member(9)]);
    assert_eq!(first.beat(&member(9), TTL).await.expect("works"), [member(2), member(9)]);
    assert_eq!(stranger.beat(&member(1), TTL).await.expect("works"), [member(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_silent_for_its_time_or_leaves_is_forgotten() {
    let database = MemoryDatabase::default();
    let store = database.open("order");
    store.beat(&member(1), TTL).await.expect("works");
    tokio::time::advance(TTL / 2).await;
    assert_eq!(store.beat(&member(2), TTL).await.expect("works"), [member(1), member(2)]);
    tokio::time::advance(TTL / 2).await;
    assert_eq!(store.beat(&member(3), TTL).await.expect("works"), [member(2), member(3)]);
    store.leave(2).await.expect("works");
    store.leave(7).await.expect("one who was never there may leave");
    assert_eq!(store.beat(&member(3), TTL).await.expect("works"), [member(3)]);
}
