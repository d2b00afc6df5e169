//! Many who want the same.

use std::collections::BTreeMap;

use sagamart_black_box::{Fixture, Market, Outcome, Settings, Shop, audit, load::in_parallel};

/// A thousand users with one credit each want one of a hundred units, all at once.
async fn a_hundred_of_a_thousand(shop: &Shop) {
    let mut market = Market::default();
    let users = market.add_users(shop, 1_000, 1).await;
    let item = market.add_items(shop, 1, 1, 100).await.remove(0);
    let wanted = users.into_iter().map(|user| (user, vec![(item.clone(), 1)])).collect();
    let first = market.place(shop, wanted).await;
    market.check_out(shop, first, 1_000).await;
    assert_eq!(market.count(first, "succeeded"), 100);
    // More may want an item at once than can be kept waiting for it; those are told to come back.
    assert_eq!(market.count(first, "out-of-stock") + market.count(first, "busy"), 900);
    assert_eq!(shop.stock(&item).await, 0);
    assert_eq!(audit(shop, &market).await, 100);
}

#[tokio::test]
async fn a_hundred_units_are_sold_exactly_to_a_thousand_at_once() {
    let fixture = Fixture::new().await;
    for _ in 0..3 {
        a_hundred_of_a_thousand(&fixture.shop).await;
    }
}

#[tokio::test]
async fn a_hundred_units_are_sold_exactly_whatever_the_number_of_partitions() {
    for partitions in [1, 4] {
        let fixture = Fixture::with(Settings::partitions(partitions)).await;
        for _ in 0..2 {
            a_hundred_of_a_thousand(&fixture.shop).await;
        }
    }
}

#[tokio::test]
async fn the_last_unit_goes_to_who_can_pay() {
    let fixture = Fixture::with(Settings::partitions(4)).await;
    let shop = &fixture.shop;
    for _ in 0..100 {
        let item = shop.item_with(5, 1).await;
        let (rich, poor) = (shop.user_with(5).await, shop.user_with(4).await);
        let order = shop.order_of(&rich, &[(&item, 1)]).await;
        let rivals = [shop.order_of(&poor, &[(&item, 1)]).await, shop.order_of(&poor, &[(&item, 1)]).await];
        let [first, second] = &rivals;
        let (rival, outcome, other) = tokio::join!(shop.checkout(first), shop.checkout(&order), shop.checkout(second));
        assert_eq!(outcome, Outcome::Succeeded, "the rivals were answered {rival:?} and {other:?}");
        for rival in [rival, other] {
            assert!(matches!(rival.slug(), "not-enough-credit" | "out-of-stock"), "{rival:?}");
        }
        assert_eq!((shop.stock(&item).await, shop.credit(&rich).await, shop.credit(&poor).await), (0, 0, 4));
    }
}

#[tokio::test]
async fn nobody_is_refused_for_what_those_who_cannot_pay_hold() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = &fixture.shop;
    let mut market = Market::default();
    let item = market.add_items(shop, 1, 2, 100).await.remove(0);
    let rich = market.add_users(shop, 100, 2).await;
    let poor = market.add_users(shop, 300, 1).await;
    let mut orders: Vec<_> = rich.iter().chain(&poor).map(|user| (user.clone(), vec![(item.clone(), 1)])).collect();
    // Interleaved, so that the poor are before the rich as often as behind them.
    orders.sort();
    let first = market.place(shop, orders).await;
    market.check_out(shop, first, 64).await;
    assert_eq!(market.count(first, "succeeded"), 100, "every one of the rich");
    assert_eq!(audit(shop, &market).await, 100);
}

#[tokio::test]
async fn crossing_orders_over_partitions_do_not_block_each_other() {
    let fixture = Fixture::with(Settings::partitions(4)).await;
    let shop = &fixture.shop;
    let mut market = Market::default();
    let items = market.add_items(shop, 8, 1, 400).await;
    let users = market.add_users(shop, 50, 1_000).await;
    let orders = (0..400).map(|number| {
        let mut lines: Vec<_> = items.iter().map(|item| (item.clone(), 1)).collect();
        let length = lines.len();
        lines.rotate_left(number % length);
        if number % 2 == 0 {
            lines.reverse();
        }
        let user = users.iter().cycle().nth(number).expect("an endless row of users").clone();
        (user, lines)
    });
    let first = market.place(shop, orders.collect()).await;
    market.check_out(shop, first, 64).await;
    assert_eq!(market.count(first, "succeeded"), 400, "there is enough for all");
    assert_eq!(audit(shop, &market).await, 400);
}

