//! An orderly end.

use std::time::Duration;

use rustix::process::Signal;
use sagamart_black_box::{Fixture, Market, Outcome, Settings, audit};
use tokio::time::sleep;

#[tokio::test]
async fn sigterm_and_ctrl_c_under_load_answer_what_runs_and_exit_with_zero() {
    for (signal, partitions) in [(Signal::TERM, 1), (Signal::INT, 4)] {
        let mut fixture = Fixture::with(Settings::partitions(partitions)).await;
        let shop = fixture.shop.clone();
        let mut market = Market::default();
        let item = market.add_items(&shop, 1, 1, 100_000).await.remove(0);
        let user = market.add_users(&shop, 1, 100_000).await.remove(0);
        let first = market.place(&shop, vec![(user, vec![(item, 1)]); 1_500]).await;
        let server = fixture.take_server();
        let early = market.orders.get(first + 150).expect("it was placed").order.clone();
        let stop = async {
            // A load of its own speed is in the middle of it by then, on a machine of any speed.
            while !shop.order(&early).await.paid {
                sleep(Duration::from_millis(1)).await;
            }
            server.signal(signal);
            server.exit().await
        };
        let (exit, ()) = tokio::join!(stop, market.check_out(&shop, first, 32));
        assert!(exit.status.success(), "{}: {}", exit.status, exit.output());
        let succeeded = market.count(first, "succeeded");
        assert!((1..1_500).contains(&succeeded), "it ended in the middle: {succeeded}");
        fixture.restart().await;
        // Those that were not taken got no answer, and nothing was done for them.
        assert_eq!(audit(&fixture.shop, &market).await, succeeded);
    }
}

#[tokio::test]
async fn an_idle_server_ends_at_once_although_clients_stay_connected() {
    let mut fixture = Fixture::new().await;
    let user = fixture.shop.user_with(5).await;
    let exit = fixture.take_server().terminate().await;
    assert!(exit.status.success(), "{}: {}", exit.status, exit.output());
    fixture.restart().await;
    assert_eq!(fixture.shop.credit(&user).await, 5);
}

#[tokio::test]
async fn a_drained_server_needs_no_recovery_to_be_exact() {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let mut market = Market::default();
    let shop = fixture.shop.clone();
    let items = market.add_items(&shop, 4, 2, 100).await;
    let users = market.add_users(&shop, 4, 100).await;
    for round in 0..3 {
        let wanted = users.iter().zip(&items).map(|(user, item)| (user.clone(), vec![(item.clone(), 1)]));
        let first = market.place(&fixture.shop, wanted.collect()).await;
        market.check_out(&fixture.shop, first, 4).await;
        let exit = fixture.take_server().terminate().await;
        assert!(exit.status.success(), "{}: {}", exit.status, exit.output());
        fixture.restart().await;
        assert_eq!(audit(&fixture.shop, &market).await, 4 * (round + 1));
    }
    assert!(market.orders.iter().all(|placed| placed.answers == [Outcome::Succeeded]));
}

#[tokio::test]
async fn readiness_fails_first_while_everything_is_still_served() {
    let mut fixture = Fixture::with(Settings {
        arguments: ["--drain-notice", "2"].map(str::to_owned).to_vec(),
        ..Settings::default()
    })
    .await;
    let shop = fixture.shop.clone();
    let (user, item) = (shop.user_with(10).await, shop.item_with(1, 10).await);
    let server = fixture.take_server();
    server.signal(Signal::TERM);
    while shop.client.is_ready().await {
        sleep(Duration::from_millis(5)).await;
    }
    let answer = shop.client.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("draining"), "{}", answer.text());
    assert_eq!(shop.client.get("/livez").await.status, 200);
    // Somebody who has not noticed yet, on a new connection.
    let late = server.shop();
    let order = late.order_of(&user, &[(&item, 1)]).await;
    assert_eq!(late.checkout(&order).await, Outcome::Succeeded);
    let exit = server.exit().await;
    assert!(exit.status.success(), "{}: {}", exit.status, exit.output());
    fixture.restart().await;
    assert!(fixture.shop.order(&order).await.paid);
}
