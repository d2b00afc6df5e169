//! Replicas that come and go in good order, owners and those that stand by: nothing is refused as long as another one of the
//! service is there.

use std::time::Duration;

use sagamart_black_box::{
    Fleet, Shop,
    fleet::{REPLICAS, SERVICES},
};
use tokio::time::sleep;

use crate::{FAULT, TIMEOUT, chaos::Chaos};

/// Checkouts that may run out of time on a busy machine before one has to get through.
const TRIES: usize = 20;

/// A checkout gets through, and so does a look at what it is made of.
async fn assert_sells(shop: &Shop, what: &str) {
    let user = shop.user_with(100).await;
    let item = shop.item_with(1, 10).await;
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    for _ in 0..TRIES {
        let outcome = shop.checkout(&order).await;
        if outcome.slug() == "succeeded" {
            assert_eq!((shop.credit(&user).await, shop.stock(&item).await), (99, 9), "{what}");
            return;
        }
        assert_eq!(outcome.slug(), "timeout", "{what}");
    }
    panic!("{what}: no checkout gets through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_of_an_idle_fleet_can_be_stopped() {
    // One of two replicas is the owner of the only partition, the other stands by.
    let mut fleet = Fleet::with_partitions(TIMEOUT, 1).await;
    let shop = fleet.shop();
    for round in 0..2 {
        for index in 0..REPLICAS * SERVICES.len() {
            let what = format!("round {round}: {} without replica {index}", SERVICES[index % SERVICES.len()]);
            fleet.terminate_replica(index);
            assert_sells(&shop, &what).await;
            fleet.start_replica(index);
            fleet.ready().await;
            assert_sells(&shop, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_replica_comes_and_goes_unnoticed() {
    for partitions in [1, 4] {
        let mut chaos = Chaos::of(Fleet::with_partitions(TIMEOUT, partitions).await).await;
        for (service, name) in SERVICES.iter().enumerate() {
            let third = chaos.fleet.add_replica(service);
            let scaled = chaos.under_load(format!("{name} scaled to three and back"), async |fleet: &mut Fleet| {
                fleet.start_replica(third);
                fleet.ready().await;
                sleep(FAULT).await;
                fleet.terminate_replica(third);
                sleep(FAULT).await;
            });
            scaled.await.nobody_noticed();
            assert_sells(&chaos.fleet.shop(), &format!("{name} scaled to three and back")).await;
        }
        chaos.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_nobody_reaches_takes_nothing_and_says_why() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    for (service, name) in SERVICES.iter().enumerate() {
        let third = chaos.fleet.add_replica(service);
        let shut_off = chaos.under_load(format!("a replica of {name} that is cut off"), async |fleet: &mut Fleet| {
            fleet.replicas[third].way.cut();
            fleet.start_replica(third);
            while !fleet.said(third).contains("no replica of") {
                sleep(Duration::from_millis(100)).await;
            }
            let probe = fleet.replica(third).get("/readyz").await;
            assert_eq!(probe.status, 503, "{}", probe.text());
            assert!(probe.text().contains("no replica of"), "{}", probe.text());
        });
        shut_off.await.nobody_noticed();
        chaos.fleet.replicas[third].way.mend();
        chaos.fleet.ready().await;
        chaos.fleet.terminate_replica(third);
        assert_sells(&chaos.fleet.shop(), name).await;
    }
    chaos.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_looks_for_the_others_in_the_wrong_place_is_found_by_them_or_takes_nothing() {
    let mut fleet = Fleet::start(TIMEOUT).await;
    for (index, service) in SERVICES.iter().enumerate() {
        fleet.terminate_replica(index);
        fleet.replicas[index].peers = Some("127.0.0.1:1".to_owned());
        fleet.start_replica(index);
        if *service == "payment" {
            // It consumes stock's logs, which has no reason to look for it.
            while !fleet.said(index).contains("no replica of stock can be reached") {
                sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(fleet.replica(index).get("/readyz").await.status, 503);
        } else {
            fleet.ready().await;
        }
        for _ in 0..4 {
            assert_sells(&fleet.shop(), service).await;
        }
        fleet.terminate_replica(index);
        fleet.replicas[index].peers = None;
        fleet.start_replica(index);
        fleet.ready().await;
    }
}
