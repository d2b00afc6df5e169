//! The list of living replicas.

use std::time::{Duration, Instant};

use saga::{Member, Members, store::Error};
use test_servers::Kind;

use crate::deployment::Deployment;

const LONG: Duration = Duration::from_secs(60);

fn member(id: u64) -> Member {
    Member { id, address: format!("host-{id}:9000"), is_fit: id.is_multiple_of(2) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_of_the_service_sees_those_that_beat_sorted_by_id() {
    for deployment in [Deployment::single(Kind::Redis7), Deployment::cluster(Kind::Valkey8)] {
        let (first, second) = (deployment.open("order", 3).await, deployment.open("order", 3).await);
        let (first, second) = (first.expect("opens"), second.expect("opens"));
        let stranger = deployment.open("stock", 3).await.expect("opens");
        // Ids are any 64 bits.
        assert_eq!(first.beat(&member(u64::MAX), LONG).await.expect("works"), [member(u64::MAX)]);
        assert_eq!(second.beat(&member(2), LONG).await.expect("works"), [member(2), member(u64::MAX)]);
        assert_eq!(stranger.beat(&member(1), LONG).await.expect("works"), [member(1)]);
        first.leave(u64::MAX).await.expect("works");
        first.leave(77).await.expect("one who was never there may leave");
        assert_eq!(second.beat(&member(2), LONG).await.expect("works"), [member(2)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_silent_for_its_time_is_forgotten() {
    let deployment = Deployment::single(Kind::Valkey8);
    let store = deployment.open("order", 1).await.expect("opens");
    store.beat(&member(1), Duration::from_millis(50)).await.expect("works");
    let started = Instant::now();
    while store.beat(&member(2), LONG).await.expect("works") != [member(2)] {
        assert!(started.elapsed() < Duration::from_secs(20), "it is never forgotten");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_reached_is_a_passing_fault() {
    let mut deployment = Deployment::single(Kind::Valkey8);
    let store = deployment.open("order", 1).await.expect("opens");
    let Deployment::Single(server) = &mut deployment else { unreachable!() };
    server.kill();
    assert!(matches!(store.beat(&member(1), LONG).await, Err(Error::Failed(_))));
    assert!(matches!(store.leave(1).await, Err(Error::Failed(_))));
}
