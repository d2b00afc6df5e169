//! The routes and their answers, as clients that exist already expect them.

use std::collections::HashSet;

use hyper::Method;
use sagamart_black_box::{Fixture, Order, Outcome, load::in_parallel, shop::Item};
use serde_json::{Map, Value};

/// The most that a number may be, so that every JSON reader has it exactly.
const NUMBER_MAX: u64 = (1 << 53) - 1;

#[tokio::test]
async fn every_route_answers_in_its_documented_shape() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    // The typed calls take exactly the documented members; what is left to see is that they mean what they say.
    let user = shop.user_with(100).await;
    let (first, second) = (shop.item_with(7, 10).await, shop.item_with(0, 3).await);
    let order = shop.create_order(&user).await;
    let empty = Order { order_id: order.clone(), paid: false, items: Vec::new(), user_id: user.clone(), total_cost: 0 };
    assert_eq!(shop.order(&order).await, empty);
    shop.succeed(&format!("/orders/addItem/{order}/{first}/2")).await;
    shop.succeed(&format!("/orders/addItem/{order}/{second}/3")).await;
    let filled = Order { items: vec![(first.clone(), 2), (second.clone(), 3)], total_cost: 14, ..empty };
    assert_eq!(shop.order(&order).await, filled);
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    assert_eq!(shop.order(&order).await, Order { paid: true, ..filled });
    assert_eq!(shop.item(&first).await, Item { stock: 8, price: 7 });
    assert_eq!(shop.item(&second).await, Item { stock: 0, price: 0 });
    assert_eq!(shop.credit(&user).await, 86);
    for id in [&user, &first, &second, &order] {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        assert!((1..=64).contains(&id.len()) && id.chars().all(allowed), "{id}");
    }
}

#[tokio::test]
async fn batches_create_what_they_say() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let batches = ["/stock/batch_init/20/5/3", "/payment/batch_init/10/1000", "/orders/batch_init/40/20/10/3"];
    for batch in batches {
        let body: Map<String, Value> = shop.client.post(batch).await.json();
        assert_eq!(body.keys().collect::<Vec<_>>(), ["msg"], "{batch}");
        assert!(body.values().all(Value::is_string), "{batch}");
    }
    for item in 0..20 {
        assert_eq!(shop.item(&item.to_string()).await, Item { stock: 5, price: 3 });
    }
    for user in 0..10 {
        assert_eq!(shop.credit(&user.to_string()).await, 1000);
    }
    for path in ["/stock/find/20", "/payment/find_user/10", "/orders/find/40"] {
        assert_eq!(shop.client.get(path).await.problem().slug, "not-found", "{path}");
    }
    let (mut users, mut items) = (HashSet::new(), HashSet::new());
    for order in 0..40 {
        let order = shop.order(&order.to_string()).await;
        assert!(!order.paid);
        assert_eq!(order.total_cost, 6);
        assert_eq!(order.items.iter().map(|(_, quantity)| *quantity).collect::<Vec<_>>(), [1, 1]);
        assert!(order.user_id.parse::<u32>().is_ok_and(|user| user < 10), "{order:?}");
        assert!(order.items.iter().all(|(item, _)| item.parse::<u32>().is_ok_and(|item| item < 20)), "{order:?}");
        users.insert(order.user_id);
        items.extend(order.items.into_iter().map(|(item, _)| item));
    }
    assert!(users.len() > 1 && items.len() > 2, "drawn at random");
    assert_eq!(shop.checkout("0").await, Outcome::Succeeded);
    assert!(shop.order("0").await.paid);
}

#[tokio::test]
async fn ten_thousand_of_each_are_created_by_one_request() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    shop.succeed("/stock/batch_init/10000/9/2").await;
    shop.succeed("/payment/batch_init/10000/77").await;
    shop.succeed("/orders/batch_init/10000/10000/10000/2").await;
    assert_eq!(shop.item("9999").await, Item { stock: 9, price: 2 });
    assert_eq!(shop.credit("9999").await, 77);
    assert_eq!(shop.order("9999").await.total_cost, 4);
    let checkouts = shop.clone();
    let outcomes = in_parallel(32, 0..200, move |order| {
        let shop = checkouts.clone();
        async move { shop.checkout(&order.to_string()).await }
    })
    .await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Succeeded), "{outcomes:?}");
}

