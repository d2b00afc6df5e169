//! `Idempotency-Key`: the same request again gets the same reply again, and its effect happens once.

use std::time::Duration;

use sagamart_black_box::{Answer, Client, Fixture, Market, NoAnswer, Outcome, Settings, audit, load::in_parallel};
use serde_json::Value;

fn same(first: &Answer, second: &Answer) {
    assert_eq!((first.status, first.text()), (second.status, second.text()));
    assert_eq!(second.header("idempotency-replayed"), Some("true"), "{second:?}");
}

#[tokio::test]
async fn every_post_takes_a_key_and_acts_once() {
    let fixture = Fixture::new().await;
    let (shop, client) = (&fixture.shop, &fixture.shop.client);
    let user = shop.user_with(100).await;
    let item = shop.item_with(1, 100).await;
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    let paths = [
        format!("/orders/create/{user}"),
        format!("/orders/addItem/{order}/{item}/2"),
        format!("/orders/checkout/{order}"),
        "/stock/item/create/5".to_owned(),
        format!("/stock/add/{item}/10"),
        format!("/stock/subtract/{item}/4"),
        "/payment/create_user".to_owned(),
        format!("/payment/add_funds/{user}/50"),
        format!("/payment/pay/{user}/7"),
        "/stock/batch_init/5/5/5".to_owned(),
        "/payment/batch_init/5/5".to_owned(),
        "/orders/batch_init/5/5/5/5".to_owned(),
    ];
    for (number, path) in paths.iter().enumerate() {
        let key = format!("once-{number}");
        let first = client.post_with_key(path, &key).await;
        assert_eq!(first.status, 200, "{path}: {first:?}");
        assert_eq!(first.header("idempotency-replayed"), None, "{path}: {first:?}");
        for _ in 0..3 {
            same(&first, &client.post_with_key(path, &key).await);
        }
    }
    let found = shop.order(&order).await;
    assert_eq!((found.paid, found.items), (true, vec![(item.clone(), 1), (item.clone(), 2)]));
    assert_eq!(shop.stock(&item).await, 100 - 3 + 10 - 4);
    assert_eq!(shop.credit(&user).await, 100 - 3 + 50 - 7);
}

#[tokio::test]
async fn a_repeated_batch_does_not_undo_what_happened_since() {
    let fixture = Fixture::new().await;
    let (shop, client) = (&fixture.shop, &fixture.shop.client);
    let batches = [
        ("stock", "/stock/batch_init/5/10/2"),
        ("payment", "/payment/batch_init/5/100"),
        ("orders", "/orders/batch_init/5/5/5/2"),
    ];
    for (key, batch) in batches {
        assert_eq!(client.post_with_key(batch, key).await.status, 200);
    }
    shop.succeed("/stock/add/3/1").await;
    shop.succeed("/payment/pay/3/1").await;
    shop.succeed("/orders/checkout/3").await;
    let stock = shop.stock("3").await;
    for (key, batch) in batches {
        assert_eq!(client.post_with_key(batch, key).await.status, 200);
    }
    assert_eq!(shop.stock("3").await, stock);
    assert!(shop.credit("3").await < 100);
    assert!(shop.order("3").await.paid);
}

#[tokio::test]
async fn a_refusal_is_repeated_too_even_when_it_would_no_longer_be_one() {
    let fixture = Fixture::new().await;
    let (shop, client) = (&fixture.shop, &fixture.shop.client);
    let user = shop.create_user().await;
    let item = shop.create_item(1).await;
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    let paths =
        [format!("/stock/subtract/{item}/1"), format!("/payment/pay/{user}/1"), format!("/orders/checkout/{order}")];
    let mut refusals = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        refusals.push(client.post_with_key(path, &format!("no-{number}")).await);
    }
    assert_eq!(refusals.iter().map(|refusal| refusal.status).collect::<Vec<_>>(), [409, 402, 409]);
    shop.succeed(&format!("/stock/add/{item}/10")).await;
    shop.succeed(&format!("/payment/add_funds/{user}/10")).await;
    for (number, (path, refusal)) in paths.iter().zip(&refusals).enumerate() {
        same(refusal, &client.post_with_key(path, &format!("no-{number}")).await);
    }
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (10, 10));
    for path in &paths {
        shop.succeed(path).await;
    }
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (8, 8));
}

