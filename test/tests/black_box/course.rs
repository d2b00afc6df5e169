//! The story that the public course template's own tests tell, told again.

use sagamart_black_box::{Answer, Fixture, Outcome, Settings, shop::Item};

#[tokio::test]
async fn stock_is_added_and_subtracted_and_never_goes_below_zero() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let item = shop.create_item(5).await;
    assert_eq!(shop.item(&item).await, Item { stock: 0, price: 5 });
    shop.succeed(&format!("/stock/add/{item}/50")).await;
    assert_eq!(shop.stock(&item).await, 50);
    shop.refused(&format!("/stock/subtract/{item}/200"), 409, "out-of-stock").await;
    shop.succeed(&format!("/stock/subtract/{item}/15")).await;
    assert_eq!(shop.stock(&item).await, 35);
}

#[tokio::test]
async fn credit_is_added_and_paid() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.create_user().await;
    assert_eq!(shop.credit(&user).await, 0);
    shop.succeed(&format!("/payment/add_funds/{user}/15")).await;
    assert_eq!(shop.credit(&user).await, 15);
    shop.succeed(&format!("/payment/pay/{user}/10")).await;
    assert_eq!(shop.credit(&user).await, 5);
    shop.refused(&format!("/payment/pay/{user}/6"), 402, "not-enough-credit").await;
    assert_eq!(shop.credit(&user).await, 5);
}

#[tokio::test]
async fn an_order_fails_for_want_of_stock_then_of_credit_and_then_succeeds() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.create_user().await;
    let order = shop.create_order(&user).await;
    let first = shop.item_with(5, 15).await;
    let second = shop.item_with(5, 1).await;
    shop.succeed(&format!("/orders/addItem/{order}/{first}/1")).await;
    shop.succeed(&format!("/orders/addItem/{order}/{second}/1")).await;
    shop.succeed(&format!("/stock/subtract/{second}/1")).await;

    let refusal = shop.refused(&format!("/orders/checkout/{order}"), 409, "out-of-stock").await;
    assert_eq!(refusal.members.get("item_id"), Some(&second.as_str().into()));
    assert_eq!(shop.stock(&first).await, 15, "the first line's unit is back");

    shop.succeed(&format!("/stock/add/{second}/15")).await;
    assert_eq!(shop.stock(&second).await, 15);
    assert_eq!(shop.credit(&user).await, 0);
    shop.refused(&format!("/orders/checkout/{order}"), 402, "not-enough-credit").await;
    assert_eq!((shop.stock(&first).await, shop.stock(&second).await), (15, 15));

    shop.succeed(&format!("/payment/add_funds/{user}/15")).await;
    assert_eq!(shop.credit(&user).await, 15);
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    assert_eq!((shop.stock(&first).await, shop.stock(&second).await), (14, 14));
    assert_eq!(shop.credit(&user).await, 5);
    assert!(shop.order(&order).await.paid);

    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded, "paid twice is a 200 that does nothing");
    assert_eq!((shop.stock(&first).await, shop.stock(&second).await), (14, 14));
    assert_eq!(shop.credit(&user).await, 5);
}

/// A shop that spells its answers as the template does.
async fn template() -> Fixture {
    let environment = vec![("SAGAMART_DIALECT", "template".to_owned())];
    Fixture::with(Settings { environment, ..Settings::default() }).await
}

/// What the template's own helpers assert of a refusal, and what it is about besides.
fn assert_fails(answer: &Answer, kind: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.problem().slug, kind);
}

#[tokio::test]
async fn in_the_templates_dialect_every_refusal_is_a_400() {
    let fixture = template().await;
    let (shop, client) = (&fixture.shop, &fixture.shop.client);
    let user = shop.create_user().await;
    let item = shop.item_with(5, 1).await;
    let order = shop.create_order(&user).await;
    assert_fails(&client.post(&format!("/orders/checkout/{order}")).await, "order-empty");
    assert_fails(&client.post(&format!("/stock/subtract/{item}/2")).await, "out-of-stock");
    assert_fails(&client.post(&format!("/payment/pay/{user}/1")).await, "not-enough-credit");
    for path in [
        "/stock/add/nothing/1",
        "/stock/subtract/nothing/1",
        "/payment/add_funds/nobody/1",
        "/payment/pay/nobody/1",
        "/orders/checkout/none",
        "/orders/create/nobody",
    ] {
        assert_fails(&client.post(path).await, "not-found");
    }
    for path in ["/stock/find/nothing", "/payment/find_user/nobody", "/orders/find/none"] {
        assert_fails(&client.get(path).await, "not-found");
    }
    assert_fails(&client.post(&format!("/orders/addItem/{order}/nothing/1")).await, "not-found");
    shop.succeed(&format!("/orders/addItem/{order}/{item}/2")).await;
    assert_fails(&client.post(&format!("/orders/checkout/{order}")).await, "out-of-stock");
    shop.succeed(&format!("/stock/add/{item}/1")).await;
    assert_fails(&client.post(&format!("/orders/checkout/{order}")).await, "not-enough-credit");
    shop.succeed(&format!("/payment/add_funds/{user}/10")).await;
    // Some clients join a base that ends in a slash with a path that begins with one.
    shop.succeed(&format!("//orders/checkout/{order}")).await;
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (0, 0));
    assert_fails(&client.post(&format!("/orders/addItem/{order}/{item}/1")).await, "order-paid");
}

#[tokio::test]
async fn without_the_dialect_nothing_is_spelled_so() {
    let fixture = Fixture::new().await;
    let client = &fixture.shop.client;
    assert_eq!(client.get("/stock/find/nothing").await.status, 404);
    assert_eq!(client.post("//payment/create_user").await.status, 404);
}