#[tokio::test]
async fn an_unknown_id_is_a_404_on_every_route() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.user_with(10).await;
    let item = shop.item_with(1, 10).await;
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    let gets = ["/orders/find/nobody", "/stock/find/nobody", "/payment/find_user/nobody"].map(str::to_owned);
    let posts = [
        "/orders/create/nobody".to_owned(),
        format!("/orders/addItem/nobody/{item}/1"),
        format!("/orders/addItem/{order}/nobody/1"),
        "/orders/checkout/nobody".to_owned(),
        "/stock/add/nobody/1".to_owned(),
        "/stock/subtract/nobody/1".to_owned(),
        "/payment/add_funds/nobody/1".to_owned(),
        "/payment/pay/nobody/1".to_owned(),
        // An id of another kind is no id of this one.
        format!("/orders/checkout/{item}"),
        format!("/stock/add/{user}/1"),
        format!("/payment/pay/{order}/1"),
    ];
    for path in gets {
        let answer = shop.client.get(&path).await;
        assert_eq!((answer.status, answer.problem().slug.as_str()), (404, "not-found"), "{path}");
    }
    for path in posts {
        shop.refused(&path, 404, "not-found").await;
    }
    assert_eq!(shop.order(&order).await.items, [(item.clone(), 1)]);
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (10, 10));
}

#[tokio::test]
async fn a_wrong_path_or_method_is_a_problem_too() {
    let fixture = Fixture::new().await;
    let client = &fixture.shop.client;
    for path in ["/orders", "/orders/", "/orders/find", "/stock/find/a/b", "/nothing", "/orders/Find/a"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        let _: sagamart_black_box::Problem = answer.problem();
    }
    for (method, path, allowed) in [
        (Method::GET, "/payment/create_user", "POST"),
        (Method::POST, "/stock/find/a", "GET"),
        (Method::DELETE, "/orders/find/a", "GET"),
        (Method::PUT, "/orders/checkout/a", "POST"),
    ] {
        let answer = client.send(method.clone(), path, &[]).await.expect("an answer");
        assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
        assert!(answer.header("allow").is_some_and(|methods| methods.contains(allowed)), "{answer:?}");
        let _: sagamart_black_box::Problem = answer.problem();
    }
}

#[tokio::test]
async fn numbers_are_exact_up_to_the_limit_and_refused_beyond() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.user_with(NUMBER_MAX).await;
    let item = shop.item_with(NUMBER_MAX, NUMBER_MAX).await;
    let limit = Item { stock: NUMBER_MAX, price: NUMBER_MAX };
    assert_eq!(shop.credit(&user).await, NUMBER_MAX);
    assert_eq!(shop.item(&item).await, limit);
    for amount in [1, NUMBER_MAX] {
        shop.refused(&format!("/payment/add_funds/{user}/{amount}"), 400, "amount-too-large").await;
        shop.refused(&format!("/stock/add/{item}/{amount}"), 400, "amount-too-large").await;
    }
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    for quantity in [1, NUMBER_MAX] {
        let path = format!("/orders/addItem/{order}/{item}/{quantity}");
        shop.refused(&path, 400, "amount-too-large").await;
    }
    assert_eq!(shop.order(&order).await.total_cost, NUMBER_MAX);
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    assert_eq!(shop.credit(&user).await, 0);
    assert_eq!(shop.stock(&item).await, NUMBER_MAX - 1);
}

#[tokio::test]
async fn an_order_has_at_most_a_hundred_lines() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.user_with(100).await;
    let item = shop.item_with(1, 1000).await;
    let order = shop.order_of(&user, &[(item.as_str(), 1); 100]).await;
    let path = format!("/orders/addItem/{order}/{item}/1");
    let outcome = shop.attempt(&path).await;
    assert_eq!(outcome.slug(), "too-many-lines");
    assert_eq!(shop.order(&order).await.total_cost, 100);
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (900, 0));
}
