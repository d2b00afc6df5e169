//! The services as processes of their own: whatever is killed, frozen or cut off under load, every answer given stays
//! true, and what is there is explained by the answers to the last unit and credit.

#![expect(clippy::print_stdout, reason = "each fault says what it cost, for who runs the tests with --nocapture")]

mod chaos;
mod databases;
mod membership;
mod observer;
mod smuggling;

use std::time::Duration;

use chaos::Chaos;
use databases::until;
use sagamart_black_box::{
    Fleet,
    exposition::Exposition,
    fleet::{REPLICAS, SERVICES},
};
use tokio::time::sleep;

/// How long a fault lasts, unless it ends by itself.
const FAULT: Duration = Duration::from_secs(3);

/// How long a killed database or service stays away: longer than a checkout may take.
const AWAY: Duration = Duration::from_secs(4);

/// The deadline of a checkout, in seconds.
const TIMEOUT: u32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_replica_was_killed_or_ended() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    for index in 0..REPLICAS * SERVICES.len() {
        let what = format!("SIGKILL of a replica of {}", SERVICES[index % SERVICES.len()]);
        let calm = chaos.under_load(what, async |fleet: &mut Fleet| {
            fleet.kill_replica(index);
            sleep(FAULT).await;
            fleet.start_replica(index);
            fleet.ready().await;
        });
        calm.await.nobody_noticed();
    }
    for index in 0..REPLICAS * SERVICES.len() {
        let what = format!("SIGTERM of a replica of {}", SERVICES[index % SERVICES.len()]);
        let calm = chaos.under_load(what, async |fleet: &mut Fleet| {
            fleet.terminate_replica(index);
            sleep(FAULT).await;
            fleet.start_replica(index);
            fleet.ready().await;
        });
        calm.await.nobody_noticed();
    }
    chaos.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_replica_is_taken_over_from_and_does_no_harm_when_it_wakes() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    for index in 0..REPLICAS * SERVICES.len() {
        let what = format!("SIGSTOP of a replica of {}", SERVICES[index % SERVICES.len()]);
        chaos
            .under_load(what, async |fleet: &mut Fleet| {
                fleet.freeze_replica(index);
                sleep(AWAY).await;
                fleet.thaw_replica(index);
                // While it still takes what it knows for true.
                sleep(FAULT).await;
            })
            .await;
        chaos.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_gone_as_a_whole_leaves_nothing_behind() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    for (service, name) in SERVICES.iter().enumerate() {
        let replicas = [service, service + SERVICES.len()];
        let outcome = chaos.under_load(format!("SIGKILL of all of {name}"), async |fleet: &mut Fleet| {
            replicas.iter().for_each(|index| fleet.kill_replica(*index));
            sleep(AWAY).await;
            replicas.iter().for_each(|index| fleet.start_replica(*index));
            fleet.ready().await;
        });
        let outcome = outcome.await;
        if service > 0 {
            // Order lives, so every checkout has a definite end.
            outcome.every_outcome_is_known();
        }
        chaos.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_no_stock_goes_on_without_it() {
    let mut fleet = Fleet::start(TIMEOUT).await;
    let shop = fleet.shop();
    let user = shop.user_with(100).await;
    let (known, unknown) = (shop.item_with(3, 10).await, shop.item_with(4, 10).await);
    // One replica of order sees the price.
    shop.order_of(&user, &[(&known, 1)]).await;
    let order = shop.create_order(&user).await;
    let stock = [1, 1 + SERVICES.len()];
    stock.iter().for_each(|index| fleet.kill_replica(*index));
    // One after the other, so that the gateway gives each replica half of them. At once where the replica saw the price,
    // else after it has asked in vain and the gateway asks the other one.
    for _ in 0..8 {
        shop.succeed(&format!("/orders/addItem/{order}/{known}/2")).await;
    }
    assert_eq!(shop.order(&order).await.total_cost, 8 * 2 * 3);
    assert_eq!(shop.attempt(&format!("/orders/addItem/{order}/{unknown}/1")).await.slug(), "unavailable");
    let read = shop.client.get(&format!("/stock/find/{known}")).await;
    assert_eq!((read.status, read.problem().slug.as_str()), (503, "unavailable"));
    assert_eq!(shop.checkout(&order).await.slug(), "timeout");
    assert_eq!(shop.credit(&user).await, 100);

    stock.iter().for_each(|index| fleet.start_replica(*index));
    fleet.ready().await;
    shop.succeed(&format!("/orders/addItem/{order}/{unknown}/1")).await;
    assert_eq!(shop.checkout(&order).await.slug(), "out-of-stock");
    let order = shop.order_of(&user, &[(&known, 2), (&unknown, 1)]).await;
    assert_eq!(shop.checkout(&order).await.slug(), "succeeded");
    assert_eq!((shop.stock(&known).await, shop.stock(&unknown).await, shop.credit(&user).await), (8, 9, 90));
}

/// The sum over all replicas of a service.
async fn count(fleet: &Fleet, service: usize, name: &str, labels: &[(&str, &str)]) -> f64 {
    let mut sum = 0.0;
    for index in (0..REPLICAS).map(|replica| replica * SERVICES.len() + service) {
        let metrics = Exposition::parse(&fleet.operators(index).get("/metrics").await.text());
        sum += metrics.sum(name, labels).unwrap_or_default();
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_checkout_holds_while_order_is_down_is_named_and_counted() {
    let mut fleet = Fleet::start(10).await;
    let shop = fleet.shop();
    let (user, item, other) = (shop.user_with(100).await, shop.item_with(3, 10).await, shop.item_with(3, 10).await);
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    // Without payment the checkout stays open, and without order it is not decided.
    let (orders, payments) = ([0, SERVICES.len()], [2, 2 + SERVICES.len()]);
    payments.iter().for_each(|index| fleet.kill_replica(*index));
    let open = tokio::spawn({
        let (shop, order) = (shop.clone(), order.clone());
        async move { shop.checkout(&order).await }
    });
    let held = async || count(&fleet, 1, "sagamart_sagas_held", &[]).await;
    until("stock holds a unit", async || held().await > 0.0).await;
    orders.iter().for_each(|index| fleet.kill_replica(*index));
    let answer = fleet.replica(1).get(&format!("/stock/find/{item}")).await;
    let problem = answer.problem();
    assert_eq!((answer.status, problem.slug.as_str()), (503, "unavailable"));
    assert!(problem.detail.contains("held by a checkout whose outcome is not known here yet"), "{problem:?}");
    assert_eq!(count(&fleet, 1, "sagamart_steps_noted_total", &[("note", "read_in_vain")]).await, 1.0);
    assert_eq!(count(&fleet, 1, "sagamart_sagas_held", &[("service", "stock")]).await, 1.0);
    assert_eq!(shop.stock(&other).await, 10, "what nobody holds is shown");

    orders.iter().chain(&payments).for_each(|index| fleet.start_replica(*index));
    fleet.ready().await;
    open.await.expect("no panic");
    let paid = shop.order(&order).await.paid;
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), if paid { (9, 97) } else { (10, 100) });
    until("stock holds nothing", async || count(&fleet, 1, "sagamart_sagas_held", &[]).await == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_or_cut_off_loses_nothing_that_was_answered() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    for (service, name) in SERVICES.iter().enumerate() {
        let killed = chaos.under_load(format!("SIGKILL of {name}'s database"), async |fleet: &mut Fleet| {
            fleet.databases[service].kill();
            sleep(AWAY).await;
            fleet.databases[service].restart();
        });
        let killed = killed.await;
        let silent =
            chaos.under_load(format!("{name}'s database hears, but is not heard"), async |fleet: &mut Fleet| {
                fleet.ways[service].cut_answers();
                sleep(FAULT).await;
                fleet.ways[service].mend();
            });
        let silent = silent.await;
        let cut = chaos.under_load(format!("{name}'s database is cut off"), async |fleet: &mut Fleet| {
            fleet.ways[service].cut();
            sleep(FAULT).await;
            fleet.ways[service].mend();
        });
        let cut = cut.await;
        if service > 0 {
            [killed, silent, cut].iter().for_each(chaos::Answers::every_outcome_is_known);
        }
        chaos.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_costs_time_and_nothing_else() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    for (service, name) in SERVICES.iter().enumerate() {
        // One that checkouts can wait for, and one that is as good as no disk while it lasts.
        for (delay, bearable) in [(Duration::from_millis(100), true), (Duration::from_millis(2500), false)] {
            let what = format!("every flush of {name}'s database takes {} ms longer", delay.as_millis());
            let slow = chaos.under_load(what, async |fleet: &mut Fleet| {
                let disk = fleet.databases[service].slow_disk(delay);
                sleep(AWAY).await;
                drop(disk);
            });
            let slow = slow.await;
            if bearable {
                slow.nobody_noticed();
                continue;
            }
            slow.somebody_noticed();
            if service > 0 {
                slow.every_outcome_is_known();
            }
        }
        chaos.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_cannot_reach_each_other_undo_what_they_began() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    for (service, name) in SERVICES.iter().enumerate() {
        for (how, cut) in [("hears, but is not heard", true), ("is cut off from the others", false)] {
            let what = format!("{name} {how}");
            chaos
                .under_load(what, async |fleet: &mut Fleet| {
                    let of_service = || fleet.replicas.iter().filter(|replica| replica.service == service);
                    of_service().for_each(|replica| if cut { replica.way.cut_answers() } else { replica.way.cut() });
                    sleep(FAULT).await;
                    of_service().for_each(|replica| replica.way.mend());
                })
                .await;
        }
        chaos.audit().await;
    }
    chaos
        .under_load("SIGKILL of the gateway", async |fleet: &mut Fleet| {
            fleet.gateway.kill();
            fleet.gateway.restart();
        })
        .await;
    chaos.audit().await;
}
