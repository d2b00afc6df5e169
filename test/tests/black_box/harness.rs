//! The audit that the other tests rely on notices a single unit, credit or answer that is wrong.

use sagamart_black_box::{Fixture, Market, Outcome, Shop, audit};

/// Whether the audit finds nothing wrong.
async fn agrees(shop: &Shop, market: &Market) -> bool {
    let (shop, market) = (shop.clone(), market.clone());
    tokio::spawn(async move { audit(&shop, &market).await }).await.is_ok()
}

#[tokio::test]
async fn the_audit_notices_the_smallest_difference() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let mut market = Market::default();
    let item = market.add_items(shop, 1, 3, 2).await.remove(0);
    let users = market.add_users(shop, 3, 5).await;
    let wanted = users.iter().map(|user| (user.clone(), vec![(item.clone(), 1)])).collect();
    let first = market.place(shop, wanted).await;
    market.check_out(shop, first, 3).await;
    assert_eq!((market.count(first, "succeeded"), market.count(first, "out-of-stock")), (2, 1));
    assert!(agrees(shop, &market).await);

    let mut poorer = market.clone();
    poorer.credit.values_mut().take(1).for_each(|credit| *credit -= 1);
    assert!(!agrees(shop, &poorer).await, "a credit");

    let mut fuller = market.clone();
    fuller.stock.values_mut().for_each(|(stock, _)| *stock += 1);
    assert!(!agrees(shop, &fuller).await, "a unit");

    let refusal =
        market.orders.iter().flat_map(|placed| &placed.answers).find(|answer| answer.slug() == "out-of-stock");
    let refusal = refusal.expect("one was refused").clone();
    let mut denied = market.clone();
    denied.orders.iter_mut().for_each(|placed| placed.answers = vec![refusal.clone()]);
    assert!(!agrees(shop, &denied).await, "two that were paid were answered 409");

    let mut promised = market.clone();
    promised.orders.iter_mut().for_each(|placed| placed.answers = vec![Outcome::Succeeded]);
    assert!(!agrees(shop, &promised).await, "one that was not paid was answered 200");

    let mut unanswered = market.clone();
    unanswered.orders.iter_mut().for_each(|placed| placed.answers = vec![Outcome::Unknown(String::new())]);
    assert!(agrees(shop, &unanswered).await, "without an answer either is right");

    // What nobody was told about.
    shop.succeed(&format!("/stock/add/{item}/1")).await;
    assert!(!agrees(shop, &market).await, "a unit from nowhere");
}
