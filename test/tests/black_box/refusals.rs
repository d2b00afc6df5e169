//! A refusal changes nothing, and costs the disk nothing.

use std::time::Duration;

use sagamart_black_box::{Fixture, Shop};

/// Commits of all partitions so far.
async fn commits(fixture: &Fixture) -> f64 {
    fixture.metrics().await.sum("sagamart_commit_duration_seconds_count", &[]).expect("the count of commits")
}

/// Waits until nothing is committed any more on account of what was: cursors, for one, are stored with a delay.
async fn rest(fixture: &Fixture) -> f64 {
    loop {
        let before = commits(fixture).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = commits(fixture).await;
        if after.total_cmp(&before).is_eq() {
            return after;
        }
    }
}

/// Every request that is refused at once, with what it is refused as.
async fn refusals(shop: &Shop) -> Vec<(String, u16, &'static str)> {
    const MAX: u64 = (1 << 53) - 1;
    let (user, item) = (shop.user_with(10).await, shop.item_with(1, 10).await);
    let [empty, paid, full] =
        [shop.create_order(&user).await, shop.order_of(&user, &[(&item, 1)]).await, shop.create_order(&user).await];
    shop.succeed(&format!("/orders/checkout/{paid}")).await;
    for _ in 0..100 {
        shop.succeed(&format!("/orders/addItem/{full}/{item}/1")).await;
    }
    vec![
        ("/orders/create/nobody".to_owned(), 404, "not-found"),
        (format!("/orders/addItem/nothing/{item}/1"), 404, "not-found"),
        (format!("/orders/addItem/{empty}/nothing/1"), 404, "not-found"),
        (format!("/orders/addItem/{empty}/{item}/0"), 400, "malformed"),
        (format!("/orders/addItem/{paid}/{item}/1"), 409, "order-paid"),
        (format!("/orders/addItem/{full}/{item}/1"), 409, "too-many-lines"),
        (format!("/orders/addItem/{paid}/{item}/{}", MAX + 1), 400, "malformed"),
        ("/orders/checkout/nothing".to_owned(), 404, "not-found"),
        (format!("/orders/checkout/{empty}"), 409, "order-empty"),
        (format!("/orders/batch_init/1/1/1/{MAX}"), 400, "amount-too-large"),
        ("/orders/batch_init/10000001/1/1/1".to_owned(), 400, "malformed"),
        ("/stock/add/nothing/1".to_owned(), 404, "not-found"),
        (format!("/stock/add/{item}/{MAX}"), 400, "amount-too-large"),
        ("/stock/subtract/nothing/1".to_owned(), 404, "not-found"),
        (format!("/stock/subtract/{item}/10"), 409, "out-of-stock"),
        ("/stock/batch_init/10000001/1/1".to_owned(), 400, "malformed"),
        ("/payment/add_funds/nobody/1".to_owned(), 404, "not-found"),
        (format!("/payment/add_funds/{user}/{MAX}"), 400, "amount-too-large"),
        ("/payment/pay/nobody/1".to_owned(), 404, "not-found"),
        (format!("/payment/pay/{user}/10"), 402, "not-enough-credit"),
        ("/payment/batch_init/10000001/1".to_owned(), 400, "malformed"),
    ]
}

#[tokio::test]
async fn no_refusal_commits_anything() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let refusals = refusals(shop).await;
    let user = shop.user_with(1).await;
    assert_eq!(shop.client.post_with_key(&format!("/payment/add_funds/{user}/1"), "used").await.status, 200);
    let mut before = rest(&fixture).await;
    for (path, status, slug) in refusals {
        for _ in 0..3 {
            shop.refused(&path, status, slug).await;
        }
        let after = commits(&fixture).await;
        assert!(after.total_cmp(&before).is_eq(), "{path}: {before} commits became {after}");
        before = after;
    }
    let reused = shop.client.post_with_key(&format!("/payment/add_funds/{user}/2"), "used").await;
    assert_eq!(reused.status, 422);
    for path in ["/orders/find/nothing", "/stock/find/nothing", "/payment/find_user/nobody"] {
        assert_eq!(shop.client.get(path).await.status, 404);
    }
    let after = commits(&fixture).await;
    assert!(after.total_cmp(&before).is_eq(), "{before} commits became {after}");
}
