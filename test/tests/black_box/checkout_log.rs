//! What the log says of checkouts.

use sagamart_black_box::{Fixture, Outcome, Settings};
use serde_json::Value;

async fn logging(more: &[&str]) -> Fixture {
    let arguments = ["--log", "json"].iter().chain(more).map(|word| (*word).to_owned()).collect();
    Fixture::with(Settings { arguments, ..Settings::default() }).await
}

/// The fields of all lines that say this, with their level.
async fn said(fixture: &mut Fixture, message: &str) -> Vec<(String, Value)> {
    let exit = fixture.take_server().terminate().await;
    let lines = exit.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let wanted = lines.filter(|line| line.pointer("/fields/message").is_some_and(|said| said == message));
    let parts = wanted.filter_map(|line| Some((line.get("level")?.as_str()?.to_owned(), line.get("fields")?.clone())));
    parts.collect()
}

#[tokio::test]
async fn one_that_is_not_paid_has_a_line_and_one_that_is_has_none() {
    let mut fixture = logging(&[]).await;
    let shop = fixture.shop.clone();
    let (rich, poor) = (shop.user_with(100).await, shop.create_user().await);
    let (item, rare) = (shop.item_with(1, 10).await, shop.create_item(1).await);
    let paid = shop.order_of(&rich, &[(&item, 1)]).await;
    assert_eq!(shop.checkout(&paid).await, Outcome::Succeeded);
    let unaffordable = shop.order_of(&poor, &[(&item, 1)]).await;
    assert_eq!(shop.checkout(&unaffordable).await.slug(), "not-enough-credit");
    let short = shop.order_of(&rich, &[(&item, 1), (&rare, 1)]).await;
    assert_eq!(shop.checkout(&short).await.slug(), "out-of-stock");
    let lines = said(&mut fixture, "checkout not paid").await;
    let [(level, first), (_, second)] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(level, "INFO");
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let all = |line: &Value| ["order", "user", "reason", "item"].map(|field| text(line, field));
    assert_eq!(all(first), [unaffordable, poor, "not_enough_credit".to_owned(), String::new()]);
    assert_eq!(all(second), [short, rich, "out_of_stock".to_owned(), rare]);
    assert!(first["took_ms"].is_u64() && first["suppressed"] == 0, "{first}");
    let amounts = |line: &Value| ["wanted", "left"].map(|field| line[field].as_u64());
    assert_eq!([amounts(first), amounts(second)], [[Some(1), Some(0)], [Some(1), Some(0)]]);
}

#[tokio::test]
async fn many_that_are_not_paid_do_not_fill_the_log() {
    let mut fixture = logging(&[]).await;
    let shop = fixture.shop.clone();
    let (user, rare) = (shop.user_with(100).await, shop.create_item(1).await);
    let order = shop.order_of(&user, &[(&rare, 1)]).await;
    for _ in 0..100 {
        assert_eq!(shop.checkout(&order).await.slug(), "out-of-stock");
    }
    let lines = said(&mut fixture, "checkout not paid").await;
    // Ten in ten seconds; a machine may need more than ten for all of them.
    assert!((10..100).contains(&lines.len()), "{} lines", lines.len());
}

#[tokio::test]
async fn one_that_takes_long_has_a_line_whatever_became_of_it() {
    // Here, every checkout does.
    let mut fixture = logging(&["--slow-checkout", "0"]).await;
    let shop = fixture.shop.clone();
    let (user, item) = (shop.user_with(1).await, shop.item_with(1, 10).await);
    let [paid, refused] = [shop.order_of(&user, &[(&item, 1)]).await, shop.order_of(&user, &[(&item, 1)]).await];
    shop.checkout(&paid).await;
    shop.checkout(&refused).await;
    let lines = said(&mut fixture, "slow checkout").await;
    let wanted = [(paid, true), (refused, false)];
    assert_eq!(lines.len(), 2, "{lines:?}");
    for ((level, line), (order, is_paid)) in lines.iter().zip(wanted) {
        assert_eq!(
            (level.as_str(), &line["order"], &line["paid"]),
            ("WARN", &Value::from(order), &Value::from(is_paid))
        );
    }
    let mut calm = logging(&["--slow-checkout", "60.5"]).await;
    let shop = calm.shop.clone();
    let (user, item) = (shop.user_with(1).await, shop.item_with(1, 10).await);
    assert_eq!(shop.checkout(&shop.order_of(&user, &[(&item, 1)]).await).await, Outcome::Succeeded);
    assert_eq!(said(&mut calm, "slow checkout").await, []);
}
