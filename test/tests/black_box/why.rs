//! Why a checkout was refused as `busy`, and why one ended by `timeout`: the command, the operators' API and the console's page say
//! what was done.

use std::process::Command;

use sagamart_black_box::{Apart, Outcome, binary};
use serde_json::Value;

use crate::history::until;

/// As many as wait for one item.
const PARKED_MAX: usize = 128;

fn texts<'value>(values: &'value Value, list: &str, name: &str) -> Vec<&'value str> {
    let list = values.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().map(|value| value.get(name).and_then(Value::as_str).unwrap_or_default()).collect()
}

/// The lines of a command that asks the observer.
fn command(apart: &Apart, arguments: &[&str]) -> Vec<String> {
    let admin = apart.observer.admin();
    let output = Command::new(binary::path()).args(arguments).args(["--admin", &admin]).output();
    let output = output.expect("the binary runs");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// How many checkouts stock counts as this.
async fn in_stock(apart: &Apart, count: &str) -> u64 {
    let services: Value = apart.stock.operators().get("/services").await.json();
    let count = services.pointer("/services/0/partitions/0").and_then(|partition| partition.get(count)?.as_u64());
    count.expect("a count")
}

/// What all of them say of the attempts of an order, which has to be the same.
async fn why(apart: &Apart, order: &str) -> Vec<String> {
    let said = command(apart, &["why", order]);
    let observer = apart.observer.operators();
    let api: Value = observer.get(&format!("/orders/{order}/why")).await.json();
    assert_eq!(api.get("lines"), Some(&serde_json::json!(said)), "the API says what the command says");
    let page = observer.get(&format!("/console/orders/{order}")).await.text();
    let words = page.split("<pre tabindex=\"0\">").skip(1).map(|rest| rest.split("</pre>").next().unwrap_or_default());
    let words: String = words.collect();
    let words = words.replace("<span class=\"line\">", "").replace("</span>", "");
    let words = words.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    assert_eq!(words.lines().collect::<Vec<_>>(), said, "the page says what the command says");
    said
}

/// Between a head and an outcome there is a line for each thing that happened, and no other. They are in the order in which the
/// observer heard of them, which of two partitions may be any.
fn says(said: &[String], happened: &[&str]) {
    assert_eq!(said.len(), happened.len() + 2, "{said:#?}");
    for happened in happened {
        assert_eq!(said.iter().filter(|line| line.ends_with(happened)).count(), 1, "{happened}: {said:#?}");
    }
}

/// Of each attempt of an order, the last one first, what the API says happened, sorted by name.
async fn attempts(apart: &Apart, order: &str) -> Vec<(String, String, Vec<String>)> {
    let all: Value = apart.observer.operators().get(&format!("/orders/{order}/checkouts")).await.json();
    let checkouts = all.get("checkouts").and_then(Value::as_array).expect("a list");
    let text = |checkout: &Value, name: &str| checkout.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let events = |checkout: &Value| {
        let mut events: Vec<_> = texts(checkout, "events", "event").into_iter().map(str::to_owned).collect();
        events.sort();
        events
    };
    checkouts.iter().map(|one| (text(one, "state"), text(one, "reason"), events(one))).collect()
}

#[tokio::test]
async fn a_checkout_that_was_refused_as_busy_says_that_too_many_waited_and_held_nothing() {
    // Longer than anything here takes: the deadline decides nothing.
    let apart = Apart::start(3000, 1).await;
    let (orders, stock, payment) = (apart.order.shop(), apart.stock.shop(), apart.payment.shop());
    let (user, item) = (payment.user_with(1_000).await, stock.item_with(1, 1).await);
    let mut placed = Vec::new();
    for _ in 0..PARKED_MAX + 2 {
        placed.push(orders.order_of(&user, &[(&item, 1)]).await);
    }
    // What is held stays so as long as payment does not go on.
    apart.payment.freeze();
    let begin = |order: &String| {
        let (orders, order) = (orders.clone(), order.clone());
        tokio::spawn(async move { orders.checkout(&order).await })
    };
    let [holder, parked @ .., refused] = placed.as_slice() else { panic!("there are more than two") };
    let held = begin(holder);
    until("the only unit is held", async || in_stock(&apart, "held").await == 1).await;
    let waiting: Vec<_> = parked.iter().map(begin).collect();
    until("as many wait as may", async || in_stock(&apart, "parked").await == PARKED_MAX as u64).await;
    assert_eq!(orders.checkout(refused).await.slug(), "busy");
    assert_eq!(in_stock(&apart, "parked").await, PARKED_MAX as u64, "nobody lost a place");
    apart.payment.thaw();
    assert_eq!(held.await.expect("no panic"), Outcome::Succeeded);
    for one in waiting {
        assert_eq!(one.await.expect("no panic").slug(), "out-of-stock");
    }

    until("the history has all", async || command(&apart, &["ls", "--all", "--json"]).len() == PARKED_MAX + 2).await;
    let said = why(&apart, refused).await;
    let reason = "too many wait for the same item or credit";
    says(
        &said,
        &[
            "order/0     the checkout begins",
            &format!("stock/0     refuses: {reason}"),
            &format!("order/0     decided: cancelled, {reason}"),
        ],
    );
    let outcome = said.last().expect("an outcome");
    let end = format!(": {reason}; it held nothing");
    assert!(outcome.starts_with("cancelled after ") && outcome.ends_with(&end), "{outcome}");
    let events = ["CheckoutCancelled", "CheckoutStarted", "StockRefused"].map(str::to_owned).to_vec();
    assert_eq!(attempts(&apart, refused).await, [("cancelled".to_owned(), "busy".to_owned(), events)]);
    let busy = command(&apart, &["ls", "--reason", "busy", "--json"]);
    assert!(busy.len() == 1 && busy.iter().all(|line| line.contains(refused)), "{busy:#?}");
    // Whoever waited last waited behind all the others.
    let last = format!("wants 1, 0 are free, {} wait before it; held then by order {holder}", PARKED_MAX - 1);
    let mut found = 0;
    for order in parked {
        let api: Value = apart.observer.operators().get(&format!("/orders/{order}/why")).await.json();
        found += usize::from(api.to_string().contains(&last));
    }
    assert_eq!(found, 1, "{last}");
    assert_eq!((stock.stock(&item).await, payment.credit(&user).await), (0, 999));
}

#[tokio::test]
async fn a_checkout_that_ended_by_timeout_says_what_was_held_and_that_it_was_given_back() {
    let apart = Apart::start(1, 1).await;
    let (orders, stock, payment) = (apart.order.shop(), apart.stock.shop(), apart.payment.shop());
    let (user, item) = (payment.user_with(10).await, stock.item_with(3, 5).await);
    let order = orders.order_of(&user, &[(&item, 2)]).await;
    apart.payment.freeze();
    assert_eq!(orders.checkout(&order).await.slug(), "timeout");
    let reason = "it was not decided in time";
    until("the history has it", async || {
        command(&apart, &["why", &order]).last().is_some_and(|last| last.starts_with("cancelled"))
    })
    .await;
    let said = why(&apart, &order).await;
    let head = said.first().expect("a head");
    assert!(head.starts_with(&format!("order {order}: user {user} pays 6 for 2 x {item}, begun at ")), "{head}");
    says(
        &said,
        &[
            "order/0     the checkout begins",
            "stock/0     holds the units",
            &format!("order/0     decided: cancelled, {reason}"),
        ],
    );
    let outcome = said.last().expect("an outcome");
    let end = format!(": {reason}; what it held was given back");
    assert!(outcome.starts_with("cancelled after ") && outcome.ends_with(&end), "{outcome}");
    let events = ["CheckoutCancelled", "CheckoutStarted", "StockReserved"].map(str::to_owned).to_vec();
    assert_eq!(attempts(&apart, &order).await, [("cancelled".to_owned(), "timeout".to_owned(), events)]);
    assert_eq!(command(&apart, &["ls", "--reason", "timeout", "--json"]).len(), 1);
    assert_eq!(stock.stock(&item).await, 5, "the units are back");

    apart.payment.thaw();
    until("payment is reached again", async || orders.checkout(&order).await == Outcome::Succeeded).await;
    assert_eq!((stock.stock(&item).await, payment.credit(&user).await), (3, 4));
    until("the history has that too", async || {
        attempts(&apart, &order).await.first().is_some_and(|(state, ..)| state == "completed")
    })
    .await;
    let said = why(&apart, &order).await;
    assert!(said.iter().any(|line| line.starts_with("paid after ")), "{said:#?}");
    assert!(said.iter().any(|line| line.ends_with(&end)), "both attempts: {said:#?}");
}
