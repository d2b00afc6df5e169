//! Reads are true the moment a reply is out, and show nothing that may still be undone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sagamart_black_box::{Fixture, Outcome, Settings, load::in_parallel};

#[tokio::test]
async fn a_checkout_is_seen_by_every_read_after_its_reply() {
    for partitions in [1, 4] {
        let fixture = Fixture::with(Settings::partitions(partitions)).await;
        let shop = fixture.shop.clone();
        // Each worker has things of its own, so every read has one right answer; the clients are many.
        in_parallel(16, 0..16_u64, move |_| {
            let shop = shop.clone();
            async move {
                let user = shop.user_with(1_000).await;
                let (first, second) = (shop.item_with(3, 500).await, shop.item_with(4, 500).await);
                for bought in 1..=20 {
                    let order = shop.order_of(&user, &[(&first, 1), (&second, 2)]).await;
                    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
                    assert_eq!(shop.stock(&first).await, 500 - bought);
                    assert_eq!(shop.credit(&user).await, 1_000 - 11 * bought);
                    assert_eq!(shop.stock(&second).await, 500 - 2 * bought);
                    assert!(shop.order(&order).await.paid);
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn another_client_sees_a_checkout_as_soon_as_its_reply_is_out() {
    let fixture = Fixture::new().await;
    let buyer = fixture.shop.clone();
    let item = buyer.item_with(1, 200).await;
    let user = buyer.user_with(200).await;
    for bought in 1..=100 {
        let order = buyer.order_of(&user, &[(&item, 1)]).await;
        assert_eq!(buyer.checkout(&order).await, Outcome::Succeeded);
        // On connections of its own, and all at once.
        let reader = fixture.server().shop();
        let (order, stock, credit) = tokio::join!(reader.order(&order), reader.stock(&item), reader.credit(&user));
        assert_eq!((order.paid, stock, credit), (true, 200 - bought, 200 - bought));
    }
}

#[tokio::test]
async fn a_hold_that_is_undone_is_never_seen() {
    let fixture = Fixture::with(Settings::partitions(4)).await;
    let shop = &fixture.shop;
    // The first line and the credit fit, the last does not: every checkout holds something and gives it back.
    let item = shop.item_with(1, 50).await;
    let rare = shop.item_with(1, 0).await;
    let user = shop.user_with(10).await;
    let poor = shop.user_with(3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let buyers: Vec<_> = (0..8)
        .map(|number| {
            let (shop, stop) = (shop.clone(), Arc::clone(&stop));
            let (item, rare, user, poor) = (item.clone(), rare.clone(), user.clone(), poor.clone());
            tokio::spawn(async move {
                let (user, other) = if number % 2 == 0 { (user, rare) } else { (poor, item.clone()) };
                let order = shop.order_of(&user, &[(&item, 5), (&other, 1)]).await;
                let mut checkouts = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    let outcome = shop.checkout(&order).await;
                    assert!(matches!(outcome.slug(), "out-of-stock" | "not-enough-credit"), "{outcome:?}");
                    checkouts += 1;
                }
                checkouts
            })
        })
        .collect();
    let reads = async {
        loop {
            assert_eq!(shop.stock(&item).await, 50);
            assert_eq!(shop.credit(&user).await, 10);
            assert_eq!(shop.credit(&poor).await, 3);
        }
    };
    let endless = tokio::time::timeout(Duration::from_secs(3), reads).await;
    assert!(endless.is_err(), "reads go on until their time is over");
    stop.store(true, Ordering::Relaxed);
    for buyer in buyers {
        assert!(buyer.await.expect("the buyer does not panic") > 0);
    }
}

#[tokio::test]
async fn stock_only_goes_down_while_it_is_sold() {
    let fixture = Fixture::with(Settings::partitions(4)).await;
    let shop = &fixture.shop;
    let item = shop.item_with(1, 300).await;
    let user = shop.user_with(300).await;
    let buyer = (shop.clone(), item.clone(), user.clone());
    let sold = tokio::spawn(in_parallel(16, 0..300, move |_| {
        let (shop, item, user) = buyer.clone();
        async move {
            let order = shop.order_of(&user, &[(&item, 1)]).await;
            shop.checkout(&order).await
        }
    }));
    let (mut stock, mut credit) = (300, 300);
    while stock > 0 || credit > 0 {
        let (stock_now, credit_now) = tokio::join!(shop.stock(&item), shop.credit(&user));
        assert!(stock_now <= stock && credit_now <= credit, "{stock_now} after {stock}, {credit_now} after {credit}");
        (stock, credit) = (stock_now, credit_now);
    }
    let outcomes = sold.await.expect("the buyers do not panic");
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Succeeded), "{outcomes:?}");
}