#[tokio::test]
async fn an_order_is_charged_for_exactly_the_lines_it_shows() {
    let fixture = Fixture::with(Settings::partitions(4)).await;
    let shop = &fixture.shop;
    for _ in 0..60 {
        let user = shop.user_with(1_000).await;
        let (item, extra) = (shop.item_with(10, 100).await, shop.item_with(1, 100).await);
        let order = shop.order_of(&user, &[(&item, 1)]).await;
        let path = format!("/orders/addItem/{order}/{extra}/2");
        let (one, two, checkout, three) =
            tokio::join!(shop.attempt(&path), shop.attempt(&path), shop.checkout(&order), shop.attempt(&path));
        assert_eq!(checkout, Outcome::Succeeded);
        let mut added = 0;
        for outcome in [one, two, three] {
            match outcome.slug() {
                "succeeded" => added += 1,
                "order-in-checkout" | "order-paid" => {}
                _ => panic!("{outcome:?}"),
            }
        }
        let found = shop.order(&order).await;
        assert_eq!(found.items.len() as u64, 1 + added, "each answered line is there, and no other");
        assert_eq!(found.total_cost, 10 + 2 * added);
        assert_eq!(shop.credit(&user).await, 1_000 - found.total_cost);
        assert_eq!((shop.stock(&item).await, shop.stock(&extra).await), (99, 100 - 2 * added));
    }
}

#[tokio::test]
async fn direct_subtractions_and_checkouts_share_the_stock_to_the_last_unit() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = &fixture.shop;
    let item = shop.item_with(1, 100).await;
    let rich = shop.user_with(1_000).await;
    let poor = shop.create_user().await;
    let mut paths = BTreeMap::new();
    for number in 0..80 {
        let order = shop.order_of(&rich, &[(&item, 1)]).await;
        let rival = shop.order_of(&poor, &[(&item, 1)]).await;
        paths.insert((number, 0), format!("/orders/checkout/{order}"));
        paths.insert((number, 1), format!("/stock/subtract/{item}/1"));
        paths.insert((number, 2), format!("/orders/checkout/{rival}"));
    }
    let outcomes = race(shop, paths).await;
    let count =
        |kind: u8, slug: &str| outcomes.iter().filter(|(found, outcome)| *found == kind && outcome == slug).count();
    let (bought, subtracted) = (count(0, "succeeded"), count(1, "succeeded"));
    assert_eq!(bought + subtracted, 100, "no more than there are, and nobody refused before: {outcomes:?}");
    assert_eq!((count(0, "out-of-stock"), count(1, "out-of-stock")), (80 - bought, 80 - subtracted));
    assert_eq!(count(2, "succeeded"), 0);
    assert_eq!(shop.stock(&item).await, 0);
    assert_eq!(shop.credit(&rich).await, 1_000 - bought as u64);
}

#[tokio::test]
async fn direct_payments_and_checkouts_share_the_credit_to_the_last_one() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = &fixture.shop;
    let item = shop.item_with(1, 1_000).await;
    let user = shop.user_with(100).await;
    let mut paths = BTreeMap::new();
    for number in 0..80 {
        let order = shop.order_of(&user, &[(&item, 1)]).await;
        paths.insert((number, 0), format!("/orders/checkout/{order}"));
        paths.insert((number, 1), format!("/payment/pay/{user}/1"));
    }
    let outcomes = race(shop, paths).await;
    let count =
        |kind: u8, slug: &str| outcomes.iter().filter(|(found, outcome)| *found == kind && outcome == slug).count();
    let (bought, paid) = (count(0, "succeeded"), count(1, "succeeded"));
    assert_eq!(bought + paid, 100, "no more than there are, and nobody refused before: {outcomes:?}");
    assert_eq!((count(0, "not-enough-credit"), count(1, "not-enough-credit")), (80 - bought, 80 - paid));
    assert_eq!(shop.credit(&user).await, 0);
    assert_eq!(shop.stock(&item).await, 1_000 - bought as u64);
}

/// Sends all at once and returns what each came to, with its kind.
async fn race(shop: &Shop, paths: BTreeMap<(u32, u8), String>) -> Vec<(u8, String)> {
    let shop = shop.clone();
    in_parallel(64, paths, move |((_, kind), path)| {
        let shop = shop.clone();
        async move { (kind, shop.attempt(&path).await.slug().to_owned()) }
    })
    .await
}