#[tokio::test]
async fn a_key_used_for_another_request_is_a_422_that_does_nothing() {
    let fixture = Fixture::with(Settings::partitions(4)).await;
    let (shop, client) = (&fixture.shop, &fixture.shop.client);
    // The two requests of a pair meet in one partition or in two; neither may matter.
    for number in 0..20 {
        let (user, other) = (shop.user_with(10).await, shop.user_with(10).await);
        let item = shop.item_with(1, 10).await;
        let key = format!("pair-{number}");
        assert_eq!(client.post_with_key(&format!("/payment/add_funds/{user}/5"), &key).await.status, 200);
        for path in [
            format!("/payment/add_funds/{user}/6"),
            format!("/payment/pay/{user}/5"),
            format!("/payment/add_funds/{other}/5"),
            "/payment/create_user".to_owned(),
        ] {
            let answer = client.post_with_key(&path, &key).await;
            assert_eq!((answer.status, answer.problem().slug.as_str()), (422, "idempotency-key-reused"), "{path}");
        }
        let repeated = client.post_with_key(&format!("/payment/add_funds/{user}/5"), &key).await;
        assert_eq!(repeated.status, 200);
        assert_eq!((shop.credit(&user).await, shop.credit(&other).await), (15, 10));
        assert_eq!(shop.stock(&item).await, 10);
    }
}

#[tokio::test]
async fn one_key_sent_many_times_at_once_acts_once() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = &fixture.shop;
    let user = shop.user_with(1_000).await;
    let item = shop.item_with(1, 1_000).await;
    for round in 0..20 {
        let order = shop.order_of(&user, &[(&item, 1)]).await;
        for path in [
            format!("/payment/add_funds/{user}/1"),
            format!("/stock/subtract/{item}/1"),
            format!("/orders/checkout/{order}"),
            "/payment/create_user".to_owned(),
            format!("/orders/addItem/{order}/{item}/1"),
        ] {
            let (client, key) = (shop.client.clone(), format!("together-{round}-{}", path.len()));
            let sent = path.clone();
            let answers = in_parallel(8, 0..8, move |_| {
                let (client, path, key) = (client.clone(), sent.clone(), key.clone());
                async move { client.post_with_key(&path, &key).await }
            })
            .await;
            let (first, rest) = answers.split_first().expect("eight answers");
            rest.iter()
                .for_each(|answer| assert_eq!((first.status, first.text()), (answer.status, answer.text()), "{path}"));
            // Any of them may be the one that acted; those that came while it did may have got its own reply.
            assert!(answers.iter().any(|answer| answer.header("idempotency-replayed").is_none()), "{path}");
        }
    }
    // Each round bought one unit, took one away, and added a credit for the one spent.
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (960, 1_000));
}

