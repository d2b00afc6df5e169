//! What a checkout's answer means.

use sagamart_black_box::{Fixture, Outcome, load::in_parallel};

#[tokio::test]
async fn an_empty_order_is_refused_and_can_still_be_filled() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.user_with(1).await;
    let order = shop.create_order(&user).await;
    assert_eq!(shop.checkout(&order).await.slug(), "order-empty");
    assert!(!shop.order(&order).await.paid);
    let item = shop.item_with(1, 1).await;
    shop.succeed(&format!("/orders/addItem/{order}/{item}/1")).await;
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
}

#[tokio::test]
async fn a_paid_order_takes_no_more_items() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.user_with(10).await;
    let item = shop.item_with(1, 10).await;
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    shop.refused(&format!("/orders/addItem/{order}/{item}/1"), 409, "order-paid").await;
    let found = shop.order(&order).await;
    assert_eq!((found.items, found.total_cost), (vec![(item.clone(), 1)], 1));
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (9, 9));
}

#[tokio::test]
async fn lines_of_one_item_count_together() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.user_with(100).await;
    let (item, other) = (shop.item_with(2, 6).await, shop.item_with(1, 9).await);
    let order = shop.order_of(&user, &[(&item, 3), (&other, 1), (&item, 4)]).await;
    assert_eq!(shop.order(&order).await.total_cost, 15);
    shop.refused(&format!("/orders/checkout/{order}"), 409, "out-of-stock").await;
    assert_eq!((shop.stock(&item).await, shop.stock(&other).await), (6, 9));
    shop.succeed(&format!("/stock/add/{item}/1")).await;
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    assert_eq!((shop.stock(&item).await, shop.stock(&other).await), (0, 8));
    assert_eq!(shop.credit(&user).await, 85);
}

#[tokio::test]
async fn an_order_that_costs_nothing_needs_no_credit() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.create_user().await;
    let item = shop.item_with(0, 1).await;
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    assert_eq!(shop.stock(&item).await, 0);
}

#[tokio::test]
async fn a_failed_checkout_keeps_nothing_and_can_be_tried_again_until_it_succeeds() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.user_with(29).await;
    let items = [shop.item_with(10, 5).await, shop.item_with(10, 5).await, shop.item_with(10, 5).await];
    let lines = items.each_ref().map(|item| (item.as_str(), 1));
    let order = shop.order_of(&user, &lines).await;
    for _ in 0..20 {
        shop.refused(&format!("/orders/checkout/{order}"), 402, "not-enough-credit").await;
        for item in &items {
            assert_eq!(shop.stock(item).await, 5);
        }
        assert_eq!(shop.credit(&user).await, 29);
        assert!(!shop.order(&order).await.paid);
    }
    shop.succeed(&format!("/payment/add_funds/{user}/1")).await;
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    assert_eq!(shop.credit(&user).await, 0);
    for item in &items {
        assert_eq!(shop.stock(item).await, 4);
    }
}

#[tokio::test]
async fn checkouts_of_one_order_at_once_get_one_outcome_and_charge_once() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    for round in 0..40 {
        // Every other round cannot be paid; then all who asked at once hear so.
        let payable = round % 2 == 0;
        let user = shop.user_with(if payable { 5 } else { 4 }).await;
        let item = shop.item_with(5, 100).await;
        let order = shop.order_of(&user, &[(&item, 1)]).await;
        let clients = shop.clone();
        let outcomes = in_parallel(8, 0..8, move |_| {
            let (shop, order) = (clients.clone(), order.clone());
            async move { shop.checkout(&order).await }
        })
        .await;
        let expected = if payable { "succeeded" } else { "not-enough-credit" };
        assert!(outcomes.iter().all(|outcome| outcome.slug() == expected), "{outcomes:?}");
        let left = if payable { (99, 0) } else { (100, 4) };
        assert_eq!((shop.stock(&item).await, shop.credit(&user).await), left);
    }
}

#[tokio::test]
async fn a_failed_checkout_and_a_new_one_at_once_never_charge_twice() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    for _ in 0..40 {
        let user = shop.user_with(4).await;
        let item = shop.item_with(5, 100).await;
        let order = shop.order_of(&user, &[(&item, 1)]).await;
        let clients = (shop.clone(), user.clone());
        // Funds arrive in the middle of it: each attempt may or may not see them, and none charges a second time.
        let outcomes = in_parallel(8, 0..8, move |number| {
            let ((shop, user), order) = (clients.clone(), order.clone());
            async move {
                if number == 3 {
                    shop.succeed(&format!("/payment/add_funds/{user}/100")).await;
                }
                shop.checkout(&order).await
            }
        })
        .await;
        let known = |outcome: &Outcome| matches!(outcome.slug(), "succeeded" | "not-enough-credit");
        assert!(outcomes.iter().all(known), "{outcomes:?}");
        assert_eq!(outcomes.get(3), Some(&Outcome::Succeeded), "its funds were there: {outcomes:?}");
        assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (99, 99));
    }
}
