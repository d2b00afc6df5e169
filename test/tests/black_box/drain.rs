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
        let (exit, ()) = tokio::join!(
            async {
                sleep(Duration::from_millis(100)).await;
                server.signal(signal);
                server.exit().await
            },
            market.check_out(&shop, first, 32),
        );
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