#[tokio::test]
async fn keys_are_quoted_or_bare_and_nothing_else() {
    let fixture = Fixture::new().await;
    let (shop, client) = (&fixture.shop, &fixture.shop.client);
    let user = shop.create_user().await;
    let path = format!("/payment/add_funds/{user}/1");
    let longest = "k".repeat(100);
    for key in ["\"8e03978e-40d5-43e8-bc93-6894a57f9324\"", "8e03978e-40d5-43e8-bc93-6894a57f9324", &longest] {
        assert_eq!(client.post_with_key(&path, key).await.status, 200, "{key}");
    }
    assert_eq!(shop.credit(&user).await, 2, "quoted and bare are one key");
    let too_long = "k".repeat(1_000);
    for key in ["", "\"\"", "\"open", "a b", "caf\u{e9}", &too_long] {
        let answer = client.post_with_key(&path, key).await;
        assert_eq!((answer.status, answer.problem().slug.as_str()), (400, "malformed"), "{key}");
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let answer = client.send(hyper::Method::POST, &path, &twice).await.expect("an answer");
    assert_eq!((answer.status, answer.problem().slug.as_str()), (400, "malformed"));
    assert_eq!(shop.credit(&user).await, 2);
}

#[tokio::test]
async fn a_key_outlives_a_kill() {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let user = fixture.shop.user_with(100).await;
    let item = fixture.shop.item_with(1, 100).await;
    let order = fixture.shop.order_of(&user, &[(&item, 1)]).await;
    let paths = [
        format!("/orders/create/{user}"),
        format!("/orders/checkout/{order}"),
        "/stock/item/create/5".to_owned(),
        format!("/stock/subtract/{item}/4"),
        format!("/stock/subtract/{item}/4000"),
        format!("/payment/add_funds/{user}/50"),
        format!("/payment/pay/{user}/7"),
        "/payment/batch_init/5/5".to_owned(),
    ];
    let mut first = Vec::new();
    for path in &paths {
        first.push(fixture.shop.client.post_with_key(path, path.trim_matches('/')).await);
    }
    for _ in 0..3 {
        fixture.restart().await;
        for (path, answer) in paths.iter().zip(&first) {
            same(answer, &fixture.shop.client.post_with_key(path, path.trim_matches('/')).await);
        }
    }
    let reused = fixture.shop.client.post_with_key("/payment/create_user", "payment/batch_init/5/5").await;
    assert_eq!(reused.status, 422);
    assert_eq!(fixture.shop.stock(&item).await, 100 - 1 - 4);
    assert_eq!(fixture.shop.credit(&user).await, 100 - 1 + 50 - 7);
}

#[tokio::test]
async fn after_a_kill_under_load_every_key_resolves_to_one_effect() {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = fixture.shop.clone();
    let users = in_parallel(16, 0..16, move |_| {
        let shop = shop.clone();
        async move { shop.create_user().await }
    })
    .await;
    for round in 0..4_u64 {
        let client = fixture.shop.client.clone();
        let funds: Vec<(String, String)> = (0..400_usize)
            .zip(users.iter().cycle())
            .map(|(number, user)| (format!("/payment/add_funds/{user}/1"), format!("funds-{round}-{number}")))
            .collect();
        let load = in_parallel(16, funds.clone(), move |(path, key)| {
            let client = client.clone();
            // Whether it is answered or not is all the same: each is asked again.
            async move { drop(client.try_post_with_key(&path, &key).await) }
        });
        let load = tokio::spawn(load);
        tokio::time::sleep(Duration::from_millis(20 + 15 * round)).await;
        fixture.kill();
        load.await.expect("the load does not panic");
        fixture.restart().await;
        let client = fixture.shop.client.clone();
        let answers = in_parallel(16, funds, move |(path, key)| {
            let client = client.clone();
            async move { client.post_with_key(&path, &key).await.status }
        })
        .await;
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
        for user in &users {
            assert_eq!(fixture.shop.credit(user).await, 25 * (round + 1));
        }
    }
    let created: Value = fixture.shop.client.post_with_key("/payment/create_user", "new").await.json();
    assert!(created.is_object());
}

#[tokio::test]
async fn a_checkout_repeated_after_a_kill_under_its_key_gets_the_answer_it_had() {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let mut market = Market::default();
    let items = market.add_items(&fixture.shop, 5, 1, 400).await;
    let users = market.add_users(&fixture.shop, 5, 300).await;
    let mut lost = 0;
    for round in 0..6_u64 {
        let pairs = users.iter().cycle().zip(items.iter().cycle().skip(2)).take(400);
        let wanted = pairs.map(|(user, item)| (user.clone(), vec![(item.clone(), 1)])).collect();
        let first = market.place(&fixture.shop, wanted).await;
        let orders: Vec<String> = market.orders.iter().skip(first).map(|placed| placed.order.clone()).collect();
        let load = tokio::spawn(check_out_with_keys(fixture.shop.client.clone(), orders.clone()));
        tokio::time::sleep(Duration::from_millis(15 + 10 * round)).await;
        fixture.kill();
        let before = load.await.expect("the load does not panic");
        fixture.restart().await;
        let after = check_out_with_keys(fixture.shop.client.clone(), orders).await;
        for ((placed, before), after) in market.orders.iter_mut().skip(first).zip(before).zip(after) {
            let after = after.expect("a running server answers");
            match before {
                Ok(before) => same(&before, &after),
                Err(_) => lost += 1,
            }
            placed.answers.push(Outcome::of(Ok(after)));
        }
        audit(&fixture.shop, &market).await;
    }
    assert!(lost > 0, "the kills hit running checkouts");
    assert_eq!(market.count(0, "succeeded"), 1_500, "the credit of all users, and not one more");
}

/// Checks out each order under a key of its own, the same whenever it is called.
async fn check_out_with_keys(client: Client, orders: Vec<String>) -> Vec<Result<Answer, NoAnswer>> {
    in_parallel(16, orders, move |order| {
        let client = client.clone();
        async move { client.try_post_with_key(&format!("/orders/checkout/{order}"), &order).await }
    })
    .await
}

/// Whoever is no gateway may not have its key forgotten early, nor kept in the way of others.
#[tokio::test]
async fn only_a_gateway_may_say_how_long_a_key_is_good() {
    for (arguments, answer) in [(&[][..], 200), (&["--behind-gateway".to_owned()][..], 400)] {
        let settings = Settings { arguments: arguments.to_vec(), ..Settings::default() };
        let fixture = Fixture::with(settings).await;
        let user = fixture.shop.user_with(1).await;
        let path = format!("/payment/add_funds/{user}/1");
        for header in ["Idempotency-Retention", "Idempotency-Since"] {
            let headers = [("Idempotency-Key", header), (header, "never")];
            let told = fixture.shop.client.send(hyper::Method::POST, &path, &headers).await.expect("an answer");
            assert_eq!(told.status, answer, "{header}: {told:?}");
        }
    }
}
